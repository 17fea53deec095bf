"""Answering: requests by HTTP that come over links, given to the application as if they had come by a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
import structlog
from starlette.types import ASGIApp, Message

from coscribe.cluster.link import Channel
from coscribe.cluster.requests import (
    Begin,
    Head,
    Item,
    Outgoing,
    end_to_end,
    pieces,
)
from coscribe.core.errors import Code
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

MAX_REQUESTS = 2_000
"""Of others, at a time; one more is refused as ``overloaded``."""


class Answering:
    """The core's side, of channels of a ``kind``. ``owns``: whether a workspace is this core's at this very moment."""

    def __init__(self, kind: str, app: ASGIApp, owns: Callable[[str], bool]) -> None:
        self._kind = kind
        self._app = app
        self._owns = owns
        self._running: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    def serve(self, channel: Channel) -> None:
        """A channel that was opened for a request."""
        request = msgspec.msgpack.decode(channel.head, type=Head)
        code = self._refusal(request.about)
        if code is not None:
            channel.send(Item.REFUSED.of(code.value.code.encode()))
            channel.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(request, _Answer(channel)))
        self._running.add(task)
        task.add_done_callback(self._served)
        metrics.relay_answering.labels(self._kind).set(len(self._running))

    async def leave(self, seconds: float) -> None:
        """Lets nothing more in, and returns when what is under way has ended, or was ended after so long."""
        self._is_leaving = True
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _refusal(self, about: str) -> Code | None:
        if self._is_leaving or (about and not self._owns(about)):
            return Code.MOVED
        return Code.OVERLOADED if len(self._running) >= MAX_REQUESTS else None

    async def _serve(self, request: Head, answer: _Answer) -> None:
        try:
            await self._app(request.scope(), answer.receive, answer.send)
            await answer.fail_unless_begun()
        except Exception:
            log.exception("relayed_request_failed", path=request.path)
            await answer.fail_unless_begun()
        finally:
            answer.close()  # where the answer is not whole, whoever asked notices by that

    def _served(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        metrics.relay_answering.labels(self._kind).set(len(self._running))


class _Answer:
    """One request: the application receives and sends here, the channel is the other side of it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._outgoing = Outgoing(channel)
        self._body: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._has_begun = False
        channel.on_item = self._take
        channel.on_close = lambda _: self._end()
        channel.on_lost = self._end

    # ---- from the channel

    def _take(self, item: bytes) -> None:
        self._body.append(item)
        self._some.set()

    def _end(self) -> None:
        """Who asked has gone, or cannot be reached any more: to the application that is the same."""
        self._outgoing.wake()
        self._some.set()

    # ---- from the application

    async def receive(self) -> Message:
        while True:
            if self._channel.closed:
                return {"type": "http.disconnect"}
            if self._body:
                item = self._body.popleft()
                self._channel.consumed(len(item))
                more = item[:1] == Item.PIECE.value
                return {"type": "http.request", "body": item[1:], "more_body": more}
            self._some.clear()
            await self._some.wait()

    async def send(self, message: Message) -> None:
        """Waits while whoever asked takes nothing, and then gives up on them."""
        if message["type"] == "http.response.start":
            self._has_begun = True
            begin = Begin(message["status"], end_to_end(message.get("headers", ())))
            self._channel.send(Item.BEGIN.of(msgspec.msgpack.encode(begin)))
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        for item in pieces(body, more=more):
            try:
                await self._outgoing.send(item)
            except TimeoutError:
                metrics.relay_stalled.inc()
                self.close()
                return
        if not more:
            self.close()

    # ---- the end

    async def fail_unless_begun(self) -> None:
        """The application has ended."""
        if not self._has_begun:
            await self.send({"type": "http.response.start", "status": 500})
            await self.send({"type": "http.response.body"})

    def close(self) -> None:
        self._channel.close()
        self._end()
