"""The world of a simulation: a disk, servers on it, people with their clients, and a network between them.

Everything is the product's own but the network, the disk and the clocks: core, sessions, committer, router, snapshot
manager, gateway, connections, client, replica, pending files.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from coscribe.client.client import Client, ClientSettings, Surroundings
from coscribe.client.document import Document
from coscribe.client.link import Link, Received
from coscribe.client.opened import Opened, State
from coscribe.client.pending import PendingFile
from coscribe.client.replica import Batching
from coscribe.client.workspace import Workspace
from coscribe.core.document_state import Limits
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import Operation, components, deleted_text, from_edits
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import AccessChange, Identity, PathRights, Uniform
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.connection import Context
from coscribe.gateway.gateway import Gateway
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Kind, Role, TreeEdit
from tests.client.network import Alphabet
from tests.simulation.disk import Disk, FaultyStorage
from tests.simulation.network import LATENCY, Network
from tests.simulation.oracle import Book, Oracle, require
from tests.simulation.plan import Plan
from tests.simulation.virtual_loop import Process, VirtualLoop

AT_REST_SECONDS = 300.0
"""Virtual seconds after which everybody must have everything, once nothing fails any more."""

EPOCH = 1_800_000_000.0


class World:
    """Everything, at the beginning of a plan. ``folder``: where pending files go."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.loop = VirtualLoop()
        self.nature = Process("nature")
        rng = random.Random(plan.seed)
        self.disk = Disk(self.loop, self.nature, random.Random(rng.random()))
        self.network = Network(self.loop, self.nature, random.Random(rng.random()))
        self.oracle = Oracle()
        self.oracle.now = self.loop.time
        self.book = Book()
        self.alphabet = Alphabet()
        self.clock_skew = 0.0
        self.roles: dict[str, Role | None] = {}
        self.files = [f"file{number}" for number in range(plan.files)]
        self.root = "space" if plan.trees else ""
        self.people = [Person(self, f"u{number}") for number in range(plan.people)]
        self.server: Server | None = None
        self.old_servers: list[Server] = []
        self._made = 0
        self._salts = random.Random(rng.random())
        self.disk.committed = self.oracle.committed
        self.disk.forgotten = self.oracle.forgotten
        self.network.sent = lambda wire, frame: self.oracle.sent(frame, wire)
        self.network.asked = lambda wire, frame: self.oracle.asked(frame, wire)

    def number(self) -> int:
        self._made += 1
        return self._made

    def salts(self, count: int) -> list[bytes]:
        return [self._salts.randbytes(16) for _ in range(count)]

    def time(self) -> float:
        """The clock on the wall, in seconds since 1970. It may jump."""
        return EPOCH + self.loop.time() + self.clock_skew

    # ---- servers

    def serve(self) -> None:
        """Starts a server; the network brings new connections to it."""
        if self.server is None:
            self.server = Server(self)
            self.network.gateway, self.network.server = self.server.gateway, self.server.process

    def crash(self, *, power: bool = False) -> None:
        server, self.server = self.server, None
        self.network.gateway = self.network.server = None
        for each in [server, *self.old_servers] if power else [server]:
            if each is not None:
                self._kill(each)
        if power:
            self.disk.cut_power()

    def _kill(self, server: Server) -> None:
        self.loop.kill(server.process)
        for wire in self.network.wires:
            if wire.server is server.process:
                wire.cut()

    async def drain(self) -> None:
        """Stops the server as an operator does."""
        server, self.server = self.server, None
        self.network.gateway = self.network.server = None
        if server is not None:
            self.old_servers.append(server)
            await self.loop.start(server.process, server.gateway.stop(1_000))
            self._kill(server)

    def supersede(self) -> None:
        """Another server starts while this one is stopped in its tracks; it will go on later, not knowing."""
        self.oracle.denied.clear()
        server, self.server = self.server, None
        if server is not None:
            self.loop.pause(server.process)
            self.old_servers.append(server)
        self.serve()

    def wake_the_old(self) -> None:
        for server in self.old_servers:
            if server.process.paused:
                self.loop.go_on(server.process)

    def set_role(self, user_id: str, role: Role | None) -> Coroutine[None, None, None]:
        """Changes a right, as the API does: durable first, then told to the open sockets by what is returned. When that
        is through, nothing that is not theirs may reach them, nor anything of theirs the log."""
        self.roles[user_id] = role
        self.oracle.denied.pop(user_id, None)
        return self._tell_of_access(user_id)

    async def _tell_of_access(self, user_id: str) -> None:
        server = self.server
        if server is not None and not server.process.paused:
            change = AccessChange(account=user_id)
            await self.loop.start(server.process, server.gateway.access_changed(change))
            is_alone = all(old.process.dead for old in self.old_servers)
            if is_alone and self.roles[user_id] in (None, "viewer"):
                self.oracle.denied[user_id] = self.loop.time()

    def check(self) -> None:
        """Whether something has failed that nobody waits for, a check of the oracle's among it."""
        require(not self.loop.troubles, "something was not looked after")

    # ---- the end

    async def come_to_rest(self) -> None:
        """Nothing fails any more, and everybody comes back: what must hold then?"""
        self.disk.heal()
        self.network.unruly = 0.0
        self.network.latency = LATENCY
        for person in self.people:
            self.roles[person.user_id] = "editor"
        for old in self.old_servers:
            if not old.process.dead:
                self._kill(old)
        if self.old_servers:
            # Two owners took turns. The fence keeps the log right; that the one who lost it notices before the next
            # write is up to leases, which one server on a locked folder does without.
            self.crash()
        self.serve()
        for person in self.people:
            await self.set_role(person.user_id, "editor")
            person.come_back()
        await self.until(lambda: all(person.is_at_rest for person in self.people), "everybody is live and idle")
        for person in self.people:
            for document in person.documents.values():
                self.oracle.at_rest(document)
            if person.workspace is not None:
                require(person.workspace.sequence == self.oracle.truth(self.root).sequence, "a tree stays behind")
        self.oracle.replayed()
        self.oracle.trees_at_rest()
        self.book.check(self.oracle)
        self.crash()
        self.serve()
        await self.until(lambda: all(person.is_at_rest for person in self.people), "everybody is back after a crash")
        for person in self.people:
            for document in person.documents.values():
                self.oracle.at_rest(document)

    async def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = self.loop.time() + AT_REST_SECONDS
        while not reached():
            self.check()
            require(self.loop.time() < deadline, f"{what}: not in {AT_REST_SECONDS} s; {self.describe()}")
            await asyncio.sleep(0.25)
            for person in self.people:
                person.reopen()

    def describe(self) -> str:
        return "; ".join(person.describe() for person in self.people)


