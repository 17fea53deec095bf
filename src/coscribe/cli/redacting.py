"""Takes a text out of a data folder, while no server runs on it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import Connection, create_engine, insert, select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from coscribe.access.events import Event, record
from coscribe.access.ids import new_id, now
from coscribe.access.retention import held_among
from coscribe.cli.common import err, fail
from coscribe.cli.store import find, owning, reading
from coscribe.cli.vacuuming import give_back
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState, Tree
from coscribe.documents.collaboration import Collaboration, Planned
from coscribe.documents.ports import Identity, PathRights, StorageError
from coscribe.documents.proofs import REDACTION_FORMAT, Redaction
from coscribe.documents.redaction import filled, renamed
from coscribe.gateway.auth import RoleOfToken
from coscribe.model import SALT_BYTES, Workspace
from coscribe.persistence.migrate import migrate
from coscribe.persistence.redacting import Found, replace, search
from coscribe.persistence.schema import idempotent_answers, named_versions, redactions, workspaces
from coscribe.persistence.signing import SigningKey, signing_key
from coscribe.persistence.sqlite import SqliteStorage, connect, stored_workspaces
from coscribe.protocol import messages

ACTOR = "operator"
_OPERATOR = Identity(ACTOR, ACTOR, "#868e96", "owner")

EDITS = 1_000
"""Edits of one operation that takes it out of a present text."""

ENTRIES = 10_000
"""Entries that one redaction speaks of; more are several."""


class FoundPlace(msgspec.Struct, rename="camel"):
    """An operation that brought it in, as it is shown. ``version`` 0: a name in the tree."""

    workspace: str
    file: str
    kind: str
    version: int
    sequence: int
    author: str
    time: int


class Redacted(msgspec.Struct, rename="camel"):
    """What was found, and what was done with it. ``present``: how often it was in present texts and names; ``names``:
    those of documents and versions. ``more`` places are only counted. ``events``: access events that have it in their
    details; they are chained as they are, and stay."""

    done: bool
    places: list[FoundPlace]
    more: int
    present: int
    entries: int = 0
    snapshots: int = 0
    names: int = 0
    workspaces: int = 0
    events: int = 0


class Order(NamedTuple):
    """What is to be taken out, of which workspaces (none: all), and why."""

    pattern: re.Pattern[str]
    names: Sequence[str]
    reason: str


def look(folder: Path, order: Order) -> Redacted:
    """Where it is. A server may run meanwhile. Ends with advice where the folder cannot be read."""
    try:
        with reading(folder) as db, _progress() as told:
            found = [(workspace, search(db, workspace, order.pattern, told)) for workspace in _chosen(db, order.names)]
            return _shown(found, _events_with(db, order.pattern))
    except (sqlite3.DatabaseError, ValueError, CoscribeError) as error:
        fail(f"it cannot be searched: {error}", f"See what is wrong: coscribe verify --data {folder}")


def redact(folder: Path, order: Order) -> Redacted:
    """Takes it out of all texts, present and past, of names, snapshots and whatever else holds it. Ends with advice
    where there is no database, a server runs on it, something is under legal hold or damaged: then nothing has changed
    but that it was tried."""
    settings = Settings(folder=folder)
    with owning(folder, "A restart is enough: nobody who is typing loses anything."):
        try:
            migrate(settings.database)
            before = look(folder, order)
            concerned = list(dict.fromkeys(place.workspace for place in before.places))
            _refuse_held(settings.database, concerned)
            if before.places or before.present:
                asyncio.run(_out_of_the_present(settings, order, concerned))
            done = _out_of_the_past(settings, order, signing_key(folder))
            give_back(settings.database)
            left = look(folder, order)
        except (sqlite3.DatabaseError, DatabaseError, StorageError, OSError, ValueError, CoscribeError) as error:
            fail(f"it could not be redacted: {error}", f"See what is wrong: coscribe verify --data {folder}")
        if left.places or left.present:
            fail("it is still there", "Run the command again; if that does not help, say so: it is an error.", code=1)
    done.places, done.more, done.present, done.events = before.places, before.more, before.present, before.events
    return done


def _refuse_held(path: Path, concerned: Sequence[str]) -> None:
    """Ends where a legal hold is on one of them; that it was tried is recorded."""
    with _writing(path) as connection:
        held = held_among(connection, concerned)
        code = Code.LEGAL_HOLD.value.code
        record(connection, *(Event("log.redacted", ACTOR, workspace_id=each, outcome=code) for each in held))
    if held:
        fail(f"{code}: {', '.join(held)}: nothing of it may be deleted", Code.LEGAL_HOLD.value.help, code=1)


async def _out_of_the_present(settings: Settings, order: Order, concerned: Sequence[str]) -> None:
    """By operations like any other, so that everybody's replica follows."""
    storage = SqliteStorage(settings.database)
    engine = Collaboration(
        storage,
        storage,
        RoleOfToken(),
        limits=settings.limits,
        policy=settings.policy,
        max_backlog=settings.max_backlog,
        clock=now,
        now=time.monotonic,
        salts=lambda count: [os.urandom(SALT_BYTES) for _ in range(count)],
    )
    try:
        for workspace_id in concerned:
            workspace = await storage.acquire(workspace_id)
            assert workspace is not None
            if workspace.root is not None:
                await _rename(engine, workspace, order.pattern)
            for file in workspace.files:
                if file is not workspace.root and (workspace.root is None or file.node is not None):
                    await _edit(engine, file.file_id, order.pattern)
            await engine.save(None, workspace_id)
    finally:
        await engine.drain()
        await storage.close()


