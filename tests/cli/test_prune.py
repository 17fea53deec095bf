"""``coscribe prune``: what is older than it is kept goes, a signed checkpoint stands for it, and all else works on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from coscribe.app import lock_folder
from coscribe.config import Settings
from coscribe.persistence.closed_log import checkpoint_of
from coscribe.persistence.signing import FILE, SigningKey, public_key
from coscribe.persistence.sqlite import connect
from coscribe.persistence.sqlite import run as answered
from tests.cli.conftest import Run
from tests.cli.test_vacuum import CLOSED, COUNT, _grown, counts, grown, long  # noqa: F401  (fixtures)
from tests.cli.written import FILE_ID, Written, store


@pytest.fixture(autouse=True)
def _kept_for_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries of these tests are years old."""
    monkeypatch.setenv("COSCRIBE_RETENTION_DAYS", "30")


@pytest.fixture(scope="session")
def _pruned(tmp_path_factory: pytest.TempPathFactory, _grown: Path) -> Path:  # noqa: F811  (a fixture)
    from typer.testing import CliRunner

    from coscribe.cli import app

    folder = Path(shutil.copytree(_grown, tmp_path_factory.mktemp("pruned") / "data"))
    environment = {"COSCRIBE_RETENTION_DAYS": "30"}
    result = CliRunner(env=environment).invoke(app, ["prune", "--data", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"entries": CLOSED, "documents": 1, "forgotten": 0, "left": {}}
    return folder


@pytest.fixture
def pruned(_pruned: Path, tmp_path: Path) -> Path:
    """A data folder of whose log all that is closed was pruned; a copy."""
    return Path(shutil.copytree(_pruned, tmp_path / "data"))


def execute(folder: Path, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(Settings(folder=folder).database)) as db, db:
        return db.execute(statement, arguments).fetchall()


def test_what_is_left_is_whole_and_verify_says_what_is_gone(run: Run, pruned: Path, long: Written) -> None:  # noqa: F811
    result = run("verify", "--data", pruned)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"ok      {FILE_ID}  201 entries, version 3,000, 1 snapshot, 2,799 entries pruned")
    (verdict,) = json.loads(run("verify", "--data", pruned, "--json").stdout)["files"]
    assert (verdict["clean"], verdict["historyPruned"], verdict["entries"]) == (True, CLOSED, COUNT - CLOSED)
    for version in (CLOSED, COUNT):
        shown = json.loads(run("cat", FILE_ID, "--data", pruned, "--version", version, "--json").stdout)
        assert shown["version"] == version
    assert shown["text"] == long.text
    assert len(run("log", FILE_ID, "--data", pruned, "--limit", 0).stdout.splitlines()) == COUNT - CLOSED
    for arguments in (["cat", FILE_ID, "--version", CLOSED - 1], ["log", FILE_ID, "--from", 1]):
        result = run(*arguments, "--data", pruned)
        assert result.exit_code == 2
        assert "was pruned" in result.stderr
        assert "begins with version 2799 and sequence 2800" in result.stderr


def test_nothing_of_what_is_gone_is_in_the_file_after_vacuum(run: Run, grown: Path) -> None:  # noqa: F811
    secret = b"a secret that was deleted"
    written = Written()
    written.add("ann", [(0, 0, secret.decode())])
    written.add("ann", [(0, len(secret), "")])
    for number in range(400):
        if number == 300:
            written.snapshot()
        written.add("ann", [(number, 0, "x")])
    folder = grown / "other"
    store(folder, written)
    assert run("prune", "--data", folder).exit_code == 0
    assert run("vacuum", "--data", folder).exit_code == 0
    assert run("verify", "--data", folder).exit_code == 0
    files = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    assert not any(secret in content for content in files)


def test_again_there_is_nothing_to_do_and_it_is_recorded_once(run: Run, pruned: Path) -> None:
    again = run("prune", "--data", pruned)
    assert again.exit_code == 0, again.output
    assert "deleted 0 entries of 0 documents" in again.stdout
    ((actor, workspace, detail),) = execute(
        pruned, "SELECT actor, workspace_id, detail FROM access_events WHERE action = 'log.pruned'"
    )
    assert (actor, workspace) == ("operator", FILE_ID)
    assert json.loads(str(detail))["entries"] == CLOSED
    assert run("verify", "--data", pruned).exit_code == 0


