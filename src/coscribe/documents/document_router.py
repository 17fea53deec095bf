"""DocumentRouter: which workspaces this instance owns and holds in memory; loading them, letting them go.

A load raises the epoch first and reads second, so nothing that an earlier owner still commits can slip in between.
A load that fails leaves nothing behind: no session, no blank file that could be stored over good data.

Where there are several instances, one that does not own a workspace neither loads it nor lets anybody in (``moved``).
That is for readers, who would be shown what was; writers have the epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog

from coscribe.core.document_state import FileState, Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Effect
from coscribe.core.tree_state import TreeState
from coscribe.documents.budget import Bucket, Budgets
from coscribe.documents.opened import Opened, OpenFile, OpenTree
from coscribe.documents.past import good_content
from coscribe.documents.ports import Home, OpLog, Owning, SnapshotRepo
from coscribe.documents.quota import Quotas, QuotaSource
from coscribe.documents.redaction import Pattern
from coscribe.documents.session import Committing, WorkspaceSession
from coscribe.documents.withheld import Withheld
from coscribe.metrics import metrics
from coscribe.model import (
    GENESIS,
    File,
    FileSnapshot,
    LogEntry,
    Workspace,
    committed_from,
    content_hash,
    effect_from,
    file_key,
)

log = structlog.get_logger(__name__)

PAGE = 1_000
"""Log entries read at a time."""

MAX_WITHHELD = 10_000
"""Workspaces of which it is remembered what was redacted; of more, those redacted longest ago are forgotten."""

_T = TypeVar("_T")


class DocumentRouter:
    """Holds the sessions. A document is a workspace of the same name with one file; the other files are in trees."""

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
        owning: Owning | None = None,
    ) -> None:
        self._op_log = op_log
        self._snapshots = snapshots
        self._limits = limits
        self._committer = committer
        self._clock = clock
        self._budgets = budgets
        self._quotas = quotas
        self._quota_source = quota_source
        self._owning = owning
        self._measuring: set[asyncio.Task[None]] = set()
        self._loading: dict[str, asyncio.Task[WorkspaceSession]] = {}
        self._opening: dict[str, asyncio.Task[OpenFile]] = {}
        self._homes: dict[str, str] = {}
        self._shut: dict[str, asyncio.Event] = {}
        self.withheld: dict[str, Withheld] = {}
        self.sessions: dict[str, WorkspaceSession] = {}

    async def home(self, file_id: str) -> Home | None:
        """Where a file is; None: there is no such file."""
        session = self.sessions.get(file_id)
        if session is not None:
            return Home(file_id, session.tree is not None)
        workspace_id = self._homes.get(file_id)
        return Home(workspace_id, True) if workspace_id is not None else await self._op_log.locate(file_id)

    async def open(self, file_id: str) -> tuple[WorkspaceSession, Opened]:
        """The session of the workspace that a file is in, and the file; by the id of a workspace its tree.

        Errors: ``file_not_found``, ``not_a_text``, ``file_damaged``, ``moved``."""
        while True:
            home = await self.home(file_id)
            session = await self.session(home.workspace_id if home is not None else file_id)
            tree = session.tree
            if tree is None:
                return session, session.files[file_id]
            if file_id == session.workspace.workspace_id:
                return session, tree
            file = await self.load(session, file_id)
            session.check_is_text(file_id)
            if session.holds(file):
                return session, file

    async def load(self, session: WorkspaceSession, file_id: str) -> OpenFile:
        """The text of a file of a tree, also of one that is no text any more. Errors: ``file_not_found``,
        ``file_damaged``."""
        file = session.files.get(file_id)
        if file is None:
            file = await self._once(self._opening, file_id, partial(self._open, session, file_id))
        file.last_used = session.last_used
        return file

    async def session(self, workspace_id: str) -> WorkspaceSession:
        """The session of a workspace. Errors: ``file_not_found``, ``file_damaged``, ``moved``."""
        while (shut := self._shut.get(workspace_id)) is not None:
            await shut.wait()
        self._check_owned(workspace_id)
        session = self.sessions.get(workspace_id)
        if session is None:
            session = await self._once(self._loading, workspace_id, partial(self._load, workspace_id))
        session.last_used = self._clock()
        return session

    @asynccontextmanager
    async def shut(self, workspace_id: str) -> AsyncIterator[None]:
        """Within it nobody gets a workspace that has not got it yet: they wait. One that was being loaded is there."""
        opened = self._shut[workspace_id] = asyncio.Event()
        try:
            loading = self._loading.get(workspace_id)
            if loading is not None:
                await asyncio.wait({loading})
            yield
        finally:
            del self._shut[workspace_id]
            opened.set()

    def withhold(self, workspace_id: str, pattern: Pattern) -> Withheld:
        """From now on what fits is not taken into a workspace."""
        withheld = self.withheld.pop(workspace_id, None) or Withheld()
        self.withheld[workspace_id] = withheld
        while len(self.withheld) > MAX_WITHHELD:
            forgotten = next(iter(self.withheld))
            del self.withheld[forgotten]
            if forgotten in self.sessions:
                self.sessions[forgotten].withheld = None
        withheld.add(pattern)
        metrics.withheld.set(len(self.withheld))
        if workspace_id in self.sessions:
            self.sessions[workspace_id].withheld = withheld
        return withheld

    async def _once(
        self, under_way: dict[str, asyncio.Task[_T]], name: str, load: Callable[[], Coroutine[None, None, _T]]
    ) -> _T:
        """Whoever asks while something is being loaded waits for the same."""
        loading = under_way.get(name)
        if loading is None:
            loading = under_way[name] = asyncio.get_running_loop().create_task(load())

            def ended(loaded: asyncio.Task[_T]) -> None:
                under_way.pop(name, None)
                if not loaded.cancelled():
                    loaded.exception()  # all who waited may have gone: then it is nobody's

            loading.add_done_callback(ended)
        return await asyncio.shield(loading)

    def tree_changed(self, session: WorkspaceSession, effect: Effect) -> None:
        """Files were made, or purged: they are found, or not, from here on."""
        for file_id, before, after in effect.changes:
            if before is None:
                self._homes[file_id] = session.workspace.workspace_id
            if after is None:
                self._homes.pop(file_id, None)

    async def loaded(self, workspace_ids: Callable[[str], bool]) -> None:
        """Returns when nothing of these is being loaded that was when it was asked."""
        loading = [task for workspace_id, task in self._loading.items() if workspace_ids(workspace_id)]
        if loading:
            await asyncio.wait(loading)

    def drop(self, session: WorkspaceSession, why: CoscribeError | None = None) -> None:
        """Forgets a session; whoever needs the workspace next loads it again."""
        session.lost = True
        for watch in session.watches:
            watch.end(why or CoscribeError(Code.STORAGE_UNAVAILABLE, "the workspace was let go"))
        if self.sessions.get(session.workspace.workspace_id) is session:
            del self.sessions[session.workspace.workspace_id]
            metrics.workspaces.set(len(self.sessions))
            for file_id in session.tree.keys if session.tree is not None else ():
                self._homes.pop(file_id, None)

    def _check_owned(self, workspace_id: str) -> None:
        """Errors: ``moved``."""
        if self._owning is not None and not self._owning.owns(workspace_id):
            raise CoscribeError(Code.MOVED, file_id=workspace_id)

    async def _load(self, workspace_id: str) -> WorkspaceSession:
        workspace = await self._op_log.acquire(workspace_id)
        if workspace is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {workspace_id!r}")
        budget = Bucket(self._budgets.document_rate, self._budgets.document_burst, self._clock())
        session = WorkspaceSession(workspace, self._limits, self._committer, budget, self._quotas)
        if workspace.root is None:
            for file in workspace.files:
                session.files[file.file_id] = await self._load_file(session, workspace, file)
            if session.files[workspace_id].last_digest != workspace.chain_hash:
                raise CoscribeError(Code.FILE_DAMAGED, "the log does not end where its head says", file_id=workspace_id)
        else:
            await self._load_tree(session, workspace, workspace.root)
        session.trim(session.opened())
        if self._quota_source is not None:
            session.allowance = await self._quota_source.allowance(workspace_id)
            if session.tree is not None:
                session.room = await self._quota_source.room(workspace_id)
            measuring = asyncio.get_running_loop().create_task(self._measure(self._quota_source, session))
            self._measuring.add(measuring)
            measuring.add_done_callback(self._measuring.discard)
        session.withheld = self.withheld.get(workspace_id)
        self._check_owned(workspace_id)  # it may have been lost meanwhile
        self.sessions[workspace_id] = session
        for file_id in session.tree.keys if session.tree is not None else ():
            self._homes[file_id] = workspace_id
        metrics.workspaces.set(len(self.sessions))
        return session

    async def _load_tree(self, session: WorkspaceSession, workspace: Workspace, root: File) -> None:
        """The rows are the tree as it is. Of the log only what is not covered is read: of the tree for those who were
        away for a moment, of the texts for when they are opened."""
        tree = await asyncio.to_thread(workspace.tree)
        base = await self._base(workspace, root, workspace.last_sequence)
        state = TreeState(root.file_id, tree, base.sequence, self._limits)
        keys = {file.file_id: file.key for file in workspace.files if file.node is not None}
        number = max(file.key for file in workspace.files) - file_key(workspace.key, 0) + 1
        opened = OpenTree(root.key, state, await self._digest(workspace, base), keys, number)
        covered = max(workspace.covered or 0, workspace.pruned.sequence)
        for row in await self._lost(workspace, root.key, base, covered):
            self._remember(session, opened, row)
        digest = await self._read_tail(session, workspace, opened, covered)
        if digest != workspace.chain_hash:
            raise CoscribeError(Code.FILE_DAMAGED, "the log does not end where its head says", file_id=root.file_id)
        session.tree = opened

    async def _read_tail(self, session: WorkspaceSession, workspace: Workspace, tree: OpenTree, covered: int) -> bytes:
        """What is not covered of the log, sorted by file, and the entry before it. Returns the digest at its end."""
        last, known = workspace.last_sequence, set(tree.keys.values())
        after, digest = max(covered - 1, workspace.pruned.sequence), workspace.pruned.chain_hash
        while after < last:
            page = await self._op_log.read(workspace.key, after, through=last, limit=PAGE)
            for row in page:
                after, digest = row.sequence, row.digest
                if row.sequence > covered:
                    if row.file_key == tree.file_key:
                        self._remember(session, tree, row)
                    elif row.file_key in known:  # else it was purged since
                        session.tails.setdefault(row.file_key, []).append(row)
            if not page:
                break
        return digest

    def _remember(self, session: WorkspaceSession, tree: OpenTree, row: LogEntry) -> None:
        """An entry of the tree that is in its rows already. Errors: ``file_damaged``."""
        if row.sequence > tree.state.last_sequence:
            try:
                entry = effect_from(row)
            except ValueError as error:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log cannot be read: {error}") from error
            tree.state.remember(entry)
            session.took_over(tree, entry)

    async def _lost(self, workspace: Workspace, key: int, base: FileSnapshot, through: int) -> list[LogEntry]:
        """What a file has in the log up to what is covered, and is in no good snapshot: nothing, unless one that was
        there is damaged or gone."""
        if base.sequence >= await self._snapshots.saved(key):
            return []
        found: list[LogEntry] = []
        after = base.sequence
        while page := await self._op_log.read(workspace.key, after, through=through, limit=PAGE, file_key=key):
            found += page
            after = page[-1].sequence
        return found

    async def _open(self, session: WorkspaceSession, file_id: str) -> OpenFile:
        """A text of a tree. Errors: ``file_not_found``, ``file_damaged``."""
        assert session.tree is not None
        key = session.tree.keys.get(file_id)
        if key is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r}", file_id=file_id)
        workspace, file, durable = session.workspace, File(key, file_id, ""), session.durable_sequence
        base = await self._base(workspace, file, durable)
        opened = OpenFile(key, _state(file, base, self._limits), await self._digest(workspace, base))
        opened.horizon = workspace.pruned.horizons.get(key, 0)
        tail = session.tails.get(key, [])
        through = tail[0].sequence - 1 if tail else durable
        rows = await self._lost(workspace, key, base, through)
        self._replay(session, opened, [*rows, *(row for row in tail if row.sequence > base.sequence)])
        opened.durable_version = opened.state.version
        # Meanwhile the session may have been lost, or the file purged; nobody can have edited it.
        if not session.lost and file_id in session.tree.keys:
            session.tails.pop(key, None)
            session.files[file_id] = opened
        return opened

    async def settle(self) -> None:
        """Returns when every log that is in memory has been measured."""
        await asyncio.gather(*self._measuring)

    async def _measure(self, source: QuotaSource, session: WorkspaceSession) -> None:
        """How long the log is; a long one takes a moment, for which nobody has to wait."""
        through = session.workspace.last_sequence
        measured = await source.log_bytes(session.workspace.key, through)
        session.log_bytes += measured

    async def _load_file(self, session: WorkspaceSession, workspace: Workspace, file: File) -> OpenFile:
        """The one file of a document: the log behind its snapshot is all its own."""
        base = await self._base(workspace, file, workspace.last_sequence)
        state = _state(file, base, self._limits)
        opened = OpenFile(file.key, state, await self._digest(workspace, base))
        opened.horizon = workspace.pruned.horizons.get(file.key, 0)
        while state.last_sequence < workspace.last_sequence:
            page = await self._op_log.read(
                workspace.key,
                state.last_sequence,
                through=workspace.last_sequence,
                limit=PAGE,
                file_key=file.key,
            )
            self._replay(session, opened, page)
            if len(page) < PAGE:
                break
        opened.durable_version = state.version
        return opened

    def _replay(self, session: WorkspaceSession, opened: OpenFile, rows: Sequence[LogEntry]) -> None:
        """Errors: ``file_damaged``."""
        state = opened.state
        try:
            for row in rows:
                entry = committed_from(row)
                state.replay(entry)
                session.took_over(opened, entry)
        except ValueError as error:
            raise CoscribeError(Code.FILE_DAMAGED, f"the log cannot be read: {error}") from error
        for entry in state.window.trim(state.last_sequence):
            session.registry.forget(entry)

    async def _digest(self, workspace: Workspace, base: FileSnapshot) -> bytes:
        """Of the entry at a snapshot's sequence."""
        if base.digest:
            return base.digest
        if base.sequence == workspace.pruned.sequence:
            return workspace.pruned.chain_hash
        at_base = await self._op_log.read(workspace.key, base.sequence - 1, through=base.sequence, limit=1)
        return at_base[0].digest if at_base else GENESIS

    async def _base(self, workspace: Workspace, file: File, last_sequence: int) -> FileSnapshot:
        """The newest good snapshot up to ``last_sequence``; where there is none, the text that the log begins with:
        that of the checkpoint where it was pruned, or the empty one. Errors: ``file_damaged``."""
        skip = 0
        while (snapshot := await self._snapshots.newest(file.key, skip=skip)) is not None:
            good = content_hash(snapshot.content) == snapshot.content_hash
            if good and workspace.pruned.sequence <= snapshot.sequence <= last_sequence:
                return snapshot
            skip += 1
            metrics.damaged_snapshots.inc()
            log.error("snapshot_damaged", file=file.file_id, sequence=snapshot.sequence)
        checkpoint = await self._op_log.checkpoint(workspace.key) if workspace.pruned.sequence else None
        if checkpoint is None:
            return FileSnapshot(file.key, 0, 0, "", content_hash(""))
        begin = checkpoint.file(file.key)
        return FileSnapshot(file.key, begin.version, checkpoint.sequence, good_content(begin), begin.content_hash)


def _state(file: File, base: FileSnapshot, limits: Limits) -> FileState:
    return FileState(file.file_id, base.content, base.version, base.sequence, limits)
