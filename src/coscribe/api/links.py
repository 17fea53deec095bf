"""Share links."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from coscribe.access.ids import MICROSECONDS, now
from coscribe.access.keys import LIFETIME
from coscribe.access.links import Opened
from coscribe.access.policy import Action
from coscribe.api.documents import DocumentId
from coscribe.api.models import WHOLE, Incoming, Moment, Outgoing, RoleName, Secret
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.services import Services

router = APIRouter(route_class=PolicyRoute, tags=["links"])

ALinkId = Annotated[str, Path(alias="linkId", max_length=64, examples=["lnk_0190c0ffee"])]
LinkRoleName = Literal["editor", "viewer"]

MAX_SECONDS = 10 * 365 * 86_400


class NewLink(Incoming):
    role: LinkRoleName = Field(description="editing needs an account all the same", examples=["viewer"])
    expires_in: Annotated[int, Field(ge=1, le=MAX_SECONDS), WHOLE] | None = Field(
        None, description="seconds; left out: until it is switched off", examples=[86_400]
    )


class LinkRow(Outgoing):
    link_id: str = Field(examples=["lnk_0190c0ffee"])
    role: LinkRoleName
    created_by: str | None
    created_at: Moment
    expires_at: Moment | None
    visitors: int = Field(description="accounts that came by it")


class MadeLink(LinkRow):
    url: str = Field(description="shown this once", examples=["https://notes.example/#link=csl_0aB..."])


class LinkList(Outgoing):
    items: list[LinkRow]


class LinkSecret(Incoming):
    secret: Secret


class OpenedLink(Outgoing):
    """A guest reads with the access token, and posts the secret again when it has expired."""

    document_id: str = Field(examples=["doc_0190c0ffee"])
    document_name: str
    role: RoleName
    link_role: LinkRoleName = Field(description="what the link gives to people with an account")
    guest: bool
    access_token: str | None = Field(description="for guests")
    expires_in: int | None = Field(description="seconds that the access token lasts")


@router.post(
    "/api/documents/{documentId}/links",
    status_code=201,
    openapi_extra=action(Action.MANAGE_MEMBERS, once="secret"),
)
async def create_link(
    document_id: DocumentId, body: NewLink, caller: ACaller, services: AServices, response: Response
) -> MadeLink:
    """A link for whoever has it."""
    expires_at = now() + body.expires_in * MICROSECONDS if body.expires_in is not None else None
    link, url = await services.links.create(caller, document_id, body.role, expires_at)
    response.headers["Location"] = f"/api/documents/{document_id}/links/{link.link_id}"
    return MadeLink(**link._asdict(), url=url)


@router.get("/api/documents/{documentId}/links", openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_links(document_id: DocumentId, caller: ACaller, services: AServices) -> LinkList:
    """The links that are open, at most 20; their secrets cannot be shown again."""
    found = await services.links.list(caller, document_id)
    return LinkList(items=[LinkRow.model_validate(link) for link in found])


@router.delete(
    "/api/documents/{documentId}/links/{linkId}", status_code=204, openapi_extra=action(Action.MANAGE_MEMBERS)
)
async def switch_off_link(document_id: DocumentId, link_id: ALinkId, caller: ACaller, services: AServices) -> None:
    """Whoever has only the link is out at once."""
    await services.links.switch_off(caller, document_id, link_id)


@router.post("/api/links/open", openapi_extra=action(Action.OPEN_LINK))
async def open_link(body: LinkSecret, caller: ACaller, services: AServices) -> OpenedLink:
    """Comes by a link: with an account it is kept among one's documents, without one it can be read."""
    opened = await services.links.open(caller, body.secret)
    token, seconds = _guest_token(services, opened) if opened.guest else (None, None)
    return OpenedLink(
        document_id=opened.document_id,
        document_name=opened.document_name,
        role=opened.role,
        link_role=opened.link_role,
        guest=opened.guest,
        access_token=token,
        expires_in=seconds,
    )


def _guest_token(services: Services, opened: Opened) -> tuple[str, int]:
    """A token for the link's document, no longer good than the link."""
    seconds = LIFETIME
    if opened.expires_at is not None:
        seconds = max(1, min(LIFETIME, (opened.expires_at - now()) // MICROSECONDS))
    token, _ = services.keys.sign("link", opened.document_id, opened.link_id, seconds=seconds)
    return token, seconds
