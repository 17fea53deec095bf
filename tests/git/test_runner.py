"""Limits of a command."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from coscribe.core.errors import CoscribeError
from coscribe.git.runner import run

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


async def test_at_the_time_the_whole_group_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    alias = f"alias.wait=!sleep 1000 & echo $! > {note}; wait"
    with pytest.raises(CoscribeError, match="took more than"):
        await run(["-c", alias, "wait"], folder=tmp_path, environment=ENVIRONMENT, seconds=1.0)
    pid = int(note.read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "it goes on"


async def test_output_has_a_bound(tmp_path: Path) -> None:
    with pytest.raises(CoscribeError, match="printed more than"):
        await run(["-c", "alias.yes=!yes", "yes"], folder=tmp_path, environment=ENVIRONMENT, most=100_000)


async def test_what_it_says_is_told(tmp_path: Path) -> None:
    done = await run(["hash-object", "--stdin"], folder=tmp_path, environment=ENVIRONMENT, given=b"x" * 1_000_000)
    assert (done.code, len(done.output), done.complaint) == (0, 41, "")
    assert (await run(["nothing"], folder=tmp_path, environment=ENVIRONMENT)).code == 1
