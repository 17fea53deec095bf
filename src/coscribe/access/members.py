"""Members: who has a role in a document, and who may not come back.

People come in by an invitation or a link; groups that one owns, and whomever an administrator names, are added
directly. An owner is always a person: a group may be emptied by whoever owns it. The last owner stays.

    removed    the membership, and what links gave; a group, or opening a link again, may still give access
    banned     removed, and no invitation, link or group lets them in again until the ban is lifted
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from coscribe.access.caller import Caller
from coscribe.access.directory import PROFILE, Profile
from coscribe.access.events import by, record
from coscribe.access.ids import now
from coscribe.access.paging import Page, checked_limit, comes_after, key_of, page_of
from coscribe.access.policy import Action, higher
from coscribe.access.project_people import admit_to_project, drop_from_project, find_in_project, project_of
from coscribe.access.rights import authorise, find_rights, link_is_open
from coscribe.access.rules import PathRules
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import (
    bans,
    groups,
    invitations,
    link_visitors,
    share_links,
    users,
    workspace_members,
)
from coscribe.protocol.messages import Role

MemberKind = Literal["user", "group", "visitor"]

MAX_MEMBERS = 1_000
"""Members of a document, people and groups together."""


class Member(NamedTuple):
    """``visitor``: a person who came by a link that is open, and is no member. ``handle`` and ``color``: of people."""

    kind: MemberKind
    member_id: str
    name: str
    handle: str
    color: str
    role: Role
    added_at: int


class Removed(NamedTuple):
    """What a removal leaves: ``remaining`` is the role that groups still give; ``by_link`` the role they would have
    after opening a link that they know once more. A ban ends both."""

    remaining: Role | None
    by_link: Role | None


class Ban(NamedTuple):
    person: Profile
    banned_by: str | None
    banned_at: int


class Members:
    """``changed`` returns when open sockets have felt what was changed. ``rules``: what members may do where."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed
        self.rules = PathRules(database, changed)

    async def list(self, caller: Caller, document_id: str, *, cursor: str = "", limit: int = 50) -> Page[Member]:
        """Everybody with access, in the order in which they came. Errors: ``invalid_request``, see `authorise`."""
        after = key_of(cursor, int, str, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Member]:
            rights = authorise(connection, caller, Action.SEE_MEMBERS, document_id)
            found = _everybody(rights.document.key).subquery()
            place = (found.c.added_at, found.c.kind, found.c.member_id)
            statement = select(found).order_by(*place).limit(limit + 1)
            if after is not None:
                statement = statement.where(comes_after(place, after))
            members = [Member(*row) for row in connection.execute(statement)]
            return page_of(members, limit, lambda member: (member.added_at, member.kind, member.member_id))

        return await self._database.read(job)

    async def set_role(self, caller: Caller, document_id: str, member_id: str, role: Role) -> Member:
        """Changes the role of a member. Adds a group that the caller owns; an administrator adds anybody.

        Errors: ``not_found`` (invite people who are no members), ``last_owner``, ``banned``, ``quota_exceeded``,
        ``invalid_request`` for a group as owner, see `authorise`.
        """

        def job(connection: Connection) -> tuple[Member, bool]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            before = find_member(connection, key, member_id)
            after = before._replace(role=role) if before else newcomer(connection, caller, key, member_id, role)
            if after.kind == "group" and role == "owner":
                raise CoscribeError(Code.INVALID_REQUEST, "an owner is a person, not a group")
            if before is None:
                add_member(connection, key, after.kind, member_id, role, caller.account)
                record(connection, by(caller, "member.added", workspace_id=document_id, subject=member_id, role=role))
            elif before.role != role:
                keep_an_owner(connection, key, member_id)
                _set_role(connection, key, member_id, role)
                detail = {"role": role, "before": before.role}
                event = by(caller, "member.role_changed", workspace_id=document_id, subject=member_id, **detail)
                record(connection, event)
            return after, before != after

        member, is_change = await self._database.write(job)
        if is_change:
            await self._tell(document_id, member)
        return member

    async def remove(self, caller: Caller, document_id: str, member_id: str) -> Removed:
        """Takes a person's or a group's access away. Errors: ``not_found``, ``last_owner``, see `authorise`."""

        def job(connection: Connection) -> tuple[Member, Removed]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            member = _find_anybody(connection, key, member_id)
            if member is None:
                raise CoscribeError(Code.NOT_FOUND, "nobody of that id has access", file_id=document_id)
            removed = _remove(connection, document_id, key, member)
            record(connection, by(caller, "member.removed", workspace_id=document_id, subject=member_id))
            return member, removed

        member, removed = await self._database.write(job)
        await self._tell(document_id, member)
        return removed

    async def leave(self, caller: Caller, document_id: str) -> Removed:
        """Gives up one's own access. Errors: ``last_owner``, ``conflict`` where only a group gives it."""

        def job(connection: Connection) -> Removed:
            document = authorise(connection, caller, Action.LEAVE_DOCUMENT, document_id).document
            key = document.key
            if document.project_key is not None and drop_from_project(
                connection, document.project_key, caller.need_account()
            ):
                record(connection, by(caller, "member.left", workspace_id=document_id, subject=caller.account))
                rights = find_rights(connection, Caller("session", caller.account), document_id)
                return Removed(rights.role if rights is not None else None, None)
            member = _find_anybody(connection, key, caller.need_account())
            if member is None:
                raise CoscribeError(Code.CONFLICT, "you are here by a group: leave the group", file_id=document_id)
            removed = _remove(connection, document_id, key, member)
            record(connection, by(caller, "member.left", workspace_id=document_id, subject=caller.account))
            return removed

        removed = await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id, account=caller.account))
        return removed

    async def transfer(
        self, caller: Caller, document_id: str, to: str, role: Role, *, giver: str = ""
    ) -> tuple[Member, Member | None]:
        """Makes the member ``to`` an owner, and ``giver`` (the caller) whatever ``role`` says, in one step.

        Returns both. Only an administrator may name another giver; one who is no owner and names none gives nothing up.
        Errors: ``not_found``, ``invalid_request``, ``permission_denied``, see `authorise`.
        """

        def job(connection: Connection) -> tuple[Member, Member | None]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            if giver not in ("", caller.account) and not caller.administrator:
                raise CoscribeError(Code.PERMISSION_DENIED, "only an administrator gives what is another's")
            new, old = find_member(connection, key, to), find_member(connection, key, giver or caller.account)
            if new is None or new.kind != "user" or not _is_active(connection, to):
                raise CoscribeError(Code.NOT_FOUND, "the new owner has to be a member already", file_id=document_id)
            if old is not None and old.role != "owner":
                old = None
            if old is None and (giver or not caller.administrator):
                raise CoscribeError(Code.INVALID_REQUEST, "who gives a document has to own it", file_id=document_id)
            if old is not None and (old.member_id == to or role == "owner"):
                raise CoscribeError(Code.INVALID_REQUEST, "one becomes the owner, another steps down")
            _set_role(connection, key, to, "owner")
            if old is not None:
                _set_role(connection, key, old.member_id, role)
            source = old.member_id if old is not None else ""
            event = by(caller, "document.transferred", workspace_id=document_id, subject=to, giver=source, role=role)
            record(connection, event)
            return new._replace(role="owner"), old._replace(role=role) if old is not None else None

        received, gave = await self._database.write(job)
        await self._tell(document_id, received)
        if gave is not None:
            await self._tell(document_id, gave)
        return received, gave

    # ---- bans

    async def bans(self, caller: Caller, document_id: str, *, cursor: str = "", limit: int = 50) -> Page[Ban]:
        """Whom the document does not let in, by the time of the ban. Errors: ``invalid_request``, see `authorise`."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Ban]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            place = (bans.c.banned_at, bans.c.user_id)
            statement = _bans(key).order_by(*place).limit(limit + 1)
            if after is not None:
                statement = statement.where(comes_after(place, after))
            found = [_ban(row) for row in connection.execute(statement)]
            return page_of(found, limit, lambda ban: (ban.banned_at, ban.person.user_id))

        return await self._database.read(job)

    async def ban(self, caller: Caller, document_id: str, user_id: str) -> Ban:
        """Takes a person's access away for good, whether or not they have any now. Twice is as once.

        Errors: ``not_found``, ``last_owner``, ``invalid_request`` for oneself, see `authorise`.
        """

        def job(connection: Connection) -> Ban:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            if user_id == caller.account:
                raise CoscribeError(Code.INVALID_REQUEST, "to go away yourself, leave", file_id=document_id)
            known = select(users.c.user_id).where(users.c.user_id == user_id, users.c.status != "deleted")
            if connection.execute(known).first() is None:
                raise CoscribeError(Code.NOT_FOUND, "there is no such account")
            this = _bans(key).where(bans.c.user_id == user_id)
            if connection.execute(this).first() is None:
                _expel(connection, key, user_id)
                values = {"user_id": user_id, "banned_by": caller.account or None, "banned_at": now()}
                connection.execute(insert(bans).values(workspace_key=key, **values))
                record(connection, by(caller, "member.banned", workspace_id=document_id, subject=user_id))
            return _ban(connection.execute(this).one())

        ban = await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id, account=user_id))
        return ban

    async def lift_ban(self, caller: Caller, document_id: str, user_id: str) -> None:
        """Lets somebody in again; they have what groups and open links give them. Errors: ``not_found``."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            this = delete(bans).where(bans.c.workspace_key == key, bans.c.user_id == user_id)
            if connection.execute(this).rowcount == 0:
                raise CoscribeError(Code.NOT_FOUND, "nobody of that id is banned", file_id=document_id)
            record(connection, by(caller, "member.ban_lifted", workspace_id=document_id, subject=user_id))

        await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id, account=user_id))

    async def _tell(self, document_id: str, member: Member) -> None:
        """A group's change concerns whoever is in it: everybody looks again."""
        account = "" if member.kind == "group" else member.member_id
        await self._changed(AccessChange(workspace_id=document_id, account=account))


