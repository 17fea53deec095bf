"""Two cores over one storage and two gateways, with a bus in memory between them, on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from random import Random
from typing import Any, Protocol

from coscribe.cluster.desk import Desk
from coscribe.cluster.front import Front, FrontContext, FrontGateway
from coscribe.cluster.homes import Homes
from coscribe.cluster.links import Links
from coscribe.cluster.memory_bus import MemoryNetwork
from coscribe.cluster.nats_bus import NatsBus
from coscribe.cluster.ports import Bus
from coscribe.cluster.revocations import Revocations
from coscribe.documents.ports import AccessChange
from coscribe.gateway.auth import make_token
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.memory import MemoryStorage
from tests.cluster.world import SomeOwners
from tests.contracts.conversations import SECRET, Rights, Server
from tests.simulation.virtual_loop import VirtualLoop

INSTANCES = ("core-a", "core-b", "edge-1", "edge-2")


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert loop.troubles == []


Main = Callable[["Cluster"], Coroutine[Any, Any, None]]


class Run(Protocol):
    """Runs a conversation with a cluster of its own."""

    def __call__(self, main: Main, limits: GatewayLimits | None = None) -> None: ...


def in_memory(main: Main, limits: GatewayLimits | None = None) -> None:
    """On virtual time."""

    async def run() -> None:
        await _converse(main, Cluster(limits))

    in_virtual_time(run)


def over_nats(url: str, main: Main, limits: GatewayLimits | None = None) -> None:
    async def run() -> None:
        buses = {name: NatsBus(url, name) for name in INSTANCES}
        try:
            for bus in buses.values():
                await bus.start()
            await _converse(main, Cluster(limits, buses=buses))
        finally:
            for bus in buses.values():
                await bus.close()

    asyncio.run(run())


async def _converse(main: Main, cluster: Cluster) -> None:
    await cluster.start()
    await main(cluster)
    await cluster.stop()


class Instance:
    """``apply``: what is done here about a change of rights."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        bus = cluster.buses[name]
        self.name = name
        self.links = Links(bus, name, fresh=cluster.number)
        self.revocations = Revocations(bus, name, lambda: cluster.alive, self.apply)

    async def apply(self, change: AccessChange) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        await self.links.start()
        await self.revocations.start()


class Core(Instance):
    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(cluster, name)
        self.owning = SomeOwners(cluster.owner_of, name)
        self.server = Server(cluster.storage, gateway_limits=cluster.limits, rights=cluster.rights, owning=self.owning)
        self.gateway = self.server.gateway
        self.collaboration = self.server.collaboration
        self.serves = True
        self.desk = Desk(self.gateway, self.links, lambda: self.serves)

    async def apply(self, change: AccessChange) -> None:
        await self.gateway.access_changed(change)


class Edge(Instance):
    """A gateway. ``owners``: as it believes them to be."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(cluster, name)
        self.owners = SomeOwners(cluster.owner_of)
        now = asyncio.get_running_loop().time
        limits = cluster.cores["core-a"].collaboration.limits
        context = FrontContext(
            cluster.rights,
            cluster.limits,
            limits,
            now,
            lambda: 1_000.0,
            lambda: f"{name}-{cluster.number()}",
            "coscribe/test",
            Pace(now),
            owners=self.owners,
            links=self.links,
            homes=Homes(cluster.storage.locate),
        )
        self.gateway = FrontGateway(context, frozenset())

    async def apply(self, change: AccessChange) -> None:
        await self.gateway.access_changed(change)


class Client:
    """One socket, and all that it was sent. ``buffer``: what it has not read, while it does not."""

    def __init__(self, edge: Edge, name: str) -> None:
        self.name = name
        self.heard: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._read = 0
        self._edge = edge
        self.socket: Front = edge.gateway.open(self)
        self.say(type="hello", protocol=[2, 1], token=make_token(SECRET, name, "owner", 3_600))

    def send(self, frame: bytes) -> None:
        assert self.closed is None
        self.heard.append(json.loads(frame))

    def ping(self) -> None:
        """It lives."""

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def say(self, **message: Any) -> None:
        self.socket.receive(json.dumps(message).encode())

    def hang_up(self) -> None:
        self._edge.gateway.lost(self.socket)

    async def hears(self, kind: str) -> dict[str, Any]:
        """The next message of that type, within ten seconds; those before it are passed over."""
        async with asyncio.timeout(10):
            while True:
                for index in range(self._read, len(self.heard)):
                    if self.heard[index]["type"] == kind:
                        self._read = index + 1
                        return self.heard[index]
                await asyncio.sleep(0.001)

    def passed_over(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    async def joins(self, file_id: str, **more: Any) -> dict[str, Any]:
        self.say(type="join", fileId=file_id, **more)
        snapshot = await self.hears("snapshot")
        at = snapshot["snapshotSequenceId"]
        self.say(type="snapshotApplied", fileId=file_id, snapshotSequenceId=at)
        await self.hears("live")
        return snapshot

    def types(self, file_id: str, operation_id: str, text: str, base: int) -> None:
        edit = {"operationType": "insert", "position": 0, "payload": text}
        self.say(type="operation", fileId=file_id, operationId=operation_id, userId=self.name, baseVersion=base, **edit)


class Cluster:
    """Workspaces whose id begins with a are core-a's, all others core-b's, until ``moved`` says something else.
    ``buses``: of the instances, by name; None: in memory, with so much ``delay``."""

    def __init__(
        self, limits: GatewayLimits | None = None, delay: float = 0.002, buses: Mapping[str, Bus] | None = None
    ) -> None:
        self.random = Random(1)
        self.limits = limits or GatewayLimits()
        self.network = MemoryNetwork(self.random, delay=lambda: delay)
        self.storage = MemoryStorage()
        self.rights = Rights()
        self.moved: dict[str, str | None] = {}
        self._numbers = count(1)
        self.alive = list(INSTANCES)
        self.buses = buses or {name: self.network.bus(name) for name in INSTANCES}
        self.cores = {name: Core(self, name) for name in ("core-a", "core-b")}
        self.edges = {name: Edge(self, name) for name in ("edge-1", "edge-2")}

    def number(self) -> int:
        return next(self._numbers)

    def owner_of(self, workspace_id: str) -> str | None:
        usual = "core-a" if workspace_id.startswith("a") else "core-b"
        return self.moved.get(workspace_id, usual)

    async def start(self) -> None:
        for instance in (*self.cores.values(), *self.edges.values()):
            await instance.start()

    async def client(self, name: str, edge: str = "edge-1") -> Client:
        client = Client(self.edges[edge], name)
        await client.hears("welcome")
        return client

    async def stop(self) -> None:
        for edge in self.edges.values():
            await edge.gateway.stop(0)
        for core in self.cores.values():
            await core.gateway.stop(0)
        for instance in (*self.cores.values(), *self.edges.values()):
            instance.links.stop()
            await instance.revocations.stop()
