"""Workspaces by the client: a real server, real sockets that break, a real database, processes that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coscribe.client import ClientSettings, TreeChanged, TreeEnded, Workspace
from coscribe.client.opened import State
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Note
from coscribe.gateway.auth import make_token
from coscribe.gateway.socket import GatewayLimits
from coscribe.protocol import messages
from coscribe.protocol.messages import Role
from tests.client.crew import Gate, Witness, agree, left_in
from tests.gateway.site import SECRET, Site, open_site
from tests.migrated import fresh_database

ROOT = "project"
PATIENCE = 30.0


class Crew:
    """Clients of one server, closed in the end."""

    def __init__(self, site: Site, stack: AsyncExitStack) -> None:
        self.site = site
        self._stack = stack

    async def join(self, user: str, role: Role = "editor", *, url: str = "", **settings: Any) -> Witness:
        wanted = ClientSettings(backoff=0.01, max_backoff=0.05)._replace(**settings)
        token = make_token(SECRET.encode(), user, role, 3_600)
        client = Witness(url or f"ws://{self.site.address}/ws", token, wanted)
        client.start()
        self._stack.push_async_callback(client.close)
        return client

    async def open(self, user: str, role: Role = "editor", **settings: Any) -> Workspace:
        return await (await self.join(user, role, **settings)).open_workspace(ROOT)

    async def gate(self) -> Gate:
        gate = Gate(self.site.port)
        self._stack.push_async_callback(gate.shut)
        await gate.open()
        return gate


@pytest.fixture
async def the(tmp_path: Path) -> AsyncIterator[Crew]:
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    fresh_database(Settings(folder=folder).database)
    async with asyncio.timeout(PATIENCE), open_site(folder, GatewayLimits(message_bytes=20_000)) as site:
        await site.coscribe.storage.create_tree(ROOT, 1)
        async with AsyncExitStack() as stack:
            yield Crew(site, stack)


def names(workspace: Workspace, folder: str = "") -> list[str]:
    return [name for name, _ in workspace.children(folder)]


async def alike(*workspaces: Workspace) -> None:
    """Returns when everybody has everything; it has to be the same."""
    for workspace in workspaces:
        await workspace.synced()
    last = max(workspace.sequence for workspace in workspaces)
    for workspace in workspaces:
        await workspace.reached(last)
    assert len({workspace.tree.encode() for workspace in workspaces}) == 1


async def soon(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  # what is waited for has no event
        await asyncio.sleep(0.005)


async def test_what_one_does_the_others_have(the: Crew) -> None:
    ann, bob = await the.open("ann"), await the.open("bob")
    docs = ann.mkdir("docs")
    page = ann.create("page.txt", docs)
    assert (ann.path(page), ann.find("docs/page.txt")) == ("docs/page.txt", page)
    ann.move(docs, name="texts")
    ann.set(page, "eol", "crlf")
    await alike(ann, bob)
    assert bob.path(page) == "texts/page.txt"
    assert dict(bob.node(page).properties) == {"eol": "crlf"}
    bob.delete(page)
    await alike(ann, bob)
    assert (names(ann, docs), ann.is_trashed(page)) == ([], True)
    ann.restore(page, ROOT, "again")
    assert names(ann) == ["again", "texts"]
    await alike(ann, bob)


async def test_a_new_file_is_typed_into_at_once_and_many_are_open_on_one_socket(the: Crew) -> None:
    ann, bob = await the.open("ann"), await the.open("bob")
    files = [ann.create(f"file{number}") for number in range(20)]
    texts = [ann.open_offline(file_id) for file_id in files]
    for number, text in enumerate(texts):
        text.insert(0, f"text {number}")
    assert await ann.save() == 40
    assert ann._client.connects == 1
    for number, file_id in enumerate(files):
        assert (await bob.open(file_id)).text == f"text {number}"
    assert (await bob.open_path("file7")).text == "text 7"
    with pytest.raises(CoscribeError) as error:
        await bob.open_path("nothing")
    assert error.value.code is Code.FILE_NOT_FOUND


async def test_who_has_a_text_open_knows_where_it_is_without_the_tree(the: Crew) -> None:
    ann = await the.open("ann")
    file_id = ann.create("a", ann.mkdir("docs"))
    await ann.synced()
    client = await the.join("bob")
    text = await client.open(file_id)
    moves: list[tuple[str, bool]] = []
    text.on_moved = lambda: moves.append((text.path, text.is_trashed))
    assert (text.path, text.is_trashed) == ("docs/a", False)
    ann.delete(file_id)
    await soon(lambda: len(moves) == 1)
    text.insert(0, "typed in the trash")
    await text.synced()
    ann.restore(file_id)
    await soon(lambda: len(moves) == 2)
    assert moves == [("docs/a", True), ("docs/a", False)]
    assert (await ann.open(file_id)).text == "typed in the trash"


async def test_offline_the_making_goes_before_the_typing(the: Crew) -> None:
    gate = await the.gate()
    ann = await the.open("ann", url=gate.url)
    await gate.shut()
    await soon(lambda: ann.state is State.OFFLINE)
    page = ann.create("page", ann.mkdir("docs"))
    text = ann.open_offline(page)
    text.insert(0, "offline")
    text.insert(7, "!")
    assert (text.text, text.state, ann.pending) == ("offline!", State.OFFLINE, 2)
    await gate.open()
    await text.synced()
    bob = await the.open("bob")
    assert (await bob.open_path("docs/page")).text == "offline!"


@pytest.mark.parametrize("sent", [False, True])
async def test_what_is_pending_survives_the_process_once(the: Crew, tmp_path: Path, sent: bool) -> None:
    """``sent``: it was sent, and committed; the acknowledgement never came."""
    folder, gate = tmp_path / "pending", await the.gate()
    client = await the.join("ann", url=gate.url, pending_folder=folder)
    ann = await client.open_workspace(ROOT)
    first = ann.create("before")
    await ann.synced()
    if sent:
        client.deaf_to = lambda message: isinstance(message, messages.TreeCommitted)
        page = ann.create("page")
        bob = await the.open("bob")
        await soon(lambda: bob.find("page") == page)
    else:
        await gate.shut()
        await soon(lambda: ann.state is State.OFFLINE)
        page = ann.create("page")
    ann.move(first, name="after")
    ann.delete(first)
    text = ann.open_offline(page)
    text.insert(0, "kept")
    await client.close()
    assert len(left_in(folder)) == 2
    if not sent:
        await gate.open()

    again = await the.join("ann", url=gate.url, pending_folder=folder)
    workspace, text = again.open_workspace_offline(ROOT), again.open_offline(page)
    await text.synced()
    await workspace.synced()
    assert (names(workspace), text.text) == (["page"], "kept")
    assert workspace.path(first) == "after"
    assert (workspace.patches, text.patches) == ([], [])
    assert left_in(folder) == []
    bob = await the.open("bob")
    await alike(workspace, bob)
    assert bob.sequence == 4
    assert (await bob.open(page)).text == "kept"
    assert [workspace.undo() for _ in range(5)] == [True, True, True, True, False]
    await alike(workspace, bob)
    assert (names(bob), bob.path(first)) == ([], "before")


async def test_what_is_refused_is_handed_back_and_so_is_what_hangs_on_it(the: Crew) -> None:
    gate = await the.gate()
    ann, bob = await the.open("ann", url=gate.url), await the.open("bob")
    await gate.shut()
    await soon(lambda: ann.state is State.OFFLINE)
    folder = ann.mkdir("docs", exact=True)
    page = ann.create("page", folder)
    other = ann.create("other")
    text = ann.open_offline(page)
    text.insert(0, "kept")
    bob.mkdir("docs")
    await bob.synced()
    await gate.open()
    await ann.synced()
    assert [(patch.code, len(patch.edits)) for patch in ann.patches] == [("conflict", 1), ("file_not_found", 1)]
    assert page not in ann.tree
    await soon(lambda: text.state is State.ENDED)
    assert [patch.edits for patch in text.patches] == [[[(0, 0, "kept")]]]
    await alike(ann, bob)
    assert bob.path(other) == "other"


async def test_a_viewer_changes_nothing_and_may_not_save(the: Crew) -> None:
    owner, viewer = await the.open("ann"), await the.open("vic", "viewer")
    owner.create("a")
    await alike(owner, viewer)
    viewer.create("b")
    await viewer.synced()
    assert [patch.code for patch in viewer.patches] == ["permission_denied"]
    assert names(viewer) == ["a"]
    with pytest.raises(CoscribeError) as error:
        await viewer.save()
    assert error.value.code is Code.PERMISSION_DENIED
    await alike(owner, viewer)


async def test_undo_takes_back_what_is_ones_own(the: Crew) -> None:
    ann, bob = await the.open("ann"), await the.open("bob")
    a = ann.create("a")
    ann.move(a, name="b")
    await alike(ann, bob)
    bob.create("c")
    await alike(ann, bob)
    assert ann.undo()
    assert names(ann) == ["a", "c"]
    assert ann.redo()
    await alike(ann, bob)
    assert names(bob) == ["b", "c"]
    assert ann.undo()
    assert ann.undo()
    assert not ann.undo()
    await alike(ann, bob)
    assert names(bob) == ["c"]


async def test_what_was_done_can_be_undone_by_the_next_process(the: Crew, tmp_path: Path) -> None:
    """Acknowledged and pending steps, among what others did meanwhile."""
    gate = await the.gate()
    client = await the.join("ann", url=gate.url, pending_folder=tmp_path / "pending")
    ann, bob = await client.open_workspace(ROOT), await the.open("bob")
    a, b = ann.create("a"), ann.create("b")
    ann.move(a, name="x")
    await alike(ann, bob)
    await gate.shut()
    await soon(lambda: ann.state is State.OFFLINE)
    ann.delete(b)
    await client.close()
    bob.move(a, bob.mkdir("theirs"))
    await bob.synced()
    await gate.open()
    client = await the.join("ann", url=gate.url, pending_folder=tmp_path / "pending")
    ann = await client.open_workspace(ROOT)
    await alike(ann, bob)
    assert (names(bob), names(ann, bob.find("theirs") or "")) == (["theirs"], ["x"])
    assert ann.undo()
    assert ann.undo()
    await alike(ann, bob)
    assert (names(bob), bob.path(a)) == (["b", "theirs"], "theirs/a")
    assert ann.redo()
    assert ann.undo()
    assert [ann.undo(), ann.undo(), ann.undo()] == [True, True, False]
    await alike(ann, bob)
    assert names(bob) == ["theirs"]


async def test_changes_and_notes_are_told(the: Crew) -> None:
    gate = await the.gate()
    ann, bob = await the.open("ann", url=gate.url), await the.open("bob")
    told: list[TreeChanged] = []
    notes: list[Note] = []
    ann.on_notes = notes.extend
    ann.listen(told.append)
    mine = ann.create("a")
    assert told.pop() == TreeChanged((messages_of(mine, None, ann),))
    await ann.synced()
    assert told == []  # it came to what was shown
    theirs = bob.mkdir("src")
    await alike(ann, bob)
    assert told.pop() == TreeChanged((messages_of(theirs, None, ann),), ("bob",))
    await gate.shut()
    await soon(lambda: ann.state is State.OFFLINE)
    second = ann.create("x")
    bob.create("x")
    await bob.synced()
    told.clear()
    await gate.open()
    await ann.synced()
    await soon(lambda: bool(notes))
    assert (ann.path(second), notes) == ("x (2)", [Note(second, "numbered")])
    assert any(changed.changes and changed.authors == ("bob",) for changed in told)


def messages_of(file_id: str, before: None, of: Workspace) -> Any:
    return (file_id, before, of.node(file_id))


async def test_more_than_a_message_holds_comes_back(the: Crew) -> None:
    ann = await the.open("ann")
    names_of = [messages.CreateNode(ROOT, f"{number:0200}", "text") for number in range(100)]
    ann.change(names_of)
    await ann.synced()
    assert [(patch.code, len(patch.edits)) for patch in ann.patches] == [("message_too_large", 100)]
    assert names(ann) == []


async def test_what_cannot_be_is_refused_here_and_changes_nothing(the: Crew) -> None:
    ann = await the.open("ann")
    for wrong in (lambda: ann.create("a/b"), lambda: ann.delete("nothing"), lambda: ann.create("x", "nowhere")):
        with pytest.raises(CoscribeError):
            wrong()
    assert (ann.pending, names(ann)) == (0, [])
    client = await the.join("bob")
    with pytest.raises(ValueError, match="not known"):
        client.open_workspace_offline(ROOT).create("a")


async def test_a_workspace_that_there_is_not(the: Crew) -> None:
    client = await the.join("vic", "viewer")
    with pytest.raises(TreeEnded) as error:
        await client.open_workspace("nothing")
    assert error.value.code is Code.FILE_NOT_FOUND
    editor = await the.join("ann")
    with pytest.raises(CoscribeError) as refused:
        await editor.open(ROOT)
    assert refused.value.code is Code.NOT_A_TEXT
    await editor.open("notes")
    with pytest.raises(CoscribeError) as refused:
        await (await the.join("bob")).open_workspace("notes")
    assert refused.value.code is Code.FILE_NOT_FOUND


async def test_what_was_purged_is_closed(the: Crew) -> None:
    owner, bob = await the.open("ann", "owner"), await the.open("bob")
    page = owner.create("page")
    await owner.synced()
    text = await bob.open(page)
    owner.delete(page)
    owner.change([messages.PurgeNodes([page])])
    await soon(lambda: text.state is State.ENDED)
    await alike(owner, bob)


@pytest.mark.parametrize("seed", range(4))
async def test_many_cuts_while_everybody_changes_the_tree_and_types(the: Crew, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    random = Random(f"workspaces {seed}")
    crew = [await the.open(user, "owner", pending_folder=tmp_path / user) for user in ("ann", "bob", "cid")]
    typed: dict[str, list[str]] = {}
    for step in range(60):
        number = random.randrange(3)
        workspace = crew[number]
        with suppress(CoscribeError):
            await some_step(random, workspace, typed, step)
        if random.random() < 0.1:
            workspace._client.drop_connection()
        if random.random() < 0.3:
            await asyncio.sleep(0.003)
    await alike(*crew)
    for file_id, tokens in typed.items():
        documents = [await workspace.open(file_id) for workspace in crew]
        text = await agree(*documents)
        for token in tokens:
            assert text.count(token) == 1, (file_id, token)
    assert [workspace.heals for workspace in crew] == [0, 0, 0]


async def some_step(random: Random, workspace: Workspace, typed: dict[str, list[str]], step: int) -> None:
    known = sorted(workspace.tree.below(""))
    folders = ["", *(each for each in known if workspace.node(each).kind == "directory")]
    texts = [each for each in known if workspace.node(each).kind == "text"]
    name = random.choice(("a", "b", "c.txt"))
    act = random.random()
    if act < 0.3 or not texts:
        workspace.create(name, random.choice(folders), kind=random.choice(("text", "directory")))
    elif act < 0.5:
        workspace.move(random.choice(known), random.choice(folders), random.choice((None, name)))
    elif act < 0.6:
        workspace.delete(random.choice(known))
    elif act < 0.7:
        workspace.restore(random.choice(known))
    elif act < 0.75:
        workspace.undo()
    else:
        file_id = random.choice(texts)
        document = workspace.open_offline(file_id)
        if not workspace.holds(file_id):
            await document.live()
        token = f"<{step}>"
        document.insert(len(document.text), token)
        typed.setdefault(file_id, []).append(token)
