"""The scenarios by name, as they are run unless told otherwise."""

from __future__ import annotations

from typing import Any

import msgspec

from coscribe.bench import NAMES
from coscribe.bench.busy import Busy
from coscribe.bench.idle import Idle
from coscribe.bench.join import Join
from coscribe.bench.many import Many
from coscribe.bench.replay import Replay
from coscribe.bench.scenario import Scenario
from coscribe.bench.server import BenchError

SCENARIOS: dict[str, Scenario] = {
    "busy-8": Busy(clients=8),
    "busy-50": Busy(clients=50),
    "many": Many(),
    "join": Join(),
    "idle": Idle(),
    "replay": Replay(),
}
assert tuple(SCENARIOS) == NAMES


def scenario_of(name: str, parameters: dict[str, Any]) -> Scenario:
    """A scenario with other parameters (numbers may be strings). Raises BenchError."""
    scenario = SCENARIOS[name]
    defaults = parameters_of(scenario)
    for parameter in parameters:
        if parameter not in defaults:
            raise BenchError(f"{name} has no parameter {parameter!r}; it has {', '.join(defaults)}")
    try:
        return msgspec.convert(defaults | parameters, type(scenario), strict=False)
    except msgspec.ValidationError as error:
        raise BenchError(f"{name}: {error}") from None


def parameters_of(scenario: Scenario) -> dict[str, Any]:
    parameters: dict[str, Any] = msgspec.to_builtins(scenario)
    return parameters
