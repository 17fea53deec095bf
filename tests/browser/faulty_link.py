"""FaultyLink: a TCP relay in front of a server that delays, stalls and cuts, by a seed.

Bytes are never changed or reordered, as TCP does not; what is cut is gone from there on, in both directions, without a
word, wherever in a frame that happens to be. Only WebSockets suffer: a page whose assets do not load proves nothing.
"""

from __future__ import annotations

import asyncio
import random

from tests.relay import Relay

CHUNK = 65_536


class FaultyLink(Relay):
    """``async with FaultyLink(port_behind, seed) as link``: people connect to ``link.port``. ``faults`` may be switched
    off, so that everybody can come to rest; ``cuts`` counts the connections that were cut."""

    def __init__(self, behind: int, seed: int) -> None:
        super().__init__(behind)
        self.faults = True
        self.cuts = 0
        self._random = random.Random(seed)
        self._until_cut = self._pause()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
