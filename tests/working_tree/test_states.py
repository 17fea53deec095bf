"""Which state a content comes from: the same as when it is compared with all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.operation import apply
from coscribe.documents.differences import Differences, LineDifferences
from coscribe.working_tree.states import Candidate, State, choose, distance, fresh

LINES = st.lists(st.sampled_from(("return", "one two", "<17>", "<18>", "", "  x = 1", "naïve 🙂")), max_size=12)
EDITS = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 6), st.sampled_from(("<1>\n", "<2>\n", "x", ""))), max_size=9
)

Edit = tuple[int, int, str]


def edited(text: str, edit: Edit) -> str:
    at, deleted, inserted = edit
    return text[:at] + inserted + text[at + deleted :]


def made(old: str, new: str, found: Differences) -> str:
    """What differences make of a text."""
    text, position, place = "", 0, 0
    for kind, count in found:
        if kind == "=":
            assert old[position : position + count] == new[place : place + count]
        text += "" if kind == "-" else new[place : place + count]
        position += 0 if kind == "+" else count
        place += 0 if kind == "-" else count
    assert (position, place) == (len(old), len(new))
    return text


@given(LINES, LINES, EDITS)
def test_lines_and_then_letters_lead_from_one_text_to_the_other(
    old: list[str], new: list[str], edits: list[Edit]
) -> None:
    between = LineDifferences().between
    first, second = "\n".join(old), "\n".join(new)
    third = first
    for edit in edits:
        third = edited(third, edit)
    for before, after in ((first, second), (first, third), (third, second)):
        assert made(before, after, between(before, after)) == after


@given(LINES, EDITS, st.integers(0, 8), EDITS, st.sets(st.integers(0, 9)))
def test_the_nearest_is_found_without_comparing_all(
    lines: list[str], typed: list[Edit], read: int, written: list[Edit], by_disk: set[int]
) -> None:
    texts = ["\n".join(lines)]
    for edit in typed:
        texts.append(edited(texts[-1], edit))
    candidates = [Candidate(State(number, "", by_disk=number in by_disk), text) for number, text in enumerate(texts)]
    content = texts[min(read, len(texts) - 1)]
    for edit in written:
        content = edited(content, edit)
    if content in texts:
        return
    between = LineDifferences().between
    masks = fresh(candidates, between)
    costs = [distance(between(text, content), mask) for text, mask in zip(texts, masks, strict=True)]
    choice = choose(candidates, content)
    assert choice.state.version == min(range(len(texts)), key=lambda place: (costs[place], -place))
    assert apply(choice.text, choice.difference) == content
