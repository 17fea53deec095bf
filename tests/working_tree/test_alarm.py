"""What happens on the disk is heard of, and what is not heard of is found all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coscribe.core.errors import CoscribeError
from coscribe.working_tree import working_tree
from coscribe.working_tree.alarm import Alarm
from tests.working_tree.bench import Workbench, workbench

PATIENCE = 20.0
NEVER = 1_000.0


class Mute(Alarm):
    """Hears nothing."""

    taken = 0

    def take(self) -> set[str] | None:
        Mute.taken += 1
        return set()


@asynccontextmanager
async def running(bench: Workbench) -> AsyncIterator[None]:
    task = asyncio.ensure_future(bench.tree.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def comes_true(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await is_so():  # noqa: ASYNC110  (the disk tells nobody)
            await asyncio.sleep(0.01)


async def reads(bench: Workbench, **texts: str) -> None:
    """Returns when the texts are in the tree; two underscores are a slash."""

    async def are_there() -> bool:
        try:
            return all([await bench.text(name.replace("__", "/")) == text for name, text in texts.items()])
        except CoscribeError:
            return False

    await comes_true(are_there)


async def test_folders_that_change_places_are_heard_of_by_their_new_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their watches go along with them: what was written to the one was looked for in the other."""
    monkeypatch.setattr(working_tree, "SWEEP_SECONDS", NEVER)
    async with workbench(tmp_path) as bench, running(bench):
        for name in "ab":
            (bench.path / name / "inner").mkdir(parents=True)
            (bench.path / name / "inner" / "x").write_text(f"{name}\n")
        await reads(bench, a__inner__x="a\n", b__inner__x="b\n")
        bench.run("sh", "-c", "mv a t; mv b a; mv t b")
        await reads(bench, a__inner__x="b\n", b__inner__x="a\n")
        for number in range(3):
            (bench.path / "b" / "inner" / "x").write_text(f"{number}\n")
            await reads(bench, b__inner__x=f"{number}\n")


async def test_a_folder_that_took_the_place_of_another_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_tree, "SWEEP_SECONDS", NEVER)
    async with workbench(tmp_path) as bench, running(bench):
        (bench.path / "a").mkdir()
        (bench.path / "a" / "x").write_text("one\n")
        await reads(bench, a__x="one\n")
        bench.run("sh", "-c", "mv a old; cp -a old a")
        await reads(bench, a__x="one\n", old__x="one\n")
        bench.run("rm", "-r", "old")
        for number in range(3):
            (bench.path / "a" / "x").write_text(f"{number}\n")
            await reads(bench, a__x=f"{number}\n")


async def test_everything_is_looked_at_also_while_people_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is heard of, it was looked only once nobody had done anything for a while."""
    monkeypatch.setattr(working_tree, "SWEEP_SECONDS", 0.5)
    monkeypatch.setattr(working_tree, "Alarm", Mute)
    async with workbench(tmp_path) as bench:
        await bench.write("typed", "")
        await bench.write("written", "")
        await bench.settle()

        async def type_on() -> None:
            while True:
                await bench.insert("typed", 0, "x")
                await asyncio.sleep(0.2)

        async def has_rested() -> bool:
            return Mute.taken > before + 5

        async with running(bench):
            before = Mute.taken
            typing = asyncio.ensure_future(type_on())
            await comes_true(has_rested)
            (bench.path / "written").write_text("by a program\n")
            await reads(bench, written="by a program\n")
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)
