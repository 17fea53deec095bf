"""Rights: what somebody may do with a document at this moment, read from the tables in one transaction.

role = the best of: member, groups one is in, open links one came by     (none where banned)
       bounded by what the credential allows
in the file: the role after path rules, none in the trash, reading only in the archive
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, select, union_all

from coscribe.access.caller import Caller
from coscribe.access.ids import now
from coscribe.access.policy import (
    Action,
    PathRule,
    Person,
    decide,
    higher,
    is_about,
    leads,
    lower,
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


class Rights(NamedTuple):
    """``role``: in the document as a whole, bounded by the credential; None: none. ``person``: whom path rules ask,
    with the role before that bound."""

    document: Document
    role: Role | None
    person: Person | None
    rules: tuple[PathRule, ...]
    most: Role

    def on(self, path: str) -> Role | None:
        """The role in a file of the document, for reading and writing its text."""
        if self.role is None or self.person is None or self.document.status in ("trashed", "deleted"):
            return None
        role = role_on(path_access(self.person, self.rules, path), self.role)
        if role is None:
            return None
        role = lower(role, self.most)
        return lower(role, "viewer") if self.document.status == "archived" else role

    def in_tree(self) -> TreeRights | None:
        """The rights on the paths of a tree. None: there are none, or it is in the trash."""
        role = self.role
        if role is None or self.person is None or self.document.status in ("trashed", "deleted"):
            return None
        return TreeRights(self, lower(role, "viewer") if self.document.status == "archived" else role)


class TreeRights(NamedTuple):
    """`PathRights` of the engine."""

    rights: Rights
    role: Role

    @property
    def is_uniform(self) -> bool:
        return not self.rights.rules or self.role == "owner"

    def on(self, path: str) -> Role | None:
        return self.role if self.is_uniform else self.rights.on(path)

    def shows(self, path: str, *, is_folder: bool) -> bool:
        if self.is_uniform or self.rights.on(path) is not None:
            return True
        person = self.rights.person
        return is_folder and person is not None and leads(person, self.rights.rules, path)

    @property
    def view(self) -> Hashable:
        """People of one view have the same rules about them, and the same role to begin with."""
        person = self.rights.person
        if self.is_uniform or person is None:
            return None
        return person.role, tuple(rule for rule in self.rights.rules if is_about(rule, person))

    def alike(self, source: str, target: str) -> bool:
        return all(matches(rule.pattern, source) == matches(rule.pattern, target) for rule in self.rights.rules)


_DOCUMENT = select(
    workspaces.c.workspace_key,
    workspaces.c.workspace_id,
    workspaces.c.name,
    workspaces.c.status,
    workspaces.c.revision,
    workspaces.c.created_at,
    workspaces.c.created_by,
    workspaces.c.trashed_at,
)


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
        return Rights(document, caller.role, person, (), caller.role)
    if caller.workspace and caller.workspace != document_id:
        return None
    role, groups = _held(connection, caller, document.key)
    if role is None or (document.status == "trashed" and role != "owner"):
        return Rights(document, None, None, (), caller.role)
    bounded = lower(role, caller.role)
    person = Person(caller.account, groups, role)
    return Rights(document, bounded, person, rules_of(connection, document.key), caller.role)


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
    if connection.execute(
        select(bans.c.user_id).where(bans.c.workspace_key == workspace_key, bans.c.user_id == account)
    ).first():
        return None, frozenset()
    groups = frozenset(
        connection.execute(select(group_members.c.group_id).where(group_members.c.user_id == account)).scalars()
    )
    of_workspace = select(member.role).where(member.workspace_key == workspace_key)
    held = union_all(
        of_workspace.where(member.member_kind == "user", member.member_id == account),
        of_workspace.where(member.member_kind == "group", member.member_id.in_(groups)),
        select(link.role)
        .join(link_visitors, visitor.link_id == link.link_id)
        .where(open_links, visitor.user_id == account),
    )
    best: Role | None = None
    for role in connection.execute(held).scalars():
        best = higher(best, cast(Role, role))
    return best, groups
