"""Asking for access: who opens the address of a document and has no role in it may ask its owners for one.

    open --> granted | declined | (30 days pass)

Nobody learns from it whether there is such a document: what is asked for in vain is answered the same way, and leaves
an event like any other. In vain is to ask for a document that is not there or in the trash, that one can read already
or is banned from, or for which so many ask that no more are taken in. Of each person a document has one request; asked
again it is that one, with the newer message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.directory import Profile
from coscribe.access.events import by, record
from coscribe.access.ids import MICROSECONDS, new_id, now
from coscribe.access.mail import Mail
from coscribe.access.members import admit
from coscribe.access.paging import Page, checked_limit, comes_after, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.rights import Rights, allow, authorise, find_rights
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_requests, bans, project_members, users, workspace_members
from coscribe.protocol.messages import Role

DAY = 86_400 * MICROSECONDS
LIFETIME = 30 * DAY
MAX_OPEN = 100
"""Open requests for one document."""

MAX_MAILED = 20
"""Owners who get a mail."""


class AccessRequest(NamedTuple):
    """Times are microseconds since 1970."""

    request_id: str
    person: Profile
    message: str
    asked_at: int
    expires_at: int


class AccessRequests:
    """``send`` takes a mail and returns at once. ``changed`` returns when open sockets have felt what was changed."""

    def __init__(self, database: Database, changed: Changed, send: Callable[[Mail], None], *, public_url: str) -> None:
        self._database = database
        self._changed = changed
        self._send = send
        self._public_url = public_url

    async def ask(self, caller: Caller, document_id: str, message: str) -> None:
        """Asks the owners, unless it is in vain, of which nothing is said. Errors: see `allow`."""

        def job(connection: Connection) -> list[Mail]:
            account = allow(caller, Action.ASK_ACCESS)
            record(connection, by(caller, "access.asked", workspace_id=document_id))
            rights = find_rights(connection, caller, document_id)
            if rights is None or rights.role is not None or rights.document.status == "trashed":
                return []
            if _is_banned(connection, rights.document.key, account):
                return []
            return self._asked(connection, caller, rights, message)

        for mail in await self._database.write(job):
            self._send(mail)

    async def pending(
        self, caller: Caller, document_id: str, *, cursor: str = "", limit: int = 50
    ) -> Page[AccessRequest]:
        """Open requests, oldest first. Errors: ``invalid_request``, see `authorise`."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[AccessRequest]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            place = (_request.asked_at, _request.request_id)
            statement = _REQUESTS.where(_is_open(key)).order_by(*place).limit(limit + 1)
            if after is not None:
                statement = statement.where(comes_after(place, after))
            found = [AccessRequest(row[0], Profile(*row[1:5]), *row[5:]) for row in connection.execute(statement).all()]
            return page_of(found, limit, lambda request: (request.asked_at, request.request_id))

        return await self._database.read(job)

    async def grant(self, caller: Caller, document_id: str, request_id: str, role: Role) -> None:
        """Makes a member of who asked; a better role that they have by now stays.

        Errors: ``not_found``, ``banned``, ``quota_exceeded``, see `authorise`.
        """

        def job(connection: Connection) -> str:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            account = _close(connection, key, request_id)
            admit(connection, key, account, role, caller.account or None)
            record(connection, by(caller, "access.granted", workspace_id=document_id, subject=account, role=role))
            return account

        account = await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id, account=account))

    async def decline(self, caller: Caller, document_id: str, request_id: str) -> None:
        """Errors: ``not_found``, see `authorise`."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            account = _close(connection, key, request_id)
            record(connection, by(caller, "access.declined", workspace_id=document_id, subject=account))

        await self._database.write(job)

    def _asked(self, connection: Connection, caller: Caller, rights: Rights, message: str) -> list[Mail]:
        """Writes the request; the mails that tell the owners, at most once a day."""
        key, account, at = rights.document.key, caller.account, now()
        over = _request.workspace_key == key, _request.mailed_at <= at - DAY
        connection.execute(delete(access_requests).where(*over, _request.is_open.is_(False)))
        connection.execute(delete(access_requests).where(*over, _request.expires_at <= at))
        mine = and_(_request.workspace_key == key, _request.user_id == account)
        before = connection.execute(select(_request.mailed_at, _request.is_open).where(mine)).first()
        is_new = before is None or not before.is_open
        if is_new and _count(connection, key) >= MAX_OPEN:
            return []
        mailed_at = 0 if before is None else before.mailed_at
        tells = mailed_at <= at - DAY
        values = {
            "message": message,
            "is_open": True,
            "expires_at": at + LIFETIME,
            "mailed_at": at if tells else mailed_at,
        }
        if is_new:
            values |= {"request_id": new_id("arq"), "asked_at": at}
        if before is None:
            connection.execute(insert(access_requests).values(workspace_key=key, user_id=account, **values))
        else:
            connection.execute(update(access_requests).where(mine).values(**values))
        return self._mails(connection, caller, rights) if tells else []

    def _mails(self, connection: Connection, caller: Caller, rights: Rights) -> list[Mail]:
        """To the owners who have verified an address. What a stranger has written is not sent on: they read it here."""
        document = rights.document
        member = workspace_members.c if document.project_key is None else project_members.c
        if document.project_key is None:
            this = workspace_members.c.workspace_key == document.key
        else:
            this = project_members.c.project_key == document.project_key
        addresses = connection.execute(
            select(users.c.email)
            .join(member.role.table, member.member_id == users.c.user_id)
            .where(
                this,
                member.member_kind == "user",
                member.role == "owner",
                users.c.status == "active",
                users.c.email.is_not(None),
            )
            .order_by(member.added_at)
            .limit(MAX_MAILED)
        ).scalars()
        who, what = _line(caller.display_name), _line(document.name)
        text = (
            f"{who} asks for access to “{what}”.\n\nRead what they say, and answer them, here:\n\n"
            f"{self._public_url}/d/{document.document_id}\n"
        )
        return [Mail(address, f"{who} asks for access to “{what}”", text) for address in addresses if address]


_request = access_requests.c
_REQUESTS = select(
    _request.request_id,
    users.c.user_id,
    users.c.handle,
    users.c.display_name,
    users.c.color,
    _request.message,
    _request.asked_at,
    _request.expires_at,
).join(users, users.c.user_id == _request.user_id)


def _is_open(key: int) -> ColumnElement[bool]:
    return and_(_request.workspace_key == key, _request.is_open, _request.expires_at > now())


def _count(connection: Connection, key: int) -> int:
    return connection.execute(select(func.count()).select_from(access_requests).where(_is_open(key))).scalar_one()


def _is_banned(connection: Connection, key: int, account: str) -> bool:
    ban = select(bans.c.user_id).where(bans.c.workspace_key == key, bans.c.user_id == account)
    return connection.execute(ban).first() is not None


def _close(connection: Connection, key: int, request_id: str) -> str:
    """Ends an open request; returns who asked. Errors: ``not_found``."""
    this = and_(_is_open(key), _request.request_id == request_id)
    account = connection.execute(select(_request.user_id).where(this)).scalar()
    if account is None:
        raise CoscribeError(Code.NOT_FOUND, "there is no such request, or it is no longer open")
    connection.execute(update(access_requests).where(this).values(is_open=False))
    return str(account)


def _line(text: str) -> str:
    """A name as part of a line."""
    return " ".join(text.split())[:100]
