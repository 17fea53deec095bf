"""All rows of all tables from SQLite into PostgreSQL, and the proof that they are the same ones.

Rows go table by table, those first that others refer to, in the order of their keys: so whoever is interrupted knows
from what is there already where to go on. Each batch is a transaction. The digest of a table is taken over its rows in
that order, as the database gives them, on both sides alike. (Keys that are text are in the order of their bytes,
whatever language a PostgreSQL sorts by.)

SQLite keeps whatever it is given, and PostgreSQL what a column says: what would not go in as it is, is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    collate,
    func,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.types import NullType

from coscribe.documents.ports import StorageError
from coscribe.persistence.schema import blob_pieces, instances, metadata, moves, shard_leases, stored_blobs

BATCH_ROWS = 2_000
BATCH_BYTES = 4_000_000
"""What goes into one transaction: so many rows, and none behind so many bytes of texts and contents."""

MAX_MISFITS = 20
"""Values that are named."""

_INTEGERS = {Integer: range(-(2**31), 2**31), BigInteger: range(-(2**63), 2**63)}

_LEFT = (moves, instances, shard_leases, stored_blobs, blob_pieces)

Row = tuple[Any, ...]

_encode = msgspec.msgpack.Encoder().encode


class Misfit(NamedTuple):
    """A value that SQLite has, and PostgreSQL would not take as it is. ``key``: of its row."""

    table: str
    key: Row
    column: str
    detail: str


class Content(NamedTuple):
    """What a table holds: how many rows, and the SHA-256 over them."""

    rows: int
    digest: bytes


class Survey(NamedTuple):
    """All tables, and what would not go in; only the first `MAX_MISFITS` are named, ``total`` counts."""

    contents: dict[str, Content]
    misfits: list[Misfit]
    total: int

    @property
    def digest(self) -> bytes:
        """Over all tables."""
        return sha256(b"".join(self.contents[table.name].digest for table in tables())).digest()


Told = Callable[[int], None]
"""Is told of rows that are done."""


def tables() -> list[Table]:
    """Those that are moved, each behind those that it refers to. What is about the instances that run is not; blobs are
    moved by other means."""
    return [table for table in metadata.sorted_tables if table not in _LEFT]


def count(connection: Connection) -> int:
    """The rows of all tables."""
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables())


def survey(connection: Connection, told: Told) -> Survey:
    """Reads all rows of either database."""
    contents: dict[str, Content] = {}
    misfits: list[Misfit] = []
    total = 0
    for table in tables():
        hashed, rows = sha256(), 0
        for row in _rows(connection, table, None):
            rows += 1
            for misfit in _misfits(table, row):
                total += 1
                if len(misfits) < MAX_MISFITS:
                    misfits.append(misfit)
            hashed.update(_encoded(table, row))
            if not rows % BATCH_ROWS:
                told(BATCH_ROWS)
        told(rows % BATCH_ROWS)
        contents[table.name] = Content(rows, hashed.digest())
    return Survey(contents, misfits, total)


def copy(source: Connection, target: Connection, told: Told) -> None:
    """Puts all rows into a PostgreSQL that has none of them, or the first ones of each table; then its sequences are
    behind the highest keys. ``told`` is called behind each commit."""
    # Only the last commit of a move has to be on disk, and all before it are then.
    target.execute(text("SET synchronous_commit = off"))
    target.commit()
    for table in tables():
        last = _last_key(target, table)
        for batch in _batches(_rows(source, table, last)):
            _put(target, table, batch)
            target.commit()
            told(len(batch))
    for table in tables():
        _move_sequence(target, table)
    target.commit()


def empty(target: Connection) -> None:
    """Removes all rows, also those that otherwise stay for good."""
    names = ", ".join(target.dialect.identifier_preparer.format_table(table) for table in tables())
    target.execute(text("ALTER TABLE access_events DISABLE TRIGGER USER"))
    target.execute(text(f"TRUNCATE {names}"))
    target.execute(text("ALTER TABLE access_events ENABLE TRIGGER USER"))


def is_empty(connection: Connection) -> bool:
    """Whether there is no row at all."""
    return not any(connection.execute(select(text("1")).select_from(table).limit(1)).first() for table in tables())


def keep_any_bytes(db: Any) -> None:
    """Makes a connection of SQLite's give texts that are no UTF-8, too: as texts that cannot be encoded."""
    db.text_factory = lambda content: content.decode(errors="surrogateescape")


def _rows(connection: Connection, table: Table, after: Row | None) -> Iterator[Row]:
    """As the database gives them, in the order of their keys."""
    rows = select(*(type_coerce(column, NullType()) for column in table.columns)).order_by(*_order(connection, table))
    if after is not None:
        rows = rows.where(tuple_(*_order(connection, table)) > tuple_(*after))
    with connection.execute(rows, execution_options={"yield_per": BATCH_ROWS}) as found:
        for row in found:
            yield tuple(row)


def _last_key(target: Connection, table: Table) -> Row | None:
    by = [column.desc() for column in _order(target, table)]
    found = target.execute(select(*table.primary_key.columns).order_by(*by).limit(1)).first()
    return None if found is None else tuple(found)


