"""Leases in memory and in PostgreSQL keep the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import asyncpg
import pytest

from coscribe.cluster import leases as leases_module
from coscribe.cluster.leases import MemoryLeases, MemoryTable, PostgresLeases
from coscribe.documents.ports import StorageError
from tests.contracts.leases import SECONDS, A, B, LeasesContract, core, owned


class MemoryWorld:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.table = MemoryTable(lambda: self.now)

    def leases(self) -> MemoryLeases:
        return MemoryLeases(self.table)

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds


class TestMemoryLeases(LeasesContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


class PostgresWorld:
    """The database's clock stands as it is: time passes by taking it from everybody's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[PostgresLeases] = []

    def leases(self) -> PostgresLeases:
        self.all.append(PostgresLeases(self.url))
        return self.all[-1]

    async def pass_time(self, seconds: float) -> None:
        passed = int(seconds * 1e6)
        await self.run(f"UPDATE instances SET alive_until = alive_until - {passed}, cut_off_at = cut_off_at - {passed}")

    async def run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(statement)
        await connection.close()


class TestPostgresLeases(LeasesContract):
    @pytest.fixture
    async def world(self, postgres: Callable[[], str]) -> AsyncIterator[PostgresWorld]:
        world = PostgresWorld(postgres())
        yield world
        for each in world.all:
            await each.close()

    async def test_many_who_take_the_same_at_once_get_it_once(self, world: PostgresWorld) -> None:
        cores = [core(f"c{number}") for number in range(6)]
        adapters = {each.instance_id: world.leases() for each in cores}
        await asyncio.gather(*(adapters[each.instance_id].beat(each, SECONDS) for each in cores))
        for round_ in range(5):
            wanted = list(range(round_ * 100, round_ * 100 + 100))
            await asyncio.gather(*(leases.take(each, wanted) for each, leases in adapters.items()))
        table = await world.leases().table()
        assert sorted(shard for each in cores for shard in owned(table, each)) == list(range(500))

    async def test_who_beats_while_another_one_takes_has_it_or_has_not(self, world: PostgresWorld) -> None:
        """However a beat at the last moment falls together with a take, both are told the same."""
        one, other = world.leases(), world.leases()
        for round_ in range(30):
            await one.beat(A, SECONDS)
            await one.take("id-a", [7])
            await world.pass_time(SECONDS - 0.002 * (round_ % 4))
            await other.beat(B, SECONDS)
            beaten, taken = await asyncio.gather(one.beat(A, SECONDS), other.take("id-b", [7]))
            now = await one.table()
            assert (owned(taken, B) == [7]) == (owned(now, B) == [7])
            if owned(now, B) == [7]:
                assert owned(beaten, A) == [], "or it would go on in the belief that it is its own"
            await other.release("id-b", [7])
            await one.release("id-a", [7])

    async def test_who_falls_asleep_in_the_middle_holds_nobody_up_for_long(
        self, world: PostgresWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases_module, "CALL_SECONDS", 0.2)
        one = world.leases()
        await one.beat(A, SECONDS)
        with pytest.raises(StorageError):  # noqa: PT012  (what fails is the end of the block)
            async with one._connected() as asleep, one._alone(asleep):
                monkeypatch.setattr(leases_module, "CALL_SECONDS", 60.0)
                other = world.leases()
                await other.beat(B, SECONDS)
                assert owned(await other.take("id-b", [1]), B) == [1]
                await asleep.execute("SELECT 1")
        assert owned(await one.table(), B) == [1]

    async def test_who_is_cancelled_in_the_middle_is_cancelled(self, world: PostgresWorld) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.beat(B, SECONDS)
        async with other._connected() as connection, other._alone(connection):
            taking = asyncio.create_task(one.take("id-a", [1]))
            await asyncio.sleep(0.1)  # it waits for the other one; if it does not yet, that is as good
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        assert owned(await one.take("id-a", [2]), A) == [2]

    async def test_it_connects_again(self, world: PostgresWorld) -> None:
        leases = world.leases()
        await leases.beat(A, SECONDS)
        await world.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with suppress(StorageError):  # unless it has heard of it
            await leases.table()
        assert (await leases.table()).instances == {"id-a": A}

    async def test_what_cannot_be_reached_is_an_error_of_storage(self) -> None:
        with pytest.raises(StorageError):
            await PostgresLeases("postgresql://nobody:x@127.0.0.1:1/none").table()
