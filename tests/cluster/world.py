"""A gateway and a core with a bus between them, in one process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from coscribe.cluster.desk import Desk
from coscribe.cluster.front import FrontContext, FrontGateway
from coscribe.cluster.homes import Homes
from coscribe.cluster.links import Links
from coscribe.cluster.memory_bus import MemoryNetwork
from coscribe.cluster.ports import Bus
from coscribe.documents.ports import AccessChange
from tests.contracts.conversations import Server, Storage


class SomeOwners:
    """``owner`` says which instance owns a workspace; None: none does."""

    def __init__(self, owner: Callable[[str], str | None], me: str = "") -> None:
        self.owner = owner
        self.me = me
        self.looks = 0
        self.on_look: Callable[[], None] = lambda: None

    def owner_of(self, workspace_id: str) -> str | None:
        return self.owner(workspace_id)

    def owns(self, workspace_id: str) -> bool:
        return self.owner(workspace_id) == self.me

    def holds(self, workspace_id: str) -> bool:
        return self.owns(workspace_id)

    async def look_again(self) -> None:
        self.looks += 1
        self.on_look()


class ClusterServer(Server):
    """`Server` as two instances: clients are at a gateway, their files at a core. ``near``: both are one instance."""

    def __init__(
        self, storage: Storage, *, near: bool = False, network: MemoryNetwork | None = None, **options: Any
    ) -> None:
        super().__init__(storage, **options)
        self.network = network or MemoryNetwork()
        tags = count(1)
        core = "core"
        self.core_links = Links(self._bus(core), core, fresh=lambda: next(tags))
        self.desk = Desk(self.gateway, self.core_links)
        front = core if near else "front"
        self.front_links = self.core_links if near else Links(self._bus(front), front, fresh=lambda: next(tags))
        self.owners = SomeOwners(lambda _: core)
        context = self.gateway.context
        self.front = FrontGateway(
            FrontContext(
                self.rights,
                context.limits,
                context.file_limits,
                context.now,
                context.clock,
                context.connection_id,
                context.server,
                context.pace,
                owners=self.owners,
                links=self.front_links,
                homes=Homes(self.log.locate),
            ),
            frozenset(),
        )
        self.door = self.front
        self._started = False

    def _bus(self, name: str) -> Bus:
        return self.network.bus(name)

    async def start(self) -> None:
        if not self._started:
            self._started = True
            for links in {self.core_links, self.front_links}:
                await links.start()

    async def _access_changed(self, change: AccessChange) -> None:
        await self.gateway.access_changed(change)
        await self.front.access_changed(change)

    def sockets(self) -> list[Any]:
        return [*self.connections, *self.gateway._introduced]

    async def settle(self) -> None:
        await self.start()
        await super().settle()

    def _is_moving(self) -> bool:
        links = [*self.core_links._links.values(), *self.front_links._links.values()]
        finding = any(file.finding for socket in self.front._connections for file in socket._files.values())
        channels = [channel for socket in self.front._connections for channel in socket._channels.values()]
        finding |= any(getattr(channel._carrier, "_early", None) is not None for channel in channels)
        travelling = self.network.under_way or any(link._queue for link in links)
        return bool(travelling or finding or self.front._applying) or super()._is_moving()

    async def stop(self) -> None:
        await self.collaboration.drain()
        await self.front.stop(1_000)
        await super().stop()

    async def kill(self) -> None:
        await super().kill()
        self.front_links.stop()
        self.core_links.stop()
