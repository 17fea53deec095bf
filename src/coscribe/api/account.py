"""One's own account: profile, password, e-mail, data, the end of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from coscribe.access.accounts import User
from coscribe.access.policy import Action
from coscribe.api.models import DisplayName, Email, Handle, Incoming, Moment, NewPassword, Outgoing, Password, Secret
from coscribe.api.route import ACaller, ADoor, AnIfMatch, AServices, PolicyRoute, action, etag, expected_revision
from coscribe.api.session import Begin, Begun, begun, device_of, forget_cookie, kind_of

router = APIRouter(route_class=PolicyRoute, tags=["account"])

Color = Annotated[str, Field(pattern="^#[0-9a-f]{6}$", examples=["#1864ab"])]


class Account(Outgoing):
    user_id: str
    handle: str
    display_name: str
    color: str
    email: str | None = Field(description="verified")
    unverified_email: str | None = Field(description="matches no invitation and no search until it is verified")
    has_password: bool
    administrator: bool
    discoverable: bool = Field(description="whether others can find one by searching")
    created_at: Moment


class ProfileChange(Incoming):
    """What is left out stays as it is."""

    handle: Handle | None = None
    display_name: DisplayName | None = None
    color: Color | None = None
    discoverable: bool | None = None


class PasswordChange(Begin):
    current_password: str = Field("", max_length=256)
    new_password: NewPassword


class EmailChange(Incoming):
    email: Email
    current_password: str = Field("", max_length=256)


class WithSecret(Incoming):
    secret: Secret


class ResetRequest(Incoming):
    email: Email


class Reset(Incoming):
    secret: Secret
    new_password: NewPassword


class Confirmation(Incoming):
    current_password: Password | None = None


class Asked(Outgoing):
    """Done, or nothing to do: the answer does not say which."""

    detail: str


@router.get("/api/account", openapi_extra=action(Action.SEE_ACCOUNT))
async def see_account(caller: ACaller, services: AServices, response: Response) -> Account:
    """One's own account."""
    return _shown(response, await services.accounts.get(caller.need_account()))


@router.patch("/api/account", openapi_extra=action(Action.CHANGE_ACCOUNT))
async def change_account(
    body: ProfileChange, caller: ACaller, services: AServices, response: Response, if_match: AnIfMatch = None
) -> Account:
    """Changes the profile. If-Match is optional here: nobody else writes it."""
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    revision = None if if_match is None else expected_revision(if_match)
    return _shown(response, await services.accounts.change_profile(caller, revision, changes))


@router.put("/api/account/password", openapi_extra=action(Action.CHANGE_ACCOUNT))
async def change_password(
    body: PasswordChange, request: Request, response: Response, caller: ACaller, door: ADoor
) -> Begun:
    """Ends every session and socket, everywhere, and begins a new one here."""
    opened = await door.services.accounts.change_password(
        caller, body.current_password, body.new_password, kind_of(body), device_of(request)
    )
    return begun(door, response, body, opened)


@router.put("/api/account/email", status_code=202, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def change_email(body: EmailChange, caller: ACaller, services: AServices) -> Asked:
    """Sends a link to the new address; it counts once that has been opened."""
    await services.accounts.change_email(caller, body.current_password, body.email)
    return Asked(detail="A link is on its way to that address.")


@router.post("/api/account/email/verify", status_code=204, openapi_extra=action(Action.RECOVER))
async def verify_email(body: WithSecret, request: Request, services: AServices) -> None:
    """The secret of the link that came by mail."""
    await services.accounts.verify_email(body.secret, device_of(request).origin)


@router.post("/api/account/password/ask-reset", status_code=202, openapi_extra=action(Action.RECOVER))
async def ask_reset(body: ResetRequest, request: Request, services: AServices) -> Asked:
    """Sends a link, if the address belongs to somebody; the answer is the same if it does not."""
    await services.accounts.ask_reset(body.email, device_of(request).origin)
    return Asked(detail="If the address belongs to an account, a link is on its way to it.")


@router.post("/api/account/password/reset", status_code=204, openapi_extra=action(Action.RECOVER))
async def reset(body: Reset, request: Request, services: AServices) -> None:
    """Sets a new password with the secret of the link, and ends every session."""
    await services.accounts.reset(body.secret, body.new_password, device_of(request).origin)


@router.get("/api/account/export", openapi_extra=action(Action.EXPORT_ACCOUNT))
async def export_account(caller: ACaller, services: AServices, response: Response) -> dict[str, Any]:
    """Everything stored about one, without secrets. The texts are exported document by document."""
    response.headers["Content-Disposition"] = 'attachment; filename="account.json"'
    return await services.accounts.export(caller)


@router.post("/api/account/delete", status_code=204, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def delete_account(body: Confirmation, caller: ACaller, door: ADoor, response: Response) -> None:
    """Erases the person. Documents that nobody else has go too; what was written elsewhere stays, by nobody."""
    services = door.services
    await services.accounts.delete(caller, body.current_password or "")
    await services.documents.purge()
    forget_cookie(door, response)


def _shown(response: Response, user: User) -> Account:
    response.headers["ETag"] = etag(user.revision)
    return Account(
        user_id=user.user_id,
        handle=user.handle,
        display_name=user.display_name,
        color=user.color,
        email=user.email,
        unverified_email=user.unverified_email,
        has_password=user.has_password,
        administrator=user.is_admin,
        discoverable=user.discoverable,
        created_at=user.created_at,
    )
