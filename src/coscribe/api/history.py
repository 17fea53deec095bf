"""The past of a document: who edited when, each operation, who wrote what, names of versions, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from coscribe.access.directory import Author
from coscribe.access.policy import Action
from coscribe.api.content import Natural, Placed, Replaced, operation_id_of
from coscribe.api.documents import DocumentId
from coscribe.api.models import SEEN, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.documents.blame import Kind
from coscribe.documents.history import Blame, EditingSession, PastOperations

router = APIRouter(route_class=PolicyRoute, tags=["history"])

MILLISECONDS = 1_000

AVersion = Annotated[int | None, Query(ge=0, le=2**53 - 1)]
VersionInPath = Annotated[int, Path(ge=0, le=2**53 - 1)]
VersionName = Annotated[str, Field(min_length=1, max_length=128, pattern=SEEN, examples=["As sent to the printer"])]


class HistoryAuthor(Outgoing):
    """Who signed operations, as they are called today. `erased-7` stands for an account that is gone."""

    user_id: str = Field(description="a user, or user+token for a bot")
    display_name: str
    color: str


class VersionNamed(Outgoing):
    version: int
    name: str
    named_by: str | None = Field(description="none: by an account that is gone")
    named_at: Moment


class VersionNames(Outgoing):
    items: list[VersionNamed]


class NewVersionName(Incoming):
    version: Natural
    name: VersionName


class OtherVersionName(Incoming):
    name: VersionName


class WantedVersion(Incoming):
    version: Natural


class Session(Outgoing):
    """Consecutive operations of one author, with pauses under five minutes."""

    author: HistoryAuthor
    from_version: int = Field(description="of the text before")
    to_version: int = Field(description="of the text after")
    begun_at: Moment
    ended_at: Moment
    operations: int
    inserted: int = Field(description="code points")
    deleted: int = Field(description="code points")
    is_cut: bool = Field(description="a very long one: its beginning is the first of the next page")
    names: list[VersionNamed] = Field(description="of versions that were made in it")


class SessionList(Outgoing):
    """The newest first."""

    items: list[Session]
    next_before: int | None = Field(description="pass it as `before` for what was earlier; none: nothing was")
    oldest_version: int = Field(description="the one that the history begins with: 0, or more where it was pruned")


class PlayedOperation(Outgoing):
    version: int = Field(description="of the text after it")
    sequence: int
    author: str = Field(description="a `userId` of `authors`")
    at: int = Field(description="milliseconds since 1970")
    edits: list[tuple[int, str, str]] = Field(
        description="position, deleted text, inserted text: from left to right, all against the text before, in code "
        "points. Forwards they are done from right to left; backwards from left to right, with the two texts exchanged."
    )


class PlayedOperations(Outgoing):
    """Operations without a gap, the oldest first; there are more while the last one's version is below `version`."""

    operations: list[PlayedOperation]
    authors: list[HistoryAuthor]
    version: int = Field(description="the present one")


class BlameRun(Outgoing):
    """What one author wrote side by side, with pauses under five minutes."""

    length: int = Field(description="code points")
    author_id: str = Field(description="a `userId` of `authors`")
    version: int = Field(description="made by the newest operation in it")
    at: int = Field(description="of that operation, in milliseconds since 1970")
    kind: Kind = Field(
        description="`human`: typed, as far as the author's client has said; `paste`: pasted or dropped, as it has "
        "said; `agent`: a bot with a token; `disk`: a program that wrote to the working tree"
    )


class BlameOfText(Outgoing):
    """The text at `version` from left to right; the lengths add up to it."""

    version: int
    runs: list[BlameRun]
    authors: list[HistoryAuthor]


