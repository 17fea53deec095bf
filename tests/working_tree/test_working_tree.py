"""Both directions of a working tree, one thing at a time."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from coscribe.working_tree import taking, working_tree
from coscribe.working_tree.scanning import Found, scan
from tests.working_tree.bench import ANN, WS, workbench


async def test_what_people_do_is_on_the_disk(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("src", "src/deep")
        await bench.write("src/main.py", "print(1)\n")
        await bench.write("src/deep/a.txt", "a\n")
        await bench.settle()
        await bench.same()
        assert (bench.path / "src/main.py").read_text() == "print(1)\n"
        await bench.type("src/main.py", "1", "12")
        await bench.files.rename(ANN, WS, "src", "lib", bench.series())
        await bench.files.delete(ANN, WS, "lib/deep/a.txt", bench.series())
        await bench.settle()
        await bench.same()
        assert bench.on_disk() == ["lib/", "lib/deep/", "lib/main.py"]
        assert (bench.path / "lib/main.py").read_text() == "print(12)\n"


async def test_what_tools_do_is_in_the_tree(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / "src").mkdir()
        (bench.path / "src/main.py").write_text("print(1)\n")
        (bench.path / "empty").mkdir()
        (bench.path / "run.sh").write_text("#!/bin/sh\n")
        (bench.path / "run.sh").chmod(0o755)
        os.symlink("../outside", bench.path / "link")
        (bench.path / "picture").write_bytes(b"\x00\x01\xff")
        await bench.settle()
        await bench.same()
        kinds = {path: (await bench.files.stat(ANN, WS, path)) for path in ("link", "picture", "run.sh", "empty")}
        assert [entry.kind for entry in kinds.values()] == ["symlink", "binary", "text", "directory"]
        assert kinds["link"].content == "../outside"
        assert kinds["run.sh"].properties == {"mode": "755"}
        assert await bench.text("src/main.py") == "print(1)\n"


async def test_a_file_that_is_written_anew_is_the_same_file(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\ntwo\nthree\n")
        await bench.settle()
        before = await bench.id("a.txt")
        bench.run("sed", "-i", "s/two/zwei/", "a.txt")
        await bench.settle()
        assert await bench.id("a.txt") == before
        assert await bench.text("a.txt") == "one\nzwei\nthree\n"
        await bench.same()


async def test_a_rename_on_the_disk_is_a_rename(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("a", "b")
        await bench.write("a/x.txt", "one\ntwo\nthree\n")
        await bench.write("a/y.txt", "y\n")
        await bench.settle()
        x, a = await bench.id("a/x.txt"), await bench.id("a")
        bench.run("mv", "a/x.txt", "b/z.txt")
        bench.run("sed", "-i", "s/two/zwei/", "b/z.txt")
        bench.run("mv", "a", "c")
        await bench.settle()
        await bench.same()
        assert bench.on_disk() == ["b/", "b/z.txt", "c/", "c/y.txt"]
        assert await bench.id("c") == a
        bench.run("mv", "b/z.txt", "c/z.txt")
        await bench.settle()
        assert await bench.text("c/z.txt") == "one\nzwei\nthree\n"
        assert await bench.id("c/z.txt") != x  # its inode is another one: sed wrote it anew, while it was moved
        z = await bench.id("c/z.txt")
        bench.run("mv", "c", "d")
        bench.run("mv", "d/z.txt", "top.txt")
        await bench.settle()
        assert (await bench.id("top.txt"), await bench.id("d")) == (z, a)
        await bench.same()


async def test_a_late_write_keeps_what_was_typed_meanwhile(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\ntwo\nthree\n")
        await bench.settle()
        read = (bench.path / "a.txt").read_text()
        await bench.type("a.txt", "one", "one TYPED")
        await bench.settle()
        assert "TYPED" in (bench.path / "a.txt").read_text()
        (bench.path / "a.txt").write_text(read.replace("three", "drei"))
        await bench.settle()
        assert await bench.text("a.txt") == "one TYPED\ntwo\ndrei\n"
        await bench.same()


async def test_a_file_that_is_deleted_and_comes_back_is_the_same(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("a")
        await bench.write("a/x.txt", "one\ntwo\n")
        await bench.settle()
        before = await bench.id("a/x.txt")
        bench.run("rm", "-rf", "a")
        await bench.settle()
        assert await bench.paths() == []
        bench.run("mkdir", "a")
        (bench.path / "a/x.txt").write_text("one\nzwei\n")
        await bench.settle()
        assert await bench.id("a/x.txt") == before
        assert await bench.text("a/x.txt") == "one\nzwei\n"
        await bench.same()


async def test_ignored_paths_stay_on_the_disk_alone(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        (bench.path / ".gitignore").write_text("*.o\nbuild/\n")
        (bench.path / "build").mkdir()
        (bench.path / "build/x").write_text("x")
        (bench.path / "a.o").write_text("x")
        (bench.path / "a.c").write_text("x\n")
        (bench.path / "src").mkdir()
        (bench.path / "src/b.o").write_text("x")
        bench.run("git", "init", "-q")
        await bench.settle()
        assert await bench.paths() == [".gitignore", "a.c"]
        await bench.files.delete(ANN, WS, "a.c", bench.series())
        await bench.settle()
        assert bench.on_disk() == [".gitignore", "a.o", "build/", "build/x", "src/", "src/b.o"]


async def test_names_that_are_taken(tmp_path: Path) -> None:
    """Somebody makes a file that a tool makes, too: both are there."""
    async with workbench(tmp_path) as bench:
        await bench.settle()
        await bench.write("a.txt", "by a person\n")
        (bench.path / "a.txt").write_text("by a tool\n")
        await bench.settle()
        await bench.same()
        assert bench.on_disk() == ["a (2).txt", "a.txt"]
        assert (await bench.text("a.txt"), await bench.text("a (2).txt")) == ("by a person\n", "by a tool\n")


async def test_names_are_exchanged(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("a", "b")
        await bench.write("a/x", "in a\n")
        await bench.write("b/x", "in b\n")
        await bench.settle()
        for source, target in (("a", "c"), ("b", "a"), ("c", "b")):
            await bench.files.rename(ANN, WS, source, target, bench.series())
        await bench.settle()
        await bench.same()
        assert (bench.path / "a/x").read_text() == "in b\n"


async def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        raw = os.fsencode(bench.path) + b"/caf\xe9.txt"
        with open(raw, "wb") as file:
            file.write(b"caf\xe9\n")
        await bench.settle()
        assert await bench.paths() == ["caf\\xe9.txt"]
        assert await bench.text("caf\\xe9.txt") == "café\n"
        await bench.type("caf\\xe9.txt", "café", "Café")
        await bench.settle()
        with open(raw, "rb") as file:
            assert file.read() == b"Caf\xe9\n"
        await bench.files.rename(ANN, WS, "caf\\xe9.txt", "café.txt", bench.series())
        await bench.settle()
        assert bench.on_disk() == ["café.txt"]


async def test_whoever_has_an_old_file_open_still_writes(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("log.txt", "one\n")
        await bench.settle()
        with open(bench.path / "log.txt", "a") as file:
            await bench.type("log.txt", "one", "ONE")
            await bench.settle()
            file.write("two\n")
        await bench.settle()
        assert await bench.text("log.txt") == "ONE\ntwo\n"
        await bench.same()


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.folders("a")
        await bench.write("a/x", "1\n")
        await bench.write("a/y", "1\n")
        await bench.settle()
        await bench.tree.close()
        await bench.type("a/x", "1", "2")
        (bench.path / "a/y").write_text("3\n")
        (bench.path / "a/z").write_text("4\n")
        bench.open()
        await bench.settle()
        await bench.same()
        assert [await bench.text(f"a/{name}") for name in "xyz"] == ["2\n", "3\n", "4\n"]


async def test_a_checkout_is_gits_whichever_pass_finds_it(tmp_path: Path) -> None:
    """The pass that notices git may have been told of no folder, or find that a file is not ready yet."""
    async with workbench(tmp_path) as bench:
        who = ("-c", "user.name=shell", "-c", "user.email=shell@example.org")
        await bench.write("a.txt", "one\n")
        await bench.settle()
        for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "one")):
            bench.run("git", *command)
        bench.run("git", "switch", "-qc", "two")
        await bench.type("a.txt", "one", "two")
        await bench.settle()
        bench.run("git", *who, "commit", "-qam", "two")
        await bench.settle()
        bench.run("git", "switch", "-q", "main")
        await bench.tree.pass_(())
        await bench.settle()
        assert await bench.text("a.txt") == "one\n"
        await bench.same()


async def test_what_git_brings_is_taken_in_to_its_end_however_much_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are some contents in a pass: all of them together may take longer than anybody waits for one file."""
    async with workbench(tmp_path) as bench:
        who = ("-c", "user.name=shell", "-c", "user.email=shell@example.org")
        await bench.fill("src", 60)
        await bench.settle()
        for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "one")):
            bench.run("git", *command)
        for file in bench.path.glob("src/*/*.txt"):
            file.write_text("two\n")
        bench.run("git", *who, "commit", "-qam", "two")
        await bench.settle()
        before = bench.tree.sequence
        monkeypatch.setattr(taking, "CONTENTS", 1)
        monkeypatch.setattr(working_tree, "SAVE_SECONDS", 1.0)

        def slowly(*args: Any) -> Found:
            time.sleep(0.03)
            return scan(*args)

        monkeypatch.setattr(working_tree, "scan", slowly)
        async with bench.tree.at_rest(before, brings=True):
            bench.run("git", "checkout", "-q", "HEAD~")
        await bench.same()
        rows = await bench.storage.read(1, before, through=bench.tree.sequence, limit=1_000)
        assert len(rows) == 60
        assert all(row.operation_id.startswith(working_tree.BROUGHT) for row in rows)


