"""A server of a command's own: ``coscribe serve`` in a process and a folder of its own, as durable as any."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT, Process, create_subprocess_exec
from collections import deque
from pathlib import Path
from typing import NoReturn

from coscribe.app import token_secret
from coscribe.cli.common import DAY
from coscribe.config import Settings
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import Role

START_SECONDS = 60.0
STOP_SECONDS = 30.0
KEPT_LINES = 20


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
        self._reading: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    async def start(self) -> None:
        """Returns when it listens. Raises EmbeddedError."""
        command = ["-m", "coscribe", "serve", "--port", "0", "--quiet", "--data", str(self.folder)]
        process = self._process = await create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=STDOUT)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            line = ""
        self._reading = asyncio.create_task(self._read(process.stdout))
        if not line.startswith("http"):
            await self.kill()
            raise EmbeddedError("\n".join(["the server did not start", line, *self._lines]))
        self.url = line

    async def ended(self) -> NoReturn:
        """Returns never; raises EmbeddedError when the server ends by itself."""
        assert self._process is not None and self._reading is not None
        code = await self._process.wait()
        await asyncio.shield(self._reading)
        raise EmbeddedError("\n".join([f"the server ended with code {code}", *self._lines]))

    async def kill(self) -> None:
        """SIGKILL: no flush, no goodbye."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._wait()

    async def stop(self) -> None:
        """SIGTERM, and a while for it to end; then SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._wait()

    def token(self, user_id: str, role: Role = "editor") -> str:
        return make_token(self._secret, user_id, role, DAY)

    async def _wait(self) -> None:
        process, reading = self._process, self._reading
        self._process = self._reading = None
        if process is not None:
            await process.wait()
        if reading is not None:
            await reading

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Keeps what it says last; a pipe that nobody reads would stop it."""
        async for line in output:
            self._lines.append(line.decode(errors="replace").rstrip())
