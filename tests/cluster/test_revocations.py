from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from coscribe.cluster.memory_bus import MemoryNetwork
from coscribe.cluster.revocations import TRIES, Revocations
from coscribe.documents.ports import AccessChange
from coscribe.gateway.gateway import ANSWER_SECONDS
from tests.gateway.site import metric
from tests.simulation.virtual_loop import VirtualLoop

CHANGE = AccessChange("notes", "ann")


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert loop.troubles == []


class Instance:
    def __init__(self, network: MemoryNetwork, name: str, alive: set[str], takes: float = 0.0) -> None:
        self.applied: list[AccessChange] = []
        self.takes = takes
        self.bus = network.bus(name)
        self.revocations = Revocations(self.bus, name, lambda: alive, self._apply)

    async def _apply(self, change: AccessChange) -> None:
        await asyncio.sleep(self.takes)
        self.applied.append(change)


async def three(network: MemoryNetwork, alive: set[str]) -> list[Instance]:
    instances = [Instance(network, name, alive, 0.1) for name in "abc"]
    for instance in instances:
        await instance.revocations.start()
    return instances


def test_it_returns_when_all_have_applied_it() -> None:
    async def main() -> None:
        a, b, c = await three(MemoryNetwork(delay=lambda: 0.01), {"a", "b", "c"})
        c.takes = 0.3
        began = asyncio.get_running_loop().time()
        await a.revocations.changed(CHANGE)
        assert a.applied == b.applied == c.applied == [CHANGE]
        assert 0.3 <= asyncio.get_running_loop().time() - began < ANSWER_SECONDS

    in_virtual_time(main)


def test_one_that_is_not_heard_is_not_waited_for_but_told_again() -> None:
    async def main() -> None:
        network = MemoryNetwork(delay=lambda: 0.01)
        a, b, c = await three(network, {"a", "b", "c"})
        network.partition("c")
        before = metric("coscribe_access_unheard_total")
        began = asyncio.get_running_loop().time()
        await a.revocations.changed(CHANGE)
        assert asyncio.get_running_loop().time() - began <= ANSWER_SECONDS + 0.001
        assert b.applied == [CHANGE] and c.applied == []
        assert metric("coscribe_access_unheard_total") == before + 1
        network.heal()
        await asyncio.sleep(1.0)
        assert c.applied[0] == CHANGE
        sent = network.sent
        await asyncio.sleep(10)
        assert network.sent == sent

    in_virtual_time(main)


def test_who_lives_no_more_is_not_told_for_ever() -> None:
    async def main() -> None:
        network, alive = MemoryNetwork(), {"a", "b", "c"}
        a, _, c = await three(network, alive)
        await c.bus.close()
        await a.revocations.changed(CHANGE)
        alive.remove("c")
        await asyncio.sleep(2 * ANSWER_SECONDS)
        assert a.revocations._asked == {}
        alive.add("c")
        await a.revocations.changed(CHANGE)
        await asyncio.sleep((TRIES + 2) * ANSWER_SECONDS)
        assert a.revocations._asked == {} and a.revocations._tasks == set()

    in_virtual_time(main)


def test_alone_or_without_a_bus_it_is_applied_here() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        a, b, _ = await three(network, {"a"})
        await a.revocations.changed(CHANGE)
        assert a.applied == [CHANGE] and b.applied == []
        a, b, _ = await three(network, {"a", "b"})
        a.bus.connected = False
        await a.revocations.changed(CHANGE)
        assert a.applied == [CHANGE] and b.applied == []
        await a.revocations.stop()

    in_virtual_time(main)


def test_it_goes_on_when_the_caller_is_cancelled() -> None:
    async def main() -> None:
        a, b, _ = await three(MemoryNetwork(), {"a", "b"})
        changing = asyncio.get_running_loop().create_task(a.revocations.changed(CHANGE))
        await asyncio.sleep(0.01)
        changing.cancel()
        await asyncio.sleep(1)
        assert a.applied == b.applied == [CHANGE]

    in_virtual_time(main)
