"""A tree and its texts after a restart: from snapshots, and from the log where those are damaged or gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from coscribe.core.dedup import Answer
from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NO_EFFECT, Tree, node_id
from coscribe.documents.audit import Claim, audit
from coscribe.documents.collaboration import Plan, Planned, TreeEdited
from coscribe.documents.opened import OpenFile
from coscribe.documents.ports import Identity, PathRights
from coscribe.documents.quota import Allowance
from coscribe.documents.session import Author, Evidence, Missing
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import make_token
from coscribe.metrics import metrics
from coscribe.model import FileSnapshot, content_hash, file_key
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from tests.contracts.conversations import SECRET, Person, Server

Json = dict[str, Any]

ROOT = "project"
ANN = Identity("ann", "Ann", "#111111", "owner", account="ann")
POLICY = SnapshotPolicy(seconds=5.0, idle_seconds=20.0, keep=2)
NAMES = ("a.txt", "b.txt", "c.txt")


class Place:
    """A project with three texts, of which everything so far is in snapshots; and what is done to it."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.time = 1_000.0
        self.number = 0
        self.files: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        self.server = Server(self.storage, limits=Limits(window_operations=4))
        self.server.collaboration.snapshots._policy = POLICY
        self.server.time = self.time
        self.person = Person(self.server)

    async def hello(self) -> list[Json]:
        token = make_token(SECRET, "ann", "owner", 3_600)
        await self.say({"type": "hello", "protocol": [1], "token": token})
        return await self.say({"type": "join", "fileId": ROOT})

    async def say(self, message: Json) -> list[Json]:
        self.person.connection.receive(json.dumps(message).encode())
        await self.server.settle()
        heard = list(iter(lambda: self.person.take(("presence",)), None))
        for snapshot in heard:
            if snapshot["type"] == "treeSnapshot":
                at = {"fileId": ROOT, "snapshotSequenceId": snapshot["snapshotSequenceId"]}
                heard += await self.say({"type": "snapshotApplied", **at})
        return heard

    async def grow(self, *edits: Json) -> list[Json]:
        self.number += 1
        head = {"type": "treeOperation", "fileId": ROOT, "operationId": f"t:{self.number}", "userId": "ann"}
        return await self.say({**head, "operations": list(edits)})

    async def create(self, name: str) -> str:
        await self.grow({"verb": "create", "parentId": ROOT, "name": name, "kind": "text"})
        self.files[name] = node_id(ROOT, f"t:{self.number}", 0)
        self.versions[name] = 0
        return self.files[name]

    async def type(self, name: str, text: str) -> messages.Place:
        self.number += 1
        version = self.versions[name]
        message = messages.Operation(self.files[name], f"a:{self.number}", "ann", version, "insert", 0, text)
        (place,) = await self.server.collaboration.edit(ANN, message)
        self.versions[name] = place.document_version
        return place

    async def read(self, name: str) -> str:
        return (await self.server.collaboration.text(ANN, self.files[name])).text

    async def sweep(self, seconds: float = 6.0) -> None:
        """Time passes: snapshots are made of what is old, texts that nobody uses are let go."""
        self.time += seconds
        self.server.time = self.time
        for _ in range(3):
            await self.server.collaboration.snapshots.sweep()
            await self.server.settle()

    async def restart(self) -> None:
        await self.server.kill()
        self.start()
        await self.hello()

    @property
    def covered(self) -> int | None:
        return self.storage._by_id[ROOT].covered

    def in_memory(self) -> set[str]:
        return set(self.server.collaboration.router.sessions[ROOT].files)

    def key(self, name: str) -> int:
        return next(file.key for file in self.storage._by_id[ROOT].files if file.file_id == self.files[name])


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    at = Place()
    await at.storage.create_tree(ROOT, 1)
    await at.hello()
    for name in NAMES:
        await at.create(name)
        for word in ("one ", "two ", "three "):
            await at.type(name, word)
    await at.sweep()
    yield at
    await at.server.stop()


TEXT = "three two one "


async def test_what_is_in_snapshots_is_covered_and_let_go() -> None:
    async with place() as at:
        assert at.covered == 12
        assert at.in_memory() == set(at.files.values())
        await at.sweep(21.0)
        assert at.in_memory() == set()
        assert [await at.read(name) for name in NAMES] == [TEXT] * 3


