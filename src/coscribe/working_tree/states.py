"""States: what the disk has shown of a text, and what a new content of the file means to it.

Whoever writes a file has read it before, and maybe not what is there by now. So what the disk has shown in the last
minutes is kept, as *states*, and a new content is taken for an edit of one of them. The disk is a client whose screen
lags behind: the rule and the diamond are those of `core.operation`.

         the text of a state ── d ──▶ new content          d   what differs
               │                          │
        bridge │                          │ bridge'        bridge' = transform(bridge·since, d, RIGHT)
               ▼                          ▼
    text at its version ── since ──▶ ── d' ──▶ text now    d'  = transform(d, bridge·since, LEFT)

What we put there is exactly the text at a version: its bridge is nothing. What somebody else wrote becomes a state as
well, one with a bridge: to the text that the server has made of it and of what others did meanwhile.

Which state was read is not known. The newest is not a safe guess: a tool reads, a person types, that is put on the
disk, the tool writes what it made of what it has read. So it is the state from which the least differs, of equal ones
the newest. What people have typed since counts more where it is missing: who has not seen it does not have it in what
they write, and ``<18>`` in the place of a fresh ``<17>`` is no small change of it.

One exception: a content that is exactly an older state is a way back (undo in an editor, a checkout) and not a late
write that changes nothing, if all that lies between was written on the disk itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

from coscribe.core.errors import CoscribeError
from coscribe.core.operation import LEFT, NOTHING, RIGHT, Operation, apply, compose, from_edits, to_edits, transform
from coscribe.documents.differences import Differences, LineDifferences, edits_between, word_edits_between

ALIKE = 0.5
"""Part of the lines."""

MOST_WEIGHT = 16
"""Code points of fresh text around one that is missing, at most so many, that are taken to be missing with it."""

KEPT_SECONDS = 600.0
"""For how long a state is one that somebody may have read, once another has taken its place."""

KEPT_STATES = 64
"""States of one file; where there are more, the oldest go."""

MAX_COMPARED = 20_000_000
"""Code points of all texts that one content is compared with; beyond it the oldest are left out."""

COUNTED = "\n 1230456789etaoinsrhldcu"
"""Letters by whose number it is told at once that a text is no nearer than another."""

MAX_EDITS = 10_000
"""In one operation; see `edits_between`."""


Edits = tuple[tuple[int, int, str], ...]
"""(position, deleted, inserted), all against one text, left to right."""


class State(NamedTuple):
    """What the disk has shown. ``bridge``: edits that lead from its text to the text at ``version``. ``digest``: of its
    text, SHA-256 in hex. ``until``: seconds since 1970 when another took its place, None: it is there. ``by_disk``: it
    was written there and not put there. ``text``: only where no version has it, so with a bridge."""

    version: int
    digest: str
    bridge: Edits = ()
    until: float | None = None
    by_disk: bool = False
    text: str | None = None


class Candidate(NamedTuple):
    """A state with its text."""

    state: State
    text: str


class Choice(NamedTuple):
    """The state that a content is taken to come from, and what differs."""

    state: State
    text: str
    difference: Operation


def kept(states: Sequence[State], now: float) -> list[State]:
    """Those that somebody may have read, oldest first. The newest always is."""
    recent = [state for state in states[:-1] if state.until is not None and now - state.until < KEPT_SECONDS]
    return [*recent, *states[-1:]][-KEPT_STATES:]


def followed(states: Sequence[State], state: State, now: float) -> list[State]:
    """States with one more, which the disk shows from now on."""
    ended = [*states[:-1], *(each._replace(until=now) for each in states[-1:])]
    return kept([*ended, state], now)


def is_behind(states: Sequence[State]) -> bool:
    """Whether the disk shows what was written there, and not yet what the server made of it: an older text, or one with
    a bridge. Where that changed nothing, no log says so."""
    return any(state.version > states[-1].version for state in states) or bool(states and states[-1].bridge)


def choose(candidates: Sequence[Candidate], content: str, *, newest_only: bool = False) -> Choice:
    """The state that a new content comes from; candidates are in their order. ``newest_only``: it is known that what
    was written does not depend on what was read, as in a checkout. It takes time: call it in a thread."""
    newest = candidates[-1]
    if newest_only or len(candidates) == 1:
        return _choice(newest, content)
    same = next((each for each in reversed(candidates) if each.text == content), None)
    if same is not None:
        later = candidates[candidates.index(same) + 1 :]
        return _choice(newest if all(each.state.by_disk for each in later) else same, content)
    several = max(1, MAX_COMPARED // (len(newest.text) + len(content) + 1))
    compared = candidates[-several:]
    between = LineDifferences().between
    masks: list[bytearray] = []
    counts = [content.count(letter) for letter in COUNTED]
    nearest, least = newest, -1
    for place in reversed(range(len(compared))):
        text = compared[place].text
        if least >= 0 and _is_no_nearer(text, content, counts, least):
            continue
        found = between(text, content)
        if not masks and any(kind == "-" for kind, _ in found):
            masks = fresh(compared, between)
        cost = distance(found, masks[place] if masks else bytearray(len(text)))
        if least < 0 or cost < least:
            nearest, least = compared[place], cost
    return _choice(nearest, content)


def bridged(choice: Choice, content: str, since: Sequence[Operation], text: str) -> Edits:
    """The bridge from a content that was taken in to the ``text`` that the server has right behind it. ``since``: what
    others did between the choice's version and that, in order."""
    if content == text:
        return ()
    passed = from_edits(choice.state.bridge)
    for operation in since:
        passed = compose(passed, operation)
    bridge = transform(passed, choice.difference, RIGHT)
    if _comes_to(content, bridge) != text:  # a tie that composing has forgotten
        bridge = difference(content, text)
    return tuple(to_edits(bridge))


