"""A login storm: what signing in by hundreds does to those who are typing.

Two crowds on one server. Twenty people type, five words a second each, and time their acknowledgements. Then, from one
address (a school behind one NAT), sign-ins are offered at a fixed pace whether or not the ones before were answered.
First two are under way all the time, which measures how many can be hashed; then 200 a second are offered. Those who
sign in do so in a process of their own, so that what is timed is the server and not the crowd.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from coscribe.client import Client, Document
from tests.e2e.people import PASSWORD, People
from tests.e2e.server_process import ServerProcess

TYPISTS = 20
WORDS_PER_SECOND = 5
PUPILS = 40
OFFERED = 200
CONNECTIONS = 150


class Storm(NamedTuple):
    """Latencies are seconds. ``capacity`` and ``succeeded`` are sign-ins a second; ``refused_p99`` is of the 429s."""

    capacity: float
    succeeded: float
    offered: float
    answers: dict[int, int]
    refused_p99: float
    typing_p99_before: float
    typing_p99_during: float


class Typing:
    """People who type and time it."""

    def __init__(self) -> None:
        self.latencies: list[float] = []

    def taken(self) -> list[float]:
        """The latencies since the last look."""
        taken, self.latencies = self.latencies, []
        return taken

    async def type(self, document: Document, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(rng.uniform(0.5, 1.5) / WORDS_PER_SECOND)
            started = time.perf_counter()
            document.insert(0, "word ")
            await document.synced()
            self.latencies.append(time.perf_counter() - started)


class Door:
    """Sign-ins over connections that are kept open: a request is some bytes, so that asking costs little."""

    def __init__(self, port: int, handles: list[str]) -> None:
        self._port = port
        self._handles = handles
        self._next = 0
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: Counter[int] = Counter()
        self.refused: list[float] = []

    async def sign_in(self) -> None:
        """One sign-in; what came of it is counted."""
        handle = self._handles[self._next % len(self._handles)]
        self._next += 1
        body = json.dumps({"name": handle, "password": PASSWORD}).encode()
        head = f"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        started = time.perf_counter()
        while True:
            connection = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = connection
            writer.write(request)
            try:
                answer = await reader.readuntil(b"\r\n\r\n")
                break
            except (asyncio.IncompleteReadError, ConnectionError):  # closed while it was idle
                writer.close()
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        status = int(answer.split(b" ", 2)[1])
        self.answers[status] += 1
        if status == 429:
            self.refused.append(time.perf_counter() - started)
        self._free.append(connection)

    async def offer(self, per_second: float, seconds: float) -> float:
        """Sign-ins at a pace; returns how many a second got in."""
        self.answers.clear()
        self.refused.clear()
        started = time.perf_counter()
        asked = []
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            asked.append(asyncio.create_task(self.sign_in()))
        within = self.answers[201] / (time.perf_counter() - started)
        await asyncio.gather(*asked)
        return within

    async def keep_busy(self, at_once: int, seconds: float) -> float:
        """So many sign-ins under way all the time; returns how many a second got in: what can be hashed."""
        self.answers.clear()
        until = time.perf_counter() + seconds

        async def one_after_the_other() -> None:
            while time.perf_counter() < until:
                await self.sign_in()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        return self.answers[201] / seconds

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def storm(server: ServerProcess, seconds: float) -> Storm:
    """Each of the three phases lasts so long."""
    people = People(server)
    typing = Typing()
    clients: list[Client] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        owner = await people.administrator()
        made = await owner.done("POST", "/documents", {"name": "Storm"})
        pupils = [await people.sign_up(f"pupil{number}") for number in range(PUPILS)]
        handles = [pupil.handle for pupil in pupils]
        rng = random.Random(1)
        for _ in range(TYPISTS):
            client = Client(server.url, owner.token)
            client.start()
            clients.append(client)
            tasks.append(asyncio.create_task(typing.type(await client.open(made["documentId"]), rng)))
        await asyncio.sleep(1.0)  # people have begun
        typing.taken()
        await asyncio.sleep(seconds)
        before = typing.taken()
        capacity, _, _ = await crowd("busy", server.port, seconds, handles)
        typing.taken()
        succeeded, answers, refused_p99 = await crowd("offer", server.port, seconds, handles)
        during = typing.taken()
        return Storm(capacity, succeeded, OFFERED, answers, refused_p99, p99(before), p99(during))
    finally:
        for task in tasks:
            task.cancel()
        for client in clients:
            with suppress(Exception):
                await client.close()
        await people.close()


def p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[int(0.99 * len(ordered))] if ordered else 0.0


async def crowd(how: str, port: int, seconds: float, handles: list[str]) -> tuple[float, dict[int, int], float]:
    """Sign-ins from a process of their own: successes a second, answers by status, p99 of the refusals."""
    command = ["-m", "tests.e2e.storm", how, str(port), str(seconds), *handles]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    told = json.loads(output)
    return told["succeeded"], {int(status): count for status, count in told["answers"].items()}, told["refused"]


async def main(how: str, port: str, seconds: str, *handles: str) -> None:
    door = Door(int(port), list(handles))
    if how == "busy":
        succeeded = await door.keep_busy(2, float(seconds))
    else:
        succeeded = await door.offer(OFFERED, float(seconds))
    door.close()
    print(json.dumps({"succeeded": succeeded, "answers": door.answers, "refused": p99(door.refused)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