class Server:
    """One server process with its memory."""

    def __init__(self, world: World) -> None:
        self.process = Process(f"server{world.number()}")
        self.world = world
        plan, loop = world.plan, world.loop
        storage = FaultyStorage(world.disk)
        self.collaboration = Collaboration(
            storage,
            storage,
            Doorman(world.roles),
            limits=Limits(
                file_length=20_000,
                operation_length=1_000,
                chain_operations=8,
                window_operations=plan.window,
                window_bytes=100_000,
                rebase_steps=50_000,
            ),
            policy=SnapshotPolicy(operations=plan.snapshot_every, seconds=5.0, keep=2, idle_seconds=8.0),
            max_backlog=plan.backlog,
            clock=lambda: int(world.time() * 1_000_000),
            now=loop.time,
            salts=world.salts,
        )
        context = Context(
            self.collaboration,
            Doorman(world.roles),
            GatewayLimits(buffer_bytes=60_000, inbox_messages=64, lag_seconds=15.0),
            loop.time,
            world.time,
            lambda: f"c{world.number()}",
            "simulated",
            Pace(loop.time),
        )
        self.gateway = Gateway(context, frozenset())
        self.process.context.run(loop.call_soon, self.gateway.start)


class Doorman:
    """Lets in whoever has a name: tokens are user ids. ``roles``: who is something else than an editor now."""

    def __init__(self, roles: Mapping[str, Role | None]) -> None:
        self._roles = roles

    async def authenticate(self, token: str) -> Identity:
        await asyncio.sleep(0.001)
        return Identity(token, token, "#123456", "owner", account=token)

    async def is_valid(self, identity: Identity) -> bool:
        return True

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        await asyncio.sleep(0.001)
        return self._roles.get(identity.user_id, "editor")

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        role = await self.role(identity, workspace_id)
        return None if role is None else Uniform(role)

    async def may_create(self, identity: Identity, file_id: str) -> bool:
        return True

    def opened(self, identity: Identity, file_id: str) -> None:
        """Nobody keeps a record of that."""

    def refused(self, identity: Identity, file_id: str) -> None:
        """Nobody keeps a record of that."""


