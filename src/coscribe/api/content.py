"""The text by HTTP: read it as it is or was, replace it, send operations. The same pipeline as the sockets'."""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field, Strict

from coscribe.access.caller import Caller
from coscribe.access.policy import Action
from coscribe.api.documents import AKey, Document, DocumentId, make_document
from coscribe.api.models import NO_NUL, WHOLE, DocumentName, Incoming, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action, etag
from coscribe.core.errors import Code, CoscribeError
from coscribe.protocol import messages

router = APIRouter(route_class=PolicyRoute, tags=["content"])

AVersion = Annotated[
    str | None,
    Header(alias="If-Match", examples=['"v1"'], json_schema_extra={"pattern": '^"v[0-9]{1,15}"$', "x-required": True}),
]
Natural = Annotated[int, Field(ge=0, le=2**53 - 1), WHOLE]
OperationId = Annotated[str, Field(min_length=1, max_length=128, pattern="^[!-~]+$", examples=["k3x9:17"])]

_OF_DEVICES = re.compile("CON|PRN|AUX|NUL|(COM|LPT)[0-9¹²³]", re.IGNORECASE)
"""Names that some systems keep for themselves, with any ending."""

_TEXT_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "text/plain": {
                "schema": {"type": "string", "pattern": NO_NUL},
                "example": "The whole text, as it should be.\n",
            }
        },
    }
}


class Content(Outgoing):
    text: str
    document_version: int = Field(description="the version this text has; what a later edit is based on")
    server_sequence_id: int


class Placed(Outgoing):
    """Where an operation is in the order."""

    operation_id: str
    server_sequence_id: int
    document_version: int


class PlacedList(Outgoing):
    operations: list[Placed]


class Replaced(Outgoing):
    """``operation`` is missing where the text was that already."""

    document_version: int
    operation: Placed | None


class Replacement(Incoming):
    delete: Natural
    insert: str


Triple = Annotated[tuple[Natural, Natural, str], Strict(False)]
"""Of a batch: position, how much is deleted, what is inserted. Not strict: JSON has lists for tuples."""


class Edit(Incoming):
    """One edit, as on the WebSocket (docs/protocol.md, operation)."""

    operation_id: OperationId
    operation_type: Literal["insert", "delete", "replace", "batch"] = Field(examples=["insert"])
    position: Natural = Field(description="in Unicode code points")
    payload: str | Natural | Replacement | list[Triple] = Field(examples=["Hello"])
    restores: list[Natural] = Field([], max_length=1_000)
    origin: Literal["paste"] | None = Field(None, description="where what it inserts is from; kept in the log")


class Edits(Incoming):
    """One operation, or a chain of them, each based on the one before it and committed as a unit."""

    base_version: Natural = Field(description="the version that the first one was made for")
    operations: list[Edit] = Field(min_length=1, max_length=256)


@router.get(
    "/api/documents/{documentId}/content",
    openapi_extra=action(Action.READ_CONTENT),
    response_model=Content,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_content(
    document_id: DocumentId,
    caller: ACaller,
    services: AServices,
    response: Response,
    version: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="as it was at this version")] = None,
    accept: Annotated[str, Header(max_length=1_024)] = "",
) -> Any:
    """The text, durable. As JSON, or with `Accept: text/plain` as a file to keep. What it was at a past version is for
    those who may read the history."""
    if version is not None and version != (await services.collaboration.durable(caller.identity, document_id)).version:
        await services.documents.check(caller, Action.READ_HISTORY, document_id)
    at = await services.collaboration.text(caller.identity, document_id, version)
    services.notes.opened(caller, document_id)
    tag = f'"v{at.version}"'
    if "text/plain" in accept:
        name = (await services.documents.get(caller, document_id)).name
        headers = {"ETag": tag, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name(name))}"}
        return Response(at.text.encode(), headers=headers, media_type="text/plain; charset=utf-8")
    response.headers["ETag"] = tag
    return Content(text=at.text, document_version=at.version, server_sequence_id=at.sequence)


