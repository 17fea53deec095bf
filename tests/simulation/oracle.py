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

What there is to say of trees is in `tree_oracle`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from coscribe.client.document import Document
from coscribe.client.replica import Replica
from coscribe.client.tree_replica import TreeReplica
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import apply, components
from coscribe.documents.ports import Append
from coscribe.model import GENESIS, LogEntry, content_hash, decode_payload, link
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Edit, Payload, Replacement
from tests.core import notation
from tests.core.naive import JsonOp, naive_apply, naive_normal, naive_transform
from tests.simulation.tree_oracle import TreeTruth


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


@dataclass(slots=True)
class Space:
    """One workspace as it is on the disk. ``files``: of one with a tree, their ids by their keys."""

    entries: list[LogEntry] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    files: dict[int, str] = field(default_factory=dict)
    tree: TreeTruth | None = None

    @property
    def sequence(self) -> int:
        return len(self.entries)


@dataclass(slots=True)
class Truth:
    """One file as it is on the disk: a text, or (then of its texts nothing counts) a tree. ``texts``: one more than
    there are entries, each as its entry leaves it."""

    file_id: str
    entries: list[LogEntry] = field(default_factory=list)
    operations: list[JsonOp] = field(default_factory=list)
    texts: list[str] = field(default_factory=lambda: [""])
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: dict[str, list[_Asked]] = field(default_factory=dict)

    @property
    def sequence(self) -> int:
        return self.entries[-1].sequence if self.entries else 0

    def count_at(self, sequence: int) -> int:
        """How many of its entries there are up to a sequence."""
        return bisect_right(self.entries, sequence, key=lambda entry: entry.sequence)

    def text_at(self, sequence: int) -> str:
        return self.texts[self.count_at(sequence)]

    @property
    def version(self) -> int:
        return self.entries[-1].version if self.entries else 0

    def version_at(self, sequence: int) -> int:
        count = self.count_at(sequence)
        return self.entries[count - 1].version if count else 0

    def digest_at(self, sequence: int) -> str:
        count = self.count_at(sequence)
        return (self.entries[count - 1].digest if count else GENESIS).hex()


