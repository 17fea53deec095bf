"""Docker, where there is one: what the slow tests of the image and of the stack need."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = "coscribe:test"

BASE = os.environ.get("COSCRIBE_TEST_BASE_IMAGE", "")
"""What the image stands on where the usual one cannot be fetched: any with Python, pip, apt-get and git's packages."""


def docker(*arguments: str, seconds: float = 60, environment: Mapping[str, str] | None = None) -> str:
    """What a command of docker prints; fails with what it says."""
    result = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert result.returncode == 0, f"docker {' '.join(arguments)}\n{result.stdout[-2_000:]}\n{result.stderr[-4_000:]}"
    return result.stdout


@cache
def unavailable() -> str | None:
    """Why no image can be built here, fit for pytest.skip; None: it can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        return "docker does not answer"
    base = BASE or default_base()
    for command in (["docker", "image", "inspect", base], ["docker", "pull", "--quiet", base]):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return None
    return f"{base} cannot be fetched; COSCRIBE_TEST_BASE_IMAGE names another one"


def default_base() -> str:
    """The image that the Dockerfile stands on."""
    (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ARG BASE_IMAGE=")]
    return line.partition("=")[2]


@cache
def built() -> str:
    """The image of this checkout."""
    docker("build", "--quiet", "--network", "host", *on_base(), "--tag", IMAGE, ".", seconds=1_800)
    return IMAGE


def on_base() -> list[str]:
    return ["--build-arg", f"BASE_IMAGE={BASE}"] if BASE else []


@cache
def stand_in(target: str) -> str:
    """What takes the place of an image that cannot be fetched: the same program from PyPI."""
    tag = f"coscribe-standin-{target}"
    file = ["--file", "tests/deploy/standins/Dockerfile", "--target", target]
    docker("build", "--quiet", "--network", "host", *on_base(), *file, "--tag", tag, ".", seconds=1_800)
    return tag
