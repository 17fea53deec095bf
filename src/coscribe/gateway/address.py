"""Addresses: whose a connection is, and that those of pages hold no secrets."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from urllib.parse import unquote_plus

from uvicorn.middleware.proxy_headers import _TrustedHosts

Proxies = _TrustedHosts
"""Whose word about addresses is believed. uvicorn's own, so that requests and sockets are judged alike."""

_KEY_LENGTH = 256
"""Characters of what is no address that count, so that long ones take no memory."""

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


def address_key(address: str) -> str:
    """What counts as one address: of IPv6 the /64, since every home has a whole one. Anything else stays as it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address[:_KEY_LENGTH]
    if isinstance(ip, IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{ip_address(int(ip) >> 64 << 64)}/64"


def counted_key(address: str) -> str:
    """What connections are counted by: as `address_key`; "", which is not counted, for this machine itself.

    Behind a proxy on this machine that the settings do not name everybody would seem to come from here.
    """
    try:
        here = ip_address(address).is_loopback
    except ValueError:
        here = False
    return "" if here else address_key(address)


def client_of(peer: str, forwarded_for: str, proxies: Proxies | None) -> str:
    """Whose request it is: the peer's, or whom proxies that are believed say it is for. As uvicorn does for HTTP."""
    if proxies is None or not forwarded_for or peer not in proxies:
        return peer
    return proxies.get_trusted_client_address(forwarded_for)[0] or peer
