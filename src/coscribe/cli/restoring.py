"""A data folder made of a backup: checked, cut where asked for, and with logs that are known to be others.

    copy --digest--> is it what was backed up? --migrate--> --audit--> is it whole?
         --cut-----> every log ends at a moment --audit-->
         --------->  a new incarnation of every log; then the folder takes its name

Numbers behind the end of a restored log will be given out a second time, for other operations. A client names the
incarnation with the number it has, so it notices (``lineageLost``), takes the text of the server and hands what it has
not got through back to its author.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DatabaseError

from coscribe.access.events import Event, record
from coscribe.cli.backing_up import FORMAT, KEY, MANIFEST, FolderError, Manifest, digest, whole
from coscribe.cli.store import Store, owning
from coscribe.cli.verifying import verify_events, verify_store
from coscribe.config import Settings
from coscribe.core.errors import CoscribeError
from coscribe.core.tree import NodeState, Tree
from coscribe.documents.ports import StorageError
from coscribe.model import GENESIS, decode_effect
from coscribe.persistence import moves
from coscribe.persistence.blobs import copy_blobs
from coscribe.persistence.migrate import current, head, migrate
from coscribe.persistence.schema import instances, shard_leases, workspaces
from coscribe.persistence.segments import ZLIB, Packed, Row, unpack
from coscribe.persistence.signing import FILE as CHECKPOINT_KEY
from coscribe.persistence.sqlite import connect, put_files
from coscribe.persistence.stored import StoredLog, reading, stored_in, writing

MAX_NAMED = 5
"""Damaged files that are named."""

_LAST_ROW = (
    "SELECT sequence, version, digest FROM file_operation_log WHERE workspace_key = ? AND time <= ?"
    " ORDER BY sequence DESC LIMIT 1"
)
_SEGMENT = f"SELECT {', '.join(Packed._fields)} FROM log_segments WHERE segment_key = ?"
_INSERT_ROW = (
    f"INSERT INTO file_operation_log (workspace_key, {', '.join(Row._fields)}) VALUES (?{', ?' * len(Row._fields)})"
)


class Cut(msgspec.Struct, rename="camel"):
    """A log that ends earlier than in the backup: ``kept`` is its last sequence, ``removed`` so many came behind."""

    workspace_id: str
    kept: int
    removed: int


class Renewed(msgspec.Struct, rename="camel"):
    """A database that is one of its own from now on, and how many logs are in it."""

    store: str
    workspaces: int


class Restored(msgspec.Struct, rename="camel"):
    """What was made of a backup. ``made_at``: when it was; ``at``: the moment that was asked for, both ISO 8601."""

    folder: str
    made_at: str
    at: str | None
    workspaces: int
    token_key: bool
    cuts: list[Cut]


def restore(backup: Path, folder: Path, at: datetime | None) -> Restored:
    """Makes ``folder``, which must not exist or be empty, of a backup; ``at`` has a time zone. Raises FolderError."""
    manifest = _read_manifest(backup)
    if at is not None and at > datetime.fromisoformat(manifest.made_at):
        raise FolderError(
            f"the backup was made at {manifest.made_at}, before {_iso(at)}", "Take a later backup, or leave out --at."
        )
    cuts: list[Cut] = []
    with whole(folder) as draft:
        database = Settings(folder=draft).database
        try:
            _take(backup, draft, manifest)
            _assert_whole(Store(draft), "the backup is damaged", manifest.lacking)
            with closing(connect(database)) as db:
                if at is not None:
                    cuts = cut(db, int(at.timestamp() * 1_000_000))
            if cuts:
                _assert_whole(Store(draft), "what was cut does not fit together", manifest.lacking)
            detail = {"madeAt": manifest.made_at, "at": None if at is None else _iso(at), "cut": len(cuts)}
            _start_new_incarnations(database, detail)
        except (sqlite3.Error, DatabaseError, StorageError, OSError) as error:
            raise FolderError(
                f"the copy failed: {error}", f"Is there room, and may you write, in {folder.parent}?"
            ) from error
    asked = None if at is None else _iso(at)
    return Restored(str(folder), manifest.made_at, asked, len(manifest.workspaces), manifest.token_key, cuts)


def cut(db: sqlite3.Connection, at: int) -> list[Cut]:
    """Ends every log at its last entry not later than ``at`` (microseconds since 1970), in one transaction.

    With the entries go their operation ids, the snapshots that show them and the names of versions that they made.
    """
    cuts: list[Cut] = []
    log = stored_in(db)
    db.execute("BEGIN IMMEDIATE")
    heads = db.execute(
        "SELECT workspace_key, workspace_id, last_sequence, kind FROM workspaces JOIN heads USING (workspace_key)"
        " WHERE status != 'deleted' ORDER BY workspace_id"
    ).fetchall()
    for key, workspace_id, last, kind in heads:
        kept, version, chain_hash = _last_by(db, key, at)
        if kept < last:
            _cut_workspace(db, key, kept, version, chain_hash)
            if kind == "workspace":
                _cut_tree(db, log, workspace_id)
            cuts.append(Cut(workspace_id, kept, last - kept))
    db.execute("COMMIT")
    return cuts


def renew(store: Store) -> Renewed:
    """Makes a database, that was restored by other means than these, one of its own: verified, and with logs that are
    known to be others. Nobody may serve it meanwhile. Raises FolderError; ends with advice where it cannot be read, or
    a server has the folder."""
    with nullcontext() if store.url else owning(store.folder, "", anyway=True):
        try:
            migrate(store.database)
            _assert_alone(store)
            _assert_whole(store, "it is damaged", ())
            return Renewed(str(store), _start_new_incarnations(store.database, {"newIncarnation": True}))
        except (sqlite3.Error, DatabaseError, StorageError, OSError) as error:
            raise FolderError(f"{store} cannot be changed: {error}", f"See coscribe doctor {store.option}") from error


def _assert_alone(store: Store) -> None:
    """Raises FolderError where instances run on a PostgreSQL."""
    if not store.url:
        return
    with reading(store.url) as log:
        running = log.instances()
    if running:
        advice = "Stop them first; or wait a moment, where they were killed."
        raise FolderError(f"{', '.join(running)} run on {store}", advice)


def _start_new_incarnations(database: Path | str, detail: dict[str, Any]) -> int:
    """Every log is another one from now on, for whoever has seen it before; wherever the database was moved to, and
    whoever has run on it. It is put among the access events, as it explains why what they tell of is not there any
    more. Returns how many logs there are."""
    with writing(database) as log:
        connection = log.connection
        keys = connection.execute(select(workspaces.c.workspace_key)).scalars().all()
        for key in keys:
            of = update(workspaces).where(workspaces.c.workspace_key == key)
            connection.execute(of.values(incarnation=secrets.token_hex(8)))
        moves.forget(connection)
        connection.execute(delete(shard_leases))
        connection.execute(delete(instances))
        record(connection, Event("server.restored", "server", detail=detail))
        return len(keys)


def _last_by(db: sqlite3.Connection, key: int, at: int) -> tuple[int, int, bytes]:
    """Sequence, version and digest of the last entry of a log that is not later than ``at``. Raises FolderError where
    that was pruned, and more.

    It is a row of the table when this returns, as the last entry of a log has to be (unless nothing but its checkpoint
    is left): the segment that it was in is opened, and those behind it are gone.
    """
    found: tuple[int, int, bytes] | None = db.execute(_LAST_ROW, (key, at)).fetchone()
    if found is not None:
        return found
    segments = db.execute(
        "SELECT segment_key FROM log_segments WHERE workspace_key = ? AND format = ? ORDER BY last_sequence DESC",
        (key, ZLIB),
    ).fetchall()
    for (segment_key,) in segments:
        rows = unpack(Packed(*db.execute(_SEGMENT, (segment_key,)).fetchone()))
        db.execute("DELETE FROM operation_runs WHERE workspace_key = ? AND segment_key = ?", (key, segment_key))
        db.execute("DELETE FROM log_segments WHERE segment_key = ?", (segment_key,))
        while rows and rows[-1].time > at:
            rows.pop()
        if rows:
            db.executemany(_INSERT_ROW, [(key, *row) for row in rows])
            return rows[-1].sequence, rows[-1].version, rows[-1].digest
    return _pruned_by(db, key, at)


def _pruned_by(db: sqlite3.Connection, key: int, at: int) -> tuple[int, int, bytes]:
    """Of a log of which nothing that is left is as old: where it begins, as long as that is."""
    found = db.execute(
        "SELECT workspace_id, sequence, version, chain_hash, last_time FROM log_checkpoints"
        " JOIN checkpoint_files USING (workspace_key) JOIN workspaces USING (workspace_key) WHERE workspace_key = ?",
        (key,),
    ).fetchone()
    if found is None:
        return 0, 0, GENESIS
    workspace_id, sequence, version, chain_hash, last_time = found
    if last_time > at:
        oldest = _iso(datetime.fromtimestamp(last_time / 1_000_000, UTC))
        raise FolderError(
            f"the history of {workspace_id} before {oldest} was pruned", f"Give --at with {oldest} or a later moment."
        )
    return sequence, version, chain_hash


def _cut_workspace(db: sqlite3.Connection, key: int, kept: int, version: int, chain_hash: bytes) -> None:
    behind = {"key": key, "kept": kept}
    db.execute("DELETE FROM file_operation_log WHERE workspace_key = :key AND sequence > :kept", behind)
    db.execute(
        "DELETE FROM file_snapshots WHERE sequence > :kept"
        " AND file_key IN (SELECT file_key FROM files WHERE workspace_key = :key)",
        behind,
    )
    db.execute("DELETE FROM audit_checkpoints WHERE workspace_key = :key AND sequence > :kept", behind)
    db.execute("DELETE FROM named_versions WHERE workspace_key = ? AND version > ?", (key, version))
    # How far a series has come is looked for closely below its ceiling: a ceiling left too high would hide it.
    db.execute("DELETE FROM operation_series WHERE workspace_key = ?", (key,))
    db.execute(
        "INSERT INTO operation_series (workspace_key, series, ceiling) SELECT workspace_key, series, max(counter)"
        " FROM file_operation_log WHERE workspace_key = ? GROUP BY workspace_key, series",
        (key,),
    )
    db.execute("UPDATE heads SET last_sequence = ?, chain_hash = ? WHERE workspace_key = ?", (kept, chain_hash, key))


def _cut_tree(db: sqlite3.Connection, log: StoredLog, workspace_id: str) -> None:
    """Makes the rows of a workspace's files what its log, which was cut, leads to. Raises FolderError."""
    workspace = next(found for found in log.workspaces() if found.workspace_id == workspace_id)
    root = workspace.root
    assert root is not None
    tree = Tree(folds_case=workspace.folds_case)
    keys = {file.file_id: file.key for file in workspace.files}
    known: set[str] = set()
    blobs: set[tuple[int, str]] = set()
    try:
        for entry in log.entries(workspace.key, file_key=root.key):
            effect, _ = decode_effect(entry.payload)
            tree.take_in(effect)
            known.update(change.file_id for change in effect.changes)
            blobs.update((keys[each.file_id], each.after.content) for each in effect.changes if _is_binary(each.after))
    except (ValueError, CoscribeError) as error:
        raise FolderError(f"the tree of {workspace_id} cannot be replayed: {error}", "Take another backup.") from error
    others = [file for file in workspace.files if file is not root]
    put_files(
        db,
        workspace.key,
        [
            file._replace(node=tree.state(file.file_id) if file.file_id in tree else None)
            for file in others
            if file.file_id in known
        ],
    )
    gone = [use for use in log.uses(workspace.key) if (use.file_key, use.blob.digest) not in blobs]
    db.executemany(
        "DELETE FROM file_blobs WHERE file_key = ? AND hash = ?", [(use.file_key, use.blob.digest) for use in gone]
    )
    later = [(file.key,) for file in others if file.file_id not in known]
    db.executemany("DELETE FROM file_snapshots WHERE file_key = ?", later)
    db.executemany("DELETE FROM files WHERE file_key = ?", later)
    # Which snapshots are left is looked up anew; until there are new ones the log is read from its beginning.
    db.execute("UPDATE heads SET covered_sequence = 0 WHERE workspace_key = ?", (workspace.key,))
    db.execute(
        "UPDATE files SET saved_sequence = coalesce((SELECT max(sequence) FROM file_snapshots"
        " WHERE file_snapshots.file_key = files.file_key), 0) WHERE workspace_key = ?",
        (workspace.key,),
    )


