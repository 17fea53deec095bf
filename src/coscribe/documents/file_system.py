"""FileSystem: a workspace by paths, for whoever knows only those: programs, editors, a working tree.

    path --in the turn, on the tree as it is then--> ids --> operations on the tree, as everybody's

A path is resolved in the very turn that uses it, so nobody can move something else there in between. Names that are
taken are refused here (``conflict``), never numbered: a program means the name that it says. Whoever may not see a path
is told that there is nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Literal, NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Kind, NodeState, Tree, node_id
from coscribe.documents.blobs import Blobs, disk_as_refusal
from coscribe.documents.collaboration import Collaboration, Planned
from coscribe.documents.encoding import MAX_BYTES, Decoded, decode, encode, may_be_text
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Blob, BlobDraft, Identity, PathRights
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Place

MAX_PATH = 4_096
"""Bytes of a path in UTF-8."""

MAX_UNIT = 250
MAX_UNIT_BYTES = 2_000_000
"""Files that are made by one operation, and the bytes in them, unless one alone has more: a turn, in which nobody else
is served, takes about 0.1 s for so many."""

LONG = 100_000
"""Bytes; what has more is not decoded on the event loop."""

NO_PROPERTIES: Mapping[str, str] = {}
NO_TEXT = {"eol": "", "bom": "", "encoding": ""}
"""What only a text has."""

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

    @property
    def tag(self) -> str:
        """As that of `Readable`."""
        version = _version(self.entry) if self.text is None else str(self.text.version)
        return f"{self.entry.file_id}:{version}"


class Readable(NamedTuple):
    """What is in a file as bytes: of a text as it is written on a disk, of a link its target.

    ``version``: what a later write names as its base: of a text the number, else the SHA-256 of the bytes, so what is
    the same has the same.
    """

    entry: Entry
    version: str
    size: int
    pieces: AsyncIterator[bytes]

    @property
    def tag(self) -> str:
        return f"{self.entry.file_id}:{self.version}"


class NewFile(NamedTuple):
    """Something to be made by `FileSystem.import_files`. ``kind`` "file": a text if the content is one, else binary;
    "symlink": the content is the target."""

    path: str
    kind: Literal["directory", "file", "symlink"]
    content: bytes = b""
    properties: Mapping[str, str] = {}


class Written(NamedTuple):
    """A file that was written, and where that is in the order; ``place`` None: it was that already. ``version``: what
    it is at now, where that is said (see `Readable`)."""

    file_id: str
    place: Place | None
    version: str = ""

    @property
    def tag(self) -> str:
        return f"{self.file_id}:{self.version}"


class FileSystem:
    """All of it is durable when it returns. ``series``: for the ids of the operations that a call makes; the same
    series again does the same once. All raise CoscribeError: ``invalid_path``, ``file_not_found``,
    ``permission_denied``, ``storage_unavailable``."""

    def __init__(self, collaboration: Collaboration, blobs: Blobs) -> None:
        self.blobs = blobs
        self._collaboration = collaboration

    # ---- looking

    async def stat(self, identity: Identity, workspace_id: str, path: str) -> Entry:
        """What is at a path; "" is the top."""
        names = names_of(path)

        def look(tree: Tree, rights: PathRights) -> Entry:
            return entry_of(tree, workspace_id, _find(tree, rights, names))

        return (await self._collaboration.look(identity, workspace_id, look)).seen

    async def list(self, identity: Identity, workspace_id: str, path: str) -> Listing:
        """Errors: ``invalid_path`` also where it is no folder."""
        names = names_of(path)

        def look(tree: Tree, rights: PathRights) -> list[Entry]:
            folder_id = _folder(tree, rights, names)
            entries = (entry_of(tree, workspace_id, child) for _, child in tree.children(folder_id))
            return [entry for entry in entries if _shows(rights, entry)]

        return Listing(*await self._collaboration.look(identity, workspace_id, look))

    async def trash(self, identity: Identity, workspace_id: str) -> Listing:
        """What was deleted itself and can be restored, by path."""

        def look(tree: Tree, rights: PathRights) -> list[Entry]:
            entries = (entry_of(tree, workspace_id, file_id) for file_id in tree.trashed())
            return sorted((entry for entry in entries if _shows(rights, entry)), key=lambda entry: entry.path)

        return Listing(*await self._collaboration.look(identity, workspace_id, look))

    async def read(self, identity: Identity, workspace_id: str, path: str) -> Contents:
        """Errors: ``invalid_path``: it is a folder."""
        entry = await self.stat(identity, workspace_id, path)
        if entry.kind == "directory":
            raise CoscribeError(Code.INVALID_PATH, f"{path!r} is a folder", file_id=entry.file_id)
        is_text = entry.kind == "text"
        return Contents(entry, await self._collaboration.text(identity, entry.file_id) if is_text else None)

    async def open(self, identity: Identity, workspace_id: str, path: str) -> Readable:
        """The bytes of anything but a folder. Errors: ``invalid_path``; ``file_damaged``, also while it is read."""
        return await self.opened(await self.read(identity, workspace_id, path))

    async def opened(self, found: Contents) -> Readable:
        """Likewise of what was found already, now or in the past."""
        entry, text = found
        if text is not None:
            return _readable(entry, str(text.version), encode(text.text, entry.properties))
        if entry.kind == "symlink":
            return _readable(entry, _version(entry), entry.content.encode())
        return await self._open_blob(entry, entry.content)

    async def open_past(self, identity: Identity, workspace_id: str, file_id: str, digest: str) -> Readable:
        """A content that a file, which may be in the trash, has or had. Errors: ``file_not_found``,
        ``file_damaged``."""
        blob = await self._collaboration.blob_of(identity, workspace_id, file_id, digest)

        def look(tree: Tree, _: PathRights) -> Entry:
            return entry_of(tree, workspace_id, file_id)

        entry = (await self._collaboration.look(identity, workspace_id, look)).seen
        return await self._open_blob(entry, blob.digest)

    async def read_bytes(self, identity: Identity, workspace_id: str, path: str) -> tuple[Readable, bytes]:
        """As `open`, at once."""
        found = await self.open(identity, workspace_id, path)
        with disk_as_refusal():
            return found, b"".join([piece async for piece in found.pieces])

    async def _open_blob(self, entry: Entry, digest: str) -> Readable:
        with disk_as_refusal():
            size = await self.blobs.store.size(digest)
        if size is None:
            raise CoscribeError(Code.FILE_DAMAGED, f"the content {digest} is missing", file_id=entry.file_id)
        return Readable(entry, digest, size, self.blobs.store.pieces(digest))

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
        decoded = Decoded(self._collaboration.take_in(text), {})
        return await self._make(identity, workspace_id, path, decoded, None, series, properties or {})

    async def write(
        self, identity: Identity, workspace_id: str, path: str, text: str, base_version: int, series: str
    ) -> Written:
        """Another text in the place of the one that was read at ``base_version``; what others have written since
        stays. Errors: ``not_a_text``, those of `Collaboration.replace_text`."""
        entry = await self.stat(identity, workspace_id, path)
        place = await self._collaboration.replace_text(identity, entry.file_id, base_version, text, f"{series}:1")
        return Written(entry.file_id, place)

    async def write_bytes(
        self,
        identity: Identity,
        workspace_id: str,
        path: str,
        content: bytes | BlobDraft,
        series: str,
        *,
        base: str | None,
        properties: Mapping[str, str] = NO_PROPERTIES,
    ) -> Written:
        """A file as it should be, whatever is in it. ``base``: the tag of what it was written over; None: a new file.

        What decodes is a text, all else is kept whole. A text stays one by the difference to the version that was read;
        what others have written since stays. Where either of the two is no text the file must still be what was read,
        else it is ``precondition_failed``: whoever writes reads again. Line ends, mark and encoding follow from the
        bytes; ``properties`` are others that are to be changed, "" taking one away.

        Errors: ``conflict``: a new file, and the name is taken; ``precondition_failed``, ``file_too_large``,
        ``invalid_path``: it is a folder; those of `write` and `Collaboration.edit_tree`.
        """
        decoded = await self._decoded(content)
        if decoded is not None:
            if base is None:
                return await self._make(identity, workspace_id, path, decoded, None, series, properties)
            return await self._write_text(identity, workspace_id, path, decoded, content, series, base, properties)
        async with self._brought(content) as blob:
            if base is None:
                return await self._make(identity, workspace_id, path, None, blob, series, properties)
            new = _New("binary", blob.digest, {**NO_TEXT, **properties}, blob)
            return await self._put(identity, workspace_id, path, new, series, base)

    async def link(
        self, identity: Identity, workspace_id: str, path: str, target: str, series: str, *, base: str | None
    ) -> Written:
        """Likewise a symbolic link. Nobody follows it here."""
        if base is None:
            *folder, name = _named(path)

            def plan(tree: Tree, rights: PathRights) -> Planned:
                parent_id = _place(tree, rights, [*folder, name]) or workspace_id
                return Planned([messages.CreateNode(parent_id, name, "symlink", target, exact=True)])

            edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan)
            return Written(_made(workspace_id, series), edited.place, _hash(target))
        return await self._put(identity, workspace_id, path, _New("symlink", target, NO_TEXT), series, base)

    async def _decoded(self, content: bytes | BlobDraft) -> Decoded | None:
        """None: it is no text, or a longer one than a file may hold."""
        if not isinstance(content, bytes):
            if content.size > MAX_BYTES or not may_be_text(await content.content(LONG)):
                return None
            content = await content.content()
        decoded = decode(content) if len(content) < LONG else await asyncio.to_thread(decode, content)
        return decoded if decoded is not None and self._collaboration.may_hold(decoded.text) else None

    def _brought(self, content: bytes | BlobDraft) -> AbstractAsyncContextManager[Blob]:
        return self.blobs.bring_one(content) if isinstance(content, bytes) else self.blobs.bring_draft(content)

    async def _make(
        self,
        identity: Identity,
        workspace_id: str,
        path: str,
        decoded: Decoded | None,
        blob: Blob | None,
        series: str,
        properties: Mapping[str, str],
    ) -> Written:
        *folder, name = _named(path)
        new = NewFile(path, "file", properties=properties)

        def plan(tree: Tree, rights: PathRights) -> Planned:
            parent_id = _place(tree, rights, [*folder, name]) or workspace_id
            text = {0: decoded.text} if decoded is not None and decoded.text else {}
            brought = {blob.digest: blob.size} if blob is not None else {}
            return Planned([_creation(new, parent_id, name, decoded, blob)], text, brought)

        edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan)
        version = blob.digest if blob is not None else str(int(bool(decoded and decoded.text)))
        return Written(_made(workspace_id, series), edited.place, version)

    async def _write_text(
        self,
        identity: Identity,
        workspace_id: str,
        path: str,
        decoded: Decoded,
        content: bytes | BlobDraft,
        series: str,
        base: str,
        properties: Mapping[str, str],
    ) -> Written:
        entry = await self._based(identity, workspace_id, path, base)
        version = base.rpartition(":")[2]
        if entry.kind != "text" or not _is_number(version):
            new = _New("text", "", {**NO_TEXT, **decoded.properties, **properties}, text=decoded.text)
            return await self._put(identity, workspace_id, path, new, series, base)
        written = content if isinstance(content, bytes) else await content.content()
        if encode(decoded.text, entry.properties) != written:  # else it may have none of what they are about
            properties = {**NO_TEXT, **decoded.properties, **properties}
        place = await self._collaboration.replace_text(
            identity, entry.file_id, int(version), decoded.text, f"{series}:1"
        )
        edits = _property_edits(entry.file_id, entry.properties, properties)
        if edits:
            names = names_of(path)

            def plan(tree: Tree, rights: PathRights) -> Planned:
                if _find(tree, rights, names) != entry.file_id:
                    raise _other_now(path)
                return Planned(edits)

            edited = await self._collaboration.edit_tree(identity, workspace_id, f"{series}.p", plan)
            place = place or Place(edited.place.operation_id, edited.place.server_sequence_id, int(version))
        return Written(entry.file_id, place, str(place.document_version) if place is not None else version)

    async def _put(
        self, identity: Identity, workspace_id: str, path: str, new: _New, series: str, base: str
    ) -> Written:
        """Another content as a whole, in the place of the very one that ``base`` says."""
        entry = await self._based(identity, workspace_id, path, base)
        version, names = base.rpartition(":")[2], names_of(path)
        now = new.text if new.kind == "text" else new.content
        is_same = (entry.kind, entry.content) == (new.kind, new.content)
        if is_same and not _property_edits(entry.file_id, entry.properties, new.properties):
            return Written(entry.file_id, None, _version(entry))

        def plan(tree: Tree, rights: PathRights) -> Planned:
            if _find(tree, rights, names) != entry.file_id:
                raise _other_now(path)
            is_now = entry_of(tree, workspace_id, entry.file_id)
            if (is_now.kind == "text") != _is_number(version):
                raise _other_now(path)
            if is_now.kind != "text" and _version(is_now) != version:
                raise _other_now(path)
            edits: list[messages.TreeEdit] = [messages.PutContent(entry.file_id, new.kind, new.content)]
            edits += _property_edits(entry.file_id, is_now.properties, new.properties)
            brought = {new.blob.digest: new.blob.size} if new.blob is not None else {}
            return Planned(edits, blobs=brought, anew={entry.file_id: now} if new.kind == "text" else {})

        texts: dict[str, int | None] = {}
        if _is_number(version):
            texts[entry.file_id] = int(version)
        elif new.kind == "text":
            texts[entry.file_id] = None
        edited = await self._collaboration.edit_tree(identity, workspace_id, series, plan, texts=texts)
        if new.kind != "text":
            return Written(entry.file_id, edited.place, _version(entry._replace(kind=new.kind, content=new.content)))
        text = await self._collaboration.text(identity, entry.file_id)
        return Written(entry.file_id, edited.place, str(text.version))

    async def _based(self, identity: Identity, workspace_id: str, path: str, base: str) -> Entry:
        """What is at a path, if it is still the file that ``base`` is about. Errors: ``precondition_failed``,
        ``invalid_path``: it is a folder."""
        entry = await self.stat(identity, workspace_id, path)
        if entry.kind == "directory":
            raise CoscribeError(Code.INVALID_PATH, f"{path!r} is a folder", file_id=entry.file_id)
        if entry.file_id != base.rpartition(":")[0]:
            raise _other_now(path)
        return entry

    async def import_files(
        self, identity: Identity, workspace_id: str, files: Iterable[NewFile], series: str
    ) -> Imported:
        """Many new files, in as few operations on the tree as may be, each durable before the next begins. Folders that
        are missing are made; those that are there are gone into.

        Where it ends halfway the same files with the same series go on with what is missing. Errors: ``conflict``: a
        name is taken; of that part of the files nothing was made. Those of `write_bytes`.
        """
        made = sequence = 0
        units, nothing_more = _units(files), list[NewFile]()
        number = -1
        while unit := await asyncio.to_thread(next, units, nothing_more):  # they may be on a disk
            number += 1
            place = await self._collaboration.committed(identity, workspace_id, f"{series}.{number}:1")
            if place is None:
                place = await self._import_unit(identity, workspace_id, unit, f"{series}.{number}")
            made, sequence = made + len(unit), place.server_sequence_id
        return Imported(made, sequence)

    async def _import_unit(self, identity: Identity, workspace_id: str, unit: Sequence[NewFile], series: str) -> Place:
        paths = [_named(new.path) for new in unit]
        decoded = await asyncio.to_thread(lambda: [decode(new.content) if new.kind == "file" else None for new in unit])
        texts = [each if each is not None and self._collaboration.may_hold(each.text) else None for each in decoded]
        wholes = [place for place, new in enumerate(unit) if new.kind == "file" and texts[place] is None]
        async with self.blobs.bring([unit[place].content for place in wholes]) as blobs:
            whole = dict(zip(wholes, blobs, strict=True))

            def plan(tree: Tree, rights: PathRights) -> Planned:
                making = _Making(tree, rights, workspace_id, series)
                for place, (new, names) in enumerate(zip(unit, paths, strict=True)):
                    if new.kind == "directory":
                        making.folder(names, new.properties)
                    else:
                        making.file(new, names, texts[place], whole.get(place))
                return Planned(making.edits, making.texts, {blob.digest: blob.size for blob in blobs})

            return (await self._collaboration.edit_tree(identity, workspace_id, series, plan)).place

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
            if file_id not in tree or not _shows(rights, entry_of(tree, workspace_id, file_id)):
                raise nothing(file_id)
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


class _New(NamedTuple):
    """What a file is to be from now on."""

    kind: Kind
    content: str
    properties: Mapping[str, str]
    blob: Blob | None = None
    text: str = ""


class _Making:
    """The operations that make files by path, where some of their folders are made in the same unit."""

    def __init__(self, tree: Tree, rights: PathRights, workspace_id: str, series: str) -> None:
        self.edits: list[messages.TreeEdit] = []
        self.texts: dict[int, str] = {}
        self._tree = tree
        self._rights = rights
        self._root = workspace_id
        self._series = series
        self._folders: dict[tuple[str, ...], str] = {}

    def folder(self, names: Sequence[str], properties: Mapping[str, str] = NO_PROPERTIES) -> str:
        """The id of a folder, which is made if it is not there."""
        if not names:
            return self._root
        path = tuple(names)
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._there(path) or self._make(
                NewFile("", "directory", properties=properties), path, None, None
            )
        return known

    def file(self, new: NewFile, names: Sequence[str], decoded: Decoded | None, blob: Blob | None) -> None:
        self._make(new, names, decoded, blob)
        if decoded is not None and decoded.text:
            self.texts[len(self.edits) - 1] = decoded.text

    def _there(self, path: Sequence[str]) -> str | None:
        if path[:-1] and self.folder(path[:-1]) not in self._tree:
            return None  # its folder is made in this unit
        try:
            return _folder(self._tree, self._rights, path)
        except CoscribeError as error:
            if error.code is not Code.FILE_NOT_FOUND:
                raise
            return None

    def _make(self, new: NewFile, names: Sequence[str], decoded: Decoded | None, blob: Blob | None) -> str:
        inside = self.folder(names[:-1])
        if not self._rights.shows("/".join(names), is_folder=False):
            raise nothing("/".join(names))
        self.edits.append(_creation(new, inside, names[-1], decoded, blob))
        return _made(self._root, self._series, len(self.edits) - 1)


class Imported(NamedTuple):
    """So many were made; the last operation on the tree that did so is at this sequence, what texts hold behind it."""

    files: int
    sequence: int


def _units(files: Iterable[NewFile]) -> Iterator[list[NewFile]]:
    """Files in parts that one turn takes; the same files in the same parts."""
    unit: list[NewFile] = []
    size = 0
    for new in files:
        if unit and (len(unit) == MAX_UNIT or size + len(new.content) > MAX_UNIT_BYTES):
            yield unit
            unit, size = [], 0
        unit.append(new)
        size += len(new.content)
    if unit:
        yield unit


def _creation(
    new: NewFile, parent_id: str, name: str, decoded: Decoded | None, blob: Blob | None
) -> messages.CreateNode:
    kind: Kind = "directory"
    content, properties = "", dict(new.properties)
    if new.kind == "symlink":
        kind, content = "symlink", _target(new.content)
    elif blob is not None:
        kind, content = "binary", blob.digest
    elif decoded is not None:
        kind, properties = "text", {**decoded.properties, **new.properties}
    return messages.CreateNode(parent_id, name, kind, content, properties, exact=True)


def _target(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise CoscribeError(Code.INVALID_PAYLOAD, "the target of a link is not UTF-8") from None


def _property_edits(file_id: str, now: Mapping[str, str], wanted: Mapping[str, str]) -> list[messages.TreeEdit]:
    return [messages.SetProperty(file_id, key, value) for key, value in wanted.items() if now.get(key, "") != value]


def _readable(entry: Entry, version: str, content: bytes) -> Readable:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    return Readable(entry, version, len(content), pieces())


def _version(entry: Entry) -> str:
    """Of what is no text; see `Readable`."""
    return entry.content if entry.kind == "binary" else _hash(entry.content)


def _hash(target: str) -> str:
    return sha256(target.encode(errors="surrogatepass")).hexdigest()


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) < 16


def _other_now(path: str) -> CoscribeError:
    return CoscribeError(Code.PRECONDITION_FAILED, f"{path!r} is not what it was")


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
        raise nothing(path)
    if file_id != ROOT and not rights.shows(tree.path(file_id), is_folder=tree.state(file_id).kind == "directory"):
        raise nothing(path)
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
        raise nothing("/".join(names))
    return folder_id


def nothing(path: str) -> CoscribeError:
    return CoscribeError(Code.FILE_NOT_FOUND, f"there is nothing at {path!r}")


def _above(tree: Tree, file_id: str) -> Iterator[str]:
    while file_id != ROOT:
        file_id = tree.state(file_id).parent_id
        yield file_id


def entry_of(tree: Tree, workspace_id: str, file_id: str) -> Entry:
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
