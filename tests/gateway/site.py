"""The server as `coscribe serve` runs it, on a free loopback port, and raw sockets to talk to it with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.exporting import ExportingTracer
from coscribe.gateway.auth import make_token
from coscribe.gateway.fast import websocket_switch
from coscribe.gateway.patience import patient_http
from coscribe.gateway.socket import GatewayLimits
from coscribe.metrics import metrics
from coscribe.protocol.messages import WEBSOCKET_PATH
from coscribe.server import bind

SECRET = "s" * 32
PATIENCE = 20.0
"""Seconds after which a test gives up waiting."""


class Site(NamedTuple):
    coscribe: Coscribe
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self, **options: Any) -> connect:
        return connect(f"ws://{self.address}/ws", **options)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)


@asynccontextmanager
async def open_site(
    folder: Path,
    limits: GatewayLimits,
    *,
    shell: str = "picows",
    proxies: tuple[str, ...] = (),
    keep_alive_seconds: int = 5,
    tracer: ExportingTracer | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """``shell``: picows, or asgi, as where it is embedded."""
    coscribe = Coscribe(Settings(folder=folder, token_secret=SECRET, gateway=limits, **settings), tracer=tracer)
    ws: Any = websocket_switch(coscribe.gateway, WEBSOCKET_PATH) if shell == "picows" else "websockets-sansio"
    options: dict[str, Any] = {"proxy_headers": bool(proxies), "forwarded_allow_ips": list(proxies)}
    http = patient_http(limits, coscribe.gateway.end_watches)
    async with serving(coscribe.asgi, http=http, ws=ws, timeout_keep_alive=keep_alive_seconds, **options) as address:
        host, _, port = address.partition(":")
        yield Site(coscribe, host, int(port))


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """An ASGI application on a free loopback port; gives host:port."""
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, **options))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has nothing to wait on
        await asyncio.sleep(0)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def token(user: str) -> str:
    return make_token(SECRET.encode(), user, "editor", 3_600)


async def said(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of that type."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message["type"] == kind:
            return message


async def hello(socket: ClientConnection, user: str) -> dict[str, Any]:
    await said(socket, type="hello", protocol=[1], token=token(user))
    return await heard(socket, "welcome")


async def live(socket: ClientConnection, user: str, file_id: str) -> None:
    await hello(socket, user)
    await said(socket, type="join", fileId=file_id)
    snapshot = await heard(socket, "snapshot")
    await said(socket, type="snapshotApplied", fileId=file_id, snapshotSequenceId=snapshot["snapshotSequenceId"])
    await heard(socket, "live")


def metric(name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0
