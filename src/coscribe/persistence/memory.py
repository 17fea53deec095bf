"""Storage that lasts as long as the process: for tests and for trying things. Same contract as the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coscribe.core.dedup import Record, split_id
from coscribe.documents.ports import Append, AppendResult, Segment, SegmentSize
from coscribe.model import GENESIS, File, FileSnapshot, LogEntry, Workspace


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


class MemoryStorage:
    """OpLog and SnapshotRepo in dictionaries. ``incarnation`` and ``secret`` are the same for all its workspaces."""

    def __init__(self, incarnation: str = "memory", secret: bytes = bytes(16)) -> None:
        self._incarnation = incarnation
        self._secret = secret
        self._by_id: dict[str, _Stored] = {}
        self._by_key: dict[int, _Stored] = {}
        self._authors: dict[str, int] = {}
        self._snapshots: dict[int, list[FileSnapshot]] = {}

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        if workspace_id not in self._by_id:
            key = len(self._by_id) + 1
            stored = _Stored(key, workspace_id, [File(key, file_id, path)])
            self._by_id[workspace_id] = self._by_key[key] = stored

    async def exists(self, workspace_id: str) -> bool:
        return workspace_id in self._by_id

    async def acquire(self, workspace_id: str) -> Workspace | None:
        stored = self._by_id.get(workspace_id)
        if stored is None:
            return None
        stored.epoch += 1
        return Workspace(
            stored.key,
            workspace_id,
            self._incarnation,
            self._secret,
            stored.epoch,
            stored.last_sequence,
            stored.chain_hash,
            tuple(stored.files),
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
        return AppendResult.COMMITTED

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        rows = self._by_key[workspace_key].entries[after:through]
        return [row for row in rows if file_key is None or row.file_key == file_key][:limit]

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
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
        newest = [self._snapshots.get(file.key, [])[:1] for file in self._by_key[workspace_key].files]
        return max(0, min(kept[0].sequence if kept else 0 for kept in newest) - 1)

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        return None

    async def close(self) -> None:
        """Nothing to let go of."""

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        kept = self._snapshots.setdefault(snapshot.file_key, [])
        kept.append(snapshot)
        kept.sort(key=lambda stored: -stored.sequence)
        del kept[keep:]

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        kept = self._snapshots.get(file_key, [])
        return kept[skip] if skip < len(kept) else None
