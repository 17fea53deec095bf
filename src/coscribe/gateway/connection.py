"""Connection: a client's socket, and the files that it has open in this process.

                    per file:   (nothing) --join--> snapshot sent --snapshotApplied--> live --leave--> (nothing)
                                    |                                                   ^
                                    +--join with a known past-----(tail)----------------+

A subscription is a position in the file's order. While the transport's buffer is full, broadcasts are not copied for
the slow one: its position stays, and when the buffer has drained it catches up from the window. One slow client costs
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.budget import Bucket
from coscribe.documents.collaboration import Collaboration, Membership
from coscribe.documents.ports import Authenticator, Identity
from coscribe.documents.session import Evidence, Missing
from coscribe.gateway.gatekeeper import Gatekeeper
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits, Socket, Transport
from coscribe.metrics import metrics
from coscribe.protocol import codec, messages
from coscribe.tracing import Stage, Tracer

TEXT_COST = 1 / 50_000
"""What reading a code point of a text counts, in messages."""

Edit = messages.Operation | messages.Chain | messages.TreeOperation


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

    @property
    def generation(self) -> int:
        return self.collaboration.generation

    @property
    def file_limits(self) -> Limits:
        return self.collaboration.limits


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


class Connection(Socket):
    """One client of files that are in this process."""

    __slots__ = ("_budget", "_saving", "_subscriptions", "_to_save")

    context: Context

    def __init__(self, context: Context, transport: Transport, gatekeeper: Gatekeeper, address: str) -> None:
        limits = context.limits
        super().__init__(
            context, transport, gatekeeper, address, Bucket(limits.ask_rate, limits.ask_burst, context.now())
        )
        self._subscriptions: dict[str, Subscription] = {}
        self._to_save: dict[str | None, str] = {}
        self._saving: asyncio.Task[None] | None = None
        self._budget = Bucket(limits.rate, limits.burst, self.opened_at)

    # ---- from the shell

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

    def _lags(self, now: float) -> bool:
        most = self.context.limits.lag_seconds
        return any(each.lagging_since and now - each.lagging_since > most for each in self._subscriptions.values())

    # ---- from the gateway, when rights have changed

    def memberships(self, workspace_id: str) -> list[Membership]:
        """The open files of a workspace; "": of any. (A join that is under way looks after itself.)"""
        members = [s.member for s in self._subscriptions.values() if s.member is not None]
        return [
            member for member in members if not workspace_id or member.session.workspace.workspace_id == workspace_id
        ]

    def expel(self, error: CoscribeError, file_id: str) -> None:
        """Says that a file has been closed for good; one who has no other open has no business here any more."""
        self._refuse(error, file_id)
        if not self._subscriptions:
            self.close(1008, error.code.value.code)

    # ---- towards the client

    def drop(self, subscription: Subscription) -> None:
        """Ends a subscription without telling the documents."""
        subscription.caught_up()
        self._to_save.pop(subscription.file_id, None)
        if self._subscriptions.get(subscription.file_id) is subscription:
            del self._subscriptions[subscription.file_id]

    def _let_go(self) -> None:
        super()._let_go()
        if self._saving is not None:
            self._saving.cancel()
        for subscription in tuple(self._subscriptions.values()):
            self.drop(subscription)
            if subscription.member is not None:
                self.context.collaboration.leave(subscription.member)

    def _refuse(self, error: CoscribeError, file_id: str | None = None, operation_id: str | None = None) -> None:
        tracer = self.context.tracer
        if tracer is not None and operation_id is not None and tracer.follows(operation_id):
            tracer.note_again(Stage.RECEIVE, operation_id, tracer.now(), outcome=error.code.value.code)
        super()._refuse(error, file_id, operation_id)

    # ---- one message

    def _handle_said(self, raw: bytes) -> None:
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
                self._greet(message)
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
            self._refuse(error, file_id, operation_id_of(message))

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
            self._later(work, message.file_id, operation_id_of(message))

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
            raise not_joined(file_id)
        self.drop(subscription)
        self.context.collaboration.leave(subscription.member)

    async def _resend(self, message: messages.Resend) -> None:
        member = self._member(message.file_id, live=False)
        self.send(await self.context.collaboration.resend(member, message))

    def _member(self, file_id: str, *, live: bool = True) -> Membership:
        subscription = self._subscriptions.get(file_id)
        member = subscription.member if subscription is not None else None
        if member is None or member.ending is not None or (live and not member.live):
            raise not_joined(file_id)
        return member

    def _within_rate(self) -> bool:
        within = self._budget.has_some(self.heard_at)
        if within:
            self._budget.take()
        return within


_NO_EVIDENCE = Evidence()
_EDITS = (messages.Operation, messages.Chain, messages.TreeOperation)


def not_joined(file_id: str) -> CoscribeError:
    return CoscribeError(Code.NOT_JOINED, f"{file_id[:40]!r} is not open on this connection")


def operation_id_of(message: messages.ClientMessage) -> str | None:
    """What a refusal of the message names: the operation, or the first one of the chain."""
    if isinstance(message, messages.Operation | messages.TreeOperation):
        return message.operation_id
    return message.operations[0].operation_id if isinstance(message, messages.Chain) else None
