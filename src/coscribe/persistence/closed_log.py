"""The closed part of the logs: segments and the ids in them; reading from them, moving rows into them.

    log_segments     ids | ids | segment | segment |                  compressed
    the log's table                                | row | row ..     the newest entry is always a row
                               ^ a checkpoint is where the log begins, if a part of it was pruned

The ids in segments are kept as runs: a client numbers its operations without a gap, so a run stands for thousands of
them, and still says exactly which ids there are. Of a workspace with a tree it is kept which segment holds entries of
which file, so that the past of one file unpacks no others; a document has one file, and needs no such list.

All of it in steps, for any database. A damaged segment raises Damaged.
"""

from __future__ import annotations

from typing import NamedTuple

from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint
from coscribe.documents.ports import Retained, Segment, SegmentSize
from coscribe.metrics import metrics
from coscribe.model import GENESIS, NOTHING_PRUNED, Pruned
from coscribe.persistence.segments import (
    IDS,
    ZLIB,
    FilePart,
    Packed,
    Row,
    Run,
    bytes_of,
    files_of,
    pack,
    runs_of,
    strip,
    unpack,
)
from coscribe.persistence.steps import Ask, Change, Damaged, Each, Make, Steps, Work

MAX_UNPACKED = 4
"""Unpacked segments that are remembered, of a few megabytes each; the one used longest ago goes first."""

