"""Connections between clients and servers: frames take their time, wires are cut, one direction dies alone.

    client ==up==> server       Each direction of a wire keeps its order and brings every frame or ends, as TCP does.
    client <=down= server       What was sent before a cut may still arrive after it: the two ends notice on their own.

With ``unruly`` a wire is worse than TCP: operations on their way down get lost, come twice and overtake each other, as
they might behind a bus that forgets.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from coscribe.client.link import Received
from coscribe.gateway.connection import Connection
from coscribe.gateway.gateway import Gateway
from tests.simulation.virtual_loop import Process, VirtualLoop

LATENCY = 0.02
"""Seconds that a frame takes on a good day, about."""

HIGH_WATER = 2_000
"""Bytes on the way down after which a server's transport says that it is full."""


class Refused(ConnectionError):
    """Nobody listens there, or there is no way through."""


class Network:
    """There is a server (``gateway``), or not. ``sent`` is told of each frame that it sends, ``asked`` of each that
    reaches it."""

    def __init__(self, loop: VirtualLoop, world: Process, rng: random.Random) -> None:
        self.loop = loop
        self.world = world
        self.rng = rng
        self.latency = LATENCY
        self.unruly = 0.0
        self.gateway: Gateway | None = None
        self.server: Process | None = None
        self.wires: list[Wire] = []
        self._cut_off: frozenset[Process] = frozenset()
        self.sent: Callable[[Wire, bytes], None] = lambda wire, frame: None
        self.asked: Callable[[Wire, bytes], None] = lambda wire, frame: None

    async def dial(self, client: Process, received: Received, silent_after: float) -> Link:
        """Connects to whatever serves now."""
        await asyncio.sleep(self.delay())
        gateway, server = self.gateway, self.server
        if gateway is None or server is None or server.dead or client in self.cut_off():
            raise Refused
        wire = Wire(self, client, server, gateway, received, silent_after)
        self.wires.append(wire)
        server.context.run(self.loop.call_soon, wire.arrive)
        await asyncio.sleep(self.delay())
        return wire.link

    def delay(self) -> float:
        return self.rng.expovariate(1.0 / self.latency)

    def cut_off(self) -> frozenset[Process]:
        """Clients between whom and any server nothing goes through now."""
        return self._cut_off

    def part(self, client: Process, seconds: float) -> None:
        """A partition: nothing goes through for a while, then what has not been given up comes late."""
        self._cut_off = self._cut_off | {client}

        def heal() -> None:
            self._cut_off = self._cut_off - {client}
            for wire in self.of(client):
                wire.flow()

        self.loop.within(self.world, seconds, heal)

    def of(self, client: Process) -> list[Wire]:
        self.wires = [wire for wire in self.wires if not wire.over]
        return [wire for wire in self.wires if wire.client is client]


class Wire:
    """One connection with its two ends."""

    def __init__(
        self,
        network: Network,
        client: Process,
        server: Process,
        gateway: Gateway,
        received: Received,
        silent_after: float,
    ) -> None:
        self.network = network
        self.client = client
        self.server = server
        self.link = Link(self, received, silent_after)
        self.end = ServerEnd(self)
        self.up = Direction(self, lambda frame: self._up(frame), lambda: server)
        self.down = Direction(self, lambda frame: self._down(frame), lambda: client)
        self.connection: Connection | None = None
        self._gateway = gateway
        self._gone_at_server = False

    @property
    def over(self) -> bool:
        return self.link.gone.is_set() and (self._gone_at_server or self.server.dead) and not self.up.waiting

    def arrive(self) -> None:
        """The server takes the connection."""
        self.connection = self._gateway.open(self.end)
        self.up.flow()

    def flow(self) -> None:
        self.up.flow()
        self.down.flow()

    def cut(self) -> None:
        """Both ends learn of it, each at its time."""
        network = self.network
        network.loop.within(self.client, network.delay(), self.link.end)
        network.loop.within(self.server, network.delay(), self.end_at_server)

    def end_at_server(self) -> None:
        if not self._gone_at_server and self.connection is not None:
            self._gone_at_server = True
            self._gateway.lost(self.connection)

    def _up(self, frame: bytes) -> None:
        if self._gone_at_server or self.connection is None:
            return
        if frame == PONG:
            self.connection.heard()
        elif frame == FIN:
            self.end_at_server()
        else:
            self.network.asked(self, frame)
            self.connection.receive(frame)

    def _down(self, frame: bytes) -> None:
        self.end.drained()
        if self.link.gone.is_set():
            return
        if frame == PING:
            self.link.heard()
            self.up.send(PONG)
        elif frame == FIN:
            self.link.end()
        else:
            self.link.heard()
            self.link.received(self.link, frame)


