"""Keeper: says every second that this instance lives, and keeps what it owns as the rules say (`ownership`).

    beat -> table -> what was lost goes from memory
                 -> give up what was handed over, tell the others
                 -> take what belongs here and nobody has
                 -> begin to hand over what belongs elsewhere, some at a time, beside the beats

Of the database only this one task asks for anything, so its calls are in order. While the database cannot be reached
nothing changes until the fence; then everything goes from memory, and comes back with the first beat that succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from coscribe.cluster.ownership import LEASE_SECONDS, Ownership
from coscribe.cluster.ports import Instance, Leases, Table, Unit
from coscribe.documents.ports import StorageError
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.3
"""From a beat that failed to the next one."""

CALL_SECONDS = 1.5
"""How long the database may take for one call."""

STARTS_WITHIN = 20.0
"""How long the database may keep an instance from its first beat; then it does not start."""

LOOK_SECONDS = 0.02
"""Between two looks at the table, however many ask."""

AT_A_TIME = 64
"""Units that are handed over in one go; each is out of reach only while its own go lasts."""

HAND_OVER_SECONDS = 10.0
"""After that it is given up all the same: what is on its way to the disk is then committed or not, its author asks."""

Predicate = Callable[[str], bool]
"""Of a workspace's id."""


def steady() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def _nothing(_: Predicate) -> None: ...


