"""Desk: the core's side of sockets that other instances hold.

For each of them there is a virtual connection: the `Connection` that serves a socket of this process, already
introduced, with a transport that writes into a channel. So rights, rates, positions and catching up are where they
always were. When the channel has no room the connection is paused, as it is when a socket's buffer is full.
"""

from __future__ import annotations

from collections.abc import Callable

from coscribe.cluster.link import Channel
from coscribe.cluster.links import Links
from coscribe.cluster.sockets import CORE_GOES, KIND, Ending, Introduction, decode_introduction, encode
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.gateway.connection import Connection
from coscribe.gateway.gatekeeper import Gatekeeper
from coscribe.gateway.gateway import Gateway

_UNCOUNTED = Gatekeeper(most=0, per_address=0, per_account=0, strangers=0)
"""Who holds the socket has counted it."""


class VirtualConnection(Connection):
    """A connection whose socket another instance holds, and whose client has said hello there."""

    __slots__ = ("_channel",)

    def __init__(self, gateway: Gateway, channel: Channel, introduction: Introduction) -> None:
        self._channel = channel
        transport = _ChannelTransport(gateway, self, channel)
        super().__init__(gateway.context, transport, _UNCOUNTED, introduction.address)
        self.connection_id = introduction.connection_id
        self.protocol = introduction.protocol
        self.identity = introduction.identity
        self.account = introduction.identity.account
        self.expires_at = introduction.identity.expires_at
        self._later(self._prove, None)

    def take(self, raw: bytes) -> None:
        """One frame of the client's."""
        self._channel.consumed(len(raw))
        self.receive(raw)

    async def _prove(self) -> None:
        """Before anything is done for them: what the other instance knew of the credential may be old by now."""
        assert self.identity is not None
        generation = self.context.generation
        try:
            if not await self.context.authenticator.is_valid(self.identity):
                raise CoscribeError(Code.SESSION_ENDED)
            await self._still_valid(self.identity, generation)
        except StorageError:
            self._refuse(CoscribeError(Code.STORAGE_UNAVAILABLE, "the session cannot be looked up now"))
            self.close(1013, Code.STORAGE_UNAVAILABLE.value.code)

    def goodbye(self, retry_after: int) -> None:
        """This core goes, the socket stays: its files are looked after elsewhere from now on."""
        for file_id in tuple(self._subscriptions):
            self.ask_back(file_id, CoscribeError(Code.MOVED))
        self.close(CORE_GOES, Code.MOVED.value.code)

    def turn_away(self) -> None:
        """This core owns nothing for the moment, perhaps for want of its database: nobody is to wait for it here."""
        self.close(CORE_GOES, Code.OWNER_UNAVAILABLE.value.code)


class _ChannelTransport:
    """`Transport` over a channel."""

    __slots__ = ("_channel", "_connection", "_gateway", "send")

    def __init__(self, gateway: Gateway, connection: VirtualConnection, channel: Channel) -> None:
        self._gateway = gateway
        self._connection = connection
        self._channel = channel
        self.send = channel.send

    def ping(self) -> None:
        """Whoever holds the socket sees to it that it is alive."""
        self._connection.heard()

    def buffered(self) -> int:
        return self._channel.unread

    def close(self, code: int, reason: str) -> None:
        self._channel.close(encode(Ending(code, reason)), at_once=True)
        self._gateway.lost(self._connection)


class Desk:
    """Takes the channels of sockets, from `Links.start` on. ``serves``: whether this core holds anything at all."""

    def __init__(self, gateway: Gateway, links: Links, serves: Callable[[], bool] = lambda: True) -> None:
        self._gateway = gateway
        self._serves = serves
        links.serve(KIND, self._serve)

    def _serve(self, channel: Channel) -> None:
        gateway = self._gateway
        connection = VirtualConnection(gateway, channel, decode_introduction(channel.head))
        channel.on_item = connection.take
        channel.on_full = connection.pause
        channel.on_ready = connection.resume
        channel.on_lost = lambda: gateway.lost(connection)
        channel.on_close = lambda _: gateway.lost(connection)
        gateway.introduced(connection)
        if not self._serves():
            connection.turn_away()

    def turn_away(self) -> None:
        """Nothing is held here any more, and what somebody waits for may take long."""
        for connection in self._gateway.virtual:
            if isinstance(connection, VirtualConnection):
                connection.turn_away()
