"""Audits of a whole data folder: the log in it, its snapshots and, where asked for, what a server shows of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from coscribe.access.events import check
from coscribe.cli.common import err, token_for
from coscribe.cli.store import find, reading
from coscribe.documents.audit import Claim, FileReport, Report, audit
from coscribe.model import FileSnapshot, Workspace, content_hash
from coscribe.persistence.schema import access_events
from coscribe.persistence.sqlite import iterate, stored_snapshots, stored_workspaces

MAX_BROKEN = 20
"""Broken places that are named."""

SNAPSHOT = "snapshot"
LIVE = "live text"
"""The sources of claims."""


class Place(msgspec.Struct):
    """A finding as it is shown; ``kind`` and ``sequence`` are those of `Finding`, or ``storage``: SQLite gave up."""

    kind: str
    sequence: int | None
    detail: str


class Verdict(msgspec.Struct, rename="camel"):
    """What is to say about one file. ``snapshots`` that were compared, ``live``: whether the live text was too.

    ``more`` findings in its workspace are only counted. ``file`` is empty where not even the files could be read.
    """

    workspace: str
    file: str
    clean: bool
    entries: int
    version: int
    snapshots: int
    live: bool
    findings: list[Place]
    more: int


class Events(msgspec.Struct):
    """What is to say about the access events: ``broken`` are the first ids at which the chain does not fit,
    ``unreadable`` is why they could not be read."""

    clean: bool
    count: int
    broken: list[int]
    unreadable: str = ""


def verify_events(folder: Path) -> Events:
    """Recomputes the chain of access events. Ends with advice where the folder cannot be read."""
    with reading(folder) as db:
        engine = create_engine("sqlite://", creator=lambda: db, poolclass=StaticPool)
        try:
            with engine.connect() as connection:
                count = connection.execute(select(func.count()).select_from(access_events)).scalar_one()
                broken = list(islice(check(connection), MAX_BROKEN))
        except DatabaseError as error:
            return Events(False, 0, [], str(error.orig))
    return Events(not broken, count, broken)


def verify_folder(folder: Path, names: Sequence[str] = (), server: str = "", token: str = "") -> list[Verdict]:
    """Audits the workspaces of the named files (none: all). Ends with advice where something cannot be reached."""
    live: dict[str, FileSnapshot] = {}
    try:
        if server:
            # Asked before the log is read: whatever a server shows is on disk by then.
            with reading(folder) as db:
                wanted = [file.file_id for workspace in _chosen(db, names) for file in workspace.files]
            live = asyncio.run(_live_texts(server, token_for(folder, token, "viewer"), wanted))
        with reading(folder) as db:
            workspaces = _chosen(db, names)
            with _progress() as progress:
                task = progress.add_task("verifying", total=sum(workspace.last_sequence for workspace in workspaces))
                reports = [_audit(db, at, live, lambda done: progress.advance(task, done)) for at in workspaces]
    except sqlite3.DatabaseError as error:
        finding = Place("storage", None, f"SQLite cannot read the database: {error}")
        return [Verdict(str(folder), "", False, 0, 0, 0, False, [finding], 0)]
    return [
        _verdict(workspace, report, file)
        for workspace, report in zip(workspaces, reports, strict=True)
        for file in report.files
    ]


def _verdict(workspace: Workspace, report: Report, file: FileReport) -> Verdict:
    """Findings about the workspace as a whole are findings about each of its files."""
    findings = [
        Place(found.kind, found.sequence, found.detail)
        for found in report.findings
        if found.file_key in (None, file.file.key)
    ]
    more = report.total - len(report.findings)
    snapshots, live = file.compared.get(SNAPSHOT, 0), LIVE in file.compared
    return Verdict(
        workspace.workspace_id,
        file.file.file_id,
        not findings and not more,
        file.entries,
        file.version,
        snapshots,
        live,
        findings,
        more,
    )


def _chosen(db: sqlite3.Connection, names: Sequence[str]) -> list[Workspace]:
    stored = stored_workspaces(db)
    if not names:
        return stored
    return list({workspace.key: workspace for workspace, _ in (find(stored, name) for name in names)}.values())


def _audit(
    db: sqlite3.Connection, workspace: Workspace, live: dict[str, FileSnapshot], progress: Callable[[int], None]
) -> Report:
    claims = [Claim(SNAPSHOT, found) for file in workspace.files for found in stored_snapshots(db, file.key)]
    for file in workspace.files:
        if file.file_id in live:
            claims.append(Claim(LIVE, live[file.file_id]._replace(file_key=file.key)))
    return audit(workspace, iterate(db, workspace.key), claims, progress)


async def _live_texts(server: str, token: str, file_ids: Sequence[str]) -> dict[str, FileSnapshot]:
    """What the server shows of each file; the key of the file is not known to it."""
    from coscribe.cli.live import connected, open_live

    texts: dict[str, FileSnapshot] = {}
    async with connected(server, token) as client:
        for file_id in file_ids:
            document = await open_live(client, file_id, server)
            text = document.text
            texts[file_id] = FileSnapshot(0, document.version, document.sequence, text, content_hash(text))
            await document.close()
    return texts


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
