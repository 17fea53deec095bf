"""Opened: what a text and a tree that a client has open have in common: the states of the protocol.

      offline --connected--> joining --(snapshot, tail)--> live
                  ^              |
                  +-- not yet: what makes the file is not acknowledged

                        whatever the state --access is gone, and the fates are known--> ended

*Early*: what came before what it follows. It is kept for a moment, as the rest may only have been overtaken; then what
lies between is asked for (resend), and if that does not come either the file is joined anew.

*Ended*: access was taken away while we were live, or before we came back. What is in flight may be committed all the
same, so one more join asks for its fate, over this connection or the next; the refusal tells. The rest is a patch.

*Saving* is a barrier: it is asked for when all of ours is acknowledged, again on each new connection, and is through
when the server names a sequence that is not below ours of then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import UnsetType

from coscribe.client.pending import PendingStore, Stored
from coscribe.client.replica import Gap, NotOurs, OutOfStep
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol import codec, messages

if TYPE_CHECKING:
    from coscribe.client.client import Client

MAX_SEQUENCE = 2**53 - 1
"""Up to wherever the log goes."""

MAX_EARLY = 64
"""Messages that came early and are kept; where there are more the file is joined anew."""

EARLY_SECONDS = 0.05
"""How long operations that were overtaken may take before they are asked for."""

ANSWER_SECONDS = 5.0
"""How long the answer to that may take before the file is joined anew."""

_JOINED_TWICE = (Code.ALREADY_JOINED, Code.SNAPSHOT_NOT_SENT)
"""A join came while another one still stood, as it may after `Rejoin` or a lost turn: leave, and join once."""

_NOT_AT_ONCE = (Code.STORAGE_UNAVAILABLE.value.code, Code.OWNER_UNAVAILABLE.value.code)
"""Why a file has to be joined again where it would be of no use to do so at once."""

_CLOSED = (Code.FILE_NOT_FOUND, Code.NOT_A_TEXT)
"""What a text that is open is closed with where it was purged, or became something else."""

_Follows = messages.Committed | messages.TreeCommitted


class State(Enum):
    """Where a file is in the protocol."""

    OFFLINE = "offline"
    JOINING = "joining"
    BRIDGING = "bridging"
    LIVE = "live"
    ENDED = "ended"


class AnyReplica(Stored, Protocol):
    """What is asked of a replica, whatever it is of."""

    sequence: int

    @property
    def is_idle(self) -> bool: ...

    def ids_in_flight(self) -> list[str]: ...


_R = TypeVar("_R", bound=AnyReplica)


class Opened(Generic[_R]):
    """A file that is open. The part about what is in it is the subclass's."""

    def __init__(self, client: Client, replica: _R) -> None:
        self._client = client
        self._replica = replica
        self._pending_store: PendingStore | None = None
        self._state = State.OFFLINE
        self._afresh = False
        self._changed = asyncio.Event()
        self._failed: CoscribeError | None = None
        self._removed: CoscribeError | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self._joins_again = False
        self._joins_refused = 0
        self._early: dict[int, _Follows] = {}
        self._missing: asyncio.TimerHandle | None = None
        self._saved = 0
        self._to_save = 0
        self._saves_refused = 0
        self._save_refusal: CoscribeError | None = None
        self._wants_cursor = False
        self.role: messages.Role = "viewer"
        self.participants: dict[str, messages.Participant] = {}
        self.heals = 0

    # ---- what a user of the library sees

    @property
    def file_id(self) -> str:
        return self._replica.file_id

    @property
    def sequence(self) -> int:
        return self._replica.sequence

    @property
    def state(self) -> State:
        return self._state

    async def synced(self) -> None:
        """Returns when we are live and everything of ours is durable on the server. Errors: what made it fail."""
        await self._until(lambda: self._state is State.LIVE and self._replica.is_idle)

    async def live(self) -> None:
        await self._until(lambda: self._state is State.LIVE)

    async def reached(self, sequence: int) -> None:
        """Returns when the replica is at ``sequence`` or beyond."""
        await self._until(lambda: self._replica.sequence >= sequence)

    async def save(self) -> int:
        """Returns when all of it, what is ours too, is saved on the server, whatever else that means there than being
        in its log: the sequence up to which. Errors: those of `synced`; ``permission_denied``."""
        await self.synced()
        return await self.save_through(self._replica.sequence)

    async def save_through(self, sequence: int) -> int:
        """Likewise up to a sequence of the workspace, one that the server has."""
        self._save_refusal = None
        self._to_save = max(self._to_save, sequence)
        self._ask_to_save()
        await self._until(lambda: self._saved >= sequence or self._save_refusal is not None)
        if self._saved < sequence and self._save_refusal is not None:
            raise self._save_refusal
        return self._saved

    async def close(self) -> None:
        """Leaves the file. What is pending stays in the pending file, if there is one."""
        if self._state not in (State.OFFLINE, State.ENDED):
            self._client.send(codec.encode(messages.Leave(self.file_id)))
        self._client.forget(self)
        self.disconnected()

    # ---- what the client tells it

    def connected(self) -> None:
        """A connection is open and has been welcomed."""
        if self._state is not State.ENDED:
            self.attach()
            self._join()

    def attach(self) -> None:
        """Takes in what an earlier process has left pending, once it is known whose we are."""
        replica = self._replica
        if not replica.user_id and self._client.user_id:
            replica.user_id = self._client.user_id
            self._pending_store = self._client.pending_store(self.file_id)
            if self._pending_store is not None:
                self._pending_store.load(replica)

    def disconnected(self) -> None:
        if self._state is not State.ENDED:
            self._state = State.OFFLINE
        self.participants.clear()
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None
        self._joins_again = False
        self._joins_refused = 0
        self._forget_early()
        self._changed.set()

    def fail(self, error: CoscribeError) -> None:
        if self._state is not State.ENDED:
            self._failed = error
            self._changed.set()

    def receive(self, message: messages.ServerMessage) -> None:
        """A message for this file."""
        if self._state is State.ENDED:
            return
        try:
            self._receive(message)
        except Gap:
            if self._state is State.LIVE:
                self._keep_early(message)
        except NotOurs:
            self._hand_back(Code.OPERATION_ID_REUSED, "a copy of this device has used the id")
            self._heal()
        except OutOfStep:
            self._heal()
        self._changed.set()

    # ---- for the subclass to say

    def _have(self) -> messages.Have | None:
        """What there is of the file; None: nothing that is worth telling."""
        raise NotImplementedError

    def _lineage(self) -> messages.Lineage:
        """Where the replica is, to ask for what follows."""
        raise NotImplementedError

    def _take(self, message: messages.ServerMessage) -> None:
        """A message about what is in the file. Raises Gap, OutOfStep, NotOurs."""
        raise NotImplementedError

    def _follow(self, message: _Follows) -> None:
        """Something was committed. Raises Gap, OutOfStep, NotOurs."""
        raise NotImplementedError

    def _be_live(self, message: messages.Live) -> None:
        """All that the server has is there. Raises Gap: it is not."""
        raise NotImplementedError

    def _sent(self) -> bytes:
        """The message in flight; b"": none is."""
        raise NotImplementedError

    def _send_next(self) -> None:
        """Sends what is queued, unless something is in flight; first of all it is stored."""
        raise NotImplementedError

    def _hand_back(self, code: Code, detail: str, committed: Collection[str] = ()) -> None:
        """What is pending goes back to its author, but for what is committed."""
        raise NotImplementedError

    def _is_mine(self, operation_id: str) -> bool:
        """Whether an operation is one of the message that is in flight."""
        raise NotImplementedError

    def _give_up(self, code: Code, detail: str) -> None:
        """The message in flight is refused for good."""
        raise NotImplementedError

    def _ended(self, error: CoscribeError) -> CoscribeError:
        """What is told to whoever uses the file from now on."""
        raise NotImplementedError

    # ---- joining

    def _join(self) -> None:
        self._forget_early()
        if self._client.holds(self.file_id):
            self._state = State.OFFLINE
            return
        self._state = State.JOINING
        have = None if self._afresh else self._have()
        ids = self._replica.ids_in_flight()
        self._client.send(codec.encode(messages.Join(self.file_id, have, ids, self._wants_cursor)))

    def _leave_and_join(self) -> None:
        self._client.send(codec.encode(messages.Leave(self.file_id)))
        self._join()

    def _asked_back(self, message: messages.Rejoin) -> None:
        """The server says when; one that speaks version 1 leaves that to us."""
        if isinstance(message.retry_after, UnsetType):
            after = None if message.reason in _NOT_AT_ONCE else 0
        else:
            after = message.retry_after
        if after == 0:
            self._join()
        else:
            self._join_later(after)

    def _join_later(self, after: int | None = None) -> None:
        """``after`` so many milliseconds; None: the more often it was refused the later."""
        self._state = State.JOINING
        if not self._joins_again:
            self._joins_again = True
            if after is None:
                self._client.retry_later(self._join_again, self._joins_refused)
                self._joins_refused += 1
            else:
                self._client.run_later(self._join_again, after / 1_000)

    def _join_again(self) -> None:
        self._joins_again = False
        if self._state is State.JOINING:
            self._join()

    def _heal(self) -> None:
        """What we have is not what it should be: take the server's, keep what is pending."""
        self.heals += 1
        self._afresh = True
        self._leave_and_join()

    def _receive(self, message: messages.ServerMessage) -> None:
        if isinstance(message, messages.Committed | messages.TreeCommitted):
            if self._state is not State.BRIDGING:
                self._follow(message)
                self._go_on_with_early()
        elif isinstance(message, messages.Presence):
            self.participants[message.participant.connection_id] = message.participant
        elif isinstance(message, messages.Left):
            self.participants.pop(message.connection_id, None)
        elif isinstance(message, messages.Live):
            self._go_live(message)
        elif isinstance(message, messages.Rejoin):
            self._asked_back(message)
        elif isinstance(message, messages.RoleChanged):
            self.role = message.role
        elif isinstance(message, messages.Saved):
            self._saved, self._saves_refused = max(self._saved, message.server_sequence_id), 0
            self._ask_to_save()
        elif isinstance(message, messages.Error):
            self._refused(message)
        else:
            self._take(message)

    def _go_live(self, message: messages.Live) -> None:
        self._be_live(message)
        self.role = message.role
        self.participants = {participant.connection_id: participant for participant in message.participants}
        self._state = State.LIVE
        self._joins_refused = 0
        self._removed = None
        sent = self._sent()
        if sent:
            self._client.send(sent)
        else:
            self._send_next()
        self._ask_to_save()

    # ---- what came early

    def _keep_early(self, message: messages.ServerMessage) -> None:
        """There is a gap before the message. One that tells of it and is no operation is not kept."""
        if len(self._early) >= MAX_EARLY:
            self._leave_and_join()
            return
        if isinstance(message, messages.Committed | messages.TreeCommitted):
            self._early[message.previous_sequence_id] = message
        if self._missing is None:
            self._missing = asyncio.get_running_loop().call_later(EARLY_SECONDS, self._ask_missing)

    def _ask_missing(self) -> None:
        through = min(self._early, default=MAX_SEQUENCE)
        self._client.send(codec.encode(messages.Resend(self.file_id, self._lineage(), through)))
        self._missing = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._leave_and_join)

    def _gap_filled(self, *, more: bool) -> None:
        """What was asked for has come and is taken in."""
        self._go_on_with_early()
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None
        if more or self._early:
            self._ask_missing()

    def _go_on_with_early(self) -> None:
        while self._early and (first := min(self._early)) <= self._replica.sequence:
            self._follow(self._early.pop(first))
            if not self._early and self._missing is not None:
                self._missing.cancel()
                self._missing = None

    def _forget_early(self) -> None:
        self._early.clear()
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None

    # ---- sending

    def _save(self) -> None:
        if self._pending_store is not None:
            self._pending_store.save(self._replica)

    def _send_again(self) -> None:
        self._retrying = None
        sent = self._sent()
        if self._state is State.LIVE and sent:
            self._client.send(sent)

    def _ask_to_save(self) -> None:
        if self._state is State.LIVE and self._saved < self._to_save:
            self._client.send(codec.encode(messages.Save(self.file_id)))

    # ---- refusals

    def _refused(self, message: messages.Error) -> None:
        if message.operation_id is not None and not self._is_mine(message.operation_id):
            return
        code = next((code for code in Code if code.value.code == message.code), Code.INTERNAL)
        if message.operation_id is None:
            self._file_refused(CoscribeError(code, message.detail, file_id=self.file_id), message)
        elif message.retry == "same":
            if self._retrying is None:
                self._retrying = asyncio.get_running_loop().call_later(0.25, self._send_again)
        elif message.retry == "rejoin":
            self._join_later()
        else:
            self._give_up(code, message.detail)

    def _file_refused(self, error: CoscribeError, message: messages.Error) -> None:
        """Something about the file as a whole was refused."""
        if error.code is Code.ACCESS_REMOVED:
            self._removed = error
            if self._replica.ids_in_flight():
                self._join()
            else:
                self._end(error)
        elif self._missing is not None or (
            self._state in (State.JOINING, State.BRIDGING) and error.code in _JOINED_TWICE
        ):
            self._leave_and_join()
        elif self._state is State.LIVE and error.code in _CLOSED:
            self._join()
        elif self._state is State.LIVE and self._saved < self._to_save:
            self._save_refused(error, message)
        elif self._state is State.JOINING and error.code is Code.FILE_NOT_FOUND:
            self._end(self._removed or error, message.fates or [])
        elif self._state is State.JOINING and message.retry == "never":
            self.fail(error)
        elif self._state in (State.JOINING, State.BRIDGING):
            self._join_later()

    def _save_refused(self, error: CoscribeError, message: messages.Error) -> None:
        if message.retry == "never":
            self._save_refusal, self._to_save = error, 0
        else:
            self._client.retry_later(self._ask_to_save, self._saves_refused)
            self._saves_refused += 1

    def _end(self, error: CoscribeError, fates: Sequence[messages.OperationFate] = ()) -> None:
        """Access is gone: what is not in the log goes back to its author, and nothing follows."""
        self._hand_back(error.code, error.detail, committed_in(fates))
        self._forget_early()
        self.role = "viewer"
        self.participants.clear()
        self._failed = self._ended(error)
        self._state = State.ENDED

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._failed is not None:
                raise self._failed
            self._changed.clear()
            await self._changed.wait()


def committed_in(fates: Sequence[messages.OperationFate]) -> set[str]:
    """The ids in flight that are in the log: they are nothing to hand back."""
    return {fate.operation_id for fate in fates if fate.fate == "committed"}
