"""A request by HTTP on its way between two instances: what goes over a channel of their link, and how much at a time.

    front --- head | body, in pieces ----------------->  core
    front <-- begin of the answer | body, in pieces ---  core
          <-- refused: nothing was done

The last piece of a body is marked as that; whatever ends before was cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import msgspec
from starlette.types import Scope

from coscribe.cluster.link import Channel

KIND = "http"
"""Of the channels that requests take."""

MOVED = b"x-coscribe-moved"
"""The header of an answer that says that what a request is about was handed over meanwhile."""

PIECE_BYTES = 65_536
"""Of a body, in one item. How many may be under way is the channel's to say."""

STALL_SECONDS = 120.0
"""How long the other end may take nothing of a body."""

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Of a connection, not of what goes over it (RFC 9110, 7.6.1)."""

Headers = list[tuple[bytes, bytes]]


class Item(Enum):
    """What an item is, by its first byte."""

    BEGIN = b"h"
    PIECE = b"p"
    LAST = b"l"
    REFUSED = b"x"

    def of(self, content: bytes) -> bytes:
        return self.value + content


class Head(msgspec.Struct, array_like=True, frozen=True):
    """A request without its body. ``about``: the workspace that the core has to own for it; "": any core will do."""

    about: str
    method: str
    scheme: str
    path: str
    raw_path: bytes
    query: bytes
    headers: Headers
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    http_version: str
    root_path: str

    def scope(self) -> Scope:
        """As an application is given it. Who asks is who the front says it is: on the bus there are only our own."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.http_version,
            "method": self.method,
            "scheme": self.scheme,
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.query,
            "root_path": self.root_path,
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "state": {},
        }


def head_of(scope: Scope, about: str) -> Head:
    return Head(
        about,
        scope["method"],
        scope.get("scheme", "http"),
        scope["path"],
        scope.get("raw_path") or scope["path"].encode(),
        scope.get("query_string", b""),
        end_to_end(scope["headers"]),
        scope.get("client"),
        scope.get("server"),
        scope.get("http_version", "1.1"),
        scope.get("root_path", ""),
    )


class Begin(msgspec.Struct, array_like=True, frozen=True):
    """Of an answer."""

    status: int
    headers: Headers


def end_to_end(headers: Any) -> Headers:
    """Those that are not about the connection they came by."""
    given = [(name.lower(), value) for name, value in headers]
    named = {each.strip().lower() for name, value in given if name == b"connection" for each in value.split(b",")}
    return [(name, value) for name, value in given if name not in _HOP_BY_HOP and name not in named]


def is_moved(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an answer says that another instance has to be asked."""
    return status == 503 and any(name == MOVED for name, _ in headers)


def pieces(body: bytes, *, more: bool) -> Iterator[bytes]:
    """The items that a part of a body goes in; without ``more`` the last of them says so."""
    for start in range(0, len(body), PIECE_BYTES):
        is_last = not more and start + PIECE_BYTES >= len(body)
        yield (Item.LAST if is_last else Item.PIECE).of(body[start : start + PIECE_BYTES])
    if not body and not more:
        yield Item.LAST.of(b"")


class Outgoing:
    """What goes out over a channel, no faster than the other end takes it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ready = asyncio.Event()
        channel.on_ready = self._ready.set

    async def send(self, item: bytes) -> None:
        """Where the channel is closed nothing happens. Raises TimeoutError: nothing was taken for too long."""
        async with asyncio.timeout(STALL_SECONDS):
            while self._channel.full and not self._channel.closed:
                self._ready.clear()
                await self._ready.wait()
        self._channel.send(item)

    def wake(self) -> None:
        """The channel was closed."""
        self._ready.set()
