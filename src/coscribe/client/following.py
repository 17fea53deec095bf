"""Following: what a document's client notes of followed operations, its own and those of others (`tracing`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from coscribe.client.replica import Pending
from coscribe.protocol.messages import CommittedOperation
from coscribe.tracing import Stage, Tracer


class Following:
    """When the followed operations of one document were typed and sent: of those that are pending, no others."""

    def __init__(self, tracer: Tracer, file_id: str) -> None:
        self._tracer = tracer
        self._file_id = file_id
        self._typed: dict[str, int] = {}
        self._sent: dict[str, int] = {}

    def now(self) -> int:
        return self._tracer.now()

    def typed(self, pending: Pending) -> None:
        """An edit has become part of a pending operation."""
        operation_id = pending.operation_id
        if operation_id not in self._typed and self._tracer.follows(operation_id):
            self._typed[operation_id] = self._tracer.now()

    def sent(self, in_flight: Sequence[Pending], queue: Sequence[Pending], message_size: int) -> None:
        """A message is handed over for sending, for the first time; the one before it is through, or given up."""
        self._sent = {}
        for pending in in_flight:
            typed = self._typed.get(pending.operation_id)
            if typed is not None:
                self._tracer.note(
                    Stage.TYPE, pending.operation_id, typed, file_id=self._file_id, message_size=message_size
                )
                self._sent[pending.operation_id] = self._tracer.now()
        left = {pending.operation_id for pending in queue}
        self._typed = {name: typed for name, typed in self._typed.items() if name in left}

    def arrived(self, operations: Sequence[CommittedOperation], behind: int, mine: Collection[str], began: int) -> None:
        """The replica has taken in, from ``began`` on, those operations that come ``behind`` a sequence."""
        for operation in operations:
            operation_id = operation.operation_id
            if operation.server_sequence_id <= behind:
                continue
            sequence, version = operation.server_sequence_id, operation.document_version
            sent = self._sent.pop(operation_id, None)
            if sent is not None:
                self._tracer.note(
                    Stage.SEND, operation_id, sent, file_id=self._file_id, sequence=sequence, version=version
                )
            elif operation_id not in mine and self._tracer.follows(operation_id):
                self._tracer.note_again(
                    Stage.APPLY, operation_id, began, file_id=self._file_id, sequence=sequence, version=version
                )
