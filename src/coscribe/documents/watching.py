"""Watching a workspace: what changes in it, by path, for whoever keeps something outside in step with it.

    turn      what an effect comes to by path, as the paths are then; which text was edited     session.py
    commit    only now a `Watch` hears of it, in order
    next      what was gathered for a moment, and the sequence behind which another watch may begin

Of a folder it is told what happens to it, not to each thing below: what is made, moved or gone is so with all that is
in it. A folder may be made with things in it (restored, shown): so whoever follows lists the folders that were new to
them, where they are when all that was gathered has been taken in.

Only what is live and shown to the watcher counts; what is moved over the border of that is made, or gone.

A watch that begins behind a sequence of the past is first told what came since. Where that is not to be had (it is too
long, was pruned, or the watcher does not see all: of a view there is no past) it is told to *resync*: to look at
everything again. One that does not take what it is told is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Effect, NodeState, Tree
from coscribe.core.tree import Change as NodeChange
from coscribe.documents.ports import Identity, PathRights
from coscribe.metrics import metrics

GATHER_SECONDS = 0.1
"""How long changes are gathered before they are told."""

MAX_WAITING = 10_000
"""Changes that wait for one watcher."""

MAX_PAST = 5_000
"""Entries of the log that are told to one who begins in the past."""

MAX_WATCHES = 2_000
MAX_WATCHES_OF_ACCOUNT = 20

What = Literal["made", "moved", "changed", "edited", "gone"]


class Change(NamedTuple):
    """What has become of one file or folder. ``changed``: another content or kind, or other properties; ``edited``: a
    text, which has ``version`` now.

    ``path``: where it is; of what is gone where it was. ``old_path``: of what was moved, where it was. ``content`` and
    ``properties`` are as in a stat; of what is gone as they were.
    """

    what: What
    sequence: int
    file_id: str
    path: str
    kind: str
    old_path: str = ""
    version: int = 0
    content: str = ""
    properties: tuple[tuple[str, str], ...] = ()


class Changes(NamedTuple):
    """What was gathered, in order; a later watch may begin behind ``sequence``. ``resync``: something may be missing
    before these, everything has to be looked at again."""

    sequence: int
    changes: list[Change]
    resync: bool = False


class Watch:
    """Somebody watches; for one task, which calls `next` and in the end `close`. ``durable``: the sequence up to which
    everything has been told; ``closed``: forgets it."""

    def __init__(
        self,
        identity: Identity,
        workspace_id: str,
        rights: PathRights,
        durable: Callable[[], int],
        closed: Callable[[Watch], None],
    ) -> None:
        self.identity = identity
        self.workspace_id = workspace_id
        self.rights = rights
        self._durable = durable
        self._closed = closed
        self._waiting: list[Change] = []
        self._edits: dict[tuple[str, str], Change] = {}
        self._begun = False
        self._resync = False
        self._some = asyncio.Event()
        self._over: CoscribeError | None = None
        self._ending = asyncio.Event()

    async def next(self, seconds: float | None = None) -> Changes | None:
        """What comes next; at first where it begins, at once. None: nothing for so many seconds.

        Errors: whatever has ended it: ``slow_consumer``, ``rejoin`` and the like of storage, ``access_removed``,
        ``rules_changed``, ``session_ended``, ``shutting_down``.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._some.wait()
        except TimeoutError:
            return None
        if self._begun:
            try:
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                pass
        if self._over is not None:
            raise self._over
        self._begun = True
        changes, self._waiting = [*self._waiting, *self._edits.values()], []
        resync, self._resync = self._resync, False
        self._edits.clear()
        self._some.clear()
        return Changes(self._durable(), changes, resync)

    def close(self) -> None:
        """To be called in any case."""
        self._closed(self)

    # ---- told by those who have the workspace

    def begin(self, past: Sequence[Change] | None) -> None:
        """``past``: what came before the first that it is told; None: that is not to be had."""
        self._resync = past is None
        self._waiting[:0] = past or ()
        self._some.set()

    def changed(self, changes: Sequence[Change]) -> None:
        """The tree."""
        if self._over is None:
            self._waiting += [*self._edits.values(), *changes]
            self._edits.clear()
            self._told()

    def edited(self, change: Change) -> None:
        """A text. Edits of one text are one change, as long as the tree does not change between them."""
        if self._over is not None:
            return
        key = change.file_id, change.path
        self._edits.pop(key, None)
        self._edits[key] = change
        self._told()

    def end(self, error: CoscribeError) -> None:
        """It is over; what waits is not told any more."""
        if self._over is None:
            self._over = error
            self._waiting.clear()
            self._edits.clear()
            self._ending.set()
            self._some.set()
            metrics.watches_ended.labels(error.code.value.code).inc()

    def _told(self) -> None:
        if len(self._waiting) + len(self._edits) > MAX_WAITING:
            self.end(CoscribeError(Code.SLOW_CONSUMER, f"more than {MAX_WAITING} changes wait"))
        elif self._begun:  # before that `begin` sees to it
            self._some.set()


