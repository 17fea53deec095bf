"""A segment: a closed part of one log, compressed, and the proof that it is whole.

    rows --columns--> MessagePack --zlib--> content       checksum = SHA-256(where it belongs || content)

Nothing of an entry is left out or made anew: what is unpacked equals the rows that were packed, byte for byte. (Only a
segment that is pruned loses all but its ids: `strip`.) Entries are kept column by column, numbers as differences, so
that what is alike lies side by side; salts and digests, 64 bytes of an entry that no method makes shorter, are stored
as they are by any. No I/O here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from coscribe.core.dedup import join_id
from coscribe.model import link

ZLIB = 1
"""Whole entries."""

IDS = 2
"""What is left of entries that were pruned: file, version, id, author and request; the rest is empty."""

LEVEL = 1
"""Higher ones take two to three times as long and save one byte in a hundred; so do other methods, which save five."""

ROW_OVERHEAD = 30
"""Bytes of a row beside its text and bytes: numbers, the lengths of its fields, its share of the page."""


class Row(NamedTuple):
    """An entry as the log's table has it, without the workspace; the author by reference only."""

    sequence: int
    file_key: int
    version: int
    base_version: int
    series: str
    counter: int
    author_ref: int
    request: bytes
    time: int
    payload: bytes
    salt: bytes
    digest: bytes


class FilePart(NamedTuple):
    """What a segment holds of one file."""

    file_key: int
    first_version: int
    last_version: int
    first_sequence: int
    last_sequence: int


class Run(NamedTuple):
    """Ids of one series whose counters follow each other without a gap, both ends included."""

    series: str
    first: int
    last: int


class Packed(NamedTuple):
    """A segment as it is stored. ``chain_hash`` is the digest of its last entry. ``format``: `ZLIB` or `IDS`."""

    workspace_key: int
    first_sequence: int
    last_sequence: int
    entries: int
    chain_hash: bytes
    format: int
    checksum: bytes
    content: bytes


class _Columns(msgspec.Struct, array_like=True, gc=False):
    """Rows by column; ``versions``, ``base_versions``, ``counters`` and ``times`` as differences."""

    file_keys: list[int]
    versions: list[int]
    base_versions: list[int]
    series: list[str]
    counters: list[int]
    author_refs: list[int]
    requests: list[bytes]
    times: list[int]
    payloads: list[bytes]
    salts: list[bytes]
    digests: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Columns).decode
_PLACE = struct.Struct(">QQQQH")


def pack(workspace_key: int, rows: Sequence[Row], previous: bytes, file_ids: Mapping[int, str]) -> Packed:
    """Rows that follow each other, behind an entry with the digest ``previous``, as a segment.

    It has been unpacked again and compared when this returns. Raises ValueError where the rows do not fit their hash
    chain, or would not come back as they are: something is wrong with them, and they are better left alone.
    """
    _check_chain(rows, previous, file_ids)
    first, last, chain_hash = rows[0].sequence, rows[-1].sequence, rows[-1].digest
    content = zlib.compress(_encode(_columns(rows)), LEVEL)
    unsealed = Packed(workspace_key, first, last, len(rows), chain_hash, ZLIB, b"", content)
    packed = unsealed._replace(checksum=_checksum(unsealed))
    if unpack(packed) != list(rows):
        raise ValueError(f"sequences {first} to {last} do not come back from a segment as they are")
    return packed


def strip(packed: Packed, rows: Iterable[Row]) -> Packed:
    """What is left of a segment that is pruned: enough to know each id, by whom it was, and to acknowledge it again."""
    bare = [row._replace(base_version=0, time=0, payload=b"", salt=b"", digest=b"") for row in rows]
    content = zlib.compress(_encode(_columns(bare)), LEVEL)
    unsealed = packed._replace(format=IDS, checksum=b"", content=content)
    return unsealed._replace(checksum=_checksum(unsealed))


