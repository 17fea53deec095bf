"""Every command says what it is for, and shows how it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("command", ["replay", "cat", "watch", "log", "verify"])
def test_help_has_examples(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert result.stdout.count(f"coscribe {command}") >= 3
    assert "--help" in result.stdout


def test_is_a_module_too() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "coscribe", "log", "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert "coscribe log" in result.stdout
