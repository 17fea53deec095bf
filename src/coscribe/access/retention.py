"""How long the history of a document is kept, and legal holds: while one is on a document nothing of it is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import Event, by, record
from coscribe.access.ids import now
from coscribe.access.policy import Action
from coscribe.access.rights import authorise, find_document
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.pruning import PrunedPart
from coscribe.persistence.database import Database
from coscribe.persistence.schema import checkpoint_files, log_checkpoints, retention, workspaces


class Hold(NamedTuple):
    """Why nothing of a document may be deleted; ``held_at`` in microseconds since 1970."""

    reason: str
    held_by: str
    held_at: int


class PrunedHistory(NamedTuple):
    """What was pruned: all up to ``sequence``, whose time was ``last_time``. The history begins with ``version``."""

    sequence: int
    version: int
    last_time: int


class RetentionOf(NamedTuple):
    """``days`` of history are kept; 0: all of it. ``own``: whether the document says so, or the server's settings."""

    days: int
    own: bool
    hold: Hold | None
    pruned: PrunedHistory | None


class DocumentRetention:
    """``default_days``: of documents that say nothing themselves; 0: everything is kept."""

    def __init__(self, database: Database, default_days: int) -> None:
        self._database = database
        self._default = default_days

    async def get(self, caller: Caller, document_id: str) -> RetentionOf:
        """Errors: see `authorise`."""

        def job(connection: Connection) -> RetentionOf:
            return self._read(
                connection, authorise(connection, caller, Action.MANAGE_DOCUMENT, document_id).document.key
            )

        return await self._database.read(job)

    async def set(self, caller: Caller, document_id: str, days: int | None) -> RetentionOf:
        """``days`` None: as the server's settings say. Errors: ``legal_hold``: it would be kept for less long while a
        hold is on it; see `authorise`."""

        def job(connection: Connection) -> RetentionOf:
            key = authorise(connection, caller, Action.MANAGE_DOCUMENT, document_id).document.key
            before = self._read(connection, key)
            wanted = self._default if days is None else days
            if before.hold is not None and wanted and (not before.days or wanted < before.days):
                raise CoscribeError(Code.LEGAL_HOLD, "less would be kept", file_id=document_id)
            _write(connection, key, days=days)
            record(connection, by(caller, "retention.set", workspace_id=document_id, days=days))
            return self._read(connection, key)

        return await self._database.write(job)

    async def hold(self, caller: Caller, document_id: str, reason: str) -> RetentionOf:
        """From now on nothing of the document is deleted; another reason takes the place of the one before. Whether the
        caller may has been asked. Errors: ``file_not_found``."""

        def job(connection: Connection) -> RetentionOf:
            key = _key(connection, document_id)
            _write(connection, key, hold_reason=reason, held_by=caller.author or caller.kind, held_at=now())
            record(connection, by(caller, "hold.set", workspace_id=document_id, reason=reason))
            return self._read(connection, key)

        return await self._database.write(job)

    async def release(self, caller: Caller, document_id: str) -> RetentionOf:
        """Ends a hold; whether the caller may has been asked. Errors: ``file_not_found``, ``not_found``: there is
        none."""

        def job(connection: Connection) -> RetentionOf:
            key = _key(connection, document_id)
            hold = self._read(connection, key).hold
            if hold is None:
                raise CoscribeError(Code.NOT_FOUND, "there is no hold on it")
            _write(connection, key, hold_reason=None, held_by=None, held_at=None)
            record(connection, by(caller, "hold.released", workspace_id=document_id, reason=hold.reason))
            return self._read(connection, key)

        return await self._database.write(job)

    def _read(self, connection: Connection, key: int) -> RetentionOf:
        row = connection.execute(select(retention).where(retention.c.workspace_key == key)).first()
        days = row.days if row is not None else None
        held = row is not None and row.hold_reason is not None
        hold = Hold(row.hold_reason, row.held_by, row.held_at) if row is not None and held else None
        gone = connection.execute(
            select(log_checkpoints.c.sequence, checkpoint_files.c.version, log_checkpoints.c.last_time)
            .join(checkpoint_files, checkpoint_files.c.workspace_key == log_checkpoints.c.workspace_key)
            .where(log_checkpoints.c.workspace_key == key)
        ).first()
        pruned = PrunedHistory(*gone) if gone is not None else None
        return RetentionOf(self._default if days is None else days, days is not None, hold, pruned)


def is_held() -> ColumnElement[bool]:
    """Of a workspace: that a legal hold is on it."""
    row = retention.c
    return exists().where(row.workspace_key == workspaces.c.workspace_key, row.hold_reason.is_not(None))


def check_not_held(connection: Connection, key: int, document_id: str) -> None:
    """Errors: ``legal_hold``."""
    if connection.execute(
        select(workspaces.c.workspace_key).where(workspaces.c.workspace_key == key, is_held())
    ).first():
        raise CoscribeError(Code.LEGAL_HOLD, "nothing of it may be deleted", file_id=document_id)


def held_back(connection: Connection, default_days: int) -> list[str]:
    """Documents whose history would be deleted by its age, but for a legal hold."""
    row, workspace = retention.c, workspaces.c
    found = connection.execute(
        select(workspace.workspace_id)
        .join(retention, row.workspace_key == workspace.workspace_key)
        .where(row.hold_reason.is_not(None), func.coalesce(row.days, default_days) > 0, workspace.status != "deleted")
        .where(workspace.kind == "document")
        .order_by(workspace.workspace_id)
    )
    return list(found.scalars())


def held_among(connection: Connection, workspace_ids: Iterable[str]) -> list[str]:
    """Those of the workspaces that a legal hold is on."""
    wanted = set(workspace_ids)
    held = connection.execute(select(workspaces.c.workspace_id).where(is_held()).order_by(workspaces.c.workspace_id))
    return [workspace_id for workspace_id in held.scalars() if workspace_id in wanted]


def pruned_event(actor: str, part: PrunedPart) -> Event:
    """The event of a part of a log that was deleted."""
    checkpoint = part.checkpoint
    detail = {
        "entries": part.entries,
        "sequence": checkpoint.sequence,
        "chainHash": checkpoint.chain_hash.hex(),
        "keyId": checkpoint.key_id,
    }
    return Event("log.pruned", actor, workspace_id=checkpoint.workspace_id, detail=detail)


def _key(connection: Connection, document_id: str) -> int:
    document = find_document(connection, document_id)
    if document is None:
        raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no document {document_id!r}", file_id=document_id)
    return document.key


def _write(connection: Connection, key: int, **values: Any) -> None:
    if connection.execute(update(retention).where(retention.c.workspace_key == key).values(**values)).rowcount == 0:
        connection.execute(insert(retention).values(workspace_key=key, **values))
