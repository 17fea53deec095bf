"""The servers that tests run beside: they keep what they said they have, and nothing of them stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.servers import NatsServer, PostgresServer

pytestmark = pytest.mark.slow  # processes of their own


def test_what_was_committed_survives_a_kill() -> None:
    with PostgresServer() as server:
        port = server.port
        url = server.empty()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 17 AS number")
        server.kill()
        server.start()
        assert server.port == port
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (17,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_fresh_databases_know_nothing_of_each_other(postgres: Callable[[], str]) -> None:
    for url in (postgres(), postgres()):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM workspaces").fetchone() == (0,)
            connection.execute("CREATE TABLE mine (number int)")


def test_a_bus_that_pauses_keeps_its_connections() -> None:
    with NatsServer() as server, socket.create_connection((server.host, server.port)) as link:
        assert link.recv(4) == b"INFO"
        server.pause()
        link.sendall(b"CONNECT {}\r\nPING\r\n")
        link.settimeout(0.2)
        link.recv(4_096)  # the rest of what it says of itself
        with pytest.raises(TimeoutError):
            link.recv(4_096)
        server.go_on()
        link.settimeout(60)
        while b"PONG" not in link.recv(4_096):
            pass


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_stays_of_a_run_that_was_killed(paused: bool) -> None:
    program = f"""if True:
        import sys
        from tests.servers import PostgresServer, NatsServer
        for server in (PostgresServer(), NatsServer()):
            server.start()
            {paused} and server.pause()
            print(server.pid, server.folder, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        started = [run.stdout.readline().split() for _ in range(2)]
        processes = psutil.Process(run.pid).children(recursive=True)
        assert len(processes) > 5
        os.kill(run.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=60)  # the watcher is one of them
    assert not alive
    assert not any(Path(folder).exists() for _, folder in started)
