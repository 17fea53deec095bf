"""Rights: what somebody may do with a document at this moment, read from the tables in one transaction.

role = the best of: member, groups one is in, open links one came by     (none where banned)
       bounded by what the credential allows
in the file: the role after path rules, none in the trash, reading only in the archive

The workspace of a project takes its people from there. Its own members and rules narrow what the project gives, and
never widen it: a role, and the access of a path, is the lower of both. Whoever owns the project is above that, as
owners are above all rules. Links say nothing here. Until all of what the project is made from is there, nobody sees
any of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import reduce
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, Executable, Table, func, select, union_all

from coscribe.access.caller import Caller
from coscribe.access.ids import now
from coscribe.access.policy import (
    Action,
    PathAccess,
    PathRule,
    Person,
    decide,
    higher,
    is_about,
    leads,
    lower,
    lower_access,
    matches,
    path_access,
    role_on,
)
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.schema import (
    bans,
    files,
    group_members,
    link_visitors,
    path_rules,
    project_members,
    project_rules,
    projects,
    share_links,
    workspace_members,
    workspaces,
)
from coscribe.protocol.messages import Role


class Document(NamedTuple):
    """A document as the tables know it. Times are microseconds since 1970."""

    key: int
    document_id: str
    name: str
    status: str
    revision: int
    created_at: int
    created_by: str | None
    trashed_at: int | None
    project_key: int | None = None
    is_ready: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether nobody sees what is in it."""
        return self.status in ("trashed", "deleted") or not self.is_ready


class Side(NamedTuple):
    """One of the two that say who may do what: ``person`` is whom its rules ask, with the role that they have there.
    ``otherwise``: on paths of which no rule says anything; None: by role."""

    person: Person
    rules: tuple[PathRule, ...]
    otherwise: PathAccess | None = None

    def access(self, path: str) -> PathAccess:
        return path_access(self.person, self.rules, path, otherwise=self.otherwise)

    def shows(self, path: str, *, is_folder: bool) -> bool:
        return self.access(path) != "none" or (is_folder and leads(self.person, self.rules, path))

    @property
    def view(self) -> Hashable:
        return self.person.role, tuple(rule for rule in self.rules if is_about(rule, self.person))


class Rights(NamedTuple):
    """``role``: in the document as a whole, bounded by the credential; None: none. ``person``: whom it is about, with
    the role before that bound. ``sides``: the document's own, and its project's, if it is in one."""

    document: Document
    role: Role | None
    person: Person | None
    sides: tuple[Side, ...]
    most: Role

    def access(self, path: str) -> PathAccess:
        """By all sides: the lowest."""
        return reduce(lower_access, (side.access(path) for side in self.sides))

    def on(self, path: str) -> Role | None:
        """The role in a file of the document, for reading and writing its text."""
        if self.role is None or self.person is None or self.document.is_closed:
            return None
        role = role_on(self.access(path), self.role)
        if role is None:
            return None
        role = lower(role, self.most)
        return lower(role, "viewer") if self.document.status == "archived" else role

    def in_tree(self) -> TreeRights | None:
        """The rights on the paths of a tree. None: there are none, or it is in the trash."""
        role = self.role
        if role is None or self.person is None or self.document.is_closed:
            return None
        return TreeRights(self, lower(role, "viewer") if self.document.status == "archived" else role)


class TreeRights(NamedTuple):
    """`PathRights` of the engine."""

    rights: Rights
    role: Role

    @property
    def is_uniform(self) -> bool:
        return self.role == "owner" or not any(side.rules for side in self.rights.sides)

    def on(self, path: str) -> Role | None:
        return self.role if self.is_uniform else self.rights.on(path)

    def shows(self, path: str, *, is_folder: bool) -> bool:
        if self.is_uniform or self.rights.on(path) is not None:
            return True
        return is_folder and all(side.shows(path, is_folder=True) for side in self.rights.sides)

    @property
    def view(self) -> Hashable:
        """People of one view have the same rules about them, and the same role to begin with."""
        return None if self.is_uniform else tuple(side.view for side in self.rights.sides)

    @property
    def recalls_any(self) -> bool:
        person = self.rights.person
        return person is not None and person.role != "viewer"

    def recalls(self, path: str) -> bool:
        return self.recalls_any and self.rights.access(path) == "write"

    def alike(self, source: str, target: str) -> bool:
        rules = (rule for side in self.rights.sides for rule in side.rules)
        return all(matches(rule.pattern, source) == matches(rule.pattern, target) for rule in rules)


_DOCUMENT = select(
    workspaces.c.workspace_key,
    workspaces.c.workspace_id,
    workspaces.c.name,
    workspaces.c.status,
    workspaces.c.revision,
    workspaces.c.created_at,
    workspaces.c.created_by,
    workspaces.c.trashed_at,
    workspaces.c.project_key,
    (func.coalesce(projects.c.import_state, "ready") == "ready").label("is_ready"),
).outerjoin(projects, projects.c.project_key == workspaces.c.project_key)


def find_document(connection: Connection, document_id: str) -> Document | None:
    """None: there is none, or it was deleted for good."""
    row = connection.execute(_DOCUMENT.where(workspaces.c.workspace_id == document_id)).first()
    if row is None or row.status == "deleted":
        return None
    document = Document(*row)
    return document._replace(name=document.name or document.document_id)


def file_path(connection: Connection, document: Document) -> str:
    """The path of a document's one file."""
    found = connection.execute(select(files.c.path).where(files.c.workspace_key == document.key)).scalar()
    return str(found or document.document_id)


