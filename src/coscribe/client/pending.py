"""PendingFile: what a file's pending edits need to survive the process, in a small JSON file.

It holds the frozen message byte for byte, the pending operations as they are now, and the point of the server's
history that they refer to; not the text. It belongs to one user, and nobody else's session ever sends it.

It is written when we edit and when we send, not when others do: operations that came in since are asked for again
(resend) and carried through. It survives the process; whether it survives the machine is up to the file system.

A file that cannot be read, or is somebody else's, is never written over: it is put aside as ``<name>.damaged``.
"""

from __future__ import annotations

import logging
import os
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec

from coscribe.client.replica import Pending, Replica
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import NOTHING, from_edits, to_edits
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Edit, Lineage

log = logging.getLogger(__name__)


class _Restored(msgspec.Struct, array_like=True):
    """What an undo brings back; sequence 0 while that is pending itself."""

    operation_id: str
    sequence: int


class _StoredPending(msgspec.Struct, array_like=True):
    operation_id: str
    edits: list[Edit]
    restores: list[_Restored] = []


class _Stored(msgspec.Struct):
    user_id: str
    file_id: str
    lineage: Lineage
    message: str
    in_flight: list[_StoredPending]
    queue: list[_StoredPending]


class PendingStore(Protocol):
    """Where the pending edits of one file of one user survive the process."""

    def save(self, replica: Replica) -> None: ...

    def load(self, replica: Replica) -> bool: ...


class PendingFile:
    """The pending edits of one file of one user, at ``path``. Writes are atomic: the old state or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = False

    @classmethod
    def in_folder(cls, folder: Path, user_id: str, file_id: str) -> PendingFile:
        """The usual place: one file per user and document. (A user's name may be too long for a file's.)"""
        folder.mkdir(parents=True, exist_ok=True)
        whose = blake2b(f"{user_id}\0{file_id}".encode(), digest_size=16).hexdigest()
        return cls(folder / f"{file_id}.{whose}.json")

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
            [_to_stored(pending) for pending in replica.in_flight],
            [_to_stored(pending) for pending in replica.queue],
        )
        temporary = f"{self._path}.new"
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(stored))
        os.replace(temporary, self._path)
        self._written = True

    def load(self, replica: Replica) -> bool:
        """Gives a fresh replica what an earlier process left. False: nothing was left, or nothing that we can use."""
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
            in_flight, queue = _from_stored(stored)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, CoscribeError) as error:
            self._put_aside(str(error))
            return False
        if stored.user_id != replica.user_id or stored.file_id != replica.file_id:
            self._put_aside(f"it belongs to {stored.user_id!r} and {stored.file_id!r}")
            return False
        replica.restore(stored.message.encode(), in_flight, queue, stored.lineage)
        self._written = True
        return True

    def _put_aside(self, reason: str) -> None:
        """Out of our way, but kept: there may be somebody's typing in it."""
        names = (f"{self._path}.damaged{number or ''}" for number in count())
        name = next(name for name in names if not os.path.lexists(name))
        os.rename(self._path, name)
        log.error("the pending edits in %s cannot be used and are kept in %s: %s", self._path, name, reason)


def _to_stored(pending: Pending) -> _StoredPending:
    restores = [_Restored(restored.operation_id, restored.sequence) for restored in pending.restores]
    return _StoredPending(pending.operation_id, to_edits(pending.operation), restores)


def _from_stored(stored: _Stored) -> tuple[list[Pending], list[Pending]]:
    """What is in flight and what is queued. Errors: CoscribeError, ValueError where the parts contradict each other."""
    known: dict[str, Pending] = {}
    for item in stored.in_flight + stored.queue:
        known[item.operation_id] = Pending(item.operation_id, from_edits(item.edits))
    for item in stored.in_flight + stored.queue:
        known[item.operation_id].restores = [
            known.get(restored.operation_id) or Pending(restored.operation_id, NOTHING, sequence=restored.sequence)
            for restored in item.restores
        ]
    in_flight = [known[item.operation_id] for item in stored.in_flight]
    sent = ids_in(stored.message.encode())
    if sent[len(sent) - len(in_flight) :] != [pending.operation_id for pending in in_flight]:
        raise ValueError("the message is not the one that is in flight")
    return in_flight, [known[item.operation_id] for item in stored.queue]


def ids_in(message: bytes) -> list[str]:
    """The ids of the operations in a frozen message. Errors: CoscribeError, ValueError where it is none."""
    if not message:
        return []
    decoded = codec.decode_client(message)
    if isinstance(decoded, messages.Chain):
        return [element.operation_id for element in decoded.operations]
    if isinstance(decoded, messages.Operation):
        return [decoded.operation_id]
    raise ValueError("a message that is no operation is in flight")
