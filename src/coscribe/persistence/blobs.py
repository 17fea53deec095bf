"""Blobs: contents that are kept whole, by the SHA-256 of what is in them. In a folder, or in memory;
in a database: `postgres_blobs`.

    blobs/draft-...   being written
    blobs/ab/abcd...  written, synced, renamed, the folder synced: only then does anybody hear of it

A blob is never changed and has no owner: who may name or read one is decided by the logs that refer to it (see
`OpLog.blobs`). What is put a second time is written a second time, over the first: so a damaged blob is healed by
whoever still has it, and how long it takes tells nobody that somebody else has the same.

The hash is computed whenever something is read, and the last piece is given away only when it fits.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Blob, StorageError
from coscribe.metrics import metrics
from coscribe.persistence.signing import make_folder

PIECE = 262_144
"""Bytes that are read at a time."""

_DRAFT = "draft-"
_DIGEST = re.compile(r"[0-9a-f]{64}")

State = Literal["good", "missing", "damaged"]

_T = TypeVar("_T")


class FolderBlobs:
    """A `BlobStore` in a folder, which is made when the first blob is; only its owner can read what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, contents: Sequence[bytes]) -> list[Blob]:
        return await asyncio.to_thread(_on_disk, lambda: put_all(self._folder, contents))

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[_FolderDraft]:
        draft = await asyncio.to_thread(_on_disk, lambda: _FolderDraft(self._folder))
        try:
            yield draft
        finally:
            await asyncio.to_thread(draft.close)

    async def size(self, digest: str) -> int | None:
        try:
            status = await asyncio.to_thread(path_of(self._folder, digest).stat)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"a blob cannot be looked at: {error.strerror}") from error
        return status.st_size

    async def read(self, digest: str) -> bytes:
        return b"".join([piece async for piece in self.pieces(digest)])

    async def pieces(self, digest: str) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(path_of(self._folder, digest).open, "rb")
        except FileNotFoundError:
            raise unreadable(digest, "missing") from None
        except OSError as error:
            raise StorageError(f"a blob cannot be opened: {error.strerror}") from error
        with file:
            hashed = sha256()
            held = b""
            while piece := await asyncio.to_thread(_next_piece, file, hashed.update):
                if held:
                    yield held
                held = piece
        if hashed.hexdigest() != digest:
            raise unreadable(digest, "damaged")
        if held:
            yield held

    async def remove(self, digest: str) -> None:
        await asyncio.to_thread(_on_disk, lambda: path_of(self._folder, digest).unlink(missing_ok=True))


class _FolderDraft:
    """A blob that is being written. What it was written for, or why it was not, is for others to know."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder
        self._path = folder / f"{_DRAFT}{secrets.token_hex(8)}"
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._hashed = sha256()
        self.size = 0

    async def write(self, piece: bytes) -> None:
        await asyncio.to_thread(_on_disk, lambda: self.add(piece))

    async def content(self, most: int = -1) -> bytes:
        return await asyncio.to_thread(_on_disk, lambda: self._content(most))

    async def keep(self) -> Blob:
        return await asyncio.to_thread(_on_disk, self._keep)

    @property
    def digest(self) -> str:
        return self._hashed.hexdigest()

    def add(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hashed.update(piece)
        self.size += len(piece)

    def _content(self, most: int) -> bytes:
        self._file.flush()
        with self._path.open("rb") as written:
            return written.read(most)

    def _keep(self) -> Blob:
        blob = self.place()
        sync_folders(self._folder, [blob.digest])
        return blob

    def place(self) -> Blob:
        """Under its name; durable when its folder is synced."""
        self._file.flush()
        os.fsync(self._file.fileno())
        blob = Blob(self.digest, self.size)
        path = path_of(self._folder, blob.digest)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.replace(path)
        metrics.blobs.inc()
        metrics.blob_bytes.inc(blob.size)
        return blob

    def close(self) -> None:
        """Nothing is left of it, unless it was kept."""
        with suppress(OSError):  # what could not be written cannot be flushed either
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class MemoryBlobs:
    """A `BlobStore` that lasts as long as the process."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    async def put(self, contents: Sequence[bytes]) -> list[Blob]:
        return [self._put(content) for content in contents]

    def _put(self, content: bytes) -> Blob:
        blob = Blob(sha256(content).hexdigest(), len(content))
        self.contents[blob.digest] = content
        metrics.blobs.inc()
        metrics.blob_bytes.inc(blob.size)
        return blob

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[_MemoryDraft]:
        yield _MemoryDraft(self._put)

    async def size(self, digest: str) -> int | None:
        content = self.contents.get(digest)
        return None if content is None else len(content)

    async def read(self, digest: str) -> bytes:
        content = self.contents.get(digest)
        if content is None:
            raise unreadable(digest, "missing")
        if sha256(content).hexdigest() != digest:
            raise unreadable(digest, "damaged")
        return content

    async def pieces(self, digest: str) -> AsyncIterator[bytes]:
        content = await self.read(digest)
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    async def remove(self, digest: str) -> None:
        self.contents.pop(digest, None)