def find_rights(connection: Connection, caller: Caller, document_id: str) -> Rights | None:
    """None: there is no such document for this credential. No role in it is another thing: see ``role``."""
    document = find_document(connection, document_id)
    if document is None:
        return None
    if caller.kind == "folder":
        person = Person("", frozenset(), caller.role)
        whole = document._replace(is_ready=True)  # also for whoever fills it
        return Rights(whole, caller.role, person, (Side(person, ()),), caller.role)
    if caller.workspace and caller.workspace != document_id:
        return None
    if document.project_key is None:
        role, groups = _held(connection, caller, document.key)
    else:
        own, role, groups = _held_in_project(connection, caller, document.key, document.project_key)
    if role is None or (document.status == "trashed" and role != "owner"):
        return Rights(document, None, None, (), caller.role)
    person = Person(caller.account, groups, role)
    rules = rules_of(connection, document.key)
    sides: tuple[Side, ...] = (Side(person, rules),)
    if document.project_key is not None:
        of_project = Side(person, rules_of_project(connection, document.project_key))
        if own is None or role == "owner":
            sides = (of_project, Side(person, rules, otherwise="write"))
        else:
            role = lower(role, own)
            person = person._replace(role=role)
            sides = (of_project, Side(person._replace(role=own), rules))
    return Rights(document, lower(role, caller.role), person, sides, caller.role)


def authorise(connection: Connection, caller: Caller, action: Action, document_id: str) -> Rights:
    """The rights, where they allow the action. Errors: what `decide` answers, ``file_not_found``."""
    rights = find_rights(connection, caller, document_id)
    held = rights.person.role if rights is not None and rights.person is not None else None
    refusal = decide(action, caller.standing(held))
    if refusal is not None:
        raise CoscribeError(refusal, file_id=document_id)
    if rights is None:
        raise CoscribeError(Code.FILE_NOT_FOUND, file_id=document_id)
    return rights


def allow(caller: Caller, action: Action) -> str:
    """The account that may do something about no one document. Errors: what `decide` answers."""
    refusal = decide(action, caller.standing())
    if refusal is not None:
        raise CoscribeError(refusal)
    return caller.account


def rules_of(connection: Connection, workspace_key: int) -> tuple[PathRule, ...]:
    """Path rules in the order in which they are asked."""
    rule = path_rules.c
    found = connection.execute(
        select(rule.member_kind, rule.member_id, rule.pattern, rule.access)
        .where(rule.workspace_key == workspace_key)
        .order_by(rule.position, rule.rule_id)
    )
    return tuple(PathRule(*row) for row in found)


def rules_of_project(connection: Connection, project_key: int) -> tuple[PathRule, ...]:
    """Likewise of a project."""
    rule = project_rules.c
    found = connection.execute(
        select(rule.member_kind, rule.member_id, rule.pattern, rule.access)
        .where(rule.project_key == project_key)
        .order_by(rule.position, rule.rule_id)
    )
    return tuple(PathRule(*row) for row in found)


def link_is_open() -> ColumnElement[bool]:
    """Of a link: that nobody has switched it off, and its time is not up."""
    link = share_links.c
    return link.ended_at.is_(None) & (link.expires_at.is_(None) | (link.expires_at > now()))


def _held(connection: Connection, caller: Caller, workspace_key: int) -> tuple[Role | None, frozenset[str]]:
    """The best role that somebody holds, before the credential's bound, and the groups they are in."""
    link, member, visitor = share_links.c, workspace_members.c, link_visitors.c
    open_links = (link.workspace_key == workspace_key) & link_is_open()
    if caller.kind == "link":
        found = connection.execute(select(link.role).where(open_links, link.link_id == caller.credential_id)).scalar()
        return ("viewer" if found else None), frozenset()
    if not caller.account:
        return None, frozenset()
    account = caller.account
    if _is_banned(connection, account, workspace_key):
        return None, frozenset()
    groups = _groups(connection, account)
    of_workspace = select(member.role).where(member.workspace_key == workspace_key)
    held = union_all(
        of_workspace.where(member.member_kind == "user", member.member_id == account),
        of_workspace.where(member.member_kind == "group", member.member_id.in_(groups)),
        select(link.role)
        .join(link_visitors, visitor.link_id == link.link_id)
        .where(open_links, visitor.user_id == account),
    )
    return _best(connection, held), groups


def _held_in_project(
    connection: Connection, caller: Caller, workspace_key: int, project_key: int
) -> tuple[Role | None, Role | None, frozenset[str]]:
    """Of somebody in the workspace of a project: the role that it narrows theirs to, if it does; the role in the
    project; the groups they are in."""
    account = caller.account
    if not account or caller.kind == "link" or _is_banned(connection, account, workspace_key):
        return None, None, frozenset()
    groups = _groups(connection, account)

    def held(table: Table, this: ColumnElement[bool]) -> Role | None:
        member = table.c
        person = (member.member_kind == "user") & (member.member_id == account)
        by_group = (member.member_kind == "group") & member.member_id.in_(groups)
        return _best(connection, select(member.role).where(this, person | by_group))

    in_project = held(project_members, project_members.c.project_key == project_key)
    return held(workspace_members, workspace_members.c.workspace_key == workspace_key), in_project, groups


def _is_banned(connection: Connection, account: str, workspace_key: int) -> bool:
    this = select(bans.c.user_id).where(bans.c.workspace_key == workspace_key, bans.c.user_id == account)
    return connection.execute(this).first() is not None


def _groups(connection: Connection, account: str) -> frozenset[str]:
    mine = select(group_members.c.group_id).where(group_members.c.user_id == account)
    return frozenset(connection.execute(mine).scalars())


def _best(connection: Connection, roles: Executable) -> Role | None:
    best: Role | None = None
    for role in connection.execute(roles).scalars():
        best = higher(best, cast(Role, role))
    return best
