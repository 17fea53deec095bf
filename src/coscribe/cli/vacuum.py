"""``coscribe vacuum``: the data folder as small as it can be without losing anything."""

from __future__ import annotations

import typer
from rich.markup import escape

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, err, out, print_json

LEFT = 1


def vacuum(data: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Make the data folder smaller: compress the closed parts of every log, remove contents that nothing refers to any
    more, give free space back to the disk.

    A running server compresses as it goes, and uses free space again; this does what it leaves, such as logs from
    before there was compression. Nothing is lost: history, `coscribe verify` and all the rest read what is compressed.

    Stop the server first. For a while it needs free space of the database's size; interrupted, it has done a part, or
    nothing. The exit code is 0 where all went well, 1 where part of a log could not be compressed and was left as it is
    (`coscribe verify` says what is wrong with it), 2 where nothing could be done.

    Examples:

        coscribe vacuum

        coscribe vacuum --data /var/lib/coscribe

        coscribe vacuum --data /var/lib/coscribe --json
    """
    from coscribe.cli.vacuuming import vacuum_folder  # here: SQLAlchemy takes long to import

    done = vacuum_folder(data)
    if json:
        print_json(done)
    else:
        out.print(
            f"compressed {done.entries:,} entries of the log into {done.segments:,} segments\n"
            f"removed {done.blobs:,} contents that nothing refers to ({done.blob_bytes / 1e6:,.1f} MB)\n"
            f"the database had {done.bytes_before / 1e6:,.1f} MB, and has {done.bytes_after / 1e6:,.1f} MB",
            highlight=False,
        )
    for workspace_id, reason in done.left.items():
        err.print(f"[red]not compressed:[/red] {escape(f'{workspace_id}: {reason}')}", highlight=False, soft_wrap=True)
    if done.left:
        raise typer.Exit(LEFT)
