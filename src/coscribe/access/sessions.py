"""Sessions: a person signed in, in a browser (a cookie) or a program (access token and rotating refresh token).

    refresh tokens of a session:   r1 --used--> r2 --used--> r3
                                    \\--used again: somebody has a copy; the session ends

A session that ends takes its sockets along: `changed` returns when they are closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from coscribe.access.authentication import SESSION_LIFETIME
from coscribe.access.caller import Caller, Origin
from coscribe.access.events import Event, by, record
from coscribe.access.ids import MICROSECONDS, digest, new_id, new_secret, now
from coscribe.access.keys import LIFETIME, Keys
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import refresh_tokens, sessions, users

SessionKind = Literal["browser", "api"]
Changed = Callable[[AccessChange], Awaitable[None]]

COOKIE_KIND = "csb"
REFRESH_KIND = "csr"

MAX_SESSIONS = 100
"""Sessions of one person; the longest unused one ends when another begins."""

KEPT = 7 * 86_400 * MICROSECONDS
"""How long an ended session can still be looked at."""


class Device(NamedTuple):
    """What a session says of where it is: the program's own words, and an address."""

    client: str
    origin: Origin


class Opened(NamedTuple):
    """A session that has begun. ``secret`` is the cookie of a browser, the refresh token of a program."""

    session_id: str
    user_id: str
    secret: str


class Tokens(NamedTuple):
    """``expires_in`` is seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


class Session(NamedTuple):
    """A session to look at. Times are microseconds since 1970."""

    session_id: str
    kind: str
    client: str
    address: str
    created_at: int
    used_at: int
    expires_at: int


class Sessions:
    """Begins, renews and ends sessions."""

    def __init__(self, database: Database, keys: Keys, changed: Changed) -> None:
        self._database = database
        self._keys = keys
        self._changed = changed

    def access_token(self, session_id: str, user_id: str) -> tuple[str, int]:
        """A short-lived token of a session, and how many seconds it lasts."""
        token, _ = self._keys.sign("session", user_id, session_id)
        return token, LIFETIME

    def tokens(self, opened: Opened) -> Tokens:
        access_token, seconds = self.access_token(opened.session_id, opened.user_id)
        return Tokens(access_token, opened.secret, seconds)

    async def refresh(self, token: str, origin: Origin) -> Tokens:
        """New tokens for an unused refresh token. One that comes again ends its session.

        Errors: ``authentication_failed``.
        """
        secret = new_secret(REFRESH_KIND)
        result = await self._database.write(lambda connection: _rotate(connection, token, secret, origin))
        if result.reused:
            await self._changed(AccessChange(credential=f"session:{result.session_id}"))
        if result.reused or not result.session_id:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the refresh token is not good any more; sign in again")
        return self.tokens(Opened(result.session_id, result.user_id, secret))

    async def list(self, caller: Caller) -> list[Session]:
        """One's open sessions, the last used first."""
        account = caller.need_account()
        column = sessions.c
        statement = (
            select(
                column.session_id,
                column.kind,
                column.client,
                column.address,
                column.created_at,
                column.used_at,
                column.expires_at,
            )
            .where(column.user_id == account, column.ended_at.is_(None), column.expires_at > now())
            .order_by(column.used_at.desc())
        )
        return await self._database.read(lambda connection: [Session(*row) for row in connection.execute(statement)])

    async def end(self, caller: Caller, session_id: str) -> None:
        """Ends one of one's sessions. Errors: ``not_found``."""
        account = caller.need_account()

        def job(connection: Connection) -> None:
            mine = connection.execute(
                select(sessions.c.session_id).where(
                    sessions.c.session_id == session_id, sessions.c.user_id == account, sessions.c.ended_at.is_(None)
                )
            ).first()
            if mine is None:
                raise CoscribeError(Code.NOT_FOUND, "there is no such session")
            connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(ended_at=now()))
            record(connection, by(caller, "session.ended", subject=session_id))

        await self._database.write(job)
        await self._changed(AccessChange(credential=f"session:{session_id}"))

    async def end_all(self, caller: Caller) -> None:
        """Log out everywhere."""
        account = caller.need_account()

        def job(connection: Connection) -> None:
            end_sessions(connection, account)
            record(connection, by(caller, "session.ended_all", subject=account))

        await self._database.write(job)
        await self._changed(AccessChange(account=account))


