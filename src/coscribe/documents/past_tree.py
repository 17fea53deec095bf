"""The past of a workspace with a tree, as it is in storage: the tree at a sequence, and the texts of its files.

    beginning ............ wanted ................... snapshots .... present
              play forwards ->   <- take back, for every entry knows what was before it

A tree is taken back from the present one. A text is wound from whichever of its kept snapshots is nearest. What lies
so far back that the beginning of the log (or its checkpoint) is nearer is played from there. Many texts are wound in
one pass over the log, all together: a log knows moments, not files, and to go through it once for each of ten thousand
files would take a day. Only as many are in memory at a time as fit `MAX_TEXTS`; of the others the next pass takes care.

Nothing here knows who asks: see `workspace_past`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import changes
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import Effect, Tree
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.past import PAGE, TextAt, components_of, good_content, redo, take_back, text_at
from coscribe.documents.ports import Latest, OpLog, SnapshotRepo
from coscribe.model import LogEntry, content_hash, decode_effect, file_key, is_of_tree

MAX_TEXTS = 32_000_000
"""Code points of the texts that are wound together. They may get longer on the way: at twice this some wait."""

MAX_TOGETHER = 5_000
"""Texts that are wound together."""

READ_TOGETHER = 500
"""Snapshots that are read at once, `READ_BYTES` of them. Texts that need no winding are not held for longer either."""

READ_BYTES = 8_000_000

TREE_PAGE = 2_000
"""Sequences that are gone over at a time where only the tree's entries are looked for."""


class _Base(NamedTuple):
    """A text that a file had at ``sequence``, from which another is reached. Nothing of the file lies between
    ``sequence`` and ``start``."""

    text: str
    version: int
    sequence: int
    start: int


class _Winding:
    """A text on its way."""

    __slots__ = ("base", "text", "version")

    def __init__(self, base: _Base) -> None:
        self.base = base
        self.text = TextBuffer(base.text)
        self.version = base.version

    def forwards(self, row: LogEntry) -> None:
        if row.sequence <= self.base.sequence:
            return
        parts = components_of(row)
        if row.version != self.version + changes(parts):
            raise _torn(row)
        redo(self.text, parts, row.sequence)
        self.version = row.version

    def backwards(self, row: LogEntry) -> None:
        if row.sequence > self.base.sequence:
            return
        parts = components_of(row)
        if row.version != self.version:
            raise _torn(row)
        take_back(self.text, parts, row.sequence)
        self.version = row.version - changes(parts)


