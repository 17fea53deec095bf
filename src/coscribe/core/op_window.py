"""The recent operations of one file: what a stale edit is rebased over, and what a short absence is caught up from.

Two views of one stretch of history are kept side by side:

    entries   every committed operation, no-ops too, by sequence       -> catch-up
    changes   the operations of those that changed the text, by version -> rebase

    version       v0             v0+1            v0+2          = version of the file
                  |--changes[0]--|--changes[1]--|

    effects       the same, as (position, deleted, inserted length) of each splice: four times faster to go over

Bounds: `max_count` entries and `max_bytes` of text and bookkeeping; the oldest
entries leave first, never one that is not yet durable. An edit whose base has left is rebased over the log instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from coscribe.core.operation import (
    LEFT,
    RIGHT,
    Components,
    Operation,
    Splice,
    carry_over_effects,
    carry_splice,
    components,
    simplify,
    transform,
    transform_components,
)

Effect = tuple[int, int, int]
"""Of a splice, what matters to those that are carried over it: position, number deleted, number inserted."""

_NO_EFFECT: Effect = (0, 0, 0)

ENTRY_OVERHEAD = 200
"""Bytes an entry is taken to cost beside its text."""

_sequence_of = attrgetter("sequence")


class Committed:
    """One operation with its place in the order.

    ``operation`` is the transformed form and ``removed`` all the text it deleted, so that it can be taken back.
    ``restores`` names the sequences that an undo or a restore brings back. ``origin``: where what it inserts is from,
    as its author has said: ``paste``, or nothing.
    ``author`` and ``request`` (a digest of what was asked for) are opaque here, ``digest`` is the link in the hash
    chain, ``encoded`` the wire form; both are filled in by whoever makes them.
    ``cost`` is the bytes it counts for in a window.
    """

    __slots__ = (
        "author",
        "base_version",
        "changed",
        "cost",
        "digest",
        "operation",
        "operation_id",
        "origin",
        "removed",
        "request",
        "restores",
        "sequence",
        "version",
    )

    def __init__(
        self,
        sequence: int,
        version: int,
        base_version: int,
        changed: bool,
        operation_id: str,
        author: str,
        request: bytes,
        operation: Operation,
        removed: str,
        restores: tuple[int, ...] = (),
        origin: str = "",
    ) -> None:
        self.sequence = sequence
        self.version = version
        self.base_version = base_version
        self.changed = changed
        self.operation_id = operation_id
        self.author = author
        self.request = request
        self.operation = operation
        self.removed = removed
        self.restores = restores
        self.origin = origin
        self.digest = b""
        text = len(operation.inserted) if isinstance(operation, Splice) else _text_size(operation)
        self.cost = ENTRY_OVERHEAD + len(removed) + text


class Concurrent(NamedTuple):
    """What was committed since some version, oldest first; and the effects, if all of it are splices."""

    operations: Sequence[Operation]
    effects: Sequence[Effect] | None

    @staticmethod
    def of(operations: Sequence[Operation]) -> Concurrent:
        """From operations alone."""
        effects = [effect_of(operation) for operation in operations if isinstance(operation, Splice)]
        return Concurrent(operations, effects if len(effects) == len(operations) else None)


NOTHING_CONCURRENT = Concurrent((), ())


class OpWindow:
    """The last operations of a file; see the module's text for the shape. All behind sequence ``floor`` are here."""

    __slots__ = ("_changes", "_effects", "_torn_version", "bytes", "entries", "floor", "max_bytes", "max_count")

    def __init__(self, max_count: int, max_bytes: int, floor: int) -> None:
        self.floor = floor
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.entries: list[Committed] = []
        self._changes: list[Operation] = []
        self._effects: list[Effect] = []
        self._torn_version = 0
        self.bytes = 0

    def append(self, entry: Committed) -> None:
        self.entries.append(entry)
        self.bytes += entry.cost
        if entry.changed:
            operation = entry.operation
            self._changes.append(operation)
            if isinstance(operation, Splice):
                self._effects.append(effect_of(operation))
            else:
                self._effects.append(_NO_EFFECT)
                self._torn_version = entry.version

    def trim(self, durable_sequence: int) -> list[Committed]:
        """Drops the oldest durable entries once a bound is passed, down to three quarters; returns the dropped."""
        if len(self.entries) <= self.max_count and self.bytes <= self.max_bytes:
            return []
        count, size, keep = 0, self.bytes, len(self.entries)
        for entry in self.entries:
            fits = keep <= self.max_count * 3 // 4 and size <= self.max_bytes * 3 // 4
            if fits or entry.sequence > durable_sequence:
                break
            count += 1
            keep -= 1
            size -= entry.cost
        dropped = self.entries[:count]
        del self.entries[:count]
        changed = sum(entry.changed for entry in dropped)
        del self._changes[:changed]
        del self._effects[:changed]
        self.bytes = size
        if dropped:
            self.floor = dropped[-1].sequence
        return dropped

    def changes_since(self, base_version: int, version: int) -> Concurrent | None:
        """What has changed the text between the two versions. None: some of it has left the window."""
        behind = version - base_version
        if behind == 0:
            return NOTHING_CONCURRENT
        if behind > len(self._changes):
            return None
        effects = self._effects[-behind:] if base_version >= self._torn_version else None
        return Concurrent(self._changes[-behind:], effects)

    def entries_after(self, sequence: int) -> list[Committed]:
        """The entries behind ``sequence`` that are still here, oldest first."""
        return self.entries[bisect_right(self.entries, sequence, key=_sequence_of) :]


def effect_of(splice: Splice) -> Effect:
    return splice.position, splice.deleted, len(splice.inserted)


def rebase(operation: Operation, concurrent: Concurrent) -> Operation:
    """The operation carried over each concurrent one in turn, stepwise (composition is not closed under transform).

    Ties go left: the operation is committed later than everything it is carried over.
    """
    if isinstance(operation, Splice) and concurrent.effects is not None:
        carried = carry_over_effects(operation, concurrent.effects)
        if carried is not None:
            return carried
    others = concurrent.operations
    index = 0
    while index < len(others):
        if isinstance(operation, Splice):
            operation, passed = carry_splice(operation, others[index:] if index else others, LEFT)
            index += passed
            if index == len(others):
                break
        operation = simplify(transform_components(components(operation), components(others[index]), LEFT))
        index += 1
    return operation


def rebase_chain(operations: Sequence[Operation], concurrent: Concurrent) -> list[Operation]:
    """A chain, each based on the one before it, carried over the concurrent operations element by element.

    base --o1--> . --o2--> .           each o is carried over the column of e's it meets,
     |           |         |           each e over the o it passes (RIGHT): what the first
     e           e'        e''         element leaves of the e's is what the second one
     |           |         |           is carried over.
     . --o1'---> . --o2'-> .
    """
    if not concurrent.operations:
        return list(operations)
    moved: list[Operation] = []
    for index, operation in enumerate(operations):
        moved.append(rebase(operation, concurrent))
        if index < len(operations) - 1:
            concurrent = Concurrent(_carry_all(concurrent.operations, operation), None)
    return moved


def _carry_all(concurrent: Sequence[Operation], operation: Operation) -> list[Operation]:
    """The concurrent operations as they must be after ``operation``, which goes left of them."""
    carried: list[Operation] = []
    for other in concurrent:
        carried.append(transform(other, operation, RIGHT))
        operation = transform(operation, other, LEFT)
    return carried


def _text_size(operation: Components) -> int:
    return sum(len(part) for part in operation if isinstance(part, str))
