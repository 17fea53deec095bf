"""What `coscribe doctor` looks at in a PostgreSQL. Nothing in it is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from coscribe.cli.checks import SKEW, Check, clock, migrations
from coscribe.documents.ports import StorageError
from coscribe.persistence.moves import obstacle
from coscribe.persistence.schema import file_operation_log, heads
from coscribe.persistence.stored import StoredLog, reading, said_by, shown_url

OLDEST = 140_000
"""server_version_num of the oldest that may work; the tests use 18."""

BUSY = 0.8
"""The part of its connections that may be in use."""

_NEWEST = (
    select(func.max(file_operation_log.c.time))
    .join(heads, heads.c.workspace_key == file_operation_log.c.workspace_key)
    .where(file_operation_log.c.sequence == heads.c.last_sequence)
)


def of_postgres(url: str) -> Iterator[Check]:
    """``url`` as it was given; no check shows its password."""
    try:
        with reading(url) as log:
            connection = log.connection
            yield _version(connection, shown_url(url))
            yield _encoding(connection)
            yield _durability(connection)
            yield _checksums(connection)
            yield _connections(connection)
            yield _its_clock(connection)
            schema = migrations(url)
            yield schema
            if schema.state == "ok":
                yield clock(connection.execute(_NEWEST).scalar() or 0)
                yield _move(connection)
                yield _instances(log)
    except StorageError as error:
        advice = "Is it there, and does COSCRIBE_DATABASE_URL name it, a user and the password?"
        yield Check("database", "problem", str(error), advice)
    except DBAPIError as error:
        yield Check("database", "problem", said_by(error), "See the log of the PostgreSQL.")


def _setting(connection: Connection, name: str) -> str:
    return str(connection.execute(select(func.current_setting(name))).scalar_one())


def _version(connection: Connection, shown: str) -> Check:
    found = f"{shown}, PostgreSQL {_setting(connection, 'server_version')}"
    if int(_setting(connection, "server_version_num")) < OLDEST:
        return Check("database", "problem", found, f"{OLDEST // 10_000} or newer is needed.")
    return Check("database", "ok", f"{found}; `coscribe verify` proves the log")


def _encoding(connection: Connection) -> Check:
    found = _setting(connection, "server_encoding")
    if found != "UTF8":
        return Check("encoding", "problem", found, "Make a database with ENCODING 'UTF8': texts hold any character.")
    return Check("encoding", "ok", found)


def _durability(connection: Connection) -> Check:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    found = {name: _setting(connection, name) for name in names}
    shown = ", ".join(f"{name} {value}" for name, value in found.items())
    if "off" in (found["fsync"], found["full_page_writes"]):
        return Check(
            "durability", "problem", shown, "What is acknowledged may be lost: set fsync and full_page_writes."
        )
    if found["synchronous_commit"] == "off":
        # A server sets it for its own connections.
        return Check("durability", "warning", shown, "ALTER DATABASE ... SET synchronous_commit = on.")
    return Check("durability", "ok", shown)


def _checksums(connection: Connection) -> Check:
    if _setting(connection, "data_checksums") == "on":
        return Check("checksums", "ok", "of pages: on")
    return Check("checksums", "warning", "of pages: off", "`pg_checksums --enable` while it is stopped.")


def _connections(connection: Connection) -> Check:
    most = int(_setting(connection, "max_connections"))
    used = connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
    count = used.scalar_one()
    found = f"{count:,} of {most:,} in use"
    if count >= BUSY * most:
        return Check("connections", "warning", found, "Raise max_connections before the next instance comes.")
    return Check("connections", "ok", found)


def _its_clock(connection: Connection) -> Check:
    ahead = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()) - time.time()
    if abs(ahead) > SKEW:
        found = f"the database's is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        return Check("their clocks", "warning", found, "One of them is wrong: use NTP.")
    return Check("their clocks", "ok", f"less than {SKEW:g} s apart")


def _move(connection: Connection) -> Check:
    found = obstacle(connection)
    return (
        Check("move", "problem", found, "No server starts on it.") if found else Check("move", "ok", "none under way")
    )


def _instances(log: StoredLog) -> Check:
    names = log.instances()
    return Check("instances", "ok", f"{', '.join(names)} run on it" if names else "none runs on it")
