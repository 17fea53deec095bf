"""A few hundred schedules of owners that pause, die and come late; and that planted bugs are found.

The schedules are always the same; `COSCRIBE_SEED` begins elsewhere, `COSCRIBE_SCHEDULES` says how many (300).
"""

from __future__ import annotations

import os

import pytest

from tests.cluster.fence import find_bug, run
from tests.cluster.fence_bugs import BUGS

pytestmark = pytest.mark.slow

BLOCKS = 10
COUNT = int(os.environ.get("COSCRIBE_SCHEDULES", "300"))

QUICK = [name for name, bug in BUGS.items() if bug.within <= 50]
"""The others take a minute or more: `python -m tests.cluster.fence --bugs`."""


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_log_has_one_owner_and_nobody_is_shown_what_was(block: int) -> None:
    each = COUNT // BLOCKS
    first = int(os.environ.get("COSCRIBE_SEED", "0")) + block * each
    for seed in range(first, first + each):
        outcome = run(seed)
        assert outcome.violation == "", f"replay with: python -m tests.cluster.fence --first {seed} --schedules 1"


@pytest.mark.parametrize("bug", QUICK)
def test_a_planted_bug_is_found(bug: str) -> None:
    assert find_bug(bug, BUGS[bug].within) is not None


def test_a_schedule_is_the_same_each_time() -> None:
    assert run(7) == run(7)
