"""What a group commit takes, in SQLite and in PostgreSQL, each durable and on the same disk, in turns.

    python -m tests.persistence.appending --repeat 5

50 writers each have one operation on its way; what has come together while the last group was written is the next
group. All are in one document, or each is in one of its own. No engine and no network are in it: only the adapter.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import NamedTuple

import uvloop

from coscribe.bench.machine import Disk
from coscribe.documents.ports import Append, AppendResult
from coscribe.model import LogEntry, Workspace
from coscribe.persistence.postgres import PostgresStorage
from coscribe.persistence.sqlite import SqliteStorage
from tests.migrated import fresh_database
from tests.servers import PostgresServer

WRITERS = 50


class Figures(NamedTuple):
    """Operations a second, milliseconds of each from its writer to the disk, and how many came in a group."""

    rate: float
    p50: float
    p99: float
    group: float


class Log:
    """The log of a workspace, as its owner knows it; what waits to be written, each with its writer."""

    def __init__(self, workspace: Workspace, author: int) -> None:
        self._workspace = workspace
        self._author = author
        self._sequence = 0
        self.waiting: list[tuple[str, asyncio.Future[None]]] = []

    def take(self, random: Random) -> tuple[Append, list[asyncio.Future[None]]]:
        previous, key = self._sequence, self._workspace.files[0].key
        rows: list[LogEntry] = []
        for name, _ in self.waiting:
            self._sequence += 1
            at = self._sequence
            fields = random.randbytes(16), 1_000_000 + at, b'[[120,"x",3400],[]]', random.randbytes(16)
            rows.append(LogEntry(at, key, at, at - 1, name, "ann", self._author, *fields, random.randbytes(32)))
        told = [future for _, future in self.waiting]
        self.waiting = []
        return Append(self._workspace.key, self._workspace.epoch, previous, rows[-1].digest, rows), told


async def measure(storage: SqliteStorage | PostgresStorage, documents: int, seconds: float, run: int) -> Figures:
    """``run`` tells documents of one run from those of another."""
    random, clock = Random(run), time.perf_counter
    author = await storage.author("ann")
    logs: list[Log] = []
    for number in range(documents):
        name = f"d{run}-{number}"
        await storage.create(name, name, name, 1)
        workspace = await storage.acquire(name)
        assert workspace is not None
        logs.append(Log(workspace, author))
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    times: list[float] = []
    groups = 0
    ends = clock() + seconds

    async def write(writer: int) -> None:
        log, counter = logs[writer % documents], 0
        while (began := clock()) < ends:
            counter += 1
            done: asyncio.Future[None] = loop.create_future()
            log.waiting.append((f"{writer:016x}:{counter}", done))
            came.set()
            await done
            times.append(clock() - began)

    async def commit() -> None:
        nonlocal groups
        while True:
            await came.wait()
            came.clear()
            taken = [log.take(random) for log in logs if log.waiting]
            assert set(await storage.append([append for append, _ in taken])) == {AppendResult.COMMITTED}
            groups += 1
            for _, told in taken:
                for future in told:
                    future.set_result(None)

    committing = asyncio.create_task(commit())
    began = clock()
    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    took = clock() - began
    committing.cancel()
    cuts = quantiles(times, n=100)
    return Figures(len(times) / took, cuts[49] * 1e3, cuts[98] * 1e3, len(times) / groups)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--only", choices=("sqlite", "postgres"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as here, PostgresServer() as server:
        folder = Path(here)
        storages: dict[str, SqliteStorage | PostgresStorage] = {
            "sqlite": SqliteStorage(fresh_database(folder / "log.db")),
            "postgres": PostgresStorage(server.fresh()),
        }
        chosen = {name: each for name, each in storages.items() if arguments.only in (None, name)}
        found: dict[tuple[str, int], list[Figures]] = {}
        disk = Disk(folder)
        for run in range(arguments.repeat):
            disk.measure(20)
            for documents in (1, WRITERS):
                for name, storage in chosen.items():
                    figures = await measure(storage, documents, arguments.seconds, run * 100 + documents)
                    found.setdefault((name, documents), []).append(figures)
        for storage in storages.values():
            await storage.close()
        print(
            f"{WRITERS} writers, one operation each on its way; medians of {arguments.repeat} runs of"
            f" {arguments.seconds:g} s, in turns. Durable: SQLite synchronous=FULL; PostgreSQL synchronous_commit=on,"
            f" fsync=on. The disk: 12 KB + fdatasync in {median(disk.times) * 1e3:.2f} ms."
            f" Load: {os.getloadavg()[0]:.1f}."
        )
        print(f"{'':<10}{'documents':>10}{'ops/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'group':>7}   ops/s of each run")
        for (name, documents), runs in found.items():
            rate, p50, p99, group = (median(column) for column in zip(*runs, strict=True))
            each = " ".join(f"{figures.rate:.0f}" for figures in runs)
            print(f"{name:<10}{documents:>10}{rate:>9.0f}{p50:>8.2f}{p99:>8.2f}{group:>7.1f}   {each}")


if __name__ == "__main__":
    uvloop.run(main())
