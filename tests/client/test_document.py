"""The states of a document, against a server whose every message is scripted; and what its methods refuse."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from coscribe.client import Change, Client, ClientSettings, Document, PendingFile, document
from coscribe.client import opened as opened_module
from coscribe.client.document import MAX_UNDO_BRIDGE
from coscribe.client.opened import State
from coscribe.client.replica import Batching, Replica
from coscribe.core.errors import Code, CoscribeError
from coscribe.model import content_hash
from coscribe.protocol import codec, messages
from tests.client.crew import left_in
from tests.client.network import FILE, INCARNATION, Server, opened

FOREVER = 60.0
"""Seconds no test needs."""

_M = TypeVar("_M", bound=messages.ClientMessage)

ROOMY = messages.ServerLimits(8_000_000, 1_000_000, 16_000_000, 256, 1_024)


class Scripted(Client):
    """A client with one document and no connection: `sent` is what it would send, `later` what it would do later."""

    def __init__(
        self, server: Server, limits: messages.ServerLimits = ROOMY, settings: ClientSettings | None = None
    ) -> None:
        super().__init__("ws://nowhere", "token", settings)
        self.server = server
        self.frames: list[bytes] = []
        self.later: list[Callable[[], None]] = []
        self.attempts: list[int] = []
        self.pauses: list[float] = []
        self.notes: Document = self.open_offline(FILE)
        self.limits = limits
        self.user_id = "ann"

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def retry_later(self, action: Callable[[], None], attempt: int) -> None:
        self.later.append(action)
        self.attempts.append(attempt)

    def run_later(self, action: Callable[[], None], pause: float) -> None:
        self.later.append(action)
        self.pauses.append(pause)

    @property
    def sent(self) -> list[messages.ClientMessage]:
        """What was sent since this was asked last."""
        frames, self.frames = self.frames, []
        return [codec.decode_client(frame) for frame in frames]

    async def says(self, kind: type[_M]) -> _M:
        """The next message of a kind that is sent, sooner or later."""
        async with asyncio.timeout(FOREVER):
            while True:
                for message in self.sent:
                    if isinstance(message, kind):
                        return message
                await asyncio.sleep(0.005)

    def copied(self) -> bytes:
        """The message that a copy of this device would send now."""
        replica = copy.deepcopy(self.notes._replica)
        return replica.outgoing() or b""

    def wait_out(self) -> None:
        later, self.later = self.later, []
        for action in later:
            action()

    # ---- the server's side

    def snapshot(
        self,
        *,
        lineage_lost: bool = False,
        incarnation: str = INCARNATION,
        fates: Sequence[messages.OperationFate] = (),
    ) -> None:
        snapshot = self.server.snapshot()
        snapshot.fates = list(fates)
        snapshot.lineage_lost = lineage_lost
        snapshot.incarnation = incarnation
        self.notes.receive(snapshot)

    def live(self) -> None:
        state = self.server.state
        self.notes.receive(
            messages.Live(FILE, state.last_sequence, state.version, INCARNATION, "editor", [], participants=[])
        )

    def committed(self, after: int | None = None, through: int | None = None) -> None:
        self.notes.receive(self._frame(self.notes.sequence if after is None else after, through))

    def resent(self, through: int | None = None) -> None:
        frame = self._frame(self.notes.sequence, through)
        self.notes.receive(messages.Resent(FILE, frame.previous_sequence_id, frame.chain_hash, False, frame.operations))

    def _frame(self, after: int, through: int | None) -> messages.Committed:
        """Operations behind ``after``, up to ``through`` or as far as there are any."""
        frame = codec.decode_server(self.server.frame_after(after))
        assert isinstance(frame, messages.Committed)
        if through is not None:
            del frame.operations[through - after :]
            frame.chain_hash = f"{through:064x}"
        return frame

    def refuse(self, code: Code, operation_id: str | None = None) -> None:
        self.notes.receive(codec.error_message(CoscribeError(code, "scripted"), FILE, operation_id))

    def checksum(self) -> None:
        state = self.server.state
        digest = content_hash(self.server.text).hex()
        self.notes.receive(messages.Checksum(FILE, state.version, state.last_sequence, digest))

    def join(self) -> Document:
        """From no connection to live, by a snapshot."""
        self.notes.connected()
        self.snapshot()
        self.live()
        assert self.notes.state is State.LIVE
        return self.notes

    def others(self, *edits: tuple[int, int, str]) -> None:
        """Somebody else edits; nobody is told yet."""
        bob = opened(self.server, "bob")
        bob.edit(edits)
        assert self.server.submit(bob.outgoing() or b"") is not None


def kinds(sent: Sequence[messages.ClientMessage]) -> list[str]:
    return [type(message).__name__ for message in sent]


def frozen(client: Scripted) -> bytes:
    """The one frame that was sent."""
    (frame,) = client.frames
    client.frames = []
    return frame


async def test_joining_by_snapshot_then_by_tail() -> None:
    client = Scripted(Server("text"))
    notes = client.notes
    notes.connected()
    assert client.sent == [messages.Join(FILE, last_cursor=True)]
    client.snapshot()
    assert client.sent == [messages.SnapshotApplied(FILE, 0)]
    client.live()
    assert (notes.state, notes.text, notes.role) == (State.LIVE, "text", "editor")
    client.others((0, 0, "<"))
    client.committed()
    notes.disconnected()
    notes.insert(5, ">")
    client.others((0, 0, "<"))
    notes.connected()
    (join,) = client.sent
    assert isinstance(join, messages.Join)
    assert join.have == messages.Have(INCARNATION, 1, f"{1:064x}", 1)
    client.committed()
    client.live()
    assert kinds(client.sent) == ["Operation"]
    assert notes.text == "<<text>"


async def test_operations_that_were_overtaken_are_waited_for() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    for insert in "123":
        client.others((0, 0, insert))
    client.committed(after=2)
    client.committed(after=1, through=2)
    assert notes.text == "text"
    client.committed(after=0, through=1)
    assert notes.text == "321text"
    client.committed(after=1)
    assert (notes.state, notes.text, notes.sequence) == (State.LIVE, "321text", 3)
    assert notes._missing is None, "there is nothing to ask for"
    assert client.sent == []


async def test_operations_that_do_not_come_are_asked_for() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    for insert in "1234":
        client.others((0, 0, insert))
    client.frames.clear()
    client.committed(after=1, through=2)
    client.committed(after=3)
    ask = await client.says(messages.Resend)
    assert (ask.have.server_sequence_id, ask.through_sequence_id) == (0, 1)
    client.resent(through=1)
    assert notes.text == "21text"
    ask = await client.says(messages.Resend)
    assert (ask.have.server_sequence_id, ask.through_sequence_id) == (2, 3)
    client.resent(through=3)
    assert (notes.state, notes.text, notes.sequence) == (State.LIVE, "4321text", 4)


async def test_a_checksum_beyond_what_we_have_tells_of_a_gap() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.others((0, 0, "1"))
    notes.check()
    client.frames.clear()
    client.checksum()
    ask = await client.says(messages.Resend)
    assert ask.have.server_sequence_id == 0
    client.resent()
    assert (notes.text, notes.heals) == ("1text", 0)


@pytest.mark.parametrize("refused", [False, True])
async def test_a_gap_that_is_not_closed_is_by_joining_again(refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_module, "ANSWER_SECONDS", FOREVER if refused else 0.01)
    client = Scripted(Server("text"))
    notes = client.join()
    client.others((0, 0, "1"))
    client.others((0, 0, "2"))
    client.frames.clear()
    client.committed(after=1)
    await client.says(messages.Resend)
    if refused:
        client.refuse(Code.HISTORY_UNAVAILABLE, None)
    await client.says(messages.Join)
    assert notes.state is State.JOINING
    client.committed(after=1)
    client.committed(after=0)
    client.live()
    assert (notes.state, notes.text) == (State.LIVE, "21text")


async def test_nothing_is_asked_for_once_access_has_ended() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.others((0, 0, "1"))
    client.others((0, 0, "2"))
    client.committed(after=1)
    asked = notes._missing
    assert asked is not None
    client.refuse(Code.ACCESS_REMOVED)
    assert notes.state is State.ENDED
    assert asked.cancelled()


async def test_what_comes_early_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_module, "MAX_EARLY", 2)
    client = Scripted(Server("text"))
    client.join()
    for insert in "1234":
        client.others((0, 0, insert))
    client.frames.clear()
    for after in (1, 2, 3):
        client.committed(after=after, through=after + 1)
    assert kinds(client.sent) == ["Leave", "Join"]


async def test_a_chain_of_which_a_copy_of_the_device_has_sent_a_part_is_handed_back() -> None:
    client = Scripted(Server("text"), settings=ClientSettings(batching=Batching.CHAIN))
    notes = client.join()
    notes.disconnected()
    notes.insert(0, "a")
    alone = client.copied()
    notes.insert(1, "b")
    notes.connected()
    client.committed()
    client.live()
    first, second = (pending.operation_id for pending in notes._replica.in_flight)
    assert client.server.submit(alone) is not None
    client.committed()
    assert [pending.operation_id for pending in notes._replica.in_flight] == [second]
    client.refuse(Code.CHAIN_MISMATCH, first)
    assert [patch.edits for patch in notes.patches] == [[[(1, 0, "b")]]]
    client.snapshot()
    client.live()
    assert (notes.state, notes.text, notes.pending) == (State.LIVE, "atext", 0)


async def test_an_id_that_a_copy_of_the_device_has_used_for_something_else_is_not_taken_for_ours() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    copied = copy.deepcopy(notes._replica)
    notes.insert(4, " of ours")
    copied.edit([(0, 2, "")])
    assert client.server.submit(copied.outgoing() or b"") is not None
    client.committed()
    (patch,) = notes.patches
    assert (patch.code, patch.edits) == ("operation_id_reused", [[(4, 0, " of ours")]])
    with pytest.raises(ValueError, match="fetched anew"):
        notes.insert(0, "x")
    client.snapshot()
    client.live()
    assert (notes.text, notes.state, notes.pending) == ("xt", State.LIVE, 0)


async def test_a_frozen_message_is_sent_again_after_a_reconnect_and_after_a_rate_limit() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.insert(0, "x")
    first = frozen(client)
    operation_id = codec.decode_client(first).operation_id  # type: ignore[union-attr]  # it is an Operation
    notes.disconnected()
    client.others((0, 4, ""))
    notes.connected()
    client.committed()
    client.live()
    assert client.frames[-1] == first
    client.frames.clear()
    for _ in range(3):
        client.refuse(Code.RATE_LIMITED, operation_id)
    async with asyncio.timeout(30):
        while not client.frames:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0.01)
    assert client.frames == [first]


async def test_what_is_sent_is_in_the_pending_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it the other way round, a process that dies in between would send it again as something else."""
    client = Scripted(Server("text"), settings=ClientSettings(pending_folder=tmp_path))
    notes = client.join()
    client.frames.clear()
    kept: list[bytes] = []

    def send(frame: bytes) -> None:
        stored = Replica(FILE, "another")
        stored.user_id = "ann"
        assert PendingFile.in_folder(tmp_path, "ann", FILE).load(stored)
        kept.append(stored.message)
        client.frames.append(frame)

    monkeypatch.setattr(client, "send", send)
    notes.insert(0, "first")
    notes.insert(0, "second")
    assert client.server.submit(client.frames[-1]) is not None
    client.committed()
    assert client.server.submit(client.frames[-1]) is not None
    assert kept == client.frames
    assert len(kept) == 2
    client.committed()
    assert (notes.pending, left_in(tmp_path)) == (0, [])


