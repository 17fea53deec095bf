"""Addresses: of repositories that people name, and to whom this server may speak because of that.

Whoever names an address makes the server speak from where it stands: to machines that only it can reach, and to its
own. So only public addresses are spoken to, all that a name stands for are looked at, and the one that was looked at is
the one that is spoken to: a second look-up might answer something else. Redirects are not followed, for that reason.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from coscribe.core.errors import Code, CoscribeError

MAX_ADDRESS = 2_048

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""And a port."""

_SIGNS = re.compile(r"[A-Za-z0-9:/?@\[\]!$&'()*+,;=._~%-]+")
_NAT64 = int(IPv6Address("64:ff9b::")) >> 32

IP = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class Target(NamedTuple):
    """A repository, and the one address at which its host is spoken to."""

    url: str
    host: str
    port: int
    address: str


def look_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a host. OSError: there is none."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: IP) -> bool:
    """Whether it is a machine on the internet: also not one that is hidden in an address of another sort."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and int(address) >> 32 == _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local or address.scope_id:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class AddressPolicy:
    """``schemes`` that may be spoken; ``allows``: whom; ``resolve`` as `look_up`."""

    def __init__(
        self,
        schemes: frozenset[str] = frozenset(("https",)),
        allows: Callable[[IP], bool] = is_public,
        resolve: Resolve = look_up,
    ) -> None:
        self.schemes = schemes
        self._allows = allows
        self._resolve = resolve

    def check(self, url: str) -> None:
        """What can be seen without asking anybody. Errors: ``import_refused``."""
        self._parts(url)

    def target(self, url: str) -> Target:
        """Errors: ``import_refused``."""
        host, port = self._parts(url)
        try:
            found = [ip_address(each) for each in self._resolve(host, port)]
        except (OSError, ValueError):
            found = []
        if not found:
            raise _refused(f"no machine is called {host!r}: check the address")
        if not all(map(self._allows, found)):
            raise _refused(f"{host!r} is not on the internet, and is not spoken to: send an archive of it instead")
        return Target(url, host, port, str(found[0]))

    def _parts(self, url: str) -> tuple[str, int]:
        if len(url) > MAX_ADDRESS or _SIGNS.fullmatch(url) is None:
            raise _refused("that is no address: write https://host/path")
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise _refused("that is no address: write https://host/path") from None
        if parts.scheme not in self.schemes:
            raise _refused("a repository is named by its https address: https://host/path")
        if "@" in parts.netloc:
            raise _refused("an address has no name and no password in it: give the token by itself")
        host = parts.hostname or ""
        is_plain = not (parts.query or parts.fragment) and _HOST.fullmatch(parts.netloc) is not None
        if not is_plain or not host or not parts.path.strip("/"):
            raise _refused("that is no address: write https://host/path")
        return host, port


def _refused(detail: str) -> CoscribeError:
    return CoscribeError(Code.IMPORT_REFUSED, detail)
