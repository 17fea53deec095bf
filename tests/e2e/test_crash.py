"""20 people type, the server is killed again and again: nothing acknowledged or shown is ever lost."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.crowd import Crowd, check
from tests.e2e.server_process import ServerProcess

CLIENTS = 20
KILLS = 50


def seeded() -> random.Random:
    """A generator whose seed is printed; COSCRIBE_SEED replays it."""
    seed = int(os.environ.get("COSCRIBE_SEED", random.randrange(2**32)))
    print(f"replay with: COSCRIBE_SEED={seed} pytest {os.environ.get('PYTEST_CURRENT_TEST', '').split(' ')[0]}")
    return random.Random(seed)


@pytest.mark.slow
async def test_killed_at_fifty_random_moments(tmp_path: Path) -> None:
    rng = seeded()
    server = ServerProcess(tmp_path / "data")
    server.start()
    crowd = Crowd(server.url, server.token, CLIENTS, rng, tmp_path / "pending")
    try:
        await crowd.start()
        for kill in range(KILLS):
            print("kill", kill, len(crowd.witnessed), flush=True)
            await crowd.acknowledged(rng.randint(1, 400))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await crowd.settle()
        check(crowd, server.folder / "coscribe.db")
        assert not any((tmp_path / "pending").iterdir())
    finally:
        await crowd.close()
        server.kill()
    print(f"{len(crowd.witnessed)} operations over {KILLS} kills")
    verified = subprocess.run([sys.executable, "-m", "coscribe", "verify", "--data", str(server.folder)], check=False)
    assert verified.returncode == 0
