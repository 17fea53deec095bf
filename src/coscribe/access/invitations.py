"""Invitations: to a document with a role, or to the server, that is, to make an account there.

    open --> accepted | declined | withdrawn | (14 days pass)

Who is invited by id or handle finds it in their inbox. Who is invited by e-mail gets a secret by mail, and finds it in
the inbox as well once that address is verified. The secret is good for whoever holds it, with any account: people have
several addresses. It is good once. Nobody is told whether an address has an account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import Connection, Row, Select, and_, delete, false, func, insert, or_, select, update

from coscribe.access.caller import Caller
from coscribe.access.directory import Profile
from coscribe.access.events import by, record
from coscribe.access.ids import MICROSECONDS, digest, new_id, new_secret, now
from coscribe.access.mail import Mail
from coscribe.access.members import admit
from coscribe.access.names import canonical, checked_email
from coscribe.access.paging import Page, checked_limit, comes_after, key_of, page_of
from coscribe.access.policy import Action
from coscribe.access.rights import allow, authorise
from coscribe.access.sessions import Changed
from coscribe.access.throttle import Throttled
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import bans, invitations, users, workspace_members, workspaces
from coscribe.protocol.messages import Role

SECRET_KIND = "csi"
LIFETIME = 14 * 86_400 * MICROSECONDS
MAX_OPEN = 200
"""Open invitations to one document, and of one kind to the server."""

MAX_SENT = 100
"""Invitations that one account sends in an hour."""

MAX_ENTRIES = 500
"""People in one pasted list."""

_HOUR = 3_600 * MICROSECONDS
_KEPT = 86_400 * MICROSECONDS
"""How long an invitation is kept that is no longer open."""

Outcome = Literal["invited", "already_member", "not_found", "invalid", "banned", "too_many"]


class Invitation(NamedTuple):
    """``document_id`` "": to the server. ``person`` or ``email`` says who is invited; neither: whoever has the link."""

    invitation_id: str
    document_id: str
    document_name: str
    role: Role | None
    person: Profile | None
    email: str
    inviter: str
    created_at: int
    expires_at: int


class Accepted(NamedTuple):
    document_id: str
    document_name: str


class Entry(NamedTuple):
    """One of a pasted list, as it was written, and what came of it."""

    text: str
    outcome: Outcome


class Open(NamedTuple):
    """An invitation that can be accepted now. ``workspace_key`` None: to the server."""

    invitation_id: str
    workspace_key: int | None
    document_id: str
    document_name: str
    role: Role | None
    invited_by: str | None


class _Invitee(NamedTuple):
    """An account or an address."""

    user_id: str | None
    email: str | None


class _Written(NamedTuple):
    """``address``: where a mail goes, if anywhere; ``secret`` "": the inbox is enough."""

    invitation_id: str
    address: str | None
    secret: str


class Invitations:
    """``send`` takes a mail and returns at once. ``changed`` returns when open sockets have felt what was changed."""

    def __init__(self, database: Database, changed: Changed, send: Callable[[Mail], None], *, public_url: str) -> None:
        self._database = database
        self._changed = changed
        self._send = send
        self._public_url = public_url

    # ---- inviting

    async def invite(self, caller: Caller, document_id: str, who: str, role: Role) -> Invitation:
        """Invites an id, a handle or an e-mail address. Inviting somebody again replaces the invitation before.

        Errors: ``not_found``, ``invalid_request``, ``conflict`` for a member, ``banned``, ``quota_exceeded``,
        ``too_many_requests``, see `authorise`. An address is never refused for whom it belongs to.
        """

        def job(connection: Connection) -> tuple[Invitation, str, list[_Written]]:
            plan = _Plan(connection, caller, document_id, role)
            outcome = plan.outcomes([who])[0]
            if outcome != "invited":
                raise plan.refusal(outcome)
            written = plan.write()
            return _by_id(connection, written[0].invitation_id), plan.inviter, written

        invitation, inviter, written = await self._database.write(job)
        self._mail(written, inviter, invitation.document_name, role)
        return invitation

    async def invite_many(self, caller: Caller, document_id: str, text: str, role: Role) -> list[Entry]:
        """Invites a pasted list: handles, ids, addresses, ``Name <address>``, between commas, semicolons or lines.

        Each entry has an outcome of its own; ``too_many`` were not invited, as the document or the sender has reached a
        limit. Errors: ``invalid_request``: no entries, or more than 500; see `authorise`.
        """
        entries = split(text)
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise CoscribeError(Code.INVALID_REQUEST, f"a list has 1 to {MAX_ENTRIES} entries")

        def job(connection: Connection) -> tuple[list[Outcome], _Plan, list[_Written]]:
            plan = _Plan(connection, caller, document_id, role)
            outcomes = plan.outcomes([_bare(entry) for entry in entries])
            return outcomes, plan, plan.write()

        outcomes, plan, written = await self._database.write(job)
        self._mail(written, plan.inviter, plan.document_name, role)
        return [Entry(text, outcome) for text, outcome in zip(entries, outcomes, strict=True)]

    async def pending(self, caller: Caller, document_id: str, *, cursor: str = "", limit: int = 50) -> Page[Invitation]:
        """Open invitations to a document, oldest first. Errors: ``invalid_request``, see `authorise`."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Invitation]:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            return _list(connection, invitations.c.workspace_key == key, after, limit)

        return await self._database.read(job)

    async def withdraw(self, caller: Caller, document_id: str, invitation_id: str) -> None:
        """Errors: ``not_found``, see `authorise`."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document.key
            this = and_(invitations.c.workspace_key == key, invitations.c.invitation_id == invitation_id)
            _close(connection, this, "withdrawn")
            event = by(caller, "invitation.withdrawn", workspace_id=document_id, subject=invitation_id)
            record(connection, event)

        await self._database.write(job)

    # ---- being invited

    async def inbox(self, caller: Caller, *, cursor: str = "", limit: int = 50) -> Page[Invitation]:
        """The open invitations that one can answer, oldest first. Errors: ``invalid_request``."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Invitation]:
            account = allow(caller, Action.SEE_INVITATIONS)
            return _list(connection, _is_for(connection, account), after, limit)

        return await self._database.read(job)

    async def accept(self, caller: Caller, invitation_id: str) -> Accepted:
        """One of the inbox. Who is a member keeps the better role. Errors: ``not_found``, ``banned``."""

        def job(connection: Connection) -> Accepted:
            account = allow(caller, Action.ANSWER_INVITATION)
            this = and_(invitations.c.invitation_id == invitation_id, _is_for(connection, account))
            return self._accept(connection, caller, _find_open(connection, this), Code.NOT_FOUND)

        return await self._accepted(caller, await self._database.write(job))

    async def accept_secret(self, caller: Caller, secret: str) -> Accepted:
        """One that came by mail; the account need not have that address. Errors: ``secret_invalid``, ``banned``."""

        def job(connection: Connection) -> Accepted:
            allow(caller, Action.ANSWER_INVITATION)
            found = find_open_by_secret(connection, secret)
            if found is not None and found.workspace_key is None:
                raise CoscribeError(Code.SECRET_INVALID, "it is for making an account, and you have one")
            return self._accept(connection, caller, found, Code.SECRET_INVALID)

        return await self._accepted(caller, await self._database.write(job))

    async def decline(self, caller: Caller, invitation_id: str) -> None:
        """One of the inbox. Errors: ``not_found``."""

        def job(connection: Connection) -> None:
            account = allow(caller, Action.ANSWER_INVITATION)
            this = and_(invitations.c.invitation_id == invitation_id, _is_for(connection, account))
            found = _find_open(connection, this)
            _close(connection, this, "declined")
            workspace_id = found.document_id if found is not None else None
            record(connection, by(caller, "invitation.declined", workspace_id=workspace_id, subject=invitation_id))

        await self._database.write(job)

    def _accept(self, connection: Connection, caller: Caller, found: Open | None, missing: Code) -> Accepted:
        if found is None:
            raise CoscribeError(missing, "there is no such invitation, or it is no longer open")
        _use(connection, found, caller.account)
        event = by(caller, "invitation.accepted", workspace_id=found.document_id, subject=found.invitation_id)
        record(connection, event)
        return Accepted(found.document_id, found.document_name)

    async def _accepted(self, caller: Caller, accepted: Accepted) -> Accepted:
        await self._changed(AccessChange(workspace_id=accepted.document_id, account=caller.account))
        return accepted

    # ---- to the server

    async def invite_to_server(self, caller: Caller, email: str = "") -> tuple[Invitation, str]:
        """For administrators: lets somebody make an account. Without an address, returns the link, to be shown once;
        with one the link goes there by mail and nowhere else, and "" is returned.

        Errors: ``invalid_request``, ``quota_exceeded``, ``too_many_requests``, ``permission_denied``.
        """
        address = checked_email(email) if email else None

        def job(connection: Connection) -> tuple[Invitation, str, list[_Written]]:
            allow(caller, Action.ADMINISTER_USERS)
            to_server = invitations.c.workspace_key.is_(None)
            written = _write(connection, caller, None, None, [_Invitee(None, address)])
            if _count(connection, and_(to_server, _is_open())) > MAX_OPEN:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"at most {MAX_OPEN} open invitations")
            if _sent(connection, caller) > MAX_SENT:
                raise _throttled(connection, caller)
            return _by_id(connection, written[0].invitation_id), _name_of(connection, caller), written

        invitation, inviter, written = await self._database.write(job)
        if address is None:
            return invitation, self._link(written[0].secret)
        self._mail(written, inviter, "", None)
        return invitation, ""

    async def pending_to_server(self, caller: Caller, *, cursor: str = "", limit: int = 50) -> Page[Invitation]:
        """Errors: ``invalid_request``, ``permission_denied``."""
        after = key_of(cursor, int, str)
        checked_limit(limit)

        def job(connection: Connection) -> Page[Invitation]:
            allow(caller, Action.ADMINISTER_USERS)
            return _list(connection, invitations.c.workspace_key.is_(None), after, limit)

        return await self._database.read(job)

    async def withdraw_from_server(self, caller: Caller, invitation_id: str) -> None:
        """Errors: ``not_found``, ``permission_denied``."""

        def job(connection: Connection) -> None:
            allow(caller, Action.ADMINISTER_USERS)
            invitation = invitations.c
            this = and_(invitation.workspace_key.is_(None), invitation.invitation_id == invitation_id)
            _close(connection, this, "withdrawn")
            record(connection, by(caller, "invitation.withdrawn", subject=invitation_id))

        await self._database.write(job)

    # ---- mail

    def _link(self, secret: str) -> str:
        return f"{self._public_url}/#invitation={secret}"

    def _mail(self, written: Iterable[_Written], inviter: str, document_name: str, role: Role | None) -> None:
        what = f"“{_line(document_name)}”" if document_name else "a Coscribe server"
        purpose = f", as {'an' if role != 'viewer' else 'a'} {role}" if role else ", to make an account there"
        said = f"{_line(inviter)} invites you to {what}{purpose}."
        for one in written:
            if one.address is None:
                continue
            if one.secret:
                how = f"Open this link within 14 days. It is good once, for whoever has it:\n\n{self._link(one.secret)}"
            else:
                how = f"Sign in to answer; you have 14 days:\n\n{self._public_url}/"
            self._send(Mail(one.address, f"An invitation to {what}", f"{said}\n\n{how}\n"))


