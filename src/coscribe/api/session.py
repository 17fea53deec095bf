"""Signing in and out, setting up, recovering: everything that begins or ends a session."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from coscribe.access.accounts import NewAccount
from coscribe.access.authentication import SESSION_LIFETIME
from coscribe.access.ids import MICROSECONDS
from coscribe.access.policy import Action
from coscribe.access.sessions import Device, Opened, SessionKind
from coscribe.api.models import DisplayName, Email, Handle, Incoming, Moment, NewPassword, Outgoing, Password, Secret
from coscribe.api.route import ACaller, ADoor, AServices, Door, PolicyRoute, action
from coscribe.core.errors import Code, CoscribeError

router = APIRouter(route_class=PolicyRoute, tags=["sessions"])

SessionId = Annotated[str, Path(alias="sessionId", max_length=64, examples=["ses_0190c0ffee"])]


class Elsewhere(Outgoing):
    name: str = Field(description="its name in addresses", examples=["school"])
    label: str = Field(description="its name for people", examples=["Our school"])


class Server(Outgoing):
    """What a page needs to know before anybody has signed in."""

    needs_setup: bool = Field(description="there is no administrator yet: open the link that the server printed")
    open_sign_up: bool = Field(description="whether an account needs no invitation")
    providers: list[Elsewhere] = Field(description="where else one can sign in")


class Begin(Incoming):
    """``cookie``: for browsers; without it tokens are answered."""

    cookie: bool = False


class SetUp(Begin):
    secret: Secret
    handle: Handle
    display_name: DisplayName
    password: NewPassword
    email: Email | None = None


class SignUp(Begin):
    handle: Handle
    display_name: DisplayName
    password: NewPassword
    email: Email | None = None
    invitation: Secret | None = Field(None, description="the secret of an invitation, where one is needed")


class SignIn(Begin):
    name: str = Field(min_length=1, max_length=320, description="handle or verified e-mail address", examples=["ann"])
    password: Password


class Refresh(Incoming):
    refresh_token: Secret


class Begun(Outgoing):
    """A session has begun. With a cookie: ``csrfToken``; else the tokens."""

    session_id: str
    user_id: str
    csrf_token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: Annotated[int | None, Field(description="seconds that the access token lasts")] = None


class Renewed(Outgoing):
    access_token: str
    refresh_token: str
    expires_in: int


class AccessToken(Outgoing):
    access_token: str
    expires_in: int


class Who(Outgoing):
    """Who the request was made by."""

    kind: Literal["nobody", "session", "token", "link", "folder"]
    user_id: str
    author: str = Field(description="how edits are signed")
    display_name: str
    color: str
    administrator: bool
    scope: Literal["read", "edit", "manage"] | None
    document_id: str | None = Field(description="the only document the credential is for")
    csrf_token: str | None = Field(description="to be sent as X-CSRF-Token with everything that changes something")


class SessionRow(Outgoing):
    session_id: str
    kind: str
    client: str
    address: str
    created_at: Moment
    used_at: Moment
    expires_at: Moment
    current: bool = False


class SessionList(Outgoing):
    items: list[SessionRow]


@router.get("/api/server", openapi_extra=action(Action.SEE_SERVER))
async def see_server(services: AServices) -> Server:
    """What this server offers."""
    return Server(
        needs_setup=await services.accounts.needs_setup(),
        open_sign_up=services.accounts.open_sign_up,
        providers=[Elsewhere(name=one.name, label=one.label or one.name) for one in services.external.providers],
    )


@router.post("/api/setup", status_code=201, openapi_extra=action(Action.SET_UP))
async def set_up(body: SetUp, request: Request, response: Response, door: ADoor) -> Begun:
    """Makes the first administrator, with the secret of the link that the server printed."""
    opened = await door.services.accounts.set_up(body.secret, _account(body), kind_of(body), device_of(request))
    return begun(door, response, body, opened)


@router.post("/api/accounts", status_code=201, openapi_extra=action(Action.SIGN_UP))
async def sign_up(body: SignUp, request: Request, response: Response, door: ADoor) -> Begun:
    """Makes an account and signs in."""
    opened = await door.services.accounts.sign_up(_account(body), kind_of(body), device_of(request))
    return begun(door, response, body, opened)


@router.post("/api/session", status_code=201, openapi_extra=action(Action.SIGN_IN))
async def sign_in(body: SignIn, request: Request, response: Response, door: ADoor, caller: ACaller) -> Begun:
    """Begins a session. One that the browser had before ends."""
    opened = await door.services.accounts.sign_in(body.name, body.password, kind_of(body), device_of(request))
    if caller.kind == "session" and getattr(request.state, "by_cookie", False):
        await door.services.sessions.end(caller, caller.credential_id)
    return begun(door, response, body, opened)


@router.get("/api/session", openapi_extra=action(Action.SEE_SERVER))
async def who(caller: ACaller, door: ADoor) -> Who:
    """Who the request was made by, nobody included."""
    return Who(
        kind=caller.kind,
        user_id=caller.account,
        author=caller.author,
        display_name=caller.display_name,
        color=caller.color,
        administrator=caller.administrator,
        scope=caller.scope,
        document_id=caller.workspace or None,
        csrf_token=door.csrf_token(caller.credential_id) if caller.kind == "session" else None,
    )


@router.delete("/api/session", status_code=204, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def sign_out(caller: ACaller, door: ADoor, response: Response) -> None:
    """Ends this session, with its tokens and sockets."""
    if caller.kind != "session":
        raise CoscribeError(Code.PERMISSION_DENIED, "this is no session")
    await door.services.sessions.end(caller, caller.credential_id)
    forget_cookie(door, response)


@router.post("/api/session/refresh", openapi_extra=action(Action.RENEW_SESSION))
async def refresh(body: Refresh, request: Request, services: AServices) -> Renewed:
    """New tokens for a refresh token, which is used up. Used twice, it ends the session: somebody has a copy."""
    renewed = await services.sessions.refresh(body.refresh_token, device_of(request).origin)
    return Renewed.model_validate(renewed)


@router.post("/api/session/access-token", openapi_extra=action(Action.CHANGE_ACCOUNT))
async def access_token(caller: ACaller, services: AServices) -> AccessToken:
    """A short-lived token of this session: what a page says hello with on the WebSocket."""
    if caller.kind != "session":
        raise CoscribeError(Code.PERMISSION_DENIED, "this is no session")
    token, seconds = services.sessions.access_token(caller.credential_id, caller.account)
    return AccessToken(access_token=token, expires_in=seconds)


@router.get("/api/sessions", openapi_extra=action(Action.CHANGE_ACCOUNT))
async def list_sessions(caller: ACaller, services: AServices) -> SessionList:
    """Where one is signed in."""
    found = await services.sessions.list(caller)
    rows = [SessionRow.model_validate(row) for row in found]
    for row in rows:
        row.current = row.session_id == caller.credential_id
    return SessionList(items=rows)


@router.delete("/api/sessions/{sessionId}", status_code=204, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def end_session(session_id: SessionId, caller: ACaller, services: AServices) -> None:
    """Signs out somewhere else."""
    await services.sessions.end(caller, session_id)


@router.delete("/api/sessions", status_code=204, openapi_extra=action(Action.CHANGE_ACCOUNT))
async def sign_out_everywhere(caller: ACaller, door: ADoor, response: Response) -> None:
    """Ends every session, with its tokens and sockets; this one too."""
    await door.services.sessions.end_all(caller)
    forget_cookie(door, response)


# ---- for the other modules that begin sessions


def device_of(request: Request) -> Device:
    caller = request.state.caller
    return Device(request.headers.get("user-agent", "")[:256], caller.origin)


def begun(door: Door, response: Response, body: Begin, opened: Opened) -> Begun:
    """The answer that begins a session: a cookie, or tokens."""
    answer = Begun(session_id=opened.session_id, user_id=opened.user_id)
    if body.cookie:
        set_cookie(door, response, opened.secret)
        answer.csrf_token = door.csrf_token(opened.session_id)
    else:
        tokens = door.services.sessions.tokens(opened)
        answer.access_token, answer.refresh_token, answer.expires_in = tokens
    return answer


def set_cookie(door: Door, response: Response, secret: str) -> None:
    response.set_cookie(
        door.cookie,
        secret,
        max_age=SESSION_LIFETIME // MICROSECONDS,
        path="/",
        secure=door.secure,
        httponly=True,
        samesite="lax",
    )


def forget_cookie(door: Door, response: Response) -> None:
    response.delete_cookie(door.cookie, path="/", secure=door.secure, httponly=True, samesite="lax")


def kind_of(body: Begin) -> SessionKind:
    return "browser" if body.cookie else "api"


def _account(body: SetUp | SignUp) -> NewAccount:
    invitation = (body.invitation or "") if isinstance(body, SignUp) else ""
    return NewAccount(body.handle, body.display_name, body.password, body.email or "", invitation)
