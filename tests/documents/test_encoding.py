"""Bytes to text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.tree import Create, check
from coscribe.documents import encoding as encoding_module
from coscribe.documents.encoding import Decoded, decode, encode


@pytest.mark.parametrize(
    ("content", "decoded"),
    [
        (b"", Decoded("", {})),
        (b"one\ntwo\n", Decoded("one\ntwo\n", {})),
        ("naïve 🙂".encode(), Decoded("naïve 🙂", {})),
        (b"one\r\ntwo\r\n", Decoded("one\ntwo\n", {"eol": "crlf"})),
        (b"one\rtwo", Decoded("one\ntwo", {"eol": "cr"})),
        (b"\xef\xbb\xbfone", Decoded("one", {"bom": "yes"})),
        (b"\xef\xbb\xbf", Decoded("", {"bom": "yes"})),
        (b"\xef\xbb\xbf\xef\xbb\xbfone", Decoded("\ufeffone", {"bom": "yes"})),
        (b"\xff\xfea\x00\r\x00\n\x00", Decoded("a\n", {"encoding": "utf-16-le", "bom": "yes", "eol": "crlf"})),
        (b"\xfe\xff\x00a", Decoded("a", {"encoding": "utf-16-be", "bom": "yes"})),
        (b"na\xefve\n", Decoded("naïve\n", {"encoding": "latin-1"})),
        (b"\x1b[1mbold\x0c", Decoded("\x1b[1mbold\x0c", {})),
    ],
)
def test_texts(content: bytes, decoded: Decoded) -> None:
    assert decode(content) == decoded
    assert encode(*decoded) == content


@pytest.mark.parametrize(
    "content",
    [
        b"a\0b",
        b"\x89PNG\r\n\x1a\n\x00",
        b"na\xefve\x01",
        b"one\r\ntwo\n",
        b"one\rtwo\n",
        b"one\r\r\n",
        b"\xff\xfea\x00\x00\xd8",  # half a pair
        b"\xff\xfea",
        b"\xef\xbb\xbf\xff",
    ],
)
def test_what_is_kept_whole(content: bytes) -> None:
    assert decode(content) is None


def test_what_is_too_long_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_module, "MAX_BYTES", 3)
    assert decode(b"abc") is not None
    assert decode(b"abcd") is None


_PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"a",
    "é🙂".encode(),
    b"\xe9",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\0",
    b"\x01",
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join))
def test_whatever_is_a_text_comes_back_bit_for_bit(content: bytes) -> None:
    decoded = decode(content)
    if decoded is not None:
        assert "\r" not in decoded.text
        assert "\0" not in decoded.text
        assert encode(*decoded) == content
        properties = tuple(sorted(decoded.properties.items()))
        check(Create("f", "", "name", "text", "", properties))  # they are properties that a file may have


def test_what_an_encoding_has_no_sign_for_makes_utf_8_of_it() -> None:
    assert encode("naïve €\n", {"encoding": "latin-1", "eol": "crlf"}) == "naïve €\r\n".encode()
    assert encode("a", {"encoding": "no-such-encoding"}) == b"a"
