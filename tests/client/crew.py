"""Clients that tell what they were told, and a gate between them and the server that can be shut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from coscribe.client import Client, ClientSettings, Document
from coscribe.client.link import Link
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Role
from tests.e2e.server_process import ServerProcess, free_port

FOREVER = 60.0
"""Seconds no test needs."""


class Witness(Client):
    """Keeps what it is told. ``deaf_to``: messages that it does not hear; the first one cuts the connection."""

    def __init__(self, url: str, token: str, settings: ClientSettings) -> None:
        super().__init__(url, token, settings)
        self.heard: list[messages.ServerMessage] = []
        self.deaf_to: Callable[[messages.ServerMessage], bool] = lambda _: False
        self.deafened = asyncio.Event()
        self.after: Callable[[messages.ServerMessage], None] = lambda _: None
        self._news = asyncio.Event()

    def received(self, link: Link, raw: bytes) -> None:
        message = codec.decode_server(raw)
        if self.deafened.is_set() or self.deaf_to(message):
            self.deafened.set()
            self.drop_connection()
            return
        self.heard.append(message)
        super().received(link, raw)
        self.after(message)
        self._news.set()

    def move_to(self, url: str) -> None:
        """From the next attempt on it connects there."""
        there = Client(url, self._token, self._settings)
        self._surroundings = self._surroundings._replace(dial=there._surroundings.dial)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Returns when the condition holds; it is looked at after each message."""
        while not reached():
            self._news.clear()
            await self._news.wait()

    def shown(self) -> list[int]:
        """The sequences of the operations it was shown, in the order in which it was."""
        frames = [message for message in self.heard if isinstance(message, messages.Committed)]
        return [operation.server_sequence_id for frame in frames for operation in frame.operations]

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.heard]


class Crew:
    """Makes clients of one server, each of which is closed in the end."""

    def __init__(self, server: ServerProcess, stack: AsyncExitStack, url: str) -> None:
        self._server = server
        self._stack = stack
        self._url = url

    def join(self, user: str, role: Role = "editor", *, url: str = "", **settings: Any) -> Witness:
        """A client that connects."""
        wanted = ClientSettings(backoff=0.01, max_backoff=0.05)._replace(**settings)
        client = Witness(url or self._url, self._server.token(user, role), wanted)
        client.start()
        self._stack.push_async_callback(client.close)
        return client

    async def open(self, user: str, file_id: str, role: Role = "editor", **settings: Any) -> Document:
        return await self.join(user, role, **settings).open(file_id)

    async def gate(self) -> Gate:
        """A way to the server that can be shut."""
        gate = Gate(self._server.port)
        self._stack.push_async_callback(gate.shut)
        await gate.open()
        return gate


@asynccontextmanager
async def crew(server: ServerProcess) -> AsyncIterator[Crew]:
    """``async with crew(server) as the: ann = await the.open("ann", "notes")``; it ends, one way or the other."""
    async with asyncio.timeout(FOREVER), AsyncExitStack() as stack:
        yield Crew(server, stack, server.url)


class Gate:
    """Passes connections on to a port; shut, it ends them and takes no new ones."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._port = free_port()
        self._listening: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ws"

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def shut(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
            for task in tuple(self._passing):
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)
            await listening.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, inner_writer):
                end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def agree(*documents: Document) -> str:
    """Returns when everybody has everything; the text they all have."""
    for document in documents:
        await document.synced()
    last = max(document.sequence for document in documents)
    for document in documents:
        await document.reached(last)
    (text,) = {document.text for document in documents}
    return text


def left_in(folder: Path) -> list[str]:
    """The names of the files in a folder of pending edits."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return sorted(name for name in names if not name.endswith(".undo"))
