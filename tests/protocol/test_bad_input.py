"""Clients are not believed: whatever one sends, it gets a documented code, nothing is stored, and the others go on.

Every case runs against a real connection. After it the log and the text are as before, nobody else has heard of it, and
either the connection takes a valid edit or, where the table of errors says so, it is closed and a new one takes it.
"""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code
from coscribe.gateway.auth import make_token
from coscribe.gateway.connection import Connection
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.memory import MemoryStorage
from tests.contracts.conversations import SECRET, RecordingTransport, Server

TEXT = "abc😀"
LIMITS = Limits(file_length=200, operation_length=100, chain_operations=4, rebase_steps=10)
GATEWAY = GatewayLimits(message_bytes=50_000, files_per_connection=2, in_flight_ids=8, inbox_messages=4)
FILE = "notes"
Json = dict[str, Any]


class Peer:
    """A client that sends what it likes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport = RecordingTransport()
        self.connection: Connection = server.connect(self.transport)

    async def send(self, message: Json | bytes) -> list[Json]:
        """What comes back."""
        before = len(self.transport.frames)
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.connection.receive(raw)
        return await self.since(before)

    async def since(self, before: int) -> list[Json]:
        """What has come behind the first ``before`` messages, but for who came and went."""
        await self.server.settle()
        received = [json.loads(frame) for frame in self.transport.frames[before:]]
        return [message for message in received if message["type"] not in ("presence", "left")]

    async def hello(self, user: str) -> None:
        token = make_token(SECRET, user, "editor", 3_600)
        (answer,) = await self.send({"type": "hello", "protocol": [1], "token": token})
        assert answer["type"] == "welcome"

    async def join(self, file_id: str = FILE) -> None:
        (snapshot,) = await self.send({"type": "join", "fileId": file_id})
        await self.apply(snapshot)

    async def apply(self, snapshot: Json) -> None:
        at = snapshot["snapshotSequenceId"]
        answers = await self.send({"type": "snapshotApplied", "fileId": snapshot["fileId"], "snapshotSequenceId": at})
        assert [answer["type"] for answer in answers] == ["live"]


def operation(**fields: Any) -> Json:
    whole = {"type": "operation", "fileId": FILE, "operationId": "a:1", "userId": "ann", "baseVersion": 1}
    return {**whole, "operationType": "insert", "position": 0, "payload": "x", **fields}


def element(**fields: Any) -> Json:
    return {"operationId": "a:1", "operationType": "insert", "position": 0, "payload": "x", **fields}


def chain(*elements: Json, **fields: Any) -> Json:
    whole = {"type": "chain", "fileId": FILE, "userId": "ann", "baseVersion": 1, "operations": list(elements)}
    return {**whole, **fields}


def with_payload(raw: bytes) -> bytes:
    """An operation with a payload that no JSON encoder would write."""
    return json.dumps(operation(payload="?")).encode().replace(b'"?"', raw)


class Case(NamedTuple):
    """``state``: how far the connection is: new, welcome, joining (snapshot sent) or live."""

    name: str
    state: str
    message: Json | bytes
    code: Code


def live(name: str, message: Json | bytes, code: Code) -> Case:
    return Case(name, "live", message, code)


CASES = [
    # The envelope.
    live("nothing", b"", Code.MALFORMED_JSON),
    live("no JSON", b"hello", Code.MALFORMED_JSON),
    live("half an object", b'{"type":"ping"', Code.MALFORMED_JSON),
    live("two objects", b'{"type":"ping"}{"type":"ping"}', Code.MALFORMED_JSON),
    live("a byte order mark", b'\xef\xbb\xbf{"type":"ping"}', Code.MALFORMED_JSON),
    live("NaN", b'{"type":"ping","nonce":NaN}', Code.MALFORMED_JSON),
    live("a raw NUL", with_payload(b'"a\0b"'), Code.MALFORMED_JSON),
    live("a raw line feed", with_payload(b'"a\nb"'), Code.MALFORMED_JSON),
    live("deep JSON", b'{"type":"ping","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", Code.MALFORMED_JSON),
    live("deep objects", b'{"type":"ping","x":' + b'{"a":' * 8_000 + b"0" + b"}" * 8_001, Code.MALFORMED_JSON),
    live("an array", b"[]", Code.INVALID_MESSAGE),
    live("deep arrays", b"[" * 40_000, Code.INVALID_MESSAGE),
    live("a number", b"7", Code.INVALID_MESSAGE),
    live("a string", b'"ping"', Code.INVALID_MESSAGE),
    live("null", b"null", Code.INVALID_MESSAGE),
    live("no type", {"nonce": 1}, Code.INVALID_MESSAGE),
    live("an unknown type", {"type": "shutdown"}, Code.UNKNOWN_TYPE),
    live("a type that is no string", {"type": 1}, Code.UNKNOWN_TYPE),
    live("a message of the server", {"type": "rejoin", "fileId": FILE, "reason": "x"}, Code.UNKNOWN_TYPE),
    live("a message that is too large", operation(payload="x" * 60_000), Code.MESSAGE_TOO_LARGE),
    # The session.
    Case("ping before hello", "new", {"type": "ping"}, Code.HELLO_EXPECTED),
    Case("an operation before hello", "new", operation(), Code.HELLO_EXPECTED),
    Case("no JSON before hello", "new", b"GET / HTTP/1.1", Code.MALFORMED_JSON),
    Case("a large hello", "new", {"type": "hello", "protocol": [1], "token": "x" * 17_000}, Code.MESSAGE_TOO_LARGE),
    Case("hello without a token", "new", {"type": "hello", "protocol": [1]}, Code.INVALID_MESSAGE),
    Case("hello without versions", "new", {"type": "hello", "protocol": [], "token": "x"}, Code.UNSUPPORTED_PROTOCOL),
    Case("hello of tomorrow", "new", {"type": "hello", "protocol": [2**70], "token": "x"}, Code.UNSUPPORTED_PROTOCOL),
    Case("hello of 1.0", "new", {"type": "hello", "protocol": [1.0], "token": "x"}, Code.INVALID_MESSAGE),
    live("hello twice", {"type": "hello", "protocol": [1], "token": "x"}, Code.HELLO_REPEATED),
    # Files.
    Case("an operation before join", "welcome", operation(), Code.NOT_JOINED),
    Case("a chain before join", "welcome", chain(element()), Code.NOT_JOINED),
    Case(
        "snapshotApplied before join",
        "welcome",
        {"type": "snapshotApplied", "fileId": FILE, "snapshotSequenceId": 1},
        Code.NOT_JOINED,
    ),
    Case("leave before join", "welcome", {"type": "leave", "fileId": FILE}, Code.NOT_JOINED),
    Case(
        "presence before join",
        "welcome",
        {"type": "setPresence", "fileId": FILE, "documentVersion": 1},
        Code.NOT_JOINED,
    ),
    Case("checksum before join", "welcome", {"type": "getChecksum", "fileId": FILE}, Code.NOT_JOINED),
    Case("an operation before the snapshot is applied", "joining", operation(), Code.NOT_JOINED),
    Case(
        "the wrong snapshot",
        "joining",
        {"type": "snapshotApplied", "fileId": FILE, "snapshotSequenceId": 0},
        Code.SNAPSHOT_NOT_SENT,
    ),
    Case(
        "a snapshot of the future",
        "joining",
        {"type": "snapshotApplied", "fileId": FILE, "snapshotSequenceId": 9},
        Code.SNAPSHOT_NOT_SENT,
    ),
    Case("join while joining", "joining", {"type": "join", "fileId": FILE}, Code.ALREADY_JOINED),
    live("join twice", {"type": "join", "fileId": FILE}, Code.ALREADY_JOINED),
    live(
        "snapshotApplied twice",
        {"type": "snapshotApplied", "fileId": FILE, "snapshotSequenceId": 1},
        Code.SNAPSHOT_NOT_SENT,
    ),
    live("an operation on a file that is not open", operation(fileId="other"), Code.NOT_JOINED),
    *(
        live(f"the file id {file_id!r}", {"type": "join", "fileId": file_id}, Code.INVALID_FILE_ID)
        for file_id in ("../secret", "a/b", "a\\b", ".", "..", "-rf", "a b", "a\0b", "naïve", "a\n", "C:")
    ),
    live("an empty file id", {"type": "join", "fileId": ""}, Code.INVALID_MESSAGE),
    live("a long file id", {"type": "join", "fileId": "a" * 129}, Code.INVALID_MESSAGE),
    live("too many ids in flight", {"type": "join", "fileId": "x", "inFlight": ["a:1"] * 9}, Code.INVALID_MESSAGE),
    live(
        "an id in flight with a blank", {"type": "join", "fileId": "x", "inFlight": ["a 1"]}, Code.INVALID_OPERATION_ID
    ),
    live("an id in flight with a NUL", {"type": "join", "fileId": "x", "inFlight": ["a\0"]}, Code.INVALID_OPERATION_ID),
    live(
        "a past that is no past",
        {"type": "join", "fileId": "x", "have": {"incarnation": "memory"}},
        Code.INVALID_MESSAGE,
    ),
    live(
        "a resend of another past",
        {
            "type": "resend",
            "fileId": FILE,
            "throughSequenceId": 9,
            "have": {"incarnation": "memory", "serverSequenceId": 1, "chainHash": "0" * 64},
        },
        Code.HISTORY_UNAVAILABLE,
    ),
    live(
        "a resend with a hash that is none",
        {
            "type": "resend",
            "fileId": FILE,
            "throughSequenceId": 9,
            "have": {"incarnation": "memory", "serverSequenceId": 0, "chainHash": "zz"},
        },
        Code.HISTORY_UNAVAILABLE,
    ),
    live(
        "a resend from the future",
        {
            "type": "resend",
            "fileId": FILE,
            "throughSequenceId": 9,
            "have": {"incarnation": "memory", "serverSequenceId": 2**53 - 1, "chainHash": "0" * 64},
        },
        Code.HISTORY_UNAVAILABLE,
    ),
    live(
        "a cursor before the beginning",
        {"type": "setPresence", "fileId": FILE, "documentVersion": 1, "cursor": {"anchor": -1, "head": 0}},
        Code.INVALID_MESSAGE,
    ),
    # Who and what.
    live("another's userId", operation(userId="bob"), Code.USER_MISMATCH),
    live("no userId", operation(userId=""), Code.USER_MISMATCH),
    live("another's userId on a chain", chain(element(), userId="bob"), Code.USER_MISMATCH),
    live("another's operationId", operation(operationId="setup:1"), Code.OPERATION_ID_REUSED),
    live(
        "another's operationId in a chain", chain(element(), element(operationId="setup:1")), Code.OPERATION_ID_REUSED
    ),
    live("an empty operationId", operation(operationId=""), Code.INVALID_MESSAGE),
    live("a long operationId", operation(operationId="a" * 129), Code.INVALID_MESSAGE),
    live("a blank in the operationId", operation(operationId="a 1"), Code.INVALID_OPERATION_ID),
    live("a line feed in the operationId", operation(operationId="a:1\n"), Code.INVALID_OPERATION_ID),
    live("a NUL in the operationId", operation(operationId="a\0"), Code.INVALID_OPERATION_ID),
    live("an emoji in the operationId", operation(operationId="😀"), Code.INVALID_OPERATION_ID),
    live("a number for the operationId", operation(operationId=1), Code.INVALID_MESSAGE),
    # Versions and positions.
    live("a future baseVersion", operation(baseVersion=2), Code.BASE_VERSION_FUTURE),
    live("a far future baseVersion", operation(baseVersion=2**53 - 1), Code.BASE_VERSION_FUTURE),
    live("a negative baseVersion", operation(baseVersion=-1), Code.INVALID_MESSAGE),
    live("a huge baseVersion", operation(baseVersion=10**300), Code.INVALID_MESSAGE),
    live("a fractional baseVersion", operation(baseVersion=0.5), Code.INVALID_MESSAGE),
    live("a baseVersion of 1.0", operation(baseVersion=1.0), Code.INVALID_MESSAGE),
    live("a baseVersion of true", operation(baseVersion=True), Code.INVALID_MESSAGE),
    live("a baseVersion of '1'", operation(baseVersion="1"), Code.INVALID_MESSAGE),
    live("no baseVersion", operation(baseVersion=None), Code.INVALID_MESSAGE),
    live("an insert past the end", operation(position=5), Code.POSITION_OUT_OF_RANGE),
    live("an insert past the end of the base", operation(position=1, baseVersion=0), Code.POSITION_OUT_OF_RANGE),
    live("an insert far past the end", operation(position=2**53 - 1), Code.POSITION_OUT_OF_RANGE),
    live("a delete past the end", operation(operationType="delete", position=3, payload=2), Code.POSITION_OUT_OF_RANGE),
    live("a delete far past the end", operation(operationType="delete", payload=2**53 - 1), Code.POSITION_OUT_OF_RANGE),
    live(
        "a replace past the end",
        operation(operationType="replace", payload={"delete": 9, "insert": "x"}),
        Code.POSITION_OUT_OF_RANGE,
    ),
    live(
        "a batch past the end",
        operation(operationType="batch", payload=[[0, 1, ""], [5, 0, "x"]]),
        Code.POSITION_OUT_OF_RANGE,
    ),
    live(
        "UTF-16 for code points", operation(operationType="delete", position=3, payload=2), Code.POSITION_OUT_OF_RANGE
    ),
    live("a negative position", operation(position=-1), Code.INVALID_MESSAGE),
    live("a huge position", operation(position=10**30), Code.INVALID_MESSAGE),
    live("a fractional position", operation(position=0.5), Code.INVALID_MESSAGE),
    # Texts.
    live("a CR", operation(payload="a\r\nb"), Code.INVALID_TEXT),
    live("a NUL", operation(payload="a\0b"), Code.INVALID_TEXT),
    live(
        "a CR in a replace",
        operation(operationType="replace", payload={"delete": 1, "insert": "\r"}),
        Code.INVALID_TEXT,
    ),
    live("a CR in a batch", operation(operationType="batch", payload=[[0, 0, "\r"]]), Code.INVALID_TEXT),
    live("half a surrogate pair", with_payload(b'"\\ud83d"'), Code.INVALID_TEXT),
    live("the other half", with_payload(b'"a\\ude00"'), Code.INVALID_TEXT),
    live("the halves in the wrong order", with_payload(b'"\\ude00\\ud83d"'), Code.INVALID_TEXT),
    live(
        "a surrogate pair that is split over two edits",
        json.dumps(operation(operationType="batch", payload=[[0, 0, "?"], [0, 0, "!"]]))
        .encode()
        .replace(b"?", b"\\ud83d")
        .replace(b"!", b"\\ude00"),
        Code.INVALID_TEXT,
    ),
    live("half a surrogate pair in UTF-8", with_payload(b'"\xed\xa0\xbd"'), Code.INVALID_TEXT),
    live("bytes that are no UTF-8", with_payload(b'"\xff\xfe"'), Code.INVALID_TEXT),
    # Payloads.
    live("an unknown operationType", operation(operationType="move"), Code.INVALID_MESSAGE),
    live("an insert of nothing", operation(payload=""), Code.INVALID_PAYLOAD),
    live("an insert of a number", operation(payload=1), Code.INVALID_PAYLOAD),
    live("a delete of a text", operation(operationType="delete", payload="abc"), Code.INVALID_PAYLOAD),
    live("a delete of nothing", operation(operationType="delete", payload=0), Code.INVALID_PAYLOAD),
    live("a negative delete", operation(operationType="delete", payload=-1), Code.INVALID_MESSAGE),
    live("a replace with a text", operation(operationType="replace", payload="x"), Code.INVALID_PAYLOAD),
    live(
        "a replace of nothing",
        operation(operationType="replace", payload={"delete": 0, "insert": "x"}),
        Code.INVALID_PAYLOAD,
    ),
    live("a replace without a text", operation(operationType="replace", payload={"delete": 1}), Code.INVALID_MESSAGE),
    live(
        "a batch with a position",
        operation(operationType="batch", position=1, payload=[[0, 0, "x"]]),
        Code.INVALID_PAYLOAD,
    ),
    live(
        "a batch that overlaps",
        operation(operationType="batch", payload=[[0, 2, ""], [1, 1, ""]]),
        Code.INVALID_PAYLOAD,
    ),
    live(
        "a batch that runs backwards",
        operation(operationType="batch", payload=[[2, 0, "x"], [1, 0, "y"]]),
        Code.INVALID_PAYLOAD,
    ),
    live("a batch of pairs", operation(operationType="batch", payload=[[0, 1]]), Code.INVALID_MESSAGE),
    live("a batch of objects", operation(operationType="batch", payload=[{"position": 0}]), Code.INVALID_MESSAGE),
    live("a payload of null", operation(payload=None), Code.INVALID_MESSAGE),
    live("a payload of true", operation(payload=True), Code.INVALID_MESSAGE),
    live("a payload that is deep", with_payload(b"[" * 20_000 + b"]" * 20_000), Code.INVALID_MESSAGE),
    live("restores that are no numbers", operation(restores=["a:1"]), Code.INVALID_MESSAGE),
    live("restores without end", operation(restores=[1] * 1_025), Code.INVALID_PAYLOAD),
    # Sizes.
    live("a large insert", operation(payload="x" * 101), Code.OPERATION_TOO_LARGE),
    live(
        "a large batch",
        operation(operationType="batch", payload=[[0, 0, "x" * 60], [1, 0, "y" * 60]]),
        Code.OPERATION_TOO_LARGE,
    ),
    live(
        "a chain that makes the file too large",
        chain(*(element(operationId=f"a:{n}", payload="x" * 90) for n in range(3))),
        Code.FILE_TOO_LARGE,
    ),
    # Chains.
    live("an empty chain", chain(), Code.INVALID_MESSAGE),
    live("a long chain", chain(*(element(operationId=f"a:{n}") for n in range(5))), Code.CHAIN_TOO_LONG),
    live("an id twice in a chain", chain(element(), element()), Code.CHAIN_MISMATCH),
    live("a chain with a bad id", chain(element(), element(operationId="b c")), Code.INVALID_OPERATION_ID),
    live("a chain with a bad payload", chain(element(), element(operationId="a:2", payload=3)), Code.INVALID_PAYLOAD),
    live("a chain with a bad text", chain(element(), element(operationId="a:2", payload="\0")), Code.INVALID_TEXT),
    live(
        "a chain whose last element does not fit",
        chain(element(), element(operationId="a:2", position=6)),
        Code.POSITION_OUT_OF_RANGE,
    ),
    live("a chain of the future", chain(element(), baseVersion=7), Code.BASE_VERSION_FUTURE),
    live("a chain of something else", chain(operations="abc"), Code.INVALID_MESSAGE),
]


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
async def server(storage: MemoryStorage) -> Server:
    """With a file that has a text, and nobody in it."""
    server = Server(storage, limits=LIMITS, gateway_limits=GATEWAY)
    setup = Peer(server)
    await setup.hello("setup")
    await setup.join()
    await setup.send(operation(operationId="setup:1", userId="setup", baseVersion=0, payload=TEXT))
    server.gateway.lost(setup.connection)
    return server


async def reach_state(peer: Peer, state: str) -> None:
    """From a new connection to ``state``."""
    if state in ("welcome", "joining", "live"):
        await peer.hello("ann")
    if state == "joining":
        await peer.send({"type": "join", "fileId": FILE})
    if state == "live":
        await peer.join()


async def edits(peer: Peer, state: str) -> None:
    """The peer, which is in ``state``, goes on as if nothing had been, and its edit is committed."""
    if state == "new":
        await peer.hello("ann")
    if state in ("new", "welcome"):
        await peer.join()
    if state == "joining":
        await peer.apply({"fileId": FILE, "snapshotSequenceId": 1})
    (committed,) = await peer.send(operation(payload="ok "))
    assert committed["type"] == "committed"
    assert [place["operationId"] for place in committed["operations"]] == ["a:1"]
    assert [place["serverSequenceId"] for place in committed["operations"]] == [2]


async def snapshot_of(server: Server) -> tuple[int, str]:
    """(sequence, text), as somebody gets it who joins now."""
    reader = Peer(server)
    await reader.hello("reader")
    (snapshot,) = await reader.send({"type": "join", "fileId": FILE})
    server.gateway.lost(reader.connection)
    return snapshot["snapshotSequenceId"], snapshot["content"]


async def refused(server: Server, storage: MemoryStorage, state: str, act: Callable[[Peer], None], code: Code) -> None:
    """What ``act`` makes a peer in ``state`` send is refused with ``code``, and that was all."""
    witness = Peer(server)
    await witness.hello("bob")
    await witness.join()
    peer = Peer(server)
    await reach_state(peer, state)
    log = await storage.read(1, 0, through=100, limit=100)
    heard, received = len(witness.transport.frames), len(peer.transport.frames)

    act(peer)
    answers = await peer.since(received)

    kind = code.value
    assert [answer["type"] for answer in answers] == ["error"]
    (error,) = answers
    assert {name: error[name] for name in ("code", "fault", "retry", "help")} == {
        "code": kind.code,
        "fault": kind.fault,
        "retry": kind.retry,
        "help": kind.help,
    }
    assert len(error["detail"]) < 300
    assert await storage.read(1, 0, through=100, limit=100) == log
    assert await storage.workspaces() == [FILE]
    assert await snapshot_of(server) == (1, TEXT)
    assert await witness.since(heard) == []
    if kind.closes:
        assert peer.transport.closed == (1009 if code is Code.MESSAGE_TOO_LARGE else 1008, kind.code)
        assert await peer.send({"type": "ping"}) == []
        peer, state = Peer(server), "new"
    assert peer.transport.closed is None
    await edits(peer, state)
    assert [message["type"] for message in await witness.since(heard)] == ["committed"]
    assert await snapshot_of(server) == (2, f"ok {TEXT}")
    await server.kill()


def test_there_are_enough() -> None:
    assert len(CASES) > 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input(server: Server, storage: MemoryStorage, case: Case) -> None:
    raw = case.message if isinstance(case.message, bytes) else json.dumps(case.message).encode()
    await refused(server, storage, case.state, lambda peer: peer.connection.receive(raw), case.code)


@pytest.mark.parametrize("state", ["new", "welcome", "live"])
async def test_a_binary_frame(server: Server, storage: MemoryStorage, state: str) -> None:
    await refused(server, storage, state, lambda peer: peer.connection.receive_binary(), Code.BINARY_FRAME)


async def test_more_messages_than_may_wait(server: Server, storage: MemoryStorage) -> None:
    """They come while one that asks storage is under way."""

    def flood(peer: Peer) -> None:
        peer.connection.receive(json.dumps({"type": "join", "fileId": FILE}).encode())
        for number in range(9):
            peer.connection.receive(json.dumps(operation(operationId=f"flood:{number}")).encode())

    await refused(server, storage, "welcome", flood, Code.INBOX_FULL)
    gc.collect()  # what was left half done must not complain later, in another test


async def test_too_many_files(server: Server) -> None:
    peer = Peer(server)
    await peer.hello("ann")
    await peer.join("one")
    await peer.join("two")
    (error,) = await peer.send({"type": "join", "fileId": "three"})
    assert error["code"] == "too_many_files"
    await peer.send({"type": "leave", "fileId": "one"})
    await peer.join("three")
    await server.kill()


async def test_a_file_that_is_full(server: Server) -> None:
    peer = Peer(server)
    await peer.hello("ann")
    await peer.join()
    for version, length in ((1, 100), (2, 96)):
        (answer,) = await peer.send(operation(operationId=f"a:{version}", baseVersion=version, payload="x" * length))
        assert answer["type"] == "committed"
    (error,) = await peer.send(operation(operationId="a:3", baseVersion=3))
    assert error["code"] == "file_too_large"
    swap = operation(operationId="a:3", baseVersion=3, operationType="replace", payload={"delete": 1, "insert": "y"})
    assert (await peer.send(swap))[0]["type"] == "committed"
    await server.kill()


async def test_a_base_that_is_too_old(server: Server) -> None:
    peer = Peer(server)
    await peer.hello("ann")
    await peer.join()
    for number in range(1, 12):
        await peer.send(operation(operationId=f"a:{number}", baseVersion=number))
    (error,) = await peer.send(operation(operationId="a:99", baseVersion=1))
    assert error["code"] == "base_version_too_old"
    assert (await peer.send(operation(operationId="a:99", baseVersion=2)))[0]["type"] == "committed"
    await server.kill()


# ---- tokens


def encoded(value: Any) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, claims: Any) -> str:
    """A token with a good signature over whatever it says."""
    body = f"{encoded(header)}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.digest(SECRET, body.encode(), hashlib.sha256))}"


NOW = int(time.time())
CLAIMS = {"sub": "ann", "role": "editor", "aud": "coscribe", "iat": NOW - 60, "exp": NOW + 3_600}


def without(name: str) -> str:
    return jwt.encode({key: value for key, value in CLAIMS.items() if key != name}, SECRET, "HS256")


def changed(**claims: Any) -> str:
    return signed({"alg": "HS256", "typ": "JWT"}, {**CLAIMS, **claims})


BAD_TOKENS = {
    "empty": "",
    "no token": "open sesame",
    "two parts": "a.b",
    "dots": "..",
    "not base64": "ä.ö.ü",
    "a NUL": "a\0b.c.d",
    "expired": make_token(SECRET, "ann", "editor", -10),
    "another key": make_token(b"another secret of some length, long enough", "ann", "owner", 3_600),
    "a broken signature": make_token(SECRET, "ann", "editor", 3_600)[:-4] + "AAAA",
    "no signature": make_token(SECRET, "ann", "editor", 3_600).rpartition(".")[0] + ".",
    "alg none": f"{encoded({'alg': 'none'})}.{encoded(CLAIMS)}.",
    "alg None": f"{encoded({'alg': 'None'})}.{encoded(CLAIMS)}.",
    "no alg": signed({"typ": "JWT"}, CLAIMS),
    "alg that is a list": signed({"alg": ["HS256"]}, CLAIMS),
    "another algorithm with the right key": jwt.encode(CLAIMS, SECRET * 2, "HS512"),
    "a header that is an array": signed([], CLAIMS),
    "a header that is deep": f"{encoded(b'[' * 9_000)}.{encoded(CLAIMS)}.{encoded(b'x')}",
    "claims that are an array": signed({"alg": "HS256"}, []),
    "another audience": changed(aud="another"),
    "no audience": without("aud"),
    "no sub": without("sub"),
    "no exp": without("exp"),
    "no iat": without("iat"),
    "no role": without("role"),
    "a role that there is not": changed(role="admin"),
    "a role that is a list": changed(role=["owner"]),
    "a role of null": changed(role=None),
    "an empty sub": changed(sub=""),
    "a sub that is a number": changed(sub=7),
    "a long sub": changed(sub="a" * 129),
    "a sub with a line feed": changed(sub="a\nb"),
    "an exp that is a text": changed(exp="tomorrow"),
    "issued tomorrow": changed(iat=NOW + 86_400, exp=NOW + 90_000),
    "not valid yet": changed(nbf=NOW + 86_400),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_bad_tokens(server: Server, storage: MemoryStorage, token: str) -> None:
    hello = json.dumps({"type": "hello", "protocol": [1], "token": token}).encode()
    await refused(server, storage, "new", lambda peer: peer.connection.receive(hello), Code.AUTHENTICATION_FAILED)


async def test_the_token_that_the_bad_ones_are_made_from_is_good(server: Server) -> None:
    peer = Peer(server)
    (welcome,) = await peer.send({"type": "hello", "protocol": [1], "token": changed()})
    assert (welcome["type"], welcome["userId"]) == ("welcome", "ann")
    await server.kill()
