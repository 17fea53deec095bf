"""Links: all links of this instance, one for each peer, made when it is needed.

A link that is over is made anew when the next channel is opened. A peer that does not answer is asked again after a
while that grows; until then there is no link to it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec
import structlog

from coscribe.cluster.link import (
    VERSION,
    WINDOW,
    Channel,
    Link,
    LinkLimits,
    LinkLost,
    Message,
    Near,
    decode,
    is_opening,
    reset,
)
from coscribe.cluster.ports import Bus, BusUnavailable
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

Serve = Callable[[Channel], None]
"""Takes a channel that a peer has opened: sets what is to be called, and raises nothing. It may send at once."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds until a peer that did not answer is asked again: doubled each time, up to the longest."""

TICKS = 4
"""Looks at all links in a heartbeat."""


def fresh_tag() -> int:
    return secrets.randbits(62) + 1


def link_subject(instance_id: str) -> str:
    """Where an instance hears what is said on its links."""
    return f"coscribe.link.{instance_id}"


class _Pause(NamedTuple):
    """A peer has not answered."""

    times: int
    until: float


class Links:
    """``fresh`` draws tags: numbers from 1 to 2**63 - 1 that do not come again."""

    def __init__(
        self,
        bus: Bus,
        instance_id: str,
        *,
        limits: LinkLimits | None = None,
        fresh: Callable[[], int] = fresh_tag,
    ) -> None:
        self.instance_id = instance_id
        self._bus = bus
        self._limits = limits or LinkLimits()
        self._fresh = fresh
        self._serving: dict[str, Serve] = {}
        self._links: dict[str, Link] = {}
        self._pauses: dict[str, _Pause] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._stopped = False

    def serve(self, kind: str, serve: Serve) -> None:
        """Who takes channels of a kind. To be said before `start`."""
        self._serving[kind] = serve

    async def start(self) -> None:
        """From here on others may open links. Raises BusUnavailable."""
        await self._bus.subscribe(link_subject(self.instance_id), self._receive)
        self._tick()

    def stop(self) -> None:
        """Ends all links, and makes none any more."""
        self._stopped = True
        if self._ticking is not None:
            self._ticking.cancel()
        for link in tuple(self._links.values()):
            link.end("stopped")

    def open(self, peer: str, kind: str, head: bytes, window: int = WINDOW) -> Channel:
        """A channel to an instance; to this very one, too, which takes no link. ``window``: of both directions.

        It may turn out only later that the peer does not answer: then the channel is lost. Raises LinkLost.
        """
        if self._stopped:
            raise LinkLost(peer)
        if peer == self.instance_id:
            near = Near(peer, kind, head, window)
            asyncio.get_running_loop().call_soon(near.begin, self._serve)
            return near.opened
        return self._link_to(peer).open(kind, head, window)

    def lose(self, peer: str, why: str) -> None:
        """Ends the link to an instance, if there is one."""
        link = self._links.get(peer)
        if link is not None:
            link.end(why)

    @property
    def peers(self) -> list[str]:
        """Those there is a link to."""
        return [peer for peer, link in self._links.items() if link.is_open]

    def _link_to(self, peer: str) -> Link:
        link = self._links.get(peer)
        if link is not None:
            return link
        pause = self._pauses.get(peer)
        if pause is not None and self._now() < pause.until:
            raise LinkLost(f"{peer} has not answered")
        link = self._make(peer)
        link.begin()
        if link.ended:
            raise LinkLost(f"{peer}: the bus cannot be reached")
        return link

    def _make(self, peer: str) -> Link:
        loop = asyncio.get_running_loop()
        waking = False

        def flush() -> None:
            nonlocal waking
            waking = False
            link.flush(loop.time())

        def wake() -> None:
            nonlocal waking
            if not waking:
                waking = True
                loop.call_soon(flush)

        link = Link(
            self.instance_id,
            peer,
            self._fresh(),
            self._limits,
            self._bus.largest,
            loop.time(),
            emit=partial(self._bus.send, link_subject(peer)),
            wake=wake,
            serve=self._serve,
            ended=lambda why: self._ended(link, why),
        )
        self._links[peer] = link
        return link

    def _ended(self, link: Link, why: str) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
        metrics.link_ends.labels(why).inc()
        log.info("link_ended", peer=link.peer, why=why, channels=link.channels)
        if link.is_open:
            self._pauses.pop(link.peer, None)
        else:
            times = self._pauses[link.peer].times + 1 if link.peer in self._pauses else 1
            pause = min(FIRST_PAUSE * 2 ** min(times - 1, 16), LONGEST_PAUSE)
            self._pauses[link.peer] = _Pause(times, self._now() + pause)

    def _receive(self, raw: bytes) -> None:
        """A message from the bus."""
        try:
            message = decode(raw)
        except msgspec.MsgspecError as error:
            log.error("link_message_unreadable", error=str(error))
            return
        if self._stopped or message.version != VERSION:
            return
        link = self._links.get(message.sender)
        now = self._now()
        if is_opening(message):
            self._asked(message, link, now)
        elif link is not None and link.tag == message.to_tag:
            link.take(message, now)
        else:
            answer = reset(self.instance_id, message)
            if answer is not None:
                try:
                    self._bus.send(link_subject(message.sender), answer)
                except BusUnavailable:
                    log.info("link_reset_not_sent", peer=message.sender)

    def _asked(self, message: Message, link: Link | None, now: float) -> None:
        """A peer wants a link. Where both want one at once, it is that of the one whose id comes first."""
        peer = message.sender
        if link is not None and not link.is_open and self.instance_id < peer:
            return
        if link is not None:
            link.asked_again(message.tag, now)
        if peer not in self._links:
            self._make(peer).accept(message.tag, now)

    def _serve(self, channel: Channel) -> None:
        serve = self._serving.get(channel.kind)
        if serve is None:
            channel.close(b"unknown")
        else:
            serve(channel)

    def _tick(self) -> None:
        now = self._now()
        for link in tuple(self._links.values()):
            link.tick(now)
        for peer in [peer for peer, pause in self._pauses.items() if now > pause.until + 60 * LONGEST_PAUSE]:
            del self._pauses[peer]
        metrics.links.set(len(self._links))
        metrics.link_waiting.set(sum(link.waiting for link in self._links.values()))
        self._ticking = asyncio.get_running_loop().call_later(self._limits.heartbeat / TICKS, self._tick)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
