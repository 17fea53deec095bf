"""Repositories by ssh, from a real sshd on loopback: whom the server believes to be who, and what is left behind."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import NewFile
from coscribe.git.cloning import clone
from coscribe.git.remotes import Secret, fingerprint, pinned_by, public
from tests.git.ssh_server import LOOPBACK, SshServer, make_key, make_repository, needs_sshd, ssh_server

pytestmark = [needs_sshd, pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    make_repository(tmp_path / "one")
    with ssh_server(tmp_path / "ssh") as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For clones: nothing is left in it."""
    made = tmp_path / "clones"
    made.mkdir()
    yield made
    assert list(made.iterdir()) == []


def cloned(server: SshServer, folder: Path, secret: Secret, path: str = "one") -> list[NewFile]:
    url = server.url(server.folder.parent / path / ".git")
    keep = folder / "kept"
    try:
        intake = clone(url, folder, LOOPBACK, threading.Event(), keep=keep, secret=secret)
        try:
            return list(intake.files())
        finally:
            intake.close()
    finally:
        shutil.rmtree(keep, ignore_errors=True)


def refused(server: SshServer, folder: Path, secret: Secret, path: str = "one") -> str:
    with pytest.raises(CoscribeError) as error:
        cloned(server, folder, secret, path)
    assert error.value.code in (Code.IMPORT_REFUSED, Code.REMOTE_REFUSED)
    assert server.key.splitlines()[1] not in str(error.value)
    return error.value.detail


def test_with_a_key_of_ones_own_and_the_hosts_own_key_known(server: SshServer, folder: Path) -> None:
    (one,) = cloned(server, folder, Secret(key=server.key, known_hosts=server.known_hosts()))
    assert (one.path, one.content) == ("plan", b"a plan\n")
    assert "no repository" in refused(server, folder, Secret(key=server.key, known_hosts=server.known_hosts()), "two")


def test_a_host_that_is_not_known_or_has_another_key(server: SshServer, folder: Path, tmp_path: Path) -> None:
    assert "its own key to be known" in refused(server, folder, Secret(key=server.key))
    assert "its own key to be known" in refused(server, folder, Secret(known_hosts=server.known_hosts()))
    other = f"git.example {make_key(tmp_path / 'other')}"
    assert "another key" in refused(server, folder, Secret(key=server.key, known_hosts=other))
    elsewhere = Secret(key=server.key, known_hosts=server.known_hosts("git.example.org"))
    assert "another key" in refused(server, folder, elsewhere)


def test_a_key_that_is_not_taken(server: SshServer, folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "wrong")
    secret = Secret(key=(tmp_path / "wrong").read_text(), known_hosts=server.known_hosts())
    assert "does not take the key" in refused(server, folder, secret)


def test_nothing_of_whoever_runs_the_server_counts(
    server: SshServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap, home = tmp_path / "trap", tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(f"Host *\n  ProxyCommand touch {trap}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {trap}")
    monkeypatch.setenv("GIT_SSH", f"touch {trap}")
    assert len(cloned(server, folder, Secret(key=server.key, known_hosts=server.known_hosts()))) == 1
    assert not trap.exists()


def test_the_first_time_the_fingerprint_is_asked_for(server: SshServer) -> None:
    remote = LOOPBACK(server.url(Path("/x")))
    mark = fingerprint(base64.b64decode(server.public.split()[1]))
    for wrong in ("", "SHA256:something-else"):
        with pytest.raises(CoscribeError) as error:
            pinned_by(remote, wrong)
        assert error.value.code is Code.REMOTE_REFUSED
        assert mark in error.value.detail
    assert pinned_by(remote, mark).split()[:3] == server.known_hosts().split()[:3]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_addresses_inside_are_refused_by_ssh_too(host: str) -> None:
    with pytest.raises(CoscribeError) as error:
        public(f"ssh://git@{host}/a")
    assert error.value.code is Code.REMOTE_REFUSED
