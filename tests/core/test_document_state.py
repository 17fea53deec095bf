"""FileState: what a commit does to text, version and sequence; what it refuses; and that refusing changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, note

from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import NOTHING_CONCURRENT, Committed
from coscribe.core.operation import (
    NOTHING,
    Components,
    Delete,
    Operation,
    Splice,
    apply,
    components,
    from_edits,
    growth,
    invert,
    know_deleted,
    normalise,
    to_edits,
)
from tests.core.builders import entry
from tests.core.naive import JsonOp, naive_apply, naive_transform
from tests.core.notation import counted
from tests.core.strategies import TAPES, Tape, tapes


def opened(content: str, version: int = 0, sequence: int = 0, limits: Limits | None = None) -> FileState:
    return FileState("file", content, version, sequence, limits or Limits())


def operations_since(state: FileState, base_version: int) -> list[Operation]:
    concurrent = state.concurrent_since(base_version)
    assert concurrent is not None
    return list(concurrent.operations)


def submit(state: FileState, *operations: Operation, base: int | None = None) -> list[Committed]:
    """Commits operations as a unit at the next free sequence, from the version ``base`` (the current one)."""
    base_version = state.version if base is None else base
    concurrent = state.concurrent_since(base_version)
    assert concurrent is not None
    first = state.last_sequence + 1
    requests = [Request(f"op:{first + index}", operation) for index, operation in enumerate(operations)]
    return state.commit(requests, base_version, concurrent, first, "ann", b"digest")


def facts(state: FileState) -> tuple[object, ...]:
    window = state.window
    return str(state.content), state.version, state.last_sequence, list(window.entries), window.bytes, window.floor


# --- by example ---


def test_a_commit_counts_version_and_sequence() -> None:
    state = opened("hello", version=7, sequence=40)
    requests = [Request("ann:1", Splice(5, 0, " 😅"), restores=(3, 4))]
    (made,) = state.commit(requests, 7, NOTHING_CONCURRENT, 44, "ann", b"digest")
    assert (str(state.content), state.version, state.last_sequence) == ("hello 😅", 8, 44)
    assert (made.sequence, made.version, made.base_version, made.changed) == (44, 8, 7, True)
    assert (made.operation_id, made.author, made.request, made.restores) == ("ann:1", "ann", b"digest", (3, 4))
    assert (made.operation, made.removed) == (Splice(5, 0, " 😅"), "")


def test_the_deleted_text_is_kept() -> None:
    state = opened("abcdef")
    (splice,) = submit(state, Splice(1, 2, "X"))
    (batch,) = submit(state, (Delete(1), 1, Delete(2), "Y"))
    assert (splice.removed, batch.removed) == ("bc", "ade")
    assert str(state.content) == "XYf"


def test_what_comes_to_nothing_takes_a_sequence_and_leaves_the_version() -> None:
    state = opened("abc")
    submit(state, Splice(1, 1, ""))
    (again,) = submit(state, Splice(1, 1, ""), base=0)
    assert (again.sequence, again.version, again.changed, again.removed) == (2, 1, False, "")
    assert (str(state.content), state.version, state.last_sequence) == ("ac", 1, 2)
    assert operations_since(state, 0) == [Splice(1, 1, "")]
    assert state.window.entries_after(1) == [again]


def test_a_replace_by_the_same_text_is_a_change() -> None:
    """The rule asks for inserts and deletes, not for a difference: others' carets and blame see it."""
    state = opened("abc")
    (made,) = submit(state, Splice(1, 1, "b"))
    assert (made.changed, state.version, str(state.content)) == (True, 1, "abc")


def test_a_chain_is_numbered_one_by_one() -> None:
    state = opened("", version=3, sequence=9)
    submit(state, Splice(0, 0, "xy"))
    entries = submit(state, Splice(0, 0, "a"), NOTHING, Splice(1, 0, "b"), base=3)
    assert [made.sequence for made in entries] == [11, 12, 13]
    assert [made.version for made in entries] == [5, 5, 6]
    assert [made.base_version for made in entries] == [3, 5, 5]
    assert str(state.content) == "abxy"


def test_a_late_insert_goes_left() -> None:
    state = opened("||")
    submit(state, Splice(1, 0, "first"))
    submit(state, Splice(1, 0, "second"), base=0)
    submit(state, Splice(1, 0, "third"), base=1)
    assert str(state.content) == "|thirdsecondfirst|"


def test_a_base_beyond_the_window_is_not_guessed_at() -> None:
    state = opened("abc", version=5)
    with pytest.raises(AssertionError):
        state.concurrent_since(6)
    assert operations_since(state, 5) == []
    assert state.concurrent_since(4) is None
    for _ in range(4):
        submit(state, Splice(0, 0, "x"))
    state.window.max_count = 2
    state.window.trim(durable_sequence=4)
    assert operations_since(state, 8) == [Splice(0, 0, "x")]
    assert state.concurrent_since(7) is None


def test_a_chain_happens_as_a_whole_or_not_at_all() -> None:
    state = opened("abc")
    submit(state, Splice(0, 0, "x"))
    before = facts(state)
    with pytest.raises(CoscribeError) as refusal:
        submit(state, Splice(3, 0, "y"), Splice(5, 0, "z"), Splice(0, 0, "w"), base=0)
    assert refusal.value.code is Code.POSITION_OUT_OF_RANGE
    assert refusal.value.operation_id == "op:3"
    assert facts(state) == before


