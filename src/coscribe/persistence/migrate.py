"""Brings a database to the current schema. Alembic is only loaded when there is something to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """The newest revision. Revisions are numbered, and the number begins the file's name."""
    return max((path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")), default="")


def configuration(url: str) -> Config:
    """Alembic's configuration for a database URL (``sqlite:///path``)."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(path: Path) -> None:
    """Creates the SQLite file or brings it up to date. Raises sqlalchemy.exc.DatabaseError."""
    if current(path) != head():
        from alembic import command

        command.upgrade(configuration(f"sqlite:///{path}"), "head")


def current(path: Path) -> str:
    """The revision of an SQLite file; "" where it has none yet."""
    if not path.exists():
        return ""
    with closing(sqlite3.connect(path)) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return row[0] if row else ""