# ---- in a transaction


def find_member(connection: Connection, workspace_key: int, member_id: str) -> Member | None:
    """A person or group that has a role of its own."""
    member = _members(workspace_key).subquery()
    row = connection.execute(select(member).where(member.c.member_id == member_id)).first()
    return Member(*row) if row is not None else None


def is_banned(connection: Connection, workspace_key: int, user_id: str) -> bool:
    this = select(bans.c.user_id).where(bans.c.workspace_key == workspace_key, bans.c.user_id == user_id)
    return connection.execute(this).first() is not None


def add_member(
    connection: Connection, workspace_key: int, kind: str, member_id: str, role: Role, added_by: str | None
) -> None:
    """Gives a role to somebody who has none. Errors: ``quota_exceeded``, ``banned``."""
    members = select(func.count()).where(workspace_members.c.workspace_key == workspace_key)
    if connection.execute(members).scalar_one() >= MAX_MEMBERS:
        raise CoscribeError(Code.QUOTA_EXCEEDED, f"a document has at most {MAX_MEMBERS} members")
    if is_banned(connection, workspace_key, member_id):
        raise CoscribeError(Code.BANNED)
    values = {"member_kind": kind, "member_id": member_id, "role": role, "added_by": added_by or None}
    connection.execute(insert(workspace_members).values(workspace_key=workspace_key, added_at=now(), **values))


