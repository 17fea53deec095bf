"""The core on the conformance vectors; the expected values come from elsewhere, see contract/conformance/README.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation, apply, components, compose, reach, simplify, transform
from coscribe.core.positions import from_utf16, to_utf16
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import Effect, Tree, TreeLimits, inverse
from coscribe.protocol.codec import compile_operation, wire_form
from coscribe.protocol.messages import Payload
from tests.core.naive import naive_apply, naive_transform
from tests.core.naive_tree import Notes
from tests.core.notation import counted, decode
from tests.core.tree_notation import attempt, decode_operation, naive, notes_of

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


def check_apply(case: Case) -> None:
    for operation in forms(case["op"]):
        assert apply(case["text"], operation) == case["result"], case
        buffer = TextBuffer(case["text"])
        buffer.apply(operation)
        assert str(buffer) == case["result"], case


def check_past_the_end(case: Case) -> None:
    operation = decode(case["op"])
    assert reach(operation) > len(case["text"]), case
    with pytest.raises(CoscribeError) as refused:
        apply(case["text"], operation)
    assert refused.value.code is Code.POSITION_OUT_OF_RANGE


def check_transform(case: Case) -> None:
    for operation in forms(case["op"]):
        for other in forms(case["other"]):
            assert counted(transform(operation, other, case["side"] == "left")) == case["result"], case


def check_compose(case: Case) -> None:
    for first in forms(case["first"]):
        for second in forms(case["second"]):
            assert counted(compose(first, second)) == case["result"], case
    both = apply(apply(case["text"], decode(case["first"])), decode(case["second"]))
    assert naive_apply(case["text"], case["result"]) == both, case


def check_position(case: Case) -> None:
    assert to_utf16(case["text"], case["codePoint"]) == case["utf16"], case
    assert from_utf16(case["text"], case["utf16"]) == case["codePoint"], case


def check_no_boundary(case: Case) -> None:
    with pytest.raises(CoscribeError) as refused:
        from_utf16(case["text"], case["utf16"])
    assert refused.value.code is Code.POSITION_OUT_OF_RANGE, case


def payload(case: Case) -> Payload:
    converted: Payload = msgspec.convert(case["payload"], Payload)
    return converted


def check_wire_form(case: Case) -> None:
    operation = compile_operation(case["operationType"], case["position"], payload(case), Limits())
    assert counted(operation) == case["op"], case
    back = compile_operation(*wire_form(operation), Limits())
    assert components(back) == components(operation), case


def check_refused(case: Case) -> None:
    with pytest.raises(CoscribeError) as refused:
        compile_operation(case["operationType"], case["position"], payload(case), Limits())
    assert refused.value.code.value.code == case["code"], case


def check_tree_pair(case: Case) -> None:
    for result, order in (("oneFirst", ("one", "other")), ("otherFirst", ("other", "one"))):
        tree = Tree(folds_case=case.get("foldsCase", False))
        tree.apply([decode_operation(each) for each in case["given"]])
        notes: Notes = []
        refusals: dict[str, str] = {}
        for which in order:
            effect, code = attempt(tree, case[which])
            notes += notes_of(effect or Effect(()))
            refusals |= {which: code} if code else {}
        assert {"tree": naive(tree), "notes": notes, "refused": refusals} == case[result], case["why"]


def check_tree_undone(case: Case) -> None:
    tree = Tree()
    tree.apply([decode_operation(each) for each in case["given"]])
    effect = tree.apply([decode_operation(case["operation"])])
    assert naive(tree) == case["done"], case["why"]
    for after in ("undone", "done", "undone"):
        effect = tree.apply(inverse(effect))
        assert (naive(tree), notes_of(effect)) == (case[after], []), case["why"]


def check_tree_history(case: Case) -> None:
    tree = Tree(folds_case=case["foldsCase"], limits=TreeLimits(case["nodes"], case["depth"]))
    for operation, outcome in zip(case["operations"], case["outcomes"], strict=True):
        effect, code = attempt(tree, operation)
        assert outcome == ({"refused": code} if effect is None else {"notes": notes_of(effect)}), operation
    assert naive(tree) == case["tree"]


class Vectors(NamedTuple):
    """The cases of one kind in one file, and how the core is checked on one of them. ``least``: how many there are."""

    name: str
    key: str
    least: int
    check: Callable[[Case], None]

    def ids(self) -> list[str]:
        """The names of the cases, which are the same for every implementation."""
        prefix = "" if self.key == "cases" else f"{self.key}/"
        return [f"{self.name}.json#{prefix}{index}" for index in range(len(cases(self.name, self.key)))]


VECTORS = [
    Vectors("apply", "cases", 250, check_apply),
    Vectors("apply", "pastTheEnd", 5, check_past_the_end),
    Vectors("transform", "cases", 300, check_transform),
    Vectors("compose", "cases", 250, check_compose),
    Vectors("positions", "cases", 200, check_position),
    Vectors("positions", "noBoundary", 4, check_no_boundary),
    Vectors("tree", "cases", 70, check_tree_pair),
    Vectors("tree", "undone", 15, check_tree_undone),
    Vectors("tree", "histories", 60, check_tree_history),
    Vectors("wire", "cases", 15, check_wire_form),
    Vectors("wire", "refused", 15, check_refused),
]


@pytest.mark.parametrize("vectors", VECTORS, ids=lambda vectors: f"{vectors.name}-{vectors.key}")
def test_vectors(vectors: Vectors) -> None:
    found = cases(vectors.name, vectors.key)
    assert len(found) >= vectors.least
    for case in found:
        vectors.check(case)


def test_the_vectors_of_transform_meet() -> None:
    """TP1, of the vectors themselves: both ways around the diamond lead to one text."""
    for case in cases("transform"):
        text, op, other = case["text"], case["op"], case["other"]
        back = naive_transform(other, op, "right" if case["side"] == "left" else "left")
        one_way = naive_apply(naive_apply(text, other), case["result"])
        assert one_way == naive_apply(naive_apply(text, op), back), case
