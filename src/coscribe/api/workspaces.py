"""Workspaces: make them, and their files by path. Whatever is about members, links or the trash is as for documents."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from coscribe.access.caller import Caller
from coscribe.access.policy import Action
from coscribe.api.content import AVersion, Placed, text_of, version_of
from coscribe.api.documents import AKey, Document, shown_as_made
from coscribe.api.models import DocumentName, Incoming, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import Contents, Listing, Written

router = APIRouter(route_class=PolicyRoute, tags=["workspaces"])

FS = "/api/workspace/{workspaceId}/fs"

WorkspaceId = Annotated[str, Path(alias="workspaceId", max_length=128, examples=["wsp_0190c0ffee"])]
_PATH = "^([^/\\x00]+(/[^/\\x00]+)*)?$"
APath = Annotated[
    str,
    Query(max_length=4_096, pattern=_PATH, examples=["src/main.py"], description="from the top; empty: the top"),
]
PathName = Annotated[str, Field(min_length=1, max_length=4_096, pattern=_PATH, examples=["src/main.py"])]


class NewWorkspace(Incoming):
    name: DocumentName
    folds_case: bool = Field(False, description="whether names that differ in case are the same")


class Entry(Outgoing):
    file_id: str = Field(description="stays the same, whatever the path")
    path: str
    name: str
    kind: Literal["directory", "text", "binary", "symlink"]
    content: str = Field(description="of a binary file the SHA-256, of a link its target")
    properties: dict[str, str] = Field(description="`mode`, `eol`, `bom`, `encoding`, where they are not the usual")


class EntryList(Outgoing):
    items: list[Entry]
    server_sequence_id: int = Field(description="the workspace as it was then")


class FileContent(Outgoing):
    """``text`` is missing where it is none."""

    entry: Entry
    text: str | None
    document_version: int | None = Field(description="the version this text has; what a later edit is based on")


class WrittenFile(Outgoing):
    """``operation`` is missing where the text was that already."""

    file_id: str
    operation: Placed | None


class AtPath(Incoming):
    path: PathName


class AtPathOrTop(Incoming):
    path: str = Field("", max_length=4_096, pattern=_PATH, examples=["src/main.py"], description="empty: everything")


class Saved(Outgoing):
    server_sequence_id: int


class FromTo(Incoming):
    source: PathName
    target: PathName


class Renaming(FromTo):
    overwrite: bool = Field(False, description="what is at the target goes into the trash")


class Restoring(Incoming):
    file_id: str = Field(max_length=128, examples=["fabcdefghijklmnopqrstuvwxy"])
    target: PathName | None = Field(None, description="where to; else to where it was")


@router.post("/api/workspaces", status_code=201, openapi_extra=action(Action.CREATE_DOCUMENT, once="answer"))
async def create_workspace(
    body: NewWorkspace, caller: ACaller, services: AServices, response: Response, idempotency_key: AKey = None
) -> Document:
    """An empty tree of files that one owns."""
    made = await services.documents.create_tree(
        caller, body.name.strip(), _workspace_id(caller, idempotency_key), folds_case=body.folds_case
    )
    return shown_as_made(response, made)


# ---- looking


@router.get(f"{FS}/stat", openapi_extra=action(Action.READ_CONTENT))
async def stat(workspace_id: WorkspaceId, caller: ACaller, services: AServices, path: APath = "") -> Entry:
    """What is at a path."""
    return Entry.model_validate(await services.files.stat(caller.identity, workspace_id, path))


@router.get(f"{FS}/list", openapi_extra=action(Action.READ_CONTENT))
async def list_folder(workspace_id: WorkspaceId, caller: ACaller, services: AServices, path: APath = "") -> EntryList:
    """What is in a folder, by name."""
    return _listed(await services.files.list(caller.identity, workspace_id, path))


@router.get(f"{FS}/trash", openapi_extra=action(Action.READ_CONTENT))
async def list_trash(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> EntryList:
    """What was deleted and can be restored, with the path that it had."""
    return _listed(await services.files.trash(caller.identity, workspace_id))


@router.get(
    f"{FS}/read",
    openapi_extra=action(Action.READ_CONTENT),
    response_model=FileContent,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_file(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    response: Response,
    path: APath = "",
    accept: Annotated[str, Header(max_length=1_024)] = "",
) -> Any:
    """A file with its text; with `Accept: text/plain` the text alone. The ETag is the version."""
    found = await services.files.read(caller.identity, workspace_id, path)
    headers = {} if found.text is None else {"ETag": f'"v{found.text.version}"'}
    if "text/plain" in accept and found.text is not None:
        return PlainTextResponse(found.text.text, headers=headers)
    response.headers.update(headers)
    return _content(found)


# ---- changing


@router.put(
    f"{FS}/write",
    openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True)
    | {"requestBody": {"content": {"text/plain": {"schema": {"type": "string", "pattern": "^[^\\x00]*$"}}}}},
)
async def write_file(
    workspace_id: WorkspaceId,
    request: Request,
    caller: ACaller,
    services: AServices,
    response: Response,
    path: APath = "",
    if_match: AVersion = None,
    if_none_match: Annotated[Literal["*"] | None, Header(description="make it: nothing is there yet")] = None,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> WrittenFile:
    """A text as it should be: a new file with `If-None-Match: *`, else compared with the version it was read at
    (`If-Match: "v17"`): what differs becomes one operation, and what others have written since stays."""
    text, series = await text_of(request), _series(caller, workspace_id, idempotency_key)
    if if_none_match is None and if_match is None:
        raise CoscribeError(
            Code.PRECONDITION_REQUIRED, "send If-Match with the version that you read, or If-None-Match"
        )
    files, who = services.files, caller.identity
    if if_none_match is not None:
        written = await files.create(who, workspace_id, path, text, series)
    else:
        written = await files.write(who, workspace_id, path, text, version_of(if_match), series)
        if written.place is not None:
            response.headers["ETag"] = f'"v{written.place.document_version}"'
    return _written(written)


@router.post(f"{FS}/mkdir", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def make_folder(
    workspace_id: WorkspaceId,
    body: AtPath,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> WrittenFile:
    """A folder in one that is there."""
    series = _series(caller, workspace_id, idempotency_key)
    return _written(await services.files.mkdir(caller.identity, workspace_id, body.path, series))


@router.post(f"{FS}/rename", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def rename_file(
    workspace_id: WorkspaceId,
    body: Renaming,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Placed:
    """Another name, another folder, or both; the file stays the same, for whoever edits it, too."""
    series = _series(caller, workspace_id, idempotency_key)
    who, overwrite = caller.identity, body.overwrite
    place = await services.files.rename(who, workspace_id, body.source, body.target, series, overwrite=overwrite)
    return Placed.model_validate(place)


@router.post(f"{FS}/copy", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def copy_file(
    workspace_id: WorkspaceId,
    body: FromTo,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> WrittenFile:
    """A copy of a file, or of a folder with all that one sees in it, up to 1,000 files."""
    series = _series(caller, workspace_id, idempotency_key)
    return _written(await services.files.copy(caller.identity, workspace_id, body.source, body.target, series))


@router.post(f"{FS}/delete", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def delete_file(
    workspace_id: WorkspaceId,
    body: AtPath,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Placed:
    """Into the trash, a folder with all that is in it."""
    series = _series(caller, workspace_id, idempotency_key)
    return Placed.model_validate(await services.files.delete(caller.identity, workspace_id, body.path, series))


@router.post(f"{FS}/restore", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def restore_file(
    workspace_id: WorkspaceId,
    body: Restoring,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Placed:
    """Out of the trash. Where the name is taken by now it gets a number."""
    series = _series(caller, workspace_id, idempotency_key)
    who, target = caller.identity, body.target
    place = await services.files.restore(who, workspace_id, body.file_id, series, target=target)
    return Placed.model_validate(place)


@router.post(f"{FS}/save", openapi_extra=action(Action.EDIT_CONTENT))
async def save_file(workspace_id: WorkspaceId, body: AtPathOrTop, caller: ACaller, services: AServices) -> Saved:
    """A flush barrier: when this answers, the disk has a snapshot of the text as it was at `serverSequenceId`, or as it
    was later; for the top of all texts and of the tree."""
    return Saved(server_sequence_id=await services.files.save(caller.identity, workspace_id, body.path))


def _workspace_id(caller: Caller, key: str | None) -> str:
    return "" if key is None else f"wsp_{blake2b(f'{caller.author} {key}'.encode(), digest_size=16).hexdigest()}"


def _series(caller: Caller, workspace_id: str, key: str | None) -> str:
    """For the ids of the operations that a request makes: the same for the same key of the same author."""
    if key is None:
        return f"http-{secrets.token_hex(8)}"
    return f"http-{blake2b(f'{caller.author} {workspace_id} {key}'.encode(), digest_size=16).hexdigest()}"


def _listed(listing: Listing) -> EntryList:
    return EntryList(
        items=[Entry.model_validate(entry) for entry in listing.entries], server_sequence_id=listing.sequence
    )


def _content(found: Contents) -> FileContent:
    text = found.text
    return FileContent(
        entry=Entry.model_validate(found.entry),
        text=None if text is None else text.text,
        document_version=None if text is None else text.version,
    )


def _written(written: Written) -> WrittenFile:
    place = None if written.place is None else Placed.model_validate(written.place)
    return WrittenFile(file_id=written.file_id, operation=place)
