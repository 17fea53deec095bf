"""A small authoritative server, clients, and a network between them that delivers when chance says so.

Everybody types into one file. Every inserted character is unique, so that each can be followed: `Book` remembers
what was meant to be inserted and deleted, and by whom, and what the server made of it is compared with that.
"""

from __future__ import annotations

import os
import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from coscribe.client.pending import PendingFile
from coscribe.client.replica import Applied, Batching, Gap, Replica
from coscribe.core.document_state import FileState, Limits
from coscribe.core.op_window import Committed
from coscribe.core.operation import Operation, apply, components, deleted_text
from coscribe.protocol import codec, messages

FILE = "notes"
INCARNATION = "one"
LIMITS = Limits(window_operations=1_000_000, window_bytes=1_000_000_000)


def seeds(count: int) -> Iterator[random.Random]:
    """``count`` generators; the seed of each is printed when its turn comes, COSCRIBE_SEED starts with that one."""
    first = int(os.environ.get("COSCRIBE_SEED", random.randrange(2**32)))
    for seed in range(first, first + count):
        print(f"replay with: COSCRIBE_SEED={seed} pytest {os.environ.get('PYTEST_CURRENT_TEST', '').split(' ')[0]}")
        yield random.Random(seed)


class Alphabet:
    """Characters beyond U+FFFF, each handed out once."""

    def __init__(self) -> None:
        self._next = 0xF0000

    def take(self, count: int) -> str:
        taken = "".join(map(chr, range(self._next, self._next + count)))
        self._next += count
        assert self._next < 0xFFFFE
        return taken


def inserted_text(operation: Operation) -> str:
    return "".join(part for part in components(operation) if isinstance(part, str))


class Book:
    """What was asked for: per operationId, and over all."""

    def __init__(self) -> None:
        self.inserts: dict[str, Counter[str]] = {}
        self.deletes: dict[str, Counter[str]] = {}

    def note(self, operation_id: str, inserted: str, deleted: str) -> None:
        self.inserts.setdefault(operation_id, Counter()).update(inserted)
        self.deletes.setdefault(operation_id, Counter()).update(deleted)

    def check(self, log: Sequence[Committed], text: str) -> None:
        """Each operation did what was asked for and no more; what nobody deleted is there, once."""
        for entry in log:
            inserted, removed = Counter(inserted_text(entry.operation)), Counter(entry.removed)
            inserts, deletes = self.inserts[entry.operation_id], self.deletes[entry.operation_id]
            assert inserted <= inserts, "inserted what nobody asked for"
            assert removed <= deletes, "deleted what nobody asked for"
            assert inserts - inserted <= deletes, "an insert is lost"
        inserts = sum(self.inserts.values(), Counter[str]())
        deletes = sum(self.deletes.values(), Counter[str]())
        there = Counter(text)
        for char, times in inserts.items():
            if not deletes[char]:
                assert there[char] == times
            elif times == 1:
                assert not there[char]


class Server:
    """Rebases, numbers, and remembers everything. ``texts``: the text at each sequence."""

    def __init__(self, text: str = "") -> None:
        self.state = FileState(FILE, text, 0, 0, LIMITS)
        self.log: list[Committed] = []
        self.texts = [text]
        self._requests: dict[str, bytes] = {}

    @property
    def text(self) -> str:
        return str(self.state.content)

    def submit(self, raw: bytes) -> bytes | None:
        """The frame for everybody; None for what is committed already."""
        message = codec.decode_client(raw)
        assert isinstance(message, messages.Operation | messages.Chain)
        requests = codec.requests_of(message, LIMITS)
        known = [self._requests.get(request.operation_id) for request in requests]
        if any(known):
            assert set(known) == {raw}, "a message was resent with other bytes"
            return None
        concurrent = self.state.concurrent_since(message.base_version)
        assert concurrent is not None
        previous = self.state.last_sequence
        entries = self.state.commit(requests, message.base_version, concurrent, previous + 1, message.user_id, b"")
        for entry in entries:
            self._requests[entry.operation_id] = raw
            self.log.append(entry)
            self.texts.append(apply(self.texts[-1], entry.operation))
        assert self.texts[-1] == self.text
        return self.frame_after(previous)

    def frame_after(self, sequence: int) -> bytes:
        """Everything behind ``sequence`` in one frame."""
        encoded = [codec.encode_entry(entry) for entry in self.log[sequence:]]
        return codec.committed_frame(FILE, sequence, _digest(len(self.log)), encoded)

    def skip(self, sequences: int) -> None:
        """As if so many operations had been committed that came to nothing."""
        self.state.last_sequence += sequences

    def snapshot(self) -> messages.Snapshot:
        sequence, version = self.state.last_sequence, self.state.version
        digest = _digest(sequence).hex()
        return messages.Snapshot(FILE, version, sequence, INCARNATION, digest, "editor", [], False, self.text)


