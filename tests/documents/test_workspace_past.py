"""Any workspace at any past sequence is what a replay from zero comes to."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from coscribe.access.policy import PathRule
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Tree
from coscribe.documents import past_tree, workspace_past
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Planned
from coscribe.documents.file_system import FileSystem
from coscribe.documents.past_tree import PastTree
from coscribe.documents.ports import Identity, Latest
from coscribe.documents.workspace_past import WorkspacePast
from coscribe.persistence.blobs import MemoryBlobs
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.postgres import PostgresStorage
from coscribe.persistence.sqlite import SqliteStorage
from coscribe.protocol import messages
from tests.contracts.conversations import Server, Storage
from tests.documents.past_worlds import ANN, ROOT, Was, World, naive_states, told
from tests.documents.test_file_system import CID, RULES, refused
from tests.documents.test_trees import Ruled
from tests.migrated import fresh_database

STEPS = int(os.environ.get("COSCRIBE_PAST_STEPS", "350"))
POINTS = int(os.environ.get("COSCRIBE_PAST_POINTS", "25"))
SEED = int(os.environ.get("COSCRIBE_SEED", "0")) or Random().randrange(1, 10**9)


def storage_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Storage:
    if kind == "postgres":
        return PostgresStorage(request.getfixturevalue("postgres")())
    return MemoryStorage() if kind == "memory" else SqliteStorage(fresh_database(folder / "log.db"))


@pytest.mark.parametrize("kind", ["memory", "rows", "segments", "postgres"])
async def test_any_sequence_is_what_a_replay_from_zero_comes_to(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"COSCRIBE_SEED={SEED}")
    random = Random(SEED)
    monkeypatch.setattr(past_tree, "PAGE", 64)
    monkeypatch.setattr(past_tree, "TREE_PAGE", 50)
    monkeypatch.setattr(past_tree, "MAX_TEXTS", random.choice((60, 2_000, 10**9)))
    world = World(storage_of(kind, tmp_path, request), random, segments=kind in ("segments", "postgres"))
    await world.begin()
    await world.live(STEPS)
    began, log = time.perf_counter(), await world.log()
    points = {0, len(log), *random.sample(range(len(log) + 1), min(POINTS, len(log)))}
    key = (await world.server.collaboration.present(ANN, ROOT, with_nodes=False)).workspace_key
    assert bool(await world.storage.segments(key)) == (kind != "rows")  # in memory it is what might be one
    sizes: list[int] = []
    states = list(naive_states(log, key, points))
    random.shuffle(states)  # trees are kept: whoever asks next may be before or behind
    for sequence, was in states:
        assert await told(world, sequence) == was, f"sequence {sequence} of {len(log)}"
        await one_by_one(world, sequence, was)
        sizes.append(len(was.files))
    print(
        f"{kind}: {len(sizes)} points of {len(log)} operations as a replay from zero has them,"
        f" up to {max(sizes)} files, {time.perf_counter() - began:.1f} s, seed {SEED}"
    )
    await world.server.stop()
    await world.storage.close()


async def one_by_one(world: World, sequence: int, was: Was) -> None:
    """Some of the files by themselves."""
    for path in world.random.sample(sorted(was.files), min(3, len(was.files))):
        kind, content, version = was.files[path]
        if kind != "directory":
            found = await world.past.read(ANN, ROOT, path, sequence)
            assert (found.entry.path, found.entry.kind) == (path, kind)
            if found.text is not None:
                text = found.text.text.replace(
                    "\n", {"crlf": "\r\n", "cr": "\r"}.get(found.entry.properties.get("eol", ""), "\n")
                )
                assert (text, found.text.version) == (content, version)
        folder = path.rpartition("/")[0]
        listed = await world.past.list(ANN, ROOT, folder, sequence)
        inside = [other for other in was.files if other.rpartition("/")[0] == folder]
        assert sorted(entry.path for entry in listed.entries) == sorted(inside)


@pytest.mark.parametrize("loss", ["damaged", "lost", "all damaged"])
async def test_a_snapshot_that_is_gone_is_made_up_for(loss: str) -> None:
    """From an older one, or from the beginning."""
    storage = MemoryStorage()
    world = World(storage, Random(SEED), segments=False)
    await world.begin()
    await world.live(150)
    for kept in storage._snapshots.values():
        if loss == "lost":
            del kept[0]
        else:
            kept[: 1 if loss == "damaged" else None] = [
                snapshot._replace(content=snapshot.content + "?")
                for snapshot in kept[: 1 if loss == "damaged" else None]
            ]
    log = await world.log()
    key = (await world.server.collaboration.present(ANN, ROOT, with_nodes=False)).workspace_key
    for sequence, was in naive_states(log, key, {0, 1, len(log) // 2, len(log) - 3, len(log)}):
        assert await told(world, sequence) == was, f"COSCRIBE_SEED={SEED}"
        await one_by_one(world, sequence, was)
    await world.server.stop()


def both(server: Server, storage: MemoryStorage) -> tuple[FileSystem, WorkspacePast]:
    """A workspace by paths, and its past."""
    blobs = MemoryBlobs()
    documents = server.collaboration
    return FileSystem(documents, Blobs(blobs, storage.is_used, 1)), WorkspacePast(documents, storage, storage, blobs)


async def test_the_rules_of_today_hold_for_the_past() -> None:
    """Neither by the name that something had nor by the one that it has."""
    storage = MemoryStorage()
    server = Server(storage, rights=Ruled(RULES))
    files, past = both(server, storage)
    await storage.create_tree(ROOT, 1)
    for number, folder in enumerate(("src", "docs", "secret", "src/lib")):
        await files.mkdir(ANN, ROOT, folder, f"d{number}")
    paths = ("src/a", "src/b", "docs/read", "secret/key", "secret/out", "src/lib/c", "src/purged", "src/trashed")
    for number, path in enumerate(paths):
        await files.create(ANN, ROOT, path, f"this is {path}", f"f{number}")
    then = (await past.moment(ANN, ROOT, None)).sequence
    await files.rename(ANN, ROOT, "src/a", "secret/a", "r1")
    await files.rename(ANN, ROOT, "secret/out", "src/out", "r2")
    await files.rename(ANN, ROOT, "src/lib", "secret/lib", "r3")
    await files.rename(ANN, ROOT, "src/trashed", "secret/trashed", "r4")
    await files.delete(ANN, ROOT, "secret/trashed", "r5")
    purged = (await files.stat(ANN, ROOT, "src/purged")).file_id
    await files.delete(ANN, ROOT, "src/purged", "r6")
    await server.collaboration.edit_tree(ANN, ROOT, "r7", lambda *_: Planned([messages.PurgeNodes([purged])]))

    async def seen(who: Identity, sequence: int | None) -> list[str]:
        return [entry.path for entry in (await past.moment(who, ROOT, sequence)).below("")]

    everything = sorted([*paths, "src", "docs", "secret", "src/lib"], key=lambda path: path.split("/"))
    assert await seen(ANN, then) == everything
    # Of docs cid only reads the present; the past is what was deleted, too.
    assert await seen(CID, then) == ["docs", "src", "src/b", "src/purged"]
    assert await seen(CID, None) == ["docs", "src", "src/b", "src/out"]
    for path in ("src/a", "src/lib", "src/lib/c", "secret", "secret/out", "src/trashed", "docs/read"):
        async with refused(Code.FILE_NOT_FOUND):
            await past.read(CID, ROOT, path, then)
    shown = [file.entry.path async for file in past.files(CID, await past.moment(CID, ROOT, then), "")]
    assert shown == ["docs", "src", "src/b", "src/purged"]
    found = await past.read(CID, ROOT, "src/purged", then)
    assert found.text is not None
    assert found.text.text == "this is src/purged"
    await server.stop()


async def test_each_rule_is_asked_of_both_names_and_of_the_folders_of_then() -> None:
    rules = (PathRule("everyone", "", "src/*.key", "none"), PathRule("everyone", "", "shut/**", "none"))
    storage = MemoryStorage()
    server = Server(storage, rights=Ruled(rules))
    files, past = both(server, storage)
    await storage.create_tree(ROOT, 1)
    for number, folder in enumerate(("src", "src/lib")):
        await files.mkdir(ANN, ROOT, folder, f"d{number}")
    for number, path in enumerate(("src/a.key", "src/b.txt", "src/lib/c")):
        await files.create(ANN, ROOT, path, "x", f"f{number}")
    then = (await past.moment(ANN, ROOT, None)).sequence
    await files.rename(ANN, ROOT, "src/a.key", "src/a.txt", "r1")  # it was closed
    await files.rename(ANN, ROOT, "src/b.txt", "src/b.key", "r2")  # it is closed
    await files.rename(ANN, ROOT, "src/lib/c", "src/c", "r3")  # neither, but the folder that it was in is
    await files.rename(ANN, ROOT, "src/lib", "shut", "r4")
    assert [entry.path for entry in (await past.moment(CID, ROOT, then)).below("")] == ["src"]
    assert [entry.path for entry in (await past.moment(CID, ROOT, None)).below("")] == ["src", "src/a.txt", "src/c"]
    await server.stop()


async def test_one_text_before_an_operation_that_came_to_nothing() -> None:
    world = World(MemoryStorage(), Random(1), segments=False)
    await world.begin()
    await world.grow([messages.CreateNode(ROOT, "a", "text")])
    (file_id,) = world.kinds
    await world.edit(file_id, 0, [(0, 0, "abc")])
    for _ in range(3):
        await world.edit(file_id, 1, [(0, 2, "")])
    await world.server.collaboration.save(ANN, ROOT)
    found = []
    for sequence in range(1, 6):
        text = (await world.past.read(ANN, ROOT, "a", sequence)).text
        assert text is not None
        found.append((text.text, text.version))
    assert found == [("", 0), ("abc", 1), ("c", 2), ("c", 2), ("c", 2)]
    await world.server.stop()


async def test_who_loses_access_gets_no_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_past, "REVIEW", 2)
    storage, rights = MemoryStorage(), Ruled(())
    server = Server(storage, rights=rights)
    files, past = both(server, storage)
    await storage.create_tree(ROOT, 1)
    for number in range(6):
        await files.create(ANN, ROOT, f"f{number}", "x", f"f{number}")
    reading = past.files(CID, await past.moment(CID, ROOT, None), "")
    assert (await anext(reading)).entry.path == "f0"
    rights.rules = RULES
    async with refused(Code.PERMISSION_DENIED):
        assert [file async for file in reading] == []
    await server.stop()


async def test_what_is_not_there_yet_is_refused() -> None:
    world = World(MemoryStorage(), Random(1), segments=False)
    await world.begin()
    await world.make()
    for sequence in (2, 10**12, -1):
        with pytest.raises(CoscribeError) as refused:
            await world.past.moment(ANN, ROOT, sequence)
        assert refused.value.code is Code.BASE_VERSION_FUTURE
    await world.server.stop()


async def test_a_tree_that_was_worked_out_before_a_redaction_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(MemoryStorage(), Random(1), segments=False)
    await world.begin()
    await world.make()
    tree, key = PastTree.tree, (await world.server.collaboration.present(ANN, ROOT, with_nodes=False)).workspace_key

    async def redacted_meanwhile(reader: PastTree, now: Tree, sequence: int) -> Tree:
        found = await tree(reader, now, sequence)
        world.past.forget(key)
        return found

    monkeypatch.setattr(PastTree, "tree", redacted_meanwhile)
    before = await world.past.moment(ANN, ROOT, 0)
    assert (await world.past.moment(ANN, ROOT, 0)).tree is not before.tree
    monkeypatch.undo()
    after = await world.past.moment(ANN, ROOT, 0)
    assert (await world.past.moment(ANN, ROOT, 0)).tree is after.tree
    await world.server.stop()


async def test_a_snapshot_that_is_stored_while_a_text_is_read_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where all is in snapshots is asked before the snapshot that is begun with, not behind it."""
    storage = MemoryStorage()
    server = Server(storage)
    await storage.create_tree(ROOT, 1)
    files = FileSystem(server.collaboration, Blobs(MemoryBlobs(), storage.is_used, 1_000))
    await files.create(ANN, ROOT, "a", "one", "making")
    file_id = (await files.stat(ANN, ROOT, "a")).file_id
    await server.collaboration.save(ANN, ROOT)
    version = (await server.collaboration.text(ANN, file_id)).version
    await server.collaboration.edit(ANN, messages.Operation(file_id, "typing:1", "ann", version, "insert", 3, " two"))
    session = await server.collaboration.router.session(ROOT)
    assert session.tree is not None
    key, now, latest = session.workspace.key, session.durable_sequence, storage.latest

    async def meanwhile(keys: Sequence[int], most: int) -> dict[int, Latest]:
        found = await latest(keys, most)
        await server.collaboration.save(ANN, ROOT)
        await storage.cover(key, now)
        return found

    monkeypatch.setattr(storage, "latest", meanwhile)
    past = past_tree.PastTree(storage, storage, key, now)
    assert (await past.text(session.tree.keys[file_id], now)).text == "one two"
    await server.stop()