class PastTree:
    """One workspace in storage, up to the sequence ``present``, which is durable. All raise CoscribeError:
    ``history_pruned``, ``file_damaged``; and StorageError."""

    def __init__(self, op_log: OpLog, snapshots: SnapshotRepo, workspace_key: int, present: int) -> None:
        self._op_log = op_log
        self._snapshots = snapshots
        self._key = workspace_key
        self._present = present

    # ---- the tree

    async def tree(self, now: Tree, wanted: int) -> Tree:
        """The tree as it was. ``now``: as it is at present; it is used up."""
        oldest = (await self._op_log.pruned(self._key)).sequence
        self._check(wanted, oldest)
        if wanted - oldest < self._present - wanted:
            return await self._tree_forwards(now, wanted)
        through = self._present
        while through > wanted:
            after = max(wanted, through - TREE_PAGE)
            effects = await self.effects(after, through)
            await asyncio.to_thread(_take_back_all, now, effects)
            through = after
        return now

    async def _tree_forwards(self, now: Tree, wanted: int) -> Tree:
        checkpoint = await self._op_log.checkpoint(self._key)
        tree, after = Tree(folds_case=now.folds_case, limits=now.limits), 0
        if checkpoint is not None:
            after = checkpoint.sequence
            content = good_content(checkpoint.file(file_key(self._key, 0)))
            tree = Tree.decode(content.encode(), now.limits) if content else tree
        while after < wanted:
            through = min(wanted, after + TREE_PAGE)
            effects = await self.effects(after, through)
            await asyncio.to_thread(_take_in_all, tree, effects)
            after = through
        return tree

    async def effects(self, after: int, through: int) -> list[tuple[LogEntry, Effect]]:
        """What became of the tree with after < sequence <= through."""
        root = file_key(self._key, 0)
        rows = await self._op_log.read(self._key, after, through=through, limit=through - after, file_key=root)
        return await asyncio.to_thread(lambda: [(row, effect_of(row)) for row in rows])

    # ---- texts

    async def edited(self, after: int, through: int) -> set[int]:
        """The keys of the texts that are others at the sequence ``through``, or were in between."""
        found: set[int] = set()
        first: dict[int, int] = {}
        while after < through:
            rows = await self._op_log.read(self._key, after, through=through, limit=PAGE)
            if not rows:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks entries behind {after}")
            for row in rows:
                if row.file_key in found or is_of_tree(row.payload):
                    continue
                if first.setdefault(row.file_key, row.version) < row.version or changes(components_of(row)):
                    found.add(row.file_key)
            after = rows[-1].sequence
            await asyncio.sleep(0)
        return found

    async def text(self, key: int, wanted: int) -> TextAt:
        """The text that a file had; "" where there was none yet. It unpacks the file's own segments only."""
        beginning = await self._beginning(wanted)
        covered = await self._op_log.closed(self._key)  # before the snapshot: what is covered then is in it
        latest = await self._snapshots.latest([key], READ_BYTES)
        base = await self._base(key, wanted, beginning, latest[key], covered)
        if base.sequence > wanted:
            later = await self._op_log.read(self._key, wanted, through=base.sequence, limit=1, file_key=key)
            version = later[0].version - changes(components_of(later[0])) if later else base.version
            now = TextAt(base.text, base.version, base.sequence)
            if version < now.version:
                now = await text_at(self._op_log, self._key, key, now, (), version)
            return TextAt(now.text, now.version, wanted)
        winding, after = _Winding(base), base.start
        while rows := await self._op_log.read(self._key, after, through=wanted, limit=PAGE, file_key=key):
            await asyncio.to_thread(_wind_all, {key: winding}, rows, is_forwards=True)
            after = rows[-1].sequence
        return TextAt(str(winding.text), winding.version, wanted)

    async def texts(self, keys: Iterable[int], wanted: int) -> AsyncIterator[tuple[int, TextAt]]:
        """The texts of many files, each with its key, in the order in which they are asked for."""
        beginning = await self._beginning(wanted)
        covered = await self._op_log.closed(self._key)
        waiting = deque(keys)
        while waiting:
            group = await self._group(waiting, wanted, beginning, covered)
            await self._wind(group, wanted, waiting)
            for key, winding in group.items():
                yield key, TextAt(str(winding.text), winding.version, wanted)

    async def _group(
        self, waiting: deque[int], wanted: int, beginning: Checkpoint | None, covered: int
    ) -> dict[int, _Winding]:
        """The texts that the next pass takes care of, taken out of those that wait."""
        group: dict[int, _Winding] = {}
        latest: dict[int, Latest] = {}
        length, winds = 0, False
        while waiting and len(group) < (MAX_TOGETHER if winds else READ_TOGETHER):
            if waiting[0] not in latest:
                latest = await self._snapshots.latest([*islice(waiting, READ_TOGETHER)], READ_BYTES)
            base = await self._base(waiting[0], wanted, beginning, latest[waiting[0]], covered)
            length += len(base.text)
            winds |= base.sequence > wanted or base.start < wanted
            if group and length > MAX_TEXTS:
                break
            group[waiting.popleft()] = _Winding(base)
        return group

    async def _wind(self, group: dict[int, _Winding], wanted: int, waiting: deque[int]) -> None:
        """Brings all of a group to the wanted sequence; those for which the room does not suffice wait again."""
        after = min((each.base.start for each in group.values() if each.base.sequence < wanted), default=wanted)
        while after < wanted:
            rows = await self._op_log.read(self._key, after, through=wanted, limit=PAGE)
            if not rows:
                raise CoscribeError(Code.FILE_DAMAGED, f"the log lacks entries behind {after}")
            await asyncio.to_thread(_wind_all, group, rows, is_forwards=True)
            _make_room(group, waiting)
            after = rows[-1].sequence
        through = max((each.base.sequence for each in group.values()), default=wanted)
        while through > wanted:
            after = max(wanted, through - PAGE)
            rows = await self._op_log.read(self._key, after, through=through, limit=through - after)
            await asyncio.to_thread(_wind_all, group, rows[::-1], is_forwards=False)
            _make_room(group, waiting)
            through = after

    async def _base(self, key: int, wanted: int, beginning: Checkpoint | None, latest: Latest, covered: int) -> _Base:
        """What a text is wound from: the snapshot that is nearest, or the beginning of the log."""
        oldest = beginning.sequence if beginning is not None else 0
        found: _Base | None = None
        snapshot, skip = latest.snapshot, 0
        while snapshot is not None:
            skip += 1
            is_good = content_hash(snapshot.content) == snapshot.content_hash
            if is_good and (found is None or snapshot.sequence >= wanted):
                found = _Base(snapshot.content, snapshot.version, snapshot.sequence, snapshot.sequence)
            if found is not None and snapshot.sequence <= wanted:
                break
            snapshot = await self._snapshots.newest(key, skip=skip)
        if found is None or found.sequence - wanted > wanted - oldest:
            first = beginning.file(key) if beginning is not None else None
            begin = (good_content(first), first.version) if first is not None else ("", 0)
            found = _Base(*begin, oldest, oldest)
        if found.sequence >= wanted:
            return found
        # All that is covered is in the newest snapshot, if that is the one that was found.
        if latest.saved <= found.sequence:
            return found._replace(start=min(wanted, max(found.sequence, covered)))
        return found

    async def _beginning(self, wanted: int) -> Checkpoint | None:
        checkpoint = await self._op_log.checkpoint(self._key)
        self._check(wanted, checkpoint.sequence if checkpoint is not None else 0)
        return checkpoint

    def _check(self, wanted: int, oldest: int) -> None:
        """Errors: ``history_pruned``, ``base_version_future``."""
        if not 0 <= wanted <= self._present:
            raise CoscribeError(Code.BASE_VERSION_FUTURE, f"there is no sequence {wanted} yet")
        if wanted < oldest:
            raise CoscribeError(Code.HISTORY_PRUNED, f"sequence {wanted} was deleted; the history begins at {oldest}")


