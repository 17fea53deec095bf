"""``coscribe restore``: a data folder made of a backup, as it was or as it was at a moment."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from coscribe.cli.common import DEFAULT_FOLDER, DatabaseUrl, Json, fail, out, print_json
from coscribe.cli.show import show_done


def restore(
    backup: Annotated[
        Path | None, typer.Argument(help="A folder that `coscribe backup` has made. It is only read.")
    ] = None,
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="The folder to make; it must not exist yet, or be empty.", envvar="COSCRIBE_FOLDER"
        ),
    ] = DEFAULT_FOLDER,
    at: Annotated[
        str, typer.Option("--at", help="Take the texts back to this moment: 2026-11-22T10:00:00Z.", metavar="TIME")
    ] = "",
    new_incarnation: Annotated[
        bool,
        typer.Option(
            "--new-incarnation", help="Without BACKUP: of what is there already, restored by other means, verified."
        ),
    ] = False,
    database: DatabaseUrl = "",
    json: Json = False,
) -> None:
    """Make a data folder of a backup. The copy is verified like with `coscribe verify` before it gets its name.

    Every log starts a new incarnation. A client that has seen more than the backup holds notices it when it comes
    back, takes the text of the server, and hands what it had not got through back to its author as a patch.

    With --at every log ends at its last entry that is not later than TIME, by the server's clock.
    **Taken back**: texts and versions; with them the ids of the operations that are gone, snapshots of them, and names
    given to versions that are gone. A document that is younger than TIME is empty.
    **Not taken back**: which documents there are and what they are called, members and roles, invitations, links,
    accounts, passwords, sessions, tokens, groups, access events. They are as in the backup.

    What was withdrawn after the backup was made is good again (sessions, tokens, links, roles, passwords): look at
    them, and at `coscribe keys rotate` and `coscribe users sign-out`. The backup itself is not changed.

    A PostgreSQL is restored by its own means. Behind that, and before anything is started on it, --new-incarnation
    verifies it and does to it what is said of incarnations above. Likewise with a folder whose database was moved away
    and is to be served again.

    Examples:

        coscribe restore /backups/2026-11-22 --data /var/lib/coscribe

        coscribe restore /backups/2026-11-22 --data restored --at 2026-11-22T10:00:00Z

        coscribe restore /backups/2026-11-22 --data restored --at 2026-11-22T11:00:00+01:00 --json

        coscribe restore --new-incarnation --database postgresql://coscribe:password@db.example.org/coscribe
    """
    if new_incarnation == (backup is not None) or (at and new_incarnation):
        fail("give BACKUP or --new-incarnation", "`coscribe restore --help` says what is what.")
    moment = _moment(at) if at else None

    from coscribe.cli.backing_up import FolderError  # here: SQLAlchemy takes long to import
    from coscribe.cli.restoring import renew
    from coscribe.cli.restoring import restore as make
    from coscribe.cli.store import Store

    try:
        if backup is None:
            renewed = renew(Store(data, database))
            words = f"{renewed.store}: verified, {renewed.workspaces:,} logs are others from now on"
            show_done(msgspec.to_builtins(renewed), words, json=json)
            return
        restored = make(backup, data, moment)
    except FolderError as error:
        fail(str(error), error.advice, code=1)
    if json:
        print_json(restored)
        return
    out.print(
        f"{data}: {restored.workspaces:,} documents, verified, as of {restored.made_at}",
        highlight=False,
        soft_wrap=True,
    )
    for cut in restored.cuts:
        out.print(
            f"  {cut.workspace_id}: ends at sequence {cut.kept:,}, {cut.removed:,} operations taken back",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if restored.at is not None and not restored.cuts:
        out.print(f"  Nothing was written after {restored.at}: nothing is taken back.", highlight=False)
    if not restored.token_key:
        out.print("  Set COSCRIBE_TOKEN_SECRET to what it was: it is not in the backup.", highlight=False)
    out.print(f"Start it: coscribe serve --data {data}", highlight=False, markup=False, soft_wrap=True)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time", "Write it like 2026-11-22T10:00:00Z.")
    if moment.tzinfo is None:
        fail(f"{text} may be any of 24 moments", "Say the time zone: 2026-11-22T10:00:00Z, or +01:00 in place of Z.")
    return moment
