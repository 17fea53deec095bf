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

A content that is no text is looked at as bytes, read as UTF-8, as Latin-1 and as UTF-16 wherever it may begin; what
fits is filled byte by byte, so it stays as long as it was, and the log names the other content from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import NamedTuple

import regex

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Component, Delete, Operation, invert, know_deleted, normalise, to_edits
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

BYTE_FILLERS = (b"#", b"*", b"-", b"_")
"""In place of each byte of what is no text: the first of them that the pattern does not fit."""

BYTES_REACH = 4 * REACH
"""`REACH` in bytes: what is no text is looked through in parts that overlap by so much."""

MAX_SECONDS = 2.0
"""Of an expression on one text."""

BYTES_AT_ONCE = 4_000_000

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


class Pattern:
    """What is to go: what an expression fits. All raise CoscribeError, ``invalid_request``, where it takes too long on
    one text; others work meanwhile."""

    def __init__(self, expression: str) -> None:
        """Raises regex.error, OverflowError, RecursionError."""
        self.expression = expression
        self._compiled = regex.compile(expression)

    def search(self, text: str, begin: int = 0, end: int | None = None) -> bool:
        """Whether it is in a text, or in a part of it."""
        with _in_time():
            found = self._compiled.search(
                text, begin, len(text) if end is None else end, timeout=MAX_SECONDS, concurrent=True
            )
            return found is not None

    def spans(self, text: str, begin: int = 0, end: int | None = None) -> list[tuple[int, int]]:
        """Where it is."""
        with _in_time():
            places = self._compiled.finditer(
                text, begin, len(text) if end is None else end, timeout=MAX_SECONDS, concurrent=True
            )
            return [match.span() for match in places]


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise CoscribeError(Code.INVALID_REQUEST, f"the expression takes longer than {MAX_SECONDS:g} s") from None


def literal(text: str) -> Pattern:
    """What fits a text and nothing else. Errors: ``invalid_request``."""
    return _checked(regex.escape(text, special_only=True), len(text))


def expression(pattern: str) -> Pattern:
    """What fits a regular expression. Errors: ``invalid_request``."""
    return _checked(pattern, 0)


def _checked(expression: str, length: int) -> Pattern:
    try:
        pattern = Pattern(expression)
    except (regex.error, OverflowError, RecursionError) as error:
        raise CoscribeError(Code.INVALID_REQUEST, f"that is no regular expression: {error}") from None
    if pattern.search(""):
        raise CoscribeError(Code.INVALID_REQUEST, "that fits the empty text, too")
    if length > REACH:
        raise CoscribeError(Code.INVALID_REQUEST, f"at most {REACH} characters")
    plain = [each.decode() for each in BYTE_FILLERS]
    if any(_fits(pattern, each) for each in (*SHADES, WIDE_FILLER)) or all(_fits(pattern, each) for each in plain):
        raise CoscribeError(Code.INVALID_REQUEST, "that would also fit what is put in its place")
    return pattern


def _fits(pattern: Pattern, filler: str) -> bool:
    return pattern.search(filler * 64)


def fill(text: str, mask: str = "") -> str:
    """A text with fillers for what is marked ("1") in the mask; without a mask, for all of it."""
    marks = mask or "1" * len(text)
    pairs = zip(text, marks, strict=True)
    return "".join(_filler(character) if marked == "1" else character for character, marked in pairs)


def filled(pattern: Pattern, text: str) -> str:
    """A text with fillers for all that fits."""
    parts, passed = [], 0
    for begin, end in pattern.spans(text):
        parts += [text[passed:begin], fill(text[begin:end])]
        passed = end
    return "".join((*parts, text[passed:]))


def _filler(character: str) -> str:
    if character == "\n":
        return character
    return FILLER if character <= "\uffff" else WIDE_FILLER


def spans_in(pattern: Pattern, content: bytes) -> list[tuple[int, int]]:
    """Where in a content that is no text something fits: begin and end in bytes, in order, apart from each other."""
    found: list[tuple[int, int]] = []
    for encoding, errors, begin in _readings(content):
        part = content[begin:]
        if encoding.startswith("utf-16"):
            part = part[: len(part) & ~1]
        text, at, passed = part.decode(encoding, errors), begin, 0
        for first, last in pattern.spans(text):
            at += len(text[passed:first].encode(encoding, errors))
            size = len(text[first:last].encode(encoding, errors))
            found.append((at, at + size))
            at, passed = at + size, last
    return joined(found)