def unpack(packed: Packed) -> list[Row]:
    """The rows of a segment. Raises ValueError where it is not as it was written."""
    where = f"the segment of sequences {packed.first_sequence} to {packed.last_sequence}"
    try:
        if packed.format not in (ZLIB, IDS) or _checksum(packed) != packed.checksum:
            raise ValueError(f"{where} does not have its checksum")
        columns = _decode(zlib.decompress(packed.content))
        rows = _rows(columns, packed.first_sequence)
    except (zlib.error, msgspec.DecodeError, struct.error, TypeError) as error:
        raise ValueError(f"{where} cannot be read: {error}") from error
    last_digest = b"" if packed.format == IDS else packed.chain_hash
    if len(rows) != packed.entries or rows[-1].sequence != packed.last_sequence or rows[-1].digest != last_digest:
        raise ValueError(f"{where} does not hold what it says")
    return rows


def runs_of(rows: Iterable[Row]) -> list[Run]:
    """The ids of rows, as few runs as there can be, in order."""
    runs: list[Run] = []
    for series, counter in sorted((row.series, row.counter) for row in rows):
        if runs and runs[-1].series == series and runs[-1].last + 1 == counter:
            runs[-1] = runs[-1]._replace(last=counter)
        else:
            runs.append(Run(series, counter, counter))
    return runs


def files_of(rows: Iterable[Row]) -> list[FilePart]:
    """What rows hold of which file, by file."""
    parts: dict[int, FilePart] = {}
    for row in rows:
        part = parts.get(row.file_key)
        if part is None:
            part = FilePart(row.file_key, row.version, row.version, row.sequence, row.sequence)
        parts[row.file_key] = part._replace(last_version=row.version, last_sequence=row.sequence)
    return [parts[file_key] for file_key in sorted(parts)]


def bytes_of(rows: Iterable[Row]) -> int:
    """About what rows take in the log's table and its index of ids."""
    return sum(
        2 * (len(row.series) + ROW_OVERHEAD) + (len(row.request) + len(row.payload) + len(row.salt) + len(row.digest))
        for row in rows
    )


def _check_chain(rows: Sequence[Row], previous: bytes, file_ids: Mapping[int, str]) -> None:
    for sequence, row in enumerate(rows, rows[0].sequence):
        try:
            digest = link(
                previous,
                sequence,
                row.version,
                row.base_version,
                row.author_ref,
                row.time,
                file_ids[row.file_key].encode(),
                join_id(row.series, row.counter).encode(),
                row.salt,
                row.payload,
            )
        except (KeyError, TypeError, struct.error) as error:
            raise ValueError(f"sequence {row.sequence} is not as an entry is: {error!r}") from error
        if row.sequence != sequence or row.digest != digest:
            raise ValueError(f"sequence {row.sequence} does not fit its hash chain")
        previous = row.digest


def _checksum(packed: Packed) -> bytes:
    place = _PLACE.pack(
        packed.workspace_key, packed.first_sequence, packed.last_sequence, packed.entries, packed.format
    )
    return sha256(place + packed.chain_hash + packed.content).digest()


def _columns(rows: Sequence[Row]) -> _Columns:
    _, file_keys, versions, bases, series, counters, authors, requests, times, payloads, salts, digests = map(
        list, zip(*rows, strict=True)
    )
    return _Columns(
        file_keys,
        _differences(versions),
        _differences(bases),
        series,
        _differences(counters),
        authors,
        requests,
        _differences(times),
        payloads,
        salts,
        digests,
    )


def _rows(columns: _Columns, first: int) -> list[Row]:
    return list(
        map(
            Row,
            range(first, first + len(columns.digests)),
            columns.file_keys,
            accumulate(columns.versions),
            accumulate(columns.base_versions),
            columns.series,
            accumulate(columns.counters),
            columns.author_refs,
            columns.requests,
            accumulate(columns.times),
            columns.payloads,
            columns.salts,
            columns.digests,
        )
    )


def _differences(values: list[int]) -> list[int]:
    return [values[0], *(after - before for before, after in pairwise(values))]
