"""``coscribe documents``: finding them by name, and what is done with them."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coscribe.cli.common import websocket_url
from coscribe.client import Client
from tests.cli.accounts import Inhabited, Shell

pytestmark = pytest.mark.slow  # many commands, one after the other

Person = Callable[[str], Shell]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets an editor that runs this code; ``path`` is the file."""

    def use(code: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(f"import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{code}\n")
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(script)]))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)

    return use


def test_from_the_first_day_to_the_last(person: Person) -> None:
    ann = person("life-ann")
    made = ann.json("documents", "create", "Release notes")
    assert (made["name"], made["role"], made["status"]) == ("Release notes", "owner", "active")
    listed = ann.done("documents", "list")
    assert made["documentId"] in listed
    assert "Release notes" in listed
    assert "just now" in ann.done("documents", "show", "release")

    assert ann.json("documents", "rename", "Release notes", "Minutes")["name"] == "Minutes"
    assert ann.json("documents", "archive", "Minutes")["status"] == "archived"
    assert ann.done("documents", "list") == "There is none.\n"
    assert ann.json("documents", "list", "--status", "archived")["items"][0]["name"] == "Minutes"
    assert ann.json("documents", "restore", "Minutes")["status"] == "active"
    assert "no trashed document 'Minutes'" in ann.refused("documents", "delete", "Minutes", "--yes")
    assert ann.json("documents", "trash", "Minutes")["status"] == "trashed"
    assert "for good" in ann.refused("documents", "delete", "Minutes", code=2)
    assert ann.json("documents", "delete", "Minutes", "--yes")["documentId"] == made["documentId"]
    assert ann.refused("documents", "show", made["documentId"]).startswith("error: file_not_found")


def test_names(person: Person) -> None:
    ann = person("names-ann")
    ids = {name: ann.json("documents", "create", name)["documentId"] for name in ("Notes", "notes 2", "Notes 2024")}
    for name, is_found in (
        ("Notes", "Notes"),
        ("notes", "Notes"),
        ("Notes 2024", "Notes 2024"),
        ("NOTES 20", "Notes 2024"),
        (ids["notes 2"], "notes 2"),
    ):
        assert ann.json("documents", "show", name)["documentId"] == ids[is_found]
    said = ann.refused("documents", "show", "note", code=2)
    assert "3 documents fit 'note'" in said
    assert all(f"{document_id}  {name}" in said for name, document_id in ids.items())
    said = ann.refused("documents", "show", "2024")
    assert "there is no active or archived or trashed document '2024'" in said
    assert ids["Notes 2024"] in said, "what the name is part of is shown"
    assert "coscribe documents list" in ann.refused("documents", "show", "Something / else")


