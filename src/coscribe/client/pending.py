"""PendingFile: what a file's pending edits need to survive the process, in a small JSON file.

It holds the frozen message byte for byte, the pending operations as they are now, and the point of the server's
history that they refer to; not the text. It belongs to one user, and nobody else's session ever sends it.

It is written when we edit and when we send, not when others do: operations that came in since are asked for again
(resend) and carried through. It survives the process; whether it survives the machine is up to the file system.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from coscribe.client.replica import Pending, Replica
from coscribe.core.operation import from_edits, to_edits
from coscribe.protocol.messages import Edit, Lineage


class _StoredPending(msgspec.Struct, array_like=True):
    operation_id: str
    edits: list[Edit]


class _Stored(msgspec.Struct):
    user_id: str
    file_id: str
    lineage: Lineage
    message: str
    in_flight: list[_StoredPending]
    queue: list[_StoredPending]


class PendingFile:
    """The pending edits of one file of one user, at ``path``. Writes are atomic: the old state or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = False

    @classmethod
    def in_folder(cls, folder: Path, user_id: str, file_id: str) -> PendingFile:
        """The usual place: one file per user and document."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / f"{user_id.encode().hex()}.{file_id}.json")

    def save(self, replica: Replica) -> None:
        """Stores what is pending; removes the file when nothing is."""
        if replica.is_idle:
            if self._written or self._path.exists():
                self._path.unlink(missing_ok=True)
                self._written = False
            return
        stored = _Stored(
            replica.user_id,
            replica.file_id,
            replica.lineage(),
            replica.message.decode(),
            [_StoredPending(item.operation_id, to_edits(item.operation)) for item in replica.in_flight],
            [_StoredPending(item.operation_id, to_edits(item.operation)) for item in replica.queue],
        )
        temporary = f"{self._path}.new"
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(stored))
        os.replace(temporary, self._path)
        self._written = True

    def load(self, replica: Replica) -> bool:
        """Gives a fresh replica what an earlier process left. False: nothing was left, or it is somebody else's."""
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return False
        if stored.user_id != replica.user_id or stored.file_id != replica.file_id:
            return False
        in_flight, queue = (
            [Pending(item.operation_id, from_edits(item.edits) if item.edits else ()) for item in items]
            for items in (stored.in_flight, stored.queue)
        )
        replica.restore(stored.message.encode(), in_flight, queue, stored.lineage)
        self._written = True
        return True
