"""A short run and a long one; that planted bugs are noticed; that a schedule is one.

The schedules are random: the seed is printed with the command that replays it, and COSCRIBE_SEED gives it. A run in
which something is not possible (a small disk asks for root) says which faults it has left out.
"""

from __future__ import annotations

import os
import random
from itertools import pairwise

import pytest

from tests.chaos.bugs import BUGS
from tests.chaos.run import Outcome, Wanted, complaints, run
from tests.chaos.schedule import KINDS, Lane, schedule_of

SHOWS = {
    "visible before durable": ("disk full",),
    "ids are forgotten": ("detour",),
    "a full disk is taken for written": ("disk full",),
}
"""The faults in which a planted bug has to show itself."""


def seed() -> int:
    return int(os.environ.get("COSCRIBE_SEED", random.randrange(2**32)))


async def told(wanted: Wanted) -> Outcome:
    outcome = await run(wanted, print)
    print(f"\n{outcome}")
    return outcome


def skip_if_left_out(outcome: Outcome) -> None:
    if outcome.left_out and not outcome.faults:
        pytest.skip("; ".join(f"{kind}: {reason}" for kind, reason in outcome.left_out.items()))


@pytest.mark.slow
async def test_nothing_is_lost_in_half_a_minute() -> None:
    outcome = await told(Wanted(seconds=25.0, seed=seed()))
    assert outcome.violations == []
    assert outcome.acknowledged > 0


@pytest.mark.soak
async def test_nothing_is_lost_in_half_an_hour() -> None:
    outcome = await told(Wanted(seconds=1_800.0, seed=seed()))
    assert outcome.violations == []
    assert set(outcome.faults) | set(outcome.left_out) >= set(KINDS) - {"forward", "backward", "killed on a full disk"}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
async def test_a_planted_bug_is_noticed(bug: str) -> None:
    wanted = Wanted(seconds=8.0, clients=16, documents=2, seed=1, only=SHOWS[bug], bug=bug)
    outcome = await told(wanted)
    skip_if_left_out(outcome)
    assert outcome.violations != []
    assert any("the log has it at" in violation for violation in outcome.violations)


def test_a_schedule_depends_on_nothing_but_its_seed() -> None:
    assert schedule_of(7, 120.0) == schedule_of(7, 120.0)
    assert schedule_of(7, 120.0) != schedule_of(8, 120.0)
    assert {fault.kind for fault in schedule_of(7, 300.0)} == set(KINDS)
    assert {fault.kind for fault in schedule_of(7, 300.0, ("kill",))} == {"kill"}


def test_a_lane_has_one_fault_at_a_time() -> None:
    for lane in Lane:
        faults = [fault for fault in schedule_of(3, 300.0) if fault.lane is lane]
        assert all(one.at + one.lasting <= other.at + 0.01 for one, other in pairwise(faults))


def test_tracebacks_are_complaints_unless_it_is_the_disk() -> None:
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1', "    raise"]
    assert complaints([*trace, "StorageError: database or disk is full", "fine"]) == []
    assert complaints(["fine", *trace, "KeyError: 'x'"]) == ["the server: KeyError: 'x'"]


def test_a_command_gives_the_same_run_again() -> None:
    assert Wanted(25.0, 50, 8, 3).command.endswith("--seconds 25 --clients 50 --documents 8 --seed 3")
    assert Wanted(seed=3, only=("kill", "black hole"), bug="x y").command.endswith(
        "--seed 3 --only 'kill' 'black hole' --bug 'x y'"
    )
