"""Work of a pass in a thread of its own.

    asyncio.to_thread:   cancelled --> the turn goes to the next      in_thread:   cancelled --> the thread ends
                         the thread goes on, beside it                             --> the turn goes to the next

Whoever holds the turn of a working tree has the record and the folder to itself. That must be true of its threads too:
a pass that is cancelled (the tree is closed, a save takes too long) would else leave one behind that writes while the
next pass does, or to a record that is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """As `asyncio.to_thread`; where it is cancelled, it ends when the work has."""
    return await to_the_end(asyncio.to_thread(work, *args, **kwargs))


async def to_the_end(work: Coroutine[object, object, _T]) -> _T:
    """What it returns; where this is cancelled, it ends when the work has."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError:
                continue  # it is cancelled already, and says so below
        if not working.cancelled():
            working.exception()
        raise
