"""Operations: by example, and against the laws they have to keep and the naive oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import (
    LEFT,
    NOTHING,
    RIGHT,
    Components,
    Delete,
    Operation,
    Splice,
    apply,
    carry_splice,
    changes,
    components,
    compose,
    deleted_text,
    from_edits,
    growth,
    invert,
    know_deleted,
    move_position,
    normalise,
    reach,
    simplify,
    to_edits,
    transform,
    transform_components,
)
from tests.core.naive import (
    Side,
    naive_apply,
    naive_caret,
    naive_compose,
    naive_normal,
    naive_reach,
    naive_transform,
)
from tests.core.notation import counted, decode
from tests.core.strategies import Tape, diamonds, singles, stated, successions, tapes

SIDES = st.sampled_from([LEFT, RIGHT])


NAMES: dict[bool, Side] = {LEFT: "left", RIGHT: "right"}


# --- by example ---


@pytest.mark.parametrize(
    ("text", "operation", "expected"),
    [
        ("", Splice(0, 0, "new"), "new"),
        ("ab", Splice(1, 0, "😅"), "a😅b"),
        ("a😅b", Splice(1, 1, ""), "ab"),
        ("abc", Splice(1, 1, "XY"), "aXYc"),
        ("abc", NOTHING, "abc"),
        ("abcd", (1, "X", Delete(1), 1, Delete(1, "d"), "Y"), "aXcY"),
    ],
)
def test_apply(text: str, operation: Operation, expected: str) -> None:
    assert apply(text, operation) == expected


@pytest.mark.parametrize(
    "operation", [Splice(4, 0, "X"), Splice(2, 2, ""), (4, "X"), (Delete(4),), ("X", 4), (3, "X", Delete(1))]
)
def test_apply_refuses_what_reaches_past_the_end(operation: Operation) -> None:
    with pytest.raises(CoscribeError) as refusal:
        apply("abc", operation)
    assert refusal.value.code is Code.POSITION_OUT_OF_RANGE
    assert reach(operation) == 4


def test_apply_refuses_to_delete_another_text() -> None:
    with pytest.raises(CoscribeError) as refusal:
        apply("abc", (1, Delete(1, "x")))
    assert refusal.value.code is Code.INVALID_PAYLOAD


def test_normal_form() -> None:
    parts: Components = (0, 1, 2, "", "a", "b", Delete(0), Delete(1), Delete(2), "c", 3, 4)
    assert normalise(parts) == (3, "ab", Delete(3), "c")
    assert normalise([Delete(1, "x"), Delete(2, "yz")]) == (Delete(3, "xyz"),)
    assert normalise([Delete(1, "x"), Delete(1)]) == (Delete(2),)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), NOTHING),
        ((5,), NOTHING),
        ((2, "X", Delete(3, "abc"), 4), Splice(2, 3, "X")),
        ((2, Delete(3), "X"), (2, Delete(3), "X")),  # a concurrent insert there would end up elsewhere
        (("a", 1, "b"), ("a", 1, "b")),
        (("a", 1, "b", 1), ("a", 1, "b", 1)),  # the retain in the middle equals the one at the end
    ],
)
def test_simplify(parts: Components, expected: Operation) -> None:
    assert simplify(parts) == expected


def test_a_late_insert_goes_left() -> None:
    committed, late = Splice(1, 0, "xy"), Splice(1, 0, "ab")
    assert transform(late, committed, LEFT) == Splice(1, 0, "ab")
    assert transform(committed, late, RIGHT) == Splice(3, 0, "xy")


def test_two_people_typing_at_one_spot_do_not_interleave() -> None:
    """A types a, b; B types x, y; committed in turn: each later letter stays with the one before it."""
    a, b = Splice(0, 0, "a"), Splice(1, 0, "b")
    x, y = Splice(0, 0, "x"), Splice(1, 0, "y")
    x_moved = transform(x, a, LEFT)
    text = apply(apply("", a), x_moved)
    a_on_x = transform(a, x, RIGHT)
    b_moved = transform(b, x_moved, LEFT)
    text = apply(text, b_moved)
    b_on_x = transform(b, transform(x, a, LEFT), LEFT)
    y_moved = transform(transform(y, a_on_x, LEFT), b_on_x, LEFT)
    assert apply(text, y_moved) == "xyab"


def test_an_insert_splits_a_delete_and_survives_it() -> None:
    delete, insert = Splice(1, 3, ""), Splice(2, 0, "XX")
    moved = transform(delete, insert, LEFT)
    assert moved == (1, Delete(1), 2, Delete(2))
    assert apply(apply("abcde", insert), moved) == "aXXe"
    assert apply(apply("abcde", delete), transform(insert, delete, RIGHT)) == "aXXe"


def test_a_replace_tied_with_an_insert_is_torn() -> None:
    """The inserted half goes left of the other's text; the deleted half is behind it."""
    assert transform(Splice(1, 1, "X"), Splice(1, 0, "yy"), LEFT) == (1, "X", 2, Delete(1))
    assert transform(Splice(1, 1, "X"), Splice(1, 0, "yy"), RIGHT) == Splice(3, 1, "X")


