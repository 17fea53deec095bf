"""Many seeds, in several processes, up to one that finds something."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

CHUNK = 20


class Found(Protocol):
    """What came of one seed. ``violation``: "" where everything held."""

    @property
    def seed(self) -> int: ...

    @property
    def violation(self) -> str: ...


class Planted(Protocol):
    """``within``: so many seeds are enough to find it."""

    @property
    def within(self) -> int: ...


_F = TypeVar("_F", bound=Found)


def in_order(
    work: Callable[[tuple[range, str | None]], list[_F]], seeds: range, jobs: int, bug: str | None
) -> Iterator[_F]:
    """One after the other; with several jobs ahead of time. ``work``, for some seeds with a planted bug, is something
    that a process that is spawned can import."""
    chunks = [(seeds[start : start + CHUNK], bug) for start in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from work(chunk)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for found in pool.imap(work, chunks):
            yield from found


def up_to_a_violation(found: Iterable[_F]) -> list[_F]:
    """Those before the first violation, and that one."""
    taken: list[_F] = []
    for each in found:
        taken.append(each)
        if each.violation:
            break
    return taken


def first_violation(found: Iterable[_F]) -> _F | None:
    return next((each for each in found if each.violation), None)


def look_for_bugs(name: str, bugs: Mapping[str, Planted], find: Callable[[str, int], Found | None]) -> int:
    """Prints where each planted bug is found; 1 if one is not. ``find``: the first violation with a bug, within so many
    seeds."""
    missed = 0
    for bug, planted in bugs.items():
        began = time.monotonic()
        found = find(bug, planted.within)
        took = time.monotonic() - began
        missed += found is None
        what = f"seed {found.seed}: {found.violation[:90]}" if found else f"NOT within {planted.within} seeds"
        print(f"{bug:48} {took:5.1f} s  {what}", flush=True)
    print(f"{name}: {len(bugs) - missed} of {len(bugs)} planted bugs found")
    return 1 if missed else 0
