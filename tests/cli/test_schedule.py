"""The schedule of a concurrent history: at each edit its author knows exactly what the history says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.cli.schedule import Make, See, Send, Step, rebased, schedule
from coscribe.cli.traces import Trace, TraceError, Txn


def history(agents: int, txns: list[tuple[int, list[int]]], patches: int = 1) -> Trace:
    """A history of these (agent, parents); what was typed does not matter here."""
    made = [Txn([(0, 0, "x")] * patches, parents, agent) for agent, parents in txns]
    return Trace("test", True, "", "", agents, made)


def ancestors(trace: Trace, number: int) -> set[int]:
    """The txns that are known before txn ``number``."""
    found: set[int] = set()
    coming = list(trace.txns[number].parents)
    while coming:
        parent = coming.pop()
        if parent not in found:
            found.add(parent)
            coming.extend(trace.txns[parent].parents)
    return found


def follow(trace: Trace, steps: list[Step], chain: int) -> None:
    """Does what the steps say with (agent, edit number), and checks every rule of the server and of the history."""
    agents = range(trace.agents)
    edits_of: list[set[tuple[int, int]]] = []  # by txn
    begins: dict[tuple[int, int], int] = {}  # the txn that begins with an edit
    counts = [0] * trace.agents
    for number, txn in enumerate(trace.txns):
        begins[txn.agent, counts[txn.agent]] = number
        counts[txn.agent] += len(txn.patches)
        edits_of.append({(txn.agent, edit) for edit in range(counts[txn.agent] - len(txn.patches), counts[txn.agent])})

    made, sent, seen = ([0 for _ in agents] for _ in range(3))
    order: list[tuple[int, int]] = []
    for step in steps:
        me = step.author
        if isinstance(step, Make):
            number = begins.get((me, made[me]), -1)
            if number >= 0:
                known = set(order[: seen[me]]) | {(me, edit) for edit in range(made[me])}
                assert known == set().union(*(edits_of[before] for before in ancestors(trace, number)))
            made[me] += 1
        elif isinstance(step, Send):
            assert not [place for place in order[seen[me] :] if place[0] == me], "two messages in flight"
            assert sent[me] < step.through <= min(made[me], sent[me] + chain)
            order.extend((me, edit) for edit in range(sent[me], step.through))
            sent[me] = step.through
        else:
            assert isinstance(step, See)
            assert seen[me] < step.through <= len(order)
            seen[me] = step.through
    assert made == sent == counts
    assert seen == [len(order) for _ in agents]


def check(trace: Trace, chain: int = 64) -> None:
    follow(trace, schedule(trace, chain), chain)


def test_one_after_the_other() -> None:
    check(history(2, [(0, []), (0, [0]), (1, [1]), (0, [2])]))


def test_each_knows_half_of_what_the_other_has_done() -> None:
    """So neither may send all that it has: each must be told a part, behind which its own next edit waits."""
    trace = history(2, [(0, []), (1, []), (0, [0]), (1, [1]), (0, [2, 1]), (1, [3, 0]), (0, [4, 3]), (1, [5, 2])])
    check(trace)
    assert rebased(schedule(trace, 64), 2) > 0


def test_a_long_absence_goes_out_in_chains() -> None:
    alone = [(0, [number - 1] if number else []) for number in range(10)]
    trace = history(2, [*alone, (1, []), (1, [10, 9])])
    check(trace, chain=3)
    together = history(2, [*alone, (1, [9])])
    check(together, chain=3)
    sends = [step.through for step in schedule(together, 3) if isinstance(step, Send) and step.author == 0]
    assert sends == [3, 6, 9, 10]


def test_what_the_other_does_not_know_is_sent_at_once_and_the_server_rebases_it() -> None:
    steps = schedule(history(2, [(0, []), (1, []), (0, [0, 1]), (1, [1, 2])]), 64)
    assert steps[:4] == [Make(0, (0, 0, "x")), Send(0, 1), Make(1, (0, 0, "x")), Send(1, 1)]
    assert rebased(steps, 2) == 1


def test_who_would_get_stuck_waits() -> None:
    """b may not know a2 when a needs b2: so a2 must not stand before b1, whose acknowledgement b needs first."""
    trace = history(2, [(0, []), (0, [0]), (1, [0]), (1, [2]), (0, [1, 2]), (0, [4, 3]), (1, [3, 0])])
    check(trace)


def test_a_txn_of_several_patches_stays_together() -> None:
    check(history(2, [(0, []), (1, []), (0, [0, 1]), (1, [1, 2])], patches=3), chain=2)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 5))
def test_any_history_of_two_can_be_played(seed: int, length: int, chain: int) -> None:
    rng = random.Random(seed)
    own: list[list[int]] = [[], []]
    heard = [0, 0]  # how many of the other's edits each has heard of
    txns: list[tuple[int, list[int]]] = []
    for number in range(length):
        me = rng.randrange(2)
        # What one hears of brings what its author had heard of, which is one's own and known.
        heard[me] = rng.randint(heard[me], len(own[1 - me]))
        parents = own[me][-1:] + ([own[1 - me][heard[me] - 1]] if heard[me] else [])
        own[me].append(number)
        txns.append((me, parents))
    check(history(2, txns), chain)


def test_three_who_hear_of_each_other_in_one_order() -> None:
    check(history(3, [(0, []), (1, [0]), (2, [1]), (0, [2]), (1, [3]), (2, [4])]))


def test_no_single_order_can_show_this() -> None:
    """Agent 2 knows only agent 0's edit, agent 3 only agent 1's: neither can be a beginning of one order."""
    trace = history(4, [(0, []), (1, []), (2, [0]), (3, [1])])
    with pytest.raises(TraceError, match=r"txn 3 cannot be played.*agent 3 would know 1 edits of agent 0"):
        schedule(trace, 64)


def test_who_forgets_an_edit_of_its_own() -> None:
    with pytest.raises(TraceError, match="txn 1: agent 0 does not know all of its own edits"):
        schedule(history(1, [(0, []), (0, [])]), 64)
