"""A real server, real clients, and everything that goes wrong: `python -m tests.chaos` or `make chaos`.

python -m tests.chaos --seconds 1800 --seed 1             half an hour
python -m tests.chaos --seconds 60 --bug "visible before durable"
                                                          with a planted bug: is it noticed?
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.chaos.bugs import BUGS
from tests.chaos.run import Outcome, Wanted, run
from tests.chaos.schedule import KINDS


def main() -> int:
    usual = Wanted()
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=usual.seconds, help=f"how long ({usual.seconds:g})")
    parser.add_argument("--clients", type=int, default=usual.clients, help=f"how many people ({usual.clients})")
    parser.add_argument(
        "--documents", type=int, default=usual.documents, help=f"that they type into ({usual.documents})"
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help=f"of the schedule ({usual.seed})")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=(), metavar="FAULT", help=", ".join(KINDS))
    parser.add_argument("--bug", choices=BUGS, default="", metavar="NAME", help="with a planted bug")
    chosen = parser.parse_args()
    outcome = asyncio.run(_shown(Wanted(**vars(chosen))._replace(only=tuple(chosen.only))))
    print(outcome)
    return 1 if outcome.violations else 0


async def _shown(wanted: Wanted) -> Outcome:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("chaos"), BarColumn(), TextColumn("{task.completed:.0f} s"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=wanted.seconds)
        return await run(wanted, progress.console.print, lambda seconds: progress.update(task, completed=seconds))


if __name__ == "__main__":
    sys.exit(main())
