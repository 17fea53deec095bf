from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator

import pytest
import uvloop

from coscribe.cluster import nats_bus
from coscribe.cluster.nats_bus import NatsBus
from coscribe.cluster.ports import BusUnavailable
from tests.contracts.bus import PATIENCE, BusContract, Buses, heard_on
from tests.gateway.site import metric
from tests.servers import NatsServer

pytestmark = pytest.mark.slow  # processes of their own


class TestNatsBus(BusContract):
    @pytest.fixture
    async def buses(self, nats: str) -> AsyncIterator[Buses]:
        one, two = await NatsBus.connect(nats), await NatsBus.connect(nats)
        yield one, two
        await one.close()
        await two.close()


async def until_connected(bus: NatsBus, connected: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while bus.connected is not connected:  # noqa: ASYNC110  # a bus tells nobody
            await asyncio.sleep(0.01)


def send_much(bus: NatsBus) -> None:
    """More than the kernel takes in."""
    for _ in range(100):
        bus.send("a", b"x" * 500_000)


async def test_a_bus_that_comes_back_is_used_again_and_subscriptions_are_kept() -> None:
    with NatsServer() as server:
        one, two = await NatsBus.connect(server.url), await NatsBus.connect(server.url)
        heard = await heard_on(two, "a")
        server.kill()
        await until_connected(one, False)
        await until_connected(two, False)
        before = metric("coscribe_bus_refused_total")
        with pytest.raises(BusUnavailable):
            one.send("a", b"not taken")
        assert metric("coscribe_bus_refused_total") == before + 1
        server.start()
        await until_connected(one, True)
        await until_connected(two, True)
        one.send("a", b"there")
        assert await heard.has(1) == [b"there"]
        await one.close()
        await two.close()


async def test_a_server_that_says_nothing_any_more_is_noticed_and_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nats_bus, "MOST_WAITING", 3_000_000)
    with NatsServer() as server:
        bus = await NatsBus.connect(server.url)
        server.pause()
        try:
            with pytest.raises(BusUnavailable):
                send_much(bus)
            await until_connected(bus, False)
        finally:
            server.go_on()
        await until_connected(bus, True)
        await bus.close()


async def test_without_a_server_there_is_no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_bus, "STARTS_WITHIN", 0.3)
    with pytest.raises(BusUnavailable, match="cannot be reached"):
        await NatsBus.connect("nats://127.0.0.1:1")


def test_a_look_up_of_a_name_that_is_given_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the loop goes on with it."""
    monkeypatch.setattr(nats_bus, "STARTS_WITHIN", 0.5)
    monkeypatch.setattr(nats_bus, "CONNECT_SECONDS", 0.00001)
    troubles: list[object] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, trouble: troubles.append(trouble))
        with pytest.raises(BusUnavailable, match="cannot be reached"):
            await NatsBus.connect("nats://nowhere.invalid:4222")
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("nowhere.invalid", 4222)
        gc.collect()

    uvloop.run(work())
    assert troubles == []


async def test_who_may_connect_is_in_the_url() -> None:
    with NatsServer(options=["--user", "me", "--pass", "s p/ce"]) as server:
        place = server.url.removeprefix("nats://")
        bus = await NatsBus.connect(f"nats://me:s%20p%2Fce@{place}")
        assert bus.connected
        await bus.close()


async def test_a_token_as_well() -> None:
    with NatsServer(options=["--auth", "t0ken"]) as server:
        bus = await NatsBus.connect(server.url.replace("nats://", "nats://t0ken@"))
        assert bus.connected
        await bus.close()
