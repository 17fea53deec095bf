"""What was done in a workspace, in pages; and what differs between two moments."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from coscribe.core.errors import Code
from coscribe.core.tree import Create, Delete, Move, Put, Restore, SetProperty, Tree
from coscribe.documents import timeline, workspace_past
from coscribe.documents.blame import PAUSE
from coscribe.documents.history import History
from coscribe.documents.timeline import Difference, WorkSession, differences
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import messages
from tests.documents.past_worlds import ANN, BEN, ROOT, World
from tests.documents.test_file_system import CID, RULES, refused
from tests.documents.test_trees import Ruled

SEED = int(os.environ.get("COSCRIBE_SEED", "0")) or Random().randrange(1, 10**9)


async def world(**named: Any) -> World:
    made = World(MemoryStorage(), Random(SEED), segments=False, **named)
    await made.begin()
    return made


async def grown(at: World, *edits: messages.TreeEdit, pause: float = 1.0) -> None:
    at.time += pause
    at.server.time = at.time
    await at.grow(list(edits))


def told(session: WorkSession) -> list[tuple[str, str, str]]:
    """The oldest first."""
    return [(event.verb, event.path, event.new_path) for event in reversed(session.events)]


async def test_what_one_person_did_is_one_session_whatever_others_do() -> None:
    at = await world(rights=Ruled(()))
    await grown(at, messages.CreateNode(ROOT, "src", "directory"), messages.CreateNode(ROOT, "a.txt", "text"))
    folder, text = at.kinds
    await at.edit(text, 0, [(0, 0, "hello")])
    message = messages.Operation(text, "ben:1", "ben", 1, "batch", 0, [(0, 2, "J")])
    await at.server.collaboration.edit(BEN, message)
    await grown(at, messages.MoveNode(text, folder))
    await at.edit(text, 2, [(0, 0, "oh, ")])
    await grown(at, messages.MoveNode(folder, None, "lib"))
    found = await at.past.timeline(ANN, ROOT, None, 50)
    assert found.next_before is None
    anns, bens = found.items
    assert (anns.first_sequence, anns.last_sequence, anns.operations) == (1, 6, 5)
    assert told(anns) == [
        ("created", "a.txt", ""),
        ("created", "src", ""),
        ("moved", "a.txt", "src/a.txt"),
        ("renamed", "src", "lib"),
    ]
    (work,) = anns.files.values()
    assert (work.path, work.from_version, work.to_version) == ("src/a.txt", 0, 3)
    assert (work.operations, work.inserted, work.deleted) == (2, 9, 0)
    (work,) = bens.files.values()
    assert (bens.first_sequence, work.path, work.inserted, work.deleted) == (3, "a.txt", 1, 2)
    await at.server.stop()


async def test_each_verb() -> None:
    at = await world(rights=Ruled(()))
    await grown(at, messages.CreateNode(ROOT, "a", "symlink", "there"))
    (file_id,) = at.kinds
    for edit in (
        messages.PutContent(file_id, "symlink", "here"),
        messages.SetProperty(file_id, "mode", "755"),
        messages.DeleteNode(file_id),
        messages.RestoreNode(file_id),
        messages.MoveNode(file_id, None, "b"),
        messages.DeleteNode(file_id),
        messages.PurgeNodes([file_id]),
    ):
        await grown(at, edit)
    (session,) = (await at.past.timeline(ANN, ROOT, None, 5)).items
    assert [event.verb for event in reversed(session.events)] == [
        *("created", "replaced", "changed", "deleted", "restored", "renamed", "deleted", "purged")
    ]
    await at.server.stop()


async def test_pauses_make_sessions_and_pages_hold_each_entry_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_past, "PAGE", 7)
    monkeypatch.setattr(workspace_past, "TIMELINE_ROWS", 40)
    at = await world()
    for _ in range(12):
        await at.live(12)
        at.time += PAUSE / 1_000_000
        at.server.time = at.time
    log = await at.log()
    whole: list[WorkSession] = []
    before: int | None = None
    for _ in range(100):
        found = await at.past.timeline(ANN, ROOT, before, 3)
        assert len(found.items) <= 3
        whole += found.items
        before = found.next_before
        if before is None:
            break
    assert before is None
    assert sum(session.operations for session in whole) == len(
        [row for row in log if b'"tree":[]' not in row.payload]
    ), f"COSCRIBE_SEED={SEED}"
    edits = [work for session in whole for work in session.files.values()]
    assert sum(work.operations for work in edits) == sum(row.payload[:1] == b"[" for row in log)
    assert any(session.is_cut for session in whole)
    assert len({session.last_sequence for session in whole}) >= 12  # after each pause there are new ones
    assert not whole[-1].is_cut
    await at.server.stop()


async def test_more_than_is_named_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MAX_NAMED", 3)
    at = await world(rights=Ruled(()))
    await grown(at, *[messages.CreateNode(ROOT, f"f{number}", "text") for number in range(5)])
    for file_id in at.kinds:
        await at.edit(file_id, 0, [(0, 0, "x")])
    (session,) = (await at.past.timeline(ANN, ROOT, None, 5)).items
    assert (len(session.events), len(session.files), session.more) == (3, 3, 4)
    await at.server.stop()


async def test_of_what_one_may_not_see_nothing_is_told() -> None:
    at = await world(rights=Ruled(RULES))
    await grown(at, messages.CreateNode(ROOT, "secret", "directory"), messages.CreateNode(ROOT, "open", "text"))
    secret, text = at.kinds
    await grown(at, messages.CreateNode(secret, "key", "text"))
    key = list(at.kinds)[-1]
    await at.edit(key, 0, [(0, 0, "hush")])
    await at.edit(text, 0, [(0, 0, "hello")])
    await grown(at, messages.MoveNode(key, ROOT, "was-secret"))
    (session,) = (await at.past.timeline(CID, ROOT, None, 5)).items
    assert told(session) == [("created", "open", "")]
    assert [work.path for work in session.files.values()] == ["open"]
    assert session.operations == 2
    (session,) = (await at.past.timeline(ANN, ROOT, None, 5)).items
    assert session.operations == 5
    await at.server.stop()


async def test_a_viewer_sees_no_past() -> None:
    at = await world()
    await grown(at, messages.CreateNode(ROOT, "open", "text"))
    eve = ANN._replace(user_id="eve", account="eve", role="viewer")
    async with refused(Code.PERMISSION_DENIED):
        await at.past.timeline(eve, ROOT, None, 5)
    async with refused(Code.PERMISSION_DENIED):
        await at.past.moment(eve, ROOT, 1)
    await at.server.stop()


def test_what_differs_between_two_moments() -> None:
    made = [
        Create("fd", "", "d", "directory"),
        Create("fa", "fd", "a", "text"),
        Create("fb", "", "b", "text"),
        Create("fc", "", "c", "symlink", "x"),
        Create("fe", "", "e", "text"),
        Create("ft", "", "t", "text"),
    ]
    before, after = Tree(), Tree()
    before.apply([*made, Delete("ft")])
    after.apply([*made, Delete("fb"), Move("fd", None, "dd"), Put("fc", "symlink", "y"), Create("fn", "", "n", "text")])
    after.apply([Move("fa", "", "aa"), Delete("fe"), Restore("fe"), SetProperty("fe", "eol", "cr")])
    assert differences(before, after, {"fa", "fb"}) == [
        Difference("fa", "moved", "text", "d/a", "aa", True),
        Difference("fb", "removed", "text", "b", "", False),
        Difference("fc", "changed", "symlink", "c", "c", True),
        Difference("fd", "moved", "directory", "d", "dd", False),
        Difference("fe", "changed", "text", "e", "e", True),
        Difference("fn", "added", "text", "", "n", False),
        Difference("ft", "added", "text", "", "t", False),
    ]
    assert differences(before, before, set()) == []


async def test_texts_that_were_edited_in_between_differ() -> None:
    at = await world()
    await grown(at, messages.CreateNode(ROOT, "a", "text"), messages.CreateNode(ROOT, "b", "text"))
    one, other = at.kinds
    await at.edit(one, 0, [(0, 0, "xy")])
    await at.edit(other, 0, [(0, 0, "xy")])
    await at.edit(one, 1, [(0, 2, "")])
    await at.edit(one, 1, [(0, 2, "")])  # it is gone already
    assert [each.path for each in await at.past.differences(ANN, ROOT, 2, 3)] == ["b"]
    assert [each.path for each in await at.past.differences(ANN, ROOT, 3, 5)] == ["a"]
    assert await at.past.differences(ANN, ROOT, 4, 5) == []
    await at.server.stop()


async def test_the_past_of_one_text_among_others() -> None:
    """Sessions, operations and blame of a text whose entries lie among those of others."""
    at = await world(rights=Ruled(()))
    await grown(at, messages.CreateNode(ROOT, "a", "text"), messages.CreateNode(ROOT, "b", "text"))
    one, other = at.kinds
    for number in range(30):
        await at.edit(
            one if number % 3 else other,
            number // 3 if number % 3 == 0 else number - number // 3 - 1,
            [(0, 0, str(number % 10))],
        )
    history = History(at.server.collaboration, at.storage)
    found = await history.operations(ANN, other, 2, 5)
    assert [(each.version, each.edits) for each in found.items] == [
        (version + 1, [(0, "", str(version * 3 % 10))]) for version in range(2, 7)
    ]
    sessions = await history.sessions(ANN, other, None, 5)
    assert [(each.from_version, each.to_version, each.inserted) for each in sessions.items] == [(0, 10, 10)]
    for version in (10, 4, 7):
        (run,) = (await history.blame(ANN, other, version)).runs
        assert (run.length, run.version) == (version, version)
    assert (await history.operations(ANN, one, 0, 100)).version == 20
    await at.server.stop()
