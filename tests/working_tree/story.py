"""A real repository, ten people who type in twenty of its files, and a shell that does what shells do.

    python -m tests.working_tree.story --seconds 600 --seed 1

A server in a process of its own keeps a workspace as files. The sources of some installed packages (over 1,000 files)
are copied into its folder and committed to git there. Then ten clients type unique tokens over real sockets, while a
shell runs ``sed -i``, ``git commit`` and ``git checkout`` between two branches, a formatter over everything, and
``rm -rf`` of a folder. In the end disk, database and all replicas are the same; nobody was disconnected; each token is
in a text, or was deleted by an entry of the log that came from the disk while, or just after, one of the shell's
actions was going on. What it takes from an operation to the disk, and from a write on the disk to a client, is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from coscribe.client.client import Client, ClientSettings
from coscribe.client.document import Document
from coscribe.client.workspace import Workspace
from coscribe.core.text_buffer import TextBuffer
from coscribe.model import decode_payload
from coscribe.persistence.stored import stored_in
from tests.e2e.people import Account, People
from tests.e2e.server_process import ServerProcess

PACKAGES = ("mypy", "pip")
PEOPLE = 10
FILES = 20
PACE = 0.25
"""Seconds between two tokens of one person, about."""

TOKEN = re.compile(r"«\d+\.\d+»")
DELETE = ("git", "rm")
"""Actions that may delete what was typed: the others keep it."""

GRACE = 30.0
"""Seconds after an action of the shell within which the server may learn of it."""


class Action(NamedTuple):
    name: str
    begun: float
    ended: float


class Figures(NamedTuple):
    """Seconds; and counts by what was done."""

    to_disk: list[float]
    to_client: list[float]
    done: Counter[str]
    tokens: int
    deleted: int
    files: int


class Shell:
    """Programs in the folder. A formatter is one that rewrites every file a little."""

    def __init__(self, folder: Path, random_: random.Random, *, gentle: bool) -> None:
        self.folder = folder
        self.gentle = gentle
        self.random = random_
        self.actions: list[Action] = []

    async def run(self, name: str, command: str) -> int:
        begun = time.time()
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        shell = await asyncio.create_subprocess_shell(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        code = await shell.wait()
        self.actions.append(Action(name, begun, time.time()))
        return code

    async def prepare(self) -> None:
        """A repository with two branches that differ in some of the files."""
        who = "-c user.name=shell -c user.email=shell@example.org"
        await self.run("import", f"git init -q -b one . && git add -A && git {who} commit -qm start && git branch two")
        change = "find . -name '*.py' -path '*/t*' | head -n 60 | xargs sed -i '1i # on branch two'"
        await self.run("import", f"git checkout -q two && {change} && git {who} commit -qam two && git checkout -q one")

    async def anything(self) -> None:
        who = "-c user.name=shell -c user.email=shell@example.org"
        choice = self.random.random()
        if self.gentle:
            choice = choice * 0.4 if choice < 0.6 else 0.8
        if choice < 0.4:
            word = self.random.choice(["import", "return", "self", "None"])
            await self.run("sed", f"find . -name '*.py' | shuf -n 5 | xargs sed -i 's/ {word} / {word}  /'")
        elif choice < 0.7:
            branch = "two" if await self.run("git", "test $(git branch --show-current) = one") == 0 else "one"
            await self.run("git", f"git add -A -- . ':!probe.md'; git {who} commit -qm typed; git checkout -q {branch}")
        elif choice < 0.85:
            formatter = "find . -name '*.py' | xargs sed -i -e 's/[ \\t]*$//'"
            await self.run("format", formatter)
        else:
            folder = "find . -mindepth 2 -type d -not -path './.git*' | shuf -n 1"
            await self.run("rm", f'f=$({folder}); rm -rf "$f"; sleep 1; git checkout -q -- "$f"')


class Person:
    """Somebody who types tokens into some of the files, wherever these are by now."""

    def __init__(self, number: int, client: Client, workspace: Workspace, documents: list[Document]) -> None:
        self.number = number
        self.client = client
        self.workspace = workspace
        self.documents = documents
        self.random = random.Random(number)
        self.tokens: set[str] = set()

    async def type(self, until: float) -> None:
        while time.monotonic() < until:
            document = self.random.choice(self.documents)
            token = f"«{self.number}.{len(self.tokens)}»"
            at = document.text.find("\n", self.random.randrange(len(document.text) + 1)) + 1
            document.insert(at, f"# {token}\n")
            self.tokens.add(token)
            await document.room(50)
            await asyncio.sleep(self.random.random() * 2 * PACE)


async def tell(seconds: float, seed: int, *, gentle: bool = False) -> Figures:
    """``gentle``: the shell deletes nothing, so nothing may be. Raises AssertionError where something is lost."""
    with tempfile.TemporaryDirectory(prefix="coscribe-story-") as folder:
        server = ServerProcess(Path(folder) / "data", printed=Path(folder) / "printed")
        await asyncio.to_thread(server.start)
        try:
            return await _tell(server, seconds, seed, gentle=gentle)
        finally:
            await asyncio.to_thread(server.stop)


async def _tell(server: ServerProcess, seconds: float, seed: int, *, gentle: bool) -> Figures:
    people = People(server)
    ada = await people.administrator()
    made = await ada.done("POST", "/workspaces", {"name": "Repository"})
    workspace_id = made["documentId"]
    folder = Path((await ada.done("POST", f"/workspace/{workspace_id}/start"))["mountPath"])
    count = await asyncio.to_thread(import_packages, folder)
    shell = Shell(folder, random.Random(seed), gentle=gentle)
    await shell.prepare()
    await settled(ada, workspace_id)
    clients = [Client(server.url, server.token(f"p{number}"), ClientSettings()) for number in range(PEOPLE + 1)]
    try:
        for client in clients:
            client.start()
        crowd = await asyncio.gather(*(_seat(number, client, workspace_id) for number, client in enumerate(clients)))
        prober, typists = crowd[-1], crowd[:-1]
        until = time.monotonic() + seconds
        to_disk, to_client = await _work(prober, typists, shell, folder, until)
        await settled(ada, workspace_id)
        for person in typists:
            for document in person.documents:
                await document.synced()
        await settled(ada, workspace_id)
        await _same(folder, crowd)
        assert [client.connects for client in clients] == [1] * len(clients), "somebody was disconnected"
    finally:
        for client in clients:
            await client.close()
        await people.close()
    await asyncio.to_thread(server.stop)
    tokens = {token for person in typists for token in person.tokens}
    deleted = account_for(server.folder, workspace_id, tokens, shell.actions)
    verified = subprocess.run(
        [sys.executable, "-m", "coscribe", "verify", "--data", str(server.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    done = Counter(action.name for action in shell.actions)
    return Figures(sorted(to_disk), sorted(to_client), done, len(tokens), deleted, count)


def import_packages(folder: Path) -> int:
    """Copies the sources of installed packages; how many files."""
    count = 0
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        source = Path(found.origin).parent
        for path in source.rglob("*.py*"):
            if path.suffix in (".py", ".pyi"):
                target = folder / name / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                count += 1
    return count


async def _seat(number: int, client: Client, workspace_id: str) -> Person:
    workspace = await client.open_workspace(workspace_id)
    names = sorted(
        workspace.path(file_id)
        for file_id in workspace.tree.below("")
        if not workspace.is_trashed(file_id) and workspace.path(file_id).endswith(".py")
    )
    chosen = names[:: len(names) // FILES][:FILES]
    return Person(number, client, workspace, [await workspace.open_path(name) for name in chosen])


async def _work(
    prober: Person, typists: list[Person], shell: Shell, folder: Path, until: float
) -> tuple[list[float], list[float]]:
    to_disk: list[float] = []
    to_client: list[float] = []

    async def act() -> None:
        while time.monotonic() < until:
            await shell.anything()
            await asyncio.sleep(shell.random.random() * 2)

    async def probe() -> None:
        """A file of its own, in which a number is written now by a client, now by a program."""
        path = folder / "probe.md"
        number = 0
        path.write_text("start\n")
        await comes_true(lambda: prober.workspace.find("probe.md") is not None)
        document = await prober.workspace.open_path("probe.md")
        while time.monotonic() < until:
            number += 1
            begun = time.monotonic()
            document.insert(0, f"client {number}\n")
            await comes_true(lambda: f"client {number}\n" in path.read_text())  # noqa: B023  (awaited here)
            to_disk.append(time.monotonic() - begun)
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            path.write_text(f"program {number}\n{path.read_text()}")
            await comes_true(lambda: f"program {number}\n" in document.text)  # noqa: B023  (likewise)
            to_client.append(time.monotonic() - begun)
            await asyncio.sleep(0.3)

    await asyncio.gather(act(), probe(), *(person.type(until) for person in typists))
    return to_disk, to_client


async def comes_true(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  (the disk tells nobody)
            await asyncio.sleep(0.005)


async def settled(who: Account, workspace_id: str) -> None:
    """Returns when a save returns and nothing has come since."""
    await who.sign_in()
    before = -1
    while True:
        answer = await who.ask("POST", f"/workspace/{workspace_id}/fs/save", {})
        if answer.is_success:
            sequence = int(answer.json()["serverSequenceId"])
            if sequence == before:
                return
            before = sequence
        else:
            assert answer.json()["code"] == "storage_unavailable", answer.text  # the tree is busy
        await asyncio.sleep(1.5)


async def _same(folder: Path, crowd: list[Person]) -> None:
    """Disk and all replicas."""
    on_disk = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
    for person in crowd:
        tree = person.workspace.tree
        shown = {
            tree.path(each) for each in tree.below("") if tree.is_live(each) and tree.state(each).kind != "directory"
        }
        assert shown == set(on_disk), f"{sorted(shown ^ set(on_disk))[:10]}"
        for document in person.documents:
            if tree.is_live(document.file_id):
                assert document.text.encode() == on_disk[tree.path(document.file_id)], tree.path(document.file_id)
    reference = crowd[0].workspace
    for path, content in on_disk.items():
        file_id = reference.find(path)
        assert file_id is not None
        if reference.node(file_id).kind == "text" and not reference.node(file_id).properties:
            document = await reference.open(file_id)
            assert document.text.encode() == content, path
            if document not in crowd[0].documents:
                await document.close()


def account_for(folder: Path, workspace_id: str, tokens: set[str], actions: list[Action]) -> int:
    """Replays the log: how many tokens were deleted by the disk. Raises AssertionError for any other that is gone."""
    texts: dict[int, TextBuffer] = {}
    deleted: dict[str, float] = {}
    with closing(sqlite3.connect(f"file:{folder / 'coscribe.db'}?mode=ro", uri=True)) as db:
        workspace = next(each for each in stored_in(db).workspaces() if each.workspace_id == workspace_id)
        root = workspace.root
        assert root is not None
        for entry in stored_in(db).entries(workspace.key):
            if entry.file_key == root.key:
                continue
            buffer = texts.setdefault(entry.file_key, TextBuffer())
            parts = decode_payload(entry.payload)[0]
            is_of_disk = entry.author == "disk"
            before = set(TOKEN.findall(str(buffer))) if is_of_disk else set()
            buffer.apply(parts)
            if is_of_disk:
                after = set(TOKEN.findall(str(buffer)))
                for token in before - after:
                    deleted[token] = entry.time / 1e6
        left = {token for buffer in texts.values() for token in TOKEN.findall(str(buffer))}
    missing = tokens - left
    unexplained = [
        token
        for token in sorted(missing)
        if token not in deleted or not any(action.begun <= deleted[token] <= action.ended + GRACE for action in actions)
    ]
    stories = [_story_of(token, deleted.get(token), actions) for token in unexplained[:: max(1, len(unexplained) // 8)]]
    assert unexplained == [], "\n".join([f"{len(unexplained)} of {len(tokens)} tokens: nobody deleted them", *stories])
    return len(missing)


def _story_of(token: str, deleted: float | None, actions: list[Action]) -> str:
    if deleted is None:
        return f"{token}: not by the disk"
    before = [action for action in actions if action.begun <= deleted][-6:]
    told = [f"{action.name} {action.begun - deleted:+.1f}..{action.ended - deleted:+.1f}" for action in before]
    return f"{token}: by the disk; {', '.join(told)}"


def shown(figures: Figures) -> str:
    def of(seconds: list[float]) -> str:
        if not seconds:
            return "none"
        p50, p99 = seconds[len(seconds) // 2], seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
        return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(seconds)})"

    actions = ", ".join(f"{count} {name}" for name, count in figures.done.items())
    return (
        f"{figures.files} files; {figures.tokens} tokens typed, {figures.deleted} deleted by the shell ({actions})\n"
        f"operation to disk: {of(figures.to_disk)}\ndisk to another client: {of(figures.to_client)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gentle", action="store_true", help="no git and no rm: then no token may be deleted at all")
    options = parser.parse_args()
    print(shown(asyncio.run(tell(options.seconds, options.seed, gentle=options.gentle))))


if __name__ == "__main__":
    main()
