"""What adapters of the log, the snapshots and the carets have in common: what is asked of them, in steps."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from coscribe.core.dedup import Record
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import Home, LastCursor, Prunable, Segment, SegmentSize, StorageError
from coscribe.model import FileSnapshot, LogEntry, Pruned
from coscribe.persistence import closed_log, logs
from coscribe.persistence.closed_log import ClosedLog, Made
from coscribe.persistence.steps import Steps

_T = TypeVar("_T")


class SteppedStorage(ABC):
    """Those parts of OpLog, SnapshotRepo and CursorRepo for which a database only has to run steps."""

    def __init__(self) -> None:
        self._closed = ClosedLog()

    @abstractmethod
    async def _read(self, steps: Steps[_T]) -> _T:
        """The result of steps that all see the same moment."""
        ...

    @abstractmethod
    async def _write(self, steps: Steps[_T]) -> _T:
        """The result of steps that happen all or not at all, and see the newest moment."""
        ...

    async def _alone(self, steps: Steps[_T]) -> _T:
        """The result of steps that ask for one thing."""
        return await self._read(steps)

    @abstractmethod
    async def _move(self, made: Made) -> bool:
        """Runs `closed_log.move`: what it did is undone where it is False or breaks a rule of the tables."""
        ...

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        await self._write(logs.create(logs.New(workspace_id, "document", file_id, path, time)))

    async def create_tree(self, workspace_id: str, time: int, *, folds_case: bool = False) -> None:
        await self._write(logs.create(logs.New(workspace_id, "workspace", workspace_id, "", time, folds_case)))

    async def locate(self, file_id: str) -> Home | None:
        return await self._alone(logs.locate(file_id))

    async def keys(self, workspace_key: int) -> dict[str, int]:
        return await self._alone(logs.keys(workspace_key))

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        return await self._read(logs.read(self._closed, workspace_key, after, through, limit, file_key))

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        return await self._read(logs.read_versions(self._closed, file_key, after_version, through, limit))

    async def find(self, workspace_key: int, operation_id: str) -> Record | None:
        return await self._read(logs.find(self._closed, workspace_key, operation_id))

    async def highest(self, workspace_key: int, series: str) -> int:
        return await self._read(logs.highest(workspace_key, series))

    async def author(self, user_id: str) -> int:
        found = await self._alone(logs.author(user_id))
        return await self._write(logs.add_author(user_id)) if found is None else found

    async def workspaces(self) -> list[str]:
        return await self._alone(logs.workspace_ids())

    async def closed(self, workspace_key: int) -> int:
        return await self._read(closed_log.closed_through(workspace_key))

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        found = await self._read(closed_log.closable(workspace_key, through, size))
        if found is None:
            return None
        try:
            made = await asyncio.to_thread(closed_log.segment_of, workspace_key, found)
        except ValueError as error:
            raise StorageError(f"this part of the log is left as it is: {error}") from error
        return made.summary if await self._move(made) else None

    async def is_used(self, digest: str) -> bool:
        return await self._alone(logs.is_used(digest))

    async def pruned(self, workspace_key: int) -> Pruned:
        return await self._read(closed_log.pruned(workspace_key))

    async def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        return await self._read(closed_log.checkpoint_of(workspace_key))

    async def prunable(self, default_days: int, after_key: int, limit: int) -> list[Prunable]:
        return await self._read(logs.prunable_workspaces(default_days, after_key, limit))

    async def segments(self, workspace_key: int) -> list[int]:
        return await self._alone(closed_log.segment_ends(workspace_key))

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        await self._write(logs.save(snapshot, keep))

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        return await self._alone(logs.newest(file_key, skip))

    async def saved(self, file_key: int) -> int:
        return await self._alone(logs.saved(file_key))

    async def keep_cursors(self, cursors: Sequence[LastCursor], *, per_person: int, per_file: int) -> None:
        await self._write(logs.keep_cursors(cursors, per_person, per_file))

    async def last_cursor(self, file_key: int, author_ref: int) -> LastCursor | None:
        return await self._alone(logs.last_cursor(file_key, author_ref))
