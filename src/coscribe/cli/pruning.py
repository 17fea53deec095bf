"""Prunes a data folder, while no server runs on it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import msgspec
from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from coscribe.access.events import Event, record
from coscribe.access.ids import now
from coscribe.access.retention import held_back, pruned_event
from coscribe.cli.common import fail
from coscribe.cli.store import owning
from coscribe.config import Settings
from coscribe.core.errors import Code
from coscribe.documents.ports import Prunable, SegmentSize, StorageError
from coscribe.documents.pruning import PrunedPart, Pruning
from coscribe.persistence.migrate import migrate
from coscribe.persistence.signing import signing_key
from coscribe.persistence.sqlite import SqliteStorage

ACTOR = "operator"
_HELD = Code.LEGAL_HOLD.value.code


class Done(msgspec.Struct, rename="camel"):
    """What was done. ``forgotten``: documents whose ids were. ``left``: those that could not be pruned, and why."""

    entries: int = 0
    documents: int = 0
    forgotten: int = 0
    left: dict[str, str] = {}


def prune_folder(folder: Path, forget_ids: bool) -> Done:
    """Ends with advice where there is nothing to prune, a server runs on it, or it cannot be read or written."""
    settings = Settings(folder=folder)
    path = settings.database
    with owning(folder, "A running server prunes by itself, as the retention of its documents says."):
        try:
            migrate(path)
            done, events = asyncio.run(_prune_all(settings, forget_ids))
            for workspace_id in _held_back(path, settings.retention_days):
                done.left[workspace_id] = f"{_HELD}: nothing of it may be deleted"
                events.append(Event("log.pruned", ACTOR, workspace_id=workspace_id, outcome=_HELD))
            _record(path, events)
            return done
        except (sqlite3.DatabaseError, DatabaseError, StorageError, OSError, ValueError) as error:
            fail(f"it cannot be pruned: {error}", f"See what is wrong: coscribe verify --data {folder}")


async def _prune_all(settings: Settings, forget_ids: bool) -> tuple[Done, list[Event]]:
    storage = SqliteStorage(settings.database)
    parts: list[PrunedPart] = []
    pruning = Pruning(
        storage,
        lambda: signing_key(settings.folder),
        settings.retention_days,
        now,
        time.monotonic,
        parts.append,
    )
    done, forgotten = Done(), []
    try:
        for item in await pruning.due():
            workspace_id = item.workspace.workspace_id
            try:
                await _close(storage, pruning, item, settings)
                while await pruning.prune(item) is not None:
                    pass
                if forget_ids and await pruning.forget_ids(item):
                    forgotten.append(workspace_id)
            except StorageError as error:
                done.left[workspace_id] = str(error)
    finally:
        await storage.close()
    done.entries = sum(part.entries for part in parts)
    done.documents = len({part.checkpoint.workspace_id for part in parts})
    done.forgotten = len(forgotten)
    events = [pruned_event(ACTOR, part) for part in parts]
    return done, [*events, *(Event("log.ids_forgotten", ACTOR, workspace_id=which) for which in forgotten)]


async def _close(storage: SqliteStorage, pruning: Pruning, item: Prunable, settings: Settings) -> None:
    """Makes segments of all that is old enough, however little it is: only segments are pruned."""
    key, policy = item.workspace.key, settings.policy
    through = await pruning.old_enough(item, await storage.closed(key))
    size = SegmentSize(policy.segment_entries, policy.segment_bytes, 1)
    while await storage.compact(key, through, size) is not None:
        pass


def _held_back(path: Path, default_days: int) -> list[str]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = held_back(connection, default_days)
    engine.dispose()
    return found


def _record(path: Path, events: list[Event]) -> None:
    """Puts it among the access events."""
    if events:
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            record(connection, *events)
        engine.dispose()
