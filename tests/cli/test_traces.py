"""Reading traces: both kinds, packed or not, and what is said of files that are none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from coscribe.cli.traces import TraceError, load

SEQUENTIAL = {
    "startContent": "ab",
    "endContent": "xb",
    "txns": [{"time": "2020-01-01T00:00:00Z", "patches": [[0, 1, "x"], [1, 0, ""]]}],
}
CONCURRENT = {
    "kind": "concurrent",
    "endContent": "ab",
    "numAgents": 2,
    "txns": [
        {"parents": [], "numChildren": 1, "agent": 0, "patches": [[0, 0, "a"]]},
        {"parents": [0], "numChildren": 0, "agent": 1, "patches": [[1, 0, "b"]]},
    ],
}


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_sequential(tmp_path: Path) -> None:
    trace = load(write(tmp_path / "some.trace.json", SEQUENTIAL))
    assert (trace.name, trace.concurrent, trace.start, trace.end, trace.agents) == ("some.trace", False, "ab", "xb", 1)
    assert [txn.patches for txn in trace.txns] == [[(0, 1, "x")]], "a patch that changes nothing is left out"
    assert trace.edits == 1


def test_concurrent_and_packed(tmp_path: Path) -> None:
    path = tmp_path / "two.json.gz"
    path.write_bytes(gzip.compress(json.dumps(CONCURRENT).encode()))
    trace = load(path)
    assert (trace.name, trace.concurrent, trace.start, trace.agents) == ("two", True, "", 2)
    assert [(txn.agent, txn.parents) for txn in trace.txns] == [(0, []), (1, [0])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "kind 'other'"),
        ({"txns": [{"patches": [[-1, 0, "a"]]}]}, r"\$.txns\[0\].patches"),
        ({"txns": [{"patches": [[0, 0, "a\r\n"]]}]}, "txn 0 inserts a CR"),
        ({"txns": [{"patches": [[0, 0, "a"]], "agent": 2}]}, "txn 0 names an agent"),
        ({"txns": [{"patches": [[0, 0, "a"]], "parents": [0]}]}, "txn 0 names an agent or a parent"),
        ({"txns": "none"}, "this is not a trace"),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        load(write(tmp_path / "trace.json", CONCURRENT | change))


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe", b"[]", b"\x1f\x8b", b"\x1f\x8b rest", gzip.compress(b"{}", mtime=0)[:-4]]
)
def test_no_trace_at_all(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(raw)
    with pytest.raises(TraceError):
        load(path)
