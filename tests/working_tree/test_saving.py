"""A save is held up by what it is about, and says what that is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coscribe.core.errors import Code, CoscribeError
from tests.working_tree.bench import ANN, WS, Workbench, workbench


async def last(bench: Workbench) -> int:
    return (await bench.server.collaboration.router.session(WS)).last_sequence


async def test_what_is_stuck_is_named_and_others_are_saved(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("src")
        await bench.write("src/free", "x\n")
        await bench.settle()
        os.mkfifo(bench.path / "src/stuck")
        await bench.write("src/stuck", "a person's\n")
        await bench.settle()
        await bench.type("src/free", "x", "y")
        await bench.tree.save(await last(bench), await bench.id("src/free"))
        assert (bench.path / "src/free").read_text() == "y\n"
        for file_id in (None, await bench.id("src/stuck")):
            with pytest.raises(CoscribeError) as refused:
                await bench.tree.save(await last(bench), file_id)
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
            assert "src/stuck" in str(refused.value)
        os.unlink(bench.path / "src/stuck")
        await bench.tree.save(await last(bench))
        assert (bench.path / "src/stuck").read_text() == "a person's\n"
        await bench.same()


async def test_what_changes_in_the_tree_is_followed(tmp_path: Path) -> None:
    """Without a look at all of it: only what has changed is looked at, in both directions."""
    async with workbench(tmp_path) as bench:
        await bench.folders("a", "a/b", "a/b/c", "d")
        for name in ("a/1", "a/b/2", "a/b/c/3", "d/4"):
            await bench.write(name, f"{name}\n")
        await bench.settle()

        async def followed() -> None:
            for _ in range(5):
                if await bench.tree.pass_(()):
                    break
            await bench.same()

        b, c = await bench.id("a/b"), await bench.id("a/b/c")
        await bench.folders("new", "new/inner")
        await bench.files.rename(ANN, WS, "a/b", "new/inner/b", bench.series())
        await followed()
        await bench.files.delete(ANN, WS, "new/inner/b/c", bench.series())
        await bench.files.delete(ANN, WS, "new", bench.series())
        await followed()
        assert "new/" not in await bench.paths()
        await bench.files.restore(ANN, WS, await trashed(bench, "new"), bench.series())
        await bench.files.restore(ANN, WS, c, bench.series())
        await bench.files.rename(ANN, WS, "a", "e", bench.series())
        await bench.files.rename(ANN, WS, "d", "a", bench.series())
        await bench.files.rename(ANN, WS, "e", "d", bench.series())
        await bench.type("a/4", "d", "D")
        await followed()
        assert (bench.path / "a/4").read_text() == "D/4\n"
        assert (bench.path / "new/inner/b/c/3").read_text() == "a/b/c/3\n"
        assert await bench.id("new/inner/b") == b


async def trashed(bench: Workbench, path: str) -> str:
    return next(entry.file_id for entry in (await bench.files.trash(ANN, WS)).entries if entry.path == path)
