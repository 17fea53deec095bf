"""A copy of a data folder, made while a server runs on it.

One read transaction is held from the first page to the last. So the copy shows one moment, whatever is committed
meanwhile, and SQLite has no reason to begin anew, as it does with a source that changes between two steps. Nobody who
writes waits for one who reads; what they write stays in the write-ahead log until the copy is done.

Blobs are copied behind that: one that the database of that moment refers to was on disk before, and is never changed
or removed while a server runs.

A backup is a folder: the database, the keys, the blobs, and a manifest. It appears under its name when it is whole and
on disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import cast

import msgspec

from coscribe.cli.store import Store, reading
from coscribe.config import Settings
from coscribe.documents.ports import StorageError
from coscribe.persistence.blobs import copy_blobs
from coscribe.persistence.signing import FILE as CHECKPOINT_KEY
from coscribe.persistence.stored import StoredLog

FORMAT = 1
MANIFEST = "manifest.json"
KEY = "token.key"

STEP_PAGES = 1_024
"""Pages copied at a time (4 MB); after each step they are synced, so that no long sync holds up the server's own."""


class FolderError(Exception):
    """A backup or a restore that cannot be done: what is wrong, and what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Head(msgspec.Struct, rename="camel"):
    """How far the log of a workspace had come; ``chain_hash`` is hexadecimal."""

    workspace_id: str
    incarnation: str
    last_sequence: int
    chain_hash: str


class Manifest(msgspec.Struct, rename="camel"):
    """What a backup holds. ``made_at``: the moment it shows, ISO 8601 in UTC. ``schema``: the newest migration in it.

    ``token_key``: whether the key that signs tokens is in it; otherwise it was a setting of the server. ``lacking``:
    hashes of blobs that were missing or damaged already, and are not in it.
    """

    format: int
    made_at: str
    coscribe: str
    python: str
    sqlite: str
    schema: str
    token_key: bool
    database_bytes: int
    database_sha256: str
    workspaces: list[Head]
    blobs: int = 0
    lacking: list[str] = []


def back_up(folder: Path, target: Path, progress: Callable[[int, int], None]) -> Manifest:
    """Copies the data folder to ``target``, which is made and must not exist or be empty.

    ``progress`` is told pages done and pages in all. Raises FolderError; ends with advice where there is no database.
    """
    with reading(Store(folder)) as log, whole(target) as draft:
        manifest = _manifest(log, folder)
        copy = Settings(folder=draft).database
        try:
            _copy(log, copy, progress)
            if manifest.token_key:
                _write(draft / KEY, (folder / KEY).read_bytes())
            if (folder / CHECKPOINT_KEY).exists():
                _write(draft / CHECKPOINT_KEY, (folder / CHECKPOINT_KEY).read_bytes())
            _copy_blobs(log, Settings(folder=folder).blobs, Settings(folder=draft).blobs, manifest)
            manifest.database_bytes = copy.stat().st_size
            manifest.database_sha256 = digest(copy)
            _write(draft / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        except (sqlite3.Error, StorageError, OSError) as error:
            raise FolderError(
                f"the copy failed: {error}", f"Is there room, and may you write, in {target.parent}?"
            ) from error
    return manifest


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A draft beside ``target`` that takes its name when the block is through, synced; or vanishes if that raises.

    Where ``target`` is there already (an empty folder; a volume, which cannot be renamed to) the draft is in it, and
    its files are moved up, the manifest last. Only its owner can read it. Raises FolderError.
    """
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FolderError(
            f"{target} is not empty", "Nothing is ever overwritten: name a folder that does not exist yet."
        )
    try:
        is_there = target.is_dir()
        if not is_there:
            target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target if is_there else target.parent))
    except OSError as error:
        raise FolderError(f"cannot write in {target.parent}: {error.strerror}", "Name another place.") from error
    try:
        yield draft
        for path in (*draft.iterdir(), draft):
            _sync(path)  # blobs are synced as they are written
        if is_there:
            for path in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST):
                path.rename(target / path.name)
            draft.rmdir()
            _sync(target)
        else:
            draft.rename(target)
            _sync(target.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _manifest(log: StoredLog, folder: Path) -> Manifest:
    """What the source is at this moment; the first query is what fixes the moment."""
    made_at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    schema = log.connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    heads = log.connection.exec_driver_sql(
        "SELECT workspace_id, incarnation, last_sequence, chain_hash FROM workspaces JOIN heads USING (workspace_key)"
        " WHERE status != 'deleted' ORDER BY workspace_id"
    )
    return Manifest(
        FORMAT,
        made_at,
        version("coscribe"),
        sys.version.split()[0],
        sqlite3.sqlite_version,
        schema,
        (folder / KEY).exists(),
        0,
        "",
        [Head(workspace_id, incarnation, last, chain.hex()) for workspace_id, incarnation, last, chain in heads],
    )


def _copy(log: StoredLog, path: Path, progress: Callable[[int, int], None]) -> None:
    path.touch(mode=0o600)
    with path.open("rb+") as file, closing(sqlite3.connect(path, isolation_level=None)) as copy:
        # A copy that was interrupted is thrown away: it needs no journal, and is synced by hand.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")

        def step(_: int, remaining: int, total: int) -> None:
            os.fsync(file.fileno())
            progress(total - remaining, total)

        source = cast(sqlite3.Connection, log.connection.connection.dbapi_connection)
        source.backup(copy, pages=STEP_PAGES, progress=step)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that it can be read where nothing can be written
        os.fsync(file.fileno())


def _copy_blobs(log: StoredLog, blobs: Path, target: Path, manifest: Manifest) -> None:
    digests = log.blobs()
    if digests:
        manifest.lacking = copy_blobs(blobs, target, digests)
        manifest.blobs = len(digests) - len(manifest.lacking)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
