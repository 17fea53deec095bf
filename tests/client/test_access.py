"""What a client makes of rights that change: nothing that was typed is lost, and nothing is there twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from coscribe.app import Coscribe
from coscribe.client import AccessEnded, ClientSettings, Document, Patch
from coscribe.client.opened import State
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import collaboration as collaboration_module
from coscribe.documents.ports import AccessChange
from coscribe.gateway.auth import make_token
from coscribe.gateway.fast import websocket_switch
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import WEBSOCKET_PATH, Fate, Role
from tests.client.crew import FOREVER, Witness, agree, left_in
from tests.client.network import FILE, Server
from tests.client.test_document import Scripted, frozen, kinds
from tests.contracts.conversations import SECRET, Rights, held
from tests.gateway.site import serving

# ---- against a script


def refused_join(client: Scripted, *fates: Fate) -> None:
    """The join is refused, with the fates of what is in flight."""
    in_flight = [pending.operation_id for pending in client.notes._replica.in_flight]
    told = [messages.OperationFate(*each) for each in zip(in_flight, fates, strict=True)]
    client.notes.receive(codec.error_message(codec.JoinRefused(FILE, told)))


def typing(client: Scripted) -> Document:
    """Live, with ``one`` in flight and ``two`` behind it."""
    notes = client.join()
    notes.insert(4, " one")
    notes.insert(8, " two")
    client.frames.clear()
    return notes


async def ended(notes: Document, code: Code) -> None:
    """Checks that it has, and that whoever waits is told."""
    assert (notes.state, notes.role, notes.participants, notes.pending) == (State.ENDED, "viewer", {}, 0)
    for wait in (notes.live, notes.synced):
        with pytest.raises(AccessEnded) as error:
            await wait()
        assert (error.value.code, error.value.patches) == (code, notes.patches)
    with pytest.raises(AccessEnded):
        notes.insert(0, "into nowhere")


async def test_access_that_is_removed_while_nothing_is_pending() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    client.refuse(Code.ACCESS_REMOVED)
    await ended(notes, Code.ACCESS_REMOVED)
    assert (client.frames, notes.patches, notes.text) == ([], [], "text")


@pytest.mark.parametrize(
    ("fate", "patch"),
    [("committed", [[(8, 0, " two")]]), ("notCommitted", [[(4, 0, " one")], [(8, 0, " two")]])],
)
async def test_what_is_in_flight_is_a_patch_if_it_is_not_committed(fate: Fate, patch: Any) -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    client.refuse(Code.ACCESS_REMOVED)
    (join,) = client.sent
    assert isinstance(join, messages.Join)
    assert join.in_flight == [notes._replica.in_flight[0].operation_id]
    assert (notes.patches, notes.state) == ([], State.JOINING)
    refused_join(client, fate)
    assert notes.patches == [Patch("access_removed", "scripted", patch)]
    await ended(notes, Code.ACCESS_REMOVED)
    assert client.frames == []


@pytest.mark.parametrize("fate", ["committed", "notCommitted"])
async def test_the_connection_is_closed_before_the_fate_is_known(fate: Fate) -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    client.refuse(Code.ACCESS_REMOVED)
    notes.disconnected()
    notes.insert(0, "zero ")
    assert notes.patches == []
    notes.connected()
    refused_join(client, fate)
    (patch,) = notes.patches
    assert len(patch.edits) == (1 if fate == "committed" else 2)
    await ended(notes, Code.ACCESS_REMOVED)
    client.frames.clear()
    notes.disconnected()
    notes.connected()
    assert (client.frames, notes.state) == ([], State.ENDED)


async def test_access_that_was_lost_while_we_were_away() -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    notes.disconnected()
    notes.connected()
    refused_join(client, "committed")
    assert [patch.edits for patch in notes.patches] == [[[(8, 0, " two")]]]
    await ended(notes, Code.FILE_NOT_FOUND)


async def test_a_refusal_without_fates_hands_everything_back() -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    client.refuse(Code.ACCESS_REMOVED)
    client.refuse(Code.FILE_NOT_FOUND)
    assert [patch.edits for patch in notes.patches] == [[[(4, 0, " one")], [(8, 0, " two")]]]
    await ended(notes, Code.ACCESS_REMOVED)


async def test_access_that_is_removed_while_the_past_is_bridged() -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    notes.disconnected()
    client.others((0, 0, "theirs "))
    notes.connected()
    client.snapshot()
    assert notes.state is State.BRIDGING
    client.frames.clear()
    client.refuse(Code.ACCESS_REMOVED)
    assert kinds(client.sent) == ["Join"]
    refused_join(client, "notCommitted")
    assert [patch.edits for patch in notes.patches] == [[[(4, 0, " one")], [(8, 0, " two")]]]
    await ended(notes, Code.ACCESS_REMOVED)


async def test_access_that_comes_back_before_it_is_asked_for() -> None:
    client = Scripted(Server("text"))
    notes = client.join()
    client.frames.clear()
    notes.insert(4, " one")
    first = frozen(client)
    client.refuse(Code.ACCESS_REMOVED)
    client.frames.clear()
    client.live()
    assert (notes.state, notes.patches, client.frames) == (State.LIVE, [], [first])
    notes.disconnected()
    notes.connected()
    refused_join(client, "notCommitted")
    await ended(notes, Code.FILE_NOT_FOUND)


async def test_a_file_that_is_not_open_any_more_is_joined_again_from_any_state() -> None:
    """As it is while the server puts us out. Nothing is handed back before the fates are known."""
    client = Scripted(Server("text"))
    notes = typing(client)
    notes.disconnected()
    client.others((0, 0, "theirs "))
    notes.connected()
    client.snapshot()
    client.frames.clear()
    client.refuse(Code.NOT_JOINED)
    assert (notes.patches, notes.state) == ([], State.JOINING)
    client.wait_out()
    assert kinds(client.sent) == ["Join"]


async def test_a_role_that_changes() -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    notes.receive(messages.RoleChanged(FILE, "viewer"))
    assert (notes.role, notes.pending, notes.state) == ("viewer", 2, State.LIVE)
    client.refuse(Code.PERMISSION_DENIED, notes._replica.in_flight[0].operation_id)
    client.snapshot()
    client.live()
    assert (notes.text, notes.pending, notes.state) == ("text", 0, State.LIVE)
    assert [patch.edits for patch in notes.patches] == [[[(4, 0, " one")], [(8, 0, " two")]]]


async def test_what_was_handed_back_is_not_in_the_pending_file_any_more(tmp_path: Path) -> None:
    client = Scripted(Server("text"), settings=ClientSettings(pending_folder=tmp_path))
    typing(client)
    assert len(left_in(tmp_path)) == 1
    client.refuse(Code.ACCESS_REMOVED)
    assert len(left_in(tmp_path)) == 1, "the process may end before the answer comes"
    refused_join(client, "notCommitted")
    assert left_in(tmp_path) == []


async def test_a_file_whose_access_has_ended_may_be_opened_anew() -> None:
    client = Scripted(Server("text"))
    notes = typing(client)
    client.refuse(Code.ACCESS_REMOVED)
    refused_join(client, "notCommitted")
    again = client.open_offline(FILE)
    assert again is not notes
    assert client.open_offline(FILE) is again
    await notes.close()
    assert client.open_offline(FILE) is again
    client.frames.clear()
    notes.receive(messages.Rejoin(FILE, "storage_unavailable"))
    assert (notes.state, client.frames, client.later) == (State.ENDED, [], [])


# ---- against a server


class Site:
    """A server in this process, over storage whose commits can be held, with rights that can be changed."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.rights = Rights()
        self.log, storage = held(MemoryStorage())
        self.coscribe = Coscribe(
            Settings(folder=folder),
            storage=cast(MemoryStorage, storage),
            authenticator=self.rights,
            access=self.rights,
        )
        self.address = ""

    def join(self, name: str, **settings: Any) -> Witness:
        wanted = ClientSettings(backoff=0.01, max_backoff=0.05)._replace(**settings)
        client = Witness(f"ws://{self.address}{WEBSOCKET_PATH}", make_token(SECRET, name, "editor", 3_600), wanted)
        client.start()
        self._stack.push_async_callback(client.close)
        return client

    async def change(self, name: str, role: Role | None) -> None:
        self.rights.roles[name, FILE] = role
        await self.coscribe.gateway.access_changed(AccessChange(workspace_id=FILE, account=name))

    async def until_held(self) -> None:
        while not self.log.waiting:  # noqa: ASYNC110  (there is no event for it)
            await asyncio.sleep(0)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with a_site(tmp_path) as here:
        yield here


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    async with asyncio.timeout(FOREVER), AsyncExitStack() as stack:
        site = Site(folder, stack)
        switch = websocket_switch(site.coscribe.gateway, WEBSOCKET_PATH)
        site.address = await stack.enter_async_context(serving(site.coscribe.asgi, ws=switch))
        stack.callback(site.log.release)
        yield site


