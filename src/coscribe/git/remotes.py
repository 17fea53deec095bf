"""Remotes: which addresses a server talks to for its people, and with what they are let in there.

An address is one of the public internet, by https or ssh. The name is resolved here, each of its addresses is judged,
and git is told to use the one that was judged: so a name that resolves to another address a moment later (DNS
rebinding) leads nowhere else. Redirects are not followed at all.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.unpacking import addresses

MAX_URL = 2_000

RESOLVE_SECONDS = 10.0

_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:/\s][^\s]*)")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_PATH = re.compile(r"/[A-Za-z0-9._~/%+@-]*")
_PORTS = {"https": 443, "ssh": 22}


class Remote(NamedTuple):
    """An address that may be talked to. ``protocol``: of git; ``host``: what credentials are kept for; ``settings``: of
    git, for this address only. ``user``: of ssh. ``address``: the one that was judged."""

    url: str
    protocol: str
    host: str
    settings: Mapping[str, str] = {}
    user: str = ""
    address: str = ""
    port: int = 0


Policy = Callable[[str], Awaitable[Remote]]
"""Judges an address. Errors: ``remote_refused``."""


class Secret(NamedTuple):
    """With what somebody is let in. ``user``: the name of https; ``token``: its password; ``key``: a private key of
    ssh, with ``known_hosts``, the lines that say which key the server has."""

    user: str = ""
    token: str = ""
    key: str = ""
    known_hosts: str = ""

    def __repr__(self) -> str:
        return "Secret(...)"


async def public(url: str) -> Remote:
    """The policy of a server: https and ssh, to public addresses. Errors: ``remote_refused``."""
    remote = parsed(url)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(remote.host, remote.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        raise _refused(f"{remote.host} is not known") from None
    resolved = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in resolved:
        if not is_public(address):
            raise _refused(f"{remote.host} is not on the public internet")
    pinned = {}
    if remote.protocol == "https":
        pinned = {"http.curloptResolve": f"{remote.host}:{remote.port}:{','.join(map(_bracketed, resolved))}"}
    return remote._replace(settings=pinned, address=resolved[0])


def parsed(url: str) -> Remote:
    """What an address says, if it is of a form that is taken. Errors: ``remote_refused``."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise _refused("the address is too long, or has other characters than printable ASCII")
    short = _SCP.fullmatch(url)
    if short is not None:
        url = f"ssh://{short['user']}@{short['host']}/{short['path']}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("that is no address") from None
    if parts.scheme not in _PORTS:
        raise _refused("the address begins with https:// or ssh://")
    if parts.password is not None or (parts.username and parts.scheme == "https"):
        raise _refused("no name and no password in the address: give credentials")
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(parts.path) or parts.query or parts.fragment:
        raise _refused("the address is a host and a path, without ? and #")
    user = parts.username or "git"
    if user.startswith("-") or not re.fullmatch(r"[A-Za-z0-9._-]+", user):
        raise _refused("the name in the address has other characters than letters and digits")
    return Remote(url, parts.scheme, host, user=user, port=port or _PORTS[parts.scheme])


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet."""
    try:
        return addresses.is_public(ip_address(address))
    except ValueError:
        return False


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _refused(detail: str) -> CoscribeError:
    return CoscribeError(Code.REMOTE_REFUSED, detail)
