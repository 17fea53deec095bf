"""A server process, a browser, and at the end: no troubles in any window, and a log that verifies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.places import Place, Visitors, administered, visiting
from tests.browser.windows import CHROMIUM, Room, open_browser
from tests.e2e.server_process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server on an empty folder; everything it has written is verified in the end."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: run `python tools/system_packages.py`")
    if not files("coscribe.web").joinpath("built", "index.html").is_file():
        pytest.fail("the web editor is not built: run `make setup`")
    server = ServerProcess(tmp_path / "data", environment={"COSCRIBE_RATE_FACTOR": "100"})
    server.start()
    yield server
    server.stop()
    command = [sys.executable, "-m", "coscribe", "verify", "--data", str(server.folder)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture
async def browser(server: ServerProcess) -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest.fixture
async def room(server: ServerProcess, browser: Browser) -> AsyncIterator[Room]:
    """A document of ada's, to be joined."""
    room = Room(server, browser)
    await room.begin()
    yield room
    troubles = {window.who.handle: window.troubles for window in room.windows if window.troubles}
    await room.close()
    assert troubles == {}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server for all whose story does not begin with an empty one."""
    with administered(tmp_path_factory.mktemp("place")) as place:
        yield place


@pytest.fixture
async def visitors(place: Place) -> AsyncIterator[Visitors]:
    async with visiting(place) as visitors:
        yield visitors
