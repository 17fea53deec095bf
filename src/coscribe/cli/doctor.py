"""``coscribe doctor``: is everything here as a server needs it?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from coscribe.cli.common import DEFAULT_FOLDER, DatabaseUrl, Folder, Json, http_url, out, print_json

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    data: Folder = DEFAULT_FOLDER,
    database: DatabaseUrl = "",
    server: Annotated[
        str, typer.Option("--server", help="Ask a running server, too: http://host:port.", envvar="COSCRIBE_SERVER")
    ] = "",
    json: Json = False,
) -> None:
    """Look for what keeps a server from running well: one line for each thing, and what to do about it.

    It looks at Python and SQLite, at what is built, at the settings in the environment, at the data folder, its disk
    and its database, or at the PostgreSQL, at clocks and limits. It changes nothing, and may run beside a server. The
    exit code is 1 where there is a problem.

    Examples:

        coscribe doctor

        coscribe doctor --data /var/lib/coscribe --server http://127.0.0.1:8777

        coscribe doctor --json
    """
    from coscribe.cli.checks import Check, examine  # here: SQLAlchemy takes long to import

    checks: list[Check] = []
    for check in examine(data, http_url(server) if server else "", database):
        checks.append(check)
        if not json:
            mark = f"[{_COLOURS[check.state]}]{check.state:<8}[/{_COLOURS[check.state]}]"
            out.print(f"{mark} {check.name:<14} {escape(check.found)}", highlight=False, soft_wrap=True)
            if check.advice:
                out.print(f"         {'':<14} -> {escape(check.advice)}", highlight=False, soft_wrap=True)
    healthy = all(check.state != "problem" for check in checks)
    if json:
        print_json({"healthy": healthy, "checks": checks})
    if not healthy:
        raise typer.Exit(1)
