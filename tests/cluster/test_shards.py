"""Where shards belong: balance, few moves, and that all work out the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.cluster.ports import SHARDS
from coscribe.cluster.shards import SLACK, places, shard_of

NAMES = st.frozensets(st.text(min_size=1, max_size=20), min_size=1, max_size=30)


def named(count: int, seed: int) -> frozenset[str]:
    return frozenset(f"core-{random.Random(seed).randrange(10**6)}-{number}" for number in range(count))


@pytest.mark.parametrize(
    ("workspace_id", "shard"), [("", 0), ("notes", 652), ("0198f2c4-a", 157), ("Übungsblatt", 528), ("文書", 371)]
)
def test_a_workspace_stays_in_its_shard_for_good(workspace_id: str, shard: int) -> None:
    assert shard_of(workspace_id) == shard


def test_workspaces_are_spread_evenly() -> None:
    counts = [0] * SHARDS
    for number in range(100 * SHARDS):
        counts[shard_of(f"document-{number}")] += 1
    assert min(counts) > 50
    assert max(counts) < 160


@given(NAMES)
def test_everything_belongs_to_somebody_and_nobody_has_too_much(names: frozenset[str]) -> None:
    belongs = places(names)
    assert set(belongs) <= names
    assert max(belongs.count(name) for name in names) <= -int(-SHARDS * (1 + SLACK) // len(names))
    places.cache_clear()
    assert places(frozenset(sorted(names, reverse=True))) == belongs


def test_where_there_is_nobody_it_belongs_to_nobody() -> None:
    assert places(frozenset()) == ("",) * SHARDS


@pytest.mark.parametrize(("count", "most"), [(2, 1.06), (3, 1.06), (5, 1.06), (10, 1.06), (20, 1.06), (50, 1.08)])
def test_no_instance_has_much_more_than_its_share(count: int, most: float) -> None:
    for seed in range(10):
        names = named(count, seed)
        belongs = places(names)
        assert max(belongs.count(name) for name in names) <= most * SHARDS / count


@pytest.mark.parametrize(("count", "most"), [(2, 1.1), (3, 1.1), (5, 1.2), (10, 1.25), (20, 1.5)])
def test_few_more_move_than_have_to(count: int, most: float) -> None:
    moved = needed = 0
    for seed in range(10):
        names = named(count, seed)
        before, after = places(names), places(names | {"new"})
        moved += sum(one != other for one, other in zip(before, after, strict=True))
        needed += after.count("new")
    assert needed <= moved <= most * needed
