"""``coscribe members``: who has access to a document."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DAY, DEFAULT_SERVER, Json, fail
from coscribe.cli.naming import document_path, member_id, user_id
from coscribe.cli.show import Columns, ago, confirm, say, show_done, show_list

app = typer.Typer(help="Who has access to a document: members, invitations, links, bans.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="The document: its id, or the beginning of its name.", metavar="DOCUMENT")]
Who = Annotated[str, typer.Argument(help="A handle or an id; of members also a group's name.", metavar="WHO")]


class Role(StrEnum):
    """What a member can be."""

    viewer = "viewer"
    editor = "editor"
    owner = "owner"


class Lower(StrEnum):
    """What somebody can be who does not own the document."""

    viewer = "viewer"
    editor = "editor"


_MEMBERS: Columns = {
    "role": lambda row: row["role"],
    "who": lambda row: row["handle"] or row["name"],
    "name": lambda row: row["name"],
    "kind": lambda row: row["kind"],
    "since": lambda row: ago(row["addedAt"]),
}

_INVITATIONS: Columns = {
    "for": lambda row: row["user"]["handle"] if row["user"] else row["email"],
    "role": lambda row: row["role"],
    "from": lambda row: row["inviter"] or "the operator",
    "ends": lambda row: ago(row["expiresAt"]),
    "id": lambda row: row["invitationId"],
}

_ENTRIES: Columns = {"who": lambda row: row["text"], "outcome": lambda row: row["outcome"]}

_BANS: Columns = {
    "who": lambda row: row["user"]["handle"],
    "name": lambda row: row["user"]["displayName"],
    "since": lambda row: ago(row["bannedAt"]),
}

_LINKS: Columns = {
    "role": lambda row: row["role"],
    "visitors": lambda row: row["visitors"],
    "made": lambda row: ago(row["createdAt"]),
    "ends": lambda row: ago(row["expiresAt"]),
    "id": lambda row: row["linkId"],
}


@asks(app, "list")
def list_members(api: Api, which: Which, limit: Limit = 0) -> Listed:
    """List everybody who has access, in the order in which they came.

    Examples:

        coscribe members list "Release notes"

        coscribe members list doc_0190c0ffee --json
    """
    found = list(api.pages(f"{_path(api, which)}/members", limit))
    return Listed(found, _MEMBERS, nothing="Nobody has access.")


@app.command("invite")
def invite(
    which: Which,
    people: Annotated[list[str] | None, typer.Argument(help="Handles, ids or addresses.", metavar="WHO")] = None,
    role: Annotated[Role, typer.Option(help="As what.")] = Role.viewer,
    file: Annotated[
        Path | None, typer.Option("--file", help="A list of people: between commas or lines; - reads stdin.")
    ] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Invite people, and say of each what came of it. They accept or decline.

    Examples:

        coscribe members invite "Release notes" bob --role editor

        coscribe members invite "Release notes" bob cem@example.org

        coscribe members invite "Release notes" --file choir.txt
    """
    listed = list(people or ())
    if file is not None:
        listed.append(_read(file))
    if not listed:
        fail("nobody is named", "Name people by handle, id or e-mail address, or give --file.")
    with opened(server, token, data) as api:
        path = f"{_path(api, which)}/invitations"
        if len(listed) == 1 and file is None:
            made = api.send("POST", path, {"who": listed[0], "role": role})
            show_done(made, f"Invited {listed[0]} as {role}; the invitation is {made['invitationId']}.", json=json)
        else:
            answer = api.send("POST", f"{path}/list", {"people": "\n".join(listed), "role": role})
            show_list(answer["items"], _ENTRIES, json=json, nothing="The list is empty.")


@asks(app, "invitations")
def list_invitations(api: Api, which: Which, limit: Limit = 0) -> Listed:
    """List the invitations that nobody has answered yet.

    Examples:

        coscribe members invitations "Release notes"

        coscribe members invitations doc_0190c0ffee --json
    """
    found = list(api.pages(f"{_path(api, which)}/invitations", limit))
    return Listed(found, _INVITATIONS, nothing="No invitation is open.")


@asks(app, "uninvite")
def uninvite(api: Api, which: Which, invitation: Annotated[str, typer.Argument(help="The invitation's id.")]) -> Said:
    """Take back an invitation.

    Examples:

        coscribe members invitations "Release notes"

        coscribe members uninvite "Release notes" inv_0190c0ffee
    """
    api.send("DELETE", f"{_path(api, which)}/invitations/{quote(invitation, safe='')}")
    return Said({"invitationId": invitation}, f"The invitation {invitation} is taken back.")


@asks(app, "set")
def set_role(api: Api, which: Which, who: Who, role: Annotated[Role, typer.Argument(help="As what.")]) -> Said:
    """Change the role of a member; it counts at once, for open documents too. Administrators add anybody.

    Examples:

        coscribe members set "Release notes" bob viewer

        coscribe members set doc_0190c0ffee grp_0190c0ffee editor

        coscribe members set "Release notes" ann owner --data /var/lib/coscribe
    """
    path = _path(api, which)
    changed = api.send("PUT", f"{path}/members/{_somebody(api, path, who)}", {"role": role})
    return Said(changed, f"{changed['handle'] or changed['name']} is {_as(changed['role'])} now.")


