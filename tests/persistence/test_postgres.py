"""The contracts on a real PostgreSQL, and what only this adapter has: the fence between instances, connections that are
cut, what the server has set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState
from coscribe.documents.ports import Append, AppendResult, Retained, StorageError
from coscribe.metrics import metrics
from coscribe.model import NOTHING_PRUNED, File, LogEntry, Workspace, file_key
from coscribe.persistence import postgres as adapter
from coscribe.persistence.engines import WRITING
from coscribe.persistence.postgres import PostgresStorage
from tests.contracts.cursor_repo import CursorRepoContract
from tests.contracts.op_log import SMALL, OpLogContract, acquired, appended, compacted, entry, extended, planted
from tests.contracts.pruning import PruningContract, checkpoint, closed
from tests.contracts.snapshot_repo import SnapshotRepoContract
from tests.relay import Relay
from tests.servers import PostgresServer

BOUND = 60.0
"""Seconds: against hanging for ever."""


@pytest.fixture
async def storage(url: str) -> AsyncIterator[PostgresStorage]:
    made = PostgresStorage(url)
    yield made
    await made.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[PostgresStorage]:
    """Another instance on the same database."""
    made = PostgresStorage(url)
    yield made
    await made.close()


class TestOpLog(OpLogContract):
    pass


class TestPruning(PruningContract):
    pass


class TestSnapshotRepo(SnapshotRepoContract):
    pass


class TestCursorRepo(CursorRepoContract):
    pass


# ---- what the tests do to it


class Commits:
    """The next commit, or one after it, waits until it is let through; for a while, so that a test that fails ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passing: int = 0) -> None:
        self._commit = adapter._commit
        self._reached, self._allowed = asyncio.Event(), asyncio.Event()
        self._passing = passing
        monkeypatch.setattr(adapter, "_commit", self._wait)

    async def _wait(self, connection: Any) -> None:
        self._passing -= 1
        if self._passing == -1:
            self._reached.set()
            async with asyncio.timeout(BOUND):
                await self._allowed.wait()
        await self._commit(connection)

    async def reached(self) -> None:
        async with asyncio.timeout(BOUND):
            await self._reached.wait()

    def go_on(self) -> None:
        self._allowed.set()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection beside those of storages."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def somebody_waits(connection: Any) -> None:
    """Returns when a statement of this database waits for a lock."""
    async with asyncio.timeout(BOUND):
        while not await connection.fetchval(  # noqa: ASYNC110  (nobody tells of who waits)
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.005)


async def terminated(url: str, where: str = "TRUE") -> int:
    """Ends what the storages have open."""
    async with connected(url) as connection:
        return int(
            await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
                f" WHERE datname = current_database() AND application_name = 'coscribe-log' AND {where}"
            )
        )


async def bounded(waiting: Awaitable[Any]) -> Any:
    async with asyncio.timeout(BOUND):
        return await waiting


async def one_more(storage: PostgresStorage, workspace: Workspace, name: str, previous: int = 0) -> Append:
    """An append of one entry."""
    author = await storage.author("ann")
    row = entry(previous + 1, name, file_key=workspace.files[0].key, author_ref=author)
    return Append(workspace.key, workspace.epoch, previous, row.digest, [row])


@asynccontextmanager
async def held_up(
    storage: PostgresStorage, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Append, asyncio.Task[list[AppendResult]]]]:
    """An append that has come to its commit, and goes on when the block ends."""
    append = await one_more(storage, workspace, "held:1")
    commits = Commits(monkeypatch)
    appending = asyncio.create_task(storage.append([append]))
    await commits.reached()
    yield append, appending
    commits.go_on()


async def everything(storage: PostgresStorage, workspace: Workspace) -> list[LogEntry]:
    return await storage.read(workspace.key, 0, through=10**6, limit=10**6)


# ---- the fence between instances


