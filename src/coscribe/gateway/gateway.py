"""Gateway: all connections of one process; opens them, looks after them, says goodbye.

When rights change the change has been committed by whoever made it, and `Gateway.access_changed` carries it to the
open sockets: it asks again whether credentials are still good and which roles they give, and what is not answered in
time counts as a no. So however slow storage is, nobody keeps what was taken from them for longer than
`ANSWER_SECONDS` and `EVICTION_SECONDS` together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.collaboration import Membership
from coscribe.documents.ports import AccessChange, StorageError
from coscribe.documents.watching import Watch
from coscribe.gateway.address import counted_key
from coscribe.gateway.connection import Connection, Context
from coscribe.gateway.gatekeeper import Gatekeeper, Refusal
from coscribe.gateway.socket import Transport
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

CHECK_INTERVAL = 5.0
"""Seconds between two looks at every connection."""

ANSWER_SECONDS = 0.5
"""How long all questions about one change of rights may take together."""

ASKED_AT_ONCE = 32
"""Questions about rights that are under way at the same time, for each change."""

_T = TypeVar("_T")


class Gateway:
    """``origins``: the pages that may open a socket here, beside the server's own."""

    def __init__(self, context: Context, origins: frozenset[str]) -> None:
        self.context = context
        self._origins = origins
        self._connections: dict[Connection, None] = {}
        limits = context.limits
        self._gatekeeper = Gatekeeper(
            most=limits.connections,
            per_address=limits.connections_per_address,
            per_account=limits.connections_per_account,
            strangers=limits.unauthenticated,
        )
        self._checking: asyncio.Task[None] | None = None
        self._applying: set[asyncio.Task[None]] = set()
        self._closing = False
        context.collaboration.on_paths_moved = self._paths_moved

    def _paths_moved(self, workspace_id: str) -> None:
        """Files are elsewhere now: whoever has rules that tell paths apart is asked for anew."""
        self._go_on_with(self._apply(AccessChange(workspace_id), is_about=_has_rules))

    def start(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check())

    def accepts(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may connect. Programs send no Origin; they authenticate like everybody."""
        if self._closing:
            return False
        if origin is None or origin in self._origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host and origin.count("/") == 2

    def refusal(self, address: str) -> Refusal | None:
        """Whether an address has to be refused at the handshake, as there are too many connections; None: it may
        come in, if `open` follows at once."""
        return self._gatekeeper.refusal(counted_key(address))

    def open(self, transport: Transport, address: str = "") -> Connection:
        """``address``: whose it is; "": of this machine."""
        connection = Connection(self.context, transport, self._gatekeeper, counted_key(address))
        self._connections[connection] = None
        self._gatekeeper.came(connection, connection.address)
        metrics.connections.set(len(self._connections))
        return connection

    def lost(self, connection: Connection) -> None:
        connection.lost()
        if connection in self._connections:
            del self._connections[connection]
            self._gatekeeper.went(connection, connection.address, connection.account)
        metrics.connections.set(len(self._connections))

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
        self._closing = True
        if self._checking is not None:
            self._checking.cancel()
        await self.context.collaboration.drain()
        self.end_watches()
        for connection in tuple(self._connections):
            with _at_its_own_cost(connection):
                connection.goodbye(retry_after + self.context.pace.after())
        while self._applying:
            await asyncio.gather(*self._applying, return_exceptions=True)

    def end_watches(self) -> None:
        """Tells those who watch that the server is going down; a server by HTTP waits for its answers to end."""
        self.context.collaboration.watches.end_all(CoscribeError(Code.SHUTTING_DOWN))

    async def _apply(self, change: AccessChange, is_about: Callable[[Membership], bool] = lambda _: True) -> None:
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        concerned = [
            (connection, connection.identity)
            for connection in self._connections
            if not connection.closed and connection.identity is not None and change.concerns(connection.identity)
        ]
        if (change.account or change.credential) and not change.workspace_id:
            await _for_each(concerned, lambda each: each[0].prove(each[1], deadline))
        endings: list[asyncio.Future[None]] = []

        async def review(member: Membership) -> None:
            ending = await self.context.collaboration.review(member, deadline)
            if ending is not None:
                endings.append(ending)

        watches = [watch for watch in self.context.collaboration.watches if _is_about(change, watch)]
        await _for_each(watches, lambda watch: self._review(watch, change, deadline))
        opened = (member for each in concerned for member in each[0].memberships(change.workspace_id))
        members = [member for member in opened if is_about(member)]
        await _for_each(members, review)
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

    def _go_on_with(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._applying.add(task)
        task.add_done_callback(self._applying.discard)
        return task

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = self.context.now()
            for connection in tuple(self._connections):
                with _at_its_own_cost(connection):
                    connection.check(now)
            for watch in self.context.collaboration.watches:
                if self.context.clock() >= watch.identity.expires_at:
                    watch.end(CoscribeError(Code.SESSION_ENDED))
            with _going_on("sweep"):
                await self.context.collaboration.snapshots.sweep()
            with _going_on("cursors"):
                await self.context.collaboration.keep_cursors()


def _is_about(change: AccessChange, watch: Watch) -> bool:
    return change.workspace_id in ("", watch.workspace_id) and change.concerns(watch.identity)


def _has_rules(member: Membership) -> bool:
    return member.rights is not None and not member.rights.is_uniform


@contextmanager
def _going_on(what: str, **about: str) -> Iterator[None]:
    """An error that nobody expects is told, and ends nothing else: everybody depends on the housekeeping."""
    try:
        yield
    except Exception:
        metrics.housekeeping_failed.inc()
        log.exception("housekeeping_failed", what=what, **about)


def _at_its_own_cost(connection: Connection) -> AbstractContextManager[None]:
    return _going_on("connection", connection=connection.connection_id)


async def _for_each(items: Sequence[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Does the work for each item, `ASKED_AT_ONCE` at a time."""
    todo = iter(items)

    async def worker() -> None:
        for item in todo:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(min(ASKED_AT_ONCE, len(items)))))
