"""Record: what one working tree has on its disk, as far as we know, kept where a crash leaves it.

A small SQLite database beside the tree. It says, for each file, where it is, by which signature it is known, what the
bytes were, and which states the disk has shown (`states`). Whatever is done in two places, on the disk and here or in
the log and here, is announced here first:

    putting      a staged content is about to go into the tree; afterwards the disk itself tells whether it went
    taking       a content of the disk is about to become an operation; afterwards the log tells whether it did
    displaced    what was taken out of the tree, and until when it is watched

So a process that dies anywhere between finds out what it had done. The ``epoch`` is raised by whoever opens the record;
one that was overtaken writes no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from coscribe.core.tree import ROOT
from coscribe.working_tree.disk import Names, Overtaken, Signature
from coscribe.working_tree.states import Edits, State

MAX_LEFT = 20_000
"""Paths of which it is remembered what was there; of more, what was there first is forgotten."""

LOCK_SECONDS = 2.0
"""How long it is waited for whoever is writing to it: another process, that has been overtaken and may be stopped."""

Properties = tuple[tuple[str, str], ...]


class Node(NamedTuple):
    """Something of the tree that is on the disk. ``name``: as it is there. ``kind``, ``content`` and ``properties``: of
    the tree, as of when it was put or taken; ``digest``: SHA-256 in hex of the bytes, of a link of its target.
    ``restless``: it was looked at so soon after it had changed that the signature may not tell of the next change."""

    file_id: str
    parent_id: str
    name: bytes
    kind: str
    signature: Signature
    mode: int = 0
    digest: str = ""
    content: str = ""
    properties: Properties = ()
    restless: bool = False


class Putting(NamedTuple):
    """A content that is on its way into the tree from ``staged``; there it will be ``node``. What it takes the place of
    goes to ``displaced``; "": nothing is there. ``state``: what the disk will show then, where it is a text."""

    staged: str
    node: Node
    displaced: str
    state: State | None


class TreeTaking(NamedTuple):
    """Operation 1 of ``series``, on the tree. Then ``nodes`` are recorded with their states, and ``gone`` are not."""

    series: str
    nodes: list[Node]
    states: dict[str, list[State]]
    gone: list[str]


class Displaced(NamedTuple):
    """Something that was taken out of the tree, known by its signature; ``digest`` of its bytes. ``states``: of a text,
    what the disk has shown up to then. It is watched ``until``, in seconds since 1970: whoever has it open may go on
    writing to it. ``restless``: as of a node."""

    name: str
    file_id: str
    signature: Signature
    digest: str
    states: list[State]
    until: float
    restless: bool = False


class Taking(NamedTuple):
    """A ``text`` of the disk on its way into the log as operation 1 of ``series``: ``edits`` of the text of a state.
    ``node``: what is recorded then, or ``displaced``, where the text was not found in the tree but behind it."""

    series: str
    file_id: str
    base: State
    base_text: str
    text: str
    edits: Edits
    node: Node | None
    displaced: Displaced | None = None


class Left(NamedTuple):
    """A file that was deleted, by where it was: what comes back there is that file. ``states``: of a text, what the
    disk has shown."""

    file_id: str
    kind: str
    properties: Properties
    states: list[State]


_TABLES = """
create table if not exists meta (key text primary key, value text not null) without rowid;
create table if not exists nodes (file_id text primary key, parent_id text not null, name blob not null,
  kind text not null, signature blob not null, mode integer not null, digest text not null, content text not null,
  properties blob not null, restless integer not null) without rowid;
create table if not exists states (file_id text not null, place integer not null, state blob not null,
  primary key (file_id, place)) without rowid;
