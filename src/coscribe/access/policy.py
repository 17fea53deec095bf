"""Policy: who may do what. Pure: a standing and an action in, a decision out.

One table for every channel. REST asks it per request, the gateway per join and again whenever something changed.
`docs/policy.md` is generated from it and each row is tested against the running server.

A role is a rank: an owner may do what an editor may, an editor what a viewer may. Path rules refine reading and writing
below that: the last rule that fits a path and a person decides; owners are above the rules, for they make them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple

from coscribe.core.errors import Code
from coscribe.protocol.messages import Role

Scope = Literal["read", "edit", "manage"]
PathAccess = Literal["none", "read", "write"]
Least = Literal["anyone", "account", "viewer", "editor", "owner", "administrator"]

RANK: dict[str, int] = {"viewer": 1, "editor": 2, "owner": 3}
_SCOPE_RANK: dict[Scope, int] = {"read": 1, "edit": 2, "manage": 3}
_CEILING: dict[Scope, Role] = {"read": "viewer", "edit": "editor", "manage": "owner"}


class Rule(NamedTuple):
    """``least``: who may. ``scope``: what an API token needs for it; None: no token may, only a person signed in.
    ``administrator``: an administrator may as well, without a role in the document. ``guest``: so may somebody without
    an account who came by a link. ``meaning``: for people."""

    least: Least
    scope: Scope | None
    meaning: str
    administrator: bool = False
    guest: bool = False


class Action(Enum):
    """Everything that can be asked for."""

    # Everybody.
    SEE_SERVER = Rule("anyone", "read", "what this server offers")
    SET_UP = Rule("anyone", None, "make the first administrator, with the link that the server printed")
    SIGN_UP = Rule("anyone", None, "make an account")
    SIGN_IN = Rule("anyone", None, "begin a session")
    RENEW_SESSION = Rule("anyone", None, "get new tokens for a refresh token")
    RECOVER = Rule("anyone", None, "use a link that came by mail")
    OPEN_LINK = Rule("anyone", None, "open a shared link")
    # One's own account.
    SEE_ACCOUNT = Rule("account", "read", "see one's own account")
    CHANGE_ACCOUNT = Rule("account", None, "change profile, password, e-mail, sessions; delete the account")
    EXPORT_ACCOUNT = Rule("account", None, "export one's own data")
    MANAGE_TOKENS = Rule("account", None, "list, make and revoke API tokens")
    SEARCH_USERS = Rule("account", "read", "search for people")
    # Documents in general.
    LIST_DOCUMENTS = Rule("account", "read", "list one's documents")
    CREATE_DOCUMENT = Rule("account", "manage", "make a document")
    EXPORT_DOCUMENTS = Rule("account", "read", "export all the texts that one may read")
    ASK_ACCESS = Rule("account", None, "ask for access to a document, whether there is one or not")
    SEE_INVITATIONS = Rule("account", "read", "see the invitations one has")
    ANSWER_INVITATION = Rule("account", "manage", "accept or decline an invitation")
    SEE_GROUPS = Rule("account", "read", "see the groups one is in")
    MANAGE_GROUPS = Rule("account", "manage", "make groups, change one's own")
    # One document.
    SEE_DOCUMENT = Rule("viewer", "read", "see name, status and one's own role", administrator=True, guest=True)
    READ_CONTENT = Rule("viewer", "read", "read and export the text", guest=True)
    READ_HISTORY = Rule("editor", "read", "read what the text was, and who wrote it: what was deleted is in there")
    EDIT_CONTENT = Rule("editor", "edit", "edit the text, name and restore its versions")
    MOUNT_WORKSPACE = Rule("editor", "edit", "start and stop keeping a workspace as files on the server")
    SEE_GIT = Rule("editor", "read", "see what git knows of a workspace: status, commits, branches, conflicts")
    USE_GIT = Rule("editor", "edit", "commit, switch branches, fetch, pull, push, say who one is in commits")
    KEEP_GIT_CREDENTIALS = Rule("editor", None, "store one's own credentials for other servers")
    RENAME_DOCUMENT = Rule("editor", "edit", "rename it")
    LEAVE_DOCUMENT = Rule("viewer", "manage", "give up one's own access")
    SEE_MEMBERS = Rule("viewer", "read", "see who has access", administrator=True)
    MANAGE_DOCUMENT = Rule("owner", "manage", "archive, trash, restore, delete for good", administrator=True)
    MANAGE_MEMBERS = Rule("owner", "manage", "members, bans, invitations, links, path rules", administrator=True)
    SEE_EVENTS = Rule("owner", "manage", "see who saw, changed, shared, was refused", administrator=True)
    REDACT_DOCUMENT = Rule(
        "owner", None, "take a text that must not be known out of all that it ever was, for good", administrator=True
    )
    SEE_CHECKPOINTS = Rule("viewer", "read", "fetch the signed checkpoints of its log", administrator=True)
    AUDIT_DOCUMENT = Rule(
        "owner", "manage", "take signed checkpoints, export all that happened for an audit", administrator=True
    )
    # The server.
    ADMINISTER_USERS = Rule("administrator", None, "list, lock, invite, promote accounts")
    HOLD_DOCUMENTS = Rule("administrator", None, "put documents under legal hold, release them")
    REDACT_EVERYTHING = Rule("administrator", None, "the same of all documents at once")
    GRANT_QUOTAS = Rule("administrator", None, "say how much a project may have")
    ADMINISTER_SERVER = Rule("administrator", None, "signing keys, all documents, all access events")


class Standing(NamedTuple):
    """What somebody comes with. ``account``: False for a token of the folder's key, behind which there is no person.
    ``scope`` None: no API token, so no bound; ``role``: in the document that it is about; ``held``: the same before
    the credential's bound, which counts for what only reads: a token to read does not write, and reads what its owner
    may. ``one_document``: the credential is for one document, and so for nothing that is about none."""

    signed_in: bool
    account: bool = True
    administrator: bool = False
    scope: Scope | None = None
    role: Role | None = None
    held: Role | None = None
    one_document: bool = False


def decide(action: Action, standing: Standing) -> Code | None:
    """None: allowed. Otherwise the refusal; who has no role in a document is not told that it exists."""
    rule = action.value
    if rule.least == "anyone":
        return Code.PERMISSION_DENIED if standing.signed_in and not _in_scope(rule.scope, standing.scope) else None
    as_administrator = rule.administrator and standing.administrator
    if rule.least in RANK:
        if standing.role is None and not as_administrator:
            return Code.FILE_NOT_FOUND if standing.signed_in else Code.SIGN_IN_REQUIRED
        if not (standing.signed_in or rule.guest):
            return Code.SIGN_IN_REQUIRED
    elif not standing.signed_in:
        return Code.SIGN_IN_REQUIRED
    elif standing.one_document and action is not Action.LIST_DOCUMENTS:  # the list shows no other
        return Code.PERMISSION_DENIED
    if not _in_scope(rule.scope, standing.scope):
        return Code.PERMISSION_DENIED
    if rule.least == "account":
        return None if standing.account else Code.PERMISSION_DENIED
    if as_administrator:
        return None
    if rule.least == "administrator":
        return None if standing.administrator else Code.PERMISSION_DENIED
    counts = standing.held if rule.scope == "read" else standing.role
    return None if _at_least(counts, rule.least) else Code.PERMISSION_DENIED


def _in_scope(needed: Scope | None, held: Scope | None) -> bool:
    return held is None or (needed is not None and _SCOPE_RANK[held] >= _SCOPE_RANK[needed])


def _at_least(role: Role | None, least: Least) -> bool:
    return role is not None and RANK[role] >= RANK[least]


def higher(one: Role | None, other: Role | None) -> Role | None:
    """The better of two roles."""
    if one is None or other is None:
        return one or other
    return one if RANK[one] >= RANK[other] else other


def lower(one: Role, other: Role) -> Role:
    return one if RANK[one] <= RANK[other] else other


def ceiling(scope: Scope) -> Role:
    """The most that a token of this scope can be in any document."""
    return _CEILING[scope]


# ---- paths


class PathRule(NamedTuple):
    """``member_kind``: user, group, role or everyone. In ``pattern`` ``*`` stays in one folder, ``**`` does not. A rule
    about a folder is about all that is in it."""

    member_kind: str
    member_id: str
    pattern: str
    access: PathAccess


class Person(NamedTuple):
    """Whom rules are about."""

    user_id: str
    groups: frozenset[str]
    role: Role


_ACCESS_RANK: dict[PathAccess, int] = {"none": 0, "read": 1, "write": 2}


def lower_access(one: PathAccess, other: PathAccess) -> PathAccess:
    return one if _ACCESS_RANK[one] <= _ACCESS_RANK[other] else other


def path_access(
    person: Person, rules: Sequence[PathRule], path: str, *, otherwise: PathAccess | None = None
) -> PathAccess:
    """What a person may do with a path: by the last rule that fits, ``otherwise`` by role."""
    access: PathAccess = otherwise or ("read" if person.role == "viewer" else "write")
    if person.role == "owner":
        return "write"
    for rule in rules:
        if is_about(rule, person) and matches(rule.pattern, path):
            access = rule.access
    return access


def may_rename(person: Person, rules: Sequence[PathRule], source: str, target: str, below: Iterable[str]) -> bool:
    """A rename needs writing on what is moved, on where it goes, and on all that moves along (paths below source)."""
    moved = [source, target]
    for path in below:
        moved += [path, target + path.removeprefix(source)]
    return all(path_access(person, rules, path) == "write" for path in moved)


def visible(person: Person, rules: Sequence[PathRule], paths: Iterable[str]) -> list[str]:
    """Those of the paths that the person may read; the others are not there."""
    return [path for path in paths if path_access(person, rules, path) != "none"]


def leads(person: Person, rules: Sequence[PathRule], folder: str) -> bool:
    """Whether something below a folder is opened by a rule that names it: by the part of the pattern that is fixed."""
    return any(
        rule.access != "none" and is_about(rule, person) and _fixed(rule.pattern).startswith(f"{folder}/")
        for rule in rules
    )


def _fixed(pattern: str) -> str:
    """The beginning of a pattern that every path has which fits it, with a slash at its end."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if "*" in part or "?" in part:
            break
        parts.append(part)
    return "".join(f"{part}/" for part in parts)


