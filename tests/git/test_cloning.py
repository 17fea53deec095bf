"""Repositories as a source: what comes of one, whom the server speaks to because of that, and what git is not told."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import NewFile
from coscribe.documents.unpacking.intake import Bounds
from coscribe.git.cloning import CloneBounds, clone
from coscribe.git.remotes import AddressPolicy, Secret
from tests.git.git_server import GitServer, git_server

LOCAL = AddressPolicy(frozenset(("http",)), lambda ip: ip.is_loopback, lambda _, __: ["127.0.0.1"])
"""Loopback under any name: so that what is pinned is seen, as no other look-up knows the name."""


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_NAME": "Ann",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[GitServer]:
    """A server with the repository ``one``."""
    work = tmp_path / "served" / "one"
    (work / "src").mkdir(parents=True)
    (work / "src/a.py").write_bytes(b"print(1)\r\n")
    (work / "run").write_bytes(b"#!/bin/sh\n")
    (work / "run").chmod(0o755)
    (work / "way").symlink_to("src/a.py")
    (work / "big").write_bytes(bytes(range(256)) * 4_000)
    (work / ".gitattributes").write_text("*.py filter=evil eol=lf -text\n")
    (work / os.fsdecode(b"caf\xe9")).write_bytes(b"old")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "update-index", "--add", "--cacheinfo", "160000", "1" * 40, "module")
    git(work, "commit", "-qm", "first")
    with git_server(tmp_path / "served") as server:
        yield server


def cloned(server: GitServer, folder: Path, name: str = "one/.git", **more: object) -> list[NewFile]:
    keep = folder / "kept"
    try:
        intake = clone(server.url(name), folder, LOCAL, threading.Event(), keep=keep, **more)  # type: ignore[arg-type]  # its options
        try:
            return list(intake.files())
        finally:
            intake.close()
    finally:
        shutil.rmtree(keep, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For clones: nothing is left in it."""
    made = tmp_path / "clones"
    made.mkdir()
    yield made
    assert list(made.iterdir()) == []


def refused(server: GitServer, folder: Path, name: str = "one/.git", **more: object) -> str:
    with pytest.raises(CoscribeError) as error:
        cloned(server, folder, name, **more)
    assert error.value.code is Code.IMPORT_REFUSED
    return error.value.detail


def test_the_folder_may_be_relative(served: GitServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is by default, where a server is started in the folder of its data."""
    monkeypatch.chdir(folder.parent)
    assert "src/a.py" in {new.path for new in cloned(served, Path(folder.name))}


def test_what_is_in_the_objects_comes_out_bit_for_bit(served: GitServer, folder: Path) -> None:
    found = {new.path: new for new in cloned(served, folder)}
    assert found["src/a.py"].content == b"print(1)\r\n"
    assert found["run"].properties == {"mode": "755"}
    assert (found["way"].kind, found["way"].content) == ("symlink", b"src/a.py")
    assert found["big"].content == bytes(range(256)) * 4_000
    assert found["caf\\xe9"].properties == {"diskName": "Y2Fm6Q=="}
    assert set(found) == {"src", "src/a.py", "run", "way", "big", ".gitattributes", "caf\\xe9"}


def test_nothing_of_whoever_runs_the_server_counts(
    served: GitServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook, a filter, a helper, another name for the address and a proxy in every place that git looks at."""
    trap = tmp_path / "trap"
    home = tmp_path / "home"
    home.mkdir()
    (home / "hooks").mkdir()
    for name in ("post-checkout", "reference-transaction"):
        (home / "hooks" / name).write_text(f"#!/bin/sh\ntouch {trap}\n")
        (home / "hooks" / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n[filter "evil"]\n\tsmudge = touch {trap}\n'
        f'[credential]\n\thelper = "!touch {trap}"\n[http]\n\tproxy = http://127.0.0.1:1\n'
        '[url "file:///etc/"]\n\tinsteadOf = http://git.example\n'
    )
    for name, value in {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_TEMPLATE_DIR": str(home),
        "GIT_SSH_COMMAND": f"touch {trap}",
        "GIT_ASKPASS": f"touch {trap}",
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    assert len(cloned(served, folder)) == 7
    served.authorization = "Basic none"
    assert "give a token" in refused(served, folder)
    assert not trap.exists()


def test_a_token_opens_what_is_not_open_and_is_on_no_command_line(served: GitServer, folder: Path) -> None:
    served.authorization = f"Basic {b64encode(b'coscribe:secret').decode()}"
    assert "check the address, or give a token" in refused(served, folder)
    assert len(cloned(served, folder, secret=Secret(token="secret"))) == 7
    assert "token" in refused(served, folder, secret=Secret(token="wrong"))


def test_redirects_are_not_followed(served: GitServer, folder: Path, tmp_path: Path) -> None:
    with git_server(tmp_path / "served") as inner:
        served.leads_to = f"http://127.0.0.1:{inner.server_address[1]}"
        assert "name that one" in refused(served, folder)
        assert inner.asked == []


def test_what_is_kept_is_read_again_whatever_was_pushed_since(served: GitServer, folder: Path, tmp_path: Path) -> None:
    keep = folder / "kept"
    found = []
    for _ in range(2):
        intake = clone(served.url("one/.git"), folder, LOCAL, threading.Event(), keep=keep)
        found.append(list(intake.files()))
        intake.close()
        git(tmp_path / "served/one", "rm", "-q", "run")
        git(tmp_path / "served/one", "commit", "-qm", "later", "--allow-empty")
        served.hangs.clear()  # nobody is asked any more
        git(tmp_path / "served/one", "checkout", "-q", "HEAD~1")
    shutil.rmtree(keep)
    assert found[0] == found[1]


def test_bounds(served: GitServer, folder: Path) -> None:
    assert "at most 2" in refused(served, folder, clone_bounds=CloneBounds(objects=2))
    assert "bytes" in refused(served, folder, bounds=Bounds(unpacked_bytes=100_000))
    assert "'big' is too large" in refused(served, folder, bounds=Bounds(file_bytes=10_000))
    assert "too many" in refused(served, folder, bounds=Bounds(entries=3))
    served.hangs.clear()
    assert "archive" in refused(served, folder, clone_bounds=CloneBounds(seconds=0.2))


def test_too_much_of_the_disk(served: GitServer, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "served" / "one"
    (work / "noise").write_bytes(os.urandom(3_000_000))
    git(work, "add", ".")
    git(work, "commit", "-qm", "noise")
    refused(served, folder, clone_bounds=CloneBounds(disk_bytes=1_000_000))


def test_what_is_stopped_is_stopped(served: GitServer, folder: Path) -> None:
    stop = threading.Event()
    served.hangs.clear()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(CoscribeError) as error:
        clone(served.url("one/.git"), folder, LOCAL, stop, keep=folder / "kept")
    assert error.value.code is Code.SHUTTING_DOWN


def test_names_that_lead_out_are_refused_as_in_archives(served: GitServer, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "served" / "one"
    blob = git(work, "hash-object", "-w", "--stdin", stdin=b"../../etc/passwd")
    tree = git(work, "mktree", stdin=f"120000 blob {blob}\tway\n".encode())
    git(work, "update-ref", "HEAD", git(work, "commit-tree", tree, "-m", "bad"))
    assert "is a link that leads out" in refused(served, folder)


def test_what_is_not_there(served: GitServer, folder: Path, tmp_path: Path) -> None:
    assert "there is no repository" in refused(served, folder, "two/.git")
    (tmp_path / "served/empty").mkdir()
    git(tmp_path / "served/empty", "init", "-q")
    assert "empty" in refused(served, folder, "empty/.git")
