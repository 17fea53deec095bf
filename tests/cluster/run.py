"""One run: a real cluster, thousands of people, a schedule of what goes wrong; then the reckoning."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import uvloop

from coscribe.bench.machine import allow_descriptors
from coscribe.client import Document
from coscribe.client.opened import State
from coscribe.cluster.shards import shard_of
from coscribe.protocol.messages import Role
from tests.chaos.people import Book
from tests.chaos.run import causes, errors_noted
from tests.cluster.machine import SOURCE, Cluster, Node
from tests.cluster.outcome import Cost, Outcome, Wanted, at_share
from tests.cluster.people import Colleague, Doors, Member, Visitor, comes_true
from tests.cluster.plot import Span, plot
from tests.cluster.reckoning import Told, reckon, verified
from tests.cluster.schedule import NAMES, PARTITIONS, Fault, described, faults_of
from tests.cluster.tool import Tool
from tests.e2e.people import Account, People
from tests.simulation.oracle import Violation, require

DEADLINE = 180.0
"""Seconds within which something comes back that a fault has taken away."""

REST = 600.0
"""Seconds within which everybody has everything once nothing goes wrong any more."""

PROBES = 40
"""Documents of an owner in which somebody types at the moment when it is troubled."""

FILES = 6
"""Files of a workspace with a working tree, and people who type in each workspace."""

HOT = 4
"""Documents that many people have open all the time."""

EXPECTED = ("StorageError", "BusUnavailable", "psycopg.OperationalError")
"""What an instance may say where a server that it needs is away."""

LEADS_ON = ("The above exception", "During handling")
"""How a line begins that says that another traceback follows from this one."""

READERS = 16

LANES = 32
"""People who open their first documents at a time."""

_A = TypeVar("_A")


def run(
    wanted: Wanted,
    log: Callable[[str], object],
    tick: Callable[[str, float], object] = lambda *_: None,
    source: Path = SOURCE,
) -> Outcome:
    """``log`` is told of each fault as it begins, ``tick`` a few times a second of the stage and how much is done.
    ``source``: the folder of the package that runs."""
    allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="coscribe-cluster-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        with Cluster(folder, cores=wanted.cores, gateways=wanted.gateways, source=source) as cluster:
            trial = Trial(wanted, cluster, log, tick)
            try:
                uvloop.run(trial.live())
            except Exception as error:  # whatever it is, this schedule has shown it
                trial.violations += [f"{type(one).__name__}: {one}" for one in causes(error)]
            return trial.outcome()


class _Entrance:
    """The cluster, as somebody sees it who comes by HTTP."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def http(self) -> str:
        return self._cluster.gateways[0].http

    def token(self, user_id: str, role: Role = "editor") -> str:
        return self._cluster.token(user_id, role)


