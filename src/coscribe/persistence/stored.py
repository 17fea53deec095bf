"""What is stored, read and redacted without an engine: one moment of a database, SQLite's or PostgreSQL's.

    with reading(database) as log:                  a file, or postgresql://...
        for workspace in log.workspaces():
            for entry in log.entries(workspace.key):    segments and rows as one log, as they are asked for

The steps of `logs` and `closed_log` run here on a connection of SQLAlchemy's. On PostgreSQL the moment is that of a
transaction REPEATABLE READ READ ONLY, and long answers come through cursors of the server; on SQLite it is a read
transaction of the write-ahead log. Neither holds up anybody who writes.

Whoever looks here wants to know what is wrong, so nothing that can be read is left out, damaged or not. A segment that
is damaged raises StorageError, as does a database that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool, StaticPool

from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import Blob, BlobUse, StorageError
from coscribe.model import FileSnapshot, LogEntry, Workspace
from coscribe.persistence import closed_log, logs
from coscribe.persistence.closed_log import ClosedLog
from coscribe.persistence.engines import address, migrating_engine
from coscribe.persistence.segments import IDS, ZLIB, Packed
from coscribe.persistence.sqlite import connect
from coscribe.persistence.steps import Ask, Change, Damaged, Each, Make, Step, Steps

ROWS = 1_000
"""Rows that are fetched at a time."""

LAST = 2**62
"""A sequence that no log comes to."""

_BLOBS = "SELECT DISTINCT hash FROM file_blobs ORDER BY hash"
_USES = (
    "SELECT file_key, file_id, hash, size FROM file_blobs JOIN files USING (workspace_key, file_key)"
    " WHERE workspace_key = $1"
)

_RUNNING = (
    "SELECT name FROM instances WHERE alive_until > extract(epoch FROM clock_timestamp()) * 1000000 ORDER BY name"
)

_T = TypeVar("_T")


class Unreachable(StorageError):
    """There is no such database, or none of this version, or it may not be read."""


class StoredLog:
    """What is stored, as a connection sees it. Raises sqlalchemy.exc.DBAPIError, and StorageError where a segment is
    damaged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, steps: Steps[_T]) -> _T:
        """The result of steps."""
        answer: object = None
        try:
            while True:
                answer = self._answer(steps.send(answer))
        except StopIteration as stop:
            result: _T = stop.value
            return result
        except Damaged as error:
            raise StorageError(str(error)) from error

    def _answer(self, step: Step) -> object:
        if isinstance(step, Ask):
            return self.connection.execute(_text(step.statement), _named(step.arguments)).all()
        if isinstance(step, Change):
            return self.connection.execute(_text(step.statement), _named(step.arguments)).rowcount
        if isinstance(step, Each):
            if step.arguments:
                self.connection.execute(_text(step.statement), list(map(_named, step.arguments)))
            return None
        assert not isinstance(step, Make), "nothing is made here that has a number"
        return step.call()

    def workspaces(self) -> list[Workspace]:
        """Every workspace with its head and its files, in the order of their ids; but for those that are deleted, whose
        log may be gone in part."""
        return self.run(logs.stored_workspaces())

    def entries(
        self, workspace_key: int, *, after: int = 0, through: int = LAST, file_key: int | None = None
    ) -> Iterator[LogEntry]:
        """The entries with after < sequence <= through, oldest first, as they are asked for; of a pruned log what is
        left. Several may be on their way at once."""
        closed = ClosedLog()
        authors: dict[int, str | None] = {}
        while part := self.run(logs.next_part(closed, workspace_key, after, through, file_key)):
            yield from self.run(logs.closed_entries(part.rows, authors))
            after = part.last
        rows = _named((workspace_key, after, through, file_key))
        with self.connection.execute(_text(logs.READ), rows, execution_options={"yield_per": ROWS}) as found:
            yield from map(logs.entry, found)

    def snapshots(self, file_key: int) -> Iterator[FileSnapshot]:
        """The kept snapshots of a file, newest first; damaged ones too."""
        skip = 0
        while snapshot := self.run(logs.newest(file_key, skip)):
            yield snapshot
            skip += 1

    def uses(self, workspace_key: int) -> list[BlobUse]:
        """Which files of a workspace have, or had, which blobs."""
        found = self.connection.execute(_text(_USES), _named((workspace_key,)))
        return [BlobUse(key, file_id, Blob(digest, size)) for key, file_id, digest, size in found]

    def blobs(self) -> list[str]:
        """The hashes of all blobs that some log refers to, in order."""
        return list(self.connection.execute(_text(_BLOBS)).scalars())

    def instances(self) -> list[str]:
        """The names of the instances that run on a PostgreSQL, in order."""
        return list(self.connection.execute(_text(_RUNNING)).scalars())

    def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        """What a pruned log begins with."""
        return self.run(closed_log.checkpoint_of(workspace_key))

    def segments(self, workspace_key: int) -> Iterator[tuple[int, Packed]]:
        """The closed parts of a log, but for what was pruned, in order, with their keys."""
        return self._segments(workspace_key, ZLIB)

    def remembered(self, workspace_key: int) -> Iterator[Packed]:
        """What is left of segments that were pruned, in order."""
        return (packed for _, packed in self._segments(workspace_key, IDS))

    def _segments(self, workspace_key: int, kind: int) -> Iterator[tuple[int, Packed]]:
        for segment_key in self.run(closed_log.segments_of(workspace_key, LAST, kind)):
            yield segment_key, self.run(closed_log.segment(segment_key))

    def wrongly_listed(self, workspace_key: int) -> list[int]:
        """The first sequences of segments of a tree that hold other files than it is kept of them. Takes its time."""
        return self.run(closed_log.wrongly_listed(workspace_key))


