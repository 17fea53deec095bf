"""Undo takes back one's own edits and nobody else's."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import settings

from coscribe.client import undo
from coscribe.client.replica import Batching, Replica
from coscribe.client.undo import UndoStack
from coscribe.core.operation import (
    Operation,
    Splice,
    apply,
    deleted_text,
    from_edits,
    invert,
    know_deleted,
    reach,
    simplify,
    to_edits,
)
from tests.client.network import Alphabet, Server, delivered, inserted_text, opened, seeds

RUNS = settings().max_examples


def an_edit(rng: random.Random, size: int, alphabet: Alphabet) -> Operation:
    """One to three edits on a text of ``size``; ties and touching ranges as often as not."""
    edits: list[tuple[int, int, str]] = []
    position = 0
    for _ in range(rng.choice((1, 1, 2, 3))):
        position += rng.choice((0, 0, 1, rng.randint(0, size)))
        if position > size:
            break
        deleted = min(size - position, rng.choice((0, 0, 1, 3)))
        edits.append((position, deleted, alphabet.take(rng.choice((0, 1, 2)))))
        position += deleted
    return from_edits(edits)


class Desk:
    """A text that we edit, with undo, and others too, without."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.alphabet = Alphabet()
        self.beginning = self.text = self.alphabet.take(rng.choice((0, 3, 12)))
        self.stack: UndoStack[int] = UndoStack(1_000)
        self.pushed = 0
        self.without_us = Counter(self.text)

    def ours(self) -> None:
        operation = an_edit(self.rng, len(self.text), self.alphabet)
        removed = deleted_text(self.text, operation)
        self.text = apply(self.text, operation)
        self.stack.push(simplify(invert(know_deleted(operation, removed))), self.pushed)
        self.pushed += 1

    def others(self) -> None:
        operation = an_edit(self.rng, len(self.text), self.alphabet)
        self.without_us.update(inserted_text(operation))
        self.without_us.subtract(deleted_text(self.text, operation))
        self.text = apply(self.text, operation)
        self.stack.foreign(operation)

    def undo(self) -> bool:
        step = self.stack.pop()
        if step is None:
            return False
        assert reach(step.operation) <= len(self.text)
        self.text = apply(self.text, step.operation)
        return True


@pytest.mark.parametrize("max_foreign", [undo.MAX_FOREIGN, 2], ids=["stepwise", "composed"])
def test_when_all_of_ours_is_undone_the_text_is_what_the_others_made(
    monkeypatch: pytest.MonkeyPatch, max_foreign: int
) -> None:
    monkeypatch.setattr(undo, "MAX_FOREIGN", max_foreign)
    for rng in seeds(RUNS):
        desk = Desk(rng)
        for _ in range(rng.choice((3, 10, 40))):
            chance = rng.random()
            if chance < 0.4:
                desk.ours()
            elif chance < 0.85:
                desk.others()
            else:
                desk.undo()
        while desk.undo():
            pass
        assert Counter(desk.text) == +desk.without_us
        kept = [char for char in desk.text if char in desk.beginning]
        assert kept == sorted(kept), "what was there is in its old order"


