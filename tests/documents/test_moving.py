"""A workspace goes to another instance: handed over, or lost. Whoever has it open learns that, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import collaboration as collaboration_module
from coscribe.documents.collaboration import Membership
from coscribe.documents.ports import Identity
from coscribe.documents.session import Evidence
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from coscribe.protocol.messages import Place
from tests.contracts.conversations import Server
from tests.documents.test_recovery import Recorder

FOREVER = 60.0
ANN = Identity("ann", "Ann", "#000000", "editor", account="ann")
TREE = "tree"


class Table:
    """Implements `Owning`: what this instance owns, and hands over."""

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.leaving: set[str] = set()

    def owns(self, workspace_id: str) -> bool:
        return workspace_id not in self.lost | self.leaving

    def holds(self, workspace_id: str) -> bool:
        return workspace_id not in self.lost


class Instance:
    """A server, and what it owns."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.table = Table()
        self.server = Server(storage, owning=self.table)
        self.collaboration = self.server.collaboration
        self.log = self.server.log

    async def joined(self, file_id: str = "notes") -> tuple[Membership, Recorder]:
        recorder = Recorder()
        member = await self.collaboration.join(ANN, "c1", messages.Join(file_id), recorder)
        snapshot = await recorder.until(lambda frame: isinstance(frame, messages.Snapshot | messages.TreeSnapshot))
        assert isinstance(snapshot, messages.Snapshot | messages.TreeSnapshot)
        self.collaboration.snapshot_applied(member, snapshot.snapshot_sequence_id)
        await recorder.until(lambda frame: isinstance(frame, messages.Live))
        return member, recorder

    async def insert(self, text: str, name: str, base: int = 0, file_id: str = "notes") -> list[Place]:
        return await self.collaboration.edit(ANN, insertion(text, name, base, file_id))

    async def waiting(self, count: int = 1) -> None:
        """Returns when so many wait for a commit that is held."""
        sessions = self.collaboration.router.sessions
        while sum(len(session._undecided) for session in sessions.values()) < count:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)

    async def hand_over(self, *workspaces: str) -> None:
        self.table.leaving |= set(workspaces)
        await self.collaboration.hand_over(self.table.owns)
        self.table.lost |= set(workspaces)


def insertion(text: str, name: str, base: int, file_id: str = "notes") -> messages.Operation:
    return messages.Operation(file_id, name, "ann", base, "insert", 0, text)


@asynccontextmanager
async def instances() -> AsyncIterator[tuple[Instance, Instance]]:
    """Two on one storage; the first one owns everything."""
    async with asyncio.timeout(FOREVER):
        storage = MemoryStorage()
        for name in ("notes", "plans"):
            await storage.create(name, name, name, 0)
        await storage.create_tree(TREE, 0)
        one, other = Instance(storage), Instance(storage)
        other.table.lost |= {"notes", "plans", TREE}
        yield one, other
        for each in (one, other):
            each.log.release()
            await each.server.stop()


@asynccontextmanager
async def refused(code: Code) -> AsyncIterator[None]:
    with pytest.raises(CoscribeError) as error:
        yield
    assert error.value.code is code


async def test_what_is_not_owned_is_neither_loaded_nor_shown() -> None:
    async with instances() as (one, other):
        await one.insert("a", "a:1")
        workspace = await one.server.log.inner.acquire("plans")
        assert workspace is not None
        for attempt in (
            other.joined(),
            other.insert("b", "b:1"),
            other.collaboration.text(ANN, "notes"),
            other.collaboration.save(ANN, "notes"),
            other.collaboration.watch(ANN, TREE),
            other.collaboration.present(ANN, TREE, with_nodes=False),
            other.collaboration.committed(ANN, "notes", "a:1"),
        ):
            async with refused(Code.MOVED):
                await attempt
        await one.insert("b", "a:2", 1)
        assert other.collaboration.router.sessions == {}, "and the epoch of the owner stays as it is"


