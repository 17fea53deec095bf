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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coscribe.client.replica import Gap, NotOurs, OutOfStep
from coscribe.core.errors import CoscribeError
from coscribe.core.tree import NO_EFFECT, Change, Effect, NodeState, Tree, inverse, node_id
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import TreeEdit


@dataclass(slots=True)
class PendingChange:
    """A change of ours. ``effect``: what it comes to as far as we know; once it is acknowledged, what it came to, and
    ``sequence`` says where. ``restores``: the change that it takes back. ``was``: what it came to before there was a
    snapshot below it that may hold it already; on that it comes to nothing."""

    operation_id: str
    edits: list[TreeEdit]
    effect: Effect = NO_EFFECT
    restores: PendingChange | None = None
    sequence: int = 0
    was: Effect = NO_EFFECT

    def made(self, workspace_id: str) -> list[str]:
        """The ids of the files that it makes."""
        return [
            node_id(workspace_id, self.operation_id, place)
            for place, edit in enumerate(self.edits)
            if isinstance(edit, messages.CreateNode)
        ]


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
        self._undo_of = ""

    # ---- ours

    @property
    def is_idle(self) -> bool:
        """Whether nothing of ours waits."""
        return self.in_flight is None and not self.queue

    @property
    def is_view(self) -> bool:
        """Whether the server shows us a part of the tree only. Of that there is no past, and there are gaps in it."""
        return self.tree is not None and not self.chain_hash

    def ids_in_flight(self) -> list[str]:
        return [] if self.in_flight is None else [self.in_flight.operation_id]

    @property
    def pending(self) -> list[PendingChange]:
        return ([] if self.in_flight is None else [self.in_flight]) + self.queue

    def change(self, edits: Sequence[TreeEdit]) -> PendingChange:
        """Applies edits of one moment. Errors: as the server would refuse them."""
        change = self._change(list(edits), None)
        self._done = [*self._done, change][-self._undo_depth :]
        self._undone.clear()
        return change

    @property
    def can_take_back(self) -> bool:
        """Whether there is something to undo or redo."""
        return bool(self._done or self._undone)

    def undoable(self) -> tuple[str, list[PendingChange], list[PendingChange]]:
        """The log that it is about, what can be undone and what can be redone, the oldest first."""
        return self.incarnation or self._undo_of, self._done, self._undone

    @property
    def latest(self) -> str:
        """The id of our latest change that can be taken back; "": there is none."""
        return self._done[-1].operation_id if self._done else ""

    def undo(self, operation_id: str = "") -> PendingChange | None:
        """Takes back a change of ours, by default the latest, that is not taken back yet; None where there is none.
        Errors: ``file_not_found`` and the like, where others have made that impossible; the change is then passed over
        from here on."""
        return self._take_back(self._done, self._undone, operation_id)

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

    def receive(self, entries: Sequence[messages.TreeEntry], previous: int, chain_hash: str) -> tuple[Change, ...]:
        """Entries in their order; what is another one then. Those we have are passed over. Raises Gap, OutOfStep,
        NotOurs."""
        if previous > self.sequence:
            raise Gap
        new = [
            (entry, codec.effect_of(entry, self.file_id))
            for entry in entries
            if entry.server_sequence_id > self.sequence
        ]

        def take_in(tree: Tree) -> None:
            for entry, effect in new:
                try:
                    tree.take_in(effect)
                except CoscribeError:
                    raise OutOfStep from None
                self._acknowledge(entry, effect)
                self.sequence, self.chain_hash = entry.server_sequence_id, chain_hash

        return self._below([effect for _, effect in new], take_in) if new and self.tree is not None else ()

    def adopt(self, snapshot: messages.TreeSnapshot) -> None:
        """The server's tree, with what is pending on top. Raises OutOfStep: it is no tree."""
        root = self.file_id
        try:
            nodes = ((node.file_id, codec.node_state(node, root)) for node in snapshot.nodes)
            self.tree = Tree.of(nodes, folds_case=snapshot.folds_case)
        except CoscribeError:
            raise OutOfStep from None
        if self._undo_of not in ("", snapshot.incarnation):
            self.forget_undo()
        self._undo_of = ""
        self.incarnation = snapshot.incarnation
        self.sequence = snapshot.snapshot_sequence_id
        self.chain_hash = snapshot.chain_hash
        for change in self.pending:
            change.was = change.effect if change.effect.changes else change.was
        self._lay(self.tree)

    def acknowledged(self, operation_id: str, sequence: int) -> tuple[Change, ...]:
        """What is in flight is in the log; what it came to we know already, or from a snapshot."""
        mine = self.in_flight
        if mine is None or mine.operation_id != operation_id:
            return ()
        effect, mine.sequence = mine.effect if mine.effect.changes else mine.was, sequence
        changes = self._drop()
        mine.effect = effect
        return changes

    def refused(self, operation_id: str) -> tuple[PendingChange, tuple[Change, ...]] | None:
        """What is in flight will never be done: it is taken out, and goes back to its author; and what is another one
        without it. None: it was not it."""
        change = self.in_flight
        if change is None or change.operation_id != operation_id:
            return None
        changes = self._drop()
        self._done = [each for each in self._done if each is not change]
        self._undone = [each for each in self._undone if each is not change]
        return change, changes

    def give_up(self) -> tuple[list[PendingChange], tuple[Change, ...]]:
        """Forgets what is pending and what could be undone: it goes back to its author; and what is another one."""
        pending = self.pending

        def forget() -> None:
            self.in_flight, self.queue, self.message = None, [], b""

        changes = self._without(forget)
        self.forget_undo()
        return pending, changes

    def forget_undo(self) -> None:
        """From here on nothing can be taken back."""
        self._done.clear()
        self._undone.clear()

    def restore(self, message: bytes, in_flight: list[PendingChange], queue: list[PendingChange]) -> None:
        """Takes in what an earlier process left pending. The tree follows by `adopt`."""
        self.message, self.queue = message, queue
        self.in_flight = in_flight[0] if in_flight else None

    def restore_undo(self, incarnation: str, done: list[PendingChange], undone: list[PendingChange]) -> None:
        """Takes in what an earlier process could undo; behind `restore`. In another log it is about other files."""
        self._undo_of, self._done, self._undone = incarnation, done, undone

    # ---- steps

    def _change(self, edits: list[TreeEdit], restores: PendingChange | None) -> PendingChange:
        if self.tree is None:
            raise ValueError("the tree of the workspace is not known yet")
        self._counter += 1
        change = PendingChange(f"{self._series}:{self._counter}", edits, restores=restores)
        change.effect = self.tree.apply(codec.tree_operations_of(self._message(change)))
        self.queue.append(change)
        return change

    def _take_back(
        self, done: list[PendingChange], undone: list[PendingChange], wanted: str = ""
    ) -> PendingChange | None:
        """``wanted``: this one; "": the latest of which there is anything to take back."""
        while places := [at for at, each in enumerate(done) if wanted in ("", each.operation_id)]:
            of = done.pop(places[-1])
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

    def _drop(self) -> tuple[Change, ...]:
        """What is in flight is pending no more, and not in the tree; what is another one then."""

        def drop() -> None:
            self.in_flight, self.message = None, b""

        return self._without(drop)

    def _without(self, forget: Callable[[], None]) -> tuple[Change, ...]:
        if self.tree is None:
            forget()
            return ()
        return self._below([], lambda _: forget())

    def _below(self, effects: Sequence[Effect], act: Callable[[Tree], None]) -> tuple[Change, ...]:
        """Lets something be done to the server's tree, below what is pending: what is another one in the whole then.
        ``effects``: what it may change."""
        tree = self.tree
        assert tree is not None
        mine = [change.effect for change in self.pending]
        before = {each.file_id: _state(tree, each.file_id) for effect in (*mine, *effects) for each in effect.changes}
        self._lift(tree)
        try:
            act(tree)
        finally:
            self._lay(tree)
            for change in self.pending:
                for each in change.effect.changes:
                    before.setdefault(each.file_id, each.before)
        after = {file_id: _state(tree, file_id) for file_id in before}
        return tuple(
            Change(file_id, state, after[file_id]) for file_id, state in before.items() if state != after[file_id]
        )

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


def _state(tree: Tree, file_id: str) -> NodeState | None:
    return tree.state(file_id) if file_id in tree else None