def role_on(access: PathAccess, role: Role) -> Role | None:
    """A path's access as a role in that file, for whoever knows only roles."""
    if access == "none":
        return None
    if access == "read":
        return "viewer"
    return "editor" if role == "viewer" else role


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern fits a path, or a folder that it is in."""
    return _compiled(pattern).match(path + "/") is not None


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """``docs`` is docs and everything below, and so is ``docs/**``; ``*.md`` is in the top folder only; ``**/*.md`` is
    anywhere.

    ``**`` stands for any folders and has to be a whole part; within a part it is no more than ``*``. The regular
    expression is for the beginning of the path and a slash, up to one of its slashes. Its groups are atomic, since
    where the first fit is taken nothing is lost: so no pattern, however many stars it has, takes more than about its
    length times the path's.
    """
    first, *others = _blocks(pattern)
    middle = "".join(f"(?>(?:[^/]*/)*?{block})" for block in others[:-1])
    last = "".join(f"(?:[^/]*/)*{block}" for block in others[-1:])
    return re.compile(first + middle + last, re.DOTALL)


def _blocks(pattern: str) -> list[str]:
    """What stands before, between and after the parts that are ``**``."""
    blocks = [""]
    for part in pattern.split("/"):
        if part == "**":
            blocks.append("")
        else:
            blocks[-1] += _part(part) + "/"
    return blocks


def _part(part: str) -> str:
    first, *others = ("".join("[^/]" if c == "?" else re.escape(c) for c in text) for text in re.split(r"\*+", part))
    middle = "".join(f"(?>[^/]*?{text})" for text in others[:-1])
    return first + middle + "".join(f"[^/]*{text}" for text in others[-1:])


def is_about(rule: PathRule, person: Person) -> bool:
    if rule.member_kind == "user":
        return rule.member_id == person.user_id
    if rule.member_kind == "group":
        return rule.member_id in person.groups
    return rule.member_kind == "everyone" or rule.member_id == person.role
