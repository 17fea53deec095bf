"""Archives as nobody should make them, byte by byte."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Sequence
from typing import NamedTuple


class Member(NamedTuple):
    """Of a zip. ``crc``, ``size``, ``packed``: as said where it is not as it is; ``local_name``: before the content."""

    name: bytes
    content: bytes = b""
    mode: int = 0o100644
    method: int = 8
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    raw: bytes | None = None
    system: int = 3
    offset: int | None = None


def zipped(*members: Member, between: bytes = b"", count: int | None = None) -> bytes:
    out, directory = bytearray(), bytearray()
    for member in members:
        raw = member.raw
        if raw is None:
            raw = deflated(member.content) if member.method == 8 else member.content
        crc = zlib.crc32(member.content) if member.crc is None else member.crc
        size = len(member.content) if member.size is None else member.size
        local_name = member.name if member.local_name is None else member.local_name
        local_size = size if member.local_size is None else member.local_size
        offset = len(out) if member.offset is None else member.offset
        fields = (member.flags, member.method, 0, 0x21)
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *fields, crc, len(raw), local_size, len(local_name), 0)
        out += local_name + raw
        directory += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", member.system << 8 | 20, 20, *fields, crc, len(raw), size),
            *(len(member.name), 0, 0, 0, 0, member.mode << 16, offset),
        )
        directory += member.name
    out += between
    number = len(members) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), len(out), 0)
    return bytes(out + directory + end)


def deflated(content: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(content) + squeeze.flush()


def info(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for member, content in members:
            if content:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def tar_of(names: Sequence[str]) -> bytes:
    return tarred(*((info(name), b"x") for name in names))


def squeezed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
