"""The closed part of the logs in SQLite: segments and the ids in them; reading from them, moving rows into them.

    log_segments     ids | ids | segment | segment |                  compressed
    the log's table                                | row | row ..     the newest entry is always a row
                               ^ a checkpoint is where the log begins, if a part of it was pruned

The ids in segments are kept as runs: a client numbers its operations without a gap, so a run stands for thousands of
them, and still says exactly which ids there are. Of a workspace with a tree it is kept which segment holds entries of
which file, so that the past of one file unpacks no others; a document has one file, and needs no such list. All raise
sqlite3.Error; a damaged segment is one, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint
from coscribe.documents.ports import Retained, SegmentSize
from coscribe.metrics import metrics
from coscribe.model import GENESIS, NOTHING_PRUNED, Pruned
from coscribe.persistence.segments import IDS, ZLIB, FilePart, Packed, Row, Run, files_of, strip, unpack

MAX_UNPACKED = 4
"""Unpacked segments that are remembered, of a few megabytes each; the one used longest ago goes first."""

_PACKED = "workspace_key, first_sequence, last_sequence, entries, chain_hash, format, checksum, content"
_NEXT = (
    "SELECT segment_key, checksum, first_sequence, last_sequence FROM log_segments"
    f" WHERE workspace_key = ? AND last_sequence > ? AND format = {ZLIB} ORDER BY last_sequence LIMIT 1"
)
_NEXT_OF_FILE = (
    "SELECT segment_key, checksum, log_segments.first_sequence, log_segments.last_sequence"
    " FROM segment_files JOIN log_segments USING (segment_key) WHERE file_key = ? AND segment_files.last_sequence > ?"
    " AND segment_files.last_version > ? ORDER BY segment_files.last_sequence LIMIT 1"
)
_KIND = "SELECT kind FROM workspaces WHERE workspace_key = ?"
_SEGMENT = f"SELECT {_PACKED} FROM log_segments WHERE segment_key = ?"
_LAST = (
    "SELECT last_sequence, chain_hash FROM log_segments WHERE workspace_key = ?1 UNION ALL"
    " SELECT sequence, chain_hash FROM log_checkpoints WHERE workspace_key = ?1 ORDER BY 1 DESC LIMIT 1"
)
_INSERT_SEGMENT = f"INSERT INTO log_segments ({_PACKED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_RUN = (
    "SELECT first_counter, segment_key, checksum FROM operation_runs LEFT JOIN log_segments USING (segment_key)"
    " WHERE operation_runs.workspace_key = ? AND series = ? AND last_counter >= ? ORDER BY last_counter LIMIT 1"
)
_LAST_RUN = (
    "SELECT last_counter FROM operation_runs WHERE workspace_key = ? AND series = ? ORDER BY last_counter DESC LIMIT 1"
)
_INSERT_RUN = (
    "INSERT INTO operation_runs (workspace_key, series, last_counter, first_counter, segment_key)"
    " VALUES (?, ?, ?, ?, ?)"
)
_INSERT_FILE_PART = (
    "INSERT INTO segment_files (segment_key, file_key, first_version, last_version, first_sequence, last_sequence)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_FILE_PARTS = f"SELECT {', '.join(FilePart._fields)} FROM segment_files WHERE segment_key = ? ORDER BY file_key"
_FORGET_FILE_PARTS = "DELETE FROM segment_files WHERE segment_key = ?"
_AUTHOR = "SELECT user_id FROM authors WHERE author_ref = ?"
_FILE_IDS = "SELECT file_key, file_id FROM files WHERE workspace_key = ?"
_NEWEST_SNAPSHOTS = (
    "SELECT min(newest) FROM (SELECT coalesce((SELECT max(sequence) FROM file_snapshots"
    " WHERE file_snapshots.file_key = files.file_key), 0) AS newest FROM files WHERE workspace_key = ?)"
)
_COVERED = "SELECT covered_sequence FROM heads WHERE workspace_key = ?"
_FIRST_ROW = "SELECT sequence FROM file_operation_log WHERE workspace_key = ? ORDER BY sequence LIMIT 1"
_ROWS = (
    f"SELECT {', '.join(Row._fields)} FROM file_operation_log WHERE workspace_key = ? AND sequence <= ?"
    " ORDER BY sequence LIMIT ?"
)
_PAYLOAD = "SELECT coalesce(sum(length(payload)), 0) FROM file_operation_log WHERE workspace_key = ? AND sequence <= ?"
_HEAD = (
    "SELECT last_sequence, kind FROM heads JOIN workspaces USING (workspace_key)"
    " WHERE workspace_key = ? AND status != 'deleted'"
)
_CHECKPOINT = (
    "SELECT workspace_id, sequence, chain_hash, last_time, made_at, key_id, signature"
    " FROM log_checkpoints JOIN workspaces USING (workspace_key) WHERE workspace_key = ?"
)
_CHECKPOINT_FILES = (
    "SELECT file_key, file_id, version, horizon, checkpoint_files.content, content_hash, attribution"
    " FROM checkpoint_files JOIN files USING (file_key) WHERE checkpoint_files.workspace_key = ? ORDER BY file_key"
)
_PRUNED = "SELECT sequence, chain_hash FROM log_checkpoints WHERE workspace_key = ?"
_PRUNED_FILES = "SELECT file_key, version, horizon FROM checkpoint_files WHERE workspace_key = ?"
_PRUNED_VERSION = "SELECT version FROM checkpoint_files WHERE file_key = ?"
_INSERT_CHECKPOINT = (
    "INSERT OR REPLACE INTO log_checkpoints"
    " (workspace_key, sequence, chain_hash, last_time, made_at, key_id, signature) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CHECKPOINT_FILE = (
    "INSERT OR REPLACE INTO checkpoint_files"
    " (file_key, workspace_key, version, horizon, content, content_hash, attribution) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_OF_FORMAT = (
    f"SELECT segment_key, {_PACKED} FROM log_segments WHERE workspace_key = ? AND last_sequence <= ? AND format = ?"
    " ORDER BY last_sequence"
)
_ENDS = f"SELECT last_sequence FROM log_segments WHERE workspace_key = ? AND format = {ZLIB} ORDER BY last_sequence"
_STRIP = "UPDATE log_segments SET format = ?, checksum = ?, content = ? WHERE segment_key = ? AND checksum = ?"
_RETAINED = "SELECT days, hold_reason IS NOT NULL FROM retention WHERE workspace_key = ?"
_OLD_SNAPSHOTS = (
    "DELETE FROM file_snapshots WHERE sequence < ? AND file_key IN (SELECT file_key FROM files WHERE workspace_key = ?)"
)
_FORGET_RUNS = (
    "DELETE FROM operation_runs WHERE workspace_key = ?1 AND segment_key IN (SELECT segment_key FROM log_segments"
    f" WHERE workspace_key = ?1 AND last_sequence <= ?2 AND format = {IDS})"
)
_FORGET_IDS = f"DELETE FROM log_segments WHERE workspace_key = ? AND last_sequence <= ? AND format = {IDS}"
_PRUNABLE = (
    "SELECT workspace_key, workspace_id, days FROM workspaces LEFT JOIN retention USING (workspace_key)"
    " WHERE workspace_key > ? AND hold_reason IS NULL AND coalesce(days, ?) > 0 AND status != 'deleted'"
    " AND kind = 'document'"
    " ORDER BY workspace_key LIMIT ?"
)
_DELETE_ROWS = "DELETE FROM file_operation_log WHERE workspace_key = ? AND sequence BETWEEN ? AND ?"


class Closable(NamedTuple):
    """Rows that may become a segment, the digest before them, and the ids of the workspace's files by key.
    ``is_tree``: which of them it holds is kept."""

    rows: list[Row]
    previous: bytes
    file_ids: dict[int, str]
    is_tree: bool


class ClosedLog:
    """Reads what is in segments, for one thread."""

    def __init__(self) -> None:
        self._unpacked: dict[bytes, list[Row]] = {}

    def rows(self, db: sqlite3.Connection, workspace_key: int, after: int, through: int) -> Iterator[Row]:
        """The rows in segments with after < sequence <= through, in order, a segment at a time."""
        while found := db.execute(_NEXT, (workspace_key, after)).fetchone():
            segment_key, checksum, first, last = found
            if first > through:
                return
            rows = self._rows(db, segment_key, checksum)
            yield from rows[max(0, after + 1 - first) : max(0, through + 1 - first)]
            after = last

    def rows_of(
        self, db: sqlite3.Connection, workspace_key: int, file_key: int, after: int, through: int, after_version: int
    ) -> Iterator[Row]:
        """Likewise the rows of one file whose version is above ``after_version``."""
        rows = (
            self._listed(db, file_key, after, through, after_version)
            if _is_tree(db, workspace_key)
            else self.rows(db, workspace_key, after, through)
        )
        return (row for row in rows if row.file_key == file_key and row.version > after_version)

    def _listed(
        self, db: sqlite3.Connection, file_key: int, after: int, through: int, after_version: int
    ) -> Iterator[Row]:
        """The rows of the segments that hold some of a file."""
        while found := db.execute(_NEXT_OF_FILE, (file_key, after, after_version)).fetchone():
            segment_key, checksum, first, last = found
            if first > through:
                return
            rows = self._rows(db, segment_key, checksum)
            yield from rows[max(0, after + 1 - first) : max(0, through + 1 - first)]
            after = last

    def find(self, db: sqlite3.Connection, workspace_key: int, series: str, counter: int) -> Row | None:
        """The row with an id, if that is in a segment; of one that was pruned, what is left."""
        found = db.execute(_RUN, (workspace_key, series, counter)).fetchone()
        if found is None or found[0] > counter:
            return None
        _, segment_key, checksum = found
        for row in self._rows(db, segment_key, checksum) if checksum is not None else ():
            if row.counter == counter and row.series == series:
                return row
        raise sqlite3.DatabaseError(f"the segment {segment_key} lacks the id {series}:{counter}, which should be in it")

    def _rows(self, db: sqlite3.Connection, segment_key: int, checksum: bytes) -> list[Row]:
        # They are remembered by their checksum: the key of one that was deleted may come to mean another one.
        rows = self._unpacked.pop(checksum, None)
        if rows is None:
            try:
                rows = unpack(Packed(*db.execute(_SEGMENT, (segment_key,)).fetchone()))
            except ValueError as error:
                raise sqlite3.DatabaseError(str(error)) from error
            metrics.segments_unpacked.inc()
            if len(self._unpacked) >= MAX_UNPACKED:
                del self._unpacked[next(iter(self._unpacked))]
        self._unpacked[checksum] = rows
        return rows


class Signatures:
    """User ids by reference, for one batch of rows."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int, str | None] = {}

    def user_id(self, author_ref: int) -> str | None:
        """None: the person was erased."""
        if author_ref not in self._known:
            found = self._db.execute(_AUTHOR, (author_ref,)).fetchone()
            self._known[author_ref] = found[0] if found else None
        return self._known[author_ref]


