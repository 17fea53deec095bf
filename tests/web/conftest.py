"""A server process, and a browser with people before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.web.browser import CHROMIUM, Browser, open_browser
from tests.web.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A server on an empty folder, not started."""
    place = Place(tmp_path)
    yield place
    place.kill()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Every page of it must be without troubles at the end."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: run `python tools/system_packages.py`")
    async with open_browser(tmp_path / "profile") as browser:
        yield browser
        assert [trouble for page in browser.pages for trouble in page.troubles] == []
