"""Ids and secrets.

Ids are public and grow with time (UUIDv7), so they page in the order of creation. Secrets are 256 random bits, shown
once; what is stored is their SHA-256, which is as good as any slow hash for something nobody can guess.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b, sha256

from coscribe.core.errors import Code, CoscribeError

MICROSECONDS = 1_000_000


def now() -> int:
    """Microseconds since 1970, UTC: the unit of every stored time."""
    return time.time_ns() // 1_000


def new_id(kind: str, *, at: int | None = None, random: int | None = None) -> str:
    """``kind_`` and 32 hexadecimal digits: UUIDv7 of the time ``at`` (microseconds)."""
    milliseconds = (now() if at is None else at) // 1_000
    bits = secrets.randbits(74) if random is None else random
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & (1 << 62) - 1
    return f"{kind}_{value:032x}"


MAX_DRAWS = 20_000
"""How many ids are drawn for something new, until one falls to this instance: who owns one workspace in a hundred finds
one among as many as good as always."""

MADE_OF_A_KEY = 256
"""Ids that one request may give what it makes, where there are several instances; of twenty that share all evenly each
has one among them as good as always."""


def _every(_: str) -> bool:
    return True


class WorkspaceIds:
    """Ids for documents and workspaces that are to be made: such as this instance owns from the start. ``owns``:
    whether it does; ``of_a_key``: how many a request that may come again has to choose from."""

    def __init__(self, owns: Callable[[str], bool] = _every, of_a_key: int = 1) -> None:
        self._owns = owns
        self._of_a_key = of_a_key

    def fresh(self, kind: str) -> str:
        """Errors: ``owner_unavailable``: this instance owns nothing, or next to nothing."""
        return self._first_owned(lambda _: new_id(kind), MAX_DRAWS)

    def of_key(self, kind: str, author: str, key: str) -> Sequence[str]:
        """The same for the same Idempotency-Key of the same author, at all instances: what it was to make has one of
        them."""

        def made(number: int) -> str:
            said = f"{author} {key} {number}" if number else f"{author} {key}"
            return f"{kind}_{blake2b(said.encode(), digest_size=16).hexdigest()}"

        return [made(number) for number in range(self._of_a_key)]

    def first_owned(self, ids: Sequence[str]) -> str:
        """Errors: ``owner_unavailable``: none of them is this instance's."""
        return self._first_owned(ids.__getitem__, len(ids))

    def _first_owned(self, draw: Callable[[int], str], draws: int) -> str:
        for number in range(draws):
            drawn = draw(number)
            if self._owns(drawn):
                return drawn
        raise CoscribeError(Code.OWNER_UNAVAILABLE, "this instance can make nothing new just now")


def new_secret(kind: str) -> str:
    """``kind_`` and 43 characters: 256 bits. The kind makes a leaked one easy to recognise, and to search for."""
    return f"{kind}_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    """What is stored of a secret, 32 bytes."""
    return sha256(secret.encode()).digest()
