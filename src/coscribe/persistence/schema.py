"""The tables: one metadata for SQLite and PostgreSQL. `make migration NAME=...` writes a migration from it.

The log is clustered by (workspace, sequence). Ids are split into series and counter, and the uniqueness index leads
with the counter: people who work at the same time have counters of the same size, so the index grows at a few places
and a commit group touches few pages of it. (Leading with the series it is a page per client: twice the cost of an
operation with fifty people.) How far a series has come is then asked of `operation_series`, which keeps a ceiling
that is only written every few hundred operations. Authors are opaque references; dropping ``user_id`` of one erases
the person and leaves the log as it was.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Key = BigInteger().with_variant(Integer, "sqlite")

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_key", _Key, primary_key=True, autoincrement=True),
    Column("workspace_id", String(128), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("incarnation", String(32), nullable=False),
    Column("secret", LargeBinary(16), nullable=False),
    Column("created_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
)

heads = Table(
    "heads",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary(32), nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("file_key", _Key, primary_key=True, autoincrement=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=False, index=True),
    Column("file_id", String(128), nullable=False, unique=True),
    Column("path", String(4096), nullable=False),
)

authors = Table(
    "authors",
    metadata,
    Column("author_ref", _Key, primary_key=True, autoincrement=True),
    Column("user_id", String(128), nullable=True, unique=True),
)

file_operation_log = Table(
    "file_operation_log",
    metadata,
    Column("workspace_key", _Key, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("file_key", _Key, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("base_version", BigInteger, nullable=False),
    Column("series", String(128), nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("author_ref", _Key, nullable=False),
    Column("request", LargeBinary(16), nullable=False),
    Column("time", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Column("payload", LargeBinary, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    UniqueConstraint("workspace_key", "counter", "series"),
    sqlite_with_rowid=False,
)

operation_series = Table(
    "operation_series",
    metadata,
    Column("workspace_key", _Key, primary_key=True, autoincrement=False),
    Column("series", String(128), primary_key=True),
    Column("ceiling", BigInteger, nullable=False, comment="no counter of the series is above it"),
    sqlite_with_rowid=False,
)

file_snapshots = Table(
    "file_snapshots",
    metadata,
    Column("snapshot_key", _Key, primary_key=True, autoincrement=True),
    Column("file_key", _Key, ForeignKey("files.file_key"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="UTF-8"),
    Column("content_hash", LargeBinary(32), nullable=False),
    Index("ix_file_snapshots_file_key_sequence", "file_key", "sequence"),
)
