"""Front: the gateway's side of a client's socket, whose files may be owned by any instance.

    join --> which workspace? --> who owns it? --> channel of this socket to that core --> (answers go to the client)
                                  nobody now: look again, for a moment                      |
                                                                              link or owner lost: `rejoin`

Hello, ping, sizes and times are met here. Each message about a file goes on as it came, to the core that its join went
to; so all of one file are in order, also while it is being found out where they belong. What is remembered of a file is
only where it is: who has it open, and may do what, the core decides.

While the client takes nothing in its channels are paused: the cores pause their connections, and let them catch up
later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec
import structlog

from coscribe.cluster.homes import Homes
from coscribe.cluster.link import Channel, LinkLost
from coscribe.cluster.links import Links
from coscribe.cluster.ports import Owners
from coscribe.cluster.sockets import CORE_GOES, KIND, Introduction, encode, ending_of
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.budget import Bucket
from coscribe.documents.ports import AccessChange, Authenticator, StorageError
from coscribe.gateway.connection import not_joined, operation_id_of
from coscribe.gateway.door import Door
from coscribe.gateway.gatekeeper import Gatekeeper
from coscribe.gateway.gateway import ANSWER_SECONDS, for_each
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits, Socket, Transport
from coscribe.metrics import metrics
from coscribe.protocol import codec, messages

log = structlog.get_logger(__name__)

OWNER_SECONDS = 2.0
"""How long a join waits for somebody to own the file."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.3
"""Seconds until it is looked again who owns it: doubled each time, up to the longest."""


class _Head(msgspec.Struct, rename="camel"):
    """What has to be known of a message to send it on."""

    type: str
    file_id: str | None = None


class _Refusal(msgspec.Struct, rename="camel"):
    """Of an error or a rejoin, what has to be known of it here."""

    type: str
    code: str = ""
    file_id: str | None = None
    operation_id: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode

_TELLS = (b'{"type":"error"', b'{"type":"rejoin"')
"""How the frames begin that may say that a file is open no more."""

_GONE = frozenset(code.value.code for code in (Code.ACCESS_REMOVED, Code.FILE_NOT_FOUND, Code.NOT_A_TEXT))
_CLOSING = frozenset(code.value.code for code in Code if code.value.closes)


class FrontContext:
    """What all sockets of a gateway share, see `SocketContext`. ``generation`` is raised when rights change."""

    def __init__(
        self,
        authenticator: Authenticator,
        limits: GatewayLimits,
        file_limits: Limits,
        now: Callable[[], float],
        clock: Callable[[], float],
        connection_id: Callable[[], str],
        server: str,
        pace: Pace,
        *,
        owners: Owners,
        links: Links,
        homes: Homes,
    ) -> None:
        self.authenticator = authenticator
        self.limits = limits
        self.file_limits = file_limits
        self.now = now
        self.clock = clock
        self.connection_id = connection_id
        self.server = server
        self.pace = pace
        self.owners = owners
        self.links = links
        self.homes = homes
        self.generation = 0


class _File:
    """Where a file is that a socket has open, or asks for. ``joining``: the join, until the client goes on behind its
    answer; ``until``: how long that may look for an owner. ``waiting``: what goes there once it is known where."""

    __slots__ = ("core", "finding", "joining", "until", "waiting")

    def __init__(self) -> None:
        self.core = ""
        self.joining: bytes | None = None
        self.until = 0.0
        self.waiting: deque[bytes] | None = None
        self.finding: asyncio.Task[None] | None = None


