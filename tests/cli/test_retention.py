"""``coscribe retention``: how long history is kept, and legal holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.accounts import Shell

pytestmark = pytest.mark.slow

Person = Callable[[str], Shell]


def test_a_retention_is_shown_set_and_held(person: Person) -> None:
    ann, ada = person("retention-ann"), person("ada")
    ann.done("documents", "create", "Kept for long")
    assert "for ever (as the server's settings say)" in ann.done("retention", "show", "Kept for long")
    assert "kept 365 days" in ann.done("retention", "set", "Kept for long", "--days", 365)
    assert ann.refused("retention", "hold", "Kept for long", "--reason", "mine").startswith("error: permission_denied")

    assert "It is held" in ada.done("retention", "hold", "Kept for long", "--reason", "a case")
    assert "a case" in ann.done("retention", "show", "Kept for long")
    assert ann.refused("retention", "set", "Kept for long", "--days", 7).startswith("error: legal_hold")
    ann.done("documents", "trash", "Kept for long")
    said = ann.refused("documents", "delete", "Kept for long", "--yes")
    assert said.startswith("error: legal_hold")
    assert "administrator has to release" in said

    assert "not held any more" in ada.done(
        "retention", "release", ann.json("documents", "list", "--status", "trashed")["items"][0]["documentId"]
    )
    shown = ann.json("retention", "show", "Kept for long")
    assert shown == {"days": 365, "own": True, "hold": None, "pruned": None}
    assert "Kept for long" in ann.done("documents", "delete", "Kept for long", "--yes")
