"""``coscribe events`` and ``coscribe keys``: what administrators of the server itself need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, opened
from coscribe.cli.asking import Listed, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, err, written
from coscribe.cli.show import Columns, ago, show_done

app = typer.Typer(
    help="Access events of the whole server: who saw, changed, shared, was refused.", no_args_is_help=True
)
keys = typer.Typer(help="The keys that the server signs access tokens with.", no_args_is_help=True)

EVENTS: Columns = {
    "when": lambda row: ago(row["time"]),
    "who": lambda row: row["actor"],
    "what": lambda row: row["action"],
    "outcome": lambda row: row["outcome"],
    "document": lambda row: row["documentId"],
    "whom": lambda row: row["subject"],
    "from": lambda row: row["address"],
}


@asks(app, "list")
def list_events(api: Api, limit: Limit = 50) -> Listed:
    """List access events, the newest first. See `coscribe documents events` for those of one document.

    Examples:

        coscribe events list

        coscribe events list --limit 500 --json
    """
    found = list(api.pages("/admin/events", limit))
    return Listed(found, EVENTS, nothing="Nothing has happened yet.")


@app.command("export")
def export_events(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; left out: stdout.", dir_okay=False)
    ] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Export all access events, the oldest first: one JSON object a line (NDJSON), with or without --json.

    A file is there when it is whole, or not at all.

    Examples:

        coscribe events export --output events.ndjson

        coscribe events export --data /var/lib/coscribe | gzip > events.ndjson.gz
    """
    with opened(server, token, data) as api:
        newest = api.get("/admin/events", limit=1)["items"]
        total = newest[0]["eventId"] if newest else 0
        with written(output, "--output") as file, api.reading("/admin/events/export") as lines:
            count = 0
            for line in _counted(lines, total):
                file.write(f"{line}\n".encode())
                count += 1
    if output is not None:
        show_done({"file": str(output), "events": count}, f"{count:,} events are in {output}.", json=json)


@keys.command("rotate")
def rotate(server: At = DEFAULT_SERVER, token: Given = "", data: Operator = None, json: Json = False) -> None:
    """Sign new access tokens with a new key. Those that are out stay good until they expire, ten minutes at most.

    Examples:

        coscribe keys rotate

        coscribe keys rotate --data /var/lib/coscribe --json
    """
    with opened(server, token, data) as api:
        made = api.send("POST", "/admin/signing-keys")
    show_done(made, f"Access tokens are signed with the key {made['keyId']} from now on.", json=json)


def _counted(lines: Iterable[str], total: int) -> Iterator[str]:
    """The lines, with a bar that says how many of about ``total`` have come."""
    from rich.progress import track

    return iter(
        track(lines, "exporting", total=total or None, console=err, transient=True, disable=not err.is_terminal)
    )
