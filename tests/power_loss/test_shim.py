"""The power-loss shim put to the test itself: it must lose what was not synced, and nothing that was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.power_loss.harness import (
    JournalError,
    ReconstructionReport,
    build_shim,
    environment,
    reconstruct,
    unavailable,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason=unavailable() or ""),
]

ROUNDS = 10
HEAD = struct.Struct("=IIQQII")  # struct record in shim.c: magic, kind, inode, value, path length, data length


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def rng() -> random.Random:
    """Seeded anew for each test; POWERLOSS_SEED repeats a run (but not the instant at which a kill arrives)."""
    seed = int(os.environ.get("POWERLOSS_SEED") or random.SystemRandom().getrandbits(32))
    print(f"POWERLOSS_SEED={seed}")
    return random.Random(seed)


class Cycle:
    """One power cycle: a fresh directory `live` with a copy of `base`, a journal, and an image after the loss."""

    def __init__(self, shim: Path, folder: Path, base: Path | None = None, lie: bool = False) -> None:
        self.live, self.journal = folder / "live", folder / "journal"
        self.base, self._folder, self._images = base, folder, 0
        if base is None:
            self.live.mkdir(parents=True)
        else:
            shutil.copytree(base, self.live)
        self._environment = os.environ | environment(shim, self.live, self.journal, lie)

    def run(self, program: str) -> str:
        """Runs Python code to its end, in `live`; returns what it printed."""
        return subprocess.run(
            self._command(program, "{}"),
            env=self._environment,
            cwd=self.live,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def run_until_killed(self, program: str, options: dict[str, object], lines: int, spin: float = 0.0) -> list[str]:
        """Kills the program `spin` seconds after it has printed `lines` lines; returns all that it printed."""
        printed: list[str] = []
        with subprocess.Popen(
            self._command(program, json.dumps(options)),
            env=self._environment,
            cwd=self.live,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            printed.extend(process.stdout.readline() for _ in range(lines))
            deadline = time.perf_counter() + spin
            while time.perf_counter() < deadline:
                pass  # only moves the kill about; a sleep would be far too coarse
            process.kill()
            printed.extend(process.stdout)
        assert process.returncode == -signal.SIGKILL, "the program failed before it could be killed"
        return [line.strip() for line in printed]

    def lose_power(self, rng: random.Random, keep_unsynced: float = 0.0) -> tuple[Path, ReconstructionReport]:
        self._images += 1
        image = self._folder / f"image{self._images}"
        return image, reconstruct(self.journal, self.base, image, rng, keep_unsynced)

    @staticmethod
    def _command(program: str, options: str) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", program, options]


def contents(folder: Path) -> dict[str, bytes]:
    """All files beneath a directory by relative path, but for those that the shim leaves out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


# ---- files ----


def test_unsynced_data_vanishes_and_synced_data_stays(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        file = os.open("a", os.O_CREAT | os.O_RDWR)
        os.pwrite(file, b"synced" * 100, 0)
        os.fsync(file)
        os.pwrite(file, b"UNSYNCED", 0)
        os.pwrite(file, b"UNSYNCED", 1000)
        os.close(os.open("never-synced", os.O_CREAT | os.O_RDWR))
    """)
    assert (cycle.live / "a").stat().st_size == 1008
    image, report = cycle.lose_power(rng)
    assert contents(image) == {"a": b"synced" * 100}
    assert report == ReconstructionReport(
        files=("a",),
        syncs=1,
        bytes_synced=600,
        bytes_kept=0,
        bytes_dropped=16,
        names_undone=1,
        torn_bytes=0,
    )


def test_the_next_cycle_begins_with_the_image_of_the_last(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    append = """if True:
        import os
        file = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(file, b"kept,")
        os.fdatasync(file)
        os.write(file, b"lost,")
    """
    first = Cycle(shim, tmp_path / "1")
    first.run(append)
    image, _ = first.lose_power(rng)
    second = Cycle(shim, tmp_path / "2", base=image)
    second.run(append)
    image, _ = second.lose_power(rng)
    assert contents(image) == {"log": b"kept,kept,"}


def test_a_name_is_durable_with_its_directory_or_its_file(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        def create(name, data, sync):
            file = os.open(name, os.O_CREAT | os.O_WRONLY)
            os.write(file, data)
            if sync:
                os.fsync(file)
            os.close(file)
        def sync_directory(name):
            directory = os.open(name, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        os.mkdir("sub")
        create("by-directory", b"the name, but not the data", sync=False)
        create("replaced", b"old", sync=True)
        create("replacement", b"new", sync=True)
        create("gone", b"", sync=True)
        os.rename("replacement", "replaced")
        os.unlink("gone")
        sync_directory(".")
        create("by-file", b"data and name", sync=True)
        create("sub/by-file", b"data and name", sync=True)
        create("sub/lost", b"lost", sync=False)
        os.replace("by-file", "renamed-in-vain")
        create("by-file", b"lost", sync=False)
    """)
    image, _ = cycle.lose_power(rng)
    assert contents(image) == {
        "by-directory": b"",
        "replaced": b"new",
        "by-file": b"data and name",
        "sub/by-file": b"data and name",
    }


