"""Stored records, how an operation is written into the log, and the hash chain over it.

    digest(n) = SHA-256( digest(n-1) || metadata(n) || SHA-256( salt(n) || payload(n) ) )

The metadata is everything of an entry but its payload; authors are opaque references in it. Because the payload goes
in only as a salted digest, a payload can be destroyed later (redaction) and the chain still verifies: what is put in
its place has a longer salt, that begins with that digest. Who has done so, and what is there now, is signed (`proofs`).
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
from coscribe.core.tree import Change, Effect, NodeState, Tree
from coscribe.core.tree_state import CommittedEffect

GENESIS = bytes(32)
"""The chain hash before the first entry."""

SALT_BYTES = 16
SEAL_BYTES = 32
TOMBSTONE_BYTES = SEAL_BYTES + SALT_BYTES
"""The salt of an entry that was redacted: SHA-256(salt || payload) as it was committed, and another salt."""


class File(NamedTuple):
    """A file of a workspace. ``key`` is the row's number, ``file_id`` the public name.

    ``path``: of a document's one file. ``node``: its place in a tree, from which its path follows; None: it has none,
    for it is a document's file, or the root of a tree, or was purged.
    """

    key: int
    file_id: str
    path: str
    node: NodeState | None = None


FILES = 1 << 24
"""Files that a workspace can ever have, those that were purged among them."""


def file_key(workspace_key: int, number: int) -> int:
    """The key of a workspace's file by its number. The first is 0: of a document its file, else the root.

    So an owner gives out keys without asking anybody. (Keys from before there were trees are numbered over all
    documents, and smaller than any of these.)
    """
    assert 0 <= number < FILES
    return workspace_key * FILES + number


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

    ``kind``: ``document``, which has one file, or ``workspace``, which has a tree: the file of the same name as the
    workspace is its root. ``covered``: every file has a snapshot that holds all of it up to there; None: not known.
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
    kind: str = "document"
    folds_case: bool = False
    covered: int | None = None

    @property
    def root(self) -> File | None:
        """The file whose entries are those of the tree; None: there is no tree."""
        if self.kind == "document":
            return None
        return next(file for file in self.files if file.file_id == self.workspace_id)

    def tree(self) -> Tree:
        """The tree as its rows say it is. Errors: ``file_damaged``: they are no tree."""
        nodes = ((file.file_id, file.node) for file in self.files if file.node is not None)
        return Tree.of(nodes, folds_case=self.folds_case)


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
    """The text of a file at a version and a sequence; ``content_hash`` is the SHA-256 of its UTF-8 form.

    ``digest``: of the entry at that sequence; b"": it has to be looked up."""

    file_key: int
    version: int
    sequence: int
    content: str
    content_hash: bytes
    digest: bytes = b""


class Payload(msgspec.Struct, array_like=True, gc=False):
    """What an entry did: components (deletes with their text), the sequences that it brings back, and where what it
    inserts is from, as its author has said (decision 20): ``paste``; ``""``: nothing was said."""

    components: list[int | str | tuple[str]]
    restores: list[int] = []
    origin: str = ""


_StoredNode = tuple[str, str, str, bool, str, list[tuple[str, str]]]


class Decoded(NamedTuple):
    """A payload of a text's entry, every delete knowing its text."""

    components: Components
    restores: tuple[int, ...]
    origin: str


class TreePayload(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """What an entry did to the tree: of each node, what it was and what it is. Only the effect, never the request."""

    tree: list[tuple[str, _StoredNode | None, _StoredNode | None]]
    restores: list[int] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Payload).decode
_decode_tree = msgspec.json.Decoder(TreePayload).decode
_METADATA = struct.Struct(">QQQQqHH")


def content_hash(text: str) -> bytes:
    """SHA-256 of the UTF-8 text."""
    return sha256(text.encode()).digest()


def request_digest(secret: bytes, message: bytes) -> bytes:
    """16 bytes that tell whether two requests were the same; keyed, so that they do not give the text away."""
    return blake2b(message, digest_size=16, key=secret).digest()


def encode_payload(operation: Operation, removed: str, restores: tuple[int, ...], origin: str = "") -> bytes:
    """JSON: ``[[retain | inserted | [deleted text], ...], [restored sequence, ...], origin]``, the last only where
    there is one: else it is, byte for byte, what it has always been."""
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
    return _encode((parts, restores, origin) if origin else (parts, restores))


def decode_payload(payload: bytes) -> Decoded:
    """Raises ValueError."""
    stored = _decode(payload)
    parts: list[Component] = []
    for part in stored.components:
        parts.append(Delete(len(part[0]), part[0]) if isinstance(part, tuple) else part)
    return Decoded(normalise(parts), tuple(stored.restores), stored.origin)


def encode_effect(effect: Effect, restores: tuple[int, ...] = ()) -> bytes:
    """JSON: ``{"tree": [[fileId, before, after], ...]}``; a node is an array of its fields, null where it is none."""
    changes = [(file_id, _stored(before), _stored(after)) for file_id, before, after in effect.changes]
    return _encode(TreePayload(changes, list(restores)))


def is_of_tree(payload: bytes) -> bool:
    """Whether a payload is one of a tree's: it is an object, a text's an array."""
    return payload[:1] == b"{"


def decode_effect(payload: bytes) -> tuple[Effect, tuple[int, ...]]:
    """The effect, and the restored sequences. Raises ValueError."""
    stored = _decode_tree(payload)
    changed = tuple(Change(file_id, _node(before), _node(after)) for file_id, before, after in stored.tree)
    return Effect(changed), tuple(stored.restores)


def _stored(node: NodeState | None) -> _StoredNode | None:
    if node is None:
        return None
    return node.parent_id, node.name, node.kind, node.trashed, node.content, list(node.properties)


def _node(stored: _StoredNode | None) -> NodeState | None:
    return None if stored is None else NodeState(*stored[:5], tuple(stored[5]))


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
    sealed = salt[:SEAL_BYTES] if len(salt) == TOMBSTONE_BYTES else seal(salt, payload)
    return sha256(previous + metadata + file_id + operation_id + sealed).digest()


def seal(salt: bytes, payload: bytes) -> bytes:
    """As what a payload goes into the chain."""
    return sha256(salt + payload).digest()


def committed_from(entry: LogEntry) -> Committed:
    """The core's form of a log entry."""
    parts, restores, origin = decode_payload(entry.payload)
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
        origin,
    )
    committed.digest = entry.digest
    return committed


def effect_from(entry: LogEntry) -> CommittedEffect:
    """The core's form of a log entry of a tree. Raises ValueError."""
    effect, restores = decode_effect(entry.payload)
    committed = CommittedEffect(entry.sequence, entry.operation_id, entry.author, entry.request, effect, restores)
    committed.digest = entry.digest
    return committed
