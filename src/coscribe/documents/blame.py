"""Blame: who wrote what of a text, found by playing its log forwards and keeping for every piece who put it there.

    text        |the quick |brown |fox|            pieces, left to right: (length, version that wrote it)
    pieces      | 10, v3   | 6, v7| 3, v3|
    ledger      version -> author, time

An operation cuts the pieces it touches and puts a new one in; what was read once is kept, so that a later version
costs what came since. Nothing of the text itself is needed, or kept. A piece that comes back, by undoing a delete or
by restoring a version, is by whoever brought it back: the log knows it as theirs.

Pieces are kept in blocks, as `TextBuffer` keeps text in chunks: an operation looks at a few dozen pieces.
"""

from __future__ import annotations

import zlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import Delete, reach
from coscribe.documents.past import decoded
from coscribe.model import LogEntry

PAUSE = 300_000_000
"""Microseconds: what one author writes with shorter pauses belongs together."""

BLOCK = 64
"""Pieces in a block; a fuller one is halved."""

MAX_PIECES = 2_000_000
"""Pieces that are kept in all (about 100 bytes each), and of versions of one file `MAX_VERSIONS`."""

MAX_VERSIONS = 4
MAX_LEDGERS = 64
"""Files whose versions' authors and times are kept (16 bytes a version)."""

Piece = tuple[int, int]

Kind = Literal["human", "agent", "disk", "paste"]
"""What wrote something: a person by typing, or by pasting, a bot with a token, a program on a working tree."""

DISK_AUTHOR = "disk"
"""Who signs what programs have written to a working tree."""


class Run(NamedTuple):
    """``length`` code points by one author; ``version`` and ``at`` (microseconds) of the newest operation in it.
    ``is_pasted``: as they have said."""

    length: int
    author_ref: int
    version: int
    at: int
    is_pasted: bool = False

    def kind(self, author: str) -> Kind:
        """``author``: who it is by, as the log names them. What a bot or a program says of its text makes it none of a
        person's."""
        if author == DISK_AUTHOR:
            return "disk"
        if "+" in author:
            return "agent"
        return "paste" if self.is_pasted else "human"


class Ledger:
    """Who made each version of a file, when, and which were pasted: grows at the end, the same for all its
    attributions. Of versions that were pruned and have nothing left in the text, it says 0."""

    def __init__(self) -> None:
        self.authors = array("q")
        self.times = array("q")
        self.pasted: set[int] = set()


class _Dumped(msgspec.Struct, array_like=True):
    """An attribution as a checkpoint keeps it: its pieces, and who made the ``marked`` versions in them, when; and
    which of those were pasted."""

    lengths: list[int]
    versions: list[int]
    marked: list[int]
    authors: list[int]
    times: list[int]
    pasted: list[int] = []


