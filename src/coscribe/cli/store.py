"""What a server has stored, read without the server: read-only, also while one is running on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from coscribe.cli.common import fail
from coscribe.config import Settings

if TYPE_CHECKING:
    from coscribe.model import File, Workspace
    from coscribe.persistence.stored import StoredLog


class Store(NamedTuple):
    """A data folder; with a ``url`` the database is a PostgreSQL, and only keys are looked for in the folder. As a text
    it is what people may read: no password is in it."""

    folder: Path
    url: str = ""

    @property
    def database(self) -> Path | str:
        return self.url or Settings(folder=self.folder).database

    @property
    def option(self) -> str:
        """What a command is given to look at it."""
        return f"--database {self}" if self.url else f"--data {self}"

    def __str__(self) -> str:
        if not self.url:
            return str(self.folder)
        from coscribe.persistence.stored import (  # here and below: SQLAlchemy takes long to import
            Unreachable,
            shown_url,
        )

        try:
            return shown_url(self.url)
        except Unreachable:
            return "what --database says"


@contextmanager
def reading(store: Store) -> Iterator[StoredLog]:
    """One moment of a store. Ends with advice where there is none to read.

    Raises StorageError inside the block where it is damaged.
    """
    from coscribe.persistence import stored

    if not store.url and not Settings(folder=store.folder).database.exists():
        fail(
            f"there is no database in {store.folder}",
            "Give --data with the folder that a server runs on or has run on.",
        )
    advice = "Is it a Coscribe database, of this version, that you may read?"
    try:
        with stored.reading(store.database) as log:
            yield log
    except stored.Unreachable as error:
        fail(f"cannot read {store}: {error}", advice)


@contextmanager
def owning(folder: Path, otherwise: str, *, anyway: bool = False) -> Iterator[None]:
    """Nobody else has the folder meanwhile. Ends with advice where there is no database in it, or a server has it:
    ``otherwise`` says what that does by itself. Likewise, unless ``anyway``, where the settings say that it is not this
    database that is served."""
    from coscribe.app import FolderInUse, lock_folder

    if Settings(folder=folder).database_url and not anyway:
        fail("the database is a PostgreSQL: COSCRIBE_DATABASE_URL is set", f"{otherwise} See docs/operations.md.")
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
