"""One chaos run: a real server, real clients, a proxy between them, a schedule of faults; then the reckoning."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.machine import A_DAY, Machine
from tests.chaos.people import Book, Person
from tests.chaos.proxy import Kind, Proxy, Trouble, Whom
from tests.chaos.reckoning import reckon
from tests.chaos.schedule import KINDS, Fault, Lane, described, schedule_of
from tests.simulation.oracle import Violation, require

DEADLINE = 180.0
"""Seconds that a server takes at most to start, or a document to have something acknowledged again."""

REST = 600.0
"""Seconds within which everybody has everything once nothing goes wrong any more."""


class Wanted(NamedTuple):
    """What kind of run. ``only``: these faults and no others, if there are any. ``bug``: one of `tests.chaos.bugs` that
    the server is to have."""

    seconds: float = 1_800.0
    clients: int = 50
    documents: int = 8
    seed: int = 1
    only: tuple[str, ...] = ()
    bug: str = ""

    @property
    def command(self) -> str:
        """What carries out the same schedule again."""
        only = f" --only {' '.join(map(repr, self.only))}" if self.only else ""
        planted = f" --bug {self.bug!r}" if self.bug else ""
        return (
            f"python -m tests.chaos --seconds {self.seconds:g} --clients {self.clients} --documents {self.documents}"
            f" --seed {self.seed}{only}{planted}"
        )


class Outcome(NamedTuple):
    """``back``: seconds from each restart until all documents had something acknowledged again. ``refusals``: commits
    that the disk refused. ``heals``: texts that clients have fetched anew because theirs was not the server's."""

    wanted: Wanted
    seconds: float
    faults: Counter[str]
    left_out: dict[str, str]
    acknowledged: int
    typed: int
    handed_back: int
    refusals: int
    heals: int
    back: list[float]
    violations: list[str]

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        median, longest = (statistics.median(self.back), max(self.back)) if self.back else (0.0, 0.0)
        lines = [
            f"chaos: {self.seconds:.0f} s, {self.wanted.clients} clients, {self.wanted.documents} documents,"
            f" {self.acknowledged} operations acknowledged, {self.typed} words typed,"
            f" {self.handed_back} handed back, {self.heals} heals",
            f"faults: {sum(self.faults.values())}: {faults}; {self.refusals} commits refused by the disk",
            *(f"left out: {kind}: {reason}" for kind, reason in self.left_out.items()),
            f"back after {len(self.back)} restarts: median {median:.2f} s, max {longest:.2f} s",
            f"{len(self.violations)} violations over {self.seconds:.0f} s, seed {self.wanted.seed}",
            *(f"  {violation}" for violation in self.violations[:20]),
            f"replay with: {self.wanted.command}",
        ]
        return "\n".join(lines)


