"""The server under test: a process of its own, on its own processor, with its data in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from coscribe.bench.machine import cpu_seconds, on_processor, resident_bytes
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import WEBSOCKET_PATH

_TOKEN_SECONDS = 86_400
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
_ADDRESS = re.compile(r"^http(\S+)\n", re.MULTILINE)
"""What a quiet server says when it has a port, whatever warnings come before it."""


def alone() -> dict[str, str]:
    """The environment of a server with a database and a bus of its own, whatever the settings here are about."""
    of_others = {"COSCRIBE_DATABASE_URL", "COSCRIBE_NATS", "COSCRIBE_ROLE", "COSCRIBE_INSTANCE"}
    return {name: value for name, value in os.environ.items() if name.upper() not in of_others}


class BenchError(Exception):
    """A measurement that cannot be believed, or not even begun. The text is for people."""


class ServerProcess:
    """``coscribe serve`` on ``folder``. ``settings`` are added to its environment. Use as a context manager."""

    def __init__(self, folder: Path, processor: int | None, settings: dict[str, str] | None = None) -> None:
        # Imported here: every command starts in a third of the time without them.
        from coscribe.app import token_secret
        from coscribe.config import Settings

        settings_of_folder = Settings(folder=folder)
        self._folder = folder
        self._database = settings_of_folder.database
        self._processor = processor
        self._environment = alone() | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._output = folder / "output"
        self._secret = token_secret(settings_of_folder)
        self.url = ""

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when the server has a port. Raises BenchError."""
        command = [sys.executable, "-m", "coscribe", "serve", "--port", "0", "--quiet", "--data", str(self._folder)]
        # Not a pipe: whatever the server has to say, it must not wait for us to read it.
        with self._output.open("ab") as output, on_processor(self._processor):
            before = output.tell()
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=self._environment)
        self._process = process
        while True:
            said = self._output.read_bytes()[before:].decode()
            address = _ADDRESS.search(said)
            if address is not None:
                break
            if process.poll() is not None:
                raise BenchError(f"the server ended with code {process.returncode} before it had a port:\n{said}")
            time.sleep(_POLL_SECONDS)
        self.url = "ws" + address[1] + WEBSOCKET_PATH

    def stop(self) -> None:
        """Asks the server to end, and waits; a server that does not is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchError(f"the server did not stop within {_STOP_SECONDS:.0f} s") from None

    def token(self, user_id: str) -> str:
        return make_token(self._secret, user_id, "editor", _TOKEN_SECONDS)

    def cpu_seconds(self) -> float | None:
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int | None:
        return resident_bytes(self.pid)

    def output(self) -> str:
        """What servers on this folder have said beside their addresses: nothing, where all is well."""
        lines = self._output.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("http://"))

    def logged(self) -> int:
        """The operations in the log on disk, whoever asked for them. For when the server has stopped."""
        with closing(sqlite3.connect(f"{self._database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT coalesce(sum(last_sequence), 0) FROM heads").fetchone()
        return int(count)
