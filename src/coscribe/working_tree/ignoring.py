"""Ignores: which paths never become part of the workspace, by the rules of git.

``.git`` itself, what the ``.gitignore`` of a folder on the way says, and ``.git/info/exclude``. It counts for what is
not part of the workspace yet; what is stays, whatever the rules say by now.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from coscribe.working_tree.disk import Disk, Gone, Names, Signature, Unsteady

RULES = b".gitignore"
GIT = b".git"

MAX_RULES = 1_000_000
"""Bytes of a file of rules; what follows is not looked at."""


class _Rules(NamedTuple):
    signature: Signature
    spec: GitIgnoreSpec


class Ignores:
    """Of one tree; reads the rules again where they have changed since `look_again` was called before."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._known: dict[Names, _Rules] = {}
        self._asked_now: dict[Names, GitIgnoreSpec | None] = {}

    def look_again(self) -> None:
        """From now on the rules are what they are by now."""
        self._asked_now.clear()

    def ignores(self, path: Names, *, is_folder: bool) -> bool:
        """Whether a path is ignored, of which no folder above is."""
        if path[-1] == GIT:
            return True
        answer = self._asked((GIT, b"info", b"exclude"), path, is_folder)
        for depth in range(len(path)):
            answer = self._asked((*path[:depth], RULES), path[depth:], is_folder, answer)
        return answer

    def _asked(self, rules: Names, path: Names, is_folder: bool, before: bool = False) -> bool:
        spec = self._spec(rules)
        if spec is None:
            return before
        said = spec.check_file(os.fsdecode(b"/".join(path)) + ("/" if is_folder else "")).include
        return before if said is None else said

    def _spec(self, rules: Names) -> GitIgnoreSpec | None:
        if rules not in self._asked_now:
            self._asked_now[rules] = self._read(rules)
        return self._asked_now[rules]

    def _read(self, rules: Names) -> GitIgnoreSpec | None:
        seen = self._disk.look(rules)
        if seen is None or seen.kind != "file":
            self._known.pop(rules, None)
            return None
        known = self._known.get(rules)
        if known is None or known.signature != seen.signature:
            try:
                content, seen = self._disk.read(rules, MAX_RULES)
            except (Gone, Unsteady):
                return None
            known = self._known[rules] = _Rules(seen.signature, _spec_of(os.fsdecode(content).split("\n")))
        return known.spec


def _spec_of(lines: list[str]) -> GitIgnoreSpec:
    """Lines that make no sense say nothing, as with git."""
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _makes_sense(line)])


def _makes_sense(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