def highest_closed(db: sqlite3.Connection, workspace_key: int, series: str) -> int:
    """The highest counter of a series in segments; -1 where there is none."""
    found = db.execute(_LAST_RUN, (workspace_key, series)).fetchone()
    return int(found[0]) if found else -1


def last_closed(db: sqlite3.Connection, workspace_key: int) -> int:
    """The last sequence that is in a segment, or was pruned; 0 where there is none."""
    found = db.execute(_LAST, (workspace_key,)).fetchone()
    return int(found[0]) if found else 0


def closed_through(db: sqlite3.Connection, workspace_key: int) -> int:
    """The sequence before the one from which a workspace is loaded."""
    (covered,) = db.execute(_COVERED, (workspace_key,)).fetchone() or (None,)
    if covered is not None:
        return int(covered)
    (newest,) = db.execute(_NEWEST_SNAPSHOTS, (workspace_key,)).fetchone()
    return max(0, (newest or 0) - 1)


def closable(db: sqlite3.Connection, workspace_key: int, through: int, size: SegmentSize) -> Closable | None:
    """The oldest rows up to ``through``, as many as a segment may hold; None: fewer than are worth one, or the document
    is being deleted."""
    head = db.execute(_HEAD, (workspace_key,)).fetchone()
    first = db.execute(_FIRST_ROW, (workspace_key,)).fetchone()
    if head is None or first is None:
        return None
    through = min(through, head[0] - 1)
    if first[0] > through:
        return None
    if (
        through - first[0] + 1 < size.least
        and db.execute(_PAYLOAD, (workspace_key, through)).fetchone()[0] < size.bytes
    ):
        return None
    last, previous = db.execute(_LAST, (workspace_key,)).fetchone() or (0, GENESIS)
    if first[0] != last + 1:
        raise sqlite3.DatabaseError(f"the log lacks entries between {last} and {first[0]}")
    rows: list[Row] = []
    room = size.bytes
    for row in map(Row._make, db.execute(_ROWS, (workspace_key, through, size.entries))):
        rows.append(row)
        room -= len(row.payload)
        if room <= 0:
            break
    return Closable(rows, previous, dict(db.execute(_FILE_IDS, (workspace_key,)).fetchall()), head[1] == "workspace")


