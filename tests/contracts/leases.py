"""The contract of `Leases`. Subclass with a fixture `world`: instances come to it, and time passes."""

from __future__ import annotations

from typing import Protocol

from coscribe.cluster.ports import SETTLED_SECONDS, SHARDS, Instance, Leases, Pin, Table
from coscribe.cluster.shards import shard_of

SECONDS = 5.0


class World(Protocol):
    """A database with nobody in it."""

    def leases(self) -> Leases:
        """Of another instance."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """By the clock of the database."""
        ...


def core(name: str) -> Instance:
    return Instance(f"id-{name}", name, is_core=True)


A, B = core("a"), core("b")


def owned(table: Table, instance: Instance) -> list[int | str]:
    shards = [shard for shard, owner in enumerate(table.owners) if owner == instance.instance_id]
    return [*shards, *(key for key, pin in table.pins.items() if pin.owner == instance.instance_id)]


class LeasesContract:
    async def test_at_first_there_is_nobody(self, world: World) -> None:
        assert await world.leases().table() == Table({}, ("",) * SHARDS, {})

    async def test_who_beats_lives_until_the_time_is_up(self, world: World) -> None:
        leases, gateway = world.leases(), Instance("id-g", "g", is_core=False)
        assert (await leases.beat(A, SECONDS)).instances == {A.instance_id: A}
        assert (await world.leases().beat(gateway, 2 * SECONDS)).instances == {"id-a": A, "id-g": gateway}
        await world.pass_time(SECONDS)
        assert (await leases.table()).instances == {"id-g": gateway}
        leaving = A._replace(leaving=True)
        assert (await leases.beat(leaving, SECONDS)).instances["id-a"] == leaving

    async def test_what_nobody_owns_is_taken_once(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.beat(B, SECONDS)
        assert owned(await one.take("id-a", [0, 5, SHARDS - 1]), A) == [0, 5, SHARDS - 1]
        table = await other.take("id-b", [5, 6])
        assert (owned(table, A), owned(table, B)) == ([0, 5, SHARDS - 1], [6])
        assert await one.table() == table

    async def test_what_is_released_is_free(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.beat(B, SECONDS)
        await one.take("id-a", [1, 2, 3])
        assert owned(await one.release("id-a", [1, 3, 4]), A) == [2]
        table = await other.take("id-b", [1, 2, 3])
        assert (owned(table, A), owned(table, B)) == ([2], [1, 3])
        assert owned(await one.release("id-a", [1]), B) == [1, 3], "that is not its own any more"

    async def test_what_belongs_to_one_whose_time_is_up_is_taken(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await one.take("id-a", [1, 2, 3])
        await world.pass_time(SECONDS / 2)
        await other.beat(B, SECONDS)
        assert owned(await other.take("id-b", [1]), B) == []
        await world.pass_time(SECONDS / 2)
        assert owned(await other.take("id-b", [1]), B) == [1]
        table = await one.beat(A, SECONDS)
        assert (owned(table, A), owned(table, B)) == ([], [1]), "it was dead: it begins anew"

    async def test_who_was_late_and_taken_for_dead_by_nobody_goes_on(self, world: World) -> None:
        leases = world.leases()
        await leases.beat(A, SECONDS)
        await leases.take("id-a", [1])
        await world.pass_time(2 * SECONDS)
        assert owned(await leases.beat(A, SECONDS), A) == [1]

    async def test_who_is_not_alive_gets_nothing(self, world: World) -> None:
        leases = world.leases()
        assert owned(await leases.take("id-a", [1]), A) == []
        await leases.beat(A, SECONDS)
        await world.pass_time(SECONDS)
        assert owned(await leases.take("id-a", [1]), A) == []

    async def test_who_is_leaving_or_no_core_gets_nothing(self, world: World) -> None:
        leases = world.leases()
        for instance in (A._replace(leaving=True), A._replace(is_core=False)):
            await leases.beat(instance, SECONDS)
            assert owned(await leases.take("id-a", [1]), A) == []

    async def test_who_leaves_leaves_nothing(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.pin("doc", "a")
        await one.take("id-a", [1, "doc"])
        await one.leave("id-a")
        assert await other.table() == Table({}, ("",) * SHARDS, {"doc": Pin("a", "")})
        await one.leave("id-a")

    async def test_a_call_that_comes_behind_a_later_one_changes_nothing(self, world: World) -> None:
        """One adapter asks first; what its call says is only heard after what another one of it asked later."""
        late, leases = world.leases(), world.leases()
        for _ in range(5):
            await leases.beat(A, SECONDS)
        taken = await leases.take("id-a", [1, 2])
        assert await late.release("id-a", [1]) == taken
        assert await late.take("id-a", [3]) == taken
        await late.leave("id-a")
        assert await leases.table() == taken
        assert await late.beat(A._replace(leaving=True), 10 * SECONDS) == taken
        await world.pass_time(SECONDS)
        assert (await leases.table()).instances == {}, "nor does it live longer by it"

    async def test_a_pinned_workspace_is_owned_apart_from_its_shard(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.beat(B, SECONDS)
        shard = shard_of("doc")
        await one.take("id-a", [shard])
        table = await one.pin("doc", "b")
        assert table.pins == {"doc": Pin("b", "id-a")}, "until it has handed it over"
        assert owned(await other.take("id-b", ["doc"]), B) == []
        assert owned(await one.release("id-a", ["doc"]), A) == [shard]
        table = await other.take("id-b", ["doc", "not pinned"])
        assert (owned(table, A), owned(table, B)) == ([shard], ["doc"])

    async def test_what_is_pinned_no_longer_goes_back_when_it_is_released(self, world: World) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await other.beat(B, SECONDS)
        await one.take("id-a", [shard_of("doc")])
        await one.pin("doc", "b")
        await one.release("id-a", ["doc"])
        await other.take("id-b", ["doc"])
        assert (await one.pin("doc", "")).pins == {"doc": Pin("", "id-b")}
        assert (await other.release("id-b", ["doc"])).pins == {}
        assert (await one.pin("doc", "")).pins == {}

    async def test_what_is_pinned_no_longer_and_whose_owner_is_dead_goes_back_when_it_is_taken(
        self, world: World
    ) -> None:
        one, other = world.leases(), world.leases()
        await one.beat(A, SECONDS)
        await one.take("id-a", [shard_of("doc")])
        await one.pin("doc", "a")
        table = await one.pin("doc", "")
        assert table.pins == {"doc": Pin("", "id-a")}
        await world.pass_time(SECONDS)
        assert (await other.beat(B, SECONDS)).pins == {"doc": Pin("", "id-a")}
        assert (await other.take("id-b", ["doc"])).pins == {}

    async def test_whether_one_is_cut_off_is_settled_after_a_while(self, world: World) -> None:
        leases, deaf = world.leases(), A._replace(cut_off=True)
        for instance in (A, deaf, A):
            table = await leases.beat(instance, 2 * SETTLED_SECONDS)
            assert (table.instances, table.settled) == ({"id-a": instance}, frozenset())
            await world.pass_time(SETTLED_SECONDS / 2)
            assert (await leases.beat(instance, 2 * SETTLED_SECONDS)).settled == frozenset()
            await world.pass_time(SETTLED_SECONDS / 2)
            assert (await leases.beat(instance, SETTLED_SECONDS)).settled == {"id-a"}, "counted from the first time"
            assert (await world.leases().table()).settled == {"id-a"}
        assert owned(await leases.take("id-a", [1]), A) == [1], "whether that is of any use is for it to know"
        await world.pass_time(SETTLED_SECONDS)
        assert (await leases.table()).settled == frozenset(), "who is dead is not there at all"

    async def test_rows_of_the_dead_are_cleared_away(self, world: World) -> None:
        leases = world.leases()
        await leases.beat(A, SECONDS)
        await leases.take("id-a", [1])
        await world.pass_time(100.0)
        await world.leases().beat(B, 200.0)
        assert owned(await leases.beat(A, SECONDS), A) == [], "its row had gone, so it begins anew"
