"""What a scenario is, and what it is given to run with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from coscribe.bench.measure import Figures, Target
from coscribe.bench.server import BenchError, ServerProcess

_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 60.0


class Bench:
    """The surroundings of one run. ``folder`` is the server's data; ``failed`` gets the exception that ends the run
    early; ``acked`` is how many operations the server has acknowledged, which have to be in the log at the end."""

    def __init__(self, folder: Path, server_processor: int | None, failed: asyncio.Future[None]) -> None:
        self.folder = folder
        self.server_processor = server_processor
        self.failed = failed
        self.acked = 0

    def server(self, settings: dict[str, str] | None = None) -> ServerProcess:
        return ServerProcess(self.folder, self.server_processor, settings)


class Scenario(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One kind of load. The fields of a scenario are its parameters."""

    async def run(self, bench: Bench) -> Figures:
        """Runs it once. Raises BenchError."""
        raise NotImplementedError

    def targets(self, figures: Figures) -> list[Target]:
        """What the median figures have to be."""
        raise NotImplementedError

    def descriptors(self) -> int:
        """Open files that either process needs for sockets."""
        return 0


async def in_parallel(work: Iterable[Awaitable[None]], at_once: int) -> None:
    """Does all of it, so many at a time, so that nothing runs into a timeout because of the crowd."""
    todo = iter(work)

    async def worker() -> None:
        for one in todo:
            await one

    await asyncio.gather(*(worker() for _ in range(at_once)))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Returns when the condition holds. Raises BenchError if that takes a minute."""
    for _ in range(int(_PATIENCE_SECONDS / _POLL_SECONDS)):
        if condition():
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise BenchError(f"{what} did not come within {_PATIENCE_SECONDS:.0f} s")
