"""The edits between two texts: they lead from the one to the other, whatever the texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.document_state import Limits
from coscribe.core.operation import apply
from coscribe.documents import differences
from coscribe.documents.differences import Edits, edits_between
from coscribe.protocol.codec import compile_operation

CHARACTERS = st.sampled_from("ab \nä€🙂🙃👩‍🚀\u0301\U0010ffff")
TEXTS = st.text(CHARACTERS, max_size=60)


def applied(old: str, edits: Edits) -> str:
    return apply(old, compile_operation("batch", 0, edits, Limits()))


@given(TEXTS, TEXTS, st.integers(1, 40))
def test_they_lead_from_one_text_to_the_other(old: str, new: str, at_most: int) -> None:
    edits = edits_between(old, new, at_most)
    assert applied(old, edits) == new
    assert len(edits) <= at_most
    assert all(deleted or inserted for _, deleted, inserted in edits)
    assert bool(edits) == (old != new)


@given(TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.text(CHARACTERS, max_size=3)), max_size=5))
def test_a_text_that_was_edited_here_and_there(old: str, changes: list[tuple[int, int, str]]) -> None:
    new = old
    for position, deleted, inserted in changes:
        new = new[:position] + inserted + new[position + deleted :]
    assert applied(old, edits_between(old, new, 100)) == new


@given(TEXTS, TEXTS)
def test_the_same_texts_have_the_same_edits(old: str, new: str) -> None:
    assert edits_between(old, new, 100) == edits_between(old, new, 100)


def test_what_is_the_same_is_not_touched() -> None:
    old = "one 🙂\n" + "the middle of it all stays\n" * 20 + "three"
    new = old.replace("one", "1").replace("three", "3 🙃")
    assert edits_between(old, new, 100) == [(0, 3, "1"), (len(old) - 5, 5, "3 🙃")]


def test_where_there_are_too_many_the_nearest_become_one() -> None:
    near, far = "x" * 40, "y" * 400
    old = f"a{near}b{far}c{near}d"
    new = f"A{near}B{far}C{near}D"
    assert len(edits_between(old, new, 4)) == 4
    assert edits_between(old, new, 2) == [(0, 42, f"A{near}B"), (442, 42, f"C{near}D")]
    assert edits_between(old, new, 1) == [(0, len(old), new)]


def test_a_search_that_takes_too_long_ends_with_a_coarse_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "DIFF_SECONDS", 1e-9)
    old = "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(20_000))
    new = "".join(chr(0x4E00 + number * 104_729 % 20_000) for number in range(20_000))
    assert applied(old, edits_between(old, new, 100)) == new
