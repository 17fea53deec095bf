"""A cluster without sockets, on virtual time: real keepers, real engines, a database that answers late or never.

    people --edit, read--> core: Keeper, Collaboration --Way--> Database: MemoryStorage, MemoryTable
                             own clock, own faults                its own clock

Every call of a core goes to the database over its `Way`, and back. What is on its way arrives whatever becomes of who
sent it: that is what makes a late commit, a late release, a late load. Clocks run at rates of their own.

`Truth` sees the database, not the cores, and checks each append as it is accepted, who else owns what at that moment,
and whatever anybody was shown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

from coscribe.cluster import leases as leases_module
from coscribe.cluster import shards as shards_module
from coscribe.cluster.keeper import Keeper
from coscribe.cluster.leases import MemoryLeases, MemoryTable
from coscribe.cluster.ownership import FENCE_SECONDS, Duty
from coscribe.cluster.ports import Instance
from coscribe.cluster.shards import shard_of
from coscribe.core.document_state import FileState, Limits
from coscribe.core.errors import CoscribeError
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import Append, AppendResult, Identity, OpLog, SnapshotRepo, StorageError
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.model import GENESIS, SALT_BYTES, LogEntry, Workspace, committed_from, link
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from tests.simulation.disk import _at_once
from tests.simulation.virtual_loop import Process, VirtualLoop
from tests.simulation.world import Doorman, quiet

_T = TypeVar("_T")

SHARDS = 8
"""Few, so that a schedule is quick: where each belongs is worked out with each look."""

ANSWER_SECONDS = 2.0
"""After that a core takes a call to its storage as failed, of unknown outcome."""

LIMITS = Limits(window_operations=512)


class Violation(Exception):
    """Something that must never be."""


class Clock:
    """Runs at a rate of its own."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, most: float) -> None:
        self._loop = loop
        self._at = rng.uniform(0.0, 1e6)
        self._rate = 1.0 + rng.uniform(-most, most)

    def __call__(self) -> float:
        return self._at + self._rate * self._loop.time()