def test_two_deletes_of_the_same_text_leave_nothing_to_do() -> None:
    moved = transform(Splice(1, 2, ""), Splice(0, 4, ""), LEFT)
    assert not changes(moved)
    assert components(moved) == NOTHING


def test_a_concurrent_history_must_not_be_composed() -> None:
    """Composing forgets where a text came from: 'stepwise' is not a matter of taste."""
    first, second, mine = Splice(0, 1, ""), Splice(0, 0, "X"), Splice(1, 0, "m")
    stepwise = transform(transform(mine, first, LEFT), second, LEFT)
    at_once = transform(mine, compose(first, second), LEFT)
    assert (stepwise, at_once) == (Splice(0, 0, "m"), Splice(1, 0, "m"))


def test_compose_by_example() -> None:
    assert compose(Splice(0, 0, "ac"), Splice(1, 0, "b")) == Splice(0, 0, "abc")
    assert compose(Splice(0, 0, "abc"), Splice(1, 1, "")) == Splice(0, 0, "ac")
    assert compose(Splice(2, 0, "x"), Splice(2, 1, "")) == NOTHING
    assert compose(Splice(0, 1, ""), Splice(0, 0, "x")) == Splice(0, 1, "x")
    assert compose((Delete(1, "a"),), (1, Delete(2, "cd"))) == (Delete(1, "a"), 1, Delete(2, "cd"))


def test_edits_must_run_left_to_right() -> None:
    assert from_edits([]) == NOTHING
    assert from_edits([(3, 0, "")]) == NOTHING
    assert from_edits([(1, 1, "X")]) == Splice(1, 1, "X")
    assert from_edits([(1, 1, ""), (2, 0, "X"), (4, 1, "")]) == (1, Delete(1), "X", 2, Delete(1))
    for overlapping in ([(1, 2, ""), (2, 0, "X")], [(3, 0, "X"), (1, 0, "Y")], [(-1, 0, "X"), (0, 0, "Y")]):
        with pytest.raises(CoscribeError) as refusal:
            from_edits(overlapping)
        assert refusal.value.code is Code.INVALID_PAYLOAD


def test_a_caret_stays_left_of_what_others_insert_there() -> None:
    insert = Splice(3, 0, "xx")
    assert [move_position(at, insert, before_insert=True) for at in (2, 3, 4)] == [2, 3, 6]
    assert [move_position(at, insert, before_insert=False) for at in (2, 3, 4)] == [2, 5, 6]
    assert [move_position(at, Splice(2, 3, ""), before_insert=True) for at in (1, 2, 4, 5, 6)] == [1, 2, 2, 2, 3]


def test_a_splice_is_carried_until_it_would_be_torn() -> None:
    others = [Splice(0, 0, "aa"), Splice(9, 1, ""), Splice(4, 0, "b"), Splice(0, 1, "")]
    assert carry_splice(Splice(1, 3, ""), others, LEFT) == (Splice(3, 3, ""), 2)
    assert carry_splice(Splice(1, 3, ""), [(Delete(1),)], LEFT) == (Splice(1, 3, ""), 0)


# --- laws ---


@given(singles)
def test_apply_and_measures_agree_with_the_oracle(case: tuple[str, Operation]) -> None:
    text, operation = case
    op = counted(operation)
    result = apply(text, operation)
    assert result == naive_apply(text, op)
    assert growth(operation) == len(result) - len(text)
    assert reach(components(operation)) == naive_reach(op)
    assert reach(operation) <= len(text)
    assert changes(operation) == any(not isinstance(part, int) for part in op)


