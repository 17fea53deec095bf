r"""Relay: requests by HTTP that came to this instance, and are another one's to answer.

    dispatch --> elsewhere --> who? --> this one: the application, at once
                                   \--> another: a channel of the link; what goes over it is in `requests`

A request is asked again elsewhere only where the core that was asked has refused it before anything was done, and what
was read of the body is still there; one that only reads also where that core has lost the workspace on the way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum

import msgspec
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coscribe.cluster.dispatch import Dispatch, preferred
from coscribe.cluster.link import Channel, LinkLost
from coscribe.cluster.links import Links
from coscribe.cluster.ports import Instance, Owners
from coscribe.cluster.requests import (
    Begin,
    Item,
    Outgoing,
    head_of,
    is_moved,
    pieces,
)
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

MAX_REQUESTS = 1_000
"""Asked of others, at a time; one more is refused as ``overloaded``."""

KEPT_BYTES = 65_536
"""Of the beginning of a body, in case that it has to be sent again."""

WAIT_SECONDS = 2.0
"""How long a request waits for an owner where there is none."""

AGAIN_SECONDS = 0.1
"""Between two looks for one."""

_READING = ("GET", "HEAD")

_STREAM = b"text/event-stream"
"""What has no end of its own."""

Refuse = Callable[[Scope, CoscribeError], ASGIApp]
"""The answer by which the API refuses a request."""


class How(Enum):
    """How the attempt to have a request answered has ended."""

    ANSWERED = "answered"
    GONE = "gone"
    """Who asked has gone."""
    CUT = "cut"
    """In the middle of the answer: so it ends for who asked, too."""
    LOST = "lost"
    """Before the answer began; whether it was done is not known."""
    STALLED = "stalled"
    """Nobody took the body."""
    UNREACHABLE = "unreachable"
    MOVED = "moved"
    OVERLOADED = "overloaded"


_NOTHING_DONE = (How.UNREACHABLE, How.MOVED)

_REFUSALS = {
    How.LOST: (
        Code.OWNER_UNAVAILABLE,
        "the instance that was asked cannot be reached any more; it may be done or not",
    ),
    How.STALLED: (Code.OWNER_UNAVAILABLE, "the instance that was asked did not take the request"),
    How.UNREACHABLE: (Code.OWNER_UNAVAILABLE, "nobody looks after it just now"),
    How.MOVED: (Code.OWNER_UNAVAILABLE, "it is being handed over"),
    How.OVERLOADED: (Code.OVERLOADED, "too many requests are under way"),
}


class Elsewhere:
    """Has requests answered by the instance that they are for, here or over a channel of a ``kind``.

    ``app``: what answers them here, None where this instance is no core; ``workspace_of``: of a file that is in a tree
    its workspace, of anything else itself; ``cores``: those that live and are not leaving; ``now``: monotonic seconds.
    """

    def __init__(
        self,
        instance_id: str,
        kind: str,
        app: ASGIApp | None,
        owners: Owners,
        workspace_of: Callable[[str], Awaitable[str]],
        cores: Callable[[], Iterable[Instance]],
        links: Links,
        now: Callable[[], float],
    ) -> None:
        self._instance_id = instance_id
        self._kind = kind
        self._app = app
        self._owners = owners
        self._workspace_of = workspace_of
        self._cores = cores
        self._links = links
        self._now = now
        self._asking: set[_Asking] = set()

    async def to_owner(self, file_id: str, request: Request) -> None:
        """Errors: ``owner_unavailable``, ``overloaded``; then nothing was answered. Raises StorageError."""
        workspace_id = await self._workspace_of(file_id)
        until = self._now() + WAIT_SECONDS
        while True:
            owner = self._owners.owner_of(workspace_id)
            if owner == self._instance_id:
                how = await self._here(request) if self._owners.owns(workspace_id) else How.MOVED
            else:
                how = How.UNREACHABLE if owner is None else await self._ask(owner, workspace_id, request)
            if how not in _NOTHING_DONE or not request.rewind() or self._now() >= until:
                return _refuse(how)
            await self._look_again()

    async def to_any(self, asker: str, request: Request) -> None:
        """The core for who asks; where that cannot be reached, the next. Errors: as above."""
        until = self._now() + WAIT_SECONDS
        while True:
            by_name = {core.name: core.instance_id for core in sorted(self._cores())}
            how = How.UNREACHABLE
            for name in preferred(asker, by_name):
                is_here = by_name[name] == self._instance_id
                how = await (self._here(request) if is_here else self._ask(by_name[name], "", request))
                if how not in _NOTHING_DONE or not request.rewind():
                    return _refuse(how)
            if self._now() >= until:
                return _refuse(how)
            await self._look_again()

    def end_streams(self) -> None:
        """Ends answers that have no end of their own: this instance is about to stop."""
        for asking in list(self._asking):
            if asking.is_stream:
                asking.end(How.CUT)

    async def _look_again(self) -> None:
        await asyncio.sleep(AGAIN_SECONDS)
        try:
            await self._owners.look_again()
        except StorageError as error:
            log.warning("owners_not_known", error=str(error))

    async def _here(self, request: Request) -> How:
        assert self._app is not None, "an instance that is no core is asked as if it were one"
        how = How.ANSWERED

        async def send(message: Message) -> None:
            nonlocal how
            if message["type"] == "http.response.start" and request.may_go_on_elsewhere(message):
                how = How.MOVED
            if how is How.ANSWERED:
                await request.send(message)

        await self._app(request.scope, request.receive, send)
        return how

    async def _ask(self, instance_id: str, about: str, request: Request) -> How:
        if len(self._asking) >= MAX_REQUESTS:
            return How.OVERLOADED
        asking = _Asking(request)
        self._asking.add(asking)
        metrics.relay_asking.labels(self._kind).set(len(self._asking))
        try:
            head = msgspec.msgpack.encode(head_of(request.scope, about))
            how = await asking.run(self._links.open(instance_id, self._kind, head))
        except LinkLost:
            how = How.UNREACHABLE
        finally:
            self._asking.discard(asking)
            metrics.relay_asking.labels(self._kind).set(len(self._asking))
        metrics.relay_ended.labels(how.value).inc()
        return how


class Relay:
    """The requests that `Dispatch` has a place for go to ``elsewhere``; all others are ``local``'s."""

    def __init__(self, elsewhere: Elsewhere, local: ASGIApp, dispatch: Dispatch, refuse: Refuse) -> None:
        self._elsewhere = elsewhere
        self._local = local
        self._dispatch = dispatch
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        to = self._dispatch.of(scope) if scope["type"] == "http" else None
        if to is None:
            await self._local(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            if to.about:
                await self._elsewhere.to_owner(to.about, request)
            else:
                await self._elsewhere.to_any(to.asker, request)
        except CoscribeError as error:
            await self._refuse(scope, error)(scope, request.receive, send)
        except StorageError as error:
            log.error("storage_failed", error=str(error))
            await self._refuse(scope, CoscribeError(Code.STORAGE_UNAVAILABLE))(scope, request.receive, send)


def _refuse(how: How) -> None:
    """Errors: what that way of ending comes to, where nothing was answered."""
    if how in _REFUSALS:
        raise CoscribeError(*_REFUSALS[how])


class Request:
    """What came, and the beginning of its body for as long as it may be needed once more: up to ``keeps`` bytes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, keeps: int = KEPT_BYTES) -> None:
        self.scope = scope
        self.send = send
        self._receive = receive
        self._keeps = keeps
        self._kept: list[Message] = []
        self._at = self._size = 0

    def rewind(self) -> bool:
        """Begins with the body again. False: its beginning is not there any more."""
        self._at = 0
        return self._size <= self._keeps

    def may_go_on_elsewhere(self, head: Message) -> bool:
        """Whether an answer with this head is none, as it only read and another instance has what it reads."""
        return self.scope["method"] in _READING and is_moved(head["status"], head["headers"])

    async def receive(self) -> Message:
        if self._at < len(self._kept):
            self._at += 1
            return self._kept[self._at - 1]
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._keeps:
            self._kept.clear()
        else:
            self._kept.append(message)
            self._at += 1
        return message


class _Asking:
    """One attempt: the body goes out, an answer comes in, whichever of them is first."""

    def __init__(self, request: Request) -> None:
        self.is_stream = False
        self._request = request
        self._items: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._how: How | None = None

    async def run(self, channel: Channel) -> How:
        outgoing = Outgoing(channel)
        channel.on_item = self._take
        channel.on_close = lambda _: self.end(How.LOST)
        channel.on_lost = lambda: self.end(How.UNREACHABLE if channel.unsent else How.LOST)
        sending = asyncio.get_running_loop().create_task(self._send_body(outgoing))
        try:
            return await self._pass_on(channel)
        finally:
            channel.close()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    # ---- from the channel

    def _take(self, item: bytes) -> None:
        self._items.append(item)
        self._some.set()

    def end(self, how: How) -> None:
        """Nothing more comes; what has come is passed on."""
        if self._how is None:
            self._how = how
        self._some.set()

    # ---- both directions

    async def _send_body(self, outgoing: Outgoing) -> None:
        """The body, and then whether who asked is still there."""
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self.end(How.GONE)
                return
            for item in pieces(message.get("body", b""), more=message.get("more_body", False)):
                try:
                    await outgoing.send(item)
                except TimeoutError:
                    metrics.relay_stalled.inc()
                    self.end(How.STALLED)
                    return

    async def _pass_on(self, channel: Channel) -> How:
        has_begun = False
        while (item := await self._next()) is not None:
            kind, content = Item(item[:1]), item[1:]
            if kind is Item.REFUSED:
                return How(content.decode())
            if kind is Item.BEGIN:
                begin = msgspec.msgpack.decode(content, type=Begin)
                head = {"type": "http.response.start", "status": begin.status, "headers": begin.headers}
                if self._request.may_go_on_elsewhere(head):
                    return How.MOVED
                has_begun = True
                self.is_stream = any(name == b"content-type" and _STREAM in value for name, value in begin.headers)
                await self._request.send(head)
                continue
            is_last = kind is Item.LAST
            await self._request.send({"type": "http.response.body", "body": content, "more_body": not is_last})
            channel.consumed(len(item))
            if is_last:
                return How.ANSWERED
        assert self._how is not None
        return How.CUT if has_begun and self._how is not How.GONE else self._how

    async def _next(self) -> bytes | None:
        """None: nothing comes any more."""
        while not self._items:
            if self._how is not None:
                return None
            self._some.clear()
            await self._some.wait()
        return self._items.popleft()