async def test_who_acquires_waits_for_an_append_that_has_begun_and_sees_it(
    storage: PostgresStorage, other: PostgresStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(storage)
    async with held_up(storage, workspace, monkeypatch) as (append, appending):
        acquiring = asyncio.create_task(other.acquire("notes"))
        async with connected(url) as connection:
            await somebody_waits(connection)
        assert not acquiring.done()
    assert await bounded(appending) == [AppendResult.COMMITTED]
    new = await bounded(acquiring)
    assert (new.epoch, new.last_sequence, new.chain_hash) == (workspace.epoch + 1, 1, append.chain_hash)
    assert await storage.append([await one_more(storage, workspace, "late:2", 1)]) == [AppendResult.REFUSED]
    assert await other.append([await one_more(other, new, "new:1", 1)]) == [AppendResult.COMMITTED]


async def test_an_append_that_begins_while_somebody_acquires_is_refused(storage: PostgresStorage, url: str) -> None:
    workspace = await acquired(storage)
    append = await one_more(storage, workspace, "late:1")
    async with connected(url) as acquiring, connected(url) as connection:
        await acquiring.execute("BEGIN; UPDATE heads SET epoch = epoch + 1")
        appending = asyncio.create_task(storage.append([append]))
        await somebody_waits(connection)
        await acquiring.execute("COMMIT")
        assert await bounded(appending) == [AppendResult.REFUSED]
    assert await everything(storage, workspace) == []


async def test_who_is_overtaken_while_reading_has_an_epoch_of_no_worth(
    storage: PostgresStorage, other: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between raising the epoch and reading the head: what is read is the other's, the epoch is not."""
    await acquired(storage)
    read, new = storage._read, []

    async def overtaken(steps: Any) -> Any:
        found = await other.acquire("notes")
        assert found is not None
        new.append(found)
        assert await other.append([await one_more(other, found, "new:1")]) == [AppendResult.COMMITTED]
        return await read(steps)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "_read", overtaken)
        old = await storage.acquire("notes")
    assert old is not None
    assert (old.epoch, old.last_sequence) == (new[0].epoch - 1, 1)
    assert await storage.append([await one_more(storage, old, "old:1", 1)]) == [AppendResult.REFUSED]
    assert await other.append([await one_more(other, new[0], "new:2", 1)]) == [AppendResult.COMMITTED]


async def test_two_who_append_to_the_same_workspaces_never_lock_each_other_out(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    """In groups whose orders are opposite. One owns them all, and is never refused."""
    stale = [await acquired(other, f"w{number}") for number in range(6)]
    owned = [found for number in range(6) if (found := await storage.acquire(f"w{number}")) is not None]
    for sequence in range(40):
        mine = [await one_more(storage, each, f"a:{sequence + 1}", sequence) for each in owned]
        theirs = [await one_more(other, each, f"b:{sequence + 1}", sequence) for each in reversed(stale)]
        results = await bounded(asyncio.gather(storage.append(mine), other.append(theirs)))
        assert results == [[AppendResult.COMMITTED] * 6, [AppendResult.REFUSED] * 6]


async def test_a_workspace_may_come_twice_in_a_group(storage: PostgresStorage) -> None:
    one, two = await acquired(storage, "one"), await acquired(storage, "two")
    appends = [
        await one_more(storage, one, "a:1"),
        await one_more(storage, two, "a:1"),
        await one_more(storage, one, "a:2", 1),
        await one_more(storage, one, "a:2", 2),
        await one_more(storage, one, "a:3", 2),
    ]
    committed, refused = AppendResult.COMMITTED, AppendResult.REFUSED
    assert await storage.append(appends) == [committed, committed, committed, refused, committed]
    assert [row.operation_id for row in await everything(storage, one)] == ["a:1", "a:2", "a:3"]


async def test_what_the_tables_cannot_hold_does_not_hold_up_the_others(storage: PostgresStorage) -> None:
    tree, other = await planted(storage), await acquired(storage)
    bad = File(file_key(tree.key, 1), "f1", "", NodeState("", "a NUL \0", "text"))
    append = (await one_more(storage, tree, "a:1"))._replace(files=[bad])
    beside = await one_more(storage, other, "a:1")
    assert await storage.append([append, beside]) == [AppendResult.REFUSED, AppendResult.COMMITTED]
    assert await everything(storage, tree) == []


async def test_an_id_that_moves_into_a_segment_meanwhile_is_refused(
    storage: PostgresStorage, other: PostgresStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(storage)
    rows = await extended(storage, workspace, [f"a:{n}" for n in range(1, 20)])
    await storage.compact(workspace.key, 5, SMALL)
    append = await one_more(storage, workspace, "a:8", 19)
    commits = Commits(monkeypatch, passing=1)  # of the transaction that reads
    compacting = asyncio.create_task(other.compact(workspace.key, 12, SMALL))
    await commits.reached()
    appending = asyncio.create_task(storage.append([append]))
    async with connected(url) as connection:
        await somebody_waits(connection)
    commits.go_on()
    assert await bounded(compacting) is not None
    assert await bounded(appending) == [AppendResult.REFUSED]
    assert await everything(storage, workspace) == rows


async def test_a_hold_that_is_being_placed_keeps_a_log_from_being_pruned(storage: PostgresStorage, url: str) -> None:
    workspace, rows = await closed(storage)
    async with connected(url) as holding, connected(url) as connection:
        await holding.execute(
            f"BEGIN; SELECT pg_advisory_xact_lock({WRITING});"
            f"INSERT INTO retention (workspace_key, hold_reason) VALUES ({workspace.key}, 'a lawsuit')"
        )
        pruning = asyncio.create_task(storage.prune(checkpoint(workspace, rows[19]), Retained()))
        await somebody_waits(connection)
        await holding.execute("COMMIT")
        assert not await bounded(pruning)
    assert await storage.pruned(workspace.key) == NOTHING_PRUNED
    assert await everything(storage, workspace) == rows


async def test_an_instance_that_hangs_in_a_transaction_lets_go_of_its_locks(
    storage: PostgresStorage, other: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(other)
    monkeypatch.setitem(adapter._SETTINGS, "idle_in_transaction_session_timeout", "200ms")
    async with held_up(storage, workspace, monkeypatch) as (_, appending):
        new = await bounded(other.acquire("notes"))
        assert (new.epoch, new.last_sequence) == (workspace.epoch + 1, 0)
    with pytest.raises(StorageError):
        await bounded(appending)


# ---- connections that are cut


async def test_an_append_whose_connection_ends_before_the_commit_has_an_unknown_outcome(
    storage: PostgresStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(storage)
    async with held_up(storage, workspace, monkeypatch) as (append, appending):
        assert await terminated(url, "state = 'idle in transaction'") == 1
    with pytest.raises(StorageError):
        await bounded(appending)
    assert await everything(storage, workspace) == []
    assert await storage.append([append]) == [AppendResult.COMMITTED]


async def test_what_is_abandoned_fails_at_once_and_the_next_job_connects_anew(
    storage: PostgresStorage, other: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(storage)
    async with held_up(storage, workspace, monkeypatch) as (append, appending):
        storage.abandon()
    with pytest.raises(StorageError):
        await bounded(appending)
    assert await bounded(everything(storage, workspace)) == []
    assert await bounded(storage.append([append])) == [AppendResult.COMMITTED]


class Cut(Relay):
    """Passes on what clients send, up to a COMMIT: its answer gets lost, and the connection with it."""

    def __init__(self, behind: int) -> None:
        super().__init__(behind)
        self.cuts = False
        self._is_cut: set[asyncio.StreamWriter] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", self._behind)
        answering = asyncio.create_task(self._answer(behind, writer))
        try:
            while data := await reader.read(65_536):
                to_behind.write(data)
                if self.cuts and b"COMMIT" in data:
                    self._is_cut.add(writer)
                    await answering
                    writer.transport.abort()
                    return
        finally:
            answering.cancel()
            to_behind.close()
            writer.close()

    async def _answer(self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await behind.read(65_536)) and writer not in self._is_cut:
            writer.write(data)
        writer.close()


async def test_an_append_whose_commit_arrives_and_is_not_answered_is_there_when_it_is_read_back(
    storage: PostgresStorage, url: str
) -> None:
    workspace = await acquired(storage)
    append = await one_more(storage, workspace, "a:1")
    parts = urlsplit(url)
    assert parts.port is not None
    async with Cut(parts.port) as relay:
        place = parts.netloc.replace(str(parts.port), str(relay.port))
        cut = PostgresStorage(urlunsplit(parts._replace(netloc=place)))
        relay.cuts = True
        with pytest.raises(StorageError):
            await bounded(cut.append([append]))
        relay.cuts = False
        again = await bounded(cut.acquire("notes"))
        assert (again.epoch, again.last_sequence) == (workspace.epoch + 1, 1)
        assert await everything(cut, workspace) == list(append.entries)
        await cut.close()


async def test_idle_connections_that_end_are_replaced(storage: PostgresStorage, url: str) -> None:
    before = metrics.log_connections._value.get()
    workspace = await acquired(storage)
    await appended(storage, workspace, ["a:1"])
    assert await terminated(url) >= 2
    async with asyncio.timeout(BOUND):
        while metrics.log_connections._value.get() > before:  # noqa: ASYNC110  (nobody tells of their end)
            await asyncio.sleep(0.005)
    await appended(storage, workspace, ["a:2"], previous=1)
    assert len(await everything(storage, workspace)) == 2


@pytest.mark.slow
async def test_it_goes_on_after_a_restart_of_the_server() -> None:
    with PostgresServer() as server:
        storage = PostgresStorage(server.fresh())
        workspace = await acquired(storage)
        await appended(storage, workspace, ["a:1"])
        append = await one_more(storage, workspace, "a:2", 1)
        await asyncio.to_thread(server.kill)
        for _ in range(2):
            with pytest.raises(StorageError):
                await bounded(storage.append([append]))
            with pytest.raises(StorageError):
                await bounded(storage.acquire("notes"))
        await asyncio.to_thread(server.start)
        assert await bounded(storage.append([append])) == [AppendResult.COMMITTED]
        assert len(await everything(storage, workspace)) == 2
        await storage.close()


async def test_a_failing_write_is_an_unknown_outcome_and_storage_goes_on(storage: PostgresStorage, url: str) -> None:
    workspace = await acquired(storage)
    rows = await appended(storage, workspace, ["a:1"])
    async with connected(url) as connection:
        await connection.execute("ALTER TABLE file_operation_log RENAME TO elsewhere")
        with pytest.raises(StorageError):
            await storage.append([await one_more(storage, workspace, "a:2", 1)])
        await connection.execute("ALTER TABLE elsewhere RENAME TO file_operation_log")
    assert await everything(storage, workspace) == rows
    await appended(storage, workspace, ["a:2"], previous=1)


async def test_a_commit_that_rolls_back_is_no_commit(storage: PostgresStorage) -> None:
    """PostgreSQL answers COMMIT of a transaction that has failed with ROLLBACK, and with no error."""

    async def job(connection: Any) -> None:
        await connection.execute("BEGIN")
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("SELECT * FROM nowhere")
        await adapter._commit(connection)

    with pytest.raises(StorageError, match="not committed"):
        await storage._others.run(job)


# ---- bounds and settings


async def test_there_are_few_connections(storage: PostgresStorage, url: str) -> None:
    workspace = await acquired(storage)
    await asyncio.gather(*(storage.find(workspace.key, f"a:{n}") for n in range(50)))
    await appended(storage, workspace, ["a:1"])
    async with connected(url) as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'coscribe-log'"
        )
    assert count == adapter.CONNECTIONS + 1


async def test_who_gets_no_turn_is_told(storage: PostgresStorage, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await acquired(storage)
    append = await one_more(storage, workspace, "a:1")
    waiting = metrics.log_waiting._value.get()
    async with connected(url) as locking, connected(url) as connection:
        await locking.execute("BEGIN; SELECT * FROM heads FOR UPDATE")
        first = asyncio.create_task(storage.append([append]))
        await somebody_waits(connection)
        monkeypatch.setattr(adapter, "WAIT_SECONDS", 0.05)
        with pytest.raises(StorageError, match="no connection was free"):
            await storage.append([append])
        monkeypatch.setattr(adapter, "MAX_WAITING", 1)
        assert metrics.log_waiting._value.get() == waiting + 1
        with pytest.raises(CoscribeError) as refused:
            await storage.append([append])
        assert refused.value.code is Code.OVERLOADED
        await locking.execute("ROLLBACK")
        assert await bounded(first) == [AppendResult.COMMITTED]
    assert metrics.log_waiting._value.get() == waiting


async def test_what_has_begun_ends_although_nobody_waits_for_it(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await acquired(storage)
    async with held_up(storage, workspace, monkeypatch) as (_, appending):
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
    assert await bounded(storage.append([await one_more(storage, workspace, "a:2", 1)])) == [AppendResult.COMMITTED]


@pytest.mark.parametrize(("set_by_server", "used"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_commits_wait_for_the_disk_whatever_the_server_has_set(
    storage: PostgresStorage, url: str, set_by_server: str, used: str
) -> None:
    name = urlsplit(url).path[1:]
    async with connected(url) as connection:
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {set_by_server}")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    wanted = {"synchronous_commit": used, "transaction_isolation": "read committed", "lock_timeout": "10s"}
    for lane in (storage._appending, storage._others):
        found = {setting: await lane.run(_shown(setting)) for setting in wanted}
        assert found == wanted


def _shown(setting: str) -> Callable[[Any], Awaitable[Any]]:
    return lambda connection: connection.fetchval(f"SHOW {setting}")


async def test_an_erased_author_leaves_the_log_as_it_was(storage: PostgresStorage, url: str) -> None:
    workspace = await acquired(storage)
    rows = await extended(storage, workspace, [f"a:{n}" for n in range(1, 10)])
    await compacted(storage, workspace, 7, SMALL)
    async with connected(url) as connection:
        await connection.execute("UPDATE authors SET user_id = NULL")
    name = f"erased-{rows[0].author_ref}"
    assert await everything(storage, workspace) == [row._replace(author=name) for row in rows]


async def test_a_database_that_cannot_be_written_is_none(storage: PostgresStorage, url: str) -> None:
    """As one that another has taken over from: of all hosts that a URL names, it is not the one."""
    workspace = await acquired(storage)
    await terminated(url)
    async with connected(url) as connection:
        name = urlsplit(url).path[1:]
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(StorageError):
            await bounded(storage.acquire("notes"))
        await connection.execute(f"SET default_transaction_read_only = off; ALTER DATABASE {name} RESET ALL")
    again = await bounded(storage.acquire("notes"))
    assert again.epoch == workspace.epoch + 1
