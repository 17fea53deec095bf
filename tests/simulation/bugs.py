"""Planted bugs: each is a mistake that somebody might make, and the simulation has to notice it.

`BUGS` names them, with a number of seeds within which each is found (from seed 0). The core must be the pure one
(COSCRIBE_PURE=1): a compiled one cannot be changed from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from coscribe.client.document import Document
from coscribe.client.pending import PendingFile
from coscribe.client.replica import Replica
from coscribe.core import document_state
from coscribe.core.dedup import Registry
from coscribe.core.errors import CoscribeError
from coscribe.core.op_window import Concurrent, OpWindow
from coscribe.core.operation import RIGHT, Operation, transform
from coscribe.documents import document_router, session
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.committer import Committer
from coscribe.documents.ports import Append, AppendResult, StorageError
from coscribe.documents.session import Frame, Pending, WorkspaceSession
from coscribe.documents.snapshot_manager import SnapshotManager
from coscribe.gateway.connection import Subscription
from coscribe.model import FileSnapshot, encode_payload
from coscribe.persistence.memory import MemoryStorage
from tests.simulation.disk import FaultyStorage


class Bug(NamedTuple):
    """``within``: so many seeds are enough."""

    plant: Callable[[], AbstractContextManager[object]]
    within: int


def _patch(owner: object, name: str, replacement: object) -> Callable[[], AbstractContextManager[object]]:
    return lambda: patch.object(owner, name, replacement)


def _around(owner: Any, name: str, make: Callable[[Any], object]) -> Callable[[], AbstractContextManager[object]]:
    """The replacement is made from what it replaces."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


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


@contextmanager
def _ids_forgotten_on_restart() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(patch.object(FaultyStorage, "find", _nobody_knows))
        stack.enter_context(patch.object(FaultyStorage, "highest", _never_begun))
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
    async def save(self: SnapshotManager, snapshot: FileSnapshot) -> None:
        await original(self, snapshot._replace(sequence=max(0, snapshot.sequence - 1)))

    return save


def _no_ack_of_duplicates(original: Any) -> object:
    def deliver(self: Subscription, frame: bytes, position: int | None = None) -> None:
        if b'"ack"' not in frame[:20]:
            original(self, frame, position)

    return deliver


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


def _epoch_stays(original: Any) -> object:
    async def acquire(self: MemoryStorage, workspace_id: str) -> object:
        workspace = await original(self, workspace_id)
        self._by_id[workspace_id].epoch = 1
        return workspace._replace(epoch=1)

    return acquire


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


def _all_is_new(original: Any) -> object:
    def find(self: Registry, operation_id: str) -> object:
        found = original(self, operation_id)
        return "new" if found == "unknown" else found

    return find


def _deleted_text_lost(operation: Any, removed: str, restores: tuple[int, ...]) -> bytes:
    return encode_payload(operation, "?" * len(removed), restores)


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


def _resent_with_what_came_since(original: Any) -> object:
    def join(self: Document) -> None:
        replica = self._replica
        replica.queue = replica.in_flight + replica.queue
        replica.in_flight, replica.message = [], b""
        original(self)

    return join


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


def _reads_before_raising(original: Any) -> object:
    async def acquire(self: FaultyStorage, workspace_id: str) -> object:
        storage = self._disk.storage
        before = storage._by_id[workspace_id].last_sequence, storage._by_id[workspace_id].chain_hash
        workspace = await original(self, workspace_id)
        return workspace._replace(last_sequence=before[0], chain_hash=before[1])

    return acquire


class _Anything(bytes):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


_ANYTHING = _Anything()


BUGS: dict[str, Bug] = {
    "visible before durable": Bug(_around(Committer, "_commit", _visible_before_durable), 5),
    "a joiner sees what is not durable": Bug(_patch(WorkspaceSession, "act", _at_once), 20),
    "ids forgotten on restart": Bug(_ids_forgotten_on_restart, 60),
    "what storage must be asked is taken for new": Bug(_around(Registry, "find", _all_is_new), 60),
    "ties flipped": Bug(_patch(document_state, "rebase", _to_the_right), 20),
    "window off by one": Bug(_around(OpWindow, "changes_since", _one_change_short), 20),
    "snapshot at the wrong sequence": Bug(_around(SnapshotManager, "_save", _at_the_wrong_sequence), 60),
    "a damaged snapshot is believed": Bug(_patch(document_router, "content_hash", lambda _: _ANYTHING), 300),
    "the ack of a duplicate is lost": Bug(_around(Subscription, "deliver", _no_ack_of_duplicates), 300),
    "no fence": Bug(_around(MemoryStorage, "_append", _no_fence), 300),
    "the epoch stays": Bug(_around(MemoryStorage, "acquire", _epoch_stays), 300),
    "head read before the epoch is raised": Bug(_around(FaultyStorage, "acquire", _reads_before_raising), 300),
    "a failed commit is gone on from": Bug(_patch(Committer, "_lose", _goes_on_after_a_failure), 100),
    "a failed commit is taken for done": Bug(_around(FaultyStorage, "append", _refused_in_silence), 100),
    "viewers may edit": Bug(_around(WorkspaceSession, "submit", _viewers_may_edit), 100),
    "an id is taken again": Bug(_around(WorkspaceSession, "_places", _duplicates_without_author), 100),
    "queue dropped on disconnecting": Bug(_around(Document, "disconnected", _queue_dropped), 60),
    "new ids after joining": Bug(_around(Document, "_go_live", _new_ids_after_joining), 60),
    "in flight is rebased blindly": Bug(_around(Document, "_join", _resent_with_what_came_since), 60),
    "patches thrown away": Bug(_around(Document, "_hand_back", _hand_back_nothing), 300),
    "pending edits are not saved": Bug(_patch(PendingFile, "save", _not_saved), 60),
    "a frame lacks an operation": Bug(_around(Frame, "__call__", _frame_lacks_an_operation), 20),
    "catching up is late by one": Bug(_around(Collaboration, "catch_up", _late_by_one), 300),
    "operations that come twice are applied twice": Bug(_around(Replica, "receive", _older_operations_again), 100),
    "gaps ignored": Bug(_around(Replica, "receive", _gaps_ignored), 100),
    "deleted text is not kept": Bug(_patch(session, "encode_payload", _deleted_text_lost), 5),
    "the chain starts anew": Bug(_around(session, "link", _chain_starts_anew), 5),
}
