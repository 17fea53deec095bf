"""Withheld: what was redacted of a workspace, so that nobody brings it back who has it still.

A replica that was away, an undo, a program that writes back what it has read: whatever would put it into a text or a
name again is refused with ``text_redacted``, and its author has it back as a patch. It is kept in memory only: on a
disk it would be what was to be destroyed. So a server forgets it when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation
from coscribe.core.tree import Effect
from coscribe.documents.redaction import Pattern, brings, fill_bytes, spans_in
from coscribe.metrics import metrics

_T = TypeVar("_T")

MAX_PATTERNS = 100
"""Of one workspace; of more, the oldest are forgotten."""

MAX_CONTENTS = 10_000
"""Hashes of contents, likewise."""


class Withheld:
    """Of one workspace. ``through``: who has no more of its log than up to this sequence gets a snapshot at the next
    join, whatever is in memory."""

    def __init__(self) -> None:
        self._patterns: dict[str, Pattern] = {}
        self._contents: dict[str, None] = {}
        self.through = 0

    def add(self, pattern: Pattern) -> None:
        self._patterns.pop(pattern.expression, None)
        self._patterns[pattern.expression] = pattern
        _forget_oldest(self._patterns, MAX_PATTERNS)

    def add_contents(self, digests: Iterable[str]) -> None:
        self._contents.update(dict.fromkeys(digests))
        _forget_oldest(self._contents, MAX_CONTENTS)

    def check_text(self, text: str, operations: Sequence[Operation], operation_id: str) -> None:
        """Errors: ``text_redacted``: the operations, one after the other, would bring it into the text."""
        if any(brings(pattern, text, operations) for pattern in self._patterns.values()):
            _refuse(operation_id)

    def check_new_text(self, text: str, operation_id: str) -> None:
        """Likewise of a whole text."""
        if any(pattern.search(text) for pattern in self._patterns.values()):
            _refuse(operation_id)

    def check_effect(self, effect: Effect, operation_id: str) -> None:
        """Likewise of names, targets of links, and the very contents that it was in."""
        for _, before, after in effect.changes:
            if after is None:
                continue
            strings = [after.name] if before is None or before.name != after.name else []
            if after.kind == "symlink":
                strings.append(after.content)
            named = any(pattern.search(string) for pattern in self._patterns.values() for string in strings)
            if named or (after.kind == "binary" and after.content in self._contents):
                _refuse(operation_id)

    def filled(self, content: bytes) -> bytes:
        """A content with fillers for whatever is withheld."""
        for pattern in self._patterns.values():
            content = fill_bytes(pattern, content, spans_in(pattern, content))
        return content


def _refuse(operation_id: str) -> None:
    metrics.withheld_refused.inc()
    raise CoscribeError(Code.TEXT_REDACTED, operation_id=operation_id)


def _forget_oldest(kept: dict[str, _T], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
