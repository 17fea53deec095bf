"""Repositories as a source: fetched by git, and read out of its objects. Nothing of one is ever checked out or run.

    address --judged, pinned--> git clone --bare, one commit --> ls-tree, cat-file --> Intake, as an archive

git is given nothing to follow: no configuration of a person or the machine, no hooks, no helpers, no prompts, one
protocol, one address for the host, no redirects, no submodules, no filters (those of LFS are applied when something is
checked out). It is stopped when it takes too long or too much of the disk, with all that it has started. What it writes
is in one folder, which is gone afterwards; after a crash the next start removes it. Only what is complete is renamed to
where it is kept until all files are made: so an import that goes on after a crash reads the same commit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.unpacking.intake import PIECE, Bounds, Described, Intake, refusal
from coscribe.git.remotes import Policy, Remote, Secret, ssh_command, write_secret

LOOK_SECONDS = 0.05
"""Between looks at how much of the disk a clone takes."""

MAX_SAID = 400
"""Characters of what git says that are shown."""

_BLOCK = 512
_SUBMODULE, _LINK, _EXECUTABLE = b"160000", b"120000", b"100755"


class CloneBounds(NamedTuple):
    """``disk_bytes`` of all that git writes; ``objects`` in what it was sent."""

    seconds: float = 300.0
    disk_bytes: int = 1_000_000_000
    objects: int = 500_000


def clone(
    url: str,
    folder: Path,
    policy: Policy,
    stop: threading.Event,
    *,
    keep: Path,
    secret: Secret = Secret(),  # noqa: B008
    bounds: Bounds = Bounds(),  # noqa: B008
    clone_bounds: CloneBounds = CloneBounds(),  # noqa: B008
    folds_case: bool = False,
) -> Intake:
    """What the newest commit of a repository's usual branch holds, all of it good. ``secret``: for one that is not open
    to everybody, and always by ssh. ``keep``: where it is from now on; what is there already is read again. ``stop``:
    ends it. Whoever gets it closes it, and removes what is kept.

    Errors: ``import_refused``, ``remote_refused``; ``shutting_down``: it was stopped. OSError: the disk, or there is no
    git.
    """
    if shutil.which("git") is None:
        raise CoscribeError(Code.IMPORT_REFUSED, "this server has no git: send an archive of it instead")
    remote = policy(url) if not keep.exists() else None
    if remote is not None and remote.protocol == "ssh" and not (secret.key and secret.known_hosts):
        raise CoscribeError(Code.REMOTE_REFUSED, f"{remote.host} by ssh needs a key, and its own key to be known")
    folder, keep = folder.absolute(), keep.absolute()  # git is started in another folder than we are
    place = Path(tempfile.mkdtemp(prefix="clone-", dir=folder))
    try:
        git = _Git(place, keep, _environment(place, remote, secret), stop, clone_bounds)
        if remote is not None:
            git.fetch(remote)
        intake = Intake(folder, bounds, packed=None, folds_case=folds_case)
        try:
            git.read(intake)
            intake.end()
        except BaseException:
            intake.close()
            raise
        return intake
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Git:
    def __init__(
        self,
        place: Path,
        keep: Path,
        environment: dict[str, str],
        stop: threading.Event,
        bounds: CloneBounds,
    ) -> None:
        self._place = place
        self._keep = keep
        self._repository = keep
        self._environment = environment
        self._stop = stop
        self._bounds = bounds
        self._ends_at = time.monotonic() + bounds.seconds

    def fetch(self, remote: Remote) -> None:
        """All that is needed, to where it is kept."""
        self._repository = self._place / "repository"
        options = ["--bare", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules", "--template="]
        said = self._run(["clone", "--quiet", *options, "--", remote.url, str(self._repository)])
        if said is not None:
            raise CoscribeError(Code.IMPORT_REFUSED, _explained(said))
        counted = self._asked("count-objects", "-v").decode()
        numbers = dict(line.split(": ", 1) for line in counted.splitlines() if ": " in line)
        objects = int(numbers.get("count", "0")) + int(numbers.get("in-pack", "0"))
        if objects > self._bounds.objects:
            raise refusal("entries", f"{objects} objects, at most {self._bounds.objects}")
        self._repository = self._repository.rename(self._keep)

    def read(self, intake: Intake) -> None:
        """All files of the commit, out of the objects."""
        listed = self._started("ls-tree", "-r", "-z", "-l", "--full-tree", "HEAD")
        contents = self._started("cat-file", "--batch")
        assert listed.stdout is not None
        assert contents.stdin is not None
        assert contents.stdout is not None
        try:
            for line in _lines(listed.stdout, intake.bounds.head_bytes):
                about, _, name = line.partition(b"\t")
                mode, kind, digest, size = about.split()
                if mode == _SUBMODULE or kind != b"blob":
                    continue
                self._check_time()
                entry = Described(name, "symlink" if mode == _LINK else "file", int(size), mode == _EXECUTABLE)
                intake.add(entry, _content(contents.stdin, contents.stdout, digest, entry))
        finally:
            for process in (listed, contents):
                _kill(process)
        if listed.returncode not in (0, -signal.SIGKILL):
            raise CoscribeError(Code.IMPORT_REFUSED, "the repository is empty: push something first")

    def _run(self, arguments: list[str]) -> str | None:
        """What git has said where it failed; None: it did what it was asked for."""
        with tempfile.TemporaryFile(dir=self._place) as said:
            process = self._popen(arguments, stdout=subprocess.DEVNULL, stderr=said)
            try:
                while process.poll() is None:
                    self._check_time()
                    if _size(self._place) > self._bounds.disk_bytes:
                        raise refusal("unpacked_bytes", f"more than {self._bounds.disk_bytes} bytes are sent")
                    self._stop.wait(LOOK_SECONDS)
            finally:
                _kill(process)
            said.seek(0)
            return None if process.returncode == 0 else said.read(100_000).decode(errors="replace")

    def _check_time(self) -> None:
        if self._stop.is_set():
            raise CoscribeError(Code.SHUTTING_DOWN, "the import goes on at the next start")
        if time.monotonic() > self._ends_at:
            raise CoscribeError(
                Code.IMPORT_REFUSED, f"it has taken more than {self._bounds.seconds:g} s: send an archive of it instead"
            )

    def _asked(self, *arguments: str) -> bytes:
        process = self._started(*arguments)
        answer, _ = process.communicate()
        return answer

    def _started(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self._popen(
            [f"--git-dir={self._repository}", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def _popen(self, arguments: list[str], *, stdout: int, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        blocks = self._bounds.disk_bytes // _BLOCK + 1
        bounded = ["/bin/sh", "-c", f'ulimit -f {blocks}; ulimit -c 0; exec "$@"', "sh", "git"]
        return subprocess.Popen(
            [*bounded, *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            cwd=self._place,
            env=self._environment,
            start_new_session=True,
        )


def _environment(place: Path, remote: Remote | None, secret: Secret) -> dict[str, str]:
    """All that git knows of where it is. Settings go by the environment, where other people of the machine do not see
    the token; a key is in a file of the folder that is gone afterwards."""
    settings: list[tuple[str, str]] = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.fsync", "all"),
        ("core.attributesFile", "/dev/null"),
        ("credential.helper", ""),
        ("gc.auto", "0"),
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "30"),
        ("http.proxy", ""),
        ("protocol.allow", "never"),
        ("submodule.recurse", "false"),
        ("transfer.credentialsInUrl", "die"),
    ]
    more = {"GIT_SSH_COMMAND": "false", "GIT_ALLOW_PROTOCOL": ""}
    if remote is not None:
        settings += [(f"protocol.{remote.protocol}.allow", "always"), *remote.settings.items()]
        more["GIT_ALLOW_PROTOCOL"] = remote.protocol
        if remote.protocol == "ssh":
            files = write_secret(place / "key", secret.key), write_secret(place / "known_hosts", secret.known_hosts)
            more["GIT_SSH_COMMAND"] = ssh_command(remote, *files)
        elif secret.token:
            encoded = b64encode(f"{secret.user or 'coscribe'}:{secret.token}".encode()).decode()
            settings.append(("http.extraHeader", f"Authorization: Basic {encoded}"))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place),
        "XDG_CONFIG_HOME": str(place),
        "LC_ALL": "C",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS": "/bin/false",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **more,
    }
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _content(asked: IO[bytes], answered: IO[bytes], digest: bytes, entry: Described) -> Iterator[bytes]:
    asked.write(digest + b"\n")
    asked.flush()
    head = answered.readline().split()
    if head != [digest, b"blob", str(entry.size).encode()]:
        raise refusal("damaged", entry=entry.name)
    left = entry.size
    while left:
        piece = answered.read(min(left, PIECE))
        if not piece:
            raise refusal("damaged", entry=entry.name)
        left -= len(piece)
        yield piece
    answered.read(1)


def _lines(listed: IO[bytes], longest: int) -> Iterator[bytes]:
    """What stands between NULs."""
    held = b""
    while piece := listed.read(PIECE):
        *lines, held = (held + piece).split(b"\0")
        yield from lines
        if len(held) > longest:
            raise refusal("head_bytes")


def _size(folder: Path) -> int:
    """Bytes of all that is in it; what goes meanwhile does not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()


_EXPLAINED = (
    ("Host key verification failed", "the server has another key than the one that is known: find out why"),
    ("REMOTE HOST IDENTIFICATION", "the server has another key than the one that is known: find out why"),
    ("does not appear to be a git repository", "there is no repository at that address"),
    ("Permission denied", "the server does not take the key: add its public half there"),
    ("returned error: 30", "the address leads to another one, which is not followed: name that one"),
    ("redirect", "the address leads to another one: name that one"),
    ("could not read Username", "it is not there, or not open to everybody: check the address, or give a token"),
    ("Authentication failed", "the token was refused: make another one that may read it"),
    ("not found", "there is no repository at that address"),
    ("SSL", "its certificate is not valid"),
    ("Could not resolve", "no machine has that name"),
    ("Failed to connect", "nothing answers there"),
    ("too slow", "it answers too slowly: try again later, or send an archive of it"),
)


def _explained(said: str) -> str:
    """What git has said, for people, and what they can do."""
    for sign, words in _EXPLAINED:
        if sign in said:
            return words
    return f"git says: {said.strip()[-MAX_SAID:]}"
