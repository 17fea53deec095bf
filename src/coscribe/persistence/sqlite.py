"""SQLite: the embedded, durable default. One file, one writer thread, one reader thread.

WAL with synchronous=FULL: a commit has returned only after fsync. Group commit above makes that cheap. SQL is compiled
once from the tables of `schema`; rows go in many at a time, because every step of a statement lets go of Python's
global lock and has to win it back from a busy event loop. Closed parts of a log are in segments (`closed_log`); whoever
reads sees one moment of both, and one log.

A commit that raises has an unknown outcome. The connection is thrown away then: a failed fsync may have dropped pages
that SQLite believes written, so only what a fresh connection reads back is the truth. The next job opens it, and fails
where that cannot be done, as on a full disk.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnClause, bindparam, column, func, insert, literal_column, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.expression import ClauseElement

from coscribe.core.dedup import Record, join_id, split_id
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import (
    Append,
    AppendResult,
    Blob,
    BlobUse,
    Home,
    LastCursor,
    Latest,
    Prunable,
    Retained,
    Segment,
    SegmentSize,
    StorageError,
)
from coscribe.model import GENESIS, File, FileSnapshot, LogEntry, Pruned, Workspace, file_key
from coscribe.persistence.closed_log import (
    Closable,
    ClosedLog,
    Signatures,
    checkpoint_of,
    closable,
    closed_through,
    highest_closed,
    move,
    prunable,
    prune,
    pruned,
    pruned_sequence,
    pruned_version,
    segment_ends,
    stripped,
)
from coscribe.persistence.schema import (
    authors,
    file_blobs,
    file_operation_log,
    file_snapshots,
    files,
    heads,
    last_cursors,
    operation_series,
    workspaces,
)
from coscribe.persistence.segments import FilePart, Packed, Row, Run, bytes_of, files_of, pack, runs_of

_T = TypeVar("_T")
_Row = tuple[Any, ...]
_Job = tuple[Callable[[sqlite3.Connection], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_CEILING_STEP = 256
"""Counters between two ceilings of a series."""

_MAX_CEILINGS = 50_000
"""Ceilings that are remembered; beyond that all are forgotten, which costs one more write per series."""

_MAX_ROWS = 64
"""Rows in one INSERT statement."""


_LIMIT = " LIMIT :count"
"""Appended by hand: SQLAlchemy's own adds an OFFSET that has to be bound."""


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


_log = file_operation_log.c
_COLUMNS = tuple(column.name for column in file_operation_log.columns)

_ADVANCE_HEAD = _sql(
    update(heads)
    .where(
        heads.c.workspace_key == bindparam("key"),
        heads.c.epoch == bindparam("mine"),
        heads.c.last_sequence == bindparam("previous"),
    )
    .values(last_sequence=bindparam("last"), chain_hash=bindparam("hash"))
)
_NEXT_EPOCH: ColumnClause[int] = literal_column("epoch + 1")
_RAISE_EPOCH = _sql(
    update(heads).where(heads.c.workspace_key == bindparam("key")).values(epoch=literal_column("epoch + 1"))
)
_WORKSPACE = _sql(
    select(
        workspaces.c.workspace_key,
        workspaces.c.incarnation,
        workspaces.c.secret,
        workspaces.c.kind,
        workspaces.c.folds_case,
    ).where(workspaces.c.workspace_id == bindparam("id"))
)
_HEAD = _sql(
    select(heads.c.epoch, heads.c.last_sequence, heads.c.chain_hash, heads.c.covered_sequence).where(
        heads.c.workspace_key == bindparam("key")
    )
)
_COVER = _sql(
    update(heads)
    .where(heads.c.workspace_key == bindparam("key"), heads.c.covered_sequence < bindparam("to"))
    .values(covered_sequence=bindparam("to"))
)
_FILE_COLUMNS = (
    files.c.file_key,
    files.c.file_id,
    files.c.path,
    files.c.parent_id,
    files.c.name,
    files.c.kind,
    files.c.trashed,
    files.c.purged,
    files.c.content,
    files.c.properties,
)
_FILES = _sql(select(*_FILE_COLUMNS).where(files.c.workspace_key == bindparam("key")).order_by(files.c.file_key))
_KEYS = _sql(select(files.c.file_id, files.c.file_key).where(files.c.workspace_key == bindparam("key")))
_PUT_FILE = (
    f"INSERT INTO files (workspace_key, {', '.join(column.name for column in _FILE_COLUMNS)})"
    f" VALUES (?{', ?' * len(_FILE_COLUMNS)}) ON CONFLICT (file_key) DO UPDATE SET"
    f" {', '.join(f'{column.name} = excluded.{column.name}' for column in _FILE_COLUMNS[1:])}"
)
_BLOBS = _sql(
    select(file_blobs.c.file_key, files.c.file_id, file_blobs.c.hash, file_blobs.c.size)
    .join(files, files.c.file_key == file_blobs.c.file_key)
    .where(
        file_blobs.c.workspace_key == bindparam("key"),
        file_blobs.c.hash.in_(select(column("value")).select_from(func.json_each(bindparam("hashes")))),
    )
)
_IS_USED = _sql(select(file_blobs.c.hash).where(file_blobs.c.hash == bindparam("hash"))) + " LIMIT 1"
_PUT_BLOB = "INSERT OR IGNORE INTO file_blobs (workspace_key, hash, file_key, size) VALUES (?, ?, ?, ?)"
_CURSOR_COLUMNS = ", ".join(LastCursor._fields)
_PUT_CURSOR = (
    f"INSERT INTO last_cursors ({_CURSOR_COLUMNS}) SELECT :{_CURSOR_COLUMNS.replace(', ', ', :')}"
    " WHERE EXISTS (SELECT 1 FROM files WHERE files.file_key = :file_key)"
    " AND NOT EXISTS (SELECT 1 FROM authors WHERE authors.author_ref = :author_ref AND authors.user_id IS NULL)"
    " ON CONFLICT (author_ref, file_key) DO UPDATE SET version = excluded.version, anchor = excluded.anchor,"
    " head = excluded.head, moved_at = excluded.moved_at"
)
_LAST_CURSOR = _sql(
    select(*(last_cursors.c[name] for name in LastCursor._fields)).where(
        last_cursors.c.file_key == bindparam("file"), last_cursors.c.author_ref == bindparam("author")
    )
)


