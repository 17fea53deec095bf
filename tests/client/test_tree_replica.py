"""Replicas of trees: ahead of the server, behind each other, and in the end the same."""

from __future__ import annotations

from random import Random

import pytest

from coscribe.client.replica import Gap, NotOurs, OutOfStep
from coscribe.client.tree_replica import TreeReplica
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Tree, node_id
from coscribe.gateway.auth import make_token
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import CreateNode, DeleteNode, MoveNode, PurgeNodes, RestoreNode, SetProperty, TreeEdit
from tests.contracts.conversations import SECRET, RecordingTransport, Server

ROOT = "project"
PEOPLE = ("ann", "bob", "cid")
NAMES = ("a", "A", "b.txt", "src")
FOLDER = CreateNode(ROOT, "src", "directory")
TEXT = CreateNode(ROOT, "a", "text")


class Window:
    """Somebody's replica on a line with delays: what was sent to them is read when they come to it."""

    def __init__(self, server: Server, name: str, run: int) -> None:
        self.server = server
        self.name = name
        self.transport = RecordingTransport()
        self.connection = server.connect(self.transport)
        self.replica = TreeReplica(ROOT, f"{name}-{run}")
        self.replica.user_id = name
        self.read = 0
        self.told: list[str] = []

    async def say(self, message: messages.ClientMessage | bytes) -> None:
        self.connection.receive(message if isinstance(message, bytes) else codec.encode(message))
        await self.server.settle()

    async def enter(self) -> None:
        await self.say(messages.Hello([1], make_token(SECRET, self.name, "owner", 3_600)))
        await self.say(messages.Join(ROOT))
        await self.hear(100)

    async def hear(self, most: int) -> None:
        while self.read < len(self.transport.frames) and most:
            most -= 1
            message = codec.decode_server(self.transport.frames[self.read])
            self.read += 1
            replica = self.replica
            if isinstance(message, messages.TreeSnapshot):
                replica.adopt(message)
                await self.say(messages.SnapshotApplied(ROOT, message.snapshot_sequence_id))
            elif isinstance(message, messages.TreeCommitted):
                replica.receive(message.entries, message.previous_sequence_id, message.chain_hash)
            elif isinstance(message, messages.Ack):
                place = message.operations[0]
                replica.acknowledged(place.operation_id, place.server_sequence_id)
            elif isinstance(message, messages.Error):
                assert message.operation_id is not None, message
                self.told.append(message.code)
                assert replica.refused(message.operation_id) is not None
            await self.send()

    async def send(self) -> None:
        message = self.replica.outgoing()
        if message is not None:
            await self.say(message)


def some_edits(random: Random, tree: Tree) -> list[TreeEdit]:
    known = sorted(tree.below("")) or ["nothing"]
    folders = [ROOT, *(each for each in known if each in tree and tree.state(each).kind == "directory")]
    return [
        random.choice(
            (
                CreateNode(random.choice(folders), random.choice(NAMES), random.choice(("directory", "text"))),
                CreateNode(random.choice(folders), random.choice(NAMES), random.choice(("directory", "text"))),
                MoveNode(random.choice(known), random.choice(folders), random.choice((None, *NAMES))),
                MoveNode(random.choice(known), name=random.choice(NAMES)),
                DeleteNode(random.choice(known)),
                RestoreNode(random.choice(known)),
                SetProperty(random.choice(known), "mode", random.choice(("755", ""))),
                PurgeNodes([random.choice(known)]),
            )
        )
        for _ in range(random.choice((1, 1, 1, 3)))
    ]


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))])
async def test_everybody_ends_with_the_tree_of_the_server(seed: int) -> None:
    random = Random(f"tree replicas {seed}")
    storage = MemoryStorage()
    await storage.create_tree(ROOT, 1, folds_case=bool(seed % 2))
    server = Server(storage)
    windows = [Window(server, name, 0) for name in PEOPLE]
    for window in windows:
        await window.enter()
    for _ in range(150):
        window = random.choice(windows)
        what, tree = random.random(), window.replica.tree
        assert tree is not None
        if what < 0.5:
            await window.hear(random.randrange(4))
            continue
        try:
            if what < 0.9:
                window.replica.change(some_edits(random, tree))
            elif what < 0.96:
                window.replica.undo()
            else:
                window.replica.redo()
        except CoscribeError:
            pass
        await window.send()
    while any(window.read < len(window.transport.frames) for window in windows):
        for window in windows:
            await window.hear(100)
    session = server.collaboration.router.sessions[ROOT]
    assert session.tree is not None
    for window in windows:
        replica = window.replica
        assert replica.pending == []
        assert replica.tree is not None
        assert replica.tree.encode() == session.tree.state.tree.encode(), window.name
        assert (replica.sequence, replica.chain_hash) == (
            session.tree.state.last_sequence,
            session.tree.last_digest.hex(),
        )
    await server.stop()


