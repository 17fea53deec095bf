"""``coscribe fs``: files of a workspace, from here to there and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coscribe.cli import files
from tests.cli.accounts import Shell

pytestmark = pytest.mark.slow  # many commands, one after the other

Person = Callable[[str], Shell]
BYTES = bytes(range(256)) * 10


def test_files_there_and_back(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a program and a picture, byte for byte; moved, replaced, deleted; what is taken says what to do."""
    ann = person("fs-ann")
    ann.done("project", "create", "Thesis")
    monkeypatch.chdir(tmp_path)
    book = tmp_path / "book"
    (book / "figures" / "none").mkdir(parents=True)
    (book / ".git").mkdir()
    (book / ".git" / "config").write_text("not to be sent")
    (book / "one.tex").write_bytes(b"one\r\ntwo\r\n")
    (book / "figures" / "map.png").write_bytes(BYTES)
    (book / "run.sh").write_text("#!/bin/sh\n")
    (book / "run.sh").chmod(0o755)
    (book / "link").symlink_to("one.tex")
    assert "3 files at book. 1 left out: links" in ann.done("fs", "put", "Thesis", "book")
    assert ann.done("fs", "tree", "thesis").splitlines() == [
        "book/",
        "    figures/",
        "        map.png",
        "        none/",
        "    one.tex",
        "    run.sh",
        "3 files, 3 folders",
    ]
    assert ann.done("fs", "tree", "thesis", "--depth", "1").splitlines() == ["book/", "0 files, 1 folder"]
    assert [row["name"] for row in ann.json("fs", "ls", "thesis", "book")["items"]] == ["figures", "one.tex", "run.sh"]
    assert ann("fs", "cat", "thesis", "/book/figures/map.png").stdout_bytes == BYTES

    assert "--replace" in ann.refused("fs", "put", "thesis", "book/one.tex", "book")
    (book / "one.tex").write_bytes(b"one\r\n2\r\n")
    ann.done("fs", "put", "thesis", "book/one.tex", "book", "--replace")
    ann.done("fs", "put", "thesis", "-", "notes/day/first.md", input="a note\n")
    assert "has no name" in ann.refused("fs", "put", "thesis", "-", input="a note\n", code=2)
    assert "no such file" in ann.refused("fs", "put", "thesis", "nothing", code=2)
    assert ann.done("fs", "mv", "thesis", "notes/day/first.md", "book/") == "It is at book/first.md now.\n"
    ann.done("fs", "mv", "thesis", "book", "thesis")
    assert "--replace" in ann.refused("fs", "mv", "thesis", "thesis/first.md", "thesis/run.sh")
    ann.done("fs", "mv", "thesis", "thesis/first.md", "thesis/run.sh", "--replace")
    assert ann.done("fs", "cat", "thesis", "thesis/run.sh") == "a note\n"

    assert "2 files" not in ann.done("fs", "get", "thesis", "thesis", "back")
    assert (tmp_path / "back" / "one.tex").read_bytes() == b"one\r\n2\r\n"
    assert (tmp_path / "back" / "figures" / "map.png").read_bytes() == BYTES
    assert (tmp_path / "back" / "figures" / "none").is_dir()
    assert "is there already" in ann.refused("fs", "get", "thesis", "thesis/one.tex", "back")
    ann.done("fs", "get", "thesis", "thesis/one.tex", "back", "--replace")
    ann.done("fs", "get", "thesis", "thesis/figures/map.png")
    assert (tmp_path / "map.png").read_bytes() == BYTES

    assert ann.json("fs", "rm", "thesis", "thesis/figures", "thesis/one.tex")["deleted"] == [
        "thesis/figures",
        "thesis/one.tex",
    ]
    assert ann.done("fs", "ls", "thesis", "notes/day") == "It is empty.\n"
    assert "file_not_found" in ann.refused("fs", "cat", "thesis", "thesis/one.tex")
    assert "file_not_found" in ann.refused("fs", "rm", "thesis", "nothing")


def test_what_is_no_file_and_no_name(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so: a pipe was waited for without end, and a name that is not UTF-8 ended with a traceback."""
    ann = person("fs-ben")
    ann.done("project", "create", "Thesis")
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("folder", os.fsdecode(b"lat\xe9")).write_text("any bytes")
    assert "it is no file" in ann.refused("fs", "put", "thesis", "pipe", code=2)
    assert "is not UTF-8" in ann.refused("fs", "put", "thesis", "folder", code=2)
    assert "past download" in ann.refused("fs", "get", "thesis", "/", code=2)


def test_modes_come_along(person: Person, tmp_path: Path) -> None:
    ann = person("modes-ann")
    ann.done("project", "create", "Tools")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    ann.done("fs", "put", "tools", tmp_path / "run")
    ann.done("fs", "get", "tools", "run", tmp_path / "again")
    assert (tmp_path / "again").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["..", "", "a/b", "."])
def test_a_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(Exception, match=r"^1$|^$"):
        files._safe(name)


def test_help_has_examples(person: Person) -> None:
    ann = person("fs-help")
    for command in ("ls", "tree", "cat", "put", "get", "mv", "rm"):
        assert ann.done("fs", command, "--help").count(f"coscribe fs {command}") >= 2
