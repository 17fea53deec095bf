"""``coscribe migrate``: from a folder's SQLite to a PostgreSQL, whatever comes between."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from coscribe.app import lock_folder, open_storage, token_secret
from coscribe.cli.moving import Begin, MoveError, move
from coscribe.cli.store import Store
from coscribe.config import Settings
from coscribe.documents.ports import SegmentSize
from coscribe.persistence import copying, moves
from coscribe.persistence.copying import Told, tables
from coscribe.persistence.moves import NotServed
from coscribe.persistence.stored import engine_for
from tests.api.test_content import put
from tests.api.test_retention import pruned
from tests.api.town import open_town
from tests.cli.conftest import Run
from tests.cli.stores import Kept
from tests.servers import PASSWORD, PostgresServer, postgres_programs

pytestmark = pytest.mark.slow

Rows = dict[str, list[tuple[Any, ...]]]


async def _live(folder: Path) -> None:
    """Documents, closed parts of a log, one that was pruned, a tree with what is no text, a checkpoint, accounts."""
    async with open_town(folder) as town:
        ben = await town.person("ben")
        document = await ben.document("Plan \N{SNOWMAN}", "A plan.\n")
        for version in range(1, 12):
            await put(ben, document, f"A plan.\n{'x' * version} \N{GRINNING FACE}", version)
        collaboration, storage = town.coscribe.collaboration, town.coscribe.storage
        await collaboration.save(None, document)
        workspace = await storage.acquire(document)
        assert workspace is not None
        assert await storage.compact(workspace.key, 6, SegmentSize(3, 10**6, 1)) is not None
        assert await storage.compact(workspace.key, 6, SegmentSize(3, 10**6, 1)) is not None
        collaboration.router.drop(collaboration.router.sessions[document])
        await ben.post(f"/documents/{document}/checkpoints", status=201)
        short = await ben.document("Short")
        for version in range(6):
            await put(ben, short, f"{version} kept", version)
        await pruned(town, short)
        tree = await ben.workspace("Tree", readme="nothing", config="key = value\n")
        options = {"params": {"path": "picture"}, "content": bytes(range(256)), "headers": {"If-None-Match": "*"}}
        await ben.done("PUT", f"/workspace/{tree}/fs/write", 200, **options)


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lived") / "data"
    asyncio.run(_live(folder))
    return folder


@pytest.fixture
def lived(_lived: Path, tmp_path: Path) -> Path:
    """A folder in which a server has been; a copy."""
    return Path(shutil.copytree(_lived, tmp_path / "lived"))


@pytest.fixture
def target(postgres: Callable[[], str]) -> str:
    """A database with the present schema and nothing in it."""
    return postgres()


def rows_of(database: Path | str) -> Rows:
    """All that is moved, in an order of Python's."""
    with engine_for(database).connect() as connection:
        return {table.name: sorted(map(tuple, connection.execute(select(table)).all()), key=repr) for table in tables()}


def database_of(folder: Path) -> Path:
    return Settings(folder=folder).database


def in_the_way(database: Path | str) -> str:
    with engine_for(database).connect() as connection:
        return moves.obstacle(connection)


def quietly(what: str, rows: int) -> Told:
    return lambda done: None


def test_everything_arrives(run: Run, lived: Path, target: str) -> None:
    before = rows_of(database_of(lived))
    said = json.loads(run("verify", "--data", lived, "--json").stdout)
    assert said["clean"]
    result = run("migrate", "--data", lived, "--to", target, "--json")
    assert result.exit_code == 0, result.output
    moved = json.loads(result.stdout)
    assert moved["rows"] == sum(map(len, before.values()))
    assert (moved["workspaces"], moved["resumed"], moved["before"]) == (3, False, False)
    assert PASSWORD not in result.output
    assert rows_of(target) == before == rows_of(database_of(lived))
    shutil.rmtree(lived / "blobs")
    assert run("verify", "--data", lived).exit_code == 1
    assert json.loads(run("verify", "--data", lived, "--database", target, "--json").stdout) == said
    assert in_the_way(target) == ""
    assert "was moved to postgresql://coscribe@127.0.0.1" in in_the_way(database_of(lived))
    again = run("migrate", "--data", lived, "--to", target)
    assert again.exit_code == 0
    assert "was moved to" in again.stdout