PING, PONG, FIN = b"ping", b"pong", b"fin"
"""What the transports say to each other; no frame of ours looks like that."""


class Direction:
    """Frames on their way to one end, in order."""

    def __init__(self, wire: Wire, take: Callable[[bytes], None], to: Callable[[], Process]) -> None:
        self.waiting: list[tuple[float, bytes]] = []
        self.dead = False
        self._wire = wire
        self._take = take
        self._to = to
        self.not_before = 0.0
        self._last = 0.0
        self._flowing = False

    @property
    def size(self) -> int:
        """Bytes on their way."""
        return sum(len(frame) for _, frame in self.waiting)

    def send(self, frame: bytes, *, overtaking: bool = False) -> None:
        if self.dead:
            return
        network = self._wire.network
        when = network.loop.time() + network.delay()
        if overtaking and self.waiting:
            self.waiting.insert(len(self.waiting) - 1, (when, frame))
        else:
            self.waiting.append((when, frame))
        self.flow()

    def flow(self) -> None:
        """Brings the next frame when its time has come, unless there is no way through."""
        wire = self._wire
        if self._flowing or not self.waiting or wire.client in wire.network.cut_off():
            return
        self._flowing = True
        due = max(self._last, self.not_before, self.waiting[0][0]) - wire.network.loop.time()
        wire.network.loop.within(wire.network.world, max(0.0, due), self._bring)

    def _bring(self) -> None:
        self._flowing = False
        wire = self._wire
        if wire.client in wire.network.cut_off() or not self.waiting:
            return
        when, frame = self.waiting.pop(0)
        self._last = max(self._last, when)
        if not self.dead:
            self._to().context.run(wire.network.loop.call_soon, self._take, frame)
        self.flow()


class ServerEnd:
    """The transport that a gateway's connection writes to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def send(self, frame: bytes) -> None:
        wire, network = self._wire, self._wire.network
        if wire.server.dead:
            return
        network.sent(wire, frame)
        chance = network.rng.random() if network.unruly and b'ommitted"' in frame[:40] else 1.0
        if chance < network.unruly:
            return
        wire.down.send(frame, overtaking=chance < 2 * network.unruly)
        if 2 * network.unruly <= chance < 3 * network.unruly:
            wire.down.send(frame)
        connection = wire.connection
        if connection is not None and not connection.paused and self.buffered() > HIGH_WATER:
            connection.pause()

    def ping(self) -> None:
        self._wire.down.send(PING)

    def buffered(self) -> int:
        return self._wire.down.size

    def close(self, code: int, reason: str) -> None:
        wire = self._wire
        wire.down.send(FIN)
        wire.network.loop.within(wire.server, 0.0, wire.end_at_server)

    def drained(self) -> None:
        wire = self._wire
        connection = wire.connection
        if connection is None or not connection.paused or wire.server.dead or self.buffered() > HIGH_WATER // 2:
            return
        wire.server.context.run(wire.network.loop.call_soon, self._resume)

    def _resume(self) -> None:
        connection = self._wire.connection
        if connection is not None and connection.paused and not connection.closed:
            connection.resume()


class Link:
    """The client's end. It ends itself when the server has said nothing for long, as a WebSocket does that pings."""

    def __init__(self, wire: Wire, received: Received, silent_after: float) -> None:
        self.gone = asyncio.Event()
        self.received = received
        self._wire = wire
        self._silent_after = silent_after
        self._heard_at = wire.network.loop.time()
        self._watch()

    def send(self, frame: bytes) -> None:
        if not self.gone.is_set():
            self._wire.up.send(frame)

    def abort(self) -> None:
        """What has been sent may still arrive, also after what is sent over the next wire."""
        if not self.gone.is_set():
            network, wire = self._wire.network, self._wire
            late = network.rng.choice((0.0, 0.0, 2.0)) * network.rng.random()
            wire.up.not_before = network.loop.time() + late
            network.loop.within(wire.server, late + 50 * network.delay(), wire.end_at_server)
            self.end()

    def close(self) -> None:
        if not self.gone.is_set():
            self._wire.up.send(FIN)
            self.end()

    async def closed(self) -> None:
        await self.gone.wait()

    def end(self) -> None:
        self.gone.set()

    def heard(self) -> None:
        self._heard_at = self._wire.network.loop.time()

    def _watch(self) -> None:
        loop = self._wire.network.loop

        def look() -> None:
            if not self.gone.is_set():
                if loop.time() - self._heard_at > 1.5 * self._silent_after:
                    self.end()
                else:
                    self._watch()

        loop.within(self._wire.client, self._silent_after / 2, look)
