"""What the documents note of followed operations: the turn, the commit and the broadcast (`tracing`)."""

from __future__ import annotations

from collections.abc import Sequence

from coscribe.documents.opened import OpenFile
from coscribe.documents.session import Duplicate, Frame, Pending
from coscribe.protocol import messages
from coscribe.tracing import Stage, Tracer


def note_turn(
    tracer: Tracer,
    file: OpenFile,
    message: messages.Operation | messages.Chain,
    outcome: Duplicate | int,
    received: int,
    began: int,
) -> None:
    """A message has been taken in at ``received``, and its last turn ``began``; what has come of it is known now."""
    file_id = file.state.file_id
    if isinstance(outcome, Duplicate):
        for place in outcome.places:
            if tracer.follows(place.operation_id):
                tracer.note_again(Stage.RECEIVE, place.operation_id, received, file_id=file_id, outcome="duplicate")
        return
    for entry in file.state.window.entries[-outcome:]:
        if tracer.follows(entry.operation_id):
            tracer.note(
                Stage.TURN,
                entry.operation_id,
                began,
                file_id=file_id,
                base_version=message.base_version,
                version=entry.version,
                sequence=entry.sequence,
            )
            tracer.note(Stage.RECEIVE, entry.operation_id, received, file_id=file_id, outcome="taken")


def note_commit(tracer: Tracer, began: int, written: Sequence[Pending]) -> None:
    """A group is on disk that was handed to it at ``began``."""
    operations = sum(len(pending.entries) for pending in written)
    for pending in written:
        for entry in pending.entries:
            if tracer.follows(entry.operation_id):
                tracer.note(
                    Stage.COMMIT,
                    entry.operation_id,
                    began,
                    sequence=entry.sequence,
                    payload_size=len(entry.payload),
                    group_operations=operations,
                    group_workspaces=len(written),
                )


def broadcast(tracer: Tracer, frame: Frame) -> None:
    """Hands a frame to its subscribers, and notes it."""
    began, subscribers = tracer.now(), len(frame.file.subscribers)
    frame()
    for entry in frame.entries:
        if tracer.follows(entry.operation_id):
            tracer.note(
                Stage.BROADCAST,
                entry.operation_id,
                began,
                file_id=frame.file.state.file_id,
                sequence=entry.sequence,
                frame_operations=len(frame.entries),
                subscribers=subscribers,
            )
