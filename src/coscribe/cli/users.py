"""``coscribe users``: the accounts of a server, for administrators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, Shown, asks
from coscribe.cli.common import DEFAULT_SERVER, Json
from coscribe.cli.naming import user_id
from coscribe.cli.show import Columns, ago, confirm, say, show_done

app = typer.Typer(help="The accounts of a server, for administrators.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="A handle, an id or an e-mail address.", metavar="USER")]

_COLUMNS: Columns = {
    "handle": lambda row: row["handle"],
    "name": lambda row: row["displayName"],
    "e-mail": lambda row: row["email"],
    "state": lambda row: row["status"],
    "role": lambda row: "administrator" if row["administrator"] else "",
    "since": lambda row: ago(row["createdAt"]),
    "id": lambda row: row["userId"],
}

_LISTED: Columns = {heading: cell for heading, cell in _COLUMNS.items() if heading != "id"}

_INVITATIONS: Columns = {
    "for": lambda row: row["email"] or "whoever has the link",
    "from": lambda row: row["inviter"] or "the operator",
    "sent": lambda row: ago(row["createdAt"]),
    "ends": lambda row: ago(row["expiresAt"]),
    "id": lambda row: row["invitationId"],
}


@asks(app, "list")
def list_users(
    api: Api,
    query: Annotated[str, typer.Option("--query", help="Part of a handle, name or e-mail address.")] = "",
    limit: Limit = 0,
) -> Listed:
    """List the accounts, by handle. The ids are in --json.

    Examples:

        coscribe users list

        coscribe users list --query example.org --json

        coscribe users list --limit 20 --data /var/lib/coscribe
    """
    found = list(api.pages("/admin/users", limit, query=query))
    return Listed(found, _LISTED, nothing="There is no such account." if query else "There is no account yet.")


@asks(app, "show")
def show_user(api: Api, who: Who) -> Shown:
    """Show an account.

    Examples:

        coscribe users show ann

        coscribe users show ann@example.org --json
    """
    found = api.get(f"/admin/users/{user_id(api, who)}")
    return Shown(found, _COLUMNS)


@app.command("invite")
def invite(
    email: Annotated[str | None, typer.Argument(help="Where the link goes; left out: it is printed here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the link.")] = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Let somebody make an account, with a link that works once and for 14 days.

    Examples:

        coscribe users invite

        coscribe users invite ann@example.org

        coscribe users invite --quiet --data /var/lib/coscribe
    """
    with opened(server, token, data) as api:
        made = api.send("POST", "/admin/invitations", {"email": email} if email else {})
    if quiet:
        typer.echo(made["url"] or "")
        return
    show_done(made, made["url"] or f"A link is on its way to {email}.", json=json)
    if not json:
        shown = "It is shown this once and" if made["url"] else "It"
        say(f"{shown} ends {ago(made['expiresAt'])}; its id is {made['invitationId']}.")


@asks(app, "invitations")
def list_invitations(api: Api, limit: Limit = 0) -> Listed:
    """List the invitations to make an account that nobody has used yet.

    Examples:

        coscribe users invitations

        coscribe users invitations --json
    """
    found = list(api.pages("/admin/invitations", limit))
    return Listed(found, _INVITATIONS, nothing="No invitation is open.")


@asks(app, "uninvite")
def uninvite(api: Api, invitation: Annotated[str, typer.Argument(help="Its id.")]) -> Said:
    """Take back an invitation to make an account.

    Examples:

        coscribe users invitations

        coscribe users uninvite inv_0190c0ffee
    """
    api.send("DELETE", f"/admin/invitations/{quote(invitation, safe='')}")
    return Said({"invitationId": invitation}, f"The invitation {invitation} is taken back.")


@asks(app, "lock")
def lock(api: Api, who: Who, yes: Yes = False) -> Said:
    """Lock an account: nobody signs in to it, and its sessions, tokens and connections end at once.

    Examples:

        coscribe users lock ann

        coscribe users lock ann --yes --json
    """
    found = api.get(f"/admin/users/{user_id(api, who)}")
    confirm(f"Lock {_named(found)}? All that is open ends at once.", yes)
    changed = api.send("PATCH", f"/admin/users/{found['userId']}", {"locked": True})
    return Said(changed, f"{_named(changed)} is locked.")


@asks(app, "unlock")
def unlock(api: Api, who: Who) -> Said:
    """Unlock an account: they can sign in again.

    Examples:

        coscribe users unlock ann

        coscribe users unlock ann --json
    """
    changed = api.send("PATCH", f"/admin/users/{user_id(api, who)}", {"locked": False})
    return Said(changed, f"{_named(changed)} can sign in again.")


@asks(app, "promote")
def promote(api: Api, who: Who) -> Said:
    """Make somebody an administrator.

    Examples:

        coscribe users promote ann

        coscribe users promote ann --data /var/lib/coscribe
    """
    changed = api.send("PATCH", f"/admin/users/{user_id(api, who)}", {"administrator": True})
    return Said(changed, f"{_named(changed)} is an administrator.")


@asks(app, "demote")
def demote(api: Api, who: Who, yes: Yes = False) -> Said:
    """Take the rights of an administrator from somebody. The last one keeps them.

    Examples:

        coscribe users demote ann

        coscribe users demote ann --yes
    """
    found = api.get(f"/admin/users/{user_id(api, who)}")
    confirm(f"Take the rights of an administrator from {_named(found)}?", yes)
    changed = api.send("PATCH", f"/admin/users/{found['userId']}", {"administrator": False})
    return Said(changed, f"{_named(changed)} is no administrator.")


@asks(app, "reset-link")
def reset_link(api: Api, who: Who) -> Said:
    """Make a link to a new password, for somebody without a verified address. It is good once, for an hour.

    Examples:

        coscribe users reset-link ann

        coscribe users reset-link usr_0190c0ffee --json
    """
    found = api.get(f"/admin/users/{user_id(api, who)}")
    made = api.send("POST", f"/admin/users/{found['userId']}/reset-link")
    return Said(made, made["url"])


@asks(app, "sign-out")
def sign_out(api: Api, who: Who, yes: Yes = False) -> Said:
    """End every session of somebody and revoke their API tokens. They can sign in again.

    Examples:

        coscribe users sign-out ann

        coscribe users sign-out ann --yes
    """
    found = api.get(f"/admin/users/{user_id(api, who)}")
    confirm(f"End every session of {_named(found)} and revoke their API tokens?", yes)
    api.send("POST", f"/admin/users/{found['userId']}/sign-out")
    done = {"userId": found["userId"], "handle": found["handle"]}
    return Said(done, f"{_named(found)} is signed out everywhere.")


def _named(row: Row) -> str:
    return f"{row['handle']} ({row['displayName']})"
