"""Audit bundles of what is stored: read page by page, and sent while they are read. See `documents.bundle`."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from coscribe.access.auditing import Audits, changes_of, redactions_of, stored
from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.policy import Action
from coscribe.access.rights import authorise
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.bundle import (
    FORMAT,
    CheckpointLine,
    Event,
    Head,
    KeyLine,
    RedactionLine,
    State,
    Writer,
    begin_line,
    entry_line,
    state_line,
)
from coscribe.documents.ports import OpLog
from coscribe.documents.proofs import AuditCheckpoint, KeyChange, Redaction
from coscribe.model import GENESIS, FileSnapshot
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events, file_snapshots, files, workspaces
from coscribe.persistence.signing import SigningKey

PAGE = 500
"""Entries, or events, that are read at a time."""


class _Stored(NamedTuple):
    """A snapshot that may go into a bundle."""

    key: int
    file_key: int
    sequence: int


class _Begun(NamedTuple):
    """What a bundle is made of, but for what is read on the way."""

    key: int
    kind: str
    folds_case: bool
    checkpoints: list[AuditCheckpoint]
    changes: list[KeyChange]
    redactions: list[Redaction]
    file_ids: dict[int, str]
    states: list[_Stored]


class Bundles:
    """``flush`` returns when the disk has a snapshot of every file of a workspace."""

    def __init__(
        self,
        database: Database,
        op_log: OpLog,
        audits: Audits,
        signing_key: Callable[[], SigningKey],
        flush: Callable[[str], Awaitable[object]],
    ) -> None:
        self._database = database
        self._op_log = op_log
        self._audits = audits
        self._signing_key = signing_key
        self._flush = flush

    async def export(self, caller: Caller, workspace_id: str, number: int | None) -> AsyncIterator[bytes]:
        """The lines of a bundle up to the audit checkpoint of that number; None: up to one that is taken now. It ends
        early, and so without its last line, where the right to it does.

        Errors: see `authorise`; ``not_found``: there is no such checkpoint.
        """
        if number is None:
            await self._database.read(
                lambda connection: authorise(connection, caller, Action.AUDIT_DOCUMENT, workspace_id)
            )
            await self._flush(workspace_id)
            number = (await self._audits.take(caller, workspace_id)).number

        def job(connection: Connection, number: int = number) -> _Begun:
            key = authorise(connection, caller, Action.AUDIT_DOCUMENT, workspace_id).document.key
            checkpoints = [found for found in stored(connection, key) if found.number <= number]
            if not checkpoints or checkpoints[-1].number != number:
                raise CoscribeError(Code.NOT_FOUND, f"there is no audit checkpoint {number}")
            begun = _begin(connection, key, checkpoints)
            record(connection, by(caller, "audit.exported", workspace_id=workspace_id, checkpoint=number))
            return begun

        return self._lines(caller, workspace_id, await self._database.write(job))

    async def _lines(self, caller: Caller, workspace_id: str, begun: _Begun) -> AsyncIterator[bytes]:
        key, upto = self._signing_key(), begun.checkpoints[-1]
        writer = Writer(workspace_id, key)
        head = Head(
            FORMAT,
            workspace_id,
            begun.kind,
            begun.folds_case,
            upto.number,
            upto.sequence,
            key.key_id,
            key.public.hex,
        )
        yield writer.line(head) + b"".join(writer.line(KeyLine(change)) for change in begun.changes)
        begin = await self._op_log.checkpoint(begun.key)
        if begin is not None:
            yield writer.line(begin_line(begin))
        for redaction in begun.redactions:
            yield writer.line(RedactionLine(redaction))
        for checkpoint in begun.checkpoints:
            yield writer.line(CheckpointLine(checkpoint))
        after = 0
        while page := await self._database.read(_events_page(workspace_id, after, upto.event)):
            yield b"".join(map(writer.line, page))
            after = page[-1].event_id
        sequence = 0 if begin is None else begin.sequence
        states = deque(state for state in begun.states if state.sequence >= sequence)
        async for state in self._states(states, sequence, begun.file_ids):
            yield writer.line(state)
        while sequence < upto.sequence:
            rows = await self._op_log.read(begun.key, sequence, through=upto.sequence, limit=PAGE)
            if not rows:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks entries behind {sequence}")
            for row in rows:
                yield writer.line(entry_line(row, begun.file_ids.get(row.file_key, "")))
                async for state in self._states(states, row.sequence, begun.file_ids):
                    yield writer.line(state)
            sequence = rows[-1].sequence
            await self._database.read(
                lambda connection: authorise(connection, caller, Action.AUDIT_DOCUMENT, workspace_id)
            )
        yield writer.end()

    async def _states(self, waiting: deque[_Stored], sequence: int, file_ids: dict[int, str]) -> AsyncIterator[State]:
        """The snapshots up to a sequence that have not been sent; one that was dropped meanwhile is left out."""
        while waiting and waiting[0].sequence <= sequence:
            wanted = waiting.popleft()
            snapshot = await self._database.read(_snapshot(wanted))
            if snapshot is not None:
                yield state_line(snapshot, file_ids[wanted.file_key])


def _begin(connection: Connection, key: int, checkpoints: list[AuditCheckpoint]) -> _Begun:
    row, snapshot = workspaces.c, file_snapshots.c
    kind, folds_case = connection.execute(select(row.kind, row.folds_case).where(row.workspace_key == key)).one()
    of_workspace = files.c.workspace_key == key
    ids = connection.execute(select(files.c.file_key, files.c.file_id).where(of_workspace))
    states = connection.execute(
        select(snapshot.snapshot_key, snapshot.file_key, snapshot.sequence)
        .join(files, files.c.file_key == snapshot.file_key)
        .where(of_workspace, snapshot.sequence > 0, snapshot.sequence <= checkpoints[-1].sequence)
        .order_by(snapshot.sequence, snapshot.file_key, snapshot.snapshot_key)
    )
    return _Begun(
        key,
        kind,
        bool(folds_case),
        checkpoints,
        changes_of(connection),
        redactions_of(connection, key),
        {found.file_key: found.file_id for found in ids},
        [_Stored(*found) for found in states],
    )


def _events_page(workspace_id: str, after: int, through: int) -> Callable[[Connection], list[Event]]:
    event = access_events.c
    before = access_events.alias().c
    previous = select(before.digest).where(before.event_id == event.event_id - 1).scalar_subquery()
    rows = (
        select(
            event.event_id,
            previous,
            event.time,
            event.actor,
            event.action,
            event.outcome,
            event.workspace_id,
            event.subject,
            event.address,
            event.request_id,
            event.detail,
            event.digest,
        )
        .where(event.workspace_id == workspace_id, event.event_id > after, event.event_id <= through)
        .order_by(event.event_id)
        .limit(PAGE)
    )

    def job(connection: Connection) -> list[Event]:
        return [_event(row) for row in connection.execute(rows)]

    return job


def _event(row: Any) -> Event:
    event_id, previous, *recorded, digest = row
    return Event(event_id, (previous or GENESIS).hex(), *recorded, digest.hex())  # type: ignore[call-arg]  # nine fields


def _snapshot(state: _Stored) -> Callable[[Connection], FileSnapshot | None]:
    """None: it was dropped since."""
    row = file_snapshots.c
    wanted = select(row.version, row.sequence, row.content, row.content_hash).where(row.snapshot_key == state.key)

    def job(connection: Connection) -> FileSnapshot | None:
        found = connection.execute(wanted).first()
        if found is None:
            return None
        return FileSnapshot(
            state.file_key, found.version, found.sequence, found.content.decode(errors="replace"), found.content_hash
        )

    return job
