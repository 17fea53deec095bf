"""The past of a workspace: what was done, what it was at a sequence, and the way back.

What is at a path now is at another one then; `path` is always of the moment that is asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from coscribe.access.directory import Author
from coscribe.access.ids import MICROSECONDS
from coscribe.access.policy import Action
from coscribe.api.content import Natural
from coscribe.api.documents import AKey, Document, shown_as_made
from coscribe.api.history import BlameOfText, HistoryAuthor, blamed
from coscribe.api.models import DocumentName, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.workspaces import AnAt, APath, AtPathOrTop, Entry, WorkspaceId, series_of
from coscribe.documents.archives import Archived, Format, archive
from coscribe.documents.differences import edits_between
from coscribe.documents.timeline import Difference, Verb, WorkSession
from coscribe.documents.workspace_past import PastFile
from coscribe.protocol.codec import MAX_BATCH_EDITS

router = APIRouter(route_class=PolicyRoute, tags=["past of workspaces"])

PAST = "/api/workspace/{workspaceId}/history"

MAX_DIFFERENCES = 10_000
"""Files that an answer names as different; more are counted."""

Earlier = Annotated[int, Query(alias="from", ge=0, le=2**53 - 1, description="a sequence")]
Later = Annotated[int | None, Query(alias="to", ge=0, le=2**53 - 1, description="a sequence; else now")]
MEDIA = {"zip": "application/zip", "tar.gz": "application/gzip"}


class DoneToTree(Outgoing):
    server_sequence_id: int
    file_id: str
    verb: Verb
    path: str
    new_path: str = Field(description="where it was afterwards, if that was elsewhere")


class FileEdited(Outgoing):
    file_id: str
    path: str = Field(description="behind the last edit")
    from_version: int
    to_version: int
    operations: int
    inserted: int = Field(description="code points")
    deleted: int = Field(description="code points")


class Work(Outgoing):
    """What one author did with pauses under five minutes, whatever others did meanwhile."""

    author: HistoryAuthor
    first_sequence: int
    last_sequence: int
    begun_at: Moment
    ended_at: Moment
    operations: int
    files: list[FileEdited]
    tree: list[DoneToTree] = Field(description="the newest first")
    more: int = Field(description="files and changes of the tree that are not named")
    is_cut: bool = Field(description="it began earlier, and goes on in the next page")


class WorkList(Outgoing):
    """Who ended last comes first."""

    items: list[Work]
    next_before: int | None = Field(description="pass it as `before` for what was earlier; none: nothing was")


class Differing(Outgoing):
    file_id: str
    kind: Literal["added", "removed", "moved", "changed"] = Field(description="moved: or renamed")
    node: Literal["directory", "text", "binary", "symlink"]
    path: str = Field(description="before; empty: it was not there")
    new_path: str = Field(description="after; empty: it was not there any more")
    changed_content: bool


class DifferenceList(Outgoing):
    items: list[Differing]
    more: int = Field(description="so many are not named")


class FileDifference(Outgoing):
    """What makes the text at the later moment of the one before."""

    entry: Entry = Field(description="at the later moment")
    from_version: int
    to_version: int
    edits: list[tuple[int, str, str]] = Field(
        description="position, deleted text, inserted text: from left to right, all against the text before"
    )


class FileThen(Outgoing):
    """``text`` is missing where it was none."""

    entry: Entry = Field(description="with the path that it had")
    text: str | None
    document_version: int | None


class FileSession(Outgoing):
    """Consecutive operations of one author in a file, with pauses under five minutes."""

    author: HistoryAuthor
    from_version: int
    to_version: int
    begun_at: Moment
    ended_at: Moment
    operations: int
    inserted: int = Field(description="code points")
    deleted: int = Field(description="code points")
    is_cut: bool


class FileSessionList(Outgoing):
    file_id: str
    items: list[FileSession]
    next_before: int | None = Field(description="the version to ask before for what was earlier; none: nothing was")


class RestoringPast(AtPathOrTop):
    sequence: Natural


class RestoredPast(Outgoing):
    """``sequence``: as the workspace was right before; restored to that it is as if nothing had been done."""

    sequence: int
    tree_operations: int
    texts: int


class Forking(Incoming):
    name: DocumentName
    sequence: Natural


@router.get(f"{PAST}/timeline", openapi_extra=action(Action.READ_HISTORY))
async def timeline(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    before: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="a sequence")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> WorkList:
    """Who worked when, in which files, and what became of the tree: what led to the present, or to a sequence."""
    found = await services.past.timeline(caller.identity, workspace_id, before, limit)
    authors = await services.directory.authors(session.author_ref for session in found.items)
    return WorkList(items=[_worked(session, authors) for session in found.items], next_before=found.next_before)


@router.get(f"{PAST}/differences", openapi_extra=action(Action.READ_HISTORY))
async def list_differences(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    earlier: Earlier = 0,
    later: Later = None,
) -> DifferenceList:
    """Which files are others at the later of two moments: added, removed, moved, changed."""
    found = await services.past.differences(caller.identity, workspace_id, earlier, later)
    return DifferenceList(
        items=[_differing(each) for each in found[:MAX_DIFFERENCES]], more=max(0, len(found) - MAX_DIFFERENCES)
    )


@router.get(f"{PAST}/difference", openapi_extra=action(Action.READ_HISTORY))
async def show_difference(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    path: APath = "",
    earlier: Earlier = 0,
    later: Later = None,
) -> FileDifference:
    """What is another one in a text, which is at `path` at the later of two moments."""
    who, past = caller.identity, services.past
    after = await past.moment(who, workspace_id, later)
    before = await past.moment(who, workspace_id, earlier)
    entry = after.entry(after.text_at(path))
    one, other = await past.text(before, entry.file_id), await past.text(after, entry.file_id)
    edits = await asyncio.to_thread(edits_between, one.text, other.text, MAX_BATCH_EDITS)
    return FileDifference(
        entry=Entry.model_validate(entry),
        from_version=one.version,
        to_version=other.version,
        edits=[(position, one.text[position : position + deleted], text) for position, deleted, text in edits],
    )


@router.get(f"{PAST}/file", openapi_extra=action(Action.READ_HISTORY))
async def read_file_then(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    file_id: Annotated[str, Query(alias="fileId", max_length=128, examples=["fabcdefghijklmnopqrstuvwxy"])],
    at: AnAt = None,
) -> FileThen:
    """A file as it was, by its id, wherever it was: it stays the same file when it is renamed or moved."""
    found = await services.past.read_file(caller.identity, workspace_id, file_id, at)
    return FileThen(
        entry=Entry.model_validate(found.entry),
        text=None if found.text is None else found.text.text,
        document_version=None if found.text is None else found.text.version,
    )


@router.get(f"{PAST}/sessions", openapi_extra=action(Action.READ_HISTORY))
async def list_file_sessions(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    path: APath = "",
    at: AnAt = None,
    before: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="a version")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> FileSessionList:
    """Who edited a text when, the newest first: what led to how it is, or was at a sequence."""
    moment = await services.past.moment(caller.identity, workspace_id, at)
    file_id = moment.text_at(path)
    version = (await services.past.text(moment, file_id)).version
    page = await services.history.sessions(
        caller.identity, file_id, version if before is None else min(before, version), limit
    )
    authors = await services.directory.authors(session.author_ref for session in page.items)
    items = [
        FileSession(
            author=HistoryAuthor.model_validate(authors[session.author_ref]),
            **{name: value for name, value in session._asdict().items() if name != "author_ref"},
        )
        for session in page.items
    ]
    return FileSessionList(file_id=file_id, items=items, next_before=page.next_before)


@router.get(f"{PAST}/blame", openapi_extra=action(Action.READ_HISTORY), response_model=BlameOfText)
async def blame_file(
    workspace_id: WorkspaceId, caller: ACaller, services: AServices, path: APath = "", at: AnAt = None
) -> Any:
    """Who wrote what of a text, as it is or as it was at a sequence. What a bot has written is by `user+token`."""
    moment = await services.past.moment(caller.identity, workspace_id, at)
    file_id = moment.text_at(path)
    version = (await services.past.text(moment, file_id)).version
    found = await services.history.blame(caller.identity, file_id, version)
    authors = await services.directory.authors({run.author_ref for run in found.runs})
    return Response(await asyncio.to_thread(lambda: blamed(found, authors)), media_type="application/json")


@router.get(
    f"{PAST}/archive",
    openapi_extra=action(Action.READ_HISTORY),
    response_class=StreamingResponse,
    responses={
        200: {"content": {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA.values()}}
    },
)
async def download(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    path: APath = "",
    at: AnAt = None,
    form: Annotated[Format, Query(alias="format")] = "zip",
) -> StreamingResponse:
    """The workspace as it was, or a part of it, as an archive. The same moment gives the same bytes, as long as one may
    see the same of it. Links are stored as links."""
    moment = await services.past.moment(caller.identity, workspace_id, at)
    moment.find(path)
    made_at = await services.past.made_at(moment) // MICROSECONDS
    files = services.past.files(caller.identity, moment, path)
    headers = {"Content-Disposition": f'attachment; filename="{workspace_id}-{moment.sequence}.{form}"'}
    pieces = archive(form, _archived(files), made_at)
    return StreamingResponse(pieces, media_type=MEDIA[form], headers=headers)


@router.post(f"{PAST}/restore", openapi_extra=action(Action.EDIT_CONTENT, also=Action.READ_HISTORY))
async def restore_past(
    workspace_id: WorkspaceId,
    body: RestoringPast,
    caller: ACaller,
    services: AServices,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> RestoredPast:
    """Makes the workspace, or what was at a path, what it was at a sequence, by new operations: the past stays, what
    has appeared since goes into the trash, and what others write at the same time stays, too. Many files take several
    operations; where one of them is refused, what was done before it is done."""
    series = series_of(caller, workspace_id, None if idempotency_key is None else f"past {idempotency_key}")
    done = await services.restoring.restore(caller.identity, workspace_id, body.path, body.sequence, series)
    return RestoredPast.model_validate(done)


@router.post(
    f"{PAST}/fork",
    status_code=201,
    openapi_extra=action(Action.READ_HISTORY, also=Action.CREATE_DOCUMENT, once="answer"),
)
async def fork(
    workspace_id: WorkspaceId,
    body: Forking,
    caller: ACaller,
    services: AServices,
    response: Response,
    idempotency_key: AKey = None,
) -> Document:
    """A workspace of one's own that holds what this one was, as far as one may see it; where it comes from is in its
    events. Its files have ids, and a past, of their own."""
    source = await services.past.moment(caller.identity, workspace_id, body.sequence)
    made = await services.documents.create_tree(
        caller,
        body.name.strip(),
        idempotency_key,
        folds_case=source.tree.folds_case,
        forked_from=(workspace_id, source.sequence),
    )
    series = series_of(caller, made.document_id, idempotency_key)
    await services.restoring.fork(caller.identity, source, made.document_id, series)
    return shown_as_made(response, made)


async def _archived(files: AsyncIterator[PastFile]) -> AsyncIterator[Archived]:
    async for entry, content in files:
        yield Archived(entry.path, entry.kind, content, entry.properties)


def _worked(session: WorkSession, authors: dict[int, Author]) -> Work:
    return Work(
        author=HistoryAuthor.model_validate(authors[session.author_ref]),
        first_sequence=session.first_sequence,
        last_sequence=session.last_sequence,
        begun_at=session.begun_at,
        ended_at=session.ended_at,
        operations=session.operations,
        files=[FileEdited.model_validate(work) for work in session.files.values()],
        tree=[
            DoneToTree(
                server_sequence_id=event.sequence,
                file_id=event.file_id,
                verb=event.verb,
                path=event.path,
                new_path=event.new_path,
            )
            for event in session.events
        ],
        more=session.more,
        is_cut=session.is_cut,
    )


def _differing(each: Difference) -> Differing:
    return Differing.model_validate(each)