async def test_edits_go_on_while_the_past_is_bridged() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, " one")
    client.others((0, 0, ">> "))
    notes.connected()
    client.snapshot()
    assert notes.state is State.BRIDGING
    assert notes.text == "text one"
    notes.insert(8, " two")
    notes.delete(0, 1)
    client.resent()
    assert notes.text == ">> ext one two"
    client.live()
    assert notes.pending == 1
    assert client.server.submit(client.frames[-1]) is not None
    client.committed()
    assert (client.server.text, notes.pending, notes.patches) == (">> ext one two", 0, [])


async def test_what_the_bridge_brings_is_told_although_it_breaks() -> None:
    """Where the connection is lost in the middle, the rest comes as a tail, and no snapshot says it all again."""
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, "!")
    client.others((0, 0, "one "))
    client.others((4, 0, "two "))
    notes.connected()
    client.snapshot()
    told: list[Change] = []
    notes.listen(told.append)
    client.resent(through=1)
    assert told == [Change([(0, 0, "one ")], "bob")]
    assert notes.text == "one text!"


async def test_being_joined_already_while_the_past_is_bridged_costs_nobody_anything() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, "!")
    client.others((0, 0, "one "))
    notes.connected()
    client.snapshot()
    client.frames.clear()
    client.refuse(Code.ALREADY_JOINED)
    leave, join = client.sent
    assert isinstance(leave, messages.Leave) and isinstance(join, messages.Join)
    assert (notes.pending, notes.patches) == (1, [])


