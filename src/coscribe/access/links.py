"""Share links: whoever has one may see a document, or, with an account, edit it.

The secret is in the URL's fragment, which browsers send to nobody; the page posts it. A person who is signed in and
opens a link keeps the way it gave until the link ends; who is not signed in is a guest, and only reads. When a link is
switched off, everybody who came by it is out at once.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import digest, new_id, new_secret, now
from coscribe.access.members import is_banned
from coscribe.access.policy import Action, decide, higher
from coscribe.access.project_people import project_of
from coscribe.access.rights import authorise, find_rights, link_is_open
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import link_visitors, share_links, workspaces
from coscribe.protocol.messages import Role

SECRET_KIND = "csl"
MAX_OPEN = 20
"""Open links of one document."""

LinkRole = Literal["editor", "viewer"]


class Link(NamedTuple):
    """``visitors``: accounts that opened it. ``expires_at`` None: it is good until it is switched off."""

    link_id: str
    role: LinkRole
    created_by: str | None
    created_at: int
    expires_at: int | None
    visitors: int


class Opened(NamedTuple):
    """What a link gave. ``guest``: nobody is signed in; ``role`` is then viewer, whatever the link allows to others
    (``link_role``), and ends at ``expires_at``, if that is not None."""

    document_id: str
    document_name: str
    role: Role
    link_id: str
    link_role: LinkRole
    expires_at: int | None
    guest: bool


class Links:
    """``changed`` returns when open sockets have felt what was changed."""

    def __init__(self, database: Database, changed: Changed, *, public_url: str) -> None:
        self._database = database
        self._changed = changed
        self._public_url = public_url

    async def end_expired(self, since: int, until: int) -> None:
        """Makes open sockets feel the links whose time was up in (since, until]."""
        link = share_links.c
        expired = (
            select(workspaces.c.workspace_id)
            .join(share_links, link.workspace_key == workspaces.c.workspace_key)
            .where(link.expires_at > since, link.expires_at <= until, link.ended_at.is_(None))
            .distinct()
        )
        for document_id in await self._database.read(lambda db: db.execute(expired).scalars().all()):
            await self._changed(AccessChange(workspace_id=document_id))

    async def create(
        self, caller: Caller, document_id: str, role: LinkRole, expires_at: int | None = None
    ) -> tuple[Link, str]:
        """A link and its URL, which cannot be shown again. Errors: ``invalid_request`` for an end that has passed,
        ``quota_exceeded``, see `authorise`."""
        secret = new_secret(SECRET_KIND)

        def job(connection: Connection) -> Link:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            at, link = now(), share_links.c
            if expires_at is not None and expires_at <= at:
                raise CoscribeError(Code.INVALID_REQUEST, "the link would have expired already", file_id=document_id)
            _forget_ended(connection, key)
            count = select(func.count()).where(link.workspace_key == key)
            if connection.execute(count).scalar_one() >= MAX_OPEN:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"at most {MAX_OPEN} open links", file_id=document_id)
            link_id = new_id("lnk")
            if project_of(connection, key) is not None:
                raise CoscribeError(Code.CONFLICT, "the people of a project are invited: a link opens none")
            connection.execute(
                insert(share_links).values(
                    link_id=link_id,
                    workspace_key=key,
                    role=role,
                    secret_hash=digest(secret),
                    created_by=caller.account or None,
                    created_at=at,
                    expires_at=expires_at,
                )
            )
            record(connection, by(caller, "link.created", workspace_id=document_id, subject=link_id, role=role))
            return Link(link_id, role, caller.account or None, at, expires_at, 0)

        return await self._database.write(job), f"{self._public_url}/#link={secret}"

    async def list(self, caller: Caller, document_id: str) -> list[Link]:
        """The open links of a document, oldest first. Errors: see `authorise`."""

        def job(connection: Connection) -> list[Link]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            link = share_links.c
            visitors = select(func.count()).where(link_visitors.c.link_id == link.link_id).correlate(share_links)
            columns = (link.link_id, link.role, link.created_by, link.created_at, link.expires_at)
            found = select(*columns, visitors.scalar_subquery()).where(link.workspace_key == key, link_is_open())
            return [Link(*row) for row in connection.execute(found.order_by(link.created_at, link.link_id))]

        return await self._database.read(job)

    async def switch_off(self, caller: Caller, document_id: str, link_id: str) -> None:
        """Ends a link, and the access of everybody who has only that. Errors: ``not_found``, see `authorise`."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            this = and_(share_links.c.workspace_key == key, share_links.c.link_id == link_id, link_is_open())
            if connection.execute(update(share_links).where(this).values(ended_at=now())).rowcount == 0:
                raise CoscribeError(Code.NOT_FOUND, "there is no such link, or it is off", file_id=document_id)
            connection.execute(delete(link_visitors).where(link_visitors.c.link_id == link_id))
            record(connection, by(caller, "link.switched_off", workspace_id=document_id, subject=link_id))

        await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id))

    async def open(self, caller: Caller, secret: str) -> Opened:
        """Comes by a link: as a person, who keeps what it gives, or as a guest.

        Errors: ``secret_invalid``, ``banned``, ``permission_denied``: an API token opens no links.
        """

        def job(connection: Connection) -> tuple[Opened, bool]:
            refusal = decide(Action.OPEN_LINK, caller.standing())
            if refusal is not None:
                raise CoscribeError(refusal)
            row = _find_open(connection, secret)
            if not caller.signed_in:
                return _opened(row, "viewer", guest=True), False
            account = caller.need_account()
            if is_banned(connection, row.workspace_key, account):
                raise CoscribeError(Code.BANNED, file_id=row.workspace_id)
            rights = find_rights(connection, caller, row.workspace_id)
            before = rights.role if rights is not None else None
            role = higher(before, cast(Role, row.role))
            assert role is not None
            if role != before:
                visit = {"link_id": row.link_id, "user_id": account, "opened_at": now()}
                connection.execute(insert(link_visitors).values(**visit))
                record(connection, by(caller, "link.opened", workspace_id=row.workspace_id, subject=row.link_id))
            return _opened(row, role, guest=False), role != before

        run = self._database.write if caller.signed_in else self._database.read
        opened, is_change = await run(job)
        if is_change:
            await self._changed(AccessChange(workspace_id=opened.document_id, account=caller.account))
        return opened


def _find_open(connection: Connection, secret: str) -> Row[Any]:
    """Errors: ``secret_invalid``."""
    row = connection.execute(
        select(share_links, workspaces.c.workspace_id, workspaces.c.name)
        .join(workspaces, workspaces.c.workspace_key == share_links.c.workspace_key)
        .where(share_links.c.secret_hash == digest(secret), link_is_open())
        .where(workspaces.c.status.not_in(("trashed", "deleted")))
    ).first()
    if row is None:
        raise CoscribeError(Code.SECRET_INVALID)
    return row


def _opened(row: Row[Any], role: Role, *, guest: bool) -> Opened:
    name = row.name or row.workspace_id
    return Opened(row.workspace_id, name, role, row.link_id, row.role, row.expires_at, guest)


def _forget_ended(connection: Connection, workspace_key: int) -> None:
    """Links that are over open nothing; the access events remember them."""
    over = select(share_links.c.link_id).where(share_links.c.workspace_key == workspace_key, ~link_is_open())
    connection.execute(delete(link_visitors).where(link_visitors.c.link_id.in_(over)))
    connection.execute(delete(share_links).where(share_links.c.workspace_key == workspace_key, ~link_is_open()))
