"""People as git knows them: by which name they commit, and with what other servers let them in.

A name and an address stand in every commit, and whoever gets one reads them. So of others only what they have said
themselves is ever used, and for whoever has said nothing there is an address that leads nowhere.

A credential is sealed with a key that is derived from the server's secret, for its account, host and kind: a copy of
the database opens none, and none can be moved to another account. It is never shown again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Connection, delete, insert, select

from coscribe.access.caller import Caller
from coscribe.access.directory import ERASED, Author
from coscribe.access.events import by, record
from coscribe.access.ids import now
from coscribe.access.keys import Keys
from coscribe.core.errors import Code, CoscribeError
from coscribe.git.remotes import Secret
from coscribe.git.repository import Person
from coscribe.persistence.database import Database
from coscribe.persistence.schema import git_credentials, git_identities, users

Kind = Literal["https", "ssh"]

MAX_CREDENTIALS = 100
"""That one account may have stored."""

_NONCE = 12
_UNUSUAL = re.compile(r"[^A-Za-z0-9._+-]")


class Stored(NamedTuple):
    """That there is a credential; ``saved_at`` in microseconds since 1970."""

    host: str
    kind: Kind
    saved_at: int


class GitPeople:
    """``host``: of this server, in addresses that lead nowhere."""

    def __init__(self, database: Database, keys: Keys, host: str) -> None:
        self._database = database
        self._key = AESGCM(keys.derive("git-credentials"))
        self._host = host

    # ---- names

    async def person(self, caller: Caller) -> Person:
        """By which name somebody commits: as they have said, else as their account does. A bot is named as one."""
        if caller.kind != "session":
            return self._made_up(caller.author, caller.display_name)

        def job(connection: Connection) -> Person:
            said = _said(connection, [caller.account]).get(caller.account)
            if said is not None:
                return said
            email = connection.execute(select(users.c.email).where(users.c.user_id == caller.account)).scalar()
            made_up = self._made_up(_handles(connection, [caller.account])[caller.account], caller.display_name)
            return Person(made_up.name, email or made_up.email)

        return await self._database.read(job)

    async def introduce(self, caller: Caller, name: str, email: str) -> Person:
        """Says by which name one commits. Errors: ``invalid_request``, ``permission_denied``."""
        account, person = caller.need_account(), Person(clean(name), email)
        if not person.name or clean(email) != email:
            raise CoscribeError(Code.INVALID_REQUEST, "a name has something besides blanks, < and >")

        def job(connection: Connection) -> None:
            connection.execute(delete(git_identities).where(git_identities.c.user_id == account))
            connection.execute(insert(git_identities).values(user_id=account, name=person.name, email=person.email))

        await self._database.write(job)
        return person

    async def named(self, authors: Iterable[Author]) -> list[Person]:
        """How others are named in a commit, in the same order. Who was erased is not."""
        known = [author for author in authors if author.display_name != ERASED]
        accounts = [author.user_id for author in known]

        def job(connection: Connection) -> tuple[dict[str, Person], dict[str, str]]:
            return _said(connection, accounts), _handles(connection, accounts)

        said, handles = await self._database.read(job)
        return [
            said.get(author.user_id) or self._made_up(handles.get(author.user_id, author.user_id), author.display_name)
            for author in known
        ]

    def _made_up(self, local: str, name: str) -> Person:
        where = _UNUSUAL.sub("-", local)[:64] or "nobody"
        return Person(clean(name) or where, f"{where}@users.noreply.{self._host}")

    # ---- credentials

    async def keep(self, caller: Caller, host: str, kind: Kind, secret: Secret) -> None:
        """Stores a credential, instead of the one before. Errors: ``quota_exceeded``, ``permission_denied``."""
        account, nonce = caller.need_account(), secrets.token_bytes(_NONCE)
        content = msgspec.json.encode(tuple(secret))
        sealed = nonce + self._key.encrypt(nonce, content, _about(account, host, kind))

        def job(connection: Connection) -> None:
            connection.execute(delete(git_credentials).where(_which(account, host, kind)))
            if len(_stored(connection, account)) >= MAX_CREDENTIALS:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"{MAX_CREDENTIALS} credentials are stored")
            connection.execute(
                insert(git_credentials).values(user_id=account, host=host, kind=kind, sealed=sealed, saved_at=now())
            )
            record(connection, by(caller, "git.credential_stored", subject=host, kind=kind))

        await self._database.write(job)

    async def forget(self, caller: Caller, host: str, kind: Kind) -> None:
        """Errors: ``not_found``."""
        account = caller.need_account()

        def job(connection: Connection) -> None:
            if not connection.execute(delete(git_credentials).where(_which(account, host, kind))).rowcount:
                raise CoscribeError(Code.NOT_FOUND, "there is no such credential")
            record(connection, by(caller, "git.credential_forgotten", subject=host, kind=kind))

        await self._database.write(job)

    async def stored(self, caller: Caller) -> list[Stored]:
        account = caller.need_account()
        return await self._database.read(lambda connection: _stored(connection, account))

    async def secret(self, caller: Caller, host: str, kind: str) -> Secret:
        """A credential for use; without one there is an empty one."""
        return await self.secret_of(caller.account, host, kind)

    async def secret_of(self, account: str, host: str, kind: str) -> Secret:
        """Likewise, for what goes on when its owner has left."""

        def job(connection: Connection) -> bytes | None:
            found: bytes | None = connection.execute(
                select(git_credentials.c.sealed).where(_which(account, host, kind))
            ).scalar()
            return found

        sealed = await self._database.read(job) if account else None
        if sealed is None:
            return Secret()
        try:
            content = self._key.decrypt(sealed[:_NONCE], sealed[_NONCE:], _about(account, host, kind))
        except InvalidTag:
            raise CoscribeError(
                Code.REMOTE_REFUSED, "the stored credential cannot be opened: the server's secret is another one by now"
            ) from None
        return Secret(*msgspec.json.decode(content, type=tuple[str, str, str, str]))


def clean(text: str) -> str:
    """Of a name or an address what git takes for one: a line without ``<`` and ``>``."""
    return " ".join("".join(char for char in text if char.isprintable() and char not in "<>").split())


def _said(connection: Connection, accounts: Sequence[str]) -> dict[str, Person]:
    identity = git_identities.c
    found = connection.execute(
        select(identity.user_id, identity.name, identity.email).where(identity.user_id.in_(accounts))
    )
    return {row.user_id: Person(row.name, row.email) for row in found}


def _handles(connection: Connection, accounts: Sequence[str]) -> dict[str, str]:
    found = connection.execute(select(users.c.user_id, users.c.handle).where(users.c.user_id.in_(accounts)))
    return {row.user_id: row.handle for row in found}


def _stored(connection: Connection, account: str) -> list[Stored]:
    column = git_credentials.c
    found = connection.execute(
        select(column.host, column.kind, column.saved_at).where(column.user_id == account).order_by(column.host)
    )
    return [Stored(*row) for row in found]


def _which(account: str, host: str, kind: str) -> ColumnElement[bool]:
    column = git_credentials.c
    return (column.user_id == account) & (column.host == host) & (column.kind == kind)


def _about(account: str, host: str, kind: str) -> bytes:
    return f"{account}\0{host}\0{kind}".encode()
