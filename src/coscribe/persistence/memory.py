"""Storage that lasts as long as the process: for tests and for trying things. Same contract as the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coscribe.core.dedup import Record, split_id
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import (
    Append,
    AppendResult,
    BlobUse,
    Home,
    LastCursor,
    Latest,
    Prunable,
    Retained,
    Segment,
    SegmentSize,
)
from coscribe.model import GENESIS, NOTHING_PRUNED, File, FileSnapshot, LogEntry, Pruned, Workspace, file_key


@dataclass(slots=True)
class _Stored:
    key: int
    workspace_id: str
    files: list[File]
    epoch: int = 0
    last_sequence: int = 0
    chain_hash: bytes = GENESIS
    entries: list[LogEntry] = field(default_factory=list)
    ids: dict[str, LogEntry] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    retained: Retained = field(default_factory=Retained)
    kind: str = "document"
    folds_case: bool = False
    covered: int | None = None
    blobs: dict[BlobUse, None] = field(default_factory=dict)

    @property
    def pruned(self) -> Pruned:
        return self.checkpoint.pruned if self.checkpoint is not None else NOTHING_PRUNED


class MemoryStorage:
    """OpLog, SnapshotRepo and CursorRepo in dictionaries. ``incarnation`` and ``secret`` are the same for all
    workspaces."""

    def __init__(self, incarnation: str = "memory", secret: bytes = bytes(16)) -> None:
        self._incarnation = incarnation
        self._secret = secret
        self._by_id: dict[str, _Stored] = {}
        self._by_key: dict[int, _Stored] = {}
        self._homes: dict[str, str] = {}
        self._authors: dict[str, int] = {}
        self._snapshots: dict[int, list[FileSnapshot]] = {}
        self._saved: dict[int, int] = {}
        self._cursors: dict[tuple[int, int], LastCursor] = {}

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        if workspace_id not in self._by_id:
            key = len(self._by_id) + 1
            self._add(_Stored(key, workspace_id, [File(file_key(key, 0), file_id, path)]))

    async def create_tree(self, workspace_id: str, time: int, *, folds_case: bool = False) -> None:
        if workspace_id not in self._by_id:
            key = len(self._by_id) + 1
            root = File(file_key(key, 0), workspace_id, "")
            self._add(_Stored(key, workspace_id, [root], kind="workspace", folds_case=folds_case, covered=0))

    def _add(self, stored: _Stored) -> None:
        self._by_id[stored.workspace_id] = self._by_key[stored.key] = stored
        self._homes[stored.files[0].file_id] = stored.workspace_id

    async def locate(self, file_id: str) -> Home | None:
        home = self._homes.get(file_id)
        return None if home is None else Home(home, self._by_id[home].kind == "workspace")

    async def keys(self, workspace_key: int) -> dict[str, int]:
        return {file.file_id: file.key for file in self._by_key[workspace_key].files}

    async def acquire(self, workspace_id: str) -> Workspace | None:
        stored = self._by_id.get(workspace_id)
        if stored is None:
            return None
        stored.epoch += 1
        return self._workspace(stored)

    def _workspace(self, stored: _Stored) -> Workspace:
        return Workspace(
            stored.key,
            stored.workspace_id,
            self._incarnation,
            self._secret,
            stored.epoch,
            stored.last_sequence,
            stored.chain_hash,
            tuple(stored.files),
            stored.pruned,
            stored.kind,
            stored.folds_case,
            stored.covered,
        )

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> AppendResult:
        stored = self._by_key[append.workspace_key]
        fenced = stored.epoch != append.epoch or stored.last_sequence != append.previous_sequence
        if fenced or any(entry.operation_id in stored.ids for entry in append.entries):
            return AppendResult.REFUSED
        for entry in append.entries:
            stored.entries.append(entry)
            stored.ids[entry.operation_id] = entry
            series, counter = split_id(entry.operation_id)
            stored.highest[series] = max(counter, stored.highest.get(series, -1))
        stored.last_sequence = append.entries[-1].sequence
        stored.chain_hash = append.chain_hash
        changed = {file.key: file for file in append.files}
        stored.files = [changed.pop(file.key, file) for file in stored.files] + list(changed.values())
        stored.blobs.update(dict.fromkeys(append.blobs))
        for file in append.files:
            self._homes[file.file_id] = stored.workspace_id
            if file.node is None:
                del self._homes[file.file_id]
        return AppendResult.COMMITTED

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        stored = self._by_key[workspace_key]
        gone = stored.pruned.sequence
        if after < gone:
            raise CoscribeError(Code.HISTORY_PRUNED)
        rows = stored.entries[after - gone : max(0, through - gone)]
        return [row for row in rows if file_key is None or row.file_key == file_key][:limit]

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        if any(after_version < stored.pruned.versions.get(file_key, 0) for stored in self._by_key.values()):
            raise CoscribeError(Code.HISTORY_PRUNED)
        found = [
            row
            for stored in self._by_key.values()
            for row in stored.entries
            if row.file_key == file_key and row.version > after_version and row.sequence <= through
        ]
        return found[:limit]

    async def find(self, workspace_key: int, operation_id: str) -> Record | None:
        stored = self._by_key[workspace_key]
        entry = stored.ids.get(operation_id)
        if entry is None:
            return None
        file_id = next(file.file_id for file in stored.files if file.key == entry.file_key)
        return Record(operation_id, entry.author, entry.request, file_id, entry.sequence, entry.version)

    async def highest(self, workspace_key: int, series: str) -> int:
        return self._by_key[workspace_key].highest.get(series, -1)

    async def author(self, user_id: str) -> int:
        return self._authors.setdefault(user_id, len(self._authors) + 1)

    async def workspaces(self) -> list[str]:
        return sorted(self._by_id)

    async def closed(self, workspace_key: int) -> int:
        covered = self._by_key[workspace_key].covered
        if covered is not None:
            return covered
        newest = [self._snapshots.get(file.key, [])[:1] for file in self._by_key[workspace_key].files]
        return max(0, min(kept[0].sequence if kept else 0 for kept in newest) - 1)

    async def cover(self, workspace_key: int, sequence: int) -> None:
        stored = self._by_key[workspace_key]
        stored.covered = max(sequence, stored.covered or 0)

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        return None

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        wanted = set(digests)
        return [use for use in self._by_key[workspace_key].blobs if use.blob.digest in wanted]

    async def is_used(self, digest: str) -> bool:
        return any(use.blob.digest == digest for stored in self._by_key.values() for use in stored.blobs)

    async def pruned(self, workspace_key: int) -> Pruned:
        return self._by_key[workspace_key].pruned

    async def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        return self._by_key[workspace_key].checkpoint

    async def prunable(self, default_days: int, after_key: int, limit: int) -> list[Prunable]:
        found = [
            Prunable(self._workspace(stored), stored.retained)
            for key, stored in sorted(self._by_key.items())
            if key > after_key
            and stored.kind == "document"
            and not stored.retained.held
            and (default_days if stored.retained.days is None else stored.retained.days) > 0
        ]
        return found[:limit]

    async def segments(self, workspace_key: int) -> list[int]:
        """It has no segments: it may be pruned before what a load begins at."""
        closed = await self.closed(workspace_key)
        return [closed] if closed > self._by_key[workspace_key].pruned.sequence else []

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        stored = self._by_key[checkpoint.workspace_key]
        gone = checkpoint.sequence - stored.pruned.sequence
        if stored.retained != retained or retained.held or not 0 <= gone < max(1, len(stored.entries)):
            return False
        del stored.entries[:gone]
        stored.checkpoint = checkpoint
        for file in stored.files:
            kept = self._snapshots.get(file.key, [])
            kept[:] = [snapshot for snapshot in kept if snapshot.sequence >= checkpoint.sequence]
        if forget_ids:
            for operation_id in [key for key, entry in stored.ids.items() if entry.sequence <= checkpoint.sequence]:
                del stored.ids[operation_id]
            stored.highest.clear()
            for operation_id in stored.ids:
                series, counter = split_id(operation_id)
                stored.highest[series] = max(counter, stored.highest.get(series, -1))
        return True

    async def close(self) -> None:
        """Nothing to let go of."""

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        kept = self._snapshots.setdefault(snapshot.file_key, [])
        kept.append(snapshot)
        self._saved[snapshot.file_key] = max(snapshot.sequence, self._saved.get(snapshot.file_key, 0))
        kept.sort(key=lambda stored: -stored.sequence)
        del kept[keep:]

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        kept = self._snapshots.get(file_key, [])
        return kept[skip] if skip < len(kept) else None

    async def saved(self, file_key: int) -> int:
        return self._saved.get(file_key, 0)

    async def keep_cursors(self, cursors: Sequence[LastCursor], *, per_person: int, per_file: int) -> None:
        there = {file.key for stored in self._by_key.values() for file in stored.files}
        kept = self._cursors
        kept.update({cursor[:2]: cursor for cursor in cursors if cursor.file_key in there})
        for of, keep in (("author_ref", per_person), ("file_key", per_file)):
            for key in {getattr(cursor, of) for cursor in cursors}:
                theirs = sorted((c for c in kept.values() if getattr(c, of) == key), key=lambda c: -c.moved_at)
                for cursor in theirs[keep:]:
                    del kept[cursor[:2]]

    async def last_cursor(self, file_key: int, author_ref: int) -> LastCursor | None:
        return self._cursors.get((file_key, author_ref))

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        found: dict[int, Latest] = {}
        for key in file_keys:
            newest = await self.newest(key)
            found[key] = Latest(newest, await self.saved(key))
            most -= len(newest.content.encode()) if newest is not None else 0
            if most <= 0:
                break
        return found
