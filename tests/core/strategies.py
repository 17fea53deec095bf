"""Texts and operations for the property tests: short, full of ties, overlaps and characters beyond U+FFFF.

A case is read off a tape of random bytes, which hypothesis makes several times faster than it makes nested values;
it shrinks as well, because zeros (and the end of the tape) always mean the simplest choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from coscribe.core.operation import Component, Components, Delete, Operation, Splice, growth, normalise, simplify

T = TypeVar("T")

TEXT_LETTERS = "ab😅\né c"
INSERT_LETTERS = "XY🤖"


class Tape:
    """Choices, one byte each."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.index = 0

    def below(self, bound: int) -> int:
        """A number in 0..bound-1."""
        byte = self.data[self.index] if self.index < len(self.data) else 0
        self.index += 1
        return byte % bound

    def letters(self, letters: str, max_size: int) -> str:
        return "".join(letters[self.below(len(letters))] for _ in range(self.below(max_size + 1)))

    def text(self, max_size: int = 12) -> str:
        return self.letters(TEXT_LETTERS, max_size)

    def splice(self, size: int) -> Splice:
        """On a text of ``size``; possibly an empty one."""
        position = self.below(size + 1)
        return Splice(position, min(self.below(5), size - position), self.letters(INSERT_LETTERS, 3))

    def components(self, size: int) -> Components:
        parts: list[Component] = []
        for _ in range(self.below(5)):
            kept = min(self.below(5), size)
            dropped = min(self.below(5), size - kept)
            inserted = self.letters(INSERT_LETTERS, 2)
            size -= kept + dropped
            parts += [kept, Delete(dropped), inserted] if self.below(3) == 2 else [kept, inserted, Delete(dropped)]
        return normalise(parts)

    def operation(self, size: int) -> Operation:
        """A splice, a list of components, or one made simple."""
        form = self.below(3)
        if form == 0:
            return self.splice(size)
        return self.components(size) if form == 1 else simplify(self.components(size))

    def row(self, size: int, max_size: int) -> list[Operation]:
        """Operations one after the other, the first on a text of ``size``."""
        row: list[Operation] = []
        for _ in range(self.below(max_size + 1)):
            row.append(self.operation(size))
            size += growth(row[-1])
        return row


TAPES = st.binary(min_size=160, max_size=160)


def tapes(read: Callable[[Tape], T]) -> st.SearchStrategy[T]:
    """What ``read`` makes of a tape."""
    return TAPES.map(lambda data: read(Tape(data)))


def stated(operation: Components, size: int) -> Components:
    """The operation with a retain at its end, so that it states how long its text is."""
    rest = size - sum(part if isinstance(part, int) else part.size for part in operation if not isinstance(part, str))
    return (*operation, rest) if rest else operation


@tapes
def singles(tape: Tape) -> tuple[str, Operation]:
    """A text and an operation on it."""
    text = tape.text()
    return text, tape.operation(len(text))


@tapes
def diamonds(tape: Tape) -> tuple[str, Operation, Operation]:
    """A text and two operations on it."""
    text = tape.text()
    return text, tape.operation(len(text)), tape.operation(len(text))


@tapes
def successions(tape: Tape) -> tuple[str, Operation, Operation]:
    """A text, an operation on it and one on what that makes of it."""
    text = tape.text()
    first = tape.operation(len(text))
    return text, first, tape.operation(len(text) + growth(first))
