"""Two instances that each have documents in memory, and do things with all of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import msgspec
import pytest

from coscribe.cluster import relay as relaying
from coscribe.cluster.answering import Answering
from coscribe.cluster.errands import KIND, Errands, doing
from coscribe.cluster.everywhere import PURGE, Everywhere, errands_in
from coscribe.cluster.links import Links
from coscribe.cluster.memory_bus import MemoryNetwork
from coscribe.cluster.part import part_of
from coscribe.cluster.relay import Elsewhere
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.collaboration import ITSELF, Collaboration
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity, StorageError
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import RoleOfToken
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol.messages import Operation

ADA = Identity("ada", "Ada", "#111111", "editor", credential=ITSELF)


class Split:
    """`Owners`: what begins with the name of an instance is its own."""

    def __init__(self, here: str) -> None:
        self.here = here
        self.nobody = False

    def owner_of(self, workspace_id: str) -> str | None:
        return None if self.nobody else workspace_id.partition("-")[0]

    def owns(self, workspace_id: str) -> bool:
        return self.owner_of(workspace_id) == self.here

    def holds(self, workspace_id: str) -> bool:
        return self.owns(workspace_id)

    async def look_again(self) -> None:
        """It stays as it is."""


class Instance:
    def __init__(self, name: str, network: MemoryNetwork, storage: MemoryStorage) -> None:
        ticks = itertools.count(1)
        self.collaboration = Collaboration(
            storage,
            storage,
            RoleOfToken(),
            limits=Limits(),
            policy=SnapshotPolicy(),
            max_backlog=1_000,
            clock=lambda: next(ticks),
            now=lambda: next(ticks) / 2,
            salts=lambda count: [bytes(16)] * count,
        )
        self.owners = Split(name)
        self.links = Links(network.bus(name), name)
        app = doing({**errands_in(self.collaboration, self._purge), "fail": self._fail, "break": self._break})
        answering = Answering(KIND, app, self.owners.owns)
        self.links.serve(KIND, answering.serve)
        self.errands = Errands(
            Elsewhere(name, KIND, app, self.owners, _itself, tuple, self.links, lambda: next(ticks) / 2)
        )
        self.everywhere = Everywhere(self.collaboration, part_of(self.owners, self.errands))
        self.purged: list[str] = []

    async def _purge(self, document_id: str) -> None:
        self.purged.append(document_id)

    async def _fail(self, asked: bytes) -> bytes:
        raise RuntimeError("planted")

    async def _break(self, asked: bytes) -> bytes:
        raise StorageError("planted")


async def _itself(file_id: str) -> str:
    return file_id


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Instance, Instance]]:
    monkeypatch.setattr(relaying, "AGAIN_SECONDS", 0)
    network, storage = MemoryNetwork(), MemoryStorage()
    for name in ("a-notes", "b-notes"):
        await storage.create(name, name, name, 1)
    one, other = Instance("a", network, storage), Instance("b", network, storage)
    for each in (one, other):
        await each.links.start()
    yield one, other
    for each in (one, other):
        await each.collaboration.drain()
        each.links.stop()


def typed(document_id: str, number: int, text: str, base_version: int = 0) -> Operation:
    return Operation(document_id, f"s:{number}", "ada", base_version, "insert", 0, text)


async def test_whose_it_is_makes_no_difference(pair: tuple[Instance, Instance]) -> None:
    one, other = pair
    for number, document_id in enumerate(("a-notes", "b-notes"), 1):
        message = typed(document_id, number, "hello " * 20_000)
        places = await one.everywhere.edit(ADA, message)
        assert [(place.operation_id, place.document_version) for place in places] == [(f"s:{number}", 1)]
        assert await one.everywhere.edit(ADA, message) == places, "the same again is where it was"
        assert await one.everywhere.text(ADA, document_id) == await other.everywhere.text(ADA, document_id)
        assert (await one.everywhere.text(ADA, document_id)).text == "hello " * 20_000
    assert set(one.collaboration.router.sessions) == {"a-notes"}, "what is another's is not loaded here"
    assert set(other.collaboration.router.sessions) == {"b-notes"}


async def test_a_refusal_is_the_owners(pair: tuple[Instance, Instance]) -> None:
    one, _ = pair
    stranger = ADA._replace(user_id="eve")
    with pytest.raises(CoscribeError) as refused:
        await one.everywhere.edit(stranger, typed("b-notes", 1, "x"))
    assert (refused.value.code, refused.value.detail) == (Code.USER_MISMATCH, "you are 'eve'")
    with pytest.raises(CoscribeError) as refused:
        await one.everywhere.text(ADA, "b-nothing")
    assert (refused.value.code, refused.value.file_id) == (Code.FILE_NOT_FOUND, None)
    for what, code in (("fail", Code.INTERNAL), ("break", Code.STORAGE_UNAVAILABLE)):
        with pytest.raises(CoscribeError) as refused:
            await one.errands.run("b-notes", what, b"")
        assert refused.value.code is code


async def test_nobody_owns_it_or_the_owner_is_lost(pair: tuple[Instance, Instance]) -> None:
    one, other = pair
    one.owners.nobody = True
    with pytest.raises(CoscribeError) as refused:
        await one.everywhere.text(ADA, "b-notes")
    assert refused.value.code is Code.OWNER_UNAVAILABLE
    one.owners.nobody = False
    await one.everywhere.text(ADA, "b-notes")
    asking = asyncio.ensure_future(one.everywhere.text(ADA, "b-notes"))
    await asyncio.sleep(0)
    one.links.lose("b", "test")
    with pytest.raises(CoscribeError) as refused:
        await asking
    assert refused.value.code is Code.OWNER_UNAVAILABLE
    del other


async def test_what_is_handed_over_just_then_is_asked_for_again(pair: tuple[Instance, Instance]) -> None:
    one, other = pair
    moving = [CoscribeError(Code.MOVED)] * 2
    text = other.collaboration.text

    async def moved(identity: Identity, file_id: str, version: int | None = None) -> TextAt:
        if moving:
            raise moving.pop()
        return await text(identity, file_id, version)

    other.collaboration.text = moved  # type: ignore[method-assign]  # it is lost and had again
    assert (await one.everywhere.text(ADA, "b-notes")).text == ""
    moving += [CoscribeError(Code.MOVED)] * 3
    with pytest.raises(CoscribeError) as refused:
        await one.everywhere.text(ADA, "b-notes")
    assert refused.value.code is Code.MOVED


async def test_what_was_deleted_is_purged_by_its_owner(pair: tuple[Instance, Instance]) -> None:
    one, other = pair
    assert await one.errands.run("b-notes", PURGE, b"b-notes") == b""
    assert (one.purged, other.purged) == ([], ["b-notes"])


def test_an_identity_travels_whole() -> None:
    identity = Identity("u+1", "Ada", "#123456", "viewer", "u", "token:1", 17.5, "wsp_1")
    for each in (identity, ADA):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(each), type=Identity) == each
