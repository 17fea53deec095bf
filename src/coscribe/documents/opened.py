"""What somebody can have open: a text or the tree of a workspace, in the memory of its owner.

Both keep who has them open, what the Snapshot Manager counts, and say in bytes what is sent of them. Of a tree not
everybody sees all: see `OpenTree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coscribe.core.document_state import FileState
from coscribe.core.errors import CoscribeError
from coscribe.core.op_window import Committed, OpWindow
from coscribe.core.tree import NO_EFFECT, ROOT, Effect, Tree
from coscribe.core.tree_state import CommittedEffect, TreeState
from coscribe.documents.paths import seen_changes, view
from coscribe.documents.ports import PathRights, Subscriber
from coscribe.model import LogEntry, committed_from, effect_from
from coscribe.protocol import codec
from coscribe.protocol.messages import OperationFate, Participant, Role, Snapshot, TreeSnapshot

CACHED_SNAPSHOT_LENGTH = 65_536
"""From this many code points on the JSON form of a text is kept for the next join."""

NO_DIGEST = b""
"""In the place of a digest in what is sent of a view: it is no point of the log's past, whatever rules hold later."""

NODE_BYTES = 650
"""What a node of a tree takes in memory."""


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
    ``views``: of a workspace with a tree, the rights of those participants for whom paths differ.
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
        "views",
    )

    def __init__(self, file_key: int, version: int, last_digest: bytes) -> None:
        self.file_key = file_key
        self.last_digest = last_digest
        self.durable_version = version
        self.horizon = 0
        self.subscribers: dict[Subscriber, None] = {}
        self.participants: dict[Subscriber, Participant] = {}
        self.views: dict[Subscriber, PathRights] = {}
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
        self.views.clear()
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

    Those in ``views`` do not see all of it. What they are sent is worked out in the turn, when the tree is as the entry
    leaves it; so of what was before they joined there is nothing for them but a snapshot.
    """

    __slots__ = ("keys", "next_number", "state")

    def __init__(
        self, file_key: int, state: TreeState, last_digest: bytes, keys: dict[str, int], next_number: int
    ) -> None:
        super().__init__(file_key, 0, last_digest)
        self.state = state
        self.keys = keys
        self.next_number = next_number

    def size(self) -> int:
        return NODE_BYTES * len(self.state.tree)

    def see(self, entry: CommittedEffect) -> None:
        """Works out what an entry that has just been made comes to in the views."""
        for rights in self.views.values():
            if rights.view not in entry.seen:
                entry.seen[rights.view] = seen_changes(self.state.tree, entry.effect, rights)

    def frame(self, previous: int, entries: Sequence[Committed]) -> bytes:
        root = self.state.file_id
        encoded = [codec.encode_effect_entry(entry, effect_of(entry), root) for entry in entries]
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
        return codec.tree_frame(root, previous, NO_DIGEST, encoded) if encoded else b""

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
        digest = NO_DIGEST if subscriber in self.views else self.last_digest
        nodes = [codec.placed_node(file_id, tree.state(file_id), root) for file_id in tree.below(ROOT)]
        return codec.encode(
            TreeSnapshot(
                root,
                state.last_sequence,
                lineage.incarnation,
                digest.hex(),
                lineage.role,
                lineage.fates,
                lineage.lineage_lost,
                tree.folds_case,
                nodes,
            )
        )


def effect_of(entry: Committed) -> Effect:
    assert isinstance(entry, CommittedEffect)
    return entry.effect


Opened = OpenFile | OpenTree
