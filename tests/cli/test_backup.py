"""Backups made while people type, and what is made of them: nothing is missing, and nobody takes it for what it was."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as websocket

from coscribe.cli import backing_up
from coscribe.cli.restoring import cut
from coscribe.client import Client, ClientSettings, Document
from coscribe.config import Settings
from coscribe.documents.ports import SegmentSize
from coscribe.model import LogEntry
from coscribe.persistence.sqlite import SqliteStorage, connect
from tests.cli.conftest import Run
from tests.cli.written import FILE_ID, KEY, Written, store
from tests.e2e.server_process import ServerProcess

IMPATIENT = ClientSettings(backoff=0.02, max_backoff=0.1)


def database(folder: Path) -> Path:
    return Settings(folder=folder).database


def incarnations(folder: Path) -> list[str]:
    with closing(connect(database(folder), read_only=True)) as db:
        return [row[0] for row in db.execute("SELECT incarnation FROM workspaces ORDER BY workspace_id")]


def iso(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat()


def backed_up(run: Run, folder: Path, target: Path) -> dict[str, Any]:
    result = run("backup", "--data", folder, target, "--json")
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads(result.stdout)
    return manifest


def restored(run: Run, backup: Path, folder: Path, *more: str) -> dict[str, Any]:
    result = run("restore", backup, "--data", folder, "--json", *more)
    assert result.exit_code == 0, result.output
    done: dict[str, Any] = json.loads(result.stdout)
    return done


# ---- backup


def test_a_backup_is_whole_and_says_what_is_in_it(run: Run, folder: Path, written: Written, tmp_path: Path) -> None:
    (folder / "token.key").write_text("a key")
    manifest = backed_up(run, folder, tmp_path / "backups" / "today")
    copy = tmp_path / "backups" / "today"
    assert run("verify", "--data", copy).exit_code == 0
    assert manifest == json.loads((copy / "manifest.json").read_text())
    (head,) = manifest["workspaces"]
    assert (head["workspaceId"], head["lastSequence"]) == (FILE_ID, len(written.entries))
    assert head["chainHash"] == written.digest.hex()
    assert [head["incarnation"]] == incarnations(folder)
    assert manifest["tokenKey"]
    assert (copy / "token.key").read_text() == "a key"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (copy, copy / "token.key", database(copy))}
    assert modes == {"today": 0o700, "token.key": 0o600, "coscribe.db": 0o600}


def test_a_copy_shows_one_moment_whatever_is_written_between_two_steps(
    folder: Path, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it ends: SQLite begins a copy anew when its source has changed, unless one moment of it is held."""
    monkeypatch.setattr(backing_up, "STEP_PAGES", 8)
    steps: list[int] = []
    with closing(connect(database(folder))) as writer:

        def write(done: int, total: int) -> None:
            steps.append(done)
            assert len(steps) <= total, "it does not end"
            writer.execute("INSERT INTO authors (user_id) VALUES (?)", (f"author {done}" * 500,))

        manifest = backing_up.back_up(folder, tmp_path / "backup", write)
    assert len(steps) > 5
    assert manifest.workspaces[0].last_sequence == len(written.entries)
    for place, more in ((tmp_path / "backup", 0), (folder, len(steps))):
        with closing(connect(database(place), read_only=True)) as db:
            assert db.execute("SELECT count(*) FROM authors").fetchone() == (2 + more,)
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_backup_overwrites_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("still here")
    result = run("backup", "--data", folder, target)
    assert result.exit_code == 1
    assert "is not empty" in result.stderr
    assert (target / "precious").read_text() == "still here"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_folder_that_is_there_is_filled(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume cannot be renamed to, nor the folder that one is in, nor a link."""
    for place in ("here", "linked", "again"):
        (tmp_path / place).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "here")
    backed_up(run, folder, Path("."))
    backed_up(run, folder, tmp_path / "link")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"coscribe.db", "manifest.json"}
    monkeypatch.chdir(tmp_path / "again")
    restored(run, tmp_path / "linked", Path("."))
    assert run("verify", "--data", tmp_path / "again").exit_code == 0


def test_a_backup_can_be_read_where_nothing_can_be_written(run: Run, folder: Path, tmp_path: Path) -> None:
    backed_up(run, folder, tmp_path / "copy")
    with closing(sqlite3.connect(f"{database(tmp_path / 'copy').as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert run("verify", "--data", tmp_path / "copy").exit_code == 0
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"coscribe.db", "manifest.json"}


def test_a_document_that_is_half_deleted_is_in_nobodys_way(run: Run, folder: Path, tmp_path: Path) -> None:
    with closing(connect(database(folder))) as db:
        db.execute("UPDATE workspaces SET status = 'deleted'")
        db.execute("DELETE FROM file_operation_log WHERE sequence < 5")
    assert backed_up(run, folder, tmp_path / "copy")["workspaces"] == []
    assert restored(run, tmp_path / "copy", tmp_path / "new")["workspaces"] == 0
    at = datetime.now(UTC).replace(year=2000).isoformat()
    assert restored(run, tmp_path / "copy", tmp_path / "old", "--at", at)["cuts"] == []


def test_nothing_looks_like_a_backup_that_failed(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "token.key").mkdir()  # cannot be copied
    result = run("backup", "--data", folder, tmp_path / "target")
    assert result.exit_code == 1
    assert "the copy failed" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_folder_without_a_database_is_not_backed_up(run: Run, tmp_path: Path) -> None:
    result = run("backup", "--data", tmp_path / "nothing", tmp_path / "target")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr


# ---- restore


def test_a_restored_folder_is_verified_and_another_incarnation(
    run: Run, folder: Path, written: Written, tmp_path: Path
) -> None:
    backed_up(run, folder, tmp_path / "backup")
    before = {path.name: path.read_bytes() for path in (tmp_path / "backup").iterdir()}
    done = restored(run, tmp_path / "backup", tmp_path / "new")
    assert (done["workspaces"], done["cuts"], done["at"]) == (1, [], None)
    assert run("verify", "--data", tmp_path / "new").exit_code == 0
    assert run("cat", FILE_ID, "--data", tmp_path / "new", "--sequence", len(written.entries)).stdout == written.text
    assert set(incarnations(tmp_path / "new")).isdisjoint(incarnations(folder))
    after = {name: (tmp_path / "backup" / name).read_bytes() for name in before}
    assert after == before, "a backup is only read"
    with closing(connect(database(tmp_path / "new"), read_only=True)) as db:
        events = db.execute("SELECT action, actor FROM access_events").fetchall()
    assert events == [("server.restored", "server")]


def test_only_an_empty_folder_is_restored_into(run: Run, folder: Path, tmp_path: Path) -> None:
    backed_up(run, folder, tmp_path / "backup")
    result = run("restore", tmp_path / "backup", "--data", folder)
    assert result.exit_code == 1
    assert "is not empty" in result.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda backup: (backup / "manifest.json").unlink(), "is no backup"),
        (lambda backup: (backup / "manifest.json").write_text("{}"), "cannot be read"),
        (lambda backup: (backup / "coscribe.db").unlink(), "has no coscribe.db"),
        (lambda backup: flip_a_bit(backup / "coscribe.db"), "is not the file that was backed up"),
    ],
    ids=["no manifest", "another manifest", "no database", "a bit"],
)
def test_what_is_no_backup_is_not_restored(run: Run, folder: Path, tmp_path: Path, damage: Any, said: str) -> None:
    backed_up(run, folder, tmp_path / "backup")
    damage(tmp_path / "backup")
    result = run("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert result.exit_code == 1
    assert said in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_backup_of_a_damaged_log_is_not_restored(run: Run, folder: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(folder))) as db:
        db.execute("UPDATE file_operation_log SET time = time + 1 WHERE sequence = 3")
        db.commit()
    backed_up(run, folder, tmp_path / "backup")
    result = run("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert result.exit_code == 1
    assert "its hash does not fit" in result.stderr
    assert not (tmp_path / "new").exists()


# ---- a moment


def test_texts_go_back_to_a_moment(run: Run, folder: Path, written: Written, tmp_path: Path) -> None:
    """Every entry in turn is the last one; log, head, snapshots, ids and named versions agree each time."""
    with closing(sqlite3.connect(database(folder))) as db:
        db.execute("INSERT INTO named_versions SELECT 1, version, 'v' || version, NULL, 0 FROM file_operation_log"
                   " WHERE sequence IN (3, 8, 11)")  # fmt: skip
        db.commit()
    backed_up(run, folder, tmp_path / "backup")
    for last in (0, 1, 6, 9, len(written.entries)):
        target = tmp_path / f"at{last}"
        moment = written.entries[last - 1].time if last else written.entries[0].time - 1
        done = restored(run, tmp_path / "backup", target, "--at", iso(moment))
        removed = len(written.entries) - last
        assert done["cuts"] == ([{"workspaceId": FILE_ID, "kept": last, "removed": removed}] if removed else [])
        assert run("verify", "--data", target).exit_code == 0
        with closing(connect(database(target), read_only=True)) as db:
            (top,) = db.execute("SELECT coalesce(max(sequence), 0) FROM file_snapshots").fetchone()
            (name,) = db.execute("SELECT coalesce(max(version), 0) FROM named_versions").fetchone()
        version = written.entries[last - 1].version if last else 0
        assert top <= last
        assert name <= version


async def test_the_ids_of_what_is_taken_back_are_free_and_the_others_are_known(tmp_path: Path) -> None:
    """Also how far a series has come, where that is a thousand operations less than it was; and out of segments."""
    written = Written()
    for _ in range(700):
        written.add("ann", [(0, 0, "x")])
    written.snapshot()
    for _ in range(300):
        written.add("ann", [(0, 0, "y")])
    for compacted in (False, True):
        folder = tmp_path / f"compacted {compacted}"
        await asyncio.to_thread(store, folder, written)
        if compacted:
            await compact(folder, through=699)
        for last in (999, 650, 200, 5):
            with closing(connect(database(folder))) as db:
                (done,) = cut(db, written.entries[last - 1].time)
                assert done.kept == last
            storage = SqliteStorage(database(folder))
            assert await storage.highest(KEY, "ann") == last
            assert await storage.find(KEY, f"ann:{last}") is not None
            assert await storage.find(KEY, f"ann:{last + 1}") is None
            kept = await storage.read(KEY, 0, through=2**60, limit=2_000)
            assert [bare(entry) for entry in kept] == [bare(entry) for entry in written.entries[:last]]
            await storage.close()


async def compact(folder: Path, through: int) -> None:
    """Moves the log into segments of 100 entries."""
    storage = SqliteStorage(database(folder))
    while await storage.compact(KEY, through, SegmentSize(100, 1_000_000, 100)) is not None:
        pass
    await storage.close()
    with closing(connect(database(folder), read_only=True)) as db:
        assert db.execute("SELECT count(*) FROM log_segments").fetchone() == (6,)


def bare(entry: LogEntry) -> Sequence[object]:
    return entry._replace(author="")


@pytest.mark.parametrize(
    ("at", "code", "said"),
    [
        ("2026-11-22T10:00:00", 2, "Say the time zone"),
        ("yesterday", 2, "is no time"),
        ("2999-01-01T00:00:00Z", 1, "Take a later backup"),
    ],
)
def test_a_moment_is_said_clearly(run: Run, folder: Path, tmp_path: Path, at: str, code: int, said: str) -> None:
    backed_up(run, folder, tmp_path / "backup")
    result = run("restore", tmp_path / "backup", "--data", tmp_path / "new", "--at", at)
    assert result.exit_code == code
    assert said in result.stderr
    assert not (tmp_path / "new").exists()


# ---- a server that runs


async def coscribe(*arguments: object) -> str:
    """A command in a process of its own that must succeed."""
    command = [sys.executable, "-m", "coscribe", *map(str, arguments)]
    process = await create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@asynccontextmanager
async def typing(document: Document) -> AsyncIterator[list[int]]:
    """Types word by word, each acknowledged before the next; gives the sequences that were."""
    acknowledged: list[int] = []

    async def type_on() -> None:
        while True:
            document.insert(len(document.text), f"{len(acknowledged)} ")
            await document.synced()
            acknowledged.append(document.sequence)

    task = asyncio.create_task(type_on())
    try:
        yield acknowledged
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
async def test_a_backup_while_somebody_types(tmp_path: Path) -> None:
    """It holds all that was acknowledged before it began, and the typing goes on meanwhile."""
    server = ServerProcess(tmp_path / "data")
    await asyncio.to_thread(server.start)
    try:
        async with Client(server.url, server.token("ann"), IMPATIENT) as ann:
            notes = await ann.open("notes")
            notes.insert(0, "x" * 900_000)  # some pages to copy
            await notes.synced()
            async with typing(notes) as acknowledged:
                for number in range(2):
                    before = notes.sequence - (notes.pending > 0)
                    target = tmp_path / f"backup{number}"
                    started = len(acknowledged)
                    manifest = json.loads(await coscribe("backup", "--data", server.folder, target, "--json"))
                    assert len(acknowledged) > started, "nobody waits for a backup"
                    (head,) = manifest["workspaces"]
                    assert head["lastSequence"] >= before
                    await coscribe("verify", "--data", target)
    finally:
        server.kill()


async def snapshot_for(server: ServerProcess, have: dict[str, Any]) -> dict[str, Any]:
    """What somebody is told who comes with this lineage."""
    async with websocket(server.url, max_size=None) as socket:
        await socket.send(json.dumps({"type": "hello", "protocol": [1], "token": server.token("ann")}))
        await socket.send(json.dumps({"type": "join", "fileId": "notes", "have": have}))
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] in ("snapshot", "live"):
                return message


@pytest.mark.slow
async def test_a_client_that_was_ahead_of_the_backup_comes_back(tmp_path: Path) -> None:
    """The numbers it has seen have been given out a second time. It is told, gets its edit back, and has the text."""
    old = ServerProcess(tmp_path / "data")
    new = ServerProcess(tmp_path / "restored")
    again = ServerProcess(tmp_path / "restored", port=old.port)
    await asyncio.to_thread(old.start)
    try:
        async with Client(old.url, old.token("ann"), IMPATIENT) as ann:
            notes = await ann.open("notes")
            notes.insert(0, "kept. ")
            await notes.synced()
            await coscribe("backup", "--data", old.folder, tmp_path / "backup")
            for word in ("lost ", "with ", "the disk"):
                notes.insert(len(notes.text), word)
                await notes.synced()
            assert notes.sequence == 4
            (incarnation,) = incarnations(old.folder)
            with closing(connect(database(old.folder), read_only=True)) as db:
                digests = [
                    row[0].hex() for row in db.execute("SELECT digest FROM file_operation_log ORDER BY sequence")
                ]
            await asyncio.to_thread(old.kill)
            notes.insert(len(notes.text), " (typed while the server was away)")

            await coscribe("restore", tmp_path / "backup", "--data", new.folder)
            await asyncio.to_thread(new.start)
            async with Client(new.url, new.token("bob"), IMPATIENT) as bob:
                theirs = await bob.open("notes")
                assert theirs.text == "kept. "
                for _ in range(6):
                    theirs.insert(len(theirs.text), "new ")
                    await theirs.synced()
            await asyncio.to_thread(new.stop)

            await asyncio.to_thread(again.start)
            for sequence, digest in enumerate(digests, 1):
                have = {"incarnation": incarnation, "serverSequenceId": sequence, "chainHash": digest}
                told = await snapshot_for(again, {**have, "documentVersion": sequence})
                assert told["lineageLost"], sequence
            await notes.reached(7)
            await notes.live()
            assert notes.text == "kept. " + "new " * 6
            (patch,) = notes.patches
            assert patch.code == "history_unavailable"
            assert "typed while the server was away" in str(patch.edits)
            notes.insert(0, "On we go. ")
            await notes.synced()
            async with Client(again.url, again.token("cleo"), IMPATIENT) as cleo:
                seen = await cleo.open("notes")
                assert seen.text == notes.text
            notes.check()
    finally:
        for server in (old, new, again):
            await asyncio.to_thread(server.kill)
    await coscribe("verify", "--data", again.folder)
