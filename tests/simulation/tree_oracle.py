"""What must hold of a workspace with a tree, checked the slow and obvious way (the part of `oracle` about trees).

rules               what is committed is what the naive tree makes of what somebody asked for: `committed`
a tree              ids are kept, no circle, no name twice in a folder: `committed`
rows                the rows of files that the disk has are the tree at the head: `rows`
what is shown       an effect is the one of the log, a snapshot the tree at its sequence: `shown`, `snapshot`
replicas            a replica at S has the tree at S, with what it has pending on top by the rules: `replica`
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

from coscribe.client.tree_replica import TreeReplica
from coscribe.core.tree import node_id
from coscribe.model import File, LogEntry
from coscribe.protocol import codec, messages
from tests.core.naive_tree import (
    JsonTreeOperation,
    NaiveTree,
    Refused,
    Row,
    naive_apply_tree,
    naive_listing,
    naive_wrong,
)

Require = Callable[[bool, str], None]


class TreeTruth:
    """The tree of one workspace as it is on the disk. ``asked``: by operation id, what was asked for, by whom."""

    def __init__(self, root: str, require: Require) -> None:
        self.root = root
        self._require = require
        self._trees: list[tuple[int, NaiveTree]] = [(0, {})]
        self.asked: dict[str, list[tuple[str, list[messages.TreeEdit]]]] = {}
        self.meant: set[str] = set()
        """The operations that people wanted."""
        self.handed_back: set[str] = set()

    def at(self, sequence: int) -> NaiveTree:
        return next(tree for reached, tree in reversed(self._trees) if reached <= sequence)

    @property
    def tree(self) -> NaiveTree:
        return self._trees[-1][1]

    def was_at(self, file_id: str, path: str, trashed: bool) -> bool:
        """Whether a file has been somewhere, at some time."""
        mark = "~" if trashed else ""
        for _, tree in self._trees:
            lines = naive_listing(tree) if file_id in tree else []
            if any(line.startswith(f"{mark}{path}={file_id}") for line in lines):
                return True
        return False

    def forget_behind(self, sequence: int) -> None:
        self._trees = [(reached, tree) for reached, tree in self._trees if reached <= sequence]

    # ---- what reaches the disk

    def committed(self, entry: LogEntry) -> None:
        """An entry of the tree: the effect of something that was asked for."""
        before = self.tree
        after = copy.deepcopy(before)
        for file_id, was, becomes in json.loads(entry.payload)["tree"]:
            self._require(after.get(file_id) == _row(was), f"{file_id} was something else before {entry.operation_id}")
            after.pop(file_id, None)
            if becomes is not None:
                after[file_id] = _row(becomes) or {}
        wanted = [
            asked
            for user, edits in self.asked.get(entry.operation_id, [])
            if user == entry.author and (asked := self._applied(before, entry.operation_id, edits)) is not None
        ]
        self._require(after in wanted, f"{entry.operation_id} came to {naive_listing(after)}, not {wanted}")
        self._require(not naive_wrong(after), f"{entry.operation_id}: {naive_wrong(after)}")
        self._trees.append((entry.sequence, after))

    def _applied(self, tree: NaiveTree, operation_id: str, edits: Iterable[messages.TreeEdit]) -> NaiveTree | None:
        """None: it is refused."""
        try:
            for place, edit in enumerate(edits):
                tree, _ = naive_apply_tree(tree, self._json(edit, node_id(self.root, operation_id, place)))
        except Refused:
            return None
        return tree

    def _json(self, edit: messages.TreeEdit, new_id: str) -> JsonTreeOperation:
        """An operation as the naive tree has it."""
        wire = json.loads(codec.encode(edit))
        verb = wire.pop("verb")
        names = {"fileId": "id", "fileIds": "ids", "parentId": "in" if verb == "create" else "to"}
        operation = {"do": verb} | {names.get(key, key): value for key, value in wire.items() if value is not None}
        for key in ("in", "to"):
            if operation.get(key) == self.root:
                operation[key] = ""
        return operation | ({"id": new_id} if verb == "create" else {})

    def rows(self, files: Iterable[File]) -> None:
        for file in files:
            shown = json.loads(codec.encode(file.node)) if file.node is not None else None
            self._require(self.tree.get(file.file_id) == _row(shown), f"the row of {file.file_id} is {file.node}")

    # ---- what is shown

    def shown(self, entry: LogEntry, shown: messages.TreeEntry) -> None:
        wire = [(change.file_id, self._of_wire(change.before), self._of_wire(change.after)) for change in shown.changes]
        kept = [(file_id, _row(was), _row(becomes)) for file_id, was, becomes in json.loads(entry.payload)["tree"]]
        self._require(wire == kept, f"{shown} is shown at {entry.sequence}")

    def snapshot(self, shown: messages.TreeSnapshot) -> None:
        tree = {node.file_id: self._of_wire(node) for node in shown.nodes}
        self._require(tree == self.at(shown.snapshot_sequence_id), f"another tree at {shown.snapshot_sequence_id}")

    def _of_wire(self, node: messages.TreeNode | None) -> Row | None:
        if node is None:
            return None
        parent = "" if node.parent_id == self.root else node.parent_id
        return _row([parent, node.name, node.kind, node.trashed, node.content, sorted(node.properties.items())])

    def replica(self, replica: TreeReplica) -> None:
        if replica.tree is None:
            return
        tree = self.at(replica.sequence)
        for change in replica.pending:
            applied = self._applied(tree, change.operation_id, change.edits)
            tree = tree if applied is None else applied
        states = {file_id: replica.tree.state(file_id) for file_id in replica.tree.below("")}
        has = {file_id: _row(json.loads(codec.encode(state))) for file_id, state in states.items()}
        self._require(has == tree, f"{replica.user_id} has {has} at {replica.sequence}, not {tree}")


def _row(stored: list[Any] | None) -> Row | None:
    """A node as the naive tree has it."""
    if stored is None:
        return None
    parent, name, kind, trashed, content, properties = stored
    more = {"trashed": trashed, "content": content, "properties": dict(properties)}
    return {"in": parent, "name": name, "kind": kind} | {key: value for key, value in more.items() if value}
