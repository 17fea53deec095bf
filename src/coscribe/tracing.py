"""Tracing: one operation from keystroke to broadcast, as spans. Nothing here knows who collects them (`exporting`).

    type -> send -> receive -> turn -> commit -> broadcast -> apply
    '- its author -'  '----------- server -----------'    '- every other client

Nothing about it is on the wire. Which operations are followed, the trace of each and the ids of its stages are derived
from the operation's id, so that everybody comes to the same ones alone, and nobody has to believe another. The parent
of each stage is the one before it.

What is noted of an operation are ids, numbers and sizes (`Facts`): no text, no names, no tokens. Where tracing is off
there is no `Tracer`.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import NamedTuple, Protocol, TypedDict, Unpack


class TracingSettings(NamedTuple):
    """``endpoint``: where spans go, by OTLP over HTTP (``http://host:4318/v1/traces``); "": nothing is traced.

    ``one_in``: one operation in so many is followed, the same ones by everybody with the same number.
    """

    endpoint: str = ""
    one_in: int = 1_000
    service: str = "coscribe"


class Stage(Enum):
    """What happens to an operation, in this order."""

    TYPE = "type"
    SEND = "send"
    RECEIVE = "receive"
    TURN = "turn"
    COMMIT = "commit"
    BROADCAST = "broadcast"
    APPLY = "apply"

    @property
    def parent(self) -> Stage | None:
        stages = list(Stage)
        position = stages.index(self)
        return stages[position - 1] if position else None


class Facts(TypedDict, total=False):
    """All that a span says beside the operation's id. Sizes are bytes. ``outcome``: taken, duplicate, or the code of
    the refusal; ``group_operations``, ``group_workspaces``: what became durable together; ``frame_operations``: what
    was shown together."""

    file_id: str
    sequence: int
    version: int
    base_version: int
    message_size: int
    payload_size: int
    group_operations: int
    group_workspaces: int
    frame_operations: int
    subscribers: int
    outcome: str


class Tracer(Protocol):
    """Takes notes of followed operations. Times are nanoseconds since 1970."""

    def now(self) -> int: ...

    def follows(self, operation_id: str) -> bool:
        """Whether the operation is one of those that are followed."""
        ...

    def note(self, stage: Stage, operation_id: str, began: int, **facts: Unpack[Facts]) -> None:
        """A stage of a followed operation that ends now, and that it goes through once."""
        ...

    def note_again(self, stage: Stage, operation_id: str, began: int, **facts: Unpack[Facts]) -> None:
        """The same for one that it may go through again and again, or in many places: nothing follows from it."""
        ...


class Followed(NamedTuple):
    """What is derived from an operation's id: its trace (16 bytes, as a number) and whether it is one in so many."""

    trace_id: int
    choice: int

    @classmethod
    def of(cls, operation_id: str) -> Followed:
        digest = sha256(operation_id.encode()).digest()
        return cls(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]))


def span_id(operation_id: str, stage: Stage) -> int:
    """The id of an operation's stage: 8 bytes, as a number."""
    return int.from_bytes(sha256(f"{stage.value} {operation_id}".encode()).digest()[:8])
