"""Workers: kept running, replaced, ended; what goes wrong with them is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as NATS
from nats.errors import Error as NatsError

from coscribe import workers
from coscribe.server import bind
from coscribe.workers import Supervisor, Worker, WorkersFailed, own_bus

pytestmark = pytest.mark.slow  # processes of their own

ANSWERS = """
import os, signal, socket, sys
from coscribe.workers import inherited, tell_serving
listener = inherited()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
tell_serving()
while True:
    connection, _ = listener.accept()
    connection.sendall(f"{os.environ['NAME']} {os.getpid()}".encode())
    connection.close()
"""


def worker(name: str, program: str = ANSWERS) -> Worker:
    return Worker(name, [sys.executable, "-c", program], {"NAME": name})


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as listener:
        yield listener


@asynccontextmanager
async def running(*programs: Worker, listener: socket.socket) -> AsyncIterator[Supervisor]:
    ready = asyncio.Event()
    supervisor = Supervisor(programs, listener, ready.set)
    run = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield supervisor
    finally:
        supervisor.stop()
        async with asyncio.timeout(60):
            await run


async def ask(listener: socket.socket) -> tuple[str, int]:
    """Who answers at the port. One that is about to end may let somebody in and say nothing."""
    while True:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        said = b""
        with suppress(ConnectionResetError):
            said = await reader.read()
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
        if said:
            name, pid = said.split()
            return name.decode(), int(pid)


async def test_all_serve_at_one_port_and_end_together(listener: socket.socket) -> None:
    async with running(worker("a"), worker("b"), listener=listener):
        name, pid = await ask(listener)
        assert name in ("a", "b")
        for other in [pid]:
            os.kill(other, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_another_takes_the_place_of_one_that_was_killed(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PAUSE_SECONDS", 0.01)
    async with running(worker("a"), listener=listener), asyncio.timeout(60):
        _, pid = await ask(listener)
        os.kill(pid, signal.SIGKILL)
        _, other = await ask(listener)  # it waits in the listener's queue until somebody is there
        assert other != pid


async def test_they_are_replaced_one_after_the_other(listener: socket.socket) -> None:
    async with running(worker("a"), listener=listener) as supervisor, asyncio.timeout(60):
        _, pid = await ask(listener)
        supervisor.renew()
        while (await ask(listener))[1] == pid:
            pass


async def test_one_that_never_serves_ends_everything(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSE_SECONDS", 0.001)
    supervisor = Supervisor([worker("a"), worker("broken", "raise SystemExit(3)")], listener, lambda: None)
    with pytest.raises(WorkersFailed, match="broken has ended 5 times"):
        async with asyncio.timeout(60):
            await supervisor.run()


async def test_one_that_hangs_at_the_start_is_killed(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(workers, "START_SECONDS", 0.05)
    supervisor = Supervisor([worker("slow", "import time; time.sleep(600)")], listener, lambda: None)
    with pytest.raises(WorkersFailed):
        async with asyncio.timeout(120):
            await supervisor.run()


async def test_one_that_does_not_end_is_killed(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.1)
    stubborn = ANSWERS.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
    async with running(worker("a", stubborn), listener=listener):
        _, pid = await ask(listener)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_workers_go_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "supervise.py"
    program.write_text(
        "import asyncio, sys\n"
        "from coscribe.server import bind\n"
        "from coscribe.workers import Supervisor, Worker\n"
        f"ANSWERS = {ANSWERS!r}\n"
        "listener = bind('127.0.0.1', 0)\n"
        "worker = Worker('a', [sys.executable, '-c', ANSWERS], {'NAME': 'a'})\n"
        "def ready(): print(listener.getsockname()[1], flush=True)\n"
        "asyncio.run(Supervisor([worker], listener, ready).run())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(sys.executable, str(program), stdout=asyncio.subprocess.PIPE)
    assert supervisor.stdout is not None
    async with asyncio.timeout(60):
        port = int(await supervisor.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        pid = int((await reader.read()).split()[1])
        writer.close()
        await writer.wait_closed()
        supervisor.kill()
        await supervisor.wait()
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.01)


async def test_the_bus_between_them_asks_for_its_secret() -> None:
    async with own_bus() as url:
        connection = await nats.connect(url)
        await connection.flush()
        await connection.close()
        stranger = NATS()
        with pytest.raises(NatsError, match=r"(?i)authorization"):
            await stranger.connect(url.replace("//", "//no"), allow_reconnect=False, max_reconnect_attempts=1)
        await stranger.close()


async def test_without_its_program_there_is_no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkersFailed, match="COSCRIBE_NATS"):
        async with own_bus():
            pass
