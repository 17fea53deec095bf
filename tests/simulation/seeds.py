"""Many seeds, in several processes. (Not in `__main__`, which a process that is spawned cannot import.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

from tests.simulation.bugs import BUGS
from tests.simulation.many import first_violation, in_order, up_to_a_violation
from tests.simulation.plan import Plan, plan_of
from tests.simulation.run import Outcome, run


class Verdict(NamedTuple):
    """What came of one seed."""

    seed: int
    outcome: Outcome

    @property
    def violation(self) -> str:
        return self.outcome.violation


def verdicts(seeds: range, jobs: int, bug: str | None = None) -> Iterator[Verdict]:
    """One after the other, in order; with several jobs ahead of time."""
    return in_order(_chunk, seeds, jobs, bug)


def planned(seed: int, bug: str | None) -> Plan:
    """A planted bug is looked for in the weather that brings it out."""
    return plan_of(seed, BUGS[bug].weather if bug else (), has_tree=bool(bug and BUGS[bug].in_tree))


def find_bug(bug: str, within: int) -> Verdict | None:
    """The first seed from 0 that finds the bug."""
    return first_violation(verdicts(range(within), 1, bug))


def _chunk(work: tuple[range, str | None]) -> list[Verdict]:
    seeds, bug = work
    with BUGS[bug].plant() if bug else nullcontext():
        return up_to_a_violation(Verdict(seed, run(planned(seed, bug))) for seed in seeds)
