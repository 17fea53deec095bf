"""Two people, fifty more who type, and a right that is taken away again and again while its owner is typing.

A round: Vic types; the owner makes Vic a viewer, then removes Vic; Vic is invited again. Over each channel. What is
measured is the time from sending the request to the moment Vic's program has felt it. What is proved, for every word
Vic typed: it is in the document, or Vic has it back, never both and never neither; and nothing of Vic's has a time in
the log between the answer to the request and the next invitation.

    COSCRIBE_STORY_ROUNDS=100 pytest tests/e2e/test_story.py -s
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from coscribe.client import Client, ClientSettings, Document
from coscribe.client.opened import State
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.stored import stored_in
from tests.e2e.people import Account, People
from tests.e2e.server_process import ServerProcess

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("COSCRIBE_STORY_ROUNDS", "20"))
STRICT = os.environ.get("COSCRIBE_STORY_STRICT") == "1"
CLAIM = 1.0
"""Seconds after which a right that was taken is felt at the latest; ten times as long unless STRICT."""

TYPISTS = 50
PAUSE = 0.5
"""Seconds between two words of a typist."""

SETTINGS = ClientSettings(backoff=0.02, max_backoff=0.2)


class Story:
    """The document, its owner, the typists, and Vic. ``felt`` are seconds; ``closed`` are (author, from, until)."""

    def __init__(self, server: ServerProcess, people: People, owner: Account, vic: Account, document_id: str) -> None:
        self.server = server
        self.people = people
        self.owner = owner
        self.vic = vic
        self.document_id = document_id
        self.felt: list[float] = []
        self.closed: list[tuple[str, int, int]] = []
        self.typed: list[str] = []
        self.kept: list[str] = []
        self.path = f"/documents/{document_id}"

    async def admit(self) -> None:
        """Vic is invited and accepts."""
        invitation = await self.owner.done(
            "POST", f"{self.path}/invitations", {"who": self.vic.handle, "role": "editor"}
        )
        await self.vic.done("POST", f"/invitations/{invitation['invitationId']}/accept")

    async def feel(self, change: Awaitable[object], felt: Awaitable[object], author: str) -> None:
        """Changes a right, and notes when it is felt and that nothing may be committed from the answer on."""
        started = time.monotonic()

        async def timed() -> None:
            await felt
            self.felt.append(time.monotonic() - started)

        feeling = asyncio.create_task(timed())
        await change
        self.closed.append((author, time.time_ns() // 1_000, 2**62))
        async with asyncio.timeout(30):
            await feeling

    def word(self) -> str:
        word = f"<{len(self.typed)}>"
        self.typed.append(word)
        return word

    def open_again(self, author: str) -> None:
        """From now on the author may write again."""
        now = time.time_ns() // 1_000
        self.closed = [(who, since, min(until, now) if who == author else until) for who, since, until in self.closed]

    async def accounted_for(self) -> None:
        """Every word is in the text or was kept, never both; nothing was committed while it was forbidden."""
        text = (await self.owner.done("GET", f"{self.path}/content"))["text"]
        kept = "".join(self.kept)
        for word in self.typed:
            assert text.count(word) + kept.count(word) == 1, (
                f"{word}: {text.count(word)} times there, kept {kept.count(word)}"
            )
        with closing(sqlite3.connect(self.server.folder / "coscribe.db")) as database:
            written = [
                (entry.author, entry.time)
                for workspace in stored_in(database).workspaces()
                for entry in stored_in(database).entries(workspace.key)
            ]
        for author, since, until in self.closed:
            late = [time for who, time in written if who == author and since < time < until]
            assert not late, f"{author} wrote between {since} and {until}"


@asynccontextmanager
async def typing(story: Story, seed: int) -> AsyncIterator[None]:
    """Fifty people who type at the beginning of the document, each with a right of their own."""
    typists = [await story.people.sign_up(f"typist{number}") for number in range(TYPISTS)]
    clients = []
    tasks = []
    rng = random.Random(seed)
    group = await story.owner.done("POST", "/groups", {"name": "typists"})
    for typist in typists:
        await story.owner.done("POST", f"/groups/{group['groupId']}/members", {"who": typist.handle})
    await story.owner.done("PUT", f"{story.path}/members/{group['groupId']}", {"role": "editor"})
    for typist in typists:
        client = Client(story.server.url, typist.token, SETTINGS)
        client.start()
        clients.append(client)
        document = await client.open(story.document_id)
        tasks.append(asyncio.create_task(type_on(document, rng)))
    try:
        yield
        assert not any(task.done() for task in tasks), "a typist stopped"
    finally:
        for task in tasks:
            task.cancel()
        for client in clients:
            await client.close()


async def type_on(document: Document, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(PAUSE * rng.uniform(0.5, 1.5))
        document.insert(0, "tap ")
        await document.synced()
        if len(document.text) > 3_000:
            document.delete(0, document.text.index("|"))


# ---- channels: how Vic writes. Each types until it is felt, and keeps what is handed back.


async def by_socket(story: Story, token: str, author: str) -> None:
    """Over a WebSocket."""
    async with Client(story.server.url, token, SETTINGS) as client:
        document = await client.open(story.document_id)
        running = asyncio.create_task(_keep_typing(story, document))
        await story.feel(
            story.owner.done("PUT", f"{story.path}/members/{story.vic.id}", {"role": "viewer"}),
            document._until(lambda: document.role == "viewer"),
            author,
        )
        await story.feel(story.owner.done("DELETE", f"{story.path}/members/{story.vic.id}"), _ended(document), author)
        await running
        for patch in document.patches:
            story.kept += [text for edits in patch.edits for _, _, text in edits]


async def _keep_typing(story: Story, document: Document) -> None:
    while document.state is not State.ENDED:
        word = story.word()
        try:
            document.insert(len(document.text), word)
        except ValueError:  # said to its face: the text is just being fetched anew
            story.kept.append(word)
        await asyncio.sleep(0.005)


async def _ended(document: Document) -> None:
    with pytest.raises(CoscribeError) as ended:
        await document._until(lambda: False)
    # Whoever is just joining, to have the text anew behind a refusal, hears that there is no such file.
    assert ended.value.code in (Code.ACCESS_REMOVED, Code.FILE_NOT_FOUND)
    assert document.state is State.ENDED


async def by_rest(story: Story, token: str, author: str) -> None:
    """By POST of operations."""
    mine = Account(story.people.client, {"userId": author, "accessToken": token, "sessionId": ""}, story.vic.handle)
    refused: dict[int, asyncio.Event] = {403: asyncio.Event(), 404: asyncio.Event()}
    series, wrote, stop = f"rest-{time.monotonic_ns()}", asyncio.Event(), asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            word = story.word()
            now = await story.owner.done("GET", f"{story.path}/content")
            version, end = now["documentVersion"], len(now["text"])
            operation = {
                "operationId": f"{series}:{number}",
                "operationType": "insert",
                "position": end,
                "payload": word,
            }
            answer = await mine.ask(
                "POST", f"{story.path}/operations", {"baseVersion": version, "operations": [operation]}
            )
            if answer.is_success:
                wrote.set()
            else:
                story.kept.append(word)
                refused[answer.status_code].set()

    running = asyncio.create_task(write())
    await wrote.wait()
    member = f"{story.path}/members/{story.vic.id}"
    await story.feel(story.owner.done("PUT", member, {"role": "viewer"}), refused[403].wait(), author)
    await story.feel(story.owner.done("DELETE", member), refused[404].wait(), author)
    stop.set()
    await running


Channel = Callable[[Story, str, str], Awaitable[None]]


@pytest.mark.parametrize(
    ("channel", "as_bot"), [(by_socket, False), (by_rest, False), (by_socket, True)], ids=["socket", "REST", "bot"]
)
async def test_a_right_that_is_taken_is_felt_at_once_and_nothing_is_lost(
    channel: Channel, as_bot: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    server = ServerProcess(tmp_path, environment={"COSCRIBE_RATE_FACTOR": "100"})
    server.start()
    people = People(server)
    try:
        owner = await people.administrator("olga")
        vic = await people.sign_up("vic")
        made = await owner.done("POST", "/documents", {"name": "Story", "text": "|"})
        story = Story(server, people, owner, vic, made["documentId"])
        token, author = vic.token, vic.id
        if as_bot:
            bot = await vic.done("POST", "/account/tokens", {"name": "scribe", "scope": "edit"})
            token, author = bot["secret"], f"{vic.id}+{bot['tokenId']}"
        async with typing(story, seed):
            for _ in range(ROUNDS):
                await story.admit()
                story.open_again(author)
                await channel(story, token, author)
            await story.accounted_for()
    finally:
        await people.close()
        server.stop()
    felt = sorted(story.felt)
    with capsys.disabled():
        print(
            f"\n{channel.__name__}{' as a bot' if as_bot else ''}: {ROUNDS} rounds, {TYPISTS} people typing,"
            f" {len(story.typed)} words of Vic, {len(story.typed) - len(story.kept)} in the document:"
            f" felt after {felt[len(felt) // 2] * 1e3:.0f} ms (median), {felt[-1] * 1e3:.0f} ms at most; seed {seed}"
        )
    assert len(felt) == 2 * ROUNDS
    assert felt[-1] < (CLAIM if STRICT else 10 * CLAIM)
