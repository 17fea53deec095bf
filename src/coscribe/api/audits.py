"""The audit of a document or workspace by somebody who does not trust the server: signed checkpoints, and the key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from coscribe.access.auditing import KeyRing
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, DocumentId, Limit
from coscribe.api.models import Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.documents.proofs import AuditCheckpoint

router = APIRouter(route_class=PolicyRoute, tags=["audit"])


class Checkpoint(Outgoing):
    """What was signed, field by field; keep it whole, elsewhere."""

    format: str
    workspace_id: str
    incarnation: str
    number: int = Field(description="of this workspace: 1, 2, 3 ...")
    sequence: int
    chain_hash: str = Field(description="of the log at that sequence")
    event: int = Field(description="number of the server's last access event")
    event_digest: str
    own_events: int = Field(description="how many were about this workspace")
    own_digest: str = Field(description="over the digests of those")
    made_at: int = Field(description="microseconds since 1970")
    previous: str = Field(description="SHA-256 of what was signed before, 64 zeros at first")
    key_id: str
    signature: str = Field(description="Ed25519, over the other fields as JSON without spaces, in this order")


class CheckpointList(Outgoing):
    items: list[Checkpoint]
    next_cursor: str


class ChangeOfKey(Outgoing):
    """A key that took the place of another; both have signed that."""

    format: str
    before: str
    after: str
    made_at: int
    signature: str
    counter_signature: str


class AuditKey(Outgoing):
    """The public key that signs checkpoints now, and the ones before it."""

    key_id: str
    public_key: str
    changes: list[ChangeOfKey]


@router.get("/api/audit/key", openapi_extra=action(Action.SEE_SERVER))
async def see_audit_key(services: AServices) -> AuditKey:
    """Keep it elsewhere: with it whatever this server signs can be checked without this server."""
    return _ring(await services.audits.ring())


@router.post("/api/admin/audit-keys", status_code=201, openapi_extra=action(Action.ADMINISTER_SERVER))
async def change_audit_key(caller: ACaller, services: AServices) -> AuditKey:
    """Checkpoints are signed with a new key from now on; the one before signs the change."""
    return _ring(await services.audits.change_key(caller))


@router.get("/api/documents/{documentId}/checkpoints", openapi_extra=action(Action.SEE_CHECKPOINTS))
async def list_checkpoints(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 1
) -> CheckpointList:
    """The newest first: one, unless more are asked for. Who keeps one can show later that history was changed."""
    page = await services.audits.list(caller, document_id, cursor, limit)
    return CheckpointList(items=[_shown(found) for found in page.items], next_cursor=page.next_cursor)


@router.post("/api/documents/{documentId}/checkpoints", status_code=201, openapi_extra=action(Action.AUDIT_DOCUMENT))
async def take_checkpoint(document_id: DocumentId, caller: ACaller, services: AServices) -> Checkpoint:
    """A signed checkpoint of now; where nothing has happened since the newest one, that."""
    await services.notes.flush()
    return _shown(await services.audits.take(caller, document_id))


@router.get(
    "/api/documents/{documentId}/audit",
    openapi_extra=action(Action.AUDIT_DOCUMENT),
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_bundle(
    document_id: DocumentId,
    caller: ACaller,
    services: AServices,
    checkpoint: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="up to that one; else up to one that is taken now")
    ] = None,
) -> StreamingResponse:
    """All that happened in it, up to an audit checkpoint, as JSON lines that prove themselves: `coscribe verify` needs
    nothing but them and the public key. The last line has the type `end`; without it the bundle is not whole."""
    await services.notes.flush()
    lines = await services.bundles.export(caller, document_id, checkpoint)
    headers = {"Content-Disposition": f'attachment; filename="{document_id}.audit.ndjson"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _shown(found: AuditCheckpoint) -> Checkpoint:
    return Checkpoint.model_validate(found)


def _ring(ring: KeyRing) -> AuditKey:
    return AuditKey(
        key_id=ring.key_id,
        public_key=ring.public,
        changes=[ChangeOfKey.model_validate(change) for change in ring.changes],
    )
