"""People and tools at once, at random: in the end disk and engine are the same, and every token that was typed is
there, or in the trash, or was deleted by somebody who had seen it.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from coscribe.core.errors import CoscribeError
from tests.working_tree.bench import ANN, WS, Workbench, workbench

SEEDS = int(os.environ.get("COSCRIBE_SEEDS", "12"))
FIRST = int(os.environ.get("COSCRIBE_SEED", "1"))
STEPS = 40

TOKEN = re.compile(r"<\d+>")

NAMES = ("a", "b", "c.txt", "d.txt", "e.py")


class World:
    def __init__(self, bench: Workbench, random_: random.Random) -> None:
        self.bench = bench
        self.random = random_
        self.number = 0
        self.tokens: set[str] = set()
        self.of_tools: set[str] = set()
        self.story: list[str] = []

    def token(self) -> str:
        self.number += 1
        token = f"<{self.number}>"
        self.tokens.add(token)
        return token

    # ---- people

    async def person_edits(self) -> None:
        files = [path for path in await self.bench.paths() if not path.endswith("/")]
        if files:
            path = self.random.choice(files)
            text = await self.bench.text(path)
            at = self.place_in(text)
            token = self.token()
            self.story.append(f"person {path} {token}")
            try:
                await self.bench.insert(path, at, token)
            except CoscribeError:
                self.tokens.discard(token)
                raise

    async def person_makes(self) -> None:
        path = self.new_path([path for path in await self.bench.paths() if path.endswith("/")])
        self.story.append(f"person makes {path}")
        if self.random.random() < 0.3:
            await self.bench.folders(path)
        else:
            before = set(self.tokens)
            try:
                await self.bench.write(path, self.lines())
            except CoscribeError:
                self.tokens = before
                raise

    async def person_moves(self) -> None:
        paths = await self.bench.paths()
        if paths:
            source = self.random.choice(paths).rstrip("/")
            target = self.new_path([path for path in paths if path.endswith("/")])
            self.story.append(f"person moves {source} {target}")
            await self.bench.files.rename(ANN, WS, source, target, self.bench.series())

    async def person_deletes(self) -> None:
        paths = await self.bench.paths()
        if paths:
            path = self.random.choice(paths).rstrip("/")
            self.story.append(f"person deletes {path}")
            await self.bench.files.delete(ANN, WS, path, self.bench.series())

    # ---- tools

    async def tool_edits(self) -> None:
        files = [path for path in self.bench.on_disk() if not path.endswith("/")]
        if files:
            path = self.bench.path / self.random.choice(files)
            text, before = path.read_text(), self.known(path)
            if self.random.random() < 0.3:
                await self.anything()  # between its reading and its writing
                if self.known(path) != before:
                    return  # it is another file by now, of which the tool knows nothing
            at = self.place_in(text)
            token = self.token()
            self.of_tools.add(token)
            self.story.append(f"tool {path.name} {token}")
            if path.parent.is_dir() and (path.exists() or self.random.random() < 0.5):
                self.put(path, text[:at] + token + text[at:])
            else:
                self.tokens.discard(token)

    async def tool_makes(self) -> None:
        path = self.new_path([path for path in self.bench.on_disk() if path.endswith("/")])
        self.story.append(f"tool makes {path}")
        if not (self.bench.path / path).exists() and (self.bench.path / path).parent.is_dir():
            if self.random.random() < 0.3:
                (self.bench.path / path).mkdir()
            else:
                text = self.lines()
                self.of_tools |= set(TOKEN.findall(text))
                (self.bench.path / path).write_text(text)

    async def tool_moves(self) -> None:
        paths = self.bench.on_disk()
        if paths:
            source, target = self.random.choice(paths), self.new_path([path for path in paths if path.endswith("/")])
            self.story.append(f"tool moves {source} {target}")
            if not (self.bench.path / target).exists() and not f"{target}/".startswith(f"{source.rstrip('/')}/"):
                (self.bench.path / source).rename(self.bench.path / target)

    async def passes(self) -> None:
        self.story.append("pass")
        await self.bench.tree.pass_()

    async def restarts(self) -> None:
        self.story.append("restart")
        await self.bench.tree.close()
        self.bench.open()

    async def anything(self) -> None:
        step: Callable[[], Coroutine[Any, Any, None]] = self.random.choice(
            [
                self.person_edits,
                self.person_edits,
                self.person_makes,
                self.person_moves,
                self.tool_edits,
                self.tool_edits,
                self.tool_makes,
                self.tool_moves,
                self.person_deletes,
                self.passes,
                self.passes,
                self.passes,
                self.restarts,
            ]
        )
        try:
            await step()
        except CoscribeError as error:
            self.story.append(f"  {error}")

    # ---- steps

    def lines(self) -> str:
        return "".join(f"line {self.token()}\n" for _ in range(self.random.randrange(1, 5)))

    def new_path(self, folders: list[str]) -> str:
        return self.random.choice(["", *folders]) + self.random.choice(NAMES)

    def place_in(self, text: str) -> int:
        at = self.random.randrange(len(text) + 1)
        while at and text.rfind("<", 0, at) > text.rfind(">", 0, at):
            at -= 1
        return at

    def put(self, path: Path, text: str) -> None:
        """What one tool overwrites of another, nobody else can know of."""
        if path.exists():
            gone = {token for token in TOKEN.findall(path.read_text()) if token not in text}
            self.tokens -= gone & self.of_tools
        if self.random.random() < 0.5:
            path.write_text(text)
        else:
            new = path.with_name(".new")
            new.write_text(text)
            new.rename(path)

    def known(self, path: Path) -> str:
        """The id of what is recorded at a path."""
        names = os.fsencode(path.relative_to(self.bench.path)).split(b"/")
        return self.bench.tree._taker._known(tuple(names))

    async def everything(self) -> str:
        """All texts, those in the trash, too."""
        session = await self.bench.server.collaboration.router.session(WS)
        assert session.tree is not None
        texts: list[str] = []
        for file_id in session.tree.keys:
            if session.tree.state.tree.state(file_id).kind == "text":
                file = await self.bench.server.collaboration.router.load(session, file_id)
                texts.append(str(file.state.content))
        return "\n".join(texts)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
async def test_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    async with workbench(tmp_path) as bench:
        world = World(bench, random.Random(seed))
        try:
            for _ in range(STEPS):
                await world.anything()
            await bench.settle()
            await bench.same()
            everything = await world.everything()
            assert [token for token in sorted(world.tokens) if token not in everything] == []
        except BaseException:
            print(f"COSCRIBE_SEED={seed} COSCRIBE_SEEDS=1", *world.story, *bench.tree.notices, sep="\n")
            raise
