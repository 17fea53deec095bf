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
from coscribe.cli.common import err, fail, token_for
from coscribe.cli.store import find, reading
from coscribe.core.errors import CoscribeError
from coscribe.documents.audit import Claim, FileReport, Finding, Report, audit
from coscribe.documents.blame import Attribution, Ledger
from coscribe.documents.checkpoints import Checkpoint
from coscribe.model import FileSnapshot, Workspace, content_hash
from coscribe.persistence.closed_log import checkpoint_of, pruned_sequence, remembered
from coscribe.persistence.schema import access_events
from coscribe.persistence.segments import unpack
from coscribe.persistence.signing import PublicKey, public_key
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

    ``history_pruned``: so many entries are not there any more, a checkpoint is in their place.

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
    history_pruned: int = 0


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


def verify_folder(
    folder: Path, names: Sequence[str] = (), server: str = "", token: str = "", key: str = ""
) -> list[Verdict]:
    """Audits the workspaces of the named files (none: all). ``key``: the public one that checkpoints are signed with,
    in hex; "": the folder's. Ends with advice where something cannot be reached."""
    signed_with = _public_key(folder, key)
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
                reports = [
                    _audit(db, at, live, signed_with, lambda done: progress.advance(task, done)) for at in workspaces
                ]
                gone = [pruned_sequence(db, at.key) for at in workspaces]
    except sqlite3.DatabaseError as error:
        finding = Place("storage", None, f"SQLite cannot read the database: {error}")
        return [Verdict(str(folder), "", False, 0, 0, 0, False, [finding], 0)]
    return [
        _verdict(workspace, report, file, pruned)
        for workspace, report, pruned in zip(workspaces, reports, gone, strict=True)
        for file in report.files
    ]


def _verdict(workspace: Workspace, report: Report, file: FileReport, pruned: int) -> Verdict:
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
        pruned,
    )


def _chosen(db: sqlite3.Connection, names: Sequence[str]) -> list[Workspace]:
    stored = stored_workspaces(db)
    if not names:
        return stored
    return list({workspace.key: workspace for workspace, _ in (find(stored, name) for name in names)}.values())


def _audit(
    db: sqlite3.Connection,
    workspace: Workspace,
    live: dict[str, FileSnapshot],
    signed_with: PublicKey | None,
    progress: Callable[[int], None],
) -> Report:
    claims = [Claim(SNAPSHOT, found) for file in workspace.files for found in stored_snapshots(db, file.key)]
    for file in workspace.files:
        if file.file_id in live:
            claims.append(Claim(LIVE, live[file.file_id]._replace(file_key=file.key)))
    begin = checkpoint_of(db, workspace.key)
    try:
        wrong = _wrong_with(db, workspace, begin, signed_with) if begin is not None else []
    except (TypeError, ValueError, CoscribeError) as error:
        wrong = [f"it cannot be read: {error}"]
    report = audit(workspace, iterate(db, workspace.key), claims, progress, begin)
    findings = [Finding("checkpoint", None, None, f"the checkpoint: {what}") for what in wrong]
    return report._replace(findings=findings + report.findings, total=len(findings) + report.total)


def _wrong_with(
    db: sqlite3.Connection, workspace: Workspace, begin: Checkpoint, signed_with: PublicKey | None
) -> list[str]:
    """What is wrong with the checkpoint of a log that was pruned, and with the ids that are kept of what is gone."""
    wrong: list[str] = []
    if signed_with is None:
        wrong.append("there is no key to check its signature with; give --key, or put checkpoint.key back")
    elif signed_with.key_id != begin.key_id:
        wrong.append(f"it was signed with the key {begin.key_id}, this is {signed_with.key_id}")
    elif not signed_with.has_signed(begin.statement(), begin.signature):
        wrong.append("its signature does not fit: it is not what was signed")
    if {file.file_key for file in begin.files} != {file.key for file in workspace.files}:
        wrong.append("it is about other files")
    for file in begin.files:
        if Attribution.load(file.attribution, file.version, begin.sequence, Ledger()).length != len(file.content):
            wrong.append("who wrote its text does not fit the text")
    # Where ids were forgotten, those of versions from the horizon on are known.
    last = None if any(file.horizon for file in begin.files) else 0
    for packed in remembered(db, workspace.key):
        ids = unpack(packed)
        if last not in (None, ids[0].sequence - 1):
            wrong.append(f"ids before sequence {ids[0].sequence} are missing")
        last = ids[-1].sequence
    if last != begin.sequence and (last is not None or any(file.horizon <= file.version for file in begin.files)):
        wrong.append("the ids of what was pruned are missing")
    return wrong


def _public_key(folder: Path, key: str) -> PublicKey | None:
    try:
        return PublicKey(bytes.fromhex(key)) if key else public_key(folder)
    except (OSError, ValueError) as error:
        fail(
            f"the key of the checkpoints cannot be read: {error}", "`coscribe retention key` prints it: 64 hex digits."
        )


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
