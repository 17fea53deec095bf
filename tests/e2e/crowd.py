"""A crowd of clients that type into one document, and remember everything the server ever showed them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from coscribe.client import Client, ClientSettings, Document
from coscribe.client.link import Link
from coscribe.persistence.stored import stored_in
from coscribe.protocol import codec, messages

FILE = "crowd"
WORDS = ("be ", "not ", "🙂", "or\n", "to", " that is ", "x")


class WitnessClient(Client):
    """A client that writes down each operation it is shown: sequence -> operationId."""

    def __init__(self, url: str, token: str, settings: ClientSettings, witnessed: dict[int, str]) -> None:
        super().__init__(url, token, settings)
        self._witnessed = witnessed
        self.contradictions: list[str] = []

    def received(self, link: Link, raw: bytes) -> None:
        message = codec.decode_server(raw)
        if isinstance(message, messages.Committed | messages.Resent):
            for operation in message.operations:
                known = self._witnessed.setdefault(operation.server_sequence_id, operation.operation_id)
                if known != operation.operation_id:
                    self.contradictions.append(f"{operation.server_sequence_id}: {known}, {operation.operation_id}")
        super().received(link, raw)


class Crowd:
    """``count`` clients, each typing at random places until told to stop."""

    def __init__(self, url: str, token: Callable[[str], str], count: int, rng: random.Random, folder: Path) -> None:
        self.witnessed: dict[int, str] = {}
        settings = ClientSettings(backoff=0.02, max_backoff=0.1, pending_folder=folder)
        self.clients = [WitnessClient(url, token(f"u{n}"), settings, self.witnessed) for n in range(count)]
        self.documents: list[Document] = []
        self._rng = rng
        self._typing: list[asyncio.Task[None]] = []
        self._progress = asyncio.Event()

    async def start(self) -> None:
        for client in self.clients:
            client.start()
        self.documents = [await client.open(FILE) for client in self.clients]
        self._typing = [asyncio.create_task(self._type(document)) for document in self.documents]

    async def acknowledged(self, more: int) -> None:
        """Returns when that many more operations have been seen by somebody."""
        goal = len(self.witnessed) + more
        while len(self.witnessed) < goal:
            self._progress.clear()
            await self._progress.wait()

    async def settle(self) -> None:
        """Stops typing and returns when everybody is live, idle and at the same sequence."""
        for task in self._typing:
            task.cancel()
        await asyncio.gather(*self._typing, return_exceptions=True)
        for document in self.documents:
            await document.synced()
        last = max(document.sequence for document in self.documents)
        for document in self.documents:
            await document.reached(last)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    async def _type(self, document: Document) -> None:
        """One edit each time the last one is through, or at once while offline: a queue builds up then."""
        rng = self._rng
        offline = 0
        while True:
            size = len(document.text)
            position = rng.randint(0, size)
            count = min(size - position, rng.choice((0, 0, 0, 1, 4)))
            document.replace(position, count, rng.choice(WORDS)) if count else document.insert(
                position, rng.choice(WORDS)
            )
            offline = offline + 1 if document.pending > 1 else 0
            if rng.random() < 0.05:
                document.undo()
            await (document.synced() if offline < 3 else document.live())
            self._progress.set()
            await asyncio.sleep(0)


def logged(database: Path) -> list[str]:
    """The operation ids of the log, in order of sequence; asserts that sequences have no gap."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        entries = [
            entry
            for workspace in stored_in(connection).workspaces()
            for entry in stored_in(connection).entries(workspace.key)
        ]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    return [entry.operation_id for entry in entries]


def check(crowd: Crowd, database: Path) -> None:
    """Everything anybody was shown is in the log, once, at its place; all texts are one."""
    ids = logged(database)
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    missing = {sequence: name for sequence, name in crowd.witnessed.items() if ids[sequence - 1 : sequence] != [name]}
    assert missing == {}
    assert [client.contradictions for client in crowd.clients if client.contradictions] == []
    assert len({document.text for document in crowd.documents}) == 1
    assert [patch for document in crowd.documents for patch in document.patches] == []
    assert sum(document.heals for document in crowd.documents) == 0
