"""``coscribe members``: who has access, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.accounts import Inhabited, Shell

pytestmark = pytest.mark.slow  # many commands, one after the other

Person = Callable[[str], Shell]


def accept(shell: Shell) -> None:
    """Accepts every invitation of a person's inbox."""
    headers = {"Authorization": f"Bearer {shell.stored()['accessToken']}"}
    with httpx.Client(base_url=f"{shell.server.url}/api", headers=headers, trust_env=False) as client:
        for row in client.get("/invitations").json()["items"]:
            assert client.post(f"/invitations/{row['invitationId']}/accept").status_code == 200


def roles(shell: Shell, document: str) -> dict[str, Any]:
    return {row["handle"]: row["role"] for row in shell.json("members", "list", document)["items"]}


def test_invited_and_removed(person: Person) -> None:
    ann, bob = person("m1-ann"), person("m1-bob")
    ann.done("documents", "create", "Choir")
    assert "Invited m1-bob as editor" in ann.done("members", "invite", "Choir", "m1-bob", "--role", "editor")
    assert "m1-bob" in ann.done("members", "invitations", "Choir")
    accept(bob)
    assert roles(ann, "Choir") == {"m1-ann": "owner", "m1-bob": "editor"}
    assert "m1-bob" in ann.done("members", "list", "Choir")
    assert bob.json("documents", "list", "--which", "shared")["items"][0]["name"] == "Choir"

    assert ann.done("members", "set", "Choir", "m1-bob", "viewer") == "m1-bob is a viewer now.\n"
    assert bob.refused("members", "set", "Choir", "m1-ann", "viewer").startswith("error: permission_denied")
    assert "--yes" in ann.refused("members", "remove", "Choir", "m1-bob", code=2)
    assert ann.done("members", "remove", "Choir", "@m1-bob", "--yes") == "m1-bob is removed.\n".replace("m1", "@m1")
    assert "there is no active" in bob.refused("documents", "export", "Choir")
    assert ann.refused("members", "remove", "Choir", "m1-ann", "--yes").startswith("error: last_owner")


def test_several_are_invited(person: Person, tmp_path: Path) -> None:
    ann, _ = person("m2-ann"), person("m2-bob")
    ann.done("documents", "create", "Choir")
    entries = ann.json("members", "invite", "Choir", "m2-bob", "cem@example.org", "m2-nobody")["items"]
    outcomes = {entry["text"]: entry["outcome"] for entry in entries}
    assert outcomes["m2-bob"] == outcomes["cem@example.org"] == "invited"
    assert outcomes["m2-nobody"] != "invited"
    (tmp_path / "people.txt").write_text("Dea <dea@example.org>\n")
    assert "invited" in ann.done("members", "invite", "Choir", "--file", tmp_path / "people.txt")
    assert "nobody is named" in ann.refused("members", "invite", "Choir", code=2)
    assert "cannot read" in ann.refused("members", "invite", "Choir", "--file", tmp_path / "no.txt", code=2)
    open_now = ann.json("members", "invitations", "Choir")["items"]
    assert len(open_now) == 3
    for row in open_now:
        ann.done("members", "uninvite", "Choir", row["invitationId"])
    assert ann.done("members", "invitations", "Choir") == "No invitation is open.\n"


def test_bans(person: Person) -> None:
    ann, bob = person("m3-ann"), person("m3-bob")
    ann.done("documents", "create", "Choir")
    ann.done("members", "invite", "Choir", "m3-bob")
    accept(bob)
    assert ann.done("members", "ban", "Choir", "m3-bob", "--yes") == "m3-bob is kept out.\n"
    assert "m3-bob" in ann.done("members", "bans", "Choir")
    assert roles(ann, "Choir") == {"m3-ann": "owner"}
    assert ann.refused("members", "invite", "Choir", "m3-bob").startswith("error: banned")
    ann.done("members", "unban", "Choir", "m3-bob")
    assert ann.done("members", "bans", "Choir") == "Nobody is kept out.\n"
    assert ann.refused("members", "unban", "Choir", "m3-bob").startswith("error: not_found")


