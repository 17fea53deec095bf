"""The doctor finds what is wrong, says what to do, and finds nothing where all is well."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coscribe.app import lock_folder, token_secret
from coscribe.bench.machine import Disk
from coscribe.cli import checks
from coscribe.cli.store import Store
from coscribe.config import Settings
from tests.cli.conftest import Run, Server
from tests.cli.stores import Kept
from tests.servers import PASSWORD


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("COSCRIBE_") and name != "COSCRIBE_PURE"]:
        monkeypatch.delenv(name)


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    """On a disk: what is not one is a finding."""
    return disk_path


def examined(run: Run, folder: Path, *more: str) -> dict[str, dict[str, str]]:
    """What it says, by name of the check; the exit code has to fit."""
    result = run("doctor", "--data", folder, "--json", *more)
    told: dict[str, Any] = json.loads(result.stdout)
    problems = [check for check in told["checks"] if check["state"] == "problem"]
    assert told["healthy"] == (not problems)
    assert result.exit_code == bool(problems), result.output
    for check in told["checks"]:
        assert bool(check["advice"]) == (check["state"] != "ok"), "advice where there is something to do"
    return {check["name"]: check for check in told["checks"]}


def database(folder: Path) -> Path:
    return Settings(folder=folder).database


def test_a_good_folder(run: Run, folder: Path) -> None:
    token_secret(Settings(folder=folder))
    folder.chmod(0o700)
    told = examined(run, folder)
    elsewhere = ("core", "web editor", "public url", "mail", "open files")  # about this installation, not the folder
    assert [name for name, check in told.items() if check["state"] != "ok" and name not in elsewhere] == []
    assert {"python", "sqlite", "database", "journal", "clock", "schema", "disk"} <= set(told)
    assert told["lock"]["found"] == "free: no server runs on this folder"
    assert told["durability"]["found"] == "journal wal, synchronous FULL"
    assert sorted(path.name for path in folder.iterdir() if path.suffix not in (".db-shm", ".db-wal")) == [
        "coscribe.db",
        "token.key",
    ]


def test_lines_for_people(run: Run, folder: Path) -> None:
    (folder / "token.key").write_text("x")
    (folder / "token.key").chmod(0o644)
    result = run("doctor", "--data", folder)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if " token.key " in line and "mode" in line]
    assert line.split()[:4] == ["problem", "token.key", "mode", "644"]
    assert f"-> chmod 600 {folder / 'token.key'}" in result.stdout


def test_no_folder(run: Run, tmp_path: Path) -> None:
    assert examined(run, tmp_path / "nothing")["folder"]["state"] == "problem"


def test_an_empty_folder_is_well(run: Run, tmp_path: Path) -> None:
    told = examined(run, tmp_path)
    assert told["database"]["found"] == "none yet: the first start makes it"
    assert told["token.key"]["state"] == "ok"


def test_a_lock_is_held_by_somebody(folder: Path) -> None:
    lock = lock_folder(folder)
    assert checks.lock_holder(folder) in (os.getpid(), 0)
    lock.close()
    assert checks.lock_holder(folder) is None


def test_a_missing_key(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examined(run, folder)["token.key"]["state"] == "warning"
    monkeypatch.setenv("COSCRIBE_TOKEN_SECRET", "s" * 32)
    assert examined(run, folder)["token.key"]["state"] == "ok"


def test_a_damaged_database(run: Run, folder: Path) -> None:
    with closing(sqlite3.connect(database(folder))) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'heads'").fetchone()
    with database(folder).open("rb+") as file:
        file.seek((page - 1) * 4_096)
        file.write(b"\xff" * 4_096)
    assert examined(run, folder)["database"]["state"] == "problem"


def test_no_database_at_all(run: Run, folder: Path) -> None:
    database(folder).write_bytes(b"not a database" * 1_000)
    assert examined(run, folder)["database"]["state"] == "problem"


@pytest.mark.parametrize(("revision", "state"), [("0001", "warning"), ("9999", "problem")])
def test_a_schema_of_another_version(run: Run, folder: Path, revision: str, state: str) -> None:
    with closing(sqlite3.connect(database(folder))) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        db.commit()
    assert examined(run, folder)["schema"]["state"] == state


def test_a_clock_that_went_back(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(database(folder))) as db:
        db.execute("UPDATE file_operation_log SET time = ?", (int((time.time() + 3_600) * 1_000_000),))
        db.commit()
    assert "in the future" in examined(run, folder)["clock"]["found"]
    monkeypatch.setattr("coscribe.cli.checks.time.time", lambda: 86_400.0)
    assert examined(run, folder)["clock"]["found"].startswith("1970")


def test_little_room(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((100_000_000, "problem"), (1_000_000_000, "warning"), (10_000_000_000, "ok")):
        usage = SimpleNamespace(total=10**12, used=0, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert examined(run, folder)["space"]["state"] == state


def test_a_disk_that_is_slow_or_is_none(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(seconds: float) -> str:
        monkeypatch.setattr(Disk, "measure", lambda disk, samples: disk.times.extend([seconds] * samples))
        return examined(run, folder)["disk"]["state"]

    assert [measured(seconds) for seconds in (0.000_001, 0.002, 0.1)] == ["warning", "ok", "warning"]
    monkeypatch.setattr(checks, "filesystem", lambda _: "tmpfs")
    assert measured(0.002) == "problem"


def test_few_open_files(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, state in ((256, "problem"), (4_096, "warning"), (65_536, "ok"), (resource.RLIM_INFINITY, "ok")):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert examined(run, folder)["open files"]["state"] == state


def test_settings_that_do_not_fit(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSCRIBE_PUBLIC_URL", "https://notes.example")
    told = examined(run, folder)
    assert told["public url"]["found"] == "https://notes.example"
    assert told["mail"]["state"] == "warning", "people elsewhere cannot be reached"
    monkeypatch.setenv("COSCRIBE_MAIL__HOST", "mail.example")
    assert examined(run, folder)["mail"]["found"] == "through mail.example:587"
    monkeypatch.setenv("COSCRIBE_TLS_KEY", "/nowhere/key.pem")
    assert "belong together" in examined(run, folder)["settings"]["advice"]
    monkeypatch.setenv("COSCRIBE_MAX_BACKLOG", "many")
    assert "max_backlog" in examined(run, folder)["settings"]["found"]


@pytest.mark.parametrize("command", ["backup", "restore", "doctor"])
def test_help_has_examples(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.count(f"coscribe {command}") >= 3


@pytest.mark.slow
def test_a_server_that_runs(run: Run, server: Server) -> None:
    told = examined(run, server.folder, "--server", server.url)
    assert told["/healthz"]["state"] == told["/readyz"]["state"] == "ok"
    assert str(server.process.pid) in told["lock"]["found"]
    assert examined(run, server.folder, "--server", "http://127.0.0.1:1")["/healthz"]["state"] == "problem"


def of_postgres(run: Run, folder: Path, url: str) -> dict[str, dict[str, str]]:
    return examined(run, folder, "--database", url)


def test_a_good_postgres(run: Run, folder: Path, postgres: Callable[[], str]) -> None:
    token_secret(Settings(folder=folder))
    folder.chmod(0o700)
    told = of_postgres(run, folder, postgres())
    assert "sqlite" not in told and "disk" not in told
    about = ("database", "encoding", "durability", "connections", "their clocks", "schema", "clock", "move")
    assert {name: told[name]["state"] for name in about} == dict.fromkeys(about, "ok")
    assert told["database"]["found"].startswith("postgresql://coscribe@127.0.0.1:")
    assert told["instances"]["found"] == "none runs on it"


def test_what_is_wrong_with_a_postgres(run: Run, folder: Path, postgres: Callable[[], str]) -> None:
    kept = Kept(Store(folder, postgres()))
    kept.execute("INSERT INTO moves VALUES ('mov_1', 'target', '/there', NULL, 0, NULL)")
    kept.execute("INSERT INTO instances VALUES ('ins_1', 'north', true, false, 9000000000000000, 0)")
    told = of_postgres(run, folder, kept.store.url)
    assert told["move"]["state"] == "problem"
    assert "the move of /there into this database was not finished" in told["move"]["found"]
    assert told["instances"]["found"] == "north run on it"
    kept.execute("DELETE FROM alembic_version")
    assert of_postgres(run, folder, kept.store.url)["schema"]["state"] == "warning"
    told = of_postgres(run, folder, kept.store.url + "nowhere")
    assert told["database"]["state"] == "problem"
    assert PASSWORD not in str(told)
