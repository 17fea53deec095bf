"""The API as somebody: who that is, their requests, and how a refusal ends the command.

Whose rights a request has, the first that there is:

    --token or COSCRIBE_TOKEN    an API token, or any other bearer token
    --data                       the operator: a token signed with the key in the server's data folder
    coscribe login               the session stored for this server, renewed when it has to be
    the default data folder      the operator again, where the server is on this machine
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol

import typer

from coscribe.cli.common import DEFAULT_FOLDER, fail, http_url, is_loopback, token_for
from coscribe.cli.credentials import Login, Logins, logins
from coscribe.cli.line import Line, Refused, Request

if TYPE_CHECKING:
    import httpx

Row = dict[str, Any]
"""A JSON object as the API answers it."""

At = Annotated[
    str,
    typer.Option("--server", help="Where the server is: https://host or http://host:port.", envvar="COSCRIBE_SERVER"),
]
Given = Annotated[
    str, typer.Option("--token", help="An API token, instead of your login.", envvar="COSCRIBE_TOKEN", show_envvar=True)
]
Operator = Annotated[
    Path | None, typer.Option("--data", help="The server's data folder: as its operator, with the key in it.")
]
Limit = Annotated[int, typer.Option("--limit", help="Show at most so many; 0 shows all.", min=0)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")]

PAGE = 100
"""Items of a list that are asked for at once."""

OPERATOR_SECONDS = 3_600
"""How long a token of the operator is good: for one command."""

EARLY = 30.0
"""Seconds before its end that an access token is renewed."""


class Credential(Protocol):
    """What requests are made with. ``is_operator``: there is no account behind it."""

    is_operator: bool
    advice: str

    def token(self) -> str: ...

    def renew(self) -> bool:
        """Another token, if there is one; after the one before was refused."""
        ...


class Api:
    """Requests of somebody. They raise Refused, see `opened`."""

    def __init__(self, line: Line, credential: Credential) -> None:
        self.url = line.url
        self._line = line
        self._credential = credential
        self._who: Row | None = None

    @property
    def who(self) -> Row:
        """Who this is: kind, userId, administrator, scope and so on."""
        if self._who is None:
            self._who = self.get("/session")
        return self._who

    @property
    def administers(self) -> bool:
        """Whether this may use the routes of administrators: API tokens may not."""
        return bool(self.who["administrator"]) and self.who["scope"] is None

    def ask(self, method: str, path: str, json: object = None, **options: Any) -> httpx.Response:
        """The answer to a request below ``/api``; options as in `Request`."""
        request = Request(method, path, json, **options)
        try:
            return self._line.ask(request, self._credential.token())
        except Refused as refusal:
            if refusal.status != 401 or not self._credential.renew():
                raise
            return self._line.ask(request, self._credential.token())

    @contextmanager
    def pieces(self, request: Request) -> Iterator[Iterator[bytes]]:
        """The answer to a request piece by piece."""
        self.who  # noqa: B018  (renews the credential, if that has to be)
        with self._line.pieces(request, self._credential.token()) as pieces:
            yield pieces

    def get(self, path: str, /, **params: str | int) -> Row:
        found: Row = self.ask("GET", path, params=params).json()
        return found

    def send(self, method: str, path: str, json: object = None, **options: Any) -> Row:
        """What is answered to a change; nothing is an empty object."""
        response = self.ask(method, path, json, **options)
        answer: Row = response.json() if response.content else {}
        return answer

    def pages(self, path: str, limit: int = 0, **params: str | int) -> Iterator[Row]:
        """The items of a list, page by page until ``limit`` or, with 0, to its end."""
        cursor, seen = "", 0
        while True:
            size = min(PAGE, limit - seen) if limit else PAGE
            page = self.get(path, **params, limit=size, cursor=cursor)
            yield from page["items"]
            seen += len(page["items"])
            cursor = page["nextCursor"]
            if not cursor or seen == limit:
                return

    @contextmanager
    def reading(self, path: str) -> Iterator[Iterator[str]]:
        """A long answer line by line."""
        _ = self.who  # a token that has ended is renewed by this
        with self._line.reading(Request("GET", path, headers={"Accept": "*/*"}), self._credential.token()) as lines:
            yield lines

    @contextmanager
    def fetching(self, path: str, **params: str | int) -> Iterator[Iterator[bytes]]:
        """A long answer as it is, piece by piece."""
        _ = self.who  # a token that has ended is renewed by this
        request = Request("GET", path, params=params, headers={"Accept": "*/*"})
        with self._line.fetching(request, self._credential.token()) as pieces:
            yield pieces

    def explain(self, refusal: Refused) -> NoReturn:
        """Ends the command with what the server said, and what to do in this case."""
        advice = refusal.advice
        if refusal.status == 401:
            advice = self._credential.advice
        elif refusal.code == "permission_denied" and self._credential.is_operator:
            advice = "An operator has no account: sign in with `coscribe login` for what belongs to one."
        end(refusal, advice)


@contextmanager
def opened(server: str, token: str, data: Path | None) -> Iterator[Api]:
    """The API as whoever runs the command. A refusal in the block ends it with code 1."""
    with Line(server) as line:
        api = Api(line, _credential(line, token, data))
        try:
            yield api
        except Refused as refusal:
            api.explain(refusal)


def end(refusal: Refused, advice: str) -> NoReturn:
    """Ends the command with a refusal."""
    fail(f"{refusal.code}: {refusal.detail}" if refusal.detail else refusal.code, advice, code=1)


def login_of(answer: Row, name: str) -> Login:
    """The login in an answer that began or renewed a session."""
    return Login(
        answer["userId"],
        name,
        answer["sessionId"],
        answer["accessToken"],
        answer["refreshToken"],
        time.time() + answer["expiresIn"] - EARLY,
    )


class SignedIn:
    """A stored login."""

    is_operator = False

    def __init__(self, line: Line, stored: Logins, login: Login) -> None:
        self.advice = f"Sign in again: coscribe login --server {line.url}"
        self._line = line
        self._stored = stored
        self._login = login

    def token(self) -> str:
        if self._login.expires_at <= time.time():
            self.renew()
        return self._login.access_token

    def renew(self) -> bool:
        with self._stored.changing() as known:
            current = known.get(self._line.url)
            if current is None or current.session_id != self._login.session_id:
                return False
            if current.refresh_token == self._login.refresh_token:
                try:
                    answer = self._line.ask(
                        Request("POST", "/session/refresh", {"refreshToken": current.refresh_token})
                    ).json()
                except Refused as refusal:
                    if refusal.status != 401:
                        raise
                    del known[self._line.url]
                    return False
                ids = {"userId": current.user_id, "sessionId": current.session_id}
                current = known[self._line.url] = login_of(answer | ids, current.name)
            self._login = current
        return True


class _Token:
    """A token that was given, or one of the operator's."""

    def __init__(self, token: str, advice: str, *, is_operator: bool) -> None:
        self.is_operator = is_operator
        self.advice = advice
        self._token = token

    def token(self) -> str:
        return self._token

    def renew(self) -> bool:
        return False