@router.get("/api/documents/{documentId}/history/sessions", openapi_extra=action(Action.READ_HISTORY))
async def list_sessions(
    document_id: DocumentId,
    caller: ACaller,
    services: AServices,
    before: AVersion = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> SessionList:
    """Who edited when, the newest first: what led to the present version, or to the one to ask `before`."""
    page = await services.history.sessions(caller.identity, document_id, before, limit)
    authors = await services.directory.authors(session.author_ref for session in page.items)
    named = await services.versions.list(caller, document_id)

    def shown(session: EditingSession) -> Session:
        return Session(
            author=HistoryAuthor.model_validate(authors[session.author_ref]),
            from_version=session.from_version,
            to_version=session.to_version,
            begun_at=session.begun_at,
            ended_at=session.ended_at,
            operations=session.operations,
            inserted=session.inserted,
            deleted=session.deleted,
            is_cut=session.is_cut,
            names=[
                VersionNamed.model_validate(one)
                for one in named
                if session.from_version < one.version <= session.to_version
            ],
        )

    return SessionList(
        items=[shown(session) for session in page.items],
        next_before=page.next_before,
        oldest_version=page.oldest_version,
    )


@router.get(
    "/api/documents/{documentId}/history/operations",
    openapi_extra=action(Action.READ_HISTORY),
    response_model=PlayedOperations,
)
async def list_operations(
    document_id: DocumentId,
    caller: ACaller,
    services: AServices,
    after: Annotated[int, Query(ge=0, le=2**53 - 1, description="a version")] = 0,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 500,
) -> Any:
    """Each operation that followed a version, with what it deleted: for playing them like a film, in both directions,
    from the text at one version. Fewer than `limit` come where they are long."""
    found = await services.history.operations(caller.identity, document_id, after, limit)
    authors = await services.directory.authors(operation.author_ref for operation in found.items)
    return _json(await asyncio.to_thread(lambda: _played(found, authors)))


@router.get(
    "/api/documents/{documentId}/history/blame",
    openapi_extra=action(Action.READ_HISTORY),
    response_model=BlameOfText,
)
async def blame(document_id: DocumentId, caller: ACaller, services: AServices, version: AVersion = None) -> Any:
    """Who wrote what of the text, as it is or as it was at a version. What an undo or a restore has brought back is by
    whoever brought it back."""
    found = await services.history.blame(caller.identity, document_id, version)
    authors = await services.directory.authors({run.author_ref for run in found.runs})
    return _json(await asyncio.to_thread(lambda: blamed(found, authors)))


@router.get(
    "/api/documents/{documentId}/history/log",
    openapi_extra=action(Action.READ_HISTORY),
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_log(document_id: DocumentId, caller: ACaller, services: AServices) -> StreamingResponse:
    """The whole log as JSON lines, with all that it takes to verify it without this server.

    The first line has `format` ("coscribe-log-1"), `documentId`, `incarnation`, `sequence`, `version` and `chainHash`;
    where the log was pruned also `prunedThrough`, its last sequence that is not there any more, and `prunedChainHash`,
    the digest of that, on which the first entry hangs.
    Then one line for each entry, in order: `sequence`, `version`, `baseVersion`, `operationId`, `author`, `authorRef`,
    `time` (microseconds since 1970), `payload` (the stored text, itself JSON), `salt` and `digest` (hex).

    With 32 zero bytes as digest(0), digest(n) is SHA-256 over: digest(n-1); `sequence`, `version`, `baseVersion`,
    `authorRef` and `time` as big-endian 64-bit numbers; the lengths in bytes of `documentId` and `operationId` as
    big-endian 16-bit numbers; `documentId`; `operationId`; and SHA-256 over `salt` and `payload`. The last digest is
    the first line's `chainHash`.
    """
    lines = await services.history.log(caller.identity, document_id)
    headers = {"Content-Disposition": f'attachment; filename="{document_id}.log.ndjson"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.post(
    "/api/documents/{documentId}/history/restore", openapi_extra=action(Action.EDIT_CONTENT, also=Action.READ_HISTORY)
)
async def restore_version(
    document_id: DocumentId,
    body: WantedVersion,
    caller: ACaller,
    services: AServices,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Replaced:
    """Makes the text of a version the present one, as a new operation: the past stays as it was, and what others write
    at the same time stays, too. With an Idempotency-Key it is safe to send again."""
    key = None if idempotency_key is None else f"restore {idempotency_key}"
    operation_id = operation_id_of(caller, document_id, key)
    place = await services.collaboration.restore(caller.identity, document_id, body.version, operation_id)
    if place is None:
        at = await services.collaboration.durable(caller.identity, document_id)
        return Replaced(document_version=at.version, operation=None)
    response.headers["ETag"] = f'"v{place.document_version}"'
    return Replaced(document_version=place.document_version, operation=Placed.model_validate(place))


# ---- names of versions


@router.get("/api/documents/{documentId}/history/names", openapi_extra=action(Action.READ_HISTORY))
async def list_version_names(document_id: DocumentId, caller: ACaller, services: AServices) -> VersionNames:
    """All named versions, the oldest first; at most 1,000."""
    named = await services.versions.list(caller, document_id)
    return VersionNames(items=[VersionNamed.model_validate(one) for one in named])


@router.post(
    "/api/documents/{documentId}/history/names",
    status_code=201,
    openapi_extra=action(Action.EDIT_CONTENT, also=Action.READ_HISTORY, once="answer"),
)
async def name_version(
    document_id: DocumentId, body: NewVersionName, caller: ACaller, services: AServices
) -> VersionNamed:
    """Gives a version a name. Each has at most one."""
    await services.history.existing(caller.identity, document_id, body.version)
    given = await services.versions.give(caller, document_id, body.version, body.name.strip())
    return VersionNamed.model_validate(given)


@router.patch(
    "/api/documents/{documentId}/history/names/{version}",
    openapi_extra=action(Action.EDIT_CONTENT, also=Action.READ_HISTORY),
)
async def rename_version(
    document_id: DocumentId, version: VersionInPath, body: OtherVersionName, caller: ACaller, services: AServices
) -> VersionNamed:
    """Another name for a named version."""
    return VersionNamed.model_validate(await services.versions.rename(caller, document_id, version, body.name.strip()))


@router.delete(
    "/api/documents/{documentId}/history/names/{version}",
    status_code=204,
    openapi_extra=action(Action.EDIT_CONTENT, also=Action.READ_HISTORY),
)
async def unname_version(document_id: DocumentId, version: VersionInPath, caller: ACaller, services: AServices) -> None:
    """Takes the name away; the version stays."""
    await services.versions.remove(caller, document_id, version)


# ---- long answers are put together in a thread, without a model for each part


def _played(found: PastOperations, authors: dict[int, Author]) -> bytes:
    operations = [
        {
            "version": operation.version,
            "sequence": operation.sequence,
            "author": authors[operation.author_ref].user_id,
            "at": operation.at // MILLISECONDS,
            "edits": operation.edits,
        }
        for operation in found.items
    ]
    return msgspec.json.encode(
        {"operations": operations, "authors": _named(authors.values()), "version": found.version}
    )


def blamed(found: Blame, authors: dict[int, Author]) -> bytes:
    """`BlameOfText` as JSON."""
    runs = [
        {
            "length": run.length,
            "authorId": authors[run.author_ref].user_id,
            "version": run.version,
            "at": run.at // MILLISECONDS,
            "kind": run.kind(authors[run.author_ref].user_id),
        }
        for run in found.runs
    ]
    return msgspec.json.encode({"version": found.version, "runs": runs, "authors": _named(authors.values())})


def _named(authors: Iterable[Author]) -> list[dict[str, str]]:
    return [{"userId": author.user_id, "displayName": author.display_name, "color": author.color} for author in authors]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
