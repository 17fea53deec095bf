"""A week of typing, and what is looked at meanwhile: memory every night, the database every hour."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from coscribe.bench.machine import resident_bytes
from tests.simulation.world import quiet
from tests.soak.office import Office, Plan
from tests.soak.people import DAY, HOUR, Absentee, Person, require

NIGHT = 4 * HOUR
"""When memory is looked at: everybody has left, every document has been let go."""

MB = 1_000_000
TABLES = ("file_operation_log", "log_segments", "operation_runs", "operation_series", "file_snapshots")


class Night(NamedTuple):
    """What there is at four in the morning. Bytes of tables with their indexes, in the order of `TABLES`.

    ``resident`` is what the process has of the system, which it hardly ever gives back; of that, ``held`` is what is in
    use of C's heap (all that is larger than 512 bytes), ``blocks`` are Python's smaller objects. ``series`` are those
    whose ceiling is remembered, at most 50,000: two blocks each, and the only thing that is known to grow so slowly.
    """

    day: int
    operations: int
    resident: int
    held: int
    blocks: int
    series: int
    database: int
    tables: tuple[int, ...]
    rows: int
    segments: int
    snapshots: int


class Week(NamedTuple):
    """``most_rows`` of one document's log that were in no segment, by day and by night, and what they may be."""

    nights: list[Night]
    operations: int
    seconds: float
    most_rows: int
    most_rows_allowed: int
    most_rows_at_night: int
    most_rows_at_night_allowed: int
    most_snapshots: int
    keep: int
    rounds: int
    undone: int


def live_through(plan: Plan, folder: Path, *, trace: bool) -> Week:
    """The week itself. Raises Broken. ``trace``: says at the end where memory has grown; three times as slow."""
    office = Office(plan, folder)
    asyncio.set_event_loop(office.loop)
    try:
        with quiet():
            return office.loop.run_until_complete(_live(office, trace))
    finally:
        office.loop.close()
        asyncio.set_event_loop(None)


def slope(values: Sequence[float]) -> float:
    """By least squares, per step."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    above = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return above / sum((place - middle) ** 2 for place in range(len(values)))


async def _live(office: Office, trace: bool) -> Week:
    office.gateway.start()
    began = time.monotonic()
    people = [Person(office, number) for number in range(office.plan.people)]
    absentees = [Absentee(office, 90 + number) for number in range(2)]
    working = [asyncio.ensure_future(person.work()) for person in people]
    waiting = [asyncio.ensure_future(person.work()) for person in absentees]
    inspector = _Inspector(office, trace)
    try:
        while office.loop.time() < office.plan.hours * HOUR:
            await asyncio.sleep(HOUR / 4)
            inspector.look()
            for task in (*working, *waiting):
                if task.done():
                    task.result()
            require(not office.loop.troubles, f"something was not looked after: {office.loop.troubles[:1]}")
    finally:
        for task in (*waiting, *working):
            task.cancel()
        await asyncio.gather(*waiting, *working, return_exceptions=True)
    await office.gateway.stop(1_000)
    operations = inspector.operations()
    await office.close()
    limits, policy = office.limits, office.policy
    return Week(
        inspector.nights,
        operations,
        time.monotonic() - began,
        inspector.most_rows,
        policy.segment_entries + max(limits.window_operations, policy.operations),
        inspector.most_rows_at_night,
        policy.segment_entries + limits.window_operations,
        inspector.most_snapshots,
        policy.keep,
        sum(person.rounds for person in absentees),
        sum(person.undone for person in absentees),
    )


class _Inspector:
    """Looks at the process and at the database, by statements of its own."""

    def __init__(self, office: Office, trace: bool) -> None:
        self.nights: list[Night] = []
        self.most_rows = self.most_rows_at_night = self.most_snapshots = 0
        self._office = office
        self._trace = trace
        self._before: tracemalloc.Snapshot | None = None

    def look(self) -> None:
        """To be called every quarter of an hour."""
        office = self._office
        most_rows = self._most("SELECT count(*) FROM file_operation_log GROUP BY workspace_key")
        self.most_rows = max(self.most_rows, most_rows)
        self.most_snapshots = max(
            self.most_snapshots, self._most("SELECT count(*) FROM file_snapshots GROUP BY file_key")
        )
        moment = office.loop.time()
        if moment % DAY == NIGHT and moment > DAY:
            require(not office.collaboration.router.sessions, "a document is still in memory at night")
            self.most_rows_at_night = max(self.most_rows_at_night, most_rows)
            self.nights.append(self._night(int(moment // DAY)))
            print(_told(self.nights[-1]), file=sys.stderr, flush=True)

    def operations(self) -> int:
        return self._number("SELECT coalesce(sum(last_sequence), 0) FROM heads")

    def _night(self, day: int) -> Night:
        gc.collect()
        resident, held, blocks = resident_bytes(os.getpid()) or 0, heap_in_use(), sys.getallocatedblocks()
        if self._trace:
            self._compare()
        return Night(
            day,
            self.operations(),
            resident,
            held,
            blocks,
            len(self._office.storage._ceilings),
            self._number("SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE"),
            tuple(map(self._bytes, TABLES)),
            self._number("SELECT count(*) FROM file_operation_log"),
            self._number("SELECT count(*) FROM log_segments"),
            self._number("SELECT count(*) FROM file_snapshots"),
        )

    def _bytes(self, table: str) -> int:
        return self._number(
            "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name IN"
            f" (SELECT name FROM sqlite_master WHERE tbl_name = '{table}')"
        )

    def _most(self, statement: str) -> int:
        return self._number(
            f"SELECT coalesce(max(number), 0) FROM ({statement.replace('count(*)', 'count(*) number')})"
        )

    def _number(self, statement: str) -> int:
        return int(self._office.reader.execute(statement).fetchone()[0])

    def _compare(self) -> None:
        now = tracemalloc.take_snapshot() if tracemalloc.is_tracing() else None
        if now is None:
            tracemalloc.start(4)
        elif self._before is None:
            self._before = now
        else:
            for line in now.compare_to(self._before, "traceback")[:8]:
                print(line, *line.traceback.format(), sep="\n  ", file=sys.stderr)


class _Heap(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]
    uordblks: int
    hblkhd: int


def heap_in_use() -> int:
    """Bytes that C's heap has handed out; 0 where nobody can say."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    library.mallinfo2.restype = _Heap
    heap: _Heap = library.mallinfo2()
    return heap.uordblks + heap.hblkhd


def _told(night: Night) -> str:
    sizes = ", ".join(f"{name} {size / MB:.1f}" for name, size in zip(TABLES, night.tables, strict=True))
    return (
        f"night {night.day}: {night.operations:,} operations; {night.resident / MB:.1f} MB resident,"
        f" {night.held / MB:.2f} held, {night.blocks:,} blocks, {night.series:,} series;"
        f" {night.rows:,} rows, {night.segments} segments, {night.snapshots} snapshots; MB: {sizes}"
    )