async def test_a_workspace_that_is_lost_while_it_is_loaded_is_not_there() -> None:
    async with instances() as (one, _):
        loading = asyncio.create_task(one.collaboration.text(ANN, "notes"))
        while not one.collaboration.router._loading:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)
        one.table.lost.add("notes")
        async with refused(Code.MOVED):
            await loading
        assert one.collaboration.router.sessions == {}


async def test_handing_over_commits_and_shows_what_was_taken_in_and_takes_nothing_more_in() -> None:
    async with instances() as (one, other):
        member, recorder = await one.joined()
        await one.insert("kept", "p:1", file_id="plans")
        one.log.hold()
        edit = asyncio.create_task(one.insert("a", "a:1"))
        await one.waiting()
        handing = asyncio.create_task(one.hand_over("notes"))
        while not member.session.moving:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)
        async with refused(Code.MOVED):
            one.collaboration.submit(member, insertion("b", "a:2", 0), Evidence(), within_rate=True)
        async with refused(Code.MOVED):
            await one.joined()
        one.log.release()
        await handing
        assert await edit == [Place("a:1", 1, 1)]
        assert any(isinstance(frame, messages.Committed) for frame in recorder.frames)
        assert recorder.evicted is not None
        assert recorder.evicted.code is Code.MOVED
        assert set(one.collaboration.router.sessions) == {"plans"}
        other.table.lost.clear()
        snapshot = await one.log.inner.newest(member.file.file_key)
        assert snapshot is not None
        assert (snapshot.content, snapshot.sequence) == ("a", 1)
        assert (await other.collaboration.text(ANN, "notes")).text == "a"
        await one.insert("also ", "p:2", 1, "plans")


async def test_a_duplicate_is_acknowledged_while_it_is_handed_over() -> None:
    async with instances() as (one, _):
        member, recorder = await one.joined()
        await one.insert("a", "a:1")
        one.log.hold()
        edit = asyncio.create_task(one.insert("b", "a:2", 1))
        await one.waiting()
        handing = asyncio.create_task(one.hand_over("notes"))
        while not member.session.moving:  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0)
        one.collaboration.submit(member, insertion("a", "a:1", 0), Evidence(), within_rate=True)
        one.log.release()
        await asyncio.gather(handing, edit)
        acks = [frame for frame in recorder.frames if isinstance(frame, messages.Ack)]
        assert [place.operation_id for ack in acks for place in ack.operations] == ["a:1"]


async def test_a_tree_is_handed_over_with_its_texts_and_those_who_watch_it() -> None:
    async with instances() as (one, other):
        edits: list[messages.TreeEdit] = [messages.CreateNode(TREE, "a.txt", "text")]
        member, recorder = await one.joined(TREE)
        watch = await one.collaboration.watch(ANN, TREE)
        one.collaboration.change_tree(
            member, messages.TreeOperation(TREE, "t:1", "ann", edits), Evidence(), within_rate=True
        )
        await one.hand_over(TREE)
        assert recorder.evicted is not None
        assert recorder.evicted.code is Code.MOVED
        async with refused(Code.MOVED):
            await watch.next()
        watch.close()
        other.table.lost.clear()
        assert (await other.collaboration.present(ANN, TREE, with_nodes=True)).sequence == 1


async def test_a_disk_that_hangs_holds_a_hand_over_up_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collaboration_module, "FLUSH_SECONDS", 0.01)
    async with instances() as (one, _):
        _, recorder = await one.joined()
        one.log.hold()
        edit = asyncio.create_task(one.insert("a", "a:1"))
        await one.waiting()
        await one.hand_over("notes")
        assert recorder.evicted is not None
        async with refused(Code.STORAGE_UNAVAILABLE):
            await edit
        one.log.release()


async def test_at_the_fence_all_goes_at_once() -> None:
    async with instances() as (one, _):
        _, recorder = await one.joined()
        await one.insert("kept", "p:1", file_id="plans")
        one.log.hold()
        edit = asyncio.create_task(one.insert("a", "a:1"))
        await one.waiting()
        one.table.lost.add("notes")
        one.collaboration.drop_unowned()
        assert recorder.evicted is not None
        assert recorder.evicted.code is Code.MOVED
        async with refused(Code.STORAGE_UNAVAILABLE):
            await edit
        assert set(one.collaboration.router.sessions) == {"plans"}
        one.log.release()


