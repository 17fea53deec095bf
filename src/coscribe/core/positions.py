"""Code points (the unit of the wire and of Python) to and from UTF-16 units (the unit of JavaScript editors).

While a text has no code point beyond U+FFFF the two are equal, which ``str.isascii`` and ``max`` find quickly.
"""

from __future__ import annotations

from coscribe.core.errors import Code, CoscribeError


def to_utf16(text: str, position: int) -> int:
    """The UTF-16 offset of a code point position in ``text``. Errors: ``position_out_of_range``."""
    if not 0 <= position <= len(text):
        raise CoscribeError(Code.POSITION_OUT_OF_RANGE, f"{position} is not within 0..{len(text)}")
    if text.isascii():
        return position
    return position + sum(char > "\uffff" for char in text[:position])


def from_utf16(text: str, offset: int) -> int:
    """The code point position of a UTF-16 offset. Errors: ``position_out_of_range``, also inside a surrogate pair."""
    if text.isascii() and 0 <= offset <= len(text):
        return offset
    units = 0
    for position, char in enumerate(text):
        if units == offset:
            return position
        units += 2 if char > "\uffff" else 1
    if units == offset:
        return len(text)
    raise CoscribeError(Code.POSITION_OUT_OF_RANGE, f"UTF-16 offset {offset} is no boundary of a code point")