def move(db: sqlite3.Connection, packed: Packed, runs: list[Run], parts: list[FilePart]) -> bool:
    """Puts a segment in the place of its rows, in one transaction. False: they are not all there any more, and nothing
    has been done: the document was deleted meanwhile, or somebody else has moved them."""
    key = packed.workspace_key
    db.execute("BEGIN IMMEDIATE")
    try:
        segment_key = db.execute(_INSERT_SEGMENT, packed).lastrowid
        db.executemany(_INSERT_RUN, [(key, run.series, run.last, run.first, segment_key) for run in runs])
        db.executemany(_INSERT_FILE_PART, [(segment_key, *part) for part in parts])
        moved = db.execute(_DELETE_ROWS, (key, packed.first_sequence, packed.last_sequence)).rowcount
    except sqlite3.IntegrityError:
        moved = 0
    done = moved == packed.entries
    db.execute("COMMIT" if done else "ROLLBACK")
    return done


# ---- pruning


def pruned(db: sqlite3.Connection, workspace_key: int) -> Pruned:
    """How much of a log was pruned."""
    found = db.execute(_PRUNED, (workspace_key,)).fetchone()
    if found is None:
        return NOTHING_PRUNED
    files = db.execute(_PRUNED_FILES, (workspace_key,)).fetchall()
    versions = {file_key: version for file_key, version, _ in files}
    sequence, chain_hash = found
    return Pruned(sequence, chain_hash, versions, {file_key: horizon for file_key, _, horizon in files})


