"""Authentication: from a credential to a `Caller`. One answer for REST, sockets and every later channel.

    cst_...            an API token: looked up by its digest
    JWT with a kid     an access token of a session, or of a guest who came by a link
    JWT without one    signed with the folder's key (`coscribe token`): whoever can read the folder
    a cookie           a browser's session

A signature only says that we made it. Whether the session, token or account is still good is read from the tables each
time; sockets ask again when something has changed.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import jwt
import structlog
from sqlalchemy import Connection, Select, select, update

from coscribe.access.caller import Caller, Origin
from coscribe.access.events import Notes
from coscribe.access.ids import MICROSECONDS, digest, now
from coscribe.access.keys import Keys
from coscribe.access.policy import Scope, ceiling
from coscribe.access.rights import file_path, find_rights, link_is_open
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Identity, PathRights, StorageError
from coscribe.gateway.auth import SignedTokens
from coscribe.persistence.database import Database
from coscribe.persistence.schema import api_tokens, sessions, share_links, users, workspaces
from coscribe.protocol.messages import Role

log = structlog.get_logger(__name__)

TOKEN_KIND = "cst"
"""API tokens begin with it."""

TOUCH_AFTER = 300 * MICROSECONDS
"""How old "last used" of a session or token may be."""

SESSION_LIFETIME = 30 * 86_400 * MICROSECONDS
"""A session ends so long after its last use."""

_USER = (users.c.user_id, users.c.display_name, users.c.color, users.c.is_admin)
_SESSION = select(*_USER, sessions.c.session_id, sessions.c.used_at, sessions.c.expires_at).join(
    sessions, sessions.c.user_id == users.c.user_id
)
_TOKEN = (
    select(
        *_USER,
        api_tokens.c.token_id,
        api_tokens.c.name,
        api_tokens.c.scope,
        api_tokens.c.used_at,
        api_tokens.c.expires_at,
        api_tokens.c.workspace_key,
        workspaces.c.workspace_id,
    )
    .join(api_tokens, api_tokens.c.user_id == users.c.user_id)
    .outerjoin(workspaces, workspaces.c.workspace_key == api_tokens.c.workspace_key)
)


class Authentication:
    """`Authenticator` for sockets, and the same for requests."""

    def __init__(self, database: Database, keys: Keys, folder: SignedTokens) -> None:
        self._database = database
        self._keys = keys
        self._folder = folder
        self._touching: set[asyncio.Task[None]] = set()

    async def caller(self, token: str, origin: Origin = Origin()) -> Caller:  # noqa: B008  # a constant
        """Who a bearer token belongs to. Errors: ``authentication_failed``. Raises StorageError."""
        if token.startswith(f"{TOKEN_KIND}_"):
            found = await self._database.read(lambda connection: _bot(connection, digest(token)))
        elif (key_id := _key_id(token)) is None:
            found = _of_folder(await self._folder.authenticate(token))
        else:
            await self._keys.look_for(str(key_id))
            claims = self._keys.verify(token)
            look_up = _person if claims.kind == "session" else _guest
            found = await self._database.read(lambda connection: look_up(connection, claims.credential_id))
            if found is not None and claims.subject not in (found.account, found.workspace):
                found = None
        if found is None:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the session or token has ended")
        self._touch(found)
        return found._replace(origin=origin)

    async def caller_of_cookie(self, secret: str, origin: Origin) -> Caller | None:
        """Who a browser's session belongs to; None: nobody any more."""
        of_cookie = _SESSION.where(sessions.c.secret_hash == digest(secret))
        found = await self._database.read(lambda connection: _person_by(connection, of_cookie))
        if found is not None:
            self._touch(found)
            return found._replace(origin=origin)
        return None

    async def authenticate(self, token: str) -> Identity:
        return (await self.caller(token)).identity

    async def is_valid(self, identity: Identity) -> bool:
        kind, _, credential_id = identity.credential.partition(":")
        if kind == "folder":
            return await self._folder.is_valid(identity)
        look_up = {"session": _person, "token": _bot_by_id, "link": _guest}.get(kind)
        if look_up is None:
            return False
        return await self._database.read(lambda connection: look_up(connection, credential_id)) is not None

    async def close(self) -> None:
        await asyncio.gather(*self._touching, return_exceptions=True)

    def _touch(self, caller: Caller) -> None:
        """Notes that a credential is in use, now and then."""
        if caller.used_at + TOUCH_AFTER < now() and caller.kind in ("session", "token"):
            touching = asyncio.get_running_loop().create_task(self._write_touch(caller))
            self._touching.add(touching)
            touching.add_done_callback(self._touching.discard)

    async def _write_touch(self, caller: Caller) -> None:
        at, values = now(), {}
        if caller.kind == "session":
            statement = update(sessions).where(sessions.c.session_id == caller.credential_id)
            values = {"used_at": at, "expires_at": at + SESSION_LIFETIME}
        else:
            statement = update(api_tokens).where(api_tokens.c.token_id == caller.credential_id)
            values = {"used_at": at}
        try:
            await self._database.write(lambda connection: connection.execute(statement.values(**values)))
        except (StorageError, CoscribeError) as error:
            log.warning("last_used_not_written", error=str(error))