def _order(connection: Connection, table: Table) -> list[ColumnElement[Any]]:
    is_postgres = connection.dialect.name == "postgresql"
    return [
        collate(column, "C") if is_postgres and isinstance(column.type, String) else column
        for column in table.primary_key.columns
    ]


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    room = BATCH_BYTES
    for row in rows:
        batch.append(row)
        room -= sum(len(value) for value in row if isinstance(value, (bytes, str)))
        if len(batch) == BATCH_ROWS or room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    if batch:
        yield batch


def _put(target: Connection, table: Table, rows: Sequence[Row]) -> None:
    quoted = target.dialect.identifier_preparer
    columns = ", ".join(quoted.format_column(column) for column in table.columns)
    statement = f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN (FORMAT BINARY)"
    driver: Any = target.connection.dbapi_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as into:
            into.set_types([_type_name(column) for column in table.columns])
            for row in rows:
                into.write_row(_plain(table, row))
    except target.dialect.loaded_dbapi.Error as error:
        raise StorageError(f"{table.name}: {' '.join(str(error).split())}") from error


def _type_name(column: Column[Any]) -> str:
    of = column.type
    if isinstance(of, Boolean):
        return "bool"
    if isinstance(of, BigInteger):
        return "int8"
    if isinstance(of, Integer):
        return "int4"
    return "bytea" if isinstance(of, LargeBinary) else "text"


def _move_sequence(target: Connection, table: Table) -> None:
    """What is made next has a key behind all that are there."""
    column = table.autoincrement_column
    if column is None:
        return
    name = target.dialect.identifier_preparer.format_table(table)
    sequence = target.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": name, "column": column.name}
    ).scalar()
    highest = target.execute(select(func.max(column))).scalar()
    if sequence is not None and highest is not None:
        target.execute(text("SELECT setval(CAST(:sequence AS regclass), :to)"), {"sequence": sequence, "to": highest})


def _key(table: Table, row: Row) -> Row:
    return tuple(value for column, value in zip(table.columns, row, strict=True) if column.primary_key)


def _encoded(table: Table, row: Row) -> bytes:
    """The same from either database."""
    plain = _plain(table, row)
    try:
        return _encode(plain)
    except UnicodeEncodeError:  # a misfit, which counts with the bytes that it was
        return _encode([each.encode(errors="surrogateescape") if isinstance(each, str) else each for each in plain])


def _plain(table: Table, row: Row) -> Row:
    """As PostgreSQL takes it: SQLite's booleans are numbers."""
    booleans = _booleans(table)
    if not booleans:
        return row
    return tuple(bool(value) if at in booleans and value is not None else value for at, value in enumerate(row))


@cache
def _booleans(table: Table) -> frozenset[int]:
    return frozenset(at for at, column in enumerate(table.columns) if isinstance(column.type, Boolean))


# ---- what fits


def _misfits(table: Table, row: Row) -> Iterator[Misfit]:
    for (fits, column), value in zip(_columns(table), row, strict=True):
        if not fits(value):
            yield Misfit(table.name, _key(table, row), column.name, _detail(column, value))


@cache
def _columns(table: Table) -> list[tuple[Callable[[Any], bool], Column[Any]]]:
    return [(_fits(column), column) for column in table.columns]


def _fits(column: Column[Any]) -> Callable[[Any], bool]:
    """Whether a value goes into a column of PostgreSQL as it is."""
    of, nullable = column.type, bool(column.nullable)
    if isinstance(of, Boolean):
        return lambda value: nullable if value is None else value in (0, 1)
    if isinstance(of, Integer):
        fits = _INTEGERS[BigInteger if isinstance(of, BigInteger) else Integer]
        return lambda value: nullable if value is None else type(value) is int and value in fits
    if isinstance(of, LargeBinary):
        return lambda value: nullable if value is None else type(value) is bytes
    most = of.length if isinstance(of, String) and of.length is not None else sys.maxsize
    return lambda value: (
        nullable
        if value is None
        else type(value) is str and len(value) <= most and "\0" not in value and (value.isascii() or _is_utf8(value))
    )


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _detail(column: Column[Any], value: Any) -> str:
    """What is wrong with one that does not."""
    of = column.type
    if value is None:
        return "there is nothing, and there has to be"
    if isinstance(of, Boolean):
        return f"{_sort(value)} is neither true nor false"
    if isinstance(of, Integer):
        return f"{value} is too large" if isinstance(value, int) else f"{_sort(value)} where a number belongs"
    if isinstance(of, LargeBinary):
        return f"{_sort(value)} where bytes belong"
    if not isinstance(value, str):
        return f"{_sort(value)} where a text belongs"
    if "\0" in value:
        return "there is a NUL in it"
    if not _is_utf8(value):
        return "it is no UTF-8"
    return f"it has {len(value)} characters, and may have {getattr(of, 'length', None)}"


def _sort(value: Any) -> str:
    """What sort of thing it is: what people store is not for a console."""
    return {int: "a number", float: "a number", str: "a text", bytes: "bytes"}[type(value)]
