"""Signing in elsewhere: an account belongs to whoever a provider says has come, by (issuer, subject) and nothing else.

    begin    an attempt: state, nonce, verifier; the browser keeps a cookie that the attempt is bound to
    (there)  the provider asks who it is, and sends the browser back with a code
    finish   the attempt is used up, the code becomes an id token, the identity an account

An address that a provider names is noted like one that somebody typed: it matches nobody until it is verified here. So
an account is never reached because an address looks the same; to add an identity to an account, its owner has to be
signed in and say who they are once more. An invitation travels in the cookie, so the database has no secret of it.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
from sqlalchemy import Connection, delete, func, insert, select, update

from coscribe.access.accounts import Accounts, NewAccount
from coscribe.access.caller import Caller, Origin
from coscribe.access.events import Event, Notes, by, record
from coscribe.access.ids import MICROSECONDS, digest, new_secret, now
from coscribe.access.invitations import find_open_by_secret
from coscribe.access.names import HANDLE, RESERVED, checked_email, checked_name
from coscribe.access.oidc import ANSWER_SECONDS, Profile, Provider
from coscribe.access.sessions import Device, Opened, begin
from coscribe.access.throttle import Buckets
from coscribe.config import OidcProvider
from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.address import address_key
from coscribe.metrics import metrics
from coscribe.persistence.database import Database
from coscribe.persistence.schema import external_attempts, external_identities, sessions, users

ATTEMPT_SECONDS = 600
"""How long somebody may take at the provider."""

MAX_ATTEMPTS = 10_000
"""Attempts that may be open; beyond, the oldest is forgotten."""

ADDRESS_ATTEMPTS = 600
ADDRESS_PER_SECOND = 5.0
"""Attempts that one address may begin: a classroom at once, but not what would push out everybody else's."""

_STATE, _BINDING = "cso", "csx"


class Begun(NamedTuple):
    """``url``: where the browser goes. ``binding``: the cookie it comes back with."""

    url: str
    binding: str


class Answer(NamedTuple):
    """What the provider sent the browser back with; ``error`` in place of ``code``."""

    state: str
    code: str
    error: str
    issuer: str


class LinkedIdentity(NamedTuple):
    """``provider`` None: it is not among the settings any more. ``linked_at`` is microseconds since 1970."""

    provider: str | None
    issuer: str
    linked_at: int


class _Attempt(NamedTuple):
    """``account`` and ``session_id``: whose, where it is to link; "" where it is to sign in."""

    account: str
    session_id: str
    nonce: str
    verifier: str
    invitation: str


