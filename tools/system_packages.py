"""Installs what the tests need from the system rather than from PyPI, where that can be done unasked.

    python tools/system_packages.py

Silent if nothing is missing. Otherwise, as root on Debian or Ubuntu, it installs; elsewhere it names what is
missing and what will be skipped for want of it. It always exits with 0: the tests themselves skip, saying why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import NamedTuple


class Requirement(NamedTuple):
    commands: tuple[str, ...]
    """Any one of these on the PATH will do."""
    packages: tuple[str, ...]
    """Debian's names."""
    purpose: str
    """What is skipped without it."""


PACKAGES = (
    Requirement(("cc", "gcc"), ("gcc", "libc6-dev"), "the power-loss tests (tests/power_loss), which compile a shim"),
    Requirement(("sshd", "/usr/sbin/sshd"), ("openssh-server",), "the tests of git by ssh (tests/git/test_ssh.py)"),
    Requirement(("nft", "/usr/sbin/nft"), ("nftables", "iproute2"), "what cuts networks in the trial of a cluster"),
    Requirement(("chromium", "chromium-browser"), ("chromium",), "the tests in a browser (tests/browser)"),
)


def main() -> None:
    missing = absent(PACKAGES)
    if missing and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        install([package for requirement in missing for package in requirement.packages])
    for requirement in absent(missing):
        commands, packages = " or ".join(requirement.commands), " ".join(requirement.packages)
        print(
            f"Not found: {commands}. Skipped without it: {requirement.purpose}. "
            f"On Debian or Ubuntu: sudo apt-get install --no-install-recommends {packages}",
            file=sys.stderr,
        )


def absent(requirements: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    return tuple(item for item in requirements if not any(map(shutil.which, item.commands)))


def install(packages: list[str]) -> None:
    """Tries to; a failure (no network, say) shows in apt-get's own messages and in what is absent afterwards."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    print(f"Installing {' '.join(packages)} ...", file=sys.stderr)
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        if subprocess.run(["apt-get", *arguments], env=environment, check=False).returncode != 0:
            return


if __name__ == "__main__":
    main()
