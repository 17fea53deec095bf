"""Document: one open text of a client. What of the states of the protocol (`opened`) is about texts; a `Replica`.

      joining --snapshot, no past to bridge--> live
         |                                       ^
         +--snapshot and pending edits--> bridging (resend) --+
         +--tail------------------------------------------- -+

*Bridging*: the server sent a snapshot at T, our pending edits (and what we could undo) are based on S < T. The
operations between are asked for and carried through them; then the snapshot is adopted below them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from coscribe.client.following import Following
from coscribe.client.opened import Opened, State, committed_in
from coscribe.client.pending import ids_in
from coscribe.client.replica import Applied, Gap, OutOfStep, Pending, Replica
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


class Document(Opened[Replica]):
    """Made by `Client.open`. Edits apply to ``text`` at once and reach the server when they can."""

    def __init__(self, client: Client, replica: Replica) -> None:
        super().__init__(client, replica)
        self._snapshot: messages.Snapshot | None = None
        self._holds_refused = False
        self._listeners: list[Callable[[Change], None]] = []
        self._check_wanted = False
        self._following = None if client.tracer is None else Following(client.tracer, replica.file_id)
        self._wants_cursor = True
        self.last_cursor: tuple[int, int] | None = None
        """Anchor and head of our selection when we last had the file open, on whatever device; in the text as it is
        when it gets live for the first time. The others are shown it there, until `set_cursor` says otherwise."""
        self.patches: list[Patch] = []
        self.path = ""
        self.is_trashed = False
        self.on_moved: Callable[[], None] = lambda: None
        """Called when ``path`` or ``is_trashed`` is another one: where it is in its workspace, if it is in one."""

    # ---- what a user of the library sees

    @property
    def text(self) -> str:
        """The text with our own pending edits in it."""
        return self._replica.text

    @property
    def version(self) -> int:
        return self._replica.version

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

    def edit(self, edits: Sequence[tuple[int, int, str]], *, origin: messages.Origin | None = None) -> None:
        """Several edits (position, deleted, inserted) against the present text, as one. ``origin``: where what they
        insert is from, for the log. Raises ValueError, also while the text is fetched anew behind a refusal (`live`
        waits for it); and why access has ended, if it has."""
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
        self._done(self._replica.edit(edits, origin))

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

    async def room(self, pending: int) -> None:
        """Returns when fewer than ``pending`` of our operations wait for the server: for whoever edits by program."""
        await self._until(lambda: len(self._replica.in_flight) + len(self._replica.queue) < pending)

    def check(self) -> None:
        """Compares with the server's hash as soon as nothing is pending; a difference heals itself."""
        self._check_wanted = True
        self._ask_checksum()

    # ---- what the client tells it

    def begin_empty(self, incarnation: str) -> None:
        """The file was made here, and the server has not heard of it: nothing is in it but what we type."""
        self.attach()
        self._replica.begin_empty(incarnation)

    def disconnected(self) -> None:
        self._snapshot = None
        super().disconnected()

    # ---- joining

    def _join(self) -> None:
        self._snapshot = None
        super()._join()

    def _have(self) -> messages.Have | None:
        replica = self._replica
        if replica.buffer is None or not replica.incarnation:
            return None
        return messages.Have(replica.incarnation, replica.sequence, replica.chain_hash, replica.version)

    def _lineage(self) -> messages.Lineage:
        return self._replica.lineage()

    def _take(self, message: messages.ServerMessage) -> None:
        if isinstance(message, messages.Snapshot):
            self._bridge(message)
        elif isinstance(message, messages.Resent):
            if self._state is State.LIVE:
                self._advance(message.operations, message.previous_sequence_id, message.chain_hash)
                self._gap_filled(more=message.more)
            else:
                self._continue_bridge(message)
        elif isinstance(message, messages.TreeSnapshot):
            self._client.send(codec.encode(messages.Leave(self.file_id)))
            self.fail(CoscribeError(Code.NOT_A_TEXT, "it is a workspace"))
        elif isinstance(message, messages.Checksum):
            self._compare(message)
        elif isinstance(message, messages.Ack):
            self._acknowledged(message)
        elif isinstance(message, messages.Moved):
            self.path, self.is_trashed = message.path, message.trashed
            self.on_moved()

    def _follow(self, message: messages.Committed | messages.TreeCommitted) -> None:
        if isinstance(message, messages.Committed):
            self._advance(message.operations, message.previous_sequence_id, message.chain_hash)

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

    # ---- bridging

    def _bridge(self, snapshot: messages.Snapshot) -> None:
        """A snapshot came. Are there pending edits that have to be carried to it first?"""
        replica = self._replica
        self.role = snapshot.role
        if snapshot.lineage_lost or (replica.incarnation and replica.incarnation != snapshot.incarnation):
            detail = "the server's history is another one now, or was pruned since"
            self._hand_back(Code.HISTORY_UNAVAILABLE, detail, committed_in(snapshot.fates))
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

    def _be_live(self, message: messages.Live) -> None:
        replica = self._replica
        if message.server_sequence_id != replica.sequence:
            raise Gap
        replica.incarnation = message.incarnation

    def _go_live(self, message: messages.Live) -> None:
        super()._go_live(message)
        self._take_cursor(message)
        if self._check_wanted:
            self._ask_checksum()

    def _take_cursor(self, message: messages.Live) -> None:
        """The caret is where it was the last time. (We were told once; from now on we know better.)"""
        self._wants_cursor = False
        cursor = message.last_cursor
        if isinstance(cursor, messages.Cursor):
            anchor, head = (self._replica.position_in_text(at) for at in (cursor.anchor, cursor.head))
            self.last_cursor = anchor, head
            shown = messages.SetPresence(self.file_id, message.document_version, cursor)
            self._client.send(codec.encode(shown))

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

    def _sent(self) -> bytes:
        return self._replica.message if self._replica.in_flight else b""

    def _acknowledged(self, message: messages.Ack) -> None:
        """A direct acknowledgement: of something that our text holds already, though not as ours."""
        mine = {pending.operation_id for pending in self._replica.in_flight}
        if any(
            place.operation_id in mine and place.server_sequence_id <= self.sequence for place in message.operations
        ):
            self._heal()

    def _is_mine(self, operation_id: str) -> bool:
        # A refusal may name an operation of the message that is acknowledged meanwhile: a copy of this device has sent
        # it alone, and the rest of the chain will never be taken.
        return bool(self._replica.in_flight) and operation_id in ids_in(self._replica.message)

    def _give_up(self, code: Code, detail: str) -> None:
        self._hand_back(code, detail)
        self._heal()

    def _file_refused(self, error: CoscribeError, message: messages.Error) -> None:
        is_join = error.code in (Code.ACCESS_REMOVED, Code.ALREADY_JOINED, Code.SNAPSHOT_NOT_SENT)
        if self._state is State.BRIDGING and message.retry == "never" and not is_join:
            fates = self._snapshot.fates if self._snapshot is not None else ()
            self._hand_back(error.code, error.detail, committed_in(fates))
            self._heal()
        else:
            super()._file_refused(error, message)

    def _ended(self, error: CoscribeError) -> CoscribeError:
        return AccessEnded(error, self.patches)

    def _hand_back(self, code: Code, detail: str, committed: Collection[str] = ()) -> None:
        """Pending edits that cannot be applied any more become a patch for their author. Our text still holds them, so
        nobody can edit until the server's is there."""
        pending = self._replica.give_up()
        self._holds_refused = self._holds_refused or bool(pending)
        lost: list[Pending] = [item for item in pending if item.operation_id not in committed]
        if lost:
            self.patches.append(Patch(code.value.code, detail, [to_edits(pending.operation) for pending in lost]))
        self._save()

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
