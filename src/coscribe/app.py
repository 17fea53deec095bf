"""The composition root: everything is put together here, and nowhere else."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias

from argon2 import PasswordHasher
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from coscribe.access.ids import now
from coscribe.access.mail import Mailer
from coscribe.access.sessions import Changed
from coscribe.cluster.part import ALONE, Part
from coscribe.config import Settings, is_loopback
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.compaction import Compaction
from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.ports import Access, Authenticator, BlobStore, Owning, SegmentSize, StorageError
from coscribe.documents.pruning import Pruning
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.asgi import serve_websocket
from coscribe.gateway.auth import RoleOfToken, SignedTokens
from coscribe.gateway.connection import Context
from coscribe.gateway.gateway import Gateway
from coscribe.gateway.pace import Pace
from coscribe.git.remotes import Policy, public
from coscribe.metrics import metrics
from coscribe.model import SALT_BYTES
from coscribe.people import People
from coscribe.persistence.blobs import FolderBlobs, MemoryBlobs, drop_drafts
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.migrate import migrate
from coscribe.persistence.moves import assert_served
from coscribe.persistence.postgres_blobs import PostgresBlobs
from coscribe.persistence.signing import make_folder, make_secret, signing_key
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol.messages import WEBSOCKET_PATH
from coscribe.tracing import TracingSettings
from coscribe.web import make_pages
from coscribe.working_tree.trees import WorkingTrees

if TYPE_CHECKING:
    from coscribe.exporting import ExportingTracer
    from coscribe.persistence.postgres import PostgresStorage

Storage: TypeAlias = "SqliteStorage | PostgresStorage | MemoryStorage"

PROBE_SECONDS = 1.0
"""How long the database may take for nothing before the server says that it is not ready; and how long it says so."""


class FolderInUse(Exception):
    """Another server has the data folder open."""


class TracingUnavailable(Exception):
    """Tracing is asked for, and what it needs is not installed."""


class PostgresUnavailable(Exception):
    """A PostgreSQL is asked for, and what it needs is not installed."""


class Together(NamedTuple):
    """What an engine needs of the cluster that it is in. ``changed`` carries a change of rights to all instances."""

    owning: Owning
    part: Part
    changed: Changed


class Coscribe:
    """A server's parts. `running` is its life; `asgi` and `gateway` are its two faces.

    ``storage`` None: the settings' database; the folder is locked against a second server. Accounts and the API
    come with it, unless the host brings an ``authenticator`` or ``access`` of its own. ``mailer``, ``tracer``,
    ``hasher`` None: as the settings say; argon2id at its recommended cost. ``lock``: of the folder, where the host has
    taken it already (`lock_folder`); closed in the end. ``remotes``: which other servers git may
    talk to. ``together``: there are other instances, and the folder is for all of them. Raises FolderInUse,
    TracingUnavailable, PostgresUnavailable.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        storage: Storage | None = None,
        authenticator: Authenticator | None = None,
        access: Access | None = None,
        mailer: Mailer | None = None,
        hasher: PasswordHasher | None = None,
        tracer: ExportingTracer | None = None,
        lock: IO[str] | None = None,
        remotes: Policy = public,
        together: Together | None = None,
    ) -> None:
        self.settings = settings
        self._tracer = tracer or make_tracer(settings.tracing)
        self._lock = lock
        self._people: People | None = None
        part = ALONE if together is None else together.part
        if storage is None:
            if together is None:
                self._lock = lock or lock_folder(settings.folder)
            turn = threading.Lock()
            storage = open_storage(settings, turn)
            if authenticator is None and access is None:
                self._people = People(settings, token_secret(settings), turn, mailer, hasher)
                authenticator, access = self._people.authentication, self._people.admission
        self.storage = storage
        self._has_folder = self._lock is not None or together is not None
        self._blob_store = self._open_blobs()
        self.blobs = Blobs(self._blob_store, storage.is_used, settings.quotas.blob_bytes)
        self._readiness = Readiness(lambda: storage.append(()), time.monotonic)
        self.collaboration = Collaboration(
            storage,
            storage,
            access or RoleOfToken(),
            limits=settings.limits,
            policy=settings.policy,
            max_backlog=settings.max_backlog,
            clock=now,
            now=time.monotonic,
            salts=_Salts(),
            budgets=settings.budgets,
            quotas=settings.quotas,
            quota_source=self._people.quotas if self._people is not None else None,
            tracer=self._tracer,
            cursors=storage,
            owning=None if together is None else together.owning,
        )
        if settings.policy.segments_per_sweep:
            self.collaboration.snapshots.compact_with(
                _compaction(storage, self.collaboration.router, settings.policy, part)
            )
        if self._has_folder:
            pruning = Pruning(
                storage,
                lambda: signing_key(settings.folder),
                settings.retention_days,
                now,
                time.monotonic,
                self._people.tell_pruned if self._people is not None else lambda _: None,
                part.owns,
            )
            self.collaboration.snapshots.prune_with(pruning)
        context = Context(
            self.collaboration,
            authenticator or SignedTokens(token_secret(settings)),
            settings.gateway,
            time.monotonic,
            time.time,
            lambda: secrets.token_hex(8),
            f"coscribe/{version('coscribe')}",
            Pace(time.monotonic),
            self._tracer,
        )
        self.gateway = Gateway(context, settings.origins)
        if self._people is not None:
            trees = WorkingTrees(
                settings.trees,
                self.collaboration,
                storage,
                storage,
                self.blobs,
                lambda: secrets.token_hex(12),
                time.time,
                None if together is None else part.holds,
            )
            changed = self.gateway.access_changed if together is None else together.changed
            self._people.open(
                self.collaboration, storage, storage, self.blobs, trees, self.gateway, changed, remotes, part
            )
        self.asgi = Starlette(routes=self._routes(), lifespan=lambda _: self.running())
        if self._people is not None:
            pages = make_pages(secure=settings.url.startswith("https://"))
            self.asgi.router.default = _either(self._people.api, pages)

    def _open_blobs(self) -> BlobStore:
        """In the database that instances share; else in the folder, if there is one."""
        if not self._has_folder:
            return MemoryBlobs()
        if self.settings.database_url:
            return PostgresBlobs(self.settings.database_url)
        if self._lock is not None:
            drop_drafts(self.settings.blobs)
        return FolderBlobs(self.settings.blobs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts on entry; on exit flushes, says goodbye to clients and closes storage."""
        self.gateway.start()
        if self._people is not None:
            await self._people.start()
        try:
            yield
        finally:
            self._readiness.drain()
            await self.gateway.stop(self.settings.retry_after_ms)
            if self._people is not None:
                await self._people.stop()
            await self.storage.close()
            if isinstance(self._blob_store, PostgresBlobs):
                await self._blob_store.close()
            if self._lock is not None:
                self._lock.close()
            if self._tracer is not None:
                await asyncio.to_thread(self._tracer.close)

    @property
    def people(self) -> People:
        """Accounts and what belongs to them. Only where the host does not bring its own."""
        assert self._people is not None, "the host looks after people itself"
        return self._people

    async def setup_link(self) -> str | None:
        """A one-time link to make the first administrator; None: there is one, or the host looks after people."""
        return await self._people.services.accounts.setup_link() if self._people is not None else None

    def _routes(self) -> Sequence[BaseRoute]:
        routes: list[BaseRoute] = [
            *watching(self.settings, self._readiness),
            WebSocketRoute(WEBSOCKET_PATH, self._websocket),
        ]
        if self._people is None:
            return [Route("/", _home), *routes]
        return routes

    async def _websocket(self, websocket: WebSocket) -> None:
        await serve_websocket(self.gateway, websocket.scope, websocket.receive, websocket.send)


def watching(settings: Settings, readiness: Readiness) -> Sequence[BaseRoute]:
    """What tells whoever operates a server how it is."""

    async def ready(_: Request) -> Response:
        """Whether it can serve; 503 and why where it cannot. For whatever decides where requests go."""
        trouble = await readiness.trouble()
        if trouble:
            return JSONResponse({"status": "not ready", "reason": trouble}, 503)
        return JSONResponse({"status": "ready"})

    async def measured(request: Request) -> Response:
        """What there is to measure tells how busy people are: for this machine, unless the settings say otherwise."""
        if settings.open_metrics or (request.client is not None and is_loopback(request.client.host)):
            metrics.ready.set(not await readiness.trouble())
            _measure(settings)
            return _exported()
        return PlainTextResponse("set COSCRIBE_OPEN_METRICS=true to read them from another machine\n", 403)

    return [Route("/healthz", _health), Route("/readyz", ready), Route("/metrics", measured)]


class Readiness:
    """Whether a server can serve. ``probe`` does nothing, but the way that a commit goes; ``now``: monotonic seconds.

    However many ask, there is one probe at a time, and what it has shown counts for `PROBE_SECONDS`.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]], now: Callable[[], float]) -> None:
        self._probe = probe
        self._now = now
        self._probing: asyncio.Task[None] | None = None
        self._draining = False
        self._trouble = ""
        self._good_until = 0.0

    async def trouble(self) -> str:
        """Why it cannot serve; empty: it can."""
        if self._draining:
            return "the server is stopping"
        if self._now() >= self._good_until:
            self._trouble = await self._ask()
            self._good_until = self._now() + PROBE_SECONDS
        return self._trouble

    def drain(self) -> None:
        """From now on it cannot: it is stopping."""
        self._draining = True
        if self._probing is not None:
            self._probing.cancel()

    async def _ask(self) -> str:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.get_running_loop().create_task(self._go())
        probing = self._probing
        await asyncio.wait({probing}, timeout=PROBE_SECONDS)
        if not probing.done() or probing.cancelled():
            return f"the database has not answered for {PROBE_SECONDS:g} s"
        error = probing.exception()
        if error is None:
            return ""
        return f"the database refuses: {error}" if isinstance(error, StorageError) else str(error)

    async def _go(self) -> None:
        await self._probe()


