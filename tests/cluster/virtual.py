"""Keepers on virtual time, on one table in memory whose answers may be slow or never come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from coscribe.cluster.keeper import Keeper, Predicate
from coscribe.cluster.leases import MemoryLeases, MemoryTable
from coscribe.cluster.ports import SHARDS, Instance
from coscribe.documents.ports import StorageError
from tests.simulation.virtual_loop import Process, VirtualLoop

_T = TypeVar("_T")


class SlowLeases(MemoryLeases):
    """Leases whose calls take ``way`` seconds to the table and as long back. ``broken``: nothing arrives there;
    ``mute``: no answer comes back."""

    def __init__(self, table: MemoryTable, way: float = 0.002) -> None:
        super().__init__(table)
        self.way = way
        self.broken = False
        self.mute = False

    async def _ask(self, act: Callable[[], _T]) -> _T:
        if self.broken:
            await asyncio.sleep(self.way)
            raise StorageError("nobody answers")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        mute, way = self.mute, self.way

        def arrived() -> None:
            result = act()
            if not mute:
                loop.call_later(way, lambda: None if answer.done() else answer.set_result(result))

        # What is on its way arrives, whatever becomes of who sent it.
        loop.call_later(way, arrived, context=WORLD.context)
        return await answer


WORLD = Process("database")


class Core:
    """One keeper and what it did."""

    def __init__(self, loop: VirtualLoop, table: MemoryTable, name: str, *, is_core: bool = True) -> None:
        self.loop = loop
        self.process = Process(name)
        self.leases = SlowLeases(table)
        self.handed: list[float] = []
        self.drops: list[float] = []
        self.gained: list[Predicate] = []
        self.connected = True
        self.apart: list[bool] = []
        self.told: Callable[[], None] = lambda: None
        self.handing: Callable[[Predicate], Awaitable[None]] = self._hand_over
        instance = Instance(f"{loop.time():09.3f}-{name}", name, is_core)
        self.instance_id = instance.instance_id
        self.keeper = Keeper(
            self.leases,
            instance,
            loop.time,
            hand_over=lambda is_mine: self.handing(is_mine),
            gained=self._gained,
            drop=lambda: self.drops.append(loop.time()),
            tell=lambda: self.told(),
            connected=lambda: self.connected,
            set_apart=self.apart.append,
        )

    async def _hand_over(self, is_mine: Predicate) -> None:
        self.handed.append(self.loop.time())

    async def _gained(self, is_gained: Predicate) -> None:
        self.gained.append(is_gained)

    def start(self) -> asyncio.Task[None]:
        return self.loop.start(self.process, self.keeper.start())

    def owned(self) -> int:
        return sum(self.keeper.owns(document) for document in DOCUMENTS)


def _one_of_each_shard() -> list[str]:
    from coscribe.cluster.shards import shard_of

    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS:
        found.setdefault(shard_of(f"d{number}"), f"d{number}")
        number += 1
    return [found[shard] for shard in range(SHARDS)]


DOCUMENTS = _one_of_each_shard()


def run(work: Callable[[VirtualLoop, MemoryTable], Coroutine[Any, Any, None]]) -> None:
    """A world that begins at 100 s, with nobody in the table."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        loop._moment = 100.0
        loop.run_until_complete(loop.start(WORLD, work(loop, MemoryTable(loop.time))))
        assert loop.troubles == []
    finally:
        for process in loop.processes:
            if process is not WORLD:
                loop.kill(process)
        loop.bury()
        asyncio.set_event_loop(None)
        loop.close()
