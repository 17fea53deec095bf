"""A fresh database in no time: migrated once per process, then copied.

What takes `new_database` runs on SQLite, and with ``COSCRIBE_TEST_DATABASE=postgresql`` on PostgreSQL; a test with the
mark ``both_databases`` runs on both, one with ``of_a_file`` on SQLite always.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg

from coscribe.persistence.migrate import migrate


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="coscribe-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(folder / "template.db")
    return folder / "template.db"


def fresh_database(path: Path) -> Path:
    """Makes the file ``path``, with the present schema and nothing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), path)
    return path


def emptied(url: str) -> str:
    """Takes the logs out of a PostgreSQL, and all that goes with them: quicker than another database, where there is
    little."""
    with psycopg.connect(url) as connection:
        for table in ("file_operation_log", "operation_series", "file_snapshots", "heads", "files", "authors"):
            connection.execute(f"DELETE FROM {table}".encode())
        connection.execute("DELETE FROM workspaces")
    return url


_in_place_of_files: list[Callable[[], str]] = []


@contextmanager
def on_postgres(fresh: Callable[[], str]) -> Iterator[None]:
    """Inside `new_database` makes its databases with ``fresh``."""
    _in_place_of_files.append(fresh)
    yield
    _in_place_of_files.pop()


def dumped(where: Path | str) -> bytes:
    """All that is in a database, as bytes in which one can look for something."""
    if isinstance(where, Path):
        return b"".join(path.read_bytes() for path in where.parent.glob(f"{where.name}*"))
    from sqlalchemy import LargeBinary, create_engine, select

    from coscribe.persistence.engines import address
    from coscribe.persistence.schema import metadata

    found: list[bytes] = []
    engine = create_engine(address(where))
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.c:
                values = connection.execute(select(column)).scalars()
                is_bytes = isinstance(column.type, LargeBinary)
                found += [value or b"" if is_bytes else str(value).encode() for value in values]
    engine.dispose()
    return b"\n".join(found)


def new_database(path: Path) -> Path | str:
    """The file ``path`` as `fresh_database` makes it, or the URL of a PostgreSQL's where the test runs on that."""
    return _in_place_of_files[-1]() if _in_place_of_files else fresh_database(path)
