"""UndoStack: taking back one's own edits, whatever others have done since.

A step is the operation that takes an edit back. The top one applies to the present text, each lower one to the text
that the steps above it leave. What others do in between is remembered at the top step and carried only when it is
needed: popping a step carries it over what came since, and hands those operations, as they look without the step, to
the one below:

        text --others--> present
          |                 |
     step |                 | step'      popped: applies to the present text
          v                 v
          . ---others'--->  .            others': what the step below is carried over

Beyond `MAX_FOREIGN` they are composed into one. Transforming over a composed operation may break a tie differently;
that does no harm here, because an undo is a new operation and goes through the server's order like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Generic, NamedTuple, TypeVar

from coscribe.core.operation import LEFT, RIGHT, Operation, compose, transform

MAX_FOREIGN = 128

_T = TypeVar("_T")


class Step(NamedTuple, Generic[_T]):
    """An operation that takes something back, and what that was."""

    operation: Operation
    of: _T


class Kept(NamedTuple, Generic[_T]):
    """A step as it lies in the stack, and what others have done since, which it has not been carried over yet."""

    step: Step[_T]
    foreign: list[Operation]


class UndoStack(Generic[_T]):
    """At most ``depth`` steps; the oldest are forgotten."""

    __slots__ = ("_depth", "_foreign", "_steps")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._steps: list[Step[_T]] = []
        self._foreign: list[list[Operation]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def push(self, operation: Operation, of: _T) -> None:
        if self._depth:
            self._steps.append(Step(operation, of))
            self._foreign.append([])
            del self._steps[: -self._depth]
            del self._foreign[: -self._depth]

    def foreign(self, operation: Operation) -> None:
        """Somebody else has changed the present text."""
        if self._foreign:
            self._remember(self._foreign[-1], (operation,))

    def pop(self) -> Step[_T] | None:
        """The latest step, for the present text; None where there is none."""
        if not self._steps:
            return None
        operation, of = self._steps.pop()
        others = []
        for other in self._foreign.pop():
            others.append(transform(other, operation, RIGHT))
            operation = transform(operation, other, LEFT)
        if self._foreign:
            self._remember(self._foreign[-1], others)
        return Step(operation, of)

    def dump(self) -> list[Kept[_T]]:
        """All of it, the oldest step first."""
        return [Kept(step, foreign) for step, foreign in zip(self._steps, self._foreign, strict=True)]

    def load(self, kept: Iterable[Kept[_T]]) -> None:
        """What `dump` gave, perhaps without the oldest ones; for the text that it was about then."""
        self.clear()
        for step, foreign in kept:
            self.push(*step)
            if self._foreign:
                self._foreign[-1].extend(foreign)

    def clear(self) -> None:
        self._steps.clear()
        self._foreign.clear()

    def _remember(self, foreign: list[Operation], others: Iterable[Operation]) -> None:
        foreign.extend(others)
        if len(foreign) > MAX_FOREIGN:
            foreign[:] = [reduce(compose, foreign)]