def _credential(line: Line, token: str, data: Path | None) -> Credential:
    if token.strip():
        advice = "It was revoked or has expired: give another --token, or sign in with `coscribe login`."
        return _Token(token.strip(), advice, is_operator=False)
    if data is not None:
        return _operator(data)
    stored = logins()
    login = stored.get(line.url)
    if login is not None:
        return SignedIn(line, stored, login)
    folder = Path(os.environ.get("COSCRIBE_FOLDER") or DEFAULT_FOLDER)
    # Whoever gets such a token may do everything here: it goes nowhere that nobody has named together with the folder.
    if not is_loopback(line.url) or not _has_key(folder):
        fail(
            f"not signed in at {line.url}",
            "Sign in with `coscribe login`, or give --token, or --data with the server's folder on its own machine.",
        )
    return _operator(folder)


def _operator(folder: Path) -> Credential:
    token = token_for(folder, "", "owner", OPERATOR_SECONDS)
    return _Token(token, f"Does the server run on the folder {folder}? Its key is another one.", is_operator=True)


def _has_key(folder: Path) -> bool:
    return bool(os.environ.get("COSCRIBE_TOKEN_SECRET")) or (folder / "token.key").exists()


def stored_login(server: str) -> tuple[Logins, str, Login | None]:
    """The logins, what the server is called in them, and the one for it."""
    stored, url = logins(), http_url(server)
    return stored, url, stored.get(url)
