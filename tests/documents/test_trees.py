"""A workspace with a tree under everything that may happen to it: its log, its rows, its snapshots and everybody who
has some of it open tell the same story.

    people      have the tree and some texts open, by connections without sockets; they rename, move, delete and type
    server      loses commits, restarts, lets texts go, notes what is covered; time passes
    replicas    follow what they are sent, the slow and obvious way: one gap-free story for the tree and for each text
    the end     the log, replayed from nothing by code that is not the core's, gives what everybody has, and the rows
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coscribe.access import rights as access_rights
from coscribe.access.policy import PathRule
from coscribe.access.policy import Person as RuledPerson
from coscribe.access.rights import Document
from coscribe.core.document_state import Limits
from coscribe.core.tree import node_id
from coscribe.documents import snapshot_manager
from coscribe.documents.audit import Claim, audit
from coscribe.documents.ports import Identity, PathRights
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import make_token
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol.messages import Role
from tests.contracts.conversations import SECRET, Person, Rights, Server, Storage
from tests.core.naive import naive_apply
from tests.core.naive_tree import naive_listing, naive_wrong
from tests.migrated import fresh_database

Json = dict[str, Any]

ROOT = "project"
PEOPLE = ("ann", "bob", "cid")
NAMES = ("a", "A", "b.txt", "é", "src", "a (2)")
RULES = (
    PathRule("everyone", "", "src/**", "none"),
    PathRule("everyone", "", "src/a/**", "read"),
    PathRule("everyone", "", "**/b.txt", "none"),
    PathRule("everyone", "", "A/**", "read"),
)
LIMITS = Limits(window_operations=12)
POLICY = SnapshotPolicy(operations=9, seconds=5.0, idle_seconds=8.0, keep=2)


class Replica:
    """What somebody has of a tree or of a text."""

    def __init__(self, *, has_view: bool = False) -> None:
        self.has_view = has_view
        self.is_open = self.is_live = False
        self.have: Json | None = None
        self.sequence = self.version = 0
        self.digest = bytes(32).hex()
        self.incarnation = ""
        self.text = ""
        self.nodes: dict[str, Json] = {}
        self.place = ("", False)

    def take(self, message: Json) -> None:
        kind = message["type"]
        if kind == "treeSnapshot":
            self.nodes = {node.pop("fileId"): node for node in message["nodes"]}
            self._be_at(message["snapshotSequenceId"], message["chainHash"], 0, message["incarnation"])
        elif kind == "snapshot":
            self.text = message["content"]
            version = message["snapshotVersion"]
            self._be_at(message["snapshotSequenceId"], message["chainHash"], version, message["incarnation"])
        elif kind in ("treeCommitted", "committed"):
            previous = message["previousSequenceId"]
            assert previous == self.sequence or (previous < self.sequence and self.has_view), "a gap"
            for entry in message.get("entries", ()):
                self._take_entry(entry)
            for operation in message.get("operations", ()):
                self.text = naive_apply(self.text, form_of(operation))
                self.sequence, self.version = operation["serverSequenceId"], operation["documentVersion"]
            self.digest = message["chainHash"]
        elif kind == "moved":
            self.place = (message["path"], message["trashed"])
        elif kind == "live":
            self.is_live = True
            # What is hidden from somebody took a sequence, too.
            assert message["serverSequenceId"] == self.sequence or self.has_view
            self.sequence = message["serverSequenceId"]
        elif kind in ("rejoin", "error"):
            self.is_open = self.is_live = False

    def _take_entry(self, entry: Json) -> None:
        self.sequence = entry["serverSequenceId"]
        for change in entry["changes"]:
            file_id, before, after = change["fileId"], change["before"], change["after"]
            assert self.nodes.get(file_id) == before, "it was something else before"
            if after is None:
                del self.nodes[file_id]
            else:
                self.nodes[file_id] = after

    def _be_at(self, sequence: int, digest: str, version: int, incarnation: str) -> None:
        self.sequence, self.digest, self.version, self.incarnation = sequence, digest, version, incarnation
        self.is_live = False

    def lineage(self) -> Json:
        place = {"incarnation": self.incarnation, "serverSequenceId": self.sequence, "chainHash": self.digest}
        return place | {"documentVersion": self.version}


def form_of(operation: Json) -> list[Any]:
    """A committed operation as `naive` has it."""
    kind, at, payload = operation["operationType"], operation["position"], operation["payload"]
    before = [at] if at else []
    if kind == "insert":
        return [*before, payload]
    if kind == "delete":
        return [*before, {"d": payload}]
    if kind == "replace":
        return [*before, payload["insert"], {"d": payload["delete"]}]
    form: list[Any] = []
    done = 0
    for position, deleted, inserted in payload:
        form += [position - done] if position > done else []
        form += [inserted] if inserted else []
        form += [{"d": deleted}] if deleted else []
        done = position + deleted
    return form


class Ruled(Rights):
    """Everybody is an owner but cid, for whom there may be rules; who has no role in ``roles`` has none."""

    def __init__(self, rules: tuple[PathRule, ...]) -> None:
        super().__init__()
        self.rules = rules

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        if self.roles.get((identity.account, workspace_id), "owner") is None:
            return None
        return self.of(identity.user_id)

    def of(self, name: str) -> PathRights:
        role: Role = "editor" if name == "cid" else "owner"
        document = Document(1, ROOT, "Project", "active", 1, 0, None, None)
        person = RuledPerson(name, frozenset(), role)
        sides = (access_rights.Side(person, self.rules),)
        found = access_rights.Rights(document, role, person, sides, "owner").in_tree()
        assert found is not None
        return found


class World:
    def __init__(self, random: Random, open_storage: Callable[[], Storage]) -> None:
        self.random = random
        self.open_storage = open_storage
        self.time = 1_000.0
        self.numbers = dict.fromkeys(PEOPLE, 0)
        self.people: dict[str, Person] = {}
        self.replicas: dict[str, dict[str, Replica]] = {}
        self.texts: dict[str, None] = {}
        self.refused: list[str] = []
        self.saved: dict[str, int] = {}
        self.to_save: dict[tuple[str, str], int] = {}
        self.rules = RULES if random.random() < 0.5 else ()
        """For cid, who is an editor; the others are owners."""

    async def begin(self) -> None:
        storage = self.open_storage()
        await storage.create_tree(ROOT, 1, folds_case=self.random.random() < 0.5)
        await storage.close()
        await self.start()

    async def start(self) -> None:
        """A server, as after a restart, and everybody connects anew."""
        self.server = Server(self.open_storage(), limits=LIMITS, rights=Ruled(self.rules))
        self.server.collaboration.snapshots._policy = POLICY
        self.server.time = self.time
        for name in PEOPLE:
            self.people[name] = Person(self.server)
            known = self.replicas.setdefault(name, {ROOT: Replica(has_view=name == "cid" and bool(self.rules))})
            for replica in known.values():
                replica.is_open = replica.is_live = False
            await self.say(name, {"type": "hello", "protocol": [1], "token": make_token(SECRET, name, "owner", 3_600)})

    async def say(self, name: str, message: Json) -> None:
        self.people[name].connection.receive(json.dumps(message, ensure_ascii=False).encode())
        await self.hear()

    async def hear(self) -> None:
        """Everybody takes in what has come, and applies snapshots, until nothing comes any more."""
        while True:
            await self.server.settle()
            is_quiet = True
            for name, person in self.people.items():
                for message in iter(lambda person=person: person.take(("welcome", "presence", "left", "pong")), None):  # type: ignore[misc]  # the default binds the loop's value
                    is_quiet = False
                    self.take(name, message)
            if is_quiet:
                return

    def take(self, name: str, message: Json) -> None:
        kind = message["type"]
        assert person_is_served(message), message
        if kind == "error":
            self.refused.append(message["code"])
        elif kind == "moved":
            names, rights = message["path"].split("/"), Ruled(self.rules).of(name)
            for depth in range(1, len(names) + 1):
                assert rights.shows("/".join(names[:depth]), is_folder=depth < len(names)), (name, message)
        elif kind == "saved":
            file_id = message["fileId"] or ROOT
            self.saved[file_id] = max(self.saved.get(file_id, 0), message["serverSequenceId"])
            assert message["serverSequenceId"] >= self.to_save.pop((name, file_id), 0)
        replica = self.replicas[name].get(message.get("fileId") or "")
        if replica is None or (kind == "error" and message.get("operationId")):
            return
        replica.take(message)
        if kind in ("snapshot", "treeSnapshot"):
            applied = {"fileId": message["fileId"], "snapshotSequenceId": replica.sequence}
            raw = json.dumps({"type": "snapshotApplied", **applied})
            self.people[name].connection.receive(raw.encode())

    # ---- what happens

    async def step(self) -> None:
        acts = (
            self.grow,
            self.grow,
            self.type,
            self.type,
            self.type,
            self.join,
            self.join,
            self.leave,
            self.disk,
            self.save,
        )
        await self.random.choice((*acts, self.time_passes, self.restart if self.random.random() < 0.3 else self.type))()

    def next_id(self, name: str) -> str:
        self.numbers[name] += 1
        return f"{name}:{self.numbers[name]}"

    async def grow(self) -> None:
        """Somebody changes the tree."""
        random = self.random
        name = random.choice(PEOPLE)
        replica = self.replicas[name][ROOT]
        if not replica.is_live:
            await self.open(name, ROOT)
            return
        operation_id = self.next_id(name)
        known = sorted(replica.nodes)
        edits: list[Json] = []
        for place in range(random.choice((1, 1, 1, 2, 4))):
            folders = [ROOT, *(each for each in known if replica.nodes.get(each, {}).get("kind") == "directory")]
            verb = random.choice(("create", "create", "move", "move", "delete", "restore", "set", "put", "purge"))
            if verb == "create" or not known:
                kind = random.choice(("directory", "text", "text"))
                edits.append({"verb": "create", "parentId": random.choice(folders), "name": random.choice(NAMES)})
                edits[-1]["kind"] = kind
                made = node_id(ROOT, operation_id, place)
                known.append(made)
                if kind == "text":
                    self.texts[made] = None
            elif verb == "move":
                edits.append({"verb": verb, "fileId": random.choice(known)})
                if random.random() < 0.6:
                    edits[-1]["name"] = random.choice(NAMES)
                if random.random() < 0.6 or len(edits[-1]) == 2:
                    edits[-1]["parentId"] = random.choice(folders)
            elif verb == "set":
                edits.append({"verb": verb, "fileId": random.choice(known), "key": "mode", "value": "755"})
            elif verb == "put":
                change = random.choice(({"kind": "text"}, {"kind": "symlink", "content": "../a"}))
                edits.append({"verb": verb, "fileId": random.choice(known), **change})
            elif verb == "purge":
                edits.append({"verb": verb, "fileIds": random.sample(known, min(len(known), 2))})
            else:
                edits.append({"verb": verb, "fileId": random.choice(known)})
        message = {"type": "treeOperation", "fileId": ROOT, "operationId": operation_id, "userId": name}
        await self.say(name, {**message, "operations": edits})
        if random.random() < 0.2:
            await self.say(name, {**message, "operations": edits})

    async def type(self) -> None:
        """Somebody edits a text; another one is opened now and then."""
        random = self.random
        name = random.choice(PEOPLE)
        live = [each for each, replica in sorted(self.replicas[name].items()) if each != ROOT and replica.is_live]
        if not live:
            await self.join()
            return
        file_id = random.choice(live)
        replica = self.replicas[name][file_id]
        at = random.randrange(len(replica.text) + 1)
        edit: Json = {"operationType": "insert", "position": at, "payload": random.choice(("x", "yy", "é\n"))}
        if at < len(replica.text) and random.random() < 0.4:
            edit = {"operationType": "delete", "position": at, "payload": min(len(replica.text) - at, 3)}
        message = {"type": "operation", "fileId": file_id, "operationId": self.next_id(name), "userId": name}
        await self.say(name, {**message, "baseVersion": replica.version, **edit})

    async def join(self) -> None:
        name = self.random.choice(PEOPLE)
        await self.open(name, self.random.choice([ROOT, *self.texts]))

    async def open(self, name: str, file_id: str) -> None:
        replica = self.replicas[name].setdefault(file_id, Replica())
        if not replica.is_open:
            replica.is_open = True
            have = {"have": replica.lineage()} if replica.incarnation and self.random.random() < 0.8 else {}
            await self.say(name, {"type": "join", "fileId": file_id, **have})

    async def leave(self) -> None:
        name = self.random.choice(PEOPLE)
        for file_id, replica in self.replicas[name].items():
            if replica.is_live and self.random.random() < 0.5:
                replica.is_open = replica.is_live = False
                await self.say(name, {"type": "leave", "fileId": file_id})

    async def save(self) -> None:
        name = self.random.choice(PEOPLE)
        live = [file_id for file_id, replica in sorted(self.replicas[name].items()) if replica.is_live]
        if live:
            file_id = self.random.choice(live)
            self.to_save.setdefault((name, file_id), self.replicas[name][file_id].sequence)
            named = {} if file_id == ROOT and self.random.random() < 0.5 else {"fileId": file_id}
            await self.say(name, {"type": "save", **named})

    async def disk(self) -> None:
        what = self.random.choice(("hold", "release", "release", "before", "after"))
        if what == "hold":
            self.server.log.hold()
        elif what == "release":
            self.server.log.release()
        else:
            self.server.log.fail(written=what == "after")
        await self.hear()

    async def time_passes(self) -> None:
        self.time += self.random.choice((1.0, 6.0, 20.0))
        self.server.time = self.time
        if not self.server.log.waiting:
            await self.server.collaboration.snapshots.sweep()
            await self.hear()

    async def restart(self) -> None:
        await self.server.kill()
        self.to_save.clear()
        await self.start()

    # ---- the end

    async def compare(self) -> None:
        self.server.log.release()
        await self.hear()
        truth = Truth(await self.entries())
        for name, replicas in self.replicas.items():
            if replicas[ROOT].is_live:
                assert listing(replicas[ROOT].nodes) == listing(self.shown(truth, name)), name
            for file_id, replica in replicas.items():
                assert not replica.is_live or file_id == ROOT or replica.text == truth.texts.get(file_id, "")
                self.check_place(truth, name, file_id)
        self.check_index(truth)
        await self.restart()
        for name in PEOPLE:
            for file_id in [ROOT, *self.texts]:
                await self.open(name, file_id)
                replica = self.replicas[name][file_id]
                shown = self.shown(truth, name)
                if file_id == ROOT:
                    assert replica.is_live
                    assert listing(replica.nodes) == listing(shown), name
                elif self.may_open(truth, name, file_id):
                    assert replica.is_live
                    assert replica.text == truth.texts.get(file_id, ""), (name, file_id)
                    self.check_place(truth, name, file_id)
                else:
                    assert not replica.is_live
        self.check_index(truth)

    def check_place(self, truth: Truth, name: str, file_id: str) -> None:
        """Who has a text open knows where it is, if they see it there."""
        replica = self.replicas[name][file_id]
        if replica.is_live and file_id in self.shown(truth, name):
            assert replica.place == (truth.path(file_id), truth.is_trashed(file_id)), (name, file_id)

    def check_index(self, truth: Truth) -> None:
        """What is looked up by the ids of files knows those that there are."""
        router = self.server.collaboration.router
        session = router.sessions.get(ROOT)
        if session is not None:
            assert session.tree is not None
            assert set(session.tree.keys) == set(router._homes) == set(truth.nodes)
            assert not naive_wrong(plain(truth.nodes), folds_case=session.workspace.folds_case)

    def shown(self, truth: Truth, name: str) -> dict[str, Json]:
        """What somebody is to see of the tree: the slow way, each node by all folders above it."""
        rights = Ruled(self.rules).of(name)

        def is_shown(file_id: str) -> bool:
            node = truth.nodes[file_id]
            if node["parentId"] != ROOT and not is_shown(node["parentId"]):
                return False
            return rights.shows(truth.path(file_id), is_folder=node["kind"] == "directory")

        return {file_id: node for file_id, node in truth.nodes.items() if is_shown(file_id)}

    def may_open(self, truth: Truth, name: str, file_id: str) -> bool:
        """A text whose own path is open to them, also where no folder leads to it."""
        is_text = truth.nodes.get(file_id, {}).get("kind") == "text"
        return is_text and Ruled(self.rules).of(name).on(truth.path(file_id)) is not None

    async def entries(self) -> list[tuple[str, Any]]:
        storage: Any = self.server.log.inner
        workspace = await storage.acquire(ROOT)
        ids = {file.key: file.file_id for file in workspace.files}
        rows = await storage.read(workspace.key, 0, through=10**9, limit=10**9)
        snapshots = [
            Claim("snapshot", kept)
            for file in workspace.files
            for skip in range(3)
            if (kept := await storage.newest(file.key, skip=skip)) is not None
        ]
        report = audit(workspace, rows, snapshots)
        assert report.clean, report.findings
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        covered = workspace.covered or 0
        for file in workspace.files:
            mine = [row.sequence for row in rows if row.file_key == file.key and row.sequence <= covered]
            newest = await storage.newest(file.key)
            if file.node is None and file.file_id != ROOT:
                continue  # it was purged: nobody will ask for it
            assert not mine or (newest is not None and newest.sequence >= mine[-1]), "covered, and in no snapshot"
            saved = max(self.saved.get(ROOT, 0), self.saved.get(file.file_id, 0))
            mine = [row.sequence for row in rows if row.file_key == file.key and row.sequence <= saved]
            assert not mine or (newest is not None and newest.sequence >= mine[-1]), "saved, and in no snapshot"
        return [(ids[row.file_key], json.loads(row.payload)) for row in rows]


class Truth:
    """The log, replayed with nothing of the core."""

    def __init__(self, entries: list[tuple[str, Any]]) -> None:
        self.nodes: dict[str, Json] = {}
        self.texts: dict[str, str] = {}
        for file_id, payload in entries:
            if file_id == ROOT:
                for node, before, after in payload["tree"]:
                    assert self.nodes.get(node) == (None if before is None else shaped(before))
                    self.nodes[node] = {} if after is None else shaped(after)
                    if after is None:
                        del self.nodes[node]
            else:
                assert file_id in self.nodes
                form = [{"d": len(part[0])} if isinstance(part, list) else part for part in payload[0]]
                self.texts[file_id] = naive_apply(self.texts.get(file_id, ""), form)

    def path(self, file_id: str) -> str:
        node = self.nodes[file_id]
        above = "" if node["parentId"] == ROOT else self.path(node["parentId"]) + "/"
        return above + str(node["name"])

    def is_trashed(self, file_id: str) -> bool:
        node = self.nodes[file_id]
        return bool(node.get("trashed")) or (node["parentId"] != ROOT and self.is_trashed(node["parentId"]))


def shaped(stored: list[Any]) -> Json:
    """A node of the log as the wire has it."""
    parent_id, name, kind, trashed, content, properties = stored
    node = {"parentId": parent_id or ROOT, "name": name, "kind": kind}
    more = {"trashed": trashed, "content": content, "properties": dict(properties)}
    return node | {key: value for key, value in more.items() if value}


def plain(nodes: dict[str, Json]) -> dict[str, Json]:
    """Nodes as `naive_tree` has them."""
    return {
        file_id: {**node, "in": "" if node["parentId"] == ROOT else node["parentId"]} for file_id, node in nodes.items()
    }


def listing(nodes: dict[str, Json]) -> list[str]:
    return naive_listing(plain(nodes))


def person_is_served(message: Json) -> bool:
    """Nobody is told of a fault of the server's but that of its disk."""
    return message["type"] != "error" or message["code"] not in ("internal", "file_damaged")


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 60))])
async def test_everybody_has_what_the_log_says(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_manager, "TAILS_AT_A_TIME", 2)
    random = Random(f"trees {seed}")
    memory = MemoryStorage()
    if seed % 4:
        world = World(random, lambda: memory)
    else:
        path = fresh_database(tmp_path / "log.db")
        world = World(random, lambda: SqliteStorage(path))
    await world.begin()
    for _ in range(120):
        await world.step()
    await world.compare()
    await world.server.stop()
    await world.server.log.close()
