"""Client: one connection to a server, kept up; the files, texts and trees, opened over it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from coscribe.client.document import Document
from coscribe.client.link import Dial, Link, websocket_dial
from coscribe.client.opened import Opened, State
from coscribe.client.pending import PendingFile, PendingStore
from coscribe.client.replica import Batching, Replica
from coscribe.client.tree_replica import TreeReplica
from coscribe.client.workspace import Workspace
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import PROTOCOL_VERSIONS
from coscribe.tracing import Tracer

AWAITED_SECONDS = 30.0
MAX_DOUBLINGS = 10
"""Of a pause; by then it is as long as the settings let it be."""

AWAITED_PAUSE = 0.5
"""Seconds for which a server that said goodbye is looked for often, and the longest pause meanwhile; the pause that it
has named, where that is longer."""

TOO_MANY_PAUSE = 10.0
"""Seconds to wait after a refusal because too many connections of the account are open, or up to half as long."""

log = logging.getLogger(__name__)


class ClientSettings(NamedTuple):
    """Times in seconds. ``pending_folder``: where edits, and what can be undone, survive the process;
    None: nowhere."""

    pending_folder: Path | None = None
    batching: Batching = Batching.COMPOSE
    chain: int = 64
    undo_depth: int = 200
    backoff: float = 0.1
    max_backoff: float = 10.0
    connect_timeout: float = 10.0
    silent_after: float = 45.0
    max_frame_bytes: int = 256_000_000


class Surroundings(NamedTuple):
    """What a client reaches the world by. ``chance`` gives numbers from 0 to 1, ``new_series`` an id never used before,
    ``pending_store`` (of user and file) where edits survive the process; None: nowhere."""

    dial: Dial
    chance: Callable[[], float]
    new_series: Callable[[], str]
    pending_store: Callable[[str, str], PendingStore | None]


def _usual(url: str, settings: ClientSettings) -> Surroundings:
    def pending_file(user_id: str, file_id: str) -> PendingFile | None:
        folder = settings.pending_folder
        return None if folder is None else PendingFile.in_folder(folder, user_id, file_id)

    dial = websocket_dial(
        url,
        connect_timeout=settings.connect_timeout,
        silent_after=settings.silent_after,
        max_frame_bytes=settings.max_frame_bytes,
    )
    return Surroundings(dial, random.random, lambda: secrets.token_urlsafe(9), pending_file)


class Client:
    """``url`` is the server's, ``ws://host:port/ws``; ``token`` says who we are. Use as a context manager, or `start`
    and `close`. The connection is made anew, with growing pauses, until `close`. ``tracer`` None: nothing is traced."""

    def __init__(
        self,
        url: str,
        token: str,
        settings: ClientSettings | None = None,
        surroundings: Surroundings | None = None,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self.tracer = tracer
        self._token = token
        self._settings = settings or ClientSettings()
        self._surroundings = surroundings or _usual(url, self._settings)
        self._opened: dict[str, Document | Workspace] = {}
        self._link: Link | None = None
        self._welcomed = False
        self._running: asyncio.Task[None] | None = None
        self._retry_after = 0.0
        self._awaited_until = 0.0
        self._awaited_pause = AWAITED_PAUSE
        self._refusal: CoscribeError | None = None
        self.user_id = ""
        self.connection_id = ""
        self.limits: messages.ServerLimits | None = None
        self.connects = 0

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._keep_connected())

    async def close(self) -> None:
        """Closes the connection. Pending edits stay in their files."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        self._disconnect()

    async def open(self, file_id: str) -> Document:
        """Opens a file and returns once it is live.

        Errors: those of join (`AccessEnded` with what was left pending), ``authentication_failed``, ``session_ended``.
        """
        document = self.open_offline(file_id)
        try:
            await document.live()
        except CoscribeError:
            self.forget(document)
            raise
        return document

    def open_offline(self, file_id: str) -> Document:
        """Opens a file without waiting for the server; ``document.live()`` waits."""
        present = self._opened.get(file_id)
        if isinstance(present, Document) and present.state is not State.ENDED:
            return present
        settings = self._settings
        replica = Replica(
            file_id,
            self._surroundings.new_series(),
            batching=settings.batching,
            chain=settings.chain,
            undo_depth=settings.undo_depth,
        )
        document = Document(self, replica)
        self._take_up(document)
        return document

    async def open_workspace(self, workspace_id: str) -> Workspace:
        """Opens the tree of a workspace and returns once it is live.

        Errors: those of join (`TreeEnded` with what was left pending), ``authentication_failed``, ``session_ended``.
        """
        workspace = self.open_workspace_offline(workspace_id)
        try:
            await workspace.live()
        except CoscribeError:
            self.forget(workspace)
            raise
        return workspace

    def open_workspace_offline(self, workspace_id: str) -> Workspace:
        """Opens a tree without waiting for the server; ``workspace.live()`` waits."""
        present = self._opened.get(workspace_id)
        if isinstance(present, Workspace) and present.state is not State.ENDED:
            return present
        replica = TreeReplica(workspace_id, self._surroundings.new_series(), undo_depth=self._settings.undo_depth)
        workspace = Workspace(self, replica)
        self._take_up(workspace)
        return workspace

    def _take_up(self, opened: Document | Workspace) -> None:
        self._opened[opened.file_id] = opened
        if self._refusal is not None:
            opened.fail(self._refusal)
        elif self._welcomed:
            opened.connected()

    def drop_connection(self) -> None:
        """Cuts the connection without a word, as a network would; it is made anew."""
        if self._link is not None:
            self._link.abort()

    # ---- for what is open

    def send(self, frame: bytes) -> None:
        if self._link is not None:
            self._link.send(frame)

    def pending_store(self, file_id: str) -> PendingStore | None:
        """Where this user's pending edits of the file are kept."""
        return self._surroundings.pending_store(self.user_id, file_id)

    def documents(self) -> list[Document]:
        """The texts that are open."""
        return [opened for opened in self._opened.values() if isinstance(opened, Document)]

    def _workspaces(self) -> list[Workspace]:
        return [opened for opened in self._opened.values() if isinstance(opened, Workspace)]

    def holds(self, file_id: str) -> bool:
        """Whether a file is still to be made, by a change of ours that the server has not acknowledged."""
        return any(workspace.holds(file_id) for workspace in self._workspaces())

    def released(self) -> None:
        """Files may be there now that were not: who waited for them goes on."""
        if self._welcomed:
            for document in self.documents():
                if document.state is State.OFFLINE:
                    document.connected()

    def forget(self, opened: Opened[Any]) -> None:
        if self._opened.get(opened.file_id) is opened:
            del self._opened[opened.file_id]

    def retry_later(self, action: Callable[[], None], attempt: int) -> None:
        """Runs the action later, if this connection still stands then: the more attempts there were the later, and not
        when everybody else does."""
        settings = self._settings
        pause = min(settings.backoff * 2 ** min(attempt, MAX_DOUBLINGS), settings.max_backoff)
        self.run_later(action, pause * (0.5 + self._surroundings.chance() / 2))

    def run_later(self, action: Callable[[], None], pause: float) -> None:
        """Runs the action after so many seconds, if this connection still stands then."""
        link = self._link

        def act() -> None:
            if self._link is link and self._welcomed:
                action()

        asyncio.get_running_loop().call_later(pause, act)

    # ---- for the link

    def received(self, link: Link, raw: bytes) -> None:
        if link is not self._link:
            return
        message = codec.decode_server(raw)
        if isinstance(message, messages.Welcome):
            self._welcome(message)
        elif isinstance(message, messages.Goodbye):
            self._retry_after = message.retry_after / 1_000
            self._awaited_until = asyncio.get_running_loop().time() + self._retry_after + AWAITED_SECONDS
            self._awaited_pause = max(AWAITED_PAUSE, self._retry_after)
        elif not isinstance(message, messages.Pong):
            opened = self._opened.get(message.file_id or "")
            if opened is not None:
                opened.receive(message)
            elif isinstance(message, messages.Error):
                self._refused(message)

    def _welcome(self, message: messages.Welcome) -> None:
        self._welcomed = True
        self.user_id = message.user_id
        self.connection_id = message.connection_id
        self.limits = message.limits
        self.connects += 1
        # Trees come first: what they have to make is known before a text is asked for.
        for workspace in self._workspaces():
            workspace.connected()
        for document in self.documents():
            document.connected()

    def _refused(self, message: messages.Error) -> None:
        """An error that is about no file. Before the welcome it means that this client will never get in, and if the
        session has ended, that it will not any more. What is pending stays so: it may be sent with another token."""
        log.warning("the server refused: %s: %s", message.code, message.detail)
        if message.code == Code.TOO_MANY_REQUESTS.value.code:
            self._retry_after = TOO_MANY_PAUSE * (0.5 + self._surroundings.chance() / 2)
        ended = message.code == Code.SESSION_ENDED.value.code
        if ended or (not self._welcomed and message.retry == "never"):
            code = next((code for code in Code if code.value.code == message.code), Code.INTERNAL)
            self._refusal = CoscribeError(code, message.detail)
            for opened in self._opened.values():
                opened.fail(self._refusal)

    async def _keep_connected(self) -> None:
        """Connects, stays, connects again: pauses double up to the maximum, with some chance in them. They stay short
        for a while where the server has said that it comes back."""
        settings = self._settings
        now = asyncio.get_running_loop().time
        pause = settings.backoff
        while self._refusal is None:
            try:
                link = await self._surroundings.dial(self.received)
            except Exception as error:
                log.debug("cannot connect: %s", error)
            else:
                self._link = link
                self.send(codec.encode(messages.Hello(list(PROTOCOL_VERSIONS), self._token, "coscribe-python")))
                try:
                    await link.closed()
                except Exception:
                    log.exception("the connection is given up")
                pause = settings.backoff if self._welcomed else pause
                self._disconnect()
            await asyncio.sleep(max(self._retry_after, pause * (0.5 + self._surroundings.chance() / 2)))
            self._retry_after = 0.0
            longest = self._awaited_pause if now() < self._awaited_until else settings.max_backoff
            pause = min(2 * pause, longest, settings.max_backoff)

    def _disconnect(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self._welcomed = False
        for opened in tuple(self._opened.values()):
            opened.disconnected()
