"""What the instances of a cluster need of the world, and of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

SHARDS = 1_024
"""Of workspaces; for good: which shard a workspace is in follows from its id alone."""

SETTLED_SECONDS = 4.0
"""How long an instance has to be cut off, or not, until that counts: longer than the others need to find out that they
are, too."""

Receiver = Callable[[bytes], None]
"""Takes in one message; it never waits."""


class Role(StrEnum):
    """What an instance does: hold sockets (gateway), own workspaces (core), or both."""

    ALL = "all"
    CORE = "core"
    GATEWAY = "gateway"


class BusUnavailable(Exception):
    """The bus cannot be reached, or is too far behind; whether the message went out is not known."""


class Bus(Protocol):
    """Carries messages between instances: each at most once, those of one sender on one subject in order.

    Nothing more is promised: messages may be lost at any time, and nobody is told. Adapters pass
    tests/contracts/bus.py.
    """

    @property
    def connected(self) -> bool:
        """Whether, as far as it is known, messages go through now."""
        ...

    @property
    def largest(self) -> int:
        """Bytes that one message may have."""
        ...

    def send(self, subject: str, message: bytes) -> None:
        """Never waits. Raises BusUnavailable."""
        ...

    async def subscribe(self, subject: str, receiver: Receiver) -> None:
        """From now on, also after the connection was lost and is there again."""
        ...

    async def close(self) -> None: ...


class Instance(NamedTuple):
    """A process of the cluster, from its start to its end: one that starts again is another one.

    ``name`` is what operators call it and is kept over restarts. ``is_core``: it may own workspaces. ``leaving``: it
    gives up what it owns, and is given nothing more. ``cut_off``: it cannot reach the bus. Of several cores of one name
    what belongs to the name belongs to the one whose id sorts last; ids begin with the time, so that this is the
    youngest.
    """

    instance_id: str
    name: str
    is_core: bool
    leaving: bool = False
    cut_off: bool = False


Unit = int | str
"""What can be owned: a shard, or a pinned workspace by its id."""


class Pin(NamedTuple):
    """A workspace that is owned apart from its shard. ``name``: of the instance that it belongs to; "": it was pinned,
    and goes back to its shard as soon as its owner has given it up. ``owner``: as of a shard."""

    name: str
    owner: str


class Table(NamedTuple):
    """Who there is and who owns what, as the database said at one moment.

    ``instances``: those whose time has not run out, by id. ``owners``: for each shard the id of an instance, which may
    not be among them any more; "": nobody. ``pins``: by the id of a workspace. ``settled``: the ids of those that have
    been cut off, or not, for `SETTLED_SECONDS`.
    """

    instances: dict[str, Instance]
    owners: tuple[str, ...]
    pins: dict[str, Pin]
    settled: frozenset[str] = frozenset()


class Leases(Protocol):
    """The rows that say who owns what. They only route: the fence is in the head of each workspace.

    Whether a time has run out is decided by the clock of the database. What an instance asks for with `beat`, `take`,
    `release` and `leave` happens in the order in which it was asked for, or not at all: a call that was given up, and
    comes to the database behind a later one, changes nothing. Adapters pass tests/contracts/leases.py.
    """

    async def beat(self, instance: Instance, seconds: float) -> Table:
        """Says that an instance lives and will for so many seconds. One that was taken for dead meanwhile has lost all
        it owned, and begins anew. Returns the table. Raises StorageError."""
        ...

    async def table(self) -> Table:
        """Raises StorageError."""
        ...

    async def take(self, instance_id: str, units: Sequence[Unit]) -> Table:
        """Takes what nobody owns, or whose owner's time has run out; the table says what it has got. An instance whose
        own time has run out, or that is no core, or leaving, gets nothing. Raises StorageError."""
        ...

    async def release(self, instance_id: str, units: Sequence[Unit]) -> Table:
        """Gives up what it owns of these; the rest stays as it is. Raises StorageError."""
        ...

    async def leave(self, instance_id: str) -> None:
        """Gives up all it owns, and is no instance any more. Raises StorageError."""
        ...

    async def pin(self, workspace_id: str, name: str) -> Table:
        """From now on an instance of that name owns the workspace whenever there is one; "": no longer. Whoever owns it
        now does so until it has handed it over. Raises StorageError."""
        ...


class Owners(Protocol):
    """Who owns what, as far as this instance knows. Cheap: it is asked for every message."""

    def owner_of(self, workspace_id: str) -> str | None:
        """The id of the instance to turn to; None: just now there is none."""
        ...

    def owns(self, workspace_id: str) -> bool:
        """Whether this instance may load it and let somebody in, at this very moment."""
        ...

    def holds(self, workspace_id: str) -> bool:
        """Whether it may show what it has loaded: while it owns it, and while it hands it over."""
        ...

    async def look_again(self) -> None:
        """Returns when the table was read anew; many who ask at once cost one look."""
        ...
