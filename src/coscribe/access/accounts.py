"""Accounts: who there is. Signing up and in, password, e-mail, profile, taking one's data along, going away.

What must not be told: whether an address has an account. So an address matches nothing until whoever signed up has
read a mail there, asking for a reset always answers the same, and a wrong name costs as much hashing as a wrong
password.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from coscribe.access import invitations, leaving
from coscribe.access.caller import Caller, Origin
from coscribe.access.events import Event, Notes, by, record
from coscribe.access.ids import MICROSECONDS, digest, new_id, new_secret, now
from coscribe.access.mail import Mail
from coscribe.access.names import canonical, checked_email, checked_handle, checked_name
from coscribe.access.passwords import Passwords
from coscribe.access.sessions import Changed, Device, Opened, SessionKind, begin, end_sessions
from coscribe.access.throttle import LoginGuard
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.gateway.auth import color_of
from coscribe.persistence.database import Database
from coscribe.persistence.schema import (
    one_time_secrets,
    sessions,
    users,
)

_T = TypeVar("_T")

SECRET_SECONDS = {"first_administrator": 7 * 86_400, "verify_email": 2 * 86_400, "reset_password": 3_600}
"""How long a link that comes by mail or on the console is good."""

FRESH_SECONDS = 600
"""How young a session has to be where there is no password to ask for."""


class User(NamedTuple):
    """An account as its owner, or an administrator, sees it."""

    user_id: str
    handle: str
    display_name: str
    color: str
    email: str | None
    unverified_email: str | None
    has_password: bool
    is_admin: bool
    status: str
    discoverable: bool
    revision: int
    created_at: int


class NewAccount(NamedTuple):
    """What somebody signs up with. ``password`` None: they sign in elsewhere."""

    handle: str
    display_name: str
    password: str | None
    email: str = ""
    invitation: str = ""


async def make_setup_link(database: Database, public_url: str) -> str | None:
    """A fresh link to make the first administrator; None: there is one. It replaces the links before it."""
    secret = new_secret("csf")

    def job(connection: Connection) -> bool:
        if has_administrator(connection):
            return False
        connection.execute(delete(one_time_secrets).where(one_time_secrets.c.purpose == "first_administrator"))
        _keep_secret(connection, secret, "first_administrator")
        return True

    return f"{public_url}/#setup={secret}" if await database.write(job) else None


class Accounts:
    """``send`` takes a mail and returns at once. ``open_sign_up``: whether an account needs no invitation."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        guard: LoginGuard,
        changed: Changed,
        send: Callable[[Mail], None],
        notes: Notes,
        *,
        public_url: str,
        open_sign_up: bool,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._guard = guard
        self._changed = changed
        self._send = send
        self._notes = notes
        self._public_url = public_url
        self.open_sign_up = open_sign_up

    # ---- beginning

    async def setup_link(self) -> str | None:
        """See `make_setup_link`."""
        return await make_setup_link(self._database, self._public_url)

    async def needs_setup(self) -> bool:
        return not await self._database.read(has_administrator)

    async def set_up(self, secret: str, account: NewAccount, kind: SessionKind, device: Device) -> Opened:
        """Makes the first administrator. Errors: ``secret_invalid``, those of `sign_up`."""
        account = self._checked(account)
        if not await self._database.read(lambda connection: _is_open(connection, secret, "first_administrator")):
            raise CoscribeError(Code.SECRET_INVALID)
        password_hash = await self._passwords.hash(account.password or "")

        def job(connection: Connection) -> Opened:
            if has_administrator(connection):
                raise CoscribeError(Code.SECRET_INVALID, "there is an administrator already")
            _use_secret(connection, secret, "first_administrator")
            user_id = _insert(connection, account, password_hash, device.origin, administrator=True)
            return begin(connection, user_id, kind, device, "set_up")

        opened = await self._write_account(job)
        await self._ask_to_verify(opened.user_id, account.email)
        return opened

    async def sign_up(self, account: NewAccount, kind: SessionKind, device: Device) -> Opened:
        """Makes an account and signs in.

        Errors: ``setup_required``, ``sign_up_closed``, ``invalid_request``, ``password_refused``, ``handle_taken``,
        ``secret_invalid`` (of the invitation), ``too_many_requests``.
        """
        account = self._checked(account)
        await self._database.read(lambda connection: self._admit(connection, account.invitation))
        password_hash = await self._passwords.hash(account.password or "")

        def job(connection: Connection) -> Opened:
            return begin(
                connection, self.create(connection, account, password_hash, device.origin), kind, device, "sign_up"
            )

        opened = await self._write_account(job)
        await self._ask_to_verify(opened.user_id, account.email)
        return opened

    def create(self, connection: Connection, account: NewAccount, password_hash: str | None, origin: Origin) -> str:
        """Makes an account where that is allowed, in the caller's transaction; returns its id. Errors: see sign_up."""
        self._admit(connection, account.invitation)
        user_id = _insert(connection, account, password_hash, origin)
        if account.invitation:
            invitations.consume(connection, account.invitation, user_id)
        return user_id

    def _admit(self, connection: Connection, invitation: str) -> None:
        if not has_administrator(connection):
            raise CoscribeError(Code.SETUP_REQUIRED)
        if invitation:
            if invitations.find_open_by_secret(connection, invitation) is None:
                raise CoscribeError(Code.SECRET_INVALID)
        elif not self.open_sign_up:
            raise CoscribeError(Code.SIGN_UP_CLOSED)

    async def sign_in(self, name: str, password: str, kind: SessionKind, device: Device) -> Opened:
        """By handle or verified address. Errors: ``wrong_credentials``, ``account_locked``, ``too_many_requests``."""
        key = canonical(name)
        async with self._guard.attempt(key, device.origin.address) as attempt:
            row: Any = await self._database.read(lambda connection: _by_name(connection, key))
            stored = row.password_hash if row is not None else None
            verdict = await self._passwords.verify(password, stored)
            if not verdict:
                attempt.failed()
                refused = Event(
                    "session.refused", row.user_id if row else "", None, key, "wrong_credentials", device.origin
                )
                self._notes.note(refused)
                raise CoscribeError(Code.WRONG_CREDENTIALS)
            attempt.succeeded()
        rehashed = await self._passwords.hash(password) if verdict.rehash else None

        def job(connection: Connection) -> Opened:
            """The password is right; is the account still as it was when we looked?"""
            present: Any = connection.execute(select(users).where(users.c.user_id == row.user_id)).first()
            if present.status == "locked":
                raise CoscribeError(Code.ACCOUNT_LOCKED)
            if present.status != "active" or present.password_hash != stored:
                raise CoscribeError(Code.WRONG_CREDENTIALS)
            if rehashed is not None:
                connection.execute(_of(row.user_id).values(password_hash=rehashed))
            return begin(connection, row.user_id, kind, device, "password")

        return await self._database.write(job)

    # ---- oneself

    async def get(self, user_id: str) -> User:
        """Errors: ``not_found``."""
        return await self._database.read(lambda connection: read_user(connection, user_id))

    async def change_profile(self, caller: Caller, revision: int | None, changes: dict[str, Any]) -> User:
        """``changes``: of display_name, color, discoverable, handle.

        Errors: ``precondition_failed``, ``handle_taken``.
        """
        account = caller.need_account()
        if "handle" in changes:
            changes = {**changes, "handle": checked_handle(changes["handle"])}

        def job(connection: Connection) -> User:
            user = read_user(connection, account)
            if revision is not None and user.revision != revision:
                raise CoscribeError(Code.PRECONDITION_FAILED)
            connection.execute(_of(account).values(**changes, revision=user.revision + 1))
            record(connection, by(caller, "account.changed", subject=account, fields=sorted(changes)))
            return read_user(connection, account)

        return await self._write_account(job)

    async def change_password(
        self, caller: Caller, current: str, password: str, kind: SessionKind, device: Device
    ) -> Opened:
        """Ends every session and socket, and begins a new session. Errors: ``reauthentication_required``, ..."""
        account = caller.need_account()
        user = await self.get(account)
        self._passwords.check(password, also=_names_of(user))
        await self.reauthenticate(caller, current)
        password_hash = await self._passwords.hash(password)

        def job(connection: Connection) -> Opened:
            connection.execute(_of(account).values(password_hash=password_hash))
            end_sessions(connection, account)
            record(connection, by(caller, "account.password_changed", subject=account))
            return begin(connection, account, kind, device, "password_change")

        opened = await self._database.write(job)
        await self._changed(AccessChange(account=account))
        return opened

    async def reauthenticate(self, caller: Caller, password: str) -> None:
        """Is it still the person who signed in? By password, or, for those who have none, by a fresh session.

        Errors: ``reauthentication_required``, ``wrong_credentials``, ``too_many_requests``.
        """
        account = caller.need_account()
        if caller.kind != "session":
            raise CoscribeError(Code.PERMISSION_DENIED, "only a person who has signed in may do this")

        def look(connection: Connection) -> tuple[str | None, int]:
            stored = connection.execute(select(users.c.password_hash).where(users.c.user_id == account)).scalar()
            began = connection.execute(
                select(sessions.c.created_at).where(sessions.c.session_id == caller.credential_id)
            ).scalar()
            return stored, began or 0

        stored, began = await self._database.read(look)
        if stored is None:
            if began + FRESH_SECONDS * MICROSECONDS < now():
                raise CoscribeError(Code.REAUTHENTICATION_REQUIRED, "sign in again first")
            return
        if not password:
            raise CoscribeError(Code.REAUTHENTICATION_REQUIRED)
        async with self._guard.attempt(account, caller.origin.address) as attempt:
            if not await self._passwords.verify(password, stored):
                attempt.failed()
                raise CoscribeError(Code.WRONG_CREDENTIALS)
            attempt.succeeded()

    # ---- e-mail

    async def change_email(self, caller: Caller, password: str, email: str) -> None:
        """Takes effect when the link in the mail is opened. Errors: those of `reauthenticate`, ``invalid_request``."""
        account, email = caller.need_account(), checked_email(email)
        await self.reauthenticate(caller, password)

        def job(connection: Connection) -> None:
            connection.execute(_of(account).values(unverified_email=email))
            record(connection, by(caller, "account.email_asked", subject=account))

        await self._database.write(job)
        await self._ask_to_verify(account, email)

    async def verify_email(self, secret: str, origin: Origin) -> None:
        """Errors: ``secret_invalid``, ``conflict``: another account has verified the address."""

        def job(connection: Connection) -> None:
            user_id, email = _use_secret(connection, secret, "verify_email")
            asked = connection.execute(select(users.c.unverified_email).where(users.c.user_id == user_id)).scalar()
            if asked != email:
                raise CoscribeError(Code.SECRET_INVALID, "another address was asked for since")
            connection.execute(_of(user_id).values(email=email, unverified_email=None))
            record(connection, Event("account.email_verified", user_id, None, user_id, "done", origin))

        try:
            await self._database.write(job)
        except IntegrityError:
            raise CoscribeError(Code.CONFLICT, "another account has this address") from None

    async def ask_reset(self, email: str, origin: Origin) -> None:
        """A mail with a link, if the address belongs to somebody. The answer is the same if it does not."""
        secret = new_secret("csp")

        def job(connection: Connection) -> str | None:
            address = canonical(email)
            user_id = connection.execute(
                select(users.c.user_id).where(users.c.email == address, users.c.status == "active")
            ).scalar()
            _keep_secret(connection, secret, "reset_password", user_id or "", address[:320])
            record(connection, Event("account.reset_asked", user_id or "", None, user_id or "", "done", origin))
            return address if user_id else None

        address = await self._database.write(job)
        if address:
            self._send(
                Mail(
                    address,
                    "Reset your Coscribe password",
                    "Somebody, probably you, asked to reset your password. Open this link within an hour:\n\n"
                    f"{self._reset_url(secret)}\n\n"
                    "If it was not you, there is nothing to do; your password stays as it is.",
                )
            )

    async def reset_link(self, caller: Caller, user_id: str) -> str:
        """A link to a new password, for an administrator to hand to somebody without a verified address.

        Errors: ``not_found``.
        """
        secret = new_secret("csp")

        def job(connection: Connection) -> None:
            read_user(connection, user_id)
            _keep_secret(connection, secret, "reset_password", user_id)
            record(connection, by(caller, "user.reset_link_made", subject=user_id))

        await self._database.write(job)
        return self._reset_url(secret)

    def _reset_url(self, secret: str) -> str:
        return f"{self._public_url}/#reset={quote(secret)}"

    async def reset(self, secret: str, password: str, origin: Origin) -> None:
        """Sets a new password and ends every session. Errors: ``secret_invalid``, ``password_refused``."""
        look: Callable[[Connection], str | None] = lambda connection: _is_open(connection, secret, "reset_password")  # noqa: E731
        user_id = await self._database.read(look)
        if not user_id:
            raise CoscribeError(Code.SECRET_INVALID)
        self._passwords.check(password, also=_names_of(await self.get(user_id)))
        password_hash = await self._passwords.hash(password)

        def job(connection: Connection) -> None:
            _use_secret(connection, secret, "reset_password")
            connection.execute(_of(user_id).values(password_hash=password_hash))
            end_sessions(connection, user_id)
            record(connection, Event("account.password_reset", user_id, None, user_id, "done", origin))

        await self._database.write(job)
        await self._changed(AccessChange(account=user_id))

    async def _ask_to_verify(self, user_id: str, email: str) -> None:
        if not email:
            return
        secret = new_secret("csv")
        await self._database.write(lambda connection: _keep_secret(connection, secret, "verify_email", user_id, email))
        self._send(
            Mail(
                email,
                "Is this your address?",
                "Somebody, probably you, gave this address to their Coscribe account. To say that it is yours, open\n"
                f"this link within two days:\n\n{self._public_url}/#verify={quote(secret)}\n\n"
                "If it was not you, there is nothing to do.",
            )
        )

    # ---- taking along, going away

    async def export(self, caller: Caller) -> dict[str, Any]:
        """Everything the tables say of somebody, without secrets."""
        account = caller.need_account()
        return await self._database.read(lambda connection: leaving.exported(connection, account))

    async def delete(self, caller: Caller, password: str) -> tuple[str, ...]:
        """Erases the person; what they wrote stays under an opaque reference. Returns the documents nobody else has:
        they are marked as deleted, and have to be purged.

        Errors: those of `reauthenticate`, ``last_owner``: others have access to documents that nobody else owns.
        """
        account = caller.need_account()
        await self.reauthenticate(caller, password)
        left = await self._database.write(lambda connection: leaving.erase(connection, caller))
        await self._changed(AccessChange(account=account))
        for document_id in left.felt:
            await self._changed(AccessChange(workspace_id=document_id))
        return left.orphans

    async def _write_account(self, job: Callable[[Connection], _T]) -> _T:
        try:
            return await self._database.write(job)
        except IntegrityError:
            raise CoscribeError(Code.HANDLE_TAKEN) from None

    def _checked(self, account: NewAccount) -> NewAccount:
        handle = checked_handle(account.handle)
        email = checked_email(account.email) if account.email else ""
        name = checked_name(account.display_name or handle)
        self._passwords.check(account.password or "", also=(handle, email.partition("@")[0]))
        return account._replace(handle=handle, email=email, display_name=name)


