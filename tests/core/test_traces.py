"""Recorded editing histories of real people: they have to end in the recorded texts."""

from __future__ import annotations

import pytest

from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.op_window import Concurrent
from coscribe.core.operation import LEFT, RIGHT, Operation, Splice, transform
from coscribe.core.text_buffer import TextBuffer
from tests.data import load_trace


@pytest.mark.parametrize("name", ["automerge-paper", "friendsforever_flat", "json-crdt-patch", "sveltecomponent"])
def test_one_after_the_other(name: str) -> None:
    trace = load_trace(name)
    buffer = TextBuffer(trace["startContent"])
    for txn in trace["txns"]:
        for position, deleted, inserted in txn["patches"]:
            buffer.splice(position, deleted, inserted)
    assert str(buffer) == trace["endContent"]


def test_two_people_at_once() -> None:
    """Two people, often some edits apart, through a server that commits in the recorded order.

    This is the reason for the rule of ties: with the later-committed insert going right, 9 characters come out
    elsewhere.
    """
    trace = load_trace("friendsforever_concurrent")
    state = FileState("file", "", 0, 0, Limits())
    made = [0, 0]  # how many edits each person has made
    heard = [0, 0]  # how many of the other's each has heard of
    coming: list[list[Operation]] = [[], []]  # the others' edits on their way, as they must be on this person's text
    known: list[tuple[int, int]] = []  # by edit: how many of each person's are in the text that it makes
    for number, txn in enumerate(trace["txns"]):
        me, other = txn["agent"], 1 - txn["agent"]
        ((position, deleted, inserted),) = txn["patches"]
        seen = [max((known[parent][person] for parent in txn["parents"]), default=0) for person in (0, 1)]
        assert seen[me] == made[me]
        del coming[me][: seen[other] - heard[me]]
        heard[me] = seen[other]

        edit: Operation = Splice(position, deleted, inserted)
        request = Request(f"op:{number}", edit)
        base_version = state.version - len(coming[me])
        (entry,) = state.commit([request], base_version, Concurrent.of(coming[me]), number + 1, str(me), b"")
        coming[other].append(entry.operation)
        for index, theirs in enumerate(coming[me]):
            coming[me][index] = transform(theirs, edit, RIGHT)
            edit = transform(edit, theirs, LEFT)
        made[me] += 1
        known.append((made[0], heard[0]) if me == 0 else (heard[1], made[1]))
    assert len(known) == 26_078
    assert str(state.content) == trace["endContent"]
