"""A workspace, or a part of it, made what it was: by new operations, as somebody would do it by hand.

    then, now --plan--> operations on the tree, in units of `MAX_UNIT` --> texts, each by what differs

The past stays, and so does what others do meanwhile: nothing is refused because somebody was quicker, the rules of the
tree decide as always. What has appeared since goes into the trash, so all of it can be undone: by restoring what was
right before. What was purged is made anew, under another id.

The plan is made on a copy of the tree, one operation after the other, folders first: a folder is where it was before
anything is brought into it, so nothing ever has to go into itself. What has a name that is needed makes room in the
trash, and is brought back from there when its turn comes: so two files get back that have exchanged their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import (
    ROOT,
    Create,
    Delete,
    Move,
    NodeState,
    Purge,
    Put,
    Restore,
    SetProperty,
    Tree,
    TreeOperation,
    node_id,
)
from coscribe.documents.collaboration import Collaboration, Planned
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity
from coscribe.documents.workspace_past import Moment, WorkspacePast
from coscribe.protocol import codec, messages

MAX_UNIT = 1_000
"""Operations on the tree in one unit."""

_NEW = "new:"
"""Begins what stands in a plan for the id of a file that it makes: no id has a colon."""


class Plan(NamedTuple):
    """Units of operations, one after the other. ``files``: by the id that a file had, the one that it will have, for
    all that is to be there; it may be one that stands for a new file's."""

    units: tuple[tuple[TreeOperation, ...], ...]
    files: dict[str, str]


def plan(then: Tree, now: Tree, top: str) -> Plan:
    """What makes ``top`` (a node of ``then``, or the root) and all that was live below it what it was. ``now``: what
    one may see of the present; it is used up."""
    work = _Work(now)
    wanted = {file_id: then.state(file_id) for file_id in _live(then, top)}
    for file_id, state in wanted.items():
        work.bring(file_id, state, _parent(work, then, state.parent_id))
    work.clear(work.files.get(top, top), set(work.files.values()))
    operations = work.operations
    units = tuple(tuple(operations[at : at + MAX_UNIT]) for at in range(0, len(operations), MAX_UNIT))
    return Plan(units, work.files)


