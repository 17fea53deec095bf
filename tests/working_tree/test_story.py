"""The story of a repository, ten people and a shell; see `story`. ``COSCRIBE_SECONDS=600``: as long as is claimed."""

from __future__ import annotations

import os

import pytest

from tests.working_tree.story import shown, tell


@pytest.mark.soak
async def test_nothing_is_lost_and_nobody_is_disconnected() -> None:
    figures = await tell(float(os.environ.get("COSCRIBE_SECONDS", "60")), int(os.environ.get("COSCRIBE_SEED", "1")))
    print(shown(figures))
    assert figures.tokens > 100 and len(figures.done) == 5
