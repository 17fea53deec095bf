"""Whether this instance owns something at this moment, and what it has to do next: the rules, without I/O.

An instance owns what the table says as long as the database cannot have let anybody else in. It cannot read the
database's clock, so it counts on its own, from before it asked:

    database            T: lives until T + LEASE ---------------------------- T + LEASE: others may take
                       /                                                     |
    this instance  ---+-------+--------------------- + ----------------------+-----> time
                  asked    answered          asked + FENCE
                   |<---------- owns ---------------->| owns nothing, shows nothing

T is not before it asked, so the others come LEASE after that at the earliest. FENCE is shorter: its clock may run slow
against the database's by a fifth, or what it was about to show may take a second to leave. A beat whose answer is late
counts from when it was asked for, so an answer that was read after a pause gives nothing. When it owns again after
that, whatever it had in memory is gone first: somebody may have been there in between. (`fence`, which says what has to
go, is asked before each table is taken in.)

What becomes of a unit (a shard, or a pinned workspace), as this instance sees it:

    nobody's --take--> owned --begin--> handed over --handed--> given up --release--> nobody's
                                    (shown still, nobody new)   (row still there)

Once it was given up, a row that says otherwise gives it back only after the table has shown that it is not there any
more: the answer to a release may be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coscribe.cluster.ports import Instance, Table, Unit
from coscribe.cluster.shards import places, shard_of

LEASE_SECONDS = 5.0
"""How long an instance lives after a beat, by the clock of the database."""

FENCE_SECONDS = 4.0
"""How long it owns anything after it asked for that beat, by its own monotonic clock."""


class Change(NamedTuple):
    """What a table has changed. ``gained``: is owned now, and was not before. ``lost``: something is to be shown no
    longer."""

    gained: frozenset[Unit]
    lost: bool


class Duty(NamedTuple):
    """What to ask the database for, and what to hand over to whom it belongs to."""

    take: list[Unit]
    release: list[Unit]
    hand_over: list[Unit]


def apart(table: Table) -> frozenset[str]:
    """The ids of those that nobody reaches, as they are cut off from the bus. Where no core is sure to reach it it is
    the bus that is away, or was a moment ago, and nothing would be gained by moving anything: then none."""
    settled = [table.instances[each] for each in table.settled]
    if not any(each.is_core and not each.leaving and not each.cut_off for each in settled):
        return frozenset()
    return frozenset(each.instance_id for each in settled if each.cut_off)


def may_own(table: Table) -> Sequence[Instance]:
    """The cores that are not on their way out, and can be reached."""
    out_of_reach = apart(table)
    cores = (each for each in table.instances.values() if each.is_core and not each.leaving)
    return [each for each in cores if each.instance_id not in out_of_reach]


def at_work(table: Table) -> Sequence[Instance]:
    """Of the cores that may own something those that do: one that is new can do little yet. Where none does, all."""
    cores = may_own(table)
    owning = set(table.owners)
    return [each for each in cores if each.instance_id in owning] or cores


class Ownership:
    """Of one instance. Times are monotonic seconds."""

    def __init__(self, instance_id: str) -> None:
        self._id = instance_id
        self._held: frozenset[Unit] = frozenset()
        self._leaving: frozenset[Unit] = frozenset()
        self._given_up: frozenset[Unit] = frozenset()
        self.table = Table({}, (), {})
        self.at_work: Sequence[Instance] = ()
        self.is_apart = False
        self.fence_at = float("-inf")
        """From here on it owns nothing."""

    # ---- asked for every message

    def owns(self, workspace_id: str, now: float) -> bool:
        unit = self.unit(workspace_id)
        return now < self.fence_at and unit in self._held and unit not in self._leaving

    def holds(self, workspace_id: str, now: float) -> bool:
        """While it is handed over, too."""
        return now < self.fence_at and self.unit(workspace_id) in self._held

    def owner_of(self, workspace_id: str, now: float) -> str | None:
        """None: nobody, as far as it is known."""
        unit = self.unit(workspace_id)
        owner = _owner(self.table, unit) if self.table.owners else ""
        if owner == self._id:
            return owner if self.owns(workspace_id, now) else None
        return owner if owner in self.table.instances else None

    @property
    def held(self) -> frozenset[Unit]:
        """What it owns or hands over, as long as its time has not run out."""
        return self._held

    # ---- told

    def fence(self, now: float) -> bool:
        """Time has passed. True: it is up, and all that was held must be shown no longer."""
        if now < self.fence_at or not self._held:
            return False
        self._held = frozenset()
        return True

    def beaten(self, asked: float, table: Table, now: float) -> Change:
        """A beat that was asked for at ``asked`` was answered with a table."""
        assert now < self.fence_at or not self._held
        self.fence_at = max(self.fence_at, asked + FENCE_SECONDS)
        return self.seen(table, now)

    def seen(self, table: Table, now: float) -> Change:
        """The table was read, a later one than the one before."""
        assert now < self.fence_at or not self._held
        mine = frozenset(unit for unit, owner in owners(table) if owner == self._id)
        lives = self._id in table.instances and now < self.fence_at
        self._given_up &= mine
        self._leaving &= mine
        before, self._held = self._held, mine - self._given_up if lives else frozenset()
        lost = not before <= self._held or self.table.pins != table.pins
        self.table = table
        self.at_work = at_work(table)
        self.is_apart = self._id in apart(table)
        return Change(self._held - before, lost)

    def begin(self, units: Iterable[Unit]) -> None:
        """It begins to hand over: nobody new is let in."""
        self._leaving |= frozenset(units) & self._held

    def handed(self, units: Iterable[Unit]) -> None:
        """It has handed over, and does not show them any more."""
        units = frozenset(units)
        self._given_up |= units
        self._held -= units
        self._leaving -= units

    # ---- next

    def duty(self) -> Duty:
        """By the table as it was read last."""
        table, me = self.table, self._id
        myself = table.instances.get(me)
        if myself is None or not myself.is_core:
            return Duty([], [], [])
        take: list[Unit] = []
        hand_over: list[Unit] = []
        homes = Homes(table)
        for unit, owner in owners(table):
            home = homes.of(unit)
            if owner not in table.instances and home == me:
                take.append(unit)
            elif unit in self._held and unit not in self._leaving:
                goes_back = not isinstance(unit, int) and not table.pins[unit].name
                if goes_back or myself.leaving or (home != me and home):
                    hand_over.append(unit)
        return Duty(take, sorted(self._given_up, key=str), hand_over)

    def unit(self, workspace_id: str) -> Unit:
        """What a workspace is owned as part of."""
        return workspace_id if workspace_id in self.table.pins else shard_of(workspace_id)


class Homes:
    """Where each unit of a table belongs: the ids of cores."""

    def __init__(self, table: Table) -> None:
        self._pins = table.pins
        self._ids = {core.name: core.instance_id for core in sorted(may_own(table))}
        self._names = places(frozenset(self._ids))

    def of(self, unit: Unit) -> str:
        """ "": nowhere, for want of cores."""
        if isinstance(unit, int):
            return self._ids.get(self._names[unit], "")
        return self._ids.get(self._pins[unit].name) or self.of(shard_of(unit))


def owners(table: Table) -> Iterable[tuple[Unit, str]]:
    """All units with the ids of their owners."""
    yield from enumerate(table.owners)
    for workspace_id, pin in table.pins.items():
        yield workspace_id, pin.owner


def _owner(table: Table, unit: Unit) -> str:
    return table.owners[unit] if isinstance(unit, int) else table.pins[unit].owner
