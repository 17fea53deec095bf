"""Makes a data folder smaller, while no server runs on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from sqlalchemy.exc import DatabaseError

from coscribe.cli.common import err, fail
from coscribe.cli.store import owning
from coscribe.config import Settings
from coscribe.documents.ports import SegmentSize, StorageError
from coscribe.model import Workspace
from coscribe.persistence.blobs import drop_drafts, stored
from coscribe.persistence.closed_log import closed_through, last_closed
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage, connect
from coscribe.persistence.stored import reading

LEAST = 256
"""Entries that are worth a segment; a server waits until one is full."""


class Vacuumed(msgspec.Struct, rename="camel"):
    """What was done. ``left``: workspaces of which something could not be compressed, and why. ``blobs`` that nothing
    referred to any more are gone, and so are their ``blob_bytes``."""

    entries: int
    segments: int
    bytes_before: int
    bytes_after: int
    left: dict[str, str]
    blobs: int
    blob_bytes: int


def vacuum_folder(folder: Path) -> Vacuumed:
    """Ends with advice where there is nothing to vacuum, a server runs on it, or it cannot be read or written."""
    settings = Settings(folder=folder)
    path = settings.database
    with owning(folder, "A running server compresses its log by itself, and uses free space again."):
        try:
            before = _size(path)
            migrate(path)
            policy = settings.policy
            size = SegmentSize(policy.segment_entries, policy.segment_bytes, min(LEAST, policy.segment_entries))
            with _progress() as progress:
                entries, segments, left = _compress(path, size, progress)
                progress.add_task("giving space back", total=None)
                give_back(path)
            return Vacuumed(entries, segments, before, _size(path), left, *_sweep(path, settings.blobs))
        except (sqlite3.DatabaseError, DatabaseError, StorageError, OSError) as error:
            fail(
                f"the database cannot be made smaller: {error}",
                f"It is as good as it was. Is the disk full? See what is wrong: coscribe verify --data {folder}",
            )


def _compress(path: Path, size: SegmentSize, progress: Progress) -> tuple[int, int, dict[str, str]]:
    """Entries and segments that were made of closed parts, and the workspaces that were left."""
    with reading(path) as log:
        closed = [
            (workspace, through, through - log.run(last_closed(workspace.key)))
            for workspace in log.workspaces()
            if (through := log.run(closed_through(workspace.key)))
        ]
    task = progress.add_task("compressing", total=sum(entries for _, _, entries in closed))
    made = asyncio.run(
        _compact_all(
            path,
            size,
            [(workspace, through) for workspace, through, _ in closed],
            lambda entries: progress.advance(task, entries),
        )
    )
    progress.remove_task(task)
    return made


async def _compact_all(
    path: Path, size: SegmentSize, closed: list[tuple[Workspace, int]], advance: Callable[[int], None]
) -> tuple[int, int, dict[str, str]]:
    storage = SqliteStorage(path)
    entries = segments = 0
    left: dict[str, str] = {}
    try:
        for workspace, through in closed:
            try:
                while (segment := await storage.compact(workspace.key, through, size)) is not None:
                    entries += segment.entries
                    segments += 1
                    advance(segment.entries)
            except StorageError as error:
                left[workspace.workspace_id] = str(error)
    finally:
        await storage.close()
    return entries, segments, left


def _sweep(path: Path, blobs: Path) -> tuple[int, int]:
    """Removes the blobs that no log refers to: the documents are gone that had them, or never came to be. Nobody can be
    about to refer to one, for the folder is ours. Returns how many there were, and their bytes."""
    with reading(path) as log:
        used = set(log.blobs())
    drop_drafts(blobs)
    count = size = 0
    for file in stored(blobs):
        if file.name not in used:
            count, size = count + 1, size + file.stat().st_size
            file.unlink()
    return count, size


def give_back(path: Path) -> None:
    """Writes the database anew, without what is free in it, and empties the write-ahead log."""
    with closing(connect(path)) as db:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _size(path: Path) -> int:
    """Bytes of the database and of what has not been carried over into it yet."""
    return sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
