"""The contract of pruning: what `OpLog.prune` leaves, and what it must not touch. Subclass with a fixture `storage`."""

from __future__ import annotations

import pytest

from coscribe.core.dedup import Record
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint
from coscribe.documents.ports import Append, AppendResult, Retained
from coscribe.model import NOTHING_PRUNED, LogEntry, Workspace, content_hash
from tests.contracts.op_log import SMALL, acquired, compacted, entry, extended
from tests.contracts.snapshot_repo import AnyStorage, snapshot

COUNT = 30
GONE = 20
"""Entries up to which a test may prune."""


def checkpoint(workspace: Workspace, row: LogEntry, *, horizon: int = 0) -> Checkpoint:
    """One behind a row, of a file that has the version of its sequence."""
    file, text = workspace.files[0], f"text of {row.sequence}"
    at = FileAtCheckpoint(file.key, file.file_id, row.version, horizon, text, content_hash(text), b"who wrote it")
    names = workspace.key, workspace.workspace_id
    return Checkpoint(*names, row.sequence, row.digest, row.time, 9_000_000, (at,), "key", bytes(range(64)))


async def closed(storage: AnyStorage, name: str = "notes") -> tuple[Workspace, list[LogEntry]]:
    """A log of which `GONE` entries are closed."""
    workspace = await acquired(storage, name)
    rows = await extended(storage, workspace, [f"{'ab'[n % 3 == 0]}:{n}" for n in range(1, COUNT + 1)])
    for sequence in (5, GONE + 1):
        await storage.save(snapshot(workspace.files[0].key, sequence), keep=3)
    await compacted(storage, workspace, GONE, SMALL)
    return workspace, rows


class PruningContract:
    async def test_a_whole_log_says_so(self, storage: AnyStorage) -> None:
        workspace, _ = await closed(storage)
        assert await storage.pruned(workspace.key) == NOTHING_PRUNED
        assert await storage.checkpoint(workspace.key) is None
        assert (await storage.segments(workspace.key))[-1] == GONE

    async def test_what_is_left_reads_as_before_and_the_rest_is_refused(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        key, file_key = workspace.key, workspace.files[0].key
        for gone in await storage.segments(key):
            made = checkpoint(workspace, rows[gone - 1])
            assert await storage.prune(made, Retained())
            assert await storage.checkpoint(key) == made
            assert await storage.pruned(key) == made.pruned
            for after in sorted({0, 1, gone - 1, gone, gone + 1, gone + 6, gone + 7, COUNT - 1, COUNT}):
                for through in (gone, gone + 1, 25, COUNT, 99):
                    for limit in (1, 5, 99):
                        asked = [
                            storage.read(key, after, through=through, limit=limit),
                            storage.read(key, after, through=through, limit=limit, file_key=file_key),
                            storage.read_versions(file_key, after, through, limit),
                        ]
                        for ask in asked:
                            if after < gone:
                                with pytest.raises(CoscribeError) as refused:
                                    await ask
                                assert refused.value.code is Code.HISTORY_PRUNED
                            else:
                                assert await ask == rows[after:through][:limit]
        assert await storage.segments(key) == []
        again = await storage.acquire("notes")
        assert again is not None
        assert (again.last_sequence, again.chain_hash) == (COUNT, rows[-1].digest)

    async def test_ids_stay_known_with_their_places(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained())
        for row in rows:
            expected = Record(row.operation_id, "ann", row.request, "notes", row.sequence, row.version)
            assert await storage.find(workspace.key, row.operation_id) == expected
            again = entry(COUNT + 1, row.operation_id, file_key=row.file_key, author_ref=row.author_ref)
            append = Append(workspace.key, workspace.epoch, COUNT, again.digest, [again])
            assert await storage.append([append]) == [AppendResult.REFUSED]
        assert await storage.find(workspace.key, "a:3") is None
        assert await storage.highest(workspace.key, "a") == 29
        assert await storage.highest(workspace.key, "b") == 30

    async def test_ids_can_be_forgotten(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        key = workspace.key
        assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained())
        made = checkpoint(workspace, rows[GONE - 1], horizon=GONE + 1)
        assert await storage.prune(made, Retained(), forget_ids=True)
        assert (await storage.pruned(key)).horizons == {workspace.files[0].key: GONE + 1}
        for row in rows:
            found = await storage.find(key, row.operation_id)
            assert (found is None) == (row.sequence <= GONE)
        assert await storage.read(key, GONE, through=99, limit=99) == rows[GONE:]
        assert await storage.highest(key, "a") == 29

    async def test_a_pruned_log_goes_on(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        key = workspace.key
        for forget in (False, True):
            assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained(), forget_ids=forget)
        rows += await extended(storage, workspace, [f"new:{n}" for n in range(1, 21)], rows[-1])
        assert await storage.read(key, GONE, through=99, limit=99) == rows[GONE:]
        await storage.save(snapshot(workspace.files[0].key, 46), keep=3)
        await compacted(storage, workspace, 45, SMALL)
        assert await storage.read(key, GONE, through=99, limit=99) == rows[GONE:]
        (*_, end) = await storage.segments(key)
        assert await storage.prune(checkpoint(workspace, rows[end - 1]), Retained())
        assert await storage.read(key, end, through=99, limit=99) == rows[end:]

    async def test_snapshots_of_what_is_gone_go_too(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained())
        newest = await storage.newest(workspace.files[0].key)
        assert newest is not None
        assert newest.sequence == GONE + 1
        assert await storage.newest(workspace.files[0].key, skip=1) is None

    async def test_a_retention_that_was_changed_meanwhile_counts(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        for seen in (Retained(7), Retained(0)):
            assert not await storage.prune(checkpoint(workspace, rows[GONE - 1]), seen)
        assert await storage.pruned(workspace.key) == NOTHING_PRUNED
        assert await storage.read(workspace.key, 0, through=99, limit=99) == rows

    async def test_a_checkpoint_never_goes_back(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained())
        assert not await storage.prune(checkpoint(workspace, rows[6]), Retained())
        assert not await storage.prune(checkpoint(workspace, rows[-1]), Retained())
        assert (await storage.pruned(workspace.key)).sequence == GONE

    async def test_who_may_be_pruned(self, storage: AnyStorage) -> None:
        names = ["one", "two", "three"]
        keys = [(await closed(storage, name))[0].key for name in names]
        assert await storage.prunable(0, 0, 9) == []
        found = await storage.prunable(30, 0, 9)
        assert [(item.workspace.workspace_id, item.retained) for item in found] == [
            (name, Retained()) for name in names
        ]
        assert [item.workspace.key for item in await storage.prunable(30, keys[0], 1)] == [keys[1]]

    async def test_logs_are_pruned_one_by_one(self, storage: AnyStorage) -> None:
        workspace, rows = await closed(storage)
        other, beside = await closed(storage, "other")
        assert await storage.prune(checkpoint(workspace, rows[GONE - 1]), Retained())
        assert await storage.read(other.key, 0, through=99, limit=99) == beside
        assert await storage.read_versions(other.files[0].key, 0, 99, 99) == beside
