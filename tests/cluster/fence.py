"""Owners that pause, die, hear nothing and come late: never two whom the log accepts, nobody is shown what was.

python -m tests.cluster.fence --schedules 10000            so many schedules, on all cores
python -m tests.cluster.fence --first 4711 --schedules 1   this one
python -m tests.cluster.fence --bugs                       does it find each planted bug?

A schedule is a seed: how many cores and documents, how their clocks run, what goes wrong and when.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from coscribe.cluster.ownership import LEASE_SECONDS
from coscribe.cluster.ports import SETTLED_SECONDS
from tests.cluster.fence_bugs import BUGS
from tests.cluster.fence_world import Core, World, small
from tests.simulation.many import first_violation, in_order, look_for_bugs, up_to_a_violation

SECONDS = 30.0
"""Of virtual time in which things go wrong."""

TROUBLES = (
    "pause",
    "pause past the lease",
    "pause in a commit",
    "kill",
    "leave",
    "leave and die",
    "cut",
    "mute",
    "slow there",
    "slow back",
    "straggling",
    "twice",
    "rogue",
    "pin",
    "another",
    "deaf",
)


class Outcome(NamedTuple):
    """``violation``: "" where everything held."""

    seed: int
    violation: str
    edits: int
    acknowledged: int
    reads: int
    refused: int
    seconds: float


def run(seed: int, troubles: tuple[str, ...] = TROUBLES) -> Outcome:
    """One schedule."""
    with small():
        rng = random.Random(seed)
        world = World(seed, cores=rng.randint(2, 4), documents=rng.randint(1, 4), skew=rng.choice((0.0, 0.01, 0.04)))
        loop = world.loop
        asyncio.set_event_loop(loop)
        pace = rng.uniform(0.5, 3.0)
        some = rng.sample(troubles, rng.randint(1, len(troubles))) if troubles is TROUBLES else troubles
        violation = ""

        async def trouble(world: World) -> None:
            while True:
                await asyncio.sleep(rng.expovariate(1.0 / pace))
                _do(rng.choice(some), world, rng)

        try:
            loop.run_until_complete(loop.start(world.database, world.live(SECONDS, 3, trouble)))
        except Exception as error:  # whatever it is, this seed has found it
            violation = f"{type(error).__name__}: {error}"
        for process in loop.processes:
            loop.kill(process)
        loop.bury()
        asyncio.set_event_loop(None)
        loop.close()
        truth = world.truth
        return Outcome(seed, violation, world.edits, world.acknowledged, world.reads, truth.refused, loop.time())


def _do(what: str, world: World, rng: random.Random) -> None:
    loop = world.loop
    awake = [core for core in world.living() if not core.process.paused]
    if not awake:
        return
    core = rng.choice(awake)

    def later(seconds: float, act: Callable[[], object]) -> None:
        loop.within(world.database, seconds, lambda: None if world.in_peace else act())

    def go_on() -> None:
        if core.process.paused and not core.process.dead:
            loop.go_on(core.process)

    match what:
        case "pause":
            loop.pause(core.process)
            later(rng.uniform(0.05, LEASE_SECONDS), go_on)
        case "pause past the lease":
            loop.pause(core.process)
            later(rng.uniform(LEASE_SECONDS - 1.5, 3 * LEASE_SECONDS), go_on)
        case "pause in a commit":
            core.way.to = rng.uniform(0.1, 12.0)
            later(rng.uniform(0.0, 1.0), lambda: loop.pause(core.process))
            later(rng.uniform(LEASE_SECONDS, 2 * LEASE_SECONDS), core.way.heal)
            later(rng.uniform(LEASE_SECONDS, 2 * LEASE_SECONDS), go_on)
        case "kill":
            loop.kill(core.process)
            later(rng.uniform(0.01, 2 * LEASE_SECONDS), lambda: _again(world, core))
        case "leave" | "leave and die":
            core.leaving = True
            loop.start(core.process, core.keeper.leave())
            if what == "leave and die":
                later(rng.uniform(0.0, 0.2), lambda: loop.kill(core.process))
            later(rng.uniform(1.0, 2 * LEASE_SECONDS), lambda: _again(world, core))
        case "cut":
            core.way.cut = True
            later(rng.uniform(0.2, 3 * LEASE_SECONDS), core.way.heal)
        case "mute":
            core.way.mute = True
            later(rng.uniform(0.2, 3 * LEASE_SECONDS), core.way.heal)
        case "slow there":
            core.way.to = rng.choice((0.5, 1.5, 8.0))
            later(rng.uniform(1.0, 10.0), core.way.heal)
        case "slow back":
            core.way.back = rng.choice((0.5, 1.5, 3.0))
            later(rng.uniform(1.0, 10.0), core.way.heal)
        case "straggling":
            core.way.straggling = 0.4
            later(rng.uniform(2.0, 20.0), core.way.heal)
        case "twice":
            core.way.twice = 0.5
            later(rng.uniform(1.0, 10.0), core.way.heal)
        case "rogue":
            core.rogue = True
            later(rng.uniform(0.5, 5.0), core.sober)
        case "deaf":
            for each in rng.sample(awake, rng.randint(1, len(awake))):
                each.connected = False
                later(rng.uniform(0.5, 4 * SETTLED_SECONDS), partial(setattr, each, "connected", True))
        case "pin":
            world.table.pin(rng.choice(world.documents), rng.choice(["", *(each.name for each in world.cores)]))
        case _:
            if len(world.cores) < 5:
                another = Core(world, f"core{world.number()}")
                world.cores.append(another)
                another.start()


def _again(world: World, core: Core) -> None:
    if core in world.cores:
        world.replace(core)


# ---- many


def outcomes(seeds: range, jobs: int, bug: str | None = None) -> Iterator[Outcome]:
    """One after the other, in order; with several jobs ahead of time."""
    return in_order(_chunk, seeds, jobs, bug)


def _chunk(work: tuple[range, str | None]) -> list[Outcome]:
    seeds, bug = work
    troubles = (BUGS[bug].troubles if bug else ()) or TROUBLES
    with BUGS[bug].plant() if bug else nullcontext():
        return up_to_a_violation(run(seed, troubles) for seed in seeds)


def find_bug(bug: str, within: int) -> Outcome | None:
    """The first seed from 0 that finds the bug."""
    return first_violation(outcomes(range(within), 1, bug))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.fence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=300, help="how many (300)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--bug", choices=BUGS, metavar="NAME", help="with a planted bug")
    parser.add_argument("--bugs", action="store_true", help="look for every planted bug")
    chosen = parser.parse_args()
    if chosen.bugs:
        return look_for_bugs("fence", BUGS, find_bug)
    return simulate(range(chosen.first, chosen.first + chosen.schedules), chosen.jobs, chosen.bug)


def simulate(seeds: range, jobs: int, bug: str | None) -> int:
    began = time.monotonic()
    edits = acknowledged = reads = refused = 0
    seconds = 0.0
    for outcome in outcomes(seeds, jobs, bug):
        if outcome.violation:
            print(f"{outcome.seconds:.3f} virtual s: {outcome.violation}")
            planted = f" --bug {bug!r}" if bug else ""
            print(f"replay with: python -m tests.cluster.fence --first {outcome.seed} --schedules 1{planted}")
            return 1
        edits += outcome.edits
        acknowledged += outcome.acknowledged
        reads += outcome.reads
        refused += outcome.refused
        seconds += outcome.seconds
        if outcome.seed % 500 == 499:
            print(f"up to {outcome.seed}: nothing", file=sys.stderr, flush=True)
    print(
        f"fence: {len(seeds)} schedules from {seeds.start}, 0 violations, {edits} edits, {acknowledged} acknowledged, "
        f"{refused} refused by the fence, {reads} reads, {seconds / 3600:.1f} virtual hours in "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
