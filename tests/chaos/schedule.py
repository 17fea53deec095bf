"""A schedule: what is going to go wrong, and when. The same seed, seconds and number of clients give the same one.

Faults come in lanes. What is done to the server's machine is done one at a time; networks, clocks and people have their
trouble meanwhile. Each lane deals its kinds like cards, so that a short run has seen all of them, too.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from enum import Enum
from typing import NamedTuple


class Lane(Enum):
    """What goes wrong: one thing at a time in each."""

    SERVER = "server"
    NETWORK = "network"
    CLOCK = "clock"
    PEOPLE = "people"


class Fault(NamedTuple):
    """At ``at`` seconds ``kind`` begins, for ``lasting`` seconds. What else it depends on is drawn from ``seed``."""

    at: float
    lane: Lane
    kind: str
    lasting: float
    seed: int


class Deck(NamedTuple):
    """``kinds`` with the seconds that they last at most, dealt with ``pause`` seconds between them, about."""

    kinds: tuple[tuple[str, float], ...]
    pause: float


DECKS = {
    Lane.SERVER: Deck(
        (
            ("kill", 1.0),
            ("killed unheard", 2.0),
            ("drain", 1.0),
            ("pause", 8.0),
            ("disk full", 4.0),
            ("killed on a full disk", 4.0),
        ),
        3.0,
    ),
    Lane.NETWORK: Deck(
        (("delay", 4.0), ("cut", 0.0), ("half-close", 0.0), ("black hole", 8.0), ("trickle", 4.0), ("detour", 4.0)),
        1.0,
    ),
    Lane.CLOCK: Deck((("forward", 0.0), ("backward", 0.0)), 4.0),
    Lane.PEOPLE: Deck((("client dies", 2.0),), 0.7),
}


KINDS = tuple(kind for deck in DECKS.values() for kind, _ in deck.kinds)


def schedule_of(seed: int, seconds: float, only: Collection[str] = KINDS) -> list[Fault]:
    """The faults of a run, in order of time. ``only``: these kinds and no others."""
    faults: list[Fault] = []
    for lane, deck in DECKS.items():
        kinds = [(kind, longest) for kind, longest in deck.kinds if kind in only]
        rng = random.Random(f"{seed} {lane.value}")
        hand: list[tuple[str, float]] = []
        at = rng.uniform(0.5, 1.5) * min(1.0, deck.pause)
        while kinds and at < seconds:
            if not hand:
                hand = rng.sample(kinds, len(kinds))
            kind, longest = hand.pop()
            lasting = rng.uniform(0.0, longest)
            faults.append(Fault(round(at, 3), lane, kind, round(lasting, 3), rng.randrange(2**32)))
            at += lasting + rng.uniform(0.3, 1.7) * deck.pause
    return sorted(faults, key=lambda fault: fault.at)


def described(fault: Fault) -> str:
    return fault.kind + (f" for {fault.lasting:.1f} s" if fault.lasting >= 0.05 else "")
