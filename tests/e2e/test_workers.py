"""One command, several workers on a PostgreSQL: people type while workers are killed, and replaced one by one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from coscribe.client import Client
from tests.client.network import Alphabet
from tests.e2e.server_process import ServerProcess
from tests.e2e.test_crash import seeded
from tests.e2e.test_restart import FOREVER, Typist

pytestmark = pytest.mark.slow

WORKERS = 2
DOCUMENTS = 6
PEOPLE_EACH = 2


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    children = psutil.Process(server.pid).children()
    return [child for child in children if "coscribe" in child.cmdline()]


async def test_people_type_while_workers_come_and_go(tmp_path: Path, postgres: Callable[[], str]) -> None:
    rng, url = seeded(), postgres()
    server = ServerProcess(
        tmp_path / "data",
        environment={"COSCRIBE_DATABASE_URL": url},
        printed=tmp_path / "printed",
        options=["--workers", str(WORKERS)],
    )
    await asyncio.to_thread(server.start)
    clients = [Client(server.url, server.token(f"u{number}")) for number in range(DOCUMENTS * PEOPLE_EACH)]
    typists: list[Typist] = []

    async def all_go_on() -> None:
        """Each document grows by some keystrokes of each of its people."""
        await asyncio.gather(*(typist.document.reached(typist.document.sequence + 6) for typist in typists))

    try:
        async with asyncio.timeout(FOREVER):
            alphabets = [Alphabet() for _ in range(DOCUMENTS)]
            for number, client in enumerate(clients):
                client.start()
                at = number % DOCUMENTS
                typists.append(Typist(client, await client.open(f"notes-{at}"), alphabets[at], rng))
            await all_go_on()
            before = {worker.pid for worker in workers_of(server)}
            assert len(before) == WORKERS
            rng.choice(workers_of(server)).kill()
            await all_go_on()
            while len(now := {worker.pid for worker in workers_of(server)}) < WORKERS or now == before:
                await all_go_on()
            server.renew()
            while {worker.pid for worker in workers_of(server)} & now:
                await all_go_on()
            await all_go_on()
            for typist in typists:
                await typist.stop()
                await typist.document.synced()
            for at in range(DOCUMENTS):
                mine = typists[at::DOCUMENTS]
                last = max(typist.document.sequence for typist in mine)
                for typist in mine:
                    await typist.document.reached(last)
    finally:
        for client in clients:
            await client.close()
        code = await asyncio.to_thread(server.stop)
    assert code == 0, (tmp_path / "printed").read_text()[-5_000:]
    for at in range(DOCUMENTS):
        mine = typists[at::DOCUMENTS]
        assert len({typist.document.text for typist in mine}) == 1
        typed = Counter(letter for typist in mine for letter in typist.typed)
        assert Counter(mine[0].document.text) == typed
    assert [typist.document.patches for typist in typists if typist.document.patches] == []
    verified = [sys.executable, "-m", "coscribe", "verify", "--data", str(tmp_path / "data"), "--database", url]
    assert subprocess.run(verified, check=False).returncode == 0
