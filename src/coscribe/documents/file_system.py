"""FileSystem: a workspace by paths, for whoever knows only those: programs, editors, a working tree.

    path --in the turn, on the tree as it is then--> ids --> operations on the tree, as everybody's

A path is resolved in the very turn that uses it, so nobody can move something else there in between. Names that are
taken are refused here (``conflict``), never numbered: a program means the name that it says. Whoever may not see a path
is told that there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, NodeState, Tree, node_id
from coscribe.documents.collaboration import Collaboration, Planned
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity, PathRights
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Place

MAX_PATH = 4_096
"""Bytes of a path in UTF-8."""

MAX_COPIED = 1_000
"""Files and folders that one copy makes."""

MAX_COPIED_LENGTH = 10_000_000
"""Code points of all texts in it."""


class Entry(NamedTuple):
    """Something at a path. ``content``: of a binary file its hash, of a link its target."""

    file_id: str
    path: str
    name: str
    kind: str
    content: str
    properties: dict[str, str]


class Listing(NamedTuple):
    """What is in a folder, by name, as the workspace was at ``sequence``."""

    entries: list[Entry]
    sequence: int


class Contents(NamedTuple):
    """An entry with what is in it; ``text`` None: it is no text."""

    entry: Entry
    text: TextAt | None


class Written(NamedTuple):
    """A file that was written, and where that is in the order; ``place`` None: it was that already."""

    file_id: str
    place: Place | None


class FileSystem:
    """All of it is durable when it returns. ``series``: for the ids of the operations that a call makes; the same
    series again does the same once. All raise CoscribeError: ``invalid_path``, ``file_not_found``,
    ``permission_denied``, ``storage_unavailable``."""

    def __init__(self, collaboration: Collaboration) -> None:
        self._collaboration = collaboration

    # ---- looking

    async def stat(self, identity: Identity, workspace_id: str, path: str) -> Entry:
        """What is at a path; "" is the top."""
        names = names_of(path)

        def look(tree: Tree, rights: PathRights) -> Entry:
            return _entry(tree, workspace_id, _find(tree, rights, names))

        return (await self._collaboration.look(identity, workspace_id, look)).seen

    async def list(self, identity: Identity, workspace_id: str, path: str) -> Listing:
        """Errors: ``invalid_path`` also where it is no folder."""
        names = names_of(path)

        def look(tree: Tree, rights: PathRights) -> list[Entry]:
            folder_id = _folder(tree, rights, names)
            entries = (_entry(tree, workspace_id, child) for _, child in tree.children(folder_id))
            return [entry for entry in entries if _shows(rights, entry)]

        return Listing(*await self._collaboration.look(identity, workspace_id, look))

    async def trash(self, identity: Identity, workspace_id: str) -> Listing:
        """What was deleted itself and can be restored, by path."""

        def look(tree: Tree, rights: PathRights) -> list[Entry]:
            entries = (_entry(tree, workspace_id, file_id) for file_id in tree.trashed())
            return sorted((entry for entry in entries if _shows(rights, entry)), key=lambda entry: entry.path)

        return Listing(*await self._collaboration.look(identity, workspace_id, look))

    async def read(self, identity: Identity, workspace_id: str, path: str) -> Contents:
        """Errors: ``invalid_path``: it is a folder."""
        entry = await self.stat(identity, workspace_id, path)
        if entry.kind == "directory":
            raise CoscribeError(Code.INVALID_PATH, f"{path!r} is a folder", file_id=entry.file_id)
        is_text = entry.kind == "text"
        return Contents(entry, await self._collaboration.text(identity, entry.file_id) if is_text else None)

    async def save(self, identity: Identity, workspace_id: str, path: str) -> int:
        """A flush barrier: returns when the disk has a snapshot of a text at the sequence that is answered, or later;
        for the top of everything. Errors: ``not_a_text``."""
        entry = await self.stat(identity, workspace_id, path)
        return await self._collaboration.save(identity, entry.file_id)

    # ---- changing

    async def create(
        self,
        identity: Identity,
        workspace_id: str,
        path: str,
        text: str,
        series: str,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> Written:
        """A new text; its folder must be there. Errors: ``conflict``, ``invalid_text``, ``file_too_large``."""
        *folder, name = _named(path)
        text = self._collaboration.take_in(text)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            parent_id = _place(tree, rights, [*folder, name]) or workspace_id
            new = messages.CreateNode(parent_id, name, "text", properties=dict(properties or {}), exact=True)
            return Planned([new], {0: text} if text else {})

        edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan)
        return Written(_made(workspace_id, series), edited.place)

    async def write(
        self, identity: Identity, workspace_id: str, path: str, text: str, base_version: int, series: str
    ) -> Written:
        """Another text in the place of the one that was read at ``base_version``; what others have written since
        stays. Errors: ``not_a_text``, those of `Collaboration.replace_text`."""
        entry = await self.stat(identity, workspace_id, path)
        place = await self._collaboration.replace_text(identity, entry.file_id, base_version, text, f"{series}:1")
        return Written(entry.file_id, place)

    async def mkdir(self, identity: Identity, workspace_id: str, path: str, series: str) -> Written:
        """A new folder in one that is there. Errors: ``conflict``."""
        *folder, name = _named(path)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            parent_id = _place(tree, rights, [*folder, name]) or workspace_id
            return Planned([messages.CreateNode(parent_id, name, "directory", exact=True)])

        edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan)
        return Written(_made(workspace_id, series), edited.place)

    async def rename(
        self, identity: Identity, workspace_id: str, source: str, target: str, series: str, *, overwrite: bool = False
    ) -> Place:
        """Another name, another folder, or both. ``overwrite``: what is at the target goes into the trash.

        Errors: ``conflict``; ``invalid_path``: the target is inside the source."""
        names, (*folder, name) = _named(source), _named(target)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            file_id, parent_id = _find(tree, rights, names), _place(tree, rights, [*folder, name])
            if parent_id == file_id or file_id in _above(tree, parent_id):
                raise CoscribeError(Code.INVALID_PATH, f"{target!r} is inside {source!r}", file_id=file_id)
            there = tree.find("/".join([*folder, name])) or ""
            replaced = there if overwrite and there != file_id else ""
            return Planned([messages.MoveNode(file_id, parent_id or workspace_id, name, replaced, exact=True)])

        return (await self._collaboration.edit_tree(identity, workspace_id, series, plan)).place

    async def delete(self, identity: Identity, workspace_id: str, path: str, series: str) -> Place:
        """Into the trash, a folder with all that is in it."""
        names = _named(path)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            return Planned([messages.DeleteNode(_find(tree, rights, names))])

        return (await self._collaboration.edit_tree(identity, workspace_id, series, plan)).place

    async def restore(
        self, identity: Identity, workspace_id: str, file_id: str, series: str, *, target: str | None = None
    ) -> Place:
        """Out of the trash, to where it was or to ``target``; a name that is taken is numbered."""
        wanted = None if target is None else _named(target)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            if file_id not in tree or not _shows(rights, _entry(tree, workspace_id, file_id)):
                raise _nothing(file_id)
            if wanted is None:
                return Planned([messages.RestoreNode(file_id)])
            parent_id = _place(tree, rights, wanted) or workspace_id
            return Planned([messages.RestoreNode(file_id, parent_id, wanted[-1])])

        return (await self._collaboration.edit_tree(identity, workspace_id, series, plan)).place

    async def copy(self, identity: Identity, workspace_id: str, source: str, target: str, series: str) -> Written:
        """A copy of a file, or of a folder with all that one sees in it, as one operation.

        Errors: ``conflict``, ``operation_too_large``."""
        names, (*folder, name) = _named(source), _named(target)

        def look(tree: Tree, rights: PathRights) -> list[tuple[str, NodeState]]:
            return list(_copied(tree, rights, _find(tree, rights, names)))

        nodes = (await self._collaboration.look(identity, workspace_id, look)).seen
        if len(nodes) > MAX_COPIED:
            raise CoscribeError(Code.OPERATION_TOO_LARGE, f"{len(nodes)} files and folders, at most {MAX_COPIED}")
        texts: dict[int, str] = {}
        for place, (file_id, state) in enumerate(nodes):
            if state.kind == "text":
                texts[place] = (await self._collaboration.text(identity, file_id)).text
            if sum(map(len, texts.values())) > MAX_COPIED_LENGTH:
                raise CoscribeError(Code.OPERATION_TOO_LARGE, f"more than {MAX_COPIED_LENGTH} code points")
        places = {file_id: place for place, (file_id, _) in enumerate(nodes)}

        def plan(tree: Tree, rights: PathRights) -> Planned:
            top = _place(tree, rights, [*folder, name]) or workspace_id
            edits: list[messages.TreeEdit] = []
            for place, (_, state) in enumerate(nodes):
                inside = _made(workspace_id, series, places[state.parent_id]) if place else top
                made = codec.placed_node("", state, inside)
                edits.append(
                    messages.CreateNode(
                        inside, made.name if place else name, made.kind, made.content, made.properties, exact=True
                    )
                )
            return Planned(edits, {place: text for place, text in texts.items() if text})

        edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan)
        return Written(_made(workspace_id, series), edited.place)


def names_of(path: str) -> list[str]:
    """The names in a path. Errors: ``invalid_path``."""
    names = path.split("/") if path else []
    bad = next((name for name in names if name in ("", ".", "..") or "\0" in name), None)
    if bad is not None or len(path.encode(errors="replace")) > MAX_PATH:
        raise CoscribeError(Code.INVALID_PATH, f"{path[:80]!r} is no path")
    return names


def _named(path: str) -> list[str]:
    """The names in the path of something that has one; the top has none. Errors: ``invalid_path``."""
    names = names_of(path)
    if not names:
        raise CoscribeError(Code.INVALID_PATH, "the top has no name, and cannot be another one")
    return names


def _find(tree: Tree, rights: PathRights, names: Sequence[str]) -> str:
    """The id of what is at a path. Errors: ``file_not_found``."""
    path = "/".join(names)
    file_id = tree.find(path)
    if file_id is None:
        raise _nothing(path)
    if file_id != ROOT and not rights.shows(tree.path(file_id), is_folder=tree.state(file_id).kind == "directory"):
        raise _nothing(path)
    return file_id


def _folder(tree: Tree, rights: PathRights, names: Sequence[str]) -> str:
    """Likewise of a folder. Errors: ``invalid_path``: it is none."""
    file_id = _find(tree, rights, names)
    if file_id != ROOT and tree.state(file_id).kind != "directory":
        raise CoscribeError(Code.INVALID_PATH, f"{'/'.join(names)!r} is no folder", file_id=file_id)
    return file_id


def _place(tree: Tree, rights: PathRights, names: Sequence[str]) -> str:
    """The folder in which something is to be called so. Errors: ``file_not_found``: there is none, or one may not know
    what is at that path, not even that nothing is."""
    folder_id = _folder(tree, rights, names[:-1])
    if not rights.shows("/".join(names), is_folder=False):
        raise _nothing("/".join(names))
    return folder_id


def _nothing(path: str) -> CoscribeError:
    return CoscribeError(Code.FILE_NOT_FOUND, f"there is nothing at {path!r}")


def _above(tree: Tree, file_id: str) -> Iterator[str]:
    while file_id != ROOT:
        file_id = tree.state(file_id).parent_id
        yield file_id


def _entry(tree: Tree, workspace_id: str, file_id: str) -> Entry:
    if file_id == ROOT:
        return Entry(workspace_id, "", "", "directory", "", {})
    state = tree.state(file_id)
    return Entry(file_id, tree.path(file_id), state.name, state.kind, state.content, dict(state.properties))


def _shows(rights: PathRights, entry: Entry) -> bool:
    return rights.shows(entry.path, is_folder=entry.kind == "directory")


def _copied(tree: Tree, rights: PathRights, file_id: str) -> Iterator[tuple[str, NodeState]]:
    """What is live and seen below something, itself first, each behind its folder."""
    yield file_id, tree.state(file_id)
    if tree.state(file_id).kind == "directory":
        for _, child in tree.children(file_id):
            if rights.shows(tree.path(child), is_folder=tree.state(child).kind == "directory"):
                yield from _copied(tree, rights, child)


def _made(workspace_id: str, series: str, place: int = 0) -> str:
    """The id of what `Collaboration.edit_tree` makes with a series."""
    return node_id(workspace_id, f"{series}:1", place)
