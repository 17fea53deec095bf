"""PostgreSQL: the operation log, snapshots and carets that many instances share. What takes several statements is in
`logs` and `closed_log`; here it is run, and here is what the instances owe to each other.

**The fence** is the head row of a workspace: whoever appends moves it on from just where this owner left it, at this
owner's epoch, in the transaction that writes the entries. What writes is READ COMMITTED: a statement sees what was
committed before it began, and an UPDATE that has waited for a row looks at the newest version of that row.

    append      lock the heads, in the order of their keys    so two groups never wait for each other in a circle
                move heads on, add entries                    one statement, begun with the locks held: it sees all
                commit                                        that was committed to these workspaces before
    acquire     raise the epoch; commit                       waits for an append that has the head by then
                read the head                                 in a transaction that begins only now

An append of the old owner either has the head before `acquire` does: then its commit comes first, and the head that is
read afterwards has it. Or it gets the head later: then the epoch is another one, and nothing is written. There is no
third: the row has one owner of its lock at a time. Where a second `acquire` comes between raising and reading, the head
that is read is already the other's; the epoch that is returned is still the own one, with which nothing can be
appended any more.

Moving rows into a segment locks the head as well. Else an append that began before the move was committed would find
the id of a moved row neither among the rows, for they are gone, nor in the segment, which it does not see yet.

**A failure** of a transaction that writes has an unknown outcome: the commit may have arrived. The connection is thrown
away; where it was cut also those that are idle, for what has cut one has often cut them all. The next job opens another
one, so after a restart of the database nothing has to be done. Whatever is waited for ends: a lock, a statement, a
transaction whose instance hangs (the server ends it, and the locks are free), a connection, and a turn.

Connections are sessions with settings and prepared statements of their own: a pooler that hands on single transactions
must not be between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute

from coscribe.core.errors import Code, CoscribeError
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
from coscribe.metrics import metrics
from coscribe.model import Workspace
from coscribe.persistence import closed_log, logs
from coscribe.persistence.closed_log import Made
from coscribe.persistence.engines import WRITING
from coscribe.persistence.logs import LOG_COLUMNS, Ceilings
from coscribe.persistence.stepped import SteppedStorage
from coscribe.persistence.steps import Ask, Change, Damaged, Each, Make, Step, Steps

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

log = structlog.get_logger()

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_T = TypeVar("_T")
_Job = Callable[["_Connection"], Awaitable[_T]]

CONNECTIONS = 4
"""For all but appending, which has one of its own."""

MAX_WAITING = 2_000
"""Jobs that may be at or before these connections; more are refused with ``overloaded``."""

WAIT_SECONDS = 10.0
"""For a turn, and for a connection to be opened."""

LOCK_SECONDS = 10
STATEMENT_SECONDS = 30
IDLE_SECONDS = 5
"""What the server allows: to wait for a lock, to run a statement, to do nothing in a transaction. The last is shorter
than the first: who waits for an instance that hangs there gets its turn."""

_GRACE_SECONDS = 5.0
"""What a statement may take longer than the server allows, before the server counts as gone."""

_SETTINGS = {
    "application_name": "coscribe-log",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "enable_seqscan": "off",
    "jit": "off",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""All rows are looked for by key. A plan is made once in a connection's life, maybe when there is hardly anything in
the tables: it must not depend on that."""

_ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_LOCK_HEADS = "SELECT workspace_key FROM heads WHERE workspace_key IN ({}) ORDER BY workspace_key FOR NO KEY UPDATE"
_LOCK_HEAD = "SELECT workspace_key FROM heads WHERE workspace_key = $1 FOR NO KEY UPDATE"
_RAISE_EPOCH = "UPDATE heads SET epoch = epoch + 1 WHERE workspace_key = $1 RETURNING epoch"

