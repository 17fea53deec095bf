"""``python -m bench.peers``: runs the comparison and writes docs/benchmarks.md and docs/benchmarks.svg."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from bench.peers.page import write
from bench.peers.report import SCENARIOS, Report
from bench.peers.runner import Options, parameters_of, run
from bench.peers.systems import ROOT, SYSTEMS, missing


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10.0, help="measured interval of busy, steady and many")
    arguments.add_argument("--repeat", type=int, default=5, help="runs of each scenario and system, interleaved")
    arguments.add_argument("--history", type=int, default=20_000, help="keystrokes of the join's history, 0 for all")
    arguments.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where the servers' data goes")
    arguments.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM")
    arguments.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SCENARIO")
    arguments.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and the picture go")
    arguments.add_argument("--json", type=Path, default=ROOT / "build/peers.json", help="where all figures go")
    arguments.add_argument("--from-json", action="store_true", help="measure nothing; write the page from --json")
    chosen = arguments.parse_args()
    if chosen.from_json:
        write(msgspec.json.decode(chosen.json.read_bytes(), type=Report), chosen.docs)
        return 0
    for name in chosen.systems:
        if reason := missing(name):
            print(f"{SYSTEMS[name].title} cannot be run: {reason}; `make bench-peers` installs it", file=sys.stderr)
            return 1
    options = Options(chosen.seconds, chosen.repeat, chosen.history, chosen.folder)
    parameters = {name: values for name, values in parameters_of(options).items() if name in chosen.scenarios}
    report = run(options, chosen.systems, parameters, lambda line: print(line, file=sys.stderr, flush=True))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    write(report, chosen.docs)
    print(f"written: {chosen.docs}/benchmarks.md, benchmarks.svg and {chosen.json}", file=sys.stderr)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
