"""A socket on a town's gateway, without a network in between."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from coscribe.gateway.connection import Connection
from tests.api.town import Town


class Socket:
    """`Transport`: keeps what comes, and says when something has."""

    def __init__(self, town: Town) -> None:
        self.heard: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._came = asyncio.Event()
        self._connection: Connection = town.coscribe.gateway.open(self)

    def send(self, frame: bytes) -> None:
        self.heard.append(json.loads(frame))
        self._came.set()

    def ping(self) -> None:
        """Nothing listens."""

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self._came.set()

    def say(self, **message: Any) -> None:
        self._connection.receive(json.dumps(message).encode())

    async def hear(self, kind: str) -> dict[str, Any]:
        """The newest message of that type, once there is one."""
        while True:
            found = [message for message in self.heard if message["type"] == kind]
            if found:
                return found[-1]
            assert self.closed is None, self.heard
            self._came.clear()
            await self._came.wait()

    async def hello(self, token: str) -> dict[str, Any]:
        self.say(type="hello", protocol=[1], token=token)
        return await self.hear("welcome")

    async def join(self, file_id: str) -> None:
        self.say(type="join", fileId=file_id)
        await self.adopt(file_id, await self.hear("snapshot"))

    async def adopt(self, file_id: str, snapshot: dict[str, Any]) -> None:
        """Takes a snapshot and goes live."""
        self.say(type="snapshotApplied", fileId=file_id, snapshotSequenceId=snapshot["snapshotSequenceId"])
        await self.hear("live")