_TYPES = {"series": "text", "request": "bytea", "payload": "bytea", "salt": "bytea", "digest": "bytea"}
_LOG = ", ".join(LOG_COLUMNS)
_APPEND = (
    "WITH moved AS (UPDATE heads SET last_sequence = mine.last, chain_hash = mine.hash"
    " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])"
    " AS mine (workspace_key, epoch, previous, last, hash)"
    " WHERE heads.workspace_key = mine.workspace_key AND heads.epoch = mine.epoch"
    " AND heads.last_sequence = mine.previous RETURNING heads.workspace_key),"
    f" added AS (INSERT INTO file_operation_log ({_LOG}) SELECT {_LOG} FROM unnest("
    + ", ".join(f"${number}::{_TYPES.get(name, 'bigint')}[]" for number, name in enumerate(LOG_COLUMNS, 6))
    # IS TRUE keeps this from becoming a join, that would look at each entry for each workspace.
    + f") AS new ({_LOG}) WHERE (new.workspace_key IN (SELECT workspace_key FROM moved)) IS TRUE"
    # The index of the log's table only knows the ids that are in it; of the others there are runs.
    " AND NOT coalesce((SELECT first_counter <= new.counter FROM operation_runs"
    " WHERE operation_runs.workspace_key = new.workspace_key AND operation_runs.series = new.series"
    " AND last_counter >= new.counter ORDER BY last_counter LIMIT 1), FALSE) RETURNING 1)"
    " SELECT coalesce((SELECT array_agg(workspace_key) FROM moved), '{}'), (SELECT count(*) FROM added)"
)
_RAISE_CEILINGS = (
    "INSERT INTO operation_series (workspace_key, series, ceiling)"
    " SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) ON CONFLICT (workspace_key, series)"
    " DO UPDATE SET ceiling = greatest(operation_series.ceiling, excluded.ceiling)"
)
_BLOBS = (
    "SELECT file_blobs.file_key, file_id, hash, size FROM file_blobs JOIN files USING (file_key)"
    " WHERE file_blobs.workspace_key = $1 AND hash = ANY($2::text[])"
)
_LATEST = (
    "SELECT key, saved, version, sequence, content, content_hash, digest FROM (SELECT wanted.key, place,"
    " coalesce(files.saved_sequence, 0) AS saved, kept.*, sum(length(kept.content))"
    " OVER (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
    " FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (key, place) LEFT JOIN files ON files.file_key = wanted.key"
    " LEFT JOIN LATERAL (SELECT version, sequence, content, content_hash, digest FROM file_snapshots"
    " WHERE file_key = wanted.key ORDER BY sequence DESC, snapshot_key DESC LIMIT 1) AS kept ON TRUE) AS found"
    " WHERE before IS NULL OR before < $2 ORDER BY place"
)


