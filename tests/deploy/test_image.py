"""The image: what is in it is locked, it is built from few files, and runs as nobody on a root it cannot write to."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import tomllib
import uuid
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.docker import ROOT, built, docker, unavailable

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCKS = [ROOT / "deploy" / name for name in ("requirements.lock", "build.lock")]


def pins(lock: Path) -> set[str]:
    """`name==version` and where it is meant for, of each package in a lock file."""
    return {line.removesuffix(" \\") for line in lock.read_text().splitlines() if re.match(r"[a-z]", line)}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_the_image_has_the_versions_that_the_tests_ran_with(lock: Path) -> None:
    tested = {pin.partition(" ;")[0] for pin in pins(ROOT / "requirements.lock")}
    assert {pin.partition(" ;")[0] for pin in pins(lock)} - tested == set(), "make lock"


def test_the_image_has_all_that_a_cluster_and_traces_take() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = names([*project["project"]["dependencies"], *extras["cluster"], *extras["tracing"]])
    assert asked - names([pin.partition("==")[0] for pin in pins(LOCKS[0])]) == set(), "make lock"
    assert (
        names(project["dependency-groups"]["build"]) - names([pin.partition("==")[0] for pin in pins(LOCKS[1])])
        == set()
    )


@pytest.mark.parametrize("name", ["Dockerfile", "tests/deploy/standins/Dockerfile"])
def test_dockerfiles_are_as_their_linter_would_have_them(name: str) -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("there is no hadolint for this platform")
    result = subprocess.run(["hadolint", name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_all_from_a_registry_is_installed_by_hash() -> None:
    """One for what runs and one for what builds; the wheel itself comes from the stage before."""
    installed = re.findall(r"pip install (.*)", DOCKERFILE)
    assert len(installed) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installed)


def test_the_image_is_made_from_what_is_let_in() -> None:
    """Everything is kept out but what the Dockerfile copies: no data, no history, nothing that was built here."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    copied = [source for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M) for source in line.split()[:-1]]
    assert [one for one in copied if not (ROOT / one).exists()] == []
    for one in copied:
        assert any(fnmatch(one, rule) or one.startswith(f"{rule}/") for rule in let_in), one


def test_it_runs_as_nobody() -> None:
    """By number: Kubernetes cannot tell of a name that it is not root."""
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.M) == ["10001:10001"]
    assert "HEALTHCHECK" in DOCKERFILE
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


@pytest.fixture
def container() -> Iterator[str]:
    """A server from the image, with everything taken away that it can do without."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    name = f"coscribe-{uuid.uuid4().hex[:12]}"
    without = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    docker("run", "--detach", "--name", name, "--network", "none", *without, "--volume", f"{name}:/data", built())
    yield name
    docker("rm", "--force", "--volumes", name)
    docker("volume", "rm", "--force", name)


def health(container: str) -> str:
    """What its own check says, once it says anything."""
    for _ in range(600):
        state = docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", container).strip()
        if state != "running starting":
            return state
        time.sleep(0.1)
    return "still starting"


@pytest.mark.slow
def test_the_image_serves_and_ends(container: str) -> None:
    assert health(container) == "running healthy", docker("logs", container)
    said = docker("exec", container, "coscribe", "doctor", "--server", "http://127.0.0.1:8777")
    assert re.search(r"^ok +core +compiled$", said, re.M), said
    assert re.search(r"^ok +web editor +built$", said, re.M), said
    assert docker("exec", container, "id", "-u").strip() == "10001"
    docker("stop", "--time", "30", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