async def test_a_text_that_has_come_back_goes_on_where_it_was() -> None:
    async with place() as at:
        await at.sweep(21.0)
        at.number -= 1
        with pytest.raises(CoscribeError) as error:
            await at.type("c.txt", "other")
        assert error.value.code is Code.OPERATION_ID_REUSED
        place_of_it = await at.type("c.txt", "four ")
        assert place_of_it.document_version == 4
        assert await at.read("c.txt") == "four " + TEXT
        await at.sweep()
        assert at.covered == 13


async def test_somebody_who_has_it_open_keeps_it_in_memory() -> None:
    async with place() as at:
        await at.say({"type": "join", "fileId": at.files["a.txt"]})
        await at.sweep(21.0)
        assert at.in_memory() == {at.files["a.txt"]}


async def test_after_a_restart_only_what_is_not_covered_is_read() -> None:
    async with place() as at:
        await at.type("a.txt", "four ")
        await at.restart()
        session = at.server.collaboration.router.sessions[ROOT]
        assert at.in_memory() == set()
        assert {key: [row.sequence for row in rows] for key, rows in session.tails.items()} == {at.key("a.txt"): [13]}
        assert [await at.read(name) for name in NAMES] == ["four " + TEXT, TEXT, TEXT]
        assert session.tails == {}


async def test_a_text_that_lacks_a_snapshot_gets_one_though_nobody_opens_it() -> None:
    async with place() as at:
        await at.type("a.txt", "four ")
        await at.restart()
        await at.sweep()
        assert at.covered == 13
        newest = await at.storage.newest(at.key("a.txt"))
        assert newest is not None
        assert (newest.sequence, newest.content) == (13, "four " + TEXT)


async def test_the_tree_is_as_it_was_and_those_who_were_away_get_the_rest() -> None:
    async with place() as at:
        await at.grow({"verb": "create", "parentId": ROOT, "name": "d", "kind": "directory"})
        (committed,) = await at.grow({"verb": "move", "fileId": at.files["a.txt"], "parentId": "f" * 26, "name": "x"})
        assert committed["code"] == "file_not_found"
        (committed,) = await at.grow({"verb": "move", "fileId": at.files["a.txt"], "name": "z.txt"})
        (entry,) = committed["entries"]
        have = {"serverSequenceId": 13, "chainHash": "0" * 64, "documentVersion": 0, "incarnation": "memory"}
        await at.server.kill()
        row = at.storage._by_id[ROOT].entries[12]
        at.start()
        token = make_token(SECRET, "ann", "owner", 3_600)
        await at.say({"type": "hello", "protocol": [1], "token": token})
        heard = await at.say({"type": "join", "fileId": ROOT, "have": {**have, "chainHash": row.digest.hex()}})
        assert [message["type"] for message in heard] == ["treeCommitted", "live"]
        assert heard[0]["previousSequenceId"] == 13
        assert heard[0]["entries"] == [entry]


@pytest.mark.parametrize("loss", ["damaged", "all damaged", "gone", "older"])
async def test_a_snapshot_that_is_damaged_or_gone_is_made_up_for_from_the_log(loss: str) -> None:
    async with place() as at:
        await at.type("a.txt", "four ")
        await at.sweep()
        kept = at.storage._snapshots[at.key("a.txt")]
        assert [snapshot.sequence for snapshot in kept] == [13, 4]
        if loss == "gone":
            kept.clear()
        elif loss == "older":
            del kept[0]
        else:
            kept[:] = [
                snapshot._replace(content="x") if index == 0 or loss == "all damaged" else snapshot
                for index, snapshot in enumerate(kept)
            ]
        await at.restart()
        assert await at.read("a.txt") == "four " + TEXT
        assert (await at.type("a.txt", "five ")).document_version == 5


async def test_a_snapshot_of_the_tree_that_is_gone_is_made_up_for_from_the_log() -> None:
    async with place() as at:
        at.storage._snapshots[file_key(1, 0)].clear()
        await at.restart()
        tree = at.server.collaboration.router.sessions[ROOT].tree
        assert tree is not None
        assert [entry.sequence for entry in tree.state.window.entries] == [1, 5, 9]
        assert tree.state.last_sequence == 9


