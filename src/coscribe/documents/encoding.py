"""How a text is written as bytes, and back: encoding, byte order mark, line ends.

    bytes --decode--> text with LF, and the properties of a file that say what was otherwise --encode--> the same bytes

What would not come back bit for bit is no text: it is kept whole, like a picture. Mixed line ends are such a case,
until a person decides for one of them; in what is a text already a program is not to end it for all who have it open,
so LF and CRLF become what the file has (`decode`).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import NamedTuple

MAX_BYTES = 16_000_000
"""More than this is kept whole."""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""Bytes that no text has in an encoding that extends ASCII: all but tab, line ends, form feed, escape."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_ENCODINGS = frozenset(("utf-8", "utf-16-le", "utf-16-be", "latin-1"))
_ENDS = {"crlf": "\r\n", "cr": "\r"}


class Decoded(NamedTuple):
    """A text with LF, and ``eol``, ``bom``, ``encoding`` of its file, each where it is not the usual."""

    text: str
    properties: dict[str, str]


def decode(content: bytes, eol: str | None = None) -> Decoded | None:
    """None: it is no text, or none that would come back as it is. ``eol``: of a file that is a text; where LF and CRLF
    are mixed, all of them become that."""
    if len(content) > MAX_BYTES:
        return None
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    text = _text(content[len(mark) :], encoding)
    if text is None and not mark and _CONTROL.search(content) is None:
        encoding = "latin-1"  # every byte is a character of it
        text = content.decode(encoding)
    if text is None or "\0" in text:
        return None
    end = _line_end(text)
    if end is None and eol in ("", "crlf") and text.count("\r") == text.count("\r\n"):
        text, end = text.replace("\r\n", "\n"), eol
        text = text.replace("\n", _ENDS[eol]) if eol else text
    if end is None:
        return None
    properties = {"encoding": encoding if encoding != "utf-8" else "", "bom": "yes" if mark else "", "eol": end}
    unix = text.replace(_ENDS[end], "\n") if end else text
    return Decoded(unix, {key: value for key, value in properties.items() if value})


def may_be_text(beginning: bytes) -> bool:
    """Whether what begins so can be a text; what it goes on with decides."""
    return beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" not in beginning


def encode(text: str, properties: Mapping[str, str]) -> bytes:
    """The bytes of a text with LF. What its encoding has no sign for makes UTF-8 of the whole."""
    end = _ENDS.get(properties.get("eol", ""))
    if end is not None:
        text = text.replace("\n", end)
    encoding = properties.get("encoding", "utf-8")
    try:
        encoded = text.encode(encoding if encoding in _ENCODINGS else "utf-8")
    except UnicodeEncodeError:
        encoding, encoded = "utf-8", text.encode()
    mark = next((mark for mark, name in _MARKS if name == encoding), b"") if properties.get("bom") else b""
    return mark + encoded


def _text(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _line_end(text: str) -> str | None:
    """The property ``eol`` of a text; "": LF. None: there are several sorts."""
    returns = text.count("\r")
    if not returns:
        return ""
    feeds, both = text.count("\n"), text.count("\r\n")
    if returns == feeds == both:
        return "crlf"
    return "cr" if not feeds else None
