"""The contract of `CursorRepo`. Subclass with a fixture `storage` that is an OpLog as well."""

from __future__ import annotations

from typing import Protocol

from coscribe.documents.ports import CursorRepo, LastCursor, OpLog
from tests.contracts.op_log import acquired

MANY = 100


class AnyCursors(OpLog, CursorRepo, Protocol):
    """Both ports in one."""


class CursorRepoContract:
    async def test_the_newest_takes_the_place_of_the_one_before(self, storage: AnyCursors) -> None:
        key = (await acquired(storage)).files[0].key
        assert await storage.last_cursor(key, 1) is None
        before, after = LastCursor(key, 1, 3, 4, 5, 100), LastCursor(key, 1, 6, 7, 0, 200)
        await storage.keep_cursors([before], per_person=MANY, per_file=MANY)
        assert await storage.last_cursor(key, 1) == before
        await storage.keep_cursors([after], per_person=MANY, per_file=MANY)
        assert await storage.last_cursor(key, 1) == after
        assert await storage.last_cursor(key, 2) is None

    async def test_of_a_person_those_that_moved_last_are_kept(self, storage: AnyCursors) -> None:
        keys = [(await acquired(storage, name)).files[0].key for name in ("one", "two", "three")]
        cursors = [LastCursor(key, 1, 0, 0, 0, at) for key, at in zip(keys, (30, 10, 20), strict=True)]
        others = LastCursor(keys[1], 2, 0, 0, 0, 1)
        await storage.keep_cursors([*cursors, others], per_person=2, per_file=MANY)
        assert [await storage.last_cursor(key, 1) for key in keys] == [cursors[0], None, cursors[2]]
        assert await storage.last_cursor(keys[1], 2) == others

    async def test_of_a_file_likewise(self, storage: AnyCursors) -> None:
        one, two = [(await acquired(storage, name)).files[0].key for name in ("one", "two")]
        cursors = [LastCursor(one, author, 0, 0, 0, 10 * author) for author in range(1, 5)]
        await storage.keep_cursors([LastCursor(two, 1, 0, 0, 0, 1)], per_person=MANY, per_file=2)
        for cursor in cursors:
            await storage.keep_cursors([cursor], per_person=MANY, per_file=2)
        assert [await storage.last_cursor(one, author) for author in range(1, 5)] == [None, None, *cursors[2:]]
        assert await storage.last_cursor(two, 1) is not None

    async def test_one_of_a_file_that_is_not_there_is_passed_over(self, storage: AnyCursors) -> None:
        key = (await acquired(storage)).files[0].key
        gone, there = LastCursor(key + 1, 1, 0, 0, 0, 1), LastCursor(key, 1, 0, 0, 0, 1)
        await storage.keep_cursors([gone, there], per_person=MANY, per_file=MANY)
        assert [await storage.last_cursor(each, 1) for each in (key + 1, key)] == [None, there]
