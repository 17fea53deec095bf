"""Connection: the states of one client's connection, whatever carries it.

        connected --hello--> open --(goodbye, error that closes, peer gone)--> closed

                    per file:   (nothing) --join--> snapshot sent --snapshotApplied--> live --leave--> (nothing)
                                    |                                                   ^
                                    +--join with a known past-----(tail)----------------+

A `Transport` carries frames; the connection neither knows nor cares which. Messages of one connection are handled one
after the other. Nearly all finish at once; one that has to ask storage makes the ones behind it wait in ``_inbox``
(bounded: a client that overfills it is closed).

A subscription is a position in the file's order. While the transport's buffer is full, broadcasts are not copied for
the slow one: its position stays, and when the buffer has drained it catches up from the window. One slow client costs
itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, NamedTuple, Protocol

import structlog
from msgspec import UNSET

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.budget import Bucket
from coscribe.documents.collaboration import Collaboration, Membership
from coscribe.documents.ports import Authenticator, Identity, StorageError
from coscribe.documents.session import Evidence, Missing
from coscribe.gateway.gatekeeper import Gatekeeper
from coscribe.gateway.pace import Pace
from coscribe.metrics import metrics
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS
from coscribe.tracing import Stage, Tracer

log = structlog.get_logger(__name__)


ASK_PAUSE = 0.05
"""Seconds after which it is looked whether one who asks too much may go on."""

ASK_BACK_MS = 200
"""How long one waits to join again where it would be of no use to do so at once."""

TEXT_COST = 1 / 50_000
"""What reading a code point of a text counts, in messages."""

Edit = messages.Operation | messages.Chain | messages.TreeOperation

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


class Context(NamedTuple):
    """What all connections of a gateway share.

    ``now`` is monotonic seconds, ``clock`` seconds since 1970; ``connection_id`` makes a fresh id. ``pace``: of those
    who are asked to come back. ``tracer`` None: operations are not traced.
    """

    collaboration: Collaboration
    authenticator: Authenticator
    limits: GatewayLimits
    now: Callable[[], float]
    clock: Callable[[], float]
    connection_id: Callable[[], str]
    server: str
    pace: Pace
    tracer: Tracer | None = None


class Subscription:
    """One file of one connection. ``position``: the sequence up to which everything has been handed over."""

    __slots__ = ("connection", "file_id", "held", "lagging_since", "member", "position")

    def __init__(self, connection: Connection, file_id: str) -> None:
        self.connection = connection
        self.file_id = file_id
        self.member: Membership | None = None
        self.position = 0
        self.lagging_since = 0.0
        self.held: list[bytes] | None = None

    def deliver(self, frame: bytes, position: int | None = None) -> None:
        if self.lagging_since:
            self.hold(frame)
        else:
            self.connection.send(frame)
        if position is not None:
            self.position = position

    def broadcast(self, frame: bytes, last_sequence: int) -> None:
        connection = self.connection
        if not connection.paused:
            connection.transport.send(frame)
            self.position = last_sequence
        elif not self.lagging_since:
            self.lagging_since = connection.context.now()
            metrics.lagging.inc()

    def hint(self, frame: bytes) -> None:
        if not self.connection.paused:
            self.connection.transport.send(frame)

    def evict(self, error: CoscribeError) -> None:
        self.connection.drop(self)
        if error.code.value.retry == "rejoin":
            self.connection.ask_back(self.file_id, error)
        else:
            self.connection.expel(error, self.file_id)

    def hold(self, frame: bytes) -> None:
        """Keeps a frame of its own back, behind the operations that this subscription has yet to catch up with."""
        if self.held is None:
            self.held = []
        self.held.append(frame)
        if sum(map(len, self.held)) > self.connection.context.limits.buffer_bytes:
            self.connection.too_slow()

    def caught_up(self) -> None:
        if self.lagging_since:
            self.lagging_since = 0.0
            metrics.lagging.dec()


class Connection:
    """One client. The shell calls `receive`, `pause`, `resume` and `lost`; everything else follows."""

    __slots__ = (
        "_asks",
        "_budget",
        "_busy",
        "_gatekeeper",
        "_inbox",
        "_inbox_bytes",
        "_saving",
        "_subscriptions",
        "_to_save",
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

    def __init__(self, context: Context, transport: Transport, gatekeeper: Gatekeeper, address: str) -> None:
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
        self._subscriptions: dict[str, Subscription] = {}
        self._inbox: deque[bytes] | None = None
        self._inbox_bytes = 0
        self._busy: asyncio.Task[None] | None = None
        self._to_save: dict[str | None, str] = {}
        self._saving: asyncio.Task[None] | None = None
        self._asks = Bucket(context.limits.ask_rate, context.limits.ask_burst, self.opened_at)
        self._budget = Bucket(context.limits.rate, context.limits.burst, self.opened_at)

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

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.paused = True

    def resume(self) -> None:
        """The transport's buffer has drained: whoever fell behind catches up."""
        self.paused = False
        for subscription in tuple(self._subscriptions.values()):
            if subscription.lagging_since and subscription.member is not None and not self.paused:
                self._catch_up(subscription, subscription.member)

    def _catch_up(self, subscription: Subscription, member: Membership) -> None:
        subscription.caught_up()
        held, subscription.held = subscription.held, None
        if self.context.collaboration.catch_up(member, subscription.position):
            for frame in held or ():
                subscription.deliver(frame)
        else:
            self.context.collaboration.leave(member)
            subscription.evict(CoscribeError(Code.SLOW_CONSUMER))

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
        elif any(s.lagging_since and now - s.lagging_since > limits.lag_seconds for s in self._subscriptions.values()):
            self.too_slow()
        elif now - self.heard_at > limits.idle_seconds and not self.pinged:
            self.pinged = True
            self.transport.ping()

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

    def memberships(self, workspace_id: str) -> list[Membership]:
        """The open files of a workspace; "": of any. (A join that is under way looks after itself.)"""
        members = [s.member for s in self._subscriptions.values() if s.member is not None]
        return [
            member for member in members if not workspace_id or member.session.workspace.workspace_id == workspace_id
        ]

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

    def expel(self, error: CoscribeError, file_id: str) -> None:
        """Says that a file has been closed for good; one who has no other open has no business here any more."""
        self._refuse(error, file_id)
        if not self._subscriptions:
            self.close(1008, error.code.value.code)

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

    def drop(self, subscription: Subscription) -> None:
        """Ends a subscription without telling the documents."""
        subscription.caught_up()
        self._to_save.pop(subscription.file_id, None)
        if self._subscriptions.get(subscription.file_id) is subscription:
            del self._subscriptions[subscription.file_id]

    def too_slow(self) -> None:
        metrics.slow_consumers.inc()
        self._refuse(CoscribeError(Code.SLOW_CONSUMER))

    def _let_go(self) -> None:
        if self._busy is not None:
            self._busy.cancel()
        if self._saving is not None:
            self._saving.cancel()
        self._inbox = None
        for subscription in tuple(self._subscriptions.values()):
            self.drop(subscription)
            if subscription.member is not None:
                self.context.collaboration.leave(subscription.member)

    def _refuse(self, error: CoscribeError, file_id: str | None = None, operation_id: str | None = None) -> None:
        kind = error.code.value
        metrics.errors.labels(kind.code).inc()
        tracer = self.context.tracer
        if tracer is not None and operation_id is not None and tracer.follows(operation_id):
            tracer.note_again(Stage.RECEIVE, operation_id, tracer.now(), outcome=kind.code)
        if not self.closed:
            self.transport.send(codec.encode(codec.error_message(error, file_id, operation_id)))
            if kind.closes:
                self.close(1009 if error.code is Code.MESSAGE_TOO_LARGE else 1008, kind.code)

    # ---- one message

    def _handle(self, raw: bytes) -> None:
        """Decodes a message and does what it says, at once or, where storage is needed, in a task of its own."""
        if self.context.clock() >= self.expires_at:
            self._refuse(CoscribeError(Code.SESSION_ENDED, "it has expired"))
            return
        try:
            message = codec.decode_client(raw)
        except CoscribeError as error:
            self._refuse(error)
            return
        if not isinstance(message, _EDITS):
            if not self._asks.has_some(self.context.now()):
                self._wait_with(raw)
                return
            self._asks.take()
        file_id: str | None = getattr(message, "file_id", None)
        try:
            if self.identity is None:
                if not isinstance(message, messages.Hello):
                    raise CoscribeError(Code.HELLO_EXPECTED)
                self._gatekeeper.spoke(self)
                self._later(partial(self._hello, message), None)
            elif isinstance(message, _EDITS):
                self._submit(message, self.identity)
            elif isinstance(message, messages.Join):
                self._later(partial(self._join, message, self.identity), file_id)
            elif isinstance(message, messages.SnapshotApplied):
                self.context.collaboration.snapshot_applied(
                    self._member(message.file_id, live=False), message.snapshot_sequence_id
                )
            elif isinstance(message, messages.Leave):
                self._leave(message.file_id)
            elif isinstance(message, messages.SetPresence):
                self.context.collaboration.move(self._member(message.file_id), message)
            elif isinstance(message, messages.GetChecksum):
                self._checksum(self._member(message.file_id))
            elif isinstance(message, messages.Save):
                self._save(message.file_id, self.identity)
            elif isinstance(message, messages.Resend):
                self._later(partial(self._resend, message), file_id)
            elif isinstance(message, messages.Ping):
                self.send(codec.encode(messages.Pong(message.nonce)))
            else:
                raise CoscribeError(Code.HELLO_REPEATED)
        except CoscribeError as error:
            self._refuse(error, file_id, _operation_id(message))

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
        authenticator, collaboration = self.context.authenticator, self.context.collaboration
        generation = collaboration.generation
        identity = await authenticator.authenticate(message.token)
        while generation != collaboration.generation:  # it may have ended since, when nobody could close it here
            generation = collaboration.generation
            if not await authenticator.is_valid(identity):
                raise CoscribeError(Code.SESSION_ENDED)
        if not self._gatekeeper.named(identity.account):
            error = CoscribeError(Code.TOO_MANY_REQUESTS, "too many connections of this account are open")
            self._refuse(error)
            self.close(1013, error.code.value.code)
            return
        self.account = identity.account
        self.identity = identity
        self.protocol = common[0]
        self.expires_at = identity.expires_at
        gateway, files = self.context.limits, collaboration.limits
        limits = messages.ServerLimits(
            gateway.message_bytes,
            files.operation_length,
            files.file_length,
            files.chain_operations,
            gateway.files_per_connection,
        )
        welcome = messages.Welcome(common[0], identity.user_id, self.connection_id, limits, self.context.server)
        self.send(codec.encode(welcome))

    async def _join(self, message: messages.Join, identity: Identity) -> None:
        limits = self.context.limits
        if message.file_id in self._subscriptions:
            raise CoscribeError(Code.ALREADY_JOINED)
        if len(self._subscriptions) >= limits.files_per_connection:
            raise CoscribeError(Code.TOO_MANY_FILES, f"{limits.files_per_connection} files are open")
        if len(message.in_flight) > limits.in_flight_ids:
            raise CoscribeError(Code.INVALID_MESSAGE, f"more than {limits.in_flight_ids} ids in flight")
        for operation_id in message.in_flight:
            codec.check_operation_id(operation_id)
        subscription = self._subscriptions[message.file_id] = Subscription(self, message.file_id)
        try:
            member = await self.context.collaboration.join(identity, self.connection_id, message, subscription)
        except BaseException:
            self.drop(subscription)
            raise
        subscription.member = member
        self._asks.take(member.file.size() * TEXT_COST)
        if self.closed:
            self.context.collaboration.leave(member)

    def _submit(self, message: Edit, identity: Identity) -> None:
        tracer = self.context.tracer
        received = 0 if tracer is None else tracer.now()
        member = self._member(message.file_id)
        if message.user_id != identity.user_id:
            raise CoscribeError(Code.USER_MISMATCH, f"you are {identity.user_id!r}")
        within_rate = self._within_rate() and self.context.collaboration.within_budget(identity, member.session)
        try:
            self._take(member, message, _NO_EVIDENCE, within_rate, received)
        except Missing as missing:
            work = partial(self._submit_slowly, member, message, missing, within_rate, received)
            self._later(work, message.file_id, _operation_id(message))

    def _take(self, member: Membership, message: Edit, evidence: Evidence, within_rate: bool, received: int) -> None:
        """Raises Missing."""
        collaboration = self.context.collaboration
        if isinstance(message, messages.TreeOperation):
            collaboration.change_tree(member, message, evidence, within_rate=within_rate)
        else:
            collaboration.submit(member, message, evidence, within_rate=within_rate, received=received)

    async def _submit_slowly(
        self,
        member: Membership,
        message: Edit,
        missing: Missing,
        within_rate: bool,
        received: int,
    ) -> None:
        """Asks storage until the turn has all it needs."""
        evidence = Evidence()
        while True:
            await self.context.collaboration.gather(member, missing, evidence)
            try:
                return self._take(member, message, evidence, within_rate, received)
            except Missing as still_missing:
                missing = still_missing

    def _checksum(self, member: Membership) -> None:
        self._asks.take(member.file.size() * TEXT_COST)
        self.context.collaboration.checksum(member)

    def _save(self, file_id: str | None, identity: Identity) -> None:
        """Saves are done one after the other, while other messages go on: a disk may take its time. At most all that
        is open waits for it; what is closed meanwhile is not saved."""
        if file_id is None:
            members = self.memberships("")
            wanted = {member.session.workspace.workspace_id for member in members}
            if len(wanted) != 1:
                raise CoscribeError(
                    Code.INVALID_MESSAGE, "say which file: files of several workspaces are open, or none"
                )
        else:
            members = [self._member(file_id)]
            wanted = {file_id}
        if all(member.role == "viewer" for member in members):
            raise CoscribeError(Code.PERMISSION_DENIED, "saving is for those who edit")
        (self._to_save[file_id],) = wanted
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save_all(identity))

    async def _save_all(self, identity: Identity) -> None:
        async def save(asked: str | None, wanted: str) -> None:
            sequence = await self.context.collaboration.save(identity, wanted)
            self.send(codec.encode(messages.Saved(sequence, asked)))

        while self._to_save:
            asked = next(iter(self._to_save))
            await self._guard(partial(save, asked, self._to_save.pop(asked)), asked)
        self._saving = None

    def _leave(self, file_id: str) -> None:
        subscription = self._subscriptions.get(file_id)
        if subscription is None or subscription.member is None:
            raise _not_joined(file_id)
        self.drop(subscription)
        self.context.collaboration.leave(subscription.member)

    async def _resend(self, message: messages.Resend) -> None:
        member = self._member(message.file_id, live=False)
        self.send(await self.context.collaboration.resend(member, message))

    def _member(self, file_id: str, *, live: bool = True) -> Membership:
        subscription = self._subscriptions.get(file_id)
        member = subscription.member if subscription is not None else None
        if member is None or member.ending is not None or (live and not member.live):
            raise _not_joined(file_id)
        return member

    def _within_rate(self) -> bool:
        within = self._budget.has_some(self.heard_at)
        if within:
            self._budget.take()
        return within


_NO_EVIDENCE = Evidence()
_NOT_AT_ONCE = (Code.STORAGE_UNAVAILABLE, Code.OWNER_UNAVAILABLE)
_EDITS = (messages.Operation, messages.Chain, messages.TreeOperation)


def _not_joined(file_id: str) -> CoscribeError:
    return CoscribeError(Code.NOT_JOINED, f"{file_id[:40]!r} is not open on this connection")


def _operation_id(message: messages.ClientMessage) -> str | None:
    """What a refusal of the message names: the operation, or the first one of the chain."""
    if isinstance(message, messages.Operation | messages.TreeOperation):
        return message.operation_id
    return message.operations[0].operation_id if isinstance(message, messages.Chain) else None
