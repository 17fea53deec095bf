"""An audit bundle: all that happened in a workspace up to an audit checkpoint, as JSON Lines that prove themselves.

    head                            which workspace, up to which checkpoint, and the public key of the server
    keyChange ...                   how that key came to be the one that signs
    begin                           of a log that was pruned: the checkpoint that it begins with
    redaction ...                   what was taken out of entries, by whom and why
    checkpoint ...                  audit checkpoints, the first one first
    event ...                       access events about the workspace
    entry, state, state, entry ...  the log, of texts and of the tree; states: contents of files that were stored, each
                                    behind the entry of its sequence
    end                             how many lines, the SHA-256 over all before, signed

Each line is a JSON object whose first field is its ``type`` and whose last is ``check``: 16 digits of the SHA-256 of
the line without it. The checks say which line was changed, by accident or by somebody who does not care; the signature
at the end says that nothing was, and the chains inside show what even whoever has the key cannot make fit.

Lines are made and read one at a time; of the same state and up to the same checkpoint they are the same bytes. Digests,
salts and signatures are in hex, times in microseconds since 1970. A payload is the stored text, see
`History.log`; the digest of an event is over ``previous`` and the event, see `proofs.link_event`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint, Signer
from coscribe.documents.proofs import AuditCheckpoint, KeyChange, Redaction
from coscribe.model import FileSnapshot, LogEntry

FORMAT = "coscribe-audit-1"

_CHECK = b',"check":"'
_DIGITS = 16
_TAIL = len(_CHECK) + _DIGITS + len(b'"}\n')


class _Line(msgspec.Struct, rename="camel", tag_field="type", forbid_unknown_fields=True, gc=False):
    pass


class Head(_Line, tag="head"):
    """``checkpoint``: the number of the one that the bundle goes up to, ``sequence`` what that says."""

    format: str
    workspace_id: str
    kind: str
    folds_case: bool
    checkpoint: int
    sequence: int
    key_id: str
    public_key: str


class KeyLine(_Line, tag="keyChange"):
    change: KeyChange


class BeginFile(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    file_id: str
    version: int
    horizon: int
    content: str
    content_hash: str
    attribution: str


class Begin(_Line, tag="begin"):
    """As `checkpoints.Checkpoint`, whose statement the signature is about."""

    sequence: int
    chain_hash: str
    last_time: int
    made_at: int
    files: list[BeginFile]
    key_id: str
    signature: str


class CheckpointLine(_Line, tag="checkpoint"):
    checkpoint: AuditCheckpoint


class RedactionLine(_Line, tag="redaction"):
    redaction: Redaction


class Event(_Line, tag="event"):
    """An access event as it is stored; ``previous``: the digest of the one before it on the server."""

    event_id: int
    previous: str
    time: int
    actor: str
    action: str
    outcome: str
    workspace_id: str
    subject: str
    address: str
    request_id: str
    detail: str
    digest: str

    def stored(self) -> dict[str, Any]:
        """The row that its digest is over."""
        names = ("time", "actor", "action", "outcome", "workspace_id", "subject", "address", "request_id", "detail")
        return {name: getattr(self, name) for name in names}


class Entry(_Line, tag="entry"):
    """``author`` is what the reference stands for today; the chain knows only the reference."""

    sequence: int
    file_id: str
    version: int
    base_version: int
    operation_id: str
    author: str
    author_ref: int
    time: int
    payload: str
    salt: str
    digest: str


class State(_Line, tag="state"):
    """What was stored of a file as it was at a sequence."""

    sequence: int
    file_id: str
    version: int
    content: str
    content_hash: str


class End(_Line, tag="end"):
    """``lines`` before this one, and the SHA-256 over them."""

    lines: int
    digest: str
    key_id: str
    signature: str


Line = Head | KeyLine | Begin | RedactionLine | CheckpointLine | Event | Entry | State | End

_decode = msgspec.json.Decoder(Line).decode


class Writer:
    """Makes the lines of one bundle."""

    def __init__(self, workspace_id: str, signer: Signer) -> None:
        self._workspace_id = workspace_id
        self._signer = signer
        self._lines = 0
        self._hash = sha256()

    def line(self, line: Line) -> bytes:
        written = _encoded(line)
        self._lines += 1
        self._hash.update(written)
        return written

    def end(self) -> bytes:
        digest = self._hash.hexdigest()
        signature = self._signer.sign(end_statement(self._workspace_id, self._lines, digest))
        return _encoded(End(self._lines, digest, self._signer.key_id, signature.hex()))


def end_statement(workspace_id: str, lines: int, digest: str) -> bytes:
    """What the last line is signed for."""
    return msgspec.json.encode([FORMAT, workspace_id, lines, digest])


def read_line(written: bytes) -> tuple[Line | None, str]:
    """A line, as far as it can be read, and what is wrong with it; "": nothing."""
    body = written[:-_TAIL] + b"}"
    ended = written[-_TAIL : -_TAIL + len(_CHECK)] == _CHECK and written[-3:] == b'"}\n'
    wrong = ""
    if not ended:
        wrong = "it does not end as a line does"
        body = written.rstrip(b"\n")
    elif written[-_TAIL + len(_CHECK) : -3] != _check(body):
        wrong = "it is not what was written: its check does not fit"
    try:
        return _decode(body), wrong
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return None, wrong or f"it cannot be read: {error}"


def entry_line(entry: LogEntry, file_id: str) -> Entry:
    return Entry(
        entry.sequence,
        file_id,
        entry.version,
        entry.base_version,
        entry.operation_id,
        entry.author,
        entry.author_ref,
        entry.time,
        entry.payload.decode(errors="replace"),
        entry.salt.hex(),
        entry.digest.hex(),
    )


def entry_of(line: Entry, file_key: int) -> LogEntry:
    """Raises ValueError where salt or digest are no bytes."""
    return LogEntry(
        line.sequence,
        file_key,
        line.version,
        line.base_version,
        line.operation_id,
        line.author,
        line.author_ref,
        b"",
        line.time,
        line.payload.encode(),
        bytes.fromhex(line.salt),
        bytes.fromhex(line.digest),
    )


def state_line(snapshot: FileSnapshot, file_id: str) -> State:
    return State(snapshot.sequence, file_id, snapshot.version, snapshot.content, snapshot.content_hash.hex())


def begin_line(checkpoint: Checkpoint) -> Begin:
    files = [
        BeginFile(
            file.file_id,
            file.version,
            file.horizon,
            file.content,
            file.content_hash.hex(),
            file.attribution.hex(),
        )
        for file in checkpoint.files
    ]
    return Begin(
        checkpoint.sequence,
        checkpoint.chain_hash.hex(),
        checkpoint.last_time,
        checkpoint.made_at,
        files,
        checkpoint.key_id,
        checkpoint.signature.hex(),
    )


def begin_of(line: Begin, workspace_id: str, keys: Mapping[str, int]) -> Checkpoint:
    """``keys``: by file id. Raises ValueError."""
    files = tuple(
        FileAtCheckpoint(
            keys[file.file_id],
            file.file_id,
            file.version,
            file.horizon,
            file.content,
            bytes.fromhex(file.content_hash),
            bytes.fromhex(file.attribution),
        )
        for file in line.files
    )
    signature = bytes.fromhex(line.signature)
    chain_hash = bytes.fromhex(line.chain_hash)
    return Checkpoint(
        0, workspace_id, line.sequence, chain_hash, line.last_time, line.made_at, files, line.key_id, signature
    )


def _encoded(line: Line) -> bytes:
    body = msgspec.json.encode(line)
    return b"%b%b%b%b" % (body[:-1], _CHECK, _check(body), b'"}\n')


def _check(body: bytes) -> bytes:
    return sha256(body).hexdigest()[:_DIGITS].encode()