async def test_a_tree_whose_log_does_not_end_where_its_head_says_is_not_opened() -> None:
    async with place() as at:
        await at.server.kill()
        at.storage._by_id[ROOT].chain_hash = bytes(32)
        at.start()
        heard = await at.hello()
        assert heard[-1]["code"] == "file_damaged"
        at.storage._by_id[ROOT].chain_hash = at.storage._by_id[ROOT].entries[-1].digest


async def test_a_text_that_is_none_any_more_is_closed_and_its_edits_are_refused() -> None:
    async with place() as at:
        await at.say({"type": "join", "fileId": at.files["a.txt"]})
        await at.say({"type": "snapshotApplied", "fileId": at.files["a.txt"], "snapshotSequenceId": 4})
        heard = await at.grow({"verb": "put", "fileId": at.files["a.txt"], "kind": "symlink", "content": "b.txt"})
        assert sorted(message["type"] for message in heard) == ["error", "treeCommitted"]
        with pytest.raises(CoscribeError) as error:
            await at.type("a.txt", "x")
        assert error.value.code is Code.NOT_A_TEXT
        await at.grow({"verb": "put", "fileId": at.files["a.txt"], "kind": "text"})
        assert await at.read("a.txt") == TEXT


async def test_what_was_purged_is_gone_and_no_document_takes_its_id() -> None:
    async with place() as at:
        file_id = at.files["a.txt"]
        await at.say({"type": "join", "fileId": file_id})
        await at.grow({"verb": "delete", "fileId": file_id})
        assert await at.read("a.txt") == TEXT
        heard = await at.grow({"verb": "purge", "fileIds": [file_id]})
        assert "file_not_found" in [message.get("code") for message in heard]
        for _ in range(2):
            (refused,) = await at.say({"type": "join", "fileId": file_id})
            assert refused["code"] == "file_not_found"
            await at.restart()


