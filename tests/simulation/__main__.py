"""Runs simulated worlds: `python -m tests.simulation` or `make simulate`.

python -m tests.simulation --seeds 1000                   a thousand worlds, on all cores
python -m tests.simulation --first 4711 --seeds 1         this one
python -m tests.simulation --first 4711 --seeds 1 --save-plan plan.json
python -m tests.simulation --load-plan plan.json          what is in the file, whatever the seed would give today
python -m tests.simulation --bugs                         does it find each planted bug? (COSCRIBE_PURE=1)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.bugs import BUGS
from tests.simulation.many import look_for_bugs
from tests.simulation.plan import load, save, shrunk
from tests.simulation.run import Outcome, run
from tests.simulation.seeds import find_bug, planned, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds (300)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--bug", choices=BUGS, metavar="NAME", help="with a planted bug")
    parser.add_argument("--bugs", action="store_true", help="look for every planted bug")
    parser.add_argument("--save-plan", type=Path, metavar="FILE", help="keep the (shrunk) plan of what fails")
    parser.add_argument("--load-plan", type=Path, metavar="FILE", help="carry out a kept plan")
    chosen = parser.parse_args()
    if chosen.bugs:
        return look_for_bugs("simulation", BUGS, find_bug)
    if chosen.load_plan is not None:
        with BUGS[chosen.bug].plant() if chosen.bug else nullcontext():
            return _told(run(load(chosen.load_plan)), f"--load-plan {chosen.load_plan}", chosen.bug)
    return simulate(range(chosen.first, chosen.first + chosen.seeds), chosen.jobs, chosen.bug, chosen.save_plan)


def simulate(seeds: range, jobs: int, bug: str | None, keep: Path | None) -> int:
    """Runs the seeds; 1 if one of them fails, which is then shrunk and told how to see again."""
    console = Console(stderr=True)
    began, count, commits, virtual, steps = time.monotonic(), 0, 0, 0.0, 0
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(seeds))
        for verdict in verdicts(seeds, jobs, bug):
            outcome = verdict.outcome
            count += 1
            commits += outcome.commits
            virtual += outcome.seconds
            steps += outcome.steps
            progress.advance(task)
            if outcome.violation:
                progress.stop()
                plan = planned(verdict.seed, bug)
                if keep is not None:
                    with BUGS[bug].plant() if bug else nullcontext():
                        plan = shrunk(plan, lambda fewer: bool(run(fewer).violation))
                    save(plan, keep)
                    console.print(f"{len(plan.events)} events are enough, kept in {keep}")
                return _told(outcome, f"--first {verdict.seed} --seeds 1", bug)
    took = time.monotonic() - began
    print(
        f"simulation: {count} seeds from {seeds.start}, 0 violations, {commits} operations, {steps} steps, "
        f"{virtual / 3600:.1f} virtual hours in {took:.0f} s"
    )
    return 0


def _told(outcome: Outcome, again: str, bug: str | None) -> int:
    """``again``: the options that show it once more."""
    if not outcome.violation:
        print(f"no violation: {outcome.commits} operations, {outcome.seconds:.0f} virtual s, trace {outcome.trace}")
        return 0
    planted = f" --bug {bug!r}" if bug else ""
    print(f"{outcome.seconds:.3f} virtual s: {outcome.violation}")
    print(f"replay with: python -m tests.simulation {again}{planted}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