class ExternalSignIn:
    """``clock`` is seconds since 1970, ``monotonic`` seconds of any origin."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        notes: Notes,
        providers: Sequence[OidcProvider],
        *,
        public_url: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._notes = notes
        self._public_url = public_url
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS) if providers else None
        self._providers = {one.name: Provider(one, self._client, clock) for one in providers if self._client}
        self._names = {one.issuer: one.name for one in providers}
        self._buckets = Buckets(
            "external_sign_in", limit=ADDRESS_ATTEMPTS, per_second=ADDRESS_PER_SECOND, now=monotonic
        )

    @property
    def providers(self) -> list[OidcProvider]:
        """Where one can sign in, in the order of the settings."""
        return [provider.settings for provider in self._providers.values()]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    # ---- signing in

    async def begin(self, provider: str, invitation: str, origin: Origin) -> Begun:
        """Sends somebody to a provider, perhaps with the secret of an invitation, which counts if they are new.

        Errors: ``not_found``, ``secret_invalid``, ``provider_unavailable``, ``too_many_requests``.
        """
        found = self._provider(provider)
        self._buckets.take(address_key(origin.address))
        if invitation:
            is_open = await self._database.read(lambda connection: find_open_by_secret(connection, invitation))
            if is_open is None:
                raise CoscribeError(Code.SECRET_INVALID)
        return await self._begin(found, invitation, None)

    async def begin_link(self, caller: Caller, provider: str, password: str) -> Begun:
        """The same to add an identity to the caller's account.

        Errors: ``not_found``, those of `Accounts.reauthenticate`, ``provider_unavailable``.
        """
        found = self._provider(provider)
        await self._accounts.reauthenticate(caller, password)
        return await self._begin(found, "", caller)

    async def finish(self, provider: str, answer: Answer, binding: str, device: Device) -> Opened | None:
        """What the browser came back with; ``binding`` is its cookie. A session, or None: an identity was linked.

        Errors: ``external_sign_in_failed``: the attempt is unknown, over, used up or another browser's, the provider
        refused, or what it says is not good. ``provider_unavailable``. ``account_locked``. Of a new account those of
        `Accounts.create`. Of linking: ``session_ended``, ``conflict``.
        """
        found = self._provider(provider)
        attempt = await self._database.write(lambda connection: _use(connection, found, answer.state, binding))
        try:
            if attempt is None:
                raise CoscribeError(Code.EXTERNAL_SIGN_IN_FAILED, "the attempt is over, or not this browser's")
            if answer.error:
                raise CoscribeError(Code.EXTERNAL_SIGN_IN_FAILED, f"the provider says {answer.error[:100]}")
            if answer.issuer and answer.issuer != found.settings.issuer:
                raise CoscribeError(Code.EXTERNAL_SIGN_IN_FAILED, "the answer is another provider's")
            profile = await found.redeem(answer.code, self._redirect_uri(found), attempt.nonce, attempt.verifier)
            if attempt.account:
                await self._database.write(lambda connection: _link(connection, attempt, found, profile, device.origin))
                return None
            return await self._database.write(
                lambda connection: self._sign_in(connection, found, profile, attempt.invitation, device)
            )
        except CoscribeError as error:
            self._note_refusal(found, attempt, error, device.origin)
            raise

    def _sign_in(
        self, connection: Connection, provider: Provider, profile: Profile, invitation: str, device: Device
    ) -> Opened:
        account = _owner(connection, provider, profile)
        if account is None:
            made = NewAccount(
                _free_handle(connection, profile),
                _or_else(checked_name, profile.name or profile.username, "") or suggested_handle(profile),
                None,
                _or_else(checked_email, profile.email, ""),
                invitation,
            )
            account = self._accounts.create(connection, made, None, device.origin)
            _add(connection, provider, profile, account, device.origin)
        elif connection.execute(select(users.c.status).where(users.c.user_id == account)).scalar() != "active":
            raise CoscribeError(Code.ACCOUNT_LOCKED, account)
        return begin(connection, account, "browser", device, "external")

    async def _begin(self, provider: Provider, invitation: str, caller: Caller | None) -> Begun:
        state, binding = new_secret(_STATE), new_secret(_BINDING)
        if invitation:
            binding = f"{binding}.{invitation}"
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        url = await provider.sign_in_page(self._redirect_uri(provider), state, nonce, verifier)
        row = {
            "state_hash": digest(state),
            "provider": provider.settings.name,
            "purpose": "sign_in" if caller is None else "link",
            "user_id": None if caller is None else caller.account,
            "nonce": nonce,
            "verifier": verifier,
            "binding_hash": digest(binding),
            "payload": "" if caller is None else caller.credential_id,
        }
        await self._database.write(lambda connection: _keep(connection, row))
        return Begun(url, binding)

    def _note_refusal(self, provider: Provider, attempt: _Attempt | None, error: CoscribeError, origin: Origin) -> None:
        if error.code.value.fault == "server":
            return
        account = attempt.account if attempt else ""
        action = "identity.refused" if account else "session.refused"
        detail = {"how": "external", "why": error.detail}
        self._notes.note(Event(action, account, None, provider.settings.name, error.code.value.code, origin, detail))

    # ---- one's identities

    async def list(self, caller: Caller) -> list[LinkedIdentity]:
        """Where else one's account can be signed in to."""
        account = caller.need_account()
        rows = await self._database.read(lambda connection: _identities(connection, account))
        return [LinkedIdentity(self._names.get(row.issuer), row.issuer, row.linked_at) for row in rows]

    async def unlink(self, caller: Caller, provider: str, password: str) -> None:
        """Takes an identity away from the account.

        Errors: ``not_found``, those of `Accounts.reauthenticate`, ``conflict``: there is no other way in.
        """
        found, account = self._provider(provider), caller.need_account()
        await self._accounts.reauthenticate(caller, password)
        issuer = found.settings.issuer

        def job(connection: Connection) -> None:
            issuers = {row.issuer for row in _identities(connection, account)}
            if issuer not in issuers:
                raise CoscribeError(Code.NOT_FOUND, "no such identity is linked")
            stored = connection.execute(select(users.c.password_hash).where(users.c.user_id == account)).scalar()
            if stored is None and not (issuers & self._names.keys()) - {issuer}:
                raise CoscribeError(Code.CONFLICT, "there would be no way left to sign in; set a password first")
            mine = (external_identities.c.issuer == issuer) & (external_identities.c.user_id == account)
            connection.execute(delete(external_identities).where(mine))
            record(connection, by(caller, "identity.unlinked", subject=account, provider=provider))

        await self._database.write(job)

    def _provider(self, name: str) -> Provider:
        found = self._providers.get(name)
        if found is None:
            raise CoscribeError(Code.NOT_FOUND, "there is no such provider")
        return found

    def _redirect_uri(self, provider: Provider) -> str:
        return f"{self._public_url}/api/session/external/{provider.settings.name}/callback"


