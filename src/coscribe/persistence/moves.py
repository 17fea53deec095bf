"""Moves of a whole database into another one, as the two remember them.

    source   begun ................................ finished: whoever served it would write a second history
    target   begun: what is in it is not whole .... finished: it is the one that is served

The rows of this table are never moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from coscribe.documents.ports import StorageError
from coscribe.persistence.schema import moves
from coscribe.persistence.stored import reading

SOURCE, TARGET = "source", "target"


class NotServed(StorageError):
    """A database is not, or no longer, the one that is to be served."""


class Move(NamedTuple):
    """``place``: of the other database, for people. ``digest``: of what is moved, kept by the target. Times are
    microseconds since 1970."""

    move_id: str
    side: str
    place: str
    digest: bytes | None
    begun_at: int
    finished_at: int | None


def remembered(connection: Connection, side: str) -> Move | None:
    """The move that a database was that side of, the latest."""
    of = moves.c
    rows = select(*(of[name] for name in Move._fields)).where(of.side == side).order_by(of.begun_at.desc())
    found = connection.execute(rows).first()
    return None if found is None else Move(*found)


def remember(connection: Connection, move: Move) -> None:
    """In the place of those before."""
    connection.execute(delete(moves))
    connection.execute(insert(moves).values(move._asdict()))


def finish(connection: Connection, move_id: str, place: str, at: int) -> None:
    connection.execute(update(moves).where(moves.c.move_id == move_id).values(place=place, finished_at=at))


def forget(connection: Connection) -> None:
    """It is a database of its own again."""
    connection.execute(delete(moves))


def assert_served(database: Path | str) -> None:
    """For whoever is about to serve a database whose schema is up to date; see `reading`. Raises NotServed, and as that
    does."""
    with reading(database) as log:
        found = obstacle(log.connection)
    if found:
        raise NotServed(found)


def obstacle(connection: Connection) -> str:
    """Why nobody may serve a database; "": nothing is in the way."""
    came = remembered(connection, TARGET)
    if came is not None and came.finished_at is None:
        return f"the move of {came.place} into this database was not finished: run `coscribe migrate` again"
    left = remembered(connection, SOURCE)
    if left is not None and left.finished_at is not None:
        return (
            f"it was moved to {left.place}: set COSCRIBE_DATABASE_URL."
            " (`coscribe restore --new-incarnation` makes it one of its own again.)"
        )
    return ""