async def test_the_most_files_that_a_workspace_can_have_had(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        monkeypatch.setattr("coscribe.documents.session.FILES", 6)
        (refused,) = await at.grow(*({"verb": "create", "parentId": ROOT, "name": "x", "kind": "text"} for _ in "123"))
        assert refused["code"] == "quota_exceeded"
        heard = await at.grow(*({"verb": "create", "parentId": ROOT, "name": "x", "kind": "text"} for _ in "12"))
        assert [message["type"] for message in heard] == ["treeCommitted", "treeNotes"]


async def test_a_snapshot_that_could_not_be_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        await at.type("a.txt", "four ")

        async def fails(*_: object, **__: object) -> None:
            raise OSError("no space")

        failed = metrics.snapshots_failed._value.get()
        with monkeypatch.context() as patch:
            patch.setattr(at.storage, "save", fails)
            await at.sweep()
        assert metrics.snapshots_failed._value.get() > failed
        assert at.covered == 12
        await at.sweep()
        assert at.covered == 13


async def test_a_file_can_be_opened_before_the_disk_has_it() -> None:
    async with place() as at:
        at.server.log.hold()
        file_id = await at.create("new.txt")
        assert await at.say({"type": "join", "fileId": file_id}) == []
        at.server.log.release()
        await at.server.settle()
        heard = list(iter(lambda: at.person.take(("presence",)), None))
        assert [message["type"] for message in heard] == ["treeCommitted", "snapshot"]


async def test_what_was_edited_while_a_snapshot_was_on_its_way_is_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        await at.type("a.txt", "4 ")
        save, may_go = at.storage.save, asyncio.Event()

        async def slow(snapshot: FileSnapshot, *, keep: int) -> None:
            await may_go.wait()
            await save(snapshot, keep=keep)

        with monkeypatch.context() as patch:
            patch.setattr(at.storage, "save", slow)
            at.time += 6.0
            at.server.time = at.time
            await at.server.collaboration.snapshots.sweep()
            while not at.server.collaboration.snapshots._saving:  # noqa: ASYNC110  (no event)
                await asyncio.sleep(0)
            for number in range(9):  # more than the window keeps
                await at.type("a.txt", f"{number + 5} ")
            may_go.set()
            await at.server.settle()
        assert at.server.collaboration.router.sessions[ROOT].covered() == 13


async def test_an_answer_from_before_a_text_was_let_go_is_not_believed() -> None:
    async with place() as at:
        await at.type("a.txt", "four ")
        await at.sweep()
        await at.sweep(21.0)
        assert at.in_memory() == set()
        session, file = await at.server.collaboration.router.open(at.files["a.txt"])
        assert isinstance(file, OpenFile)
        again = messages.Operation(at.files["a.txt"], f"a:{at.number}", "ann", 4, "insert", 0, "four ")
        stale = Evidence({again.operation_id: Answer(None, 12)})
        with pytest.raises(Missing):
            session.submit(file, again, Author("ann", 1), "owner", True, 1, lambda count: [bytes(16)] * count, stale)


@pytest.mark.parametrize("wrong", ["name", "lost", "payload", "snapshot", "outside"])
async def test_verifying_finds_what_is_wrong_with_a_tree(wrong: str) -> None:
    async with place() as at:
        stored = at.storage._by_id[ROOT]
        snapshot = at.storage._snapshots[file_key(1, 0)][0]
        workspace, rows = at.storage._workspace(stored), list(stored.entries)
        assert audit(workspace, rows, [Claim("snapshot", snapshot)]).clean
        file = workspace.files[1]
        assert file.node is not None
        if wrong == "name":
            other = file._replace(node=file.node._replace(name="other"))
            workspace = workspace._replace(files=(workspace.files[0], other, *workspace.files[2:]))
        elif wrong == "lost":
            workspace = workspace._replace(files=(workspace.files[0], file._replace(node=None), *workspace.files[2:]))
        elif wrong == "payload":
            rows[0] = rows[0]._replace(payload=b'{"tree":[["f",["","x","text",false,"",[]],null]]}')
        elif wrong == "snapshot":
            content = snapshot.content.replace("a.txt", "A.txt")
            snapshot = snapshot._replace(content=content, content_hash=content_hash(content))
        else:
            del rows[0]
        report = audit(workspace, rows, [Claim("snapshot", snapshot)])
        kinds = {finding.kind for finding in report.findings}
        assert kinds >= {"payload": {"chain", "tree"}, "snapshot": {"claim"}, "outside": {"gap"}}.get(wrong, {"tree"})


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_purged_holds_nothing_up(restarted: bool) -> None:
    """Its last edits are in no snapshot, and never will be."""
    async with place() as at:
        await at.type("a.txt", "four ")
        await at.restart()
        await at.grow({"verb": "delete", "fileId": at.files["a.txt"]})
        await at.grow({"verb": "purge", "fileIds": [at.files["a.txt"]]})
        if restarted:
            await at.restart()
        assert at.server.collaboration.router.sessions[ROOT].tails == {}
        await at.sweep()
        assert at.covered == 15


async def test_texts_that_nobody_has_open_go_at_once_where_memory_is_short() -> None:
    async with place() as at:
        await at.say({"type": "join", "fileId": at.files["a.txt"]})
        at.server.collaboration.snapshots._policy = POLICY._replace(max_bytes=100)
        await at.sweep(0.0)
        assert at.in_memory() == {at.files["a.txt"]}
        assert await at.read("b.txt") == TEXT


# ---- without joining


def making(*names: str, exact: bool = True, texts: dict[int, str] | None = None) -> Plan:
    def plan(tree: Tree, _: PathRights) -> Planned:
        if exact and any(tree.find(name) for name in names):
            raise CoscribeError(Code.CONFLICT)
        edits = [messages.CreateNode(ROOT, name, "text", exact=exact) for name in names]
        return Planned(edits, texts or {})

    return plan


async def test_files_and_their_texts_are_made_in_one_group() -> None:
    async with place() as at:
        documents = at.server.collaboration
        at.server.log.hold()
        plan = making("x", "y", "z", texts={0: "X", 2: "Z"})
        making_them = asyncio.create_task(documents.edit_tree(ANN, ROOT, "s", plan))
        await at.server.settle()
        assert not making_them.done()
        at.server.log.release()
        edited = await making_them
        assert edited.place == messages.Place("s:1", 13, 0)
        ids = [change.file_id for change in edited.effect.changes]
        assert [(await documents.text(ANN, file_id)).text for file_id in ids] == ["X", "", "Z"]
        rows = await at.storage.read(1, 12, through=99, limit=99)
        assert [(row.sequence, row.operation_id) for row in rows] == [(13, "s:1"), (14, "s:2"), (15, "s:3")]
        again = await documents.edit_tree(ANN, ROOT, "s", plan)
        assert again == TreeEdited(edited.place, NO_EFFECT)
        assert len(at.storage._by_id[ROOT].entries) == 15


async def test_a_long_text_is_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        documents = at.server.collaboration
        monkeypatch.setattr(documents, "limits", Limits(operation_length=4))
        edited = await documents.edit_tree(ANN, ROOT, "s", making("x", texts={0: "0123456789"}))
        text = await documents.text(ANN, edited.effect.changes[0].file_id)
        assert (text.text, text.version) == ("0123456789", 3)


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (making("a.txt"), Code.CONFLICT),
        (making("x", "x"), Code.CONFLICT),
        (making("x", texts={0: "a\0b"}), Code.INVALID_TEXT),
        (making("x", texts={0: "x" * 101}), Code.FILE_TOO_LARGE),
        (making(".."), Code.INVALID_PAYLOAD),
    ],
)
async def test_what_cannot_be_made_whole_is_not_made_at_all(
    plan: Plan, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place() as at:
        documents = at.server.collaboration
        monkeypatch.setattr(documents, "limits", Limits(file_length=100))
        with pytest.raises(CoscribeError) as error:
            await documents.edit_tree(ANN, ROOT, "s", plan)
        assert error.value.code is code
        await at.server.settle()
        assert len(at.storage._by_id[ROOT].entries) == 12
        assert await documents.edit_tree(ANN, ROOT, "s", making("fine")) is not None


async def test_there_is_room_for_all_of_it_or_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        documents = at.server.collaboration
        plan = making("x", "y", texts={0: "X" * 10, 1: "Y" * 10})
        session = documents.router.sessions[ROOT]
        for code in (Code.OVERLOADED, Code.QUOTA_EXCEEDED):
            with monkeypatch.context() as patch:
                if code is Code.OVERLOADED:
                    patch.setattr(documents._committer, "_max_backlog", 2)
                else:
                    patch.setattr(session, "allowance", Allowance(100, 85, lambda: None))
                with pytest.raises(CoscribeError) as error:
                    await documents.edit_tree(ANN, ROOT, "s", plan)
            assert error.value.code is code
            await at.server.settle()
            assert len(at.storage._by_id[ROOT].entries) == 12
        await documents.edit_tree(ANN, ROOT, "s", plan)


async def test_who_may_not_see_the_workspace_learns_nothing_and_who_only_reads_changes_nothing() -> None:
    async with place() as at:
        documents = at.server.collaboration
        at.server.rights.roles["ann", ROOT] = None
        with pytest.raises(CoscribeError) as error:
            await documents.edit_tree(ANN, ROOT, "s", making("x"))
        assert error.value.code is Code.FILE_NOT_FOUND
        at.server.rights.roles["ann", ROOT] = "viewer"
        with pytest.raises(CoscribeError) as error:
            await documents.edit_tree(ANN, ROOT, "s", making("x"))
        assert error.value.code is Code.PERMISSION_DENIED
        assert len(at.storage._by_id[ROOT].entries) == 12


@pytest.mark.parametrize("written", [True, False])
async def test_asking_again_after_a_commit_of_unknown_outcome_does_it_once(written: bool) -> None:
    async with place() as at:
        documents = at.server.collaboration
        at.server.log.fail(written=written)
        with pytest.raises(CoscribeError) as error:
            await documents.edit_tree(ANN, ROOT, "s", making("x", texts={0: "X"}))
        assert error.value.code is Code.STORAGE_UNAVAILABLE
        edited = await documents.edit_tree(ANN, ROOT, "s", making("x", texts={0: "X"}))
        assert edited.place.server_sequence_id == 13
        assert [row.operation_id for row in at.storage._by_id[ROOT].entries[12:]] == ["s:1", "s:2"]