# ---- a replica by itself


def replica() -> TreeReplica:
    made = TreeReplica(ROOT, "s")
    made.user_id = "ann"
    made.adopt(messages.TreeSnapshot(ROOT, 5, "log", "ab", "owner", [], False, False, []))
    return made


def entry(sequence: int, operation_id: str, *changes: messages.TreeChange, user: str = "bob") -> messages.TreeEntry:
    return messages.TreeEntry(operation_id, user, sequence, list(changes))


def made(file_id: str, name: str, kind: messages.Kind = "text") -> messages.TreeChange:
    return messages.TreeChange(file_id, None, messages.TreeNode(ROOT, name, kind))


def names(of: TreeReplica) -> list[str]:
    assert of.tree is not None
    return [name for name, _ in of.tree.children("")]


def test_a_new_file_has_its_id_at_once_and_a_place_in_the_end() -> None:
    mine = replica()
    change = mine.change([TEXT])
    file_id = node_id(ROOT, change.operation_id, 0)
    assert mine.tree is not None
    assert mine.tree.path(file_id) == "a"
    raw = mine.outgoing()
    assert raw is not None
    assert codec.decode_client(raw) == messages.TreeOperation(ROOT, "s:1", "ann", [TEXT])
    assert mine.outgoing() is None
    mine.receive([entry(6, "b:1", made("other", "a"))], 5, "cd")
    assert names(mine) == ["a", "a (2)"]
    mine.receive([entry(7, "s:1", made(file_id, "a (2)"), user="ann")], 6, "ef")
    assert (mine.pending, mine.sequence, mine.chain_hash, change.sequence) == ([], 7, "ef", 7)
    assert names(mine) == ["a", "a (2)"]


def test_what_cannot_be_done_any_more_comes_to_nothing_and_is_handed_back() -> None:
    mine = replica()
    mine.receive([entry(6, "b:1", made("f", "a"))], 5, "cd")
    change = mine.change([MoveNode("f", name="z")])
    later = mine.change([TEXT])
    mine.outgoing()
    node = messages.TreeNode(ROOT, "a", "text")
    mine.receive([entry(7, "b:2", messages.TreeChange("f", node, None))], 6, "ef")
    assert change.effect.changes == ()
    assert names(mine) == ["a"]
    assert mine.refused("s:9") is None
    assert mine.refused("s:1") == (change, ())
    assert mine.pending == [later]
    assert mine.outgoing() is not None


def test_undo_and_redo_are_changes_like_any_other() -> None:
    mine = replica()
    mine.change([FOLDER, TEXT])
    mine.outgoing()
    assert mine.tree is not None
    ids = [node_id(ROOT, "s:1", place) for place in (0, 1)]
    mine.receive([entry(6, "s:1", made(ids[0], "src", "directory"), made(ids[1], "a"), user="ann")], 5, "cd")
    undone = mine.undo()
    assert undone is not None
    assert names(mine) == []
    raw = mine.outgoing()
    assert raw is not None
    sent = codec.decode_client(raw)
    assert isinstance(sent, messages.TreeOperation)
    assert (sent.operations, sent.restores) == ([DeleteNode(ids[1]), DeleteNode(ids[0])], [6])
    assert mine.redo() is not None
    assert names(mine) == ["a", "src"]
    assert mine.undo() is not None
    assert mine.undo() is None


