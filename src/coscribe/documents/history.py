"""History: the log of a file, read back by those who may see the past.

    sessions     who edited, from when to when            backwards, newest first, so many log rows a page
    operations   each edit with what it deleted           forwards, for playing it like a film in both directions
    blame        who wrote what of the text               forwards, kept and taken further (`blame`)
    log          every entry as it is stored              forwards, for verifying it elsewhere

All of it reads what is durable, a page at a time. Whatever takes long runs in threads, and gives way between pages:
somebody types meanwhile. Everything is asked for by version: so it is the same for a document and for a text of a tree,
between whose entries in the log there are those of others. `log` is for documents.

A log that was pruned begins with its checkpoint, and so does all of this: what was before is ``history_pruned``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import msgspec

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Component, Delete
from coscribe.documents.blame import PAUSE, Attributions, Run
from coscribe.documents.collaboration import Collaboration, Durable
from coscribe.documents.past import changes_between, components_of
from coscribe.documents.ports import Identity, OpLog
from coscribe.model import LogEntry, Pruned

PAGE = 1_000
"""Log entries read at a time."""

SESSION_ROWS = 20_000
"""Log entries that one page of sessions reads."""

OPERATION_BYTES = 4_000_000
"""Payload of one page of operations, after which it ends early."""

MAX_WAITING = 16
"""Files whose blame may be worked on or waited for at a time, `AT_ONCE` of them worked on."""

AT_ONCE = 2

LOG_FORMAT = "coscribe-log-1"


class EditingSession(NamedTuple):
    """Operations of one author with nobody's between them and pauses below `PAUSE`: they made the text of
    ``to_version`` of that of ``from_version``. Times are microseconds since 1970; ``inserted`` and ``deleted`` code
    points. ``is_cut``: it began earlier, and goes on in the next page."""

    author_ref: int
    from_version: int
    to_version: int
    begun_at: int
    ended_at: int
    operations: int
    inserted: int
    deleted: int
    is_cut: bool = False


class EditingSessions(NamedTuple):
    """The newest first. ``next_before``: the version to ask before for what was earlier; None: nothing was.
    ``oldest_version``: the one that the history begins with; what was before was pruned."""

    items: list[EditingSession]
    next_before: int | None
    oldest_version: int


EditWithDeleted = tuple[int, str, str]
"""Position in the text before, what was deleted there, what was inserted."""


class PastOperation(NamedTuple):
    """An operation that made ``version`` of the version before; ``at`` in microseconds. Edits go from left to right,
    all against the text before."""

    version: int
    sequence: int
    author_ref: int
    at: int
    edits: list[EditWithDeleted]


class PastOperations(NamedTuple):
    """Operations without a gap, oldest first; ``version`` is the present one."""

    items: list[PastOperation]
    version: int


class Blame(NamedTuple):
    """Who wrote what of the text at a version."""

    version: int
    runs: list[Run]


class _LogHead(msgspec.Struct, rename="camel", omit_defaults=True):
    format: str
    document_id: str
    incarnation: str
    sequence: int
    version: int
    chain_hash: str
    pruned_through: int = 0
    pruned_chain_hash: str = ""


class _LogLine(msgspec.Struct, rename="camel"):
    sequence: int
    version: int
    base_version: int
    operation_id: str
    author: str
    author_ref: int
    time: int
    payload: str
    salt: str
    digest: str


class History:
    """Reads what ``collaboration`` has written into ``op_log``. All errors: those of `Collaboration.durable`,
    ``file_damaged``, ``base_version_future`` for a version that is not there yet, ``history_pruned`` for one that is
    not there any more. Raises StorageError."""

    def __init__(self, collaboration: Collaboration, op_log: OpLog) -> None:
        self._collaboration = collaboration
        self._op_log = op_log
        self._kept = Attributions()
        self._under_way: dict[int, asyncio.Future[None]] = {}
        self._waiting = 0
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def sessions(self, identity: Identity, file_id: str, before: int | None, limit: int) -> EditingSessions:
        """The last ``limit`` editing sessions that led to the version ``before`` (None: the present one)."""
        at, pruned = await self._at(identity, file_id)
        oldest = _oldest(at, pruned)
        version = _existing(at, pruned, before)
        found: list[EditingSession] = []
        budget = SESSION_ROWS
        while version > oldest and len(found) <= limit and (budget > 0 or not found):
            low = max(oldest, version - min(PAGE, max(budget, 1)))
            rows = await self._changes(at, low, version)
            await asyncio.to_thread(_gather, found, rows)
            budget -= version - low
            version = low
        if len(found) > limit:
            del found[limit:]
        elif version > oldest and len(found) > 1:
            del found[-1]  # it goes on in what was not read; the next page has the whole of it
        elif version > oldest and found:
            found[0] = found[0]._replace(is_cut=True)
        earliest = found[-1].from_version if found else oldest
        return EditingSessions(found, earliest if earliest > oldest else None, oldest)

    async def operations(self, identity: Identity, file_id: str, after: int, limit: int) -> PastOperations:
        """At most ``limit`` operations that followed the version ``after``; fewer where they are long."""
        at, pruned = await self._at(identity, file_id)
        version = _existing(at, pruned, after)
        found: list[PastOperation] = []
        size = 0
        while version < at.version and len(found) < limit and size < OPERATION_BYTES:
            rows = await self._changes(at, version, min(at.version, version + min(PAGE, limit - len(found))))
            changes: list[LogEntry] = []
            for row in rows:
                if size < OPERATION_BYTES:
                    version = row.version
                    size += len(row.payload)
                    changes.append(row)
            found += await asyncio.to_thread(lambda: [_past(row) for row in changes])  # noqa: B023  (awaited here)
        return PastOperations(found, at.version)

    async def blame(self, identity: Identity, file_id: str, version: int | None) -> Blame:
        """Who wrote what of the text at ``version`` (None: the present one). What an undo or a restore has brought back
        is by whoever brought it back. Errors: ``overloaded``, too."""
        at, pruned = await self._at(identity, file_id)
        wanted = _existing(at, pruned, version)
        if self._waiting >= MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, "much history is being read just now")
        self._waiting += 1
        try:
            while (under_way := self._under_way.get(at.file_key)) is not None:
                await asyncio.shield(under_way)
            done = self._under_way[at.file_key] = asyncio.get_running_loop().create_future()
            try:
                async with self._slots:
                    return Blame(wanted, await self._attribute(at, pruned, wanted))
            finally:
                del self._under_way[at.file_key]
                done.set_result(None)
        finally:
            self._waiting -= 1

    async def existing(self, identity: Identity, file_id: str, version: int) -> None:
        """Returns where there is such a version."""
        _existing(*await self._at(identity, file_id), version)

    async def log(self, identity: Identity, file_id: str) -> AsyncIterator[bytes]:
        """The log as JSON lines, a page at a time. It ends early, and so with another chain hash than its first line
        says, where the right to see the file ends. The format:

            {"format": "coscribe-log-1", "documentId", "incarnation", "sequence", "version", "chainHash"
             (, "prunedThrough", "prunedChainHash")}
            {"sequence", "version", "baseVersion", "operationId", "author", "authorRef", "time", "payload", "salt",
             "digest"}                                                       one a line, in order, without a gap

        ``payload`` is the stored text, itself JSON: [[retain | inserted | [deleted text], ...], [restored sequence,
        ...]]; ``salt`` and digests are in hex; ``time`` in microseconds since 1970. With digest(0) 32 zero bytes,

            digest(n) = SHA-256(digest(n-1) || metadata || documentId || operationId || SHA-256(salt || payload))

        where metadata is sequence, version, baseVersion and authorRef as unsigned and time as signed 64-bit numbers and
        the lengths of documentId and operationId in bytes as 16-bit numbers, all big-endian; texts are UTF-8. The last
        digest is the first line's ``chainHash``. Of a log that was pruned, the entry behind the sequence
        ``prunedThrough`` is the first one, and hangs on ``prunedChainHash``. Where an entry was redacted the salt is 48
        bytes: SHA-256(salt || payload) as it was committed, and another salt.
        """
        at, pruned = await self._at(identity, file_id)
        return self._lines(identity, file_id, at, pruned)

    async def _lines(self, identity: Identity, file_id: str, at: Durable, pruned: Pruned) -> AsyncIterator[bytes]:
        head = _LogHead(LOG_FORMAT, file_id, at.incarnation, at.sequence, at.version, at.chain_hash.hex())
        if pruned.sequence:
            head.pruned_through, head.pruned_chain_hash = pruned.sequence, pruned.chain_hash.hex()
        yield msgspec.json.encode(head) + b"\n"
        for after in range(pruned.sequence, at.sequence, PAGE):
            rows = await self._rows(at, after, min(at.sequence, after + PAGE))
            yield await asyncio.to_thread(_encoded, rows)
            await self._collaboration.durable(identity, file_id)

    async def _at(self, identity: Identity, file_id: str) -> tuple[Durable, Pruned]:
        """How far a file has come, and how much of its log is not there any more."""
        at = await self._collaboration.durable(identity, file_id)
        return at, await self._op_log.pruned(at.workspace_key)

    async def _attribute(self, at: Durable, pruned: Pruned, wanted: int) -> list[Run]:
        checkpoint = await self._op_log.checkpoint(at.workspace_key) if pruned.sequence else None
        begin = None
        if checkpoint is not None:
            file = checkpoint.file(at.file_key)
            begin = (file.attribution, file.version, checkpoint.sequence)
        kept = self._kept.begin(at.file_key, wanted, present=wanted == at.version, checkpoint=begin)
        while kept.version < wanted:
            await asyncio.to_thread(kept.take, await self._changes(at, kept.version, min(wanted, kept.version + PAGE)))
        runs = await asyncio.to_thread(kept.runs)
        self._kept.keep(at.file_key, kept)
        return runs

    async def _changes(self, at: Durable, low: int, high: int) -> list[LogEntry]:
        """The entries that made the versions behind ``low``, up to ``high``. Those that came to nothing are passed
        over."""
        found = await changes_between(self._op_log, at.workspace_key, at.file_key, low, high, at.sequence)
        if [row.version for row in found] != list(range(low + 1, high + 1)):
            raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks versions between {low} and {high}")
        return found

    async def _rows(self, at: Durable, after: int, through: int) -> list[LogEntry]:
        """All entries after < sequence <= through."""
        rows = await self._op_log.read(at.workspace_key, after, through=through, limit=through - after)
        if [row.sequence for row in rows] != list(range(after + 1, through + 1)):
            raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks entries between {after} and {through}")
        return rows


def _oldest(at: Durable, pruned: Pruned) -> int:
    """The version that the history begins with."""
    return pruned.versions.get(at.file_key, 0)


def _existing(at: Durable, pruned: Pruned, version: int | None) -> int:
    """Errors: ``base_version_future``, ``history_pruned``."""
    wanted, oldest = at.version if version is None else version, _oldest(at, pruned)
    if not 0 <= wanted <= at.version:
        raise CoscribeError(Code.BASE_VERSION_FUTURE, f"there is no version {wanted}")
    if wanted < oldest:
        raise CoscribeError(Code.HISTORY_PRUNED, f"version {wanted} was deleted; the history begins at {oldest}")
    return wanted


def _gather(found: list[EditingSession], rows: Sequence[LogEntry]) -> None:
    """Adds the operations of a page, the last one first, to the sessions found so far, of which the last may go on."""
    for row in reversed(rows):
        parts = components_of(row)
        inserted = sum(len(part) for part in parts if isinstance(part, str))
        deleted = sum(part.size for part in parts if isinstance(part, Delete))
        if not inserted and not deleted:
            continue
        later = found[-1] if found else None
        if later is not None and later.author_ref == row.author_ref and later.begun_at - row.time < PAUSE:
            found[-1] = later._replace(
                from_version=row.version - 1,
                begun_at=row.time,
                operations=later.operations + 1,
                inserted=later.inserted + inserted,
                deleted=later.deleted + deleted,
            )
        else:
            found.append(
                EditingSession(row.author_ref, row.version - 1, row.version, row.time, row.time, 1, inserted, deleted)
            )


def _past(row: LogEntry) -> PastOperation:
    return PastOperation(row.version, row.sequence, row.author_ref, row.time, _edits(components_of(row)))


def _edits(parts: Sequence[Component]) -> list[EditWithDeleted]:
    """Components as edits: an insert and a delete that touch are one."""
    edits: list[EditWithDeleted] = []
    position = 0
    inserted = deleted = ""
    for part in (*parts, 0):
        if isinstance(part, str):
            inserted += part
        elif isinstance(part, Delete):
            deleted += part.text or ""
        else:
            if inserted or deleted:
                edits.append((position, deleted, inserted))
            position += len(deleted) + part
            inserted = deleted = ""
    return edits


def _encoded(rows: Sequence[LogEntry]) -> bytes:
    return b"".join(
        msgspec.json.encode(
            _LogLine(
                row.sequence,
                row.version,
                row.base_version,
                row.operation_id,
                row.author,
                row.author_ref,
                row.time,
                row.payload.decode(),
                row.salt.hex(),
                row.digest.hex(),
            )
        )
        + b"\n"
        for row in rows
    )