def _either(api: ASGIApp, pages: ASGIApp) -> ASGIApp:
    """What no other route has. (A Mount would leave out paths with a line break.)"""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if scope["path"].startswith("/api") else pages)(scope, receive, send)

    return answer


def token_secret(settings: Settings) -> bytes:
    """The key that signs tokens: the setting, or a file in the data folder that is made at first use."""
    if settings.token_secret:
        return settings.token_secret.encode()
    path = settings.folder / "token.key"
    if not path.exists():
        make_secret(path)
    return path.read_text().strip().encode()


def open_storage(settings: Settings, turn: threading.Lock | None = None) -> SqliteStorage | PostgresStorage:
    """The log in the settings' database, which is brought up to date. ``turn``: see `SqliteStorage`.

    Raises sqlite3.Error, sqlalchemy.exc.DatabaseError, PostgresUnavailable, NotServed.
    """
    if not settings.database_url:
        migrate(settings.database)
        assert_served(settings.database)
        return SqliteStorage(settings.database, turn)
    try:
        from coscribe.persistence.postgres import PostgresStorage

        migrate(settings.database_url)
        assert_served(settings.database_url)
    except ImportError as error:
        raise PostgresUnavailable(f"COSCRIBE_DATABASE_URL is set, but {error.name} is not installed") from error
    return PostgresStorage(settings.database_url)


