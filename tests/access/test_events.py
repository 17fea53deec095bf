"""Access events: chained, bounded, and never lost without a word."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text
from sqlalchemy.exc import IntegrityError

from coscribe.access import events as events_module
from coscribe.access.caller import Caller, Origin
from coscribe.access.events import Event, Notes, by, check, record
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events
from tests.access.world import World
from tests.migrated import new_database


async def written(world: World) -> list[Any]:
    statement = select(access_events).order_by(access_events.c.event_id)
    return list(await world.database.read(lambda connection: connection.execute(statement).all()))


async def damaged(world: World) -> list[int]:
    return await world.database.read(lambda connection: list(check(connection)))


async def some_events(world: World, count: int = 4) -> None:
    for number in range(count):
        event = Event("seen", f"usr_{number}", detail={"ü": number})
        await world.run(lambda connection, event=event: record(connection, event, event))  # type: ignore[misc]


def test_an_event_says_who_and_from_where() -> None:
    caller = Caller("session", "usr_1", author="usr_1", origin=Origin("192.0.2.1", "req"))
    event = by(caller, "member.removed", workspace_id="doc_1", subject="usr_2", role="viewer")
    assert event == Event(
        "member.removed", "usr_1", "doc_1", "usr_2", "done", Origin("192.0.2.1", "req"), {"role": "viewer"}
    )
    assert by(Caller("nobody"), "seen").actor == "nobody"


async def test_events_can_only_be_added(world: World) -> None:
    await some_events(world)
    for statement in (delete(access_events), access_events.update().values(actor="somebody else")):
        with pytest.raises(IntegrityError, match="append-only"):
            await world.run(lambda connection, statement=statement: connection.execute(statement))  # type: ignore[misc]
    assert len(await written(world)) == 8


async def allow_changes(world: World) -> None:
    """As whoever can write the database itself could."""

    def job(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE access_events DISABLE TRIGGER USER"))
            return
        found = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in found:
            connection.execute(text(f"DROP TRIGGER {name}"))

    await world.run(job)


async def test_a_change_of_any_column_shows(world: World) -> None:
    await some_events(world)
    await allow_changes(world)
    assert len(await written(world)) == 8
    assert await damaged(world) == []
    for column in access_events.c:
        if column.name in ("event_id", "digest"):
            continue
        before = (await written(world))[3]
        value = 7 if column.name == "time" else "changed"
        this = access_events.c.event_id == before.event_id
        await world.set(access_events, this, **{column.name: value})
        assert await damaged(world) == [before.event_id], column.name
        await world.set(access_events, this, **{column.name: getattr(before, column.name)})
    assert await damaged(world) == []


async def test_a_missing_event_and_a_forged_one_show(world: World) -> None:
    await some_events(world)
    await allow_changes(world)
    rows = await written(world)
    await world.set(access_events, access_events.c.event_id == rows[2].event_id, digest=rows[3].digest)
    assert await damaged(world) == [rows[2].event_id, rows[3].event_id]
    await world.set(access_events, access_events.c.event_id == rows[2].event_id, digest=rows[2].digest)
    await world.run(lambda connection: connection.execute(delete(access_events).where(access_events.c.event_id == 4)))
    assert await damaged(world) == [5]


async def test_what_did_not_happen_is_not_recorded(world: World) -> None:
    def job(connection: Any) -> None:
        record(connection, Event("seen", "usr_1"))
        raise CoscribeError(Code.CONFLICT)

    with pytest.raises(CoscribeError):
        await world.run(job)
    assert await written(world) == []


@pytest.mark.both_databases
@pytest.mark.parametrize("letter", ["x", "\0"])
async def test_values_are_cut_to_what_can_be_stored(world: World, letter: str) -> None:
    long = letter * 1_000
    event = Event("seen", long, long, long, "done", Origin(long, long), {"more": long})
    await world.run(lambda connection: record(connection, event))
    [row] = await written(world)
    stored = (row.actor, row.workspace_id, row.subject, row.address, row.request_id)
    assert [len(value) for value in stored] == [128, 128, 128, 64, 64]
    assert await damaged(world) == []


# ---- noted


class Faulty(Database):
    """One whose writes can fail, and wait."""

    def __init__(self, database: Database) -> None:
        self._wrapped = database
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.written = asyncio.Event()

    async def write(self, job: Any) -> Any:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        result = await self._wrapped.write(job)
        self.written.set()
        return result


async def test_notes_are_written_soon_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "FLUSH_SECONDS", 0)
    database = Faulty(world.database)
    notes = Notes(database)
    for number in range(5):
        notes.note(Event("seen", f"usr_{number}"))
    await database.written.wait()
    assert [row.actor for row in await written(world)] == [f"usr_{number}" for number in range(5)]
    await notes.close()


async def test_closing_writes_what_is_noted(world: World) -> None:
    notes = Notes(world.database)
    notes.note(Event("seen", "usr_1"))
    await notes.close()
    await notes.close()
    assert len(await written(world)) == 1


async def test_what_is_too_much_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MAX_NOTED", 3)
    notes = Notes(world.database)
    for _ in range(8):
        notes.note(Event("seen", "usr_1"))
    await notes.close()
    rows = await written(world)
    assert [row.action for row in rows] == ["seen"] * 3 + ["events_lost"]
    assert '"count": 5' in rows[-1].detail


@pytest.mark.parametrize("error", [StorageError("disk"), CoscribeError(Code.OVERLOADED)])
async def test_what_cannot_be_written_is_counted(world: World, error: Exception) -> None:
    database = Faulty(world.database)
    notes = Notes(database)
    database.error = error
    for _ in range(2):
        notes.note(Event("seen", "usr_1"))
        await notes.flush()
    database.error = None
    await notes.flush()
    [row] = await written(world)
    assert (row.action, row.detail) == ("events_lost", '{"count": 2}')
    await notes.close()


async def test_flush_waits_for_what_is_being_written(world: World) -> None:
    database = Faulty(world.database)
    database.gate.clear()
    notes = Notes(database)
    notes.note(Event("seen", "usr_1"))
    first = asyncio.create_task(notes.flush())
    await asyncio.sleep(0)
    second = asyncio.create_task(notes.flush())
    await asyncio.sleep(0)
    assert not second.done()
    database.gate.set()
    await second
    assert len(await written(world)) == 1
    await first
    await notes.close()


# ---- many who write


WRITER = """
import asyncio, sys
from pathlib import Path
from sqlalchemy import text
from coscribe.access.events import Event, record
from coscribe.persistence.database import Database

async def write(name, where):
    database = Database(where if where.startswith("postgresql") else Path(where))
    await database.read(lambda connection: connection.scalar(text("SELECT 1")))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(40):
        await database.write(lambda connection: record(connection, *[Event("seen", name)] * (1 + number % 3)))
    await database.close()

asyncio.run(write(*sys.argv[1:]))
"""


@pytest.mark.both_databases
async def test_the_chain_is_whole_when_several_processes_write(tmp_path: Path) -> None:
    where = new_database(tmp_path / "coscribe.db")
    names = ["ann", "ben", "cem"]
    run = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, name, str(where), stdin=PIPE, stdout=PIPE)
        for name in names
    ]
    for process in run:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ends = await asyncio.gather(*(process.communicate(b"go\n") for process in run))
    assert [process.returncode for process in run] == [0, 0, 0], ends
    database = Database(where)
    world = World(database)
    rows = await written(world)
    assert Counter(row.actor for row in rows) == dict.fromkeys(names, 79)
    assert await damaged(world) == []
    await database.close()
