"""Blobs on their way into a log, and out of it.

    bytes --put, synced--> blob in the store --commit that names it--> content of a file --read--> bytes

Between the two steps nothing refers to a blob. It is *held* meanwhile: it stays, whoever else is refused the same.
Where the commit is refused, what no log refers to is removed again, or somebody whose writes are all refused could fill
the disk. Where it is not known what became of the commit it stays; so it does where the process ends. `coscribe vacuum`
removes it then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import sha256

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Blob, BlobDraft, BlobStore, StorageError


class Blobs:
    """Of one server, over its store. ``is_used``: whether any log refers to a hash. ``max_bytes`` of one blob."""

    def __init__(self, store: BlobStore, is_used: Callable[[str], Awaitable[bool]], max_bytes: int) -> None:
        self.store = store
        self.max_bytes = max_bytes
        self._is_used = is_used
        self._held: Counter[str] = Counter()
        self._removing: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[BlobDraft]:
        """For what comes in pieces. Errors, also of what is written: ``storage_unavailable``."""
        with disk_as_refusal():
            async with self.store.draft() as draft:
                yield draft

    @asynccontextmanager
    async def bring(self, contents: Sequence[bytes]) -> AsyncIterator[list[Blob]]:
        """Puts contents into the store, for the block to commit something that names them. Errors: ``file_too_large``,
        ``storage_unavailable``."""
        for content in contents:
            self.check_size(len(content))
        digests = await asyncio.to_thread(lambda: [sha256(content).hexdigest() for content in contents])
        async with self._holding(digests):
            with disk_as_refusal():
                blobs = await self.store.put(contents)
            yield blobs

    @asynccontextmanager
    async def bring_one(self, content: bytes) -> AsyncIterator[Blob]:
        async with self.bring([content]) as (blob,):
            yield blob

    @asynccontextmanager
    async def bring_draft(self, draft: BlobDraft) -> AsyncIterator[Blob]:
        """Likewise what was written already."""
        self.check_size(draft.size)
        async with self._holding([draft.digest]):
            with disk_as_refusal():
                blob = await draft.keep()
            yield blob

    async def keep_draft(self, draft: BlobDraft) -> Blob:
        """What was written already, for those whose commit comes later: see `keep`."""
        await self._hold([draft.digest])
        with disk_as_refusal():
            return await draft.keep()

    async def keep(self, content: bytes) -> Blob:
        """Likewise for those whose commit comes later: it is held until they let go of it, or for good."""
        self.check_size(len(content))
        digest = await asyncio.to_thread(lambda: sha256(content).hexdigest())
        await self._hold([digest])
        with disk_as_refusal():
            (blob,) = await self.store.put([content])
        return blob

    def let_go(self, digests: Sequence[str]) -> list[str]:
        """Returns those that nobody holds any more."""
        self._held.subtract(digests)
        free = [digest for digest in dict.fromkeys(digests) if self._held[digest] <= 0]
        for digest in free:
            del self._held[digest]
        return free

    def check_size(self, size: int) -> None:
        """Errors: ``file_too_large``."""
        if size > self.max_bytes:
            raise CoscribeError(Code.FILE_TOO_LARGE, f"{size} bytes, at most {self.max_bytes}")

    @asynccontextmanager
    async def _holding(self, digests: Sequence[str]) -> AsyncIterator[None]:
        await self._hold(digests)
        was_refused = False
        try:
            yield
        except CoscribeError as error:
            was_refused = error.code is not Code.STORAGE_UNAVAILABLE
            raise
        finally:
            free = self.let_go(digests)
            if was_refused:
                for digest in free:
                    await self.remove_unused(digest)

    async def _hold(self, digests: Sequence[str]) -> None:
        for digest in digests:
            while (removing := self._removing.get(digest)) is not None:
                await asyncio.shield(removing)
            self._held[digest] += 1

    async def remove_unused(self, digest: str) -> None:
        """Removes a blob that no log refers to and nobody holds. Whoever comes to hold it meanwhile waits."""
        if digest in self._held or digest in self._removing:
            return
        done = self._removing[digest] = asyncio.get_running_loop().create_future()
        try:
            with suppress(StorageError):  # it does no harm where it is
                if not await self._is_used(digest):
                    await self.store.remove(digest)
        finally:
            del self._removing[digest]
            done.set_result(None)


@contextmanager
def disk_as_refusal() -> Iterator[None]:
    """Turns a failure of the store into the error that whoever asked is told."""
    try:
        yield
    except StorageError as error:
        raise CoscribeError(Code.STORAGE_UNAVAILABLE, str(error)) from error
