"""Runs a `Coscribe` on a port: uvicorn for HTTP, picows for the gateway's sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import IO

import uvicorn

from coscribe.app import Coscribe, tune_interpreter
from coscribe.config import Settings
from coscribe.gateway.fast import websocket_switch
from coscribe.gateway.patience import patient_http
from coscribe.protocol.messages import WEBSOCKET_PATH


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends small pieces at once only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2_048)
    return listener


def serve(settings: Settings, listener: socket.socket, lock: IO[str], ready: Callable[[str | None], None]) -> None:
    """Serves until SIGINT or SIGTERM, with the lock of the settings' folder. Raises TracingUnavailable.

    Calls ``ready`` when connections will be answered, with the link to make the first administrator if there is none.
    """
    coscribe = Coscribe(settings, lock=lock)
    ready(asyncio.run(coscribe.setup_link()))
    tune_interpreter()
    config = uvicorn.Config(
        coscribe.asgi,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        http=patient_http(settings.gateway, coscribe.gateway.end_watches),
        ws=websocket_switch(coscribe.gateway, WEBSOCKET_PATH),  # type: ignore[arg-type]  # any callable will do
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
