"""A server that stops asks everybody back, and not all at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.auth import make_token
from coscribe.gateway.pace import RETURNS_PER_MS
from coscribe.persistence.memory import MemoryStorage


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = 0
        self.told = asyncio.Event()

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.told.set()

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
    waits = [goodbye["retryAfter"] - 100 for goodbye in asked]
    assert waits == sorted(waits)
    assert all(0 <= wait <= turn // RETURNS_PER_MS for turn, wait in enumerate(waits))
    assert {wire.closed for wire in wires} == {1012}


async def test_a_file_is_asked_back_as_each_protocol_version_says_it(tmp_path: Path) -> None:
    """Version 2 says when; in version 1 that is left to the client."""
    secret = "s" * 32
    coscribe = Coscribe(Settings(folder=tmp_path, token_secret=secret), storage=MemoryStorage())
    asked: list[dict[str, object]] = []
    async with coscribe.running():
        for spoken in ([1], [1, 2], [3, 2]):
            wire = Wire()
            connection = coscribe.gateway.open(wire)
            hello = {"type": "hello", "protocol": spoken, "token": make_token(secret.encode(), "ann", "editor", 60)}
            for message in (hello, {"type": "join", "fileId": "notes"}):
                wire.told.clear()
                connection.receive(json.dumps(message).encode())
                await wire.told.wait()
            session = coscribe.collaboration.router.sessions["notes"]
            session.lose(CoscribeError(Code.MOVED))
            coscribe.collaboration.router.drop(session)
            asked.append(json.loads(wire.frames[-1]))
            coscribe.gateway.lost(connection)
    assert asked[0] == {"type": "rejoin", "fileId": "notes", "reason": "moved"}
    for each in asked[1:]:
        assert each == asked[0] | {"retryAfter": each["retryAfter"]}
        assert each["retryAfter"] in range(10)
