"""The reckoning of a cluster: what it has told and people have typed, against the log that is in PostgreSQL.

nothing acknowledged is lost      what anybody was told is in the log, there and nowhere else
exactly once                      no operation is in a log twice; a word comes into a text when it is not there
gap-free                          one sequence for each workspace, the versions of a file rise by one
all replicas are equal            whatever anybody saw of a text at a sequence is what the log has there, byte for byte
no typed text is dropped          a word is in the history or was handed back, never both, never neither
nobody deletes for others         a word that goes is one that its author has deleted
the log is whole                  `coscribe verify`
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from coscribe.core.operation import Delete
from coscribe.core.text_buffer import TextBuffer
from coscribe.model import LogEntry, Workspace, decode_payload
from coscribe.persistence.stored import reading
from tests.chaos.people import WORD, Book
from tests.cluster.people import Sight

DISK = "disk"
"""Whose what a program has written is, where nothing is known of the program."""


class Told(NamedTuple):
    """``finals``: the text of each file in the end, as the server showed it. ``written``: words that programs wrote
    into files of a working tree."""

    book: Book
    sights: Iterable[Sight]
    finals: Mapping[str, str]
    written: frozenset[str]


class Reckoned(NamedTuple):
    """``entries``, ``workspaces``: what was looked at. ``sights``: texts that were compared."""

    violations: list[str]
    entries: int
    workspaces: int
    sights: int


def reckon(database_url: str, told: Told) -> Reckoned:
    """Looks at everything that is stored. Nobody writes meanwhile."""
    seen: dict[str, dict[int, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for sight in told.sights:
        seen[sight.file_id][sight.sequence].add(sight.digest)
    violations: list[str] = []
    history: set[str] = set()
    known: set[str] = set()
    entries = workspaces = 0
    with reading(database_url) as log:
        for workspace in log.workspaces():
            looked = _Workspace(workspace, told, seen, history)
            logged = list(log.entries(workspace.key))
            violations += [f"{workspace.workspace_id}: {what}" for what in looked.follow(logged)]
            known |= looked.file_ids
            entries += len(logged)
            workspaces += 1
    violations += [f"{file_id} is not there at all" for file_id in told.book.places.keys() - known]
    violations += _typed(told, history)
    compared = sum(len(digests) for places in seen.values() for digests in places.values()) + len(told.finals)
    return Reckoned(violations, entries, workspaces, compared)


def verified(database_url: str, data: str) -> list[str]:
    """`coscribe verify`: what it complains about."""
    command = [sys.executable, "-m", "coscribe", "verify", "--database", database_url, "--data", data]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    return [f"coscribe verify: {done.stdout[-600:]}{done.stderr[-600:]}"] if done.returncode else []


class _Workspace:
    """One log, followed from its beginning."""

    def __init__(
        self, workspace: Workspace, told: Told, seen: Mapping[str, Mapping[int, set[bytes]]], history: set[str]
    ) -> None:
        root = workspace.root
        self._root = None if root is None else root.key
        self._names = {file.key: file.file_id for file in workspace.files}
        self.file_ids = set(self._names.values())
        self._workspace = workspace
        self._told = told
        self._seen = seen
        self._history = history
        self._texts: dict[int, TextBuffer] = {}
        self._words: dict[int, set[str]] = defaultdict(set)

    def follow(self, entries: list[LogEntry]) -> Iterator[str]:
        """What does not hold."""
        told, book = self._told, self._told.book
        places: dict[str, tuple[str, int, int]] = {}
        versions: dict[int, int] = defaultdict(int)
        for number, entry in enumerate(entries, 1):
            name = self._names[entry.file_key]
            if entry.sequence != number:
                yield f"sequence {entry.sequence} comes after {number - 1}"
                return
            if entry.operation_id in places:
                yield f"{entry.operation_id} is in the log twice, at {places[entry.operation_id][1]} and {number}"
            places[entry.operation_id] = name, entry.sequence, entry.version
            if entry.file_key == self._root:
                continue
            if entry.version - versions[entry.file_key] not in (0, 1):
                yield f"version {entry.version} of {name} comes after {versions[entry.file_key]} at {number}"
            versions[entry.file_key] = entry.version
            yield from self._change(entry, name)
        if self._workspace.last_sequence != len(entries):
            yield f"the head is at {self._workspace.last_sequence}, the log at {len(entries)}"
        for name in self.file_ids:
            for operation_id, (sequence, version) in book.places.get(name, {}).items():
                logged = places.get(operation_id)
                if logged is None or logged[:2] != (name, sequence) or logged[2] != version:
                    place = sequence, version
                    yield f"{operation_id} of {name} was told to be at {place}, the log has it at {logged}"
            if max(self._seen.get(name, {0: set()})) > len(entries):
                yield f"somebody was at {max(self._seen[name])} of {name}, the log ends at {len(entries)}"
        for key, name in self._names.items():
            text = str(self._texts.get(key, ""))
            if name in told.finals and told.finals[name] != text:
                yield f"{name} was shown with another text in the end than the log has"
            if (words := set(WORD.findall(text))) != self._words[key] or WORD.sub("", text).strip():
                yield f"{name} has other words than the log: {sorted(words ^ self._words[key])[:5]}"

    def _change(self, entry: LogEntry, name: str) -> Iterator[str]:
        text = self._texts.setdefault(entry.file_key, TextBuffer())
        parts = decode_payload(entry.payload)[0]
        before = str(text) if entry.author == DISK else ""
        text.apply(parts)
        if entry.author == DISK:  # a difference may begin and end within words
            gone, come = set(WORD.findall(before)), set(WORD.findall(str(text)))
            gone, come = gone - come, come - gone
        else:
            gone = set(WORD.findall("".join(part.text or "" for part in parts if isinstance(part, Delete))))
            come = set(WORD.findall("".join(part for part in parts if isinstance(part, str))))
        yield from self._account(entry, gone, come)
        for digest in self._seen.get(name, {}).get(entry.sequence, ()):
            if sha256(str(text).encode()).digest() != digest:
                yield f"somebody saw another text of {name} at {entry.sequence} than the log has"

    def _account(self, entry: LogEntry, gone: set[str], come: set[str]) -> Iterator[str]:
        words, book = self._words[entry.file_key], self._told.book
        for word in gone:
            if word not in words:
                yield f"{word!r} is deleted at {entry.sequence}, and is not there"
            if word not in book.deleted:
                yield f"{word!r} is deleted at {entry.sequence} by {entry.author}, and nobody wanted it"
            words.discard(word)
        for word in come:
            if word in words:
                yield f"{word!r} comes a second time, at {entry.sequence}"
            if word not in book.typed and word not in self._told.written:
                yield f"{word!r} at {entry.sequence} is nothing that anybody has typed"
            words.add(word)
            self._history.add(word)


def _typed(told: Told, history: set[str]) -> Iterator[str]:
    """Each word is somewhere. One that its author deleted may have gone before the server ever heard of it, and may be
    handed back although it has been in the text."""
    book = told.book
    for word, file_id in book.typed.items():
        if word in book.deleted:
            continue
        if word in history and word in book.handed_back:
            yield f"{word!r} was handed back, and is in the log of {file_id}"
        if word not in history and word not in book.handed_back:
            yield f"{word!r} of {file_id} is lost"
    for word in told.written - history:
        yield f"{word!r}, which a program wrote, is lost"
