"""Member: a peer that has one document open, tracks its version, and times its own operations and another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from time import perf_counter

from picows import WSMsgType

from coscribe.bench.measure import Tally
from coscribe.bench.peer import Peer, Room
from coscribe.bench.scenario import until

_TEXT = WSMsgType.TEXT

SEED = 1
"""All random choices are the same in every run."""


class Member(Peer):
    """One message in flight; `acknowledged` is called when its last operation has come back.

    ``series`` is the first part of its operation ids and its user id too. ``watched`` is the member whose operations
    it times when it sees them.
    """

    def __init__(self, failed: asyncio.Future[None], room: Room, series: str, tally: Tally) -> None:
        super().__init__(failed)
        self.room = room
        self.series = series
        self.tally = tally
        self.watched: Member | None = None
        self.unseen: dict[int, float] = {}
        self.counter = 0
        self.version = 0
        self.sequence = 0
        self.in_flight = False
        self._since = 0.0

    async def enter(self, url: str, token: str) -> None:
        """Connects and opens the document."""
        await self.connect(url, token)
        snapshot = await self.join(self.room.file_id)
        self.version, self.sequence = snapshot.snapshot_version, snapshot.snapshot_sequence_id

    def sends(self, frame: bytes, counter: int, since: float) -> None:
        """Sends a message whose last operation is number ``counter``; its latency counts from ``since``."""
        self.counter = counter
        self.in_flight = True
        self._since = since
        self.unseen[counter] = since
        self.transport.send(_TEXT, frame)

    def acknowledged(self, now: float) -> None:
        """The message that was in flight is on disk."""

    def committed(self, raw: bytes) -> None:
        frame = self.room.frame(raw)
        if frame.previous != self.sequence:
            self.fail(f"a gap: at sequence {self.sequence}, then came what follows {frame.previous}")
        self.sequence = frame.sequence
        self.version = frame.version
        now = perf_counter()
        counters = frame.counters
        watched = self.watched
        if watched is not None and watched.series in counters:
            self.tally.seen.append(now - watched.unseen.pop(counters[watched.series]))
        if self.series in counters:
            if counters[self.series] != self.counter or not self.in_flight:
                self.fail(f"{self.series}:{counters[self.series]} came back, not {self.counter}")
            self.in_flight = False
            self.tally.acks.append(now - self._since)
            self.acknowledged(now)


class Typist(Member):
    """Inserts single characters at random places. Everybody in the room does only that, so the version is the length
    of the text."""

    def __init__(self, failed: asyncio.Future[None], room: Room, series: str, tally: Tally) -> None:
        super().__init__(failed, room, series, tally)
        self._random = Random(f"{SEED} {series}").random
        self._message = (
            f'{{"type":"operation","fileId":"{room.file_id}","operationId":"{series}:%d","userId":"{series}",'
            '"baseVersion":%d,"operationType":"insert","position":%d,"payload":"x"}'
        ).encode()

    def type(self, since: float) -> None:
        """Sends one keystroke."""
        counter, version = self.counter + 1, self.version
        position = int(self._random() * (version + 1))
        self.sends(self._message % (counter, version, position), counter, since)


async def drain(members: Sequence[Member]) -> None:
    """Returns when nothing is in flight any more. Raises BenchError."""
    await until(lambda: not any(member.in_flight for member in members), "the last acknowledgements")