# ---- for signing up, in its transaction


def find_open_by_secret(connection: Connection, secret: str) -> Open | None:
    """The invitation that a secret opens: to a document, or to the server. None: used, expired, withdrawn, unknown."""
    return _find_open(connection, invitations.c.secret_hash == digest(secret))


def consume(connection: Connection, secret: str, user_id: str) -> Open:
    """Uses an invitation for an account that has just been made. Errors: ``secret_invalid``, those of `admit`."""
    found = find_open_by_secret(connection, secret)
    if found is None:
        raise CoscribeError(Code.SECRET_INVALID)
    _use(connection, found, user_id)
    return found


# ---- lists of people


def split(text: str) -> list[str]:
    """The entries of a pasted list; a comma within quotes separates nothing."""
    found = re.findall(r"(?:\"[^\"\n]*\"|[^,;\n])+", text)
    return [entry.strip() for entry in found if entry.strip()]


def _bare(entry: str) -> str:
    """``Name <address>`` without the name."""
    within = re.fullmatch(r"[^<>]*<([^<>]*)>", entry)
    return within[1].strip() if within else entry


def _line(text: str) -> str:
    """A name as part of a line."""
    return " ".join(text.split())[:100]


# ---- in a transaction


class _Plan:
    """Whom to invite to a document. The questions are asked for all together: a list must not hold up the log."""

    def __init__(self, connection: Connection, caller: Caller, document_id: str, role: Role) -> None:
        document = authorise(connection, caller, Action.MANAGE_MEMBERS, document_id).document
        self.document_name = document.name
        self.inviter = _name_of(connection, caller)
        self._connection = connection
        self._caller = caller
        self._document_id = document_id
        self._key = document.key
        self._role = role
        self._invited: list[_Invitee] = []

    def outcomes(self, texts: Sequence[str]) -> list[Outcome]:
        """What is to come of each; the same text twice is one invitation."""
        wanted = [_Wanted.of(text) for text in texts]
        people = self._people({one.name for one in wanted if one.name})
        members, banned = self._insiders(set(people.values()))
        open_now = self._open_now()
        room_here, room_sent = MAX_OPEN - len(open_now), MAX_SENT - _sent(self._connection, self._caller)
        known: dict[_Invitee | None, Outcome] = {None: "invalid"}
        outcomes: list[Outcome] = []
        for one in wanted:
            user_id = people.get(one.name, "")
            invitee = None if one.is_invalid else _Invitee(user_id or None, one.email)
            if one.name and not user_id:
                outcomes.append("not_found")
                continue
            if invitee is not None and invitee not in known:
                is_new = invitee not in open_now
                if user_id in banned:
                    known[invitee] = "banned"
                elif user_id in members:
                    known[invitee] = "already_member"
                elif room_sent < 1 or (is_new and room_here < 1):
                    known[invitee] = "too_many"
                elif one.email and self._role == "owner":
                    known[invitee] = "invalid"
                else:
                    known[invitee] = "invited"
                    room_sent, room_here = room_sent - 1, room_here - is_new
                    self._invited.append(invitee)
            outcomes.append(known[invitee])
        return outcomes

    def write(self) -> list[_Written]:
        invited = self._invited
        return _write(self._connection, self._caller, (self._key, self._document_id), self._role, invited)

    def refusal(self, outcome: Outcome) -> CoscribeError:
        """An outcome as the error of a single invitation."""
        if outcome == "too_many":
            if _sent(self._connection, self._caller) >= MAX_SENT:
                return _throttled(self._connection, self._caller)
            return CoscribeError(Code.QUOTA_EXCEEDED, f"at most {MAX_OPEN} open invitations to a document")
        code, detail = {
            "already_member": (Code.CONFLICT, "they are a member already; change the role"),
            "not_found": (Code.NOT_FOUND, "there is no such account"),
            "banned": (Code.BANNED, "lift the ban first"),
        }.get(outcome, (Code.INVALID_REQUEST, "an id, a handle or an e-mail address; an owner only by id or handle"))
        return CoscribeError(code, detail, file_id=self._document_id)

    def _people(self, names: set[str]) -> dict[str, str]:
        """Who the names are, where they are somebody: by handle or id; ids come first."""
        account = select(users.c.user_id, users.c.handle).where(users.c.status == "active")
        rows = self._connection.execute(account.where(or_(users.c.user_id.in_(names), users.c.handle.in_(names)))).all()
        return {row.handle: row.user_id for row in rows} | {row.user_id: row.user_id for row in rows}

    def _insiders(self, people: set[str]) -> tuple[set[str], set[str]]:
        member = workspace_members.c
        of_members = select(member.member_id).where(
            member.workspace_key == self._key, member.member_kind == "user", member.member_id.in_(people)
        )
        of_bans = select(bans.c.user_id).where(bans.c.workspace_key == self._key, bans.c.user_id.in_(people))
        return set(self._connection.execute(of_members).scalars()), set(self._connection.execute(of_bans).scalars())

    def _open_now(self) -> set[_Invitee]:
        invitation = invitations.c
        here = and_(invitation.workspace_key == self._key, _is_open())
        found = self._connection.execute(select(invitation.user_id, invitation.email).where(here))
        return {_Invitee(*row) for row in found}