class Watches:
    """All watches of a server."""

    def __init__(self) -> None:
        self._all: dict[Watch, None] = {}

    def __iter__(self) -> Iterator[Watch]:
        return iter(tuple(self._all))

    def check_room(self, identity: Identity) -> None:
        """Errors: ``too_many_requests``."""
        of_account = sum(watch.identity.account == identity.account for watch in self._all) if identity.account else 0
        if of_account >= MAX_WATCHES_OF_ACCOUNT or len(self._all) >= MAX_WATCHES:
            raise CoscribeError(Code.TOO_MANY_REQUESTS, f"{of_account} watches of yours are open")

    def add(self, watch: Watch) -> None:
        self._all[watch] = None
        metrics.watches.set(len(self._all))

    def remove(self, watch: Watch) -> None:
        self._all.pop(watch, None)
        metrics.watches.set(len(self._all))

    def end_all(self, error: CoscribeError) -> None:
        for watch in self:
            watch.end(error)


class Before:
    """A tree as it was before effects that are in it, which are named the last one first. The tree stays as it is."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._was: dict[str, NodeState | None] = {}

    def take_back(self, effect: Effect) -> None:
        for file_id, before, _ in reversed(effect.changes):
            self._was[file_id] = before

    def state(self, file_id: str) -> NodeState | None:
        """None: it was not there."""
        if file_id in self._was:
            return self._was[file_id]
        return self._tree.state(file_id) if file_id in self._tree else None

    def path(self, file_id: str) -> str | None:
        """None: it was not live."""
        names: list[str] = []
        while file_id != ROOT:
            state = self.state(file_id)
            if state is None or state.trashed:
                return None
            names.append(state.name)
            file_id = state.parent_id
        return "/".join(reversed(names))


def changes_of(at: Before, sequence: int, effect: Effect) -> list[Change]:
    """What an effect comes to by path, one step after the other; ``at``, as it is behind the effect, is before it
    afterwards."""
    found: list[Change] = []
    for file_id, before, after in reversed(_joined(effect.changes)):
        new = at.path(file_id) if after is not None else None
        at.take_back(Effect((NodeChange(file_id, before, after),)))
        old = at.path(file_id) if before is not None else None
        change = _change(sequence, file_id, old, before, new, after)
        if change is not None:
            found.append(change)
    found.reverse()
    return found


def _joined(steps: Sequence[NodeChange]) -> list[NodeChange]:
    """Steps of one node behind each other are one."""
    joined: list[NodeChange] = []
    for step in steps:
        if joined and joined[-1].file_id == step.file_id:
            joined[-1] = joined[-1]._replace(after=step.after)
        else:
            joined.append(step)
    return joined


def direct(seen: Effect) -> Effect:
    """What an effect comes to in a view: a node gives up its name there before others take theirs, as if it were gone
    for a moment. Where one alone does, it is moved."""
    freed = {file_id: before for file_id, before, after in seen.changes if after is not None and after.trashed}
    moved = [file_id for file_id, before, after in seen.changes if file_id in freed and after and not after.trashed]
    if len(moved) != 1:
        return seen
    steps = (
        NodeChange(file_id, freed[file_id] if file_id == moved[0] else before, after)
        for file_id, before, after in seen.changes
        if file_id != moved[0] or (after is not None and not after.trashed)
    )
    return Effect(tuple(steps))


def edit_of(sequence: int, file_id: str, path: str, version: int, state: NodeState) -> Change:
    return Change("edited", sequence, file_id, path, state.kind, version=version, properties=state.properties)


def _change(
    sequence: int, file_id: str, old: str | None, before: NodeState | None, new: str | None, after: NodeState | None
) -> Change | None:
    if new is not None and after is not None:
        what: What = "made" if old is None or before is None else "moved" if old != new else "changed"
        if what == "changed" and before == after:
            return None
        old_path = old if what == "moved" and old is not None else ""
        return Change(what, sequence, file_id, new, after.kind, old_path, 0, after.content, after.properties)
    if old is not None and before is not None:
        return Change("gone", sequence, file_id, old, before.kind, "", 0, before.content, before.properties)
    return None


class Past(NamedTuple):
    """An entry of the log: an effect on the tree, or that a text came to a version."""

    sequence: int
    effect: Effect | None
    file_id: str = ""
    version: int = 0


def past_changes(tree: Tree, since: Iterable[Effect], past: Sequence[Past]) -> list[Change]:
    """What entries came to, oldest first. ``since``: the effects behind them that are in the tree, newest first."""
    at = Before(tree)
    for effect in since:
        at.take_back(effect)
    found: list[list[Change]] = []
    edited: set[tuple[str, str]] = set()
    for entry in reversed(past):
        if entry.effect is not None:
            found.append(changes_of(at, entry.sequence, entry.effect))
            edited.clear()
            continue
        path, state = at.path(entry.file_id), at.state(entry.file_id)
        if path is not None and state is not None and (entry.file_id, path) not in edited:
            edited.add((entry.file_id, path))
            found.append([edit_of(entry.sequence, entry.file_id, path, entry.version, state)])
    return [change for changes in reversed(found) for change in changes]
