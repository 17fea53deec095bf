"""Peer: the raw protocol over one socket, as light as it can be made in Python; and what peers of a document share.

The generator has one processor for all its clients. Every client receives every frame and looks at it, but a frame
that comes to fifty clients as the same bytes is decoded once: see `Room`.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from coscribe.bench.server import BenchError
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS

_TEXT = WSMsgType.TEXT
_COMMITTED = b'{"type":"committed"'
_MAX_FRAME_BYTES = 256_000_000
_CONNECT_SECONDS = 60.0  # the server says its address before it is ready
_KEPT_FRAMES = 16

_A = TypeVar("_A", bound=messages.Message)


class _Operation(msgspec.Struct, rename="camel", gc=False):
    operation_id: str
    server_sequence_id: int
    document_version: int


class _Committed(msgspec.Struct, rename="camel", gc=False):
    """What the generator needs of a `messages.Committed`."""

    previous_sequence_id: int
    operations: list[_Operation]


_decode = msgspec.json.Decoder(_Committed).decode


class Frame:
    """A decoded committed frame. ``counters``: by series of operation ids, the highest counter in the frame."""

    __slots__ = ("counters", "previous", "raw", "sequence", "version")

    def __init__(self, raw: bytes) -> None:
        message = _decode(raw)
        last = message.operations[-1]
        self.raw = raw
        self.previous = message.previous_sequence_id
        self.sequence = last.server_sequence_id
        self.version = last.document_version
        counters: dict[str, int] = {}
        for operation in message.operations:
            series, _, counter = operation.operation_id.rpartition(":")
            counters[series] = int(counter)
        self.counters = counters


class Room:
    """One document as the peers of this process see it: its name, and the frames that came last."""

    __slots__ = ("_frames", "file_id")

    def __init__(self, file_id: str) -> None:
        self.file_id = file_id
        self._frames: list[Frame] = []

    def frame(self, raw: bytes) -> Frame:
        """The frame of these bytes, decoded by whoever of us receives it first."""
        frames = self._frames
        for frame in frames:
            if frame.raw == raw:
                return frame
        frame = Frame(raw)
        frames.insert(0, frame)
        del frames[_KEPT_FRAMES:]
        return frame


class Peer(WSListener):
    """One connection. ``failed`` is told of everything that must not happen, by an exception.

    Outside the hot path a request waits for its answer: one at a time for a kind of message and a file.
    """

    def __init__(self, failed: asyncio.Future[None]) -> None:
        self.transport: WSTransport
        self._failed = failed
        self._waiting: dict[tuple[type[messages.Message], str], asyncio.Future[Any]] = {}
        self._closing = False

    # ---- a connection's life

    async def connect(self, url: str, token: str) -> None:
        """Returns when the server has said welcome."""
        await ws_connect(
            lambda: self, url, max_frame_size=_MAX_FRAME_BYTES, websocket_handshake_timeout=_CONNECT_SECONDS
        )
        await self.ask(messages.Hello(list(PROTOCOL_VERSIONS), token, "bench"), messages.Welcome, "")

    async def join(self, file_id: str) -> messages.Snapshot:
        """Opens a file and returns when it is live."""
        snapshot = await self.ask(messages.Join(file_id), messages.Snapshot, file_id)
        await self.ask(messages.SnapshotApplied(file_id, snapshot.snapshot_sequence_id), messages.Live, file_id)
        return snapshot

    async def submit(self, message: messages.Operation | messages.Chain) -> messages.Committed:
        """Sends an operation and returns when it is acknowledged. For a file that nobody else changes."""
        return await self.ask(message, messages.Committed, message.file_id)

    async def ask(self, message: messages.ClientMessage, answer: type[_A], file_id: str) -> _A:
        """Sends a message and waits for one of type ``answer`` about the file (empty: about none)."""
        waiting: asyncio.Future[_A] = asyncio.get_running_loop().create_future()
        self._waiting[answer, file_id] = waiting
        self.send(codec.encode(message))
        return await waiting

    def send(self, frame: bytes) -> None:
        self.transport.send(_TEXT, frame)

    def close(self) -> None:
        self._closing = True
        self.transport.disconnect()

    def fail(self, why: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(BenchError(why))

    # ---- from picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == _TEXT:
            raw = frame.get_payload_as_bytes()
            if raw.startswith(_COMMITTED):
                self.committed(raw)
            else:
                self.received(raw)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._closing:
            self.fail("the server closed a connection")

    # ---- what comes in

    def committed(self, raw: bytes) -> None:
        """A frame of operations."""
        self.received(raw)

    def received(self, raw: bytes) -> None:
        message = codec.decode_server(raw)
        if isinstance(message, messages.Error):
            self.fail(f"the server refused: {message.code} {message.detail}")
        elif isinstance(message, messages.Rejoin | messages.Goodbye):
            self.fail(f"the server let go: {message.reason}")
        else:
            waiting = self._waiting.pop((type(message), getattr(message, "file_id", "")), None)
            if waiting is not None:
                waiting.set_result(message)
