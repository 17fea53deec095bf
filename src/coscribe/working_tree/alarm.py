"""Alarm: in which folders something has happened, as the kernel tells it (inotify).

It is only for being quick. Nothing depends on it: whatever it misses (it has bounds, and loses what is too much) is
found by the next look at everything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

from coscribe.core.tree import ROOT
from coscribe.working_tree.disk import Names

EVENTS = 1_000
"""Events that are read at once."""

MAX_MOVED = 1_000
"""Names of folders that were moved; of more, all folders are watched anew."""

_OF_INTEREST = (
    Mask.CREATE
    | Mask.DELETE
    | Mask.MODIFY
    | Mask.CLOSE_WRITE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ATTRIB
    | Mask.ONLYDIR
    | Mask.DONT_FOLLOW
    | Mask.EXCL_UNLINK
)


class Alarm:
    """Of the tree at ``top``. ``ring`` is called whenever there is something to `take`."""

    def __init__(self, top: Path, ring: Callable[[], None]) -> None:
        self._top = os.fsencode(top)
        self._ring = ring
        self._inotify = Inotify(cache_size=EVENTS)
        self._watches: dict[str, Watch] = {}
        self._folders: dict[int, str] = {}
        self._dirty: set[str] = set()
        self._moved: set[bytes] = set()
        self._everything = True
        self.is_deaf = False
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    def take(self) -> set[str] | None:
        """The folders in which something has happened since the last time, by id; None: it may be any."""
        dirty, everything = self._dirty, self._everything
        self._dirty, self._everything = set(), False
        return None if everything else dirty

    def follow(self, folders: Mapping[str, Names]) -> None:
        """From now on these folders are watched, by id. In what is new to it something may have happened already; a
        watch goes along with a folder that is moved, and need not be where it was any more."""
        moved, self._moved = self._moved, set()
        for folder_id in self._watches.keys() - {ROOT}:
            path = folders.get(folder_id)
            if path is None or len(moved) > MAX_MOVED or not moved.isdisjoint(path):
                self._forget(folder_id)
        for folder_id, path in {ROOT: (), **folders}.items():
            if folder_id not in self._watches:
                self._watch(folder_id, path)

    def _forget(self, folder_id: str) -> None:
        watch = self._watches.pop(folder_id)
        if self._folders.get(watch.wd) != folder_id:
            return  # another one is the same folder by now
        del self._folders[watch.wd]
        with suppress(OSError):  # it was deleted, and its watch with it
            self._inotify.rm_watch(watch)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._inotify.close()

    def _watch(self, folder_id: str, path: Names) -> None:
        """Where there is no room for another watch it is deaf: then everything is looked at, often."""
        try:
            watch = self._inotify.add_watch(b"/".join((self._top, *path)), _OF_INTEREST)
        except (FileNotFoundError, NotADirectoryError):
            return  # it is gone again
        except OSError:
            self.is_deaf = True
            return
        self._watches[folder_id] = watch
        self._folders[watch.wd] = folder_id
        self._dirty.add(folder_id)
        self._ring()

    async def _listen(self) -> None:
        async for event in self._inotify:
            if event.mask & Mask.Q_OVERFLOW:
                self._everything = True
            elif event.watch is not None and event.watch.wd in self._folders:
                self._dirty.add(self._folders[event.watch.wd])
                if event.mask & Mask.IGNORED:
                    self._watches.pop(self._folders.pop(event.watch.wd), None)
                if event.mask & Mask.ISDIR and event.mask & Mask.MOVE and len(self._moved) <= MAX_MOVED:
                    self._moved.add(os.fsencode(event.name or ""))
            else:
                continue
            self._ring()
