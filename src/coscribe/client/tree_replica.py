"""TreeReplica: a client's copy of the tree of a workspace. Pure: messages and edits in, messages out.

What the user sees is the server's tree with the pending changes on top. Nothing is transformed: an operation on a tree
says what is to be, so it is applied by the same rules wherever the tree has come to meanwhile.

    server's tree --effect of in flight--> . --effects of the queue--> tree
         |                                                                  an effect comes: ours are taken back, the
         | effect                                                           last one first, it is taken in, and ours
         v                                                                  are applied again
    server's tree --effect of in flight'-> . --effects of the queue'-> tree

So what a pending change comes to may be another thing each time, and in the end it is what the server says: another
number behind a name, nothing at all. Ids are the same on both sides, so a new file can be typed into at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coscribe.client.replica import Gap, NotOurs, OutOfStep
from coscribe.core.errors import CoscribeError
from coscribe.core.tree import NO_EFFECT, Effect, Tree, inverse
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import TreeEdit


@dataclass(slots=True)
class PendingChange:
    """A change of ours. ``effect``: what it comes to as far as we know; once it is acknowledged, what it came to, and
    ``sequence`` says where. ``restores``: the change that it takes back."""

    operation_id: str
    edits: list[TreeEdit]
    effect: Effect = NO_EFFECT
    restores: PendingChange | None = None
    sequence: int = 0


class TreeReplica:
    """The state of one open tree. ``series`` must never have been used before."""

    def __init__(self, workspace_id: str, series: str, *, undo_depth: int = 200) -> None:
        self.file_id = workspace_id
        self.user_id = ""
        self.sequence = 0
        self.incarnation = ""
        self.chain_hash = ""
        self.tree: Tree | None = None
        self.in_flight: PendingChange | None = None
        self.message = b""
        self.queue: list[PendingChange] = []
        self._series = series
        self._counter = 0
        self._undo_depth = undo_depth
        self._done: list[PendingChange] = []
        self._undone: list[PendingChange] = []

    # ---- ours

    @property
    def pending(self) -> list[PendingChange]:
        return ([] if self.in_flight is None else [self.in_flight]) + self.queue

    def change(self, edits: Sequence[TreeEdit]) -> PendingChange:
        """Applies edits of one moment. Errors: as the server would refuse them."""
        change = self._change(list(edits), None)
        self._done = [*self._done, change][-self._undo_depth :]
        self._undone.clear()
        return change

    def undo(self) -> PendingChange | None:
        """Takes back our latest change that is not taken back yet; None where there is none. Errors: ``file_not_found``
        and the like, where others have made that impossible; the change is then passed over from here on."""
        return self._take_back(self._done, self._undone)

    def redo(self) -> PendingChange | None:
        """Takes back our latest undo."""
        return self._take_back(self._undone, self._done)

    def outgoing(self) -> bytes | None:
        """The next message to send, frozen from now on; None while one is in flight or nothing is queued."""
        if self.in_flight is not None or not self.queue:
            return None
        self.in_flight = self.queue.pop(0)
        self.message = codec.encode(self._message(self.in_flight))
        return self.message

    def lineage(self) -> messages.Have:
        return messages.Have(self.incarnation, self.sequence, self.chain_hash, 0)

    # ---- theirs

    def receive(self, entries: Sequence[messages.TreeEntry], previous: int, chain_hash: str) -> None:
        """Entries in their order. Those we have are passed over. Raises Gap, OutOfStep, NotOurs."""
        if previous > self.sequence:
            raise Gap
        new = [entry for entry in entries if entry.server_sequence_id > self.sequence]
        if not new or self.tree is None:
            return
        self._lift(self.tree)
        for entry in new:
            effect = codec.effect_of(entry, self.file_id)
            try:
                self.tree.take_in(effect)
            except CoscribeError:
                raise OutOfStep from None
            self._acknowledge(entry, effect)
            self.sequence = entry.server_sequence_id
        self.chain_hash = chain_hash
        self._lay(self.tree)

    def adopt(self, snapshot: messages.TreeSnapshot) -> None:
        """The server's tree, with what is pending on top. Raises OutOfStep: it is no tree."""
        root = self.file_id
        try:
            nodes = ((node.file_id, codec.node_state(node, root)) for node in snapshot.nodes)
            self.tree = Tree.of(nodes, folds_case=snapshot.folds_case)
        except CoscribeError:
            raise OutOfStep from None
        self.incarnation = snapshot.incarnation
        self.sequence = snapshot.snapshot_sequence_id
        self.chain_hash = snapshot.chain_hash
        self._lay(self.tree)

    def acknowledged(self, place: messages.Place) -> None:
        """What is in flight is in the log; what it came to we know already, or from a snapshot."""
        if self.in_flight is not None and self.in_flight.operation_id == place.operation_id:
            self.in_flight.sequence = place.server_sequence_id
            self._drop(self.in_flight)

    def refused(self, operation_id: str) -> PendingChange | None:
        """What is in flight will never be done: it is taken out, and goes back to its author. None: it was not it."""
        change = self.in_flight
        if change is None or change.operation_id != operation_id:
            return None
        self._drop(change)
        self._done = [each for each in self._done if each is not change]
        return change

    # ---- steps

    def _change(self, edits: list[TreeEdit], restores: PendingChange | None) -> PendingChange:
        if self.tree is None:
            raise ValueError("the tree of the workspace is not known yet")
        self._counter += 1
        change = PendingChange(f"{self._series}:{self._counter}", edits, restores=restores)
        change.effect = self.tree.apply(codec.tree_operations_of(self._message(change)))
        self.queue.append(change)
        return change

    def _take_back(self, done: list[PendingChange], undone: list[PendingChange]) -> PendingChange | None:
        while done:
            of = done.pop()
            edits = [codec.tree_edit_of(operation, self.file_id) for operation in inverse(of.effect)]
            if edits:
                undone.append(self._change(edits, of))
                return undone[-1]
        return None

    def _message(self, change: PendingChange) -> messages.TreeOperation:
        of = change.restores
        restores = [of.sequence] if of is not None and of.sequence else []
        return messages.TreeOperation(self.file_id, change.operation_id, self.user_id, change.edits, restores)

    def _acknowledge(self, entry: messages.TreeEntry, effect: Effect) -> None:
        mine = self.in_flight
        if mine is None or mine.operation_id != entry.operation_id:
            return
        if entry.user_id != self.user_id:
            raise NotOurs
        mine.effect, mine.sequence = effect, entry.server_sequence_id
        self.in_flight, self.message = None, b""

    def _drop(self, change: PendingChange) -> None:
        """A change is pending no more; it may not be in the tree."""
        if self.tree is not None:
            self._lift(self.tree)
        if change is self.in_flight:
            self.in_flight, self.message = None, b""
        if self.tree is not None:
            self._lay(self.tree)

    def _lift(self, tree: Tree) -> None:
        """Takes back what is pending: the server's tree is left."""
        for change in reversed(self.pending):
            tree.take_back(change.effect)
            change.effect = NO_EFFECT

    def _lay(self, tree: Tree) -> None:
        """Applies what is pending again. What cannot be now comes to nothing here; the server will say what it is."""
        for change in self.pending:
            try:
                change.effect = tree.apply(codec.tree_operations_of(self._message(change)))
            except CoscribeError:
                change.effect = NO_EFFECT
