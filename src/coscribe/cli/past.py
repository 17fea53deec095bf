"""``coscribe past``: what a workspace was, who did what in it, and the way back."""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, fail, out
from coscribe.cli.describe import harmless
from coscribe.cli.line import LONG_ANSWER_SECONDS, Request
from coscribe.cli.naming import document
from coscribe.cli.show import Columns, ago, confirm, say, show_done, show_list

app = typer.Typer(
    help="A workspace's past: look, compare, download, restore, fork. A moment is a sequence, as `timeline` shows.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(help="The workspace: its id, or the beginning of its name.", metavar="WORKSPACE")]
APath = Annotated[str, typer.Argument(help="From the top; left out: all of it.", metavar="PATH")]
AFile = Annotated[str, typer.Argument(help="From the top.", metavar="PATH")]
AMoment = Annotated[int | None, typer.Option("--at", help="The sequence; left out: now.", min=0)]
ANeededMoment = Annotated[int, typer.Option("--at", help="The sequence.", min=0)]


class Form(StrEnum):
    """Of an archive."""

    zip = "zip"
    targz = "tar.gz"


_ENTRIES: Columns = {
    "name": lambda row: row["name"] + ("/" if row["kind"] == "directory" else ""),
    "kind": lambda row: row["kind"],
    "id": lambda row: row["fileId"],
}
_DIFFERENCES: Columns = {
    "what": lambda row: row["kind"] + (", changed" if row["kind"] == "moved" and row["changedContent"] else ""),
    "path": lambda row: row["path"] or row["newPath"],
    "now": lambda row: row["newPath"] if row["path"] not in ("", row["newPath"]) and row["newPath"] else "",
}
_SESSIONS: Columns = {
    "versions": lambda row: f"{row['fromVersion']}-{row['toVersion']}",
    "who": lambda row: row["author"]["displayName"],
    "when": lambda row: ago(row["endedAt"]),
    "inserted": lambda row: row["inserted"],
    "deleted": lambda row: row["deleted"],
}


@app.command("timeline")
def timeline(
    which: Which,
    before: Annotated[int | None, typer.Option(help="Only what led to this sequence.", min=0)] = None,
    limit: Limit = 20,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Show who worked when, in which files, and what was made, moved and deleted; the newest first.

    Examples:

        coscribe past timeline thesis

        coscribe past timeline wsp_0190c0ffee --before 4711 --limit 0 --json
    """
    found: list[Row] = []
    with opened(server, token, data) as api:
        path = f"{_past(api, which)}/timeline"
        while not limit or len(found) < limit:
            asked = {} if before is None else {"before": before}
            page = api.get(path, limit=min(100, limit - len(found)) if limit else 100, **asked)
            found += page["items"]
            before = page["nextBefore"]
            if before is None:
                break
    if json:
        show_list(found, {}, json=True, nothing="")
        return
    for work in found:
        say(_heading(work))
        for line in _lines(work):
            say(f"    {line}")
    if not found:
        say("Nothing has happened yet.")


@asks(app, "ls")
def ls(api: Api, which: Which, at: ANeededMoment, path: APath = "") -> Listed:
    """List what was in a folder.

    Examples:

        coscribe past ls thesis --at 4711

        coscribe past ls thesis chapters --at 4711 --json
    """
    items = api.get(f"/workspace/{_id(api, which)}/fs/list", path=path, at=at)["items"]
    return Listed(items, _ENTRIES, nothing="It was empty.")


@app.command("cat")
def cat(
    which: Which,
    path: AFile,
    at: ANeededMoment,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Print a file as it was.

    Examples:

        coscribe past cat thesis chapters/one.tex --at 4711
    """
    with opened(server, token, data) as api:
        found = api.get(f"/workspace/{_id(api, which)}/fs/read", path=path, at=at)
    if json:
        show_done(found, "", json=True)
    elif found["text"] is None:
        fail(f"{path} was no text but a {found['entry']['kind']}", "`coscribe past download` has what it was.")
    else:
        typer.echo(found["text"], nl=False)


@app.command("diff")
def diff(
    which: Which,
    earlier: Annotated[int, typer.Option("--from", help="The earlier sequence.", min=0)],
    path: APath = "",
    later: Annotated[int | None, typer.Option("--to", help="The later sequence; left out: now.", min=0)] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Compare two moments: which files are others; of a text what is another one in it.

    Examples:

        coscribe past diff thesis --from 4000

        coscribe past diff thesis chapters/one.tex --from 4000 --to 4711
    """
    span = {"from": earlier, **({} if later is None else {"to": later})}
    with opened(server, token, data) as api:
        past = _past(api, which)
        if not path:
            found = api.get(f"{past}/differences", **span)
            show_list(found["items"], _DIFFERENCES, json=json, nothing="Nothing differs.")
            if found["more"] and not json:
                say(f"and {found['more']:,} more")
            return
        one = api.get(f"{past}/difference", **span, path=path)
        if json:
            show_done(one, "", json=True)
            return
        # What is at the path now had another one then, perhaps: so the text before is made of the one after.
        now = {} if later is None else {"at": later}
        text = api.get(f"/workspace/{_id(api, which)}/fs/read", path=path, **now)["text"]
    lines = difflib.unified_diff(
        _before(text, one["edits"]).splitlines(keepends=True),
        text.splitlines(keepends=True),
        f"{path} (version {one['fromVersion']})",
        f"{path} (version {one['toVersion']})",
    )
    for line in lines:
        out.print(harmless(line.rstrip("\n")), highlight=False, markup=False, soft_wrap=True)


@asks(app, "sessions")
def sessions(api: Api, which: Which, path: AFile, at: AMoment = None, limit: Limit = 50) -> Listed:
    """Show who edited a file when, the newest first.

    Examples:

        coscribe past sessions thesis chapters/one.tex

        coscribe past sessions thesis chapters/one.tex --at 4711 --json
    """
    asked: dict[str, str | int] = {"path": path, "limit": min(limit, 100) or 100}
    if at is not None:
        asked["at"] = at
    found = api.get(f"{_past(api, which)}/sessions", **asked)
    return Listed(found["items"], _SESSIONS, nothing="Nobody has.")


@app.command("blame")
def blame(
    which: Which,
    path: AFile,
    at: AMoment = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Show who wrote what of a file, a line for each piece, and how: a human, by typing or by paste, an agent (a bot,
    named with its token: user+token), or the disk, for programs that wrote to its working tree.

    Examples:

        coscribe past blame thesis chapters/one.tex

        coscribe past blame thesis chapters/one.tex --at 4711 --json
    """
    asked: dict[str, str | int] = {"path": path, **({} if at is None else {"at": at})}
    with opened(server, token, data) as api:
        found = api.get(f"{_past(api, which)}/blame", **asked)
        text = "" if json else api.get(f"/workspace/{_id(api, which)}/fs/read", **asked)["text"]
    if json:
        show_done(found, "", json=True)
        return
    names = {author["userId"]: author["displayName"] for author in found["authors"]}
    here = 0
    for run in found["runs"]:
        piece, here = text[here : here + run["length"]], here + run["length"]
        for line in piece.splitlines() or [""]:
            say(f"{names[run['authorId']]:<24} {run['kind']:<5} v{run['version']:<6} {line}")


@app.command("download")
def download(
    which: Which,
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive to write: .zip or .tar.gz.")],
    path: APath = "",
    at: AMoment = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Write a workspace, as it is or was, to an archive. The same moment gives the same bytes.

    Examples:

        coscribe past download thesis --output thesis.zip

        coscribe past download thesis chapters --at 4711 -o chapters.tar.gz
    """
    form = next((form for form in Form if output.name.endswith(f".{form.value}")), None)
    if form is None:
        fail(f"{output.name} names no kind of archive", "Let it end with .zip or .tar.gz.")
    asked = {"path": path, "format": form.value, **({} if at is None else {"at": at})}
    with opened(server, token, data) as api:
        request = Request("GET", f"{_past(api, which)}/archive", params=asked, seconds=LONG_ANSWER_SECONDS)
        size = _save(api, request, output)
    show_done({"file": str(output), "bytes": size}, f"{size:,} bytes are in {output}.", json=json)


@asks(app, "restore")
def restore(api: Api, which: Which, at: ANeededMoment, path: APath = "", yes: Yes = False) -> Said:
    """Make a workspace, or what was at a path, what it was. The past stays; what is new goes into the trash.

    Examples:

        coscribe past restore thesis --at 4711

        coscribe past restore thesis chapters/one.tex --at 4711 --yes
    """
    past = _past(api, which)
    confirm(f"Make {path or 'all of it'} what it was at {at}?", yes=yes)
    body = {"path": path, "sequence": at}
    done = api.send("POST", f"{past}/restore", body, seconds=LONG_ANSWER_SECONDS)
    words = f"Done: {done['treeOperations']:,} changes of the tree, {done['texts']:,} texts."
    return Said(done, f"{words} Before that it was as at {done['sequence']}: restore to there to undo it.")


@asks(app, "fork")
def fork(
    api: Api, which: Which, name: Annotated[str, typer.Argument(help="What the new one is called.")], at: ANeededMoment
) -> Said:
    """Make a workspace of your own that holds what one was.

    Examples:

        coscribe past fork thesis "Thesis, second try" --at 4711
    """
    body = {"name": name, "sequence": at}
    made = api.send("POST", f"{_past(api, which)}/fork", body, seconds=LONG_ANSWER_SECONDS)
    return Said(made, f"Made {made['name']!r}: {made['documentId']}")


def _id(api: Api, which: str) -> str:
    return str(document(api, which, "active", "archived", kind="workspace")["documentId"])


def _past(api: Api, which: str) -> str:
    return f"/workspace/{_id(api, which)}/history"


def _save(api: Api, request: Request, output: Path) -> int:
    """Writes an answer to a file as it comes; the file is whole or not there."""
    part = output.with_name(f"{output.name}.part")
    size = 0
    try:
        with api.pieces(request) as pieces, part.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
        part.replace(output)
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror}")
    finally:
        part.unlink(missing_ok=True)
    return size


def _heading(work: Row) -> str:
    span = f"{work['firstSequence']}-{work['lastSequence']}"
    return f"{span:<16} {work['author']['displayName']}, {ago(work['endedAt'])}"


def _lines(work: Row) -> list[str]:
    """What was done, in words."""
    lines = [
        f"{event['verb']} {event['path']}" + (f" -> {event['newPath']}" if event["newPath"] else "")
        for event in work["tree"]
    ]
    lines += [f"edited {file['path']}: {file['inserted']:+,} {-file['deleted']:,}" for file in work["files"]]
    return [*lines, f"and {work['more']:,} more"] if work["more"] else lines


def _before(text: str, edits: list[tuple[int, str, str]]) -> str:
    """The text that edits were made in, from the one that they have led to."""
    parts: list[str] = []
    here = shift = 0
    for position, deleted, inserted in edits:
        parts += [text[here : position + shift], deleted]
        here = position + shift + len(inserted)
        shift += len(inserted) - len(deleted)
    return "".join([*parts, text[here:]])
