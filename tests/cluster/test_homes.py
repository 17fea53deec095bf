from __future__ import annotations

import asyncio

import pytest

from coscribe.cluster import homes as module
from coscribe.cluster.homes import Homes
from coscribe.core.tree import node_id
from coscribe.documents.ports import Home, StorageError

FILES = [node_id("tree", "a:1", number) for number in range(4)]


class Located:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def __call__(self, file_id: str) -> Home | None:
        self.asked.append(file_id)
        await asyncio.sleep(0)
        if self.fails:
            raise StorageError("the disk is gone")
        return Home("tree", True) if file_id != FILES[3] else None


async def test_only_files_of_trees_are_looked_up_and_only_once() -> None:
    located = Located()
    homes = Homes(located)
    assert await homes.workspace_of("notes") == "notes"
    assert [await homes.workspace_of(file_id) for file_id in FILES[:2] * 2] == ["tree"] * 4
    assert located.asked == FILES[:2]


async def test_many_who_ask_at_once_cost_one_question() -> None:
    located = Located()
    homes = Homes(located)
    asking = [asyncio.ensure_future(homes.workspace_of(FILES[0])) for _ in range(10)]
    await asyncio.sleep(0)
    asking.pop().cancel()
    assert await asyncio.gather(*asking) == ["tree"] * 9
    assert located.asked == [FILES[0]]
    located.fails = True
    failing = [homes.workspace_of(FILES[1]) for _ in range(3)]
    assert [type(each) for each in await asyncio.gather(*failing, return_exceptions=True)] == [StorageError] * 3
    located.fails = False
    assert await homes.workspace_of(FILES[1]) == "tree"


async def test_what_is_nowhere_may_be_there_later() -> None:
    located = Located()
    homes = Homes(located)
    assert [await homes.workspace_of(FILES[3]) for _ in range(2)] == [FILES[3]] * 2
    assert located.asked == [FILES[3]] * 2


async def test_of_more_than_are_remembered_the_one_unused_longest_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    located = Located()
    homes = Homes(located)
    for file_id in (FILES[0], FILES[1], FILES[0], FILES[2], FILES[0], FILES[1]):
        await homes.workspace_of(file_id)
    assert located.asked == [FILES[0], FILES[1], FILES[2], FILES[1]]
