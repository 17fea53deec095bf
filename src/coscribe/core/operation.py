"""Operations on text: apply, transform, compose, invert.

An operation walks over a text from left to right. Its components are

    int n       retain: keep n code points            (n > 0)
    str s       insert: put s here                    (s not empty)
    Delete      delete: drop the next ``size`` code points; ``text`` says which, where it is known

A retain at the end may be left out. Where it is written the operation *states* how long its text is, and what
is made of it by `transform` states that too. Adjacent components of one kind are merged; the order of an insert
and a delete at one place is kept, because it decides where a concurrent insert at that place ends up.

`transform` closes the diamond: two people at the same text, one has done ``a``, the other ``b``:

              text
             /    \
          a /      \\ b              a' = transform(a, b, LEFT)     a as it must be after b
           /        \\               b' = transform(b, a, RIGHT)    b as it must be after a
        text_a    text_b
           \\        /               apply(apply(text, b), a') == apply(apply(text, a), b')      (TP1)
         b' \\      / a'
             \\    /
              text'

With one total order of operations TP1 is all that is needed. The side breaks the tie of two inserts at one
place: LEFT goes left. The rule of this system is *the later-committed insert goes left*, so the server rebases
an incoming operation with LEFT and a client carries a remote one over its own pending edits with RIGHT.

Nearly every edit is a single `Splice`: at ``position``, insert ``inserted``, then drop ``deleted`` code points. It
has a fast path of plain integer arithmetic here; the result falls back to components where a concurrent insert
splits a delete. A positional operation could not express that, which is why components are the general form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError

LEFT = True
RIGHT = False


class Delete(NamedTuple):
    """Drop ``size`` code points; ``text`` is what they were, or None where nobody has looked."""

    size: int
    text: str | None = None


class Splice(NamedTuple):
    """The single edit: at ``position``, insert ``inserted``, then drop the ``deleted`` code points after it."""

    position: int
    deleted: int
    inserted: str


Component = int | str | Delete
Components = tuple[Component, ...]
Operation = Splice | Components

NOTHING: Components = ()


class _Builder:
    """Collects components, merging neighbours of one kind."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Component] = []

    def add(self, part: Component) -> None:
        parts = self.parts
        if isinstance(part, int):
            if part <= 0:
                return
            if parts and isinstance(parts[-1], int):
                parts[-1] += part
                return
        elif isinstance(part, str):
            if not part:
                return
            if parts and isinstance(parts[-1], str):
                parts[-1] += part
                return
        else:
            if part.size <= 0:
                return
            last = parts[-1] if parts else None
            if isinstance(last, Delete):
                known = last.text is not None and part.text is not None
                text = f"{last.text}{part.text}" if known else None
                parts[-1] = Delete(last.size + part.size, text)
                return
        parts.append(part)

    def finish(self, *, keep_last_retain: bool) -> Components:
        if not keep_last_retain and self.parts and isinstance(self.parts[-1], int):
            self.parts.pop()
        return tuple(self.parts)


class _Reader:
    """Hands out the components of an operation in pieces; past its end there is retain for ever."""

    __slots__ = ("index", "offset", "parts")

    def __init__(self, parts: Components) -> None:
        self.parts = parts
        self.index = 0
        self.offset = 0

    def peek(self) -> Component | None:
        return self.parts[self.index] if self.index < len(self.parts) else None

    def take(self, limit: int, whole: type[str] | type[Delete] | None) -> Component:
        """At most ``limit`` code points of the next component; a ``whole`` one is never cut."""
        if self.index >= len(self.parts):
            return limit
        part = self.parts[self.index]
        start = self.offset
        left = length(part) - start
        if (whole is not None and isinstance(part, whole)) or left <= limit:
            self.index += 1
            self.offset = 0
            return _cut(part, start, start + left)
        self.offset += limit
        return _cut(part, start, start + limit)

    def rest(self) -> Iterable[Component]:
        while self.index < len(self.parts):
            part = self.parts[self.index]
            yield _cut(part, self.offset, length(part))
            self.index += 1
            self.offset = 0


def length(part: Component) -> int:
    """How many code points a component keeps, inserts or drops."""
    if isinstance(part, int):
        return part
    return len(part) if isinstance(part, str) else part.size


def _cut(part: Component, start: int, end: int) -> Component:
    if isinstance(part, int):
        return end - start
    if isinstance(part, str):
        return part[start:end]
    return Delete(end - start, None if part.text is None else part.text[start:end])


def normalise(parts: Iterable[Component]) -> Components:
    """Merge neighbours, drop empties and the last retain."""
    builder = _Builder()
    for part in parts:
        builder.add(part)
    return builder.finish(keep_last_retain=False)