async def _edit(engine: Collaboration, file_id: str, pattern: re.Pattern[str]) -> None:
    series, number = f"redaction-{os.urandom(8).hex()}", 0
    while True:
        try:
            at = await engine.text(_OPERATOR, file_id)
        except CoscribeError as error:
            if error.code is Code.NOT_A_TEXT:
                return
            raise
        found = [(match.start(), match.end()) for match in pattern.finditer(at.text)][:EDITS]
        if not found:
            return
        number += 1
        edits = [(begin, end - begin, filled(pattern, at.text[begin:end])) for begin, end in found]
        message = messages.Operation(file_id, f"{series}:{number}", ACTOR, at.version, "batch", 0, edits)
        await engine.edit(_OPERATOR, message)


async def _rename(engine: Collaboration, workspace: Workspace, pattern: re.Pattern[str]) -> None:
    def plan(tree: Tree, _: PathRights) -> Planned:
        states = {file.file_id: tree.state(file.file_id) for file in workspace.files if file.file_id in tree}
        names = renamed(pattern, dict.fromkeys(text for state in states.values() for text in _names(state)))
        edits: list[messages.TreeEdit] = []
        for file_id, state in states.items():
            if state.name in names:
                edits.append(messages.MoveNode(file_id, name=names[state.name]))
            if state.kind == "symlink" and state.content in names:
                edits.append(messages.PutContent(file_id, "symlink", names[state.content]))
        return Planned(edits)

    tree = workspace.tree()
    if any(pattern.search(text) for file_id in tree.below("") for text in _names(tree.state(file_id))):
        await engine.edit_tree(_OPERATOR, workspace.workspace_id, f"redaction-{os.urandom(8).hex()}", plan)


def _names(state: NodeState) -> tuple[str, ...]:
    return (state.name, state.content) if state.kind == "symlink" else (state.name,)


