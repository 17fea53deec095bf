"""A pass that is cancelled leaves no thread behind that goes on beside the next one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from coscribe.documents.redaction import literal
from coscribe.working_tree import trees, working_tree
from coscribe.working_tree.scanning import Found, scan
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.trees import WorkingTrees
from tests.working_tree.bench import WS, workbench

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


async def test_a_redaction_that_is_cancelled_ends_before_the_tree_is_open_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would write to the record beside the passes."""
    gate = Gate()

    def held_up(*_: object) -> list[str]:
        gate.hold()
        return []

    async with workbench(tmp_path / "other") as bench:
        parts = bench.server.collaboration, bench.storage, bench.storage, bench.blobs, bench.series, bench.clock
        kept = WorkingTrees(tmp_path / "trees", *parts)
        await kept.open(WS)
        monkeypatch.setattr(trees, "take_out", held_up)
        redacting = asyncio.ensure_future(kept.take_out(WS, literal("secret")))
        assert await asyncio.to_thread(gate.inside.wait, PATIENCE)
        redacting.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not redacting.done() and not kept.is_open(WS)
        gate.opened.set()
        await asyncio.gather(redacting, return_exceptions=True)
        assert gate.left and kept.is_open(WS)
        await kept.stop()
