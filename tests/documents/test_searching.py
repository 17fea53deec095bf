"""Searching: what is found is what is there and may be read, a page at a time, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from random import Random

import pytest

from coscribe.core.errors import Code
from coscribe.documents import searching
from coscribe.documents.ports import Identity
from coscribe.documents.searching import Found, Search, Searching
from tests.documents.test_file_system import ANN, CID, WS, Shelf, refused

SEED = int(os.environ.get("COSCRIBE_SEED", "0")) or Random().randrange(1, 10**9)


async def filled(**texts: str) -> tuple[Shelf, Searching]:
    shelf = Shelf(folds_case=False)
    await shelf.fill()
    for path, text in texts.items():
        await shelf.files.create(ANN, WS, path, text, shelf.series())
    collaboration = shelf.server.collaboration
    return shelf, Searching(collaboration, shelf.storage, shelf.storage, time.monotonic)


async def paths(search: Searching, wanted: Search, identity: Identity = ANN) -> list[str]:
    return [file.path for file in (await search.search(identity, WS, wanted)).files]


async def test_names_and_texts_are_found_with_their_places() -> None:
    shelf, search = await filled(poem="one lamp\nthe Lamp 🙂 and a lamp\n")
    found = await search.search(ANN, WS, Search("lamp"))
    (file,) = found.files
    assert (file.path, file.in_name, file.has_more) == ("poem", False, False)
    assert [(place.line, place.column, place.length) for place in file.places] == [(1, 4, 4), (2, 4, 4), (2, 17, 4)]
    assert file.places[2][3:] == ("the Lamp 🙂 and a ", "lamp", "")
    assert (found.looked_at, found.next_after, found.cut) == (6, None, None)
    assert await paths(search, Search("lamp", keeps_case=True, is_regex=True)) == ["poem"]
    assert await paths(search, Search("Lam", is_word=True)) == []
    assert await paths(search, Search("lamp 🙂", is_word=False)) == ["poem"]
    assert await paths(search, Search("MAIN")) == ["src/main.py"]
    assert (await search.search(ANN, WS, Search("main"))).files[0].in_name
    assert await paths(search, Search("^this is s")) == []
    assert await paths(search, Search("^this is s", is_regex=True)) == ["secret/key", "src/deep/a.txt", "src/main.py"]
    await shelf.server.stop()


async def test_what_was_deleted_or_is_closed_is_not_found() -> None:
    shelf, search = await filled()
    assert await paths(search, Search("this is"), CID) == ["docs/read.me", "free", "src/deep/a.txt", "src/main.py"]
    assert await paths(search, Search("key"), CID) == []
    await shelf.files.delete(ANN, WS, "src", shelf.series())
    assert await paths(search, Search("this is")) == ["docs/read.me", "free", "secret/key"]
    await shelf.files.rename(ANN, WS, "secret/key", "docs/key", shelf.series())
    assert await paths(search, Search("key"), CID) == ["docs/key"]
    await shelf.server.stop()


async def test_globs_are_as_in_gitignore() -> None:
    shelf, search = await filled()
    for globs, expected in (
        (("*.py",), ["src/main.py"]),
        (("src/",), ["src/deep/a.txt", "src/main.py"]),
        (("src/", "!*.py"), ["src/deep/a.txt"]),
        (("/free", "docs/*"), ["docs/read.me", "free"]),
    ):
        assert await paths(search, Search("this", globs=globs)) == expected
    await shelf.server.stop()


async def test_pages_follow_each_other_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """By places, by text and by time: all pages together are what one is, found by a search of our own."""
    print(f"COSCRIBE_SEED={SEED}")
    random = Random(SEED)
    texts = {f"f{number:02}": "".join(random.choices("ab \n", k=random.randrange(60))) for number in range(40)}
    shelf, search = await filled(**texts)
    monkeypatch.setattr(searching, "GROUP", 7)
    expected = {path for path, text in texts.items() if re.search("a.?b", text)}
    for name, value in (("MAX_PLACES", 3), ("MAX_TEXT", 50), ("MAX_PLACES", 10**9)):
        monkeypatch.setattr(searching, name, value)
        pages: list[Found] = []
        after: str | None = ""
        while after is not None:
            pages.append(await search.search(ANN, WS, Search("a.?b", is_regex=True, after=after)))
            after = pages[-1].next_after
        found = [file for page in pages for file in page.files]
        assert [file.path for file in found] == sorted(expected)
        assert sum(page.looked_at for page in pages) == 45
        assert len(pages) > 3 and all((page.cut is None) == (page.next_after is None) for page in pages)
        for file in found:
            assert len(file.places) == len(re.findall("a.?b", texts[file.path]))
    await shelf.server.stop()


async def test_a_page_ends_when_its_time_is_over() -> None:
    shelf, _ = await filled()
    ticks = iter(range(10**6))
    search = Searching(shelf.server.collaboration, shelf.storage, shelf.storage, lambda: float(next(ticks)))
    found = await search.search(ANN, WS, Search("this"))
    assert (found.looked_at, found.cut, found.next_after) == (2, "time", "free")
    await shelf.server.stop()


async def test_many_places_of_one_file_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, search = await filled(many="x\n" * 500)
    (file,) = (await search.search(ANN, WS, Search("x", is_word=True, globs=("many",)))).files
    assert (len(file.places), file.has_more, file.places[-1].line) == (100, True, 100)
    await shelf.server.stop()


async def test_an_expression_that_takes_for_ever_is_refused_and_nobody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, search = await filled(trap="a" * 900 + "b")
    monkeypatch.setattr(searching, "MAX_SECONDS", 0.2)
    turns = 0
    task = asyncio.create_task(search.search(ANN, WS, Search("^(a|aa)+$", is_regex=True, globs=("trap",))))
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    async with refused(Code.INVALID_REQUEST):
        await task
    assert turns > 10
    assert await paths(search, Search("b", globs=("trap",))) == ["trap"]
    await shelf.server.stop()


@pytest.mark.parametrize("text", ["(", "[a", "a{2,1}", "(?<n>a)(?P=m)", "*"])
async def test_what_is_no_expression_is_refused(text: str) -> None:
    shelf, search = await filled()
    async with refused(Code.INVALID_REQUEST):
        await search.search(ANN, WS, Search(text, is_regex=True))
    assert await paths(search, Search(text)) == []
    await shelf.server.stop()


async def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, search = await filled()
    monkeypatch.setattr(searching, "MAX_WAITING", 3)
    done = await asyncio.gather(*(search.search(ANN, WS, Search("this")) for _ in range(5)), return_exceptions=True)
    assert [getattr(each, "code", None) for each in done] == [None] * 3 + [Code.OVERLOADED] * 2
    assert await paths(search, Search("free")) == ["free"]
    await shelf.server.stop()