_PACKED = "workspace_key, first_sequence, last_sequence, entries, chain_hash, format, checksum, content"
_NEXT = (
    "SELECT segment_key, checksum, first_sequence, last_sequence FROM log_segments"
    f" WHERE workspace_key = $1 AND last_sequence > $2 AND format = {ZLIB} ORDER BY last_sequence LIMIT 1"
)
_NEXT_OF_FILE = (
    "SELECT segment_key, checksum, log_segments.first_sequence, log_segments.last_sequence"
    " FROM segment_files JOIN log_segments USING (segment_key) WHERE file_key = $1 AND segment_files.last_sequence > $2"
    " AND segment_files.last_version > $3 ORDER BY segment_files.last_sequence LIMIT 1"
)
_KIND = "SELECT kind FROM workspaces WHERE workspace_key = $1"
_SEGMENT = f"SELECT {_PACKED} FROM log_segments WHERE segment_key = $1"
_LAST = (
    "SELECT last_sequence, chain_hash FROM log_segments WHERE workspace_key = $1 UNION ALL"
    " SELECT sequence, chain_hash FROM log_checkpoints WHERE workspace_key = $1 ORDER BY 1 DESC LIMIT 1"
)
_INSERT_SEGMENT = f"INSERT INTO log_segments ({_PACKED}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
_RUN = (
    "SELECT first_counter, segment_key, checksum FROM operation_runs LEFT JOIN log_segments USING (segment_key)"
    " WHERE operation_runs.workspace_key = $1 AND series = $2 AND last_counter >= $3 ORDER BY last_counter LIMIT 1"
)
_LAST_RUN = (
    "SELECT last_counter FROM operation_runs WHERE workspace_key = $1 AND series = $2"
    " ORDER BY last_counter DESC LIMIT 1"
)
_INSERT_RUN = (
    "INSERT INTO operation_runs (workspace_key, series, last_counter, first_counter, segment_key)"
    " VALUES ($1, $2, $3, $4, $5)"
)
_INSERT_FILE_PART = (
    "INSERT INTO segment_files (segment_key, file_key, first_version, last_version, first_sequence, last_sequence)"
    " VALUES ($1, $2, $3, $4, $5, $6)"
)
_FILE_PARTS = f"SELECT {', '.join(FilePart._fields)} FROM segment_files WHERE segment_key = $1 ORDER BY file_key"
_FORGET_FILE_PARTS = "DELETE FROM segment_files WHERE segment_key = $1"
_FILE_IDS = "SELECT file_key, file_id FROM files WHERE workspace_key = $1"
_NEWEST_SNAPSHOTS = (
    "SELECT min(newest) FROM (SELECT coalesce((SELECT max(sequence) FROM file_snapshots"
    " WHERE file_snapshots.file_key = files.file_key), 0) AS newest FROM files"
    " WHERE workspace_key = $1) AS newest_of_each"
)
_COVERED = "SELECT covered_sequence FROM heads WHERE workspace_key = $1"
_FIRST_ROW = "SELECT sequence FROM file_operation_log WHERE workspace_key = $1 ORDER BY sequence LIMIT 1"
_ROWS = (
    f"SELECT {', '.join(Row._fields)} FROM file_operation_log WHERE workspace_key = $1 AND sequence <= $2"
    " ORDER BY sequence LIMIT $3"
)
_LENGTHS = (
    "SELECT length(payload) FROM file_operation_log WHERE workspace_key = $1 AND sequence <= $2"
    " ORDER BY sequence LIMIT $3"
)
_PAYLOAD = (
    "SELECT coalesce(sum(length(payload)), 0) FROM file_operation_log WHERE workspace_key = $1 AND sequence <= $2"
)
_HEAD = (
    "SELECT last_sequence, kind FROM heads JOIN workspaces USING (workspace_key)"
    " WHERE workspace_key = $1 AND status != 'deleted'"
)
_CHECKPOINT = (
    "SELECT workspace_id, sequence, chain_hash, last_time, made_at, key_id, signature"
    " FROM log_checkpoints JOIN workspaces USING (workspace_key) WHERE workspace_key = $1"
)
_CHECKPOINT_FILES = (
    "SELECT file_key, file_id, version, horizon, checkpoint_files.content, content_hash, attribution"
    " FROM checkpoint_files JOIN files USING (file_key) WHERE checkpoint_files.workspace_key = $1 ORDER BY file_key"
)
_PRUNED = "SELECT sequence, chain_hash FROM log_checkpoints WHERE workspace_key = $1"
_PRUNED_FILES = "SELECT file_key, version, horizon FROM checkpoint_files WHERE workspace_key = $1"
_PRUNED_VERSION = "SELECT version FROM checkpoint_files WHERE file_key = $1"
_INSERT_CHECKPOINT = (
    "INSERT INTO log_checkpoints"
    " (workspace_key, sequence, chain_hash, last_time, made_at, key_id, signature) VALUES ($1, $2, $3, $4, $5, $6, $7)"
    " ON CONFLICT (workspace_key) DO UPDATE SET sequence = excluded.sequence, chain_hash = excluded.chain_hash,"
    " last_time = excluded.last_time, made_at = excluded.made_at, key_id = excluded.key_id,"
    " signature = excluded.signature"
)
_INSERT_CHECKPOINT_FILE = (
    "INSERT INTO checkpoint_files"
    " (file_key, workspace_key, version, horizon, content, content_hash, attribution)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (file_key) DO UPDATE SET workspace_key = excluded.workspace_key,"
    " version = excluded.version, horizon = excluded.horizon, content = excluded.content,"
    " content_hash = excluded.content_hash, attribution = excluded.attribution"
)
_OF_FORMAT = (
    "SELECT segment_key FROM log_segments WHERE workspace_key = $1 AND last_sequence <= $2 AND format = $3"
    " ORDER BY last_sequence"
)
_ENDS = f"SELECT last_sequence FROM log_segments WHERE workspace_key = $1 AND format = {ZLIB} ORDER BY last_sequence"
_STRIP = "UPDATE log_segments SET format = $1, checksum = $2, content = $3 WHERE segment_key = $4 AND checksum = $5"
_RETAINED = "SELECT days, hold_reason IS NOT NULL FROM retention WHERE workspace_key = $1"
_OLD_SNAPSHOTS = (
    "DELETE FROM file_snapshots WHERE sequence < $1"
    " AND file_key IN (SELECT file_key FROM files WHERE workspace_key = $2)"
)
_FORGET_RUNS = (
    "DELETE FROM operation_runs WHERE workspace_key = $1 AND segment_key IN (SELECT segment_key FROM log_segments"
    f" WHERE workspace_key = $1 AND last_sequence <= $2 AND format = {IDS})"
)
_FORGET_IDS = f"DELETE FROM log_segments WHERE workspace_key = $1 AND last_sequence <= $2 AND format = {IDS}"
_PRUNABLE = (
    "SELECT workspace_id, days FROM workspaces LEFT JOIN retention USING (workspace_key)"
    " WHERE workspace_key > $1 AND hold_reason IS NULL AND coalesce(days, $2) > 0 AND status != 'deleted'"
    " AND kind = 'document'"
    " ORDER BY workspace_key LIMIT $3"
)
_DELETE_ROWS = "DELETE FROM file_operation_log WHERE workspace_key = $1 AND sequence BETWEEN $2 AND $3"


