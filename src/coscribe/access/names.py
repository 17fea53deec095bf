"""Names: how handles, addresses and names to show are written, so that the same one is the same everywhere."""

from __future__ import annotations

import re
import unicodedata

from coscribe.core.errors import Code, CoscribeError

HANDLE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")

RESERVED = frozenset(("admin", "administrator", "root", "system", "server", "coscribe", "everyone", "guest", "nobody"))
"""Handles that would be taken for the server."""


def canonical(name: str) -> str:
    """How handles and addresses are compared."""
    return unicodedata.normalize("NFKC", name).strip().lower()


def checked_email(email: str) -> str:
    """Errors: ``invalid_request``."""
    email = canonical(email)
    if EMAIL.fullmatch(email) is None:
        raise CoscribeError(Code.INVALID_REQUEST, "that is no e-mail address")
    return email


def checked_handle(handle: str) -> str:
    """Errors: ``invalid_request``, ``handle_taken`` for a name that stands for the server."""
    handle = canonical(handle).removeprefix("@")
    if HANDLE.fullmatch(handle) is None:
        raise CoscribeError(Code.INVALID_REQUEST, "a handle has 1 to 40 of: a-z, 0-9, dot, dash, underscore")
    if handle in RESERVED:
        raise CoscribeError(Code.HANDLE_TAKEN)
    return handle


def checked_name(name: str) -> str:
    """A name to show: one line, nothing that cannot be seen or turns the text around. Errors: ``invalid_request``."""
    seen = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFC", name))
    name = " ".join(seen.split())
    if not 1 <= len(name) <= 128:
        raise CoscribeError(Code.INVALID_REQUEST, "a name has 1 to 128 characters that can be seen")
    return name
