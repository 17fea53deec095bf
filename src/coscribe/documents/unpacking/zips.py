"""Reading a zip.

A zip says everything twice, before each entry and in the directory at its end, and programs differ in which they take.
Here both have to say the same, no byte may belong to two entries, and a content is as long as it says: what another
program would unpack is what is judged here. (`zipfile` reads the whole directory before it can be counted, and stops
reading a content where its length says.)

    entry: local head, name, extra, content | entry ... | directory: head, name, extra, comment ... | [64-bit end] | end
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from coscribe.documents.unpacking.intake import PIECE, Described, Intake, refusal

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")

_MAX_COMMENT = 65_535
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
"""Of a number: that it is in the 64-bit part."""

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_BEHIND = 0x0008
_STORED, _DEFLATED = 0, 8
_UNIX = (3, 19)
"""Systems whose attributes are those of Unix."""

_DOS_FOLDER = 0x10
_EXTRA64 = 0x0001


class _Directory(NamedTuple):
    offset: int
    end: int
    entries: int


class _Entry(NamedTuple):
    name: bytes
    made_by: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int


def read_zip(archive: BinaryIO, length: int, intake: Intake) -> None:
    try:
        directory = _directory(archive, length)
        if directory.entries > intake.bounds.entries:
            raise refusal("entries", f"{directory.entries}, at most {intake.bounds.entries}")
        entries = list(_entries(archive, directory))
        starts = _starts(archive, directory, entries)
        for entry, start in zip(entries, starts, strict=True):
            intake.add(_described(entry), _content(archive, entry, start))
    except struct.error:
        raise refusal("damaged", "it ends in the middle") from None


def _directory(archive: BinaryIO, length: int) -> _Directory:
    """Where the directory is, by the end of the archive that nothing follows."""
    tail_start = max(0, length - _END.size - _MAX_COMMENT)
    tail = _read(archive, tail_start, length - tail_start)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + _END.size <= len(tail):
            _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
    else:
        raise refusal("damaged", "its directory is missing")
    end = tail_start + at
    if _FULL16 in (here, count) or _FULL32 in (size, offset):
        end, disk, first_disk, here, count, size, offset = _directory64(archive, end)
    if disk or first_disk or here != count or offset + size != end:
        raise refusal("damaged", "its directory is not where it says")
    return _Directory(offset, end, count)


def _directory64(archive: BinaryIO, end: int) -> tuple[int, int, int, int, int, int, int]:
    locator = _read(archive, end - _LOCATOR.size, _LOCATOR.size)
    sign, _, at, _ = _LOCATOR.unpack(locator)
    if sign != b"PK\x06\x07" or at + _END64.size > end:
        raise refusal("damaged", "its directory is missing")
    sign, _, _, _, disk, first_disk, here, count, size, offset = _END64.unpack(_read(archive, at, _END64.size))
    if sign != b"PK\x06\x06":
        raise refusal("damaged", "its directory is missing")
    return at, disk, first_disk, here, count, size, offset


def _entries(archive: BinaryIO, directory: _Directory) -> Iterator[_Entry]:
    at = directory.offset
    for _ in range(directory.entries):
        head = _CENTRAL.unpack(_read(archive, at, _CENTRAL.size))
        (
            sign,
            made_by,
            _,
            flags,
            method,
            _,
            _,
            crc,
            packed,
            size,
            names,
            extras,
            comments,
            disk,
            _,
            attributes,
            offset,
        ) = head
        rest = _read(archive, at + _CENTRAL.size, names + extras + comments)
        at += _CENTRAL.size + len(rest)
        name = rest[:names]
        if sign != b"PK\x01\x02" or disk not in (0, _FULL16) or at > directory.end:
            raise refusal("damaged", "its directory is", entry=name)
        size, packed, offset = _wide(rest[names : names + extras], [size, packed, offset], name)
        yield _Entry(name, made_by, flags, method, crc, packed, size, attributes, offset)
    if at != directory.end:
        raise refusal("damaged", "there is more in its directory than it says")


def _wide(extra: bytes, numbers: list[int], name: bytes) -> list[int]:
    """The numbers, those that are too large for their place from the 64-bit part."""
    missing = [place for place, number in enumerate(numbers) if number == _FULL32]
    while missing and len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == _EXTRA64:
            if size < 8 * len(missing) or len(extra) < 4 + size:
                break
            for place, number in zip(missing, struct.unpack_from(f"<{len(missing)}Q", extra, 4), strict=True):
                numbers[place] = number
            return numbers
        extra = extra[4 + size :]
    if missing:
        raise refusal("damaged", entry=name)
    return numbers


def _starts(archive: BinaryIO, directory: _Directory, entries: list[_Entry]) -> list[int]:
    """Where each content begins, if no two share a byte and what stands before each is what the directory says."""
    starts = [0] * len(entries)
    free = 0
    for place in sorted(range(len(entries)), key=lambda place: entries[place].offset):
        entry = entries[place]
        if entry.offset < free:
            raise refusal("overlap", entry=entry.name)
        if entry.offset + _LOCAL.size > directory.offset:
            raise refusal("damaged", entry=entry.name)
        head = _LOCAL.unpack(_read(archive, entry.offset, _LOCAL.size))
        sign, _, flags, method, _, _, crc, packed, size, names, extras = head
        if sign != b"PK\x03\x04":
            raise refusal("damaged", entry=entry.name)
        if _read(archive, entry.offset + _LOCAL.size, names) != entry.name or method != entry.method:
            raise refusal("damaged", "it is called something else in the directory", entry=entry.name)
        if flags & _ENCRYPTED:
            raise refusal("encrypted", entry=entry.name)
        said = [(size, entry.size), (packed, entry.packed), (crc, entry.crc)]
        if not flags & _SIZES_BEHIND and any(here not in (there, _FULL32) for here, there in said):
            raise refusal("size", entry=entry.name)
        starts[place] = entry.offset + _LOCAL.size + names + extras
        free = starts[place] + entry.packed
        if free > directory.offset:
            raise refusal("overlap", entry=entry.name)
    return starts


def _described(entry: _Entry) -> Described:
    if entry.flags & _ENCRYPTED:
        raise refusal("encrypted", entry=entry.name)
    mode = entry.attributes >> 16 if entry.made_by >> 8 in _UNIX else 0
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise refusal("special", entry=entry.name)
    if entry.method not in (_STORED, _DEFLATED):
        raise refusal("packing", entry=entry.name)
    if entry.name.endswith(b"/") or kind == stat.S_IFDIR or (not kind and entry.attributes & _DOS_FOLDER):
        if entry.size:
            raise refusal("size", entry=entry.name)
        return Described(entry.name, "directory", 0)
    if kind == stat.S_IFLNK:
        return Described(entry.name, "symlink", entry.size)
    return Described(entry.name, "file", entry.size, bool(mode & 0o100))


def _content(archive: BinaryIO, entry: _Entry, start: int) -> Iterator[bytes]:
    raw = _raw(archive, start, entry.packed)
    crc = 0
    for piece in raw if entry.method == _STORED else _inflated(raw, entry.name):
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != entry.crc:
        raise refusal("damaged", "its checksum is another", entry=entry.name)


def _raw(archive: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    for at in range(start, start + length, PIECE):
        yield _read(archive, at, min(PIECE, start + length - at))


def _inflated(raw: Iterator[bytes], name: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for held in raw:
            if inflate.eof:
                raise refusal("size", entry=name)
            while True:
                piece = inflate.decompress(held, PIECE)
                held = inflate.unconsumed_tail
                if piece:
                    yield piece
                elif not held or inflate.eof:
                    break
    except zlib.error:
        raise refusal("damaged", entry=name) from None
    if not inflate.eof or inflate.unused_data:
        raise refusal("size", entry=name)


def _read(archive: BinaryIO, at: int, size: int) -> bytes:
    if at < 0:
        raise refusal("damaged", "it ends in the middle")
    archive.seek(at)
    found = archive.read(size)
    if len(found) < size:
        raise refusal("damaged", "it ends in the middle")
    return found
