"""Door: all sockets of one process; lets them in, looks after them, says goodbye."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import structlog

from coscribe.gateway.address import counted_key
from coscribe.gateway.gatekeeper import Gatekeeper, Refusal
from coscribe.gateway.socket import Socket, SocketContext, Transport
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

CHECK_INTERVAL = 5.0
"""Seconds between two looks at every socket."""

_S = TypeVar("_S", bound=Socket)


class Door(ABC, Generic[_S]):
    """What shells hand sockets to. ``origins``: the pages that may open one here, beside the server's own.
    ``is_apart``: nothing can be reached from here."""

    def __init__(self, context: SocketContext, origins: frozenset[str]) -> None:
        self.context = context
        self._origins = origins
        self._connections: dict[_S, None] = {}
        limits = context.limits
        self._gatekeeper = Gatekeeper(
            most=limits.connections,
            per_address=limits.connections_per_address,
            per_account=limits.connections_per_account,
            strangers=limits.unauthenticated,
        )
        self._checking: asyncio.Task[None] | None = None
        self._applying: set[asyncio.Task[None]] = set()
        self._closing = False
        self.is_apart = False

    @abstractmethod
    def _make(self, transport: Transport, address: str) -> _S: ...

    async def _keep_house(self) -> None:
        """What else is to be done every few seconds."""

    def end_watches(self) -> None:
        """Tells those who watch that the server is going down; a server by HTTP waits for its answers to end."""

    def _all(self) -> Iterable[_S]:
        """All that are open."""
        return tuple(self._connections)

    def start(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check())

    def accepts(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may connect. Programs send no Origin; they authenticate like everybody."""
        if origin is None or origin in self._origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host and origin.count("/") == 2

    def refusal(self, address: str) -> Refusal | None:
        """Whether an address has to be refused at the handshake, as there are too many connections, or nobody can be
        served here; None: it may come in, if `open` follows at once."""
        if self._closing or self.is_apart:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not by this door now")
        return self._gatekeeper.refusal(counted_key(address))

    def open(self, transport: Transport, address: str = "") -> _S:
        """``address``: whose it is; "": of this machine."""
        socket = self._make(transport, counted_key(address))
        self._connections[socket] = None
        self._gatekeeper.came(socket, socket.address)
        metrics.connections.set(len(self._connections))
        return socket

    def lost(self, socket: _S) -> None:
        socket.lost()
        if socket in self._connections:
            del self._connections[socket]
            self._gatekeeper.went(socket, socket.address, socket.account)
        metrics.connections.set(len(self._connections))

    def _close_door(self) -> None:
        """Nobody comes in any more, and nobody is looked after."""
        self._closing = True
        if self._checking is not None:
            self._checking.cancel()

    async def _send_away(self, retry_after: int) -> None:
        """Tells everybody to come back: after ``retry_after`` milliseconds, and where there are many, one after the
        other. Returns when changes of rights have been applied, too."""
        self._say_goodbye(retry_after)
        while self._applying:
            await asyncio.gather(*self._applying, return_exceptions=True)

    def _say_goodbye(self, retry_after: int) -> None:
        for socket in self._all():
            with at_its_own_cost(socket):
                socket.goodbye(retry_after + self.context.pace.after())

    def _go_on_with(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._applying.add(task)
        task.add_done_callback(self._applying.discard)
        return task

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = self.context.now()
            for socket in self._all():
                with at_its_own_cost(socket):
                    socket.check(now)
            await self._keep_house()


@contextmanager
def going_on(what: str, **about: str) -> Iterator[None]:
    """An error that nobody expects is told, and ends nothing else: everybody depends on the housekeeping."""
    try:
        yield
    except Exception:
        metrics.housekeeping_failed.inc()
        log.exception("housekeeping_failed", what=what, **about)


def at_its_own_cost(socket: Socket) -> AbstractContextManager[None]:
    return going_on("connection", connection=socket.connection_id)
