"""FileState: the authoritative text of one file, and the step that turns a request into committed operations.

request at base_version --rebase over the window--> operation at version --apply--> version + 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed, Concurrent, OpWindow, rebase, rebase_chain
from coscribe.core.operation import NOTHING, Operation, Splice, changes, growth, reach
from coscribe.core.text_buffer import TextBuffer


class Limits(NamedTuple):
    """Bounds of one file. Lengths are code points; ``rebase_steps`` bounds versions behind x operations."""

    file_length: int = 16_000_000
    operation_length: int = 1_000_000
    chain_operations: int = 256
    window_operations: int = 1_024
    window_bytes: int = 1_000_000
    rebase_steps: int = 500_000


class Request(NamedTuple):
    """One element of what a client asks for: its id, what it does to the text before it, what it brings back, and where
    that is from (see `op_window.Committed`)."""

    operation_id: str
    operation: Operation
    restores: tuple[int, ...] = ()
    origin: str = ""


class FileState:
    """The text of a file at ``version``, the workspace sequence that last touched it, and its recent operations."""

    __slots__ = ("content", "file_id", "last_sequence", "limits", "version", "window")

    def __init__(self, file_id: str, content: str, version: int, last_sequence: int, limits: Limits) -> None:
        self.file_id = file_id
        self.content = TextBuffer(content)
        self.version = version
        self.last_sequence = last_sequence
        self.limits = limits
        self.window = OpWindow(limits.window_operations, limits.window_bytes, last_sequence)

    def concurrent_since(self, base_version: int) -> Concurrent | None:
        """What changed the text after ``base_version``; None where the window no longer reaches back that far."""
        assert base_version <= self.version
        return self.window.changes_since(base_version, self.version)

    def commit(
        self,
        requests: Sequence[Request],
        base_version: int,
        concurrent: Concurrent,
        sequence: int,
        author: str,
        digest: bytes,
    ) -> list[Committed]:
        """Rebases the requests as a unit, applies them and numbers them from ``sequence`` on.

        Either all of them happen or, with an error, none. Errors: ``position_out_of_range``, ``file_too_large``.
        """
        moved = self.rebased(requests, concurrent)
        entries: list[Committed] = []
        for request, operation in zip(requests, moved, strict=True):
            changed = changes(operation)
            if not changed:
                operation = NOTHING
            removed = self.content.apply(operation) if changed else ""
            base = base_version if not entries else self.version
            self.version += changed
            entry = Committed(
                sequence,
                self.version,
                base,
                changed,
                request.operation_id,
                author,
                digest,
                operation,
                removed,
                request.restores,
                request.origin,
            )
            self.window.append(entry)
            entries.append(entry)
            sequence += 1
        self.last_sequence = sequence - 1
        return entries

    def rebased(self, requests: Sequence[Request], concurrent: Concurrent) -> list[Operation]:
        """What requests come to now, one after the other; nothing changes. Errors: those of `commit`."""
        operations = [request.operation for request in requests]
        moved = rebase_chain(operations, concurrent) if len(operations) > 1 else [rebase(operations[0], concurrent)]
        self._check(moved, requests)
        return moved

    def replay(self, entry: Committed) -> None:
        """Takes in an operation that is already committed (read back from the log). Errors: ``file_damaged``."""
        if entry.version != self.version + entry.changed:
            raise CoscribeError(Code.FILE_DAMAGED, f"version {entry.version} follows {self.version} in the log")
        if reach(entry.operation) > len(self.content):
            raise CoscribeError(Code.FILE_DAMAGED, f"sequence {entry.sequence} reaches past the end of the text")
        removed = self.content.apply(entry.operation) if entry.changed else ""
        if removed != entry.removed:
            raise CoscribeError(Code.FILE_DAMAGED, f"sequence {entry.sequence} deleted another text than is there")
        self.version = entry.version
        self.last_sequence = entry.sequence
        self.window.append(entry)

    def _check(self, operations: Sequence[Operation], requests: Sequence[Request]) -> None:
        """Whether each operation fits the text as the ones before it leave it.

        A rebased operation overshoots the current text by exactly as much as the original overshot its base: what
        lies past the end of a text cannot be touched by anyone else. So checking after the rebase is enough.
        """
        size = len(self.content)
        for operation, request in zip(operations, requests, strict=True):
            if type(operation) is Splice:
                position, deleted, inserted = operation
                end = position + deleted
                grown = len(inserted) - deleted
            else:
                end, grown = reach(operation), growth(operation)
            if end > size:
                raise CoscribeError(
                    Code.POSITION_OUT_OF_RANGE,
                    f"reaches {end - size} code points past the end of the text",
                    operation_id=request.operation_id,
                )
            size += grown
            if size > self.limits.file_length:
                raise CoscribeError(
                    Code.FILE_TOO_LARGE,
                    f"the file would have {size} code points, at most {self.limits.file_length} are allowed",
                    operation_id=request.operation_id,
                )
