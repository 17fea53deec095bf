"""The reckoning: what the server has told and people have typed, against the log that is on the disk.

nothing acknowledged is lost      what anybody was told is in the log, there and nowhere else
exactly once                      no operation is in a log twice; a word comes into a text when it is not there
gap-free                          one sequence for each document, versions rise by one
no typed text is dropped          a word is in the history or was handed back, never both, never neither
nobody deletes for others         a word that goes is one that its author has deleted
the log is whole                  `coscribe verify`
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from coscribe.core.operation import Delete
from coscribe.model import LogEntry, decode_payload
from coscribe.persistence.sqlite import connect
from coscribe.persistence.stored import stored_in
from tests.chaos.people import WORD, Book


def reckon(book: Book, data: Path, texts: dict[str, str]) -> list[str]:
    """What does not hold; ``texts`` are those of the server in the end. The server is stopped."""
    violations: list[str] = []
    history: set[str] = set()
    for file_id, text in texts.items():
        entries = _logged(data, file_id)
        violations += [f"{file_id}: {what}" for what in _places(book, file_id, entries)]
        violations += [f"{file_id}: {what}" for what in _words(book, entries, text, history)]
    violations += _typed(book, history)
    verify = [sys.executable, "-m", "coscribe", "verify", "--data", str(data)]
    verified = subprocess.run(verify, capture_output=True, text=True, check=False)
    if verified.returncode:
        violations.append(f"coscribe verify: {verified.stdout[-500:]}{verified.stderr[-500:]}")
    return violations


def _logged(data: Path, file_id: str) -> list[LogEntry]:
    """A document's log, also what has been moved into segments."""
    with closing(connect(data / "coscribe.db", read_only=True)) as db:
        (key,) = [one.key for one in stored_in(db).workspaces() if one.workspace_id == file_id]
        return list(stored_in(db).entries(key))


def _places(book: Book, file_id: str, entries: Sequence[LogEntry]) -> Iterator[str]:
    """Sequences, versions and ids; what was told is what is there."""
    logged: dict[str, tuple[int, int]] = {}
    version = 0
    for number, entry in enumerate(entries, 1):
        if entry.sequence != number:
            yield f"sequence {entry.sequence} comes after {number - 1}"
            return
        if entry.version - version not in (0, 1):
            yield f"version {entry.version} comes after {version} at {number}"
        version = entry.version
        if entry.operation_id in logged:
            yield f"{entry.operation_id} is in the log twice, at {logged[entry.operation_id][0]} and {number}"
        logged[entry.operation_id] = entry.sequence, entry.version
    for operation_id, place in book.places.get(file_id, {}).items():
        if logged.get(operation_id) != place:
            yield f"{operation_id} was told to be at {place}, the log has it at {logged.get(operation_id)}"


def _words(book: Book, entries: Sequence[LogEntry], text: str, history: set[str]) -> Iterator[str]:
    """Follows the words through the log; adds those that come into the text to ``history``."""
    there: set[str] = set()
    for entry in entries:
        inserted, deleted = _changed(entry)
        for word in _whole(deleted):
            if word not in there:
                yield f"{word!r} is deleted at {entry.sequence}, and is not there"
            if word not in book.deleted:
                yield f"{word!r} is deleted at {entry.sequence}, and nobody wanted it"
            there.discard(word)
        for word in _whole(inserted):
            if word in there:
                yield f"{word!r} comes a second time, at {entry.sequence}"
            if word not in book.typed:
                yield f"{word!r} at {entry.sequence} is nothing that anybody has typed"
            there.add(word)
            history.add(word)
    if sorted(_whole(text)) != sorted(there):
        yield "the text has other words than the log"


def _changed(entry: LogEntry) -> tuple[str, str]:
    parts = decode_payload(entry.payload)[0]
    inserted = "".join(part for part in parts if isinstance(part, str))
    return inserted, "".join(part.text or "" for part in parts if isinstance(part, Delete))


def _whole(text: str) -> list[str]:
    """The words in a text; whatever is none is given as one, which nobody has typed."""
    rest = WORD.sub("", text)
    return WORD.findall(text) + ([rest] if rest else [])


def _typed(book: Book, history: set[str]) -> Iterator[str]:
    """Each word is somewhere. One that its author deleted may have gone before the server ever heard of it, and may be
    handed back although it has been in the text."""
    for word, file_id in book.typed.items():
        if word in book.deleted:
            continue
        if word in history and word in book.handed_back:
            yield f"{word!r} was handed back, and is in the log of {file_id}"
        if word not in history and word not in book.handed_back:
            yield f"{word!r} of {file_id} is lost"