def _old_cursors(of: str) -> str:
    """Deletes those of an author, or of a file, that moved before the last so many."""
    return (
        f"DELETE FROM last_cursors WHERE {of} = :{of} AND moved_at < (SELECT moved_at FROM last_cursors"
        f" WHERE {of} = :{of} ORDER BY moved_at DESC LIMIT 1 OFFSET :keep - 1)"
    )


_OLD_CURSORS = {of: _old_cursors(of) for of in ("author_ref", "file_key")}
_HOME = _sql(
    select(workspaces.c.workspace_id, workspaces.c.kind)
    .join(files, files.c.workspace_key == workspaces.c.workspace_key)
    .where(files.c.file_id == bindparam("id"), files.c.purged.is_(literal_column("0")))
)
_ENTRY = select(
    _log.sequence,
    _log.file_key,
    _log.version,
    _log.base_version,
    _log.series,
    _log.counter,
    authors.c.user_id,
    _log.author_ref,
    _log.request,
    _log.time,
    _log.payload,
    _log.salt,
    _log.digest,
).join(authors, authors.c.author_ref == _log.author_ref)
_READ = (
    _sql(
        _ENTRY.where(
            _log.workspace_key == bindparam("key"),
            _log.sequence > bindparam("after"),
            _log.sequence <= bindparam("through"),
            (_log.file_key == bindparam("file")) | bindparam("file").is_(None),
        ).order_by(_log.sequence)
    )
    + _LIMIT
)
_READ_VERSIONS = (
    _sql(
        _ENTRY.where(
            _log.workspace_key
            == select(files.c.workspace_key).where(files.c.file_key == bindparam("file")).scalar_subquery(),
            _log.file_key == bindparam("file"),
            _log.version > bindparam("after"),
            _log.sequence > bindparam("after"),
            _log.sequence <= bindparam("through"),
        ).order_by(_log.sequence)
    )
    + _LIMIT
)
_FIND = _sql(
    select(authors.c.user_id, _log.author_ref, _log.request, files.c.file_id, _log.sequence, _log.version)
    .join(authors, authors.c.author_ref == _log.author_ref)
    .join(files, files.c.file_key == _log.file_key)
    .where(
        _log.workspace_key == bindparam("key"),
        _log.series == bindparam("series"),
        _log.counter == bindparam("counter"),
    )
)
_CEILING = _sql(
    select(operation_series.c.ceiling).where(
        operation_series.c.workspace_key == bindparam("key"), operation_series.c.series == bindparam("series")
    )
)
_HIGHEST = (
    _sql(
        select(_log.counter)
        .where(
            _log.workspace_key == bindparam("key"),
            _log.series == bindparam("series"),
            _log.counter > bindparam("above"),
            _log.counter <= bindparam("ceiling"),
        )
        .order_by(_log.counter.desc())
    )
    + " LIMIT 1"
)
_RAISE_CEILING = (
    "INSERT INTO operation_series (workspace_key, series, ceiling) VALUES (?, ?, ?)"
    " ON CONFLICT (workspace_key, series) DO UPDATE SET ceiling = max(ceiling, excluded.ceiling)"
)
_AUTHOR = _sql(select(authors.c.author_ref).where(authors.c.user_id == bindparam("user")))
_FILE_ID = _sql(select(files.c.file_id).where(files.c.file_key == bindparam("file")))
_FILE_WORKSPACE = _sql(select(files.c.workspace_key).where(files.c.file_key == bindparam("file")))
_ALL = _sql(select(workspaces.c.workspace_id).order_by(workspaces.c.workspace_id))
_KEPT = _sql(
    select(workspaces.c.workspace_id)
    .where(workspaces.c.status != literal_column("'deleted'"))
    .order_by(workspaces.c.workspace_id)
)
_SNAPSHOTS = _sql(
    select(
        file_snapshots.c.version,
        file_snapshots.c.sequence,
        file_snapshots.c.content,
        file_snapshots.c.content_hash,
        file_snapshots.c.digest,
    )
    .where(file_snapshots.c.file_key == bindparam("file"))
    .order_by(file_snapshots.c.sequence.desc(), file_snapshots.c.snapshot_key.desc())
)
_SNAPSHOT = _SNAPSHOTS + " LIMIT 1 OFFSET :skip"
_LATEST = (
    "SELECT wanted.value, coalesce(files.saved_sequence, 0), kept.version, kept.sequence, kept.content,"
    " kept.content_hash, kept.digest FROM json_each(:keys) AS wanted"
    " LEFT JOIN files ON files.file_key = wanted.value"
    " LEFT JOIN file_snapshots AS kept ON kept.snapshot_key = (SELECT snapshot_key FROM file_snapshots"
    " WHERE file_key = wanted.value ORDER BY sequence DESC, snapshot_key DESC LIMIT 1)"
)
_OLD_SNAPSHOTS = (
    "DELETE FROM file_snapshots WHERE file_key = :file AND snapshot_key NOT IN (SELECT snapshot_key FROM file_snapshots"
    " WHERE file_key = :file ORDER BY sequence DESC, snapshot_key DESC LIMIT :keep)"
)
_SAVED = _sql(select(files.c.saved_sequence).where(files.c.file_key == bindparam("file")))
_NOTE_SAVED = _sql(
    update(files)
    .where(files.c.file_key == bindparam("file"), files.c.saved_sequence < bindparam("to"))
    .values(saved_sequence=bindparam("to"))
)
_INSERT_WORKSPACE = _sql(
    insert(workspaces)
    .values(
        workspace_id=bindparam("id"),
        kind=bindparam("k"),
        incarnation=bindparam("i"),
        secret=bindparam("s"),
        created_at=bindparam("t"),
        folds_case=bindparam("fold"),
    )
    .prefix_with("OR IGNORE")
)
_INSERT_HEAD = _sql(insert(heads))
_INSERT_FILE = _sql(
    insert(files).values(
        file_key=bindparam("key"),
        workspace_key=bindparam("w"),
        file_id=bindparam("f"),
        path=bindparam("p"),
        kind=bindparam("k"),
    )
)
_INSERT_AUTHOR = _sql(insert(authors).values(user_id=bindparam("user")).prefix_with("OR IGNORE"))
_INSERT_SNAPSHOT = _sql(
    insert(file_snapshots).values(
        file_key=bindparam("f"),
        version=bindparam("v"),
        sequence=bindparam("s"),
        content=bindparam("c"),
        content_hash=bindparam("h"),
        digest=bindparam("d"),
    )
)