class _Wanted(NamedTuple):
    """What a text asks for: the name of an account, or an address; neither: it is no such thing."""

    name: str = ""
    email: str | None = None

    @property
    def is_invalid(self) -> bool:
        return not self.name and self.email is None

    @classmethod
    def of(cls, text: str) -> _Wanted:
        name = canonical(text).removeprefix("@")
        if "@" in name:
            try:
                return cls(email=checked_email(name))
            except CoscribeError:
                return cls()
        return cls(name=name) if re.fullmatch(r"[a-z0-9._-]{2,64}", name) else cls()


def _write(
    connection: Connection,
    caller: Caller,
    document: tuple[int, str] | None,
    role: Role | None,
    invited: Sequence[_Invitee],
) -> list[_Written]:
    """Invites; who was invited before has only the new invitation. To the server: ``document`` None."""
    key, document_id = document or (None, None)
    invitation, at = invitations.c, now()
    here = invitation.workspace_key == key if key is not None else invitation.workspace_key.is_(None)
    gone = and_(invitation.created_at < at - _KEPT, or_(invitation.status != "open", invitation.expires_at <= at))
    connection.execute(delete(invitations).where(here, gone))
    people, addresses = [one.user_id for one in invited if one.user_id], [one.email for one in invited if one.email]
    again = and_(
        here, or_(invitation.user_id.in_(people), invitation.email.in_(addresses)), invitation.status == "open"
    )
    connection.execute(update(invitations).where(again).values(status="withdrawn", secret_hash=None))
    verified = _verified(connection, people)
    written, rows, events = [], [], []
    for number, one in enumerate(invited):
        secret = "" if one.user_id else new_secret(SECRET_KIND)
        invitation_id = new_id("inv")
        rows.append(
            {
                "invitation_id": invitation_id,
                "workspace_key": key,
                "role": role,
                **one._asdict(),
                "secret_hash": digest(secret) if secret else None,
                "status": "open",
                "invited_by": caller.account or None,
                "created_at": at + number,  # so that they are listed in this order
                "expires_at": at + number + LIFETIME,
            }
        )
        detail: dict[str, Any] = {"role": role, "invitee": one.user_id or ""}
        events.append(by(caller, "invitation.sent", workspace_id=document_id, subject=invitation_id, **detail))
        written.append(_Written(invitation_id, one.email or verified.get(one.user_id or ""), secret))
    if rows:
        connection.execute(insert(invitations), rows)
        record(connection, *events)
    return written


