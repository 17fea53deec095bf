"""Tree: which files a workspace has, what they are called and where they are; and the operations on that.

    operation --apply, by the rules--> effect --log, wire--> take_in, anywhere      undo: inverse(effect)
                                              --take_back--> the tree as it was     (the last effect first)

A node has an id that stays, a parent and a name. Its path is derived, so that a folder with all that is in it is
renamed by one change. Whoever owns the workspace applies operations in the order in which they come; there is nothing
to transform, for an operation names nodes by id and says what is to be, not what was. What it came to is its *effect*,
the nodes before and after. Effects are what is logged and sent: a replay and a replica take them in and need no rules.
A client in a hurry applies its own operations with these same rules, and when something of others comes it takes
them back, takes that in and applies them again.

A node that is deleted is *trashed*: it keeps its place and id, and what is below it goes along without being touched.
It is *live* if neither it nor a folder above it is trashed. The rules, where two people do things at the same time:

- A name that is taken (by a node of that folder that is not trashed itself) is numbered: ``a.txt``, ``a (2).txt``. An
  operation that is ``exact`` is refused instead (``conflict``).
- Renaming and moving one node, or anything and a change of its content, are both done. Of two of one
  kind the later counts.
- What happens to a trashed node happens in the trash: it can be renamed, moved, edited. What is created in a trashed
  folder is in the trash, too. So it does not matter which of the two came first.
- Nothing live gets into the trash by being moved: the folder is gone, the node stays where it is. Likewise where a
  folder would come to be inside itself (two moves that cross), or too deep.
- What is restored goes back to its folder, if that is live, else to the next one above that is.
- Purging takes only what it names, and no folder with something in it that it does not name.

An operation is refused only for what no order of things makes right: a form that is wrong, a node that there is not
(any more), a name that is taken where ``exact`` was asked, a tree that is full. Then nothing has changed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from base64 import b32encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

from coscribe.core.errors import Code, CoscribeError

ROOT = ""
"""The id of the folder that everything is in. It is no node: it has no name and is never changed."""

Kind = Literal["directory", "text", "binary", "symlink"]
KINDS = ("directory", "text", "binary", "symlink")

Why = Literal["numbered", "trashed_folder", "cycle", "too_deep", "already", "moved_up", "kept"]
"""What came out other than it was asked: the name was taken; the folder is in the trash; it would be inside itself; the
tree would be too deep; it is so already; the folder to go back to is not live; something unnamed is in it."""

MAX_NAME = 255
"""Bytes of a name in UTF-8, as file systems have it."""

MAX_NUMBER = 1_000
"""A name is numbered up to this."""

MAX_TRIES = 20_000
"""Numbers that are tried in one unit; what needs more is for several."""

MAX_EXTENSION = 32
"""Bytes; what follows the last dot and is longer is no extension."""

PROPERTIES = {
    "mode": re.compile(r"[0-7]{3}"),
    "eol": re.compile(r"crlf|cr"),
    "bom": re.compile(r"yes"),
    "encoding": re.compile(r"[a-z0-9][a-z0-9_-]{0,31}"),
    "diskName": re.compile(r"[A-Za-z0-9+/]{1,340}={0,2}"),
}
"""What a file remembers of how it is on a disk, and the form of it. One that is absent is the usual: the mode of its
kind, LF, no BOM, UTF-8, the name as it is. ``diskName``: Base64 of a name that is not UTF-8."""

_NODE_ID = re.compile(r"f[a-z2-7]{25}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNNAMEABLE = re.compile(r"[/\0\ud800-\udfff]")
_UNLINKABLE = re.compile(r"[\0\ud800-\udfff]")

FORMAT = 1
"""Of `Tree.encode`."""


class TreeLimits(NamedTuple):
    """Bounds of one tree: ``nodes``, trashed ones too; ``depth`` of a node, below the root it is 1; operations of a
    ``unit``, a purge counting for all it names."""

    nodes: int = 100_000
    depth: int = 64
    unit: int = 10_000


class NodeState(NamedTuple):
    """A node at a moment. ``trashed``: itself, whatever the folders above are. ``content``: of a binary file the
    SHA-256 in hex, of a symbolic link its target, else empty. ``properties``: by key, in order; see `PROPERTIES`."""

    parent_id: str
    name: str
    kind: str
    trashed: bool = False
    content: str = ""
    properties: tuple[tuple[str, str], ...] = ()


class Create(NamedTuple):
    """A new node. Its id was never used before; whoever makes ids answers for that."""

    file_id: str
    parent_id: str
    name: str
    kind: str
    content: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    exact: bool = False


class Move(NamedTuple):
    """Another folder, another name, or both; None: as it is. ``replaces``: the node that has that name there and goes
    into the trash for it; "": none."""

    file_id: str
    parent_id: str | None = None
    name: str | None = None
    replaces: str = ""
    exact: bool = False


class Delete(NamedTuple):
    """Into the trash, with all that is below."""

    file_id: str


class Restore(NamedTuple):
    """Out of the trash, with all that went in with it; to another folder or under another name where that is said."""

    file_id: str
    parent_id: str | None = None
    name: str | None = None


class Put(NamedTuple):
    """Another content as a whole, and another kind perhaps; a text's own content is not in the tree."""

    file_id: str
    kind: str
    content: str = ""


