"""The contract of `OpLog`: what every adapter has to do. Subclass with a fixture `op_log`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import pytest

from coscribe.core.dedup import Record
from coscribe.core.tree import NodeState
from coscribe.documents.ports import Append, AppendResult, Blob, BlobUse, Home, OpLog, SegmentSize, StorageError
from coscribe.model import GENESIS, File, LogEntry, Workspace, file_key, link


def entry(sequence: int, operation_id: str, *, file_key: int, author_ref: int, version: int | None = None) -> LogEntry:
    """A log entry with recognisable contents."""
    return LogEntry(
        sequence,
        file_key,
        sequence if version is None else version,
        sequence - 1,
        operation_id,
        "ann",
        author_ref,
        bytes([sequence % 256]) * 16,
        1_000_000 + sequence,
        b'[[0,"x"],[]]',
        bytes([sequence % 256]) * 16,
        hashlib.sha256(str(sequence).encode()).digest(),
    )


async def acquired(op_log: OpLog, workspace_id: str = "notes") -> Workspace:
    await op_log.create(workspace_id, workspace_id, workspace_id, 1)
    workspace = await op_log.acquire(workspace_id)
    assert workspace is not None
    return workspace


async def appended(op_log: OpLog, workspace: Workspace, ids: list[str], previous: int = 0) -> list[LogEntry]:
    """Appends one entry per id behind ``previous`` and expects that to work."""
    author = await op_log.author("ann")
    key = workspace.files[0].key
    rows = [entry(previous + 1 + n, name, file_key=key, author_ref=author) for n, name in enumerate(ids)]
    append = Append(workspace.key, workspace.epoch, previous, rows[-1].digest, rows)
    assert await op_log.append([append]) == [AppendResult.COMMITTED]
    return rows


async def extended(
    op_log: OpLog, workspace: Workspace, ids: list[str], previous: LogEntry | None = None
) -> list[LogEntry]:
    """As `appended`, with digests that fit the chain; ``previous`` is the last entry so far."""
    author = await op_log.author("ann")
    file = workspace.files[0]
    first = previous.sequence + 1 if previous else 1
    rows: list[LogEntry] = []
    for sequence, name in enumerate(ids, first):
        row = entry(sequence, name, file_key=file.key, author_ref=author)
        before = rows[-1] if rows else previous
        digest = link(
            before.digest if before else GENESIS,
            row.sequence,
            row.version,
            row.base_version,
            row.author_ref,
            row.time,
            file.file_id.encode(),
            row.operation_id.encode(),
            row.salt,
            row.payload,
        )
        rows.append(row._replace(digest=digest))
    append = Append(workspace.key, workspace.epoch, first - 1, rows[-1].digest, rows)
    assert await op_log.append([append]) == [AppendResult.COMMITTED]
    return rows


async def extended_by(
    op_log: OpLog, workspace: Workspace, keys: list[int], nodes: Sequence[File] = (), previous: LogEntry | None = None
) -> list[LogEntry]:
    """Appends one entry for each key of a file, with digests that fit the chain and versions of each file's own."""
    author = await op_log.author("ann")
    again = await op_log.acquire(workspace.workspace_id)
    assert again is not None
    names = {file.key: file.file_id for file in (*again.files, *nodes)}
    versions: dict[int, int] = {workspace.files[0].key: -1}
    first = previous.sequence + 1 if previous else 1
    rows: list[LogEntry] = []
    for sequence, key in enumerate(keys, first):
        version = versions[key] = versions.get(key, 0) + 1
        row = entry(sequence, f"z:{sequence}", file_key=key, author_ref=author, version=version)
        before = rows[-1] if rows else previous
        digest = link(
            before.digest if before else GENESIS,
            row.sequence,
            row.version,
            row.base_version,
            row.author_ref,
            row.time,
            names[key].encode(),
            row.operation_id.encode(),
            row.salt,
            row.payload,
        )
        rows.append(row._replace(digest=digest))
    append = Append(workspace.key, again.epoch, first - 1, rows[-1].digest, rows, nodes)
    assert await op_log.append([append]) == [AppendResult.COMMITTED]
    return rows