def components(operation: Operation) -> Components:
    """The component form of any operation."""
    if isinstance(operation, Splice):
        position, deleted, inserted = operation
        builder = _Builder()
        builder.add(position)
        builder.add(inserted)
        builder.add(Delete(deleted))
        return builder.finish(keep_last_retain=False)
    return operation


def simplify(parts: Components) -> Operation:
    """The splice that components amount to, where they are one; else the components.

    Texts of deletes are dropped in the splice: it only counts.
    """
    position = deleted = 0
    inserted = ""
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if isinstance(part, int):
            if inserted or deleted:
                if index == last:
                    break
                return parts
            position = part
        elif isinstance(part, str):
            if deleted:
                return parts
            inserted = part
        else:
            deleted = part.size
    if not inserted and not deleted:
        return NOTHING
    return Splice(position, deleted, inserted)


def from_edits(edits: Sequence[tuple[int, int, str]]) -> Operation:
    """Several edits (position, deleted, inserted), all against one text, left to right, as one operation.

    Errors: ``invalid_payload`` where they overlap or run backwards.
    """
    if len(edits) == 1:
        position, deleted, inserted = edits[0]
        return Splice(position, deleted, inserted) if deleted or inserted else NOTHING
    builder = _Builder()
    cursor = 0
    for position, deleted, inserted in edits:
        if position < cursor:
            raise CoscribeError(Code.INVALID_PAYLOAD, f"edit at {position} begins before {cursor}")
        builder.add(position - cursor)
        builder.add(inserted)
        builder.add(Delete(deleted))
        cursor = position + deleted
    return simplify(builder.finish(keep_last_retain=False))


def to_edits(operation: Operation) -> list[tuple[int, int, str]]:
    """The inverse of `from_edits`: (position, deleted, inserted), against the text before."""
    if isinstance(operation, Splice):
        return [(operation.position, operation.deleted, operation.inserted)]
    edits: list[tuple[int, int, str]] = []
    position = 0
    open_insert: str | None = None
    for part in operation:
        if isinstance(part, str):
            open_insert = part
            continue
        if isinstance(part, int):
            if open_insert is not None:
                edits.append((position, 0, open_insert))
            position += part
        else:
            edits.append((position, part.size, open_insert or ""))
            position += part.size
        open_insert = None
    if open_insert is not None:
        edits.append((position, 0, open_insert))
    return edits


def changes(operation: Operation) -> bool:
    """Whether the operation holds any insert or delete. One that does not leaves the version alone."""
    if isinstance(operation, Splice):
        return bool(operation.deleted or operation.inserted)
    return any(not isinstance(part, int) for part in operation)


def reach(operation: Operation) -> int:
    """How many code points the text must have at least for the operation to fit."""
    if isinstance(operation, Splice):
        return operation.position + operation.deleted
    return sum(length(part) for part in operation if not isinstance(part, str))


def growth(operation: Operation) -> int:
    """By how many code points the text gets longer (negative: shorter)."""
    if isinstance(operation, Splice):
        return len(operation.inserted) - operation.deleted
    return sum(len(part) if isinstance(part, str) else -part.size for part in operation if not isinstance(part, int))


def apply(text: str, operation: Operation) -> str:
    """The text after the operation. Errors: ``position_out_of_range``, ``invalid_payload`` (other text deleted)."""
    out: list[str] = []
    position = 0
    for part in components(operation):
        if isinstance(part, str):
            out.append(part)
            continue
        end = position + length(part)
        if end > len(text):
            raise CoscribeError(Code.POSITION_OUT_OF_RANGE, f"{end} is past the end of {len(text)} code points")
        if isinstance(part, int):
            out.append(text[position:end])
        elif part.text is not None and part.text != text[position:end]:
            raise CoscribeError(Code.INVALID_PAYLOAD, f"the text at {position} is not the one to delete")
        position = end
    out.append(text[position:])
    return "".join(out)


def know_deleted(operation: Operation, removed: str) -> Components:
    """The operation with every delete knowing its text; ``removed`` is all of it, in order."""
    out: list[Component] = []
    start = 0
    for part in components(operation):
        if isinstance(part, Delete):
            end = start + part.size
            out.append(Delete(part.size, removed[start:end]))
            start = end
        else:
            out.append(part)
    assert start == len(removed)
    return tuple(out)


def deleted_text(text: str, operation: Operation) -> str:
    """All the text that the operation would delete from ``text``."""
    out: list[str] = []
    position = 0
    for part in components(operation):
        if isinstance(part, Delete):
            out.append(text[position : position + part.size])
        if not isinstance(part, str):
            position += length(part)
    return "".join(out)


