"""``coscribe bench``: the performance scenarios."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from coscribe.bench import NAMES
from coscribe.cli.common import Json, out

_VAR_TMP = Path("/var/tmp")  # on disk by custom, where /tmp is often memory


def bench(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(NAMES)}. All, if left out.", metavar="SCENARIO")
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
    from coscribe.bench.report import show  # here, all three: clients and server take long to import
    from coscribe.bench.runner import placement
    from coscribe.cli.benching import measured

    place = placement(folder or (_VAR_TMP if _VAR_TMP.is_dir() else Path(tempfile.gettempdir())), server_cpu, load_cpu)
    report = measured(
        scenarios or list(NAMES), parameter or [], seconds, documents_per_socket, place, repeat, fsync_samples
    )
    if json:
        typer.echo(msgspec.json.encode(report))
    else:
        show(report, out)
