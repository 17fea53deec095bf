"""WorkingTrees: which workspaces of a server are files on a disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import OpLog, SnapshotRepo
from coscribe.documents.redaction import Pattern
from coscribe.metrics import metrics
from coscribe.working_tree.disk import Lost, Overtaken
from coscribe.working_tree.engine import Engine
from coscribe.working_tree.redacting import take_out
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.working_tree import WorkingTree
from coscribe.working_tree.workplace import Notice

log = structlog.get_logger(__name__)

MAX_TREES = 500
"""Working trees at a time, each with threads, handles and watches of its own."""


class Mounted(NamedTuple):
    """A workspace as files: where, up to which sequence, and what was not taken in, the newest last."""

    path: Path
    sequence: int
    notices: list[Notice]


class _Running(NamedTuple):
    tree: WorkingTree
    task: asyncio.Task[None]


class WorkingTrees:
    """``root``: the folder that they are in. ``series``: fresh names for operations; ``clock``: seconds since 1970.
    ``is_mine`` None: no other instance looks after any of them; else whether a workspace is this one's to show."""

    def __init__(
        self,
        root: Path,
        collaboration: Collaboration,
        op_log: OpLog,
        snapshots: SnapshotRepo,
        blobs: Blobs,
        series: Callable[[], str],
        clock: Callable[[], float],
        is_mine: Callable[[str], bool] | None = None,
    ) -> None:
        self._is_mine = is_mine
        self._root = root
        self._collaboration = collaboration
        self._op_log = op_log
        self._snapshots = snapshots
        self._blobs = blobs
        self._series = series
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def path(self, workspace_id: str) -> Path:
        """Where a workspace is, or would be."""
        return self._root / workspace_id

    async def open(self, workspace_id: str) -> Mounted:
        """Begins to keep a workspace and its files the same, unless it does so already.

        Errors: ``overloaded``: there are as many as there may be; ``storage_unavailable``: the disk does not let it."""
        async with self._turn(workspace_id):
            if workspace_id not in self._running:
                if len(self._running) >= MAX_TREES:
                    raise CoscribeError(Code.OVERLOADED, f"{MAX_TREES} workspaces are open as files")
                tree = await self._made(workspace_id)
                task = asyncio.get_running_loop().create_task(self._run(workspace_id, tree))
                self._running[workspace_id] = _Running(tree, task)
                self._collaboration.barriers[workspace_id] = tree.save
                metrics.working_trees.set(len(self._running))
            return self.mounted(workspace_id)

    async def close(self, workspace_id: str) -> None:
        """Leaves the files as they are."""
        async with self._turn(workspace_id):
            running = self._running.pop(workspace_id, None)
            if running is not None:
                self._collaboration.barriers.pop(workspace_id, None)
                running.task.cancel()
                await asyncio.gather(running.task, return_exceptions=True)
                await running.tree.close()
                metrics.working_trees.set(len(self._running))

    async def keep_only(self, are_mine: Callable[[str], bool]) -> None:
        """Closes all others."""
        await asyncio.gather(*(self.close(each) for each in list(self._running) if not are_mine(each)))

    def _turn(self, workspace_id: str) -> asyncio.Lock:
        """One after the other opens or closes a workspace."""
        return self._turns.setdefault(workspace_id, asyncio.Lock())

    async def _made(self, workspace_id: str) -> WorkingTree:
        """In a thread: somebody else may have the record just now."""
        engine = Engine(self._collaboration, self._op_log, self._snapshots, self._blobs, workspace_id)
        is_mine = self._is_mine
        try:
            return await in_thread(
                WorkingTree,
                self._root,
                engine,
                self._series,
                self._clock,
                is_shared=is_mine is not None,
                is_mine=(lambda: True) if is_mine is None else partial(is_mine, workspace_id),
            )
        except (OSError, sqlite3.Error) as error:
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, f"the files cannot be kept: {error}") from error

    def exists(self, workspace_id: str) -> bool:
        """Whether there are files of a workspace, open or not."""
        return self.path(workspace_id).is_dir()

    async def take_out(self, workspace_id: str, pattern: Pattern) -> list[str]:
        """Takes what fits out of all that is kept beside the files of a workspace, which are what the workspace is;
        meanwhile it is closed. Returns the paths of what has it still: files that are no part of the workspace.

        Errors: ``storage_unavailable``."""
        was_open = self.is_open(workspace_id)
        await self.close(workspace_id)
        try:
            left = await in_thread(take_out, self._root, workspace_id, pattern)
        except (OSError, sqlite3.Error) as error:
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, f"the files cannot be redacted: {error}") from error
        finally:
            if was_open:
                await self.open(workspace_id)
        return left

    async def stop(self) -> None:
        """Closes all."""
        for workspace_id in list(self._running):
            await self.close(workspace_id)

    def is_open(self, workspace_id: str) -> bool:
        return workspace_id in self._running

    def mounted(self, workspace_id: str) -> Mounted:
        """Of one that is open."""
        tree = self._running[workspace_id].tree
        return Mounted(tree.path, tree.sequence, list(tree.notices))

    def at_rest(self, workspace_id: str, sequence: int, *, brings: bool = False) -> AbstractAsyncContextManager[int]:
        """See `WorkingTree.at_rest`; of one that is open."""
        return self._running[workspace_id].tree.at_rest(sequence, brings=brings)

    async def _run(self, workspace_id: str, tree: WorkingTree) -> None:
        try:
            await tree.run()
        except Overtaken:
            log.error("working_tree_overtaken", workspace=workspace_id)
        except Lost as error:
            log.error("working_tree_lost", workspace=workspace_id, error=str(error))
        except Exception:
            log.exception("working_tree_ended", workspace=workspace_id)
            raise
