"""The published test vectors, all of them, compared exactly: nothing is brought into a normal form first.

text-unicode writes inserts as ``{"i": s}`` and states the length of the text with a retain at the end; the others
write bare strings and leave it out. A result has to come out in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from coscribe.core.operation import Operation, apply, compose, simplify, transform
from tests.core.notation import decode, encode
from tests.data import vector_lines

Record = list[str]


def forms(op: list[Any]) -> list[Operation]:
    """As written, and as the single splice that many of them amount to: what takes the fast path."""
    return [decode(op), simplify(decode(op))]


def check_text_unicode(record: Record) -> None:
    op, other, side, expected = record
    assert side in ("left", "right")
    got = transform(decode(json.loads(op)), decode(json.loads(other)), side == "left")
    assert encode(got, objects=True) == json.loads(expected), record


def check_apply(record: Record) -> None:
    case = json.loads(record[0])
    for operation in forms(case["op"]):
        assert apply(case["str"], operation) == case["result"], case


def check_transform(record: Record) -> None:
    case = json.loads(record[0])
    assert case["side"] in ("left", "right")
    for operation in forms(case["op"]):
        for other in forms(case["otherOp"]):
            assert encode(transform(operation, other, case["side"] == "left")) == case["result"], case


def check_compose(record: Record) -> None:
    case = json.loads(record[0])
    for first in forms(case["op1"]):
        for second in forms(case["op2"]):
            assert encode(compose(first, second)) == case["result"], case


class Published(NamedTuple):
    """A file of vectors: how many lines make a record and how many records there are; and the check of one record."""

    file: str
    lines: int
    total: int
    check: Callable[[Record], None]

    def records(self) -> list[Record]:
        lines = vector_lines(self.file, self.total)
        return [lines[start : start + self.lines] for start in range(0, len(lines), self.lines)]

    def ids(self) -> list[str]:
        """The names of the records, which are the same for every implementation."""
        return [f"external/{self.file.partition('.')[0]}#{index}" for index in range(len(self.records()))]


PUBLISHED = [
    Published("text-unicode-transform.json", 4, 46, check_text_unicode),
    Published("ot-apply.jsonl", 1, 2_158, check_apply),
    Published("ot-transform.jsonl", 1, 2_254, check_transform),
    Published("ot-compose.jsonl", 1, 708, check_compose),
]


def test_there_are_5166() -> None:
    assert sum(published.total for published in PUBLISHED) == 5_166


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.file)
def test_published_vectors(published: Published) -> None:
    records = published.records()
    assert len(records) == published.total
    for record in records:
        published.check(record)