class Closable(NamedTuple):
    """Rows that may become a segment, the digest before them, and the ids of the workspace's files by key.
    ``is_tree``: which of them it holds is kept."""

    rows: list[Row]
    previous: bytes
    file_ids: dict[int, str]
    is_tree: bool


class Made(NamedTuple):
    """A segment, the ids in it, the files in it where that is kept, and about what its rows took."""

    packed: Packed
    runs: list[Run]
    parts: list[FilePart]
    bytes_before: int

    @property
    def summary(self) -> Segment:
        """What is told of it."""
        packed = self.packed
        return Segment(
            packed.first_sequence, packed.last_sequence, packed.entries, self.bytes_before, len(packed.content)
        )


class Part(NamedTuple):
    """Rows of one segment; what comes behind ``last`` is not among them."""

    rows: list[Row]
    last: int


class ClosedLog:
    """Reads what is in segments."""

    def __init__(self) -> None:
        self._unpacked: dict[bytes, list[Row]] = {}

    def next(self, workspace_key: int, after: int, through: int) -> Steps[Part | None]:
        """The rows with after < sequence <= through in the first segment that has any; None: none has."""
        found = yield Ask(_NEXT, (workspace_key, after))
        return (yield from self._part(found, after, through))

    def next_of(
        self, workspace_key: int, file_key: int, after: int, through: int, after_version: int
    ) -> Steps[Part | None]:
        """Likewise the rows of one file whose version is above ``after_version``; there may be none of them in the
        segment."""
        if (yield from _is_tree(workspace_key)):
            found = yield Ask(_NEXT_OF_FILE, (file_key, after, after_version))
        else:
            found = yield Ask(_NEXT, (workspace_key, after))
        part = yield from self._part(found, after, through)
        if part is None:
            return None
        return Part([row for row in part.rows if row.file_key == file_key and row.version > after_version], part.last)

    def _part(self, found: list[tuple[int, bytes, int, int]], after: int, through: int) -> Steps[Part | None]:
        if not found or found[0][2] > through:
            return None
        ((segment_key, checksum, first, last),) = found
        rows = yield from self._rows(segment_key, checksum)
        return Part(rows[max(0, after + 1 - first) : max(0, through + 1 - first)], last)

    def find(self, workspace_key: int, series: str, counter: int) -> Steps[Row | None]:
        """The row with an id, if that is in a segment; of one that was pruned, what is left."""
        found = yield Ask(_RUN, (workspace_key, series, counter))
        if not found or found[0][0] > counter:
            return None
        ((_, segment_key, checksum),) = found
        rows = [] if checksum is None else (yield from self._rows(segment_key, checksum))
        for row in rows:
            if row.counter == counter and row.series == series:
                return row
        raise Damaged(f"the segment {segment_key} lacks the id {series}:{counter}, which should be in it")

    def _rows(self, segment_key: int, checksum: bytes) -> Steps[list[Row]]:
        # They are remembered by their checksum: the key of one that was deleted may come to mean another one.
        rows = self._unpacked.pop(checksum, None)
        if rows is None:
            rows = yield from _unpacked(segment_key)
            metrics.segments_unpacked.inc()
            if len(self._unpacked) >= MAX_UNPACKED:
                del self._unpacked[next(iter(self._unpacked))]
        self._unpacked[checksum] = rows
        return rows


def _unpacked(segment_key: int) -> Steps[list[Row]]:
    packed = yield from segment(segment_key)

    def work() -> list[Row]:
        try:
            return unpack(packed)
        except ValueError as error:
            raise Damaged(str(error)) from error

    rows: list[Row] = yield Work(work)
    return rows


def segment(segment_key: int) -> Steps[Packed]:
    """One that is there."""
    ((*packed,),) = yield Ask(_SEGMENT, (segment_key,))
    return Packed(*packed)


def segments_of(workspace_key: int, through: int, kind: int) -> Steps[list[int]]:
    """The keys of the segments of a format up to a sequence, in order."""
    found = yield Ask(_OF_FORMAT, (workspace_key, through, kind))
    return [segment_key for (segment_key,) in found]


def highest_closed(workspace_key: int, series: str) -> Steps[int]:
    """The highest counter of a series in segments; -1 where there is none."""
    found = yield Ask(_LAST_RUN, (workspace_key, series))
    return int(found[0][0]) if found else -1


