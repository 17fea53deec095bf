"""Many people with few documents each, who go from one to the next; and the doors that they come in by."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from coscribe.client import ClientSettings, Document
from coscribe.client.client import Surroundings
from coscribe.client.link import Link, Received, websocket_dial
from coscribe.client.opened import State
from coscribe.client.workspace import Workspace
from coscribe.core.errors import CoscribeError
from tests.chaos.people import Book, Hand, Witness

SETTINGS = ClientSettings(backoff=0.1, max_backoff=2.0, connect_timeout=5.0, silent_after=8.0)

SHUT_SECONDS = 2.0
"""For how long nobody tries a door that did not open, where there are others."""


class Doors:
    """The gateways, as a balancer in front of them would have it: whoever comes is let in by one that answers."""

    def __init__(self, urls: Sequence[str], settings: ClientSettings = SETTINGS) -> None:
        self.urls = list(urls)
        self._shut: dict[str, float] = {}
        self._dials = {
            url: websocket_dial(
                url,
                connect_timeout=settings.connect_timeout,
                silent_after=settings.silent_after,
                max_frame_bytes=settings.max_frame_bytes,
            )
            for url in urls
        }

    async def __call__(self, received: Received) -> Link:
        now = time.monotonic()
        urls = random.sample(self.urls, len(self.urls))
        open_ones = [url for url in urls if self._shut.get(url, 0.0) <= now] or urls
        for url in open_ones:
            try:
                return await self._dials[url](received)
            except Exception:
                self._shut[url] = time.monotonic() + SHUT_SECONDS
        raise ConnectionError("no gateway answers")


class Sight(NamedTuple):
    """What somebody had of a document at a sequence, with nothing of their own pending: the SHA-256 of its UTF-8."""

    file_id: str
    sequence: int
    digest: bytes


class Member:
    """Somebody with a client. ``open``: what they have open just now, the oldest first."""

    def __init__(
        self, name: str, token: str, doors: Doors, book: Book, seed: object, settings: ClientSettings = SETTINGS
    ) -> None:
        self.name = name
        self.hand = Hand(name, book, random.Random(f"{seed} {name}"))
        self.open: deque[Document] = deque()
        self.sights: list[Sight] = []
        surroundings = Surroundings(doors, random.random, lambda: secrets.token_urlsafe(9), lambda *_: None)
        self.client = Witness("", token, settings, book, surroundings)
        self._book = book

    def edit(self, document: Document) -> bool:
        """Whether something was typed."""
        try:
            self.hand.edit(document)
        except (ValueError, CoscribeError):
            return False
        return True

    def look(self, document: Document) -> None:
        """Remembers what is seen, if it is the server's."""
        if document.state is State.LIVE and not document.pending:
            self.sights.append(Sight(document.file_id, document.sequence, sha256(document.text.encode()).digest()))

    async def leave(self, document: Document) -> None:
        self.open.remove(document)
        self.look(document)
        self._book.closed(document)
        await document.close()

    async def close(self) -> None:
        for document in self.open:
            self._book.closed(document)
        await self.client.close()

    def restless(self) -> list[str]:
        """What keeps us from being at rest, in words."""
        return [
            f"{self.name} in {document.file_id}: {document.state.value} at {document.sequence},"
            f" {document.pending} pending, {self.client.connects} connections so far"
            for document in self.open
            if document.pending or document.state is not State.LIVE
        ]


class Visitor(Member):
    """Goes round ``route``, with ``most`` of its documents open at a time."""

    route: Sequence[str] = ()
    most = 1
    staying: Sequence[str] = ()
    """Documents that are open all the time."""

    def begin(self, route: Sequence[str], most: int, staying: Sequence[str] = ()) -> None:
        self.route, self.most, self.staying = route, most, staying
        self._next = 0
        self.client.start()
        for file_id in staying:
            self.open.append(self.client.open_offline(file_id))

    async def go_on(self) -> Document | None:
        """Opens the next document, if there is one that can be left for it."""
        going = [document for document in self.open if document.file_id not in self.staying]
        if len(going) >= self.most:
            quiet = [document for document in going if document.state is State.LIVE and not document.pending]
            if not quiet:
                return None
            await self.leave(quiet[0])
        open_ones = {document.file_id for document in self.open}
        for _ in self.route:
            file_id = self.route[self._next % len(self.route)]
            self._next += 1
            if file_id not in open_ones:
                document = self.client.open_offline(file_id)
                self.open.append(document)
                return document
        return None


class Colleague(Member):
    """Has a workspace open, its tree and some of its texts."""

    workspace: Workspace

    async def begin(self, workspace_id: str, paths: Sequence[str]) -> None:
        self.client.start()
        self.workspace = await self.client.open_workspace(workspace_id)
        for path in paths:
            await comes_true(lambda path=path: self.workspace.find(path) is not None, f"{path} is there")  # type: ignore[misc]  # of this round
            self.open.append(await self.workspace.open_path(path))


async def comes_true(is_so: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.02)
