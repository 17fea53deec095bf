"""deploy/compose.yaml, run: people sign up and write through the proxy while everything is restarted, one by one."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

from coscribe.client import Client, ClientSettings, Document
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import Role
from tests.deploy.docker import BASE, ROOT, built, stand_in, unavailable
from tests.e2e.people import People

pytestmark = pytest.mark.slow

SECRET = "ab" * 32
SETTINGS = ClientSettings(backoff=0.05, max_backoff=0.5)
INSTANCES = ("gateway-1", "gateway-2", "core-1", "core-2")


class Stack:
    """All of the compose file, under a name and with a port of its own."""

    def __init__(self, images: dict[str, str]) -> None:
        self._name = f"coscribe-{uuid.uuid4().hex[:8]}"
        self._environment = {
            **os.environ,
            **images,
            "POSTGRES_PASSWORD": "cd" * 16,
            "NATS_PASSWORD": "ef" * 16,
            "COSCRIBE_TOKEN_SECRET": SECRET,
            "LISTEN": "127.0.0.1:0",
            "SUBNET": "172.28.79.0/24",
        }

    def compose(self, *arguments: str) -> str:
        command = ["docker-compose", "--project-name", self._name, "--file", "deploy/compose.yaml", *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert result.returncode == 0, f"{arguments}\n{result.stdout[-2_000:]}\n{result.stderr[-8_000:]}"
        return result.stdout

    def start(self) -> None:
        self.compose("up", "--detach", "--no-build", "--wait")

    def restart(self, instance: str) -> None:
        """As the guide says: stopped in order, another container, ready."""
        self.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--wait", instance)

    def end(self) -> None:
        self.compose("down", "--volumes", "--timeout", "60")

    @property
    def address(self) -> str:
        return self.compose("port", "proxy", "8080").strip()

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    def token(self, user_id: str, role: Role = "editor") -> str:
        return make_token(SECRET.encode(), user_id, role, 86_400)

    def measured(self, instance: str, name: str) -> float:
        """One of its metrics, which nobody is given from outside."""
        program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8777/metrics').read().decode())"
        lines = self.compose("exec", "-T", instance, "python3", "-c", program).splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def stack() -> Iterator[Stack]:
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker-compose for this platform")
    images = {"IMAGE": built()}
    if BASE:
        images |= {f"{name.upper()}_IMAGE": stand_in(name) for name in ("postgres", "nats", "proxy")}
    stack = Stack(images)
    try:
        stack.start()
        yield stack
    except AssertionError:
        print(stack.compose("logs", "--no-color", "--tail", "60"))
        raise
    finally:
        stack.end()


class Writer:
    """Appends a word after the other, each when the one before is on disk. ``slowest``: seconds, the longest that one
    has taken."""

    def __init__(self, document: Document) -> None:
        self.written = ""
        self.slowest = 0.0
        self._document = document
        self._ended = False

    async def run(self) -> None:
        for number in itertools.count():
            if self._ended:
                return
            began = time.monotonic()
            self._document.insert(len(self._document.text), f"{number} ")
            self.written += f"{number} "
            await self._document.synced()
            self.slowest = max(self.slowest, time.monotonic() - began)

    def end(self) -> None:
        self._ended = True


async def test_a_stack_serves_while_it_is_restarted(stack: Stack) -> None:
    people = People(stack)
    try:
        await _restarted_while_somebody_writes(stack, people)
    finally:
        await people.close()


async def _restarted_while_somebody_writes(stack: Stack, people: People) -> None:
    ada = await people.administrator()
    document = (await ada.done("POST", "/documents", {"name": "Notes"}))["documentId"]
    assert (await people.client.get("/metrics")).status_code == 404
    assert "<html" in (await people.client.get("/")).text
    url = f"ws://{stack.address}/ws"
    async with Client(url, ada.token, settings=SETTINGS) as one, Client(url, ada.token, settings=SETTINGS) as other:
        ours, theirs = await one.open(document), await other.open(document)
        held = [await asyncio.to_thread(stack.measured, name, "coscribe_connections") for name in INSTANCES[:2]]
        assert held == [1, 1], "the proxy sends one to each"
        writer = Writer(ours)
        writing = asyncio.create_task(writer.run())
        for instance in INSTANCES:
            await asyncio.to_thread(stack.restart, instance)
            print(f"{instance} restarted: no word waited for longer than {writer.slowest:.1f} s")
        writer.end()
        await writing
        assert ours.text == writer.written, "each word once, in order"
        async with asyncio.timeout(60), theirs.changes() as changes:
            if theirs.text != ours.text:
                await anext(change async for change in changes if theirs.text == ours.text)
    answer = await ada.done("GET", f"/documents/{document}/content")
    assert answer["text"] == writer.written
    audited = json.loads(stack.compose("exec", "-T", "core-1", "coscribe", "verify", "--json"))
    assert audited["clean"]
    assert [file["version"] for file in audited["files"]] == [writer.written.count(" ")]
