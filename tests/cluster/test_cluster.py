"""A small cluster and each sort of trouble once: nothing is lost, and everything comes back. `python -m tests.cluster`
is the long one.

The seed is printed with the command that replays it, and COSCRIBE_SEED gives it. Without root there are no networks
that can be cut: the run says what it has left out.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.cluster.outcome import Wanted
from tests.cluster.planted import BUGS, planted
from tests.cluster.run import run, tracebacks
from tests.cluster.schedule import PARTITIONS
from tests.cluster.upgrade import LIMIT, upgrade
from tests.cluster.upgrade import Wanted as WantedUpgrade

FEW = (
    "tree core killed",
    "core paused",
    "core without database",
    "gateway killed",
    "PostgreSQL killed",
    "NATS restarted",
)
"""Each sort of trouble; instances are replaced one by one by the upgrade."""

SLOW = 10
"""How much slower than what is claimed a machine of the tests may be."""


def seed() -> int:
    return int(os.environ.get("COSCRIBE_SEED", random.randrange(2**32)))


@pytest.mark.slow
def test_nothing_is_lost_in_a_small_cluster() -> None:
    wanted = Wanted(
        documents=60,
        sockets=24,
        cores=2,
        gateways=2,
        workspaces=1,
        rate=40.0,
        visits=2.0,
        seed=seed(),
        only=FEW,
        rounds=1,
        breath=1.0,
    )
    outcome = run(wanted, print)
    print(f"\n{outcome}")
    assert outcome.violations == []
    assert {cost.fault.kind for cost in outcome.costs} == set(FEW) - (PARTITIONS if outcome.left_out else set())


@pytest.mark.slow
def test_nobody_is_cut_off_for_long_by_an_upgrade() -> None:
    outcome = upgrade(WantedUpgrade(sockets=40, documents=20, cores=2, gateways=2, pause=1.0, seed=seed()), print)
    print(f"\n{outcome}")
    assert outcome.violations == []
    assert outcome.handed_back == 0
    assert max(outcome.cut_off, default=0.0) < SLOW * LIMIT
    assert {protocol for _, protocol in outcome.spoken} == {1, 2}


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_can_be_planted(name: str) -> None:
    """`python -m tests.cluster --bugs` looks whether they are noticed."""
    bug = BUGS[name]
    with planted(bug) as source:
        compile((source / "coscribe" / bug.path).read_text(), bug.path, "exec")


def test_tracebacks_are_complaints_unless_a_server_is_away() -> None:
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1', "    raise"]
    leads_on = ["OSError: gone", "", "The above exception was the direct cause of the following exception:", ""]
    assert tracebacks([*trace, "coscribe.documents.ports.StorageError: gone", "fine"]) == []
    assert tracebacks([*trace, *leads_on, *trace, "coscribe.documents.ports.StorageError: gone", "fine"]) == []
    assert tracebacks(["fine", *trace, "KeyError: 'x'"]) == ["\n".join([*trace, "KeyError: 'x'"])]
    assert len(tracebacks([*trace, "OSError: gone", "fine", *trace, "KeyError: 'x'", "fine"])) == 2
