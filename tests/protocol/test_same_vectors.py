"""The client in TypeScript passes the very vectors that Python passes: the same names, none left out on either side.

Here each of them is checked once more by the functions that the tests of each file use, so that a name stands for a
vector that has passed. The other side writes down the names of those that passed there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coscribe.persistence.memory import MemoryStorage
from tests.contracts.conversations import FOLDER, Conversation, constants, load
from tests.core.test_vectors import PUBLISHED
from tests.data import DATA, ROOT
from tests.protocol.test_conformance import VECTORS, cases

WEB = ROOT / "web"
MODULES = WEB / "node_modules"
PUBLISHED_ARE_HERE = (DATA / "vectors").exists()
LEAST = 4_400

pytestmark = pytest.mark.slow


def same(storage: MemoryStorage) -> Callable[[], MemoryStorage]:
    return lambda: storage


async def conversations() -> set[str]:
    passed = set()
    for path in sorted(FOLDER.glob("*.json")):
        record = load(path)
        with constants(record):
            await Conversation(record, same(MemoryStorage())).run()
        passed.add(f"conversations/{path.stem}")
    return passed


def tables() -> set[str]:
    passed = set()
    for vectors in VECTORS:
        for name, case in zip(vectors.ids(), cases(vectors.name, vectors.key), strict=True):
            vectors.check(case)
            passed.add(name)
    if PUBLISHED_ARE_HERE:
        for published in PUBLISHED:
            for name, record in zip(published.ids(), published.records(), strict=True):
                published.check(record)
                passed.add(name)
    return passed


def in_typescript(ids: Path) -> set[str]:
    """The names of the vectors that the TypeScript client passes. None may fail there, and none be skipped."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # node is installed beside Python
    run = subprocess.run(
        [MODULES / ".bin" / "vitest", "run", "--project", "client", "packages/client/tests/conformance"],
        cwd=WEB,
        env={**os.environ, "PATH": path, "COSCRIBE_VECTOR_IDS": str(ids), "COSCRIBE_DATA": str(DATA), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout or not PUBLISHED_ARE_HERE, run.stdout
    lines = ids.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines))
    return set(lines)


async def test_python_and_typescript_pass_the_same_vectors(tmp_path: Path) -> None:
    if not MODULES.exists():
        pytest.skip("web/node_modules is missing: run npm ci in web/")
    there = in_typescript(tmp_path / "ids")
    here = tables() | await conversations()
    assert not here ^ there, sorted(here ^ there)[:20]
    if PUBLISHED_ARE_HERE:
        assert len(here) >= LEAST
