"""Who owns what, in PostgreSQL, and in memory for simulations and tests.

A row that names an owner counts as long as the owner's row in ``instances`` is there. A beat moves on when that row may
be deleted; whoever takes something first deletes the rows whose time has run out. Both write the same row, so one of
them waits for the other: either the beat came first, and the instance lives, or it was deleted, and its next beat finds
no row, gives up what still names it, and begins anew. There is no moment at which one instance reads that it lives and
another takes what it owns.

Each call of an instance has a number, and its row knows the last one that happened: what comes behind a later one (a
call that was given up while the network kept it) changes nothing. So the row of one that has signed off stays a while.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import asyncpg

from coscribe.cluster.ports import SETTLED_SECONDS, SHARDS, Instance, Pin, Table, Unit
from coscribe.cluster.shards import shard_of
from coscribe.documents.ports import StorageError

_T = TypeVar("_T")

KEPT_SECONDS = 60.0
"""How long the row of an instance is kept after its time where nobody takes what it owned, and after it signed off."""


@dataclass(slots=True)
class _Row:
    """``gone``: it has signed off. ``since``: when it was cut off, or was so no longer."""

    instance: Instance
    until: float
    calls: int
    since: float
    gone: bool = False


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
            row = self._rows[me] = _Row(instance, now, 0, now)
        if row.calls < call:
            since = row.since if instance.cut_off == row.instance.cut_off else now
            self._rows[me] = _Row(instance, now + seconds, call, since)
        return self.table()

    def table(self) -> Table:
        now = self._clock()
        alive = {key: row.instance for key, row in self._rows.items() if row.until > now and not row.gone}
        settled = frozenset(key for key in alive if self._rows[key].since + SETTLED_SECONDS <= now)
        return Table(alive, tuple(self._owners), dict(self._pins), settled)

    def take(self, instance_id: str, units: Sequence[Unit], call: int) -> Table:
        row, now = self._rows.get(instance_id), self._clock()
        if row is not None and row.until > now and row.calls < call and not row.gone:
            row.calls = call
            if row.instance.is_core and not row.instance.leaving:
                for ended in [key for key, other in self._rows.items() if other.until <= now and not other.gone]:
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
            self._rows[instance_id] = _Row(row.instance, self._clock(), call, row.since, gone=True)
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
    """Leases of one instance on a table in memory. ``calls``: how many it has made."""

    def __init__(self, table: MemoryTable) -> None:
        self._table = table
        self.calls = 0

    async def beat(self, instance: Instance, seconds: float) -> Table:
        return await self._call(lambda call: self._table.beat(instance, seconds, call))

    async def table(self) -> Table:
        return await self._call(lambda _: self._table.table())

    async def take(self, instance_id: str, units: Sequence[Unit]) -> Table:
        return await self._call(lambda call: self._table.take(instance_id, units, call))

    async def release(self, instance_id: str, units: Sequence[Unit]) -> Table:
        return await self._call(lambda call: self._table.release(instance_id, units, call))

    async def leave(self, instance_id: str) -> None:
        await self._call(lambda call: self._table.leave(instance_id, call))

    async def pin(self, workspace_id: str, name: str) -> Table:
        return await self._call(lambda _: self._table.pin(workspace_id, name))

    async def _call(self, act: Callable[[int], _T]) -> _T:
        self.calls += 1
        return await self._ask(partial(act, self.calls))

    async def _ask(self, act: Callable[[], _T]) -> _T:
        """Does it at once; a simulation has a way in between."""
        return act()


CALL_SECONDS = 1.5
"""How long the database may take for a call; and how long one that has gone to sleep in the middle of a transaction may
keep the others from theirs."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('coscribe.leases', 0))"
"""Who changes more than its own row does so alone."""

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

_BEAT = f"""
WITH ended AS (DELETE FROM instances WHERE alive_until < {_NOW} - $7::bigint AND instance_id <> $1)
UPDATE instances SET name = $2, is_core = $3, leaving = $4, alive_until = {_NOW} + $6::bigint, calls = $8,
    cut_off = $5, cut_off_at = CASE WHEN cut_off = $5 THEN cut_off_at ELSE {_NOW} END
WHERE instance_id = $1 AND calls < $8
"""

