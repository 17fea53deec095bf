"""What accounts and documents take already, looked up in the tables for the sessions that are loaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import Connection, func, select

from coscribe.core.errors import CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.documents.quota import ROW_BYTES, Allowance, Quotas
from coscribe.persistence.database import Database
from coscribe.persistence.schema import (
    file_blobs,
    file_operation_log,
    file_snapshots,
    files,
    log_segments,
    workspaces,
)

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS = 1.0
"""How soon an account that was refused is looked at again."""

_T = TypeVar("_T")


class StoredQuotas:
    """`QuotaSource` over the tables. An account's allowance lives as long as one of its documents is in memory."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._most = quotas.text_bytes
        self._allowances: WeakValueDictionary[str, Allowance] = WeakValueDictionary()
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def allowance(self, workspace_id: str) -> Allowance | None:
        account = await self._read(lambda connection: _maker(connection, workspace_id), None)
        if account is None:
            return None
        known = self._allowances.get(account)
        if known is None:
            used = await self._read(lambda connection: _text_bytes(connection, account), 0)
            fresh = Allowance(self._most, used, partial(self._refused, account))
            known = self._allowances.setdefault(account, fresh)  # somebody else may have been faster
        return known

    async def log_bytes(self, workspace_key: int, through: int) -> int:
        return await self._read(lambda connection: _log_bytes(connection, workspace_key, through), 0)

    async def close(self) -> None:
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    def _refused(self, account: str) -> None:
        if account not in self._looking:
            self._looking[account] = asyncio.get_running_loop().create_task(self._look_again(account))

    async def _look_again(self, account: str) -> None:
        """What is there now; a flood of refusals makes no flood of questions."""
        try:
            began = time.monotonic()
            used = await self._read(lambda connection: _text_bytes(connection, account), -1)
            allowance = self._allowances.get(account)
            if allowance is not None and used >= 0:
                allowance.used = used
            await asyncio.sleep(began + LOOK_AGAIN_SECONDS - time.monotonic())
        finally:
            del self._looking[account]

    async def _read(self, job: Callable[[Connection], _T], otherwise: _T) -> _T:
        try:
            return await self._database.read(job)
        except (StorageError, CoscribeError) as error:
            log.warning("quota_unknown", error=str(error))
            return otherwise


def _maker(connection: Connection, workspace_id: str) -> str | None:
    return connection.execute(select(workspaces.c.created_by).where(workspaces.c.workspace_id == workspace_id)).scalar()


def _text_bytes(connection: Connection, account: str) -> int:
    """About how long the texts of all documents of an account are, and hardly less: of each its newest snapshot, and
    all that was written since. (Lengths are read without the texts.) Beside that each blob that their logs refer to,
    once."""
    snapshot, entry = file_snapshots.c, file_operation_log.c
    of_file = select().where(snapshot.file_key == files.c.file_key).order_by(snapshot.sequence.desc()).limit(1)
    size = of_file.add_columns(func.length(snapshot.content)).correlate(files).scalar_subquery()
    newest = of_file.add_columns(snapshot.sequence).correlate(files).scalar_subquery()
    since = (
        select(func.sum(func.length(entry.payload)))
        .where(entry.workspace_key == files.c.workspace_key, entry.sequence > func.coalesce(newest, 0))
        .correlate(files)
        .scalar_subquery()
    )
    total = (
        select(func.sum(func.coalesce(size, 0) + func.coalesce(since, 0)))
        .select_from(files)
        .join(workspaces, workspaces.c.workspace_key == files.c.workspace_key)
        .where(workspaces.c.created_by == account, workspaces.c.status != "deleted")
    )
    used = select(file_blobs.c.hash, file_blobs.c.size).join(
        workspaces, workspaces.c.workspace_key == file_blobs.c.workspace_key
    )
    mine = used.where(workspaces.c.created_by == account, workspaces.c.status != "deleted").distinct().subquery()
    blobs = select(func.coalesce(func.sum(mine.c.size), 0))
    return int(connection.execute(total).scalar() or 0) + int(connection.execute(blobs).scalar_one())


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
