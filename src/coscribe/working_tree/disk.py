"""Disk: one working tree as files in a folder, and what is done to them so that no write of others is lost.

Every path is walked name by name from the folder's own handle and no link is followed on the way, so nobody can lead
us out of it by renaming things or putting links there meanwhile. Nothing here ever overwrites: a content is *staged*
beside the tree, and then

    exchanged   with what is there (one step for all who look); what was there is *displaced*: it is kept
                for a while, for whoever has it open may go on writing to it
    placed      where there is nothing; where there is something by then, it is not done (`Taken`)

Where the file system cannot exchange, what is there is put away first and the content then placed: for a moment there
is nothing at the path, which nobody loses anything by.

    {root}/{workspaceId}/...                     the tree
    {root}/.coscribe/{workspaceId}/staged/       contents on their way to the tree
    {root}/.coscribe/{workspaceId}/displaced/    what they took the place of
    {root}/.coscribe/{workspaceId}/kept/         what could not be taken in, for people to look at
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat as modes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["directory", "file", "symlink", "other", "foreign"]
"""``foreign``: on another device, or not to be looked at: something is mounted there, or it is not permitted."""

Names = tuple[bytes, ...]
"""A path in the tree: its names, as the disk has them."""

READ_PIECE = 1 << 20

_NO_REPLACE = 1
_EXCHANGE = 2
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNABLE = frozenset((errno.EINVAL, errno.ENOSYS, errno.ENOTSUP))
"""What a file system says that cannot exchange."""


_UNREACHABLE = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM),
        *(errno.EXDEV, errno.EBUSY, errno.ELOOP),
    )
)
"""What says something of one path, and nothing of the disk."""


class Signature(NamedTuple):
    """By what it is told, without reading it, that a file is what it was. Times in nanoseconds. Renaming a file changes
    ``changed``, so `is_same` leaves it out."""

    inode: int
    size: int
    modified: int
    changed: int

    def is_same(self, other: Signature | None) -> bool:
        """Whether it is the same file with the same bytes, renamed perhaps."""
        return other is not None and self[:3] == other[:3]


class Seen(NamedTuple):
    """What is at a path. ``mode``: permission bits."""

    kind: Kind
    signature: Signature
    mode: int


class Taken(Exception):
    """Something is at that path by now."""


class Gone(Exception):
    """Nothing is at that path any more, or the way there is not one of folders."""


class Barred(Gone):
    """It is not permitted to look there."""


class Unsteady(Exception):
    """It was written to while it was read."""


class Lost(Exception):
    """The folder of the tree, or what is kept beside it, was taken away or is another one."""


class Overtaken(Exception):
    """Somebody else looks after the tree now."""


class Disk:
    """The folder of one working tree. It blocks: called in a thread, one call at a time. Raises OSError; where it is to
    change anything and ``is_mine`` says no, Overtaken."""

    def __init__(self, root: Path, workspace_id: str, is_mine: Callable[[], bool] = lambda: True) -> None:
        self._is_mine = is_mine
        self.top = root / workspace_id
        self.state = root / ".coscribe" / workspace_id
        for folder in (self.top, self.state, self.state / "staged", self.state / "displaced"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = os.open(self.top, _FOLDER)
        self._staged = os.open(self.state / "staged", _FOLDER)
        self._displaced = os.open(self.state / "displaced", _FOLDER)
        self._device = os.fstat(self._handle).st_dev
        if os.fstat(self._staged).st_dev != self._device:
            self.close()
            raise OSError(errno.EXDEV, f"{self.top} and {self.state} have to be on one file system")

    def close(self) -> None:
        for handle in (self._handle, self._staged, self._displaced):
            os.close(handle)

    def check(self) -> None:
        """Raises Lost. Who holds a folder that was deleted sees an empty one, and that is not what it was."""
        for handle, path in (
            (self._handle, self.top),
            (self._staged, self.state / "staged"),
            (self._displaced, self.state / "displaced"),
        ):
            try:
                there = os.stat(path, follow_symlinks=False)
            except OSError as error:
                raise Lost(f"{path}: {error.strerror}") from error
            if not os.path.samestat(there, os.fstat(handle)):
                raise Lost(f"{path} is another folder by now")

    def is_empty(self) -> bool:
        """Whether nothing is in the tree."""
        return not os.listdir(self._handle)

    # ---- looking

    def entries(self, folder: Names) -> dict[bytes, Seen]:
        """What is in a folder. Raises Gone, Barred."""
        found: dict[bytes, Seen] = {}
        with self._folder(folder) as handle:
            for name in os.listdir(handle):
                raw = os.fsencode(name)
                try:
                    seen = self._seen(os.stat(raw, dir_fd=handle, follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except PermissionError:
                    seen = None
                found[raw] = _FOREIGN if seen is None else seen
        return found

    def look(self, path: Names) -> Seen | None:
        """What is at a path; None: nothing of ours."""
        try:
            with self._folder(path[:-1]) as handle:
                return self._seen(os.stat(path[-1], dir_fd=handle, follow_symlinks=False))
        except (Gone, FileNotFoundError):
            return None

    def read(self, path: Names, limit: int) -> tuple[bytes, Seen]:
        """A file with its signature, or a link with its target; at most ``limit`` bytes and one more. Raises Gone,
        Unsteady."""
        with self._folder(path[:-1]) as folder:
            return self._read(path[-1], folder, limit)

    def read_displaced(self, name: str, limit: int) -> tuple[bytes, Seen]:
        """Likewise what was displaced."""
        return self._read(name.encode(), self._displaced, limit)

    def look_displaced(self, name: str) -> Seen | None:
        with suppress(FileNotFoundError):
            return self._seen(os.stat(name, dir_fd=self._displaced, follow_symlinks=False))
        return None

    def look_staged(self, name: str) -> Seen | None:
        with suppress(FileNotFoundError):
            return self._seen(os.stat(name, dir_fd=self._staged, follow_symlinks=False))
        return None

    # ---- changing

    def stage(self, name: str, content: bytes, mode: int, *, durable: bool) -> Signature:
        """Writes a content beside the tree, under a name that was never used. ``durable``: it is on the disk then."""
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=self._staged)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            made = os.fstat(handle)
            if modes.S_IMODE(made.st_mode) != mode:  # what the process lets nobody have
                os.fchmod(handle, mode)
                made = os.fstat(handle)
            if durable:
                os.fsync(handle)
            return _signature(made)
        except OSError:
            self.forget_staged(name)  # the disk is full, perhaps
            raise
        finally:
            os.close(handle)

    def stage_link(self, name: str, target: bytes) -> Signature:
        """Likewise a symbolic link."""
        os.symlink(target, name.encode(), dir_fd=self._staged)
        return _signature(os.stat(name, dir_fd=self._staged, follow_symlinks=False))

    def place(self, wanted: Sequence[tuple[str, Names]]) -> list[Seen | None]:
        """Puts what is staged where there is nothing; None: there is something, or no folder. For the files of one
        folder the way there is walked once."""
        self._check_mine()
        found: list[Seen | None] = []
        for names, those in groupby(wanted, key=lambda each: each[1][:-1]):
            group = list(those)
            try:
                with self._folder(names) as folder:
                    found += [self._place(staged, path[-1], folder) for staged, path in group]
            except Gone:
                found += [None] * len(group)
        return found

    def exchange(self, staged: str, path: Names, displaced: str) -> Seen:
        """Puts what is staged where a file or link is, which is displaced. Returns what is there now. Raises Gone;
        Taken: there is a folder by now."""
        self._check_mine()
        with self._folder(path[:-1]) as folder:
            try:
                _call(self._staged, staged.encode(), folder, path[-1], _EXCHANGE)
            except OSError as error:
                if error.errno in _UNREACHABLE:
                    raise Gone(path) from error
                if error.errno not in _UNABLE:
                    raise
                self._take_out(folder, path[-1], displaced)
                _rename(self._staged, staged.encode(), folder, path[-1])
            else:
                if modes.S_ISDIR(os.stat(staged, dir_fd=self._staged, follow_symlinks=False).st_mode):
                    _call(self._staged, staged.encode(), folder, path[-1], _EXCHANGE)
                    raise Taken(path)
                _rename(self._staged, staged.encode(), self._displaced, displaced.encode())
            return self._there(path[-1], folder)

    def displace(self, path: Names, displaced: str) -> None:
        """Takes a file or link out of the tree. Raises Gone, Taken: it is a folder by now."""
        self._check_mine()
        with self._folder(path[:-1]) as folder:
            self._take_out(folder, path[-1], displaced)

    def displace_staged(self, staged: str, displaced: str) -> None:
        """What was exchanged for something staged, and then the process died."""
        self._check_mine()
        _rename(self._staged, staged.encode(), self._displaced, displaced.encode())

    def move(self, source: Names, target: Names) -> None:
        """Renames, to where nothing is. Raises Taken, Gone."""
        self._check_mine()
        with self._folder(source[:-1]) as old, self._folder(target[:-1]) as new:
            _rename(old, source[-1], new, target[-1])

    def make_folder(self, path: Names, mode: int) -> Seen:
        """Raises Taken, Gone."""
        self._check_mine()
        with self._folder(path[:-1]) as folder:
            try:
                os.mkdir(path[-1], mode, dir_fd=folder)
            except FileExistsError:
                raise Taken(path) from None
            except OSError as error:
                if error.errno not in _UNREACHABLE:
                    raise
                raise Gone(path) from error
            os.chmod(path[-1], mode, dir_fd=folder)
            return self._there(path[-1], folder)

    def remove_folder(self, path: Names) -> bool:
        """Whether it is gone; it stays where something is in it. Raises Gone."""
        self._check_mine()
        with self._folder(path[:-1]) as folder:
            try:
                os.rmdir(path[-1], dir_fd=folder)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, *_UNREACHABLE):
                    raise
                return False
            return True

    def set_mode(self, path: Names, mode: int) -> Seen:
        """Of a file or folder. Raises Gone."""
        self._check_mine()
        with self._folder(path[:-1]) as folder:
            try:
                handle = os.open(path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                raise Gone(path) from error
            try:
                with suppress(PermissionError):  # it is somebody else's, and stays as it is
                    os.fchmod(handle, mode)
            finally:
                os.close(handle)
            return self._there(path[-1], folder)

    def forget_staged(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._staged)

    def forget_displaced(self, name: str) -> None:
        self._check_mine()
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._displaced)

    def staged(self) -> list[str]:
        return os.listdir(self._staged)

    def displaced(self) -> list[str]:
        return os.listdir(self._displaced)

    def keep(self, name: str, content: bytes) -> str:
        """Writes a content that must not be lost and has no place in the tree. Returns where it is."""
        folder = self.state / "kept"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return str(path)

    def keep_whole(self, name: str, path: Names) -> tuple[str, Seen]:
        """Likewise a file of the tree, however long, as it is and as whoever has it open goes on writing it. Also as
        what it is seen now: it has a name more. Raises Gone."""
        kept = self.state / "kept"
        kept.mkdir(mode=0o700, exist_ok=True)
        with self._folder(path[:-1]) as folder:
            os.link(path[-1], os.fsencode(kept / name), src_dir_fd=folder, follow_symlinks=False)
            return str(kept / name), self._there(path[-1], folder)

    def sync(self) -> None:
        """Returns when all of it is on the disk, contents and names."""
        if _libc.syncfs(self._handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    # ---- steps

    def _check_mine(self) -> None:
        """Just before something is done to the tree: whoever was stopped for long may have been overtaken."""
        if not self._is_mine():
            raise Overtaken

    def _place(self, staged: str, name: bytes, folder: int) -> Seen | None:
        try:
            _rename(self._staged, staged.encode(), folder, name)
            return self._there(name, folder)
        except (Taken, Gone):
            return None

    def _take_out(self, folder: int, name: bytes, displaced: str) -> None:
        """Raises Gone, Taken: it is a folder, and stays where it is."""
        _rename(folder, name, self._displaced, displaced.encode())
        if modes.S_ISDIR(os.stat(displaced, dir_fd=self._displaced, follow_symlinks=False).st_mode):
            _rename(self._displaced, displaced.encode(), folder, name)
            raise Taken(name)

    @contextmanager
    def _folder(self, names: Sequence[bytes]) -> Iterator[int]:
        """A handle of a folder in the tree. Raises Gone."""
        handle = os.dup(self._handle)
        try:
            for name in names:
                try:
                    inner = os.open(name, _FOLDER, dir_fd=handle)
                except PermissionError as error:
                    raise Barred(names) from error
                except OSError as error:
                    raise Gone(names) from error
                os.close(handle)
                handle = inner
                if os.fstat(handle).st_dev != self._device:
                    raise Gone(names)
            yield handle
        finally:
            os.close(handle)

    def _there(self, name: bytes, folder: int) -> Seen:
        try:
            seen = self._seen(os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            raise Gone(name) from None
        if seen is None:
            raise Gone(name)
        return seen

    def _seen(self, found: os.stat_result) -> Seen | None:
        if found.st_dev != self._device:
            return None
        kind: Kind = "other"
        for is_it, name in _KINDS:
            if is_it(found.st_mode):
                kind = name
        return Seen(kind, _signature(found), modes.S_IMODE(found.st_mode))

    def _read(self, name: bytes, folder: int, limit: int) -> tuple[bytes, Seen]:
        try:
            seen = self._there(name, folder)
            if seen.kind == "symlink":
                return os.readlink(name, dir_fd=folder), seen
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except PermissionError as error:
            raise Barred(name) from error
        except OSError as error:
            raise Gone(name) from error
        try:
            before = os.fstat(handle)
            if not modes.S_ISREG(before.st_mode):
                raise Gone(name)
            pieces: list[bytes] = []
            left = limit + 1
            while left > 0 and (piece := os.read(handle, min(left, READ_PIECE))):
                pieces.append(piece)
                left -= len(piece)
            after = self._seen(os.fstat(handle))
            if after is None or after.signature[:3] != _signature(before)[:3]:
                raise Unsteady(name)
            return b"".join(pieces), after
        finally:
            os.close(handle)


_KINDS: tuple[tuple[Callable[[int], bool], Kind], ...] = (
    (modes.S_ISDIR, "directory"),
    (modes.S_ISREG, "file"),
    (modes.S_ISLNK, "symlink"),
)

_libc = ctypes.CDLL(None, use_errno=True)


def _signature(found: os.stat_result) -> Signature:
    return Signature(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_FOREIGN = Seen("foreign", Signature(0, 0, 0, 0), 0)


def _call(old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> None:
    """renameat2, which Python does not have."""
    if _libc.renameat2(old_folder, old, new_folder, new, flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(old), None, os.fsdecode(new))


def _rename(old_folder: int, old: bytes, new_folder: int, new: bytes) -> None:
    """Renames to where nothing is. Raises Taken, Gone."""
    try:
        _call(old_folder, old, new_folder, new, _NO_REPLACE)
    except FileExistsError:
        raise Taken(new) from None
    except OSError as error:
        if error.errno not in _UNREACHABLE:
            raise
        raise Gone(old) from error
