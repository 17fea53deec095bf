"""What cores add, and what the hop costs.

    python -m tests.cluster.throughput --repeat 5

*Cores*: 1, 2 and 4 of them behind two gateways, all on the processors of one machine with the writers, PostgreSQL and
NATS. So throughput cannot say what more cores bring; the processor time of an operation can. It is taken four times:
with nobody there, with so many operations a second for each core (so four cores have four times as many), with as many
in all, and with writers who write again as soon as they are answered. Beside it stands how many operations came in a
commit group, for a group costs much the same however many there are in it.

*Hop*: the same people typing at the same pace into one process, and by a gateway into a core; both on PostgreSQL.
Beside them the embedded default. Everything in turn, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log10
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple
from urllib.request import urlopen

import uvloop

from coscribe.bench.machine import allow_descriptors
from coscribe.bench.many import SteadyTypist
from coscribe.bench.measure import Tally, no_collector
from coscribe.bench.member import drain
from coscribe.bench.peer import Room
from tests.cluster.machine import Cluster, Node
from tests.cluster.outcome import at_share
from tests.cluster.people import comes_true

DOCUMENTS = 64
WARM_UP = 2.0
"""Seconds."""

CORES = (1, 2, 4)
PER_CORE = (500, 1_000)
"""Operations a second. The larger one is what all cores have together, too, where the load in all is the same."""

SATURATED = 0.0
NOBODY = -1.0
PARTS = ("core", "gateway", "all", "database", "bus")


class Setup(NamedTuple):
    """``rates``: edits a second of all together, one after the other. ``settings``: of the instances."""

    name: str
    rates: Sequence[float]
    cores: int = 0
    gateways: int = 0
    whole: int = 0
    settings: tuple[tuple[str, str], ...] = ()


class Figures(NamedTuple):
    """Latencies in ms; ``cpu``: microseconds an operation, by what the processes are; with nobody there, microseconds
    a second. ``group``: operations in a commit group."""

    per_second: float
    p50: float
    p99: float
    group: float
    cpu: dict[str, float]


Key = tuple[str, float]
"""The name of a setup, and a rate."""


class _Person(SteadyTypist):
    """``eager``: types again as soon as it is answered."""

    eager = False

    def acknowledged(self, now: float) -> None:
        if not self.eager:
            super().acknowledged(now)
        elif self.tally.running:
            self.type(now)


def measure(setup: Setup, seconds: float) -> dict[Key, Figures]:
    """A fresh cluster, under each load."""
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


async def _measured(setup: Setup, cluster: Cluster, seconds: float) -> dict[Key, Figures]:
    if not setup.whole:
        await asyncio.to_thread(cluster.balance)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    people: list[_Person] = []
    figures: dict[Key, Figures] = {}
    for rate in setup.rates:
        if rate != NOBODY and not people:
            people = [_Person(failed, Room(f"document-{n}"), f"u{n}", Tally()) for n in range(DOCUMENTS)]
            for number, person in enumerate(people):
                gateway = cluster.gateways[number % len(cluster.gateways)]
                await person.enter(gateway.url, cluster.token(person.series))
        with no_collector():
            figures[setup.name, rate] = await _under(rate, people, cluster, seconds, failed)
        if failed.done():
            failed.result()
    for person in people:
        person.close()
    return figures


async def _under(
    rate: float, people: Sequence[_Person], cluster: Cluster, seconds: float, failed: asyncio.Future[None]
) -> Figures:
    tally = Tally()
    for person in people:
        person.tally, person.eager = tally, rate == SATURATED
    typing = asyncio.create_task(_type(people, tally, rate))
    await asyncio.sleep(WARM_UP)
    groups = await _groups(cluster.cores)
    used, done, began = cluster.cpu_seconds(), len(tally.acks), time.perf_counter()
    await asyncio.wait({failed}, timeout=seconds)
    took, acks = time.perf_counter() - began, sorted(tally.acks[done:])
    used_since = {name: total - used[name] for name, total in cluster.cpu_seconds().items()}
    groups = await _groups(cluster.cores) - groups
    tally.running = False
    await typing
    if rate == NOBODY:
        return Figures(0.0, 0.0, 0.0, 0.0, {name: total / took * 1e6 for name, total in used_since.items()})
    await drain(people)
    return Figures(
        len(acks) / took,
        at_share(acks, 0.5) * 1_000,
        at_share(acks, 0.99) * 1_000,
        len(acks) / max(groups, 1.0),
        {name: total / len(acks) * 1e6 for name, total in used_since.items()},
    )


async def _groups(cores: Iterable[Node]) -> float:
    """Commit groups so far, of all cores."""
    return sum([await asyncio.to_thread(_groups_of, core) for core in cores])


def _groups_of(core: Node) -> float:
    with urlopen(f"{core.http}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("coscribe_commit_groups_total "))


async def _type(people: Sequence[_Person], tally: Tally, rate: float) -> None:
    """At random moments, so many a second; or whenever there was an answer."""
    if rate <= 0:
        for person in people:
            person.type(time.perf_counter())
        await comes_true(lambda: not tally.running, "it is over", 3_600.0)
        return
    random, due = Random(1), time.perf_counter()
    while tally.running:
        while due <= time.perf_counter():
            random.choice(people).due(due)
            due += random.expovariate(rate)
        await asyncio.sleep(0.001)
    for person in people:
        person.waiting.clear()


def named(cores: int) -> str:
    return f"{cores} core{'s' * (cores > 1)}"


def rates_of(cores: int) -> list[float]:
    """Each load once, the lightest first."""
    return [NOBODY, *sorted({float(PER_CORE[-1]), *(float(cores * each) for each in PER_CORE)}), SATURATED]


def setups(rate: float) -> list[Setup]:
    alone = (("COSCRIBE_NATS", ""),)
    return [
        *(
            Setup(
                named(cores),
                rates_of(cores),
                cores,
                2,
            )
            for cores in CORES
        ),
        Setup("embedded", [rate], whole=1, settings=(*alone, ("COSCRIBE_DATABASE_URL", ""))),
        Setup("one process", [rate], whole=1, settings=alone),
        Setup("gateway and core", [rate], 1, 1),
    ]


def medians(runs: Sequence[Figures]) -> Figures:
    def of(which: Callable[[Figures], float]) -> float:
        return median(map(which, runs))

    cpu = {part: median(run.cpu[part] for run in runs) for part in runs[0].cpu}
    return Figures(of(lambda f: f.per_second), of(lambda f: f.p50), of(lambda f: f.p99), of(lambda f: f.group), cpu)


def told(figures: Mapping[Key, Figures], hop: float) -> str:
    """A table, and what is claimed of it. ``hop``: the rate at which the hop was measured."""

    def cpu(name: str, rate: float) -> float:
        return sum(figures[name, rate].cpu.values())

    def of_all(what: str, rates: Sequence[float], which: Callable[[str, float], float], form: str) -> str:
        values = [which(named(cores), rate) for cores, rate in zip(CORES, rates, strict=True)]
        return f"{what} {' : '.join(format(value, form) for value in values)}"

    def ratio(what: str, rates: Sequence[float], which: Callable[[str, float], float]) -> str:
        return of_all(what, rates, lambda name, rate: which(name, rate) / which(named(CORES[0]), rates[0]), ".2f")

    lines = [f"  {'':<17} {'offered':>9} {'op/s':>6} {'a group':>8} {'p50':>9} {'p99':>9}   CPU per operation"]
    for (name, rate), each in figures.items():
        parts = ", ".join(f"{part} {each.cpu[part]:.0f}" for part in PARTS if part in each.cpu)
        if rate == NOBODY:
            lines.append(f"  {name:<17} {'nobody':>9} {'':>36}   {cpu(name, rate):.0f} us a second ({parts})")
            continue
        offered = f"{rate:,.0f}/s" if rate else "no limit"
        lines.append(
            f"  {name:<17} {offered:>9} {each.per_second:>6.0f} {each.group:>8.1f} {each.p50:>6.2f} ms"
            f" {each.p99:>6.2f} ms   {cpu(name, rate):.0f} us ({parts})"
        )
    loads: list[tuple[str, Sequence[float]]] = [
        (f"{each:,}/s for each core", [each * cores for cores in CORES]) for each in PER_CORE
    ]
    loads += [(f"{PER_CORE[-1]:,}/s in all", [PER_CORE[-1]] * len(CORES)), ("no limit", [SATURATED] * len(CORES))]
    for what, rates in loads:
        cores = ratio("of the cores alone", rates, lambda name, rate: figures[name, rate].cpu["core"])
        group = of_all("operations a group", rates, lambda name, rate: figures[name, rate].group, ".1f")
        lines.append(f"  1, 2, 4 cores, {what}: {ratio('CPU per operation', rates, cpu)}; {cores}; {group}")
    added = ratio("throughput", [SATURATED] * len(CORES), lambda name, rate: figures[name, rate].per_second)
    lines.append(f"  1, 2, 4 cores, no limit: {added}")
    idle = [figures[named(cores), NOBODY].cpu["core"] / cores / 1_000 for cores in CORES]
    lines.append(f"  a core with nobody there: {median(idle):.1f} ms of CPU a second")
    operation, group_cost = law(points(figures))
    lines.append(
        f"  a core's CPU is {operation:.0f} us an operation and {group_cost:.0f} us a commit group (least squares)"
    )
    here, far = figures["one process", hop], figures["gateway and core", hop]
    lines.append(
        f"  the hop adds {far.p50 - here.p50:.2f} ms at p50, {far.p99 - here.p99:.2f} ms at p99,"
        f" {cpu('gateway and core', hop) - cpu('one process', hop):.0f} us CPU per operation"
    )
    return "\n".join(lines)


def points(figures: Mapping[Key, Figures]) -> dict[int, list[tuple[float, float]]]:
    """By the number of cores: operations in a commit group, and what one took of the cores, without what they take
    with nobody there."""
    found: dict[int, list[tuple[float, float]]] = {cores: [] for cores in CORES}
    for cores, its in found.items():
        idle = figures[named(cores), NOBODY].cpu["core"]
        for (name, rate), each in figures.items():
            if name == named(cores) and rate != NOBODY:
                its.append((each.group, each.cpu["core"] - idle / each.per_second))
    return found


def law(found: Mapping[int, Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """Microseconds an operation and a group, that come nearest to all points in proportion."""
    pairs = [(1 / group, cpu) for its in found.values() for group, cpu in its]
    weights = [1 / cpu**2 for _, cpu in pairs]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, pairs, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, pairs, strict=True)) / total
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, pairs, strict=True)) / sum(
        w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, pairs, strict=True)
    )
    return mean_y - slope * mean_x, slope


def plot(figures: Mapping[Key, Figures]) -> str:
    """What an operation takes of the cores, by how many come in a commit group: an SVG."""
    width, height, left, top = 620, 300, 56, 34
    found = points(figures)
    operation, group_cost = law(found)
    largest = max(group for its in found.values() for group, _ in its) * 1.2
    most = max(cpu for its in found.values() for _, cpu in its) * 1.15

    def x(group: float) -> float:
        return left + (width - left - 20) * log10(max(group, 1.0)) / log10(largest)

    def y(cpu: float) -> float:
        return top + height * (1 - min(cpu, most) / most)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + height + 44}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{width}" height="{top + height + 44}" fill="#fff"/>',
        f'<text x="{left}" y="16" font-size="13">Processor time of the cores, us an operation</text>',
        f'<text x="{width - 20}" y="{top + height + 36}" text-anchor="end">operations in a commit group</text>',
    ]
    for mark in range(0, int(most) + 1, 100):
        parts.append(f'<path d="M{left} {y(mark):.1f}H{width - 20}" stroke="#dee2e6"/>')
        parts.append(f'<text x="{left - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark}</text>')
    for tick in (each for each in (1, 2, 5, 10, 20, 50, 100) if each <= largest):
        parts.append(f'<text x="{x(tick):.1f}" y="{top + height + 18}" text-anchor="middle">{tick}</text>')
    curve = [1.0 * largest ** (step / 60) for step in range(61)]
    line = " ".join(f"{x(group):.1f},{y(operation + group_cost / group):.1f}" for group in curve)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#868e96" stroke-dasharray="4 3"/>')
    for number, (cores, colour) in enumerate(zip(CORES, ("#1864ab", "#2b8a3e", "#e8590c"), strict=True)):
        for group, cpu in found[cores]:
            parts.append(f'<circle cx="{x(group):.1f}" cy="{y(cpu):.1f}" r="4" fill="{colour}"/>')
        at = top + 14 + 16 * number
        parts.append(f'<text x="{width - 24}" y="{at}" text-anchor="end" fill="{colour}">{named(cores)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (8)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each (5)")
    parser.add_argument("--rate", type=float, default=200.0, help="edits a second, where the hop is measured (200)")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="an SVG: what an operation takes, by its commit group"
    )
    chosen = parser.parse_args()
    allow_descriptors()
    wanted = setups(chosen.rate)
    runs: dict[Key, list[Figures]] = {(setup.name, rate): [] for setup in wanted for rate in setup.rates}
    for _ in range(chosen.repeat):
        for setup in wanted:
            for key, each in measure(setup, chosen.seconds).items():
                runs[key].append(each)
                print(f"  {key}: {each}", file=sys.stderr, flush=True)
    figures = {key: medians(each) for key, each in runs.items()}
    print(told(figures, chosen.rate))
    if chosen.plot is not None:
        chosen.plot.write_text(plot(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