def invert(operation: Components) -> Components:
    """The operation that takes this one back. Every delete must know its text."""
    out: list[Component] = []
    for part in operation:
        if isinstance(part, int):
            out.append(part)
        elif isinstance(part, str):
            out.append(Delete(len(part), part))
        else:
            assert part.text is not None, "invert needs the deleted text: see know_deleted"
            out.append(part.text)
    return normalise(out)


def transform(operation: Operation, other: Operation, side: bool) -> Operation:
    """``operation`` as it must be once ``other``, made on the same text, has been applied. ``side``: LEFT or RIGHT."""
    if isinstance(operation, Splice):
        moved, passed = carry_splice(operation, (other,), side)
        return moved if passed else simplify(transform_components(components(operation), components(other), side))
    return transform_components(operation, components(other), side)


def carry_splice(splice: Splice, others: Sequence[Operation], side: bool) -> tuple[Splice, int]:
    """A splice carried over ``others`` one by one, as far as it stays a splice; and how many it has passed.

    It stops before an operation that is no splice itself, and before one that would tear this one apart.
    """
    position, deleted, inserted = splice
    passed = 0
    for other in others:
        if type(other) is not Splice:
            break
        at, gone, text = other
        if text:
            come = len(text)
            if at < position:
                position += come
            elif at == position:
                if deleted and inserted and side is LEFT:
                    break
                if deleted or side is RIGHT:
                    position += come
            elif at < position + deleted:
                break
            at += come
        if gone and (at < position or at < position + deleted):
            if at + gone <= position:
                position -= gone
            else:
                deleted -= min(position + deleted, at + gone) - max(position, at)
                position = min(position, at)
        passed += 1
    return Splice(position, deleted, inserted), passed


def carry_over_effects(splice: Splice, effects: Sequence[tuple[int, int, int]]) -> Splice | None:
    """`carry_splice` to the LEFT over splices given as (position, deleted, number inserted). None: it is torn apart.

    This is the innermost loop of the server under load: fifty people typing are up to fifty rounds per operation.
    """
    position, deleted, inserted = splice
    for at, gone, come in effects:
        if at > position + deleted:
            continue
        if come:
            if at < position:
                position += come
            elif at == position:
                if deleted and inserted:
                    return None
                if deleted:
                    position += come
            elif at < position + deleted:
                return None
            at += come
        if gone and (at < position or at < position + deleted):
            if at + gone <= position:
                position -= gone
            else:
                deleted -= min(position + deleted, at + gone) - max(position, at)
                position = min(position, at)
    return Splice(position, deleted, inserted)


def transform_components(operation: Components, other: Components, side: bool) -> Components:
    """`transform` for component lists, in general."""
    states_length = bool(operation) and isinstance(operation[-1], int)
    builder = _Builder()
    reader = _Reader(operation)
    for step in other:
        if isinstance(step, int):
            remaining = step
            while remaining > 0:
                part = reader.take(remaining, str)
                builder.add(part)
                if not isinstance(part, str):
                    remaining -= length(part)
        elif isinstance(step, str):
            if side is LEFT and isinstance(reader.peek(), str):
                builder.add(reader.take(0, str))
            builder.add(len(step))
        else:
            remaining = step.size
            while remaining > 0:
                part = reader.take(remaining, str)
                if isinstance(part, str):
                    builder.add(part)
                else:
                    remaining -= length(part)
    for part in reader.rest():
        builder.add(part)
    return builder.finish(keep_last_retain=states_length)


def compose(first: Operation, second: Operation) -> Operation:
    """One operation that does what ``first`` and then ``second`` do."""
    builder = _Builder()
    reader = _Reader(components(first))
    for step in components(second):
        if isinstance(step, str):
            builder.add(step)
            continue
        remaining = length(step)
        while remaining > 0:
            part = reader.take(remaining, Delete)
            if isinstance(part, Delete):
                builder.add(part)
                continue
            size = length(part)
            if isinstance(step, int):
                builder.add(part)
            elif isinstance(part, int):
                start = step.size - remaining
                builder.add(Delete(size, None if step.text is None else step.text[start : start + size]))
            remaining -= size
    for part in reader.rest():
        builder.add(part)
    return simplify(builder.finish(keep_last_retain=False))


def move_position(position: int, operation: Operation, *, before_insert: bool) -> int:
    """Where a position (a caret) is after the operation; ``before_insert``: it stays left of an insert right there."""
    walked = 0
    moved = position
    for part in components(operation):
        if walked > position:
            break
        if isinstance(part, int):
            walked += part
        elif isinstance(part, str):
            if walked < position or not before_insert:
                moved += len(part)
        else:
            moved -= max(0, min(part.size, position - walked))
            walked += part.size
    return moved
