"""Loading, letting go, and what happens when storage is not as it should be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.collaboration import Membership
from coscribe.documents.opened import OpenFile
from coscribe.documents.ports import Append, AppendResult, Identity
from coscribe.documents.session import Evidence, Missing
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import RoleOfToken
from coscribe.metrics import metrics
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec, messages

ANN = Identity("ann", "Ann", "#000000", "editor")


class Recorder:
    """A subscriber that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[messages.ServerMessage] = []
        self.evicted: CoscribeError | None = None
        self.news = asyncio.Event()

    def deliver(self, frame: bytes, position: int | None = None) -> None:
        self.frames.append(codec.decode_server(frame))
        self.news.set()

    def broadcast(self, frame: bytes, last_sequence: int) -> None:
        self.deliver(frame)

    def hint(self, frame: bytes) -> None:
        self.deliver(frame)

    def evict(self, error: CoscribeError) -> None:
        self.evicted = error
        self.news.set()

    async def until(self, there: Callable[[messages.ServerMessage], bool]) -> messages.ServerMessage:
        """The first frame, from the beginning, of which ``there`` is true."""
        while True:
            for frame in self.frames:
                if there(frame):
                    return frame
            self.news.clear()
            await self.news.wait()


async def joined(coscribe: Coscribe, file_id: str = "notes") -> tuple[Membership, Recorder, messages.Snapshot]:
    recorder = Recorder()
    member = await coscribe.collaboration.join(ANN, "c1", messages.Join(file_id), recorder)
    snapshot = await recorder.until(lambda frame: isinstance(frame, messages.Snapshot))
    assert isinstance(snapshot, messages.Snapshot)
    coscribe.collaboration.snapshot_applied(member, snapshot.snapshot_sequence_id)
    await recorder.until(lambda frame: isinstance(frame, messages.Live))
    return member, recorder, snapshot


async def typed(coscribe: Coscribe, member: Membership, recorder: Recorder, name: str, base: int, text: str) -> None:
    """Inserts at 0 and waits for the acknowledgement."""
    operation = messages.Operation(member.file.state.file_id, name, "ann", base, "insert", 0, text)
    await submit(coscribe, member, operation)
    await recorder.until(
        lambda frame: (
            isinstance(frame, messages.Committed | messages.Ack)
            and any(done.operation_id == name for done in frame.operations)
        )
    )


async def submit(coscribe: Coscribe, member: Membership, operation: messages.Operation) -> None:
    """Submits as the gateway does: what the turn is missing is gathered, then it runs again."""
    evidence = Evidence()
    while True:
        try:
            coscribe.collaboration.submit(member, operation, evidence, within_rate=True)
        except Missing as missing:
            await coscribe.collaboration.gather(member, missing, evidence)
        else:
            return


@asynccontextmanager
async def server(
    folder: Path, limits: Limits | None = None, policy: SnapshotPolicy | None = None
) -> AsyncIterator[Coscribe]:
    settings = Settings(
        folder=folder, limits=limits or Limits(), policy=policy or SnapshotPolicy(), token_secret="s" * 32
    )
    coscribe = Coscribe(settings, access=RoleOfToken())
    async with coscribe.running():
        yield coscribe


def database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "coscribe.db", isolation_level=None)


async def filled(folder: Path, count: int = 30, every: int = 10) -> str:
    """A folder with ``count`` operations and a snapshot after each ``every``; returns the text."""
    async with server(folder, policy=SnapshotPolicy(operations=every)) as coscribe:
        member, recorder, _ = await joined(coscribe)
        for number in range(count):
            await typed(coscribe, member, recorder, f"s:{number + 1}", number, f"<{number}>")
        await coscribe.collaboration.snapshots.settle()
        return text_in(member)


def text_in(member: Membership) -> str:
    """The text that somebody has open."""
    assert isinstance(member.file, OpenFile)
    return str(member.file.state.content)


async def text_of(folder: Path) -> str:
    async with server(folder) as coscribe:
        _, _, snapshot = await joined(coscribe)
        return snapshot.content


