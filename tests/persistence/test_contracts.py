"""Every adapter keeps the contracts of its ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.sqlite import SqliteStorage
from tests.contracts.cursor_repo import CursorRepoContract
from tests.contracts.op_log import OpLogContract
from tests.contracts.pruning import PruningContract
from tests.contracts.snapshot_repo import AnyStorage, SnapshotRepoContract
from tests.migrated import fresh_database
from tests.simulation.disk import Disk, FaultyStorage
from tests.simulation.virtual_loop import Process


@pytest.fixture(params=["memory", "sqlite", "faulty"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStorage]:
    made: AnyStorage
    if request.param == "memory":
        made = MemoryStorage()
    elif request.param == "faulty":
        disk = Disk(asyncio.get_running_loop(), Process("nature"), Random(0))
        disk.slowness = 0.000_001  # real seconds here
        made = FaultyStorage(disk)
    else:
        made = SqliteStorage(fresh_database(tmp_path / "log.db"))
    yield made
    await made.close()


class TestOpLog(OpLogContract):
    pass


class TestPruning(PruningContract):
    pass


class TestSnapshotRepo(SnapshotRepoContract):
    pass


@pytest.mark.parametrize("storage", ["memory", "sqlite"], indirect=True)
class TestCursorRepo(CursorRepoContract):
    pass
