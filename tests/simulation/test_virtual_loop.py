"""Virtual time, and processes that are killed and paused."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.virtual_loop import Process, Stuck, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.bury()
    made.close()


def run(loop: VirtualLoop, work: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(work)


async def counting(loop: VirtualLoop, heard: list[float]) -> None:
    try:
        while True:
            await asyncio.sleep(1.0)
            heard.append(loop.time())
    finally:
        heard.append(-1.0)


def test_time_passes_when_there_is_nothing_to_do(loop: VirtualLoop) -> None:
    run(loop, asyncio.sleep(86_400.0))
    assert loop.time() == 86_400.0


def test_who_is_killed_does_nothing_more_not_even_on_the_way_out(loop: VirtualLoop) -> None:
    process, heard = Process("one"), list[float]()

    async def story() -> None:
        loop.start(process, counting(loop, heard))
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10.0)

    run(loop, story())
    assert heard == [1.0, 2.0]
    assert loop.troubles == []


def test_who_was_paused_does_late_what_was_due(loop: VirtualLoop) -> None:
    process, heard = Process("one"), list[float]()

    async def story() -> None:
        loop.start(process, counting(loop, heard))
        await asyncio.sleep(1.5)
        loop.pause(process)
        await asyncio.sleep(5.0)
        loop.go_on(process)
        await asyncio.sleep(1.2)
        loop.kill(process)

    run(loop, story())
    assert heard == [1.0, 6.5, 7.5]


def test_what_a_process_starts_dies_with_it(loop: VirtualLoop) -> None:
    process, heard = Process("one"), list[float]()

    async def parent() -> None:
        loop.create_task(counting(loop, heard))
        loop.call_later(3.0, heard.append, 3.0)
        await asyncio.sleep(100.0)

    async def story() -> None:
        loop.start(process, parent())
        await asyncio.sleep(1.5)
        loop.kill(process)
        await asyncio.sleep(10.0)

    run(loop, story())
    assert heard == [1.0]


def test_a_task_that_fails_unheard_is_a_trouble(loop: VirtualLoop) -> None:
    async def fails() -> None:
        raise RuntimeError("unheard")

    async def story() -> None:
        loop.start(Process("one"), fails())
        await asyncio.sleep(1.0)

    run(loop, story())
    assert any("unheard" in trouble for trouble in loop.troubles)


def test_nothing_left_to_happen_is_noticed(loop: VirtualLoop) -> None:
    async def story() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        run(loop, story())
