"""Workspaces with a long and eventful past, made by chance; and the oracle that says what they were at any sequence.

The oracle shares no code with what it judges: it reads the rows of the log as JSON, one after the other from the first,
and keeps a dict of nodes and a str for each text.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple, cast

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import node_id
from coscribe.documents.collaboration import Planned
from coscribe.documents.compaction import Compaction
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity, SegmentSize
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.documents.workspace_past import WorkspacePast
from coscribe.model import LogEntry, file_key
from coscribe.persistence.blobs import MemoryBlobs
from coscribe.protocol import messages
from tests.contracts.conversations import Rights, Server, Storage

ROOT = "project"
ANN = Identity("ann", "Ann", "#111111", "owner", account="ann")
BEN = Identity("ben", "Ben", "#222222", "editor", account="ben")
POLICY = SnapshotPolicy(operations=9, keep=2, idle_seconds=40.0, seconds=20.0)
SIZE = SegmentSize(40, 20_000, 10)
NAMES = ("a", "b.txt", "c.py", "d", "e.md")


class World:
    """A workspace, and what is done to it. ``segments``: whether its log is compressed now and then."""

    def __init__(self, storage: Storage, random: Random, *, segments: bool, rights: Rights | None = None) -> None:
        self.storage = storage
        self.random = random
        self.segments = segments
        self.rights = rights
        self.time = 1_000.0
        self.number = 0
        self.blobs = MemoryBlobs()
        self.kinds: dict[str, str] = {}
        self.done: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        self.server = Server(self.storage, limits=Limits(window_operations=16), rights=self.rights)
        self.server.time = self.time
        snapshots = self.server.collaboration.snapshots
        snapshots._policy = POLICY
        if self.segments:
            snapshots.compact_with(Compaction(self.storage, self.server.collaboration.router, SIZE, 4))
        self.past = WorkspacePast(self.server.collaboration, self.storage, self.storage, self.blobs)

    async def begin(self) -> None:
        await self.storage.create_tree(ROOT, 1)

    async def live(self, steps: int) -> None:
        """So many things are done, each of them by chance."""
        do: dict[Callable[[], Awaitable[None]], int] = {
            self.make: 12,
            self.make_many: 1,
            self.type: 50,
            self.type_late: 4,
            self.move: 10,
            self.delete: 6,
            self.restore: 5,
            self.put: 3,
            self.set: 3,
            self.purge: 1,
            self.sweep: 4,
            self.restart: 1,
        }
        for _ in range(steps):
            (step,) = self.random.choices(list(do), list(do.values()))
            self.done[step.__name__] = self.done.get(step.__name__, 0) + 1
            await step()

    # ---- what is done

    async def make(self) -> None:
        await self.grow([self._new()])

    async def make_many(self) -> None:
        await self.grow([self._new() for _ in range(self.random.randint(2, 9))])

    async def type(self) -> None:
        file_id = self._some("text")
        now = await self._text(file_id)
        if now is not None:
            await self.edit(file_id, now.version, self._edit(len(now.text)))

    async def type_late(self) -> None:
        """Two who delete the same: the second comes to nothing, and takes a sequence all the same."""
        file_id = self._some("text")
        now = await self._text(file_id)
        if now is not None and len(now.text) > 2:
            for _ in range(2):
                await self.edit(file_id, now.version, [(0, 2, "")])

    async def move(self) -> None:
        name = self.random.choice((None, *NAMES))
        parent = self.random.choice((self._folder(), None)) if name else self._folder()
        await self.grow([messages.MoveNode(self._some(), parent, name)])

    async def delete(self) -> None:
        await self.grow([messages.DeleteNode(self._some())])

    async def restore(self) -> None:
        await self.grow([messages.RestoreNode(self._some())])

    async def put(self) -> None:
        file_id = self._some("text", "binary", "symlink")
        kind: messages.Kind = self.random.choice(("text", "binary", "symlink"))
        if file_id:
            await self.grow([messages.PutContent(file_id, kind, self._content(kind))])
            self.kinds[file_id] = kind

    async def set(self) -> None:
        value = self.random.choice(("crlf", "cr", ""))
        await self.grow([messages.SetProperty(self._some(), "eol", value)])

    async def purge(self) -> None:
        await self.grow([messages.PurgeNodes([self._some() for _ in range(3)])])

    async def sweep(self) -> None:
        self.time += self.random.choice((1.0, 30.0))
        self.server.time = self.time
        await self.server.collaboration.snapshots.sweep()

    async def restart(self) -> None:
        await self.server.stop()
        self.start()

    # ---- steps

    async def grow(self, edits: list[messages.TreeEdit]) -> None:
        """One operation on the tree; what the rules refuse is left."""
        self.number += 1
        series = f"t{self.number}"
        sizes = {digest: len(content) for digest, content in self.blobs.contents.items()}
        try:
            await self.server.collaboration.edit_tree(self._who(), ROOT, series, lambda *_: Planned(edits, blobs=sizes))
        except CoscribeError:
            return
        for place, edit in enumerate(edits):
            if isinstance(edit, messages.CreateNode):
                self.kinds[node_id(ROOT, f"{series}:1", place)] = edit.kind

    async def edit(self, file_id: str, version: int, edits: list[tuple[int, int, str]]) -> None:
        self.number += 1
        self.time += self.random.random()
        self.server.time = self.time
        who = self._who()
        message = messages.Operation(file_id, f"{who.user_id}:{self.number}", who.user_id, version, "batch", 0, edits)
        await self.server.collaboration.edit(who, message)

    async def _text(self, file_id: str) -> TextAt | None:
        """None: it was purged, or is something else by now."""
        try:
            return await self.server.collaboration.text(ANN, file_id) if file_id else None
        except CoscribeError as error:
            if error.code in (Code.FILE_NOT_FOUND, Code.NOT_A_TEXT):
                return None
            raise

    def _who(self) -> Identity:
        return self.random.choice((ANN, BEN)) if self.rights is None else ANN

    def _new(self) -> messages.CreateNode:
        kinds: tuple[messages.Kind, ...] = ("directory", "text", "binary", "symlink")
        (kind,) = self.random.choices(kinds, (3, 6, 1, 1))
        return messages.CreateNode(self._folder(), self.random.choice(NAMES), kind, self._content(kind))

    def _content(self, kind: str) -> str:
        if kind == "binary":
            content = self.random.randbytes(4)
            self.blobs.contents[sha256(content).hexdigest()] = content
            return sha256(content).hexdigest()
        return "b.txt" if kind == "symlink" else ""

    def _folder(self) -> str:
        return self.random.choice((ROOT, self._some("directory") or ROOT))

    def _some(self, *kinds: str) -> str:
        """Some file that there was, the newer ones more often; "": none."""
        found = [file_id for file_id, kind in self.kinds.items() if not kinds or kind in kinds]
        while found:
            chosen = self.random.choice(found[-self.random.choice((5, 20, 10**6)) :])
            tree = self.server.collaboration.router.sessions.get(ROOT)
            if tree is None or tree.tree is None or chosen in tree.tree.keys:
                return chosen
            found.remove(chosen)
        return ""

    def _edit(self, length: int) -> list[tuple[int, int, str]]:
        edits: list[tuple[int, int, str]] = []
        at = 0
        for _ in range(self.random.randint(1, 3)):
            position = self.random.randint(at, length)
            deleted = self.random.randint(0, min(5, length - position))
            text = "".join(self.random.choice("ab\n\u00e4\U0001f642") for _ in range(self.random.randint(1, 12)))
            edits.append((position, deleted, text))
            at = position + deleted + 1
            if at > length:
                break
        return edits

    async def log(self) -> list[LogEntry]:
        key = (await self.server.collaboration.present(ANN, ROOT, with_nodes=False)).workspace_key
        return await self.storage.read(key, 0, through=10**9, limit=10**9)


# ---- the oracle


class Was(NamedTuple):
    """What is live at a moment: by path, kind and content; of a text the text and its version."""

    files: dict[str, tuple[str, str, int]]


def naive_states(log: Iterable[LogEntry], workspace_key: int, wanted: set[int]) -> Iterator[tuple[int, Was]]:
    """The workspace at the wanted sequences, in order."""
    nodes: dict[str, list[Any]] = {}
    keys: dict[int, str] = {}
    texts: dict[str, tuple[str, int]] = {}
    if 0 in wanted:
        yield 0, naive_listing(nodes, texts)
    for row in log:
        payload = json.loads(row.payload)
        if isinstance(payload, dict):
            for file_id, before, after in payload["tree"]:
                assert nodes.get(file_id) == before
                if before is None:
                    keys[file_key(workspace_key, 0) + len(keys) + 1] = file_id
                if after is None:
                    del nodes[file_id]
                else:
                    nodes[file_id] = after
        else:
            file_id = keys[row.file_key]
            texts[file_id] = naive_splice(texts.get(file_id, ("", 0))[0], payload[0]), row.version
        if row.sequence in wanted:
            yield row.sequence, naive_listing(nodes, texts)


def naive_splice(text: str, components: list[Any]) -> str:
    out, at = "", 0
    for part in components:
        if isinstance(part, int):
            out += text[at : at + part]
            at += part
        elif isinstance(part, str):
            out += part
        else:
            assert text.startswith(part[0], at)
            at += len(part[0])
    return out + text[at:]


def naive_listing(nodes: dict[str, list[Any]], texts: dict[str, tuple[str, int]]) -> Was:
    found: dict[str, tuple[str, str, int]] = {}
    for file_id in nodes:
        names: list[str] = []
        at: str | None = file_id
        while at:
            parent, name, _, trashed, *_ = nodes[at]
            names.append(name)
            at = None if trashed else cast(str, parent)
        if at is None:
            continue
        _, _, kind, _, content, properties = nodes[file_id]
        text, version = texts.get(file_id, ("", 0)) if kind == "text" else (content, 0)
        end = {"crlf": "\r\n", "cr": "\r"}.get(dict(properties).get("eol", ""), "\n")
        found["/".join(reversed(names))] = kind, text.replace("\n", end) if kind == "text" else text, version
    return Was(found)


async def told(world: World, sequence: int) -> Was:
    """What the project says, file by file in one go."""
    moment = await world.past.moment(ANN, ROOT, sequence)
    found: dict[str, tuple[str, str, int]] = {}
    keys = await world.storage.keys(moment.present.workspace_key)
    versions: dict[str, int] = {}
    entries = moment.below("")
    texts = [keys[entry.file_id] for entry in entries if entry.kind == "text"]
    async for key, text in world.past.reader(moment.present).texts(texts, sequence):
        versions[next(file_id for file_id, known in keys.items() if known == key)] = text.version
    async for file in world.past.files(ANN, moment, ""):
        entry = file.entry
        content = sha256(file.content).hexdigest() if entry.kind == "binary" else file.content.decode()
        found[entry.path] = entry.kind, content, versions.get(entry.file_id, 0)
    return Was(found)
