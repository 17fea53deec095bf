"""Paging: a cursor names the last thing that was seen, so what comes or goes meanwhile shifts nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import and_, false, or_

from coscribe.core.errors import Code, CoscribeError

_T = TypeVar("_T")

MAX_LIMIT = 100
_MAX_CURSOR = 1_024


class Page(NamedTuple, Generic[_T]):
    """Some of a list, in its order. ``next_cursor`` "": nothing follows."""

    items: tuple[_T, ...]
    next_cursor: str = ""


def cursor_of(*key: int | str) -> str:
    """An opaque cursor for a sort key."""
    return urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def key_of(cursor: str, *kinds: type) -> tuple[Any, ...] | None:
    """The sort key in a cursor, whose parts must be of these types; None for "". Errors: ``invalid_request``."""
    if not cursor:
        return None
    try:
        key = json.loads(urlsafe_b64decode(cursor[:_MAX_CURSOR] + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or len(key) != len(kinds) or not all(map(_fits, key, kinds)):
        raise CoscribeError(Code.INVALID_REQUEST, "the cursor is not one that this list gave")
    return tuple(key)


def checked_limit(limit: int) -> int:
    """Errors: ``invalid_request``."""
    if not 1 <= limit <= MAX_LIMIT:
        raise CoscribeError(Code.INVALID_REQUEST, f"limit is 1 to {MAX_LIMIT}")
    return limit


def page_of(found: Sequence[_T], limit: int, key: Callable[[_T], tuple[int | str, ...]]) -> Page[_T]:
    """A page of what was found when asked for one more than ``limit``."""
    if len(found) <= limit:
        return Page(tuple(found))
    items = tuple(found[:limit])
    return Page(items, cursor_of(*key(items[-1])))


def comes_after(place: Sequence[Any], key: tuple[Any, ...]) -> Any:
    """Whether a row, ordered by the columns of ``place``, comes after a sort key."""
    fits: Any = false()
    for column, value in reversed(list(zip(place, key, strict=True))):
        fits = or_(column > value, and_(column == value, fits))
    return fits


def _fits(value: object, kind: type) -> bool:
    """Whether a value is of a type, and one that a database takes."""
    if type(value) is int:
        return kind is int and abs(value) < 1 << 63
    if isinstance(value, str) and kind is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return False
