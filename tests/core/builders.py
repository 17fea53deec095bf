"""Short ways to values that take many arguments."""

from __future__ import annotations

from coscribe.core.op_window import Committed
from coscribe.core.operation import NOTHING, Operation


def entry(
    sequence: int,
    version: int = 0,
    operation: Operation = NOTHING,
    *,
    changed: bool = False,
    operation_id: str = "",
    removed: str = "",
) -> Committed:
    """A committed operation of which only some fields matter."""
    return Committed(
        sequence, version, version - changed, changed, operation_id or f"op:{sequence}", "ann", b"", operation, removed
    )
