"""``coscribe serve`` as it starts: its folder, and another server that has it already."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from coscribe.app import lock_folder
from tests.cli.conftest import Run
from tests.e2e.server_process import ServerProcess, free_port


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.slow
def test_a_new_folder_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    shared.chmod(0o755)
    for folder, expected in ((tmp_path / "deep" / "new", 0o700), (shared, 0o755)):
        server = ServerProcess(folder)
        server.start()
        server.stop()
        assert mode(folder) == expected
        assert (folder / "coscribe.db").exists()


def test_a_folder_made_for_its_key_is_its_owners_alone(tmp_path: Path, run: Run) -> None:
    result = run("token", "ann", "--data", tmp_path / "new")
    assert result.exit_code == 0, result.stderr
    assert mode(tmp_path / "new") == 0o700


def test_a_folder_in_use_is_not_served_twice(tmp_path: Path, run: Run) -> None:
    with lock_folder(tmp_path):
        result = run("serve", "--data", tmp_path, "--port", free_port())
    assert result.exit_code == 2
    assert f"another server is using {tmp_path}" in " ".join(result.stderr.split())
    assert "--wait" in result.stderr


@pytest.mark.slow
def test_one_that_waits_takes_over_at_the_same_address(tmp_path: Path) -> None:
    first = ServerProcess(tmp_path / "data")
    first.start()
    second = first.successor()
    try:
        first.stop()
        second.listens()
    finally:
        first.kill()
        second.stop()
    assert second.port == first.port


def test_tracing_without_its_packages_is_told(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSCRIBE_TRACING__ENDPOINT", "http://127.0.0.1:4318/v1/traces")
    monkeypatch.setitem(sys.modules, "coscribe.exporting", None)
    result = run("serve", "--data", tmp_path, "--port", free_port())
    assert result.exit_code == 2
    assert "coscribe[tracing]" in result.stderr


@pytest.mark.slow
def test_a_database_that_cannot_be_read_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "coscribe.db").write_bytes(b"no database at all" * 100)
    command = [sys.executable, "-m", "coscribe", "serve", "--port", "0", "--data", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"{tmp_path} cannot be used: file is not a database" in result.stderr
    assert f"coscribe doctor --data {tmp_path}" in result.stderr
