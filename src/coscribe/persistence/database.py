"""Ordinary tables through SQLAlchemy: everything but the operation log and the snapshots.

A job is a plain function of a `sqlalchemy.Connection`, run whole, in one transaction, in a thread. A transaction never
waits for the event loop between two statements, so it holds SQLite's only write lock for as short as it can, and the
operation log beside it does not have to wait. The same functions run on any database SQLAlchemy knows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.metrics import metrics

_T = TypeVar("_T")

Job = Callable[[Connection], _T]

READERS = 2
MAX_WAITING = 2_000
"""Jobs that may wait; more are refused with ``overloaded``."""


class Database:
    """One SQLite file whose schema is up to date (see `migrate`). ``turn``: see `SqliteStorage`."""

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        self._write = _Lane(path, "BEGIN IMMEDIATE", "database-writer", 1, turn or threading.Lock())
        self._read = _Lane(path, "BEGIN", "database-reader", READERS, nullcontext())

    async def read(self, job: Job[_T]) -> _T:
        """What the job returns; it sees one moment. Errors: ``overloaded``. Raises StorageError."""
        return await self._read.run(job)

    async def write(self, job: Job[_T]) -> _T:
        """The same in a transaction that is durable when this returns; none of it happens if the job raises.

        Errors: the job's own, ``overloaded``. Raises sqlalchemy.exc.IntegrityError, StorageError (outcome unknown).
        """
        return await self._write.run(job)

    async def close(self) -> None:
        await self._read.close()
        await self._write.close()


class _Lane:
    """Threads that share an engine and a way to begin."""

    def __init__(self, path: Path, begin: str, name: str, threads: int, turn: AbstractContextManager[object]) -> None:
        self._turn = turn
        self._engine = create_engine(
            f"sqlite:///{path}",
            poolclass=QueuePool,
            pool_size=threads,
            max_overflow=0,
            hide_parameters=True,  # errors are logged, and what people store is nobody's business there
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting = 0
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql(begin))

    async def run(self, job: Job[_T]) -> _T:
        if self._waiting >= MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, f"{self._waiting} requests wait for the database")
        self._waiting += 1
        metrics.database_waiting.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, job)
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise StorageError(f"{type(error.orig).__name__}: {error.orig}") from error
        finally:
            self._waiting -= 1
            metrics.database_waiting.dec()

    def _run(self, job: Job[_T]) -> _T:
        with self._turn, self._engine.begin() as connection:
            return job(connection)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


def _set_up(connection: Any, _: object) -> None:
    """As `coscribe.persistence.sqlite.connect` does; transactions are begun by hand."""
    connection.isolation_level = None
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