class Admission:
    """`Access` for the engine: the role in a file, by the same policy as everything else."""

    def __init__(self, database: Database, notes: Notes) -> None:
        self._database = database
        self._notes = notes

    def opened(self, identity: Identity, file_id: str) -> None:
        """Who saw it, and when somebody was last there."""
        self._notes.opened(caller_of(identity), file_id)

    def refused(self, identity: Identity, file_id: str) -> None:
        """Who tried to."""
        self._notes.refused(caller_of(identity), file_id)

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        caller = caller_of(identity)
        return await self._database.read(lambda connection: _role(connection, caller, file_id))

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        caller = caller_of(identity)
        found = await self._database.read(lambda connection: find_rights(connection, caller, workspace_id))
        return None if found is None else found.in_tree()

    async def may_create(self, identity: Identity, file_id: str) -> bool:
        """Only with a token of the folder's key; people make documents by `Documents.create`."""
        return identity.credential.startswith("folder") and identity.role != "viewer"


def caller_of(identity: Identity) -> Caller:
    """The caller behind an identity, as far as rights go."""
    kind, _, credential_id = identity.credential.partition(":")
    return Caller(
        cast(Any, kind or "nobody"),
        identity.account,
        credential_id,
        identity.user_id,
        identity.display_name,
        identity.color,
        role=identity.role,
        workspace=identity.workspace,
        expires_at=identity.expires_at,
    )


def bot_author(user_id: str, token_id: str) -> str:
    """How edits made with an API token are signed: by the bot and its owner."""
    return f"{user_id}+{token_id}"


def _role(connection: Connection, caller: Caller, document_id: str) -> Role | None:
    rights = find_rights(connection, caller, document_id)
    if rights is not None:
        return rights.on(file_path(connection, rights.document))
    return caller.role if caller.kind == "folder" and not _was_deleted(connection, document_id) else None


def _was_deleted(connection: Connection, document_id: str) -> bool:
    return (
        connection.execute(select(workspaces.c.status).where(workspaces.c.workspace_id == document_id)).first()
        is not None
    )


def _key_id(token: str) -> object:
    try:
        return jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise CoscribeError(Code.AUTHENTICATION_FAILED, str(error)) from None


def _of_folder(identity: Identity) -> Caller:
    """Whoever holds the folder's key runs this server: as an owner's token it may administer it, too."""
    return Caller(
        "folder",
        author=identity.user_id,
        display_name=identity.display_name,
        color=identity.color,
        administrator=identity.role == "owner",
        role=identity.role,
        expires_at=identity.expires_at,
    )


def _person(connection: Connection, session_id: str) -> Caller | None:
    return _person_by(connection, _SESSION.where(sessions.c.session_id == session_id))


def _person_by(connection: Connection, statement: Select[Any]) -> Caller | None:
    row = connection.execute(
        statement.where(sessions.c.ended_at.is_(None), sessions.c.expires_at > now(), users.c.status == "active")
    ).first()
    if row is None:
        return None
    return Caller(
        "session",
        row.user_id,
        row.session_id,
        row.user_id,
        row.display_name,
        row.color,
        administrator=row.is_admin,
        used_at=row.used_at,
        expires_at=row.expires_at / MICROSECONDS,
    )


def _bot(connection: Connection, secret_hash: bytes) -> Caller | None:
    return _bot_by(connection, _TOKEN.where(api_tokens.c.secret_hash == secret_hash))


def _bot_by_id(connection: Connection, token_id: str) -> Caller | None:
    return _bot_by(connection, _TOKEN.where(api_tokens.c.token_id == token_id))


def _bot_by(connection: Connection, statement: Select[Any]) -> Caller | None:
    row = connection.execute(
        statement.where(api_tokens.c.revoked_at.is_(None), api_tokens.c.expires_at > now(), users.c.status == "active")
    ).first()
    if row is None:
        return None
    scope = cast(Scope, row.scope)
    return Caller(
        "token",
        row.user_id,
        row.token_id,
        bot_author(row.user_id, row.token_id),
        f"{row.name} ({row.display_name})",
        row.color,
        administrator=row.is_admin and row.workspace_key is None,
        role=ceiling(scope),
        scope=scope,
        workspace=row.workspace_id or "",
        used_at=row.used_at or 0,
        expires_at=row.expires_at / MICROSECONDS,
    )


def _guest(connection: Connection, link_id: str) -> Caller | None:
    link = share_links.c
    row = connection.execute(
        select(link.expires_at, workspaces.c.workspace_id)
        .join(workspaces, workspaces.c.workspace_key == link.workspace_key)
        .where(link.link_id == link_id, link_is_open())
    ).first()
    if row is None:
        return None
    caller = Caller(
        "link",
        "",
        link_id,
        f"guest+{link_id}",
        "Guest",
        role="viewer",
        scope="read",
        workspace=row.workspace_id,
    )
    return caller if row.expires_at is None else caller._replace(expires_at=row.expires_at / MICROSECONDS)
