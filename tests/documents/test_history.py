"""The past of a file, read back: against the same thing worked out letter by letter from what was sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import blame as blame_module
from coscribe.documents import history as history_module
from coscribe.documents import past as past_module
from coscribe.documents.blame import PAUSE, Attribution, Ledger
from coscribe.documents.history import EditingSession, History
from coscribe.documents.ports import Identity
from coscribe.model import LogEntry
from coscribe.protocol import messages
from tests.documents.test_direct import ANN, BOB, Desk, desk

MICRO = 1_000_000
ALPHABET = "ab\n🙂é"


class Letter(NamedTuple):
    """One code point of the naive text, and the operation that put it there."""

    char: str
    author: str
    version: int
    at: int


class Past:
    """What was done, as the test remembers it: the text of every version, letter by letter."""

    def __init__(self) -> None:
        self.texts: list[list[Letter]] = [[]]
        self.authors: list[str] = []
        self.times: list[int] = []
        self.edits: list[list[tuple[int, int, str]]] = []

    def do(self, author: str, at: int, edits: list[tuple[int, int, str]]) -> None:
        letters, version = list(self.texts[-1]), len(self.texts)
        for position, deleted, inserted in reversed(edits):
            letters[position : position + deleted] = [Letter(char, author, version, at) for char in inserted]
        self.texts.append(letters)
        self.authors.append(author)
        self.times.append(at)
        self.edits.append(edits)

    def text(self, version: int) -> str:
        return "".join(letter.char for letter in self.texts[version])

    def runs(self, version: int) -> list[tuple[int, str, int, int]]:
        found: list[list[Letter]] = []
        for letter in self.texts[version]:
            last = found[-1][-1] if found else None
            if last and last.author == letter.author and abs(last.at - letter.at) < PAUSE:
                found[-1].append(letter)
            else:
                found.append([letter])
        newest = [max(run, key=lambda letter: letter.version) for run in found]
        return [(len(run), one.author, one.version, one.at) for run, one in zip(found, newest, strict=True)]

    def sessions(self, before: int) -> list[tuple[str, int, int, int, int, int, int, int]]:
        groups: list[list[int]] = []
        for version in range(1, before + 1):
            last = groups[-1][-1] if groups else 0
            same = last and self.authors[last - 1] == self.authors[version - 1]
            if same and self.times[version - 1] - self.times[last - 1] < PAUSE:
                groups[-1].append(version)
            else:
                groups.append([version])
        return [self._session(group) for group in reversed(groups)]

    def _session(self, group: list[int]) -> tuple[str, int, int, int, int, int, int, int]:
        edits = [edit for version in group for edit in self.edits[version - 1]]
        inserted, deleted = sum(len(edit[2]) for edit in edits), sum(edit[1] for edit in edits)
        first, last = group[0], group[-1]
        times = self.times[first - 1], self.times[last - 1]
        return (self.authors[first - 1], first - 1, last, *times, len(group), inserted, deleted)


class Study:
    """A desk with a history that is written at random, and what reads it back."""

    def __init__(self, at: Desk, random: Random) -> None:
        self.desk = at
        self.random = random
        self.past = Past()
        self.history = History(at.documents, at.storage)
        self._number = 0

    async def write(self, count: int) -> None:
        """So many operations of two people, with pauses, and now and then one that comes to nothing."""
        random, server = self.random, self.desk.server
        for _ in range(count):
            server.time += random.choice((0.5, 2.0, 2.0, 250.0, 299.9, 300.0, 400.0))
            who = random.choice((ANN, ANN, BOB))
            if random.random() < 0.1:
                await self._send(who, [])
                continue
            edits = self._edits(len(self.past.texts[-1]))
            await self._send(who, edits)
            self.past.do(who.user_id, int(server.time * MICRO), edits)

    def _edits(self, length: int) -> list[tuple[int, int, str]]:
        random, edits, position = self.random, [], 0
        for _ in range(random.choice((1, 1, 2, 3))):
            position = random.randint(position, length)
            deleted = random.randint(0, min(6, length - position)) if random.random() < 0.5 else 0
            inserted = "".join(random.choice(ALPHABET) for _ in range(random.randint(0 if deleted else 1, 4)))
            edits.append((position, deleted, inserted))
            position += deleted + 1
            if position > length:
                break
        return edits

    async def _send(self, who: Identity, edits: list[tuple[int, int, str]]) -> None:
        self._number += 1
        base = len(self.past.texts) - 1
        message = messages.Operation("notes", f"x:{self._number}", who.user_id, base, "batch", 0, edits)
        await self.desk.documents.edit(who, message)

    async def authors(self) -> dict[int, str]:
        return {await self.desk.storage.author(who.user_id): who.user_id for who in (ANN, BOB)}

    async def runs(self, version: int | None = None) -> list[tuple[int, str, int, int]]:
        names = await self.authors()
        found = await self.history.blame(ANN, "notes", version)
        return [(run.length, names[run.author_ref], run.version, run.at) for run in found.runs]


@pytest.fixture(params=range(4))
def random(request: pytest.FixtureRequest) -> Random:
    return Random(f"history {request.param}")


async def test_who_wrote_what_is_known_of_every_version(random: Random) -> None:
    async with desk() as at:
        study = Study(at, random)
        await study.write(120)
        versions = [*range(len(study.past.texts)), *random.choices(range(len(study.past.texts)), k=60)]
        random.shuffle(versions)
        for version in versions:
            assert await study.runs(version) == study.past.runs(version), version
        for _ in range(20):
            await study.write(7)
            assert await study.runs() == study.past.runs(-1)


async def test_what_is_kept_is_taken_further_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as at:
        study = Study(at, Random("kept"))
        await study.write(100)
        present = await study.runs()
        reads = at.storage.read
        asked: list[int] = []

        async def counted(key: int, after: int, **options: Any) -> list[LogEntry]:
            asked.append(options["through"] - after)
            return await reads(key, after, **options)

        monkeypatch.setattr(at.storage, "read", counted)
        assert await study.runs() == present
        assert asked == []
        await study.write(3)
        assert await study.runs() == study.past.runs(-1)
        assert sum(asked) <= 10, "only what came since"
        for version in range(0, 80, 5):
            await study.runs(version)
        kept = study.history._kept
        assert len(kept._kept) <= blame_module.MAX_VERSIONS
        assert kept._pieces == sum(one.pieces for one in kept._kept.values())
        monkeypatch.setattr(blame_module, "MAX_PIECES", 1)
        await study.runs(40)
        assert len(kept._kept) == 1


async def test_sessions_are_those_of_the_whole_log_whatever_the_pages(random: Random) -> None:
    async with desk() as at:
        study = Study(at, random)
        await study.write(150)
        names = await study.authors()
        latest = len(study.past.texts) - 1
        for before in (None, latest, *random.choices(range(latest), k=5)):
            found: list[EditingSession] = []
            following = before
            while True:
                page = await study.history.sessions(ANN, "notes", following, random.randint(1, 9))
                assert len(page.items) <= 9
                found += page.items
                following = page.next_before
                if following is None:
                    break
            shown = [(names[one.author_ref], *one[1:8]) for one in found]
            assert shown == study.past.sessions(latest if before is None else before)
            assert not any(one.is_cut for one in found)


async def test_a_page_of_sessions_reads_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that are too short for a session cut it; put together again they are the whole."""
    monkeypatch.setattr(history_module, "SESSION_ROWS", 10)
    async with desk() as at:
        study = Study(at, Random("cut"))
        for number in range(35):
            edits = [(0, 0, "x")]
            await study._send(ANN, edits)
            study.past.do("ann", int(at.server.time * MICRO), edits)
            at.server.time += 1 if number != 20 else 1_000
        found: list[EditingSession] = []
        following: int | None = None
        while True:
            page = await study.history.sessions(ANN, "notes", following, 50)
            found += page.items
            following = page.next_before
            if following is None:
                break
        assert [(one.from_version, one.to_version, one.is_cut) for one in found] == [
            (25, 35, True),
            (21, 25, False),
            (11, 21, True),
            (1, 11, True),
            (0, 1, False),
        ]


