"""What is going to go wrong in a cluster, and when. The same seed and seconds give the same schedule.

One thing at a time, and the next some seconds after the cluster is whole again, so that what each costs can be told.
Kinds are dealt like cards: a short run has seen all of them before one comes a second time.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import NamedTuple


class Kind(NamedTuple):
    """``least``, ``most``: seconds that it lasts. ``of``: what happens to whom."""

    name: str
    least: float
    most: float
    of: str


KINDS = (
    Kind("core killed", 1.0, 8.0, "SIGKILL of a core, another process of it later"),
    Kind("core paused", 8.0, 15.0, "SIGSTOP of a core for longer than its lease, SIGCONT"),
    Kind("core paused shortly", 0.5, 3.0, "the same, for less"),
    Kind("tree core killed", 1.0, 8.0, "SIGKILL of the core that keeps a workspace as files"),
    Kind("tree core paused", 8.0, 15.0, "SIGSTOP of that core for longer than its lease, SIGCONT"),
    Kind("core without database", 5.0, 15.0, "nothing goes between a core and PostgreSQL"),
    Kind("core hears no database", 5.0, 15.0, "what a core says gets to PostgreSQL, the answers do not come back"),
    Kind("core without bus", 5.0, 15.0, "nothing goes between a core and NATS"),
    Kind("gateway without bus", 5.0, 15.0, "nothing goes between a gateway and NATS"),
    Kind("gateway killed", 1.0, 8.0, "SIGKILL of a gateway"),
    Kind("gateway paused", 2.0, 15.0, "SIGSTOP of a gateway, SIGCONT"),
    Kind("rolling restart", 0.0, 0.0, "SIGTERM of each instance, one after the other, the next when it is back"),
    Kind("PostgreSQL restarted", 0.0, 2.0, "in good order"),
    Kind("PostgreSQL killed", 0.0, 3.0, "SIGKILL of all of its processes"),
    Kind("NATS restarted", 0.0, 3.0, "in good order"),
)

PARTITIONS = frozenset(("core without database", "core hears no database", "core without bus", "gateway without bus"))
NAMES = tuple(kind.name for kind in KINDS)


class Fault(NamedTuple):
    """``lasting``: seconds. What else it depends on is drawn from ``seed``."""

    kind: str
    lasting: float
    seed: int


def faults_of(seed: int, only: Collection[str] = NAMES) -> Iterator[Fault]:
    """Without an end. ``only``: these kinds and no others."""
    rng = random.Random(seed)
    kinds = [kind for kind in KINDS if kind.name in only]
    while kinds:
        for kind in rng.sample(kinds, len(kinds)):
            yield Fault(kind.name, round(rng.uniform(kind.least, kind.most), 3), rng.randrange(2**32))


def described(fault: Fault) -> str:
    return fault.kind + (f" for {fault.lasting:.1f} s" if fault.lasting >= 0.05 else "")
