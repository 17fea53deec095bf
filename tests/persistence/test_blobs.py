"""Blobs in a folder and in memory: the contract, and what there is only in a folder."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coscribe.core.errors import CoscribeError
from coscribe.documents.ports import BlobStore, StorageError
from coscribe.persistence import blobs
from coscribe.persistence.blobs import FolderBlobs, MemoryBlobs, copy_blobs, drop_drafts, path_of, state_of, stored
from tests.contracts.blob_store import LONG, BlobStoreContract, blob


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "blobs"


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, folder: Path) -> BlobStore:
    return MemoryBlobs() if request.param == "memory" else FolderBlobs(folder)


class TestBlobStore(BlobStoreContract):
    pass


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_only_the_owner_can_read_them(folder: Path) -> None:
    before = os.umask(0)
    try:
        await FolderBlobs(folder).put([b"one"])
    finally:
        os.umask(before)
    path = path_of(folder, blob(b"one").digest)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (folder, path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("whole", [True, False])
async def test_what_is_durable_was_synced_before_it_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The order of what the disk is told: the bytes, the name, and the folder that the name is in."""
    told: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        told.append(f"sync {'draft' if path.name.startswith('draft-') else path.name}")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        told.append(f"name {target.name[:4]}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    digest = blob(b"one").digest
    if whole:
        await FolderBlobs(folder).put([b"one"])
    else:
        async with FolderBlobs(folder).draft() as draft:
            await draft.write(b"one")
            await draft.keep()
    assert told == ["sync draft", f"name {digest[:4]}", f"sync {digest[:2]}", "sync blobs"]


@pytest.mark.parametrize("how", ["changed", "cut", "longer"])
async def test_damage_is_noticed_before_all_of_it_is_given_away(folder: Path, how: str) -> None:
    store = FolderBlobs(folder)
    (made,) = await store.put([LONG])
    path = path_of(folder, made.digest)
    damaged = {"changed": b"x" + LONG[1:], "cut": LONG[:-1], "longer": LONG + b"x"}[how]
    path.write_bytes(damaged)
    with pytest.raises(CoscribeError, match=f"{made.digest} is damaged"):
        await store.read(made.digest)
    given: list[bytes] = []

    async def give() -> None:
        async for piece in store.pieces(made.digest):
            given.append(piece)

    with pytest.raises(CoscribeError):
        await give()
    assert len(b"".join(given)) < len(damaged)
    assert state_of(folder, made.digest) == "damaged"
    assert copy_blobs(folder, folder.parent / "copy", [made.digest]) == [made.digest]
    await store.put([LONG])  # whoever still has it heals it
    assert await store.read(made.digest) == LONG
    assert state_of(folder, made.digest) == "good"


async def test_what_a_crash_left_half_written_is_swept_up(folder: Path) -> None:
    store = FolderBlobs(folder)
    await store.put([b"one"])
    (folder / "draft-0123").write_bytes(b"half")
    drop_drafts(folder)
    assert left(folder) == [blob(b"one").digest]
    assert [path.name for path in stored(folder)] == left(folder)
    drop_drafts(folder.parent / "nothing")


def test_a_copy_has_what_is_whole(folder: Path, tmp_path: Path) -> None:
    made = blobs.put_all(folder, [b"one", LONG])
    digests = [each.digest for each in made]
    missing = blob(b"nobody's").digest
    assert copy_blobs(folder, tmp_path / "copy", [*digests, missing]) == [missing]
    assert left(tmp_path / "copy") == sorted(digests)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "coscribe-blobs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_on_a_full_disk_it_says_so_and_nothing_is_half_there(folder: Path) -> None:
    with small_disk(folder):
        store = FolderBlobs(folder)
        await store.put([b"one"])
        with pytest.raises(StorageError, match="no room left on the disk"):
            await store.put([LONG])
        async with store.draft() as draft:
            with pytest.raises(StorageError, match="no room left on the disk"):
                await draft.write(LONG)
        assert left(folder) == [blob(b"one").digest]
        assert await store.read(blob(b"one").digest) == b"one"
        await store.put([LONG[:100_000]])