class Oracle:
    """``keys``: the file of each document, the tree of each other workspace, by its key. ``has_lied``: the disk has
    lost what it called durable, so from then on only what can still be promised is. ``denied``: since when somebody may
    not write."""

    def __init__(self) -> None:
        self.truths: dict[str, Truth] = {}
        self.spaces: dict[int, Space] = {}
        self.trees: dict[str, TreeTruth] = {}
        self.keys: dict[int, str] = {}
        self.has_lied = False
        self.commits = 0
        self.now: Callable[[], float] = lambda: 0.0
        self.denied: dict[str, float] = {}
        self._stories: dict[tuple[object, str], int] = {}

    def truth(self, file_id: str) -> Truth:
        return self.truths.setdefault(file_id, Truth(file_id))

    def has_tree(self, key: int, root: str) -> TreeTruth:
        """A workspace has a tree, from the beginning."""
        self.keys[key] = root
        self.trees[root] = tree = TreeTruth(root, require)
        self.spaces[key] = Space(tree=tree)
        return tree

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
        elif isinstance(message, messages.TreeOperation) and message.file_id in self.trees:
            forms_of_it = self.trees[message.file_id].asked.setdefault(message.operation_id, [])
            if (message.user_id, message.operations) not in forms_of_it:
                forms_of_it.append((message.user_id, message.operations))
            return
        else:
            return
        if any(form is None for form in asked.forms):
            return
        known = self.truth(message.file_id).asked.setdefault(asked.ids[0], [])
        if asked not in known:
            known.append(asked)

    # ---- what reaches the disk

    def committed(self, append: Append) -> None:
        space = self.spaces.setdefault(append.workspace_key, Space())
        space.files.update({file.key: file.file_id for file in append.files})
        require(append.previous_sequence == space.sequence, "an append does not continue the log")
        self.commits += len(append.entries)
        rest = list(append.entries)
        while rest:
            rest = rest[self._committed(append.workspace_key, space, rest) :]
        require(append.chain_hash == space.entries[-1].digest, "the head's hash is not that of its last entry")
        if space.tree is not None:
            space.tree.rows(append.files)

    def _committed(self, key: int, space: Space, entries: Sequence[LogEntry]) -> int:
        """Takes in the entries of one message."""
        first = entries[0]
        truth = self.truth(space.files.get(first.file_key, self.keys[key]))
        if space.tree is not None and truth.file_id == space.tree.root:
            self._entered(space, first)
            space.tree.committed(first)
            truth.entries.append(first)
            truth.places[first.operation_id] = (first.sequence, first.version)
            return 1
        require(space.tree is None or truth.file_id in space.tree.tree, "an edit of what is not in the tree")
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
                    self._entered(space, entry)
                    self._edited(truth, entry)
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

    def _entered(self, space: Space, entry: LogEntry) -> None:
        require(entry.sequence == space.sequence + 1, f"sequence {entry.sequence} after {space.sequence}")
        require(entry.operation_id not in space.ids, f"{entry.operation_id} is committed twice")
        space.entries.append(entry)
        space.ids.add(entry.operation_id)

    def _edited(self, truth: Truth, entry: LogEntry) -> None:
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
            space = self.spaces.get(key)
            if space is not None and length < space.sequence:
                self.has_lied = True
                del space.entries[length:]
                space.ids = {entry.operation_id for entry in space.entries}
                if space.tree is not None:
                    space.tree.forget_behind(length)
                for file_id in {self.keys[key], *space.files.values()}:
                    self._forget_behind(self.truth(file_id), length)

    def _forget_behind(self, truth: Truth, sequence: int) -> None:
        count = truth.count_at(sequence)
        for entry in truth.entries[count:]:
            del truth.places[entry.operation_id]
        del truth.entries[count:]
        del truth.operations[count:]
        del truth.texts[count + 1 :]

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
        elif isinstance(message, messages.TreeCommitted | messages.TreeResent):
            self._tree_shown(message)
        elif isinstance(message, messages.TreeSnapshot):
            truth = self.truth(message.file_id)
            require(message.snapshot_sequence_id <= truth.sequence, "a snapshot of what is not on the disk")
            self.trees[message.file_id].snapshot(message)
            self._fates(truth, message.fates)
        elif isinstance(message, messages.Saved):
            last = max((space.sequence for space in self.spaces.values()), default=0)
            require(message.server_sequence_id <= last, "what is not on the disk is saved")
        elif isinstance(message, messages.Moved):
            self._placed(message)
        elif isinstance(message, messages.Snapshot):
            truth = self.truth(message.file_id)
            sequence = message.snapshot_sequence_id
            require(sequence <= truth.sequence, f"a snapshot at {sequence}, the disk is at {truth.sequence}")
            require(message.content == truth.text_at(sequence), f"a snapshot with another text at {sequence}")
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
            if message.file_id not in self.trees:
                is_same = message.content_hash == content_hash(truth.text_at(sequence)).hex()
                require(is_same, "a checksum of another text")

    def _tree_shown(self, message: messages.TreeCommitted | messages.TreeResent) -> None:
        truth, tree = self.truth(message.file_id), self.trees[message.file_id]
        for shown in message.entries:
            sequence = shown.server_sequence_id
            require(sequence <= truth.sequence, f"{sequence} is shown, the disk is at {truth.sequence}")
            entry = truth.entries[truth.count_at(sequence) - 1]
            require(entry.operation_id == shown.operation_id, f"another operation is shown at {sequence}")
            tree.shown(entry, shown)
        if message.entries:
            last = message.entries[-1].server_sequence_id
            require(message.chain_hash == truth.digest_at(last), f"a hash that is not that of {last}")

    def _placed(self, message: messages.Moved) -> None:
        """Where a file is said to be it has been at some time, and never anywhere else."""
        there = any(tree.was_at(message.file_id, message.path, message.trashed) for tree in self.trees.values())
        require(there, f"{message} is told, and is not so")

    def _goes_on(self, wire: object, message: messages.ServerMessage) -> None:
        """What one connection is sent of a file is one story, from a snapshot or a join on: whoever was slow misses
        nothing, also where a client would ask for it and heal the gap."""
        if isinstance(message, messages.Snapshot | messages.TreeSnapshot):
            self._stories[wire, message.file_id] = message.snapshot_sequence_id
        elif isinstance(message, messages.Live):
            known = self._stories.setdefault((wire, message.file_id), message.server_sequence_id)
            require(known == message.server_sequence_id, f"live at {message.server_sequence_id}, shown is {known}")
        elif isinstance(message, messages.Committed | messages.TreeCommitted):
            shown = message.operations if isinstance(message, messages.Committed) else message.entries
            known = self._stories.get((wire, message.file_id), message.previous_sequence_id)
            require(message.previous_sequence_id <= known, f"{message.previous_sequence_id} is a gap behind {known}")
            self._stories[wire, message.file_id] = max([known, *(each.server_sequence_id for each in shown)])

    def _shown(self, truth: Truth, operation: messages.CommittedOperation) -> None:
        sequence = operation.server_sequence_id
        require(sequence <= truth.sequence, f"{sequence} is shown, the disk is at {truth.sequence}")
        count = truth.count_at(sequence)
        entry = truth.entries[count - 1]
        require(entry.sequence == sequence, f"{sequence} is shown, which is of another file")
        require(entry.operation_id == operation.operation_id, f"another operation is shown at {sequence}")
        require(entry.version == operation.document_version, f"another version is shown at {sequence}")
        shown = naive_normal(wire_notation(operation) or [])
        require(shown == truth.operations[count - 1], f"{shown} is shown at {sequence}")

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
        text = truth.text_at(sequence)
        for pending in replica.pending:
            text = apply(text, pending.operation)
        require(replica.text == text, f"{replica.user_id} has {replica.text!r} at {sequence}, not {text!r}")
        require(replica.version == truth.version_at(sequence), f"{replica.user_id} has another version at {sequence}")

    def tree_replica(self, replica: TreeReplica) -> None:
        truth = self.truth(replica.file_id)
        sequence = replica.sequence
        if sequence > truth.sequence or (sequence and replica.chain_hash != truth.digest_at(sequence)):
            require(self.has_lied, f"a tree of {replica.user_id} is at {sequence}, which is not in the log")
            return
        self.trees[replica.file_id].replica(replica)

    def trees_at_rest(self) -> None:
        """Everything that people wanted of a tree is in the log or was handed back; and nothing else is in it."""
        for root, tree in self.trees.items():
            done = set(self.truth(root).places)
            require(not done - tree.meant, f"done, and nobody wanted it: {done - tree.meant}")
            lost = tree.meant - done - tree.handed_back
            require(not lost or self.has_lied, f"wanted, and lost: {lost}")

    def at_rest(self, document: Document) -> None:
        """Nothing is under way any more: everybody has everything."""
        truth = self.truth(document.file_id)
        require(document.sequence == truth.sequence, f"somebody stays at {document.sequence} of {truth.sequence}")
        require(document.text == truth.texts[-1], f"somebody has {document.text!r}, not {truth.texts[-1]!r}")

    def replayed(self) -> None:
        """The logs from their beginning: texts, versions and chain."""
        for key, space in self.spaces.items():
            digest = GENESIS
            for entry in space.entries:
                file_id, operation_id = space.files.get(entry.file_key, self.keys[key]), entry.operation_id
                digest = link(
                    digest,
                    entry.sequence,
                    entry.version,
                    entry.base_version,
                    entry.author_ref,
                    entry.time,
                    file_id.encode(),
                    operation_id.encode(),
                    entry.salt,
                    entry.payload,
                )
                require(digest == entry.digest, f"replay at {entry.sequence}")
        for truth in self.truths.values():
            text, version = "", 0
            for entry, kept in zip(truth.entries, truth.texts[1:], strict=truth.file_id not in self.trees):
                operation = naive_normal(_stored_form(entry))
                text = naive_apply(text, operation)
                version += bool(operation)
                require((text, version) == (kept, entry.version), f"replay at {entry.sequence}")


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
            for entry in truth.entries if truth.file_id not in oracle.trees else ():
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
