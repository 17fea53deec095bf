"""``coscribe project``: from the first day to the last, and what comes of archives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.accounts import Shell
from tests.documents.unpacking.made import Member, squeezed, tar_of, zipped

pytestmark = pytest.mark.slow  # many commands, one after the other

Person = Callable[[str], Shell]


def test_a_project_from_the_first_day_to_the_last(person: Person) -> None:
    ann = person("projects-ann")
    made = ann.json("project", "create", "Thesis")
    project_id = made["workspace"]["documentId"]
    assert project_id in ann.done("project", "list")
    assert "blank" in ann.done("project", "show", "thesis")
    assert ann.json("project", "rename", "Thesis", "Book")["name"] == "Book"
    assert "0 of 5" in ann.done("project", "quota", "Book", "--narrow", "--files", "5")
    assert "0 of 5" in ann.done("project", "show", "Book")
    assert ann.json("project", "quota", "Book", "--narrow", "--files", "none")["files"] is None
    assert "permission_denied" in ann.refused("project", "quota", "Book", "--bytes", "9")
    assert "no number" in ann.refused("project", "quota", "Book", "--bytes", "9 GB", code=2)
    started = ann.json("project", "start", "Book")
    assert started["status"] == "active" and Path(started["mountPath"]).is_dir()
    assert started["mountPath"] in ann.done("project", "stop", "Book")
    assert "archive" in ann.done("project", "archive", "Book")
    assert ann.json("project", "list", "--status", "archived")["items"][0]["workspace"]["documentId"] == project_id
    ann.done("project", "restore", "Book")
    ann.done("project", "trash", "Book")
    assert "for good" in ann.refused("project", "delete", "Book", code=2)
    ann.done("project", "delete", "Book", "--yes")
    assert ann.done("project", "list") == "There is none.\n"


def test_projects_of_archives(person: Person, tmp_path: Path) -> None:
    ann = person("archives-ann")
    (tmp_path / "good.tar.gz").write_bytes(squeezed(tar_of([f"src/{number}.py" for number in range(50)])))
    (tmp_path / "bad.zip").write_bytes(zipped(Member(b"../x", b"x")))
    assert "51 files and folders" in ann.done("project", "create", "Good", "--from", tmp_path / "good.tar.gz")
    assert "49.py" in ann.done("past", "ls", "Good", "src", "--at", "1")
    said = ann.refused("project", "create", "Bad", "--from", tmp_path / "bad.zip")
    assert said.startswith("error: import_refused: '../x' has .. in its path")
    assert "cannot read" in ann.refused("project", "create", "None", "--from", tmp_path / "none.zip", code=2)
