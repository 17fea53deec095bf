"""*busy*: many people in one document, each with one keystroke in flight and the next one ready."""

from __future__ import annotations

import asyncio
from time import perf_counter

from coscribe.bench.measure import Figures, Tally, Target, figures_between, mark, no_collector
from coscribe.bench.member import Typist, drain
from coscribe.bench.peer import Room
from coscribe.bench.scenario import Bench, Scenario, in_parallel

_FEW_CLIENTS = 8
_MOST = 10_000.0
_MOST_OF_FEW = 8_000.0
_SHARE_OF_DISK = 0.8


class BusyTypist(Typist):
    def acknowledged(self, now: float) -> None:
        if self.tally.running:
            self.type(now)


class Busy(Scenario, frozen=True, kw_only=True):
    """Times are seconds; ``warm_up`` comes before the measured interval."""

    clients: int
    seconds: float = 10.0
    warm_up: float = 2.0

    def descriptors(self) -> int:
        return self.clients

    def targets(self, figures: Figures) -> list[Target]:
        """With few clients the disk is the bound: a client has one operation in flight, so there are at most as many
        operations as clients in one fsync."""
        if self.clients > _FEW_CLIENTS:
            return [Target("opsPerSecond", _MOST)]
        of_disk = _SHARE_OF_DISK * self.clients / (figures["fsyncMs"] / 1_000)
        return [Target("opsPerSecond", min(_MOST_OF_FEW, of_disk))]

    async def run(self, bench: Bench) -> Figures:
        tally, room = Tally(), Room("busy")
        typists = [BusyTypist(bench.failed, room, f"user-{number}", tally) for number in range(self.clients)]
        for typist, other in zip(typists, typists[1:] + typists[:1], strict=True):
            if typist is not other:
                typist.watched = other
        with bench.server() as server:
            await in_parallel((typist.enter(server.url, server.token(typist.series)) for typist in typists), 10)
            with no_collector():
                for typist in typists:
                    typist.type(perf_counter())
                await asyncio.sleep(self.warm_up)
                start = mark(server, tally)
                await asyncio.sleep(self.seconds)
                end = mark(server, tally)
                tally.running = False
                await drain(typists)
            figures = figures_between(start, end, server, tally)
            for typist in typists:
                typist.close()
        bench.acked = len(tally.acks)
        return figures
