"""Who watches a workspace hears what becomes of it, by path, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import watching
from coscribe.documents.ports import AccessChange, Identity
from coscribe.documents.watching import Change, Changes, Watch
from coscribe.gateway import gateway
from tests.documents.test_file_system import ANN, CID, WS, Shelf, refused, shelf
from tests.documents.test_trees import Ruled

PICTURE = b"\0picture"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GATHER_SECONDS", 0)


@asynccontextmanager
async def watched(at: Shelf, identity: Identity = ANN, after: int | None = None) -> AsyncIterator[Watch]:
    watch = await at.server.collaboration.watch(identity, WS, after)
    yield watch
    watch.close()


async def heard(watch: Watch) -> Changes:
    """What is there now."""
    changes = await watch.next(0)
    return changes or Changes(-1, [])


class Told(NamedTuple):
    """A change, as far as the path goes."""

    what: str
    path: str
    old_path: str = ""


def told(changes: Changes) -> list[Told]:
    return [Told(change.what, change.path, change.old_path) for change in changes.changes]


async def sequence(at: Shelf) -> int:
    return (await at.files.list(ANN, WS, "")).sequence


async def test_each_thing_that_can_happen_is_told_once_it_is_durable() -> None:
    async with shelf() as at, watched(at) as watch:
        assert await watch.next(0) == Changes(await sequence(at), [])
        files = at.files
        for done, expected in (
            (files.mkdir(ANN, WS, "new", at.series()), [Told("made", "new")]),
            (files.create(ANN, WS, "new/a", "text", at.series()), [Told("made", "new/a"), Told("edited", "new/a")]),
            (files.create(ANN, WS, "new/b", "", at.series()), [Told("made", "new/b")]),
            (files.write(ANN, WS, "new/a", "text!", 1, at.series()), [Told("edited", "new/a")]),
            (files.rename(ANN, WS, "new", "old", at.series()), [Told("moved", "old", "new")]),
            (files.rename(ANN, WS, "old/a", "b", at.series()), [Told("moved", "b", "old/a")]),
            (
                files.rename(ANN, WS, "b", "old/b", at.series(), overwrite=True),
                [Told("gone", "old/b"), Told("moved", "old/b", "b")],
            ),
            (files.delete(ANN, WS, "old", at.series()), [Told("gone", "old")]),
        ):
            await done
            assert told(await heard(watch)) == expected
        (old,) = [entry for entry in (await files.trash(ANN, WS)).entries if entry.path == "old"]
        await files.rename(ANN, WS, "src", "source", at.series())
        await files.restore(ANN, WS, old.file_id, at.series())
        changes = await heard(watch)
        assert told(changes) == [Told("moved", "source", "src"), Told("made", "old")]
        assert changes.sequence == changes.changes[-1].sequence == await sequence(at)


async def test_contents_and_properties_are_told() -> None:
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        made = await at.files.write_bytes(ANN, WS, "p", PICTURE, at.series(), base=None)
        await at.files.write_bytes(ANN, WS, "p", PICTURE + b"1", at.series(), base=made.tag, properties={"mode": "755"})
        first, second = (await heard(watch)).changes
        assert (first.what, first.kind, first.content) == ("made", "binary", made.version)
        assert (second.what, second.path, second.content != first.content) == ("changed", "p", True)
        assert second.properties == (("mode", "755"),)
        written = await at.files.write_bytes(
            ANN, WS, "p", b"text\n", at.series(), base=f"{made.file_id}:{second.content}"
        )
        changed, edited = (await heard(watch)).changes
        assert (changed.what, changed.kind) == ("changed", "text")
        assert (edited.what, edited.file_id, edited.version) == ("edited", made.file_id, int(written.version))


async def test_edits_that_are_gathered_are_one_change() -> None:
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        for number in range(1, 6):
            await at.files.write(ANN, WS, "free", f"{number}", number, at.series())
            await at.files.write(ANN, WS, "src/main.py", f"{number}", number, at.series())
        await at.files.rename(ANN, WS, "free", "moved", at.series())
        await at.files.write(ANN, WS, "moved", "last", 6, at.series())
        changes = await heard(watch)
        assert [(change.what, change.path, change.version) for change in changes.changes] == [
            ("edited", "free", 6),
            ("edited", "src/main.py", 6),
            ("moved", "moved", 0),
            ("edited", "moved", 7),
        ]


async def test_nothing_is_told_before_it_is_on_disk() -> None:
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        at.server.log.hold()
        writing = [
            asyncio.create_task(at.files.rename(ANN, WS, "free", "moved", at.series())),
            asyncio.create_task(at.files.write(ANN, WS, "src/main.py", "new", 1, at.series())),
        ]
        await at.waiting(1)
        assert await watch.next(0) is None
        late = asyncio.create_task(at.server.collaboration.watch(CID, WS))
        await asyncio.sleep(0)
        assert not late.done()
        at.server.log.release()
        await asyncio.gather(*writing)
        assert sorted(told(await heard(watch))) == [Told("edited", "src/main.py"), Told("moved", "moved", "free")]
        (await late).close()


class Mirror:
    """Keeps paths in step with what it is told; of folders that it has not known it then lists what is in them."""

    def __init__(self, at: Shelf, identity: Identity) -> None:
        self.at = at
        self.identity = identity
        self.paths: dict[str, str] = {}
        self.versions: dict[str, int] = {}

    async def look(self) -> dict[str, str]:
        return dict([pair async for pair in self._below("")])

    async def _below(self, path: str) -> AsyncIterator[tuple[str, str]]:
        for entry in (await self.at.files.list(self.identity, WS, path)).entries:
            yield entry.file_id, entry.path
            if entry.kind == "directory":
                async for pair in self._below(entry.path):
                    yield pair

    async def take(self, changes: Changes) -> None:
        assert not changes.resync
        assert [change.sequence for change in changes.changes] == sorted(change.sequence for change in changes.changes)
        new: set[str] = set()
        for change in changes.changes:
            if change.kind == "directory" and change.file_id not in self.paths:
                new.add(change.file_id)
            self._take(change)
        for file_id in new & self.paths.keys():
            self.paths |= dict([pair async for pair in self._below(self.paths[file_id])])

    def _take(self, change: Change) -> None:
        if change.what == "gone":
            for file_id in [each for each, path in self.paths.items() if is_within(path, change.path)]:
                del self.paths[file_id]
            self.paths.pop(change.file_id, None)
            return
        if change.what == "edited":
            self.versions[change.file_id] = change.version
            return
        if change.what == "moved":
            for file_id, path in self.paths.items():
                if is_within(path, change.old_path):
                    self.paths[file_id] = change.path + path[len(change.old_path) :]
        self.paths[change.file_id] = change.path


def is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


async def live(at: Shelf, random: Random, steps: int) -> AsyncIterator[int]:
    names = ("a", "b", "secret", "docs", "src")
    for number in range(steps):
        paths = await at.paths()
        path = random.choice(paths or ["a"])
        target = random.choice(["", *(f"{each}/" for each in paths)]) + random.choice(names)
        act = random.choice(("create", "mkdir", "write", "write", "rename", "rename", "delete", "restore", "copy"))
        series = f"r{number}"
        try:
            if act == "create":
                await at.files.create(ANN, WS, target, "text", series)
            elif act == "mkdir":
                await at.files.mkdir(ANN, WS, target, series)
            elif act == "write":
                text = (await at.files.read(ANN, WS, path)).text
                assert text is not None
                await at.files.write(ANN, WS, path, f"{text.text}{number}", text.version, series)
            elif act == "rename":
                await at.files.rename(ANN, WS, path, target, series, overwrite=random.random() < 0.5)
            elif act == "delete":
                await at.files.delete(ANN, WS, path, series)
            elif act == "restore":
                trash = (await at.files.trash(ANN, WS)).entries
                await at.files.restore(ANN, WS, random.choice(trash).file_id, series)
            else:
                await at.files.copy(ANN, WS, path, target, series)
        except (CoscribeError, AssertionError, IndexError):
            pass
        yield number


@pytest.mark.parametrize("seed", range(4))
async def test_who_follows_has_it_as_it_is(seed: int) -> None:
    """Also who sees only part of it."""
    async with shelf() as at, watched(at) as all_of_it, watched(at, CID) as part:
        mirrors = [(all_of_it, Mirror(at, ANN)), (part, Mirror(at, CID))]
        for watch, mirror in mirrors:
            mirror.paths = await mirror.look()
            await watch.next(0)
        random = Random(f"follow {seed}")
        async for _ in live(at, random, 120):
            for watch, mirror in mirrors:
                if random.random() < 0.4:
                    await mirror.take(await heard(watch))
        for watch, mirror in mirrors:
            await mirror.take(await heard(watch))
            assert mirror.paths == await mirror.look()


@pytest.mark.parametrize("seed", range(4))
async def test_who_begins_in_the_past_hears_what_came_since(seed: int) -> None:
    async with shelf() as at:
        random, mirror = Random(f"past {seed}"), Mirror(at, ANN)
        begins: list[tuple[int, dict[str, str]]] = []
        async for _ in live(at, random, 80):
            begins.append((await sequence(at), await mirror.look()))
        for after, paths in begins[:: 5 if seed else 1]:
            mirror.paths, mirror.versions = dict(paths), {}
            async with watched(at, ANN, after) as watch:
                changes = await heard(watch)
                assert changes.sequence == begins[-1][0]
                await mirror.take(changes)
            assert mirror.paths == await mirror.look()
            for file_id, version in mirror.versions.items():
                if file_id in mirror.paths:
                    assert (await at.server.collaboration.text(ANN, file_id)).version == version


async def test_what_happens_while_it_looks_back_comes_behind() -> None:
    async with shelf() as at:
        after = await sequence(at)
        await at.files.rename(ANN, WS, "free", "one", at.series())
        beginning = asyncio.create_task(at.server.collaboration.watch(ANN, WS, after))
        await asyncio.sleep(0)
        await at.files.rename(ANN, WS, "one", "two", at.series())
        await at.files.write(ANN, WS, "two", "text", 1, at.series())
        watch = await beginning
        changes = await heard(watch)
        assert told(changes) == [Told("moved", "one", "free"), Told("moved", "two", "one"), Told("edited", "two")]
        watch.close()


async def test_what_was_on_its_way_to_the_disk_when_it_began_is_told() -> None:
    async with shelf() as at:
        after = await sequence(at)
        at.server.log.hold()
        writing = asyncio.create_task(at.files.rename(ANN, WS, "free", "moved", at.series()))
        await at.waiting(1)
        beginning = asyncio.create_task(at.server.collaboration.watch(ANN, WS, after))
        await at.waiting(2)
        at.server.log.release()
        await writing
        watch = await beginning
        assert told(await heard(watch)) == [Told("moved", "moved", "free")]
        watch.close()


async def test_where_the_past_is_not_to_be_had_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shelf() as at:
        last = await sequence(at)
        for identity, after in ((ANN, last + 1), (CID, last - 1)):
            async with watched(at, identity, after) as watch:
                assert await heard(watch) == Changes(last, [], resync=True)
                await at.files.rename(ANN, WS, "free", "moved", at.series())
                assert told(await heard(watch)) == [Told("moved", "moved", "free")]
                await at.files.rename(ANN, WS, "moved", "free", at.series())
                last += 2
        for identity in (ANN, CID):
            async with watched(at, identity, last) as watch:
                assert await heard(watch) == Changes(last, [])
        monkeypatch.setattr("coscribe.documents.collaboration.MAX_PAST", 3)
        for after, expected in ((last - 3, False), (last - 4, True)):
            async with watched(at, ANN, after) as watch:
                assert (await heard(watch)).resync is expected


async def test_what_a_rule_hides_is_not_told_of() -> None:
    async with shelf() as at, watched(at, CID) as watch:
        await watch.next(0)
        await at.files.write(ANN, WS, "secret/key", "another", 1, at.series())
        await at.files.create(ANN, WS, "secret/new", "text", at.series())
        await at.files.rename(ANN, WS, "secret/new", "secret/newer", at.series())
        await at.files.delete(ANN, WS, "secret/newer", at.series())
        assert await watch.next(0) is None
        await at.files.rename(ANN, WS, "free", "secret/free", at.series())
        await at.files.rename(ANN, WS, "secret/key", "key", at.series())
        await at.files.write(ANN, WS, "secret/free", "unseen", 1, at.series())
        assert told(await heard(watch)) == [Told("gone", "free"), Told("made", "key")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (AccessChange(WS), Code.RULES_CHANGED),
        (AccessChange(WS, account="cid"), Code.ACCESS_REMOVED),
        (AccessChange(account="cid"), Code.SESSION_ENDED),
        (AccessChange(credential="session:cid"), Code.SESSION_ENDED),
    ],
)
async def test_it_is_over_when_the_right_is(change: AccessChange, code: Code) -> None:
    cid = CID._replace(credential="session:cid")
    async with shelf() as at, watched(at, cid) as watch, watched(at, ANN) as other:
        for each in (watch, other):
            await each.next(0)
        waiting = asyncio.create_task(watch.next())
        rights = at.server.rights
        assert isinstance(rights, Ruled)
        if code is Code.RULES_CHANGED:
            rights.rules = rights.rules[:1]
        elif code is Code.ACCESS_REMOVED:
            rights.roles["cid", WS] = None
        else:
            rights.ended.add("cid")
        await at.server.gateway.access_changed(change)
        await at.files.rename(ANN, WS, "free", "moved", at.series())
        async with refused(code):
            await waiting
        assert told(await heard(other)) == [Told("moved", "moved", "free")]


async def test_whoever_is_not_answered_for_is_not_told_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ANSWER_SECONDS", 0.01)
    async with shelf() as at, watched(at, CID) as watch:
        await watch.next(0)

        async def never(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(at.server.rights, "rights", never)
        await at.server.gateway.access_changed(AccessChange(WS))
        async with refused(Code.STORAGE_UNAVAILABLE):
            await watch.next()


async def test_who_may_not_see_the_workspace_does_not_watch_it() -> None:
    async with shelf() as at:
        at.server.rights.roles["cid", WS] = None
        async with refused(Code.FILE_NOT_FOUND):
            await at.server.collaboration.watch(CID, WS)
        async with refused(Code.FILE_NOT_FOUND):
            await at.server.collaboration.watch(ANN, "nothing")
        assert not list(at.server.collaboration.watches)


async def test_who_does_not_take_it_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_WAITING", 5)
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        for number in range(8):  # an edit of one text is one change
            await at.files.write(ANN, WS, "free", f"{number}", 1, at.series())
        assert len((await heard(watch)).changes) == 1
        for number in range(6):
            await at.files.mkdir(ANN, WS, f"{number}", at.series())
        async with refused(Code.SLOW_CONSUMER):
            await watch.next()


async def test_there_are_so_many_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_WATCHES_OF_ACCOUNT", 2)
    monkeypatch.setattr(watching, "MAX_WATCHES", 3)
    async with shelf() as at:
        watch = at.server.collaboration.watch
        open_ones = [await watch(ANN, WS), await watch(ANN, WS)]
        async with refused(Code.TOO_MANY_REQUESTS):
            await watch(ANN, WS)
        open_ones.append(await watch(CID, WS))
        async with refused(Code.TOO_MANY_REQUESTS):
            await watch(CID, WS)
        open_ones.pop().close()
        await watch(CID, WS)


async def test_a_workspace_that_is_watched_stays_in_memory_and_one_that_is_lost_says_so() -> None:
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        collaboration = at.server.collaboration
        for _ in range(3):
            at.server.time += 100_000
            await collaboration.snapshots.sweep()
            await at.server.settle()
        assert WS in collaboration.router.sessions
        at.server.log.fail(written=True)
        async with refused(Code.STORAGE_UNAVAILABLE):
            await at.files.rename(ANN, WS, "free", "moved", at.series())
        async with refused(Code.STORAGE_UNAVAILABLE):
            await watch.next()
        watch.close()
        async with watched(at, ANN, await sequence(at) - 1) as again:
            assert told(await heard(again)) == [Told("moved", "moved", "free")]
        for _ in range(3):
            at.server.time += 100_000
            await collaboration.snapshots.sweep()
            await at.server.settle()
        assert WS not in collaboration.router.sessions


async def test_who_watches_when_the_server_ends_is_told() -> None:
    async with shelf() as at, watched(at) as watch:
        await watch.next(0)
        waiting = asyncio.create_task(watch.next())
        await at.server.stop()
        async with refused(Code.SHUTTING_DOWN):
            await waiting