class Front(Socket):
    """One client's socket."""

    __slots__ = ("_channels", "_files", "_waiting_bytes")

    context: FrontContext

    def __init__(self, context: FrontContext, transport: Transport, gatekeeper: Gatekeeper, address: str) -> None:
        limits = context.limits
        asks = Bucket(limits.rate + limits.ask_rate, limits.burst + limits.ask_burst, context.now())
        super().__init__(context, transport, gatekeeper, address, asks)
        self._files: dict[str, _File] = {}
        self._channels: dict[str, Channel] = {}
        self._waiting_bytes = 0

    # ---- from the shell

    def pause(self) -> None:
        self.paused = True
        for channel in self._channels.values():
            channel.pause()

    def resume(self) -> None:
        self.paused = False
        for channel in self._channels.values():
            channel.resume()

    # ---- messages of the client

    def _handle_said(self, raw: bytes) -> None:
        try:
            head = _decode_head(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._answer(raw)
            return
        if not self._asks.has_some(self.context.now()):
            self._wait_with(raw)
            return
        self._asks.take()
        file_id = head.file_id
        if self.identity is None or file_id is None:
            self._answer(raw)
            return
        file = self._files.get(file_id)
        if head.type == "join":
            self._join(file_id, file, raw)
        elif file is None:
            self._pass_on(file_id, raw)
        elif file.waiting is not None:
            self._wait_for_owner(file, raw)
        else:
            file.joining = None
            if head.type == "leave":
                del self._files[file_id]
            self._tell(self._channels[file.core], raw)

    def _answer(self, raw: bytes) -> None:
        """A message that is not about a file, or wrong."""
        try:
            message = codec.decode_client(raw)
        except CoscribeError as error:
            self._refuse(error)
            return
        try:
            if self.identity is None:
                self._greet(message)
            elif isinstance(message, messages.Ping):
                self.send(codec.encode(messages.Pong(message.nonce)))
            elif isinstance(message, messages.Save):
                self._save_all(raw)
            else:
                raise CoscribeError(Code.HELLO_REPEATED)
        except CoscribeError as error:
            self._refuse(error, getattr(message, "file_id", None), operation_id_of(message))

    def _save_all(self, raw: bytes) -> None:
        """Of what is open: the one core that has it knows whether it is of one workspace."""
        cores = {file.core for file in self._files.values() if file.waiting is None}
        if len(cores) != 1:
            raise CoscribeError(Code.INVALID_MESSAGE, "say which file: files of several workspaces are open, or none")
        self._tell(self._channels[cores.pop()], raw)

    def _pass_on(self, file_id: str, raw: bytes) -> None:
        """About a file that is not open, as far as is known here. If there may be a core that knows better it is for
        that one to say."""
        workspace_id = self.context.homes.known(file_id)
        owner = None if workspace_id is None else self.context.owners.owner_of(workspace_id)
        channel = None if owner is None else self._channels.get(owner)
        if channel is not None:
            self._tell(channel, raw)
            return
        try:
            message = codec.decode_client(raw)
        except CoscribeError as error:
            self._refuse(error)
            return
        if isinstance(message, messages.Ping | messages.Hello):
            self._answer(raw)
        else:
            self._refuse(not_joined(file_id), file_id, operation_id_of(message))

    def _tell(self, channel: Channel, raw: bytes) -> None:
        channel.send(raw)
        if channel.full and channel.unread > self.context.limits.inbox_bytes:
            self._refuse(CoscribeError(Code.INBOX_FULL, f"{channel.unread} bytes are on their way"))

    # ---- joining

    def _join(self, file_id: str, file: _File | None, raw: bytes) -> None:
        if file is not None and file.waiting is not None:
            self._wait_for_owner(file, raw)
            return
        if file is None:
            most = self.context.limits.files_per_connection
            if len(self._files) >= most:
                self._refuse(CoscribeError(Code.TOO_MANY_FILES, f"{most} files are open"), file_id)
                return
            file = self._files[file_id] = _File()
        elif file.core in self._channels:
            file.joining = raw
            self._tell(self._channels[file.core], raw)
            return
        file.joining = raw
        file.until = self.context.now() + OWNER_SECONDS
        workspace_id = self.context.homes.known(file_id)
        channel = None if workspace_id is None else self._channel_to_owner(workspace_id)
        if channel is None:
            self._find(file_id, file)
        else:
            file.core = channel.peer
            self._tell(channel, raw)

    def _find(self, file_id: str, file: _File, pause: float = 0.0) -> None:
        """Everything about the file waits until its owner is found."""
        file.waiting = deque()
        file.finding = asyncio.get_running_loop().create_task(self._finding(file_id, file, pause))

    async def _finding(self, file_id: str, file: _File, pause: float) -> None:
        error: CoscribeError | None = None
        try:
            channel = await self._found(file_id, file, pause)
            if channel is None:
                error = CoscribeError(Code.OWNER_UNAVAILABLE)
        except StorageError as failure:
            log.error("storage_failed", error=str(failure))
            error = CoscribeError(Code.STORAGE_UNAVAILABLE)
        except Exception:
            log.exception("owner_not_found", file_id=file_id)
            error = CoscribeError(Code.INTERNAL)
        waiting, file.waiting, file.finding = file.waiting or deque(), None, None
        self._waiting_bytes -= sum(map(len, waiting))
        if error is not None:
            del self._files[file_id]
            self._refuse(error, file_id)
        else:
            assert channel is not None and file.joining is not None
            file.core = channel.peer
            self._tell(channel, file.joining)
        for raw in waiting:
            if not self.closed:
                self._handle(raw)

    async def _found(self, file_id: str, file: _File, pause: float) -> Channel | None:
        """The channel to the owner; None: nobody has become it in time."""
        owners = self.context.owners
        while True:
            if pause:
                await asyncio.sleep(pause)
                await owners.look_again()
            channel = self._channel_to_owner(await self.context.homes.workspace_of(file_id))
            if channel is not None or self.context.now() >= file.until:
                return channel
            pause = min(2 * pause, LONGEST_PAUSE) or FIRST_PAUSE

    def _channel_to_owner(self, workspace_id: str) -> Channel | None:
        core = self.context.owners.owner_of(workspace_id)
        if core is None:
            return None
        channel = self._channels.get(core)
        if channel is None:
            assert self.identity is not None
            head = encode(Introduction(self.identity, self.address, self.connection_id, self.protocol))
            try:
                channel = self.context.links.open(core, KIND, head)
            except LinkLost:
                return None
            channel.on_item = partial(self._from_core, channel)
            channel.on_close = partial(self._core_closed, channel)
            channel.on_lost = partial(self._core_lost, channel, Code.OWNER_UNAVAILABLE)
            self._channels[core] = channel
            if self.paused:
                channel.pause()
        return channel

    def _wait_for_owner(self, file: _File, raw: bytes) -> None:
        assert file.waiting is not None
        limits = self.context.limits
        file.waiting.append(raw)
        self._waiting_bytes += len(raw)
        if len(file.waiting) > limits.inbox_messages or self._waiting_bytes > limits.inbox_bytes:
            self._refuse(CoscribeError(Code.INBOX_FULL, f"{len(file.waiting)} messages wait for an owner"))

    # ---- from cores

    def _from_core(self, channel: Channel, frame: bytes) -> None:
        """One frame for the client."""
        channel.consumed(len(frame))
        if not frame.startswith(_TELLS) or self._is_for_client(frame):
            self.transport.send(frame)

    def _is_for_client(self, frame: bytes) -> bool:
        """Takes note of what is open no more. Not for the client: that a file has moved which it wants to join, as long
        as it can be looked for."""
        told = _decode_refusal(frame)
        file = self._files.get(told.file_id) if told.file_id is not None and told.operation_id is None else None
        if file is None:
            return True
        if file.waiting is not None:
            return told.code != Code.MOVED.value.code
        assert told.file_id is not None
        if file.joining is None:
            if told.type == "rejoin" or told.code in _GONE:
                del self._files[told.file_id]
        elif told.type == "rejoin" or told.code == Code.ALREADY_JOINED.value.code:
            return True
        elif told.code == Code.MOVED.value.code and self.context.now() < file.until:
            self._find(told.file_id, file, FIRST_PAUSE)
            return False
        else:
            del self._files[told.file_id]
        return True

    def _core_closed(self, channel: Channel, reason: bytes) -> None:
        """The core has closed its connection. That closes the socket, unless it is about nothing but the core."""
        ending = ending_of(reason)
        if ending.code == CORE_GOES:
            moved = ending.reason == Code.MOVED.value.code
            self._core_lost(channel, Code.MOVED if moved else Code.OWNER_UNAVAILABLE)
            return
        self._forget(channel)
        if not self._channels or ending.reason in _CLOSING or ending.code != 1008:
            self.close(ending.code, ending.reason)

    def _core_lost(self, channel: Channel, why: Code) -> None:
        """All that is open there has to be joined again."""
        for file_id in self._forget(channel):
            metrics.rejoins_asked.inc()
            self.ask_back(file_id, CoscribeError(why))

    def _forget(self, channel: Channel) -> list[str]:
        """Returns the files that were open there."""
        core = channel.peer
        del self._channels[core]
        gone = [file_id for file_id, file in self._files.items() if file.core == core and file.waiting is None]
        for file_id in gone:
            del self._files[file_id]
        return gone

    def _let_go(self) -> None:
        super()._let_go()
        for channel in self._channels.values():
            channel.close()
        for file in self._files.values():
            if file.finding is not None:
                file.finding.cancel()
        self._channels.clear()
        self._files.clear()


class FrontGateway(Door[Front]):
    """All sockets of a process, wherever their files are."""

    context: FrontContext

    def __init__(self, context: FrontContext, origins: frozenset[str]) -> None:
        super().__init__(context, origins)

    def _make(self, transport: Transport, address: str) -> Front:
        return Front(self.context, transport, self._gatekeeper, address)

    async def access_changed(self, change: AccessChange) -> None:
        """Closes what has no good credential any more; it goes on if the caller is cancelled. (Who may still have a
        file open is for the core that has it.)"""
        self.context.generation += 1
        await asyncio.shield(self._go_on_with(self._apply(change)))

    async def _apply(self, change: AccessChange) -> None:
        if not (change.account or change.credential) or change.workspace_id:
            return
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        concerned = [
            (socket, socket.identity)
            for socket in self._all()
            if not socket.closed and socket.identity is not None and change.concerns(socket.identity)
        ]
        await for_each(concerned, lambda each: each[0].prove(each[1], deadline))

    def set_apart(self, is_apart: bool) -> None:
        """While nobody can be reached from here, nobody is served: who is here is to come in by another door."""
        self.is_apart = is_apart
        if is_apart:
            self._say_goodbye(0)

    async def stop(self, retry_after: int) -> None:
        """Takes in nothing more, and tells everybody to come back, after ``retry_after`` milliseconds."""
        self._close_door()
        await self._send_away(retry_after)
