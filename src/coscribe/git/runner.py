"""Runner: the program ``git`` as a process, within bounds. Never a shell, never an environment that it was not given.

It is the head of a process group of its own. At a limit the group is asked to end, so that git takes its locks away,
and is killed a little later. A file that it writes is bounded by the kernel.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.metrics import metrics

SECONDS = 60.0
"""How long a command may take; `NETWORK_SECONDS` where it talks to another server."""

NETWORK_SECONDS = 300.0

MAX_OUTPUT = 32_000_000
"""Bytes that a command may print."""

MAX_FILE = 4_000_000_000
"""Bytes of a file that it may write."""

GRACE_SECONDS = 2.0
"""Between being asked to end and being killed."""

_PIECE = 1 << 16


class Finished(NamedTuple):
    """What came of a command. ``complaint``: what it said besides, for people."""

    code: int
    output: bytes
    complaint: str


class _TooMuch(Exception):
    pass


async def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    given: bytes = b"",
    seconds: float = SECONDS,
    most: int = MAX_OUTPUT,
    handed: Sequence[int] = (),
) -> Finished:
    """Runs ``git``. ``given``: its input; ``handed``: file descriptors that it and its children have.

    Errors: ``git_failed``: it takes too long, prints too much, or is not installed."""
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(handed),
        )
    except OSError as error:
        raise CoscribeError(Code.GIT_FAILED, f"git cannot be started: {error.strerror}") from error
    with suppress(ProcessLookupError, PermissionError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    assert process.stdout is not None
    assert process.stderr is not None
    what = next((each for each in arguments if not each.startswith("-")), "git")
    giving = asyncio.ensure_future(_give(process.stdin, given))
    reading = [asyncio.ensure_future(_read(pipe, most)) for pipe in (process.stdout, process.stderr)]
    try:
        async with asyncio.timeout(seconds):
            output, complaint = await asyncio.gather(*reading)
            code = await process.wait()
    except TimeoutError:
        metrics.git_ended.labels("time").inc()
        raise CoscribeError(Code.GIT_FAILED, f"git {what} took more than {seconds:g} s, and was ended") from None
    except _TooMuch:
        metrics.git_ended.labels("output").inc()
        raise CoscribeError(Code.GIT_FAILED, f"git {what} printed more than {most:,} bytes, and was ended") from None
    finally:
        for task in (giving, *reading):
            task.cancel()
        await asyncio.gather(giving, *reading, return_exceptions=True)
        await _end(process)
    return Finished(code, output, complaint.decode(errors="replace"))


async def _give(pipe: asyncio.StreamWriter | None, given: bytes) -> None:
    """Whoever has ended already gets nothing; of a pipe that is closed uvloop says so as RuntimeError."""
    if pipe is None or pipe.transport.is_closing():
        return
    with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        pipe.write(given)
        await pipe.drain()
        pipe.close()


async def _read(pipe: asyncio.StreamReader, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await pipe.read(_PIECE):
        size += len(piece)
        if size > most:
            raise _TooMuch
        pieces.append(piece)
    return b"".join(pieces)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the group, whoever of it is left: the head may have ended before its children."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            for pipe in (process.stdout, process.stderr):
                while pipe is not None and await pipe.read(_PIECE):
                    pass  # what is left in it, so that it is closed
