"""Gateway: all connections of one process; opens them, looks after them, says goodbye."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from coscribe.gateway.connection import Connection, Context, Transport
from coscribe.metrics import metrics

CHECK_INTERVAL = 5.0
"""Seconds between two looks at every connection."""


class Gateway:
    """``origins``: the pages that may open a socket here, beside the server's own."""

    def __init__(self, context: Context, origins: frozenset[str]) -> None:
        self.context = context
        self._origins = origins
        self._connections: dict[Connection, None] = {}
        self._checking: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check())

    def accepts(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may connect. Programs send no Origin; they authenticate like everybody."""
        if self._closing:
            return False
        if origin is None or origin in self._origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host and origin.count("/") == 2

    def open(self, transport: Transport) -> Connection:
        connection = Connection(self.context, transport)
        self._connections[connection] = None
        metrics.connections.set(len(self._connections))
        return connection

    def lost(self, connection: Connection) -> None:
        connection.lost()
        self._connections.pop(connection, None)
        metrics.connections.set(len(self._connections))

    async def stop(self, retry_after: int) -> None:
        """Takes in nothing more, makes what was taken in durable and visible, then tells everybody to come back."""
        self._closing = True
        if self._checking is not None:
            self._checking.cancel()
        await self.context.collaboration.drain()
        for connection in tuple(self._connections):
            connection.goodbye(retry_after)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = self.context.now()
            for connection in tuple(self._connections):
                connection.check(now)
            await self.context.collaboration.snapshots.sweep()
