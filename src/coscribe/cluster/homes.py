"""Homes: in which workspace a file is. It never moves to another one, so what was found once stays true."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

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
        self._asking: dict[str, asyncio.Task[str]] = {}

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
        it says so. Many who ask at once cost one question. Raises StorageError."""
        known = self.known(file_id)
        if known is not None:
            return known
        asking = self._asking.get(file_id)
        if asking is None:
            asking = self._asking[file_id] = asyncio.get_running_loop().create_task(self._ask(file_id))
            asking.add_done_callback(partial(self._answered, file_id))
        return await asyncio.shield(asking)

    def _answered(self, file_id: str, asking: asyncio.Task[str]) -> None:
        del self._asking[file_id]
        if not asking.cancelled():
            asking.exception()  # those who wait are told; there may be nobody left

    async def _ask(self, file_id: str) -> str:
        home = await self._locate(file_id)
        if home is None:
            return file_id
        if len(self._known) >= MAX_KNOWN:
            self._known.popitem(last=False)
        self._known[file_id] = home.workspace_id
        metrics.homes.set(len(self._known))
        return home.workspace_id
