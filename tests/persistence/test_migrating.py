"""Migrations on PostgreSQL: they lead to the metadata, once, and beside whoever works."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeGuard

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from coscribe.persistence.engines import address
from coscribe.persistence.migrate import MIGRATIONS, configuration, current, head, migrate
from coscribe.persistence.schema import metadata
from tests.servers import PostgresServer

ALONE = "0014"
"""The last migration that was written before there were databases which several instances share."""

WRITES = Path(__file__).parents[2] / "tools" / "migration.py"

LOCK_SECONDS = 0.5
"""How long a migration may make others wait (migrations/env.py)."""


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.empty()
    yield url
    postgres_server.drop(url)


def test_they_lead_to_the_metadata(empty: str) -> None:
    assert current(empty) == ""
    migrate(empty)
    assert current(empty) == head()
    migrate(empty)
    engine = create_engine(address(empty))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_one_that_is_written_anew_is_for_both_databases(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make migration` writes it; here all tables in one."""
    copied = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copied, ignore=shutil.ignore_patterns("[0-9]*.py"))
    monkeypatch.setattr("coscribe.persistence.migrate.MIGRATIONS", copied)
    runpy.run_path(str(WRITES))["main"]("everything")
    written = (copied / "versions" / "0001_everything.py").read_text(encoding="utf-8")
    assert set(re.findall(r"sa.Boolean\(\), server_default=([^,]+)", written)) == {"sa.false()", "sa.true()"}
    migrate(empty)
    assert current(empty) == "0001"


def test_a_file_has_a_write_ahead_log_from_the_beginning(tmp_path: Path) -> None:
    """Beginning one takes the file alone, and nobody waits for that: of several who come at once others would fail."""
    migrate(tmp_path / "new.db")
    assert (tmp_path / "new.db").read_bytes()[18:20] == b"\2\2"


def test_a_database_that_a_newer_instance_has_migrated_is_left_as_it_is(empty: str) -> None:
    migrate(empty)
    with psycopg.connect(empty) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    migrate(empty)
    assert current(empty) == "9999"


def test_instances_that_start_at_once_migrate_once(empty: str) -> None:
    program = f"from coscribe.persistence.migrate import migrate; migrate({empty!r})"
    started = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert current(empty) == head()


def test_others_go_on_while_it_waits_for_a_table(empty: str) -> None:
    """Somebody reads for long; who writes meanwhile never waits behind the migration for longer than it may wait."""
    command.upgrade(configuration(address(empty)), "0010")
    over = threading.Event()

    def write(number: int) -> tuple[int, float]:
        """How often, and how long it took at most."""
        times, slowest = 0, 0.0
        with psycopg.connect(empty, autocommit=True) as db:
            while not over.is_set():
                begun = time.monotonic()
                db.execute(
                    "INSERT INTO workspaces (workspace_id, kind, incarnation, secret, created_at)"
                    " VALUES (%s, 'document', '1', 'sixteen bytes ok', 1)",
                    (f"{number}-{times}",),
                )
                slowest, times = max(slowest, time.monotonic() - begun), times + 1
        return times, slowest

    with ThreadPoolExecutor(3) as threads, psycopg.connect(empty) as reader:
        reader.execute("SELECT count(*) FROM workspaces")
        writers = [threads.submit(write, number) for number in range(2)]
        migrating = threads.submit(migrate, empty)
        with psycopg.connect(empty, autocommit=True) as looking:
            for expected in (1, 0, 1):  # it waits; it gives way; it tries again
                while looking.execute(WAITING_FOR_ALL).fetchone() != (expected,):
                    assert not migrating.done()
        reader.rollback()
        migrating.result()
        over.set()
        done = [writer.result() for writer in writers]
        found = reader.execute("SELECT count(*) FROM workspaces").fetchone()
        assert found == (sum(times for times, _ in done),)
    assert current(empty) == head()
    assert max(slowest for _, slowest in done) < 10 * LOCK_SECONDS


WAITING_FOR_ALL = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"


@pytest.mark.parametrize("path", sorted((MIGRATIONS / "versions").glob("[0-9]*.py")), ids=lambda path: path.stem)
def test_the_version_before_can_go_on(path: Path) -> None:
    """Nothing that it uses is taken away or made another, and no index keeps it from writing while it is built."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    (upgrade,) = [item for item in module.body if isinstance(item, ast.FunctionDef) and item.name == "upgrade"]
    calls = [(call.func.attr, call) for call in ast.walk(upgrade) if _of_method(call)]
    made = {ast.unparse(call.args[0]) for name, call in calls if name == "create_table"}
    for name, call in calls:
        said = ast.unparse(call)
        assert not name.startswith(("drop_", "rename_", "alter_")), said
        if name == "create_index" and path.stem[:4] > ALONE:
            assert "postgresql_concurrently=True" in said or ast.unparse(call.args[1]) in made, said


def _of_method(node: ast.AST) -> TypeGuard[_MethodCall]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


class _MethodCall(ast.Call):
    func: ast.Attribute
