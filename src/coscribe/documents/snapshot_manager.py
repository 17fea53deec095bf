"""SnapshotManager: when to snapshot, and which idle workspaces to let go.

A snapshot is due after so many operations, so many bytes of log, or so long after the first operation that the last
snapshot lacks. It is taken inside a turn and stored as an action, so it only ever shows a durable sequence.

Nobody's workspace is let go while somebody has it open. Of the others those used longest ago leave first: after a
while, or at once where there are too many of them or their texts and windows take too much room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import NamedTuple

import structlog

from coscribe.core.document_state import FileState
from coscribe.core.errors import CoscribeError
from coscribe.documents.compaction import Compaction
from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.opened import Opened
from coscribe.documents.ports import OpLog, SnapshotRepo, StorageError
from coscribe.documents.pruning import Pruning
from coscribe.documents.session import WorkspaceSession
from coscribe.metrics import metrics
from coscribe.model import FileSnapshot, content_hash

log = structlog.get_logger(__name__)


AT_A_TIME = 1_000
"""Workspaces that are measured between two looks at the event loop."""

TAILS_AT_A_TIME = 64
"""Texts of one workspace that a sweep opens because they lack a snapshot."""


class SnapshotPolicy(NamedTuple):
    """Times are seconds; ``keep`` snapshots stay per file; ``max_bytes`` bounds texts and windows in memory, about.

    A segment of the log has at most ``segment_entries`` and not many more than ``segment_bytes`` of payload;
    ``segments_per_sweep`` are made at a time, none if it is 0.
    """

    operations: int = 4_096
    log_bytes: int = 1_000_000
    seconds: float = 60.0
    keep: int = 3
    idle_seconds: float = 300.0
    max_workspaces: int = 20_000
    max_bytes: int = 512_000_000
    segment_entries: int = 2_048
    segment_bytes: int = 2_000_000
    segments_per_sweep: int = 4


class SnapshotManager:
    """Owns no state but the saves that are under way. ``clock`` is microseconds since 1970, ``now`` seconds."""

    def __init__(
        self,
        repo: SnapshotRepo,
        op_log: OpLog,
        router: DocumentRouter,
        policy: SnapshotPolicy,
        committed: Callable[[], Awaitable[None]],
        clock: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self._repo = repo
        self._log = op_log
        self._router = router
        self._policy = policy
        self._committed = committed
        self._clock = clock
        self._now = now
        self._saving: set[asyncio.Task[None]] = set()
        self._compaction: Compaction | None = None
        self._pruning: Pruning | None = None
        self.sweeping = asyncio.Lock()

    def compact_with(self, compaction: Compaction) -> None:
        """From now on it is told of snapshots, and does its part in every sweep."""
        self._compaction = compaction

    def prune_with(self, pruning: Pruning) -> None:
        """From now on it does its part in every sweep."""
        self._pruning = pruning

    def consider(self, session: WorkspaceSession, file: Opened) -> None:
        """Called after each message that was taken in."""
        policy = self._policy
        if file.operations_since >= policy.operations or (
            file.size_since >= policy.log_bytes and file.size_since >= file.size()
        ):
            self.take(session, file)

    def take(self, session: WorkspaceSession, file: Opened) -> None:
        """Takes a snapshot of the file as it is in this turn; it is stored once that is durable."""
        state = file.state
        content = str(state.content) if isinstance(state, FileState) else state.tree.encode().decode()
        place = file.file_key, state.version, state.last_sequence
        snapshot = FileSnapshot(*place, content, content_hash(content), file.last_digest)
        file.operations_since = file.size_since = 0

        def store() -> None:
            saving = asyncio.get_running_loop().create_task(self._save(session, file, snapshot))
            self._saving.add(saving)
            metrics.snapshots_saving.inc()
            saving.add_done_callback(self._saved)

        session.act(store)

    async def save(self, session: WorkspaceSession, files: Sequence[Opened]) -> None:
        """Returns when the disk has snapshots of all that is in the files now. Raises StorageError: not of all."""
        wanted = [(file, file.state.last_sequence) for file in files if file.unsaved_from]
        for file, _ in wanted:
            if file.operations_since:  # else one is on its way
                self.take(session, file)
        await self._committed()
        await self.settle()
        if session.lost or any(0 < file.unsaved_from <= sequence for file, sequence in wanted):
            raise StorageError("a snapshot could not be stored")

    async def sweep(self) -> None:
        """Snapshots by time; lets go of workspaces that nobody has open, the longest unused first; compacts, prunes.
        Whoever holds ``sweeping`` has none of that."""
        async with self.sweeping:
            await self._sweep()

    async def _sweep(self) -> None:
        policy, sessions = self._policy, self._router.sessions
        old = self._clock() - int(policy.seconds * 1_000_000)
        for session in list(sessions.values()):
            for file in session.opened():
                if file.operations_since and file.oldest_since <= old:
                    self.take(session, file)
            if session.tree is not None:
                await self._tend(session)
        await self._let_go()
        if self._compaction is not None:
            await self._compaction.step()
        if self._pruning is not None:
            await self._pruning.step()

    async def _tend(self, session: WorkspaceSession) -> None:
        """Of a workspace with a tree: texts that lack a snapshot of what is in the log come into memory to get one,
        what is covered is noted, and texts that nobody has open any more go."""
        for file_id in session.behind(TAILS_AT_A_TIME):
            try:
                await self._router.load(session, file_id)
            except (CoscribeError, StorageError) as error:
                log.error("text_not_opened", file=file_id, error=str(error))
        covered = session.covered()
        if covered > session.noted_covered:
            try:
                await self._log.cover(session.workspace.key, covered)
                session.noted_covered = covered
            except StorageError as error:
                log.warning("covered_not_noted", workspace=session.workspace.workspace_id, error=str(error))
        session.close_texts(self._now() - self._policy.idle_seconds)

    async def _let_go(self) -> None:
        policy, sessions = self._policy, self._router.sessions
        held = 0
        for number, session in enumerate(list(sessions.values()), 1):
            held += bytes_of(session)
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
        if held > policy.max_bytes:
            for session in sessions.values():
                session.close_texts(inf)
        idle = sorted((s for s in sessions.values() if _is_idle(s)), key=lambda s: s.last_used)
        for session in idle:
            too_much = len(sessions) > policy.max_workspaces or held > policy.max_bytes
            if not too_much and session.last_used + policy.idle_seconds > self._now():
                break
            size = bytes_of(session)
            await self.unload(session)
            if session.lost:
                held -= size
                metrics.workspaces_evicted.inc(too_much)
        metrics.workspace_bytes.set(held)

    async def unload(self, session: WorkspaceSession) -> None:
        """Lets a workspace go, with a snapshot of what the last one lacks."""
        for file in session.opened():
            if file.operations_since:
                self.take(session, file)
        await self._committed()
        await self.settle()
        if _is_idle(session) and not session.lost:
            self._router.drop(session)

    async def settle(self) -> None:
        """Returns when all saves that were under way are done."""
        await asyncio.gather(*self._saving, return_exceptions=True)

    def _saved(self, saving: asyncio.Task[None]) -> None:
        self._saving.discard(saving)
        metrics.snapshots_saving.dec()

    async def _save(self, session: WorkspaceSession, file: Opened, snapshot: FileSnapshot) -> None:
        began = self._now()
        try:
            await self._repo.save(snapshot, keep=self._policy.keep)
            file.saved(snapshot.sequence, file.state.window)
            metrics.snapshots.inc()
            metrics.snapshot_seconds.observe(self._now() - began)
            if self._compaction is not None:
                self._compaction.snapshot_stored(session, snapshot.sequence)
        except Exception:
            file.operations_since += 1  # so that it is tried again
            metrics.snapshots_failed.inc()
            log.exception("snapshot_not_stored", file_key=snapshot.file_key, sequence=snapshot.sequence)


def bytes_of(session: WorkspaceSession) -> int:
    """About what a workspace's texts, tree and windows take: cheap to say, and right for text that is mostly ASCII."""
    return sum(file.size() + file.state.window.bytes for file in session.opened())


def _is_idle(session: WorkspaceSession) -> bool:
    nobody = not session.watches and not any(file.subscribers or file.participants for file in session.opened())
    return nobody and session.pending is None and session.durable_sequence == session.last_sequence
