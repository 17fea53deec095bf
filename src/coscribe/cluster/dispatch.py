"""Which instance a request by HTTP is for.

pages, health, metrics          whichever has it: every instance answers alike
about a workspace               the owner of it
all others of the API           one core for each that asks, so that rates, pauses after failed sign-ins, and
                                requests that come again under one Idempotency-Key, meet
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from coscribe.gateway.address import address_key

API = "/api"

About = Callable[[str, str], str]
"""The document, file or workspace that a method and a path of the API are about; "": none."""


class Dispatched(NamedTuple):
    """``about``: what the owner is looked for; "": none, then ``asker`` says which core it is."""

    about: str
    asker: str = ""


class Dispatch:
    """``about`` comes of the API's own routes; ``cookie`` is the name of the one that sessions have."""

    def __init__(self, about: About, cookie: str) -> None:
        self._about = about
        self._cookie = cookie

    def of(self, scope: Scope) -> Dispatched | None:
        """None: it is answered here."""
        if not scope["path"].startswith(API):
            return None
        about = self._about(scope["method"], scope["path"])
        return Dispatched(about) if about else Dispatched("", self._asker(scope))

    def _asker(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token.strip():
            return _credential_in(token.strip())
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        return f"cookie {cookie}" if cookie else address_key((scope.get("client") or ("", 0))[0])


class _Claims(msgspec.Struct):
    cid: str = ""


def _credential_in(token: str) -> str:
    """Access tokens of one session follow each other; which session, they say. Whether that is true is for the core."""
    parts = token.split(".")
    if len(parts) == 3:
        try:
            claims = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=_Claims)
        except (ValueError, msgspec.MsgspecError):
            return token
        return claims.cid or token
    return token


def preferred(asker: str, names: Iterable[str]) -> list[str]:
    """The cores by name, the one that answers somebody first, then those that would if it were not there. Of who comes
    and goes among the names nobody else's order changes (rendezvous hashing)."""

    def weight(name: str) -> bytes:
        return blake2b(f"{name}\0{asker}".encode(errors="replace"), digest_size=16).digest()

    return sorted(names, key=weight, reverse=True)
