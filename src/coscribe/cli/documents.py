"""``coscribe documents``: make, find, import, export, edit, archive, trash, delete."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, Shown, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, err, fail
from coscribe.cli.editing import edited
from coscribe.cli.events import EVENTS
from coscribe.cli.line import LONG_ANSWER_SECONDS
from coscribe.cli.naming import document, document_path
from coscribe.cli.show import Columns, ago, confirm, show_done

app = typer.Typer(help="Documents: make, find, import, export, edit, archive, trash, delete.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="The document: its id, or the beginning of its name.", metavar="DOCUMENT")]

CHUNK = 1 << 18
"""Bytes of a file that are sent at once."""

NOT_DELETED = ("active", "archived", "trashed")


class Part(StrEnum):
    """Which of one's documents."""

    all = "all"
    mine = "mine"
    shared = "shared"
    recent = "recent"


class Status(StrEnum):
    """Where a document is."""

    active = "active"
    archived = "archived"
    trashed = "trashed"


_COLUMNS: Columns = {
    "name": lambda row: row["name"],
    "state": lambda row: row["status"],
    "you": lambda row: row["role"] or "no member",
    "edited": lambda row: ago(row["editedAt"]),
    "made": lambda row: ago(row["createdAt"]),
    "id": lambda row: row["documentId"],
}

_LISTED: Columns = {heading: cell for heading, cell in _COLUMNS.items() if heading != "made"}
_LISTED_OF_ALL: Columns = {heading: cell for heading, cell in _COLUMNS.items() if heading != "you"}


@asks(app, "list")
def list_documents(
    api: Api,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, for administrators.")] = False,
    part: Annotated[Part, typer.Option("--which", help="Which of yours.")] = Part.all,
    status: Annotated[Status, typer.Option(help="Where they are; --all shows all.")] = Status.active,
    query: Annotated[str, typer.Option("--query", help="Part of the name.")] = "",
    limit: Limit = 0,
) -> Listed:
    """List your documents, the newest first; administrators list everybody's, without the texts.

    Examples:

        coscribe documents list

        coscribe documents list --which shared --query notes

        coscribe documents list --all --json --data /var/lib/coscribe
    """
    if everybody:
        found = api.pages("/admin/documents", limit, query=query)
    else:
        found = api.pages("/documents", limit, query=query, which=part.value, status=status.value)
    items = list(found)
    return Listed(items, _LISTED_OF_ALL if everybody else _LISTED, nothing="There is none.")


@asks(app, "show")
def show_document(api: Api, which: Which) -> Shown:
    """Show what a document is: name, state, your role, when it was edited.

    Examples:

        coscribe documents show "Release notes"

        coscribe documents show doc_0190c0ffee --json
    """
    found = api.get(document_path(api, which, *NOT_DELETED))
    return Shown(found, _COLUMNS)


@asks(app, "create")
def create_document(api: Api, name: Annotated[str, typer.Argument(help="What it is called.")]) -> Said:
    """Make an empty document that you own.

    Examples:

        coscribe documents create "Release notes"

        coscribe documents create "Release notes" --json
    """
    made = api.send("POST", "/documents", {"name": name})
    return Said(made, f"Made {made['name']!r}: {made['documentId']}")


