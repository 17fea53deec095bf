"""Blobs in a PostgreSQL: the contract, and what instances owe to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from coscribe.core.errors import CoscribeError
from coscribe.persistence import postgres_blobs
from coscribe.persistence.blobs import PIECE
from coscribe.persistence.postgres_blobs import HELD_SECONDS, SWEPT_AT_ONCE, PostgresBlobs
from tests.contracts.blob_store import LONG, BlobStoreContract, blob


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresBlobs]:
    store = PostgresBlobs(url)
    yield store
    await store.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[PostgresBlobs]:
    """Another instance's."""
    store = PostgresBlobs(url)
    yield store
    await store.close()


class TestBlobStore(BlobStoreContract):
    pass


def run(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as db:
        found = db.execute(statement.encode(), values)
        return found.fetchall() if found.description else []


def rows(url: str) -> tuple[int, int]:
    """Of blobs and drafts, and of pieces."""
    [counted] = run(url, "SELECT (SELECT count(*) FROM stored_blobs), (SELECT count(*) FROM blob_pieces)")
    return counted[0], counted[1]


def age(url: str, seconds: int) -> None:
    run(url, "UPDATE stored_blobs SET stored_at = stored_at - %s", seconds * 1_000_000)


async def test_nothing_is_left_of_a_draft_that_was_not_kept(store: PostgresBlobs, url: str) -> None:
    async with store.draft() as draft:
        await draft.write(LONG)
        assert rows(url) == (1, len(LONG) // PIECE)
    assert rows(url) == (0, 0)
    async with store.draft() as draft:
        await draft.write(LONG)
        await draft.keep()
    assert rows(url) == (1, len(LONG) // PIECE + 1)


async def test_more_than_a_piece_is_never_in_memory(store: PostgresBlobs, url: str) -> None:
    async with store.draft() as draft:
        for _ in range(40):
            await draft.write(bytes(100_000))
            assert len(draft._rest) < PIECE
        made = await draft.keep()
    assert {len(piece) async for piece in store.pieces(made.digest)} == {PIECE, made.size % PIECE}


async def test_who_reads_while_it_is_put_again_goes_on(store: PostgresBlobs, other: PostgresBlobs, url: str) -> None:
    (made,) = await store.put([LONG])
    pieces = store.pieces(made.digest)
    read = await anext(pieces)
    with patch.object(postgres_blobs, "PIECE", 100_000):  # as another version might cut it
        await other.put([LONG])
    read += b"".join([piece async for piece in pieces])
    assert read == LONG
    assert rows(url) == (1, 7)


async def test_a_damaged_one_is_not_given_whole_and_healed_by_who_has_it(store: PostgresBlobs, url: str) -> None:
    (made,) = await store.put([LONG])
    for damage in (
        "UPDATE blob_pieces SET content = overlay(content PLACING '\\x00' FROM 7) WHERE start = 0",
        "DELETE FROM blob_pieces WHERE start > 0",
        "DELETE FROM blob_pieces",
    ):
        run(url, damage)
        given: list[bytes] = []

        async def give(to: list[bytes] = given) -> None:
            async for piece in store.pieces(made.digest):
                to.append(piece)

        with pytest.raises(CoscribeError, match="damaged"):
            await give()
        assert len(b"".join(given)) < len(LONG)
        await store.put([LONG])
        assert await store.read(made.digest) == LONG


async def test_many_put_the_same_at_once(store: PostgresBlobs, other: PostgresBlobs, url: str) -> None:
    contents = [bytes([number]) * 9 for number in range(20)]
    await asyncio.gather(*(each.put(contents[::step]) for each in (store, other) for step in (1, -1) for _ in range(5)))
    assert rows(url) == (20, 20)
    for content in contents:
        assert await store.read(blob(content).digest) == content


async def test_what_another_instance_may_be_about_to_name_stays(
    store: PostgresBlobs, other: PostgresBlobs, url: str
) -> None:
    """One refuses what the other is about to commit; in whichever order they came."""
    for first, second in ((store, other), (other, store)):
        await first.put([LONG])
        (made,) = await second.put([LONG])
        await first.remove(made.digest)
        await second.remove(made.digest)
        assert await second.read(made.digest) == LONG
        assert await first.sweep() == 0
        age(url, HELD_SECONDS + 1)
        assert await first.sweep() == 1
        assert rows(url) == (0, 0)


async def test_what_was_named_or_put_again_meanwhile_stays(
    store: PostgresBlobs, other: PostgresBlobs, url: str
) -> None:
    named, again, unwanted = [(await store.put([bytes([number])]))[0] for number in range(3)]
    for made in (named, again, unwanted):
        await other.remove(made.digest)
    run(
        url,
        "WITH made AS (INSERT INTO workspaces (workspace_id, kind, incarnation, secret, created_at)"
        " VALUES ('w', 'workspace', '1', 'secret', 1) RETURNING workspace_key), head AS (INSERT INTO heads"
        " SELECT workspace_key, 0, 0, 'hash', 0 FROM made RETURNING workspace_key)"
        " INSERT INTO file_blobs SELECT workspace_key, %s, 1, 1 FROM head",
        named.digest,
    )
    age(url, HELD_SECONDS + 1)
    await store.put([bytes([1])])
    assert await store.sweep() == 1
    assert [await store.size(made.digest) for made in (named, again, unwanted)] == [1, 1, None]


async def test_what_a_crash_left_half_written_is_swept_up_when_something_is_put(
    store: PostgresBlobs, other: PostgresBlobs, url: str
) -> None:
    run(
        url,
        "INSERT INTO stored_blobs (size, put_by, stored_at) SELECT 0, '', extract(epoch FROM now()) * 1000000"
        " FROM generate_series(1, %s)",
        2 * SWEPT_AT_ONCE + 1,
    )
    age(url, postgres_blobs.DRAFT_SECONDS + 1)
    async with other.draft() as draft:  # it sweeps, too; what it writes is young
        await draft.write(LONG)
        await store.put([b"one"])
        await draft.keep()
    assert rows(url) == (2, 4)


async def test_put_once_is_removed_at_once_however_often(store: PostgresBlobs, url: str) -> None:
    for _ in range(3):
        (made,) = await store.put([b"one"])
    await store.remove(made.digest)
    assert rows(url) == (0, 0)


async def test_what_has_long_been_there_is_removed_at_once_by_whoever_may(
    store: PostgresBlobs, other: PostgresBlobs, url: str
) -> None:
    (made,) = await store.put([b"one"])
    age(url, HELD_SECONDS + 1)
    await other.remove(made.digest)
    assert rows(url) == (0, 0)
