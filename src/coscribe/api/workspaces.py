"""Workspaces: make them, and their files by path; what is in those is in `files`. Whatever is about members, links or
the trash is as for documents."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field

from coscribe.access.caller import Caller
from coscribe.access.policy import Action
from coscribe.api.content import Placed
from coscribe.api.documents import AKey, Document, shown_as_made
from coscribe.api.models import DocumentName, Incoming, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.documents.file_system import Listing, Written

router = APIRouter(route_class=PolicyRoute, tags=["workspaces"])

FS = "/api/workspace/{workspaceId}/fs"

WorkspaceId = Annotated[str, Path(alias="workspaceId", max_length=128, examples=["wsp_0190c0ffee"])]
_PATH = "^([^/\\x00]+(/[^/\\x00]+)*)?$"
APath = Annotated[
    str,
    Query(max_length=4_096, pattern=_PATH, examples=["src/main.py"], description="from the top; empty: the top"),
]
PathName = Annotated[str, Field(min_length=1, max_length=4_096, pattern=_PATH, examples=["src/main.py"])]


AnAt = Annotated[
    int | None,
    Query(ge=0, le=2**53 - 1, description="a sequence: as it was then, for editors; without it as it is now"),
]


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


class MadeFile(Outgoing):
    """A file or folder that was made."""

    file_id: str
    operation: Placed


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
    name = body.name.strip()
    made = await services.documents.create_tree(caller, name, idempotency_key, folds_case=body.folds_case)
    return shown_as_made(response, made)


# ---- looking


@router.get(f"{FS}/stat", openapi_extra=action(Action.READ_CONTENT))
async def stat(workspace_id: WorkspaceId, caller: ACaller, services: AServices, path: APath = "") -> Entry:
    """What is at a path."""
    return Entry.model_validate(await services.files.stat(caller.identity, workspace_id, path))


@router.get(f"{FS}/list", openapi_extra=action(Action.READ_CONTENT))
async def list_folder(
    workspace_id: WorkspaceId, caller: ACaller, services: AServices, path: APath = "", at: AnAt = None
) -> EntryList:
    """What is in a folder, or was, by name."""
    if at is not None:
        return _listed(await services.past.list(caller.identity, workspace_id, path, at))
    return _listed(await services.files.list(caller.identity, workspace_id, path))


@router.get(f"{FS}/trash", openapi_extra=action(Action.READ_CONTENT))
async def list_trash(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> EntryList:
    """What was deleted and can be restored, with the path that it had."""
    return _listed(await services.files.trash(caller.identity, workspace_id))


# ---- changing


@router.post(f"{FS}/mkdir", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def make_folder(
    workspace_id: WorkspaceId,
    body: AtPath,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> MadeFile:
    """A folder in one that is there."""
    series = series_of(caller, workspace_id, idempotency_key)
    return _made(await services.files.mkdir(caller.identity, workspace_id, body.path, series))


@router.post(f"{FS}/rename", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def rename_file(
    workspace_id: WorkspaceId,
    body: Renaming,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Placed:
    """Another name, another folder, or both; the file stays the same, for whoever edits it, too."""
    series = series_of(caller, workspace_id, idempotency_key)
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
) -> MadeFile:
    """A copy of a file, or of a folder with all that one sees in it, up to 1,000 files."""
    series = series_of(caller, workspace_id, idempotency_key)
    return _made(await services.files.copy(caller.identity, workspace_id, body.source, body.target, series))


@router.post(f"{FS}/delete", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def delete_file(
    workspace_id: WorkspaceId,
    body: AtPath,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Placed:
    """Into the trash, a folder with all that is in it."""
    series = series_of(caller, workspace_id, idempotency_key)
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
    series = series_of(caller, workspace_id, idempotency_key)
    who, target = caller.identity, body.target
    place = await services.files.restore(who, workspace_id, body.file_id, series, target=target)
    return Placed.model_validate(place)


@router.post(f"{FS}/save", openapi_extra=action(Action.EDIT_CONTENT))
async def save_file(workspace_id: WorkspaceId, body: AtPathOrTop, caller: ACaller, services: AServices) -> Saved:
    """A flush barrier: when this answers, the disk has a snapshot of the text as it was at `serverSequenceId`, or as it
    was later; for the top of all texts and of the tree."""
    return Saved(server_sequence_id=await services.files.save(caller.identity, workspace_id, body.path))


def series_of(caller: Caller, workspace_id: str, key: str | None) -> str:
    """For the ids of the operations that a request makes: the same for the same key of the same author."""
    if key is None:
        return f"http-{secrets.token_hex(8)}"
    return f"http-{blake2b(f'{caller.author} {workspace_id} {key}'.encode(), digest_size=16).hexdigest()}"


def _listed(listing: Listing) -> EntryList:
    return EntryList(
        items=[Entry.model_validate(entry) for entry in listing.entries], server_sequence_id=listing.sequence
    )


def _made(written: Written) -> MadeFile:
    return MadeFile(file_id=written.file_id, operation=Placed.model_validate(written.place))
