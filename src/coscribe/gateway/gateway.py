"""Gateway: all connections of one process that has the files as well.

When rights change the change has been committed by whoever made it, and `Gateway.access_changed` carries it to the
open sockets: it asks again whether credentials are still good and which roles they give, and what is not answered in
time counts as a no. So however slow storage is, nobody keeps what was taken from them for longer than
`ANSWER_SECONDS` and `EVICTION_SECONDS` together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.collaboration import Membership
from coscribe.documents.ports import AccessChange, StorageError
from coscribe.documents.watching import Watch
from coscribe.gateway.connection import Connection, Context
from coscribe.gateway.door import Door, going_on
from coscribe.gateway.socket import Transport
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.5
"""How long all questions about one change of rights may take together."""

ASKED_AT_ONCE = 32
"""Questions about rights that are under way at the same time, for each change."""

_T = TypeVar("_T")


class Gateway(Door[Connection]):
    """All connections of one process that has the files as well."""

    context: Context

    def __init__(self, context: Context, origins: frozenset[str]) -> None:
        super().__init__(context, origins)
        self._introduced: dict[Connection, None] = {}
        context.collaboration.on_paths_moved = self._paths_moved

    def _make(self, transport: Transport, address: str) -> Connection:
        return Connection(self.context, transport, self._gatekeeper, address)

    def introduced(self, connection: Connection) -> None:
        """One whose socket is elsewhere, and was counted there; `lost` is to be called when it is gone."""
        self._introduced[connection] = None
        metrics.virtual_connections.set(len(self._introduced))
        if self._closing:
            connection.goodbye(0)

    @property
    def virtual(self) -> Sequence[Connection]:
        """Those that were introduced."""
        return tuple(self._introduced)

    def lost(self, socket: Connection) -> None:
        if socket in self._introduced:
            socket.lost()
            del self._introduced[socket]
            metrics.virtual_connections.set(len(self._introduced))
        else:
            super().lost(socket)

    def _all(self) -> Iterable[Connection]:
        return (*self._connections, *self._introduced)

    def _paths_moved(self, workspace_id: str) -> None:
        """Files are elsewhere now: whoever has rules that tell paths apart is asked for anew."""
        self._go_on_with(self._apply(AccessChange(workspace_id), is_about=_has_rules))

    async def access_changed(self, change: AccessChange) -> None:
        """Applies a change of rights to all that is open here. To be called once it is committed.

        Returns when nothing that has lost its right is open any more; it goes on if the caller is cancelled. Before
        anything else a join, a hello or an edit that is under way is made to ask for its rights again.
        """
        self.context.collaboration.rights_changed()
        await asyncio.shield(self._go_on_with(self._apply(change)))

    async def stop(self, retry_after: int) -> None:
        """Takes in nothing more, makes what was taken in durable and visible, then tells everybody to come back: after
        ``retry_after`` milliseconds, and where there are many, one after the other."""
        self._close_door()
        await self.context.collaboration.drain()
        self.end_watches()
        await self._send_away(retry_after)

    def end_watches(self) -> None:
        """Tells those who watch that the server is going down; a server by HTTP waits for its answers to end."""
        self.context.collaboration.watches.end_all(CoscribeError(Code.SHUTTING_DOWN))

    async def _apply(self, change: AccessChange, is_about: Callable[[Membership], bool] = lambda _: True) -> None:
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        concerned = [
            (connection, connection.identity)
            for connection in self._all()
            if not connection.closed and connection.identity is not None and change.concerns(connection.identity)
        ]
        if (change.account or change.credential) and not change.workspace_id:
            await for_each(concerned, lambda each: each[0].prove(each[1], deadline))
        endings: list[asyncio.Future[None]] = []

        async def review(member: Membership) -> None:
            ending = await self.context.collaboration.review(member, deadline)
            if ending is not None:
                endings.append(ending)

        watches = [watch for watch in self.context.collaboration.watches if _is_about(change, watch)]
        await for_each(watches, lambda watch: self._review(watch, change, deadline))
        opened = (member for each in concerned for member in each[0].memberships(change.workspace_id))
        members = [member for member in opened if is_about(member)]
        await for_each(members, review)
        await asyncio.gather(*endings)
        self._go_on_with(self.context.collaboration.tell_others())

    async def _review(self, watch: Watch, change: AccessChange, deadline: float) -> None:
        """Ends a watch whose credential is good no longer, or whose rights are others."""
        if (change.account or change.credential) and not change.workspace_id:
            try:
                async with asyncio.timeout_at(deadline):
                    valid = await self.context.authenticator.is_valid(watch.identity)
            except Exception as error:
                log.error("session_unknown", exc_info=not isinstance(error, StorageError | TimeoutError))
                watch.end(CoscribeError(Code.STORAGE_UNAVAILABLE, "the session cannot be looked up now"))
                return
            if not valid:
                watch.end(CoscribeError(Code.SESSION_ENDED))
                return
        await self.context.collaboration.review_watch(watch, deadline)

    async def _keep_house(self) -> None:
        for watch in self.context.collaboration.watches:
            if self.context.clock() >= watch.identity.expires_at:
                watch.end(CoscribeError(Code.SESSION_ENDED))
        with going_on("sweep"):
            await self.context.collaboration.snapshots.sweep()
        with going_on("cursors"):
            await self.context.collaboration.keep_cursors()


def _is_about(change: AccessChange, watch: Watch) -> bool:
    return change.workspace_id in ("", watch.workspace_id) and change.concerns(watch.identity)


def _has_rules(member: Membership) -> bool:
    return member.rights is not None and not member.rights.is_uniform


async def for_each(items: Sequence[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Does the work for each item, `ASKED_AT_ONCE` at a time."""
    todo = iter(items)

    async def worker() -> None:
        for item in todo:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(min(ASKED_AT_ONCE, len(items)))))
