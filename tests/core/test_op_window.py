"""The window against a list that forgets nothing; rebasing against the naive oracle, one step at a time."""

from __future__ import annotations

from hypothesis import given

from coscribe.core.op_window import ENTRY_OVERHEAD, Committed, Concurrent, OpWindow, effect_of, rebase, rebase_chain
from coscribe.core.operation import (
    LEFT,
    NOTHING,
    Delete,
    Operation,
    Splice,
    apply,
    components,
    normalise,
    transform,
)
from tests.core.builders import entry
from tests.core.naive import JsonOp, naive_apply, naive_transform
from tests.core.notation import counted
from tests.core.strategies import Tape, stated, tapes


def filled(*changed: bool, max_count: int = 100, max_bytes: int = 100_000) -> OpWindow:
    """A window of entries at sequences 1, 2, ...; the operation of each can be told by its position."""
    window = OpWindow(max_count, max_bytes, floor=0)
    version = 0
    for sequence, one in enumerate(changed, 1):
        version += one
        window.append(entry(sequence, version, Splice(sequence, 0, "x") if one else NOTHING, changed=one))
    return window


def operations_since(window: OpWindow, base_version: int, version: int) -> list[Operation] | None:
    """What the window answers; its shorter form, where it gives one, has to say the same."""
    concurrent = window.changes_since(base_version, version)
    if concurrent is None:
        return None
    operations = list(concurrent.operations)
    splices = [operation for operation in operations if isinstance(operation, Splice)]
    if concurrent.effects is not None:
        assert list(concurrent.effects) == [effect_of(splice) for splice in splices]
        assert splices == operations
    return operations


# --- the window ---


def test_changes_by_version_entries_by_sequence() -> None:
    window = filled(True, False, True)
    assert operations_since(window, 0, 2) == [Splice(1, 0, "x"), Splice(3, 0, "x")]
    assert operations_since(window, 1, 2) == [Splice(3, 0, "x")]
    assert operations_since(window, 2, 2) == []
    assert window.changes_since(-1, 2) is None
    assert [found.sequence for found in window.entries_after(1)] == [2, 3]
    assert window.entries_after(3) == []
    assert operations_since(OpWindow(1, 1, 0), 7, 7) == []
    assert OpWindow(1, 1, 0).changes_since(6, 7) is None


def test_trim_goes_down_to_three_quarters() -> None:
    window = filled(*[True] * 8, max_count=8)
    assert window.trim(durable_sequence=8) == []
    window.append(entry(9, 9, Splice(9, 0, "x"), changed=True))
    assert [dropped.sequence for dropped in window.trim(durable_sequence=9)] == [1, 2, 3]
    assert window.changes_since(3, 9) is not None
    assert window.changes_since(2, 9) is None


def test_trim_by_bytes() -> None:
    window = OpWindow(100, 4 * ENTRY_OVERHEAD, 0)
    for sequence in (1, 2, 3):
        window.append(entry(sequence, sequence, (Delete(50), "y" * 50, 1, "z" * 50), changed=True, removed="r" * 50))
    assert window.bytes == 3 * (ENTRY_OVERHEAD + 150)
    assert [dropped.sequence for dropped in window.trim(durable_sequence=3)] == [1, 2]
    assert window.bytes == ENTRY_OVERHEAD + 150


def test_what_is_not_durable_stays() -> None:
    window = filled(*[True] * 9, max_count=4)
    assert window.trim(durable_sequence=0) == []
    assert [dropped.sequence for dropped in window.trim(durable_sequence=2)] == [1, 2]
    assert [dropped.sequence for dropped in window.trim(durable_sequence=9)] == [3, 4, 5, 6]


@tapes
def window_runs(tape: Tape) -> list[tuple[Committed, int | None]]:
    """Entries, and after some of them a trim with what is durable by then."""
    run: list[tuple[Committed, int | None]] = []
    sequence = version = durable = 0
    for _ in range(tape.below(20)):
        sequence += 1 + tape.below(2) * tape.below(3)  # a workspace has other files too
        changed = tape.below(3) > 0
        version += changed
        inserted = "i" * tape.below(200)
        operation = Splice(sequence, 0, inserted + "x") if changed else NOTHING
        removed = "r" * tape.below(200) if changed else ""
        trimmed = tape.below(2) == 1
        if trimmed:
            durable = max(durable, sequence - tape.below(6))
        run.append(
            (entry(sequence, version, operation, changed=changed, removed=removed), durable if trimmed else None)
        )
    return run


