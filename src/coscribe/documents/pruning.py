"""Pruning: which old parts of which logs are deleted, and what is put in their place.

    segments, oldest first --audit--> text, version, who wrote what --sign--> checkpoint, instead of the segments

Nothing is pruned unless its document's retention says so, and nothing of a log that does not fit its hash chain: what
is damaged is evidence. Only whole segments go, whose entries are all older than what is kept. Their ids stay known, so
an operation that comes again gets its acknowledgement for ever; forgetting ids is another step, `Pruning.forget_ids`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from coscribe.core.errors import CoscribeError
from coscribe.documents.audit import Audit
from coscribe.documents.blame import Attribution, Ledger
from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint, Signer, signed
from coscribe.documents.ports import OpLog, Prunable, StorageError
from coscribe.metrics import metrics
from coscribe.model import LogEntry, Workspace, content_hash

log = structlog.get_logger(__name__)

DAY = 86_400_000_000
"""Microseconds."""

SEGMENTS = 4
"""Segments that one checkpoint takes the place of, at most; the next one follows."""

PAUSE = 3_600.0
"""Seconds between two rounds over all logs of a server."""

PAGE = 2_000
"""Entries that are read at a time."""

LOOKS = 16
"""Logs that are looked at in one sweep."""


class PrunedPart(NamedTuple):
    """Part of a log that is gone: so many entries, up to the checkpoint."""

    entries: int
    checkpoint: Checkpoint


class Pruning:
    """``signer``: gives the key that signs, made at first use. ``default_days``: how long history is kept of documents
    that say nothing themselves; 0: for ever. ``clock``: microseconds since 1970, ``now``: seconds. ``owns``: whose logs
    are pruned by `step`."""

    def __init__(
        self,
        op_log: OpLog,
        signer: Callable[[], Signer],
        default_days: int,
        clock: Callable[[], int],
        now: Callable[[], float],
        told: Callable[[PrunedPart], None] = lambda _: None,
        owns: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._owns = owns
        self._op_log = op_log
        self._signer = signer
        self._default_days = default_days
        self._clock = clock
        self._now = now
        self._told = told
        self._after_key = 0
        self._next_round = 0.0

    async def step(self) -> None:
        """Prunes one log a little, if one is due; after a round over all of them there is a pause."""
        if self._now() < self._next_round:
            return
        try:
            due = await self._op_log.prunable(self._default_days, self._after_key, LOOKS)
        except StorageError as error:
            log.warning("nothing_pruned", error=str(error))
            return
        for item in due:
            try:
                if self._owns(item.workspace.workspace_id) and await self.prune(item) is not None:
                    return  # there may be more of it; the next sweep looks at it first
            except StorageError as error:
                metrics.prunings_failed.inc()
                log.error("log_not_pruned", workspace=item.workspace.workspace_id, error=str(error))
            self._after_key = item.workspace.key
        if len(due) < LOOKS:
            self._after_key, self._next_round = 0, self._now() + PAUSE

    async def due(self) -> list[Prunable]:
        """All logs whose retention is not for ever."""
        found: list[Prunable] = []
        while page := await self._op_log.prunable(self._default_days, found[-1].workspace.key if found else 0, 1_000):
            found += page
        return found

    def cutoff(self, item: Prunable) -> int:
        """What is not later than this is not kept; microseconds since 1970."""
        days = item.retained.days
        return self._clock() - (self._default_days if days is None else days) * DAY

    async def old_enough(self, item: Prunable, through: int) -> int:
        """The last sequence up to ``through`` before the first one that is to be kept. Raises StorageError."""
        key, cutoff = item.workspace.key, self.cutoff(item)
        after = (await self._op_log.pruned(key)).sequence
        while after < through:
            rows = await self._op_log.read(key, after, through=through, limit=PAGE)
            for row in rows:
                if row.time > cutoff:
                    return after
                after = row.sequence
            if not rows:
                break
        return after

    async def prune(self, item: Prunable) -> PrunedPart | None:
        """Prunes the oldest part of a log, `SEGMENTS` at most. None: nothing is old enough, or the retention was
        changed at the same moment. Raises StorageError; a log that is damaged is left as it is."""
        key = item.workspace.key
        ends = (await self._op_log.segments(key))[:SEGMENTS]
        if not ends:
            return None
        before = await self._op_log.checkpoint(key)
        try:
            checkpoint = await self._replayed(item.workspace, before, ends, self.cutoff(item))
        except CoscribeError as error:
            raise StorageError(f"this part of the log is left as it is: {error}") from error
        if checkpoint is None or not await self._op_log.prune(signed(checkpoint, self._signer()), item.retained):
            return None
        part = PrunedPart(checkpoint.sequence - (before.sequence if before is not None else 0), checkpoint)
        metrics.checkpoints.inc()
        metrics.pruned_entries.inc(part.entries)
        self._told(part)
        return part

    async def forget_ids(self, item: Prunable) -> bool:
        """Forgets the ids of all that was pruned. From then on an edit is refused whose base is not above the version
        that the log begins with: it could be one that comes again. False: nothing was pruned, or no later version is
        there yet that one could edit."""
        key = item.workspace.key
        before = await self._op_log.checkpoint(key)
        if before is None or all(file.horizon > file.version for file in before.files):
            return False
        for file in before.files:
            if not await self._op_log.read_versions(file.file_key, file.version, item.workspace.last_sequence, 1):
                return False
        files = tuple(file._replace(horizon=file.version + 1) for file in before.files)
        checkpoint = before._replace(files=files, made_at=self._clock())
        return await self._op_log.prune(signed(checkpoint, self._signer()), item.retained, forget_ids=True)

    async def _replayed(
        self, workspace: Workspace, before: Checkpoint | None, ends: Sequence[int], cutoff: int
    ) -> Checkpoint | None:
        """The checkpoint behind the segments that are old enough. Errors: ``file_damaged``. Raises StorageError."""
        key, last = workspace.key, None
        replay = _Replay(workspace, before)
        after = before.sequence if before is not None else 0
        for end in ends:
            rows = await self._op_log.read(key, after, through=end, limit=end - after)
            if not rows or max(row.time for row in rows) > cutoff:
                break
            await asyncio.to_thread(replay.take, rows)
            after, last = end, rows[-1]
        return None if last is None else await asyncio.to_thread(replay.checkpoint, last, self._clock())


class _Replay:
    """A log on its way from one checkpoint to the next."""

    def __init__(self, workspace: Workspace, before: Checkpoint | None) -> None:
        self._workspace = workspace
        self._audit = Audit(workspace, begin=before)
        self._horizons = before.pruned.horizons if before is not None else {}
        self._attributions: dict[int, Attribution] = {}
        self._root = workspace.root
        for file in workspace.files:
            begin = before.file(file.key) if before is not None else None
            self._attributions[file.key] = (
                Attribution.load(begin.attribution, begin.version, 0, Ledger())
                if begin is not None and begin.attribution
                else Attribution(Ledger())
            )

    def take(self, rows: Sequence[LogEntry]) -> None:
        """The next entries. Errors: ``file_damaged``. Raises StorageError where they do not fit."""
        for row in rows:
            self._audit.entry(row)
        for found in self._audit.findings:
            raise StorageError(f"this part of the log is left as it is: sequence {found.sequence}: {found.detail}")
        for key, attribution in self._attributions.items():
            if self._root is None or key != self._root.key:
                attribution.take([row for row in rows if row.file_key == key])

    def checkpoint(self, last: LogEntry, made_at: int) -> Checkpoint:
        """It stands for all entries so far; ``last`` is the last of them."""
        files: list[FileAtCheckpoint] = []
        for file in self._workspace.files:
            text, version = self._audit.reached(file.key)
            horizon, attribution = self._horizons.get(file.key, 0), self._attributions[file.key].dump()
            files.append(
                FileAtCheckpoint(file.key, file.file_id, version, horizon, text, content_hash(text), attribution)
            )
        return Checkpoint(
            self._workspace.key,
            self._workspace.workspace_id,
            last.sequence,
            last.digest,
            last.time,
            made_at,
            tuple(files),
        )