class Way:
    """From one core to the database and back. ``to``, ``back``: seconds that a call may take at most to get there, and
    its answer; ``straggling``: how likely it is that a call is overtaken; ``cut``: nothing gets there, and that is
    told; ``mute``: answers do not come back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.heal()

    def heal(self) -> None:
        self.to = self.back = 0.004
        self.cut = self.mute = False
        self.twice = self.straggling = 0.0

    async def ask(self, act: Callable[[], _T], *, may_double: bool = False) -> _T:
        loop, rng = self._world.loop, self._world.rng
        if self.cut:
            await asyncio.sleep(0.002)
            raise StorageError("the database cannot be reached")
        answer: asyncio.Future[_T] = loop.create_future()
        context = self._world.database.context

        def answered(give: Callable[[], object]) -> None:
            if not self.mute:
                loop.call_later(rng.uniform(0.0005, self.back), lambda: answer.done() or give())

        def arrived() -> None:
            try:
                result = act()
            except CoscribeError as error:
                refusal = error
                answered(lambda: answer.set_exception(refusal))
            except Violation as violation:
                self._world.violation = self._world.violation or violation
            else:
                answered(lambda: answer.set_result(result))

        delay = rng.uniform(0.0005, 8.0 if rng.random() < self.straggling else self.to)
        loop.call_later(delay, arrived, context=context)
        if may_double and rng.random() < self.twice:
            loop.call_later(delay + rng.uniform(0.0, 3.0), arrived, context=context)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise StorageError("the database said nothing") from None


class FarLeases(MemoryLeases):
    """Leases of one instance, over its way."""

    def __init__(self, world: World, way: Way) -> None:
        super().__init__(world.table)
        self._way = way

    async def _ask(self, act: Callable[[], _T]) -> _T:
        return await self._way.ask(act)


class FarStorage:
    """OpLog and SnapshotRepo of one core, over its way."""

    def __init__(self, world: World, core: Core) -> None:
        self._world = world
        self._core = core

    async def acquire(self, workspace_id: str) -> Workspace | None:
        def act() -> Workspace | None:
            workspace = _at_once(self._world.storage.acquire(workspace_id))
            if workspace is not None:
                self._world.truth.acquired(workspace, self._core)
            return workspace

        return await self._core.way.ask(act)

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        def act() -> list[AppendResult]:
            results = _at_once(self._world.storage.append(appends))
            for append, result in zip(appends, results, strict=True):
                self._world.truth.appended(append, result)
            return results

        return await self._core.way.ask(act, may_double=True)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._world.storage, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._core.way.ask(lambda: _at_once(method(*arguments, **named)))

        return call


class Core:
    """One process: a keeper and an engine. ``rogue``: it takes all workspaces for its own, whatever the leases say."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.process = Process(f"{name}-{world.number()}")
        self.way = Way(world)
        self.clock = Clock(world.loop, world.rng, world.skew)
        self.rogue = False
        self.leaving = False
        self.connected = True
        self.shown: dict[str, float] = {}
        """When it was decided last that a workspace may be shown."""
        self.instance = Instance(f"{world.number():06}-{name}", name, is_core=True)
        storage: Any = FarStorage(world, self)
        log: OpLog = storage
        snapshots: SnapshotRepo = storage
        self.collaboration = Collaboration(
            log,
            snapshots,
            Doorman({}),
            limits=LIMITS,
            policy=SnapshotPolicy(operations=20, keep=2),
            max_backlog=10_000,
            clock=world.number,
            now=self.clock,
            salts=lambda count: [world.number().to_bytes(SALT_BYTES, "big") for _ in range(count)],
            owning=self,
        )
        self.keeper = Keeper(
            FarLeases(world, self.way),
            self.instance,
            self.clock,
            hand_over=self.collaboration.hand_over,
            drop=self.collaboration.drop_unowned,
            tell=self._tell,
            connected=lambda: self.connected or world.in_peace,
        )

    def start(self) -> None:
        async def start() -> None:
            while True:
                try:
                    return await self.keeper.start()
                except StorageError:
                    await asyncio.sleep(0.5)

        self.world.loop.start(self.process, start())

    # ---- Owning

    def owns(self, workspace_id: str) -> bool:
        return self.rogue or self.keeper.owns(workspace_id)

    def holds(self, workspace_id: str) -> bool:
        holds = self.rogue or self.keeper.holds(workspace_id)
        if holds:
            self.shown[workspace_id] = self.world.loop.time()
        return holds

    def sober(self) -> None:
        """It is no rogue any more: what it has in memory may be what it never owned."""
        self.rogue = False
        if not self.process.dead:
            for session in list(self.collaboration.router.sessions.values()):
                self.process.context.run(self.collaboration._put_out, session)

    def _tell(self) -> None:
        """The bus, which may lose it."""
        for other in self.world.living():
            if other is not self and self.connected and other.connected and self.world.rng.random() < 0.9:
                delay = self.world.rng.uniform(0.0005, 0.01)
                self.world.loop.within(other.process, delay, other.look)

    def look(self) -> None:
        asking = asyncio.ensure_future(self.keeper.look_again())
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())


class Accepted(NamedTuple):
    """An entry of the log, who had it accepted, and the text behind it. ``rightful``: as far as the leases go."""

    entry: LogEntry
    epoch: int
    core: Core
    rightful: bool
    time: float
    text: str


class Truth:
    """What the database has accepted, in order, by workspace; checked as it happens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.logs: dict[str, list[Accepted]] = {document: [] for document in world.documents}
        self._states = {document: FileState(document, "", 0, 0, LIMITS) for document in world.documents}
        self._names = dict(enumerate(world.documents, 1))
        self._owners: dict[tuple[str, int], tuple[Core, bool]] = {}
        self.refused = 0
        self.two_owners = 0

    def acquired(self, workspace: Workspace, core: Core) -> None:
        self._owners[workspace.workspace_id, workspace.epoch] = core, not core.rogue

    def appended(self, append: Append, result: AppendResult) -> None:
        document = self._names[append.workspace_key]
        log = self.logs[document]
        if result is AppendResult.REFUSED:
            self.refused += 1
            head = self._world.storage._by_id[document]
            ids = {accepted.entry.operation_id for accepted in log}
            if append.epoch == head.epoch and not any(entry.operation_id in ids for entry in append.entries):
                raise Violation(f"{document}: who loaded it last was refused: it had not read all that there was")
            return
        if log and append.epoch < log[-1].epoch:
            raise Violation(f"{document}: epoch {append.epoch} wrote behind epoch {log[-1].epoch}")
        state, (core, rightful) = self._states[document], self._owners[document, append.epoch]
        for entry in append.entries:
            before = log[-1].entry.digest if log else GENESIS
            if entry.sequence != len(log) + 1:
                raise Violation(f"{document}: sequence {entry.sequence} was accepted behind {len(log)}")
            place = entry.sequence, entry.version, entry.base_version, entry.author_ref, entry.time
            if link(before, *place, document.encode(), entry.operation_id.encode(), entry.salt, entry.payload) != (
                entry.digest
            ):
                raise Violation(f"{document}: sequence {entry.sequence} does not continue the one before it")
            state.replay(committed_from(entry))
            log.append(Accepted(entry, append.epoch, core, rightful, self._world.loop.time(), str(state.content)))

    def check_read(self, core: Core, document: str, text: str, sequence: int, decided: float) -> None:
        """A text that was shown; ``decided``: when it was decided that it may be. A core's own commits may be on disk a
        moment before it hears of that; those of others it must not be behind."""
        log = self.logs[document]
        if sequence > len(log) or text != (log[sequence - 1].text if sequence else ""):
            raise Violation(f"{document}: what was shown at sequence {sequence} is not what the log has")
        missing = next((each for each in log[sequence:] if each.core is not core and each.rightful), None)
        if missing is not None and missing.time < decided:
            late, then = decided - missing.time, missing.entry.sequence
            raise Violation(f"{document}: sequence {sequence} was shown {late:.3f} s after another had written {then}")

    def check_place(self, document: str, operation_id: str, sequence: int) -> None:
        """An edit that was acknowledged."""
        log = self.logs[document]
        if sequence > len(log) or log[sequence - 1].entry.operation_id != operation_id:
            raise Violation(f"{document}: {operation_id} is not at {sequence}, where it was acknowledged")

    def check_owners(self) -> None:
        """At this very moment, by everybody's own clock: who sleeps will look at it when they wake."""
        for document in self._world.documents:
            holding = [core for core in self._world.living() if not core.rogue and core.keeper.holds(document)]
            if len(holding) > 1:
                names = " and ".join(core.name for core in holding)
                raise Violation(f"{document} is shown by {names} at the same time")