async def run(
    wanted: Wanted, log: Callable[[str], object], tick: Callable[[float], object] = lambda _: None
) -> Outcome:
    """``log`` is told of each fault as it begins, ``tick`` a few times a second of the seconds that have gone by."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coscribe-chaos-", ignore_cleanup_errors=True) as place:
        chaos = _Chaos(wanted, Path(place), log, tick)
        with errors_noted(chaos.violations):
            await chaos.live()
    book = chaos.book
    return Outcome(
        wanted,
        time.monotonic() - began,
        chaos.faults,
        chaos.machine.left_out,
        len(book.acknowledged),
        len(book.typed),
        len(book.handed_back),
        chaos.refusals,
        book.heals,
        chaos.back,
        chaos.violations,
    )


class _Chaos:
    """The run while it lives."""

    def __init__(
        self, wanted: Wanted, folder: Path, log: Callable[[str], object], tick: Callable[[float], object]
    ) -> None:
        self.book = Book()
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self.back: list[float] = []
        self.refusals = 0
        self._wanted = wanted
        self._log = log
        self._tick = tick
        self._folder = folder
        module = "tests.chaos.bugs" if wanted.bug else "coscribe"
        self.machine = Machine(folder, wanted.seconds, module=module, bug=wanted.bug)
        self._file_ids = [f"document{number}" for number in range(wanted.documents)]
        self._people: list[Person] = []

    async def live(self) -> None:
        """Everything, from the first start to the reckoning; what does not hold is in ``violations``."""
        machine = self.machine
        try:
            require(await machine.start(DEADLINE), "the server does not start")
            async with Proxy(machine.server.port) as proxy:
                self._gather(proxy.url)
                await self._suffer(proxy)
                texts = await self._come_to_rest()
            await self._stop()
            self.violations += await asyncio.to_thread(reckon, self.book, machine.data, texts)
        except Exception as error:  # whatever it is, this schedule has shown it
            self.violations += [f"{type(one).__name__}: {one}" for one in causes(error)]
        finally:
            try:
                for person in self._people:
                    await person.die()
            finally:
                await asyncio.to_thread(machine.close)
        self.violations += self.book.contradictions + self._complaints()

    def _gather(self, url: str) -> None:
        wanted, file_ids = self._wanted, self._file_ids
        for number in range(wanted.clients):
            own = [file_ids[number % len(file_ids)]]
            if number % 5 == 0 and len(file_ids) > 1:
                own.append(file_ids[(number + 1) % len(file_ids)])
            name, rng = f"p{number}", random.Random(f"{wanted.seed} {number}")
            token, folder = self.machine.token(name), self._folder / "pending"
            self._people.append(Person(name, url, token, own, folder, self.book, rng))
            self._people[-1].start()

    # ---- the faults

    async def _suffer(self, proxy: Proxy) -> None:
        schedule = schedule_of(self._wanted.seed, self._wanted.seconds, self._wanted.only or KINDS)
        await self._heard_of_all(time.monotonic())
        began = time.monotonic()
        deeds = {
            Lane.SERVER: lambda fault: self._trouble_server(fault, proxy),
            Lane.NETWORK: lambda fault: self._trouble_network(fault, proxy),
            Lane.CLOCK: self._trouble_clock,
            Lane.PEOPLE: self._trouble_people,
        }

        async def lane(lane: Lane) -> None:
            for fault in schedule:
                now = time.monotonic() - began
                if fault.lane is not lane or self._is_impossible(fault) or now >= self._wanted.seconds:
                    continue
                await asyncio.sleep(fault.at - now)
                self._log(f"{time.monotonic() - began:8.1f} s  {described(fault)}")
                self.faults[fault.kind] += 1
                await deeds[lane](fault)

        async with asyncio.TaskGroup() as lanes, self._ticking(began):
            for one in Lane:
                lanes.create_task(lane(one))

    def _is_impossible(self, fault: Fault) -> bool:
        return ("full" in fault.kind and "disk full" in self.machine.left_out) or (
            fault.lane is Lane.CLOCK and "clock" in self.machine.left_out
        )

    async def _trouble_server(self, fault: Fault, proxy: Proxy) -> None:
        machine = self.machine
        match fault.kind:
            case "kill":
                await machine.kill()
                await asyncio.sleep(fault.lasting)
                await self._come_back()
            case "killed unheard":  # what it acknowledges in its last moments reaches nobody
                with proxy.troubled(Trouble("black hole"), "all", (False, True), random.Random(fault.seed)):
                    await asyncio.sleep(fault.lasting)
                    await machine.kill()
                    proxy.cut("all", random.Random(fault.seed))
                await self._come_back()
            case "drain":
                await self._stop()
                await asyncio.sleep(fault.lasting)
                await self._come_back()
            case "pause":
                machine.server.pause()
                try:
                    await asyncio.sleep(fault.lasting)
                finally:
                    machine.server.go_on()
            case "disk full":
                async with self._full_disk():
                    await asyncio.sleep(fault.lasting)
            case "killed on a full disk":
                async with self._full_disk():
                    await asyncio.sleep(fault.lasting / 2)
                    await machine.kill()
                    if not await machine.start(DEADLINE):
                        self._log("            it does not start without room")
                    await asyncio.sleep(fault.lasting / 2)
                if not machine.running:
                    await self._come_back()
        await self._heard_of_all(time.monotonic())

    async def _stop(self) -> None:
        """SIGTERM. In the end the server dies of the signal, as whoever sent it may expect."""
        code = await self.machine.stop()
        require(code in (0, -signal.SIGTERM), f"a server that is told to stop ends with {code}")

    @asynccontextmanager
    async def _full_disk(self) -> AsyncIterator[None]:
        try:
            await asyncio.to_thread(self.machine.fill_disk)
            yield
        finally:
            self.machine.free_disk()

    async def _come_back(self) -> None:
        began = time.monotonic()
        require(await self.machine.start(DEADLINE), "the server does not start again")
        self._log(f"            listens after {time.monotonic() - began:.1f} s")
        await self._heard_of_all(began)
        self.back.append(time.monotonic() - began)
        self._log(f"            back after {time.monotonic() - began:.1f} s")

    async def _heard_of_all(self, since: float) -> None:
        """Returns when each document has taken in something again."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self.book.heard_since(since, self._file_ids)
        except TimeoutError:
            silent = [name for name in self._file_ids if self.book.news.get(name, 0.0) < since]
            raise Violation(f"nothing was acknowledged for {DEADLINE:g} s in {', '.join(silent)}") from None

    async def _trouble_network(self, fault: Fault, proxy: Proxy) -> None:
        rng = random.Random(fault.seed)
        whom: Whom = rng.choice(("one", "one", "some", "all"))
        ways = rng.choice(((True, False), (False, True), (True, True)))
        match fault.kind:
            case "cut":
                proxy.cut(whom, rng)
            case "half-close":
                proxy.half_close(whom, ways, rng)
            case "detour":
                await proxy.detour(whom, fault.lasting, rng)
            case _:
                kinds: dict[str, tuple[Kind, float]] = {
                    "delay": ("delay", rng.uniform(0.02, 0.5)),
                    "black hole": ("black hole", 0.0),
                    "trickle": ("trickle", 0.01),
                }
                with proxy.troubled(Trouble(*kinds[fault.kind]), whom, ways, rng):
                    await asyncio.sleep(fault.lasting)

    async def _trouble_clock(self, fault: Fault) -> None:
        rng = random.Random(fault.seed)
        far = rng.choice((2, 60, 3_600, 10 * A_DAY))
        self.machine.set_clock(rng.randint(1, far) * (1 if fault.kind == "forward" else -1))

    async def _trouble_people(self, fault: Fault) -> None:
        person = random.Random(fault.seed).choice(self._people)
        await person.die()
        await asyncio.sleep(fault.lasting)
        person.start()

    @asynccontextmanager
    async def _ticking(self, began: float) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                self._tick(time.monotonic() - began)
                await asyncio.sleep(0.25)

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()

    # ---- the end

    async def _come_to_rest(self) -> dict[str, str]:
        """Everybody has everything, and it is the same; the texts."""
        began = time.monotonic()
        for person in self._people:
            await person.stop_typing()
            person.start(typing=False)
        machine = self.machine
        fresh = Person(
            "fresh",
            machine.server.url,
            machine.token("fresh"),
            self._file_ids,
            self._folder,
            self.book,
            random.Random(0),
        )
        fresh.start(typing=False)
        everybody = [*self._people, fresh]
        looking = asyncio.create_task(self._look_at(everybody))
        try:
            async with asyncio.timeout(REST):
                for person in everybody:
                    await person.at_rest()
                documents = [document for person in everybody for document in person.documents.values()]
                for file_id in self._file_ids:
                    same = [document for document in documents if document.file_id == file_id]
                    last = max(document.sequence for document in same)
                    for document in same:
                        await document.reached(last)
        except TimeoutError:
            restless = [what for person in everybody for what in person.restless()]
            raise Violation(f"no rest after {REST:g} s for {len(restless)}: {'; '.join(restless[:8])}") from None
        finally:
            looking.cancel()
        self._log(f"{time.monotonic() - began:8.1f} s  until everybody had everything")
        texts = {file_id: fresh.documents[file_id].text for file_id in self._file_ids}
        for person in everybody:
            for file_id, document in person.documents.items():
                if document.text != texts[file_id]:
                    self.violations.append(f"{person.name} has another text of {file_id} than the server")
            await person.close()
        return texts

    async def _look_at(self, people: list[Person]) -> None:
        """Tells now and then who is not at rest yet."""
        while True:
            await asyncio.sleep(10.0)
            restless = [what for person in people for what in person.restless()]
            self._log(f"            {len(restless)} not at rest: {'; '.join(restless[:3])}")

    def _complaints(self) -> list[str]:
        """What the server had to say that it should not have had to."""
        lines = self.machine.printed.read_text(errors="replace").splitlines() if self.machine.printed.exists() else []
        self.refusals = sum("commit_outcome_unknown" in line for line in lines)
        found = complaints(lines)
        if found or self.violations:
            found.append("the server's last words:\n" + "\n".join(lines[-20:]))
        return found


