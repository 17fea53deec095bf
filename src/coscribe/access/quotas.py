"""What accounts and documents take already, looked up in the tables for the sessions that are loaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.policy import Action
from coscribe.access.rights import authorise
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.documents.quota import ROW_BYTES, Allowance, Quotas, Room
from coscribe.persistence.database import Database
from coscribe.persistence.schema import (
    file_blobs,
    file_operation_log,
    file_snapshots,
    files,
    heads,
    log_segments,
    projects,
    workspaces,
)

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS = 1.0
"""How soon an account that was refused is looked at again."""

_T = TypeVar("_T")


class Bounds(NamedTuple):
    """None: no bound."""

    bytes: int | None = None
    files: int | None = None


class QuotaOf(NamedTuple):
    """What counts for a workspace, and about what it takes of that."""

    bounds: Bounds
    used_bytes: int
    used_files: int


class StoredQuotas:
    """`QuotaSource` over the tables. An account's allowance lives as long as one of its documents is in memory."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._most = quotas.text_bytes
        self._bounds = Bounds(quotas.project_bytes or None, quotas.project_files or None)
        self._allowances: WeakValueDictionary[str, Allowance] = WeakValueDictionary()
        self._rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def allowance(self, workspace_id: str) -> Allowance | None:
        account = await self._read(lambda connection: _maker(connection, workspace_id), None)
        if account is None:
            return None
        known = self._allowances.get(account)
        if known is None:
            mine = workspaces.c.created_by == account
            used = await self._read(lambda connection: _text_bytes(connection, mine), 0)
            fresh = Allowance(self._most, used, partial(self._refused, account))
            known = self._allowances.setdefault(account, fresh)  # somebody else may have been faster
        return known

    async def room(self, workspace_id: str) -> Room:
        known = self._rooms.get(workspace_id)
        if known is None:
            bounds, used = await self._room(workspace_id)
            fresh = Room(bounds.bytes, bounds.files, used, partial(self._full, workspace_id))
            known = self._rooms.setdefault(workspace_id, fresh)
        return known

    async def changed(self, workspace_id: str) -> None:
        """The quotas of a workspace, or of its project, are others now: they count from here on."""
        room = self._rooms.get(workspace_id)
        if room is not None:
            bounds, room.used = await self._room(workspace_id)
            room.most_bytes, room.most_files = bounds.bytes, bounds.files

    async def _room(self, workspace_id: str) -> tuple[Bounds, int]:
        def job(connection: Connection) -> tuple[Bounds, int]:
            bounds = bounds_of(connection, workspace_id, self._bounds)
            mine = workspaces.c.workspace_id == workspace_id
            return bounds, _text_bytes(connection, mine) if bounds.bytes is not None else 0

        return await self._read(job, (Bounds(), 0))

    async def of(self, caller: Caller, workspace_id: str) -> QuotaOf:
        """Errors: see `authorise`."""

        def job(connection: Connection) -> QuotaOf:
            key = authorise(connection, caller, Action.SEE_DOCUMENT, workspace_id).document.key
            used = _text_bytes(connection, workspaces.c.workspace_key == key)
            return QuotaOf(bounds_of(connection, workspace_id, self._bounds), used, _live_files(connection, key))

        return await self._database.read(job)

    async def set_of_project(self, caller: Caller, workspace_id: str, bounds: Mapping[str, int | None]) -> QuotaOf:
        """What the project grants from now on; whether the caller may has been asked. ``bounds``: ``bytes`` and
        ``files``, those that change. Errors: ``file_not_found``; ``conflict``: it has no project."""

        def job(connection: Connection) -> None:
            document = authorise(connection, caller, Action.SEE_DOCUMENT, workspace_id).document
            if document.project_key is None:
                raise CoscribeError(Code.CONFLICT, "it is in no project; a workspace has a quota of its own")
            _set(connection, projects, projects.c.project_key == document.project_key, bounds)
            record(connection, by(caller, "quota.set", workspace_id=workspace_id, of="project", bounds=dict(bounds)))

        await self._database.write(job)
        await self.changed(workspace_id)
        return await self.of(caller, workspace_id)

    async def set_of_workspace(self, caller: Caller, workspace_id: str, bounds: Mapping[str, int | None]) -> QuotaOf:
        """Likewise what the workspace takes of that at most. Errors: see `authorise`."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.MANAGE_DOCUMENT, workspace_id).document.key
            _set(connection, workspaces, workspaces.c.workspace_key == key, bounds)
            record(connection, by(caller, "quota.set", workspace_id=workspace_id, of="workspace", bounds=dict(bounds)))

        await self._database.write(job)
        await self.changed(workspace_id)
        return await self.of(caller, workspace_id)

    async def log_bytes(self, workspace_key: int, through: int) -> int:
        return await self._read(lambda connection: _log_bytes(connection, workspace_key, through), 0)

    async def close(self) -> None:
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    def _refused(self, account: str) -> None:
        self._look(account, self._allowances, workspaces.c.created_by == account)

    def _full(self, workspace_id: str) -> None:
        self._look(workspace_id, self._rooms, workspaces.c.workspace_id == workspace_id)

    def _look(self, name: str, known: Mapping[str, Allowance | Room], mine: ColumnElement[bool]) -> None:
        if name not in self._looking:
            self._looking[name] = asyncio.get_running_loop().create_task(self._look_again(name, known, mine))

    async def _look_again(self, name: str, known: Mapping[str, Allowance | Room], mine: ColumnElement[bool]) -> None:
        """What is there now; a flood of refusals makes no flood of questions."""
        try:
            began = time.monotonic()
            used = await self._read(lambda connection: _text_bytes(connection, mine), -1)
            found = known.get(name)
            if found is not None and used >= 0:
                found.used = used
            await asyncio.sleep(began + LOOK_AGAIN_SECONDS - time.monotonic())
        finally:
            del self._looking[name]

    async def _read(self, job: Callable[[Connection], _T], otherwise: _T) -> _T:
        try:
            return await self._database.read(job)
        except (StorageError, CoscribeError) as error:
            log.warning("quota_unknown", error=str(error))
            return otherwise


def _maker(connection: Connection, workspace_id: str) -> str | None:
    return connection.execute(select(workspaces.c.created_by).where(workspaces.c.workspace_id == workspace_id)).scalar()


def bounds_of(connection: Connection, workspace_id: str, otherwise: Bounds) -> Bounds:
    """What counts for a workspace: of the project's (or what is said of all) and its own the lower one."""
    column, project = workspaces.c, projects.c
    row = connection.execute(
        select(project.quota_bytes, project.quota_files, column.quota_bytes, column.quota_files)
        .select_from(workspaces.outerjoin(projects, project.project_key == column.project_key))
        .where(column.workspace_id == workspace_id)
    ).first()
    if row is None:
        return Bounds()
    of_project = Bounds(*(otherwise[at] if row[at] is None else row[at] for at in (0, 1)))
    return Bounds(*(_lower(one, other) for one, other in zip(of_project, row[2:], strict=True)))


