"""The closed part of the logs in SQLite: segments and the ids in them; reading from them, moving rows into them.

    log_segments     .. segment | segment |                           compressed, never changed
    the log's table                       | row | row | row ..        the newest entry is always a row

The ids in segments are kept as runs: a client numbers its operations without a gap, so a run stands for thousands of
them, and still says exactly which ids there are. All raise sqlite3.Error; a damaged segment is one, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from coscribe.documents.ports import SegmentSize
from coscribe.metrics import metrics
from coscribe.model import GENESIS
from coscribe.persistence.segments import Packed, Row, Run, unpack

MAX_UNPACKED = 4
"""Unpacked segments that are remembered, of a few megabytes each; the one used longest ago goes first."""

_PACKED = "workspace_key, first_sequence, last_sequence, entries, chain_hash, format, checksum, content"
_NEXT = (
    "SELECT segment_key, checksum, first_sequence, last_sequence FROM log_segments"
    " WHERE workspace_key = ? AND last_sequence > ? ORDER BY last_sequence LIMIT 1"
)
_SEGMENT = f"SELECT {_PACKED} FROM log_segments WHERE segment_key = ?"
_LAST = "SELECT last_sequence, chain_hash FROM log_segments WHERE workspace_key = ? ORDER BY last_sequence DESC LIMIT 1"
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
_AUTHOR = "SELECT user_id FROM authors WHERE author_ref = ?"
_FILE_IDS = "SELECT file_key, file_id FROM files WHERE workspace_key = ?"
_NEWEST_SNAPSHOTS = (
    "SELECT min(newest) FROM (SELECT coalesce((SELECT max(sequence) FROM file_snapshots"
    " WHERE file_snapshots.file_key = files.file_key), 0) AS newest FROM files WHERE workspace_key = ?)"
)
_FIRST_ROW = "SELECT sequence FROM file_operation_log WHERE workspace_key = ? ORDER BY sequence LIMIT 1"
_ROWS = (
    f"SELECT {', '.join(Row._fields)} FROM file_operation_log WHERE workspace_key = ? AND sequence <= ?"
    " ORDER BY sequence LIMIT ?"
)
_PAYLOAD = "SELECT coalesce(sum(length(payload)), 0) FROM file_operation_log WHERE workspace_key = ? AND sequence <= ?"
_HEAD = (
    "SELECT last_sequence FROM heads JOIN workspaces USING (workspace_key)"
    " WHERE workspace_key = ? AND status != 'deleted'"
)
_DELETE_ROWS = "DELETE FROM file_operation_log WHERE workspace_key = ? AND sequence BETWEEN ? AND ?"


class Closable(NamedTuple):
    """Rows that may become a segment, the digest before them, and the ids of the workspace's files by key."""

    rows: list[Row]
    previous: bytes
    file_ids: dict[int, str]


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

    def find(self, db: sqlite3.Connection, workspace_key: int, series: str, counter: int) -> Row | None:
        """The row with an id, if that is in a segment."""
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
    """The last sequence that is in a segment; 0 where there is none."""
    found = db.execute(_LAST, (workspace_key,)).fetchone()
    return int(found[0]) if found else 0


def closed_through(db: sqlite3.Connection, workspace_key: int) -> int:
    """The sequence before the one from which a workspace is loaded."""
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
    return Closable(rows, previous, dict(db.execute(_FILE_IDS, (workspace_key,)).fetchall()))


def move(db: sqlite3.Connection, packed: Packed, runs: list[Run]) -> bool:
    """Puts a segment in the place of its rows, in one transaction. False: they are not all there any more, and nothing
    has been done: the document was deleted meanwhile, or somebody else has moved them."""
    key = packed.workspace_key
    db.execute("BEGIN IMMEDIATE")
    try:
        segment_key = db.execute(_INSERT_SEGMENT, packed).lastrowid
        db.executemany(_INSERT_RUN, [(key, run.series, run.last, run.first, segment_key) for run in runs])
        moved = db.execute(_DELETE_ROWS, (key, packed.first_sequence, packed.last_sequence)).rowcount
    except sqlite3.IntegrityError:
        moved = 0
    done = moved == packed.entries
    db.execute("COMMIT" if done else "ROLLBACK")
    return done
