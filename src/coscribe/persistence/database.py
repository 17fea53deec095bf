"""Ordinary tables through SQLAlchemy: everything but the operation log and the snapshots.

A job is a plain function of a `sqlalchemy.Connection`, run whole, in one transaction, in a thread. A transaction never
waits for the event loop between two statements, so it holds SQLite's only write lock for as short as it can, and the
operation log beside it does not have to wait.

The same functions run on PostgreSQL, and there, too, one writes at a time, of all instances (see
`engines.postgres_writer`): each job sees what was committed before it, so none has to be written for conflicts.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.metrics import metrics
from coscribe.persistence.engines import postgres_reader, postgres_writer, sqlite_engine

_T = TypeVar("_T")

Job = Callable[[Connection], _T]

READERS = 2
MAX_WAITING = 2_000
"""Jobs that may wait; more are refused with ``overloaded``."""

ANSWER_SECONDS = 90.0
"""When a PostgreSQL that says nothing is no longer waited for: it ends its own waits much earlier."""

_NO_LOCK = "55P03"


class Database:
    """One database whose schema is up to date (see `migrate`): an SQLite file, or the URL of a PostgreSQL.

    ``turn``: see `SqliteStorage`.
    """

    def __init__(self, where: Path | str, turn: threading.Lock | None = None) -> None:
        if isinstance(where, Path):
            writer, reader = sqlite_engine(where, "BEGIN IMMEDIATE", 1), sqlite_engine(where, "BEGIN", READERS)
        else:
            writer, reader = postgres_writer(where), postgres_reader(where, READERS)
        patience = None if isinstance(where, Path) else ANSWER_SECONDS
        self._write = Lane(writer, "database-writer", 1, turn or threading.Lock(), patience)
        self._read = Lane(reader, "database-reader", READERS, nullcontext(), patience)

    async def read(self, job: Job[_T]) -> _T:
        """What the job returns; it sees one moment.

        Errors: the job's own, ``overloaded``, ``invalid_request``: no such value can be stored. Raises StorageError.
        """
        return await self._read.run(job)

    async def write(self, job: Job[_T]) -> _T:
        """The same in a transaction that is durable when this returns; none of it happens if the job raises.

        Errors: the job's own, ``overloaded``, ``invalid_request``. Raises sqlalchemy.exc.IntegrityError, StorageError
        (outcome unknown).
        """
        return await self._write.run(job)

    async def close(self) -> None:
        await self._read.close()
        await self._write.close()


class Lane:
    """Threads that share an engine."""

    def __init__(
        self, engine: Engine, name: str, threads: int, turn: AbstractContextManager[object], patience: float | None
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._patience = patience
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, job: Job[_T]) -> _T:
        if self._waiting >= MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, f"{self._waiting} requests wait for the database")
        self._waiting += 1
        metrics.database_waiting.inc()
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, job)
        except TimeoutError:
            raise StorageError(f"the database has not answered for {self._patience:g} s") from None
        except IntegrityError:
            raise
        except DataError as error:
            raise CoscribeError(Code.INVALID_REQUEST, "a value is too long or too large, or has a zero byte") from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _NO_LOCK:
                raise CoscribeError(Code.OVERLOADED, "others have kept the database from this for too long") from error
            raise StorageError(f"{type(error.orig).__name__}: {_said(error)}") from error
        finally:
            self._waiting -= 1
            metrics.database_waiting.dec()

    def _run(self, job: Job[_T]) -> _T:
        with self._turn, self._engine.begin() as connection:
            return job(connection)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


def _said(error: DBAPIError) -> str:
    """Without the details, in which PostgreSQL repeats what people store."""
    diagnosis = getattr(error.orig, "diag", None)
    return str((diagnosis and diagnosis.message_primary) or error.orig)


def inserted_key(made: CursorResult[Any]) -> int:
    """The key that the database has given to the row that was just inserted."""
    (key,) = made.inserted_primary_key or (None,)
    assert isinstance(key, int), "a row with a key of its own was inserted"
    return key
