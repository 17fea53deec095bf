"""People who type, and the book of what they typed and what they were told.

A word is typed once, by one person, whole and between words: ``[p7.42]``. People delete and undo only what is theirs.
So whatever others do, a word stays in one piece, comes into the text at most once at a time, and can be looked for in
the log.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from coscribe.client import Client, ClientSettings, Document
from coscribe.client.client import Surroundings
from coscribe.client.document import Change
from coscribe.client.link import Link
from coscribe.client.opened import State
from coscribe.core.errors import CoscribeError
from coscribe.protocol import codec, messages

WORD = re.compile(r"\[\w+\.\d+[^\[\]]?\]")
ENOUGH = 12_000
"""Characters of a text from which on more is deleted than typed."""

PAUSE = 0.5
"""Seconds between two edits of a person in a document, about."""

Place = tuple[int, int]
"""A sequence and a version."""


class Book:
    """What the server has told anybody, and what people typed. ``now``: seconds of any origin.

    ``shown``: by document and sequence, the operation and its version. ``places``: by document and operation, where it
    was acknowledged or shown. ``acknowledged``: when their authors were told, by operation, in that order. ``news``: by
    document, when somebody last heard of an operation nobody had heard of. ``contradictions``: what was told
    differently before.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.shown: dict[str, dict[int, tuple[str, int]]] = {}
        self.places: dict[str, dict[str, Place]] = {}
        self.acknowledged: dict[str, float] = {}
        self.news: dict[str, float] = {}
        self.contradictions: list[str] = []
        self.typed: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.handed_back: set[str] = set()
        self.heals = 0
        self._heard = asyncio.Event()

    def told(self, user_id: str, message: messages.ServerMessage) -> None:
        """A message came in for somebody."""
        if isinstance(message, messages.Committed | messages.Resent):
            for operation in message.operations:
                place = operation.server_sequence_id, operation.document_version
                self._place(message.file_id, operation.operation_id, place, operation.user_id == user_id)
        elif isinstance(message, messages.Ack):
            for known in message.operations:
                place = known.server_sequence_id, known.document_version
                self._place(message.file_id, known.operation_id, place, True)
        elif isinstance(message, messages.Snapshot | messages.Live):
            for fate in message.fates:
                if fate.server_sequence_id is not None and fate.document_version is not None:
                    place = fate.server_sequence_id, fate.document_version
                    self._place(message.file_id, fate.operation_id, place, True)

    def _place(self, file_id: str, operation_id: str, place: Place, is_own: bool) -> None:
        sequence, version = place
        if is_own:
            self.acknowledged.setdefault(operation_id, self.now())
        places = self.places.setdefault(file_id, {})
        if operation_id not in places:
            self.news[file_id] = self.now()
            self._heard.set()
        if places.setdefault(operation_id, place) != place:
            self.contradictions.append(f"{operation_id} of {file_id} is at {places[operation_id]}, and at {place}")
        shown = self.shown.setdefault(file_id, {}).setdefault(sequence, (operation_id, version))
        if shown != (operation_id, version):
            self.contradictions.append(f"{sequence} of {file_id} is {shown}, and {(operation_id, version)}")

    def closed(self, document: Document) -> None:
        """A document is left: what was handed back of it, and how often it was fetched anew."""
        self.heals += document.heals
        for patch in document.patches:
            for edits in patch.edits:
                self.handed_back.update(word for edit in edits for word in WORD.findall(edit[2]))

    async def heard_since(self, moment: float, file_ids: Iterable[str]) -> None:
        """Returns when, of each of the documents, an operation has become known since."""
        while any(self.news.get(file_id, 0.0) < moment for file_id in file_ids):
            self._heard.clear()
            await self._heard.wait()


class Witness(Client):
    """A client that writes down what it is told before it makes anything of it."""

    def __init__(
        self, url: str, token: str, settings: ClientSettings, book: Book, surroundings: Surroundings | None = None
    ) -> None:
        super().__init__(url, token, settings, surroundings)
        self._book = book

    def received(self, link: Link, raw: bytes) -> None:
        self._book.told(self.user_id, codec.decode_server(raw))
        super().received(link, raw)


