"""What administrators do to accounts and to the server. What is in documents is none of their business."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, or_, select, update

from coscribe.access.accounts import User, read_user, user_of
from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import now
from coscribe.access.keys import Keys
from coscribe.access.leaving import is_last_administrator
from coscribe.access.paging import Page, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.rights import authorise
from coscribe.access.sessions import Changed, end_sessions
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events, api_tokens, users

EXPORT_PAGE = 1_000


class Recorded(NamedTuple):
    """An access event as it is stored; ``time`` is microseconds since 1970."""

    event_id: int
    time: int
    actor: str
    action: str
    outcome: str
    workspace_id: str | None
    subject: str
    address: str
    request_id: str
    detail: str
    digest: bytes


class Administration:
    """Accounts, keys and access events."""

    def __init__(self, database: Database, keys: Keys, changed: Changed) -> None:
        self._database = database
        self._keys = keys
        self._changed = changed

    async def list_users(self, query: str, cursor: str, limit: int) -> Page[User]:
        """All accounts that are not deleted, by handle; ``query`` is part of handle, name or address."""
        key = key_of(cursor, str)
        rows = select(users).where(users.c.status != "deleted").order_by(users.c.handle).limit(limit + 1)
        if key is not None:
            rows = rows.where(users.c.handle > key[0])
        if query:
            columns = (users.c.handle, users.c.display_name, users.c.email)
            rows = rows.where(or_(*(column.icontains(query, autoescape=True) for column in columns)))
        found = await self._database.read(lambda connection: [user_of(row) for row in connection.execute(rows)])
        return page_of(found, limit, lambda user: (user.handle,))

    async def get_user(self, user_id: str) -> User:
        """Errors: ``not_found``."""
        return await self._database.read(lambda connection: read_user(connection, user_id))

    async def change_user(
        self, caller: Caller, user_id: str, *, locked: bool | None, administrator: bool | None
    ) -> User:
        """Locks (which ends every session, token and socket at once), unlocks, promotes, demotes.

        Errors: ``not_found``, ``conflict``: nobody would be left to administer.
        """

        def job(connection: Connection) -> User:
            user = read_user(connection, user_id)
            if (locked or administrator is False) and is_last_administrator(connection, user_id):
                raise CoscribeError(Code.CONFLICT, "this is the only administrator")
            values: dict[str, Any] = {"revision": user.revision + 1}
            if locked is not None:
                values["status"] = "locked" if locked else "active"
            if administrator is not None:
                values["is_admin"] = administrator
            connection.execute(update(users).where(users.c.user_id == user_id).values(**values))
            if locked:
                end_sessions(connection, user_id)
            record(connection, by(caller, "user.changed", subject=user_id, locked=locked, administrator=administrator))
            return read_user(connection, user_id)

        user = await self._database.write(job)
        await self._changed(AccessChange(account=user_id))
        return user

    async def sign_out(self, caller: Caller, user_id: str) -> None:
        """Ends every session of somebody and revokes their tokens. Errors: ``not_found``."""

        def job(connection: Connection) -> None:
            read_user(connection, user_id)
            end_sessions(connection, user_id)
            mine = (api_tokens.c.user_id == user_id) & api_tokens.c.revoked_at.is_(None)
            connection.execute(update(api_tokens).where(mine).values(revoked_at=now()))
            record(connection, by(caller, "user.signed_out", subject=user_id))

        await self._database.write(job)
        await self._changed(AccessChange(account=user_id))

    async def rotate_key(self, caller: Caller) -> str:
        """A new signing key; returns its id."""
        key_id = await self._keys.rotate()
        await self._database.write(lambda connection: record(connection, by(caller, "key.rotated", subject=key_id)))
        return key_id

    async def list_events(self, caller: Caller, document_id: str | None, cursor: str, limit: int) -> Page[Recorded]:
        """The newest first: of one document, or (administrators) all. Errors: those of `authorise`."""
        key = key_of(cursor, int)

        def job(connection: Connection) -> list[Recorded]:
            rows = select(access_events).order_by(access_events.c.event_id.desc()).limit(limit + 1)
            if document_id is not None:
                authorise(connection, caller, Action.SEE_EVENTS, document_id)
                rows = rows.where(access_events.c.workspace_id == document_id)
            if key is not None:
                rows = rows.where(access_events.c.event_id < key[0])
            return [Recorded(*row) for row in connection.execute(rows)]

        return page_of(await self._database.read(job), limit, lambda event: (event.event_id,))

    async def export_events(self) -> AsyncIterator[list[Recorded]]:
        """All events, the oldest first, page by page."""
        after = 0
        while True:
            rows = (
                select(access_events)
                .where(access_events.c.event_id > after)
                .order_by(access_events.c.event_id)
                .limit(EXPORT_PAGE)
            )
            page = await self._database.read(
                lambda connection, rows=rows: [Recorded(*row) for row in connection.execute(rows)]  # type: ignore[misc]  # the default binds the loop's value
            )
            if not page:
                return
            yield page
            after = page[-1].event_id
