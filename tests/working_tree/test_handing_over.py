"""A working tree that goes from one process to another: planned, and when the one before was only stopped."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.working_tree import record
from coscribe.working_tree.disk import Disk, Overtaken
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.trees import WorkingTrees
from coscribe.working_tree.working_tree import WorkingTree
from tests.working_tree.bench import ANN, WS, Workbench, workbench

CHANGES = ("place", "exchange", "displace", "move", "make_folder", "remove_folder")


def beside(bench: Workbench, is_mine: list[bool]) -> WorkingTree:
    """Another process's, in the same folder."""
    engine = Engine(bench.server.collaboration, bench.storage, bench.storage, bench.blobs, WS)
    return WorkingTree(bench.root, engine, bench.series, bench.clock, is_shared=True, is_mine=lambda: is_mine[0])


@pytest.mark.parametrize("change", CHANGES)
async def test_who_was_overtaken_in_the_middle_of_a_pass_changes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async with workbench(tmp_path) as bench:
        await bench.tree.close()
        await bench.folders("old", "gone")
        for name in ("a.txt", "b.txt", "old/c.txt"):
            await bench.write(name, "one\n")
        is_mine = [True]
        before = beside(bench, is_mine)
        while not await before.pass_():
            bench.ahead += 1.0
        await bench.write("new.txt", "new\n")
        await bench.folders("more")
        await bench.insert("a.txt", 0, "two ")
        for path in ("b.txt", "gone"):
            await bench.files.delete(ANN, WS, path, bench.series())
        await bench.files.rename(ANN, WS, "old/c.txt", "c.txt", bench.series(), overwrite=False)
        done = getattr(Disk, change)
        changed: list[str] = []

        def stopped(disk: Disk, *args: Any) -> Any:
            is_mine[0] = False
            changed.append(change)
            return done(disk, *args)

        with monkeypatch.context() as patched:
            patched.setattr(Disk, change, stopped)
            with pytest.raises(Overtaken):
                await before.pass_()
        assert changed == [change]
        after = beside(bench, [True])
        while not await after.pass_():
            bench.ahead += 1.0
        with pytest.raises(Overtaken):
            await before.pass_()
        with pytest.raises(CoscribeError) as refused:
            await before.save(10**9)
        assert refused.value.code is Code.MOVED
        await bench.same()
        assert bench.on_disk() == ["a.txt", "c.txt", "more/", "new.txt", "old/"]
        await before.close()
        await after.close()
        bench.open()


async def test_only_what_is_ones_own_is_kept(tmp_path: Path) -> None:
    async with workbench(tmp_path / "other") as bench:
        parts = bench.server.collaboration, bench.storage, bench.storage, bench.blobs, bench.series, bench.clock
        kept = WorkingTrees(tmp_path / "trees", *parts, lambda _: True)
        await kept.open(WS)
        await kept.keep_only(lambda workspace_id: workspace_id == WS)
        assert kept.is_open(WS)
        closing_it = asyncio.ensure_future(kept.keep_only(lambda _: False))
        for _ in range(3):
            await asyncio.sleep(0)
        opened = await kept.open(WS)  # which waits for the end of the one before
        assert closing_it.done()
        assert opened.path == tmp_path / "trees" / WS
        with closing(sqlite3.connect(tmp_path / "trees" / ".coscribe" / WS / "record.db")) as db:
            assert db.execute("pragma journal_mode").fetchone() == ("delete",)
            assert db.execute("select value from meta where key = 'epoch'").fetchone() == ("2",)
        await kept.stop()


async def test_a_record_that_a_stopped_process_is_writing_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for in a thread; then it can be tried again."""
    monkeypatch.setattr(record, "LOCK_SECONDS", 0.05)
    async with workbench(tmp_path / "other") as bench:
        parts = bench.server.collaboration, bench.storage, bench.storage, bench.blobs, bench.series, bench.clock
        kept = WorkingTrees(tmp_path / "trees", *parts, lambda _: True)
        await kept.open(WS)
        await kept.close(WS)
        with closing(sqlite3.connect(tmp_path / "trees" / ".coscribe" / WS / "record.db")) as db:
            db.execute("begin immediate")
            with pytest.raises(CoscribeError) as refused:
                await kept.open(WS)
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
            db.execute("rollback")
        await kept.open(WS)
        await kept.stop()


async def test_a_save_of_what_is_kept_no_longer(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.settle()
        await bench.tree.close()
        for sequence in (0, 10**9):
            with pytest.raises(CoscribeError) as refused:
                await bench.tree.save(sequence)
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
        bench.open()