def test_what_was_moved_is_not_served_and_what_has_arrived_is(folder: Path, target: str) -> None:
    settings = Settings(folder=folder)
    with pytest.raises(Cut):
        move(folder, target, cut_while_copying(1))
    with pytest.raises(NotServed, match="was not finished: run `coscribe migrate` again"):
        open_storage(settings.model_copy(update={"database_url": target}), threading.Lock())
    asyncio.run(open_storage(settings, threading.Lock()).close())
    move(folder, target, quietly)
    with pytest.raises(NotServed, match="it was moved to postgresql://coscribe@"):
        open_storage(settings, threading.Lock())
    asyncio.run(open_storage(settings.model_copy(update={"database_url": target}), threading.Lock()).close())


def test_an_empty_database_gets_its_tables(run: Run, folder: Path, postgres_server: PostgresServer) -> None:
    target = postgres_server.empty()
    result = run("migrate", "--data", folder, "--to", target)
    assert result.exit_code == 0, result.output
    assert "1 documents and workspaces, 11 entries" in result.stdout
    assert rows_of(target) == rows_of(database_of(folder))
    postgres_server.drop(target)


def test_what_is_made_next_has_keys_of_its_own(lived: Path, target: str) -> None:
    move(lived, target, quietly)
    with engine_for(target).connect() as connection:
        for table in tables():
            column = table.autoincrement_column
            if column is not None:
                sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
                drawn = connection.execute(text(f"SELECT nextval({sequence})")).scalar_one()
                highest = connection.execute(text(f"SELECT max({column.name}) FROM {table.name}")).scalar()
                assert drawn > (highest or 0), table.name


class Cut(BaseException):
    """As far as the database can tell: the process is gone."""


