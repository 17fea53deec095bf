"""LastCursors: where somebody's caret was in a file when they last had it open, for when they open it again.

Presence is not history: a caret is in no log and no chain. It is kept beside them, as it was told: positions in the
text of a version. When it is asked for it is carried over what has come since, from the window or the log, going along
with what its owner wrote there; where that is too much, or pruned, it stays where it was, within the text.

Carets wait in memory until the next `flush`: a server that dies loses those of the last moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from coscribe.core.document_state import FileState
from coscribe.core.errors import CoscribeError
from coscribe.core.op_window import Committed
from coscribe.core.operation import move_position
from coscribe.documents.opened import OpenFile
from coscribe.documents.ports import CursorRepo, LastCursor, OpLog, StorageError
from coscribe.metrics import metrics
from coscribe.model import committed_from
from coscribe.protocol.messages import Cursor

log = structlog.get_logger(__name__)

PER_PERSON = 1_000
"""Files in which a person's caret is kept; the one where it moved longest ago is forgotten."""

PER_FILE = 1_000
"""People whose caret is kept in a file; likewise."""

MAX_WAITING = 20_000
"""Carets that wait to be written; likewise."""

AT_A_TIME = 1_000
"""Carets that are written in one transaction."""

LOG_ENTRIES = 2_000
"""Entries of the log that a caret is carried over when somebody joins."""


class KeptCursor(NamedTuple):
    """A selection in the text of a version, whose owner is ``author``."""

    version: int
    anchor: int
    head: int
    author: str

    def over(self, entries: Iterable[Committed]) -> KeptCursor:
        """Where it is behind entries of its file, of which those of its own version and before are passed over."""
        version, anchor, head, author = self
        for entry in entries:
            if entry.version > version:
                version, stays = entry.version, entry.author != author
                anchor = move_position(anchor, entry.operation, before_insert=stays)
                head = move_position(head, entry.operation, before_insert=stays)
        return KeptCursor(version, anchor, head, author)

    def within(self, state: FileState) -> Cursor:
        """In the text as it is: carried there, as far as the window goes, and no further than its end."""
        reaches = self.version <= state.version and state.concurrent_since(self.version) is not None
        _, anchor, head, _ = self.over(state.window.entries) if reaches else self
        end = len(state.content)
        return Cursor(min(anchor, end), min(head, end))


class LastCursors:
    """``clock`` gives microseconds since 1970."""

    def __init__(self, repo: CursorRepo, op_log: OpLog, clock: Callable[[], int]) -> None:
        self._repo = repo
        self._log = op_log
        self._clock = clock
        self._waiting: dict[tuple[int, int], LastCursor] = {}

    def moved(self, file: OpenFile, author_ref: int, version: int, cursor: Cursor) -> None:
        """Somebody's caret is there now."""
        place = file.file_key, author_ref
        self._waiting.pop(place, None)
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[place] = LastCursor(*place, version, cursor.anchor, cursor.head, self._clock())
        metrics.last_cursors_waiting.set(len(self._waiting))

    async def of(self, file: OpenFile, author: str, author_ref: int, durable: int) -> KeptCursor | None:
        """Where somebody's caret was, at a version that is in the window, if that is to be had. ``durable``: up to
        which sequence the log is on disk. None: it is not known; a caret is nothing for which a join would fail."""
        state = file.state
        try:
            found = self._waiting.get((file.file_key, author_ref))
            found = found or await self._repo.last_cursor(file.file_key, author_ref)
            if found is None:
                return None
            kept = KeptCursor(found.version, found.anchor, found.head, author)
            if found.version < state.version and state.concurrent_since(found.version) is None:
                kept = await self._over_log(kept, file.file_key, durable)
        except StorageError as error:
            log.warning("last_cursor_unknown", file=state.file_id, error=str(error))
            return None
        return kept

    async def _over_log(self, kept: KeptCursor, file_key: int, durable: int) -> KeptCursor:
        try:
            rows = await self._log.read_versions(file_key, kept.version, durable, LOG_ENTRIES)
        except CoscribeError:  # it was pruned
            return kept
        return kept.over(map(committed_from, rows)) if len(rows) < LOG_ENTRIES else kept

    async def flush(self) -> None:
        """Stores what waits. What cannot be stored waits for the next time."""
        waiting = list(self._waiting.values())
        for start in range(0, len(waiting), AT_A_TIME):
            some = waiting[start : start + AT_A_TIME]
            try:
                await self._repo.keep_cursors(some, per_person=PER_PERSON, per_file=PER_FILE)
            except StorageError as error:
                log.warning("last_cursors_not_kept", error=str(error))
                return
            for cursor in some:
                place = cursor.file_key, cursor.author_ref
                if self._waiting.get(place) is cursor:
                    del self._waiting[place]
        metrics.last_cursors_waiting.set(len(self._waiting))