async def test_operations_play_in_both_directions(random: Random) -> None:
    async with desk() as at:
        study = Study(at, random)
        await study.write(90)
        names = await study.authors()
        latest = len(study.past.texts) - 1
        for after in (0, latest // 2, latest):
            version = after
            text = study.past.text(after)
            while version < latest:
                page = await study.history.operations(ANN, "notes", version, random.randint(1, 20))
                assert page.version == latest
                for operation in page.items:
                    version += 1
                    assert operation.version == version
                    assert names[operation.author_ref] == study.past.authors[version - 1]
                    assert operation.at == study.past.times[version - 1]
                    text = played(text, operation.edits)
                    assert text == study.past.text(version)
                    assert played_back(text, operation.edits) == study.past.text(version - 1)
        assert (await study.history.operations(ANN, "notes", latest, 5)).items == []


async def test_long_operations_make_short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "OPERATION_BYTES", 100)
    async with desk() as at:
        study = Study(at, Random(0))
        for _ in range(6):
            await study._send(ANN, [(0, 0, "x" * 60)])
            study.past.do("ann", 0, [(0, 0, "x" * 60)])
        page = await study.history.operations(ANN, "notes", 1, 100)
        assert [operation.version for operation in page.items] == [2, 3]


async def test_the_log_can_be_verified_by_its_lines_alone() -> None:
    async with desk() as at:
        study = Study(at, Random("log"))
        await study.write(60)
        lines = [json.loads(line) for line in (await whole(study)).splitlines()]
        head, entries = lines[0], lines[1:]
        assert head["format"] == "coscribe-log-1"
        assert [entry["sequence"] for entry in entries] == list(range(1, head["sequence"] + 1))
        digest = bytes(32)
        document = head["documentId"].encode()
        for entry in entries:
            operation_id = entry["operationId"].encode()
            digest = hashlib.sha256(
                digest
                + struct.pack(
                    ">QQQQqHH",
                    *(entry[name] for name in ("sequence", "version", "baseVersion", "authorRef", "time")),
                    len(document),
                    len(operation_id),
                )
                + document
                + operation_id
                + hashlib.sha256(bytes.fromhex(entry["salt"]) + entry["payload"].encode()).digest()
            ).digest()
            assert digest.hex() == entry["digest"]
        assert digest.hex() == head["chainHash"]


