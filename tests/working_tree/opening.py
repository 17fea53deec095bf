"""A workspace of many files is opened as files: how much longer that takes than the disk alone, and how much memory.

    python -m tests.working_tree.opening --files 10000 --runs 5

The workspace is made in a real database and snapshotted. Then, by turns, in a process of its own each: *raw*, the same
bytes written to an empty folder in the same shape (staged beside the tree, synced and renamed a batch at a time, two
durable notes for each batch, all of it synced at the end); *opened*, a working tree that fills an empty folder, until
a save would return. What is before that, loading the workspace, is told by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from coscribe.protocol import messages
from coscribe.working_tree.putting import BATCH, BATCH_BYTES
from tests.migrated import fresh_database
from tests.working_tree.bench import ANN, WS
from tests.working_tree.victim import Victim

ROOT = Path(__file__).parents[2]
UNIT = 500
"""Files that are made with one operation."""

NOTE = 400
"""Bytes that are noted of each file before and after, about."""


class Run(NamedTuple):
    """Seconds, and those in which the process worked; of a tree that was opened, also those in which the workspace was
    loaded before, and by how many megabytes the process was larger at most."""

    seconds: float
    processor: float
    load: float = 0.0
    megabytes: float = 0.0


def contents(files: int) -> dict[str, str]:
    """Texts by path: a hundred to a folder, most of some KB, some of 50 KB."""
    random_ = random.Random(1)
    words = ["return", "self", "import", "value", "for", "in", "range", "naïve", "if", "not", "None", "def"]
    texts: dict[str, str] = {}
    for number in range(files):
        size = random_.choice((300, 1_000, 2_000, 4_000, 8_000)) if number % 50 else 50_000
        lines, length = [], 0
        while length < size:
            lines.append(" ".join(random_.choices(words, k=9)) + "\n")
            length += len(lines[-1])
        texts[f"folder{number // 100}/file{number}.py"] = "".join(lines)
    return texts


async def make(folder: Path, files: int) -> None:
    """A workspace with all of it, in a database, with a snapshot of each file."""
    victim = Victim(folder, "made")
    await victim.storage.create_tree(WS, 1)
    engine, texts = victim.engine, contents(files)
    folders = sorted({path.partition("/")[0] for path in texts})
    series = victim.series()
    ids = {name: engine.made(series, place) for place, name in enumerate(folders)}
    await engine.edit_tree(series, [messages.CreateNode(WS, name, "directory") for name in folders])
    rest = list(texts.items())
    while rest:
        unit, rest = rest[:UNIT], rest[UNIT:]
        split = [(*path.partition("/"), text) for path, text in unit]
        edits = [messages.CreateNode(ids[name], file, "text") for name, _, file, _ in split]
        await engine.edit_tree(victim.series(), edits, {place: text for place, (*_, text) in enumerate(split)})
    await victim.collaboration.save(ANN, WS)
    await victim.collaboration.snapshots.sweep()
    await victim.close()


async def opened(folder: Path) -> Run:
    victim = Victim(folder, f"opened{os.getpid()}")
    begun = time.monotonic()
    await victim.collaboration.router.session(WS)
    load = time.monotonic() - begun
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    begun, worked = time.monotonic(), time.process_time()
    while not await victim.tree.pass_():  # noqa: ASYNC110  (a file that was just put may be looked at again)
        await asyncio.sleep(0)
    await victim.tree.save(victim.tree.sequence)
    seconds, worked = time.monotonic() - begun, time.process_time() - worked
    grown = peak() - before
    await victim.close()
    return Run(seconds, worked, load, grown)


def peak() -> float:
    """Megabytes resident at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def raw(folder: Path, files: int) -> Run:
    """The same bytes in the same shape."""
    texts = [(path, text.encode()) for path, text in contents(files).items()]
    staged, tree = folder / "staged", folder / "tree"
    staged.mkdir(parents=True)
    begun, worked = time.monotonic(), time.process_time()
    for name in {path.partition("/")[0] for path, _ in texts}:
        (tree / name).mkdir(parents=True)
    handle = os.open(folder / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    batch: list[str] = []
    size = 0
    for path, content in texts:
        with open(staged / str(len(batch)), "wb", buffering=0) as file:
            file.write(content)
        batch.append(path)
        size += len(content)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            _place(batch, staged, tree, handle)
            batch, size = [], 0
    _place(batch, staged, tree, handle)
    os.close(handle)
    os.sync()
    return Run(time.monotonic() - begun, time.process_time() - worked)


def _place(batch: list[str], staged: Path, tree: Path, notes: int) -> None:
    os.sync()
    _note(notes, len(batch))
    for number, path in enumerate(batch):
        os.rename(staged / str(number), tree / path)
    _note(notes, len(batch))


def _note(handle: int, files: int) -> None:
    os.write(handle, bytes(NOTE * files))
    os.fdatasync(handle)


def run(work: str, folder: Path, files: int) -> Run:
    """In a process of its own."""
    command = [sys.executable, "-m", "tests.working_tree.opening", "--work", work, "--files", str(files), str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def measure(files: int, runs: int) -> tuple[list[Run], list[Run]]:
    """Raw and opened, by turns."""
    with tempfile.TemporaryDirectory(prefix="coscribe-opening-", dir="/var/tmp") as name:
        return measure_in(Path(name), files, runs)


def measure_in(folder: Path, files: int, runs: int) -> tuple[list[Run], list[Run]]:
    """Each tree is left in ``folder / "trees0"`` and so on: to delete it here would slow down the next run."""
    fresh_database(folder / "coscribe.db")
    asyncio.run(make(folder, files))
    bare: list[Run] = []
    ours: list[Run] = []
    for number in range(runs):
        bare.append(run("raw", folder / f"raw{number}", files))
        ours.append(run("opened", folder, files))
        on_disk = sum(1 for path in (folder / "trees" / WS).rglob("*.py"))
        assert on_disk == files, f"{on_disk} of {files}"
        (folder / "trees").rename(folder / f"trees{number}")
    return bare, ours


def shown(files: int, bare: list[Run], ours: list[Run]) -> str:
    def of(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"

    pairs = list(zip(bare, ours, strict=True))
    return "\n".join(
        (
            f"{files} files, {len(ours)} runs, medians",
            f"raw: {of([each.seconds for each in bare])}, of the processor {of([each.processor for each in bare])}",
            f"opened: {of([each.seconds for each in ours])}, of the processor {of([each.processor for each in ours])}",
            f"beyond raw: {of([each.seconds - first.seconds for first, each in pairs])}, claim 1 s; "
            f"of the processor {of([each.processor - first.processor for first, each in pairs])}",
            f"loaded before in {of([each.load for each in ours])}; peak memory "
            f"{statistics.median(each.megabytes for each in ours):.0f} MB more",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", choices=("raw", "opened"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work == "raw":
        print(json.dumps(raw(options.folder, options.files)))
    elif options.work == "opened":
        print(json.dumps(asyncio.run(opened(options.folder))))
    else:
        print(shown(options.files, *measure(options.files, options.runs)))


if __name__ == "__main__":
    main()
