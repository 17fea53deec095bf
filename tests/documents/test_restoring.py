"""A workspace, or a part of it, made what it was."""

from __future__ import annotations

import os
from random import Random

import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code
from coscribe.core.tree import Create, Delete, Move, Restore, Tree
from coscribe.documents import restoring
from coscribe.documents.restoring import Restoring, plan
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from tests.contracts.conversations import Server
from tests.documents.past_worlds import ANN, ROOT, Was, World, naive_states
from tests.documents.test_file_system import CID, RULES, refused
from tests.documents.test_trees import Ruled

SEED = int(os.environ.get("COSCRIBE_SEED", "0")) or Random().randrange(1, 10**9)
FAR = 10**9


def contents(was: Was, below: str = "") -> dict[str, tuple[str, str]]:
    """Without versions."""
    return {
        path: (kind, content)
        for path, (kind, content, _) in was.files.items()
        if not below or path == below or path.startswith(f"{below}/")
    }


async def states(world: World, *sequences: int) -> list[Was]:
    log = await world.log()
    key = (await world.server.collaboration.present(ANN, ROOT, with_nodes=False)).workspace_key
    wanted = {len(log) if sequence == FAR else sequence for sequence in sequences}
    found = dict(naive_states(log, key, wanted))
    return [found[len(log) if sequence == FAR else sequence] for sequence in sequences]


async def test_a_workspace_becomes_what_it_was_and_what_it_was_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"COSCRIBE_SEED={SEED}")
    random = Random(SEED)
    monkeypatch.setattr(restoring, "MAX_UNIT", random.choice((3, 1_000)))
    for purges in (True, False):
        world = World(MemoryStorage(), random, segments=False)
        if not purges:
            monkeypatch.setattr(world, "purge", world.sweep)
        await world.begin()
        await world.live(250)
        for _ in range(6):
            sequence = random.randint(0, len(await world.log()))
            done = await Restoring(world.server.collaboration, world.past).restore(
                ANN, ROOT, "", sequence, f"r{random.random()}"[:12].replace(".", "")
            )
            then, now = await states(world, sequence, FAR)
            assert contents(now) == contents(then), f"sequence {sequence}, COSCRIBE_SEED={SEED}"
            again = Restoring(world.server.collaboration, world.past)
            await again.restore(ANN, ROOT, "", done.sequence, f"u{random.random()}"[:12].replace(".", ""))
            before, now = await states(world, done.sequence, FAR)
            assert contents(now) == contents(before), f"sequence {done.sequence}, COSCRIBE_SEED={SEED}"
            await world.live(20)
        await world.server.stop()


async def test_a_part_becomes_what_it_was() -> None:
    random = Random(SEED)
    world = World(MemoryStorage(), random, segments=False)
    await world.begin()
    await world.live(250)
    restored = Restoring(world.server.collaboration, world.past)
    for number in range(8):
        sequence = random.randint(50, len(await world.log()))
        (then,) = await states(world, sequence)
        path = random.choice(sorted(then.files))
        await restored.restore(ANN, ROOT, path, sequence, f"p{number}")
        then, now = await states(world, sequence, FAR)
        inside = {other.removeprefix(path): found for other, found in contents(then, path).items()}
        # Its folder may have another name by now, or none.
        key = (await world.server.collaboration.present(ANN, ROOT, with_nodes=True)).nodes
        file_id = (await world.past.moment(ANN, ROOT, sequence)).find(path)
        tree = Tree.of(key)
        here = tree.path(file_id) if file_id in tree else next(p for p in contents(now) if p.endswith(path))
        assert {other.removeprefix(here): found for other, found in contents(now, here).items()} == inside, (
            f"{path} at {sequence}, COSCRIBE_SEED={SEED}"
        )
    await world.server.stop()


async def test_a_fork_is_what_the_workspace_was() -> None:
    world = World(MemoryStorage(), Random(SEED), segments=False)
    await world.begin()
    await world.live(200)
    sequence = len(await world.log()) // 2
    await world.storage.create_tree("fork", 1)
    source = await world.past.moment(ANN, ROOT, sequence)
    restored = Restoring(world.server.collaboration, world.past)
    await restored.fork(ANN, source, "fork", "f1")
    log = await world.storage.read(2, 0, through=FAR, limit=FAR)
    (then,) = await states(world, sequence)
    ((_, made),) = naive_states(log, 2, {len(log)})
    assert contents(made) == contents(then)
    # What was done before of the same request is not done again.
    await restored.fork(ANN, source, "fork", "f1")
    await world.server.stop()


