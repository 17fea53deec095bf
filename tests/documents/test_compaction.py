"""When logs are compressed, when workspaces are let go for room, and that nobody can tell afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coscribe.app import Coscribe
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.compaction import LOOKS, Compaction
from coscribe.documents.history import History
from coscribe.documents.ports import Segment, SegmentSize, StorageError
from coscribe.documents.snapshot_manager import SnapshotPolicy, bytes_of
from coscribe.metrics import metrics
from coscribe.model import LogEntry
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from tests.documents.test_recovery import ANN, Recorder, database, joined, server, submit, text_in, typed

COUNT = 40
LIMITS = Limits(window_operations=8)
POLICY = SnapshotPolicy(operations=10, segment_entries=6, segments_per_sweep=2, idle_seconds=1e9)


def counts(folder: Path) -> tuple[int, int]:
    """Entries in segments, and rows."""
    db = database(folder)
    (entries,) = db.execute("SELECT coalesce(sum(entries), 0) FROM log_segments").fetchone()
    (rows,) = db.execute("SELECT count(*) FROM file_operation_log").fetchone()
    db.close()
    return entries, rows


def sample(name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"coscribe_{name}", labels) or 0.0


async def write(coscribe: Coscribe, file_id: str = "notes", count: int = COUNT) -> None:
    """Types into a new document, and leaves it when all snapshots of it are stored."""
    member, recorder, _ = await joined(coscribe, file_id)
    for number in range(count):
        await typed(coscribe, member, recorder, f"s:{number + 1}", number, f"<{number}>")
    await coscribe.collaboration.snapshots.settle()
    coscribe.collaboration.leave(member)


async def log_of(coscribe: Coscribe, file_id: str = "notes") -> list[LogEntry]:
    session, _ = await coscribe.collaboration.router.open(file_id)
    return await coscribe.storage.read(session.workspace.key, 0, through=10**6, limit=10**6)


async def text_of(coscribe: Coscribe) -> str:
    _, _, snapshot = await joined(coscribe)
    return snapshot.content


@asynccontextmanager
async def compressed(folder: Path) -> AsyncIterator[Coscribe]:
    """A server on a folder whose log is compressed as far as may be, with nothing of it in memory."""
    async with server(folder, LIMITS, POLICY) as coscribe:
        await write(coscribe)
        for _ in range(4):
            await coscribe.collaboration.snapshots.sweep()
    async with server(folder, LIMITS, POLICY) as coscribe:
        yield coscribe


async def test_closed_parts_are_compressed_a_few_at_a_time(tmp_path: Path) -> None:
    before = sample("segments_total")
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        await write(coscribe)
        log = await log_of(coscribe)
        assert counts(tmp_path) == (0, COUNT)
        seen = []
        for _ in range(4):
            await coscribe.collaboration.snapshots.sweep()
            seen.append(counts(tmp_path))
            assert await log_of(coscribe) == log
        # Neither what the window holds nor what a load would read; and no segment that is not full.
        assert seen == [(12, 28), (24, 16), (30, 10), (30, 10)]
    assert sample("segments_total") - before == 5
    assert sample("segment_bytes_total", **{"as": "rows"}) > 0
    assert sample("segment_bytes_total", **{"as": "segments"}) > 0


async def test_what_a_load_reads_is_not_compressed(tmp_path: Path) -> None:
    """A window may be shorter than the way back to the last snapshot."""
    policy = POLICY._replace(operations=30)
    async with server(tmp_path, LIMITS, policy) as coscribe:
        await write(coscribe)
        for _ in range(4):
            await coscribe.collaboration.snapshots.sweep()
        assert counts(tmp_path) == (24, 16)


async def test_a_log_without_snapshot_is_open(tmp_path: Path) -> None:
    async with server(tmp_path, LIMITS, POLICY._replace(operations=10**6)) as coscribe:
        await write(coscribe)
        await coscribe.collaboration.snapshots.sweep()
        assert counts(tmp_path) == (0, COUNT)


async def test_a_workspace_that_was_let_go_is_compressed_too(tmp_path: Path) -> None:
    async with server(tmp_path, LIMITS, POLICY._replace(operations=10**6, idle_seconds=0.0)) as coscribe:
        await write(coscribe)
        await coscribe.collaboration.snapshots.sweep()
        assert coscribe.collaboration.router.sessions == {}
        for _ in range(4):
            await coscribe.collaboration.snapshots.sweep()
        # The window is gone with it, and the snapshot is of the very end.
        assert counts(tmp_path) == (36, 4)


async def test_a_few_long_entries_are_compressed_too(tmp_path: Path) -> None:
    """Imports make a log long in a few entries, fewer than a segment may hold."""
    policy = SnapshotPolicy(operations=10, segment_entries=1_000, segment_bytes=50)
    async with server(tmp_path, LIMITS, policy) as coscribe:
        await write(coscribe)
        for _ in range(20):
            await coscribe.collaboration.snapshots.sweep()
        entries, rows = counts(tmp_path)
        assert entries >= 20 and entries + rows == COUNT


async def test_none_are_made_where_the_policy_says_so(tmp_path: Path) -> None:
    async with server(tmp_path, LIMITS, POLICY._replace(segments_per_sweep=0)) as coscribe:
        await write(coscribe)
        await coscribe.collaboration.snapshots.sweep()
        assert counts(tmp_path) == (0, COUNT)


async def test_logs_take_turns(tmp_path: Path) -> None:
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        for name in ("a", "b"):
            await write(coscribe, name)
        await coscribe.collaboration.snapshots.sweep()
    db = database(tmp_path)
    assert db.execute("SELECT count(*) FROM log_segments GROUP BY workspace_key").fetchall() == [(1,), (1,)]
    db.close()


async def test_nobody_can_tell_by_the_past(tmp_path: Path) -> None:
    """Old versions, who wrote what, sessions, operations, the exported log: as before."""

    async def past(coscribe: Coscribe) -> list[object]:
        history = History(coscribe.collaboration, coscribe.storage)
        texts = [await coscribe.collaboration.text(ANN, "notes", version) for version in range(COUNT + 1)]
        lines = [line async for line in await history.log(ANN, "notes")]
        return [
            texts,
            lines,
            await history.blame(ANN, "notes", None),
            await history.blame(ANN, "notes", 15),
            await history.sessions(ANN, "notes", None, 10),
            await history.operations(ANN, "notes", 3, 30),
        ]

    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        await write(coscribe)
        before = await past(coscribe)
    async with compressed(tmp_path / "other"):
        pass
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        workspace = await coscribe.storage.acquire("notes")
        assert workspace is not None
        while await coscribe.storage.compact(workspace.key, 38, SegmentSize(6, 10**6, 2)) is not None:
            pass
        assert counts(tmp_path) == (38, 2)
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        assert await past(coscribe) == before


async def test_what_was_sent_long_ago_is_still_known(tmp_path: Path) -> None:
    async with compressed(tmp_path) as coscribe:
        assert counts(tmp_path)[0] >= 30
        member, recorder, snapshot = await joined(coscribe)
        for number in (0, 7, 29, 38):
            again = messages.Operation("notes", f"s:{number + 1}", "ann", number, "insert", 0, f"<{number}>")
            await submit(coscribe, member, again)
            place = messages.Place(f"s:{number + 1}", number + 1, number + 1)
            ack = await recorder.until(
                lambda frame, place=place: isinstance(frame, messages.Ack) and frame.operations == [place]  # type: ignore[misc]  # bound on purpose
            )
            assert isinstance(ack, messages.Ack)
        assert text_in(member) == snapshot.content


async def test_an_edit_of_an_old_version_is_rebased_over_segments(tmp_path: Path) -> None:
    async with compressed(tmp_path) as coscribe:
        member, recorder, snapshot = await joined(coscribe)
        late = messages.Operation("notes", "late:1", "ann", 2, "insert", 6, "|")
        await submit(coscribe, member, late)
        await recorder.until(lambda frame: isinstance(frame, messages.Committed))
        assert text_in(member) == snapshot.content + "|"


async def test_without_any_snapshot_it_is_replayed_from_segments(tmp_path: Path) -> None:
    async with compressed(tmp_path) as coscribe:
        text = await text_of(coscribe)
    db = database(tmp_path)
    db.execute("DELETE FROM file_snapshots")
    db.close()
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        assert await text_of(coscribe) == text


async def test_a_damaged_segment_is_never_missing_text(tmp_path: Path) -> None:
    async with compressed(tmp_path):
        pass
    db = database(tmp_path)
    db.execute("DELETE FROM file_snapshots")
    db.execute("UPDATE log_segments SET content = substr(content, 1, 40) WHERE first_sequence = 7")
    db.close()
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        for _ in range(2):
            with pytest.raises(StorageError):
                await coscribe.collaboration.join(ANN, "c1", messages.Join("notes"), Recorder())
            with pytest.raises(CoscribeError) as refused:
                await coscribe.collaboration.text(ANN, "notes")
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
        assert coscribe.collaboration.router.sessions == {}
    db = database(tmp_path)
    assert db.execute("SELECT count(*) FROM file_snapshots").fetchone() == (0,)
    db.close()


async def test_a_log_that_does_not_fit_is_left_and_the_others_go_on(tmp_path: Path) -> None:
    async with server(tmp_path, LIMITS, POLICY) as coscribe:
        await write(coscribe, "bad")
        await write(coscribe, "good")
        db = database(tmp_path)
        db.execute("UPDATE file_operation_log SET time = 1 WHERE workspace_key = 1 AND sequence = 3")
        before = sample("segments_failed_total")
        for _ in range(2):
            await coscribe.collaboration.snapshots.sweep()
        assert sample("segments_failed_total") - before == 1
        assert db.execute("SELECT count(*) FROM file_operation_log WHERE workspace_key = 1").fetchone() == (COUNT,)
        assert db.execute("SELECT count(*) FROM log_segments WHERE workspace_key = 2").fetchone() == (4,)
        db.close()


async def test_one_sweep_looks_at_a_bounded_number_of_logs(tmp_path: Path) -> None:
    looked: list[int] = []

    class Watched(MemoryStorage):
        async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
            looked.append(workspace_key)
            return None

    storage = Watched()
    async with server(tmp_path) as coscribe:
        compaction = Compaction(storage, coscribe.collaboration.router, SegmentSize(6, 10**6, 6), 2)
        for number in range(LOOKS + 10):
            session, _ = await coscribe.collaboration.router.open(await _made(coscribe, storage, f"d{number}"))
            compaction.snapshot_stored(session, 6)
            compaction.snapshot_stored(session, 7)
        assert sample("segments_waiting") == LOOKS + 10
        await compaction.step()
        assert len(looked) == LOOKS
        await compaction.step()
        await compaction.step()
        assert len(looked) == len(set(looked)) == LOOKS + 10
    assert sample("segments_waiting") == 0


async def _made(coscribe: Coscribe, storage: MemoryStorage, name: str) -> str:
    for each in (coscribe.storage, storage):
        await each.create(name, name, name, 0)
    return name


async def test_those_used_longest_ago_leave_when_texts_take_too_much_room(tmp_path: Path) -> None:
    before = sample("workspaces_evicted_total")
    policy = SnapshotPolicy(idle_seconds=1e9, max_bytes=25_000)
    async with server(tmp_path, policy=policy) as coscribe:
        sessions = coscribe.collaboration.router.sessions
        for name in ("a", "b", "c", "d"):
            member, recorder, _ = await joined(coscribe, name)
            await typed(coscribe, member, recorder, "s:1", 0, "x" * 5_000)
            if name != "b":
                coscribe.collaboration.leave(member)
        assert 10_000 < bytes_of(sessions["a"]) < 11_000, "the text, and the operation that brought it"
        await coscribe.collaboration.snapshots.sweep()
        assert set(sessions) == {"b", "d"}
        assert sample("workspaces_evicted_total") - before == 2
        assert sample("workspace_bytes") == bytes_of(sessions["b"]) + bytes_of(sessions["d"])
        _, _, snapshot = await joined(coscribe, "a")
        assert snapshot.content == "x" * 5_000


async def test_what_is_in_use_is_kept_whatever_room_it_takes(tmp_path: Path) -> None:
    async with server(tmp_path, policy=SnapshotPolicy(idle_seconds=1e9, max_bytes=0)) as coscribe:
        member, recorder, _ = await joined(coscribe)
        waiting = asyncio.ensure_future(typed(coscribe, member, recorder, "s:1", 0, "kept"))
        await coscribe.collaboration.snapshots.sweep()
        await waiting
        await coscribe.collaboration.snapshots.sweep()
        assert "notes" in coscribe.collaboration.router.sessions
        assert sample("workspace_bytes") > 0
        coscribe.collaboration.leave(member)
        await coscribe.collaboration.snapshots.sweep()
        assert coscribe.collaboration.router.sessions == {}
        assert sample("workspace_bytes") == 0
