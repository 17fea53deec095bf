"""A small data folder to damage, a server to talk to, and the command line run in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from coscribe.cli import app
from tests.cli.written import Written, store
from tests.e2e.server_process import ServerProcess

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that runs as long as the tests; use a file of your own."""
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    process.token("anybody")  # makes the key: the server says where it is before it would have made one
    process.start()
    yield process
    process.kill()
