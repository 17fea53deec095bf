"""What is stored of an operation: bytes that never change, for they are in the hash chain."""

from __future__ import annotations

import pytest

from coscribe.core.operation import Splice
from coscribe.model import decode_payload, encode_payload


@pytest.mark.parametrize(
    ("origin", "stored"),
    [("", b'[[3,"new",["old"]],[7,9]]'), ("paste", b'[[3,"new",["old"]],[7,9],"paste"]')],
)
def test_where_a_text_is_from_stands_behind_what_was_always_there(origin: str, stored: bytes) -> None:
    assert encode_payload(Splice(3, 3, "new"), "old", (7, 9), origin) == stored
    assert decode_payload(stored).origin == origin
    assert decode_payload(stored).restores == (7, 9)