def _use(connection: Connection, found: Open, user_id: str) -> None:
    if found.workspace_key is not None and found.role is not None:
        admit(connection, found.workspace_key, user_id, found.role, found.invited_by)
    _close(connection, invitations.c.invitation_id == found.invitation_id, "accepted")


def _close(connection: Connection, this: Any, status: str) -> None:
    """Errors: ``not_found``: it is not open."""
    closed = update(invitations).where(this, _is_open()).values(status=status, secret_hash=None)
    if connection.execute(closed).rowcount == 0:
        raise CoscribeError(Code.NOT_FOUND, "there is no such invitation, or it is no longer open")


def _is_open() -> Any:
    return and_(invitations.c.status == "open", invitations.c.expires_at > now())


def _is_for(connection: Connection, account: str) -> Any:
    """Whether an invitation is in somebody's inbox. An address that is not verified matches nothing."""
    email = connection.execute(select(users.c.email).where(users.c.user_id == account)).scalar()
    by_email = invitations.c.email == email if email else false()
    return and_(invitations.c.workspace_key.is_not(None), or_(invitations.c.user_id == account, by_email))


def _find_open(connection: Connection, this: Any) -> Open | None:
    invitation = invitations.c
    row = connection.execute(
        select(
            invitation.invitation_id,
            invitation.workspace_key,
            workspaces.c.workspace_id,
            workspaces.c.name,
            workspaces.c.status,
            invitation.role,
            invitation.invited_by,
        )
        .outerjoin(workspaces, workspaces.c.workspace_key == invitation.workspace_key)
        .where(this, _is_open())
    ).first()
    if row is None or row.status in ("trashed", "deleted"):
        return None
    name = row.name or row.workspace_id or ""
    role = cast("Role | None", row.role)
    return Open(row.invitation_id, row.workspace_key, row.workspace_id or "", name, role, row.invited_by)