def test_pages_are_followed(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = person("pages-ann")
    names = [f"Page {number}" for number in range(5)]
    for name in names:
        ann.done("documents", "create", name)
    monkeypatch.setattr("coscribe.cli.api.PAGE", 2)
    assert [row["name"] for row in ann.json("documents", "list")["items"]] == names[::-1]
    assert [row["name"] for row in ann.json("documents", "list", "--limit", 3)["items"]] == names[:1:-1]
    assert ann.json("documents", "show", "Page 0")["name"] == "Page 0"


def test_import_and_export(person: Person, tmp_path: Path) -> None:
    ann = person("import-ann")
    file = tmp_path / "grüße.md"
    text = "Größe 👋 {}\n" * 100_000
    file.write_bytes(text.replace("\n", "\r\n").encode())
    made = ann.json("documents", "import", file)
    assert made["name"] == "grüße"
    assert ann.done("documents", "export", "grüße") == text
    ann.done("documents", "export", "grüße", "--output", tmp_path / "out.md")
    assert (tmp_path / "out.md").read_bytes() == text.encode()
    exported = ann.json("documents", "export", made["documentId"], "--version", 0)
    assert (exported["text"], exported["documentVersion"]) == ("", 0)

    assert ann.json("documents", "import", "-", "--name", "Piped", input="Hello\n")["name"] == "Piped"
    assert ann.done("documents", "export", "Piped") == "Hello\n"


def test_what_cannot_be_imported(person: Person, tmp_path: Path) -> None:
    ann = person("refused-ann")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    assert "no text in UTF-8" in ann.refused("documents", "import", tmp_path / "latin.txt", code=2)
    assert "cannot read" in ann.refused("documents", "import", tmp_path / "nothing.txt", code=2)
    assert "Give --name" in ann.refused("documents", "import", "-", code=2, input="Hello")
    assert ann.refused("documents", "import", tmp_path / "nul.txt").startswith("error: invalid_text")
    assert ann.json("documents", "list")["items"] == []


def test_put(person: Person, tmp_path: Path) -> None:
    ann = person("put-ann")
    ann.done("documents", "import", "-", "--name", "Notes", input="one\ntwo\nthree\n")
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\nthree\nfour\n")
    assert ann.done("documents", "put", "Notes", file) == "It is at version 2 now.\n"
    assert ann.done("documents", "put", "Notes", file) == "Nothing differs.\n"
    replaced = ann.json("documents", "put", "Notes", "-", "--version", 1, input="ONE\ntwo\nthree\n")
    assert replaced["operation"]["documentVersion"] == 3
    assert ann.done("documents", "export", "Notes") == "ONE\ntwo\nthree\nfour\n", "what was written since stays"
    assert ann.refused("documents", "put", "Notes", file, "--version", 99).startswith("error: base_version_future")


def test_edit(person: Person, editor: Callable[[str], None], tmp_path: Path) -> None:
    ann = person("edit-ann")
    ann.done("documents", "import", "-", "--name", "Notes", input="Hello")
    editor("path.write_text(path.read_text() + ' world\\n')")
    assert ann.done("documents", "edit", "Notes") == "It is at version 2 now.\n"
    assert ann.done("documents", "export", "Notes") == "Hello world", "the line end was the editor's"
    editor("pass")
    assert ann.done("documents", "edit", "Notes") == "Nothing differs.\n"
    assert not list(tmp_path.glob("Notes-*"))


def test_what_was_edited_is_not_lost(person: Person, editor: Callable[[str], None], tmp_path: Path) -> None:
    ann, bob = person("owner-ann"), person("reader-bob")
    made = ann.json("documents", "create", "Notes")
    person("ada").done("members", "set", made["documentId"], "reader-bob", "viewer")
    editor("path.write_text('typed for an hour')")
    said = bob.refused("documents", "edit", "Notes")
    (kept,) = tmp_path.glob("Notes-*")
    assert kept.read_text() == "typed for an hour"
    assert f"Your text is in {kept}\n" in said
    assert "permission_denied" in said
    kept.unlink()

    editor("sys.exit(3)")
    assert "ended with code 3; nothing was sent" in ann.refused("documents", "edit", "Notes")
    assert not list(tmp_path.glob("Notes-*"))


def test_no_editor(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor")
    ann = person("vi-ann")
    ann.done("documents", "create", "Notes")
    said = ann.refused("documents", "edit", "Notes", code=2)
    assert "cannot start the editor no-such-editor" in said
    assert "Set EDITOR" in said


def test_administrators_and_everybody_s(person: Person, stranger: Shell, inhabited: Inhabited) -> None:
    ann = person("theirs-ann")
    ann.done("documents", "import", "-", "--name", "Theirs alone", input="private")
    for shell, more in ((person("ada"), ()), (stranger, ("--data", inhabited.folder))):
        (found,) = shell.json("documents", "list", "--all", "--query", "Theirs alone", *more)["items"]
        assert found["role"] is None
        assert shell.json("documents", "show", "Theirs", *more)["documentId"] == found["documentId"]
        assert shell.json("documents", "trash", "Theirs", *more)["status"] == "trashed"
        assert shell.json("documents", "restore", "Theirs", *more)["status"] == "active"
        events = shell.json("documents", "events", "Theirs", *more)["items"]
        assert [event["action"] for event in events][:2] == ["document.active", "document.trashed"]
    assert person("ada").refused("documents", "export", "Theirs").startswith("error: file_not_found")
    assert ann.refused("documents", "list", "--all").startswith("error: permission_denied")
    said = stranger.refused("documents", "list", "--data", inhabited.folder)
    assert "An operator has no account" in said


def test_a_file_that_the_operator_has_made(person: Person, stranger: Shell, inhabited: Inhabited) -> None:
    """It has an id that somebody chose, and no other name."""
    token = stranger.done("token", "operator", "--data", inhabited.folder).strip()

    async def write() -> None:
        async with Client(websocket_url(inhabited.url), token) as client:
            document = await client.open("of-the-operator")
            document.insert(0, "Hello")
            await document.synced()

    asyncio.run(write())
    as_operator = ("--data", inhabited.folder)
    assert stranger.done("documents", "export", "of-the-operator", *as_operator) == "Hello"
    bob = person("given-bob")
    stranger.done("members", "set", "of-the-operator", "given-bob", "editor", *as_operator)
    assert bob.json("documents", "put", "of-the-operator", "-", input="Hello Bob")["documentVersion"] == 2
    assert stranger.done("documents", "export", "of-the-operator", *as_operator) == "Hello Bob"


def test_events(person: Person) -> None:
    ann = person("seen-ann")
    ann.done("documents", "create", "Notes")
    ann.done("documents", "export", "Notes")
    listed = ann.done("documents", "events", "Notes")
    assert "document.opened" in listed
    assert "document.made" in listed