def admit(connection: Connection, workspace_key: int, user_id: str, role: Role, added_by: str | None) -> None:
    """Gives a person at least a role; who has a better one keeps it. The people of a project's workspace are those of
    the project. Errors: ``quota_exceeded``, ``banned``."""
    project_key = project_of(connection, workspace_key)
    if project_key is not None:
        if is_banned(connection, workspace_key, user_id):
            raise CoscribeError(Code.BANNED)
        admit_to_project(connection, project_key, user_id, role, added_by)
        return
    present = find_member(connection, workspace_key, user_id)
    if present is None:
        add_member(connection, workspace_key, "user", user_id, role, added_by)
    elif higher(present.role, role) != present.role:
        _set_role(connection, workspace_key, user_id, role)


def keep_an_owner(connection: Connection, workspace_key: int, member_id: str) -> None:
    """To be asked before a member stops being an owner. Errors: ``last_owner``: there is no other who is active."""
    member = workspace_members.c
    owners = (
        select(member.member_id)
        .join(users, users.c.user_id == member.member_id)
        .where(member.workspace_key == workspace_key, member.member_kind == "user", member.role == "owner")
    )
    is_owner = connection.execute(owners.where(member.member_id == member_id)).first() is not None
    others = owners.where(member.member_id != member_id, users.c.status == "active")
    if is_owner and connection.execute(others).first() is None:
        raise CoscribeError(Code.LAST_OWNER)