def lock_folder(folder: Path, *, waiting: Callable[[], None] | None = None) -> IO[str]:
    """Takes a data folder for this process, until what it returns is closed.

    Where another server has it: calls ``waiting`` and returns once that one has ended; None: raises FolderInUse.
    """
    make_folder(folder)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if waiting is None:
            lock.close()
            raise FolderInUse(f"another server is using {folder}") from None
        waiting()
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def make_tracer(settings: TracingSettings) -> ExportingTracer | None:
    """What traces operations; None: nothing does, and OpenTelemetry is not imported. Raises TracingUnavailable."""
    if not settings.endpoint:
        return None
    try:
        from coscribe.exporting import ExportingTracer
    except ImportError as error:
        raise TracingUnavailable(f"COSCRIBE_TRACING is set, but {error.name} is not installed") from error
    return ExportingTracer(settings)


def _compaction(storage: Storage, router: DocumentRouter, policy: SnapshotPolicy, part: Part) -> Compaction:
    size = SegmentSize(policy.segment_entries, policy.segment_bytes, policy.segment_entries)
    return Compaction(storage, router, size, policy.segments_per_sweep, part.owns)


class _Salts:
    """Fresh random salts, drawn from the system in larger pieces."""

    def __init__(self) -> None:
        self._pool: list[bytes] = []

    def __call__(self, count: int) -> list[bytes]:
        pool = self._pool
        while len(pool) < count:
            drawn = os.urandom(SALT_BYTES * 256)
            pool.extend(drawn[start : start + SALT_BYTES] for start in range(0, len(drawn), SALT_BYTES))
        taken = pool[-count:]
        del pool[-count:]
        return taken


async def _home(request: Request) -> Response:
    return PlainTextResponse(
        "Coscribe is running.\n\n"
        f"WebSocket  ws://{request.url.netloc}{WEBSOCKET_PATH}   (protocol: docs/protocol.md)\n"
        "Health     /healthz, /readyz\nMetrics    /metrics\n\nTry: coscribe watch notes\n"
    )


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _measure(settings: Settings) -> None:
    """What is only looked at when somebody asks. Without a folder there is nothing to see."""
    if settings.folder.is_dir():
        metrics.disk_free.set(shutil.disk_usage(settings.folder).free)
        metrics.database_bytes.set(_size(settings.database))
        metrics.wal_bytes.set(_size(settings.database.with_name(f"{settings.database.name}-wal")))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _exported() -> Response:
    return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")


def tune_interpreter() -> None:
    """For a process that serves: see the comments. Called once everything is imported and put together."""
    # Operations, frames and rows hold no cycles: reference counts free them. Looking for cycles at Python's usual
    # pace costs an eighth of all processor time under load.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
