"""A disk that can fail, and the storage of one server process on it.

Writes are carried out one after the other, reads beside them, each after some time; what a process has asked for is
carried out also when the process dies meanwhile (that is what makes a late commit). Every write is a transaction:

    fails           nothing was written, and that is told
    unknown         it was written, and a failure is told all the same
    lies            it is said to be durable, and is not: a power cut takes back the newest transactions
    is full         writes fail, reads do not
    is slow         everything takes seconds
    damages         a snapshot is stored with half of its text
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from coscribe.core.dedup import Record, split_id
from coscribe.core.errors import CoscribeError
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import (
    Append,
    AppendResult,
    BlobUse,
    Home,
    Latest,
    Prunable,
    Retained,
    Segment,
    SegmentSize,
    StorageError,
)
from coscribe.model import FileSnapshot, LogEntry, Pruned, Workspace
from coscribe.persistence.memory import MemoryStorage
from tests.simulation.virtual_loop import Process

_T = TypeVar("_T")


SLOWNESS = 0.002
"""Seconds that a good disk takes for anything, about."""


class Disk:
    """What is left when every process is dead. ``committed`` is told of each append that is on it, ``forgotten`` of
    workspaces whose newest entries it has lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: Process, rng: random.Random) -> None:
        self.storage = MemoryStorage("one", bytes(range(16)))
        self.failing = 0.0
        self.unknown = 0.0
        self.slowness = SLOWNESS
        self.damaging = 0.0
        self.full = False
        self.lying = False
        self.committed: Callable[[Append], None] = lambda _: None
        self.forgotten: Callable[[dict[int, int]], None] = lambda _: None
        self._loop = loop
        self._world = world
        self._rng = rng
        self._free_at = 0.0
        self._unsynced: list[Callable[[], None]] = []

    def heal(self) -> None:
        """From now on it is a good disk. What it lied about stays as uncertain as it was."""
        self.failing = self.unknown = self.damaging = 0.0
        self.slowness = SLOWNESS
        self.full = False
        self.lying = False

    def cut_power(self) -> None:
        """Takes back some of what a disk that lies has not written, the newest first."""
        lost = self._rng.randint(0, len(self._unsynced))
        for _ in range(lost):
            self._unsynced.pop()()
        self._unsynced.clear()
        stored = self.storage._by_key.values()
        self.forgotten({workspace.key: workspace.last_sequence for workspace in stored})

    def carry_out(
        self, act: Callable[[], Awaitable[_T]], *, writes: bool, undo: Callable[[], None] | None = None
    ) -> asyncio.Future[_T]:
        """Does something after its time; the answer, or StorageError."""
        answer: asyncio.Future[_T] = self._loop.create_future()
        delay = self._rng.expovariate(1.0 / self.slowness)
        if writes:
            self._free_at = max(self._free_at, self._loop.time()) + delay
            delay = self._free_at - self._loop.time()
        self._loop.call_later(delay, self._carry_out, act, answer, writes, undo, context=self._world.context)
        return answer

    def _carry_out(
        self,
        act: Callable[[], Awaitable[_T]],
        answer: asyncio.Future[_T],
        writes: bool,
        undo: Callable[[], None] | None,
    ) -> None:
        trouble = self._rng.random()
        if (writes and self.full) or trouble < self.failing:
            _tell(answer, StorageError("the disk is full" if self.full else "the disk failed"))
            return
        if undo is not None and self.lying:
            self._unsynced.append(undo)
        try:
            result = _at_once(act())
        except CoscribeError as refusal:
            _tell(answer, refusal)
            return
        if writes and trouble < self.failing + self.unknown:
            _tell(answer, StorageError("the disk said nothing"))
        elif not answer.done():
            answer.set_result(result)

    def append(self, appends: Sequence[Append]) -> asyncio.Future[list[AppendResult]]:
        before: list[Callable[[], None]] = []

        async def act() -> list[AppendResult]:
            before.extend(self._reverting(append) for append in appends)
            results = await self.storage.append(appends)
            for append, result in zip(appends, results, strict=True):
                if result is AppendResult.COMMITTED:
                    self.committed(append)
            return results

        def undo() -> None:
            for revert in before:
                revert()

        return self.carry_out(act, writes=True, undo=undo)

    def _reverting(self, append: Append) -> Callable[[], None]:
        """Takes an append back that is about to happen, if it has."""
        files = self.storage._by_key[append.workspace_key].files

        def revert() -> None:
            stored = self.storage._by_key[append.workspace_key]
            if stored.last_sequence != append.entries[-1].sequence or stored.chain_hash != append.chain_hash:
                return
            del stored.entries[len(stored.entries) - len(append.entries) :]
            stored.last_sequence = append.previous_sequence
            stored.chain_hash = stored.entries[-1].digest if stored.entries else bytes(32)
            for entry in append.entries:
                del stored.ids[entry.operation_id]
            stored.files = files
            homes = self.storage._homes
            for file in append.files:
                homes.pop(file.file_id, None)
            for file in files[1:]:
                if file.node is not None:
                    homes[file.file_id] = stored.workspace_id
            stored.highest.clear()
            for entry in stored.entries:
                series, counter = split_id(entry.operation_id)
                stored.highest[series] = max(counter, stored.highest.get(series, -1))

        return revert

    def save(self, snapshot: FileSnapshot, keep: int) -> asyncio.Future[None]:
        if self._rng.random() < self.damaging:
            snapshot = snapshot._replace(content=snapshot.content[: len(snapshot.content) // 2])

        saved = self.storage._saved.get(snapshot.file_key, 0)

        def undo() -> None:
            self.storage._saved[snapshot.file_key] = saved
            kept = self.storage._snapshots.get(snapshot.file_key, [])
            kept[:] = [stored for stored in kept if stored is not snapshot]

        return self.carry_out(lambda: self.storage.save(snapshot, keep=keep), writes=True, undo=undo)

    def cover(self, workspace_key: int, sequence: int) -> asyncio.Future[None]:
        before: list[int | None] = []

        async def act() -> None:
            before.append(self.storage._by_key[workspace_key].covered)
            await self.storage.cover(workspace_key, sequence)

        def undo() -> None:
            self.storage._by_key[workspace_key].covered = before[0]

        return self.carry_out(act, writes=True, undo=undo)


class FaultyStorage:
    """OpLog and SnapshotRepo of one process on a disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._storage = disk.storage

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        await self._write(lambda: self._storage.create(workspace_id, file_id, path, time))

    async def create_tree(self, workspace_id: str, time: int, *, folds_case: bool = False) -> None:
        await self._write(lambda: self._storage.create_tree(workspace_id, time, folds_case=folds_case))

    async def locate(self, file_id: str) -> Home | None:
        return await self._read(lambda: self._storage.locate(file_id))

    async def cover(self, workspace_key: int, sequence: int) -> None:
        await self._disk.cover(workspace_key, sequence)

    async def saved(self, file_key: int) -> int:
        return await self._read(lambda: self._storage.saved(file_key))

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        return await self._read(lambda: self._storage.latest(file_keys, most))

    async def keys(self, workspace_key: int) -> dict[str, int]:
        return await self._read(lambda: self._disk.storage.keys(workspace_key))

    async def acquire(self, workspace_id: str) -> Workspace | None:
        return await self._write(lambda: self._storage.acquire(workspace_id))

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        return await self._disk.append(appends)

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        return await self._read(
            lambda: self._storage.read(workspace_key, after, through=through, limit=limit, file_key=file_key)
        )

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        return await self._read(lambda: self._storage.read_versions(file_key, after_version, through, limit))

    async def find(self, workspace_key: int, operation_id: str) -> Record | None:
        return await self._read(lambda: self._storage.find(workspace_key, operation_id))

    async def highest(self, workspace_key: int, series: str) -> int:
        return await self._read(lambda: self._storage.highest(workspace_key, series))

    async def author(self, user_id: str) -> int:
        return await self._write(lambda: self._storage.author(user_id))

    async def workspaces(self) -> list[str]:
        return await self._read(self._storage.workspaces)

    async def closed(self, workspace_key: int) -> int:
        return await self._read(lambda: self._storage.closed(workspace_key))

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        return await self._write(lambda: self._storage.compact(workspace_key, through, size))

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        return await self._read(lambda: self._storage.blobs(workspace_key, digests))

    async def is_used(self, digest: str) -> bool:
        return await self._read(lambda: self._storage.is_used(digest))

    async def pruned(self, workspace_key: int) -> Pruned:
        return await self._read(lambda: self._storage.pruned(workspace_key))

    async def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        return await self._read(lambda: self._storage.checkpoint(workspace_key))

    async def prunable(self, default_days: int, after_key: int, limit: int) -> list[Prunable]:
        return await self._read(lambda: self._storage.prunable(default_days, after_key, limit))

    async def segments(self, workspace_key: int) -> list[int]:
        return await self._read(lambda: self._storage.segments(workspace_key))

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        return await self._write(lambda: self._storage.prune(checkpoint, retained, forget_ids=forget_ids))

    async def close(self) -> None:
        """Nothing to let go of."""

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        await self._disk.save(snapshot, keep)

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        return await self._read(lambda: self._storage.newest(file_key, skip=skip))

    async def _read(self, act: Callable[[], Awaitable[_T]]) -> _T:
        return await self._disk.carry_out(act, writes=False)

    async def _write(self, act: Callable[[], Awaitable[_T]]) -> _T:
        return await self._disk.carry_out(act, writes=True)


def _tell(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # whoever has asked may be dead


def _at_once(work: Awaitable[_T]) -> _T:
    """The result of a coroutine that waits for nothing."""
    step = work.__await__()
    try:
        next(step)
    except StopIteration as done:
        result: _T = done.value
        return result
    raise AssertionError("the memory does not wait")
