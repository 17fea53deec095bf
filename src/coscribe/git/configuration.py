"""Configuration: what git is to know of a repository's own ``.git/config``, which anybody in the workspace can write.

Git runs programs that its configuration names (fsmonitor, hooks, filters, drivers, helpers, ssh, pagers), and reads
other files that it includes. A list of what is dangerous would never be whole. So git is not shown that file at all: it
is shown one of ours, with the few keys that say what the repository is and where its branches belong, and with settings
of ours that beat every file (`SETTINGS`).

    .git/config --git config --list--> keys --kept()--> the file that git reads

What only makes git run something has no effect, and says nothing. What would make a *commit* another one (a filter that
encrypts, a format that we do not know) is refused with its name: without it people would commit what they do not mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError

SETTINGS: Mapping[str, str] = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.alternateRefsCommand": "false",
    "core.askPass": "",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.bare": "false",
    "core.editor": "false",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.quotePath": "false",
    "core.sshCommand": "false",
    "core.untrackedCache": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "fetch.fsckObjects": "true",
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "gpg.program": "false",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "merge.conflictStyle": "merge",
    "merge.verifySignatures": "false",
    "protocol.allow": "never",
    "push.recurseSubmodules": "no",
    "rerere.enabled": "false",
    "submodule.recurse": "false",
    "tag.gpgSign": "false",
}

MAX_CONFIG = 1_000_000
"""Bytes of a configuration."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_KEPT = frozenset(("core.repositoryformatversion", "core.filemode", "core.ignorecase", "extensions.objectformat"))
_REFUSED = re.compile(r"filter\..*\.(clean|smudge|process|required)|include\.path|includeif\..*\.path", re.DOTALL)
_HARMLESS_EXTENSIONS = frozenset(("extensions.objectformat", "extensions.noop", "extensions.worktreeconfig"))


class Known(NamedTuple):
    """What is kept of a configuration. ``remotes``: addresses by name, which nobody has judged; ``upstreams``: by
    branch its remote and the branch there."""

    kept: Sequence[tuple[str, str]]
    remotes: Mapping[str, str]
    upstreams: Mapping[str, tuple[str, str]]


def known(listed: bytes) -> Known:
    """What is kept of what ``git config --list --null`` prints. Errors: ``git_config_refused``."""
    kept: list[tuple[str, str]] = []
    remotes: dict[str, str] = {}
    branches: dict[str, dict[str, str]] = {}
    for key, value in _pairs(listed):
        if _REFUSED.fullmatch(key) or (key.startswith("extensions.") and key not in _HARMLESS_EXTENSIONS):
            raise CoscribeError(
                Code.GIT_CONFIG_REFUSED,
                f"{shown(key)} in .git/config would make a commit another one; it is not obeyed",
            )
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if key in _KEPT:
            kept.append((key, value))
        elif section == "remote" and variable == "url" and _NAME.fullmatch(name):
            remotes[name] = value
        elif section == "branch" and variable in ("remote", "merge"):
            branches.setdefault(name, {})[variable] = value
    upstreams: dict[str, tuple[str, str]] = {}
    for name, of in branches.items():
        remote, merge = of.get("remote", ""), of.get("merge", "")
        if remote in remotes and merge.startswith("refs/heads/"):
            upstreams[name] = remote, merge.removeprefix("refs/heads/")
    return Known(kept, remotes, upstreams)


def written(what: Known) -> str:
    """The file that git reads. Addresses are not in it: each is judged when it is used."""
    lines: list[str] = []
    for key, value in what.kept:
        section, _, variable = key.partition(".")
        lines += [f"[{section}]", f"\t{variable} = {_quoted(value)}"]
    for name in what.remotes:
        lines += [f'[remote "{name}"]', f"\tfetch = {refspec(name)}"]
    for branch, (remote, merge) in what.upstreams.items():
        lines += [f"[branch {_quoted(branch)}]", f"\tremote = {remote}", f"\tmerge = {_quoted(f'refs/heads/{merge}')}"]
    return "\n".join([*lines, ""])


def refspec(remote: str) -> str:
    """Where the branches of a remote are kept. What the repository's own file says counts for nothing."""
    return f"+refs/heads/*:refs/remotes/{remote}/*"


def is_remote_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def shown(text: str) -> str:
    """For people: no control characters, and not too long."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def _pairs(listed: bytes) -> list[tuple[str, str]]:
    """Keys, of which section and variable are in lower case, and values; one without is true."""
    pairs: list[tuple[str, str]] = []
    for entry in listed.decode(errors="surrogateescape").split("\0")[:-1]:
        key, newline, value = entry.partition("\n")
        pairs.append((key, value if newline else "true"))
    return pairs


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
