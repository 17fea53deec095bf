"""The bytes of files in a workspace, whatever is in them: read, written, linked; and a stream of what changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from coscribe.access.policy import Action
from coscribe.api.content import Placed
from coscribe.api.models import NO_NUL, Incoming, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.workspaces import FS, AnAt, APath, Entry, PathName, WorkspaceId, series_of
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import FileSystem, Readable, Written
from coscribe.documents.ports import BlobDraft
from coscribe.documents.watching import Change, Changes, Watch

router = APIRouter(route_class=PolicyRoute, tags=["workspaces"])

AT_HAND = 1_000_000
"""Bytes of a body that are kept in memory; what has more goes to the disk as it comes."""

HEARTBEAT_SECONDS = 15.0
"""A stream on which nothing happens says so: whatever is between notices that it is alive."""

_CHARSETS = {"latin-1": "iso-8859-1", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be"}

_TAG = '^"f[a-z2-7]{25}:([0-9]{1,15}|[0-9a-f]{64})"$'
ATag = Annotated[
    str | None,
    Header(
        alias="If-Match",
        examples=['"fabcdefghijklmnopqrstuvwxy:1"'],
        json_schema_extra={"pattern": _TAG, "x-required": True},
        description="the ETag of what this is written over",
    ),
]
AKeyHeader = Annotated[str | None, Header(max_length=128)]

_BYTES: dict[str, Any] = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["changes", "end"]},
        "id": {"type": "string", "description": "the sequence behind which the next stream may begin"},
        "data": {"type": "string", "description": "JSON"},
    },
}
"""One of the events of a stream."""


class FileContent(Outgoing):
    """``text`` is missing where it is none."""

    entry: Entry
    text: str | None
    document_version: int | None = Field(description="the version this text has; what a later edit is based on")


class WrittenFile(Outgoing):
    """``operation`` is missing where it was that already; ``version`` is in the ETag, too."""

    file_id: str
    operation: Placed | None
    version: str


class Linking(Incoming):
    path: PathName
    target: str = Field(min_length=1, max_length=4_095, pattern=NO_NUL, examples=["../lib/main.py"])


@router.get(
    f"{FS}/read",
    openapi_extra=action(Action.READ_CONTENT),
    response_model=FileContent,
    responses={200: {"content": {**_BYTES["content"], "text/plain": {"schema": {"type": "string"}}}}},
)
async def read_file(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    response: Response,
    path: APath = "",
    at: AnAt = None,
    past: Annotated[
        str,
        Query(pattern="^([0-9a-f]{64})?$", description="SHA-256 of a content that the file had and that was no text"),
    ] = "",
    accept: Annotated[str, Header(max_length=1_024)] = "",
) -> Any:
    """A file as it is, bit for bit; of a link its target. With `Accept: application/json` what there is to say about
    it, and its text if it is one. The ETag is what a write names: the file and its version, of what is no text the
    SHA-256."""
    files, who = services.files, caller.identity
    if past:
        entry = await files.stat(who, workspace_id, path)
        return _sent(await files.open_past(who, workspace_id, entry.file_id, past), is_past=True)
    if at is not None:
        found = await services.past.read(who, workspace_id, path, at)
    else:
        found = await files.read(who, workspace_id, path)
    if "application/json" not in accept:
        return _sent(await files.opened(found))
    response.headers["ETag"] = f'"{found.tag}"'
    return FileContent(
        entry=Entry.model_validate(found.entry),
        text=None if found.text is None else found.text.text,
        document_version=None if found.text is None else found.text.version,
    )


@router.put(
    f"{FS}/write",
    openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True) | {"requestBody": _BYTES},
)
async def write_file(
    workspace_id: WorkspaceId,
    request: Request,
    caller: ACaller,
    services: AServices,
    response: Response,
    path: APath = "",
    mode: Annotated[str | None, Query(pattern="^[0-7]{3}$", examples=["755"])] = None,
    if_match: ATag = None,
    if_none_match: Annotated[Literal["*"] | None, Header(description="make it: nothing is there yet")] = None,
    idempotency_key: AKeyHeader = None,
) -> WrittenFile:
    """A file as it should be, in bytes: a new one with `If-None-Match: *`, else over what was read (`If-Match`).

    What decodes is a text: it is compared with the version that was read, what differs becomes one operation, and what
    others have written since stays. All else is kept whole, and `precondition_failed` if it is not what was read."""
    if if_none_match is None and if_match is None:
        raise CoscribeError(Code.PRECONDITION_REQUIRED, "send If-Match with the ETag that you read, or If-None-Match")
    base = None if if_none_match is not None else _base(if_match or "")
    series = series_of(caller, workspace_id, idempotency_key)

    async def may_send() -> None:
        """Nobody fills the disk with what is for a workspace that they do not see; who has lost that since is told what
        became of their request. Errors: ``file_not_found``."""
        try:
            await services.documents.check(caller, Action.READ_CONTENT, workspace_id)
        except CoscribeError:
            if await services.collaboration.committed(caller.identity, workspace_id, f"{series}:1") is None:
                raise

    async with _body_of(request, services.files, may_send) as content:
        written = await services.files.write_bytes(
            caller.identity, workspace_id, path, content, series, base=base, properties={"mode": mode} if mode else {}
        )
    return _written(response, written)


@router.post(f"{FS}/link", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def make_link(
    workspace_id: WorkspaceId,
    body: Linking,
    caller: ACaller,
    services: AServices,
    response: Response,
    idempotency_key: AKeyHeader = None,
) -> WrittenFile:
    """A symbolic link. It is kept as it is, and never followed here."""
    series = series_of(caller, workspace_id, idempotency_key)
    link = services.files.link(caller.identity, workspace_id, body.path, body.target, series, base=None)
    return _written(response, await link)


@router.get(
    f"{FS}/watch",
    openapi_extra=action(Action.READ_CONTENT),
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
)
async def watch_files(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    after: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="begin behind this sequence")] = None,
    seconds: Annotated[int | None, Query(ge=0, le=86_400, description="end after so long")] = None,
    last_event_id: Annotated[str | None, Header(max_length=20, pattern="^[0-9]{1,16}$")] = None,
) -> Response:
    """What changes, as server-sent events: `changes`, at first one that says where it begins, and `end` with the code
    of an error. The id of an event is the sequence behind which the next stream may begin; browsers send it by
    themselves. `resync` says that everything has to be looked at again. Of a folder it is told what happens to it, not
    to all that is in it."""
    begin = after if last_event_id is None else int(last_event_id)
    return _EventStream(await services.collaboration.watch(caller.identity, workspace_id, begin), seconds)


class _EventStream(StreamingResponse):
    """A watch as server-sent events, closed when it is over in whatever way. (A generator that was never begun has no
    end.)"""

    def __init__(self, watch: Watch, seconds: float | None) -> None:
        self._watch = watch
        super().__init__(_events(watch, seconds), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watch.close()


async def _events(watch: Watch, seconds: float | None) -> AsyncIterator[bytes]:
    now = asyncio.get_running_loop().time
    end = inf if seconds is None else now() + seconds
    try:
        while True:
            left = end - now()
            found = await watch.next(max(0.0, min(HEARTBEAT_SECONDS, left)))
            if found is not None:
                yield _event(found)
            elif left > 0:
                yield b":\n\n"
            else:
                return
    except CoscribeError as error:
        kind = error.code.value
        said = msgspec.json.encode({"code": kind.code, "detail": error.detail or kind.help})
        yield b"event: end\ndata: %s\n\n" % said


def _event(found: Changes) -> bytes:
    told = {
        "serverSequenceId": found.sequence,
        "resync": found.resync,
        "changes": [_shown(change) for change in found.changes],
    }
    return b"event: changes\nid: %d\ndata: %s\n\n" % (found.sequence, msgspec.json.encode(told))


def _shown(change: Change) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "what": change.what,
        "serverSequenceId": change.sequence,
        "fileId": change.file_id,
        "path": change.path,
        "kind": change.kind,
        "content": change.content,
        "properties": dict(change.properties),
    }
    if change.what == "moved":
        shown["oldPath"] = change.old_path
    if change.what == "edited":
        shown["documentVersion"] = change.version
    return shown


def _sent(found: Readable, *, is_past: bool = False) -> Response:
    """To be kept, never to be shown: whatever is in it, no browser runs it as part of this site."""
    entry = found.entry
    media_type = "application/octet-stream"
    if entry.kind == "text" and not is_past:
        encoding = entry.properties.get("encoding", "utf-8")
        media_type = f"text/plain; charset={_CHARSETS.get(encoding, encoding)}"
    headers = {
        "ETag": f'"{found.tag}"',
        "Content-Length": str(found.size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(entry.name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    return StreamingResponse(found.pieces, headers=headers, media_type=media_type)


@asynccontextmanager
async def _body_of(
    request: Request, files: FileSystem, may_send: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes | BlobDraft]:
    """What is sent; on the disk, if it is more than a little. ``may_send`` raises where that is not for them."""
    stream = request.stream()
    held = b""
    async for piece in stream:
        held += piece
        if len(held) > AT_HAND:
            break
    else:
        yield held
        return
    await may_send()
    async with files.blobs.draft() as draft:
        await draft.write(held)
        async for piece in stream:
            files.blobs.check_size(draft.size + len(piece))
            await draft.write(piece)
        yield draft


def _base(if_match: str) -> str:
    """Errors: ``precondition_failed``: it is no ETag of a file."""
    tag = if_match.strip().removeprefix("W/")
    if not re.fullmatch(_TAG, tag):
        raise CoscribeError(Code.PRECONDITION_FAILED, 'If-Match names one ETag, as it was answered: "fileId:version"')
    return tag.strip('"')


def _written(response: Response, written: Written) -> WrittenFile:
    response.headers["ETag"] = f'"{written.tag}"'
    place = None if written.place is None else Placed.model_validate(written.place)
    return WrittenFile(file_id=written.file_id, operation=place, version=written.version)
