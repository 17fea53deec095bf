"""``coscribe login``, ``logout`` and ``whoami``: who the commands act as."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from coscribe.cli.api import SignedIn
from coscribe.cli.common import http_url, is_loopback
from coscribe.cli.credentials import Logins
from coscribe.cli.line import Line, Request
from tests.api.town import PASSWORD
from tests.cli.accounts import Inhabited, Shell

pytestmark = pytest.mark.slow

Person = Callable[[str], Shell]


def test_signs_in_and_out(stranger: Shell, inhabited: Inhabited) -> None:
    begun = inhabited.sign_up("login-ann")
    said = stranger("login", "login-ann", "--password-stdin", input=f"{PASSWORD}\n")
    assert said.exit_code == 0, said.output
    assert said.stdout == f"Signed in at {inhabited.url} as login-ann (Login-Ann).\n"
    assert f"COSCRIBE_SERVER={inhabited.url}" in said.stderr

    who = stranger.json("whoami")
    assert (who["kind"], who["userId"], who["administrator"]) == ("session", begun["userId"], False)
    assert "csrfToken" not in who

    token = stranger.stored()["accessToken"]
    assert stranger.done("logout") == f"Signed out at {inhabited.url}.\n"
    assert "not signed in" in stranger.refused("whoami", code=2)
    assert "not signed in" in stranger.refused("logout", code=2)
    answer = httpx.get(f"{inhabited.url}/api/account", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.status_code == 401, "the session has ended on the server too"


def test_nobody_else_can_read_what_is_stored(stranger: Shell) -> None:
    before = os.umask(0)
    try:
        stranger.login("ada")
    finally:
        os.umask(before)
    assert stat.S_IMODE(stranger.credentials.stat().st_mode) == 0o600
    assert stat.S_IMODE(stranger.credentials.parent.stat().st_mode) == 0o700
    assert PASSWORD not in stranger.credentials.read_text()
    assert [path.name for path in sorted(stranger.credentials.parent.iterdir())] == [
        "credentials.json",
        "credentials.lock",
    ]


def test_where_it_is_stored(stranger: Shell, tmp_path: Path) -> None:
    del stranger.environment["COSCRIBE_CONFIG"]
    stranger.environment["XDG_CONFIG_HOME"] = str(tmp_path / "settings")
    stranger.login("ada")
    assert (tmp_path / "settings" / "coscribe" / "credentials.json").exists()


def test_a_wrong_password(stranger: Shell) -> None:
    said = stranger.refused("login", "ada", "--password-stdin", input="something else\n")
    assert said.startswith("error: wrong_credentials")
    assert "Check name and password" in said
    assert not stranger.credentials.exists()


def test_a_password_is_no_argument(stranger: Shell) -> None:
    assert "unexpected extra argument" in stranger.refused("login", "ada", PASSWORD, code=2).lower()
    assert "--password-stdin" in stranger.refused("login", "ada", code=2), "there is no terminal"
    assert "the password is empty" in stranger.refused("login", "ada", "--password-stdin", code=2, input="\n")


def test_a_password_is_not_shown_on_the_terminal(stranger: Shell) -> None:
    command, environment = stranger.command("login", "ada")
    terminal, its_end = os.openpty()
    with subprocess.Popen(
        command,
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        env=environment,
        preexec_fn=lambda: os.login_tty(its_end),
    ) as process:
        os.close(its_end)
        said = b""
        while not said.endswith(b"Password: "):
            said += os.read(terminal, 1_000)
        os.write(terminal, f"{PASSWORD}\n".encode())
        try:
            while more := os.read(terminal, 1_000):
                said += more
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait() == 0, said
    os.close(terminal)
    assert b"Signed in" in said
    assert PASSWORD.encode() not in said


def test_signing_in_again_ends_the_session_before(stranger: Shell, inhabited: Inhabited) -> None:
    inhabited.sign_up("again")
    first = stranger.login("again").stored()
    second = stranger.login("again").stored()
    headers = {"Authorization": f"Bearer {second['accessToken']}"}
    open_now = httpx.get(f"{inhabited.url}/api/sessions", headers=headers, trust_env=False).json()["items"]
    ids = {row["sessionId"] for row in open_now}
    assert second["sessionId"] in ids
    assert first["sessionId"] not in ids


def test_tokens_are_renewed(person: Person) -> None:
    ann = person("renewed-ann")
    before = ann.stored()
    ann.store(expiresAt=0)
    assert ann.json("whoami")["kind"] == "session"
    after = ann.stored()
    assert after["refreshToken"] != before["refreshToken"]
    assert after["sessionId"] == before["sessionId"]
    ann.json("whoami")
    assert ann.stored() == after


def test_an_access_token_that_the_server_does_not_take_is_renewed(person: Person) -> None:
    ann = person("clock-ann")
    ann.store(accessToken="cst_not_good")
    assert ann.json("whoami")["kind"] == "session"


_WAITS = """
import sys
import httpx
from coscribe.cli import app, line
print("ready", flush=True)
sys.stdin.readline()
app(["whoami", "--json"])
"""


@pytest.mark.slow
def test_processes_renew_one_after_the_other(person: Person) -> None:
    """A refresh token used twice would end the session."""
    ann = person("race-ann")
    ann.store(expiresAt=0)
    _, environment = ann.command()
    command = [sys.executable, "-c", _WAITS]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
            )
            for _ in range(4)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert {json.loads(line)["kind"] for line in said} == {"session"}
    assert ann.json("whoami")["kind"] == "session"


def test_renewing_holds_the_lock(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = person("lock-ann")
    ann.store(expiresAt=0)
    asked: list[str] = []
    ask = Line.ask

    def look(line: Line, request: Request, token: str = "") -> httpx.Response:
        asked.append(request.path)
        with ann.credentials.with_suffix(".lock").open("w") as lock:
            if request.path == "/session/refresh":
                with pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return ask(line, request, token)

    monkeypatch.setattr(Line, "ask", look)
    ann.json("whoami")
    assert asked == ["/session/refresh", "/session", "/account"]


def test_who_comes_later_uses_what_is_there(person: Person, stranger: Shell) -> None:
    """Two processes have read the same stored login, and both find that it has expired."""
    ann = person("later-ann")
    ann.store(expiresAt=0)
    stored = Logins(ann.credentials.parent)
    with Line(ann.server.url) as line:
        login = stored.get(line.url)
        assert login is not None
        first, second = SignedIn(line, stored, login), SignedIn(line, stored, login)
        assert first.token() == second.token() == ann.stored()["accessToken"]
    assert ann.json("whoami")["kind"] == "session"


def test_a_session_that_was_ended_elsewhere(person: Person, inhabited: Inhabited) -> None:
    ann = person("ended-ann")
    person("ada").done("users", "sign-out", "ended-ann", "--yes")
    said = ann.refused("documents", "list")
    assert said.startswith("error: authentication_failed")
    assert f"coscribe login --server {inhabited.url}" in said
    assert "not signed in" in ann.refused("documents", "list", code=2), "what is no good is forgotten"


def test_signing_out_where_the_session_has_ended(person: Person) -> None:
    ann = person("gone-ann")
    person("ada").done("users", "sign-out", "gone-ann", "--yes")
    ann.done("logout")
    assert json.loads(ann.credentials.read_bytes()) == {"servers": {}}


def test_signing_out_everywhere(person: Person, inhabited: Inhabited, tmp_path: Path) -> None:
    ann = person("everywhere-ann")
    elsewhere = Shell(inhabited, tmp_path / "elsewhere").login("everywhere-ann")
    ann.done("logout", "--everywhere")
    elsewhere.refused("whoami")


def test_the_operator(stranger: Shell, inhabited: Inhabited) -> None:
    who = stranger.json("whoami", "--data", inhabited.folder)
    assert (who["kind"], who["administrator"], who["userId"]) == ("folder", True, "")
    assert "the operator" in stranger.done("whoami", "--data", inhabited.folder)
    assert "coscribe login" in stranger.refused("tokens", "list", "--data", inhabited.folder)
    stranger.environment["COSCRIBE_FOLDER"] = str(inhabited.folder)
    assert stranger.json("whoami")["kind"] == "folder"


def test_the_operator_of_another_folder(stranger: Shell, folder: Path) -> None:
    said = stranger.refused("whoami", "--data", folder, code=2)
    assert "no server has run in" in said
    (folder / "token.key").write_text("a" * 64)
    said = stranger.refused("users", "list", "--data", folder)
    assert said.startswith("error: authentication_failed")
    assert str(folder) in said


def test_whose_rights_come_first(person: Person, inhabited: Inhabited) -> None:
    ada = person("ada")
    secret = ada.done("tokens", "create", "first", "--quiet").strip()
    assert ada.json("whoami")["kind"] == "session"
    assert ada.json("whoami", "--data", inhabited.folder)["kind"] == "folder"
    assert ada.json("whoami", "--data", inhabited.folder, "--token", secret)["kind"] == "token"
    ada.environment["COSCRIBE_TOKEN"] = secret
    assert ada.json("whoami")["kind"] == "token"


def test_the_key_of_the_folder_goes_to_no_stranger(stranger: Shell, inhabited: Inhabited) -> None:
    """Whoever gets a token of the operator may do everything here."""
    stranger.environment["COSCRIBE_FOLDER"] = str(inhabited.folder)
    assert "not signed in at https://notes.example" in stranger.refused(
        "users", "list", "--server", "https://notes.example", code=2
    )


def test_nobody_answers(stranger: Shell) -> None:
    said = stranger.refused("whoami", "--server", "http://127.0.0.1:1", "--token", "any", code=2)
    assert "nobody answers at http://127.0.0.1:1" in said
    assert "coscribe serve" in said


@pytest.mark.parametrize(("token", "says"), [("cst_unknown", "authentication_failed"), ("ünknown", "this is no token")])
def test_a_token_that_is_no_good(stranger: Shell, token: str, says: str) -> None:
    result = stranger("whoami", "--token", token)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert "--token" in result.stderr


def test_what_is_stored_is_damaged(stranger: Shell) -> None:
    stranger.credentials.parent.mkdir()
    stranger.credentials.write_text("{")
    said = stranger.refused("whoami", code=2)
    assert "credentials.json" in said
    assert "coscribe login" in said


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8777", "http://127.0.0.1:8777"),
        ("127.0.0.1:8777/", "http://127.0.0.1:8777"),
        ("ws://127.0.0.1:8777/ws", "http://127.0.0.1:8777"),
        ("HTTPS://Notes.Example:443/", "https://notes.example"),
        ("wss://notes.example/team/ws", "https://notes.example/team"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_a_server_has_one_name(given: str, url: str) -> None:
    assert http_url(given) == url
    assert is_loopback(url) == ("example" not in url)


@pytest.mark.parametrize("given", ["http://", "ftp://notes.example", "http://a:b@notes.example", "http://x:port"])
def test_no_address(stranger: Shell, given: str) -> None:
    assert "is no address" in stranger.refused("whoami", "--server", given, "--token", "any", code=2)


def test_commands_start_without_what_they_do_not_need() -> None:
    script = (
        "import sys, coscribe.cli; print([name for name in ('httpx', 'fastapi', 'sqlalchemy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
