"""A client that believes nothing, behind a transport: what it is told has to be one gap-free story.

Texts follow from the frames by the naive oracle; what is acknowledged, shown and hashed is looked up in the log by
tests/simulation/oracle.py. ``guard`` runs each check, as it is made within the product, which must not swallow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coscribe.core.errors import CoscribeError
from coscribe.gateway.connection import Connection
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Have
from tests.core.naive import naive_apply
from tests.simulation.oracle import Oracle, require, wire_notation

_CLOSING = ("access_removed", "file_not_found", "not_a_text")
"""What a file is closed with; said to who had it not open, they close nothing."""


@dataclass(slots=True)
class View:
    """What somebody has of a file, by the frames alone. ``past``: where it has been, with the digests.

    ``is_open``: something of it has come since it was opened; ``may_be_left``: it was asked to be closed.
    """

    is_open: bool = False
    may_be_left: bool = False
    text: str = ""
    sequence: int = 0
    version: int = 0
    past: list[tuple[int, str]] = field(default_factory=list)
    asked: set[tuple[str, ...]] = field(default_factory=set)

    def at(self, sequence: int, version: int, digest: str) -> None:
        self.sequence, self.version = sequence, version
        if (sequence, digest) not in self.past:
            self.past.append((sequence, digest))

    def answered(self, operation_id: str) -> None:
        """What is said of one operation of a chain is said of all."""
        self.asked = {ids for ids in self.asked if operation_id not in ids}

    def close(self) -> None:
        self.is_open = False
        self.asked.clear()


class Reader:
    """A transport, and a client behind it that believes nothing."""

    connection: Connection

    def __init__(self, user: str, oracle: Oracle, guard: Callable[[Callable[[], None]], None]) -> None:
        self.user = user
        self._oracle = oracle
        self._guard = guard
        self.frames: list[bytes] = []
        self.views: dict[str, View] = {}
        self.have: dict[str, list[Have | None]] = {}
        self.waiting = 0
        self.is_closed = False
        self.pongs = 0

    def view(self, file_id: str) -> View:
        return self.views.setdefault(file_id, View())

    # ---- a transport

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._guard(lambda: self.read(frame))

    def ping(self) -> None:
        """Whoever is silent too long is closed."""

    def buffered(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.is_closed = True

    # ---- a client

    def says(self, frame: bytes) -> None:
        """Notes what has to be answered."""
        try:
            message = codec.decode_client(frame)
        except CoscribeError:
            return
        if isinstance(message, messages.Operation | messages.Chain | messages.TreeOperation) and not self.is_closed:
            elements = message.operations if isinstance(message, messages.Chain) else [message]
            self.view(message.file_id).asked.add(tuple(element.operation_id for element in elements))
        elif isinstance(message, messages.Join):
            self.have.setdefault(message.file_id, []).append(message.have)
        elif isinstance(message, messages.Leave):
            self.view(message.file_id).may_be_left = True
            self.view(message.file_id).asked.clear()

    def read(self, frame: bytes) -> None:
        require(not self.is_closed, "something is said to who is gone")
        message = codec.decode_server(frame)
        self._oracle.sent(frame)
        if isinstance(message, messages.Error):
            require(message.code != "internal", "something failed within")
            self._refused(message)
        elif isinstance(message, messages.Pong):
            self.pongs += 1
        elif isinstance(message, messages.Rejoin):
            self.view(message.file_id).close()
        elif isinstance(message, messages.Ack):
            for place in message.operations:
                self.view(message.file_id).answered(place.operation_id)
        elif isinstance(message, messages.Snapshot):
            self._snapshot(message, self.view(message.file_id))
        elif isinstance(message, messages.TreeSnapshot):
            view = self.view(message.file_id)
            view.is_open, view.may_be_left = True, False
            view.at(message.snapshot_sequence_id, 0, message.chain_hash)
        elif isinstance(message, messages.TreeCommitted):
            self._tree_committed(message, self.view(message.file_id))
        elif isinstance(message, messages.Committed):
            self._committed(message, self.view(message.file_id))
        elif isinstance(message, messages.Live):
            self._live(message, self.view(message.file_id))
        elif isinstance(message, messages.Resent):
            self._follow_each_other(message.file_id, message.previous_sequence_id, message.operations)
        elif isinstance(message, messages.TreeResent):
            self._follow_each_other(message.file_id, message.previous_sequence_id, message.entries)

    def _refused(self, message: messages.Error) -> None:
        if message.file_id is None:
            return
        view = self.view(message.file_id)
        if message.operation_id is not None:
            view.answered(message.operation_id)
        if message.operation_id is None and message.code in _CLOSING:
            view.close()

    def _snapshot(self, message: messages.Snapshot, view: View) -> None:
        said = [self._is_known(message.file_id, have) for have in self.have.get(message.file_id, [])]
        require(not message.lineage_lost or not all(said), "what a replica has is not known any more")
        require(
            message.lineage_lost or any(known is not False for known in said), "what a replica says it has is taken"
        )
        view.text, view.is_open, view.may_be_left = message.content, True, False
        view.at(message.snapshot_sequence_id, message.snapshot_version, message.chain_hash)

    def _is_known(self, file_id: str, have: Have | None) -> bool | None:
        """Whether a past is one of the log's. None: there is none, or the one that everybody knows."""
        if have is None or have.server_sequence_id == 0:
            return None
        truth = self._oracle.truth(file_id)
        is_there = have.server_sequence_id <= truth.sequence
        is_same = is_there and have.chain_hash == truth.digest_at(have.server_sequence_id)
        return is_same and have.incarnation == "memory"

    def _committed(self, message: messages.Committed, view: View) -> None:
        if not view.is_open or (view.may_be_left and message.previous_sequence_id != view.sequence):
            self._from_past(message.file_id, view, message.previous_sequence_id)
        require(message.previous_sequence_id == view.sequence, f"a gap behind {view.sequence}: {message}")
        self._follow_each_other(message.file_id, view.sequence, message.operations)
        for operation in message.operations:
            view.text = naive_apply(view.text, wire_notation(operation) or [])
            view.sequence, view.version = operation.server_sequence_id, operation.document_version
            view.answered(operation.operation_id)
        view.at(view.sequence, view.version, message.chain_hash)

    def _tree_committed(self, message: messages.TreeCommitted, view: View) -> None:
        """What the tree is then the oracle knows; that nothing of it is left out is seen here."""
        if not view.is_open or (view.may_be_left and message.previous_sequence_id != view.sequence):
            self._from_past(message.file_id, view, message.previous_sequence_id)
        require(message.previous_sequence_id == view.sequence, f"a gap behind {view.sequence}: {message}")
        self._follow_each_other(message.file_id, view.sequence, message.entries)
        for entry in message.entries:
            view.answered(entry.operation_id)
            view.at(entry.server_sequence_id, 0, message.chain_hash)

    def _follow_each_other(
        self, file_id: str, previous: int, entries: Sequence[messages.CommittedOperation | messages.TreeEntry]
    ) -> None:
        """In the log there is nothing of the file behind ``previous``, and between them, that is left out."""
        truth = self._oracle.truth(file_id)
        count = truth.count_at(previous)
        for entry in entries:
            count += 1
            require(truth.count_at(entry.server_sequence_id) == count, f"a gap behind {previous}: {entries}")

    def _live(self, message: messages.Live, view: View) -> None:
        if not view.is_open or (view.may_be_left and message.server_sequence_id != view.sequence):
            self._from_past(message.file_id, view, message.server_sequence_id)
        require(message.server_sequence_id == view.sequence, f"live at {message.server_sequence_id}, it has another")
        require(message.document_version == view.version, "live at another version")
        if isinstance(message.last_cursor, messages.Cursor):
            end = len(view.text)
            inside = message.last_cursor.anchor <= end and message.last_cursor.head <= end
            require(inside, f"a caret at {message.last_cursor} of a text of {end}")

    def _from_past(self, file_id: str, view: View, sequence: int) -> None:
        """A join has named a past that the log knows: the text of then is the one that goes on."""
        truth = self._oracle.truth(file_id)
        digest = truth.digest_at(sequence)
        known = [(have.server_sequence_id, have.chain_hash) for have in self.have.get(file_id, []) if have is not None]
        require((sequence, digest) in known, "a tail for who was never there")
        view.text = "" if file_id in self._oracle.trees else truth.text_at(sequence)
        view.is_open, view.may_be_left = True, False
        view.at(sequence, truth.version_at(sequence), digest)

    # ---- the end

    def at_rest(self) -> None:
        if self.is_closed:
            return
        require(self.pongs > 0 or self.connection.identity is None, "a ping is not answered")
        live = [member.file.state.file_id for member in self.connection.memberships("") if member.live]
        for file_id, view in self.views.items():
            truth = self._oracle.truth(file_id)
            require(not view.asked, f"nobody has answered {view.asked} on {file_id}")
            if file_id in live:
                require(view.sequence == truth.sequence, f"somebody stays at {view.sequence} of {truth.sequence}")
                require(view.text == truth.texts[-1], f"somebody has {view.text!r}, not {truth.texts[-1]!r}")
