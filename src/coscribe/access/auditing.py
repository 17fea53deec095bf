"""Signed checkpoints of logs and access events: taken when they are due or asked for, kept, and shown.

What is signed is read from the tables in the transaction that stores it, so it is on disk; nothing waits for the
engine. How checkpoints hang together, and what they prove, is in `documents.proofs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, and_, func, insert, select

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.paging import Page, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.rights import authorise
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.proofs import KEY_FORMAT, AuditCheckpoint, KeyChange, Reached, Redaction, checkpoint_at, fold
from coscribe.metrics import metrics
from coscribe.model import GENESIS
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events, audit_checkpoints, heads, key_changes, redactions, workspaces
from coscribe.persistence.signing import SigningKey

DUE_PAGE = 64
"""Checkpoints that one transaction takes."""


class KeyRing(NamedTuple):
    """``public``: of the key that signs now, in hex; ``changes``: how it came to be that one, oldest first."""

    key_id: str
    public: str
    changes: tuple[KeyChange, ...]


class Audits:
    """``signing_key``: the folder's, made at first use; ``new_key`` and ``replace_key``: how it gets another one.
    ``clock``: microseconds since 1970. ``period``: how old, in microseconds, the newest checkpoint of a log gets before
    it is due for another; 0: only on demand."""

    def __init__(
        self,
        database: Database,
        signing_key: Callable[[], SigningKey],
        new_key: Callable[[], SigningKey],
        replace_key: Callable[[SigningKey], None],
        clock: Callable[[], int],
        period: int,
    ) -> None:
        self._database = database
        self._signing_key = signing_key
        self._new_key = new_key
        self._replace_key = replace_key
        self._clock = clock
        self._period = period

    async def take(self, caller: Caller, workspace_id: str) -> AuditCheckpoint:
        """A checkpoint of how far it has come; where nothing has happened since the newest one, that. Errors: see
        `authorise`."""

        def job(connection: Connection) -> AuditCheckpoint:
            key = authorise(connection, caller, Action.AUDIT_DOCUMENT, workspace_id).document.key
            return self._take(connection, key)

        return await self._database.write(job)

    async def list(self, caller: Caller, workspace_id: str, cursor: str, limit: int) -> Page[AuditCheckpoint]:
        """The newest first. Errors: see `authorise`."""
        key = key_of(cursor, int)

        def job(connection: Connection) -> list[AuditCheckpoint]:
            row = audit_checkpoints.c
            workspace = authorise(connection, caller, Action.SEE_CHECKPOINTS, workspace_id).document.key
            rows = select(row.content).where(row.workspace_key == workspace).order_by(row.number.desc())
            if key is not None:
                rows = rows.where(row.number < key[0])
            return [_read(content) for content in connection.execute(rows.limit(limit + 1)).scalars()]

        return page_of(await self._database.read(job), limit, lambda found: (found.number,))

    async def take_due(self) -> int:
        """Takes the checkpoints that are due, a page in a transaction; returns how many."""
        taken = after = 0
        while self._period:
            before = self._clock() - self._period
            keys = await self._database.read(lambda connection: _due(connection, before, after))  # noqa: B023  (awaited here)
            if not keys:
                break
            await self._database.write(lambda connection: [self._take(connection, key) for key in keys])  # noqa: B023  (likewise)
            taken, after = taken + len(keys), keys[-1]
        return taken

    async def ring(self) -> KeyRing:
        """The key that signs, and those before it."""
        key = self._signing_key()
        return KeyRing(key.key_id, key.public.hex, tuple(await self._database.read(changes_of)))

    async def change_key(self, caller: Caller) -> KeyRing:
        """Signs with a new key from now on; the one before has signed it. Whether the caller may has been asked."""
        before, after = self._signing_key(), self._new_key()
        change = KeyChange(KEY_FORMAT, before.public.hex, after.public.hex, self._clock())
        statement = change.statement()
        change = msgspec.structs.replace(
            change, signature=before.sign(statement).hex(), counter_signature=after.sign(statement).hex()
        )

        def job(connection: Connection) -> None:
            values = {"key_id": after.key_id, "made_at": change.made_at, "content": _written(change)}
            connection.execute(insert(key_changes).values(**values))
            record(connection, by(caller, "checkpoint_key.changed", subject=after.key_id, before=before.key_id))

        # If the server dies in between, it goes on with the key before, which is as good: the new one is never used.
        await self._database.write(job)
        self._replace_key(after)
        return await self.ring()

    def _take(self, connection: Connection, key: int) -> AuditCheckpoint:
        """Of a workspace that is there, or that was deleted a moment ago."""
        before = newest(connection, key)
        reached = _reached(connection, key, before)
        if before is not None and _says_the_same(before, reached):
            return before
        made = checkpoint_at(reached, before, self._clock(), self._signing_key())
        values = {"number": made.number, "sequence": made.sequence, "made_at": made.made_at}
        connection.execute(insert(audit_checkpoints).values(workspace_key=key, content=_written(made), **values))
        metrics.audit_checkpoints.inc()
        return made


def newest(connection: Connection, key: int) -> AuditCheckpoint | None:
    """The newest checkpoint of a workspace."""
    row = audit_checkpoints.c
    content = connection.execute(
        select(row.content).where(row.workspace_key == key).order_by(row.number.desc()).limit(1)
    ).scalar()
    return None if content is None else _read(content)


def changes_of(connection: Connection) -> list[KeyChange]:
    """How the signing key has changed, oldest first."""
    rows = select(key_changes.c.content).order_by(key_changes.c.made_at, key_changes.c.key_id)
    return [msgspec.json.decode(content, type=KeyChange) for content in connection.execute(rows).scalars()]


def _reached(connection: Connection, key: int, before: AuditCheckpoint | None) -> Reached:
    workspace_id, incarnation, sequence, chain_hash = connection.execute(
        select(workspaces.c.workspace_id, workspaces.c.incarnation, heads.c.last_sequence, heads.c.chain_hash)
        .join(heads, heads.c.workspace_key == workspaces.c.workspace_key)
        .where(workspaces.c.workspace_key == key)
    ).one()
    event = access_events.c
    last = connection.execute(select(event.event_id, event.digest).order_by(event.event_id.desc()).limit(1)).first()
    number, event_digest = (0, GENESIS) if last is None else (last.event_id, last.digest)
    count, digest, seen = (0, GENESIS, 0)
    if before is not None:
        count, digest, seen = before.own_events, bytes.fromhex(before.own_digest), before.event
    own = connection.execute(
        select(event.digest).where(event.workspace_id == workspace_id, event.event_id > seen).order_by(event.event_id)
    ).scalars()
    digests = list(own)
    return Reached(
        workspace_id,
        incarnation,
        sequence,
        chain_hash,
        number,
        event_digest,
        count + len(digests),
        fold(digest, digests),
    )


def _says_the_same(checkpoint: AuditCheckpoint, reached: Reached) -> bool:
    """Whether nothing that concerns the workspace has happened since."""
    return (
        checkpoint.sequence == reached.sequence
        and checkpoint.chain_hash == reached.chain_hash.hex()
        and checkpoint.own_events == reached.own_events
        and checkpoint.incarnation == reached.incarnation
    )


def refute_events(
    connection: Connection, workspace_id: str, checkpoints: Iterable[AuditCheckpoint]
) -> Iterator[tuple[AuditCheckpoint, str]]:
    """What is wrong with what checkpoints of a workspace, by the events they name, say of the access events."""
    event = access_events.c
    count, digest, seen = 0, GENESIS, 0
    for checkpoint in checkpoints:
        at = connection.execute(select(event.digest).where(event.event_id == checkpoint.event)).scalar()
        if checkpoint.event and at is None:
            yield checkpoint, f"says that there were {checkpoint.event} access events: their end was cut off"
            continue
        own = select(event.digest).where(
            event.workspace_id == workspace_id, event.event_id > seen, event.event_id <= checkpoint.event
        )
        digests = list(connection.execute(own.order_by(event.event_id)).scalars())
        count, digest, seen = count + len(digests), fold(digest, digests), checkpoint.event
        if (at or GENESIS).hex() != checkpoint.event_digest:
            yield checkpoint, f"access events up to {checkpoint.event} are others than it says"
        elif (count, digest.hex()) != (checkpoint.own_events, checkpoint.own_digest):
            yield checkpoint, "the access events about the workspace are others than it says"


def stored(connection: Connection, key: int) -> list[AuditCheckpoint]:
    """All checkpoints of a workspace, the first one first. Errors: ``file_damaged``."""
    row = audit_checkpoints.c
    rows = select(row.content).where(row.workspace_key == key).order_by(row.number)
    return [_read(content) for content in connection.execute(rows).scalars()]


def redactions_of(connection: Connection, key: int) -> list[Redaction]:
    """What was redacted in a workspace, in the order in which it was. Errors: ``file_damaged``."""
    row = redactions.c
    rows = select(row.content).where(row.workspace_key == key).order_by(row.made_at, row.redaction_id)
    try:
        return [msgspec.json.decode(content, type=Redaction) for content in connection.execute(rows).scalars()]
    except msgspec.MsgspecError as error:
        raise CoscribeError(Code.FILE_DAMAGED, f"a stored redaction cannot be read: {error}") from None


def is_recorded(connection: Connection, redaction: Redaction) -> bool:
    """Whether a redaction is among the access events, as it is."""
    event = access_events.c
    found = connection.execute(
        select(event.detail).where(
            event.workspace_id == redaction.workspace_id,
            event.action == "log.redacted",
            event.subject == redaction.redaction_id,
        )
    ).scalars()
    return any(json.loads(detail).get("digest") == redaction.digest for detail in found)


def _due(connection: Connection, before: int, after: int) -> list[int]:
    """The keys of some workspaces whose log has grown since their newest checkpoint, which was taken ``before``."""
    row, head = audit_checkpoints.c, heads.c
    mine = row.workspace_key == head.workspace_key
    last = select(func.max(row.number)).where(mine).correlate(heads).scalar_subquery()
    rows = (
        select(head.workspace_key)
        .join(workspaces, workspaces.c.workspace_key == head.workspace_key)
        .outerjoin(audit_checkpoints, and_(mine, row.number == last))
        .where(
            head.workspace_key > after,
            workspaces.c.status != "deleted",
            head.last_sequence > func.coalesce(row.sequence, 0),
            func.coalesce(row.made_at, workspaces.c.created_at) <= before,
        )
        .order_by(head.workspace_key)
        .limit(DUE_PAGE)
    )
    return list(connection.execute(rows).scalars())


def _read(content: str) -> AuditCheckpoint:
    try:
        return msgspec.json.decode(content, type=AuditCheckpoint)
    except msgspec.MsgspecError as error:
        raise CoscribeError(Code.FILE_DAMAGED, f"a stored audit checkpoint cannot be read: {error}") from None


def _written(signed: AuditCheckpoint | KeyChange) -> str:
    return msgspec.json.encode(signed).decode()
