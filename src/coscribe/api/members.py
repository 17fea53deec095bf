"""Who has access to a document, in which role, on which paths; and who is kept out."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from coscribe.access.members import Ban, Member
from coscribe.access.policy import Action, PathRule
from coscribe.access.rules import MAX_PATTERN, MAX_RULES, Rules
from coscribe.api.documents import Cursor, DocumentId, Limit
from coscribe.api.models import Incoming, Moment, Outgoing, RoleName
from coscribe.api.route import ACaller, ANeededIfMatch, AServices, PolicyRoute, action, etag, expected_revision
from coscribe.api.users import UserRow

router = APIRouter(route_class=PolicyRoute, tags=["members"])

AMemberId = Annotated[
    str, Path(alias="memberId", max_length=64, description="of a person or a group", examples=["usr_0190c0ffee"])
]
AUserId = Annotated[str, Path(alias="userId", max_length=64, examples=["usr_0190c0ffee"])]


class MemberRow(Outgoing):
    kind: Literal["user", "group", "visitor"] = Field(description="a visitor came by a link and is no member")
    member_id: str = Field(examples=["usr_0190c0ffee"])
    name: str = Field(examples=["Ann Example"])
    handle: str | None = Field(description="of a person", examples=["ann"])
    color: str | None = Field(description="of a person", examples=["#1864ab"])
    role: RoleName
    added_at: Moment


class MemberList(Outgoing):
    items: list[MemberRow]
    next_cursor: str = Field(description="empty: nothing follows")


class NewRole(Incoming):
    role: RoleName = Field(examples=["viewer"])


class Removal(Outgoing):
    remaining: RoleName | None = Field(description="the role that groups still give")
    by_link: RoleName | None = Field(description="the role that a link, opened again, would give; a ban ends it")


class Transfer(Incoming):
    to: str = Field(max_length=64, description="the id of a person who is a member", examples=["usr_0190c0ffee"])
    role: Literal["editor", "viewer"] = Field(description="what whoever gives it becomes", examples=["editor"])
    giver: str = Field("", max_length=64, description="for administrators: which owner steps down, if not oneself")


class Transferred(Outgoing):
    owner: MemberRow
    giver: MemberRow | None


class BanRow(Outgoing):
    user: UserRow
    banned_by: str | None
    banned_at: Moment


class BanList(Outgoing):
    items: list[BanRow]
    next_cursor: str = Field(description="empty: nothing follows")


class RuleIn(Incoming):
    member_kind: Literal["everyone", "role", "user", "group"] = Field(examples=["everyone"])
    member_id: str = Field(
        "", max_length=64, description="a user's or group's id, editor or viewer; empty for everyone", examples=[""]
    )
    pattern: str = Field(
        min_length=1,
        max_length=MAX_PATTERN,
        description="`*` stays in one folder, `**` does not; what is in a folder that fits, fits",
        examples=["docs/**"],
    )
    access: Literal["none", "read", "write"] = Field(examples=["read"])


class RuleRow(Outgoing):
    member_kind: str
    member_id: str
    pattern: str
    access: str


class RulesIn(Incoming):
    """In the order in which they are asked: the last one that fits decides. Owners are above the rules."""

    rules: list[RuleIn] = Field(max_length=MAX_RULES)


class RuleList(Outgoing):
    rules: list[RuleRow]


@router.get("/api/documents/{documentId}/members", openapi_extra=action(Action.SEE_MEMBERS))
async def list_members(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> MemberList:
    """Everybody with access, in the order in which they came."""
    page = await services.members.list(caller, document_id, cursor=cursor, limit=limit)
    return MemberList(items=[member_row(member) for member in page.items], next_cursor=page.next_cursor)


@router.put("/api/documents/{documentId}/members/{memberId}", openapi_extra=action(Action.MANAGE_MEMBERS))
async def set_role(
    document_id: DocumentId, member_id: AMemberId, body: NewRole, caller: ACaller, services: AServices
) -> MemberRow:
    """Changes the role of a member, or adds a group of one's own; people are invited. An administrator adds anybody."""
    return member_row(await services.members.set_role(caller, document_id, member_id, body.role))


