"""Patience with HTTP: uvicorn's protocol, which waits for ever, with a deadline for everything a client may be slow at.

    connected   the head of a request has to be there after `head_seconds`, in `head_bytes`       408, 431
    head        a body, while somebody waits for it, has to come at `http_rate` at least          408
    answer      has to be read at that rate, too, also when it is the last                        cut off

Otherwise a client that sends a byte now and then holds a connection, and whatever is kept for it, for nothing
("slow-loris"). Upgrades to WebSockets come through here until their head is read.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr

from coscribe.gateway.address import counted_key
from coscribe.gateway.fast import proxies_of
from coscribe.gateway.gatekeeper import RETRY_AFTER, Counts
from coscribe.gateway.socket import GatewayLimits
from coscribe.metrics import metrics

CLOSE_SECONDS = 10.0
"""How long one may take to end a connection of which everything has been read."""

ANSWER_LOOKS = 3
"""An answer is looked at so many times less often than a body: systems tell late that something has been read."""

_STATUS = {408: b"408 Request Timeout", 429: b"429 Too Many Requests", 431: b"431 Request Header Fields Too Large"}
_STATUS[503] = b"503 Service Unavailable"


def patient_http(limits: GatewayLimits, stopping: Callable[[], None]) -> type[HttpToolsProtocol]:
    """What to give uvicorn as ``http``. ``stopping``: called when it is to stop, which it does when the answers that
    are under way have ended; some of them have no end of their own."""
    addresses = Counts(limits.http_connections_per_address)

    class PatientHttp(HttpToolsProtocol):
        """One timer a connection: for the head, for a body, or for an answer that is not read."""

        _timer: asyncio.TimerHandle | None = None
        _address = ""
        _in_head = True
        _in_body = False
        _head_bytes = 0
        _body_bytes = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
            peer = (get_remote_addr(self.transport) or ("", 0))[0]
            proxies = proxies_of(self.config)
            address = "" if proxies is not None and peer in proxies else counted_key(peer)
            if len(self.connections) > limits.http_connections:
                self._refuse(503, "all")
            elif addresses.is_full(address):
                self._refuse(429, "address")
            else:
                self._address = address
                addresses.add(address)
                self._wait(limits.head_seconds, self._head_is_late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._gone()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            if self._in_head:
                self._head_bytes += len(data)
                if self._timer is None:
                    self._wait(limits.head_seconds, self._head_is_late)
            elif self._in_body:
                self._body_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > limits.head_bytes:
                self._refuse(431, "head")

        def shutdown(self) -> None:
            super().shutdown()
            stopping()

        def handle_websocket_upgrade(self) -> None:
            self._gone()
            super().handle_websocket_upgrade()

        # ---- from the parser

        def on_headers_complete(self) -> None:
            self._in_head, self._in_body = False, True
            self._head_bytes = 0
            self._expect_body()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head, self._in_body = True, False
            self._stop_waiting()
            super().on_message_complete()

        # ---- from the application

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing() and self._timer is None:
                self._look_at_answer(self._unread())

        # ---- from the transport

        def pause_writing(self) -> None:
            super().pause_writing()
            self._look_at_answer(self._unread())

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.transport.is_closing():
                self._look_at_answer(self._unread())
            elif self._in_body:
                self._expect_body()
            else:
                self._stop_waiting()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            if self.transport.is_closing():  # an answer that is handed over may be on its way for long
                self._look_at_answer(self._unread())

        # ---- deadlines

        def _head_is_late(self) -> None:
            self._refuse(408, "head")

        def _look_at_body(self) -> None:
            """Nobody is to blame for a pause that was asked for: there is no room for more until some is read."""
            if self._body_bytes < limits.http_rate * limits.http_seconds and not self.flow.read_paused:
                self._refuse(408, "body")
            else:
                self._expect_body()

        def _expect_body(self) -> None:
            self._body_bytes = 0
            self._wait(limits.http_seconds, self._look_at_body)

        def _look_at_answer(self, unread: int) -> None:
            """Looks again whether ``unread`` bytes have become fewer."""
            seconds = ANSWER_LOOKS * limits.http_seconds if unread else CLOSE_SECONDS

            def look() -> None:
                left = self._unread()
                if left > max(0.0, unread - limits.http_rate * seconds) or not unread:
                    metrics.shed.labels("answer").inc()
                    self.transport.abort()
                else:
                    self._look_at_answer(left)

            self._wait(seconds, look)

        def _unread(self) -> int:
            """Bytes that the client has not taken: those that wait here, and where the system tells those it has."""
            waiting = self.transport.get_write_buffer_size()
            socket = self.transport.get_extra_info("socket")
            try:
                held = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
            except (OSError, ValueError):  # a system that does not tell; a socket that is closed
                return waiting
            return waiting + int.from_bytes(held, sys.byteorder)

        def _refuse(self, status: int, why: str) -> None:
            """Says so, where no answer has begun, and closes."""
            metrics.shed.labels(why).inc()
            cycle: RequestResponseCycle | None = self.cycle
            is_free = cycle is None or not cycle.response_started or (self._in_head and cycle.response_complete)
            if is_free:
                wait = b"retry-after: %d\r\n" % RETRY_AFTER if status in (429, 503) else b""
                line = b"HTTP/1.1 " + _STATUS[status] + b"\r\nconnection: close\r\ncontent-length: 0\r\n"
                self.transport.write(line + wait + b"\r\n")
            self.transport.close()
            self._look_at_answer(self._unread())

        def _wait(self, seconds: float, then: Callable[[], Any]) -> None:
            self._stop_waiting()
            self._timer = self.loop.call_later(seconds, then)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _gone(self) -> None:
            self._stop_waiting()
            addresses.remove(self._address)
            self._address = ""

    return PatientHttp