@app.command("import")
def import_document(
    file: Annotated[Path, typer.Argument(help="A text in UTF-8; - reads stdin.", metavar="FILE")],
    name: Annotated[str, typer.Option("--name", help="What it is called; left out: as the file.")] = "",
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Make a document of a text. You own it.

    Examples:

        coscribe documents import notes.md

        coscribe documents import notes.md --name "Release notes" --json

        git log | coscribe documents import - --name History
    """
    name = name or file.stem
    if name == "-":
        fail("the document has no name", "Give --name.")
    content = _content_of(file)
    with opened(server, token, data) as api, _sent(content) as body:
        made = api.send("POST", "/documents/import", params={"name": name}, **body)
    show_done(made, f"Made {made['name']!r}: {made['documentId']}", json=json)


@app.command("export")
def export_document(
    which: Which,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; left out: stdout.", dir_okay=False)
    ] = None,
    version: Annotated[int | None, typer.Option(help="As it was at this version.", min=0)] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Print the text of a document, or write it to a file.

    Examples:

        coscribe documents export "Release notes"

        coscribe documents export "Release notes" --output notes.md

        coscribe documents export doc_0190c0ffee --version 120 --json
    """
    with opened(server, token, data) as api:
        path = f"{document_path(api, which, 'active', 'archived')}/content"
        found = api.get(path, **({} if version is None else {"version": version}))
    if output is not None:
        try:
            output.write_text(found["text"], newline="")
        except OSError as error:
            fail(f"cannot write {output}: {error.strerror}")
        done = {"file": str(output), "documentVersion": found["documentVersion"]}
        show_done(done, f"Version {found['documentVersion']} is in {output}.", json=json)
    elif json:
        show_done(found, "", json=True)
    else:
        typer.echo(found["text"], nl=False)


@asks(app, "rename")
def rename_document(
    api: Api, which: Which, name: Annotated[str, typer.Argument(help="What it is called from now on.")]
) -> Said:
    """Give a document another name.

    Examples:

        coscribe documents rename "Release notes" "Release notes 2.0"

        coscribe documents rename doc_0190c0ffee Minutes
    """
    return renamed(api, document_path(api, which, "active", "archived"), name)


@asks(app, "archive")
def archive_document(api: Api, which: Which) -> Said:
    """Archive a document: everybody can still read it, nobody can edit it.

    Examples:

        coscribe documents archive "Release notes"

        coscribe documents archive doc_0190c0ffee --json
    """
    return moved(api, document(api, which, "active"), "archive")


@asks(app, "trash")
def trash_document(api: Api, which: Which) -> Said:
    """Put a document into the trash: only owners see it any more, until they restore or delete it.

    Examples:

        coscribe documents trash "Release notes"

        coscribe documents trash doc_0190c0ffee --json
    """
    return moved(api, document(api, which, "active", "archived"), "trash")


@asks(app, "restore")
def restore_document(api: Api, which: Which) -> Said:
    """Bring a document back from the trash or the archive.

    Examples:

        coscribe documents restore "Release notes"

        coscribe documents restore doc_0190c0ffee --json
    """
    return moved(api, document(api, which, "trashed", "archived"), "restore")


@asks(app, "delete")
def delete_document(api: Api, which: Which, yes: Yes = False) -> Said:
    """Delete a document of the trash for good, with its history.

    Examples:

        coscribe documents trash "Release notes"

        coscribe documents delete "Release notes" --yes
    """
    found = document(api, which, "trashed")
    confirm(f"Delete {found['name']!r} ({found['documentId']}) for good, with its history?", yes)
    api.send("DELETE", f"/documents/{found['documentId']}")
    done = {"documentId": found["documentId"], "name": found["name"]}
    return Said(done, f"{found['name']!r} is deleted for good.")


@asks(app, "events")
def list_document_events(api: Api, which: Which, limit: Limit = 50) -> Listed:
    """List who saw, changed, shared a document, and who was refused; the newest first.

    Examples:

        coscribe documents events "Release notes"

        coscribe documents events doc_0190c0ffee --limit 0 --json
    """
    path = f"{document_path(api, which, *NOT_DELETED)}/events"
    found = list(api.pages(path, limit))
    columns = {heading: cell for heading, cell in EVENTS.items() if heading != "document"}
    return Listed(found, columns, nothing="Nothing has happened yet.")


@app.command("put")
def put(
    which: Which,
    file: Annotated[Path, typer.Argument(help="The text as it should be, in UTF-8; - reads stdin.", metavar="FILE")],
    version: Annotated[
        int | None, typer.Option(help="The version that FILE was made from; left out: the present one.", min=0)
    ] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Make the text of a document that of FILE. Only what differs is changed.

    With --version what others have written since that version stays. Without, the present text becomes that of FILE.

    Examples:

        coscribe documents put "Release notes" notes.md

        coscribe documents put "Release notes" notes.md --version 120

        make changelog | coscribe documents put "Release notes" - --json
    """
    content = _content_of(file)
    with opened(server, token, data) as api:
        path = f"{document_path(api, which, 'active', 'archived')}/content"
        base: int = api.get(path)["documentVersion"] if version is None else version
        _show_put(_put(api, path, base, content), json=json)


@app.command("edit")
def edit(
    which: Which, server: At = DEFAULT_SERVER, token: Given = "", data: Operator = None, json: Json = False
) -> None:
    """Edit a document in your editor (VISUAL or EDITOR). What others write meanwhile stays.

    Examples:

        coscribe documents edit "Release notes"

        EDITOR="code --wait" coscribe documents edit "Release notes"
    """
    with opened(server, token, data) as api:
        found = document(api, which, "active", "archived")
        path = f"/documents/{found['documentId']}/content"
        base = api.get(path)
        with edited(base["text"], found["name"]) as text:
            if text == base["text"]:
                replaced: Row = {"documentVersion": base["documentVersion"], "operation": None}
            else:
                replaced = _put(api, path, base["documentVersion"], text.encode())
        _show_put(replaced, json=json)


def _put(api: Api, path: str, base_version: int, content: bytes) -> Row:
    with _sent(content) as body:
        headers = {**body.pop("headers"), "If-Match": f'"v{base_version}"'}
        return api.send("PUT", path, headers=headers, **body)


def _show_put(replaced: Row, *, json: bool) -> None:
    words = f"It is at version {replaced['documentVersion']} now."
    show_done(replaced, words if replaced["operation"] else "Nothing differs.", json=json)


def renamed(api: Api, path: str, name: str) -> Said:
    """Gives what is at a path of the API another name."""
    revision = api.ask("GET", path).headers["etag"]
    changed = api.send("PATCH", path, {"name": name}, headers={"If-Match": revision})
    return Said(changed, f"It is called {changed['name']!r} now.")


def moved(api: Api, found: Row, how: Literal["archive", "trash", "restore"]) -> Said:
    """Puts a document or a project into the archive or the trash, or brings it back."""
    changed = api.send("POST", f"/documents/{found['documentId']}/{how}")
    where = {
        "archive": "is in the archive",
        "trash": f"is in the trash ({changed['documentId']})",
        "restore": "is back",
    }
    return Said(changed, f"{changed['name']!r} {where[how]}.")


def _content_of(file: Path) -> bytes:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        content.decode()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except UnicodeDecodeError as error:
        fail(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}")
    return content


@contextmanager
def _sent(content: bytes) -> Iterator[dict[str, Any]]:
    """The parts of a request that sends a text; on a terminal a bar shows how far it is."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(content))}
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield {"content": _Body(content, progress), "headers": headers, "seconds": LONG_ANSWER_SECONDS}


class _Body:
    """A text in pieces that says how far it is; it can be sent again."""

    def __init__(self, content: bytes, progress: Progress) -> None:
        self._content = content
        self._progress = progress
        self._task = progress.add_task("sending", total=len(content))

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), CHUNK):
            yield self._content[start : start + CHUNK]
            self._progress.update(self._task, completed=min(start + CHUNK, len(self._content)))
