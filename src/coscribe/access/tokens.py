"""API tokens: for bots and agents. Scoped, expiring, revocable; shown once, kept as a digest.

What a token may do is the lesser of what it was made for and what its owner may do at that moment. It can make no
token and change no credential: the policy gives those actions to no scope.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from coscribe.access.authentication import TOKEN_KIND
from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import MICROSECONDS, digest, new_id, new_secret, now
from coscribe.access.policy import Action, Scope
from coscribe.access.rights import authorise
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import api_tokens, workspaces

MAX_TOKENS = 100
"""Tokens of one person that are not revoked."""

MAX_DAYS = 366

SHOWN = 8
"""Characters of the secret that stay visible, to tell tokens apart."""


class Token(NamedTuple):
    """A token as it is listed. Times are microseconds since 1970; ``document_id`` None: all documents."""

    token_id: str
    name: str
    prefix: str
    scope: str
    document_id: str | None
    created_at: int
    expires_at: int
    used_at: int | None
    revoked_at: int | None


_TOKEN = select(
    api_tokens.c.token_id,
    api_tokens.c.name,
    api_tokens.c.prefix,
    api_tokens.c.scope,
    workspaces.c.workspace_id,
    api_tokens.c.created_at,
    api_tokens.c.expires_at,
    api_tokens.c.used_at,
    api_tokens.c.revoked_at,
).outerjoin(workspaces, workspaces.c.workspace_key == api_tokens.c.workspace_key)


class ApiTokens:
    """Makes, lists and revokes a person's API tokens."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def create(
        self, caller: Caller, name: str, scope: Scope, days: float, document_id: str | None
    ) -> tuple[Token, str]:
        """The token, and its secret, which is never shown again. Errors: ``file_not_found``, ``quota_exceeded``."""
        account, secret, token_id, at = caller.need_account(), new_secret(TOKEN_KIND), new_id("tok"), now()

        def job(connection: Connection) -> Token:
            key = authorise(connection, caller, Action.SEE_DOCUMENT, document_id).document.key if document_id else None
            mine = (
                (api_tokens.c.user_id == account) & api_tokens.c.revoked_at.is_(None) & (api_tokens.c.expires_at > at)
            )
            if (connection.execute(select(func.count()).where(mine)).scalar() or 0) >= MAX_TOKENS:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"{MAX_TOKENS} tokens are open; revoke one first")
            connection.execute(
                insert(api_tokens).values(
                    token_id=token_id,
                    user_id=account,
                    name=name,
                    prefix=secret[: len(TOKEN_KIND) + 1 + SHOWN],
                    secret_hash=digest(secret),
                    scope=scope,
                    workspace_key=key,
                    created_at=at,
                    expires_at=at + int(days * 86_400 * MICROSECONDS),
                )
            )
            made = by(caller, "token.made", subject=token_id, workspace_id=document_id, scope=scope, name=name)
            record(connection, made)
            return _find(connection, account, token_id)

        return await self._database.write(job), secret

    async def list(self, caller: Caller) -> list[Token]:
        """The newest first; revoked ones too, for a while to look at."""
        account = caller.need_account()
        statement = _TOKEN.where(api_tokens.c.user_id == account).order_by(api_tokens.c.token_id.desc()).limit(500)
        return await self._database.read(lambda connection: [Token(*row) for row in connection.execute(statement)])

    async def get(self, caller: Caller, token_id: str) -> Token:
        """Errors: ``not_found``."""
        account = caller.need_account()
        return await self._database.read(lambda connection: _find(connection, account, token_id))

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """From now on, on every channel. Errors: ``not_found``."""
        account = caller.need_account()

        def job(connection: Connection) -> None:
            token = _find(connection, account, token_id)
            if token.revoked_at is None:
                connection.execute(update(api_tokens).where(api_tokens.c.token_id == token_id).values(revoked_at=now()))
                record(connection, by(caller, "token.revoked", subject=token_id, workspace_id=token.document_id))

        await self._database.write(job)
        await self._changed(AccessChange(credential=f"token:{token_id}"))


def _find(connection: Connection, account: str, token_id: str) -> Token:
    row = connection.execute(_TOKEN.where(api_tokens.c.user_id == account, api_tokens.c.token_id == token_id)).first()
    if row is None:
        raise CoscribeError(Code.NOT_FOUND, "there is no such token")
    return Token(*row)
