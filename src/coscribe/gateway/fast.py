"""The fast shell: the gateway on picows, on the same port as everything else.

An echo costs 8 us on picows and 20 to 45 on the WebSocket implementations of ASGI servers. uvicorn lets a protocol
class of ours take over a connection when it sees an upgrade: `websocket_switch` gives the gateway's own path to picows
and leaves every other WebSocket to uvicorn's implementation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, cast

from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not in the stubs; pinned to 2.x
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from coscribe.gateway.address import Proxies, client_of, has_secret
from coscribe.gateway.door import Door
from coscribe.gateway.gatekeeper import RETRY_AFTER
from coscribe.gateway.socket import Socket

HIGH_WATER = 1_000_000
LOW_WATER = 250_000
"""Bytes waiting at which a connection counts as full, and as drained again."""

READ_BUFFER = 2_048
"""Bytes of read buffer an idle connection holds; it grows with the messages."""

CLOSE_SECONDS = 10.0
"""How long one who is closed may take to read what was sent before; then the rest is dropped."""

_TEXT = WSMsgType.TEXT


class _QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """picows makes a child logger per connection of a plain Logger; an adapter is shared by all of them."""


_logger = _QuietLogger(logging.getLogger("coscribe.gateway.picows"), {})


class _PicowsTransport:
    """`Transport` over a picows connection."""

    __slots__ = ("_stream", "_websocket")

    def __init__(self, websocket: WSTransport) -> None:
        self._websocket = websocket
        self._stream = websocket.underlying_transport
        self._stream.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)

    def send(self, frame: bytes) -> None:
        self._websocket.send(_TEXT, frame)

    def ping(self) -> None:
        self._websocket.send_ping()

    def buffered(self) -> int:
        return self._stream.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        self._websocket.send_close(WSCloseCode(code), reason.encode())
        self._websocket.disconnect()
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._stream.abort)


class _Listener(WSListener):
    """Hands what picows reads to the connection. Fragments of a message are put together first."""

    __slots__ = ("_address", "_connection", "_fragments", "_fragments_size", "_gateway")

    def __init__(self, gateway: Door[Any], address: str) -> None:
        self._gateway = gateway
        self._address = address
        self._connection: Socket | None = None
        self._fragments: list[bytes] | None = None
        self._fragments_size = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._connection = self._gateway.open(_PicowsTransport(transport), self._address)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self._connection
        if connection is None:
            return
        kind = frame.msg_type
        if kind == _TEXT and frame.fin:
            connection.receive(frame.get_payload_as_bytes())
        elif kind == _TEXT or kind == WSMsgType.CONTINUATION:
            self._add_fragment(connection, frame)
        elif kind == WSMsgType.PONG:
            connection.heard()
        elif kind == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind == WSMsgType.BINARY:
            connection.receive_binary()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._connection is not None:
            self._gateway.lost(self._connection)
            self._connection = None

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    def _add_fragment(self, connection: Socket, frame: WSFrame) -> None:
        if self._fragments is None:
            self._fragments = []
            connection.begin()
        self._fragments.append(frame.get_payload_as_bytes())
        self._fragments_size += frame.payload_size
        too_large = self._fragments_size > connection.context.limits.message_bytes
        if frame.fin or too_large:
            whole, self._fragments, self._fragments_size = b"".join(self._fragments), None, 0
            connection.receive(whole)


def websocket_switch(gateway: Door[Any], path: str) -> Callable[..., asyncio.Protocol]:
    """What to give uvicorn as ``ws``: makes the protocol that takes over an upgraded connection."""

    def listener(peer: str, proxies: Proxies | None, request: WSUpgradeRequest) -> Any:
        headers = request.headers
        if has_secret(request.path.partition(b"?")[2].decode("latin-1")):
            refusal = WSUpgradeResponse.create_error_response(HTTPStatus.BAD_REQUEST, b"no token in an address")
            return WSUpgradeResponseWithListener(refusal, None)
        if not gateway.accepts(headers.get("Origin"), headers.get("Host")):
            refusal = WSUpgradeResponse.create_error_response(HTTPStatus.FORBIDDEN, b"this origin may not connect")
            return WSUpgradeResponseWithListener(refusal, None)
        address = client_of(peer, ", ".join(headers.getall("X-Forwarded-For", [])), proxies)
        full = gateway.refusal(address)
        if full is not None:
            wait = {"Retry-After": str(RETRY_AFTER)}
            refusal = WSUpgradeResponse.create_error_response(full.status, full.reason.encode(), wait)
            return WSUpgradeResponseWithListener(refusal, None)
        return _Listener(gateway, address)

    def picows_protocol(peer: str, proxies: Proxies | None) -> WSProtocol:
        no_ping = WSAutoPingStrategy.PING_WHEN_IDLE  # the gateway looks after liveness itself
        frame_bytes = 2 * gateway.context.limits.message_bytes
        return WSProtocol(
            None,
            None,
            False,
            partial(listener, peer, proxies),
            _logger,
            True,
            5,
            False,
            20,
            20,
            no_ping,
            True,
            frame_bytes,
            None,
            READ_BUFFER,
        )

    class WebSocketSwitch(asyncio.Protocol):
        """Reads the upgrade request and hands the connection to the protocol that serves its path.

        uvicorn makes the switch the connection's protocol when this has read the request; the real one follows as soon
        as the loop comes to it. Whatever happens before then is passed on: in a rush many events come between, the
        hello or the end of the connection among them.
        """

        def __init__(self, **uvicorn: Any) -> None:
            self._uvicorn = uvicorn
            self._transport: asyncio.Transport
            self._chosen: WSProtocol | WebSocketsSansIOProtocol | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but does not say so

        def data_received(self, data: bytes) -> None:
            if self._chosen is None:
                self._chosen = self._choose(data)
                self._chosen.connection_made(self._transport)
                asyncio.get_running_loop().call_soon(self._transport.set_protocol, self._chosen)
            if isinstance(self._chosen, WSProtocol):
                _feed(self._chosen, data)
            else:
                self._chosen.data_received(data)

        def eof_received(self) -> bool | None:
            return self._chosen.eof_received() if self._chosen is not None else None

        def connection_lost(self, error: Exception | None) -> None:
            if self._chosen is not None:
                self._chosen.connection_lost(error)

        def pause_writing(self) -> None:
            if self._chosen is not None:
                self._chosen.pause_writing()

        def resume_writing(self) -> None:
            if self._chosen is not None:
                self._chosen.resume_writing()

        def _choose(self, request: bytes) -> WSProtocol | WebSocketsSansIOProtocol:
            if request.split(b" ", 2)[1].split(b"?")[0] != path.encode():
                return WebSocketsSansIOProtocol(**self._uvicorn)
            peer = (get_remote_addr(self._transport) or ("", 0))[0]
            return picows_protocol(peer, proxies_of(self._uvicorn["config"]))

    return WebSocketSwitch


def proxies_of(config: Any) -> Proxies | None:
    """Whose word about addresses uvicorn believes: the same as for requests by HTTP."""
    named = config.forwarded_allow_ips
    return _proxies(named if isinstance(named, str) else tuple(named)) if config.proxy_headers else None


@lru_cache(maxsize=8)
def _proxies(named: str | tuple[str, ...]) -> Proxies:
    return Proxies(named if isinstance(named, str) else list(named))


def _feed(protocol: WSProtocol, data: bytes) -> None:
    """Gives bytes that were already read to a buffered protocol."""
    start = 0
    while start < len(data):
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(data) - start)
        buffer[:size] = data[start : start + size]
        protocol.buffer_updated(size)
        start += size
