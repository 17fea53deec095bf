"""Socket: what every client's connection has to do with, before it is about any file.

        connected --hello--> open --(goodbye, error that closes, peer gone)--> closed

A `Transport` carries frames; the socket neither knows nor cares which. Messages of one socket are handled one after the
other. Nearly all finish at once; one that has to wait makes the ones behind it wait in ``_inbox`` (bounded: a client
that overfills it is closed). What messages are about is for `Connection` to say, where files are in this process, and
for `Front`, where they may be in another.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, NamedTuple, Protocol

import structlog
from msgspec import UNSET

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.budget import Bucket
from coscribe.documents.ports import Authenticator, Identity, StorageError
from coscribe.gateway.gatekeeper import Gatekeeper
from coscribe.gateway.pace import Pace
from coscribe.metrics import metrics
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS

log = structlog.get_logger(__name__)

ASK_PAUSE = 0.05
"""Seconds after which it is looked whether one who asks too much may go on."""

ASK_BACK_MS = 200
"""How long one waits to join again where it would be of no use to do so at once."""

Work = Callable[[], Coroutine[Any, Any, None]]
"""The slow part of a message."""


class GatewayLimits(NamedTuple):
    """Sizes in bytes, times in seconds, rates in messages per second.

    ``ask_rate``, ``ask_burst``: of messages that are no edits; who sends more is made to wait, and what reads a whole
    text counts for more. ``message_seconds``: for all fragments of a message. ``head``, ``http``: of requests by HTTP;
    below ``http_rate`` bytes per second, looked at every ``http_seconds``, a body or who reads an answer is too slow.
    """

    message_bytes: int = 8_000_000
    hello_bytes: int = 16_384
    hello_seconds: float = 10.0
    inbox_messages: int = 256
    inbox_bytes: int = 16_000_000
    files_per_connection: int = 1_024
    in_flight_ids: int = 1_024
    rate: float = 5_000.0
    burst: float = 10_000.0
    ask_rate: float = 500.0
    ask_burst: float = 5_000.0
    buffer_bytes: int = 64_000_000
    lag_seconds: float = 30.0
    idle_seconds: float = 20.0
    silent_seconds: float = 60.0
    message_seconds: float = 60.0
    connections: int = 20_000
    connections_per_address: int = 2_000
    connections_per_account: int = 200
    unauthenticated: int = 4_000
    http_connections: int = 20_000
    http_connections_per_address: int = 4_000
    head_bytes: int = 65_536
    head_seconds: float = 10.0
    http_seconds: float = 20.0
    http_rate: float = 2_000.0


class Transport(Protocol):
    """What carries frames. ``send`` never blocks; ``buffered`` says how many bytes still wait."""

    def send(self, frame: bytes) -> None: ...

    def ping(self) -> None: ...

    def buffered(self) -> int: ...

    def close(self, code: int, reason: str) -> None: ...


class SocketContext(Protocol):
    """What all sockets of a gateway share.

    ``now`` gives monotonic seconds, ``clock`` seconds since 1970; ``connection_id`` makes a fresh id. ``pace``: of
    those who are asked to come back. ``generation`` is another number whenever rights may have changed.
    ``file_limits``: what a client is told of them.
    """

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def limits(self) -> GatewayLimits: ...

    @property
    def now(self) -> Callable[[], float]: ...

    @property
    def clock(self) -> Callable[[], float]: ...

    @property
    def connection_id(self) -> Callable[[], str]: ...

    @property
    def server(self) -> str: ...

    @property
    def pace(self) -> Pace: ...

    @property
    def generation(self) -> int: ...

    @property
    def file_limits(self) -> Limits: ...


class Socket(ABC):
    """One client. The shell calls `receive`, `pause`, `resume` and `lost`; everything else follows."""

    __slots__ = (
        "_asks",
        "_busy",
        "_gatekeeper",
        "_inbox",
        "_inbox_bytes",
        "account",
        "address",
        "began_at",
        "closed",
        "connection_id",
        "context",
        "expires_at",
        "heard_at",
        "identity",
        "opened_at",
        "paused",
        "pinged",
        "protocol",
        "transport",
    )

    def __init__(
        self, context: SocketContext, transport: Transport, gatekeeper: Gatekeeper, address: str, asks: Bucket
    ) -> None:
        self.context = context
        self.transport = transport
        self.address = address
        self.account = ""
        self._gatekeeper = gatekeeper
        self.connection_id = context.connection_id()
        self.identity: Identity | None = None
        self.paused = False
        self.closed = False
        self.pinged = False
        self.protocol = min(PROTOCOL_VERSIONS)
        self.opened_at = self.heard_at = context.now()
        self.expires_at = self.began_at = inf
        self._inbox: deque[bytes] | None = None
        self._inbox_bytes = 0
        self._busy: asyncio.Task[None] | None = None
        self._asks = asks

    # ---- from the shell

    def receive(self, raw: bytes) -> None:
        """One text frame."""
        if self.closed:
            return
        self.heard_at = self.context.now()
        self.began_at = inf
        self.pinged = False
        limits = self.context.limits
        if len(raw) > (limits.message_bytes if self.identity else limits.hello_bytes):
            self._refuse(CoscribeError(Code.MESSAGE_TOO_LARGE, f"{len(raw)} bytes"))
        elif self._busy is None:
            self._handle(raw)
        else:
            if self._inbox is None:
                self._inbox = deque()
            self._inbox.append(raw)
            self._inbox_bytes += len(raw)
            if len(self._inbox) > limits.inbox_messages or self._inbox_bytes > limits.inbox_bytes:
                self._refuse(CoscribeError(Code.INBOX_FULL, f"{len(self._inbox)} messages wait"))

    def begin(self) -> None:
        """The first part of a message is there; `receive` gets the whole. One that takes too long closes."""
        self.began_at = self.context.now()

    def receive_binary(self) -> None:
        """A binary frame, which the protocol has no use for."""
        self._refuse(CoscribeError(Code.BINARY_FRAME))

    @abstractmethod
    def pause(self) -> None:
        """The transport's buffer is full."""

    @abstractmethod
    def resume(self) -> None:
        """The transport's buffer has drained."""

    def lost(self) -> None:
        """The transport is gone."""
        if not self.closed:
            self.closed = True
            self._let_go()

    def check(self, now: float) -> None:
        """Called every few seconds: timeouts and liveness."""
        limits = self.context.limits
        if self.identity is None and self._busy is None and now - self.opened_at > limits.hello_seconds:
            metrics.shed.labels("hello").inc()
            self._refuse(CoscribeError(Code.HELLO_TIMEOUT))
        elif self.context.clock() >= self.expires_at:
            self._refuse(CoscribeError(Code.SESSION_ENDED, "it has expired"))
        elif now - self.heard_at > limits.silent_seconds:
            self.close(1001, "silent")
        elif now - self.began_at > limits.message_seconds:
            metrics.shed.labels("message").inc()
            self.close(1008, "a message took too long")
        elif self._lags(now):
            self.too_slow()
        elif now - self.heard_at > limits.idle_seconds and not self.pinged:
            self.pinged = True
            self.transport.ping()

    def _lags(self, now: float) -> bool:
        """Whether it has been behind with what it is sent for too long."""
        return False

    def heard(self) -> None:
        """A pong came in."""
        self.heard_at = self.context.now()
        self.pinged = False

    def give_way(self) -> None:
        """Too many say nothing, and others need the room."""
        self._refuse(CoscribeError(Code.HELLO_TIMEOUT, "too many have said no hello"))

    def goodbye(self, retry_after: int) -> None:
        """The server is going down."""
        self.send(codec.encode(messages.Goodbye(Code.SHUTTING_DOWN.value.code, retry_after)))
        self.close(1012, "shutting_down")

    # ---- from the gateway, when rights have changed

    async def prove(self, identity: Identity, deadline: float) -> None:
        """Closes the connection unless its credential is still good. No answer by the deadline (of the event loop's
        clock) closes it too, but then it may come back."""
        try:
            async with asyncio.timeout_at(deadline):
                valid = await self.context.authenticator.is_valid(identity)
        except Exception as error:
            log.error("session_unknown", exc_info=not isinstance(error, StorageError | TimeoutError), error=str(error))
            unknown = CoscribeError(Code.STORAGE_UNAVAILABLE, "the session cannot be looked up now")
            self._refuse(unknown)
            self.close(1013, unknown.code.value.code)
            return
        if not valid:
            self._refuse(CoscribeError(Code.SESSION_ENDED))

    # ---- towards the client

    def send(self, frame: bytes) -> None:
        """A frame that must not be dropped. A client that lets too many of them pile up is closed."""
        if self.closed:
            return
        self.transport.send(frame)
        if self.paused and self.transport.buffered() > self.context.limits.buffer_bytes:
            self.too_slow()

    def ask_back(self, file_id: str, error: CoscribeError) -> None:
        """Says that a file has to be joined again, and when."""
        reason, after = error.code.value.code, self.context.pace.after()
        if error.code in _NOT_AT_ONCE:
            after += ASK_BACK_MS
        self.send(codec.encode(messages.Rejoin(file_id, reason, after if self.protocol >= 2 else UNSET)))

    def close(self, code: int, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._let_go()
            self.transport.close(code, reason)

    def too_slow(self) -> None:
        metrics.slow_consumers.inc()
        self._refuse(CoscribeError(Code.SLOW_CONSUMER))

    def _let_go(self) -> None:
        """It is closed: nothing that it has begun goes on."""
        if self._busy is not None:
            self._busy.cancel()
        self._inbox = None

    def _refuse(self, error: CoscribeError, file_id: str | None = None, operation_id: str | None = None) -> None:
        kind = error.code.value
        metrics.errors.labels(kind.code).inc()
        if not self.closed:
            self.transport.send(codec.encode(codec.error_message(error, file_id, operation_id)))
            if kind.closes:
                self.close(1009 if error.code is Code.MESSAGE_TOO_LARGE else 1008, kind.code)

    # ---- one message

    def _handle(self, raw: bytes) -> None:
        """Does what a message says, at once or, where something has to be waited for, in a task of its own."""
        if self.context.clock() >= self.expires_at:
            self._refuse(CoscribeError(Code.SESSION_ENDED, "it has expired"))
        else:
            self._handle_said(raw)

    @abstractmethod
    def _handle_said(self, raw: bytes) -> None:
        """One message, of somebody whose credential has not expired; the first one has to be a hello."""

    def _greet(self, message: object) -> None:
        """The first message. Errors: ``hello_expected``."""
        if not isinstance(message, messages.Hello):
            raise CoscribeError(Code.HELLO_EXPECTED)
        self._gatekeeper.spoke(self)
        self._later(partial(self._hello, message), None)

    def _wait_with(self, raw: bytes) -> None:
        """Too much is asked: this message and those behind it wait, at the end of which is a full inbox."""
        metrics.over_budget.labels("asks").inc()
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.appendleft(raw)
        self._inbox_bytes += len(raw)
        self._later(partial(asyncio.sleep, ASK_PAUSE), None)

    def _later(self, work: Work, file_id: str | None, operation_id: str | None = None) -> None:
        self._busy = asyncio.get_running_loop().create_task(self._finish(work, file_id, operation_id))

    async def _finish(self, work: Work, file_id: str | None, operation_id: str | None) -> None:
        """Runs the slow part of a message, then what has come in meanwhile."""
        await self._guard(work, file_id, operation_id)
        self._busy = None
        self._handle_waiting()

    async def _guard(self, work: Work, file_id: str | None, operation_id: str | None = None) -> None:
        """Whatever goes wrong with a message is told to whoever sent it, and ends nothing else."""
        try:
            await work()
        except CoscribeError as error:
            self._refuse(error, file_id, operation_id)
        except StorageError as error:
            log.error("storage_failed", error=str(error))
            self._refuse(CoscribeError(Code.STORAGE_UNAVAILABLE), file_id, operation_id)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("message_failed", file_id=file_id)
            self._refuse(CoscribeError(Code.INTERNAL), file_id, operation_id)

    def _handle_waiting(self) -> None:
        while self._inbox and self._busy is None:
            raw = self._inbox.popleft()
            self._inbox_bytes -= len(raw)
            self._handle(raw)

    async def _hello(self, message: messages.Hello) -> None:
        common = [version for version in PROTOCOL_VERSIONS if version in message.protocol]
        if not common:
            spoken = ", ".join(map(str, PROTOCOL_VERSIONS))
            raise CoscribeError(Code.UNSUPPORTED_PROTOCOL, f"this server speaks {spoken}")
        generation = self.context.generation
        identity = await self.context.authenticator.authenticate(message.token)
        await self._still_valid(identity, generation)
        if not self._gatekeeper.named(identity.account):
            error = CoscribeError(Code.TOO_MANY_REQUESTS, "too many connections of this account are open")
            self._refuse(error)
            self.close(1013, error.code.value.code)
            return
        self.account = identity.account
        self.identity = identity
        self.protocol = common[0]
        self.expires_at = identity.expires_at
        gateway, files = self.context.limits, self.context.file_limits
        limits = messages.ServerLimits(
            gateway.message_bytes,
            files.operation_length,
            files.file_length,
            files.chain_operations,
            gateway.files_per_connection,
        )
        welcome = messages.Welcome(common[0], identity.user_id, self.connection_id, limits, self.context.server)
        self.send(codec.encode(welcome))

    async def _still_valid(self, identity: Identity, generation: int) -> None:
        """Asks again as often as rights have changed since ``generation``: a credential may have ended when nobody
        could close it here. Errors: ``session_ended``."""
        while generation != self.context.generation:
            generation = self.context.generation
            if not await self.context.authenticator.is_valid(identity):
                raise CoscribeError(Code.SESSION_ENDED)


_NOT_AT_ONCE = (Code.STORAGE_UNAVAILABLE, Code.OWNER_UNAVAILABLE)
