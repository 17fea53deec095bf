"""The client against a real server, over connections that break."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coscribe.client import Change, Client, Document
from coscribe.client.client import Surroundings
from coscribe.client.link import Link, Received
from coscribe.client.opened import State
from coscribe.client.replica import Batching
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol import codec, messages
from tests.client.crew import agree, crew, left_in
from tests.e2e.server_process import ServerProcess, free_port

WINDOW = 8
MESSAGE_BYTES = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that remembers little and takes short messages only; each test has a file of its own."""
    process = ServerProcess(
        tmp_path_factory.mktemp("server"),
        environment={
            "COSCRIBE_LIMITS__WINDOW_OPERATIONS": str(WINDOW),
            "COSCRIBE_GATEWAY__MESSAGE_BYTES": str(MESSAGE_BYTES),
        },
    )
    process.start()
    yield process
    process.kill()


@pytest.fixture
def file_id(request: pytest.FixtureRequest) -> str:
    return re.sub("[^A-Za-z0-9]+", "-", request.node.name)[:100].strip("-")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where pending edits are kept."""
    return tmp_path / "pending"


class Pauses:
    """The pauses that clients make before they connect again; ``skipped``: they make none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.skipped = False
        self._another = asyncio.Event()
        self._sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self._recorded)

    async def happened(self, count: int) -> None:
        while len(self.seconds) < count:
            self._another.clear()
            await self._another.wait()

    async def _recorded(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and getattr(task.get_coro(), "__name__", "") == Client._keep_connected.__name__:
            self.seconds.append(seconds)
            self._another.set()
            seconds = 0 if self.skipped else seconds
        await self._sleep(seconds)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


async def written(document: Document, text: str) -> None:
    """Makes ``text`` everybody's."""
    document.insert(0, text)
    await document.synced()


async def many(document: Document, count: int) -> None:
    """So many operations, at the front, one by one."""
    for number in range(count):
        document.insert(0, f"{number % 10}")
        await document.synced()


# ---- open, edit, see


async def test_open_edit_synced(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        client = the.join("ann")
        notes = await client.open(file_id)
        assert (notes.text, notes.version, notes.sequence, notes.state, notes.role) == ("", 0, 0, State.LIVE, "editor")
        notes.insert(0, "Hallo🙂")
        notes.replace(1, 4, "ell")
        notes.edit([(0, 0, "<"), (5, 0, ">")])
        assert notes.text == "<Hell🙂>", "edits are there at once"
        assert notes.pending
        await notes.synced()
        assert notes.pending == 0
        notes.delete(5, 1)
        await notes.synced()
        assert (await the.open("bob", file_id)).text == "<Hell>"
        assert (client.user_id, client.connects) == ("ann", 1)


async def test_opening_twice_gives_the_same_document(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        client = the.join("ann")
        notes = await client.open(file_id)
        assert await client.open(file_id) is notes
        assert client.open_offline(file_id) is notes
        await written(notes, "text")
        await notes.close()
        again = await client.open(file_id)
        assert again is not notes
        assert again.text == "text"


async def test_everybody_types_at_once(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        writers = []
        for number, batching in enumerate((*Batching, *Batching)):
            writers.append(await the.open(f"u{number}", file_id, batching=batching))

        async def types(document: Document, letter: str) -> None:
            for number in range(40):
                document.insert((number * 7) % (len(document.text) + 1), letter)
                if number % 5 == 4:
                    await document.room(3)

        await asyncio.gather(*(types(document, letter) for document, letter in zip(writers, "abcdef", strict=True)))
        text = await agree(*writers)
        assert {letter: text.count(letter) for letter in "abcdef"} == dict.fromkeys("abcdef", 40)


async def test_changes_of_others_are_told(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann, bob = await the.open("ann", file_id), await the.open("bob", file_id)
        told: list[Change] = []
        stop = bob.listen(told.append)
        async with bob.changes() as changes:
            ann.edit([(0, 0, "one 🙂\n")])
            assert await anext(changes) == Change([(0, 0, "one 🙂\n")], "ann")
            bob.insert(6, "two")
            assert await anext(changes) == Change([(6, 0, "two")], "")
            await bob.synced()
            await ann.reached(2)
            ann.edit([(0, 3, "1"), (6, 3, "2")])
            assert await anext(changes) == Change([(0, 3, "1"), (6, 3, "2")], "ann")
        assert bob.text == "1 🙂\n2"
        assert len(told) == 3
        stop()
        ann.insert(0, "x")
        await ann.synced()
        await bob.reached(4)
        assert len(told) == 3


async def test_who_is_there_and_where(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes = await ann.open(file_id)
        bob = the.join("bob", "viewer")
        seen = await bob.open(file_id)
        await written(notes, "some text")
        await seen.reached(1)
        await ann.until(lambda: len(notes.participants) == 2)
        for document in (notes, seen):
            assert {(who.user_id, who.role) for who in document.participants.values()} == {
                ("ann", "editor"),
                ("bob", "viewer"),
            }
        seen.set_cursor(2, 4)
        await ann.until(lambda: notes.participants[bob.connection_id].cursor is not None)
        where = notes.participants[bob.connection_id]
        assert (where.cursor, where.document_version, where.user_id) == (messages.Cursor(2, 4), 1, "bob")
        second = the.join("bob")
        await second.open(file_id)
        await ann.until(lambda: len(notes.participants) == 3)
        await bob.close()
        await ann.until(lambda: bob.connection_id not in notes.participants)
        assert {who.user_id for who in notes.participants.values()} == {"ann", "bob"}
        ann.drop_connection()
        await ann.until(lambda: ann.connects == 2)
        await notes.live()
        await ann.until(lambda: set(notes.participants) == {ann.connection_id, second.connection_id})
        assert seen.participants == {}


# ---- refusals


async def test_a_wrong_token_is_refused_for_good(server: ServerProcess, file_id: str) -> None:
    async with crew(server), Client(server.url, "nonsense") as client:
        for _ in range(2):
            with pytest.raises(CoscribeError) as refused:
                await client.open(file_id)
            assert refused.value.code is Code.AUTHENTICATION_FAILED
        waiting = client.open_offline(file_id)
        with pytest.raises(CoscribeError):
            await waiting.synced()
        assert client.connects == 0


async def test_a_viewer_cannot_make_a_file_but_opens_it_once_it_is_there(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        viewer = the.join("bob", "viewer")
        for _ in range(2):
            with pytest.raises(CoscribeError) as refused:
                await viewer.open(file_id)
            assert refused.value.code is Code.FILE_NOT_FOUND
        await written(await the.open("ann", file_id), "text")
        assert (await viewer.open(file_id)).text == "text"


async def test_a_name_that_can_be_no_file_is_refused(server: ServerProcess) -> None:
    async with crew(server) as the:
        with pytest.raises(CoscribeError) as refused:
            await the.open("ann", "../secret")
        assert refused.value.code is Code.INVALID_FILE_ID


async def test_what_a_viewer_types_is_handed_back(server: ServerProcess, file_id: str, folder: Path) -> None:
    async with crew(server) as the:
        ann = await the.open("ann", file_id)
        await written(ann, "some text")
        viewer = the.join("bob", "viewer", pending_folder=folder)
        notes = await viewer.open(file_id)
        assert notes.role == "viewer"
        notes.edit([(0, 4, "any"), (9, 0, "!")])
        notes.insert(0, ">")
        assert notes.text == ">any text!"
        await viewer.until(lambda: bool(notes.patches))
        await notes.synced()
        (patch,) = notes.patches
        assert (patch.code, patch.edits) == ("permission_denied", [[(0, 4, "any"), (9, 0, "!")], [(0, 0, ">")]])
        assert (notes.text, notes.undo(), left_in(folder)) == ("some text", False, [])
        ann.insert(9, " and more")
        await agree(ann, notes)


@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\ud83d"], ids=["NUL", "CR", "half"])
async def test_a_text_that_no_file_can_hold_is_refused_here(server: ServerProcess, file_id: str, text: str) -> None:
    async with crew(server) as the:
        notes = await the.open("ann", file_id)
        await written(notes, "text")
        with pytest.raises(ValueError, match="no NUL"):
            notes.insert(2, text)
        assert (notes.text, notes.pending) == ("text", 0)
        await written(notes, "more ")
        assert notes.sequence == 2


async def test_more_than_a_message_holds_goes_out_in_several_or_comes_back(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        client = the.join("ann", batching=Batching.CHAIN)
        notes = await client.open(file_id)
        other = await client.open(f"{file_id}-other")
        for _ in range(10):
            notes.insert(0, "x" * (MESSAGE_BYTES // 4))
        await notes.synced()
        notes.insert(0, "y" * MESSAGE_BYTES)
        other.insert(0, "fine")
        await asyncio.gather(notes.synced(), other.synced())
        assert [patch.code for patch in notes.patches] == ["message_too_large"]
        assert (len(notes.text), other.text, client.connects) == (10 * MESSAGE_BYTES // 4, "fine", 1)


# ---- connections that break


async def test_after_a_cut_only_the_tail_comes_and_nothing_is_lost(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        await many(bob, 5)
        await notes.reached(5)
        gate = await the.gate()
        ann.move_to(gate.url)
        await gate.shut()
        ann.heard.clear()
        ann.drop_connection()
        await notes._until(lambda: notes.state is State.OFFLINE)
        notes.insert(5, "offline")
        notes.insert(12, "!")
        await many(bob, WINDOW // 2)
        await gate.open()
        await notes.synced()
        assert "Snapshot" not in ann.kinds()
        assert ann.shown() == [6, 7, 8, 9, 10], "what was missed, and our own"
        assert (ann.connects, notes.heals, notes.patches) == (2, 0, [])
        assert await agree(notes, bob) == "321043210offline!"


async def test_many_cuts_while_everybody_types(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        clients = [the.join(f"u{number}", batching=batching) for number, batching in enumerate(Batching)]
        documents = [await client.open(file_id) for client in clients]
        for number in range(60):
            for document, letter in zip(documents, "abc", strict=True):
                document.insert(number % (len(document.text) + 1), letter)
            if number % 4 == 0:
                clients[number % 3].drop_connection()
            await documents[(number + 1) % 3].room(4)
        text = await agree(*documents)
        assert {letter: text.count(letter) for letter in "abc"} == dict.fromkeys("abc", 60)
        assert [(document.heals, document.patches) for document in documents] == [(0, [])] * 3
        for client in clients:
            assert client.shown() == sorted(set(client.shown())), "each operation was shown once, in order"
            assert client.connects > 1


async def test_pauses_between_attempts_grow_up_to_a_bound(server: ServerProcess, file_id: str, pauses: Pauses) -> None:
    pauses.skipped = True
    async with crew(server) as the:
        client = the.join("ann", url=f"ws://127.0.0.1:{free_port()}/ws", backoff=0.5, max_backoff=8.0)
        await pauses.happened(12)
        expected = [0.5, 1.0, 2.0, 4.0] + 8 * [8.0]
        assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses.seconds, expected, strict=False))
        client.move_to(server.url)
        await client.open(file_id)
        pauses.seconds.clear()
        client.drop_connection()
        await client.until(lambda: client.connects == 2)
        (pause,) = pauses.seconds
        assert 0.25 <= pause <= 0.5, "after a connection that was welcomed it begins anew"


async def test_an_error_in_a_listener_costs_a_connection_and_no_more(
    server: ServerProcess, file_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with crew(server) as the:
        client = the.join("ann")
        notes, bob = await client.open(file_id), await the.open("bob", file_id)

        def fails(_: Change) -> None:
            stop()
            raise RuntimeError("a listener's own mistake")

        stop = notes.listen(fails)
        bob.insert(0, "x")
        await client.until(lambda: client.connects == 2)
        notes.insert(0, "y")
        assert await agree(notes, bob) == "yx"
        assert "a listener's own mistake" in caplog.text


@pytest.mark.parametrize("missed", [WINDOW // 2, 3 * WINDOW], ids=["a tail", "more than the window"])
async def test_undo_and_redo_across_a_cut(server: ServerProcess, file_id: str, missed: int) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        await written(notes, "[]")
        notes.insert(1, "ours")
        await notes.synced()
        gate = await the.gate()
        await gate.shut()
        ann.move_to(gate.url)
        ann.drop_connection()
        await bob._until(lambda: len(bob.participants) == 1)
        bob.replace(3, 1, "THEIRS")
        await bob.synced()
        await many(bob, missed - 1)
        front = bob.text[: missed - 1]
        await gate.open()
        await notes._until(lambda: notes.state is State.LIVE and ann.connects == 2)
        assert notes.text == f"{front}[ouTHEIRSs]"
        assert notes.undo()
        assert await agree(notes, bob) == f"{front}[THEIRS]"
        assert notes.redo()
        assert await agree(notes, bob) == f"{front}[ouTHEIRSs]"
        assert notes.undo()
        assert notes.undo()
        assert await agree(notes, bob) == f"{front}THEIRS"
        assert notes.heals == 0


async def test_typing_goes_on_while_the_past_is_fetched(server: ServerProcess, file_id: str) -> None:
    """More than one answer of the server's holds, too."""
    async with crew(server) as the:
        ann = the.join("ann")
        notes = await ann.open(file_id)
        bob = await the.open("bob", file_id, batching=Batching.CHAIN)
        await written(notes, "[]")
        gate = await the.gate()
        await gate.shut()
        ann.move_to(gate.url)
        ann.drop_connection()
        await notes._until(lambda: notes.state is State.OFFLINE)
        notes.insert(1, "before ")
        for number in range(1_200):
            bob.insert(0, f"{number % 10}")
        await bob.synced()
        fetched: list[int] = []

        def type_more(message: messages.ServerMessage) -> None:
            if isinstance(message, messages.Snapshot | messages.Resent):
                assert notes.text.endswith("]")
                notes.insert(len(notes.text) - 1, f"{len(fetched)} ")
                fetched.append(len(message.operations) if isinstance(message, messages.Resent) else 0)

        ann.after = type_more
        await gate.open()
        text = await agree(notes, bob)
        assert text == f"{'9876543210' * 120}[before 0 1 2 3 ]"
        assert fetched == [0, 500, 500, 200]
        assert (notes.heals, notes.patches) == (0, [])


# ---- edits that survive the process


async def test_offline_edits_survive_the_process(server: ServerProcess, file_id: str, folder: Path) -> None:
    async with crew(server) as the:
        gate = await the.gate()
        first = the.join("ann", url=gate.url, pending_folder=folder)
        notes, bob = await first.open(file_id), await the.open("bob", file_id)
        await written(notes, "[]")
        await gate.shut()
        await notes._until(lambda: notes.state is State.OFFLINE)
        notes.insert(1, "ours")
        notes.delete(0, 1)
        notes.undo()
        await first.close()
        assert len(left_in(folder)) == 1
        bob.insert(2, " theirs")
        await bob.synced()

        second = the.join("ann", pending_folder=folder)
        again = await second.open(file_id)
        await again.synced()
        assert await agree(again, bob) == "[ours] theirs"
        assert left_in(folder) == []


@pytest.mark.parametrize("batching", [Batching.COMPOSE, Batching.CHAIN])
@pytest.mark.parametrize("missed", [2, 3 * WINDOW], ids=["few missed", "more than the window missed"])
async def test_committed_but_never_acknowledged_then_a_new_process(
    server: ServerProcess, file_id: str, folder: Path, missed: int, batching: Batching
) -> None:
    async with crew(server) as the:
        first = the.join("ann", pending_folder=folder, batching=batching)
        notes, bob = await first.open(file_id), await the.open("bob", file_id)
        await written(notes, "[]")
        await bob.reached(1)
        first.deaf_to = lambda message: isinstance(message, messages.Committed)
        notes.insert(1, "sent")
        notes.insert(5, " typed")
        notes.insert(11, " later")
        await first.deafened.wait()
        await first.close()
        await bob.reached(2)
        assert bob.text == "[sent]"
        await many(bob, missed)
        front = bob.text[:missed]

        second = the.join("ann", pending_folder=folder)
        again = await second.open(file_id)
        await again.synced()
        assert await agree(again, bob) == f"{front}[sent typed later]"
        assert (again.heals, again.patches, left_in(folder)) == (0, [], [])


@pytest.mark.parametrize("missed", [2, 3 * WINDOW], ids=["few missed", "more than the window missed"])
async def test_what_was_typed_is_undone_by_a_new_process(
    server: ServerProcess, file_id: str, folder: Path, missed: int
) -> None:
    async with crew(server) as the:
        first = the.join("ann", pending_folder=folder)
        notes, bob = await first.open(file_id), await the.open("bob", file_id)
        await written(notes, "[]")
        notes.insert(1, "one")
        await notes.synced()
        notes.insert(4, " two")
        await notes.synced()
        await first.close()
        await bob.reached(3)
        await many(bob, missed)
        front = bob.text[:missed]

        again = await the.join("ann", pending_folder=folder).open(file_id)
        await again.synced()
        assert (again.text, left_in(folder)) == (f"{front}[one two]", [])
        assert again.undo()
        assert again.text == f"{front}[one]"
        assert again.undo() and again.undo() and not again.undo()
        assert again.redo()
        await again.synced()
        assert await agree(again, bob) == f"{front}[]"


@pytest.mark.parametrize("missed", [2, 3 * WINDOW], ids=["few missed", "more than the window missed"])
async def test_committed_but_never_acknowledged_then_a_new_connection(
    server: ServerProcess, file_id: str, missed: int
) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        await written(notes, "[]")
        await bob.reached(1)
        ann.deaf_to = lambda message: isinstance(message, messages.Committed)
        notes.insert(1, "sent")
        notes.insert(5, " later")
        await ann.deafened.wait()
        await many(bob, missed)
        front = bob.text[:missed]
        assert notes.pending == 2
        ann.deaf_to = lambda _: False
        ann.deafened.clear()
        ann.drop_connection()
        await notes.synced()
        assert await agree(notes, bob) == f"{front}[sent later]"
        assert (notes.heals, notes.patches) == (0, [])


async def test_nobody_elses_session_sends_what_is_pending(server: ServerProcess, file_id: str, folder: Path) -> None:
    async with crew(server) as the:
        gate = await the.gate()
        ann = the.join("ann", url=gate.url, pending_folder=folder)
        notes = await ann.open(file_id)
        await written(notes, "[]")
        await gate.shut()
        notes.insert(1, "ann's")
        await ann.close()
        bob = await the.open("bob", file_id, pending_folder=folder)
        bob.insert(1, "bob's")
        await bob.synced()
        assert bob.text == "[bob's]"
        assert len(left_in(folder)) == 1
        again = await the.open("ann", file_id, pending_folder=folder)
        await again.synced()
        assert sorted(re.findall("[a-z]+'s", await agree(again, bob))) == ["ann's", "bob's"]


async def test_a_document_that_is_closed_and_opened_again_has_its_edits(
    server: ServerProcess, file_id: str, folder: Path
) -> None:
    async with crew(server) as the:
        client = the.join("ann", pending_folder=folder)
        notes = await client.open(file_id)
        for number in range(3):
            notes.insert(0, f"{number}")
        await notes.close()
        again = await client.open(file_id)
        await again.synced()
        assert again.text == (await the.open("bob", file_id)).text == "210"


async def test_a_damaged_pending_file_does_not_keep_us_out(
    server: ServerProcess, file_id: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with crew(server) as the:
        gate = await the.gate()
        first = the.join("ann", url=gate.url, pending_folder=folder)
        notes = await first.open(file_id)
        await gate.shut()
        notes.insert(0, "x")
        await first.close()
        (name,) = left_in(folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-7])
        again = await the.open("ann", file_id, pending_folder=folder)
        await written(again, "text")
        assert again.text == "text"
        assert left_in(folder) == [f"{name}.damaged"]
        assert f"{name}.damaged" in caplog.text


# ---- replicas that are wrong


@pytest.mark.parametrize("harm", [(0, 1, "X"), (0, 4, ""), (9, 0, " and what nobody else has")], ids=str)
async def test_a_replica_that_is_wrong_heals_and_keeps_what_is_pending(
    server: ServerProcess, file_id: str, harm: tuple[int, int, str]
) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        await written(notes, "some text")
        buffer = notes._replica.buffer
        assert buffer is not None
        buffer.splice(*harm)
        assert notes.text != "some text"
        healed = asyncio.Event()
        notes.listen(lambda change: healed.set() if change.edits is None else None)
        notes.insert(0, "<")
        notes.check()
        assert notes.pending
        await healed.wait()
        await notes.synced()
        assert await agree(notes, bob) == "<some text"
        assert (notes.heals, notes.patches) == (1, [])
        notes.insert(10, ">")
        assert await agree(notes, bob) == "<some text>"


async def test_typing_during_a_heal_is_not_lost(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        await written(notes, "some text")
        buffer = notes._replica.buffer
        assert buffer is not None
        buffer.splice(0, 1, "X")
        typed: list[str] = []

        def type_more(message: messages.ServerMessage) -> None:
            if notes.heals and len(typed) < 5:
                typed.append(f"{len(typed)}")
                notes.insert(len(notes.text), typed[-1])

        ann.after = type_more
        notes.check()
        await ann.until(lambda: len(typed) == 5)
        assert await agree(notes, bob) == "some text01234"
        assert (notes.heals, notes.patches) == (1, [])


async def test_a_replica_that_is_right_is_left_alone(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann = the.join("ann")
        notes, bob = await ann.open(file_id), await the.open("bob", file_id)
        for number in range(20):
            notes.insert(0, f"{number}")
            notes.check()
            bob.insert(len(bob.text), "!")
            await bob.synced()
        await agree(notes, bob)
        notes.check()
        await ann.until(lambda: not notes._check_wanted)
        assert (notes.heals, ann.connects) == (0, 1)


# ---- servers that stop


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_a_server_that_is_restarted(tmp_path: Path, how: str, folder: Path, pauses: Pauses) -> None:
    server = ServerProcess(tmp_path / "data")
    server.start()
    try:
        async with crew(server) as the:
            ann = the.join("ann", pending_folder=folder)
            notes, bob = await ann.open("notes"), await the.open("bob", "notes")
            await written(notes, "[]")
            await bob.reached(1)
            end: Callable[[], object] = server.stop if how == "SIGTERM" else server.kill
            await asyncio.to_thread(end)
            await notes._until(lambda: notes.state is State.OFFLINE)
            assert ("Goodbye" in ann.kinds()) == (how == "SIGTERM")
            await pauses.happened(2)
            assert [pause >= 0.1 for pause in pauses.seconds[:2]] == 2 * [how == "SIGTERM"], "as the server asked"
            notes.insert(1, "typed while it was away")
            assert (notes.pending, len(left_in(folder))) == (1, 1)
            await asyncio.to_thread(server.start)
            assert await agree(notes, bob) == "[typed while it was away]"
            assert (ann.connects, left_in(folder), notes.heals) == (2, [], 0)
            assert notes.undo()
            assert await agree(notes, bob) == "[]"
    finally:
        server.kill()


@pytest.mark.slow
async def test_server_and_client_both_die(tmp_path: Path, folder: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    server.start()
    try:
        async with crew(server) as the:
            first = the.join("ann", pending_folder=folder)
            notes = await first.open("notes")
            await written(notes, "[]")
            first.deaf_to = lambda message: isinstance(message, messages.Committed)
            notes.insert(1, "sent")
            notes.insert(5, ", typed")
            await first.deafened.wait()
            await asyncio.to_thread(server.kill)
            await notes._until(lambda: notes.state is State.OFFLINE)
            notes.insert(12, ", offline")
            await first.close()
            await asyncio.to_thread(server.start)
            again = await the.open("ann", "notes", pending_folder=folder)
            await again.synced()
            assert (again.text, again.patches) == ("[sent, typed, offline]", [])
            assert (await the.open("bob", "notes")).text == "[sent, typed, offline]"
            assert left_in(folder) == []
    finally:
        server.kill()


class Scripted:
    """A server that says one thing to each connection, hangs up, and is gone when it has no more to say."""

    def __init__(self, *says: list[messages.ServerMessage]) -> None:
        self.left = list(says)

    async def dial(self, received: Received) -> Link:
        if not self.left:
            raise ConnectionRefusedError
        said = self.left.pop(0)

        class Said:
            def send(self, frame: bytes) -> None:
                """Nobody reads it."""

            def abort(self) -> None:
                """It ends of itself."""

            def close(self) -> None:
                """It ends of itself."""

            async def closed(self) -> None:
                for message in said:
                    received(self, codec.encode(message))

        return Said()

    def client(self) -> Client:
        return Client("", "token", None, Surroundings(self.dial, lambda: 0.0, lambda: "series", lambda *_: None))


WELCOME = messages.Welcome(1, "ann", "c1", messages.ServerLimits(1, 1, 1, 1, 1), "server")


async def test_a_server_that_said_goodbye_is_looked_for_often(pauses: Pauses) -> None:
    pauses.skipped = True
    async with Scripted([WELCOME, messages.Goodbye("shutting_down", 100)]).client():
        await pauses.happened(10)
    assert pauses.seconds[0] == 0.1
    assert max(pauses.seconds[:10]) <= 0.5


async def test_where_many_are_asked_back_one_after_the_other_each_keeps_to_it(pauses: Pauses) -> None:
    pauses.skipped = True
    async with Scripted([WELCOME, messages.Goodbye("shutting_down", 4_000)]).client():
        await pauses.happened(10)
    assert pauses.seconds[0] == 4.0
    assert 0.5 < max(pauses.seconds[1:10]) <= 4.0


async def test_where_too_many_connections_are_open_it_waits_and_comes_again(pauses: Pauses) -> None:
    pauses.skipped = True
    full = codec.error_message(CoscribeError(Code.TOO_MANY_REQUESTS, "too many connections"), None, None)
    server = Scripted([full], [full], [WELCOME])
    async with server.client() as client:
        await pauses.happened(3)
        assert client.connects == 1
    assert [pause >= 5 for pause in pauses.seconds[:2]] == [True, True]


async def test_the_caret_is_where_it_was_the_last_time(server: ServerProcess, file_id: str) -> None:
    async with crew(server) as the:
        ann, bob = the.join("ann"), the.join("bob")
        notes, his = await ann.open(file_id), await bob.open(file_id)
        notes.insert(0, "one two three")
        await notes.synced()
        await his.reached(notes.sequence)
        assert notes.last_cursor is None
        his.set_cursor(4, 7)
        await ann.until(lambda: notes.participants[bob.connection_id].cursor is not None)
        await his.close()
        notes.insert(0, "zero ")
        await notes.synced()
        again = await bob.open(file_id)
        assert again.last_cursor == (9, 12)

        def where() -> messages.Cursor | None:
            there = notes.participants.get(bob.connection_id)
            return None if there is None else there.cursor

        await ann.until(lambda: where() == messages.Cursor(9, 12))
