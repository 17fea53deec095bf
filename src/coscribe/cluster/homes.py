"""Homes: in which workspace a file is. It never moves to another one, so what was found once stays true."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from coscribe.core.tree import is_node_id
from coscribe.documents.ports import Home
from coscribe.metrics import metrics

MAX_KNOWN = 100_000
"""Files whose workspace is remembered; of more, the one that was asked for longest ago is asked for again."""


class Homes:
    """``locate`` asks storage; it raises StorageError."""

    def __init__(self, locate: Callable[[str], Awaitable[Home | None]]) -> None:
        self._locate = locate
        self._known: OrderedDict[str, str] = OrderedDict()

    def known(self, file_id: str) -> str | None:
        """What `workspace_of` would say, where nobody has to be asked for it."""
        if not is_node_id(file_id):
            return file_id
        known = self._known.get(file_id)
        if known is not None:
            self._known.move_to_end(file_id)
        return known

    async def workspace_of(self, file_id: str) -> str:
        """Of a file in a tree the workspace; anything else is a workspace itself, or nothing: then whoever would own
        it says so. Raises StorageError."""
        known = self.known(file_id)
        if known is not None:
            return known
        home = await self._locate(file_id)
        if home is None:
            return file_id
        if len(self._known) >= MAX_KNOWN:
            self._known.popitem(last=False)
        self._known[file_id] = home.workspace_id
        metrics.homes.set(len(self._known))
        return home.workspace_id