def test_a_file_is_not_lost_between_its_old_and_its_new_name(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    """The log rotation that never syncs the directory: a durable new `log` implies the old one's new name."""
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        for generation in (b"1", b"2"):
            if os.path.exists("log"):
                os.rename("log", "log.old")
            file = os.open("log", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(file, generation)
            os.fsync(file)
            os.close(file)
    """)
    image, _ = cycle.lose_power(rng)
    assert contents(image) == {"log": b"2", "log.old": b"1"}


def test_an_unsynced_unlink_is_undone_at_random(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        for number in range(64):
            file = os.open(str(number), os.O_CREAT | os.O_WRONLY)
            os.write(file, b"data")
            os.fsync(file)
            os.close(file)
            os.unlink(str(number))
    """)
    image, report = cycle.lose_power(rng)
    assert 10 < len(report.files) < 54  # of 64 coins; the odds of more or less are below 1 in 10 million
    assert set(contents(image).values()) == {b"data"}


def test_unsynced_writes_survive_in_part_torn_at_sectors(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        file = os.open("a", os.O_CREAT | os.O_RDWR)
        os.pwrite(file, bytes(1 << 19), 0)
        os.fsync(file)
        for start in range(100, 1 << 19, 4096):
            os.pwrite(file, b"x" * 4000, start)
    """)
    image, report = cycle.lose_power(rng, keep_unsynced=0.5)
    data = (image / "a").read_bytes()
    assert report.bytes_kept == data.count(b"x")
    assert report.bytes_dropped == 128 * 4000 - report.bytes_kept
    assert 0.3 < report.bytes_kept / (128 * 4000) < 0.7
    torn = 0
    for page in range(0, 1 << 19, 4096):
        sectors = [set(data[page + at : page + at + 512][100:]) for at in range(0, 3584, 512)]
        assert all(len(sector) == 1 for sector in sectors)
        torn += len({frozenset(sector) for sector in sectors}) > 1
    assert 30 < torn < 98


# Changes files in every way that the shim knows, syncing now and then.
MEDLEY = """if True:
    import os, random, shutil, sys
    rng = random.Random(SEED)
    names = ["a", "b", "c", "sub/d", "sub/e"]
    os.makedirs("sub", exist_ok=True)
    held = []
    def some():
        return rng.randbytes(rng.randrange(3000))
    def sync(name):
        file = os.open(name, os.O_RDONLY)
        os.fsync(file)
        os.close(file)
    for _ in range(60):
        name, other = rng.sample(names, 2)
        act = rng.randrange(13)
        flags = rng.choice([0, 0, 0, os.O_TRUNC]) | rng.choice([0, 0, os.O_APPEND])
        if act <= 4:
            file = os.open(name, os.O_RDWR | os.O_CREAT | flags)
            twin = os.dup(file)
            os.lseek(file, rng.randrange(5000), os.SEEK_SET)
            os.write(twin, some())
            os.writev(file, [some(), b"", some()])
            os.pwrite(file, some(), rng.randrange(20000))
            os.pwritev(twin, [some(), some()], rng.randrange(20000))
            os.close(twin)
            if rng.random() < 0.1:
                held.append(file)
            else:
                rng.choice([os.fsync, os.fdatasync, int])(file)
                os.close(file)
        elif act == 5 and held:
            file = held.pop(rng.randrange(len(held)))
            os.write(file, some())
            os.close(file)
        elif act == 6 and held:
            os.ftruncate(held[-1], rng.randrange(20000))
        elif act == 7 and held:
            os.posix_fallocate(held[-1], rng.randrange(20000), 1 + rng.randrange(5000))
        elif act in (5, 6, 7):
            with open(name, rng.choice(["wb", "ab", "r+b" if os.path.exists(name) else "xb"])) as stream:
                stream.write(some())
        elif act == 8:
            sync(rng.choice([".", "sub"]))
        elif not os.path.exists(name):
            pass
        elif act == 9:
            os.truncate(name, rng.randrange(20000))
        elif act == 10:
            shutil.copyfile(name, other)
        elif act == 11:
            directory = os.open("sub", os.O_RDONLY)
            os.rename(name, "../" + other, dst_dir_fd=directory)
            os.close(directory)
        elif act == 12:
            os.remove(name)
    if FINALLY:
        for name in names:
            if os.path.exists(name):
                sync(name)
        sync(".")
        sync("sub")
"""


@pytest.mark.parametrize("finally_synced", [False, True])
def test_the_journal_tells_all(shim: Path, tmp_path: Path, rng: random.Random, finally_synced: bool) -> None:
    """If everything survives, by chance or because it was synced, then the image is the directory."""
    image: Path | None = None
    for number in range(ROUNDS):
        cycle = Cycle(shim, tmp_path / str(number), base=image)
        program = MEDLEY.replace("SEED", str(rng.getrandbits(32))).replace("FINALLY", str(finally_synced))
        cycle.run(program)
        image, report = cycle.lose_power(rng, keep_unsynced=0.0 if finally_synced else 1.0)
        assert contents(image) == contents(cycle.live)
        assert report.bytes_synced > 0


def test_the_journal_has_the_order_of_the_files(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    """Threads write over each other: the journal must know who was last."""
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os, threading
        file = os.open("a", os.O_CREAT | os.O_RDWR)
        def work(mark):
            for slot in range(1500):
                os.pwrite(file, mark * 512, slot * 512)
        for mark in (b"1", b"2", b"3", b"4"):
            threading.Thread(target=work, args=(mark,)).start()
    """)
    image, _ = cycle.lose_power(rng, keep_unsynced=1.0)
    assert contents(image) == contents(cycle.live)


def test_child_processes_are_followed(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os, subprocess, sys
        file = os.open("a", os.O_CREAT | os.O_WRONLY)
        child = os.fork()
        os.write(file, b"forked " if child == 0 else b"")
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        subprocess.run([sys.executable, "-I", "-S", "-c", "print('executed', end='')"], stdout=file, check=True)
        os.fsync(file)
        os.write(file, b"lost")
    """)
    image, _ = cycle.lose_power(rng)
    assert contents(image) == {"a": b"forked executed"}


def test_a_file_without_a_name_is_not_taken_for_its_successor(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "a").write_bytes(b"old")
    cycle = Cycle(shim, tmp_path, base)
    cycle.run("""if True:
        import os
        old = os.open("a", os.O_RDWR)
        os.unlink("a")
        new = os.open("a", os.O_CREAT | os.O_RDWR)
        os.write(new, b"new")
        os.fsync(new)
        os.write(old, b"written to the old file")
        os.fsync(old)
    """)
    image, _ = cycle.lose_power(rng)
    assert contents(image) == {"a": b"new"}


def test_a_torn_journal_end_is_left_out(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    cycle.run("""if True:
        import os
        file = os.open("a", os.O_CREAT | os.O_WRONLY)
        for number in range(20):
            os.write(file, b"%02d," % number)
            os.fsync(file)
        os.rename("a", "b")
    """)
    whole = cycle.journal.read_bytes()
    expected = b"".join(b"%02d," % number for number in range(20))
    synced = 0
    for length in range(len(whole)):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        target = tmp_path / "targets" / str(length)
        report = reconstruct(cut, None, target, rng)
        assert report.bytes_synced >= synced
        assert report.torn_bytes < 60
        synced = report.bytes_synced
        assert contents(target) == ({"a": expected[:synced]} if synced else {})
    assert synced == len(expected)


def record(kind: str, inode: int, value: int, path: bytes, data: bytes = b"") -> bytes:
    """A record as shim.c writes it."""
    head = HEAD.pack(0x4A4C5750, ord(kind), inode, value, len(path), len(data))
    return head + path + data


def records(journal: Path) -> Iterator[tuple[int, str, int]]:
    """The whole records of a journal as (position, kind, value)."""
    data, position = journal.read_bytes(), 0
    while len(data) - position >= HEAD.size:
        _, kind, _, value, path_length, data_length = HEAD.unpack_from(data, position)
        yield position, chr(kind), value
        position += HEAD.size + path_length + data_length


def test_a_write_during_a_sync_is_not_covered_by_it(tmp_path: Path, rng: random.Random) -> None:
    journal = tmp_path / "journal"
    before = record("C", 7, 0o600, b"a") + record("W", 7, 0, b"a", b"before")
    during = record("W", 7, 0, b"a", b"during") + record("U", 0, 0, b"other")
    base = tmp_path / "base"
    base.mkdir()
    (base / "other").write_bytes(b"")
    journal.write_bytes(before + during + record("S", 7, len(before), b"a") + record("D", 1, len(before), b""))
    returned: set[bool] = set()
    for attempt in range(40):
        target = tmp_path / str(attempt)
        reconstruct(journal, base, target, rng)
        assert (target / "a").read_bytes() == b"before"
        assert (target / "a").stat().st_mode & 0o777 == 0o600
        returned.add((target / "other").exists())
    assert returned == {True, False}


def test_a_journal_that_does_not_fit_is_an_error(tmp_path: Path, rng: random.Random) -> None:
    journal = tmp_path / "journal"
    for content, message in [
        (record("W", 7, 0, b"unheard-of", b"data"), "unheard-of"),
        (record("U", 0, 0, b"unheard-of"), "unheard-of"),
        (record("?", 0, 0, b""), "unknown kind"),
        (bytes(100), "no record at byte 0"),
    ]:
        journal.write_bytes(content)
        with pytest.raises(JournalError, match=message):
            reconstruct(journal, None, tmp_path / "target", rng)


def test_what_the_shim_cannot_follow_is_refused(shim: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x")
    printed = Cycle(shim, tmp_path).run(f"""if True:
        import errno, mmap, os
        outside = {str(outside)!r}
        def attempt(function, *arguments):
            try:
                function(*arguments)
                print("done")
            except OSError as error:
                print(errno.errorcode[error.errno])
        file = os.open("a", os.O_CREAT | os.O_RDWR)
        os.write(file, bytes(4096))
        os.mkdir("sub")
        source = os.open(outside, os.O_RDONLY)
        attempt(os.sendfile, file, source, 0, 1)
        attempt(os.copy_file_range, source, file, 1)
        attempt(mmap.mmap, file, 4096)
        attempt(os.link, "a", "b")
        attempt(os.rename, outside, "b")
        attempt(os.rename, "sub", "sub2")
        attempt(os.rename, "a", outside)
        shared = os.open("a-shm", os.O_CREAT | os.O_RDWR)
        os.write(shared, bytes(4096))
        attempt(mmap.mmap, shared, 4096)
    """)
    assert printed.split() == ["EINVAL", "EINVAL", "ENODEV", "EPERM", "EXDEV", "EXDEV", "done", "done"]


# Threads write turn by turn into one file and sync it, each telling its numbers once they are safe.
WRITERS = """if True:
    import json, os, struct, sys, threading
    threads = json.loads(sys.argv[1])["threads"]
    file = os.open("numbers", os.O_CREAT | os.O_RDWR)
    def work(number):
        while True:
            os.pwrite(file, struct.pack("=I", number + 1), 4 * number)
            os.fdatasync(file)
            os.write(1, b"%d\\n" % number)
            number += threads
    for thread in range(threads):
        threading.Thread(target=work, args=(thread,)).start()
"""


def test_threads_that_sync_one_file_lose_nothing(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path)
    printed = cycle.run_until_killed(WRITERS, {"threads": 4}, lines=200)
    image, _ = cycle.lose_power(rng)
    data = (image / "numbers").read_bytes()
    stored = {number for number, (value,) in enumerate(struct.iter_unpack("=I", data)) if value == number + 1}
    assert stored >= {int(number) for number in printed}
    # Some sync took long enough for another thread to write; it says that it covers only what came before.
    assert any(kind == "S" and length < position for position, kind, length in records(cycle.journal))


# ---- SQLite ----

# Commits numbers without end and tells each that is committed. Closing the last connection now and then has the
# WAL file unlinked and made anew; a small checkpoint interval has it copied and started over.
COMMITTER = """if True:
    import json, os, sqlite3, sys, threading
    options = json.loads(sys.argv[1])
    def connect():
        connection = sqlite3.connect("log.db", isolation_level=None, timeout=60, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {options['synchronous']}")
        connection.execute(f"pragma wal_autocheckpoint = {options['checkpoint']}")
        connection.execute("create table if not exists log (number integer primary key, payload blob)")
        return connection
    def work(connection, number):
        while True:
            for _ in range(options["reopen"]):
                payload = b"%d " % number * (number % 5 * 400)
                connection.execute("insert into log values (?, ?)", (number, payload))
                os.write(1, b"%d\\n" % number)
                number += options["threads"]
            connection.close()
            connection = connect()
    def fail(failure):
        sys.excepthook(failure.exc_type, failure.exc_value, failure.exc_traceback)
        os._exit(1)
    threading.excepthook = fail
    os.write(1, b"ready\\n")
    for thread in range(options["threads"]):
        threading.Thread(target=work, args=(connect(), options["first"] + thread)).start()
"""


def commit_until_killed(
    cycle: Cycle,
    first: int = 0,
    commits: int = 40,
    spin: float = 0.0,
    synchronous: str = "full",
    threads: int = 1,
    checkpoint: int = 12,
    reopen: int = 15,
) -> set[int]:
    """Runs COMMITTER until it has told `commits` numbers, and `spin` seconds on; returns all that it told.

    `first` is the first number, `checkpoint` the interval in pages, `reopen` the commits for each connection.
    """
    options: dict[str, object] = {
        "first": first,
        "synchronous": synchronous,
        "threads": threads,
        "checkpoint": checkpoint,
        "reopen": reopen,
    }
    ready, *numbers = cycle.run_until_killed(COMMITTER, options, lines=commits + 1, spin=spin)
    assert ready == "ready"
    return {int(number) for number in numbers}


def stored_numbers(image: Path, scratch: Path) -> set[int]:
    """What the database in an image holds, checked for integrity on a copy: opening it runs the recovery."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(image, scratch)
    with closing(sqlite3.connect(scratch / "log.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        if not connection.execute("select 1 from sqlite_master where name = 'log'").fetchall():
            return set()
        rows: Iterable[tuple[int, bytes]] = connection.execute("select number, payload from log")
        numbers = set()
        for number, payload in rows:
            assert payload == b"%d " % number * (number % 5 * 400)
            numbers.add(number)
        return numbers


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("keep_unsynced", [0.0, 0.5])
def test_sqlite_with_full_synchronisation_loses_no_commit(
    shim: Path, tmp_path: Path, rng: random.Random, keep_unsynced: float, threads: int
) -> None:
    image: Path | None = None
    told: set[int] = set()
    stored: set[int] = set()
    for number in range(ROUNDS):
        cycle = Cycle(shim, tmp_path / str(number), base=image)
        told |= commit_until_killed(
            cycle,
            first=max(stored, default=-1) + 1,
            commits=rng.randrange(30),
            spin=rng.uniform(0, 0.01),
            threads=threads,
        )
        image, report = cycle.lose_power(rng, keep_unsynced)
        stored = stored_numbers(image, tmp_path / "scratch")
        print(f"round {number}: {len(told)} told, {len(stored)} stored, {report}")
        assert told <= stored, f"lost {sorted(told - stored)}"
        # Beyond those, a thread can have but one commit whose number it had no time to tell.
        assert len(stored - told) <= threads * (number + 1)


@pytest.mark.parametrize("synchronous", ["normal", "off"])
def test_sqlite_with_less_synchronisation_loses_commits(
    shim: Path, tmp_path: Path, rng: random.Random, synchronous: str
) -> None:
    cycle = Cycle(shim, tmp_path / "1")
    durable = commit_until_killed(cycle)
    image, _ = cycle.lose_power(rng)

    cycle = Cycle(shim, tmp_path / "2", base=image)
    told = commit_until_killed(cycle, first=1000, synchronous=synchronous, checkpoint=10_000, reopen=10_000)
    assert stored_numbers(cycle.live, tmp_path / "scratch") >= durable | told  # all that a mere kill shows
    image, report = cycle.lose_power(rng)
    stored = stored_numbers(image, tmp_path / "scratch")
    assert stored >= durable
    assert not stored & told
    assert report.bytes_dropped > 0


def test_a_lying_disk_loses_commits(shim: Path, tmp_path: Path, rng: random.Random) -> None:
    cycle = Cycle(shim, tmp_path / "1")
    durable = commit_until_killed(cycle)
    image, _ = cycle.lose_power(rng)

    cycle = Cycle(shim, tmp_path / "2", base=image, lie=True)
    told = commit_until_killed(cycle, first=1000, checkpoint=10_000, reopen=10_000)
    image, report = cycle.lose_power(rng)
    assert report.syncs == 0
    stored = stored_numbers(image, tmp_path / "scratch")
    assert stored >= durable
    assert not stored & told
