"""A server that stops asks everybody back, and not all at once."""

from __future__ import annotations

import json
from pathlib import Path

from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.gateway.gateway import RETURNS_PER_MS
from coscribe.persistence.memory import MemoryStorage


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = 0

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def ping(self) -> None:
        """Nobody answers."""

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed = code


async def test_everybody_is_asked_back_soon_and_many_one_after_the_other(tmp_path: Path) -> None:
    coscribe = Coscribe(Settings(folder=tmp_path, token_secret="s" * 32), storage=MemoryStorage())
    wires = [Wire() for _ in range(10 * RETURNS_PER_MS)]
    async with coscribe.running():
        for wire in wires:
            coscribe.gateway.open(wire)
    asked = [json.loads(wire.frames[-1]) for wire in wires]
    assert {goodbye["type"] for goodbye in asked} == {"goodbye"}
    assert [goodbye["retryAfter"] for goodbye in asked] == [100 + turn // RETURNS_PER_MS for turn in range(len(wires))]
    assert {wire.closed for wire in wires} == {1012}