def test_the_file_is_bounded_at_every_step() -> None:
    state = opened("abc", limits=Limits(file_length=4))
    before = facts(state)
    with pytest.raises(CoscribeError) as refusal:
        submit(state, Splice(0, 0, "x"), Splice(0, 0, "y"), Splice(0, 2, ""))
    assert (refusal.value.code, refusal.value.operation_id) == (Code.FILE_TOO_LARGE, "op:2")
    assert facts(state) == before
    submit(state, Splice(0, 3, "wxyz"))
    assert str(state.content) == "wxyz"


@pytest.mark.parametrize(
    ("text", "version", "detail"),
    [
        ("abcd", 6, "version 6 follows 4"),
        ("abc", 5, "reaches past the end"),
        ("abce", 5, "deleted another text"),
    ],
)
def test_replay_notices_a_log_that_does_not_fit(text: str, version: int, detail: str) -> None:
    read_back = entry(9, version, Splice(2, 2, "x"), changed=True, removed="cd")
    state = opened(text, version=4)
    with pytest.raises(CoscribeError, match=detail) as refusal:
        state.replay(read_back)
    assert refusal.value.code is Code.FILE_DAMAGED
    assert (state.version, state.last_sequence, state.window.entries) == (4, 0, [])


# --- a server's life ---


@given(TAPES)
def test_a_life_equals_the_oracle(data: bytes) -> None:
    """Messages from clients that are more or less behind, each a chain; with every number that has to come out."""
    tape = Tape(data)
    text = tape.text()
    state = opened(text)
    texts = [text]  # by version
    history: list[JsonOp] = []  # history[v] makes texts[v + 1] of texts[v]
    log: list[Committed] = []
    for _ in range(tape.below(7)):
        base = max(0, len(history) - tape.below(4))
        chain = tape.row(len(texts[base]), 2) or [tape.splice(len(texts[base]))]
        note(f"{base=} {chain=}")
        entries = submit(state, *chain, base=base)

        concurrent = history[base:]
        assert [made.sequence for made in entries] == [len(log) + 1 + index for index in range(len(chain))]
        for operation, made in zip(chain, entries, strict=True):
            op = counted(operation)
            for index, other in enumerate(concurrent):
                concurrent[index] = naive_transform(other, op, "right")
                op = naive_transform(op, other, "left")
            assert made.base_version == (base if made is entries[0] else len(history))
            assert counted(normalise(components(made.operation))) == op
            assert made.changed == bool(op)
            before = texts[-1]
            if op:
                history.append(op)
                texts.append(naive_apply(before, op))
            assert made.version == len(history)
            assert apply(texts[-1], invert(know_deleted(made.operation, made.removed))) == before
        log += entries
        assert str(state.content) == texts[-1]
        assert (state.version, state.last_sequence) == (len(history), len(log))

    again = opened(text)
    for made in log:
        again.replay(made)
        assert (str(again.content), again.version) == (texts[made.version], made.version)
    assert facts(again) == facts(state)


# --- refusals ---


def as_sent(operation: Operation) -> Operation:
    """In the form that the wire's edits compile to."""
    return from_edits(to_edits(operation))


@tapes
def overshooting(tape: Tape) -> tuple[str, list[Operation], list[Operation]]:
    """A text, what was committed on it meanwhile, and a chain whose elements may reach past the end of theirs."""
    text = tape.text(8)
    committed = tape.row(len(text), 4)
    size = len(text)
    chain: list[Operation] = []
    for _ in range(1 + tape.below(3)):
        beyond = tape.below(4) * tape.below(2)
        chain.append(as_sent(tape.operation(size + beyond)))
        size = max(0, size + growth(chain[-1]))
    return text, committed, chain


@given(overshooting)
def test_out_of_range_is_judged_by_the_base(case: tuple[str, list[Operation], list[Operation]]) -> None:
    """What reaches past the end of its own text is refused whatever was committed since; nothing else ever is."""
    text, committed, chain = case
    state = opened(text)
    for operation in committed:
        submit(state, operation)
    before = facts(state)

    first_bad = None
    local = text
    for index, operation in enumerate(chain):
        try:
            local = naive_apply(local, counted(operation))
        except ValueError:
            first_bad = index
            break

    if first_bad is None:
        entries = submit(state, *chain, base=0)
        assert len(entries) == len(chain)
    else:
        with pytest.raises(CoscribeError) as refusal:
            submit(state, *chain, base=0)
        assert refusal.value.code is Code.POSITION_OUT_OF_RANGE
        assert refusal.value.operation_id == f"op:{len(committed) + 1 + first_bad}"
        assert facts(state) == before


@tapes
def growing(tape: Tape) -> tuple[str, list[Operation], int]:
    text = tape.text(8)
    return text, [*tape.row(len(text), 3), Splice(0, 0, "")], len(text) + tape.below(6)


@given(growing)
def test_too_large_leaves_the_file_untouched(case: tuple[str, list[Operation], int]) -> None:
    text, chain, limit = case
    sizes = [len(text)]
    for operation in chain:
        sizes.append(sizes[-1] + growth(operation))
    state = opened(text, limits=Limits(file_length=limit))
    before = facts(state)
    if max(sizes) <= limit:
        submit(state, *chain)
        assert len(state.content) == sizes[-1]
    else:
        with pytest.raises(CoscribeError) as refusal:
            submit(state, *chain)
        assert refusal.value.code is Code.FILE_TOO_LARGE
        assert facts(state) == before


def test_a_wire_operation_never_hides_its_reach() -> None:
    """A retain past the end matters only before an insert or a delete, and these keep it."""
    sent: Components = (9, "X", 3)
    assert as_sent(sent) == Splice(9, 0, "X")
    with pytest.raises(CoscribeError):
        submit(opened("abc"), as_sent(sent))
