"""``coscribe login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from coscribe.cli.api import At, Given, Operator, Row, SignedIn, end, login_of, opened, stored_login
from coscribe.cli.common import DEFAULT_SERVER, Json, err, fail, is_loopback
from coscribe.cli.show import show_done


def login(
    name: Annotated[str | None, typer.Argument(help="Your handle or verified e-mail address.")] = None,
    server: At = DEFAULT_SERVER,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    json: Json = False,
) -> None:
    """Sign in. The other commands then act as you on that server, until `coscribe logout`.

    The password is asked for; it is no argument, because others can see those. What is kept is a session, in a file
    that only you can read: credentials.json in COSCRIBE_CONFIG, else in the folder of your settings.

    Examples:

        coscribe login ann

        coscribe login ann --server https://notes.example

        coscribe login ann --password-stdin < password.txt
    """
    from coscribe.cli.line import Line, Refused, Request

    with Line(server) as line:
        if line.url.startswith("http:") and not is_loopback(line.url):
            err.print(
                f"[yellow]warning:[/yellow] the password goes to {line.url} unencrypted",
                highlight=False,
                soft_wrap=True,
            )
        if name is None:
            name = _asked("Handle or e-mail address", hidden=False)
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _asked("Password", hidden=True)
        if not password:
            fail("the password is empty")
        stored, url, before = stored_login(server)
        try:
            begun: Row = line.ask(Request("POST", "/session", {"name": name, "password": password})).json()
            account: Row = line.ask(Request("GET", "/account"), begun["accessToken"]).json()
            with stored.changing() as known:
                known[url] = login_of(begun, account["handle"])
            if before is not None and before.user_id == begun["userId"]:
                with suppress(Refused):  # it has ended already
                    line.ask(Request("DELETE", f"/sessions/{before.session_id}"), begun["accessToken"])
        except Refused as refusal:
            end(refusal, refusal.advice)
    done = {"server": url, "userId": account["userId"], "handle": account["handle"], "sessionId": begun["sessionId"]}
    show_done(done, f"Signed in at {url} as {account['handle']} ({account['displayName']}).", json=json)
    if not json and url != DEFAULT_SERVER:
        err.print(
            f"Give --server {url} with each command, or set COSCRIBE_SERVER={url}.", highlight=False, soft_wrap=True
        )


def logout(
    server: At = DEFAULT_SERVER,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="End all your sessions, in browsers too.")] = False,
    json: Json = False,
) -> None:
    """Sign out: end the session on the server, and forget it here.

    Examples:

        coscribe logout

        coscribe logout --everywhere --server https://notes.example
    """
    from coscribe.cli.line import Line, Refused, Request

    stored, url, present = stored_login(server)
    if present is None:
        fail(f"not signed in at {url}", "See `coscribe login --help`.")
    with Line(server) as line:
        credential = SignedIn(line, stored, present)
        try:
            line.ask(Request("DELETE", "/sessions" if everywhere else "/session"), credential.token())
        except Refused as refusal:
            if refusal.status != 401:  # it has ended already
                end(refusal, refusal.advice)
        finally:
            with stored.changing() as known:
                known.pop(url, None)
    show_done({"server": url, "userId": present.user_id}, f"Signed out at {url}.", json=json)


def whoami(server: At = DEFAULT_SERVER, token: Given = "", data: Operator = None, json: Json = False) -> None:
    """Say who the other commands act as, and on which server.

    Examples:

        coscribe whoami

        coscribe whoami --server https://notes.example --json

        coscribe whoami --data /var/lib/coscribe
    """
    with opened(server, token, data) as api:
        who = {"server": api.url, **api.who}
        has_account = who["userId"] and not who["documentId"]
        handle = api.get("/account")["handle"] if has_account else who["author"]
    how = {
        "session": "signed in",
        "token": f"by an API token for {who['scope']}",
        "folder": "the operator, by the key of the data folder",
    }[who["kind"]]
    rights = ", an administrator" if api.administers else ""
    only = f", only for the document {who['documentId']}" if who["documentId"] else ""
    who.pop("csrfToken")
    show_done(who, f"{handle} ({who['displayName']}){rights}, {how}{only}, at {api.url}", json=json)


def _asked(question: str, *, hidden: bool) -> str:
    if not sys.stdin.isatty():
        how = "Give it with --password-stdin." if hidden else "Give it as an argument."
        fail(f"there is no terminal to ask on: {question.lower()}?", how)
    answer: str = typer.prompt(question, hide_input=hidden, err=True)
    return answer
