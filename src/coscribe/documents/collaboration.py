"""Collaboration: what a gateway or an API asks of the documents. Joining, submitting, reading; no sockets here.

The life of an operation, top to bottom:

    gateway     session is authenticated, message decoded            gateway/connection.py
    here        submit                                               documents/collaboration.py
    turn        duplicate? rights? base? rebase, apply, number       documents/session.py, core/
    group       join the commit group, commit                        documents/committer.py, persistence/
    actions     broadcast (the author's ack is in it), direct acks   documents/session.py

Rights are asked for when somebody joins, and again when they change. ``generation`` counts the changes: a role that
was asked for in an earlier one decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import structlog
from msgspec import UNSET, UnsetType

from coscribe.core.dedup import Answer, split_id
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NO_EFFECT, ROOT, Effect, NodeState, Tree, is_node_id, node_id
from coscribe.documents.budget import AccountBuckets, Budgets
from coscribe.documents.committer import Committer
from coscribe.documents.differences import edits_between
from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.last_cursors import KeptCursor, LastCursors
from coscribe.documents.opened import Lineage, Opened, OpenFile, OpenTree, effect_of
from coscribe.documents.past import TextAt, text_at
from coscribe.documents.paths import is_shown, may_change, may_read
from coscribe.documents.ports import (
    Access,
    Blob,
    CursorRepo,
    Home,
    Identity,
    OpLog,
    Owning,
    PathRights,
    SnapshotRepo,
    StorageError,
    Subscriber,
    Uniform,
)
from coscribe.documents.quota import Quotas, QuotaSource
from coscribe.documents.session import Author, Duplicate, Evidence, Missing, WorkspaceSession
from coscribe.documents.snapshot_manager import SnapshotManager, SnapshotPolicy
from coscribe.documents.traced import note_turn
from coscribe.documents.watching import MAX_PAST, Change, Past, Watch, Watches, past_changes
from coscribe.metrics import TIMED_TURNS, metrics
from coscribe.model import GENESIS, committed_from, content_hash, effect_from
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import OperationFate, Participant, Place, Role
from coscribe.tracing import Tracer

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

LOG_PAGE = 2_000
"""Log entries read at a time for an edit whose base has left the window."""

RESEND_PAGE = 500
"""Operations in one answer to resend."""

MAX_REFERENCES = 100_000
"""Users whose reference in the log is remembered."""

PRESENCE_INTERVAL = 0.05
"""Seconds over which cursor moves of a file are gathered into one round of messages."""

ITSELF = "itself"
"""The credential of an identity that nobody can come with: the server, whose rights and pace nobody asks."""

CALM_ROUNDS = 20
"""How often it is waited for a moment at which nothing of a workspace is on its way to the disk, before it is shut."""

NO_TEXTS: Mapping[str, int | None] = {}

FLUSH_SECONDS = 5.0
"""How long the disk may take for what is handed over; what it has not got by then its authors send again."""

EVICTION_SECONDS = 0.25
"""How long the disk may keep somebody in a file who has lost access to it."""


@dataclass(slots=True)
class Membership:
    """One subscriber's hold on one file.

    ``role`` counts at once for whatever is still to be decided; ``generation`` says when it was asked for. ``ending``:
    access is gone; nothing new is taken in or answered, and in a moment this will be done and the member out.
    ``rights``: in a tree, on its paths. ``last_cursor``: where the caret was before, if that was asked for.
    """

    session: WorkspaceSession
    file: Opened
    identity: Identity
    author: Author
    role: Role
    generation: int
    subscriber: Subscriber
    participant: Participant
    rights: PathRights | None = None
    last_cursor: KeptCursor | None = None
    snapshot_sequence: int = -1
    live: bool = False
    ending: asyncio.Future[None] | None = None
    left: bool = False


class Standing(NamedTuple):
    """What somebody is in a file: the role, and of a tree the rights on its paths. None: they may not know of it.
    ``exists``: whether there is such a file at all."""

    role: Role | None
    rights: PathRights | None = None
    exists: bool = True


Barrier = Callable[[int, str | None], Awaitable[None]]
"""Returns when whatever a save waits for besides the snapshots is at least at a sequence; of one file, or of all."""


class Planned(NamedTuple):
    """What is to be done to a tree. ``texts``: of files that are made, by the place of their making. ``blobs``: the
    sizes of those that were put into the store for this, by hash. ``anew``: whole texts of files that become texts."""

    edits: Sequence[messages.TreeEdit]
    texts: Mapping[int, str] = {}
    blobs: Mapping[str, int] = {}
    anew: Mapping[str, str] = {}


Plan = Callable[[Tree, PathRights], Planned]


class Looked(NamedTuple, Generic[_T]):
    """What was seen of a tree, as it was at ``sequence``."""

    seen: _T
    sequence: int


class TreeEdited(NamedTuple):
    """Where an operation on a tree is, and what it came to; of one that was done before that is not told again."""

    place: Place
    effect: Effect


class Present(NamedTuple):
    """A workspace with a tree as somebody may see it at ``sequence``, which is durable. ``nodes``: of its tree, where
    they were asked for."""

    workspace_key: int
    incarnation: str
    rights: PathRights
    folds_case: bool
    sequence: int
    nodes: Sequence[tuple[str, NodeState]] = ()


class Durable(NamedTuple):
    """How far a file has come on disk: the text that is there, as ``sequence`` left it, has this version."""

    workspace_key: int
    file_key: int
    incarnation: str
    version: int
    sequence: int
    chain_hash: bytes


class Collaboration:
    """The pipeline with its storage; made once, by the composition root.

    ``clock`` gives microseconds since 1970, ``now`` monotonic seconds, ``salts`` so many fresh 16-byte salts.
    ``tracer`` None: operations are not traced. ``cursors`` None: nobody's last cursor is kept. ``owning`` None: there
    is no other instance, and everything is this one's.
    """

    def __init__(
        self,
        op_log: OpLog,
        snapshots: SnapshotRepo,
        access: Access,
        *,
        limits: Limits,
        policy: SnapshotPolicy,
        max_backlog: int,
        clock: Callable[[], int],
        now: Callable[[], float],
        salts: Callable[[int], Sequence[bytes]],
        budgets: Budgets | None = None,
        quotas: Quotas | None = None,
        quota_source: QuotaSource | None = None,
        tracer: Tracer | None = None,
        cursors: CursorRepo | None = None,
        owning: Owning | None = None,
    ) -> None:
        self.limits = limits
        self.generation = 0
        self._op_log = op_log
        self._access = access
        self._clock = clock
        self._now = now
        self._salts = salts
        self._tracer = tracer
        self._budgets = budgets or Budgets()
        self._accounts = AccountBuckets(self._budgets)
        self._owning = owning
        self._committer = Committer(op_log, self._session_lost, max_backlog, now, tracer, owning)
        self.router = DocumentRouter(
            op_log, snapshots, limits, self._committer, now, self._budgets, quotas or Quotas(), quota_source, owning
        )
        self.snapshots = SnapshotManager(snapshots, op_log, self.router, policy, self._committer.settled, clock, now)
        self._last_cursors = None if cursors is None else LastCursors(cursors, op_log, clock)
        self._moved: dict[Opened, dict[Subscriber, None]] = {}
        self._news: dict[tuple[Opened, Subscriber], Participant] = {}
        self._references: dict[str, int] = {}
        self._turns = 0
        self.watches = Watches()
        self.barriers: dict[str, Barrier] = {}
        self.on_paths_moved: Callable[[str], None] = lambda _: None
        """Told of a workspace in which files are elsewhere now: roles in them may be others."""

    # ---- operations

    def submit(
        self,
        member: Membership,
        message: messages.Operation | messages.Chain,
        evidence: Evidence,
        *,
        within_rate: bool,
        received: int = 0,
    ) -> None:
        """One message through the pipeline. ``received``: when it came in, where that is traced (nanoseconds).

        Errors and Missing: see `WorkspaceSession.submit`.
        """
        session, file = member.session, member.file
        if not session.holds(file):
            raise CoscribeError(Code.NOT_JOINED, "the file was let go; join it again")
        if not isinstance(file, OpenFile):
            raise CoscribeError(Code.NOT_A_TEXT, file_id=file.state.file_id)
        self._turns += 1
        began = None if self._turns % TIMED_TURNS else self._now()
        tracer = self._tracer
        traced = 0 if tracer is None else tracer.now()
        outcome = session.submit(
            file, message, member.author, member.role, within_rate, self._clock(), self._salts, evidence
        )
        if began is not None:
            metrics.turn_seconds.observe(self._now() - began)
        if tracer is not None:
            note_turn(tracer, file, message, outcome, received, traced)
        if isinstance(outcome, Duplicate):
            metrics.duplicates.inc(len(outcome.places))
            ack = codec.encode(messages.Ack(file.state.file_id, outcome.places))
            session.act(lambda: member.subscriber.deliver(ack))
        else:
            self.snapshots.consider(session, file)

    def change_tree(
        self, member: Membership, message: messages.TreeOperation, evidence: Evidence, *, within_rate: bool
    ) -> None:
        """Likewise for operations on a tree. Errors and Missing: see `WorkspaceSession.change_tree`."""
        session, tree, rights = member.session, member.file, member.rights
        if not session.holds(tree):
            raise CoscribeError(Code.NOT_JOINED, "the tree was let go; join it again")
        if not isinstance(tree, OpenTree) or rights is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"{message.file_id!r} is no workspace", file_id=message.file_id)
        outcome = session.change_tree(
            message,
            member.author,
            may_change(rights),
            within_rate,
            self._clock(),
            self._salts,
            evidence,
            may_read(rights),
        )
        if isinstance(outcome, Duplicate):
            metrics.duplicates.inc(len(outcome.places))
            ack = codec.encode(messages.Ack(message.file_id, outcome.places))
            session.act(lambda: member.subscriber.deliver(ack))
            return
        self._tree_changed(session, outcome)
        if outcome.notes:
            notes = [messages.TreeNote(note.file_id or message.file_id, note.why) for note in outcome.notes]
            told = codec.encode(messages.TreeNotes(message.file_id, message.operation_id, notes))
            session.act(lambda: None if member.left else member.subscriber.deliver(told))

    def _tree_changed(self, session: WorkspaceSession, effect: Effect) -> None:
        """What a change of the tree has to do with those who have texts open."""
        assert session.tree is not None
        self.router.tree_changed(session, effect)
        self.snapshots.consider(session, session.tree)
        for file_id, _, after in effect.changes:
            file = session.files.get(file_id)
            if file is not None and (after is None or after.kind != "text"):
                code = Code.FILE_NOT_FOUND if after is None else Code.NOT_A_TEXT
                session.act(partial(file.put_out, CoscribeError(code, file_id=file_id)))
        for moved in session.moved(effect):
            self._tell_place(session.tree.state.tree, session, moved)
        if any(before and after and before[:2] != after[:2] for _, before, after in effect.changes):
            self.rights_changed()
            self.on_paths_moved(session.workspace.workspace_id)

    def within_budget(self, identity: Identity, session: WorkspaceSession) -> bool:
        """Whether somebody's account and the document may send one more edit; it counts. To be asked once for each
        message, before it is submitted."""
        if identity.credential == ITSELF:
            return True
        now = self._now()
        account = self._accounts.of(identity.account, now) if identity.account else None
        if account is not None and not account.has_some(now):
            metrics.over_budget.labels("account").inc()
            return False
        if not session.budget.has_some(now):
            metrics.over_budget.labels("document").inc()
            return False
        if account is not None:
            account.take()
        session.budget.take()
        return True

    async def gather(self, member: Membership, missing: Missing, evidence: Evidence) -> None:
        """Asks storage for what a turn was missing and adds it to the evidence. Errors: ``storage_unavailable``."""
        await self._gather(member.session, member.file, missing, evidence)

    async def _gather(self, session: WorkspaceSession, file: Opened, missing: Missing, evidence: Evidence) -> None:
        key = session.workspace.key
        for operation_id in missing.operation_ids:
            as_of = session.durable_sequence
            series, _ = split_id(operation_id)
            record = await self._op_log.find(key, operation_id)
            session.registry.learn(series, await self._op_log.highest(key, series))
            evidence.answers[operation_id] = Answer(record, as_of)
        if missing.digests:
            uses = await self._op_log.blobs(key, missing.digests)
            evidence.blobs |= {digest: [use for use in uses if use.blob.digest == digest] for digest in missing.digests}
        if missing.after_version >= 0:
            await self._gather_changes(session, file, missing.after_version, evidence)

    async def _gather_changes(
        self, session: WorkspaceSession, file: Opened, after_version: int, evidence: Evidence
    ) -> None:
        """All that is durable and changed the file since a version; no-ops in between are passed over. Errors:
        ``base_version_too_old``: it was pruned."""
        durable = session.durable_sequence
        try:
            rows = await self._op_log.read_versions(file.file_key, after_version, durable, LOG_PAGE)
        except CoscribeError as error:
            if error.code is not Code.HISTORY_PRUNED:
                raise
            detail = f"what came after version {after_version} was deleted from the history"
            raise CoscribeError(Code.BASE_VERSION_TOO_OLD, detail) from error
        evidence.base_version = evidence.through_version = after_version
        evidence.changes = []
        while rows:
            for entry in map(committed_from, rows):
                if entry.changed:
                    evidence.changes.append(entry.operation)
                    evidence.through_version = entry.version
            rows = await self._op_log.read(
                session.workspace.key, rows[-1].sequence, through=durable, limit=LOG_PAGE, file_key=file.file_key
            )

    # ---- joining

    async def join(
        self, identity: Identity, connection_id: str, message: messages.Join, subscriber: Subscriber
    ) -> Membership:
        """Opens a file for somebody: sends a tail and goes live, or sends a snapshot and waits for it to be applied.

        Errors: ``invalid_file_id``, ``file_not_found``, ``permission_denied``, ``file_damaged``,
        ``storage_unavailable``.
        """
        codec.check_file_id(message.file_id)
        began = self._now()
        user_id = identity.user_id
        while True:
            generation = self.generation
            role, rights, exists = await self._standing(identity, message.file_id)
            if role is None or not (exists or await self._makes(identity, message.file_id)):
                self._access.refused(identity, message.file_id)
                raise codec.JoinRefused(message.file_id, await self._fates_without_access(user_id, message))
            author = Author(user_id, await self._reference(user_id))
            session, file = await self.router.open(message.file_id)
            evidence = Evidence()
            have = message.have
            if have is not None and have.server_sequence_id > session.last_sequence and await self._overtaken(session):
                continue
            sees_all = rights is None or rights.is_uniform or isinstance(file, OpenFile)
            has_past = have is not None and await self._knows(session, file, have, role)
            # Nothing that is asked of a tree is based on a past: of the same log all fates are known.
            is_same_log = have is not None and have.incarnation == session.workspace.incarnation
            known = has_past or (is_same_log and isinstance(file, OpenTree))
            last_cursor = await self._last_cursor(session, file, author) if message.last_cursor else None
            fates = await self._fates(session, file, user_id, message, evidence, known)
            if fates is not None and session.holds(file) and generation == self.generation:
                break
        participant = Participant(connection_id, user_id, identity.display_name, identity.color, role)
        member = Membership(
            session, file, identity, author, role, generation, subscriber, participant, rights, last_cursor
        )
        self._access.opened(identity, message.file_id)
        # From here to the end is one turn: the fates, the text and the tail are of one moment.
        file.participants[subscriber] = participant
        if rights is not None and not rights.is_uniform:
            file.views[subscriber] = rights
        if has_past and sees_all and have is not None and session.has_tail(file, have.server_sequence_id):
            self._go_live(member, have.server_sequence_id, fates)
        else:
            self._send_snapshot(member, fates, lineage_lost=have is not None and not known)
        metrics.join_seconds.observe(self._now() - began)
        return member

    def snapshot_applied(self, member: Membership, sequence: int) -> None:
        """Sends what came after the snapshot and goes live. Errors: ``snapshot_not_sent``."""
        if member.live or sequence != member.snapshot_sequence:
            raise CoscribeError(Code.SNAPSHOT_NOT_SENT, f"no snapshot at sequence {sequence} is open")
        if sequence < member.file.state.window.floor:
            self._send_snapshot(member, [], lineage_lost=False)
        else:
            self._go_live(member, sequence, [])

    def leave(self, member: Membership) -> None:
        """The subscriber has gone; the others are told."""
        if self._part(member):
            self._tell_left(member.file, member.participant)

    def _part(self, member: Membership) -> bool:
        """Takes the member out of the file, untold; whether it was in it."""
        member.left = True
        member.file.subscribers.pop(member.subscriber, None)
        member.file.views.pop(member.subscriber, None)
        return member.file.participants.pop(member.subscriber, None) is not None

    async def _reference(self, user_id: str) -> int:
        reference = self._references.get(user_id)
        if reference is None:
            reference = await self._op_log.author(user_id)
            if len(self._references) >= MAX_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[user_id] = reference
            metrics.references.set(len(self._references))
        return reference

    async def _role(self, identity: Identity, file_id: str) -> Role | None:
        """The role in a file as of now; in a tree that of its path."""
        return (await self._standing(identity, file_id)).role

    async def _standing(self, identity: Identity, file_id: str) -> Standing:
        found = await self.router.home(file_id)
        home, is_tree = found or Home(file_id, False)
        if identity.credential == ITSELF:
            return Standing("owner", Uniform("owner") if is_tree else None, exists=found is not None)
        if identity.workspace and identity.workspace != home:
            return Standing(None)
        if not is_tree:
            return Standing(await self._access.role(identity, file_id), exists=found is not None)
        rights = await self._access.rights(identity, home)
        if rights is None or rights.is_uniform:
            return Standing(None if rights is None else rights.role, rights)
        if home == file_id:
            return Standing(rights.role, rights)
        tree = (await self.router.session(home)).tree
        if tree is None or file_id not in tree.keys:
            return Standing(None)
        return Standing(rights.on(tree.state.tree.path(file_id)), rights)

    async def _makes(self, identity: Identity, file_id: str) -> bool:
        """Makes a document of that id, where somebody may. Whether it did."""
        if is_node_id(file_id) or not await self._access.may_create(identity, file_id):
            return False
        await self._op_log.create(file_id, file_id, file_id, self._clock())
        return True

    async def _knows(self, session: WorkspaceSession, file: Opened, have: messages.Lineage, role: Role) -> bool:
        """Whether what a replica has is a point of this log's past, from which it may be told what came since.

        Who names a digest has been there. The one before the first entry is known to everybody: from there on it is the
        whole past, deleted text and all, which is not for viewers.
        """
        sequence = have.server_sequence_id
        if have.incarnation != session.workspace.incarnation or sequence > session.durable_sequence:
            return False
        for entry in file.state.window.entries_after(sequence - 1)[:1] if sequence else ():
            if entry.sequence == sequence:
                return entry.digest.hex() == have.chain_hash
        if sequence == 0 and not session.workspace.pruned.sequence:
            is_empty = session.durable_sequence == 0
            return have.chain_hash == GENESIS.hex() and (role != "viewer" or is_empty)
        try:
            rows = await self._op_log.read(session.workspace.key, sequence - 1, through=sequence, limit=1)
        except CoscribeError as error:
            if error.code is not Code.HISTORY_PRUNED:
                raise
            pruned = await self._op_log.pruned(session.workspace.key)
            return (sequence, have.chain_hash) == (pruned.sequence, pruned.chain_hash.hex())
        return bool(rows) and rows[0].digest.hex() == have.chain_hash and rows[0].file_key == file.file_key

    async def _fates(
        self,
        session: WorkspaceSession,
        file: Opened,
        user_id: str,
        message: messages.Join,
        evidence: Evidence,
        known: bool,
    ) -> list[OperationFate] | None:
        """The fate of each id in flight, as of now. None: the session was lost while storage was asked."""
        while not session.lost:
            try:
                fates: list[OperationFate] = []
                for operation_id in message.in_flight:
                    record = session.fate(file, operation_id, user_id, evidence)
                    if record is not None:
                        fates.append(OperationFate(operation_id, "committed", record.sequence, record.version))
                    elif not known and (message.have is not None or file.horizon):
                        fates.append(OperationFate(operation_id, "unknowable"))
                    else:
                        fates.append(OperationFate(operation_id, "notCommitted"))
                return fates
            except Missing as missing:
                await self._gather(session, file, missing, evidence)
        return None

    async def _fates_without_access(self, user_id: str, message: messages.Join) -> list[OperationFate]:
        """For somebody who may not join: where their own operations are. Of anything else it tells nothing, not even
        whether there is such a file."""
        if message.in_flight and await self.router.home(message.file_id) is not None:
            try:
                return await self._settled_fates(user_id, message)
            except CoscribeError as error:
                if error.code is Code.MOVED:
                    raise  # another instance knows them
                log.warning("fates_unknown", file_id=message.file_id, exc_info=True)
        return [OperationFate(operation_id, "notCommitted") for operation_id in message.in_flight]

    async def _settled_fates(self, user_id: str, message: messages.Join) -> list[OperationFate]:
        """Which of the ids in flight are on disk, once nothing is on its way there any more that was when it was asked.

        Errors: those of `DocumentRouter.open`.
        """
        while True:
            session, file = await self.router.open(message.file_id)
            fates = await self._fates(session, file, user_id, message, Evidence(), known=True)
            if fates is not None and await _settled(session):
                return fates

    def _send_snapshot(self, member: Membership, fates: list[OperationFate], *, lineage_lost: bool) -> None:
        session, file = member.session, member.file
        member.snapshot_sequence = file.state.last_sequence
        lineage = Lineage(session.workspace.incarnation, member.role, fates, lineage_lost)
        frame = file.snapshot(lineage, member.subscriber)
        session.act(lambda: None if member.left or member.ending is not None else member.subscriber.deliver(frame))

    def _go_live(self, member: Membership, after: int, fates: list[OperationFate]) -> None:
        session, file = member.session, member.file
        state = file.state
        member.live = True
        tail = state.window.entries_after(after)
        live = messages.Live(
            state.file_id,
            state.last_sequence,
            state.version,
            session.workspace.incarnation,
            member.role,
            fates,
            list(file.participants.values()),
            _cursor_in(file, member.last_cursor),
        )
        last_sequence = state.last_sequence
        tree = None if session.tree is None else session.tree.state.tree
        place = b""
        if tree is not None and isinstance(file, OpenFile) and _sees_place(tree, file, member.subscriber):
            place = _place(tree, file)

        def go_live() -> None:
            if member.left or member.ending is not None:  # it may be, after waiting for the disk
                return
            frame = file.tail_frame(after, tail, member.subscriber) if tail else b""
            if frame:
                member.subscriber.deliver(frame)
            if place:
                member.subscriber.deliver(place)
            member.subscriber.deliver(codec.encode(live), last_sequence)
            if member.subscriber in file.participants:  # else that was too much for it, and has closed it
                file.subscribers[member.subscriber] = None
                self._tell_presence(file, member.participant, but=member.subscriber)

        session.act(go_live)

    def _tell_place(self, tree: Tree, session: WorkspaceSession, file: OpenFile) -> None:
        """Tells those who are live where a text is now. (Whoever is still joining is told with that.)"""
        frame = _place(tree, file)
        told = [subscriber for subscriber in file.participants if _sees_place(tree, file, subscriber)]

        def tell() -> None:
            for subscriber in told:
                if subscriber in file.subscribers:
                    subscriber.deliver(frame)

        session.act(tell)

    # ---- catching up

    def catch_up(self, member: Membership, after: int) -> bool:
        """Delivers what is durable behind ``after``, from memory. False: that is no longer all there, or never was."""
        if isinstance(member.file, OpenTree) and member.subscriber in member.file.views:
            return False
        window = member.file.state.window
        if after < window.floor:
            return False
        tail = [entry for entry in window.entries_after(after) if entry.sequence <= member.session.durable_sequence]
        if tail:
            member.subscriber.deliver(member.file.tail_frame(after, tail, member.subscriber), tail[-1].sequence)
        return True

    async def resend(self, member: Membership, message: messages.Resend) -> bytes:
        """The frame that answers a resend. Errors: ``history_unavailable``, ``history_pruned``, ``not_joined``."""
        session, file, have = member.session, member.file, message.have
        if isinstance(file, OpenTree) and member.subscriber in file.views:
            raise CoscribeError(Code.HISTORY_UNAVAILABLE, "there is a past only of what one sees all of")
        if not await self._knows(session, file, have, member.role):
            raise CoscribeError(Code.HISTORY_UNAVAILABLE, "the log does not contain what you have")
        through = min(message.through_sequence_id, session.durable_sequence)
        rows = await self._op_log.read(
            session.workspace.key,
            have.server_sequence_id,
            through=through,
            limit=RESEND_PAGE,
            file_key=file.file_key,
        )
        last = rows[-1].digest if rows else bytes.fromhex(have.chain_hash)
        if member.ending is not None:
            raise CoscribeError(Code.NOT_JOINED, "access has ended")
        more = len(rows) == RESEND_PAGE and rows[-1].sequence < through
        return file.resent(have.server_sequence_id, last, more, rows)

    def checksum(self, member: Membership) -> None:
        """Sends the hash of the text, or of the tree as it is encoded, in order with the operations around it."""
        file, state = member.file, member.file.state
        seen = (
            file.seen_by(member.subscriber).encode().decode() if isinstance(file, OpenTree) else str(file.state.content)
        )
        digest = content_hash(seen)
        frame = codec.encode(messages.Checksum(state.file_id, state.version, state.last_sequence, digest.hex()))
        member.session.act(lambda: member.subscriber.deliver(frame))

    # ---- rights

    def rights_changed(self) -> None:
        """Rights have changed: whatever role was asked for before now decides nothing more that is not decided yet."""
        self.generation += 1

    async def review(self, member: Membership, deadline: float) -> asyncio.Future[None] | None:
        """Asks for a member's role again. Whoever has none any more is on the way out; the future says when it is done.

        Of several answers the one that was asked for last counts. None by the deadline (of the event loop's clock) is
        taken as a reason to evict.
        """
        generation = self.generation
        error = CoscribeError(Code.ACCESS_REMOVED)
        try:
            async with asyncio.timeout_at(deadline):
                role, rights, _ = await self._standing(member.identity, member.file.state.file_id)
        except Exception as failure:
            expected = isinstance(failure, StorageError | TimeoutError)
            log.error("role_unknown", exc_info=not expected, error=str(failure))
            role, rights = None, None
            error = CoscribeError(Code.STORAGE_UNAVAILABLE, "the role is not known now")
        if generation < member.generation:
            return None
        member.generation, member.rights = generation, rights
        if isinstance(member.file, OpenTree) and role is not None and rights is not None:
            shown = member.file.views.get(member.subscriber)
            if rights.view != (None if shown is None else shown.view):
                return self.evict(member, CoscribeError(Code.RULES_CHANGED))
        if role is None:
            return self.evict(member, error)
        if rights is not None and not member.left:
            if rights.is_uniform:
                member.file.views.pop(member.subscriber, None)
            else:
                member.file.views[member.subscriber] = rights
        if role != member.role and member.ending is None:
            self._change_role(member, role)
        return None

    def evict(self, member: Membership, error: CoscribeError) -> asyncio.Future[None] | None:
        """Ends a membership: at once for what is new; what was taken in before, their own acknowledgements above all,
        is still delivered, if the disk is not slow. None: the session has ended before."""
        session = member.session
        if session.lost or member.ending is not None:
            return member.ending
        loop = asyncio.get_running_loop()
        gone = member.ending = loop.create_future()
        member.role = "viewer"

        def end(_: bool = False) -> None:
            if gone.done():
                return
            gone.set_result(None)
            at_the_latest.cancel()
            if not member.left:
                self._part(member)
                self._news[member.file, member.subscriber] = member.participant
                member.subscriber.evict(error)

        at_the_latest = loop.call_later(EVICTION_SECONDS, end)
        session.settle(end)
        return gone

    def _change_role(self, member: Membership, role: Role) -> None:
        """It counts from here on; it is told in order with what was said of the role before."""
        session, file = member.session, member.file
        member.role = member.participant.role = role
        frame = codec.encode(messages.RoleChanged(file.state.file_id, role))

        def tell() -> None:
            if not member.left and member.ending is None:
                member.subscriber.deliver(frame)

        session.act(tell)
        self._news[file, member.subscriber] = member.participant

    async def tell_others(self) -> None:
        """Tells those who have the same files open who was put out, and whose role is another one. It gives way after
        each: a thousand may have to be told of a thousand."""
        while self._news:
            (file, subscriber), participant = self._news.popitem()
            if subscriber in file.participants:
                self._tell_presence(file, participant, but=subscriber)
            else:
                self._tell_left(file, participant)
            await asyncio.sleep(0)

    # ---- without joining

    async def edit(
        self, identity: Identity, message: messages.Operation | messages.Chain, *, within_rate: bool = True
    ) -> list[Place]:
        """One message from somebody who has the file not open, through the same pipeline; returns once it is durable.

        What was committed before has its original places, whatever has become of the author's right to write. Errors:
        those of `WorkspaceSession.submit`; ``invalid_file_id``, ``user_mismatch``, ``file_not_found``,
        ``file_damaged``; ``storage_unavailable``: it may be committed or not, send the same again.
        """
        codec.check_file_id(message.file_id)
        if message.user_id != identity.user_id:
            raise CoscribeError(Code.USER_MISMATCH, f"you are {identity.user_id!r}")
        with storage_as_refusal():
            is_counted = False
            while True:
                try:
                    author, role, session, file = await self._admitted(identity, message.file_id)
                except CoscribeError as error:
                    places = await self._places_without_access(identity, message)
                    if error.code is Code.FILE_NOT_FOUND and places is not None:
                        return places
                    raise
                generation, evidence = self.generation, Evidence()
                tracer = self._tracer
                received = 0 if tracer is None else tracer.now()
                if not is_counted:
                    within_rate = within_rate and self.within_budget(identity, session)
                    is_counted = True
                while generation == self.generation and session.holds(file):
                    traced = 0 if tracer is None else tracer.now()
                    try:
                        outcome = session.submit(
                            file, message, author, role, within_rate, self._clock(), self._salts, evidence
                        )
                    except Missing as missing:
                        await self._gather(session, file, missing, evidence)
                        continue
                    except CoscribeError as error:
                        if error.code is Code.BASE_VERSION_FUTURE and await self._overtaken(session):
                            break
                        raise
                    if tracer is not None:
                        note_turn(tracer, file, message, outcome, received, traced)
                    settled = _settled(session)
                    if isinstance(outcome, Duplicate):
                        metrics.duplicates.inc(len(outcome.places))
                        places = outcome.places
                    else:
                        entries = file.state.window.entries[-outcome:]
                        places = [Place(entry.operation_id, entry.sequence, entry.version) for entry in entries]
                        self.snapshots.consider(session, file)
                    if not await settled:
                        raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
                    return places

    async def look(self, identity: Identity, workspace_id: str, at: Callable[[Tree, PathRights], _T]) -> Looked[_T]:
        """What ``at`` finds in the tree in one turn, once all that it can have seen is durable.

        Errors: those of ``at``; ``invalid_file_id``, ``file_not_found``, ``file_damaged``, ``storage_unavailable``.
        """
        return await self._look(identity, workspace_id, lambda _, tree, rights: at(tree, rights))

    async def present(self, identity: Identity, workspace_id: str, *, with_nodes: bool) -> Present:
        """A workspace as it is now, for those who read its past. Errors: those of `look`."""

        def at(session: WorkspaceSession, tree: Tree, rights: PathRights) -> Present:
            nodes = [(file_id, tree.state(file_id)) for file_id in tree.below(ROOT)] if with_nodes else ()
            workspace = session.workspace
            return Present(
                workspace.key, workspace.incarnation, rights, workspace.folds_case, session.last_sequence, nodes
            )

        return (await self._look(identity, workspace_id, at)).seen

    async def texts_at_hand(
        self, identity: Identity, workspace_id: str, file_ids: Iterable[str]
    ) -> Looked[dict[str, TextAt]]:
        """Those of the texts that are in memory, and may be read, as they all are in one turn. Of the others storage
        has what there is at that sequence (`PastTree`). Errors: those of `look`."""

        def at(session: WorkspaceSession, tree: Tree, rights: PathRights) -> dict[str, TextAt]:
            states = {each: session.files[each].state for each in file_ids if each in session.files}
            may = may_read(rights)
            return {
                each: TextAt(str(state.content), state.version, state.last_sequence)
                for each, state in states.items()
                if each in tree and tree.state(each).kind == "text" and may(tree, each)
            }

        return await self._look(identity, workspace_id, at)

    async def _look(
        self, identity: Identity, workspace_id: str, at: Callable[[WorkspaceSession, Tree, PathRights], _T]
    ) -> Looked[_T]:
        codec.check_file_id(workspace_id)
        with storage_as_refusal():
            while True:
                generation = self.generation
                session, rights = await self._admitted_to_tree(identity, workspace_id)
                if generation != self.generation or session.lost or session.tree is None:
                    continue
                refusal: CoscribeError | None = None
                try:
                    looked = Looked(at(session, session.tree.state.tree, rights), session.last_sequence)
                except CoscribeError as error:
                    refusal = error  # that something is not there is seen, too
                if not await _settled(session):
                    raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
                if generation == self.generation:
                    if refusal is not None:
                        raise refusal
                    return looked

    async def save(self, identity: Identity | None, file_id: str) -> int:
        """A flush barrier: when it returns the disk has a snapshot of the text as it was at the sequence that is
        answered, or a later one; of a workspace snapshots of its tree and of all its texts. This is the one barrier,
        whoever asks: what a save is to wait for besides is waited for here, behind the snapshots. ``identity`` None:
        the server itself, whose rights nobody asks.

        Errors: ``invalid_file_id``, ``file_not_found``, ``not_a_text``, ``file_damaged``; ``storage_unavailable``.
        """
        codec.check_file_id(file_id)
        with storage_as_refusal():
            while True:
                generation = self.generation
                if identity is not None and await self._role(identity, file_id) is None:
                    raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r} for you", file_id=file_id)
                session, file = await self.router.open(file_id)
                if isinstance(file, OpenTree):
                    for behind in session.behind(len(session.tails)):
                        await self.router.load(session, behind)
                if generation == self.generation and session.holds(file):
                    break
            sequence = session.last_sequence if isinstance(file, OpenTree) else file.state.last_sequence
            await self.snapshots.save(session, session.opened() if isinstance(file, OpenTree) else [file])
            barrier = self.barriers.get(session.workspace.workspace_id)
            if barrier is not None:
                await barrier(sequence, None if isinstance(file, OpenTree) else file_id)
            return sequence

    async def watch(self, identity: Identity, workspace_id: str, after: int | None = None) -> Watch:
        """Watches a workspace: what comes behind the sequence ``after``, or from now on. See `watching`.

        Errors: ``invalid_file_id``, ``file_not_found``, ``file_damaged``, ``storage_unavailable``,
        ``too_many_requests``.
        """
        codec.check_file_id(workspace_id)
        with storage_as_refusal():
            while True:
                generation = self.generation
                session, rights = await self._admitted_to_tree(identity, workspace_id)
                if generation == self.generation and session.tree is not None and not session.lost:
                    break
            self.watches.check_room(identity)

            def closed(watch: Watch) -> None:
                self.watches.remove(watch)
                session.watches.pop(watch, None)

            watch = Watch(identity, workspace_id, rights, lambda: session.durable_sequence, closed)
            self.watches.add(watch)
            session.watches[watch] = None
            sequence = session.last_sequence  # what comes behind this it is told
            try:
                if not await _settled(session):
                    raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
                watch.begin(await self._past(session, rights, sequence if after is None else after, sequence))
            except BaseException:
                watch.close()
                raise
            return watch

    async def _past(
        self, session: WorkspaceSession, rights: PathRights, after: int, through: int
    ) -> list[Change] | None:
        """What came behind one sequence up to another, for a watch; None: that is not to be had."""
        if after == through:
            return []
        opened = session.tree
        if opened is None or after > through or through - after > MAX_PAST or not rights.is_uniform:
            return None
        try:
            rows = await self._op_log.read(session.workspace.key, after, through=through, limit=MAX_PAST)
        except CoscribeError as error:
            if error.code is not Code.HISTORY_PRUNED:
                raise
            return None
        if through < opened.state.window.floor:
            return None
        names = {key: file_id for file_id, key in opened.keys.items()}
        since = [effect_of(entry) for entry in reversed(opened.state.window.entries_after(through))]
        past = [
            Past(row.sequence, effect_from(row).effect)
            if row.file_key == opened.file_key
            else Past(row.sequence, None, names.get(row.file_key, ""), row.version)
            for row in rows
        ]
        return past_changes(opened.state.tree, since, past)

    async def review_watch(self, watch: Watch, deadline: float) -> None:
        """Asks for the rights of one who watches again; where they are others it is over. So it is where there is no
        answer by the deadline (of the event loop's clock)."""
        try:
            async with asyncio.timeout_at(deadline):
                standing = await self._standing(watch.identity, watch.workspace_id)
        except Exception as failure:
            expected = isinstance(failure, StorageError | TimeoutError)
            log.error("role_unknown", exc_info=not expected, error=str(failure))
            watch.end(CoscribeError(Code.STORAGE_UNAVAILABLE, "the role is not known now"))
            return
        if standing.role is None or standing.rights is None:
            watch.end(CoscribeError(Code.ACCESS_REMOVED))
        elif standing.rights.view != watch.rights.view or standing.rights.is_uniform != watch.rights.is_uniform:
            watch.end(CoscribeError(Code.RULES_CHANGED))

    async def edit_tree(
        self,
        identity: Identity,
        workspace_id: str,
        series: str,
        plan: Plan,
        *,
        texts: Mapping[str, int | None] = NO_TEXTS,
        within_rate: bool = True,
    ) -> TreeEdited:
        """Operations on a tree from somebody who has it not open; returns once they are durable.

        ``plan`` is asked in the turn, of the tree as it is then, what is to be done, and raises where nothing is. It
        may ask for texts in files that it makes or that become texts: those are there together with the files, or
        neither are. ``series`` is used for the ids of all operations; a series that was used before gets the place of
        the first time. ``texts``: files whose texts it is about, with the version that each must still be at.

        Errors: those of ``plan`` and of `WorkspaceSession.change_tree`; ``invalid_file_id``, ``file_not_found``,
        ``file_damaged``, ``file_too_large``, ``invalid_text``; ``precondition_failed``: a text is at another version;
        ``storage_unavailable``: it may be done or not, ask for the same again.
        """
        codec.check_file_id(workspace_id)
        codec.check_operation_id(f"{series}:1")
        with storage_as_refusal():
            is_counted = False
            while True:
                place = await self.committed(identity, workspace_id, f"{series}:1")
                if place is not None:
                    return TreeEdited(place, NO_EFFECT)
                generation = self.generation
                session, rights = await self._admitted_to_tree(identity, workspace_id)
                author, evidence = Author(identity.user_id, await self._reference(identity.user_id)), Evidence()
                if not is_counted:
                    within_rate = within_rate and self.within_budget(identity, session)
                    is_counted = True
                while generation == self.generation and session.tree is not None and not session.lost:
                    if not await self._at_hand(session, texts):
                        continue
                    _check_versions(session, texts)
                    try:
                        edited = self._edit_tree(session, rights, author, series, plan, within_rate, evidence)
                    except Missing as missing:
                        await self._gather(session, session.tree, missing, evidence)
                        continue
                    if not await _settled(session):
                        raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
                    return edited

    async def _at_hand(self, session: WorkspaceSession, texts: Mapping[str, int | None]) -> bool:
        """Whether texts were in memory all the while; they are now. Of those that must be at no version, because they
        are none just now, all is durable as well."""
        for file_id, version in texts.items():
            file = session.files.get(file_id)
            if file is None:
                await self.router.load(session, file_id)
                return False
            if version is None and file.durable_version != file.state.version:
                await _settled(session)
                return False
        return True

    def _edit_tree(
        self,
        session: WorkspaceSession,
        rights: PathRights,
        author: Author,
        series: str,
        plan: Plan,
        within_rate: bool,
        evidence: Evidence,
    ) -> TreeEdited:
        """The turn. Raises Missing, and then has done nothing."""
        assert session.tree is not None
        root = session.workspace.workspace_id
        planned = plan(session.tree.state.tree, rights)
        for text in (*planned.texts.values(), *planned.anew.values()):
            codec.check_characters(text)
            if len(text) > self.limits.file_length:
                raise CoscribeError(Code.FILE_TOO_LARGE, f"{len(text)} code points, at most {self.limits.file_length}")
        pieces: dict[int | str, list[str]] = {place: self._pieces(text) for place, text in planned.texts.items()}
        pieces |= {file_id: self._pieces(text) for file_id, text in planned.anew.items()}
        texts, others = [piece for parts in pieces.values() for piece in parts], sum(planned.blobs.values())
        session.check_room(texts, others, len(planned.anew), f"{series}:1")
        message = messages.TreeOperation(root, f"{series}:1", author.user_id, list(planned.edits))
        time = self._clock()
        may, sees = may_change(rights), may_read(rights)
        outcome = session.change_tree(
            message, author, may, within_rate, time, self._salts, evidence, sees, planned.blobs
        )
        if isinstance(outcome, Duplicate):
            return TreeEdited(outcome.places[0], NO_EFFECT)
        place_of_it = Place(f"{series}:1", session.last_sequence, 0)
        self._tree_changed(session, outcome)
        number = 1
        for which, parts in pieces.items():
            file = (
                session.files[which]
                if isinstance(which, str)
                else session.open_new(node_id(root, message.operation_id, which))
            )
            state, version = file.state, file.state.version
            old: list[tuple[messages.OperationType, messages.Payload]] = []
            if len(state.content):
                old = [("delete", len(state.content))]
            for kind, payload in [*old, *(("insert", piece) for piece in parts)]:
                number += 1
                edit = messages.Operation(
                    state.file_id, f"{series}:{number}", author.user_id, version, kind, 0, payload
                )
                session.submit(file, edit, author, "owner", True, time, self._salts, evidence, has_room=True)
            self.snapshots.consider(session, file)
        return TreeEdited(place_of_it, outcome)

    def _pieces(self, text: str) -> list[str]:
        """A text in parts that an operation may insert, the last one first: each goes to the beginning of the file."""
        most = self.limits.operation_length
        return [text[at : at + most] for at in range(0, len(text), most)][::-1]

    async def _admitted_to_tree(self, identity: Identity, workspace_id: str) -> tuple[WorkspaceSession, PathRights]:
        """A workspace for somebody who may see it. Errors: ``file_not_found``, those of `DocumentRouter.session`."""
        role, rights, _ = await self._standing(identity, workspace_id)
        if role is None or rights is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no workspace {workspace_id!r}", file_id=workspace_id)
        return await self.router.session(workspace_id), rights

    async def blob_of(self, identity: Identity, workspace_id: str, file_id: str, digest: str) -> Blob:
        """A blob that a file has or had as its content, for somebody who may see the file.

        Errors: ``invalid_file_id``, ``file_not_found``: there is no such, as far as they are to know."""

        def may(tree: Tree, rights: PathRights) -> bool:
            return file_id in tree and may_read(rights)(tree, file_id)

        sees = (await self.look(identity, workspace_id, may)).seen
        with storage_as_refusal():
            session = await self.router.session(workspace_id)
            uses = await self._op_log.blobs(session.workspace.key, [digest])
        blob = next((use.blob for use in uses if sees and use.file_id == file_id), None)
        if blob is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"the file has and had no content {digest}", file_id=file_id)
        return blob

    async def durable(self, identity: Identity, file_id: str) -> Durable:
        """How far a file has come, for somebody who may see it; for those who read its log.

        Errors: ``invalid_file_id``, ``file_not_found``, ``file_damaged``, ``storage_unavailable``.
        """
        codec.check_file_id(file_id)
        with storage_as_refusal():
            _, _, session, file = await self._admitted(identity, file_id)
            generation, state, workspace = self.generation, file.state, session.workspace
            at = Durable(
                workspace.key,
                file.file_key,
                workspace.incarnation,
                state.version,
                state.last_sequence,
                file.last_digest,
            )
            if not await _settled(session):
                raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
            if generation != self.generation:
                await self._admitted(identity, file_id)
            return at

    async def restore(self, identity: Identity, file_id: str, version: int, operation_id: str) -> Place | None:
        """Makes the text of a version of the present text, as one operation; None: it is that text. What others write
        at the same time stays. With an id that was committed before, its place. Errors: those of `replace_text`."""
        with storage_as_refusal():
            place = await self.committed(identity, file_id, operation_id)
        if place is not None:
            return place
        wanted = await self.text(identity, file_id, version)
        now = await self.text(identity, file_id)
        return await self.replace_text(identity, file_id, now.version, wanted.text, operation_id)

    async def text(self, identity: Identity, file_id: str, version: int | None = None) -> TextAt:
        """The text as it is, or as it was at a version, found in the log.

        That goes back ``limits.rebase_steps`` versions at most. Errors: ``invalid_file_id``, ``file_not_found``,
        ``file_damaged``, ``storage_unavailable``; ``base_version_future``: there is no such version;
        ``base_version_too_old``: it lies too far back; ``history_pruned``: it was deleted.
        """
        codec.check_file_id(file_id)
        with storage_as_refusal():
            _, _, session, file = await self._admitted(identity, file_id)
            generation, state = self.generation, file.state
            now = TextAt(str(state.content), state.version, state.last_sequence)
            recent = state.window.entries_after(state.window.floor)
            wanted = now.version if version is None else version
            if not 0 <= wanted <= now.version:
                raise CoscribeError(Code.BASE_VERSION_FUTURE, f"there is no version {wanted}")
            if now.version - wanted > self.limits.rebase_steps:
                raise CoscribeError(Code.BASE_VERSION_TOO_OLD, f"{now.version - wanted} versions back, too far")
            if not await _settled(session):
                raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk did not confirm")
            if wanted < now.version:
                now = await text_at(self._op_log, session.workspace.key, file.file_key, now, recent, wanted)
            if generation != self.generation:
                await self._admitted(identity, file_id)
            return now

    def may_hold(self, text: str) -> bool:
        """Whether a file may hold a text, as far as its length goes."""
        return len(text) <= self.limits.file_length

    def take_in(self, text: str) -> str:
        """A whole text as a file may hold it: CRLF and CR become LF. Errors: ``invalid_text``, ``file_too_large``."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        codec.check_characters(text)
        if len(text) > self.limits.file_length:
            raise CoscribeError(Code.FILE_TOO_LARGE, f"{len(text)} code points, at most {self.limits.file_length}")
        return text

    async def replace_text(
        self,
        identity: Identity,
        file_id: str,
        base_version: int,
        new_text: str,
        operation_id: str,
        *,
        within_rate: bool = True,
    ) -> Place | None:
        """Makes ``new_text`` of the text at ``base_version``, as one operation of what differs; None: nothing does.

        What others have done since stays, as with any edit of an old version. CRLF and CR become LF. An id that this
        author has committed before is taken for the same request, whatever its text: differences are not always found
        alike, so it is for the caller to notice that another text has come under an old id. Errors: those of `text`
        and `edit`; ``invalid_text``, ``file_too_large``, ``operation_too_large``.
        """
        codec.check_file_id(file_id)
        codec.check_operation_id(operation_id)
        new_text = self.take_in(new_text)
        with storage_as_refusal():
            place = await self.committed(identity, file_id, operation_id)
            if place is not None:
                return place
            _, role, _, _ = await self._admitted(identity, file_id)
        if role == "viewer":
            raise CoscribeError(Code.PERMISSION_DENIED, "viewers cannot edit")
        base = await self.text(identity, file_id, base_version)
        edits = await asyncio.to_thread(edits_between, base.text, new_text, codec.MAX_BATCH_EDITS)
        if not edits:
            return None
        message = messages.Operation(file_id, operation_id, identity.user_id, base_version, "batch", 0, edits)
        try:
            (place,) = await self.edit(identity, message, within_rate=within_rate)
        except CoscribeError as error:
            if error.code is not Code.OPERATION_ID_REUSED:
                raise
            # The same request at the same moment, and the two have found different differences.
            with storage_as_refusal():
                place = await self.committed(identity, file_id, operation_id)
            if place is None:
                raise
        return place

    async def _admitted(self, identity: Identity, file_id: str) -> tuple[Author, Role, WorkspaceSession, OpenFile]:
        """A file in memory for somebody who may see it, with the role that counts in this very turn.

        Errors: ``file_not_found``, and those of `DocumentRouter.open`.
        """
        while True:
            generation = self.generation
            role = await self._role(identity, file_id)
            if role is None:
                raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r} for you", file_id=file_id)
            session, file = await self._open_text(file_id)
            author = Author(identity.user_id, await self._reference(identity.user_id))
            if generation == self.generation and session.holds(file):
                return author, role, session, file

    async def _open_text(self, file_id: str) -> tuple[WorkspaceSession, OpenFile]:
        """Errors: ``not_a_text``, and those of `DocumentRouter.open`."""
        session, file = await self.router.open(file_id)
        if not isinstance(file, OpenFile):
            raise CoscribeError(Code.NOT_A_TEXT, file_id=file_id)
        return session, file

    async def _places_without_access(
        self, identity: Identity, message: messages.Operation | messages.Chain
    ) -> list[Place] | None:
        """Where the very same message of theirs is on disk, for somebody who may not see the file any more; None: it is
        not, of which it tells nothing else."""
        if await self.router.home(message.file_id) is None:
            return None
        author = Author(identity.user_id, await self._reference(identity.user_id))
        while True:
            session, file = await self._open_text(message.file_id)
            evidence = Evidence()
            while session.holds(file):
                try:
                    outcome = session.submit(file, message, author, "viewer", True, 0, self._salts, evidence)
                except Missing as missing:
                    await self._gather(session, file, missing, evidence)
                except CoscribeError:
                    return None
                else:
                    known = isinstance(outcome, Duplicate) and await _settled(session)
                    return outcome.places if isinstance(outcome, Duplicate) and known else None

    async def committed(self, identity: Identity, file_id: str, operation_id: str) -> Place | None:
        """Where an operation of theirs is on disk; None: it is not."""
        ask = messages.Join(file_id, in_flight=[operation_id])
        (fate,) = await self._fates_without_access(identity.user_id, ask)
        if fate.server_sequence_id is None or fate.document_version is None:
            return None
        return Place(operation_id, fate.server_sequence_id, fate.document_version)

    # ---- presence

    def move(self, member: Membership, message: messages.SetPresence) -> None:
        """Takes in a cursor; the others are told at the end of the interval."""
        member.participant.document_version = message.document_version
        member.participant.cursor = message.cursor
        file = member.file
        if self._last_cursors is not None and message.cursor is not None and isinstance(file, OpenFile):
            self._last_cursors.moved(file, member.author.reference, message.document_version, message.cursor)
        if not self._moved:
            asyncio.get_running_loop().call_later(PRESENCE_INTERVAL, self._tell_moves)
        self._moved.setdefault(member.file, {})[member.subscriber] = None

    async def _last_cursor(self, session: WorkspaceSession, file: Opened, author: Author) -> KeptCursor | None:
        if self._last_cursors is None or not isinstance(file, OpenFile):
            return None
        return await self._last_cursors.of(file, author.user_id, author.reference, session.durable_sequence)

    async def keep_cursors(self) -> None:
        """Stores where carets are, for when somebody opens a file again."""
        if self._last_cursors is not None:
            await self._last_cursors.flush()

    def _tell_moves(self) -> None:
        moved, self._moved = self._moved, {}
        for file, subscribers in moved.items():
            for subscriber in subscribers:
                participant = file.participants.get(subscriber)
                if participant is not None:
                    self._tell_presence(file, participant, but=None)

    def _tell_presence(self, file: Opened, participant: Participant, *, but: Subscriber | None) -> None:
        if len(file.subscribers) < 2:
            return
        frame = codec.encode(messages.Presence(file.state.file_id, participant))
        for subscriber in tuple(file.subscribers):
            if subscriber is not but:
                subscriber.hint(frame)

    def _tell_left(self, file: Opened, participant: Participant) -> None:
        left = codec.encode(messages.Left(file.state.file_id, participant.connection_id))
        for subscriber in tuple(file.subscribers):
            subscriber.hint(left)

    # ---- redaction

    @asynccontextmanager
    async def alone(self, workspace_id: str) -> AsyncIterator[None]:
        """Within it a workspace is on the disk, whole, and nowhere else: nothing of it is in memory, or written. Who
        has it open joins again and gets a snapshot; whoever else wants it waits. Nothing is lost by that: an edit that
        is on its way is committed or not, and its author asks."""
        async with self.snapshots.sweeping, self.router.shut(workspace_id):
            session = self.router.sessions.get(workspace_id)
            if session is not None:
                for _ in range(CALM_ROUNDS):
                    await self._committer.settled()
                    await self.snapshots.settle()
                    if session.pending is None and session.durable_sequence == session.last_sequence:
                        break
                if not session.lost:
                    session.lose(CoscribeError(Code.HISTORY_REDACTED))
                    self.router.drop(session)
                await self._committer.settled()
                await self.snapshots.settle()
            yield

    # ---- life

    async def drain(self) -> None:
        """Returns when all that was taken in is durable and visible, with a snapshot of what lacked one."""
        await self._committer.drain()
        for session in list(self.router.sessions.values()):
            for file in session.opened():
                if file.operations_since:
                    self.snapshots.take(session, file)
        await self._committer.drain()
        await self.snapshots.settle()
        await self.router.settle()
        await self.keep_cursors()

    async def hand_over(self, is_mine: Callable[[str], bool]) -> None:
        """Lets go of all workspaces that are not this instance's any more, by their ids: takes nothing more in, has all
        that it took in committed and shown, with a snapshot of what lacked one, and then has everybody join again,
        elsewhere. What cannot be committed in a few seconds goes all the same: its authors ask what became of it."""
        moving = [session for session in self.router.sessions.values() if not is_mine(session.workspace.workspace_id)]
        for session in moving:
            session.moving = True
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._committer.settled()
                for session in moving:
                    for file in session.opened():
                        if file.operations_since and not session.lost:
                            self.snapshots.take(session, file)
                await self._committer.settled()
                await self.snapshots.settle()
                await self.keep_cursors()
                await self.router.loaded(lambda workspace_id: not is_mine(workspace_id))
        except (TimeoutError, StorageError) as error:
            log.warning("handed_over_unsaved", error=str(error) or "it took too long", workspaces=len(moving))
        for session in moving:
            self._put_out(session)

    def drop_unowned(self) -> None:
        """Lets go, at once, of all workspaces that this instance must not show any more. What was on its way to the
        disk is committed or not, as the fence says; its authors ask."""
        owning = self._owning
        if owning is not None:
            for session in list(self.router.sessions.values()):
                if not owning.holds(session.workspace.workspace_id):
                    self._put_out(session)

    async def _overtaken(self, session: WorkspaceSession) -> bool:
        """Whether the log goes on behind all that is known of it here: then another one has been its owner, whatever
        this instance takes itself for, and what it has in memory goes. To be asked before somebody who knows of more is
        contradicted. Raises StorageError."""
        after = session.last_sequence
        behind = await self._op_log.read(session.workspace.key, after, through=after + 1, limit=1)
        if behind and behind[0].sequence > session.last_sequence:  # else it is one of its own
            log.error("overtaken", workspace=session.workspace.workspace_id, sequence=session.last_sequence)
            metrics.overtaken.inc()
            self._put_out(session)
        return session.lost

    def _put_out(self, session: WorkspaceSession) -> None:
        if not session.lost:
            session.lose(CoscribeError(Code.MOVED))
            self.router.drop(session, CoscribeError(Code.MOVED))

    async def forget(self, file_id: str) -> None:
        """Lets a document go whose rows are about to be deleted; nobody has the right to open it any more."""
        session = self.router.sessions.get(file_id)
        if session is not None:
            await self._committer.settled()
            self.router.drop(session)
            await self.snapshots.settle()

    def _session_lost(self, session: WorkspaceSession) -> None:
        holds = self._owning is None or self._owning.holds(session.workspace.workspace_id)
        self.router.drop(session, None if holds else CoscribeError(Code.MOVED))


def _cursor_in(file: Opened, cursor: KeptCursor | None) -> messages.Cursor | UnsetType:
    return UNSET if cursor is None or not isinstance(file, OpenFile) else cursor.within(file.state)


def _place(tree: Tree, file: OpenFile) -> bytes:
    """The message that says where a text is."""
    file_id = file.state.file_id
    return codec.encode(messages.Moved(file_id, tree.path(file_id), not tree.is_live(file_id)))


def _sees_place(tree: Tree, file: OpenFile, subscriber: Subscriber) -> bool:
    """Whether somebody who has a text open sees it in the tree."""
    rights = file.views.get(subscriber)
    return file.state.file_id in tree and (rights is None or is_shown(tree, rights, file.state.file_id))


def _check_versions(session: WorkspaceSession, texts: Mapping[str, int | None]) -> None:
    """Errors: ``precondition_failed``."""
    for file_id, version in texts.items():
        now = session.files[file_id].state.version
        if version not in (None, now):
            raise CoscribeError(Code.PRECONDITION_FAILED, f"the text is at version {now}", file_id=file_id)


def _settled(session: WorkspaceSession) -> asyncio.Future[bool]:
    """True when all that the session has taken in by now is durable; False when it is lost."""
    settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    session.settle(lambda durable: None if settled.done() else settled.set_result(durable))
    return settled


@contextmanager
def storage_as_refusal() -> Iterator[None]:
    """Turns a failure of storage into the error that a caller is told."""
    try:
        yield
    except StorageError as error:
        log.error("storage_failed", error=str(error))
        raise CoscribeError(Code.STORAGE_UNAVAILABLE) from error