class Person:
    """Somebody with one client process at a time, which has the files open and types into them."""

    def __init__(self, world: World, user_id: str, folder: Path | None = None) -> None:
        self.world = world
        self.user_id = user_id
        self.folder = folder or world.folder / user_id
        self.process = Process(user_id)
        self.documents: dict[str, Document] = {}
        self.opened: dict[str, None] = {}
        """The texts of the tree that they have ever had open."""
        self.workspace: Workspace | None = None
        self.client: Client | None = None

    def start(self) -> None:
        """A new client process, with what the one before has left in its folder."""
        world = self.world
        self.process = Process(f"{self.user_id}-{world.number()}")
        chance = random.Random(world.number())

        def dial(received: Received) -> asyncio.Future[Link]:
            def heard(link: Link, frame: bytes) -> None:
                received(link, frame)
                self.look()

            return asyncio.ensure_future(world.network.dial(self.process, heard, settings.silent_after))

        settings = ClientSettings(
            pending_folder=self.folder,
            batching=list(Batching)[world.number() % 3],
            chain=4,
            backoff=0.1,
            max_backoff=3.0,
            silent_after=20.0,
        )
        surroundings = Surroundings(
            dial,
            chance.random,
            lambda: f"{self.user_id}s{world.number()}",
            lambda user_id, file_id: PendingFile.in_folder(self.folder, user_id, file_id),
        )
        self.process.context.run(self._open, settings, surroundings)

    def _open(self, settings: ClientSettings, surroundings: Surroundings) -> None:
        self.client = Client("", self.user_id, settings, surroundings)
        if self.world.root:
            self.workspace = self.client.open_workspace_offline(self.world.root)
        self.documents = {file_id: self.client.open_offline(file_id) for file_id in (*self.world.files, *self.opened)}
        self.client.start()

    def crash(self) -> None:
        self.look()
        self.world.loop.kill(self.process)
        for wire in self.world.network.of(self.process):
            wire.link.abort()
        self.documents.clear()
        self.workspace = self.client = None

    def clone(self) -> Person:
        """Somebody has copied the whole device: another process of the same user with the same pending files."""
        number = self.world.number()
        folder = self.world.folder / f"{self.user_id}-copy-{number}"
        if self.folder.exists():
            shutil.copytree(self.folder, folder)
        copy = Person(self.world, self.user_id, folder)
        copy.opened = dict(self.opened)
        return copy

    def come_back(self) -> None:
        if self.client is None:
            self.start()
        elif self.process.paused:
            self.world.loop.go_on(self.process)
        self.reopen()
        if self.client is not None:
            self.client.drop_connection()

    # ---- what chance may ask for

    def act(self, file_id: str, rng: random.Random, edit: Callable[[Document, random.Random], None]) -> None:
        if self.client is None or self.process.paused or self.process.dead:
            return
        self.reopen()
        self.process.context.run(edit, self.documents[file_id], rng)
        self.look()

    def _in_tree(self, act: Callable[[Workspace], None]) -> None:
        """Does something with a tree that is known, if somebody is there to do it."""
        if self.client is None or self.process.paused or self.process.dead:
            return
        self.reopen()
        if self.workspace is not None and self.workspace._replica.tree is not None:
            self.process.context.run(act, self.workspace)
        self.look()

    def grow(self, rng: random.Random) -> None:
        def change(workspace: Workspace) -> None:
            known = sorted(workspace.tree.below("")) or ["nothing"]
            folders = [each for each in known if each in workspace.tree and workspace.node(each).kind == "directory"]
            edits: list[TreeEdit] = []
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                at, which = rng.choice([self.world.root, self.world.root, *folders]), rng.choice(known)
                name = rng.choice(("a", "b", "b", "c.txt"))
                kind: Kind = rng.choice(("text", "text", "directory"))
                edits.append(
                    rng.choice(
                        (
                            messages.CreateNode(at, name, kind, exact=rng.random() < 0.2),
                            messages.CreateNode(at, name, kind),
                            messages.MoveNode(which, at, rng.choice((None, name)), rng.choice(("", *known))),
                            messages.MoveNode(which, None, name),
                            messages.DeleteNode(which),
                            messages.RestoreNode(which, rng.choice((None, at))),
                            messages.SetProperty(which, "mode", rng.choice(("755", ""))),
                        )
                    )
                )
            self._meant(workspace, lambda: workspace.change(edits))

        self._in_tree(change)

    def undo_in_tree(self, rng: random.Random) -> None:
        self._in_tree(lambda workspace: self._meant(workspace, rng.choice((workspace.undo, workspace.redo))))

    def _meant(self, workspace: Workspace, change: Callable[[], object]) -> None:
        """What is pending afterwards and was not before is what they wanted. (It may be on its way already.)"""
        with suppress(ValueError, CoscribeError):
            change()
        self.world.oracle.trees[self.world.root].meant.update(each.operation_id for each in workspace._replica.pending)

    def write(self, rng: random.Random) -> None:
        """Types into some text of the tree, a new one often: the server need not have heard of it."""

        def type_in(workspace: Workspace) -> None:
            texts = sorted(each for each in workspace.tree.below("") if workspace.node(each).kind == "text")
            if texts:
                file_id = rng.choice(texts)
                self.opened[file_id] = None
                self.documents[file_id] = workspace.open_offline(file_id)
                self.type(self.documents[file_id], rng)

        self._in_tree(type_in)

    def save(self) -> None:
        """Somebody asks for a barrier and goes on."""

        def ask(workspace: Workspace) -> None:
            if workspace.state is State.LIVE:
                workspace._client.send(codec.encode(messages.Save()))
                workspace._client.send(codec.encode(messages.Save(self.world.root)))

        self._in_tree(ask)

    def type(self, document: Document, rng: random.Random) -> None:
        """One to three edits at once, near each other and near the ends as often as not."""
        if document._replica.buffer is None:
            return
        before = document.text
        edits: list[tuple[int, int, str]] = []
        position = 0
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            position += rng.choice((0, 0, 1, rng.randint(0, len(before)), len(before)))
            if position > len(before):
                break
            deleted = min(len(before) - position, rng.choice((0, 0, 0, 1, 2, 5)))
            edits.append((position, deleted, self.world.alphabet.take(rng.choice((0, 1, 1, 2, 3)))))
            position += deleted
        try:
            document.edit(edits)
        except (ValueError, CoscribeError):
            return
        self._noted(before, from_edits(edits))

    def undo(self, document: Document, rng: random.Random) -> None:
        self._take_back(document, document.undo)

    def redo(self, document: Document, rng: random.Random) -> None:
        self._take_back(document, document.redo)

    def _take_back(self, document: Document, take_back: Callable[[], bool]) -> None:
        before, noted = document.text, []
        stop = document.listen(lambda change: noted.append(from_edits(change.edits or [])))
        try:
            take_back()
        except (ValueError, CoscribeError):
            return
        finally:
            stop()
        for operation in noted:
            self._noted(before, operation)

    def _noted(self, before: str, operation: Operation) -> None:
        inserted = "".join(part for part in components(operation) if isinstance(part, str))
        self.world.book.note(inserted, deleted_text(before, operation))

    # ---- what must hold

    @property
    def is_at_rest(self) -> bool:
        files: list[Opened[Any]] = [*self.documents.values()]
        if self.workspace is not None:
            files.append(self.workspace)
        return bool(files) and all(
            file.state is State.LIVE
            and not file._replica.pending
            and file.sequence == self.world.oracle.truth(file.file_id).sequence
            for file in files
        )

    def describe(self) -> str:
        return ", ".join(
            f"{self.process} {document.state.value} at {document.sequence} with {document.pending}"
            for document in self.documents.values()
        )

    def look(self) -> None:
        """After each message and each edit: is the replica what it must be? What was handed back is noted."""
        workspace = self.workspace
        if workspace is not None:
            tree = self.world.oracle.trees[self.world.root]
            tree.handed_back.update(patch.operation_id for patch in workspace.patches)
            if workspace.state is not State.ENDED and not workspace._afresh:
                self.world.oracle.tree_replica(workspace._replica)
        for document in self.documents.values():
            for patch in document.patches:
                for edits in patch.edits:
                    self.world.book.handed_back.update("".join(edit[2] for edit in edits))
            unsettled = document.state in (State.BRIDGING, State.ENDED) or document._afresh or document._holds_refused
            if not unsettled:
                self.world.oracle.replica(document._replica)

    def reopen(self) -> None:
        """Where access has ended there is a document again as soon as somebody asks for it."""
        workspace = self.workspace
        if workspace is not None and workspace.state is State.ENDED and self.client is not None:
            self.client.forget(workspace)
            self.workspace = self.process.context.run(self.client.open_workspace_offline, self.world.root)
        for file_id, document in tuple(self.documents.items()):
            if document.state is State.ENDED and self.client is not None:
                self.client.forget(document)
                if file_id in self.opened and file_id not in self.world.oracle.trees[self.world.root].tree:
                    del self.documents[file_id], self.opened[file_id]  # it was never made
                    continue
                self.documents[file_id] = self.process.context.run(self.client.open_offline, file_id)


