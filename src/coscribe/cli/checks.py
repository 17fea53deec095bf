"""What `coscribe doctor` looks at. Each check is a function that says what it found and what to do about it.

Nothing is changed in the folder: a scratch database and a file to time the disk on are made in it and removed.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import ValidationError

from coscribe.bench.machine import Disk, filesystem, is_durable
from coscribe.compiled import is_compiled
from coscribe.config import Settings
from coscribe.persistence.migrate import current, head
from coscribe.persistence.sqlite import connect

_NEWEST = "SELECT max(time) FROM heads JOIN file_operation_log USING (workspace_key) WHERE sequence = last_sequence"

State = Literal["ok", "warning", "problem"]

PYTHON = (3, 11)
SQLITE = (3, 24, 0)
"""The oldest that have what is used here; of SQLite: INSERT ... ON CONFLICT DO UPDATE."""

FSYNC_SAMPLES = 50
SLOW_MS = 25.0
"""A commit is one sync: slower than this and everybody's acknowledgement is felt."""

UNLIKELY_MS = 0.01
"""Faster than this no disk confirms anything."""

LITTLE_SPACE = 200_000_000
SPARE_SPACE = 2_000_000_000
"""Free bytes below which there is a problem, and below which it is time to look."""

FEW_FILES = 1_024
ENOUGH_FILES = 8_192
"""Open files: each connection takes one."""

SKEW = 5.0
"""Seconds that clocks may differ."""

LONG_AGO = 1_767_225_600
"""2026-01-01: a clock that says less has never been set."""


