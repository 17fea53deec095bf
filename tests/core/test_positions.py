"""Code points to UTF-16 units and back, against Python's own encoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.positions import from_utf16, to_utf16
from tests.core.naive import naive_utf16

# Characters of one to four UTF-8 bytes, on both sides of every border; no lone surrogates.
TEXTS = st.text(st.sampled_from("a\n\x7f\x80é\u07ff\u0800\ud7ff\ue000\uffff\U00010000😅\U0010ffff"), max_size=10)


def test_by_example() -> None:
    assert [to_utf16("a😅b", position) for position in range(4)] == [0, 1, 3, 4]
    assert [from_utf16("a😅b", offset) for offset in (0, 1, 3, 4)] == [0, 1, 2, 3]
    assert (to_utf16("", 0), from_utf16("", 0)) == (0, 0)


@given(TEXTS)
def test_equal_to_the_encoder_and_back(text: str) -> None:
    for position in range(len(text) + 1):
        offset = to_utf16(text, position)
        assert offset == naive_utf16(text, position)
        assert from_utf16(text, offset) == position


@given(TEXTS)
def test_everything_else_is_refused(text: str) -> None:
    """Outside the text, and inside a surrogate pair."""
    borders = {naive_utf16(text, position) for position in range(len(text) + 1)}
    for offset in set(range(-2, 2 * len(text) + 3)) - borders:
        with pytest.raises(CoscribeError) as refusal:
            from_utf16(text, offset)
        assert refusal.value.code is Code.POSITION_OUT_OF_RANGE
    for position in (-1, len(text) + 1):
        with pytest.raises(CoscribeError) as refusal:
            to_utf16(text, position)
        assert refusal.value.code is Code.POSITION_OUT_OF_RANGE
