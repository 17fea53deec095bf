"""Workplace: what both directions of a working tree share, and how names and contents are written on a disk."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from coscribe.core.tree import MAX_NAME, NodeState
from coscribe.working_tree.disk import Disk, Names, Seen, Signature
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.record import Node, Properties, Record

WATCHED_SECONDS = 60.0
"""For how long it is watched what was taken out of the tree."""

RESTLESS_NANOSECONDS = 50_000_000
"""Two writes within so short a time may leave the same times behind (the clock of file systems has ticks)."""

FILE_MODE, EXECUTABLE_MODE, FOLDER_MODE = 0o644, 0o755, 0o755

TEXT_PROPERTIES = ("eol", "bom", "encoding")


class Notice(NamedTuple):
    """Something that a person should know. ``code``: of the error that it came from. ``kept``: where a content is that
    was not taken in, below the folder of the server; "": there is none."""

    path: str
    code: str
    detail: str
    kept: str = ""


class Read(NamedTuple):
    """A file of the disk as it was read."""

    seen: Seen
    content: bytes
    digest: str


class Workplace(NamedTuple):
    """``series``: fresh names for operations; ``clock``: seconds since 1970; ``tell``: takes notices."""

    disk: Disk
    record: Record
    engine: Engine
    series: Callable[[], str]
    clock: Callable[[], float]
    tell: Callable[[Notice], None]

    def known(self, node: Node, seen: Seen) -> Node:
        """A node as it was just seen to be."""
        now = int(self.clock() * 1e9)
        return node._replace(
            signature=seen.signature, mode=seen.mode, restless=seen.signature.changed > now - RESTLESS_NANOSECONDS
        )


def disk_name(state: NodeState) -> bytes:
    """What a node is called on the disk. Whoever may edit can say any ``diskName``: it counts only where it is a name
    that is no UTF-8, so it leads nowhere, and is none that means something."""
    said = dict(state.properties).get("diskName")
    if not said:
        return state.name.encode()
    try:
        raw = b64decode(said, validate=True)
    except binascii.Error:
        raw = b""
    is_name = len(raw) <= MAX_NAME and b"/" not in raw and b"\0" not in raw
    return raw if is_name and tree_name(raw)[1] else state.name.encode()


def tree_name(raw: bytes) -> tuple[str, dict[str, str]]:
    """What a name of the disk is in the tree, with the property that keeps one that is not UTF-8."""
    try:
        return raw.decode(), {}
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), {"diskName": b64encode(raw).decode()}


def shown(path: Names) -> str:
    """A path of the disk as people are told of it."""
    return b"/".join(path).decode(errors="backslashreplace")


def to_be_read(seen: Seen) -> Signature:
    """A signature that no file has: what is there has still to be taken in."""
    return seen.signature._replace(modified=-1)


def is_unread(signature: Signature) -> bool:
    return signature.modified == -1


def is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_executable(properties: Mapping[str, str]) -> bool:
    mode = properties.get("mode", "")
    return bool(mode) and bool(int(mode, 8) & 0o100)


def mode_property(mode: int) -> dict[str, str]:
    """Of a file with these permission bits."""
    return {"mode": f"{EXECUTABLE_MODE:o}"} if mode & 0o100 else {}


def mode_of(properties: Properties, before: int | None) -> int:
    """The permission bits of a file; what is there ``before`` keeps its own but for running it."""
    if before is None:
        return EXECUTABLE_MODE if is_executable(dict(properties)) else FILE_MODE
    return before | (before & 0o444) >> 2 if is_executable(dict(properties)) else before & ~0o111


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()
