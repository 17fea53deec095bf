"""Searching in the files of a workspace: names and texts, a page at a time."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from coscribe.access.policy import Action
from coscribe.api.models import Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.workspaces import WorkspaceId
from coscribe.documents.searching import Search

router = APIRouter(route_class=PolicyRoute, tags=["workspaces"])

Glob = Annotated[str, Field(max_length=256, pattern="^[^\\x00\\n]*$")]


class FoundPlace(Outgoing):
    line: int = Field(description="from 1")
    column: int = Field(description="code points in the line before it")
    length: int = Field(description="code points; it ends with its line")
    before: str = Field(description="what is before it in the line, as far as it is shown")
    text: str
    behind: str


class FoundFile(Outgoing):
    file_id: str
    path: str
    in_name: bool = Field(description="its name fits")
    places: list[FoundPlace]
    has_more: bool = Field(description="there are more places than are told")


class FoundList(Outgoing):
    """``cut`` says why the page ends before everything was looked at."""

    files: list[FoundFile]
    looked_at: int = Field(description="files")
    sequence: int = Field(description="the workspace as it was then")
    next_after: str | None = Field(description="the path to ask behind for more; none: that is all")
    cut: Literal["places", "text", "time"] | None


@router.get("/api/workspace/{workspaceId}/search", openapi_extra=action(Action.READ_CONTENT))
async def search_files(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    q: Annotated[str, Query(min_length=1, max_length=500, pattern="^[^\\x00]*$", examples=["lamp"])],
    is_regex: Annotated[bool, Query(alias="regex", description="it is a regular expression")] = False,
    keeps_case: Annotated[bool, Query(alias="case", description="a and A are two letters")] = False,
    is_word: Annotated[bool, Query(alias="word", description="whole words only")] = False,
    glob: Annotated[list[Glob], Query(max_length=20, description="only files that fit, as in .gitignore")] = [],  # noqa: B006  (never changed)
    after: Annotated[str, Query(max_length=4_096, description="files behind this path")] = "",
) -> FoundList:
    """Where something is in the names and texts that one may read, as it is now: by path, a page of at most two
    seconds, 1,000 places and 64,000,000 code points."""
    search = Search(q, is_regex, keeps_case, is_word, tuple(glob), after)
    return FoundList.model_validate(await services.searching.search(caller.identity, workspace_id, search))
