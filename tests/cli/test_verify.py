"""``coscribe verify`` on a folder whose database somebody has edited by hand."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from coscribe.access.events import Event, record
from coscribe.config import Settings
from coscribe.model import content_hash
from coscribe.persistence.stored import engine_for
from tests.cli.conftest import Run, Server
from tests.cli.stores import Kept
from tests.cli.written import FILE_ID
from tests.servers import PASSWORD, PostgresServer

pytestmark = pytest.mark.slow


@contextmanager
def editing(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database, to do to it what SQL can do."""
    with closing(sqlite3.connect(Settings(folder=folder).database)) as database, database:
        yield database


def test_clean(run: Run, kept: Kept) -> None:
    result = run("verify", *kept.options)
    assert result.exit_code == 0, result.output
    assert result.stdout.split("\n")[0] == f"ok      {FILE_ID}  11 entries, version 10, 2 snapshots"


def test_json(run: Run, kept: Kept) -> None:
    result = run("verify", FILE_ID, *kept.options, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "clean": True,
        "files": [
            {
                "workspace": FILE_ID,
                "file": FILE_ID,
                "clean": True,
                "entries": 11,
                "version": 10,
                "snapshots": 2,
                "live": False,
                "findings": [],
                "more": 0,
                "historyPruned": 0,
                "checkpoints": 0,
                "redacted": 0,
            }
        ],
        "events": {"clean": True, "count": 0, "broken": [], "unreadable": ""},
    }


def test_a_forged_access_event_is_found(run: Run, kept: Kept) -> None:
    with engine_for(kept.store.database).connect() as connection:
        record(connection, *(Event("document.opened", f"usr_{number}", "doc") for number in range(5)))
        connection.commit()
    allowed = "ALTER TABLE access_events DISABLE TRIGGER USER"
    kept.execute(allowed if kept.on_postgres else "DROP TRIGGER access_events_no_update")
    kept.execute("UPDATE access_events SET actor = 'nobody' WHERE event_id = 3")
    result = run("verify", *kept.options)
    assert result.exit_code == 1
    assert "access events: the chain does not fit at 3" in result.stdout


@pytest.mark.parametrize(
    ("damage", "kind", "sequence"),
    [
        ("UPDATE file_operation_log SET author_ref = 1 WHERE sequence = 3", "chain", 3),
        ("UPDATE file_operation_log SET time = time + 1 WHERE sequence = 3", "chain", 3),
        ("DELETE FROM file_operation_log WHERE sequence = 3", "gap", 4),
        ("DELETE FROM file_operation_log WHERE sequence = 11", "head", None),
        ("UPDATE file_operation_log SET file_key = 9 WHERE sequence = 3", "unknown_file", 3),
        ("UPDATE file_snapshots SET version = version + 1 WHERE sequence = 10", "claim", 10),
        ("UPDATE file_snapshots SET sequence = 12 WHERE sequence = 10", "claim", 12),
        ("UPDATE file_snapshots SET content = :bytes WHERE sequence = 10", "claim", 10),
        ("UPDATE file_operation_log SET salt = :bytes WHERE sequence = 3", "chain", 3),
        ("UPDATE heads SET last_sequence = 10", "head", None),
        ("UPDATE heads SET chain_hash = :bytes", "head", None),
        ("DELETE FROM heads", "head", None),
    ],
)
def test_damage_is_found(run: Run, kept: Kept, damage: str, kind: str, sequence: int | None) -> None:
    assert kept.execute(damage, {"bytes": bytes(16)} if ":bytes" in damage else {}) == 1
    result = run("verify", *kept.options, "--json")
    assert result.exit_code == 1, result.output
    verdict = json.loads(result.stdout)
    assert verdict["clean"] is False
    findings = verdict["files"][0]["findings"]
    assert (kind, sequence) in [(finding["kind"], finding["sequence"]) for finding in findings]


def test_a_text_in_place_of_bytes(run: Run, folder: Path) -> None:
    """Only SQLite keeps it."""
    with editing(folder) as database:
        database.execute("UPDATE file_operation_log SET payload = 'text' WHERE sequence = 3")
    result = run("verify", "--data", folder, "--json")
    assert result.exit_code == 1, result.output
    findings = json.loads(result.stdout)["files"][0]["findings"]
    assert ("malformed", 3) in [(finding["kind"], finding["sequence"]) for finding in findings]


@pytest.mark.parametrize("position", [0, 3, -4])
def test_any_flipped_byte_of_a_payload(run: Run, kept: Kept, position: int) -> None:
    ((payload,),) = kept.ask("SELECT payload FROM file_operation_log WHERE sequence = 8")
    flipped = bytearray(payload)
    flipped[position] ^= 1
    kept.execute("UPDATE file_operation_log SET payload = :payload WHERE sequence = 8", {"payload": bytes(flipped)})
    result = run("verify", *kept.options)
    assert result.exit_code == 1
    assert "DAMAGED" in result.stdout
    assert "sequence 8: its hash does not fit" in result.stdout
    assert f"Keep a copy of the {'database' if kept.on_postgres else 'folder'}" in result.stderr


def test_swapped_entries(run: Run, kept: Kept) -> None:
    for before, after in ((3, 100), (4, 3), (100, 4)):
        kept.execute(f"UPDATE file_operation_log SET sequence = {after} WHERE sequence = {before}")
    result = run("verify", *kept.options)
    assert result.exit_code == 1
    assert "sequence 3: its hash does not fit" in result.stdout
    assert "sequence 4: its hash does not fit" in result.stdout


