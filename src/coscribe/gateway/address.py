"""Addresses hold no secrets: they are written into logs, histories and referrers."""

from __future__ import annotations

from urllib.parse import unquote_plus

_SECRETS = ("cst_", "csr_", "csb_", "csp_", "csv_", "csf_", "csi_", "csl_", "csx_", "eyJ")
_NAMES = frozenset(
    ("token", "access_token", "refresh_token", "secret", "password", "api_key", "apikey", "authorization")
)


def has_secret(query: str, expected: frozenset[str] = frozenset()) -> bool:
    """Whether a query holds something that opens doors: addresses are written into logs, histories and referrers.

    ``expected``: names whose values are not ours.
    """
    for part in query.split("&"):
        name, _, value = unquote_plus(part).partition("=")
        if name not in expected and ((name.lower() in _NAMES and value) or value.startswith(_SECRETS)):
            return True
    return False