def newcomer(connection: Connection, caller: Caller, workspace_key: int, member_id: str, role: Role) -> Member:
    """Somebody whom the caller may add without asking them. Errors: ``not_found``."""
    group = connection.execute(select(groups.c.name, groups.c.owner_id).where(groups.c.group_id == member_id)).first()
    if group is not None and (caller.administrator or group.owner_id == caller.account):
        return Member("group", member_id, group.name, "", "", role, now())
    person = select(*PROFILE).where(users.c.user_id == member_id, users.c.status == "active")
    row = connection.execute(person).first()
    project_key = project_of(connection, workspace_key)
    is_known = project_key is not None and find_in_project(connection, project_key, member_id) is not None
    if row is None or not (caller.administrator or is_known):
        raise CoscribeError(
            Code.NOT_FOUND, "no member has that id; people are invited, groups are added by their owner"
        )
    return Member("user", member_id, row.display_name, row.handle, row.color, role, now())


def _remove(connection: Connection, document_id: str, workspace_key: int, member: Member) -> Removed:
    if member.kind == "group":
        _drop_member(connection, workspace_key, member.member_id)
        return Removed(None, None)
    by_link = _role_by_link(connection, workspace_key, member.member_id)
    _expel(connection, workspace_key, member.member_id)
    rights = find_rights(connection, Caller("session", member.member_id), document_id)
    return Removed(rights.role if rights is not None else None, by_link)


def _expel(connection: Connection, workspace_key: int, user_id: str) -> None:
    """Ends what a person has here, and the invitations that they have or sent. Errors: ``last_owner``.

    Invitations to their address stay: that one vanished would tell whose address it is. Acceptance asks for bans.
    """
    keep_an_owner(connection, workspace_key, user_id)
    _drop_member(connection, workspace_key, user_id)
    project_key = project_of(connection, workspace_key)
    if project_key is not None:
        drop_from_project(connection, project_key, user_id)
    links = select(share_links.c.link_id).where(share_links.c.workspace_key == workspace_key)
    visited = and_(link_visitors.c.user_id == user_id, link_visitors.c.link_id.in_(links))
    connection.execute(delete(link_visitors).where(visited))
    invitation = invitations.c
    theirs = or_(invitation.user_id == user_id, invitation.invited_by == user_id)
    is_open = and_(invitation.workspace_key == workspace_key, invitation.status == "open")
    connection.execute(update(invitations).where(is_open, theirs).values(status="withdrawn"))


def _drop_member(connection: Connection, workspace_key: int, member_id: str) -> None:
    member = workspace_members.c
    this = and_(member.workspace_key == workspace_key, member.member_id == member_id)
    connection.execute(delete(workspace_members).where(this))