async def test_a_version_that_is_not_there_is_refused() -> None:
    async with desk() as at:
        study = Study(at, Random(1))
        await study.write(10)
        beyond = len(study.past.texts)
        for ask in (
            lambda: study.history.sessions(ANN, "notes", beyond, 5),
            lambda: study.history.operations(ANN, "notes", beyond, 5),
            lambda: study.history.blame(ANN, "notes", beyond),
            lambda: study.history.existing(ANN, "notes", beyond),
        ):
            with pytest.raises(CoscribeError) as refused:
                await ask()
            assert refused.value.code is Code.BASE_VERSION_FUTURE


async def test_an_empty_file_has_an_empty_past() -> None:
    async with desk() as at:
        history = History(at.documents, at.storage)
        assert await history.sessions(ANN, "notes", None, 5) == ([], None, 0)
        assert await history.operations(ANN, "notes", 0, 5) == ([], 0)
        assert await history.blame(ANN, "notes", None) == (0, [])


async def test_who_may_not_see_the_file_reads_nothing_of_its_past() -> None:
    async with desk() as at:
        study = Study(at, Random(2))
        await study.write(5)
        lines = await study.history.log(BOB, "notes")
        await anext(lines)
        at.rights.roles["bob", "notes"] = None
        at.documents.rights_changed()
        for read in (lambda: study.history.blame(BOB, "notes", None), lambda: whole(study, BOB)):
            with pytest.raises(CoscribeError) as refused:
                await read()
            assert refused.value.code is Code.FILE_NOT_FOUND
        with pytest.raises(CoscribeError):
            async for _ in lines:
                pass


async def test_what_is_missing_in_the_log_is_damage() -> None:
    async with desk() as at:
        study = Study(at, Random(3))
        await study.write(20)
        del at.storage._by_key[1].entries[9]
        for read in (lambda: study.history.blame(ANN, "notes", None), lambda: whole(study)):
            with pytest.raises(CoscribeError) as refused:
                await read()
            assert refused.value.code is Code.FILE_DAMAGED