@given(diamonds)
def test_tp1(case: tuple[str, Operation, Operation]) -> None:
    text, a, b = case
    for side in (LEFT, RIGHT):
        over_b = apply(apply(text, b), transform(a, b, side))
        over_a = apply(apply(text, a), transform(b, a, not side))
        assert over_a == over_b


@given(diamonds, SIDES)
def test_transform_equals_the_oracle(case: tuple[str, Operation, Operation], side: bool) -> None:
    _, a, b = case
    expected = naive_transform(counted(a), counted(b), NAMES[side])
    assert counted(transform(a, b, side)) == expected


@given(tapes(lambda tape: (tape.splice(12), tape.splice(12))), SIDES)
def test_the_fast_path_equals_the_general_one(case: tuple[Splice, Splice], side: bool) -> None:
    a, b = case
    general = transform_components(components(a), components(b), side)
    assert components(transform(a, b, side)) == general
    moved, passed = carry_splice(a, [b], side)
    if passed:
        assert components(moved) == general
    else:
        assert moved == a


@tapes
def stating(tape: Tape) -> tuple[str, Components, Operation]:
    text = tape.text()
    return text, stated(tape.components(len(text)), len(text)), tape.operation(len(text))


@given(stating, SIDES)
def test_transform_keeps_a_stated_length(case: tuple[str, Components, Operation], side: bool) -> None:
    text, operation, other = case
    after = apply(text, other)
    for over in (other, stated(components(other), len(text))):
        moved = transform(operation, over, side)
        assert not isinstance(moved, Splice)
        if operation and isinstance(operation[-1], int):
            assert reach(moved) == len(after)
        else:
            assert not moved or not isinstance(moved[-1], int)
        expected = naive_transform(counted(operation), counted(over), NAMES[side])
        assert counted(normalise(moved)) == expected


@given(stating)
def test_simplify_changes_only_the_form(case: tuple[str, Components, Operation]) -> None:
    text, operation, _ = case
    simple = simplify(operation)
    assert counted(normalise(components(simple))) == naive_normal(counted(operation))
    assert apply(text, simple) == apply(text, operation)


@given(successions)
def test_compose_equals_applying_twice_and_the_oracle(case: tuple[str, Operation, Operation]) -> None:
    text, first, second = case
    both = compose(first, second)
    assert apply(text, both) == apply(apply(text, first), second)
    assert counted(both) == naive_compose(counted(first), counted(second))


@given(singles)
def test_invert_takes_back(case: tuple[str, Operation]) -> None:
    text, operation = case
    known = know_deleted(operation, deleted_text(text, operation))
    after = apply(text, known)
    assert after == apply(text, operation)
    back = invert(known)
    assert apply(after, back) == text
    assert invert(back) == normalise(known)


@given(successions, diamonds, SIDES)
def test_deletes_that_know_their_text_stay_right(
    in_a_row: tuple[str, Operation, Operation], diamond: tuple[str, Operation, Operation], side: bool
) -> None:
    """`apply` refuses a delete of another text than the one that is there."""
    text, first, second = in_a_row
    knowing = [know_deleted(op, deleted_text(at, op)) for at, op in ((text, first), (apply(text, first), second))]
    assert apply(text, compose(*knowing)) == apply(apply(text, first), second)
    text, a, b = diamond
    moved = transform(know_deleted(a, deleted_text(text, a)), b, side)
    assert apply(apply(text, b), moved) == apply(apply(text, b), transform(a, b, side))


@given(singles)
def test_edits_there_and_back(case: tuple[str, Operation]) -> None:
    text, operation = case
    edits = to_edits(operation)
    assert components(from_edits(edits)) == components(operation)
    result = text
    for position, deleted, inserted in reversed(edits):
        result = result[:position] + inserted + result[position + deleted :]
    assert result == apply(text, operation)


@given(singles)
def test_move_position_equals_the_oracle(case: tuple[str, Operation]) -> None:
    text, operation = case
    for position in range(len(text) + 1):
        for before in (True, False):
            moved = move_position(position, operation, before_insert=before)
            assert moved == naive_caret(counted(operation), position, before)
            assert 0 <= moved <= len(text) + growth(operation)


@given(singles)
def test_the_notation_is_only_notation(case: tuple[str, Operation]) -> None:
    """Guards the adapter that all comparisons with the oracle go through."""
    operation = components(case[1])
    assert decode(counted(operation)) == operation
    assert naive_normal(counted(operation)) == counted(operation)
