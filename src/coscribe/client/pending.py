"""PendingFile: what a file's pending edits need to survive the process, in a small JSON file.

It holds the frozen message byte for byte, the pending operations as they are now, and the point of the server's
history that they refer to; not the text. It belongs to one user, and nobody else's session ever sends it. Of a tree it
holds the same, but for that point: nothing in it refers to any.

It is written when we edit and when we send, not when others do: operations that came in since are asked for again
(resend) and carried through. It survives the process; whether it survives the machine is up to the file system.

A file that cannot be read, or is somebody else's, is never written over: it is put aside as ``<name>.damaged``.

What can be undone lies beside it, in ``<name>.undo``, for it stays when nothing is pending. It goes with one very state
of the pending edits and says which: where the process has died between the two writes nothing can be undone, and
nothing worse comes of it. It is as of the same point of the history, and carried on from there in the same way; of a
tree it is of any point, in the same log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from coscribe.client.replica import Pending, Replica
from coscribe.client.tree_replica import PendingChange, TreeReplica
from coscribe.client.undo import Kept, Step
from coscribe.core.errors import CoscribeError
from coscribe.core.operation import NOTHING, Operation, from_edits, to_edits
from coscribe.model import decode_effect, encode_effect
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Edit, Lineage, TreeEdit

log = logging.getLogger(__name__)


class _Restored(msgspec.Struct, array_like=True):
    """What an undo brings back; sequence 0 while that is pending itself."""

    operation_id: str
    sequence: int


class _StoredPending(msgspec.Struct, array_like=True):
    operation_id: str
    edits: list[Edit]
    restores: list[_Restored] = []
    origin: messages.Origin | None = None


class _Stored(msgspec.Struct):
    user_id: str
    file_id: str
    lineage: Lineage
    message: str
    in_flight: list[_StoredPending]
    queue: list[_StoredPending]


class _StoredStep(msgspec.Struct, array_like=True):
    """A step of undo or redo: what it does, what it is about, and what others have done since."""

    edits: list[Edit]
    of: _Restored
    foreign: list[list[Edit]] = []


class _StoredUndo(msgspec.Struct):
    """``pending``: the hash of the pending file that it goes with; "" of none."""

    user_id: str
    file_id: str
    lineage: Lineage
    pending: str
    undo: list[_StoredStep]
    redo: list[_StoredStep]


class _WrittenUndo(msgspec.Struct):
    """The same with its steps encoded already."""

    user_id: str
    file_id: str
    lineage: Lineage
    pending: str
    undo: list[msgspec.Raw]
    redo: list[msgspec.Raw]


class _StoredChange(msgspec.Struct, array_like=True):
    operation_id: str
    edits: list[TreeEdit]
    restores: _Restored | None = None


class _StoredTreeStep(msgspec.Struct, array_like=True):
    """A change of a tree that can be undone or redone, and what it came to, as the log has it."""

    operation_id: str
    sequence: int
    effect: str


class _StoredTreeUndo(msgspec.Struct):
    """Likewise. In a tree nothing is carried over anything: it is enough to know which log it is about."""

    user_id: str
    file_id: str
    incarnation: str
    pending: str
    undo: list[_StoredTreeStep]
    redo: list[_StoredTreeStep]


class _StoredTree(msgspec.Struct):
    user_id: str
    file_id: str
    message: str
    in_flight: list[_StoredChange]
    queue: list[_StoredChange]


MAX_UNDO_LENGTH = 100_000
"""Code points and edits of the steps that are kept; the oldest ones are not. They are written with every edit."""

MAX_UNDO_FILES = 10_000
"""Files that the kept steps of a tree have changed; likewise."""


class Stored(Protocol):
    """What belongs to one user and one file."""

    file_id: str
    user_id: str


class PendingStore(Protocol):
    """Where what is pending on one file of one user survives the process: a `Replica`'s edits or a `TreeReplica`'s."""

    def save(self, replica: Any) -> None: ...

    def load(self, replica: Any) -> bool: ...


class PendingFile:
    """The pending edits of one file of one user, at ``path``. Writes are atomic: the old state or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._undo_path = path.with_name(f"{path.name}.undo")
        self._written: bool | None = None
        self._undo_written: bool | None = None
        self._undo, self._redo = _Steps(), _Steps()

    @classmethod
    def in_folder(cls, folder: Path, user_id: str, file_id: str) -> PendingFile:
        """The usual place: one file per user and document. (A user's name may be too long for a file's.)"""
        folder.mkdir(parents=True, exist_ok=True)
        whose = blake2b(f"{user_id}\0{file_id}".encode(), digest_size=16).hexdigest()
        return cls(folder / f"{file_id}.{whose}.json")

    def save(self, replica: Replica | TreeReplica) -> None:
        """Stores what is pending; removes the file when nothing is. Likewise what can be undone."""
        pending = b""
        if not replica.is_idle:
            stored = _tree_stored(replica) if isinstance(replica, TreeReplica) else _text_stored(replica)
            pending = msgspec.json.encode(stored)
        self._written = _put(self._path, pending, exists=self._written)
        undo = b""
        if isinstance(replica, TreeReplica) and replica.can_take_back:
            undo = msgspec.json.encode(_tree_undo_stored(replica, pending))
        elif isinstance(replica, Replica) and replica.can_take_back:
            undo = msgspec.json.encode(self._undo_stored(replica, pending))
        self._undo_written = _put(self._undo_path, undo, exists=self._undo_written)

    def load(self, replica: Replica | TreeReplica) -> bool:
        """Gives a fresh replica what an earlier process left. False: nothing was left pending, or nothing that we can
        use."""
        found = self._load_pending(replica)
        self._load_undo(replica)
        return found

    def _load_undo(self, replica: Replica | TreeReplica) -> None:
        """What could be undone, if it goes with what is pending; else it is nothing that anybody would miss."""
        try:
            pending = b"" if replica.is_idle else self._path.read_bytes()
            raw = self._undo_path.read_bytes()
            if isinstance(replica, TreeReplica):
                _give_tree_undo(msgspec.json.decode(raw, type=_StoredTreeUndo), replica, pending)
            else:
                _give_undo(msgspec.json.decode(raw, type=_StoredUndo), replica, pending)
        except FileNotFoundError:
            return
        except (OSError, ValueError, CoscribeError) as error:
            log.warning("what could be undone is not known any more: %s cannot be read: %s", self._undo_path, error)

    def _load_pending(self, replica: Replica | TreeReplica) -> bool:
        stored: _Stored | _StoredTree
        try:
            raw = self._path.read_bytes()
            if isinstance(replica, TreeReplica):
                stored = msgspec.json.decode(raw, type=_StoredTree)
                give = _tree_giver(stored, replica)
            else:
                stored = msgspec.json.decode(raw, type=_Stored)
                give = _text_giver(stored, replica)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, CoscribeError) as error:
            self._put_aside(str(error))
            return False
        if stored.user_id != replica.user_id or stored.file_id != replica.file_id:
            self._put_aside(f"it belongs to {stored.user_id!r} and {stored.file_id!r}")
            return False
        give()
        self._written = True
        return True

    def _undo_stored(self, replica: Replica, pending: bytes) -> _WrittenUndo:
        undo, redo = replica.undoable()
        names = replica.user_id, replica.file_id
        steps = self._undo.stored(undo), self._redo.stored(redo)
        return _WrittenUndo(*names, replica.lineage(), _hash_of(pending), *steps)

    def _put_aside(self, reason: str) -> None:
        """Out of our way, but kept: there may be somebody's typing in it."""
        names = (f"{self._path}.damaged{number or ''}" for number in count())
        name = next(name for name in names if not os.path.lexists(name))
        os.rename(self._path, name)
        log.error("the pending edits in %s cannot be used and are kept in %s: %s", self._path, name, reason)


