"""How programs save: step by step, as the kernel sees them do it, with a pass behind each step.

Whoever saves has read what was there before somebody typed. Afterwards both are there, in the same file, whatever the
program has done to get there; and nothing of what was there in between is left in the workspace.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

from coscribe.access.policy import PathRule
from coscribe.documents.ports import Identity, PathRights
from coscribe.documents.quota import Allowance
from tests.documents.test_trees import Ruled
from tests.working_tree.bench import WS, workbench

LINES = [f"line {number}\n" for number in range(40)]
BEFORE = "".join(LINES)
SAVED = BEFORE.replace("line 30\n", "line 30, saved\n")
BOTH = SAVED.replace("line 3\n", "typed\nline 3\n")
OLD = 1_600_000_000


def write(path: Path, text: str, flags: int = os.O_CREAT | os.O_TRUNC) -> Iterator[None]:
    """Opened, in halves, synced, closed."""
    handle = os.open(path, os.O_WRONLY | flags, 0o644)
    yield
    os.write(handle, text[: len(text) // 2].encode())
    yield
    os.write(handle, text[len(text) // 2 :].encode())
    os.fsync(handle)
    os.close(handle)
    yield


def vim_renames(path: Path) -> Iterator[None]:
    """backupcopy=no, writebackup."""
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    yield
    yield from write(path, SAVED, os.O_CREAT | os.O_EXCL)
    path.chmod(0o644)
    backup.unlink()


def vim_copies(path: Path) -> Iterator[None]:
    """backupcopy=yes, and it looks whether it may write in the folder (4913)."""
    probe, backup = path.with_name("4913"), path.with_name(path.name + "~")
    probe.touch()
    probe.unlink()
    shutil.copyfile(path, backup)
    yield
    yield from write(path, SAVED)
    backup.unlink()


def emacs(path: Path) -> Iterator[None]:
    """A lock that is a link to nothing, a backup by renaming."""
    lock, backup = path.with_name(f".#{path.name}"), path.with_name(path.name + "~")
    lock.symlink_to("somebody@host.4711:1700000000")
    yield
    path.rename(backup)
    yield
    yield from write(path, SAVED)
    lock.unlink()
    backup.unlink()


def vs_code(path: Path) -> Iterator[None]:
    yield from write(path, SAVED, os.O_TRUNC)


def jetbrains(path: Path) -> Iterator[None]:
    new, old = path.with_name(path.name + "___jb_tmp___"), path.with_name(path.name + "___jb_old___")
    yield from write(new, SAVED)
    path.rename(old)
    yield
    new.rename(path)
    yield
    old.unlink()


def sponge(path: Path) -> Iterator[None]:
    """Also ``sed -i``, ``patch``, ``rsync``: another file in its place."""
    new = path.with_name(".sponge.X1Y2Z3")
    yield from write(new, SAVED)
    new.rename(path)


def rsync_inplace(path: Path) -> Iterator[None]:
    """Nothing is emptied, and the time of the last change is set back."""
    yield from write(path, SAVED, 0)
    os.truncate(path, len(SAVED.encode()))
    os.utime(path, (OLD, OLD))


def tar(path: Path) -> Iterator[None]:
    """What is there is deleted first."""
    path.unlink()
    yield
    yield from write(path, SAVED, os.O_CREAT | os.O_EXCL)
    os.utime(path, (OLD, OLD))


def memory_map(path: Path) -> Iterator[None]:
    """Nothing but letters, the length stays; then the rest."""
    handle = os.open(path, os.O_RDWR)
    at = BEFORE.index("line 30\n")
    os.pwrite(handle, SAVED[at:].encode()[: len(BEFORE) - at], at)
    yield
    os.pwrite(handle, SAVED.encode(), 0)
    os.close(handle)


DANCES = [vim_renames, vim_copies, emacs, vs_code, jetbrains, sponge, rsync_inplace, tar, memory_map]


@pytest.mark.parametrize("dance", DANCES)
async def test_an_editor_saves_while_somebody_types(tmp_path: Path, dance: Callable[[Path], Iterator[None]]) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.py", BEFORE)
        await bench.settle()
        file_id = await bench.id("a.py")
        await bench.insert("a.py", BEFORE.index("line 3\n"), "typed\n")  # the editor has read the text before that
        await bench.settle()
        bench.ahead = 0.0
        for _ in dance(bench.path / "a.py"):
            bench.still = time.time()  # what is between two steps takes no time
            await bench.tree.pass_()
        bench.still = None
        await bench.settle()
        assert await bench.text("a.py") == BOTH
        assert await bench.paths() == ["a.py"]
        assert await bench.id("a.py") == file_id
        assert bench.tree.notices == []
        await bench.same()


PROGRAMS = {
    "sed": "sed -i 's/^line 30$/line 30, saved/' a.py",
    "patch": "patch -s a.py saved.diff",
    "tar": "tar xf saved.tar",
    "git apply": "git apply saved.diff",
    "vim": "vim -u NONE -N -es -c '%s/^line 30$/line 30, saved/' -c 'set backupcopy=no writebackup' -c wq a.py",
    "emacs": """emacs -Q --batch a.py --eval '(progn (search-forward "line 30") (insert ", saved") (save-buffer))'""",
    "sponge": "sed 's/^line 30$/line 30, saved/' a.py | sponge a.py",
    "rsync": "rsync --inplace saved/a.py a.py",
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_programs_that_are_here(tmp_path: Path, program: str) -> None:
    """They read what is there, or bring a whole text that was made of what was there before."""
    if shutil.which(program.partition(" ")[0]) is None:
        pytest.skip(f"{program} is not here")
    async with workbench(tmp_path) as bench:
        await bench.write("a.py", BEFORE)
        (bench.path / ".gitignore").write_text("saved*\n")
        (bench.path / "saved").mkdir()
        (bench.path / "saved/a.py").write_text(SAVED)
        diff = unified_diff(LINES, SAVED.splitlines(keepends=True), "a/a.py", "b/a.py")
        (bench.path / "saved.diff").write_text("".join(diff))
        await bench.settle()
        file_id = await bench.id("a.py")
        bench.run("tar", "cf", "saved.tar", "-C", "saved", "a.py")
        await bench.insert("a.py", BEFORE.index("line 3\n"), "typed\n")
        await bench.settle()
        bench.run("sh", "-c", PROGRAMS[program])
        await bench.settle()
        assert await bench.text("a.py") == BOTH
        assert await bench.id("a.py") == file_id
        assert [path for path in await bench.paths() if not path.startswith("a.py")] == [".gitignore"]


# ---- folders, and files with two names


async def test_a_folder_is_removed_and_made_again(tmp_path: Path) -> None:
    """At once: the same files. Later: what is much the same is the same file again, also what was typed."""
    async with workbench(tmp_path) as bench:
        await bench.folders("src")
        await bench.write("src/a.py", BEFORE)
        await bench.write("src/b.py", "b\n")
        await bench.settle()
        ids = [await bench.id("src/a.py"), await bench.id("src/b.py")]
        for passes in (0, 3):
            await bench.insert("src/a.py", 0, f"typed {passes}\n")
            await bench.settle()
            shutil.copytree(bench.path / "src", tmp_path / "copy")
            bench.run("rm", "-rf", "src")
            for _ in range(passes):
                await bench.tree.pass_()
                bench.ahead += 1.0
            assert bool(await bench.paths()) == (not passes)
            shutil.move(tmp_path / "copy", bench.path / "src")
            await bench.settle()
            assert [await bench.id("src/a.py"), await bench.id("src/b.py")] == ids
            assert f"typed {passes}\n" in await bench.text("src/a.py")
            await bench.same()


async def test_two_names_of_one_file(tmp_path: Path) -> None:
    """They are two files here: what is written by one name is written to both, what people type to the one."""
    async with workbench(tmp_path) as bench:
        await bench.write("a", BEFORE)
        await bench.settle()
        bench.run("ln", "a", "b")
        await bench.settle()
        assert await bench.paths() == ["a", "b"]
        with (bench.path / "b").open("r+") as file:
            file.write(SAVED)
        await bench.settle()
        assert await bench.text("a") == await bench.text("b") == SAVED
        await bench.insert("a", 0, "typed\n")
        await bench.settle()
        assert await bench.text("a") == "typed\n" + SAVED
        assert await bench.text("b") == SAVED
        await bench.same()


# ---- refused


async def test_what_a_rule_closes_is_undone_and_the_rest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("fixed", "free")
        for name in ("fixed/a", "free/a"):
            await bench.write(name, f"{name}\n")
        await bench.settle()
        rules = Ruled((PathRule("everyone", "", "fixed/**", "read"),))

        async def rights(identity: Identity, _: str) -> PathRights:
            return rules.of("cid" if identity.user_id == "disk" else identity.user_id)

        monkeypatch.setattr(bench.server.rights, "rights", rights)
        for name in ("fixed/a", "free/a", "fixed/new", "free/new"):
            (bench.path / name).write_text("by a tool\n")
        await bench.settle()
        assert (bench.path / "fixed/a").read_text() == "fixed/a\n"
        assert await bench.text("free/a") == await bench.text("free/new") == "by a tool\n"
        assert (bench.path / "fixed/new").read_text() == "by a tool\n"
        assert await bench.paths("fixed") == ["fixed/a"]
        told = {notice.path: notice for notice in bench.tree.notices}
        assert {path: notice.code for path, notice in told.items()} == {
            "fixed/a": "permission_denied",
            "fixed/new": "permission_denied",
        }
        assert Path(told["fixed/a"].kept).read_text() == "by a tool\n"


async def test_a_quota_on_the_disk(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a", "a\n")
        await bench.settle()
        session = await bench.server.collaboration.router.session(WS)
        session.allowance = Allowance(10_000, 5_000, lambda: None)
        (bench.path / "a").write_text("x" * 50_000)
        (bench.path / "new").write_text("y" * 50_000)
        (bench.path / "small").write_text("z\n")
        await bench.settle()
        assert (bench.path / "a").read_text() == await bench.text("a") == "a\n"
        assert (bench.path / "new").read_text() == "y" * 50_000
        assert await bench.text("small") == "z\n"
        told = {notice.path: notice for notice in bench.tree.notices}
        assert {path: notice.code for path, notice in told.items()} == {"a": "quota_exceeded", "new": "quota_exceeded"}
        assert Path(told["a"].kept).read_text() == "x" * 50_000
