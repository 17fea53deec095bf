"""Whole conversations between clients and the server, as they are frozen in contract/conformance/conversations."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from coscribe.app import tune_interpreter
from coscribe.core.document_state import Limits
from coscribe.documents.ports import OpLog
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.migrate import migrate
from coscribe.persistence.postgres import PostgresStorage
from coscribe.persistence.sqlite import SqliteStorage
from tests.contracts.conversations import (
    FOLDER,
    Conversation,
    Mismatch,
    Storage,
    constants,
    difference,
    held,
    in_snake_case,
    load,
)
from tests.contracts.op_log import OpLogContract
from tests.contracts.snapshot_repo import SnapshotRepoContract
from tests.migrated import emptied
from tests.servers import PostgresServer

FILES = sorted(FOLDER.glob("*.json"))
SCHEMA = json.loads((FOLDER.parents[1] / "wire.schema.json").read_text(encoding="utf-8"))

OpenStorage = Callable[[], Storage]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "coscribe.db"
    migrate(path)
    return path


@pytest.fixture(scope="module")
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.fresh()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="module", autouse=True)
def short_switches() -> Iterator[None]:
    """`Server.settle` spins, and the threads of SQLite want the global lock back soon, as in a process that serves."""
    kept = sys.getswitchinterval()
    tune_interpreter()
    yield
    sys.setswitchinterval(kept)


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sqlite", "postgres"))])
def open_storage(request: pytest.FixtureRequest, empty_database: Path, tmp_path: Path) -> OpenStorage:
    if request.param == "memory":
        storage = MemoryStorage()
        return lambda: storage
    if request.param == "postgres":
        url = emptied(request.getfixturevalue("database_url"))
        return lambda: PostgresStorage(url)
    path = tmp_path / "coscribe.db"
    shutil.copy(empty_database, path)
    return lambda: SqliteStorage(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_conversation(path: Path, open_storage: OpenStorage) -> None:
    record = load(path)
    with constants(record):
        await Conversation(record, open_storage).run()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_conversation_is_well_formed(path: Path) -> None:
    """What clients send fits the schema; of what they get, type and fields are known."""
    record = load(path)
    assert record.keys() <= {"title", "why", "given", "limits", "ignore", "steps"}
    assert record.get("given", {}).keys() <= {"people", "text", "live"}
    known = {*Limits._fields, *GatewayLimits._fields, "resend_page", "max_backlog"}
    assert {in_snake_case(name) for name in record.get("limits", {})} <= known
    client = Draft202012Validator({**SCHEMA, "$ref": "#/$defs/ClientMessage"})
    for step in record["steps"]:
        if "send" in step:
            client.validate(step["send"])
        expected: dict[str, Any] = step.get("expect") or step.get("includes") or {}
        if expected:
            fields = SCHEMA["$defs"][f"{expected['type'][0].upper()}{expected['type'][1:]}"]["properties"]
            assert expected.keys() <= fields.keys()


def test_there_are_enough() -> None:
    assert len(FILES) >= 100
    assert len({load(path)["title"] for path in FILES}) == len(FILES)


async def test_a_conversation_that_goes_otherwise_is_noticed() -> None:
    record = load(FOLDER / "edit-two-people.json")
    storage = MemoryStorage()
    wrong = json.loads(json.dumps(record).replace('"serverSequenceId": 2', '"serverSequenceId": 7', 1))
    with pytest.raises(Mismatch, match=r"step 2, .*serverSequenceId: expected 7, got 2"):
        await Conversation(wrong, lambda: storage).run()
    silent = {**record, "steps": record["steps"][:1]}
    with pytest.raises(Mismatch, match="at the end ann has got more"):
        await Conversation(silent, MemoryStorage).run()


@pytest.mark.parametrize(
    ("expected", "got", "whole", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True, "$: has b too"),
        ({"a": 1}, {"a": 1, "b": 2}, False, None),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, False, "$.a[0].b: expected 1, got 2"),
        ({"a": "<any>"}, {}, False, "$: a is missing"),
        ({"a": "<any>"}, {"a": [1]}, True, None),
        ([1], [1, 2], False, "$: expected [1], got [1, 2]"),
        (1, True, False, "$: expected 1, got true"),
        ({"a": 1}, None, False, '$: expected {"a": 1}, got null'),
    ],
)
def test_difference(expected: Any, got: Any, whole: bool, found: str | None) -> None:
    assert difference(expected, got, whole=whole) == found


@pytest.fixture
def storage() -> Storage:
    return held(MemoryStorage())[1]


@pytest.fixture
def op_log(storage: Storage) -> OpLog:
    return storage


class TestHoldingLogAsOpLog(OpLogContract):
    pass


class TestHoldingLogAsSnapshotRepo(SnapshotRepoContract):
    pass
