"""A log whose older part was pruned, beside what was written into it: the rest of it answers as before."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Splice
from coscribe.documents import past as past_module
from coscribe.documents.audit import audit
from coscribe.documents.blame import Attribution, Ledger
from coscribe.documents.history import History
from coscribe.documents.ports import Retained, StorageError
from coscribe.documents.pruning import DAY, PrunedPart, Pruning
from coscribe.model import LogEntry, content_hash, encode_payload, file_key
from coscribe.protocol import messages
from coscribe.protocol.messages import Place
from tests.documents.test_direct import ANN, BOB, Desk, desk, insertion
from tests.documents.test_history import MICRO, Study
from tests.documents.test_recovery import Recorder

LIMITS = Limits(window_operations=8)


class Seal:
    """Signs with what is to be signed."""

    key_id = "seal"

    def sign(self, statement: bytes) -> bytes:
        return statement


def pruning_of(at: Desk, told: Callable[[PrunedPart], None] = lambda _: None) -> Pruning:
    """Everything that is closed is older than the day it is kept."""
    at.storage._by_key[1].retained = Retained(1)
    return Pruning(at.storage, Seal, 0, lambda: int(at.server.time * MICRO) + 2 * DAY, lambda: at.server.time, told)


async def prune(at: Desk) -> int:
    """Prunes as far as may be; the version that the history begins with."""
    await at.documents.drain()
    pruning = pruning_of(at)
    (item,) = await pruning.due()
    while await pruning.prune(item) is not None:
        pass
    return (await at.storage.pruned(1)).versions.get(file_key(1, 0), 0)


def forget_memory(at: Desk) -> None:
    """As after a restart."""
    for session in list(at.documents.router.sessions.values()):
        at.documents.router.drop(session)


@asynccontextmanager
async def refusing(code: Code) -> AsyncIterator[None]:
    with pytest.raises(CoscribeError) as error:
        yield
    assert error.value.code is code


@pytest.mark.parametrize("seed", range(4))
async def test_all_that_is_left_answers_as_if_nothing_was_gone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts, who wrote them, sessions and operations, of every version from the checkpoint on; twice pruned."""
    random = Random(f"pruned {seed}")
    monkeypatch.setattr(past_module, "FAR", random.choice((5, 5_000)))
    async with desk(LIMITS) as at:
        study = Study(at, random)
        oldest = 0
        for _ in range(2):
            await study.write(60)
            if random.random() < 0.5:
                await study.runs(random.randrange(oldest, len(study.past.texts)))
            pruned = await prune(at)
            assert pruned > oldest
            oldest = pruned
            await study.write(random.choice((0, 1, 40)))
            if random.random() < 0.5:
                forget_memory(at)
            for history in (study.history, History(at.documents, at.storage)):
                study.history = history
                await compare(study, oldest)


