"""Runs scenarios, each run in a load generator's process of its own, and puts the figures together.

Repetitions are interleaved (A B C A B C), so that a machine whose mood changes treats all scenarios alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from coscribe.bench.load import Answer, Job
from coscribe.bench.machine import Machine, describe, processors
from coscribe.bench.measure import FIGURES, Figures, Target
from coscribe.bench.scenario import Scenario
from coscribe.bench.scenarios import parameters_of
from coscribe.bench.server import BenchError

DURABILITY = "sqlite WAL synchronous=FULL"
"""What "acknowledged" means in all scenarios: the commit group has returned from fsync."""


class Placement(msgspec.Struct, frozen=True):
    """Where things are: the data, and the processors (None: wherever the system puts them)."""

    folder: Path
    server_cpu: int | None
    load_cpu: int | None


class TargetResult(msgspec.Struct, rename="camel"):
    figure: str
    relation: str
    bound: float
    met: bool


class ScenarioResult(msgspec.Struct, rename="camel"):
    """All runs of a scenario. ``median`` is taken figure by figure; it is what the targets are held against."""

    parameters: dict[str, Any]
    runs: list[Figures]
    median: Figures
    target: list[TargetResult]
    met: bool


class Report(msgspec.Struct, rename="camel"):
    """Everything that ``--json`` prints. ``settings``: what of COSCRIBE_* the server was given from outside."""

    machine: Machine
    durability: str
    server_cpu: int | None
    load_cpu: int | None
    settings: dict[str, str]
    fsync_ms: float
    scenarios: dict[str, ScenarioResult]


def placement(folder: Path, server_cpu: int, load_cpu: int) -> Placement:
    """Takes the processors as asked if this process may use both; else nothing is pinned."""
    pinned = server_cpu != load_cpu and {server_cpu, load_cpu} <= processors()
    return Placement(folder, server_cpu if pinned else None, load_cpu if pinned else None)


def run(
    scenarios: dict[str, Scenario],
    place: Placement,
    *,
    repeat: int,
    fsync_samples: int,
    progress: Callable[[str], None],
) -> Report:
    """Runs all scenarios so many times. Raises BenchError."""
    runs: dict[str, list[Figures]] = {name: [] for name in scenarios}
    for round_number in range(1, repeat + 1):
        for name, scenario in scenarios.items():
            progress(f"{name}: run {round_number} of {repeat}")
            runs[name].append(_run_once(name, scenario, place, fsync_samples))
    results = {name: _result(scenario, runs[name]) for name, scenario in scenarios.items()}
    return Report(
        describe(place.folder),
        DURABILITY,
        place.server_cpu,
        place.load_cpu,
        {key: value for key, value in os.environ.items() if key.startswith("COSCRIBE_") and "SECRET" not in key},
        median(figures["fsyncMs"] for result in results.values() for figures in result.runs),
        results,
    )


def _run_once(name: str, scenario: Scenario, place: Placement, fsync_samples: int) -> Figures:
    job = Job(name, parameters_of(scenario), str(place.folder), place.server_cpu, place.load_cpu, fsync_samples)
    command = [sys.executable, "-m", "coscribe.bench.load"]
    # In a session of its own, so that Ctrl+C comes to us alone, and the generator can stop its server in order.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        output, _ = process.communicate(msgspec.json.encode(job))
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise BenchError(f"{name}: the load generator ended with code {process.returncode}")
    answer = msgspec.json.decode(output, type=Answer)
    if answer.error:
        raise BenchError(f"{name}: {answer.error}")
    return answer.figures


def _result(scenario: Scenario, runs: Sequence[Figures]) -> ScenarioResult:
    middle = {name: median(run[name] for run in runs) for name in FIGURES if all(name in run for run in runs)}
    targets = [_judge(target, middle) for target in scenario.targets(middle)]
    return ScenarioResult(parameters_of(scenario), list(runs), middle, targets, all(target.met for target in targets))


def _judge(target: Target, figures: Figures) -> TargetResult:
    return TargetResult(target.figure, "<=" if target.at_most else ">=", target.bound, target.met(figures))
