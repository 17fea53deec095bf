"""The past of a workspace, for those who may see it: all of it as it was at a sequence.

    who asks, a sequence --> Moment: the tree as it was, of it what one may see; texts and bytes of it, one or all

Who may: editors, as with the past of a document, for what was deleted is in it. The rules about paths are those of
today; see `paths.seen_then`. They are asked for again while something long is read.

Trees that were worked out are kept for a while: whoever opens one folder of the past opens the next.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Tree
from coscribe.documents.blobs import disk_as_refusal
from coscribe.documents.collaboration import Collaboration, Present
from coscribe.documents.encoding import encode
from coscribe.documents.file_system import Contents, Entry, Listing, entry_of, names_of, nothing
from coscribe.documents.past import TextAt
from coscribe.documents.past_tree import PastTree
from coscribe.documents.paths import may_know, seen_then
from coscribe.documents.ports import BlobStore, Identity, OpLog, SnapshotRepo
from coscribe.documents.timeline import Difference, Shows, Timeline, Walk, differences
from coscribe.metrics import metrics

MAX_TREES = 4
"""Trees that are kept; and of these only as many as have together `MAX_NODES`, but one in any case."""

MAX_NODES = 200_000

PAGE = 1_000
"""Log entries read at a time."""

TIMELINE_ROWS = 20_000
"""Log entries that one page of a timeline reads."""

REVIEW = 100
"""Files of a long answer between two looks at the rights."""


class PastFile(NamedTuple):
    """Something that was there. ``content``: the bytes of a file as they were on a disk; of a link its target."""

    entry: Entry
    content: bytes


class Moment(NamedTuple):
    """A workspace at a sequence. ``tree``: what one may see of it, to be looked at only."""

    workspace_id: str
    sequence: int
    tree: Tree
    present: Present

    def find(self, path: str) -> str:
        """The id of what was at a path. Errors: ``file_not_found``, ``invalid_path``."""
        names_of(path)
        file_id = self.tree.find(path)
        if file_id is None:
            raise nothing(path)
        return file_id

    def text_at(self, path: str) -> str:
        """Likewise of a text. Errors: ``not_a_text``."""
        file_id = self.find(path)
        if file_id == ROOT or self.tree.state(file_id).kind != "text":
            raise CoscribeError(Code.NOT_A_TEXT, f"{path!r} is no text", file_id=file_id)
        return file_id

    def entry(self, file_id: str) -> Entry:
        return entry_of(self.tree, self.workspace_id, file_id)

    def below(self, file_id: str) -> list[Entry]:
        """Something and all that was live below it, by path, a folder before what is in it."""
        found: list[Entry] = [] if file_id == ROOT else [self.entry(file_id)]
        is_folder = file_id == ROOT or self.tree.state(file_id).kind == "directory"
        waiting = [file_id] if is_folder else []
        while waiting:
            for _, child in self.tree.children(waiting.pop()):
                found.append(self.entry(child))
                if self.tree.state(child).kind == "directory":
                    waiting.append(child)
        return sorted(found, key=lambda entry: entry.path.split("/"))


class WorkspacePast:
    """All raise CoscribeError: ``file_not_found``, ``permission_denied``, ``base_version_future``: there is no such
    sequence yet; ``history_pruned``, ``file_damaged``, ``storage_unavailable``."""

    def __init__(self, collaboration: Collaboration, op_log: OpLog, snapshots: SnapshotRepo, blobs: BlobStore) -> None:
        self._collaboration = collaboration
        self._op_log = op_log
        self._snapshots = snapshots
        self._blobs = blobs
        self._trees: OrderedDict[tuple[int, str, int], Tree] = OrderedDict()
        self._forgotten = 0

    def forget(self, workspace_key: int) -> None:
        """The past of a workspace is another one now: it was redacted."""
        self._forgotten += 1
        for moment in [each for each in self._trees if each[0] == workspace_key]:
            del self._trees[moment]

    def forget_all(self) -> None:
        """Other instances may redact what is theirs from now on."""
        self._forgotten += 1
        self._trees.clear()
        metrics.past_trees.set(0)

    # ---- a moment

    async def moment(self, identity: Identity, workspace_id: str, sequence: int | None) -> Moment:
        """The workspace as it was at a sequence; None: as it is."""
        present = await self._present(identity, workspace_id, with_nodes=False)
        wanted = present.sequence if sequence is None else sequence
        tree = self._kept(present, wanted)
        if tree is not None and present.rights.is_uniform:
            return Moment(workspace_id, wanted, tree, present)
        present = await self._collaboration.present(identity, workspace_id, with_nodes=True)
        if tree is None:
            tree = await self._worked_out(present, wanted)
        if not present.rights.is_uniform:
            tree = await asyncio.to_thread(_seen, tree, present)
        return Moment(workspace_id, wanted, tree, present._replace(nodes=()))

    async def list(self, identity: Identity, workspace_id: str, path: str, sequence: int) -> Listing:
        """What was in a folder. Errors: ``invalid_path``: it was none."""
        moment = await self.moment(identity, workspace_id, sequence)
        folder_id = moment.find(path)
        if folder_id != ROOT and moment.tree.state(folder_id).kind != "directory":
            raise CoscribeError(Code.INVALID_PATH, f"{path!r} was no folder", file_id=folder_id)
        return Listing([moment.entry(child) for _, child in moment.tree.children(folder_id)], sequence)

    async def read(self, identity: Identity, workspace_id: str, path: str, sequence: int) -> Contents:
        """A file as it was. Errors: ``invalid_path``: it was a folder."""
        moment = await self.moment(identity, workspace_id, sequence)
        return await self._contents(moment, moment.find(path))

    async def read_file(self, identity: Identity, workspace_id: str, file_id: str, sequence: int | None) -> Contents:
        """Likewise by its id, wherever it was. Errors: ``file_not_found``, too, where it was in the trash."""
        moment = await self.moment(identity, workspace_id, sequence)
        if file_id not in moment.tree:
            raise CoscribeError(Code.FILE_NOT_FOUND, "it was not there", file_id=file_id)
        if not moment.tree.is_live(file_id):
            raise CoscribeError(Code.FILE_NOT_FOUND, "it was in the trash", file_id=file_id)
        return await self._contents(moment, file_id)

    async def _contents(self, moment: Moment, file_id: str) -> Contents:
        entry = moment.entry(file_id)
        if entry.kind == "directory":
            raise CoscribeError(Code.INVALID_PATH, f"{entry.path!r} was a folder", file_id=entry.file_id)
        if entry.kind != "text":
            return Contents(entry, None)
        return Contents(entry, await self.text(moment, entry.file_id))

    async def texts(self, moment: Moment, file_ids: Iterable[str]) -> AsyncIterator[tuple[str, TextAt]]:
        """The texts of many files as they were, each with its id, in the order in which they are asked for."""
        keys = await self._op_log.keys(moment.present.workspace_key)
        wanted = {keys[file_id]: file_id for file_id in file_ids}
        async for key, text in self.reader(moment.present).texts(wanted, moment.sequence):
            yield wanted[key], text

    async def text(self, moment: Moment, file_id: str) -> TextAt:
        """The text of one file as it was."""
        keys = await self._op_log.keys(moment.present.workspace_key)
        return await self.reader(moment.present).text(keys[file_id], moment.sequence)

    async def made_at(self, moment: Moment) -> int:
        """When it was that: the time of its last entry, in microseconds since 1970; 0: there was none yet, or it is not
        there any more."""
        key, sequence = moment.present.workspace_key, moment.sequence
        if sequence <= (await self._op_log.pruned(key)).sequence:
            return 0
        (row,) = await self._op_log.read(key, sequence - 1, through=sequence, limit=1)
        return row.time

    async def files(self, identity: Identity, moment: Moment, path: str) -> AsyncIterator[PastFile]:
        """All that was at a path and below it, by path, with its bytes. A group of texts, or one binary file, is in
        memory at a time. It ends with an error where the rights are others meanwhile, or bytes are not what they
        were."""
        entries = moment.below(moment.find(path))
        texts = self.texts(moment, [entry.file_id for entry in entries if entry.kind == "text"])
        for number, entry in enumerate(entries, 1):
            if number % REVIEW == 0:
                await self._review(identity, moment)
            if entry.kind == "text":
                _, found = await anext(texts)
                yield PastFile(entry, await asyncio.to_thread(encode, found.text, entry.properties))
            elif entry.kind == "binary":
                with disk_as_refusal():
                    content = await self._blobs.read(entry.content)
                yield PastFile(entry, content)
            else:
                yield PastFile(entry, entry.content.encode())

    # ---- what was done

    async def timeline(self, identity: Identity, workspace_id: str, before: int | None, limit: int) -> Timeline:
        """The last ``limit`` sessions of work that led to the sequence ``before`` (None: to the present)."""
        present = await self._present(identity, workspace_id, with_nodes=True)
        reader, oldest = self.reader(present), (await self._op_log.pruned(present.workspace_key)).sequence
        through = present.sequence if before is None else before
        tree = await reader.tree(await asyncio.to_thread(_tree_of, present), through)
        names = {key: file_id for file_id, key in (await self._op_log.keys(present.workspace_key)).items()}
        walk = Walk(tree, names, await asyncio.to_thread(_shows, present), limit)
        budget = TIMELINE_ROWS
        while through > oldest and budget > 0:
            after = max(oldest, through - PAGE)
            rows = await self._op_log.read(present.workspace_key, after, through=through, limit=PAGE)
            reached = await asyncio.to_thread(walk.back, rows)
            budget -= through - reached
            through = reached
            if reached > after:
                break
        if through > oldest:
            (row,) = await self._op_log.read(present.workspace_key, through - 1, through=through, limit=1)
            walk.cut(row.time)
        return Timeline(walk.sessions, through if through > oldest else None)

    async def differences(
        self, identity: Identity, workspace_id: str, before: int, after: int | None
    ) -> Sequence[Difference]:
        """What is another thing at the sequence ``after`` (None: now) than it was ``before``. Errors:
        ``invalid_request``: that is not the earlier one."""
        other = await self.moment(identity, workspace_id, after)
        one = await self.moment(identity, workspace_id, before)
        if before > other.sequence:
            raise CoscribeError(Code.INVALID_REQUEST, "the first sequence is the earlier one")
        names = {key: file_id for file_id, key in (await self._op_log.keys(one.present.workspace_key)).items()}
        edited = {names[key] for key in await self.reader(one.present).edited(before, other.sequence) if key in names}
        return await asyncio.to_thread(differences, one.tree, other.tree, edited)

    async def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Of contents that are there, by hash."""
        with disk_as_refusal():
            found = {digest: await self._blobs.size(digest) for digest in dict.fromkeys(digests)}
        return {digest: size for digest, size in found.items() if size is not None}

    def reader(self, present: Present) -> PastTree:
        return PastTree(self._op_log, self._snapshots, present.workspace_key, present.sequence)

    # ---- steps

    async def _present(self, identity: Identity, workspace_id: str, *, with_nodes: bool) -> Present:
        """Errors: ``permission_denied``; those of `Collaboration.present`."""
        present = await self._collaboration.present(identity, workspace_id, with_nodes=with_nodes)
        if not present.rights.recalls_any:
            raise CoscribeError(Code.PERMISSION_DENIED, "the past is for editors", file_id=workspace_id)
        return present

    async def _review(self, identity: Identity, moment: Moment) -> None:
        """Errors: ``permission_denied``: what one may see is another thing by now; those of `Collaboration.present`."""
        now = await self._collaboration.present(identity, moment.workspace_id, with_nodes=False)
        was = moment.present
        if not now.rights.recalls_any or (now.incarnation, now.rights.view) != (was.incarnation, was.rights.view):
            raise CoscribeError(Code.PERMISSION_DENIED, "rights have changed meanwhile", file_id=moment.workspace_id)

    def _kept(self, present: Present, wanted: int) -> Tree | None:
        key = (present.workspace_key, present.incarnation, wanted)
        tree = self._trees.get(key)
        if tree is not None:
            self._trees.move_to_end(key)
        return tree

    async def _worked_out(self, present: Present, wanted: int) -> Tree:
        forgotten = self._forgotten
        tree = await self.reader(present).tree(await asyncio.to_thread(_tree_of, present), wanted)
        if forgotten != self._forgotten:
            return tree  # it may have been read before that
        self._trees[present.workspace_key, present.incarnation, wanted] = tree
        while len(self._trees) > MAX_TREES or (
            len(self._trees) > 1 and sum(len(each) for each in self._trees.values()) > MAX_NODES
        ):
            self._trees.popitem(last=False)
        metrics.past_trees.set(len(self._trees))
        return tree


def _tree_of(present: Present) -> Tree:
    return Tree.of(present.nodes, folds_case=present.folds_case)


def _shows(present: Present) -> Shows:
    """Whether something of a tree of the past may be told of."""
    if present.rights.is_uniform:
        return lambda _tree, _file_id: True
    now, rights = _tree_of(present), present.rights
    return lambda tree, file_id: may_know(tree, now, file_id, rights)


def _seen(then: Tree, present: Present) -> Tree:
    return Tree.of(seen_then(then, _tree_of(present), present.rights), folds_case=then.folds_case)
