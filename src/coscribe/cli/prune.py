"""``coscribe prune``: delete history that is older than it is to be kept."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, err, out, print_json

LEFT = 1


def prune(
    data: Folder = DEFAULT_FOLDER,
    ids: Annotated[bool, typer.Option("--ids", help="Forget the ids of what was pruned, too.")] = False,
    json: Json = False,
) -> None:
    """Delete the history of every document that is older than its retention keeps it. By default that is nothing.

    What is deleted leaves a signed checkpoint: the text and who wrote it, on which the rest of the log hangs;
    `coscribe verify` goes on from there. Documents under legal hold stay whole. See `coscribe retention`.

    Ids stay known, so that an operation that comes again after years is acknowledged, not done twice. With --ids those
    of pruned operations are forgotten; edits of versions from then are refused from now on.

    Stop the server first (a running one prunes by itself, whole segments only). The disk has its space back, and the
    last traces are gone from it, after `coscribe vacuum`. The exit code is 0 where all went well, 1 where something
    could not be pruned and was left as it is, 2 where nothing could be done.

    Examples:

        coscribe prune

        coscribe prune --data /var/lib/coscribe --json

        coscribe prune --ids --data /var/lib/coscribe
    """
    from coscribe.cli.pruning import prune_folder  # here: SQLAlchemy takes long to import

    done = prune_folder(data, ids)
    if json:
        print_json(done)
    else:
        out.print(f"deleted {done.entries:,} entries of {done.documents:,} documents", highlight=False)
        if ids:
            out.print(f"forgot the ids of {done.forgotten:,} documents", highlight=False)
    for workspace_id, reason in done.left.items():
        err.print(f"[red]not pruned:[/red] {escape(f'{workspace_id}: {reason}')}", highlight=False, soft_wrap=True)
    if done.left:
        raise typer.Exit(LEFT)
