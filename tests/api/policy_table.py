"""The policy as two tables: every action, and every route with what each kind of caller gets. Pure.

`tools/generate.py` writes `docs/policy.md` from it, `test_policy_table.py` compares it with the running server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastapi import FastAPI

from coscribe.access.caller import NOBODY, Caller
from coscribe.access.policy import RANK, Action, Standing, ceiling, decide
from coscribe.api.app import routes_of
from coscribe.api.route import actions_of
from coscribe.core.errors import Code
from coscribe.protocol.messages import Role

_PERSON = Caller("session", "usr_1")
_GUEST = Caller("link", role="viewer", scope="read", workspace="doc_1")


def _token(scope: str, workspace: str = "") -> Standing:
    """Of an owner's token: never more than the scope allows."""
    caller = Caller("token", "usr_1", scope=scope, workspace=workspace)  # type: ignore[arg-type]  # one of three
    assert caller.scope is not None
    return caller._replace(role=ceiling(caller.scope)).standing("owner")


def _member(role: Role | None) -> Standing:
    return _PERSON.standing(role)


CALLERS: dict[str, Standing] = {
    "nobody": NOBODY.standing(),
    "outsider": _member(None),
    "viewer": _member("viewer"),
    "editor": _member("editor"),
    "owner": _member("owner"),
    "administrator": _PERSON._replace(administrator=True).standing(),
    "read token": _token("read"),
    "edit token": _token("edit"),
    "manage token": _token("manage"),
    "token of one": _token("manage", "doc_1"),
    "guest": _GUEST.standing("viewer"),
}
"""Every kind of caller, and what they come with where the document is the one that is asked about."""

EXPLAINED = {
    "nobody": "no credential",
    "outsider": "somebody signed in, with no role in the document",
    "viewer": "somebody signed in, with that role; editor and owner likewise",
    "administrator": "an administrator with no role in the document",
    "read token": "an API token of the document's owner, with that scope; edit and manage likewise",
    "token of one": "such a token for this one document, with the scope manage",
    "guest": "who came by a share link and has no account",
}


class Row(NamedTuple):
    """A route: ``answers`` by kind of caller; None: allowed."""

    method: str
    path: str
    actions: tuple[Action, ...]
    answers: dict[str, Code | None]

    @property
    def is_about_a_document(self) -> bool:
        return any(action.value.least in RANK for action in self.actions)

    @property
    def is_about_a_tree(self) -> bool:
        return "{workspaceId}" in self.path


def rows() -> Iterator[Row]:
    """One for each route, in the order in which they are made."""
    for route in routes_of(FastAPI()):
        for method in sorted(route.methods or ()):
            actions = actions_of(route)
            answers = {name: answer(actions, standing) for name, standing in CALLERS.items()}
            yield Row(method, route.path, actions, answers)


def answer(actions: tuple[Action, ...], standing: Standing) -> Code | None:
    """The first refusal, if there is one."""
    return next(filter(None, (decide(action, standing) for action in actions)), None)


def page() -> str:
    """``docs/policy.md``."""
    return "\n".join([_HEAD, *_actions(), _ROUTES_HEAD, *_explanations(), "", *_routes(), _TAIL])


def _actions() -> Iterator[str]:
    yield "| action | who | API token needs | also an administrator without a role | what it is |"
    yield "|---|---|---|---|---|"
    for action in Action:
        rule = action.value
        also = "yes" if rule.administrator or rule.least in ("anyone", "account", "administrator") else "no"
        yield f"| `{action.name.lower()}` | {rule.least} | {rule.scope or 'none may'} | {also} | {rule.meaning} |"


def _explanations() -> Iterator[str]:
    for name, meaning in EXPLAINED.items():
        yield f"- **{name}**: {meaning}"


def _routes() -> Iterator[str]:
    yield "| route | action | " + " | ".join(CALLERS) + " |"
    yield "|---" * (2 + len(CALLERS)) + "|"
    for row in rows():
        actions = " and ".join(f"`{action.name.lower()}`" for action in row.actions)
        answers = " | ".join("yes" if code is None else f"`{code.value.code}`" for code in row.answers.values())
        yield f"| {row.method} `{row.path}` | {actions} | {answers} |"


_HEAD = """\
# Who may do what

Written by `make generate` from `src/coscribe/access/policy.py` and the routes. `tests/api/test_policy_table.py` sends
the request of every cell below to a running server. The same policy answers for sockets: joining a file needs
`read_content`, an operation `edit_content`, and both are asked again when rights change.

## Actions

A role is a rank: an owner may do what an editor may, an editor what a viewer may. A token may do what its scope allows
and its owner may do at that moment; a scope holds the ones before it (read, edit, manage).
"""

_ROUTES_HEAD = """
## Routes

What each kind of caller gets: yes, or the code of the refusal. `file_not_found` is also what a document gets that does
not exist: who has no role in it is not told of it.
"""

_TAIL = """
"Yes" is about the right only: the request still has to be good, and what it names has to be there. An id of somebody
else's session, token, group, invitation or link is `not_found`, as if it did not exist.

A token to read changes nothing, and reads whatever its owner may: the history as well, where the owner is an editor.
The text of a past version (`content?version=`) needs `read_history`, too; so does naming and restoring one.

Below the role there are path rules (the last one that fits a path, or a folder that it is in, and a person decides;
owners are above them) and the document's state: in the archive everybody only reads, in the trash only owners see it. A
ban is above every role.
A token of the folder's key (`coscribe token`) belongs to whoever runs the server. It has its role in every document,
as an owner's token the rights of an administrator, and no account.
"""