class _Work:
    """A plan that is being made: operations, and the tree as they leave it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.operations: list[TreeOperation] = []
        self.files: dict[str, str] = {}

    def do(self, operation: TreeOperation) -> None:
        self.operations.append(operation)
        self.tree.apply([operation])

    def clear(self, top: str, wanted: Container[str]) -> None:
        """Puts what is live below ``top`` and is not wanted there into the trash."""
        if top != ROOT and (top not in self.tree or not self.tree.is_live(top)):
            return
        for file_id in [each for each in _live(self.tree, top) if each not in wanted and each != top]:
            if self.tree.is_live(file_id):  # else it has gone with its folder
                self.do(Delete(file_id))

    def free(self, parent_id: str, name: str, file_id: str) -> None:
        """Puts what has a name that ``file_id`` is to have into the trash. If it is wanted its turn is to come."""
        folder = self.tree.path(parent_id)
        holder = self.tree.find(f"{folder}/{name}" if folder else name)
        if holder is not None and holder != file_id:
            self.do(Delete(holder))

    def bring(self, file_id: str, state: NodeState, parent_id: str) -> None:
        """Makes one node what it was, in a folder that is there."""
        self.free(parent_id, state.name, file_id)
        if file_id not in self.tree:
            made = self.files[file_id] = f"{_NEW}{len(self.operations)}"
            self.do(Create(made, parent_id, state.name, state.kind, state.content, state.properties))
            return
        self.files[file_id] = file_id
        is_live, here = self.tree.is_live(file_id), self.tree.state(file_id)
        if not is_live:
            self.do(Restore(file_id, parent_id, state.name))
        elif here[:2] != (parent_id, state.name):
            self.do(Move(file_id, parent_id, state.name))
        if (here.kind, here.content) != (state.kind, state.content):
            self.do(Put(file_id, state.kind, state.content))
        was, properties = dict(state.properties), dict(self.tree.state(file_id).properties)
        for key in sorted({*was, *properties}):
            if was.get(key) != properties.get(key):
                self.do(SetProperty(file_id, key, was.get(key, "")))


def of_unit(
    unit: Sequence[TreeOperation], workspace_id: str, series: str, made: dict[str, str]
) -> tuple[str, list[messages.TreeEdit]]:
    """The series for a unit, and its operations as messages. ``made``: the ids of what units before it have made, to
    which its own are added.

    The same unit of the same request has the same series, however much of the request was done before: so it is done
    once.
    """
    said = msgspec.json.encode([(type(each).__name__, *_named(each, made)) for each in unit])
    series = f"{series}-{blake2b(said, digest_size=8).hexdigest()}"
    for place, operation in enumerate(unit):
        if isinstance(operation, Create):
            made[operation.file_id] = node_id(workspace_id, f"{series}:1", place)
    return series, [codec.tree_edit_of(_named(operation, made), workspace_id) for operation in unit]


def _named(operation: TreeOperation, made: Mapping[str, str]) -> TreeOperation:
    """With the ids that are known by now."""
    if isinstance(operation, Purge):
        return operation
    operation = operation._replace(file_id=made.get(operation.file_id, operation.file_id))
    if isinstance(operation, Create | Move | Restore) and operation.parent_id is not None:
        operation = operation._replace(parent_id=made.get(operation.parent_id, operation.parent_id))
    return operation


def _parent(work: _Work, then: Tree, folder_id: str) -> str:
    """The folder that something goes to: the one that it was in, or the next one above that is there."""
    while folder_id != ROOT:
        here = work.files.get(folder_id, folder_id)
        if here in work.tree and work.tree.is_live(here):
            return here
        folder_id = then.state(folder_id).parent_id
    return ROOT


def _live(tree: Tree, top: str) -> Iterator[str]:
    """Something live and all that is live below it, each behind its folder; without the root."""
    shown = {top}
    if top != ROOT:
        yield top
    for file_id in tree.below(top):
        state = tree.state(file_id)
        if state.parent_id in shown and not state.trashed:
            shown.add(file_id)
            yield file_id


class Restored(NamedTuple):
    """What was done. ``sequence``: the workspace as it was right before, to which it can be restored again."""

    sequence: int
    tree_operations: int
    texts: int


class Restoring:
    """Restores and forks what ``past`` knows, by the pipeline that everybody's operations take."""

    def __init__(self, collaboration: Collaboration, past: WorkspacePast) -> None:
        self._collaboration = collaboration
        self._past = past

    async def restore(self, identity: Identity, workspace_id: str, path: str, sequence: int, series: str) -> Restored:
        """Makes what was at a path at a sequence, and all below it, what it was; "" is everything.

        Errors: ``file_not_found``: nothing was there; ``permission_denied``: it would change what one may not;
        those of `WorkspacePast.moment` and `Collaboration.edit_tree`. What was done by then is done.
        """
        then = await self._past.moment(identity, workspace_id, sequence)
        now = await self._past.moment(identity, workspace_id, None)
        top = then.find(path)
        planned = await asyncio.to_thread(lambda: plan(then.tree, _copy(now.tree), top))
        made: dict[str, str] = {}
        for unit in planned.units:
            unit_series, edits = of_unit(unit, workspace_id, series, made)
            await self._edit_tree(identity, workspace_id, unit_series, edits)
        texts = 0
        wanted = {file_id: made.get(here, here) for file_id, here in planned.files.items()}
        async for file_id, text in self._past.texts(then, [each for each in wanted if _is_text(then.tree, each)]):
            texts += await self._rewrite(identity, wanted[file_id], text, series)
        return Restored(now.sequence, sum(map(len, planned.units)), texts)

    async def fork(self, identity: Identity, source: Moment, workspace_id: str, series: str) -> None:
        """Makes in a new and empty workspace what ``source`` was. Errors: those of `Collaboration.edit_tree`."""
        empty = Tree(folds_case=source.tree.folds_case)
        planned = await asyncio.to_thread(lambda: plan(source.tree, empty, ROOT))
        made: dict[str, str] = {}
        for unit in planned.units:
            unit_series, edits = of_unit(unit, workspace_id, series, made)
            await self._edit_tree(identity, workspace_id, unit_series, edits)
        texts = [file_id for file_id in planned.files if _is_text(source.tree, file_id)]
        async for file_id, text in self._past.texts(source, texts):
            await self._rewrite(identity, made[planned.files[file_id]], text, series)

    async def _edit_tree(
        self, identity: Identity, workspace_id: str, series: str, edits: Sequence[messages.TreeEdit]
    ) -> None:
        # Whoever may see the past may name the contents in it, also where no file has one of them any more.
        made = (each for each in edits if isinstance(each, messages.CreateNode | messages.PutContent))
        planned = Planned(edits, blobs=await self._past.sizes(each.content for each in made if each.kind == "binary"))
        await self._collaboration.edit_tree(identity, workspace_id, series, lambda _tree, _rights: planned)

    async def _rewrite(self, identity: Identity, file_id: str, text: TextAt, series: str) -> bool:
        """Makes a text what it was; whether it was another one."""
        series = f"{series}-{blake2b(file_id.encode(), digest_size=8).hexdigest()}"
        try:
            now = await self._collaboration.text(identity, file_id)
            if now.version == text.version:
                return False
            return await self._replace(identity, file_id, now.version, text.text, series)
        except CoscribeError as error:
            if error.code in (Code.FILE_NOT_FOUND, Code.NOT_A_TEXT):
                return False  # somebody was quicker: it was purged, or is something else now
            raise

    async def _replace(self, identity: Identity, file_id: str, version: int, text: str, series: str) -> bool:
        """As one operation; where that would be too long its beginning first, then what follows."""
        documents = self._collaboration
        try:
            return await documents.replace_text(identity, file_id, version, text, f"{series}:1") is not None
        except CoscribeError as error:
            if error.code is not Code.OPERATION_TOO_LARGE:
                raise
        most = documents.limits.operation_length
        for number, end in enumerate(range(most, len(text) + most, most), 2):
            place = await documents.replace_text(identity, file_id, version, text[:end], f"{series}:{number}")
            version = version if place is None else place.document_version
        return True


def _copy(tree: Tree) -> Tree:
    return Tree.of(((file_id, tree.state(file_id)) for file_id in tree.below(ROOT)), folds_case=tree.folds_case)


def _is_text(tree: Tree, file_id: str) -> bool:
    return tree.state(file_id).kind == "text"
