"""Asking for access to a document, and answering who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, DocumentId, Limit
from coscribe.api.models import Incoming, Moment, Outgoing, RoleName
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.users import UserRow

router = APIRouter(route_class=PolicyRoute, tags=["access requests"])

RequestId = Annotated[str, Path(alias="requestId", max_length=64)]


class Asking(Incoming):
    message: str = Field("", max_length=500, description="for the owners")


class Granting(Incoming):
    role: RoleName


class AccessRequest(Outgoing):
    request_id: str
    person: UserRow
    message: str
    asked_at: Moment
    expires_at: Moment


class AccessRequestList(Outgoing):
    items: list[AccessRequest]
    next_cursor: str


@router.post("/api/documents/{documentId}/access-requests", status_code=202, openapi_extra=action(Action.ASK_ACCESS))
async def ask_access(document_id: DocumentId, caller: ACaller, services: AServices, body: Asking | None = None) -> None:
    """Asks the owners for access. The answer is the same whether there is such a document or not, and whatever becomes
    of it; who is let in finds it among their documents. Asked again, the newer message counts."""
    await services.requests.ask(caller, document_id, body.message if body is not None else "")


@router.get("/api/documents/{documentId}/access-requests", openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_access_requests(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> AccessRequestList:
    """Who asks, the oldest first. After 30 days a request is over."""
    page = await services.requests.pending(caller, document_id, cursor=cursor, limit=limit)
    return AccessRequestList(
        items=[AccessRequest.model_validate(request) for request in page.items], next_cursor=page.next_cursor
    )


@router.post(
    "/api/documents/{documentId}/access-requests/{requestId}/grant",
    status_code=204,
    openapi_extra=action(Action.MANAGE_MEMBERS),
)
async def grant_access(
    document_id: DocumentId, request_id: RequestId, body: Granting, caller: ACaller, services: AServices
) -> None:
    """Makes a member of who asked. A better role that they have by now stays."""
    await services.requests.grant(caller, document_id, request_id, body.role)


@router.post(
    "/api/documents/{documentId}/access-requests/{requestId}/decline",
    status_code=204,
    openapi_extra=action(Action.MANAGE_MEMBERS),
)
async def decline_access(document_id: DocumentId, request_id: RequestId, caller: ACaller, services: AServices) -> None:
    """They are not told, and may ask again."""
    await services.requests.decline(caller, document_id, request_id)