async def test_a_past_that_takes_several_answers_to_bridge() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, "!")
    for number in range(3):
        client.others((0, 0, str(number)))
    notes.connected()
    client.snapshot()
    frames = codec.decode_server(client.server.frame_after(0))
    assert isinstance(frames, messages.Committed)
    client.frames.clear()
    for number, operation in enumerate(frames.operations):
        digest = f"{number + 1:064x}"
        notes.receive(messages.Resent(FILE, number, digest, number < 2, [operation]))
        if number < 2:
            assert client.sent == [messages.Resend(FILE, messages.Lineage(INCARNATION, number + 1, digest), 3)]
    assert client.sent == [messages.SnapshotApplied(FILE, 3)]
    assert notes.text == "210text!"


async def test_an_answer_for_an_older_snapshot_does_not_end_the_bridge_to_a_newer_one() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, "!")
    client.others((0, 0, "1"))
    notes.connected()
    client.snapshot()
    client.others((0, 0, "2"))
    client.snapshot()  # joined anew meanwhile
    client.frames.clear()
    client.resent(through=1)
    assert (notes.state, client.sent) == (State.BRIDGING, [])
    client.resent()
    assert client.sent == [messages.SnapshotApplied(FILE, 2)]
    assert notes.text == "21text!"


async def test_a_bridge_that_has_gone_beyond_its_snapshot_heals() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.disconnected()
    notes.insert(4, "!")
    client.others((0, 0, "1"))
    older = client.server.snapshot()
    client.others((0, 0, "2"))
    notes.connected()
    notes.receive(older)
    client.frames.clear()
    client.resent()
    assert kinds(client.sent) == ["Leave", "Join"]
    client.snapshot()
    client.live()
    assert (notes.text, notes.pending, notes.patches) == ("21text!", 1, [])