class SetProperty(NamedTuple):
    """One property; "" takes it away."""

    file_id: str
    key: str
    value: str


class Purge(NamedTuple):
    """Out of the trash for good: these very nodes."""

    file_ids: tuple[str, ...]


TreeOperation = Create | Move | Delete | Restore | Put | SetProperty | Purge


class Change(NamedTuple):
    """One node before and after; None: it was not there, it is not there any more."""

    file_id: str
    before: NodeState | None
    after: NodeState | None


class Note(NamedTuple):
    """Something came out other than it was asked, for people to be told."""

    file_id: str
    why: Why


class Effect(NamedTuple):
    """What operations came to: changes, one after the other. No changes: they came to nothing."""

    changes: tuple[Change, ...]
    notes: tuple[Note, ...] = ()


NO_EFFECT = Effect(())


class _Node:
    """A node and what hangs on it: ``children`` are all, ``names`` those that are not trashed themselves, by `fold`.

    ``height``: the levels that it and what is below it have; ``heights``: how many of the children have which.
    """

    __slots__ = ("children", "height", "heights", "names", "state")

    def __init__(self, state: NodeState) -> None:
        self.state = state
        self.height = 1
        self.heights: dict[int, int] = {}
        self.children: dict[str, None] = {}
        self.names: dict[str, str] = {}


