"""Tokens signed by the server itself, and the access they give. Accounts take their place."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import get_args

import jwt

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Identity, PathRights, Uniform
from coscribe.protocol.messages import Role

ALGORITHM = "HS256"
AUDIENCE = "coscribe"

CLOCK_LEEWAY = 30
"""Seconds by which the clock of whoever signs may differ from the server's."""

_COLORS = ("#d9480f", "#2b8a3e", "#1864ab", "#862e9c", "#c92a2a", "#0b7285", "#5f3dc4", "#a61e4d")


def color_of(user_id: str) -> str:
    """A colour that stays the same for a user."""
    return _COLORS[sha256(user_id.encode()).digest()[0] % len(_COLORS)]


def make_token(secret: bytes, user_id: str, role: Role, seconds: int, *, now: Callable[[], float] = time.time) -> str:
    """A token for ``user_id`` that lasts so many seconds."""
    issued = int(now())
    claims = {"sub": user_id, "role": role, "aud": AUDIENCE, "iat": issued, "exp": issued + seconds}
    return jwt.encode(claims, secret, ALGORITHM)


class SignedTokens:
    """`Authenticator` for tokens of `make_token`. They cannot be revoked: they end by themselves."""

    def __init__(self, secret: bytes, *, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._now = now

    async def authenticate(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=CLOCK_LEEWAY,
                options={"require": ["sub", "exp", "iat", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, str(error)) from None
        if self._now() >= claims["exp"]:  # there is no leeway at its end
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token has expired")
        user_id = claims["sub"]
        role: Role = claims.get("role", "")
        if not isinstance(user_id, str) or not 1 <= len(user_id) <= 128 or not user_id.isprintable():
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token names no user")
        if role not in get_args(Role):
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "the token names no role")
        return Identity(user_id, user_id, color_of(user_id), role, expires_at=float(claims["exp"]))

    async def is_valid(self, identity: Identity) -> bool:
        return self._now() < identity.expires_at


class RoleOfToken:
    """`Access` by the role that the token names, to every file."""

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        return identity.role

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        return Uniform(identity.role)

    async def may_create(self, identity: Identity, file_id: str) -> bool:
        return identity.role != "viewer"

    def opened(self, identity: Identity, file_id: str) -> None:
        """Nobody asks."""

    def refused(self, identity: Identity, file_id: str) -> None:
        """Nobody asks."""
