"""Intake: entries that somebody else has named and described, judged one by one, their contents kept until used.

Wherever they come from, an archive or the objects of a repository: this is the one place that says what may be part of
a tree that is imported. A link is kept as a link; nobody follows it here, but where it leads is worked out over all the
other links, since a program that gets the files will follow it.
"""

from __future__ import annotations

import re
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import MAX_NAME, fold
from coscribe.documents.file_system import MAX_PATH, NewFile
from coscribe.metrics import metrics

Reason = Literal[
    "up",
    "absolute",
    "drive",
    "backslash",
    "nul",
    "empty_name",
    "long_name",
    "long_path",
    "depth",
    "duplicate",
    "inside_file",
    "git",
    "link_outside",
    "link_target",
    "hard_link",
    "special",
    "sparse",
    "encrypted",
    "packing",
    "overlap",
    "size",
    "damaged",
    "unknown",
    "entries",
    "file_bytes",
    "head_bytes",
    "unpacked_bytes",
    "packed_bytes",
    "ratio",
]

REASONS: dict[Reason, str] = {
    "up": "has .. in its path",
    "absolute": "has a path from the root of a disk",
    "drive": "has a path with a drive letter",
    "backslash": "has a backslash in its path",
    "nul": "has NUL in its path",
    "empty_name": "has an empty name, or one that is a dot, in its path",
    "long_name": "has a name of more than 255 bytes in its path",
    "long_path": "has too long a path",
    "depth": "is too deep",
    "duplicate": "is there twice, or another name differs from it in case or accents only",
    "inside_file": "is inside of something that is no folder",
    "git": "is in a folder .git, and what is in there is run: leave it out, or import the repository by its address",
    "link_outside": "is a link that leads out",
    "link_target": "is a link to nothing that can be named",
    "hard_link": "is a hard link",
    "special": "is a device, a pipe or a socket",
    "sparse": "is a file with holes",
    "encrypted": "is encrypted",
    "packing": "is packed in a way that is not read here",
    "overlap": "shares its bytes with something else",
    "size": "is not as long as it says",
    "damaged": "is damaged",
    "unknown": "is no zip, no tar and no tar.gz",
    "entries": "are too many",
    "file_bytes": "is too large",
    "head_bytes": "is described at too great a length",
    "unpacked_bytes": "is too large when unpacked",
    "packed_bytes": "is too large",
    "ratio": "grows too much when unpacked",
}

PIECE = 262_144
"""Bytes that are read at a time."""

MAX_HOPS = 40
"""Links that are followed to see where one leads; what needs more leads nowhere."""

MAX_TARGET = 4_095
"""Bytes of where a link leads."""

SHOWN = 200
"""Characters of a name in an error."""

_DRIVE = re.compile(rb"[A-Za-z]:")


class Bounds(NamedTuple):
    """``ratio``: times that it may grow, asked from ``ratio_floor`` bytes on. ``head_bytes``: of what describes one
    entry. ``unpacked_bytes`` of a tar counts these, too."""

    packed_bytes: int = 200_000_000
    unpacked_bytes: int = 1_000_000_000
    ratio: int = 200
    ratio_floor: int = 10_000_000
    entries: int = 50_000
    depth: int = 64
    file_bytes: int = 100_000_000
    head_bytes: int = 1_000_000


class ImportRefused(CoscribeError):
    """``entry``: as it is named there; "": it is about the whole."""

    def __init__(self, reason: Reason, detail: str, entry: str) -> None:
        super().__init__(Code.IMPORT_REFUSED, detail)
        metrics.imports_refused.labels(reason).inc()
        self.reason: Reason = reason
        self.entry = entry


def refusal(reason: Reason, more: str = "", *, entry: bytes | str = "") -> ImportRefused:
    name = entry.decode(errors="backslashreplace") if isinstance(entry, bytes) else entry
    said = REASONS[reason] + (f" ({more})" if more else "")
    if not name:
        return ImportRefused(reason, f"what was sent {said}", "")
    return ImportRefused(reason, f"{name[:SHOWN]!r} {said}", name)


