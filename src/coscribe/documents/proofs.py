"""What a server signs, so that somebody who does not trust it can hold it to what it has said.

    audit checkpoint n --previous--> n - 1 --> ... --> 1      a chain of its own, one for each workspace
        |                |
        | chain hash     | event digest
        v                v
    log at a sequence    access events so far; those about the workspace once more by themselves

An audit checkpoint deletes nothing and stands for nothing (that is `checkpoints`): it says how far a log and the access
events had come, and by their digests what they were. Whoever keeps one outside can show later that history is another
one now, even if everything inside fits. The server's key may change: a `KeyChange` is signed by the key before and by
the one after, so whoever trusts either can follow.

Everything that is signed is JSON without spaces, its fields in the order below; what somebody keeps is that and the
signature. No I/O here, and no cryptography but SHA-256: `Signer` and `Verifier` bring that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.checkpoints import Signer
from coscribe.model import GENESIS

CHECKPOINT_FORMAT = "coscribe-audit-checkpoint-1"
KEY_FORMAT = "coscribe-key-change-1"
REDACTION_FORMAT = "coscribe-redaction-1"

Verifier = Callable[[bytes, bytes, bytes], bool]
"""Whether a public key (32 bytes) has signed a statement with a signature."""


class AuditCheckpoint(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """``event``: the number of the last access event of the server, ``own_events``: how many were about the workspace,
    ``own_digest``: see `fold`. ``made_at`` in microseconds since 1970. ``previous``: digest of the checkpoint before.
    All digests in hex."""

    format: str
    workspace_id: str
    incarnation: str
    number: int
    sequence: int
    chain_hash: str
    event: int
    event_digest: str
    own_events: int
    own_digest: str
    made_at: int
    previous: str
    key_id: str
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return _signed_part(self)

    @property
    def digest(self) -> str:
        return sha256(self.statement()).hexdigest()


class KeyChange(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """``before`` and ``after`` are public keys in hex, the signatures those of both."""

    format: str
    before: str
    after: str
    made_at: int
    signature: str = ""
    counter_signature: str = ""

    def statement(self) -> bytes:
        """What both sign."""
        return msgspec.json.encode([self.format, self.before, self.after, self.made_at])


class Redaction(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """Payloads that were replaced: who did it, when, why, and by sequence the seal of what is there now, in hex. (It is
    salted, so that it does not give away what a later redaction takes out.)"""

    format: str
    redaction_id: str
    workspace_id: str
    actor: str
    made_at: int
    reason: str
    entries: list[tuple[int, str]]
    key_id: str
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return _signed_part(self)

    @property
    def digest(self) -> str:
        return sha256(self.statement()).hexdigest()


class Reached(NamedTuple):
    """How far a workspace has come: its log, the access events of the server, and those about it alone."""

    workspace_id: str
    incarnation: str
    sequence: int
    chain_hash: bytes
    event: int
    event_digest: bytes
    own_events: int
    own_digest: bytes


def checkpoint_at(reached: Reached, before: AuditCheckpoint | None, made_at: int, signer: Signer) -> AuditCheckpoint:
    """The next checkpoint of a workspace, signed."""
    made = AuditCheckpoint(
        CHECKPOINT_FORMAT,
        reached.workspace_id,
        reached.incarnation,
        1 if before is None else before.number + 1,
        reached.sequence,
        reached.chain_hash.hex(),
        reached.event,
        reached.event_digest.hex(),
        reached.own_events,
        reached.own_digest.hex(),
        made_at,
        GENESIS.hex() if before is None else before.digest,
        signer.key_id,
    )
    return msgspec.structs.replace(made, signature=signer.sign(made.statement()).hex())


def link_event(previous: bytes, row: Mapping[str, object]) -> bytes:
    """The digest of an access event; ``row`` as it is stored, without id and digest."""
    return sha256(previous + json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).digest()


def fold(digest: bytes, events: Iterable[bytes]) -> bytes:
    """The digest over the digests of access events that are about one workspace, one after the other: with it those can
    be checked without seeing what happened elsewhere."""
    for event in events:
        digest = sha256(digest + event).digest()
    return digest


def seals_of(redactions: Iterable[Redaction]) -> dict[int, str]:
    """The seals of what was put in place of payloads, by sequence; redactions in the order in which they were done."""
    return {sequence: seal for redaction in redactions for sequence, seal in redaction.entries}


def read_checkpoint(content: bytes | str) -> AuditCheckpoint:
    """A checkpoint that somebody has kept. Errors: ``invalid_request``."""
    try:
        found = msgspec.json.decode(content, type=AuditCheckpoint)
    except msgspec.MsgspecError as error:
        raise CoscribeError(Code.INVALID_REQUEST, f"it is no audit checkpoint: {error}") from None
    if found.format != CHECKPOINT_FORMAT:
        raise CoscribeError(Code.INVALID_REQUEST, f"it is no audit checkpoint, but {found.format!r}")
    return found


def key_id(public: bytes) -> str:
    """What a public key is called."""
    return sha256(public).hexdigest()[:16]


class Ring:
    """Public keys that are trusted: the one that was kept, and those that changes of the key lead to from there."""

    def __init__(self, kept: bytes, changes: Iterable[KeyChange], verifier: Verifier) -> None:
        self._verifier = verifier
        self._keys = {key_id(kept): kept}
        left = [change for change in changes if _is_signed(change, verifier)]
        while followed := [change for change in left if self._knows(change.before) != self._knows(change.after)]:
            for change in followed:
                for public in (change.before, change.after):
                    self._keys[key_id(bytes.fromhex(public))] = bytes.fromhex(public)
            left = [change for change in left if change not in followed]

    def refute(self, key: str, statement: bytes, signature: bytes) -> str:
        """What is wrong with a signature by the key of that id; empty if nothing is."""
        public = self._keys.get(key)
        if public is None:
            return f"it was signed with the key {key}, this is {', '.join(self._keys)}"
        fits = self._verifier(public, statement, signature)
        return "" if fits else "its signature does not fit: it is not what was signed"

    def refute_checkpoint(self, checkpoint: AuditCheckpoint) -> str:
        return self.refute(checkpoint.key_id, checkpoint.statement(), _bytes(checkpoint.signature))

    def refute_redaction(self, redaction: Redaction) -> str:
        if redaction.format != REDACTION_FORMAT:
            return f"its format is {redaction.format!r}"
        return self.refute(redaction.key_id, redaction.statement(), _bytes(redaction.signature))

    def _knows(self, public: str) -> bool:
        return key_id(bytes.fromhex(public)) in self._keys


def break_between(before: AuditCheckpoint | None, after: AuditCheckpoint) -> str:
    """Why a checkpoint cannot follow the one before; empty if it can."""
    if before is None:
        first = after.number == 1 and after.previous == GENESIS.hex()
        return "" if first else "the ones before it are missing"
    if after.number != before.number + 1:
        return f"it comes behind number {before.number}"
    if after.previous != before.digest:
        return f"it does not hang on number {before.number}"
    if after.sequence < before.sequence or after.event < before.event or after.own_events < before.own_events:
        return f"it says less than number {before.number}"
    return ""


def parted(kept: AuditCheckpoint, said: Iterable[AuditCheckpoint]) -> str:
    """Where a server does not stand by a checkpoint that somebody has kept; empty if it does. ``said``: its checkpoints
    of that workspace now, the newest first, as far back as the kept one: they hang together, so whatever is before that
    is what it was. (Whether the log is what they say, the audits of logs and bundles find.)"""
    after: AuditCheckpoint | None = None
    for one in said:
        broken = "" if after is None else break_between(one, after)
        if after is not None and broken:
            return f"checkpoint {after.number}: {broken}"
        if one.number <= kept.number:
            return "" if one == kept else f"checkpoint {kept.number} is another one than was kept"
        after = one
    return f"there is no checkpoint {kept.number} any more"


class Parting(NamedTuple):
    """A log and what somebody has kept of it are not the same from ``sequence`` on, or from some entry before that."""

    sequence: int
    detail: str


class Held:
    """Digests of entries that somebody holds a log to, compared as its entries pass. Only where they part first is
    told: whatever is behind it hangs on it."""

    def __init__(self) -> None:
        self._wanted: dict[int, tuple[str, str]] = {}
        self._agreed = 0
        self._parted: Parting | None = None

    def hold(self, sequence: int, chain_hash: str, source: str) -> None:
        """``source`` says so, for people to read."""
        if sequence:
            self._wanted[sequence] = (chain_hash, source)

    def pruned(self, sequence: int) -> None:
        """What is before cannot be compared any more."""
        for gone in [held for held in self._wanted if held < sequence]:
            del self._wanted[gone]

    def entry(self, sequence: int, digest: bytes) -> None:
        wanted = self._wanted.pop(sequence, None)
        if wanted is None or self._parted is not None:
            return
        chain_hash, source = wanted
        if digest.hex() == chain_hash:
            self._agreed = sequence
        else:
            self._parted = Parting(sequence, f"the log is another one than {source} says: {self._fork(sequence)}")

    def finish(self, last: int) -> Parting | None:
        """Where they part. ``last``: the sequence that the log ends at."""
        if self._parted is None and self._wanted:
            sequence = min(self._wanted)
            _, source = self._wanted[sequence]
            cut = f"the log ends at sequence {last}, {source} says {sequence}: its end was cut off"
            self._parted = Parting(sequence, cut)
        return self._parted

    def _fork(self, sequence: int) -> str:
        if self._agreed == sequence - 1:
            return f"it forks at entry {sequence}"
        return f"it forks at an entry from {self._agreed + 1} to {sequence}"


def _is_signed(change: KeyChange, verifier: Verifier) -> bool:
    """Whether both keys have signed a change, and it is one."""
    before, after = _bytes(change.before), _bytes(change.after)
    if change.format != KEY_FORMAT or len(before) != 32 or len(after) != 32:
        return False
    statement = change.statement()
    return verifier(before, statement, _bytes(change.signature)) and verifier(
        after, statement, _bytes(change.counter_signature)
    )


def _signed_part(struct: msgspec.Struct) -> bytes:
    fields: dict[str, Any] = msgspec.to_builtins(struct)
    del fields["signature"]
    return msgspec.json.encode(fields)


def _bytes(text: str) -> bytes:
    """Bytes in hex; b"" where it is none."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