@pytest.mark.parametrize("batching", list(Batching))
def test_alone_undo_goes_back_step_by_step_and_redo_forward(batching: Batching) -> None:
    for rng in seeds(RUNS // 4):
        alphabet = Alphabet()
        server = Server(alphabet.take(5))
        ann = opened(server, "ann", batching)
        texts = [ann.text]
        for _ in range(rng.randint(1, 30)):
            ann.edit(to_edits(an_edit(rng, len(ann.text), alphabet)))
            if ann.text != texts[-1]:
                texts.append(ann.text)
            _exchange(rng, server, ann)
        down = [ann.text]
        while ann.undo() is not None:
            down.append(ann.text)
            _exchange(rng, server, ann)
        assert down[::-1] == texts
        up = [ann.text]
        while ann.redo() is not None:
            up.append(ann.text)
            _exchange(rng, server, ann)
        assert up == texts
        while not ann.is_idle:
            _exchange(rng, server, ann)
        assert server.text == texts[-1]


def _exchange(rng: random.Random, server: Server, replica: Replica) -> None:
    """Perhaps sends, perhaps receives."""
    if rng.random() < 0.5:
        replica.outgoing()
    if replica.message and rng.random() < 0.5:
        frame = server.submit(replica.message)
        assert frame is not None
        delivered(replica, frame)


class Pair:
    """Ann and Bob, who see each other's edits before they go on."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.alphabet = Alphabet()
        self.server = Server(self.alphabet.take(6))
        self.ann, self.bob = opened(self.server, "ann"), opened(self.server, "bob")
        self.meant = set(self.server.text)

    def edit(self, replica: Replica) -> None:
        before = replica.text
        operation = an_edit(self.rng, len(before), self.alphabet)
        replica.edit(to_edits(operation))
        self.meant |= set(inserted_text(operation))
        self.meant -= set(deleted_text(before, operation))
        self.exchange()

    def exchange(self) -> None:
        for sender in (self.ann, self.bob):
            while (message := sender.outgoing()) is not None:
                frame = self.server.submit(message)
                assert frame is not None
                delivered(self.ann, frame)
                delivered(self.bob, frame)


def test_redo_brings_back_what_undo_took_while_others_edit() -> None:
    for rng in seeds(RUNS // 2):
        pair = Pair(rng)
        for _ in range(rng.randint(1, 8)):
            pair.edit(pair.ann)
            pair.edit(pair.bob)
        for take_back in (pair.ann.undo, pair.ann.redo):
            while take_back() is not None:
                pair.exchange()
                pair.edit(pair.bob)
        pair.exchange()
        assert pair.ann.text == pair.bob.text == pair.server.text
        assert Counter(pair.server.text) == Counter(pair.meant)


def foreign(replica: Replica, server: Server, position: int, deleted: int, inserted: str) -> None:
    """Somebody else edits the server's text; the replica is told."""
    bob = opened(server, "bob")
    bob.edit([(position, deleted, inserted)])
    frame = server.submit(bob.outgoing() or b"")
    delivered(replica, frame or b"")


def flushed(replica: Replica, server: Server) -> None:
    message = replica.outgoing()
    if message is not None:
        delivered(replica, server.submit(message) or b"")


def test_others_text_inside_ours_survives_our_undo() -> None:
    server = Server("[]")
    ann = opened(server, "ann")
    ann.edit([(1, 0, "ours")])
    flushed(ann, server)
    foreign(ann, server, 3, 0, "THEIRS")
    ann.undo()
    assert ann.text == "[THEIRS]"
    flushed(ann, server)
    ann.redo()
    assert ann.text == "[ouTHEIRSrs]"
    flushed(ann, server)
    assert server.text == ann.text


def test_what_others_deleted_of_ours_stays_deleted() -> None:
    server = Server("[]")
    ann = opened(server, "ann")
    ann.edit([(1, 0, "0123")])
    flushed(ann, server)
    foreign(ann, server, 0, 3, "")
    ann.undo()
    assert ann.text == "]"
    ann.redo()
    assert ann.text == "23]"


def test_what_two_people_deleted_and_both_restored_comes_back_twice() -> None:
    """A known limit (docs/limits.md): undo inverts what we did, not what of it was committed. Nothing is lost by it."""
    server = Server("abc")
    ann, bob = opened(server, "ann"), opened(server, "bob")
    for act in (lambda replica: replica.edit([(1, 1, "")]), Replica.undo):
        for replica in (ann, bob):
            act(replica)
        for replica in (ann, bob):
            message = replica.outgoing()
            frame = server.submit(message) if message is not None else None
            for each in (ann, bob) if frame is not None else ():
                delivered(each, frame or b"")
    assert server.text == ann.text == bob.text == "abbc"


def test_an_undo_that_would_do_nothing_is_passed_over() -> None:
    server = Server("[]")
    ann = opened(server, "ann", Batching.SINGLE)
    ann.edit([(1, 0, "first")])
    flushed(ann, server)
    ann.edit([(1, 0, "second")])
    flushed(ann, server)
    foreign(ann, server, 1, 6, "")
    assert ann.text == "[first]"
    assert ann.undo() is not None
    assert ann.text == "[]"
    assert ann.undo() is None


def test_an_edit_ends_redo() -> None:
    ann = opened(Server("abc"), "ann")
    ann.edit([(0, 0, "x")])
    ann.undo()
    ann.edit([(0, 0, "y")])
    assert ann.redo() is None
    assert ann.text == "yabc"


def test_the_oldest_steps_are_forgotten() -> None:
    ann = opened(Server(), "ann", undo_depth=3)
    for number in range(10):
        ann.edit([(number, 0, str(number))])
    while ann.undo() is not None:
        pass
    assert ann.text == "0123456"
    assert not ann._undo._foreign
    none = opened(Server(), "ann", undo_depth=0)
    none.edit([(0, 0, "x")])
    assert (none.can_take_back, none.undo()) == (False, None)


def test_what_others_do_is_remembered_within_a_bound() -> None:
    text = "x"
    stack: UndoStack[str] = UndoStack(2)
    stack.foreign(Splice(0, 0, "nobody has anything to undo yet"))
    stack.push(Splice(0, 1, ""), "x")
    for number in range(3 * undo.MAX_FOREIGN):
        operation = Splice(number % (len(text) + 1), 0, "o")
        text = apply(text, operation)
        stack.foreign(operation)
        assert [len(foreign) <= undo.MAX_FOREIGN for foreign in stack._foreign] == [True]
    step = stack.pop()
    assert step is not None
    assert step.of == "x"
    assert apply(text, step.operation) == text.replace("x", "")
    assert stack.pop() is None
