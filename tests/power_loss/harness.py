"""Loss of power, simulated: builds the shim, runs programs under it, computes what the disk would hold.

One power cycle is one journal::

    shim = build_shim(tmp_path)
    process = subprocess.Popen(command, env=os.environ | environment(shim, watched, journal))
    ...                                     # let it work, then process.kill(); process.wait()
    reconstruct(journal, base, image, rng)  # base: what the watched directory held at the start

and the next cycle runs on a copy of `image`. The directory that the program ran in is of no further use: its
files hold all that was written, synced or not. So each SIGKILL ends a cycle, since it may leave the one change
that was under way in the directory, but not in the journal; processes that end by themselves may share a cycle.

The model of a disk, on top of the journal's order (see shim.c):

* Content. A write or truncation is durable once an fsync or fdatasync of its file, begun after it, has returned.
  Of the others each is lost, or (`keep_unsynced`) survives whole or sector by sector, in any combination: a disk
  writes back in whatever order suits it. A write never disturbs bytes outside of its own range (SQLite assumes
  the same by default: "powersafe overwrite").
* Names. A creation, rename or unlink is durable once its directory (a rename's: the new one) or the file itself
  has been synced. The latter is more than POSIX promises, but what ext4, XFS and btrfs do, and what SQLite needs
  for its database file. A name that becomes durable takes along the earlier changes of the same name, so that
  a file is never lost to a rename that did not happen. A rename is atomic.
* Directories exist if they hold a file, or did at the start: an empty one that was made since then is lost.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

SECTOR = 512
"""Bytes that a disk writes wholly or not at all."""

_RECORD = struct.Struct("=4sIQQII")  # struct record in shim.c
_MAGIC = (0x4A4C5750).to_bytes(4, sys.byteorder)
_DEFAULT_MODE = 0o644


class CompilerMissing(RuntimeError):
    """There is no C compiler to build the shim with."""


class JournalError(ValueError):
    """The journal does not fit the base image: something changed the files without passing through the shim."""


def unavailable() -> str | None:
    """Why the shim cannot work here, fit for pytest.skip, or None if it can."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or sys.maxsize < 2**32:
        return "the power-loss shim needs 64-bit Linux with glibc"
    if _compiler() is None:
        return "the power-loss shim needs a C compiler: run `python tools/system_packages.py`"
    return None