def _digest(sequence: int) -> bytes:
    return sequence.to_bytes(32, "big")


def opened(server: Server, user: str = "ann", batching: Batching = Batching.COMPOSE, **settings: int) -> Replica:
    """A replica with the server's text."""
    replica = Replica(FILE, f"{user}-{random.randrange(2**64)}", batching=batching, **settings)
    replica.user_id = user
    replica.adopt(server.snapshot())
    return replica


def delivered(replica: Replica, raw: bytes) -> list[Applied]:
    """Hands a frame to a replica."""
    message = codec.decode_server(raw)
    assert isinstance(message, messages.Committed)
    return replica.receive(message.operations, message.previous_sequence_id, message.chain_hash)


class Peer:
    """A client with its two halves of the network: ``up`` to the server, ``down`` from it."""

    def __init__(self, name: str, batching: Batching, server: Server, book: Book, folder: Path | None) -> None:
        self.name = name
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self._batching = batching
        self._server = server
        self._book = book
        self._mine: set[str] = set()
        self._dropped: set[str] = set()
        self._file = PendingFile(folder / f"{name}.json") if folder is not None else None
        self._frozen = b""
        self.replica = opened(server, name, batching)

    # ---- what chance may ask for

    def type(self, rng: random.Random, alphabet: Alphabet) -> None:
        """One to three edits at once, near each other and near the ends as often as not."""
        size = len(self.replica.text)
        edits: list[tuple[int, int, str]] = []
        position = 0
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            position += rng.choice((0, 0, 1, rng.randint(0, size), size))
            if position > size:
                break
            deleted = min(size - position, rng.choice((0, 0, 0, 1, 2, 5)))
            edits.append((position, deleted, alphabet.take(rng.choice((0, 1, 1, 2)))))
            position += deleted
        before = self.replica.text
        self._note(before, self.replica.edit(edits))

    def take_back(self, *, redo: bool) -> None:
        """Undo, or redo: touches our own characters only."""
        before = self.replica.text
        applied = self.replica.redo() if redo else self.replica.undo()
        if applied is not None:
            assert set(deleted_text(before, applied.operation)) <= self._mine, "undo took what is not ours"
            assert set(inserted_text(applied.operation)) <= self._dropped, "undo brought back what we never deleted"
            self._note(before, applied)

    def send(self) -> None:
        message = self.replica.outgoing()
        self._save()
        if message is not None:
            self._frozen = message
            self.up.append(message)

    def upload(self, twice: bool) -> list[bytes]:
        """The server takes the oldest message; what it broadcasts."""
        raw = self.up[0] if twice else self.up.popleft()
        frame = self._server.submit(raw)
        return [] if frame is None else [frame]

    def download(self, twice: bool) -> None:
        raw = self.down[0] if twice else self.down.popleft()
        try:
            self._receive(raw)
        except Gap:
            self.reconnect()

    def lose(self) -> None:
        """A frame goes missing on the way down."""
        if self.down:
            self.down.popleft()

    def reconnect(self) -> None:
        """What was on the way is lost; the tail comes, and what is in flight is sent again."""
        self.up.clear()
        self.down.clear()
        self._receive(self._server.frame_after(self.replica.sequence))
        if self.replica.in_flight:
            self.up.append(self.replica.message)

    def restart(self) -> None:
        """The process dies; a new one has the pending file, a snapshot, and the operations between."""
        self.up.clear()
        self.down.clear()
        replica = self.replica = Replica(FILE, f"{self.name}-{random.randrange(2**64)}", batching=self._batching)
        replica.user_id = self.name
        assert self._file is not None
        if self._file.load(replica):
            assert not replica.in_flight or replica.message == self._frozen
            delivered(replica, self._server.frame_after(replica.sequence))
        replica.adopt(self._server.snapshot())
        self.check()
        if replica.in_flight:
            self.up.append(replica.message)

    # ---- what must hold

    def check(self) -> None:
        """The text is the server's at our sequence with what is pending on top; what is in flight is frozen."""
        replica = self.replica
        text = self._server.texts[replica.sequence]
        for pending in replica.pending:
            text = apply(text, pending.operation)
        assert replica.text == text
        assert replica.message == (self._frozen if replica.in_flight else b"")

    def _receive(self, raw: bytes) -> None:
        text = self.replica.text
        for applied in delivered(self.replica, raw):
            text = apply(text, applied.operation)
        assert self.replica.text == text, "what is told of the changes is not what happened"
        if self.replica.is_idle:
            self._save()
        self.check()

    def _note(self, before: str, applied: Applied) -> None:
        inserted, deleted = inserted_text(applied.operation), deleted_text(before, applied.operation)
        assert self.replica.text == apply(before, applied.operation)
        self._mine.update(inserted)
        self._dropped.update(deleted)
        self._book.note(self.replica.queue[-1].operation_id, inserted, deleted)
        self._save()

    def _save(self) -> None:
        if self._file is not None:
            self._file.save(self.replica)


