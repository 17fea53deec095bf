"""Every adapter keeps the contracts of its ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from coscribe.documents.ports import OpLog
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage
from tests.contracts.cursor_repo import AnyCursors, CursorRepoContract
from tests.contracts.op_log import OpLogContract
from tests.contracts.pruning import PruningContract
from tests.contracts.snapshot_repo import AnyStorage, SnapshotRepoContract
from tests.simulation.disk import Disk, FaultyStorage
from tests.simulation.virtual_loop import Process


@pytest.fixture(params=["memory", "sqlite", "faulty"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStorage]:
    made: AnyStorage
    if request.param == "memory":
        made = MemoryStorage()
    elif request.param == "faulty":
        made = FaultyStorage(Disk(asyncio.get_running_loop(), Process("nature"), Random(0)))
    else:
        migrate(tmp_path / "log.db")
        made = SqliteStorage(tmp_path / "log.db")
    yield made
    await made.close()


@pytest.fixture
def op_log(storage: AnyStorage) -> OpLog:
    return storage


class TestOpLog(OpLogContract):
    pass


class TestPruning(PruningContract):
    pass


class TestSnapshotRepo(SnapshotRepoContract):
    pass


class TestCursorRepo(CursorRepoContract):
    @pytest.fixture(params=["memory", "sqlite"])
    async def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyCursors]:
        migrate(tmp_path / "log.db")
        made: AnyCursors = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "log.db")
        yield made
        await made.close()
