"""Contents that are no text in a data folder: verified, backed up, restored, swept up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from coscribe.config import Settings
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Planned
from coscribe.documents.file_system import FileSystem
from coscribe.persistence.blobs import FolderBlobs, path_of, put_all, stored
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol import messages
from tests.cli.conftest import Run
from tests.contracts.conversations import Server
from tests.documents.test_file_system import ANN, WS
from tests.migrated import fresh_database

OLD, NEW, PURGED, LATER = b"\0old", b"\0new", b"\0purged", b"\0later"
BETWEEN = 1_700_000_100.0


def hash_of(content: bytes) -> str:
    return sha256(content).hexdigest()


async def site(folder: Path) -> tuple[Server, SqliteStorage, FileSystem]:
    storage = SqliteStorage(Settings(folder=folder).database)
    server = Server(storage)
    blobs = Blobs(FolderBlobs(Settings(folder=folder).blobs), storage.is_used, 1_000_000)
    return server, storage, FileSystem(server.collaboration, blobs)


async def picture(folder: Path) -> bytes:
    server, storage, files = await site(folder)
    try:
        return (await files.read_bytes(ANN, WS, "picture"))[1]
    finally:
        await server.stop()
        await storage.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file that was one picture and is another, one that was purged, one from later; and a blob that nobody needs."""
    asyncio.run(fill(tmp_path / "data"))
    return tmp_path / "data"


async def fill(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    fresh_database(Settings(folder=folder).database)
    server, storage, files = await site(folder)
    server.time = 1_700_000_000.0
    await storage.create_tree(WS, 1)
    made = await files.write_bytes(ANN, WS, "picture", OLD, "s1", base=None)
    await files.write_bytes(ANN, WS, "picture", NEW, "s2", base=made.tag)
    gone = await files.write_bytes(ANN, WS, "gone", PURGED, "s3", base=None)
    await files.delete(ANN, WS, "gone", "s4")
    await server.collaboration.edit_tree(ANN, WS, "s5", lambda _, __: Planned([messages.PurgeNodes([gone.file_id])]))
    server.time = BETWEEN + 100
    await files.write_bytes(ANN, WS, "later", LATER, "s6", base=None)
    await server.stop()
    await storage.close()
    put_all(Settings(folder=folder).blobs, [b"\0unused"])


def kept(folder: Path) -> set[str]:
    return {path.name for path in stored(Settings(folder=folder).blobs)}


ALL = {hash_of(content) for content in (OLD, NEW, PURGED, LATER)}


def findings(run: Run, folder: Path) -> Iterator[tuple[str, int | None, str]]:
    said = json.loads(run("verify", "--data", folder, "--json").stdout)
    for file in said["files"]:
        for place in file["findings"]:
            yield place["kind"], place["sequence"], place["detail"]


def test_verify_names_what_is_missing_or_damaged(run: Run, folder: Path) -> None:
    assert run("verify", "--data", folder).exit_code == 0
    blobs = Settings(folder=folder).blobs
    path_of(blobs, hash_of(OLD)).unlink()
    path_of(blobs, hash_of(NEW)).write_bytes(b"\0New")
    assert list(findings(run, folder)) == [
        ("blob", 1, f"the content {hash_of(OLD)} is missing"),
        ("blob", 2, f"the content {hash_of(NEW)} is damaged"),
    ]
    assert run("verify", "--data", folder).exit_code == 1


def test_vacuum_removes_what_nothing_refers_to(run: Run, folder: Path) -> None:
    (Settings(folder=folder).blobs / "draft-0").write_bytes(b"half")
    assert kept(folder) == ALL | {hash_of(b"\0unused")}
    done = json.loads(run("vacuum", "--data", folder, "--json").stdout)
    assert (done["blobs"], done["blobBytes"]) == (1, len(b"\0unused"))
    assert kept(folder) == ALL
    assert not list(Settings(folder=folder).blobs.glob("draft-*"))
    assert run("verify", "--data", folder).exit_code == 0


def test_a_backup_carries_them(run: Run, folder: Path, tmp_path: Path) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    assert run("backup", "--data", folder, backup).exit_code == 0
    assert json.loads((backup / "manifest.json").read_text())["blobs"] == 4
    assert run("verify", "--data", backup).exit_code == 0
    assert run("restore", backup, "--data", restored).exit_code == 0
    assert kept(restored) == ALL
    assert asyncio.run(picture(restored)) == NEW


def test_restored_to_a_moment_it_refers_to_what_it_did(run: Run, folder: Path, tmp_path: Path) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    assert run("backup", "--data", folder, backup).exit_code == 0
    at = datetime.fromtimestamp(BETWEEN, UTC).isoformat()
    result = run("restore", backup, "--data", restored, "--at", at)
    assert result.exit_code == 0, result.output
    assert run("verify", "--data", restored).exit_code == 0
    assert run("vacuum", "--data", restored).exit_code == 0
    assert kept(restored) == ALL - {hash_of(LATER)}


def test_what_was_lacking_before_is_lacking_after(run: Run, folder: Path, tmp_path: Path) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    path_of(Settings(folder=folder).blobs, hash_of(OLD)).write_bytes(b"x")
    result = run("backup", "--data", folder, backup)
    assert result.exit_code == 0
    assert "1 contents are missing or damaged" in result.output
    result = run("restore", backup, "--data", restored)
    assert result.exit_code == 0, result.output
    assert [kind for kind, _, _ in findings(run, restored)] == ["blob"]


def test_a_backup_that_was_damaged_since_is_not_restored(run: Run, folder: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert run("backup", "--data", folder, backup).exit_code == 0
    path_of(Settings(folder=backup).blobs, hash_of(NEW)).write_bytes(b"x")
    result = run("restore", backup, "--data", tmp_path / "restored")
    assert result.exit_code == 1
    assert hash_of(NEW) in result.output
    assert not (tmp_path / "restored").exists()
