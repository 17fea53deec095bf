"""The ASGI shell: the gateway as an endpoint that any ASGI server or application can carry."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from coscribe.gateway.address import has_secret
from coscribe.gateway.door import Door
from coscribe.gateway.gatekeeper import RETRY_AFTER, Refusal
from coscribe.gateway.socket import Socket

HIGH_WATER = 1_000_000
LOW_WATER = 250_000
"""Bytes waiting at which a connection counts as full, and as drained again."""


class _AsgiTransport:
    """ASGI's send is a coroutine; frames wait here until the peer has taken the ones before."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._frames: deque[bytes] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self.connection: Socket | None = None

    def send(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._waiting += len(frame)
        if self._waiting > HIGH_WATER and self.connection is not None and not self.connection.paused:
            self.connection.pause()
        self._wake.set()

    def ping(self) -> None:
        """The ASGI server pings by itself and closes what does not answer."""
        if self.connection is not None:
            self.connection.heard()

    def buffered(self) -> int:
        return self._waiting

    def close(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self._wake.set()

    async def pump(self) -> None:
        """Sends what waits, until closed."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                await self._send({"type": "websocket.send", "text": frame.decode()})
                self._waiting -= len(frame)
                if self._waiting < LOW_WATER and self.connection is not None and self.connection.paused:
                    self.connection.resume()
            if self._closing is not None:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            self._wake.clear()
            await self._wake.wait()


async def serve_websocket(gateway: Door[Any], scope: Scope, receive: Receive, send: Send) -> None:
    """One WebSocket of an ASGI server."""
    headers = Headers(scope=scope)
    await receive()
    if has_secret(scope.get("query_string", b"").decode("latin-1")):
        await send({"type": "websocket.close", "code": 1008, "reason": "no token in an address"})
        return
    if not gateway.accepts(headers.get("origin"), headers.get("host")):
        await send({"type": "websocket.close", "code": 1008, "reason": "origin"})
        return
    address = (scope.get("client") or ("", 0))[0]
    refusal = gateway.refusal(address)
    if refusal is not None:
        await _refuse(refusal, scope, send)
        return
    transport = _AsgiTransport(send)
    connection = transport.connection = gateway.open(transport, address)
    pump: asyncio.Task[None] | None = None
    try:
        await send({"type": "websocket.accept"})
        pump = asyncio.create_task(transport.pump())
        while (event := await receive())["type"] == "websocket.receive":
            text = event.get("text")
            if text is None:
                connection.receive_binary()
            else:
                connection.receive(text.encode(errors="surrogatepass"))
    finally:
        gateway.lost(connection)
        if pump is not None:
            pump.cancel()


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Refuses a handshake; with the status where the server can say it (an extension of ASGI)."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013, "reason": refusal.reason})
        return
    headers = [(b"retry-after", b"%d" % RETRY_AFTER), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": refusal.status.value, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.reason.encode()})
