"""The rows of a project: what it is made from, its people and its rules. All in a transaction of somebody else's."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import Connection, Select, and_, delete, func, insert, select, update

from coscribe.access.ids import now
from coscribe.access.policy import higher
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.database import inserted_key
from coscribe.persistence.schema import project_members, project_rules, projects, users, workspaces
from coscribe.protocol.messages import Role

SourceKind = Literal["blank", "upload", "repository"]
ImportState = Literal["pending", "running", "failed", "ready"]

MAX_MEMBERS = 1_000
"""Of a project, people and groups together."""


class Source(NamedTuple):
    """What a project is made from. ``address``: of a repository."""

    kind: SourceKind
    address: str = ""


def project_of(connection: Connection, workspace_key: int) -> int | None:
    """The key of the project whose workspace it is."""
    found = select(workspaces.c.project_key).where(workspaces.c.workspace_key == workspace_key)
    return cast("int | None", connection.execute(found).scalar())


def insert_project(connection: Connection, project_id: str, source: Source, account: str, at: int) -> int:
    """A project with its first owner. Returns the key."""
    state: ImportState = "ready" if source.kind == "blank" else "pending"
    row = {"project_id": project_id, "source": source.kind, "address": source.address, "import_state": state}
    made = connection.execute(insert(projects).values(**row, created_by=account, created_at=at))
    key = inserted_key(made)
    _insert_member(connection, key, "user", account, "owner", account)
    return key


def purge_project(connection: Connection, workspace_key: int) -> None:
    """The workspace goes, and what is said of its project with it."""
    key = project_of(connection, workspace_key)
    for table in (project_members, project_rules):
        connection.execute(delete(table).where(table.c.project_key == key))
    connection.execute(update(projects).where(projects.c.project_key == key).values(address="", import_detail=""))


def find_in_project(connection: Connection, project_key: int, member_id: str) -> Role | None:
    """The role that a person or a group has of its own."""
    found = connection.execute(select(project_members.c.role).where(_this(project_key, member_id))).scalar()
    return cast("Role | None", found)


def admit_to_project(
    connection: Connection, project_key: int, user_id: str, role: Role, added_by: str | None, kind: str = "user"
) -> None:
    """Gives at least a role. Errors: ``quota_exceeded``."""
    present = find_in_project(connection, project_key, user_id)
    if present is None:
        members = select(func.count()).where(project_members.c.project_key == project_key)
        if connection.execute(members).scalar_one() >= MAX_MEMBERS:
            raise CoscribeError(Code.QUOTA_EXCEEDED, f"a project has at most {MAX_MEMBERS} members")
        _insert_member(connection, project_key, kind, user_id, role, added_by)
    elif higher(present, role) != present:
        set_project_role(connection, project_key, user_id, role)


def set_project_role(connection: Connection, project_key: int, member_id: str, role: Role) -> None:
    """Errors: ``last_owner``."""
    if role != "owner":
        _keep_an_owner(connection, project_key, member_id)
    connection.execute(update(project_members).where(_this(project_key, member_id)).values(role=role))


def drop_from_project(connection: Connection, project_key: int, member_id: str) -> bool:
    """Whether they were in it. Errors: ``last_owner``."""
    _keep_an_owner(connection, project_key, member_id)
    return connection.execute(delete(project_members).where(_this(project_key, member_id))).rowcount > 0


def workspaces_owned_by(account: str) -> Select[Any]:
    """The keys of the workspaces of projects that a person owns."""
    member = project_members.c
    mine = and_(member.member_kind == "user", member.member_id == account, member.role == "owner")
    return select(workspaces.c.workspace_key).where(
        workspaces.c.project_key.in_(select(member.project_key).where(mine)),
    )


def projects_of_group(group_id: str) -> Select[Any]:
    """The keys of the projects in which a group counts."""
    member, rule = project_members.c, project_rules.c
    ruled = select(rule.project_key).where(rule.member_kind == "group", rule.member_id == group_id)
    return select(projects.c.project_key).where(
        projects.c.project_key.in_(
            select(member.project_key).where(member.member_kind == "group", member.member_id == group_id)
        )
        | projects.c.project_key.in_(ruled)
    )


def forget_in_projects(connection: Connection, kind: Literal["user", "group"], member_id: str) -> None:
    """Somebody is no more: whoever asked has seen to it that projects keep an owner."""
    for table in (project_members, project_rules):
        this = and_(table.c.member_kind == kind, table.c.member_id == member_id)
        connection.execute(delete(table).where(this))


def _this(project_key: int, member_id: str) -> Any:
    return and_(project_members.c.project_key == project_key, project_members.c.member_id == member_id)


def _insert_member(
    connection: Connection, project_key: int, kind: str, member_id: str, role: Role, added_by: str | None
) -> None:
    values = {"member_kind": kind, "member_id": member_id, "role": role, "added_by": added_by, "added_at": now()}
    connection.execute(insert(project_members).values(project_key=project_key, **values))


def _keep_an_owner(connection: Connection, project_key: int, member_id: str) -> None:
    member = project_members.c
    owners = (
        select(member.member_id)
        .join(users, users.c.user_id == member.member_id)
        .where(member.project_key == project_key, member.member_kind == "user", member.role == "owner")
    )
    is_owner = connection.execute(owners.where(member.member_id == member_id)).first() is not None
    others = owners.where(member.member_id != member_id, users.c.status == "active")
    if is_owner and connection.execute(others).first() is None:
        raise CoscribeError(Code.LAST_OWNER)
