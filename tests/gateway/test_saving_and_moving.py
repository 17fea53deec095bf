"""Saving, and being told where a file is: over connections without sockets, on a real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from coscribe.core.tree import node_id
from coscribe.documents.ports import StorageError
from coscribe.gateway.auth import make_token
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol.messages import Role
from tests.contracts.conversations import SECRET, Person, Server
from tests.documents.test_trees import RULES, Ruled
from tests.migrated import fresh_database

Json = dict[str, Any]
ROOT = "project"
QUIET = ("welcome", "presence", "left", "treeCommitted", "committed", "live", "snapshot", "treeSnapshot")


class Somebody:
    """A connection that has said hello, and applies each snapshot."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.person = Person(server)
        self.count = 0

    async def say(self, **message: Any) -> None:
        self.person.connection.receive(json.dumps(message).encode())
        await self.server.settle()

    async def hello(self, role: Role = "owner") -> None:
        await self.say(type="hello", protocol=[1], token=make_token(SECRET, self.name, role, 3_600))

    async def join(self, file_id: str) -> None:
        await self.say(type="join", fileId=file_id)
        for message in self.person.unread(()):
            if message["type"] in ("snapshot", "treeSnapshot") and message["fileId"] == file_id:
                applied = message["snapshotSequenceId"]
        await self.say(type="snapshotApplied", fileId=file_id, snapshotSequenceId=applied)

    async def change(self, *operations: Json) -> list[str]:
        """Changes the tree; the ids of what that makes."""
        self.count += 1
        name = f"{self.name}:{self.count}"
        edits = list(operations)
        await self.say(type="treeOperation", fileId=ROOT, operationId=name, userId=self.name, operations=edits)
        return [node_id(ROOT, name, place) for place in range(len(edits))]

    async def type(self, file_id: str, base: int) -> None:
        self.count += 1
        place = {"fileId": file_id, "operationId": f"{self.name}:{self.count}", "baseVersion": base, "position": 0}
        await self.say(type="operation", userId=self.name, operationType="insert", payload="x", **place)

    def heard(self) -> list[Json]:
        return [message for message in iter(lambda: self.person.take(QUIET), None) if message]

    def places(self) -> list[tuple[str, bool]]:
        heard = self.heard()
        assert {message["type"] for message in heard} <= {"moved"}, heard
        return [(message["path"], message["trashed"]) for message in heard]


def made(parent_id: str, name: str, kind: str = "text") -> Json:
    return {"verb": "create", "parentId": parent_id, "name": name, "kind": kind}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    storage = SqliteStorage(fresh_database(tmp_path / "log.db"))
    await storage.create_tree(ROOT, 1)
    server = Server(storage, rights=Ruled(()))
    yield server
    server.log.release()
    await server.kill()


async def somebody(server: Server, name: str, *files: str, role: Role = "owner") -> Somebody:
    who = Somebody(server, name)
    await who.hello(role)
    for file_id in files:
        await who.join(file_id)
    return who


async def test_who_joins_a_file_is_told_where_it_is_before_it_is_live(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT)
    (docs,) = await ann.change(made(ROOT, "docs", "directory"))
    (file_id,) = await ann.change(made(docs, "a.txt"))
    bob = await somebody(server, "bob", file_id)
    kinds = [json.loads(frame)["type"] for frame in bob.person.transport.frames]
    assert kinds == ["welcome", "snapshot", "moved", "live"]
    assert bob.places() == [("docs/a.txt", False)]


async def test_who_has_a_file_open_is_told_whatever_moves_it(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT)
    (docs,) = await ann.change(made(ROOT, "docs", "directory"))
    (file_id,) = await ann.change(made(docs, "a"))
    (other,) = await ann.change(made(docs, "b"))
    bob = await somebody(server, "bob", file_id)
    bob.places()
    await ann.change({"verb": "move", "fileId": docs, "name": "texts"})
    await ann.change(
        {"verb": "move", "fileId": other, "name": "c"}, {"verb": "set", "fileId": file_id, "key": "eol", "value": "cr"}
    )
    await ann.change({"verb": "delete", "fileId": docs})
    await ann.change({"verb": "restore", "fileId": docs, "name": "again"})
    await ann.change({"verb": "move", "fileId": file_id, "parentId": ROOT, "name": "z"})
    assert bob.places() == [("texts/a", False), ("texts/a", True), ("again/a", False), ("z", False)]


async def test_it_is_told_when_it_is_durable_and_to_who_was_joining_meanwhile(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT)
    (file_id,) = await ann.change(made(ROOT, "a"))
    bob = await somebody(server, "bob", file_id)
    bob.places()
    server.log.hold()
    await ann.change({"verb": "move", "fileId": file_id, "name": "b"})
    cid = await somebody(server, "cid")
    await cid.say(type="join", fileId=file_id)
    assert bob.places() == cid.places() == []
    server.log.release()
    await server.settle()
    await cid.say(type="snapshotApplied", fileId=file_id, snapshotSequenceId=0)
    assert bob.places() == cid.places() == [("b", False)]