class Trial:
    """The run while it lives."""

    def __init__(
        self,
        wanted: Wanted,
        cluster: Cluster,
        log: Callable[[str], object],
        tick: Callable[[str, float], object] = lambda *_: None,
    ) -> None:
        self.book = Book()
        self.violations: list[str] = []
        self.costs: list[Cost] = []
        self.left_out = dict(cluster.left_out)
        self._wanted = wanted
        self._cluster = cluster
        self._log = log
        self._tick = tick
        self._rng = random.Random(wanted.seed)
        self._began = time.monotonic()
        self._ended = 0.0
        self._visitors: list[Visitor] = []
        self._colleagues: list[Colleague] = []
        self._tools: list[Tool] = []
        self._visited: set[str] = set()
        self._ada: Account | None = None
        self._trees: list[str] = []
        self._reckoned = (0, 0, 0)

    def outcome(self) -> Outcome:
        book = self.book
        self.violations += book.contradictions + self._complaints()
        if self._wanted.plot:
            self._draw(Path(self._wanted.plot))
        return Outcome(
            self._wanted,
            (self._ended or time.monotonic()) - self._began,
            self.costs,
            self.left_out,
            len(book.acknowledged),
            len(self._visited),
            len(book.typed),
            sum(len(tool.written) for tool in self._tools),
            len(book.handed_back),
            book.heals,
            sum(member.client.connects for member in self._members),
            *self._reckoned,
            self.violations,
        )

    @property
    def _members(self) -> list[Member]:
        return [*self._visitors, *self._colleagues]

    async def live(self) -> None:
        """Everything, from the first visitor to the reckoning; what does not hold is in ``violations``."""
        with errors_noted(self.violations):
            await asyncio.to_thread(self._cluster.balance)
            people = People(_Entrance(self._cluster))
            try:
                await self._open_trees(people)
                await self._gather()
                await self._suffer()
                finals = await self._come_to_rest()
            finally:
                await people.close()
                await self._go_home()
            await self._reckon(finals)

    # ---- who there is

    async def _open_trees(self, people: People) -> None:
        """Workspaces that are kept as files, with a program that writes in each and people who type."""
        if not self._wanted.workspaces:
            return
        ada = self._ada = await _insisting(people.administrator)
        for number in range(self._wanted.workspaces):
            made = await _insisting(partial(ada.done, "POST", "/workspaces", {"name": f"Trial {number}"}))
            workspace_id = made["documentId"]
            self._trees.append(workspace_id)
            started = await _insisting(partial(ada.done, "POST", f"/workspace/{workspace_id}/start"))
            folder = Path(started["mountPath"])
            names = [f"file-{file}.md" for file in range(FILES)]
            tool = Tool(f"t{number}", workspace_id, folder, names, random.Random(f"{self._wanted.seed} tool {number}"))
            self._tools.append(tool)
            await asyncio.to_thread(tool.prepare)
        doors = Doors([node.url for node in self._cluster.gateways])
        for number, workspace_id in enumerate(self._trees):
            for place in range(FILES):
                name = f"w{number}x{place}"
                colleague = Colleague(name, self._cluster.token(name), doors, self.book, self._wanted.seed)
                self._colleagues.append(colleague)
                await colleague.begin(workspace_id, [self._tools[number].names[place]])

    async def _gather(self) -> None:
        """Every document is opened, and typed into."""
        wanted = self._wanted
        doors = Doors([node.url for node in self._cluster.gateways])
        names = [f"document-{number}" for number in range(wanted.documents)]
        hot = [f"hot-{number}" for number in range(HOT)]
        pairs = max(1, wanted.sockets // 2)
        for number in range(wanted.sockets):
            name = f"p{number}"
            visitor = Visitor(name, self._cluster.token(name), doors, self.book, wanted.seed)
            route = names[number // 2 % pairs :: pairs]
            if number % 2:
                route = route[::-1]
            staying = [hot[number % HOT]] if number % 25 == 0 else []
            visitor.begin(route, wanted.most, staying)
            self._visitors.append(visitor)
            if number % 20 == 19:
                await asyncio.sleep(0.05)

        async def visit(visitors: Iterable[Visitor]) -> None:
            for visitor in visitors:
                async with asyncio.timeout(DEADLINE):
                    document = await visitor.go_on()
                    if document is None:
                        continue
                    await document.live()
                    visitor.hand.type(document)
                    self._visited.add(document.file_id)
                    await document.synced()
                    self._tick("opening every document", len(self._visited) / wanted.documents)

        for _ in range(max(-(-len(visitor.route) // 2) for visitor in self._visitors)):
            await asyncio.gather(*(visit(self._visitors[lane::LANES]) for lane in range(LANES)))
        missing = [name for name in names if name not in self._visited]
        require(not missing, f"{len(missing)} documents were not opened")
        self._log(f"{self._now():8.1f} s  {len(self._visited)} documents are open to {wanted.sockets} sockets")

    # ---- what they do

    async def _type(self) -> None:
        """Edits at random moments, of anybody, whatever the cluster does just now."""
        wanted, rng = self._wanted, self._rng
        due = time.monotonic()
        colleagues = 0.1 if self._colleagues else 0.0
        while True:
            while due <= time.monotonic():
                due += rng.expovariate(wanted.rate)
                if rng.random() < colleagues:
                    colleague = rng.choice(self._colleagues)
                    with suppress(ValueError):
                        colleague.hand.type(colleague.open[0])
                    continue
                visitor = rng.choice(self._visitors)
                if visitor.open:
                    visitor.edit(rng.choice(visitor.open))
            await asyncio.sleep(0.002)

    async def _visit(self) -> None:
        """Somebody goes on to the next document; somebody else looks at what is there."""
        rng = self._rng
        while True:
            await asyncio.sleep(rng.expovariate(self._wanted.visits))
            document = await rng.choice(self._visitors).go_on()
            if document is not None:
                self._visited.add(document.file_id)
            other = rng.choice(self._visitors)
            if other.open:
                other.look(rng.choice(other.open))

    # ---- what goes wrong

    async def _suffer(self) -> None:
        wanted = self._wanted
        since = time.monotonic()
        doing = [asyncio.create_task(self._type()), asyncio.create_task(self._visit())]
        doing += [asyncio.create_task(tool.work()) for tool in self._tools]
        try:
            async with self._ticking(since):
                for fault in self._schedule():
                    breath = wanted.breath * random.Random(fault.seed).uniform(0.5, 1.5)
                    await _unless_ended(doing, asyncio.sleep(breath))
                    if time.monotonic() - since >= wanted.seconds and not wanted.rounds:
                        break
                    await _unless_ended(doing, self._trouble(fault))
                await _unless_ended(doing, asyncio.sleep(wanted.breath))
        finally:
            self._ended = time.monotonic()
            for task in doing:
                task.cancel()
            ended = await asyncio.gather(*doing, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _schedule(self) -> Iterable[Fault]:
        """Of what is wanted and possible here."""
        wanted = self._wanted
        impossible = set[str]()
        if not self._cluster.has_networks:
            impossible |= PARTITIONS
        if not self._trees:
            impossible |= {kind for kind in NAMES if kind.startswith("tree")}
        kinds = [kind for kind in NAMES if kind in (wanted.only or NAMES) and kind not in impossible]
        faults = faults_of(wanted.seed, kinds)
        return islice(faults, wanted.rounds * len(kinds)) if wanted.rounds else faults

    async def _trouble(self, fault: Fault) -> None:
        """One fault, from its beginning until everything is back that it has taken away."""
        rng = random.Random(fault.seed)
        if fault.kind.startswith("gateway"):
            await self._spread()
        node = await self._whom(fault, rng)
        probes = await self._probes(node, rng)
        whom = node.name if node is not None else fault.kind.partition(" ")[0]
        self._log(f"{self._now():8.1f} s  {described(fault)}" + (f": {node.name}" if node is not None else ""))
        began = time.monotonic()
        probed: list[Probe] = []
        async with asyncio.TaskGroup() as group:
            deed = group.create_task(self._do(fault, node))
            await asyncio.sleep(0.05)  # what was on its way by then does not count
            for member, document in probes:
                probed += _types(member, document)
        assert deed.done()
        ended = time.monotonic()
        acknowledged = self.book.acknowledged
        try:
            await comes_true(lambda: not any(probe.waits for probe in probed), "what was typed is saved", DEADLINE)
            await self._all_is_well()
        except TimeoutError as error:
            silent = [probe.operation_id for probe in probed if probe.waits]
            raise Violation(f"{described(fault)}: {error}; {len(silent)} of {len(probed)}: {silent[:3]}") from None
        settled = time.monotonic()
        back = sorted(acknowledged[each] - began for _, each in probed if each in acknowledged)
        times = list(acknowledged.values())
        inside = [began, *times[bisect_left(times, began) : bisect_right(times, settled)], settled]
        silence = max((later - earlier for earlier, later in pairwise(inside)), default=0.0)
        span = Span(fault.kind, began - self._began, ended - self._began, settled - self._began)
        self.costs.append(Cost(fault, whom, span, back, silence))
        if back:
            self._log(
                f"            {len(back)} probes: first {back[0]:.2f} s, p50 {at_share(back, 0.5):.2f} s,"
                f" last {back[-1]:.2f} s; longest silence {silence:.2f} s; well again after {settled - began:.1f} s"
            )

    async def _spread(self) -> None:
        """Everybody comes in anew, by whichever gateway: after some trouble all are at one."""
        for number, member in enumerate(self._members):
            member.client.drop_connection()
            if number % 20 == 19:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        await self._all_is_well()

    async def _do(self, fault: Fault, node: Node | None) -> None:
        cluster = self._cluster
        match fault.kind:
            case "core killed" | "tree core killed" | "gateway killed":
                assert node is not None
                await asyncio.to_thread(node.kill)
                await asyncio.sleep(fault.lasting)
                await asyncio.to_thread(node.start)
            case "core paused" | "core paused shortly" | "tree core paused" | "gateway paused":
                assert node is not None
                node.pause()
                try:
                    await asyncio.sleep(fault.lasting)
                finally:
                    node.go_on()
            case "core without database" | "core hears no database" | "core without bus" | "gateway without bus":
                assert node is not None
                servers = [cluster.bus if fault.kind.endswith("bus") else cluster.database]
                node.place.cut(servers, to="hears" not in fault.kind)
                try:
                    await asyncio.sleep(fault.lasting)
                finally:
                    node.place.heal()
            case "rolling restart":
                for each in [*cluster.gateways, *cluster.cores]:
                    await self._restart(each)
            case "PostgreSQL restarted":
                await asyncio.to_thread(cluster.postgres.stop)
                await asyncio.sleep(fault.lasting)
                await asyncio.to_thread(cluster.postgres.start)
            case "PostgreSQL killed":
                await asyncio.to_thread(cluster.postgres.kill)
                await asyncio.sleep(fault.lasting)
                await asyncio.to_thread(cluster.postgres.start)
            case "NATS restarted":
                await asyncio.to_thread(cluster.nats.stop)
                await asyncio.sleep(fault.lasting)
                await asyncio.to_thread(cluster.nats.start)
            case _:
                raise ValueError(fault.kind)

    async def _restart(self, node: Node) -> None:
        code = await asyncio.to_thread(node.stop)
        require(code in (0, -signal.SIGTERM), f"{node.name}, told to stop, ends with {code}")
        await asyncio.to_thread(node.start)

    async def _whom(self, fault: Fault, rng: random.Random) -> Node | None:
        cluster = self._cluster
        if fault.kind.startswith("tree"):
            owners = await asyncio.to_thread(self._cluster.owners)
            name = owners.get(shard_of(rng.choice(self._trees)), "")
            return next((node for node in cluster.cores if node.name == name), cluster.cores[0])
        if fault.kind.startswith("core"):
            return rng.choice(cluster.cores)
        if fault.kind.startswith("gateway"):
            return rng.choice(cluster.gateways)
        return None

    async def _probes(self, node: Node | None, rng: random.Random) -> list[tuple[Member, Document]]:
        """Who is going to type when it happens: in documents of the node, if it is a core; otherwise in any."""
        live = [
            (member, document)
            for member in self._members
            for document in member.open
            if document.state is State.LIVE and not document.pending
        ]
        if node is not None and node.role != "gateway":
            owners = await asyncio.to_thread(self._cluster.owners)
            workspaces = {
                colleague.open[0].file_id: tree
                for tree, colleague in zip(
                    [tree for tree in self._trees for _ in range(FILES)], self._colleagues, strict=True
                )
            }
            live = [
                (member, document)
                for member, document in live
                if owners.get(shard_of(workspaces.get(document.file_id, document.file_id))) == node.name
            ]
        return rng.sample(live, min(PROBES, len(live)))

    async def _all_is_well(self) -> None:
        """Returns when all cores own what they should, and everybody is let in but for those who have just come."""
        until = time.monotonic() + DEADLINE
        while True:
            restless = sum(any(each.state is not State.LIVE for each in member.open) for member in self._members)
            if restless <= 0.01 * len(self._members) and await asyncio.to_thread(self._cluster.is_balanced):
                return
            if time.monotonic() > until:
                told = "; ".join(what for member in self._members for what in member.restless()[:1])
                raise Violation(f"not whole after {DEADLINE:g} s: {told[:600]}")
            await asyncio.sleep(0.25)

    # ---- the end

    async def _come_to_rest(self) -> dict[str, str]:
        """Everybody has everything, and it is the same; the texts as the server shows them."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(REST):
                for member in self._members:
                    for document in member.open:
                        await document.synced()
                await self._trees_are_saved()
                for member in self._members:
                    for document in member.open:
                        await document.synced()
        except TimeoutError:
            restless = [what for member in self._members for what in member.restless()]
            raise Violation(f"no rest after {REST:g} s for {len(restless)}: {'; '.join(restless[:8])}") from None
        self._log(f"{self._now():8.1f} s  everybody had everything after {time.monotonic() - began:.1f} s")
        names = self._visited | {document.file_id for member in self._members for document in member.open}
        finals = await read_all(self._cluster, self.book, names, self._tick)
        for member in self._members:
            for document in list(member.open):
                await document.reached(0)
                if document.text != finals[document.file_id]:
                    self.violations.append(f"{member.name} has another text of {document.file_id} than the server")
        for tool in self._tools:
            self.violations += tool.differences(finals, self._colleagues)
        return finals

    async def _trees_are_saved(self) -> None:
        """Returns when a save returns and nothing has come since."""
        if self._ada is None:
            return
        await _insisting(self._ada.sign_in)
        for workspace_id in self._trees:
            before = -1
            while True:
                answer = await self._ada.ask("POST", f"/workspace/{workspace_id}/fs/save", {})
                if answer.is_success:
                    sequence = int(answer.json()["serverSequenceId"])
                    if sequence == before:
                        break
                    before = sequence
                else:
                    require(
                        answer.json()["code"] in ("storage_unavailable", "owner_unavailable"), f"save: {answer.text}"
                    )
                await asyncio.sleep(1.5)

    async def _go_home(self) -> None:
        for member in self._members:
            await member.close()

    async def _reckon(self, finals: dict[str, str]) -> None:
        self._tick("reckoning", 0.0)
        for node, code in zip(
            [*self._cluster.gateways, *self._cluster.cores], await asyncio.to_thread(self._cluster.stop), strict=True
        ):
            if code not in (0, -signal.SIGTERM):
                self.violations.append(f"{node.name}, told to stop, ends with {code}")
        written = frozenset(word for tool in self._tools for word in tool.written)
        sights = [sight for member in self._members for sight in member.sights]
        told = Told(self.book, sights, finals, written)
        reckoned = await asyncio.to_thread(reckon, self._cluster.database_url, told)
        self.violations += reckoned.violations
        self._reckoned = reckoned.entries, reckoned.workspaces, reckoned.sights
        self.violations += await asyncio.to_thread(verified, self._cluster.database_url, str(self._cluster.data))

    def _complaints(self) -> list[str]:
        """What instances had to say that they should not have had to."""
        found: list[str] = []
        for node in self._cluster.nodes:
            lines = node.printed.read_text(errors="replace").splitlines() if node.printed.exists() else []
            found += [f"{node.name}: {what}" for what in tracebacks(lines)[:5]]
            if self.violations:
                found.append(f"last words of {node.name}:\n" + "\n".join(lines[-12:]))
        return found

    def _draw(self, to: Path) -> None:
        times = [at - self._began for at in self.book.acknowledged.values()]
        wanted = self._wanted
        title = (
            f"operations acknowledged per second: {wanted.cores} cores, {wanted.gateways} gateways,"
            f" {wanted.sockets} sockets, {wanted.documents} documents"
        )
        seconds = (self._ended or time.monotonic()) - self._began
        to.write_text(plot([at for at in times if at <= seconds], [cost.span for cost in self.costs], seconds, title))

    def _now(self) -> float:
        return time.monotonic() - self._began

    @asynccontextmanager
    async def _ticking(self, began: float) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                self._tick("trouble", (time.monotonic() - began) / self._wanted.seconds)
                await asyncio.sleep(0.25)

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()


async def read_all(
    cluster: Cluster, book: Book, file_ids: Collection[str], tick: Callable[[str, float], object] = lambda *_: None
) -> dict[str, str]:
    """Fresh eyes on every document: the texts."""
    finals: dict[str, str] = {}
    doors = Doors([node.url for node in cluster.gateways])
    todo = iter(sorted(file_ids))

    async def read(number: int) -> None:
        reader = Member(f"r{number}", cluster.token(f"r{number}"), doors, book, 0)
        reader.client.start()
        for name in todo:
            async with asyncio.timeout(DEADLINE):
                document = await reader.client.open(name)
            finals[name] = document.text
            await document.close()
            tick("reading every document", len(finals) / len(file_ids))
        await reader.client.close()

    await asyncio.gather(*(read(number) for number in range(READERS)))
    return finals


def tracebacks(lines: Sequence[str]) -> list[str]:
    """Those in what an instance has printed, but for what the loss of a server is told with. What led to another error
    is told with that one."""
    found: list[str] = []
    inside: list[str] = []
    for line in [*lines, "", "."]:
        begins = line.lstrip(" |+").startswith("Traceback")
        goes_on = line == "" or line.startswith((" ", "|", *LEADS_ON)) or (inside[-1:] and inside[-1].startswith(" "))
        if begins or (inside and goes_on):
            inside.append(line)
        elif inside:
            last = next(said for said in reversed(inside) if said)
            if not any(expected in last for expected in EXPECTED):
                found.append("\n".join([said for said in inside if said][-14:]))
            inside = []
    return found


class Probe(NamedTuple):
    """Something that was typed when a fault began."""

    document: Document
    operation_id: str

    @property
    def waits(self) -> bool:
        """Whether it is neither saved, nor taken back by its author before it was sent."""
        return any(pending.operation_id == self.operation_id for pending in self.document._replica.pending)


def _types(member: Member, document: Document) -> list[Probe]:
    """What is typed now; nothing where they have gone on meanwhile."""
    if document not in member.open:
        return []
    try:
        member.hand.type(document)
    except ValueError:
        return []
    return [Probe(document, document._replica.pending[-1].operation_id)]


async def _insisting(ask: Callable[[], Awaitable[_A]]) -> _A:
    """Asks again where just now nobody is there to answer, as on a machine with too much to do."""
    until = time.monotonic() + DEADLINE
    while True:
        try:
            return await ask()
        except AssertionError as error:
            if "owner_unavailable" not in str(error) or time.monotonic() > until:
                raise
        await asyncio.sleep(0.5)


async def _unless_ended(others: Sequence[asyncio.Task[None]], what: Awaitable[_A]) -> _A:
    """Raises whatever has ended one of the others."""
    doing = asyncio.ensure_future(what)
    await asyncio.wait({doing, *others}, return_when=asyncio.FIRST_COMPLETED)
    if not doing.done():
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        for other in others:
            if other.done():
                await other
    return await doing


logging.getLogger("coscribe.client").setLevel(logging.ERROR)