def last_closed(workspace_key: int) -> Steps[int]:
    """The last sequence that is in a segment, or was pruned; 0 where there is none."""
    found = yield Ask(_LAST, (workspace_key,))
    return int(found[0][0]) if found else 0


def closed_through(workspace_key: int) -> Steps[int]:
    """The sequence before the one from which a workspace is loaded."""
    found = yield Ask(_COVERED, (workspace_key,))
    if found and found[0][0] is not None:
        return int(found[0][0])
    ((newest,),) = yield Ask(_NEWEST_SNAPSHOTS, (workspace_key,))
    return max(0, (newest or 0) - 1)


def closable(workspace_key: int, through: int, size: SegmentSize) -> Steps[Closable | None]:
    """The oldest rows up to ``through``, as many as a segment may hold; None: fewer than are worth one, or the document
    is being deleted."""
    head = yield Ask(_HEAD, (workspace_key,))
    first_row = yield Ask(_FIRST_ROW, (workspace_key,))
    if not head or not first_row:
        return None
    ((last_sequence, kind),) = head
    ((first,),) = first_row
    through = min(through, last_sequence - 1)
    if first > through:
        return None
    if through - first + 1 < size.least:
        ((payload,),) = yield Ask(_PAYLOAD, (workspace_key, through))
        if payload < size.bytes:
            return None
    found = yield Ask(_LAST, (workspace_key,))
    last, previous = found[0] if found else (0, GENESIS)
    if first != last + 1:
        raise Damaged(f"the log lacks entries between {last} and {first}")
    lengths = yield Ask(_LENGTHS, (workspace_key, through, size.entries))
    count, room = 0, size.bytes
    for (length,) in lengths:
        count += 1
        room -= length
        if room <= 0:
            break
    rows = yield Ask(_ROWS, (workspace_key, through, count))
    file_ids = yield Ask(_FILE_IDS, (workspace_key,))
    return Closable([Row(*row) for row in rows], previous, dict(file_ids), kind == "workspace")


def segment_of(workspace_key: int, found: Closable) -> Made:
    """Raises ValueError where the rows do not fit their hash chain."""
    made = pack(workspace_key, found.rows, found.previous, found.file_ids)
    parts = files_of(found.rows) if found.is_tree else []
    return Made(made, runs_of(found.rows), parts, bytes_of(found.rows))


def move(made: Made) -> Steps[bool]:
    """Puts a segment in the place of its rows; to be undone where it returns False or breaks a rule of the tables: they
    are not all there any more, the document was deleted meanwhile, or somebody else has moved them."""
    key = made.packed.workspace_key
    segment_key = yield Make(_INSERT_SEGMENT, made.packed, "segment_key")
    yield Each(_INSERT_RUN, [(key, run.series, run.last, run.first, segment_key) for run in made.runs])
    yield Each(_INSERT_FILE_PART, [(segment_key, *part) for part in made.parts])
    moved = yield Change(_DELETE_ROWS, (key, made.packed.first_sequence, made.packed.last_sequence))
    return bool(moved == made.packed.entries)


# ---- pruning


def pruned(workspace_key: int) -> Steps[Pruned]:
    """How much of a log was pruned."""
    found = yield Ask(_PRUNED, (workspace_key,))
    if not found:
        return NOTHING_PRUNED
    files = yield Ask(_PRUNED_FILES, (workspace_key,))
    versions = {file_key: version for file_key, version, _ in files}
    ((sequence, chain_hash),) = found
    return Pruned(sequence, chain_hash, versions, {file_key: horizon for file_key, _, horizon in files})


def pruned_sequence(workspace_key: int) -> Steps[int]:
    """The last sequence that was pruned; 0 where none was."""
    found = yield Ask(_PRUNED, (workspace_key,))
    return int(found[0][0]) if found else 0


def pruned_version(file_key: int) -> Steps[int]:
    """The version of a file behind what was pruned; 0 where nothing was."""
    found = yield Ask(_PRUNED_VERSION, (file_key,))
    return int(found[0][0]) if found else 0


