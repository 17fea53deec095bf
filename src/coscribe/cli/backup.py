"""``coscribe backup``: a copy of a data folder, while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, DatabaseUrl, Folder, Json, err, fail, out, print_json


def backup(
    target: Annotated[Path, typer.Argument(help="A folder for the copy; it must not exist yet, or be empty.")],
    data: Folder = DEFAULT_FOLDER,
    database: DatabaseUrl = "",
    json: Json = False,
) -> None:
    """Copy the data folder while the server runs on it: everything that was acknowledged before the command began.

    People go on typing; the copy shows one moment. TARGET gets the database, the contents that are no text, the key
    that signs tokens and a manifest (time, versions, last sequence and chain hash of each workspace). Whoever can read
    it can read everything: it is made for its owner only. What was set by environment variables is not in it.

    `coscribe verify --data TARGET` proves that it is whole. Bring it back with `coscribe restore`; do not run a server
    on it, for clients that have seen what came later would not notice. A PostgreSQL is backed up by its own means.

    Examples:

        coscribe backup /backups/2026-11-22

        coscribe backup --data /var/lib/coscribe "/backups/$(date +%F)"

        coscribe backup --json /backups/today
    """
    if database:
        fail(
            "the database is a PostgreSQL, which is backed up by its own means: pg_dump, or base backups and its log",
            f"Keep the keys in {data} beside it. A restored one is proved by `coscribe verify --database URL`, and made"
            " one of its own by `coscribe restore --new-incarnation --database URL`: see docs/operations.md.",
        )
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from coscribe.cli.backing_up import FolderError, back_up  # here: SQLAlchemy takes long to import

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    try:
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("copying", total=None)
            manifest = back_up(data, target, lambda done, total: bar.update(task, completed=done, total=total))
    except FolderError as error:
        fail(str(error), error.advice, code=1)
    if json:
        print_json(manifest)
        return
    size, count = manifest.database_bytes / 1e6, len(manifest.workspaces)
    out.print(
        f"{target}: {count:,} documents, {size:,.1f} MB, as of {manifest.made_at}", highlight=False, soft_wrap=True
    )
    if manifest.lacking:
        err.print(
            f"[yellow]{len(manifest.lacking):,} contents are missing or damaged, and are not in the copy; "
            f"`coscribe verify` names them and their files.[/yellow]"
        )
    if not manifest.token_key:
        err.print("[yellow]The key that signs tokens is a setting of this server: keep it elsewhere.[/yellow]")
