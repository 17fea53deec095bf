"""Ordinary tables on PostgreSQL: reads see one moment, writes take turns, and a server may go away and come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from unittest.mock import patch

import psycopg
import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.persistence import engines
from coscribe.persistence.database import Database
from coscribe.persistence.schema import signing_keys
from tests.servers import PostgresServer


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


def add(key_id: str) -> Callable[[Connection], None]:
    def job(connection: Connection) -> None:
        connection.execute(insert(signing_keys).values(key_id=key_id, created_at=1))

    return job


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(signing_keys)) or 0


async def test_none_of_a_job_that_raises_happens(database: Database) -> None:
    def job(connection: Connection) -> None:
        add("a")(connection)
        raise CoscribeError(Code.NOT_FOUND, "it was found out late")

    with pytest.raises(CoscribeError, match="found out late"):
        await database.write(job)
    await database.write(add("b"))
    with pytest.raises(IntegrityError):
        await database.write(add("b"))
    assert await database.read(count) == 1


async def test_a_read_sees_one_moment_and_writes_nothing(database: Database) -> None:
    first, written = threading.Event(), threading.Event()

    def job(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        first.set()
        assert written.wait(60)
        return before, count(connection)

    reading = asyncio.ensure_future(database.read(job))
    await asyncio.to_thread(first.wait, 60)
    await database.write(add("a"))
    written.set()
    assert await reading == (0, 0)
    with pytest.raises(StorageError, match="read-only"):
        await database.read(add("b"))
    assert await database.read(count) == 1


async def test_two_instances_write_one_after_the_other(database: Database, url: str) -> None:
    """Each reads what it then writes; neither is told to try again, none is lost."""
    other = Database(url)

    def job(connection: Connection) -> None:
        have = connection.scalar(select(signing_keys.c.created_at)) or 0
        connection.execute(update(signing_keys).values(created_at=have + 1))

    await database.write(add("a"))
    await asyncio.gather(*(each.write(job) for _ in range(50) for each in (database, other)))
    assert await other.read(lambda connection: connection.scalar(select(signing_keys.c.created_at))) == 101
    await other.close()


async def test_who_waits_too_long_for_a_turn_is_told_to_come_again(url: str) -> None:
    with patch.object(engines, "LOCK_SECONDS", 1):
        database = Database(url)
        with psycopg.connect(url) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({engines.WRITING})")
            with pytest.raises(CoscribeError) as caught:
                await database.write(add("a"))
            assert caught.value.code is Code.OVERLOADED
            assert await database.read(count) == 0
        await database.write(add("a"))
        await database.close()


async def test_an_instance_that_hangs_keeps_the_others_from_nothing(url: str) -> None:
    with patch.object(engines, "IDLE_SECONDS", 1):
        hanging, other = Database(url), Database(url)
    begun, over = threading.Event(), threading.Event()

    def job(connection: Connection) -> None:
        add("a")(connection)
        begun.set()
        assert over.wait(60)
        count(connection)

    with patch.object(engines, "IDLE_SECONDS", 1):
        stuck = asyncio.ensure_future(hanging.write(job))
        await asyncio.to_thread(begun.wait, 60)
        await other.write(add("b"))
        over.set()
        with pytest.raises(StorageError):
            await stuck
        assert await other.read(count) == 1
        await hanging.write(add("a"))
    await hanging.close()
    await other.close()


async def test_a_statement_that_never_ends_is_ended(url: str) -> None:
    with patch.object(engines, "STATEMENT_SECONDS", 1):
        database = Database(url)
        with pytest.raises(StorageError, match="statement timeout"):
            await database.write(lambda connection: connection.execute(text("SELECT pg_sleep(600)")))
        await database.write(add("a"))
        await database.close()


@pytest.mark.slow
async def test_a_server_that_comes_back_is_found_again() -> None:
    with PostgresServer() as server:
        database = Database(server.fresh())
        await database.write(add("a"))
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(StorageError):
                await database.write(add("never"))
            with pytest.raises(StorageError):
                await database.read(count)
            server.start()
            assert await database.read(count) == 1
            await database.write(lambda connection: connection.execute(delete(signing_keys)))
            await database.write(add("a"))
        await database.close()


@pytest.mark.parametrize("value", ["x" * 33, "zero \0 byte"])
async def test_what_cannot_be_stored_is_the_fault_of_who_asks(database: Database, value: str) -> None:
    with pytest.raises(CoscribeError) as caught:
        await database.write(add(value))
    assert caught.value.code is Code.INVALID_REQUEST
    assert value not in str(caught.value)
    assert await database.read(count) == 0


async def test_what_is_stored_is_in_no_message(database: Database) -> None:
    def job(connection: Connection) -> None:
        body = "BEGIN RAISE 'refused' USING DETAIL = 'a secret'; END"
        connection.execute(text(f"CREATE FUNCTION refuse() RETURNS int LANGUAGE plpgsql AS $$ {body} $$"))
        connection.execute(text("SELECT refuse()"))

    with pytest.raises(StorageError, match="refused") as caught:
        await database.write(job)
    assert "secret" not in str(caught.value)
