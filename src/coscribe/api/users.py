"""Finding people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from coscribe.access.directory import MAX_QUERY, MIN_QUERY
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, Limit
from coscribe.api.models import Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action

router = APIRouter(route_class=PolicyRoute, tags=["users"])

AQuery = Annotated[
    str,
    Query(
        alias="query",
        min_length=MIN_QUERY,
        max_length=MAX_QUERY,
        pattern=r"^[^\x00]*[^\s@\x00][^\x00]*[^\s@\x00][^\x00]*$",  # two that are no blanks
        description="part of a name or handle, or a whole e-mail address",
        examples=["ann"],
    ),
]


class UserRow(Outgoing):
    """What everybody may know of a person."""

    user_id: str = Field(examples=["usr_0190c0ffee"])
    handle: str = Field(examples=["ann"])
    display_name: str = Field(examples=["Ann Example"])
    color: str = Field(examples=["#1864ab"])


class UserList(Outgoing):
    items: list[UserRow]
    next_cursor: str = Field(description="empty: nothing follows")


@router.get("/api/users", openapi_extra=action(Action.SEARCH_USERS))
async def search_users(
    query: AQuery, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 20
) -> UserList:
    """People whose name or handle fits, the best match first. An e-mail address finds only as a whole."""
    page = await services.directory.search(caller, query, cursor=cursor, limit=limit)
    rows = [UserRow.model_validate(profile) for profile in page.items]
    return UserList(items=rows, next_cursor=page.next_cursor)