class Tree:
    """The nodes of one workspace. ``folds_case``: names that differ in case only are the same name."""

    __slots__ = ("_nodes", "folds_case", "limits")

    def __init__(self, *, folds_case: bool = False, limits: TreeLimits = TreeLimits()) -> None:  # noqa: B008
        self.folds_case = folds_case
        self.limits = limits
        self._nodes: dict[str, _Node] = {ROOT: _Node(NodeState(ROOT, "", "directory"))}

    # ---- looking

    def __len__(self) -> int:
        """How many nodes there are, trashed ones too."""
        return len(self._nodes) - 1

    def __contains__(self, file_id: str) -> bool:
        return file_id != ROOT and file_id in self._nodes

    def state(self, file_id: str) -> NodeState:
        """Errors: ``file_not_found``."""
        return self._node(file_id).state

    def is_live(self, file_id: str) -> bool:
        """Whether neither it nor a folder above it is trashed. The root is. Errors: ``file_not_found``."""
        return file_id == ROOT or not any(self._nodes[each].state.trashed for each in self._upwards(file_id))

    def path(self, file_id: str) -> str:
        """Its names from the top, with slashes between; also of what is in the trash. Errors: ``file_not_found``."""
        if file_id == ROOT:
            return ""
        names = [self._nodes[each].state.name for each in self._upwards(file_id)]
        names.reverse()
        return "/".join(names)

    def is_within(self, file_id: str, nodes: frozenset[str]) -> bool:
        """Whether a node, or a folder above it, is one of those. Errors: ``file_not_found``."""
        return not nodes.isdisjoint(self._upwards(file_id))

    def find(self, path: str) -> str | None:
        """The id of the live node at a path ("" is the root), in as many steps as the path has names; None: none."""
        file_id = ROOT
        if path:
            for name in path.split("/"):
                found = self._nodes[file_id].names.get(self._key(name))
                if found is None:
                    return None
                file_id = found
        return file_id

    def children(self, file_id: str) -> list[tuple[str, str]]:
        """(name, id) of what is in a folder and not trashed itself, by name. Errors: ``file_not_found``."""
        node = self._nodes[ROOT] if file_id == ROOT else self._node(file_id)
        return sorted((self._nodes[child].state.name, child) for child in node.names.values())

    def below(self, file_id: str) -> Iterator[str]:
        """The ids of all that is below, trashed or not, each after its folder. Errors: ``file_not_found``."""
        if file_id != ROOT:
            self._node(file_id)
        waiting = [file_id]
        while waiting:
            for child in self._nodes[waiting.pop()].children:
                yield child
                waiting.append(child)

    def count_live(self) -> int:
        """How many nodes are neither trashed themselves nor in a folder that is."""
        count, waiting = -1, [ROOT]
        while waiting:
            waiting += self._nodes[waiting.pop()].names.values()
            count += 1
        return count

    def trashed(self) -> list[str]:
        """The ids of the nodes that are trashed themselves, in order."""
        return sorted(file_id for file_id, node in self._nodes.items() if node.state.trashed)

    # ---- changing

    def apply(self, operations: Sequence[TreeOperation]) -> Effect:
        """Applies operations as a unit, by the rules: all of them or, with an error, none.

        Errors: ``invalid_payload``, ``file_not_found``, ``conflict``, ``quota_exceeded``, ``operation_too_large``.
        """
        size = sum(len(each.file_ids) if isinstance(each, Purge) else 1 for each in operations)
        if size > self.limits.unit:
            raise CoscribeError(Code.OPERATION_TOO_LARGE, f"{size} operations on a tree in one")
        step = _Step(self)
        try:
            for operation in operations:
                check(operation)
                step.do(operation)
        except CoscribeError:
            self.take_back(Effect(tuple(step.changes)))
            raise
        return Effect(tuple(step.changes), tuple(step.notes))

    def take_in(self, effect: Effect) -> None:
        """Makes changes that were made elsewhere, in this very state. Errors: ``file_damaged``: they do not fit, and
        nothing has changed."""
        done: list[Change] = []
        try:
            for change in effect.changes:
                self._make(change)
                done.append(change)
        except CoscribeError:
            self.take_back(Effect(tuple(done)))
            raise

    def take_back(self, effect: Effect) -> None:
        """The tree as it was before the last effect that is in it. Errors: ``file_damaged``: it is not the last one."""
        for file_id, before, after in reversed(effect.changes):
            self._make(Change(file_id, after, before))

    # ---- as a whole

    def encode(self) -> bytes:
        """The tree as JSON in UTF-8. Equal trees have equal bytes."""
        nodes = [[file_id, *node.state] for file_id, node in sorted(self._nodes.items()) if file_id != ROOT]
        whole = {"format": FORMAT, "foldsCase": self.folds_case, "nodes": nodes}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    def decode(encoded: bytes, limits: TreeLimits = TreeLimits()) -> Tree:  # noqa: B008
        """The inverse of `encode`. Errors: ``file_damaged``: it is no tree."""
        try:
            whole = json.loads(encoded)
            if whole["format"] != FORMAT or not isinstance(whole["foldsCase"], bool):
                raise ValueError("of an unknown format")
            nodes = [(_text(file_id), _decoded(fields)) for file_id, *fields in whole["nodes"]]
        except (ValueError, KeyError, TypeError, RecursionError, CoscribeError) as error:
            raise CoscribeError(Code.FILE_DAMAGED, f"the tree cannot be read: {error}") from None
        return Tree.of(nodes, folds_case=whole["foldsCase"], limits=limits)

    @staticmethod
    def of(
        nodes: Iterable[tuple[str, NodeState]],
        *,
        folds_case: bool = False,
        limits: TreeLimits = TreeLimits(),  # noqa: B008
    ) -> Tree:
        """A tree of nodes in any order. Errors: ``file_damaged``: they are none."""
        tree = Tree(folds_case=folds_case, limits=limits)
        inside: dict[str, list[str]] = {}
        for file_id, state in nodes:
            if file_id in tree._nodes:
                raise CoscribeError(Code.FILE_DAMAGED, "the tree has an id twice", file_id=file_id)
            tree._nodes[file_id] = _Node(state)
            inside.setdefault(state.parent_id, []).append(file_id)
        hung = [ROOT]
        for folder_id in hung:  # it grows meanwhile; a folder is hung before what is in it
            for file_id in inside.get(folder_id, ()):
                state = tree._nodes[file_id].state
                tree._check_fits(file_id, None, state)
                tree._hang(file_id, state)
                hung.append(file_id)
        if len(hung) != len(tree._nodes):
            raise CoscribeError(Code.FILE_DAMAGED, "the tree has nodes that hang on nothing")
        return tree

    # ---- steps

    def _node(self, file_id: str) -> _Node:
        node = self._nodes.get(file_id)
        if node is None or file_id == ROOT:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {file_id!r} in the tree", file_id=file_id)
        return node

    def _upwards(self, file_id: str) -> list[str]:
        """A node and the folders above it, without the root. Errors: ``file_not_found``."""
        node, way = self._node(file_id), []
        while file_id != ROOT:
            way.append(file_id)
            file_id = node.state.parent_id
            node = self._nodes[file_id]
        return way

    def _key(self, name: str) -> str:
        return fold(name) if self.folds_case else name

    def _holder(self, parent_id: str, name: str) -> str | None:
        """The id of whatever has a name in a folder."""
        return self._nodes[parent_id].names.get(self._key(name))

    def _depth(self, file_id: str) -> int:
        return 0 if file_id == ROOT else len(self._upwards(file_id))

    def _make(self, change: Change) -> None:
        """One change, whatever the rules say. Errors: ``file_damaged``: the node is not in the state before it."""
        file_id, before, after = change
        node = self._nodes.get(file_id)
        if file_id == ROOT or (node.state if node is not None else None) != before:
            raise CoscribeError(Code.FILE_DAMAGED, "the file is not as the change says it was", file_id=file_id)
        if after is not None:
            self._check_fits(file_id, before, after)
        if node is not None and before is not None:
            if node.children and (after is None or after.kind != "directory"):
                raise CoscribeError(Code.FILE_DAMAGED, "something is in the folder that goes", file_id=file_id)
            parent = self._nodes[before.parent_id]
            self._count(before.parent_id, node.height, 0)
            del parent.children[file_id]
            if not before.trashed:
                del parent.names[self._key(before.name)]
        if after is None:
            self._nodes.pop(file_id, None)
            return
        if node is None:
            self._nodes[file_id] = _Node(after)
        else:
            node.state = after
        self._hang(file_id, after)

    def _check_fits(self, file_id: str, before: NodeState | None, after: NodeState) -> None:
        """Whether a state leaves a tree. Errors: ``file_damaged``."""
        parent = self._nodes.get(after.parent_id)
        if parent is None or parent.state.kind != "directory":
            raise CoscribeError(Code.FILE_DAMAGED, f"{after.parent_id!r} is no folder", file_id=file_id)
        if not after.trashed and self._holder(after.parent_id, after.name) not in (None, file_id):
            raise CoscribeError(Code.FILE_DAMAGED, f"the name {after.name!r} is taken", file_id=file_id)
        if before is not None and before.parent_id != after.parent_id and self._is_within(after.parent_id, file_id):
            raise CoscribeError(Code.FILE_DAMAGED, "a folder inside itself", file_id=file_id)

    def _is_within(self, file_id: str, folder_id: str) -> bool:
        return file_id != ROOT and folder_id in self._upwards(file_id)

    def _hang(self, file_id: str, state: NodeState) -> None:
        """Puts a node into its folder."""
        parent = self._nodes[state.parent_id]
        self._count(state.parent_id, 0, self._nodes[file_id].height)
        parent.children[file_id] = None
        if not state.trashed:
            parent.names[self._key(state.name)] = file_id

    def _count(self, folder_id: str, gone: int, come: int) -> None:
        """What is in a folder, and so it and those above, gets another height: of ``gone`` levels ``come``; 0: none."""
        while gone != come:
            node = self._nodes[folder_id]
            was, heights = node.height, node.heights
            if gone:
                heights[gone] -= 1
                if not heights[gone]:
                    del heights[gone]
            if come:
                heights[come] = heights.get(come, 0) + 1
            node.height = 1 + max(heights, default=0)
            if folder_id == ROOT:
                break
            gone, come, folder_id = was, node.height, node.state.parent_id


