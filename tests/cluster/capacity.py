"""From measured costs to instances: balance, joining and leaving, and what comes back when a core dies.

python -m tests.cluster.capacity                  the tables of docs/capacity.md
python -m tests.cluster.capacity --plot FILE      and its picture
python -m tests.cluster.capacity --measure        what loading a document from PostgreSQL takes here

Documents are drawn, each falls into its shard, and shards are placed as servers place them (`cluster/shards.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from coscribe.cluster.keeper import BEAT_SECONDS
from coscribe.cluster.ownership import LEASE_SECONDS
from coscribe.cluster.ports import SHARDS
from coscribe.cluster.shards import places, shard_of


class Costs(NamedTuple):
    """Seconds of one processor, and bytes, by docs/performance.md. ``load``: what `--measure` says, and as much again
    for whoever joins."""

    operation: float = 156e-6
    document: int = 5_740
    load: float = 2.5e-3


class Use(NamedTuple):
    """What people do: sockets that each document is open on, the share of documents that somebody types in, and
    operations a second in one of those."""

    sockets: float = 1.0
    typed_in: float = 0.05
    operations: float = 5.0


BUSY = 0.5
"""How busy a core may be on average; another one may have died."""

BUSY_WITHOUT_ONE = 0.8
MEMORY = 4_000_000_000
LOADED_WITHIN = 60.0
"""Seconds from when others may take what a dead core owned until all of it is in memory again."""

SOCKETS = 20_000
"""Of one gateway: its bound (docs/limits.md)."""


class Shares(NamedTuple):
    """By shard: documents, and operations a second."""

    documents: list[int]
    operations: list[float]


class Load(NamedTuple):
    """The fullest core of so many: documents, operations a second, how busy, bytes; and the mean of documents."""

    cores: int
    documents: int
    operations: float
    busy: float
    bytes: int
    mean: float


def drawn(documents: int, use: Use, seed: int) -> Shares:
    """How fast people type differs (lognormal): one in a hundred is four times as fast as most."""
    rng = random.Random(seed)
    shares = Shares([0] * SHARDS, [0.0] * SHARDS)
    for number in range(documents):
        shard = shard_of(f"{seed}-{number}")
        shares.documents[shard] += 1
        if rng.random() < use.typed_in:
            shares.operations[shard] += use.operations * rng.lognormvariate(-0.18, 0.6)
    return shares


def names(count: int) -> list[str]:
    return [f"core-{number}" for number in range(count)]


def fullest(shares: Shares, cores: Sequence[str], costs: Costs) -> Load:
    of = places(frozenset(cores))
    documents, operations = dict.fromkeys(cores, 0), dict.fromkeys(cores, 0.0)
    for shard, name in enumerate(of):
        documents[name] += shares.documents[shard]
        operations[name] += shares.operations[shard]
    most, rate = max(documents.values()), max(operations.values())
    return Load(
        len(cores), most, rate, rate * costs.operation, most * costs.document, sum(shares.documents) / len(cores)
    )


def needed(shares: Shares, costs: Costs, use: Use) -> int:
    """The fewest cores, two at least: none too busy or too full, also without one; what that one had is back soon."""
    count = 2
    while True:
        there, without = fullest(shares, names(count), costs), fullest(shares, names(count)[1:], costs)
        is_enough = there.busy <= BUSY and without.busy <= BUSY_WITHOUT_ONE and without.bytes <= MEMORY
        if is_enough and storm(shares, count, costs).loaded <= LOADED_WITHIN:
            return count
        count += 1


class Storm(NamedTuple):
    """A core dies: documents that have lost their owner, seconds until others may take, seconds until all are loaded
    again, loads a second in all. ``moved``: documents that go to a core that joins."""

    documents: int
    taken: float
    loaded: float
    rate: float
    moved: int


def storm(shares: Shares, count: int, costs: Costs) -> Storm:
    """Of the fullest core. Those who take over have what they were not busy with."""
    before, cores = places(frozenset(names(count))), names(count)
    documents = {name: sum(d for d, n in zip(shares.documents, before, strict=True) if n == name) for name in cores}
    dead = max(cores, key=lambda name: documents[name])
    after = places(frozenset(set(cores) - {dead}))
    mean = sum(shares.operations) * costs.operation / (count - 1)
    free = max(0.1, 1.0 - mean)
    orphaned = dict.fromkeys(cores, 0)
    for shard in range(SHARDS):
        if before[shard] != after[shard]:
            orphaned[after[shard]] += shares.documents[shard]
    loaded = max(orphaned.values()) * costs.load / free
    joined = places(frozenset(names(count + 1)))
    moved = sum(d for d, one, other in zip(shares.documents, before, joined, strict=True) if one != other)
    return Storm(documents[dead], LEASE_SECONDS + BEAT_SECONDS, loaded, free / costs.load * (count - 1), moved)


def tables(sizes: Sequence[int], costs: Costs, use: Use, seed: int) -> str:
    lines = ["| documents open | operations/s | cores | on the fullest | than the mean | busy | memory | gateways |"]
    storms = ["| documents open | cores | lose their owner | taken after | loaded again | loads/s | to a new core |"]
    lines.append("|---" * 8 + "|")
    storms.append("|---" * 7 + "|")
    for size in sizes:
        shares = drawn(size, use, seed)
        least = needed(shares, costs, use)
        gateways = -int(-size * use.sockets // SOCKETS) + 1
        for count in (least, 2 * least):
            load, came = fullest(shares, names(count), costs), storm(shares, count, costs)
            lines.append(
                f"| {size:,} | {sum(shares.operations):,.0f} | {count} | {load.documents:,} | "
                f"+{load.documents / load.mean - 1:.0%} | {load.busy:.0%} | {load.bytes / 1e6:,.0f} MB | {gateways} |"
            )
            storms.append(
                f"| {size:,} | {count} | {came.documents:,} | {came.taken:.0f} s | +{came.loaded:.0f} s | "
                f"{came.rate:,.0f} | {came.moved:,} ({came.moved / size:.1%}) |"
            )
    return "\n".join([*lines, "", *storms])


def plot(sizes: Sequence[int], costs: Costs, use: Use, seed: int) -> str:
    """How busy the fullest core is, by the number of cores; both on logarithmic scales."""
    from math import log10

    width, height, left, top = 760, 320, 60, 34
    counts = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]

    def x(count: float) -> float:
        return left + (width - left - 110) * log10(count / 2) / log10(counts[-1] / 2)

    def y(busy: float) -> float:
        return top + height * (1 - (log10(min(max(busy, 0.001), 100.0)) + 3) / 5)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + height + 40}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{width}" height="{top + height + 40}" fill="#fff"/>',
        f'<text x="{left}" y="16" font-size="13">How busy the fullest core is, by the number of cores</text>',
    ]
    for mark in (0.001, 0.01, 0.1, 0.5, 1.0, 10.0, 100.0):
        dash = ' stroke-dasharray="4 3"' if mark == BUSY else ""
        colour = "#e03131" if mark == BUSY else "#dee2e6"
        parts.append(f'<path d="M{left} {y(mark):.1f}H{width - 110}" stroke="{colour}"{dash}/>')
        parts.append(f'<text x="{left - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.1%}</text>')
    for count in counts:
        at = top + height + 16
        parts.append(f'<text x="{x(count):.1f}" y="{at}" text-anchor="middle">{count}</text>')
    for size, colour in zip(sizes, ("#1864ab", "#2b8a3e", "#5f3dc4"), strict=False):
        shares = drawn(size, use, seed)
        points = [(x(count), y(fullest(shares, names(count), costs).busy)) for count in counts]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        px, py = points[-1]
        parts.append(f'<text x="{px + 6:.1f}" y="{py + 4:.1f}" fill="{colour}">{escape(f"{size:,}")}</text>')
    return "\n".join([*parts, "</svg>", ""])


async def measure(count: int) -> None:
    """Documents of one operation, each loaded once, 32 at a time, by an engine that has seen none of them."""
    from coscribe.core.document_state import Limits
    from coscribe.documents.collaboration import Collaboration
    from coscribe.documents.ports import Identity
    from coscribe.documents.snapshot_manager import SnapshotPolicy
    from coscribe.model import SALT_BYTES
    from coscribe.persistence.postgres import PostgresStorage
    from coscribe.protocol import messages
    from tests.servers import PostgresServer
    from tests.simulation.world import Doorman

    ann = Identity("ann", "Ann", "#000000", "editor", account="ann")

    def engine(storage: PostgresStorage) -> Collaboration:
        return Collaboration(
            storage,
            storage,
            Doorman({}),
            limits=Limits(),
            policy=SnapshotPolicy(),
            max_backlog=50_000,
            clock=lambda: time.time_ns() // 1_000,
            now=time.monotonic,
            salts=lambda wanted: [os.urandom(SALT_BYTES) for _ in range(wanted)],
        )

    with PostgresServer() as server:
        storage = PostgresStorage(server.fresh())
        first, waiting = engine(storage), asyncio.Semaphore(32)

        async def fill(name: str) -> None:
            async with waiting:
                await storage.create(name, name, name, 0)
                await first.edit(ann, messages.Operation(name, f"{name}:1", "ann", 0, "insert", 0, "x" * 1_000))

        async def load(name: str) -> None:
            async with waiting:
                await second.text(ann, name)

        documents = [f"d{number}" for number in range(count)]
        await asyncio.gather(*map(fill, documents))
        await first.drain()
        second = engine(storage)
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(load, documents))
        took, used = time.perf_counter() - began, time.process_time() - used
        await storage.close()
    print(
        f"{count} documents loaded: {1e3 * used / count:.2f} ms of a processor each, {count / took:.0f} a second here"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--typed-in", type=float, default=Use().typed_in, help="share of documents (0.05)")
    parser.add_argument("--operations", type=float, default=Use().operations, help="a second in one of those (5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--measure", type=int, nargs="?", const=1_000, metavar="DOCUMENTS")
    chosen = parser.parse_args()
    if chosen.measure:
        asyncio.run(measure(chosen.measure))
        return
    use = Use(typed_in=chosen.typed_in, operations=chosen.operations)
    print(tables(chosen.documents, Costs(), use, chosen.seed))
    if chosen.plot is not None:
        chosen.plot.write_text(plot(chosen.documents, Costs(), use, chosen.seed))


if __name__ == "__main__":
    main()
