"""Redaction in SQLite: the rows, segments, snapshots, checkpoint and files of one log, in one transaction.

What becomes of each entry `documents.redaction` says. An entry's new salt is the seal of what was committed and a fresh
salt; its digest of the request is another one, too, for whoever has the database could try texts against it. What was
in the pages that are written over is zero (``secure_delete``); VACUUM and a truncated write-ahead log do the rest.

All raise sqlite3.Error, and ValueError or CoscribeError where the log does not fit its hash chain: then nothing has
changed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from coscribe.core.tree import Tree
from coscribe.documents.audit import Audit
from coscribe.documents.checkpoints import Checkpoint, Signer, signed
from coscribe.documents.redaction import Finder, Others, Pattern, Place, Rewriter, fill, node_of, renamed
from coscribe.model import (
    GENESIS,
    SALT_BYTES,
    SEAL_BYTES,
    TOMBSTONE_BYTES,
    File,
    LogEntry,
    Workspace,
    content_hash,
    seal,
)
from coscribe.persistence.closed_log import checkpoint_of
from coscribe.persistence.segments import ZLIB, Packed, Row, pack, unpack
from coscribe.persistence.sqlite import iterate, put_files, run

PAGE = 1_000
"""Entries that are read at a time, on the way back."""

_PACKED = "workspace_key, first_sequence, last_sequence, entries, chain_hash, format, checksum, content"
_SEGMENTS = f"SELECT segment_key, {_PACKED} FROM log_segments WHERE workspace_key = ? AND format = {ZLIB}"
_BEFORE = (
    "SELECT chain_hash FROM log_segments WHERE workspace_key = ?1 AND last_sequence = ?2 UNION ALL"
    " SELECT chain_hash FROM log_checkpoints WHERE workspace_key = ?1 AND sequence = ?2"
)
_SNAPSHOTS = (
    "SELECT sequence, snapshot_key, file_key FROM file_snapshots JOIN files USING (file_key) WHERE workspace_key = ?"
)


class Found(NamedTuple):
    """Where a text is in a log. ``present``: how often in the present texts and names, ``begun``: whether in the
    checkpoint that the log begins with. ``texts``: the present ones by file key."""

    places: list[Place]
    total: int
    present: int
    begun: dict[int, str]
    marks: dict[int, str]
    names: dict[str, None]
    texts: dict[int, str]

    @property
    def is_clean(self) -> bool:
        """Whether it is in no text, and no name."""
        return not (self.total or self.present or self.begun or self.marks)


class Prepared(NamedTuple):
    """What a log becomes. ``rows``: payload, salt and digest of the request of entries, by sequence; ``seals`` of those
    payloads, in hex; ``segments``: checksum, content, key; ``contents`` of snapshots with hash and key; ``unknown``:
    snapshots of a moment that the log does not have: nobody knows what is in them. ``begin``: the checkpoint, where it
    is another one, not signed yet. ``blobs``: new hashes by old."""

    rows: dict[int, tuple[bytes, bytes, bytes]]
    seals: list[tuple[int, str]]
    segments: list[tuple[bytes, bytes, int]]
    contents: list[tuple[bytes, bytes, int]]
    unknown: list[int]
    files: list[File]
    blobs: Mapping[str, str]
    begin: Checkpoint | None


def search(
    db: sqlite3.Connection,
    workspace: Workspace,
    pattern: Pattern,
    progress: Callable[[int], None] = lambda _: None,
) -> Found:
    """Looks at every version of every file, and at every name. Raises ValueError where the log is damaged."""
    begin = run(db, checkpoint_of(workspace.key))
    texts = _last_texts(db, workspace, begin, progress)
    root = workspace.root
    finder = Finder(pattern, texts)
    for entry in _backwards(db, workspace, 0 if begin is None else begin.sequence):
        finder.take_back(entry)
        progress(1)
    begun = finder.finish()
    present = sum(len(pattern.spans(text)) for text in texts.values())
    if root is not None:
        nodes = [file.node for file in workspace.files if file.node is not None]
        names = [
            text for node in nodes for text in ((node.name, node.content) if node.kind == "symlink" else (node.name,))
        ]
        present += sum(pattern.search(name) for name in names)
    return Found(finder.places, finder.total, present, begun, finder.marks, finder.names, texts)


def prepare(
    db: sqlite3.Connection, workspace: Workspace, pattern: Pattern, found: Found, blobs: Mapping[str, str]
) -> Prepared:
    """Works out what a log becomes; writes nothing. ``blobs``: the contents to put in the place of others, by hash;
    they are in the store. What is in the present texts has to be out of them before: by operations like any other."""
    begin = run(db, checkpoint_of(workspace.key))
    others = Others(renamed(pattern, found.names), blobs)
    texts = {}
    if begin is not None:
        begin = _filled(begin, found.begun)
        texts = {file.file_key: file.content for file in begin.files}
    rewriter = Rewriter(found.marks, others, texts, Tree(folds_case=workspace.folds_case))
    root = workspace.root
    wanted: dict[int, list[tuple[int, int]]] = {}
    for sequence, snapshot_key, file_key in db.execute(_SNAPSHOTS, (workspace.key,)):
        wanted.setdefault(sequence, []).append((snapshot_key, file_key))
    changed: dict[int, tuple[bytes, bytes, bytes]] = {}
    seals: list[tuple[int, str]] = []
    contents: list[tuple[bytes, bytes, int]] = []

    def at(sequence: int) -> None:
        for snapshot_key, file_key in wanted.pop(sequence, ()):
            content = rewriter.content(file_key, is_tree=root is not None and file_key == root.key)
            contents.append((content.encode(), content_hash(content), snapshot_key))

    at(0 if begin is None else begin.sequence)
    for entry in iterate(db, workspace.key):
        payload = rewriter.entry(entry)
        if payload is not entry.payload:
            salt = os.urandom(SALT_BYTES)
            changed[entry.sequence] = payload, _kept_seal(entry) + salt, os.urandom(len(entry.request))
            seals.append((entry.sequence, seal(salt, payload).hex()))
        at(entry.sequence)
    unknown = [snapshot_key for left in wanted.values() for snapshot_key, _ in left]
    files = [file for file in workspace.files if file.node is not None]
    now = [file._replace(node=node_of(file.node, others)) for file in files if file.node is not None]
    files = [other for file, other in zip(files, now, strict=True) if other != file]
    segments = list(_segments(db, workspace, changed))
    return Prepared(changed, seals, segments, contents, unknown, files, blobs, begin if found.begun else None)


def write(db: sqlite3.Connection, workspace_key: int, prepared: Prepared, signer: Callable[[], Signer]) -> int:
    """Puts it in place, within the caller's transaction; nothing has been written to the log since it was worked out.
    Returns how many snapshots are others."""
    if prepared.begin is not None:
        _write_checkpoint(db, signed(prepared.begin, signer()))
    db.executemany("DELETE FROM file_snapshots WHERE snapshot_key = ?", [(key,) for key in prepared.unknown])
    db.executemany(
        "UPDATE file_operation_log SET payload = ?, salt = ?, request = ? WHERE workspace_key = ? AND sequence = ?",
        [(*fields, workspace_key, sequence) for sequence, fields in prepared.rows.items()],
    )
    db.executemany("UPDATE log_segments SET checksum = ?, content = ? WHERE segment_key = ?", prepared.segments)
    before = db.total_changes
    db.executemany(
        "UPDATE file_snapshots SET content = ?1, content_hash = ?2 WHERE snapshot_key = ?3 AND content_hash != ?2",
        prepared.contents,
    )
    snapshots = db.total_changes - before
    put_files(db, workspace_key, prepared.files)
    for old, new in prepared.blobs.items():
        db.execute(
            "INSERT OR IGNORE INTO file_blobs (workspace_key, hash, file_key, size)"
            " SELECT workspace_key, ?, file_key, size FROM file_blobs WHERE workspace_key = ? AND hash = ?",
            (new, workspace_key, old),
        )
        db.execute("DELETE FROM file_blobs WHERE workspace_key = ? AND hash = ?", (workspace_key, old))
    return snapshots


def _kept_seal(entry: LogEntry) -> bytes:
    """Of what was committed, however often it was redacted."""
    return entry.salt[:SEAL_BYTES] if len(entry.salt) == TOMBSTONE_BYTES else seal(entry.salt, entry.payload)


def _last_texts(
    db: sqlite3.Connection, workspace: Workspace, begin: Checkpoint | None, progress: Callable[[int], None]
) -> dict[int, str]:
    """The texts that the log leads to. Raises ValueError where it does not fit."""
    audit = Audit(workspace, begin=begin)
    for entry in iterate(db, workspace.key):
        audit.entry(entry)
        progress(1)
    report = audit.finish()
    for finding in report.findings:
        raise ValueError(f"the log does not fit at sequence {finding.sequence}: {finding.detail}")
    root = workspace.root
    return {file.key: audit.reached(file.key)[0] for file in workspace.files if root is None or file.key != root.key}


def _backwards(db: sqlite3.Connection, workspace: Workspace, begin: int) -> Iterator[LogEntry]:
    """The entries, the last one first."""
    through = workspace.last_sequence
    while through > begin:
        after = max(begin, through - PAGE)
        page: list[LogEntry] = []
        for entry in iterate(db, workspace.key, after=after):
            if entry.sequence > through:
                break
            page.append(entry)
        yield from reversed(page)
        through = after


def _filled(begin: Checkpoint, masks: dict[int, str]) -> Checkpoint:
    """A checkpoint whose texts are filled; not signed yet."""
    files = []
    for file in begin.files:
        content = fill(file.content, masks[file.file_key]) if file.file_key in masks else file.content
        files.append(file._replace(content=content, content_hash=content_hash(content)))
    return begin._replace(files=tuple(files))


def _write_checkpoint(db: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    db.execute(
        "UPDATE log_checkpoints SET key_id = ?, signature = ? WHERE workspace_key = ?",
        (checkpoint.key_id, checkpoint.signature, checkpoint.workspace_key),
    )
    db.executemany(
        "UPDATE checkpoint_files SET content = ?, content_hash = ? WHERE file_key = ?",
        [(file.content.encode(), file.content_hash, file.file_key) for file in checkpoint.files],
    )


def _segments(
    db: sqlite3.Connection, workspace: Workspace, changed: dict[int, tuple[bytes, bytes, bytes]]
) -> Iterator[tuple[bytes, bytes, int]]:
    key, file_ids = workspace.key, {file.key: file.file_id for file in workspace.files}
    for segment_key, *fields in db.execute(f"{_SEGMENTS} ORDER BY last_sequence", (key,)).fetchall():
        packed = Packed(*fields)
        if not any(packed.first_sequence <= sequence <= packed.last_sequence for sequence in changed):
            continue
        rows = [_row(row, changed) for row in unpack(packed)]
        before = db.execute(_BEFORE, (key, packed.first_sequence - 1)).fetchone()
        again = pack(key, rows, before[0] if before else GENESIS, file_ids)
        yield again.checksum, again.content, segment_key


def _row(row: Row, changed: dict[int, tuple[bytes, bytes, bytes]]) -> Row:
    if row.sequence not in changed:
        return row
    payload, salt, request = changed[row.sequence]
    return row._replace(payload=payload, salt=salt, request=request)
