"""Repository: what is done with git in one folder.

    folder/.git        GIT_DIR: HEAD, index, MERGE_HEAD; anybody in the workspace can write it
    private/           GIT_COMMON_DIR, which nobody else can write: a config of ours (`configuration`), and links to
                       objects, refs, packed-refs, logs, info, shallow of the other

So git reads no configuration but ours, whatever is written to the other one while it runs. Reading and committing use
commands that start no others: ``git status`` and ``git add`` would run git in nested repositories, with *their*
configuration, so these are left out of what they look at, and paths go straight into the index.

Whoever calls sees to it that nobody else writes to the files meanwhile, and that there is one command at a time.
"""

from __future__ import annotations

import os
import re
import stat as modes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.git.configuration import MAX_CONFIG, SETTINGS, Known, is_remote_name, known, refspec, shown, written
from coscribe.git.remotes import Remote, Secret, ssh_command, write_secret
from coscribe.git.runner import MAX_OUTPUT, NETWORK_SECONDS, SECONDS, Finished, run

Change = Literal["added", "changed", "deleted", "type changed", "untracked", "conflicted"]

MAX_COMMITS = 10_000
"""Commits that are looked through for a sequence."""

KEY, KNOWN_HOSTS = "key", "known_hosts"
"""Files that are there as long as git talks to a server by ssh."""

SEQUENCE = "Coscribe-Sequence"
"""The trailer that says up to which entry of whose log a commit has all."""

_SHARED = ("objects", "refs", "packed-refs", "logs", "info", "shallow")
_PLAIN = ("HEAD", "index", "config", *_SHARED)
_MERGING = ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "AUTO_MERGE", "SQUASH_MSG")
_LETTERS: Mapping[str, Change] = {"A": "added", "M": "changed", "D": "deleted", "T": "type changed"}
_CONFLICTS = {
    "DD": "deleted by both",
    "AU": "added by us",
    "UD": "deleted by them",
    "UA": "added by them",
    "DU": "deleted by us",
    "AA": "added by both",
    "UU": "changed by both",
}
_MARKER = re.compile(rb"^(?:<{7} |>{7} )", re.MULTILINE)
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORMAT = "%H%x1f%P%x1f%an%x1f%ae%x1f%at%x1f%s%x1f%(trailers:key=" + SEQUENCE + ",valueonly,separator=%x2c)"


