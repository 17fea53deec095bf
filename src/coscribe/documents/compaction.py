"""Compaction: which closed parts of which logs become segments, and when.

A log is worth a look when a snapshot of it has been stored: what lies before the snapshot, and before the windows in
memory, is read by nobody who opens the file. Logs that are worth a look wait in line; every sweep takes a few steps, a
segment each, and one log does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.ports import OpLog, Segment, SegmentSize, StorageError
from coscribe.documents.session import WorkspaceSession
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

MAX_WAITING = 20_000
"""Logs in line; one more has to wait for its next snapshot."""

LOOKS = 64
"""Logs that are looked at in one go, whether there is anything to do or not."""


class Compaction:
    """Keeps the line. ``size``: of segments; ``steps``: how many at most are made at a time; ``owns``: of which
    workspaces."""

    def __init__(
        self,
        op_log: OpLog,
        router: DocumentRouter,
        size: SegmentSize,
        steps: int,
        owns: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._owns = owns
        self._op_log = op_log
        self._router = router
        self._size = size
        self._steps = steps
        self._waiting: dict[int, str] = {}

    def snapshot_stored(self, session: WorkspaceSession, sequence: int) -> None:
        """A snapshot at ``sequence`` is on disk."""
        is_long = sequence > self._size.least or session.log_bytes > self._size.bytes
        if is_long and len(self._waiting) < MAX_WAITING:
            workspace = session.workspace
            self._waiting.setdefault(workspace.key, workspace.workspace_id)
            metrics.segments_waiting.set(len(self._waiting))

    async def step(self) -> None:
        """Makes a few segments, if there is anything to make them of."""
        made = 0
        for _ in range(LOOKS):
            if not self._waiting or made == self._steps:
                break
            key = next(iter(self._waiting))
            workspace_id = self._waiting.pop(key)
            if await self._compact(key, workspace_id):
                made += 1
                self._waiting.setdefault(key, workspace_id)  # there may be more; the others come first
        metrics.segments_waiting.set(len(self._waiting))

    async def _compact(self, key: int, workspace_id: str) -> bool:
        """Whether a segment was made. A log that is another instance's by now is left to that one."""
        if not self._owns(workspace_id):
            return False
        try:
            through = min(await self._op_log.closed(key), self._floor(workspace_id, key))
            segment = await self._op_log.compact(key, through, self._size)
        except StorageError as error:
            metrics.segments_failed.inc()
            log.error("log_not_compacted", workspace=workspace_id, error=str(error))
            return False
        if segment is not None:
            count(segment)
        return segment is not None

    def _floor(self, workspace_id: str, key: int) -> int:
        """The last sequence of a document that is in no window. Of a tree what is covered may all be compressed: a text
        that nobody edits would otherwise hold up all the others."""
        session = self._router.sessions.get(workspace_id)
        if session is None or session.workspace.key != key or session.tree is not None:
            return 2**62
        return min(file.state.window.floor for file in session.files.values())


def count(segment: Segment) -> None:
    """Tells the metrics of a segment that was made."""
    metrics.segments.inc()
    metrics.segment_bytes.labels("rows").inc(segment.bytes_before)
    metrics.segment_bytes.labels("segments").inc(segment.bytes_after)
