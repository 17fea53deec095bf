"""``coscribe project``: make, fill, find, rename, archive, trash, delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, Yes, opened
from coscribe.cli.asking import Listed, Said, Shown, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, err, fail
from coscribe.cli.documents import CHUNK, NOT_DELETED, Status, moved, renamed
from coscribe.cli.line import LONG_ANSWER_SECONDS
from coscribe.cli.naming import document
from coscribe.cli.show import Columns, ago, confirm, show_done

app = typer.Typer(
    help="Projects: make, import, find, bound, keep as files, rename, archive, trash, delete.", no_args_is_help=True
)

Which = Annotated[str, typer.Argument(help="The project: its id, or the beginning of its name.", metavar="PROJECT")]

LOOK_SECONDS = 0.3
"""Between looks at how far an import is."""

_COLUMNS: Columns = {
    "name": lambda row: row["workspace"]["name"],
    "state": lambda row: row["workspace"]["status"],
    "you": lambda row: row["workspace"]["role"] or "no member",
    "source": lambda row: row["source"],
    "import": lambda row: row["imported"]["state"],
    "why": lambda row: row["imported"]["detail"],
    "edited": lambda row: ago(row["workspace"]["editedAt"]),
    "id": lambda row: row["workspace"]["documentId"],
}
_QUOTA: Columns = {
    "bytes": lambda row: _of(row["usedBytes"], row["bytes"]),
    "files": lambda row: _of(row["usedFiles"], row["files"]),
}
_LISTED: Columns = {heading: cell for heading, cell in _COLUMNS.items() if heading != "why"}


@asks(app, "list")
def list_projects(
    api: Api, status: Annotated[Status, typer.Option(help="Where they are.")] = Status.active, limit: Limit = 0
) -> Listed:
    """List your projects, the newest first.

    Examples:

        coscribe project list

        coscribe project list --status archived --json
    """
    items = list(api.pages("/projects", limit, status=status.value))
    return Listed(items, _LISTED, nothing="There is none.")


@asks(app, "show")
def show_project(api: Api, which: Which) -> Shown:
    """Show what a project is made from, and how far its import is.

    Examples:

        coscribe project show Thesis

        coscribe project show wsp_0190c0ffee --json
    """
    path = f"/projects/{_id(api, which, *NOT_DELETED)}"
    found = {**api.get(path), "quota": api.get(f"{path}/quota")}
    quota: Columns = {heading: partial(_in_quota, cell) for heading, cell in _QUOTA.items()}
    return Shown(found, {**_COLUMNS, **quota})


def _in_quota(cell: Callable[[Row], object], row: Row) -> object:
    return cell(row["quota"])


@app.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    archive: Annotated[
        Path | None, typer.Option("--from", help="An archive to begin with: zip, tar, tar.gz.", dir_okay=False)
    ] = None,
    repository: Annotated[
        str, typer.Option("--repository", help="A git repository to begin with, by https or ssh.")
    ] = "",
    repository_token: Annotated[
        str, typer.Option(help="For a repository not open to everybody.", envvar="COSCRIBE_REPOSITORY_TOKEN")
    ] = "",
    key: Annotated[
        Path | None, typer.Option("--key", help="By ssh: a private key without a passphrase; it is stored, sealed.")
    ] = None,
    host_fingerprint: Annotated[
        str, typer.Option("--host-fingerprint", help="By ssh: the server's, SHA256:...; left out, what is known.")
    ] = "",
    folds_case: Annotated[bool, typer.Option("--folds-case", help="Names that differ in case are the same.")] = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Make a project that you own: empty, of an archive, or of a repository. Returns when all of it is there.

    Examples:

        coscribe project create Thesis

        coscribe project create Thesis --from thesis.tar.gz

        coscribe project create Thesis --from thesis.zip --folds-case --json

        coscribe project create Thesis --repository https://git.example.org/ann/thesis.git

        coscribe project create Thesis --repository git@git.example.org:ann/thesis.git --key ~/.ssh/thesis
    """
    if archive is not None and repository:
        fail("a project begins with one thing", "Give --from or --repository.")
    with opened(server, token, data) as api:
        if archive is None:
            body = {"name": name, "foldsCase": folds_case, "address": repository, "token": repository_token}
            if repository:
                body |= {"key": "" if key is None else _read(key), "hostFingerprint": host_fingerprint}
            made = _awaited(api, api.send("POST", "/projects", body))
        else:
            made = _awaited(api, _sent(api, archive, name, folds_case))
    if made["imported"]["state"] == "failed":
        fail(
            f"{made['imported']['code']}: {made['imported']['detail']}",
            f"Nothing was imported. Put it right, delete {made['workspace']['documentId']}, and import again.",
            code=1,
        )
    words = f"Made {name!r}: {made['workspace']['documentId']}"
    count = made["imported"]["total"]
    show_done(made, words if count is None else f"{words} ({count} files and folders)", json=json)


@asks(app, "rename")
def rename_project(
    api: Api, which: Which, name: Annotated[str, typer.Argument(help="What it is called from now on.")]
) -> Said:
    """Give a project another name.

    Examples:

        coscribe project rename Thesis "Thesis 2"
    """
    return renamed(api, f"/documents/{_id(api, which, 'active', 'archived')}", name)