# ---- in a transaction


def has_administrator(connection: Connection) -> bool:
    return connection.execute(select(users.c.user_id).where(users.c.is_admin).limit(1)).first() is not None


def read_user(connection: Connection, user_id: str) -> User:
    """Errors: ``not_found``."""
    row = connection.execute(select(users).where(users.c.user_id == user_id, users.c.status != "deleted")).first()
    if row is None:
        raise CoscribeError(Code.NOT_FOUND, "there is no such account")
    return user_of(row)


def user_of(row: Any) -> User:
    return User(
        row.user_id,
        row.handle,
        row.display_name,
        row.color,
        row.email,
        row.unverified_email,
        row.password_hash is not None,
        row.is_admin,
        row.status,
        row.discoverable,
        row.revision,
        row.created_at,
    )


def _of(user_id: str) -> Any:
    return update(users).where(users.c.user_id == user_id)


def _names_of(user: User) -> tuple[str, ...]:
    return (user.handle, *(address.partition("@")[0] for address in (user.email, user.unverified_email) if address))


def _by_name(connection: Connection, key: str) -> Any:
    found = connection.execute(
        select(users).where(
            or_(users.c.handle == key.removeprefix("@"), users.c.email == key), users.c.status != "deleted"
        )
    )
    return found.first()


