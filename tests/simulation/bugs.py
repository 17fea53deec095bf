"""Planted bugs: each is a mistake that somebody might make, and the simulation has to notice it.

`BUGS` names them, with a number of seeds within which each is found (from seed 0). The core must be the pure one
(COSCRIBE_PURE=1): a compiled one cannot be changed from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from coscribe.client.document import Document
from coscribe.client.pending import PendingFile
from coscribe.client.replica import Replica
from coscribe.client.tree_replica import TreeReplica
from coscribe.client.workspace import Workspace
from coscribe.core import document_state, tree
from coscribe.core.dedup import Registry
from coscribe.core.errors import CoscribeError
from coscribe.core.op_window import Concurrent, OpWindow
from coscribe.core.operation import RIGHT, Operation, transform
from coscribe.core.tree import Effect, Tree
from coscribe.documents import document_router, session
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.committer import Committer
from coscribe.documents.opened import Opened
from coscribe.documents.ports import Append, AppendResult, StorageError
from coscribe.documents.session import Frame, Pending, WorkspaceSession
from coscribe.documents.snapshot_manager import SnapshotManager
from coscribe.model import FileSnapshot, encode_payload
from coscribe.persistence.memory import MemoryStorage
from coscribe.protocol import codec
from tests.simulation.disk import FaultyStorage
from tests.simulation.plan import Deed
from tests.simulation.planting import Plant, around, instead


class Bug(NamedTuple):
    """``within``: so many seeds are enough, of worlds with this ``weather`` (none: with any); with a tree, if it is
    ``in_tree``."""

    plant: Plant
    within: int
    weather: tuple[Deed, ...] = ()
    in_tree: bool = False


def _visible_before_durable(original: Any) -> object:
    async def commit(self: Committer, group: list[tuple[WorkspaceSession, Pending]]) -> int:
        for _, pending in group:
            actions, pending.actions = pending.actions, []
            for action in actions:
                action()
        done: int = await original(self, group)
        return done

    return commit


async def _nobody_knows(*_: object) -> None:
    return None


async def _never_begun(*_: object) -> int:
    return -1


def _ids_need_not_be_unique(original: Any) -> object:
    def append(self: MemoryStorage, wanted: Append) -> AppendResult:
        stored = self._by_key[wanted.workspace_key]
        ids, stored.ids = stored.ids, {}
        result: AppendResult = original(self, wanted)
        stored.ids = {**ids, **stored.ids}
        return result

    return append


@contextmanager
def _ids_forgotten_on_restart() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(around(MemoryStorage, "_append", _ids_need_not_be_unique)())
        stack.enter_context(patch.object(FaultyStorage, "find", _nobody_knows))
        stack.enter_context(patch.object(FaultyStorage, "highest", _never_begun))
        yield


@contextmanager
def _all_is_new() -> Iterator[None]:
    find = Registry.find

    def claims(self: Registry, operation_id: str) -> object:
        found = find(self, operation_id)
        return "new" if found == "unknown" else found

    with patch.object(Registry, "find", claims), around(MemoryStorage, "_append", _ids_need_not_be_unique)():
        yield


def _to_the_right(operation: Operation, concurrent: Concurrent) -> Operation:
    for other in concurrent.operations:
        operation = transform(operation, other, RIGHT)
    return operation


def _one_change_short(original: Any) -> object:
    def changes_since(self: OpWindow, base_version: int, version: int) -> Concurrent | None:
        found: Concurrent | None = original(self, min(base_version + 1, version), version)
        return found

    return changes_since


def _at_the_wrong_sequence(original: Any) -> object:
    async def save(self: SnapshotManager, session: WorkspaceSession, file: Opened, snapshot: FileSnapshot) -> None:
        await original(self, session, file, snapshot._replace(sequence=max(0, snapshot.sequence - 1)))

    return save


def _at_once(self: WorkspaceSession, action: Callable[[], None]) -> None:
    action()


def _no_fence(original: Any) -> object:
    def append(self: MemoryStorage, wanted: Append) -> AppendResult:
        stored = self._by_key[wanted.workspace_key]
        result: AppendResult = original(
            self, wanted._replace(epoch=stored.epoch, previous_sequence=stored.last_sequence)
        )
        return result

    return append


def _goes_on_after_a_failure(self: Committer, lost: WorkspaceSession, error: object) -> None:
    """Memory stays as it is, though the disk has not got it."""


def _viewers_may_edit(original: Any) -> object:
    def submit(self: WorkspaceSession, file: Any, message: Any, author: Any, role: Any, *more: Any) -> Any:
        return original(self, file, message, author, "editor", *more)

    return submit


def _queue_dropped(original: Any) -> object:
    def disconnected(self: Document) -> None:
        self._replica.queue.clear()
        original(self)

    return disconnected


def _new_ids_after_joining(original: Any) -> object:
    def go_live(self: Document, message: Any) -> None:
        replica = self._replica
        for pending in replica.in_flight:
            pending.operation_id += "0"
        replica.queue = replica.in_flight + replica.queue
        replica.in_flight = []
        original(self, message)

    return go_live


def _frame_lacks_an_operation(original: Any) -> object:
    def call(self: Frame) -> None:
        if len(self.entries) > 1:
            del self.entries[0]
        original(self)

    return call


def _not_saved(self: PendingFile, replica: Replica) -> None:
    """Nothing survives the process."""


def _late_by_one(original: Any) -> object:
    def catch_up(self: Collaboration, member: Any, position: int) -> Any:
        return original(self, member, position + 1)

    return catch_up


def _deleted_text_lost(operation: Any, removed: str, restores: tuple[int, ...], origin: str) -> bytes:
    return encode_payload(operation, "?" * len(removed), restores, origin)


def _chain_starts_anew(original: Any) -> object:
    def link(previous: bytes, *more: Any) -> object:
        return original(bytes(32), *more)

    return link


def _older_operations_again(original: Any) -> object:
    def receive(self: Replica, operations: Sequence[Any], previous: int, chain_hash: str) -> object:
        if operations and operations[0].server_sequence_id <= self.sequence:
            self.sequence = operations[0].server_sequence_id - 1
        return original(self, operations, previous, chain_hash)

    return receive


def _gaps_ignored(original: Any) -> object:
    def receive(self: Replica, operations: Sequence[Any], previous: int, chain_hash: str) -> object:
        return original(self, operations, min(previous, self.sequence), chain_hash)

    return receive


def _duplicates_without_author(original: Any) -> object:
    def places(self: WorkspaceSession, file: Any, requests: Any, author: str, digest: bytes, evidence: Any) -> object:
        try:
            return original(self, file, requests, author, digest, evidence)
        except CoscribeError:
            return None

    return places


def _refused_in_silence(original: Any) -> object:
    async def append(self: FaultyStorage, appends: Sequence[Append]) -> list[AppendResult]:
        try:
            results: list[AppendResult] = await original(self, appends)
        except StorageError:
            return [AppendResult.COMMITTED for _ in appends]
        return results

    return append


def _hand_back_nothing(original: Any) -> object:
    def hand_back(self: Document, *more: Any) -> None:
        original(self, *more)
        self.patches.clear()

    return hand_back


def _numbered_from_three(original: Any) -> object:
    def numbered(name: str, kind: str, number: int) -> object:
        return original(name, kind, number + 1)

    return numbered


def _folders_above_do_not_count(self: Tree, file_id: str) -> bool:
    return file_id == "" or not self.state(file_id).trashed


def _rows_are_not_written(original: Any) -> object:
    async def append(self: FaultyStorage, appends: Sequence[Append]) -> object:
        return await original(self, [append._replace(files=list(append.files)[1:]) for append in appends])

    return append


def _not_laid_again(self: TreeReplica, tree: Tree) -> None:
    """What is pending is not on top any more."""


def _trees_are_not_saved(original: Any) -> object:
    def save(self: PendingFile, replica: Any) -> None:
        if not isinstance(replica, TreeReplica):
            original(self, replica)

    return save


def _new_id_after_joining(original: Any) -> object:
    def go_live(self: Workspace, message: Any) -> None:
        change = self._replica.in_flight
        if change is not None:
            change.operation_id += "0"
            self._replica.in_flight = None
            self._replica.queue.insert(0, change)
        original(self, message)

    return go_live


def _a_change_is_not_shown(original: Any) -> object:
    def encode(entry: Any, effect: Effect, root: str) -> object:
        return original(entry, effect._replace(changes=effect.changes[:3]), root)

    return encode


def _refused_is_forgotten(original: Any) -> object:
    def take_out(self: Workspace, *more: Any) -> None:
        original(self, *more)
        self.patches.clear()

    return take_out


class _Anything(bytes):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


_ANYTHING = _Anything()


BUGS: dict[str, Bug] = {
    "visible before durable": Bug(around(Committer, "_commit", _visible_before_durable), 10),
    "a joiner sees what is not durable": Bug(instead(WorkspaceSession, "act", _at_once), 40, ("abort", "disk_slow")),
    "ids forgotten on restart": Bug(_ids_forgotten_on_restart, 40, ("replay", "crash")),
    "what storage must be asked is taken for new": Bug(_all_is_new, 40, ("replay", "crash")),
    "ties flipped": Bug(instead(document_state, "rebase", _to_the_right), 10),
    "window off by one": Bug(around(OpWindow, "changes_since", _one_change_short), 10),
    "snapshot at the wrong sequence": Bug(around(SnapshotManager, "_save", _at_the_wrong_sequence), 40, ("crash",)),
    "a damaged snapshot is believed": Bug(
        instead(document_router, "content_hash", lambda _: _ANYTHING), 40, ("disk_damages", "crash")
    ),
    "no fence": Bug(around(MemoryStorage, "_append", _no_fence), 40, ("supersede", "abort")),
    "a failed commit is gone on from": Bug(instead(Committer, "_lose", _goes_on_after_a_failure), 40, ("disk_fails",)),
    "a failed commit is taken for done": Bug(around(FaultyStorage, "append", _refused_in_silence), 40, ("disk_fails",)),
    "viewers may edit": Bug(around(WorkspaceSession, "submit", _viewers_may_edit), 40, ("role",)),
    "an id is taken again": Bug(
        around(WorkspaceSession, "_places", _duplicates_without_author), 100, ("clone", "slow_network", "restart")
    ),
    "queue dropped on disconnecting": Bug(
        around(Document, "disconnected", _queue_dropped), 40, ("abort", "slow_network")
    ),
    "new ids after joining": Bug(around(Document, "_go_live", _new_ids_after_joining), 100, ("abort", "slow_network")),
    "patches thrown away": Bug(around(Document, "_hand_back", _hand_back_nothing), 40, ("role", "slow_network")),
    "pending edits are not saved": Bug(instead(PendingFile, "save", _not_saved), 40, ("restart",)),
    "a frame lacks an operation": Bug(around(Frame, "__call__", _frame_lacks_an_operation), 40, ("disk_slow",)),
    "catching up is late by one": Bug(
        around(Collaboration, "catch_up", _late_by_one), 40, ("slow_network", "disk_slow")
    ),
    "operations that come twice are applied twice": Bug(
        around(Replica, "receive", _older_operations_again), 40, ("unruly",)
    ),
    "gaps ignored": Bug(around(Replica, "receive", _gaps_ignored), 40, ("unruly",)),
    "deleted text is not kept": Bug(instead(session, "encode_payload", _deleted_text_lost), 10),
    "the chain starts anew": Bug(around(session, "link", _chain_starts_anew), 10),
    "numbers of names begin at three": Bug(around(tree, "numbered", _numbered_from_three), 10, in_tree=True),
    "what is in a trashed folder is live": Bug(instead(Tree, "is_live", _folders_above_do_not_count), 20, in_tree=True),
    "a row of a file is not written": Bug(around(FaultyStorage, "append", _rows_are_not_written), 10, in_tree=True),
    "what is pending on a tree is not laid again": Bug(instead(TreeReplica, "_lay", _not_laid_again), 10, in_tree=True),
    "pending changes of a tree are not saved": Bug(
        around(PendingFile, "save", _trees_are_not_saved), 40, ("restart", "slow_network"), in_tree=True
    ),
    "a change of a tree gets another id after joining": Bug(
        around(Workspace, "_go_live", _new_id_after_joining), 40, ("abort", "slow_network"), in_tree=True
    ),
    "a change in an effect is not shown": Bug(
        around(codec, "encode_effect_entry", _a_change_is_not_shown), 40, in_tree=True
    ),
    "what is refused of a tree is forgotten": Bug(
        around(Workspace, "_take_out", _refused_is_forgotten), 40, ("role", "slow_network"), in_tree=True
    ),
}