async def test_nobody_is_told_a_path_that_they_may_not_see(server: Server) -> None:
    """RULES close src to cid, but not src/a."""
    assert isinstance(server.rights, Ruled)
    server.rights.rules = RULES
    ann = await somebody(server, "ann", ROOT)
    (src,) = await ann.change(made(ROOT, "src", "directory"))
    (opened,) = await ann.change(made(src, "a", "directory"))
    (file_id,) = await ann.change(made(opened, "file"))
    (free,) = await ann.change(made(ROOT, "free"))
    cid = await somebody(server, "cid", file_id, free)
    assert cid.places() == [("src/a/file", False), ("free", False)]
    await ann.change({"verb": "move", "fileId": free, "parentId": src, "name": "secret"})
    (gone,) = cid.heard()
    assert (gone["code"], gone["fileId"]) == ("access_removed", free)
    await ann.change({"verb": "move", "fileId": file_id, "parentId": src, "name": "hidden"})
    assert "hidden" not in str(cid.heard())
    assert all(b"hidden" not in frame and b"secret" not in frame for frame in cid.person.transport.frames)


async def test_of_a_view_there_is_no_past_whatever_rules_hold_when_one_comes_back(server: Server) -> None:
    assert isinstance(server.rights, Ruled)
    server.rights.rules = RULES
    ann = await somebody(server, "ann", ROOT)
    await ann.change(made(ROOT, "src", "directory"))
    await ann.change(made(ROOT, "free"))
    cid = await somebody(server, "cid", ROOT)
    await ann.change(made(ROOT, "another"))
    snapshot, change = (json.loads(cid.person.transport.frames[at]) for at in (1, -1))
    assert (snapshot["chainHash"], change["chainHash"]) == ("", "")
    server.rights.rules = ()
    again = await somebody(server, "cid")
    have = {"incarnation": snapshot["incarnation"], "serverSequenceId": 3, "chainHash": "", "documentVersion": 0}
    await again.say(type="join", fileId=ROOT, have=have, inFlight=["cid:7"])
    whole = json.loads(again.person.transport.frames[-1])
    assert [node["name"] for node in whole["nodes"]] == ["src", "free", "another"]
    assert (whole["lineageLost"], whole["fates"]) == (False, [{"operationId": "cid:7", "fate": "notCommitted"}])


async def test_a_refusal_names_the_file_that_the_message_was_about(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT)
    (file_id,) = await ann.change(made(ROOT, "a"))
    await ann.change({"verb": "move", "fileId": file_id, "name": "b"}, {**made(ROOT, "b"), "exact": True})
    (refused,) = ann.heard()
    assert (refused["code"], refused["fileId"], refused["operationId"]) == ("conflict", ROOT, "ann:2")


async def test_a_document_is_in_no_tree(server: Server) -> None:
    ann = await somebody(server, "ann", "notes")
    assert ann.places() == []


async def test_saving_a_workspace_saves_all_of_it(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT)
    files = await ann.change(made(ROOT, "a"), made(ROOT, "b"))
    for file_id in files:
        await ann.join(file_id)
        await ann.type(file_id, 0)
    assert await snapshots(server) == {}
    ann.heard()
    await ann.say(type="save", fileId=files[0])
    assert ann.heard() == [{"type": "saved", "fileId": files[0], "serverSequenceId": 2}]
    assert await snapshots(server) == {files[0]: 2}
    await ann.say(type="save")
    assert ann.heard() == [{"type": "saved", "fileId": None, "serverSequenceId": 3}]
    assert await snapshots(server) == {ROOT: 1, files[0]: 2, files[1]: 3}


async def test_it_has_to_be_said_which_workspace_where_several_are_open(server: Server) -> None:
    ann = await somebody(server, "ann", ROOT, "notes")
    await ann.say(type="save")
    (refused,) = ann.heard()
    assert refused["code"] == "invalid_message"


async def test_what_is_saved_twice_before_it_has_begun_is_answered_once(server: Server) -> None:
    ann = await somebody(server, "ann", "notes", "plan")
    server.log.hold()
    await ann.type("notes", 0)
    for file_id in ("notes", "plan", "plan", "plan"):
        await ann.say(type="save", fileId=file_id)
    await ann.say(type="leave", fileId="plan")
    server.log.release()
    await server.settle()
    assert [message["fileId"] for message in ann.heard()] == ["notes"]
    await ann.join("plan")
    server.log.hold()
    await ann.type("notes", 1)
    for file_id in ("notes", "plan", "plan", "plan"):
        await ann.say(type="save", fileId=file_id)
    server.log.release()
    await server.settle()
    assert [message["fileId"] for message in ann.heard()] == ["notes", "plan"]


async def test_a_snapshot_that_cannot_be_stored_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise StorageError("the disk is full")

    ann = await somebody(server, "ann", "notes")
    await ann.type("notes", 0)
    monkeypatch.setattr(server.log.inner, "save", fails)
    await ann.say(type="save", fileId="notes")
    (refused,) = ann.heard()
    assert (refused["code"], refused["fileId"]) == ("storage_unavailable", "notes")
    monkeypatch.undo()
    await ann.say(type="save", fileId="notes")
    assert ann.heard() == [{"type": "saved", "fileId": "notes", "serverSequenceId": 1}]


async def snapshots(server: Server) -> dict[str, int]:
    """The newest snapshot of each file that has one."""
    storage = server.log.inner
    workspace = await storage.acquire(ROOT)
    assert workspace is not None
    newest = {file.file_id: await storage.newest(file.key) for file in workspace.files}
    return {file_id: kept.sequence for file_id, kept in newest.items() if kept is not None}