def _put(path: Path, content: bytes, *, exists: bool | None) -> bool:
    """Writes a file whole, or removes it where there is nothing to be in it; whether it is there now. ``exists``: None:
    that is not known."""
    if content:
        temporary = f"{path}.new"
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
        return True
    if exists or (exists is None and path.exists()):
        path.unlink(missing_ok=True)
    return False


def _hash_of(pending: bytes) -> str:
    return blake2b(pending, digest_size=16).hexdigest() if pending else ""


def _goes_with(stored: _StoredUndo | _StoredTreeUndo, replica: Stored, pending: bytes) -> bool:
    whose = replica.user_id, replica.file_id
    return (stored.user_id, stored.file_id) == whose and stored.pending == _hash_of(pending)


def _give_undo(stored: _StoredUndo, replica: Replica, pending: bytes) -> None:
    """Errors: CoscribeError, ValueError where an edit is none."""
    if _goes_with(stored, replica, pending):
        known = {each.operation_id: each for each in replica.pending}
        undo, redo = (_steps_from_stored(steps, known) for steps in (stored.undo, stored.redo))
        if replica.is_idle:
            replica.restore(b"", [], [], stored.lineage)
        replica.restore_undo(undo, redo)


def _give_tree_undo(stored: _StoredTreeUndo, replica: TreeReplica, pending: bytes) -> None:
    """Errors: ValueError where an effect is none."""
    if _goes_with(stored, replica, pending):
        known = {each.operation_id: each for each in replica.pending}

        def change_of(step: _StoredTreeStep) -> PendingChange:
            effect, _ = decode_effect(step.effect.encode())
            done = PendingChange(step.operation_id, [], effect, sequence=step.sequence)
            change = known.setdefault(step.operation_id, done)
            change.was = effect
            return change

        replica.restore_undo(
            stored.incarnation, *([change_of(step) for step in each] for each in (stored.undo, stored.redo))
        )


