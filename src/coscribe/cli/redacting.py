"""Takes a text out of a data folder, while no server runs on it: by the same way as a server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy.exc import DatabaseError

from coscribe.access.caller import Caller
from coscribe.access.redactions import Order, Redacted, find, shown
from coscribe.api.redactions import RedactedAll
from coscribe.app import Coscribe, FolderInUse, lock_folder
from coscribe.cli.api import Row
from coscribe.cli.common import err, fail
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.persistence.blobs import FolderBlobs

OPERATOR = Caller("folder", author="operator")


def locked(folder: Path) -> IO[str] | None:
    """The lock of a folder; None: a server runs on it. Ends with advice where there is no database in it."""
    if not Settings(folder=folder).database.exists():
        fail(f"there is no database in {folder}", "Give --data with the folder that a server has run on.")
    try:
        return lock_folder(folder)
    except FolderInUse:
        return None


def look(folder: Path, order: Order) -> Row:
    """Where it is. A server may run meanwhile. Ends with advice where the folder cannot be read."""
    settings = Settings(folder=folder)
    with _told(folder), _progress() as progress:
        return _row(shown(*asyncio.run(find(settings.where, FolderBlobs(settings.blobs), order, progress))))


def redact(folder: Path, order: Order, lock: IO[str]) -> Row:
    """Takes it out of all that there is. Ends with advice where something is under legal hold or damaged."""
    with _told(folder), lock:
        return _row(asyncio.run(_redact(Settings(folder=folder), order, lock)))


async def _redact(settings: Settings, order: Order, lock: IO[str]) -> Redacted:
    coscribe = Coscribe(settings, lock=lock)
    async with coscribe.running():
        return await coscribe.people.services.redactions.redact(OPERATOR, order)


def _row(found: Redacted) -> Row:
    """As the server answers it."""
    row: Row = json.loads(RedactedAll.model_validate(found).model_dump_json(by_alias=True))
    return row


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except CoscribeError as error:
        code = error.code
        if code is Code.FILE_DAMAGED:
            fail(f"it could not be redacted: {error.detail}", f"See what is wrong: coscribe verify --data {folder}")
        fail(f"{code.value.code}: {error.detail}", code.value.help, code=2 if code is Code.FILE_NOT_FOUND else 1)
    except (DatabaseError, StorageError, OSError, ValueError) as error:
        fail(f"it could not be redacted: {error}", f"See what is wrong: coscribe verify --data {folder}")


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("searching", total=None)
        yield lambda done: progress.advance(task, done)
