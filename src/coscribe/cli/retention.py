"""``coscribe retention``: how long the history of documents is kept, and legal holds."""

from __future__ import annotations

from typing import Annotated

import typer

from coscribe.cli.api import Api, Row
from coscribe.cli.asking import Said, Shown, asks
from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, fail
from coscribe.cli.documents import NOT_DELETED, Which
from coscribe.cli.naming import document_path
from coscribe.cli.show import Columns, ago, show_done

app = typer.Typer(help="How long the history of documents is kept; legal holds.", no_args_is_help=True)


def _kept(row: Row) -> str:
    days = "for ever" if not row["days"] else f"{row['days']} days"
    return days if row["own"] else f"{days} (as the server's settings say)"


def _held(row: Row) -> str:
    hold = row["hold"]
    return "no" if hold is None else f"since {ago(hold['heldAt'])}, by {hold['heldBy']}: {hold['reason']}"


def _pruned(row: Row) -> str:
    gone = row["pruned"]
    return "nothing" if gone is None else f"{gone['sequence']} entries; the history begins at version {gone['version']}"


_COLUMNS: Columns = {"history is kept": _kept, "legal hold": _held, "deleted already": _pruned}


@asks(app, "show")
def show(api: Api, which: Which) -> Shown:
    """Show how long the history of a document is kept, whether it is held, and what was deleted.

    Examples:

        coscribe retention show "Release notes"

        coscribe retention show doc_0190c0ffee --json
    """
    found = api.get(f"{document_path(api, which, *NOT_DELETED)}/retention")
    return Shown(found, _COLUMNS)


@asks(app, "set")
def set_retention(
    api: Api,
    which: Which,
    days: Annotated[
        int | None, typer.Option(help="What is older is deleted; 0: nothing is. Left out: as the settings say.", min=0)
    ] = None,
) -> Said:
    """Say how long the history of a document is kept. The text itself always stays.

    Examples:

        coscribe retention set "Release notes" --days 365

        coscribe retention set "Release notes" --days 0

        coscribe retention set "Release notes"
    """
    path = f"{document_path(api, which, *NOT_DELETED)}/retention"
    found = api.send("PUT", path, {"days": days})
    return Said(found, f"Its history is kept {_kept(found)}.")


@asks(app, "hold")
def hold(api: Api, which: Which, reason: Annotated[str, typer.Option(help="Why, for whoever looks later.")]) -> Said:
    """Put a document under legal hold: nothing of it is deleted. For administrators.

    Examples:

        coscribe retention hold "Release notes" --reason "Example versus Example, 2026"

        coscribe retention hold doc_0190c0ffee --reason audit --data /var/lib/coscribe
    """
    path = f"/admin{document_path(api, which, *NOT_DELETED)}/hold"
    found = api.send("PUT", path, {"reason": reason})
    return Said(found, "It is held: nothing of it is deleted.")


@asks(app, "release")
def release(api: Api, which: Which) -> Said:
    """End the legal hold of a document. For administrators.

    Examples:

        coscribe retention release "Release notes"

        coscribe retention release doc_0190c0ffee --data /var/lib/coscribe
    """
    found = api.send("DELETE", f"/admin{document_path(api, which, *NOT_DELETED)}/hold")
    return Said(found, f"It is not held any more. Its history is kept {_kept(found)}.")


@app.command("key")
def key(data: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Print the public key that checkpoints of a data folder are signed with, for `coscribe verify --key`.
    Keep it elsewhere: whoever can write the whole folder can make another one.

    Examples:

        coscribe retention key

        coscribe retention key --data /var/lib/coscribe --json
    """
    from coscribe.persistence.signing import public_key  # here: it takes long to import

    try:
        found = public_key(data)
    except (OSError, ValueError) as error:
        fail(f"the key of {data} cannot be read: {error}", "Run it as whoever runs the server.")
    if found is None:
        fail(f"nothing was signed in {data} yet", "The key is made when history is pruned for the first time.")
    show_done({"keyId": found.key_id, "publicKey": found.hex}, found.hex, json=json)
