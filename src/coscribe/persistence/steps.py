"""What is asked of a database, apart from how: so that SQLite and PostgreSQL share what takes several statements.

A function of steps is a generator. It yields what it needs, is sent the answer, and returns its result. Whoever runs it
has the connection and, where that matters, the transaction. Statements are in the SQL that both know, with parameters
``$1``, ``$2`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")


class Damaged(Exception):
    """What is stored is not as it was written, or lacks something."""


class Ask(NamedTuple):
    """Answered with the rows, as a list."""

    statement: str
    arguments: Sequence[object] = ()


class Change(NamedTuple):
    """Answered with the number of rows that it concerned."""

    statement: str
    arguments: Sequence[object] = ()


class Make(NamedTuple):
    """Inserts one row, or none where there is one already; answered with its number, the column ``key``, or None."""

    statement: str
    arguments: Sequence[object]
    key: str


class Each(NamedTuple):
    """The statement once for each of the arguments; answered with nothing."""

    statement: str
    arguments: Sequence[Sequence[object]]


class Work(NamedTuple):
    """Something that takes its time, and no database; answered with its result."""

    call: Callable[[], object]


Step = Ask | Change | Make | Each | Work
Steps = Generator[Step, Any, _T]
