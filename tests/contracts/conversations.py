"""Runs the conversations of contract/conformance/conversations against real connections; README.md there has the form.

A conversation says what clients send, what each of them gets, and what becomes of the commits in between. Everything
from `Gateway` and `Connection` down to the storage adapter is the real thing; only the transport records, and
`HoldingLog` stands between the committer and the storage.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import collaboration as collaboration_module
from coscribe.documents.budget import Budgets
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import (
    AccessChange,
    Append,
    AppendResult,
    CursorRepo,
    Identity,
    OpLog,
    Owning,
    PathRights,
    SnapshotRepo,
    StorageError,
    Uniform,
)
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import RoleOfToken, SignedTokens, make_token
from coscribe.gateway.connection import Connection, Context
from coscribe.gateway.door import Door
from coscribe.gateway.gateway import Gateway
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.model import SALT_BYTES
from coscribe.protocol.messages import Role

FOLDER = Path(__file__).resolve().parents[2] / "contract" / "conformance" / "conversations"
FILE_ID = "notes"
SECRET = b"the secret of the conversations" * 2
PATIENCE = 5.0
"""Seconds after which a server that does not come to rest is taken to be in a loop. Nothing waits for them to pass."""

Json = Any


class Storage(OpLog, SnapshotRepo, CursorRepo, Protocol):
    """What a server needs: all ports in one object."""


class HoldingLog:
    """Storage whose commits can be made to wait, or to fail before or after they are written. Idle, it is ``inner``.

    All but `append` goes through, a turn of the event loop later: storage always takes one, which `MemoryStorage` alone
    does not, and what happens meanwhile has to be right as well.
    """

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.waiting = False
        """Whether a commit waits for `release` or `fail`."""
        self._gate = asyncio.Event()
        self._gate.set()
        self._failure: str | None = None

    def hold(self) -> None:
        """From now on commits wait; nothing of them is written."""
        self._gate.clear()

    def release(self) -> None:
        """What waits is written, and what comes after it."""
        self.waiting = False
        self._gate.set()

    def fail(self, *, written: bool) -> None:
        """The commit that waits, or else the next one, raises StorageError, and is in the log or not. It alone."""
        self._failure = "written" if written else "unwritten"
        self.release()

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        self.waiting = not self._gate.is_set()
        try:
            await self._gate.wait()
        finally:
            self.waiting = False
        failure, self._failure = self._failure, None
        if failure == "unwritten":
            raise StorageError("the disk is gone")
        results = await self.inner.append(appends)
        if failure == "written":
            raise StorageError("the disk was gone before it said yes")
        return results

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.inner, name)

        async def a_turn_later(*arguments: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            return await method(*arguments, **named)

        return a_turn_later


def held(inner: Storage) -> tuple[HoldingLog, Storage]:
    """A `HoldingLog` over the storage, as itself and as what it stands for."""
    log = HoldingLog(inner)
    return log, cast(Storage, log)


class RecordingTransport:
    """A peer that keeps what it is sent. ``closed``: the code and reason it was closed with."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None

    def send(self, frame: bytes) -> None:
        assert self.closed is None, f"sent after the close: {frame!r}"
        self.frames.append(frame)

    def ping(self) -> None:
        """A WebSocket ping is not part of the conversation."""

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)


class Rights(RoleOfToken):
    """Who may do what in a conversation: `Access` and `Authenticator` in one.

    Everybody's account is their name, and ``session:`` and their name the credential, for ever. The role of the token
    counts until ``roles`` has another one (None: no access) for a name and a file.
    """

    def __init__(self) -> None:
        self.roles: dict[tuple[str, str], Role | None] = {}
        self.ended: set[str] = set()
        """Whose session has ended."""
        self._tokens = SignedTokens(SECRET)

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        return self.roles.get((identity.account, file_id), identity.role)

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        role = await self.role(identity, workspace_id)
        return None if role is None else Uniform(role)

    async def authenticate(self, token: str) -> Identity:
        identity = await self._tokens.authenticate(token)
        name = identity.user_id
        if name in self.ended:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the session has ended")
        return identity._replace(account=name, credential=f"session:{name}", expires_at=inf)

    async def is_valid(self, identity: Identity) -> bool:
        return identity.account not in self.ended


