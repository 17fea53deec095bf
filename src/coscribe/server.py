"""Runs a `Coscribe` on a port: uvicorn for HTTP, picows for the gateway's sockets."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Coroutine
from typing import IO, Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from coscribe.app import Coscribe, PostgresUnavailable, tune_interpreter
from coscribe.config import Settings
from coscribe.gateway.door import Door
from coscribe.gateway.fast import websocket_switch
from coscribe.gateway.patience import patient_http
from coscribe.protocol.messages import WEBSOCKET_PATH
from coscribe.workers import is_worker, tell_serving

FILES = 65_536
"""Open files that a server asks for: one for each connection, and some besides."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends small pieces at once only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2_048)
    return listener


def take_files() -> None:
    """Raises the limit of open files to `FILES`, as far as the system lets it; in containers it may begin at 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def serve(
    settings: Settings, listener: socket.socket, lock: IO[str] | None, ready: Callable[[str | None], None]
) -> None:
    """Serves until SIGINT or SIGTERM, with the lock of the settings' folder; in a cluster there is none.

    Calls ``ready`` when connections will be answered, with the link to make the first administrator if there is none.
    Raises TracingUnavailable, PostgresUnavailable, NotStarted.
    """
    made = _clustered(settings) if settings.in_cluster else _alone(settings, lock)
    ready(None if is_worker() else asyncio.run(made.setup_link()))
    tune_interpreter()
    take_files()
    config = uvicorn.Config(
        made.asgi,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        http=patient_http(settings.gateway, made.end_streams),
        ws=websocket_switch(made.gateway, WEBSOCKET_PATH),  # type: ignore[arg-type]  # any callable will do
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    server = _Server(config)
    server.run(sockets=[listener])
    if not server.started:
        raise NotStarted


class NotStarted(Exception):
    """What the server needs at its start failed; it has been said."""


class _Made(NamedTuple):
    """What is served."""

    asgi: ASGIApp
    gateway: Door[Any]
    end_streams: Callable[[], None]
    setup_link: Callable[[], Coroutine[Any, Any, str | None]]


def _alone(settings: Settings, lock: IO[str] | None) -> _Made:
    coscribe = Coscribe(settings, lock=lock)
    return _Made(coscribe.asgi, coscribe.gateway, coscribe.gateway.end_watches, coscribe.setup_link)


def _clustered(settings: Settings) -> _Made:
    try:
        from coscribe.clustered import Clustered
    except ImportError as error:
        raise PostgresUnavailable(f"COSCRIBE_NATS is set, but {error.name} is not installed") from error
    clustered = Clustered(settings)
    return _Made(clustered.asgi, clustered.gateway, clustered.end_streams, clustered.setup_link)


class _Server(uvicorn.Server):
    """Tells whoever has started it, in a cluster of workers, when it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            tell_serving()
