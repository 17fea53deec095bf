"""How long the history of a document is kept, and legal holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from coscribe.access.policy import Action
from coscribe.access.retention import RetentionOf
from coscribe.api.documents import DocumentId
from coscribe.api.models import SEEN, WHOLE, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action

router = APIRouter(route_class=PolicyRoute, tags=["retention"])


class NewRetention(Incoming):
    days: Annotated[int, Field(ge=0, le=36_500), WHOLE] | None = Field(
        description="what is older may be deleted; 0: nothing is, none: as the server's settings say", examples=[365]
    )


class NewHold(Incoming):
    reason: str = Field(min_length=1, max_length=500, pattern=SEEN, examples=["Example versus Example, 2026"])


class Hold(Outgoing):
    reason: str
    held_by: str
    held_at: Moment


class PrunedHistory(Outgoing):
    """All up to `sequence` was deleted; the history begins with `version`."""

    sequence: int
    version: int
    last_time: Moment = Field(description="of the last operation that was deleted")


class Retention(Outgoing):
    days: int = Field(description="that history is kept; 0: for ever")
    own: bool = Field(description="whether the document says so, or the server's settings")
    hold: Hold | None = Field(description="while there is one, nothing of the document is deleted")
    pruned: PrunedHistory | None


@router.get("/api/documents/{documentId}/retention", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def see_retention(document_id: DocumentId, caller: ACaller, services: AServices) -> Retention:
    """How long its history is kept, whether it is under legal hold, and what was deleted already."""
    return _shown(await services.retention.get(caller, document_id))


@router.put("/api/documents/{documentId}/retention", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def set_retention(document_id: DocumentId, body: NewRetention, caller: ACaller, services: AServices) -> Retention:
    """How long its history is kept from now on. What is deleted stays deleted."""
    return _shown(await services.retention.set(caller, document_id, body.days))


@router.put("/api/admin/documents/{documentId}/hold", openapi_extra=action(Action.HOLD_DOCUMENTS))
async def hold_document(document_id: DocumentId, body: NewHold, caller: ACaller, services: AServices) -> Retention:
    """Puts it under legal hold: nothing of it is deleted, whoever asks, until the hold is released."""
    return _shown(await services.retention.hold(caller, document_id, body.reason.strip()))


@router.delete("/api/admin/documents/{documentId}/hold", openapi_extra=action(Action.HOLD_DOCUMENTS))
async def release_document(document_id: DocumentId, caller: ACaller, services: AServices) -> Retention:
    """Ends the legal hold."""
    return _shown(await services.retention.release(caller, document_id))


def _shown(found: RetentionOf) -> Retention:
    return Retention.model_validate(found)
