"""FaultyLink: a TCP relay in front of a server that delays, stalls and cuts, by a seed.

Bytes are never changed or reordered, as TCP does not; what is cut is gone from there on, in both directions, without a
word, wherever in a frame that happens to be. Only WebSockets suffer: a page whose assets do not load proves nothing.
"""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self

CHUNK = 65_536


class FaultyLink:
    """``async with FaultyLink(port_behind, seed) as link``: people connect to ``link.port``. ``faults`` may be switched
    off, so that everybody can come to rest; ``cuts`` counts the connections that were cut."""

    def __init__(self, behind: int, seed: int) -> None:
        self.port = 0
        self.faults = True
        self.cuts = 0
        self._behind = behind
        self._random = random.Random(seed)
        self._until_cut = self._pause()
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            head = await reader.readuntil(b"\r\n\r\n")
            far_writer.write(head)
            is_socket = b"upgrade: websocket" in head.lower()
            both = (
                asyncio.create_task(self._relay(reader, far_writer, is_socket)),
                asyncio.create_task(self._relay(far_reader, writer, is_socket)),
            )
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for relay in both:
                    relay.cancel()
                await asyncio.gather(*both, return_exceptions=True)
                for end in (writer, far_writer):
                    end.transport.abort() if is_socket else end.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # cancelled: the link is taken down
            writer.close()
        finally:
            self._relays.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_socket: bool) -> None:
        """Ends when the connection does, or is cut."""
        while data := await reader.read(CHUNK):
            if is_socket and self.faults:
                chance = self._random.random()
                self._until_cut -= 1
                if self._until_cut <= 0:
                    self._until_cut = self._pause()
                    self.cuts += 1
                    writer.write(data[: self._random.randrange(len(data))])
                    return
                await asyncio.sleep(self._random.expovariate(1 / 0.4) if chance < 0.02 else chance * 0.02)
            writer.write(data)
            await writer.drain()

    def _pause(self) -> int:
        """So many reads go well before the next cut."""
        return self._random.randint(20, 150)
