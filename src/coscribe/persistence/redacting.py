"""Redaction in a database: the rows, segments, snapshots, checkpoint and files of one log, in one transaction.

What becomes of each entry `documents.redaction` says. An entry's new salt is the seal of what was committed and a fresh
salt; its digest of the request is another one, too, for whoever has the database could try texts against it. What
is left of the old rows in the files of a database is for whoever calls this (see `access.redactions`).

All raise what `StoredLog` raises, and ValueError or CoscribeError where the log does not fit its hash chain: then
nothing has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, exists, insert, literal, select, update

from coscribe.core.tree import Tree
from coscribe.documents.audit import Audit
from coscribe.documents.checkpoints import Checkpoint, Signer, signed
from coscribe.documents.redaction import Finder, Others, Pattern, Place, Rewriter, fill, node_of, renamed
from coscribe.model import (
    SALT_BYTES,
    SEAL_BYTES,
    TOMBSTONE_BYTES,
    File,
    LogEntry,
    Workspace,
    content_hash,
    seal,
)
from coscribe.persistence.logs import put_files
from coscribe.persistence.schema import (
    checkpoint_files,
    file_blobs,
    file_operation_log,
    file_snapshots,
    files,
    log_checkpoints,
    log_segments,
)
from coscribe.persistence.segments import Row, pack, unpack
from coscribe.persistence.stored import StoredLog

PAGE = 1_000
"""Entries that are read at a time, on the way back."""


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
    log: StoredLog,
    workspace: Workspace,
    pattern: Pattern,
    progress: Callable[[int], None] = lambda _: None,
) -> Found:
    """Looks at every version of every file, and at every name. Raises ValueError where the log is damaged."""
    begin = log.checkpoint(workspace.key)
    texts = _last_texts(log, workspace, begin, progress)
    root = workspace.root
    finder = Finder(pattern, texts)
    for entry in _backwards(log, workspace, 0 if begin is None else begin.sequence):
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


def prepare(log: StoredLog, workspace: Workspace, pattern: Pattern, found: Found, blobs: Mapping[str, str]) -> Prepared:
    """Works out what a log becomes; writes nothing. ``blobs``: the contents to put in the place of others, by hash;
    they are in the store. What is in the present texts has to be out of them before: by operations like any other."""
    begin = log.checkpoint(workspace.key)
    others = Others(renamed(pattern, found.names), blobs)
    texts = {}
    if begin is not None:
        begin = _filled(begin, found.begun)
        texts = {file.file_key: file.content for file in begin.files}
    rewriter = Rewriter(found.marks, others, texts, Tree(folds_case=workspace.folds_case))
    root = workspace.root
    wanted: dict[int, list[tuple[int, int]]] = {}
    kept = file_snapshots.c
    for sequence, snapshot_key, file_key in log.connection.execute(
        select(kept.sequence, kept.snapshot_key, kept.file_key)
        .join(files, files.c.file_key == kept.file_key)
        .where(files.c.workspace_key == workspace.key)
    ):
        wanted.setdefault(sequence, []).append((snapshot_key, file_key))
    changed: dict[int, tuple[bytes, bytes, bytes]] = {}
    seals: list[tuple[int, str]] = []
    contents: list[tuple[bytes, bytes, int]] = []

    def at(sequence: int) -> None:
        for snapshot_key, file_key in wanted.pop(sequence, ()):
            content = rewriter.content(file_key, is_tree=root is not None and file_key == root.key)
            contents.append((content.encode(), content_hash(content), snapshot_key))

    at(0 if begin is None else begin.sequence)
    for entry in log.entries(workspace.key):
        payload = rewriter.entry(entry)
        if payload is not entry.payload:
            salt = os.urandom(SALT_BYTES)
            changed[entry.sequence] = payload, _kept_seal(entry) + salt, os.urandom(len(entry.request))
            seals.append((entry.sequence, seal(salt, payload).hex()))
        at(entry.sequence)
    unknown = [snapshot_key for left in wanted.values() for snapshot_key, _ in left]
    nodes = [file for file in workspace.files if file.node is not None]
    now = [file._replace(node=node_of(file.node, others)) for file in nodes if file.node is not None]
    nodes = [other for file, other in zip(nodes, now, strict=True) if other != file]
    segments = list(_segments(log, workspace, changed))
    return Prepared(changed, seals, segments, contents, unknown, nodes, blobs, begin if found.begun else None)


def write(log: StoredLog, workspace_key: int, prepared: Prepared, signer: Callable[[], Signer]) -> int:
    """Puts it in place, within the caller's transaction; nothing has been written to the log since it was worked out.
    Returns how many snapshots are others."""
    connection = log.connection
    if prepared.begin is not None:
        _write_checkpoint(connection, signed(prepared.begin, signer()))
    entry, segment, snapshot = file_operation_log.c, log_segments.c, file_snapshots.c
    for key in prepared.unknown:
        connection.execute(delete(file_snapshots).where(snapshot.snapshot_key == key))
    if prepared.rows:
        connection.execute(
            update(file_operation_log)
            .where(entry.workspace_key == workspace_key, entry.sequence == bindparam("at"))
            .values(payload=bindparam("new_payload"), salt=bindparam("new_salt"), request=bindparam("new_request")),
            [
                {"at": sequence, "new_payload": payload, "new_salt": salt, "new_request": request}
                for sequence, (payload, salt, request) in prepared.rows.items()
            ],
        )
    for checksum, content, key in prepared.segments:
        mine = update(log_segments).where(segment.segment_key == key)
        connection.execute(mine.values(checksum=checksum, content=content))
    snapshots = 0
    for content, hashed, key in prepared.contents:
        other = update(file_snapshots).where(snapshot.snapshot_key == key, snapshot.content_hash != hashed)
        snapshots += connection.execute(other.values(content=content, content_hash=hashed)).rowcount
    log.run(put_files(workspace_key, prepared.files))
    for old, new in prepared.blobs.items():
        _put_blob(connection, workspace_key, old, new)
    return snapshots


def _put_blob(connection: Connection, workspace_key: int, old: str, new: str) -> None:
    """One in the place of another, for whichever files had that."""
    of, other = file_blobs.c, file_blobs.alias()
    mine = of.workspace_key == workspace_key, of.hash == old
    is_there = exists().where(
        other.c.workspace_key == workspace_key, other.c.hash == new, other.c.file_key == of.file_key
    )
    rows = select(of.workspace_key, literal(new), of.file_key, of.size).where(*mine, ~is_there)
    connection.execute(insert(file_blobs).from_select(["workspace_key", "hash", "file_key", "size"], rows))
    connection.execute(delete(file_blobs).where(*mine))


def _kept_seal(entry: LogEntry) -> bytes:
    """Of what was committed, however often it was redacted."""
    return entry.salt[:SEAL_BYTES] if len(entry.salt) == TOMBSTONE_BYTES else seal(entry.salt, entry.payload)


def _last_texts(
    log: StoredLog, workspace: Workspace, begin: Checkpoint | None, progress: Callable[[int], None]
) -> dict[int, str]:
    """The texts that the log leads to. Raises ValueError where it does not fit."""
    audit = Audit(workspace, begin=begin)
    for entry in log.entries(workspace.key):
        audit.entry(entry)
        progress(1)
    report = audit.finish()
    for finding in report.findings:
        raise ValueError(f"the log does not fit at sequence {finding.sequence}: {finding.detail}")
    root = workspace.root
    return {file.key: audit.reached(file.key)[0] for file in workspace.files if root is None or file.key != root.key}


def _backwards(log: StoredLog, workspace: Workspace, begin: int) -> Iterator[LogEntry]:
    """The entries, the last one first."""
    through = workspace.last_sequence
    while through > begin:
        after = max(begin, through - PAGE)
        yield from reversed(list(log.entries(workspace.key, after=after, through=through)))
        through = after


def _filled(begin: Checkpoint, masks: dict[int, str]) -> Checkpoint:
    """A checkpoint whose texts are filled; not signed yet."""
    files = []
    for file in begin.files:
        content = fill(file.content, masks[file.file_key]) if file.file_key in masks else file.content
        files.append(file._replace(content=content, content_hash=content_hash(content)))
    return begin._replace(files=tuple(files))


def _write_checkpoint(connection: Connection, checkpoint: Checkpoint) -> None:
    of, file_of = log_checkpoints.c, checkpoint_files.c
    mine = update(log_checkpoints).where(of.workspace_key == checkpoint.workspace_key)
    connection.execute(mine.values(key_id=checkpoint.key_id, signature=checkpoint.signature))
    for file in checkpoint.files:
        at = update(checkpoint_files).where(file_of.file_key == file.file_key)
        connection.execute(at.values(content=file.content.encode(), content_hash=file.content_hash))


def _segments(
    log: StoredLog, workspace: Workspace, changed: dict[int, tuple[bytes, bytes, bytes]]
) -> Iterator[tuple[bytes, bytes, int]]:
    file_ids = {file.key: file.file_id for file in workspace.files}
    previous = workspace.pruned.chain_hash
    for segment_key, packed in log.segments(workspace.key):
        before, previous = previous, packed.chain_hash
        if any(packed.first_sequence <= sequence <= packed.last_sequence for sequence in changed):
            again = pack(workspace.key, [_row(row, changed) for row in unpack(packed)], before, file_ids)
            yield again.checksum, again.content, segment_key


def _row(row: Row, changed: dict[int, tuple[bytes, bytes, bytes]]) -> Row:
    if row.sequence not in changed:
        return row
    payload, salt, request = changed[row.sequence]
    return row._replace(payload=payload, salt=salt, request=request)