class Liar:
    """Speaks the protocol over a wire of its own and says what no honest client does."""

    def __init__(self, world: World, user_id: str, frames: list[bytes]) -> None:
        self._world = world
        self._user_id = user_id
        self._frames = frames
        self.process = Process(f"liar-{world.number()}")

    def start(self) -> None:
        self._world.loop.start(self.process, self._lie())

    async def _lie(self) -> None:
        world = self._world
        welcomed = asyncio.Event()

        def heard(link: Link, frame: bytes) -> None:
            welcomed.set()
            message = codec.decode_server(frame)
            if isinstance(message, messages.Snapshot):
                link.send(codec.encode(messages.SnapshotApplied(message.file_id, message.snapshot_sequence_id)))

        try:
            link = await world.network.dial(self.process, heard, 20.0)
            link.send(codec.encode(messages.Hello([1], self._user_id, "liar")))
            async with asyncio.timeout(10.0):
                await welcomed.wait()
            for file_id in world.files:
                link.send(codec.encode(messages.Join(file_id)))
            await asyncio.sleep(1.0)
            for frame in self._frames:
                link.send(frame)
                await asyncio.sleep(0.05)
            link.abort()
        except (ConnectionError, TimeoutError):
            return


@contextmanager
def quiet() -> Iterator[None]:
    """What is logged of faults that are made on purpose helps nobody."""
    before, level = structlog.get_config(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        logging.disable(level)
        structlog.configure(**before)