async def gone(document: Document) -> AccessEnded:
    with pytest.raises(AccessEnded) as error:
        await document.synced()
    assert document.state is State.ENDED
    return error.value


async def test_a_commit_that_is_under_way_is_acknowledged_and_the_rest_is_a_patch(site: Site) -> None:
    ann, bob = await site.join("ann").open(FILE), await site.join("bob").open(FILE)
    site.log.hold()
    bob.insert(0, "in ")
    await site.until_held()
    bob.insert(3, "not in")
    removal = asyncio.create_task(site.change("bob", None))
    site.log.release()
    await removal
    ann.insert(0, "later ")
    assert (await gone(bob)).code is Code.ACCESS_REMOVED
    assert [patch.edits for patch in bob.patches] == [[[(3, 0, "not in")]]]
    await ann.synced()
    assert ann.text == "later in "


@pytest.mark.parametrize("written", [False, True])
async def test_a_fate_that_is_learned_over_the_next_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """The disk hangs, so the server does not wait with the removal; it closes, and what is in flight is open."""
    monkeypatch.setattr(collaboration_module, "EVICTION_SECONDS", 0.0)
    client = site.join("bob")
    ann, bob = await site.join("ann").open(FILE), await client.open(FILE)
    site.log.hold()
    bob.insert(0, "one ")
    await site.until_held()
    bob.insert(4, "two")
    await site.change("bob", None)
    await client.until(lambda: client.connects == 2)
    assert bob.patches == []
    if written:
        site.log.release()
    else:
        site.log.fail(written=False)
    assert (await gone(bob)).code is Code.ACCESS_REMOVED
    rest = [(4, 0, "two")]
    assert [patch.edits for patch in bob.patches] == [[rest] if written else [[(0, 0, "one ")], rest]]
    await ann.synced()
    assert (await site.join("zoe").open(FILE)).text == ("one " if written else "")


