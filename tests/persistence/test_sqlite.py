"""What only the SQLite adapter has: durability settings, unknown outcomes, migrations."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from coscribe.documents.ports import Append, StorageError
from coscribe.persistence.migrate import current, head, migrate
from coscribe.persistence.schema import metadata
from coscribe.persistence.sqlite import SqliteStorage, connect
from tests.contracts.op_log import acquired, appended, entry


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    connection = connect(tmp_path / "log.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_migrations_lead_to_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    assert current(path) == ""
    migrate(path)
    assert current(path) == head()
    migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_failing_write_is_an_unknown_outcome_and_storage_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    migrate(path)
    storage = SqliteStorage(path)
    workspace = await acquired(storage)
    rows = await appended(storage, workspace, ["a:1"])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("ALTER TABLE file_operation_log RENAME TO elsewhere")
    row = entry(2, "a:2", file_key=workspace.files[0].key, author_ref=rows[0].author_ref)
    with pytest.raises(StorageError):
        await storage.append([Append(workspace.key, workspace.epoch, 1, row.digest, [row])])
    other.execute("ALTER TABLE elsewhere RENAME TO file_operation_log")
    other.close()
    assert await storage.read(workspace.key, 0, through=9, limit=9) == rows
    await appended(storage, workspace, ["a:2"], previous=1)
    await storage.close()


async def test_a_database_that_cannot_be_opened_again_is_tried_again_with_the_next_job(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    migrate(folder / "log.db")
    storage = SqliteStorage(folder / "log.db")
    workspace = await acquired(storage)
    rows = await appended(storage, workspace, ["a:1"])
    other = sqlite3.connect(folder / "log.db", isolation_level=None)
    other.execute("ALTER TABLE file_operation_log RENAME TO elsewhere")
    folder.rename(tmp_path / "away")
    row = entry(2, "a:2", file_key=workspace.files[0].key, author_ref=rows[0].author_ref)
    async with asyncio.timeout(60):
        for _ in range(2):
            with pytest.raises(StorageError):
                await storage.append([Append(workspace.key, workspace.epoch, 1, row.digest, [row])])
        (tmp_path / "away").rename(folder)
        other.execute("ALTER TABLE elsewhere RENAME TO file_operation_log")
        other.close()
        await appended(storage, workspace, ["a:2"], previous=1)
        await storage.close()


async def test_an_erased_author_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    migrate(path)
    storage = SqliteStorage(path)
    workspace = await acquired(storage)
    rows = await appended(storage, workspace, ["a:1"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE authors SET user_id = NULL")
    connection.close()
    read = await storage.read(workspace.key, 0, through=9, limit=9)
    assert read == [rows[0]._replace(author=f"erased-{rows[0].author_ref}")]
    await storage.close()