async def test_many_ask_at_once_and_all_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_WAITING", 8)
    async with desk() as at:
        study = Study(at, Random(4))
        await study.write(60)
        found = await asyncio.gather(*(study.history.blame(ANN, "notes", None) for _ in range(8)))
        assert all(one == found[0] for one in found)
        results = await asyncio.gather(
            *(study.history.blame(ANN, "notes", None) for _ in range(12)), return_exceptions=True
        )
        refused = [one for one in results if isinstance(one, CoscribeError)]
        assert {error.code for error in refused} <= {Code.OVERLOADED}
        assert len(refused) == 4


async def test_a_version_is_restored_as_one_operation() -> None:
    async with desk() as at:
        study = Study(at, Random(5))
        await study.write(40)
        latest = len(study.past.texts) - 1
        place = await at.documents.restore(BOB, "notes", 12, "restore:1")
        assert place is not None
        assert (await at.documents.text(ANN, "notes")).text == study.past.text(12)
        assert place.document_version == latest + 1
        assert await at.documents.restore(BOB, "notes", 12, "restore:1") == place, "sent again it is the same"
        assert await at.documents.restore(BOB, "notes", 12, "restore:2") is None, "it is that text"
        assert (await at.documents.text(ANN, "notes", latest)).text == study.past.text(latest)


async def test_old_texts_are_found_from_either_end(random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "VERSIONS", 7)
    async with desk() as at:
        study = Study(at, random)
        await study.write(80)
        latest = len(study.past.texts) - 1
        for far in (0, latest):
            monkeypatch.setattr(past_module, "FAR", far)
            for version in range(latest + 1):
                found = await at.documents.text(ANN, "notes", version)
                assert (found.text, found.version) == (study.past.text(version), version)
                rows = await at.log()
                assert version == (rows[found.sequence - 1].version if found.sequence else 0)
        monkeypatch.setattr(past_module, "FAR", 0)
        rows = at.storage._by_key[1].entries
        place = next(place for place, row in enumerate(rows) if row.version == 5)
        kept = rows[place]
        for damage in (
            kept._replace(payload=b"nonsense"),
            kept._replace(payload=b'[[["never there"]],[]]'),
            kept._replace(version=9),
        ):
            rows[place] = damage
            with pytest.raises(CoscribeError) as refused:
                await at.documents.text(ANN, "notes", latest // 3)
            assert refused.value.code is Code.FILE_DAMAGED


# ---- attribution alone: long texts, where blocks are halved and joined


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.integers(2, 8))
def test_pieces_in_blocks_are_the_pieces_of_a_list(random: Random, block: int) -> None:
    naive: list[int] = []
    ledger = Ledger()
    attribution = Attribution(ledger)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blame_module, "BLOCK", block)
        for version in range(1, random.randint(2, 80)):
            position = random.randint(0, len(naive))
            deleted = random.randint(0, len(naive) - position) if random.random() < 0.3 else 0
            inserted = random.randint(0 if deleted else 1, 5)
            naive[position : position + deleted] = [version] * inserted
            attribution.take([entry(version, position, deleted, inserted)])
            assert attribution.length == len(naive) == sum(attribution._sizes)
            assert attribution.pieces == sum(map(len, attribution._blocks))
            assert [sum(length for length, _ in one) for one in attribution._blocks] == attribution._sizes
            assert all(len(one) <= block for one in attribution._blocks) or block < 4
    spelled = [version for one in attribution._blocks for length, version in one for _ in range(length)]
    assert spelled == naive
    assert attribution.copy().runs() == attribution.runs()


def entry(version: int, position: int, deleted: int, inserted: int) -> LogEntry:
    parts: list[Any] = [position, "x" * inserted, [deleted * "y"]]
    payload = json.dumps([[part for part in parts if part not in (0, "", [""])], []]).encode()
    return LogEntry(version, 1, version, version - 1, f"x:{version}", "ann", 7, b"", version, payload, b"", b"")


def played(text: str, edits: list[tuple[int, str, str]]) -> str:
    for position, deleted, inserted in reversed(edits):
        assert text[position : position + len(deleted)] == deleted
        text = text[:position] + inserted + text[position + len(deleted) :]
    return text


def played_back(text: str, edits: list[tuple[int, str, str]]) -> str:
    for position, deleted, inserted in edits:
        assert text[position : position + len(inserted)] == inserted
        text = text[:position] + deleted + text[position + len(inserted) :]
    return text


async def whole(study: Study, who: Identity = ANN) -> bytes:
    return b"".join([page async for page in await study.history.log(who, "notes")])