def _readings(content: bytes) -> Iterator[tuple[str, str, int]]:
    """Encodings in which it may be in there, how bytes that are none are read, and from which byte on."""
    yield "utf-8", "surrogateescape", 0
    if not content.isascii():
        yield "latin-1", "strict", 0
    if b"\0" in content or not content.isascii():
        for encoding in ("utf-16-le", "utf-16-be"):
            for begin in (0, 1):
                yield encoding, "surrogatepass", begin


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order; those that overlap or touch are one."""
    whole: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if whole and begin <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((begin, end))
    return whole


def fill_bytes(pattern: Pattern, content: bytes, spans: Iterable[tuple[int, int]], at: int = 0) -> bytes:
    """A part of a content, which begins ``at`` so many bytes in it, with fillers for what lies in the spans."""
    filler = next(each for each in BYTE_FILLERS if not _fits(pattern, each.decode()))
    filled_part = bytearray(content)
    for begin, end in spans:
        first, last = max(begin - at, 0), min(end - at, len(content))
        if first < last:
            filled_part[first:last] = filler * (last - first)
    return bytes(filled_part)


class ByteFinder:
    """Looks through a content that comes in pieces. ``spans``: see `spans_in`; once all has come."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._held = bytearray()
        self._at = 0
        self._found: list[tuple[int, int]] = []

    def take(self, piece: bytes) -> None:
        self._held += piece
        if len(self._held) > BYTES_AT_ONCE:
            self._look()
            gone = len(self._held) - BYTES_REACH
            del self._held[:gone]
            self._at += gone

    def spans(self) -> list[tuple[int, int]]:
        self._look()
        return joined(self._found)

    def _look(self) -> None:
        at = self._at
        self._found += [(at + begin, at + end) for begin, end in spans_in(self._pattern, bytes(self._held))]


def brings(pattern: Pattern, text: str, operations: Sequence[Operation]) -> bool:
    """Whether operations, one after the other, leave something that fits and that they have a part in; what is there
    beside it is not their doing."""
    buffer = TextBuffer(text)
    for operation in operations:
        edits, moved = to_edits(operation), 0
        buffer.apply(operation)
        whole = str(buffer)
        for position, deleted, inserted in edits:
            begin, end = position + moved, position + moved + len(inserted)
            near = pattern.spans(whole, max(0, begin - REACH), min(len(whole), end + REACH))
            if any(first < end and last > begin for first, last in near):
                return True
            moved += len(inserted) - deleted
    return False


class Finder:
    """Goes back through the log of a workspace, from its last texts by file key. ``marks``: what is to be filled of
    what an entry has inserted, as a mask over all of it, by sequence; ``names``: all that was ever in the tree."""

    def __init__(self, pattern: Pattern, texts: Mapping[int, str]) -> None:
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
        parts = decode_payload(entry.payload).components
        text, mask = self._texts[entry.file_key], self._masks[entry.file_key]
        found = False
        whole = str(text)
        for begin, end in _changed(parts):
            for first, last in self._pattern.spans(whole, max(0, begin - REACH), min(len(whole), end + REACH)):
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
            for first, last in self._pattern.spans(str(text)):
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


def renamed(pattern: Pattern, names: Iterable[str]) -> dict[str, str]:
    """Other names for those that fit: of the same length, each one's own, none that is among ``names``. Errors:
    ``conflict``: there are not so many."""
    wanted = list(names)
    used = set(wanted)
    found: dict[str, str] = {}
    for name in wanted:
        base = filled(pattern, name)
        if base == name:
            continue
        free = (each for each in _shaded(name, base) if each not in used and not pattern.search(each))
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


class Others(NamedTuple):
    """What stands in a tree from now on: for names, and for the hashes of contents that are no text."""

    names: Mapping[str, str]
    contents: Mapping[str, str]


class Rewriter:
    """Goes forwards through the log of a workspace, from the texts that it begins with (filled already, by file key)
    and says what each entry becomes."""

    def __init__(self, marks: Mapping[int, str], others: Others, texts: Mapping[int, str], tree: Tree) -> None:
        self._marks = marks
        self._others = others
        self._texts = {key: TextBuffer(text) for key, text in texts.items()}
        self._tree = tree

    def entry(self, entry: LogEntry) -> bytes:
        """The payload that the entry has from now on; its own where nothing of it is taken out."""
        if is_of_tree(entry.payload):
            effect, restores = decode_effect(entry.payload)
            other = self._effect(effect)
            self._tree.take_in(other)
            return entry.payload if other == effect else encode_effect(other, restores)
        parts, restores, origin = decode_payload(entry.payload)
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
        return entry.payload if known == parts else encode_payload(known, removed, restores, origin)

    def content(self, file_key: int, *, is_tree: bool) -> str:
        """A file as the entries so far have left it, as a snapshot has it."""
        if is_tree:
            return self._tree.encode().decode()
        return str(self._texts.get(file_key, ""))

    def _effect(self, effect: Effect) -> Effect:
        changes = (Change(file_id, self._node(before), self._node(after)) for file_id, before, after in effect.changes)
        return Effect(tuple(changes))

    def _node(self, state: NodeState | None) -> NodeState | None:
        return None if state is None else node_of(state, self._others)


def node_of(state: NodeState, others: Others) -> NodeState:
    """A node with the names and contents that are used from now on."""
    contents = {"symlink": others.names, "binary": others.contents}.get(state.kind, {})
    return state._replace(
        name=others.names.get(state.name, state.name), content=contents.get(state.content, state.content)
    )
