"""``coscribe audit``: what somebody needs who does not trust the server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Annotated

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, err, fail, print_json, written
from coscribe.cli.documents import NOT_DELETED, Which
from coscribe.cli.naming import document, document_path
from coscribe.cli.show import Columns, show_done, show_list

app = typer.Typer(
    help="Proofs for somebody who does not trust the server: checkpoints that it signs, and its key.",
    no_args_is_help=True,
)

_END_BYTES = 1_000
"""The last line is shorter."""

Out = Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; left out: stdout.", dir_okay=False)]

_CHECKPOINTS: Columns = {
    "number": lambda row: row["number"],
    "sequence": lambda row: row["sequence"],
    "chain hash": lambda row: row["chainHash"][:16],
    "access events": lambda row: row["ownEvents"],
    "key": lambda row: row["keyId"],
}


_KEPT: Columns = {
    "document": lambda row: row["name"],
    "kept": lambda row: row["kept"],
    "new": lambda row: row["new"],
    "trouble": lambda row: row["trouble"],
    "file": lambda row: row["file"],
}


@app.command("key")
def key(
    server: At = DEFAULT_SERVER, token: Given = "", data: Operator = None, out: Out = None, json: Json = False
) -> None:
    """Print the public key that the server signs with, for `coscribe verify --key`.
    Keep it elsewhere: whoever can write the whole folder can make another one. With --data the folder is asked, and no
    server has to run; a folder that has no key yet gets one.

    Examples:

        coscribe audit key

        coscribe audit key --data /var/lib/coscribe --out coscribe.pub

        coscribe audit key --server https://coscribe.example.org --json
    """
    found = _key_of_folder(data) if data is not None else _key_of_server(server, token)
    if out is not None:
        _write(out, f"{found['publicKey']}\n".encode())
    show_done(found, found["publicKey"], json=json)


@asks(app, "change-key")
def change_key(api: Api) -> Said:
    """Sign with a new key from now on. The one before signs the new one, and is deleted: whoever trusts the old public
    key can follow. For administrators.

    Examples:

        coscribe audit change-key

        coscribe audit change-key --data /var/lib/coscribe --json
    """
    made = api.send("POST", "/admin/audit-keys")
    return Said(made, f"Checkpoints are signed with {made['publicKey']} from now on.")


@app.command("checkpoint")
def checkpoint(
    which: Which,
    out: Out = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
) -> None:
    """Have the server sign how far a document or workspace has come, and keep that: as JSON, in a file or on stdout.
    `coscribe verify --checkpoint FILE` shows later whether its past is still the same.

    Examples:

        coscribe audit checkpoint "Release notes" --out release-notes.checkpoint

        coscribe audit checkpoint doc_0190c0ffee --data /var/lib/coscribe
    """
    with opened(server, token, data) as api:
        found = api.send("POST", f"{document_path(api, which, *NOT_DELETED)}/checkpoints")
    if out is None:
        print_json(found)
        return
    _write(out, _encoded(found))
    words = f"Checkpoint {found['number']}, at sequence {found['sequence']}, is in {out}. Keep it elsewhere."
    show_done(found, words, json=False)


@asks(app, "checkpoints")
def checkpoints(api: Api, which: Which, limit: Limit = 50) -> Listed:
    """List the checkpoints of a document or workspace, the newest first.

    Examples:

        coscribe audit checkpoints "Release notes"

        coscribe audit checkpoints doc_0190c0ffee --limit 1 --json
    """
    found = list(api.pages(f"{document_path(api, which, *NOT_DELETED)}/checkpoints", limit))
    return Listed(found, _CHECKPOINTS, nothing="There is none yet: coscribe audit checkpoint takes one.")


@app.command("keep")
def keep(
    folder: Annotated[Path, typer.Argument(help="Where they are kept: not on the server.", file_okay=False)],
    which: Annotated[
        list[str] | None, typer.Argument(help="Documents; left out: all that you may read.", metavar="[DOCUMENT]...")
    ] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Keep the audit checkpoints of documents and workspaces in a folder, and hold the server to those that are there
    already. Ends with code 1 where the server does not stand by one: its history was rewritten, or a backup was
    restored. What was kept stays as it is, for `coscribe verify --checkpoint FILE`. Run it once a day, elsewhere.

    Examples:

        coscribe audit keep ~/checkpoints

        coscribe audit keep ~/checkpoints "Release notes" --server https://coscribe.example.org --json
    """
    from coscribe.cli.keeping import keep_newer  # here, as below: it takes long to import

    with opened(server, token, data) as api:
        found = [
            keep_newer(folder, row, api.pages(f"/documents/{row['documentId']}/checkpoints"))
            for row in _documents(api, which)
        ]
    show_list((kept._asdict() for kept in found), _KEPT, json=json, nothing="There is no document that you may read.")
    if any(kept.trouble for kept in found):
        fail("the server does not stand by what it has said", "Show the kept files to whoever audits it.", code=1)


