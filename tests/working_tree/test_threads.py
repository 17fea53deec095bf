"""A pass that is cancelled leaves no thread behind that goes on beside the next one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from coscribe.working_tree import working_tree
from coscribe.working_tree.scanning import Found, scan
from coscribe.working_tree.threads import in_thread
from tests.working_tree.bench import workbench

PATIENCE = 60.0


class Gate:
    """Holds up whatever passes through it in a thread."""

    def __init__(self) -> None:
        self.inside, self.opened = threading.Event(), threading.Event()
        self.left = False

    def hold(self) -> None:
        self.inside.set()
        assert self.opened.wait(PATIENCE)
        self.left = True


async def test_cancelled_work_is_waited_for() -> None:
    gate = Gate()
    work = asyncio.ensure_future(in_thread(gate.hold))
    assert await asyncio.to_thread(gate.inside.wait, PATIENCE)
    for _ in range(3):
        work.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not work.done()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert gate.left


async def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_a_working_tree_is_closed_after_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of one that was closed under a thread's hands brought the process down."""
    gate = Gate()

    def held_up(*args: Any, **kwargs: Any) -> Found:
        gate.hold()
        return scan(*args, **kwargs)

    async with workbench(tmp_path) as bench:
        monkeypatch.setattr(working_tree, "scan", held_up)
        running = asyncio.ensure_future(bench.tree.run())
        assert await asyncio.to_thread(gate.inside.wait, PATIENCE)
        running.cancel()
        closing = asyncio.ensure_future(bench.tree.close())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not running.done() and not closing.done()
        gate.opened.set()
        await asyncio.gather(running, return_exceptions=True)
        await closing
        assert gate.left
        bench.open()  # which the workbench closes
