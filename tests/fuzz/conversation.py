"""Any bytes as a small program: what four people send, and what becomes of the disk, to a whole server in memory.

Six bytes are a step (`Step`). Frames are well-formed, taken again, spoiled, or any bytes; between them connections go
and come, transports fill, commits wait, fail before or after they are written, rights change, another owner takes the
workspace, and time passes. Everything from `Gateway` down is the product; time is virtual.

    oracle      tests/simulation/oracle.py sees each message that comes, each append, each frame that goes
    readers     each connection's frames are one gap-free story: texts follow by the naive oracle, to the log's end
    answers     whoever is still there is told of each edit; a ping is answered: nothing hangs
    within      nothing escapes, nothing is logged with a traceback, nobody is told "internal", no task is left
    recovery    a second server on the same storage has the same text
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Literal, NamedTuple

from msgspec import UNSET, UnsetType
from structlog.testing import capture_logs

from coscribe.core.document_state import Limits
from coscribe.documents.budget import Budgets
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import AccessChange, Append, AppendResult, Identity
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.connection import Context
from coscribe.gateway.gateway import Gateway
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.model import file_key
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Have, Lineage, Role
from tests.contracts.conversations import held
from tests.fuzz.reader import Reader, View
from tests.simulation.oracle import Oracle, Violation, require
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import Doorman

PEOPLE = ("ann", "bob", "ann", "cid")
"""Whose the connections are: two are ann's. The last has said nothing yet when a program begins."""

FILES = ("notes", "notes", "notes", "plan")
STEP = 6
MAX_STEPS = 60
LIMITS = Limits(
    file_length=40, operation_length=12, chain_operations=3, window_operations=6, window_bytes=3_000, rebase_steps=24
)
GATEWAY = GatewayLimits(
    message_bytes=2_000,
    hello_bytes=200,
    inbox_messages=6,
    inbox_bytes=4_000,
    files_per_connection=2,
    in_flight_ids=3,
    rate=5.0,
    burst=30.0,
    ask_rate=20.0,
    ask_burst=30.0,
    buffer_bytes=4_000,
    lag_seconds=12.0,
)
LETTERS = "abc\né😀"
ROLES: tuple[Role | None, ...] = ("editor", "viewer", None, "owner")
PAUSES = (0.0, 0.001, 0.06, 0.3, 1.0, 6.0, 13.0, 70.0)
REST = 30.0
"""Virtual seconds after which nothing is under way any more, once nothing is held."""


class Step(NamedTuple):
    """One step: what, by whom, and four choices that it makes of it."""

    what: int
    who: int
    a: int
    b: int
    c: int
    d: int


def run(data: bytes) -> str:
    """Everything that the server has said to everybody."""
    return told(data, World)


