"""A connection to a running server, for commands: it is there at once, or the command ends and says what to do."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from coscribe.cli.common import fail, nobody_answers, websocket_url
from coscribe.core.errors import Code, CoscribeError

if TYPE_CHECKING:
    from coscribe.client import Client, ClientSettings, Document

PATIENCE = 15.0
"""Seconds a server has for an answer."""

_PORTS = {"ws": 80, "wss": 443}


def quiet_logs() -> None:
    """What the client logs is not what a command prints: it says itself what went wrong."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


@asynccontextmanager
async def connected(server: str, token: str, settings: ClientSettings | None = None) -> AsyncIterator[Client]:
    """A client of the server. Ends with advice where nobody listens."""
    from coscribe.client import Client

    quiet_logs()
    url = websocket_url(server)
    await _knock(url, server)
    async with Client(url, token, settings) as client:
        yield client


async def open_live(client: Client, file_id: str, server: str) -> Document:
    """Opens a file. Ends with advice where that is refused or the server says nothing."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await client.open(file_id)
    except TimeoutError:
        fail(f"{server} does not answer", "Is it a Coscribe server? Look at /healthz with a browser or curl.")
    except CoscribeError as error:
        kind = error.code.value
        advice = kind.help
        if error.code is Code.FILE_NOT_FOUND:
            advice = "Check its name; it begins to exist when an editor opens it first."
        fail(f"{kind.code}: {error.detail or file_id}", advice)


async def _knock(url: str, server: str) -> None:
    """A client would try for ever; a person wants to be told."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
    except ValueError:
        fail(f"{server!r} is no address", "Use http://host:port, as `coscribe serve` prints it.")
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        nobody_answers(server)
    writer.close()