def complaints(lines: list[str]) -> list[str]:
    """The tracebacks in what a server has printed, but for those that end in an error of storage."""
    found: list[str] = []
    inside = False
    for line in lines:
        if line.lstrip().startswith("Traceback"):
            inside = True
        elif inside and line and not line.startswith((" ", "|")):
            inside = False
            if not any(expected in line for expected in ("StorageError", "disk is full", "disk I/O", "No space left")):
                found.append(f"the server: {line[:300]}")
    return found


@contextmanager
def errors_noted(violations: list[str]) -> Iterator[None]:
    """What clients log as an error, and what goes wrong where nobody looks, is a violation."""

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = f": {record.exc_info[1]!r}" if record.exc_info else ""
            violations.append(f"{record.name}: {record.getMessage()}{error}")

    def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        violations.append(f"unhandled: {context.get('message')}: {context.get('exception')!r}")

    logger, handler, loop = logging.getLogger("coscribe"), Noting(logging.ERROR), asyncio.get_running_loop()
    logger.addHandler(handler)
    loop.set_exception_handler(unhandled)
    try:
        yield
    finally:
        loop.set_exception_handler(None)
        logger.removeHandler(handler)


def causes(error: BaseException) -> list[BaseException]:
    """What has gone wrong, one by one."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for one in error.exceptions for cause in causes(one)]
    return [error]
