"""The load generator's process: ``python -m coscribe.bench.load`` reads a `Job` (JSON), writes an `Answer` (JSON).

It starts the server, so the server's processor is chosen here too.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvloop

from coscribe.bench.machine import Disk, allow_descriptors, on_processor
from coscribe.bench.measure import Figures
from coscribe.bench.scenario import Bench, Scenario
from coscribe.bench.scenarios import scenario_of
from coscribe.bench.server import BenchError

_SPARE_DESCRIPTORS = 100


class Job(msgspec.Struct, rename="camel"):
    """One run of a scenario. ``folder``: where to put the data; ``fsync_samples``: how often to time the disk."""

    scenario: str
    parameters: dict[str, Any]
    folder: str
    server_cpu: int | None
    load_cpu: int | None
    fsync_samples: int


class Answer(msgspec.Struct, rename="camel"):
    """What came of a job: figures, or why there are none."""

    figures: Figures = {}
    error: str = ""


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C: the server is stopped, the data removed
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    with on_processor(job.load_cpu):
        try:
            answer = Answer(_run(job))
        except BenchError as error:
            answer = Answer(error=str(error))
        except KeyboardInterrupt:
            sys.exit(130)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _run(job: Job) -> Figures:
    scenario = scenario_of(job.scenario, job.parameters)
    available, needed = allow_descriptors(), scenario.descriptors() + _SPARE_DESCRIPTORS
    if needed > available:
        raise BenchError(
            f"it needs {needed:,} open files in a process, and the hard limit here is {available:,}: "
            "raise it (ulimit -Hn, LimitNOFILE), or use fewer sockets (for idle: --documents-per-socket)"
        )
    with TemporaryDirectory(prefix="coscribe-bench-", dir=job.folder) as folder:
        disk = Disk(Path(folder))
        disk.measure(job.fsync_samples // 2)
        figures = uvloop.run(_measure(scenario, Path(folder) / "data", job.server_cpu))
        disk.measure(job.fsync_samples - job.fsync_samples // 2)
    return figures | {"fsyncMs": disk.fsync_ms}


async def _measure(scenario: Scenario, data: Path, server_cpu: int | None) -> Figures:
    """Runs the scenario until it is through or something has gone wrong, and looks for every operation on disk."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    bench = Bench(data, server_cpu, failed)
    running = asyncio.create_task(scenario.run(bench))
    failed.add_done_callback(lambda _: running.cancel())
    try:
        figures = await running
    finally:
        if failed.done():
            failed.result()
    if said := bench.server().output():
        print(said, file=sys.stderr)
    return figures | {"acked": check_log(bench)}


def check_log(bench: Bench) -> int:
    """The operations in the log on disk. Raises BenchError if they are not as many as were acknowledged."""
    logged = bench.server().logged()
    if logged != bench.acked:
        raise BenchError(f"{bench.acked:,} operations were acknowledged, {logged:,} are in the log")
    return logged


if __name__ == "__main__":
    main()