@app.command("export")
def export(
    which: Which,
    out: Out = None,
    number: Annotated[
        int | None, typer.Option("--number", help="Up to the audit checkpoint of that number, not to now.", min=1)
    ] = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Export all that happened in a document or workspace as a bundle that proves itself: every operation, access
    events about it, audit checkpoints with their signatures. JSON Lines, in a file that is whole or not there at all,
    or on stdout. `coscribe verify BUNDLE --key PUBLICKEY` needs nothing else, on any machine.

    Examples:

        coscribe audit export "Release notes" --out release-notes.audit

        coscribe audit export doc_0190c0ffee --number 7 --data /var/lib/coscribe | gzip > 7.audit.gz
    """
    with opened(server, token, data) as api:
        path = document_path(api, which, *NOT_DELETED)
        params = {} if number is None else {"checkpoint": number}
        with written(out, "--out") as file, api.fetching(f"{path}/audit", **params) as pieces:
            lines = _copy(pieces, file)
            if not lines.ended:
                fail("the bundle is not whole", "Was the right to it taken away meanwhile? Try again.", code=1)
    if out is not None:
        show_done({"file": str(out), "lines": lines.count}, f"{lines.count:,} lines are in {out}.", json=json)


def _documents(api: Api, which: list[str] | None) -> Iterable[Row]:
    if which:
        return [document(api, name, *NOT_DELETED) for name in which]
    return api.pages("/documents", kind="all") if api.who["userId"] else api.pages("/admin/documents")


class _Lines:
    """What went through of a bundle."""

    count = 0
    ended = False


def _copy(pieces: Iterable[bytes], file: IO[bytes]) -> _Lines:
    """Writes a bundle as it comes, with a bar that says how far it is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    lines, last = _Lines(), b""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("exporting", total=None)
        for piece in pieces:
            if not lines.count:
                said = re.search(rb'"sequence":(\d+)', piece)
                progress.update(task, total=int(said[1]) if said else None)
            file.write(piece)
            count = piece.count(b"\n")
            lines.count += count
            progress.advance(task, count)
            last = (last + piece)[-_END_BYTES:]
    lines.ended = b'{"type":"end",' in last
    return lines


def _key_of_server(server: str, token: str) -> Row:
    with opened(server, token, None) as api:
        return api.get("/audit/key")


def _key_of_folder(folder: Path) -> Row:
    from coscribe.persistence.signing import signing_key  # here: it takes long to import

    if not folder.is_dir():
        fail(f"there is no folder {folder}", "Give --data with the server's data folder.")
    try:
        public = signing_key(folder).public
    except (OSError, ValueError) as error:
        fail(f"the key of {folder} cannot be read: {error}", "Run it as whoever runs the server.")
    return {"keyId": public.key_id, "publicKey": public.hex}


def _encoded(found: Row) -> bytes:
    import msgspec

    return msgspec.json.encode(found) + b"\n"


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}", "Give --out with a file in a folder that you may write to.")