async def compacted(op_log: OpLog, workspace: Workspace, through: int, size: SegmentSize) -> None:
    """Compresses all that may be."""
    while await op_log.compact(workspace.key, through, size) is not None:
        pass


async def planted(op_log: OpLog) -> Workspace:
    """A workspace with a tree."""
    await op_log.create_tree("project", 1)
    workspace = await op_log.acquire("project")
    assert workspace is not None
    return workspace


async def appending(
    op_log: OpLog, workspace: Workspace, operation_id: str, previous: int, nodes: list[File]
) -> AppendResult:
    """Appends an entry of the tree."""
    author = await op_log.author("ann")
    row = entry(previous + 1, operation_id, file_key=workspace.files[0].key, author_ref=author, version=0)
    (result,) = await op_log.append([Append(workspace.key, workspace.epoch, previous, row.digest, [row], nodes)])
    return result


async def grown(op_log: OpLog, workspace: Workspace, operation_id: str, previous: int, nodes: list[File]) -> None:
    assert await appending(op_log, workspace, operation_id, previous, nodes) is AppendResult.COMMITTED


SMALL = SegmentSize(entries=7, bytes=1_000, least=2)


class OpLogContract:
    async def test_an_append_of_nothing_asks_whether_it_would_go(self, op_log: OpLog) -> None:
        assert await op_log.append(()) == []

    async def test_a_new_workspace_is_empty_and_hangs_on_the_beginning_of_the_chain(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        assert (workspace.last_sequence, workspace.chain_hash, workspace.epoch) == (0, GENESIS, 1)
        assert [(file.file_id, file.path) for file in workspace.files] == [("notes", "notes")]

    async def test_creating_twice_changes_nothing(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        await appended(op_log, workspace, ["a:1"])
        await op_log.create("notes", "notes", "notes", 2)
        again = await op_log.acquire("notes")
        assert again is not None
        assert (again.key, again.last_sequence, again.incarnation) == (workspace.key, 1, workspace.incarnation)

    async def test_an_unknown_workspace_cannot_be_acquired(self, op_log: OpLog) -> None:
        assert await op_log.acquire("nothing") is None
        assert await op_log.locate("nothing") is None

    async def test_every_acquisition_raises_the_epoch(self, op_log: OpLog) -> None:
        first = await acquired(op_log)
        second = await op_log.acquire("notes")
        assert second is not None
        assert second.epoch == first.epoch + 1

    async def test_what_was_appended_is_read_back_as_it_was(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, ["a:1", "a:2", "plain", "b:1"])
        assert await op_log.read(workspace.key, 0, through=100, limit=100) == rows
        assert await op_log.read(workspace.key, 1, through=3, limit=100) == rows[1:3]
        assert await op_log.read(workspace.key, 0, through=100, limit=2) == rows[:2]
        assert await op_log.read(workspace.key, 0, through=100, limit=9, file_key=10**6) == []

    async def test_the_head_moves_with_the_append(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, [f"a:{n}" for n in range(1, 200)])
        again = await op_log.acquire("notes")
        assert again is not None
        assert (again.last_sequence, again.chain_hash) == (199, rows[-1].digest)

    async def test_the_fence_refuses_an_earlier_owner(self, op_log: OpLog) -> None:
        old = await acquired(op_log)
        new = await op_log.acquire("notes")
        assert new is not None
        author = await op_log.author("ann")
        row = entry(1, "a:1", file_key=old.files[0].key, author_ref=author)
        assert await op_log.append([Append(old.key, old.epoch, 0, row.digest, [row])]) == [AppendResult.REFUSED]
        assert await op_log.read(old.key, 0, through=9, limit=9) == []
        assert await op_log.append([Append(new.key, new.epoch, 0, row.digest, [row])]) == [AppendResult.COMMITTED]

    async def test_the_fence_refuses_a_gap_and_a_repetition(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, ["a:1"])
        author, key = rows[0].author_ref, workspace.files[0].key
        for previous in (0, 2):
            row = entry(previous + 1, "b:1", file_key=key, author_ref=author)
            append = Append(workspace.key, workspace.epoch, previous, row.digest, [row])
            assert await op_log.append([append]) == [AppendResult.REFUSED]
        assert await op_log.read(workspace.key, 0, through=9, limit=9) == rows

    @pytest.mark.parametrize("bad", ["fenced", "id used before"])
    async def test_one_refused_workspace_does_not_hold_up_the_others(self, op_log: OpLog, bad: str) -> None:
        one, two, three = [await acquired(op_log, name) for name in ("one", "two", "three")]
        rows = await appended(op_log, two, ["a:1"])
        author = rows[0].author_ref
        name = "a:2" if bad == "fenced" else "a:1"
        appends = []
        for workspace, operation_id, previous in ((one, "a:1", 0), (two, name, 1), (three, "a:1", 0)):
            row = entry(previous + 1, operation_id, file_key=workspace.files[0].key, author_ref=author)
            epoch = workspace.epoch + (bad == "fenced" and workspace is two)
            appends.append(Append(workspace.key, epoch, previous, row.digest, [row]))
        results = await op_log.append(appends)
        assert results == [AppendResult.COMMITTED, AppendResult.REFUSED, AppendResult.COMMITTED]
        assert len(await op_log.read(one.key, 0, through=9, limit=9)) == 1
        assert await op_log.read(two.key, 0, through=9, limit=9) == rows
        assert len(await op_log.read(three.key, 0, through=9, limit=9)) == 1
        again = await op_log.acquire("two")
        assert again is not None
        assert (again.last_sequence, again.chain_hash) == (1, rows[-1].digest)

    async def test_the_registry_finds_every_id_for_ever(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, ["a:1", "plain", "a:2", "x:y:7", "a:007", "a:0"])
        for row in rows:
            expected = Record(row.operation_id, "ann", row.request, "notes", row.sequence, row.version)
            assert await op_log.find(workspace.key, row.operation_id) == expected
        for name in ("a:3", "plain:1", "a", "x:7", ""):
            assert await op_log.find(workspace.key, name) is None

    async def test_the_registry_belongs_to_the_workspace(self, op_log: OpLog) -> None:
        one, two = await acquired(op_log, "one"), await acquired(op_log, "two")
        await appended(op_log, one, ["a:1"])
        assert await op_log.find(two.key, "a:1") is None
        assert await op_log.highest(two.key, "a") == -1

    async def test_the_highest_counter_of_a_series(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        await appended(op_log, workspace, ["a:3", "a:12", "a:7", "plain"])
        assert await op_log.highest(workspace.key, "a") == 12
        assert await op_log.highest(workspace.key, "plain") == 0
        await appended(op_log, workspace, ["a:255", "a:256"], previous=4)
        assert await op_log.highest(workspace.key, "a") == 256
        await appended(op_log, workspace, ["a:257", "a:99", "c:1000000"], previous=6)
        assert await op_log.highest(workspace.key, "a") == 257
        assert await op_log.highest(workspace.key, "c") == 1_000_000
        assert await op_log.highest(workspace.key, "b") == -1

    async def test_versions_are_read_behind_a_version(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, ["a:1", "a:2", "a:3", "a:4"])
        key = workspace.files[0].key
        assert await op_log.read_versions(key, 1, 3, 9) == rows[1:3]
        assert await op_log.read_versions(key, 0, 9, 2) == rows[:2]
        assert await op_log.read_versions(key, 4, 9, 9) == []

    async def test_an_author_keeps_one_reference(self, op_log: OpLog) -> None:
        first = await op_log.author("ann")
        assert await op_log.author("bob") != first
        assert await op_log.author("ann") == first

    async def test_all_workspaces_are_listed(self, op_log: OpLog) -> None:
        for name in ("b", "a", "c"):
            await op_log.create(name, name, name, 1)
        assert await op_log.workspaces() == ["a", "b", "c"]
        assert await op_log.locate("b") == Home("b", is_tree=False)

    async def test_a_tree_begins_with_its_root_alone(self, op_log: OpLog) -> None:
        await op_log.create_tree("project", 1, folds_case=True)
        await op_log.create_tree("project", 2)
        workspace = await op_log.acquire("project")
        assert workspace is not None
        assert (workspace.kind, workspace.folds_case, workspace.covered) == ("workspace", True, 0)
        assert workspace.files == (File(file_key(workspace.key, 0), "project", ""),)
        assert workspace.root == workspace.files[0]
        assert len(workspace.tree()) == 0
        assert await op_log.locate("project") == Home("project", is_tree=True)
        document = await acquired(op_log)
        assert (document.kind, document.root, document.covered) == ("document", None, None)

    async def test_files_are_as_the_last_append_says(self, op_log: OpLog) -> None:
        workspace = await planted(op_log)
        folder, text = (file_key(workspace.key, number) for number in (1, 2))
        nodes = [
            File(folder, "f1", "", NodeState("", "src", "directory")),
            File(text, "f2", "", NodeState("f1", "a.txt", "text", False, "", (("eol", "crlf"), ("mode", "755")))),
            File(text + 1, "f3", "", NodeState("f1", "b", "symlink", True, "../c")),
        ]
        await grown(op_log, workspace, "a:1", 0, nodes)
        again = await op_log.acquire("project")
        assert again is not None
        assert list(again.files[1:]) == nodes
        assert again.tree().path("f2") == "src/a.txt"
        assert await op_log.locate("f2") == Home("project", is_tree=True)
        changed = [nodes[1]._replace(node=NodeState("", "c.txt", "text")), nodes[2]._replace(node=None)]
        await grown(op_log, again, "a:2", 1, changed)
        last = await op_log.acquire("project")
        assert last is not None
        assert list(last.files[1:]) == [nodes[0], *changed]
        assert await op_log.locate("f3") is None
        assert len(last.tree()) == 2
        assert (await op_log.find(last.key, "a:2")) is not None

    async def test_all_files_have_keys_purged_ones_too(self, op_log: OpLog) -> None:
        workspace = await planted(op_log)
        root, one, two = (file_key(workspace.key, number) for number in range(3))
        here = NodeState("", "x", "text")
        await grown(op_log, workspace, "a:1", 0, [File(one, "fone", "", here), File(two, "ftwo", "", here)])
        await grown(op_log, workspace, "a:2", 1, [File(one, "fone", "", None)])
        assert await op_log.keys(workspace.key) == {"project": root, "fone": one, "ftwo": two}

    async def test_which_files_have_a_blob_is_known_as_long_as_the_log_is(self, op_log: OpLog) -> None:
        workspace = await planted(op_log)
        blobs = [Blob(character * 64, size) for character, size in (("a", 1), ("b", 22), ("c", 333))]
        nodes = [
            File(
                file_key(workspace.key, number), f"f{number}", "", NodeState("", f"{number}", "binary", False, "a" * 64)
            )
            for number in (1, 2)
        ]
        uses = [BlobUse(node.key, node.file_id, blob) for node, blob in zip([*nodes, nodes[0]], blobs, strict=True)]
        author = await op_log.author("ann")
        previous = 0
        for number, used in enumerate((uses[:2], uses[1:], []), 1):
            row = entry(number, f"a:{number}", file_key=workspace.files[0].key, author_ref=author, version=0)
            append = Append(workspace.key, workspace.epoch, previous, row.digest, [row], nodes, used)
            assert await op_log.append([append]) == [AppendResult.COMMITTED]
            nodes, previous = [nodes[0]._replace(node=None)], number
        refused = Append(workspace.key, workspace.epoch, 0, row.digest, [row], [], [uses[0]._replace(file_key=9)])
        assert await op_log.append([refused]) == [AppendResult.REFUSED]
        found = await op_log.blobs(workspace.key, [blob.digest for blob in blobs])
        assert sorted(found) == sorted(uses)
        assert await op_log.blobs(workspace.key, ["b" * 64, "d" * 64]) == [uses[1]]
        assert await op_log.blobs(workspace.key, []) == []
        assert [await op_log.is_used(character * 64) for character in "abcd"] == [True, True, True, False]
        other = await acquired(op_log)
        assert await op_log.blobs(other.key, ["a" * 64]) == []

    async def test_what_the_fence_refuses_leaves_the_files_as_they_were(self, op_log: OpLog) -> None:
        old = await planted(op_log)
        new = await op_log.acquire("project")
        assert new is not None
        node = File(file_key(old.key, 1), "f1", "", NodeState("", "src", "directory"))
        assert await appending(op_log, old, "a:1", 0, [node]) is AppendResult.REFUSED
        await grown(op_log, new, "a:1", 0, [])
        assert await appending(op_log, new, "a:1", 1, [node]) is AppendResult.REFUSED
        last = await op_log.acquire("project")
        assert last is not None
        assert len(last.files) == 1
        assert await op_log.locate("f1") is None

    async def test_what_is_covered_never_goes_back(self, op_log: OpLog) -> None:
        workspace = await planted(op_log)
        for number in range(9):
            await grown(op_log, workspace, f"a:{number + 1}", number, [])
        for sequence, covered in ((5, 5), (3, 5), (8, 8)):
            await op_log.cover(workspace.key, sequence)
            assert await op_log.closed(workspace.key) == covered
        again = await op_log.acquire("project")
        assert again is not None
        assert again.covered == 8

    async def test_a_compressed_log_reads_as_before(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await extended(op_log, workspace, [f"{'ab'[n % 3 == 0]}:{n}" for n in range(1, 31)])
        await compacted(op_log, workspace, 20, SMALL)
        key, file_key = workspace.key, workspace.files[0].key
        for after in (0, 1, 5, 6, 7, 8, 13, 19, 20, 21, 29, 30):
            for through in (0, 6, 7, 8, 19, 20, 21, 30, 99):
                for limit in (1, 5, 99):
                    expected = rows[after:through][:limit]
                    assert await op_log.read(key, after, through=through, limit=limit) == expected
                    assert await op_log.read(key, after, through=through, limit=limit, file_key=file_key) == expected
                    assert await op_log.read_versions(file_key, after, through, limit) == expected
        assert await op_log.read(key, 0, through=99, limit=99, file_key=10**6) == []
        assert await op_log.read_versions(10**6, 0, 99, 99) == []
        again = await op_log.acquire("notes")
        assert again is not None
        assert (again.last_sequence, again.chain_hash) == (30, rows[-1].digest)

    async def test_a_file_of_many_reads_as_before_when_its_log_is_compressed(self, op_log: OpLog) -> None:
        workspace = await planted(op_log)
        keys = [file_key(workspace.key, number) for number in range(5)]
        nodes = [File(key, f"f{key}", "", NodeState("", str(key), "text")) for key in keys[1:]]
        rows = await extended_by(op_log, workspace, [keys[0]], nodes)
        # One file is everywhere, one at both ends, one in the middle; one is never edited.
        order = [keys[1 + (n % 3 == 0)] if 10 < n < 30 else keys[1 + 2 * (n % 5 == 0)] for n in range(48)]
        rows += await extended_by(op_log, workspace, order, (), rows[-1])
        for through in (0, 20, 45):
            await compacted(op_log, workspace, through, SMALL)
            for key in keys:
                mine = [row for row in rows if row.file_key == key]
                for after in (0, 1, 7, 8, 14, 15, 30, 45, 48, 49):
                    for until in (0, 7, 15, 16, 45, 46, 99):
                        for limit in (1, 3, 99):
                            expected = [row for row in mine if after < row.sequence <= until][:limit]
                            asked = op_log.read(workspace.key, after, through=until, limit=limit, file_key=key)
                            assert await asked == expected
                            newer = [row for row in mine if row.version > after and row.sequence <= until][:limit]
                            assert await op_log.read_versions(key, after, until, limit) == newer

    async def test_a_compressed_log_goes_on(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await extended(op_log, workspace, [f"a:{n}" for n in range(1, 21)])
        await compacted(op_log, workspace, 99, SMALL)
        assert await op_log.read(workspace.key, 19, through=20, limit=1) == rows[19:]
        rows += await extended(op_log, workspace, [f"a:{n}" for n in range(21, 41)], rows[-1])
        await compacted(op_log, workspace, 35, SMALL)
        assert await op_log.read(workspace.key, 0, through=99, limit=99) == rows

    async def test_ids_in_a_compressed_log_stay_known(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        ids = ["a:1", "plain", "a:2", "x:y:7", "a:007", "a:0", "a:9", "b:5", "b:4", "a:3", "a:12", "c:1000000", "b:7"]
        rows = await extended(op_log, workspace, [*ids, "last:1"])
        await compacted(op_log, workspace, len(ids), SMALL)
        for row in rows:
            expected = Record(row.operation_id, "ann", row.request, "notes", row.sequence, row.version)
            assert await op_log.find(workspace.key, row.operation_id) == expected
        for name in ("a:4", "a:8", "a:10", "a:13", "b:6", "b:3", "b:8", "plain:1", "a", "x:7", "c:999999", ""):
            assert await op_log.find(workspace.key, name) is None
        highest = {"a": 12, "b": 7, "c": 1_000_000, "plain": 0, "a:007": 0, "x:y": 7, "d": -1}
        assert {series: await op_log.highest(workspace.key, series) for series in highest} == highest

    async def test_an_id_in_a_compressed_log_is_refused(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        other = await acquired(op_log, "other")
        rows = await extended(op_log, workspace, ["a:1", "a:2", "b:1", "a:5", "plain", "last:1"])
        await compacted(op_log, workspace, 5, SMALL)
        for name in ("a:1", "a:2", "a:5", "b:1", "plain"):
            new = [entry(7, "new:1", file_key=rows[0].file_key, author_ref=rows[0].author_ref)]
            new.append(entry(8, name, file_key=rows[0].file_key, author_ref=rows[0].author_ref))
            beside = entry(1, name, file_key=other.files[0].key, author_ref=rows[0].author_ref)
            appends = [
                Append(workspace.key, workspace.epoch, 6, new[-1].digest, new),
                Append(other.key, other.epoch, 0, beside.digest, [beside]),
            ]
            assert await op_log.append(appends) == [AppendResult.REFUSED, AppendResult.COMMITTED]
            assert await op_log.read(workspace.key, 0, through=99, limit=99) == rows
            other = await acquired(op_log, f"other{name}")
        rows += await extended(op_log, workspace, ["a:3", "a:4", "b:2", "new:1"], rows[-1])
        assert await op_log.read(workspace.key, 0, through=99, limit=99) == rows

    async def test_a_log_that_does_not_fit_its_chain_is_left_as_it_is(self, op_log: OpLog) -> None:
        workspace = await acquired(op_log)
        rows = await appended(op_log, workspace, [f"a:{n}" for n in range(1, 21)])
        with suppress(StorageError):
            assert await op_log.compact(workspace.key, 20, SMALL) is None
        assert await op_log.read(workspace.key, 0, through=99, limit=99) == rows
