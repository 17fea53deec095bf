"""Any bytes as a text and operations on it. The core and the oracle, which shares no code with it, say the same.

laws        the diamond closes, composing is doing both, taking back gives the text before, edits there and back
oracle      apply, transform, compose, carets and UTF-16 against tests/core/naive.py, and the result's normal form
refusals    what reaches past the end, or deletes another text, has its code and changes nothing
one file    chains on old bases, committed by `FileState`, against the oracle's text and versions
the log     what is stored is read back as it was
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Concurrent, rebase
from coscribe.core.operation import (
    LEFT,
    RIGHT,
    Components,
    Delete,
    Operation,
    Splice,
    apply,
    carry_over_effects,
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
)
from coscribe.core.positions import from_utf16, to_utf16
from coscribe.core.text_buffer import CHUNK, TextBuffer
from coscribe.model import decode_payload, encode_payload
from tests.core.naive import (
    JsonOp,
    Side,
    naive_apply,
    naive_caret,
    naive_compose,
    naive_normal,
    naive_reach,
    naive_transform,
    naive_utf16,
)
from tests.core.notation import counted
from tests.core.strategies import Tape, stated
from tests.simulation.oracle import require

SIDES: tuple[tuple[bool, Side], ...] = ((LEFT, "left"), (RIGHT, "right"))
LIMITS = Limits(file_length=24, window_operations=6, window_bytes=2_000)


def run(data: bytes) -> str:
    """What became of the operations that the bytes are."""
    tape = Tape(data)
    text = tape.text()
    a, b = tape.operation(len(text)), tape.operation(len(text))
    after = tape.operation(len(text) + growth(a))
    row = tape.row(len(text), 4)
    _single(text, a)
    _diamond(text, a, b)
    _succession(text, a, after)
    _stepwise(a, row)
    _misfit(text, tape)
    said = f"{text!r} {a} {b} {transform(a, b, LEFT)} {compose(a, after)} {_file(tape)}"
    _long(tape)
    return said


def _single(text: str, operation: Operation) -> None:
    plain = counted(operation)
    result = naive_apply(text, plain)
    require(apply(text, operation) == result, "applied, it gives another text")
    removed = deleted_text(text, operation)
    buffer = TextBuffer(text)
    require((buffer.apply(operation), str(buffer), len(buffer)) == (removed, result, len(result)), "buffered")
    require(growth(operation) == len(result) - len(text), "it grows by something else")
    require(reach(components(operation)) == naive_reach(plain), "it reaches somewhere else")
    require(changes(operation) == any(not isinstance(part, int) for part in plain), "whether it changes anything")
    known = know_deleted(operation, removed)
    back = invert(known)
    require(apply(result, back) == text, "taken back, it is another text")
    require(invert(back) == normalise(known), "taken back twice, it is another operation")
    edits = to_edits(operation)
    require(components(from_edits(edits)) == components(operation), "edits there and back")
    for position in range(len(text) + 1):
        for before in (True, False):
            moved = move_position(position, operation, before_insert=before)
            require(moved == naive_caret(plain, position, before), "a caret lands elsewhere")
        offset = naive_utf16(text, position)
        require((to_utf16(text, position), from_utf16(text, offset)) == (offset, position), "in UTF-16")
    for origin in ("", "paste"):
        stored = decode_payload(encode_payload(operation, removed, (1, 2), origin))
        require(stored == (normalise(known), (1, 2), origin), "in the log it is something else")


def _diamond(text: str, a: Operation, b: Operation) -> None:
    for side, name in SIDES:
        moved, other = transform(a, b, side), transform(b, a, not side)
        require(apply(apply(text, b), moved) == apply(apply(text, a), other), "the diamond does not close")
        _is(moved, naive_transform(counted(a), counted(b), name))
        knowing = transform(know_deleted(a, deleted_text(text, a)), b, side)
        require(apply(apply(text, b), knowing) == apply(apply(text, b), moved), "deleted text is carried wrongly")
        states = transform(stated(normalise(components(a)), len(text)), b, side)
        require(apply(apply(text, b), states) == apply(apply(text, b), moved), "a stated length is carried wrongly")
        require(not _states(a, text) or reach(states) == len(text) + growth(b), "another length is stated")


def _states(operation: Operation, text: str) -> bool:
    return isinstance((*stated(normalise(components(operation)), len(text)), "")[-2:][0], int)


def _succession(text: str, first: Operation, second: Operation) -> None:
    both = compose(first, second)
    require(apply(text, both) == apply(apply(text, first), second), "composed, they do something else")
    _is(both, naive_compose(counted(first), counted(second)))
    knowing = [know_deleted(op, deleted_text(at, op)) for at, op in ((text, first), (apply(text, first), second))]
    require(apply(text, compose(*knowing)) == apply(text, both), "composed, they delete another text")


def _is(operation: Operation, expected: JsonOp) -> None:
    """The operation is the expected one, in normal form (which the oracle's always is)."""
    require(counted(operation) == expected, f"{operation} instead of {expected}")


def _stepwise(operation: Operation, row: Sequence[Operation]) -> None:
    """Over several, one after the other: the fast paths, and the oracle."""
    expected = counted(operation)
    for other in row:
        expected = naive_transform(expected, counted(other), "left")
    require(counted(rebase(operation, Concurrent.of(row))) == naive_normal(expected), "rebased, it is another one")
    splices = [other for other in row if isinstance(other, Splice)]
    if isinstance(operation, Splice):
        effects = [(other.position, other.deleted, len(other.inserted)) for other in splices]
        carried, (moved, passed) = carry_over_effects(operation, effects), carry_splice(operation, splices, LEFT)
        require(carried == (moved if passed == len(splices) else None), "over effects it goes elsewhere")


def _misfit(text: str, tape: Tape) -> None:
    """Operations on a text that may be too short for them, or another one."""
    operation = tape.operation(len(text) + tape.below(4))
    wrong = know_deleted(operation, "".join(tape.letters("ab", 1) or "c" for _ in range(_deleted(operation))))
    needed = reach(components(operation))
    for asked in (operation, wrong):
        try:
            result = apply(text, asked)
        except CoscribeError as error:
            is_other = asked is wrong and error.code is Code.INVALID_PAYLOAD and invert(wrong) != invert(normalise(()))
            require(is_other or (error.code is Code.POSITION_OUT_OF_RANGE and needed > len(text)), f"{error}")
        else:
            require(needed <= len(text), "it fits, and does not")
            require(asked is operation or deleted_text(text, asked) == _known(wrong), "it deletes another text")
            require(result == naive_apply(text, counted(operation)), "it does something else")


def _deleted(operation: Operation) -> int:
    return sum(part.size for part in components(operation) if isinstance(part, Delete))


def _known(operation: Components) -> str:
    return "".join(part.text or "" for part in operation if isinstance(part, Delete))


def _file(tape: Tape) -> str:
    """Chains on bases that are some versions old, on one file."""
    start = tape.text()
    state = FileState("notes", start, 0, 0, LIMITS)
    texts, history = [start], list[JsonOp]()
    sequence, number = 0, 0
    for _ in range(tape.below(8)):
        base = max(0, state.version - tape.below(4))
        requests: list[Request] = []
        size = len(texts[base]) + tape.below(8) // 7
        for _ in range(1 + tape.below(3)):
            number += 1
            requests.append(Request(f"a:{number}", simplify(components(tape.operation(size)))))
            size += growth(requests[-1].operation)
        concurrent = state.concurrent_since(base)
        if concurrent is None:
            require(state.window.floor > 0, "the window lacks what it has never let go")
            continue
        expected = _carried([counted(request.operation) for request in requests], history[base:])
        before = state.version, str(state.content), state.last_sequence, len(state.window.entries)
        try:
            entries = state.commit(requests, base, concurrent, sequence + 1, "ann", b"")
        except CoscribeError as error:
            _is_right(error.code, texts[-1], expected)
            now = state.version, str(state.content), state.last_sequence, len(state.window.entries)
            require(now == before, "a refusal has changed something")
            continue
        for entry, operation in zip(entries, expected, strict=True):
            sequence += 1
            text = naive_apply(texts[-1], operation)
            require(counted(entry.operation) == operation, f"{entry.operation} instead of {operation}")
            if operation:
                texts.append(text)
                history.append(operation)
            require((entry.sequence, entry.version) == (sequence, len(history)), "another place in the order")
        require(str(state.content) == texts[-1], "another text")
        require(len(texts[-1]) <= LIMITS.file_length, "the file is too long")
        state.window.trim(sequence - tape.below(3))
    return f"{texts[-1]!r} {state.version}"


def _carried(chain: list[JsonOp], concurrent: list[JsonOp]) -> list[JsonOp]:
    """Each element over what has come since its base, as the elements before it leave that."""
    out: list[JsonOp] = []
    for element in chain:
        operation, rest = element, list[JsonOp]()
        for other in concurrent:
            rest.append(naive_transform(other, operation, "right"))
            operation = naive_transform(operation, other, "left")
        concurrent = rest
        out.append(naive_normal(operation))
    return out


def _is_right(code: Code, text: str, chain: list[JsonOp]) -> None:
    """Whether a chain that does not fit is refused for the first reason there is."""
    for operation in chain:
        if naive_reach(operation) > len(text):
            require(code is Code.POSITION_OUT_OF_RANGE, f"{code} for what reaches past the end")
            return
        text = naive_apply(text, operation)
        if len(text) > LIMITS.file_length:
            require(code is Code.FILE_TOO_LARGE, f"{code} for a file that is too large")
            return
    require(False, f"{code}, and it fits")


def _long(tape: Tape) -> None:
    """Splices in a text that is kept in chunks, now and then."""
    if tape.below(4) < 3:
        return
    text = "abcdefg😀" * (tape.below(8) * CHUNK // 8)
    buffer = TextBuffer(text)
    for _ in range(tape.below(8)):
        position = min(tape.below(256) * CHUNK // 32 + tape.below(3), len(text))
        deleted = min(tape.below(256) * (1, CHUNK // 16)[tape.below(2)], len(text) - position)
        inserted = "xyz"[: tape.below(4)] * (1, CHUNK)[tape.below(2)]
        removed = buffer.splice(position, deleted, inserted)
        require(removed == text[position : position + deleted], "another text is removed")
        text = text[:position] + inserted + text[position + deleted :]
        require(len(buffer) == len(text), "another length")
    require(str(buffer) == text, "in chunks it is another text")


# ---- inputs


def seeds() -> list[bytes]:
    """Tapes of chance, of several lengths."""
    rng = random.Random(1)
    return [rng.randbytes(size) for size in (20, 60, 100, 160, 200, 240)]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some choices are others; a part is repeated, or moved."""
    tape = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at, size = rng.randrange(len(tape) + 1), rng.choice((1, 1, 2, 4, 12))
        change = rng.randrange(4)
        if change == 0:
            tape[at:at] = rng.randbytes(size)
        elif change == 1:
            del tape[at : at + size]
        elif change == 2:
            tape[at : at + size] = bytes(rng.choice((0, 1, 2, 3, 4, 5, 7)) for _ in range(size))
        else:
            start = rng.randrange(len(tape) + 1)
            tape[at:at] = tape[start : start + size]
        tape = tape or bytearray(b"\0")
    return bytes(tape)
