"""Stored records, how an operation is written into the log, and the hash chain over it.

    digest(n) = SHA-256( digest(n-1) || metadata(n) || SHA-256( salt(n) || payload(n) ) )

The metadata is everything of an entry but its payload; authors are opaque references in it. Because the payload goes
in only as a salted digest, a payload can be destroyed later (redaction) and the chain still verifies.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import NamedTuple

import msgspec

from coscribe.core.op_window import Committed
from coscribe.core.operation import (
    Component,
    Components,
    Delete,
    Operation,
    Splice,
    changes,
    know_deleted,
    normalise,
    simplify,
)

GENESIS = bytes(32)
"""The chain hash before the first entry."""

SALT_BYTES = 16


class File(NamedTuple):
    """A file of a workspace. ``key`` is the row's number, ``file_id`` the public name."""

    key: int
    file_id: str
    path: str


class Pruned(NamedTuple):
    """How much of a log was pruned: all up to ``sequence``, of which ``chain_hash`` is the digest. ``versions``: that
    every file had there, by key. ``horizons``: an edit of a version below that may be one whose id is forgotten."""

    sequence: int
    chain_hash: bytes
    versions: Mapping[int, int]
    horizons: Mapping[int, int]


NOTHING_PRUNED = Pruned(0, GENESIS, {}, {})


class Workspace(NamedTuple):
    """A workspace as its owner gets it: identity, fence, and how far its log has come.

    ``epoch`` is the owner's own from now on. ``secret`` keys the digests of requests. ``incarnation`` changes when a
    log is restored from a backup. ``pruned``: how much of the log was not there any more when it was asked.
    """

    key: int
    workspace_id: str
    incarnation: str
    secret: bytes
    epoch: int
    last_sequence: int
    chain_hash: bytes
    files: tuple[File, ...]
    pruned: Pruned = NOTHING_PRUNED


class LogEntry(NamedTuple):
    """One row of the operation log. ``time`` is in microseconds since 1970 (UTC); ``author`` a user id."""

    sequence: int
    file_key: int
    version: int
    base_version: int
    operation_id: str
    author: str
    author_ref: int
    request: bytes
    time: int
    payload: bytes
    salt: bytes
    digest: bytes


class FileSnapshot(NamedTuple):
    """The text of a file at a version and a sequence; ``content_hash`` is the SHA-256 of its UTF-8 form."""

    file_key: int
    version: int
    sequence: int
    content: str
    content_hash: bytes


class Payload(msgspec.Struct, array_like=True, gc=False):
    """What an entry did: components (deletes with their text), and the sequences that it brings back."""

    components: list[int | str | tuple[str]]
    restores: list[int] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Payload).decode
_METADATA = struct.Struct(">QQQQqHH")


def content_hash(text: str) -> bytes:
    """SHA-256 of the UTF-8 text."""
    return sha256(text.encode()).digest()


def request_digest(secret: bytes, message: bytes) -> bytes:
    """16 bytes that tell whether two requests were the same; keyed, so that they do not give the text away."""
    return blake2b(message, digest_size=16, key=secret).digest()


def encode_payload(operation: Operation, removed: str, restores: tuple[int, ...]) -> bytes:
    """JSON: ``[[retain | inserted | [deleted text], ...], [restored sequence, ...]]``."""
    parts: list[int | str | tuple[str]]
    if isinstance(operation, Splice):
        position, deleted, inserted = operation
        parts = [position] if position else []
        if inserted:
            parts.append(inserted)
        if deleted:
            parts.append((removed,))
    else:
        parts = [(part.text or "",) if isinstance(part, Delete) else part for part in know_deleted(operation, removed)]
    return _encode(Payload(parts, list(restores)))


def decode_payload(payload: bytes) -> tuple[Components, tuple[int, ...]]:
    """Components, every delete knowing its text, and the restored sequences."""
    stored = _decode(payload)
    parts: list[Component] = []
    for part in stored.components:
        parts.append(Delete(len(part[0]), part[0]) if isinstance(part, tuple) else part)
    return normalise(parts), tuple(stored.restores)


def link(
    previous: bytes,
    sequence: int,
    version: int,
    base_version: int,
    author_ref: int,
    time: int,
    file_id: bytes,
    operation_id: bytes,
    salt: bytes,
    payload: bytes,
) -> bytes:
    """The digest of an entry; see the module's text."""
    metadata = _METADATA.pack(sequence, version, base_version, author_ref, time, len(file_id), len(operation_id))
    sealed = sha256(salt + payload).digest()
    return sha256(previous + metadata + file_id + operation_id + sealed).digest()


def committed_from(entry: LogEntry) -> Committed:
    """The core's form of a log entry."""
    parts, restores = decode_payload(entry.payload)
    removed = "".join(part.text or "" for part in parts if isinstance(part, Delete))
    operation = simplify(tuple(Delete(part.size) if isinstance(part, Delete) else part for part in parts))
    committed = Committed(
        entry.sequence,
        entry.version,
        entry.base_version,
        changes(operation),
        entry.operation_id,
        entry.author,
        entry.request,
        operation,
        removed,
        restores,
    )
    committed.digest = entry.digest
    return committed
