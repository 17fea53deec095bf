"""Player: an author of a concurrent history, who sends and takes in exactly what it is told to.

A `Replica` over a connection of its own. `coscribe.client.Client` sends as soon as it can and takes in whatever comes;
here what comes is held back, and what is typed waits, until the schedule says so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from coscribe.cli.traces import Patch
from coscribe.client.replica import Batching, Replica
from coscribe.core.dedup import split_id
from coscribe.core.operation import changes
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS, CommittedOperation

_MAX_FRAME_BYTES = 256_000_000
_M = TypeVar("_M", bound=messages.ServerMessage)


class PlayError(Exception):
    """The history cannot be played to its end. The text is for people."""


class _Listener(WSListener):
    def __init__(self, player: Player) -> None:
        self._player = player

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._player.received(codec.decode_server(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._player.failed("the server closed the connection")


class Player:
    """One author of one file. Its edits are counted from 1 on, which is also the counter of their operation ids."""

    def __init__(self, file_id: str, chain: int) -> None:
        self._replica = Replica(file_id, secrets.token_urlsafe(9), batching=Batching.CHAIN, chain=chain, undo_depth=0)
        self._transport: WSTransport | None = None
        self._held: deque[CommittedOperation] = deque()
        self._arrived = 0
        self._answers: list[messages.ServerMessage] = []
        self._failure = ""
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        return self._replica.text

    @property
    def sequence(self) -> int:
        return self._replica.sequence

    async def join(self, url: str, token: str) -> None:
        """Connects and opens the file. Raises OSError, PlayError."""
        transport, _ = await ws_connect(lambda: _Listener(self), url, max_frame_size=_MAX_FRAME_BYTES)
        self._transport = transport
        replica = self._replica
        hello = messages.Hello(list(PROTOCOL_VERSIONS), token, "coscribe-replay")
        replica.user_id = (await self._ask(hello, messages.Welcome)).user_id
        snapshot = await self._ask(messages.Join(replica.file_id), messages.Snapshot)
        replica.adopt(snapshot)
        self._arrived = replica.sequence
        await self._ask(messages.SnapshotApplied(replica.file_id, replica.sequence), messages.Live)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.disconnect()

    def make(self, patch: Patch) -> None:
        """Edits this copy. Raises PlayError."""
        try:
            self._replica.edit([patch])
        except ValueError as error:
            raise PlayError(str(error)) from None

    async def send(self, through: int) -> dict[int, int]:
        """Sends the edits that wait, up to number ``through``, and returns once they are durable: number -> sequence.

        An edit that has come to nothing meanwhile (its text was deleted by others too) is not sent, and left out.
        """
        replica = self._replica
        waiting = [pending for pending in replica.queue if split_id(pending.operation_id)[1] <= through]
        count = sum(changes(pending.operation) for pending in waiting)
        if not count:
            return {}
        message = replica.outgoing(count)
        assert message is not None, "the schedule sends nothing while something is in flight"
        ids = [pending.operation_id for pending in replica.in_flight]
        self._send(message)
        await self._until(lambda: any(operation.operation_id == ids[-1] for operation in reversed(self._held)))
        wanted = set(ids)
        return {
            split_id(operation.operation_id)[1]: operation.server_sequence_id
            for operation in self._held
            if operation.operation_id in wanted
        }

    async def see(self, sequence: int) -> None:
        """Takes in what is held back, up to ``sequence``, once it is there."""
        await self._until(lambda: self._arrived >= sequence)
        released: list[CommittedOperation] = []
        while self._held and self._held[0].server_sequence_id <= sequence:
            released.append(self._held.popleft())
        # Only a rejoin needs the chain hash, and a player that loses its connection gives up.
        self._replica.receive(released, self._replica.sequence, "")

    # ---- for the listener

    def received(self, message: messages.ServerMessage) -> None:
        if isinstance(message, messages.Committed):
            if message.previous_sequence_id != self._arrived:
                self.failed(f"operations are missing behind sequence {self._arrived}")
            self._held.extend(message.operations)
            self._arrived = message.operations[-1].server_sequence_id
        elif isinstance(message, messages.Error):
            self.failed(f"the server refused: {message.code}: {message.detail}")
        elif isinstance(message, messages.Rejoin | messages.Goodbye):
            self.failed(f"the server let go: {message.reason}")
        elif isinstance(message, messages.Welcome | messages.Snapshot | messages.Live):
            self._answers.append(message)
        self._changed.set()

    def failed(self, why: str) -> None:
        self._failure = self._failure or why
        self._changed.set()

    # ---- steps

    def _send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, frame)

    async def _ask(self, message: messages.ClientMessage, answer: type[_M]) -> _M:
        self._send(codec.encode(message))
        await self._until(lambda: any(isinstance(known, answer) for known in self._answers))
        return next(known for known in self._answers if isinstance(known, answer))

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._failure:
                raise PlayError(self._failure)
            self._changed.clear()
            await self._changed.wait()
