"""Planted bugs, for real servers: `COSCRIBE_PLANTED_BUG=NAME python -m tests.chaos.bugs serve ...`.

The chaos run has to notice each of them (`python -m tests.chaos --bug NAME`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from coscribe import app
from coscribe.cli import main
from coscribe.core.dedup import Registry
from coscribe.documents.ports import Append, AppendResult, StorageError
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage
from tests.simulation.bugs import BUGS as SIMULATED


def _migrate_without_unique_ids(path: Path) -> None:
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'file_operation_log'").fetchone()
        if "UNIQUE" in sql:
            connection.execute("DROP TABLE file_operation_log")
            connection.execute(sql.replace("UNIQUE (workspace_key, counter, series)", "CHECK (TRUE)"))
            connection.commit()


@contextmanager
def _ids_forgotten() -> Iterator[None]:
    forgets = patch.object(Registry, "find", lambda *_: "new")
    with forgets, patch.object(app, "migrate", _migrate_without_unique_ids):
        yield


@contextmanager
def _full_disk_taken_for_written() -> Iterator[None]:
    append = SqliteStorage.append

    async def appended(self: SqliteStorage, appends: Sequence[Append]) -> list[AppendResult]:
        try:
            return await append(self, appends)
        except StorageError:
            return [AppendResult.COMMITTED for _ in appends]

    with patch.object(SqliteStorage, "append", appended):
        yield


BUGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "visible before durable": SIMULATED["visible before durable"].plant,
    "ids are forgotten": _ids_forgotten,
    "a full disk is taken for written": _full_disk_taken_for_written,
}


if __name__ == "__main__":
    with BUGS[os.environ["COSCRIBE_PLANTED_BUG"]]():
        main()
