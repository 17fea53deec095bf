"""*join*: how long it takes to have a long document, against how long its bytes take from a bare server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from time import perf_counter
from typing import NamedTuple

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from coscribe.bench.machine import on_processor
from coscribe.bench.measure import Figures, Target, no_collector
from coscribe.bench.member import SEED
from coscribe.bench.peer import Peer
from coscribe.bench.scenario import Bench, Scenario, in_parallel
from coscribe.bench.server import BenchError, ServerProcess
from coscribe.protocol import codec, messages

_TIMES_BARE = 2.0
_CHAIN = 64
_SMALL = "small"
_SNAPSHOT = b'{"type":"snapshot"'

Change = tuple[int, str]
"""A position, and the character that takes the place of the one there."""


class Times(NamedTuple):
    """Seconds of one join: until the snapshot's bytes are there, until it is decoded, until the document is live."""

    received: float
    decoded: float
    live: float


class Series(NamedTuple):
    """What a series of joins came to: medians and server CPU per join, in milliseconds."""

    received_ms: float
    decoded_ms: float
    live_ms: float
    cpu_ms: float | None


class BarePeer(WSListener):
    """Asks a bare server for its bytes, and keeps the seconds it took."""

    def __init__(self) -> None:
        self.transport: WSTransport
        self.times: list[float] = []
        self._waiting: asyncio.Future[bytes]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._waiting.set_result(frame.get_payload_as_bytes())

    async def receive(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        start = perf_counter()
        self.transport.send(WSMsgType.TEXT, b"{}")
        await self._waiting
        self.times.append(perf_counter() - start)


class Joiner(Peer):
    """Notes when the bytes of a snapshot came in."""

    def __init__(self, failed: asyncio.Future[None]) -> None:
        super().__init__(failed)
        self.snapshot_at = 0.0

    def received(self, raw: bytes) -> None:
        if raw.startswith(_SNAPSHOT):
            self.snapshot_at = perf_counter()
        super().received(raw)


class Editor(Peer):
    """Writes into one document that nobody else changes."""

    def __init__(self, bench: Bench, user_id: str, file_id: str) -> None:
        super().__init__(bench.failed)
        self.user_id = user_id
        self.file_id = file_id
        self._bench = bench
        self._counter = 0
        self._version = 0

    async def enter(self, server: ServerProcess) -> None:
        await self.connect(server.url, server.token(self.user_id))
        self._version = (await self.join(self.file_id)).snapshot_version

    async def insert(self, text: str) -> None:
        await self._send([messages.ChainElement(self._next_id(), "insert", 0, text)])

    async def replace(self, changes: list[Change]) -> None:
        """Each change is an operation of its own."""
        for start in range(0, len(changes), _CHAIN):
            await self._send(
                [
                    messages.ChainElement(self._next_id(), "replace", position, messages.Replacement(1, character))
                    for position, character in changes[start : start + _CHAIN]
                ]
            )

    def _next_id(self) -> str:
        self._counter += 1
        return f"{self.user_id}:{self._counter}"

    async def _send(self, elements: list[messages.ChainElement]) -> None:
        committed = await self.submit(messages.Chain(self.file_id, self.user_id, self._version, elements))
        self._version = committed.operations[-1].document_version
        self._bench.acked += len(elements)


class Join(Scenario, frozen=True, kw_only=True):
    """``length``: code points of a document (ASCII); ``history``: operations made on each after that. ``cold`` is how
    many documents there are, each joined once after a restart; ``warm`` is how many joins there are of one of them."""

    length: int = 1_000_000
    history: int = 10_000
    cold: int = 20
    warm: int = 100

    def targets(self, figures: Figures) -> list[Target]:
        return [Target(name, _TIMES_BARE, at_most=True) for name in ("warmRatio", "editedRatio", "coldRatio")]

    async def run(self, bench: Bench) -> Figures:
        names = [f"join-{number}" for number in range(self.cold)]
        text, changes = _text(self.length), _changes(self.length, self.history)
        with bench.server() as server:
            await in_parallel((_build(bench, server, name, text, changes) for name in names), 4)
            await _build(bench, server, _SMALL, "small", [])
        expected = _changed(text, changes)
        with bench.server() as server, _bare_server(self.length, bench.server_processor) as port:
            joiner, editor, bare = Joiner(bench.failed), Editor(bench, "later", names[0]), BarePeer()
            await joiner.connect(server.url, server.token("joiner"))
            await _join(joiner, _SMALL, "small")  # a server that has just started does some things for the first time
            await ws_connect(lambda: bare, f"ws://127.0.0.1:{port}/", max_frame_size=self.length + 1_024)
            await bare.receive()
            bare.times.clear()

            async def edit() -> None:
                await editor.replace([(0, expected[0])])

            with no_collector():
                cold = await _series(server, bare, joiner, names, expected)
                warm = await _series(server, bare, joiner, names[:1] * self.warm, expected)
                await editor.enter(server)
                edited = await _series(server, bare, joiner, names[:1] * self.warm, expected, before=edit)
            resident = server.resident_bytes()
            for peer in (joiner, editor):
                peer.close()
            bare.transport.disconnect()
        bare_ms = median(bare.times) * 1_000
        figures = {"bareMs": bare_ms, "documents": self.cold}
        for kind, series in (("cold", cold), ("warm", warm), ("edited", edited)):
            figures[f"{kind}JoinMs"] = series.live_ms
            figures[f"{kind}ReceivedMs"] = series.received_ms
            figures[f"{kind}DecodedMs"] = series.decoded_ms
            figures[f"{kind}Ratio"] = series.live_ms / bare_ms
            if series.cpu_ms is not None:
                figures[f"{kind}CpuMs"] = series.cpu_ms
        if resident is not None:
            figures["serverRssMb"] = resident / 2**20
        return figures


async def _series(
    server: ServerProcess,
    bare: BarePeer,
    joiner: Joiner,
    names: list[str],
    expected: str,
    *,
    before: Callable[[], Awaitable[None]] | None = None,
) -> Series:
    """Joins one document after the other, each time after the bare server has sent its bytes too."""
    times: list[Times] = []
    cpu = server.cpu_seconds()
    for name in names:
        await bare.receive()
        if before is not None:
            await before()
        times.append(await _join(joiner, name, expected))
    end = server.cpu_seconds()
    return Series(
        median(time.received for time in times) * 1_000,
        median(time.decoded for time in times) * 1_000,
        median(time.live for time in times) * 1_000,
        (end - cpu) / len(times) * 1_000 if cpu is not None and end is not None else None,
    )


async def _join(joiner: Joiner, file_id: str, expected: str) -> Times:
    """Joins and leaves. Raises BenchError if the text is another one."""
    start = perf_counter()
    snapshot = await joiner.ask(messages.Join(file_id), messages.Snapshot, file_id)
    decoded = perf_counter()
    await joiner.ask(messages.SnapshotApplied(file_id, snapshot.snapshot_sequence_id), messages.Live, file_id)
    live = perf_counter()
    joiner.send(codec.encode(messages.Leave(file_id)))
    if snapshot.content != expected:
        raise BenchError(f"the text of {file_id} is not what was written")
    return Times(joiner.snapshot_at - start, decoded - start, live - start)


async def _build(bench: Bench, server: ServerProcess, name: str, text: str, changes: list[Change]) -> None:
    editor = Editor(bench, f"author-of-{name}", name)
    await editor.enter(server)
    await editor.insert(text)
    await editor.replace(changes)
    editor.close()


def _text(length: int) -> str:
    """Lines of words."""
    random = Random(SEED)
    words = [
        " ".join("".join(random.choices("etaoinshrdlu", k=random.randint(2, 9))) for _ in range(12)) for _ in "x" * 99
    ]
    lines = "\n".join(random.choices(words, k=length // 20 + 1))
    return lines[:length]


def _changes(length: int, count: int) -> list[Change]:
    random = Random(SEED)
    return [(random.randrange(length), random.choice("etaoinshrdlu")) for _ in range(count)]


def _changed(text: str, changes: list[Change]) -> str:
    characters = list(text)
    for position, character in changes:
        characters[position] = character
    return "".join(characters)


@contextmanager
def _bare_server(size: int, processor: int | None) -> Iterator[int]:
    """A server that sends so many bytes to whoever asks, where the real one runs too; gives its port."""
    command = [sys.executable, "-m", "coscribe.bench.bare", str(size)]
    with on_processor(processor):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()