class Network:
    """``peers`` clients of all batchings, on one file. With a ``folder`` for pending edits frames are lost and come
    twice, connections break and processes die."""

    def __init__(self, rng: random.Random, peers: int, folder: Path | None) -> None:
        self._rng = rng
        self._faulty = folder is not None
        self._alphabet = Alphabet()
        self.book = Book()
        text = self._alphabet.take(rng.choice((0, 1, 4, 20)))
        self.book.note("the beginning", text, "")
        self.server = Server(text)
        kinds = list(Batching)
        self.peers = [
            Peer(f"u{n}", kinds[(n + len(text)) % len(kinds)], self.server, self.book, folder) for n in range(peers)
        ]

    def run(self, steps: int) -> None:
        rng = self._rng
        haste = rng.random()
        for _ in range(steps):
            peer = rng.choice(self.peers)
            if rng.random() < haste:
                self._move(peer, self._faulty)
            else:
                self._act(peer)
            peer.check()

    def settle(self) -> None:
        """Delivers everything, until nobody has anything left to say."""
        for peer in self.peers:
            peer.reconnect()
        while True:
            for peer in self.peers:
                peer.send()
            busy = [peer for peer in self.peers if peer.up or peer.down]
            if not busy:
                return
            self._move(self._rng.choice(busy), repeating=False)

    def check(self) -> None:
        """Everybody has the server's text, and the text is what they asked for."""
        server = self.server
        for peer in self.peers:
            replica = peer.replica
            assert replica.is_idle
            assert replica.text == server.text
            assert (replica.version, replica.sequence) == (server.state.version, server.state.last_sequence)
            assert replica.chain_hash == _digest(replica.sequence).hex()
        assert [entry.sequence for entry in server.log] == list(range(1, len(server.log) + 1))
        self.book.check(server.log, server.text)

    def _act(self, peer: Peer) -> None:
        rng = self._rng
        chance = rng.random()
        if chance < 0.55:
            peer.type(rng, self._alphabet)
        elif chance < 0.75:
            peer.take_back(redo=rng.random() < 0.4)
        elif not self._faulty or chance < 0.92:
            peer.send()
        elif chance < 0.95:
            peer.lose()
        elif chance < 0.985:
            peer.reconnect()
        else:
            peer.restart()

    def _move(self, peer: Peer, repeating: bool) -> None:
        rng = self._rng
        twice = repeating and rng.random() < 0.1
        if peer.up and (not peer.down or rng.random() < 0.5):
            for frame in peer.upload(twice):
                for other in self.peers:
                    other.down.append(frame)
        elif peer.down:
            peer.download(twice)
