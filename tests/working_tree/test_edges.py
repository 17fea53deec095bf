"""What disks and programs do that is out of the ordinary: nothing is lost, nothing ends the working tree, and it comes
to rest.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Kind
from coscribe.documents.collaboration import Planned
from coscribe.documents.ports import StorageError
from coscribe.protocol import messages
from coscribe.working_tree import taking
from coscribe.working_tree.disk import Lost
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.putting import Putter
from coscribe.working_tree.texts import Texts
from tests.working_tree.bench import ANN, WS, Workbench, workbench

RESTS = 10
"""Passes within which it comes to rest, a second apart; what is told after 5 s among them."""


async def passes(bench: Workbench) -> int:
    """How many there were until there was nothing left to do."""
    for number in range(1, RESTS + 1):
        if await bench.tree.pass_():
            return number
        bench.ahead += 1.0
    raise AssertionError(f"no rest after {RESTS} passes")


# ---- what is in a file


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (b"one\r\ntwo\r\n", b"one\r\ntwo\r\nthree\n", b"one\r\ntwo\r\nthree\r\n"),
        (b"one\ntwo\n", b"one\ntwo\nthree\r\n", b"one\ntwo\nthree\n"),
    ],
)
async def test_a_text_whose_line_ends_get_mixed_stays_one(
    tmp_path: Path, before: bytes, after: bytes, kept: bytes
) -> None:
    """It is not closed for all who have it open: the lines get the ends that the file has."""
    async with workbench(tmp_path) as bench:
        (bench.path / "a.txt").write_bytes(before)
        await bench.settle()
        (bench.path / "a.txt").write_bytes(after)
        await bench.settle()
        assert await bench.text("a.txt") == "one\ntwo\nthree\n"
        assert (bench.path / "a.txt").read_bytes() == kept


async def test_what_is_new_and_mixed_stays_bit_for_bit(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / "a.txt").write_bytes(b"one\r\ntwo\n")
        await bench.settle()
        assert (await bench.files.stat(ANN, WS, "a.txt")).kind == "binary"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("latin-1", b""), ("utf-8", b"\xef\xbb\xbf")],
)
async def test_both_sides_edit_in_an_encoding(tmp_path: Path, encoding: str, mark: bytes) -> None:
    async with workbench(tmp_path) as bench:
        path = bench.path / "a.txt"
        path.write_bytes(mark + "önë\r\ntwo\r\n".encode(encoding))
        await bench.settle()
        await bench.type("a.txt", "önë", "önë é")
        path.write_bytes(mark + "önë\r\nzwei\r\n".encode(encoding))
        await bench.settle()
        assert path.read_bytes() == mark + "önë é\r\nzwei\r\n".encode(encoding)


async def test_a_text_becomes_binary_and_is_one_again(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\ntwo\n")
        await bench.settle()
        before = await bench.id("a.txt")
        (bench.path / "a.txt").write_bytes(b"\0\1\2")
        await bench.settle()
        assert (await bench.files.stat(ANN, WS, "a.txt")).kind == "binary"
        (bench.path / "a.txt").write_bytes(b"one\nthree\n")
        await bench.settle()
        assert await bench.id("a.txt") == before
        assert await bench.text("a.txt") == "one\nthree\n"


async def test_more_text_than_one_operation_takes(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\ntwo\n")
        await bench.settle()
        long = "".join(f"line {number}\n" for number in range(200_000))
        (bench.path / "a.txt").write_text(f"one\n{long}")
        await bench.tree.pass_()
        await bench.type("a.txt", "one", "one TYPED")
        await bench.settle()
        assert await bench.text("a.txt") == f"one TYPED\n{long}"
        assert bench.tree.notices == []
        await bench.same()


async def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """One that the tree has is what it was again, and what was written is kept; told once."""
    async with workbench(tmp_path) as bench:
        await bench.write("a", "x\n")
        await bench.settle()
        for name in ("a", "new"):
            os.truncate(bench.path / name, 70_000_000) if name == "a" else None
        with (bench.path / "new").open("wb") as file:
            file.truncate(70_000_000)
        await passes(bench)
        for _ in range(3):
            await bench.tree.pass_()
        assert (bench.path / "a").read_text() == "x\n"
        assert await bench.paths() == ["a"]
        told = {notice.path: notice for notice in bench.tree.notices}
        assert len(bench.tree.notices) == 2
        assert {notice.code for notice in told.values()} == {"file_too_large"}
        assert Path(told["a"].kept).stat().st_size == 70_000_000


# ---- what is at a path


async def test_links_are_not_followed(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        os.symlink("loop", bench.path / "loop")
        os.symlink(".", bench.path / "self")
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "x").write_text("theirs\n")
        await bench.folders("folder")
        await bench.write("folder/x", "ours\n")
        await bench.settle()
        shutil.rmtree(bench.path / "folder")
        os.symlink("../outside", bench.path / "folder")
        await bench.settle()
        await bench.same()
        assert (await bench.files.stat(ANN, WS, "folder")).content == "../outside"
        assert (outside / "x").read_text() == "theirs\n"


async def test_a_link_to_what_is_not_utf_8_stays_on_the_disk(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        os.symlink(b"caf\xe9", os.fsencode(bench.path) + b"/link")
        (bench.path / "a").write_text("a\n")
        await passes(bench)
        await bench.tree.pass_()
        assert await bench.paths() == ["a"]
        assert [(notice.path, notice.code) for notice in bench.tree.notices] == [("link", "invalid_text")]
        assert os.path.lexists(bench.path / "link")


async def test_what_is_in_the_way_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / ".gitignore").write_text("*.o\n")
        (bench.path / "a.o").write_text("ignored\n")
        os.mkfifo(bench.path / "fifo")
        with socket.socket(socket.AF_UNIX) as listening:
            here = os.open(bench.path, os.O_RDONLY)
            listening.bind(f"/proc/self/fd/{here}/socket")
            os.close(here)
        await bench.settle()
        assert await bench.paths() == [".gitignore"]
        await bench.write("a.o", "a person's\n")
        await bench.write("fifo", "a person's\n")
        await bench.write("b", "b\n")
        await passes(bench)
        assert (bench.path / "b").read_text() == "b\n"
        assert (bench.path / "a.o").read_text() == "ignored\n"
        assert sorted((notice.path, notice.code) for notice in bench.tree.notices) == [
            ("a.o", "not_put"),
            ("fifo", "not_put"),
        ]
        os.unlink(bench.path / "fifo")
        os.unlink(bench.path / "a.o")
        await passes(bench)
        assert (bench.path / "fifo").read_text() == (bench.path / "a.o").read_text() == "a person's\n"


async def test_a_folder_in_the_place_of_a_file_with_its_inode(tmp_path: Path) -> None:
    """Where numbers of inodes are used again at once. What was in it was refused, as being in a file."""
    async with workbench(tmp_path) as bench:
        (bench.path / "a").write_text("one\n")
        await bench.settle()
        bench.ahead = 0.0
        (bench.path / "a").unlink()
        (bench.path / "a").mkdir()
        (bench.path / "a" / "x").write_text("two\n")
        bench.still = os.stat(bench.path / "a" / "x").st_mtime + 0.1
        await bench.tree.pass_()
        bench.still = None
        await bench.settle()
        assert await bench.paths() == ["a/", "a/x"]
        assert not bench.tree.notices


async def test_a_folder_in_the_place_of_a_file_has_more_than_one_operation_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "CHUNK", 10)
    async with workbench(tmp_path) as bench:
        (bench.path / "a").write_text("one\n")
        await bench.settle()
        (bench.path / "a").rename(tmp_path / "elsewhere")  # so that its inode is in use
        (bench.path / "a").mkdir()
        for number in range(25):
            (bench.path / "a" / str(number)).write_text(f"{number}\n")
        await bench.settle()
        await bench.same()


async def test_a_file_in_the_place_of_a_folder_where_each_thing_is_tried_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind something that was refused: what is in its way gives way, too."""
    monkeypatch.setattr(taking, "CHUNK", 1)
    async with workbench(tmp_path) as bench:
        (bench.path / "a").mkdir()
        (bench.path / "a" / "x").write_text("one\n")
        await bench.settle()
        shutil.rmtree(bench.path / "a")
        (bench.path / "a").write_text("two\n")
        (bench.path / "b").write_text("three\n")
        await bench.settle()
        assert await bench.paths() == ["a", "b"]
        await bench.same()


