"""API tokens for bots and agents."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from coscribe.access.policy import Action
from coscribe.access.tokens import MAX_DAYS
from coscribe.api.models import SEEN, WHOLE, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action

router = APIRouter(route_class=PolicyRoute, tags=["tokens"])

TokenId = Annotated[str, Path(alias="tokenId", max_length=64, examples=["tok_0190c0ffee"])]


class NewToken(Incoming):
    name: str = Field(min_length=1, max_length=128, pattern=SEEN, examples=["release bot"])
    scope: Literal["read", "edit", "manage"] = Field(examples=["edit"])
    days: Annotated[int, Field(ge=1, le=MAX_DAYS, description="how long it lasts"), WHOLE] = 90
    document_id: str | None = Field(None, max_length=128, description="the only document it is for; left out: all")


class TokenRow(Outgoing):
    token_id: str
    name: str
    prefix: str = Field(description="how the secret begins")
    scope: str
    document_id: str | None
    created_at: Moment
    expires_at: Moment
    used_at: Moment | None
    revoked_at: Moment | None


class MadeToken(TokenRow):
    secret: str = Field(description="shown this once")


class TokenList(Outgoing):
    items: list[TokenRow]


@router.post("/api/account/tokens", status_code=201, openapi_extra=action(Action.MANAGE_TOKENS, once="secret"))
async def create_token(body: NewToken, caller: ACaller, services: AServices, response: Response) -> MadeToken:
    """What it may do is never more than what its owner may do at that moment."""
    token, secret = await services.tokens.create(caller, body.name, body.scope, body.days, body.document_id)
    response.headers["Location"] = f"/api/account/tokens/{token.token_id}"
    return MadeToken(**token._asdict(), secret=secret)


@router.get("/api/account/tokens", openapi_extra=action(Action.MANAGE_TOKENS))
async def list_tokens(caller: ACaller, services: AServices) -> TokenList:
    """One's tokens, the newest first; secrets are not among them."""
    return TokenList(items=[TokenRow.model_validate(token) for token in await services.tokens.list(caller)])


@router.get("/api/account/tokens/{tokenId}", openapi_extra=action(Action.MANAGE_TOKENS))
async def see_token(token_id: TokenId, caller: ACaller, services: AServices) -> TokenRow:
    return TokenRow.model_validate(await services.tokens.get(caller, token_id))


@router.delete("/api/account/tokens/{tokenId}", status_code=204, openapi_extra=action(Action.MANAGE_TOKENS))
async def revoke_token(token_id: TokenId, caller: ACaller, services: AServices) -> None:
    """It opens nothing any more, on any channel."""
    await services.tokens.revoke(caller, token_id)
