"""Runs every scenario on every system, one server and one load generator for each run.

Repetitions are interleaved (A B C A B C), so that a machine whose mood changes treats all systems alike.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.peers.report import Figures, Report, derived
from bench.peers.systems import HERE, NODE, SYSTEMS, started, versions
from coscribe.bench.machine import Disk, allow_descriptors, describe, on_processor, processors, stolen_seconds
from coscribe.bench.replay import synthetic
from coscribe.bench.server import BenchError
from coscribe.compiled import is_compiled
from coscribe.core.text_buffer import TextBuffer

Parameters = dict[str, Any]

_RUN_SECONDS = 900
_FSYNC_SAMPLES = 50
_SYNTHETIC = 20_000
_PATH = "history"
"""The parameter that is a file of this run, and so nobody else's business."""


class Options(NamedTuple):
    """``history``: keystrokes of the recorded history, 0 for all; ``folder``: where the data of servers goes."""

    seconds: float
    repeat: int
    history: int
    folder: Path


def parameters_of(options: Options) -> dict[str, Parameters]:
    """What each scenario is run with. Rates are operations a second of one writer; lengths are characters."""
    paced = {"seconds": options.seconds, "warmUp": 2.0}
    return {
        "busy": {"writers": 50, **paced},
        "steady": {"documents": 1, "writers": 20, "rate": 5.0, **paced},
        "many": {"documents": 100, "writers": 2, "rate": 5.0, **paced},
        "idle": {"documents": 300, "warmUpDocuments": 20, "length": 10_240, "settle": 2.0},
        "join": {"keystrokes": options.history, "joins": 20},
    }


def run(
    options: Options,
    systems: Sequence[str],
    parameters: dict[str, Parameters],
    progress: Callable[[str], None],
) -> Report:
    """Everything, so many times. A run that fails is told in the report and has no figures there."""
    server_cpu, load_cpu = _processors()
    allow_descriptors()
    runs: dict[str, dict[str, list[Figures]]] = {name: {system: [] for system in systems} for name in parameters}
    failures: list[str] = []
    load_average, _, _ = os.getloadavg()
    began, stolen_before = time.monotonic(), stolen_seconds()
    with TemporaryDirectory(prefix="coscribe-peers-", dir=options.folder) as folder:
        disk = Disk(Path(folder))
        shared = {name: dict(values) for name, values in parameters.items()}
        if "join" in shared:
            shared["join"] |= _history(Path(folder), shared["join"]["keystrokes"])
        for number in range(1, options.repeat + 1):
            for name, values in shared.items():
                disk.measure(_FSYNC_SAMPLES)
                for system in systems:
                    progress(f"{name}, {SYSTEMS[system].title}: run {number} of {options.repeat}")
                    with TemporaryDirectory(dir=folder) as data:
                        try:
                            figures = run_once(name, values, system, Path(data), server_cpu, load_cpu)
                        except BenchError as error:
                            failures.append(f"run {number}: {error}")
                            progress(failures[-1])
                        else:
                            runs[name][system].append(derived(figures))
    stolen = stolen_seconds()
    took = time.monotonic() - began
    return Report(
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        describe(options.folder),
        server_cpu,
        load_cpu,
        disk.fsync_ms,
        is_compiled(),
        versions(),
        {name: {key: value for key, value in values.items() if key != _PATH} for name, values in shared.items()},
        options.repeat,
        runs,
        failures,
        load_average,
        None if stolen is None or stolen_before is None else (stolen - stolen_before) / took,
    )


def run_once(
    scenario: str, parameters: Parameters, system: str, data: Path, server_cpu: int | None, load_cpu: int | None
) -> Figures:
    """One run, with a server of its own. Raises BenchError."""
    with started(system, data / "data", server_cpu) as server:
        job = parameters | {
            "scenario": "steady" if scenario == "many" else scenario,
            "driver": SYSTEMS[system].driver,
            "url": server.url,
            "pid": server.pid,
            "tokens": server.tokens,
            "ticksPerSecond": os.sysconf("SC_CLK_TCK"),
            "pageBytes": os.sysconf("SC_PAGE_SIZE"),
        }
        with on_processor(load_cpu):
            generator = subprocess.Popen(
                [str(NODE), "--disable-warning=ExperimentalWarning", "load.mjs"],
                cwd=HERE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        try:
            output, _ = generator.communicate(json.dumps(job).encode(), timeout=_RUN_SECONDS)
        except BaseException as error:
            generator.send_signal(signal.SIGKILL)
            generator.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise BenchError(f"{scenario}, {system}: no answer within {_RUN_SECONDS} s") from None
            raise
    answer: dict[str, Any] = json.loads(output or b'{"error": "the load generator ended without an answer"}')
    if "figures" not in answer:
        raise BenchError(f"{scenario}, {system}: {answer['error']}")
    return {name: float(value) for name, value in answer["figures"].items()}


def _processors() -> tuple[int | None, int | None]:
    """One for the server, another for the load generator; None where this process may use only one."""
    first, *others = sorted(processors()) or [0]
    return (first, others[0]) if others else (None, None)


def _history(folder: Path, keystrokes: int) -> Parameters:
    """A file with the patches and the text that they end in: the recorded history, or a synthetic one without it."""
    trace = Path(os.environ.get("COSCRIBE_DATA") or "../shared/data") / "traces/automerge-paper.json.gz"
    if trace.exists():
        with gzip.open(trace, "rt", encoding="utf-8") as file:
            patches = [tuple(patch) for txn in json.load(file)["txns"] for patch in txn["patches"]]
    else:
        patches = list(synthetic(keystrokes or _SYNTHETIC))
    patches = patches[: keystrokes or None]
    buffer = TextBuffer("")
    for position, deleted, inserted in patches:
        buffer.splice(position, deleted, inserted)
    path = folder / "history.json"
    path.write_text(json.dumps({"patches": patches, "text": str(buffer)}))
    return {_PATH: str(path), "keystrokes": len(patches), "source": trace.name if trace.exists() else "synthetic"}