def _list(connection: Connection, which: Any, after: tuple[Any, ...] | None, limit: int) -> Page[Invitation]:
    place = (invitations.c.created_at, invitations.c.invitation_id)
    statement = _INVITATIONS.where(which, _is_open()).order_by(*place).limit(limit + 1)
    statement = statement.where(or_(workspaces.c.status.is_(None), workspaces.c.status.not_in(("trashed", "deleted"))))
    if after is not None:
        statement = statement.where(comes_after(place, after))
    found = [_invitation(row) for row in connection.execute(statement)]
    return page_of(found, limit, lambda invitation: (invitation.created_at, invitation.invitation_id))


def _by_id(connection: Connection, invitation_id: str) -> Invitation:
    return _invitation(connection.execute(_INVITATIONS.where(invitations.c.invitation_id == invitation_id)).one())


_inviters = users.alias()

_INVITATIONS: Select[Any] = (
    select(
        invitations,
        workspaces.c.workspace_id,
        workspaces.c.name,
        users.c.handle,
        users.c.display_name,
        users.c.color,
        _inviters.c.display_name.label("inviter"),
    )
    .outerjoin(workspaces, workspaces.c.workspace_key == invitations.c.workspace_key)
    .outerjoin(users, users.c.user_id == invitations.c.user_id)
    .outerjoin(_inviters, _inviters.c.user_id == invitations.c.invited_by)
)


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(
        row.invitation_id,
        row.workspace_id or "",
        row.name or row.workspace_id or "",
        row.role,
        Profile(row.user_id, row.handle, row.display_name, row.color) if row.user_id else None,
        row.email or "",
        row.inviter or "",
        row.created_at,
        row.expires_at,
    )


