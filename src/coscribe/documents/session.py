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
from coscribe.core.op_window import Committed, Concurrent
from coscribe.core.operation import Operation
from coscribe.documents.budget import Bucket
from coscribe.documents.ports import Subscriber
from coscribe.documents.quota import ROW_BYTES, Allowance, Quotas, added_bytes, needed_bytes
from coscribe.metrics import metrics
from coscribe.model import LogEntry, Workspace, encode_payload, link, request_digest
from coscribe.protocol import codec
from coscribe.protocol.messages import Chain, Participant, Place, Role
from coscribe.protocol.messages import Operation as OperationMessage

CACHED_SNAPSHOT_LENGTH = 65_536
"""From this many code points on the JSON form of a text is kept for the next join."""


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

    def __init__(self, file: OpenFile, previous: int) -> None:
        self.file = file
        self.previous = previous
        self.entries: list[Committed] = []

    def __call__(self) -> None:
        file, entries = self.file, self.entries
        file.durable_version = entries[-1].version
        file.tail, file.tail_of = b"", (-1, -1)
        if file.subscribers:
            last = entries[-1]
            frame = codec.committed_frame(
                file.state.file_id, self.previous, last.digest, [codec.encode_entry(entry) for entry in entries]
            )
            for subscriber in tuple(file.subscribers):
                subscriber.broadcast(frame, last.sequence)


Action = Callable[[], None]

Decision = Callable[[bool], None]
"""What to do once it is known whether everything so far is durable (True) or the session is lost (False)."""


class Pending:
    """What one workspace has done since the last commit group was closed."""

    __slots__ = ("actions", "chain_hash", "entries", "previous_sequence")

    def __init__(self, previous_sequence: int, chain_hash: bytes) -> None:
        self.previous_sequence = previous_sequence
        self.chain_hash = chain_hash
        self.entries: list[LogEntry] = []
        self.actions: list[Action] = []


class OpenFile:
    """A file in memory: its state, who has it open, and what the Snapshot Manager counts.

    ``participants`` are all that have joined; ``subscribers`` those of them that have been told to be live. Below the
    version ``horizon`` ids are forgotten: an edit of such a version may be an old one that comes again.
    """

    __slots__ = (
        "durable_version",
        "file_key",
        "horizon",
        "last_digest",
        "oldest_since",
        "operations_since",
        "participants",
        "size_since",
        "snapshot_json",
        "snapshot_version",
        "state",
        "subscribers",
        "tail",
        "tail_of",
    )

    def __init__(self, file_key: int, state: FileState, last_digest: bytes) -> None:
        self.file_key = file_key
        self.state = state
        self.last_digest = last_digest
        self.durable_version = state.version
        self.horizon = 0
        self.subscribers: dict[Subscriber, None] = {}
        self.participants: dict[Subscriber, Participant] = {}
        self.operations_since = 0
        self.size_since = 0
        self.oldest_since = 0
        self.snapshot_json = b""
        self.snapshot_version = -1
        self.tail = b""
        self.tail_of = (-1, -1)

    def tail_frame(self, after: int, tail: Sequence[Committed]) -> bytes:
        """The frame of operations behind ``after``; the last one is kept: many may be equally far behind."""
        wanted = after, tail[-1].sequence
        if self.tail_of != wanted:
            entries = [codec.encode_entry(entry) for entry in tail]
            self.tail = codec.committed_frame(self.state.file_id, after, tail[-1].digest, entries)
            self.tail_of = wanted
        return self.tail

    def content_json(self) -> bytes:
        """The text as JSON, kept while nothing changes and the text is long."""
        if self.snapshot_version == self.state.version:
            return self.snapshot_json
        encoded = codec.encode(str(self.state.content))
        if len(self.state.content) >= CACHED_SNAPSHOT_LENGTH:
            self.snapshot_json = encoded
            self.snapshot_version = self.state.version
        return encoded


class Committing(Protocol):
    """What a session needs of the committer: room for operations, and to be taken into the next group."""

    backlog: int

    def admit(self, count: int) -> None: ...

    def needs_commit(self, session: WorkspaceSession) -> None: ...


class WorkspaceSession:
    """One workspace in the memory of its owner."""

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
        "pending",
        "quotas",
        "registry",
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
        places = self._places(file, requests, author.user_id, digest, evidence)
        if places is not None:
            return Duplicate(places)
        if not within_rate:
            raise CoscribeError(Code.RATE_LIMITED)
        if role == "viewer":
            raise CoscribeError(Code.PERMISSION_DENIED, "viewers cannot edit")
        state = file.state
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

    def fate(self, file: OpenFile, operation_id: str, author: str, evidence: Evidence) -> Record | None:
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

    def trim(self) -> None:
        """Lets the windows drop what is durable and beyond their bounds."""
        for file in self.files.values():
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
        for file in self.files.values():
            everybody = tuple(file.participants)
            file.subscribers.clear()
            file.participants.clear()
            for subscriber in everybody:
                subscriber.evict(error)

    # ---- steps

    def _check_quotas(self, requests: Sequence[Request]) -> None:
        """Errors: ``quota_exceeded``."""
        first = requests[0].operation_id
        if self.log_bytes >= self.quotas.log_bytes:
            metrics.over_quota.labels("log").inc()
            raise CoscribeError(Code.QUOTA_EXCEEDED, "the history of this document is full", operation_id=first)
        allowance = self.allowance
        if allowance is not None:
            needed = needed_bytes([request.operation for request in requests])
            if needed > 0 and allowance.used + needed > allowance.most:
                metrics.over_quota.labels("text").inc()
                allowance.look_again()
                raise CoscribeError(
                    Code.QUOTA_EXCEEDED,
                    f"the documents of whoever made this one have about {allowance.used} bytes of {allowance.most}",
                    operation_id=first,
                )

    def _places(
        self, file: OpenFile, requests: Sequence[Request], author: str, digest: bytes, evidence: Evidence
    ) -> list[Place] | None:
        """The original places if this request was committed before, None if it is new.

        Errors: ``operation_id_reused``, ``chain_mismatch``.
        """
        find = self.registry.find
        for request in requests:
            if find(request.operation_id) != "new":
                break
        else:
            return None
        records = self._lookup([request.operation_id for request in requests], evidence)
        places: list[Place] = []
        for record in records:
            if record is None:
                continue
            if record.author != author or record.file_id != file.state.file_id:
                raise CoscribeError(Code.OPERATION_ID_REUSED, operation_id=record.operation_id)
            if record.request != digest:
                code = Code.CHAIN_MISMATCH if len(requests) > 1 else Code.OPERATION_ID_REUSED
                raise CoscribeError(code, operation_id=record.operation_id)
            places.append(Place(record.operation_id, record.sequence, record.version))
        if not places:
            return None
        if len(places) < len(requests):
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

    def _record(
        self,
        file: OpenFile,
        previous: int,
        entries: list[Committed],
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
        file.last_digest = self.chain_hash = pending.chain_hash = digest
        self.last_sequence = entries[-1].sequence

    def _group(self) -> Pending:
        if self.pending is None:
            self.pending = Pending(self.last_sequence, self.chain_hash)
            self._committer.needs_commit(self)
        return self.pending