class _Step:
    """A unit on its way: what it has changed so far."""

    __slots__ = ("changes", "notes", "tree", "tries")

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.tries = 0
        self.changes: list[Change] = []
        self.notes: list[Note] = []

    def do(self, operation: TreeOperation) -> None:
        if isinstance(operation, Create):
            self._create(operation)
        elif isinstance(operation, Move):
            self._move(operation)
        elif isinstance(operation, Delete):
            self._delete(operation)
        elif isinstance(operation, Restore):
            self._restore(operation)
        elif isinstance(operation, Put):
            self._put(operation)
        elif isinstance(operation, SetProperty):
            self._set_property(operation)
        else:
            self._purge(operation)

    def _create(self, operation: Create) -> None:
        tree, file_id, parent_id = self.tree, operation.file_id, operation.parent_id
        if file_id in tree:
            raise CoscribeError(Code.CONFLICT, "a file has that id", file_id=file_id)
        self._folder(parent_id)
        if len(tree) >= tree.limits.nodes:
            raise CoscribeError(Code.QUOTA_EXCEEDED, f"the workspace has {len(tree)} files", file_id=file_id)
        if tree._depth(parent_id) >= tree.limits.depth:
            raise CoscribeError(Code.QUOTA_EXCEEDED, f"more than {tree.limits.depth} folders deep", file_id=file_id)
        if not tree.is_live(parent_id):
            self._note(file_id, "trashed_folder")
        name = self._free_name(file_id, parent_id, operation.name, operation.kind, operation.exact)
        properties = tuple(sorted(operation.properties))
        self._change(file_id, NodeState(parent_id, name, operation.kind, False, operation.content, properties))

    def _move(self, operation: Move) -> None:
        tree, file_id = self.tree, operation.file_id
        state = tree.state(file_id)
        parent_id, name = state.parent_id, state.name if operation.name is None else operation.name
        if operation.parent_id is not None and operation.parent_id != parent_id:
            self._folder(operation.parent_id)
            why = self._obstacle(file_id, operation.parent_id)
            if why is None:
                parent_id = operation.parent_id
            else:
                self._note(file_id, why)
        if not state.trashed:
            self._replace(operation, parent_id, name)
            name = self._free_name(file_id, parent_id, name, state.kind, operation.exact)
        properties = state.properties
        if name != state.name:
            properties = tuple(pair for pair in properties if pair[0] != "diskName")
        self._change(file_id, state._replace(parent_id=parent_id, name=name, properties=properties))

    def _obstacle(self, file_id: str, parent_id: str) -> Why | None:
        """Why a node cannot go into a folder; None: it can."""
        tree = self.tree
        if tree._is_within(parent_id, file_id):
            return "cycle"
        if tree.is_live(file_id) and not tree.is_live(parent_id):
            return "trashed_folder"
        if tree._depth(parent_id) + tree._nodes[file_id].height > tree.limits.depth:
            return "too_deep"
        return None

    def _replace(self, operation: Move, parent_id: str, name: str) -> None:
        """Trashes what is to be replaced, if it is what has the name."""
        taken_by = self.tree._holder(parent_id, name)
        if taken_by is not None and taken_by == operation.replaces and taken_by != operation.file_id:
            self._change(taken_by, self.tree.state(taken_by)._replace(trashed=True))

    def _delete(self, operation: Delete) -> None:
        state = self.tree.state(operation.file_id)
        if state.trashed:
            self._note(operation.file_id, "already")
        else:
            self._change(operation.file_id, state._replace(trashed=True))

    def _restore(self, operation: Restore) -> None:
        tree, file_id = self.tree, operation.file_id
        state = tree.state(file_id)
        if tree.is_live(file_id):
            self._note(file_id, "already")
            return
        wanted = state.parent_id if operation.parent_id is None else operation.parent_id
        self._folder(wanted)
        parent_id = wanted if tree.is_live(wanted) else state.parent_id
        while not tree.is_live(parent_id):
            parent_id = tree.state(parent_id).parent_id
        if parent_id != wanted:
            self._note(file_id, "moved_up")
        if parent_id != state.parent_id and tree._depth(parent_id) + tree._nodes[file_id].height > tree.limits.depth:
            self._note(file_id, "too_deep")
            parent_id = ROOT
        name = state.name if operation.name is None else operation.name
        name = self._free_name(file_id, parent_id, name, state.kind, False)
        self._change(file_id, state._replace(parent_id=parent_id, name=name, trashed=False))

    def _put(self, operation: Put) -> None:
        state = self.tree.state(operation.file_id)
        if state.kind == "directory":
            raise CoscribeError(Code.INVALID_PAYLOAD, "a folder has no content", file_id=operation.file_id)
        self._change(operation.file_id, state._replace(kind=operation.kind, content=operation.content))

    def _set_property(self, operation: SetProperty) -> None:
        state = self.tree.state(operation.file_id)
        properties = dict(state.properties)
        properties.pop(operation.key, None)
        if operation.value:
            properties[operation.key] = operation.value
        self._change(operation.file_id, state._replace(properties=tuple(sorted(properties.items()))))

    def _purge(self, operation: Purge) -> None:
        tree = self.tree
        for file_id in operation.file_ids:
            tree.state(file_id)
        named = dict.fromkeys(operation.file_ids)
        # A folder after what is in it: so whatever of it was not named is still there when its turn comes.
        for file_id in sorted(named, key=lambda each: (-tree._depth(each), each)):
            if tree.is_live(file_id):
                self._note(file_id, "already")
            elif tree._nodes[file_id].children:
                self._note(file_id, "kept")
            else:
                self._change(file_id, None)

    def _folder(self, parent_id: str) -> None:
        """Errors: ``file_not_found``, ``invalid_payload``: it is no folder."""
        if parent_id != ROOT and self.tree.state(parent_id).kind != "directory":
            raise CoscribeError(Code.INVALID_PAYLOAD, f"{parent_id!r} is no folder", file_id=parent_id)

    def _free_name(self, file_id: str, parent_id: str, name: str, kind: str, exact: bool) -> str:
        """The name, or the first numbered one that is free. Errors: ``conflict``, ``operation_too_large``."""
        if self.tree._holder(parent_id, name) in (None, file_id):
            return name
        if not exact:
            for number in range(2, MAX_NUMBER + 1):
                self.tries += 1
                if self.tries > MAX_TRIES:
                    raise CoscribeError(Code.OPERATION_TOO_LARGE, "too many names in one that are taken")
                candidate = numbered(name, kind, number)
                if self.tree._holder(parent_id, candidate) in (None, file_id):
                    self._note(file_id, "numbered")
                    return candidate
        raise CoscribeError(Code.CONFLICT, f"the name {name!r} is taken", file_id=file_id)

    def _change(self, file_id: str, after: NodeState | None) -> None:
        before = self.tree.state(file_id) if file_id in self.tree else None
        if before != after:
            change = Change(file_id, before, after)
            self.tree._make(change)
            self.changes.append(change)

    def _note(self, file_id: str, why: Why) -> None:
        self.notes.append(Note(file_id, why))