def _verified(connection: Connection, people: Sequence[str]) -> dict[str, str]:
    """The addresses of those who have verified one."""
    found = select(users.c.user_id, users.c.email).where(users.c.user_id.in_(people), users.c.email.is_not(None))
    return {row.user_id: row.email for row in connection.execute(found)}


def _name_of(connection: Connection, caller: Caller) -> str:
    """Who invites, as a person."""
    found = connection.execute(select(users.c.display_name).where(users.c.user_id == caller.account)).scalar()
    return str(found or "An administrator")


def _sent_by(caller: Caller) -> Any:
    invitation = invitations.c
    sender = invitation.invited_by == caller.account if caller.account else invitation.invited_by.is_(None)
    return and_(sender, invitation.created_at > now() - _HOUR)


def _sent(connection: Connection, caller: Caller) -> int:
    return _count(connection, _sent_by(caller))


def _throttled(connection: Connection, caller: Caller) -> Throttled:
    first = connection.execute(select(func.min(invitations.c.created_at)).where(_sent_by(caller))).scalar() or now()
    seconds = (first + _HOUR - now()) / MICROSECONDS
    return Throttled(max(1.0, seconds), f"at most {MAX_SENT} invitations an hour")


def _count(connection: Connection, where: Any) -> int:
    return connection.execute(select(func.count()).select_from(invitations).where(where)).scalar_one()