class Described(NamedTuple):
    """An entry as its source describes it. ``size``: of what is in it; of a link that is the target."""

    name: bytes
    kind: Literal["directory", "file", "symlink"]
    size: int
    executable: bool = False


class _Kept(NamedTuple):
    path: str
    kind: Literal["directory", "file", "symlink"]
    properties: dict[str, str]
    start: int = 0
    size: int = 0


class Intake:
    """What was taken in so far. ``packed``: the bytes it all came in; None: it was not packed.

    All raise `ImportRefused`. Of an intake that has refused something nothing may be used.
    """

    def __init__(self, folder: Path, bounds: Bounds, *, packed: int | None, folds_case: bool = False) -> None:
        self.bounds = bounds
        self._most = bounds.unpacked_bytes
        if packed is not None:
            self._most_by_ratio = max(bounds.ratio_floor, packed * bounds.ratio)
        else:
            self._most_by_ratio = self._most
        self._folds_case = folds_case
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (see close)
        self._kept: list[_Kept] = []
        self._known: dict[tuple[str, ...], _Kept] = {}
        self._links: dict[tuple[str, ...], tuple[bytes, str]] = {}
        self._size = 0

    def add(self, entry: Described, pieces: Iterable[bytes]) -> None:
        """Takes something in; ``pieces`` are read only where it may be here."""
        parts = self._parts(entry)
        if not parts:
            return  # the top itself, as many archives name it
        for end in range(1, len(parts)):
            self._keep_folder(entry, parts[:end])
        if entry.kind == "directory":
            self._keep_folder(entry, parts)
            return
        names = [_tree_name(part)[0] for part in parts]
        if self._key(names) in self._known:
            raise refusal("duplicate", entry=entry.name)
        start = self._size
        if entry.size > (MAX_TARGET if entry.kind == "symlink" else self.bounds.file_bytes):
            raise refusal("link_target" if entry.kind == "symlink" else "file_bytes", entry=entry.name)
        self.check_total(self._size + entry.size, entry.name)
        for piece in pieces:
            self._size += len(piece)
            if self._size - start > entry.size:
                raise refusal("size", entry=entry.name)
            self._spool.write(piece)
        if self._size - start != entry.size:
            raise refusal("size", entry=entry.name)
        properties = {"mode": "755"} if entry.executable and entry.kind == "file" else {}
        kept = self._keep(entry, parts, properties, start, entry.size)
        if entry.kind == "symlink":
            self._links[tuple(names)] = (entry.name, self._target(entry, kept))

    def check_total(self, size: int, entry: bytes = b"") -> None:
        """Whether so many bytes may come of it in all."""
        if size > self._most:
            raise refusal("unpacked_bytes", f"at most {self._most} bytes in all", entry=entry)
        if size > self._most_by_ratio:
            raise refusal("ratio", f"more than {self.bounds.ratio} times", entry=entry)

    def end(self) -> None:
        """All is there: where links lead can be told."""
        for path, (name, _) in self._links.items():
            if self._leads_out(path):
                raise refusal("link_outside", entry=name)

    @property
    def count(self) -> int:
        """Files, folders and links."""
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes in all of them."""
        return self._size

    def files(self) -> Iterator[NewFile]:
        """All of it, each behind its folder. Of contents only the one in hand is in memory."""
        for kept in self._kept:
            yield NewFile(kept.path, kept.kind, self._content(kept), kept.properties)

    def close(self) -> None:
        self._spool.close()

    def _content(self, kept: _Kept) -> bytes:
        self._spool.seek(kept.start)
        content = self._spool.read(kept.size)
        self._spool.seek(0, 2)
        return content

    def _parts(self, entry: Described) -> list[bytes]:
        """The names in a path, which has no other way to be read."""
        raw = entry.name
        if b"\0" in raw:
            raise refusal("nul", entry=raw)
        if b"\\" in raw:
            raise refusal("backslash", entry=raw)
        if raw.startswith(b"/"):
            raise refusal("absolute", entry=raw)
        if _DRIVE.match(raw):
            raise refusal("drive", entry=raw)
        if len(raw) > MAX_PATH:
            raise refusal("long_path", f"{len(raw)} bytes, at most {MAX_PATH}", entry=raw)
        if entry.kind == "directory":
            raw = raw.removesuffix(b"/")
        while raw.startswith(b"./"):
            raw = raw[2:]
        if raw in (b"", b".") and entry.kind == "directory":
            return []
        parts = raw.split(b"/")
        for part in parts:
            self._check_name(part, entry)
        if len(parts) > self.bounds.depth:
            raise refusal("depth", f"at most {self.bounds.depth} levels", entry=entry.name)
        if len("/".join(_tree_name(part)[0] for part in parts).encode()) > MAX_PATH:
            raise refusal("long_path", entry=entry.name)
        return parts

    def _check_name(self, part: bytes, entry: Described) -> None:
        if part == b"..":
            raise refusal("up", entry=entry.name)
        if part in (b"", b"."):
            raise refusal("empty_name", entry=entry.name)
        name, _ = _tree_name(part)
        if len(part) > MAX_NAME or len(name.encode()) > MAX_NAME:
            raise refusal("long_name", entry=entry.name)
        if fold(name) == ".git":
            raise refusal("git", entry=entry.name)

    def _keep_folder(self, entry: Described, parts: list[bytes]) -> None:
        """A folder, however often it is named, by itself or by what is in it."""
        names = [_tree_name(part)[0] for part in parts]
        known = self._known.get(self._key(names))
        if known is None:
            self._keep(entry._replace(kind="directory"), parts, {})
        elif known.kind != "directory":
            raise refusal("duplicate" if entry.kind == "directory" else "inside_file", entry=entry.name)
        elif known.path != "/".join(names):
            raise refusal("duplicate", entry=entry.name)

    def _keep(
        self, entry: Described, parts: list[bytes], properties: dict[str, str], start: int = 0, size: int = 0
    ) -> _Kept:
        if len(self._kept) >= self.bounds.entries:
            raise refusal("entries", f"at most {self.bounds.entries} files and folders")
        names = [_tree_name(part)[0] for part in parts]
        kept = _Kept("/".join(names), entry.kind, {**properties, **_tree_name(parts[-1])[1]}, start, size)
        self._kept.append(kept)
        self._known[self._key(names)] = kept
        return kept

    def _key(self, names: list[str]) -> tuple[str, ...]:
        return tuple(map(fold, names)) if self._folds_case else tuple(names)

    def _target(self, entry: Described, kept: _Kept) -> str:
        content = self._content(kept)
        try:
            target = content.decode()
        except UnicodeDecodeError:
            raise refusal("link_target", entry=entry.name) from None
        if not target or "\0" in target:
            raise refusal("link_target", entry=entry.name)
        if target.startswith("/") or "\\" in target or _DRIVE.match(content):
            raise refusal("link_outside", entry=entry.name)
        return target

    def _leads_out(self, link: tuple[str, ...]) -> bool:
        """Whether following a link comes above the top on its way, by whatever other links. (None is absolute.)"""
        at: list[str] = list(link[:-1])
        left = [link[-1]]
        hops = 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if not at:
                    return True
                at.pop()
                continue
            at.append(name)
            there = self._links.get(tuple(at))
            if there is not None:
                hops += 1
                if hops > MAX_HOPS:
                    return False
                at.pop()
                left.extend(reversed(there[1].split("/")))
        return False


def _tree_name(raw: bytes) -> tuple[str, dict[str, str]]:
    """What a name is in the tree, with the property that keeps one that is not UTF-8."""
    try:
        return raw.decode(), {}
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), {"diskName": b64encode(raw).decode()}
