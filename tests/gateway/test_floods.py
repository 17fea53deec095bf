"""Floods of connections: how many there may be in all, from one address, of one account, and without a hello."""

from __future__ import annotations

import asyncio
import asyncio.selector_events
import json
import socket
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not in the stubs
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coscribe.gateway import door as door_module
from coscribe.gateway.address import Proxies, client_of, counted_key
from coscribe.gateway.auth import make_token
from coscribe.gateway.gatekeeper import Counts, Gatekeeper
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.memory import MemoryStorage
from tests.contracts.conversations import SECRET as CONVERSATION_SECRET
from tests.contracts.conversations import RecordingTransport, Server
from tests.gateway.site import PATIENCE, hello, live, metric, open_site

SHED = "coscribe_connections_shed_total"


@pytest.fixture(params=["picows", "asgi"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def brief_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks at its connections twenty times a second."""
    monkeypatch.setattr(door_module, "CHECK_INTERVAL", 0.05)


@pytest.mark.slow
async def test_beyond_so_many_in_all_a_handshake_is_refused(tmp_path: Path, shell: str) -> None:
    before = metric(SHED, why="all")
    async with open_site(tmp_path, GatewayLimits(connections=3), shell=shell) as site, AsyncExitStack() as stack:
        held = [await stack.enter_async_context(site.connect()) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            await site.connect()
        assert refused.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert refused.value.response.headers["Retry-After"] == "5"
        assert len(site.coscribe.gateway._connections) == 3, "nothing was made for the one that was refused"
        await hello(held[0], "ann")  # those who are in do not feel it
        await held[1].close()
        await _until(lambda: len(site.coscribe.gateway._connections) == 2)
        async with site.connect() as again:
            await hello(again, "bob")
    assert metric(SHED, why="all") == before + 1


@pytest.mark.slow
async def test_behind_a_proxy_addresses_are_those_of_clients(tmp_path: Path, shell: str) -> None:
    """One address is full, its neighbours are not; an IPv6 home is one address; a client cannot name itself."""
    limits = GatewayLimits(connections_per_address=2)
    async with (
        open_site(tmp_path, limits, shell=shell, proxies=("127.0.0.1",)) as site,
        AsyncExitStack() as stack,
    ):

        async def come(forwarded: str) -> int:
            try:
                await stack.enter_async_context(site.connect(additional_headers={"X-Forwarded-For": forwarded}))
            except InvalidStatus as refused:
                return refused.response.status_code
            return 101

        assert [await come("203.0.113.9") for _ in range(3)] == [101, 101, 429]
        assert await come("203.0.113.8") == 101
        assert await come("198.51.100.1, 203.0.113.9") == 429, "what a client claims stands before what the proxy saw"
        assert [await come(f"2001:db8::{n}") for n in range(3)] == [101, 101, 429]


@pytest.mark.slow
async def test_who_is_no_proxy_is_not_believed(tmp_path: Path, shell: str) -> None:
    limits = GatewayLimits(connections_per_address=1)
    async with (
        open_site(tmp_path, limits, shell=shell, proxies=("192.0.2.1",)) as site,
        AsyncExitStack() as stack,
    ):
        for _ in range(3):  # all from this machine, which is not counted, whatever they say
            headers = {"X-Forwarded-For": "203.0.113.9"}
            await stack.enter_async_context(site.connect(additional_headers=headers))


@pytest.mark.parametrize(
    "forwarded",
    ["", "203.0.113.9", "203.0.113.9:4711", "[2001:db8::1]:80", "1.2.3.4, 203.0.113.9", "203.0.113.9, 10.0.0.1", "x"],
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "192.0.2.7"])
async def test_sockets_find_the_address_that_requests_find(peer: str, forwarded: str) -> None:
    found: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        found.append(scope["client"][0])  # type: ignore[index]  # a scope is a mapping

    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}
    await ProxyHeadersMiddleware(app, ["10.0.0.1"])(scope, None, None)  # type: ignore[arg-type]  # nothing is sent
    assert found == [client_of(peer, forwarded, Proxies(["10.0.0.1"]))]


def test_what_counts_as_one_address() -> None:
    assert counted_key("127.0.0.1") == counted_key("::1") == counted_key("") == ""
    assert counted_key("2001:db8::1") == counted_key("2001:db8::ffff") != counted_key("2001:db8:0:1::1")
    assert counted_key("::ffff:203.0.113.9") == counted_key("203.0.113.9") == "203.0.113.9"


async def test_beyond_so_many_of_an_account_hello_is_refused() -> None:
    before = metric(SHED, why="account")
    server = Server(MemoryStorage(), gateway_limits=GatewayLimits(connections_per_account=2))
    first, second, third = [await _arrive(server, "ann") for _ in range(3)]
    other = await _arrive(server, "bob")
    assert [_last(t)["type"] for t in (first, second, other)] == ["welcome"] * 3
    assert (_last(third)["code"], _last(third)["retry"]) == ("too_many_requests", "same")
    assert third.closed is not None and third.closed[0] == 1013
    server.gateway.lost(server.connections[2])  # its transport ends
    server.gateway.lost(server.connections[0])
    assert _last(await _arrive(server, "ann"))["type"] == "welcome"
    assert metric(SHED, why="account") == before + 1


async def test_of_too_many_who_say_nothing_the_oldest_goes() -> None:
    before = metric(SHED, why="strangers")
    server = Server(MemoryStorage(), gateway_limits=GatewayLimits(unauthenticated=3))
    known = await _arrive(server, "ann")
    silent = [RecordingTransport() for _ in range(5)]
    for transport in silent:
        server.connect(transport)
    assert [transport.closed is not None for transport in silent] == [True, True, False, False, False]
    assert _last(silent[0])["code"] == "hello_timeout"
    assert known.closed is None
    assert metric("coscribe_connections_unauthenticated") == 3
    assert metric(SHED, why="strangers") == before + 2
    for connection in server.connections:
        server.gateway.lost(connection)
    assert metric("coscribe_connections_unauthenticated") == 0


@pytest.mark.slow
async def test_who_never_says_hello_is_closed_and_counted(tmp_path: Path, shell: str, brief_looks: None) -> None:
    before = metric(SHED, why="hello")
    async with open_site(tmp_path, GatewayLimits(hello_seconds=0.2), shell=shell) as site, site.connect() as silent:
        async with asyncio.timeout(PATIENCE):
            assert json.loads(await silent.recv())["code"] == "hello_timeout"
            with pytest.raises(ConnectionClosed):
                await silent.recv()
        await _until(lambda: not site.coscribe.gateway._connections)
    assert metric(SHED, why="hello") == before + 1


@pytest.mark.slow
async def test_who_resets_the_connection_in_the_upgrade_leaves_nothing(tmp_path: Path, brief_looks: None) -> None:
    async with open_site(tmp_path, GatewayLimits()) as site:
        gateway = site.coscribe.gateway
        for _ in range(20):
            with socket.create_connection((site.host, site.port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                rude.sendall(
                    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
        async with site.connect() as last:
            await hello(last, "ann")
            await _until(lambda: len(gateway._connections) == 1)
        await _until(lambda: gateway._gatekeeper._open == 0)
        assert gateway._checking is not None
        assert not gateway._checking.done()


@pytest.mark.slow
async def test_what_comes_before_the_loop_has_set_the_protocol_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rush of upgrades the loop reads hellos, and ends, before it comes to that; here it never does."""
    of_transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]  # private
    set_protocol = of_transport.set_protocol

    def later(transport: Any, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, WSProtocol):
            set_protocol(transport, protocol)

    monkeypatch.setattr(of_transport, "set_protocol", later)
    async with open_site(tmp_path, GatewayLimits()) as site:
        async with asyncio.timeout(PATIENCE), site.connect() as early:
            await live(early, "ann", "notes")
        await _until(lambda: not site.coscribe.gateway._connections)


async def test_an_unexpected_error_ends_no_housekeeping(brief_looks: None) -> None:
    before = metric("coscribe_housekeeping_failed_total")
    server = Server(MemoryStorage(), gateway_limits=GatewayLimits(hello_seconds=0.0))

    class Broken(RecordingTransport):
        def send(self, frame: bytes) -> None:
            raise RuntimeError("the handle is closed")

    server.connect(Broken())
    honest = RecordingTransport()
    server.connect(honest)
    server.time += 1
    server.gateway.start()
    await _until(lambda: honest.closed is not None)
    assert server.gateway._checking is not None
    assert not server.gateway._checking.done()
    await server.gateway.stop(1_000)
    assert metric("coscribe_housekeeping_failed_total") > before


async def test_one_whose_hello_is_looked_up_need_not_make_room() -> None:
    server = Server(MemoryStorage(), gateway_limits=GatewayLimits(unauthenticated=1))
    waiting = RecordingTransport()
    connection = server.connect(waiting)
    said = {"type": "hello", "protocol": [1], "token": make_token(CONVERSATION_SECRET, "ann", "editor", 3_600)}
    connection.receive(json.dumps(said).encode())
    for _ in range(2):
        server.connect(RecordingTransport())
    await server.settle()
    assert (_last(waiting)["type"], waiting.closed) == ("welcome", None)


@pytest.mark.slow
async def test_requests_by_http_are_counted_too(tmp_path: Path) -> None:
    async with open_site(tmp_path, GatewayLimits(http_connections=2)) as site:
        held = [await site.raw() for _ in range(2)]
        await _served(*held[0])
        await _served(*held[1])
        reader, writer = await site.raw()
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
        for _, each in held:
            each.close()


async def _served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def _arrive(server: Server, user: str) -> RecordingTransport:
    transport = RecordingTransport()
    connection = server.connect(transport)
    hello = {"type": "hello", "protocol": [1], "token": make_token(CONVERSATION_SECRET, user, "editor", 3_600)}
    connection.receive(json.dumps(hello).encode())
    await server.settle()
    return transport


def _last(transport: RecordingTransport) -> dict[str, str]:
    message: dict[str, str] = json.loads(transport.frames[-1])
    return message


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110  # the end of a transport is told to nobody
            await asyncio.sleep(0.01)


# ---- the tables alone


def test_counts_hold_nothing_of_who_has_gone() -> None:
    counts = Counts(2)
    for _ in range(2):
        counts.add("a")
    assert counts.is_full("a") and not counts.is_full("b") and not counts.is_full("")
    for _ in range(2):
        counts.remove("a")
    assert counts._held == {}


def test_a_flood_leaves_nothing_behind() -> None:
    class Nobody:
        def give_way(self) -> None:
            """Its transport will tell."""

    keeper = Gatekeeper(most=100, per_address=10, per_account=5, strangers=50)
    inside: list[tuple[Nobody, str]] = []
    for number in range(10_000):
        address = f"203.0.113.{number % 20}"
        if keeper.refusal(address) is None:
            stranger = Nobody()
            keeper.came(stranger, address)
            inside.append((stranger, address))
        if len(inside) > 60:
            stranger, address = inside.pop(0)
            keeper.went(stranger, address, "")
    assert len(keeper._strangers) <= 50
    while inside:
        keeper.went(*inside.pop(), "")
    assert (keeper._open, keeper._addresses._held, keeper._strangers) == (0, {}, {})