@asks(app, "remove")
def remove(api: Api, which: Which, who: Who, yes: Yes = False) -> Said:
    """Take somebody's access away, from open documents too. They may come back by a group, a link or an invitation.

    Examples:

        coscribe members remove "Release notes" bob

        coscribe members remove doc_0190c0ffee bob --yes
    """
    path = _path(api, which)
    member = _somebody(api, path, who)
    confirm(f"Take the access to {which!r} from {who}?", yes)
    removal = api.send("DELETE", f"{path}/members/{member}")
    words = f"{who} is removed."
    if removal["remaining"]:
        words += f" A group still makes them {_as(removal['remaining'])}."
    if removal["byLink"]:
        words += f" A link that they know would make them {_as(removal['byLink'])} again; a ban prevents it."
    return Said({"memberId": member, **removal}, words)


@asks(app, "ban")
def ban(api: Api, which: Which, who: Who, yes: Yes = False) -> Said:
    """Take somebody's access away, and let them in by no invitation, link or group until the ban is lifted.

    Examples:

        coscribe members ban "Release notes" bob

        coscribe members ban doc_0190c0ffee bob --yes
    """
    path = _path(api, which)
    person = _somebody(api, path, who)
    confirm(f"Keep {who} out of {which!r}?", yes)
    banned = api.send("PUT", f"{path}/bans/{person}")
    return Said(banned, f"{banned['user']['handle']} is kept out.")


@asks(app, "unban")
def unban(api: Api, which: Which, who: Who) -> Said:
    """Lift a ban: they have again what groups and open links give them, and can be invited.

    Examples:

        coscribe members unban "Release notes" bob

        coscribe members unban doc_0190c0ffee usr_0190c0ffee
    """
    path = _path(api, which)
    wanted = who.removeprefix("@").lower()
    kept_out = {row["user"]["handle"]: row["user"]["userId"] for row in api.pages(f"{path}/bans")}
    person = kept_out.get(wanted) or user_id(api, who)
    api.send("DELETE", f"{path}/bans/{person}")
    return Said({"userId": person}, f"{who} is not kept out any more.")


@asks(app, "bans")
def list_bans(api: Api, which: Which, limit: Limit = 0) -> Listed:
    """List whom a document does not let in.

    Examples:

        coscribe members bans "Release notes"

        coscribe members bans doc_0190c0ffee --json
    """
    found = list(api.pages(f"{_path(api, which)}/bans", limit))
    return Listed(found, _BANS, nothing="Nobody is kept out.")


@asks(app, "transfer")
def transfer(
    api: Api,
    which: Which,
    who: Who,
    role: Annotated[Lower, typer.Option(help="What the owner before becomes.")] = Lower.editor,
    giver: Annotated[str, typer.Option("--from", help="For administrators: the owner who steps down.")] = "",
    yes: Yes = False,
) -> Said:
    """Make a member the owner in your place, in one step.

    Examples:

        coscribe members transfer "Release notes" bob

        coscribe members transfer "Release notes" bob --from ann --role viewer --data /var/lib/coscribe
    """
    path = _path(api, which)
    body: Row = {"to": _somebody(api, path, who), "role": role}
    if giver:
        body["giver"] = _somebody(api, path, giver)
    confirm(f"Make {who} the owner of {which!r}{f' in place of {giver}' if giver else ''}?", yes)
    done = api.send("POST", f"{path}/transfer", body)
    words = f"{done['owner']['handle']} is an owner now."
    if done["giver"]:
        words += f" {done['giver']['handle']} is {_as(done['giver']['role'])}."
    return Said(done, words)


@app.command("link")
def make_link(
    which: Which,
    role: Annotated[Lower, typer.Option(help="As what; editing needs an account all the same.")] = Lower.viewer,
    days: Annotated[float | None, typer.Option(help="How long it is open; left out: until it is switched off.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the link.")] = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Make a link to share: whoever has it has access. It is shown once.

    Examples:

        coscribe members link "Release notes"

        coscribe members link "Release notes" --role editor --days 7 --quiet
    """
    with opened(server, token, data) as api:
        body: Row = {"role": role}
        if days is not None:
            body["expiresIn"] = round(days * DAY)
        made = api.send("POST", f"{_path(api, which)}/links", body)
    if quiet:
        typer.echo(made["url"])
        return
    show_done(made, made["url"], json=json)
    if not json:
        say(f"It is shown this once. To switch it off: coscribe members unlink {which!r} {made['linkId']}")


@asks(app, "links")
def list_links(api: Api, which: Which) -> Listed:
    """List the links that are open. They cannot be shown again.

    Examples:

        coscribe members links "Release notes"

        coscribe members links doc_0190c0ffee --json
    """
    found = api.get(f"{_path(api, which)}/links")["items"]
    return Listed(found, _LINKS, nothing="No link is open.")


@asks(app, "unlink")
def unlink(
    api: Api, which: Which, link: Annotated[str, typer.Argument(help="The link's id.")], yes: Yes = False
) -> Said:
    """Switch a link off: whoever has only the link is out at once.

    Examples:

        coscribe members links "Release notes"

        coscribe members unlink "Release notes" lnk_0190c0ffee --yes
    """
    path = _path(api, which)
    confirm(f"Switch off the link {link} to {which!r}?", yes)
    api.send("DELETE", f"{path}/links/{quote(link, safe='')}")
    return Said({"linkId": link}, f"The link {link} is switched off.")


def _path(api: Api, which: str) -> str:
    return document_path(api, which, "active", "archived")


def _somebody(api: Api, path: str, who: str) -> str:
    """The id of a member or, failing that, of anybody."""
    if who.startswith("grp_"):
        return quote(who, safe="")
    return member_id(api.pages(f"{path}/members"), who) or user_id(api, who)


def _as(role: str) -> str:
    return f"a {role}" if role == "viewer" else f"an {role}"


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}")
