"""How ordinary tables are reached: engines for an SQLite file, and for a PostgreSQL by psycopg.

Every wait on a PostgreSQL ends. A connection that hangs in the middle of a transaction is ended by the server, so
that an instance that was paused there does not keep all others from writing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

WRITING = 0x636F_7363_0001
"""The advisory lock of whoever writes ordinary tables."""

MIGRATING = 0x636F_7363_0002
"""The advisory lock of whoever changes the schema."""

LOCK_SECONDS = 10
STATEMENT_SECONDS = 60
IDLE_SECONDS = 5
"""What the server allows a transaction: to wait for a lock, to run a statement, to do nothing. The last is shorter than
the first: who waits for an instance that hangs there gets its turn."""

_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""When a server that is out of reach is given up; libpq's names and units."""


def is_file(where: Path | str) -> bool:
    """Whether a database is an SQLite file; else it is the URL of a PostgreSQL."""
    return isinstance(where, Path)


def address(where: Path | str) -> str:
    """SQLAlchemy's URL of a file, or of a ``postgresql://`` one."""
    return f"sqlite:///{where}" if is_file(where) else str(where).replace("postgresql://", "postgresql+psycopg://", 1)


def sqlite_engine(path: Path, begin: str, connections: int) -> Engine:
    """``begin`` is the statement that begins a transaction."""
    engine = _pooled(path, connections)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def postgres_reader(url: str, connections: int) -> Engine:
    """Each transaction sees one moment, and writes nothing."""
    return postgres_engine(url, connections, read_only=True)


def postgres_writer(url: str) -> Engine:
    """One transaction of all instances at a time: each sees what was committed before it began."""
    engine = postgres_engine(url, 1)
    event.listen(engine, "begin", _take_turn)
    return engine


def migrating_engine(url: str) -> Engine:
    """As the database (SQLAlchemy's URL) comes, a connection at a time."""
    return create_engine(url, poolclass=NullPool, connect_args={} if url.startswith("sqlite") else _NETWORK)


def postgres_engine(url: str, connections: int, *, read_only: bool = False) -> Engine:
    """For what needs no turn among those who write."""
    from psycopg import IsolationLevel

    def set_up(connection: Any, _: object) -> None:
        connection.autocommit = True
        connection.execute(
            f"SET lock_timeout = '{LOCK_SECONDS}s'; SET statement_timeout = '{STATEMENT_SECONDS}s';"
            f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; SET synchronous_commit = on"
        )
        connection.autocommit = False
        connection.read_only = read_only
        connection.isolation_level = IsolationLevel.REPEATABLE_READ if read_only else IsolationLevel.READ_COMMITTED

    engine = _pooled(url, connections, pool_pre_ping=True, connect_args=_NETWORK)
    event.listen(engine, "connect", set_up)
    return engine


def _pooled(where: Path | str, connections: int, **options: Any) -> Engine:
    return create_engine(
        address(where),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # errors are logged, and what people store is nobody's business there
        **options,
    )


def _set_up_sqlite(connection: Any, _: object) -> None:
    """As `coscribe.persistence.sqlite.connect` does; transactions are begun by hand."""
    connection.isolation_level = None
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _take_turn(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING})")
