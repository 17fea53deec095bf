"""What `coscribe bench` does: chooses scenarios, runs them, and says what went wrong."""

from __future__ import annotations

from coscribe.bench.runner import Placement, Report, run
from coscribe.bench.scenario import Scenario
from coscribe.bench.scenarios import SCENARIOS, parameters_of, scenario_of
from coscribe.bench.server import BenchError
from coscribe.cli.common import err, fail


def measured(
    names: list[str],
    settings: list[str],
    seconds: float | None,
    documents_per_socket: int | None,
    place: Placement,
    repeat: int,
    fsync_samples: int,
) -> Report:
    """The scenarios, with the parameters as asked for."""
    try:
        return run(
            _chosen(names, settings, seconds, documents_per_socket),
            place,
            repeat=repeat,
            fsync_samples=fsync_samples,
            progress=lambda line: err.print(line, highlight=False),
        )
    except BenchError as error:
        fail(str(error), code=1)


def _chosen(
    names: list[str], settings: list[str], seconds: float | None, documents_per_socket: int | None
) -> dict[str, Scenario]:
    """The scenarios with their parameters as asked for. Raises BenchError."""
    parameters: dict[str, dict[str, object]] = {name: {} for name in names}
    for name in names:
        if name not in SCENARIOS:
            raise BenchError(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
        has = parameters_of(SCENARIOS[name])
        for option, value in (("seconds", seconds), ("documentsPerSocket", documents_per_socket)):
            if value is not None and option in has:
                parameters[name][option] = value
    for setting in settings:
        where, equals, value_text = setting.partition("=")
        name, _, option = where.partition(".")
        if not equals or name not in SCENARIOS:
            raise BenchError(f"--set {setting}: this is not SCENARIO.NAME=VALUE")
        if name in parameters:
            parameters[name][option] = value_text
    return {name: scenario_of(name, parameters[name]) for name in names}
