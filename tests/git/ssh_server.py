"""A real sshd on loopback, for whoever is named, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from coscribe.git.remotes import AddressPolicy
from tests.e2e.server_process import free_port
from tests.git.test_cloning import git

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

needs_sshd = pytest.mark.skipif(SSHD is None, reason="no sshd: install openssh-server (tools/system_packages.py)")

LOOPBACK = AddressPolicy(frozenset(("ssh",)), lambda ip: ip.is_loopback, lambda _, __: ["127.0.0.1"])
"""Loopback under any name, for tests alone."""


class SshServer(NamedTuple):
    """``key``: a private key that it takes; ``public``: its own key, as a line says it."""

    folder: Path
    port: int
    key: str
    public: str

    def url(self, path: Path, host: str = "git.example") -> str:
        return f"ssh://{getpass.getuser()}@{host}:{self.port}{path}"

    def known_hosts(self, host: str = "git.example") -> str:
        return f"{host} {self.public}"


def make_repository(work: Path) -> None:
    """With a file ``plan`` in one commit."""
    work.mkdir(parents=True)
    (work / "plan").write_text("a plan\n")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")


def make_key(path: Path) -> str:
    """Its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, "-C", ""], check=True)
    return path.with_suffix(".pub").read_text().strip()


@contextmanager
def ssh_server(folder: Path, *, port: int = 0) -> Iterator[SshServer]:
    assert SSHD is not None
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)
    public = make_key(folder / "host")
    (folder / "authorized").write_text(make_key(folder / "person"))
    port = port or free_port()
    config = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=said, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while b"listening" not in (folder / "said").read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, (folder / "said").read_text()
            time.sleep(0.02)
        yield SshServer(folder, port, (folder / "person").read_text(), public)
    finally:
        process.terminate()
        process.wait()