def _out_of_the_past(settings: Settings, order: Order, key: SigningKey) -> Redacted:
    """In one transaction for each workspace, with what says so."""
    done = Redacted(True, [], 0, 0)
    with _writing(settings.database) as connection:
        done.names = _out_of_names(connection, order)
    db = connect(settings.database)
    db.execute("PRAGMA secure_delete = ON")
    # Made before the first transaction: what it does when it connects would end one.
    connection = create_engine("sqlite://", creator=lambda: db, poolclass=StaticPool).connect()
    try:
        for workspace in _chosen(db, order.names):
            found = search(db, workspace, order.pattern)
            if found.is_clean:
                continue
            db.execute("BEGIN IMMEDIATE")
            try:
                replaced = replace(db, workspace, order.pattern, found, lambda: key)
                _say(connection, workspace, order.reason, replaced.seals, key)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            done.entries += len(replaced.seals)
            done.snapshots += replaced.snapshots
            done.workspaces += 1
    finally:
        connection.close()
        db.close()
    return done


def _say(
    connection: Connection, workspace: Workspace, reason: str, seals: Sequence[tuple[int, str]], key: SigningKey
) -> None:
    """The redactions, signed, and that they were done among the access events."""
    for start in range(0, max(len(seals), 1), ENTRIES):
        made = Redaction(
            REDACTION_FORMAT,
            new_id("red"),
            workspace.workspace_id,
            ACTOR,
            now(),
            reason,
            list(seals[start : start + ENTRIES]),
            key.key_id,
        )
        made = msgspec.structs.replace(made, signature=key.sign(made.statement()).hex())
        connection.execute(
            insert(redactions).values(
                redaction_id=made.redaction_id,
                workspace_key=workspace.key,
                made_at=made.made_at,
                content=msgspec.json.encode(made).decode(),
            )
        )
        detail = {"entries": len(made.entries), "reason": reason, "digest": made.digest}
        record(
            connection,
            Event("log.redacted", ACTOR, workspace_id=workspace.workspace_id, subject=made.redaction_id, detail=detail),
        )


def _out_of_names(connection: Connection, order: Order) -> int:
    """Of documents and of versions; answers that are kept for requests that come again go."""
    count = 0
    for column in (workspaces.c.name, named_versions.c.name):
        for name in connection.execute(select(column).distinct()).scalars().all():
            if order.pattern.search(name):
                other = filled(order.pattern, name)
                count += connection.execute(update(column.table).where(column == name).values({column: other})).rowcount
    answer = idempotent_answers.c
    for row in connection.execute(select(answer.actor, answer.key, answer.body)).all():
        if order.pattern.search(row.body.decode(errors="replace")):
            mine = (answer.actor == row.actor) & (answer.key == row.key)
            connection.execute(idempotent_answers.delete().where(mine))
    return count


def _chosen(db: sqlite3.Connection, names: Sequence[str]) -> list[Workspace]:
    stored = stored_workspaces(db)
    if not names:
        return stored
    return list({workspace.key: workspace for workspace, _ in (find(stored, name) for name in names)}.values())


def _events_with(db: sqlite3.Connection, pattern: re.Pattern[str]) -> int:
    details = (json.loads(detail) for (detail,) in db.execute("SELECT detail FROM access_events WHERE detail != '{}'"))
    return sum(any(isinstance(each, str) and pattern.search(each) for each in detail.values()) for detail in details)


def _shown(found: Sequence[tuple[Workspace, Found]], events: int) -> Redacted:
    shown, more, present = [], 0, 0
    for workspace, each in found:
        ids = {file.key: file.file_id for file in workspace.files}
        for place in each.places:
            where = ids.get(place.file_key, "")
            shown.append(
                FoundPlace(
                    workspace.workspace_id,
                    where,
                    place.kind,
                    place.version,
                    place.sequence,
                    place.author,
                    place.time,
                )
            )
        if each.begun:
            shown.append(FoundPlace(workspace.workspace_id, "", "checkpoint", 0, 0, "", 0))
        more += each.total - len(each.places)
        present += each.present
    return Redacted(False, shown, more, present, events=events)


@contextmanager
def _writing(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("searching", total=None)
        yield lambda done: progress.advance(task, done)
