"""Editing and reading without having the file open: `Collaboration.edit`, `text` and `replace_text`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import collaboration as collaboration_module
from coscribe.documents import past
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.differences import Edits, edits_between
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity, StorageError
from coscribe.model import LogEntry
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Place, Role
from tests.contracts.conversations import Rights, Server

FOREVER = 60.0
"""Seconds no test needs."""

ANN = Identity("ann", "Ann", "#000000", "editor", account="ann")
BOB = Identity("bob", "Bob", "#000000", "editor", account="bob")


class Shared(Rights):
    """Rights that can be held back; ``asked`` tells that somebody waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failure: Exception | None = None

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        role = await super().role(identity, file_id)
        self.asked.set()
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return role


class Desk:
    """A server with one empty file, and people who edit it without a socket."""

    def __init__(self, limits: Limits | None) -> None:
        self.rights = Shared()
        self.storage = MemoryStorage()
        self.server = Server(self.storage, limits=limits, rights=self.rights)

    @property
    def documents(self) -> Collaboration:
        return self.server.collaboration

    async def insert(self, text: str, base: int, name: str, *, position: int = 0, who: Identity = ANN) -> list[Place]:
        return await self.documents.edit(who, insertion(text, base, name, position, who.user_id))

    async def waiting(self, count: int) -> None:
        """Returns when so many wait for a commit that is held."""
        sessions = self.documents.router.sessions
        while sum(len(session._undecided) for session in sessions.values()) < count:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)

    async def log(self) -> list[LogEntry]:
        return await self.storage.read(1, 0, through=10**9, limit=10**9)


def insertion(text: str, base: int, name: str, position: int = 0, user: str = "ann") -> messages.Operation:
    return messages.Operation("notes", name, user, base, "insert", position, text)


@asynccontextmanager
async def desk(limits: Limits | None = None) -> AsyncIterator[Desk]:
    async with asyncio.timeout(FOREVER):
        at = Desk(limits)
        await at.storage.create("notes", "notes", "notes", 0)
        yield at
        at.server.log.release()
        await at.server.stop()


@asynccontextmanager
async def refused(code: Code) -> AsyncIterator[None]:
    with pytest.raises(CoscribeError) as error:
        yield
    assert error.value.code is code


# ---- edit


async def test_an_edit_returns_its_place_once_it_is_on_disk() -> None:
    async with desk() as at:
        assert await at.insert("world", 0, "a:1") == [Place("a:1", 1, 1)]
        at.server.log.hold()
        edit = asyncio.create_task(at.insert("Hello ", 1, "a:2"))
        await at.waiting(1)
        assert not edit.done()
        at.server.log.release()
        assert await edit == [Place("a:2", 2, 2)]
        assert await at.documents.text(ANN, "notes") == TextAt("Hello world", 2, 2)
        assert [entry.author for entry in await at.log()] == ["ann", "ann"]


async def test_a_chain_is_one_edit_with_several_places() -> None:
    async with desk() as at:
        elements = [messages.ChainElement(f"a:{number}", "insert", 0, f"{number}") for number in (1, 2, 3)]
        chain = messages.Chain("notes", "ann", 0, elements)
        places = [Place(f"a:{number}", number, number) for number in (1, 2, 3)]
        assert await at.documents.edit(ANN, chain) == places
        assert await at.documents.edit(ANN, chain) == places
        assert (await at.documents.text(ANN, "notes")).text == "321"


async def test_an_old_base_is_rebased_over_the_log() -> None:
    async with desk(Limits(window_operations=4)) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await at.insert("|", 2, "late:1", position=2)
        assert (await at.documents.text(ANN, "notes")).text == "a" * 20 + "|"


async def test_a_duplicate_has_its_first_place_whatever_has_become_of_the_right_to_write() -> None:
    async with desk(Limits(window_operations=2)) as at:
        for number in range(6):
            await at.insert("a", number, f"a:{number + 1}")
        at.rights.roles["ann", "notes"] = "viewer"
        for number in (0, 5):
            assert await at.insert("a", number, f"a:{number + 1}") == [Place(f"a:{number + 1}", number + 1, number + 1)]
            again = insertion("a", number, f"a:{number + 1}")
            assert await at.documents.edit(ANN, again, within_rate=False) == [
                Place(f"a:{number + 1}", number + 1, number + 1)
            ]
        async with refused(Code.PERMISSION_DENIED):
            await at.insert("a", 6, "a:7")
        assert len(await at.log()) == 6