def test_one_that_is_not_the_latest_may_be_taken_back_by_its_name() -> None:
    mine = replica()
    mine.receive([entry(6, "b:1", made("f", "a"), made("g", "b"))], 5, "cd")
    assert mine.latest == ""
    mine.change([MoveNode("f", name="x")])
    first = mine.latest
    mine.change([MoveNode("g", name="y")])
    assert mine.undo(first) is not None
    assert (names(mine), mine.undo(first)) == (["a", "y"], None)
    assert mine.redo() is not None
    assert mine.undo() is not None
    assert mine.undo() is not None
    assert (names(mine), mine.undo()) == (["a", "b"], None)


def test_what_others_have_made_impossible_to_undo_is_passed_over() -> None:
    mine = replica()
    mine.receive([entry(6, "b:1", made("f", "a"), made("g", "b"))], 5, "cd")
    mine.change([MoveNode("g", name="y")])
    mine.change([MoveNode("f", name="z")])
    node = messages.TreeNode(ROOT, "a", "text")
    mine.receive([entry(7, "b:2", messages.TreeChange("f", node, None))], 6, "ef")
    assert mine.undo() is not None  # the second came to nothing: there is nothing of it to take back
    assert names(mine) == ["b"]
    assert mine.undo() is None


def test_a_gap_and_another_past_are_noticed() -> None:
    mine = replica()
    with pytest.raises(Gap):
        mine.receive([entry(8, "b:1")], 7, "cd")
    with pytest.raises(OutOfStep):
        mine.receive([entry(6, "b:1", messages.TreeChange("f", messages.TreeNode(ROOT, "x", "text"), None))], 5, "cd")
    mine = replica()
    mine.change([TEXT])
    mine.outgoing()
    with pytest.raises(NotOurs):
        mine.receive([entry(6, "s:1", user="bob")], 5, "cd")
    nodes = [messages.PlacedNode("nowhere", "x", "text", file_id="f")]
    with pytest.raises(OutOfStep):
        mine.adopt(messages.TreeSnapshot(ROOT, 5, "log", "ab", "owner", [], False, False, nodes))


def test_what_comes_twice_counts_once() -> None:
    mine = replica()
    for _ in range(2):
        mine.receive([entry(6, "b:1", made("f", "a"))], 5, "cd")
    assert (names(mine), mine.sequence) == (["a"], 6)


def test_after_a_snapshot_what_is_pending_is_on_top_and_what_is_in_it_already_is_not() -> None:
    mine = replica()
    first, second = mine.change([TEXT]), mine.change([FOLDER])
    mine.outgoing()
    file_id = node_id(ROOT, "s:1", 0)
    nodes = [messages.PlacedNode(ROOT, "a", "text", file_id=file_id)]
    mine.adopt(messages.TreeSnapshot(ROOT, 9, "log", "ab", "owner", [], False, False, nodes))
    mine.acknowledged("s:1", 8)
    assert mine.pending == [second]
    assert first.sequence == 8
    assert names(mine) == ["a", "src"]
    assert mine.lineage() == messages.Have("log", 9, "ab", 0)


def test_nothing_is_changed_where_nothing_is_known_or_it_would_be_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        TreeReplica(ROOT, "s").change([TEXT])
    mine = replica()
    with pytest.raises(CoscribeError) as error:
        mine.change([TEXT, MoveNode("nothing", name="x")])
    assert error.value.code is Code.FILE_NOT_FOUND
    assert (names(mine), mine.pending, mine.undo()) == ([], [], None)