def _insert_entries(rows: int) -> str:
    """Inserts so many rows, but for those whose id is in a segment: the table's own index only knows what is in it."""
    one = "(" + ",".join("?" * len(_COLUMNS)) + ")"
    key, series, counter = (f"new.column{_COLUMNS.index(name) + 1}" for name in ("workspace_key", "series", "counter"))
    return (
        f"INSERT INTO file_operation_log ({','.join(_COLUMNS)})"
        f" SELECT * FROM (VALUES {','.join([one] * rows)}) AS new WHERE NOT EXISTS (SELECT 1 FROM operation_runs"
        f" WHERE operation_runs.workspace_key = {key} AND operation_runs.series = {series}"
        f" AND last_counter >= {counter} AND first_counter <= {counter})"
    )


_INSERT_ENTRIES = {1 << power: _insert_entries(1 << power) for power in range(_MAX_ROWS.bit_length())}


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection as this adapter uses it. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA busy_timeout = 10000")
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 16000")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -4096")  # KB; what is not in it is in the system's page cache
    return connection


class _Worker:
    """A thread with a connection of its own; jobs run one after the other."""

    def __init__(self, path: Path, name: str, turn: AbstractContextManager[object]) -> None:
        self._path = path
        self._turn = turn
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = connect(path)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[sqlite3.Connection], _T]) -> _T:
        """Raises StorageError; for a job that writes the outcome is then unknown."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._jobs.put((job, loop, future))
        return await future

    async def stop(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._throw_away()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, loop, future = item
            try:
                with self._turn:
                    if self._connection is None:
                        self._connection = connect(self._path)
                    result = job(self._connection)
            except sqlite3.Error as error:
                self._throw_away()
                _tell(loop, future, None, StorageError(f"{type(error).__name__}: {error}"))
            except BaseException as error:
                self._throw_away()
                _tell(loop, future, None, error)
            else:
                _tell(loop, future, result, None)

    def _throw_away(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, error: BaseException | None
) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


class SqliteStorage:
    """OpLog, SnapshotRepo and CursorRepo over one SQLite file whose schema is up to date (see `migrate`).

    ``turn`` is held while something is written: whoever else writes to the file in this process takes it, too. SQLite
    has one write lock, and who finds it taken sleeps for some milliseconds before it looks again.
    """

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        self._ceilings: dict[tuple[int, str], int] = {}
        self._closed = ClosedLog()
        self._writer = _Worker(path, "sqlite-writer", turn or threading.Lock())
        self._reader = _Worker(path, "sqlite-reader", nullcontext())

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        made = _New(workspace_id, "document", file_id, path, time)
        await self._writer.run(lambda db: _in_transaction(db, lambda: _create(db, made)))

    async def create_tree(self, workspace_id: str, time: int, *, folds_case: bool = False) -> None:
        made = _New(workspace_id, "workspace", workspace_id, "", time, folds_case)
        await self._writer.run(lambda db: _in_transaction(db, lambda: _create(db, made)))

    async def locate(self, file_id: str) -> Home | None:
        found = await self._reader.run(lambda db: db.execute(_HOME, {"id": file_id}).fetchone())
        return None if found is None else Home(found[0], found[1] == "workspace")

    async def keys(self, workspace_key: int) -> dict[str, int]:
        return await self._reader.run(lambda db: dict(db.execute(_KEYS, {"key": workspace_key}).fetchall()))

    async def acquire(self, workspace_id: str) -> Workspace | None:
        return await self._writer.run(lambda db: _in_transaction(db, lambda: _acquire(db, workspace_id)))

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        return await self._writer.run(lambda db: _append_all(db, appends, self._ceilings))

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        def job(db: sqlite3.Connection) -> list[LogEntry] | None:
            if after < pruned_sequence(db, workspace_key):
                return None
            return list(_read(db, self._closed, workspace_key, after, through, limit, file_key))

        return _whole(await self._reader.run(lambda db: _at_one_moment(db, lambda: job(db))), f"sequence {after}")

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        def job(db: sqlite3.Connection) -> list[LogEntry] | None:
            if after_version < pruned_version(db, file_key):
                return None
            return list(_read_versions(db, self._closed, file_key, after_version, through, limit))

        return _whole(
            await self._reader.run(lambda db: _at_one_moment(db, lambda: job(db))), f"version {after_version}"
        )

    async def find(self, workspace_key: int, operation_id: str) -> Record | None:
        return await self._reader.run(
            lambda db: _at_one_moment(db, lambda: _find(db, self._closed, workspace_key, operation_id))
        )

    async def highest(self, workspace_key: int, series: str) -> int:
        return await self._reader.run(lambda db: _at_one_moment(db, lambda: _highest(db, workspace_key, series)))

    async def author(self, user_id: str) -> int:
        found = await self._reader.run(lambda db: db.execute(_AUTHOR, {"user": user_id}).fetchone())
        if found is None:
            await self._writer.run(
                lambda db: _in_transaction(db, lambda: db.execute(_INSERT_AUTHOR, {"user": user_id}))
            )
            found = await self._reader.run(lambda db: db.execute(_AUTHOR, {"user": user_id}).fetchone())
        return int(found[0])

    async def workspaces(self) -> list[str]:
        return await self._reader.run(lambda db: [row[0] for row in db.execute(_ALL)])

    async def closed(self, workspace_key: int) -> int:
        return await self._reader.run(lambda db: closed_through(db, workspace_key))

    async def cover(self, workspace_key: int, sequence: int) -> None:
        await self._writer.run(
            lambda db: _in_transaction(db, lambda: db.execute(_COVER, {"key": workspace_key, "to": sequence}))
        )

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        found = await self._reader.run(
            lambda db: _at_one_moment(db, lambda: closable(db, workspace_key, through, size))
        )
        if found is None:
            return None
        try:
            made = await asyncio.to_thread(_packed, workspace_key, found)
        except ValueError as error:
            raise StorageError(f"this part of the log is left as it is: {error}") from error
        if not await self._writer.run(lambda db: move(db, made.packed, made.runs, made.parts)):
            return None
        packed = made.packed
        return Segment(
            packed.first_sequence, packed.last_sequence, packed.entries, made.bytes_before, len(packed.content)
        )

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        arguments = {"key": workspace_key, "hashes": json.dumps(list(digests))}
        rows = await self._reader.run(lambda db: db.execute(_BLOBS, arguments).fetchall())
        return [BlobUse(key, file_id, Blob(digest, size)) for key, file_id, digest, size in rows]

    async def is_used(self, digest: str) -> bool:
        return await self._reader.run(lambda db: db.execute(_IS_USED, {"hash": digest}).fetchone() is not None)

    async def pruned(self, workspace_key: int) -> Pruned:
        return await self._reader.run(lambda db: _at_one_moment(db, lambda: pruned(db, workspace_key)))

    async def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        return await self._reader.run(lambda db: _at_one_moment(db, lambda: checkpoint_of(db, workspace_key)))

    async def prunable(self, default_days: int, after_key: int, limit: int) -> list[Prunable]:
        def job(db: sqlite3.Connection) -> list[Prunable]:
            found = prunable(db, default_days, after_key, limit)
            return [Prunable(_workspace(db, workspace_id), Retained(days)) for _, workspace_id, days in found]

        return await self._reader.run(lambda db: _at_one_moment(db, lambda: job(db)))

    async def segments(self, workspace_key: int) -> list[int]:
        return await self._reader.run(lambda db: segment_ends(db, workspace_key))

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        key, sequence = checkpoint.workspace_key, checkpoint.sequence
        parts = await self._reader.run(lambda db: _at_one_moment(db, lambda: stripped(db, key, sequence)))
        return await self._writer.run(lambda db: prune(db, checkpoint, retained, parts, forget_ids))

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        await self._writer.run(lambda db: _in_transaction(db, lambda: _save(db, snapshot, keep)))

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        arguments = {"file": file_key, "skip": skip}
        row = await self._reader.run(lambda db: db.execute(_SNAPSHOT, arguments).fetchone())
        return None if row is None else _snapshot(file_key, row)

    async def saved(self, file_key: int) -> int:
        row = await self._reader.run(lambda db: db.execute(_SAVED, {"file": file_key}).fetchone())
        return 0 if row is None else int(row[0])

    async def keep_cursors(self, cursors: Sequence[LastCursor], *, per_person: int, per_file: int) -> None:
        def job(db: sqlite3.Connection) -> None:
            db.executemany(_PUT_CURSOR, [cursor._asdict() for cursor in cursors])
            for of, keep in (("author_ref", per_person), ("file_key", per_file)):
                concerned = {getattr(cursor, of) for cursor in cursors}
                db.executemany(_OLD_CURSORS[of], [{of: key, "keep": keep} for key in concerned])

        await self._writer.run(lambda db: _in_transaction(db, lambda: job(db)))

    async def last_cursor(self, file_key: int, author_ref: int) -> LastCursor | None:
        arguments = {"file": file_key, "author": author_ref}
        row = await self._reader.run(lambda db: db.execute(_LAST_CURSOR, arguments).fetchone())
        return None if row is None else LastCursor(*row)

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        return await self._reader.run(lambda db: _latest(db, file_keys, most))

    async def close(self) -> None:
        await self._reader.stop()
        await self._writer.stop()


def _whole(found: list[LogEntry] | None, where: str) -> list[LogEntry]:
    if found is None:
        raise CoscribeError(Code.HISTORY_PRUNED, f"the history behind {where} was deleted")
    return found


def _in_transaction(db: sqlite3.Connection, work: Callable[[], _T]) -> _T:
    db.execute("BEGIN IMMEDIATE")
    result = work()
    db.execute("COMMIT")
    return result


def _at_one_moment(db: sqlite3.Connection, work: Callable[[], _T]) -> _T:
    """What several statements read of the same state of the database."""
    db.execute("BEGIN")
    result = work()
    db.execute("COMMIT")
    return result


class _New(NamedTuple):
    """A workspace that is to be made, with its first file."""

    workspace_id: str
    kind: str
    file_id: str
    path: str
    time: int
    folds_case: bool = False


def _create(db: sqlite3.Connection, new: _New) -> None:
    made = db.execute(
        _INSERT_WORKSPACE,
        {
            "id": new.workspace_id,
            "k": new.kind,
            "i": secrets.token_hex(8),
            "s": secrets.token_bytes(16),
            "t": new.time,
            "fold": new.folds_case,
        },
    )
    if made.rowcount == 1:
        assert made.lastrowid is not None
        key, is_tree = made.lastrowid, new.kind == "workspace"
        db.execute(
            _INSERT_HEAD,
            {
                "workspace_key": key,
                "epoch": 0,
                "last_sequence": 0,
                "chain_hash": GENESIS,
                "covered_sequence": 0 if is_tree else None,
            },
        )
        file = {"key": file_key(key, 0), "w": key, "f": new.file_id, "p": new.path}
        db.execute(_INSERT_FILE, {**file, "k": "directory" if is_tree else "text"})


def _acquire(db: sqlite3.Connection, workspace_id: str) -> Workspace | None:
    found = db.execute(_WORKSPACE, {"id": workspace_id}).fetchone()
    if found is None:
        return None
    db.execute(_RAISE_EPOCH, {"key": found[0]})
    return _workspace(db, workspace_id)


def _highest(db: sqlite3.Connection, key: int, series: str) -> int:
    found = db.execute(_CEILING, {"key": key, "series": series}).fetchone()
    above, ceiling = (found[0] - _CEILING_STEP, found[0]) if found else (-1, 0)
    row = db.execute(_HIGHEST, {"key": key, "series": series, "above": above, "ceiling": ceiling}).fetchone()
    return max(int(row[0]) if row else -1, highest_closed(db, key, series))


def _read(
    db: sqlite3.Connection,
    closed: ClosedLog,
    key: int,
    after: int,
    through: int,
    limit: int,
    file_key: int | None,
) -> Iterator[LogEntry]:
    """At most ``limit`` entries (-1: all), from segments and rows, as they are asked for."""
    signatures = Signatures(db)
    rows = (
        closed.rows(db, key, after, through)
        if file_key is None
        else closed.rows_of(db, key, file_key, after, through, -1)
    )
    for row in rows:
        if limit == 0:
            return
        limit -= 1
        yield _closed_entry(row, signatures)
    arguments = {"key": key, "after": after, "through": through, "file": file_key, "count": limit}
    yield from map(_entry, db.execute(_READ, arguments))


def _read_versions(
    db: sqlite3.Connection, closed: ClosedLog, file_key: int, after_version: int, through: int, limit: int
) -> Iterator[LogEntry]:
    workspace = db.execute(_FILE_WORKSPACE, {"file": file_key}).fetchone()
    if workspace is None:
        return
    signatures = Signatures(db)
    # A version is at most the sequence at which the file came to it.
    for row in closed.rows_of(db, workspace[0], file_key, after_version, through, after_version):
        if limit == 0:
            return
        limit -= 1
        yield _closed_entry(row, signatures)
    arguments = {"file": file_key, "after": after_version, "through": through, "count": limit}
    yield from map(_entry, db.execute(_READ_VERSIONS, arguments))


def _find(db: sqlite3.Connection, closed: ClosedLog, key: int, operation_id: str) -> Record | None:
    series, counter = split_id(operation_id)
    found = db.execute(_FIND, {"key": key, "series": series, "counter": counter}).fetchone()
    if found is None:
        row = closed.find(db, key, series, counter)
        if row is None:
            return None
        (file_id,) = db.execute(_FILE_ID, {"file": row.file_key}).fetchone()
        user_id = Signatures(db).user_id(row.author_ref)
        found = (user_id, row.author_ref, row.request, file_id, row.sequence, row.version)
    user_id, author_ref, *rest = found
    return Record(operation_id, _author(user_id, author_ref), *rest)


class _Made(NamedTuple):
    """A segment, the ids in it, the files in it where that is kept, and about what its rows took."""

    packed: Packed
    runs: list[Run]
    parts: list[FilePart]
    bytes_before: int


def _packed(key: int, found: Closable) -> _Made:
    """Raises ValueError."""
    packed = pack(key, found.rows, found.previous, found.file_ids)
    parts = files_of(found.rows) if found.is_tree else []
    return _Made(packed, runs_of(found.rows), parts, bytes_of(found.rows))


def _append_all(
    db: sqlite3.Connection, appends: Sequence[Append], ceilings: dict[tuple[int, str], int]
) -> list[AppendResult]:
    """One transaction. A uniqueness violation rolls it back; then each workspace gets a savepoint of its own.

    ``ceilings`` are those known to be on disk; they grow once the transaction is.
    """
    raised = _raised(appends, ceilings)
    try:
        results = _in_transaction(db, lambda: _append_unguarded(db, appends, raised))
    except sqlite3.IntegrityError:
        db.execute("ROLLBACK")
        return _in_transaction(db, lambda: [_append_guarded(db, append, raised) for append in appends])
    if len(ceilings) > _MAX_CEILINGS:
        ceilings.clear()
    ceilings.update(raised)
    return results


def _raised(appends: Sequence[Append], ceilings: dict[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    """The ceilings that these operations go through, raised far enough."""
    raised: dict[tuple[int, str], int] = {}
    for append in appends:
        for entry in append.entries:
            series, counter = split_id(entry.operation_id)
            key = (append.workspace_key, series)
            if counter > ceilings.get(key, 0) and counter > raised.get(key, 0):
                raised[key] = -(-counter // _CEILING_STEP) * _CEILING_STEP
    return raised


def _append_unguarded(
    db: sqlite3.Connection, appends: Sequence[Append], raised: dict[tuple[int, str], int]
) -> list[AppendResult]:
    results: list[AppendResult] = []
    rows: list[_Row] = []
    for append in appends:
        passed = _pass_fence(db, append)
        results.append(AppendResult.COMMITTED if passed else AppendResult.REFUSED)
        if passed:
            rows.extend(_log_row(append.workspace_key, entry) for entry in append.entries)
            put_files(db, append.workspace_key, append.files)
            put_blobs(db, append.workspace_key, append.blobs)
    _insert(db, rows)
    if raised:
        db.executemany(_RAISE_CEILING, [(*key, ceiling) for key, ceiling in raised.items()])
    return results


def _append_guarded(db: sqlite3.Connection, append: Append, raised: dict[tuple[int, str], int]) -> AppendResult:
    db.execute("SAVEPOINT workspace")
    try:
        passed = _pass_fence(db, append)
        if passed:
            _insert(db, [_log_row(append.workspace_key, entry) for entry in append.entries])
            put_files(db, append.workspace_key, append.files)
            put_blobs(db, append.workspace_key, append.blobs)
            mine = [(*key, ceiling) for key, ceiling in raised.items() if key[0] == append.workspace_key]
            db.executemany(_RAISE_CEILING, mine)
    except sqlite3.IntegrityError:
        passed = False
        db.execute("ROLLBACK TO workspace")
    db.execute("RELEASE workspace")
    return AppendResult.COMMITTED if passed else AppendResult.REFUSED


def _pass_fence(db: sqlite3.Connection, append: Append) -> bool:
    """Moves the head on if it is still where this owner left it."""
    arguments = {
        "key": append.workspace_key,
        "mine": append.epoch,
        "previous": append.previous_sequence,
        "last": append.entries[-1].sequence,
        "hash": append.chain_hash,
    }
    return db.execute(_ADVANCE_HEAD, arguments).rowcount == 1


def _insert(db: sqlite3.Connection, rows: list[_Row]) -> None:
    start = 0
    while start < len(rows):
        size = min(_MAX_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        inserted = db.execute(_INSERT_ENTRIES[size], tuple(chain.from_iterable(rows[start : start + size])))
        if inserted.rowcount != size:
            raise sqlite3.IntegrityError("an id is in a segment")
        start += size


def put_files(db: sqlite3.Connection, workspace_key: int, files: Sequence[File]) -> None:
    """Makes the rows of files, or makes them others."""
    if files:
        db.executemany(_PUT_FILE, [_file_row(workspace_key, file) for file in files])


def put_blobs(db: sqlite3.Connection, workspace_key: int, blobs: Sequence[BlobUse]) -> None:
    """Notes that files have blobs as their content."""
    if blobs:
        db.executemany(_PUT_BLOB, [(workspace_key, blob.digest, key, blob.size) for key, _, blob in blobs])


def _log_row(key: int, entry: LogEntry) -> _Row:
    series, counter = split_id(entry.operation_id)
    return (
        key,
        entry.sequence,
        entry.file_key,
        entry.version,
        entry.base_version,
        series,
        counter,
        entry.author_ref,
        entry.request,
        entry.time,
        entry.payload,
        entry.salt,
        entry.digest,
    )


def _entry(row: _Row) -> LogEntry:
    sequence, file_key, version, base, series, counter, user_id, author_ref, request, time, payload, salt, digest = row
    return LogEntry(
        sequence,
        file_key,
        version,
        base,
        join_id(series, counter),
        _author(user_id, author_ref),
        author_ref,
        request,
        time,
        payload,
        salt,
        digest,
    )


def _author(user_id: str | None, author_ref: int) -> str:
    return user_id if user_id is not None else f"erased-{author_ref}"


def _closed_entry(row: Row, signatures: Signatures) -> LogEntry:
    return _entry((*row[:6], signatures.user_id(row.author_ref), *row[6:]))


def _save(db: sqlite3.Connection, snapshot: FileSnapshot, keep: int) -> None:
    arguments = {
        "f": snapshot.file_key,
        "v": snapshot.version,
        "s": snapshot.sequence,
        "c": snapshot.content.encode(),
        "h": snapshot.content_hash,
        "d": snapshot.digest or None,
    }
    db.execute(_INSERT_SNAPSHOT, arguments)
    db.execute(_OLD_SNAPSHOTS, {"file": snapshot.file_key, "keep": keep})
    db.execute(_NOTE_SAVED, {"file": snapshot.file_key, "to": snapshot.sequence})


def _snapshot(file_key: int, row: _Row) -> FileSnapshot:
    version, sequence, content, hashed, digest = row
    # Bytes that are no UTF-8 any more still make a snapshot: one whose hash does not fit.
    return FileSnapshot(file_key, version, sequence, bytes(content).decode(errors="replace"), hashed, digest or b"")


def _latest(db: sqlite3.Connection, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
    found: dict[int, Latest] = {}
    for key, saved, *row in db.execute(_LATEST, {"keys": json.dumps(list(file_keys))}):
        is_kept = row[0] is not None
        found[key] = Latest(_snapshot(key, (*row,)) if is_kept else None, saved)
        most -= len(row[2]) if is_kept else 0
        if most <= 0:
            break
    return found


# ---- reading without a server, on a connection of `connect(path, read_only=True)`. All raise sqlite3.Error.


def stored_workspaces(db: sqlite3.Connection) -> list[Workspace]:
    """Every workspace with its head and its files, in the order of their ids; but for those that are deleted, whose
    log may be gone in part."""
    return [_workspace(db, workspace_id) for (workspace_id,) in db.execute(_KEPT).fetchall()]


def _workspace(db: sqlite3.Connection, workspace_id: str) -> Workspace:
    """A workspace that is there, as it is."""
    key, incarnation, secret, kind, folds_case = db.execute(_WORKSPACE, {"id": workspace_id}).fetchone()
    # A head that somebody has deleted is one at which nothing has been written: it will not fit the log.
    epoch, last_sequence, chain_hash, covered = db.execute(_HEAD, {"key": key}).fetchone() or (0, 0, GENESIS, None)
    return Workspace(
        key,
        workspace_id,
        incarnation,
        secret,
        epoch,
        last_sequence,
        chain_hash,
        tuple(map(_file, db.execute(_FILES, {"key": key}))),
        pruned(db, key),
        kind,
        bool(folds_case),
        covered,
    )


def _file(row: _Row) -> File:
    key, file_id, path, parent_id, name, kind, trashed, purged, content, properties = row
    if parent_id is None or purged:
        return File(key, file_id, path)
    kept = tuple((name, value) for name, value in json.loads(properties).items()) if len(properties) > 2 else ()
    return File(key, file_id, path, NodeState(parent_id, name, kind, bool(trashed), content, kept))


def _file_row(workspace_key: int, file: File) -> _Row:
    """A node as it is stored; of one that was purged only its id is left."""
    node = file.node or NodeState("", "", "")
    properties = json.dumps(dict(node.properties), separators=(",", ":"))
    place = (node.parent_id, node.name, node.kind, node.trashed, file.node is None, node.content, properties)
    return (workspace_key, file.key, file.file_id, file.path, *place)


def iterate(
    db: sqlite3.Connection, workspace_key: int, *, after: int = 0, file_key: int | None = None
) -> Iterator[LogEntry]:
    """The entries behind sequence ``after``, oldest first, as they are asked for; of a pruned log what is left."""
    return _read(db, ClosedLog(), workspace_key, after, 2**62, -1, file_key)


def stored_blobs(db: sqlite3.Connection) -> list[str]:
    """The hashes of all blobs that some log refers to, in order."""
    return [digest for (digest,) in db.execute("SELECT DISTINCT hash FROM file_blobs ORDER BY hash")]


def stored_uses(db: sqlite3.Connection, workspace_key: int) -> list[BlobUse]:
    """Which files of a workspace have, or had, which blobs."""
    found = db.execute(
        "SELECT file_key, file_id, hash, size FROM file_blobs JOIN files USING (workspace_key, file_key)"
        " WHERE workspace_key = ?",
        (workspace_key,),
    )
    return [BlobUse(key, file_id, Blob(digest, size)) for key, file_id, digest, size in found]


def stored_snapshots(db: sqlite3.Connection, file_key: int) -> list[FileSnapshot]:
    """The kept snapshots of a file, newest first; damaged ones too."""
    snapshots: list[FileSnapshot] = []
    while row := db.execute(_SNAPSHOT, {"file": file_key, "skip": len(snapshots)}).fetchone():
        version, sequence, content, *hashes = row
        # SQLite keeps a text where somebody has put one in place of the bytes.
        stored = content.encode() if isinstance(content, str) else content
        snapshots.append(_snapshot(file_key, (version, sequence, stored, *hashes)))
    return snapshots
