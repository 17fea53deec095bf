"""DocumentRouter: which workspaces this instance owns and holds in memory; loading them, letting them go.

A load raises the epoch first and reads second, so nothing that an earlier owner still commits can slip in between.
A load that fails leaves nothing behind: no session, no blank file that could be stored over good data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from coscribe.core.document_state import FileState, Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.budget import Bucket, Budgets
from coscribe.documents.past import good_content
from coscribe.documents.ports import OpLog, SnapshotRepo
from coscribe.documents.quota import Quotas, QuotaSource
from coscribe.documents.session import Committing, OpenFile, WorkspaceSession
from coscribe.metrics import metrics
from coscribe.model import GENESIS, File, FileSnapshot, Workspace, committed_from, content_hash

log = structlog.get_logger(__name__)

PAGE = 1_000
"""Log entries read at a time."""


class DocumentRouter:
    """Holds the sessions. A document is a workspace of the same name with one file."""

    def __init__(
        self,
        op_log: OpLog,
        snapshots: SnapshotRepo,
        limits: Limits,
        committer: Committing,
        clock: Callable[[], float],
        budgets: Budgets,
        quotas: Quotas,
        quota_source: QuotaSource | None,
    ) -> None:
        self._op_log = op_log
        self._snapshots = snapshots
        self._limits = limits
        self._committer = committer
        self._clock = clock
        self._budgets = budgets
        self._quotas = quotas
        self._quota_source = quota_source
        self._measuring: set[asyncio.Task[None]] = set()
        self._loading: dict[str, asyncio.Task[WorkspaceSession]] = {}
        self.sessions: dict[str, WorkspaceSession] = {}

    async def open(self, file_id: str) -> tuple[WorkspaceSession, OpenFile]:
        """The session of the workspace that holds the file. Errors: ``file_not_found``, ``file_damaged``."""
        session = self.sessions.get(file_id)
        if session is None:
            loading = self._loading.get(file_id)
            if loading is None:
                loading = asyncio.get_running_loop().create_task(self._load(file_id))
                self._loading[file_id] = loading
                loading.add_done_callback(lambda _: self._loading.pop(file_id, None))
            session = await asyncio.shield(loading)
        session.last_used = self._clock()
        return session, session.files[file_id]

    def drop(self, session: WorkspaceSession) -> None:
        """Forgets a session; whoever needs the workspace next loads it again."""
        session.lost = True
        if self.sessions.get(session.workspace.workspace_id) is session:
            del self.sessions[session.workspace.workspace_id]
            metrics.workspaces.set(len(self.sessions))

    async def _load(self, workspace_id: str) -> WorkspaceSession:
        workspace = await self._op_log.acquire(workspace_id)
        if workspace is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {workspace_id!r}")
        budget = Bucket(self._budgets.document_rate, self._budgets.document_burst, self._clock())
        session = WorkspaceSession(workspace, self._limits, self._committer, budget, self._quotas)
        for file in workspace.files:
            session.files[file.file_id] = await self._load_file(session, workspace, file)
        if len(workspace.files) == 1 and session.files[workspace_id].last_digest != workspace.chain_hash:
            raise CoscribeError(Code.FILE_DAMAGED, "the log does not end where its head says", file_id=workspace_id)
        session.trim()
        if self._quota_source is not None:
            session.allowance = await self._quota_source.allowance(workspace_id)
            measuring = asyncio.get_running_loop().create_task(self._measure(self._quota_source, session))
            self._measuring.add(measuring)
            measuring.add_done_callback(self._measuring.discard)
        self.sessions[workspace_id] = session
        metrics.workspaces.set(len(self.sessions))
        return session

    async def settle(self) -> None:
        """Returns when every log that is in memory has been measured."""
        await asyncio.gather(*self._measuring)

    async def _measure(self, source: QuotaSource, session: WorkspaceSession) -> None:
        """How long the log is; a long one takes a moment, for which nobody has to wait."""
        through = session.workspace.last_sequence
        measured = await source.log_bytes(session.workspace.key, through)
        session.log_bytes += measured

    async def _load_file(self, session: WorkspaceSession, workspace: Workspace, file: File) -> OpenFile:
        pruned = workspace.pruned
        base = await self._base(workspace, file)
        state = FileState(file.file_id, base.content, base.version, base.sequence, self._limits)
        opened = OpenFile(file.key, state, GENESIS)
        opened.horizon = pruned.horizons.get(file.key, 0)
        if base.sequence == pruned.sequence:
            opened.last_digest = pruned.chain_hash
        else:
            at_base = await self._op_log.read(workspace.key, base.sequence - 1, through=base.sequence, limit=1)
            opened.last_digest = at_base[0].digest if at_base else GENESIS
        while state.last_sequence < workspace.last_sequence:
            page = await self._op_log.read(
                workspace.key,
                state.last_sequence,
                through=workspace.last_sequence,
                limit=PAGE,
                file_key=file.key,
            )
            try:
                for row in page:
                    entry = committed_from(row)
                    state.replay(entry)
                    session.registry.add(file.file_id, entry)
                    opened.last_digest = row.digest
                    opened.operations_since += 1
            except ValueError as error:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log cannot be read: {error}") from error
            for entry in state.window.trim(state.last_sequence):
                session.registry.forget(entry)
            if len(page) < PAGE:
                break
        opened.durable_version = state.version
        return opened

    async def _base(self, workspace: Workspace, file: File) -> FileSnapshot:
        """The newest good snapshot; where there is none, the text that the log begins with: that of the checkpoint
        where it was pruned, or the empty one. Errors: ``file_damaged``."""
        skip = 0
        while (snapshot := await self._snapshots.newest(file.key, skip=skip)) is not None:
            good = content_hash(snapshot.content) == snapshot.content_hash
            if good and workspace.pruned.sequence <= snapshot.sequence <= workspace.last_sequence:
                return snapshot
            skip += 1
            metrics.damaged_snapshots.inc()
            log.error("snapshot_damaged", file=file.file_id, sequence=snapshot.sequence)
        checkpoint = await self._op_log.checkpoint(workspace.key) if workspace.pruned.sequence else None
        if checkpoint is None:
            return FileSnapshot(file.key, 0, 0, "", content_hash(""))
        begin = checkpoint.file(file.key)
        return FileSnapshot(file.key, begin.version, checkpoint.sequence, good_content(begin), begin.content_hash)
