"""The contract of `SnapshotRepo`. Subclass with a fixture `storage` that is an OpLog as well."""

from __future__ import annotations

from typing import Protocol

from coscribe.documents.ports import Latest, OpLog, SnapshotRepo
from coscribe.model import FileSnapshot, content_hash
from tests.contracts.op_log import acquired


class AnyStorage(OpLog, SnapshotRepo, Protocol):
    """Both ports in one."""


def snapshot(file_key: int, sequence: int, text: str = "text") -> FileSnapshot:
    return FileSnapshot(file_key, sequence, sequence, text, content_hash(text))


class SnapshotRepoContract:
    async def test_a_file_begins_without_snapshots(self, storage: AnyStorage) -> None:
        workspace = await acquired(storage)
        assert await storage.newest(workspace.files[0].key) is None

    async def test_the_newest_comes_first_and_the_oldest_leave(self, storage: AnyStorage) -> None:
        key = (await acquired(storage)).files[0].key
        for sequence in (3, 9, 5, 12):
            await storage.save(snapshot(key, sequence), keep=3)
        kept = [await storage.newest(key, skip=skip) for skip in range(4)]
        assert [one and one.sequence for one in kept] == [12, 9, 5, None]

    async def test_texts_come_back_as_they_were(self, storage: AnyStorage) -> None:
        key = (await acquired(storage)).files[0].key
        text = "naïve 🙂\n\t" * 10_000
        await storage.save(snapshot(key, 1, text), keep=2)
        assert await storage.newest(key) == snapshot(key, 1, text)

    async def test_the_digest_of_the_entry_is_kept(self, storage: AnyStorage) -> None:
        key = (await acquired(storage)).files[0].key
        made = snapshot(key, 1)._replace(digest=bytes(range(32)))
        await storage.save(made, keep=2)
        assert await storage.newest(key) == made

    async def test_how_far_snapshots_went_is_known_when_they_are_gone(self, storage: AnyStorage) -> None:
        one, two = (await acquired(storage, "one")).files[0].key, (await acquired(storage, "two")).files[0].key
        for sequence in (3, 9, 5):
            await storage.save(snapshot(one, sequence), keep=3)
        assert (await storage.saved(one), await storage.saved(two)) == (9, 0)

    async def test_the_newest_of_many_are_read_together(self, storage: AnyStorage) -> None:
        keys = [(await acquired(storage, name)).files[0].key for name in ("one", "two", "three")]
        for key, sequence in ((keys[0], 9), (keys[0], 5), (keys[2], 7)):
            await storage.save(snapshot(key, sequence), keep=3)
        assert await storage.latest(keys, 1_000) == {
            keys[0]: Latest(snapshot(keys[0], 9), 9),
            keys[1]: Latest(None, 0),
            keys[2]: Latest(snapshot(keys[2], 7), 7),
        }
        assert len(await storage.latest(keys, 1)) == 1, "so that it comes to an end"

    async def test_files_have_snapshots_of_their_own(self, storage: AnyStorage) -> None:
        one, two = (await acquired(storage, "one")).files[0].key, (await acquired(storage, "two")).files[0].key
        await storage.save(snapshot(one, 1), keep=1)
        await storage.save(snapshot(two, 2), keep=1)
        assert await storage.newest(one) == snapshot(one, 1)
        assert await storage.newest(one, skip=1) is None

    async def test_a_log_is_closed_up_to_where_it_is_loaded_from(self, storage: AnyStorage) -> None:
        one, two = await acquired(storage, "one"), await acquired(storage, "two")
        assert await storage.closed(one.key) == 0
        await storage.save(snapshot(one.files[0].key, 9), keep=3)
        await storage.save(snapshot(one.files[0].key, 7), keep=3)
        assert await storage.closed(one.key) == 8
        assert await storage.closed(two.key) == 0
