"""A workspace in an engine, and its working tree in a folder: what the tests here work with."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from coscribe.documents.blobs import Blobs
from coscribe.documents.file_system import FileSystem, NewFile
from coscribe.documents.ports import Identity
from coscribe.persistence.blobs import MemoryBlobs
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.working_tree import WorkingTree
from tests.contracts.conversations import Server

WS = "project"
ANN = Identity("ann", "Ann", "#111111", "owner", account="ann")


class Workbench:
    """``root``: where the working tree is. The clock is the real one, or stands ``still``, plus ``ahead``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = MemoryStorage()
        self.server = Server(self.storage)
        self.blobs = Blobs(MemoryBlobs(), self.storage.is_used, 100_000_000)
        self.files = FileSystem(self.server.collaboration, self.blobs)
        self.ahead = 0.0
        self.still: float | None = None
        self.number = 0
        self.tree = self.open()

    def open(self) -> WorkingTree:
        engine = Engine(self.server.collaboration, self.storage, self.storage, self.blobs, WS)
        self.tree = WorkingTree(self.root, engine, self.series, self.clock)
        return self.tree

    def clock(self) -> float:
        return (time.time() if self.still is None else self.still) + self.ahead

    def series(self) -> str:
        self.number += 1
        return f"d{self.number}"

    @property
    def path(self) -> Path:
        return self.root / WS

    async def settle(self) -> None:
        """Passes until there is nothing left to do. Nothing is waited for: what is missing is so for long enough."""
        for _ in range(50):
            if await self.tree.pass_():
                return
            self.ahead += 1.0
        raise AssertionError("it does not come to rest")

    # ---- people

    async def write(self, path: str, text: str) -> None:
        """A new file."""
        await self.files.create(ANN, WS, path, text, self.series())

    async def fill(self, folder: str, files: int) -> None:
        """A new folder with so many files."""
        new = [
            NewFile(f"{folder}/part{number // 100}/{number}.txt", "file", b"%d\n" % number) for number in range(files)
        ]
        await self.files.import_files(ANN, WS, new, self.series())

    async def folders(self, *paths: str) -> None:
        for path in paths:
            await self.files.mkdir(ANN, WS, path, self.series())

    async def text(self, path: str) -> str:
        read = await self.files.read(ANN, WS, path)
        assert read.text is not None
        return read.text.text

    async def type(self, path: str, old: str, new: str) -> None:
        """Somebody replaces a part of a text as it is."""
        read = await self.files.read(ANN, WS, path)
        assert read.text is not None and old in read.text.text
        changed = read.text.text.replace(old, new, 1)
        await self.files.write(ANN, WS, path, changed, read.text.version, self.series())

    async def insert(self, path: str, at: int, text: str) -> None:
        """Somebody types."""
        read = await self.files.read(ANN, WS, path)
        assert read.text is not None
        where = read.entry.file_id, f"{self.series()}:1", ANN.user_id, read.text.version
        await self.server.collaboration.edit(ANN, messages.Operation(*where, "insert", at, text))

    async def id(self, path: str) -> str:
        return (await self.files.stat(ANN, WS, path)).file_id

    async def paths(self, path: str = "") -> list[str]:
        """All that is live in the tree."""
        found: list[str] = []
        for entry in (await self.files.list(ANN, WS, path)).entries:
            found.append(entry.path + ("/" if entry.kind == "directory" else ""))
            if entry.kind == "directory":
                found += await self.paths(entry.path)
        return found

    # ---- the disk

    def on_disk(self) -> list[str]:
        """All that is in the folder, ``.git`` apart."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if name != ".git"]
            inside = os.path.relpath(folder, self.path)
            for name in folders + files:
                path = os.path.normpath(os.path.join(inside, name))
                found.append(path + ("/" if name in folders and not os.path.islink(os.path.join(folder, name)) else ""))
        return sorted(found)

    def run(self, *command: str) -> str:
        """A tool, in the folder."""
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def same(self) -> None:
        """Disk and engine have the same paths and contents."""
        paths = await self.paths()
        assert sorted(paths) == self.on_disk()
        for path in paths:
            if not path.endswith("/"):
                entry = await self.files.stat(ANN, WS, path)
                if entry.kind == "text":
                    assert (self.path / path).read_bytes().replace(b"\r\n", b"\n") == (
                        await self.text(path)
                    ).encode(), path


@asynccontextmanager
async def workbench(root: Path) -> AsyncIterator[Workbench]:
    bench = Workbench(root)
    await bench.storage.create_tree(WS, 1)
    yield bench
    await bench.tree.close()
    bench.server.log.release()
    await bench.server.stop()