@router.put(
    "/api/documents/{documentId}/content",
    openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True) | _TEXT_BODY,
)
async def replace_content(
    document_id: DocumentId,
    request: Request,
    caller: ACaller,
    services: AServices,
    response: Response,
    if_match: AVersion = None,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Replaced:
    """The text as it should be, compared with the version it was read at (`If-Match: "v17"`): what differs becomes one
    operation, and what others have written since stays. With an Idempotency-Key it is safe to send again."""
    base_version = version_of(if_match)
    text = await text_of(request)
    operation_id = operation_id_of(caller, document_id, idempotency_key)
    place = await services.collaboration.replace_text(caller.identity, document_id, base_version, text, operation_id)
    if place is None:
        return Replaced(document_version=base_version, operation=None)
    response.headers["ETag"] = f'"v{place.document_version}"'
    return Replaced(document_version=place.document_version, operation=Placed.model_validate(place))


@router.post("/api/documents/{documentId}/operations", openapi_extra=action(Action.EDIT_CONTENT, by_pipeline=True))
async def send_operations(document_id: DocumentId, body: Edits, caller: ACaller, services: AServices) -> PlacedList:
    """Operations without a socket: durable when this answers; sent again they get the same places."""
    elements = [element.model_dump(by_alias=True, exclude_none=True) for element in body.operations]
    message: dict[str, Any] = {"fileId": document_id, "userId": caller.author, "baseVersion": body.base_version}
    converted: messages.Operation | messages.Chain
    try:
        if len(elements) == 1:
            converted = msgspec.convert({"type": "operation", **message, **elements[0]}, messages.Operation)
        else:
            converted = msgspec.convert({"type": "chain", **message, "operations": elements}, messages.Chain)
    except msgspec.ValidationError as error:
        raise CoscribeError(Code.INVALID_REQUEST, str(error)) from None
    places = await services.collaboration.edit(caller.identity, converted)
    return PlacedList(operations=[Placed.model_validate(place) for place in places])


@router.post(
    "/api/documents/import",
    status_code=201,
    openapi_extra=action(Action.CREATE_DOCUMENT, once="answer") | _TEXT_BODY,
)
async def import_document(
    request: Request,
    caller: ACaller,
    services: AServices,
    response: Response,
    name: Annotated[DocumentName, Query()],
    idempotency_key: AKey = None,
) -> Document:
    """A document from a text of any allowed size. CRLF and CR become LF."""
    made = await make_document(services, caller, name, await text_of(request), idempotency_key)
    response.headers["Location"] = f"/api/documents/{made.document_id}"
    response.headers["ETag"] = etag(made.revision)
    return Document.model_validate(made)


def file_name(name: str) -> str:
    """A document's name as one of a file on any system."""
    safe = "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in name).strip(". ")
    if _OF_DEVICES.fullmatch(safe.partition(".")[0]):
        safe = f"_{safe}"
    return f"{safe[:200] or 'document'}{'' if '.' in safe else '.txt'}"


async def text_of(request: Request) -> str:
    """Errors: ``unsupported_media_type``, ``invalid_text``."""
    media = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if media != "text/plain":
        raise CoscribeError(Code.UNSUPPORTED_MEDIA_TYPE, "send text/plain, in UTF-8")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise CoscribeError(Code.INVALID_TEXT, f"the body is not UTF-8: {error.reason} at {error.start}") from None


def version_of(if_match: str | None) -> int:
    """The version in ``"v17"``. Errors: ``precondition_required``, ``precondition_failed``."""
    if if_match is None:
        raise CoscribeError(Code.PRECONDITION_REQUIRED, 'send If-Match with the version that you read: "v17"')
    tag = if_match.strip().removeprefix("W/").strip('"')
    digits = tag.removeprefix("v")
    if not (tag.startswith("v") and digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise CoscribeError(Code.PRECONDITION_FAILED, 'If-Match names one version: "v17"')
    return int(digits)


def operation_id_of(caller: Caller, document_id: str, key: str | None) -> str:
    """Of an operation that a request makes: the same for the same key of the same author, so that sending it again is
    recognised."""
    if key is None:
        return f"http-{secrets.token_hex(8)}:1"
    return f"http-{blake2b(f'{caller.author} {document_id} {key}'.encode(), digest_size=16).hexdigest()}:1"
