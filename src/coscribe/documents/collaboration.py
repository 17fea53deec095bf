"""Collaboration: what a gateway asks of the documents. Joining, submitting, catching up; nothing here knows sockets.

The life of an operation, top to bottom:

    gateway     session is authenticated, message decoded            gateway/connection.py
    here        submit                                               documents/collaboration.py
    turn        duplicate? rights? base? rebase, apply, number       documents/session.py, core/
    group       join the commit group, commit                        documents/committer.py, persistence/
    actions     broadcast (the author's ack is in it), direct acks   documents/session.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coscribe.core.dedup import Answer, split_id
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed
from coscribe.documents.committer import Committer
from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.ports import Access, Identity, OpLog, SnapshotRepo, Subscriber
from coscribe.documents.session import Author, Duplicate, Evidence, Missing, OpenFile, WorkspaceSession
from coscribe.documents.snapshot_manager import SnapshotManager, SnapshotPolicy
from coscribe.metrics import metrics
from coscribe.model import GENESIS, committed_from, content_hash
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Lineage, OperationFate, Participant, Role

LOG_PAGE = 2_000
"""Log entries read at a time for an edit whose base has left the window."""

RESEND_PAGE = 500
"""Operations in one answer to resend."""

MAX_REFERENCES = 100_000
"""Users whose reference in the log is remembered."""

PRESENCE_INTERVAL = 0.05
"""Seconds over which cursor moves of a file are gathered into one round of messages."""


@dataclass(slots=True)
class Membership:
    """One subscriber's hold on one file. ``role`` is asked again by whoever changes rights."""

    session: WorkspaceSession
    file: OpenFile
    author: Author
    role: Role
    subscriber: Subscriber
    participant: Participant
    snapshot_sequence: int = -1
    live: bool = False
    left: bool = False


