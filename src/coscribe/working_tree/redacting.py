"""Redaction beside a working tree: what was displaced, kept or staged, and the record of what the disk has shown.

The files themselves are what the workspace is: they have followed it before. Only for a tree that nobody has open.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from coscribe.documents.redaction import ByteFinder, Pattern, fill_bytes, spans_in
from coscribe.working_tree.disk import READ_PIECE
from coscribe.working_tree.record import Displaced, Left
from coscribe.working_tree.states import State

MAX_LEFT = 1_000
"""Files that are named because they have it still."""

_INTENTS = ("putting", "taking", "tree_taking")


def take_out(root: Path, workspace_id: str, pattern: Pattern) -> list[str]:
    """Takes what fits out of what is kept beside a tree. Returns the paths of files below the tree that have it still:
    they are no part of the workspace (ignored, git's own), or could not be written. Raises OSError, sqlite3.Error."""
    state = root / ".coscribe" / workspace_id
    for path in _files(state / "staged"):
        if _has(pattern, path):
            path.unlink()
    gone = [path.name for path in _files(state / "displaced") if _has(pattern, path)]
    if (state / "record.db").exists():
        _out_of_record(state / "record.db", pattern, gone)
    for name in gone:
        (state / "displaced" / name).unlink()
    for path in _files(state / "kept"):
        spans = _spans(pattern, path)
        if spans:
            _write_anew(path, pattern, spans)
    top = root / workspace_id
    left: list[str] = []
    for path in _files(top):
        if pattern.search(str(path.relative_to(top))) or _has(pattern, path):
            left.append(os.fsencode(path.relative_to(top)).decode(errors="backslashreplace"))
        if len(left) >= MAX_LEFT:
            break
    return left


def _out_of_record(path: Path, pattern: Pattern, gone: list[str]) -> None:
    """A state that has a text of its own goes with it: a late write that was made of it is an edit of another one then.
    What is announced and not finished stays what it is; raises OSError where that has it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        for file_id, place, raw in db.execute("SELECT file_id, place, state FROM states").fetchall():
            if _has_state(pattern, msgspec.msgpack.decode(raw, type=State)):
                db.execute("DELETE FROM states WHERE file_id = ? AND place = ?", (file_id, place))
        for name, raw in db.execute("SELECT path, entry FROM left_behind").fetchall():
            states = msgspec.msgpack.decode(raw, type=Left).states
            if pattern.search(name.decode(errors="surrogateescape")) or _any_state(pattern, states):
                db.execute("DELETE FROM left_behind WHERE path = ?", (name,))
        for name, raw in db.execute("SELECT name, entry FROM displaced").fetchall():
            if name in gone:
                db.execute("DELETE FROM displaced WHERE name = ?", (name,))
                continue
            entry = msgspec.msgpack.decode(raw, type=Displaced)
            if _any_state(pattern, entry.states):
                states = [each for each in entry.states if not _has_state(pattern, each)]
                again = msgspec.msgpack.encode(entry._replace(states=states))
                db.execute("UPDATE displaced SET entry = ? WHERE name = ?", (again, name))
        for table in _INTENTS:
            if any(spans_in(pattern, raw) for (raw,) in db.execute(f"SELECT intent FROM {table}").fetchall()):
                raise OSError("they are written to; try again")
        db.execute("COMMIT")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _has_state(pattern: Pattern, state: State) -> bool:
    inserted = (text for _, _, text in state.bridge)
    return any(pattern.search(text) for text in (state.text or "", *inserted))


def _any_state(pattern: Pattern, states: list[State]) -> bool:
    return any(_has_state(pattern, state) for state in states)


def _files(folder: Path) -> Iterator[Path]:
    """All below it; no link is followed."""
    for inside, _, names in os.walk(folder):
        yield from (Path(inside, name) for name in sorted(names))


def _has(pattern: Pattern, path: Path) -> bool:
    return bool(_spans(pattern, path))


def _spans(pattern: Pattern, path: Path) -> list[tuple[int, int]]:
    """Where a file, or the target of a link, has it. What cannot be read, or is no file, has nothing to be said of."""
    found = ByteFinder(pattern)
    if path.is_symlink():
        found.take(os.fsencode(path.readlink()))
    elif path.is_file():
        with path.open("rb") as file:
            while piece := file.read(READ_PIECE):
                found.take(piece)
    return found.spans()


def _write_anew(path: Path, pattern: Pattern, spans: list[tuple[int, int]]) -> None:
    draft = path.with_name(f"{path.name}.redacted")
    with path.open("rb") as source, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to:
        at = 0
        while piece := source.read(READ_PIECE):
            to.write(fill_bytes(pattern, piece, spans, at))
            at += len(piece)
        to.flush()
        os.fsync(to.fileno())
    draft.replace(path)
