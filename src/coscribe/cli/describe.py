"""Operations in words, short and safe to print: a document may hold anything, terminal escapes too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from coscribe.core.operation import Components, Delete, to_edits

QUOTED = 40
"""Code points of a text that are shown."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Edit(NamedTuple):
    """One edit of an operation, against the text before it. ``deleted`` is the text, or a number of code points."""

    position: int
    deleted: str | int
    inserted: str


def edits_of(parts: Components) -> list[Edit]:
    """The edits of an operation whose deletes know their text."""
    removed = "".join(part.text or "" for part in parts if isinstance(part, Delete))
    edits: list[Edit] = []
    start = 0
    for position, deleted, inserted in to_edits(parts):
        edits.append(Edit(position, removed[start : start + deleted], inserted))
        start += deleted
    return edits


def in_words(edits: Sequence[Edit]) -> str:
    """What an operation did, in one line: the first edit, and how many more."""
    if not edits:
        return "nothing"
    position, deleted, inserted = edits[0]
    gone = f"{deleted} characters" if isinstance(deleted, int) else quote(deleted)
    if not deleted:
        words = f"insert at {position} {quote(inserted)}"
    elif not inserted:
        words = f"delete at {position} {gone}"
    else:
        words = f"replace at {position} {gone} by {quote(inserted)}"
    return f"{words} and {len(edits) - 1} more" if len(edits) > 1 else words


def quote(text: str) -> str:
    """A text in quotes, its middle left out where it is long; nothing in it moves the cursor."""
    if len(text) > QUOTED:
        half = QUOTED // 2
        return f"{text[:half]!r}...{text[-half:]!r} ({len(text)} characters)"
    return repr(text)


def harmless(text: str) -> str:
    """A text of several lines without anything that a terminal would take for a command."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else " " if char == "\t" else "\N{MIDDLE DOT}" for char in text
    )


def moment(microseconds: int) -> datetime:
    """A time of the log (microseconds since 1970, UTC)."""
    return _EPOCH + timedelta(microseconds=microseconds)
