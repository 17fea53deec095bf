"""Where the external data of the tests is: the directory in COSCRIBE_DATA, by default ../shared/data.

It is used in place, never copied. A test whose data is not there is skipped, and says how many cases that leaves out;
conftest.py adds them up at the end of the run.
"""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / (os.environ.get("COSCRIBE_DATA") or "../shared/data")).resolve()

MISSING = "external data is missing"
"""How the reason of such a skip begins; then the number of cases in brackets, then the path."""


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """One that we have made. Before 3.11.4 Python has no filters."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)


def need(path: Path, cases: int = 1) -> Path:
    """The path, if it is there; else the test is skipped, which leaves out so many cases."""
    if not path.exists():
        pytest.skip(f"{MISSING} ({cases} cases): {path}")
    return path


def load_trace(name: str, cases: int = 1) -> dict[str, Any]:
    """An editing history by its bare name, as in ``load_trace("friendsforever_flat")``."""
    with gzip.open(need(DATA / "traces" / f"{name}.json.gz", cases), "rt", encoding="utf-8") as file:
        trace: dict[str, Any] = json.load(file)
    return trace


def vector_lines(name: str, cases: int = 1) -> list[str]:
    """The lines of a file of test vectors, as in ``vector_lines("ot-apply.jsonl")``."""
    text = need(DATA / "vectors" / name, cases).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line.strip()]
