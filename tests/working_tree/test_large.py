"""Folders of thousands of files are moved by one operation, from either side."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.working_tree.bench import ANN, WS, Workbench, workbench

pytestmark = pytest.mark.slow

FILES = 5_000


async def entries(bench: Workbench) -> int:
    """Entries of the log."""
    return (await bench.server.collaboration.router.session(WS)).last_sequence


@pytest.mark.parametrize("side", ["disk", "engine"])
async def test_a_folder_is_moved_by_one_operation(tmp_path: Path, side: str) -> None:
    async with workbench(tmp_path) as bench:
        await bench.fill("old", FILES)
        await bench.settle()
        before = await entries(bench)
        file_id = await bench.id("old/part7/750.txt")
        begun = time.monotonic()
        if side == "disk":
            bench.run("mv", "old", "new")
        else:
            await bench.files.rename(ANN, WS, "old", "new", bench.series())
        operation = time.monotonic() - begun
        await bench.settle()
        print(
            f"{FILES} files moved on the {side}: {operation:.2f} s, and {time.monotonic() - begun:.2f} s to the other"
        )
        assert await entries(bench) == before + 1
        assert await bench.id("new/part7/750.txt") == file_id
        assert sum(1 for path in (bench.path / "new").rglob("*.txt")) == FILES
        assert not (bench.path / "old").exists()
        await bench.type("new/part7/750.txt", "750", "edited")
        (bench.path / "new/part7/751.txt").write_text("written\n")
        await bench.settle()
        assert (bench.path / "new/part7/750.txt").read_text() == "edited\n"
        assert await bench.text("new/part7/751.txt") == "written\n"
        assert await entries(bench) == before + 3
