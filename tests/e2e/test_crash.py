"""20 people type, the server is killed again and again: nothing acknowledged or shown is ever lost."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.crew import left_in
from tests.e2e.crowd import Crowd, check
from tests.e2e.server_process import ServerProcess, free_port
from tests.power_loss.harness import build_shim, environment, reconstruct, unavailable

CLIENTS = 20
KILLS = 50
POWER_CUTS = 12


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
        for _ in range(KILLS):
            await crowd.acknowledged(rng.randint(1, 400))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await crowd.settle()
        check(crowd, server.folder / "coscribe.db")
        assert left_in(tmp_path / "pending") == []
    finally:
        await crowd.close()
        server.kill()
    print(f"{len(crowd.witnessed)} operations over {KILLS} kills")
    assert_verified(server.folder)


@pytest.mark.slow
@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
@pytest.mark.parametrize("kept", [0.0, 0.5], ids=["unsynced is lost", "unsynced is torn"])
async def test_power_fails_at_random_moments(tmp_path: Path, kept: float) -> None:
    """The same, but what was not synced is thrown away (or half of it kept, torn at sector borders)."""
    rng = seeded()
    shim = build_shim(tmp_path)
    image: Path | None = None
    port = free_port()
    crowd: Crowd | None = None
    dropped = 0
    for cut in range(POWER_CUTS + 1):
        folder, journal = tmp_path / f"data{cut}", tmp_path / f"journal{cut}"
        folder.mkdir() if image is None else shutil.copytree(image, folder)
        server = ServerProcess(folder, port=port, environment=environment(shim, folder, journal))
        await asyncio.to_thread(server.start)
        try:
            if crowd is None:
                crowd = Crowd(server.url, server.token, CLIENTS // 2, rng, tmp_path / "pending")
                await crowd.start()
            if cut < POWER_CUTS:
                await crowd.acknowledged(rng.randint(1, 300))
            else:
                await crowd.settle()
        finally:
            await asyncio.to_thread(server.kill)
        previous, image = image, tmp_path / f"image{cut}"
        report = reconstruct(journal, previous, image, rng, keep_unsynced=kept)
        dropped += report.bytes_dropped
    assert crowd is not None
    assert image is not None
    await crowd.close()
    print(f"{len(crowd.witnessed)} operations over {POWER_CUTS} power cuts, {dropped} unsynced bytes thrown away")
    assert_verified(image)
    check(crowd, image / "coscribe.db")


@pytest.mark.slow
@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
async def test_a_disk_that_lies_is_found_out(tmp_path: Path) -> None:
    """The test above can fail: on a disk whose fsync does nothing, what was shown is missing afterwards."""
    rng = seeded()
    folder, journal = tmp_path / "data", tmp_path / "journal"
    folder.mkdir()
    server = ServerProcess(folder, environment=environment(build_shim(tmp_path), folder, journal, lie=True))
    server.start()
    crowd = Crowd(server.url, server.token, 3, rng, tmp_path / "pending")
    try:
        await crowd.start()
        await crowd.acknowledged(50)
    finally:
        server.kill()
        await crowd.close()
    reconstruct(journal, None, tmp_path / "image", rng)
    assert len(crowd.witnessed) >= 50
    assert not (tmp_path / "image" / "coscribe.db").exists()


def assert_verified(folder: Path) -> None:
    verified = subprocess.run([sys.executable, "-m", "coscribe", "verify", "--data", str(folder)], check=False)
    assert verified.returncode == 0
