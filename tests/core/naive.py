"""The oracle: operations done the slow and obvious way, a character at a time. It shares no code with the core.

An operation on a text of n characters is spread out over the text:

    gap      0   1   2  ...  n        inserts: for each gap, what the operation puts there
    char       0   1   2 ... n-1      dropped: the characters that it deletes

A character keeps its place for ever, also once it is dropped; so whether an insert comes before or after a character
never depends on who deletes what, and two operations on one text are merged by laying them side by side. Only two
inserts into one gap leave a choice: that is the ``side``.

Operations are JSON, ``[3, "text", {"d": 2}]``: number = retain, string = insert, ``{"d": n}`` = delete. Results are in
normal form: neighbours of one kind are merged, empty components and a retain at the end are left out.

    naive_apply(text, op) -> str                     ValueError where op reaches past the end of text
    naive_transform(op, other, side) -> op           op as it must be after other; side: "left" or "right" at a tie
    naive_compose(first, second) -> op
    naive_normal(op) -> op
    naive_caret(op, position, stays_left) -> int     where a caret ends up
    naive_utf16(text, position) -> int               ValueError where position is not within the text
    naive_reach(op) -> int                           how long a text must be for op
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

JsonComponent = int | str | dict[str, int]
JsonOp = list[JsonComponent]
AnyOp = Sequence[int | str | Mapping[str, int]]
Side = Literal["left", "right"]

# One step of an operation over a single character: keep it, drop it, or bring a new one.
Step = tuple[Literal["keep", "drop"], None] | tuple[Literal["new"], str]
KEEP: Step = ("keep", None)
DROP: Step = ("drop", None)


def naive_apply(text: str, op: AnyOp) -> str:
    inserts, dropped, size = _spread(op)
    if size > len(text):
        raise ValueError(f"needs {size} characters, the text has {len(text)}")
    out = []
    for gap in range(len(text) + 1):
        out += inserts.get(gap, [])
        out += [char for char in text[gap : gap + 1] if gap not in dropped]
    return "".join(out)


def naive_transform(op: AnyOp, other: AnyOp, side: Side) -> JsonOp:
    mine, my_drops, my_size = _spread(op)
    theirs, their_drops, their_size = _spread(other)
    steps: list[Step] = []
    for gap in range(max(my_size, their_size) + 1):
        added: list[Step] = [("new", char) for char in mine.get(gap, [])]
        passed = [KEEP for _ in theirs.get(gap, [])]
        steps += added + passed if side == "left" else passed + added
        if gap not in their_drops:
            steps.append(DROP if gap in my_drops else KEEP)
    return _pack(steps)


def naive_compose(first: AnyOp, second: AnyOp) -> JsonOp:
    inserts, dropped, size = _spread(first)
    more, more_dropped, more_size = _spread(second)
    # What first makes of the text, its dropped characters still in their places: (new character or None, dropped?).
    row: list[tuple[str | None, bool]] = []
    for gap in range(size + more_size + 1):
        row += [(char, False) for char in inserts.get(gap, [])]
        row.append((None, gap in dropped))
    # Second counts only what it can see. It inserts right behind the character to the left.
    steps: list[Step] = [("new", char) for char in more.get(0, [])]
    seen = 0
    for char, gone in row:
        gone_now = gone or seen in more_dropped
        if char is None:
            steps.append(DROP if gone_now else KEEP)
        elif not gone_now:
            steps.append(("new", char))
        if not gone:
            seen += 1
            steps += [("new", added) for added in more.get(seen, [])]
    return _pack(steps)


def naive_normal(op: AnyOp) -> JsonOp:
    steps: list[Step] = []
    for part in op:
        if isinstance(part, str):
            steps += [("new", char) for char in part]
        else:
            steps += [KEEP] * part if isinstance(part, int) else [DROP] * part["d"]
    return _pack(steps)


def naive_caret(op: AnyOp, position: int, stays_left: bool) -> int:
    """A caret is like a character that somebody types there at the same time: where does it land?"""
    moved = naive_transform([position, "|"], op, "left" if stays_left else "right")
    return moved[0] if isinstance(moved[0], int) else 0


def naive_utf16(text: str, position: int) -> int:
    if not 0 <= position <= len(text):
        raise ValueError(f"{position} is not within 0..{len(text)}")
    return len(text[:position].encode("utf-16-le")) // 2


def naive_reach(op: AnyOp) -> int:
    return _spread(op)[2]


def _spread(op: AnyOp) -> tuple[dict[int, list[str]], set[int], int]:
    """(inserts by gap, dropped characters, how many characters the operation walks over)."""
    inserts: dict[int, list[str]] = {}
    dropped: set[int] = set()
    at = 0
    for part in op:
        if isinstance(part, str):
            inserts.setdefault(at, []).extend(part)
        elif isinstance(part, int):
            at += part
        else:
            dropped.update(range(at, at + part["d"]))
            at += part["d"]
    return inserts, dropped, at


def _pack(steps: Iterable[Step]) -> JsonOp:
    out: JsonOp = []
    for kind, char in steps:
        last = out[-1] if out else None
        if kind == "keep":
            if isinstance(last, int):
                out[-1] = last + 1
            else:
                out.append(1)
        elif kind == "drop":
            if isinstance(last, dict):
                out[-1] = {"d": last["d"] + 1}
            else:
                out.append({"d": 1})
        elif isinstance(last, str):
            out[-1] = f"{last}{char}"
        else:
            out.append(f"{char}")
    if out and isinstance(out[-1], int):
        out.pop()
    return out