def _is_binary(node: NodeState | None) -> TypeGuard[NodeState]:
    return node is not None and node.kind == "binary"


def _read_manifest(backup: Path) -> Manifest:
    advice = "Give a folder that `coscribe backup` has made."
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except OSError:
        raise FolderError(f"{backup} is no backup: it has no {MANIFEST}", advice) from None
    except msgspec.MsgspecError as error:
        raise FolderError(f"the {MANIFEST} of {backup} cannot be read: {error}", advice) from None
    if manifest.format != FORMAT or manifest.schema > head():
        raise FolderError(
            f"{backup} was made by Coscribe {manifest.coscribe}, which is newer", "Restore it with that version."
        )
    return manifest


def _take(backup: Path, draft: Path, manifest: Manifest) -> None:
    """Copies the backup and brings the copy's schema up to date. Raises FolderError where it is not what was made."""
    source, database = Settings(folder=backup).database, Settings(folder=draft).database
    names = [source.name, *([KEY] if manifest.token_key else ())]
    if (backup / CHECKPOINT_KEY).exists():
        names.append(CHECKPOINT_KEY)
    for name in names:
        (draft / name).touch(mode=0o600)
        try:
            shutil.copyfile(backup / name, draft / name)
        except FileNotFoundError:
            raise FolderError(f"{backup} has no {name}", "Take another backup: this one is not whole.") from None
    if digest(database) != manifest.database_sha256:
        raise FolderError(
            f"{source} is not the file that was backed up", "It was changed or damaged since: take another backup."
        )
    if current(database) != head():
        migrate(database)
    with reading(database) as log:
        copy_blobs(Settings(folder=backup).blobs, Settings(folder=draft).blobs, log.blobs())


def _assert_whole(store: Store, what: str, lacking: Collection[str]) -> None:
    """As `coscribe verify` does, but for blobs that were lacking when the backup was made. Raises FolderError."""
    damaged = [verdict for verdict in verify_store(store, lacking=lacking) if not verdict.clean]
    events = verify_events(store)
    where = [
        f"{verdict.file or 'database'}: {verdict.findings[0].detail if verdict.findings else 'see `coscribe verify`'}"
        for verdict in damaged[:MAX_NAMED]
    ]
    if not events.clean:
        where.append(f"access events: {events.unreadable or 'the chain does not fit'}")
    if where:
        more = f"\n  and {len(damaged) - MAX_NAMED:,} more" if len(damaged) > MAX_NAMED else ""
        raise FolderError(
            f"{what}:\n  " + "\n  ".join(where) + more, "Nothing was restored. Take another backup; keep this one."
        )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
