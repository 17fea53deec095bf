"""Alembic's entry: runs migrations on the URL it is given."""

from alembic import context
from sqlalchemy import create_engine, pool

from coscribe.persistence.schema import metadata

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=url.startswith("sqlite"))
    with context.begin_transaction():
        context.run_migrations()
