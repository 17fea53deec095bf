"""Clients that are slow on purpose, bombs, and floods of edits: what each of them gets."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from coscribe.client import Client
from coscribe.documents.budget import AccountBuckets, Bucket, Budgets
from coscribe.gateway import door as door_module
from coscribe.gateway import fast, patience
from coscribe.gateway.auth import make_token
from coscribe.gateway.connection import Connection
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.memory import MemoryStorage
from tests.api.town import open_town
from tests.contracts.conversations import SECRET, RecordingTransport, Server
from tests.gateway.site import PATIENCE, Site, live, metric, open_site, token

SHED = "coscribe_connections_shed_total"
UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(autouse=True)
def brief_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at all connections twenty times a second; who is closed has a moment to read the rest."""
    monkeypatch.setattr(door_module, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(patience, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(fast, "CLOSE_SECONDS", 0.3)


@pytest.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """With the limits that the test is about, and no other short ones."""
    async with open_site(tmp_path, getattr(request, "param", GatewayLimits())) as site:
        yield site


def limited(**limits: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", [GatewayLimits(**limits)], indirect=True, ids=[""])  # type: ignore[arg-type]  # whole numbers stay whole


# ---- slowly, byte by byte


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", UPGRADE + "X-Slow: "])
@limited(head_seconds=0.3)
async def test_a_head_that_trickles_is_closed(site: Site, start: str) -> None:
    """Of a request or of an upgrade; and so is a connection that sends nothing at all."""
    before = metric(SHED, why="head")
    reader, writer = await site.raw()
    writer.write(start.encode())
    answer = await _trickled(reader, writer, b"x" if start else b"")
    assert answer.startswith(b"HTTP/1.1 408")
    assert metric(SHED, why="head") == before + 1
    await _serves(site)


@pytest.mark.slow
@limited(head_seconds=0.3)
async def test_a_second_head_that_trickles_is_closed(site: Site) -> None:
    reader, writer = await site.raw()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nX-Slow: ")
    answer = await _trickled(reader, writer, b"x")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


@pytest.mark.slow
@limited(head_bytes=4_096)
async def test_a_head_without_end_is_refused(site: Site) -> None:
    reader, writer = await site.raw()
    writer.write(b"GET /healthz HTTP/1.1\r\n" + b"X-Long: yes\r\n" * 1_000)
    assert (await reader.read()).startswith(b"HTTP/1.1 431")
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["Content-Length: 500000", "Transfer-Encoding: chunked"])
@limited(http_seconds=0.3)
async def test_a_body_that_trickles_is_closed(site: Site, framing: str) -> None:
    before = metric(SHED, why="body")
    reader, writer = await site.raw()
    head = f"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    writer.write(head.encode())
    answer = await _trickled(reader, writer, b"1\r\nx\r\n" if "chunked" in framing else b"x")
    assert b"HTTP/1.1 408" in answer
    assert metric(SHED, why="body") == before + 1


@pytest.mark.slow
@limited(http_seconds=0.1)
async def test_an_answer_that_nobody_reads_is_cut_off(site: Site) -> None:
    before = metric(SHED, why="answer")
    await _long_text(site)
    reader, writer = await _asked(site)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await _until(lambda: metric(SHED, why="answer") == before + 1)
    writer.close()


@pytest.mark.slow
async def test_an_answer_that_is_read_without_haste_comes_whole(tmp_path: Path) -> None:
    """Longer than connections are kept after an answer, and than closing may take; faster than the rate."""
    async with open_site(tmp_path, GatewayLimits(http_seconds=0.3), keep_alive_seconds=0) as site:
        await _long_text(site)
        reader, writer = await _asked(site)
        got = 0
        while piece := await reader.read(100_000):
            got += len(piece)
            await asyncio.sleep(0.02)  # 5 MB a second at most: the pace is what is tested
        assert got > 10_800_000
        writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("said_hello", [False, True])
@limited(silent_seconds=0.5, idle_seconds=0.2)
async def test_a_frame_that_trickles_is_closed(site: Site, said_hello: bool) -> None:
    """A frame of 1 MB, a byte at a time: no whole message ever comes, and no pong can come in between."""
    reader, writer = await _upgraded(site)
    if said_hello:
        writer.write(_frame(json.dumps({"type": "hello", "protocol": [1], "token": token("ann")}).encode()))
        assert b"welcome" in await reader.read(10_000)
    writer.write(bytes([0x81, 0xFF]) + struct.pack(">Q", 1_000_000) + bytes(4))
    await _trickled(reader, writer, b"x")
    await _until(lambda: not site.coscribe.gateway._connections)


@pytest.mark.slow
@limited(message_seconds=0.5)
async def test_fragments_that_trickle_are_closed(site: Site) -> None:
    """Small fragments without a last one, with a pong in between each: the connection is alive, the message is not."""
    before = metric(SHED, why="message")
    reader, writer = await _upgraded(site)
    writer.write(_frame(json.dumps({"type": "hello", "protocol": [1], "token": token("ann")}).encode()))
    assert b"welcome" in await reader.read(10_000)
    writer.write(_frame(b'{"type":', first=0x01))
    await _trickled(reader, writer, _frame(b" ", first=0x00) + _frame(b"", first=0x8A))
    await _until(lambda: metric(SHED, why="message") == before + 1)


@pytest.mark.slow
async def test_one_who_is_closed_and_does_not_read_goes_with_all_that_waits_for_him(tmp_path: Path) -> None:
    """Closing waits for the peer to take what was sent before; one who takes nothing is cut off."""
    limits = GatewayLimits(buffer_bytes=4_000_000)
    async with open_site(tmp_path, limits) as site, Client(f"ws://{site.address}/ws", token("ann")) as ann:
        await ann.open("notes")
        await _long_text(site)
        reader, writer = await asyncio.open_connection(site.host, site.port, limit=1_024)
        writer.write((UPGRADE + "\r\n").encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.write(_frame(json.dumps({"type": "hello", "protocol": [1], "token": token("bob")}).encode()))
        writer.write(_frame(b'{"type":"join","fileId":"notes"}'))
        gateway = site.coscribe.gateway
        await _until(lambda: len(gateway._connections) == 2)
        await _until(lambda: len(gateway._connections) == 1)  # too slow for one snapshot, closed, and cut off
        assert ann.connects == 1
        writer.close()


# ---- bombs


@pytest.mark.slow
async def test_compression_is_not_negotiated(site: Site) -> None:
    async with site.connect(compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        await live(socket, "ann", "notes")


@pytest.mark.slow
async def test_a_frame_that_says_it_is_compressed_is_not_inflated(site: Site) -> None:
    reader, writer = await _upgraded(site)
    writer.write(_frame(gzip.compress(b" " * 1_000_000), first=0xC1))
    answer = await reader.read(10_000)
    assert b"malformed_json" in answer
    writer.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
async def test_a_compressed_body_is_refused(tmp_path: Path, encoding: str) -> None:
    async with open_town(tmp_path) as town:
        document = await town.ada.document(text="before")
        headers = {"Content-Encoding": encoding, "Content-Type": "text/plain", "If-Match": '"v1"'}
        body = gzip.compress(b"x" * 10_000_000) if encoding == "gzip" else b"looks like a text"
        await town.ada.refused(
            "PUT", f"/documents/{document}/content", "unsupported_media_type", headers=headers, content=body
        )
        assert (await town.ada.get(f"/documents/{document}/content"))["text"] == "before"
        plain = {**headers, "Content-Encoding": "identity"}
        await town.ada.done("PUT", f"/documents/{document}/content", 200, headers=plain, content=b"after")


def _bombs() -> dict[str, bytes]:
    deep, digits = 100_000, "9" * 1_000_000
    opened = '{"a":' * deep + "1" + "}" * deep
    operation = (
        '{"type":"operation","fileId":"notes","operationId":"a:1","userId":"ann","baseVersion":0,"operationType":'
    )
    ones = "1," * 500_000
    edits = ",".join(['[0,0,"x"]'] * 200_000)
    return {
        "nested lists": b"[" * deep + b"]" * deep,
        "nested objects": opened.encode(),
        "nested in a field nobody knows": f'{{"type":"ping","nonce":1,"more":{opened}}}'.encode(),
        "nested in the payload": f'{operation}"insert","position":0,"payload":{opened}}}'.encode(),
        "a batch in a batch": f'{operation}"batch","position":0,"payload":{"[" * deep}{"]" * deep}}}'.encode(),
        "a batch of very many": f'{operation}"batch","position":0,"payload":[{edits}]}}'.encode(),
        "a position with a million digits": f'{operation}"insert","position":{digits},"payload":"x"}}'.encode(),
        "a count with a million digits": f'{operation}"delete","position":0,"payload":{digits}}}'.encode(),
        "a negative exponent": f'{operation}"delete","position":1e-{digits},"payload":1}}'.encode(),
        "a huge exponent": f'{operation}"delete","position":1e{digits},"payload":1}}'.encode(),
        "a number in a field nobody knows": f'{{"type":"ping","nonce":1,"more":{digits}}}'.encode(),
        "restores without end": f'{operation}"insert","position":0,"payload":"x","restores":[{ones}1]}}'.encode(),
    }


@pytest.mark.parametrize("kind", list(_bombs()))
async def test_a_bomb_is_refused_and_the_connection_goes_on(kind: str) -> None:
    server = Server(MemoryStorage())
    ann = await Peer.live(server, "ann")
    answers = await ann.send(_bombs()[kind])
    codes = [answer.get("code") for answer in answers if answer["type"] != "pong"]
    assert not codes or set(codes) <= {
        "malformed_json",
        "invalid_message",
        "invalid_payload",
        "operation_too_large",
        "position_out_of_range",
    }, answers
    assert server.collaboration.router.sessions["notes"].last_sequence == 0
    assert [answer["type"] for answer in await ann.send(ann.edit("a:2"))] == ["committed"]


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"name":' + b"9" * 1_000_000 + b"}", b'{"a":' * 100_000])
async def test_a_bomb_in_a_request_is_refused(tmp_path: Path, body: bytes) -> None:
    async with open_town(tmp_path) as town:
        answer = await town.ada.ask(
            "POST", "/documents", content=body[:900_000] + body[900_000:], headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 413, 422), answer.text[:200]
        await town.ada.document("goes on")


# ---- floods of edits


async def test_an_account_has_one_budget_over_all_its_connections() -> None:
    before = metric("coscribe_over_budget_total", of="account")
    server = Server(MemoryStorage(), budgets=Budgets(account_rate=1.0, account_burst=3.0))
    one, two = await Peer.live(server, "ann"), await Peer.live(server, "ann")
    other = await Peer.live(server, "bob")
    kinds = [(await peer.send(peer.edit(f"a:{n}")))[0] for n, peer in enumerate((one, two, one, two, one))]
    assert [answer["type"] for answer in kinds] == ["committed"] * 3 + ["error"] * 2
    assert {(answer["code"], answer["retry"]) for answer in kinds[3:]} == {("rate_limited", "same")}
    assert (await other.send(other.edit("b:1")))[0]["type"] == "committed", "others have budgets of their own"
    server.time += 1.0
    assert (await two.send(two.edit("a:3")))[0]["type"] == "committed", "the same message, a little later"
    assert metric("coscribe_over_budget_total", of="account") == before + 2


async def test_a_document_has_one_budget_over_all_accounts() -> None:
    server = Server(MemoryStorage(), budgets=Budgets(document_rate=1.0, document_burst=3.0))
    people = [await Peer.live(server, name) for name in ("ann", "bob", "cat", "dan")]
    elsewhere = await Peer.live(server, "eve", "other")
    answers = [(await person.send(person.edit(f"{person.name}:1")))[0] for person in people]
    assert [answer["type"] for answer in answers] == ["committed"] * 3 + ["error"]
    assert answers[3]["code"] == "rate_limited"
    assert (await elsewhere.send(elsewhere.edit("eve:1")))[0]["type"] == "committed", "another document"
    assert server.collaboration.router.sessions["notes"].last_sequence == 3


async def test_what_was_committed_is_acknowledged_again_over_every_budget() -> None:
    server = Server(MemoryStorage(), budgets=Budgets(account_rate=0.001, account_burst=1.0))
    ann = await Peer.live(server, "ann")
    edit = ann.edit("a:1")
    assert (await ann.send(edit))[0]["type"] == "committed"
    (refused,) = await ann.send(ann.edit("a:2"))
    assert refused["code"] == "rate_limited"
    (again,) = await ann.send(edit)
    assert (again["type"], again["operations"][0]["serverSequenceId"]) == ("ack", 1)


async def test_requests_count_in_the_budget_of_a_document(tmp_path: Path) -> None:
    async with open_town(tmp_path, budgets=Budgets(document_rate=0.001, document_burst=2.0)) as town:
        document = await town.ada.document()
        for number in range(2):
            await town.ada.post(f"/documents/{document}/operations", _insertion(number))
        answer = await town.ada.refused("POST", f"/documents/{document}/operations", "rate_limited", json=_insertion(2))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        again = await town.ada.post(f"/documents/{document}/operations", _insertion(1))
        assert again["operations"][0]["serverSequenceId"] == 2


@pytest.mark.slow
async def test_clients_over_budget_lose_nothing(tmp_path: Path) -> None:
    """Eight people type four times as fast as their document allows: all of it arrives, once."""
    budgets = Budgets(document_rate=60.0, document_burst=5.0)
    async with open_site(tmp_path, GatewayLimits(), budgets=budgets) as site, AsyncExitStack() as stack:
        before = metric("coscribe_over_budget_total", of="document")
        documents = []
        for number in range(8):
            client = await stack.enter_async_context(Client(f"ws://{site.address}/ws", token(f"user-{number}")))
            documents.append(await client.open("notes"))
        for turn in range(12):
            for number, document in enumerate(documents):
                document.insert(0, f"{number}:{turn};")
            await asyncio.gather(*(document.synced() for document in documents))
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(document.reached(documents[0].version) for document in documents))
        typed = sorted(documents[0].text.split(";")[:-1])
        assert typed == sorted(f"{number}:{turn}" for number in range(8) for turn in range(12))
        assert not any(document.patches for document in documents)
        assert metric("coscribe_over_budget_total", of="document") > before


async def test_who_asks_too_much_waits_and_others_do_not() -> None:
    """What is no edit is not refused but slowed down; a checksum of a long text counts for more."""
    before = metric("coscribe_over_budget_total", of="asks")
    server = Server(MemoryStorage(), gateway_limits=GatewayLimits(ask_rate=1.0, ask_burst=20.0, inbox_messages=8))
    ann, bob = await Peer.live(server, "ann"), await Peer.live(server, "bob")
    await bob.send({**bob.edit("b:1"), "payload": "x" * 900_000})
    ask = json.dumps({"type": "getChecksum", "fileId": "notes"}).encode()
    for _ in range(3):
        ann.connection.receive(ask)
    kinds = [json.loads(frame)["type"] for frame in ann.transport.frames]
    await asyncio.sleep(0)
    assert ann.connection._busy is not None, "the second or third waits"
    assert metric("coscribe_over_budget_total", of="asks") > before
    assert (await bob_says(bob, {"type": "ping", "nonce": 1}))["type"] == "pong"
    server.time += 60.0
    async with asyncio.timeout(PATIENCE):
        while kinds.count("checksum") < 2:
            kinds = [json.loads(frame)["type"] for frame in ann.transport.frames]
            await asyncio.sleep(0.01)
    for _ in range(30):
        ann.connection.receive(ask)
    assert ann.transport.closed == (1008, "inbox_full"), "one who goes on all the same"


async def bob_says(bob: Peer, message: dict[str, Any]) -> dict[str, Any]:
    """The last answer, without waiting for anybody else."""
    bob.connection.receive(json.dumps(message).encode())
    answer: dict[str, Any] = json.loads(bob.transport.frames[-1])
    return answer


def test_a_bucket_refills_with_time_and_never_beyond_its_burst() -> None:
    bucket = Bucket(rate=2.0, burst=3.0, now=0.0)
    taken = []
    for now in (0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.5, 100.0, 100.0, 100.0, 100.0):
        taken.append(bucket.has_some(now))
        if taken[-1]:
            bucket.take()
    assert taken == [True, True, True, False, False, True, False, True, True, True, False]


def test_the_table_of_accounts_is_bounded() -> None:
    buckets = AccountBuckets(Budgets(accounts=100))
    first = buckets.of("account-0", 0.0)
    for number in range(10_000):
        buckets.of(f"account-{number}", 0.0)
        assert buckets.of("account-0", 0.0) is first, "what is in use is not forgotten"
    assert len(buckets._buckets) == 100
    assert metric("coscribe_budget_keys") == 100


# ---- helpers


class Peer:
    """Somebody with one file open, without a network in between."""

    def __init__(self, server: Server, name: str, file_id: str) -> None:
        self.server = server
        self.name = name
        self.file_id = file_id
        self.transport = RecordingTransport()
        self.connection: Connection = server.connect(self.transport)

    @classmethod
    async def live(cls, server: Server, name: str, file_id: str = "notes") -> Peer:
        peer = cls(server, name, file_id)
        await peer.send({"type": "hello", "protocol": [1], "token": make_token(SECRET, name, "editor", 3_600)})
        (snapshot, *_) = await peer.send({"type": "join", "fileId": file_id})
        at = snapshot["snapshotSequenceId"]
        await peer.send({"type": "snapshotApplied", "fileId": file_id, "snapshotSequenceId": at})
        return peer

    def edit(self, operation_id: str) -> dict[str, Any]:
        return {
            "type": "operation",
            "fileId": self.file_id,
            "operationId": operation_id,
            "userId": self.name,
            "baseVersion": 0,
            "operationType": "insert",
            "position": 0,
            "payload": "x",
        }

    async def send(self, message: dict[str, Any] | bytes) -> list[dict[str, Any]]:
        """What comes back, but for who comes and goes."""
        before = len(self.transport.frames)
        self.connection.receive(message if isinstance(message, bytes) else json.dumps(message).encode())
        await self.server.settle()
        answers = [json.loads(frame) for frame in self.transport.frames[before:]]
        return [answer for answer in answers if answer["type"] not in ("presence", "left")]


def _insertion(number: int) -> dict[str, Any]:
    operation = {"operationId": f"r:{number}", "operationType": "insert", "position": 0, "payload": "x"}
    return {"baseVersion": 0, "operations": [operation]}


def _frame(payload: bytes, *, first: int = 0x81) -> bytes:
    """A masked frame; the mask is zero."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size)
    if size >= 65_536:
        length = bytes([0xFF]) + struct.pack(">Q", size)
    return bytes([first]) + length + bytes(4) + payload


async def _long_text(site: Site) -> None:
    """10.8 MB, more than the buffers of a connection hold."""
    async with Client(f"ws://{site.address}/ws", token("ann")) as ann:
        notes = await ann.open("notes")
        for _ in range(12):
            notes.insert(0, "x" * 900_000)
            await notes.synced()


async def _asked(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request for that text by one who takes in little at a time."""
    reader, writer = await asyncio.open_connection(site.host, site.port, limit=1_024)
    head = "GET /api/documents/notes/content HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n"
    writer.write(f"{head}Authorization: Bearer {token('ann')}\r\n\r\n".encode())
    return reader, writer


async def _upgraded(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await site.raw()
    writer.write((UPGRADE + "\r\n").encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer


async def _trickled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes) -> bytes:
    """Sends a piece every 20 ms until the other side has closed; what came back."""
    answer = bytearray()

    async def read() -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                answer.extend(piece)

    reading = asyncio.create_task(read())
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while not reading.done():  # the pace is the attack
                writer.write(piece)
                await asyncio.sleep(0.02)
    writer.close()
    await reading
    return bytes(answer)


async def _serves(site: Site) -> None:
    reader, writer = await site.raw()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110  # nobody tells of the end of somebody else's connection
            await asyncio.sleep(0.01)
