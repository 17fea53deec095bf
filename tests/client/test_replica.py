"""Replicas on a network that loses, delays and repeats; and what a replica does, one thing at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from msgspec import UNSET

from coscribe.client.pending import PendingFile
from coscribe.client.replica import Batching, Gap, OutOfStep, Replica
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import Splice
from coscribe.protocol import codec, messages
from tests.client.crew import left_in
from tests.client.network import FILE, Network, Server, delivered, opened, seeds


@pytest.mark.parametrize("faulty", [False, True], ids=["delayed", "lost-repeated-restarted"])
def test_everybody_ends_with_the_servers_text_and_nothing_is_lost(tmp_path: Path, faulty: bool) -> None:
    for rng in seeds(settings().max_examples // 5):
        network = Network(rng, rng.choice((1, 2, 2, 3, 5)), tmp_path if faulty else None)
        network.run(rng.choice((20, 80, 200)))
        network.settle()
        network.check()
        assert left_in(tmp_path) == []
        for undo in tmp_path.iterdir():  # of a log that is gone
            undo.unlink()


def sent(server: Server, replica: Replica) -> bytes:
    """Sends what waits and has the server commit it; the frame."""
    message = replica.outgoing()
    assert message is not None
    frame = server.submit(message)
    assert frame is not None
    return frame


def foreign(server: Server, position: int, deleted: int, inserted: str) -> bytes:
    """Somebody else edits; the frame."""
    other = opened(server, "bob")
    other.edit([(position, deleted, inserted)])
    return sent(server, other)


def test_the_later_committed_insert_goes_left() -> None:
    server = Server("[]")
    ann, bob = opened(server, "ann"), opened(server, "bob")
    ann.edit([(1, 0, "a")])
    bob.edit([(1, 0, "b")])
    frames = [sent(server, ann), sent(server, bob)]
    for replica in (ann, bob):
        for frame in frames:
            delivered(replica, frame)
    assert (ann.text, bob.text, server.text) == ("[ba]", "[ba]", "[ba]")


def test_a_remote_insert_at_the_place_of_queued_ones_goes_right_of_all_of_them() -> None:
    server = Server("[]")
    ann = opened(server, "ann", Batching.SINGLE)
    ann.edit([(1, 0, "a")])
    ann.outgoing()
    ann.edit([(2, 0, "b")])
    ann.edit([(3, 0, "c")])
    applied = delivered(ann, foreign(server, 1, 0, "X"))
    assert ann.text == "[abcX]"
    assert applied == [(Splice(4, 0, "X"), "bob")]


def test_text_that_others_insert_into_what_we_delete_survives() -> None:
    server = Server("0123456789")
    ann = opened(server, "ann")
    ann.edit([(2, 6, "")])
    delivered(ann, foreign(server, 5, 0, "XY"))
    assert ann.text == "01XY89"
    delivered(ann, sent(server, ann))
    assert (ann.text, server.text, ann.is_idle) == ("01XY89", "01XY89", True)


def test_a_frame_that_comes_twice_is_applied_once() -> None:
    server = Server("abc")
    ann = opened(server, "ann")
    frame = foreign(server, 1, 1, "BB")
    assert len(delivered(ann, frame)) == 1
    assert delivered(ann, frame) == []
    ann.edit([(0, 0, "!")])
    own = sent(server, ann)
    for _ in range(2):
        assert delivered(ann, own) == []
    assert (ann.text, ann.sequence, ann.version) == ("!aBBc", 2, 2)


def test_a_frame_that_overlaps_what_we_have_is_applied_from_there() -> None:
    server = Server("abc")
    ann = opened(server, "ann")
    delivered(ann, foreign(server, 0, 0, "1"))
    foreign(server, 0, 0, "2")
    assert len(delivered(ann, server.frame_after(0))) == 1
    assert ann.text == "21abc"


def test_a_missing_frame_is_a_gap_and_changes_nothing() -> None:
    server = Server("abc")
    ann = opened(server, "ann")
    ann.edit([(3, 0, "d")])
    ann.outgoing()
    foreign(server, 0, 0, "1")
    late = foreign(server, 0, 0, "2")
    before = (ann.text, ann.sequence, ann.version, ann.chain_hash, ann.in_flight[0].operation)
    with pytest.raises(Gap):
        delivered(ann, late)
    assert (ann.text, ann.sequence, ann.version, ann.chain_hash, ann.in_flight[0].operation) == before


@pytest.mark.parametrize("batching", list(Batching))
def test_what_is_in_flight_is_frozen(batching: Batching) -> None:
    server = Server("abcdef")
    ann = opened(server, "ann", batching)
    ann.edit([(3, 2, "|")])
    ann.edit([(0, 0, "<")])
    message = ann.outgoing()
    assert message is not None
    kept = bytes(message)
    delivered(ann, foreign(server, 0, 4, "XXX"))
    ann.edit([(0, 0, "more")])
    assert ann.undo() is not None
    delivered(ann, foreign(server, 1, 0, "Y"))
    assert ann.message == kept
    assert ann.outgoing() is None, "one message in flight"
    frame = server.submit(ann.message)
    assert frame is not None
    delivered(ann, frame)
    assert (ann.message, ann.in_flight) == (b"", [])


def sizes(batching: Batching, chain: int = 64, at_most: int | None = None) -> list[int]:
    """How many operations go into each message when five edits wait."""
    server = Server()
    ann = opened(server, "ann", batching, chain=chain)
    for number in range(5):
        ann.edit([(number, 0, str(number))])
    counts: list[int] = []
    while (raw := ann.outgoing(at_most)) is not None:
        message = codec.decode_client(raw)
        counts.append(len(message.operations) if isinstance(message, messages.Chain) else 1)
        frame = server.submit(raw)
        assert frame is not None
        delivered(ann, frame)
    assert server.text == ann.text == "01234"
    return counts


def test_how_edits_are_batched() -> None:
    assert sizes(Batching.COMPOSE) == [1]
    assert sizes(Batching.CHAIN) == [5]
    assert sizes(Batching.CHAIN, chain=2) == [2, 2, 1]
    assert sizes(Batching.CHAIN, at_most=3) == [3, 2]
    assert sizes(Batching.SINGLE) == [1, 1, 1, 1, 1]


def test_what_is_pasted_says_so_and_is_no_part_of_what_was_typed_around_it(tmp_path: Path) -> None:
    server = Server("")
    ann = opened(server, "ann")
    ann.edit([(0, 0, "typed ")])
    ann.edit([(6, 0, "pasted")], "paste")
    ann.edit([(12, 0, " and")], "paste")
    ann.edit([(16, 0, " more")])
    PendingFile(tmp_path / "pending").save(ann)
    again = Replica(ann.file_id, "another")
    again.user_id = "ann"
    assert PendingFile(tmp_path / "pending").load(again)
    again.adopt(server.snapshot())
    sent = []
    while (message := again.outgoing()) is not None:
        decoded = codec.decode_client(message)
        assert isinstance(decoded, messages.Operation)
        sent.append((decoded.payload, decoded.origin))
        delivered(again, server.submit(message) or b"")
    assert sent == [("typed ", UNSET), ("pasted and", "paste"), (" more", UNSET)]


def test_what_cancels_itself_is_not_sent() -> None:
    ann = opened(Server("abc"), "ann")
    ann.edit([(1, 0, "x")])
    ann.edit([(1, 1, "")])
    ann.edit([])
    assert ann.outgoing() is None
    assert ann.is_idle


def test_a_file_whose_text_is_not_known_cannot_be_edited() -> None:
    fresh = Replica(FILE, "s")
    with pytest.raises(ValueError, match="not known"):
        fresh.edit([(0, 0, "x")])
    assert (fresh.text, fresh.is_idle, fresh.undo(), fresh.redo()) == ("", True, None, None)


def test_an_edit_that_does_not_fit_changes_nothing() -> None:
    ann = opened(Server("abc"), "ann")
    ann.edit([(0, 0, "x")])
    ann.undo()
    pending = [(item.operation_id, item.operation) for item in ann.pending]
    for edits in ([(4, 0, "y")], [(2, 2, "")], [(0, 1, ""), (3, 1, "")]):
        with pytest.raises(ValueError, match="reaches"):
            ann.edit(edits)
    with pytest.raises(CoscribeError):
        ann.edit([(2, 0, "y"), (1, 0, "y")])
    assert ann.text == "abc"
    assert [(item.operation_id, item.operation) for item in ann.pending] == pending
    assert ann.redo() is not None, "what could be redone still can be"
    assert ann.text == "xabc"


def test_an_acknowledgement_of_something_else_is_out_of_step() -> None:
    server = Server("abc")
    ann = opened(server, "ann")
    ann.edit([(0, 0, "x")])
    frame = sent(server, ann).replace(b'"payload":"x"', b'"payload":"y"')
    with pytest.raises(OutOfStep):
        delivered(ann, frame)


def test_a_remote_operation_that_does_not_fit_is_out_of_step() -> None:
    server = Server("abcdef")
    ann = opened(Server("abc"), "ann")
    with pytest.raises(OutOfStep):
        delivered(ann, foreign(server, 5, 1, ""))
    assert ann.text == "abc"


def test_an_undo_names_what_it_brings_back() -> None:
    server = Server("abc")
    ann = opened(server, "ann", Batching.CHAIN)
    for number in range(3):
        ann.edit([(0, 0, str(number))])
    delivered(ann, sent(server, ann))
    foreign(server, 0, 0, "!")
    delivered(ann, server.frame_after(ann.sequence))
    ann.undo()
    ann.undo()
    delivered(ann, sent(server, ann))
    ann.redo()
    delivered(ann, sent(server, ann))
    assert [(entry.sequence, entry.restores) for entry in server.log[4:]] == [(5, (3,)), (6, (2,)), (7, (6,))]
    assert ann.text == server.text == "!10abc"


def test_an_undo_of_what_is_not_acknowledged_names_nothing() -> None:
    server = Server("abc")
    ann = opened(server, "ann", Batching.CHAIN)
    ann.edit([(0, 0, "x")])
    ann.undo()
    delivered(ann, sent(server, ann))
    assert [entry.restores for entry in server.log] == [(), ()]
    assert server.text == "abc"


def test_giving_up_hands_everything_back() -> None:
    server = Server("abc")
    ann = opened(server, "ann", Batching.SINGLE)
    ann.edit([(0, 0, "1")])
    ann.outgoing()
    ann.edit([(0, 0, "2")])
    assert [item.operation for item in ann.give_up()] == [Splice(0, 0, "1"), Splice(0, 0, "2")]
    assert (ann.is_idle, ann.message, ann.undo(), ann.redo()) == (True, b"", None, None)


def test_a_deletion_that_comes_to_nothing_is_acknowledged() -> None:
    server = Server("abc")
    ann, bob = opened(server, "ann"), opened(server, "bob")
    for replica in (ann, bob):
        replica.edit([(1, 1, "")])
    frames = [sent(server, ann), sent(server, bob)]
    for replica in (ann, bob):
        for frame in frames:
            delivered(replica, frame)
        assert (replica.text, replica.sequence, replica.version, replica.is_idle) == ("ac", 2, 1, True)
