"""``coscribe fs``: the files of a workspace on a running server, listed, read, written, moved, deleted."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from coscribe.cli.api import Api, At, Given, Operator, Row, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, fail, written
from coscribe.cli.line import LONG_ANSWER_SECONDS, Refused, Request
from coscribe.cli.naming import document
from coscribe.cli.show import Columns, say, show_done, show_list

app = typer.Typer(
    help="A workspace's files: list, read, write, fetch, move, delete. Paths are from the top, with slashes.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(help="The workspace: its id, or the beginning of its name.", metavar="WORKSPACE")]
APath = Annotated[str, typer.Argument(help="From the top; left out: all of it.", metavar="PATH")]
AFile = Annotated[str, typer.Argument(help="From the top.", metavar="PATH")]
Replace = Annotated[bool, typer.Option("--replace", help="What is there already gives way.")]

CHUNK = 256 * 1024

_ENTRIES: Columns = {
    "name": lambda row: row["name"] + ("/" if row["kind"] == "directory" else ""),
    "kind": lambda row: row["kind"],
    "id": lambda row: row["fileId"],
}


class Sending:
    """A file on its way; it can be sent again."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def __iter__(self) -> Iterator[bytes]:
        with self.source.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece


@asks(app, "ls")
def ls(api: Api, which: Which, path: APath = "") -> Listed:
    """List what is in a folder.

    Examples:

        coscribe fs ls thesis

        coscribe fs ls thesis chapters --json
    """
    items = _listed(api, _fs(api, which), _clean(path))
    return Listed(items, _ENTRIES, nothing="It is empty.")


