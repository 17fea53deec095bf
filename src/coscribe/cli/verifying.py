"""Audits of a whole data folder: the log in it, its snapshots and, where asked for, what a server shows of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from coscribe.cli.common import err, token_for
from coscribe.cli.store import find, reading
from coscribe.documents.audit import Claim, Finding, Report, audit
from coscribe.model import FileSnapshot, Workspace, content_hash
from coscribe.persistence.sqlite import iterate, stored_snapshots, stored_workspaces

SNAPSHOT = "snapshot"
LIVE = "live text"
"""The sources of claims."""


def verify_folder(folder: Path, names: Sequence[str] = (), server: str = "", token: str = "") -> dict[str, Report]:
    """The reports by workspace id. Ends with advice where the folder, a file or the server cannot be read."""
    live: dict[str, FileSnapshot] = {}
    if server:
        # Asked before the log is read: whatever a server shows is on disk by then.
        with reading(folder) as db:
            wanted = [file.file_id for workspace in _chosen(db, names) for file in workspace.files]
        live = asyncio.run(_live_texts(server, token_for(folder, token, "viewer"), wanted))
    try:
        with reading(folder) as db:
            workspaces = _chosen(db, names)
            total = sum(workspace.last_sequence for workspace in workspaces)
            with _progress() as progress:
                task = progress.add_task("verifying", total=total)
                return {
                    workspace.workspace_id: _audit(db, workspace, live, lambda done: progress.advance(task, done))
                    for workspace in workspaces
                }
    except sqlite3.DatabaseError as error:
        finding = Finding("storage", None, None, f"SQLite cannot read the database: {error}")
        return {str(folder): Report(0, [], [finding], 1)}


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
