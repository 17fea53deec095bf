"""Invitations: sent from a document or by the server, and answered from an inbox or with the secret of a mail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from coscribe.access.invitations import Accepted, Invitation, Outcome
from coscribe.access.policy import Action
from coscribe.api.documents import Cursor, DocumentId, Limit
from coscribe.api.models import Email, Incoming, Moment, Outgoing, RoleName, Secret
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.users import UserRow

router = APIRouter(route_class=PolicyRoute, tags=["invitations"])

AnInvitationId = Annotated[str, Path(alias="invitationId", max_length=64, examples=["inv_0190c0ffee"])]


class NewInvitation(Incoming):
    who: str = Field(min_length=1, max_length=320, description="an id, a handle or an e-mail address", examples=["ann"])
    role: RoleName = Field(description="an owner only by id or handle", examples=["editor"])


class NewInvitations(Incoming):
    people: str = Field(
        max_length=200_000,
        description="a pasted list: handles, ids, addresses, `Name <address>`, between commas, semicolons or lines",
        examples=["ann, Bob <bob@example.org>\n@cem"],
    )
    role: RoleName = Field(examples=["viewer"])


class InvitationRow(Outgoing):
    invitation_id: str = Field(examples=["inv_0190c0ffee"])
    document_id: str | None = Field(description="null: to make an account here")
    document_name: str | None
    role: RoleName | None
    user: UserRow | None = Field(description="who is invited, if by id or handle")
    email: str | None = Field(description="or by address")
    inviter: str = Field(examples=["Ann Example"])
    created_at: Moment
    expires_at: Moment


class InvitationList(Outgoing):
    items: list[InvitationRow]
    next_cursor: str = Field(description="empty: nothing follows")


class EntryRow(Outgoing):
    text: str = Field(description="as it was written", examples=["Bob <bob@example.org>"])
    outcome: Outcome = Field(description="an address is `invited` whether or not it has an account")


class EntryList(Outgoing):
    items: list[EntryRow]


class InvitationSecret(Incoming):
    secret: Secret


class AcceptedRow(Outgoing):
    document_id: str = Field(examples=["doc_0190c0ffee"])
    document_name: str


class NewServerInvitation(Incoming):
    email: Email | None = Field(None, description="where the link goes; left out: it is in the answer")


class ServerInvitation(InvitationRow):
    url: str | None = Field(description="shown this once; null: it went by mail")


_OF_DOCUMENT = "/api/documents/{documentId}/invitations"


@router.post(_OF_DOCUMENT, status_code=201, openapi_extra=action(Action.MANAGE_MEMBERS, once="answer"))
async def invite(
    document_id: DocumentId, body: NewInvitation, caller: ACaller, services: AServices, response: Response
) -> InvitationRow:
    """Invites a person. Inviting somebody again replaces the invitation before."""
    invitation = await services.invitations.invite(caller, document_id, body.who, body.role)
    response.headers["Location"] = f"/api/documents/{document_id}/invitations/{invitation.invitation_id}"
    return _row(invitation)


@router.post(_OF_DOCUMENT + "/list", openapi_extra=action(Action.MANAGE_MEMBERS, once="answer"))
async def invite_many(document_id: DocumentId, body: NewInvitations, caller: ACaller, services: AServices) -> EntryList:
    """Invites a pasted list of at most 500 people, and says of each what came of it."""
    entries = await services.invitations.invite_many(caller, document_id, body.people, body.role)
    return EntryList(items=[EntryRow.model_validate(entry) for entry in entries])


@router.get(_OF_DOCUMENT, openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_invitations(
    document_id: DocumentId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> InvitationList:
    """Those that nobody has answered yet."""
    page = await services.invitations.pending(caller, document_id, cursor=cursor, limit=limit)
    return InvitationList(items=[_row(one) for one in page.items], next_cursor=page.next_cursor)


@router.delete(_OF_DOCUMENT + "/{invitationId}", status_code=204, openapi_extra=action(Action.MANAGE_MEMBERS))
async def withdraw(
    document_id: DocumentId, invitation_id: AnInvitationId, caller: ACaller, services: AServices
) -> None:
    """Takes an invitation back."""
    await services.invitations.withdraw(caller, document_id, invitation_id)


@router.get("/api/invitations", openapi_extra=action(Action.SEE_INVITATIONS))
async def inbox(caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50) -> InvitationList:
    """The invitations that one can answer: by account, and by one's verified address."""
    page = await services.invitations.inbox(caller, cursor=cursor, limit=limit)
    return InvitationList(items=[_row(one) for one in page.items], next_cursor=page.next_cursor)


@router.post("/api/invitations/open", openapi_extra=action(Action.ANSWER_INVITATION))
async def accept_by_secret(body: InvitationSecret, caller: ACaller, services: AServices) -> AcceptedRow:
    """Accepts an invitation that came by mail. Whoever has the secret may, once, with any account."""
    return _accepted(await services.invitations.accept_secret(caller, body.secret))


@router.post("/api/invitations/{invitationId}/accept", openapi_extra=action(Action.ANSWER_INVITATION))
async def accept(invitation_id: AnInvitationId, caller: ACaller, services: AServices) -> AcceptedRow:
    """Accepts an invitation of one's inbox. Who has a better role already keeps it."""
    return _accepted(await services.invitations.accept(caller, invitation_id))


@router.post("/api/invitations/{invitationId}/decline", status_code=204, openapi_extra=action(Action.ANSWER_INVITATION))
async def decline(invitation_id: AnInvitationId, caller: ACaller, services: AServices) -> None:
    """Declines an invitation of one's inbox."""
    await services.invitations.decline(caller, invitation_id)


@router.post("/api/admin/invitations", status_code=201, openapi_extra=action(Action.ADMINISTER_USERS, once="secret"))
async def invite_to_server(body: NewServerInvitation, caller: ACaller, services: AServices) -> ServerInvitation:
    """Lets somebody make an account here."""
    invitation, url = await services.invitations.invite_to_server(caller, body.email or "")
    return ServerInvitation(**dict(_row(invitation)), url=url or None)


@router.get("/api/admin/invitations", openapi_extra=action(Action.ADMINISTER_USERS))
async def list_server_invitations(
    caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> InvitationList:
    """Invitations to make an account that nobody has used yet."""
    page = await services.invitations.pending_to_server(caller, cursor=cursor, limit=limit)
    return InvitationList(items=[_row(one) for one in page.items], next_cursor=page.next_cursor)


@router.delete("/api/admin/invitations/{invitationId}", status_code=204, openapi_extra=action(Action.ADMINISTER_USERS))
async def withdraw_from_server(invitation_id: AnInvitationId, caller: ACaller, services: AServices) -> None:
    """Takes back an invitation to make an account."""
    await services.invitations.withdraw_from_server(caller, invitation_id)


def _row(invitation: Invitation) -> InvitationRow:
    return InvitationRow(
        invitation_id=invitation.invitation_id,
        document_id=invitation.document_id or None,
        document_name=invitation.document_name or None,
        role=invitation.role,
        user=UserRow.model_validate(invitation.person) if invitation.person is not None else None,
        email=invitation.email or None,
        inviter=invitation.inviter,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
    )


def _accepted(accepted: Accepted) -> AcceptedRow:
    return AcceptedRow.model_validate(accepted)
