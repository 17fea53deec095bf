"""An event loop on virtual time, with processes that can be killed, paused and gone on with.

Everything that runs belongs to a `Process` by its context variables: a callback, a task and whatever they start inherit
it. A killed process runs nothing more, whatever it was waiting for: that is a crash at an await. A paused one (SIGSTOP,
a laptop that sleeps) keeps what falls due and does it all when it goes on, its timers late.

Nothing here is random: the same calls give the same order. Time passes only when there is nothing to do.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import CancelledError, events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar
from weakref import WeakSet

_T = TypeVar("_T")

_PROCESS: ContextVar[Process] = ContextVar("process")

MAX_TURNS_IN_PLACE = 200_000
"""Callbacks at one moment of time, after which something goes round in circles."""


class Stuck(Exception):
    """Nothing is left to happen, or it happens for ever at one moment."""


class Process:
    """Something that can die on its own: a server, a client, and at the bottom of it all the world (which does not)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.paused = False
        self.kept: list[events.Handle] = []
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.context: Context = copy_context()
        self.context.run(_PROCESS.set, self)

    def __repr__(self) -> str:
        return self.name


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs until what was asked for is done. ``after_each`` is called after every callback."""

    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self._moment = 0.0
        self._turns = 0
        self.steps = 0
        self.after_each: Callable[[], None] = lambda: None
        self.troubles: list[str] = []
        self.processes: dict[Process, None] = {}
        self._remains: list[asyncio.Task[Any]] = []
        self.set_exception_handler(self._troubled)
        self.set_task_factory(self._begin)

    def time(self) -> float:
        return self._moment

    def start(self, process: Process, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Starts work in a process."""
        return process.context.run(self.create_task, work)

    def within(self, process: Process, delay: float, action: Callable[[], object]) -> None:
        """Does something in a process after so many seconds."""
        self.call_later(delay, action, context=process.context)

    def pause(self, process: Process) -> None:
        process.paused = True

    def go_on(self, process: Process) -> None:
        process.paused = False
        kept, process.kept = process.kept, []
        self._ready.extend(kept)

    def kill(self, process: Process) -> None:
        """What its tasks would still do on their way out does not happen either."""
        process.dead = True
        for task in process.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # nobody waits for the dead
                self._remains.append(task)
        process.kept.clear()  # only now: it may be all that holds on to some of them

    def bury(self) -> None:
        """Closes the coroutines of the dead; to be called when nothing else will run."""
        remains, self._remains = self._remains, []
        for task in remains:
            with suppress(RuntimeError, CancelledError):
                _coroutine_of(task).close()

    # ---- what BaseEventLoop asks of a loop

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Stuck("nothing is left to happen")
            if scheduled[0]._when > self._moment:
                self._moment = scheduled[0]._when
                self._turns = 0
        while scheduled and scheduled[0]._when <= self._moment:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_PROCESS)
            if process is not None:
                if process.dead:
                    continue
                if process.paused:
                    process.kept.append(handle)
                    continue
            handle._run()
            self.steps += 1
            self._turns += 1
            self.after_each()
        if self._turns > MAX_TURNS_IN_PLACE:
            raise Stuck(f"{self._turns} callbacks at {self._moment} s")

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def run_in_executor(self, executor: object, func: Callable[..., _T], *args: object) -> asyncio.Future[_T]:
        """At once: threads are not simulated."""
        done: asyncio.Future[_T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _troubled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _begin(self, loop: asyncio.AbstractEventLoop, work: Any, /, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        process = _PROCESS.get(None)
        if process is not None:
            process.tasks.add(task)
            self.processes[process] = None
        return task


def _coroutine_of(task: asyncio.Task[Any]) -> Coroutine[Any, Any, Any]:
    work = task.get_coro()
    assert isinstance(work, Coroutine)
    return work
