"""Directory: finding people, by what they chose to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, false, or_, select, union

from coscribe.access.caller import Caller
from coscribe.access.paging import Page, checked_limit, comes_after, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.rights import allow
from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.auth import color_of
from coscribe.persistence.database import Database
from coscribe.persistence.schema import api_tokens, authors, bans, group_members, groups, users, workspace_members

MIN_QUERY = 2
MAX_QUERY = 320

_ESCAPE = "\\"


class Profile(NamedTuple):
    """What everybody may know of a person."""

    user_id: str
    handle: str
    display_name: str
    color: str


class Author(NamedTuple):
    """Who signed an operation: a person, a bot of theirs (``usr_1+tok_1``), or a name in a token of the folder's key.
    Of an erased account nothing is left but that it was one and the same (``erased-7``)."""

    user_id: str
    display_name: str
    color: str


MAX_NAMES = 500
"""Authors that one statement looks up."""

ERASED = "Deleted account"
GREY = "#868e96"

PROFILE = (users.c.user_id, users.c.handle, users.c.display_name, users.c.color)
"""The columns of a `Profile`."""


class Directory:
    """Search among active people: those who let themselves be found, and those one shares a document or group with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authors(self, references: Iterable[int]) -> dict[int, Author]:
        """Who is behind the opaque references of a log."""
        wanted = sorted(set(references))
        pages = [wanted[begin : begin + MAX_NAMES] for begin in range(0, len(wanted), MAX_NAMES)]
        found: dict[int, Author] = {}
        for page in pages:
            found |= await self._database.read(lambda connection, page=page: _authors(connection, page))  # type: ignore[misc]  # the default binds the loop's value
        return found

    async def search(self, caller: Caller, query: str, *, cursor: str = "", limit: int = 20) -> Page[Profile]:
        """Best match first: the handle itself, its beginning, the beginning of a word of the name, anything within.

        An e-mail address finds whoever has it, verified, only as a whole and only who can be found by everybody.
        Errors: ``invalid_request``, ``permission_denied``, ``sign_in_required``.
        """
        words = " ".join(query.split())
        wanted = words.removeprefix("@")
        if not MIN_QUERY <= len(wanted) <= MAX_QUERY:
            raise CoscribeError(Code.INVALID_REQUEST, f"a query has {MIN_QUERY} to {MAX_QUERY} characters")
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Profile]:
            account = allow(caller, Action.SEARCH_USERS)
            rank = _rank(wanted).label("rank")
            acquainted = users.c.user_id.in_(_acquaintances(account))
            by_email = and_(users.c.email == wanted.lower(), users.c.discoverable)
            statement = (
                select(*PROFILE, rank)
                .where(users.c.status == "active", users.c.user_id != account)
                .where(or_(and_(rank < _NOT_FOUND, or_(users.c.discoverable, acquainted)), by_email))
            )
            if after is not None:
                statement = statement.where(comes_after((rank, users.c.handle), after))
            rows = connection.execute(statement.order_by(rank, users.c.handle).limit(limit + 1)).all()
            page = page_of(rows, limit, lambda row: (row.rank, row.handle))
            return Page(tuple(Profile(*row[:4]) for row in page.items), page.next_cursor)

        return await self._database.read(job)


def _authors(connection: Connection, references: Sequence[int]) -> dict[int, Author]:
    rows = connection.execute(
        select(authors.c.author_ref, authors.c.user_id).where(authors.c.author_ref.in_(references))
    ).all()
    signed = {row.author_ref: row.user_id for row in rows if row.user_id is not None}
    accounts = {user_id.partition("+")[0] for user_id in signed.values()}
    tokens = {user_id.partition("+")[2] for user_id in signed.values()}
    people = {
        row.user_id: row
        for row in connection.execute(
            select(users.c.user_id, users.c.display_name, users.c.color).where(users.c.user_id.in_(accounts))
        )
    }
    named = select(api_tokens.c.token_id, api_tokens.c.name).where(api_tokens.c.token_id.in_(tokens))
    bots = {row.token_id: row.name for row in connection.execute(named)}
    found: dict[int, Author] = {}
    for reference in references:
        user_id = signed.get(reference)
        if user_id is None:
            found[reference] = Author(f"erased-{reference}", ERASED, GREY)
            continue
        account, _, token = user_id.partition("+")
        person = people.get(account)
        if person is None:
            found[reference] = Author(user_id, user_id, color_of(user_id))
        elif token:
            name = f"{bots.get(token, token)} ({person.display_name})"
            found[reference] = Author(user_id, name, person.color)
        else:
            found[reference] = Author(user_id, person.display_name, person.color)
    return found


def find_person(connection: Connection, name: str) -> Profile | None:
    """The active account that an id, a handle or ``@handle`` names. An id comes before a handle that looks like one."""
    wanted = or_(users.c.user_id == name, users.c.handle == name.removeprefix("@").lower())
    rows = connection.execute(select(*PROFILE).where(users.c.status == "active", wanted)).all()
    found = sorted((Profile(*row) for row in rows), key=lambda profile: profile.user_id != name)
    return found[0] if found else None


_NOT_FOUND = 9


def _rank(wanted: str) -> ColumnElement[int]:
    """How well a row fits; `_NOT_FOUND` where it does not."""
    handle = wanted.lower()
    spellings = {handle}
    if not wanted.isascii():  # case is known of ASCII only; so the usual ways to write it are tried
        spellings |= {wanted, wanted.upper(), wanted.title(), wanted.capitalize()}
    return case(
        (users.c.handle == handle, 0),
        (users.c.handle.like(f"{_escaped(handle)}%", escape=_ESCAPE), 1),
        (_name_like(spellings, "{}%", "% {}%", "%-{}%"), 2),
        (or_(users.c.handle.like(f"%{_escaped(handle)}%", escape=_ESCAPE), _name_like(spellings, "%{}%")), 3),
        else_=_NOT_FOUND,
    )


def _name_like(spellings: set[str], *forms: str) -> ColumnElement[bool]:
    fits = [
        users.c.display_name.ilike(form.format(_escaped(spelling)), escape=_ESCAPE)
        for form in forms
        for spelling in sorted(spellings)
    ]
    return or_(false(), *fits)


def _escaped(text: str) -> str:
    """The text as LIKE finds it literally."""
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text


def _acquaintances(account: str) -> Select[tuple[str]]:
    """The ids of everybody one shares a document or a group with."""
    member, together = workspace_members.c, group_members.c
    my_groups = union(
        select(together.group_id).where(together.user_id == account),
        select(groups.c.group_id).where(groups.c.owner_id == account),
    )
    is_me = or_(
        and_(member.member_kind == "user", member.member_id == account),
        and_(
            member.member_kind == "group",
            member.member_id.in_(select(together.group_id).where(together.user_id == account)),
        ),
    )
    my_documents = select(member.workspace_key).where(
        is_me, member.workspace_key.not_in(select(bans.c.workspace_key).where(bans.c.user_id == account))
    )
    there = select(member.member_id).where(member.workspace_key.in_(my_documents))
    found = union(
        there.where(member.member_kind == "user"),
        select(together.user_id).where(
            or_(
                together.group_id.in_(my_groups),
                together.group_id.in_(there.where(member.member_kind == "group")),
            )
        ),
    ).subquery()
    return select(found.c[0])
