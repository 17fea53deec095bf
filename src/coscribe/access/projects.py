"""Projects: what workspaces are made from, and the people and path rules that hold in them from the start.

A project has the id of its workspace, and its name and state are those of the workspace: it is renamed, archived, put
into the trash and deleted as every workspace is (`Documents`). A workspace that was made by itself is asked in the same
way; its people and rules are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, union_all, update

from coscribe.access.caller import Caller
from coscribe.access.documents import Documents, Listed
from coscribe.access.events import by, record
from coscribe.access.ids import new_id
from coscribe.access.members import Member, Members, members_by_kind, newcomer
from coscribe.access.paging import Page, checked_limit, comes_after, cursor_of, key_of, page_of
from coscribe.access.policy import Action, PathRule
from coscribe.access.project_people import (
    ImportState,
    Source,
    admit_to_project,
    drop_from_project,
    find_in_project,
    set_project_role,
)
from coscribe.access.rights import Document, authorise, rules_of_project
from coscribe.access.rules import Rules, advance, check_members, check_rules
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import (
    group_members,
    project_members,
    project_rules,
    projects,
    workspaces,
)
from coscribe.protocol.messages import Role

MAX_DETAIL = 1_024


class Import(NamedTuple):
    """How far it is. ``code`` and ``detail``: of the error that ended it. ``total`` None: not known yet."""

    state: ImportState
    done: int = 0
    total: int | None = None
    code: str = ""
    detail: str = ""


class Project(NamedTuple):
    workspace: Listed
    source: Source
    imported: Import


class Projects:
    """``progress``: how many files of an import that runs are made, by the project's id."""

    def __init__(
        self,
        database: Database,
        changed: Changed,
        documents: Documents,
        members: Members,
        progress: Callable[[str], int | None],
    ) -> None:
        self._database = database
        self._changed = changed
        self._documents = documents
        self._members = members
        self._progress = progress

    async def create(
        self,
        caller: Caller,
        name: str,
        source: Source,
        key: str | None = None,
        *,
        project_id: str = "",
        folds_case: bool,
    ) -> Project:
        """A project that the caller owns, with its workspace. Errors: those of `Documents.create_tree`."""
        made = await self._documents.create_tree(
            caller, name, key, workspace_id=project_id, folds_case=folds_case, source=source
        )
        return await self._shown(made)

    async def get(self, caller: Caller, project_id: str) -> Project:
        """Errors: ``file_not_found``."""
        return await self._shown(await self._documents.get(caller, project_id))

    async def list(self, caller: Caller, status: str, cursor: str, limit: int) -> Page[Project]:
        """Those in which one has a role, the newest first. Errors: ``invalid_request``."""
        account, before = caller.need_account(), key_of(cursor, int)
        checked_limit(limit)

        def job(connection: Connection) -> list[tuple[int, str]]:
            member = project_members.c
            mine = select(group_members.c.group_id).where(group_members.c.user_id == account)
            joined = select(member.project_key).where(
                ((member.member_kind == "user") & (member.member_id == account))
                | ((member.member_kind == "group") & member.member_id.in_(mine))
            )
            column = workspaces.c
            statement = select(column.workspace_key, column.workspace_id).where(
                column.project_key.in_(joined), column.status == status
            )
            if before is not None:
                statement = statement.where(column.workspace_key < before[0])
            if caller.workspace:
                statement = statement.where(column.workspace_id == caller.workspace)
            rows = connection.execute(statement.order_by(column.workspace_key.desc()).limit(limit + 1))
            return [(row.workspace_key, row.workspace_id) for row in rows]

        found = await self._database.read(job)
        following = cursor_of(found[limit - 1][0]) if len(found) > limit else ""
        shown = []
        for _, project_id in found[:limit]:
            try:
                shown.append(await self.get(caller, project_id))
            except CoscribeError as error:  # banned, or gone since
                if error.code is not Code.FILE_NOT_FOUND:
                    raise
        return Page(tuple(shown), following)

    # ---- people

    async def members(self, caller: Caller, project_id: str, *, cursor: str = "", limit: int = 50) -> Page[Member]:
        """Who has a role in it, in the order in which they came. Errors: ``invalid_request``, see `authorise`."""
        after = key_of(cursor, int, str, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Member] | None:
            key = authorise(connection, caller, Action.SEE_MEMBERS, project_id).document.project_key
            if key is None:
                return None
            found = _members(key).subquery()
            place = (found.c.added_at, found.c.kind, found.c.member_id)
            statement = select(found).order_by(*place).limit(limit + 1)
            if after is not None:
                statement = statement.where(comes_after(place, after))
            rows = [Member(*row) for row in connection.execute(statement)]
            return page_of(rows, limit, lambda member: (member.added_at, member.kind, member.member_id))

        page = await self._database.read(job)
        return page if page is not None else await self._members.list(caller, project_id, cursor=cursor, limit=limit)

    async def set_role(self, caller: Caller, project_id: str, member_id: str, role: Role) -> Member:
        """Changes the role of a member; adds a group that the caller owns, an administrator adds anybody. (People come
        in by an invitation to the workspace.) Errors: those of `Members.set_role`."""

        def job(connection: Connection) -> Member | None:
            document = authorise(connection, caller, Action.MANAGE_MEMBERS, project_id).document
            if document.project_key is None:
                return None
            key, before = document.project_key, find_in_project(connection, document.project_key, member_id)
            if before is None:
                new = newcomer(connection, caller, document.key, member_id, role)
                if new.kind == "group" and role == "owner":
                    raise CoscribeError(Code.INVALID_REQUEST, "an owner is a person, not a group")
                admit_to_project(connection, key, member_id, role, caller.account or None, new.kind)
                record(connection, by(caller, "member.added", workspace_id=project_id, subject=member_id, role=role))
            member = _find(connection, key, member_id)
            if before is not None and before != role:
                if member.kind == "group" and role == "owner":
                    raise CoscribeError(Code.INVALID_REQUEST, "an owner is a person, not a group")
                set_project_role(connection, key, member_id, role)
                detail = {"role": role, "before": before}
                record(
                    connection, by(caller, "member.role_changed", workspace_id=project_id, subject=member_id, **detail)
                )
            return member._replace(role=role)

        member = await self._database.write(job)
        if member is None:
            return await self._members.set_role(caller, project_id, member_id, role)
        await self._tell(project_id, member)
        return member

    async def remove(self, caller: Caller, project_id: str, member_id: str) -> None:
        """Takes the role of a person or a group away. Errors: ``not_found``, ``last_owner``, see `authorise`."""

        def job(connection: Connection) -> bool:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, project_id).document.project_key
            if key is None:
                return False
            if not drop_from_project(connection, key, member_id):
                raise CoscribeError(Code.NOT_FOUND, "nobody of that id is in the project", file_id=project_id)
            record(connection, by(caller, "member.removed", workspace_id=project_id, subject=member_id))
            return True

        if not await self._database.write(job):
            await self._members.remove(caller, project_id, member_id)
            return
        await self._changed(AccessChange(workspace_id=project_id))

    # ---- rules

    async def rules(self, caller: Caller, project_id: str) -> Rules:
        """Its path rules. Errors: see `authorise`."""

        def job(connection: Connection) -> Rules | None:
            document = authorise(connection, caller, Action.MANAGE_MEMBERS, project_id).document
            if document.project_key is None:
                return None
            return Rules(rules_of_project(connection, document.project_key), document.revision)

        found = await self._database.read(job)
        return found if found is not None else await self._members.rules.list(caller, project_id)

    async def replace_rules(
        self, caller: Caller, project_id: str, rules: Sequence[PathRule], revision: int | None
    ) -> Rules:
        """The whole list anew. Errors: those of `PathRules.replace`."""
        check_rules(rules)

        def job(connection: Connection) -> Rules | None:
            document = authorise(connection, caller, Action.MANAGE_MEMBERS, project_id).document
            if document.project_key is None:
                return None
            if revision not in (None, document.revision):
                raise CoscribeError(Code.PRECONDITION_FAILED, file_id=project_id)
            check_members(connection, rules)
            _replace_rules(connection, document, document.project_key, rules)
            record(connection, by(caller, "rules.replaced", workspace_id=project_id, rules=len(rules)))
            return Rules(tuple(rules), document.revision + 1)

        replaced = await self._database.write(job)
        if replaced is None:
            return await self._members.rules.replace(caller, project_id, rules, revision)
        await self._changed(AccessChange(workspace_id=project_id))
        return replaced

    async def _shown(self, workspace: Listed) -> Project:
        row = projects.c
        statement = select(
            row.source,
            row.address,
            row.import_state,
            row.import_done,
            row.import_total,
            row.import_code,
            row.import_detail,
        ).where(row.project_id == workspace.document_id)
        found = await self._database.read(lambda connection: connection.execute(statement).first())
        if found is None:
            return Project(workspace, Source("blank"), Import("ready"))
        done = self._progress(workspace.document_id)
        imported = Import(*found[2:])
        return Project(workspace, Source(*found[:2]), imported if done is None else imported._replace(done=done))

    async def _tell(self, project_id: str, member: Member) -> None:
        account = "" if member.kind == "group" else member.member_id
        await self._changed(AccessChange(workspace_id=project_id, account=account))


