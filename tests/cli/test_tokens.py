"""``coscribe tokens``: API tokens, and commands run with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.accounts import Shell

pytestmark = pytest.mark.slow

Person = Callable[[str], Shell]


def test_create_use_revoke(person: Person, stranger: Shell) -> None:
    ann = person("token-ann")
    secret = ann.done("tokens", "create", "release bot", "--scope", "edit", "--days", 7, "--quiet")
    assert secret.startswith("cst_")
    assert secret == secret.strip() + "\n"
    stranger.environment["COSCRIBE_TOKEN"] = secret

    who = stranger.json("whoami")
    assert (who["kind"], who["scope"], who["userId"]) == ("token", "edit", ann.stored()["userId"])
    assert "by an API token for edit" in stranger.done("whoami")
    assert "release bot" in ann.done("tokens", "list")
    (listed,) = ann.json("tokens", "list")["items"]
    assert (listed["name"], listed["scope"]) == ("release bot", "edit")
    assert secret.strip() not in ann.done("tokens", "list", "--json")

    assert "--yes" in ann.refused("tokens", "revoke", "release bot", code=2)
    assert "Revoked 'release bot'" in ann.done("tokens", "revoke", "release bot", "--yes")
    said = stranger.refused("whoami")
    assert said.startswith("error: authentication_failed")
    assert "revoked or has expired" in said
    assert ann.done("tokens", "list") == "You have no API tokens.\n"
    assert "revoked" in ann.done("tokens", "list", "--revoked")


def test_what_create_says(person: Person) -> None:
    ann = person("words-ann")
    first, second = ann.done("tokens", "create", "one").splitlines()
    assert first.startswith("cst_")
    assert "shown this once" in second
    assert "It ends 20" in second
    made = ann.json("tokens", "create", "two")
    assert made["secret"].startswith(made["prefix"])
    assert made["scope"] == "read"


@pytest.mark.parametrize("named", ["tokenId", "name", "prefix"])
def test_how_a_token_is_named(person: Person, named: str) -> None:
    ann = person(f"named-{named.lower()}")
    made = ann.json("tokens", "create", "bot")
    assert ann.json("tokens", "revoke", made[named], "--yes") == {"tokenId": made["tokenId"], "name": "bot"}


def test_names_that_fit_none_or_several(person: Person) -> None:
    ann = person("several-ann")
    ids = [ann.json("tokens", "create", "bot")["tokenId"] for _ in range(2)]
    said = ann.refused("tokens", "revoke", "bot", "--yes", code=2)
    assert "2 tokens are called 'bot'" in said
    assert all(token_id in said for token_id in ids)
    said = ann.refused("tokens", "revoke", "robot", "--yes")
    assert "there is no token 'robot'" in said
    assert ids[0] in said


def test_for_one_document(person: Person, stranger: Shell) -> None:
    ann = person("only-ann")
    notes = ann.json("documents", "create", "Only this")["documentId"]
    other = ann.json("documents", "create", "Not this")["documentId"]
    made = ann.json("tokens", "create", "bot", "--document", "only this")
    assert made["documentId"] == notes
    stranger.environment["COSCRIBE_TOKEN"] = made["secret"]
    assert stranger.json("documents", "show", notes)["name"] == "Only this"
    assert stranger.json("documents", "show", "Only")["documentId"] == notes
    assert "there is no" in stranger.refused("documents", "show", "Not this")
    assert "only for the document" in stranger.done("whoami")
    assert stranger.refused("documents", "show", other).startswith("error: file_not_found")


def test_what_a_token_may_not(person: Person, stranger: Shell) -> None:
    stranger.environment["COSCRIBE_TOKEN"] = person("ada").done("tokens", "create", "all", "--scope", "manage", "-q")
    assert stranger.refused("tokens", "list").startswith("error: permission_denied")
    assert stranger.refused("users", "list").startswith("error: permission_denied")
    assert "administrator" not in stranger.done("whoami")


def test_no_such_scope(person: Person) -> None:
    said = person("scope-ann").refused("tokens", "create", "bot", "--scope", "all", code=2)
    assert "'all' is not one of" in said
