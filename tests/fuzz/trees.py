"""Any bytes as what four people do to one workspace: its tree, the texts in it, and a document beside it.

The world is that of `conversation`, its steps too, with one more: `grow`, an operation on the tree. What a step is
about is the tree, a document, or any file that the tree has ever had, purged ones and those that are no texts as well.

    oracle      tests/simulation/oracle.py, with the naive tree: effects, rows, snapshots, what is shown, the places
    recovery    a second server on the same storage has the same tree, and the same texts in it
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from coscribe.core.tree import node_id
from coscribe.protocol import messages
from coscribe.protocol.messages import TreeEdit
from tests.fuzz import conversation
from tests.fuzz.conversation import STEP, Step, World
from tests.fuzz.reader import Reader
from tests.simulation.oracle import require

ROOT = "project"
NAMES = ("a", "b", "a.txt", "a (2)", "é", "A", "..", "x/y")
KINDS: tuple[messages.Kind, ...] = ("text", "directory", "text", "symlink")
MOST_NODES = 40
"""Behind which nothing new is asked for: the oracle looks at all of them each time."""

ACTIONS = (*conversation.ACTIONS, "grow", "grow", "grow", "grow", "grow", "grow")


def run(data: bytes) -> str:
    """Everything that the server has said to everybody."""
    return conversation.told(data, TreeWorld)


class TreeWorld(World):
    """One workspace with a tree, and the document ``notes``."""

    actions = ACTIONS

    async def prepare(self) -> None:
        await self.storage.create_tree(ROOT, 1)
        self.tree = self.oracle.has_tree(1, ROOT)
        self.made: list[str] = []
        """All files that there may ever have been, by their ids."""

    def file_of(self, step: Step) -> str:
        choice = step.who // 16
        if choice < 4 or not self.made:
            return ROOT
        return "notes" if choice == 4 else self.made[-1 - choice * 7 % len(self.made)]

    def fenced(self, choice: int) -> str:
        return ROOT if choice % 4 else "notes"

    async def enter(self, reader: Reader) -> None:
        """Says hello and has the tree open."""
        self.say(reader, messages.Hello([1], reader.user))
        await asyncio.sleep(0.01)
        await self.open(reader, ROOT)

    async def open(self, reader: Reader, file_id: str) -> None:
        self.say(reader, messages.Join(file_id))
        await asyncio.sleep(0.01)
        self.say(reader, messages.SnapshotApplied(file_id, reader.view(file_id).sequence))
        await asyncio.sleep(0.01)

    def _frame(self, action: str, reader: Reader, file_id: str, step: Step) -> messages.ClientMessage | bytes | None:
        if action != "grow":
            return super()._frame(action, reader, file_id, step)
        operation_id = self._id(reader, step.c)
        edits = []
        for place in range(1 + step.d // 52):
            edit = self._tree_edit(Step(step.what, step.who, step.a + 5 * place, step.b + place, step.c, step.d))
            if isinstance(edit, messages.CreateNode):
                self.made.append(node_id(ROOT, operation_id, place))
            edits.append(edit)
        restores = [reader.view(ROOT).sequence] if step.d % 32 == 31 else []
        where = file_id if step.who // 16 > 13 else ROOT  # now and then where there is no tree
        return messages.TreeOperation(where, operation_id, reader.user, edits, restores)

    def _tree_edit(self, step: Step) -> TreeEdit:
        _, _, a, b, c, d = step
        known = self.made[-1 - b % len(self.made)] if self.made else "nothing"
        folders = [ROOT, *(each for each, row in self.tree.tree.items() if row["kind"] == "directory")]
        folder = folders[c % len(folders)] if b % 16 else known
        name = NAMES[d % (len(NAMES) if b % 8 == 7 else 6)]
        verb = a % 10
        if (verb < 4 and len(self.made) < MOST_NODES) or not self.made:
            kind = KINDS[d // 8 % 4]
            content = "../a" if kind == "symlink" else ""
            return messages.CreateNode(folder, name, kind, content, {"eol": "crlf"} if d % 16 == 9 else {}, c % 8 == 7)
        if verb < 6:
            other = self.made[d % len(self.made)] if d % 8 == 5 else ""
            asked = folder if c % 3 else None
            return messages.MoveNode(known, asked, name if c % 3 != 1 else None, other, exact=c % 8 == 7)
        if verb == 6:
            return messages.DeleteNode(known)
        if verb == 7:
            return messages.RestoreNode(known, folder if c % 4 == 1 else None, name if c % 4 == 2 else None)
        if verb == 8:
            return messages.PurgeNodes([known, self.made[c % len(self.made)]])
        if d % 2:
            return messages.SetProperty(known, ("mode", "eol")[c % 2], ("755", "crlf", "")[d % 3])
        return messages.PutContent(known, KINDS[c % 4], "../b" if KINDS[c % 4] == "symlink" else "")

    def texts_by_key(self) -> list[tuple[int, str]]:
        beside = [(key, file_id) for key, file_id in super().texts_by_key() if file_id != ROOT]
        return [*beside, *self.oracle.spaces[1].files.items()]

    async def look_again(self, reader: Reader) -> None:
        await self.enter(reader)
        require(reader.view(ROOT).sequence == self.oracle.truth(ROOT).sequence, "after a restart it is another tree")
        texts = [file_id for file_id, row in sorted(self.tree.tree.items()) if row["kind"] == "text"]
        for file_id in texts:
            await asyncio.sleep(5.0)  # asking is not for nothing
            await self.open(reader, file_id)
            is_same = reader.view(file_id).text == self.oracle.truth(file_id).texts[-1]
            require(is_same, f"after a restart {file_id} has another text")
            self.say(reader, messages.Leave(file_id))


# ---- inputs


def _program(*steps: tuple[str, int, int, int, int, int]) -> bytes:
    return conversation.program(ACTIONS, *steps)


def seeds() -> list[bytes]:
    """Short programs, each about something else, and some of chance."""
    rng = random.Random(2)
    grow = [("grow", who, 0, n, 0, n + 8 * (n % 2)) for n, who in enumerate((0, 1, 2, 0, 1))]
    more = [("grow", n % 3, 4 + n % 6, n, n, n) for n in range(14)]
    opened = [(what, 80 + who, 0, 0, 0, 0) for who in (0, 1) for what in ("join", "applied")]
    typed = [("operation", 80 + n % 2, 0, n % 6, 7 * n, 9 * n) for n in range(8)]
    begun: Sequence[tuple[str, int, int, int, int, int]] = [*grow, *opened, *typed]
    return [
        _program(*grow, *more),
        _program(*begun, *more, *typed),
        _program(*begun, ("disk", 0, 0, 0, 0, 0), *more[:5], *typed[:4], ("disk", 0, 4, 0, 0, 0), *typed),
        _program(*begun, ("disk", 0, 1, 0, 0, 0), *more, *opened, *typed),
        _program(*begun, ("disk", 0, 2, 0, 0, 0), *more, ("join", 0, 1, 0, 0, 0), *typed),
        _program(*begun, ("disk", 0, 3, 1, 0, 0), *more, ("join", 0, 0, 0, 0, 0), ("applied", 0, 0, 0, 0, 0), *grow),
        _program(*begun, ("right", 0, 3, 0, 0, 0), *(("grow", 0, 8, n, n, 0) for n in range(8)), *typed),
        _program(*begun, ("right", 0, 1, 0, 0, 0), *more, ("right", 0, 2, 0, 0, 0), *more, ("right", 0, 0, 0, 0, 0)),
        _program(*begun, ("time", 0, 6, 0, 0, 0), *typed, ("time", 0, 7, 0, 0, 0), *opened, *more, *typed),
        _program(*begun, ("connection", 0, 1, 0, 0, 0), ("join", 0, 1, 0, 1, 0), ("again", 0, 8, 0, 0, 0), *more),
        _program(*begun, *(("small", n % 3 + 16 * n % 256, n, n, n, n) for n in range(12)), ("resend", 0, 11, 2, 0, 0)),
        _program(*begun, *(("spoiled", n % 3, n, n, 37 * n % 256, n) for n in range(20))),
        _program(("transport", 1, 2, 200, 0, 0), *begun, *more, ("time", 0, 4, 0, 0, 0), ("transport", 1, 3, 0, 0, 0)),
        _program(
            *begun,
            ("small", 80, 1, 3, 1, 0),
            ("small", 80, 0, 0, 0, 0),
            *more[:4],
            *typed,
            ("join", 80, 0, 0, 1, 0),
            ("applied", 80, 0, 0, 0, 0),
        ),
        *(rng.randbytes(STEP * size) for size in (10, 20, 40)),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """As programs of a conversation."""
    return conversation.mutated_steps(data, rng, len(ACTIONS), _SEEDS)


_SEEDS = seeds()