@app.command("tree")
def tree(
    which: Which,
    path: APath = "",
    depth: Annotated[int, typer.Option(help="So many levels; 0 shows all.", min=0)] = 0,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Show a folder with all that is below it.

    Examples:

        coscribe fs tree thesis

        coscribe fs tree thesis chapters --depth 2

        coscribe fs tree thesis --json
    """
    top = _clean(path)
    with opened(server, token, data) as api:
        items = list(_below(api, _fs(api, which), top, depth))
    if json:
        show_list(items, {}, json=True, nothing="")
        return
    level = len(PurePosixPath(top).parts) + 1
    for row in items:
        indent = "    " * (len(PurePosixPath(row["path"]).parts) - level)
        link = f" -> {row['content']}" if row["kind"] == "symlink" else ""
        say(f"{indent}{row['name']}{'/' if row['kind'] == 'directory' else ''}{link}")
    files = sum(row["kind"] != "directory" for row in items)
    say(f"{_count(files, 'file')}, {_count(len(items) - files, 'folder')}")


@app.command("cat")
def cat(which: Which, path: AFile, server: At = DEFAULT_SERVER, token: Given = "", data: Operator = None) -> None:
    """Print a file, byte for byte, whatever is in it.

    Examples:

        coscribe fs cat thesis chapters/one.tex

        coscribe fs cat thesis figures/map.png > map.png
    """
    with opened(server, token, data) as api, _read(api, _fs(api, which), _clean(path)) as pieces:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@app.command("put")
def put(
    which: Which,
    source: Annotated[Path, typer.Argument(help="A file or folder here; - reads stdin.", metavar="FILE")],
    path: Annotated[str, typer.Argument(help="Where to; left out, or a folder: by its own name.", metavar="PATH")] = "",
    replace: Replace = False,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Write a file, or a folder with all that is in it, into a workspace. Folders on the way are made.

    A text that gives way is compared with what is there, and only what differs is changed: its history, and who works
    in it, stay.

    Examples:

        coscribe fs put thesis one.tex chapters/one.tex

        coscribe fs put thesis ./figures

        make report | coscribe fs put thesis - report.md --replace
    """
    with _source(source) as here, opened(server, token, data) as api:
        fs, target = _fs(api, which), _clean(path)
        is_stdin = str(source) == "-"
        if is_stdin and not target:
            fail("what is read from stdin has no name", "Give PATH: coscribe fs put WORKSPACE - notes.md")
        name = "" if is_stdin else here.resolve().name
        found = _stat(api, fs, target) if target else None
        into_folder = not target or path.endswith("/") or (found is not None and found["kind"] == "directory")
        if into_folder:
            target = f"{target}/{name}".strip("/")
        count = _put_all(api, fs, here, target, replace)
    show_done({"path": target, **count}, _put_words(target, count), json=json)


@asks(app, "get")
def get(
    api: Api,
    which: Which,
    path: AFile,
    target: Annotated[
        Path | None, typer.Argument(help="Where to; left out: here, by its own name.", metavar="FILE")
    ] = None,
    replace: Replace = False,
) -> Said:
    """Fetch a file, or a folder with all that is in it, byte for byte. Links are left out, and named.

    Examples:

        coscribe fs get thesis figures/map.png

        coscribe fs get thesis chapters ./chapters --replace
    """
    fs, wanted = _fs(api, which), _clean(path)
    if not wanted:
        fail("all of it is no file or folder", "Give PATH; `coscribe past download` has all of a workspace.")
    entry = api.get(f"{fs}/stat", path=wanted)
    name = _safe(entry["name"])
    here = Path(name) if target is None else target / name if target.is_dir() else target
    if entry["kind"] == "directory":
        rows = list(_below(api, fs, wanted, 0))
        places = [(row, here.joinpath(*map(_safe, _inside(row["path"], wanted)))) for row in rows]
        places.insert(0, (entry, here))
    else:
        places = [(entry, here)]
    taken = [place for row, place in places if row["kind"] != "directory" and place.exists()]
    if taken and not replace:
        fail(f"{taken[0]} is there already", "Give another FILE, or --replace.", code=1)
    left_out = [row["path"] for row, _ in places if row["kind"] == "symlink"]
    files = sum(_fetched(api, fs, row, place) for row, place in places)
    words = f"{_count(files, 'file')} in {here}."
    if left_out:
        words += f" Left out, as links: {', '.join(left_out)}."
    return Said({"target": str(here), "files": files, "leftOut": left_out}, words)


@asks(app, "mv")
def mv(
    api: Api,
    which: Which,
    source: Annotated[str, typer.Argument(help="What is moved or renamed.", metavar="PATH")],
    target: Annotated[str, typer.Argument(help="Its new path, or the folder that it goes into.", metavar="TARGET")],
    replace: Replace = False,
) -> Said:
    """Move or rename a file or folder. It stays the same file, for whoever works in it, too.

    Examples:

        coscribe fs mv thesis one.tex chapters/one.tex

        coscribe fs mv thesis drafts/map.png figures/

        coscribe fs mv thesis new.tex one.tex --replace
    """
    fs, one, other = _fs(api, which), _clean(source), _clean(target)
    there = {"kind": "directory"} if not other else _stat(api, fs, other)
    if one != other and (target.endswith("/") or (there is not None and there["kind"] == "directory")):
        other = f"{other}/{PurePosixPath(one).name}".strip("/")
    with _advised("--replace puts what is there into the trash."):
        moved = api.send("POST", f"{fs}/rename", {"source": one, "target": other, "overwrite": replace})
    return Said(moved, f"It is at {other} now.")


@asks(app, "rm")
def rm(
    api: Api, which: Which, paths: Annotated[list[str], typer.Argument(help="Files and folders.", metavar="PATH...")]
) -> Said:
    """Put files and folders into the trash. From there they can be restored, in the web editor or by the API.

    Examples:

        coscribe fs rm thesis drafts/old.tex

        coscribe fs rm thesis build dist
    """
    deleted: list[str] = []
    fs = _fs(api, which)
    for path in paths:
        api.send("POST", f"{fs}/delete", {"path": _clean(path)})
        deleted.append(_clean(path))
    return Said({"deleted": deleted}, f"In the trash: {', '.join(deleted)}")


# ---- steps


def _fs(api: Api, which: str) -> str:
    return f"/workspace/{document(api, which, 'active', 'archived', kind='workspace')['documentId']}/fs"


def _clean(path: str) -> str:
    return path.strip("/")


def _listed(api: Api, fs: str, path: str) -> list[Row]:
    items: list[Row] = api.get(f"{fs}/list", path=path)["items"]
    return items


def _read(api: Api, fs: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
    headers = {"Accept": "*/*"}
    return api.pieces(Request("GET", f"{fs}/read", None, {"path": path}, headers, seconds=LONG_ANSWER_SECONDS))


def _below(api: Api, fs: str, path: str, depth: int) -> Iterator[Row]:
    """All that is below a folder, a folder before what is in it."""
    for row in _listed(api, fs, path):
        yield row
        if row["kind"] == "directory" and depth != 1:
            yield from _below(api, fs, row["path"], depth - 1 if depth else 0)


def _stat(api: Api, fs: str, path: str) -> Row | None:
    try:
        return api.get(f"{fs}/stat", path=path)
    except Refused as refusal:
        if refusal.code != "file_not_found":
            raise
        return None


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """What to do where a name is taken."""
    try:
        yield
    except Refused as refusal:
        if refusal.code == "conflict":
            refusal.advice = advice
        raise


@contextmanager
def _source(source: Path) -> Iterator[Path]:
    """What is read from stdin is kept in a file meanwhile: it may have to be sent again."""
    if str(source) != "-":
        if not source.exists():
            fail(
                f"cannot read {source}: there is no such file", "Give a file or folder of this machine, or - for stdin."
            )
        if not source.is_dir() and not source.is_file():
            fail(f"cannot read {source}: it is no file", "Give a file or folder of this machine, or - for stdin.")
        yield source
        return
    with tempfile.NamedTemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name)


def _put_all(api: Api, fs: str, here: Path, target: str, replace: bool) -> dict[str, int]:
    """Returns how many files, folders and links were written, and what was left out."""
    count = {"files": 0, "folders": 0, "leftOut": 0}
    folder = str(PurePosixPath(target).parent)
    _make_folders(api, fs, "" if folder == "." else folder)
    if not here.is_dir():
        _put_one(api, fs, here, target, replace)
        return count | {"files": 1}
    for root, folders, files in os.walk(here):
        inside = Path(root).relative_to(here).as_posix()
        above = target if inside == "." else f"{target}/{inside}"
        folders[:] = sorted(name for name in folders if name != ".git" and not Path(root, name).is_symlink())
        count["folders"] += _make_folders(api, fs, above)
        for name in sorted(files):
            file = Path(root, name)
            if file.is_symlink() or not file.is_file():
                count["leftOut"] += 1
                continue
            _put_one(api, fs, file, f"{above}/{name}", replace)
            count["files"] += 1
    return count


def _put_one(api: Api, fs: str, here: Path, target: str, replace: bool) -> None:
    try:
        found = here.stat()
        here.open("rb").close()
    except OSError as error:
        fail(f"cannot read {here}: {error.strerror}")
    params: dict[str, str | int] = {"path": target}
    if found.st_mode & stat.S_IXUSR:
        params["mode"] = "755"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(found.st_size), "If-None-Match": "*"}
    if replace and _stat(api, fs, target) is not None:
        del headers["If-None-Match"]
        headers["If-Match"] = api.ask("GET", f"{fs}/read", params={"path": target}).headers["etag"]
    with _advised("Give another PATH, or --replace."):
        api.send(
            "PUT", f"{fs}/write", params=params, headers=headers, content=Sending(here), seconds=LONG_ANSWER_SECONDS
        )