async def test_a_reader_who_waited_while_it_was_lost_is_shown_nothing() -> None:
    """Nothing was written, so the fence has said nothing: what is shown goes by the committer all the same."""
    async with instances() as (one, other):
        await one.insert("a", "a:1")
        one.log.hold()
        edit = asyncio.create_task(one.insert("x", "p:1", file_id="plans"))
        await one.waiting()
        reader = asyncio.create_task(one.collaboration.text(ANN, "notes"))
        await one.waiting(2)
        other.table.lost.clear()
        one.table.lost.add("notes")
        await other.insert("b", "b:1", 1)
        one.log.release()
        await edit
        async with refused(Code.STORAGE_UNAVAILABLE):
            await reader
        async with refused(Code.MOVED):
            await one.collaboration.text(ANN, "notes")


async def test_a_writer_whom_the_fence_refuses_is_told_that_it_has_moved() -> None:
    async with instances() as (one, other):
        _, recorder = await one.joined()
        one.log.hold()
        edit = asyncio.create_task(one.insert("a", "a:1"))
        await one.waiting()
        other.table.lost.clear()
        await other.insert("b", "b:1")
        one.table.lost.add("notes")
        one.log.release()
        async with refused(Code.STORAGE_UNAVAILABLE):
            await edit
        assert recorder.evicted is not None
        assert recorder.evicted.code is Code.MOVED
        assert (await other.collaboration.text(ANN, "notes")).text == "b"


async def test_whoever_may_not_join_is_not_told_fates_that_another_instance_knows() -> None:
    async with instances() as (one, other):
        await one.insert("a", "a:1")
        other.server.rights.roles["ann", "notes"] = None
        async with refused(Code.MOVED):
            await other.collaboration.join(ANN, "c1", messages.Join("notes", in_flight=["a:1"]), Recorder())


@asynccontextmanager
async def one_is_overtaken() -> AsyncIterator[tuple[Instance, messages.Have]]:
    """It takes itself for the owner, and has the first of three entries; with what a client has that has seen all."""
    async with instances() as (one, other):
        await one.insert("c", "ann:1")
        other.table.lost.clear()
        for base, name in enumerate(("ann:2", "ann:3"), 1):
            await other.insert("x", name, base)
        _, recorder = await other.joined()
        shown = next(frame for frame in recorder.frames if isinstance(frame, messages.Snapshot))
        yield (
            one,
            messages.Have(shown.incarnation, shown.snapshot_sequence_id, shown.chain_hash, shown.snapshot_version),
        )


async def test_an_owner_that_is_told_of_what_it_does_not_know_looks_whether_it_was_overtaken() -> None:
    async with one_is_overtaken() as (one, _):
        places = await one.insert("z", "ann:4", base=3)
        assert [(place.server_sequence_id, place.document_version) for place in places] == [(4, 4)]
        assert (await one.collaboration.text(ANN, "notes")).text == "zxxc"


async def test_who_joins_with_more_than_an_overtaken_owner_knows_goes_on_from_there() -> None:
    async with one_is_overtaken() as (one, have):
        recorder = Recorder()
        await one.collaboration.join(ANN, "c1", messages.Join("notes", have=have), recorder)
        live = await recorder.until(lambda frame: isinstance(frame, messages.Live | messages.Snapshot))
        assert isinstance(live, messages.Live)


async def test_a_base_that_nobody_has_seen_stays_refused() -> None:
    async with instances() as (one, _):
        await one.insert("c", "ann:1")
        epoch = one.collaboration.router.sessions["notes"].workspace.epoch
        with pytest.raises(CoscribeError) as refused:
            await one.insert("z", "ann:2", base=2)
        assert refused.value.code is Code.BASE_VERSION_FUTURE
        assert one.collaboration.router.sessions["notes"].workspace.epoch == epoch
