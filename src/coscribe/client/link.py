"""Link: what carries a client's frames. In the field a WebSocket; in tests whatever shows what can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

_TEXT = WSMsgType.TEXT


class Link(Protocol):
    """An open connection. Frames arrive in the order in which they were sent, or the link ends."""

    def send(self, frame: bytes) -> None:
        """Never waits; nothing happens where the link is gone."""
        ...

    def abort(self) -> None:
        """Ends it without a word, as a network would."""
        ...

    def close(self) -> None: ...

    async def closed(self) -> None:
        """Returns once it is gone, whoever has ended it."""
        ...


Received = Callable[[Link, bytes], None]

Dial = Callable[[Received], Awaitable[Link]]
"""Connects, and hands over each frame that comes in. Raises whatever tells that there is no way through."""


def websocket_dial(url: str, *, connect_timeout: float, silent_after: float, max_frame_bytes: int) -> Dial:
    """Dials ``url`` (``ws://host:port/ws``). Times in seconds; a peer that says nothing is asked, then given up."""

    async def dial(received: Received) -> Link:
        async with asyncio.timeout(connect_timeout):
            transport, listener = await ws_connect(
                lambda: _WebSocketLink(received),
                url,
                max_frame_size=max_frame_bytes,
                enable_auto_ping=True,
                auto_ping_idle_timeout=silent_after,
                auto_ping_reply_timeout=silent_after / 2,
            )
        link = cast(_WebSocketLink, listener)
        link.transport = transport
        return link

    return dial


class _WebSocketLink(WSListener):
    def __init__(self, received: Received) -> None:
        self._received = received
        self.transport: WSTransport | None = None

    # ---- for picows

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == _TEXT:
            self._received(self, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def pause_writing(self) -> None:
        """Whatever waits is bounded by one message in flight per file."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    # ---- for the client

    def send(self, frame: bytes) -> None:
        if self.transport is not None:
            self.transport.send(_TEXT, frame)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.underlying_transport.abort()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.disconnect()

    async def closed(self) -> None:
        if self.transport is not None:
            await self.transport.wait_disconnected()
