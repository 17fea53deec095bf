"""Real processes on a real PostgreSQL: owners are stopped (SIGSTOP) past their leases while commits are on their way,
and go on when another one has taken over; now and then all take everything for their own. What the tables have and
what the processes were told is compared afterwards. `COSCRIBE_ROUNDS` says how often (4); it prints its seed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coscribe.model import GENESIS, LogEntry, link
from coscribe.persistence.postgres import PostgresStorage
from tests.cluster.fence_worker import LEASE
from tests.servers import ends_with_us, has_ended

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("COSCRIBE_ROUNDS", "4"))
DOCUMENTS = ["d0", "d1", "d2", "d3"]
WORKERS = ["a", "b", "c"]
PATIENCE = 120.0
"""Seconds. A limit against hanging for ever, no claim."""


class Workers:
    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self._at = dict.fromkeys(WORKERS, 0)
        self.notes: list[dict[str, Any]] = []
        self._running = {name: self._start(url, name) for name in WORKERS}

    def _start(self, url: str, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-u", "-m", "tests.cluster.fence_worker", url, name, str(self.folder), *DOCUMENTS]
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=log, stderr=log)
        ends_with_us(process.pid)
        return process

    def send(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def look(self) -> list[dict[str, Any]]:
        """What was noted since the last look."""
        fresh = []
        for name in WORKERS:
            path = self.folder / f"{name}.jsonl"
            if path.exists():
                with path.open() as file:
                    file.seek(self._at[name])
                    lines = file.read()
                whole = lines[: lines.rfind("\n") + 1]
                self._at[name] += len(whole.encode())
                fresh += [json.loads(line) for line in whole.splitlines()]
        self.notes += fresh
        return fresh

    def until(self, reached: Callable[[dict[str, str]], bool]) -> None:
        """``reached`` is asked who acknowledged last, by document, since now."""
        last: dict[str, str] = {}
        self.look()
        deadline = time.monotonic() + PATIENCE
        while not reached(last):
            assert time.monotonic() < deadline, (last, self._words())
            time.sleep(0.02)  # other processes have no event to wait for
            last |= {note["document"]: note["by"] for note in self.look() if "ack" in note}

    def _words(self) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text()[-500:] for name in WORKERS)

    def end(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            has_ended(process.pid)
        self.look()


@contextmanager
def workers(url: str, folder: Path) -> Iterator[Workers]:
    running = Workers(url, folder)
    try:
        yield running
    finally:
        running.end()


def test_stopped_owners_that_go_on_are_refused_and_nobody_is_shown_what_was(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    url, seed = postgres(), int(os.environ.get("COSCRIBE_SEED", "0")) or random.randrange(1 << 31)
    print(f"seed {seed}, {ROUNDS} rounds")
    rng = random.Random(seed)
    asyncio.run(_made(url))
    with workers(url, tmp_path) as running:
        running.until(lambda last: len(last) == len(DOCUMENTS))
        for round_ in range(ROUNDS):
            if round_ % 4 == 3:
                (tmp_path / "rogue").touch()
                running.until(lambda last: len(last) == len(DOCUMENTS))
                stopped = rng.choice(WORKERS)
                running.send(stopped, signal.SIGSTOP)
                time.sleep(rng.uniform(0.0, 0.5))
                running.send(stopped, signal.SIGCONT)
                time.sleep(rng.uniform(0.0, 0.3))
                (tmp_path / "rogue").unlink()
            else:
                owner: dict[str, str] = {}
                document = rng.choice(DOCUMENTS)

                def seen(last: dict[str, str], document: str = document, owner: dict[str, str] = owner) -> bool:
                    owner.update(last)
                    return document in last

                running.until(seen)
                stopped = owner[document]
                time.sleep(rng.uniform(0.0, 0.05))
                running.send(stopped, signal.SIGSTOP)
                if rng.random() < 0.8:
                    running.until(partial(_all_but, stopped))
                else:
                    time.sleep(rng.uniform(0.7, 1.3) * LEASE)
                time.sleep(rng.uniform(0.0, 0.2))
                running.send(stopped, signal.SIGCONT)
            time.sleep(rng.uniform(0.0, 0.5))
        running.until(lambda last: len(last) == len(DOCUMENTS))
    logs = asyncio.run(_logs(url))
    _compare(running.notes, logs)
    refused = sum(max(n["refused"] for n in running.notes if n["by"] == name and "refused" in n) for name in WORKERS)
    fenced = sum(max(n["fenced"] for n in running.notes if n["by"] == name and "fenced" in n) for name in WORKERS)
    acks = sum("ack" in note for note in running.notes)
    reads = sum("read" in note for note in running.notes)
    print(f"{acks} acknowledged, {reads} read, {refused:.0f} appends refused, {fenced:.0f} times gave up by itself")


def _all_but(stopped: str, last: dict[str, str]) -> bool:
    """Others have taken over everything."""
    return len(last) == len(DOCUMENTS) and stopped not in last.values()


async def _made(url: str) -> None:
    storage = PostgresStorage(url)
    for document in DOCUMENTS:
        await storage.create(document, document, document, 0)
    await storage.close()


async def _logs(url: str) -> dict[str, list[LogEntry]]:
    storage = PostgresStorage(url)
    logs = {}
    for document in DOCUMENTS:
        workspace = await storage.acquire(document)
        assert workspace is not None
        logs[document] = await storage.read(workspace.key, 0, through=1 << 40, limit=1 << 30)
        assert workspace.last_sequence == len(logs[document])
    await storage.close()
    return logs


def _compare(notes: list[dict[str, Any]], logs: dict[str, list[LogEntry]]) -> None:
    for document, log in logs.items():
        assert [entry.sequence for entry in log] == list(range(1, len(log) + 1)), f"{document} has a gap"
        before = GENESIS
        for entry in log:
            place = entry.sequence, entry.version, entry.base_version, entry.author_ref, entry.time
            named = document.encode(), entry.operation_id.encode()
            assert link(before, *place, *named, entry.salt, entry.payload) == entry.digest, f"{document} is no chain"
            before = entry.digest
    acks = [note for note in notes if "ack" in note]
    for note in acks:
        entry = logs[note["document"]][note["sequence"] - 1]
        assert entry.operation_id == note["ack"], f"{note}: at that place is {entry.operation_id}"
    durable: dict[str, list[tuple[float, int]]] = {document: [] for document in logs}
    for note in sorted(acks, key=lambda note: note["t"]):
        known = durable[note["document"]]
        known.append((note["t"], max(note["sequence"], known[-1][1] if known else 0)))
    for note in notes:
        if "read" in note:
            assert note["length"] == logs[note["read"]][note["sequence"] - 1].version if note["sequence"] else True
            newest = max((sequence for at, sequence in durable[note["read"]] if at < note["began"]), default=0)
            assert note["sequence"] >= newest, f"{note} although {newest} was acknowledged before it was asked for"
