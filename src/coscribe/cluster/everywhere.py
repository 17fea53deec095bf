"""Everywhere: documents whoever owns them, for the few who have to do with many, or with one that they have just made.

What is this instance's own is done at once; for all others an errand goes to the owner. A request about one document
comes to its owner from the start, and has no need of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from coscribe.cluster.errands import Do
from coscribe.cluster.part import ALONE, Part
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.past import TextAt
from coscribe.documents.ports import Identity
from coscribe.protocol.messages import Operation, Place

TEXT, EDIT, PURGE = "text", "edit", "purge"
"""Errands."""


class _Text(NamedTuple):
    identity: Identity
    file_id: str


class _Edit(NamedTuple):
    identity: Identity
    message: Operation


class Everywhere:
    """``part``: which of the documents are this instance's."""

    def __init__(self, collaboration: Collaboration, part: Part = ALONE) -> None:
        self._collaboration = collaboration
        self._owns = part.owns
        self._errands = part.errands

    async def text(self, identity: Identity, document_id: str) -> TextAt:
        """See `Collaboration.text`. Errors: those, ``owner_unavailable``, ``overloaded``."""
        if self._errands is None or self._owns(document_id):
            return await self._collaboration.text(identity, document_id)
        answer = await self._errands.run(document_id, TEXT, _encode(_Text(identity, document_id)))
        return msgspec.msgpack.decode(answer, type=TextAt)

    async def edit(self, identity: Identity, message: Operation) -> list[Place]:
        """See `Collaboration.edit`. Errors: likewise."""
        if self._errands is None or self._owns(message.file_id):
            return await self._collaboration.edit(identity, message)
        answer = await self._errands.run(message.file_id, EDIT, _encode(_Edit(identity, message)))
        return msgspec.msgpack.decode(answer, type=list[Place])


def errands_in(collaboration: Collaboration, purge: Callable[[str], Awaitable[None]]) -> Mapping[str, Do]:
    """What others may have this instance do for them. ``purge``: deletes what is left of a deleted document."""

    async def text(asked: bytes) -> bytes:
        of = msgspec.msgpack.decode(asked, type=_Text)
        return _encode(await collaboration.text(of.identity, of.file_id))

    async def edit(asked: bytes) -> bytes:
        of = msgspec.msgpack.decode(asked, type=_Edit)
        return _encode(await collaboration.edit(of.identity, of.message))

    async def purged(asked: bytes) -> bytes:
        await purge(asked.decode())
        return b""

    return {TEXT: text, EDIT: edit, PURGE: purged}


def _encode(what: Any) -> bytes:
    return msgspec.msgpack.encode(what)
