"""A server of a command's own: ``coscribe serve`` in a process and a folder of its own, as durable as any."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import NoReturn

from coscribe.app import token_secret
from coscribe.bench.server import alone
from coscribe.cli.common import DAY
from coscribe.config import Settings
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import Role

START_SECONDS = 60.0
STOP_SECONDS = 30.0
KEPT_BYTES = 4_096


class EmbeddedError(Exception):
    """The server did not start, or ended by itself. The text is for people."""


class EmbeddedServer:
    """The server on ``folder``. Can be killed and started again; its port is another one then (see ``url``).

    The key of the tokens is made here, before the server starts: it says its address before it would have made one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._secret = token_secret(Settings(folder=folder))
        self._process: Process | None = None
        self._reading: list[asyncio.Task[None]] = []
        self._said = b""

    async def start(self) -> None:
        """Returns when it listens. Raises EmbeddedError."""
        command = ["-m", "coscribe", "serve", "--port", "0", "--quiet", "--data", str(self.folder)]
        process = self._process = await create_subprocess_exec(
            sys.executable, *command, stdout=PIPE, stderr=PIPE, env=alone()
        )
        assert process.stdout is not None and process.stderr is not None
        self._reading = [asyncio.create_task(self._read(process.stderr))]
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        self._reading.append(asyncio.create_task(self._read(process.stdout)))
        if not line.startswith(b"http"):
            await self.stop()
            raise self._error("the server did not start")
        self.url = line.decode().strip()

    async def ended(self) -> NoReturn:
        """Never returns; raises EmbeddedError when the server ends by itself."""
        assert self._process is not None
        code = await self._process.wait()
        await asyncio.wait(self._reading)
        raise self._error(f"the server ended with code {code}")

    async def kill(self) -> None:
        """SIGKILL: no flush, no goodbye."""
        await self._end(SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and a while for it to end; then SIGKILL."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._end(SIGTERM)
        await self._end(SIGKILL)

    def token(self, user_id: str, role: Role = "editor") -> str:
        return make_token(self._secret, user_id, role, DAY)

    async def _end(self, how: Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended already
                self._process.send_signal(how)
            await self._process.wait()
            await asyncio.wait(self._reading)
            self._process = None

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Keeps what it says last; a pipe that nobody reads would stop it."""
        while said := await output.read(KEPT_BYTES):
            self._said = (self._said + said)[-KEPT_BYTES:]

    def _error(self, what: str) -> EmbeddedError:
        return EmbeddedError(f"{what}\n{self._said.decode(errors='replace')}".rstrip())
