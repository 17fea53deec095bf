"""Blobs in a PostgreSQL, which instances share: a row that says what it is, and pieces of its content.

    stored_blobs  key, hash, size, who put it     without a hash: being written
    blob_pieces   key, start -> bytes

As in a folder, what is put a second time is written a second time, in place of the first. Whoever reads meanwhile
goes on in the new one: it is the same content.

**Removing.** Each instance knows what it is about to name in a log (`documents.blobs.Blobs`), and nothing of what
others are about to name. So an instance removes at once only what nobody but itself has put, and what has been there
for `HELD_SECONDS`: whoever put it has named it by then, or does so no more. All else is marked, and removed by `sweep`
when its time has come and no log refers to it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from hashlib import sha256

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    cast,
    delete,
    exists,
    extract,
    func,
    insert,
    select,
    text,
    update,
)

from coscribe.core.errors import CoscribeError
from coscribe.documents.ports import Blob, StorageError
from coscribe.metrics import metrics
from coscribe.persistence.blobs import PIECE, State, unreadable
from coscribe.persistence.database import ANSWER_SECONDS, Lane
from coscribe.persistence.engines import postgres_engine
from coscribe.persistence.schema import blob_pieces, file_blobs, stored_blobs

HELD_SECONDS = 3_600
"""For so long whoever has put a blob may take to name it in a log."""

DRAFT_SECONDS = 86_400
"""A draft that is older is one of an instance that has ended. No upload takes as long."""

SWEPT_AT_ONCE = 100
"""Blobs that go in one transaction."""

CONNECTIONS = 2

_ROW, _PIECE = stored_blobs.c, blob_pieces.c

MICROSECONDS = 1_000_000

_NOW = cast(extract("epoch", func.clock_timestamp()) * MICROSECONDS, BigInteger)
"""Microseconds by the clock of the database: those of instances differ."""

_LONG_THERE = _ROW.stored_at < _NOW - HELD_SECONDS * MICROSECONDS
_IS_NAMED = exists().where(file_blobs.c.hash == _ROW.hash)

_LOCK = text(
    "SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(CAST(:keys AS bigint[])) AS key ORDER BY 1) AS keys"
)


class PostgresBlobs:
    """A `BlobStore` in a database (``postgresql://...``) whose schema is up to date."""

    def __init__(self, url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lane = Lane(
            postgres_engine(url, CONNECTIONS), "database-blobs", CONNECTIONS, nullcontext(), ANSWER_SECONDS
        )
        self._me = secrets.token_hex(8)
        self._monotonic = monotonic
        self._sweep_at = monotonic()

    async def put(self, contents: Sequence[bytes]) -> list[Blob]:
        await self._sweep_now_and_then()
        made = await asyncio.to_thread(lambda: [Blob(sha256(each).hexdigest(), len(each)) for each in contents])
        whole = dict(zip(made, contents, strict=True))

        def job(connection: Connection) -> None:
            shared = _make_room(connection, self._me, [blob.digest for blob in whole])
            for blob, content in whole.items():
                key = _begin(connection)
                _add(connection, key, 0, content)
                _name(connection, key, blob, "" if blob.digest in shared else self._me)

        if whole:
            await self._lane.run(job)
            _count(made)
        return made

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[_Draft]:
        await self._sweep_now_and_then()
        draft = _Draft(self._lane, self._me)
        try:
            yield draft
        finally:
            await draft.close()

    async def size(self, digest: str) -> int | None:
        size: int | None = await self._lane.run(
            lambda connection: connection.scalar(select(_ROW.size).where(_ROW.hash == digest))
        )
        return size

    async def read(self, digest: str) -> bytes:
        return b"".join([piece async for piece in self.pieces(digest)])

    async def pieces(self, digest: str) -> AsyncIterator[bytes]:
        size = await self.size(digest)
        if size is None:
            raise unreadable(digest, "missing")
        hashed, start, held = sha256(), 0, b""
        while start < size:
            piece = await self._lane.run(lambda connection, start=start: _piece(connection, _ROW.hash == digest, start))  # type: ignore[misc]  # the default binds the loop's value
            if not piece:
                break
            hashed.update(piece)
            start += len(piece)
            if held:
                yield held
            held = piece
        if hashed.hexdigest() != digest:
            raise unreadable(digest, "damaged")
        if held:
            yield held

    async def remove(self, digest: str) -> None:
        def job(connection: Connection) -> None:
            this = _ROW.hash == digest
            free = (_ROW.put_by == self._me) | _LONG_THERE
            if connection.execute(delete(stored_blobs).where(this, free, ~_IS_NAMED)).rowcount == 0:
                connection.execute(update(stored_blobs).where(this).values(unwanted=True))

        await self._lane.run(job)

    async def sweep(self) -> int:
        """Removes what was marked, and drafts of instances that have ended; returns how many. Raises StorageError."""
        count = 0
        while True:
            swept = await self._lane.run(_sweep)
            count += swept
            if swept < SWEPT_AT_ONCE:
                return count

    async def _sweep_now_and_then(self) -> None:
        """Once in `HELD_SECONDS`, the first time as soon as anything is put."""
        if self._monotonic() >= self._sweep_at:
            self._sweep_at = self._monotonic() + HELD_SECONDS
            await self.sweep()

    async def close(self) -> None:
        await self._lane.close()


class _Draft:
    """In memory up to a piece; what is longer is in the database, nameless."""

    def __init__(self, lane: Lane, me: str) -> None:
        self._lane = lane
        self._me = me
        self._hashed = sha256()
        self._key: int | None = None
        self._stored = 0
        self._rest = bytearray()

    @property
    def size(self) -> int:
        return self._stored + len(self._rest)

    @property
    def digest(self) -> str:
        return self._hashed.hexdigest()

    async def write(self, piece: bytes) -> None:
        self._hashed.update(piece)
        self._rest += piece
        whole = bytes(self._rest[: len(self._rest) // PIECE * PIECE])
        if whole:
            self._key = await self._lane.run(lambda connection: self._store(connection, whole))
            self._stored += len(whole)
            del self._rest[: len(whole)]

    def _store(self, connection: Connection, content: bytes) -> int:
        key = self._key or _begin(connection)
        _add(connection, key, self._stored, content)
        return key

    async def content(self, most: int = -1) -> bytes:
        most = self.size if most < 0 else most
        found = b""
        while len(found) < min(most, self._stored):
            this, start = _ROW.blob_key == self._key, len(found)
            found += await self._lane.run(lambda connection, this=this, start=start: _piece(connection, this, start))  # type: ignore[misc]  # the defaults bind the loop's values
        return (found + self._rest)[:most]

    async def keep(self) -> Blob:
        blob = Blob(self.digest, self.size)

        def job(connection: Connection) -> None:
            shared = _make_room(connection, self._me, [blob.digest])
            key = self._store(connection, bytes(self._rest))
            _name(connection, key, blob, "" if shared else self._me)

        await self._lane.run(job)
        self._key = None
        _count([blob])
        return blob

    async def close(self) -> None:
        """Nothing is left of it, unless it was kept."""
        key, self._key = self._key, None
        if key is not None:
            nameless = delete(stored_blobs).where(_ROW.blob_key == key, _ROW.hash.is_(None))
            with suppress(StorageError, CoscribeError):  # then it is swept
                await self._lane.run(lambda connection: connection.execute(nameless))


# ---- in a transaction


def _begin(connection: Connection) -> int:
    made = insert(stored_blobs).values(size=0, put_by="", stored_at=_NOW).returning(_ROW.blob_key)
    return int(connection.execute(made).scalar_one())


def _add(connection: Connection, key: int, start: int, content: bytes) -> None:
    for offset in range(0, len(content), PIECE):
        piece = {"blob_key": key, "start": start + offset, "content": content[offset : offset + PIECE]}
        connection.execute(insert(blob_pieces).values(**piece))


def _make_room(connection: Connection, me: str, digests: Sequence[str]) -> set[str]:
    """Takes away what has these hashes, for something new; returns those that somebody else has put, too.

    Until the end of the transaction nobody else puts them.
    """
    locks = [int(digest[:16], 16) - 2**63 for digest in digests]
    connection.execute(_LOCK, {"keys": locks})
    gone = delete(stored_blobs).where(_ROW.hash.in_(digests)).returning(_ROW.hash, _ROW.put_by)
    return {row.hash for row in connection.execute(gone) if row.put_by != me}


def _name(connection: Connection, key: int, blob: Blob, put_by: str) -> None:
    values = {"hash": blob.digest, "size": blob.size, "put_by": put_by, "stored_at": _NOW}
    if connection.execute(update(stored_blobs).where(_ROW.blob_key == key).values(**values)).rowcount == 0:
        raise StorageError("the draft is no longer there")


def _piece(connection: Connection, this: ColumnElement[bool], start: int) -> bytes:
    """From a place on, as much as there is in one piece; nothing where nothing is."""
    of_blob = _PIECE.blob_key.in_(select(_ROW.blob_key).where(this))
    found = connection.execute(
        select(_PIECE.start, _PIECE.content)
        .where(of_blob, _PIECE.start <= start)
        .order_by(_PIECE.start.desc())
        .limit(1)
    ).first()
    return b"" if found is None else found.content[start - found.start :]


def state_in(connection: Connection, digest: str) -> State:
    """Reads a blob as a transaction sees it, and says how it is."""
    this = _ROW.hash == digest
    size = connection.scalar(select(_ROW.size).where(this))
    if size is None:
        return "missing"
    hashed, start = sha256(), 0
    while start < size and (piece := _piece(connection, this, start)):
        hashed.update(piece)
        start += len(piece)
    return "good" if start == size and hashed.hexdigest() == digest else "damaged"


def _sweep(connection: Connection) -> int:
    unwanted = _ROW.unwanted & _LONG_THERE & ~_IS_NAMED
    forgotten = _ROW.hash.is_(None) & (_ROW.stored_at < _NOW - DRAFT_SECONDS * MICROSECONDS)
    some = select(_ROW.blob_key).where(unwanted | forgotten).limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)
    return connection.execute(delete(stored_blobs).where(_ROW.blob_key.in_(some))).rowcount


def _count(blobs: Sequence[Blob]) -> None:
    metrics.blobs.inc(len(blobs))
    metrics.blob_bytes.inc(sum(blob.size for blob in blobs))
