"""Replica: a client's copy of a file. Pure: messages and edits in, messages and changes out.

What the user sees is the server's text with the pending edits on top:

    server text at sequence --- in flight ---> . --- queue ---> text

``in flight`` was sent and is frozen: its message is resent byte for byte until it is acknowledged. ``queue`` is what
was typed since; it is composed into one operation, or kept as separate ones that go out as a chain. A remote
operation r comes in on the left and is carried over to the right edge, where it changes the text:

    server text ---in flight---> . ---queue---> text
         | r                     | r'             | r''         r'  = transform(r, in flight, RIGHT)
         v                       v                v             in flight' = transform(in flight, r, LEFT)
         . -----in flight'-----> . ---queue'----> text'

LEFT for ours: it will be committed later than r, and the later insert goes left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from msgspec import UNSET

from coscribe.client.undo import Kept, UndoStack
from coscribe.core.operation import (
    LEFT,
    RIGHT,
    Operation,
    changes,
    components,
    compose,
    from_edits,
    growth,
    invert,
    know_deleted,
    move_position,
    reach,
    simplify,
    transform,
)
from coscribe.core.text_buffer import TextBuffer
from coscribe.model import GENESIS
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import CommittedOperation


class Batching(Enum):
    """What becomes of edits while an operation is in flight.

    COMPOSE: one operation. CHAIN: separate operations, sent together. SINGLE: separate operations, one at a time.
    """

    COMPOSE = "compose"
    CHAIN = "chain"
    SINGLE = "single"


@dataclass(slots=True)
class Pending:
    """An edit of ours that is not acknowledged. ``sequence`` is filled in when it is. ``origin``: where what it inserts
    is from: ``paste``, or nothing is said of it."""

    operation_id: str
    operation: Operation
    restores: list[Pending] = field(default_factory=list)
    sequence: int = 0
    origin: messages.Origin | None = None


class Applied(NamedTuple):
    """What a message did to the text: the operation as applied here, and whose it was ("" for ourselves)."""

    operation: Operation
    author: str


class OutOfStep(Exception):
    """The replica and the server have come apart; join again from a snapshot."""


class NotOurs(OutOfStep):
    """The log has another operation under an id of ours: a copy of this device was first. Ours will never be taken."""


class Gap(Exception):
    """Operations between what we have and what came are missing; ask for them."""


class Replica:
    """The state of one open file. ``series`` must never have been used before."""

    def __init__(
        self,
        file_id: str,
        series: str,
        *,
        batching: Batching = Batching.COMPOSE,
        chain: int = 64,
        undo_depth: int = 200,
    ) -> None:
        self.file_id = file_id
        self.user_id = ""
        self.version = 0
        self.sequence = 0
        self.incarnation = ""
        self.chain_hash = ""
        self.buffer: TextBuffer | None = None
        self.in_flight: list[Pending] = []
        self.message = b""
        self.queue: list[Pending] = []
        self._series = series
        self._counter = 0
        self._batching = batching
        self._chain = chain
        self._undo: UndoStack[Pending] = UndoStack(undo_depth)
        self._redo: UndoStack[Pending] = UndoStack(undo_depth)

    # ---- ours

    @property
    def text(self) -> str:
        return str(self.buffer) if self.buffer is not None else ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of ours waits."""
        return not self.in_flight and not self.queue

    @property
    def pending(self) -> list[Pending]:
        return self.in_flight + self.queue

    def ids_in_flight(self) -> list[str]:
        return [pending.operation_id for pending in self.in_flight]

    @property
    def can_take_back(self) -> bool:
        """Whether there is something to undo or redo."""
        return bool(self._undo or self._redo)

    def edit(self, edits: Sequence[tuple[int, int, str]], origin: messages.Origin | None = None) -> Applied:
        """Applies edits (position, deleted, inserted) of one moment. Errors: as the server would refuse them."""
        operation = from_edits(edits)
        self._undo.push(*self._edit(operation, [], origin))
        self._redo.clear()
        return Applied(operation, "")

    def undo(self) -> Applied | None:
        """Takes back our latest edit that is not taken back yet; None where there is none."""
        return self._take_back(self._undo, self._redo)

    def redo(self) -> Applied | None:
        """Takes back our latest undo."""
        return self._take_back(self._redo, self._undo)

    def outgoing(self, at_most: int | None = None, max_bytes: int | None = None) -> bytes | None:
        """The next message to send, frozen from now on; None while one is in flight or nothing is queued.

        ``at_most`` operations go into it, and no second one that makes it longer than ``max_bytes``; the rest stays
        queued.
        """
        if self.in_flight:
            return None
        self.queue = [pending for pending in self.queue if changes(pending.operation)]
        if not self.queue:
            return None
        count = min(self._chain, len(self.queue)) if self._batching is Batching.CHAIN else 1
        if at_most is not None:
            count = min(count, at_most)
        message = codec.encode(self._message(self.queue[:count]))
        while count > 1 and max_bytes is not None and len(message) > max_bytes:
            count //= 2
            message = codec.encode(self._message(self.queue[:count]))
        self.in_flight, self.queue = self.queue[:count], self.queue[count:]
        self.message = message
        return message

    def lineage(self) -> messages.Lineage:
        return messages.Lineage(self.incarnation, self.sequence, self.chain_hash)

    def position_in_text(self, position: int) -> int:
        """Where a position in the server's text of now is in ours, which has what is pending on top."""
        for pending in self.pending:
            position = move_position(position, pending.operation, before_insert=True)
        return position

    # ---- theirs

    def receive(self, operations: Sequence[CommittedOperation], previous: int, chain_hash: str) -> list[Applied]:
        """Operations in their order. Those we have are passed over. Raises Gap, OutOfStep, NotOurs."""
        if previous > self.sequence:
            raise Gap
        applied: list[Applied] = []
        for operation in operations:
            if operation.server_sequence_id <= self.sequence:
                continue
            if self.in_flight and operation.operation_id == self.in_flight[0].operation_id:
                self._acknowledge(operation)
            else:
                applied.append(self._apply_remote(operation))
            self.sequence = operation.server_sequence_id
            self.version = operation.document_version
            self.chain_hash = chain_hash
        return applied

    def adopt(self, snapshot: messages.Snapshot) -> None:
        """The server's text, with what is pending on top. The pending edits must be at the snapshot's sequence.

        Raises OutOfStep, and changes nothing, where they do not fit the text.
        """
        size = len(snapshot.content)
        for pending in self.pending:
            if reach(pending.operation) > size:
                raise OutOfStep
            size += growth(pending.operation)
        self.buffer = TextBuffer(snapshot.content)
        self.incarnation = snapshot.incarnation
        self.version = snapshot.snapshot_version
        self.sequence = snapshot.snapshot_sequence_id
        self.chain_hash = snapshot.chain_hash
        for pending in self.pending:
            self.buffer.apply(pending.operation)

    def give_up(self) -> list[Pending]:
        """Forgets what is pending and what could be undone; the edits go back to their author."""
        pending = self.pending
        self.in_flight, self.queue, self.message = [], [], b""
        self.forget_undo()
        return pending

    def forget_undo(self) -> None:
        """From here on nothing can be taken back."""
        self._undo.clear()
        self._redo.clear()

    def undoable(self) -> tuple[list[Kept[Pending]], list[Kept[Pending]]]:
        """What can be undone and redone, the oldest first, as of the text at `lineage` with what is pending on top."""
        return self._undo.dump(), self._redo.dump()

    def restore_undo(self, undo: Sequence[Kept[Pending]], redo: Sequence[Kept[Pending]]) -> None:
        """Takes in what an earlier process could undo; behind `restore`."""
        self._undo.load(undo)
        self._redo.load(redo)

    def begin_empty(self, incarnation: str) -> None:
        """The file is new in that log: its text is empty, with what is pending on top."""
        if self.sequence or self.buffer is not None:
            return
        self.incarnation, self.chain_hash = incarnation, GENESIS.hex()
        self.buffer = TextBuffer("")
        for pending in self.pending:
            self.buffer.apply(pending.operation)

    def restore(
        self, message: bytes, in_flight: list[Pending], queue: list[Pending], lineage: messages.Lineage
    ) -> None:
        """Takes in what an earlier process left pending. The text follows by `adopt`."""
        self.message, self.in_flight, self.queue = message, in_flight, queue
        self.incarnation = lineage.incarnation
        self.sequence = lineage.server_sequence_id
        self.chain_hash = lineage.chain_hash

    # ---- steps

    def _edit(
        self, operation: Operation, restores: list[Pending], origin: messages.Origin | None = None
    ) -> tuple[Operation, Pending]:
        """Applies and queues an edit of ours; returns what takes it back, and the edit."""
        if self.buffer is None:
            raise ValueError("the text of the file is not known yet")
        if reach(operation) > len(self.buffer):
            raise ValueError(f"the edit reaches to {reach(operation)}, the text ends at {len(self.buffer)}")
        removed = self.buffer.apply(operation)
        inverse = simplify(invert(know_deleted(operation, removed)))
        last = self.queue[-1] if self.queue and self._batching is Batching.COMPOSE else None
        if last is not None and not restores and not last.restores and last.origin == origin:
            last.operation = compose(last.operation, operation)
        else:
            self._counter += 1
            self.queue.append(Pending(f"{self._series}:{self._counter}", operation, restores, origin=origin))
        return inverse, self.queue[-1]

    def _take_back(self, stack: UndoStack[Pending], other: UndoStack[Pending]) -> Applied | None:
        while self.buffer is not None and (step := stack.pop()) is not None:
            if changes(step.operation):
                other.push(*self._edit(step.operation, [step.of]))
                return Applied(step.operation, "")
        return None

    def _message(self, pending: list[Pending]) -> messages.Operation | messages.Chain:
        elements = []
        for item in pending:
            operation_type, position, payload = codec.wire_form(item.operation)
            restores = [restored.sequence for restored in item.restores if restored.sequence]
            origin = UNSET if item.origin is None else item.origin
            element = messages.ChainElement(item.operation_id, operation_type, position, payload, restores, origin)
            elements.append(element)
        if len(elements) > 1:
            return messages.Chain(self.file_id, self.user_id, self.version, elements)
        only = elements[0]
        return messages.Operation(
            self.file_id,
            only.operation_id,
            self.user_id,
            self.version,
            only.operation_type,
            only.position,
            only.payload,
            only.restores,
            only.origin,
        )

    def _acknowledge(self, operation: CommittedOperation) -> None:
        mine = self.in_flight[0]
        if codec.wire_form(simplify(components(mine.operation))) != codec.wire_form(codec.operation_of(operation)):
            raise NotOurs
        del self.in_flight[0]
        mine.sequence = operation.server_sequence_id
        if not self.in_flight:
            self.message = b""

    def _apply_remote(self, committed: CommittedOperation) -> Applied:
        operation = codec.operation_of(committed)
        for pending in self.pending:
            carried = transform(operation, pending.operation, RIGHT)
            pending.operation = transform(pending.operation, operation, LEFT)
            operation = carried
        if self.buffer is not None:
            if reach(operation) > len(self.buffer):
                raise OutOfStep
            self.buffer.apply(operation)
        self._undo.foreign(operation)
        self._redo.foreign(operation)
        return Applied(operation, committed.user_id)
