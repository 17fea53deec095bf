"""Many seeds, in several processes. (Not in `__main__`, which a process that is spawned cannot import.)"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

from tests.simulation.bugs import BUGS
from tests.simulation.plan import Plan, plan_of
from tests.simulation.run import Outcome, run

CHUNK = 20


class Verdict(NamedTuple):
    """What came of one seed."""

    seed: int
    outcome: Outcome


def verdicts(seeds: range, jobs: int, bug: str | None = None) -> Iterator[Verdict]:
    """One after the other, in order; with several jobs ahead of time."""
    chunks = [(seeds[start : start + CHUNK], bug) for start in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        yield from _flat(map(_chunk, chunks))
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from _flat(pool.imap(_chunk, chunks))


def planned(seed: int, bug: str | None) -> Plan:
    """A planted bug is looked for in the weather that brings it out."""
    return plan_of(seed, BUGS[bug].weather if bug else (), has_tree=bool(bug and BUGS[bug].in_tree))


def first_violation(bug: str, within: int) -> Verdict | None:
    """The first seed from 0 that finds the bug."""
    return next((verdict for verdict in verdicts(range(within), 1, bug) if verdict.outcome.violation), None)


def _chunk(work: tuple[range, str | None]) -> list[Verdict]:
    seeds, bug = work
    found: list[Verdict] = []
    with BUGS[bug].plant() if bug else nullcontext():
        for seed in seeds:
            found.append(Verdict(seed, run(planned(seed, bug))))
            if found[-1].outcome.violation:
                break
    return found


def _flat(chunks: Iterable[list[Verdict]]) -> Iterator[Verdict]:
    for chunk in chunks:
        yield from chunk
