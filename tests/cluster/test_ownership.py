"""What an instance owns at which moment, and what it does next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coscribe.cluster.ownership import FENCE_SECONDS, LEASE_SECONDS, Change, Duty, Homes, Ownership, at_work
from coscribe.cluster.ports import SHARDS, Instance, Pin, Table
from coscribe.cluster.shards import places, shard_of

A, B, C = (Instance(f"id-{name}", name, is_core=True) for name in "abc")
DOC = "doc"
SHARD = shard_of(DOC)


def table(*instances: Instance, pins: dict[str, Pin] | None = None, **owners: int) -> Table:
    """``owners``: the shard that somebody owns, by the name."""
    rows = [""] * SHARDS
    for name, shard in owners.items():
        rows[shard] = f"id-{name}"
    return Table({each.instance_id: each for each in instances}, tuple(rows), pins or {})


def test_it_owns_what_the_table_says_until_its_time_is_up() -> None:
    ownership = Ownership("id-a")
    assert not ownership.owns(DOC, 0.0)
    assert ownership.owner_of(DOC, 0.0) is None
    assert ownership.beaten(10.0, table(A, a=SHARD), 11.0) == Change(frozenset({SHARD}), False)
    assert ownership.owns(DOC, 11.0)
    assert ownership.owner_of(DOC, 11.0) == "id-a"
    just_before = 10.0 + FENCE_SECONDS - 0.001
    assert ownership.owns(DOC, just_before)
    assert ownership.holds(DOC, just_before)
    at_the_fence = 10.0 + FENCE_SECONDS
    assert not ownership.owns(DOC, at_the_fence), "counted from before it asked"
    assert not ownership.holds(DOC, at_the_fence)
    assert ownership.owner_of(DOC, at_the_fence) is None
    assert not ownership.fence(just_before)
    assert ownership.fence(at_the_fence)
    assert not ownership.fence(at_the_fence), "once"
    assert ownership.beaten(20.0, table(A, a=SHARD), 20.1) == Change(frozenset({SHARD}), False), "anew"


def test_whoever_is_new_or_goes_is_not_turned_to_unless_there_is_nobody_else() -> None:
    gateway, going = Instance("id-g", "g", False), B._replace(leaving=True)
    assert at_work(table(A, B, gateway, a=SHARD)) == [A]
    assert at_work(table(A, going, gateway, b=SHARD)) == [A]
    assert at_work(table(A, B, gateway)) == [A, B]
    assert at_work(table(gateway)) == []


def test_an_answer_that_was_read_too_late_gives_nothing() -> None:
    ownership = Ownership("id-a")
    assert not ownership.beaten(10.0, table(A, a=SHARD), 10.0 + FENCE_SECONDS).gained
    assert not ownership.owns(DOC, 10.0 + FENCE_SECONDS)


def test_the_fence_is_before_the_lease_on_clocks_that_differ_by_a_fifth() -> None:
    assert FENCE_SECONDS <= LEASE_SECONDS * 0.8


def test_what_the_table_says_is_somebody_elses_is_lost() -> None:
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, B, a=SHARD), 0.1)
    assert ownership.seen(table(A, B, b=SHARD), 0.2) == Change(frozenset(), True)
    assert not ownership.holds(DOC, 0.2)
    assert ownership.owner_of(DOC, 0.2) == "id-b"
    assert ownership.owner_of(DOC, 100.0) == "id-b", "as far as it knows"
    ownership.seen(table(A, b=SHARD), 0.3)
    assert ownership.owner_of(DOC, 0.3) is None, "who is dead owns nothing"


def test_who_is_dead_by_the_databases_clock_owns_nothing() -> None:
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, a=SHARD), 0.1)
    assert ownership.seen(table(B, a=SHARD), 0.2) == Change(frozenset(), True)


def test_while_it_hands_over_it_shows_and_lets_nobody_in() -> None:
    ownership = Ownership("id-a")
    now = table(A, B, a=SHARD)
    ownership.beaten(0.0, now, 0.1)
    ownership.begin([SHARD])
    assert (ownership.owns(DOC, 0.2), ownership.holds(DOC, 0.2)) == (False, True)
    assert ownership.owner_of(DOC, 0.2) is None
    assert SHARD not in ownership.duty().hand_over
    ownership.handed([SHARD])
    assert not ownership.holds(DOC, 0.2)
    assert ownership.duty().release == [SHARD]
    ownership.beaten(1.0, now, 1.1)
    assert not ownership.holds(DOC, 1.1), "the release may still happen"
    assert ownership.duty().release == [SHARD]
    ownership.seen(table(A, B), 1.2)
    assert ownership.duty().release == []
    ownership.seen(table(A, B, a=SHARD), 1.3)
    assert ownership.owns(DOC, 1.3)


def test_it_takes_what_belongs_to_it_and_nobody_alive_has() -> None:
    belongs = places(frozenset("ab"))
    own = [shard for shard in range(SHARDS) if belongs[shard] == "a"]
    dead, others = own[0], own[1]
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, B, b=others, c=dead), 0.1)
    assert ownership.duty() == Duty([shard for shard in own if shard != others], [], [])


def test_it_hands_over_what_belongs_elsewhere() -> None:
    shard = places(frozenset("ab")).index("b")
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, B, a=shard), 0.1)
    assert ownership.duty().hand_over == [shard]
    ownership.seen(table(A, B._replace(leaving=True), a=shard), 0.2)
    assert ownership.duty().hand_over == []
    ownership.seen(table(A._replace(leaving=True), a=shard), 0.3)
    assert ownership.duty() == Duty([], [], [shard]), "who leaves hands over even if nobody is there"


def test_who_is_cut_off_for_long_hands_over_to_those_who_are_not() -> None:
    both, alone = (places(frozenset(names)) for names in ("ab", "b"))
    shard = both.index("a")
    deaf = A._replace(cut_off=True)
    ownership, other = Ownership("id-a"), Ownership("id-b")
    for settled, is_apart in (({"id-b"}, False), ({"id-a", "id-b"}, True), ({"id-a"}, False)):
        now = table(deaf, B, a=shard)._replace(settled=frozenset(settled))
        for each in (ownership, other):
            each.beaten(0.0, now, 0.1)
        assert ownership.duty().hand_over == ([shard] if is_apart else [])
        assert ownership.is_apart == is_apart
        assert len(other.duty().take) == (alone.count("b") - 1 if is_apart else both.count("b"))
        assert at_work(now) == ([B] if is_apart else [deaf])


def test_where_no_core_hears_for_sure_everything_stays_where_it_is() -> None:
    gateway = Instance("id-g", "g", is_core=False)
    ownership = Ownership("id-g")
    for b in (B, B._replace(cut_off=True), B._replace(leaving=True)):
        instances = (A._replace(cut_off=True), b, gateway._replace(cut_off=True), C._replace(is_core=False))
        unsure = () if b.cut_off or b.leaving else ("id-b",)
        everybody = table(*instances)._replace(settled=frozenset({"id-a", "id-b", "id-g", "id-c"} - set(unsure)))
        assert "id-a" in map(Homes(everybody).of, range(SHARDS))
        ownership.seen(everybody, 0.0)
        assert not ownership.is_apart
    ownership.seen(table(B, gateway._replace(cut_off=True))._replace(settled=frozenset({"id-b", "id-g"})), 0.0)
    assert ownership.is_apart


def test_a_gateway_has_no_duties() -> None:
    ownership = Ownership("id-g")
    ownership.beaten(0.0, table(Instance("id-g", "g", is_core=False), A, a=SHARD), 0.1)
    assert ownership.duty() == Duty([], [], [])
    assert ownership.owner_of(DOC, 0.2) == "id-a"


def test_of_two_of_one_name_the_younger_one_is_given_all() -> None:
    younger = Instance("id-aa", "a", is_core=True)
    assert {Homes(table(A, younger)).of(shard) for shard in range(SHARDS)} == {"id-aa"}


def test_a_pin_goes_before_the_shard_while_its_instance_is_there() -> None:
    for name, other in (("a", B), ("b", A)):
        pins = {DOC: Pin(name, "")}
        assert Homes(table(A, B, pins=pins)).of(DOC) == f"id-{name}"
        assert Homes(table(other, pins=pins)).of(DOC) == other.instance_id


def test_a_pinned_workspace_is_not_its_shards() -> None:
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, B, a=SHARD), 0.1)
    assert ownership.owns(DOC, 0.2)
    assert ownership.seen(table(A, B, a=SHARD, pins={DOC: Pin("b", "id-b")}), 0.2).lost, "one that was in the shard"
    assert (ownership.owns(DOC, 0.2), ownership.owner_of(DOC, 0.2)) == (False, "id-b")
    ownership.seen(table(A, B, a=SHARD, pins={DOC: Pin("b", "id-a")}), 0.3)
    assert ownership.owns(DOC, 0.3)
    assert DOC in ownership.duty().hand_over


def test_what_is_pinned_no_longer_is_given_back() -> None:
    pins = {DOC: Pin("", "id-a")}
    ownership = Ownership("id-a")
    ownership.beaten(0.0, table(A, a=SHARD, pins=pins), 0.1)
    assert DOC in ownership.duty().hand_over, "though the shard is its own"
    ownership.seen(table(A, a=SHARD, pins={DOC: Pin("", "id-b")}), 0.2)
    assert DOC in ownership.duty().take, "the row of a dead owner goes when somebody takes it"


NAMED = st.lists(st.sampled_from((A, B, C, A._replace(leaving=True), B._replace(is_core=False))), max_size=4)


@given(NAMED, st.dictionaries(st.sampled_from("abc"), st.integers(0, SHARDS - 1)), st.sampled_from("abcg"))
def test_duties_fit_the_table(instances: list[Instance], owners: dict[str, int], me: str) -> None:
    """Nobody takes what somebody alive has, and what is to be handed over is one's own."""
    ownership = Ownership(f"id-{me}")
    rows = [""] * SHARDS
    for name, shard in owners.items():
        rows[shard] = f"id-{name}"
    now = table(*instances)._replace(owners=tuple(rows))
    ownership.beaten(0.0, now, 0.1)
    take, release, hand_over = ownership.duty()
    assert release == []
    assert set(hand_over) <= ownership.held
    for unit in take:
        assert isinstance(unit, int)
        assert now.owners[unit] not in now.instances
        assert Homes(now).of(unit) == f"id-{me}"
