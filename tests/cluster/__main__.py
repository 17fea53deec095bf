"""A real cluster, thousands of people, and everything that goes wrong: `python -m tests.cluster`.

python -m tests.cluster --seconds 1200 --documents 10000 --sockets 2000 --cores 3 --gateways 2 --seed 1
python -m tests.cluster --seconds 60 --documents 200 --sockets 40 --only "core killed" "NATS restarted"
python -m tests.cluster --bugs      does it notice each planted bug?
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.cluster.outcome import Outcome, Wanted
from tests.cluster.planted import look_for_bugs
from tests.cluster.run import run
from tests.cluster.schedule import KINDS, NAMES


def main() -> int:
    usual = Wanted()
    kinds = "\n".join(f"  {kind.name:<24} {kind.of}" for kind in KINDS)
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=f"{__doc__}\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, what in (
        ("seconds", "how long things go wrong"),
        ("documents", "that there are"),
        ("sockets", "people, each with one"),
        ("cores", ""),
        ("gateways", ""),
        ("workspaces", "that are kept as files"),
        ("rate", "edits a second"),
        ("visits", "documents opened a second"),
        ("most", "documents that a person has open"),
        ("seed", "of the schedule"),
        ("rounds", "each fault so often, however long it takes"),
        ("breath", "seconds between two faults"),
    ):
        value = getattr(usual, name)
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{what} ({value:g})".strip())
    parser.add_argument("--only", choices=NAMES, nargs="+", default=(), metavar="FAULT", help="no others")
    parser.add_argument("--plot", default="", metavar="FILE", help="an SVG of acknowledgements over time")
    parser.add_argument("--bugs", action="store_true", help="look for planted bugs")
    chosen = vars(parser.parse_args())
    if chosen.pop("bugs"):
        return look_for_bugs()
    outcome = _shown(Wanted(**chosen)._replace(only=tuple(chosen["only"])))
    print(outcome)
    return 1 if outcome.violations else 0


def _shown(wanted: Wanted) -> Outcome:
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        return run(
            wanted,
            progress.console.print,
            lambda stage, share: progress.update(task, description=stage, completed=share),
        )


if __name__ == "__main__":
    sys.exit(main())
