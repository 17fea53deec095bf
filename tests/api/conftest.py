"""A server with its API in this process: the real composition root, SQLite in a folder, requests over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.town import Town, open_town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """With an administrator, ``ada``."""
    async with open_town(tmp_path) as town:
        yield town
