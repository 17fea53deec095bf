"""``coscribe bench``: the performance scenarios."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from coscribe.bench.report import show
from coscribe.bench.runner import placement, run
from coscribe.bench.scenario import Scenario
from coscribe.bench.scenarios import SCENARIOS, parameters_of, scenario_of
from coscribe.bench.server import BenchError
from coscribe.cli.common import Json, err, fail, out

_VAR_TMP = Path("/var/tmp")  # on disk by custom, where /tmp is often memory


def bench(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(SCENARIOS)}. All, if left out.", metavar="SCENARIO")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each scenario, interleaved; the median counts.")] = 1,
    seconds: Annotated[float | None, typer.Option(help="The measured interval, where a scenario has one.")] = None,
    documents_per_socket: Annotated[int | None, typer.Option(help="For idle: documents open on one socket.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--set", help="Any parameter: SCENARIO.NAME=VALUE.", metavar="SETTING")
    ] = None,
    server_cpu: Annotated[int, typer.Option(help="The processor of the server.")] = 0,
    load_cpu: Annotated[int, typer.Option(help="The processor of the load generator.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Where to put the data: on the disk in question.", exists=True, file_okay=False)
    ] = None,
    fsync_samples: Annotated[int, typer.Option(min=2, help="How often a run times the disk itself.")] = 500,
    json: Json = False,
) -> None:
    """Measure the server: every acknowledged operation is on disk.

    The server and the load generator are processes of their own, on a processor each. Repetitions are interleaved.
    docs/performance.md says what each scenario does.

    Examples:

        coscribe bench

        coscribe bench busy-8 busy-50 --repeat 5 --json

        coscribe bench idle --documents-per-socket 100 --set idle.documents=2000
    """
    try:
        chosen = _chosen(scenarios or list(SCENARIOS), parameter or [], seconds, documents_per_socket)
        report = run(
            chosen,
            placement(folder or (_VAR_TMP if _VAR_TMP.is_dir() else Path(tempfile.gettempdir())), server_cpu, load_cpu),
            repeat=repeat,
            fsync_samples=fsync_samples,
            progress=lambda line: err.print(line, highlight=False),
        )
    except BenchError as error:
        fail(str(error), code=1)
    if json:
        typer.echo(msgspec.json.encode(report))
    else:
        show(report, out)


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
