"""Engine: what a working tree asks of the engine, as the client that it is. All of what it is told is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation, to_edits
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import ROOT, NodeState, Tree, node_id
from coscribe.documents.blame import DISK_AUTHOR
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Collaboration, Planned, TreeEdited
from coscribe.documents.past import TextAt, components_of
from coscribe.documents.past_tree import PastTree, effect_of
from coscribe.documents.ports import Identity, OpLog, PathRights, SnapshotRepo
from coscribe.documents.watching import Watch
from coscribe.protocol import messages
from coscribe.protocol.messages import Place
from coscribe.working_tree.threads import in_thread

MAY_BE_LATER = frozenset((Code.STORAGE_UNAVAILABLE, Code.OVERLOADED, Code.RATE_LIMITED))
"""Refusals that say nothing against what was asked for."""

PAGE = 1_000
"""Log entries read at a time."""

DISK = Identity(DISK_AUTHOR, "Disk", "#767676", "editor", credential="folder:disk")
"""Whoever wrote to the disk where nobody can tell who it was."""


class Present(NamedTuple):
    """The live nodes of the tree, each behind its folder, as they were at ``sequence``."""

    nodes: dict[str, NodeState]
    sequence: int


class Changes(NamedTuple):
    """What has changed up to ``sequence``, by id: texts, those of them in which somebody else than the disk has
    written, and nodes of the tree."""

    texts: set[str]
    typed: set[str]
    nodes: set[str]
    sequence: int


class Engine:
    """One workspace. All raise CoscribeError."""

    def __init__(
        self,
        collaboration: Collaboration,
        op_log: OpLog,
        snapshots: SnapshotRepo,
        blobs: Blobs,
        workspace_id: str,
        identity: Identity = DISK,
    ) -> None:
        self._collaboration = collaboration
        self._op_log = op_log
        self._snapshots = snapshots
        self._blobs = blobs
        self._identity = identity
        self._ids: dict[int, str] = {}
        self.workspace_id = workspace_id

    async def present(self) -> Present:
        return Present(*await self._collaboration.look(self._identity, self.workspace_id, _live))

    async def incarnation(self) -> str:
        """Changes where the log is another one: it was restored from a backup."""
        return (await self._collaboration.router.session(self.workspace_id)).workspace.incarnation

    async def last_sequence(self) -> int:
        """How far the workspace has come; not all of it may be durable yet."""
        return (await self._collaboration.router.session(self.workspace_id)).last_sequence

    async def watch(self) -> Watch:
        """For being told whenever something changes."""
        return await self._collaboration.watch(self._identity, self.workspace_id)

    async def changes(self, after: int) -> Changes:
        """What has changed behind a sequence."""
        session = await self._collaboration.router.session(self.workspace_id)
        through = (await self._collaboration.look(self._identity, self.workspace_id, _nothing)).sequence
        assert session.tree is not None
        texts: set[str] = set()
        typed: set[str] = set()
        nodes: set[str] = set()
        while after < through:
            rows = await self._op_log.read(session.workspace.key, after, through=through, limit=PAGE)
            if not rows:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks entries behind {after}")
            for row in rows:
                if row.file_key == session.tree.file_key:
                    nodes.update(file_id for file_id, _, _ in effect_of(row).changes)
                else:
                    texts.add(file_id := self._id(session.tree.keys, row.file_key))
                    if row.author != self._identity.user_id:
                        typed.add(file_id)
            after = rows[-1].sequence
        return Changes(texts - {""}, typed - {""}, nodes, through)

    async def follow(self, nodes: dict[str, NodeState], changed: Collection[str]) -> set[str]:
        """Makes of live nodes what they are by now, where some have changed; says which are others, also of what was
        in a folder that is live no more, or again."""
        looked = await self._collaboration.look(
            self._identity, self.workspace_id, lambda tree, _: _others(tree, nodes, changed)
        )
        here, gone = looked.seen
        nodes.update(here)
        for file_id in gone:
            nodes.pop(file_id, None)
        return {*here, *gone}

    async def text(self, file_id: str, version: int | None = None) -> TextAt:
        """Errors: those of `Collaboration.text`."""
        return await self._collaboration.text(self._identity, file_id, version)

    async def texts_at(self, file_id: str, versions: Collection[int]) -> dict[int, str]:
        """What a text was at several versions, as far as that is to be had."""
        wanted, found = sorted(versions), dict[int, str]()
        while wanted:
            try:
                text = (await self.text(file_id, wanted[0])).text
                newest = (await self.text(file_id)).version
            except CoscribeError as error:
                if error.code in MAY_BE_LATER:
                    raise
                del wanted[0]  # it is too long ago, perhaps
                continue
            there = [version for version in wanted if version <= newest]  # less, where a backup was restored
            found |= await in_thread(_played, text, await self._between(file_id, there), there)
            break
        return found

    async def _between(self, file_id: str, versions: Sequence[int]) -> list[Operation]:
        return await self.operations(file_id, versions[0], versions[-1], "") if len(versions) > 1 else []

    async def texts(self, file_ids: Sequence[str]) -> AsyncIterator[tuple[str, TextAt]]:
        """The texts of many files, by id, as they are at one moment; of what is no text any more there is none. What
        is not in memory is read together, and is not in memory afterwards either."""
        looked = await self._collaboration.texts_at_hand(self._identity, self.workspace_id, file_ids)
        for file_id, at in looked.seen.items():
            yield file_id, at
        session = await self._collaboration.router.session(self.workspace_id)
        assert session.tree is not None
        tree, others = session.tree.state.tree, (each for each in file_ids if each not in looked.seen)
        keys = {session.tree.keys[each]: each for each in others if each in tree and tree.state(each).kind == "text"}
        past = PastTree(self._op_log, self._snapshots, session.workspace.key, looked.sequence)
        async for key, at in past.texts(keys, looked.sequence):
            yield keys[key], at

    async def blob(self, digest: str) -> bytes:
        """A content that is kept whole. Errors: ``file_damaged``."""
        return await self._blobs.store.read(digest)

    def filled(self, content: bytes) -> bytes:
        """A content without what was redacted of the workspace."""
        withheld = self._collaboration.router.withheld.get(self.workspace_id)
        return content if withheld is None else withheld.filled(content)

    async def keep(self, content: bytes) -> str:
        """Keeps a content whole; its SHA-256 in hex."""
        return (await self._blobs.keep(content)).digest

    async def operations(self, file_id: str, after: int, through: int, but: str) -> list[Operation]:
        """What made version ``through`` of a text of its version ``after``, without the operation of one id."""
        session = await self._collaboration.router.session(self.workspace_id)
        assert session.tree is not None
        key = session.tree.keys.get(file_id)
        if key is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, file_id=file_id)
        found: list[Operation] = []
        while after < through:
            last = session.durable_sequence
            rows = await self._op_log.read_versions(key, after, last, min(PAGE, through - after))
            for row in rows:
                if after < row.version <= through:
                    after = row.version
                    if row.operation_id != but:
                        found.append(components_of(row))
            if not rows:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks version {after + 1}", file_id=file_id)
        return found

    async def edit(self, file_id: str, base_version: int, operation: Operation, operation_id: str) -> Place:
        """An edit of a text at a version. Errors: those of `Collaboration.edit`."""
        message = messages.Operation(
            file_id, operation_id, self._identity.user_id, base_version, "batch", 0, to_edits(operation)
        )
        return (await self._collaboration.edit(self._identity, message))[0]

    async def edit_tree(
        self, series: str, edits: Sequence[messages.TreeEdit], texts: Mapping[int, str] | None = None
    ) -> TreeEdited:
        """Operations on the tree as one, with the texts of what they make by place. With a series that was used before,
        its place. The contents that it names were kept before. Errors: those of `Collaboration.edit_tree`."""
        sizes = {digest: await self._blobs.store.size(digest) for digest in _named(edits)}
        blobs = {digest: size for digest, size in sizes.items() if size is not None}

        def plan(_: Tree, __: PathRights) -> Planned:
            return Planned(edits, {place: text for place, text in (texts or {}).items() if text}, blobs)

        edited = await self._collaboration.edit_tree(self._identity, self.workspace_id, series, plan)
        self._blobs.let_go(list(sizes))
        return edited

    async def place_of(self, file_id: str, operation_id: str) -> Place | None:
        """Where an operation of ours is; None: it is not."""
        return await self._collaboration.committed(self._identity, file_id, operation_id)

    def made(self, series: str, place: int) -> str:
        """The id of what the operation at a place of `edit_tree` makes."""
        return node_id(self.workspace_id, f"{series}:1", place)

    @property
    def operation_length(self) -> int:
        """Code points that one operation inserts at most."""
        return self._collaboration.limits.operation_length

    def version_made(self, text: str) -> int:
        """The version of a text that was made together with its file."""
        return -(-len(text) // self.operation_length)

    def _id(self, keys: Mapping[str, int], key: int) -> str:
        """The id of a file by its key; "": it was purged."""
        if key not in self._ids:
            self._ids = {known: file_id for file_id, known in keys.items()}
        return self._ids.get(key, "")


def _played(text: str, operations: Iterable[Operation], versions: Sequence[int]) -> dict[int, str]:
    """The text at versions; at the first of them it is ``text``, and each operation makes the next."""
    found, version, wanted, buffer = {versions[0]: text}, versions[0], set(versions), TextBuffer(text)
    for operation in operations:
        buffer.apply(operation)
        version += 1
        if version in wanted:
            found[version] = str(buffer)
    return found


def _named(edits: Sequence[messages.TreeEdit]) -> set[str]:
    return {
        edit.content
        for edit in edits
        if isinstance(edit, messages.CreateNode | messages.PutContent) and edit.kind == "binary"
    }


def _others(
    tree: Tree, nodes: Mapping[str, NodeState], changed: Iterable[str]
) -> tuple[dict[str, NodeState], list[str]]:
    """What is live of what has changed, and what is not."""
    here: dict[str, NodeState] = {}
    gone: list[str] = []
    for file_id in changed:
        if file_id not in tree:
            gone.append(file_id)
        elif not tree.is_live(file_id):
            gone += [file_id, *tree.below(file_id)]
        else:
            here[file_id] = tree.state(file_id)
            if file_id not in nodes:
                here |= _below(tree, file_id)
    return here, gone


def _live(tree: Tree, _: PathRights) -> dict[str, NodeState]:
    return _below(tree, ROOT)


def _below(tree: Tree, file_id: str) -> dict[str, NodeState]:
    """What is live below something that is."""
    found: dict[str, NodeState] = {}
    folders = [file_id]
    for folder in folders:  # it grows meanwhile
        for _name, child in tree.children(folder):
            found[child] = tree.state(child)
            if found[child].kind == "directory":
                folders.append(child)
    return found


def _nothing(_: Tree, __: PathRights) -> None:
    return None