class Until:
    """A `Begin` that cuts off when it is told for the so manieth time."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, what: str, rows: int) -> Told:
        def told(done: int) -> None:
            self.left -= 1
            if self.left == 0:
                raise Cut

        return told


def cut_while_copying(at: int) -> Begin:
    """Behind so many batches."""
    return lambda what, rows: Until(at)(what, rows) if what == "copying" else quietly(what, rows)


def told_in(folder: Path, target: str) -> int:
    """How often a whole move tells how far it is."""
    times = Until(-1)
    move(folder, target, times)
    return -1 - times.left


def test_cut_off_at_any_moment_and_run_again(
    lived: Path, postgres: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH_ROWS", 3)
    seed = int(os.environ.get("COSCRIBE_SEED") or random.SystemRandom().randrange(2**32))
    print(f"COSCRIBE_SEED={seed}")
    before = rows_of(database_of(lived))
    times = told_in(Path(shutil.copytree(lived, tmp_path / "whole")), postgres())
    target = postgres()
    rng = random.Random(seed)
    for _ in range(6):
        begun = has_begun(target)
        try:
            moved = move(lived, target, Until(rng.randrange(1, times)))
        except Cut:
            assert in_the_way(database_of(lived)) == ""
            assert not has_begun(target) or "was not finished" in in_the_way(target)
            continue
        break
    else:
        begun = has_begun(target)
        moved = move(lived, target, quietly)
    assert moved.resumed == begun
    assert rows_of(target) == before
    assert in_the_way(target) == ""


def has_begun(target: str) -> bool:
    with engine_for(target).connect() as connection:
        return moves.remembered(connection, moves.TARGET) is not None


def test_killed_and_run_again(run: Run, lived: Path, target: str) -> None:
    """A real process, in the middle of copying."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from coscribe.cli.moving import move\n"
        "from coscribe.persistence import copying\n"
        "copying.BATCH_ROWS = 5\n"
        "def begin(what, rows):\n"
        "    left = [rows // 2]\n"
        "    def told(done):\n"
        "        left[0] -= done\n"
        "        if what == 'copying' and left[0] <= 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return told\n"
        "move(Path(sys.argv[1]), sys.argv[2], begin)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(lived), target], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert "was not finished" in in_the_way(target)
    result = run("migrate", "--data", lived, "--to", target, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["resumed"]
    assert rows_of(target) == rows_of(database_of(lived))


def test_cut_off_and_the_folder_was_served_meanwhile(lived: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already is of another moment: it begins anew."""
    monkeypatch.setattr(copying, "BATCH_ROWS", 3)

    with pytest.raises(Cut):
        move(lived, target, cut_while_copying(20))
    execute(lived, "UPDATE users SET display_name = 'Benjamin' WHERE handle = 'ben'")
    assert not move(lived, target, quietly).resumed
    assert rows_of(target) == rows_of(database_of(lived))


def execute(folder: Path, statement: str, *arguments: object) -> None:
    with closing(sqlite3.connect(database_of(folder))) as db, db:
        assert db.execute(statement, arguments).rowcount >= 1


def test_not_while_a_server_has_the_folder(run: Run, folder: Path, target: str) -> None:
    with lock_folder(folder):
        result = run("migrate", "--data", folder, "--to", target)
    assert result.exit_code == 2
    assert "another server is using" in result.stderr
    assert not has_begun(target)


def test_not_into_what_is_not_empty(run: Run, folder: Path, lived: Path, target: str) -> None:
    Kept(Store(folder, target)).execute("INSERT INTO authors (user_id) VALUES ('somebody')")
    result = run("migrate", "--data", folder, "--to", target)
    assert result.exit_code == 2
    assert "is not empty" in result.stderr
    Kept(Store(folder, target)).execute("DELETE FROM authors")
    move(folder, target, quietly)
    with pytest.raises(MoveError, match="was moved into it"):
        move(lived, target, quietly)


def test_not_where_another_folder_has_begun(lived: Path, folder: Path, target: str) -> None:
    with pytest.raises(Cut):
        move(lived, target, cut_while_copying(2))
    with pytest.raises(MoveError, match="has begun to move into it"):
        move(folder, target, quietly)
    move(lived, target, quietly)
    assert rows_of(target) == rows_of(database_of(lived))


def test_not_to_what_is_no_database(run: Run, folder: Path, postgres_server: PostgresServer) -> None:
    result = run("migrate", "--data", folder, "--to", postgres_server.url("nowhere"))
    assert result.exit_code == 2
    assert 'database "nowhere" does not exist' in result.stderr
    assert PASSWORD not in result.output
    assert run("migrate", "--data", folder, "--to", "sqlite:///there").exit_code == 2


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE file_operation_log SET time = time + 1 WHERE sequence = 3", "notes: its hash does not fit"),
        ("UPDATE heads SET last_sequence = 10", "notes: the head says sequence 10"),
        ("UPDATE file_snapshots SET content = x'00' WHERE sequence = 10", "notes: the snapshot"),
        ("UPDATE file_operation_log SET payload = 'text' WHERE sequence = 3", "payload: a text where bytes belong"),
        ("UPDATE file_operation_log SET author_ref = 'ann' WHERE sequence = 3", "a text where a number belongs"),
        ("UPDATE workspaces SET name = 'a' || char(0) || 'b'", "workspaces 1: name: there is a NUL in it"),
        ("UPDATE workspaces SET name = CAST(x'ff41' AS TEXT)", "workspaces 1: name: it is no UTF-8"),
        ("UPDATE workspaces SET name = printf('%300s', 'x')", "it has 300 characters, and may have 256"),
        ("UPDATE workspaces SET revision = 3000000000", "revision: 3000000000 is too large"),
        ("UPDATE workspaces SET folds_case = 7", "folds_case: a number is neither true nor false"),
        ("UPDATE file_snapshots SET file_key = 5 WHERE sequence = 10", "1 rows refer to files"),
    ],
)
def test_what_is_damaged_or_does_not_fit_is_named_and_nothing_is_written(
    run: Run, folder: Path, target: str, damage: str, named: str
) -> None:
    execute(folder, damage)
    result = run("migrate", "--data", folder, "--to", target)
    assert result.exit_code == 1, result.output
    assert named in result.stderr
    assert "nothing was moved" in result.stderr
    assert not has_begun(target)
    with engine_for(target).connect() as connection:
        assert copying.is_empty(connection)


def test_a_content_that_is_missing_is_named(run: Run, lived: Path, target: str) -> None:
    (blob,) = [path for path in (lived / "blobs").glob("*/*") if path.is_file()]
    blob.unlink()
    result = run("migrate", "--data", lived, "--to", target)
    assert result.exit_code == 1
    assert f"the content {blob.name} is missing" in result.stderr
    assert not has_begun(target)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE blob_pieces SET content = :bytes", "is damaged"),
        ("DELETE FROM blob_pieces", "is damaged"),
        ("DELETE FROM stored_blobs", "is missing"),
    ],
)
def test_a_content_that_is_damaged_where_it_has_arrived(
    run: Run, lived: Path, target: str, damage: str, named: str
) -> None:
    move(lived, target, quietly)
    assert Kept(Store(lived, target)).execute(damage, {"bytes": bytes(256)} if ":bytes" in damage else {}) == 1
    result = run("verify", "--data", lived, "--database", target)
    assert result.exit_code == 1
    assert named in result.stdout


@pytest.fixture
def flipped_on_the_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A byte of what goes to PostgreSQL."""
    put_rows = copying._put

    def put_others(connection: Any, table: Any, rows: list[tuple[Any, ...]]) -> None:
        if table.name == "file_snapshots":
            at = list(table.columns.keys()).index("content")
            rows = [(*row[:at], bytes([row[at][0] ^ 1]) + row[at][1:], *row[at + 1 :]) for row in rows]
        put_rows(connection, table, rows)

    monkeypatch.setattr(copying, "_put", put_others)
    yield
    monkeypatch.undo()


def test_what_arrives_is_compared(run: Run, folder: Path, target: str, flipped_on_the_way: None) -> None:
    result = run("migrate", "--data", folder, "--to", target)
    assert result.exit_code == 1, result.output
    assert "what has arrived is not what was sent: file_snapshots has other rows" in result.stderr
    assert "was not finished" in in_the_way(target)
    assert in_the_way(database_of(folder)) == ""


# ---- backups


def test_a_postgres_is_backed_up_by_its_own_means(run: Run, folder: Path, target: str, tmp_path: Path) -> None:
    result = run("backup", tmp_path / "copy", "--data", folder, "--database", target)
    assert result.exit_code == 2
    assert "pg_dump" in result.stderr
    assert "coscribe restore --new-incarnation" in result.stderr
    assert not (tmp_path / "copy").exists()


def test_a_dump_that_was_restored_is_whole(
    run: Run, lived: Path, target: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """As docs/operations.md says."""
    move(lived, target, quietly)
    dump, restored = tmp_path / "coscribe.dump", postgres_server.empty()
    programs = postgres_programs()
    if not (programs / "pg_dump").exists():
        pytest.skip("no pg_dump here")
    subprocess.run([programs / "pg_dump", "--format=custom", "--file", dump, target], check=True)
    options = ["--no-owner", "--exit-on-error"]
    subprocess.run([programs / "pg_restore", "--dbname", restored, *options, dump], check=True)
    assert rows_of(restored) == rows_of(target)
    assert run("verify", "--data", lived, "--database", restored).exit_code == 0
    assert run("restore", "--new-incarnation", "--data", lived, "--database", restored).exit_code == 0
    assert run("verify", "--data", lived, "--database", restored).exit_code == 0
    postgres_server.drop(restored)


INSTANCE = "INSERT INTO instances (instance_id, name, is_core, leaving, alive_until, calls) VALUES"


def incarnations(kept: Kept) -> list[str]:
    return [name for (name,) in kept.ask("SELECT incarnation FROM workspaces ORDER BY workspace_key")]


def test_a_restored_database_becomes_one_of_its_own(run: Run, kept: Kept) -> None:
    before = incarnations(kept)
    kept.execute(f"{INSTANCE} ('ins_1', 'north', true, false, 0, 7)")
    kept.execute("INSERT INTO shard_leases VALUES (7, 'ins_1')")
    kept.execute("UPDATE moves SET side = 'source', finished_at = 1")
    result = run("restore", "--new-incarnation", *kept.options, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"store": str(kept.store), "workspaces": 1}
    assert PASSWORD not in result.output
    assert set(incarnations(kept)).isdisjoint(before)
    assert kept.ask("SELECT action FROM access_events") == [("server.restored",)]
    assert in_the_way(kept.store.database) == ""
    assert kept.ask("SELECT * FROM shard_leases") == kept.ask("SELECT * FROM instances") == []
    assert run("verify", *kept.options).exit_code == 0


def test_nothing_becomes_of_a_damaged_one(run: Run, kept: Kept) -> None:
    before = incarnations(kept)
    kept.execute("UPDATE file_operation_log SET time = time + 1 WHERE sequence = 3")
    result = run("restore", "--new-incarnation", *kept.options)
    assert result.exit_code == 1
    assert "it is damaged:\n  notes: its hash does not fit" in result.stderr
    assert incarnations(kept) == before


def test_nor_of_one_that_is_in_use(run: Run, folder: Path, target: str) -> None:
    kept = Kept(Store(folder, target))
    kept.execute(f"{INSTANCE} ('ins_1', 'north', true, false, 9000000000000000, 7)")
    result = run("restore", "--new-incarnation", *kept.options)
    assert result.exit_code == 1
    assert "north run on postgresql://coscribe@127.0.0.1" in result.stderr
    with lock_folder(folder):
        assert run("restore", "--new-incarnation", "--data", folder).exit_code == 2


def test_a_folder_that_was_moved_away_may_be_served_again(run: Run, folder: Path, target: str) -> None:
    move(folder, target, quietly)
    assert run("restore", "--new-incarnation", "--data", folder).exit_code == 0
    assert in_the_way(database_of(folder)) == ""
    with pytest.raises(MoveError, match="another folder"):
        move(folder, target, quietly)


@pytest.mark.parametrize(
    "arguments", [[], ["backup", "--new-incarnation"], ["--new-incarnation", "--at", "2026-11-22"]]
)
def test_what_is_to_be_restored_has_to_be_said(run: Run, folder: Path, arguments: list[str]) -> None:
    result = run("restore", "--data", folder, *arguments)
    assert result.exit_code == 2
    assert "give BACKUP or --new-incarnation" in result.stderr


def test_redacting_in_a_postgres_is_for_its_server(
    run: Run, folder: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSCRIBE_DATABASE_URL", target)
    token_secret(Settings(folder=folder))
    order = ("--text", "word", "--reason", "it leaked", "--yes", "--server", "http://127.0.0.1:1")
    result = run("redact", *order, "--data", folder)
    assert result.exit_code == 2
    assert "nobody answers at http://127.0.0.1:1" in result.stderr


@pytest.mark.parametrize("command", ["prune", "vacuum"])
def test_what_is_about_the_folder_s_own_database(
    run: Run, folder: Path, target: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COSCRIBE_DATABASE_URL", target)
    result = run(command, "--data", folder)
    assert result.exit_code == 2
    assert "the database is a PostgreSQL" in result.stderr
