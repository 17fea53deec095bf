"""WorkspaceSession: everything the owner of a workspace holds in memory, and the turn.

A turn is synchronous and touches nothing but memory. What it did is left in ``pending``, in the order in which it
happened: operations to append to the log, and *actions*, everything that may be seen from outside (a frame, an
acknowledgement, a snapshot for somebody who joins, a checksum). The committer takes ``pending``, makes it durable and
only then runs the actions. So nothing can leave that is not on disk, and whatever leaves is in order:

    turn, turn, turn -> pending -> commit -> actions: frame | ack | frame | snapshot ...

A turn that lacks something only storage knows raises `Missing` and has changed nothing; `Evidence` brings the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from coscribe.core.dedup import Answer, Record, Registry
from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed, Concurrent
from coscribe.core.operation import Operation
from coscribe.core.tree import Change as NodeChange
from coscribe.core.tree import Create, Effect, NodeState, Put, Tree, TreeOperation
from coscribe.core.tree_state import CommittedEffect
from coscribe.documents.budget import Bucket
from coscribe.documents.opened import Opened, OpenFile, OpenTree
from coscribe.documents.paths import seen_changes
from coscribe.documents.ports import Blob, BlobUse
from coscribe.documents.quota import ROW_BYTES, Allowance, Quotas, Room, added_bytes, needed_bytes
from coscribe.documents.watching import Before, Change, Watch, changes_of, direct, edit_of
from coscribe.documents.withheld import Withheld
from coscribe.metrics import metrics
from coscribe.model import (
    FILES,
    GENESIS,
    File,
    LogEntry,
    Workspace,
    encode_effect,
    encode_payload,
    file_key,
    link,
    request_digest,
)
from coscribe.protocol import codec
from coscribe.protocol.messages import Chain, Place, Role
from coscribe.protocol.messages import Operation as OperationMessage
from coscribe.protocol.messages import TreeOperation as TreeOperationMessage


class Missing(Exception):
    """The turn needs these ids looked up, or the changes behind ``after_version`` (-1: none) from the log, or which
    files have these blobs."""

    def __init__(self, operation_ids: Sequence[str] = (), after_version: int = -1, digests: Sequence[str] = ()) -> None:
        super().__init__(operation_ids, after_version, digests)
        self.operation_ids = operation_ids
        self.after_version = after_version
        self.digests = digests


@dataclass(slots=True)
class Evidence:
    """What storage answered: registry records by id, and the changes (base, through] of the file; by hash the files of
    the workspace that have a blob, or had it."""

    answers: dict[str, Answer] = field(default_factory=dict)
    blobs: dict[str, list[BlobUse]] = field(default_factory=dict)
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


News = Callable[[Committed], None]
"""Tells a watch of what was done; the argument is the last entry of it."""


class Frame:
    """Operations of one file that leave together: encoded once, the same bytes for every subscriber. ``news``: what
    those hear who watch the workspace."""

    __slots__ = ("entries", "file", "news", "previous")

    def __init__(self, file: Opened, previous: int) -> None:
        self.file = file
        self.previous = previous
        self.entries: list[Committed] = []
        self.news: list[News] = []

    def __call__(self) -> None:
        file, entries = self.file, self.entries
        file.durable_version = entries[-1].version
        file.tail, file.tail_of = b"", (-1, -1)
        if file.subscribers:
            file.publish(self.previous, entries)
        for tell in self.news:
            tell(entries[-1])


Action = Callable[[], None]

NOTHING_BROUGHT: Mapping[str, int] = {}

Decision = Callable[[bool], None]
"""What to do once it is known whether everything so far is durable (True) or the session is lost (False)."""


class Pending:
    """What one workspace has done since the last commit group was closed."""

    __slots__ = ("actions", "blobs", "chain_hash", "entries", "files", "previous_sequence")

    def __init__(self, previous_sequence: int, chain_hash: bytes) -> None:
        self.previous_sequence = previous_sequence
        self.chain_hash = chain_hash
        self.entries: list[LogEntry] = []
        self.actions: list[Action] = []
        self.files: dict[int, File] = {}
        self.blobs: list[BlobUse] = []


class Committing(Protocol):
    """What a session needs of the committer: room for operations, and to be taken into the next group."""

    backlog: int

    def admit(self, count: int) -> None: ...

    def needs_commit(self, session: WorkspaceSession) -> None: ...


class WorkspaceSession:
    """One workspace in the memory of its owner. ``files``: the texts of it that are in memory; ``tree`` None: it is a
    document. ``tails``: by the key of a text that is not in memory, what is in the log and in no snapshot of it.
    ``watches``: who is told what changes in it. ``moving``: it is handed over to another instance, and takes nothing
    new in. ``withheld``: what was redacted, and is not taken in again."""

    __slots__ = (
        "_committer",
        "_forgotten",
        "_live",
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
        "moving",
        "noted_covered",
        "pending",
        "quotas",
        "registry",
        "room",
        "tails",
        "tree",
        "watches",
        "withheld",
        "workspace",
    )

    def __init__(
        self, workspace: Workspace, limits: Limits, committer: Committing, budget: Bucket, quotas: Quotas
    ) -> None:
        self.workspace = workspace
        self.budget = budget
        self.quotas = quotas
        self.allowance: Allowance | None = None
        self.room: Room | None = None
        self._live: int | None = None
        self.log_bytes = 0
        self.limits = limits
        self.last_sequence = self.durable_sequence = workspace.last_sequence
        self.chain_hash = workspace.chain_hash
        self.registry = Registry(complete=workspace.last_sequence == 0)
        self.files: dict[str, OpenFile] = {}
        self.tree: OpenTree | None = None
        self.tails: dict[int, list[LogEntry]] = {}
        self.watches: dict[Watch, None] = {}
        self.withheld: Withheld | None = None
        self.noted_covered = workspace.covered or 0
        self.pending: Pending | None = None
        self.lost = False
        self.moving = False
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
        *,
        has_room: bool = False,
    ) -> Duplicate | int:
        """The pipeline for one message, from its form to its place in the commit group. ``has_room``: `check_room` was
        asked for it and what comes with it, in this turn.

        Returns the number of operations committed to the group, or the places of a duplicate. Errors: see
        `codec.requests_of`, `_places`, `FileState.commit`; ``rate_limited``, ``permission_denied``,
        ``base_version_*``, ``text_redacted``, ``overloaded``, ``moved``. Raises Missing.
        """
        requests = codec.requests_of(message, self.limits)
        digest = request_digest(self.workspace.secret, codec.encode(message))
        operation_ids = [request.operation_id for request in requests]
        places = self._places(file, operation_ids, author.user_id, digest, evidence)
        if places is not None:
            return Duplicate(places)
        if self.moving:
            raise CoscribeError(Code.MOVED)
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
        if not has_room:
            self._check_quotas(requests)
        if self.withheld is not None:
            rebased = state.rebased(requests, concurrent)
            self.withheld.check_text(str(state.content), rebased, requests[0].operation_id)
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
        sees: Callable[[Tree, str], bool],
        brought: Mapping[str, int] = NOTHING_BROUGHT,
    ) -> Duplicate | Effect:
        """Likewise for operations on the tree, which are one operation. ``may`` is asked of the tree as it has become,
        and raises where that is not for the author to do; ``sees`` whether the author may read a file. ``brought``: the
        sizes of blobs that the author has just put into the store, by hash.

        Returns what it came to, or the place of a duplicate. Errors: see `codec.tree_operations_of`, `_places`,
        `_named_blobs`, `Tree.apply`; those of ``may``; ``rate_limited``, ``quota_exceeded``, ``text_redacted``,
        ``overloaded``, ``moved``. Raises Missing.
        """
        opened = self.tree
        if opened is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"{message.file_id!r} has no tree", file_id=message.file_id)
        operations = codec.tree_operations_of(message)
        digest = request_digest(self.workspace.secret, codec.encode(message))
        places = self._places(opened, [message.operation_id], author.user_id, digest, evidence)
        if places is not None:
            return Duplicate(places)
        if self.moving:
            raise CoscribeError(Code.MOVED)
        if not within_rate:
            raise CoscribeError(Code.RATE_LIMITED)
        if max(message.restores, default=0) > self.durable_sequence:
            raise CoscribeError(Code.INVALID_PAYLOAD, "restores names a sequence that is not there yet")
        self._check_log_quota(message.operation_id)
        self._check_allowance(sum(brought.values()), message.operation_id)
        self._committer.admit(1)
        state = opened.state
        blobs = self._named_blobs(state.tree, operations, brought, sees, evidence)
        if self._live is None and self.room is not None and self.room.most_files is not None:
            self._live = state.tree.count_live()
        effect = state.tree.apply(operations)
        try:
            may(state.tree, effect)
            if self.withheld is not None:
                self.withheld.check_effect(effect, message.operation_id)
            live = self._files_behind(state.tree, effect, message.operation_id)
            if opened.next_number + len(operations) > FILES:
                raise CoscribeError(Code.QUOTA_EXCEEDED, "the workspace has had too many files")
        except CoscribeError:
            state.tree.take_back(effect)
            raise
        self._live = live
        self._committer.backlog += 1
        previous, restores = state.last_sequence, tuple(message.restores)
        entry = state.commit(message.operation_id, effect, self.last_sequence + 1, author.user_id, digest, restores)
        opened.see(entry)
        self._record(opened, previous, [entry], author.reference, time, salts(1))
        self._note_files(opened, effect, blobs)
        if self.watches:
            self._tell_watches(state.tree, entry)
        self._count(sum(brought.values()))
        return effect

    def open_new(self, file_id: str) -> OpenFile:
        """A text that was made in this very turn: there is nothing of it to be loaded."""
        assert self.tree is not None
        assert file_id not in self.files
        state = FileState(file_id, "", 0, 0, self.limits)
        file = self.files[file_id] = OpenFile(self.tree.keys[file_id], state, GENESIS)
        file.last_used = self.last_used
        return file

    def check_room(self, texts: Sequence[str], others: int, anew: int, operation_id: str) -> None:
        """Whether the next group, the owner's allowance and the project have room for so many texts, ``anew`` of which
        take the place of another, and ``others``, bytes of contents that are none. Errors: ``overloaded``,
        ``quota_exceeded``; ``text_redacted``."""
        self._committer.admit(1 + len(texts) + anew)
        if self.withheld is not None:
            self.withheld.check_new_text("".join(reversed(texts)), operation_id)
        self._check_allowance(others + sum(len(text.encode()) for text in texts), operation_id)

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

    def has_tail(self, file: Opened, sequence: int) -> bool:
        """Whether all that came behind a sequence is in memory, for one who joins. Since a redaction nobody is told a
        tail who was there before: they get the text anew."""
        fresh_from = 0 if self.withheld is None else self.withheld.through + 1
        return sequence >= max(file.state.window.floor, fresh_from)

    def moved(self, effect: Effect) -> Iterator[OpenFile]:
        """The texts that somebody has open and that an effect, which is in the tree, has moved, trashed or restored;
        also by what it did to a folder above them."""
        if self.tree is None:
            return
        moved = frozenset(
            file_id for file_id, before, after in effect.changes if before and after and _place(before) != _place(after)
        )
        tree = self.tree.state.tree
        for file_id, file in self.files.items():
            if moved and file.participants and file_id in tree and tree.is_within(file_id, moved):
                yield file

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
        if self.allowance is not None or self.room is not None:
            self._check_allowance(needed_bytes([request.operation for request in requests]), first)

    def _check_allowance(self, needed: int, operation_id: str) -> None:
        """Errors: ``quota_exceeded``."""
        if self.room is not None:
            self.room.check_bytes(needed, operation_id)
        allowance = self.allowance
        if allowance is not None and needed > 0 and allowance.used + needed > allowance.most:
            metrics.over_quota.labels("text").inc()
            allowance.look_again()
            raise CoscribeError(
                Code.QUOTA_EXCEEDED,
                f"the documents of whoever made this one have about {allowance.used} bytes of {allowance.most}",
                operation_id=operation_id,
            )

    def _files_behind(self, tree: Tree, effect: Effect, operation_id: str) -> int | None:
        """How many files and folders there are with an effect that is in the tree, not in the trash; None: nobody needs
        to know. Errors: ``quota_exceeded``."""
        known = self._live
        if known is None or self.room is None or self.room.most_files is None:
            return None
        moved = [change for change in effect.changes if change.before is None or _hangs(change)]
        if all(change.before is None for change in moved):
            after = known + sum(tree.is_live(change.file_id) for change in moved)
        else:
            after = tree.count_live()
        self.room.check_files(known, after, operation_id)
        return after

    def _count(self, grown: int) -> None:
        """Texts and contents have so many bytes more."""
        if self.allowance is not None:
            self.allowance.used += grown
        if self.room is not None:
            self.room.used += grown

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

    def _named_blobs(
        self,
        tree: Tree,
        operations: Sequence[TreeOperation],
        brought: Mapping[str, int],
        sees: Callable[[Tree, str], bool],
        evidence: Evidence,
    ) -> dict[str, Blob]:
        """The blobs that operations name, by hash. Who may read a file may name what it has or had as its content.

        Errors: ``file_not_found``: there is no such blob, or it is not for the author to know of. Raises Missing.
        """
        named: dict[str, Blob] = {}
        missing: dict[str, None] = {}
        for operation in operations:
            if not isinstance(operation, Create | Put) or operation.kind != "binary" or operation.content in named:
                continue
            digest = operation.content
            if digest in brought:
                named[digest] = Blob(digest, brought[digest])
            elif digest not in evidence.blobs:
                missing[digest] = None
            else:
                known = [use.blob for use in evidence.blobs[digest] if use.file_id in tree and sees(tree, use.file_id)]
                if not known:
                    raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no content {digest} that you may read here")
                named[digest] = known[0]
        if missing:
            raise Missing(digests=list(missing))
        return named

    def _note_files(self, opened: OpenTree, effect: Effect, blobs: Mapping[str, Blob]) -> None:
        """The rows of files that an effect has changed go into the group."""
        pending = self._group()
        for file_id, before, after in effect.changes:
            if before is None:
                opened.keys[file_id] = file_key(self.workspace.key, opened.next_number)
                opened.next_number += 1
            key = opened.keys[file_id]
            pending.files[key] = File(key, file_id, "", after)
            if after is not None and after.kind == "binary" and after.content in blobs:
                pending.blobs.append(BlobUse(key, file_id, blobs[after.content]))
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
            if self.watches and isinstance(file, OpenFile):
                frame.news = self._news_of(file)
        file_id = file.state.file_id
        file_id_bytes = file_id.encode()
        digest = self.chain_hash
        size = 0
        for entry, salt in zip(entries, salts, strict=True):
            if isinstance(entry, CommittedEffect):
                payload = encode_effect(entry.effect, entry.restores)
            else:
                payload = encode_payload(entry.operation, entry.removed, entry.restores, entry.origin)
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
        if self.allowance is not None or self.room is not None:
            self._count(sum(added_bytes(entry.operation, entry.removed) for entry in entries))
        if not file.operations_since:
            file.oldest_since = time
        file.operations_since += len(entries)
        if not file.unsaved_from:
            file.unsaved_from = entries[0].sequence
        file.last_digest = self.chain_hash = pending.chain_hash = digest
        self.last_sequence = entries[-1].sequence

    def _tell_watches(self, tree: Tree, entry: CommittedEffect) -> None:
        """What an effect comes to by path is worked out in its turn: later the paths may be others."""
        frame = self._group().actions[-1]
        assert isinstance(frame, Frame)
        for watch in self.watches:
            rights, seen = watch.rights, entry.effect
            if not rights.is_uniform:
                if rights.view not in entry.seen:
                    entry.seen[rights.view] = seen_changes(tree, entry.effect, rights)
                seen = direct(entry.seen[rights.view])
            changes = changes_of(Before(tree), entry.sequence, seen)
            if changes:
                frame.news.append(partial(_tell_changes, watch, changes))

    def _news_of(self, file: OpenFile) -> list[News]:
        """For the frame that an edit begins: between it and the next change of the tree the path is the same."""
        assert self.tree is not None
        tree, file_id = self.tree.state.tree, file.state.file_id
        path = Before(tree).path(file_id)
        if path is None:
            return []
        state = tree.state(file_id)
        shown = [watch for watch in self.watches if watch.rights.shows(path, is_folder=False)]
        return [partial(_tell_edit, watch, file_id, path, state) for watch in shown]

    def _group(self) -> Pending:
        if self.pending is None:
            self.pending = Pending(self.last_sequence, self.chain_hash)
            self._committer.needs_commit(self)
        return self.pending


def _hangs(change: NodeChange) -> bool:
    """Whether something hangs elsewhere now, or is in the trash, or not any more."""
    _, before, after = change
    return before is None or after is None or (before.parent_id, before.trashed) != (after.parent_id, after.trashed)


def _place(node: NodeState) -> tuple[str, str, bool]:
    return node.parent_id, node.name, node.trashed


def _tell_changes(watch: Watch, changes: Sequence[Change], _: Committed) -> None:
    watch.changed(changes)


def _tell_edit(watch: Watch, file_id: str, path: str, state: NodeState, last: Committed) -> None:
    watch.edited(edit_of(last.sequence, file_id, path, last.version, state))
