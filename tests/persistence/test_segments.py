"""Segments come back as they were packed, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.dedup import join_id
from coscribe.model import GENESIS, link
from coscribe.persistence.segments import Packed, Row, pack, runs_of, unpack

FILES = {1: "notes", 7: "ö"}

natural = st.integers(0, 2**62)
digest = st.binary(max_size=40)
rows = st.lists(
    st.builds(
        Row,
        st.just(0),
        st.sampled_from(list(FILES)),
        natural,
        natural,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.integers(0, 10**15),
        natural,
        digest,
        st.integers(-(2**60), 2**60),
        st.binary(max_size=60),
        digest,
        st.just(b""),
    ),
    min_size=1,
    max_size=20,
)


def chained(some: list[Row], first: int = 1, previous: bytes = GENESIS) -> list[Row]:
    """The rows one after the other, with digests that fit."""
    done: list[Row] = []
    for sequence, row in enumerate(some, first):
        digest = link(
            done[-1].digest if done else previous,
            sequence,
            row.version,
            row.base_version,
            row.author_ref,
            row.time,
            FILES[row.file_key].encode(),
            join_id(row.series, row.counter).encode(),
            row.salt,
            row.payload,
        )
        done.append(row._replace(sequence=sequence, digest=digest))
    return done


def example(count: int = 50) -> list[Row]:
    row = Row(0, 1, 3, 2, "a", 0, 1, b"r" * 16, 10**15, b'[[3,"x"],[]]', b"s" * 16, b"")
    return chained([row._replace(version=n, counter=n, time=10**15 + n) for n in range(1, count + 1)])


@given(rows, st.integers(1, 2**40), st.binary(min_size=32, max_size=32))
def test_rows_come_back_as_they_were(some: list[Row], first: int, previous: bytes) -> None:
    packed_rows = chained(some, first, previous)
    packed = pack(3, packed_rows, previous, FILES)
    assert unpack(packed) == packed_rows
    assert (packed.first_sequence, packed.last_sequence) == (first, first + len(some) - 1)
    assert packed.chain_hash == packed_rows[-1].digest


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    packed = pack(3, example(), GENESIS, FILES)
    at = data.draw(st.integers(0, len(packed.content) - 1))
    changed = bytearray(packed.content)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="checksum"):
        unpack(packed._replace(content=bytes(changed)))


@pytest.mark.parametrize(
    "change",
    [
        {"workspace_key": 4},
        {"first_sequence": 2},
        {"last_sequence": 49},
        {"entries": 49},
        {"chain_hash": bytes(32)},
        {"format": 2},
        {"content": b""},
        {"checksum": bytes(32)},
        {"first_sequence": "one"},
        {"content": None},
    ],
)
def test_a_segment_in_another_place_is_noticed(change: dict[str, object]) -> None:
    fields = pack(3, example(), GENESIS, FILES)._asdict() | change
    with pytest.raises(ValueError, match="segment"):
        unpack(Packed(**fields))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b"[[],[]]"},
        {"payload": "text"},
        {"salt": b""},
        {"digest": bytes(32)},
        {"time": 1},
        {"time": "then"},
        {"version": -1},
        {"author_ref": 2},
        {"file_key": 9},
        {"file_key": 7},
        {"counter": 1_000},
        {"series": b"bytes"},
        {"sequence": 31},
    ],
)
def test_rows_that_do_not_fit_are_not_packed(change: dict[str, object]) -> None:
    some = example()
    some[20] = Row(**(some[20]._asdict() | change))
    with pytest.raises(ValueError, match="sequence"):
        pack(3, some, GENESIS, FILES)


@pytest.mark.parametrize("change", [{"request": "text"}, {"request": None}, {"request": 1.5}])
def test_what_the_chain_does_not_cover_has_to_come_back_too(change: dict[str, object]) -> None:
    some = example()
    some[20] = Row(**(some[20]._asdict() | change))
    with pytest.raises(ValueError, match="segment"):
        pack(3, some, GENESIS, FILES)


def test_rows_behind_something_else_are_not_packed() -> None:
    with pytest.raises(ValueError, match="sequence 1 does not fit"):
        pack(3, example(), bytes([1]) * 32, FILES)


@given(st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 30))))
def test_runs_stand_for_exactly_the_ids(ids: set[tuple[str, int]]) -> None:
    row = example(1)[0]
    runs = runs_of(row._replace(series=series, counter=counter) for series, counter in ids)
    told = [(run.series, counter) for run in runs for counter in range(run.first, run.last + 1)]
    assert sorted(told) == sorted(ids)
    assert len(told) == len(set(told))
    assert all((run.series, run.last + 1) not in ids for run in runs)
