"""Groups: people under one name, to be members of documents together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from coscribe.access.groups import Group
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, Limit
from coscribe.api.models import SEEN, Incoming, Moment, Outgoing
from coscribe.api.route import (
    ACaller,
    ANeededIfMatch,
    AnIfMatch,
    AServices,
    PolicyRoute,
    action,
    etag,
    expected_revision,
)
from coscribe.api.users import UserRow

router = APIRouter(route_class=PolicyRoute, tags=["groups"])

AGroupId = Annotated[str, Path(alias="groupId", max_length=64, examples=["grp_0190c0ffee"])]
AUserId = Annotated[str, Path(alias="userId", max_length=64, examples=["usr_0190c0ffee"])]
GroupName = Annotated[str, Field(min_length=1, max_length=128, pattern=SEEN, examples=["The choir"])]


class GroupIn(Incoming):
    name: GroupName


class GroupRow(Outgoing):
    group_id: str = Field(examples=["grp_0190c0ffee"])
    name: GroupName
    owner: UserRow = Field(description="who changes it; need not be in it")
    members: int = Field(description="how many")
    created_at: Moment


class GroupList(Outgoing):
    items: list[GroupRow]
    next_cursor: str = Field(description="empty: nothing follows")


class NewGroupMember(Incoming):
    who: str = Field(min_length=1, max_length=64, description="an id or a handle", examples=["ann"])


class GroupMemberList(Outgoing):
    items: list[UserRow]
    next_cursor: str = Field(description="empty: nothing follows")


@router.post("/api/groups", status_code=201, openapi_extra=action(Action.MANAGE_GROUPS, once="answer"))
async def create_group(body: GroupIn, caller: ACaller, services: AServices, response: Response) -> GroupRow:
    """An empty group of one's own."""
    group = await services.groups.create(caller, body.name)
    response.headers["Location"] = f"/api/groups/{group.group_id}"
    return _shown(response, group)


@router.get("/api/groups", openapi_extra=action(Action.SEE_GROUPS))
async def list_groups(caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50) -> GroupList:
    """The groups that one owns or is in."""
    page = await services.groups.list(caller, cursor=cursor, limit=limit)
    return GroupList(items=[_row(group) for group in page.items], next_cursor=page.next_cursor)


@router.get("/api/groups/{groupId}", openapi_extra=action(Action.SEE_GROUPS))
async def see_group(group_id: AGroupId, caller: ACaller, services: AServices, response: Response) -> GroupRow:
    """One of one's groups."""
    return _shown(response, await services.groups.get(caller, group_id))


@router.patch("/api/groups/{groupId}", openapi_extra=action(Action.MANAGE_GROUPS))
async def rename_group(
    group_id: AGroupId,
    body: GroupIn,
    caller: ACaller,
    services: AServices,
    response: Response,
    if_match: ANeededIfMatch = None,
) -> GroupRow:
    """Another name; needs If-Match."""
    revision = expected_revision(if_match)
    return _shown(response, await services.groups.rename(caller, group_id, body.name, revision))


@router.delete("/api/groups/{groupId}", status_code=204, openapi_extra=action(Action.MANAGE_GROUPS))
async def delete_group(group_id: AGroupId, caller: ACaller, services: AServices, if_match: AnIfMatch = None) -> None:
    """Ends the group, and all access that it gave. With If-Match: only if nobody has changed it."""
    revision = expected_revision(if_match) if if_match is not None else None
    await services.groups.delete(caller, group_id, revision)


@router.get("/api/groups/{groupId}/members", openapi_extra=action(Action.SEE_GROUPS))
async def list_group_members(
    group_id: AGroupId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> GroupMemberList:
    """Who is in a group, by handle."""
    page = await services.groups.members(caller, group_id, cursor=cursor, limit=limit)
    rows = [UserRow.model_validate(profile) for profile in page.items]
    return GroupMemberList(items=rows, next_cursor=page.next_cursor)


@router.post(
    "/api/groups/{groupId}/members", status_code=201, openapi_extra=action(Action.MANAGE_GROUPS, once="answer")
)
async def add_group_member(group_id: AGroupId, body: NewGroupMember, caller: ACaller, services: AServices) -> UserRow:
    """Adds a person; who is in already stays."""
    return UserRow.model_validate(await services.groups.add_member(caller, group_id, body.who))


@router.delete("/api/groups/{groupId}/members/{userId}", status_code=204, openapi_extra=action(Action.MANAGE_GROUPS))
async def remove_group_member(group_id: AGroupId, user_id: AUserId, caller: ACaller, services: AServices) -> None:
    """Takes a person out of a group; members take themselves out."""
    await services.groups.remove_member(caller, group_id, user_id)


def _row(group: Group) -> GroupRow:
    owner = UserRow.model_validate(group.owner)
    return GroupRow(**{**group._asdict(), "owner": owner})


def _shown(response: Response, group: Group) -> GroupRow:
    response.headers["ETag"] = etag(group.revision)
    return _row(group)
