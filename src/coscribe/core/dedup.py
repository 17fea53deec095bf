"""Exactly once: which operationIds are known, without asking storage about every keystroke.

Ids come in *series*: ``<series>:<counter>``, the counter growing within a series (a client makes one series per run;
an id of any other form is a series of its own with counter 0). The registry keeps

    recent     id -> the committed operation, for what is still in the window or not yet durable
    series     series -> highest counter ever committed, for the series in use

An id whose counter is above the highest of its series cannot have been committed: it is new, and memory alone says
so. Everything else that is not in ``recent`` may be old: storage knows. What storage answered is only good as long as
nothing committed since then has left the window again; `Answer.as_of` remembers when it was asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from coscribe.core.op_window import Committed


class Record(NamedTuple):
    """What the registry keeps of a committed operation for ever: enough to acknowledge it again."""

    operation_id: str
    author: str
    request: bytes
    file_id: str
    sequence: int
    version: int


class Answer(NamedTuple):
    """What storage knew of an id when the workspace was at sequence ``as_of``."""

    record: Record | None
    as_of: int


@lru_cache(maxsize=1_024)
def split_id(operation_id: str) -> tuple[str, int]:
    """(series, counter) of an id; `join_id` is the inverse. Counters begin at 1 and have at most 15 digits.

    Every id is taken apart about four times on its way into the log, hence the cache.
    """
    series, colon, digits = operation_id.rpartition(":")
    if colon and len(digits) <= 15 and digits.isascii() and digits.isdigit() and digits[0] != "0":
        return series, int(digits)
    return operation_id, 0


def join_id(series: str, counter: int) -> str:
    """The id that `split_id` took apart."""
    return f"{series}:{counter}" if counter else series


class Registry:
    """The known ids of one workspace. ``complete``: the log is known to be empty, so nothing is old."""

    __slots__ = ("_complete", "_max_series", "_recent", "_series")

    def __init__(self, *, complete: bool, max_series: int = 4_096) -> None:
        self._recent: dict[str, tuple[str, Committed]] = {}
        self._series: dict[str, int] = {}
        self._max_series = max_series
        self._complete = complete

    def find(self, operation_id: str) -> tuple[str, Committed] | Literal["new", "unknown"]:
        """(fileId, operation) if recent; else "new" if it cannot be known, or "unknown": storage has to be asked."""
        found = self._recent.get(operation_id)
        if found is not None:
            return found
        series, counter = split_id(operation_id)
        highest = self._series.get(series)
        if highest is None:
            return "new" if self._complete else "unknown"
        return "new" if counter > highest else "unknown"

    def add(self, file_id: str, entry: Committed) -> None:
        """Takes in a committed operation. Of a series that storage was not asked about it says nothing more:

        a client may have committed a higher counter before, which is no longer in ``recent``.
        """
        self._recent[entry.operation_id] = (file_id, entry)
        series, counter = split_id(entry.operation_id)
        if self._complete or series in self._series:
            self.learn(series, counter)

    def learn(self, series: str, highest: int) -> None:
        """Takes in how far a series has come (-1: not begun). Past `max_series` the one known longest leaves."""
        known = self._series.get(series)
        if known is None and len(self._series) >= self._max_series:
            del self._series[next(iter(self._series))]
            self._complete = False
        if known is None or highest > known:
            self._series[series] = highest

    def forget(self, entry: Committed) -> None:
        """An operation left the window; from now on storage answers for it."""
        self._recent.pop(entry.operation_id, None)
        series, counter = split_id(entry.operation_id)
        if series in self._series:
            self.learn(series, counter)  # what storage said of the series may be older than this operation