class Check(msgspec.Struct):
    """One line. ``advice`` is empty where there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine(folder: Path, server: str, url: str = "") -> Iterator[Check]:
    """All checks, one after the other. ``server``: its address, or empty. ``url``: of a PostgreSQL, or empty."""
    yield python()
    if not url:
        yield sqlite()
    yield core()
    yield web_editor()
    yield from settings(folder)
    yield open_files(None)
    if not folder.is_dir():
        yield Check("folder", "problem", f"{folder} is no folder", "Give --data; `coscribe serve` makes it.")
    else:
        yield from _of_folder(folder, with_database=not url)
    if url:
        from coscribe.cli.checks_postgres import of_postgres  # which says what it finds as `Check`, too

        yield from of_postgres(url)
    if server:
        yield from _of_server(server)


def python() -> Check:
    found = sys.version.split()[0]
    if sys.version_info < PYTHON:
        return Check("python", "problem", found, "Python 3.11 or newer is needed.")
    return Check("python", "ok", found)


def sqlite() -> Check:
    if sqlite3.sqlite_version_info < SQLITE:
        return Check("sqlite", "problem", sqlite3.sqlite_version, f"{'.'.join(map(str, SQLITE))} or newer is needed.")
    return Check("sqlite", "ok", sqlite3.sqlite_version)


def core() -> Check:
    import coscribe.core.operation  # noqa: F401  # what is asked about is how it was loaded

    if is_compiled():
        return Check("core", "ok", "compiled")
    if os.environ.get("COSCRIBE_PURE"):
        return Check("core", "warning", "pure Python, as COSCRIBE_PURE says", "Unset it, and the server is faster.")
    return Check("core", "warning", "pure Python: same results, slower", "`make setup` compiles it, with a C compiler.")


def web_editor() -> Check:
    if files("coscribe.web").joinpath("built", "index.html").is_file():
        return Check("web editor", "ok", "built")
    return Check("web editor", "warning", "not built: no pages, the API works", "Run `make setup`.")


def settings(folder: Path) -> Iterator[Check]:
    """What the environment says; the server may have been started with another one."""
    try:
        found = Settings(folder=folder)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        yield Check("settings", "problem", wrong, "They come from COSCRIBE_... variables; see docs/operations.md.")
        return
    exposure = found.exposure()
    if exposure is not None:
        yield Check("settings", "problem", "a server would not start like this", " ".join(exposure.split()))
    local = found.on_loopback and not found.trusted_proxies and not found.public_url
    if not found.public_url and not local:
        advice = "Set COSCRIBE_PUBLIC_URL to the address that people use."
        yield Check("public url", "warning", f"not set: links begin with {found.url}", advice)
    else:
        yield Check("public url", "ok", found.url)
    if found.mail.host:
        yield Check("mail", "ok", f"through {found.mail.host}:{found.mail.port}")
    elif local:
        yield Check("mail", "ok", "none: printed on the console of the server")
    else:
        advice = "Set COSCRIBE_MAIL__HOST: nobody gets invitations or can reset a password."
        yield Check("mail", "warning", "none: printed on the console of the server", advice)


def open_files(pid: int | None) -> Check:
    """The limit of a process; None: of what is started from here."""
    limit, whose = _limit_of(pid), "from here" if pid is None else f"of the server ({pid})"
    if limit == resource.RLIM_INFINITY:
        return Check("open files", "ok", f"unlimited {whose}")
    found = f"{limit:,} {whose}"
    if limit >= ENOUGH_FILES:
        return Check("open files", "ok", found)
    advice = "Each connection takes one: raise it (`ulimit -n 65536`, LimitNOFILE= in systemd)."
    return Check("open files", "problem" if limit < FEW_FILES else "warning", found, advice)


def _of_folder(folder: Path, *, with_database: bool) -> Iterator[Check]:
    yield from permissions(folder)
    yield space(folder)
    holder = lock_holder(folder)
    if holder is None:
        yield Check("lock", "ok", "free: no server runs on this folder")
    else:
        yield Check("lock", "ok", f"held by {_described(holder)}")
        if holder:
            yield open_files(holder)
    if not with_database:
        return
    database = _database(folder)
    if database.exists():
        yield from of_database(database)
    else:
        yield Check("database", "ok", "none yet: the first start makes it")
    yield from disk(folder)


def permissions(folder: Path) -> Iterator[Check]:
    """Who can read what is in the folder, and whether its key is kept secret."""
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Check("folder", "problem", f"{folder} cannot be written", "Run this as the user that the server runs as.")
    elif _mode(folder) & 0o007:
        yield Check("folder", "warning", f"mode {_mode(folder):03o}: any user can look", f"chmod 700 {folder}")
    else:
        yield Check("folder", "ok", f"mode {_mode(folder):03o}")
    key = folder / "token.key"
    if key.exists():
        mode = _mode(key)
        if mode & 0o077:
            advice = f"chmod 600 {key}: whoever reads it can sign in as anybody."
            yield Check("token.key", "problem", f"mode {mode:03o}", advice)
        else:
            yield Check("token.key", "ok", f"mode {mode:03o}")
    elif os.environ.get("COSCRIBE_TOKEN_SECRET"):
        yield Check("token.key", "ok", "none: COSCRIBE_TOKEN_SECRET signs")
    elif not _database(folder).exists():
        yield Check("token.key", "ok", "none yet: the first start makes it")
    else:
        yield Check(
            "token.key", "warning", "none: the next start makes one", "Restore it, or everybody signs in again."
        )


def space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < LITTLE_SPACE:
        return Check("space", "problem", found, "Make room: where nothing can be written, nothing is acknowledged.")
    if free < SPARE_SPACE:
        return Check("space", "warning", found, "Make room before it is needed.")
    return Check("space", "ok", found)


def lock_holder(folder: Path) -> int | None:
    """The process that has the folder locked; None: nobody; 0: somebody, who cannot be told here."""
    import fcntl

    try:
        status = (folder / "lock").stat()
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "FLOCK" in fields and device in fields:
                return max(0, int(fields[fields.index(device) - 1]))
    except OSError:
        pass
    # Where the system does not say, it is tried, for as short as can be.
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return 0
    return None


def of_database(path: Path) -> Iterator[Check]:
    try:
        with closing(connect(path, read_only=True)) as db:
            yield integrity(db)
            yield journal(db)
            yield clock(db.execute(_NEWEST).fetchone()[0] or 0)
    except sqlite3.Error as error:
        advice = "Keep a copy of the folder as it is; restore the newest backup that verifies."
        yield Check("database", "problem", f"cannot be read: {error}", advice)
        return
    yield migrations(path)


def integrity(db: sqlite3.Connection) -> Check:
    wrong = [str(line) for (line,) in db.execute("PRAGMA quick_check(5)")]
    if wrong == ["ok"]:
        return Check("database", "ok", "quick_check finds nothing; `coscribe verify` proves the log")
    advice = "Stop the server, keep a copy of the folder as it is, restore the newest backup that verifies."
    return Check("database", "problem", "; ".join(wrong), advice)


def journal(db: sqlite3.Connection) -> Check:
    (mode,) = db.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal":
        return Check("journal", "ok", "write-ahead log")
    return Check("journal", "warning", str(mode), "The next start of a server sets it; copies made by hand lose it.")


def clock(newest: int) -> Check:
    """Whether this machine's clock can be right: it is not before what was written last (microseconds since 1970)."""
    at = time.time()
    ahead = newest / 1_000_000 - at
    if at < LONG_AGO:
        return Check("clock", "problem", time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)), "Set it; use NTP.")
    if ahead > SKEW:
        found = f"the newest entry of the log is {ahead:,.0f} s in the future"
        return Check("clock", "problem", found, "The clock was or is wrong: tokens and links expire by it. Use NTP.")
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)))