def pruned_sequence(db: sqlite3.Connection, workspace_key: int) -> int:
    """The last sequence that was pruned; 0 where none was."""
    found = db.execute(_PRUNED, (workspace_key,)).fetchone()
    return int(found[0]) if found else 0


def pruned_version(db: sqlite3.Connection, file_key: int) -> int:
    """The version of a file behind what was pruned; 0 where nothing was."""
    found = db.execute(_PRUNED_VERSION, (file_key,)).fetchone()
    return int(found[0]) if found else 0


def checkpoint_of(db: sqlite3.Connection, workspace_key: int) -> Checkpoint | None:
    """What a pruned log begins with. A text that is no UTF-8 any more comes as one whose hash does not fit."""
    found = db.execute(_CHECKPOINT, (workspace_key,)).fetchone()
    if found is None:
        return None
    workspace_id, sequence, chain_hash, last_time, made_at, key_id, signature = found
    files = tuple(
        FileAtCheckpoint(file_key, file_id, version, horizon, _bytes(content).decode(errors="replace"), digest, runs)
        for file_key, file_id, version, horizon, content, digest, runs in db.execute(
            _CHECKPOINT_FILES, (workspace_key,)
        )
    )
    return Checkpoint(
        workspace_key, workspace_id, sequence, chain_hash, last_time, made_at, files, key_id, bytes(signature)
    )


