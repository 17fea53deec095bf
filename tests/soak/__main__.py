"""Lives through a week of typing and looks back at it: `python -m tests.soak` or `make week`.

python -m tests.soak                            the whole week, about a million operations
python -m tests.soak --hours 28 --people 3 --documents 4
python -m tests.soak --trace                    and where memory has grown (three times as slow)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from coscribe.app import tune_interpreter
from tests.memory import in_memory
from tests.soak.after import look_back, vacuumed, verified
from tests.soak.journal import Journal
from tests.soak.office import Plan
from tests.soak.people import Broken, require
from tests.soak.week import MB, Night, Week, live_through, slope

MOST_RESIDENT = 12.0
"""MB a day that resident memory may grow, by the slope after the first day. That is loose: a busier moment than any
before leaves the process larger, for good, whether or not anything is kept. What is kept is bounded by the next two."""

MOST_HELD = 0.5
"""MB a day that may be in use more than before of C's heap: with a million operations, three bytes for each."""

MOST_BLOCKS = 2_000
"""Python's objects a day, beside what is remembered of series: one for a hundred operations."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Plan()
    parser.add_argument("--hours", type=float, default=usual.hours, help="of the week, from Monday at midnight (168)")
    parser.add_argument("--people", type=int, default=usual.people)
    parser.add_argument("--documents", type=int, default=usual.documents)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--trace", action="store_true", help="tell where memory has grown from night to night")
    parser.add_argument("--folder", type=Path, help="a new one, which is kept")
    chosen = parser.parse_args()
    plan = Plan(chosen.hours, chosen.people, chosen.documents, chosen.seed)
    with tempfile.TemporaryDirectory(prefix="coscribe-week-", dir=in_memory()) as temporary:
        folder = chosen.folder or Path(temporary)
        try:
            soak(plan, folder, trace=chosen.trace)
        except Broken as broken:
            print(f"BROKEN: {broken}")
            again = " ".join(f"--{name} {value}" for name, value in plan._asdict().items())
            print(f"replay with: python -m tests.soak {again}")
            return 1
    return 0


def soak(plan: Plan, folder: Path, *, trace: bool) -> None:
    """Raises Broken; prints the figures."""
    tune_interpreter()
    week = live_through(plan, folder, trace=trace)
    show_week(plan, week)
    began = time.monotonic()
    past = asyncio.run(look_back(folder, Journal(folder / "journal"), plan.seed))
    print(f"past      {past.entries:,} entries as they were written, {past.closed_entries:,} of them in segments")
    print(f"          {past.seen:,} texts that somebody saw, where they were; {past.texts} asked of the server")
    print(f"          authors of every character at {past.blamed} versions")
    print(f"          {past.resent:,} messages sent again, {past.resent_closed:,} of them in segments: places of then")
    print(
        f"          {past.restored} documents restored to an old version; {time.monotonic() - began:.0f} s for all that"
    )
    require(past.resent_closed and past.closed_entries, "nothing lies in segments: this week was too short")
    print(f"verify    {verified(folder)} files clean")
    vacuum = vacuumed(folder)
    each = vacuum.bytes_after / past.entries
    print(
        f"vacuum    {vacuum.bytes_before / MB:.1f} MB before, {vacuum.bytes_after / MB:.1f} MB after, {each:.0f} bytes"
    )
    print(f"          an operation; the log is the same, {verified(folder)} files clean")
    check_week(week)


def show_week(plan: Plan, week: Week) -> None:
    print(
        f"week      {plan.hours:g} hours, {plan.people} people, {plan.documents} documents, seed {plan.seed}:"
        f" {week.operations:,} operations in {week.seconds:.0f} s\n"
    )
    if week.nights:
        show_nights(week.nights)
    if len(week.nights) > 2:
        resident, held, blocks = slopes(week.nights)
        print("memory    by the slope after the first day, a day:")
        print(f"          {resident:+.3f} MB resident, at most {MOST_RESIDENT:g}")
        print(f"          {held:+.3f} MB in use of the heap, at most {MOST_HELD:g}")
        print(f"          {blocks:+,.0f} blocks of Python, at most {MOST_BLOCKS:,}, beside two for each series")
    else:
        print("memory    too few days for a slope")
    print(
        f"rows      of one document at most {week.most_rows:,} in use, {week.most_rows_allowed:,} allowed;"
        f" {week.most_rows_at_night:,} at night, {week.most_rows_at_night_allowed:,} allowed"
    )
    print(f"snapshots of one file at most {week.most_snapshots}")
    met = week.rounds - week.undone
    print(f"undo      {week.undone} words in segments taken back by who wrote them; others had touched {met}")


def show_nights(nights: list[Night]) -> None:
    heads = {"night": 5, "operations": 12, "RSS": 8, "held": 8, "blocks": 10, "series": 8, "database": 10, "each": 7}
    heads |= {"log": 7, "segments": 10, "runs": 7, "snapshots": 11, "rows": 9}
    print("".join(f"{head:>{width}}" for head, width in heads.items()))
    for night in nights:
        log, segments, runs, _, snapshots = (size / MB for size in night.tables)
        each = f"{night.database / night.operations:.0f} B"
        print(f"{night.day:>5}{night.operations:>12,}{night.resident / MB:>8.1f}{night.held / MB:>8.2f}", end="")
        print(f"{night.blocks:>10,}{night.series:>8,}{night.database / MB:>10.1f}{each:>7}", end="")
        print(f"{log:>7.1f}{segments:>10.1f}{runs:>7.2f}{snapshots:>11.1f}{night.rows:>9,}")
    print("RSS, what is held of it, the database and its tables with their indexes in MB\n")


def check_week(week: Week) -> None:
    require(week.most_rows <= week.most_rows_allowed, "too many rows in no segment")
    require(week.most_rows_at_night <= week.most_rows_at_night_allowed, "too many rows in no segment at night")
    require(week.most_snapshots <= week.keep, "too many snapshots")
    require(week.undone, "nothing that lies in segments was undone")
    if len(week.nights) > 2:
        resident, held, blocks = slopes(week.nights)
        require(resident <= MOST_RESIDENT and held <= MOST_HELD and blocks <= MOST_BLOCKS, "memory grows")


def slopes(nights: list[Night]) -> tuple[float, float, float]:
    """A day: MB resident, MB held, blocks. The first day fills what is bounded: caches, stores of the interpreter."""
    later = nights[1:]
    return (
        slope([night.resident / MB for night in later]),
        slope([night.held / MB for night in later]),
        slope([night.blocks - 2 * night.series for night in later]),
    )


if __name__ == "__main__":
    sys.exit(main())
