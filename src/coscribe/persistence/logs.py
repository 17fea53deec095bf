"""Logs, the files they are of, snapshots and carets: in steps, for any database. What is in segments: `closed_log`.

Appending is not here: there each database has a way of its own to be quick.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from coscribe.core.dedup import Record, join_id, split_id
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState
from coscribe.documents.ports import Append, Home, LastCursor, Latest, Prunable, Retained
from coscribe.model import GENESIS, File, FileSnapshot, LogEntry, Workspace, file_key
from coscribe.persistence.closed_log import (
    ClosedLog,
    Part,
    highest_closed,
    prunable,
    pruned,
    pruned_sequence,
    pruned_version,
)
from coscribe.persistence.segments import Row
from coscribe.persistence.steps import Ask, Change, Each, Make, Steps

_CEILING_STEP = 256
"""Counters between two ceilings of a series."""

_MAX_CEILINGS = 50_000
"""Ceilings that are remembered; beyond that all are forgotten, which costs one more write per series."""

Fields = Sequence[Any]
"""A row as the database gives it."""

# ---- workspaces and files

_FILE_COLUMNS = (
    "file_key",
    "file_id",
    "path",
    "parent_id",
    "name",
    "kind",
    "trashed",
    "purged",
    "content",
    "properties",
)
_WORKSPACE = "SELECT workspace_key, incarnation, secret, kind, folds_case FROM workspaces WHERE workspace_id = $1"
_HEAD = "SELECT epoch, last_sequence, chain_hash, covered_sequence FROM heads WHERE workspace_key = $1"
_FILES = f"SELECT {', '.join(_FILE_COLUMNS)} FROM files WHERE workspace_key = $1 ORDER BY file_key"
_KEYS = "SELECT file_id, file_key FROM files WHERE workspace_key = $1"
_FILE_WORKSPACE = "SELECT workspace_key FROM files WHERE file_key = $1"
_FILE_ID = "SELECT file_id FROM files WHERE file_key = $1"
_HOME = (
    "SELECT workspaces.workspace_id, workspaces.kind FROM workspaces JOIN files USING (workspace_key)"
    " WHERE files.file_id = $1 AND NOT files.purged"
)
_ALL = "SELECT workspace_id FROM workspaces"
_KEPT = "SELECT workspace_id FROM workspaces WHERE status != 'deleted'"
_INSERT_WORKSPACE = (
    "INSERT INTO workspaces (workspace_id, kind, incarnation, secret, created_at, folds_case)"
    " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace_id) DO NOTHING"
)
_INSERT_HEAD = (
    "INSERT INTO heads (workspace_key, epoch, last_sequence, chain_hash, covered_sequence) VALUES ($1, 0, 0, $2, $3)"
)
_INSERT_FILE = "INSERT INTO files (file_key, workspace_key, file_id, path, kind) VALUES ($1, $2, $3, $4, $5)"
_RAISE_EPOCH = "UPDATE heads SET epoch = epoch + 1 WHERE workspace_key = $1"
_COVER = "UPDATE heads SET covered_sequence = $2 WHERE workspace_key = $1 AND covered_sequence < $2"
_PUT_FILE = (
    f"INSERT INTO files (workspace_key, {', '.join(_FILE_COLUMNS)})"
    f" VALUES ($1, {', '.join(f'${number}' for number in range(2, len(_FILE_COLUMNS) + 2))})"
    f" ON CONFLICT (file_key) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _FILE_COLUMNS[1:])}"
)
_PUT_BLOB = (
    "INSERT INTO file_blobs (workspace_key, hash, file_key, size) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)
_IS_USED = "SELECT hash FROM file_blobs WHERE hash = $1 LIMIT 1"


class New(NamedTuple):
    """A workspace that is to be made, with its first file."""

    workspace_id: str
    kind: str
    file_id: str
    path: str
    time: int
    folds_case: bool = False


def create(new: New) -> Steps[None]:
    """Makes it unless it is there already."""
    identity = secrets.token_hex(8), secrets.token_bytes(16)
    arguments = new.workspace_id, new.kind, *identity, new.time, new.folds_case
    key = yield Make(_INSERT_WORKSPACE, arguments, "workspace_key")
    if key is not None:
        is_tree = new.kind == "workspace"
        yield Change(_INSERT_HEAD, (key, GENESIS, 0 if is_tree else None))
        kind = "directory" if is_tree else "text"
        yield Change(_INSERT_FILE, (file_key(key, 0), key, new.file_id, new.path, kind))


def key_of(workspace_id: str) -> Steps[int | None]:
    """None: there is no such workspace."""
    found = yield Ask(_WORKSPACE, (workspace_id,))
    return found[0][0] if found else None


def raise_epoch(workspace_id: str) -> Steps[bool]:
    """From now on nobody else owns it. False: there is no such workspace."""
    key = yield from key_of(workspace_id)
    if key is not None:
        yield Change(_RAISE_EPOCH, (key,))
    return key is not None


def workspace(workspace_id: str) -> Steps[Workspace]:
    """A workspace that is there, as it is."""
    ((key, incarnation, secret, kind, folds_case),) = yield Ask(_WORKSPACE, (workspace_id,))
    # A head that somebody has deleted is one at which nothing has been written: it will not fit the log.
    head = yield Ask(_HEAD, (key,))
    epoch, last_sequence, chain_hash, covered = head[0] if head else (0, 0, GENESIS, None)
    rows = yield Ask(_FILES, (key,))
    return Workspace(
        key,
        workspace_id,
        incarnation,
        secret,
        epoch,
        last_sequence,
        chain_hash,
        tuple(map(_file, rows)),
        (yield from pruned(key)),
        kind,
        bool(folds_case),
        covered,
    )


def stored_workspaces() -> Steps[list[Workspace]]:
    """Every workspace with its head and its files, in the order of their ids; but for those that are deleted, whose
    log may be gone in part."""
    found = yield Ask(_KEPT)
    stored: list[Workspace] = []
    for workspace_id in sorted(name for (name,) in found):
        stored.append((yield from workspace(workspace_id)))
    return stored


def workspace_ids() -> Steps[list[str]]:
    """All, in order. The order of a database may be that of some language."""
    found = yield Ask(_ALL)
    return sorted(workspace_id for (workspace_id,) in found)


def locate(file_id: str) -> Steps[Home | None]:
    """See `OpLog.locate`."""
    found = yield Ask(_HOME, (file_id,))
    return Home(found[0][0], found[0][1] == "workspace") if found else None


def keys(workspace_key: int) -> Steps[dict[str, int]]:
    """See `OpLog.keys`."""
    found = yield Ask(_KEYS, (workspace_key,))
    return dict(found)


def prunable_workspaces(default_days: int, after_key: int, limit: int) -> Steps[list[Prunable]]:
    """See `OpLog.prunable`."""
    found = yield from prunable(default_days, after_key, limit)
    made: list[Prunable] = []
    for workspace_id, days in found:
        made.append(Prunable((yield from workspace(workspace_id)), Retained(days)))
    return made


def cover(workspace_key: int, sequence: int) -> Steps[None]:
    """See `OpLog.cover`."""
    yield Change(_COVER, (workspace_key, sequence))


def is_used(digest: str) -> Steps[bool]:
    """See `OpLog.is_used`."""
    found = yield Ask(_IS_USED, (digest,))
    return bool(found)


def put_files(workspace_key: int, files: Iterable[File]) -> Steps[None]:
    """Makes the rows of files, or makes them others."""
    yield Each(_PUT_FILE, [_file_row(workspace_key, file) for file in files])


def put_files_of(appends: Iterable[Append]) -> Steps[None]:
    """What appends say of files and blobs."""
    files = [_file_row(append.workspace_key, file) for append in appends for file in append.files]
    if files:
        yield Each(_PUT_FILE, files)
    blobs = [(append.workspace_key, blob.digest, key, blob.size) for append in appends for key, _, blob in append.blobs]
    if blobs:
        yield Each(_PUT_BLOB, blobs)


def _file(row: Fields) -> File:
    key, file_id, path, parent_id, name, kind, trashed, purged, content, properties = row
    if parent_id is None or purged:
        return File(key, file_id, path)
    kept = tuple((name, value) for name, value in json.loads(properties).items()) if len(properties) > 2 else ()
    return File(key, file_id, path, NodeState(parent_id, name, kind, bool(trashed), content, kept))


def _file_row(workspace_key: int, file: File) -> Fields:
    """A node as it is stored; of one that was purged only its id is left."""
    node = file.node or NodeState("", "", "")
    properties = json.dumps(dict(node.properties), separators=(",", ":"))
    place = (node.parent_id, node.name, node.kind, node.trashed, file.node is None, node.content, properties)
    return (workspace_key, file.key, file.file_id, file.path, *place)


# ---- entries

LOG_COLUMNS = ("workspace_key", *Row._fields)
_ENTRY = (
    "SELECT sequence, file_key, version, base_version, series, counter, user_id, author_ref, request, time, payload,"
    " salt, digest FROM file_operation_log JOIN authors USING (author_ref)"
)
READ = (
    f"{_ENTRY} WHERE workspace_key = $1 AND sequence > $2 AND sequence <= $3"
    " AND (CAST($4 AS BIGINT) IS NULL OR file_key = $4) ORDER BY sequence"
)
_READ = f"{READ} LIMIT $5"
_READ_VERSIONS = (
    f"{_ENTRY} WHERE workspace_key = $1 AND file_key = $2 AND version > $3 AND sequence > $3 AND sequence <= $4"
    " ORDER BY sequence LIMIT $5"
)
_FIND = (
    "SELECT user_id, author_ref, request, file_id, sequence, version FROM file_operation_log AS log"
    " JOIN authors USING (author_ref) JOIN files USING (file_key)"
    " WHERE log.workspace_key = $1 AND series = $2 AND counter = $3"
)
_USER = "SELECT user_id FROM authors WHERE author_ref = $1"
_CEILING = "SELECT ceiling FROM operation_series WHERE workspace_key = $1 AND series = $2"
_HIGHEST = (
    "SELECT counter FROM file_operation_log WHERE workspace_key = $1 AND series = $2 AND counter > $3 AND counter <= $4"
    " ORDER BY counter DESC LIMIT 1"
)
_AUTHOR = "SELECT author_ref FROM authors WHERE user_id = $1"
_INSERT_AUTHOR = "INSERT INTO authors (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING"


def read(
    closed: ClosedLog, workspace_key: int, after: int, through: int, limit: int, file_key: int | None
) -> Steps[list[LogEntry]]:
    """See `OpLog.read`: from segments and rows."""
    if after < (yield from pruned_sequence(workspace_key)):
        raise CoscribeError(Code.HISTORY_PRUNED, f"the history behind sequence {after} was deleted")
    entries: list[LogEntry] = []
    authors: dict[int, str | None] = {}
    while len(entries) < limit:
        part = yield from next_part(closed, workspace_key, after, through, file_key)
        if part is None:
            break
        entries += yield from closed_entries(part.rows[: limit - len(entries)], authors)
        after = part.last
    if len(entries) < limit:
        rows = yield Ask(_READ, (workspace_key, after, through, file_key, limit - len(entries)))
        entries += map(entry, rows)
    return entries


def next_part(
    closed: ClosedLog, workspace_key: int, after: int, through: int, file_key: int | None
) -> Steps[Part | None]:
    """The rows behind a sequence, of one file or of all, in the first segment that has any."""
    if file_key is None:
        return (yield from closed.next(workspace_key, after, through))
    return (yield from closed.next_of(workspace_key, file_key, after, through, -1))


def read_versions(
    closed: ClosedLog, file_key: int, after_version: int, through: int, limit: int
) -> Steps[list[LogEntry]]:
    """See `OpLog.read_versions`."""
    if after_version < (yield from pruned_version(file_key)):
        raise CoscribeError(Code.HISTORY_PRUNED, f"the history behind version {after_version} was deleted")
    found = yield Ask(_FILE_WORKSPACE, (file_key,))
    if not found:
        return []
    ((workspace_key,),) = found
    entries: list[LogEntry] = []
    authors: dict[int, str | None] = {}
    after = after_version  # a version is at most the sequence at which the file came to it
    while len(entries) < limit:
        part = yield from closed.next_of(workspace_key, file_key, after, through, after_version)
        if part is None:
            break
        entries += yield from closed_entries(part.rows[: limit - len(entries)], authors)
        after = part.last
    if len(entries) < limit:
        rows = yield Ask(_READ_VERSIONS, (workspace_key, file_key, after_version, through, limit - len(entries)))
        entries += map(entry, rows)
    return entries


def find(closed: ClosedLog, workspace_key: int, operation_id: str) -> Steps[Record | None]:
    """See `OpLog.find`."""
    series, counter = split_id(operation_id)
    found = yield Ask(_FIND, (workspace_key, series, counter))
    if found:
        ((user_id, author_ref, *rest),) = found
        return Record(operation_id, _author(user_id, author_ref), *rest)
    row = yield from closed.find(workspace_key, series, counter)
    if row is None:
        return None
    ((file_id,),) = yield Ask(_FILE_ID, (row.file_key,))
    user_id = yield from _user_id(row.author_ref)
    return Record(operation_id, _author(user_id, row.author_ref), row.request, file_id, row.sequence, row.version)


def highest(workspace_key: int, series: str) -> Steps[int]:
    """See `OpLog.highest`."""
    found = yield Ask(_CEILING, (workspace_key, series))
    above, ceiling = (found[0][0] - _CEILING_STEP, found[0][0]) if found else (-1, 0)
    row = yield Ask(_HIGHEST, (workspace_key, series, above, ceiling))
    return max(int(row[0][0]) if row else -1, (yield from highest_closed(workspace_key, series)))


def author(user_id: str) -> Steps[int | None]:
    """The reference of a user; None: there is none yet."""
    found = yield Ask(_AUTHOR, (user_id,))
    return int(found[0][0]) if found else None


def add_author(user_id: str) -> Steps[int]:
    """The reference of a user, made unless there is one."""
    yield Change(_INSERT_AUTHOR, (user_id,))
    ((author_ref,),) = yield Ask(_AUTHOR, (user_id,))
    return int(author_ref)


def closed_entries(rows: Sequence[Row], authors: dict[int, str | None]) -> Steps[list[LogEntry]]:
    """Rows of segments with the user ids of ``authors``, to which those that are looked up are added."""
    for author_ref in {row.author_ref for row in rows} - authors.keys():
        authors[author_ref] = yield from _user_id(author_ref)
    return [entry((*row[:6], authors[row.author_ref], *row[6:])) for row in rows]


def _user_id(author_ref: int) -> Steps[str | None]:
    """None: the person was erased."""
    found = yield Ask(_USER, (author_ref,))
    return found[0][0] if found else None


def entry(row: Fields) -> LogEntry:
    """An entry of the log's table, joined with its author."""
    sequence, file_key, version, base, series, counter, user_id, author_ref, request, time, payload, salt, digest = row
    return LogEntry(
        sequence,
        file_key,
        version,
        base,
        join_id(series, counter),
        _author(user_id, author_ref),
        author_ref,
        request,
        time,
        payload,
        salt,
        digest,
    )


