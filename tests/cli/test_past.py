"""``coscribe past``: what a workspace was, by commands."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import httpx
import pytest

from coscribe.cli.past import _before
from coscribe.documents.differences import edits_between
from tests.cli.accounts import Inhabited, Shell

pytestmark = pytest.mark.slow  # many commands, one after the other


def written(inhabited: Inhabited) -> tuple[str, str]:
    """A workspace: src (1), src/a.py (2, 3), edited (4), src renamed to lib (5), lib deleted (6); and a token."""
    begun = inhabited.sign_up("past-ann")
    headers = {"Authorization": f"Bearer {begun['accessToken']}"}
    with httpx.Client(base_url=f"{inhabited.url}/api", headers=headers, trust_env=False) as client:
        workspace_id = client.post("/workspaces", json={"name": "Thesis"}).json()["documentId"]
        fs, where = f"/workspace/{workspace_id}/fs", {"path": "src/a.py"}
        answers = [
            client.post(f"{fs}/mkdir", json={"path": "src"}),
            client.put(f"{fs}/write", params=where, headers={"If-None-Match": "*"}, content=b"one\ntwo\nthree\n"),
        ]
        over = {"If-Match": answers[-1].headers["ETag"]}
        answers += [
            client.put(f"{fs}/write", params=where, headers=over, content=b"one\n2\nthree\n"),
            client.post(f"{fs}/rename", json={"source": "src", "target": "lib"}),
            client.post(f"{fs}/delete", json={"path": "lib"}),
        ]
    assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
    return workspace_id, begun["accessToken"]


def test_a_workspace_and_its_past(inhabited: Inhabited, tmp_path: Path) -> None:
    workspace_id, token = written(inhabited)
    (tmp_path / "home").mkdir()
    ann = Shell(inhabited, tmp_path / "home")
    ann.environment["COSCRIBE_TOKEN"] = token
    tmp_path = tmp_path / "files"
    tmp_path.mkdir()
    shown = ann.done("past", "timeline", "thesis")
    assert [line.strip() for line in shown.splitlines()[1:]] == [
        "deleted lib",
        "renamed src -> lib",
        "created src/a.py",
        "created src",
        "edited src/a.py: +15 -3",
    ]
    assert len(ann.json("past", "timeline", workspace_id, "--limit", "0")["items"]) == 1
    assert "a.py" in ann.done("past", "ls", "thesis", "src", "--at", "3")
    assert ann.done("past", "cat", "thesis", "src/a.py", "--at", "3") == "one\ntwo\nthree\n"
    assert "file_not_found" in ann.refused("past", "cat", "thesis", "src/a.py", "--at", "6")
    assert "removed" in ann.done("past", "diff", "thesis", "--from", "5")
    changed = ann.done("past", "diff", "thesis", "lib/a.py", "--from", "3", "--to", "5")
    assert changed.splitlines()[3:] == [" one", "-two", "+2", " three"]
    assert "0-2" in ann.done("past", "sessions", "thesis", "lib/a.py", "--at", "5")
    assert ann.done("past", "blame", "thesis", "lib/a.py", "--at", "5").split()[-1] == "three"

    for name in ("a.zip", "a.tar.gz"):
        ann.done("past", "download", "thesis", "--at", "5", "--output", str(tmp_path / name))
    assert zipfile.ZipFile(tmp_path / "a.zip").read("lib/a.py") == b"one\n2\nthree\n"
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert tar.getnames() == ["lib", "lib/a.py"]
    assert "names no kind" in ann.refused("past", "download", "thesis", "-o", str(tmp_path / "a.rar"), code=2)
    gone = ann.refused("past", "download", "thesis", "x", "--at", "5", "-o", str(tmp_path / "x.zip"))
    assert gone.startswith("error: file_not_found")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "a.zip"]

    assert "--yes" in ann.refused("past", "restore", "thesis", "--at", "3", code=2)
    assert "restore to there" in ann.done("past", "restore", "thesis", "--at", "3", "--yes")
    again = ann.json("past", "restore", "thesis", "--at", "6", "--yes")
    assert again["treeOperations"] > 0
    forked = ann.json("past", "fork", "thesis", "Second try", "--at", "4")
    assert ann.done("past", "cat", forked["documentId"], "src/a.py", "--at", "2").startswith("one\n2")


def test_the_text_before_is_made_of_the_one_after() -> None:
    for old, new in (
        ("", "abc"),
        ("abc", ""),
        ("one two three", "one 2 three four"),
        ("aXbYc", "abc"),
        ("abc", "aXbYc"),
    ):
        edits = [(at, old[at : at + deleted], text) for at, deleted, text in edits_between(old, new, 100)]
        assert _before(new, edits) == old
