"""``coscribe verify``: is everything that was ever acknowledged still there, and unchanged?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from coscribe.cli.common import DEFAULT_FOLDER, DatabaseUrl, Folder, Json, Server, Token, err, out, print_json
from coscribe.cli.show import as_line

if TYPE_CHECKING:
    from coscribe.cli.keeping import KeptAll
    from coscribe.cli.verifying import Verdict

DAMAGED = 1


def verify(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Only these; all if left out. Or a bundle.")
    ] = None,
    data: Folder = DEFAULT_FOLDER,
    database: DatabaseUrl = "",
    server: Server = "",
    token: Token = "",
    key: Annotated[
        str, typer.Option(help="The public key of checkpoints, kept elsewhere, or its file; left out: the folder's.")
    ] = "",
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="An audit checkpoint that was kept, which the log is held to. May be given several times."),
    ] = None,
    json: Json = False,
) -> None:
    """Prove that the log is whole: recompute its hashes, replay it, compare with every snapshot; read every content
    that is no text and that the log refers to.
    The chain of access events is recomputed, too. Of a log that was pruned the checkpoint's signature is checked, and
    it is replayed from there.

    Audit checkpoints, those in the folder and those given with --checkpoint, are compared with the log and with the
    access events: a past that is another one now is found, and where it forks.

    Of a bundle that `coscribe audit export` has written, with --key, the same is proved with nothing but that: no
    folder and no server is needed.

    With --server also with what the server shows right now. Works while a server runs on the folder. The exit code is 0
    where all is well, 1 where something is damaged, 2 where it could not be checked.

    Examples:

        coscribe verify

        coscribe verify notes --data /var/lib/coscribe

        coscribe verify --checkpoint release-notes.checkpoint --key coscribe.pub --data /var/lib/coscribe

        coscribe verify release-notes.audit --key coscribe.pub --checkpoint release-notes.checkpoint

        coscribe verify --server http://127.0.0.1:8777 --json

        COSCRIBE_DATABASE_URL=postgresql://... coscribe verify --data /var/lib/coscribe
    """
    from coscribe.cli.keeping import is_bundle, read_kept  # here and below: what they import takes long

    kept = read_kept(checkpoint or ())
    if files and len(files) == 1 and is_bundle(Path(files[0])):
        _verify_bundle(Path(files[0]), key, kept, json=json)
        return
    from coscribe.cli.store import Store
    from coscribe.cli.verifying import verify_events, verify_store

    store = Store(data, database)
    verdicts = verify_store(store, files or (), server, token, key, kept)
    events = verify_events(store)
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
        what = "database" if database else "folder"
        err.print(f"[red]Damaged.[/red] Keep a copy of the {what} as it is, then restore it from a backup.")
        raise typer.Exit(DAMAGED)


def _verify_bundle(path: Path, key: str, kept: KeptAll, *, json: bool) -> None:
    from coscribe.cli.bundles import verify_bundle

    verdict = verify_bundle(path, key, kept)
    if json:
        print_json(verdict)
    else:
        state = "[green]ok[/green]     " if verdict.clean else "[red]DAMAGED[/red]"
        pruned = f", {verdict.history_pruned:,} entries pruned" if verdict.history_pruned else ""
        pruned += f", {verdict.redacted:,} entries redacted" if verdict.redacted else ""
        extent = (
            f"{verdict.entries:,} entries up to sequence {verdict.sequence:,}, {verdict.files:,} files,"
            f" {verdict.states:,} states, {verdict.events:,} access events,"
            f" {verdict.checkpoints:,} audit checkpoints{pruned}"
        )
        out.print(f"{state} {escape(verdict.workspace)}  {extent}", highlight=False, soft_wrap=True)
        for place in verdict.findings:
            where = f"line {place.line}: " if place.line else ""
            where += "" if place.sequence is None else f"sequence {place.sequence}: "
            out.print(f"        {where}{as_line(place.detail)}", highlight=False, markup=False, soft_wrap=True)
        if verdict.more:
            out.print(f"        and {verdict.more:,} more", highlight=False)
    if not verdict.clean:
        err.print("[red]Damaged.[/red] This bundle does not prove what it says.")
        raise typer.Exit(DAMAGED)


def _print(verdicts: list[Verdict]) -> None:
    width = max(len(verdict.file) for verdict in verdicts)
    for verdict in verdicts:
        state = "[green]ok[/green]     " if verdict.clean else "[red]DAMAGED[/red]"
        plural = "" if verdict.snapshots == 1 else "s"
        compared = f"{verdict.snapshots} snapshot{plural}" + (", live text" if verdict.live else "")
        if verdict.checkpoints:
            compared += f", {verdict.checkpoints} audit checkpoint" + ("" if verdict.checkpoints == 1 else "s")
        pruned = f", {verdict.history_pruned:,} entries pruned" if verdict.history_pruned else ""
        pruned += f", {verdict.redacted:,} entries redacted" if verdict.redacted else ""
        extent = f"{verdict.entries:,} entries, version {verdict.version:,}, {compared}{pruned}"
        out.print(f"{state} {verdict.file:<{width}}  {extent}", highlight=False, soft_wrap=True)
        for place in verdict.findings:
            where = "" if place.sequence is None else f"sequence {place.sequence}: "
            out.print(f"        {where}{place.detail} ({place.kind})", highlight=False, markup=False, soft_wrap=True)
        if verdict.more:
            out.print(f"        and {verdict.more:,} more", highlight=False)