def tree_of(*operations: object) -> Tree:
    tree = Tree()
    tree.apply(operations)  # type: ignore[arg-type]  # they are operations
    return tree


def test_names_that_were_exchanged_and_folders_that_were_turned_inside_out_get_back() -> None:
    made = [Create("fa", "", "a", "directory"), Create("fb", "fa", "b", "directory"), Create("fx", "fb", "x", "text")]
    then = tree_of(*made)
    now = tree_of(*made, Move("fb", ""), Move("fa", "fb"), Move("fa", None, "z"), Move("fb", None, "a"))
    planned = plan(then, now, "")
    assert now.encode() == then.encode()
    assert len(planned.units) == 1


def test_what_is_at_the_place_now_makes_room() -> None:
    made = [Create("fa", "", "a.txt", "text"), Create("fb", "", "b.txt", "text")]
    now = tree_of(*made, Delete("fa"), Create("fc", "", "a.txt", "text"))
    planned = plan(tree_of(*made), now, "fa")
    assert now.path("fa") == "a.txt" and now.is_live("fa") and not now.is_live("fc") and now.is_live("fb")
    assert planned.units == ((Delete("fc"), Restore("fa", "", "a.txt")),)


def test_what_is_where_it_was_is_left_alone() -> None:
    made = [Create("fd", "", "d", "directory"), Create("fa", "fd", "a", "text"), Create("fb", "", "b", "text")]
    now = tree_of(*made, Move("fa", "", None), Create("fc", "fd", "c", "text"))
    planned = plan(tree_of(*made), now, "")
    assert planned.units == ((Move("fa", "fd", "a"), Delete("fc")),)


async def test_what_others_type_meanwhile_stays() -> None:
    world = World(MemoryStorage(), Random(1), segments=False)
    await world.begin()
    await world.grow([messages.CreateNode(ROOT, "a.txt", "text")])
    (file_id,) = world.kinds
    await world.edit(file_id, 0, [(0, 0, "one\ntwo\nthree\n")])
    await world.edit(file_id, 1, [(4, 3, "TWO")])
    collaboration = world.server.collaboration
    replace = collaboration.replace_text

    async def typed_meanwhile(*arguments: object, **named: object) -> object:
        await world.edit(file_id, 2, [(0, 0, "typed\n")])
        return await replace(*arguments, **named)  # type: ignore[arg-type]  # as they came

    collaboration.replace_text = typed_meanwhile  # type: ignore[method-assign,assignment]  # somebody is quicker
    done = await Restoring(collaboration, world.past).restore(ANN, ROOT, "a.txt", 2, "r1")
    assert (done.tree_operations, done.texts) == (0, 1)
    assert (await collaboration.text(ANN, file_id)).text == "typed\none\ntwo\nthree\n"
    await world.server.stop()


async def test_a_long_text_comes_back_in_pieces() -> None:
    storage = MemoryStorage()
    world = World(storage, Random(1), segments=False)
    await world.begin()
    await world.grow([messages.CreateNode(ROOT, "a.txt", "text")])
    (file_id,) = world.kinds
    for version in range(5):
        await world.edit(file_id, version, [(0, 0, f"{version}" * 40)])
    await world.edit(file_id, 5, [(0, 200, "gone")])
    await world.server.stop()
    world.server = Server(storage, limits=Limits(operation_length=50))
    collaboration = world.server.collaboration
    world.past._collaboration = collaboration
    await Restoring(collaboration, world.past).restore(ANN, ROOT, "", 6, "r1")
    assert (await collaboration.text(ANN, file_id)).text == "".join(f"{version}" * 40 for version in range(5))[::-1]
    await world.server.stop()


async def test_who_may_not_write_all_of_it_restores_nothing() -> None:
    rights = Ruled(RULES)
    world = World(MemoryStorage(), Random(1), segments=False, rights=rights)
    await world.begin()
    await world.grow([messages.CreateNode(ROOT, "docs", "directory"), messages.CreateNode(ROOT, "free", "text")])
    before = len(await world.log())
    restored = Restoring(world.server.collaboration, world.past)
    async with refused(Code.FILE_NOT_FOUND):
        await restored.restore(CID, ROOT, "secret", 1, "r1")
    docs = next(file_id for file_id, kind in world.kinds.items() if kind == "directory")
    await world.grow([messages.DeleteNode(docs)])
    async with refused(Code.PERMISSION_DENIED):
        await restored.restore(CID, ROOT, "docs", before, "r2")
    assert len(await world.log()) == before + 1
    await world.server.stop()
