"""Links in memory: channels between instances of one process, which can be cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from coscribe.cluster.requests import Unreachable

WINDOW = 200_000


class MemoryChannel:
    """One end. What is sent arrives with the next turn of the event loop, in order."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.closed = self.full = False
        self.on_item: Callable[[bytes], None] = lambda _: None
        self.on_close: Callable[[bytes], None] = lambda _: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_ready: Callable[[], None] = lambda: None
        self.sent_bytes = 0
        self.most_under_way = 0
        self._other: MemoryChannel | None = None
        self._credit = WINDOW
        self._held: deque[bytes] = deque()

    def send(self, item: bytes) -> None:
        if self.closed:
            return
        self._held.append(item)
        self._pour()

    def consumed(self, count: int) -> None:
        asyncio.get_running_loop().call_soon(self._peer._granted, count)

    def close(self, reason: bytes = b"") -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._peer._was_closed, reason)

    def lose(self) -> None:
        """The link is over, as far as this end knows."""
        if not self.closed:
            self.closed = True
            self.on_lost()

    def join(self, other: MemoryChannel) -> None:
        self._other, other._other = other, self

    @property
    def _peer(self) -> MemoryChannel:
        assert self._other is not None
        return self._other

    def _pour(self) -> None:
        while self._held and self._credit > 0:
            item = self._held.popleft()
            self._credit -= len(item)
            self.sent_bytes += len(item)
            self.most_under_way = max(self.most_under_way, WINDOW - self._credit)
            asyncio.get_running_loop().call_soon(self._peer._given, item)
        before, self.full = self.full, bool(self._held) or self._credit <= 0
        if before and not self.full:
            self.on_ready()

    def _granted(self, count: int) -> None:
        self._credit += count
        self._pour()

    def _given(self, item: bytes) -> None:
        if not self.closed:
            self.on_item(item)

    def _was_closed(self, reason: bytes) -> None:
        if not self.closed:
            self.closed = True
            self.on_close(reason)


class MemoryLinks:
    """``serving``: who takes the channels that are opened to an instance, by its id."""

    def __init__(self) -> None:
        self.serving: dict[str, Callable[[MemoryChannel], None]] = {}
        self.opened: list[tuple[MemoryChannel, MemoryChannel]] = []
        self.asked: list[str] = []

    async def open(self, instance_id: str, kind: str, head: bytes) -> MemoryChannel:
        assert kind == "http"
        self.asked.append(instance_id)
        serve = self.serving.get(instance_id)
        if serve is None:
            raise Unreachable(instance_id)
        here, there = MemoryChannel(head), MemoryChannel(head)
        here.join(there)
        self.opened.append((here, there))
        asyncio.get_running_loop().call_soon(serve, there)
        return here

    def cut(self) -> None:
        """Both ends lose the link, and it is not there any more."""
        self.serving.clear()
        for here, there in self.opened:
            here.lose()
            there.lose()