_IS_THERE = "SELECT EXISTS (SELECT FROM instances WHERE instance_id = $1)"

_BEGIN = f"""
INSERT INTO instances (instance_id, name, is_core, leaving, cut_off, cut_off_at, alive_until, calls)
VALUES ($1, $2, $3, $4, $5, {_NOW}, {_NOW} + $6::bigint, $7)
ON CONFLICT (instance_id) DO NOTHING
"""

_CALL = "UPDATE instances SET calls = $2 WHERE instance_id = $1 AND calls < $2"

_MAY_TAKE = f"""
UPDATE instances SET calls = $2
WHERE instance_id = $1 AND calls < $2 AND alive_until > {_NOW} AND is_core AND NOT leaving
"""

_END = f"DELETE FROM instances WHERE alive_until BETWEEN 1 AND {_NOW}"

_TAKE_SHARDS = """
INSERT INTO shard_leases (shard, owner) SELECT unnest($2::int[]), $1
ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner
WHERE NOT EXISTS (SELECT FROM instances WHERE instance_id = shard_leases.owner)
"""

_BACK_TO_SHARDS = """
DELETE FROM workspace_pins WHERE workspace_id = ANY ($1::text[]) AND name = ''
AND NOT EXISTS (SELECT FROM instances WHERE instance_id = workspace_pins.owner)
"""

_TAKE_PINNED = """
UPDATE workspace_pins SET owner = $1 WHERE workspace_id = ANY ($2::text[])
AND NOT EXISTS (SELECT FROM instances WHERE instance_id = workspace_pins.owner)
"""

_RELEASE_SHARDS = "DELETE FROM shard_leases WHERE owner = $1 AND shard = ANY ($2::int[])"
_RELEASE_PINNED = "UPDATE workspace_pins SET owner = '' WHERE owner = $1 AND workspace_id = ANY ($2::text[])"

_GIVE_UP_SHARDS = "DELETE FROM shard_leases WHERE owner = $1"
_GIVE_UP_PINNED = "UPDATE workspace_pins SET owner = '' WHERE owner = $1"
_NOT_PINNED = "DELETE FROM workspace_pins WHERE name = '' AND owner = ''"

_SIGN_OFF = "UPDATE instances SET alive_until = 0, calls = $2 WHERE instance_id = $1 AND calls < $2"

_PIN = """
INSERT INTO workspace_pins (workspace_id, name, owner)
SELECT $1::text, $2::text, coalesce((SELECT owner FROM shard_leases WHERE shard = $3), '')
WHERE $2::text <> '' OR EXISTS (SELECT FROM workspace_pins WHERE workspace_id = $1::text)
ON CONFLICT (workspace_id) DO UPDATE SET name = excluded.name
"""

_TABLE = f"""
SELECT json_build_object(
    'instances', (SELECT json_agg(json_build_array(instance_id, name, is_core, leaving, cut_off) ORDER BY instance_id)
                  FROM instances WHERE alive_until > {_NOW}),
    'settled', (SELECT json_agg(instance_id) FROM instances
                WHERE cut_off_at <= {_NOW} - {int(SETTLED_SECONDS * 1e6)} AND alive_until > {_NOW}),
    'owners', (SELECT json_object_agg(owner, shards)
               FROM (SELECT owner, array_agg(shard) AS shards FROM shard_leases GROUP BY owner) AS owners),
    'pins', (SELECT json_object_agg(workspace_id, json_build_array(name, owner)) FROM workspace_pins))::text
"""


