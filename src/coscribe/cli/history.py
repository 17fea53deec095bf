"""The log of one file, read from what is stored: its entries, and the text as it was at any point."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple, NoReturn

from coscribe.cli.common import fail
from coscribe.cli.store import Store, find, reading
from coscribe.core.document_state import FileState, Limits
from coscribe.core.errors import CoscribeError
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.past import good_content
from coscribe.documents.ports import StorageError
from coscribe.model import LogEntry, committed_from

TRIM_EVERY = 1_024
"""Entries after which what is not needed of them any more is let go."""


class Text(NamedTuple):
    """A file's content at a version and a sequence."""

    version: int
    sequence: int
    content: str


def text_at(store: Store, file_id: str, *, version: int | None = None, sequence: int | None = None) -> Text:
    """The text when the file came to ``version``, or after ``sequence``, by replaying the log from its beginning, or
    from its checkpoint.

    Ends with advice where there has been no such moment, or the log is damaged.
    """
    try:
        with reading(store) as log:
            workspace, file = find(log.workspaces(), file_id)
            if sequence is not None and sequence > workspace.last_sequence:
                fail(f"the log of {file_id} ends at sequence {workspace.last_sequence}", "Give a smaller --sequence.")
            state = FileState(file_id, "", 0, 0, Limits())
            checkpoint = log.checkpoint(workspace.key)
            if checkpoint is not None:
                begin = checkpoint.file(file.key)
                state = FileState(file_id, good_content(begin), begin.version, checkpoint.sequence, Limits())
                if (version or begin.version) < begin.version or (
                    sequence or checkpoint.sequence
                ) < checkpoint.sequence:
                    _fail_pruned(file_id, checkpoint)
            for count, entry in enumerate(log.entries(workspace.key, file_key=file.key)):
                if state.version == version or (sequence is not None and entry.sequence > sequence):
                    break
                state.replay(committed_from(entry))
                if not count % TRIM_EVERY:
                    state.window.trim(entry.sequence)
    except (CoscribeError, ValueError, TypeError, StorageError) as error:
        fail(f"the log cannot be replayed: {error}", f"See what is wrong: coscribe verify {file_id} {store.option}")
    if version is not None and state.version != version:
        fail(f"{file_id} has only come to version {state.version}", "Give a smaller --version.")
    return Text(state.version, sequence if sequence is not None else state.last_sequence, str(state.content))


def entries_of(store: Store, file_id: str, *, first: int | None, limit: int) -> list[LogEntry]:
    """At most ``limit`` entries (0: all) from sequence ``first`` on; None: the last ones. Ends with advice."""
    try:
        with reading(store) as log:
            workspace, file = find(log.workspaces(), file_id)
            checkpoint = log.checkpoint(workspace.key)
            if checkpoint is not None and first is not None and first <= checkpoint.sequence:
                _fail_pruned(file_id, checkpoint)
            after = first - 1 if first is not None else workspace.last_sequence - limit if limit else 0
            found = log.entries(workspace.key, after=after, file_key=file.key)
            return list(islice(found, limit or None))
    except StorageError as error:
        fail(f"the log cannot be read: {error}", f"See what is wrong: coscribe verify {file_id} {store.option}")


def _fail_pruned(file_id: str, checkpoint: Checkpoint) -> NoReturn:
    version = max(file.version for file in checkpoint.files)
    fail(
        f"the history of {file_id} up to sequence {checkpoint.sequence} was pruned",
        f"What is left begins with version {version} and sequence {checkpoint.sequence + 1}.",
    )