def build_shim(tmp_dir: Path, source: Path = Path(__file__).with_name("shim.c")) -> Path:  # noqa: B008  # a constant
    """Compiles shim.c (or another one's ``source``) into `tmp_dir` and returns the library's path."""
    compiler = _compiler()
    if compiler is None:
        raise CompilerMissing("neither cc nor gcc found; `python tools/system_packages.py` installs gcc")
    library = tmp_dir / f"{source.parent.name}_{source.stem}.so"
    # Distributions' compilers may define _FORTIFY_SOURCE, whose inline open() would clash with the shim's own.
    options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-pthread"]
    command = [compiler, *options, "-o", str(library), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return library


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def environment(shim: Path, watched: Path, journal: Path, lie: bool = False) -> dict[str, str]:
    """The variables to add to a process's environment to have its changes beneath `watched` journalled.

    `journal` is appended to. With `lie` no sync is recorded, as on a disk that acknowledges what it only caches.
    """
    watched, journal, shim = watched.resolve(), journal.resolve(), shim.resolve()
    if journal.is_relative_to(watched):
        raise ValueError(f"the journal {journal} must lie outside of the watched directory {watched}")
    if set(str(shim)) & set(": "):
        raise ValueError(f"LD_PRELOAD cannot hold a path with a space or colon: {shim}")
    preload = ":".join(filter(None, [str(shim), os.environ.get("LD_PRELOAD")]))
    return {
        "LD_PRELOAD": preload,
        "POWERLOSS_DIR": str(watched),
        "POWERLOSS_JOURNAL": str(journal),
        "POWERLOSS_LIE": "1" if lie else "0",
    }


@dataclass(frozen=True)
class ReconstructionReport:
    """What a loss of power left. Bytes count written data, each write anew; file names are relative paths."""

    files: tuple[str, ...]
    """The files of the image, sorted."""
    syncs: int
    """Successful fsync and fdatasync calls, of files and of directories."""
    bytes_synced: int
    bytes_kept: int
    """Not synced, yet by chance on the disk."""
    bytes_dropped: int
    """Not synced, and lost."""
    names_undone: int
    """Creations, renames and unlinks that are as if they had not happened."""
    torn_bytes: int
    """Length of the incomplete record at the journal's end, which was left out."""


def reconstruct(
    journal: Path, base: Path | None, target: Path, rng: random.Random, keep_unsynced: float = 0.0
) -> ReconstructionReport:
    """Writes to the directory `target` (new or empty) what the disk would hold after a loss of power.

    `base` is what the watched directory held when the journal was begun, None if nothing; it is not changed.
    `keep_unsynced`, 0 to 1, is the probability for unsynced changes to survive: at 0 all are lost, at 1 none,
    which gives the directory as it stood. An unsynced unlink survives with at least 1/2, since both outcomes are
    a danger: the file that comes back and the file that is gone. The same `rng` state gives the same image.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    disk = _Disk(base)
    data = journal.read_bytes() if journal.exists() else b""
    torn = disk.replay(memoryview(data))
    return disk.lose_power(target, rng, keep_unsynced, torn)


@dataclass(frozen=True)
class _Write:
    """`data` to be at `offset`, in bytes; `position`: of the record in the journal."""

    position: int
    offset: int
    data: memoryview

    def apply(self, content: bytearray) -> None:
        _put(content, self.offset, self.data)

    def fragments(self, rng: random.Random, keep: float) -> Iterator[tuple[int, memoryview]]:
        """What a disk might have of this write, as (offset, data): half of the time all or nothing, else torn."""
        cuts = [self.offset, self.offset + len(self.data)]
        if rng.random() < 0.5:
            first = (self.offset // SECTOR + 1) * SECTOR
            cuts[1:1] = range(first, self.offset + len(self.data), SECTOR)
        for start, end in pairwise(cuts):
            if rng.random() < keep:
                yield start, self.data[start - self.offset : end - self.offset]


@dataclass(frozen=True)
class _Truncation:
    """The file's size set to `size` bytes; `position`: of the record in the journal."""

    position: int
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


@dataclass(eq=False)
class _File:
    """A file (an inode) under whatever name: what is surely on the disk, and what came after, oldest first."""

    content: bytearray
    mode: int
    unsynced: list[_Write | _Truncation] = field(default_factory=list)


@dataclass(eq=False)
class _NameChange:
    """`file` loses the name `removed` and gains the name `added`; `position`: of the record in the journal."""

    position: int
    file: _File
    removed: str | None
    added: str | None

    @property
    def names(self) -> set[str]:
        return {name for name in (self.removed, self.added) if name is not None}

    @property
    def directory(self) -> str:
        """The directory whose sync makes this durable, relative, "" for the watched one itself."""
        parent = str(PurePosixPath(self.added or self.removed or "").parent)
        return "" if parent == "." else parent

    def apply(self, names: dict[str, _File]) -> None:
        if self.removed is not None:
            names.pop(self.removed, None)
        if self.added is not None:
            names[self.added] = self.file


class _Disk:
    """The watched directory twice over: as the program sees it and as it surely is on the disk."""

    def __init__(self, base: Path | None) -> None:
        self.durable: dict[str, _File] = {}
        self.directories: list[str] = []
        if base is not None:
            for path in sorted(base.rglob("*")):
                name = str(path.relative_to(base))
                if path.is_dir():
                    self.directories.append(name)
                elif path.is_file() and not name.endswith("-shm"):
                    self.durable[name] = _File(bytearray(path.read_bytes()), path.stat().st_mode & 0o7777)
        self.live = dict(self.durable)
        self.inodes: dict[int, _File] = {}
        self.written: set[_File] = set()
        self.name_changes: list[_NameChange] = []
        self.syncs = 0
        self.bytes_synced = 0

    def replay(self, journal: memoryview) -> int:
        """Takes in all records; returns the length in bytes of a torn one at the end."""
        position = 0
        while position < len(journal):
            body = position + _RECORD.size
            if body > len(journal):
                break
            magic, kind, inode, value, path_length, data_length = _RECORD.unpack_from(journal, position)
            if magic != _MAGIC:
                raise JournalError(f"no record at byte {position} of the journal")
            end = body + path_length + data_length
            if end > len(journal):
                break
            path = os.fsdecode(bytes(journal[body : body + path_length]))
            self._take(position, chr(kind), inode, value, path, journal[body + path_length : end])
            position = end
        return len(journal) - position

    def _take(self, position: int, kind: str, inode: int, value: int, path: str, data: memoryview) -> None:
        if kind == "C":
            file = self.inodes[inode] = _File(bytearray(), value)
            self._rename(position, file, None, path)
        elif kind == "R":
            self._rename(position, self._named(path), path, os.fsdecode(bytes(data)))
        elif kind == "U":
            self._rename(position, self._named(path), path, None)
        elif kind == "W":
            self._change(self._file(inode, path), _Write(position, value, data))
        elif kind == "T":
            self._change(self._file(inode, path), _Truncation(position, value))
        elif kind == "S":
            self._sync_file(self._file(inode, path), value)
        elif kind == "D":
            self.syncs += 1
            self._settle(lambda change: change.directory == path and change.position < value)
        else:
            raise JournalError(f"record of unknown kind {kind!r} at byte {position} of the journal")

    def _named(self, path: str) -> _File:
        if path not in self.live:
            raise JournalError(f"the file {path!r} is neither in the base image nor was it seen to be created")
        return self.live[path]

    def _file(self, inode: int, path: str) -> _File:
        """The file with this inode number; a file of the base image is known by its path until then."""
        if inode not in self.inodes:
            # Without a path it had lost its name before it was first heard of: nothing that could be found again.
            self.inodes[inode] = self._named(path) if path else _File(bytearray(), _DEFAULT_MODE)
        return self.inodes[inode]

    def _rename(self, position: int, file: _File, removed: str | None, added: str | None) -> None:
        change = _NameChange(position, file, removed, added)
        change.apply(self.live)
        self.name_changes.append(change)

    def _change(self, file: _File, change: _Write | _Truncation) -> None:
        self.written.add(file)
        file.unsynced.append(change)

    def _sync_file(self, file: _File, before: int) -> None:
        self.syncs += 1
        covered = [change for change in file.unsynced if change.position < before]
        for change in covered:
            change.apply(file.content)
            self.bytes_synced += _size(change)
        del file.unsynced[: len(covered)]
        self._settle(lambda change: change.file is file and change.position < before)

    def _settle(self, chosen: Callable[[_NameChange], bool]) -> None:
        """Makes the chosen changes of names durable, and those that they build upon."""
        settled: list[_NameChange] = []
        pending: list[_NameChange] = []
        names: set[str] = set()
        for change in reversed(self.name_changes):
            if chosen(change) or names & change.names:
                settled.append(change)
                names |= change.names
            else:
                pending.append(change)
        for change in reversed(settled):
            change.apply(self.durable)
        self.name_changes = pending[::-1]

    def lose_power(self, target: Path, rng: random.Random, keep: float, torn: int) -> ReconstructionReport:
        unsynced = sum(_size(change) for file in self.written for change in file.unsynced)
        self._settle(lambda change: rng.random() < (keep if change.added is not None else max(keep, 0.5)))
        target.mkdir(parents=True, exist_ok=True)
        for name in self.directories:
            (target / name).mkdir(exist_ok=True)
        kept = 0
        for name, file in sorted(self.durable.items()):
            for change in file.unsynced:
                if isinstance(change, _Write):
                    for offset, data in change.fragments(rng, keep):
                        _put(file.content, offset, data)
                        kept += len(data)
                elif rng.random() < keep:
                    change.apply(file.content)
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(file.mode)
        return ReconstructionReport(
            files=tuple(sorted(self.durable)),
            syncs=self.syncs,
            bytes_synced=self.bytes_synced,
            bytes_kept=kept,
            bytes_dropped=unsynced - kept,
            names_undone=len(self.name_changes),
            torn_bytes=torn,
        )


def _size(change: _Write | _Truncation) -> int:
    return len(change.data) if isinstance(change, _Write) else 0


def _put(content: bytearray, offset: int, data: memoryview) -> None:
    """Sets bytes at an offset; a gap between the content's end and the offset reads as zeros, as in a file."""
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
