"""``serve --workers N``: a supervisor and its workers, each of which is an instance of a cluster on this machine."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from coscribe.access.accounts import make_setup_link
from coscribe.app import open_storage, token_secret
from coscribe.config import Settings
from coscribe.persistence.database import Database
from coscribe.workers import Supervisor, Worker, own_bus


def serve_by_workers(
    settings: Settings, count: int, listener: socket.socket, ready: Callable[[str | None], None]
) -> None:
    """Serves until SIGINT or SIGTERM; SIGHUP replaces the workers. Calls ``ready`` when all of them serve, with the
    link to make the first administrator if there is none. Raises PostgresUnavailable, WorkersFailed."""
    asyncio.run(_serve(settings, count, listener, ready))


async def _serve(settings: Settings, count: int, listener: socket.socket, ready: Callable[[str | None], None]) -> None:
    await open_storage(settings).close()  # the schema is up to date before anybody needs it
    token_secret(settings)  # and so is the secret that they share
    link = await _setup_link(settings)
    async with _bus(settings) as url:
        workers = [_worker(settings, number, url) for number in range(1, count + 1)]
        supervisor = Supervisor(workers, listener, lambda: ready(link))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, supervisor.stop)
        loop.add_signal_handler(signal.SIGHUP, supervisor.renew)
        await supervisor.run()


def _worker(settings: Settings, number: int, bus: str) -> Worker:
    where = ["--data", str(settings.folder), "--host", settings.host, "--port", str(settings.port)]
    program = [sys.executable, "-m", "coscribe", "serve", "--quiet", *where]
    name = f"{settings.instance}-{number}"
    return Worker(name, program, {"COSCRIBE_NATS": bus, "COSCRIBE_INSTANCE": name})


@asynccontextmanager
async def _bus(settings: Settings) -> AsyncIterator[str]:
    if settings.nats:
        yield settings.nats
    else:
        async with own_bus() as url:
            yield url


async def _setup_link(settings: Settings) -> str | None:
    database = Database(settings.where)
    try:
        return await make_setup_link(database, settings.url)
    finally:
        await database.close()
