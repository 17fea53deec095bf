"""Documents: make, find, rename, duplicate, archive, trash, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field

from coscribe.access.caller import Caller
from coscribe.access.documents import Listed
from coscribe.access.policy import Action
from coscribe.api.models import DocumentName, Incoming, Moment, Outgoing, RoleName
from coscribe.api.route import ACaller, ANeededIfMatch, AServices, PolicyRoute, action, etag, expected_revision
from coscribe.api.services import Services
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol.messages import Operation

router = APIRouter(route_class=PolicyRoute, tags=["documents"])

DocumentId = Annotated[str, Path(alias="documentId", max_length=128, examples=["doc_0190c0ffee"])]
Cursor = Annotated[str, Query(max_length=1_024, description="`nextCursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=100)]


AKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]
"""The header of `action(once=...)`, which describes it."""


class NewDocument(Incoming):
    name: DocumentName
    text: str = Field("", max_length=900_000, description="what it begins with; larger ones go through import")


class Rename(Incoming):
    name: DocumentName


class Document(Outgoing):
    document_id: str
    kind: Literal["document", "workspace"] = Field(description="a workspace has a tree of files, a document one text")
    name: str
    status: Literal["active", "archived", "trashed"]
    role: RoleName | None = Field(description="one's own; none for an administrator who is no member")
    created_at: Moment
    edited_at: Moment
    visited_at: Moment | None
    trashed_at: Moment | None


class DocumentList(Outgoing):
    items: list[Document]
    next_cursor: str = Field(description="empty: nothing follows")


@router.post("/api/documents", status_code=201, openapi_extra=action(Action.CREATE_DOCUMENT, once="answer"))
async def create_document(
    body: NewDocument, caller: ACaller, services: AServices, response: Response, idempotency_key: AKey = None
) -> Document:
    """A document that one owns."""
    return shown_as_made(response, await make_document(services, caller, body.name, body.text, idempotency_key))


@router.get("/api/documents", openapi_extra=action(Action.LIST_DOCUMENTS))
async def list_documents(
    caller: ACaller,
    services: AServices,
    which: Annotated[Literal["all", "mine", "shared", "recent"], Query()] = "all",
    status: Annotated[Literal["active", "archived", "trashed"], Query()] = "active",
    kind: Annotated[Literal["document", "workspace", "all"], Query()] = "document",
    query: Annotated[str, Query(max_length=256, description="part of the name")] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> DocumentList:
    """One's documents: the newest first, `recent` by one's last visit. The trash shows what one owns."""
    page = await services.documents.list(caller, which, status, query, cursor, limit, kind)
    return DocumentList(items=[Document.model_validate(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/api/documents/{documentId}", openapi_extra=action(Action.SEE_DOCUMENT))
async def see_document(document_id: DocumentId, caller: ACaller, services: AServices, response: Response) -> Document:
    """Name, status and one's own role."""
    return _shown(response, await services.documents.get(caller, document_id))


@router.patch("/api/documents/{documentId}", openapi_extra=action(Action.RENAME_DOCUMENT))
async def rename_document(
    document_id: DocumentId,
    body: Rename,
    caller: ACaller,
    services: AServices,
    response: Response,
    if_match: ANeededIfMatch = None,
) -> Document:
    """Renames it, if it is still as it was read."""
    revision = expected_revision(if_match)
    return _shown(response, await services.documents.rename(caller, document_id, body.name, revision))


@router.post(
    "/api/documents/{documentId}/duplicate",
    status_code=201,
    openapi_extra=action(Action.READ_CONTENT, also=Action.CREATE_DOCUMENT, once="answer"),
)
async def duplicate_document(
    document_id: DocumentId,
    caller: ACaller,
    services: AServices,
    response: Response,
    body: Rename | None = None,
    idempotency_key: AKey = None,
) -> Document:
    """A document of one's own with the same text. Members and history stay with the first one."""
    original = await services.documents.get(caller, document_id)
    text = (await services.collaboration.text(caller.identity, document_id)).text
    name = body.name if body is not None else f"Copy of {original.name}"[:256]
    return shown_as_made(response, await make_document(services, caller, name, text, idempotency_key))


@router.post("/api/documents/{documentId}/archive", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def archive_document(
    document_id: DocumentId, caller: ACaller, services: AServices, response: Response
) -> Document:
    """Everybody can still read it, nobody can edit it."""
    return _shown(response, await services.documents.set_status(caller, document_id, "archived"))


@router.post("/api/documents/{documentId}/trash", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def trash_document(document_id: DocumentId, caller: ACaller, services: AServices, response: Response) -> Document:
    """Only owners see it any more, until they restore it or delete it for good."""
    return _shown(response, await services.documents.set_status(caller, document_id, "trashed"))


@router.post("/api/documents/{documentId}/restore", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def restore_document(
    document_id: DocumentId, caller: ACaller, services: AServices, response: Response
) -> Document:
    """Out of the trash, or out of the archive."""
    return _shown(response, await services.documents.set_status(caller, document_id, "active"))


@router.delete("/api/documents/{documentId}", status_code=204, openapi_extra=action(Action.MANAGE_DOCUMENT))
async def delete_document(document_id: DocumentId, caller: ACaller, services: AServices) -> None:
    """For good, with its history; only out of the trash."""
    await services.documents.delete(caller, document_id)
    await services.documents.purge()


# ---- for the other modules


async def make_document(services: Services, caller: Caller, name: str, text: str, key: str | None) -> Listed:
    """A document that begins with a text. Errors: ``invalid_text``, ``file_too_large``, those of the pipeline.

    With an Idempotency-Key its id is made from that, and the operations' ids from the document's: however far the
    request came the first time, it is finished and not done twice.
    """
    text, longest = services.collaboration.take_in(text), services.collaboration.limits.operation_length
    made = await services.documents.create(caller, name.strip(), key)
    try:
        for number, start in enumerate(range(0, len(text), longest)):
            piece, operation_id = text[start : start + longest], f"{made.document_id}:{number + 1}"
            message = Operation(made.document_id, operation_id, caller.author, number, "insert", start, piece)
            await services.everywhere.edit(caller.identity, message)
    except CoscribeError as error:
        # What has been pruned since was made long ago, by the same request: then there is nothing to discard.
        if error.code.value.retry == "never" and error.code is not Code.BASE_VERSION_TOO_OLD:
            await services.documents.discard(caller, made.document_id)
        raise
    return made


def shown_as_made(response: Response, document: Listed) -> Document:
    response.headers["Location"] = f"/api/documents/{document.document_id}"
    return _shown(response, document)


def _shown(response: Response, document: Listed) -> Document:
    response.headers["ETag"] = etag(document.revision)
    return Document.model_validate(document)