def effect_of(row: LogEntry) -> Effect:
    """What an entry of a tree did. Errors: ``file_damaged``."""
    try:
        return decode_effect(row.payload)[0]
    except ValueError as error:
        raise CoscribeError(Code.FILE_DAMAGED, f"sequence {row.sequence} cannot be read: {error}") from error


def _take_back_all(tree: Tree, effects: Sequence[tuple[LogEntry, Effect]]) -> None:
    for _, effect in reversed(effects):
        tree.take_back(effect)


def _take_in_all(tree: Tree, effects: Sequence[tuple[LogEntry, Effect]]) -> None:
    for _, effect in effects:
        tree.take_in(effect)


def _wind_all(group: dict[int, _Winding], rows: Sequence[LogEntry], *, is_forwards: bool) -> None:
    for row in rows:
        winding = group.get(row.file_key)
        if winding is not None:
            if is_forwards:
                winding.forwards(row)
            else:
                winding.backwards(row)


def _make_room(group: dict[int, _Winding], waiting: deque[int]) -> None:
    """Lets texts wait for the next pass, the last ones first, while all together have become too long."""
    length = sum(len(winding.text) for winding in group.values())
    while length > 2 * MAX_TEXTS and len(group) > 1:
        key, winding = group.popitem()
        length -= len(winding.text)
        waiting.appendleft(key)


def _torn(row: LogEntry) -> CoscribeError:
    return CoscribeError(Code.FILE_DAMAGED, f"the log lacks versions beside {row.version} at sequence {row.sequence}")
