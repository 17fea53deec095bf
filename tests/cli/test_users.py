"""``coscribe users``, ``events`` and ``keys``: what administrators do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from coscribe.cli.show import ago, as_line
from tests.cli.accounts import Inhabited, Shell, commands

pytestmark = pytest.mark.slow

Person = Callable[[str], Shell]

NEW = ("login", "logout", "whoami", "users", "tokens", "documents", "members", "events", "keys")


def names() -> list[tuple[str, ...]]:
    """Every command of these groups."""
    groups = vars(commands())["commands"]
    below = {name: vars(groups[name]).get("commands", ()) for name in NEW}
    return [(name, one) for name in NEW for one in below[name]] + [(name,) for name in NEW if not below[name]]


@pytest.mark.parametrize("command", names(), ids=" ".join)
def test_help_has_examples(stranger: Shell, command: tuple[str, ...]) -> None:
    result = stranger(*command, "--help")
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Examples:")
    assert f"coscribe {' '.join(command)}" in examples
    assert examples.count("coscribe ") >= 2
    assert "--json" in result.stdout


def test_list_and_show(person: Person) -> None:
    ada, begun = person("ada"), person("list-ann").stored()
    listed = ada.done("users", "list", "--query", "list-ann")
    assert listed.split("\n")[0].split() == ["handle", "name", "e-mail", "state", "role", "since"]
    for name in ("list-ann", "@list-ann", "LIST-ANN", begun["userId"]):
        found = ada.json("users", "show", name)
        assert (found["handle"], found["status"], found["administrator"]) == ("list-ann", "active", False)
    assert "handle" in ada.done("users", "show", "list-ann")


def test_pages_are_followed(person: Person, inhabited: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = [f"paged-{number}" for number in range(5)]
    for handle in handles:
        inhabited.sign_up(handle)
    ada = person("ada")
    monkeypatch.setattr("coscribe.cli.api.PAGE", 2)
    assert [row["handle"] for row in ada.json("users", "list", "--query", "paged-")["items"]] == handles
    for limit in (1, 2, 3, 5, 9):
        found = ada.json("users", "list", "--query", "paged-", "--limit", limit)["items"]
        assert [row["handle"] for row in found] == handles[:limit]


def test_nobody_of_that_name(person: Person) -> None:
    ada = person("ada")
    person("near-ann")
    said = ada.refused("users", "show", "near-an")
    assert "there is nobody called 'near-an'" in said
    assert "near-ann  Near-Ann" in said
    assert ada.refused("users", "show", "usr_" + "0" * 32).startswith("error: not_found")


def test_only_administrators(person: Person) -> None:
    said = person("plain-ann").refused("users", "list")
    assert said.startswith("error: permission_denied")
    assert "Ask an owner" in said


def test_lock_and_unlock(person: Person) -> None:
    ada, ann = person("ada"), person("locked-ann")
    assert "--yes" in ada.refused("users", "lock", "locked-ann", code=2), "nobody is there to ask"
    assert ada.json("users", "lock", "locked-ann", "--yes")["status"] == "locked"
    assert ann.refused("documents", "list").startswith("error: authentication_failed")
    assert "can sign in again" in ada.done("users", "unlock", "locked-ann")
    ann.login("locked-ann").json("whoami")


def test_promote_and_demote(person: Person, inhabited: Inhabited) -> None:
    ada, ann = person("ada"), person("promoted-ann")
    ada.done("users", "promote", "promoted-ann")
    assert "an administrator" in ann.done("whoami")
    assert ann.json("users", "show", "ada")["administrator"] is True
    ada.done("users", "demote", "promoted-ann", "--yes")
    assert "administrator" not in ann.done("whoami")
    said = ada.refused("users", "demote", "ada", "--yes")
    assert said.startswith("error: conflict: this is the only administrator")


def test_the_operator_administers(stranger: Shell, inhabited: Inhabited, person: Person) -> None:
    person("operated-ann")
    as_operator = ("--data", inhabited.folder)
    assert stranger.json("users", "show", "operated-ann", *as_operator)["handle"] == "operated-ann"
    assert stranger.json("users", "promote", "operated-ann", *as_operator)["administrator"] is True
    assert stranger.json("users", "demote", "operated-ann", "--yes", *as_operator)["administrator"] is False
    assert stranger.json("keys", "rotate", *as_operator)["keyId"]


def test_invitations_to_the_server(person: Person, inhabited: Inhabited) -> None:
    ada = person("ada")
    url = ada.done("users", "invite", "--quiet")
    _, _, secret = url.strip().partition("#invitation=")
    inhabited.sign_up("invited-ann", invitation=secret)
    assert "on its way to bob@example.org" in ada.done("users", "invite", "bob@example.org")
    made = ada.json("users", "invite")
    assert made["url"].startswith("http")
    assert "whoever has the link" in ada.done("users", "invitations")
    ids = [row["invitationId"] for row in ada.json("users", "invitations")["items"]]
    assert made["invitationId"] in ids
    for invitation in ids:
        ada.done("users", "uninvite", invitation)
    assert ada.done("users", "invitations") == "No invitation is open.\n"
    assert ada.refused("users", "uninvite", "../users").startswith("error: not_found")


def test_keys(person: Person) -> None:
    ada, ann = person("ada"), person("keyed-ann")
    assert "are signed with the key" in ada.done("keys", "rotate")
    assert ann.json("whoami")["kind"] == "session", "tokens that are out stay good"
    assert ann.refused("keys", "rotate").startswith("error: permission_denied")


def test_events(person: Person, tmp_path: Path) -> None:
    ada = person("ada")
    person("noted-ann").refused("users", "list")
    newest = ada.json("events", "list", "--limit", 3)["items"]
    assert len(newest) == 3
    assert "outcome" in ada.done("events", "list", "--limit", 1)

    exported = ada.done("events", "export").splitlines()
    events = [json.loads(line) for line in exported]
    assert [event["event_id"] for event in events] == sorted(event["event_id"] for event in events)
    assert any(event["action"] == "administer_users" and event["outcome"] == "permission_denied" for event in events)

    done = ada.json("events", "export", "--output", tmp_path / "events.ndjson")
    written = (tmp_path / "events.ndjson").read_text().splitlines()
    assert done["events"] == len(written) >= len(exported)
    assert written[: len(exported)] == exported


def test_an_export_that_fails_leaves_nothing(person: Person, tmp_path: Path) -> None:
    ann = person("export-ann")
    before = set(tmp_path.iterdir())
    ann.refused("events", "export", "--output", tmp_path / "events.ndjson")
    assert set(tmp_path.iterdir()) == before
    said = person("ada").refused("events", "export", "--output", tmp_path / "nowhere" / "events.ndjson", code=2)
    assert "cannot write" in said


@pytest.mark.parametrize("status", [200, 302, 404, 502])
def test_no_coscribe_server(stranger: Shell, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    answer = httpx.Response(status, html="<p>Something else</p>")
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: answer)
    said = stranger.refused("users", "list", "--token", "any", code=2)
    assert f"answers {status}, but not as a Coscribe server does" in said
    assert "--server" in said


@pytest.mark.parametrize("error", [httpx.ReadTimeout("late"), httpx.RemoteProtocolError("closed")])
def test_the_answer_does_not_come(stranger: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> httpx.Response:
        raise error

    monkeypatch.setattr(httpx.Client, "send", fail)
    assert "before you try again" in stranger.refused("users", "list", "--token", "any", code=2)


def test_when_to_try_again(stranger: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"code": "too_many_requests", "detail": "wait", "help": "Wait for the seconds in Retry-After."}
    headers = {"content-type": "application/problem+json", "retry-after": "7"}
    monkeypatch.setattr(
        httpx.Client, "send", lambda *_, **__: httpx.Response(429, headers=headers, content=json.dumps(problem))
    )
    said = stranger.refused("users", "list", "--token", "any")
    assert said == "error: too_many_requests: wait\n  Try again in 7 s.\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "just now"),
        (60, "1 minute ago"),
        (59 * 60, "59 minutes ago"),
        (7_200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
        (-5, "in a moment"),
        (-86_400 * 14, "in 14 days"),
    ],
)
def test_times_as_people_say_them(seconds: int, words: str) -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    assert ago((now - timedelta(seconds=seconds)).isoformat(), now) == words


def test_other_times() -> None:
    now = datetime(2025, 6, 1, 12, tzinfo=UTC)
    assert ago("2024-01-02T12:00:00.000Z", now) == "2024-01-02"
    assert ago(None, now) == "never"


def test_nothing_moves_the_cursor() -> None:
    assert as_line("a\x1b[31m\nb") == "a\N{MIDDLE DOT}[31m b"
