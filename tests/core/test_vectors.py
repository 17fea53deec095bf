"""The published test vectors, all of them, compared exactly: nothing is brought into a normal form first.

text-unicode writes inserts as ``{"i": s}`` and states the length of the text with a retain at the end; the others
write bare strings and leave it out. A result has to come out in the same form.
"""

from __future__ import annotations

import json
from typing import Any

from coscribe.core.operation import Operation, apply, compose, simplify, transform
from tests.core.notation import decode, encode
from tests.data import vector_lines

TEXT_UNICODE, APPLY, TRANSFORM, COMPOSE = 46, 2_158, 2_254, 708


def records(name: str, count: int) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in vector_lines(name, count)]
    assert len(found) == count
    return found


def forms(op: list[Any]) -> list[Operation]:
    """As written, and as the single splice that many of them amount to: what takes the fast path."""
    return [decode(op), simplify(decode(op))]


def test_there_are_5166() -> None:
    assert TEXT_UNICODE + APPLY + TRANSFORM + COMPOSE == 5_166


def test_text_unicode_transform() -> None:
    lines = vector_lines("text-unicode-transform.json", TEXT_UNICODE)
    cases = [lines[start : start + 4] for start in range(0, len(lines), 4)]
    assert len(cases) == TEXT_UNICODE
    for op, other, side, expected in cases:
        assert side in ("left", "right")
        got = transform(decode(json.loads(op)), decode(json.loads(other)), side == "left")
        assert encode(got, objects=True) == json.loads(expected), (op, other, side)


def test_apply() -> None:
    for case in records("ot-apply.jsonl", APPLY):
        for operation in forms(case["op"]):
            assert apply(case["str"], operation) == case["result"], case


def test_transform() -> None:
    for case in records("ot-transform.jsonl", TRANSFORM):
        assert case["side"] in ("left", "right")
        for operation in forms(case["op"]):
            for other in forms(case["otherOp"]):
                assert encode(transform(operation, other, case["side"] == "left")) == case["result"], case


def test_compose() -> None:
    for case in records("ot-compose.jsonl", COMPOSE):
        for first in forms(case["op1"]):
            for second in forms(case["op2"]):
                assert encode(compose(first, second)) == case["result"], case
