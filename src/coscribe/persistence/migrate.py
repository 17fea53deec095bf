"""Brings a database to the current schema. Alembic is only loaded when there is something to do.

On a PostgreSQL that happens while others work: see `migrations/env.py`, and docs/operations.md for the rule that lets
an instance of the version before go on.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from coscribe.persistence.engines import address, is_file, migrating_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """The newest revision. Revisions are numbered, and the number begins the file's name."""
    return max((path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")), default="")


def configuration(url: str) -> Config:
    """Alembic's configuration for a database, by SQLAlchemy's URL of it."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(where: Path | str) -> None:
    """Creates the tables of an SQLite file or of a PostgreSQL (its URL), or brings them up to date.

    A PostgreSQL that is ahead stays as it is: a newer instance has migrated it.
    Raises sqlalchemy.exc.DatabaseError.
    """
    have, newest = current(where), head()
    if have != newest and (is_file(where) or have < newest):
        from alembic import command

        command.upgrade(configuration(address(where)), "head")
        if isinstance(where, Path):
            with closing(sqlite3.connect(where)) as connection:  # of several who come at once only one could do it
                connection.execute("PRAGMA journal_mode = WAL")


def current(where: Path | str) -> str:
    """The revision of a database; "" where it has none yet. Raises sqlite3.Error, sqlalchemy.exc.DatabaseError."""
    return _of_file(where) if isinstance(where, Path) else _of_postgres(where)


def _of_file(path: Path) -> str:
    if not path.exists():
        return ""
    with closing(sqlite3.connect(path)) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return row[0] if row else ""


def _of_postgres(url: str) -> str:
    with migrating_engine(address(url)).connect() as connection:
        known = connection.scalar(text("SELECT to_regclass('alembic_version')"))
        return (connection.scalar(text("SELECT version_num FROM alembic_version")) or "") if known else ""
