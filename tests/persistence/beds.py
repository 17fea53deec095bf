"""A database under a storage, that a test may look into and do harm to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psycopg

from coscribe.persistence.postgres import PostgresStorage
from coscribe.persistence.sqlite import SqliteStorage
from tests.migrated import fresh_database

Storage = SqliteStorage | PostgresStorage

_ZEROBLOB = (
    "CREATE FUNCTION zeroblob(bigint) RETURNS bytea LANGUAGE sql AS $$ SELECT decode(repeat('00', $1::int), 'hex') $$"
)


class Bed(Protocol):
    """Statements are those that both databases know, with ``?`` for arguments, and ``zeroblob``."""

    name: str

    def open(self) -> Storage:
        """One more storage on it."""
        ...

    def execute(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        """In a transaction of its own."""
        ...

    def forbid(self, what: str, table: str, when: str = "") -> None:
        """From now on this breaks a rule: ``BEFORE DELETE``, ``AFTER INSERT``, only ``when`` an old row is so."""
        ...

    def allow(self, table: str) -> None:
        """What was forbidden about a table."""
        ...


class SqliteBed:
    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = fresh_database(folder / "log.db")

    def open(self) -> Storage:
        return SqliteStorage(self.path)

    def execute(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("PRAGMA foreign_keys = ON")
            return db.execute(statement, arguments).fetchall()

    def forbid(self, what: str, table: str, when: str = "") -> None:
        only = f" WHEN {when}" if when else ""
        self.execute(f"CREATE TRIGGER stop {what} ON {table}{only} BEGIN SELECT RAISE(ABORT, 'no'); END")

    def allow(self, table: str) -> None:
        self.execute("DROP TRIGGER stop")


class PostgresBed:
    name = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url
        self.execute(_ZEROBLOB)

    def open(self) -> Storage:
        return PostgresStorage(self.url)

    def execute(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            made = connection.execute(statement.replace("?", "%s").encode(), arguments or None)
            return made.fetchall() if made.description is not None else []

    def forbid(self, what: str, table: str, when: str = "") -> None:
        only = f" WHEN ({when})" if when else ""
        self.execute(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END $$"
        )
        self.execute(f"CREATE TRIGGER stop {what} ON {table} FOR EACH ROW{only} EXECUTE FUNCTION stop()")

    def allow(self, table: str) -> None:
        self.execute(f"DROP TRIGGER stop ON {table}")
