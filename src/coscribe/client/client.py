"""Client: one connection to a server, kept up; the files opened over it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from coscribe.client.document import Document, State
from coscribe.client.pending import PendingFile
from coscribe.client.replica import Batching, Replica
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS

log = logging.getLogger(__name__)

_TEXT = WSMsgType.TEXT


class ClientSettings(NamedTuple):
    """Times in seconds. ``pending_folder``: where edits survive the process; None: they do not."""

    pending_folder: Path | None = None
    batching: Batching = Batching.COMPOSE
    chain: int = 64
    undo_depth: int = 200
    backoff: float = 0.1
    max_backoff: float = 10.0
    connect_timeout: float = 10.0
    silent_after: float = 45.0
    max_frame_bytes: int = 256_000_000


class _Listener(WSListener):
    def __init__(self, client: Client) -> None:
        self._client = client
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == _TEXT:
            self._client.received(self, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def pause_writing(self) -> None:
        """Whatever waits is bounded by one message in flight per file."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""


class Client:
    """``url`` is the server's, ``ws://host:port/ws``; ``token`` says who we are. Use as a context manager, or `start`
    and `close`. The connection is made anew, with growing pauses, until `close`."""

    def __init__(self, url: str, token: str, settings: ClientSettings | None = None) -> None:
        self._url = url
        self._token = token
        self._settings = settings or ClientSettings()
        self._documents: dict[str, Document] = {}
        self._listener: _Listener | None = None
        self._welcomed = False
        self._running: asyncio.Task[None] | None = None
        self._retry_after = 0.0
        self._refusal: CoscribeError | None = None
        self.user_id = ""
        self.connection_id = ""
        self.limits: messages.ServerLimits | None = None
        self.connects = 0

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._keep_connected())

    async def close(self) -> None:
        """Closes the connection. Pending edits stay in their files."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        self._disconnect()

    async def open(self, file_id: str) -> Document:
        """Opens a file and returns once it is live.

        Errors: those of join (`AccessEnded` with what was left pending), ``authentication_failed``, ``session_ended``.
        """
        document = self.open_offline(file_id)
        try:
            await document.live()
        except CoscribeError:
            self.forget(document)
            raise
        return document

    def open_offline(self, file_id: str) -> Document:
        """Opens a file without waiting for the server; ``document.live()`` waits."""
        present = self._documents.get(file_id)
        if present is not None and present.state is not State.ENDED:
            return present
        settings = self._settings
        replica = Replica(
            file_id,
            secrets.token_urlsafe(9),
            batching=settings.batching,
            chain=settings.chain,
            undo_depth=settings.undo_depth,
        )
        document = self._documents[file_id] = Document(self, replica)
        if self._refusal is not None:
            document.fail(self._refusal)
        elif self._welcomed:
            document.connected()
        return document

    def drop_connection(self) -> None:
        """Cuts the connection without a word, as a network would; it is made anew."""
        if self._listener is not None and self._listener.transport is not None:
            self._listener.transport.underlying_transport.abort()

    # ---- for documents

    def send(self, frame: bytes) -> None:
        if self._listener is not None and self._listener.transport is not None:
            self._listener.transport.send(_TEXT, frame)

    def pending_file(self, file_id: str) -> PendingFile | None:
        """Where this user's pending edits of the file are kept."""
        folder = self._settings.pending_folder
        return None if folder is None else PendingFile.in_folder(folder, self.user_id, file_id)

    def forget(self, document: Document) -> None:
        if self._documents.get(document.file_id) is document:
            del self._documents[document.file_id]

    def retry_later(self, action: Callable[[], None]) -> None:
        """Runs the action a little later, if this connection still stands then."""
        listener = self._listener

        def act() -> None:
            if self._listener is listener and self._welcomed:
                action()

        asyncio.get_running_loop().call_later(self._settings.backoff, act)

    # ---- for the listener

    def received(self, listener: _Listener, raw: bytes) -> None:
        if listener is not self._listener:
            return
        message = codec.decode_server(raw)
        if isinstance(message, messages.Welcome):
            self._welcome(message)
        elif isinstance(message, messages.Goodbye):
            self._retry_after = message.retry_after / 1_000
        elif not isinstance(message, messages.Pong):
            document = self._documents.get(message.file_id or "")
            if document is not None:
                document.receive(message)
            elif isinstance(message, messages.Error):
                self._refused(message)

    def _welcome(self, message: messages.Welcome) -> None:
        self._welcomed = True
        self.user_id = message.user_id
        self.connection_id = message.connection_id
        self.limits = message.limits
        self.connects += 1
        for document in tuple(self._documents.values()):
            document.connected()

    def _refused(self, message: messages.Error) -> None:
        """An error that is about no file. Before the welcome it means that this client will never get in, and if the
        session has ended, that it will not any more. What is pending stays so: it may be sent with another token."""
        log.warning("the server refused: %s: %s", message.code, message.detail)
        ended = message.code == Code.SESSION_ENDED.value.code
        if ended or (not self._welcomed and message.retry == "never"):
            code = next((code for code in Code if code.value.code == message.code), Code.INTERNAL)
            self._refusal = CoscribeError(code, message.detail)
            for document in self._documents.values():
                document.fail(self._refusal)

    async def _keep_connected(self) -> None:
        """Connects, stays, connects again: pauses double up to the maximum, with some chance in them."""
        settings = self._settings
        pause = settings.backoff
        while self._refusal is None:
            try:
                async with asyncio.timeout(settings.connect_timeout):
                    transport, listener = await ws_connect(
                        lambda: _Listener(self),
                        self._url,
                        max_frame_size=settings.max_frame_bytes,
                        enable_auto_ping=True,
                        auto_ping_idle_timeout=settings.silent_after,
                        auto_ping_reply_timeout=settings.silent_after / 2,
                    )
            except Exception as error:
                log.debug("cannot connect to %s: %s", self._url, error)
            else:
                self._listener = cast(_Listener, listener)
                self.send(codec.encode(messages.Hello(list(PROTOCOL_VERSIONS), self._token, "coscribe-python")))
                try:
                    await transport.wait_disconnected()
                except Exception:
                    log.exception("the connection to %s is given up", self._url)
                pause = settings.backoff if self._welcomed else pause
                self._disconnect()
            await asyncio.sleep(max(self._retry_after, pause * random.uniform(0.5, 1.0)))
            self._retry_after = 0.0
            pause = min(2 * pause, settings.max_backoff)

    def _disconnect(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and listener.transport is not None:
            listener.transport.disconnect()
        self._welcomed = False
        for document in tuple(self._documents.values()):
            document.disconnected()
