"""Who owns what, in PostgreSQL, and in memory for simulations and tests.

A row that names an owner counts as long as the owner's row in ``instances`` is there. A beat moves on when that row may
be deleted; whoever takes something first deletes the rows whose time has run out. Both write the same row, so one of
them waits for the other: either the beat came first, and the instance lives, or it was deleted, and its next beat finds
no row, gives up what still names it, and begins anew. There is no moment at which one instance reads that it lives and
another takes what it owns.

Each call of an instance has a number, and its row knows the last one that happened: what comes behind a later one (a
call that was given up while the network kept it) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coscribe.cluster.ports import SHARDS, Instance, Pin, Table, Unit
from coscribe.cluster.shards import shard_of

KEPT_SECONDS = 60.0
"""How long the row of an instance is kept after its time, at least, where nobody takes what it owned."""


@dataclass(slots=True)
class _Row:
    instance: Instance
    until: float
    calls: int


class MemoryTable:
    """The rows, in memory; every method is one transaction. ``clock`` is that of the database, in seconds. ``call`` is
    the number of a call of that instance."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._owners = [""] * SHARDS
        self._pins: dict[str, Pin] = {}

    def beat(self, instance: Instance, seconds: float, call: int) -> Table:
        me, now = instance.instance_id, self._clock()
        for ended in [key for key, row in self._rows.items() if row.until + KEPT_SECONDS < now]:
            del self._rows[ended]
        row = self._rows.get(me)
        if row is None:
            self._give_up(me)
            row = self._rows[me] = _Row(instance, now, 0)
        if row.calls < call:
            self._rows[me] = _Row(instance, now + seconds, call)
        return self.table()

    def table(self) -> Table:
        now = self._clock()
        alive = {key: row.instance for key, row in self._rows.items() if row.until > now}
        return Table(alive, tuple(self._owners), dict(self._pins))

    def take(self, instance_id: str, units: Sequence[Unit], call: int) -> Table:
        row, now = self._rows.get(instance_id), self._clock()
        if row is not None and row.until > now and row.calls < call and row.instance.is_core:
            row.calls = call
            if not row.instance.leaving:
                for ended in [key for key, other in self._rows.items() if other.until <= now]:
                    del self._rows[ended]
                for unit in units:
                    owner = self._owner(unit)
                    if owner is not None and owner not in self._rows:
                        self._set_owner(unit, instance_id)
        return self.table()

    def release(self, instance_id: str, units: Sequence[Unit], call: int) -> Table:
        row = self._rows.get(instance_id)
        if row is not None and row.calls < call:
            row.calls = call
            for unit in units:
                if self._owner(unit) == instance_id:
                    self._set_owner(unit, "")
        return self.table()

    def leave(self, instance_id: str, call: int) -> None:
        row = self._rows.get(instance_id)
        if row is not None and row.calls < call:
            del self._rows[instance_id]
            self._give_up(instance_id)

    def pin(self, workspace_id: str, name: str) -> Table:
        owner = self._owner(workspace_id)
        if owner is not None:
            self._pins[workspace_id] = Pin(name, owner)
        elif name:
            self._pins[workspace_id] = Pin(name, self._owners[shard_of(workspace_id)])
        return self.table()

    def _owner(self, unit: Unit) -> str | None:
        """None: there is no such row."""
        if isinstance(unit, int):
            return self._owners[unit]
        pin = self._pins.get(unit)
        return None if pin is None else pin.owner

    def _set_owner(self, unit: Unit, owner: str) -> None:
        """A workspace that is pinned no longer goes back to its shard."""
        if isinstance(unit, int):
            self._owners[unit] = owner
        elif name := self._pins[unit].name:
            self._pins[unit] = Pin(name, owner)
        else:
            del self._pins[unit]

    def _give_up(self, instance_id: str) -> None:
        mine: list[Unit] = [shard for shard, owner in enumerate(self._owners) if owner == instance_id]
        mine += [workspace_id for workspace_id, pin in self._pins.items() if pin.owner == instance_id]
        for unit in mine:
            self._set_owner(unit, "")


class MemoryLeases:
    """Leases of one instance on a table in memory."""

    def __init__(self, table: MemoryTable) -> None:
        self._table = table
        self._calls = 0

    async def beat(self, instance: Instance, seconds: float) -> Table:
        return self._table.beat(instance, seconds, self._call())

    async def table(self) -> Table:
        return self._table.table()

    async def take(self, instance_id: str, units: Sequence[Unit]) -> Table:
        return self._table.take(instance_id, units, self._call())

    async def release(self, instance_id: str, units: Sequence[Unit]) -> Table:
        return self._table.release(instance_id, units, self._call())

    async def leave(self, instance_id: str) -> None:
        self._table.leave(instance_id, self._call())

    async def pin(self, workspace_id: str, name: str) -> Table:
        return self._table.pin(workspace_id, name)

    def _call(self) -> int:
        self._calls += 1
        return self._calls
