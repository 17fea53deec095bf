"""Quotas: how much may be kept. For good, unlike budgets: what is over one is refused as ``quota_exceeded``.

    documents of an account   counted where they are made                     access/documents.py
    text of an account        all documents it has made share an Allowance    here, asked in the turn; so do contents
                              that are no text, as long as the history has them
    log of a document         only grows; a metric warns first                here, asked in the turn
    files and bytes           of a project, which its workspace may narrow:   here, asked in the turn; so it holds for
                              a Room                                          all ways in

An edit that makes no text longer is let through even where there is too much already: that is how room is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Operation, to_edits
from coscribe.metrics import metrics

ROW_BYTES = 100
"""What a log entry takes beside its payload, about."""


class Quotas(NamedTuple):
    """``documents`` one account may have made and not deleted; ``text_bytes`` of UTF-8 in all of them together, with
    what is no text; ``blob_bytes`` of one content that is none.

    ``log_bytes`` of one document's log, and ``log_warning_bytes`` from which on a metric tells. ``project_bytes`` and
    ``project_files`` of a project, or of a workspace that has none, where nothing else is said; 0: no bound.
    """

    documents: int = 10_000
    text_bytes: int = 4_000_000_000
    log_warning_bytes: int = 2_000_000_000
    log_bytes: int = 20_000_000_000
    blob_bytes: int = 500_000_000
    project_bytes: int = 0
    project_files: int = 0


class Allowance:
    """``used`` of ``most`` bytes, shared by all documents of an account that are in memory.

    ``used`` is about right: what was written before is estimated from what is stored. ``look_again`` is called when
    something was refused: room may have been made since.
    """

    __slots__ = ("__weakref__", "look_again", "most", "used")

    def __init__(self, most: int, used: int, look_again: Callable[[], None]) -> None:
        self.most = most
        self.used = used
        self.look_again = look_again


class Room:
    """What a workspace may have: what its project grants or less, so the lower bound of the two. None: no bound.

    ``used`` bytes are counted as an allowance's are, and only where they are bounded; ``files`` are files and folders
    that are not in the trash. ``look_again`` as there.
    """

    __slots__ = ("__weakref__", "look_again", "most_bytes", "most_files", "used")

    def __init__(
        self, most_bytes: int | None, most_files: int | None, used: int, look_again: Callable[[], None]
    ) -> None:
        self.most_bytes = most_bytes
        self.most_files = most_files
        self.used = used
        self.look_again = look_again

    def check_bytes(self, needed: int, operation_id: str) -> None:
        """Errors: ``quota_exceeded``."""
        if self.most_bytes is not None and needed > 0 and self.used + needed > self.most_bytes:
            metrics.over_quota.labels("project").inc()
            self.look_again()
            raise CoscribeError(
                Code.QUOTA_EXCEEDED,
                f"the project has about {self.used} bytes of {self.most_bytes}, old contents that are no text included;"
                " shorten texts, or ask an administrator for more",
                operation_id=operation_id,
            )

    def check_files(self, before: int, after: int, operation_id: str) -> None:
        """Errors: ``quota_exceeded``: there would be more, and too many."""
        if self.most_files is not None and after > max(before, self.most_files):
            metrics.over_quota.labels("project").inc()
            raise CoscribeError(
                Code.QUOTA_EXCEEDED,
                f"the project has {before} files and folders of {self.most_files}; delete some, or ask an administrator"
                " for more",
                operation_id=operation_id,
            )


class QuotaSource(Protocol):
    """Where a session learns how much is kept already. Neither raises: what cannot be looked up is not limited."""

    async def allowance(self, workspace_id: str) -> Allowance | None:
        """That of whoever made the workspace; None: nobody with an account."""
        ...

    async def room(self, workspace_id: str) -> Room:
        """What a workspace with a tree may have; the same as long as somebody has it."""
        ...

    async def log_bytes(self, workspace_key: int, through: int) -> int:
        """About how long the log is, up to a sequence."""
        ...


def needed_bytes(operations: Sequence[Operation]) -> int:
    """By how many bytes a text grows at most; 0 where it gets no longer, in code points."""
    needed = grown = 0
    for operation in operations:
        for _, deleted, inserted in to_edits(operation):
            needed += utf8_length(inserted) - deleted
            grown += len(inserted) - deleted
    return needed if grown > 0 else 0


def added_bytes(operation: Operation, removed: str) -> int:
    """By how many bytes a text has grown; ``removed`` is what the operation has deleted."""
    return sum(utf8_length(inserted) for _, _, inserted in to_edits(operation)) - utf8_length(removed)


def utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
