"""What the machine has and does: its disk's fsync time, a process's CPU time and memory, processors, descriptors.

Where there is no /proc (macOS), what it would say is left out of the figures rather than guessed.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import msgspec

FSYNC_BYTES = 12_288
"""About what SQLite appends to its log for one commit group."""

_PROC = Path("/proc")
_UNSYNCED = ("tmpfs", "ramfs")


class Machine(msgspec.Struct, rename="camel"):
    """Where figures come from. ``filesystem`` is that of the data folder; ``memory_mb`` is all there is."""

    processor: str
    processors: int
    memory_mb: int
    system: str
    python: str
    filesystem: str


class Disk:
    """A file to time fdatasync on, in the folder that the server writes to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fsync"
        self.times: list[float] = []

    def measure(self, samples: int) -> None:
        """Appends 12 KB and makes it durable, so many times; adds the seconds each took to ``times``."""
        block = os.urandom(FSYNC_BYTES)
        sync = getattr(os, "fdatasync", os.fsync)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for _ in range(samples):
                start = time.perf_counter()
                os.write(descriptor, block)
                sync(descriptor)
                self.times.append(time.perf_counter() - start)
        finally:
            os.close(descriptor)
            self._path.unlink()

    @property
    def fsync_ms(self) -> float:
        return median(self.times) * 1_000


def describe(folder: Path) -> Machine:
    return Machine(
        _processor(),
        os.cpu_count() or 1,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        f"{platform.system()} {platform.release()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        filesystem(folder),
    )


def filesystem(folder: Path) -> str:
    """The kind of file system that holds the folder, or ``unknown``."""
    kind, longest = "unknown", -1
    with suppress(OSError):
        for line in (_PROC / "self" / "mounts").read_text().splitlines():
            _, mount, this_kind, *_ = line.split(" ")
            if folder.resolve().is_relative_to(mount) and len(mount) > longest:
                kind, longest = this_kind, len(mount)
    return kind


def is_durable(kind: str) -> bool:
    """Whether an fsync on such a file system reaches anything that survives."""
    return kind not in _UNSYNCED


def cpu_seconds(pid: int) -> float | None:
    """User and system time that all threads of a process have used."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stolen_seconds() -> float | None:
    """Processor time that this machine wanted and its host gave to others, over all processors since it was started."""
    try:
        fields = (_PROC / "stat").read_text().split(maxsplit=9)
    except OSError:
        return None
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """The memory that a process holds."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def processors() -> set[int]:
    """The processors this process may use; empty where that cannot be asked."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


@contextmanager
def on_processor(number: int | None) -> Iterator[None]:
    """Runs on one processor meanwhile, and so does every process started here, for good. None: anywhere."""
    if number is None:
        yield
        return
    before = processors()  # it may be one processor already, and another one than is asked for
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_descriptors() -> int:
    """Raises this process's limit of open files as far as it may; processes started later inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses what it calls unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def _processor() -> str:
    with suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
