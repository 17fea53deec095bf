"""Searching: which files of a workspace have something in their name or their text, and where.

    tree as one may see it --globs--> paths, in order --a group at a time--> texts --in a thread--> places

It is a page of what there is: it ends after so many places, so much text or so much time, and says behind which path
the next one begins. There is no index to be kept, and to be cleaned when something is redacted: the texts themselves
are read, from their snapshots and what the log has behind those.

An expression of a stranger can take longer than the universe has. So it is run by a library that looks at the clock and
lets go of the interpreter meanwhile; one that takes too long on one text is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

import pathspec
import regex

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Tree
from coscribe.documents.collaboration import Collaboration, Present
from coscribe.documents.past_tree import PastTree
from coscribe.documents.paths import view
from coscribe.documents.ports import Identity, OpLog, SnapshotRepo
from coscribe.metrics import metrics

MAX_PLACES = 1_000
"""Places of one page, `MAX_IN_FILE` of them in one file."""

MAX_IN_FILE = 100

MAX_TEXT = 64_000_000
"""Code points that one page looks through."""

MAX_SECONDS = 2.0
"""Time of one page, and of an expression on one text."""

GROUP = 200
"""Files that are read together."""

AT_ONCE = 2
MAX_WAITING = 16
"""Pages that may be worked on or waited for at a time, `AT_ONCE` of them worked on."""

BEFORE, WITHIN, AFTER = 60, 200, 100
"""Code points of a line that are shown before a place, of it, and behind it."""


Cut = Literal["places", "text", "time"]
"""Why a page ends."""


Fits = Callable[[str], bool]


class Search(NamedTuple):
    """What is looked for. ``globs``: as in a ``.gitignore``; none: every file. ``after``: files behind this path."""

    text: str
    is_regex: bool = False
    keeps_case: bool = False
    is_word: bool = False
    globs: tuple[str, ...] = ()
    after: str = ""


class FoundPlace(NamedTuple):
    """``line`` from 1, ``column`` from 0 and ``length`` in code points; the line before it, it, and behind it."""

    line: int
    column: int
    length: int
    before: str
    text: str
    behind: str


class FoundFile(NamedTuple):
    """``in_name``: its name fits as well, or alone. ``has_more``: there are more places than are told."""

    file_id: str
    path: str
    in_name: bool
    places: Sequence[FoundPlace]
    has_more: bool


class Found(NamedTuple):
    """A page. ``next_after`` None: that is all; else what to ask for next, and ``cut`` says why this page ends."""

    files: Sequence[FoundFile]
    looked_at: int
    sequence: int
    next_after: str | None = None
    cut: Cut | None = None


class _File(NamedTuple):
    file_id: str
    path: str
    is_text: bool


class Searching:
    """``now`` gives monotonic seconds."""

    def __init__(
        self, collaboration: Collaboration, op_log: OpLog, snapshots: SnapshotRepo, now: Callable[[], float]
    ) -> None:
        self._collaboration = collaboration
        self._op_log = op_log
        self._snapshots = snapshots
        self._now = now
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def search(self, identity: Identity, workspace_id: str, search: Search) -> Found:
        """A page of what somebody may read. Errors: ``invalid_request``: that is no expression, or takes too long;
        ``overloaded``; those of `Collaboration.present`."""
        pattern, fits = expression_of(search), globs_of(search)
        async with self._turn():
            return await self._page(identity, workspace_id, search.after, pattern, fits)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, "much is being searched just now")
        self._waiting += 1
        metrics.searches.set(self._waiting)
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1
            metrics.searches.set(self._waiting)

    async def _page(
        self, identity: Identity, workspace_id: str, after: str, pattern: regex.Pattern[str], fits: Fits
    ) -> Found:
        until = self._now() + MAX_SECONDS
        present = await self._collaboration.present(identity, workspace_id, with_nodes=True)
        files = await asyncio.to_thread(_files, present, after, fits)
        keys = await self._op_log.keys(present.workspace_key)
        reader = PastTree(self._op_log, self._snapshots, present.workspace_key, present.sequence)
        page = _Page(pattern, present.sequence, lambda: self._now() - until)
        for begin in range(0, len(files), GROUP):
            group = files[begin : begin + GROUP]
            wanted = [keys[file.file_id] for file in group if file.is_text]
            texts = {key: at.text async for key, at in reader.texts(wanted, present.sequence)}
            work = [(file, texts.get(keys[file.file_id], "") if file.is_text else "") for file in group]
            ended = await asyncio.to_thread(page.look_through, work)
            if ended is not None and ended is not files[-1]:
                return page.found(ended.path)
        return page.found(None)


class _Page:
    """What was found until now. ``over``: seconds by which the time is over; negative: that are left."""

    def __init__(self, pattern: regex.Pattern[str], sequence: int, over: Callable[[], float]) -> None:
        self._pattern = pattern
        self._sequence = sequence
        self._over = over
        self._files: list[FoundFile] = []
        self._places = 0
        self._length = 0
        self._looked_at = 0
        self._cut: Cut | None = None

    def found(self, next_after: str | None) -> Found:
        cut = None if next_after is None else self._cut
        return Found(self._files, self._looked_at, self._sequence, next_after, cut)

    def look_through(self, group: Sequence[tuple[_File, str]]) -> _File | None:
        """The file after which the page is full; None: it is not. Errors: ``invalid_request``."""
        for file, text in group:
            try:
                found = _look(self._pattern, file, text)
            except TimeoutError:
                detail = f"the expression takes too long on {file.path!r}"
                raise CoscribeError(Code.INVALID_REQUEST, detail, file_id=file.file_id) from None
            self._looked_at += 1
            self._length += len(text)
            if found is not None:
                self._files.append(found)
                self._places += 1 + len(found.places)
            self._cut = self._why_cut()
            if self._cut is not None:
                return file
        return None

    def _why_cut(self) -> Cut | None:
        if self._places >= MAX_PLACES:
            return "places"
        if self._length >= MAX_TEXT:
            return "text"
        return "time" if self._over() >= 0 else None


def expression_of(search: Search) -> regex.Pattern[str]:
    """Errors: ``invalid_request``."""
    pattern = search.text if search.is_regex else regex.escape(search.text)
    if search.is_word:
        pattern = rf"\b(?:{pattern})\b"
    flags = regex.MULTILINE if search.keeps_case else regex.MULTILINE | regex.IGNORECASE
    try:
        return regex.compile(pattern, flags)
    except (regex.error, OverflowError, RecursionError) as error:
        raise CoscribeError(Code.INVALID_REQUEST, f"that is no regular expression: {error}") from None


def globs_of(search: Search) -> Fits:
    """Whether a path is to be looked at. Errors: ``invalid_request``."""
    if not search.globs:
        return lambda _: True
    try:
        return pathspec.GitIgnoreSpec.from_lines(search.globs).match_file
    except ValueError as error:
        raise CoscribeError(Code.INVALID_REQUEST, f"that is no pattern of paths: {error}") from None


def _files(present: Present, after: str, fits: Fits) -> list[_File]:
    """Those that are to be looked at, by path: live ones that may be read."""
    tree = Tree.of(present.nodes, folds_case=present.folds_case)
    paths: dict[str, str] = {ROOT: ""}
    found: list[_File] = []
    for file_id, state in view(tree, present.rights):
        if state.trashed or state.parent_id not in paths:
            continue
        path = f"{paths[state.parent_id]}/{state.name}" if state.parent_id != ROOT else state.name
        if state.kind == "directory":
            paths[file_id] = path
        elif path > after and fits(path):
            found.append(_File(file_id, path, state.kind == "text"))
    return sorted(found, key=lambda file: file.path)


def _look(pattern: regex.Pattern[str], file: _File, text: str) -> FoundFile | None:
    """None: there is nothing. Errors: TimeoutError."""
    name = file.path.rpartition("/")[2]
    in_name = pattern.search(name, timeout=MAX_SECONDS, concurrent=True) is not None
    places: list[FoundPlace] = []
    for place in _places(pattern, text):
        if len(places) == MAX_IN_FILE:
            return FoundFile(file.file_id, file.path, in_name, places, True)
        places.append(place)
    return FoundFile(file.file_id, file.path, in_name, places, False) if in_name or places else None


def _places(pattern: regex.Pattern[str], text: str) -> Iterator[FoundPlace]:
    """Each within the line that it begins in; what fits nothing at all is no place."""
    line, begin, end = 1, 0, text.find("\n")
    for match in pattern.finditer(text, timeout=MAX_SECONDS, concurrent=True):
        if match.start() == match.end():
            continue
        while 0 <= end < match.start():
            line, begin = line + 1, end + 1
            end = text.find("\n", begin)
        line_end = len(text) if end < 0 else end
        to = min(match.end(), line_end)
        yield FoundPlace(
            line,
            match.start() - begin,
            to - match.start(),
            text[max(begin, match.start() - BEFORE) : match.start()],
            text[match.start() : min(to, match.start() + WITHIN)],
            text[to : min(line_end, to + AFTER)],
        )
