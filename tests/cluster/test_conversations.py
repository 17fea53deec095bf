"""The frozen conversations, with clients at a gateway and their files at a core, a bus between them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from coscribe.persistence.memory import MemoryStorage
from tests.cluster.world import ClusterServer
from tests.contracts.conversations import FOLDER, Conversation, constants, load

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("near", [False, True], ids=["linked", "near"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_conversation(path: Path, near: bool) -> None:
    record = load(path)
    storage = MemoryStorage()
    with constants(record):
        await Conversation(record, lambda: storage, partial(ClusterServer, near=near)).run()