async def test_at_rest_nobody_touches_the_files(tmp_path: Path) -> None:
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\n")
        await bench.settle()
        async with bench.tree.at_rest(bench.tree.sequence) as sequence:
            await bench.type("a.txt", "one", "typed one")
            running = asyncio.create_task(bench.tree.pass_())
            await asyncio.sleep(0)
            assert (bench.path / "a.txt").read_text() == "one\n"
            (bench.path / "a.txt").write_text("one\nmore\n")
        await running
        await bench.settle()
        assert bench.tree.sequence > sequence
        assert await bench.text("a.txt") == "typed one\nmore\n"
        await bench.same()


async def test_a_folder_is_renamed_by_one_operation(tmp_path: Path) -> None:
    """Whatever is in it, from either side."""
    async with workbench(tmp_path) as bench:
        for folder in range(3):
            (bench.path / f"a/{folder}").mkdir(parents=True)
            for number in range(100):
                (bench.path / f"a/{folder}/{number}.txt").write_text(f"{folder} {number}\n")
        await bench.settle()
        session = await bench.server.collaboration.router.session(WS)
        before = session.last_sequence
        bench.run("mv", "a", "b")
        await bench.settle()
        assert session.last_sequence == before + 1
        await bench.files.rename(ANN, WS, "b", "c", bench.series())
        await bench.settle()
        assert session.last_sequence == before + 2
        await bench.same()
        assert (bench.path / "c/2/99.txt").read_text() == "2 99\n"


async def test_a_late_write_to_a_file_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    """The tool has read what was there before somebody typed; by the time it writes, the file is in the trash."""
    async with workbench(tmp_path) as bench:
        await bench.write("a.txt", "one\ntwo\nthree\n")
        await bench.settle()
        read = (bench.path / "a.txt").read_text()
        await bench.insert("a.txt", 0, "TYPED\n")
        await bench.settle()
        file_id = await bench.id("a.txt")
        bench.ahead = 0.0  # so what is written now may go on: it is not taken in at once
        (bench.path / "a.txt").write_text(read.replace("three", "drei"))
        await bench.files.delete(ANN, WS, "a.txt", bench.series())
        await bench.settle()
        await bench.files.restore(ANN, WS, file_id, bench.series())
        await bench.settle()
        assert await bench.text("a.txt") == "TYPED\none\ntwo\ndrei\n"
        await bench.same()