async def test_a_log_that_does_not_know_our_past_hands_the_edits_back() -> None:
    for how in ("at the join", "another incarnation", "at the resend"):
        client = Scripted(Server("text"))
        notes = client.join()
        notes.disconnected()
        notes.insert(4, "!")
        client.others((0, 4, "other"))
        notes.connected()
        if how == "at the resend":
            client.snapshot()
            client.refuse(Code.HISTORY_UNAVAILABLE)
            client.snapshot()
        else:
            client.snapshot(
                lineage_lost=how == "at the join",
                incarnation="two" if how == "another incarnation" else INCARNATION,
            )
        client.live()
        assert (notes.state, notes.text, notes.pending) == (State.LIVE, "other", 0)
        (patch,) = notes.patches
        assert (patch.code, patch.edits) == ("history_unavailable", [[(4, 0, "!")]])
        assert not notes.undo()


@pytest.mark.parametrize("how", ["at the join", "another incarnation", "at the resend"])
async def test_what_is_committed_in_a_past_that_is_gone_is_not_handed_back(how: str) -> None:
    """As after a prune, or in a backup that has it."""
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.insert(4, "!")
    assert client.server.submit(frozen(client)) is not None
    notes.insert(5, "?")
    in_flight = notes._replica.in_flight[0].operation_id
    notes.disconnected()
    notes.connected()
    fates = [messages.OperationFate(in_flight, "committed", 1, 1)]
    if how == "at the resend":
        client.snapshot(fates=fates)
        client.refuse(Code.HISTORY_PRUNED)
        client.snapshot()
    else:
        client.snapshot(
            lineage_lost=how == "at the join",
            incarnation="two" if how == "another incarnation" else INCARNATION,
            fates=fates,
        )
    client.live()
    assert (notes.state, notes.text, notes.pending) == (State.LIVE, "text!", 0)
    (patch,) = notes.patches
    assert patch.edits == [[(5, 0, "?")]]


async def test_edits_that_do_not_fit_the_servers_text_are_handed_back() -> None:
    """As they may be when the replica was damaged, or the pending file."""
    client = Scripted(Server("text"))
    notes = client.join()
    buffer = notes._replica.buffer
    assert buffer is not None
    buffer.splice(4, 0, " and what nobody else has")
    notes.disconnected()
    notes.insert(20, "!")
    notes.connected()
    client.snapshot()
    client.live()
    assert (notes.state, notes.text, notes.pending) == (State.LIVE, "text", 0)
    (patch,) = notes.patches
    assert (patch.code, patch.edits) == ("position_out_of_range", [[(20, 0, "!")]])