@cache
def _text(statement: str) -> TextClause:
    """A statement of steps as SQLAlchemy takes it; for `_named` arguments."""
    return text(re.sub(r"\$(\d+)", r":p\1", statement))


def _named(arguments: Sequence[object]) -> dict[str, object]:
    return {f"p{number}": value for number, value in enumerate(arguments, 1)}


@contextmanager
def reading(database: Path | str) -> Iterator[StoredLog]:
    """One moment of a database: a file of SQLite's, or the URL of a PostgreSQL. Nothing in it can be changed.

    Raises Unreachable, also inside the block, and StorageError where it is damaged.
    """
    with translated():
        engine = engine_for(database, read_only=True)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN")
                else:
                    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                yield StoredLog(connection)
        finally:
            engine.dispose()


@contextmanager
def writing(database: Path | str) -> Iterator[StoredLog]:
    """The same in one transaction that may change it, and is committed when the block is through. Raises likewise."""
    with translated():
        engine = engine_for(database)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield StoredLog(connection)
                connection.commit()
        finally:
            engine.dispose()


def stored_in(db: Any) -> StoredLog:
    """What an open connection of `sqlite.connect` sees, transaction and all; it stays open."""
    engine = create_engine("sqlite://", creator=lambda: db, poolclass=StaticPool, pool_reset_on_return=None)
    return StoredLog(engine.connect())


def engine_for(database: Path | str, *, read_only: bool = False) -> Engine:
    """Connects anew each time. What people have stored is not in its errors. Raises Unreachable."""
    if isinstance(database, Path):
        return create_engine(
            "sqlite://",
            creator=lambda: connect(database, read_only=read_only),
            poolclass=NullPool,
            hide_parameters=True,
        )
    try:
        return migrating_engine(postgres_url(database))
    except ImportError as error:
        raise Unreachable(f"PostgreSQL takes {error.name}: install coscribe[cluster]") from error


def postgres_url(url: str) -> str:
    """As `engines` takes it. Raises Unreachable; what is wrong may hold a password, and is not in it."""
    return address(_parsed(url).render_as_string(hide_password=False))


def shown_url(url: str) -> str:
    """A URL as people may read it: without what is secret in it. Raises Unreachable."""
    at = _parsed(url)
    return URL.create("postgresql", at.username, None, at.host, at.port, at.database).render_as_string()


def _parsed(url: str) -> URL:
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise Unreachable("that is no URL of a database") from None
    if found.get_backend_name() not in ("postgresql", "postgres"):
        raise Unreachable("a database has a URL like postgresql://user:password@host:5432/name")
    return found.set(drivername="postgresql")


@contextmanager
def translated() -> Iterator[None]:
    """Turns what a driver raises into Unreachable or StorageError."""
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise Unreachable(said_by(error)) from error
    except DBAPIError as error:
        raise StorageError(said_by(error)) from error


def said_by(error: DBAPIError) -> str:
    """What a database says is wrong, in one line, without its details: there may be what people store in them."""
    diagnosis = getattr(error.orig, "diag", None)
    return " ".join((getattr(diagnosis, "message_primary", None) or str(error.orig)).split())
