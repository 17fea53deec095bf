"""Signing keys and the access tokens they sign: JSON Web Tokens, HS256, ten minutes.

A key is derived from the server's secret and the key's id, so the database holds no key and a copy of it signs nothing.
Rotation adds an id; tokens of the one before stay good until they expire. What a token claims is compared with what it
must be, value by value; its own header decides nothing but which of our keys to try.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from secrets import token_hex
from typing import Any, NamedTuple

import jwt
from sqlalchemy import insert, select, update

from coscribe.access.ids import MICROSECONDS
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.database import Database
from coscribe.persistence.schema import signing_keys

ALGORITHM = "HS256"
ISSUER = "coscribe"
AUDIENCE = "coscribe-access"
TYPE = "at+jwt"
LIFETIME = 600
"""Seconds an access token lasts."""

LOOK_AGAIN = MICROSECONDS
"""How soon it is looked again for keys of others."""

SKEW = 30
"""Seconds that clocks may differ."""


class Claims(NamedTuple):
    """What a good token says. ``kind`` session: ``subject`` is the user; link: it is the document."""

    kind: str
    subject: str
    credential_id: str
    expires_at: int


class Keys:
    """``secret``: the server's. ``clock``: microseconds since 1970."""

    def __init__(self, secret: bytes, database: Database, clock: Callable[[], int]) -> None:
        self._secret = secret
        self._database = database
        self._clock = clock
        self._retired: dict[str, int | None] = {}
        self._newest = ""
        self._looked_at = 0

    async def look_for(self, key_id: str) -> None:
        """Reads the keys again where one is not known: another instance may have made it. Whoever makes up ids makes no
        flood of questions."""
        now = self._clock()
        if key_id not in self._retired and not 0 <= now - self._looked_at < LOOK_AGAIN:
            self._looked_at = now
            await self.load()

    async def load(self) -> None:
        """Reads the keys; makes the first one."""
        known = signing_keys.c
        found = await self._database.read(
            lambda connection: connection.execute(
                select(known.key_id, known.retired_at).order_by(known.created_at, known.key_id)
            ).all()
        )
        self._retired = {row.key_id: row.retired_at for row in found}
        current = [row.key_id for row in found if row.retired_at is None]
        if current:
            self._newest = current[-1]
        else:
            await self.rotate()

    async def rotate(self) -> str:
        """A new key from now on; returns its id."""
        key_id, at = token_hex(8), self._clock()

        def job(connection: Any) -> None:
            connection.execute(update(signing_keys).where(signing_keys.c.retired_at.is_(None)).values(retired_at=at))
            connection.execute(insert(signing_keys).values(key_id=key_id, created_at=at))

        await self._database.write(job)
        self._retired = {known: at if retired is None else retired for known, retired in self._retired.items()}
        self._retired[key_id] = None
        self._newest = key_id
        return key_id

    def sign(self, kind: str, subject: str, credential_id: str, *, seconds: int = LIFETIME) -> tuple[str, int]:
        """A token and when it expires (seconds since 1970)."""
        issued = self._clock() // MICROSECONDS
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "kind": kind,
            "cid": credential_id,
            "jti": token_hex(8),
            "iat": issued,
            "exp": issued + seconds,
        }
        headers = {"kid": self._newest, "typ": TYPE}
        return jwt.encode(claims, self.derive(f"access:{self._newest}"), ALGORITHM, headers), issued + seconds

    def verify(self, token: str) -> Claims:
        """Errors: ``authentication_failed``."""
        try:
            header = jwt.get_unverified_header(token)
            key_id = header.get("kid")
            if not isinstance(key_id, str) or key_id not in self._retired or header.get("typ") != TYPE:
                raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token is not one of this server's")
            claims = jwt.decode(
                token,
                self.derive(f"access:{key_id}"),
                algorithms=[ALGORITHM],
                options={"verify_signature": True, "verify_aud": False, "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, str(error)) from None
        return self._checked(claims, self._retired[key_id])

    def derive(self, purpose: str) -> bytes:
        """A key of its own for a purpose."""
        return hmac.new(self._secret, purpose.encode(), sha256).digest()

    def _checked(self, claims: dict[str, Any], retired: int | None) -> Claims:
        now = self._clock() // MICROSECONDS
        issued, expires = claims.get("iat"), claims.get("exp")
        names = [claims.get(name) for name in ("kind", "sub", "cid")]
        if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token is for somebody else")
        if not all(isinstance(name, str) and 0 < len(name) <= 128 for name in names) or names[0] not in (
            "session",
            "link",
        ):
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token names nobody")
        if type(issued) is not int or type(expires) is not int or not issued <= now + SKEW or expires <= now:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token has expired")
        if retired is not None and issued > retired // MICROSECONDS + SKEW:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token's key was retired before it was signed")
        return Claims(str(names[0]), str(names[1]), str(names[2]), expires)
