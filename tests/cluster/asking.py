"""One request to an ASGI application, as an ASGI server makes it, with every step in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Scope

Headers = list[tuple[bytes, bytes]]


def scope_of(method: str, path: str, *, client: str = "192.0.2.7", headers: Headers | None = None) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"a=1",
        "root_path": "",
        "headers": headers or [(b"host", b"example.org")],
        "client": (client, 4_321),
        "server": ("127.0.0.1", 8_777),
        "state": {},
    }


class Asked:
    """A request under way: what was answered so far, and whether it is whole."""

    def __init__(self, app: ASGIApp, scope: Scope, body: Iterable[bytes] = (), *, ends: bool = True) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_whole = False
        self.pieces = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Event()
        for piece in body:
            self.give(piece)
        if ends:
            self.give(b"", more=False)
        self.task = asyncio.get_running_loop().create_task(self._run(app, scope))

    def give(self, piece: bytes, *, more: bool = True) -> None:
        self._coming.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def leave(self) -> None:
        """The client has gone."""
        self._coming.put_nowait({"type": "http.disconnect"})

    @property
    def unread(self) -> int:
        return self._coming.qsize()

    async def done(self) -> Asked:
        """Once the application has returned."""
        await asyncio.wait_for(self.task, 60)
        return self

    async def until(self, length: int) -> None:
        """Once so much of the answer is there, and its head."""
        while not self.status or len(self.body) < length:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 60)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._coming.get, self._send)

    async def _send(self, message: Message) -> None:
        await self.may_go_on.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.pieces += 1
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False)
        self._news.set()


async def read_all(receive: Any) -> bytes:
    """The body of a request. Raises ConnectionError where it was cut off."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Any, body: bytes = b"", status: int = 200, headers: Headers | None = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers or []})
    await send({"type": "http.response.body", "body": body})