def _tree_undo_stored(replica: TreeReplica, pending: bytes) -> _StoredTreeUndo:
    incarnation, *stacks = replica.undoable()
    names = replica.user_id, replica.file_id
    return _StoredTreeUndo(*names, incarnation, _hash_of(pending), *map(_tree_steps_to_stored, stacks))


def _tree_steps_to_stored(changes: Sequence[PendingChange]) -> list[_StoredTreeStep]:
    """The newest ones, as many as there is room for."""
    stored: list[_StoredTreeStep] = []
    room = MAX_UNDO_FILES
    for change in reversed(changes):
        effect = change.effect if change.effect.changes else change.was
        room -= 1 + len(effect.changes)
        if room < 0:
            break
        stored.append(_StoredTreeStep(change.operation_id, change.sequence, encode_effect(effect).decode()))
    return stored[::-1]


class _Encoded(NamedTuple):
    """A step as it was written, what it was made of, and its code points and edits. A step that is not on top stays as
    it is, but for the sequence of what it is about."""

    step: Step[Pending]
    sequence: int
    foreign: int
    newest: Operation | None
    length: int
    raw: msgspec.Raw


class _Steps:
    """The steps of one stack as they are stored. All are written with every edit, so what was encoded is kept, by the
    step that it is of: several may be about the same operation."""

    def __init__(self) -> None:
        self._encoded: dict[int, _Encoded] = {}

    def stored(self, kept: Sequence[Kept[Pending]]) -> list[msgspec.Raw]:
        """The newest ones, as many as there is room for."""
        found: list[_Encoded] = []
        room = MAX_UNDO_LENGTH
        for each in reversed(kept):
            encoded = self._of(each)
            room -= encoded.length
            if room < 0:
                break
            found.append(encoded)
        self._encoded = {id(encoded.step): encoded for encoded in found}
        return [encoded.raw for encoded in reversed(found)]

    def _of(self, kept: Kept[Pending]) -> _Encoded:
        (operation, of), foreign = kept
        newest = foreign[-1] if foreign else None
        known = self._encoded.get(id(kept.step))
        if (
            known is not None
            and known.step is kept.step
            and known.newest is newest
            and (known.sequence, known.foreign) == (of.sequence, len(foreign))
        ):
            return known
        parts = [to_edits(operation), *map(to_edits, foreign)]
        length = sum(1 + len(text) for edits in parts for _, _, text in edits)
        step = _StoredStep(parts[0], _Restored(of.operation_id, of.sequence), parts[1:])
        return _Encoded(kept.step, of.sequence, len(foreign), newest, length, msgspec.Raw(msgspec.json.encode(step)))


