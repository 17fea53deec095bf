"""A server that has a week before it, on virtual time: the product's parts on a real database, and wires to it.

Nothing is simulated but the clocks and the network, which here brings every frame at once and in order. What SQLite's
threads do in the field is done in place: the same statements on the same connections, while time stands still.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from coscribe.client.link import Received
from coscribe.core.document_state import Limits
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.compaction import Compaction
from coscribe.documents.ports import Append, AppendResult, Identity, SegmentSize
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.auth import RoleOfToken
from coscribe.gateway.connection import Context
from coscribe.gateway.gateway import Gateway
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage, connect
from tests.simulation.virtual_loop import VirtualLoop
from tests.soak.journal import Journal

_T = TypeVar("_T")

MONDAY = 1_704_067_200
"""Midnight before the first day, in seconds since 1970; long ago, as the past is."""

SENT_EVERY = 300
"""One in so many messages of clients is kept to be sent again, about."""


class Plan(NamedTuple):
    """The first ``hours`` of a week in which so many people write in so many documents."""

    hours: float = 168.0
    people: int = 12
    documents: int = 20
    seed: int = 1


def identity_of(user_id: str) -> Identity:
    return Identity(user_id, user_id, "#123456", "editor", account=user_id)


class Disk(SqliteStorage):
    """The product's storage. The journal is told of every entry once it is durable."""

    def __init__(self, path: Path, journal: Journal) -> None:
        super().__init__(path)
        self._journal = journal
        for worker in (self._writer, self._reader):

            async def run(job: Callable[[sqlite3.Connection], _T], worker: object = worker) -> _T:
                await asyncio.sleep(0)
                return job(worker._connection)  # type: ignore[attr-defined]  # bound on purpose

            worker.run = run  # type: ignore[method-assign]  # in place, see above

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        results = await super().append(appends)
        self._journal.committed(appends, results)
        return results


class Office:
    """The server, and what everybody who works with it shares."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.loop = VirtualLoop()
        self.limits, self.policy = Limits(), SnapshotPolicy()
        self.journal = Journal(folder / "journal")
        self.files = [f"file{number:02}" for number in range(plan.documents)]
        self.database = folder / "coscribe.db"
        self._chance = random.Random(plan.seed)
        self._made = 0
        migrate(self.database)
        self.storage = Disk(self.database, self.journal)
        self.reader = connect(self.database, read_only=True)
        self.collaboration = self._collaboration()
        context = Context(
            self.collaboration,
            _Doorman(),
            GatewayLimits(),
            self.loop.time,
            lambda: MONDAY + self.loop.time(),
            self.name,
            "soak",
            Pace(self.loop.time),
        )
        self.gateway = Gateway(context, frozenset())

    def _collaboration(self) -> Collaboration:
        """As the composition root makes it, but for the clocks."""
        storage, policy, salts = self.storage, self.policy, random.Random(self.plan.seed)
        collaboration = Collaboration(
            storage,
            storage,
            RoleOfToken(),
            limits=self.limits,
            policy=policy,
            max_backlog=50_000,
            clock=lambda: int((MONDAY + self.loop.time()) * 1_000_000),
            now=self.loop.time,
            salts=lambda count: [salts.randbytes(16) for _ in range(count)],
        )
        size = SegmentSize(policy.segment_entries, policy.segment_bytes, policy.segment_entries)
        collaboration.snapshots.compact_with(Compaction(storage, collaboration.router, size, policy.segments_per_sweep))
        return collaboration

    def name(self) -> str:
        """One that nobody else has had."""
        self._made += 1
        return f"n{self._made}"

    async def dial(self, user_id: str, received: Received) -> Wire:
        return Wire(self, user_id, received)

    def keeps(self) -> bool:
        """Whether a message is one of those that are kept."""
        return self._chance.random() * SENT_EVERY < 1.0

    def closed_through(self, file_id: str) -> int:
        """The last sequence of a document that is in a segment."""
        with closing(
            self.reader.execute(
                "SELECT max(last_sequence) FROM log_segments JOIN workspaces USING (workspace_key)"
                " WHERE workspace_id = ?",
                (file_id,),
            )
        ) as found:
            return int(found.fetchone()[0] or 0)

    async def close(self) -> None:
        await self.gateway.stop(1_000)
        await self.storage.close()
        self.reader.close()
        self.journal.close()


class _Doorman:
    """Tokens are user ids."""

    async def authenticate(self, token: str) -> Identity:
        return identity_of(token)

    async def is_valid(self, identity: Identity) -> bool:
        return True


class Wire:
    """A client's end of a connection; `_End` is the server's."""

    def __init__(self, office: Office, user_id: str, received: Received) -> None:
        self.gone = asyncio.Event()
        self._office = office
        self._user_id = user_id
        self._received = received
        self.connection = office.gateway.open(_End(self))

    def send(self, frame: bytes) -> None:
        if not self.gone.is_set():
            if b'"operation' in frame[:40] or b'"chain' in frame[:40]:
                self._note(frame)
            self._office.loop.call_soon(self.connection.receive, frame)

    def abort(self) -> None:
        if not self.gone.is_set():
            self.gone.set()
            self._office.loop.call_soon(self._office.gateway.lost, self.connection)

    def close(self) -> None:
        self.abort()

    async def closed(self) -> None:
        await self.gone.wait()

    def bring(self, frame: bytes) -> None:
        if not self.gone.is_set():
            self._received(self, frame)

    def _note(self, frame: bytes) -> None:
        if self._office.keeps():
            self._office.journal.sent(self._user_id, frame)


class _End:
    """The transport of the gateway's connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def send(self, frame: bytes) -> None:
        self._wire._office.loop.call_soon(self._wire.bring, frame)

    def ping(self) -> None:
        self._wire._office.loop.call_soon(self._wire.connection.heard)

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self._wire._office.loop.call_soon(self._wire.abort)
