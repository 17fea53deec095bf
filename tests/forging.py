"""An operator who has the database and the key, and another past in mind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from coscribe.config import Settings
from coscribe.core.operation import Delete
from coscribe.core.text_buffer import TextBuffer
from coscribe.documents.proofs import AuditCheckpoint, Reached, checkpoint_at
from coscribe.model import GENESIS, content_hash, decode_payload, encode_payload, link
from coscribe.persistence.signing import signing_key
from coscribe.persistence.stored import stored_in


def rewrite(folder: Path, document_id: str, sequence: int, insert: str) -> None:
    """Makes an entry of a document one that has inserted something else, of the same length; computes every digest,
    text and snapshot behind it anew, and signs every checkpoint again. Inside, everything fits."""
    with closing(sqlite3.connect(Settings(folder=folder).database)) as db, db:
        (key,) = db.execute("SELECT workspace_key FROM workspaces WHERE workspace_id = ?", (document_id,)).fetchone()
        (file_key,) = db.execute("SELECT file_key FROM files WHERE workspace_key = ?", (key,)).fetchone()
        digest, text, digests, texts = GENESIS, TextBuffer(""), {0: GENESIS}, {0: ""}
        for entry in list(stored_in(db).entries(key)):
            payload = entry.payload
            parts, restores, origin = decode_payload(payload)
            if entry.sequence == sequence:
                parts = tuple(insert if isinstance(part, str) else part for part in parts)
                assert all(not isinstance(part, Delete) for part in parts)
                payload = encode_payload(parts, "", restores, origin)
            digest = link(
                digest,
                entry.sequence,
                entry.version,
                entry.base_version,
                entry.author_ref,
                entry.time,
                document_id.encode(),
                entry.operation_id.encode(),
                entry.salt,
                payload,
            )
            text.apply(parts)
            digests[entry.sequence], texts[entry.sequence] = digest, str(text)
            db.execute(
                "UPDATE file_operation_log SET payload = ?, digest = ? WHERE workspace_key = ? AND sequence = ?",
                (payload, digest, key, entry.sequence),
            )
        db.execute("UPDATE heads SET chain_hash = ? WHERE workspace_key = ?", (digest, key))
        for (at,) in db.execute("SELECT sequence FROM file_snapshots WHERE file_key = ?", (file_key,)).fetchall():
            db.execute(
                "UPDATE file_snapshots SET content = ?, content_hash = ?, digest = ?"
                " WHERE file_key = ? AND sequence = ?",
                (texts[at].encode(), content_hash(texts[at]), digests[at], file_key, at),
            )
        before: AuditCheckpoint | None = None
        rows = db.execute(
            "SELECT number, content FROM audit_checkpoints WHERE workspace_key = ? ORDER BY number", (key,)
        ).fetchall()
        for number, content in rows:
            old = msgspec.json.decode(content, type=AuditCheckpoint)
            reached = Reached(
                old.workspace_id,
                old.incarnation,
                old.sequence,
                digests[old.sequence],
                old.event,
                bytes.fromhex(old.event_digest),
                old.own_events,
                bytes.fromhex(old.own_digest),
            )
            before = checkpoint_at(reached, before, old.made_at, signing_key(folder))
            db.execute(
                "UPDATE audit_checkpoints SET content = ? WHERE workspace_key = ? AND number = ?",
                (msgspec.json.encode(before).decode(), key, number),
            )