def migrations(where: Path | str) -> Check:
    have, newest = current(where), head()
    if have == newest:
        return Check("schema", "ok", have)
    if have > newest:
        return Check("schema", "problem", f"{have}; this version knows {newest}", "Install the version that wrote it.")
    return Check("schema", "warning", f"{have or 'none'}, not {newest}", "The next start migrates it: back up before.")


def disk(folder: Path) -> Iterator[Check]:
    """How a commit fares here: what SQLite makes of its settings in this folder, and what a sync takes."""
    kind = filesystem(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch:
            yield durability(Path(scratch))
            timed = Disk(Path(scratch))
            timed.measure(FSYNC_SAMPLES)
    except (OSError, sqlite3.Error) as error:
        yield Check("disk", "problem", f"cannot be written: {error}", "Look for space, permissions and I/O errors.")
        return
    worst = max(timed.times) * 1_000
    found = f"a sync takes {timed.fsync_ms:.2f} ms, at worst {worst:.1f} ms ({kind})"
    if not is_durable(kind):
        yield Check("disk", "problem", found, "This is memory: nothing survives a power cut. Use a folder on a disk.")
    elif timed.fsync_ms < UNLIKELY_MS:
        yield Check("disk", "warning", found, "No disk is so fast: does it confirm what it has not written?")
    elif timed.fsync_ms > SLOW_MS:
        yield Check("disk", "warning", found, "Everybody's acknowledgements wait for it: use a faster disk.")
    else:
        yield Check("disk", "ok", found)


def durability(scratch: Path) -> Check:
    """A connection as the server makes them, to a database in the same place."""
    with closing(connect(scratch / "scratch.db")) as db:
        (mode,) = db.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = db.execute("PRAGMA synchronous").fetchone()
    found = f"journal {mode}, synchronous {('OFF', 'NORMAL', 'FULL', 'EXTRA')[synchronous]}"
    if mode == "wal" and synchronous >= 2:
        return Check("durability", "ok", found)
    return Check(
        "durability", "problem", found, "This file system cannot do what is needed (a network's?): use another."
    )


def _of_server(server: str) -> Iterator[Check]:
    import httpx

    with httpx.Client(base_url=server, timeout=10, trust_env=False) as client:
        for path in ("/healthz", "/readyz"):
            try:
                answer = client.get(path)
            except httpx.HTTPError as error:
                advice = "Is it started, and is this its address? `coscribe serve` prints it."
                yield Check(path, "problem", f"{server} does not answer: {str(error) or type(error).__name__}", advice)
                return
            if answer.status_code == 200:
                yield Check(path, "ok", "200")
            else:
                found = f"{answer.status_code}: {answer.text[:200].strip()}"
                yield Check(path, "problem", found, "See the alarms in docs/operations.md.")
    ahead = _ahead(answer.headers.get("date", ""))
    if ahead is not None and abs(ahead) > SKEW:
        found = f"the server's is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        yield Check("server's clock", "warning", found, "One of them is wrong: use NTP.")


def _ahead(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


def _limit_of(pid: int | None) -> int:
    if pid is not None:
        try:
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        except OSError:
            return resource.RLIM_INFINITY
        for line in lines:
            if line.startswith("Max open files"):
                soft = line.split()[3]
                return int(soft) if soft.isdigit() else resource.RLIM_INFINITY
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _described(pid: int) -> str:
    """``1234: coscribe serve ...``, as far as it can be told."""
    if not pid:
        return "somebody; this system does not say who"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return str(pid)
    return f"{pid}: {command[:80]}"


def _database(folder: Path) -> Path:
    return Settings.model_construct(folder=folder).database  # also where other settings are wrong


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
