"""``coscribe audit``: what somebody needs who does not trust the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.accounts import Inhabited, Shell
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

Person = Callable[[str], Shell]


def test_a_checkpoint_is_taken_and_kept(person: Person, inhabited: Inhabited, tmp_path: Path) -> None:
    ann, ada = person("audit-ann"), person("ada")
    ann.done("documents", "create", "To be audited")
    assert "There is none yet" in ann.done("audit", "checkpoints", "To be audited")
    kept = tmp_path / "kept.json"
    assert "Keep it elsewhere" in ann.done("audit", "checkpoint", "To be audited", "--out", kept)
    assert json.loads(ann.done("audit", "checkpoint", "To be audited")) == json.loads(kept.read_bytes())
    assert ann.json("audit", "checkpoints", "To be audited")["items"] == [json.loads(kept.read_bytes())]

    public = tmp_path / "coscribe.pub"
    ann.done("audit", "key", "--out", public)
    assert ann.done("audit", "key", "--data", inhabited.folder).strip() == public.read_text().strip()
    verified = ("verify", "--data", inhabited.folder, "--key", public, "--checkpoint", kept)
    assert "2 audit checkpoints" in ann.done(*verified)

    assert ann.refused("audit", "change-key").startswith("error: permission_denied")
    assert "from now on" in ada.done("audit", "change-key")
    assert "2 audit checkpoints" in ann.done(*verified)
    assert ann.done("audit", "key").strip() != public.read_text().strip()


def test_checkpoints_are_kept_and_the_server_is_held_to_them(person: Person, tmp_path: Path) -> None:
    ann, folder = person("keeping-ann"), tmp_path / "kept"
    document_id = ann.json("documents", "create", "To be held to")["documentId"]
    ann.done("documents", "create", "Without any")
    ann.done("audit", "checkpoint", "To be held to")
    found = {row["name"]: row for row in ann.json("audit", "keep", folder)["items"]}
    assert [found[name]["new"] for name in ("To be held to", "Without any")] == [1, 0]
    file = folder / f"{document_id}.checkpoints"
    (one,) = json.loads(file.read_bytes())["items"]
    assert ann.json("audit", "keep", folder, "To be held to")["items"][0]["new"] == 0
    ann.done("documents", "rename", "To be held to", "Held to")
    ann.done("audit", "checkpoint", "Held to")
    ann.done("audit", "keep", folder)
    kept = json.loads(file.read_bytes())["items"]
    assert [each["number"] for each in kept] == [2, 1]
    assert kept[1] == one

    forged = json.dumps({"items": [{**kept[0], "chainHash": "7" * 64}, one]})
    file.write_text(forged)
    assert "does not stand by what it has said" in ann.refused("audit", "keep", folder, "Held to")
    assert file.read_text() == forged
    file.write_text("{}")
    assert "cannot be read" in ann.refused("audit", "keep", folder, "Held to", code=2)


def test_a_workspace_by_its_name(person: Person, tmp_path: Path) -> None:
    """Whoever is no administrator names it as they name a document; all that one may read has it among it."""
    eve = person("audit-eve")
    eve.done("project", "create", "Thesis of Eve")
    eve.done("audit", "checkpoint", "Thesis of Eve")
    assert [row["new"] for row in eve.json("audit", "keep", tmp_path / "kept")["items"]] == [1]
    assert "Thesis of Eve" in eve.done("audit", "keep", tmp_path / "kept", "Thesis of Eve")
    assert "project list" in eve.refused("fs", "ls", "nothing", code=1)


def test_a_bundle_is_exported_and_verified_elsewhere(person: Person, tmp_path: Path) -> None:
    ann, bob = person("bundle-ann"), person("bundle-bob")
    ann.done("documents", "create", "In a bundle")
    bundle, public = tmp_path / "a.audit", tmp_path / "coscribe.pub"
    ann.done("audit", "key", "--out", public)
    assert "lines are in" in ann.done("audit", "export", "In a bundle", "--out", bundle)
    assert bob.done("verify", bundle, "--key", public).startswith("ok")
    again = ann.done("audit", "export", "In a bundle", "--number", 1)
    assert again.encode() == bundle.read_bytes()
    assert ann.refused("audit", "export", "In a bundle", "--number", 9, "--out", tmp_path / "b").startswith(
        "error: not_found"
    )
    assert not (tmp_path / "b").exists()
    assert "cannot write" in ann.refused("audit", "export", "In a bundle", "--out", tmp_path / "no" / "c", code=2)


def test_a_folder_gets_its_key_when_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    printed = run("audit", "key", "--data", tmp_path)
    assert printed.exit_code == 0
    assert len(bytes.fromhex(printed.stdout)) == 32
    assert run("audit", "key", "--data", tmp_path).stdout == printed.stdout
    assert run("audit", "key", "--data", tmp_path / "nowhere").exit_code == 2
    (tmp_path / "checkpoint.key").write_text("nonsense")
    assert "cannot be read" in run("audit", "key", "--data", tmp_path).stderr


@pytest.mark.parametrize("command", ["key", "change-key", "checkpoint", "checkpoints", "export"])
def test_help_has_examples(run: Run, command: str) -> None:
    assert run("audit", command, "--help").stdout.count(f"coscribe audit {command}") >= 2
