"""`Bus` over NATS, as it is without JetStream: at most once, in order, and quick."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from coscribe.cluster.ports import BusUnavailable, Receiver
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

MOST_WAITING = 64_000_000
"""Bytes that may wait to go out; beyond them `send` refuses."""

CONNECT_SECONDS = 2.0
RETRY_SECONDS = 0.2
"""How long one try to connect may take, and how long it is until the next; tries go on for ever."""

PING_SECONDS = 1.0
PINGS_UNANSWERED = 1
"""A connection in which nothing comes back ends with the second ping that has to be sent: in about two seconds."""

STARTS_WITHIN = 10.0
"""Seconds that the first connection may take, before it is said that there is no bus."""


class _Client(Client):
    async def _connect_to_server(self, server: Srv) -> None:
        """Looks the name up before it connects. uvloop leaves a look-up alone when the try to connect is given up
        meanwhile, and what came of it is then told as an exception that nobody retrieved."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(server.uri.hostname, server.uri.port)
        await super()._connect_to_server(server)


class NatsBus:
    """``url``: several are separated by commas; who may, and whether over TLS, is said in one of them:
    nats://user:password@host:port, tls://…"""

    def __init__(self, url: str, name: str = "coscribe") -> None:
        self._url = url
        self._name = name
        self._client = _Client()
        self._closed = False

    @classmethod
    async def connect(cls, url: str, name: str = "coscribe") -> Self:
        """One that is connected. Raises BusUnavailable."""
        bus = cls(url, name)
        await bus.start()
        return bus

    async def start(self) -> None:
        """Connects; later it connects again whenever the connection is lost. Raises BusUnavailable."""
        url, name = self._url, self._name
        urls = [urlsplit(each.strip()) for each in url.split(",")]
        servers = [each._replace(netloc=each.netloc.rpartition("@")[2]).geturl() for each in urls]
        user, password = next(((each.username, each.password) for each in urls if each.username), (None, None))
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                await self._client.connect(
                    servers,
                    user=None if user is None or password is None else unquote(user),
                    password=None if password is None else unquote(password),
                    token=unquote(user) if user is not None and password is None else None,
                    name=name,
                    error_cb=self._failed,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    connect_timeout=CONNECT_SECONDS,  # type: ignore[arg-type]  # it is handed on to asyncio.wait_for
                    reconnect_time_wait=RETRY_SECONDS,  # type: ignore[arg-type]  # and to asyncio.sleep
                    max_reconnect_attempts=-1,
                    ping_interval=PING_SECONDS,  # type: ignore[arg-type]
                    max_outstanding_pings=PINGS_UNANSWERED,
                    pending_size=2 * MOST_WAITING,
                )
        except (OSError, NatsError, TimeoutError) as error:
            await self.close()
            raise BusUnavailable(f"the bus cannot be reached: {_said(error)}") from error

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def largest(self) -> int:
        return self._client.max_payload

    def send(self, subject: str, message: bytes) -> None:
        client = self._client
        if len(message) > self.largest:
            raise ValueError(f"{len(message)} bytes, at most {self.largest}")
        if not client.is_connected:
            metrics.bus_refused.inc()
            raise BusUnavailable("not connected")
        if client.pending_data_size + len(message) > MOST_WAITING:
            metrics.bus_refused.inc()
            raise BusUnavailable(f"{client.pending_data_size} bytes wait")
        try:
            _at_once(client.publish(subject, message))
        except (OSError, NatsError) as error:
            metrics.bus_refused.inc()
            raise BusUnavailable(str(error)) from error

    async def subscribe(self, subject: str, receiver: Receiver) -> None:
        async def receive(message: Msg) -> None:
            receiver(message.data)

        try:
            await self._client.subscribe(subject, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
            for _ in range(2):  # the first one's ping overtakes what waits to go out
                if self.connected:
                    await self._client.flush()
        except (OSError, NatsError) as error:
            raise BusUnavailable(str(error)) from error

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._client.close()

    async def _failed(self, error: Exception) -> None:
        log.warning("bus_failed", error=_said(error))

    async def _disconnected(self) -> None:
        if not self._closed:
            log.warning("bus_disconnected")

    async def _reconnected(self) -> None:
        log.info("bus_connected", server=_without_credentials(self._client))


def _at_once(work: Coroutine[Any, Any, None]) -> None:
    """Runs what only waits where a buffer is full, which was ruled out before."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise BusUnavailable("the client would have to wait")


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _without_credentials(client: Client) -> str:
    url = client.connected_url
    return f"{url.hostname}:{url.port}" if url is not None else ""