def _insert(
    connection: Connection,
    account: NewAccount,
    password_hash: str | None,
    origin: Origin,
    *,
    administrator: bool = False,
) -> str:
    user_id = new_id("usr")
    connection.execute(
        insert(users).values(
            user_id=user_id,
            handle=account.handle,
            display_name=account.display_name,
            color=color_of(user_id),
            unverified_email=account.email or None,
            password_hash=password_hash,
            is_admin=administrator,
            created_at=now(),
        )
    )
    detail = {"handle": account.handle, "administrator": administrator}
    record(connection, Event("account.made", user_id, None, user_id, "done", origin, detail))
    return user_id


def _keep_secret(connection: Connection, secret: str, purpose: str, user_id: str = "", subject: str = "") -> None:
    """Keeps a secret's digest; a newer one replaces those of the same purpose and user."""
    at, column = now(), one_time_secrets.c
    connection.execute(delete(one_time_secrets).where(column.expires_at < at))
    if user_id:
        connection.execute(delete(one_time_secrets).where(column.purpose == purpose, column.user_id == user_id))
    connection.execute(
        insert(one_time_secrets).values(
            secret_hash=digest(secret),
            purpose=purpose,
            user_id=user_id or None,
            subject=subject or None,
            created_at=at,
            expires_at=at + SECRET_SECONDS[purpose] * MICROSECONDS,
        )
    )


def _is_open(connection: Connection, secret: str, purpose: str) -> str | None:
    """Whose secret it is, or the purpose for one that is nobody's; None: it is not good."""
    column = one_time_secrets.c
    row = connection.execute(
        select(column.user_id, column.subject).where(
            column.secret_hash == digest(secret),
            column.purpose == purpose,
            column.used_at.is_(None),
            column.expires_at > now(),
        )
    ).first()
    if row is None:
        return None
    return row.user_id or (None if row.subject else purpose)


def _use_secret(connection: Connection, secret: str, purpose: str) -> tuple[str, str]:
    """Uses it up; whose it was and its subject. Errors: ``secret_invalid``."""
    column = one_time_secrets.c
    good = (
        (column.secret_hash == digest(secret))
        & (column.purpose == purpose)
        & column.used_at.is_(None)
        & (column.expires_at > now())
    )
    row = connection.execute(select(column.user_id, column.subject).where(good)).first()
    if row is None:
        raise CoscribeError(Code.SECRET_INVALID)
    connection.execute(update(one_time_secrets).where(good).values(used_at=now()))
    return row.user_id or "", row.subject or ""
