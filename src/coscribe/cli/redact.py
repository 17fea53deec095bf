"""``coscribe redact``: take a text that must not be known out of everything that was ever written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from coscribe.cli.api import Yes
from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, fail, print_json
from coscribe.cli.show import confirm, say

if TYPE_CHECKING:
    from coscribe.cli.redacting import Redacted

SHOWN = 50
"""Places that are printed; --json has all of them."""


def redact(
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="DOCUMENT", help="Ids of documents, workspaces, files; all if left out."),
    ] = None,
    text: Annotated[str, typer.Option("--text", help="What is to go; - reads it from stdin.")] = "",
    pattern: Annotated[str, typer.Option("--pattern", help="Likewise, as a regular expression (Python's).")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks later. Not the text itself.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say where it is; a server may run.")] = False,
    data: Folder = DEFAULT_FOLDER,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a leaked secret out of texts, history, names and snapshots. It cannot be taken back.

    It is found however it was typed, in every version, and each of its characters becomes a block; so everything else
    stays where it was, and the log goes on fitting its hashes: `coscribe verify` says how many entries were redacted.
    Who did it, when and why is signed and recorded, but not what it was.

    Stop the server first. In present texts the redaction is an operation like any other, so clients that come back
    have it too. Backups, exported bundles, and what people's browsers hold are out of reach: change the secret as well.
    What is under legal hold is left as it is.

    Examples:

        coscribe redact --text - --dry-run < secret.txt

        coscribe redact doc_0190c0ffee --pattern 'AKIA[0-9A-Z]{16}' --reason "a key was pasted" --data /var/lib/coscribe
    """
    from coscribe.cli.redacting import Order, look  # here: SQLAlchemy takes long to import
    from coscribe.cli.redacting import redact as redact_folder
    from coscribe.core.errors import CoscribeError
    from coscribe.documents.redaction import expression, literal

    if bool(text) == bool(pattern):
        fail("give --text or --pattern", "`coscribe redact --help` shows how.")
    if not dry_run and not reason.strip():
        fail("give --reason", "It is recorded, so that whoever looks later knows why.")
    if len(reason) > 500:
        fail("the reason is too long", "500 characters are enough.")
    wanted = sys.stdin.read().rstrip("\n") if text == "-" else text
    try:
        order = Order(literal(wanted) if text else expression(pattern), which or (), reason.strip())
    except CoscribeError as error:
        fail(f"{error.code.value.code}: {error.detail}", "Give another --text or --pattern.")
    if order.pattern.search(reason):
        fail("the reason has it in it", "Say why without it: the reason stays.")
    if not dry_run:
        confirm("Take it out of everything? This cannot be taken back.", yes)
    done = look(data, order) if dry_run else redact_folder(data, order)
    if json:
        print_json(done)
    else:
        _print(done)


def _print(done: Redacted) -> None:
    for place in done.places[:SHOWN]:
        if place.kind == "checkpoint":
            say(f"{place.workspace}: in what its pruned log begins with")
            continue
        what = f"version {place.version}" if place.kind == "text" else "a name"
        say(f"{place.workspace}  {place.file}  {what}, sequence {place.sequence}, by {place.author}")
    more = len(done.places) - SHOWN + done.more if len(done.places) > SHOWN else done.more
    if more:
        say(f"and {more:,} more")
    if done.events:
        say(f"{done.events:,} access events have it in their details, and keep it: they are chained as they are.")
    if not done.done:
        where = (
            f"{len(done.places) + done.more:,} times in the history, {done.present:,} times in present texts and names"
        )
        say(f"It came in {where}.")
    else:
        what = f"{done.entries:,} entries, {done.snapshots:,} snapshots, {done.names:,} names of documents and versions"
        say(f"Redacted: {what}. Backups and bundles still have it.")
