"""``coscribe cat``, ``watch`` and ``log``: looking at documents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from coscribe.cli.common import (
    DEFAULT_FOLDER,
    DEFAULT_SERVER,
    DatabaseUrl,
    Folder,
    Json,
    Server,
    Token,
    fail,
    print_json,
    token_for,
)
from coscribe.cli.describe import Edit, edits_of, harmless, in_words, moment
from coscribe.core.tree import Change
from coscribe.model import decode_effect, decode_payload, is_of_tree

if TYPE_CHECKING:
    from coscribe.model import LogEntry

File = Annotated[str, typer.Argument(help="The file's id.")]


class EntryLine(msgspec.Struct, rename="camel"):
    """An entry of the log as `coscribe log --json` prints it; ``time`` is UTC. ``origin``: where its text is
    from, if its author has said."""

    sequence: int
    version: int
    base_version: int
    time: str
    author: str
    operation_id: str
    edits: list[Edit]
    restores: list[int]
    origin: str | msgspec.UnsetType = msgspec.UNSET


def cat(
    file: File,
    server: Server = DEFAULT_SERVER,
    version: Annotated[int | None, typer.Option(help="As it was at this version (from what is stored).", min=0)] = None,
    sequence: Annotated[int | None, typer.Option(help="As it was after this sequence (likewise).", min=0)] = None,
    data: Folder = DEFAULT_FOLDER,
    database: DatabaseUrl = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """Print the text of FILE as it is now, or as it once was.

    Now: what the server shows. With --version or --sequence: what the log in the data folder, or in the database, leads
    to, replayed from its beginning; no server is needed for that.

    Examples:

        coscribe cat notes

        coscribe cat notes --version 120 --data /var/lib/coscribe

        coscribe cat notes --sequence 5000 --json
    """
    if version is not None and sequence is not None:
        fail("--version and --sequence both name a moment", "Give one of them.")
    if version is not None or sequence is not None:
        from coscribe.cli.history import text_at  # here and below: storage and client take long to import
        from coscribe.cli.store import Store

        at_version, at_sequence, text = text_at(Store(data, database), file, version=version, sequence=sequence)
    else:
        from coscribe.cli.watching import cat_live

        at_version, at_sequence, text = asyncio.run(cat_live(server, token_for(data, token, "viewer"), file))
    if json:
        print_json({"file": file, "version": at_version, "sequence": at_sequence, "text": text})
    else:
        typer.echo(text, nl=False)


def watch(
    file: File,
    server: Server = DEFAULT_SERVER,
    changes: Annotated[int, typer.Option(help="Stop after so many changes; 0 goes on for ever.", min=0)] = 0,
    data: Folder = DEFAULT_FOLDER,
    token: Token = "",
) -> None:
    """Watch FILE change: the end of its text, who is there, version and sequence. Ctrl+C ends it.

    Where the output is no terminal it prints a line for every change. A file that does not exist yet begins to.

    Examples:

        coscribe watch notes

        coscribe watch notes --server http://127.0.0.1:9000 --data /var/lib/coscribe

        coscribe watch notes --changes 10 | cat
    """
    from coscribe.cli.watching import watch as watch_live

    try:
        asyncio.run(watch_live(server, token_for(data, token, "editor"), file, changes))
    except KeyboardInterrupt:
        raise typer.Exit from None


def log(
    file: File,
    data: Folder = DEFAULT_FOLDER,
    database: DatabaseUrl = "",
    first: Annotated[int | None, typer.Option("--from", help="The first sequence to print.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="Print at most so many; 0 prints all.", min=0)] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per entry, one a line.")] = False,
) -> None:
    """Print the operation log of FILE: sequence, version, time, author, operation id, and what it did.

    Without --from: the last entries. It is read from the data folder, or the database, also while a server runs on it.

    Examples:

        coscribe log notes

        coscribe log notes --from 1 --limit 20

        coscribe log notes --limit 0 --json --data /var/lib/coscribe
    """
    from coscribe.cli.history import entries_of
    from coscribe.cli.store import Store

    for entry in entries_of(Store(data, database), file, first=first, limit=limit):
        line, words = _line_of(entry)
        if json:
            print_json(line)
        else:
            restores = f" (restores {', '.join(map(str, line.restores))})" if line.restores else ""
            origin = f" ({harmless(line.origin)})" if line.origin else ""
            who = harmless(f"{line.author} {line.operation_id}")
            typer.echo(f"{line.sequence:>8} v{line.version:<8} {line.time} {who} {words}{restores}{origin}")


def _line_of(entry: LogEntry) -> tuple[EntryLine, str]:
    """An entry to print, and what it did in words."""
    edits: list[Edit] = []
    restores: tuple[int, ...] = ()
    origin = ""
    try:
        if is_of_tree(entry.payload):
            effect, restores = decode_effect(entry.payload)
            words = ", ".join(_change_in_words(change) for change in effect.changes) or "nothing"
        else:
            parts, restores, origin = decode_payload(entry.payload)
            edits = edits_of(parts)
            words = in_words(edits)
    except (ValueError, TypeError):  # TypeError: SQLite keeps a number where bytes belong
        words = "its payload cannot be read: see coscribe verify"
    time = moment(entry.time).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = EntryLine(
        entry.sequence,
        entry.version,
        entry.base_version,
        time,
        entry.author,
        entry.operation_id,
        edits,
        list(restores),
        origin or msgspec.UNSET,
    )
    return line, words


def _change_in_words(change: Change) -> str:
    """What became of one file of a tree."""
    file_id, before, after = change
    if before is None or after is None:
        node = after or before
        assert node is not None
        return f"{'deletes for good' if after is None else f'makes the {node.kind}'} {node.name!r} ({file_id})"
    if before.trashed != after.trashed:
        return f"{'deletes' if after.trashed else 'restores'} {after.name!r} ({file_id})"
    if before.parent_id != after.parent_id:
        return f"moves {before.name!r} to {after.name!r} in {after.parent_id or 'the top folder'} ({file_id})"
    if before.name != after.name:
        return f"renames {before.name!r} to {after.name!r} ({file_id})"
    return (
        f"changes the properties of {after.name!r} ({file_id})"
        if before.content == after.content
        else (f"puts another content into {after.name!r} ({file_id})")
    )
