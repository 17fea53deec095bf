"""A bus in memory: for tests and simulations, with every fault that a real one has.

Time is the event loop's, chance is an argument; so in a simulated world all of it is repeatable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, nextafter
from random import Random

from coscribe.cluster.ports import BusUnavailable, Receiver

LARGEST = 1_000_000


class MemoryNetwork:
    """What the buses of a world are attached to.

    ``delay`` gives the seconds that one message takes. ``loss``, ``duplication``, ``reordering``: how likely each is
    for a message, from 0 to 1; the last two are what no bus should do, and whoever uses one has to notice.
    ``reachable`` says whether one instance hears another. ``sent``, ``under_way``: how many messages.
    """

    def __init__(self, random: Random | None = None, *, delay: Callable[[], float] = lambda: 0.0) -> None:
        self.delay = delay
        self.loss = 0.0
        self.duplication = 0.0
        self.reordering = 0.0
        self.reachable: Callable[[str, str], bool] = lambda sender, receiver: True
        self.sent = 0
        self.under_way = 0
        self._random = random or Random(0)
        self._receivers: dict[str, dict[MemoryBus, list[Receiver]]] = {}
        self._free_at: dict[tuple[str, str], float] = {}

    def bus(self, name: str, largest: int = LARGEST) -> MemoryBus:
        """One for an instance, or whatever else ``reachable`` is to know by that name."""
        return MemoryBus(self, name, largest)

    def partition(self, *names: str) -> None:
        """From now on those named hear each other only, and are heard by nobody else."""
        inside = frozenset(names)
        self.reachable = lambda sender, receiver: (sender in inside) == (receiver in inside)

    def heal(self) -> None:
        self.reachable = lambda sender, receiver: True

    def attach(self, bus: MemoryBus, subject: str, receiver: Receiver) -> None:
        self._receivers.setdefault(subject, {}).setdefault(bus, []).append(receiver)

    def detach(self, bus: MemoryBus) -> None:
        for receivers in self._receivers.values():
            receivers.pop(bus, None)

    def carry(self, sender: str, subject: str, message: bytes) -> None:
        self.sent += 1
        loop = asyncio.get_running_loop()
        for bus in self._receivers.get(subject, ()):
            if self._happens(self.loss):
                continue
            for _ in range(2 if self._happens(self.duplication) else 1):
                arrives = loop.time() + self.delay()
                if not self._happens(self.reordering):
                    # Later than the one before, were it ever so little: a loop keeps no order among equals.
                    arrives = max(arrives, nextafter(self._free_at.get((sender, bus.name), 0.0), inf))
                    self._free_at[sender, bus.name] = arrives
                self.under_way += 1
                loop.call_at(arrives, self._arrive, sender, bus, subject, message)

    def _arrive(self, sender: str, bus: MemoryBus, subject: str, message: bytes) -> None:
        self.under_way -= 1
        if self.reachable(sender, bus.name):
            for receiver in self._receivers.get(subject, {}).get(bus, ()):
                receiver(message)

    def _happens(self, likely: float) -> bool:
        return likely > 0 and self._random.random() < likely


class MemoryBus:
    """`Bus` in a `MemoryNetwork`. ``connected`` may be set to False: then it takes nothing and hears nothing."""

    def __init__(self, network: MemoryNetwork, name: str, largest: int) -> None:
        self.name = name
        self.connected = True
        self.largest = largest
        self._network = network

    def send(self, subject: str, message: bytes) -> None:
        if not self.connected:
            raise BusUnavailable("not connected")
        if len(message) > self.largest:
            raise ValueError(f"{len(message)} bytes, at most {self.largest}")
        self._network.carry(self.name, subject, message)

    async def subscribe(self, subject: str, receiver: Receiver) -> None:
        def hear(message: bytes) -> None:
            if self.connected:
                receiver(message)

        self._network.attach(self, subject, hear)

    async def close(self) -> None:
        self.connected = False
        self._network.detach(self)
