"""Scanning: what is other on the disk than in the record.

    touched     where it was, and perhaps with another content
    vanished    not where it was
    appeared    where nothing was

A file that is at a path is the file of that path, whatever has happened to it (editors put new files into the place of
old ones). Only what has vanished may be one of those that have appeared: the same one renamed, when it is the same
inode or has the same bytes, and the content says so: inodes are used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from coscribe.core.tree import ROOT, TreeLimits
from coscribe.working_tree.disk import Barred, Disk, Gone, Names, Seen
from coscribe.working_tree.ignoring import Ignores
from coscribe.working_tree.record import Node, Record
from coscribe.working_tree.states import is_alike

MAX_DEPTH = TreeLimits().depth
"""What is in deeper folders stays on the disk alone."""


class Found(NamedTuple):
    """What a scan has found. ``vanished``: with what was in them; ``appeared``: a folder before what is in it.
    ``unseen``: where it could not look, and why; what is there stays in the tree as it was."""

    touched: dict[str, Seen]
    vanished: list[str]
    appeared: dict[Names, Seen]
    unseen: dict[Names, str]


def scan(disk: Disk, record: Record, ignores: Ignores, folders: Iterable[str] | None) -> Found:
    """Compares folders, by id, not what is in the folders in them; None: all of the tree."""
    found = Found({}, [], {}, {})
    ignores.look_again()
    waiting = [ROOT] if folders is None else [each for each in folders if each == ROOT or each in record.nodes]
    seen_folders: set[str] = set()
    while waiting:
        folder = waiting.pop()
        if folder in seen_folders:
            continue
        seen_folders.add(folder)
        inner = _compare(disk, record, ignores, folder, found)
        if folders is None:
            waiting += inner
    return found


def _compare(disk: Disk, record: Record, ignores: Ignores, folder: str, found: Found) -> list[str]:
    """One folder. Returns the known folders in it."""
    path = record.path(folder)
    try:
        there = disk.entries(path)
    except Barred:
        found.unseen[path] = "it is not permitted to look there"
        return []
    except Gone:
        return []  # the folder above tells
    inner: list[str] = []
    known = record.inside.get(folder, {})
    for name, file_id in known.items():
        seen, node = there.pop(name, None), record.nodes[file_id]
        if seen is not None and seen.kind == "foreign":
            found.unseen[(*path, name)] = "something is mounted there, or it is not permitted to look"
            continue
        if seen is None or (seen.kind == "directory") != (node.kind == "directory") or seen.kind == "other":
            found.vanished.extend((file_id, *record.below(file_id)))
            if seen is not None:
                there[name] = seen
        elif node.kind == "directory":
            inner.append(file_id)
        elif node.restless or seen.signature != node.signature or (seen.mode ^ node.mode) & 0o100:
            found.touched[file_id] = seen
    for name, seen in there.items():
        _appear(disk, ignores, (*path, name), seen, found.appeared, found.unseen)
    return inner


def _appear(
    disk: Disk, ignores: Ignores, path: Names, seen: Seen, appeared: dict[Names, Seen], unseen: dict[Names, str]
) -> None:
    """Something new, with what is in it. A folder of which all is ignored is so itself; an empty one is not."""
    is_folder = seen.kind == "directory"
    if seen.kind in ("other", "foreign") or ignores.ignores(path, is_folder=is_folder):
        return
    if not is_folder:
        appeared[path] = seen
        return
    if len(path) >= MAX_DEPTH:
        unseen[path] = f"folders are looked into {MAX_DEPTH - 1} deep"
        return
    try:
        entries = disk.entries(path)
    except Barred:
        unseen[path] = "it is not permitted to look there"
        return
    except Gone:
        return
    inside: dict[Names, Seen] = {}
    for name, inner in entries.items():
        _appear(disk, ignores, (*path, name), inner, inside, unseen)
    if inside or not entries:
        appeared[path] = seen
        appeared.update(inside)


class Content(NamedTuple):
    """The bytes of something that has appeared, their SHA-256 in hex, and where they are."""

    content: bytes
    digest: str
    inode: int


def moved(record: Record, vanished: Iterable[str], appeared: Mapping[Names, Seen]) -> dict[Names, str]:
    """Which of what has appeared is something that has vanished, as it was: the same inode with the same size and
    times, and of folders with something in it that was in it."""
    by_inode = {record.nodes[file_id].signature.inode: record.nodes[file_id] for file_id in vanished}
    same: dict[Names, str] = {}
    for path, seen in appeared.items():
        node = by_inode.get(seen.signature.inode)
        if node is not None and _is_moved(record, node, path, seen, appeared, same):
            same[path] = node.file_id
            del by_inode[seen.signature.inode]
    return same


def _is_moved(
    record: Record, node: Node, path: Names, seen: Seen, appeared: Mapping[Names, Seen], same: Mapping[Names, str]
) -> bool:
    if (node.kind == "directory") != (seen.kind == "directory") or (node.kind == "symlink") != (seen.kind == "symlink"):
        return False
    if node.kind == "directory":
        known = record.inside.get(node.file_id, {})
        return not known or any((*path, name) in appeared for name in known)
    went_along = same.get(path[:-1]) == node.parent_id and path[-1] == node.name
    return (went_along or not node.restless) and seen.signature.is_same(node.signature)


def renamed(
    record: Record, vanished: Iterable[str], contents: Mapping[Names, Content], texts: Mapping[str, str]
) -> dict[Names, str]:
    """Likewise of what was changed, too, or written anew: the same bytes, or the same inode and a text of which half of
    the lines are the same. ``texts``: of files that have vanished, as they were on the disk."""
    left = {file_id: record.nodes[file_id] for file_id in vanished}
    same: dict[Names, str] = {}
    for path, content in contents.items():
        alike = [node for node in left.values() if _is_renamed(node, content, texts.get(node.file_id))]
        if alike:
            best = max(alike, key=lambda node: (node.digest == content.digest, node.name == path[-1]))
            same[path] = best.file_id
            del left[best.file_id]
    return same


def _is_renamed(node: Node, content: Content, text: str | None) -> bool:
    if content.content and content.digest == node.digest:
        return True
    if node.signature.inode != content.inode or text is None:
        return False
    return is_alike(text.encode().splitlines(), content.content.splitlines())
