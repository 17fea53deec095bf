"""A recorded history sent again with the same ids: nothing changes, every duplicate gets its original place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.data import load_trace
from tests.e2e.crowd import logged
from tests.e2e.server_process import ServerProcess

FILE = "twice"
CHAIN = 64

Places = dict[str, tuple[int, int]]


def chains(trace: Any) -> list[tuple[dict[str, Any], int]]:
    """The trace as chain messages, each with the version it is based on."""
    elements: list[dict[str, Any]] = []
    for transaction in trace["txns"]:
        for position, deleted, inserted in transaction["patches"]:
            if deleted and inserted:
                form: dict[str, Any] = {"operationType": "replace", "payload": {"delete": deleted, "insert": inserted}}
            else:
                form = {"operationType": "delete" if deleted else "insert", "payload": deleted or inserted}
            elements.append({"operationId": f"again:{len(elements) + 1}", "position": position, **form})
    messages = []
    for start in range(0, len(elements), CHAIN):
        operations = elements[start : start + CHAIN]
        message = {"type": "chain", "fileId": FILE, "userId": "ann", "baseVersion": start, "operations": operations}
        messages.append((message, len(operations)))
    return messages


async def opened(socket: ClientConnection, token: str) -> str:
    """Joins and goes live; returns the text."""
    await socket.send(json.dumps({"type": "hello", "protocol": [1], "token": token}))
    await socket.send(json.dumps({"type": "join", "fileId": FILE}))
    while True:
        message = json.loads(await socket.recv())
        if message["type"] == "snapshot":
            content: str = message["content"]
            sequence = message["snapshotSequenceId"]
            await socket.send(json.dumps({"type": "snapshotApplied", "fileId": FILE, "snapshotSequenceId": sequence}))
        elif message["type"] == "live":
            return content


async def sent(socket: ClientConnection, trace: Any, *, twice_at_once: bool = False) -> tuple[Places, set[str]]:
    """Sends all chains, each once its forerunner is acknowledged; returns the places, and how they were told."""
    places: Places = {}
    told: set[str] = set()
    for message, count in chains(trace):
        for _ in range(1 + twice_at_once):
            await socket.send(json.dumps(message))
        waiting = count * (1 + twice_at_once)
        while waiting:
            answer = json.loads(await socket.recv())
            assert answer["type"] in ("committed", "ack"), answer
            told.add(answer["type"])
            for operation in answer["operations"]:
                place = operation["serverSequenceId"], operation["documentVersion"]
                assert places.setdefault(operation["operationId"], place) == place
                waiting -= 1
    return places, told


@pytest.mark.slow
async def test_a_trace_sent_again_changes_nothing(tmp_path: Path) -> None:
    trace = load_trace("sveltecomponent")
    server = ServerProcess(tmp_path)
    server.start()
    try:
        async with connect(server.url, max_size=None) as socket:
            await opened(socket, server.token("ann"))
            first, told = await sent(socket, trace, twice_at_once=True)  # the second while the first is being committed
            assert told == {"committed", "ack"}
            assert await sent(socket, trace) == (first, {"ack"})
        async with connect(server.url, max_size=None) as socket:
            assert await opened(socket, server.token("ann")) == trace["endContent"]
            assert await sent(socket, trace) == (first, {"ack"})
        server.kill()
        server.start()
        async with connect(server.url, max_size=None) as socket:
            await opened(socket, server.token("ann"))
            assert await sent(socket, trace) == (first, {"ack"})
            assert sorted(first.values()) == [(n, n) for n in range(1, len(first) + 1)]
        async with connect(server.url, max_size=None) as socket:
            assert await opened(socket, server.token("ann")) == trace["endContent"]
    finally:
        server.kill()
    assert logged(tmp_path / "coscribe.db") == [f"again:{n}" for n in range(1, len(first) + 1)]
    print(f"{len(first)} operations sent five times: each applied once")
