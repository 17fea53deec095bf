"""Document: one open file of a client. The states of the protocol around a `Replica`.

      offline --connected--> joining --snapshot, no past to bridge--> live
                                |                                       ^
                                +--snapshot and pending edits--> bridging (resend) --+
                                +--tail------------------------------------------- -+

                        whatever the state --access is gone, and the fates are known--> ended

*Bridging*: the server sent a snapshot at T, our pending edits (and what we could undo) are based on S < T. The
operations between are asked for and carried through them; then the snapshot is adopted below them.

*Early*: operations that came before those they follow. They are kept for a moment, as the others may only have been
overtaken; then what lies between is asked for (resend), and if that does not come either the file is joined anew.

*Ended*: access was taken away while we were live, or before we came back. What is in flight may be committed all the
same, so one more join asks for its fate, over this connection or the next; the refusal tells. The rest is a patch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from coscribe.client.following import Following
from coscribe.client.pending import PendingStore, ids_in
from coscribe.client.replica import Applied, Gap, NotOurs, OutOfStep, Pending, Replica
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation, to_edits
from coscribe.model import content_hash
from coscribe.protocol import codec, messages

if TYPE_CHECKING:
    from coscribe.client.client import Client

MAX_UNDO_BRIDGE = 10_000
"""Sequences over which undo is carried where nothing is pending; after a longer absence there is nothing to undo."""

MAX_CHANGES = 10_000
"""Changes that wait for a slow consumer of `Document.changes`; beyond that it is told to read the text anew."""


MAX_SEQUENCE = 2**53 - 1
"""Up to wherever the log goes."""

MAX_EARLY = 64
"""Messages that came early and are kept; where there are more the file is joined anew."""

EARLY_SECONDS = 0.05
"""How long operations that were overtaken may take before they are asked for."""

ANSWER_SECONDS = 5.0
"""How long the answer to that may take before the file is joined anew."""

_JOINED_TWICE = (Code.ALREADY_JOINED, Code.SNAPSHOT_NOT_SENT)
"""A join came while another one still stood, as it may after `Rejoin` or a lost turn: leave, and join once."""


class Change(NamedTuple):
    """Something happened to the text: edits (position, deleted, inserted) by ``author`` ("" is ourselves).

    ``edits`` None: the text is another one now; read it whole.
    """

    edits: list[tuple[int, int, str]] | None
    author: str


class Patch(NamedTuple):
    """Pending edits that cannot be applied any more, for their author to use otherwise; and why."""

    code: str
    detail: str
    edits: list[list[tuple[int, int, str]]]


class AccessEnded(CoscribeError):
    """There is no access to the file, or not any more. ``patches``: all that was typed and is not in it."""

    def __init__(self, error: CoscribeError, patches: list[Patch]) -> None:
        super().__init__(error.code, error.detail, file_id=error.file_id)
        self.patches = patches


class State(Enum):
    """Where a document is in the protocol."""

    OFFLINE = "offline"
    JOINING = "joining"
    BRIDGING = "bridging"
    LIVE = "live"
    ENDED = "ended"


class Document:
    """Made by `Client.open`. Edits apply to ``text`` at once and reach the server when they can."""

    def __init__(self, client: Client, replica: Replica) -> None:
        self._client = client
        self._replica = replica
        self._pending_store: PendingStore | None = None
        self._state = State.OFFLINE
        self._snapshot: messages.Snapshot | None = None
        self._afresh = False
        self._holds_refused = False
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[Change], None]] = []
        self._failed: CoscribeError | None = None
        self._removed: CoscribeError | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self._joins_again = False
        self._joins_refused = 0
        self._early: dict[int, messages.Committed] = {}
        self._missing: asyncio.TimerHandle | None = None
        self._check_wanted = False
        self._following = None if client.tracer is None else Following(client.tracer, replica.file_id)
        self.role: messages.Role = "viewer"
        self.participants: dict[str, messages.Participant] = {}
        self.patches: list[Patch] = []
        self.heals = 0

    # ---- what a user of the library sees

    @property
    def file_id(self) -> str:
        return self._replica.file_id

    @property
    def text(self) -> str:
        """The text with our own pending edits in it."""
        return self._replica.text

    @property
    def version(self) -> int:
        return self._replica.version

    @property
    def sequence(self) -> int:
        return self._replica.sequence

    @property
    def state(self) -> State:
        return self._state

    @property
    def pending(self) -> int:
        """How many of our operations are not acknowledged."""
        return len(self._replica.pending)

    def insert(self, position: int, text: str) -> None:
        self.edit([(position, 0, text)])

    def delete(self, position: int, count: int) -> None:
        self.edit([(position, count, "")])

    def replace(self, position: int, count: int, text: str) -> None:
        self.edit([(position, count, text)])

    def edit(self, edits: Sequence[tuple[int, int, str]]) -> None:
        """Several edits (position, deleted, inserted) against the present text, as one. Raises ValueError, also while
        the text is fetched anew behind a refusal (`live` waits for it); and why access has ended, if it has."""
        if self._state is State.ENDED and self._failed is not None:
            raise self._failed
        if self._holds_refused:
            raise ValueError("the text still holds what the server has refused; it is being fetched anew")
        end = 0
        for position, deleted, text in edits:
            if position < end or deleted < 0:
                raise ValueError("edits go from left to right and do not overlap; nothing in them is negative")
            end = position + deleted
            if "\0" in text or "\r" in text or any("\ud800" <= char <= "\udfff" for char in text if not text.isascii()):
                raise ValueError("no NUL, no CR (use LF) and no lone surrogates in a text")
        self._done(self._replica.edit(edits))

    def undo(self) -> bool:
        """Takes back our own latest edit, whatever others have done since. False: there is none."""
        return self._done(self._replica.undo())

    def redo(self) -> bool:
        return self._done(self._replica.redo())

    def set_cursor(self, anchor: int, head: int) -> None:
        """Shows the others where we are."""
        if self._state is State.LIVE:
            cursor = messages.Cursor(anchor, head)
            self._client.send(codec.encode(messages.SetPresence(self.file_id, self._replica.version, cursor)))

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls ``listener`` after every change; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncIterator[Change]]:
        """``async with document.changes() as changes: async for change in changes: ...``"""
        queue: asyncio.Queue[Change] = asyncio.Queue(MAX_CHANGES)

        def enqueue(change: Change) -> None:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                change = Change(None, "")
            queue.put_nowait(change)

        async def drain() -> AsyncIterator[Change]:
            while True:
                yield await queue.get()

        stop = self.listen(enqueue)
        try:
            yield drain()
        finally:
            stop()

    async def synced(self) -> None:
        """Returns when we are live and everything of ours is durable on the server. Errors: what made it fail."""
        await self._until(lambda: self._state is State.LIVE and self._replica.is_idle)

    async def live(self) -> None:
        await self._until(lambda: self._state is State.LIVE)

    async def reached(self, sequence: int) -> None:
        """Returns when the replica is at ``sequence`` or beyond."""
        await self._until(lambda: self._replica.sequence >= sequence)

    async def room(self, pending: int) -> None:
        """Returns when fewer than ``pending`` of our operations wait for the server: for whoever edits by program."""
        await self._until(lambda: len(self._replica.in_flight) + len(self._replica.queue) < pending)

    def check(self) -> None:
        """Compares with the server's hash as soon as nothing is pending; a difference heals itself."""
        self._check_wanted = True
        self._ask_checksum()

    async def close(self) -> None:
        """Leaves the file. What is pending stays in the pending file, if there is one."""
        if self._state not in (State.OFFLINE, State.ENDED):
            self._client.send(codec.encode(messages.Leave(self.file_id)))
        self._client.forget(self)
        self.disconnected()

    # ---- what the client tells it

    def connected(self) -> None:
        """A connection is open and has been welcomed."""
        if self._state is State.ENDED:
            return
        replica = self._replica
        if not replica.user_id:
            replica.user_id = self._client.user_id
            self._pending_store = self._client.pending_store(self.file_id)
            if self._pending_store is not None:
                self._pending_store.load(replica)
        self._join()

    def disconnected(self) -> None:
        if self._state is not State.ENDED:
            self._state = State.OFFLINE
        self._snapshot = None
        self.participants.clear()
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None
        self._joins_again = False
        self._joins_refused = 0
        self._forget_early()
        self._changed.set()

    def fail(self, error: CoscribeError) -> None:
        if self._state is not State.ENDED:
            self._failed = error
            self._changed.set()

    def receive(self, message: messages.ServerMessage) -> None:
        """A message for this file."""
        if self._state is State.ENDED:
            return
        try:
            self._receive(message)
        except Gap:
            if self._state is State.LIVE:
                self._keep_early(message)
        except NotOurs:
            self._hand_back(Code.OPERATION_ID_REUSED, "a copy of this device has used the id")
            self._heal()
        except OutOfStep:
            self._heal()
        self._changed.set()

    # ---- joining

    def _join(self) -> None:
        replica = self._replica
        self._state = State.JOINING
        self._snapshot = None
        self._forget_early()
        have = None
        if replica.buffer is not None and replica.incarnation and not self._afresh:
            have = messages.Have(replica.incarnation, replica.sequence, replica.chain_hash, replica.version)
        in_flight = [pending.operation_id for pending in replica.in_flight]
        self._client.send(codec.encode(messages.Join(self.file_id, have, in_flight)))

    def _leave_and_join(self) -> None:
        self._client.send(codec.encode(messages.Leave(self.file_id)))
        self._join()

    def _join_later(self) -> None:
        self._state = State.JOINING
        if not self._joins_again:
            self._joins_again = True
            self._client.retry_later(self._join_again, self._joins_refused)
            self._joins_refused += 1

    def _join_again(self) -> None:
        self._joins_again = False
        if self._state is State.JOINING:
            self._join()

    def _heal(self) -> None:
        """Our text is not what it should be: take the server's, keep what is pending."""
        self.heals += 1
        self._afresh = True
        self._leave_and_join()

    def _receive(self, message: messages.ServerMessage) -> None:
        if isinstance(message, messages.Committed):
            if self._state is not State.BRIDGING:
                self._advance(message.operations, message.previous_sequence_id, message.chain_hash)
                self._go_on_with_early()
        elif isinstance(message, messages.Presence):
            self.participants[message.participant.connection_id] = message.participant
        elif isinstance(message, messages.Left):
            self.participants.pop(message.connection_id, None)
        elif isinstance(message, messages.Snapshot):
            self._bridge(message)
        elif isinstance(message, messages.Resent):
            if self._state is State.LIVE:
                self._fill_gap(message)
            else:
                self._continue_bridge(message)
        elif isinstance(message, messages.Live):
            self._go_live(message)
        elif isinstance(message, messages.Checksum):
            self._compare(message)
        elif isinstance(message, messages.Rejoin):
            if message.reason == Code.STORAGE_UNAVAILABLE.value.code:
                self._join_later()
            else:
                self._join()
        elif isinstance(message, messages.RoleChanged):
            self.role = message.role
        elif isinstance(message, messages.Error):
            self._refused(message)
        elif isinstance(message, messages.Ack):
            self._acknowledged(message)

    def _advance(self, operations: list[messages.CommittedOperation], previous: int, chain_hash: str) -> None:
        was_pending = bool(self._replica.in_flight)
        for change in self._take_in(operations, previous, chain_hash):
            self._tell(change)
        if was_pending and not self._replica.in_flight:
            if self._state is State.LIVE:
                self._send_next()
            elif self._replica.is_idle:
                self._save()
        if self._check_wanted:
            self._ask_checksum()

    def _take_in(self, operations: list[messages.CommittedOperation], previous: int, chain_hash: str) -> list[Applied]:
        replica, following = self._replica, self._following
        if following is None:
            return replica.receive(operations, previous, chain_hash)
        began, behind = following.now(), replica.sequence
        mine = {pending.operation_id for pending in replica.in_flight}
        applied = replica.receive(operations, previous, chain_hash)
        following.arrived(operations, behind, mine, began)
        return applied

    # ---- what came early

    def _keep_early(self, message: messages.ServerMessage) -> None:
        """There is a gap before the message. One that tells of it and is no operation is not kept."""
        if len(self._early) >= MAX_EARLY:
            self._leave_and_join()
            return
        if isinstance(message, messages.Committed):
            self._early[message.previous_sequence_id] = message
        if self._missing is None:
            self._missing = asyncio.get_running_loop().call_later(EARLY_SECONDS, self._ask_missing)

    def _ask_missing(self) -> None:
        through = min(self._early, default=MAX_SEQUENCE)
        self._client.send(codec.encode(messages.Resend(self.file_id, self._replica.lineage(), through)))
        self._missing = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._leave_and_join)

    def _fill_gap(self, message: messages.Resent) -> None:
        self._advance(message.operations, message.previous_sequence_id, message.chain_hash)
        self._go_on_with_early()
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None
        if message.more or self._early:
            self._ask_missing()

    def _go_on_with_early(self) -> None:
        while self._early and (first := min(self._early)) <= self._replica.sequence:
            message = self._early.pop(first)
            self._advance(message.operations, first, message.chain_hash)
            if not self._early and self._missing is not None:
                self._missing.cancel()
                self._missing = None

    def _forget_early(self) -> None:
        self._early.clear()
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None

    # ---- bridging

    def _bridge(self, snapshot: messages.Snapshot) -> None:
        """A snapshot came. Are there pending edits that have to be carried to it first?"""
        replica = self._replica
        self.role = snapshot.role
        if snapshot.lineage_lost or (replica.incarnation and replica.incarnation != snapshot.incarnation):
            detail = "the server's history is another one now, or was pruned since"
            self._hand_back(Code.HISTORY_UNAVAILABLE, detail, _committed(snapshot.fates))
        behind = snapshot.snapshot_sequence_id - replica.sequence
        if replica.is_idle and behind > MAX_UNDO_BRIDGE:
            replica.forget_undo()
        if not behind or (replica.is_idle and not replica.can_take_back):
            self._adopt(snapshot)
            return
        self._state = State.BRIDGING
        self._snapshot = snapshot
        if self._afresh:
            replica.buffer = None
        self._ask_resend(snapshot)

    def _ask_resend(self, snapshot: messages.Snapshot) -> None:
        ask = messages.Resend(self.file_id, self._replica.lineage(), snapshot.snapshot_sequence_id)
        self._client.send(codec.encode(ask))

    def _continue_bridge(self, message: messages.Resent) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        applied = self._take_in(message.operations, message.previous_sequence_id, message.chain_hash)
        if self._replica.buffer is not None:
            for change in applied:
                self._tell(change)
        # An answer may be to what was asked for an older snapshot: what is pending is not where this one is then.
        missing = snapshot.snapshot_sequence_id - self._replica.sequence
        if missing < 0:
            raise OutOfStep
        if not missing:
            self._adopt(snapshot)
        elif message.more:
            self._ask_resend(snapshot)

    def _adopt(self, snapshot: messages.Snapshot) -> None:
        self._snapshot = None
        try:
            self._replica.adopt(snapshot)
        except OutOfStep:
            self._hand_back(Code.POSITION_OUT_OF_RANGE, "the edits do not fit the server's text")
            self._replica.adopt(snapshot)
        self._afresh = self._holds_refused = False
        self._state = State.JOINING
        self._tell(None)
        self._client.send(codec.encode(messages.SnapshotApplied(self.file_id, snapshot.snapshot_sequence_id)))

    def _go_live(self, message: messages.Live) -> None:
        replica = self._replica
        if message.server_sequence_id != replica.sequence:
            raise Gap
        replica.incarnation = message.incarnation
        self.role = message.role
        self.participants = {participant.connection_id: participant for participant in message.participants}
        self._state = State.LIVE
        self._joins_refused = 0
        self._removed = None
        if replica.in_flight:
            self._client.send(replica.message)
        else:
            self._send_next()
        if self._check_wanted:
            self._ask_checksum()

    # ---- sending

    def _done(self, applied: Applied | None) -> bool:
        if applied is None:
            return False
        if self._following is not None:
            self._following.typed(self._replica.queue[-1])
        if self._state is State.LIVE:
            self._send_next()
        else:
            self._save()
        self._tell(applied)
        return True

    def _send_next(self) -> None:
        """Sends what is queued, unless something is in flight; first of all it is put into the pending file."""
        limits = self._client.limits
        assert limits is not None
        message = self._replica.outgoing(limits.chain_operations, limits.message_bytes)
        if message is not None and len(message) > limits.message_bytes:
            self._hand_back(Code.MESSAGE_TOO_LARGE, f"{len(message)} bytes, the server takes {limits.message_bytes}")
            self._heal()
            return
        self._save()
        if message is not None:
            if self._following is not None:
                self._following.sent(self._replica.in_flight, self._replica.queue, len(message))
            self._client.send(message)

    def _send_again(self) -> None:
        self._retrying = None
        if self._state is State.LIVE and self._replica.in_flight:
            self._client.send(self._replica.message)

    def _acknowledged(self, message: messages.Ack) -> None:
        """A direct acknowledgement: of something that our text holds already, though not as ours."""
        mine = {pending.operation_id for pending in self._replica.in_flight}
        if any(
            place.operation_id in mine and place.server_sequence_id <= self.sequence for place in message.operations
        ):
            self._heal()

    def _refused(self, message: messages.Error) -> None:
        # A refusal may name an operation of the message that is acknowledged meanwhile: a copy of this device has sent
        # it alone, and the rest of the chain will never be taken.
        in_flight = self._replica.in_flight
        if message.operation_id is not None and not (
            in_flight and message.operation_id in ids_in(self._replica.message)
        ):
            return
        code = next((code for code in Code if code.value.code == message.code), Code.INTERNAL)
        if message.operation_id is None:
            self._file_refused(CoscribeError(code, message.detail, file_id=self.file_id), message)
        elif message.retry == "same":
            if self._retrying is None:
                self._retrying = asyncio.get_running_loop().call_later(0.25, self._send_again)
        elif message.retry == "rejoin":
            self._join_later()
        else:
            self._hand_back(code, message.detail)
            self._heal()

    def _file_refused(self, error: CoscribeError, message: messages.Error) -> None:
        """Something about the file as a whole was refused."""
        if error.code is Code.ACCESS_REMOVED:
            self._removed = error
            if self._replica.in_flight:
                self._join()
            else:
                self._end(error)
        elif self._state in (State.JOINING, State.BRIDGING) and error.code in _JOINED_TWICE:
            self._leave_and_join()
        elif self._state is State.BRIDGING and message.retry == "never":
            fates = self._snapshot.fates if self._snapshot is not None else ()
            self._hand_back(error.code, error.detail, _committed(fates))
            self._heal()
        elif self._missing is not None:
            self._leave_and_join()
        elif self._state is State.JOINING and error.code is Code.FILE_NOT_FOUND:
            self._end(self._removed or error, message.fates or [])
        elif self._state is State.JOINING and message.retry == "never":
            self.fail(error)
        elif self._state in (State.JOINING, State.BRIDGING):
            self._join_later()

    def _end(self, error: CoscribeError, fates: Sequence[messages.OperationFate] = ()) -> None:
        """Access is gone: what is not in the log goes back to its author, and nothing follows."""
        self._hand_back(error.code, error.detail, _committed(fates))
        self._forget_early()
        self.role = "viewer"
        self.participants.clear()
        self._failed = AccessEnded(error, self.patches)
        self._state = State.ENDED

    def _hand_back(self, code: Code, detail: str, committed: Collection[str] = ()) -> None:
        """Pending edits that cannot be applied any more become a patch for their author. Our text still holds them, so
        nobody can edit until the server's is there."""
        pending = self._replica.give_up()
        self._holds_refused = self._holds_refused or bool(pending)
        lost: list[Pending] = [item for item in pending if item.operation_id not in committed]
        if lost:
            self.patches.append(Patch(code.value.code, detail, [to_edits(pending.operation) for pending in lost]))
        self._save()

    def _save(self) -> None:
        if self._pending_store is not None:
            self._pending_store.save(self._replica)

    # ---- checking

    def _ask_checksum(self) -> None:
        if self._state is State.LIVE and self._replica.is_idle:
            self._client.send(codec.encode(messages.GetChecksum(self.file_id)))

    def _compare(self, message: messages.Checksum) -> None:
        replica = self._replica
        if self._state is not State.LIVE:
            return
        if replica.sequence < message.server_sequence_id:
            raise Gap
        if not replica.is_idle or replica.sequence != message.server_sequence_id:
            return
        self._check_wanted = False
        if content_hash(replica.text).hex() != message.content_hash or replica.version != message.document_version:
            self._heal()

    # ---- telling

    def _tell(self, applied: Applied | None) -> None:
        if self._listeners:
            operation: Operation | None = applied.operation if applied is not None else None
            edits = to_edits(operation) if operation is not None else None
            change = Change(edits, applied.author if applied is not None else "")
            for listener in tuple(self._listeners):
                listener(change)

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._failed is not None:
                raise self._failed
            self._changed.clear()
            await self._changed.wait()


def _committed(fates: Sequence[messages.OperationFate]) -> set[str]:
    """The ids in flight that are in the log: they are nothing to hand back."""
    return {fate.operation_id for fate in fates if fate.fate == "committed"}