class PostgresLeases:
    """Leases of one instance in PostgreSQL, on a connection of their own. Nothing is connected before it is needed, and
    after a failure it connects anew."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._calls = 0
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None

    async def beat(self, instance: Instance, seconds: float) -> Table:
        me, lives, call = instance.instance_id, int(seconds * 1e6), self._call()
        async with self._connected() as connection:
            done = await connection.execute(_BEAT, *instance, lives, int(KEPT_SECONDS * 1e6), call)
            if not _some(done) and not await connection.fetchval(_IS_THERE, me):
                async with self._alone(connection):
                    if _some(await connection.execute(_BEGIN, *instance, lives, call)):
                        await self._give_up(connection, me)
            return await _read(connection)

    async def table(self) -> Table:
        async with self._connected() as connection:
            return await _read(connection)

    async def take(self, instance_id: str, units: Sequence[Unit]) -> Table:
        call = self._call()
        shards, pinned = _sorted(units)
        async with self._connected() as connection:
            async with self._alone(connection):
                if _some(await connection.execute(_MAY_TAKE, instance_id, call)):
                    await connection.execute(_END)
                    await connection.execute(_TAKE_SHARDS, instance_id, shards)
                    if pinned:
                        await connection.execute(_BACK_TO_SHARDS, pinned)
                        await connection.execute(_TAKE_PINNED, instance_id, pinned)
            return await _read(connection)

    async def release(self, instance_id: str, units: Sequence[Unit]) -> Table:
        call = self._call()
        shards, pinned = _sorted(units)
        async with self._connected() as connection:
            async with self._alone(connection):
                if _some(await connection.execute(_CALL, instance_id, call)):
                    await connection.execute(_RELEASE_SHARDS, instance_id, shards)
                    if pinned:
                        await connection.execute(_RELEASE_PINNED, instance_id, pinned)
                        await connection.execute(_NOT_PINNED)
            return await _read(connection)

    async def leave(self, instance_id: str) -> None:
        call = self._call()
        async with self._connected() as connection, self._alone(connection):
            if _some(await connection.execute(_SIGN_OFF, instance_id, call)):
                await self._give_up(connection, instance_id)

    async def pin(self, workspace_id: str, name: str) -> Table:
        async with self._connected() as connection:
            async with self._alone(connection):
                await connection.execute(_PIN, workspace_id, name, shard_of(workspace_id))
                await connection.execute(_NOT_PINNED)
            return await _read(connection)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _call(self) -> int:
        self._calls += 1
        return self._calls

    async def _give_up(self, connection: asyncpg.Connection, instance_id: str) -> None:
        await connection.execute(_GIVE_UP_SHARDS, instance_id)
        await connection.execute(_GIVE_UP_PINNED, instance_id)
        await connection.execute(_NOT_PINNED)

    @asynccontextmanager
    async def _alone(self, connection: asyncpg.Connection) -> AsyncIterator[None]:
        """One transaction. One that fails is not rolled back but cut off: whoever is cancelled cannot wait for that."""
        await connection.execute("BEGIN")
        await connection.execute(_LOCK)
        yield
        await connection.execute("COMMIT")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        """One call at a time. Where one fails, or is given up, its connection goes. Raises StorageError."""
        async with self._turn:
            connection = self._connection
            try:
                if connection is None or connection.is_closed():
                    connection = self._connection = await self._connect()
                yield connection
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                self._drop(connection)
                raise StorageError(f"{type(error).__name__}: {error}") from error
            except BaseException:
                self._drop(connection)
                raise

    async def _connect(self) -> asyncpg.Connection:
        milliseconds = str(int(CALL_SECONDS * 1_000))
        settings = {
            "application_name": "coscribe leases",
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "default_transaction_isolation": "read committed",
        }
        return await asyncpg.connect(
            self._url, timeout=CALL_SECONDS, command_timeout=CALL_SECONDS, server_settings=settings
        )

    def _drop(self, connection: asyncpg.Connection | None) -> None:
        self._connection = None
        if connection is not None:
            connection.terminate()


def _some(status: str) -> bool:
    """Whether a statement has hit a row, by what it said (``UPDATE 1``)."""
    return not status.endswith(" 0")


def _sorted(units: Sequence[Unit]) -> tuple[list[int], list[str]]:
    shards = [unit for unit in units if isinstance(unit, int)]
    return shards, [unit for unit in units if isinstance(unit, str)]


async def _read(connection: asyncpg.Connection) -> Table:
    found = json.loads(await connection.fetchval(_TABLE))
    owners = [""] * SHARDS
    for owner, shards in (found["owners"] or {}).items():
        for shard in shards:
            owners[shard] = owner
    instances = {row[0]: Instance(*row) for row in found["instances"] or ()}
    pins = {key: Pin(*pin) for key, pin in (found["pins"] or {}).items()}
    return Table(instances, tuple(owners), pins, frozenset(found["settled"] or ()))
