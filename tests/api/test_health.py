"""/healthz says that the process lives, /readyz whether it can serve, /metrics how long everything takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from coscribe import app
from coscribe.app import Coscribe, Readiness
from coscribe.client import Client
from coscribe.cluster.ports import BusUnavailable
from coscribe.config import Settings
from coscribe.documents.ports import StorageError
from coscribe.metrics import TIMED_TURNS, metrics
from coscribe.persistence.memory import MemoryStorage
from tests.api.town import SECRET, Town
from tests.gateway.site import serving, token


async def asked(coscribe: Coscribe, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(coscribe.asgi, client=("127.0.0.1", 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8777") as client:
        return await client.get(path)


def value(name: str) -> float:
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


async def test_a_server_that_runs_is_ready(town: Town) -> None:
    answer = await asked(town.coscribe, "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert (await asked(town.coscribe, "/healthz")).json() == {"status": "ok"}


async def test_a_server_that_stops_is_not(tmp_path: Path) -> None:
    coscribe = Coscribe(Settings(folder=tmp_path, token_secret=SECRET), storage=MemoryStorage())
    async with coscribe.running():
        assert (await asked(coscribe, "/readyz")).status_code == 200
    answer = await asked(coscribe, "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reason": "the server is stopping"}
    assert (await asked(coscribe, "/healthz")).status_code == 200


class Probe:
    """Counts; waits until it is let go, or fails."""

    def __init__(self) -> None:
        self.count = 0
        self.way = asyncio.Event()
        self.way.set()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.count += 1
        await self.way.wait()
        if self.error is not None:
            raise self.error


class Time:
    """Passes when told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def test_the_database_is_asked_once_a_second_at_most() -> None:
    probe, time = Probe(), Time()
    readiness = Readiness(probe, time)
    answers = await asyncio.gather(*(readiness.trouble() for _ in range(50)))
    assert answers == [""] * 50
    assert await readiness.trouble() == ""
    assert probe.count == 1
    time.seconds += 1.0
    assert await readiness.trouble() == ""
    assert probe.count == 2


async def test_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PROBE_SECONDS", 0.01)
    probe, time = Probe(), Time()
    readiness = Readiness(probe, time)
    probe.way.clear()
    assert "has not answered" in await readiness.trouble()
    time.seconds += 1.0
    assert "has not answered" in await readiness.trouble()
    assert probe.count == 1, "one probe waits, however often it is asked"
    probe.way.set()
    time.seconds += 1.0
    assert await readiness.trouble() == ""


async def test_a_database_that_refuses() -> None:
    probe, time = Probe(), Time()
    readiness = Readiness(probe, time)
    probe.error = StorageError("disk I/O error")
    assert await readiness.trouble() == "the database refuses: disk I/O error"
    probe.error = BusUnavailable("the bus cannot be reached")
    time.seconds += 1.0
    assert await readiness.trouble() == "the bus cannot be reached"
    probe.error = None
    time.seconds += 1.0
    assert await readiness.trouble() == ""


async def test_a_writer_that_is_stuck_is_noticed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe goes the way of a commit: whoever holds the turn to write holds it up."""
    monkeypatch.setattr(app, "PROBE_SECONDS", 0.05)
    held, let_go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: object) -> None:
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result()

    holding = asyncio.create_task(town.coscribe.people.database.write(hold))
    await held.wait()
    answer = await asked(town.coscribe, "/readyz")
    assert answer.status_code == 503
    assert "has not answered" in answer.json()["reason"]
    let_go.set()
    await holding
    while (await asked(town.coscribe, "/readyz")).status_code != 200:
        pass


async def test_every_stage_is_measured(tmp_path: Path) -> None:
    stages = ("commit_seconds", "commit_group_size", "turn_seconds", "join_seconds", "snapshot_seconds")
    before = {stage: value(f"coscribe_{stage}_count") for stage in stages}
    coscribe = Coscribe(Settings(folder=tmp_path, token_secret="s" * 32))
    async with serving(coscribe.asgi) as address, Client(f"ws://{address}/ws", token("ann")) as ann:
        notes = await ann.open("notes")
        for _ in range(TIMED_TURNS):
            notes.insert(0, "x")
            await notes.synced()
        exported = (await asked(coscribe, "/metrics")).text
        assert value("coscribe_ready") == 1
        assert value("coscribe_database_bytes") > 0
        assert value("coscribe_wal_bytes") > 0
        assert value("coscribe_disk_free_bytes") > 0
    after = {stage: value(f"coscribe_{stage}_count") for stage in stages}
    more = {stage: after[stage] - before[stage] for stage in stages}
    assert more["commit_seconds"] == more["commit_group_size"] == TIMED_TURNS
    assert more["turn_seconds"] == 1
    assert more["join_seconds"] == 1
    assert more["snapshot_seconds"] == 1
    assert 'coscribe_commit_seconds_bucket{le="0.005"}' in exported
    assert value("coscribe_snapshots_saving") == 0