def _make_folders(api: Api, fs: str, path: str) -> int:
    """Those that are missing on the way to a folder, and it; returns how many."""
    made = 0
    parts = PurePosixPath(path).parts
    for length in range(len(parts), 0, -1):
        if _stat(api, fs, "/".join(parts[:length])) is not None:
            break
    else:
        length = 0
    for end in range(length + 1, len(parts) + 1):
        api.send("POST", f"{fs}/mkdir", {"path": "/".join(parts[:end])})
        made += 1
    return made


def _put_words(target: str, count: dict[str, int]) -> str:
    left_out = f" {count['leftOut']:,} left out: links, and what is no file." if count["leftOut"] else ""
    return f"{_count(count['files'], 'file')} at {target}.{left_out}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _safe(name: str) -> str:
    """A name that is one here, too: what a server says leads nowhere else."""
    if name in ("", ".", "..") or "/" in name or "\0" in name or os.sep in name:
        fail(f"{name!r} is no name of a file on this machine", "Rename it: coscribe fs mv", code=1)
    return name


def _inside(path: str, folder: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[len(PurePosixPath(folder).parts) :]


def _fetched(api: Api, fs: str, row: Row, place: Path) -> int:
    """1: it was a file."""
    if row["kind"] == "symlink":
        return 0
    try:
        if row["kind"] == "directory":
            place.mkdir(exist_ok=True)
            return 0
        with _read(api, fs, row["path"]) as pieces, written(place, "FILE") as file:
            for piece in pieces:
                file.write(piece)
        place.chmod(0o755 if int(row["properties"].get("mode", "644"), 8) & stat.S_IXUSR else 0o644)
    except OSError as error:
        fail(f"cannot write {place}: {error.strerror}", "Give FILE in a folder that you may write to.")
    return 1
