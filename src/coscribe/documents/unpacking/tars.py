"""Reading a tar, squeezed by gzip or not, from front to back.

`tarfile` knows the many dialects. It is given a stream that cannot go back, and that counts: what describes an entry
may be so long and no longer, and all of it so long. What it would pass over in silence, as if the archive ended there,
is an error here: an archive ends with its mark for the end.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Protocol, cast

from coscribe.documents.unpacking.intake import PIECE, Described, Intake, refusal

MAX_MEMBERS = 100_000
"""Of a file that several files squeezed by gzip were joined to."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_tar(archive: BinaryIO, intake: Intake, *, is_squeezed: bool) -> None:
    meter = _Meter(_Gunzip(archive) if is_squeezed else archive, intake)
    last = b""
    try:
        with tarfile.open(
            fileobj=cast(IO[bytes], meter), mode="r|", tarinfo=_Info, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            meter.allow(0)
            while (info := tar.next()) is not None:
                last = _bytes(info.name)
                entry = _described(info)
                intake.add(entry, _pieces(tar, info, entry, meter))
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all; typeshed leaves it out
                meter.allow(0)
        meter.drain()
    except (tarfile.TarError, ValueError, OverflowError, EOFError, zlib.error, RecursionError) as error:
        raise refusal("damaged", str(error)[:100] or type(error).__name__, entry=last) from None


class _Info(tarfile.TarInfo):
    """Tells the mark for the end from what cannot be read."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Info:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
            raise
        except tarfile.HeaderError as error:
            raise ValueError(str(error)) from None


def _described(info: tarfile.TarInfo) -> Described:
    name = _bytes(info.name)
    if info.islnk():
        raise refusal("hard_link", entry=name)
    if info.issparse():
        raise refusal("sparse", entry=name)
    if info.issym():
        return Described(name, "symlink", len(_bytes(info.linkname)))
    if info.isdir():
        return Described(name, "directory", 0)
    if not info.isreg():
        raise refusal("special", entry=name)
    if info.size < 0:
        raise refusal("size", entry=name)
    return Described(name, "file", info.size, bool(info.mode & 0o100))


def _pieces(tar: tarfile.TarFile, info: tarfile.TarInfo, entry: Described, meter: _Meter) -> Iterator[bytes]:
    if entry.kind == "symlink":
        yield _bytes(info.linkname)
        return
    meter.allow(info.size)
    content = tar.extractfile(info)
    assert content is not None, "it is a regular file"
    while piece := content.read(PIECE):
        yield piece


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class _Meter:
    """What `tarfile` reads from. It refuses what comes to too much, at once or in all."""

    def __init__(self, source: _Source, intake: Intake) -> None:
        self._source = source
        self._intake = intake
        self._left = intake.bounds.head_bytes
        self._total = 0

    def allow(self, size: int) -> None:
        """The next so many bytes are a content."""
        self._left = size + self._intake.bounds.head_bytes

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            raise refusal("head_bytes")
        piece = self._source.read(min(size, PIECE))
        self._left -= len(piece)
        self._total += len(piece)
        self._intake.check_total(self._total)
        return piece

    def drain(self) -> None:
        """What follows the end is padding; read for the checksum of what squeezed it."""
        self.allow(0)
        while self.read(PIECE):
            pass


class _Gunzip:
    """What gzip has squeezed, a piece at a time: `gzip` would take any time for a head that is long."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._held = b""
        self._members = 1

    def read(self, size: int) -> bytes:
        while True:
            if self._inflate.eof and not self._next_member():
                return b""
            self._held = self._held or self._source.read(PIECE)
            if not self._held:
                raise refusal("damaged", "it ends in the middle")
            piece = self._inflate.decompress(self._held, size)
            self._held = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if piece:
                return piece

    def _next_member(self) -> bool:
        """Zeros at the end are padding."""
        self._held = (self._held or self._source.read(PIECE)).lstrip(b"\0")
        while not self._held:
            more = self._source.read(PIECE)
            if not more:
                return False
            self._held = more.lstrip(b"\0")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise refusal("damaged", "it is in too many parts")
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True