def test_a_short_log_is_pruned_up_to_what_a_load_begins_at(run: Run, folder: Path) -> None:
    assert run("prune", "--data", folder).exit_code == 0
    (verdict,) = json.loads(run("verify", "--data", folder, "--json").stdout)["files"]
    assert (verdict["clean"], verdict["historyPruned"]) == (True, 9)


def test_by_default_nothing_is_pruned(run: Run, grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.delenv("COSCRIBE_RETENTION_DAYS")
    result = run("prune", "--data", grown)
    assert "deleted 0 entries" in result.stdout
    assert counts(grown) == (0, COUNT)
    assert not (grown / FILE).exists()


@pytest.mark.parametrize("row", ["days = 0", "days = 30, hold_reason = 'a case'", "days = 36500"])
def test_a_document_of_which_all_is_kept_stays_whole(run: Run, grown: Path, row: str) -> None:  # noqa: F811
    run("vacuum", "--data", grown)  # the tables are there then
    execute(grown, "INSERT INTO retention (workspace_key) VALUES (1)")
    execute(grown, f"UPDATE retention SET {row}")
    assert "deleted 0 entries" in run("prune", "--data", grown).stdout
    assert counts(grown) == (CLOSED, COUNT - CLOSED)


def test_not_while_a_server_runs_on_it(run: Run, grown: Path) -> None:  # noqa: F811
    with lock_folder(grown):
        result = run("prune", "--data", grown)
    assert result.exit_code == 2
    assert "Stop it first" in result.stderr
    assert counts(grown) == (0, COUNT)


def test_a_log_that_does_not_fit_its_hashes_is_left_as_it_is(run: Run, grown: Path) -> None:  # noqa: F811
    execute(grown, "UPDATE file_operation_log SET time = time + 1 WHERE sequence = 5")
    result = run("prune", "--data", grown)
    assert result.exit_code == 1
    assert f"not pruned: {FILE_ID}" in result.stderr
    assert counts(grown) == (0, COUNT)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("UPDATE checkpoint_files SET content = content || x'61'", "its text does not have its content hash"),
        ("UPDATE checkpoint_files SET content = content || x'61'", "its signature does not fit"),
        ("UPDATE checkpoint_files SET version = version + 1", "its signature does not fit"),
        ("UPDATE checkpoint_files SET horizon = 7", "its signature does not fit"),
        ("UPDATE checkpoint_files SET attribution = x'00'", "who wrote the text cannot be read"),
        ("UPDATE log_checkpoints SET signature = zeroblob(64)", "its signature does not fit"),
        ("UPDATE log_checkpoints SET chain_hash = zeroblob(32)", "its signature does not fit"),
        ("UPDATE log_checkpoints SET chain_hash = zeroblob(32)", "sequence 2800: its hash does not fit"),
        ("UPDATE log_checkpoints SET sequence = 2798", "its signature does not fit"),
        ("UPDATE log_checkpoints SET last_time = 0", "its signature does not fit"),
        ("UPDATE log_checkpoints SET key_id = 'another'", "it was signed with the key another"),
        ("DELETE FROM log_checkpoints", "the entries 1 to 2799 before it are missing"),
        ("DELETE FROM checkpoint_files", "it is about other files"),
        ("DELETE FROM log_segments WHERE first_sequence = 1", "ids before sequence 2049 are missing"),
        ("DELETE FROM log_segments", "the ids of what was pruned are missing"),
        ("UPDATE log_segments SET content = zeroblob(50) WHERE first_sequence = 1", "does not have its checksum"),
        ("DELETE FROM file_operation_log WHERE sequence = 2800", "the entry 2800 before it is missing"),
    ],
)
def test_whatever_is_changed_is_found(run: Run, pruned: Path, harm: str, words: str) -> None:
    execute(pruned, harm)
    result = run("verify", "--data", pruned)
    assert result.exit_code == 1, result.output
    assert words in result.stdout