@given(window_runs)
def test_the_window_is_the_end_of_history(run: list[tuple[Committed, int | None]]) -> None:
    window = OpWindow(6, 2_000, 0)
    history: list[Committed] = []
    gone = 0
    for added, durable in run:
        window.append(added)
        history.append(added)
        if durable is not None:
            full = len(window.entries) > 6 or window.bytes > 2_000
            dropped = window.trim(durable)
            assert dropped == history[gone : gone + len(dropped)]
            assert full or not dropped
            gone += len(dropped)
            assert all(one.sequence <= durable for one in dropped)
            if full and window.entries[0:1] and window.entries[0].sequence <= durable:
                assert len(window.entries) <= 4 and window.bytes <= 1_500
        assert window.entries == history[gone:]
        assert window.floor == (history[gone - 1].sequence if gone else 0)
        assert window.bytes == sum(one.cost for one in window.entries)
        for sequence in range(added.sequence + 2):
            expected = [one for one in history[gone:] if one.sequence > sequence]
            assert window.entries_after(sequence) == expected
        oldest = added.version - sum(one.changed for one in window.entries)
        for base in range(added.version + 1):
            since = [one.operation for one in history if one.changed and one.version > base]
            assert operations_since(window, base, added.version) == (since if base >= oldest else None)


# --- rebasing ---


@tapes
def rebases(tape: Tape) -> tuple[str, Operation, list[Operation]]:
    """A text, an operation on it, and others that were committed on it meanwhile."""
    text = tape.text()
    operation = tape.operation(len(text))
    if not isinstance(operation, Splice) and tape.below(4) == 3:
        operation = stated(operation, len(text))
    return text, operation, tape.row(len(text), 5)


@given(rebases)
def test_rebase_is_transform_step_by_step(case: tuple[str, Operation, list[Operation]]) -> None:
    _, operation, concurrent = case
    op: JsonOp = counted(normalise(components(operation)))
    stepped = operation
    for other in concurrent:
        op = naive_transform(op, counted(other), "left")
        stepped = transform(stepped, other, LEFT)
    moved = normalise(components(rebase(operation, Concurrent.of(concurrent))))
    assert counted(moved) == op
    assert moved == normalise(components(stepped))


def test_a_rebase_goes_over_to_components_and_back() -> None:
    torn = (1, Delete(1), 2, Delete(2))
    assert rebase(Splice(1, 3, ""), Concurrent.of([Splice(2, 0, "XX")])) == torn
    assert rebase(Splice(1, 3, ""), Concurrent.of([Splice(2, 0, "XX"), Splice(2, 2, "")])) == Splice(1, 3, "")
    assert rebase(torn, Concurrent.of([])) == torn


@tapes
def chains(tape: Tape) -> tuple[str, list[Operation], list[Operation]]:
    """A text, a chain of operations, and what was committed on the text meanwhile."""
    text = tape.text(8)
    return text, tape.row(len(text), 4), tape.row(len(text), 4)


@given(chains)
def test_a_chain_lands_where_its_author_expects(case: tuple[str, list[Operation], list[Operation]]) -> None:
    """The server rebases the chain as a unit; its author carries the others over all that is pending, one by one."""
    text, chain, concurrent = case
    moved = rebase_chain(chain, Concurrent.of(concurrent))

    pending = [counted(operation) for operation in chain]
    seen = text
    for op in pending:
        seen = naive_apply(seen, op)
    for other in map(counted, concurrent):
        for index, op in enumerate(pending):
            pending[index] = naive_transform(op, other, "left")
            other = naive_transform(other, op, "right")
        seen = naive_apply(seen, other)
    assert [counted(normalise(components(operation))) for operation in moved] == pending

    on_server = text
    for operation in [*concurrent, *moved]:
        on_server = apply(on_server, operation)
    assert on_server == seen


def test_a_chain_stays_together() -> None:
    """Three keystrokes at the place where somebody else typed."""
    typed: list[Operation] = [Splice(0, 0, "a"), Splice(1, 0, "b"), Splice(2, 0, "c")]
    assert rebase_chain(typed, Concurrent.of([Splice(0, 0, "xyz")])) == typed
    assert rebase_chain(typed, Concurrent.of([])) == typed
    assert rebase_chain([], Concurrent.of([Splice(0, 0, "xyz")])) == []


def test_a_delete_in_a_chain_takes_only_its_own() -> None:
    """Typed and taken back at once, while another's text arrives at the same spot."""
    chain: list[Operation] = [Splice(1, 0, "a"), Splice(1, 1, "")]
    text = "12"
    for operation in [Splice(1, 0, "xx"), *rebase_chain(chain, Concurrent.of([Splice(1, 0, "xx")]))]:
        text = apply(text, operation)
    assert text == "1xx2"