class Server:
    """A server over some storage, with a clock that stands still until it is moved: ``time`` in seconds."""

    def __init__(
        self,
        storage: Storage,
        *,
        limits: Limits | None = None,
        gateway_limits: GatewayLimits | None = None,
        max_backlog: int = 50_000,
        rights: Rights | None = None,
        budgets: Budgets | None = None,
        owning: Owning | None = None,
    ) -> None:
        self.log, port = held(storage)
        self.rights = rights or Rights()
        self.time = 1_000.0
        self._numbers = count(1)
        self.connections: list[Connection] = []
        self._changing: asyncio.Task[None] | None = None
        self.collaboration = Collaboration(
            port,
            port,
            self.rights,
            limits=limits or Limits(),
            policy=SnapshotPolicy(),
            max_backlog=max_backlog,
            clock=lambda: int(self.time * 1_000_000),
            now=lambda: self.time,
            salts=lambda wanted: [next(self._numbers).to_bytes(SALT_BYTES, "big") for _ in range(wanted)],
            budgets=budgets,
            cursors=port,
            owning=owning,
        )
        context = Context(
            self.collaboration,
            self.rights,
            gateway_limits or GatewayLimits(),
            lambda: self.time,
            lambda: self.time,
            lambda: f"connection-{next(self._numbers)}",
            "coscribe/test",
            Pace(lambda: self.time),
        )
        self.gateway = Gateway(context, frozenset())
        self.door: Door[Any] = self.gateway

    def connect(self, transport: RecordingTransport) -> Connection:
        connection: Connection = self.door.open(transport)
        self.connections.append(connection)
        return connection

    async def change_rights(self, change: AccessChange) -> None:
        """Tells the gateway of a change, which has begun by then; `settle` waits for the rest."""
        self._changing = asyncio.get_running_loop().create_task(self._access_changed(change))
        await asyncio.sleep(0)

    async def _access_changed(self, change: AccessChange) -> None:
        await self.gateway.access_changed(change)

    def sockets(self) -> list[Any]:
        """All that stands for clients here."""
        return self.connections

    async def settle(self) -> None:
        """Returns when nothing will happen any more unless a client, the clock or a held commit moves.

        Whatever is under way is known by one of a few marks: a message that asks storage is its connection's
        ``_busy`` task, a commit is the committer's ``_running`` one (at rest too when it waits in `HoldingLog`),
        loads, snapshots, rounds of presence and changes of rights are listed by their owners. (A change that puts
        somebody out, a save and a refusal that tells fates wait for the outcome of the commit: at rest while that is.)
        Each of them moves on only through the event loop, so giving it turns until all marks are gone is enough, and no
        clock is involved. `Committer.settled` alone would not do: it knows no messages, and under a hold it would never
        return.
        """
        async with asyncio.timeout(PATIENCE):
            while self._is_moving():  # noqa: ASYNC110  (there is no event for "nothing more happens")
                await asyncio.sleep(0)

    def _is_moving(self) -> bool:
        documents = self.collaboration
        committing = documents._committer._running is not None and not self.log.waiting
        sockets = self.sockets()
        handling = sum(c._busy is not None and not c._busy.done() for c in sockets)
        connections = [each for each in sockets if isinstance(each, Connection)]
        saving = not self.log.waiting and any(c._saving and not c._saving.done() for c in connections)
        changing = len(self.gateway._applying)
        undecided = sum(len(session._undecided) for session in documents.router.sessions.values())
        background = (
            documents.router._loading or documents.router._opening or documents.snapshots._saving or documents._moved
        )
        return committing or saving or bool(background) or handling + changing > (undecided if self.log.waiting else 0)

    async def stop(self) -> None:
        """An orderly end, as the composition root does it."""
        await self.gateway.stop(1_000)

    async def kill(self) -> None:
        """The process is gone: connections drop, a commit that waits is never written."""
        for connection in self.connections:
            self.door.lost(connection)
        self.connections.clear()
        running = self.collaboration._committer._running
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        await self.settle()
        await self.log.close()