@router.delete("/api/documents/{documentId}/members/{memberId}", openapi_extra=action(Action.MANAGE_MEMBERS))
async def remove_member(document_id: DocumentId, member_id: AMemberId, caller: ACaller, services: AServices) -> Removal:
    """Takes access away, from open sockets too; says what a group or a link still gives."""
    return Removal.model_validate(await services.members.remove(caller, document_id, member_id))


@router.post("/api/documents/{documentId}/leave", openapi_extra=action(Action.LEAVE_DOCUMENT))
async def leave(document_id: DocumentId, caller: ACaller, services: AServices) -> Removal:
    """Gives up one's own access. The last owner cannot."""
    return Removal.model_validate(await services.members.leave(caller, document_id))


@router.post("/api/documents/{documentId}/transfer", openapi_extra=action(Action.MANAGE_MEMBERS))
async def transfer(document_id: DocumentId, body: Transfer, caller: ACaller, services: AServices) -> Transferred:
    """Makes a member an owner and steps down, in one step."""
    owner, giver = await services.members.transfer(caller, document_id, body.to, body.role, giver=body.giver)
    return Transferred(owner=member_row(owner), giver=member_row(giver) if giver is not None else None)


@router.get("/api/documents/{documentId}/bans", openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_bans(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> BanList:
    """Whom the document does not let in."""
    page = await services.members.bans(caller, document_id, cursor=cursor, limit=limit)
    return BanList(items=[_ban(ban) for ban in page.items], next_cursor=page.next_cursor)


@router.put("/api/documents/{documentId}/bans/{userId}", openapi_extra=action(Action.MANAGE_MEMBERS))
async def ban(document_id: DocumentId, user_id: AUserId, caller: ACaller, services: AServices) -> BanRow:
    """Takes a person's access away, and lets them in by no invitation, link or group until the ban is lifted."""
    return _ban(await services.members.ban(caller, document_id, user_id))


@router.delete(
    "/api/documents/{documentId}/bans/{userId}", status_code=204, openapi_extra=action(Action.MANAGE_MEMBERS)
)
async def lift_ban(document_id: DocumentId, user_id: AUserId, caller: ACaller, services: AServices) -> None:
    """Lets somebody in again."""
    await services.members.lift_ban(caller, document_id, user_id)


@router.get("/api/documents/{documentId}/rules", openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_rules(document_id: DocumentId, caller: ACaller, services: AServices, response: Response) -> RuleList:
    """The path rules. The ETag is the document's."""
    return shown_rules(response, await services.members.rules.list(caller, document_id))


@router.put("/api/documents/{documentId}/rules", openapi_extra=action(Action.MANAGE_MEMBERS))
async def replace_rules(
    document_id: DocumentId,
    body: RulesIn,
    caller: ACaller,
    services: AServices,
    response: Response,
    if_match: ANeededIfMatch = None,
) -> RuleList:
    """The whole list anew; needs If-Match."""
    revision = expected_revision(if_match)
    rules = [PathRule(rule.member_kind, rule.member_id, rule.pattern, rule.access) for rule in body.rules]
    return shown_rules(response, await services.members.rules.replace(caller, document_id, rules, revision))


def member_row(member: Member) -> MemberRow:
    row = MemberRow.model_validate(member)
    return row.model_copy(update={"handle": None, "color": None}) if member.kind == "group" else row


def _ban(ban: Ban) -> BanRow:
    return BanRow(user=UserRow.model_validate(ban.person), banned_by=ban.banned_by, banned_at=ban.banned_at)


def shown_rules(response: Response, rules: Rules) -> RuleList:
    response.headers["ETag"] = etag(rules.revision)
    return RuleList(rules=[RuleRow.model_validate(rule) for rule in rules.rules])
