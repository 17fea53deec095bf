"""Access events: who saw, changed, shared, was refused. Append-only, and chained so that a change would show.

    digest(n) = SHA-256( digest(n-1) || JSON of event n )

A change is recorded in the transaction that makes it. What only looks (opened, refused) is noted and written a moment
later with others; where more comes than can be written, the loss itself is recorded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, insert, select, update

from coscribe.access.caller import Caller, Origin
from coscribe.access.ids import MICROSECONDS, now
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.documents.proofs import link_event
from coscribe.metrics import metrics
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events, visits, workspaces

log = structlog.get_logger(__name__)

GENESIS = bytes(32)
MAX_NOTED = 10_000
"""Events that may wait to be written."""

FLUSH_SECONDS = 0.25

ONCE = 60 * MICROSECONDS
"""For so long the same person opening the same document again is no new event."""


class Event(NamedTuple):
    """``actor``: the author's form of a caller (a user, ``user+token``, ``link:ID``). ``outcome``: done, or a code."""

    action: str
    actor: str
    workspace_id: str | None = None
    subject: str = ""
    outcome: str = "done"
    origin: Origin = Origin()
    detail: dict[str, Any] = {}  # noqa: RUF012  # never changed


def by(
    caller: Caller,
    action: str,
    *,
    workspace_id: str | None = None,
    subject: str = "",
    outcome: str = "done",
    **detail: Any,
) -> Event:
    """An event of a caller."""
    actor = caller.author or caller.kind
    return Event(action, actor, workspace_id, subject, outcome, caller.origin, detail)


def record(connection: Connection, *events: Event) -> None:
    """Writes events in the caller's transaction."""
    last = connection.execute(
        select(access_events.c.digest).order_by(access_events.c.event_id.desc()).limit(1)
    ).scalar()
    previous, rows = last or GENESIS, []
    for event in events:
        row: dict[str, Any] = {
            "time": now(),
            "actor": _cut(event.actor, 128),
            "action": event.action,
            "outcome": event.outcome,
            "workspace_id": None if event.workspace_id is None else _cut(event.workspace_id, 128),
            "subject": _cut(event.subject, 128),
            "address": _cut(event.origin.address, 64),
            "request_id": _cut(event.origin.request_id, 64),
            "detail": json.dumps(event.detail, sort_keys=True, ensure_ascii=False),
        }
        previous = link_event(previous, row)
        rows.append({**row, "digest": previous})
    if rows:
        connection.execute(insert(access_events), rows)


def _cut(text: str, most: int) -> str:
    """As it can be stored: whatever somebody has asked for, the events that are written along with it are not lost."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]


def check(connection: Connection) -> Iterator[int]:
    """The ids of events that do not fit the chain."""
    previous = GENESIS
    for row in connection.execute(select(access_events).order_by(access_events.c.event_id)).mappings():
        content = {name: value for name, value in row.items() if name not in ("event_id", "digest")}
        if link_event(previous, content) != row["digest"]:
            yield row["event_id"]
        previous = row["digest"]


class Notes:
    """Events that may be written a moment later."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: list[Event] = []
        self._lately: dict[tuple[str, str | None, str], int] = {}
        self._jobs: dict[object, Callable[[Connection], None]] = {}
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    def note(self, event: Event) -> None:
        if len(self._noted) >= MAX_NOTED:
            self._lost += 1
            metrics.events_lost.inc()
            return
        self._noted.append(event)
        self._write()

    def opened(self, caller: Caller, document_id: str) -> None:
        """Who saw a document, noted once a minute; for a person also when they were last there."""
        self._note_once(by(caller, "document.opened", workspace_id=document_id))
        if caller.kind == "session":
            account, at = caller.account, now()
            self.later((account, document_id), lambda connection: _visit(connection, account, document_id, at))

    def refused(self, caller: Caller, document_id: str) -> None:
        """Who may not open a document and tried, noted once a minute: a program may try a thousand times a second."""
        outcome = Code.FILE_NOT_FOUND.value.code
        self._note_once(by(caller, "document.opened", workspace_id=document_id, outcome=outcome))

    def _note_once(self, event: Event) -> None:
        key, at = (event.actor, event.workspace_id, event.outcome), now()
        if self._lately.get(key, 0) + ONCE > at:
            return
        self._lately.pop(key, None)
        self._lately[key] = at
        if len(self._lately) > MAX_NOTED:
            del self._lately[next(iter(self._lately))]
        self.note(event)

    def later(self, key: object, job: Callable[[Connection], None]) -> None:
        """Something small to write along with the events; of two with one key only the later is done."""
        if key in self._jobs or len(self._jobs) < MAX_NOTED:
            self._jobs[key] = job
            self._write()

    def _write(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_soon())

    async def flush(self) -> None:
        """Returns when all that was noted is written, or could not be."""
        async with self._one_at_a_time:
            noted, self._noted = self._noted, []
            jobs, self._jobs = self._jobs, {}
            lost, self._lost = self._lost, 0
            if lost:
                noted.append(Event("events_lost", "server", detail={"count": lost}))

            def write(connection: Connection) -> None:
                record(connection, *noted)
                for job in jobs.values():
                    job(connection)

            if noted or jobs:
                try:
                    await self._database.write(write)
                except (StorageError, CoscribeError):
                    log.exception("events_not_written", count=len(noted))
                    self._lost += lost + sum(event.action != "events_lost" for event in noted)
                    metrics.events_lost.inc(len(noted))

    async def _write_soon(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        self._writing = None
        await self.flush()

    async def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
        await self.flush()


def _visit(connection: Connection, account: str, document_id: str, at: int) -> None:
    """Remembers a visit, for the list of recent documents."""
    key = connection.execute(
        select(workspaces.c.workspace_key).where(
            workspaces.c.workspace_id == document_id, workspaces.c.status != "deleted"
        )
    ).scalar()
    if key is None:
        return
    mine = (visits.c.user_id == account) & (visits.c.workspace_key == key)
    if connection.execute(update(visits).where(mine).values(visited_at=at)).rowcount == 0:
        connection.execute(insert(visits).values(user_id=account, workspace_key=key, visited_at=at))
