"""*idle*: what an open document costs the server in memory while nobody types."""

from __future__ import annotations

import asyncio
from time import perf_counter

from coscribe.bench.measure import Figures, Target
from coscribe.bench.peer import Peer
from coscribe.bench.scenario import Bench, Scenario, in_parallel
from coscribe.bench.server import BenchError, ServerProcess
from coscribe.protocol import messages

_TARGET_KB = 8.0
_AT_ONCE = 64
_WARM_UP_DOCUMENTS = 20
_LONG = "100000"
"""Seconds: longer than any run."""


class Idle(Scenario, frozen=True, kw_only=True):
    """``length``: code points of text in each document. ``settle``: seconds between the last edit and the reading."""

    documents: int = 10_000
    documents_per_socket: int = 1
    length: int = 1_024
    settle: float = 2.0

    def descriptors(self) -> int:
        return -(-self.documents // self.documents_per_socket)

    def targets(self, figures: Figures) -> list[Target]:
        return [Target("rssPerDocumentKb", _TARGET_KB, at_most=True)]

    async def run(self, bench: Bench) -> Figures:
        settings = {
            "COSCRIBE_POLICY__IDLE_SECONDS": _LONG,
            "COSCRIBE_POLICY__MAX_WORKSPACES": str(self.documents + 2 * _WARM_UP_DOCUMENTS),
        }
        numbers = range(self.documents)
        per_socket = self.documents_per_socket
        shares = [[f"idle-{number}" for number in numbers[at : at + per_socket]] for at in numbers[::per_socket]]
        sockets = [Peer(bench.failed) for _ in shares]
        warming = Peer(bench.failed)
        text = "All work and no play makes Jack a dull boy.\n" * (self.length // 44 + 1)

        async def fill(peer: Peer, names: list[str]) -> None:
            for name in names:
                await peer.join(name)
                await peer.submit(messages.Operation(name, f"{name}:1", "idler", 0, "insert", 0, text[: self.length]))
                bench.acked += 1

        with bench.server(settings) as server:
            token = server.token("idler")
            await warming.connect(server.url, token)
            await fill(warming, [f"warm-{number}" for number in range(_WARM_UP_DOCUMENTS)])
            before = _resident(server)
            await in_parallel((peer.connect(server.url, token) for peer in sockets), _AT_ONCE)
            connected = _resident(server)
            start = perf_counter()
            await in_parallel((fill(peer, names) for peer, names in zip(sockets, shares, strict=True)), _AT_ONCE)
            seconds = perf_counter() - start
            await asyncio.sleep(self.settle)
            after = _resident(server)
            for peer in (warming, *sockets):
                peer.close()
        return {
            "rssPerDocumentKb": (after - before) / self.documents / 1_024,
            "rssPerSocketKb": (connected - before) / len(sockets) / 1_024,
            "documents": self.documents,
            "sockets": len(sockets),
            "createdPerSecond": self.documents / seconds,
            "serverRssMb": after / 2**20,
        }


def _resident(server: ServerProcess) -> int:
    """The server's memory in bytes. Raises BenchError where it cannot be read."""
    resident = server.resident_bytes()
    if resident is None:
        raise BenchError("this scenario reads the server's memory from /proc, which is not here")
    return resident
