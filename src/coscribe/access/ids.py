"""Ids and secrets.

Ids are public and grow with time (UUIDv7), so they page in the order of creation. Secrets are 256 random bits, shown
once; what is stored is their SHA-256, which is as good as any slow hash for something nobody can guess.
"""

from __future__ import annotations

import secrets
import time
from hashlib import sha256

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


def new_secret(kind: str) -> str:
    """``kind_`` and 43 characters: 256 bits. The kind makes a leaked one easy to recognise, and to search for."""
    return f"{kind}_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    """What is stored of a secret, 32 bytes."""
    return sha256(secret.encode()).digest()