def inverse(effect: Effect) -> list[TreeOperation]:
    """Operations that undo an effect, for somebody who changes their mind: a later operation like any other.

    Applied right behind that of a single operation they make the live tree what it was, where each node was live
    before, trashed itself, or not there. What was created is in the trash afterwards; what was purged does not come
    back; and what was taken out of a folder in the trash does not go back there, as nothing live does.

    The changes are undone from the last to the first. But a folder may have been replaced by something out of itself:
    it has to be there for that to go back, and its name is not free until then. So it waits in its place under another.
    """
    changes, undone = effect.changes, list[TreeOperation]()
    last = max((place for place, change in enumerate(changes) if _is_moved_out(change)), default=-1)
    waiting = _trashed_folders(changes[: max(last, 0)])
    for place, change in reversed(tuple(enumerate(changes))):
        if place == last:
            undone += [Restore(each, was.parent_id, f"~{each}") for each, was in reversed(waiting.items())]
        undone += _inverse_of(change, waits=place < last and change.file_id in waiting)
    return undone


def _inverse_of(change: Change, *, waits: bool) -> list[TreeOperation]:
    """``waits``: it is out of the trash already, under another name."""
    file_id, before, after = change
    if after is None:
        return []
    if before is None:
        return [Delete(file_id)]
    undone: list[TreeOperation] = []
    is_deletion = after.trashed and not before.trashed
    if is_deletion and not waits:
        undone.append(Restore(file_id, before.parent_id, before.name))
    if before.trashed and not after.trashed:
        undone.append(Delete(file_id))
    goes_back = is_deletion and waits
    parent_id = before.parent_id if goes_back or before.parent_id != after.parent_id else None
    name = before.name if goes_back or before.name != after.name else None
    if parent_id is not None or name is not None:
        undone.append(Move(file_id, parent_id, name))
    if (before.kind, before.content) != (after.kind, after.content):
        undone.append(Put(file_id, before.kind, before.content))
    was, now = dict(before.properties), dict(after.properties)
    if name is not None:
        now.pop("diskName", None)
    keys = sorted({*was, *now})
    return undone + [SetProperty(file_id, key, was.get(key, "")) for key in keys if was.get(key) != now.get(key)]


