"""The JSON notation of operations, to and from the core's values. It translates, and changes nothing else.

number = retain; string or ``{"i": s}`` = insert; ``{"d": n}`` or ``{"d": "text"}`` = delete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coscribe.core.operation import Component, Components, Delete, Operation, components
from tests.core.naive import JsonOp


def decode(op: Sequence[int | str | Mapping[str, Any]]) -> Components:
    return tuple(_decode(part) for part in op)


def _decode(part: int | str | Mapping[str, Any]) -> Component:
    if isinstance(part, (int, str)):
        return part
    if "i" in part:
        inserted = part["i"]
        assert isinstance(inserted, str)
        return inserted
    deleted = part["d"]
    return Delete(len(deleted), deleted) if isinstance(deleted, str) else Delete(deleted)


def encode(operation: Operation, *, objects: bool = False, sizes: bool = False) -> list[Any]:
    """``objects``: inserts as ``{"i": s}``, the notation of text-unicode. ``sizes``: deletes by length, also where
    they know their text."""
    out: list[Any] = []
    for part in components(operation):
        if isinstance(part, Delete):
            out.append({"d": part.size if part.text is None or sizes else part.text})
        else:
            out.append({"i": part} if objects and isinstance(part, str) else part)
    return out


def counted(operation: Operation) -> JsonOp:
    """In the naive oracle's notation, where deletes only count."""
    return [{"d": part.size} if isinstance(part, Delete) else part for part in components(operation)]
