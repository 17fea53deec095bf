"""The edits that lead from one text to another: for whoever has a new text and not the typing that made it."""

from __future__ import annotations

from fast_diff_match_patch import diff  # type: ignore[import-not-found]  # it has no stubs

DIFF_SECONDS = 1.0
"""After so long a difference stays as coarse as it is by then; so two runs over the same texts may differ."""

Edits = list[tuple[int, int, str]]
"""(position, deleted, inserted), all against the old text, left to right; counted in code points."""


def edits_between(old: str, new: str, at_most: int) -> Edits:
    """The edits that make ``new`` of ``old``, at most so many. Takes its time: call it in a thread.

    Where there are too many those that lie closest together become one, which also replaces what is between them.
    """
    edits: Edits = []
    position = here = 0
    touches = False
    for kind, count in diff(old, new, timelimit=DIFF_SECONDS, cleanup="Efficiency", counts_only=True):
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
    return _joined(edits, old, at_most)


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