def _is_moved_out(change: Change) -> bool:
    """Whether it took something live out of a folder."""
    _, before, after = change
    if before is None or after is None or before.trashed or after.trashed:
        return False
    return before.parent_id not in (ROOT, after.parent_id)


def _trashed_folders(changes: Sequence[Change]) -> dict[str, NodeState]:
    """The folders that changes put into the trash, as they were. What is taken out of one later is inside it, perhaps:
    the changes do not say."""
    found: dict[str, NodeState] = {}
    for file_id, before, after in changes:
        if before is None or after is None or not after.trashed:
            found.pop(file_id, None)
        elif before.kind == "directory" and not before.trashed:
            found[file_id] = before
    return found


def node_id(workspace_id: str, operation_id: str, place: int) -> str:
    """The id of what the operation at a place of a unit creates: used once, for operation ids are, and known to whoever
    asks for it before the answer comes."""
    digest = sha256(f"{workspace_id}\n{operation_id}\n{place}".encode()).digest()
    return "f" + b32encode(digest)[:25].decode().lower()


def is_node_id(file_id: str) -> bool:
    """Whether an id has the form of those that `node_id` makes; no document may have one."""
    return _NODE_ID.fullmatch(file_id) is not None


def fold(name: str) -> str:
    """What names have in common that differ in case, or in how their accents are written. Of the two Unicode tables
    that a client and a server may have the server's counts: effects hold names, and are not worked out again."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).upper().lower())


def numbered(name: str, kind: str, number: int) -> str:
    """``notes (2).txt`` of ``notes.txt``; a folder's number is at the end. Too long a name is cut before the number."""
    stem, extension = name, ""
    dot = name.rfind(".")
    if kind != "directory" and dot > 0 and len(name[dot:].encode()) <= MAX_EXTENSION:
        stem, extension = name[:dot], name[dot:]
    tail = f" ({number}){extension}"
    while len(stem.encode()) + len(tail.encode()) > MAX_NAME:
        stem = stem[:-1]
    return stem + tail