def _steps_from_stored(steps: Sequence[_StoredStep], known: dict[str, Pending]) -> list[Kept[Pending]]:
    """Errors: CoscribeError, ValueError where an edit is none."""
    found: list[Kept[Pending]] = []
    for edits, of, foreign in ((step.edits, step.of, step.foreign) for step in steps):
        about = known.setdefault(of.operation_id, Pending(of.operation_id, NOTHING, sequence=of.sequence))
        found.append(Kept(Step(from_edits(edits), about), [from_edits(each) for each in foreign]))
    return found


def _text_stored(replica: Replica) -> _Stored:
    return _Stored(
        replica.user_id,
        replica.file_id,
        replica.lineage(),
        replica.message.decode(),
        [_to_stored(pending) for pending in replica.in_flight],
        [_to_stored(pending) for pending in replica.queue],
    )


def _text_giver(stored: _Stored, replica: Replica) -> Callable[[], None]:
    """What gives the replica what is stored. Errors: CoscribeError, ValueError where that contradicts itself."""
    in_flight, queue = _from_stored(stored)
    return lambda: replica.restore(stored.message.encode(), in_flight, queue, stored.lineage)


def _tree_stored(replica: TreeReplica) -> _StoredTree:
    in_flight = [] if replica.in_flight is None else [replica.in_flight]
    return _StoredTree(
        replica.user_id,
        replica.file_id,
        replica.message.decode(),
        [_change_to_stored(change) for change in in_flight],
        [_change_to_stored(change) for change in replica.queue],
    )


def _change_to_stored(change: PendingChange) -> _StoredChange:
    of = change.restores
    return _StoredChange(
        change.operation_id, change.edits, None if of is None else _Restored(of.operation_id, of.sequence)
    )


def _tree_giver(stored: _StoredTree, replica: TreeReplica) -> Callable[[], None]:
    """Likewise for a tree."""
    known: dict[str, PendingChange] = {}
    for item in stored.in_flight + stored.queue:
        change = known[item.operation_id] = PendingChange(item.operation_id, item.edits)
        if item.restores is not None:
            operation_id, sequence = item.restores.operation_id, item.restores.sequence
            change.restores = known.get(operation_id) or PendingChange(operation_id, [], sequence=sequence)
    in_flight = [known[item.operation_id] for item in stored.in_flight]
    if ids_in(stored.message.encode()) != [change.operation_id for change in in_flight]:
        raise ValueError("the message is not the one that is in flight")
    queue = [known[item.operation_id] for item in stored.queue]
    return lambda: replica.restore(stored.message.encode(), in_flight, queue)


def _to_stored(pending: Pending) -> _StoredPending:
    restores = [_Restored(restored.operation_id, restored.sequence) for restored in pending.restores]
    return _StoredPending(pending.operation_id, to_edits(pending.operation), restores, pending.origin)


def _from_stored(stored: _Stored) -> tuple[list[Pending], list[Pending]]:
    """What is in flight and what is queued. Errors: CoscribeError, ValueError where the parts contradict each other."""
    known: dict[str, Pending] = {}
    for item in stored.in_flight + stored.queue:
        known[item.operation_id] = Pending(item.operation_id, from_edits(item.edits), origin=item.origin)
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
    if isinstance(decoded, messages.Operation | messages.TreeOperation):
        return [decoded.operation_id]
    raise ValueError("a message that is no operation is in flight")