class Person(NamedTuple):
    """An author, as git knows people."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Changed(NamedTuple):
    """A path that is not as it is in the last commit. ``conflict``: of which kind."""

    path: bytes
    change: Change
    conflict: str = ""


class State(NamedTuple):
    """``branch`` "": there is none, HEAD is a commit. ``head`` "": there is no commit yet. ``upstream``: as
    ``origin/main``; ``ahead``, ``behind``: None where that is not known."""

    branch: str
    head: str
    upstream: str
    ahead: int | None
    behind: int | None
    is_merging: bool
    changes: Sequence[Changed]
    remotes: Mapping[str, str]

    @property
    def conflicts(self) -> list[Changed]:
        return [each for each in self.changes if each.change == "conflicted"]

    @property
    def uncommitted(self) -> list[Changed]:
        """Of what git knows."""
        return [each for each in self.changes if each.change != "untracked"]


class Commit(NamedTuple):
    """``at``: seconds since 1970. ``sequence``: of which log, and how far; None: it was not made here."""

    commit_id: str
    parents: tuple[str, ...]
    author: Person
    at: int
    subject: str
    sequence: tuple[str, int] | None


class Branch(NamedTuple):
    """``remote`` "": one of our own. ``upstream``: as ``origin/main``."""

    name: str
    commit_id: str
    remote: str
    upstream: str
    is_current: bool


class Side(NamedTuple):
    """A file with a conflict as it is on one side; None: it is not there."""

    base: bytes | None
    ours: bytes | None
    theirs: bytes | None


def drop_secrets(folder: Path) -> None:
    """Removes what a process left behind that died while git talked to a server. ``folder``: that of all our own; there
    must be nobody who uses it. Raises OSError."""
    for name in (KEY, KNOWN_HOSTS):
        for path in folder.glob(f"*/{name}"):
            path.unlink(missing_ok=True)


class Repository:
    """``folder``: of the files; ``private``: for us alone. Made anew for each piece of work: see `open`."""

    def __init__(self, folder: Path, private: Path) -> None:
        self.folder = folder.absolute()  # git is started in other folders than we are
        self._private = private.absolute()
        self._git = self.folder / ".git"
        self._common = self._private / "common"
        self._known = Known((), {}, {})

    # ---- what there is

    async def open(self) -> None:
        """Errors: ``not_a_repository``, ``git_config_refused``."""
        self._private.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check()
        listed = await self._run("config", "--file", str(self._git / "config"), "--no-includes", "--null", "--list")
        if listed.code:
            raise CoscribeError(Code.GIT_CONFIG_REFUSED, f".git/config cannot be read: {shown(listed.complaint)}")
        self._known = known(listed.output)
        self._share()

    async def make(self, branch: str = "main") -> None:
        """An empty repository, unless there is one."""
        self._private.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self._git.exists() or self._git.is_symlink()):
            await self._done("init", "--quiet", "--template=", f"--initial-branch={branch}", str(self.folder))

    async def set_remote(self, name: str, url: str) -> None:
        """An address that was judged."""
        if not is_remote_name(name):
            raise CoscribeError(Code.INVALID_REQUEST, "a remote has a name of letters, digits, dots and dashes")
        await self._note(f"remote.{name}.url", url)
        await self._note(f"remote.{name}.fetch", refspec(name))

    async def state(self) -> State:
        result = await self._good(
            "status",
            "--porcelain=v2",
            "--branch",
            "-z",
            "--untracked-files=all",
            "--ignore-submodules=all",
            "--no-renames",
            more={"GIT_OPTIONAL_LOCKS": "0"},
        )
        branch, head, upstream, ahead, behind = "", "", "", None, None
        changes: list[Changed] = []
        for line in result.output.split(b"\0")[:-1]:
            if line.startswith(b"# branch."):
                what, _, value = line.removeprefix(b"# branch.").decode(errors="backslashreplace").partition(" ")
                if what == "oid" and value != "(initial)":
                    head = value
                elif what == "head" and value != "(detached)":
                    branch = value
                elif what == "upstream":
                    upstream = value
                elif what == "ab":
                    ahead, behind = (abs(int(number)) for number in value.split())
            else:
                changes.append(_changed(line))
        is_merging = (self._git / "MERGE_HEAD").exists()
        return State(branch, head, upstream, ahead, behind, is_merging, changes, self._known.remotes)

    async def log(self, rev: str, limit: int, skip: int = 0) -> list[Commit]:
        """The newest first. ``rev``: a branch or a commit. Errors: ``not_found``."""
        if not (await self.state()).head:
            return []
        commit_id = await self.resolve(rev)
        listed = await self._good(
            "log", "-z", "--no-show-signature", f"--format={_FORMAT}", f"-n{limit}", f"--skip={skip}", commit_id, "--"
        )
        return [_commit(line) for line in listed.output.split(b"\0") if line]

    async def marked(self, rev: str) -> list[Commit]:
        """Those that say up to which sequence they have all, the newest first."""
        if not (await self.state()).head:
            return []
        commit_id = await self.resolve(rev)
        listed = await self._good(
            "log", "-z", "--no-show-signature", f"--format={_FORMAT}", f"--grep=^{SEQUENCE}: ", f"-n{MAX_COMMITS}",
            commit_id, "--",
        )  # fmt: skip
        return [_commit(line) for line in listed.output.split(b"\0") if line]

    async def resolve(self, rev: str) -> str:
        """The id of the commit that a name stands for. Errors: ``not_found``."""
        if rev and not rev.startswith("-") and "\0" not in rev and "\n" not in rev:
            found = await self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
            commit_id = found.output.decode().strip()
            if found.code == 0 and _ID.fullmatch(commit_id):
                return commit_id
        raise CoscribeError(Code.NOT_FOUND, f"there is no branch and no commit {shown(rev)!r}")

    async def branches(self) -> list[Branch]:
        listed = await self._good(
            "for-each-ref",
            "--format=%(refname)%00%(objectname)%00%(upstream:short)%00%(HEAD)%00%(symref)",
            "refs/heads",
            "refs/remotes",
        )
        found: list[Branch] = []
        for line in listed.output.decode(errors="backslashreplace").splitlines():
            ref, commit_id, upstream, here, symbolic = line.split("\0")
            if symbolic:
                continue
            if ref.startswith("refs/heads/"):
                found.append(Branch(ref.removeprefix("refs/heads/"), commit_id, "", upstream, here == "*"))
            else:
                remote, _, name = ref.removeprefix("refs/remotes/").partition("/")
                found.append(Branch(name, commit_id, remote, "", is_current=False))
        return found

    async def since(self, workspace_id: str, paths: Iterable[bytes]) -> dict[bytes, int]:
        """For each path up to which sequence a commit has all that was done to it; 0: there is none."""
        left = set(paths)
        found = dict.fromkeys(left, 0)
        if not (await self.state()).head:
            return found
        listed = await self._good(
            "log", "-z", "--no-show-signature", "--name-only", "--no-renames", f"-n{MAX_COMMITS}",
            f"--format=%x1e%(trailers:key={SEQUENCE},valueonly,separator=%x2c)", f"--grep=^{SEQUENCE}: ", "HEAD", "--",
        )  # fmt: skip
        for record in listed.output.split(b"\x1e")[1:]:
            said, _, names = record.partition(b"\0")
            place = _sequence(said.decode(errors="replace"))
            if place is None or place[0] != workspace_id:
                continue
            for name in {each.strip(b"\n") for each in names.split(b"\0")} & left:
                found[name] = place[1]
                left.discard(name)
            if not left:
                break
        return found

    # ---- committing

    async def commit(self, paths: Sequence[bytes], message: str, author: Person, *, whole: bool) -> str:
        """Commits these paths as they are on the disk; returns the id. ``whole``: with all that is in the index, as the
        end of a merge asks for."""
        head = (await self.state()).head
        listed = b"".join(path + b"\0" for path in paths)
        index = {} if whole else {"GIT_INDEX_FILE": str(self._private / "index")}
        if not whole:
            await self._good("read-tree", *([head] if head else ["--empty"]), more=index)
        add = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        await self._good(*add, given=listed, more=index)
        tree = (await self._good("write-tree", more=index)).output.decode().strip()
        parents = [each for each in (head, *self._merged()) if each]
        if not whole and parents and tree == await self._tree(parents[0]):
            raise CoscribeError(Code.CONFLICT, "there is nothing to commit")
        named = [part for parent in parents for part in ("-p", parent)]
        made = await self._good("commit-tree", *named, "-F", "-", tree, given=message.encode(), more=_signed(author))
        commit_id = made.output.decode().strip()
        reason = f"commit: {message.partition(chr(10))[0][:100]}"
        await self._good(
            "update-ref", "-m", reason, "HEAD", commit_id, head or "0" * len(commit_id), more=_signed(author)
        )
        if not whole:
            await self._good(*add, given=listed)
            (self._private / "index").unlink(missing_ok=True)
        self._forget_merge()
        return commit_id

    def unsolved(self, state: State, solved: Iterable[bytes]) -> list[bytes]:
        """Of what has conflicts: where markers are left; and what has none to be left, and is not said to be solved."""
        said = set(solved)
        left: list[bytes] = []
        for each in state.conflicts:
            content = self._read(each.path)
            is_marked = (
                each.conflict in (_CONFLICTS["UU"], _CONFLICTS["AA"]) and content is not None and b"\0" not in content
            )
            if (is_marked and _MARKER.search(content or b"")) or (not is_marked and each.path not in said):
                left.append(each.path)
        return left

    async def sides(self, path: bytes) -> Side:
        """A file with a conflict. Errors: ``not_found``."""
        if path not in {each.path for each in (await self.state()).conflicts}:
            raise CoscribeError(Code.NOT_FOUND, "there is no conflict in that file")
        found: list[bytes | None] = []
        for stage in (1, 2, 3):
            shown_ = await self._run("cat-file", "blob", f":{stage}:{os.fsdecode(path)}")
            found.append(None if shown_.code else shown_.output)
        return Side(*found)

    # ---- branches

    async def make_branch(self, name: str, start: str) -> None:
        """Errors: ``invalid_request``, ``not_found``, ``conflict``."""
        await self._check_branch(name)
        if (await self._run("show-ref", "--verify", "--quiet", f"refs/heads/{name}")).code == 0:
            raise CoscribeError(Code.CONFLICT, f"there is a branch {shown(name)!r}")
        await self._good("branch", "--no-track", "--", name, await self.resolve(start))

    async def switch(self, name: str, author: Person) -> None:
        """To a branch, or to one of a remote that gets a branch of its own here. What is not committed is carried
        along. Errors: ``uncommitted_changes``: that cannot be; ``not_found``."""
        await self._check_branch(name)
        if (await self._run("show-ref", "--verify", "--quiet", f"refs/heads/{name}")).code:
            theirs = [each for each in await self.branches() if each.remote and each.name == name]
            if not theirs:
                raise CoscribeError(Code.NOT_FOUND, f"there is no branch {shown(name)!r}")
            await self._good("branch", "--no-track", "--", name, theirs[0].commit_id)
            await self.follow(name, theirs[0].remote, name)
        done = await self._run("switch", "--quiet", "--no-guess", "--no-recurse-submodules", name, more=_signed(author))
        _check_overwritten(done)
        _check_done(done)

    async def follow(self, branch: str, remote: str, theirs: str) -> None:
        """Makes a branch of a remote the upstream of one of ours."""
        await self._note(f"branch.{branch}.remote", remote)
        await self._note(f"branch.{branch}.merge", f"refs/heads/{theirs}")

    # ---- other servers

    def remote_of(self, state: State, name: str = "") -> tuple[str, str]:
        """The name and the address of a remote: the one that is named, the upstream's, or the only one there is. Nobody
        has judged the address. Errors: ``not_found``."""
        upstream = self._known.upstreams.get(state.branch)
        only = next(iter(self._known.remotes)) if len(self._known.remotes) == 1 else "origin"
        chosen = name or (upstream[0] if upstream else only)
        if chosen not in self._known.remotes:
            raise CoscribeError(Code.NOT_FOUND, f"there is no remote {shown(chosen)!r}: name its address with git/init")
        return chosen, self._known.remotes[chosen]

    async def fetch(self, name: str, remote: Remote, secret: Secret) -> None:
        """Errors: ``remote_refused``."""
        fetch = ("fetch", "--quiet", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head", "--", name)
        _check_remote(await self._talk(fetch, name, remote, secret))

    def upstream(self, state: State, name: str) -> str:
        """The branch of a remote that is merged by a pull, as a full name of git."""
        remote, theirs = self._known.upstreams.get(state.branch, (name, state.branch))
        if not theirs:
            raise CoscribeError(Code.INVALID_REQUEST, "HEAD is no branch: switch to one first")
        return f"refs/remotes/{remote if remote == name else name}/{theirs}"

    async def merge(self, ref: str, message: str, author: Person, *, only_forward: bool) -> list[Changed]:
        """Merges a branch; returns what has conflicts, with which it is not finished. Errors: ``not_found``,
        ``uncommitted_changes``; ``conflict``: it does not go forward only."""
        commit_id = await self.resolve(ref)
        way = "--ff-only" if only_forward else "--ff"
        done = await self._run(
            "merge", "--quiet", way, "--no-stat", "--no-edit", "--no-verify", "--no-gpg-sign", "--no-autostash",
            "--no-verify-signatures", "-m", message, commit_id, more=_signed(author),
        )  # fmt: skip
        state = await self.state()
        if done.code and state.conflicts:
            return state.conflicts
        _check_overwritten(done)
        if done.code and only_forward and b"fast-forward" in done.output + done.complaint.encode():
            raise CoscribeError(Code.CONFLICT, "both sides have commits of their own: pull with a merge")
        _check_done(done)
        return []

    async def abort(self) -> None:
        """Back to what was before the merge."""
        await self._good("merge", "--abort")
        self._forget_merge()

    async def push(self, name: str, remote: Remote, secret: Secret, branch: str, theirs: str) -> None:
        """Errors: ``push_rejected``, ``remote_refused``."""
        await self._check_branch(branch)
        await self._check_branch(theirs)
        push = ("push", "--porcelain", "--no-verify", "--no-recurse-submodules", "--no-signed", "--", name)
        done = await self._talk((*push, f"refs/heads/{branch}:refs/heads/{theirs}"), name, remote, secret)
        for line in done.output.decode(errors="replace").splitlines():
            if line.startswith("!"):
                why = shown(line.rpartition("\t")[2])
                raise CoscribeError(Code.PUSH_REJECTED, f"{shown(theirs)} of {name} was not changed: {why}")
        _check_remote(done)

    def followed(self, branch: str) -> tuple[str, str] | None:
        """The remote and the branch there that a branch follows."""
        return self._known.upstreams.get(branch)

    # ---- steps

    def _check(self) -> None:
        """Whether ``.git`` is a folder in which all is where it seems to be."""
        try:
            if not modes.S_ISDIR(self._git.lstat().st_mode) or not modes.S_ISREG(
                (self._git / "config").lstat().st_mode
            ):
                raise FileNotFoundError
        except OSError:
            raise CoscribeError(Code.NOT_A_REPOSITORY, "the workspace has no repository in .git") from None
        for name in _PLAIN:
            if (self._git / name).is_symlink():
                raise CoscribeError(Code.GIT_CONFIG_REFUSED, f".git/{name} is a link to elsewhere")
        for name in ("objects/info/alternates", "objects/info/http-alternates", "commondir"):
            if os.path.lexists(self._git / name):
                raise CoscribeError(Code.GIT_CONFIG_REFUSED, f".git/{name} leads to another repository")

    def _share(self) -> None:
        self._common.mkdir(exist_ok=True, mode=0o700)
        for name in _SHARED:
            link = self._common / name
            if not link.is_symlink():
                link.symlink_to(self._git / name)
        (self._git / "logs").mkdir(exist_ok=True)
        draft = self._common / "config.new"
        draft.write_text(written(self._known), encoding="utf-8", errors="surrogateescape")
        draft.replace(self._common / "config")

    def _read(self, path: bytes) -> bytes | None:
        """None: there is no file, or a link. No link is followed on the way either: what is outside is no conflict."""
        whole = os.path.join(os.fsencode(self.folder), path)
        if os.path.realpath(os.path.dirname(whole)) != os.path.realpath(os.fsencode(self.folder)) + (
            b"/" + os.path.dirname(path) if os.path.dirname(path) else b""
        ):
            return None
        try:
            handle = os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read(MAX_OUTPUT) if modes.S_ISREG(os.fstat(handle).st_mode) else None

    def _merged(self) -> list[str]:
        try:
            lines = (self._git / "MERGE_HEAD").read_text(encoding="ascii", errors="replace").split()
        except FileNotFoundError:
            return []
        return [line for line in lines if _ID.fullmatch(line)]

    def _forget_merge(self) -> None:
        for name in _MERGING:
            with suppress(FileNotFoundError):
                (self._git / name).unlink()

    async def _tree(self, commit_id: str) -> str:
        return (await self._good("rev-parse", "--verify", f"{commit_id}^{{tree}}")).output.decode().strip()

    async def _check_branch(self, name: str) -> None:
        is_good = bool(name) and len(name) <= 200 and name.isprintable() and not name.startswith("-")
        if not is_good or (await self._run("check-ref-format", f"refs/heads/{name}")).code:
            raise CoscribeError(Code.INVALID_REQUEST, f"{shown(name)!r} is no name of a branch")

    async def _note(self, key: str, value: str) -> None:
        """Writes to the repository's own configuration, for whoever uses git there."""
        await self._done("config", "--file", str(self._git / "config"), key, value)
        listed = await self._run("config", "--file", str(self._git / "config"), "--no-includes", "--null", "--list")
        self._known = known(listed.output)
        self._share()

    async def _talk(self, arguments: Sequence[str], name: str, remote: Remote, secret: Secret) -> Finished:
        """A command that talks to another server. A secret goes through a pipe, or is in a file of ours as long as it
        takes: never in an argument, the environment or the repository."""
        settings = {**remote.settings, f"remote.{name}.url": remote.url, f"protocol.{remote.protocol}.allow": "always"}
        more = {}
        handed: list[int] = []
        key, known_hosts = self._private / KEY, self._private / KNOWN_HOSTS
        try:
            if remote.protocol == "ssh":
                write_secret(key, secret.key)
                write_secret(known_hosts, secret.known_hosts)
                more["GIT_SSH_COMMAND"] = ssh_command(remote, key, known_hosts)
            elif secret.token:
                settings["credential.username"] = secret.user or "git"
                handed = [_piped(secret.token)]
                more |= {"GIT_ASKPASS": str(self._asking()), "COSCRIBE_SECRET": f"/dev/fd/{handed[0]}"}
            return await self._run(*arguments, more=more, settings=settings, handed=handed, seconds=NETWORK_SECONDS)
        finally:
            for each in handed:
                os.close(each)
            for file in (key, known_hosts):
                file.unlink(missing_ok=True)

    def _asking(self) -> Path:
        """The program that git asks for a password: it hands over what is in the pipe, once."""
        path = self._private / "askpass"
        if not path.exists():
            draft = self._private / "askpass.new"
            draft.write_text('#!/bin/sh\nexec cat "$COSCRIBE_SECRET"\n', encoding="ascii")
            draft.chmod(0o700)
            draft.replace(path)
        return path

    async def _done(self, *arguments: str) -> None:
        """A command that is about no repository, or about one that is named."""
        _check_done(await self._run(*arguments))

    async def _good(self, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None) -> Finished:
        finished = await self._run(*arguments, given=given, more=more)
        _check_done(finished)
        return finished

    async def _run(
        self,
        *arguments: str,
        given: bytes = b"",
        more: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        handed: Sequence[int] = (),
        seconds: float = SECONDS,
    ) -> Finished:
        alone = arguments[0] in ("init", "config", "check-ref-format")
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._private),
            "LC_ALL": "C.UTF-8",
            "GIT_CEILING_DIRECTORIES": str(self._private.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_EDITOR": "false",
            "GIT_PAGER": "cat",
            "GIT_SSH_COMMAND": "false",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_MERGE_AUTOEDIT": "no",
            **_numbered({**SETTINGS, **(settings or {})}),
        }
        if not alone:
            environment |= {
                "GIT_DIR": str(self._git),
                "GIT_COMMON_DIR": str(self._common),
                "GIT_WORK_TREE": str(self.folder),
            }
        return await run(
            arguments,
            folder=self._private if alone else self.folder,
            environment=environment | dict(more or {}),
            given=given,
            seconds=seconds,
            most=MAX_CONFIG if arguments[0] == "config" else MAX_OUTPUT,
            handed=handed,
        )