async def test_a_duplicate_of_what_is_on_its_way_waits_for_it() -> None:
    async with desk() as at:
        await at.insert("a", 0, "a:1")
        at.server.log.hold()
        edits = [asyncio.create_task(at.insert("b", 1, "a:2")) for _ in range(2)]
        await at.waiting(2)
        assert not any(edit.done() for edit in edits)
        at.server.log.release()
        assert await asyncio.gather(*edits) == [[Place("a:2", 2, 2)]] * 2
        assert len(await at.log()) == 2


@pytest.mark.parametrize("written", [False, True])
async def test_a_commit_of_unknown_outcome_is_said_and_the_same_may_be_sent_again(written: bool) -> None:
    async with desk() as at:
        await at.insert("a", 0, "a:1")
        at.server.log.fail(written=written)
        async with refused(Code.STORAGE_UNAVAILABLE):
            await at.insert("b", 1, "a:2")
        assert await at.insert("b", 1, "a:2") == [Place("a:2", 2, 2)]
        assert len(await at.log()) == 2


async def test_what_is_refused() -> None:
    async with desk() as at:
        at.rights.roles["bob", "notes"] = None
        one_workspace = ANN._replace(workspace="other")
        for who, message, within_rate, code in (
            (ANN, insertion("x", 0, "b:1", user="bob"), True, Code.USER_MISMATCH),
            (BOB, insertion("x", 0, "b:1", user="bob"), True, Code.FILE_NOT_FOUND),
            (one_workspace, insertion("x", 0, "a:1"), True, Code.FILE_NOT_FOUND),
            (ANN, insertion("x", 0, "a:1"), False, Code.RATE_LIMITED),
            (ANN, insertion("x", 1, "a:1"), True, Code.BASE_VERSION_FUTURE),
            (ANN, insertion("x", 0, "a:1", 1), True, Code.POSITION_OUT_OF_RANGE),
            (ANN, messages.Operation("nowhere", "a:1", "ann", 0, "insert", 0, "x"), True, Code.FILE_NOT_FOUND),
            (ANN, messages.Operation("../x", "a:1", "ann", 0, "insert", 0, "x"), True, Code.INVALID_FILE_ID),
        ):
            async with refused(code):
                await at.documents.edit(who, message, within_rate=within_rate)
        at.rights.failure = StorageError("the disk is gone")
        async with refused(Code.STORAGE_UNAVAILABLE):
            await at.insert("x", 0, "a:1")
        assert await at.log() == []


@pytest.mark.parametrize(("now", "code"), [(None, Code.FILE_NOT_FOUND), ("viewer", Code.PERMISSION_DENIED)])
async def test_a_role_from_before_a_change_decides_nothing(now: Role | None, code: Code) -> None:
    async with desk() as at:
        at.rights.go_on.clear()
        edit = asyncio.create_task(at.insert("x", 0, "a:1"))
        await at.rights.asked.wait()
        at.rights.roles["ann", "notes"] = now
        at.documents.rights_changed()
        at.rights.go_on.set()
        async with refused(code):
            await edit
        assert await at.log() == []


async def test_a_role_from_before_a_change_decides_nothing_while_storage_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with desk() as at:
        await at.insert("x", 0, "a:1")
        at.documents.router.drop(at.documents.router.sessions["notes"])
        find = at.storage.find

        async def finds(workspace_key: int, operation_id: str) -> object:
            at.rights.roles["ann", "notes"] = "viewer"
            at.documents.rights_changed()
            return await find(workspace_key, operation_id)

        monkeypatch.setattr(at.storage, "find", finds)
        async with refused(Code.PERMISSION_DENIED):
            await at.insert("x", 1, "new:1")
        assert len(await at.log()) == 1


# ---- text


