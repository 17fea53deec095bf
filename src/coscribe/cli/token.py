"""``coscribe token``: who somebody is, signed."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from coscribe.cli.common import DAY, DEFAULT_FOLDER, Folder, fail
from coscribe.protocol.messages import Role


def token(
    user: Annotated[str, typer.Argument(help="The user's id, for example a handle.")],
    role: Annotated[str, typer.Option(help="owner, editor or viewer.")] = "editor",
    days: Annotated[float, typer.Option(help="How long it lasts.")] = 30.0,
    data: Folder = DEFAULT_FOLDER,
) -> None:
    """Print a token for USER, signed with the key of the data folder.

    Examples:

        coscribe token ann

        coscribe watch notes --token "$(coscribe token bob --role viewer)"
    """
    from coscribe.app import token_secret
    from coscribe.config import Settings
    from coscribe.gateway.auth import make_token

    roles: dict[str, Role] = {known: known for known in get_args(Role)}
    if role not in roles:
        fail(f"{role!r} is no role", f"Use one of: {', '.join(roles)}.")
    if not 1 <= len(user) <= 128 or not user.isprintable():
        fail("a user id has 1 to 128 printable characters")
    typer.echo(make_token(token_secret(Settings(folder=data)), user, roles[role], int(days * DAY)))