async def test_a_restart_brings_everything_back(tmp_path: Path) -> None:
    text = await filled(tmp_path)
    assert await text_of(tmp_path) == text


@pytest.mark.parametrize("harm", ["content", "hash", "not even UTF-8", "from the future"])
async def test_a_damaged_snapshot_is_passed_over(tmp_path: Path, harm: str) -> None:
    text = await filled(tmp_path)
    with database(tmp_path) as db:
        newest = "snapshot_key = (SELECT max(snapshot_key) FROM file_snapshots)"
        assert db.execute("SELECT count(*) FROM file_snapshots").fetchone() == (3,)
        if harm == "content":
            db.execute(f"UPDATE file_snapshots SET content = CAST('forged' AS BLOB) WHERE {newest}")
        elif harm == "hash":
            db.execute(f"UPDATE file_snapshots SET content_hash = zeroblob(32) WHERE {newest}")
        elif harm == "not even UTF-8":
            db.execute(f"UPDATE file_snapshots SET content = x'ff00fe' WHERE {newest}")
        else:
            db.execute(f"UPDATE file_snapshots SET sequence = 10000 WHERE {newest}")
    db.close()
    assert await text_of(tmp_path) == text


async def test_without_any_snapshot_the_log_is_replayed_from_the_beginning(tmp_path: Path) -> None:
    text = await filled(tmp_path)
    with database(tmp_path) as db:
        db.execute("DELETE FROM file_snapshots")
    db.close()
    assert await text_of(tmp_path) == text


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE file_operation_log SET payload = CAST('[[1000,\"x\"],[]]' AS BLOB) WHERE sequence = 5",
        "UPDATE file_operation_log SET payload = CAST('[[[\"zz\"]],[]]' AS BLOB) WHERE sequence = 5",
        "UPDATE file_operation_log SET payload = CAST('nonsense' AS BLOB) WHERE sequence = 5",
        "DELETE FROM file_operation_log WHERE sequence = 5",
        "DELETE FROM file_operation_log WHERE sequence = 30",
        "UPDATE heads SET chain_hash = zeroblob(32)",
    ],
)
async def test_a_damaged_log_is_said_and_nothing_is_written_over_it(tmp_path: Path, harm: str) -> None:
    await filled(tmp_path)
    with database(tmp_path) as db:
        db.execute("DELETE FROM file_snapshots")
        db.execute(harm)
        before = db.execute("SELECT * FROM file_operation_log").fetchall()
    async with server(tmp_path) as coscribe:
        for _ in range(2):
            with pytest.raises(CoscribeError) as refused:
                await coscribe.collaboration.join(ANN, "c1", messages.Join("notes"), Recorder())
            assert refused.value.code is Code.FILE_DAMAGED
    assert db.execute("SELECT * FROM file_operation_log").fetchall() == before
    assert db.execute("SELECT count(*) FROM file_snapshots").fetchone() == (0,)
    db.close()


async def test_an_idle_workspace_is_let_go_and_comes_back(tmp_path: Path) -> None:
    async with server(tmp_path, policy=SnapshotPolicy(idle_seconds=0.0)) as coscribe:
        collaboration = coscribe.collaboration
        member, recorder, _ = await joined(coscribe)
        await typed(coscribe, member, recorder, "s:1", 0, "kept")
        await collaboration.snapshots.sweep()
        assert "notes" in collaboration.router.sessions, "somebody has it open"
        collaboration.leave(member)
        await collaboration.snapshots.sweep()
        assert "notes" not in collaboration.router.sessions
        kept = await coscribe.storage.newest(member.file.file_key)
        assert kept is not None
        assert kept.content == "kept"
        _, _, snapshot = await joined(coscribe)
        assert (snapshot.content, snapshot.snapshot_version, snapshot.snapshot_sequence_id) == ("kept", 1, 1)


