"""What cores add, and what the hop costs.

    python -m tests.cluster.throughput --repeat 5

*Cores*: so many writers as fast as they get answers, against 1, 2 and 4 cores behind two gateways. All of it, the
writers too, shares the processors of one machine: what has to stay as it is with more cores is the processor time that
an operation takes.

*Hop*: the same people typing at the same pace into one process, and by a gateway into a core; both on PostgreSQL.
Beside them the embedded default. Everything in turn, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import uvloop

from coscribe.bench.machine import allow_descriptors
from coscribe.bench.many import SteadyTypist
from coscribe.bench.measure import Tally, no_collector
from coscribe.bench.member import Typist, drain
from coscribe.bench.peer import Room
from tests.cluster.machine import Cluster
from tests.cluster.outcome import at_share
from tests.cluster.people import comes_true

DOCUMENTS = 64
WARM_UP = 2.0
"""Seconds."""

PARTS = ("core", "gateway", "all", "database", "bus")


class Setup(NamedTuple):
    """``rate``: edits a second of all together; 0: as fast as they are answered. ``settings``: of the instances."""

    name: str
    cores: int = 0
    gateways: int = 0
    whole: int = 0
    rate: float = 0.0
    settings: tuple[tuple[str, str], ...] = ()


class Figures(NamedTuple):
    """Latencies in ms; ``cpu``: microseconds an operation, by what the processes are."""

    per_second: float
    p50: float
    p99: float
    cpu: dict[str, float]


class _Eager(Typist):
    """Types again as soon as it is answered."""

    def acknowledged(self, now: float) -> None:
        if self.tally.running:
            self.type(now)


def measure(setup: Setup, seconds: float) -> Figures:
    """One run of a fresh cluster."""
    with (
        tempfile.TemporaryDirectory(prefix="coscribe-throughput-", ignore_cleanup_errors=True) as place,
        Cluster(
            Path(place),
            cores=setup.cores,
            gateways=setup.gateways,
            whole=setup.whole,
            network=False,
            settings=dict(setup.settings),
        ) as cluster,
    ):
        return uvloop.run(_measured(setup, cluster, seconds))


async def _measured(setup: Setup, cluster: Cluster, seconds: float) -> Figures:
    if not setup.whole:
        await asyncio.to_thread(cluster.balance)
    tally = Tally()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    kind = SteadyTypist if setup.rate else _Eager
    typists = [kind(failed, Room(f"document-{number}"), f"u{number}", tally) for number in range(DOCUMENTS)]
    for number, typist in enumerate(typists):
        gateway = cluster.gateways[number % len(cluster.gateways)]
        await typist.enter(gateway.url, cluster.token(typist.series))
    with no_collector():
        typing = asyncio.create_task(_type(typists, tally, setup.rate))
        await asyncio.sleep(WARM_UP)
        used, done, began = cluster.cpu_seconds(), len(tally.acks), time.perf_counter()
        await asyncio.wait({failed}, timeout=seconds)
        took, acks = time.perf_counter() - began, tally.acks[done:]
        used_since = {name: total - used[name] for name, total in cluster.cpu_seconds().items()}
        tally.running = False
        await typing
        await drain(typists)
    for typist in typists:
        typist.close()
    if failed.done():
        failed.result()
    ordered = sorted(acks)
    return Figures(
        len(acks) / took,
        at_share(ordered, 0.5) * 1_000,
        at_share(ordered, 0.99) * 1_000,
        {name: total / len(acks) * 1e6 for name, total in used_since.items()},
    )


async def _type(typists: Sequence[Typist], tally: Tally, rate: float) -> None:
    """At random moments, so many a second; or whenever there was an answer."""
    if not rate:
        for typist in typists:
            typist.type(time.perf_counter())
        await comes_true(lambda: not tally.running, "it is over", 3_600.0)
        return
    random, due = Random(1), time.perf_counter()
    while tally.running:
        while due <= time.perf_counter():
            typist = random.choice(typists)
            assert isinstance(typist, SteadyTypist)
            typist.due(due)
            due += random.expovariate(rate)
        await asyncio.sleep(0.001)
    for typist in typists:
        assert isinstance(typist, SteadyTypist)
        typist.waiting.clear()


def setups(rate: float) -> list[Setup]:
    alone = (("COSCRIBE_NATS", ""),)
    return [
        *(Setup(f"{cores} core{'s' * (cores > 1)}", cores, 2) for cores in (1, 2, 4)),
        Setup("embedded", whole=1, rate=rate, settings=(*alone, ("COSCRIBE_DATABASE_URL", ""))),
        Setup("one process", whole=1, rate=rate, settings=alone),
        Setup("gateway and core", 1, 1, rate=rate),
    ]


def told(all_figures: dict[str, list[Figures]]) -> str:
    """Medians, as a table, and what is claimed of them."""

    def of(name: str, which: Callable[[Figures], float]) -> float:
        return median(which(figures) for figures in all_figures[name])

    def cpu(name: str) -> float:
        return of(name, lambda figures: sum(figures.cpu.values()))

    lines = [f"  {'':<18} {'op/s':>7} {'p50':>9} {'p99':>9}   CPU per operation"]
    for name in all_figures:
        parts = ", ".join(
            f"{part} {of(name, lambda figures, part=part: figures.cpu[part]):.0f}"  # type: ignore[misc]  # of this round
            for part in PARTS
            if part in all_figures[name][0].cpu
        )
        lines.append(
            f"  {name:<18} {of(name, lambda f: f.per_second):>7.0f} {of(name, lambda f: f.p50):>6.2f} ms"
            f" {of(name, lambda f: f.p99):>6.2f} ms   {cpu(name):.0f} us ({parts})"
        )
    one = of("1 core", lambda f: f.per_second)
    ratios = [f"{of(name, lambda f: f.per_second) / one:.2f}" for name in ("1 core", "2 cores", "4 cores")]
    flat = [f"{cpu(name) / cpu('1 core'):.2f}" for name in ("1 core", "2 cores", "4 cores")]
    here, far = "one process", "gateway and core"
    added = [of(far, which) - of(here, which) for which in (lambda f: f.p50, lambda f: f.p99)]
    lines += [
        f"  1, 2, 4 cores: throughput {' : '.join(ratios)}, CPU per operation {' : '.join(flat)}",
        f"  the hop adds {added[0]:.2f} ms at p50, {added[1]:.2f} ms at p99, {cpu(far) - cpu(here):.0f} us CPU per"
        " operation",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (8)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each (5)")
    parser.add_argument("--rate", type=float, default=200.0, help="edits a second, where the hop is measured (200)")
    chosen = parser.parse_args()
    allow_descriptors()
    wanted = setups(chosen.rate)
    figures: dict[str, list[Figures]] = {setup.name: [] for setup in wanted}
    for _ in range(chosen.repeat):
        for setup in wanted:
            figures[setup.name].append(measure(setup, chosen.seconds))
            print(f"  {setup.name}: {figures[setup.name][-1]}", file=sys.stderr, flush=True)
    print(told(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