@asks(app, "quota")
def quota_of_project(
    api: Api,
    which: Which,
    bytes_: Annotated[str, typer.Option("--bytes", help="How many it may have; none: no bound.")] = "",
    files: Annotated[str, typer.Option("--files", help="How many files and folders; none: no bound.")] = "",
    narrow: Annotated[
        bool, typer.Option("--narrow", help="Of its workspace, which takes no more than that: owners may.")
    ] = False,
) -> Shown:
    """Show how much a project may have, and has; or set it, as an administrator.

    Examples:

        coscribe project quota Thesis

        coscribe project quota Thesis --bytes 2000000000 --files 20000

        coscribe project quota Thesis --files none

        coscribe project quota Thesis --narrow --bytes 500000000
    """
    wanted = {name: _bound(name, given) for name, given in (("bytes", bytes_), ("files", files)) if given}
    project_id = _id(api, which, *NOT_DELETED)
    path = f"/workspace/{project_id}/quota" if narrow and wanted else f"/projects/{project_id}/quota"
    found = api.send("PATCH", path, wanted) if wanted else api.get(path)
    return Shown(found, _QUOTA)


def _of(used: int, most: int | None) -> str:
    return f"{used:,}" if most is None else f"{used:,} of {most:,}"


def _bound(name: str, given: str) -> int | None:
    if given == "none":
        return None
    if not given.isdigit():
        fail(f"--{name} {given} is no number", "Give a whole number, or none.")
    return int(given)


@asks(app, "start")
def start_project(api: Api, which: Which) -> Said:
    """Keep a project as files on the server's disk, for git and whatever else wants files; what programs write there is
    in the project.

    Examples:

        coscribe project start Thesis
    """
    started = api.send("POST", f"/workspace/{_id(api, which, 'active', 'archived')}/start")
    return Said(started, f"Its files are in {started['mountPath']}")


@asks(app, "stop")
def stop_project(api: Api, which: Which) -> Said:
    """Keep a project as files no longer. They stay where they are; start looks at them again.

    Examples:

        coscribe project stop Thesis
    """
    stopped = api.send("POST", f"/workspace/{_id(api, which, 'active', 'archived')}/stop")
    return Said(stopped, f"{stopped['mountPath']} is left as it is.")


@asks(app, "archive")
def archive_project(api: Api, which: Which) -> Said:
    """Archive a project: everybody can still read it, nobody can change it.

    Examples:

        coscribe project archive Thesis
    """
    return moved(api, _found(api, which, "active"), "archive")


@asks(app, "trash")
def trash_project(api: Api, which: Which) -> Said:
    """Put a project into the trash: only owners see it any more, until they restore or delete it.

    Examples:

        coscribe project trash Thesis
    """
    return moved(api, _found(api, which, "active", "archived"), "trash")


@asks(app, "restore")
def restore_project(api: Api, which: Which) -> Said:
    """Bring a project back from the trash or the archive.

    Examples:

        coscribe project restore Thesis
    """
    return moved(api, _found(api, which, "trashed", "archived"), "restore")


@asks(app, "delete")
def delete_project(api: Api, which: Which, yes: Yes = False) -> Said:
    """Delete a project of the trash for good, with its history.

    Examples:

        coscribe project trash Thesis

        coscribe project delete Thesis --yes
    """
    project_id = _id(api, which, "trashed")
    confirm(f"Delete {which!r} ({project_id}) for good, with its history?", yes)
    api.send("DELETE", f"/documents/{project_id}")
    return Said({"workspaceId": project_id}, f"{which!r} is deleted for good.")


def _id(api: Api, which: str, *statuses: str) -> str:
    return str(_found(api, which, *statuses)["documentId"])


def _found(api: Api, which: str, *statuses: str) -> Row:
    return document(api, which, *statuses, kind="workspace")


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {path}: {error}")


def _sent(api: Api, archive: Path, name: str, folds_case: bool) -> Row:
    """Sends an archive; on a terminal a bar shows how far that is."""
    try:
        with archive.open("rb") as file, _bar(DownloadColumn()) as progress:
            size = archive.stat().st_size
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            params: dict[str, Any] = {"name": name, "foldsCase": "true" if folds_case else "false"}
            body = _Body(file, progress, size)
            return api.send(
                "POST",
                "/projects/import",
                params=params,
                content=body,
                headers=headers,
                seconds=LONG_ANSWER_SECONDS,
            )
    except OSError as error:
        fail(f"cannot read {archive}: {error.strerror}")


def _awaited(api: Api, made: Row) -> Row:
    """The project when its import is over."""
    path = f"/projects/{made['workspace']['documentId']}"
    with _bar(MofNCompleteColumn()) as progress:
        task = progress.add_task("importing", total=None)
        while made["imported"]["state"] in ("pending", "running"):
            time.sleep(LOOK_SECONDS)
            made = api.get(path)
            progress.update(task, total=made["imported"]["total"], completed=made["imported"]["done"])
    return made


def _bar(column: MofNCompleteColumn | DownloadColumn) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), column
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


class _Body:
    """A file in pieces that says how far it is; it can be sent again."""

    def __init__(self, file: BinaryIO, progress: Progress, size: int) -> None:
        self._file = file
        self._progress = progress
        self._task = progress.add_task("sending", total=size)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(CHUNK):
            yield piece
            self._progress.update(self._task, completed=self._file.tell())
