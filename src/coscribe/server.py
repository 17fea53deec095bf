"""Runs a `Coscribe` on a port: uvicorn for HTTP, picows for the gateway's sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from coscribe.app import Coscribe, tune_interpreter
from coscribe.config import Settings
from coscribe.gateway.fast import websocket_switch
from coscribe.protocol.messages import WEBSOCKET_PATH


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2_048)
    return listener


def serve(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM; calls ``ready`` when connections will be answered. Raises FolderInUse."""
    coscribe = Coscribe(settings)
    ready()
    tune_interpreter()
    config = uvicorn.Config(
        coscribe.asgi,
        ws=websocket_switch(coscribe.gateway, WEBSOCKET_PATH),  # type: ignore[arg-type]  # any callable will do
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
