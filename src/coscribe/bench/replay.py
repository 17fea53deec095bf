"""*replay*: a recorded editing history, every keystroke an operation of its own, in chains.

One writer with one message in flight, one other subscriber. At the end both the server's text and the one that the
subscriber makes of what it received have to be the recorded one.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path
from random import Random
from time import perf_counter

from coscribe.bench.measure import Figures, Tally, Target, figures_between, mark, no_collector
from coscribe.bench.member import SEED, Member
from coscribe.bench.peer import Room
from coscribe.bench.scenario import Bench, Scenario, until
from coscribe.bench.server import BenchError, ServerProcess
from coscribe.core.text_buffer import TextBuffer
from coscribe.protocol import codec, messages

Patch = tuple[int, int, str]
"""Position, code points deleted, text inserted."""

_OPS_PER_SECOND = 30_000.0
_BASE = b'"baseVersion":0,'
_NO_TRACE_PATCHES = 260_000


class Writer(Member):
    """Sends prepared messages, each as soon as the one before it is acknowledged. ``frames``: what is around the base
    version, and the number of the last operation in it."""

    def __init__(
        self, failed: asyncio.Future[None], room: Room, tally: Tally, frames: list[tuple[bytes, bytes, int]]
    ) -> None:
        super().__init__(failed, room, "writer", tally)
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._frames = iter(frames)

    def acknowledged(self, now: float) -> None:
        following = next(self._frames, None)
        if following is None:
            self.finished.set_result(None)
        else:
            head, tail, counter = following
            self.sends(b"%b%d,%b" % (head, self.version, tail), counter, now)


class Reader(Member):
    """Keeps what it receives, to be read when the clock has stopped."""

    def __init__(self, failed: asyncio.Future[None], room: Room, tally: Tally, writer: Writer) -> None:
        super().__init__(failed, room, "reader", tally)
        self.watched = writer
        self.kept: list[bytes] = []

    def committed(self, raw: bytes) -> None:
        self.kept.append(raw)
        super().committed(raw)

    def text(self) -> str:
        buffer = TextBuffer("")
        for raw in self.kept:
            message = codec.decode_server(raw)
            assert isinstance(message, messages.Committed)
            for operation in message.operations:
                buffer.apply(codec.operation_of(operation))
        return str(buffer)


class Replay(Scenario, frozen=True, kw_only=True):
    """``chain``: operations in one message, at most. ``keystrokes``: how many of the trace, 0 for all. ``trace``: its
    name in the folder ``traces`` of COSCRIBE_DATA."""

    chain: int = 64
    keystrokes: int = 0
    trace: str = "automerge-paper"

    def targets(self, figures: Figures) -> list[Target]:
        return [Target("opsPerSecond", _OPS_PER_SECOND)]

    async def run(self, bench: Bench) -> Figures:
        patches, expected = self._history()
        tally, room = Tally(), Room("replay")
        writer = Writer(bench.failed, room, tally, _frames(room, patches, self.chain))
        reader = Reader(bench.failed, room, tally, writer)
        with bench.server() as server:
            for member in (writer, reader):
                await member.enter(server.url, server.token(member.series))
            with no_collector():
                start = mark(server, tally)
                writer.acknowledged(perf_counter())
                await writer.finished
                end = mark(server, tally)
            figures = figures_between(start, end, server, tally)
            await until(lambda: reader.sequence == writer.sequence, "what the subscriber has yet to see")
            text = await _text_of(bench, server, room.file_id)
            for member in (writer, reader):
                member.close()
        for whose, found in (("the server's", text), ("the subscriber's", reader.text())):
            if found != expected:
                raise BenchError(f"{whose} text is not what the history ends in")
        count = len(patches)
        bench.acked = count
        figures["opsPerSecond"] = count / (end.time - start.time)
        if start.server_cpu is not None and end.server_cpu is not None:
            figures["serverCpuUsPerOp"] = (end.server_cpu - start.server_cpu) / count * 1_000_000
        return figures | {"keystrokes": count, "keystrokesPerMessage": self.chain}

    def _history(self) -> tuple[list[Patch], str]:
        """The keystrokes and the text they end in, from the empty text on."""
        path = Path(os.environ.get("COSCRIBE_DATA") or "../shared/data") / "traces" / f"{self.trace}.json.gz"
        if path.exists():
            with gzip.open(path, "rt", encoding="utf-8") as file:
                trace = json.load(file)
            patches = [(at, deleted, text) for txn in trace["txns"] for at, deleted, text in txn["patches"]]
            if not self.keystrokes and not trace["startContent"]:
                return patches, trace["endContent"]
        else:
            print(f"{path} is not there: this is a SYNTHETIC typing trace instead", file=sys.stderr)
            patches = synthetic(self.keystrokes or _NO_TRACE_PATCHES)
        patches = patches[: self.keystrokes or None]
        buffer = TextBuffer("")
        for patch in patches:
            buffer.splice(*patch)
        return patches, str(buffer)


def synthetic(count: int) -> list[Patch]:
    """Typing as people do it: runs of letters, some backspaces, now and then the caret goes elsewhere."""
    random = Random(SEED)
    patches: list[Patch] = []
    caret = length = 0
    while len(patches) < count:
        if random.random() < 0.02:
            caret = random.randint(max(0, caret - 500), min(length, caret + 500))
        if caret and random.random() < 0.15:
            caret, length = caret - 1, length - 1
            patches.append((caret, 1, ""))
        else:
            patches.append((caret, 0, random.choice("etaoin shrdlu\n")))
            caret, length = caret + 1, length + 1
    return patches


def _frames(room: Room, patches: list[Patch], chain: int) -> list[tuple[bytes, bytes, int]]:
    """The messages, each in the part before its base version, the part after it, and its last operation's number."""
    frames: list[tuple[bytes, bytes, int]] = []
    for start in range(0, len(patches), chain):
        part = enumerate(patches[start : start + chain], start + 1)
        elements = [_element(f"writer:{number}", patch) for number, patch in part]
        head, _, tail = codec.encode(messages.Chain(room.file_id, "writer", 0, elements)).partition(_BASE)
        frames.append((head + _BASE[:-2], tail, start + len(elements)))
    return frames


def _element(operation_id: str, patch: Patch) -> messages.ChainElement:
    position, deleted, inserted = patch
    if not deleted:
        return messages.ChainElement(operation_id, "insert", position, inserted)
    if not inserted:
        return messages.ChainElement(operation_id, "delete", position, deleted)
    return messages.ChainElement(operation_id, "replace", position, messages.Replacement(deleted, inserted))


async def _text_of(bench: Bench, server: ServerProcess, file_id: str) -> str:
    """The server's text, as whoever joins now gets it."""
    late = Member(bench.failed, Room(file_id), "late", Tally())
    await late.connect(server.url, server.token(late.series))
    snapshot = await late.join(file_id)
    late.close()
    return snapshot.content