async def test_the_least_recently_used_leave_first_when_there_are_too_many(tmp_path: Path) -> None:
    policy = SnapshotPolicy(idle_seconds=1e9, max_workspaces=2)
    async with server(tmp_path, policy=policy) as coscribe:
        for name in ("a", "b", "c", "d"):
            member, _, _ = await joined(coscribe, name)
            if name != "b":
                coscribe.collaboration.leave(member)
        await coscribe.collaboration.snapshots.sweep()
        assert set(coscribe.collaboration.router.sessions) == {"b", "d"}


async def test_a_base_that_has_left_the_window_is_rebased_over_the_log(tmp_path: Path) -> None:
    async with server(tmp_path, Limits(window_operations=8)) as coscribe:
        member, recorder, _ = await joined(coscribe)
        for number in range(40):
            await typed(coscribe, member, recorder, f"s:{number + 1}", number, "a")
        late = messages.Operation("notes", "late:1", "ann", 2, "insert", 2, "|")
        await submit(coscribe, member, late)
        await recorder.until(
            lambda frame: isinstance(frame, messages.Committed) and frame.operations[-1].operation_id == "late:1"
        )
        # 38 more were inserted at 0 since version 2, all of them left of position 2.
        assert text_in(member) == "a" * 40 + "|"


async def test_a_base_too_old_to_rebase_is_refused(tmp_path: Path) -> None:
    async with server(tmp_path, Limits(window_operations=4, rebase_steps=10)) as coscribe:
        member, recorder, _ = await joined(coscribe)
        for number in range(12):
            await typed(coscribe, member, recorder, f"s:{number + 1}", number, "a")
        with pytest.raises(CoscribeError) as refused:
            await submit(coscribe, member, messages.Operation("notes", "late:1", "ann", 0, "insert", 0, "|"))
        assert refused.value.code is Code.BASE_VERSION_TOO_OLD


async def test_a_duplicate_is_known_after_the_window_forgot_it_and_after_a_restart(tmp_path: Path) -> None:
    limits = Limits(window_operations=4)
    async with server(tmp_path, limits) as coscribe:
        member, recorder, _ = await joined(coscribe)
        for number in range(20):
            await typed(coscribe, member, recorder, f"s:{number + 1}", number, "a")
        await _acknowledged_again(coscribe, member, recorder)
    async with server(tmp_path, limits) as coscribe:
        member, recorder, _ = await joined(coscribe)
        await _acknowledged_again(coscribe, member, recorder)


async def _acknowledged_again(coscribe: Coscribe, member: Membership, recorder: Recorder) -> None:
    for number in (0, 7, 19):
        again = messages.Operation("notes", f"s:{number + 1}", "ann", number, "insert", 0, "a")
        await submit(coscribe, member, again)
        ack = await recorder.until(
            lambda frame, number=number: (
                isinstance(frame, messages.Ack)  # type: ignore[misc]  # bound on purpose
                and frame.operations[0].operation_id == f"s:{number + 1}"
            )
        )
        assert isinstance(ack, messages.Ack)
        assert ack.operations == [messages.Place(f"s:{number + 1}", number + 1, number + 1)]
    assert text_in(member) == "a" * 20


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    from coscribe.app import FolderInUse

    async with server(tmp_path):
        with pytest.raises(FolderInUse):
            Coscribe(Settings(folder=tmp_path))


async def test_the_backlog_metric_shows_what_waits_for_the_disk(tmp_path: Path) -> None:
    seen: list[float | None] = []

    class WatchedStorage(MemoryStorage):
        async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
            seen.append(metrics.registry.get_sample_value("coscribe_commit_backlog"))
            return await super().append(appends)

    coscribe = Coscribe(Settings(folder=tmp_path, token_secret="s" * 32), storage=WatchedStorage())
    async with coscribe.running():
        member, recorder, _ = await joined(coscribe)
        await typed(coscribe, member, recorder, "s:1", 0, "a")
    assert seen == [1.0]
    assert metrics.registry.get_sample_value("coscribe_commit_backlog") == 0.0
