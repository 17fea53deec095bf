"""A day of typing and its night, and what is asked of the past afterwards; the whole week with `make test-long`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from coscribe.model import LogEntry
from tests.soak.journal import past_of
from tests.soak.week import slope


@pytest.mark.slow
def test_a_day() -> None:
    shown = soaked("--hours", "28", "--people", "2", "--documents", "2")
    assert "files clean" in shown


@pytest.mark.soak
def test_a_week() -> None:
    assert "MB resident, at most" in soaked()


def soaked(*arguments: str) -> str:
    """In a process of its own, whose memory is nobody else's."""
    command = [sys.executable, "-m", "tests.soak", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_slope_is_that_of_the_line() -> None:
    assert slope([3.0, 5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([1.0, 0.0, 1.0]) == pytest.approx(0.0)


def test_the_oracle_knows_who_wrote_what() -> None:
    entries = [entry(1, 1, b'[["ab\xc3\xa9"],[]]'), entry(2, 2, b'[[1,"x",["b"]],[]]'), entry(3, 2, b"[[1],[]]")]
    assert {version: tuple(moment) for version, moment in past_of(iter(entries), {1})} == {
        1: ("abé", [1, 1, 1]),
        2: ("axé", [1, 2, 1]),
    }


def test_the_oracle_notices_a_delete_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="sequence 2 deletes"):
        list(past_of(iter([entry(1, 1, b'[["ab"],[]]'), entry(2, 2, b'[[["b"]],[]]')]), set()))
    with pytest.raises(ValueError, match="sequence 1 reaches"):
        list(past_of(iter([entry(1, 1, b'[[4,"b"],[]]')]), set()))


def entry(sequence: int, version: int, payload: bytes) -> LogEntry:
    """By an author of the same number."""
    return LogEntry(sequence, 1, version, 0, f"s:{sequence}", "", sequence, b"", 0, payload, b"", b"")
