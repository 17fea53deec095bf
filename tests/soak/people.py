"""People who type: at human speed, five days a week, with a break at noon and now and then no network.

A second is the smallest time that passes for them: in it somebody types five keys, each an edit of its own.
"""

from __future__ import annotations

import math
import random

from coscribe.client.client import Client, ClientSettings, Surroundings
from coscribe.client.document import Document
from coscribe.client.link import Link, Received
from coscribe.client.opened import State
from coscribe.client.replica import Batching
from tests.client.network import Alphabet
from tests.soak.office import Office

HOUR = 3_600.0
DAY = 24 * HOUR
KEYS = 5
"""Keys a second, about."""

THINKING = 100.0
"""Seconds between two stretches of typing, on average."""

FULL = 80_000
"""Code points from which on somebody shortens a document."""

IMPORTED = 400_000
"""Code points of a long text."""

KEPT = 0.1
"""How often what is before their eyes is written down after a stretch of typing."""

TEXT = "she said that the meeting would be moved to thursday, which nobody had asked for.\n— ça ira 🙂 "
BATCHING = (Batching.CHAIN, Batching.SINGLE, Batching.CHAIN, Batching.COMPOSE)


class Broken(AssertionError):
    """Something is not as it has to be."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


class Person:
    """Somebody with a client while at work."""

    def __init__(self, office: Office, number: int) -> None:
        self.office = office
        self.user_id = f"u{number:02}"
        self.rng = random.Random(f"{office.plan.seed} {number}")
        self.batching = BATCHING[number % len(BATCHING)]
        self.undoes = number % 3 == 0
        self.imports = number < 2
        self.works_weekends = number < 2
        self.away = False
        self._carets: dict[str, int] = {}

    def new_client(self) -> Client:
        async def dial(received: Received) -> Link:
            if self.away:
                raise ConnectionError("no network")
            return await self.office.dial(self.user_id, received)

        depth = ClientSettings().undo_depth if self.undoes else 0
        settings = ClientSettings(batching=self.batching, undo_depth=depth, backoff=1.0)
        surroundings = Surroundings(dial, self.rng.random, lambda: f"{self.user_id}.{self.office.name()}", _nowhere)
        client = Client("", self.user_id, settings, surroundings)
        client.start()
        return client

    async def until(self, moment: float) -> None:
        """On the second: who types at the same time does so at the same moment."""
        loop = self.office.loop
        due = loop.create_future()
        loop.call_at(max(math.ceil(moment), loop.time() + 1.0), due.set_result, None)
        await due

    async def pause(self, seconds: float) -> None:
        await self.until(self.office.loop.time() + seconds)

    # ---- a day's work

    async def work(self) -> None:
        """All days there are."""
        for day in range(math.ceil(self.office.plan.hours / 24)):
            begin, noon, end = 9.0, 12.5, 17.0
            if day % 7 >= 5:
                if not self.works_weekends:
                    continue
                begin, noon, end = 10.0, 11.0, 12.5
            if day * 24 + begin >= self.office.plan.hours:
                return
            shift = self.rng.uniform(-0.7, 0.7)
            await self.until(day * DAY + (begin + shift) * HOUR)
            await self._sit(day * DAY + (noon + shift / 2) * HOUR)
            await self.pause(0.5 * HOUR)
            await self._sit(day * DAY + (end + shift) * HOUR)

    async def _sit(self, end: float) -> None:
        """Works until then, in three documents at a time at most; leaves when everything is saved."""
        client = self.new_client()
        opened: dict[str, Document] = {}
        if self.imports:
            await self._import(client)
        while self.office.loop.time() < end:
            file_id = self._choice()
            if file_id not in opened:
                if len(opened) == 3:
                    await self._put_away(opened.pop(next(iter(opened))))
                opened[file_id] = await client.open(file_id)
                if not _length(opened[file_id]):
                    self._paste(opened[file_id], FULL // 2)
            await self._stretch(client, opened[file_id])
            await self.pause(self.rng.expovariate(1 / THINKING))
        for document in opened.values():
            await self._put_away(document)
        await client.close()

    async def _import(self, client: Client) -> None:
        """A long text takes the place of the last one: every day has the same largest moment."""
        document = await client.open("imports")
        document.replace(0, _length(document), (TEXT * (IMPORTED // len(TEXT) + 1))[:IMPORTED])
        await self._put_away(document)

    def _choice(self) -> str:
        files = self.office.files
        return self.rng.choices(files, [1 / math.sqrt(place + 1) for place in range(len(files))])[0]

    async def _put_away(self, document: Document) -> None:
        await document.synced()
        require(not document.patches, f"{self.user_id} got back {document.patches[:1]}")
        require(document.heals == 0, f"the text of {self.user_id} was not the server's")
        await document.close()

    async def _stretch(self, client: Client, document: Document) -> None:
        """Some twenty seconds of work in one place."""
        rng = self.rng
        if rng.random() < 0.01:
            client.drop_connection()
        chance = rng.random()
        if chance < 0.004:
            self._paste(document, rng.randint(2_000, 20_000))
        size = _length(document)
        if size > FULL:
            count = rng.randint(size // 4, size - FULL // 4)
            document.delete(rng.randint(0, size - count), count)
        caret = self._carets.get(document.file_id, 0)
        if rng.random() < 0.4 or caret > _length(document):
            caret = rng.randint(0, _length(document))
        for _ in range(rng.randint(4, 30)):
            for _ in range(KEYS):
                caret = self._key(document, min(caret, _length(document)))
            if rng.random() < 0.2:
                document.set_cursor(caret, caret)
            await self.pause(1.0)
        self._carets[document.file_id] = caret
        if self.undoes and rng.random() < 0.4:
            await self._regret(document)
        if rng.random() < KEPT:
            await document.synced()
            self._write_down(document)

    def _key(self, document: Document, caret: int) -> int:
        if caret and self.rng.random() < 0.08:
            document.delete(caret - 1, 1)
            return caret - 1
        document.insert(caret, self.rng.choice(TEXT))
        return caret + 1

    async def _regret(self, document: Document) -> None:
        for _ in range(self.rng.randint(1, 8)):
            document.undo()
        await self.pause(1.0)
        if self.rng.random() < 0.3:
            document.redo()

    def _paste(self, document: Document, size: int) -> None:
        document.insert(self.rng.randint(0, _length(document)), (TEXT * (size // len(TEXT) + 1))[:size])

    def _write_down(self, document: Document) -> None:
        if document.state is State.LIVE and not document.pending:
            self.office.journal.seen(document.file_id, document.version, document.text)


class Absentee(Person):
    """Types a word, loses the network, comes back when the log holds that word in a segment, and undoes it."""

    def __init__(self, office: Office, number: int) -> None:
        super().__init__(office, number)
        self.undoes = True
        self.rounds = 0
        self.undone = 0
        self._alphabet = Alphabet()

    async def work(self) -> None:
        """Until it is cancelled."""
        await self.until(9.5 * HOUR)
        while True:
            client = self.new_client()
            try:
                await self._round(client, await client.open(self._choice()))
            finally:
                await client.close()
            await self._office_hours()

    async def _round(self, client: Client, document: Document) -> None:
        word = self._alphabet.take(8)
        document.insert(self.rng.randint(0, _length(document)), word)
        await document.synced()
        typed_at = document.sequence
        self.away = True
        client.drop_connection()
        while self.office.closed_through(document.file_id) < typed_at:
            await self._office_hours()
        self.away = False
        await document.live()
        await self._take_back(document, word)
        await self._put_away(document)

    async def _take_back(self, document: Document, word: str) -> None:
        """What others have deleted of the word and brought back again is theirs."""
        before = document.text
        changed = document.undo()
        after = document.text
        require(_without(before, word) == _without(after, word), "an undo of long ago took what is not its own")
        require(changed == (before != after), "an undo of long ago says what it did not do")
        self.rounds += 1
        if before.count(word) == 1 and word not in after:
            self.undone += 1
            document.redo()
            require(document.text == before, "a redo does not bring back what the undo took")
            document.undo()
            require(document.text == after, "an undo of a redo is not the undo")
        await document.synced()

    async def _office_hours(self) -> None:
        """Ten minutes later, by day."""
        await self.pause(600.0)
        hour = self.office.loop.time() % DAY / HOUR
        if not 9.0 <= hour <= 17.0:
            day = self.office.loop.time() // DAY + (hour > 17.0)
            await self.until(day * DAY + 9.0 * HOUR)


def _nowhere(user_id: str, file_id: str) -> None:
    """What is pending does not survive a client."""


def _length(document: Document) -> int:
    buffer = document._replica.buffer
    return 0 if buffer is None else len(buffer)


def _without(text: str, word: str) -> str:
    return "".join(character for character in text if character not in word)