class PostgresStorage(SteppedStorage):
    """OpLog, SnapshotRepo and CursorRepo over a database (``postgresql://user:password@host:port/name``) whose schema
    is up to date. It connects when there is something to do; only to one that can be written."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._ceilings = Ceilings()
        self._appending = _Lane(url, 1)
        self._others = _Lane(url, CONNECTIONS)

    async def acquire(self, workspace_id: str) -> Workspace | None:
        key = await self._alone(logs.key_of(workspace_id))
        if key is None:
            return None
        raised = await self._others.run(lambda connection: connection.fetchval(_RAISE_EPOCH, key))
        workspace = await self._read(logs.workspace(workspace_id))
        return workspace if raised is None else workspace._replace(epoch=raised)

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        return await self._appending.run(lambda connection: _append_all(connection, appends, self._ceilings))

    async def cover(self, workspace_key: int, sequence: int) -> None:
        await self._alone(logs.cover(workspace_key, sequence))

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        rows = await self._others.run(lambda connection: connection.fetch(_BLOBS, workspace_key, list(digests)))
        return [BlobUse(key, file_id, Blob(digest, size)) for key, file_id, digest, size in rows]

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        parts = await self._read(closed_log.stripped(checkpoint.workspace_key, checkpoint.sequence))
        # The retention is among the ordinary tables: a hold that was confirmed before this begins is seen, and one that
        # comes later finds what it finds.
        lock = Ask(f"SELECT pg_advisory_xact_lock({WRITING})")
        steps = closed_log.prune(checkpoint, retained, parts, forget_ids)
        return await self._others.run(lambda connection: _if_it_fits(connection, lock, steps))

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        rows = await self._others.run(lambda connection: connection.fetch(_LATEST, list(file_keys), most))
        return logs.latest_of(map(tuple, rows), most)

    def abandon(self) -> None:
        """Gives up on everything that is under way, as answers may not come for long: it fails with StorageError. For
        an instance whose time is up, and whose appends are refused by now."""
        self._appending.abandon()
        self._others.abandon()

    async def close(self) -> None:
        await self._appending.close()
        await self._others.close()

    async def _alone(self, steps: Steps[_T]) -> _T:
        """The result of steps that need one statement: it is a transaction of its own."""
        return await self._others.run(lambda connection: _run(connection, steps))

    async def _read(self, steps: Steps[_T]) -> _T:
        return await self._others.run(lambda connection: _in_transaction(connection, _ONE_MOMENT, steps))

    async def _write(self, steps: Steps[_T]) -> _T:
        return await self._others.run(lambda connection: _in_transaction(connection, "BEGIN", steps))

    async def _move(self, made: Made) -> bool:
        lock = Ask(_LOCK_HEAD, (made.packed.workspace_key,))
        return await self._others.run(lambda connection: _if_it_fits(connection, lock, closed_log.move(made)))


class _Lane:
    """A few connections; each does one job at a time."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._used: set[_Connection] = set()
        self._jobs: set[asyncio.Task[Any]] = set()

    async def run(self, job: _Job[_T]) -> _T:
        """What the job returns; it goes on to its end where nobody waits for it any more. Errors: its own,
        ``overloaded``. Raises StorageError: for a job that writes the outcome is then unknown."""
        if len(self._jobs) >= MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, f"{len(self._jobs)} jobs wait for the log")
        task = asyncio.create_task(self._run(job))
        self._jobs.add(task)
        metrics.log_waiting.inc()
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        metrics.log_waiting.dec()
        if not task.cancelled():
            task.exception()  # who has gone away does not want to know

    async def _run(self, job: _Job[_T]) -> _T:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise StorageError(f"no connection was free within {WAIT_SECONDS} s") from error
        try:
            return await self._with_connection(job)
        except _FAILURES as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error
        except Damaged as error:
            raise StorageError(str(error)) from error
        finally:
            self._turns.release()

    async def _with_connection(self, job: _Job[_T]) -> _T:
        connection = await self._connection()
        self._used.add(connection)
        try:
            result = await job(connection)
        except (CoscribeError, Damaged):
            self._idle.append(connection)
            raise
        except BaseException as error:
            if connection.is_closed() or isinstance(error, OSError):  # a TimeoutError is one
                self._drop_idle()
            was_closed = connection.is_closed()
            connection.terminate()
            if was_closed and isinstance(error, AttributeError):  # asyncpg's, where it ended between two messages
                raise StorageError("the connection has ended") from error
            raise
        finally:
            self._used.discard(connection)
        self._idle.append(connection)
        return result

    def abandon(self) -> None:
        """Ends all connections; what is under way fails, and the next job connects anew."""
        for connection in tuple(self._used):
            connection.terminate()
        self._drop_idle()

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await _connect(self._url)

    async def close(self) -> None:
        """When the jobs have ended."""
        while self._jobs:
            await asyncio.wait(self._jobs)
        while self._idle:
            with suppress(*_FAILURES):  # it is gone then, too
                await self._idle.pop().close(timeout=_GRACE_SECONDS)


async def _connect(url: str) -> _Connection:
    """A connection whose commits wait for the disk, whatever the server or the role has set."""
    connection = await asyncpg.connect(
        url,
        timeout=WAIT_SECONDS,
        command_timeout=STATEMENT_SECONDS + _GRACE_SECONDS,
        max_cached_statement_lifetime=0,
        target_session_attrs=SessionAttribute.read_write,  # of the hosts that the URL names the one that is no standby
        server_settings=_SETTINGS,
    )
    metrics.log_connections.inc()
    connection.add_termination_listener(lambda _: metrics.log_connections.dec())
    try:
        if await connection.fetchval("SHOW synchronous_commit") not in ("on", "remote_apply"):
            await connection.execute("SET synchronous_commit = on")
        if await connection.fetchval("SHOW fsync") != "on":
            log.warning("database_without_fsync", advice="What was committed is lost when its machine goes down.")
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _run(connection: _Connection, steps: Steps[_T]) -> _T:
    """The result of steps."""
    answer: object = None
    try:
        while True:
            answer = await _answer(connection, steps.send(answer))
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def _answer(connection: _Connection, step: Step) -> object:
    if isinstance(step, Ask):
        return await connection.fetch(step.statement, *step.arguments)
    if isinstance(step, Change):
        return int((await connection.execute(step.statement, *step.arguments)).rpartition(" ")[2])
    if isinstance(step, Make):
        return await connection.fetchval(f"{step.statement} RETURNING {step.key}", *step.arguments)
    if isinstance(step, Each):
        await connection.executemany(step.statement, step.arguments)
        return None
    return await asyncio.to_thread(step.call)


