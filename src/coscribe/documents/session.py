"""WorkspaceSession: everything the owner of a workspace holds in memory, and the turn.

A turn is synchronous and touches nothing but memory. What it did is left in ``pending``, in the order in which it
happened: operations to append to the log, and *actions*, everything that may be seen from outside (a frame, an
acknowledgement, a snapshot for somebody who joins, a checksum). The committer takes ``pending``, makes it durable and
only then runs the actions. So nothing can leave that is not on disk, and whatever leaves is in order:

    turn, turn, turn -> pending -> commit -> actions: frame | ack | frame | snapshot ...

A turn that lacks something only storage knows raises `Missing` and has changed nothing; `Evidence` brings the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from coscribe.core.dedup import Answer, Record, Registry
from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed, Concurrent, OpWindow
from coscribe.core.operation import Operation
from coscribe.core.tree import NO_EFFECT, ROOT, Effect, Tree
from coscribe.core.tree_state import CommittedEffect, TreeState
from coscribe.documents.budget import Bucket
from coscribe.documents.paths import seen_changes, view
from coscribe.documents.ports import PathRights, Subscriber
from coscribe.documents.quota import ROW_BYTES, Allowance, Quotas, added_bytes, needed_bytes
from coscribe.metrics import metrics
from coscribe.model import (
    FILES,
    GENESIS,
    File,
    LogEntry,
    Workspace,
    committed_from,
    effect_from,
    encode_effect,
    encode_payload,
    file_key,
    link,
    request_digest,
)
from coscribe.protocol import codec
from coscribe.protocol.messages import Chain, OperationFate, Participant, Place, Role, Snapshot, TreeSnapshot
from coscribe.protocol.messages import Operation as OperationMessage
from coscribe.protocol.messages import TreeOperation as TreeOperationMessage

CACHED_SNAPSHOT_LENGTH = 65_536
"""From this many code points on the JSON form of a text is kept for the next join."""


NODE_BYTES = 650
"""What a node of a tree takes in memory."""


class Missing(Exception):
    """The turn needs these ids looked up, or the changes behind ``after_version`` (-1: none) from the log."""

    def __init__(self, operation_ids: Sequence[str] = (), after_version: int = -1) -> None:
        super().__init__(operation_ids, after_version)
        self.operation_ids = operation_ids
        self.after_version = after_version


@dataclass(slots=True)
class Evidence:
    """What storage answered: registry records by id, and the changes (base, through] of the file."""

    answers: dict[str, Answer] = field(default_factory=dict)
    base_version: int = 0
    through_version: int = -1
    changes: list[Operation] = field(default_factory=list)


class Author(NamedTuple):
    """Who an operation is by: the user, and the opaque reference that stands for the user in the log."""

    user_id: str
    reference: int


class Duplicate(NamedTuple):
    """All of it was committed before: the original places."""

    places: list[Place]


class Frame:
    """Operations of one file that leave together: encoded once, the same bytes for every subscriber."""

    __slots__ = ("entries", "file", "previous")

    def __init__(self, file: Opened, previous: int) -> None:
        self.file = file
        self.previous = previous
        self.entries: list[Committed] = []

    def __call__(self) -> None:
        file, entries = self.file, self.entries
        file.durable_version = entries[-1].version
        file.tail, file.tail_of = b"", (-1, -1)
        if file.subscribers:
            file.publish(self.previous, entries)


Action = Callable[[], None]

Decision = Callable[[bool], None]
"""What to do once it is known whether everything so far is durable (True) or the session is lost (False)."""


class Pending:
    """What one workspace has done since the last commit group was closed."""

    __slots__ = ("actions", "chain_hash", "entries", "files", "previous_sequence")

    def __init__(self, previous_sequence: int, chain_hash: bytes) -> None:
        self.previous_sequence = previous_sequence
        self.chain_hash = chain_hash
        self.entries: list[LogEntry] = []
        self.actions: list[Action] = []
        self.files: dict[int, File] = {}


class Lineage(NamedTuple):
    """What a snapshot says beside the state: of which log it is, for which role, and what became of operations."""

    incarnation: str
    role: Role
    fates: list[OperationFate]
    lineage_lost: bool


class Open:
    """What somebody can have open, a text or a tree: who has it open, and what the Snapshot Manager counts.

    ``participants`` are all that have joined; ``subscribers`` those of them that have been told to be live. Below the
    version ``horizon`` ids are forgotten: an edit of such a version may be an old one that comes again. A snapshot of
    ``saved_sequence`` is on disk; ``unsaved_from`` is the first entry that is in none, 0 where there is no such.
    """

    __slots__ = (
        "durable_version",
        "file_key",
        "horizon",
        "last_digest",
        "oldest_since",
        "operations_since",
        "participants",
        "saved_sequence",
        "size_since",
        "subscribers",
        "tail",
        "tail_of",
        "unsaved_from",
    )

    def __init__(self, file_key: int, version: int, last_digest: bytes) -> None:
        self.file_key = file_key
        self.last_digest = last_digest
        self.durable_version = version
        self.horizon = 0
        self.subscribers: dict[Subscriber, None] = {}
        self.participants: dict[Subscriber, Participant] = {}
        self.operations_since = 0
        self.size_since = 0
        self.oldest_since = 0
        self.saved_sequence = 0
        self.unsaved_from = 0
        self.tail = b""
        self.tail_of = (-1, -1)

    def frame(self, previous: int, entries: Sequence[Committed]) -> bytes:
        """The message that carries entries behind ``previous``, encoded."""
        raise NotImplementedError

    def resent(self, previous: int, last_digest: bytes, more: bool, rows: Sequence[LogEntry]) -> bytes:
        """The answer to resend: what is in the log behind ``previous``."""
        raise NotImplementedError

    def snapshot(self, lineage: Lineage, subscriber: Subscriber) -> bytes:
        """The message that carries all of it as it is, for somebody who has joined."""
        raise NotImplementedError

    def publish(self, previous: int, entries: Sequence[Committed]) -> None:
        """Sends entries behind ``previous`` to all who are live: the same bytes."""
        frame = self.frame(previous, entries)
        for subscriber in tuple(self.subscribers):
            subscriber.broadcast(frame, entries[-1].sequence)

    def size(self) -> int:
        """About the bytes that it takes, without its window."""
        raise NotImplementedError

    def put_out(self, error: CoscribeError) -> None:
        """Ends all that anybody has to do with it."""
        everybody = tuple(self.participants)
        self.subscribers.clear()
        self.participants.clear()
        for subscriber in everybody:
            subscriber.evict(error)

    def saved(self, sequence: int, window: OpWindow) -> None:
        """A snapshot of ``sequence`` is on disk. ``window``: of its state."""
        self.saved_sequence = saved = max(sequence, self.saved_sequence)
        if window.floor > saved:  # what follows the snapshot has left the window in part
            self.unsaved_from = saved + 1
        else:
            later = window.entries_after(saved)
            self.unsaved_from = later[0].sequence if later else 0

    def tail_frame(self, after: int, tail: Sequence[Committed], subscriber: Subscriber) -> bytes:
        """The frame of operations behind ``after``; the last one is kept: many may be equally far behind."""
        wanted = after, tail[-1].sequence
        if self.tail_of != wanted:
            self.tail = self.frame(after, tail)
            self.tail_of = wanted
        return self.tail


class OpenFile(Open):
    """A text in memory, ``last_used`` at that moment."""

    __slots__ = ("last_used", "snapshot_json", "snapshot_version", "state")

    def __init__(self, file_key: int, state: FileState, last_digest: bytes) -> None:
        super().__init__(file_key, state.version, last_digest)
        self.state = state
        self.last_used = 0.0
        self.snapshot_json = b""
        self.snapshot_version = -1

    def size(self) -> int:
        return len(self.state.content) + len(self.snapshot_json)

    def is_idle(self) -> bool:
        """Whether nobody has it open, and all of it is in a snapshot on disk."""
        return not self.participants and not self.subscribers and not self.unsaved_from

    def frame(self, previous: int, entries: Sequence[Committed]) -> bytes:
        encoded = [codec.encode_entry(entry) for entry in entries]
        return codec.committed_frame(self.state.file_id, previous, entries[-1].digest, encoded)

    def resent(self, previous: int, last_digest: bytes, more: bool, rows: Sequence[LogEntry]) -> bytes:
        encoded = [codec.encode_entry(committed_from(row)) for row in rows]
        return codec.resent_frame(self.state.file_id, previous, last_digest, more, encoded)

    def snapshot(self, lineage: Lineage, subscriber: Subscriber) -> bytes:
        state, digest = self.state, self.last_digest.hex()
        place = state.file_id, state.version, state.last_sequence
        return codec.snapshot_frame(
            Snapshot(*place, lineage.incarnation, digest, lineage.role, lineage.fates, lineage.lineage_lost, ""),
            self.content_json(),
        )

    def content_json(self) -> bytes:
        """The text as JSON, kept while nothing changes and the text is long."""
        if self.snapshot_version == self.state.version:
            return self.snapshot_json
        encoded = codec.encode(str(self.state.content))
        if len(self.state.content) >= CACHED_SNAPSHOT_LENGTH:
            self.snapshot_json = encoded
            self.snapshot_version = self.state.version
        return encoded


class OpenTree(Open):
    """The tree of a workspace in memory. ``keys``: of all files that are in it, ``next_number`` of the next one.

    ``views``: the rights of those who have it open and do not see all of it. What they are sent is worked out in the
    turn, when the tree is as the entry leaves it; so of what was before they joined there is nothing for them but a
    snapshot.
    """

    __slots__ = ("keys", "next_number", "state", "views")

    def __init__(
        self, file_key: int, state: TreeState, last_digest: bytes, keys: dict[str, int], next_number: int
    ) -> None:
        super().__init__(file_key, 0, last_digest)
        self.state = state
        self.keys = keys
        self.next_number = next_number
        self.views: dict[Subscriber, PathRights] = {}

    def size(self) -> int:
        return NODE_BYTES * len(self.state.tree)

    def put_out(self, error: CoscribeError) -> None:
        self.views.clear()
        super().put_out(error)

    def see(self, entry: CommittedEffect) -> None:
        """Works out what an entry that has just been made comes to in the views."""
        for rights in self.views.values():
            if rights.view not in entry.seen:
                entry.seen[rights.view] = seen_changes(self.state.tree, entry.effect, rights)

    def frame(self, previous: int, entries: Sequence[Committed]) -> bytes:
        root = self.state.file_id
        encoded = [codec.encode_effect_entry(entry, _effect(entry), root) for entry in entries]
        return codec.tree_frame(root, previous, entries[-1].digest, encoded)

    def view_frame(self, previous: int, entries: Sequence[Committed], subscriber: Subscriber) -> bytes:
        """What somebody sees of entries, and of what they have done themselves that it was done; b"": nothing."""
        root, view = self.state.file_id, self.views[subscriber].view
        author = self.participants[subscriber].user_id if subscriber in self.participants else ""
        encoded: list[bytes] = []
        for entry in entries:
            seen = entry.seen.get(view, NO_EFFECT) if isinstance(entry, CommittedEffect) else NO_EFFECT
            if seen.changes or entry.author == author:
                encoded.append(codec.encode_effect_entry(entry, seen, root))
        return codec.tree_frame(root, previous, entries[-1].digest, encoded) if encoded else b""

    def publish(self, previous: int, entries: Sequence[Committed]) -> None:
        if not self.views:
            super().publish(previous, entries)
            return
        frame, last = self.frame(previous, entries), entries[-1].sequence
        for subscriber in tuple(self.subscribers):
            theirs = frame if subscriber not in self.views else self.view_frame(0, entries, subscriber)
            if theirs:
                subscriber.broadcast(theirs, last)

    def tail_frame(self, after: int, tail: Sequence[Committed], subscriber: Subscriber) -> bytes:
        if subscriber in self.views:
            return self.view_frame(after, tail, subscriber)
        return super().tail_frame(after, tail, subscriber)

    def resent(self, previous: int, last_digest: bytes, more: bool, rows: Sequence[LogEntry]) -> bytes:
        root = self.state.file_id
        entries = [effect_from(row) for row in rows]
        encoded = [codec.encode_effect_entry(entry, entry.effect, root) for entry in entries]
        return codec.tree_resent_frame(root, previous, last_digest, more, encoded)

    def seen_by(self, subscriber: Subscriber) -> Tree:
        """The tree as somebody sees it."""
        tree = self.state.tree
        if subscriber not in self.views:
            return tree
        return Tree.of(view(tree, self.views[subscriber]), folds_case=tree.folds_case)

    def snapshot(self, lineage: Lineage, subscriber: Subscriber) -> bytes:
        state, root = self.state, self.state.file_id
        tree = self.seen_by(subscriber)
        nodes = [codec.placed_node(file_id, tree.state(file_id), root) for file_id in tree.below(ROOT)]
        return codec.encode(
            TreeSnapshot(
                root,
                state.last_sequence,
                lineage.incarnation,
                self.last_digest.hex(),
                lineage.role,
                lineage.fates,
                lineage.lineage_lost,
                tree.folds_case,
                nodes,
            )
        )


def _effect(entry: Committed) -> Effect:
    assert isinstance(entry, CommittedEffect)
    return entry.effect


Opened = OpenFile | OpenTree


class Committing(Protocol):
    """What a session needs of the committer: room for operations, and to be taken into the next group."""

    backlog: int

    def admit(self, count: int) -> None: ...

    def needs_commit(self, session: WorkspaceSession) -> None: ...


class WorkspaceSession:
    """One workspace in the memory of its owner. ``files``: the texts of it that are in memory; ``tree`` None: it is a
    document. ``tails``: by the key of a text that is not in memory, what is in the log and in no snapshot of it."""

    __slots__ = (
        "_committer",
        "_forgotten",
        "_undecided",
        "allowance",
        "budget",
        "chain_hash",
        "durable_sequence",
        "files",
        "last_sequence",
        "last_used",
        "limits",
        "log_bytes",
        "lost",
        "noted_covered",
        "pending",
        "quotas",
        "registry",
        "tails",
        "tree",
        "workspace",
    )

    def __init__(
        self, workspace: Workspace, limits: Limits, committer: Committing, budget: Bucket, quotas: Quotas
    ) -> None:
        self.workspace = workspace
        self.budget = budget
        self.quotas = quotas
        self.allowance: Allowance | None = None
        self.log_bytes = 0
        self.limits = limits
        self.last_sequence = self.durable_sequence = workspace.last_sequence
        self.chain_hash = workspace.chain_hash
        self.registry = Registry(complete=workspace.last_sequence == 0)
        self.files: dict[str, OpenFile] = {}
        self.tree: OpenTree | None = None
        self.tails: dict[int, list[LogEntry]] = {}
        self.noted_covered = workspace.covered or 0
        self.pending: Pending | None = None
        self.lost = False
        self.last_used = 0.0
        self._forgotten = 0
        self._undecided: dict[Decision, None] = {}
        self._committer = committer

    # ---- turns

    def submit(
        self,
        file: OpenFile,
        message: OperationMessage | Chain,
        author: Author,
        role: Role,
        within_rate: bool,
        time: int,
        salts: Callable[[int], Sequence[bytes]],
        evidence: Evidence,
    ) -> Duplicate | int:
        """The pipeline for one message, from its form to its place in the commit group.

        Returns the number of operations committed to the group, or the places of a duplicate. Errors: see
        `codec.requests_of`, `_places`, `FileState.commit`; ``rate_limited``, ``permission_denied``,
        ``base_version_*``, ``overloaded``. Raises Missing.
        """
        requests = codec.requests_of(message, self.limits)
        digest = request_digest(self.workspace.secret, codec.encode(message))
        operation_ids = [request.operation_id for request in requests]
        places = self._places(file, operation_ids, author.user_id, digest, evidence)
        if places is not None:
            return Duplicate(places)
        if not within_rate:
            raise CoscribeError(Code.RATE_LIMITED)
        if role == "viewer":
            raise CoscribeError(Code.PERMISSION_DENIED, "viewers cannot edit")
        state = file.state
        self.check_is_text(state.file_id)
        if message.base_version > file.durable_version:
            raise CoscribeError(
                Code.BASE_VERSION_FUTURE,
                f"baseVersion {message.base_version}, nobody was shown more than {file.durable_version}",
            )
        if message.base_version < file.horizon:
            raise CoscribeError(
                Code.BASE_VERSION_TOO_OLD, f"baseVersion {message.base_version}, ids are known from {file.horizon} on"
            )
        if any(max(request.restores, default=0) > self.durable_sequence for request in requests):
            raise CoscribeError(Code.INVALID_PAYLOAD, "restores names a sequence that is not there yet")
        concurrent = self._concurrent(state, message.base_version, len(requests), evidence)
        self._check_quotas(requests)
        self._committer.admit(len(requests))
        previous = state.last_sequence
        entries = state.commit(
            requests, message.base_version, concurrent, self.last_sequence + 1, author.user_id, digest
        )
        self._committer.backlog += len(entries)
        self._record(file, previous, entries, author.reference, time, salts(len(entries)))
        return len(entries)

    def change_tree(
        self,
        message: TreeOperationMessage,
        author: Author,
        may: Callable[[Tree, Effect], None],
        within_rate: bool,
        time: int,
        salts: Callable[[int], Sequence[bytes]],
        evidence: Evidence,
    ) -> Duplicate | Effect:
        """Likewise for operations on the tree, which are one operation. ``may`` is asked of the tree as it has become,
        and raises where that is not for the author to do.

        Returns what it came to, or the place of a duplicate. Errors: see `codec.tree_operations_of`, `_places`,
        `Tree.apply`; those of ``may``; ``rate_limited``, ``quota_exceeded``, ``overloaded``. Raises Missing.
        """
        opened = self.tree
        if opened is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"{message.file_id!r} has no tree", file_id=message.file_id)
        operations = codec.tree_operations_of(message)
        digest = request_digest(self.workspace.secret, codec.encode(message))
        places = self._places(opened, [message.operation_id], author.user_id, digest, evidence)
        if places is not None:
            return Duplicate(places)
        if not within_rate:
            raise CoscribeError(Code.RATE_LIMITED)
        if max(message.restores, default=0) > self.durable_sequence:
            raise CoscribeError(Code.INVALID_PAYLOAD, "restores names a sequence that is not there yet")
        self._check_log_quota(message.operation_id)
        self._committer.admit(1)
        state = opened.state
        effect = state.tree.apply(operations)
        try:
            may(state.tree, effect)
            if opened.next_number + len(operations) > FILES:
                raise CoscribeError(Code.QUOTA_EXCEEDED, "the workspace has had too many files")
        except CoscribeError:
            state.tree.take_back(effect)
            raise
        self._committer.backlog += 1
        previous, restores = state.last_sequence, tuple(message.restores)
        entry = state.commit(message.operation_id, effect, self.last_sequence + 1, author.user_id, digest, restores)
        opened.see(entry)
        self._record(opened, previous, [entry], author.reference, time, salts(1))
        self._note_files(opened, effect)
        return effect

    def open_new(self, file_id: str) -> OpenFile:
        """A text that was made in this very turn: there is nothing of it to be loaded."""
        assert self.tree is not None
        assert file_id not in self.files
        state = FileState(file_id, "", 0, 0, self.limits)
        file = self.files[file_id] = OpenFile(self.tree.keys[file_id], state, GENESIS)
        file.last_used = self.last_used
        return file

    def check_room(self, texts: Sequence[str], operation_id: str) -> None:
        """Whether the next group and the owner's allowance have room for so many texts. Errors: ``overloaded``,
        ``quota_exceeded``."""
        self._committer.admit(1 + len(texts))
        self._check_allowance(sum(len(text.encode()) for text in texts), operation_id)

    def act(self, action: Action) -> None:
        """Runs the action when everything that has happened so far is durable, in order with it."""
        self._group().actions.append(action)

    def settle(self, decision: Decision) -> None:
        """As `act`, but it happens in any case: with True, in order, or with False as soon as the session is lost."""
        if self.lost:
            decision(False)
            return
        self._undecided[decision] = None

        def durable() -> None:
            del self._undecided[decision]
            decision(True)

        self.act(durable)

    def fate(self, file: Opened, operation_id: str, author: str, evidence: Evidence) -> Record | None:
        """What became of an operation of ``author``: its record, or None: it is not committed. Raises Missing."""
        known = self._lookup([operation_id], evidence)[0]
        if known is None or known.author != author or known.file_id != file.state.file_id:
            return None
        return known

    def log_has_grown(self, size: int) -> None:
        """Counts bytes of the log; a metric tells when there are many."""
        before, warning = self.log_bytes, self.quotas.log_warning_bytes
        self.log_bytes += size
        if before <= warning < self.log_bytes:
            metrics.long_logs.inc()

    def check_is_text(self, file_id: str) -> None:
        """Errors: ``file_not_found``: it was purged; ``not_a_text``."""
        if self.tree is not None and self.tree.state.tree.state(file_id).kind != "text":
            raise CoscribeError(Code.NOT_A_TEXT, file_id=file_id)

    def took_over(self, opened: Opened, entry: Committed) -> None:
        """An entry was read back from the log that is in no snapshot."""
        self.registry.add(opened.state.file_id, entry)
        opened.last_digest = entry.digest
        opened.operations_since += 1
        if not opened.unsaved_from:
            opened.unsaved_from = entry.sequence

    def covered(self) -> int:
        """Up to here every file has a snapshot of all that the log has of it."""
        first = [file.unsaved_from for file in self.opened() if file.unsaved_from]
        first += [tail[0].sequence for tail in self.tails.values()]
        return min(first, default=self.durable_sequence + 1) - 1

    def holds(self, file: Opened) -> bool:
        """Whether a file is still the one that counts: neither the session is lost nor the file let go."""
        return not self.lost and (file is self.tree or self.files.get(file.state.file_id) is file)

    def behind(self, count: int) -> list[str]:
        """Some texts that are not in memory and lack a snapshot."""
        tree = self.tree
        if tree is None or not self.tails:
            return []
        return [file_id for file_id, key in tree.keys.items() if key in self.tails][:count]

    def close_texts(self, before: float) -> None:
        """Lets texts go that nobody has open, that were last used ``before``, and of which the disk has a snapshot."""
        if self.pending is not None or self.tree is None:
            return
        idle = [file_id for file_id, file in self.files.items() if file.last_used < before and file.is_idle()]
        for file_id in idle:
            file = self.files.pop(file_id)
            for entry in file.state.window.entries:
                self.registry.forget(entry)
                self._forgotten = max(self._forgotten, entry.sequence)

    def opened(self) -> list[Opened]:
        """All of it that is in memory."""
        everything: list[Opened] = [*self.files.values()]
        if self.tree is not None:
            everything.append(self.tree)
        return everything

    def trim(self, files: Sequence[Opened]) -> None:
        """Lets the windows of files that have grown drop what is durable and beyond their bounds."""
        for file in files:
            for entry in file.state.window.trim(self.durable_sequence):
                self.registry.forget(entry)
                self._forgotten = max(self._forgotten, entry.sequence)

    def lose(self, error: CoscribeError) -> None:
        """Forgets everything: what is in memory can no longer be trusted to be what is on disk."""
        self.lost = True
        self.pending = None
        undecided, self._undecided = self._undecided, {}
        for decision in undecided:
            decision(False)
        for file in self.opened():
            file.put_out(error)

    # ---- steps

    def _check_quotas(self, requests: Sequence[Request]) -> None:
        """Errors: ``quota_exceeded``."""
        first = requests[0].operation_id
        self._check_log_quota(first)
        if self.allowance is not None:
            self._check_allowance(needed_bytes([request.operation for request in requests]), first)

    def _check_allowance(self, needed: int, operation_id: str) -> None:
        """Errors: ``quota_exceeded``."""
        allowance = self.allowance
        if allowance is not None and needed > 0 and allowance.used + needed > allowance.most:
            metrics.over_quota.labels("text").inc()
            allowance.look_again()
            raise CoscribeError(
                Code.QUOTA_EXCEEDED,
                f"the documents of whoever made this one have about {allowance.used} bytes of {allowance.most}",
                operation_id=operation_id,
            )

    def _check_log_quota(self, operation_id: str) -> None:
        """Errors: ``quota_exceeded``."""
        if self.log_bytes >= self.quotas.log_bytes:
            metrics.over_quota.labels("log").inc()
            raise CoscribeError(Code.QUOTA_EXCEEDED, "the history of this document is full", operation_id=operation_id)

    def _places(
        self, file: Opened, operation_ids: Sequence[str], author: str, digest: bytes, evidence: Evidence
    ) -> list[Place] | None:
        """The original places if this request was committed before, None if it is new.

        Errors: ``operation_id_reused``, ``chain_mismatch``.
        """
        find = self.registry.find
        for operation_id in operation_ids:
            if find(operation_id) != "new":
                break
        else:
            return None
        records = self._lookup(operation_ids, evidence)
        places: list[Place] = []
        for record in records:
            if record is None:
                continue
            if record.author != author or record.file_id != file.state.file_id:
                raise CoscribeError(Code.OPERATION_ID_REUSED, operation_id=record.operation_id)
            if record.request != digest:
                code = Code.CHAIN_MISMATCH if len(operation_ids) > 1 else Code.OPERATION_ID_REUSED
                raise CoscribeError(code, operation_id=record.operation_id)
            places.append(Place(record.operation_id, record.sequence, record.version))
        if not places:
            return None
        if len(places) < len(operation_ids):
            raise CoscribeError(Code.CHAIN_MISMATCH, "only some of the chain's ids are known")
        return places

    def _lookup(self, operation_ids: Sequence[str], evidence: Evidence) -> list[Record | None]:
        records: list[Record | None] = []
        missing: list[str] = []
        for operation_id in operation_ids:
            found = self.registry.find(operation_id)
            if found == "new":
                records.append(None)
            elif found == "unknown":
                answer = evidence.answers.get(operation_id)
                if answer is None or answer.as_of < self._forgotten:
                    missing.append(operation_id)
                else:
                    records.append(answer.record)
            else:
                file_id, entry = found
                records.append(
                    Record(operation_id, entry.author, entry.request, file_id, entry.sequence, entry.version)
                )
        if missing:
            raise Missing(operation_ids=missing)
        return records

    def _concurrent(self, state: FileState, base_version: int, count: int, evidence: Evidence) -> Concurrent:
        """Everything that changed the file since ``base_version``: from the window, or evidence and window."""
        if (state.version - base_version) * count > self.limits.rebase_steps:
            raise CoscribeError(
                Code.BASE_VERSION_TOO_OLD, f"{state.version - base_version} versions behind, too far to rebase"
            )
        concurrent = state.concurrent_since(base_version)
        if concurrent is not None:
            return concurrent
        if evidence.through_version >= 0 and evidence.base_version == base_version:
            recent = state.concurrent_since(evidence.through_version)
            if recent is not None:
                return Concurrent([*evidence.changes, *recent.operations], None)
        raise Missing(after_version=base_version)

    def _note_files(self, opened: OpenTree, effect: Effect) -> None:
        """The rows of files that an effect has changed go into the group."""
        pending = self._group()
        for file_id, before, after in effect.changes:
            if before is None:
                opened.keys[file_id] = file_key(self.workspace.key, opened.next_number)
                opened.next_number += 1
            key = opened.keys[file_id]
            pending.files[key] = File(key, file_id, "", after)
            if after is None:
                del opened.keys[file_id]
                self.tails.pop(key, None)

    def _record(
        self,
        file: Opened,
        previous: int,
        entries: Sequence[Committed],
        author_ref: int,
        time: int,
        salts: Sequence[bytes],
    ) -> None:
        """Chains the entries, writes their log rows and puts them into the group's frame."""
        pending = self._group()
        frame = pending.actions[-1] if pending.actions else None
        if not isinstance(frame, Frame) or frame.file is not file:
            frame = Frame(file, previous)
            pending.actions.append(frame)
        file_id = file.state.file_id
        file_id_bytes = file_id.encode()
        digest = self.chain_hash
        size = 0
        for entry, salt in zip(entries, salts, strict=True):
            if isinstance(entry, CommittedEffect):
                payload = encode_effect(entry.effect, entry.restores)
            else:
                payload = encode_payload(entry.operation, entry.removed, entry.restores)
            digest = entry.digest = link(
                digest,
                entry.sequence,
                entry.version,
                entry.base_version,
                author_ref,
                time,
                file_id_bytes,
                entry.operation_id.encode(),
                salt,
                payload,
            )
            self.registry.add(file_id, entry)
            size += len(payload)
            pending.entries.append(
                LogEntry(
                    entry.sequence,
                    file.file_key,
                    entry.version,
                    entry.base_version,
                    entry.operation_id,
                    entry.author,
                    author_ref,
                    entry.request,
                    time,
                    payload,
                    salt,
                    digest,
                )
            )
        frame.entries.extend(entries)
        file.size_since += size
        self.log_has_grown(size + ROW_BYTES * len(entries))
        if self.allowance is not None:
            self.allowance.used += sum(added_bytes(entry.operation, entry.removed) for entry in entries)
        if not file.operations_since:
            file.oldest_since = time
        file.operations_since += len(entries)
        if not file.unsaved_from:
            file.unsaved_from = entries[0].sequence
        file.last_digest = self.chain_hash = pending.chain_hash = digest
        self.last_sequence = entries[-1].sequence

    def _group(self) -> Pending:
        if self.pending is None:
            self.pending = Pending(self.last_sequence, self.chain_hash)
            self._committer.needs_commit(self)
        return self.pending
