"""One of several instances: the composition root of a cluster.

    gateway   Front, Relay                                       sockets and requests of clients
    core      Coscribe (engine, people), Desk, Answering         what other instances send on
    all       both; what is its own takes no link

Whatever the role, an instance is in the table of leases, and hears changes of rights.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import structlog
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from coscribe.access.authentication import Authentication
from coscribe.access.ids import new_id, now
from coscribe.access.keys import Keys
from coscribe.access.mail import Mailer
from coscribe.api.app import asked_about, refusing
from coscribe.api.route import cookie_name
from coscribe.app import Coscribe, Readiness, Together, open_storage, token_secret, watching
from coscribe.cluster import errands, requests
from coscribe.cluster.answering import Answering
from coscribe.cluster.desk import Desk
from coscribe.cluster.dispatch import Dispatch
from coscribe.cluster.errands import Errands, doing
from coscribe.cluster.front import FrontContext, FrontGateway
from coscribe.cluster.homes import Homes
from coscribe.cluster.keeper import Keeper, steady
from coscribe.cluster.leases import PostgresLeases
from coscribe.cluster.links import Links
from coscribe.cluster.nats_bus import NatsBus
from coscribe.cluster.part import part_of
from coscribe.cluster.ports import BusUnavailable, Instance, Role
from coscribe.cluster.relay import Elsewhere, Relay
from coscribe.cluster.revocations import Revocations
from coscribe.config import Settings
from coscribe.documents.ports import AccessChange, Authenticator, OpLog, StorageError
from coscribe.gateway.auth import SignedTokens
from coscribe.gateway.pace import Pace
from coscribe.persistence.database import Database
from coscribe.persistence.postgres import PostgresStorage
from coscribe.persistence.sharing import check_shared
from coscribe.web import make_pages

log = structlog.get_logger(__name__)

OWNERS = "coscribe.owners"
"""The subject on which instances are told to look at the table of leases again."""

ANSWERS_SECONDS = 5.0
"""How long answers that are under way may take when an instance goes."""


class Clustered:
    """``running`` is its life; ``asgi`` and ``gateway`` are its two faces, of which a core shows none to clients.

    Raises what `open_storage` and `check_shared` raise.
    """

    def __init__(
        self, settings: Settings, *, mailer: Mailer | None = None, hasher: PasswordHasher | None = None
    ) -> None:
        self.settings = settings
        instance = Instance(new_id("ins"), settings.instance, settings.role is not Role.GATEWAY)
        self.instance_id = instance.instance_id
        self._bus = NatsBus(settings.nats, settings.instance)
        self._links = Links(self._bus, self.instance_id)
        self._leases = PostgresLeases(settings.database_url)
        self._keeper = Keeper(
            self._leases,
            instance,
            steady,
            hand_over=self._hand_over,
            gained=self._gained,
            drop=self._drop,
            fenced=self._fenced,
            tell=self._tell_to_look,
            connected=lambda: self._bus.connected,
            set_apart=lambda is_apart: self.gateway.set_apart(is_apart),
        )
        self._revocations = Revocations(
            self._bus, self.instance_id, lambda: self._keeper.instances, self._access_changed
        )
        self._looking: set[asyncio.Task[None]] = set()
        self._answering: list[Answering] = []
        self._engine: Coscribe | None = None
        self._desk: Desk | None = None
        if instance.is_core:
            self._engine = self._make_engine(mailer, hasher)
            authenticator: Authenticator = self._engine.people.authentication
            op_log: OpLog = self._engine.storage
            api: ASGIApp | None = self._engine.people.api
            self._life = self._engine.running()
        else:
            own = _Own(settings)
            authenticator, op_log, api = own.authentication, own.op_log, None
            self._life = own.running()
        check_shared(settings.where, settings.folder if instance.is_core else None, token_secret(settings))
        self._readiness = Readiness(self._probe, time.monotonic)
        self._homes = Homes(op_log.locate)
        self._elsewhere = self._to_others(requests.KIND, api)
        self.gateway = self._make_gateway(authenticator)
        self.asgi = Starlette(lifespan=lambda _: self.running())
        self.asgi.router.default = self._make_asgi()

    async def setup_link(self) -> str | None:
        """See `Coscribe.setup_link`; a gateway has none."""
        return await self._engine.setup_link() if self._engine is not None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts on entry; on exit hands over what it owns, has clients go elsewhere, and is gone from the table.

        Raises BusUnavailable, StorageError.
        """
        await self._bus.start()
        try:
            await self._revocations.start()
            async with self._life:
                await self._links.start()
                await self._keeper.start()
                await self._bus.subscribe(OWNERS, self._told_to_look)
                self.gateway.start()
                try:
                    yield
                finally:
                    await self._leave()
        finally:
            self._links.stop()
            await self._leases.close()
            await self._revocations.stop()
            await self._bus.close()

    async def _leave(self) -> None:
        """In this order: others have taken over what was owned here before anybody is sent away."""
        self._readiness.drain()
        await self._keeper.leave()
        self._elsewhere.end_streams()
        for answering in self._answering:
            await answering.leave(ANSWERS_SECONDS)
        await self.gateway.stop(self.settings.retry_after_ms)
        for task in self._looking:
            task.cancel()

    def end_streams(self) -> None:
        """Ends answers that have no end of their own: this instance is about to stop."""
        self._elsewhere.end_streams()
        if self._engine is not None:
            self._engine.gateway.end_watches()

    # ---- what it is made of

    def _make_engine(self, mailer: Mailer | None, hasher: PasswordHasher | None) -> Coscribe:
        for_others: ASGIApp

        async def do(scope: Scope, receive: Receive, send: Send) -> None:
            await for_others(scope, receive, send)

        part = part_of(self._keeper, Errands(self._to_others(errands.KIND, do)))
        together = Together(self._keeper, part, self._revocations.changed)
        engine = Coscribe(self.settings, mailer=mailer, hasher=hasher, together=together)
        for_others = doing(engine.people.errands)
        for kind, app in ((requests.KIND, engine.people.api), (errands.KIND, for_others)):
            answering = Answering(kind, app, self._keeper.owns)
            self._links.serve(kind, answering.serve)
            self._answering.append(answering)
        self._desk = Desk(engine.gateway, self._links, lambda: self._keeper.holds_any)
        return engine

    def _to_others(self, kind: str, app: ASGIApp | None) -> Elsewhere:
        return Elsewhere(
            self.instance_id,
            kind,
            app,
            self._keeper,
            lambda file_id: self._homes.workspace_of(file_id),
            lambda: self._keeper.at_work,
            self._links,
            time.monotonic,
        )

    def _make_gateway(self, authenticator: Authenticator) -> FrontGateway:
        context = FrontContext(
            authenticator,
            self.settings.gateway,
            self.settings.limits,
            time.monotonic,
            time.time,
            lambda: secrets.token_hex(8),
            f"coscribe/{version('coscribe')}",
            Pace(time.monotonic),
            owners=self._keeper,
            links=self._links,
            homes=self._homes,
        )
        return FrontGateway(context, self.settings.origins)

    def _make_asgi(self) -> ASGIApp:
        secure = self.settings.url.startswith("https://")
        local = Starlette(routes=watching(self.settings, self._readiness))
        if self.settings.role is Role.CORE:
            return local
        local.router.default = make_pages(secure=secure)
        dispatch = Dispatch(asked_about(), cookie_name(secure=secure))
        return Relay(self._elsewhere, local, dispatch, refusing(lambda: secrets.token_hex(8)))

    # ---- what others do

    def _tell_to_look(self) -> None:
        with suppress(BusUnavailable):  # they look every second
            self._bus.send(OWNERS, b"")

    def _told_to_look(self, _: bytes) -> None:
        looking = asyncio.get_running_loop().create_task(self._look())
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _look(self) -> None:
        with suppress(StorageError):  # the keeper has said so
            await self._keeper.look_again()

    async def _access_changed(self, change: AccessChange) -> None:
        applying: list[Awaitable[None]] = [self.gateway.access_changed(change)]
        if self._engine is not None:
            applying.append(self._engine.gateway.access_changed(change))
        await asyncio.gather(*applying)

    # ---- what comes and goes

    async def _gained(self, _: Callable[[str], bool]) -> None:
        if self._engine is not None:
            await self._engine.people.gained()

    async def _hand_over(self, are_mine: Callable[[str], bool]) -> None:
        """The disks first: what they write on their way out goes through the engine."""
        if self._engine is not None:
            await self._engine.people.hand_over(are_mine)
            await self._engine.collaboration.hand_over(are_mine)

    def _drop(self) -> None:
        if self._engine is not None:
            self._engine.collaboration.drop_unowned()
            self._engine.people.drop()

    def _fenced(self) -> None:
        """Nobody waits here for a database that may not answer for long: neither those who are at the desk, nor what
        is owned again later."""
        if self._engine is not None and self._desk is not None:
            self._desk.turn_away()
            if isinstance(self._engine.storage, PostgresStorage):
                self._engine.storage.abandon()

    async def _probe(self) -> None:
        """Raises StorageError, BusUnavailable."""
        if not self._bus.connected:
            raise BusUnavailable("the bus cannot be reached")
        await self._keeper.look_again()
        if self._engine is not None:
            await self._engine.storage.append(())


class _Own:
    """What a gateway has of its own: who somebody is, and where files are."""

    def __init__(self, settings: Settings) -> None:
        self.op_log = open_storage(settings)
        self._database = Database(settings.where)
        secret = token_secret(settings)
        self._keys = Keys(secret, self._database, now)
        self.authentication = Authentication(self._database, self._keys, SignedTokens(secret))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self._keys.load()
        try:
            yield
        finally:
            await self.authentication.close()
            await self._database.close()
            await self.op_log.close()
