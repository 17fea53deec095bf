"""Files as an archive, zip or tar.gz, made as it is sent: nothing but the file that is in hand is in memory.

The same files give the same bytes: times, owners and the order are not those of the machine. Links are stored as links
and never followed. Names come from a tree, which has no ``..``, no slash and no NUL in them; in a zip a backslash,
which some programs take for a slash, is written as ``%5C``.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Mapping
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import IO, Literal, NamedTuple, Protocol, cast

Format = Literal["zip", "tar.gz"]

LEVEL = 6
"""Of compression."""

FIRST_ZIP_YEAR = 1980


class Archived(NamedTuple):
    """One thing in an archive. ``kind`` and ``properties`` as in a tree; ``content``: of a link its target."""

    path: str
    kind: str
    content: bytes
    properties: Mapping[str, str]


class _Writer(Protocol):
    def add(self, file: Archived) -> bytes:
        """The bytes that come next."""
        ...

    def end(self) -> bytes: ...


async def archive(form: Format, files: AsyncIterator[Archived], modified: int) -> AsyncIterator[bytes]:
    """The archive in pieces. ``modified``: the time of everything in it, in seconds since 1970."""
    writer: _Writer = _Zip(modified) if form == "zip" else _Tar(modified)
    async for file in files:
        piece = await asyncio.to_thread(writer.add, file)
        if piece:
            yield piece
    yield await asyncio.to_thread(writer.end)


class _Sink(io.RawIOBase):
    """What was written and not been taken yet. It cannot go back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(cast(bytes, data))
        self._written += piece
        return len(piece)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Zip:
    def __init__(self, modified: int) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._sink), "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        moment = time.gmtime(modified)[:6]
        self._time = moment if moment[0] >= FIRST_ZIP_YEAR else (FIRST_ZIP_YEAR, 1, 1, 0, 0, 0)

    def add(self, file: Archived) -> bytes:
        is_folder = file.kind == "directory"
        info = zipfile.ZipInfo(file.path.replace("\\", "%5C") + ("/" if is_folder else ""), self._time)
        info.create_system = 3  # the attributes are those of Unix
        info.external_attr = _mode(file) << 16 | (0x10 if is_folder else 0)
        info.compress_type = zipfile.ZIP_STORED if is_folder else zipfile.ZIP_DEFLATED
        self._zip.writestr(info, file.content)
        return self._sink.take()

    def end(self) -> bytes:
        self._zip.close()
        return self._sink.take()


class _Tar:
    def __init__(self, modified: int) -> None:
        self._sink = _Sink()
        self._tar = tarfile.open(fileobj=self._sink, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115  (see end)
        self._squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # with gzip's head, without a time
        self._modified = modified

    def add(self, file: Archived) -> bytes:
        info = tarfile.TarInfo(file.path)
        info.mtime = self._modified
        info.mode = _mode(file) & 0o777
        content = b""
        if file.kind == "directory":
            info.type = tarfile.DIRTYPE
        elif file.kind == "symlink":
            info.type, info.linkname = tarfile.SYMTYPE, file.content.decode()
        else:
            info.size, content = len(file.content), file.content
        self._tar.addfile(info, io.BytesIO(content))
        return self._squeeze.compress(self._sink.take())

    def end(self) -> bytes:
        self._tar.close()
        return self._squeeze.compress(self._sink.take()) + self._squeeze.flush()


def _mode(file: Archived) -> int:
    """Type and permissions as Unix has them."""
    if file.kind == "symlink":
        return S_IFLNK | 0o777
    if file.kind == "directory":
        return S_IFDIR | int(file.properties.get("mode", "755"), 8)
    return S_IFREG | int(file.properties.get("mode", "644"), 8)
