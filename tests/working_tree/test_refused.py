"""What the engine does not take: undone on the disk where it was something else, kept and told; what is new stays there
and is none of the workspace's. It comes to rest, and the rest goes on.
"""

from __future__ import annotations

from pathlib import Path

from tests.working_tree.bench import WS, workbench

REFUSED = 120
"""Files; each is tried by itself, many in a pass."""

PASSES = 12
"""In which it comes to rest."""


async def test_a_workspace_in_which_the_disk_may_only_look(tmp_path: Path) -> None:
    """As one that was archived."""
    async with workbench(tmp_path) as bench:
        await bench.folders("folder")
        for name in ("edited", "renamed", "deleted", "folder/x"):
            await bench.write(name, f"{name}\n")
        await bench.settle()
        everything = sorted(await bench.paths())
        for file_id in (WS, await bench.id("edited")):
            bench.server.rights.roles["", file_id] = "viewer"
        (bench.path / "edited").write_text("by a tool\n")
        (bench.path / "renamed").rename(bench.path / "folder/other")
        (bench.path / "deleted").unlink()
        for number in range(REFUSED):
            (bench.path / f"new{number}").write_text("new\n")
        passes = 0
        while not await bench.tree.pass_():
            passes += 1
            bench.ahead += 1.0
            assert passes < PASSES
        assert sorted(await bench.paths()) == everything
        assert (bench.path / "edited").read_text() == "edited\n"
        assert (bench.path / "renamed").read_text() == "renamed\n"
        assert (bench.path / "deleted").read_text() == "deleted\n"
        assert (bench.path / "new0").read_text() == "new\n"
        kept = {notice.path: notice.kept for notice in bench.tree.notices}
        assert Path(kept["edited"]).read_text() == "by a tool\n"
        assert {"deleted", *(f"new{number}" for number in range(REFUSED))} <= kept.keys()
        assert {notice.code for notice in bench.tree.notices} == {"permission_denied"}
        told = len(bench.tree.notices)
        for _ in range(3):
            assert await bench.tree.pass_()
        assert len(bench.tree.notices) == told
        bench.server.rights.roles.clear()
        (bench.path / "new0").write_text("newer\n")
        await bench.settle()
        assert await bench.text("new0") == "newer\n"
