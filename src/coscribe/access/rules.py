"""Path rules of a document: who may read and write which paths, below their role. See `policy.path_access`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import new_id
from coscribe.access.policy import Action, PathRule
from coscribe.access.rights import authorise, rules_of
from coscribe.access.sessions import Changed
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import groups, path_rules, users, workspaces

MAX_RULES = 200
MAX_PATTERN = 512


class Rules(NamedTuple):
    """In the order in which they are asked; the last one that fits decides. ``revision`` is the document's."""

    rules: tuple[PathRule, ...]
    revision: int


class PathRules:
    """``changed`` returns when open sockets have felt what was changed."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def list(self, caller: Caller, document_id: str) -> Rules:
        """Errors: see `authorise`. Only who makes the rules sees them: they name what others must not know of."""

        def job(connection: Connection) -> Rules:
            document = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document
            return Rules(rules_of(connection, document.key), document.revision)

        return await self._database.read(job)

    async def replace(self, caller: Caller, document_id: str, rules: Sequence[PathRule], revision: int | None) -> Rules:
        """The whole list anew, where the document is still at ``revision`` (None: whatever it is at).

        Errors: ``invalid_request``, ``precondition_failed``, see `authorise`.
        """
        check_rules(rules)

        def job(connection: Connection) -> Rules:
            document = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document
            if revision not in (None, document.revision):
                raise CoscribeError(Code.PRECONDITION_FAILED, file_id=document_id)
            check_members(connection, rules)
            connection.execute(delete(path_rules).where(path_rules.c.workspace_key == document.key))
            for position, rule in enumerate(rules):
                values = {"rule_id": new_id("rul"), "workspace_key": document.key, "position": position}
                connection.execute(insert(path_rules).values(**values, **rule._asdict()))
            advance(connection, document.key)
            record(connection, by(caller, "rules.replaced", workspace_id=document_id, rules=len(rules)))
            return Rules(tuple(rules), document.revision + 1)

        replaced = await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id))
        return replaced


def advance(connection: Connection, workspace_key: int) -> None:
    """Raises the document's revision."""
    this = update(workspaces).where(workspaces.c.workspace_key == workspace_key)
    connection.execute(this.values(revision=workspaces.c.revision + 1))


def check_rules(rules: Sequence[PathRule]) -> None:
    if len(rules) > MAX_RULES:
        raise CoscribeError(Code.INVALID_REQUEST, f"at most {MAX_RULES} rules")
    for number, rule in enumerate(rules, 1):
        problem = _problem(rule)
        if problem:
            raise CoscribeError(Code.INVALID_REQUEST, f"rule {number}: {problem}")


def _problem(rule: PathRule) -> str:
    """What is wrong with a rule; "": nothing that can be seen without the tables."""
    parts = rule.pattern.split("/")
    if not 1 <= len(rule.pattern) <= MAX_PATTERN or not rule.pattern.isprintable():
        return f"a pattern has 1 to {MAX_PATTERN} printable characters"
    if not all(parts) or {".", ".."} & set(parts):
        return "a pattern is a path from the top: no slash at its ends, no empty part, no . and no .."
    if any("**" in part and part != "**" for part in parts):
        return "** stands for whole folders: write docs/**, **/*.md"
    if rule.member_kind == "role" and rule.member_id not in ("editor", "viewer"):
        return "a role is editor or viewer; owners are above the rules"
    if rule.member_kind == "everyone" and rule.member_id:
        return "everyone needs no id"
    return ""


def check_members(connection: Connection, rules: Sequence[PathRule]) -> None:
    people = {rule.member_id for rule in rules if rule.member_kind == "user"}
    known = select(users.c.user_id).where(users.c.user_id.in_(people), users.c.status != "deleted")
    unknown = people - set(connection.execute(known).scalars()) | _unknown_groups(connection, rules)
    if unknown:
        raise CoscribeError(Code.INVALID_REQUEST, f"there is nobody of the id {min(unknown)}")


def _unknown_groups(connection: Connection, rules: Sequence[PathRule]) -> set[str]:
    named = {rule.member_id for rule in rules if rule.member_kind == "group"}
    return named - set(connection.execute(select(groups.c.group_id).where(groups.c.group_id.in_(named))).scalars())