# ---- in a transaction


class Waiting(NamedTuple):
    """An import that is not over. ``owner``: whose files they will be."""

    project_id: str
    source: Source
    folds_case: bool
    owner: str


def waiting_imports(connection: Connection) -> list[Waiting]:
    row, workspace = projects.c, workspaces.c
    statement = (
        select(row.project_id, row.source, row.address, workspace.folds_case, row.created_by)
        .join(workspaces, workspace.workspace_id == row.project_id)
        .where(row.import_state.in_(("pending", "running")), workspace.status != "deleted")
        .order_by(row.project_key)
    )
    found = connection.execute(statement)
    return [Waiting(one[0], Source(one[1], one[2]), one[3], one[4] or "") for one in found]


def note_import(connection: Connection, project_id: str, how: Import) -> None:
    """Writes down how far an import is."""
    values = {
        "import_state": how.state,
        "import_done": how.done,
        "import_total": how.total,
        "import_code": how.code,
        "import_detail": how.detail[:MAX_DETAIL],
    }
    connection.execute(update(projects).where(projects.c.project_id == project_id).values(**values))


def _replace_rules(connection: Connection, document: Document, key: int, rules: Sequence[PathRule]) -> None:
    connection.execute(delete(project_rules).where(project_rules.c.project_key == key))
    for position, rule in enumerate(rules):
        values = {"rule_id": new_id("rul"), "project_key": key, "position": position}
        connection.execute(insert(project_rules).values(**values, **rule._asdict()))
    advance(connection, document.key)


def _find(connection: Connection, key: int, member_id: str) -> Member:
    found = _members(key).subquery()
    return Member(*connection.execute(select(found).where(found.c.member_id == member_id)).one())


def _members(key: int) -> Any:
    """The columns of a `Member`."""
    member = project_members.c
    return union_all(*members_by_kind(member, member.project_key == key))