def begin(connection: Connection, user_id: str, kind: SessionKind, device: Device, how: str) -> Opened:
    """A new session, in the caller's transaction; its id and secret are new whatever there was before."""
    at, session_id = now(), new_id("ses")
    secret = new_secret(COOKIE_KIND if kind == "browser" else REFRESH_KIND)
    _make_room(connection, user_id, at)
    connection.execute(
        insert(sessions).values(
            session_id=session_id,
            user_id=user_id,
            kind=kind,
            secret_hash=digest(secret) if kind == "browser" else None,
            client=device.client[:256],
            address=device.origin.address[:64],
            created_at=at,
            used_at=at,
            expires_at=at + SESSION_LIFETIME,
        )
    )
    if kind == "api":
        connection.execute(
            insert(refresh_tokens).values(secret_hash=digest(secret), session_id=session_id, created_at=at)
        )
    detail = {"how": how, "kind": kind}
    record(connection, Event("session.began", user_id, None, session_id, "done", device.origin, detail))
    return Opened(session_id, user_id, secret)


def end_sessions(connection: Connection, user_id: str, *, but: str = "") -> None:
    """Ends all sessions of a user but one, in the caller's transaction. Sockets have to be told afterwards."""
    connection.execute(
        update(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None), sessions.c.session_id != but)
        .values(ended_at=now())
    )


def _make_room(connection: Connection, user_id: str, at: int) -> None:
    """Forgets what ended long ago; ends the longest unused session where there are too many."""
    column = sessions.c
    old = select(column.session_id).where(
        column.user_id == user_id, (column.ended_at < at - KEPT) | (column.expires_at < at - KEPT)
    )
    forgotten = list(connection.execute(old).scalars())
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(forgotten)))
    connection.execute(delete(sessions).where(column.session_id.in_(forgotten)))
    excess = (
        select(column.session_id)
        .where(column.user_id == user_id, column.ended_at.is_(None))
        .order_by(column.used_at.desc())
        .offset(MAX_SESSIONS - 1)
    )
    ended = list(connection.execute(excess).scalars())
    connection.execute(update(sessions).where(column.session_id.in_(ended)).values(ended_at=at))


class _Rotated(NamedTuple):
    session_id: str
    user_id: str
    reused: bool


def _rotate(connection: Connection, token: str, secret: str, origin: Origin) -> _Rotated:
    at, column = now(), refresh_tokens.c
    row: Any = connection.execute(
        select(column.used_at, column.session_id, sessions.c.user_id, sessions.c.ended_at, sessions.c.expires_at)
        .join(sessions, sessions.c.session_id == column.session_id)
        .join(users, users.c.user_id == sessions.c.user_id)
        .where(column.secret_hash == digest(token), users.c.status == "active")
    ).first()
    if row is None or row.ended_at is not None or row.expires_at <= at:
        return _Rotated("", "", False)
    session_id, user_id = row.session_id, row.user_id
    mine = update(sessions).where(sessions.c.session_id == session_id)
    if row.used_at is not None:
        connection.execute(mine.values(ended_at=at))
        record(connection, Event("session.refresh_reused", user_id, None, session_id, "authentication_failed", origin))
        return _Rotated(session_id, user_id, True)
    connection.execute(update(refresh_tokens).where(column.secret_hash == digest(token)).values(used_at=at))
    connection.execute(insert(refresh_tokens).values(secret_hash=digest(secret), session_id=session_id, created_at=at))
    connection.execute(mine.values(used_at=at, expires_at=at + SESSION_LIFETIME, address=origin.address[:64]))
    return _Rotated(session_id, user_id, False)
