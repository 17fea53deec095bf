"""A server's data folder, read without the server: read-only, also while one is running on it (SQLite's WAL)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from coscribe.cli.common import fail
from coscribe.config import Settings

if TYPE_CHECKING:
    import sqlite3

    from coscribe.model import File, Workspace


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one moment of the folder's database. Ends with advice where there is none to read.

    Raises sqlite3.DatabaseError inside the block where the file is damaged.
    """
    import sqlite3

    from coscribe.persistence.sqlite import connect

    path = Settings(folder=folder).database
    if not path.exists():
        fail(f"there is no database in {folder}", "Give --data with the folder that a server runs on or has run on.")
    try:
        with closing(connect(path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.OperationalError as error:
        fail(f"cannot read {path}: {error}", "Is it a Coscribe data folder, of this version, that you may read?")


@contextmanager
def owning(folder: Path, otherwise: str) -> Iterator[None]:
    """Nobody else has the folder meanwhile. Ends with advice where there is no database in it, or a server has it:
    ``otherwise`` says what that does by itself."""
    from coscribe.app import FolderInUse, lock_folder

    if not Settings(folder=folder).database.exists():
        fail(f"there is no database in {folder}", "Give --data with the folder that a server has run on.")
    try:
        lock = lock_folder(folder)
    except FolderInUse as error:
        fail(str(error), f"Stop it first. ({otherwise})")
    with lock:
        yield


def find(workspaces: Sequence[Workspace], file_id: str) -> tuple[Workspace, File]:
    """The file of that name, and the workspace it is in. Ends with advice where there is none."""
    found = {file.file_id: (workspace, file) for workspace in workspaces for file in workspace.files}
    if file_id not in found:
        near = get_close_matches(file_id, found, n=3) or sorted(found)[:3]
        fail(f"there is no file {file_id!r} in the log", f"There is: {', '.join(near)}." if near else "It is empty.")
    return found[file_id]