class Mismatch(AssertionError):
    """The server did something else than the conversation says."""


def difference(expected: Json, got: Json, *, whole: bool, path: str = "$") -> str | None:
    """Where ``got`` is not as expected, or None. ``whole``: it may have no field that is not expected, at any depth.

    "<any>" stands for any value.
    """
    if expected == "<any>":
        return None
    if isinstance(expected, dict) and isinstance(got, dict):
        surplus = sorted(got.keys() - expected.keys()) if whole else []
        if surplus:
            return f"{path}: has {', '.join(surplus)} too"
        for key, value in expected.items():
            if key not in got:
                return f"{path}: {key} is missing"
            found = difference(value, got[key], whole=whole, path=f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        found_in = (
            difference(value, other, whole=whole, path=f"{path}[{index}]")
            for index, (value, other) in enumerate(zip(expected, got, strict=True))
        )
        return next(filter(None, found_in), None)
    same = type(expected) is type(got) and expected == got
    return None if same else f"{path}: expected {json.dumps(expected)}, got {json.dumps(got)}"


class Person:
    """One connection of a conversation and what it has not been asked about yet."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport = RecordingTransport()
        self.connection = server.connect(self.transport)
        self._read = 0

    def unread(self, ignored: Sequence[str]) -> Iterator[Json]:
        """The messages behind the last one that was taken."""
        for index in range(self._read, len(self.transport.frames)):
            message = json.loads(self.transport.frames[index])
            if message["type"] not in ignored:
                yield message

    def take(self, ignored: Sequence[str]) -> Json | None:
        """The next message; None where there is none."""
        while self._read < len(self.transport.frames):
            message = json.loads(self.transport.frames[self._read])
            self._read += 1
            if message["type"] not in ignored:
                return message
        return None


class Conversation:
    """One conversation, run step by step. ``open_storage`` gives a fresh handle on one and the same storage,
    ``make_server`` a server over it: called as `Server` is."""

    def __init__(
        self, record: Json, open_storage: Callable[[], Storage], make_server: Callable[..., Server] | None = None
    ) -> None:
        self._make_server = make_server or Server
        self._record = record
        self._open_storage = open_storage
        self._given: dict[str, Json] = record.get("given", {})
        self._roles: dict[str, str] = self._given.get("people", {})
        self._ignored: list[str] = record.get("ignore", ["presence", "left"])
        self._servers: dict[str, Server] = {}
        self._people: dict[str, Person] = {}
        self._names: dict[str, str] = {}
        self._time = 1_000.0

    async def run(self) -> None:
        """Raises Mismatch with the number of the step that did not go as it says."""
        try:
            await self._prepare()
            for number, step in enumerate(self._record["steps"], 1):
                try:
                    await self._step(step)
                    self._note()
                except (Mismatch, TimeoutError) as error:
                    detail = str(error) or "the server does not come to rest"
                    raise Mismatch(f"step {number}, {json.dumps(step, ensure_ascii=False)}: {detail}") from None
            for name, person in self._people.items():
                left_over = list(person.unread(self._ignored))
                if left_over:
                    raise Mismatch(f"at the end {name} has got more: {json.dumps(left_over, ensure_ascii=False)}")
        finally:
            for server in self._servers.values():
                await server.kill()

    async def _prepare(self) -> None:
        if "text" in self._given:
            await self._open("setup", "owner", "main")
            await self._go_live("setup")
            operation = {"operationId": "setup:1", "userId": "setup", "baseVersion": 0}
            edit = {"operationType": "insert", "position": 0, "payload": self._given["text"]}
            await self._send("setup", {"type": "operation", "fileId": FILE_ID} | operation | edit)
            while self._people["setup"].take(()):
                pass
            await self._hang_up("setup")
        for name in self._given.get("live", []):
            await self._open(name, None, "main")
            await self._go_live(name)
        for person in self._people.values():
            while person.take(()):
                pass

    async def _step(self, step: Json) -> None:
        step = self._filled_in(step)
        if "open" in step:
            await self._open(step["open"], step.get("role"), step.get("server", "main"))
        elif "send" in step:
            await self._send(step["from"], step["send"])
        elif "connect" in step:
            self._person(step["connect"])
        elif "hangUp" in step:
            await self._hang_up(step["from"])
        elif "reads" in step:
            connection = self._person(step["from"]).connection
            (connection.resume if step["reads"] else connection.pause)()
            await self._settle()
        elif "rights" in step:
            await self._change_rights(step)
        elif "storage" in step:
            await self._storage(step["storage"], step.get("file", FILE_ID))
        elif "clock" in step:
            await self._pass_time(step["clock"])
        elif "server" in step:
            await self._servers["main"].stop()
        else:
            for name in [step["to"]] if isinstance(step["to"], str) else step["to"]:
                self._check(name, step)

    async def _storage(self, what: str, file_id: str) -> None:
        server = self._servers["main"]
        actions: dict[str, Callable[[], Awaitable[Any] | None]] = {
            "hold": server.log.hold,
            "release": server.log.release,
            "failBefore": lambda: server.log.fail(written=False),
            "failAfter": lambda: server.log.fail(written=True),
            "fence": lambda: server.log.inner.acquire(file_id),
            "restart": self._restart,
        }
        waited_for = actions[what]()
        if waited_for is not None:
            await waited_for
        await self._settle()

    async def _change_rights(self, step: Json) -> None:
        """Returns while the change may still wait for the disk."""
        for server in self._servers.values():
            user, rights = step["of"], server.rights
            change = AccessChange(workspace_id=step.get("file", FILE_ID), account=user)
            if step["rights"] == "session ended":
                rights.ended.add(user)
                change = AccessChange(credential=f"session:{user}")
            else:
                rights.roles[user, change.workspace_id] = None if step["rights"] == "none" else step["rights"]
            await server.change_rights(change)
        await self._settle()

    async def _restart(self) -> None:
        server = self._servers.pop("main")
        await server.kill()
        self._server("main")

    async def _pass_time(self, seconds: float) -> None:
        self._time += seconds
        for server in self._servers.values():
            server.time = self._time
            for socket in server.sockets():
                socket.check(self._time)
        await self._settle()

    async def _open(self, name: str, role: str | None, server: str) -> None:
        """Connects, says hello and takes the welcome."""
        self._done_with(name)
        self._people[name] = Person(self._server(server))
        token = self._token(name, role)
        await self._send(name, {"type": "hello", "protocol": [1], "token": token})
        welcome = self._people[name].take(())
        if welcome is None or welcome["type"] != "welcome":
            raise Mismatch(f"{name} is not welcome: {welcome}")
        self._names[f"connection:{name}"] = welcome["connectionId"]

    async def _go_live(self, name: str) -> None:
        await self._send(name, {"type": "join", "fileId": FILE_ID})
        snapshot = next(self._people[name].unread(("welcome", "presence")))
        at = snapshot["snapshotSequenceId"]
        await self._send(name, {"type": "snapshotApplied", "fileId": FILE_ID, "snapshotSequenceId": at})

    async def _send(self, name: str, message: Json) -> None:
        person = self._person(name)
        person.connection.receive(json.dumps(message, ensure_ascii=False).encode())
        await self._settle()
        self._note()

    def _done_with(self, name: str) -> None:
        """An earlier connection of this name is forgotten, which must not hide anything that it got."""
        person = self._people.pop(name, None)
        for message in person.unread(self._ignored) if person else ():
            raise Mismatch(f"{name} has got {json.dumps(message, ensure_ascii=False)}")

    async def _hang_up(self, name: str) -> None:
        person = self._person(name)
        self._done_with(name)
        person.server.door.lost(person.connection)
        await self._settle()

    def _check(self, name: str, step: Json) -> None:
        person = self._person(name)
        if "closed" in step:
            closed = person.transport.closed
            got = None if closed is None else {"code": closed[0], "reason": closed[1]}
            found = difference(step["closed"], got, whole=True)
        elif "nothing" in step:
            got = next(person.unread(self._ignored), None)
            found = None if got is None else "a message came"
        else:
            got = person.take(self._ignored)
            whole = "expect" in step
            found = difference(step["expect" if whole else "includes"], got, whole=whole)
        if found:
            raise Mismatch(f"{name}, {found}\n    got {json.dumps(got, ensure_ascii=False)}")

    async def _settle(self) -> None:
        for server in self._servers.values():
            await server.settle()

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            limits = self._record.get("limits", {})
            server = self._servers[name] = self._make_server(
                self._open_storage(),
                limits=_limits(Limits(), limits),
                gateway_limits=_limits(GatewayLimits(), limits),
                max_backlog=limits.get("maxBacklog", 50_000),
            )
            server.time = self._time
        return self._servers[name]

    def _person(self, name: str) -> Person:
        if name not in self._people:
            self._people[name] = Person(self._server("main"))
        return self._people[name]

    def _token(self, name: str, role: str | None) -> str:
        user = name.partition("/")[0]
        chosen: Any = role or self._roles.get(user, "editor")
        return make_token(SECRET, user, chosen, 3_600)

    def _note(self) -> None:
        """Keeps the opaque values that went by, under the names that steps know them by."""
        for name, person in self._people.items():
            for message in person.unread(()):
                kind = message["type"]
                if kind == "welcome":
                    self._names[f"connection:{name}"] = message["connectionId"]
                if message.get("fileId") != FILE_ID:
                    continue
                if kind in ("snapshot", "live"):
                    self._name("incarnation", message["incarnation"])
                if kind == "snapshot":
                    self._name(f"chain:{message['snapshotSequenceId']}", message["chainHash"])
                if kind in ("committed", "resent") and message["operations"]:
                    self._name(f"chain:{message['operations'][-1]['serverSequenceId']}", message["chainHash"])

    def _name(self, name: str, value: str) -> None:
        if self._names.setdefault(name, value) != value:
            raise Mismatch(f"{name} was {self._names[name]}, now it is {value}")

    def _filled_in(self, value: Json) -> Json:
        """The step with the names in angle brackets replaced by what they stand for."""
        if isinstance(value, dict):
            return {key: self._filled_in(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled_in(item) for item in value]
        name = re.fullmatch(r"<(.+)>", value) if isinstance(value, str) else None
        if name is None or name[1] == "any":
            return value
        if name[1].startswith("token:"):
            return self._token(name[1].removeprefix("token:"), None)
        if name[1] not in self._names:
            raise Mismatch(f"{value} has not gone by yet")
        return self._names[name[1]]


def in_snake_case(name: str) -> str:
    """``windowOperations`` -> ``window_operations``."""
    return re.sub("[A-Z]", lambda upper: f"_{upper[0].lower()}", name)


_L = TypeVar("_L", Limits, GatewayLimits)


def _limits(defaults: _L, wanted: dict[str, int]) -> _L:
    """The limits with those changed that are named, in camelCase."""
    named = {in_snake_case(name): value for name, value in wanted.items()}
    return defaults._replace(**{name: value for name, value in named.items() if name in defaults._fields})


def load(path: Path) -> Json:
    """A conversation as it is written."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def constants(record: Json) -> Iterator[None]:
    """Sets what is a constant of a module: the page of a resend, and presence that is told without delay."""
    module = collaboration_module
    kept = module.RESEND_PAGE, module.PRESENCE_INTERVAL, module.EVICTION_SECONDS
    module.RESEND_PAGE = record.get("limits", {}).get("resendPage", kept[0])
    module.PRESENCE_INTERVAL = 0.0
    module.EVICTION_SECONDS = 1e6  # no commit is slow here, however long it is held
    try:
        yield
    finally:
        module.RESEND_PAGE, module.PRESENCE_INTERVAL, module.EVICTION_SECONDS = kept
