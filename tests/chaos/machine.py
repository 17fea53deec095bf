"""Machine: what a server process runs on, to be troubled: signals, a small disk of its own, a wall clock that jumps."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from coscribe.gateway.auth import make_token
from tests.e2e.server_process import SECRET, ServerProcess
from tests.power_loss.harness import build_shim, unavailable

SPARE = 160_000_000
"""Bytes of the disk that a short run needs: the write-ahead log alone may take 64 MB."""

PER_SECOND = 150_000
"""Bytes that a second of the run may add."""

A_DAY = 86_400


class Machine:
    """``folder`` is ordinary disk; the server's data are in ``data``, on a small one if that can be had.

    ``left_out``: faults that are not possible here, each with the reason.
    """

    def __init__(self, folder: Path, seconds: float, *, module: str = "coscribe", bug: str = "") -> None:
        self.left_out: dict[str, str] = {}
        self.data = folder / "data"
        self.printed = folder / "printed"
        self.running = False
        self._ballast = self.data / "ballast"
        self._clock = folder / "clock"
        self._clock.write_bytes(struct.pack("=q", 0))
        environment = {"COSCRIBE_PLANTED_BUG": bug}
        if unavailable() is None:
            shim = build_shim(folder, Path(__file__).with_name("clock.c"))
            environment |= {"LD_PRELOAD": str(shim), "CHAOS_CLOCK": str(self._clock)}
        else:
            self.left_out["clock"] = str(unavailable())
        self.data.mkdir()
        reason = _mount(self.data, int(SPARE + seconds * PER_SECOND))
        self.has_small_disk = not reason
        if reason:
            self.left_out["disk full"] = reason
        self.server = ServerProcess(self.data, environment=environment, module=module, printed=self.printed)

    def token(self, user_id: str) -> str:
        """One that is good wherever the clock jumps."""
        return make_token(SECRET.encode(), user_id, "editor", 40 * A_DAY, now=lambda: time.time() - 20 * A_DAY)

    async def start(self, deadline: float) -> bool:
        """Whether the server came up; if it does not, whatever there is of it is ended."""
        starting = asyncio.create_task(asyncio.to_thread(self.server.start))
        done, _ = await asyncio.wait({starting}, timeout=deadline)
        if done and starting.exception() is None:
            self.running = True
            return True
        await self.kill()
        await asyncio.gather(starting, return_exceptions=True)
        return False

    async def kill(self) -> None:
        self.running = False
        await asyncio.to_thread(self.server.kill)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.running = False
        return await asyncio.to_thread(self.server.stop)

    def set_clock(self, ahead: int) -> None:
        """From now on the server's wall clock is so many seconds ahead."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("=q", ahead))

    def fill_disk(self) -> None:
        """Takes all the room there is. What the write-ahead log has already taken is given back before: in there the
        server could go on for long."""
        database = self.data / "coscribe.db"
        with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            size = 0
            for step in (1 << 24, 1 << 16, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file, size, step)
                        size += step
        finally:
            os.close(file)

    def free_disk(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        self.server.kill()
        if self.has_small_disk:
            subprocess.run(["umount", str(self.data)], check=True)


def _mount(folder: Path, size: int) -> str:
    """Why there can be no small disk; "": there is one."""
    if os.geteuid() != 0:
        return "only root may mount a tmpfs"
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "coscribe-chaos", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return mounted.stderr.strip() if mounted.returncode else ""