# ---- names


def suggested_handle(profile: Profile) -> str:
    """A handle that looks like what somebody is called elsewhere; others may have it."""
    for text in (profile.username, profile.name):
        plain = unicodedata.normalize("NFKD", text.partition("@")[0]).lower()
        letters = "".join(char for char in plain if not unicodedata.combining(char))
        handle = re.sub("[^a-z0-9._-]+", "-", letters).strip("._-")[:30].strip("._-")
        if HANDLE.fullmatch(handle):
            return handle
    return "person"


def _free_handle(connection: Connection, profile: Profile) -> str:
    wanted = suggested_handle(profile)
    for candidate in (wanted, *(f"{wanted}-{number}" for number in range(2, 10))):
        taken = connection.execute(select(users.c.user_id).where(users.c.handle == candidate)).first()
        if taken is None and candidate not in RESERVED:
            return candidate
    return f"{wanted}-{secrets.token_hex(4)}"


def _or_else(check: Callable[[str], str], text: str, otherwise: str) -> str:
    try:
        return check(text)
    except CoscribeError:
        return otherwise


# ---- in a transaction


def _keep(connection: Connection, row: dict[str, Any]) -> None:
    """Keeps an attempt; forgets those that are over, and the oldest where there are too many."""
    at, column = now(), external_attempts.c
    connection.execute(delete(external_attempts).where(column.expires_at <= at))
    kept = connection.execute(select(func.count()).select_from(external_attempts)).scalar() or 0
    if kept >= MAX_ATTEMPTS:
        oldest = select(column.state_hash).order_by(column.expires_at).limit(kept - MAX_ATTEMPTS + 1)
        connection.execute(delete(external_attempts).where(column.state_hash.in_(oldest)))
        metrics.external_attempts_dropped.inc(kept - MAX_ATTEMPTS + 1)
    connection.execute(insert(external_attempts).values(**row, expires_at=at + ATTEMPT_SECONDS * MICROSECONDS))


def _use(connection: Connection, provider: Provider, state: str, binding: str) -> _Attempt | None:
    """Uses an attempt up, whatever is wrong with it; None: something is."""
    column = external_attempts.c
    this = column.state_hash == digest(state)
    row: Any = connection.execute(select(external_attempts).where(this)).first()
    if row is None:
        return None
    connection.execute(update(external_attempts).where(this).values(used_at=now()))
    if (
        row.used_at is not None
        or row.expires_at <= now()
        or row.provider != provider.settings.name
        or not hmac.compare_digest(row.binding_hash, digest(binding))
    ):
        return None
    return _Attempt(row.user_id or "", row.payload, row.nonce, row.verifier, binding.partition(".")[2])


def _link(connection: Connection, attempt: _Attempt, provider: Provider, profile: Profile, origin: Origin) -> None:
    if not _is_signed_in(connection, attempt):
        raise CoscribeError(Code.SESSION_ENDED)
    owner = _owner(connection, provider, profile)
    if owner == attempt.account:
        return
    if owner is not None:
        raise CoscribeError(Code.CONFLICT, "another account has this identity")
    if any(row.issuer == provider.settings.issuer for row in _identities(connection, attempt.account)):
        raise CoscribeError(Code.CONFLICT, "the account has another identity of this provider")
    _add(connection, provider, profile, attempt.account, origin)


def _add(connection: Connection, provider: Provider, profile: Profile, account: str, origin: Origin) -> None:
    row = {"issuer": provider.settings.issuer, "subject": profile.subject, "user_id": account, "linked_at": now()}
    connection.execute(insert(external_identities).values(**row))
    detail = {"provider": provider.settings.name}
    record(connection, Event("identity.linked", account, None, account, "done", origin, detail))


def _owner(connection: Connection, provider: Provider, profile: Profile) -> str | None:
    column = external_identities.c
    return connection.execute(
        select(column.user_id).where(column.issuer == provider.settings.issuer, column.subject == profile.subject)
    ).scalar()


def _identities(connection: Connection, account: str) -> Sequence[Any]:
    column = external_identities.c
    return connection.execute(
        select(column.issuer, column.linked_at).where(column.user_id == account).order_by(column.linked_at)
    ).all()


def _is_signed_in(connection: Connection, attempt: _Attempt) -> bool:
    """Whether the session that began an attempt to link is still open."""
    column = sessions.c
    statement = (
        select(column.session_id)
        .join(users, users.c.user_id == column.user_id)
        .where(
            column.session_id == attempt.session_id,
            column.user_id == attempt.account,
            column.ended_at.is_(None),
            column.expires_at > now(),
            users.c.status == "active",
        )
    )
    return connection.execute(statement).first() is not None
