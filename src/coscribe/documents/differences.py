"""The edits that lead from one text to another: for whoever has a new text and not the typing that made it."""

from __future__ import annotations

import re

from fast_diff_match_patch import diff  # type: ignore[import-not-found]  # it has no stubs

DIFF_SECONDS = 1.0
"""After so long a difference stays as coarse as it is by then; so two runs over the same texts may differ."""

Edits = list[tuple[int, int, str]]
"""(position, deleted, inserted), all against the old text, left to right; counted in code points."""


Differences = list[tuple[str, int]]
"""What leads from one text to another, from left to right: ``=`` keeps so many code points, ``-`` takes them away,
``+`` puts in the next ones of the new text."""

_WORD = re.compile(r"\S+|\s")

_FIRST_LETTER = 0xE000
"""Words are compared as letters of an alphabet of their own."""

_LETTERS = 0x110000 - _FIRST_LETTER


def edits_between(old: str, new: str, at_most: int) -> Edits:
    """The edits that make ``new`` of ``old``, at most so many. Takes its time: call it in a thread.

    Where there are too many those that lie closest together become one, which also replaces what is between them.
    """
    return _joined(_edits(differences(old, new), new), old, at_most)


def word_edits_between(old: str, new: str, at_most: int) -> Edits:
    """Likewise of whole words, spaces among them: for texts that have little in common but letters."""
    letters: dict[str, str] = {}
    words = [_WORD.findall(text) for text in (old, new)]
    for word in (*words[0], *words[1]):
        if word not in letters:
            if len(letters) == _LETTERS:
                return edits_between(old, new, at_most)
            letters[word] = chr(_FIRST_LETTER + len(letters))
    encoded = ["".join(letters[word] for word in each) for each in words]
    found: Differences = []
    position = place = 0
    for kind, count in _differences(encoded[0], encoded[1], "No"):
        of = words[1][place : place + count] if kind == "+" else words[0][position : position + count]
        found.append((kind, sum(map(len, of))))
        position += 0 if kind == "+" else count
        place += 0 if kind == "-" else count
    return _joined(_edits(found, new), old, at_most)


def differences(old: str, new: str) -> Differences:
    return _differences(old, new, "Efficiency")


class LineDifferences:
    """The differences of several texts that have most of their lines in common: lines that are the same are found
    first, then letters where lines are others. So it takes a moment where few lines are."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}
        self._lines: dict[str, tuple[list[str], str]] = {}

    def between(self, old: str, new: str) -> Differences:
        """As `differences`."""
        before, old_letters = self._encoded(old)
        after, new_letters = self._encoded(new)
        found: Differences = []
        position = place = removed = added = 0
        if len(self._letters) > _LETTERS:
            return differences(old, new)
        for kind, count in (*_differences(old_letters, new_letters, "No"), ("=", 0)):
            if kind == "=":
                gone, come = before[position : position + removed], after[place : place + added]
                found += _within("".join(gone), "".join(come))
                position, place = position + removed, place + added
                if count:
                    found.append(("=", sum(map(len, before[position : position + count]))))
                position, place, removed, added = position + count, place + count, 0, 0
            elif kind == "-":
                removed += count
            else:
                added += count
        return found

    def _encoded(self, text: str) -> tuple[list[str], str]:
        """The lines of a text, and a letter for each."""
        known = self._lines.get(text)
        if known is None:
            lines, letters = text.splitlines(keepends=True), self._letters
            for line in lines:
                if line not in letters:
                    letters[line] = chr(min(_FIRST_LETTER + len(letters), 0x10FFFF))
            known = self._lines[text] = lines, "".join([letters[line] for line in lines])
        return known


def _within(old: str, new: str) -> Differences:
    if old and new:
        return differences(old, new)
    return [("-", len(old))] if old else [("+", len(new))] if new else []


def _differences(old: str, new: str, cleanup: str) -> Differences:
    found: Differences = diff(old, new, timelimit=DIFF_SECONDS, cleanup=cleanup, counts_only=True)
    return found


def _edits(differences: Differences, new: str) -> Edits:
    edits: Edits = []
    position = here = 0
    touches = False
    for kind, count in differences:
        if kind == "=":
            position += count
            here += count
        else:
            start, deleted, inserted = edits.pop() if touches else (position, 0, "")
            if kind == "-":
                deleted += count
                position += count
            else:
                inserted += new[here : here + count]
                here += count
            edits.append((start, deleted, inserted))
        touches = kind != "="
    return edits


def _joined(edits: Edits, old: str, at_most: int) -> Edits:
    def gap(index: int) -> int:
        before, deleted, _ = edits[index - 1]
        return edits[index][0] - before - deleted

    surplus = len(edits) - at_most
    if surplus <= 0:
        return edits
    narrow = set(sorted(range(1, len(edits)), key=gap)[:surplus])
    groups: list[Edits] = []
    for index, edit in enumerate(edits):
        if index in narrow:
            groups[-1].append(edit)
        else:
            groups.append([edit])
    return [_as_one(group, old) for group in groups]


def _as_one(group: Edits, old: str) -> tuple[int, int, str]:
    start = end = group[0][0]
    pieces: list[str] = []
    for position, deleted, inserted in group:
        pieces += (old[end:position], inserted)
        end = position + deleted
    return start, end - start, "".join(pieces)