async def test_every_version_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """From memory, from the log, over pages, and over operations that came to nothing."""
    monkeypatch.setattr(past, "VERSIONS", 7)
    monkeypatch.setattr(past, "PAGE", 5)
    random = Random(7)
    async with desk(Limits(window_operations=10)) as at:
        texts = [""]
        for number in range(60):
            old = texts[-1]
            position = random.randint(0, len(old))
            edits: Edits = [
                (position, random.randint(0, min(3, len(old) - position)), random.choice(["", "a🙂", "bcd"]))
            ]
            if number % 4 == 3:
                edits = [(0, min(1, len(old)), "<"), (len(old), 0, ">")]
            await at.documents.edit(
                ANN, messages.Operation("notes", f"a:{number + 1}", "ann", len(texts) - 1, "batch", 0, edits)
            )
            now = await at.documents.text(ANN, "notes")
            if now.version == len(texts):
                texts.append(now.text)
            if number % 5 == 0:
                for count in range(8):
                    nothing = messages.Operation(
                        "notes", f"n{number}:{count + 1}", "ann", len(texts) - 1, "batch", 0, []
                    )
                    await at.documents.edit(ANN, nothing)
        log = await at.log()
        for version, text in enumerate(texts):
            found = await at.documents.text(ANN, "notes", version)
            assert (found.text, found.version) == (text, version)
            last = max((entry.version for entry in log if entry.sequence <= found.sequence), default=0)
            assert last == version, "it had this text at that sequence"
        for version in (-1, len(texts)):
            async with refused(Code.BASE_VERSION_FUTURE):
                await at.documents.text(ANN, "notes", version)


