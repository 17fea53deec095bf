"""One core of `test_fence_real`: a process with a keeper and an engine on a real PostgreSQL, which writes and reads as
fast as it may, and notes what it was told: ``python -m tests.cluster.fence_worker URL NAME FOLDER DOCUMENT...``

While FOLDER has a file ``rogue`` it takes everything for its own. Times are of the machine's monotonic clock, which is
the same for all processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from unittest.mock import patch

from coscribe.cluster import keeper as keeper_module
from coscribe.cluster import ownership as ownership_module
from coscribe.cluster.keeper import Keeper, steady
from coscribe.cluster.leases import PostgresLeases
from coscribe.cluster.ports import Instance
from coscribe.core.document_state import Limits
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.ports import Identity
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.metrics import metrics
from coscribe.model import SALT_BYTES
from coscribe.persistence.postgres import PostgresStorage
from coscribe.protocol import messages
from tests.simulation.world import Doorman

LEASE = 1.0
FENCE = 0.8
BEAT = 0.2
"""Seconds; a fifth of what servers have, so that a round is quick."""

ANN = Identity("ann", "Ann", "#000000", "editor", account="ann")


class Worker:
    def __init__(self, url: str, name: str, folder: Path, documents: list[str]) -> None:
        self.name = name
        self.documents = documents
        self._rogue = folder / "rogue"
        self._was_rogue = False
        self._notes = (folder / f"{name}.jsonl").open("a", buffering=1)
        storage = PostgresStorage(url)
        self.collaboration = Collaboration(
            storage,
            storage,
            Doorman({}),
            limits=Limits(),
            policy=SnapshotPolicy(operations=50),
            max_backlog=10_000,
            clock=lambda: time.time_ns() // 1_000,
            now=time.monotonic,
            salts=lambda count: [os.urandom(SALT_BYTES) for _ in range(count)],
            owning=self,
        )
        self.keeper = Keeper(
            PostgresLeases(url),
            Instance(f"{time.monotonic_ns():020}-{name}", name, is_core=True),
            steady,
            hand_over=self.collaboration.hand_over,
            drop=self.collaboration.drop_unowned,
        )

    def owns(self, workspace_id: str) -> bool:
        return self._was_rogue or self.keeper.owns(workspace_id)

    def holds(self, workspace_id: str) -> bool:
        return self._was_rogue or self.keeper.holds(workspace_id)

    async def run(self) -> None:
        await self.keeper.start()
        await asyncio.gather(self._watch(), *(self._write(each) for each in self.documents), self._read())

    async def _watch(self) -> None:
        while True:
            rogue = self._rogue.exists()
            if self._was_rogue and not rogue:
                for session in list(self.collaboration.router.sessions.values()):
                    self.collaboration._put_out(session)
            self._was_rogue = rogue
            self._note(refused=metrics.appends_refused._value.get(), fenced=metrics.fenced._value.get())
            await asyncio.sleep(0.05)

    async def _write(self, document: str) -> None:
        number = 0
        base = 0
        while True:
            if self.owns(document):
                number += 1
                name = f"{self.name}-{os.getpid()}-{document}:{number}"
                edit = messages.Operation(document, name, "ann", base, "insert", 0, "x")
                try:
                    (place,) = await self.collaboration.edit(ANN, edit)
                except Exception as error:
                    self._note(error=repr(error))
                else:
                    base = place.document_version
                    self._note(ack=name, document=document, sequence=place.server_sequence_id)
            await asyncio.sleep(random.uniform(0.0, 0.02))

    async def _read(self) -> None:
        while True:
            document = random.choice(self.documents)
            began, rogue = time.monotonic(), self._was_rogue
            if self.owns(document):
                try:
                    shown = await self.collaboration.text(ANN, document)
                except Exception as error:
                    self._note(error=repr(error))
                else:
                    if not (rogue or self._was_rogue):
                        self._note(read=document, sequence=shown.sequence, length=len(shown.text), began=began)
            await asyncio.sleep(random.uniform(0.0, 0.02))

    def _note(self, **what: object) -> None:
        self._notes.write(json.dumps({"t": time.monotonic(), "by": self.name, **what}) + "\n")


def main() -> None:
    url, name, folder, *documents = sys.argv[1:]
    with (
        patch.object(keeper_module, "LEASE_SECONDS", LEASE),
        patch.object(keeper_module, "BEAT_SECONDS", BEAT),
        patch.object(ownership_module, "FENCE_SECONDS", FENCE),
    ):
        asyncio.run(Worker(url, name, Path(folder), documents).run())


if __name__ == "__main__":
    main()