create table if not exists putting (staged text primary key, intent blob not null) without rowid;
create table if not exists taking (series text primary key, intent blob not null) without rowid;
create table if not exists tree_taking (series text primary key, intent blob not null) without rowid;
create table if not exists displaced (name text primary key, entry blob not null) without rowid;
create table if not exists left_behind (path blob primary key, entry blob not null) without rowid;
"""


_T = TypeVar("_T")

_encode = msgspec.msgpack.encode


def _decode(raw: bytes, kind: type[_T]) -> _T:
    return msgspec.msgpack.decode(raw, type=kind)


class Record:
    """In memory, and on disk when `writing` ends. Raises sqlite3.Error.

    ``is_shared``: other machines may open it, which have no memory in common for a write-ahead log. ``is_mine``:
    whether it may still be written.
    """

    def __init__(self, path: Path, *, is_shared: bool = False, is_mine: Callable[[], bool] = lambda: True) -> None:
        self._is_mine = is_mine
        self._connection = sqlite3.connect(path, LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._open("delete" if is_shared else "wal")
        except BaseException:
            self._connection.close()
            raise

    def _open(self, journal: str) -> None:
        self._connection.executescript(f"pragma journal_mode={journal}; pragma synchronous=full;{_TABLES}")
        self.nodes: dict[str, Node] = {}
        self.states: dict[str, list[State]] = {}
        self.inside: dict[str, dict[bytes, str]] = {ROOT: {}}
        self.left: dict[Names, Left] = {}
        self.displaced: dict[str, Displaced] = {}
        self._changed: set[str] = set()
        self._load()
        self.epoch = int(self._meta("epoch") or 0) + 1
        self._connection.execute("insert or replace into meta values ('epoch', ?)", (str(self.epoch),))

    def close(self) -> None:
        self._connection.close()

    # ---- looking

    @property
    def sequence(self) -> int:
        """Up to where the log is on the disk."""
        return int(self._meta("sequence") or 0)

    @property
    def incarnation(self) -> str:
        """Of the log that it was made of; "": of none yet."""
        return self._meta("incarnation") or ""

    def path(self, file_id: str) -> Names:
        names: list[bytes] = []
        while file_id != ROOT:
            node = self.nodes[file_id]
            names.append(node.name)
            file_id = node.parent_id
        return tuple(reversed(names))

    def below(self, file_id: str) -> Iterator[str]:
        """What is in a folder and the folders in it, each behind its folder."""
        for child in list(self.inside.get(file_id, {}).values()):
            yield child
            yield from self.below(child)

    def puttings(self) -> list[Putting]:
        rows = self._connection.execute("select intent from putting order by staged")
        return [_decode(row[0], Putting) for row in rows]

    def takings(self) -> list[Taking]:
        rows = self._connection.execute("select intent from taking order by series")
        return [_decode(row[0], Taking) for row in rows]

    def tree_takings(self) -> list[TreeTaking]:
        rows = self._connection.execute("select intent from tree_taking order by series")
        return [_decode(row[0], TreeTaking) for row in rows]

    def take_changed(self) -> set[str]:
        """The nodes of which something else is recorded, or nothing any more, than when this was asked for last."""
        changed, self._changed = self._changed, set()
        return changed

    # ---- writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is on disk when it ends, all or nothing. Raises Overtaken."""
        self._connection.execute("begin immediate")
        try:
            if int(self._meta("epoch") or 0) != self.epoch or not self._is_mine():
                raise Overtaken
            yield
        except BaseException:
            self._connection.execute("rollback")
            self._load()
            raise
        self._connection.execute("commit")

    def come_to(self, sequence: int, incarnation: str) -> None:
        for key, value in (("sequence", str(sequence)), ("incarnation", incarnation)):
            self._connection.execute("insert or replace into meta values (?, ?)", (key, value))

    def begin_anew(self) -> None:
        """Nothing of the tree is on the disk any more. What was displaced is watched all the same."""
        for table in ("nodes", "states", "putting", "taking", "tree_taking", "left_behind"):
            self._connection.execute(f"delete from {table}")
        self._changed.update(self.nodes)
        self.nodes, self.states, self.inside, self.left = {}, {}, {ROOT: {}}, {}
        self.come_to(0, "")

    def put(self, node: Node) -> None:
        """A node as it is now."""
        self._unhang(node.file_id)
        self._changed.add(node.file_id)
        self.nodes[node.file_id] = node
        self.inside.setdefault(node.parent_id, {})[node.name] = node.file_id
        if node.kind == "directory":
            self.inside.setdefault(node.file_id, {})
        self._connection.execute(
            "insert or replace into nodes values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                node.file_id,
                node.parent_id,
                node.name,
                node.kind,
                _encode(node.signature),
                node.mode,
                node.digest,
                node.content,
                _encode(node.properties),
                node.restless,
            ),
        )

    def remove(self, file_id: str) -> None:
        """It is not on the disk any more, nor what was in it; a file that comes back to where it was is that file."""
        for inner in [*self.below(file_id)][::-1]:
            self.remove(inner)
        node = self.nodes[file_id]
        if node.kind != "directory":
            self._leave(node)
        self._unhang(file_id)
        self._changed.add(file_id)
        del self.nodes[file_id]
        self.inside.pop(file_id, None)
        self.states.pop(file_id, None)
        self._connection.execute("delete from nodes where file_id = ?", (file_id,))
        self._connection.execute("delete from states where file_id = ?", (file_id,))

    def show(self, file_id: str, states: Sequence[State]) -> None:
        """The states of a text, oldest first."""
        if file_id in self.states:
            self._connection.execute("delete from states where file_id = ?", (file_id,))
        self.states[file_id] = list(states)
        rows = [(file_id, place, _encode(state)) for place, state in enumerate(states)]
        self._connection.executemany("insert into states values (?, ?, ?)", rows)

    def announce_putting(self, intent: Putting) -> None:
        self._connection.execute("insert into putting values (?, ?)", (intent.staged, _encode(intent)))

    def finish_putting(self, staged: str) -> None:
        self._connection.execute("delete from putting where staged = ?", (staged,))

    def announce_taking(self, intent: Taking) -> None:
        self._connection.execute("insert into taking values (?, ?)", (intent.series, _encode(intent)))

    def announce_tree_taking(self, intent: TreeTaking) -> None:
        self._connection.execute("insert into tree_taking values (?, ?)", (intent.series, _encode(intent)))

    def finish_taking(self, series: str) -> None:
        """Of a text, or of the tree."""
        self._connection.execute("delete from taking where series = ?", (series,))
        self._connection.execute("delete from tree_taking where series = ?", (series,))

    def watch(self, displaced: Displaced) -> None:
        self.displaced[displaced.name] = displaced
        self._connection.execute("insert or replace into displaced values (?, ?)", (displaced.name, _encode(displaced)))

    def watch_no_longer(self, name: str) -> None:
        self.displaced.pop(name, None)
        self._connection.execute("delete from displaced where name = ?", (name,))

    def come_back(self, path: Names) -> None:
        """What was there is somewhere again."""
        self.left.pop(path, None)
        self._connection.execute("delete from left_behind where path = ?", (b"/".join(path),))

    # ---- steps

    def _leave(self, node: Node) -> None:
        path, states = self.path(node.file_id), self.states.get(node.file_id, [])
        self.come_back(path)
        if len(self.left) >= MAX_LEFT:
            self.come_back(next(iter(self.left)))
        entry = self.left[path] = Left(node.file_id, node.kind, node.properties, states)
        self._connection.execute("insert into left_behind values (?, ?)", (b"/".join(path), _encode(entry)))

    def _unhang(self, file_id: str) -> None:
        before = self.nodes.get(file_id)
        if before is not None and self.inside.get(before.parent_id, {}).get(before.name) == file_id:
            del self.inside[before.parent_id][before.name]

    def _meta(self, key: str) -> str | None:
        row = self._connection.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _load(self) -> None:
        self.nodes, self.states, self.inside, self.left, self.displaced = {}, {}, {ROOT: {}}, {}, {}
        for file_id, parent_id, name, kind, signature, mode, digest, content, properties, restless in self._rows(
            "nodes"
        ):
            known = _decode(signature, Signature)
            pairs = _decode(properties, Properties)
            node = Node(file_id, parent_id, name, kind, known, mode, digest, content, pairs, bool(restless))
            self.nodes[file_id] = node
            self.inside.setdefault(parent_id, {})[name] = file_id
            if kind == "directory":
                self.inside.setdefault(file_id, {})
        for file_id, _, state in self._rows("states"):
            self.states.setdefault(file_id, []).append(_decode(state, State))
        for path, entry in self._rows("left_behind"):
            self.left[tuple(path.split(b"/"))] = _decode(entry, Left)
        for name, entry in self._rows("displaced"):
            self.displaced[name] = _decode(entry, Displaced)

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        yield from self._connection.execute(f"select * from {table}")