async def test_a_text_right_after_loading_is_found_while_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(Limits(window_operations=4)) as at:
        for number in range(10):
            await at.insert("a", number, f"a:{number + 1}")
        await at.documents.snapshots.unload(at.documents.router.sessions["notes"])
        assert "notes" not in at.documents.router.sessions
        read_versions = at.storage.read_versions

        async def meanwhile(file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
            await at.insert("b", 10, "a:11")
            return await read_versions(file_key, after_version, through, limit)

        monkeypatch.setattr(at.storage, "read_versions", meanwhile)
        assert (await at.documents.text(ANN, "notes", 2)).text == "aa"
        assert len(await at.log()) == 11


async def test_a_version_too_far_back_is_refused() -> None:
    async with desk(Limits(rebase_steps=5)) as at:
        for number in range(8):
            await at.insert("a", number, f"a:{number + 1}")
        assert (await at.documents.text(ANN, "notes", 3)).text == "aaa"
        async with refused(Code.BASE_VERSION_TOO_OLD):
            await at.documents.text(ANN, "notes", 2)


async def test_nothing_is_shown_that_is_not_on_disk() -> None:
    async with desk() as at:
        await at.insert("a", 0, "a:1")
        at.server.log.hold()
        edit = asyncio.create_task(at.insert("b", 1, "a:2"))
        await at.waiting(1)
        reads = [asyncio.create_task(at.documents.text(ANN, "notes", version)) for version in (None, 1, 2)]
        await at.waiting(4)
        assert not any(read.done() for read in reads)
        at.server.log.fail(written=False)
        for waiting in (edit, *reads):
            async with refused(Code.STORAGE_UNAVAILABLE):
                await waiting
        assert (await at.documents.text(ANN, "notes")).text == "a"


async def test_who_loses_access_while_it_is_read_does_not_get_it() -> None:
    async with desk() as at:
        await at.insert("a", 0, "a:1")
        at.server.log.hold()
        edit = asyncio.create_task(at.insert("b", 1, "a:2"))
        await at.waiting(1)
        read = asyncio.create_task(at.documents.text(BOB, "notes"))
        await at.waiting(2)
        at.rights.roles["bob", "notes"] = None
        at.documents.rights_changed()
        at.server.log.release()
        async with refused(Code.FILE_NOT_FOUND):
            await read
        await edit


async def test_a_log_that_does_not_lead_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(Limits(window_operations=4)) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        rows = at.storage._by_key[1].entries
        kept = rows[9]
        for damage in (
            kept._replace(payload=b"nonsense"),
            kept._replace(payload=b'[["b"],[]]'),
            kept._replace(version=9),
        ):
            rows[9] = damage
            async with refused(Code.FILE_DAMAGED):
                await at.documents.text(ANN, "notes", 2)
        rows[9] = kept
        assert (await at.documents.text(ANN, "notes", 2)).text == "aa"


# ---- replace_text


async def test_a_text_is_replaced_by_what_differs() -> None:
    async with desk() as at:
        assert await at.documents.replace_text(ANN, "notes", 0, "one\r\ntwo 🙂\rthree", "r:1") == Place("r:1", 1, 1)
        assert (await at.documents.text(ANN, "notes")).text == "one\ntwo 🙂\nthree"
        await at.insert("zero\n", 1, "b:1", who=BOB)
        assert await at.documents.replace_text(ANN, "notes", 1, "one\ntwo 🙂🙃\nTHREE", "r:2") == Place("r:2", 3, 3)
        assert (await at.documents.text(ANN, "notes")).text == "zero\none\ntwo 🙂🙃\nTHREE", "bob's line stays"
        assert [entry.base_version for entry in await at.log()] == [0, 1, 1]


async def test_nothing_differs() -> None:
    async with desk() as at:
        await at.insert("a\nb", 0, "a:1")
        assert await at.documents.replace_text(ANN, "notes", 1, "a\r\nb", "r:1") is None
        assert len(await at.log()) == 1


async def test_the_same_request_again_has_its_first_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the difference is found otherwise the second time, and the right to write is gone."""
    async with desk() as at:
        await at.insert("some text", 0, "a:1")
        first = await at.documents.replace_text(ANN, "notes", 1, "Some Text", "r:1")
        monkeypatch.setattr(collaboration_module, "edits_between", lambda *_: [(0, 9, "Some Text")])
        at.rights.roles["ann", "notes"] = "viewer"
        assert await at.documents.replace_text(ANN, "notes", 1, "Some Text", "r:1") == first == Place("r:1", 2, 2)
        async with refused(Code.PERMISSION_DENIED):
            await at.documents.replace_text(ANN, "notes", 1, "another", "r:2")
        assert len(await at.log()) == 2


async def test_the_same_request_twice_at_once_with_two_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as at:
        await at.insert("some text", 0, "a:1")
        found = iter([[(0, 1, "S")], [(0, 4, "Some")]])
        monkeypatch.setattr(collaboration_module, "edits_between", lambda *_: next(found))
        requests = [at.documents.replace_text(ANN, "notes", 1, "Some text", "r:1") for _ in range(2)]
        assert await asyncio.gather(*requests) == [Place("r:1", 2, 2)] * 2
        assert (await at.documents.text(ANN, "notes")).text == "Some text"


async def test_an_id_of_somebody_else_is_no_place_of_ours() -> None:
    async with desk() as at:
        await at.insert("some text", 0, "b:1", who=BOB)
        async with refused(Code.OPERATION_ID_REUSED):
            await at.documents.replace_text(ANN, "notes", 1, "Some text", "b:1")


async def test_texts_that_cannot_be() -> None:
    async with desk(Limits(file_length=100, operation_length=50)) as at:
        for text, code in (
            ("a\0b", Code.INVALID_TEXT),
            ("a\ud83d", Code.INVALID_TEXT),
            ("x" * 101, Code.FILE_TOO_LARGE),
            ("x" * 51, Code.OPERATION_TOO_LARGE),
        ):
            async with refused(code):
                await at.documents.replace_text(ANN, "notes", 0, text, "r:1")
        async with refused(Code.BASE_VERSION_FUTURE):
            await at.documents.replace_text(ANN, "notes", 1, "x", "r:1")
        async with refused(Code.INVALID_OPERATION_ID):
            await at.documents.replace_text(ANN, "notes", 0, "x", "two words")
        assert await at.log() == []


async def test_more_differences_than_an_operation_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as at:
        old = "".join(f"{'-' * 30}{number}\n" for number in range(40))
        new = old.replace("0\n", "zero\n").replace("5\n", "five\n")
        assert len(edits_between(old, new, 100)) > 4
        await at.documents.replace_text(ANN, "notes", 0, old, "r:1")
        monkeypatch.setattr(codec, "MAX_BATCH_EDITS", 3)
        assert await at.documents.replace_text(ANN, "notes", 1, new, "r:2") == Place("r:2", 2, 2)
        assert (await at.documents.text(ANN, "notes")).text == new
