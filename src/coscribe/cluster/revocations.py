"""Revocations: a change of rights is carried to all instances, and whoever made it waits until they have applied it.

The change is in the database by then; what is told here is only to ask there again. An instance that does not answer in
time is told again for a while, if it lives. One that is cut off hears nothing of it; but neither has it links by then,
so nobody there reads on (docs/limits.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import count

import msgspec
import structlog

from coscribe.cluster.ports import Bus, BusUnavailable
from coscribe.documents.ports import AccessChange
from coscribe.gateway.gateway import ANSWER_SECONDS
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

CHANGES = "coscribe.access"
"""The subject that all instances hear."""

TRIES = 10
"""How often an instance is told that lives and does not answer, `ANSWER_SECONDS` apart."""

MOST_UNDER_WAY = 10_000
"""Changes under way at the same time, here and for others; one more is told once, and nobody waits for answers."""

Apply = Callable[[AccessChange], Awaitable[None]]


class _Change(msgspec.Struct, array_like=True):
    asker: str
    number: int
    change: AccessChange


class _Answer(msgspec.Struct, array_like=True):
    number: int
    instance_id: str


_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(_Change).decode
_decode_answer = msgspec.msgpack.Decoder(_Answer).decode


class _Asked:
    """``missing``: who has not answered yet."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.answered = asyncio.Event()

    def answer(self, instance_id: str) -> None:
        self.missing.discard(instance_id)
        if not self.missing:
            self.answered.set()


class Revocations:
    """``others``: the ids of the instances that live, as far as this one knows; it may be among them. ``apply`` applies
    a change to what is open here."""

    def __init__(self, bus: Bus, instance_id: str, others: Callable[[], Iterable[str]], apply: Apply) -> None:
        self._bus = bus
        self._me = instance_id
        self._others = others
        self._apply = apply
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """From here on changes of others are applied. Raises BusUnavailable."""
        await self._bus.subscribe(self._answers_to(self._me), self._answered)
        await self._bus.subscribe(CHANGES, self._changed_elsewhere)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def changed(self, change: AccessChange) -> None:
        """To be called once a change is committed. Returns when it is applied here, and wherever else it was heard, or
        after `ANSWER_SECONDS`; it goes on if the caller is cancelled."""
        here = self._go_on_with(self._apply_here(change))
        number, asked = next(self._numbers), _Asked(set(self._others()) - {self._me})
        if asked.missing:
            message = _encode(_Change(self._me, number, change))
            self._say(CHANGES, message)
            if len(self._tasks) < MOST_UNDER_WAY:
                self._asked[number] = asked
                self._go_on_with(self._insist(number, asked, message))
                await _for_a_while(asked)
                metrics.access_unheard.inc(len(asked.missing))
        await asyncio.shield(here)

    async def _insist(self, number: int, asked: _Asked, message: bytes) -> None:
        """Tells it again, to whoever lives and has not answered."""
        try:
            for _ in range(TRIES):
                await _for_a_while(asked)
                asked.missing.intersection_update(self._others())
                if not asked.missing:
                    asked.answered.set()
                    return
                self._say(CHANGES, message)
            log.error("access_change_unheard", by=sorted(asked.missing))
        finally:
            del self._asked[number]

    def _changed_elsewhere(self, raw: bytes) -> None:
        try:
            message = _decode_change(raw)
        except msgspec.MsgspecError as error:
            log.error("access_change_unreadable", error=str(error))
            return
        if message.asker != self._me and len(self._tasks) < MOST_UNDER_WAY:
            self._go_on_with(self._apply_for(message))

    async def _apply_for(self, message: _Change) -> None:
        await self._apply_here(message.change)
        self._say(self._answers_to(message.asker), _encode(_Answer(message.number, self._me)))

    async def _apply_here(self, change: AccessChange) -> None:
        await self._apply(change)

    def _answered(self, raw: bytes) -> None:
        try:
            answer = _decode_answer(raw)
        except msgspec.MsgspecError as error:
            log.error("access_answer_unreadable", error=str(error))
            return
        asked = self._asked.get(answer.number)
        if asked is not None:
            asked.answer(answer.instance_id)

    def _say(self, subject: str, message: bytes) -> None:
        try:
            self._bus.send(subject, message)
        except BusUnavailable as error:
            log.warning("access_change_not_sent", error=str(error))

    def _go_on_with(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _answers_to(instance_id: str) -> str:
        return f"coscribe.access.{instance_id}"


async def _for_a_while(asked: _Asked) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asked.answered.wait()
    except TimeoutError:
        return
