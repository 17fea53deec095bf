"""A server in small that is killed: an engine on SQLite, a working tree that runs, and people who type.

    python -m tests.working_tree.victim FOLDER

For each line of its input, a number, it forks a process that works until it is killed, and prints its pid. What was
acknowledged to people is written to FOLDER/told, one token a line, as soon as it is. It is a process of its own that
forks, and has no threads then.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from pathlib import Path

from coscribe.access.ids import now
from coscribe.core.document_state import Limits
from coscribe.core.errors import CoscribeError
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.file_system import FileSystem
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import RoleOfToken
from coscribe.persistence.blobs import FolderBlobs
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol import messages
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.working_tree import WorkingTree
from tests.working_tree.bench import ANN, WS

FILES = 6


class Victim:
    """An engine and a working tree in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.storage = SqliteStorage(folder / "coscribe.db", threading.Lock())
        self.collaboration = Collaboration(
            self.storage,
            self.storage,
            RoleOfToken(),
            limits=Limits(),
            policy=SnapshotPolicy(operations=20),
            max_backlog=1_000,
            clock=now,
            now=time.monotonic,
            salts=lambda count: [os.urandom(16) for _ in range(count)],
        )
        blobs = Blobs(FolderBlobs(folder / "blobs"), self.storage.is_used, 1_000_000)
        self.files = FileSystem(self.collaboration, blobs)
        self._name, self._number = name, 0
        self.engine = Engine(self.collaboration, self.storage, self.storage, blobs, WS)
        self.tree = WorkingTree(folder / "trees", self.engine, self.series, time.time)

    async def close(self) -> None:
        await self.tree.close()
        await self.collaboration.drain()
        await self.storage.close()

    def series(self) -> str:
        self._number += 1
        return f"{self._name}-{self._number}"

    async def type(self, random_: random.Random, token: str) -> None:
        """A person writes a token somewhere, or moves a file; returns once it is acknowledged."""
        entries = (await self.files.list(ANN, WS, "")).entries
        texts = [entry for entry in entries if entry.kind == "text"]
        if len(texts) < FILES:
            await self.files.create(ANN, WS, f"made{self.series()}.txt", f"{token}\n", self.series())
            return
        entry = random_.choice(texts)
        at = await self.collaboration.text(ANN, entry.file_id)
        place = at.text.find("\n", random_.randrange(len(at.text) + 1)) + 1
        where = entry.file_id, f"{self.series()}:1", ANN.user_id, at.version
        await self.collaboration.edit(ANN, messages.Operation(*where, "insert", place, f"{token}\n"))
        if random_.random() < 0.05:
            await self.files.rename(ANN, WS, entry.path, f"moved{self.series()}.txt", self.series())


async def work(folder: Path, seed: int) -> None:
    victim, random_ = Victim(folder, f"r{seed}"), random.Random(seed)
    asyncio.get_running_loop().create_task(victim.tree.run())
    told = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    while True:
        number += 1
        token = f"<p{seed}.{number}>"
        try:
            await victim.type(random_, token)
        except CoscribeError:
            continue
        os.write(told, f"{token}\n".encode())
        await asyncio.sleep(random_.random() * 0.02)


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(work(folder, int(line)))
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
