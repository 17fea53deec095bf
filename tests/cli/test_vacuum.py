"""``coscribe vacuum``: less room, the same log."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coscribe.app import lock_folder
from coscribe.config import Settings
from tests.cli.conftest import Run
from tests.cli.written import FILE_ID, Written, store

COUNT = 3_000
CLOSED = 2_799
"""Entries before the one from which the file is loaded."""


@pytest.fixture(scope="session")
def long() -> Written:
    """Years of typing, more or less."""
    written = Written()
    for number in range(COUNT):
        if number == CLOSED + 1:
            written.snapshot()
        written.add("ann" if number % 7 else "bob", [(written.length // 2, 0, "ab"), (written.length, 0, "\n")])
    return written


@pytest.fixture(scope="session")
def _grown(tmp_path_factory: pytest.TempPathFactory, long: Written) -> Path:
    folder = tmp_path_factory.mktemp("grown") / "data"
    store(folder, long)
    return folder


@pytest.fixture
def grown(_grown: Path, tmp_path: Path) -> Path:
    """A data folder that holds `long`; a copy."""
    return Path(shutil.copytree(_grown, tmp_path / "data"))


def counts(folder: Path) -> tuple[int, int]:
    """Entries in segments, and rows."""
    with closing(sqlite3.connect(Settings(folder=folder).database)) as db:
        (entries,) = db.execute("SELECT coalesce(sum(entries), 0) FROM log_segments").fetchone()
        (rows,) = db.execute("SELECT count(*) FROM file_operation_log").fetchone()
    return entries, rows


def test_closed_parts_are_compressed_and_space_is_given_back(run: Run, grown: Path, long: Written) -> None:
    path = Settings(folder=grown).database
    size = path.stat().st_size
    shown = [run("log", FILE_ID, "--data", grown, "--limit", 0).stdout]
    shown.append(run("cat", FILE_ID, "--data", grown, "--version", 1_000).stdout)
    result = run("vacuum", "--data", grown, "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert (done["entries"], done["segments"], done["left"]) == (CLOSED, 2, {})
    assert done["bytesBefore"] >= size > 1.3 * done["bytesAfter"]
    assert path.stat().st_size == done["bytesAfter"]
    assert counts(grown) == (CLOSED, COUNT - CLOSED)

    result = run("verify", "--data", grown)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"ok      {FILE_ID}  3,000 entries, version 3,000, 1 snapshot")
    assert run("log", FILE_ID, "--data", grown, "--limit", 0).stdout == shown[0]
    assert run("cat", FILE_ID, "--data", grown, "--version", 1_000).stdout == shown[1]
    assert run("cat", FILE_ID, "--data", grown, "--version", 3_000).stdout.rstrip("\n") == long.text.rstrip("\n")

    again = json.loads(run("vacuum", "--data", grown, "--json").stdout)
    assert (again["entries"], again["segments"]) == (0, 0)
    assert counts(grown) == (CLOSED, COUNT - CLOSED)


def test_says_what_it_did(run: Run, grown: Path) -> None:
    result = run("vacuum", "--data", grown)
    assert result.exit_code == 0, result.output
    assert "compressed 2,799 entries of the log into 2 segments" in result.stdout
    assert "the database had" in result.stdout


def test_a_short_log_stays_as_it_is(run: Run, folder: Path) -> None:
    result = run("vacuum", "--data", folder)
    assert result.exit_code == 0, result.output
    assert "compressed 0 entries" in result.stdout
    assert counts(folder) == (0, 11)


def test_not_while_a_server_runs_on_it(run: Run, grown: Path) -> None:
    with lock_folder(grown):
        result = run("vacuum", "--data", grown)
    assert result.exit_code == 2
    assert "another server is using" in result.stderr
    assert "Stop it first" in result.stderr
    assert counts(grown) == (0, COUNT)


def test_no_such_folder(run: Run, tmp_path: Path) -> None:
    result = run("vacuum", "--data", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_bytes_that_are_no_database(run: Run, tmp_path: Path) -> None:
    path = Settings(folder=tmp_path).database
    path.write_bytes(b"something else entirely " * 100)
    result = run("vacuum", "--data", tmp_path)
    assert result.exit_code == 2
    assert "coscribe verify" in result.stderr
    assert path.read_bytes() == b"something else entirely " * 100


def test_a_log_that_does_not_fit_its_hashes_is_left_as_it_is(run: Run, grown: Path) -> None:
    with closing(sqlite3.connect(Settings(folder=grown).database)) as db, db:
        db.execute("UPDATE file_operation_log SET time = time + 1 WHERE sequence = 2500")
    result = run("vacuum", "--data", grown, "--json")
    assert result.exit_code == 1
    assert "sequence 2500 does not fit its hash chain" in json.loads(result.stdout)["left"][FILE_ID]
    assert f"not compressed: {FILE_ID}" in result.stderr
    assert counts(grown) == (2_048, COUNT - 2_048)
    result = run("verify", "--data", grown)
    assert result.exit_code == 1
    assert "sequence 2500: its hash does not fit" in result.stdout


@pytest.mark.parametrize("harm", ["substr(content, 1, 1000)", "zeroblob(length(content))"], ids=["cut", "zeros"])
def test_a_damaged_segment_is_found_by_verify(run: Run, grown: Path, harm: str) -> None:
    assert run("vacuum", "--data", grown).exit_code == 0
    with closing(sqlite3.connect(Settings(folder=grown).database)) as db, db:
        db.execute(f"UPDATE log_segments SET content = {harm} WHERE first_sequence = 1")
    result = run("verify", "--data", grown)
    assert result.exit_code == 1
    assert "the segment of sequences 1 to 2048" in result.stdout
    result = run("cat", FILE_ID, "--data", grown, "--version", 100)
    assert result.exit_code == 2
    assert "coscribe verify" in result.stderr


def test_a_lost_segment_is_found_by_verify(run: Run, grown: Path) -> None:
    assert run("vacuum", "--data", grown).exit_code == 0
    with closing(sqlite3.connect(Settings(folder=grown).database)) as db, db:
        db.execute("DELETE FROM log_segments WHERE first_sequence = 1")
    result = run("verify", "--data", grown)
    assert result.exit_code == 1
    assert "the entries 1 to 2048 before it are missing" in result.stdout


def test_help_has_examples(run: Run) -> None:
    result = run("vacuum", "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert result.stdout.count("coscribe vacuum") >= 3
