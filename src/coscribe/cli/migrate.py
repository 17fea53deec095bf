"""``coscribe migrate``: from the folder's SQLite to a PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, fail, out, print_json


def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The PostgreSQL: postgresql://user:password@host:port/name. It has to be empty.",
            metavar="URL",
            envvar="COSCRIBE_DATABASE_URL",
        ),
    ],
    data: Folder = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Move all that a data folder's database holds, and the contents beside it, into a PostgreSQL.

    Stop the server first. The folder is audited as `coscribe verify` does, every row is copied, and what PostgreSQL
    gives back is compared and audited again; only then the target may be served. Clients go on as if nothing had
    happened. Where it is cut off, run it again: it goes on where it was.

    The folder stays as it is, but no server starts on its database any more. Its keys (`token.key`, `checkpoint.key`)
    are still needed: the server runs with --data of this folder, or of one that has them.

    The exit code is 1 where something in the folder is damaged or does not fit, 2 where nothing could be done.

    Examples:

        coscribe migrate --data /var/lib/coscribe --to postgresql://coscribe:password@db.example.org/coscribe

        COSCRIBE_DATABASE_URL=postgresql://... coscribe migrate --data /var/lib/coscribe --json
    """
    from coscribe.cli.moving import MoveError, bars, move  # here: SQLAlchemy takes long to import
    from coscribe.documents.ports import StorageError

    try:
        with bars() as begin:
            moved = move(data, to, begin)
    except MoveError as error:
        fail(str(error), error.advice, code=1 if error.damaged else 2)
    except StorageError as error:
        fail(f"it was not moved: {error}", "Is the database there, and may you make tables in it? Then run this again.")
    if json:
        print_json(moved)
        return
    if moved.before:
        out.print(f"{moved.source} was moved to {moved.target} before.", highlight=False, soft_wrap=True)
    else:
        out.print(
            f"{moved.target}: {moved.workspaces:,} documents and workspaces, {moved.entries:,} entries, "
            f"{moved.rows:,} rows, verified",
            highlight=False,
            soft_wrap=True,
        )
    out.print(
        f"Start it: COSCRIBE_DATABASE_URL=... coscribe serve --data {data}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