async def test_an_undo_is_carried_over_what_was_missed() -> None:
    for missed in (1, MAX_UNDO_BRIDGE):
        client = Scripted(Server("text"))
        notes = client.join()
        notes.insert(0, "ours ")
        assert client.server.submit(client.frames[-1]) is not None
        client.committed()
        notes.disconnected()
        client.others((0, 0, "theirs "))
        notes.connected()
        if missed > 1:
            client.server.skip(missed)
        client.snapshot()
        assert notes.state is (State.BRIDGING if missed == 1 else State.JOINING)
        if missed == 1:
            client.resent()
        client.live()
        assert notes.text == "theirs ours text"
        assert notes.undo() == (missed == 1)
        assert notes.text == ("theirs text" if missed == 1 else "theirs ours text")


async def test_a_wrong_checksum_heals_once_however_often_it_comes() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    buffer = notes._replica.buffer
    assert buffer is not None
    buffer.splice(0, 1, "T")
    client.frames.clear()
    notes.check()
    notes.check()
    assert kinds(client.sent) == ["GetChecksum", "GetChecksum"]
    client.checksum()
    client.checksum()
    assert kinds(client.sent) == ["Leave", "Join"]
    client.snapshot()
    client.live()
    assert (notes.text, notes.heals, notes.state) == ("text", 1, State.LIVE)
    client.frames.clear()
    notes.check()
    client.checksum()
    assert (kinds(client.sent), notes.heals) == (["GetChecksum"], 1)


async def test_storage_that_fails_and_comes_back() -> None:
    """The server lets the file go, we type, it refuses, we join too early: in the end all is well."""
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.insert(0, "x")
    first = frozen(client)
    operation_id = codec.decode_client(first).operation_id  # type: ignore[union-attr]  # it is an Operation
    client.refuse(Code.STORAGE_UNAVAILABLE, operation_id)
    notes.receive(messages.Rejoin(FILE, "storage_unavailable"))
    notes.insert(1, "y")
    assert (client.sent, notes.state) == ([], State.JOINING)
    client.wait_out()
    assert set(kinds(client.sent)) == {"Join"}
    client.refuse(Code.STORAGE_UNAVAILABLE)
    client.wait_out()
    assert kinds(client.sent) == ["Join"]
    client.live()
    assert (notes.state, client.frames) == (State.LIVE, [first])


async def test_the_server_says_when_to_join_again() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.receive(messages.Rejoin(FILE, "moved", 0))
    assert kinds(client.sent) == ["Join"]
    client.live()
    notes.receive(messages.Rejoin(FILE, "moved", 70))
    assert (client.sent, client.pauses, notes.state) == ([], [0.07], State.JOINING)
    client.wait_out()
    assert (kinds(client.sent), client.attempts) == (["Join"], [])
    client.live()
    assert notes.state is State.LIVE


async def test_where_the_server_speaks_version_1_the_reason_says_when() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.receive(messages.Rejoin(FILE, "moved"))
    assert kinds(client.sent) == ["Join"]
    client.live()
    notes.receive(messages.Rejoin(FILE, "owner_unavailable"))
    assert (client.sent, client.attempts, client.pauses) == ([], [0], [])


async def test_joining_again_takes_longer_each_time_and_is_asked_once_at_a_time() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    for _ in range(3):
        notes.receive(messages.Rejoin(FILE, "storage_unavailable"))
        client.refuse(Code.STORAGE_UNAVAILABLE)
        client.frames.clear()
        client.wait_out()
        assert kinds(client.sent) == ["Join"]
    assert client.attempts == [0, 1, 2]
    client.live()
    notes.receive(messages.Rejoin(FILE, "storage_unavailable"))
    assert client.attempts[3:] == [0]


async def test_an_operation_that_is_to_be_sent_after_joining_again_is() -> None:
    """The file may still be joined then; the server says so, and is left first."""
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.insert(0, "x")
    first = frozen(client)
    client.refuse(Code.INTERNAL, codec.decode_client(first).operation_id)  # type: ignore[union-attr]
    client.wait_out()
    assert kinds(client.sent) == ["Join"]
    client.refuse(Code.ALREADY_JOINED)
    assert kinds(client.sent) == ["Leave", "Join"]
    client.live()
    assert (notes.state, client.frames) == (State.LIVE, [first])
    await asyncio.wait_for(notes.live(), 30)