async def test_names_of_all_sorts(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        names = ("n" * 255, "a\nb", "a\\b", "a\x01b", " ", "...", "CON", "é" * 127, "Readme", "README")
        for name in names:
            (bench.path / name).write_text("1\n")
        await bench.settle()
        await bench.same()
        assert len(await bench.paths()) == len(names)


async def test_folders_too_deep_stay_on_the_disk(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        os.makedirs(bench.path.joinpath(*["d"] * 900))
        (bench.path / "a").write_text("a\n")
        await passes(bench)
        assert "a" in await bench.paths()
        assert [notice.code for notice in bench.tree.notices] == ["not_looked_at"]


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder, and nobody's rights to it."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65_534, 65_534)
        os.seteuid(65_534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
        shutil.rmtree(folder)


async def test_what_is_not_permitted_is_told_and_the_rest_goes_on() -> None:
    with unprivileged() as root:
        async with workbench(root) as bench:
            await bench.folders("closed", "full")
            for path in ("closed/x", "full/x", "file", "other"):
                await bench.write(path, "x\n")
            await bench.settle()
            (bench.path / "closed").chmod(0)
            (bench.path / "file").chmod(0)
            (bench.path / "full").chmod(0o500)
            await bench.write("full/new", "new\n")
            await bench.type("other", "x", "y")
            await passes(bench)
            assert (bench.path / "other").read_text() == "y\n"
            assert {"closed/x", "full/x", "full/new", "file"} <= set(await bench.paths())
            assert {notice.path: notice.code for notice in bench.tree.notices} == {
                "closed": "not_looked_at",
                "file": "not_looked_at",
                "full/new": "not_put",
            }
            for name in ("closed", "full"):
                (bench.path / name).chmod(0o700)
            (bench.path / "file").chmod(0o600)
            await bench.settle()
            await bench.same()


async def test_what_something_is_mounted_on_is_not_deleted(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("folder")
        await bench.write("folder/x", "x\n")
        await bench.settle()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "none", str(bench.path / "folder")], check=False, capture_output=True
        )
        if mounted.returncode != 0:
            pytest.skip("nobody here may mount anything")
        try:
            (bench.path / "folder/other").write_text("not ours\n")
            for _ in range(3):
                await bench.tree.pass_()
                bench.ahead += 1.0
            assert await bench.paths() == ["folder/", "folder/x"]
        finally:
            subprocess.run(["umount", str(bench.path / "folder")], check=True)
        await bench.settle()
        await bench.same()


async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """What does not fit waits, nothing of it is left lying about, and it goes on by itself."""
    async with workbench(tmp_path) as bench:
        await bench.settle()
        await bench.write("a", "a" * 300_000)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            for _ in range(3):
                with pytest.raises(OSError, match="too large"):
                    await bench.tree.pass_()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path / ".coscribe" / WS / "staged") == []
        await bench.settle()
        await bench.same()


# ---- what is ignored


async def test_rules_within_rules(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / ".gitignore").write_text("*.log\n!keep.log\n/d/e/\n")
        (bench.path / "d/e").mkdir(parents=True)
        (bench.path / "d/.gitignore").write_text("!a.log\n")
        for name in ("a.log", "keep.log", "d/a.log", "d/b.log", "d/e/keep.log"):
            (bench.path / name).write_text("x")
        await bench.settle()
        tracked = [".gitignore", "d/", "d/.gitignore", "d/a.log", "keep.log"]
        assert sorted(await bench.paths()) == tracked
        (bench.path / ".gitignore").write_text("*\n")
        (bench.path / "keep.log").write_text("y")
        await bench.settle()
        assert sorted(await bench.paths()) == tracked
        assert await bench.text("keep.log") == "y"


async def test_rules_that_make_no_sense_say_nothing(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / ".gitignore").write_bytes(b"!\n/\n//\n[\n\\\nfoo[a-\n\xff\n***/x\n  \n*.o\n")
        for name in ("a", "a.o"):
            (bench.path / name).write_text("x")
        await bench.settle()
        assert await bench.paths() == [".gitignore", "a"]


async def test_the_git_file_of_a_worktree_is_ignored(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / "sub").mkdir()
        for folder in (bench.path, bench.path / "sub"):
            (folder / ".git").write_text("gitdir: /somewhere\n")
        (bench.path / "sub/a").write_text("a\n")
        await bench.settle()
        assert await bench.paths() == ["sub/", "sub/a"]


# ---- the folder itself


async def test_a_folder_that_vanishes_is_not_everything_deleted(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        for number in range(5):
            await bench.write(f"a{number}", "a\n")
        (bench.path / ".git").mkdir(exist_ok=True)
        (bench.path / ".git/index").write_text("")
        (bench.path / ".git/HEAD").write_text("")
        await bench.settle()
        shutil.rmtree(bench.path)
        for remade in (False, True):
            if remade:
                bench.path.mkdir()
            with pytest.raises(Lost):
                await bench.tree.pass_()
            bench.ahead += 1.0
        assert bench.tree.notices[0].code == "working_tree_lost"
        await bench.tree.close()
        bench.open()
        await bench.settle()
        assert len(await bench.paths()) == 5
        await bench.same()


async def test_without_what_is_kept_beside_it_nothing_is_doubled(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a", "a\n")
        await bench.write("edited", "e\n")
        os.symlink("a", bench.path / "link")
        (bench.path / "picture").write_bytes(b"\0\1")
        await bench.settle()
        before = {name: await bench.id(name) for name in ("a", "edited", "link", "picture")}
        shutil.rmtree(tmp_path / ".coscribe")
        with pytest.raises(Lost):
            await bench.tree.pass_()
        await bench.tree.close()
        (bench.path / "edited").write_text("f\n")
        bench.open()
        await bench.settle()
        await bench.same()
        assert sorted(await bench.paths()) == ["a", "edited", "edited (2)", "link", "picture"]
        assert {name: await bench.id(name) for name in before} == before
        assert sorted([await bench.text("edited"), await bench.text("edited (2)")]) == ["e\n", "f\n"]


@pytest.mark.parametrize("kind", ["text", "symlink", "directory"])
async def test_a_name_for_the_disk_leads_nowhere_else(tmp_path: Path, kind: Kind) -> None:
    """Whoever may edit can say any. It is for what is no UTF-8; of anything else the name in the tree counts."""
    absolute = os.fsencode(tmp_path / "out")
    bad = [b"../../out", b"../out", absolute, b"..", b".", b".git", b"in/a", b"a\0b", b"\xff/../../../out", b"x"]
    said = [*(b64encode(each).decode() for each in bad), "A", "AAAAA", "/w=", "/w"]
    async with workbench(tmp_path / "root") as bench:
        await bench.folders("in")
        content = "nowhere" if kind == "symlink" else ""
        edits: list[messages.TreeEdit] = [
            messages.CreateNode(WS, f"named {number}", kind, content, {"diskName": each})
            for number, each in enumerate([*said, b64encode(b"caf\xe9").decode()])
        ]
        await bench.server.collaboration.edit_tree(ANN, WS, bench.series(), lambda _tree, _rights: Planned(edits))
        await passes(bench)
        wanted = {f"named {number}".encode() for number in range(len(said))}
        assert set(os.listdir(os.fsencode(bench.path))) == {b"in", b"caf\xe9", *wanted}
        assert os.listdir(bench.path / "in") == []
        assert {path.name for path in tmp_path.iterdir()} == {"root"}
        assert {path.name for path in (tmp_path / "root").iterdir()} == {WS, ".coscribe"}


async def test_storage_that_fails_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what programs write from then on would be taken in by nobody."""
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\n")
        await bench.settle()
        await bench.type("a.txt", "one", "two")

        async def failing(*_: object, **__: object) -> NoReturn:
            raise StorageError("the disk does not answer")

        for name in ("read", "read_versions", "latest", "locate"):
            with monkeypatch.context() as broken:
                broken.setattr(bench.storage, name, failing)
                (bench.path / "a.txt").write_text(f"{name}\n")
                bench.ahead += 1.0
                with suppress(CoscribeError):
                    await bench.tree.pass_()
        await bench.settle()
        await bench.same()


# ---- a log that was restored from a backup


async def test_a_state_that_the_log_does_not_have_any_more_hides_no_other(tmp_path: Path) -> None:
    """What was written to the disk is taken in as made of one that it has, and is not undone there."""
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\n")
        for number in range(3):
            await bench.type("a.txt", "one", f"{number} one")
        engine = Engine(bench.server.collaboration, bench.storage, bench.storage, bench.blobs, WS)
        file_id = await bench.id("a.txt")
        now = (await engine.text(file_id)).version
        assert await engine.texts_at(file_id, {1, now, now + 5}) == {1: "one\n", now: "0 1 2 one\n"}
        assert await engine.texts_at(file_id, {now + 5}) == {}


# ---- a process that dies


async def test_a_late_write_that_changes_nothing_is_undone_also_a_process_later(tmp_path: Path) -> None:
    """It is in no log, so the log does not say that the disk shows an older text."""
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\n")
        await bench.settle()
        await bench.type("a.txt", "one", "one two")
        await bench.settle()
        (bench.path / "a.txt").write_text("one\n")

        async def died(*_: object) -> NoReturn:
            raise CoscribeError(Code.STORAGE_UNAVAILABLE)

        bench.ahead += 1.0
        with pytest.MonkeyPatch.context() as dying:
            dying.setattr(Putter, "put", died)
            with pytest.raises(CoscribeError):
                await bench.tree.pass_()
        await bench.tree.close()
        bench.open()
        await bench.settle()
        assert (bench.path / "a.txt").read_text() == await bench.text("a.txt") == "one two\n"


async def test_what_was_taken_in_long_ago_when_the_process_died_is_not_taken_in_twice(tmp_path: Path) -> None:
    """Also where the log does not go back so far for anybody: others have written much since, while it was closed."""
    async with workbench(tmp_path) as bench:
        bench.server.collaboration.limits = bench.server.collaboration.limits._replace(rebase_steps=5)
        await bench.write("a.txt", "one\n")
        await bench.settle()
        await bench.type("a.txt", "one", "ann one")
        (bench.path / "a.txt").write_text("one\ndisk\n")

        def died(*_: object) -> NoReturn:
            raise OSError("died")

        bench.ahead += 1.0
        with pytest.MonkeyPatch.context() as dying:
            dying.setattr(Texts, "_note", died)
            with pytest.raises(OSError, match="died"):
                await bench.tree.pass_()
        await bench.tree.close()
        for number in range(10):
            await bench.type("a.txt", "one", f"{number} one")
        bench.open()
        await bench.settle()
        await bench.same()
        assert (await bench.text("a.txt")).count("disk") == 1