def _lower(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _set(connection: Connection, table: Table, mine: ColumnElement[bool], bounds: Mapping[str, int | None]) -> None:
    if bounds:
        values = {f"quota_{name}": bound for name, bound in bounds.items()}
        connection.execute(update(table).where(mine).values(values))


def _live_files(connection: Connection, workspace_key: int) -> int:
    """Files and folders that are not in the trash."""
    row = files.c
    kept = connection.execute(
        select(row.parent_id, row.file_id).where(
            row.workspace_key == workspace_key, row.parent_id.is_not(None), ~row.trashed, ~row.purged
        )
    )
    inside: dict[str, list[str]] = {}
    for parent_id, file_id in kept:
        inside.setdefault(parent_id, []).append(file_id)
    count, waiting = -1, [""]
    while waiting:
        waiting += inside.get(waiting.pop(), ())
        count += 1
    return count


def _text_bytes(connection: Connection, mine: ColumnElement[bool]) -> int:
    """About how long the texts of workspaces are together, and hardly less: of each its newest snapshot, and what was
    written to it since. (Lengths are read without the texts.) Beside that each blob that their logs refer to, once."""
    snapshot, entry, head = file_snapshots.c, file_operation_log.c, heads.c
    is_text = (workspaces.c.kind == "document") | (files.c.parent_id.is_not(None))
    of_file = select().where(snapshot.file_key == files.c.file_key).order_by(snapshot.sequence.desc()).limit(1)
    size = of_file.add_columns(func.length(snapshot.content)).correlate(files).scalar_subquery()
    stored = (
        select(func.sum(size))
        .select_from(files)
        .join(workspaces, workspaces.c.workspace_key == files.c.workspace_key)
        .where(mine, workspaces.c.status != "deleted", is_text)
    )
    newest = select(func.max(snapshot.sequence)).where(snapshot.file_key == files.c.file_key).correlate(files)
    of_document = (
        select(func.max(snapshot.sequence))
        .join(files, files.c.file_key == snapshot.file_key)
        .where(files.c.workspace_key == workspaces.c.workspace_key)
        .correlate(workspaces)
    )
    # Of a tree all up to what is covered is in snapshots: nothing before that has to be looked at.
    begin = func.coalesce(head.covered_sequence, of_document.scalar_subquery(), 0)
    since = (
        select(func.sum(func.length(entry.payload)))
        .select_from(workspaces)
        .join(heads, head.workspace_key == workspaces.c.workspace_key)
        .join(file_operation_log, (entry.workspace_key == workspaces.c.workspace_key) & (entry.sequence > begin))
        .join(files, files.c.file_key == entry.file_key)
        .where(mine, workspaces.c.status != "deleted", is_text)
        .where(entry.sequence > func.coalesce(newest.scalar_subquery(), 0))
    )
    used = select(file_blobs.c.hash, file_blobs.c.size).join(
        workspaces, workspaces.c.workspace_key == file_blobs.c.workspace_key
    )
    named = used.where(mine, workspaces.c.status != "deleted").distinct().subquery()
    blobs = select(func.coalesce(func.sum(named.c.size), 0))
    return sum(int(connection.execute(each).scalar() or 0) for each in (stored, since, blobs))


def _log_bytes(connection: Connection, workspace_key: int, through: int) -> int:
    """Rows, and segments as they are: compressed. (Lengths are read without the contents.)"""
    entry, segment = file_operation_log.c, log_segments.c
    rows = (
        select(func.count() * ROW_BYTES + func.coalesce(func.sum(func.length(entry.payload)), 0))
        .where(entry.workspace_key == workspace_key, entry.sequence <= through)
        .scalar_subquery()
    )
    closed = (
        select(func.coalesce(func.sum(func.length(segment.content)), 0))
        .where(segment.workspace_key == workspace_key, segment.last_sequence <= through)
        .scalar_subquery()
    )
    return int(connection.execute(select(rows + closed)).scalar_one())
