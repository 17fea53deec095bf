"""Backups of workspaces with a tree: whole, and as they were at a moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from coscribe.config import Settings
from coscribe.core.document_state import Limits
from coscribe.core.errors import CoscribeError
from coscribe.core.tree import node_id
from coscribe.documents.blobs import Blobs
from coscribe.documents.file_system import FileSystem
from coscribe.documents.ports import Identity
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.persistence.blobs import FolderBlobs
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage
from tests.cli.conftest import Run
from tests.contracts.conversations import Server

pytestmark = pytest.mark.slow

WS = "project"
ANN = Identity("ann", "Ann", "#111111", "owner", account="ann")
NAMES = ("a", "b", "c", "d")


class Site:
    """A server on a data folder, for a while."""

    def __init__(self, folder: Path, time: float) -> None:
        self.storage = SqliteStorage(Settings(folder=folder).database)
        self.server = Server(self.storage, limits=Limits(window_operations=4))
        self.server.collaboration.snapshots._policy = SnapshotPolicy(operations=5, seconds=20.0, idle_seconds=30.0)
        self.server.time = time
        blobs = Blobs(FolderBlobs(Settings(folder=folder).blobs), self.storage.is_used, 1_000_000)
        self.files = FileSystem(self.server.collaboration, blobs)

    async def seen(self, path: str = "") -> dict[str, str]:
        """Every path with its text."""
        found: dict[str, str] = {}
        for entry in (await self.files.list(ANN, WS, path)).entries:
            found[entry.path] = ""
            if entry.kind == "text":
                text = (await self.files.read(ANN, WS, entry.path)).text
                assert text is not None
                found[entry.path] = text.text
            else:
                found |= await self.seen(entry.path)
        return found

    async def stop(self) -> None:
        await self.server.stop()
        await self.storage.close()


async def lived_in(folder: Path, seed: int) -> dict[float, dict[str, str]]:
    """What was there at some moments of a life of renames, edits, deletions and purges."""
    folder.mkdir(mode=0o700)
    migrate(Settings(folder=folder).database)
    random, site = Random(f"backup {seed}"), Site(folder, 1_700_000_000.0)
    await site.storage.create_tree(WS, 1)
    moments: dict[float, dict[str, str]] = {}
    for number in range(60):
        site.server.time += 10.0
        paths = sorted(await site.seen())
        path = random.choice(paths) if paths else "a"
        target = random.choice(["", *(f"{each}/" for each in paths)]) + random.choice(NAMES)
        act = random.choice(("create", "create", "mkdir", "write", "write", "rename", "delete", "copy"))
        try:
            if act == "create":
                await site.files.create(ANN, WS, target, f"text {number}\n" * 3, f"s{number}")
            elif act == "mkdir":
                await site.files.mkdir(ANN, WS, target, f"s{number}")
            elif act == "write":
                text = (await site.files.read(ANN, WS, path)).text
                assert text is not None
                await site.files.write(ANN, WS, path, f"{number} {text.text}", text.version, f"s{number}")
            elif act == "rename":
                await site.files.rename(ANN, WS, path, target, f"s{number}", overwrite=bool(number % 2))
            elif act == "copy":
                await site.files.copy(ANN, WS, path, target, f"s{number}")
            else:
                await site.files.delete(ANN, WS, path, f"s{number}")
        except CoscribeError:
            pass
        if number % 7 == 0:
            await site.server.collaboration.snapshots.sweep()
            await site.server.settle()
        if number % 6 == 5:
            moments[site.server.time] = await site.seen()
    await site.stop()
    return moments


@pytest.mark.parametrize("seed", range(3))
async def test_a_tree_is_restored_as_it_was_at_any_moment(run: Run, tmp_path: Path, seed: int) -> None:
    folder, backup = tmp_path / "data", tmp_path / "backup"
    moments = await lived_in(folder, seed)
    assert run("verify", "--data", folder).exit_code == 0
    assert run("backup", "--data", folder, backup).exit_code == 0
    for number, (moment, expected) in enumerate(moments.items()):
        restored = tmp_path / f"restored {number}"
        at = datetime.fromtimestamp(moment, UTC).isoformat()
        result = run("restore", backup, "--data", restored, "--at", at)
        assert result.exit_code == 0, result.output
        result = run("verify", "--data", restored)
        assert result.exit_code == 0, result.output
        site = Site(restored, moment)
        assert await site.seen() == expected
        await site.files.mkdir(ANN, WS, "new", "after")
        assert "new" in await site.seen()
        await site.stop()
        assert run("verify", "--data", restored).exit_code == 0
    whole = tmp_path / "whole"
    assert run("restore", backup, "--data", whole).exit_code == 0
    verdicts = json.loads(run("verify", "--data", whole, "--json").stdout)
    assert verdicts["clean"]


async def test_the_log_of_a_tree_is_printed_in_words(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    migrate(Settings(folder=folder).database)
    site = Site(folder, 1_700_000_000.0)
    await site.storage.create_tree(WS, 1)
    await site.files.mkdir(ANN, WS, "src", "s1")
    await site.files.create(ANN, WS, "a", "text", "s2")
    await site.files.rename(ANN, WS, "a", "b", "s3")
    await site.files.rename(ANN, WS, "b", "src/c", "s4")
    await site.files.delete(ANN, WS, "src/c", "s5")
    await site.stop()
    lines = run("log", WS, "--data", folder).stdout.splitlines()
    assert [line.split(":1 ", 1)[1].rsplit(" (", 1)[0] for line in lines] == [
        "makes the directory 'src'",
        "makes the text 'a'",
        "renames 'a' to 'b'",
        f"moves 'b' to 'c' in {made('s1')}",
        "deletes 'c'",
    ]
    assert "text" in run("log", made("s2"), "--data", folder).stdout


def made(series: str) -> str:
    return node_id(WS, f"{series}:1", 0)
