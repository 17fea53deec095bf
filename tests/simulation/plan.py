"""A plan: everything that is going to be done to a world, and when. The same plan gives the same run.

plan = plan_of(seed)       weather first (which faults this world has, and how bad), then people's typing and faults
save, load                 JSON, for `--save-plan` and `--load-plan`
shrunk(plan, fails)        fewer and fewer events, as long as it still fails
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

Deed = Literal[
    "type",
    "undo",
    "redo",
    "check",
    "grow",
    "write",
    "tree_undo",
    "save",
    "abort",
    "part",
    "half_close",
    "sleep",
    "restart",
    "clone",
    "lie",
    "replay",
    "role",
    "crash",
    "power",
    "drain",
    "supersede",
    "disk_fails",
    "disk_unknown",
    "disk_full",
    "disk_slow",
    "disk_damages",
    "disk_lies",
    "slow_network",
    "unruly",
    "clock",
]
"""What can be done. Those that last have their seconds in ``amount``."""


class Event(msgspec.Struct, frozen=True):
    """At ``at`` virtual seconds something is done, by or to person ``who``. What else it depends on is drawn from
    ``seed``, so that leaving out one event changes no other."""

    at: float
    do: Deed
    who: int = 0
    amount: float = 0.0
    seed: int = 0


class Plan(msgspec.Struct, frozen=True):
    """``window`` and ``backlog`` are operations, ``snapshot_every`` too. ``trees``: workspaces with many files."""

    seed: int
    people: int
    files: int
    window: int
    snapshot_every: int
    backlog: int
    seconds: float
    events: list[Event]
    trees: int = 0


FAULTS: dict[Deed, tuple[float, float]] = {
    "abort": (0.4, 0.0),
    "part": (0.15, 8.0),
    "half_close": (0.1, 0.0),
    "sleep": (0.1, 15.0),
    "restart": (0.2, 2.0),
    "clone": (0.05, 0.0),
    "lie": (0.2, 0.0),
    "replay": (0.2, 0.0),
    "role": (0.15, 0.0),
    "crash": (0.15, 2.0),
    "power": (0.08, 2.0),
    "drain": (0.08, 0.5),
    "supersede": (0.1, 4.0),
    "disk_fails": (0.1, 3.0),
    "disk_unknown": (0.1, 3.0),
    "disk_full": (0.07, 3.0),
    "disk_slow": (0.1, 3.0),
    "disk_damages": (0.1, 6.0),
    "disk_lies": (0.05, 6.0),
    "slow_network": (0.1, 5.0),
    "unruly": (0.1, 6.0),
    "clock": (0.1, 0.0),
}
"""How often a second each fault comes where the weather has it, and how many seconds it lasts, about."""

A_DAY = 86_400.0


def plan_of(seed: int, weather: Sequence[Deed] = (), *, has_tree: bool = False) -> Plan:
    """What a seed stands for. ``weather``: these faults and no others, instead of what the seed would choose;
    ``has_tree``: also if it would choose none."""
    rng = random.Random(seed)
    people, files = rng.choice((1, 2, 2, 3, 3, 4, 5)), rng.choice((1, 1, 1, 2))
    seconds = rng.choice((5.0, 10.0, 20.0))
    chosen = rng.sample(list(FAULTS), rng.choice((0, 1, 2, 3, 4, 6)))
    events = [event for person in range(people) for event in _typing(rng, person, seconds)]
    for fault in weather or chosen:
        often, lasting = FAULTS[fault]
        at = rng.expovariate(often)
        while at < seconds:
            amount = rng.expovariate(1.0 / lasting) if lasting else rng.uniform(-600.0, 600.0)
            if fault == "sleep" and rng.random() < 0.03:
                amount = A_DAY
            events.append(Event(round(at, 3), fault, rng.randrange(people), round(amount, 3), rng.randrange(2**32)))
            at += rng.expovariate(often)
    trees = int(has_tree or seed % 6 == 0)
    if trees:
        more = random.Random(f"trees {seed}")
        events += [event for person in range(people) for event in _growing(more, person, seconds)]
    events.sort(key=lambda event: event.at)
    return Plan(
        seed,
        people,
        files,
        window=rng.choice((1, 4, 16, 256)),
        snapshot_every=rng.choice((3, 10, 100)),
        backlog=rng.choice((6, 1_000)),
        seconds=seconds,
        events=events,
        trees=trees,
    )


def _typing(rng: random.Random, person: int, seconds: float) -> list[Event]:
    """Bursts and pauses."""
    events: list[Event] = []
    pace = rng.choice((0.2, 0.5, 1.5))
    at = rng.uniform(0.0, 2.0)
    while at < seconds:
        chance = rng.random()
        do: Deed = "type" if chance < 0.8 else "undo" if chance < 0.9 else "redo" if chance < 0.96 else "check"
        events.append(Event(round(at, 3), do, person, 0.0, rng.randrange(2**32)))
        at += rng.expovariate(1.0 / pace)
    return events


def _growing(rng: random.Random, person: int, seconds: float) -> list[Event]:
    """Files are made, moved, deleted, restored and written."""
    events: list[Event] = []
    at = rng.uniform(0.5, 2.0)
    while at < seconds:
        chance = rng.random()
        do: Deed = "grow" if chance < 0.5 else "write" if chance < 0.88 else "tree_undo" if chance < 0.96 else "save"
        events.append(Event(round(at, 3), do, person, 0.0, rng.randrange(2**32)))
        at += rng.expovariate(1.5)
    return events


def save(plan: Plan, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))


def load(path: Path) -> Plan:
    """Raises msgspec.ValidationError, OSError."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The plan without what it does not need to fail: halves, quarters, ... down to single events."""
    events = plan.events
    size = max(1, len(events) // 2)
    while True:
        start = 0
        while start < len(events):
            fewer = events[:start] + events[start + size :]
            if fails(msgspec.structs.replace(plan, events=fewer)):
                events = fewer
            else:
                start += size
        if size == 1:
            return msgspec.structs.replace(plan, events=events)
        size = max(1, size // 2)
