"""A program that writes into the files of a working tree: words of its own, by all the ways that programs write."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.people import Colleague

PACE = 1.0
"""Seconds between two of its writes, about."""


class Tool:
    """Appends to files, writes them anew, and makes new ones. It never deletes anything: a word that it has written
    stays. ``written``: its words, by the file."""

    def __init__(self, name: str, workspace_id: str, folder: Path, names: Sequence[str], rng: random.Random) -> None:
        self.name = name
        self.workspace_id = workspace_id
        self.folder = folder
        self.names = names
        self.written: dict[str, str] = {}
        self._rng = rng
        self._made = 0

    def prepare(self) -> None:
        """The files are there, each with one word."""
        for name in self.names:
            (self.folder / name).write_text(self._word(name))

    async def work(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(0.2, 1.8) * PACE)
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        chance = self._rng.random()
        if chance < 0.1:
            self._made += 1
            name = f"made-{self._made}.md"
            (self.folder / name).write_text(self._word(name))
            return
        name = self._rng.choice(self.names)
        path = self.folder / name
        if chance < 0.55:
            with path.open("a") as file:
                file.write(self._word(name))
            return
        draft = self.folder / f".{name}.{self.name}~"
        draft.write_text(path.read_text() + self._word(name))
        os.replace(draft, path)

    def _word(self, name: str) -> str:
        word = f"[{self.name}.{len(self.written) + 1}{self._rng.choice(('', chr(10)))}]"
        self.written[word] = name
        return word

    def differences(self, finals: Mapping[str, str], colleagues: Sequence[Colleague]) -> list[str]:
        """Where the disk has other files or texts than the people see."""
        found: list[str] = []
        on_disk = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        for colleague in colleagues:
            for document in colleague.open:
                path = colleague.workspace.path(document.file_id)
                if path not in self.names or colleague.workspace.workspace_id != self.workspace_id:
                    continue
                if on_disk.get(path) != finals[document.file_id].encode():
                    found.append(f"{self.folder.name}/{path} on the disk is another text than {document.file_id}")
        return found