async def test_a_join_that_is_refused_for_good_fails() -> None:
    client = Scripted(Server())
    client.notes.connected()
    client.refuse(Code.FILE_DAMAGED)
    with pytest.raises(CoscribeError, match="file_damaged"):
        async with asyncio.timeout(30):
            await client.open(FILE)
    assert client.open_offline(FILE) is not client.notes, "the next one may succeed"


async def test_a_chain_keeps_to_the_servers_limits() -> None:
    limits = messages.ServerLimits(2_000, 1_000_000, 16_000_000, 3, 1_024)
    client = Scripted(Server(), limits, ClientSettings(batching=Batching.CHAIN))
    notes = client.join()
    notes.disconnected()
    for size in (10, 10, 10, 10, 10, 1_800, 1_800, 10):
        notes.insert(0, "x" * size)
    notes.connected()
    client.live()
    counts = []
    while notes.pending:
        frame = client.frames[-1]
        assert len(frame) <= limits.message_bytes
        message = codec.decode_client(frame)
        counts.append(len(message.operations) if isinstance(message, messages.Chain) else 1)
        assert client.server.submit(frame) is not None
        client.committed()
    assert (client.server.text, notes.patches) == (notes.text, [])
    assert counts == [3, 1, 1, 1, 1, 1]


async def test_an_edit_too_large_for_a_message_is_handed_back() -> None:
    """Sent, it would end the connection, and be sent again, and end it, for ever."""
    limits = messages.ServerLimits(1_000, 1_000_000, 16_000_000, 256, 1_024)
    client = Scripted(Server("text"), limits)
    notes = client.join()
    client.frames.clear()
    notes.insert(4, "x" * 1_000)
    assert kinds(client.sent) == ["Leave", "Join"]
    client.snapshot()
    client.live()
    assert (notes.state, notes.text, notes.pending) == (State.LIVE, "text", 0)
    (patch,) = notes.patches
    assert (patch.code, patch.edits) == ("message_too_large", [[(4, 0, "x" * 1_000)]])


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        pytest.param([(0, 0, "a\0b")], "no NUL", id="NUL"),
        pytest.param([(0, 0, "a\r\nb")], "no CR", id="CR"),
        pytest.param([(0, 0, "a\ud83d")], "surrogate", id="half a character"),
        pytest.param([(0, 0, "fine"), (1, 0, "\r")], "no CR", id="CR in the second"),
        pytest.param([(5, 0, "x")], "ends at 4", id="past the end"),
        pytest.param([(3, 2, "")], "ends at 4", id="over the end"),
        pytest.param([(-1, 0, "x")], "negative", id="negative position"),
        pytest.param([(2, -1, "")], "negative", id="negative count"),
        pytest.param([(2, 0, "x"), (1, 0, "x")], "left to right", id="backwards"),
        pytest.param([(0, 3, ""), (2, 1, "")], "overlap", id="overlapping"),
    ],
)
async def test_an_edit_that_is_wrong_changes_nothing(edits: list[tuple[int, int, str]], why: str) -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    notes.insert(0, "x")
    notes.undo()
    client.frames.clear()
    told: list[Change] = []
    notes.listen(told.append)
    before = (notes.text, notes.pending)
    with pytest.raises(ValueError, match=why):
        notes.edit(edits)
    assert ((notes.text, notes.pending), client.frames, told) == (before, [], [])
    assert notes.redo()


async def test_a_closed_document_is_told_nothing_and_sends_nothing() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    await notes.close()
    assert client.sent == [messages.Leave(FILE)]
    notes.insert(0, "x")
    await notes.close()
    assert client.sent == []
    assert (notes.state, notes.participants) == (State.OFFLINE, {})
    again = client.open_offline(FILE)
    assert again is not notes
    await notes.close()
    assert client.open_offline(FILE) is again


async def test_who_listens_too_slowly_is_told_to_read_the_text_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_CHANGES", 3)
    client = Scripted(Server(""))
    notes = client.join()
    async with notes.changes() as changes, asyncio.timeout(30):
        for number in range(4):
            notes.insert(number, str(number))
        assert await anext(changes) == Change(None, "")
        notes.insert(4, "4")
        assert await anext(changes) == Change([(4, 0, "4")], "")
    notes.insert(5, "5")
    assert not notes._listeners
