"""Pace: in which moment each of many may come back, so that they do not all come in the same one."""

from __future__ import annotations

from collections.abc import Callable

RETURNS_PER_MS = 2
"""How many connections, or files, are asked back in one millisecond: as many as one server can let in."""


class Pace:
    """``now`` gives monotonic seconds. Places are given out one behind the other, as long as more are wanted than there
    is time for; who comes when nobody waits comes at once."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._next = 0.0

    def after(self) -> int:
        """Milliseconds that the next one is to wait."""
        now = self._now()
        mine = max(self._next, now)
        self._next = mine + 0.001 / RETURNS_PER_MS
        return int((mine - now) * 1_000)