async def _in_transaction(connection: _Connection, begin: str, steps: Steps[_T]) -> _T:
    await connection.execute(begin)
    try:
        result = await _run(connection, steps)
    except (CoscribeError, Damaged):
        await connection.execute("ROLLBACK")
        raise
    await _commit(connection)
    return result


async def _if_it_fits(connection: _Connection, lock: Ask, steps: Steps[bool]) -> bool:
    """In a transaction behind a lock, that is undone where the steps say False, or break a rule of the tables."""
    await connection.execute("BEGIN")
    try:
        await _answer(connection, lock)
        done = await _run(connection, steps)
    except asyncpg.IntegrityConstraintViolationError:
        done = False
    if done:
        await _commit(connection)
    else:
        await connection.execute("ROLLBACK")
    return done


async def _commit(connection: _Connection) -> None:
    """A transaction in which something has failed is rolled back by COMMIT, and no error says so."""
    if await connection.execute("COMMIT") != "COMMIT":
        raise StorageError("the transaction was not committed")


async def _append_all(connection: _Connection, appends: Sequence[Append], ceilings: Ceilings) -> list[AppendResult]:
    """One transaction. A rule of the tables that is broken rolls it back; then each workspace gets a savepoint of its
    own. One that comes twice needs them, too: its second append begins where the first one ends."""
    if not appends:  # somebody asks whether it would go
        await connection.execute("BEGIN; COMMIT")
        return []
    raised = ceilings.raised(appends)
    if len({append.workspace_key for append in appends}) == len(appends):
        await _lock(connection, appends)
        passed = await _append_some(connection, appends, raised)
        if passed is not None:
            await _commit(connection)
            ceilings.stored(raised)
            return [_result(append.workspace_key in passed) for append in appends]
        await connection.execute("ROLLBACK")
    await _lock(connection, appends)
    results = [await _append_guarded(connection, append, raised) for append in appends]
    await _commit(connection)
    return results


def _result(passed: bool) -> AppendResult:
    return AppendResult.COMMITTED if passed else AppendResult.REFUSED


async def _lock(connection: _Connection, appends: Sequence[Append]) -> None:
    """Begins a transaction that has the heads of all these workspaces: in one message, so the keys are in its text."""
    keys = ", ".join(str(append.workspace_key) for append in appends)
    await connection.execute(f"BEGIN; {_LOCK_HEADS.format(keys)}")


async def _append_guarded(connection: _Connection, append: Append, raised: dict[tuple[int, str], int]) -> AppendResult:
    await connection.execute("SAVEPOINT workspace")
    passed = await _append_some(connection, [append], raised)
    if passed is None:
        await connection.execute("ROLLBACK TO workspace")
    await connection.execute("RELEASE workspace")
    return _result(bool(passed))


async def _append_some(
    connection: _Connection, appends: Sequence[Append], raised: dict[tuple[int, str], int]
) -> set[int] | None:
    """The keys of those that passed the fence. None: a rule of the tables is broken, or an id is in a segment."""
    heads = [(a.workspace_key, a.epoch, a.previous_sequence, a.entries[-1].sequence, a.chain_hash) for a in appends]
    rows = [logs.log_row(append.workspace_key, entry) for append in appends for entry in append.entries]
    try:
        found = await connection.fetchrow(_APPEND, *zip(*heads, strict=True), *zip(*rows, strict=True))
        assert found is not None
        passed = set(found[0])
        through = [append for append in appends if append.workspace_key in passed]
        if found[1] != sum(len(append.entries) for append in through):
            return None
        await _run(connection, logs.put_files_of(through))
        higher = sorted((*key, ceiling) for key, ceiling in raised.items() if key[0] in passed)
        if higher:
            await connection.execute(_RAISE_CEILINGS, *zip(*higher, strict=True))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return None
    return passed