def test_a_checkpoint_that_another_key_has_signed_does_not_fit_the_one_kept_elsewhere(run: Run, pruned: Path) -> None:
    """Who can write the whole folder can sign anew, but not with that key."""
    kept = json.loads(run("retention", "key", "--data", pruned, "--json").stdout)
    assert run("verify", "--data", pruned, "--key", kept["publicKey"]).exit_code == 0
    forger = SigningKey(bytes(32))
    with closing(connect(Settings(folder=pruned).database)) as db:
        made = answered(db, checkpoint_of(1))
        assert made is not None
        signature = forger.sign(made.statement())
        db.execute("UPDATE log_checkpoints SET signature = ?, key_id = ?", (signature, forger.key_id))
    (pruned / FILE).write_text(bytes(32).hex())
    assert run("verify", "--data", pruned).exit_code == 0
    result = run("verify", "--data", pruned, "--key", kept["publicKey"])
    assert result.exit_code == 1
    assert f"this is {kept['keyId']}" in result.stdout


def test_the_key_is_its_owners_alone(run: Run, pruned: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE((pruned / FILE).stat().st_mode) == 0o600
    key = public_key(pruned)
    assert key is not None
    assert run("retention", "key", "--data", pruned).stdout.strip() == key.hex
    assert run("retention", "key", "--data", tmp_path).exit_code == 2
    assert run("verify", "--data", pruned, "--key", "nonsense").exit_code == 2
    (pruned / FILE).unlink()
    result = run("verify", "--data", pruned)
    assert result.exit_code == 1
    assert "there is no key" in result.stdout


def test_a_pruned_log_is_backed_up_restored_and_goes_on(run: Run, pruned: Path, tmp_path: Path) -> None:
    assert run("backup", "--data", pruned, tmp_path / "backup").exit_code == 0
    result = run("restore", tmp_path / "backup", "--data", tmp_path / "again")
    assert result.exit_code == 0, result.output
    assert run("verify", "--data", tmp_path / "again").exit_code == 0
    assert stat.S_IMODE((tmp_path / "again" / FILE).stat().st_mode) == 0o600
    assert run("vacuum", "--data", tmp_path / "again").exit_code == 0
    assert run("verify", "--data", tmp_path / "again").exit_code == 0
    before = execute(pruned, "SELECT sequence FROM log_checkpoints")
    assert run("prune", "--data", tmp_path / "again").exit_code == 0
    assert execute(tmp_path / "again", "SELECT sequence FROM log_checkpoints") == before


@pytest.mark.parametrize(("sequence", "kept"), [(2_900, 2_900), (CLOSED, CLOSED), (CLOSED - 1, None)])
def test_a_backup_is_restored_as_it_was_at_a_moment_that_is_left(
    run: Run, pruned: Path, tmp_path: Path, sequence: int, kept: int | None
) -> None:
    assert run("backup", "--data", pruned, tmp_path / "backup").exit_code == 0
    moment = f"2023-11-14T22:13:20.{sequence:06d}Z"
    result = run("restore", tmp_path / "backup", "--data", tmp_path / "again", "--at", moment)
    if kept is None:
        assert result.exit_code == 1
        assert "was pruned" in result.stderr
        assert not (tmp_path / "again").exists()
    else:
        assert result.exit_code == 0, result.output
        shown = json.loads(run("verify", "--data", tmp_path / "again", "--json").stdout)
        assert (shown["clean"], shown["files"][0]["version"]) == (True, kept)


def test_ids_are_forgotten_when_it_is_asked_for(run: Run, pruned: Path) -> None:
    assert execute(pruned, "SELECT count(*) FROM operation_runs") != [(0,)]
    result = run("prune", "--ids", "--data", pruned, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["forgotten"] == 1
    assert execute(pruned, "SELECT count(*) FROM operation_runs") == [(0,)]
    assert execute(pruned, "SELECT horizon FROM checkpoint_files") == [(CLOSED + 1,)]
    assert run("verify", "--data", pruned).exit_code == 0
    assert run("vacuum", "--data", pruned).exit_code == 0
    assert run("verify", "--data", pruned).exit_code == 0
    assert json.loads(run("prune", "--ids", "--data", pruned, "--json").stdout)["forgotten"] == 0


def test_no_such_folder(run: Run, tmp_path: Path) -> None:
    result = run("prune", "--data", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr
    assert not (tmp_path / "nowhere").exists()
