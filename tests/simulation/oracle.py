"""The oracle: what must hold, checked against what is on the disk, the slow and obvious way.

It sees each append as it reaches the disk, each frame that a server sends, each message that a server is asked, and
each replica after each message. Of the core it uses nothing to decide what an operation should have become: that is
done by `tests.core.naive`, which shares no code with it.

    invariant (DESIGN)          checked
    one authority               an append continues the head of its workspace: `committed`
    durable before visible      nothing in a frame is beyond the disk: `sent`
    nothing is left out         what a connection is sent of a file has no gap: `sent`
    exactly once                an id is in a workspace's log once, its place never changes: `committed`, `sent`
    clients are not believed    what is committed is what somebody asked for, rebased: `committed`
    revocation is live          nothing that was asked for after it is committed: `committed`
    append only                 entries keep what they were, versions and sequences go up by one: `committed`
    convergence                 a replica at S has the text at S with its own pending edits on top: `replica`
    no typed text is dropped    each character is in the text, or deleted on purpose, or handed back: `Book.check`
    deterministic               the log, replayed from nothing, gives every text and its chain: `replayed`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from coscribe.client.document import Document
from coscribe.client.replica import Replica
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import apply, components
from coscribe.documents.ports import Append
from coscribe.model import GENESIS, LogEntry, content_hash, decode_payload, link
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Edit, Payload, Replacement
from tests.core import notation
from tests.core.naive import JsonOp, naive_apply, naive_normal, naive_transform


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


@dataclass(slots=True)
class Truth:
    """One file as it is on the disk. Its workspace holds no other."""

    file_id: str
    entries: list[LogEntry] = field(default_factory=list)
    operations: list[JsonOp] = field(default_factory=list)
    texts: list[str] = field(default_factory=lambda: [""])
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: dict[str, list[_Asked]] = field(default_factory=dict)

    @property
    def sequence(self) -> int:
        return len(self.entries)

    @property
    def version(self) -> int:
        return self.entries[-1].version if self.entries else 0

    def version_at(self, sequence: int) -> int:
        return self.entries[sequence - 1].version if sequence else 0

    def digest_at(self, sequence: int) -> str:
        return (self.entries[sequence - 1].digest if sequence else GENESIS).hex()


class Oracle:
    """``keys``: the file of each workspace, by its key. ``has_lied``: the disk has lost what it called durable, so from
    then on only what can still be promised is. ``denied``: since when somebody may not write."""

    def __init__(self) -> None:
        self.truths: dict[str, Truth] = {}
        self.keys: dict[int, str] = {}
        self.has_lied = False
        self.commits = 0
        self.now: Callable[[], float] = lambda: 0.0
        self.denied: dict[str, float] = {}
        self._stories: dict[tuple[object, str], int] = {}

    def truth(self, file_id: str) -> Truth:
        return self.truths.setdefault(file_id, Truth(file_id))

    # ---- what reaches a server

    def asked(self, frame: bytes, wire: object = None) -> None:
        """Remembers what somebody has asked for, whether or not the server will do it."""
        message = _decoded(frame)
        if isinstance(message, messages.Join):
            self._stories.pop((wire, message.file_id), None)
        if isinstance(message, messages.Operation):
            asked = _Asked(
                message.user_id, message.base_version, [message.operation_id], [wire_notation(message)], self.now()
            )
        elif isinstance(message, messages.Chain):
            forms = [wire_notation(element) for element in message.operations]
            ids = [element.operation_id for element in message.operations]
            asked = _Asked(message.user_id, message.base_version, ids, forms, self.now())
        else:
            return
        if any(form is None for form in asked.forms):
            return
        known = self.truth(message.file_id).asked.setdefault(asked.ids[0], [])
        if asked not in known:
            known.append(asked)

    # ---- what reaches the disk

    def committed(self, append: Append) -> None:
        truth = self.truth(self.keys[append.workspace_key])
        require(append.previous_sequence == truth.sequence, "an append does not continue the log")
        self.commits += len(append.entries)
        rest = list(append.entries)
        while rest:
            rest = rest[self._committed(truth, rest) :]
        require(append.chain_hash == truth.entries[-1].digest, "the head's hash is not that of its last entry")

    def _committed(self, truth: Truth, entries: Sequence[LogEntry]) -> int:
        """Takes in the entries of one message."""
        first = entries[0]
        # The longest first: a copy of the device may have sent the beginning of a chain alone.
        candidates = sorted(truth.asked.get(first.operation_id, []), key=lambda asked: -len(asked.ids))
        reasons: list[str] = []
        for asked in candidates:
            mine = entries[: len(asked.ids)]
            reason = self._is_answer(truth, asked, mine)
            if not reason:
                is_late = asked.at > self.denied.get(asked.user_id, asked.at)
                require(not is_late, f"{first.operation_id} was asked for when {asked.user_id} had no right any more")
                for entry in mine:
                    self._entered(truth, entry)
                return len(mine)
            reasons.append(reason)
        raise Violation(f"{first.operation_id} at {first.sequence} is not what was asked for: {reasons}")

    def _is_answer(self, truth: Truth, asked: _Asked, entries: Sequence[LogEntry]) -> str:
        """Whether the entries are what the request had to become; otherwise why not."""
        if [entry.operation_id for entry in entries] != asked.ids:
            return "other ids"
        if any(entry.author != asked.user_id for entry in entries):
            return "another author"
        changes = [
            operation
            for entry, operation in zip(truth.entries, truth.operations, strict=True)
            if entry.version > asked.base_version and operation
        ]
        version = truth.version
        for entry, form in zip(entries, asked.forms, strict=True):
            operation = form or []
            carried: list[JsonOp] = []
            for change in changes:
                after = naive_transform(change, operation, "right")
                operation = naive_transform(operation, change, "left")
                carried.append(after)
            changes = carried
            expected = naive_normal(operation)
            found = naive_normal(_stored_form(entry))
            if expected != found:
                return f"{found} instead of {expected}"
            version += bool(expected)
            if entry.version != version:
                return f"version {entry.version} instead of {version}"
        return ""

    def _entered(self, truth: Truth, entry: LogEntry) -> None:
        require(entry.sequence == truth.sequence + 1, f"sequence {entry.sequence} after {truth.sequence}")
        require(entry.operation_id not in truth.places, f"{entry.operation_id} is committed twice")
        before = truth.texts[-1]
        operation = naive_normal(_stored_form(entry))
        removed, kept = _removed(before, operation), _stored_removed(entry)
        require(removed == kept, f"the log keeps {kept!r} as deleted, it was {removed!r}")
        truth.entries.append(entry)
        truth.operations.append(operation)
        truth.texts.append(naive_apply(before, operation))
        truth.places[entry.operation_id] = (entry.sequence, entry.version)

    def forgotten(self, lengths: dict[int, int]) -> None:
        """The disk has lost the newest entries of some workspaces."""
        for key, length in lengths.items():
            truth = self.truth(self.keys[key])
            if length < truth.sequence:
                self.has_lied = True
                for entry in truth.entries[length:]:
                    del truth.places[entry.operation_id]
                del truth.entries[length:]
                del truth.operations[length:]
                del truth.texts[length + 1 :]

    # ---- what a server sends

    def sent(self, frame: bytes, wire: object = None) -> None:
        message = codec.decode_server(frame)
        if wire is not None:
            self._goes_on(wire, message)
        if isinstance(message, messages.Committed | messages.Resent):
            truth = self.truth(message.file_id)
            for operation in message.operations:
                self._shown(truth, operation)
            if message.operations:
                last = message.operations[-1].server_sequence_id
                require(message.chain_hash == truth.digest_at(last), f"a hash that is not that of {last}")
        elif isinstance(message, messages.Snapshot):
            truth = self.truth(message.file_id)
            sequence = message.snapshot_sequence_id
            require(sequence <= truth.sequence, f"a snapshot at {sequence}, the disk is at {truth.sequence}")
            require(message.content == truth.texts[sequence], f"a snapshot with another text at {sequence}")
            require(message.snapshot_version == truth.version_at(sequence), "a snapshot with another version")
            self._fates(truth, message.fates)
        elif isinstance(message, messages.Live):
            truth = self.truth(message.file_id)
            require(message.server_sequence_id <= truth.sequence, "live at what is not on the disk")
            self._fates(truth, message.fates)
        elif isinstance(message, messages.Ack):
            truth = self.truth(message.file_id)
            for place in message.operations:
                self._acknowledged(truth, place.operation_id, place.server_sequence_id, place.document_version)
        elif isinstance(message, messages.Checksum):
            truth = self.truth(message.file_id)
            sequence = message.server_sequence_id
            require(sequence <= truth.sequence, "a checksum of what is not on the disk")
            require(message.content_hash == content_hash(truth.texts[sequence]).hex(), "a checksum of another text")

    def _goes_on(self, wire: object, message: messages.ServerMessage) -> None:
        """What one connection is sent of a file is one story, from a snapshot or a join on: whoever was slow misses
        nothing, also where a client would ask for it and heal the gap."""
        if isinstance(message, messages.Snapshot):
            self._stories[wire, message.file_id] = message.snapshot_sequence_id
        elif isinstance(message, messages.Live):
            known = self._stories.setdefault((wire, message.file_id), message.server_sequence_id)
            require(known == message.server_sequence_id, f"live at {message.server_sequence_id}, shown is {known}")
        elif isinstance(message, messages.Committed) and message.operations:
            known = self._stories.get((wire, message.file_id), message.previous_sequence_id)
            require(message.previous_sequence_id <= known, f"{message.previous_sequence_id} is a gap behind {known}")
            self._stories[wire, message.file_id] = max(known, message.operations[-1].server_sequence_id)

    def _shown(self, truth: Truth, operation: messages.CommittedOperation) -> None:
        sequence = operation.server_sequence_id
        require(sequence <= truth.sequence, f"{sequence} is shown, the disk is at {truth.sequence}")
        entry = truth.entries[sequence - 1]
        require(entry.operation_id == operation.operation_id, f"another operation is shown at {sequence}")
        require(entry.version == operation.document_version, f"another version is shown at {sequence}")
        shown = naive_normal(wire_notation(operation) or [])
        require(shown == truth.operations[sequence - 1], f"{shown} is shown at {sequence}")

    def _fates(self, truth: Truth, fates: Iterable[messages.OperationFate]) -> None:
        for fate in fates:
            if fate.fate == "committed":
                assert fate.server_sequence_id is not None
                assert fate.document_version is not None
                self._acknowledged(truth, fate.operation_id, fate.server_sequence_id, fate.document_version)

    def _acknowledged(self, truth: Truth, operation_id: str, sequence: int, version: int) -> None:
        place = truth.places.get(operation_id)
        require(place == (sequence, version), f"{operation_id} acknowledged at {(sequence, version)}, it is at {place}")

    # ---- what a client has

    def replica(self, replica: Replica) -> None:
        if replica.buffer is None:
            return
        truth = self.truth(replica.file_id)
        sequence = replica.sequence
        if sequence > truth.sequence or (sequence and replica.chain_hash != truth.digest_at(sequence)):
            require(self.has_lied, f"a replica of {replica.user_id} is at {sequence}, which is not in the log")
            return
        text = truth.texts[sequence]
        for pending in replica.pending:
            text = apply(text, pending.operation)
        require(replica.text == text, f"{replica.user_id} has {replica.text!r} at {sequence}, not {text!r}")
        require(replica.version == truth.version_at(sequence), f"{replica.user_id} has another version at {sequence}")

    def at_rest(self, document: Document) -> None:
        """Nothing is under way any more: everybody has everything."""
        truth = self.truth(document.file_id)
        require(document.sequence == truth.sequence, f"somebody stays at {document.sequence} of {truth.sequence}")
        require(document.text == truth.texts[-1], f"somebody has {document.text!r}, not {truth.texts[-1]!r}")

    def replayed(self) -> None:
        """The logs from their beginning: texts, versions and chain."""
        for truth in self.truths.values():
            text, digest, version = "", GENESIS, 0
            for entry, kept in zip(truth.entries, truth.texts[1:], strict=True):
                operation = naive_normal(_stored_form(entry))
                text = naive_apply(text, operation)
                version += bool(operation)
                file_id, operation_id = truth.file_id.encode(), entry.operation_id.encode()
                digest = link(
                    digest,
                    entry.sequence,
                    version,
                    entry.base_version,
                    entry.author_ref,
                    entry.time,
                    file_id,
                    operation_id,
                    entry.salt,
                    entry.payload,
                )
                require((text, version, digest) == (kept, entry.version, entry.digest), f"replay at {entry.sequence}")


class Book:
    """What people meant: each character is typed once, by one of them, and anybody may delete it. ``said_again``:
    operations that somebody with the token of their author may have said again."""

    def __init__(self) -> None:
        self.typed: Counter[str] = Counter()
        self.deleted: set[str] = set()
        self.handed_back: set[str] = set()
        self.said_again: set[str] = set()

    def note(self, inserted: str, deleted: str) -> None:
        self.typed.update(inserted)
        self.deleted.update(deleted)

    def check(self, oracle: Oracle) -> None:
        """No typed text is dropped, none comes twice, nothing goes that nobody has deleted.

        Where the disk has lost history, the same versions come twice, and with them ids that were used before. What is
        then said again, of the text that was lost, is a statement about another text that no server can tell from one
        that its author makes; an honest client does not make it, as its replica has the chain hash of what was lost.
        """
        there: Counter[str] = Counter()
        removed: set[str] = set()
        for truth in oracle.truths.values():
            there.update(truth.texts[-1])
            for entry in truth.entries:
                if not (oracle.has_lied and entry.operation_id in self.said_again):
                    removed.update(_stored_removed(entry))
        require(not set(there) - set(self.typed), "text that nobody has typed")
        require(not removed - self.deleted, f"deleted, and nobody wanted it: {removed - self.deleted}")
        for char, times in self.typed.items():
            if char in self.deleted:
                continue
            require(there[char] <= times, f"{char!r} is there {there[char]} times")
            is_kept = there[char] == times or char in self.handed_back
            require(is_kept or oracle.has_lied, f"{char!r} is lost")


@dataclass(slots=True)
class _Asked:
    """A message as somebody sent it. A form is None where it is none."""

    user_id: str
    base_version: int
    ids: list[str]
    forms: list[JsonOp | None]
    at: float = field(compare=False)


def ids_in(frame: bytes) -> list[str]:
    """The operations that a message asks for."""
    match _decoded(frame):
        case messages.Operation(operation_id=operation_id):
            return [operation_id]
        case messages.Chain(operations=operations):
            return [element.operation_id for element in operations]
        case _:
            return []


def _decoded(frame: bytes) -> messages.ClientMessage | None:
    try:
        return codec.decode_client(frame)
    except CoscribeError:
        return None


def wire_notation(element: messages.Operation | messages.ChainElement | messages.CommittedOperation) -> JsonOp | None:
    """The notation of what the wire says."""
    position, payload = element.position, element.payload
    start: JsonOp = [position] if position else []
    if element.operation_type == "insert" and isinstance(payload, str):
        return [*start, payload]
    if element.operation_type == "delete" and isinstance(payload, int):
        return [*start, {"d": payload}]
    if element.operation_type == "replace" and isinstance(payload, Replacement):
        return [*start, payload.insert, {"d": payload.delete}]
    return _batch(payload)


def _batch(payload: Payload) -> JsonOp | None:
    if not isinstance(payload, list):
        return None
    parts: JsonOp = []
    end = 0
    for edit in payload:
        at, deleted, inserted = _parts(edit)
        if at < end:
            return None
        parts += [part for part in (at - end, inserted, {"d": deleted}) if part not in (0, "", {"d": 0})]
        end = at + deleted
    while parts and isinstance(parts[-1], int):  # nothing was done there, however far it is
        parts.pop()
    return parts


def _parts(edit: Edit) -> tuple[int, int, str]:
    at, deleted, inserted = edit
    return at, deleted, inserted


def _stored_form(entry: LogEntry) -> JsonOp:
    return notation.encode(decode_payload(entry.payload)[0], sizes=True)


def _stored_removed(entry: LogEntry) -> str:
    parts = components(decode_payload(entry.payload)[0])
    return "".join(part.text or "" for part in parts if not isinstance(part, int | str))


def _removed(text: str, operation: JsonOp) -> str:
    removed, position = "", 0
    for part in operation:
        if isinstance(part, int):
            position += part
        elif isinstance(part, dict):
            removed += text[position : position + part["d"]]
            position += part["d"]
    return removed