def log_row(workspace_key: int, entry: LogEntry) -> tuple[Any, ...]:
    """What the log's table gets for an entry: `LOG_COLUMNS`."""
    series, counter = split_id(entry.operation_id)
    return (
        workspace_key,
        entry.sequence,
        entry.file_key,
        entry.version,
        entry.base_version,
        series,
        counter,
        entry.author_ref,
        entry.request,
        entry.time,
        entry.payload,
        entry.salt,
        entry.digest,
    )


def _author(user_id: str | None, author_ref: int) -> str:
    return user_id if user_id is not None else f"erased-{author_ref}"


class Ceilings:
    """Of each series in use a number that no counter on disk is above; it is written every few hundred operations."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], int] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def raised(self, appends: Sequence[Append]) -> dict[tuple[int, str], int]:
        """The ceilings, by workspace and series, that these operations go through, raised far enough."""
        raised: dict[tuple[int, str], int] = {}
        for append in appends:
            for each in append.entries:
                series, counter = split_id(each.operation_id)
                key = (append.workspace_key, series)
                if counter > self._known.get(key, 0) and counter > raised.get(key, 0):
                    raised[key] = -(-counter // _CEILING_STEP) * _CEILING_STEP
        return raised

    def stored(self, raised: Mapping[tuple[int, str], int]) -> None:
        """They are on disk."""
        if len(self._known) > _MAX_CEILINGS:
            self._known.clear()
        self._known.update(raised)


# ---- snapshots and carets

_SNAPSHOT = (
    "SELECT version, sequence, content, content_hash, digest FROM file_snapshots WHERE file_key = $1"
    " ORDER BY sequence DESC, snapshot_key DESC LIMIT 1 OFFSET $2"
)
_INSERT_SNAPSHOT = (
    "INSERT INTO file_snapshots (file_key, version, sequence, content, content_hash, digest)"
    " VALUES ($1, $2, $3, $4, $5, $6)"
)
_OLD_SNAPSHOTS = (
    "DELETE FROM file_snapshots WHERE file_key = $1 AND snapshot_key NOT IN (SELECT snapshot_key FROM file_snapshots"
    " WHERE file_key = $1 ORDER BY sequence DESC, snapshot_key DESC LIMIT $2)"
)
_SAVED = "SELECT saved_sequence FROM files WHERE file_key = $1"
_NOTE_SAVED = "UPDATE files SET saved_sequence = $2 WHERE file_key = $1 AND saved_sequence < $2"
_PUT_CURSOR = (
    f"INSERT INTO last_cursors ({', '.join(LastCursor._fields)})"
    f" SELECT {', '.join(f'CAST(${number} AS BIGINT)' for number in range(1, len(LastCursor._fields) + 1))}"
    " WHERE EXISTS (SELECT 1 FROM files WHERE files.file_key = $1)"
    " AND NOT EXISTS (SELECT 1 FROM authors WHERE authors.author_ref = $2 AND authors.user_id IS NULL)"
    " ON CONFLICT (author_ref, file_key) DO UPDATE SET version = excluded.version, anchor = excluded.anchor,"
    " head = excluded.head, moved_at = excluded.moved_at"
)
_LAST_CURSOR = f"SELECT {', '.join(LastCursor._fields)} FROM last_cursors WHERE file_key = $1 AND author_ref = $2"


def _old_cursors(of: str) -> str:
    """Deletes those of an author, or of a file, that moved before the last so many."""
    return (
        f"DELETE FROM last_cursors WHERE {of} = $1 AND moved_at < (SELECT moved_at FROM last_cursors"
        f" WHERE {of} = $1 ORDER BY moved_at DESC LIMIT 1 OFFSET $2)"
    )


_OLD_CURSORS = {of: _old_cursors(of) for of in ("author_ref", "file_key")}


def save(snapshot: FileSnapshot, keep: int) -> Steps[None]:
    """See `SnapshotRepo.save`."""
    place = snapshot.file_key, snapshot.version, snapshot.sequence
    yield Change(_INSERT_SNAPSHOT, (*place, snapshot.content.encode(), snapshot.content_hash, snapshot.digest or None))
    yield Change(_OLD_SNAPSHOTS, (snapshot.file_key, keep))
    yield Change(_NOTE_SAVED, (snapshot.file_key, snapshot.sequence))


def newest(file_key: int, skip: int) -> Steps[FileSnapshot | None]:
    """See `SnapshotRepo.newest`."""
    found = yield Ask(_SNAPSHOT, (file_key, skip))
    return _snapshot(file_key, found[0]) if found else None


def saved(file_key: int) -> Steps[int]:
    """See `SnapshotRepo.saved`."""
    found = yield Ask(_SAVED, (file_key,))
    return int(found[0][0]) if found else 0


def latest_of(rows: Iterable[Fields], most: int) -> dict[int, Latest]:
    """See `SnapshotRepo.latest`. Of each file its key, `saved`, and the columns of its newest snapshot, if any."""
    found: dict[int, Latest] = {}
    for key, last, *row in rows:
        is_kept = row[0] is not None
        found[key] = Latest(_snapshot(key, row) if is_kept else None, last)
        most -= len(row[2]) if is_kept else 0
        if most <= 0:
            break
    return found


def _snapshot(file_key: int, row: Fields) -> FileSnapshot:
    version, sequence, content, hashed, digest = row
    # SQLite keeps a text where somebody has put one in place of the bytes.
    stored = content.encode() if isinstance(content, str) else bytes(content)
    # Bytes that are no UTF-8 any more still make a snapshot: one whose hash does not fit.
    return FileSnapshot(file_key, version, sequence, stored.decode(errors="replace"), hashed, digest or b"")


def keep_cursors(cursors: Sequence[LastCursor], per_person: int, per_file: int) -> Steps[None]:
    """See `CursorRepo.keep_cursors`."""
    in_order = sorted(cursors, key=lambda cursor: cursor[:2])  # so that two who do this never wait for each other
    yield Each(_PUT_CURSOR, in_order)
    for of, keep in (("author_ref", per_person), ("file_key", per_file)):
        concerned = sorted({getattr(cursor, of) for cursor in cursors})
        yield Each(_OLD_CURSORS[of], [(key, keep - 1) for key in concerned])


def last_cursor(file_key: int, author_ref: int) -> Steps[LastCursor | None]:
    """See `CursorRepo.last_cursor`."""
    found = yield Ask(_LAST_CURSOR, (file_key, author_ref))
    return LastCursor(*found[0]) if found else None
