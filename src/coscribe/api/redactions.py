"""Redaction: a text that must not be known is taken out of everything, for good."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from coscribe.access.policy import Action
from coscribe.access.redactions import Order, Redacted
from coscribe.api.documents import DocumentId
from coscribe.api.models import NO_NUL, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.redaction import REACH, expression, literal

router = APIRouter(route_class=PolicyRoute, tags=["redaction"])


class NewRedaction(Incoming):
    """With `dryRun` nothing changes: the answer says where it is."""

    text: str = Field("", max_length=REACH, description="what is to go", examples=["AKIA-not-a-real-key"])
    reason: str = Field(
        "", max_length=500, pattern=NO_NUL, description="for whoever looks later; not the text itself: this stays"
    )
    dry_run: bool = False


class NewRedactionOfAll(NewRedaction):
    pattern: str = Field("", max_length=REACH, description="in place of `text`: a regular expression (Python's)")
    document_ids: list[str] | None = Field(
        None, max_length=1_000, description="documents, workspaces, or files in them; none: all there are"
    )


class RedactedPlace(Outgoing):
    """An operation by which it came to be there."""

    workspace: str
    file: str
    kind: Literal["text", "name", "content", "checkpoint"] = Field(
        description="`content`: one that is no text; `checkpoint`: what a pruned log begins with"
    )
    version: int
    sequence: int
    author: str
    time: Moment


class RedactedAll(Outgoing):
    done: bool
    places: list[RedactedPlace]
    more: int = Field(description="places that are only counted")
    present: int = Field(description="how often it was in present texts, names and contents")
    entries: int
    snapshots: int
    names: int = Field(description="of documents and versions")
    contents: int = Field(description="that are no text")
    workspaces: int
    events: int = Field(description="access events that have it in their details; they are chained, and stay")
    files: list[str] = Field(
        description="files below working trees that have it still, as they are no part of the workspace"
    )
    emptied: bool = Field(
        description="whether nothing of it is left in free parts of the database; else ask again when nobody reads it"
    )


@router.post("/api/documents/{documentId}/redactions", openapi_extra=action(Action.REDACT_DOCUMENT))
async def redact_document(
    document_id: DocumentId, body: NewRedaction, caller: ACaller, services: AServices
) -> RedactedAll:
    """Takes a text out of a document or a workspace: its texts, its history, names, snapshots, contents that are no
    text, and its files on the server's disk. It cannot be taken back. Whoever has it open joins again; whoever would
    bring the text back is refused with `text_redacted`. Backups and exported bundles have it still."""
    return await _redact(body, _order(body, "", [document_id]), caller, services)


@router.post("/api/admin/redactions", openapi_extra=action(Action.REDACT_EVERYTHING))
async def redact_everything(body: NewRedactionOfAll, caller: ACaller, services: AServices) -> RedactedAll:
    """The same of several documents, or of all."""
    return await _redact(body, _order(body, body.pattern, body.document_ids), caller, services)


async def _redact(body: NewRedaction, order: Order, caller: ACaller, services: AServices) -> RedactedAll:
    if body.dry_run:
        return _shown(await services.redactions.look(order))
    return _shown(await services.redactions.redact(caller, order))


def _order(body: NewRedaction, wanted: str, document_ids: list[str] | None) -> Order:
    """Errors: ``invalid_request``."""
    if bool(body.text) == bool(wanted):
        raise CoscribeError(Code.INVALID_REQUEST, "give a text or a pattern, one of them")
    reason = body.reason.strip()
    pattern = literal(body.text) if body.text else expression(wanted)
    if not body.dry_run and not reason:
        raise CoscribeError(Code.INVALID_REQUEST, "give a reason: it is recorded")
    if pattern.search(reason):
        raise CoscribeError(Code.INVALID_REQUEST, "the reason has it in it, and the reason stays")
    return Order(pattern, document_ids, reason)


def _shown(found: Redacted) -> RedactedAll:
    return RedactedAll.model_validate(found)