REST_SECONDS = 20.0
"""A beat of a core that has ended may be on its way for 12 s, and what it owned is its own for a lease after that."""


class World:
    """``skew``: by how much rates of clocks differ from 1 at most."""

    def __init__(self, seed: int, *, cores: int, documents: int, skew: float) -> None:
        self.rng = random.Random(seed)
        self.loop = VirtualLoop()
        self.loop._moment = 10.0
        self.skew = skew
        self.database = Process("database")
        self._numbers = 0
        self.storage = MemoryStorage("one")
        self.documents = _documents(documents)
        self.table = MemoryTable(Clock(self.loop, self.rng, skew))
        self.truth = Truth(self)
        self.cores = [Core(self, f"core{number}") for number in range(cores)]
        self.edits = self.reads = self.acknowledged = 0
        self.violation: Exception | None = None
        self.in_peace = False

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def living(self) -> list[Core]:
        return [core for core in self.cores if not core.process.dead]

    def replace(self, core: Core) -> None:
        """Another process of the same name."""
        self.loop.kill(core.process)
        self.cores[self.cores.index(core)] = fresh = Core(self, core.name)
        fresh.start()

    async def live(self, seconds: float, people: int, trouble: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """The story: trouble for so many seconds, then peace, in which everything must come to rest."""
        for document in self.documents:
            _at_once(self.storage.create(document, document, document, 0))
        for core in self.cores:
            core.start()
        until = self.loop.time() + seconds
        works = [self._person(f"p{number}", until) for number in range(people)]
        works += [self._reader(until) for _ in range(2)]
        tasks = [self.loop.start(self.database, work) for work in works]
        troubling = self.loop.start(self.database, trouble(self))
        while self.loop.time() < until:
            await asyncio.sleep(0.05)
            self.check()
        troubling.cancel()
        await self._come_to_rest()
        for task in tasks:
            task.cancel()

    def check(self) -> None:
        if self.violation is not None:
            raise self.violation
        self.truth.check_owners()
        if self.loop.troubles:
            raise Violation(self.loop.troubles[0])

    async def _come_to_rest(self) -> None:
        self.in_peace = True
        for core in self.living():
            core.way.heal()
            if core.rogue:
                core.sober()
            if core.process.paused:
                self.loop.go_on(core.process)
        for core in list(self.cores):
            if core.process.dead or core.leaving:
                self.replace(core)
        deadline = self.loop.time() + REST_SECONDS
        resting = 0.0
        while resting < 2.5:  # everybody has looked at the table twice since
            await asyncio.sleep(0.1)
            self.check()
            resting = resting + 0.1 if self._rests() else 0.0
            if not resting and self.loop.time() > deadline:
                owners = self._owners()
                raise Violation(f"{REST_SECONDS:g} s after the last trouble not every document has one owner: {owners}")
        for document in self.documents:
            (owner,) = [core for core in self.cores if core.keeper.owns(document)]
            operation_id = f"rest{self.number()}:1"
            base = max(0, len(self.truth.logs[document]) - 10)
            for _ in range(3):  # somebody's late load may have raised the epoch once more
                if await self._edit(owner, document, operation_id, base):
                    break
                await asyncio.sleep(0.1)
            else:
                raise Violation(f"{document} cannot be edited in peace")
            await self._read(owner, document)
            ids = [accepted.entry.operation_id for accepted in self.truth.logs[document]]
            if len(set(ids)) != len(ids):
                raise Violation(f"{document}: an operation was committed twice")
        self.check()

    def _rests(self) -> bool:
        owners = self._owners()
        there = {core.instance.instance_id for core in self.cores}
        idle = all(
            core.keeper._ownership.duty() == Duty([], [], [])
            and set(core.keeper.instances) == there
            and core.keeper._ownership.fence_at - core.clock() > FENCE_SECONDS / 2
            for core in self.cores
        )
        return (
            idle
            and all(len(of) == 1 for of in owners.values())
            and all(
                core.keeper.owner_of(document) == owners[document][0]
                for core in self.cores
                for document in self.documents
            )
        )

    def _owners(self) -> dict[str, list[str]]:
        return {
            document: [core.instance.instance_id for core in self.cores if core.keeper.owns(document)]
            for document in self.documents
        }

    # ---- people

    async def _person(self, name: str, until: float) -> None:
        rng = random.Random(self.rng.random())
        number = 0
        while self.loop.time() < until:
            await asyncio.sleep(rng.expovariate(4.0))
            number += 1
            document = rng.choice(self.documents)
            base = max(0, len(self.truth.logs[document]) - 10)
            for _ in range(rng.randint(1, 6)):
                core = self._whom(rng, document)
                if core is None or await self._edit(core, document, f"{name}:{number}", base):
                    break
                await asyncio.sleep(rng.uniform(0.0, 1.0))

    async def _reader(self, until: float) -> None:
        rng = random.Random(self.rng.random())
        while self.loop.time() < until:
            await asyncio.sleep(rng.expovariate(10.0))
            document = rng.choice(self.documents)
            core = self._whom(rng, document)
            if core is not None:
                await self._read(core, document)

    def _whom(self, rng: random.Random, document: str) -> Core | None:
        """As a rule whom somebody takes for the owner."""
        living = self.living()
        if not living:
            return None
        asked = rng.choice(living)
        owner = asked.keeper.owner_of(document)
        return next((core for core in living if core.instance.instance_id == owner), asked) if owner else asked

    async def _edit(self, core: Core, document: str, operation_id: str, base: int) -> bool:
        """Whether it was acknowledged."""
        edit = messages.Operation(document, operation_id, "ann", base, "insert", 0, f"{operation_id} ")
        self.edits += 1

        async def work() -> None:
            places = await core.collaboration.edit(ANN, edit)
            self.truth.check_place(document, operation_id, places[0].server_sequence_id)
            self.acknowledged += 1

        return await self._within(core, work())

    async def _read(self, core: Core, document: str) -> bool:
        rogue = core.rogue

        async def work() -> None:
            core.shown.pop(document, None)
            shown = await core.collaboration.text(ANN, document)
            if not (rogue or core.rogue):
                decided = core.shown.get(document, self.loop.time())
                self.truth.check_read(core, document, shown.text, shown.sequence, decided)
            self.reads += 1

        return await self._within(core, work())

    async def _within(self, core: Core, work: Coroutine[Any, Any, None]) -> bool:
        """Done in a core's process; False: refused, or nothing was heard of it for a while."""
        task = self.loop.start(core.process, work)
        task.add_done_callback(self._judge, context=self.database.context)
        done, _ = await asyncio.wait({task}, timeout=6.0)
        return bool(done) and task.exception() is None

    def _judge(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, CoscribeError | StorageError):
            self.violation = self.violation or error


ANN = Identity("ann", "Ann", "#000000", "editor", account="ann")


def _documents(count: int) -> list[str]:
    """In shards that all differ, as far as there are so many."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        found.setdefault(shard_of(f"d{number}"), f"d{number}")
        number += 1
    return list(found.values())


@contextmanager
def small() -> Iterator[None]:
    """Within it there are few shards."""
    caches = (shards_module.places, shards_module._scores)
    with ExitStack() as undo:
        undo.enter_context(quiet())
        for module in (shards_module, leases_module):
            undo.enter_context(patch.object(module, "SHARDS", SHARDS))
        for cache in caches:
            undo.callback(cache.cache_clear)
            cache.cache_clear()
        yield
