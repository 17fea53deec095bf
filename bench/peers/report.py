"""What comes of the runs: figures by system and scenario, and who is ahead. Pure but for what it is given."""

from __future__ import annotations

from statistics import median
from typing import Any, NamedTuple

import msgspec

from coscribe.bench.machine import Machine

Figures = dict[str, float]


class Measure(NamedTuple):
    """One figure as the page shows it. ``at_most``: less is better."""

    figure: str
    title: str
    at_most: bool = False


_OF_OPERATIONS = (
    Measure("opsPerSecond", "operations/s"),
    Measure("ackP50Ms", "ack p50, ms", True),
    Measure("ackP99Ms", "ack p99, ms", True),
    Measure("seenP50Ms", "seen p50, ms", True),
    Measure("seenP99Ms", "seen p99, ms", True),
    Measure("serverCpuUsPerOp", "server CPU per operation, us", True),
)
_OF_A_CORE = Measure("opsPerCpuSecond", "operations per second of server CPU")

SCENARIOS: dict[str, tuple[str, tuple[Measure, ...]]] = {
    "busy": ("One busy document", (*_OF_OPERATIONS, _OF_A_CORE)),
    "steady": ("The same offered load", _OF_OPERATIONS),
    "many": ("Many documents", (*_OF_OPERATIONS, _OF_A_CORE)),
    "idle": ("Idle documents", (Measure("rssPerDocumentKb", "server RSS per document, KB", True),)),
    "join": (
        "Join after a long history",
        (
            Measure("joinMs", "join p50, ms", True),
            Measure("joinCpuMs", "server CPU per join, ms", True),
        ),
    ),
}
"""The scenarios in their order, with the figures that are compared. What else is measured is in the JSON."""

_OFFERED = {"steady", "many"}
"""Scenarios in which everybody is offered the same, so that their operations per second tell nothing."""
_RATE = "opsPerSecond"
_SAME = 0.03
"""What differs by less is not called ahead."""


class Report(msgspec.Struct, rename="camel"):
    """``runs``: by scenario and system, one entry for each repetition. ``compiled``: our own core, here.
    ``load_average``: of the machine in the minute before the first run; above 0 somebody else was using it.
    ``stolen``: of a second of wall time, how much processor time the machine's host kept from it during the runs.
    ``failures``: what was said of runs that gave no figures; they have no entry."""

    date: str
    machine: Machine
    server_cpu: int | None
    load_cpu: int | None
    fsync_ms: float
    compiled: bool
    versions: dict[str, str]
    parameters: dict[str, dict[str, Any]]
    repeat: int
    runs: dict[str, dict[str, list[Figures]]]
    failures: list[str] = []
    load_average: float | None = None
    stolen: float | None = None

    def median(self, scenario: str, system: str) -> Figures:
        """Figure by figure; what is not in every run is left out. Empty where the system did not run."""
        runs = self.runs.get(scenario, {}).get(system, [])
        return {name: median(run[name] for run in runs) for name in (runs[0] if runs else {}) if _in_all(name, runs)}

    def spread(self, scenario: str, system: str, figure: str) -> tuple[float, float]:
        """The least and the greatest of all runs."""
        values = [run[figure] for run in self.runs[scenario][system]]
        return min(values), max(values)


class Lead(NamedTuple):
    """Somebody is better than we are: ``times`` so much."""

    scenario: str
    measure: Measure
    system: str
    theirs: float
    ours: float

    @property
    def times(self) -> float:
        better, worse = sorted((self.theirs, self.ours))
        return worse / better if better > 0 else float("inf")


def leads(report: Report, ours: str) -> list[Lead]:
    """Every figure in which a peer is ahead of us, by more than a few hundredths; all such peers, the best first.

    What is offered alike is not a figure to be ahead in, and an acknowledgement is compared only with another one: what
    is seen by another client is compared among all.
    """
    found: list[Lead] = []
    for scenario, (_, measures) in SCENARIOS.items():
        mine = report.median(scenario, ours)
        for measure in measures:
            if measure.figure not in mine or (scenario in _OFFERED and measure.figure == _RATE):
                continue
            ahead = [
                Lead(scenario, measure, system, theirs[measure.figure], mine[measure.figure])
                for system in report.runs[scenario]
                if system != ours and measure.figure in (theirs := report.median(scenario, system))
            ]
            ahead = [lead for lead in ahead if (lead.theirs < lead.ours) == measure.at_most and lead.times > 1 + _SAME]
            found += sorted(ahead, key=lambda lead: -lead.times)
    return found


def derived(figures: Figures) -> Figures:
    """The figures of a run with what follows from them."""
    cost = figures.get("serverCpuUsPerOp", 0.0)
    return figures | ({"opsPerCpuSecond": 1_000_000 / cost} if cost > 0 else {})


def _in_all(name: str, runs: list[Figures]) -> bool:
    return all(name in run for run in runs)
