"""A real server in a process of its own, to be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import Role

SECRET = "not a secret at all, only a test's"


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _copy(stream: IO[str], to: Path) -> None:
    """Until it ends."""
    with to.open("a") as file:
        for line in stream:
            file.write(line)
            file.flush()


class ServerProcess:
    """``coscribe serve`` on ``folder``. The port stays the same over restarts, so that clients find it again.

    ``module`` is what Python runs, ``options`` are more of the command. ``printed`` is a file that all it has to say is
    added to: for one that has much to say, as otherwise nobody reads more than the first line.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        environment: dict[str, str] | None = None,
        module: str = "coscribe",
        printed: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.environment = environment or {}
        self._module = module
        self._options = options
        self._printed = printed
        self._copying: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        self._launch()
        self.listens()

    def successor(self) -> ServerProcess:
        """Another one on the same folder and port, that waits for the end of this one; then it `listens`."""
        other = ServerProcess(self.folder, port=self.port, environment=self.environment)
        line = other._launch("--wait")
        assert "waiting" in line, f"it does not wait: {line!r}"
        return other

    def listens(self) -> None:
        """Returns when it does."""
        line = self._line()
        assert line.startswith("http"), f"the server did not start: {line!r}"
        if self._printed is not None and self._process is not None:
            self._copying = threading.Thread(target=_copy, args=(self._process.stdout, self._printed), daemon=True)
            self._copying.start()

    def _launch(self, *options: str) -> str:
        """Starts it; returns the first line that it says, where there are options."""
        command = [sys.executable, "-m", self._module, "serve", "--quiet", "--port", str(self.port)]
        with self._printed.open("a") if self._printed is not None else nullcontext() as errors:
            self._process = subprocess.Popen(
                [*command, "--data", str(self.folder), *self._options, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if options else errors,
                text=True,
                env={**os.environ, "COSCRIBE_TOKEN_SECRET": SECRET, **self.environment},
            )
        return self._line() if options else ""

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        """SIGKILL: no flush, no goodbye."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def renew(self) -> None:
        """SIGHUP."""
        self._send(signal.SIGHUP)

    def pause(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _send(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        code = process.wait(timeout=60)
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.join()
        assert process.stdout is not None
        process.stdout.close()
        return code

    def token(self, user_id: str, role: Role = "editor") -> str:
        return make_token(SECRET.encode(), user_id, role, 86_400)
