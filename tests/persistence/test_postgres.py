"""The contracts on a real PostgreSQL, and what only this adapter has: the fence between instances, connections that are
cut, settings of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from coscribe.documents.ports import OpLog
from coscribe.persistence.postgres import PostgresStorage
from tests.contracts.cursor_repo import CursorRepoContract
from tests.contracts.op_log import OpLogContract
from tests.contracts.pruning import PruningContract
from tests.contracts.snapshot_repo import SnapshotRepoContract


@pytest.fixture
def url(postgres: Callable[[], str]) -> str:
    return postgres()


@pytest.fixture
async def storage(url: str) -> AsyncIterator[PostgresStorage]:
    made = PostgresStorage(url)
    yield made
    await made.close()


@pytest.fixture
def op_log(storage: PostgresStorage) -> OpLog:
    return storage


class TestOpLog(OpLogContract):
    pass


class TestPruning(PruningContract):
    pass


class TestSnapshotRepo(SnapshotRepoContract):
    pass


class TestCursorRepo(CursorRepoContract):
    pass