def test_transfer(person: Person) -> None:
    ann, bob = person("m4-ann"), person("m4-bob")
    ann.done("documents", "create", "Choir")
    assert "has to be a member" in ann.refused("members", "transfer", "Choir", "m4-bob", "--yes")
    ann.done("members", "invite", "Choir", "m4-bob")
    accept(bob)
    words = ann.done("members", "transfer", "Choir", "m4-bob", "--role", "viewer", "--yes")
    assert words == "m4-bob is an owner now. m4-ann is a viewer.\n"
    assert roles(bob, "Choir") == {"m4-ann": "viewer", "m4-bob": "owner"}


def test_links(person: Person, inhabited: Inhabited) -> None:
    ann = person("m5-ann")
    ann.done("documents", "create", "Choir")
    url = ann.done("members", "link", "Choir", "--role", "editor", "--days", 7, "--quiet")
    _, _, secret = url.strip().partition("#link=")
    opened = httpx.post(f"{inhabited.url}/api/links/open", json={"secret": secret}, trust_env=False)
    assert opened.json()["documentName"] == "Choir"
    assert "shown this once" in ann.done("members", "link", "Choir")
    assert secret not in ann.done("members", "links", "Choir")
    links = {row["role"]: row["linkId"] for row in ann.json("members", "links", "Choir")["items"]}
    assert set(links) == {"editor", "viewer"}
    assert "--yes" in ann.refused("members", "unlink", "Choir", links["editor"], code=2)
    for link in links.values():
        ann.done("members", "unlink", "Choir", link, "--yes")
    assert ann.done("members", "links", "Choir") == "No link is open.\n"
    opened = httpx.post(f"{inhabited.url}/api/links/open", json={"secret": secret}, trust_env=False)
    assert opened.json()["code"] == "secret_invalid"


def test_the_operator_helps(person: Person, stranger: Shell, inhabited: Inhabited) -> None:
    """The only owner is gone: somebody with the folder's key gives the document to another."""
    ann, bob = person("m6-ann"), person("m6-bob")
    made = ann.json("documents", "create", "Orphan of m6")
    as_operator = ("--data", inhabited.folder)
    stranger.done("members", "set", "Orphan of", "m6-bob", "editor", *as_operator)
    words = stranger.done("members", "transfer", "Orphan of", "m6-bob", "--from", "m6-ann", "--yes", *as_operator)
    assert words == "m6-bob is an owner now. m6-ann is an editor.\n"
    assert roles(bob, made["documentId"]) == {"m6-ann": "editor", "m6-bob": "owner"}


def test_pages_are_followed(
    person: Person, stranger: Shell, inhabited: Inhabited, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person("m7-ann")
    ann.done("documents", "create", "Crowd")
    document = ann.json("documents", "show", "Crowd")["documentId"]
    for number in range(4):
        user = inhabited.sign_up(f"m7-{number}")["userId"]
        stranger.done("members", "set", document, user, "viewer", "--data", inhabited.folder)
    monkeypatch.setattr("coscribe.cli.api.PAGE", 2)
    assert list(roles(ann, "Crowd")) == ["m7-ann", "m7-0", "m7-1", "m7-2", "m7-3"]
    assert ann.json("members", "set", "Crowd", "m7-3", "editor")["role"] == "editor"


def test_nobody_of_that_name(person: Person) -> None:
    ann = person("m8-ann")
    ann.done("documents", "create", "Choir")
    said = ann.refused("members", "set", "Choir", "m8-nobody", "viewer")
    assert "there is nobody called 'm8-nobody'" in said
    assert "'king' is not one of" in ann.refused("members", "set", "Choir", "m8-ann", "king", code=2)
