"""Groups: people under one name, to be members of documents together. Whoever makes a group owns it."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, or_, select, update

from coscribe.access.caller import Caller
from coscribe.access.directory import PROFILE, Profile, find_person
from coscribe.access.events import by, record
from coscribe.access.ids import new_id, now
from coscribe.access.names import checked_name
from coscribe.access.paging import Page, checked_limit, comes_after, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.project_people import forget_in_projects, projects_of_group
from coscribe.access.rights import allow
from coscribe.access.rules import advance
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import group_members, groups, path_rules, users, workspace_members, workspaces

MAX_GROUPS = 100
"""Groups that one person owns."""

MAX_GROUP_MEMBERS = 1_000


class Group(NamedTuple):
    """``members``: how many. The owner need not be one of them."""

    group_id: str
    name: str
    owner: Profile
    members: int
    revision: int
    created_at: int


class Groups:
    """``changed`` returns when open sockets have felt what was changed.

    Errors of all but `create` and `list`: ``not_found`` for a group one has nothing to do with,
    ``permission_denied`` for one that one does not own, ``precondition_failed`` where ``revision`` is not its own.
    """

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def create(self, caller: Caller, name: str) -> Group:
        """An empty group. Errors: ``invalid_request``, ``quota_exceeded``."""
        name = checked_name(name)

        def job(connection: Connection) -> Group:
            account = allow(caller, Action.MANAGE_GROUPS)
            owned = select(func.count()).where(groups.c.owner_id == account)
            if connection.execute(owned).scalar_one() >= MAX_GROUPS:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"at most {MAX_GROUPS} groups")
            group_id = new_id("grp")
            values = {"name": name, "owner_id": account, "created_at": now()}
            connection.execute(insert(groups).values(group_id=group_id, **values))
            record(connection, by(caller, "group.created", subject=group_id))
            return _read(connection, account, group_id)

        return await self._database.write(job)

    async def list(self, caller: Caller, *, cursor: str = "", limit: int = 50) -> Page[Group]:
        """The groups that one owns or is in, oldest first. Errors: ``invalid_request``."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Group]:
            place = (groups.c.created_at, groups.c.group_id)
            statement = _groups_of(allow(caller, Action.SEE_GROUPS)).order_by(*place).limit(limit + 1)
            if after is not None:
                statement = statement.where(comes_after(place, after))
            found = [_group(row) for row in connection.execute(statement)]
            return page_of(found, limit, lambda group: (group.created_at, group.group_id))

        return await self._database.read(job)

    async def get(self, caller: Caller, group_id: str) -> Group:
        return await self._database.read(
            lambda connection: _read(connection, allow(caller, Action.SEE_GROUPS), group_id)
        )

    async def rename(self, caller: Caller, group_id: str, name: str, revision: int | None = None) -> Group:
        name = checked_name(name)

        def job(connection: Connection) -> Group:
            group = _own(connection, caller, group_id, revision)
            connection.execute(update(groups).where(groups.c.group_id == group_id).values(name=name))
            _advance(connection, group_id)
            record(connection, by(caller, "group.renamed", subject=group_id))
            return _read(connection, group.owner.user_id, group_id)

        return await self._database.write(job)

    async def delete(self, caller: Caller, group_id: str, revision: int | None = None) -> None:
        """The group, its place in documents and the path rules about it."""

        def job(connection: Connection) -> tuple[str, ...]:
            _own(connection, caller, group_id, revision)
            record(connection, by(caller, "group.deleted", subject=group_id))
            return dissolve(connection, group_id)

        for document_id in await self._database.write(job):
            await self._changed(AccessChange(workspace_id=document_id))

    async def members(self, caller: Caller, group_id: str, *, cursor: str = "", limit: int = 50) -> Page[Profile]:
        """Who is in a group, by handle. Errors: ``invalid_request``."""
        after = key_of(cursor, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Profile]:
            _read(connection, allow(caller, Action.SEE_GROUPS), group_id)
            within = group_members.c
            statement = (
                select(*PROFILE)
                .join(group_members, within.user_id == users.c.user_id)
                .where(within.group_id == group_id)
                .order_by(users.c.handle)
                .limit(limit + 1)
            )
            if after is not None:
                statement = statement.where(users.c.handle > after[0])
            found = [Profile(*row) for row in connection.execute(statement)]
            return page_of(found, limit, lambda profile: (profile.handle,))

        return await self._database.read(job)

    async def add_member(self, caller: Caller, group_id: str, who: str) -> Profile:
        """Adds a person by id or handle; who is in already stays. Errors: ``not_found``, ``quota_exceeded``."""

        def job(connection: Connection) -> tuple[Profile, bool]:
            group = _own(connection, caller, group_id)
            person = find_person(connection, who)
            if person is None:
                raise CoscribeError(Code.NOT_FOUND, "there is no such account")
            if connection.execute(select(group_members).where(_place(group_id, person.user_id))).first() is not None:
                return person, False
            if group.members >= MAX_GROUP_MEMBERS:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"a group has at most {MAX_GROUP_MEMBERS} members")
            values = {"user_id": person.user_id, "added_at": now()}
            connection.execute(insert(group_members).values(group_id=group_id, **values))
            _advance(connection, group_id)
            record(connection, by(caller, "group.member_added", subject=person.user_id, group=group_id))
            return person, True

        person, is_change = await self._database.write(job)
        if is_change:
            await self._changed(AccessChange(account=person.user_id))
        return person

    async def remove_member(self, caller: Caller, group_id: str, user_id: str) -> None:
        """By the owner, or by the member, who leaves. Errors: ``not_found`` also for somebody who is not in it."""

        def job(connection: Connection) -> None:
            account = allow(caller, Action.MANAGE_GROUPS)
            group = _read(connection, account, group_id)
            if account not in (group.owner.user_id, user_id):
                raise CoscribeError(Code.PERMISSION_DENIED, "only its owner takes others out of a group")
            if connection.execute(delete(group_members).where(_place(group_id, user_id))).rowcount == 0:
                raise CoscribeError(Code.NOT_FOUND, "nobody of that id is in the group")
            _advance(connection, group_id)
            record(connection, by(caller, "group.member_removed", subject=user_id, group=group_id))

        await self._database.write(job)
        await self._changed(AccessChange(account=user_id))


