"""SQLite: the embedded, durable default. One file, one writer thread, one reader thread.

WAL with synchronous=FULL: a commit has returned only after fsync. Group commit above makes that cheap. Rows go in many
at a time, because every step of a statement lets go of Python's global lock and has to win it back from a busy event
loop. What takes several statements is in `logs` and `closed_log`; `run` runs it. Whoever reads sees one moment of rows
and segments, and one log.

A commit that raises has an unknown outcome. The connection is thrown away then: a failed fsync may have dropped pages
that SQLite believes written, so only what a fresh connection reads back is the truth. The next job opens it, and fails
where that cannot be done, as on a full disk.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from coscribe.core.errors import CoscribeError
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import (
    Append,
    AppendResult,
    Blob,
    BlobUse,
    Latest,
    Retained,
    StorageError,
)
from coscribe.model import File, Workspace
from coscribe.persistence import closed_log, logs
from coscribe.persistence.closed_log import Made
from coscribe.persistence.logs import LOG_COLUMNS, Ceilings
from coscribe.persistence.stepped import SteppedStorage
from coscribe.persistence.steps import Ask, Change, Damaged, Each, Make, Step, Steps

_T = TypeVar("_T")
_Row = tuple[Any, ...]
_Job = tuple[Callable[[sqlite3.Connection], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_MAX_ROWS = 64
"""Rows in one INSERT statement."""

_ADVANCE_HEAD = (
    "UPDATE heads SET last_sequence = :last, chain_hash = :hash"
    " WHERE workspace_key = :key AND epoch = :mine AND last_sequence = :previous"
)
_BLOBS = (
    "SELECT file_blobs.file_key, file_id, hash, size FROM file_blobs JOIN files USING (file_key)"
    " WHERE file_blobs.workspace_key = ? AND hash IN (SELECT value FROM json_each(?))"
)
_RAISE_CEILING = (
    "INSERT INTO operation_series (workspace_key, series, ceiling) VALUES (?, ?, ?)"
    " ON CONFLICT (workspace_key, series) DO UPDATE SET ceiling = max(ceiling, excluded.ceiling)"
)
_LATEST = (
    "SELECT wanted.value, coalesce(files.saved_sequence, 0), kept.version, kept.sequence, kept.content,"
    " kept.content_hash, kept.digest FROM json_each(:keys) AS wanted"
    " LEFT JOIN files ON files.file_key = wanted.value"
    " LEFT JOIN file_snapshots AS kept ON kept.snapshot_key = (SELECT snapshot_key FROM file_snapshots"
    " WHERE file_key = wanted.value ORDER BY sequence DESC, snapshot_key DESC LIMIT 1)"
)


def _insert_entries(rows: int) -> str:
    """Inserts so many rows, but for those whose id is in a segment: the table's own index only knows what is in it."""
    one = "(" + ",".join("?" * len(LOG_COLUMNS)) + ")"
    key, series, counter = (
        f"new.column{LOG_COLUMNS.index(name) + 1}" for name in ("workspace_key", "series", "counter")
    )
    return (
        f"INSERT INTO file_operation_log ({','.join(LOG_COLUMNS)})"
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
            except CoscribeError as error:
                _tell(loop, future, None, error)
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


def run(db: sqlite3.Connection, steps: Steps[_T]) -> _T:
    """The result of steps. Raises sqlite3.Error; for what is damaged, too."""
    answer: object = None
    try:
        while True:
            answer = _answer(db, steps.send(answer))
    except StopIteration as stop:
        result: _T = stop.value
        return result
    except Damaged as error:
        raise sqlite3.DatabaseError(str(error)) from error


def _answer(db: sqlite3.Connection, step: Step) -> object:
    if isinstance(step, Ask):
        return db.execute(_numbered(step.statement), step.arguments).fetchall()
    if isinstance(step, Change):
        return db.execute(_numbered(step.statement), step.arguments).rowcount
    if isinstance(step, Make):
        made = db.execute(_numbered(step.statement), step.arguments)
        return made.lastrowid if made.rowcount == 1 else None
    if isinstance(step, Each):
        return db.executemany(_numbered(step.statement), step.arguments)
    return step.call()


@cache
def _numbered(statement: str) -> str:
    """With the parameters as SQLite counts them."""
    return re.sub(r"\$(\d)", r"?\1", statement)


class SqliteStorage(SteppedStorage):
    """OpLog, SnapshotRepo and CursorRepo over one SQLite file whose schema is up to date (see `migrate`).

    ``turn`` is held while something is written: whoever else writes to the file in this process takes it, too. SQLite
    has one write lock, and who finds it taken sleeps for some milliseconds before it looks again.
    """

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        super().__init__()
        self._ceilings = Ceilings()
        self._writer = _Worker(path, "sqlite-writer", turn or threading.Lock())
        self._reader = _Worker(path, "sqlite-reader", nullcontext())

    async def acquire(self, workspace_id: str) -> Workspace | None:
        return await self._write(_acquire(workspace_id))

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        return await self._writer.run(lambda db: _append_all(db, appends, self._ceilings))

    async def cover(self, workspace_key: int, sequence: int) -> None:
        await self._write(logs.cover(workspace_key, sequence))

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        arguments = workspace_key, json.dumps(list(digests))
        rows = await self._reader.run(lambda db: db.execute(_BLOBS, arguments).fetchall())
        return [BlobUse(key, file_id, Blob(digest, size)) for key, file_id, digest, size in rows]

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        parts = await self._read(closed_log.stripped(checkpoint.workspace_key, checkpoint.sequence))
        steps = closed_log.prune(checkpoint, retained, parts, forget_ids)
        return await self._writer.run(lambda db: _if_it_fits(db, steps))

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        keys = json.dumps(list(file_keys))
        return await self._reader.run(lambda db: logs.latest_of(db.execute(_LATEST, {"keys": keys}), most))

    async def close(self) -> None:
        await self._reader.stop()
        await self._writer.stop()

    async def _read(self, steps: Steps[_T]) -> _T:
        return await self._reader.run(lambda db: _in_transaction(db, "BEGIN", lambda: run(db, steps)))

    async def _write(self, steps: Steps[_T]) -> _T:
        return await self._writer.run(lambda db: _in_transaction(db, "BEGIN IMMEDIATE", lambda: run(db, steps)))

    async def _move(self, made: Made) -> bool:
        return await self._writer.run(lambda db: _if_it_fits(db, closed_log.move(made)))


def _in_transaction(db: sqlite3.Connection, begin: str, work: Callable[[], _T]) -> _T:
    """After BEGIN the work sees one moment; after BEGIN IMMEDIATE that is the newest one, and it may be changed."""
    db.execute(begin)
    try:
        result = work()
    except CoscribeError:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return result


def _if_it_fits(db: sqlite3.Connection, steps: Steps[bool]) -> bool:
    """In a transaction that is undone where the steps say False, or break a rule of the tables."""
    db.execute("BEGIN IMMEDIATE")
    try:
        done = run(db, steps)
    except sqlite3.IntegrityError:
        done = False
    db.execute("COMMIT" if done else "ROLLBACK")
    return done


def _acquire(workspace_id: str) -> Steps[Workspace | None]:
    if not (yield from logs.raise_epoch(workspace_id)):
        return None
    return (yield from logs.workspace(workspace_id))


def _append_all(db: sqlite3.Connection, appends: Sequence[Append], ceilings: Ceilings) -> list[AppendResult]:
    """One transaction. A uniqueness violation rolls it back; then each workspace gets a savepoint of its own."""
    raised = ceilings.raised(appends)
    try:
        results = _in_transaction(db, "BEGIN IMMEDIATE", lambda: _append_unguarded(db, appends, raised))
    except sqlite3.IntegrityError:
        db.execute("ROLLBACK")
        guarded = partial(_append_guarded, db, raised=raised)
        return _in_transaction(db, "BEGIN IMMEDIATE", lambda: [guarded(append) for append in appends])
    ceilings.stored(raised)
    return results


def _append_unguarded(
    db: sqlite3.Connection, appends: Sequence[Append], raised: dict[tuple[int, str], int]
) -> list[AppendResult]:
    results: list[AppendResult] = []
    rows: list[_Row] = []
    for append in appends:
        passed = _pass_fence(db, append)
        results.append(AppendResult.COMMITTED if passed else AppendResult.REFUSED)
        if passed:
            rows.extend(logs.log_row(append.workspace_key, entry) for entry in append.entries)
            run(db, logs.put_files_of([append]))
    _insert(db, rows)
    if raised:
        db.executemany(_RAISE_CEILING, [(*key, ceiling) for key, ceiling in raised.items()])
    return results


def _append_guarded(db: sqlite3.Connection, append: Append, raised: dict[tuple[int, str], int]) -> AppendResult:
    db.execute("SAVEPOINT workspace")
    try:
        passed = _pass_fence(db, append)
        if passed:
            _insert(db, [logs.log_row(append.workspace_key, entry) for entry in append.entries])
            run(db, logs.put_files_of([append]))
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


# ---- without a server, on a connection of `connect(path)`. All raise sqlite3.Error.


def put_files(db: sqlite3.Connection, workspace_key: int, files: Sequence[File]) -> None:
    """Makes the rows of files, or makes them others."""
    run(db, logs.put_files(workspace_key, files))
