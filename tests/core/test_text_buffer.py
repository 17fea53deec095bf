"""TextBuffer against a plain str, with chunks so short that every edit is near a border."""

from __future__ import annotations

import pytest
from hypothesis import given

from coscribe.core import text_buffer
from coscribe.core.operation import Operation, apply, deleted_text
from coscribe.core.text_buffer import CHUNK, WHOLE, TextBuffer
from tests.core.strategies import Tape, tapes

Edits = list[tuple[int, int, str]]


def test_a_short_text() -> None:
    buffer = TextBuffer("a😅c")
    assert buffer.splice(1, 1, "bb") == "😅"
    assert (str(buffer), len(buffer)) == ("abbc", 4)
    assert buffer.splice(4, 0, "d") == ""
    assert buffer.splice(0, 5, "") == "abbcd"
    assert (str(buffer), len(buffer)) == ("", 0)
    assert str(TextBuffer()) == ""


@pytest.mark.parametrize("position", [0, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 4 * CHUNK + 5])
@pytest.mark.parametrize("deleted", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_a_long_text_at_its_borders(position: int, deleted: int) -> None:
    text = ("0123456789" * CHUNK)[: 6 * CHUNK + 5]
    buffer = TextBuffer(text)
    assert buffer.splice(position, deleted, "😅") == text[position : position + deleted]
    assert str(buffer) == text[:position] + "😅" + text[position + deleted :]


def test_a_paste_beyond_the_threshold_is_chunked() -> None:
    buffer = TextBuffer("ab")
    buffer.splice(1, 0, "x" * (2 * WHOLE))
    assert len(buffer) == 2 * WHOLE + 2
    assert buffer.splice(WHOLE, 1, "") == "x"
    assert str(buffer) == "a" + "x" * (2 * WHOLE - 1) + "b"


@pytest.mark.parametrize(("position", "deleted"), [(-1, 0), (0, 4), (4, 0), (2, 2)])
def test_a_range_outside_is_the_callers_mistake(position: int, deleted: int) -> None:
    buffer = TextBuffer("abc")
    with pytest.raises(AssertionError):
        buffer.splice(position, deleted, "x")
    assert (str(buffer), len(buffer)) == ("abc", 3)


@tapes
def histories(tape: Tape) -> tuple[str, Edits]:
    """A text and splices in a row; they often stay near the last one, and some take or bring several chunks."""
    text = tape.text(60)
    size, position = len(text), 0
    edits: Edits = []
    for _ in range(tape.below(16)):
        position = min(position + tape.below(5), size) if tape.below(2) else tape.below(size + 1)
        deleted = min(tape.below(40 if tape.below(3) == 2 else 4), size - position)
        inserted = tape.letters("XY🤖", 1) * (tape.below(30) if tape.below(3) == 2 else 1 + tape.below(3))
        edits.append((position, deleted, inserted))
        size += len(inserted) - deleted
    return text, edits


@given(histories)
def test_like_a_str(case: tuple[str, Edits]) -> None:
    text, edits = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_buffer, "WHOLE", 12)
        patch.setattr(text_buffer, "CHUNK", 4)
        buffer = TextBuffer(text)
        for position, deleted, inserted in edits:
            assert buffer.splice(position, deleted, inserted) == text[position : position + deleted]
            text = text[:position] + inserted + text[position + deleted :]
            assert (str(buffer), len(buffer)) == (text, len(text))
            check_chunks(buffer, whole=12, chunk=4)


@tapes
def long_singles(tape: Tape) -> tuple[str, Operation]:
    text = tape.text(40)
    return text, tape.operation(len(text))


@given(long_singles)
def test_apply_equals_the_operation_on_a_str(case: tuple[str, Operation]) -> None:
    text, operation = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_buffer, "WHOLE", 12)
        patch.setattr(text_buffer, "CHUNK", 4)
        buffer = TextBuffer(text)
        assert buffer.apply(operation) == deleted_text(text, operation)
        assert str(buffer) == apply(text, operation)


def check_chunks(buffer: TextBuffer, *, whole: int, chunk: int) -> None:
    """What makes an edit cheap: it copies no more than one short chunk."""
    sizes = [len(part) for part in buffer._chunks]
    if len(sizes) == 1:
        assert sizes[0] <= whole
    else:
        assert min(sizes) > 0
        assert max(sizes) <= 2 * chunk
