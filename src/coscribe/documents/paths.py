"""Who may do what to which paths of a tree, and who sees what of it: judged in the turn, on the tree as it has become
and as it was.

Where a rule closes paths to somebody they are sent a *view*: the tree without what is not shown. What happens elsewhere
is not told, not even that something did; what is moved over the border is made, or gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Change, Effect, NodeState, Tree
from coscribe.documents.ports import PathRights


def may_change(rights: PathRights) -> Callable[[Tree, Effect], None]:
    """Judges an effect that is in the tree already, and leaves the tree as it is.

    Whatever is made, moved, changed or deleted needs writing on its path, before and after, and so does all that is
    below it. Moving must open nothing to anybody: where the rules say something else of the two paths, whoever they
    are about, it needs an owner. Purging always does.
    """

    def may(tree: Tree, effect: Effect) -> None:
        if rights.role != "owner" and any(after is None for _, _, after in effect.changes):
            raise CoscribeError(Code.PERMISSION_DENIED, "only owners delete for good")
        if rights.is_uniform:
            if rights.role == "viewer":
                raise CoscribeError(Code.PERMISSION_DENIED, "viewers cannot change the tree")
            return
        after = dict(_paths(tree, effect))
        tree.take_back(effect)
        try:
            before = dict(_paths(tree, effect))
        finally:
            tree.take_in(effect)
        for file_id, path in [*before.items(), *after.items()]:
            role = rights.on(path)
            if role is None:
                raise CoscribeError(Code.FILE_NOT_FOUND, file_id=file_id)
            if role == "viewer":
                raise CoscribeError(Code.PERMISSION_DENIED, "you may not write all that this changes", file_id=file_id)
        if rights.role != "owner":
            for file_id, path in before.items():
                if file_id in after and not rights.alike(path, after[file_id]):
                    raise CoscribeError(Code.PERMISSION_DENIED, "other rules hold where it would be", file_id=file_id)

    return may


def may_read(rights: PathRights) -> Callable[[Tree, str], bool]:
    """Whether somebody may read a file, as it stands in a tree."""

    def may(tree: Tree, file_id: str) -> bool:
        return rights.is_uniform or rights.on(tree.path(file_id)) is not None

    return may


def view(tree: Tree, rights: PathRights) -> Iterator[tuple[str, NodeState]]:
    """What somebody sees of a tree, each behind its folder."""
    return _shown_below(tree, rights, ROOT)


def seen_then(then: Tree, now: Tree, rights: PathRights) -> Iterator[tuple[str, NodeState]]:
    """What somebody may know of the tree as it was, each behind its folder.

    The rules are those of today, and are asked about the path that something had and about the one that it has: what
    was moved away from where one may not look stays hidden where it was, and what was moved there is hidden as it was
    before, for whoever moved it meant it to be. What was purged has only the path that it had. Files need writing: the
    past of a text is what was deleted from it, too, which is not for those who only read.
    """

    hidden: set[str] = set()
    for file_id in then.below(ROOT):
        state = then.state(file_id)
        if state.parent_id not in hidden and may_know(then, now, file_id, rights):
            yield file_id, state
        else:
            hidden.add(file_id)


def may_know(then: Tree, now: Tree, file_id: str, rights: PathRights) -> bool:
    """Whether something that was there may be told of, as far as its own paths say."""

    def shows(tree: Tree) -> bool:
        path = tree.path(file_id)
        if tree.state(file_id).kind == "directory":
            return rights.shows(path, is_folder=True)
        return rights.recalls(path)

    return shows(then) and (file_id not in now or shows(now))


def seen_changes(tree: Tree, effect: Effect, rights: PathRights) -> Effect:
    """What an effect, which is in the tree, comes to in a view. It can be taken in there, one change after the other.

    Only the end is looked at: so what goes or gets another place gives up its name first, then all take their places,
    folders before what is in them, and what goes leaves last, after what was in it.
    """
    touched = [file_id for file_id, _, _ in effect.changes]
    after = dict(_seen(tree, rights, touched))
    tree.take_back(effect)
    try:
        before = dict(_seen(tree, rights, touched))
    finally:
        tree.take_in(effect)
    freed: list[Change] = []
    for file_id, state in before.items():
        becomes = after.get(file_id)
        if not state.trashed and (becomes is None or becomes.trashed or state[:2] != becomes[:2]):
            freed.append(Change(file_id, state, state._replace(trashed=True)))
    now = {**before, **{file_id: state for file_id, _, state in freed}}
    placed = [
        Change(file_id, now.get(file_id), after[file_id]) for file_id in after if now.get(file_id) != after[file_id]
    ]
    gone = [Change(file_id, now[file_id], None) for file_id in reversed(before) if file_id not in after]
    return Effect((*freed, *placed, *gone))


def _seen(tree: Tree, rights: PathRights, file_ids: Iterable[str]) -> Iterator[tuple[str, NodeState]]:
    """Those of the files that are shown, and all that is shown below them, each behind its folder."""
    done: set[str] = set()
    for file_id in sorted(file_ids, key=lambda each: tree.path(each).count("/") if each in tree else 0):
        if file_id in done or file_id not in tree or not is_shown(tree, rights, file_id):
            continue
        for below, state in [(file_id, tree.state(file_id)), *_shown_below(tree, rights, file_id)]:
            if below not in done:
                done.add(below)
                yield below, state


def is_shown(tree: Tree, rights: PathRights, file_id: str) -> bool:
    """Whether a node is in the view, with all the folders above it."""
    state = tree.state(file_id)
    return rights.shows(tree.path(file_id), is_folder=state.kind == "directory") and (
        state.parent_id == ROOT or is_shown(tree, rights, state.parent_id)
    )


def _shown_below(tree: Tree, rights: PathRights, folder_id: str) -> Iterator[tuple[str, NodeState]]:
    hidden: set[str] = set()
    for file_id in tree.below(folder_id):
        state = tree.state(file_id)
        if state.parent_id in hidden or not rights.shows(tree.path(file_id), is_folder=state.kind == "directory"):
            hidden.add(file_id)
        else:
            yield file_id, state


def _paths(tree: Tree, effect: Effect) -> Iterator[tuple[str, str]]:
    """What an effect has to do with, and all that is below it, as it is in the tree."""
    for file_id, _, _ in effect.changes:
        if file_id in tree:
            yield file_id, tree.path(file_id)
            for below in tree.below(file_id):
                yield below, tree.path(below)
