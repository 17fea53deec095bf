"""The contract of `Bus`. Subclass with a fixture `buses` that gives two that can hear each other."""

from __future__ import annotations

import asyncio

import pytest

from coscribe.cluster.ports import Bus, BusUnavailable

Buses = tuple[Bus, Bus]
PATIENCE = 20.0
"""Seconds after which a test gives up waiting."""


class Heard(list[bytes]):
    """What came in on a subject."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def take(self, message: bytes) -> None:
        self.append(message)
        self._more.set()

    async def has(self, count: int) -> list[bytes]:
        """Returns when there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self) < count:
                self._more.clear()
                await self._more.wait()
        return list(self)


async def heard_on(bus: Bus, subject: str) -> Heard:
    heard = Heard()
    await bus.subscribe(subject, heard.take)
    return heard


class BusContract:
    async def test_who_subscribes_hears_what_is_sent(self, buses: Buses) -> None:
        one, two = buses
        assert one.connected and two.connected
        heard = await heard_on(two, "a.b")
        one.send("a.b", b"hello")
        assert await heard.has(1) == [b"hello"]

    async def test_everybody_who_subscribes_hears_it_the_sender_too(self, buses: Buses) -> None:
        one, two = buses
        all_heard = [await heard_on(bus, "a") for bus in (one, two, two)]
        one.send("a", b"x")
        for heard in all_heard:
            assert await heard.has(1) == [b"x"]

    async def test_other_subjects_are_not_heard(self, buses: Buses) -> None:
        one, two = buses
        heard, other = await heard_on(two, "a"), await heard_on(two, "ab")
        for subject in ("b", "a.b", "ab", "a"):
            one.send(subject, subject.encode())
        assert await heard.has(1) == [b"a"]
        assert await other.has(1) == [b"ab"]

    async def test_those_of_one_sender_come_in_order(self, buses: Buses) -> None:
        one, two = buses
        heard = await heard_on(two, "a")
        sent = [b"%d" % number for number in range(1_000)]
        for message in sent:
            one.send("a", message)
        assert await heard.has(1_000) == sent

    async def test_any_bytes_up_to_the_largest_come_as_they_were(self, buses: Buses) -> None:
        one, two = buses
        heard = await heard_on(two, "a")
        sent = [b"", bytes(range(256)), b"\r\n+OK\r\nMSG a 1 3\r\n", b"\xff" * one.largest]
        for message in sent:
            one.send("a", message)
        assert await heard.has(len(sent)) == sent

    async def test_what_is_too_large_is_a_mistake_of_the_sender(self, buses: Buses) -> None:
        one, two = buses
        heard = await heard_on(two, "a")
        with pytest.raises(ValueError, match="at most"):
            one.send("a", b"x" * (one.largest + 1))
        one.send("a", b"small")
        assert await heard.has(1) == [b"small"]

    async def test_one_that_is_closed_takes_nothing_more(self, buses: Buses) -> None:
        one, two = buses
        heard, own = await heard_on(two, "a"), await heard_on(one, "a")
        await one.close()
        assert not one.connected
        with pytest.raises(BusUnavailable):
            one.send("a", b"x")
        two.send("a", b"y")
        assert await heard.has(1) == [b"y"]
        assert own == []
