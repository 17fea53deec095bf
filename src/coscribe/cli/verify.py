"""``coscribe verify``: is everything that was ever acknowledged still there, and unchanged?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, Server, Token, err, out, print_json

if TYPE_CHECKING:
    from coscribe.cli.verifying import Verdict

DAMAGED = 1


def verify(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Only these; all if left out.")] = None,
    data: Folder = DEFAULT_FOLDER,
    server: Server = "",
    token: Token = "",
    key: Annotated[
        str, typer.Option(help="The public key of checkpoints, kept elsewhere; left out: the folder's.")
    ] = "",
    json: Json = False,
) -> None:
    """Prove that the log is whole: recompute its hashes, replay it, compare with every snapshot.
    The chain of access events is recomputed, too. Of a log that was pruned the checkpoint's signature is checked, and
    it is replayed from there.

    With --server also with what the server shows right now. Works while a server runs on the folder. The exit code is 0
    where all is well, 1 where something is damaged, 2 where it could not be checked.

    Examples:

        coscribe verify

        coscribe verify notes --data /var/lib/coscribe

        coscribe verify --server http://127.0.0.1:8777 --json
    """
    from coscribe.cli.verifying import verify_events, verify_folder  # here: SQLAlchemy takes long to import

    verdicts = verify_folder(data, files or (), server, token, key)
    events = verify_events(data)
    clean = events.clean and all(verdict.clean for verdict in verdicts)
    if json:
        print_json({"clean": clean, "files": verdicts, "events": events})
    elif verdicts:
        _print(verdicts)
    else:
        out.print("The log is empty: nothing has been written yet.", highlight=False)
    if not json and not events.clean:
        what = events.unreadable or f"the chain does not fit at {', '.join(map(str, events.broken))}"
        out.print(f"[red]DAMAGED[/red] access events: {what}", highlight=False)
    if not clean:
        err.print("[red]Damaged.[/red] Keep a copy of the folder as it is, then restore it from a backup.")
        raise typer.Exit(DAMAGED)


def _print(verdicts: list[Verdict]) -> None:
    width = max(len(verdict.file) for verdict in verdicts)
    for verdict in verdicts:
        state = "[green]ok[/green]     " if verdict.clean else "[red]DAMAGED[/red]"
        plural = "" if verdict.snapshots == 1 else "s"
        compared = f"{verdict.snapshots} snapshot{plural}" + (", live text" if verdict.live else "")
        pruned = f", {verdict.history_pruned:,} entries pruned" if verdict.history_pruned else ""
        extent = f"{verdict.entries:,} entries, version {verdict.version:,}, {compared}{pruned}"
        out.print(f"{state} {verdict.file:<{width}}  {extent}", highlight=False, soft_wrap=True)
        for place in verdict.findings:
            where = "" if place.sequence is None else f"sequence {place.sequence}: "
            out.print(f"        {where}{place.detail} ({place.kind})", highlight=False, markup=False, soft_wrap=True)
        if verdict.more:
            out.print(f"        and {verdict.more:,} more", highlight=False)
