"""Keepers: joining, leaving, dying, pausing, losing the database; on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from coscribe.cluster.keeper import (
    AT_A_TIME,
    BEAT_SECONDS,
    HAND_OVER_SECONDS,
    LOOK_SECONDS,
    STARTS_WITHIN,
    Predicate,
    steady,
)
from coscribe.cluster.leases import MemoryTable
from coscribe.cluster.ownership import FENCE_SECONDS, LEASE_SECONDS
from coscribe.cluster.ports import SETTLED_SECONDS, SHARDS
from coscribe.documents.ports import StorageError
from tests.cluster.virtual import DOCUMENTS, Core, run
from tests.simulation.virtual_loop import VirtualLoop


def in_touch(*cores: Core) -> None:
    """What the bus is for: who releases something tells the others."""
    for core in cores:
        core.told = partial(_tell, core, cores)


def _tell(core: Core, cores: Sequence[Core]) -> None:
    for other in cores:
        if other is not core and not other.process.dead:
            core.loop.within(other.process, 0.001, partial(_look, other))


def _look(core: Core) -> None:
    asking = asyncio.ensure_future(core.keeper.look_again())
    asking.add_done_callback(lambda done: done.exception())  # it may have ended meanwhile


def owners(*cores: Core) -> list[int]:
    """How many documents each owns; no document has two owners."""
    for document in DOCUMENTS:
        assert sum(core.keeper.owns(document) for core in cores if not core.process.dead) <= 1
    return [core.owned() for core in cores]


def test_one_alone_owns_everything() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        await core.start()
        assert core.owned() == SHARDS
        assert core.keeper.owner_of(DOCUMENTS[7]) == core.instance_id
        await asyncio.sleep(60.0)
        assert (core.owned(), core.drops) == (SHARDS, [])
        assert [is_gained(DOCUMENTS[0]) for is_gained in core.gained] == [True]

    run(story)


def test_one_that_joins_gets_its_share_in_a_moment_and_some_at_a_time() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")
        in_touch(one, other)
        await one.start()
        await other.start()
        assert owners(one, other) == [SHARDS, 0]
        for _ in range(300):
            await asyncio.sleep(0.01)
            owners(one, other)
        assert sum(owners(one, other)) == SHARDS
        assert min(owners(one, other)) > 0.9 * SHARDS / 2
        assert len(one.handed) == -(-other.owned() // AT_A_TIME)
        assert all(other.keeper.owner_of(document) == one.keeper.owner_of(document) for document in DOCUMENTS)

    run(story)


def test_one_that_leaves_hands_everything_over_in_well_under_a_second() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        cores = [Core(loop, table, name) for name in "abc"]
        in_touch(*cores)
        for core in cores:
            await core.start()
        await asyncio.sleep(5.0)
        began = loop.time()
        await loop.start(cores[0].process, cores[0].keeper.leave())
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert loop.time() - began < 1.0
        assert sum(owners(*cores[1:])) == SHARDS
        assert cores[0].instance_id not in table.table().instances

    run(story)


def test_what_one_owned_that_died_is_taken_when_its_time_is_up() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")
        for core in (one, other):
            await core.start()
        await asyncio.sleep(10.0)
        loop.kill(one.process)
        await asyncio.sleep(LEASE_SECONDS - 1.2)
        assert other.owned() < SHARDS
        await asyncio.sleep(2.5)
        assert other.owned() == SHARDS

    run(story)


def test_one_that_was_paused_past_its_lease_owns_nothing_when_it_wakes() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")
        for core in (one, other):
            await core.start()
        await asyncio.sleep(10.0)
        loop.pause(one.process)
        await asyncio.sleep(FENCE_SECONDS)
        assert one.owned() == 0
        await asyncio.sleep(LEASE_SECONDS)
        assert other.owned() == SHARDS
        drops = len(one.drops)
        loop.go_on(one.process)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert len(one.drops) == drops + 1, "what is in memory goes first"
        await asyncio.sleep(10.0)
        assert sum(owners(one, other)) == SHARDS
        assert min(owners(one, other)) > 400

    run(story)


@pytest.mark.parametrize("trouble", ["broken", "mute"])
def test_without_the_database_it_gives_up_by_itself_and_comes_back_by_itself(trouble: str) -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        await core.start()
        await asyncio.sleep(10.0)
        setattr(core.leases, trouble, True)
        began = loop.time()
        with pytest.raises(StorageError):
            await core.keeper.look_again()
        await asyncio.sleep(began + FENCE_SECONDS - 1.2 - loop.time())
        assert core.owned() == SHARDS
        await asyncio.sleep(1.5)
        assert core.owned() == 0
        assert len(core.drops) == 1
        await asyncio.sleep(30.0)
        setattr(core.leases, trouble, False)
        await asyncio.sleep(3.0)
        assert core.owned() == SHARDS
        assert core.keeper.owner_of(DOCUMENTS[0]) == core.instance_id

    run(story)


def test_a_hand_over_that_hangs_ends_and_holds_nothing_up() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")

        async def hangs(_: Predicate) -> None:
            await asyncio.sleep(1e9)

        one.handing = hangs
        await one.start()
        await other.start()
        await asyncio.sleep(HAND_OVER_SECONDS / 2)
        document = next(each for each in DOCUMENTS if not one.keeper.owns(each))
        assert one.keeper.holds(document), "it is shown until it was let go"
        assert one.keeper.owner_of(document) is None
        await asyncio.sleep(HAND_OVER_SECONDS / 2 + 1.0)
        assert not one.keeper.holds(document)
        assert len(one.drops) == 1
        await asyncio.sleep(10 * HAND_OVER_SECONDS)
        assert sum(owners(one, other)) == SHARDS

    run(story)


def test_a_hand_over_that_fails_is_over() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")

        async def fails(_: Predicate) -> None:
            raise RuntimeError("a bug")

        one.handing = fails
        await one.start()
        await other.start()
        await asyncio.sleep(20.0)
        assert min(owners(one, other)) > 400

    run(story)


def test_telling_the_others_may_fail() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")

        def fails() -> None:
            raise RuntimeError("a bug")

        one.told = fails
        await one.start()
        await other.start()
        await asyncio.sleep(20.0)
        assert min(owners(one, other)) > 400

    run(story)


def test_many_who_ask_at_once_cost_one_look() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        await core.start()
        await asyncio.sleep(0.5)
        calls = core.leases.calls
        await asyncio.gather(*(core.keeper.look_again() for _ in range(100)))
        assert core.leases.calls == calls + 1

    run(story)


def test_a_gateway_knows_who_owns_what_and_owns_nothing() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core, gateway = Core(loop, table, "a"), Core(loop, table, "g", is_core=False)
        await gateway.start()
        assert gateway.keeper.owner_of(DOCUMENTS[0]) is None
        await core.start()
        await gateway.keeper.look_again()
        assert gateway.keeper.owner_of(DOCUMENTS[0]) == core.instance_id
        assert gateway.owned() == 0
        assert set(gateway.keeper.instances) == {core.instance_id, gateway.instance_id}
        await loop.start(gateway.process, gateway.keeper.leave())
        await core.keeper.look_again()
        assert set(core.keeper.instances) == {core.instance_id}

    run(story)


def test_a_pinned_workspace_goes_to_its_instance_and_back() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")
        in_touch(one, other)
        for core in (one, other):
            await core.start()
        await asyncio.sleep(5.0)
        document = next(each for each in DOCUMENTS if one.keeper.owns(each))
        for name, owner in (("b", other), ("", one), ("b", other)):
            await one.leases.pin(document, name)
            for _ in range(200):
                await asyncio.sleep(0.01)
                owners(one, other)
            assert owner.keeper.owns(document)
        loop.kill(other.process)
        await asyncio.sleep(2 * LEASE_SECONDS)
        assert one.keeper.owns(document)

    run(story)


def test_without_a_database_it_does_not_start() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        core.leases.broken = True
        with pytest.raises(StorageError):
            await core.start()
        assert core.owned() == 0

    run(story)


def test_a_database_that_is_slow_at_first_holds_up_the_start_and_does_not_prevent_it() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        core.leases.mute, began = True, loop.time()
        loop.call_later(STARTS_WITHIN / 2, setattr, core.leases, "mute", False)
        await core.start()
        assert STARTS_WITHIN / 2 <= loop.time() - began < STARTS_WITHIN
        assert core.owned() == SHARDS

    run(story)


def test_who_stops_owns_nothing_and_tells_who_waits() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        core = Core(loop, table, "a")
        await core.start()
        core.leases.mute = True
        waiting = asyncio.ensure_future(core.keeper.look_again())
        await asyncio.sleep(0.1)
        await core.keeper.stop()
        with pytest.raises(StorageError):
            await waiting
        assert core.owned() == 0

    run(story)


def test_the_clock_goes_on() -> None:
    assert steady() <= steady()


def test_a_core_that_is_cut_off_alone_gives_everything_to_the_others_and_gets_it_back() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        one, other = Core(loop, table, "a"), Core(loop, table, "b")
        for core in (one, other):
            await core.start()
        await asyncio.sleep(10.0)
        share = owners(one, other)
        one.connected = False
        await asyncio.sleep(SETTLED_SECONDS - 0.5)
        assert (owners(one, other), one.apart) == (share, [])
        await asyncio.sleep(3 * BEAT_SECONDS + share[0] / AT_A_TIME)
        assert (owners(one, other), one.apart, other.apart) == ([0, SHARDS], [True], [])
        one.connected = True
        await asyncio.sleep(3 * BEAT_SECONDS + share[0] / AT_A_TIME)
        assert (owners(one, other), one.apart) == (share, [True, False])

    run(story)


def test_where_all_are_cut_off_and_come_back_one_after_the_other_nothing_moves() -> None:
    async def story(loop: VirtualLoop, table: MemoryTable) -> None:
        cores = [Core(loop, table, name) for name in "abc"]
        for core in cores:
            await core.start()
        await asyncio.sleep(10.0)
        share, drops = owners(*cores), [list(core.drops) for core in cores]
        for core in cores:
            core.connected = False
            await asyncio.sleep(1.0)
        await asyncio.sleep(20.0)
        for core in cores:
            core.connected = True
            await asyncio.sleep(1.0)
        await asyncio.sleep(20.0)
        assert (owners(*cores), [core.apart for core in cores]) == (share, [[], [], []])
        assert [core.drops for core in cores] == drops

    run(story)
