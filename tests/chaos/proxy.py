"""Proxy: TCP between clients and a server, with what networks do: delay, trickle, black holes, half-closes, resets.

Bytes are never changed, lost or reordered on a connection that lives on, as TCP does not; what is held back arrives
late. Of a connection that is cut or half-closed everything that was still under way is gone.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from tests.relay import Relay

CHUNK = 65_536
DRIP = 48
"""Bytes at a time of a connection that trickles."""

Kind = Literal["delay", "black hole", "trickle"]
Whom = Literal["one", "some", "all"]


class Trouble(NamedTuple):
    """What a direction suffers from for a while. ``seconds``: that each chunk, or each drip, is held back."""

    kind: Kind
    seconds: float = 0.0


class Proxy(Relay):
    """``async with Proxy(port_behind) as proxy``: clients connect to ``proxy.port``."""

    def __init__(self, behind: int) -> None:
        super().__init__(behind)
        self._wires: list[Wire] = []
        self._for_all: list[tuple[Trouble, tuple[bool, bool]]] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @contextmanager
    def troubled(self, trouble: Trouble, whom: Whom, ways: tuple[bool, bool], rng: random.Random) -> Iterator[None]:
        """For as long as it is entered. ``ways``: towards the server, towards the client. For "all" connections it is
        for those that are made meanwhile, too."""
        suffering = [way for wire in self._some(whom, rng) for way in wire.ways(ways)]
        for way in suffering:
            way.begin(trouble)
        if whom == "all":
            self._for_all.append((trouble, ways))
        try:
            yield
        finally:
            if whom == "all":
                self._for_all.remove((trouble, ways))
                suffering = [way for wire in self._wires for way in wire.ways(ways)]
            for way in suffering:
                way.end(trouble)

    def cut(self, whom: Whom, rng: random.Random) -> None:
        """Both ends get a reset."""
        for wire in self._some(whom, rng):
            wire.cut()

    def half_close(self, whom: Whom, ways: tuple[bool, bool], rng: random.Random) -> None:
        """An end hears that the other one has finished, and can still speak."""
        for wire in self._some(whom, rng):
            for way in wire.ways(ways):
                way.finish()

    async def detour(self, whom: Whom, seconds: float, rng: random.Random) -> None:
        """Clients lose their connections while what they have sent is still under way. It arrives when most of them
        have long come back another way, and have sent it again."""
        held, wires = Trouble("black hole"), self._some(whom, rng)
        try:
            for wire in wires:
                wire.up.begin(held)
            await asyncio.sleep(seconds / 3)
            for wire in wires:
                wire.down.cut()
            await asyncio.sleep(seconds * 2 / 3)
        finally:
            for wire in wires:
                wire.up.end(held)

    def _some(self, whom: Whom, rng: random.Random) -> list[Wire]:
        if whom == "all" or not self._wires:
            return list(self._wires)
        return rng.sample(self._wires, 1 if whom == "one" else -(-len(self._wires) // 2))

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            reset(writer)
            return
        wire = Wire(Way(reader, far_writer), Way(far_reader, writer))
        for trouble, ways in self._for_all:
            for way in wire.ways(ways):
                way.begin(trouble)
        self._wires.append(wire)
        try:
            await wire.carry()
        finally:
            self._wires.remove(wire)
            wire.cut()


class Wire:
    """One connection: ``up`` goes to the server, ``down`` to the client."""

    def __init__(self, up: Way, down: Way) -> None:
        self.up = up
        self.down = down
        self._gone = asyncio.Event()

    def ways(self, which: tuple[bool, bool]) -> list[Way]:
        return [way for way, chosen in zip((self.up, self.down), which, strict=True) if chosen]

    def cut(self) -> None:
        self._gone.set()
        self.up.cut()
        self.down.cut()

    async def carry(self) -> None:
        """Returns when both directions have ended, or it was cut. What is held back in one of them arrives even though
        who sent it has gone, and may have come back another way."""
        carrying = [asyncio.ensure_future(way.carry()) for way in (self.up, self.down)]
        gone = asyncio.ensure_future(self._gone.wait())
        both = asyncio.ensure_future(asyncio.wait(carrying))
        try:
            await asyncio.wait((both, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (both, gone, *carrying):
                task.cancel()
            await asyncio.gather(both, gone, *carrying, return_exceptions=True)


class Way:
    """One direction of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._troubles: list[Trouble] = []
        self._changed = asyncio.Event()
        self._finished = False

    def begin(self, trouble: Trouble) -> None:
        self._troubles.append(trouble)
        self._changed.set()

    def end(self, trouble: Trouble) -> None:
        if trouble in self._troubles:
            self._troubles.remove(trouble)
        self._changed.set()

    def finish(self) -> None:
        """Says that nothing more will come; what comes all the same goes nowhere."""
        if not self._finished and not self._writer.is_closing():
            self._finished = True
            with suppress(OSError):  # whom it is said to has gone, and it has not been noticed yet
                self._writer.write_eof()

    def cut(self) -> None:
        reset(self._writer)

    async def carry(self) -> None:
        """Returns at the end of what there is to read, which is then passed on, too."""
        try:
            while data := await self._reader.read(CHUNK):
                while data and not self._finished:
                    data = await self._write_some(data)
            self.finish()
        except OSError:
            self.cut()

    async def _write_some(self, data: bytes) -> bytes:
        """Writes as much as the trouble of this moment lets through; returns the rest."""
        kinds = {trouble.kind for trouble in self._troubles}
        seconds = max((trouble.seconds for trouble in self._troubles), default=0.0)
        if "black hole" in kinds:
            self._changed.clear()
            await self._changed.wait()
            return data
        if seconds:
            await asyncio.sleep(seconds)
        size = DRIP if "trickle" in kinds else len(data)
        if not self._finished:
            self._writer.write(data[:size])
            await self._writer.drain()
        return data[size:]


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection without a word: its peer gets a reset, not an end."""
    end = writer.get_extra_info("socket")
    if end is not None and end.fileno() >= 0:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