def checkpoint_of(workspace_key: int) -> Steps[Checkpoint | None]:
    """What a pruned log begins with. A text that is no UTF-8 any more comes as one whose hash does not fit."""
    found = yield Ask(_CHECKPOINT, (workspace_key,))
    if not found:
        return None
    ((workspace_id, sequence, chain_hash, last_time, made_at, key_id, signature),) = found
    rows = yield Ask(_CHECKPOINT_FILES, (workspace_key,))
    files = tuple(
        FileAtCheckpoint(file_key, file_id, version, horizon, _bytes(content).decode(errors="replace"), digest, runs)
        for file_key, file_id, version, horizon, content, digest, runs in rows
    )
    return Checkpoint(
        workspace_key, workspace_id, sequence, chain_hash, last_time, made_at, files, key_id, bytes(signature)
    )


def wrongly_listed(workspace_key: int) -> Steps[list[int]]:
    """The first sequences of segments of a tree that hold other files than it is kept of them. Takes its time."""
    wrong: list[int] = []
    if not (yield from _is_tree(workspace_key)):
        return wrong
    for segment_key in (yield from segments_of(workspace_key, 2**62, ZLIB)):
        rows = yield from _unpacked(segment_key)
        parts = yield Ask(_FILE_PARTS, (segment_key,))
        if files_of(rows) != [FilePart(*part) for part in parts]:
            wrong.append(rows[0].sequence)
    return wrong


def _is_tree(workspace_key: int) -> Steps[bool]:
    found = yield Ask(_KIND, (workspace_key,))
    return bool(found) and found[0][0] == "workspace"


def segment_ends(workspace_key: int) -> Steps[list[int]]:
    """The last sequences of the segments that hold whole entries, in order."""
    found = yield Ask(_ENDS, (workspace_key,))
    return [last for (last,) in found]


def prunable(default_days: int, after_key: int, limit: int) -> Steps[list[tuple[str, int | None]]]:
    """Id and days of workspaces that are not held and not kept for ever, by key."""
    found = yield Ask(_PRUNABLE, (after_key, default_days, limit))
    return [(workspace_id, days) for workspace_id, days in found]


class Stripped(NamedTuple):
    """A segment and what is to be left of it."""

    segment_key: int
    checksum: bytes
    left: Packed


def stripped(workspace_key: int, through: int) -> Steps[list[Stripped]]:
    """What is to be left of the segments up to a sequence that hold whole entries. Takes its time."""
    found: list[Stripped] = []
    for segment_key in (yield from segments_of(workspace_key, through, ZLIB)):
        whole = yield from segment(segment_key)

        def work(segment_key: int = segment_key, whole: Packed = whole) -> Stripped:
            try:
                return Stripped(segment_key, whole.checksum, strip(whole, unpack(whole)))
            except ValueError as error:
                raise Damaged(str(error)) from error

        made = yield Work(work)
        found.append(made)
    return found


def prune(checkpoint: Checkpoint, retained: Retained, parts: list[Stripped], forget_ids: bool) -> Steps[bool]:
    """Puts a checkpoint in the place of all that is before it; to be undone where it returns False: the retention or
    the segments are others by now."""
    key, sequence = checkpoint.workspace_key, checkpoint.sequence
    found = yield Ask(_RETAINED, (key,))
    days, held = found[0] if found else (None, False)
    if held or days != retained.days or (yield from pruned_sequence(key)) > sequence:
        return False
    for part in parts:
        left = part.left
        arguments = left.format, left.checksum, left.content, part.segment_key, part.checksum
        if (yield Change(_STRIP, arguments)) != 1:
            return False
    if (yield from last_closed(key)) < sequence:
        return False
    yield Each(_FORGET_FILE_PARTS, [(part.segment_key,) for part in parts])
    values = (key, sequence, checkpoint.chain_hash, checkpoint.last_time, checkpoint.made_at)
    yield Change(_INSERT_CHECKPOINT, (*values, checkpoint.key_id, checkpoint.signature))
    files = [(file.file_key, key, file.version, file.horizon, *_of_text(file)) for file in checkpoint.files]
    yield Each(_INSERT_CHECKPOINT_FILE, files)
    yield Change(_OLD_SNAPSHOTS, (sequence, key))
    if forget_ids:
        yield Change(_FORGET_RUNS, (key, sequence))
        yield Change(_FORGET_IDS, (key, sequence))
    return True


def _of_text(file: FileAtCheckpoint) -> tuple[bytes, bytes, bytes]:
    return file.content.encode(), file.content_hash, file.attribution


def _bytes(stored: bytes | str) -> bytes:
    """SQLite keeps a text where somebody has put one in place of the bytes."""
    return stored.encode() if isinstance(stored, str) else stored
