"""Many documents as one file: a zip archive that is made while it is sent, one document after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from coscribe.access.caller import Caller
from coscribe.access.documents import Exported
from coscribe.access.ids import MICROSECONDS
from coscribe.access.policy import Action
from coscribe.api.content import file_name
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.services import Services
from coscribe.core.errors import Code, CoscribeError

MAX_NAMED = 200
"""So many ids fit into an address that every server takes."""

router = APIRouter(route_class=PolicyRoute, tags=["content"])

NAME_BYTES = 200
"""Of a name in the archive: what every file system takes, with room for a number."""

MISSED = "NOT EXPORTED.txt"
"""Names the documents that could not be read, where there are any: an archive never lacks one silently."""

_EARLIEST = 315_532_800 * MICROSECONDS
"""1980: zip knows no time before."""


@router.get(
    "/api/documents/export",
    openapi_extra=action(Action.EXPORT_DOCUMENTS),
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export_documents(
    caller: ACaller,
    services: AServices,
    document_ids: Annotated[
        list[Annotated[str, Query(max_length=128)]] | None,
        Query(alias="documentId", max_length=MAX_NAMED, description="which ones; without it all that one may read"),
    ] = None,
) -> StreamingResponse:
    """The texts of one's documents as a zip archive. What is in the trash is left out; too much is refused before it
    begins."""
    found = await services.documents.exportable(caller, document_ids)
    headers = {"Content-Disposition": 'attachment; filename="documents.zip"'}
    return StreamingResponse(_archive(services, caller, found), media_type="application/zip", headers=headers)


class _Sink:
    """Where an archive writes to; what is written is taken from it and sent. It cannot be wound back."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """All is there at once."""

    def close(self) -> None:
        """What was written is still there to be taken."""

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


async def _archive(services: Services, caller: Caller, documents: Sequence[Exported]) -> AsyncIterator[bytes]:
    sink, names = _Sink(), _Names()
    archive = ZipFile(sink, "w", ZIP_DEFLATED)
    missed: list[str] = []
    for document in documents:
        try:
            text = (await services.everywhere.text(caller.identity, document.document_id)).text
        except CoscribeError as error:
            if error.code is not Code.FILE_NOT_FOUND:  # the right to read it has ended: it is none of theirs
                missed.append(f"{document.name} ({document.document_id}): {error.code.value.code}\n")
            continue
        services.notes.opened(caller, document.document_id)
        entry = _entry(names.take(file_name(document.name)), document.edited_at)
        await asyncio.to_thread(archive.writestr, entry, text.encode())
        yield sink.take()
    if missed:
        archive.writestr(_entry(MISSED, _EARLIEST), "".join(missed))
    archive.close()
    yield sink.take()


def _entry(name: str, time: int) -> ZipInfo:
    moment = datetime.fromtimestamp(max(time, _EARLIEST) / MICROSECONDS, UTC)
    entry = ZipInfo(name, moment.timetuple()[:6])
    entry.compress_type = ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


class _Names:
    """Names of files in one folder: each once, also where capitals count for nothing."""

    def __init__(self) -> None:
        self._taken = {MISSED.casefold()}

    def take(self, name: str) -> str:
        """The name itself, or with a number."""
        stem, dot, ending = name.rpartition(".")
        stem = stem.encode()[: NAME_BYTES - len(ending.encode()[:20])].decode(errors="ignore").rstrip(". ")
        ending = ending.encode()[:20].decode(errors="ignore")
        number, free = 1, f"{stem}{dot}{ending}"
        while free.casefold() in self._taken:
            number += 1
            free = f"{stem} ({number}){dot}{ending}"
        self._taken.add(free.casefold())
        return free
