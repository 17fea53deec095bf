"""Redaction: a text that must not be known is taken out of all that a log has ever said, and the log goes on fitting.

A secret need not be in any one operation: people type it letter by letter. So it is looked for in the texts, at every
version, where an operation has changed something; and each character of a match is traced to where it was inserted:

    last text --back, version by version--> matches marked in a mask beside the text
                                            at an insert: what of it is marked     -> `Finder.marks`
    first text --forwards, marked inserts filled--> what deletes take out follows  -> new payloads, snapshots

Going back, all versions in which a character was there are seen before the operation that inserted it: so one pass
marks them all. Each marked character becomes a filler that is one code point, and one or two units in UTF-16 as it was;
line breaks stay. So every position, length and version stays what it was, and every operation applies as before.

Names of files are strings of their own: each that matches becomes another one, the same everywhere, that no other is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Component, Delete, invert, know_deleted, normalise
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import MAX_NAME, Change, Effect, NodeState, Tree
from coscribe.model import LogEntry, decode_effect, decode_payload, encode_effect, encode_payload, is_of_tree

FILLER = "\N{FULL BLOCK}"
WIDE_FILLER = "\N{RIGHT ONE QUARTER BLOCK}"
"""In place of what takes one unit in UTF-16, and of what takes two."""

SHADES = "\N{FULL BLOCK}\N{DARK SHADE}\N{MEDIUM SHADE}\N{LIGHT SHADE}"
"""Names that would be the same are told apart by them, in so many characters."""

PLAIN_SHADES = "_-+="
"""Where a name would be too long for a file system otherwise: those take one byte."""

SHADED = 6

REACH = 1_000
"""Code points: what a pattern fits is looked for so far on both sides of a change; longer matches may be missed."""

MAX_PLACES = 10_000
"""Places that are listed."""


class Place(NamedTuple):
    """An operation by which the text came to be there. ``kind``: ``text`` or ``name``; ``version`` of the file."""

    kind: str
    file_key: int
    version: int
    sequence: int
    author: str
    time: int


def literal(text: str) -> re.Pattern[str]:
    """What fits a text and nothing else. Errors: ``invalid_request``."""
    return _checked(re.escape(text), len(text))


def expression(pattern: str) -> re.Pattern[str]:
    """What fits a regular expression. Errors: ``invalid_request``."""
    return _checked(pattern, 0)


def _checked(pattern: str, length: int) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise CoscribeError(Code.INVALID_REQUEST, f"that is no regular expression: {error}") from None
    if compiled.search("") is not None:
        raise CoscribeError(Code.INVALID_REQUEST, "that fits the empty text, too")
    if length > REACH:
        raise CoscribeError(Code.INVALID_REQUEST, f"at most {REACH} characters")
    if any(compiled.search(filler * 64) is not None for filler in (*SHADES, WIDE_FILLER)):
        raise CoscribeError(Code.INVALID_REQUEST, "that would also fit what is put in its place")
    return compiled


def fill(text: str, mask: str = "") -> str:
    """A text with fillers for what is marked ("1") in the mask; without a mask, for all of it."""
    marks = mask or "1" * len(text)
    pairs = zip(text, marks, strict=True)
    return "".join(_filler(character) if marked == "1" else character for character, marked in pairs)


def filled(pattern: re.Pattern[str], text: str) -> str:
    """A text with fillers for all that fits."""
    return pattern.sub(lambda found: fill(found[0]), text)


def _filler(character: str) -> str:
    if character == "\n":
        return character
    return FILLER if character <= "\uffff" else WIDE_FILLER


class Finder:
    """Goes back through the log of a workspace, from its last texts by file key. ``marks``: what is to be filled of
    what an entry has inserted, as a mask over all of it, by sequence; ``names``: all that was ever in the tree."""

    def __init__(self, pattern: re.Pattern[str], texts: Mapping[int, str]) -> None:
        self._pattern = pattern
        self._texts = {key: TextBuffer(text) for key, text in texts.items()}
        self._masks = {key: TextBuffer("0" * len(text)) for key, text in texts.items()}
        self.marks: dict[int, str] = {}
        self.names: dict[str, None] = {}
        self.places: list[Place] = []
        self.total = 0

    def take_back(self, entry: LogEntry) -> None:
        """The entry before those that were taken back."""
        if is_of_tree(entry.payload):
            self._take_back_effect(entry)
            return
        parts, _ = decode_payload(entry.payload)
        text, mask = self._texts[entry.file_key], self._masks[entry.file_key]
        found = False
        whole = str(text)
        for begin, end in _changed(parts):
            for match in self._pattern.finditer(whole, max(0, begin - REACH), min(len(whole), end + REACH)):
                first, last = match.span()
                mask.splice(first, last - first, "1" * (last - first))
                found = found or (first < end and last > begin)
        if found:
            self._find(Place("text", entry.file_key, entry.version, entry.sequence, entry.author, entry.time))
        back = invert(parts)
        text.apply(back)
        marked = mask.apply(_unmarked(back))
        if "1" in marked:
            self.marks[entry.sequence] = marked

    def finish(self) -> dict[int, str]:
        """Masks of the texts that the log begins with, by file key; where something is marked."""
        begun: dict[int, str] = {}
        for key, text in self._texts.items():
            mask = self._masks[key]
            for match in self._pattern.finditer(str(text)):
                first, last = match.span()
                mask.splice(first, last - first, "1" * (last - first))
            if "1" in str(mask):
                begun[key] = str(mask)
        self.places.reverse()
        return begun

    def _take_back_effect(self, entry: LogEntry) -> None:
        effect, _ = decode_effect(entry.payload)
        for _, before, after in effect.changes:
            for state in (before, after):
                if state is not None:
                    self.names.update(dict.fromkeys(_strings(state)))
            was = set() if before is None else set(_strings(before))
            came = () if after is None else [name for name in _strings(after) if name not in was]
            if any(self._pattern.search(name) for name in came):
                self._find(Place("name", entry.file_key, 0, entry.sequence, entry.author, entry.time))

    def _find(self, place: Place) -> None:
        self.total += 1
        if len(self.places) < MAX_PLACES:
            self.places.append(place)


def _changed(parts: Sequence[Component]) -> Iterator[tuple[int, int]]:
    """Where a text is another one behind an operation; begin and end are the same where something is gone."""
    position = 0
    for part in parts:
        if isinstance(part, int):
            position += part
        elif isinstance(part, str):
            yield position, position + len(part)
            position += len(part)
        else:
            yield position, position


def _unmarked(parts: Sequence[Component]) -> tuple[Component, ...]:
    """The operation for a mask: what it brings is not marked."""
    return tuple("0" * len(part) if isinstance(part, str) else part for part in parts)


def _strings(state: NodeState) -> tuple[str, ...]:
    return (state.name, state.content) if state.kind == "symlink" else (state.name,)


def renamed(pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, str]:
    """Other names for those that fit: of the same length, each one's own, none that is among ``names``. Errors:
    ``conflict``: there are not so many."""
    wanted = list(names)
    used = set(wanted)
    found: dict[str, str] = {}
    for name in wanted:
        base = filled(pattern, name)
        if base == name:
            continue
        free = (each for each in _shaded(name, base) if each not in used and pattern.search(each) is None)
        other = next((each for each in free if len(each.encode()) <= max(MAX_NAME, len(name.encode()))), None)
        if other is None:
            raise CoscribeError(Code.CONFLICT, "too many names are the same but for it")
        used.add(other)
        found[name] = other
    return found


def _shaded(name: str, base: str) -> Iterator[str]:
    """A filled name in all its shades; fewest first."""
    places = [at for at, (old, new) in enumerate(zip(name, base, strict=True)) if old != new and new == FILLER]
    characters = list(base)
    for of_kind in (SHADES, PLAIN_SHADES):
        for at in places:
            characters[at] = of_kind[0]
        for shades in product(of_kind, repeat=min(len(places), SHADED)):
            for at, shade in zip(places, shades, strict=False):
                characters[at] = shade
            yield "".join(characters)


class Rewriter:
    """Goes forwards through the log of a workspace, from the texts that it begins with (filled already, by file key)
    and says what each entry becomes."""

    def __init__(
        self, marks: Mapping[int, str], names: Mapping[str, str], texts: Mapping[int, str], tree: Tree
    ) -> None:
        self._marks = marks
        self._names = names
        self._texts = {key: TextBuffer(text) for key, text in texts.items()}
        self._tree = tree

    def entry(self, entry: LogEntry) -> bytes:
        """The payload that the entry has from now on; its own where nothing of it is taken out."""
        if is_of_tree(entry.payload):
            effect, restores = decode_effect(entry.payload)
            other = self._effect(effect)
            self._tree.take_in(other)
            return entry.payload if other == effect else encode_effect(other, restores)
        parts, restores = decode_payload(entry.payload)
        mask, at = self._marks.get(entry.sequence, ""), 0
        changed: list[Component] = []
        for part in parts:
            if isinstance(part, str):
                changed.append(fill(part, mask[at : at + len(part)]) if mask else part)
                at += len(part)
            else:
                changed.append(Delete(part.size) if isinstance(part, Delete) else part)
        operation = normalise(changed)
        removed = self._texts.setdefault(entry.file_key, TextBuffer()).apply(operation)
        known = know_deleted(operation, removed)
        return entry.payload if known == parts else encode_payload(known, removed, restores)

    def content(self, file_key: int, *, is_tree: bool) -> str:
        """A file as the entries so far have left it, as a snapshot has it."""
        if is_tree:
            return self._tree.encode().decode()
        return str(self._texts.get(file_key, ""))

    def _effect(self, effect: Effect) -> Effect:
        changes = (Change(file_id, self._node(before), self._node(after)) for file_id, before, after in effect.changes)
        return Effect(tuple(changes))

    def _node(self, state: NodeState | None) -> NodeState | None:
        return None if state is None else node_of(state, self._names)


def node_of(state: NodeState, names: Mapping[str, str]) -> NodeState:
    """A node under the names that are used from now on."""
    content = names.get(state.content, state.content) if state.kind == "symlink" else state.content
    return state._replace(name=names.get(state.name, state.name), content=content)
