"""A workspace by paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from coscribe.access.policy import PathRule
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import file_system
from coscribe.documents.blobs import Blobs
from coscribe.documents.file_system import Entry, FileSystem, NewFile, Written
from coscribe.documents.ports import Identity
from coscribe.documents.quota import Room
from coscribe.persistence.blobs import MemoryBlobs
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol.messages import Place
from tests.contracts.conversations import Server
from tests.documents.test_trees import Ruled

WS = "project"
MAX_BLOB = 5_000_000
ANN = Identity("ann", "Ann", "#111111", "owner", account="ann")
CID = Identity("cid", "Cid", "#222222", "editor", account="cid")
RULES = (PathRule("everyone", "", "secret/**", "none"), PathRule("everyone", "", "docs/**", "read"))


class Shelf:
    """src/main.py, src/deep/a.txt, docs/read.me, secret/key, free."""

    def __init__(self, *, folds_case: bool) -> None:
        self.storage = MemoryStorage()
        self.server = Server(self.storage, limits=Limits(file_length=1_000), rights=Ruled(RULES))
        self.store = MemoryBlobs()
        self.blobs = Blobs(self.store, self.storage.is_used, MAX_BLOB)
        self.files = FileSystem(self.server.collaboration, self.blobs)
        self.folds_case = folds_case
        self.number = 0

    def series(self) -> str:
        self.number += 1
        return f"s{self.number}"

    async def fill(self) -> None:
        await self.storage.create_tree(WS, 1, folds_case=self.folds_case)
        for folder in ("src", "src/deep", "docs", "secret"):
            await self.files.mkdir(ANN, WS, folder, self.series())
        for path in ("src/main.py", "src/deep/a.txt", "docs/read.me", "secret/key", "free"):
            await self.files.create(ANN, WS, path, f"this is {path}\n", self.series())

    async def paths(self, identity: Identity = ANN, path: str = "") -> list[str]:
        """All that is seen, by path."""
        found: list[str] = []
        for entry in (await self.files.list(identity, WS, path)).entries:
            found.append(entry.path)
            if entry.kind == "directory":
                found += await self.paths(identity, entry.path)
        return found

    async def waiting(self, count: int) -> None:
        """Returns when so many wait for a commit that is held."""
        sessions = self.server.collaboration.router.sessions
        while sum(len(session._undecided) for session in sessions.values()) < count:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)

    async def text(self, path: str, identity: Identity = ANN) -> str:
        text = (await self.files.read(identity, WS, path)).text
        assert text is not None
        return text.text


@asynccontextmanager
async def shelf(*, folds_case: bool = False) -> AsyncIterator[Shelf]:
    at = Shelf(folds_case=folds_case)
    await at.fill()
    yield at
    at.server.log.release()
    await at.server.stop()


@asynccontextmanager
async def refused(code: Code) -> AsyncIterator[None]:
    with pytest.raises(CoscribeError) as error:
        yield
    assert error.value.code is code, error.value


ALL = ["docs", "docs/read.me", "free", "secret", "secret/key", "src", "src/deep", "src/deep/a.txt", "src/main.py"]


async def test_what_is_there() -> None:
    async with shelf() as at:
        assert await at.paths() == ALL
        entry = await at.files.stat(ANN, WS, "src/main.py")
        assert entry == Entry(entry.file_id, "src/main.py", "main.py", "text", "", {})
        assert await at.files.stat(ANN, WS, "") == Entry(WS, "", "", "directory", "", {})
        listing = await at.files.list(ANN, WS, "src")
        assert [(found.name, found.kind) for found in listing.entries] == [("deep", "directory"), ("main.py", "text")]
        assert listing.sequence == 14
        assert await at.text("src/main.py") == "this is src/main.py\n"


async def test_a_file_is_written_over_what_was_read_and_what_others_wrote_stays() -> None:
    async with shelf() as at:
        contents = await at.files.read(ANN, WS, "free")
        assert contents.text is not None
        await at.files.write(ANN, WS, "free", "FIRST\nthis is free\n", contents.text.version, at.series())
        written = await at.files.write(CID, WS, "free", "this is free\nLAST\n", contents.text.version, at.series())
        assert written == Written(contents.entry.file_id, Place(f"s{at.number}:1", 16, 3))
        assert await at.text("free") == "FIRST\nthis is free\nLAST\n"
        same = await at.files.write(CID, WS, "free", "FIRST\nthis is free\nLAST\n", 3, at.series())
        assert same.place is None


async def test_renaming_keeps_the_file() -> None:
    async with shelf() as at:
        before = await at.files.stat(ANN, WS, "src/deep/a.txt")
        place = await at.files.rename(ANN, WS, "src", "docs/source", at.series())
        assert place.server_sequence_id == 15
        after = await at.files.stat(ANN, WS, "docs/source/deep/a.txt")
        assert after.file_id == before.file_id
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.stat(ANN, WS, "src")
        await at.files.rename(ANN, WS, "docs/source/deep/a.txt", "b", at.series())
        assert await at.text("b") == "this is src/deep/a.txt\n"


async def test_a_name_that_is_taken_is_refused_or_given_up() -> None:
    async with shelf() as at:
        for target in ("docs", "src/main.py"):
            async with refused(Code.CONFLICT):
                await at.files.rename(ANN, WS, "free", target, at.series())
        async with refused(Code.CONFLICT):
            await at.files.create(ANN, WS, "free", "", at.series())
        async with refused(Code.CONFLICT):
            await at.files.mkdir(ANN, WS, "free", at.series())
        await at.files.rename(ANN, WS, "free", "src/main.py", at.series(), overwrite=True)
        assert await at.text("src/main.py") == "this is free\n"
        (old,) = (await at.files.trash(ANN, WS)).entries
        assert old.path == "src/main.py"
        await at.files.rename(ANN, WS, "src/main.py", "src/main.py", at.series(), overwrite=True)
        assert len((await at.files.trash(ANN, WS)).entries) == 1


async def test_case_is_changed_where_it_makes_no_difference() -> None:
    async with shelf(folds_case=True) as at:
        async with refused(Code.CONFLICT):
            await at.files.create(ANN, WS, "FREE", "", at.series())
        await at.files.rename(ANN, WS, "free", "Free", at.series(), overwrite=True)
        assert (await at.files.stat(ANN, WS, "FREE")).path == "Free"
        assert (await at.files.trash(ANN, WS)).entries == []


async def test_a_folder_does_not_go_into_itself() -> None:
    async with shelf() as at:
        for target in ("src/deep/x", "src/x"):
            async with refused(Code.INVALID_PATH):
                await at.files.rename(ANN, WS, "src", target, at.series())
        assert await at.paths() == ALL


async def test_what_is_deleted_comes_back() -> None:
    async with shelf() as at:
        file_id = (await at.files.stat(ANN, WS, "src")).file_id
        await at.files.delete(ANN, WS, "src", at.series())
        assert "src" not in await at.paths()
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.read(ANN, WS, "src/main.py")
        assert [entry.path for entry in (await at.files.trash(ANN, WS)).entries] == ["src"]
        await at.files.mkdir(ANN, WS, "src", at.series())
        await at.files.restore(ANN, WS, file_id, at.series())
        assert await at.text("src (2)/main.py") == "this is src/main.py\n"
        await at.files.delete(ANN, WS, "src (2)", at.series())
        await at.files.restore(ANN, WS, file_id, at.series(), target="docs/again")
        assert await at.text("docs/again/deep/a.txt") == "this is src/deep/a.txt\n"
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.restore(ANN, WS, "nothing", at.series())


async def test_a_copy_has_the_texts_and_is_one_operation() -> None:
    async with shelf() as at:
        made = await at.files.copy(ANN, WS, "src", "docs/copy", at.series())
        assert made.place is not None
        assert (await at.files.stat(ANN, WS, "docs/copy")).file_id == made.file_id
        assert await at.paths(path="docs/copy") == ["docs/copy/deep", "docs/copy/deep/a.txt", "docs/copy/main.py"]
        assert await at.text("docs/copy/deep/a.txt") == "this is src/deep/a.txt\n"
        single = await at.files.copy(ANN, WS, "free", "free too", at.series())
        assert await at.text("free too") == "this is free\n"
        assert single.file_id != (await at.files.stat(ANN, WS, "free")).file_id
        async with refused(Code.CONFLICT):
            await at.files.copy(ANN, WS, "free", "src", at.series())


@pytest.mark.parametrize(("limit", "most"), [("MAX_COPIED", 3), ("MAX_COPIED_LENGTH", 30)])
async def test_a_copy_has_bounds(limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shelf() as at:
        monkeypatch.setattr(file_system, limit, most)
        async with refused(Code.OPERATION_TOO_LARGE):
            await at.files.copy(ANN, WS, "src", "copy", at.series())
        assert await at.paths() == ALL


async def test_the_same_series_does_the_same_once() -> None:
    async with shelf() as at:
        one = await at.files.create(ANN, WS, "new", "text", "once")
        assert await at.files.create(ANN, WS, "new", "text", "once") == one
        assert await at.files.copy(ANN, WS, "new", "newer", "twice") == await at.files.copy(
            ANN, WS, "new", "newer", "twice"
        )
        deleted = await at.files.delete(ANN, WS, "new", "gone")
        assert await at.files.delete(ANN, WS, "new", "gone") == deleted
        assert [path for path in await at.paths() if path.startswith("new")] == ["newer"]


BAD = ["/", "/free", "free/", "a//b", ".", "..", "src/..", "src/./main.py", "a\0b", "x/" * 2_100 + "x"]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path[:12])
async def test_what_is_no_path(path: str) -> None:
    async with shelf() as at:
        files = at.files
        for act in (
            files.stat(ANN, WS, path),
            files.list(ANN, WS, path),
            files.read(ANN, WS, path),
            files.create(ANN, WS, path, "", "s"),
            files.write(ANN, WS, path, "", 0, "s"),
            files.mkdir(ANN, WS, path, "s"),
            files.rename(ANN, WS, path, "x", "s"),
            files.rename(ANN, WS, "free", path, "s"),
            files.delete(ANN, WS, path, "s"),
            files.copy(ANN, WS, path, "x", "s"),
            files.copy(ANN, WS, "free", path, "s"),
        ):
            async with refused(Code.INVALID_PATH):
                await act
        assert await at.paths() == ALL


async def test_names_that_cannot_be() -> None:
    async with shelf() as at:
        for name in (".git", ".GIT", "x" * 256, "src/.git"):
            async with refused(Code.INVALID_PAYLOAD):
                await at.files.mkdir(ANN, WS, name, at.series())
        assert await at.paths() == ALL


async def test_the_top_stays_where_it_is() -> None:
    async with shelf() as at:
        for act in (at.files.delete(ANN, WS, "", "s"), at.files.rename(ANN, WS, "", "x", "s")):
            async with refused(Code.INVALID_PATH):
                await act


async def test_a_folder_is_no_file_and_a_file_no_folder() -> None:
    async with shelf() as at:
        async with refused(Code.INVALID_PATH):
            await at.files.list(ANN, WS, "free")
        async with refused(Code.INVALID_PATH):
            await at.files.read(ANN, WS, "src")
        async with refused(Code.NOT_A_TEXT):
            await at.files.write(ANN, WS, "src", "x", 0, at.series())
        async with refused(Code.INVALID_PATH):
            await at.files.mkdir(ANN, WS, "free/x", at.series())
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.mkdir(ANN, WS, "nothing/x", at.series())
        async with refused(Code.FILE_TOO_LARGE):
            await at.files.create(ANN, WS, "long", "x" * 1_001, at.series())


async def test_what_is_closed_to_somebody_is_not_there_and_what_they_read_stays() -> None:
    async with shelf() as at:
        assert await at.paths(CID) == [path for path in ALL if not path.startswith("secret")]
        for path in ("secret", "secret/key"):
            for act in (
                at.files.stat(CID, WS, path),
                at.files.read(CID, WS, path),
                at.files.delete(CID, WS, path, at.series()),
                at.files.rename(CID, WS, path, "mine", at.series()),
                at.files.copy(CID, WS, path, "mine", at.series()),
            ):
                async with refused(Code.FILE_NOT_FOUND):
                    await act
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.create(CID, WS, "secret/mine", "", at.series())
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.mkdir(CID, WS, "secret", at.series())
        for act in (
            at.files.delete(CID, WS, "docs/read.me", at.series()),
            at.files.write(CID, WS, "docs/read.me", "", 1, at.series()),
            at.files.rename(CID, WS, "free", "docs/free", at.series()),
        ):
            async with refused(Code.PERMISSION_DENIED):
                await act
        assert await at.text("docs/read.me", CID) == "this is docs/read.me\n"
        await at.files.delete(ANN, WS, "secret/key", at.series())
        assert (await at.files.trash(CID, WS)).entries == []


async def test_only_what_is_on_disk_is_seen() -> None:
    async with shelf() as at:
        at.server.log.hold()
        making = asyncio.create_task(at.files.mkdir(ANN, WS, "new", at.series()))
        await at.waiting(1)
        looking = asyncio.create_task(at.files.stat(ANN, WS, "new"))
        missing = asyncio.create_task(at.files.stat(ANN, WS, "nothing"))
        await at.waiting(3)
        assert not making.done()
        assert not looking.done()
        assert not missing.done()
        at.server.log.fail(written=False)
        for task in (making, looking, missing):
            async with refused(Code.STORAGE_UNAVAILABLE):
                await task
        assert await at.paths() == ALL


async def test_properties_are_kept() -> None:
    async with shelf() as at:
        properties = {"eol": "crlf", "mode": "755"}
        await at.files.create(ANN, WS, "run.bat", "echo\r\n", at.series(), properties=properties)
        assert (await at.files.stat(ANN, WS, "run.bat")).properties == properties
        assert await at.text("run.bat") == "echo\n"
        await at.files.copy(ANN, WS, "run.bat", "run2.bat", at.series())
        assert (await at.files.stat(ANN, WS, "run2.bat")).properties == properties


async def test_saving_returns_when_the_disk_has_a_snapshot() -> None:
    async with shelf() as at:
        file_id = (await at.files.stat(ANN, WS, "free")).file_id
        assert await at.files.save(ANN, WS, "free") == 14
        key = next(file.key for file in at.storage._by_id[WS].files if file.file_id == file_id)
        newest = await at.storage.newest(key)
        assert newest is not None
        assert (newest.sequence, newest.content) == (14, "this is free\n")
        assert at.storage._by_id[WS].covered == 0
        assert await at.files.save(ANN, WS, "") == 14
        session = at.server.collaboration.router.sessions[WS]
        assert session.covered() == 14
        assert await at.files.save(ANN, WS, "") == 14


async def test_saving_after_a_restart_saves_what_nobody_has_opened() -> None:
    async with shelf() as at:
        await at.server.kill()
        at.server = Server(at.storage, limits=Limits(file_length=1_000), rights=Ruled(RULES))
        at.files = FileSystem(at.server.collaboration, at.blobs)
        assert await at.files.save(ANN, WS, "") == 14
        assert at.server.collaboration.router.sessions[WS].covered() == 14


async def test_saving_says_so_where_it_cannot_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shelf() as at:

        async def fails(*_: object, **__: object) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patch:
            patch.setattr(at.storage, "save", fails)
            async with refused(Code.STORAGE_UNAVAILABLE):
                await at.files.save(ANN, WS, "free")
        await at.files.save(ANN, WS, "free")
        async with refused(Code.NOT_A_TEXT):
            await at.files.save(ANN, WS, "src")
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.save(CID, WS, "secret/key")


@pytest.mark.parametrize("which", ["bytes", "log"])
async def test_files_and_their_texts_are_there_together_or_not_at_all_where_there_is_no_room(which: str) -> None:
    """Whatever is counted is counted before anything is done: a text and what is no text, and the log."""
    async with shelf() as one:
        before = await one.paths()
        session = await one.server.collaboration.router.session(WS)
        if which == "bytes":
            session.room = Room(1_000, None, 0, lambda: None)
            new = [NewFile("new/text", "file", b"a" * 600), NewFile("new/binary", "file", b"\0" * 600)]
            with pytest.raises(CoscribeError) as refused:
                await one.files.import_files(ANN, WS, new, one.series())
            assert refused.value.code is Code.QUOTA_EXCEEDED
            assert [path for path in await one.paths() if not path.endswith("new")] == before
        else:
            session.quotas = session.quotas._replace(log_bytes=session.log_bytes + 1)
            await one.files.create(ANN, WS, "new", "a" * 600, one.series())
            assert await one.text("new") == "a" * 600
            with pytest.raises(CoscribeError) as refused:
                await one.files.create(ANN, WS, "newer", "a", one.series())
            assert refused.value.code is Code.QUOTA_EXCEEDED
            assert "newer" not in await one.paths()
