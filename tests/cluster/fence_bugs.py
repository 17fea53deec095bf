"""Planted bugs: each takes away one of the things that the fence rests on, and a schedule has to notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from coscribe.cluster import leases
from coscribe.cluster.keeper import Keeper
from coscribe.cluster.leases import MemoryTable
from coscribe.cluster.ownership import Change, Homes, Ownership, owners
from coscribe.cluster.ports import Table, Unit
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.committer import Committer
from coscribe.documents.document_router import DocumentRouter
from coscribe.documents.ports import Append, AppendResult
from coscribe.model import Workspace
from coscribe.persistence.memory import MemoryStorage
from tests.cluster.fence_world import FarStorage
from tests.simulation.disk import _at_once
from tests.simulation.planting import Plant, around, instead


class Bug(NamedTuple):
    """``within``: so many schedules are enough, of those in which these ``troubles`` happen (none: any)."""

    plant: Plant
    within: int
    troubles: tuple[str, ...] = ()


@contextmanager
def _all(*bugs: Plant) -> Iterator[None]:
    with ExitStack() as stack:
        for bug in bugs:
            stack.enter_context(bug())
        yield


# ---- the head


async def _reads_and_then_raises(self: FarStorage, workspace_id: str) -> Workspace | None:
    world, core = self._world, self._core

    def read() -> Workspace:
        return world.storage._workspace(world.storage._by_id[workspace_id])

    def raise_epoch() -> int:
        workspace = _at_once(world.storage.acquire(workspace_id))
        assert workspace is not None
        world.truth.acquired(workspace, core)
        return workspace.epoch

    found = await core.way.ask(read)
    return found._replace(epoch=await core.way.ask(raise_epoch))


def _accepting(*, epoch: bool, previous: bool, ids: bool = True) -> Callable[[Any], object]:
    """An append that looks only at these."""

    def make(original: Any) -> object:
        def append(self: MemoryStorage, new: Append) -> AppendResult:
            stored = self._by_key[new.workspace_key]
            as_it_is = new._replace(
                epoch=new.epoch if epoch else stored.epoch,
                previous_sequence=new.previous_sequence if previous else stored.last_sequence,
            )
            known = stored.ids
            if not ids:
                stored.ids = {}
            result: AppendResult = original(self, as_it_is)
            stored.ids = {**known, **stored.ids}
            return result

        return append

    return make


def _raises_nothing(original: Any) -> object:
    async def acquire(self: MemoryStorage, workspace_id: str) -> Workspace | None:
        stored = self._by_id[workspace_id]
        stored.epoch = max(stored.epoch, 1)
        return self._workspace(stored)

    return acquire


# ---- the leases


def _beaten_from_the_answer(original: Any) -> object:
    def beaten(self: Ownership, asked: float, table: Table, now: float) -> Change:
        change: Change = original(self, now, table, now)
        return change

    return beaten


def _takes_what_is_owned(original: Any) -> object:
    def take(self: MemoryTable, instance_id: str, units: Sequence[Unit], call: int) -> Table:
        row = self._rows.get(instance_id)
        if row is not None and row.calls < call:
            row.calls = call
            for unit in units:
                self._set_owner(unit, instance_id)
        return self.table()

    return take


def _wants_what_is_owned(original: Any) -> object:
    """It asks for all that belongs to it, whoever has it."""

    def duty(self: Ownership) -> Any:
        found = original(self)
        myself = self.table.instances.get(self._id)
        if myself is None or myself.leaving:
            return found
        homes = Homes(self.table)
        mine = [unit for unit, owner in owners(self.table) if homes.of(unit) == self._id != owner]
        return found._replace(take=mine)

    return duty


def _number_forgotten(original: Any) -> object:
    def act(self: MemoryTable, instance_id: str, units: Sequence[Unit], call: int) -> Table:
        row = self._rows.get(instance_id)
        before = row.calls if row is not None else 0
        if row is not None:
            row.calls = call - 1
        table: Table = original(self, instance_id, units, call)
        if row is not None:
            row.calls = max(before, row.calls)
        return table

    return act


def _owned_for_ever(original: Any) -> object:
    def beaten(self: Ownership, asked: float, table: Table, now: float) -> Change:
        change: Change = original(self, asked, table, now)
        self.fence_at = float("inf")
        return change

    return beaten


# ---- the engine


def _keeps_all(self: Collaboration) -> None:
    """Nothing goes from memory."""


def _shows_all(self: Committer, session: object) -> bool:
    return True


def _lets_all_in(self: DocumentRouter, workspace_id: str) -> None:
    """Whoever asks gets it."""


def _releases_first(original: Any) -> object:
    async def hand(self: Keeper, units: Sequence[Unit]) -> None:
        ownership = self._ownership
        table = await self._leases.release(self._instance.instance_id, units)
        held = ownership._held
        ownership.seen(table, self._now())
        ownership._held = held
        self._tell()
        await original(self, units)

    return hand


BUGS: dict[str, Bug] = {
    "an owner reads, and then raises the epoch": Bug(
        instead(FarStorage, "acquire", _reads_and_then_raises), 300, ("rogue", "slow there", "kill")
    ),
    "the epoch is not checked": Bug(
        around(MemoryStorage, "_append", _accepting(epoch=False, previous=True)), 50, ("pause in a commit", "rogue")
    ),
    "the sequence before is not checked": Bug(
        around(MemoryStorage, "_append", _accepting(epoch=True, previous=False, ids=False)), 50, ("twice",)
    ),
    "neither is checked": Bug(
        around(MemoryStorage, "_append", _accepting(epoch=False, previous=False)), 50, ("pause in a commit", "rogue")
    ),
    "a load does not raise the epoch": Bug(
        around(MemoryStorage, "acquire", _raises_nothing), 50, ("pause in a commit", "slow there")
    ),
    "the fence counts from the answer": Bug(
        around(Ownership, "beaten", _beaten_from_the_answer), 100, ("pause past the lease", "slow back", "mute")
    ),
    "there is no fence": Bug(around(Ownership, "beaten", _owned_for_ever), 50, ("mute", "cut")),
    "what somebody alive has is taken": Bug(
        lambda: _all(
            around(MemoryTable, "take", _takes_what_is_owned), around(Ownership, "duty", _wants_what_is_owned)
        ),
        50,
        ("another", "kill"),
    ),
    "a release that comes late counts": Bug(
        around(MemoryTable, "release", _number_forgotten), 300, ("straggling", "pin", "pin", "pin")
    ),
    "nothing goes from memory at the fence": Bug(
        instead(Collaboration, "drop_unowned", _keeps_all), 50, ("cut", "pause past the lease")
    ),
    "who lost it shows it to those who wait": Bug(
        instead(Committer, "_holds", _shows_all), 400, ("pause", "pause past the lease", "slow there")
    ),
    "whoever asks is let in": Bug(instead(DocumentRouter, "_check_owned", _lets_all_in), 50),
    "it is given up before it is handed over": Bug(
        around(Keeper, "_hand", _releases_first), 50, ("another", "leave", "slow there")
    ),
    "the row of one who has left goes at once": Bug(
        instead(leases, "KEPT_SECONDS", -1.0), 600, ("leave", "slow there", "mute")
    ),
}
"""By what is wrong."""