class _MemoryDraft:
    def __init__(self, put: Callable[[bytes], Blob]) -> None:
        self._put = put
        self._written = bytearray()

    @property
    def size(self) -> int:
        return len(self._written)

    @property
    def digest(self) -> str:
        return sha256(self._written).hexdigest()

    async def write(self, piece: bytes) -> None:
        self._written += piece

    async def content(self, most: int = -1) -> bytes:
        return bytes(self._written if most < 0 else self._written[:most])

    async def keep(self) -> Blob:
        return self._put(bytes(self._written))


# ---- the folder, for whoever has it to themselves or only reads it. All raise OSError.


def path_of(folder: Path, digest: str) -> Path:
    assert _DIGEST.fullmatch(digest), "a hash becomes part of a path"
    return folder / digest[:2] / digest


def put_all(folder: Path, contents: Iterable[bytes]) -> list[Blob]:
    """Each of them written and synced, then their folders once."""
    made: list[Blob] = []
    for content in contents:
        draft = _FolderDraft(folder)
        try:
            draft.add(content)
            made.append(draft.place())
        finally:
            draft.close()
    if made:  # or there may be no folder yet
        sync_folders(folder, [blob.digest for blob in made])
    return made


def sync_folders(folder: Path, digests: Iterable[str]) -> None:
    """Makes the names of blobs durable."""
    for path in (*sorted({path_of(folder, digest).parent for digest in digests}), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def state_of(folder: Path, digest: str) -> State:
    """Reads a blob, and says how it is."""
    try:
        with path_of(folder, digest).open("rb") as file:
            hashed = sha256()
            while _next_piece(file, hashed.update):
                pass
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"
    return "good" if hashed.hexdigest() == digest else "damaged"


def stored(folder: Path) -> Iterator[Path]:
    """The files of all blobs."""
    for path in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        if _DIGEST.fullmatch(path.name):
            yield path


def copy_blobs(source: Path, target: Path, digests: Iterable[str]) -> list[str]:
    """Copies blobs to another folder, synced; returns those that are not there or damaged, and were left out."""
    left: list[str] = []
    copied: list[str] = []
    for digest in digests:
        draft = _FolderDraft(target)
        try:
            with path_of(source, digest).open("rb") as file:
                while piece := file.read(PIECE):
                    draft.add(piece)
            if draft.digest == digest:
                draft.place()
                copied.append(digest)
            else:
                left.append(digest)
        except FileNotFoundError:
            left.append(digest)
        finally:
            draft.close()
    if copied:
        sync_folders(target, copied)
    return left


def drop_drafts(folder: Path) -> None:
    """Removes what was being written when a server ended; there must be none that writes."""
    for path in folder.glob(f"{_DRAFT}*"):
        path.unlink(missing_ok=True)


def _next_piece(file: BinaryIO, hashed: Callable[[bytes], None]) -> bytes:
    piece = file.read(PIECE)
    hashed(piece)
    return piece


def _on_disk(work: Callable[[], _T]) -> _T:
    """Raises StorageError."""
    try:
        return work()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("there is no room left on the disk") from error
        raise StorageError(f"a blob cannot be written: {error.strerror}") from error


def unreadable(digest: str, state: State) -> CoscribeError:
    """What whoever asked for a blob is told."""
    metrics.unreadable_blobs.labels(state).inc()
    return CoscribeError(Code.FILE_DAMAGED, f"the content {digest} is {state}")
