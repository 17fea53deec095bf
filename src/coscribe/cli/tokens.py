"""``coscribe tokens``: one's API tokens."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from coscribe.cli.api import Api, At, Given, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, fail
from coscribe.cli.naming import document
from coscribe.cli.show import Columns, ago, confirm, say, show_done

app = typer.Typer(help="API tokens for bots and scripts: list, create, revoke.", no_args_is_help=True)


class Scope(StrEnum):
    """What an API token may do, each more than the one before."""

    read = "read"
    edit = "edit"
    manage = "manage"


_COLUMNS: Columns = {
    "name": lambda row: row["name"],
    "begins": lambda row: row["prefix"],
    "may": lambda row: row["scope"],
    "document": lambda row: row["documentId"] or "all",
    "used": lambda row: ago(row["usedAt"]),
    "state": lambda row: f"revoked {ago(row['revokedAt'])}" if row["revokedAt"] else f"ends {ago(row['expiresAt'])}",
}


@asks(app, "list")
def list_tokens(
    api: Api, revoked: Annotated[bool, typer.Option("--revoked", help="Those too that were revoked.")] = False
) -> Listed:
    """List your API tokens, the newest first. The secrets are not among it: nobody has them but whom you gave them to.

    Examples:

        coscribe tokens list

        coscribe tokens list --revoked --json
    """
    found = [row for row in api.get("/account/tokens")["items"] if revoked or not row["revokedAt"]]
    return Listed(found, _COLUMNS, nothing="You have no API tokens.")


@app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[Scope, typer.Option(help="What it may do.")] = Scope.read,
    days: Annotated[int, typer.Option(help="How long it lasts.", min=1)] = 90,
    only: Annotated[str, typer.Option("--document", help="The only document it is for; left out: all.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the secret.")] = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Make an API token. Its secret is shown once. It may never do more than you may.

    Examples:

        coscribe tokens create "release bot" --scope edit --days 30

        coscribe tokens create reader --document "Release notes"

        COSCRIBE_TOKEN="$(coscribe tokens create ci --quiet)"
    """
    with opened(server, token, data) as api:
        body: Row = {"name": name, "scope": scope, "days": days}
        if only:
            body["documentId"] = document(api, only, "active", "archived")["documentId"]
        made = api.send("POST", "/account/tokens", body)
    if quiet:
        typer.echo(made["secret"])
        return
    show_done(made, made["secret"], json=json)
    if not json:
        say(f"It is shown this once. It ends {ago(made['expiresAt'])}; its id is {made['tokenId']}.")


@asks(app, "revoke")
def revoke_token(
    api: Api,
    which: Annotated[str, typer.Argument(help="Its id, name, or how its secret begins.", metavar="TOKEN")],
    yes: Yes = False,
) -> Said:
    """Revoke an API token of yours: it opens nothing any more, at once and everywhere.

    Examples:

        coscribe tokens revoke "release bot"

        coscribe tokens revoke cst_1a2b3c4d --yes
    """
    found = _find(api, which)
    confirm(f"Revoke the token {found['name']!r} ({found['prefix']}...)?", yes)
    api.send("DELETE", f"/account/tokens/{found['tokenId']}")
    done = {"tokenId": found["tokenId"], "name": found["name"]}
    return Said(done, f"Revoked {found['name']!r} ({found['tokenId']}).")


def _find(api: Api, which: str) -> Row:
    tokens: list[Row] = [row for row in api.get("/account/tokens")["items"] if not row["revokedAt"]]
    found = [row for row in tokens if which in (row["tokenId"], row["name"], row["prefix"])]
    if len(found) != 1:
        candidates = ", ".join(f"{row['name']} ({row['tokenId']})" for row in (found or tokens)[:5])
        advice = f"There is: {candidates}." if candidates else "You have none."
        if found:
            fail(f"{len(found)} tokens are called {which!r}", advice)
        fail(f"there is no token {which!r} that is not revoked", advice, code=1)
    return found[0]
