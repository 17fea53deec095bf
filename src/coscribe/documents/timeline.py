"""What was done in a workspace, for people: who worked from when to when, in which files, and what became of the tree.

    log, the newest entry first --Walk--> sessions of work, the newest first

An entry knows files by number, and a change of the tree a name and a folder's id. So the walk has the tree with it, as
it was behind the entry that it has come to, and takes every effect back as it passes: that is where paths come from.
Several people work at once; what one of them does with pauses below `PAUSE` is one session, whatever others do
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from coscribe.core.operation import Delete
from coscribe.core.tree import ROOT, Change, NodeState, Tree
from coscribe.documents.blame import PAUSE
from coscribe.documents.past import components_of
from coscribe.documents.past_tree import effect_of
from coscribe.model import LogEntry, is_of_tree

MAX_NAMED = 100
"""Files, and changes of the tree, that are named in a session; more are counted."""

Verb = Literal["created", "purged", "deleted", "restored", "moved", "renamed", "replaced", "changed"]


class TreeEvent(NamedTuple):
    """A change of the tree. ``new_path``: where it was afterwards, if that was elsewhere."""

    sequence: int
    file_id: str
    verb: Verb
    path: str
    new_path: str = ""


@dataclass(slots=True)
class FileWork:
    """What was edited in a file in a session. ``path``: behind its last edit; ``inserted``, ``deleted`` code points."""

    file_id: str
    path: str
    from_version: int
    to_version: int
    operations: int = 0
    inserted: int = 0
    deleted: int = 0


@dataclass(slots=True)
class WorkSession:
    """What one author did. Sequences and times (microseconds) are of the first and the last entry. ``more``: files and
    changes that are not named. ``is_cut``: it began earlier, and goes on in the next page."""

    author_ref: int
    first_sequence: int
    last_sequence: int
    begun_at: int
    ended_at: int
    operations: int = 0
    files: dict[str, FileWork] = field(default_factory=dict)
    events: list[TreeEvent] = field(default_factory=list)
    more: int = 0
    is_cut: bool = False


class Timeline(NamedTuple):
    """Sessions, those that ended last first. ``next_before``: the sequence to ask before for what was earlier; None:
    nothing was."""

    items: list[WorkSession]
    next_before: int | None


Shows = Callable[[Tree, str], bool]


class Walk:
    """A walk back through the log. ``tree``: as it was behind the entry that comes first; it is used up. ``names``: the
    ids of files by key. ``shows``: whether something of that tree may be told of."""

    def __init__(self, tree: Tree, names: Mapping[int, str], shows: Shows, limit: int) -> None:
        self.sessions: list[WorkSession] = []
        self._tree = tree
        self._names = names
        self._shows = shows
        self._limit = limit
        self._open: dict[int, WorkSession] = {}

    def back(self, rows: Sequence[LogEntry]) -> int:
        """Takes in rows, the last one first, until there are more sessions than were asked for. Returns the sequence
        that it did not come to. Errors: ``file_damaged``."""
        for row in reversed(rows):
            session = self._session_of(row)
            if session is None:
                return row.sequence
            tell = self._changes if is_of_tree(row.payload) else self._edit
            if tell(row, session):
                session.first_sequence, session.begun_at = row.sequence, row.time
                session.operations += 1
                if session.operations == 1:
                    session.last_sequence, session.ended_at = row.sequence, row.time
                    self.sessions.append(session)
                    self._open[row.author_ref] = session
        return rows[0].sequence - 1

    def cut(self, at: int) -> None:
        """The walk has ended; behind it there is an entry of the time ``at``, which sessions may go on with."""
        for session in self._open.values():
            session.is_cut = session.begun_at - at < PAUSE

    def _session_of(self, row: LogEntry) -> WorkSession | None:
        """The session that an entry belongs to, perhaps a new one; None: that would be one too many."""
        session = self._open.get(row.author_ref)
        if session is not None and session.begun_at - row.time < PAUSE:
            return session
        if len(self.sessions) >= self._limit:
            return None
        return WorkSession(row.author_ref, row.sequence, row.sequence, row.time, row.time)

    def _edit(self, row: LogEntry, session: WorkSession) -> bool:
        file_id = self._names.get(row.file_key, "")
        if file_id not in self._tree or not self._shows(self._tree, file_id):
            return False
        parts = components_of(row)
        inserted = sum(len(part) for part in parts if isinstance(part, str))
        deleted = sum(part.size for part in parts if isinstance(part, Delete))
        work = session.files.get(file_id)
        if work is None:
            work = FileWork(file_id, self._tree.path(file_id), row.version, row.version)
            if len(session.files) < MAX_NAMED:
                session.files[file_id] = work
            else:
                session.more += 1
        work.operations += 1
        work.inserted += inserted
        work.deleted += deleted
        work.from_version = row.version - bool(inserted or deleted)
        return True

    def _changes(self, row: LogEntry, session: WorkSession) -> bool:
        effect = effect_of(row)
        after = {change.file_id: self._place(change.file_id) for change in effect.changes}
        self._tree.take_back(effect)
        told: list[TreeEvent] = []
        for change in _joined(effect.changes):
            before, behind = self._place(change.file_id), after[change.file_id]
            if all(place is None or place[1] for place in (before, behind)):
                verb = verb_of(change.before, change.after)
                path, new_path = (before or behind or ("", True))[0], (behind or before or ("", True))[0]
                told.append(TreeEvent(row.sequence, change.file_id, verb, path, new_path if new_path != path else ""))
        room = MAX_NAMED - len(session.events)
        session.events += told[:room]
        session.more += max(0, len(told) - room)
        return bool(told)

    def _place(self, file_id: str) -> tuple[str, bool] | None:
        """Where something is in the tree as it is, and whether that may be told; None: it is not there."""
        if file_id not in self._tree:
            return None
        return self._tree.path(file_id), self._shows(self._tree, file_id)


def verb_of(before: NodeState | None, after: NodeState | None) -> Verb:
    """What became of a node, in a word: the most important of several."""
    if before is None:
        return "created"
    if after is None:
        return "purged"
    if before.trashed != after.trashed:
        return "deleted" if after.trashed else "restored"
    if before.parent_id != after.parent_id:
        return "moved"
    if before.name != after.name:
        return "renamed"
    return "replaced" if (before.kind, before.content) != (after.kind, after.content) else "changed"


def _joined(changes: Sequence[Change]) -> list[Change]:
    """The changes of a unit, those of one node as one; what came to nothing is left out."""
    found: dict[str, Change] = {}
    for change in changes:
        first = found.get(change.file_id, change)
        found[change.file_id] = change._replace(before=first.before)
    return [change for change in found.values() if change.before != change.after]


# ---- between two moments

Kind = Literal["added", "removed", "moved", "changed"]


class Difference(NamedTuple):
    """What is another thing at a later moment. A path is "" where there was nothing. ``moved``: or renamed; its content
    may be another one, too, which ``changed_content`` says."""

    file_id: str
    kind: Kind
    node: str
    path: str
    new_path: str
    changed_content: bool


def differences(before: Tree, after: Tree, edited: set[str]) -> list[Difference]:
    """All that differs of what is live, by path. ``edited``: the texts with operations in between. What is in a folder
    that was moved is not told of for that alone."""
    found: list[Difference] = []
    was, now = _live(before), _live(after)
    for file_id in {**was, **now}:
        one, other = was.get(file_id), now.get(file_id)
        if one is None or other is None:
            at = before if one is not None else after
            kind: Kind = "removed" if one is not None else "added"
            paths = (at.path(file_id), "") if one is not None else ("", at.path(file_id))
            found.append(Difference(file_id, kind, at.state(file_id).kind, *paths, False))
            continue
        changed = file_id in edited or one[2:] != other[2:]
        if one[:2] != other[:2] or changed:
            moved: Kind = "moved" if one[:2] != other[:2] else "changed"
            found.append(Difference(file_id, moved, other.kind, before.path(file_id), after.path(file_id), changed))
    return sorted(found, key=lambda each: ((each.new_path or each.path).split("/"), each.file_id))


def _live(tree: Tree) -> dict[str, NodeState]:
    """What is live, each behind its folder."""
    found: dict[str, NodeState] = {}
    for file_id in tree.below(ROOT):
        state = tree.state(file_id)
        if not state.trashed and (state.parent_id == ROOT or state.parent_id in found):
            found[file_id] = state
    return found
