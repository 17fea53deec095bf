"""A data folder's database moved into a PostgreSQL: looked through, copied, and proved to be there.

    folder locked --audit, survey--> is it whole, and would all of it go in?      nothing is written anywhere before
                  --copy-----------> batch by batch; cut off, it goes on where it was
                  --survey, audit--> what PostgreSQL gives back is the same, hash by hash
                  --finished-------> the target may be served, and then the folder's own database may not

Nothing in the folder is removed. Every log keeps its incarnation: for its clients it is the same server.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from coscribe.access.ids import new_id, now
from coscribe.cli.common import err
from coscribe.cli.store import Store, owning
from coscribe.cli.verifying import verify_events, verify_store
from coscribe.config import Settings
from coscribe.core.errors import CoscribeError
from coscribe.persistence import moves
from coscribe.persistence.blobs import FolderBlobs
from coscribe.persistence.copying import Survey, Told, copy, count, empty, is_empty, keep_any_bytes, survey
from coscribe.persistence.migrate import current, head, migrate
from coscribe.persistence.moves import SOURCE, TARGET, Move
from coscribe.persistence.postgres_blobs import PostgresBlobs
from coscribe.persistence.stored import StoredLog, engine_for, shown_url, translated, writing

MOVING = 0x636F_7363_0003
"""The advisory lock of whoever moves something into a database."""

_ORPHANS = 'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2'

MAX_NAMED = 10
"""Damaged files that are named."""

Begin = Callable[[str, int], Told]
"""Is told what begins and how many rows it is about; what it returns is told of those that are done."""


class MoveError(Exception):
    """What cannot be moved: why, and what to do. ``damaged``: something is not as it has to be."""

    def __init__(self, message: str, advice: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.damaged = damaged


class Moved(msgspec.Struct, rename="camel"):
    """What was moved. ``resumed``: a part of it was there already; ``before``: all of it was, and nothing was done."""

    source: str
    target: str
    rows: int
    workspaces: int
    entries: int
    resumed: bool
    before: bool = False


class _Audited(NamedTuple):
    workspaces: int
    entries: int


def move(folder: Path, url: str, begin: Begin) -> Moved:
    """Raises MoveError, Unreachable and StorageError; ends with advice where a server has the folder."""
    source, target = Store(folder), Store(folder, url)
    otherwise = "It goes on where it was, on PostgreSQL, when it is started with COSCRIBE_DATABASE_URL."
    with owning(folder, otherwise, anyway=True):
        _bring_up_to_date(source)
        with _connected(source.database) as here:
            left = moves.remembered(here, SOURCE)
            move_id = new_id("mov") if left is None else left.move_id
            with _target(url) as there:
                came = moves.remembered(there, TARGET)
                _assert_ours(there, came, move_id, target)
                if came is not None and came.finished_at is not None:
                    with writing(source.database) as log:
                        moves.finish(log.connection, move_id, str(target), came.finished_at)
                    return Moved(str(source), str(target), 0, 0, 0, resumed=False, before=True)
                found = survey(here, begin("looking through", count(here)))
                _assert_fits(here, found)
                _assert_whole(source, "the folder is damaged, and nothing was moved")
                resumed = _announce(source, there, came, Move(move_id, TARGET, str(source), found.digest, now(), None))
                rows = sum(content.rows for content in found.contents.values())
                digests = StoredLog(here).blobs()
                asyncio.run(_copy_blobs(Settings(folder=folder).blobs, url, digests, begin("contents", len(digests))))
                copy(here, there, begin("copying", rows - count(there)))
                arrived = survey(there, begin("comparing", rows))
                _assert_same(found, arrived)
                audited = _assert_whole(target, "what has arrived is damaged")
                there.execute(text("SET synchronous_commit = on"))
                moves.finish(there, move_id, str(source), now())
                there.commit()
            with writing(source.database) as log:
                moves.finish(log.connection, move_id, str(target), now())
    return Moved(str(source), str(target), rows, *audited, resumed)


def _bring_up_to_date(source: Store) -> None:
    database = source.database
    assert isinstance(database, Path)
    try:
        have = current(database)
        if have > head():
            raise MoveError(f"{source} was written by a newer version", "Move it with that version.")
        migrate(database)
    except (sqlite3.Error, DBAPIError) as error:
        advice = "Is it damaged? Restore it from a backup."
        raise MoveError(f"{source} cannot be read: {error}", advice, damaged=True) from error


@contextmanager
def _connected(database: Path | str) -> Iterator[Connection]:
    """A connection that may write. Raises as `move`."""
    with translated():
        engine = engine_for(database)
        try:
            with engine.connect() as connection:
                if isinstance(database, Path):
                    keep_any_bytes(connection.connection.dbapi_connection)
                yield connection
        finally:
            engine.dispose()


@contextmanager
def _target(url: str) -> Iterator[Connection]:
    """The PostgreSQL, with the present schema, and nobody else who moves something into it."""
    with _connected(url) as there:
        if not there.execute(text(f"SELECT pg_try_advisory_lock({MOVING})")).scalar():
            raise MoveError(f"somebody else moves something into {shown_url(url)}", "Wait until that has ended.")
        there.commit()
        migrate(url)
        if current(url) != head():
            raise MoveError(f"{shown_url(url)} was made by a newer version", "Move the folder with that version.")
        yield there


def _assert_ours(there: Connection, came: Move | None, move_id: str, target: Store) -> None:
    """Raises MoveError."""
    if came is None and not is_empty(there):
        raise MoveError(
            f"{target} is not empty", "Nothing is ever overwritten: name a database that nobody has served yet."
        )
    if came is not None and came.move_id != move_id:
        state = "has begun to move into it" if came.finished_at is None else "was moved into it"
        raise MoveError(f"another folder, {came.place}, {state}", f"Name another database than {target}.")


def _announce(source: Store, there: Connection, came: Move | None, announced: Move) -> bool:
    """Both sides remember what has begun. What a run before has left is kept where it is of what the source is now;
    returns whether it is."""
    with writing(source.database) as log:  # first: whose it is has to be known to whoever goes on
        moves.remember(log.connection, announced._replace(side=SOURCE, digest=None))
    resumed = came is not None and came.digest == announced.digest
    if not resumed:
        empty(there)
    moves.remember(there, announced)
    there.commit()
    return resumed


async def _copy_blobs(folder: Path, url: str, digests: Sequence[str], told: Told) -> None:
    """Those that are not there yet. Each is durable, and compared with its hash, before the next one."""
    source, target = FolderBlobs(folder), PostgresBlobs(url)
    try:
        for digest in digests:
            if await target.size(digest) is None:
                async with target.draft() as draft:
                    async for piece in source.pieces(digest):
                        await draft.write(piece)
                    await draft.keep()
            told(1)
    except CoscribeError as error:
        raise MoveError(error.detail, "It was whole a moment ago: is the disk well?", damaged=True) from error
    finally:
        await target.close()


def _assert_whole(store: Store, what: str) -> _Audited:
    """As `coscribe verify` does. Raises MoveError."""
    verdicts, events = verify_store(store), verify_events(store)
    where = [
        f"{verdict.file or 'the database'}: "
        + (verdict.findings[0].detail if verdict.findings else "see `coscribe verify`")
        for verdict in verdicts
        if not verdict.clean
    ]
    if not events.clean:
        where.append(f"access events: {events.unreadable or 'the chain does not fit'}")
    if where:
        more = [f"and {len(where) - MAX_NAMED:,} more"] if len(where) > MAX_NAMED else []
        message = "\n  ".join([f"{what}:", *where[:MAX_NAMED], *more])
        raise MoveError(message, f"See coscribe verify {store.option}", damaged=True)
    return _Audited(len({verdict.workspace for verdict in verdicts}), sum(verdict.entries for verdict in verdicts))


def _assert_fits(here: Connection, found: Survey) -> None:
    """Raises MoveError."""
    named = [f"{each.table} {', '.join(map(repr, each.key))}: {each.column}: {each.detail}" for each in found.misfits]
    if found.total > len(named):
        named.append(f"and {found.total - len(named):,} more")
    for table, parent, rows in here.exec_driver_sql(_ORPHANS):
        named.append(f"{table}: {rows:,} rows refer to {parent}, and what they refer to is not there")
    if named:
        raise MoveError(
            "\n  ".join(["PostgreSQL would not take everything as it is, and nothing was moved:", *named]),
            "Change this in the folder's database, on a copy first; or restore it from a backup.",
            damaged=True,
        )


def _assert_same(found: Survey, arrived: Survey) -> None:
    """Raises MoveError."""
    for name, content in found.contents.items():
        there = arrived.contents[name]
        if there != content:
            detail = f"{there.rows:,} rows, not {content.rows:,}" if there.rows != content.rows else "other rows"
            raise MoveError(
                f"what has arrived is not what was sent: {name} has {detail}",
                "It cannot be served. Find out what has changed it, make the database anew, and run this again.",
                damaged=True,
            )


@contextmanager
def bars() -> Iterator[Begin]:
    """On the console."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:

        def begin(what: str, rows: int) -> Told:
            task = progress.add_task(what, total=rows)
            return lambda done: progress.advance(task, done)

        yield begin