async def test_an_acknowledgement_that_got_lost_before_the_removal(site: Site) -> None:
    client = site.join("bob")
    bob = await client.open(FILE)
    client.deaf_to = lambda message: isinstance(message, messages.Committed)
    bob.insert(0, "in ")
    bob.insert(3, "not in")
    await client.deafened.wait()
    await site.change("bob", None)
    client.deaf_to = lambda _: False
    client.deafened.clear()
    assert (await gone(bob)).code is Code.FILE_NOT_FOUND
    assert [patch.edits for patch in bob.patches] == [[[(3, 0, "not in")]]]
    assert (await site.join("ann").open(FILE)).text == "in "


async def test_other_files_and_other_people_are_not_disturbed(site: Site) -> None:
    client = site.join("bob")
    ann, bob, other = await site.join("ann").open(FILE), await client.open(FILE), await client.open("other")
    await site.change("bob", None)
    await gone(bob)
    other.insert(0, "still here")
    await other.synced()
    ann.insert(0, "so am I")
    await ann.synced()
    assert (client.connects, other.state, bob.text) == (1, State.LIVE, "")
    await site.change("bob", "editor")
    again = await client.open(FILE)
    again.insert(0, "and back: ")
    await again.synced()
    assert await agree(ann, again) == "and back: so am I"


async def test_an_editor_who_becomes_a_viewer_and_an_editor_again(site: Site) -> None:
    client = site.join("bob")
    ann, bob = await site.join("ann").open(FILE), await client.open(FILE)
    bob.insert(0, "text")
    await bob.synced()
    await site.change("bob", "viewer")
    await client.until(lambda: bob.role == "viewer")
    bob.insert(0, "not ")
    await client.until(lambda: bool(bob.patches))
    await bob.synced()
    assert (bob.text, [patch.code for patch in bob.patches]) == ("text", ["permission_denied"])
    await site.change("bob", "editor")
    await client.until(lambda: bob.role == "editor")
    bob.insert(4, "!")
    assert await agree(ann, bob) == "text!"


async def test_a_session_that_ends_keeps_what_is_pending_for_the_next_one(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "pending"
    client = site.join("bob", pending_folder=folder)
    bob = await client.open(FILE)
    site.log.hold()
    bob.insert(0, "one ")
    await site.until_held()
    bob.insert(4, "two")
    site.rights.ended.add("bob")
    await site.coscribe.gateway.access_changed(AccessChange(credential="session:bob"))
    with pytest.raises(CoscribeError) as error:
        await bob.synced()
    assert error.value.code is Code.SESSION_ENDED
    assert client._running is not None
    await client._running
    bob.insert(0, "zero ")
    assert (bob.state, bob.patches, bob.text, client.connects) == (State.OFFLINE, [], "zero one two", 1)
    with pytest.raises(CoscribeError):
        await client.open("another")
    await client.close()
    assert len(left_in(folder)) == 1
    site.log.release()
    site.rights.ended.clear()
    notes = await site.join("bob", pending_folder=folder).open(FILE)
    await notes.synced()
    assert (notes.text, left_in(folder)) == ("zero one two", [])


async def test_what_an_earlier_process_left_is_in_the_error(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "pending"
    first = site.join("bob", pending_folder=folder)
    bob = await first.open(FILE)
    site.log.hold()
    bob.insert(0, "one ")
    await site.until_held()
    bob.insert(4, "two")
    await first.close()
    site.log.release()
    await site.change("bob", None)
    second = site.join("bob", pending_folder=folder)
    with pytest.raises(AccessEnded) as error:
        await second.open(FILE)
    assert error.value.code is Code.FILE_NOT_FOUND
    assert [patch.edits for patch in error.value.patches] == [[[(4, 0, "two")]]]
    assert left_in(folder) == []


async def test_nothing_is_typed_into_a_text_that_still_holds_what_was_refused() -> None:
    """Its place would be reckoned from what the server does not have: it would come out somewhere else."""
    client = Scripted(Server("text"))
    notes = typing(client)
    client.refuse(Code.PERMISSION_DENIED, notes._replica.in_flight[0].operation_id)
    assert [patch.edits for patch in notes.patches] == [[[(4, 0, " one")], [(8, 0, " two")]]]
    with pytest.raises(ValueError, match="fetched anew"):
        notes.insert(12, "!")
    client.snapshot()
    client.live()
    notes.insert(4, "!")
    assert notes.text == "text!"
