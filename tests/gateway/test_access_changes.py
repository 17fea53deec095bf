"""Changes of rights on their way to open connections: the races, and what happens where storage does not answer.

What clients see where nothing goes wrong is in contract/conformance/conversations (`access-removed*`, `role-*`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from coscribe.core.document_state import Limits
from coscribe.documents import collaboration as collaboration_module
from coscribe.documents.ports import AccessChange, Identity, StorageError
from coscribe.gateway import gateway as gateway_module
from coscribe.gateway.auth import make_token
from coscribe.model import LogEntry
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol.messages import Role
from tests.contracts.conversations import SECRET, RecordingTransport, Rights, Server

FOREVER = 60.0
"""Seconds no test needs."""

NOTES_REMOVED = ("error", "access_removed")
_T = TypeVar("_T")


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, an answer comes in time, unless a test says otherwise."""
    monkeypatch.setattr(gateway_module, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(collaboration_module, "EVICTION_SECONDS", 60.0)


class Question:
    """Something that was asked and is answered, as things were when it was asked, when the test says so."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self) -> None:
        self.answered.set_result(None)

    def fail(self, error: Exception) -> None:
        self.answered.set_exception(error)


class SlowRights(Rights):
    """Rights whose answers can be held back: ``held`` says which questions wait in ``questions``."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()
        self.questions: asyncio.Queue[Question] = asyncio.Queue()
        self.asked: list[tuple[str, str, str]] = []
        self.under_way = self.most_under_way = 0

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        return await self._answer(await super().role(identity, file_id), "role", identity, file_id)

    async def authenticate(self, token: str) -> Identity:
        identity = await super().authenticate(token)
        return await self._answer(identity, "authenticate", identity, "")

    async def is_valid(self, identity: Identity) -> bool:
        return await self._answer(await super().is_valid(identity), "is_valid", identity, "")

    async def _answer(self, answer: _T, kind: str, identity: Identity, file_id: str) -> _T:
        self.asked.append((kind, identity.user_id, file_id))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if kind in self.held:
                question = Question()
                self.questions.put_nowait(question)
                await question.answered
            else:
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        return answer


class SlowStorage(MemoryStorage):
    """Storage whose reads can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self.questions: asyncio.Queue[Question] = asyncio.Queue()

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        if self.held:
            question = Question()
            self.questions.put_nowait(question)
            await question.answered
        return await super().read(workspace_key, after, through=through, limit=limit, file_key=file_key)

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        if self.held:
            question = Question()
            self.questions.put_nowait(question)
            await question.answered
        return await super().read_versions(file_key, after_version, through, limit)


class Peer:
    """One connection, and what came over it."""

    def __init__(self, world: World, name: str, role: Role = "editor") -> None:
        self.world = world
        self.name = name
        self.transport = RecordingTransport()
        self.connection = world.server.connect(self.transport)
        self._token = make_token(SECRET, name, role, 3_600)

    def send(self, kind: str, **fields: Any) -> None:
        self.connection.receive(json.dumps({"type": kind} | fields).encode())

    def hello(self) -> None:
        self.send("hello", protocol=[1], token=self._token)

    def edit(self, operation_id: str, text: str, base: int, file: str = "notes") -> None:
        edit = {"operationType": "insert", "position": 0, "payload": text}
        self.send("operation", fileId=file, operationId=operation_id, userId=self.name, baseVersion=base, **edit)

    @property
    def got(self) -> list[Any]:
        return [json.loads(frame) for frame in self.transport.frames]

    def kinds(self) -> list[Any]:
        """What came since this was asked last, in short: the type; with an error's code, a role, ids of operations."""
        got, self.transport.frames = self.got, []
        return [_in_short(message) for message in got]


def _in_short(message: Any) -> Any:
    kind: str = message["type"]
    if kind in ("committed", "ack"):
        return (kind, *(operation["operationId"] for operation in message["operations"]))
    more = {"error": "code", "roleChanged": "role", "rejoin": "reason", "snapshot": "role", "live": "role"}
    return (kind, message[more[kind]]) if kind in more else kind


class World:
    """A server with slow rights and slow storage."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.rights = SlowRights()
        self.storage = SlowStorage()
        self.server = Server(self.storage, limits=limits, rights=self.rights)

    async def connected(self, name: str, role: Role = "editor") -> Peer:
        peer = Peer(self, name, role)
        peer.hello()
        await self.server.settle()
        return peer

    async def open(self, peer: Peer, file: str = "notes") -> None:
        peer.send("join", fileId=file)
        await self.server.settle()
        snapshot = peer.got[-1]
        peer.send("snapshotApplied", fileId=file, snapshotSequenceId=snapshot["snapshotSequenceId"])
        await self.server.settle()
        peer.transport.frames = []

    async def live(self, name: str, role: Role = "editor") -> Peer:
        peer = await self.connected(name, role)
        await self.open(peer)
        return peer

    def change(self, name: str, role: Role | None, file: str = "notes") -> None:
        self.rights.roles[name, file] = role

    async def tell(self, **change: str) -> None:
        await self.server.gateway.access_changed(AccessChange(**change))

    def telling(self, **change: str) -> asyncio.Task[None]:
        """The change is on its way, and has got to its first question."""
        return asyncio.get_running_loop().create_task(self.tell(**change))

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():  # noqa: ASYNC110  (the server moves on through turns of the event loop alone)
            await asyncio.sleep(0)


@asynccontextmanager
async def a_world(limits: Limits | None = None) -> AsyncIterator[World]:
    async with asyncio.timeout(FOREVER):
        world = World(limits)
        yield world
        world.server.log.release()
        await world.server.stop()


# ---- whom it concerns


async def test_only_those_it_concerns_are_asked_about() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        await world.open(ann, "other")
        for change, questions in (
            ({"workspace_id": "notes", "account": "ann"}, [("role", "ann", "notes")]),
            ({"account": "ann"}, [("is_valid", "ann", ""), ("role", "ann", "notes"), ("role", "ann", "other")]),
            ({"credential": "session:bob"}, [("is_valid", "bob", ""), ("role", "bob", "notes")]),
            ({"workspace_id": "notes"}, [("role", "ann", "notes"), ("role", "bob", "notes")]),
            ({"workspace_id": "nowhere"}, []),
            ({"account": "zoe"}, []),
            ({"account": "ann", "credential": "session:bob"}, []),
        ):
            world.rights.asked = []
            await world.tell(**change)
            assert world.rights.asked == questions, change
        assert (ann.kinds(), bob.kinds()) == ([], [])


async def test_everybody_may_be_asked_about() -> None:
    async with a_world() as world:
        peers = [await world.live(name) for name in ("ann", "bob")]
        world.rights.asked = []
        world.change("bob", "viewer")
        await world.tell()
        assert world.rights.asked == [("role", "ann", "notes"), ("role", "bob", "notes")]
        await world.server.settle()
        assert [peer.kinds()[-1:] for peer in peers] == [["presence"], [("roleChanged", "viewer")]]


async def test_a_thousand_readers_lose_a_document_together() -> None:
    """Asked about some at a time, and told in full when the call returns."""
    async with a_world() as world:
        ann = await world.live("ann")
        readers = [await world.live(f"reader{number}", "viewer") for number in range(1_000)]
        for reader in readers:
            world.change(reader.name, None)
            reader.transport.frames = []
        ann.transport.frames = []
        world.rights.most_under_way = 0
        await world.tell(workspace_id="notes")
        assert {reader.transport.closed for reader in readers} == {(1008, "access_removed")}
        assert all(reader.kinds() == [NOTES_REMOVED] for reader in readers), "nor of all the others who go"
        assert world.rights.most_under_way == gateway_module.ASKED_AT_ONCE
        await world.server.settle()
        assert ann.kinds() == ["left"] * 1_000
        (file,) = world.server.collaboration.router.sessions["notes"].files.values()
        assert (len(file.participants), len(file.subscribers)) == (1, 1)


# ---- what is lost, and when


async def test_it_is_done_when_the_call_returns() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        ann.transport.frames = []
        world.change("bob", None)
        await world.tell(workspace_id="notes", account="bob")
        assert bob.kinds() == [NOTES_REMOVED]
        assert bob.transport.closed == (1008, "access_removed")
        await world.server.settle()
        assert ann.kinds() == ["left"]


async def test_a_role_counts_before_anybody_is_told() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.server.log.hold()
        bob.edit("b:1", "x", 0)
        world.change("bob", "viewer")
        await world.tell(workspace_id="notes", account="bob")
        bob.edit("b:2", "y", 0)
        await world.server.settle()
        assert bob.kinds() == [("error", "permission_denied")]
        world.server.log.release()
        await world.server.settle()
        assert bob.kinds() == [("committed", "b:1"), ("roleChanged", "viewer")]


async def test_a_disk_that_hangs_does_not_keep_anybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collaboration_module, "EVICTION_SECONDS", 0.0)
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        world.server.log.hold()
        bob.edit("b:1", "x", 0)
        await world.until(lambda: world.server.log.waiting)
        ann.transport.frames = []
        world.change("bob", None)
        await world.tell(workspace_id="notes", account="bob")
        assert (bob.kinds(), bob.transport.closed) == ([NOTES_REMOVED], (1008, "access_removed"))
        world.server.log.release()
        await world.server.settle()
        assert ann.kinds() == ["left", ("committed", "b:1")]
        assert bob.kinds() == []


async def test_a_snapshot_that_waits_for_the_disk_is_not_sent_any_more() -> None:
    async with a_world() as world:
        ann = await world.live("ann")
        bob = await world.connected("bob")
        bob.transport.frames = []
        world.server.log.hold()
        ann.edit("a:1", "secret", 0)
        bob.send("join", fileId="notes")
        await world.server.settle()
        world.change("bob", None)
        removal = world.telling(workspace_id="notes", account="bob")
        await world.until(lambda: bool(bob.connection.memberships("")[0].ending))
        world.server.log.release()
        await removal
        assert bob.kinds() == [NOTES_REMOVED]


async def test_leaving_while_being_put_out_is_leaving() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        await world.open(bob, "other")
        world.server.log.hold()
        ann.edit("a:1", "x", 0)
        world.change("bob", None)
        removal = world.telling(workspace_id="notes", account="bob")
        await world.until(lambda: any(member.ending for member in bob.connection.memberships("")))
        bob.transport.frames = []
        bob.send(
            "resend",
            fileId="notes",
            have={"incarnation": "", "serverSequenceId": 0, "chainHash": ""},
            throughSequenceId=9,
        )
        bob.send("getChecksum", fileId="notes")
        bob.send("leave", fileId="notes")
        bob.send("leave", fileId="notes")
        world.server.log.release()
        await removal
        assert bob.kinds() == [("error", "not_joined")] * 3
        assert bob.transport.closed is None


async def test_a_caller_who_goes_away_does_not_stop_it() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.change("bob", None)
        world.rights.held = {"role"}
        removal = world.telling(workspace_id="notes", account="bob")
        question = await world.rights.questions.get()
        removal.cancel()
        question.answer()
        await world.until(lambda: bob.transport.closed is not None)
        assert bob.kinds() == [NOTES_REMOVED]


async def test_a_second_change_waits_for_an_eviction_that_is_under_way() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        world.server.log.hold()
        ann.edit("a:1", "x", 0)
        world.change("bob", None)
        removals = [world.telling(workspace_id="notes", account="bob") for _ in range(2)]
        await world.until(lambda: len(world.rights.asked) >= 2 and bool(bob.connection.memberships("")[0].ending))
        world.server.log.release()
        await asyncio.gather(*removals)
        assert bob.kinds() == [("committed", "a:1"), NOTES_REMOVED]


# ---- races


@pytest.mark.parametrize(("now", "answer"), [(None, ("error", "file_not_found")), ("viewer", ("snapshot", "viewer"))])
async def test_a_join_that_was_under_way_does_not_keep_its_old_role(now: Role | None, answer: Any) -> None:
    async with a_world() as world:
        await world.live("ann")
        bob = await world.connected("bob")
        bob.transport.frames = []
        world.rights.held = {"role"}
        bob.send("join", fileId="notes")
        bob.send("ping", nonce=1)
        question = await world.rights.questions.get()
        world.change("bob", now)
        await world.tell(workspace_id="notes", account="bob")
        question.answer()
        (await world.rights.questions.get()).answer()
        await world.server.settle()
        assert bob.kinds() == [answer, "pong"] if now is None else ["pong", answer]


async def test_of_two_answers_the_one_that_was_asked_for_last_counts() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.rights.held = {"role"}
        earlier = world.telling(workspace_id="notes", account="bob")
        first = await world.rights.questions.get()
        world.change("bob", "viewer")
        later = world.telling(workspace_id="notes", account="bob")
        (await world.rights.questions.get()).answer()
        await later
        first.answer()
        await earlier
        bob.edit("b:1", "x", 0)
        await world.server.settle()
        assert bob.kinds() == [("roleChanged", "viewer"), ("error", "permission_denied")]


@pytest.mark.parametrize("how", ["leaves", "loses the session"])
async def test_an_answer_about_who_is_out_already_puts_nobody_out(how: str) -> None:
    """They may be back in, by another subscription."""
    async with a_world() as world:
        bob = await world.live("bob")
        world.rights.held = {"role"}
        world.change("bob", None)
        removal = world.telling(workspace_id="notes", account="bob")
        question = await world.rights.questions.get()
        world.change("bob", "editor")
        world.rights.held = set()
        if how == "leaves":
            bob.send("leave", fileId="notes")
        else:
            world.server.log.fail(written=False)
            bob.edit("b:1", "x", 0)
            await world.until(lambda: bool(bob.transport.frames))
            assert bob.kinds() == [("rejoin", "storage_unavailable")]
        bob.send("join", fileId="notes")
        await world.until(lambda: bool(bob.transport.frames))
        question.answer()
        await removal
        await world.server.settle()
        assert (bob.kinds(), bob.transport.closed) == ([("snapshot", "editor")], None)


async def test_an_old_question_that_fails_does_not_put_out_who_was_confirmed_since() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.rights.held = {"role"}
        earlier = world.telling(workspace_id="notes")
        first = await world.rights.questions.get()
        later = world.telling(workspace_id="notes")
        (await world.rights.questions.get()).answer()
        await later
        first.fail(StorageError("the disk is gone"))
        await earlier
        assert bob.kinds() == []


async def test_a_session_that_ends_during_hello_does_not_get_in() -> None:
    async with a_world() as world:
        bob = Peer(world, "bob")
        world.rights.held = {"authenticate"}
        bob.hello()
        bob.send("join", fileId="notes")
        question = await world.rights.questions.get()
        world.rights.ended.add("bob")
        await world.tell(credential="session:bob")
        question.answer()
        await world.server.settle()
        assert (bob.kinds(), bob.transport.closed) == ([("error", "session_ended")], (1008, "session_ended"))


async def test_a_hello_is_not_asked_for_its_token_twice() -> None:
    """A ticket may be good for one time only."""
    async with a_world() as world:
        bob = Peer(world, "bob")
        world.rights.held = {"authenticate"}
        bob.hello()
        question = await world.rights.questions.get()
        await world.tell(account="ann")
        question.answer()
        await world.server.settle()
        assert bob.kinds() == ["welcome"]
        assert [kind for kind, _, _ in world.rights.asked] == ["authenticate", "is_valid"]


@pytest.mark.parametrize("now", [None, "viewer"])
async def test_an_edit_that_asks_storage_is_decided_by_the_role_of_its_turn(now: Role | None) -> None:
    async with a_world(Limits(window_operations=2)) as world:
        bob = await world.live("bob")
        await world.open(bob, "other")
        for number in range(6):
            bob.edit(f"b:{number + 1}", "x", number)
            await world.server.settle()
        bob.transport.frames = []
        world.storage.held = True
        bob.edit("late:1", "late", 1)
        question = await world.storage.questions.get()
        world.storage.held = False
        world.change("bob", now)
        await world.tell(workspace_id="notes", account="bob")
        question.answer()
        await world.server.settle()
        assert bob.kinds() == [
            NOTES_REMOVED if now is None else ("roleChanged", "viewer"),
            ("error", "permission_denied"),
        ]
        session = world.server.collaboration.router.sessions["notes"]
        assert session.last_sequence == 6, "nothing was taken in"


async def test_an_answer_of_storage_is_not_sent_to_who_has_no_access_any_more() -> None:
    async with a_world(Limits(window_operations=2)) as world:
        bob = await world.live("bob")
        await world.open(bob, "other")
        for number in range(6):
            bob.edit(f"b:{number + 1}", "x", number)
            await world.server.settle()
        bob.transport.frames = []
        world.storage.held = True
        have = {"incarnation": "memory", "serverSequenceId": 0, "chainHash": "0" * 64}
        bob.send("resend", fileId="notes", have=have, throughSequenceId=6)
        question = await world.storage.questions.get()
        world.storage.held = False
        world.change("bob", None)
        await world.tell(workspace_id="notes", account="bob")
        question.answer()
        await world.server.settle()
        assert bob.kinds() == [NOTES_REMOVED, ("error", "not_joined")]


async def test_another_join_that_is_under_way_keeps_the_connection() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.rights.held = {"role"}
        bob.send("join", fileId="other")
        joining = await world.rights.questions.get()
        world.change("bob", None)
        world.rights.held = set()
        await world.tell(workspace_id="notes", account="bob")
        assert bob.kinds() == [NOTES_REMOVED]
        joining.answer()
        await world.server.settle()
        assert (bob.kinds(), bob.transport.closed) == ([("snapshot", "editor")], None)


# ---- no answer


async def test_who_cannot_be_asked_about_is_put_out_and_may_come_back() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.live("bob")
        ann.transport.frames = []
        world.rights.held = {"role"}
        change = world.telling(workspace_id="notes", account="bob")
        (await world.rights.questions.get()).fail(StorageError("the disk is gone"))
        await change
        assert (bob.kinds(), bob.transport.closed) == ([("rejoin", "storage_unavailable")], None)
        assert ann.kinds() == ["left"]
        world.rights.held = set()
        bob.send("join", fileId="notes")
        await world.server.settle()
        assert bob.kinds() == [("snapshot", "editor")]


async def test_an_answer_that_takes_too_long_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "ANSWER_SECONDS", 0.0)
    async with a_world() as world:
        readers = [await world.live(f"reader{number}") for number in range(gateway_module.ASKED_AT_ONCE + 1)]
        world.rights.held = {"role"}
        await world.tell(workspace_id="notes")
        for reader in readers:
            assert ("rejoin", "storage_unavailable") in reader.kinds()


async def test_a_session_that_cannot_be_looked_up_is_closed_and_may_come_back() -> None:
    async with a_world() as world:
        bob = await world.live("bob")
        world.rights.held = {"is_valid"}
        change = world.telling(credential="session:bob")
        (await world.rights.questions.get()).fail(RuntimeError("something else"))
        await change
        assert bob.kinds() == [("error", "storage_unavailable")]
        assert bob.transport.closed == (1013, "storage_unavailable")


# ---- credentials that are for a time, or for one workspace


async def test_a_credential_that_has_expired_ends_the_connection() -> None:
    async with a_world() as world:
        talking, silent = await world.live("ann"), await world.live("bob")
        for peer in (talking, silent):
            peer.connection.expires_at = world.server.time + 10
        world.server.time += 9.9
        talking.send("ping")
        silent.connection.check(world.server.time)
        assert (talking.kinds(), silent.kinds()) == (["presence", "pong"], [])
        world.server.time += 0.1
        talking.edit("a:1", "x", 0)
        silent.connection.check(world.server.time)
        await world.server.settle()
        assert talking.kinds() == [("error", "session_ended")]
        assert ("error", "session_ended") in silent.kinds()
        assert talking.transport.closed == silent.transport.closed == (1008, "session_ended")
        assert world.server.collaboration.router.sessions["notes"].last_sequence == 0


async def test_when_it_expires_is_what_the_authenticator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_world() as world:
        authenticate = world.rights.authenticate

        async def for_a_minute(token: str) -> Identity:
            return (await authenticate(token))._replace(expires_at=world.server.time + 60)

        monkeypatch.setattr(world.rights, "authenticate", for_a_minute)
        bob = await world.live("bob")
        world.server.time += 61
        bob.send("ping")
        assert bob.kinds() == [("error", "session_ended")]


async def test_a_credential_for_one_workspace_opens_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_world() as world:
        await world.live("ann")
        authenticate = world.rights.authenticate

        async def for_other(token: str) -> Identity:
            return (await authenticate(token))._replace(workspace="other")

        monkeypatch.setattr(world.rights, "authenticate", for_other)
        bob = await world.connected("bob")
        bob.transport.frames = []
        bob.send("join", fileId="notes", inFlight=["b:1"])
        await world.server.settle()
        (refusal,) = bob.got
        assert refusal["fates"] == [{"operationId": "b:1", "fate": "notCommitted"}]
        assert bob.kinds() == [("error", "file_not_found")]
        await world.open(bob, "other")
        assert [member.role for member in bob.connection.memberships("")] == ["editor"]


async def test_a_damaged_file_is_not_given_away_by_a_refusal() -> None:
    async with a_world() as world:
        ann = await world.live("ann")
        ann.edit("a:1", "x", 0)
        await world.server.settle()
        world.server.gateway.lost(ann.connection)
        world.server.collaboration.router.drop(world.server.collaboration.router.sessions["notes"])
        entries = world.storage._by_key[1].entries
        entries[0] = entries[0]._replace(payload=b"nonsense")
        bob = await world.connected("bob")
        world.change("bob", None)
        bob.transport.frames = []
        bob.send("join", fileId="notes", inFlight=["b:1"])
        await world.server.settle()
        (refusal,) = bob.got
        assert (refusal["code"], refusal["fates"]) == (
            "file_not_found",
            [{"operationId": "b:1", "fate": "notCommitted"}],
        )


async def test_a_role_that_changes_while_one_is_going_live_is_told_after_that() -> None:
    """What was said of the role before waits for the disk; the change must not overtake it."""
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.connected("bob")
        bob.send("join", fileId="notes")
        await world.server.settle()
        bob.transport.frames = []
        world.server.log.hold()
        ann.edit("a:1", "x", 0)
        bob.send("snapshotApplied", fileId="notes", snapshotSequenceId=0)
        world.change("bob", "viewer")
        await world.tell(workspace_id="notes", account="bob")
        assert bob.kinds() == []
        world.server.log.release()
        await world.server.settle()
        assert bob.kinds() == [("committed", "a:1"), ("live", "editor"), ("roleChanged", "viewer")]


async def test_who_is_put_out_while_going_live_does_not_get_there() -> None:
    async with a_world() as world:
        ann, bob = await world.live("ann"), await world.connected("bob")
        bob.send("join", fileId="notes")
        await world.server.settle()
        bob.transport.frames = []
        world.server.log.hold()
        ann.edit("a:1", "x", 0)
        bob.send("snapshotApplied", fileId="notes", snapshotSequenceId=0)
        world.change("bob", None)
        removal = world.telling(workspace_id="notes", account="bob")
        await world.until(lambda: bob.connection.memberships("")[0].ending is not None)
        world.server.log.release()
        await removal
        assert bob.kinds() == [NOTES_REMOVED]
