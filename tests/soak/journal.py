"""What the oracle knows, on disk: the memory that a week is measured by is the product's alone.

    log-KEY.jsonl   every entry, as it was handed to the disk and confirmed
    texts.jsonl     what somebody had before their eyes at a version, now and then
    sent.jsonl      some of the messages that clients have sent

Afterwards `past_of` plays the entries of a file on a list of characters, each with its author: no code of the product.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from coscribe.documents.ports import Append, AppendResult
from coscribe.model import LogEntry

AUTHOR = 21
"""Bits of a character; above them is who wrote it."""


class Sight(NamedTuple):
    """The text of a file at a version, as somebody saw it. ``text`` is compressed UTF-8."""

    file_id: str
    version: int
    text: bytes


class Sent(NamedTuple):
    user_id: str
    message: bytes


class Moment(NamedTuple):
    """The text of a file at a version, and the reference of the author of each of its characters."""

    text: str
    authors: list[int]


class Journal:
    """Writes into files of a folder; everything is in them after `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._logs: dict[int, IO[bytes]] = {}
        self._texts = (folder / "texts.jsonl").open("ab")
        self._sent = (folder / "sent.jsonl").open("ab")

    def committed(self, appends: Sequence[Append], results: Sequence[AppendResult]) -> None:
        for append, result in zip(appends, results, strict=True):
            if result is AppendResult.COMMITTED:
                log = self._logs.get(append.workspace_key)
                if log is None:
                    log = self._logs[append.workspace_key] = self.log(append.workspace_key).open("wb")
                log.writelines(line_of(entry) for entry in append.entries)

    def seen(self, file_id: str, version: int, text: str) -> None:
        self._texts.write(_line(Sight(file_id, version, zlib.compress(text.encode(), 1))))

    def sent(self, user_id: str, message: bytes) -> None:
        self._sent.write(_line(Sent(user_id, message)))

    def close(self) -> None:
        for file in (*self._logs.values(), self._texts, self._sent):
            file.close()

    def log(self, workspace_key: int) -> Path:
        return self.folder / f"log-{workspace_key}.jsonl"

    # ---- afterwards

    def texts(self) -> dict[str, dict[int, str]]:
        """What was seen: file -> version -> text."""
        found: dict[str, dict[int, str]] = {}
        with (self.folder / "texts.jsonl").open("rb") as lines:
            for line in lines:
                sight = msgspec.json.decode(line, type=Sight)
                found.setdefault(sight.file_id, {})[sight.version] = zlib.decompress(sight.text).decode()
        return found

    def messages(self) -> list[Sent]:
        with (self.folder / "sent.jsonl").open("rb") as lines:
            return [msgspec.json.decode(line, type=Sent) for line in lines]

    def entries(self, workspace_key: int) -> Iterator[LogEntry]:
        with self.log(workspace_key).open("rb") as lines:
            for line in lines:
                yield msgspec.json.decode(line, type=LogEntry)


def line_of(entry: LogEntry) -> bytes:
    """An entry as the journal has it."""
    return _line(entry)


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def past_of(entries: Iterator[LogEntry], wanted: set[int]) -> Iterator[tuple[int, Moment]]:
    """The text at the wanted versions, and at the last one, each with its authors. Raises ValueError where an entry
    deletes what is not there."""
    cells: list[int] = []
    version = 0
    for entry in entries:
        if entry.version > version and version in wanted:
            yield version, _moment(cells)
        _play(cells, entry)
        version = entry.version
    yield version, _moment(cells)


def _play(cells: list[int], entry: LogEntry) -> None:
    position, author = 0, entry.author_ref << AUTHOR
    parts, _ = msgspec.json.decode(entry.payload)
    for part in parts:
        if isinstance(part, int):
            position += part
        elif isinstance(part, str):
            cells[position:position] = [author | ord(character) for character in part]
            position += len(part)
        else:
            (deleted,) = part
            there = cells[position : position + len(deleted)]
            if "".join(map(_character, there)) != deleted:
                raise ValueError(f"sequence {entry.sequence} deletes what is not there")
            del cells[position : position + len(deleted)]
    if position > len(cells):
        raise ValueError(f"sequence {entry.sequence} reaches beyond the end")


def _character(cell: int) -> str:
    return chr(cell & (1 << AUTHOR) - 1)


def _moment(cells: list[int]) -> Moment:
    return Moment("".join(map(_character, cells)), [cell >> AUTHOR for cell in cells])


def some(rng: random.Random, versions: Sequence[int], count: int) -> list[int]:
    """A few of many, in order."""
    return sorted(rng.sample(list(versions), min(count, len(versions))))
