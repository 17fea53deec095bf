"""TreeState: the authoritative tree of a workspace, and the step that turns a request into its entry of the log.

operations --apply, by the rules--> effect --numbered--> entry

It is to the tree what `FileState` is to a text. It has no versions: nothing that is asked of a tree is ever rebased.
"""

from __future__ import annotations

from collections.abc import Hashable

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed, OpWindow
from coscribe.core.operation import NOTHING
from coscribe.core.tree import Effect, NodeState, Tree

CHANGE_COST = 300
"""Bytes that a change of a node is taken to cost beside its names."""


class CommittedEffect(Committed):
    """What operations on a tree came to, with its place in the order; of a text's operations it has nothing.

    ``seen``: what it comes to for those who do not see all of the tree, by view.
    """

    __slots__ = ("effect", "seen")

    def __init__(
        self,
        sequence: int,
        operation_id: str,
        author: str,
        request: bytes,
        effect: Effect,
        restores: tuple[int, ...] = (),
    ) -> None:
        super().__init__(sequence, 0, 0, False, operation_id, author, request, NOTHING, "", restores)
        self.effect = effect
        self.seen: dict[Hashable, Effect] = {}
        self.cost += sum(CHANGE_COST + _size(before) + _size(after) for _, before, after in effect.changes)


class TreeState:
    """The tree of a workspace, the sequence that last touched it, and its recent effects. ``file_id``: the root's."""

    __slots__ = ("file_id", "last_sequence", "tree", "version", "window")

    def __init__(self, file_id: str, tree: Tree, last_sequence: int, limits: Limits) -> None:
        self.file_id = file_id
        self.tree = tree
        self.version = 0
        self.last_sequence = last_sequence
        self.window = OpWindow(limits.window_operations, limits.window_bytes, last_sequence)

    def commit(
        self,
        operation_id: str,
        effect: Effect,
        sequence: int,
        author: str,
        digest: bytes,
        restores: tuple[int, ...] = (),
    ) -> CommittedEffect:
        """Numbers an effect that the tree has just come to by `Tree.apply`."""
        entry = CommittedEffect(sequence, operation_id, author, digest, effect, restores)
        self.last_sequence = sequence
        self.window.append(entry)
        return entry

    def remember(self, entry: CommittedEffect) -> None:
        """Takes in an entry that is in the tree already: the log is read back behind a tree that is newer than it.

        Errors: ``file_damaged``: it does not follow."""
        if entry.sequence <= self.last_sequence:
            raise CoscribeError(Code.FILE_DAMAGED, f"sequence {entry.sequence} follows {self.last_sequence}")
        self.last_sequence = entry.sequence
        self.window.append(entry)


def _size(node: NodeState | None) -> int:
    return 0 if node is None else len(node.name) + len(node.content)
