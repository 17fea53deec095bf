"""The core on the conformance vectors; the expected values come from elsewhere, see contract/conformance/README.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation, apply, components, compose, reach, simplify, transform
from coscribe.core.positions import from_utf16, to_utf16
from coscribe.core.text_buffer import TextBuffer
from coscribe.protocol.codec import compile_operation, wire_form
from coscribe.protocol.messages import Payload
from tests.core.naive import naive_apply, naive_transform
from tests.core.notation import counted, decode

FOLDER = Path(__file__).resolve().parents[2] / "contract" / "conformance"
Case = dict[str, Any]


def cases(name: str, key: str = "cases") -> list[Case]:
    vectors = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert vectors["format"]
    assert vectors["origin"]
    found: list[Case] = vectors[key]
    return found


def forms(op: Sequence[Any]) -> list[Operation]:
    """As components, and as the splice that they amount to, if they do: what takes the fast paths."""
    return [decode(op), simplify(decode(op))]


@pytest.mark.parametrize(
    ("name", "key", "least"),
    [
        ("apply", "cases", 250),
        ("apply", "pastTheEnd", 5),
        ("transform", "cases", 300),
        ("compose", "cases", 250),
        ("positions", "cases", 200),
        ("positions", "noBoundary", 4),
        ("wire", "cases", 15),
        ("wire", "refused", 15),
    ],
)
def test_there_are_enough(name: str, key: str, least: int) -> None:
    assert len(cases(name, key)) >= least


def test_apply() -> None:
    for case in cases("apply"):
        for operation in forms(case["op"]):
            assert apply(case["text"], operation) == case["result"], case
            buffer = TextBuffer(case["text"])
            buffer.apply(operation)
            assert str(buffer) == case["result"], case


def test_what_does_not_fit_is_refused() -> None:
    for case in cases("apply", "pastTheEnd"):
        operation = decode(case["op"])
        assert reach(operation) > len(case["text"]), case
        with pytest.raises(CoscribeError) as refused:
            apply(case["text"], operation)
        assert refused.value.code is Code.POSITION_OUT_OF_RANGE


def test_transform() -> None:
    for case in cases("transform"):
        for operation in forms(case["op"]):
            for other in forms(case["other"]):
                assert counted(transform(operation, other, case["side"] == "left")) == case["result"], case


def test_the_vectors_of_transform_meet() -> None:
    """TP1, of the vectors themselves: both ways around the diamond lead to one text."""
    for case in cases("transform"):
        text, op, other = case["text"], case["op"], case["other"]
        back = naive_transform(other, op, "right" if case["side"] == "left" else "left")
        one_way = naive_apply(naive_apply(text, other), case["result"])
        assert one_way == naive_apply(naive_apply(text, op), back), case


def test_compose() -> None:
    for case in cases("compose"):
        for first in forms(case["first"]):
            for second in forms(case["second"]):
                assert counted(compose(first, second)) == case["result"], case
        both = apply(apply(case["text"], decode(case["first"])), decode(case["second"]))
        assert naive_apply(case["text"], case["result"]) == both, case


def test_positions() -> None:
    for case in cases("positions"):
        assert to_utf16(case["text"], case["codePoint"]) == case["utf16"], case
        assert from_utf16(case["text"], case["utf16"]) == case["codePoint"], case
    for case in cases("positions", "noBoundary"):
        with pytest.raises(CoscribeError) as refused:
            from_utf16(case["text"], case["utf16"])
        assert refused.value.code is Code.POSITION_OUT_OF_RANGE, case


def payload(case: Case) -> Payload:
    converted: Payload = msgspec.convert(case["payload"], Payload)
    return converted


def test_wire_forms() -> None:
    for case in cases("wire"):
        operation = compile_operation(case["operationType"], case["position"], payload(case), Limits())
        assert counted(operation) == case["op"], case
        back = compile_operation(*wire_form(operation), Limits())
        assert components(back) == components(operation), case


def test_payloads_that_are_refused() -> None:
    for case in cases("wire", "refused"):
        with pytest.raises(CoscribeError) as refused:
            compile_operation(case["operationType"], case["position"], payload(case), Limits())
        assert refused.value.code.value.code == case["code"], case
