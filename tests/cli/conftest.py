"""A small data folder to damage, a server to talk to, and the command line run in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from coscribe.app import token_secret
from coscribe.cli import app
from coscribe.cli.api import login_of
from coscribe.cli.common import websocket_url
from coscribe.cli.credentials import Logins
from coscribe.cli.store import Store
from coscribe.client import Client
from coscribe.config import Settings
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import Role
from tests.cli.accounts import Inhabited, Shell, commands
from tests.cli.stores import Kept, moved
from tests.cli.written import Written, store
from tests.servers import PostgresServer

Run = Callable[..., Result]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs ``coscribe`` with these arguments."""
    runner = CliRunner()
    yield lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def written() -> Written:
    """Some history of ``notes``, by ann and bob."""
    return Written.example()


@pytest.fixture(scope="session")
def _pristine(tmp_path_factory: pytest.TempPathFactory, written: Written) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "data"
    store(folder, written)
    return folder


@pytest.fixture
def folder(_pristine: Path, tmp_path: Path) -> Path:
    """A data folder that holds `written`; a copy, to do anything with."""
    return Path(shutil.copytree(_pristine, tmp_path / "data"))


@pytest.fixture(scope="session")
def _pristine_on_postgres(
    _pristine: Path, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return moved(_pristine, postgres_server, tmp_path_factory.mktemp("moved"))


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, folder: Path) -> Iterator[Kept]:
    """What holds `written`, on either database; a copy, to do anything with."""
    if request.param == "sqlite":
        yield Kept(Store(folder))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.empty(template=request.getfixturevalue("_pristine_on_postgres"))
    yield Kept(Store(folder, url))
    server.drop(url)


class Server:
    """A server in a process of its own; use a file of your own on it. ``url`` is what a person would give."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._secret = token_secret(Settings(folder=folder))
        command = [sys.executable, "-m", "coscribe", "serve", "--port", "0", "--quiet", "--data", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http")

    def token(self, user_id: str, role: Role = "editor") -> str:
        return make_token(self._secret, user_id, role, 3_600)

    def client(self, user_id: str) -> Client:
        return Client(websocket_url(self.url), self.token(user_id))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs as long as the tests."""
    running = Server(tmp_path_factory.mktemp("server"))
    with running.process:
        yield running
        running.process.kill()


@pytest.fixture(scope="session")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inhabited]:
    """A server with accounts that runs as long as the tests; use handles of your own on it."""
    running = Inhabited(tmp_path_factory.mktemp("inhabited"))
    with running.process:
        yield running
        running.process.kill()


@pytest.fixture
def stranger(inhabited: Inhabited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Somebody who has not signed in, in a folder with nothing in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda _: commands())
    return Shell(inhabited, tmp_path / "stranger")


@pytest.fixture
def person(inhabited: Inhabited, stranger: Shell, tmp_path: Path) -> Callable[[str], Shell]:
    """Makes an account; the shell of its owner, signed in. ``ada`` has one already."""

    def signed_in(handle: str) -> Shell:
        shell = Shell(inhabited, tmp_path / handle)
        if handle == "ada":
            return shell.login("ada")
        begun = inhabited.sign_up(handle)
        with Logins(tmp_path / handle).changing() as known:  # as `coscribe login` does, without hashing once more
            known[inhabited.url] = login_of(begun, handle)
        return shell

    return signed_in