def told(data: bytes, kind: type[World]) -> str:
    """The same of a program in some kind of world."""
    padded = data[: STEP * MAX_STEPS] + bytes(-len(data) % STEP)
    steps = [Step(*padded[at : at + STEP]) for at in range(0, len(padded) - STEP + 1, STEP)]
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        with capture_logs() as logged:
            world = kind(loop)
            loop.run_until_complete(world.run(steps))
        for entry in logged:
            require(not (entry["log_level"] == "error" and entry.get("exc_info")), f"{entry['event']}: {entry}")
        require(not loop.troubles, f"nobody looked after {loop.troubles[:1]}")
        return world.transcript()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class World:
    """Documents, and four people who have them open. ``actions``: what a step may be, by its first byte."""

    actions: Sequence[str]

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.oracle = Oracle()
        self.oracle.now = loop.time
        self.violations: list[Violation] = []
        self.storage = Disk(self)
        self.log, storage = held(self.storage)
        self.roles: dict[str, Role | None] = {}
        self.epoch = count(1)
        self.ids = count(1)
        self.sent: list[bytes] = []
        self.changes: list[asyncio.Task[None]] = []
        self.gateway = self._server(storage)
        self.readers: list[Reader] = []
        self.before: list[Reader] = []

    def _server(self, storage: Any) -> Gateway:
        collaboration = Collaboration(
            storage,
            storage,
            _Doorman(self.roles),
            limits=LIMITS,
            policy=SnapshotPolicy(operations=4, seconds=5.0, keep=2, idle_seconds=8.0, max_workspaces=1),
            max_backlog=6,
            clock=lambda: int(self.loop.time() * 1_000_000),
            now=self.loop.time,
            salts=lambda number: [bytes(16)] * number,
            budgets=Budgets(account_rate=5.0, account_burst=40.0, document_rate=10.0, document_burst=50.0),
            cursors=storage,
        )
        context = Context(
            collaboration,
            _Doorman(self.roles),
            GATEWAY,
            self.loop.time,
            self.loop.time,
            lambda: f"c{next(self.ids)}",
            "fuzzed",
            Pace(self.loop.time),
        )
        return Gateway(context, frozenset())

    def guard(self, check: Callable[[], None]) -> None:
        """A check that is made within the product, which must not swallow what it finds."""
        try:
            check()
        except Violation as violation:
            self.violations.append(violation)

    # ---- a program

    async def run(self, steps: Sequence[Step]) -> None:
        await self.prepare()
        self.gateway.start()
        self.readers = [self.connect(user) for user in PEOPLE]
        for reader in self.readers[:3]:
            await self.enter(reader)
        for step in steps:
            await self.step(step)
            if self.violations:
                raise self.violations[0]
        await self.come_to_rest()
        await self.stop()
        await self.recover()
        if self.violations:
            raise self.violations[0]

    async def prepare(self) -> None:
        """What is there before anybody comes."""

    def file_of(self, step: Step) -> str:
        """What a step is about."""
        return FILES[step.who // 16 % 4]

    def connect(self, user: str) -> Reader:
        reader = Reader(user, self.oracle, self.guard)
        reader.connection = self.gateway.open(reader)
        return reader

    async def enter(self, reader: Reader) -> None:
        """Says hello and has the notes open."""
        self.say(reader, messages.Hello([1], reader.user))
        await asyncio.sleep(0.01)
        self.say(reader, messages.Join("notes"))
        await asyncio.sleep(0.01)
        self.say(reader, messages.SnapshotApplied("notes", reader.view("notes").sequence))
        await asyncio.sleep(0.01)

    def say(self, reader: Reader, message: messages.ClientMessage | bytes) -> None:
        frame = message if isinstance(message, bytes) else codec.encode(message)
        self.sent.append(frame)
        self.oracle.asked(frame)
        reader.says(frame)
        reader.connection.receive(frame)

    async def step(self, step: Step) -> None:
        index = step.who % len(self.readers)
        reader, file_id = self.readers[index], self.file_of(step)
        action = self.actions[step.what % len(self.actions)]
        if action == "connection":
            self.gateway.lost(reader.connection)
            reader.is_closed = True
            self.before.append(reader)
            self.readers[index] = self.connect(PEOPLE[index])
            if step.a % 4:
                self.say(self.readers[index], messages.Hello([1], PEOPLE[index]))
        elif action == "transport":
            self._transport(reader, step)
        elif action == "disk":
            await self._disk(step)
        elif action == "right":
            self._right(reader.user, ROLES[step.a % 4])
        elif action == "time":
            await asyncio.sleep(PAUSES[step.a % 8])
        else:
            frame = self._frame(action, reader, file_id, step)
            if frame is not None:
                self.say(reader, frame)
        if step.what < 128:
            await asyncio.sleep(0.002)

    def _transport(self, reader: Reader, step: Step) -> None:
        if step.a % 4 == 0:
            reader.connection.receive_binary()
        elif step.a % 4 == 1:
            reader.connection.begin()
        elif step.a % 4 == 2 and not reader.is_closed:
            reader.waiting = step.b * 32
            reader.connection.pause()
        else:
            reader.waiting = 0
            reader.connection.resume()
            reader.connection.heard()

    async def _disk(self, step: Step) -> None:
        what = step.a % 6
        if what == 0:
            self.log.hold()
        elif what in (1, 2):
            self.log.fail(written=what == 1)
        elif what == 3:
            await self.storage.acquire(self.fenced(step.b))  # somebody else has it now
        else:
            self.log.release()

    def fenced(self, choice: int) -> str:
        """Whose workspace is taken by another owner."""
        return FILES[choice % 4]

    def _right(self, user: str, role: Role | None) -> None:
        self.roles[user] = role
        self.oracle.denied.pop(user, None)
        self.changes.append(self.loop.create_task(self._tell(user)))

    async def _tell(self, user: str) -> None:
        await self.gateway.access_changed(AccessChange(account=user))
        if self.roles[user] in (None, "viewer"):
            self.oracle.denied[user] = self.loop.time()

    # ---- what is sent

    def _frame(self, action: str, reader: Reader, file_id: str, step: Step) -> messages.ClientMessage | bytes | None:
        view = reader.view(file_id)
        _, who, a, b, c, d = step
        if action == "operation":
            base = self._base(view, a)
            kind, position, payload = self._edit(file_id, base, b, c, d)
            restores = [view.sequence - 1] if a >= 224 and view.sequence else []
            origin: Literal["paste"] | UnsetType = "paste" if d % 16 == 15 else UNSET
            return messages.Operation(
                file_id, self._id(reader, c), reader.user, base, kind, position, payload, restores, origin
            )
        if action == "chain":
            base = self._base(view, a)
            elements = []
            for number in range(1 + b % 4):
                kind, position, payload = self._edit(file_id, base, b + number, c * (number + 1) % 251, d + number)
                elements.append(messages.ChainElement(self._id(reader, c), kind, position, payload))
            return messages.Chain(file_id, reader.user, base, elements)
        if action == "join":
            have = Have(*_lineage(view, a), view.version) if a % 3 else None
            ids = [f"{reader.user}:{view.version + n - 2}" for n in range(b % 5)]
            return messages.Join(file_id, have, ids, last_cursor=c % 2 == 1)
        if action == "applied":
            return messages.SnapshotApplied(file_id, view.sequence + (0, 0, 0, 1)[a % 4])
        if action == "resend":
            return messages.Resend(file_id, Lineage(*_lineage(view, a)), view.sequence + b % 4)
        if action == "again":
            return self.sent[-1 - a % len(self.sent)]
        if action == "spoiled":
            return _spoiled(self.sent[-1 - a % len(self.sent)], b, c, d)
        if action == "bytes":
            return bytes((a, b, c, d))[: who // 64]
        small: tuple[messages.ClientMessage, ...] = (
            messages.Leave(file_id),
            messages.SetPresence(file_id, view.version, messages.Cursor(b % 50, c % 50) if b % 2 else None),
            messages.GetChecksum(file_id),
            messages.Save(file_id if b % 3 else None),
            messages.Ping(b),
            messages.Hello([1] if b % 4 else [7], reader.user if c % 4 else "nobody"),
        )
        return small[a % len(small)]

    def _base(self, view: View, choice: int) -> int:
        return max(0, view.version - (0, 0, 0, 0, 1, 1, 2, 4, 9, -1)[choice % 10])

    def _id(self, reader: Reader, choice: int) -> str:
        """Fresh for the most part; else one of before, one that goes back, or one without a counter."""
        if choice < 200:
            return f"{reader.user}:{next(self.epoch)}"
        known = sorted(known for truth in self.oracle.truths.values() for known in truth.places)
        if choice < 230 and known:
            return known[choice % len(known)]
        return (f"{reader.user}:{choice % 7}", f"x{choice % 5}", f"{reader.user}:{2**60 + choice}")[choice % 3]

    def _edit(
        self, file_id: str, base: int, b: int, c: int, d: int
    ) -> tuple[messages.OperationType, int, messages.Payload]:
        """On the text at a version; now and then past its end."""
        size = len(self._text_at(file_id, base))
        position = c % (size + 1) if c < 245 else size + c % 3
        deleted = min(1 + d % 5, size - position) if d < 245 else d
        text = "".join(LETTERS[(d + n) % len(LETTERS)] for n in range(1 + d // 8 % 6 + (12 if d == 255 else 0)))
        kind = b % 6
        if kind < 3 or deleted <= 0:
            return "insert", position, text
        if kind == 3:
            return "delete", position, deleted
        if kind == 4:
            return "replace", position, messages.Replacement(deleted, text)
        first = min(c % 4, position)
        return "batch", 0, [(position - first, 0, text), (position, deleted, ""), (position + deleted, 0, text[:1])]

    def _text_at(self, file_id: str, version: int) -> str:
        truth = self.oracle.truth(file_id)
        versions = [0, *(entry.version for entry in truth.entries)]
        texts = [text for text, each in zip(truth.texts, versions, strict=False) if each == version]
        return texts[-1] if texts else truth.texts[-1]

    # ---- the end

    async def come_to_rest(self) -> None:
        """Nothing fails any more: whoever is there has everything, and is answered."""
        self.log.release()
        for reader in self.readers:
            reader.waiting = 0
            reader.connection.resume()
            reader.connection.heard()
        await asyncio.gather(*self.changes)
        for _ in range(int(REST // 5)):
            await asyncio.sleep(5.0)
            for reader in self.readers:
                reader.connection.heard()
        for reader in self.readers:
            if not reader.is_closed:
                reader.pongs = 0
                self.say(reader, messages.Ping(7))
        await asyncio.sleep(5.0)
        for reader in self.readers:
            reader.at_rest()

    async def stop(self) -> None:
        await self.gateway.stop(1_000)
        await asyncio.sleep(1.0)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        require(not others, f"something is left running: {others[:1]}")
        self.oracle.replayed()
        for key, file_id in self.texts_by_key():
            truth = self.oracle.truth(file_id)
            for skip in range(3):
                kept = await self.storage.newest(key, skip=skip)
                require(kept is None or kept.content == truth.text_at(kept.sequence), "a snapshot of another text")

    def texts_by_key(self) -> list[tuple[int, str]]:
        """All texts, by the keys of their files."""
        return [(file_key(key, 0), file_id) for key, file_id in self.oracle.keys.items()]

    async def recover(self) -> None:
        """A server that knows nothing has what is on the disk."""
        self.roles.clear()
        self.gateway = self._server(self.storage)
        reader = self.connect("ann")
        await self.look_again(reader)
        await self.gateway.stop(1_000)

    async def look_again(self, reader: Reader) -> None:
        """What somebody finds there who has never been there."""
        await self.enter(reader)
        view = reader.view("notes")
        require(view.text == self.oracle.truth("notes").texts[-1], "after a restart it is another text")

    def transcript(self) -> str:
        readers = [*self.before, *self.readers]
        return "\n".join(f"{reader.user} {frame.decode()}" for reader in readers for frame in reader.frames)


ACTIONS = (
    *("operation", "operation", "operation", "operation", "chain", "chain", "small", "small"),
    *("join", "applied", "resend", "again", "spoiled", "spoiled", "bytes", "connection"),
    *("transport", "disk", "disk", "right", "time", "applied", "join", "operation"),
)
World.actions = ACTIONS


def _lineage(view: View, choice: int) -> tuple[str, int, str]:
    """Where a replica is; or where it was, or says it was."""
    past = [*view.past] or [(0, bytes(32).hex())]
    sequence, digest = past[-1 - choice // 8 % len(past)]
    incarnation = "memory" if choice % 7 else "another"
    return incarnation, sequence, digest if choice % 5 else digest[::-1]


TOKENS = (b'"', b"\\", b"{", b"]", b",", b"\xff", b"0", b"9", b"-", b"null", b"\\u0000", b"\\ud83d", b'"x":1,', b"\n")


def _spoiled(frame: bytes, b: int, c: int, d: int) -> bytes:
    """A frame with something else in one place."""
    at = c * max(1, len(frame)) // 256
    kind = b % 5
    if kind == 0:
        return frame[:at]
    if kind == 1:
        return frame[:at] + bytes((d,)) + frame[at + 1 :]
    if kind == 2:
        return frame[:at] + frame[at + 1 + d % 8 :]
    token = TOKENS[d % len(TOKENS)]
    return frame[:at] + token + frame[at + (len(token) if kind == 3 else 0) :]


# ---- what the server stands on


class Disk(MemoryStorage):
    """Tells the oracle what is on it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        await super().create(workspace_id, file_id, path, time)
        self._world.oracle.keys[self._by_id[workspace_id].key] = file_id

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        results = await super().append(appends)
        for append, result in zip(appends, results, strict=True):
            if result is AppendResult.COMMITTED:
                self._world.guard(lambda append=append: self._world.oracle.committed(append))  # type: ignore[misc]
        return results


class _Doorman(Doorman):
    async def may_create(self, identity: Identity, file_id: str) -> bool:
        return file_id in FILES


# ---- inputs


def program(actions: Sequence[str], *steps: tuple[str, int, int, int, int, int]) -> bytes:
    """An input that is these steps."""
    return b"".join(bytes((actions.index(name), *choices)) for name, *choices in steps)


def _program(*steps: tuple[str, int, int, int, int, int]) -> bytes:
    return program(ACTIONS, *steps)


def seeds() -> list[bytes]:
    """Short programs, each about something else, and some of chance."""
    rng = random.Random(1)
    type_ = [("operation", who, 0, kind, 7 * kind, 9 * who) for who in (0, 1, 2) for kind in (0, 3, 4, 5)]
    both = [
        ("join", 48, 0, 0, 0, 0),
        ("applied", 48, 0, 0, 0, 0),
        ("join", 49, 0, 0, 0, 0),
        ("applied", 49, 0, 0, 0, 0),
    ]
    there = [("operation", who, 0, 0, 7, who) for who in (48, 49, 48)]
    caret, gone = ("small", 0, 1, 3, 7, 0), ("small", 0, 0, 0, 0, 0)
    back = [("join", 0, 0, 0, 1, 0), ("applied", 0, 0, 0, 0, 0)]
    return [
        _program(*type_),
        _program(*both, *there, ("disk", 0, 0, 0, 0, 0), *type_[:3], *there, ("disk", 0, 4, 0, 0, 0), *type_, *there),
        _program(("disk", 0, 0, 0, 0, 0), *type_, ("disk", 0, 4, 0, 0, 0)),
        _program(*type_, ("disk", 0, 1, 0, 0, 0), *type_, ("join", 0, 1, 2, 0, 0), ("applied", 0, 0, 0, 0, 0)),
        _program(*type_, ("disk", 0, 2, 0, 0, 0), *type_, ("join", 1, 1, 2, 0, 0), ("join", 1, 0, 0, 0, 0)),
        _program(*type_, ("disk", 0, 3, 0, 0, 0), *type_, ("join", 0, 0, 0, 0, 0), ("applied", 0, 0, 0, 0, 0)),
        _program(*type_, ("right", 0, 1, 0, 0, 0), *type_, ("right", 0, 2, 0, 0, 0), *type_, ("right", 0, 0, 0, 0, 0)),
        _program(("transport", 1, 2, 200, 0, 0), *type_, *type_, ("time", 0, 4, 0, 0, 0), ("transport", 1, 3, 0, 0, 0)),
        _program(
            ("disk", 0, 0, 0, 0, 0),
            *type_[:4],
            ("transport", 1, 2, 8, 0, 0),
            *type_[4:6],
            ("disk", 0, 4, 0, 0, 0),
            ("transport", 1, 3, 0, 0, 0),
        ),
        _program(*type_, ("connection", 0, 1, 0, 0, 0), ("join", 0, 1, 0, 0, 0), ("again", 0, 8, 0, 0, 0)),
        _program(*type_, *(("spoiled", n % 3, n, n, 37 * n % 256, n) for n in range(1, 24))),
        _program(*type_, *(("small", 0, n, n, n, n) for n in range(10)), ("resend", 0, 11, 2, 0, 0)),
        _program(*(("chain", n % 3, 4 * n, n, 9 * n, 5 * n) for n in range(12))),
        _program(("small", 1, 0, 0, 0, 0), ("join", 1, 0, 0, 0, 0), *type_[:4], *type_[8:], ("applied", 1, 0, 0, 0, 0)),
        _program(("small", 3, 4, 1, 1, 0), ("join", 51, 0, 0, 0, 0), ("applied", 51, 0, 0, 0, 0), *type_),
        _program(*type_, caret, gone, *type_[4:], *back, ("time", 0, 5, 0, 0, 0), gone, *type_[4:], *back),
        _program(("small", 0, 1, 99, 99, 0), gone, *back, *type_, caret, ("disk", 0, 2, 0, 0, 0), *type_, *back),
        *(rng.randbytes(STEP * size) for size in (5, 10, 20, 40)),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Steps are put in, left out, doubled, moved, or take another choice."""
    return mutated_steps(data, rng, len(ACTIONS), _SEEDS)


def mutated_steps(data: bytes, rng: random.Random, actions: int, seeds: Sequence[bytes]) -> bytes:
    """The same of programs with so many actions."""
    steps = [data[at : at + STEP] for at in range(0, len(data), STEP)] or [bytes(STEP)]
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at, change = rng.randrange(len(steps)), rng.randrange(7)
        if change == 0:
            steps.insert(at, bytes((rng.randrange(actions) + rng.choice((0, 0, 0, 216)), *rng.randbytes(STEP - 1))))
        elif change == 1 and len(steps) > 1:
            del steps[at]
        elif change == 2:
            steps[at:at] = steps[at : at + rng.randrange(1, 6)]
        elif change == 3:
            steps.insert(at, steps.pop(rng.randrange(len(steps))))
        elif change == 4:
            seed = rng.choice(seeds)
            start = rng.randrange(0, len(seed), STEP)
            steps[at:at] = [seed[n : n + STEP] for n in range(start, min(len(seed), start + 4 * STEP), STEP)]
        else:
            choice = bytearray(steps[at].ljust(STEP, b"\0"))
            choice[rng.randrange(STEP)] = rng.choice((0, 1, 2, 3, 245, 255, rng.randrange(256)))
            steps[at] = bytes(choice)
    return b"".join(steps[:MAX_STEPS])


_SEEDS = seeds()
