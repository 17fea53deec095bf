"""Carries out a plan and tells what came of it."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Role
from tests.memory import in_memory
from tests.simulation.network import LATENCY
from tests.simulation.oracle import ids_in
from tests.simulation.plan import Event, Plan
from tests.simulation.world import Liar, World, quiet

FORGED: list[messages.ClientMessage] = [
    messages.Operation("file0", "x:1", "", 10**9, "insert", 0, "x"),
    messages.Operation("file0", "x:2", "", 0, "insert", 10**6, "x"),
    messages.Operation("file0", "x:3", "", 0, "delete", 0, 10**6),
    messages.Operation("file0", "x:4", "somebody", 0, "insert", 0, "x"),
    messages.Operation("file0", "", "", 0, "insert", 0, "x"),
    messages.Operation("file0", "x:5", "", 0, "insert", 0, "a\rb"),
    messages.SnapshotApplied("file0", 10**6),
    messages.Resend("file0", messages.Lineage("one", 10**6, "00" * 32), 10**7),
    messages.Join("file0"),
    messages.Leave("file1"),
    messages.TreeOperation("file0", "x:6", "somebody", [messages.DeleteNode("file0")]),
    messages.Save("file1"),
]
"""What no honest client says. The user is filled in."""


class Outcome(NamedTuple):
    """``violation``: "" where everything held. ``trace`` is the same for the same plan."""

    violation: str
    commits: int
    seconds: float
    steps: int
    trace: str


def run(plan: Plan) -> Outcome:
    """One world from its beginning to its rest."""
    place = Path(tempfile.mkdtemp(dir=in_memory()))
    try:
        with quiet():
            return _run(plan, place)
    finally:
        shutil.rmtree(place)


def _run(plan: Plan, folder: Path) -> Outcome:
    world = World(plan, folder)
    loop = world.loop
    asyncio.set_event_loop(loop)
    trace = blake2b(digest_size=16)
    sent = world.network.sent

    def noted(wire: object, frame: bytes) -> None:
        trace.update(f"{loop.time():.6f}".encode() + frame)
        sent(wire, frame)  # type: ignore[arg-type]  # handed through

    world.network.sent = noted
    violation = ""
    try:
        loop.run_until_complete(loop.start(world.nature, _live(world)))
    except Exception as error:  # whatever it is, this seed has found it
        violation = f"{type(error).__name__}: {error}"
    if loop.troubles:  # whatever else went wrong may follow from the first of them
        violation = loop.troubles[0]
    seconds, steps = loop.time(), loop.steps
    for process in loop.processes:
        loop.kill(process)
    loop.bury()
    asyncio.set_event_loop(None)
    loop.close()
    return Outcome(violation, world.oracle.commits, seconds, steps, trace.hexdigest())


async def _live(world: World) -> None:
    for number, file_id in enumerate(world.files, 1):
        world.oracle.keys[number] = file_id
        await world.disk.storage.create(file_id, file_id, file_id, 0)
    if world.root:
        await world.disk.storage.create_tree(world.root, 0)
        world.oracle.has_tree(len(world.files) + 1, world.root)
    world.serve()
    for person in world.people:
        person.start()
    deeds = Deeds(world)
    for event in world.plan.events:
        await asyncio.sleep(max(0.0, event.at - world.loop.time()))
        deeds.do(event)
        world.check()
    await world.come_to_rest()
    world.check()


class Deeds:
    """What the events of a plan mean."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heard: dict[str, list[bytes]] = {}
        asked = world.network.asked

        def overheard(wire: object, frame: bytes) -> None:
            if any(kind in frame[:40] for kind in (b'"operation"', b'"chain"', b'"treeOperation"')):
                for person in world.people:
                    if f'"userId":"{person.user_id}"'.encode() in frame:
                        self._heard.setdefault(person.user_id, []).append(frame)
            asked(wire, frame)  # type: ignore[arg-type]  # handed through

        world.network.asked = overheard

    def do(self, event: Event) -> None:
        world = self._world
        rng = random.Random(event.seed)
        person = world.people[event.who]
        file_id = rng.choice(world.files)
        match event.do:
            case "type":
                person.act(file_id, rng, person.type)
            case "undo":
                person.act(file_id, rng, person.undo)
            case "redo":
                person.act(file_id, rng, person.redo)
            case "check":
                person.act(file_id, rng, lambda document, _: document.check())
            case "grow":
                person.grow(rng)
            case "tree_undo":
                person.undo_in_tree(rng)
            case "write":
                person.write(rng)
            case "save":
                person.save()
            case "abort":
                if person.client is not None and not person.process.paused:
                    person.process.context.run(person.client.drop_connection)
            case "part":
                world.network.part(person.process, event.amount)
            case "half_close":
                for wire in world.network.of(person.process):
                    (wire.up if rng.random() < 0.5 else wire.down).dead = True
            case "sleep":
                process = person.process
                world.loop.pause(process)
                self._after(event.amount, lambda: world.loop.go_on(process))
            case "restart":
                person.crash()
                self._after(event.amount, lambda: person.start() if person.client is None else None)
            case "clone":
                copy = person.clone()
                world.people.append(copy)
                copy.start()
            case "lie":
                user_id = person.user_id
                frames = [_as(user_id, message) for message in rng.sample(FORGED, 4)]
                Liar(world, user_id, frames).start()
            case "replay":
                frames = self._heard.get(person.user_id, [])
                again = rng.sample(frames, min(len(frames), 5))
                user_id = rng.choice((person.user_id, "mallory"))
                if user_id == person.user_id:
                    world.book.said_again.update(operation_id for frame in again for operation_id in ids_in(frame))
                Liar(world, user_id, again).start()
            case "role":
                role: Role | None = rng.choice((None, "viewer", "editor"))
                world.loop.start(world.nature, world.set_role(person.user_id, role))
            case "crash":
                world.crash()
                self._after(event.amount, world.serve)
            case "power":
                world.crash(power=True)
                self._after(event.amount, world.serve)
            case "drain":
                world.loop.start(world.nature, world.drain())
                self._after(event.amount, world.serve)
            case "supersede":
                world.supersede()
                self._after(event.amount, world.wake_the_old)
            case "disk_fails" | "disk_unknown" | "disk_full" | "disk_slow" | "disk_damages" | "disk_lies":
                self._trouble_disk(event)
            case "slow_network":
                world.network.latency = 0.5
                self._after(event.amount, lambda: setattr(world.network, "latency", LATENCY))
            case "unruly":
                world.network.unruly = 0.1
                self._after(event.amount, lambda: setattr(world.network, "unruly", 0.0))
            case "clock":
                world.clock_skew += event.amount

    def _trouble_disk(self, event: Event) -> None:
        disk = self._world.disk
        match event.do:
            case "disk_fails":
                disk.failing = 0.3
            case "disk_unknown":
                disk.unknown = 0.3
            case "disk_full":
                disk.full = True
            case "disk_slow":
                disk.slowness = 0.5
            case "disk_damages":
                disk.damaging = 0.7
            case _:
                disk.lying = True
        self._after(event.amount, disk.heal)

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        self._world.loop.within(self._world.nature, seconds, act)


def _as(user_id: str, message: messages.ClientMessage) -> bytes:
    if isinstance(message, messages.Operation) and not message.user_id:
        message.user_id = user_id
    return codec.encode(message)
