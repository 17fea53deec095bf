"""What is counted while a scenario runs, and the figures that come of it.

Figures are a flat mapping of names to numbers; the unit is the end of the name. `FIGURES` has all of them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from coscribe.bench.server import ServerProcess

Figures = dict[str, float]

FIGURES = {
    "opsPerSecond": "operations/s",
    "offeredPerSecond": "operations/s offered",
    "keystrokes": "keystrokes",
    "keystrokesPerMessage": "keystrokes per message, at most",
    "ackP50Ms": "ack p50, ms",
    "ackP99Ms": "ack p99, ms",
    "seenP50Ms": "seen by another p50, ms",
    "seenP99Ms": "seen by another p99, ms",
    "lagP99Ms": "generator's own lag p99, ms",
    "warmJoinMs": "warm join: until it is live, ms",
    "editedJoinMs": "warm join after an edit: until it is live, ms",
    "coldJoinMs": "cold join: until it is live, ms",
    "bareMs": "the same bytes from a bare server, ms",
    "warmRatio": "warm join / bare",
    "editedRatio": "warm join after an edit / bare",
    "coldRatio": "cold join / bare",
    "warmReceivedMs": "warm join: until its bytes are there, ms",
    "warmDecodedMs": "warm join: until they are decoded, ms",
    "editedReceivedMs": "warm join after an edit: until its bytes are there, ms",
    "editedDecodedMs": "warm join after an edit: until they are decoded, ms",
    "coldReceivedMs": "cold join: until its bytes are there, ms",
    "coldDecodedMs": "cold join: until they are decoded, ms",
    "warmCpuMs": "server CPU per warm join, ms",
    "editedCpuMs": "server CPU per warm join after an edit, ms",
    "coldCpuMs": "server CPU per cold join, ms",
    "rssPerDocumentKb": "server RSS per document, KB",
    "rssPerSocketKb": "of that: its share of a socket with nothing open, KB",
    "documents": "documents",
    "sockets": "sockets",
    "createdPerSecond": "documents created/s",
    "serverCpuUsPerOp": "server CPU per operation, us",
    "serverCpuShare": "server's share of its processor",
    "loadCpuShare": "generator's share of its processor",
    "serverRssMb": "server RSS, MB",
    "acked": "acknowledged = in the log",
    "fsyncMs": "disk: 12 KB + fdatasync, ms",
}
"""The names of all figures and what they mean, in the order in which they are shown. KB and MB are 1,024s."""


class Target(NamedTuple):
    """What a figure has to be: at least, or (``at_most``) at most, the bound."""

    figure: str
    bound: float
    at_most: bool = False

    def met(self, figures: Figures) -> bool:
        value = figures.get(self.figure)
        return value is not None and (value <= self.bound if self.at_most else value >= self.bound)


class Tally:
    """Latencies in seconds, in the order in which things happened. ``running``: clients go on typing."""

    __slots__ = ("acks", "lags", "running", "seen")

    def __init__(self) -> None:
        self.acks: list[float] = []
        self.seen: list[float] = []
        self.lags: list[float] = []
        self.running = True


class Mark(NamedTuple):
    """A moment: the clock, processor times in seconds, and how far the tally had come."""

    time: float
    server_cpu: float | None
    load_cpu: float
    acks: int
    seen: int
    lags: int


def mark(server: ServerProcess, tally: Tally) -> Mark:
    return Mark(
        time.perf_counter(),
        server.cpu_seconds(),
        time.process_time(),
        len(tally.acks),
        len(tally.seen),
        len(tally.lags),
    )


def figures_between(start: Mark, end: Mark, server: ServerProcess, tally: Tally) -> Figures:
    """The figures of the interval between two marks. Call it while the server is still there."""
    seconds = end.time - start.time
    count = end.acks - start.acks
    figures = {"opsPerSecond": count / seconds, "loadCpuShare": (end.load_cpu - start.load_cpu) / seconds}
    for name, values in (
        ("ack", tally.acks[start.acks : end.acks]),
        ("seen", tally.seen[start.seen : end.seen]),
        ("lag", tally.lags[start.lags : end.lags]),
    ):
        if values:
            values.sort()
            figures[f"{name}P50Ms"] = percentile(values, 0.50) * 1_000
            figures[f"{name}P99Ms"] = percentile(values, 0.99) * 1_000
    figures.pop("lagP50Ms", None)
    if start.server_cpu is not None and end.server_cpu is not None:
        cpu = end.server_cpu - start.server_cpu
        figures["serverCpuShare"] = cpu / seconds
        if count:
            figures["serverCpuUsPerOp"] = cpu / count * 1_000_000
    resident = server.resident_bytes()
    if resident is not None:
        figures["serverRssMb"] = resident / 2**20
    return figures


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """The value that this fraction of the values does not exceed."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * fraction))]


@contextmanager
def no_collector() -> Iterator[None]:
    """Keeps the garbage collector of the generator from being measured as latency of the server."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
