"""The server's administrators: accounts, all documents, all access events, signing keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import StreamingResponse

from coscribe.access.accounts import User
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, Document, DocumentList, Limit
from coscribe.api.events import EventList, shown
from coscribe.api.models import Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.services import Services
from coscribe.core.errors import Code, CoscribeError

router = APIRouter(route_class=PolicyRoute, tags=["administration"])

UserId = Annotated[str, Path(alias="userId", max_length=64, examples=["usr_0190c0ffee"])]
Part = Annotated[str, Query(max_length=256)]


class AdminUser(Outgoing):
    user_id: str
    handle: str
    display_name: str
    email: str | None
    administrator: bool
    status: Literal["active", "locked"]
    created_at: Moment


class AdminUserList(Outgoing):
    items: list[AdminUser]
    next_cursor: str


class UserChange(Incoming):
    """What is left out stays as it is."""

    locked: bool | None = Field(None, description="a locked account loses every session, token and socket at once")
    administrator: bool | None = None


class Key(Outgoing):
    key_id: str


class OneTimeLink(Outgoing):
    url: str = Field(description="works once; it replaces the links before")


@router.post("/api/admin/setup-link", status_code=201, openapi_extra=action(Action.ADMINISTER_SERVER))
async def make_setup_link(services: AServices) -> OneTimeLink:
    """A fresh link to make the first administrator, for who holds the folder's key. `conflict` where there is one."""
    url = await services.accounts.setup_link()
    if url is None:
        raise CoscribeError(Code.CONFLICT, "there is an administrator")
    return OneTimeLink(url=url)


@router.get("/api/admin/users", openapi_extra=action(Action.ADMINISTER_USERS))
async def list_users(services: AServices, query: Part = "", cursor: Cursor = "", limit: Limit = 50) -> AdminUserList:
    """All accounts, by handle."""
    page = await services.administration.list_users(query, cursor, limit)
    return AdminUserList(items=[_shown(user) for user in page.items], next_cursor=page.next_cursor)


@router.get("/api/admin/users/{userId}", openapi_extra=action(Action.ADMINISTER_USERS))
async def see_user(user_id: UserId, services: AServices) -> AdminUser:
    return _shown(await services.administration.get_user(user_id))


@router.patch("/api/admin/users/{userId}", openapi_extra=action(Action.ADMINISTER_USERS))
async def change_user(user_id: UserId, body: UserChange, caller: ACaller, services: AServices) -> AdminUser:
    """Locks, unlocks, promotes, demotes."""
    change = services.administration.change_user
    return _shown(await change(caller, user_id, locked=body.locked, administrator=body.administrator))


@router.post("/api/admin/users/{userId}/sign-out", status_code=204, openapi_extra=action(Action.ADMINISTER_USERS))
async def sign_out_user(user_id: UserId, caller: ACaller, services: AServices) -> None:
    """Ends every session of somebody and revokes their tokens."""
    await services.administration.sign_out(caller, user_id)


@router.post(
    "/api/admin/users/{userId}/reset-link",
    status_code=201,
    openapi_extra=action(Action.ADMINISTER_USERS, once="secret"),
)
async def make_reset_link(user_id: UserId, caller: ACaller, services: AServices) -> OneTimeLink:
    """A link to a new password, good for an hour, to hand to somebody who has no verified address."""
    return OneTimeLink(url=await services.accounts.reset_link(caller, user_id))


@router.get("/api/admin/documents", openapi_extra=action(Action.ADMINISTER_SERVER))
async def list_all_documents(
    services: AServices, query: Part = "", cursor: Cursor = "", limit: Limit = 50
) -> DocumentList:
    """All documents of the server: names and states, no text."""
    page = await services.documents.everything(query, cursor, limit)
    return DocumentList(items=[Document.model_validate(item) for item in page.items], next_cursor=page.next_cursor)


@router.post("/api/admin/signing-keys", status_code=201, openapi_extra=action(Action.ADMINISTER_SERVER))
async def rotate_signing_key(caller: ACaller, services: AServices) -> Key:
    """New access tokens are signed with a new key; those that are out stay good until they expire."""
    return Key(key_id=await services.administration.rotate_key(caller))


@router.get("/api/admin/events", openapi_extra=action(Action.ADMINISTER_SERVER))
async def list_events(caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50) -> EventList:
    """All access events, the newest first."""
    await services.notes.flush()
    page = await services.administration.list_events(caller, None, cursor, limit)
    return EventList(items=[shown(event) for event in page.items], next_cursor=page.next_cursor)


@router.get(
    "/api/admin/events/export",
    openapi_extra=action(Action.ADMINISTER_SERVER),
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_events(services: AServices) -> StreamingResponse:
    """All access events as they are stored, the oldest first, one JSON object a line.

    `digest` is SHA-256 over the digest before (32 zero bytes at first) and the line without `event_id` and `digest`, as
    JSON with sorted keys in UTF-8 and Python's separators (`", "` and `": "`).
    """
    await services.notes.flush()
    headers = {"Content-Disposition": 'attachment; filename="access-events.ndjson"'}
    return StreamingResponse(_lines(services), media_type="application/x-ndjson", headers=headers)


async def _lines(services: Services) -> AsyncIterator[str]:
    async for page in services.administration.export_events():
        yield "".join(
            f"{json.dumps(event._asdict() | {'digest': event.digest.hex()}, ensure_ascii=False)}\n" for event in page
        )


def _shown(user: User) -> AdminUser:
    return AdminUser(
        user_id=user.user_id,
        handle=user.handle,
        display_name=user.display_name,
        email=user.email,
        administrator=user.is_admin,
        status="locked" if user.status == "locked" else "active",
        created_at=user.created_at,
    )
