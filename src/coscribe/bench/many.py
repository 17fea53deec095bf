"""*many*: many documents with two people each, who type at their own pace whatever the server does."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from time import perf_counter

from coscribe.bench.measure import Figures, Tally, Target, figures_between, mark, no_collector
from coscribe.bench.member import SEED, Typist, drain
from coscribe.bench.peer import Room
from coscribe.bench.scenario import Bench, Scenario, in_parallel
from coscribe.bench.server import ServerProcess

_TICK = 0.001
"""Seconds between two looks at who is due: the finest step of the loop's timers."""

_CPU_US_PER_OPERATION = 80.0
_ACK_P99_MS = 40.0
_SHARE_OF_OFFERED = 0.98


class SteadyTypist(Typist):
    """Types when told to. What is due while a keystroke is in flight waits, and its latency counts from then on."""

    def __init__(self, failed: asyncio.Future[None], room: Room, series: str, tally: Tally) -> None:
        super().__init__(failed, room, series, tally)
        self.waiting: deque[float] = deque()

    def due(self, since: float) -> None:
        if self.in_flight:
            self.waiting.append(since)
        else:
            self.type(since)

    def acknowledged(self, now: float) -> None:
        if self.waiting:
            self.type(self.waiting.popleft())


class Many(Scenario, frozen=True, kw_only=True):
    """``rate`` is keystrokes per second and client. The moments are random and independent (a Poisson process)."""

    documents: int = 500
    clients: int = 2
    rate: float = 5.0
    seconds: float = 20.0
    warm_up: float = 3.0

    def descriptors(self) -> int:
        return self.documents * self.clients

    def targets(self, figures: Figures) -> list[Target]:
        return [
            Target("opsPerSecond", _SHARE_OF_OFFERED * figures["offeredPerSecond"]),
            Target("serverCpuUsPerOp", _CPU_US_PER_OPERATION, at_most=True),
            Target("ackP99Ms", _ACK_P99_MS, at_most=True),
        ]

    async def run(self, bench: Bench) -> Figures:
        tally = Tally()
        groups: list[list[SteadyTypist]] = []
        for number in range(self.documents):
            room = Room(f"many-{number}")
            group = [SteadyTypist(bench.failed, room, f"user-{number}-{place}", tally) for place in range(self.clients)]
            for typist, other in zip(group, group[1:] + group[:1], strict=True):
                if typist is not other:
                    typist.watched = other
            groups.append(group)
        typists = [typist for group in groups for typist in group]
        with bench.server() as server:
            await in_parallel((_enter(server, group) for group in groups), 20)
            with no_collector():
                typing = asyncio.create_task(self._type(typists, tally))
                await asyncio.sleep(self.warm_up)
                start = mark(server, tally)
                await asyncio.sleep(self.seconds)
                end = mark(server, tally)
                tally.running = False
                await typing
                await drain(typists)
            figures = figures_between(start, end, server, tally)
            for typist in typists:
                typist.close()
        figures["offeredPerSecond"] = (end.lags - start.lags) / (end.time - start.time)
        bench.acked = len(tally.acks)
        return figures

    async def _type(self, typists: list[SteadyTypist], tally: Tally) -> None:
        """So many independent Poisson processes are one of the sum of their rates, each event somebody's at random."""
        random = Random(SEED)
        rate = self.rate * len(typists)
        next_due = perf_counter()
        while tally.running:
            now = perf_counter()
            while next_due <= now:
                random.choice(typists).due(next_due)
                tally.lags.append(perf_counter() - next_due)
                next_due += random.expovariate(rate)
            await asyncio.sleep(_TICK)
        for typist in typists:
            typist.waiting.clear()


async def _enter(server: ServerProcess, group: list[SteadyTypist]) -> None:
    for typist in group:
        await typist.enter(server.url, server.token(typist.series))