async def compare(study: Study, oldest: int) -> None:
    past, at = study.past, study.desk
    names = await study.authors()
    latest = len(past.texts) - 1
    for version in range(oldest, latest + 1):
        assert (await at.documents.text(ANN, "notes", version)).text == past.text(version)
        assert await study.runs(version) == past.runs(version)
    played = await study.history.operations(ANN, "notes", oldest, 1_000)
    assert [(one.version, names[one.author_ref]) for one in played.items] == [
        (version, past.authors[version - 1]) for version in range(oldest + 1, latest + 1)
    ]
    page = await study.history.sessions(ANN, "notes", None, 1_000)
    assert (page.next_before, page.oldest_version) == (None, oldest)
    found = [(names[one.author_ref], *one[1:8]) for one in page.items]
    expected = [one for one in past.sessions(latest) if one[2] > oldest]
    assert found[:-1] == expected[: len(found) - 1]
    assert len(found) == len(expected)
    assert not found or found[-1][1] == max(oldest, expected[-1][1])
    for version in range(oldest):
        asks: list[Callable[[int], Awaitable[Any]]] = [
            lambda version: at.documents.text(ANN, "notes", version),
            lambda version: at.documents.restore(ANN, "notes", version, f"restore:{version + 1}"),
            lambda version: study.history.blame(ANN, "notes", version),
            lambda version: study.history.operations(ANN, "notes", version, 5),
            lambda version: study.history.sessions(ANN, "notes", version, 5),
            lambda version: study.history.existing(ANN, "notes", version),
        ]
        for ask in asks if version in (0, oldest // 2, oldest - 1) else asks[:1]:
            async with refusing(Code.HISTORY_PRUNED):
                await ask(version)


async def test_the_checkpoint_is_what_the_log_led_to_and_the_rest_hangs_on_it() -> None:
    async with desk(LIMITS) as at:
        study = Study(at, Random(1))
        await study.write(50)
        whole = await at.log()
        oldest = await prune(at)
        checkpoint = await at.storage.checkpoint(1)
        assert checkpoint is not None
        (file,) = checkpoint.files
        assert (file.content, file.version) == (study.past.text(oldest), oldest)
        assert checkpoint.chain_hash == whole[checkpoint.sequence - 1].digest
        assert checkpoint.signature == checkpoint.statement()
        workspace = at.storage._workspace(at.storage._by_key[1])
        left = await at.storage.read(1, checkpoint.sequence, through=99, limit=99)
        assert left == whole[checkpoint.sequence :]
        assert audit(workspace, left, begin=checkpoint).clean
        assert not audit(workspace, left, begin=checkpoint._replace(chain_hash=bytes(32))).clean
        damaged = checkpoint._replace(files=(file._replace(content="x", content_hash=content_hash("x")),))
        assert not audit(workspace, left, begin=damaged).clean


async def test_the_log_is_exported_from_the_checkpoint_on() -> None:
    async with desk(LIMITS) as at:
        study = Study(at, Random(2))
        await study.write(30)
        await prune(at)
        head, *lines = [line async for page in await study.history.log(ANN, "notes") for line in page.splitlines()]
        checkpoint = await at.storage.checkpoint(1)
        assert checkpoint is not None
        assert f'"prunedThrough":{checkpoint.sequence},'.encode() in head
        assert checkpoint.chain_hash.hex().encode() in head
        assert len(lines) == 30 - checkpoint.sequence


async def test_without_any_snapshot_a_load_begins_at_the_checkpoint() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await prune(at)
        at.storage._snapshots.clear()
        forget_memory(at)
        assert (await at.documents.text(ANN, "notes")).text == "a" * 20
        await at.insert("b", 20, "a:21")
        forget_memory(at)
        assert (await at.documents.text(ANN, "notes")).text == "b" + "a" * 20
        stored = at.storage._by_key[1]
        assert stored.checkpoint is not None
        (file,) = stored.checkpoint.files
        stored.checkpoint = stored.checkpoint._replace(files=(file._replace(content="damaged"),))
        forget_memory(at)
        async with refusing(Code.FILE_DAMAGED):
            await at.documents.text(ANN, "notes")


async def test_a_log_may_be_nothing_but_its_checkpoint() -> None:
    """As after a restore to a moment that is just behind it."""
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await prune(at)
        stored = at.storage._by_key[1]
        assert stored.checkpoint is not None
        stored.entries.clear()
        at.storage._snapshots.clear()
        stored.last_sequence, stored.chain_hash = stored.checkpoint.sequence, stored.checkpoint.chain_hash
        forget_memory(at)
        assert (await at.documents.text(ANN, "notes")).text == "a" * 19
        history = History(at.documents, at.storage)
        assert (await history.sessions(ANN, "notes", None, 5)).items == []
        assert sum(run.length for run in (await history.blame(ANN, "notes", None)).runs) == 19
        assert await at.insert("b", 19, "b:1") == [Place("b:1", 20, 20)]
        workspace = at.storage._workspace(stored)
        assert audit(workspace, stored.entries, begin=stored.checkpoint).clean


async def test_an_old_operation_that_comes_again_has_its_place_whatever_was_pruned() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await prune(at)
        forget_memory(at)
        for number in range(20):
            place = Place(f"a:{number + 1}", number + 1, number + 1)
            assert await at.insert("a", number, f"a:{number + 1}") == [place]
            async with refusing(Code.OPERATION_ID_REUSED):
                await at.insert("other", number, f"a:{number + 1}")
        async with refusing(Code.OPERATION_ID_REUSED):
            await at.documents.edit(BOB, insertion("a", 3, "a:4", user="bob"))
        assert (await at.documents.text(ANN, "notes")).text == "a" * 20


async def test_an_edit_of_a_version_that_was_pruned_is_too_old() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        oldest = await prune(at)
        for drop in (False, True):
            if drop:
                forget_memory(at)
            async with refusing(Code.BASE_VERSION_TOO_OLD):
                await at.insert("late", 3, "late:1")
        await at.insert("|", oldest, "late:2")
        assert (await at.documents.text(ANN, "notes")).text.count("|") == 1


async def test_below_the_horizon_nothing_is_ever_applied_again() -> None:
    """Ids are forgotten: whatever of that time comes again is refused, and what came later is known."""
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        oldest = await prune(at)
        (item,) = await pruning_of(at).due()
        assert await pruning_of(at).forget_ids(item)
        assert not await pruning_of(at).forget_ids(item)
        forget_memory(at)
        for number in range(20):
            if number < oldest:
                async with refusing(Code.BASE_VERSION_TOO_OLD):
                    await at.insert("a", number, f"a:{number + 1}")
            else:
                place = Place(f"a:{number + 1}", number + 1, number + 1)
                assert await at.insert("a", number, f"a:{number + 1}") == [place]
        async with refusing(Code.BASE_VERSION_TOO_OLD):
            await at.insert("new", oldest, "new:1")
        await at.insert("b", oldest + 1, "new:2")
        assert (await at.documents.text(ANN, "notes")).text.count("a") == 20


async def test_ids_are_not_forgotten_while_nothing_came_behind() -> None:
    """Otherwise there would be no version that could be edited."""
    async with desk(LIMITS) as at:
        for number in range(10):
            await at.insert("a", number, f"a:{number + 1}")
        oldest = await prune(at)
        stored = at.storage._by_key[1]
        del stored.entries[1:]
        stored.entries[0] = stored.entries[0]._replace(version=oldest)
        (item,) = await pruning_of(at).due()
        assert not await pruning_of(at).forget_ids(item)


async def test_fates_of_a_replica_from_before_the_checkpoint() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        old = (await at.log())[4]
        await prune(at)
        have = messages.Have("memory", 5, old.digest.hex(), 5)
        ask = messages.Join("notes", have, ["a:6", "a:99"])
        recorder = Recorder()
        member = await at.documents.join(ANN, "c1", ask, recorder)
        snapshot = await recorder.until(lambda frame: isinstance(frame, messages.Snapshot))
        assert isinstance(snapshot, messages.Snapshot)
        assert snapshot.lineage_lost
        assert [fate.fate for fate in snapshot.fates] == ["committed", "unknowable"]
        # A session from before the prune takes the beginning for known; there is nothing to read all the same.
        beginning = messages.Lineage("memory", 0, bytes(32).hex())
        for lineage, code in ((have, Code.HISTORY_UNAVAILABLE), (beginning, Code.HISTORY_PRUNED)):
            async with refusing(code):
                await at.documents.resend(member, messages.Resend("notes", lineage, 20))


async def test_a_replica_at_the_checkpoint_itself_is_told_what_came_since() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await prune(at)
        pruned = await at.storage.pruned(1)
        recorder = Recorder()
        member = await at.documents.join(ANN, "c1", messages.Join("notes"), recorder)
        have = messages.Lineage("memory", pruned.sequence, pruned.chain_hash.hex())
        frame = await at.documents.resend(member, messages.Resend("notes", have, 20))
        assert frame.count(b'"operationId"') == 20 - pruned.sequence
        forged = messages.Lineage("memory", pruned.sequence, bytes(32).hex())
        async with refusing(Code.HISTORY_UNAVAILABLE):
            await at.documents.resend(member, messages.Resend("notes", forged, 20))


async def test_nothing_young_and_nothing_held_is_pruned() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await at.documents.drain()
        young = Pruning(at.storage, Seal, 1, lambda: int(at.server.time * MICRO) + DAY - 1, lambda: 0.0)
        (item,) = await young.due()
        assert await young.prune(item) is None
        pruning = pruning_of(at)
        (item,) = await pruning.due()
        at.storage._by_key[1].retained = Retained(1, held=True)
        assert await pruning.prune(item) is None
        assert await pruning.due() == []
        assert len(await at.log()) == 20


async def test_a_damaged_log_is_evidence_and_stays() -> None:
    async with desk(LIMITS) as at:
        for number in range(20):
            await at.insert("a", number, f"a:{number + 1}")
        await at.documents.drain()
        entries = at.storage._by_key[1].entries
        entries[4] = entries[4]._replace(time=entries[4].time + 1)
        pruning = pruning_of(at)
        (item,) = await pruning.due()
        with pytest.raises(StorageError, match="sequence 5"):
            await pruning.prune(item)
        await pruning.step()
        assert len(await at.log()) == 20


async def test_a_server_prunes_now_and_then() -> None:
    async with desk(LIMITS) as at:
        parts: list[PrunedPart] = []
        pruning = pruning_of(at, parts.append)
        for round_of in (1, 2):
            for number in range(20 * round_of - 20, 20 * round_of):
                await at.insert("a", number, f"a:{number + 1}")
            await at.documents.drain()
            forget_memory(at)
            for _ in range(3):
                await pruning.step()
            assert len(parts) == round_of, "one part, then a pause"
            at.server.time += 3_601
        assert [part.entries for part in parts] == [19, 20]
        assert (await at.storage.pruned(1)).sequence == 39


def test_an_attribution_comes_back_from_a_checkpoint() -> None:
    empty = Attribution.load(Attribution(Ledger()).dump(), 0, 0, Ledger())
    assert (empty.length, empty.runs()) == (0, [])
    made = Attribution(Ledger())
    payloads = [encode_payload(Splice(at, 0, "ab"), "", (), origin) for at, origin in ((0, ""), (1, "paste"))]
    made.take(
        [
            LogEntry(version, 1, version, version - 1, f"x:{version}", "ann", 7, b"", version, payload, b"", b"")
            for version, payload in enumerate(payloads, 1)
        ]
    )
    loaded = Attribution.load(made.dump(), 2, 2, Ledger())
    assert loaded.runs() == made.runs()
    assert [(run.length, run.kind("ann"), run.kind("ann+bot"), run.kind("disk")) for run in loaded.runs()] == [
        (1, "human", "agent", "disk"),
        (2, "paste", "agent", "disk"),
        (1, "human", "agent", "disk"),
    ]
    before = msgspec.msgpack.encode(([3], [1], [1], [7], [1]))  # as it was kept before there were origins
    assert [run.kind("ann") for run in Attribution.load(zlib.compress(before), 1, 1, Ledger()).runs()] == ["human"]
    with pytest.raises(CoscribeError):
        Attribution.load(b"damaged", 3, 3, Ledger())