class Keeper:
    """Implements `Owners`. For a gateway ``instance.is_core`` is false: it only beats, and looks.

    ``hand_over`` flushes and lets go of all in memory that is not the predicate's; ``drop`` lets go at once of all that
    this instance does not hold any more, and ``fenced`` is told where that is everything because its time is up.
    ``connected``: whether the others can be reached, by the bus; ``set_apart`` is told when it has been cut off from
    them for so long that it counts, and when it does no longer.
    ``gained`` is told of what it owns newly, of which some may be lost again meanwhile (`owns` knows). ``tell`` has the
    others look again. ``now``: `steady`.
    """

    def __init__(
        self,
        leases: Leases,
        instance: Instance,
        now: Callable[[], float],
        *,
        hand_over: Callable[[Predicate], Awaitable[None]] = _nothing,
        gained: Callable[[Predicate], Awaitable[None]] = _nothing,
        drop: Callable[[], None] = lambda: None,
        fenced: Callable[[], None] = lambda: None,
        tell: Callable[[], None] = lambda: None,
        connected: Callable[[], bool] = lambda: True,
        set_apart: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._leases = leases
        self._instance = instance
        self._now = now
        self._hand_over = hand_over
        self._gained = gained
        self._drop = drop
        self._fenced = fenced
        self._tell = tell
        self._connected = connected
        self._set_apart = set_apart
        self._ownership = Ownership(instance.instance_id)
        self._wake = asyncio.Event()
        self._asking: list[asyncio.Future[None]] = []
        self._failed = False
        self._running: asyncio.Task[None] | None = None
        self._handing: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._fence: asyncio.TimerHandle | None = None
        self._free = asyncio.Event()

    # ---- Owners

    def owner_of(self, workspace_id: str) -> str | None:
        return self._ownership.owner_of(workspace_id, self._now())

    def owns(self, workspace_id: str) -> bool:
        return self._ownership.owns(workspace_id, self._now())

    def holds(self, workspace_id: str) -> bool:
        return self._ownership.holds(workspace_id, self._now())

    @property
    def holds_any(self) -> bool:
        """Whether there is anything at all that this instance holds."""
        return bool(self._ownership.held) and self._now() < self._ownership.fence_at

    async def look_again(self) -> None:
        """Raises StorageError."""
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(looked)
        self._wake.set()
        await looked

    @property
    def instances(self) -> dict[str, Instance]:
        """Those that live, by id, as the table said last."""
        return self._ownership.table.instances

    @property
    def at_work(self) -> Sequence[Instance]:
        """The cores to turn to with what is about no workspace."""
        return self._ownership.at_work

    # ---- life

    async def start(self) -> None:
        """Returns when the instance is in the table. Raises StorageError."""
        self._running = asyncio.get_running_loop().create_task(self._run())
        until = self._now() + STARTS_WITHIN
        while True:
            try:
                return await self.look_again()
            except StorageError:
                if self._now() >= until:
                    await self.stop()
                    raise

    async def leave(self, seconds: float = 2 * HAND_OVER_SECONDS) -> None:
        """The planned end: hands everything over and is gone from the table, after so many seconds in any case."""
        self._instance = self._instance._replace(leaving=True)
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._free.wait()
        await self.stop()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._leases.leave(self._instance.instance_id)
        except (StorageError, TimeoutError) as error:
            log.warning("instance_not_signed_off", error=str(error))  # its time runs out
        self._tell()

    async def stop(self) -> None:
        """Ends it as it is: what it owns is free when its time has run out."""
        for task in (self._running, self._handing, *self._telling):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._fence is not None:
            self._fence.cancel()
        _refuse(self._asking)
        if self._ownership.fence(float("inf")):
            self._drop()

    async def _run(self) -> None:
        while True:
            asked = self._now()
            self._wake.clear()
            asking, self._asking = self._asking, []
            try:
                await self._step(asked, asking)
            except Exception as error:
                metrics.beats_failed.inc()
                expected = isinstance(error, StorageError | TimeoutError)
                if not (self._failed and expected):
                    log.error("leases_unreachable", exc_info=not expected, error=str(error) or type(error).__name__)
                self._failed = True
                _refuse(asking)
                await self._until(asked + RETRY_SECONDS)
            else:
                if self._failed:
                    log.info("leases_reachable")
                self._failed = False
                await asyncio.sleep(LOOK_SECONDS)
                await self._until(asked + BEAT_SECONDS)
            finally:
                _refuse(asking)

    async def _step(self, asked: float, asking: Sequence[asyncio.Future[None]]) -> None:
        """Raises StorageError, TimeoutError."""
        ownership, me = self._ownership, self._instance.instance_id
        async with asyncio.timeout(CALL_SECONDS):
            table = await self._leases.beat(self._instance._replace(cut_off=not self._connected()), LEASE_SECONDS)
        self._take_in(table, asked)
        duty = ownership.duty()
        if duty.release:
            async with asyncio.timeout(CALL_SECONDS):
                table = await self._leases.release(me, duty.release)
            self._take_in(table)
            self._tell()
            duty = ownership.duty()
        if duty.take:
            async with asyncio.timeout(CALL_SECONDS):
                table = await self._leases.take(me, duty.take)
            self._take_in(table)
        for looked in asking:
            if not looked.done():
                looked.set_result(None)
        if duty.hand_over and self._handing is None:
            units = duty.hand_over[:AT_A_TIME]
            ownership.begin(units)
            self._handing = asyncio.get_running_loop().create_task(self._hand(units))
        elif self._instance.leaving and not ownership.held and not ownership.duty().release:
            self._free.set()

    async def _hand(self, units: Sequence[Unit]) -> None:
        began = self._now()
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._hand_over(self.owns)
        except Exception as error:
            log.error("hand_over_failed", exc_info=not isinstance(error, TimeoutError), units=len(units))
        finally:
            self._handing = None
            self._ownership.handed(units)
            self._drop()
            self._wake.set()
        metrics.handed_over.inc(len(units))
        metrics.hand_over_seconds.observe(self._now() - began)

    def _take_in(self, table: Table, asked: float | None = None) -> None:
        """What was lost goes from memory before anything else happens; of what was gained others are told."""
        self._time_is_up()
        ownership, now = self._ownership, self._now()
        was_apart = ownership.is_apart
        change = ownership.seen(table, now) if asked is None else ownership.beaten(asked, table, now)
        if ownership.is_apart != was_apart:
            log.warning("set_apart", is_apart=ownership.is_apart)
            self._set_apart(ownership.is_apart)
        if change.lost:
            self._drop()
        if change.gained:
            telling = asyncio.get_running_loop().create_task(self._tell_gained(change.gained))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        self._watch_the_time()

    async def _tell_gained(self, units: frozenset[Unit]) -> None:
        try:
            await self._gained(lambda workspace_id: self._ownership.unit(workspace_id) in units)
        except Exception:
            log.exception("gained_failed", units=len(units))

    def _watch_the_time(self) -> None:
        ownership = self._ownership
        metrics.owned.set(len(ownership.held))
        metrics.instances.set(len(ownership.table.instances))
        if self._fence is not None:
            self._fence.cancel()
            self._fence = None
        if ownership.held:
            left = max(0.001, ownership.fence_at - self._now())
            self._fence = asyncio.get_running_loop().call_later(left, self._time_is_up)

    def _time_is_up(self) -> None:
        """Perhaps."""
        if self._ownership.fence(self._now()):
            metrics.fenced.inc()
            log.error("fenced_itself")
            self._drop()
            self._fenced()
        self._watch_the_time()

    async def _until(self, moment: float) -> None:
        """Or until somebody asks."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, moment - self._now())):
                await self._wake.wait()


def _refuse(asking: Sequence[asyncio.Future[None]]) -> None:
    """Those who were not answered."""
    for looked in asking:
        if not looked.done():
            looked.set_exception(StorageError("the table of leases cannot be read"))
