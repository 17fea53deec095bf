"""The tables: one metadata for SQLite and PostgreSQL. `make migration NAME=...` writes a migration from it.

The log is clustered by (workspace, sequence). Ids are split into series and counter, and the uniqueness index leads
with the counter: people who work at the same time have counters of the same size, so the index grows at a few places
and a commit group touches few pages of it. (Leading with the series it is a page per client: twice the cost of an
operation with fifty people.) How far a series has come is then asked of `operation_series`, which keeps a ceiling
that is only written every few hundred operations. Authors are opaque references; dropping ``user_id`` of one erases
the person and leaves the log as it was.

`file_blobs` says which contents that are no text the log of a workspace refers to, and for which of its files: what may
be read, what counts for its owner, and what must be kept is looked up there, and not in the log. The blobs are in a
folder beside the database; in PostgreSQL in `stored_blobs` and `blob_pieces`.

Closed parts of a log are moved from its table into segments. Their ids stay known as runs: counters of a series that
follow each other, none missing. Both go with the head of their workspace. Of a segment that was pruned its ids are
left, and a checkpoint stands for what is gone.

The second half is about people: who they are, how they prove it, what they may reach. Secrets are there as digests
only. All times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
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
    Column("name", String(256), nullable=False, server_default=""),
    Column("status", String(16), nullable=False, server_default="active", comment="active, archived, trashed, deleted"),
    Column("created_by", String(64), nullable=True),
    Column("revision", Integer, nullable=False, server_default="1", comment="of name, status and the like: the ETag"),
    Column("trashed_at", BigInteger, nullable=True),
    Column("folds_case", Boolean, nullable=False, server_default=false(), comment="names that differ in case are one"),
    Column(
        "mounted", Boolean, nullable=False, server_default=false(), comment="it is kept as files on the server's disk"
    ),
    Column("project_key", _Key, nullable=True, comment="of the project whose workspace it is"),
    Column("quota_bytes", BigInteger, nullable=True, comment="narrows that of the project; none: it does not"),
    Column("quota_files", Integer, nullable=True),
    Index("ix_workspaces_project_key", "project_key", sqlite_where=text("project_key IS NOT NULL")),
)

heads = Table(
    "heads",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary(32), nullable=False),
    Column(
        "covered_sequence", BigInteger, nullable=True, comment="every file has a snapshot with all of it up to here"
    ),
)

files = Table(
    "files",
    metadata,
    Column("file_key", _Key, primary_key=True, autoincrement=True, comment="see model.file_key"),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=False, index=True),
    Column("file_id", String(128), nullable=False, unique=True),
    Column("path", String(4096), nullable=False, comment="of a document's file; a node's is derived"),
    Column("parent_id", String(128), nullable=True, comment="of a node of a tree; empty: at the top"),
    Column("name", String(256), nullable=False, server_default=""),
    Column("kind", String(16), nullable=False, server_default="text", comment="directory, text, binary, symlink"),
    Column("trashed", Boolean, nullable=False, server_default=false()),
    Column("purged", Boolean, nullable=False, server_default=false(), comment="the log may name it; nothing else does"),
    Column("content", Text, nullable=False, server_default="", comment="SHA-256 of a binary, target of a link"),
    Column("properties", Text, nullable=False, server_default="{}", comment="JSON"),
    Column(
        "saved_sequence", BigInteger, nullable=False, server_default="0", comment="of the newest snapshot there was"
    ),
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

log_segments = Table(
    "log_segments",
    metadata,
    Column("segment_key", _Key, primary_key=True, autoincrement=True),
    Column("workspace_key", _Key, ForeignKey("heads.workspace_key", ondelete="CASCADE"), nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("chain_hash", LargeBinary(32), nullable=False, comment="digest of its last entry"),
    Column("format", Integer, nullable=False, comment="how the content is packed"),
    Column("checksum", LargeBinary(32), nullable=False, comment="SHA-256 over place, chain hash and content"),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("workspace_key", "last_sequence"),
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column(
        "workspace_key",
        _Key,
        ForeignKey("heads.workspace_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("sequence", BigInteger, nullable=False, comment="of the last pruned entry"),
    Column("chain_hash", LargeBinary(32), nullable=False, comment="digest of that entry"),
    Column("last_time", BigInteger, nullable=False, comment="time of that entry"),
    Column("made_at", BigInteger, nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)

checkpoint_files = Table(
    "checkpoint_files",
    metadata,
    Column("file_key", _Key, primary_key=True, autoincrement=False),
    Column("workspace_key", _Key, ForeignKey("heads.workspace_key", ondelete="CASCADE"), nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("horizon", BigInteger, nullable=False, comment="ids of entries at versions below it may be forgotten"),
    Column("content", LargeBinary, nullable=False, comment="UTF-8"),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("attribution", LargeBinary, nullable=False, comment="who wrote what of the content"),
)

segment_files = Table(
    "segment_files",
    metadata,
    Column(
        "segment_key",
        _Key,
        ForeignKey("log_segments.segment_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("file_key", _Key, primary_key=True, autoincrement=False),
    Column("first_version", BigInteger, nullable=False),
    Column("last_version", BigInteger, nullable=False),
    Column("first_sequence", BigInteger, nullable=False, comment="of the file's first entry in the segment"),
    Column("last_sequence", BigInteger, nullable=False),
    Index("ix_segment_files_file_key_last_sequence", "file_key", "last_sequence"),
    sqlite_with_rowid=False,
)

operation_runs = Table(
    "operation_runs",
    metadata,
    Column(
        "workspace_key",
        _Key,
        ForeignKey("heads.workspace_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("series", String(128), primary_key=True),
    Column("last_counter", BigInteger, primary_key=True, autoincrement=False),
    Column("first_counter", BigInteger, nullable=False, comment="it and all up to the last are in the segment"),
    Column("segment_key", _Key, nullable=False),
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
    Column("digest", LargeBinary(32), nullable=True, comment="of the entry at that sequence"),
    Index("ix_file_snapshots_file_key_sequence", "file_key", "sequence"),
)

last_cursors = Table(
    "last_cursors",
    metadata,
    Column("author_ref", _Key, primary_key=True, autoincrement=False),
    Column(
        "file_key",
        _Key,
        ForeignKey("files.file_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("version", BigInteger, nullable=False, comment="of the text that the positions are in"),
    Column("anchor", BigInteger, nullable=False, comment="code points"),
    Column("head", BigInteger, nullable=False),
    Column("moved_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Index("ix_last_cursors_author_ref_moved_at", "author_ref", "moved_at"),
    Index("ix_last_cursors_file_key_moved_at", "file_key", "moved_at"),
    sqlite_with_rowid=False,
)

file_blobs = Table(
    "file_blobs",
    metadata,
    Column(
        "workspace_key",
        _Key,
        ForeignKey("heads.workspace_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("hash", String(64), primary_key=True, comment="SHA-256 in hex: its name in the folder of blobs"),
    Column("file_key", _Key, primary_key=True, autoincrement=False, comment="whose content it is, or was"),
    Column("size", BigInteger, nullable=False),
    Index("ix_file_blobs_hash", "hash"),
    sqlite_with_rowid=False,
)

stored_blobs = Table(
    "stored_blobs",
    metadata,
    Column("blob_key", _Key, primary_key=True, autoincrement=True),
    Column("hash", String(64), nullable=True, unique=True, comment="SHA-256 in hex; none: it is being written"),
    Column("size", BigInteger, nullable=False),
    Column("put_by", String(64), nullable=False, comment="the only process that has put it; empty: there are several"),
    Column("stored_at", BigInteger, nullable=False, comment="by the clock of the database"),
    Column("unwanted", Boolean, nullable=False, server_default=false(), comment="it goes when nobody may name it"),
)

blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column(
        "blob_key",
        _Key,
        ForeignKey("stored_blobs.blob_key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

# ---- people and credentials


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


users = Table(
    "users",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("handle", String(64), nullable=False, unique=True, comment="lower case"),
    Column("display_name", String(128), nullable=False),
    Column("color", String(7), nullable=False),
    Column("email", String(320), nullable=True, unique=True, comment="verified, lower case"),
    Column("unverified_email", String(320), nullable=True, comment="matches nothing until it is verified"),
    Column("password_hash", String(256), nullable=True, comment="none: signs in elsewhere only"),
    Column("is_admin", Boolean, nullable=False, server_default=false()),
    Column("status", String(16), nullable=False, server_default="active", comment="active, locked, deleted"),
    Column("discoverable", Boolean, nullable=False, server_default=true()),
    Column("revision", Integer, nullable=False, server_default="1"),
    _time("created_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", String(64), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.user_id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False, comment="browser (a cookie) or api (tokens)"),
    Column("secret_hash", LargeBinary(32), nullable=True, unique=True, comment="of a browser's cookie"),
    Column("client", String(256), nullable=False),
    Column("address", String(64), nullable=False),
    _time("created_at"),
    _time("used_at"),
    _time("expires_at"),
    _time("ended_at", nullable=True),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("secret_hash", LargeBinary(32), primary_key=True),
    Column("session_id", String(64), ForeignKey("sessions.session_id"), nullable=False, index=True),
    _time("created_at"),
    _time("used_at", nullable=True),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", String(32), primary_key=True, comment="the key itself is derived from the server's secret"),
    _time("created_at"),
    _time("retired_at", nullable=True),
)

one_time_secrets = Table(
    "one_time_secrets",
    metadata,
    Column("secret_hash", LargeBinary(32), primary_key=True),
    Column("purpose", String(32), nullable=False, comment="first_administrator, verify_email, reset_password"),
    Column("user_id", String(64), nullable=True, index=True),
    Column("subject", String(320), nullable=True, comment="the address to verify"),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", nullable=True),
)

external_identities = Table(
    "external_identities",
    metadata,
    Column("issuer", String(512), primary_key=True),
    Column("subject", String(256), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.user_id"), nullable=False, index=True),
    _time("linked_at"),
)

external_attempts = Table(
    "external_attempts",
    metadata,
    Column("state_hash", LargeBinary(32), primary_key=True),
    Column("provider", String(64), nullable=False),
    Column("purpose", String(16), nullable=False, comment="sign_in or link"),
    Column("user_id", String(64), nullable=True, comment="who links"),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False, comment="PKCE"),
    Column("binding_hash", LargeBinary(32), nullable=False, comment="of the cookie of the browser that began"),
    Column("payload", Text, nullable=False, server_default="", comment="of a link: the session that asked"),
    _time("expires_at"),
    _time("used_at", nullable=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_id", String(64), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.user_id"), nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("prefix", String(16), nullable=False, comment="its first characters, to tell it by"),
    Column("secret_hash", LargeBinary(32), nullable=False, unique=True),
    Column("scope", String(16), nullable=False, comment="read, edit, manage"),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=True, index=True),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", nullable=True),
    _time("revoked_at", nullable=True),
)

# ---- who may reach what

groups = Table(
    "groups",
    metadata,
    Column("group_id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("owner_id", String(64), ForeignKey("users.user_id"), nullable=False, index=True),
    Column("revision", Integer, nullable=False, server_default="1"),
    _time("created_at"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", String(64), ForeignKey("groups.group_id"), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True, index=True),
    _time("added_at"),
)


def _members_of(owner: str) -> Table:
    """Of workspaces, or of projects."""
    return Table(
        f"{owner}_members",
        metadata,
        Column(f"{owner}_key", _Key, ForeignKey(f"{owner}s.{owner}_key"), primary_key=True, autoincrement=False),
        Column("member_kind", String(16), primary_key=True, comment="user or group"),
        Column("member_id", String(64), primary_key=True),
        Column("role", String(16), nullable=False, comment="owner, editor, viewer"),
        Column("added_by", String(64), nullable=True),
        _time("added_at"),
        Index(f"ix_{owner}_members_member_id", "member_id"),
    )


def _rules_of(owner: str, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("rule_id", String(64), primary_key=True),
        Column(f"{owner}_key", _Key, ForeignKey(f"{owner}s.{owner}_key"), nullable=False, index=True),
        Column("position", Integer, nullable=False, comment="the last rule that fits decides"),
        Column("member_kind", String(16), nullable=False, comment="user, group, role or everyone"),
        Column("member_id", String(64), nullable=False),
        Column("pattern", String(512), nullable=False),
        Column("access", String(16), nullable=False, comment="none, read, write"),
    )


workspace_members = _members_of("workspace")
path_rules = _rules_of("workspace", "path_rules")

projects = Table(
    "projects",
    metadata,
    Column("project_key", _Key, primary_key=True, autoincrement=True),
    Column("project_id", String(128), nullable=False, unique=True, comment="that of its workspace"),
    Column("source", String(16), nullable=False, comment="blank, upload, repository"),
    Column("address", String(2048), nullable=False, server_default="", comment="of a repository, without secrets"),
    Column("import_state", String(16), nullable=False, comment="pending, running, failed, ready"),
    Column("import_code", String(64), nullable=False, server_default="", comment="of the error that ended it"),
    Column("import_detail", String(1024), nullable=False, server_default=""),
    Column("import_done", BigInteger, nullable=False, server_default="0", comment="files that are made"),
    Column("import_total", BigInteger, nullable=True, comment="null: not known yet"),
    Column("created_by", String(64), nullable=True),
    Column("quota_bytes", BigInteger, nullable=True, comment="none: as the settings say"),
    Column("quota_files", Integer, nullable=True),
    _time("created_at"),
)

project_members = _members_of("project")
project_rules = _rules_of("project", "project_rules")

bans = Table(
    "bans",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True),
    Column("banned_by", String(64), nullable=True),
    _time("banned_at"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("invitation_id", String(64), primary_key=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=True, index=True),
    Column("role", String(16), nullable=True),
    Column("user_id", String(64), nullable=True, index=True, comment="who is invited, if that is an account"),
    Column("email", String(320), nullable=True, index=True, comment="whom else"),
    Column("secret_hash", LargeBinary(32), nullable=True, unique=True),
    Column("status", String(16), nullable=False, comment="open, accepted, declined, withdrawn"),
    Column("invited_by", String(64), nullable=True),
    _time("created_at"),
    _time("expires_at"),
)

share_links = Table(
    "share_links",
    metadata,
    Column("link_id", String(64), primary_key=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=False, index=True),
    Column("role", String(16), nullable=False, comment="editor or viewer"),
    Column("secret_hash", LargeBinary(32), nullable=False, unique=True),
    Column("created_by", String(64), nullable=True),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("ended_at", nullable=True),
)

link_visitors = Table(
    "link_visitors",
    metadata,
    Column("link_id", String(64), ForeignKey("share_links.link_id"), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True, index=True),
    _time("opened_at"),
)

retention = Table(
    "retention",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("days", Integer, nullable=True, comment="of history that are kept; 0: all, none: as the settings say"),
    Column("hold_reason", String(500), nullable=True, comment="why nothing may be deleted; none: it may"),
    Column("held_by", String(128), nullable=True),
    _time("held_at", nullable=True),
)

visits = Table(
    "visits",
    metadata,
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    _time("visited_at"),
)

access_requests = Table(
    "access_requests",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=False),
    Column("user_id", String(64), ForeignKey("users.user_id"), nullable=False, index=True),
    Column("message", String(500), nullable=False),
    Column("is_open", Boolean, nullable=False),
    _time("asked_at"),
    _time("expires_at"),
    _time("mailed_at"),
    UniqueConstraint("workspace_key", "user_id"),
)

named_versions = Table(
    "named_versions",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(128), nullable=False),
    Column("named_by", String(128), nullable=True, comment="a user, or user+token for a bot"),
    _time("named_at"),
)

# ---- what happened, and what was answered

access_events = Table(
    "access_events",
    metadata,
    Column("event_id", _Key, primary_key=True, autoincrement=True),
    _time("time"),
    Column("actor", String(128), nullable=False, comment="a user, user+token, link or the folder's key"),
    Column("action", String(64), nullable=False),
    Column("outcome", String(32), nullable=False, comment="done, or the code of the refusal"),
    Column("workspace_id", String(128), nullable=True, index=True),
    Column("subject", String(128), nullable=False, comment="whom or what it was done to"),
    Column("address", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("detail", Text, nullable=False, comment="JSON"),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 over the digest before and this event"),
    Index("ix_access_events_actor", "actor"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    _time("made_at"),
    Column("content", Text, nullable=False, comment="JSON: all of it, with its signature"),
)

key_changes = Table(
    "key_changes",
    metadata,
    Column("key_id", String(64), primary_key=True, comment="of the key that signs from then on"),
    _time("made_at"),
    Column("content", Text, nullable=False, comment="JSON, signed by both keys"),
)

redactions = Table(
    "redactions",
    metadata,
    Column("redaction_id", String(64), primary_key=True),
    Column("workspace_key", _Key, ForeignKey("workspaces.workspace_key"), nullable=False, index=True),
    _time("made_at"),
    Column("content", Text, nullable=False, comment="JSON, signed: what was taken out of which entries, but the text"),
)

git_identities = Table(
    "git_identities",
    metadata,
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("email", String(320), nullable=False, comment="it is in every commit: whoever gets one reads it"),
)

git_credentials = Table(
    "git_credentials",
    metadata,
    Column("user_id", String(64), ForeignKey("users.user_id"), primary_key=True),
    Column("host", String(256), primary_key=True),
    Column("kind", String(16), primary_key=True, comment="https or ssh"),
    Column("sealed", LargeBinary, nullable=False, comment="AES-GCM with a key derived from the server's secret"),
    _time("saved_at"),
)

moves = Table(
    "moves",
    metadata,
    Column("move_id", String(64), primary_key=True),
    Column("side", String(16), nullable=False, comment="what this database is in it: source or target"),
    Column("place", String(1024), nullable=False, comment="of the other one, for people"),
    Column("digest", LargeBinary(32), nullable=True, comment="of a target: of all that is moved"),
    _time("begun_at"),
    _time("finished_at", nullable=True),
)

idempotent_answers = Table(
    "idempotent_answers",
    metadata,
    Column("actor", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)

instances = Table(
    "instances",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("is_core", Boolean, nullable=False),
    Column("leaving", Boolean, nullable=False),
    Column("cut_off", Boolean, nullable=False, server_default=false(), comment="from the bus"),
    Column("cut_off_at", BigInteger, nullable=False, server_default="0", comment="when that changed, by that clock"),
    Column("alive_until", BigInteger, nullable=False, comment="by the database's own clock; 0: it has signed off"),
    Column("calls", BigInteger, nullable=False, comment="the last call of it that happened"),
)

shared_secrets = Table(
    "shared_secrets",
    metadata,
    Column("name", String(64), primary_key=True, comment="of what all instances have in common"),
    Column("fingerprint", String(128), nullable=False),
)

shard_leases = Table(
    "shard_leases",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), nullable=False, comment="an instance, which counts while it has its row"),
)

workspace_pins = Table(
    "workspace_pins",
    metadata,
    Column("workspace_id", String(128), primary_key=True),
    Column("name", String(128), nullable=False, comment="of an instance; empty: it goes back to its shard"),
    Column("owner", String(64), nullable=False, server_default="", comment="as of a shard; empty: nobody"),
)
