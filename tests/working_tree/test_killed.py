"""The process is killed at any moment of taking in and putting out, while tools write: nothing is lost on either side.

``COSCRIBE_ROUNDS=200`` for as many as are claimed.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.migrated import fresh_database
from tests.working_tree.bench import WS
from tests.working_tree.victim import Victim

pytestmark = pytest.mark.slow  # processes of their own

ROUNDS = int(os.environ.get("COSCRIBE_ROUNDS", "8"))
SEED = int(os.environ.get("COSCRIBE_SEED", "1"))
ROOT = Path(__file__).parents[2]
TOKEN = re.compile(r"<[pt][\d.]+>")


class Tools:
    """What tools do in the folder, from outside. ``written``: tokens that are on the disk, or were when it was read."""

    def __init__(self, path: Path, random_: random.Random) -> None:
        self.path = path
        self.random = random_
        self.number = 0
        self.written: set[str] = set()

    def act(self) -> None:
        files = [path for path in self.path.glob("**/*") if path.is_file() and not path.name.startswith(".")]
        choice = self.random.random()
        try:
            if choice < 0.1 or not files:
                self._make()
            elif choice < 0.2:
                source = self.random.choice(files)
                source.rename(source.with_name(f"tool{self._next()}.txt"))
            else:
                self._edit(self.random.choice(files))
        except FileNotFoundError:
            pass  # it was moved just now

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _make(self) -> None:
        token = f"<t{self._next()}>"
        (self.path / f"new{self.number}.txt").write_text(f"{token}\n")
        self.written.add(token)

    def _edit(self, path: Path) -> None:
        """Reads, and puts what it has made of it in the place of the file, which may be another one by then."""
        text = path.read_text()
        token = f"<t{self._next()}>"
        at = text.find("\n", self.random.randrange(len(text) + 1)) + 1
        new = path.with_name(f".{self.number}.new")
        new.write_text(f"{text[:at]}{token}\n{text[at:]}")
        if self.random.random() < 0.5:
            time.sleep(self.random.random() * 0.02)
        if path.exists():
            new.rename(path)
            self.written.add(token)
        else:
            new.unlink()


async def make(folder: Path) -> None:
    victim = Victim(folder, "first")
    await victim.storage.create_tree(WS, 1)
    await victim.tree.close()
    await victim.storage.close()


async def finish(folder: Path) -> str:
    """Comes to rest, and looks whether both sides are the same. All texts, those in the trash, too."""
    victim = Victim(folder, "last")
    texts: list[str] = []
    try:
        while not await victim.tree.pass_():  # noqa: ASYNC110  (time has to pass)
            await asyncio.sleep(0.1)
        session = await victim.collaboration.router.session(WS)
        assert session.tree is not None
        live: dict[str, str] = {}
        for file_id in session.tree.keys:
            text = str((await victim.collaboration.router.load(session, file_id)).state.content)
            texts.append(text)
            if session.tree.state.tree.is_live(file_id):
                live[session.tree.state.tree.path(file_id)] = text
        on_disk = {path.name: path.read_text() for path in (folder / "trees" / WS).iterdir()}
        assert on_disk == live
        assert victim.tree.notices == []
    finally:
        await victim.tree.close()
        await victim.storage.close()
    return "\n".join(texts)


def test_nothing_is_lost(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    tree = tmp_path / "trees" / WS
    fresh_database(tmp_path / "coscribe.db")
    asyncio.run(make(tmp_path))
    tools = Tools(tree, random_)
    command = [sys.executable, "-m", "tests.working_tree.victim", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None and nursery.stdout is not None
        for number in range(ROUNDS):
            print(SEED * 10_000 + number, file=nursery.stdin, flush=True)
            pid = int(nursery.stdout.readline())
            until = time.monotonic() + 0.2 + random_.random() * 0.8
            while time.monotonic() < until:
                if tree.is_dir():
                    tools.act()
                time.sleep(random_.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            assert nursery.stdout.readline() == "gone\n"
            for _ in range(random_.randrange(3)):
                tools.act()
    told = {line for line in (tmp_path / "told").read_text().splitlines() if TOKEN.fullmatch(line)}
    everything = asyncio.run(finish(tmp_path))
    missing = sorted(token for token in told | tools.written if token not in everything)
    print(f"{len(told)} tokens of people, {len(tools.written)} of tools; COSCRIBE_SEED={SEED} COSCRIBE_ROUNDS={ROUNDS}")
    assert missing == []