class Attribution:
    """Who wrote what of a file at one version, which the log had reached at ``sequence``."""

    def __init__(self, ledger: Ledger) -> None:
        self.version = 0
        self.sequence = 0
        self.length = 0
        self.pieces = 0
        self._ledger = ledger
        self._blocks: list[list[Piece]] = [[]]
        self._sizes = [0]
        self._near = (0, 0)

    @classmethod
    def load(cls, dumped: bytes, version: int, sequence: int, ledger: Ledger) -> Attribution:
        """What `dump` made of one at ``version``. Errors: ``file_damaged``."""
        try:
            found = msgspec.msgpack.decode(zlib.decompress(dumped), type=_Dumped)
            pieces = list(zip(found.lengths, found.versions, strict=True))
            for ledger_of, values in ((ledger.authors, found.authors), (ledger.times, found.times)):
                ledger_of.extend([0] * (version - len(ledger_of)))
                for marked, value in zip(found.marked, values, strict=True):
                    ledger_of[marked - 1] = value
            ledger.pasted.update(found.pasted)
        except (zlib.error, msgspec.DecodeError, ValueError, IndexError, OverflowError) as error:
            raise CoscribeError(Code.FILE_DAMAGED, f"who wrote the text cannot be read: {error}") from error
        made = cls(ledger)
        made.version, made.sequence, made.pieces = version, sequence, len(pieces)
        made._blocks = [pieces[start : start + BLOCK] for start in range(0, len(pieces), BLOCK)] or [[]]
        made._sizes = [sum(length for length, _ in block) for block in made._blocks]
        made.length = sum(made._sizes)
        return made

    def dump(self) -> bytes:
        """What a checkpoint keeps of it."""
        pieces = list(chain.from_iterable(self._blocks))
        marked = sorted({version for _, version in pieces})
        dumped = _Dumped(
            [length for length, _ in pieces],
            [version for _, version in pieces],
            marked,
            [self._ledger.authors[version - 1] for version in marked],
            [self._ledger.times[version - 1] for version in marked],
            [version for version in marked if version in self._ledger.pasted],
        )
        return zlib.compress(msgspec.msgpack.encode(dumped))

    def copy(self) -> Attribution:
        other = Attribution(self._ledger)
        other.version, other.sequence = self.version, self.sequence
        other.length, other.pieces = self.length, self.pieces
        other._blocks = [block.copy() for block in self._blocks]
        other._sizes = self._sizes.copy()
        return other

    def take(self, rows: Sequence[LogEntry]) -> None:
        """The next entries of the log, without a gap. Errors: ``file_damaged``. Takes its time: call it in a thread."""
        for row in rows:
            if row.version > self.version:
                self._apply(row)
            self.sequence = row.sequence

    def runs(self) -> list[Run]:
        """The text from left to right. What one author typed, or pasted, side by side, with pauses below `PAUSE`, is
        one run."""
        authors, times, pasted = self._ledger.authors, self._ledger.times, self._ledger.pasted
        found: list[Run] = []
        last = 0
        for length, version in chain.from_iterable(self._blocks):
            run = Run(length, authors[version - 1], version, times[version - 1], version in pasted)
            before = found[-1] if found else None
            goes_on = before and (before.author_ref, before.is_pasted) == (run.author_ref, run.is_pasted)
            at = run.at
            if before is not None and goes_on and abs(at - last) < PAUSE:
                newest = run if version > before.version else before
                found[-1] = newest._replace(length=before.length + length)
            else:
                found.append(run)
            last = at
        return found

    def _apply(self, row: LogEntry) -> None:
        parts, _, origin = decoded(row)
        if row.version != self.version + 1 or reach(parts) > self.length:
            raise CoscribeError(Code.FILE_DAMAGED, f"sequence {row.sequence} does not follow the entries before it")
        self.version = row.version
        if row.version > len(self._ledger.times):
            self._ledger.authors.append(row.author_ref)
            self._ledger.times.append(row.time)
            if origin == "paste":
                self._ledger.pasted.add(row.version)
        position = 0
        for part in parts:
            if isinstance(part, str):
                self._splice(position, 0, len(part), row.version)
                position += len(part)
            elif isinstance(part, Delete):
                self._splice(position, part.size, 0, row.version)
            else:
                position += part

    def _splice(self, position: int, deleted: int, inserted: int, version: int) -> None:
        index, start = self._find(position)
        block, sizes, end = self._blocks[index], self._sizes, position + deleted
        while end > start + sizes[index]:  # a delete that runs on: what it reaches joins the first block
            block += self._blocks.pop(index + 1)
            sizes[index] += sizes.pop(index + 1)
        first, here = 0, start
        for length, _ in block:
            if here + length > position:
                break
            here += length
            first += 1
        last, there = first, here
        while there < end:
            there += block[last][0]
            last += 1
        fresh: list[Piece] = []
        if here < position:
            fresh.append((position - here, block[first][1]))
        if inserted:
            fresh.append((inserted, version))
        if there > end:
            fresh.append((there - end, block[last - 1][1]))
        block[first:last] = fresh
        self.pieces += len(fresh) - (last - first)
        self.length += inserted - deleted
        sizes[index] += inserted - deleted
        if len(block) > BLOCK:
            self._halve(index)
        elif not block and len(self._blocks) > 1:
            del self._blocks[index], self._sizes[index]
            self._near = (index, start) if index < len(self._blocks) else (0, 0)

    def _find(self, position: int) -> tuple[int, int]:
        """The block that holds ``position`` (or ends there), and where it starts: near the last one, mostly."""
        index, start = self._near
        while position < start:
            index -= 1
            start -= self._sizes[index]
        while position > start + self._sizes[index]:
            start += self._sizes[index]
            index += 1
        self._near = (index, start)
        return index, start

    def _halve(self, index: int) -> None:
        block = self._blocks[index]
        halves = [block[begin : begin + BLOCK // 2] for begin in range(0, len(block), BLOCK // 2)]
        self._blocks[index : index + 1] = halves
        self._sizes[index : index + 1] = [sum(length for length, _ in half) for half in halves]


class Attributions:
    """Those that are kept: of each file the latest one asked for and a few others; what was used longest ago goes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], Attribution] = OrderedDict()
        self._ledgers: OrderedDict[int, Ledger] = OrderedDict()
        self._pieces = 0

    def begin(
        self, file_key: int, version: int, *, present: bool, checkpoint: tuple[bytes, int, int] | None
    ) -> Attribution:
        """One at ``version`` or before it, to be taken further and put back with `keep`.

        ``present``: it is the version that the text has now; then what was the present before is not kept for itself.
        ``checkpoint``: what the log begins with, as `Attribution.load` takes it; what is before it is of no use.
        Errors: ``file_damaged``.
        """
        pruned = checkpoint[1] if checkpoint is not None else 0
        versions = sorted(found for key, found in self._kept if key == file_key and pruned <= found <= version)
        if not versions:
            ledger = self._ledger(file_key)
            return Attribution.load(*checkpoint, ledger) if checkpoint is not None else Attribution(ledger)
        nearest = (file_key, versions[-1])
        if present or nearest[1] == version:
            return self._drop(nearest)
        return self._kept[nearest].copy()

    def keep(self, file_key: int, attribution: Attribution) -> None:
        same = (file_key, attribution.version)
        if same in self._kept:
            self._drop(same)
        self._kept[same] = attribution
        self._pieces += attribution.pieces
        of_file = [key for key in self._kept if key[0] == file_key]
        if len(of_file) > MAX_VERSIONS:
            self._drop(of_file[0])
        while self._pieces > MAX_PIECES and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[int, int]) -> Attribution:
        attribution = self._kept.pop(key)
        self._pieces -= attribution.pieces
        return attribution

    def _ledger(self, file_key: int) -> Ledger:
        """Of a file none of whose attributions is kept, it may be an old one: it only ever grows."""
        ledger = self._ledgers.pop(file_key, None) or Ledger()
        self._ledgers[file_key] = ledger
        if len(self._ledgers) > MAX_LEDGERS:
            self._ledgers.popitem(last=False)
        return ledger
