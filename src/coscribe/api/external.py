"""Signing in elsewhere, and the identities that one has there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from coscribe.access.external import ATTEMPT_SECONDS, Answer
from coscribe.access.policy import Action
from coscribe.api.models import Incoming, Moment, Outgoing, Password, Secret
from coscribe.api.route import ACaller, ADoor, AServices, Door, PolicyRoute, action
from coscribe.api.session import device_of, set_cookie
from coscribe.core.errors import CoscribeError

router = APIRouter(route_class=PolicyRoute, tags=["sessions elsewhere"])

COOKIE = "__Host-coscribe-oidc"
LOOPBACK_COOKIE = "coscribe-oidc-loopback"
"""What a browser keeps while somebody is at the provider; the second where there is no TLS, on loopback only."""

ProviderName = Annotated[str, Path(alias="provider", pattern="^[a-z0-9][a-z0-9-]{0,31}$", examples=["school"])]
FromProvider = Annotated[str, Query(max_length=4_096, pattern="^[ -~]*$")]


class ExternalBegin(Incoming):
    invitation: Secret | None = Field(None, description="of an invitation; counts if a new account is made")


class Reauthentication(Incoming):
    current_password: Password | None = Field(None, description="needed where the account has one")


class ExternalBegun(Outgoing):
    url: str = Field(description="where to send the browser now", examples=["https://id.school.example/authorize?..."])


class IdentityRow(Outgoing):
    provider: str | None = Field(description="none: this server does not offer it any more")
    issuer: str
    linked_at: Moment


class IdentityList(Outgoing):
    items: list[IdentityRow]


@router.post("/api/session/external/{provider}", openapi_extra=action(Action.SIGN_IN))
async def begin_external(
    provider: ProviderName, body: ExternalBegin, request: Request, response: Response, door: ADoor
) -> ExternalBegun:
    """Begins to sign in at a provider: sets a cookie for ten minutes; then the browser goes to the address."""
    origin = device_of(request).origin
    url, binding = await door.services.external.begin(provider, body.invitation or "", origin)
    _bind(door, response, binding)
    return ExternalBegun(url=url)


@router.get(
    "/api/session/external/{provider}/callback",
    status_code=303,
    response_class=RedirectResponse,
    openapi_extra=action(Action.SIGN_IN),
)
async def come_back(
    provider: ProviderName,
    request: Request,
    door: ADoor,
    caller: ACaller,
    state: FromProvider = "",
    code: FromProvider = "",
    error: FromProvider = "",
    iss: FromProvider = "",
) -> RedirectResponse:
    """Where the provider sends the browser. Goes on to `/`, with a session; to `/#linked=PROVIDER`; or to
    `/#error=CODE`. A session that the browser had before ends."""
    services, binding = door.services, request.cookies.get(_cookie(door), "")
    try:
        opened = await services.external.finish(provider, Answer(state, code, error, iss), binding, device_of(request))
    except CoscribeError as refusal:
        response = RedirectResponse(f"/#error={refusal.code.value.code}", 303)
    else:
        response = RedirectResponse("/" if opened else f"/#linked={provider}", 303)
        if opened is not None:
            if caller.kind == "session" and getattr(request.state, "by_cookie", False):
                await services.sessions.end(caller, caller.credential_id)
            set_cookie(door, response, opened.secret)
    response.delete_cookie(_cookie(door), path="/", secure=door.secure, httponly=True, samesite="lax")
    return response


@router.get("/api/account/external", openapi_extra=action(Action.SEE_ACCOUNT))
async def list_identities(caller: ACaller, services: AServices) -> IdentityList:
    """Where else one can sign in to one's account."""
    found = await services.external.list(caller)
    return IdentityList(items=[IdentityRow.model_validate(row) for row in found])


@router.post("/api/account/external/{provider}", openapi_extra=action(Action.CHANGE_ACCOUNT))
async def link_identity(
    provider: ProviderName, body: Reauthentication, response: Response, caller: ACaller, door: ADoor
) -> ExternalBegun:
    """Begins to add an identity to one's account, like signing in there."""
    url, binding = await door.services.external.begin_link(caller, provider, body.current_password or "")
    _bind(door, response, binding)
    return ExternalBegun(url=url)


@router.delete("/api/account/external/{provider}", status_code=204, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def unlink_identity(provider: ProviderName, body: Reauthentication, caller: ACaller, services: AServices) -> None:
    """Takes an identity away from one's account, unless it is the only way in."""
    await services.external.unlink(caller, provider, body.current_password or "")


def _cookie(door: Door) -> str:
    return COOKIE if door.secure else LOOPBACK_COOKIE


def _bind(door: Door, response: Response, binding: str) -> None:
    response.set_cookie(
        _cookie(door), binding, max_age=ATTEMPT_SECONDS, path="/", secure=door.secure, httponly=True, samesite="lax"
    )