def test_a_snapshot_with_a_hash_of_its_own(run: Run, kept: Kept) -> None:
    """The forger has given the snapshot the hash of the new text."""
    text = "another text"
    kept.execute(
        "UPDATE file_snapshots SET content = :content, content_hash = :hash WHERE sequence = 10",
        {"content": text.encode(), "hash": content_hash(text)},
    )
    result = run("verify", *kept.options)
    assert result.exit_code == 1
    assert "sequence 10: the snapshot: holds another text than the log leads to" in result.stdout


def test_bytes_that_are_no_database(run: Run, folder: Path) -> None:
    Settings(folder=folder).database.write_bytes(b"something else entirely " * 100)
    result = run("verify", "--data", folder, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["files"][0]["findings"][0]["kind"] == "storage"


def test_a_page_of_the_database_is_lost(run: Run, folder: Path) -> None:
    with editing(folder) as database:
        (page_size,) = database.execute("PRAGMA page_size").fetchone()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'file_operation_log'").fetchone()
    with Settings(folder=folder).database.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(bytes(page_size))
    assert run("verify", "--data", folder).exit_code == 1


def test_nothing_is_changed_by_verifying(run: Run, folder: Path) -> None:
    before = Settings(folder=folder).database.read_bytes()
    assert run("verify", "--data", folder).exit_code == 0
    assert Settings(folder=folder).database.read_bytes() == before


def test_an_empty_log(run: Run, kept: Kept) -> None:
    for table in ("file_snapshots", "file_operation_log", "heads", "files", "workspaces"):
        kept.execute(f"DELETE FROM {table}")
    result = run("verify", *kept.options)
    assert result.exit_code == 0
    assert "nothing has been written yet" in result.stdout


def test_no_such_folder(run: Run, tmp_path: Path) -> None:
    result = run("verify", "--data", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr
    assert "--data" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_another_sort_of_database(run: Run, tmp_path: Path) -> None:
    with editing(tmp_path) as database:
        database.execute("CREATE TABLE something (else_ INTEGER)")
    result = run("verify", "--data", tmp_path)
    assert result.exit_code == 2
    assert "no such table" in result.stderr


def test_a_database_that_is_not_there(run: Run, folder: Path, postgres_server: PostgresServer) -> None:
    """Neither what is wrong with it nor what it is called has the password in it."""
    url = postgres_server.url("nowhere")
    for given in (url, url.replace("postgresql:", "postgres:"), url.replace(str(postgres_server.port), "1")):
        result = run("verify", "--data", folder, "--database", given)
        assert result.exit_code == 2
        assert "cannot read postgresql://coscribe@127.0.0.1:" in result.stderr
        assert quote(PASSWORD) not in result.output and PASSWORD not in result.output


def test_a_database_without_tables(run: Run, folder: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.empty()
    result = run("verify", "--data", folder, "--database", url)
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    postgres_server.drop(url)


@pytest.mark.parametrize("url", ["mysql://root:secret@there/db", "://secret", "postgresql://a:secret@b:c/d"])
def test_no_url_of_a_database(run: Run, folder: Path, url: str) -> None:
    result = run("verify", "--data", folder, "--database", url)
    assert result.exit_code == 2
    assert "cannot read what --database says" in result.stderr
    assert "secret" not in result.output


def test_the_environment_says_where_the_database_is(
    run: Run, kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept.execute("DELETE FROM file_operation_log WHERE sequence = 3")
    monkeypatch.setenv("COSCRIBE_DATABASE_URL", kept.store.url)
    assert run("verify", "--data", kept.store.folder).exit_code == 1


def test_no_such_file(run: Run, kept: Kept) -> None:
    result = run("verify", "note", *kept.options)
    assert result.exit_code == 2
    assert "there is no file 'note'" in result.stderr
    assert "There is: notes" in result.stderr


def test_no_server(run: Run, folder: Path) -> None:
    result = run("verify", "--data", folder, "--server", "http://127.0.0.1:1", "--token", "any")
    assert result.exit_code == 2
    assert "nobody answers at http://127.0.0.1:1" in result.stderr
    assert "coscribe serve" in result.stderr


def test_with_a_running_server(run: Run, server: Server) -> None:
    """The log is read while the server has it open, and ends where the server's text is."""

    async def write() -> None:
        async with server.client("ann") as client:
            document = await client.open("verify-live")
            document.insert(0, "Hello")
            await document.synced()

    asyncio.run(write())
    result = run("verify", "verify-live", "--data", server.folder, "--server", server.url, "--json")
    assert result.exit_code == 0, result.output
    (verdict,) = json.loads(result.stdout)["files"]
    assert (verdict["entries"], verdict["version"], verdict["live"]) == (1, 1, True)


def test_the_server_shows_another_text(run: Run, folder: Path, server: Server) -> None:
    """It is the wrong folder, or worse."""

    async def write() -> None:
        async with server.client("ann") as client:
            document = await client.open(FILE_ID)
            document.insert(0, "Hello")
            await document.synced()

    asyncio.run(write())
    result = run("verify", "--data", folder, "--server", server.url, "--token", server.token("ann"))
    assert result.exit_code == 1
    assert "sequence 1: the live text: holds another text" in result.stdout