class Collaboration:
    """The pipeline with its storage; made once, by the composition root.

    ``clock`` gives microseconds since 1970, ``now`` monotonic seconds, ``salts`` so many fresh 16-byte salts.
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
    ) -> None:
        self.limits = limits
        self._op_log = op_log
        self._access = access
        self._clock = clock
        self._salts = salts
        self._committer = Committer(op_log, self._session_lost, max_backlog)
        self.router = DocumentRouter(op_log, snapshots, limits, self._committer, now)
        self.snapshots = SnapshotManager(snapshots, self.router, policy, self._committer.settled, clock, now)
        self._moved: dict[OpenFile, dict[Subscriber, None]] = {}
        self._references: dict[str, int] = {}

    # ---- operations

    def submit(
        self,
        member: Membership,
        message: messages.Operation | messages.Chain,
        evidence: Evidence,
        *,
        within_rate: bool,
    ) -> None:
        """One message through the pipeline. Errors and Missing: see `WorkspaceSession.submit`."""
        session, file = member.session, member.file
        if session.lost:
            raise CoscribeError(Code.NOT_JOINED, "the file was let go; join it again")
        outcome = session.submit(
            file, message, member.author, member.role, within_rate, self._clock(), self._salts, evidence
        )
        if isinstance(outcome, Duplicate):
            metrics.duplicates.inc(len(outcome.places))
            ack = codec.encode(messages.Ack(file.state.file_id, outcome.places))
            session.act(lambda: member.subscriber.deliver(ack))
        else:
            self.snapshots.consider(session, file)

    async def gather(self, member: Membership, missing: Missing, evidence: Evidence) -> None:
        """Asks storage for what a turn was missing and adds it to the evidence. Errors: ``storage_unavailable``."""
        await self._gather(member.session, member.file, missing, evidence)

    async def _gather(self, session: WorkspaceSession, file: OpenFile, missing: Missing, evidence: Evidence) -> None:
        key = session.workspace.key
        for operation_id in missing.operation_ids:
            as_of = session.durable_sequence
            series, _ = split_id(operation_id)
            record = await self._op_log.find(key, operation_id)
            session.registry.learn(series, await self._op_log.highest(key, series))
            evidence.answers[operation_id] = Answer(record, as_of)
        if missing.after_version >= 0:
            await self._gather_changes(session, file, missing.after_version, evidence)

    async def _gather_changes(
        self, session: WorkspaceSession, file: OpenFile, after_version: int, evidence: Evidence
    ) -> None:
        """All that is durable and changed the file since a version; no-ops in between are passed over."""
        durable = session.durable_sequence
        rows = await self._op_log.read_versions(file.file_key, after_version, durable, LOG_PAGE)
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
        user_id = identity.user_id
        role = await self._admitted(identity, message.file_id)
        author = Author(user_id, await self._reference(user_id))
        participant = Participant(connection_id, user_id, identity.display_name, identity.color, role)
        while True:
            session, file = await self.router.open(message.file_id)
            evidence = Evidence()
            known = message.have is not None and await self._knows(session, file, message.have)
            fates = await self._fates(session, file, user_id, message, evidence, known)
            if not session.lost and fates is not None:
                break
        member = Membership(session, file, author, role, subscriber, participant)
        # From here to the end is one turn: the fates, the text and the tail are of one moment.
        file.participants[subscriber] = participant
        have = message.have
        if known and have is not None and have.server_sequence_id >= file.state.window.floor:
            self._go_live(member, have.server_sequence_id, fates)
        else:
            self._send_snapshot(member, fates, lineage_lost=have is not None and not known)
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
        file = member.file
        member.left = True
        file.subscribers.pop(member.subscriber, None)
        if file.participants.pop(member.subscriber, None) is not None:
            left = codec.encode(messages.Left(file.state.file_id, member.participant.connection_id))
            for subscriber in tuple(file.subscribers):
                subscriber.hint(left)

    async def _reference(self, user_id: str) -> int:
        reference = self._references.get(user_id)
        if reference is None:
            reference = await self._op_log.author(user_id)
            if len(self._references) >= MAX_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[user_id] = reference
        return reference

    async def _admitted(self, identity: Identity, file_id: str) -> Role:
        role = await self._access.role(identity, file_id)
        if role is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r} for you")
        if file_id not in self.router.sessions and not await self._op_log.exists(file_id):
            if not await self._access.may_create(identity, file_id):
                raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r}")
            await self._op_log.create(file_id, file_id, file_id, self._clock())
        return role

    async def _knows(self, session: WorkspaceSession, file: OpenFile, have: Lineage) -> bool:
        """Whether what a replica has is a point of this log's past."""
        sequence = have.server_sequence_id
        if have.incarnation != session.workspace.incarnation or sequence > session.durable_sequence:
            return False
        if sequence == 0:
            return have.chain_hash == GENESIS.hex()
        for entry in file.state.window.entries_after(sequence - 1)[:1]:
            if entry.sequence == sequence:
                return entry.digest.hex() == have.chain_hash
        rows = await self._op_log.read(session.workspace.key, sequence - 1, through=sequence, limit=1)
        return bool(rows) and rows[0].digest.hex() == have.chain_hash and rows[0].file_key == file.file_key

    async def _fates(
        self,
        session: WorkspaceSession,
        file: OpenFile,
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
                    elif message.have is not None and not known:
                        fates.append(OperationFate(operation_id, "unknowable"))
                    else:
                        fates.append(OperationFate(operation_id, "notCommitted"))
                return fates
            except Missing as missing:
                await self._gather(session, file, missing, evidence)
        return None

    def _send_snapshot(self, member: Membership, fates: list[OperationFate], *, lineage_lost: bool) -> None:
        session, state = member.session, member.file.state
        member.snapshot_sequence = state.last_sequence
        frame = codec.snapshot_frame(
            messages.Snapshot(
                state.file_id,
                state.version,
                state.last_sequence,
                session.workspace.incarnation,
                member.file.last_digest.hex(),
                member.role,
                fates,
                lineage_lost,
                "",
            ),
            member.file.content_json(),
        )
        session.act(lambda: None if member.left else member.subscriber.deliver(frame))

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
        )
        last_sequence = state.last_sequence

        def go_live() -> None:
            if member.left:  # it may have, while this waited for the disk
                return
            if tail:
                member.subscriber.deliver(_tail_frame(state.file_id, after, tail))
            member.subscriber.deliver(codec.encode(live), last_sequence)
            file.subscribers[member.subscriber] = None
            self._tell_presence(file, member.participant, but=member.subscriber)

        session.act(go_live)

    # ---- catching up

    def catch_up(self, member: Membership, after: int) -> bool:
        """Delivers what is durable behind ``after``, from memory. False: that is no longer all there."""
        window = member.file.state.window
        if after < window.floor:
            return False
        tail = [entry for entry in window.entries_after(after) if entry.sequence <= member.session.durable_sequence]
        if tail:
            member.subscriber.deliver(_tail_frame(member.file.state.file_id, after, tail), tail[-1].sequence)
        return True

    async def resend(self, member: Membership, message: messages.Resend) -> bytes:
        """The frame that answers a resend. Errors: ``history_unavailable``."""
        session, file, have = member.session, member.file, message.have
        if not await self._knows(session, file, have):
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
        encoded = [codec.encode_entry(committed_from(row)) for row in rows]
        more = len(rows) == RESEND_PAGE and rows[-1].sequence < through
        return codec.resent_frame(file.state.file_id, have.server_sequence_id, last, more, encoded)

    def checksum(self, member: Membership) -> None:
        """Sends the hash of the text, in order with the operations around it."""
        state = member.file.state
        digest = content_hash(str(state.content))
        frame = codec.encode(messages.Checksum(state.file_id, state.version, state.last_sequence, digest.hex()))
        member.session.act(lambda: member.subscriber.deliver(frame))

    # ---- presence

    def move(self, member: Membership, message: messages.SetPresence) -> None:
        """Takes in a cursor; the others are told at the end of the interval."""
        member.participant.document_version = message.document_version
        member.participant.cursor = message.cursor
        if not self._moved:
            asyncio.get_running_loop().call_later(PRESENCE_INTERVAL, self._tell_moves)
        self._moved.setdefault(member.file, {})[member.subscriber] = None

    def _tell_moves(self) -> None:
        moved, self._moved = self._moved, {}
        for file, subscribers in moved.items():
            for subscriber in subscribers:
                participant = file.participants.get(subscriber)
                if participant is not None:
                    self._tell_presence(file, participant, but=None)

    def _tell_presence(self, file: OpenFile, participant: Participant, *, but: Subscriber | None) -> None:
        if len(file.subscribers) < 2:
            return
        frame = codec.encode(messages.Presence(file.state.file_id, participant))
        for subscriber in tuple(file.subscribers):
            if subscriber is not but:
                subscriber.hint(frame)

    # ---- life

    async def drain(self) -> None:
        """Returns when all that was taken in is durable and visible, with a snapshot of what lacked one."""
        await self._committer.drain()
        for session in list(self.router.sessions.values()):
            for file in session.files.values():
                if file.operations_since:
                    self.snapshots.take(session, file)
        await self._committer.drain()
        await self.snapshots.settle()

    def _session_lost(self, session: WorkspaceSession) -> None:
        self.router.drop(session)


def _tail_frame(file_id: str, after: int, tail: Sequence[Committed]) -> bytes:
    return codec.committed_frame(file_id, after, tail[-1].digest, [codec.encode_entry(entry) for entry in tail])
