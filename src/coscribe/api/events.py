"""Access events of a document: who saw, changed, shared, was refused."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from coscribe.access.administration import Recorded
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, DocumentId, Limit
from coscribe.api.models import Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action

router = APIRouter(route_class=PolicyRoute, tags=["events"])


class AccessEvent(Outgoing):
    event_id: int
    time: Moment
    actor: str = Field(
        description="a user, user+token for a bot, guest+link, or the name in a token of the folder's key"
    )
    action: str
    outcome: str = Field(description="done, or the code of the refusal")
    document_id: str | None
    subject: str = Field(description="whom or what it was done to")
    address: str
    request_id: str
    detail: dict[str, Any]
    digest: str = Field(description="SHA-256 over the digest before and this event, in hex")


class EventList(Outgoing):
    items: list[AccessEvent]
    next_cursor: str


@router.get("/api/documents/{documentId}/events", openapi_extra=action(Action.SEE_EVENTS))
async def list_document_events(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> EventList:
    """The newest first."""
    await services.notes.flush()
    page = await services.administration.list_events(caller, document_id, cursor, limit)
    return EventList(items=[shown(event) for event in page.items], next_cursor=page.next_cursor)


def shown(event: Recorded) -> AccessEvent:
    return AccessEvent(
        event_id=event.event_id,
        time=event.time,
        actor=event.actor,
        action=event.action,
        outcome=event.outcome,
        document_id=event.workspace_id,
        subject=event.subject,
        address=event.address,
        request_id=event.request_id,
        detail=json.loads(event.detail),
        digest=event.digest.hex(),
    )
