"""The text that a file had at a version: from the present back, since every entry of the log knows what it deleted, or
from its beginning (or the checkpoint that it begins with) forwards, whichever is nearer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed
from coscribe.core.operation import Components, Delete, invert, know_deleted, reach
from coscribe.core.text_buffer import TextBuffer
from coscribe.documents.checkpoints import FileAtCheckpoint
from coscribe.documents.ports import OpLog
from coscribe.model import Decoded, LogEntry, content_hash, decode_payload

VERSIONS = 500
"""Versions that are gone over between two looks at the event loop."""

FAR = 5_000
"""Versions behind the present from which on the way from the beginning may be the shorter one."""

PAGE = 1_000
"""Log entries read at a time."""


class TextAt(NamedTuple):
    """The text of a file at a version; it had this text at ``sequence``. Durable."""

    text: str
    version: int
    sequence: int


async def text_at(
    op_log: OpLog, workspace_key: int, file_key: int, now: TextAt, recent: Sequence[Committed], wanted: int
) -> TextAt:
    """The text as it was at the version ``wanted``, which is before the present one.

    ``recent``: the last entries of the file, as far as they are in memory; the ones before them are read. Errors:
    ``file_damaged``, ``history_pruned``.
    """
    behind = now.version - wanted
    oldest = (await op_log.pruned(workspace_key)).versions.get(file_key, 0)
    if wanted < oldest:
        raise CoscribeError(Code.HISTORY_PRUNED, f"version {wanted} was deleted; the history begins at {oldest}")
    if behind > FAR and wanted - oldest < behind:
        return await _play(op_log, workspace_key, file_key, wanted, now.sequence)
    return await _wind_back(op_log, workspace_key, file_key, now, recent, wanted)


async def _play(op_log: OpLog, workspace_key: int, file_key: int, wanted: int, through: int) -> TextAt:
    """From the empty text that every file begins with, or from the checkpoint."""
    text, version, sequence = TextBuffer(), 0, 0
    checkpoint = await op_log.checkpoint(workspace_key)
    if checkpoint is not None:
        file = checkpoint.file(file_key)
        text, version, sequence = TextBuffer(good_content(file)), file.version, checkpoint.sequence
    while version < wanted:
        rows = await op_log.read(workspace_key, sequence, through=through, limit=VERSIONS, file_key=file_key)
        for row in rows:
            if row.version > version:
                if row.version != version + 1:
                    raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks versions before {row.version}")
                redo(text, components_of(row), row.sequence)
                version = row.version
            sequence = row.sequence
            if version == wanted:
                break
        if not rows:
            raise CoscribeError(Code.FILE_DAMAGED, f"the log ends at version {version}")
        await asyncio.sleep(0)
    return TextAt(str(text), version, sequence)


async def _wind_back(
    op_log: OpLog, workspace_key: int, file_key: int, now: TextAt, recent: Sequence[Committed], wanted: int
) -> TextAt:
    """From the present text."""
    _, version, through = now
    text = TextBuffer(now.text)
    for entry in reversed(recent):
        if version == wanted:
            break
        if entry.changed:
            take_back(text, know_deleted(entry.operation, entry.removed), entry.sequence)
            version -= 1
        through = entry.sequence - 1
    while version > wanted:
        low = max(wanted, version - VERSIONS)
        rows = await changes_between(op_log, workspace_key, file_key, low, version, through)
        if [row.version for row in rows] != list(range(low + 1, version + 1)):
            raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks versions between {low} and {version}")
        for row in reversed(rows):
            take_back(text, components_of(row), row.sequence)
        version, through = low, rows[0].sequence - 1
        await asyncio.sleep(0)
    return TextAt(str(text), version, through)


async def changes_between(
    op_log: OpLog, workspace_key: int, file_key: int, low: int, high: int, through: int
) -> list[LogEntry]:
    """The entries that made a file's versions behind ``low``, up to ``high``, as far as the log has them up to sequence
    ``through``; those that came to nothing are passed over."""
    found: list[LogEntry] = []
    version = low
    rows = await op_log.read_versions(file_key, low, through, min(PAGE, high - low))
    while rows:
        for row in rows:
            if version < row.version <= high:
                version = row.version
                found.append(row)
        if version >= high:
            break
        rows = await op_log.read(workspace_key, rows[-1].sequence, through=through, limit=PAGE, file_key=file_key)
    return found


def good_content(file: FileAtCheckpoint) -> str:
    """The text of a checkpoint. Errors: ``file_damaged``."""
    if content_hash(file.content) != file.content_hash:
        raise CoscribeError(Code.FILE_DAMAGED, "the text of its checkpoint is damaged", file_id=file.file_id)
    return file.content


def decoded(row: LogEntry) -> Decoded:
    """What an entry says. Errors: ``file_damaged``."""
    try:
        return decode_payload(row.payload)
    except ValueError as error:
        raise CoscribeError(Code.FILE_DAMAGED, f"sequence {row.sequence} cannot be read: {error}") from error


def components_of(row: LogEntry) -> Components:
    """What an entry did, deletes with their text. Errors: ``file_damaged``."""
    return decoded(row).components


def redo(text: TextBuffer, operation: Components, sequence: int) -> None:
    deleted = "".join(part.text or "" for part in operation if isinstance(part, Delete))
    if reach(operation) > len(text) or text.apply(operation) != deleted:
        raise CoscribeError(Code.FILE_DAMAGED, f"what sequence {sequence} deleted is not in the text before it")


def take_back(text: TextBuffer, operation: Components, sequence: int) -> None:
    inverse = invert(operation)
    inserted = "".join(part.text or "" for part in inverse if isinstance(part, Delete))
    if reach(inverse) > len(text) or text.apply(inverse) != inserted:
        raise CoscribeError(Code.FILE_DAMAGED, f"what sequence {sequence} inserted is not in the text after it")
