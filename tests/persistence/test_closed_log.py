"""Logs of which a part is in segments, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from itertools import count
from pathlib import Path
from runpy import run_path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from coscribe.core.tree import NodeState
from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint
from coscribe.documents.ports import Append, AppendResult, Retained, SegmentSize, StorageError
from coscribe.metrics import metrics
from coscribe.model import File, LogEntry, Workspace, content_hash, file_key
from coscribe.persistence.closed_log import MAX_UNPACKED
from coscribe.persistence.memory import MemoryStorage
from coscribe.persistence.migrate import MIGRATIONS
from coscribe.persistence.sqlite import connect
from coscribe.persistence.stored import stored_in
from tests.contracts.op_log import SMALL, acquired, compacted, entry, extended, extended_by, planted
from tests.persistence.beds import Bed, PostgresBed, SqliteBed, Storage

COUNT = 40

THE_LISTS = MIGRATIONS / "versions" / "0008_segment_files.py"


@pytest.fixture(params=["sqlite", "postgres"])
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Bed:
    if request.param == "sqlite":
        return SqliteBed(tmp_path)
    return PostgresBed(request.getfixturevalue("postgres")())


@pytest.fixture
async def storage(bed: Bed) -> AsyncIterator[Storage]:
    made = bed.open()
    yield made
    await made.close()


only_sqlite = pytest.mark.parametrize("bed", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("bed", ["postgres"], indirect=True)


def counts(bed: Bed) -> tuple[int, int]:
    """Entries in segments, and rows."""
    ((entries,),) = bed.execute("SELECT coalesce(sum(entries), 0) FROM log_segments")
    ((rows,),) = bed.execute("SELECT count(*) FROM file_operation_log")
    return int(str(entries)), int(str(rows))


def unpacked() -> float:
    return metrics.registry.get_sample_value("coscribe_segments_unpacked_total") or 0.0


async def filled(storage: Storage, name: str = "notes") -> tuple[Workspace, list[LogEntry]]:
    workspace = await acquired(storage, name)
    return workspace, await extended(storage, workspace, [f"a:{n}" for n in range(1, COUNT + 1)])


async def test_rows_become_segments(storage: Storage, bed: Bed) -> None:
    workspace, rows = await filled(storage)
    segment = await storage.compact(workspace.key, 30, SMALL)
    assert segment is not None
    assert (segment.first_sequence, segment.last_sequence, segment.entries) == (1, 7, 7)
    assert segment.bytes_before > sum(len(row.payload) + 64 for row in rows[:7])
    assert counts(bed) == (7, COUNT - 7)
    await compacted(storage, workspace, 30, SMALL)
    assert counts(bed) == (30, COUNT - 30)
    assert bed.execute("SELECT series, first_counter, last_counter FROM operation_runs ORDER BY 2")[:2] == [
        ("a", 1, 7),
        ("a", 8, 14),
    ]


async def test_the_newest_entry_stays_a_row(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    await compacted(storage, workspace, 10**6, SegmentSize(7, 1_000, 1))
    assert counts(bed) == (COUNT - 1, 1)


async def test_too_few_are_left(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    assert await storage.compact(workspace.key, 6, SegmentSize(7, 1_000, 7)) is None
    assert await storage.compact(workspace.key + 1, 6, SMALL) is None
    assert counts(bed) == (0, COUNT)


async def test_what_is_being_deleted_is_left(storage: Storage, bed: Bed) -> None:
    """Its rows go piece by piece: a log that lacks some of them is no damage then."""
    workspace, _ = await filled(storage)
    bed.execute("UPDATE workspaces SET status = 'deleted'")
    bed.execute("DELETE FROM file_operation_log WHERE sequence <= 5")
    assert await storage.compact(workspace.key, 30, SMALL) is None
    assert counts(bed) == (0, COUNT - 5)


async def test_long_entries_make_short_segments(storage: Storage) -> None:
    workspace, rows = await filled(storage)
    segment = await storage.compact(workspace.key, COUNT, SegmentSize(30, 3 * len(rows[0].payload), 2))
    assert segment is not None
    assert segment.entries == 3


@only_sqlite
async def test_a_compressed_log_can_be_iterated(storage: Storage, bed: Bed, tmp_path: Path) -> None:
    workspace, rows = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    with closing(connect(tmp_path / "log.db", read_only=True)) as db:
        assert list(stored_in(db).entries(workspace.key)) == rows
        assert list(stored_in(db).entries(workspace.key, after=10, file_key=rows[0].file_key)) == rows[10:]
        assert list(stored_in(db).entries(workspace.key, file_key=10**6)) == []


async def test_an_author_erased_later_has_no_name_in_segments_either(storage: Storage, bed: Bed) -> None:
    workspace, rows = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    bed.execute("UPDATE authors SET user_id = NULL")
    name = f"erased-{rows[0].author_ref}"
    assert await storage.read(workspace.key, 0, through=99, limit=99) == [row._replace(author=name) for row in rows]
    for operation_id in ("a:1", f"a:{COUNT}"):
        found = await storage.find(workspace.key, operation_id)
        assert found is not None
        assert found.author == name


async def test_segments_go_with_their_document(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    kept, rows = await filled(storage, "kept")
    for each in (workspace, kept):
        await compacted(storage, each, 30, SMALL)
    bed.execute("DELETE FROM heads WHERE workspace_key = ?", workspace.key)
    for table in ("log_segments", "operation_runs"):
        assert bed.execute(f"SELECT DISTINCT workspace_key FROM {table}") == [(kept.key,)]
    assert await storage.read(kept.key, 0, through=99, limit=99) == rows


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE log_segments SET content = substr(content, 1, 50) WHERE first_sequence = 8",
        "UPDATE log_segments SET content = zeroblob(length(content)) WHERE first_sequence = 8",
        "UPDATE log_segments SET content = (SELECT content FROM log_segments WHERE first_sequence = 1)"
        " WHERE first_sequence = 8",
        "UPDATE log_segments SET content = 'text' WHERE first_sequence = 8",
        "UPDATE log_segments SET checksum = zeroblob(32) WHERE first_sequence = 8",
        "UPDATE log_segments SET first_sequence = 7 WHERE first_sequence = 8",
        "UPDATE log_segments SET entries = 6 WHERE first_sequence = 8",
    ],
)
async def test_a_damaged_segment_is_a_failure_of_storage(storage: Storage, bed: Bed, harm: str) -> None:
    workspace, rows = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    bed.execute(harm)
    with pytest.raises(StorageError, match="segment"):
        await storage.read(workspace.key, 0, through=99, limit=99)
    with pytest.raises(StorageError, match="segment"):
        await storage.read_versions(rows[0].file_key, 8, 99, 99)
    with pytest.raises(StorageError, match="segment"):
        await storage.find(workspace.key, "a:10")
    assert await storage.read(workspace.key, 0, through=6, limit=99) == rows[:6]
    assert await storage.read(workspace.key, 14, through=99, limit=99) == rows[14:]
    new = entry(COUNT + 1, "a:10", file_key=rows[0].file_key, author_ref=rows[0].author_ref)
    append = Append(workspace.key, workspace.epoch, COUNT, new.digest, [new])
    assert await storage.append([append]) == [AppendResult.REFUSED]


@only_sqlite  # PostgreSQL gives out a number once
async def test_a_deleted_segment_is_not_taken_for_the_next_one(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    await compacted(storage, workspace, 7, SMALL)
    await storage.read(workspace.key, 0, through=7, limit=7)
    bed.execute("DELETE FROM heads WHERE workspace_key = ?", workspace.key)
    other, rows = await filled(storage, "other")
    await compacted(storage, other, 7, SMALL)
    assert bed.execute("SELECT segment_key FROM log_segments") == [(1,)]
    assert await storage.read(other.key, 0, through=99, limit=99) == rows
    found = await storage.find(other.key, "a:1")
    assert found is not None
    assert found.file_id == "other"


async def test_an_id_whose_segment_is_gone_is_a_failure_of_storage(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    bed.execute("DELETE FROM log_segments WHERE first_sequence = 8")
    with pytest.raises(StorageError, match="lacks the id a:10"):
        await storage.find(workspace.key, "a:10")


async def test_an_id_that_its_segment_lacks_is_a_failure_of_storage(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    bed.execute("UPDATE operation_runs SET first_counter = 7 WHERE first_counter = 8")
    bed.execute("DELETE FROM operation_runs WHERE first_counter = 1")
    with pytest.raises(StorageError, match="lacks the id a:7"):
        await storage.find(workspace.key, "a:7")


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE file_operation_log SET payload = zeroblob(1) WHERE sequence = 3",
        "UPDATE file_operation_log SET digest = zeroblob(32) WHERE sequence = 3",
        "UPDATE file_operation_log SET version = 4 WHERE sequence = 3",
        "DELETE FROM file_operation_log WHERE sequence = 3",
        "DELETE FROM file_operation_log WHERE sequence = 1",
    ],
)
async def test_damaged_rows_stay_rows(storage: Storage, bed: Bed, harm: str) -> None:
    workspace, _ = await filled(storage)
    bed.execute(harm)
    before = bed.execute("SELECT * FROM file_operation_log")
    with pytest.raises(StorageError):
        await storage.compact(workspace.key, 30, SMALL)
    assert bed.execute("SELECT * FROM file_operation_log") == before
    assert counts(bed)[0] == 0


@only_sqlite
async def test_a_text_in_the_place_of_bytes_is_damage(storage: Storage, bed: Bed) -> None:
    await test_damaged_rows_stay_rows(storage, bed, "UPDATE file_operation_log SET request = 'text' WHERE sequence = 3")


@pytest.mark.parametrize(
    ("what", "table", "when"),
    [
        ("BEFORE DELETE", "file_operation_log", "OLD.sequence = 5"),
        ("BEFORE INSERT", "operation_runs", ""),
        ("AFTER INSERT", "log_segments", ""),
    ],
)
async def test_it_happens_whole_or_not_at_all(storage: Storage, bed: Bed, what: str, table: str, when: str) -> None:
    workspace, rows = await filled(storage)
    bed.forbid(what, table, when)
    assert await storage.compact(workspace.key, 30, SMALL) is None
    assert counts(bed) == (0, COUNT)
    assert bed.execute("SELECT * FROM operation_runs") == []
    bed.allow(table)
    await compacted(storage, workspace, 30, SMALL)
    assert await storage.read(workspace.key, 0, through=99, limit=99) == rows


async def test_two_who_compress_the_same_log(storage: Storage, bed: Bed) -> None:
    workspace, rows = await filled(storage)
    other = bed.open()
    for _ in range(5):
        await storage.compact(workspace.key, 30, SMALL)
        await other.compact(workspace.key, 30, SMALL)
    await other.close()
    assert counts(bed) == (30, COUNT - 30)
    assert await storage.read(workspace.key, 0, through=99, limit=99) == rows


async def test_few_unpacked_segments_are_remembered(storage: Storage) -> None:
    workspace, rows = await filled(storage)
    await compacted(storage, workspace, 36, SegmentSize(6, 10_000, 6))
    start = unpacked()
    for _ in range(3):
        assert await storage.read(workspace.key, 0, through=6 * MAX_UNPACKED, limit=99) == rows[: 6 * MAX_UNPACKED]
    assert unpacked() - start == MAX_UNPACKED
    await storage.read(workspace.key, 6 * MAX_UNPACKED, through=36, limit=99)
    await storage.read(workspace.key, 0, through=6, limit=99)
    assert unpacked() - start == 6 + 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(1, 9)),
        st.tuples(st.just("compact"), st.sampled_from("ab"), st.integers(0, 70)),
        st.tuples(st.just("repeat"), st.sampled_from("ab"), st.integers(0, 70)),
        st.tuples(st.just("restart"), st.just("a"), st.just(0)),
    ),
    max_size=14,
)
SERIES = ("x", "y", "z:1")
EXAMPLES = count()


@pytest.fixture
def memory() -> MemoryStorage:
    return MemoryStorage()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=STEPS,
    reads=st.lists(st.tuples(*[st.integers(0, 70)] * 3), max_size=10),
    size=st.builds(SegmentSize, st.integers(1, 12), st.integers(1, 150), st.integers(1, 5)),
)
async def test_compressing_at_any_time_changes_nothing(
    bed: Bed,
    memory: MemoryStorage,
    steps: list[tuple[str, str, int]],
    reads: list[tuple[int, int, int]],
    size: SegmentSize,
) -> None:
    """Random appends, compactions and restarts, beside a log in memory to which only the appends happen. Both keep the
    workspaces of earlier examples."""
    stored, example = bed.open(), next(EXAMPLES)
    plain = {name: await acquired(memory, f"{name}{example}") for name in "ab"}
    real = {name: await acquired(stored, f"{name}{example}") for name in "ab"}
    assert plain == {
        name: workspace._replace(incarnation=plain[name].incarnation, secret=plain[name].secret)
        for name, workspace in real.items()
    }
    try:
        logs: dict[str, list[LogEntry]] = {"a": [], "b": []}
        number = 0
        for step, name, argument in steps:
            log = logs[name]
            if step == "append":
                # Every third id is left out, and the series take turns: runs end at all sorts of places.
                ids = [f"{SERIES[n % 3]}:{n + n // 3}" for n in range(number + 1, number + 1 + argument)]
                number += argument
                rows = await extended(stored, real[name], ids, log[-1] if log else None)
                assert await extended(memory, plain[name], ids, log[-1] if log else None) == rows
                log += rows
            elif step == "compact":
                await compacted(stored, real[name], argument, size)
            elif step == "repeat" and log:
                old = log[argument % len(log)]
                again = old._replace(sequence=len(log) + 1)
                results = [
                    await storage.append([Append(each.key, each.epoch, len(log), again.digest, [again])])
                    for storage, each in ((stored, real[name]), (memory, plain[name]))
                ]
                assert results == [[AppendResult.REFUSED]] * 2
            elif step == "restart":
                await stored.close()
                stored = bed.open()
        for name in "ab":
            one, other, file_key = real[name], plain[name], real[name].files[0].key
            for after, through, limit in [*reads, (0, 10**6, 10**6)]:
                assert await stored.read(one.key, after, through=through, limit=limit) == await memory.read(
                    other.key, after, through=through, limit=limit
                )
                assert await stored.read_versions(file_key, after, through, limit) == await memory.read_versions(
                    file_key, after, through, limit
                )
            for series in SERIES:
                assert await stored.highest(one.key, series) == await memory.highest(other.key, series)
                for counter in range(0, 100, 7):
                    operation_id = f"{series}:{counter}"
                    assert await stored.find(one.key, operation_id) == await memory.find(other.key, operation_id)
            for row in logs[name]:
                assert await stored.find(one.key, row.operation_id) == await memory.find(other.key, row.operation_id)
    finally:
        await stored.close()


# ---- many files


async def planted_with(storage: Storage) -> tuple[Workspace, list[LogEntry]]:
    """A tree whose log is compressed: one file is edited at its beginning and end only, another all the time."""
    workspace = await planted(storage)
    root, rare, often = (file_key(workspace.key, number) for number in range(3))
    nodes = [File(key, f"f{key}", "", NodeState("", str(key), "text")) for key in (rare, often)]
    rows = await extended_by(storage, workspace, [root], nodes)
    rows += await extended_by(storage, workspace, [rare, *[often] * 60, rare, often], (), rows[-1])
    await compacted(storage, workspace, 10**6, SMALL)
    return workspace, rows


def listed(bed: Bed) -> list[tuple[object, ...]]:
    return bed.execute("SELECT * FROM segment_files ORDER BY segment_key, file_key")


async def test_the_past_of_a_file_unpacks_its_segments_only(storage: Storage, bed: Bed) -> None:
    workspace, rows = await planted_with(storage)
    rare = [row for row in rows if row.file_key == file_key(workspace.key, 1)]
    before = unpacked()
    assert await storage.read_versions(rare[0].file_key, 0, 99, 99) == rare
    assert await storage.read(workspace.key, 0, through=99, limit=99, file_key=rare[0].file_key) == rare
    assert unpacked() - before == 2
    (segments,) = bed.execute("SELECT count(*) FROM log_segments")
    assert segments == (9,)


async def test_what_segments_hold_goes_with_them(storage: Storage, bed: Bed) -> None:
    workspace, rows = await planted_with(storage)
    assert len(listed(bed)) == 9 + 3
    texts = tuple(FileAtCheckpoint(file_key(workspace.key, n), "", 0, 0, "", content_hash(""), b"") for n in range(3))
    first = (await storage.segments(workspace.key))[0]
    names = workspace.key, workspace.workspace_id
    made = Checkpoint(*names, first, rows[first - 1].digest, 1, 2, texts, "key", bytes(64))
    assert await storage.prune(made, Retained())
    (kept,) = bed.execute("SELECT min(first_sequence) FROM segment_files")
    assert kept == (first + 1,)
    bed.execute("DELETE FROM log_segments")
    assert listed(bed) == []


async def test_a_document_needs_no_list(storage: Storage, bed: Bed) -> None:
    workspace, _ = await filled(storage)
    await compacted(storage, workspace, 30, SMALL)
    assert listed(bed) == []


@only_sqlite
async def test_segments_of_trees_from_before_are_listed_by_the_migration(
    storage: Storage, bed: Bed, tmp_path: Path
) -> None:
    workspace, _ = await planted_with(storage)
    before = listed(bed)
    bed.execute("DELETE FROM segment_files")
    (damaged,) = bed.execute("SELECT max(segment_key) FROM log_segments")
    bed.execute("UPDATE log_segments SET content = x'00' WHERE segment_key = ?", *damaged)
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        run_path(str(THE_LISTS))["_list_trees"]()
    engine.dispose()
    assert [row for row in listed(bed) if row[0] != damaged[0]] == [row for row in before if row[0] != damaged[0]]
    # A damaged one may hold anything: nobody is told that there is nothing in it.
    for number in range(3):
        with pytest.raises(StorageError, match="checksum"):
            await storage.read(workspace.key, 0, through=99, limit=99, file_key=file_key(workspace.key, number))


@only_sqlite
async def test_a_list_that_is_wrong_is_found(storage: Storage, bed: Bed, tmp_path: Path) -> None:
    workspace, _ = await planted_with(storage)
    with closing(connect(tmp_path / "log.db", read_only=True)) as db:
        assert stored_in(db).wrongly_listed(workspace.key) == []
        bed.execute("DELETE FROM segment_files WHERE segment_key = 2")
        bed.execute("UPDATE segment_files SET last_version = 3 WHERE segment_key = 4")
        assert stored_in(db).wrongly_listed(workspace.key) == [8, 22]
