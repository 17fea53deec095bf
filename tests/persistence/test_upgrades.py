"""Databases as they were written before: brought up to date they hold the same, bit for bit, and go on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coscribe.cli import app
from coscribe.config import Settings
from coscribe.documents.ports import Home
from coscribe.model import FILES
from coscribe.persistence.migrate import current, head, migrate
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol import messages
from tests.contracts.conversations import Server
from tests.data import unpack
from tests.documents.test_direct import ANN

DATABASES = Path(__file__).parent / "databases"


@pytest.fixture(params=sorted(path.name.partition(".")[0] for path in DATABASES.glob("*.tar.xz")))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A data folder as that revision has left it, and what is in it."""
    folder = tmp_path / "data"
    with tarfile.open(DATABASES / f"{request.param}.tar.xz") as archive:
        unpack(archive, folder)
    assert current(Settings(folder=folder).database) == request.param
    return folder, json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a database, by table and column."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for column in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]:
                found[f"{table}.{column}"] = db.execute(f"SELECT {column} FROM {table}").fetchall()
    return found


def test_nothing_that_was_there_is_another_one(written: tuple[Path, dict[str, Any]]) -> None:
    path = Settings(folder=written[0]).database
    before = rows_of(path)
    migrate(path)
    after = rows_of(path)
    assert current(path) == head()
    del before["alembic_version.version_num"]
    assert {name: after[name] for name in before} == before


def test_it_verifies_and_every_text_is_there(written: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = written
    migrate(Settings(folder=folder).database)
    run: Callable[[list[str]], Any] = lambda arguments: CliRunner().invoke(app, [*arguments, "--data", str(folder)])  # noqa: E731
    result = run(["verify"])
    assert result.exit_code == 0, result.output
    for name, said in expected.items():
        shown = json.loads(run(["cat", name, "--json", "--version", str(said["version"])]).stdout)
        assert (shown["text"], shown["version"]) == (said["text"], said["version"])


async def test_it_goes_on_beside_a_tree(written: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = written
    path = Settings(folder=folder).database
    migrate(path)
    storage = SqliteStorage(path)
    server = Server(storage)
    for name, said in expected.items():
        message = messages.Operation(name, "new:1", "ann", said["version"], "insert", 0, ">")
        (place,) = await server.collaboration.edit(ANN, message)
        assert place == messages.Place("new:1", said["sequence"] + 1, said["version"] + 1)
        assert (await server.collaboration.text(ANN, name)).text == ">" + said["text"]
    await storage.create("later", "later", "later", 1)
    await storage.create_tree("project", 1)
    keys = [(await storage.acquire(name)).files[0].key for name in ("later", "project")]  # type: ignore[union-attr]  # they are there
    assert all(key % FILES == 0 and key >= FILES for key in keys)
    assert await storage.locate("essay") == Home("essay", is_tree=False)
    await server.stop()
    await storage.close()
    shutil.rmtree(folder / "lock", ignore_errors=True)
    result = CliRunner().invoke(app, ["verify", "--data", str(folder)])
    assert result.exit_code == 0, result.output
