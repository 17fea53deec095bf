"""Alembic's entry: runs migrations on the URL it is given.

On PostgreSQL others work meanwhile, and several instances may come to migrate at once. So one of them does, each
migration in a transaction of its own; it waits for a table for a moment only, as everybody who wants that table then
waits behind it, and tries again later. Nobody waits for their turn in a statement: an index that is built
CONCURRENTLY would wait for that.
"""

import time
from typing import Literal

import structlog
from alembic import context
from sqlalchemy import Connection, DefaultClause, False_, True_, text
from sqlalchemy.exc import DBAPIError

from coscribe.persistence.engines import MIGRATING, migrating_engine
from coscribe.persistence.schema import metadata

LOCK_MS = 500
"""How long a migration makes others wait for a table that somebody holds."""

PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""Between two attempts; until it is given up."""

BUSY = {"55P03", "40P01"}
"""lock_not_available, deadlock_detected"""

log = structlog.get_logger(__name__)


def rendered(kind: str, item: object, _: object) -> str | Literal[False]:
    """How something is written into a new migration; False: as ever. What a boolean is where nothing is said is written
    as each database has it, not as the one in which the difference was looked for."""
    if kind == "server_default" and isinstance(item, DefaultClause) and isinstance(item.arg, False_ | True_):
        return f"sa.{item.arg}()"
    return False


def migrate(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=is_sqlite,
        render_item=rendered,
        transaction_per_migration=not is_sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_beside_others(connection: Connection) -> None:
    """Raises sqlalchemy.exc.DBAPIError."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not _try(connection, until):
        time.sleep(PAUSE_SECONDS)


def _try(connection: Connection, until: float) -> bool:
    if not connection.scalar(text(f"SELECT pg_try_advisory_lock({MIGRATING})")):
        connection.rollback()
        if time.monotonic() >= until:
            raise TimeoutError("another instance has been migrating the database for too long")
        return False
    try:
        connection.execute(text(f"SET lock_timeout = {LOCK_MS}"))
        connection.commit()
        migrate(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in BUSY or time.monotonic() >= until:
            raise
        log.info("migration_waits", error=str(error.orig))
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({MIGRATING})"))
        connection.commit()
        return False
    return True


url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
with migrating_engine(url).connect() as connection:
    if connection.dialect.name == "postgresql":
        migrate_beside_others(connection)
    else:
        migrate(connection)
