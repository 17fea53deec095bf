from __future__ import annotations

import asyncio
from random import Random

import pytest

from coscribe.cluster.memory_bus import MemoryNetwork
from tests.contracts.bus import BusContract, Buses, heard_on
from tests.simulation.virtual_loop import VirtualLoop


class TestMemoryBus(BusContract):
    @pytest.fixture
    def buses(self) -> Buses:
        network = MemoryNetwork()
        return network.bus("one", 10_000), network.bus("two", 10_000)


def test_faults_are_as_asked_for_and_repeatable() -> None:
    async def run() -> tuple[list[bytes], float]:
        network = MemoryNetwork(Random(1), delay=lambda: 0.25)
        network.loss, network.duplication = 0.25, 0.25
        heard = await heard_on(network.bus("two"), "a")
        one = network.bus("one")
        for number in range(400):
            one.send("a", b"%d" % number)
        await asyncio.sleep(1)
        return list(heard), asyncio.get_running_loop().time()

    def once() -> tuple[list[bytes], float]:
        loop = VirtualLoop()
        try:
            return loop.run_until_complete(run())
        finally:
            loop.close()

    heard, took = once()
    assert took == 1.0
    assert 250 < len(set(heard)) < 350
    assert 50 < len(heard) - len(set(heard)) < 100
    assert once() == (heard, took)


async def test_those_apart_do_not_hear_each_other_until_it_is_healed() -> None:
    network = MemoryNetwork()
    one, two, three = (network.bus(name) for name in ("one", "two", "three"))
    heard = await heard_on(three, "a")
    network.partition("one", "two")
    one.send("a", b"lost")
    await asyncio.sleep(0.01)
    network.heal()
    two.send("a", b"there")
    assert await heard.has(1) == [b"there"]