def beginning(choice: Choice, most: int) -> Choice | None:
    """As much of a difference as inserts ``most`` code points; None: all of it does."""
    edits = to_edits(choice.difference) if choice.difference else []
    if sum(len(inserted) for _, _, inserted in edits) <= most:
        return None
    first: list[tuple[int, int, str]] = []
    for position, deleted, inserted in edits:
        first.append((position, deleted, inserted[:most]))
        most -= len(inserted)
        if most <= 0:
            break
    return choice._replace(difference=from_edits(first))


def to_submit(choice: Choice) -> Operation:
    """The difference as an edit of the text at the choice's version."""
    return transform(choice.difference, from_edits(choice.state.bridge), LEFT)


def difference(old: str, new: str) -> Operation:
    if old == new:
        return NOTHING
    between = edits_between if is_alike(old.splitlines(), new.splitlines()) else word_edits_between
    return from_edits(between(old, new, MAX_EDITS))


def is_alike(old: Sequence[Hashable], new: Sequence[Hashable]) -> bool:
    """Whether texts, as lines, have enough of them in common to be one text and another version of it."""
    before, after = set(old), set(new)
    return len(before & after) >= ALIKE * max(len(before), len(after), 1)


def _choice(candidate: Candidate, content: str) -> Choice:
    return Choice(candidate.state, candidate.text, difference(candidate.text, content))


def _comes_to(text: str, operation: Operation) -> str | None:
    try:
        return apply(text, operation)
    except CoscribeError:
        return None


def fresh(candidates: Sequence[Candidate], between: Callable[[str, str], Differences]) -> list[bytearray]:
    """For each candidate which of its code points came from people, and were not in the first one."""
    masks = [bytearray(len(candidates[0].text))]
    for before, after in pairwise(candidates):
        mask, position = bytearray(), 0
        for kind, count in between(before.text, after.text):
            if kind == "+":
                mask += bytes([not after.state.by_disk]) * count
            else:
                mask += masks[-1][position : position + count] if kind == "=" else b""
                position += count
        masks.append(mask)
    return masks


def _is_no_nearer(text: str, content: str, counts: Sequence[int], least: int) -> bool:
    """Whether it is told without comparing them that ``least`` code points differ, or more: each that is put in or
    taken away changes the length by one, and one of the ``counts`` of the content at most."""
    differs = abs(len(text) - len(content))
    if differs < least:
        differs = 0
        for letter, count in zip(COUNTED, counts, strict=True):
            differs += abs(text.count(letter) - count)
            if differs >= least:
                break
    return differs >= least


def distance(differences: Differences, mask: bytearray) -> int:
    """How much differs, in code points; each that is ``fresh`` and missing counts as much as what came with it."""
    size = position = 0
    for kind, count in differences:
        if kind == "-":
            size += sum(_weight(mask, at) for at in range(position, position + count))
        elif kind == "+":
            size += count
        position += 0 if kind == "+" else count
    return size


def _weight(mask: bytearray, at: int) -> int:
    """What a code point counts that is missing."""
    if not mask[at]:
        return 1
    begin, end = mask.rfind(0, max(0, at - MOST_WEIGHT), at) + 1, mask.find(0, at, at + MOST_WEIGHT)
    return 2 * min(MOST_WEIGHT, (end if end >= 0 else min(len(mask), at + MOST_WEIGHT)) - max(begin, at - MOST_WEIGHT))
