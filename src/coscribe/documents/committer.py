"""Group commit: one commit in flight; whatever happens meanwhile, over all workspaces, is the next group.

    turns --> group n+1 ........ commit ..... actions
              group n   commit in flight | actions
              ----------------------------------------> time

Memory runs ahead of the disk by at most two groups. Where the fence refuses a workspace, it alone is lost; where the
outcome of a commit is unknown, every workspace in it is: never retried, always read back.

Whatever is shown of a workspace leaves by its actions, also to who only reads. So this is where an instance that has
lost a workspace, and does not know it from the fence because nothing was written, stops showing it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Append, AppendResult, OpLog, Owning, StorageError
from coscribe.documents.session import Frame, Pending, WorkspaceSession
from coscribe.documents.traced import broadcast, note_commit
from coscribe.metrics import metrics
from coscribe.tracing import Tracer

log = structlog.get_logger(__name__)

PAUSE_PER_WORKSPACE = 0.0004
MAX_PAUSE = 0.004
"""Seconds to wait before the next group: a little for each workspace beyond the first that shared the last one.

A commit costs the same for one operation or fifty. People who type into many documents do not wait for each other, so
there a pause of a few milliseconds, which nobody notices, saves most of the commits. Where one document is busy there
is none: its writers wait for their acknowledgements.
"""


class Committer:
    """Makes what sessions have pending durable, then visible.

    ``lost`` is told of sessions that cannot go on; ``now`` gives monotonic seconds. ``tracer`` None: operations are not
    traced. ``owning`` None: there is no other instance.
    """

    def __init__(
        self,
        op_log: OpLog,
        lost: Callable[[WorkspaceSession], None],
        max_backlog: int,
        now: Callable[[], float],
        tracer: Tracer | None = None,
        owning: Owning | None = None,
    ) -> None:
        self._op_log = op_log
        self._lost = lost
        self._max_backlog = max_backlog
        self._now = now
        self._tracer = tracer
        self._owning = owning
        self._waiting: list[WorkspaceSession] = []
        self._running: asyncio.Task[None] | None = None
        self._ends: list[asyncio.Future[None]] = []
        self.backlog = 0
        """Operations of the group that is filling."""

    def needs_commit(self, session: WorkspaceSession) -> None:
        """A session has begun to have something pending."""
        self._waiting.append(session)
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def admit(self, count: int) -> None:
        """Is there room for so many in the next group? Errors: ``overloaded`` where the disk is too far behind."""
        if self.backlog + count > self._max_backlog:
            raise CoscribeError(Code.OVERLOADED, f"{self.backlog} operations wait for the disk")

    async def settled(self) -> None:
        """Returns when the group in flight and the one that is filling are through."""
        for _ in range(2):
            if self._running is None:
                return
            end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._ends.append(end)
            await end

    async def drain(self) -> None:
        """Returns when nothing is pending any more."""
        while self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                metrics.backlog.set(self.backlog)
                self.backlog = 0
                taken = [(session, session.pending) for session in group]
                for session in group:
                    session.pending = None
                wrote = await self._commit([(session, pending) for session, pending in taken if pending is not None])
                self._tell_ends()
                if wrote > 1:
                    await asyncio.sleep(min(MAX_PAUSE, PAUSE_PER_WORKSPACE * (wrote - 1)))
        finally:
            self._running = None
            metrics.backlog.set(0)
            self._tell_ends()

    def _tell_ends(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            if not end.done():
                end.set_result(None)

    async def _commit(self, group: list[tuple[WorkspaceSession, Pending]]) -> int:
        """Makes a group durable, then visible; returns how many workspaces had something to write."""
        writing = [(session, pending) for session, pending in group if pending.entries]
        results: list[AppendResult] = []
        count = sum(len(pending.entries) for _, pending in writing)
        tracer = self._tracer
        began, took = self._now(), 0.0
        traced = 0 if tracer is None else tracer.now()
        if writing:
            try:
                results = await self._op_log.append([_append(session, pending) for session, pending in writing])
            except Exception as error:
                expected = isinstance(error, StorageError)
                log.error("commit_outcome_unknown", exc_info=not expected, error=str(error), workspaces=len(writing))
                metrics.commits_unknown.inc()
                for session, _ in group:
                    self._lose(session, CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm"))
                return len(writing)
            took = self._now() - began
            metrics.groups.inc()
            metrics.operations.inc(count)
        for (session, pending), result in zip(writing, results, strict=True):
            if result is AppendResult.COMMITTED:
                session.durable_sequence = pending.entries[-1].sequence
            else:
                log.warning("append_refused", workspace=session.workspace.workspace_id)
                metrics.appends_refused.inc()
                self._lose(session, CoscribeError(Code.STORAGE_UNAVAILABLE, "another owner has taken over"))
        if tracer is not None:
            note_commit(tracer, traced, [pending for session, pending in writing if not session.lost])
        for session, pending in group:
            if not session.lost:
                if self._holds(session):
                    _release(session, pending, tracer)
                else:
                    self._lose(session, CoscribeError(Code.MOVED))
        if writing:  # only now: acknowledgements do not wait for it
            metrics.commit_seconds.observe(took)
            metrics.group_size.observe(count)
        return len(writing)

    def _holds(self, session: WorkspaceSession) -> bool:
        return self._owning is None or self._owning.holds(session.workspace.workspace_id)

    def _lose(self, session: WorkspaceSession, error: CoscribeError) -> None:
        session.lose(error if self._holds(session) else CoscribeError(Code.MOVED))
        self._lost(session)


def _append(session: WorkspaceSession, pending: Pending) -> Append:
    workspace = session.workspace
    files = list(pending.files.values())
    place = pending.previous_sequence, pending.chain_hash
    return Append(workspace.key, workspace.epoch, *place, pending.entries, files, pending.blobs)


def _release(session: WorkspaceSession, pending: Pending, tracer: Tracer | None) -> None:
    for action in pending.actions:
        try:
            if tracer is not None and isinstance(action, Frame):
                broadcast(tracer, action)
            else:
                action()
        except Exception:
            log.exception("action_failed", workspace=session.workspace.workspace_id)
    session.trim([action.file for action in pending.actions if isinstance(action, Frame)])
