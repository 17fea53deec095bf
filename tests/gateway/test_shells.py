"""The two shells that carry connections, over real sockets: ASGI (embedded in FastAPI) and picows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from examples.embed_fastapi import make_app
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coscribe.client import Client
from coscribe.gateway.socket import GatewayLimits
from coscribe.metrics import metrics
from tests.gateway.site import heard, live, open_site, said, serving, token

pytestmark = pytest.mark.slow


@pytest.fixture(params=["picows", "asgi"])
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A server, once with each shell; small buffers, so that they fill."""
    limits = GatewayLimits(lag_seconds=1e9)
    async with open_site(tmp_path, limits, shell=request.param) as site:
        yield site.address


async def test_two_people_edit(address: str) -> None:
    async with Client(f"ws://{address}/ws", token("ann")) as ann, Client(f"ws://{address}/ws", token("bob")) as bob:
        notes, same = await ann.open("notes"), await bob.open("notes")
        notes.insert(0, "Hello 🙂")
        await notes.synced()
        await same.reached(1)
        same.insert(7, ", world")
        await same.synced()
        await notes.reached(2)
        assert notes.text == same.text == "Hello 🙂, world"


async def test_pages_of_other_origins_are_refused(address: str) -> None:
    for origin in ("http://evil.example", "null", f"http://{address}.evil.example", f"https://x@{address}/"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/ws", origin=origin)  # type: ignore[arg-type]  # any string will do
        assert refused.value.response.status_code == 403
    async with connect(f"ws://{address}/ws", origin=f"http://{address}") as socket:  # type: ignore[arg-type]  # likewise
        await live(socket, "ann", "notes")


async def test_a_token_in_the_address_is_refused(address: str) -> None:
    for query in (f"token={token('ann')}", "access_token=x", "x=cst_abc", "Token=x", f"x={token('ann')}"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/ws?{query}")
        assert refused.value.response.status_code in (400, 403)
    async with connect(f"ws://{address}/ws?from=page") as socket:
        await live(socket, "ann", "notes")


async def test_a_huge_frame_closes_with_1009(address: str) -> None:
    async with connect(f"ws://{address}/ws", max_size=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012  # either may be the one that notices
            await socket.send("x" * 100_000_000)
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_message_in_fragments_is_one_message(address: str) -> None:
    async with connect(f"ws://{address}/ws") as socket:
        hello = json.dumps({"type": "hello", "protocol": [1], "token": token("ann")})
        await socket.send([hello[:5], hello[5:40], hello[40:]])
        assert (await heard(socket, "welcome"))["userId"] == "ann"


async def test_a_binary_frame_is_refused_and_the_connection_survives(address: str) -> None:
    async with connect(f"ws://{address}/ws") as socket:
        await socket.send(b"\x00\x01")
        assert (await heard(socket, "error"))["code"] == "binary_frame"
        await live(socket, "ann", "notes")


async def test_one_who_does_not_read_costs_only_himself_and_catches_up(address: str) -> None:
    """20 MB go past a client that reads nothing; the writer is not held up, nothing piles up, and all of it arrives."""
    async with (
        connect(f"ws://{address}/ws", max_size=None, max_queue=1, compression=None) as sleeper,
        Client(f"ws://{address}/ws", token("ann")) as ann,
    ):
        await live(sleeper, "bob", "notes")
        notes = await ann.open("notes")
        for _ in range(40):
            notes.replace(0, len(notes.text), "x" * 500_000) if notes.text else notes.insert(0, "x" * 500_000)
            await notes.synced()
        assert _metric("coscribe_lagging_subscriptions") == 1
        sequence = 0
        while sequence < 40:
            message = json.loads(await sleeper.recv())
            if message["type"] == "rejoin":
                await said(sleeper, type="join", fileId="notes")
            elif message["type"] == "snapshot":
                sequence = message["snapshotSequenceId"]
                await said(sleeper, type="snapshotApplied", fileId="notes", snapshotSequenceId=sequence)
            elif message["type"] == "committed":
                assert message["previousSequenceId"] <= sequence, "a gap"
                sequence = max(sequence, message["operations"][-1]["serverSequenceId"])
        assert _metric("coscribe_lagging_subscriptions") == 0


def _metric(name: str) -> float:
    value = metrics.registry.get_sample_value(name)
    assert value is not None
    return value


async def test_the_pages_beside_the_socket(address: str) -> None:
    reader, writer = await asyncio.open_connection(*address.split(":"))
    for path, expected in (
        ("/healthz", b'"ok"'),
        ("/metrics", b"coscribe_operations_total"),
        ("/", b"<!doctype html>"),
    ):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().splitlines()
        length = next(line for line in lines if line.startswith(b"content-length"))
        assert b" 200 " in head.split(b"\r\n")[0]
        assert expected in await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    await writer.wait_closed()


async def test_the_example_of_embedding(tmp_path: Path) -> None:
    async with serving(make_app(tmp_path)) as address:
        url = f"ws://{address}/collab/ws"
        async with Client(url, "key-of-ann") as ann, Client(url, "key-of-bob") as bob:
            notes = await ann.open("notes")
            notes.insert(0, "from the host")
            await notes.synced()
            read = await bob.open("notes")
            assert (read.text, read.role) == ("from the host", "viewer")