def _numbered(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as git takes them from its environment, where they beat every file."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _piped(secret: str) -> int:
    """The end to be read of a pipe with a secret in it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.write(writing, secret.encode() + b"\n")
    os.close(writing)
    return reading


def _signed(author: Person) -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": author.name,
        "GIT_COMMITTER_EMAIL": author.email,
    }


def _changed(line: bytes) -> Changed:
    """A line of ``git status --porcelain=v2``."""
    kind = line[:1]
    if kind == b"?":
        return Changed(line[2:], "untracked")
    letters = line[2:4].decode()
    if kind == b"u":
        return Changed(line.split(b" ", 10)[10], "conflicted", _CONFLICTS.get(letters, "changed by both"))
    letter = letters[1] if letters[1] != "." else letters[0]
    return Changed(line.split(b" ", 8)[8], _LETTERS.get(letter, "changed"))


def _commit(line: bytes) -> Commit:
    commit_id, parents, name, email, at, subject, said = line.decode(errors="replace").split("\x1f", 6)
    return Commit(commit_id, tuple(parents.split()), Person(name, email), int(at), subject, _sequence(said))


def _sequence(said: str) -> tuple[str, int] | None:
    """What the trailer says; of several the last."""
    workspace_id, _, number = said.strip().rpartition(",")[2].strip().partition(" ")
    return (workspace_id, int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _check_done(finished: Finished) -> None:
    if finished.code:
        if "index.lock" in finished.complaint:
            raise CoscribeError(Code.OVERLOADED, "git is at work in the folder; try again in a moment")
        raise CoscribeError(Code.GIT_FAILED, _last(finished.complaint))


def _check_overwritten(finished: Finished) -> None:
    """Git names what it would have to overwrite, a path a line behind a tab or blanks."""
    if finished.code and "would be overwritten" in finished.complaint:
        paths = [line.strip() for line in finished.complaint.splitlines() if line.startswith(("\t", "  "))]
        listed = ", ".join(shown(path) for path in paths[:10]) + (", ..." if len(paths) > 10 else "")
        raise CoscribeError(Code.UNCOMMITTED_CHANGES, f"these have changes that are not committed: {listed}")


def _check_remote(finished: Finished) -> None:
    if finished.code:
        raise CoscribeError(Code.REMOTE_REFUSED, _last(finished.complaint))


def _last(complaint: str) -> str:
    """What git said, for people: the lines that say what is wrong."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))] or lines
    return shown(" ".join(told[:3])) or "it ended without a word"