def _set_role(connection: Connection, workspace_key: int, member_id: str, role: Role) -> None:
    member = workspace_members.c
    this = and_(member.workspace_key == workspace_key, member.member_id == member_id)
    connection.execute(update(workspace_members).where(this).values(role=role))


def _is_active(connection: Connection, user_id: str) -> bool:
    active = select(users.c.user_id).where(users.c.user_id == user_id, users.c.status == "active")
    return connection.execute(active).first() is not None


def _find_anybody(connection: Connection, workspace_key: int, member_id: str) -> Member | None:
    found = _everybody(workspace_key).subquery()
    row = connection.execute(select(found).where(found.c.member_id == member_id)).first()
    return Member(*row) if row is not None else None


def _role_by_link(connection: Connection, workspace_key: int, user_id: str) -> Role | None:
    visitors = _visitors(workspace_key).subquery()
    role = connection.execute(select(visitors.c.role).where(visitors.c.member_id == user_id)).scalar()
    return cast("Role | None", role)


def _everybody(workspace_key: int) -> Any:
    member = workspace_members.c
    people = select(member.member_id).where(member.workspace_key == workspace_key, member.member_kind == "user")
    banned = select(bans.c.user_id).where(bans.c.workspace_key == workspace_key)
    visitors = _visitors(workspace_key).where(users.c.user_id.not_in(people), users.c.user_id.not_in(banned))
    return union_all(*_by_kind(workspace_key), visitors)


def _members(workspace_key: int) -> Any:
    return union_all(*_by_kind(workspace_key))


def _by_kind(workspace_key: int) -> tuple[Select[Any], Select[Any]]:
    member = workspace_members.c
    return members_by_kind(member, member.workspace_key == workspace_key)


def members_by_kind(member: Any, are_in: ColumnElement[bool]) -> tuple[Select[Any], Select[Any]]:
    """The columns of a `Member`, of people and of groups. ``member``: the columns of a table of members, of a workspace
    or a project; ``are_in``: of which one."""
    people = (
        select(
            literal("user").label("kind"),
            member.member_id,
            users.c.display_name.label("name"),
            users.c.handle,
            users.c.color,
            member.role,
            member.added_at,
        )
        .join(users, users.c.user_id == member.member_id)
        .where(are_in, member.member_kind == "user", users.c.status != "deleted")
    )
    of_groups = (
        select(
            literal("group").label("kind"),
            member.member_id,
            groups.c.name,
            literal("").label("handle"),
            literal("").label("color"),
            member.role,
            member.added_at,
        )
        .join(groups, groups.c.group_id == member.member_id)
        .where(are_in, member.member_kind == "group")
    )
    return people, of_groups


def _visitors(workspace_key: int) -> Select[Any]:
    """The same of people who came by links that are open; of several links the best role."""
    link = share_links.c
    return (
        select(
            literal("visitor").label("kind"),
            users.c.user_id.label("member_id"),
            users.c.display_name.label("name"),
            users.c.handle,
            users.c.color,
            func.min(link.role).label("role"),  # "editor" comes before "viewer"
            func.min(link_visitors.c.opened_at).label("added_at"),
        )
        .join(link_visitors, link_visitors.c.user_id == users.c.user_id)
        .join(share_links, link.link_id == link_visitors.c.link_id)
        .where(link.workspace_key == workspace_key, link_is_open(), users.c.status != "deleted")
        .group_by(users.c.user_id)
    )


def _bans(workspace_key: int) -> Select[Any]:
    columns = (*PROFILE, bans.c.banned_by, bans.c.banned_at)
    return select(*columns).join(bans, bans.c.user_id == users.c.user_id).where(bans.c.workspace_key == workspace_key)


def _ban(row: Row[Any]) -> Ban:
    return Ban(Profile(row.user_id, row.handle, row.display_name, row.color), row.banned_by, row.banned_at)
