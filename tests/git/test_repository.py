"""Nothing in a folder decides what is run: repositories prepared by somebody who means harm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.git.remotes import Remote, Secret, ssh_command, write_secret
from coscribe.git.repository import KEY, KNOWN_HOSTS, Person, Repository, drop_secrets

ANN = Person("Ann", "ann@example.org")
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Bench:
    """A repository with two branches that differ, and a program that leaves a trace when it is run."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "files"
        self.folder.mkdir()
        self.trace = root / "trace"
        self.program = root / "program"
        self.program.write_text(f'#!/bin/sh\ntouch "{self.trace}"\ncat\n')
        self.program.chmod(0o755)
        self.shell("init", "-q", "-b", "main")
        (self.folder / "a").write_text("a\n")
        self.shell("add", "a")
        self.shell("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "one")
        self.repository = Repository(self.folder, root / "private")

    def shell(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, env=ENVIRONMENT, check=True)

    async def everything(self) -> None:
        """All that the platform does."""
        repository = self.repository
        await repository.open()
        (self.folder / "a").write_text("b\n")
        await repository.state()
        await repository.make_branch("two", "HEAD")
        await repository.commit([b"a"], "Two\n", ANN, whole=False)
        await repository.switch("two", ANN)
        await repository.log("HEAD", 10)
        await repository.branches()
        await repository.since("wsp", [b"a"])
        (self.folder / "a").write_text("c\n")
        await repository.commit([b"a"], "Three\n", ANN, whole=False)
        conflicts = await repository.merge("main", "Merge", ANN, only_forward=False)
        assert [each.path for each in conflicts] == [b"a"]
        await repository.sides(b"a")
        await repository.abort()
        with pytest.raises(CoscribeError):
            await repository.push("origin", Remote("/nowhere", "file", "local"), Secret(), "two", "two")
        with pytest.raises(CoscribeError):
            await repository.fetch("origin", Remote("/nowhere", "file", "local"), Secret())
        assert not self.trace.exists()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


RUNS = [
    "core.fsmonitor",
    "core.sshCommand",
    "core.editor",
    "core.pager",
    "core.askPass",
    "core.gitProxy",
    "core.alternateRefsCommand",
    "credential.helper",
    "diff.external",
    "diff.all.command",
    "diff.all.textconv",
    "merge.all.driver",
    "gpg.program",
    "gpg.ssh.program",
    "remote.origin.uploadpack",
    "remote.origin.receivepack",
    "remote.origin.vcs",
    "alias.status",
    "alias.commit-tree",
    "pager.log",
    "sequence.editor",
    "interactive.diffFilter",
    "uploadpack.packObjectsHook",
    "trailer.all.command",
]


async def test_what_its_configuration_names_is_not_run(bench: Bench) -> None:
    for key in RUNS:
        bench.shell("config", key, str(bench.program))
    for key in ("commit.gpgSign", "tag.gpgSign", "log.showSignature", "submodule.recurse", "fetch.recurseSubmodules"):
        bench.shell("config", key, "true")
    (bench.folder / ".gitattributes").write_text("* diff=all merge=all\n")
    bench.shell("config", "remote.origin.url", "/nowhere")
    await bench.everything()


async def test_hooks_are_not_run(bench: Bench) -> None:
    hooks = bench.folder / ".git/hooks"
    names = (
        "pre-commit prepare-commit-msg commit-msg post-commit post-checkout pre-merge-commit post-merge pre-push "
        "reference-transaction post-index-change pre-auto-gc fsmonitor-watchman post-rewrite"
    )
    for folder in (hooks, bench.folder / "other"):
        folder.mkdir(exist_ok=True)
        for name in names.split():
            (folder / name).write_text(bench.program.read_text())
            (folder / name).chmod(0o755)
    bench.shell("config", "core.hooksPath", "other")
    bench.shell("config", "remote.origin.url", "/nowhere")
    await bench.everything()


async def test_nested_repositories_are_left_alone(bench: Bench) -> None:
    """``git status`` and ``git add`` would run git in there, with the configuration that is there."""
    inner = bench.folder / "inner"
    inner.mkdir()
    for arguments in (
        ("init", "-q"),
        ("config", "core.fsmonitor", str(bench.program)),
        ("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "inner"),
    ):
        subprocess.run(["git", *arguments], cwd=inner, env=ENVIRONMENT, check=True)
    bench.shell("-c", "advice.addEmbeddedRepo=false", "add", "inner")
    (bench.folder / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = x\n\tignore = none\n')
    bench.shell("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "inner")
    assert bench.trace.exists(), "it does so when nothing is done about it"
    bench.trace.unlink()
    (inner / "new").write_text("x")
    bench.shell("config", "remote.origin.url", "/nowhere")
    bench.shell("config", "submodule.inner.active", "true")
    await bench.everything()


@pytest.mark.parametrize("key", ["filter.lfs.clean", "filter.x.process", "include.path", "extensions.partialClone"])
async def test_what_would_make_a_commit_another_one_is_refused_by_name(bench: Bench, key: str) -> None:
    bench.shell("config", key, str(bench.program) if key.startswith("filter") else "elsewhere")
    with pytest.raises(CoscribeError, match=key.lower()) as refused:
        await bench.repository.open()
    assert refused.value.code is Code.GIT_CONFIG_REFUSED
    assert not bench.trace.exists()


def _linked(name: str) -> Callable[[Path], None]:
    def prepare(git: Path) -> None:
        (git / name).rename(git.parent.parent / "elsewhere")
        (git / name).symlink_to(git.parent.parent / "elsewhere")

    return prepare


def _alternates(git: Path) -> None:
    (git / "objects/info").mkdir(exist_ok=True)
    (git / "objects/info/alternates").write_text("/somewhere/else/objects\n")


def _file(git: Path) -> None:
    git.rename(git.parent.parent / "elsewhere")
    git.write_text(f"gitdir: {git.parent.parent / 'elsewhere'}\n")


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (_linked("config"), Code.NOT_A_REPOSITORY),
        (_linked("HEAD"), Code.GIT_CONFIG_REFUSED),
        (_linked("objects"), Code.GIT_CONFIG_REFUSED),
        (_linked("refs"), Code.GIT_CONFIG_REFUSED),
        (_alternates, Code.GIT_CONFIG_REFUSED),
        (lambda git: (git / "commondir").write_text("/somewhere/else"), Code.GIT_CONFIG_REFUSED),
        (_file, Code.NOT_A_REPOSITORY),
        (lambda git: _linked(".git")(git.parent), Code.NOT_A_REPOSITORY),
    ],
)
async def test_what_leads_out_of_the_folder_is_refused(
    bench: Bench, prepare: Callable[[Path], object], code: Code
) -> None:
    prepare(bench.folder / ".git")
    with pytest.raises(CoscribeError) as refused:
        await bench.repository.open()
    assert refused.value.code is code


async def test_a_configuration_that_changes_meanwhile_is_not_read(bench: Bench) -> None:
    await bench.repository.open()
    bench.shell("config", "core.fsmonitor", str(bench.program))
    bench.shell("config", "filter.x.clean", str(bench.program))
    (bench.folder / ".gitattributes").write_text("* filter=x\n")
    (bench.folder / "a").write_text("b\n")
    await bench.repository.state()
    await bench.repository.commit([b"a"], "Two\n", ANN, whole=False)
    assert not bench.trace.exists()


async def test_names_of_any_kind_are_committed(bench: Bench) -> None:
    names = [b"-f", b":(top)x", b"a b", b"\xff\xfe", b"new\nline", "ä".encode(), b"*"]
    for name in names:
        with open(os.path.join(os.fsencode(bench.folder), name), "wb") as file:
            file.write(name)
    repository = bench.repository
    await repository.open()
    assert {each.path for each in (await repository.state()).changes} == set(names)
    await repository.commit(names, "All\n", ANN, whole=False)
    assert (await repository.state()).changes == []


async def test_what_git_is_told_of_somebody_elses_branch(bench: Bench) -> None:
    for rev in ("--output=x", "-h", "HEAD\n", "", "HEAD --", "x:y"):
        await bench.repository.open()
        with pytest.raises(CoscribeError) as refused:
            await bench.repository.log(rev, 1)
        assert refused.value.code is Code.NOT_FOUND


def test_ssh_is_told_everything() -> None:
    remote = Remote("ssh://git@git.example.org/a", "ssh", "git.example.org", address="198.51.100.7")
    command = ssh_command(remote, Path("/private/key"), Path("/private/known"))
    assert command.startswith("ssh -F /dev/null ")
    for setting in (
        "StrictHostKeyChecking=yes",
        "HostName=198.51.100.7",
        "HostKeyAlias=git.example.org",
        "UserKnownHostsFile=/private/known",
        "BatchMode=yes",
        "ProxyCommand=none",
    ):
        assert f"-o '{setting}'" in command


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    left = [
        write_secret(make(tmp_path / "git" / name) / file, "secret") for name in "ab" for file in (KEY, KNOWN_HOSTS)
    ]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in left)
    (tmp_path / "git/a/index").write_text("stays")
    drop_secrets(tmp_path / "git")
    assert [path.name for path in (tmp_path / "git").rglob("*") if path.is_file()] == ["index"]
    drop_secrets(tmp_path / "nothing was done yet")


async def test_a_secret_that_cannot_be_written_whole_is_not_left(bench: Bench) -> None:
    await bench.repository.open()
    remote = Remote("ssh://git@git.example.org/a", "ssh", "git.example.org", address="198.51.100.7")
    with pytest.raises(UnicodeEncodeError):
        await bench.repository.fetch("origin", remote, Secret(key="secret", known_hosts="\ud800"))
    assert [path for name in (KEY, KNOWN_HOSTS) for path in bench.folder.parent.rglob(name)] == []


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def test_folders_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are by default, where a server is started in the folder of its data."""
    monkeypatch.chdir(tmp_path)
    Path("files").mkdir()
    repository = Repository(Path("files"), Path("private"))
    await repository.make()
    await repository.open()
    Path("files", "a").write_text("a\n")
    await repository.commit([b"a"], "One\n", ANN, whole=False)
    assert (tmp_path / "files" / ".git" / "HEAD").is_file()
    assert [each.subject for each in await repository.log("HEAD", 10)] == ["One"]