class Hand:
    """What one person types, and where: words of their own, which they may delete and take back again."""

    def __init__(self, name: str, book: Book, rng: random.Random) -> None:
        self.name = name
        self._book = book
        self._rng = rng
        self._count = 0
        self._mine: dict[str, list[str]] = {}

    def edit(self, document: Document) -> None:
        """One edit of whatever kind. Raises ValueError, CoscribeError: nothing was typed."""
        rng, text, mine = self._rng, document.text, self._mine.setdefault(document.file_id, [])
        chance = rng.random()
        if chance < 0.08:
            self._take_back(document, rng.choice((document.undo, document.undo, document.redo)))
        elif mine and chance < (0.6 if len(text) > ENOUGH else 0.2):
            word = mine.pop(rng.randrange(len(mine)))
            position = text.find(word)
            if position >= 0:
                self._book.deleted.add(word)
                document.delete(position, len(word))
        else:
            self.type(document)

    def type(self, document: Document) -> None:
        """A new word. Raises as `edit`."""
        rng = self._rng
        word = f"[{self.name}.{self._count + 1}{rng.choice(('', '', '', '🙂', 'é', chr(10)))}]"
        document.insert(self._between_words(document.text), word)
        self._count += 1
        self._book.typed[word] = document.file_id
        self._mine.setdefault(document.file_id, []).append(word)

    def _between_words(self, text: str) -> int:
        behind = text.find("]", self._rng.randint(0, len(text)))
        return behind + 1 if behind >= 0 else self._rng.choice((0, len(text)))

    def _take_back(self, document: Document, take_back: Callable[[], bool]) -> None:
        before = document.text

        def note(change: Change) -> None:
            for position, deleted, _ in change.edits or ():
                self._book.deleted.update(WORD.findall(before[position : position + deleted]))

        stop = document.listen(note)
        try:
            take_back()
        finally:
            stop()


class Person:
    """Types into ``file_ids`` until told to stop. What is pending is kept in ``folder``, and survives `die`."""

    def __init__(
        self, name: str, url: str, token: str, file_ids: list[str], folder: Path, book: Book, rng: random.Random
    ) -> None:
        self.name = name
        self.file_ids = file_ids
        self.documents: dict[str, Document] = {}
        self._url = url
        self._token = token
        self._settings = ClientSettings(
            pending_folder=folder, backoff=0.05, max_backoff=1.0, connect_timeout=10.0, silent_after=6.0
        )
        self._book = book
        self._rng = rng
        self._hand = Hand(name, book, rng)
        self._client: Client | None = None
        self._typing: list[asyncio.Task[None]] = []

    def start(self, *, typing: bool = True) -> None:
        """A client, with whatever the one before has left in the folder."""
        if self._client is not None:
            return
        self._client = Witness(self._url, self._token, self._settings, self._book)
        self._client.start()
        self.documents = {file_id: self._client.open_offline(file_id) for file_id in self.file_ids}
        if typing:
            self._typing = [asyncio.create_task(self._type(document)) for document in self.documents.values()]

    async def die(self) -> None:
        """The client is gone as if its process had been killed; nothing but its folder remains."""
        client, self._client = self._client, None
        if client is None:
            return
        await self.stop_typing()
        self._look()
        self.documents = {}
        client.drop_connection()
        await client.close()

    async def stop_typing(self) -> None:
        """Raises whatever went wrong in typing."""
        typing, self._typing = self._typing, []
        for task in typing:
            task.cancel()
        for ended in await asyncio.gather(*typing, return_exceptions=True):
            if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
                raise ended

    async def at_rest(self) -> None:
        """Returns when everything of ours is durable."""
        for document in self.documents.values():
            await document.synced()

    def restless(self) -> list[str]:
        """What keeps us from being at rest, in words."""
        connects = self._client.connects if self._client is not None else 0
        return [
            f"{self.name} in {document.file_id}: {document.state.value} at {document.sequence},"
            f" {document.pending} pending, {connects} connections so far"
            for document in self.documents.values()
            if document.pending or document.state is not State.LIVE
        ]

    async def close(self) -> None:
        self._look()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _look(self) -> None:
        """Notes what was handed back."""
        for document in self.documents.values():
            self._book.closed(document)

    async def _type(self, document: Document) -> None:
        rng = self._rng
        while True:
            await asyncio.sleep(rng.expovariate(1 / PAUSE))
            try:
                self._hand.edit(document)
            except (ValueError, CoscribeError):
                """The text is not known yet, or is fetched anew: nothing was typed."""