def check(operation: TreeOperation) -> None:
    """Whether an operation has the form it must have, in whatever tree. Errors: ``invalid_payload``."""
    if isinstance(operation, Create):
        _check_name(operation.name)
        _check_content(operation.kind, operation.content, may_be_folder=True)
        if len({key for key, _ in operation.properties}) < len(operation.properties):
            raise CoscribeError(Code.INVALID_PAYLOAD, "a property is there twice")
        for key, value in operation.properties:
            _check_property(key, value)
    elif isinstance(operation, Move):
        if operation.parent_id is None and operation.name is None:
            raise CoscribeError(Code.INVALID_PAYLOAD, "a move says where to, or which name, or both")
        if operation.name is not None:
            _check_name(operation.name)
    elif isinstance(operation, Restore):
        if operation.name is not None:
            _check_name(operation.name)
    elif isinstance(operation, Put):
        _check_content(operation.kind, operation.content, may_be_folder=False)
    elif isinstance(operation, SetProperty) and (operation.value or operation.key not in PROPERTIES):
        _check_property(operation.key, operation.value)


def _check_name(name: str) -> None:
    if not name or name in (".", "..") or _UNNAMEABLE.search(name):
        raise CoscribeError(Code.INVALID_PAYLOAD, "a name is not empty, not . or .., and has no slash and no NUL")
    if len(name.encode()) > MAX_NAME:
        raise CoscribeError(Code.INVALID_PAYLOAD, f"a name has at most {MAX_NAME} bytes")
    if len(name) <= 4 and fold(name) == ".git":
        raise CoscribeError(Code.INVALID_PAYLOAD, ".git is never part of the tree: what is in it is run")