def wrongly_listed(db: sqlite3.Connection, workspace_key: int) -> list[int]:
    """The first sequences of segments of a tree that hold other files than it is kept of them. Takes its time."""
    wrong: list[int] = []
    for segment_key, *packed in (
        db.execute(_OF_FORMAT, (workspace_key, 2**62, ZLIB)) if _is_tree(db, workspace_key) else ()
    ):
        segment = Packed(*packed)
        try:
            held = files_of(unpack(segment))
        except ValueError as error:
            raise sqlite3.DatabaseError(str(error)) from error
        if held != [FilePart(*part) for part in db.execute(_FILE_PARTS, (segment_key,))]:
            wrong.append(segment.first_sequence)
    return wrong


def _is_tree(db: sqlite3.Connection, workspace_key: int) -> bool:
    (kind,) = db.execute(_KIND, (workspace_key,)).fetchone() or ("",)
    return bool(kind == "workspace")


def segment_ends(db: sqlite3.Connection, workspace_key: int) -> list[int]:
    """The last sequences of the segments that hold whole entries, in order."""
    return [last for (last,) in db.execute(_ENDS, (workspace_key,))]


def prunable(
    db: sqlite3.Connection, default_days: int, after_key: int, limit: int
) -> list[tuple[int, str, int | None]]:
    """Key, id and days of workspaces that are not held and not kept for ever, by key."""
    return db.execute(_PRUNABLE, (after_key, default_days, limit)).fetchall()


class Stripped(NamedTuple):
    """A segment and what is to be left of it."""

    segment_key: int
    checksum: bytes
    left: Packed


def stripped(db: sqlite3.Connection, workspace_key: int, through: int) -> list[Stripped]:
    """What is to be left of the segments up to a sequence that hold whole entries. Takes its time."""
    found: list[Stripped] = []
    for segment_key, *packed in db.execute(_OF_FORMAT, (workspace_key, through, ZLIB)):
        segment = Packed(*packed)
        try:
            found.append(Stripped(segment_key, segment.checksum, strip(segment, unpack(segment))))
        except ValueError as error:
            raise sqlite3.DatabaseError(str(error)) from error
    return found


def remembered(db: sqlite3.Connection, workspace_key: int) -> Iterator[Packed]:
    """What is left of segments that were pruned, in order."""
    for _, *packed in db.execute(_OF_FORMAT, (workspace_key, 2**62, IDS)):
        yield Packed(*packed)


def prune(
    db: sqlite3.Connection, checkpoint: Checkpoint, retained: Retained, parts: list[Stripped], forget_ids: bool
) -> bool:
    """Puts a checkpoint in the place of all that is before it, in one transaction. False: the retention or the segments
    are others by now, and nothing has been done."""
    key, sequence = checkpoint.workspace_key, checkpoint.sequence
    db.execute("BEGIN IMMEDIATE")
    days, held = db.execute(_RETAINED, (key,)).fetchone() or (None, False)
    done = not held and days == retained.days and pruned_sequence(db, key) <= sequence
    done = done and all(
        db.execute(
            _STRIP, (part.left.format, part.left.checksum, part.left.content, part.segment_key, part.checksum)
        ).rowcount
        == 1
        for part in parts
    )
    done = done and last_closed(db, key) >= sequence
    if done:
        db.executemany(_FORGET_FILE_PARTS, [(part.segment_key,) for part in parts])
        values = (key, sequence, checkpoint.chain_hash, checkpoint.last_time, checkpoint.made_at)
        db.execute(_INSERT_CHECKPOINT, (*values, checkpoint.key_id, checkpoint.signature))
        db.executemany(
            _INSERT_CHECKPOINT_FILE,
            [
                (
                    file.file_key,
                    key,
                    file.version,
                    file.horizon,
                    file.content.encode(),
                    file.content_hash,
                    file.attribution,
                )
                for file in checkpoint.files
            ],
        )
        db.execute(_OLD_SNAPSHOTS, (sequence, key))
        if forget_ids:
            db.execute(_FORGET_RUNS, (key, sequence))
            db.execute(_FORGET_IDS, (key, sequence))
    db.execute("COMMIT" if done else "ROLLBACK")
    return done


def _bytes(stored: bytes | str) -> bytes:
    """SQLite keeps a text where somebody has put one in place of the bytes."""
    return stored.encode() if isinstance(stored, str) else stored
