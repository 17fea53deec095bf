"""The contract of `BlobStore`. Subclass with a fixture `store`."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Blob, BlobStore

LONG = Random(1).randbytes(700_000)
"""More than one piece."""


def blob(content: bytes) -> Blob:
    return Blob(sha256(content).hexdigest(), len(content))


class BlobStoreContract:
    @pytest.mark.parametrize("content", [b"", b"\0\xff", LONG], ids=["empty", "short", "long"])
    async def test_what_was_put_is_read(self, store: BlobStore, content: bytes) -> None:
        (made,) = await store.put([content])
        assert made == blob(content)
        assert await store.size(made.digest) == len(content)
        assert await store.read(made.digest) == content
        assert b"".join([piece async for piece in store.pieces(made.digest)]) == content

    async def test_many_at_once_and_the_same_again(self, store: BlobStore) -> None:
        assert await store.put([]) == []  # as the first thing ever
        contents = [b"one", b"two", b"one", LONG]
        assert await store.put(contents) == [blob(content) for content in contents]
        assert await store.put([b"two"]) == [blob(b"two")]
        for content in contents:
            assert await store.read(blob(content).digest) == content

    async def test_it_comes_in_pieces_and_is_there_when_it_is_kept(self, store: BlobStore) -> None:
        async with store.draft() as draft:
            for start in range(0, len(LONG), 100_000):
                await draft.write(LONG[start : start + 100_000])
            assert (draft.size, draft.digest) == (len(LONG), blob(LONG).digest)
            assert await draft.content() == LONG
            assert await draft.content(7) == LONG[:7]
            assert await store.size(draft.digest) is None
            assert await draft.keep() == blob(LONG)
        assert await store.read(blob(LONG).digest) == LONG

    async def test_what_is_not_kept_is_gone(self, store: BlobStore) -> None:
        async with store.draft() as draft:
            await draft.write(b"half")
        assert await store.size(blob(b"half").digest) is None

    async def test_what_is_not_there_is_named(self, store: BlobStore) -> None:
        digest = blob(b"nobody's").digest
        assert await store.size(digest) is None
        for reading in (store.read(digest), store.pieces(digest).__anext__()):
            with pytest.raises(CoscribeError, match=f"{digest} is missing") as error:
                await reading
            assert error.value.code is Code.FILE_DAMAGED

    async def test_it_is_removed(self, store: BlobStore) -> None:
        await store.put([b"one", b"two"])
        for _ in range(2):
            await store.remove(blob(b"one").digest)
        assert await store.size(blob(b"one").digest) is None
        assert await store.read(blob(b"two").digest) == b"two"