def _check_content(kind: str, content: str, *, may_be_folder: bool) -> None:
    if kind not in KINDS or (kind == "directory" and not may_be_folder):
        raise CoscribeError(Code.INVALID_PAYLOAD, f"{kind[:40]!r} is no kind that it can have")
    if kind == "binary":
        fits = _SHA256.fullmatch(content) is not None
    elif kind == "symlink":
        fits = 0 < len(content) <= 4_095 and _UNLINKABLE.search(content) is None
    else:
        fits = not content
    if not fits:
        raise CoscribeError(Code.INVALID_PAYLOAD, f"that cannot be the content of a {kind}")


def _check_property(key: str, value: str) -> None:
    form = PROPERTIES.get(key)
    if form is None or form.fullmatch(value) is None:
        raise CoscribeError(Code.INVALID_PAYLOAD, f"{key[:40]!r} cannot be {value[:40]!r}")


def _decoded(fields: list[object]) -> NodeState:
    """Raises ValueError, TypeError, CoscribeError."""
    parent_id, name, kind, trashed, content, properties = fields
    if not isinstance(trashed, bool) or not isinstance(properties, list):
        raise TypeError("a node is not of the form")
    pairs = tuple((_text(key), _text(value)) for key, value in properties)
    state = NodeState(_text(parent_id), _text(name), _text(kind), trashed, _text(content), pairs)
    check(Create("", state.parent_id, state.name, state.kind, state.content, state.properties))
    return state


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a node is not of the form")
    return value
