"""``coscribe redact``: take a text that must not be known out of everything that was ever written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coscribe.cli.api import Api, At, Given, Operator, Row, Yes, opened, stored_login
from coscribe.cli.common import DEFAULT_FOLDER, DEFAULT_SERVER, Json, fail, print_json
from coscribe.cli.line import LONG_ANSWER_SECONDS
from coscribe.cli.show import confirm, say

if TYPE_CHECKING:
    from coscribe.access.redactions import Order

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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say where it is.")] = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a leaked secret out of texts, history, names, files and snapshots. It cannot be taken back.

    It is found however it was typed, in every version, and each of its characters becomes a block; so everything else
    stays where it was, and the log goes on fitting its hashes: `coscribe verify` says how many entries were redacted.
    Who did it, when and why is signed and recorded, but not what it was.

    A server that runs does it itself and goes on: whoever has the document open gets it anew, and until the server ends
    it takes the text in from nobody. With --data of a folder that no server runs on, the command does it there.
    Administrators redact everything, owners what is theirs. What is under legal hold is left as it is.

    Backups, exported bundles, what people's browsers hold, and commits of git are out of reach: change the secret as
    well.

    Examples:

        coscribe redact --text - --dry-run < secret.txt

        coscribe redact doc_0190c0ffee --pattern 'AKIA[0-9A-Z]{16}' --reason "a key was pasted" --data /var/lib/coscribe
    """
    wanted = sys.stdin.read().rstrip("\n") if text == "-" else text
    order = _order(which or None, wanted, pattern, reason.strip(), dry_run=dry_run)
    if not dry_run:
        confirm("Take it out of everything? This cannot be taken back.", yes)
    folder = _folder(server, token, data)
    done = None if folder is None else _here(folder, order, dry_run=dry_run)
    if done is None:
        asked: Row = {"text": wanted, "pattern": pattern, "reason": reason.strip(), "dryRun": dry_run}
        with opened(server, token, data) as api:
            done = _by_server(api, asked, which or [])
    if json:
        print_json(done)
    else:
        _print(done)


def _order(which: list[str] | None, text: str, pattern: str, reason: str, *, dry_run: bool) -> Order:
    """Ends with advice where it is asked for wrongly."""
    from coscribe.access.redactions import Order  # here: SQLAlchemy takes long to import
    from coscribe.core.errors import CoscribeError
    from coscribe.documents.redaction import expression, literal

    if bool(text) == bool(pattern):
        fail("give --text or --pattern", "`coscribe redact --help` shows how.")
    if not dry_run and not reason:
        fail("give --reason", "It is recorded, so that whoever looks later knows why.")
    if len(reason) > 500:
        fail("the reason is too long", "500 characters are enough.")
    try:
        order = Order(literal(text) if text else expression(pattern), which, reason)
    except CoscribeError as error:
        fail(f"{error.code.value.code}: {error.detail}", "Give another --text or --pattern.")
    if order.pattern.search(reason):
        fail("the reason has it in it", "Say why without it: the reason stays.")
    return order


def _folder(server: str, token: str, data: Path | None) -> Path | None:
    """The data folder that is meant, if there is no server that is: where --data says so, or nobody has signed in. Of a
    PostgreSQL, which several may have, it is always a server."""
    if os.environ.get("COSCRIBE_DATABASE_URL"):
        return None
    if data is not None:
        return data
    folder = Path(os.environ.get("COSCRIBE_FOLDER") or DEFAULT_FOLDER)
    if token.strip() or stored_login(server)[2] is not None or not (folder / "coscribe.db").exists():
        return None
    return folder


def _here(folder: Path, order: Order, *, dry_run: bool) -> Row | None:
    """What was done in a folder; None: a server runs on it, and has to be asked."""
    from coscribe.cli.redacting import locked, look
    from coscribe.cli.redacting import redact as redact_folder

    lock = locked(folder)
    if dry_run:
        if lock is not None:
            lock.close()
        return look(folder, order)
    return None if lock is None else redact_folder(folder, order, lock)


def _by_server(api: Api, asked: Row, which: list[str]) -> Row:
    """Administrators ask once; owners for each document."""
    if api.administers:
        everything = {**asked, "documentIds": which or None}
        return api.send("POST", "/admin/redactions", everything, seconds=LONG_ANSWER_SECONDS)
    if not which:
        fail("name the documents", "Only administrators redact everything at once.")
    if asked.pop("pattern"):
        fail("give --text", "Only administrators redact by --pattern.")
    done: Row = {}
    for each in dict.fromkeys(which):
        answer = api.send("POST", f"/documents/{each}/redactions", asked, seconds=LONG_ANSWER_SECONDS)
        done = _together(done, answer) if done else answer
    return done


def _together(one: Row, other: Row) -> Row:
    """Booleans that are both true, and the sums of the others."""
    return {
        key: (value and other[key]) if isinstance(value, bool) else value + other[key] for key, value in one.items()
    }


def _print(done: Row) -> None:
    for place in done["places"][:SHOWN]:
        where = f"{place['workspace']}  {place['file']}"
        if place["kind"] == "checkpoint":
            say(f"{place['workspace']}: in what its pruned log begins with")
        elif place["kind"] == "content":
            say(f"{where}  a content that is no text")
        else:
            what = f"version {place['version']}" if place["kind"] == "text" else "a name"
            say(f"{where}  {what}, sequence {place['sequence']}, by {place['author']}")
    count = len(done["places"])
    more = max(count - SHOWN, 0) + done["more"]
    if more:
        say(f"and {more:,} more")
    if done["events"]:
        say(f"{done['events']:,} access events have it in their details, and keep it: they are chained as they are.")
    for path in done["files"]:
        say(f"{path}  has it still: it is no part of the workspace; look at it yourself")
    if not done["done"]:
        where = f"{count + done['more']:,} times in the history, {done['present']:,} times in present texts and names"
        say(f"It came in {where}.")
        return
    say(
        f"Redacted: {done['entries']:,} entries, {done['snapshots']:,} snapshots, {done['contents']:,} contents,"
        f" {done['names']:,} names of documents and versions. Backups and bundles still have it."
    )
    if not done["emptied"]:
        say("Free parts of the database have it still. SQLite: somebody was reading; run this again when nobody does.")
        say("PostgreSQL: its operator takes it out of them, see docs/operations.md.")
