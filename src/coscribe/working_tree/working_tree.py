"""WorkingTree: keeps the files on a disk and a workspace of the engine the same.

    a pass:   what is announced and not finished --> what was displaced --> scan, take in --> put

One pass after the other, never two at once, so the two directions are never in each other's way; whoever writes to the
disk meanwhile is noticed, in this pass or in the next. While git is at work (``.git/index.lock``) both directions wait:
what it has done is then taken in as one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState
from coscribe.documents.collaboration import storage_as_refusal
from coscribe.metrics import metrics
from coscribe.working_tree.alarm import Alarm
from coscribe.working_tree.disk import Disk, Lost, Names, Overtaken, Signature
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.ignoring import GIT, Ignores
from coscribe.working_tree.putting import Putter
from coscribe.working_tree.record import Record
from coscribe.working_tree.scanning import scan
from coscribe.working_tree.states import is_behind
from coscribe.working_tree.taking import Taker
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.workplace import Notice, Workplace

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.05
"""How long it is waited for more, once something has happened."""

AGAIN_SECONDS = 0.1
"""After so long it is looked again at what was not ready."""

SWEEP_SECONDS = 10.0
"""How often everything is looked at, whatever was told; `DEAF_SECONDS` where not all folders can be watched."""

DEAF_SECONDS = 1.0

DISPLACED_SECONDS = 1.0
"""How often what was displaced is looked at, at most."""

TROUBLE_SECONDS = 1.0
"""How long it rests where the engine or the disk did not answer."""

SAVE_SECONDS = 30.0
"""How long a save waits for the disk: git may be at work, or somebody may write to a file without end."""

BROUGHT = "git-"
"""Begins the names of operations by which it was taken in what git has brought: who wrote that, its commits say."""

MAX_NOTICES = 1_000
"""Of more, the oldest are forgotten."""

MAX_NAMED = 5
"""Files that are named to who waits for them."""

TYPED_SECONDS = 60.0
"""For how long a text goes before others after somebody has typed in it; `MAX_TYPED` texts at most."""

MAX_TYPED = 1_000

GIT_SECONDS = 60.0
"""For how long git may be at work; a lock that is older was left behind."""


class WorkingTree:
    """``series``: fresh names for operations; ``clock``: seconds since 1970. `run` keeps it going; or somebody calls
    `pass_`. Raises OSError, sqlite3.Error; Lost: the folder was taken away, which is not to delete all that was in it.
    Whoever opens it again then gets all of it anew.

    ``is_shared``: other machines have the folder, too; ``is_mine``: whether this process is still the one that looks
    after it. It blocks while it is made.
    """

    def __init__(
        self,
        root: Path,
        engine: Engine,
        series: Callable[[], str],
        clock: Callable[[], float],
        *,
        is_shared: bool = False,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._disk = Disk(root, engine.workspace_id, is_mine)
        try:
            self._record = Record(self._disk.state / "record.db", is_shared=is_shared, is_mine=is_mine)
        except BaseException:
            self._disk.close()
            raise
        self._is_mine = is_mine
        self._is_closed = False
        self._begin_anew_if_empty()
        self._ignores = Ignores(self._disk)
        self._engine = engine
        self._clock = clock
        self.notices: list[Notice] = []
        self._series = series
        self._is_brought = False
        place = Workplace(self._disk, self._record, engine, self._name, clock, self._tell)
        self._taker, self._putter = Taker(place), Putter(place)
        self._nodes: dict[str, NodeState] | None = None
        self._due: set[str] = set()
        self._texts: set[str] = set()
        self._typed: dict[str, float] = {}
        self.has_more = False
        self._sequence = self._arrived = 0
        self._looked_at_displaced = 0.0
        self._git: Sequence[Signature | None] = ()
        self._git_news = self._by_git = False
        self._recovered = False
        self._turn = asyncio.Lock()
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        alarm = Alarm(self._disk.top, self._some.set)
        loop = asyncio.get_running_loop()
        listening = loop.create_task(self._listen())
        folders: set[str] | None = None
        swept = loop.time()
        try:
            while True:
                self._some.clear()
                news = alarm.take()
                sweep = swept + (DEAF_SECONDS if alarm.is_deaf else SWEEP_SECONDS)
                is_everything = news is None or folders is None or loop.time() >= sweep
                folders = None if news is None or folders is None or is_everything else folders | news
                is_done = await self._try(folders)
                swept = loop.time() if is_everything else swept
                async with self._turn:
                    alarm.follow(await in_thread(self._folders))
                folders = set() if is_done else folders
                if is_done:
                    await self._rest(swept + (DEAF_SECONDS if alarm.is_deaf else SWEEP_SECONDS) - loop.time())
                await asyncio.sleep(GATHER_SECONDS if is_done else self._pause())
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await alarm.close()

    async def save(self, sequence: int, file_id: str | None = None) -> None:
        """Returns when the files are what the workspace was at a sequence, or later, and are so after a loss of power;
        with ``file_id`` that one file, whatever others wait for. Errors: ``storage_unavailable``: it takes too long, or
        a file does not get to its place, which is named."""
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                while not self._is_at(sequence, file_id):
                    await self.pass_()
                    if not self._is_at(sequence, file_id):
                        self._check_not_stuck(sequence, file_id)
                        await asyncio.sleep(self._pause())
        except TimeoutError:
            raise CoscribeError(
                Code.STORAGE_UNAVAILABLE, "the working tree is busy: git, files written to, or in the way of others"
            ) from None
        except Lost as error:
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, f"the working tree is lost: {error}") from error
        except Overtaken:
            raise self._not_kept() from None
        async with self._turn:
            if self._is_closed:
                raise self._not_kept()
            await in_thread(self._disk.sync)

    def _is_at(self, sequence: int, file_id: str | None) -> bool:
        """Whether the disk shows what was at a sequence, or later. Raises Overtaken."""
        if self._is_closed:
            raise Overtaken
        if file_id is None or self._nodes is None:
            return self._record.sequence >= sequence
        above = {file_id}
        while file_id in self._nodes and (file_id := self._nodes[file_id].parent_id):
            above.add(file_id)
        return self._arrived >= sequence and above.isdisjoint(self._due | self._texts)

    def _check_not_stuck(self, sequence: int, file_id: str | None) -> None:
        """Nothing is to be waited for where only what is stuck is missing. Errors: ``storage_unavailable``."""
        stuck = self._putter.stuck
        missing = self._due | self._texts if file_id is None else {file_id}
        if self._arrived >= sequence and missing & stuck.keys() and missing <= stuck.keys():
            paths = ", ".join(sorted(stuck[each] for each in missing)[:MAX_NAMED])
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, f"{len(missing)} of the files cannot be put: {paths}")

    def _pause(self) -> float:
        """How long there is to be waited before the next pass, where there is something left."""
        return 0 if self.has_more else AGAIN_SECONDS

    @asynccontextmanager
    async def at_rest(self, sequence: int, *, brings: bool = False) -> AsyncIterator[int]:
        """Within it neither direction works: what somebody does to the files is between them and the disk, and is taken
        in as one afterwards. The files are what the workspace was at a sequence or later; says at which. ``brings``:
        what is done is to bring what others wrote elsewhere; see `BROUGHT`.

        Errors: as `save`; also where what was done cannot be taken in soon: it will be later."""
        await self.save(sequence)
        async with self._turn:
            yield self._record.sequence
            self._is_brought = brings
        self._some.set()
        try:
            async with asyncio.timeout(SAVE_SECONDS) as limit:
                left = 0
                while not await self.pass_():
                    before, left = left, self._taker.left_by_git
                    if left < before:  # there is an end to what git has left, however much that is
                        limit.reschedule(asyncio.get_running_loop().time() + SAVE_SECONDS)
                    await asyncio.sleep(self._pause())
        except TimeoutError:
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the files are written to without end") from None
        except Overtaken:
            raise self._not_kept() from None
        finally:
            self._is_brought = False

    def _name(self) -> str:
        return f"{BROUGHT}{self._series()}" if self._is_brought else self._series()

    async def _rest(self, seconds: float) -> None:
        """Until something happens."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._some.wait()

    async def _try(self, folders: set[str] | None) -> bool:
        """A pass. What cannot be done now is tried again, whatever the reason; the files are as they were."""
        try:
            with metrics.working_tree_pass.time():
                return await self.pass_(folders)
        except Overtaken:
            raise
        except (CoscribeError, OSError, sqlite3.Error) as error:
            log.warning("working_tree_waits", workspace=self._engine.workspace_id, error=str(error))
            metrics.working_tree_troubles.inc()
            self._nodes = None
            await asyncio.sleep(TROUBLE_SECONDS)
            return False

    async def _listen(self) -> None:
        """Hears of what happens in the engine."""
        while True:
            try:
                watch = await self._engine.watch()
                try:
                    while True:
                        await watch.next()
                        self._some.set()
                finally:
                    watch.close()
            except CoscribeError as error:
                log.info("working_tree_watches_again", workspace=self._engine.workspace_id, error=str(error))
            self._some.set()
            await asyncio.sleep(TROUBLE_SECONDS)

    def _folders(self) -> dict[str, Names]:
        return {file_id: self._record.path(file_id) for file_id in self._record.inside if file_id in self._record.nodes}

    @property
    def path(self) -> Path:
        return self._disk.top

    @property
    def sequence(self) -> int:
        """All up to here is on the disk."""
        return self._record.sequence

    async def pass_(self, folders: Collection[str] | None = None) -> bool:
        """Takes in and puts out. ``folders``: what is looked at on the disk, by id; None: everything. Whether all is
        done; else there is something to come back to soon. Errors: those of the engine; Overtaken, Lost."""
        async with self._turn:
            if self._is_closed:
                raise Overtaken
            with storage_as_refusal():
                return await self._pass(folders)

    async def _pass(self, folders: Collection[str] | None) -> bool:
        self._check()
        if not self._recovered:
            await self._putter.recover()
            await self._begin()
            self._recovered = True
        if folders is None and not self.has_more:
            self._nodes = None  # everything is compared, whatever is known to have changed
        self._taker.waits = self._taker.has_more = self.has_more = False
        await self._taker.recover()
        await self._look_at_displaced(at_once=folders is None)
        if self._git_works():
            return False
        self._git_news |= self._git_has_worked()
        self._by_git |= self._git_news
        nodes = await self._look_at_engine()
        looked_at = None if self._by_git else folders  # what git has done is taken in as one
        found = await in_thread(scan, self._disk, self._record, self._ignores, looked_at)
        self._check()
        if self._git_news:
            self._taker.note_git(found)
            self._git_news = False
        await self._taker.take(found, nodes, self._due, self._typed, by_git=self._by_git)
        # What git has left behind may not all be ready, or taken in, yet.
        self._by_git &= self._taker.waits or self._taker.has_more
        nodes = await self._look_at_engine()
        if self._git_works():
            return False
        self._texts |= self._taker.take_stale()
        self._due |= self._record.take_changed()
        self._recovered = False  # if it does not come to its end
        await self._putter.put(nodes, self._due, self._texts, self._typed)
        self._recovered = True
        self._record.take_changed()
        if not self._taker.has_more:
            self._putter.tell_stuck(nodes)
        await self._taker.take_displaced(self._putter.displaced)
        return await self._end_pass(nodes)

    async def _look_at_displaced(self, *, at_once: bool) -> None:
        """At all of it, now and then; what has just been displaced is looked at in its own pass."""
        now = self._clock()
        if at_once or not 0 <= now - self._looked_at_displaced < DISPLACED_SECONDS:
            self._looked_at_displaced = now
            await self._taker.take_displaced()

    async def _end_pass(self, nodes: Mapping[str, NodeState]) -> bool:
        """Notes what is left. Whether all is done, but for what is stuck."""
        self._due = self._putter.left | self._putter.waiting
        self._texts = self._due | self._taker.take_stale()
        self._arrived = self._sequence
        if not self._texts:
            await in_thread(self._come_to, self._sequence, await self._engine.incarnation())
        self.has_more = self._taker.has_more or bool(self._putter.waiting)
        is_left = any(each in nodes and each not in self._putter.stuck for each in self._texts)
        return not is_left and not self._taker.waits and not self.has_more

    async def close(self) -> None:
        """Waits for whoever works with the files."""
        async with self._turn:
            self._is_closed = True
            self._record.close()
            self._disk.close()

    def _not_kept(self) -> CoscribeError:
        """It is not looked after here any more; what is on the disk is taken in by whoever does next."""
        if self._is_mine():
            return CoscribeError(Code.STORAGE_UNAVAILABLE, "the workspace is kept as files no longer")
        return CoscribeError(Code.MOVED, "another instance looks after the files by now")

    # ---- the engine

    async def _begin(self) -> None:
        """Where the record and the log have parted (a backup was restored), all texts may be others; else those that
        were taken in, and not put any more."""
        self._sequence = self._record.sequence
        if self._record.incarnation not in ("", await self._engine.incarnation()):
            self._sequence = 0
        if self._sequence > await self._engine.last_sequence():
            self._sequence = 0
        self._texts |= {file_id for file_id, states in self._record.states.items() if is_behind(states)}

    def _begin_anew_if_empty(self) -> None:
        """A folder with nothing in it, not even what is ignored, is a new one: nobody has deleted what was there."""
        if self._record.nodes and self._disk.is_empty():
            with self._record.writing():
                self._record.begin_anew()

    def _check(self) -> None:
        """Raises Lost, which is told."""
        try:
            self._disk.check()
        except Lost as error:
            self._tell(Notice("", "working_tree_lost", f"{error}. Nothing was deleted: start it again for all of it"))
            raise

    async def _look_at_engine(self) -> dict[str, NodeState]:
        """Adds what has changed since the last look; at first all there is, for which no log is read. The live nodes
        of the tree, each behind its folder where all of them were read."""
        if not self._sequence:
            self._nodes, self._sequence = await self._engine.present()
            self._texts = {file_id for file_id, state in self._nodes.items() if state.kind == "text"}
            self._due = {*self._nodes, *self._record.nodes}
            return self._nodes
        changes = await self._engine.changes(self._sequence)
        if self._nodes is None:
            self._nodes = (await self._engine.present()).nodes
            self._due = {*self._nodes, *self._record.nodes}
        elif changes.nodes:
            self._due |= await self._engine.follow(self._nodes, changes.nodes)
        self._texts |= changes.texts
        self._sequence = changes.sequence
        self._note_typed(changes.typed)
        return self._nodes

    def _note_typed(self, typed: Iterable[str]) -> None:
        """In which texts somebody has typed of late, the last ones last."""
        now = self._clock()
        for file_id in typed:
            self._typed.pop(file_id, None)
            self._typed[file_id] = now
        while self._typed and (len(self._typed) > MAX_TYPED or now - next(iter(self._typed.values())) > TYPED_SECONDS):
            del self._typed[next(iter(self._typed))]

    def _come_to(self, sequence: int, incarnation: str) -> None:
        if sequence != self._record.sequence:
            with self._record.writing():
                self._record.come_to(sequence, incarnation)

    # ---- git

    def _git_works(self) -> bool:
        """Whether git holds its lock."""
        lock = self._disk.look((GIT, b"index.lock"))
        return lock is not None and self._clock() - lock.signature.modified / 1e9 < GIT_SECONDS

    def _git_has_worked(self) -> bool:
        """Whether it has written its index or changed the branch since the last pass."""
        before = self._git
        seen = [self._disk.look((GIT, name)) for name in (b"index", b"HEAD")]
        self._git = [None if each is None else each.signature for each in seen]
        return bool(before) and self._git != before and None not in self._git

    def _tell(self, notice: Notice) -> None:
        log.warning("write_not_taken", workspace=self._engine.workspace_id, **notice._asdict())
        metrics.working_tree_notices.labels(notice.code).inc()
        self.notices.append(notice)
        del self.notices[:-MAX_NOTICES]