# ---- in a transaction


def dissolve(connection: Connection, group_id: str) -> tuple[str, ...]:
    """Ends a group, and all that depends on it; the ids of the documents where it counted."""
    member, rule = workspace_members.c, path_rules.c
    of_members = and_(member.member_kind == "group", member.member_id == group_id)
    of_rules = and_(rule.member_kind == "group", rule.member_id == group_id)
    ruled = select(rule.workspace_key).where(of_rules)
    joined = select(member.workspace_key).where(of_members)
    in_projects = workspaces.c.project_key.in_(projects_of_group(group_id))
    where = or_(workspaces.c.workspace_key.in_(joined), workspaces.c.workspace_key.in_(ruled), in_projects)
    found = select(workspaces.c.workspace_id).where(where).order_by(workspaces.c.workspace_id)
    affected = tuple(connection.execute(found).scalars())
    for key in connection.execute(ruled.distinct()).scalars().all():
        advance(connection, key)
    connection.execute(delete(workspace_members).where(of_members))
    connection.execute(delete(path_rules).where(of_rules))
    forget_in_projects(connection, "group", group_id)
    connection.execute(delete(group_members).where(group_members.c.group_id == group_id))
    connection.execute(delete(groups).where(groups.c.group_id == group_id))
    return affected


def _own(connection: Connection, caller: Caller, group_id: str, revision: int | None = None) -> Group:
    """A group that the caller owns."""
    account = allow(caller, Action.MANAGE_GROUPS)
    group = _read(connection, account, group_id)
    if group.owner.user_id != account:
        raise CoscribeError(Code.PERMISSION_DENIED, "only its owner changes a group")
    if revision not in (None, group.revision):
        raise CoscribeError(Code.PRECONDITION_FAILED)
    return group


def _read(connection: Connection, account: str, group_id: str) -> Group:
    """A group that an account owns or is in."""
    row = connection.execute(_groups_of(account).where(groups.c.group_id == group_id)).first()
    if row is None:
        raise CoscribeError(Code.NOT_FOUND, "there is no such group, or it is none of yours")
    return _group(row)


def _groups_of(account: str) -> Select[Any]:
    within = group_members.c
    size = select(func.count()).where(within.group_id == groups.c.group_id).correlate(groups).scalar_subquery()
    mine = groups.c.group_id.in_(select(within.group_id).where(within.user_id == account))
    return (
        select(groups.c.group_id, groups.c.name, groups.c.revision, groups.c.created_at, size.label("size"), *PROFILE)
        .join(users, users.c.user_id == groups.c.owner_id)
        .where(or_(groups.c.owner_id == account, mine))
    )


def _group(row: Row[Any]) -> Group:
    owner = Profile(row.user_id, row.handle, row.display_name, row.color)
    return Group(row.group_id, row.name, owner, row.size, row.revision, row.created_at)


def _place(group_id: str, user_id: str) -> Any:
    return and_(group_members.c.group_id == group_id, group_members.c.user_id == user_id)


def _advance(connection: Connection, group_id: str) -> None:
    connection.execute(update(groups).where(groups.c.group_id == group_id).values(revision=groups.c.revision + 1))
