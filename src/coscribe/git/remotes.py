"""Remotes: which addresses a server talks to for its people, and with what they are let in there.

Whoever names an address makes the server speak from where it stands: to machines that only it can reach, and to its
own. So an address is one of the public internet, by https or ssh. Its name is resolved here, all that it stands for are
judged, and git is told to use one that was judged: a second look-up (DNS rebinding) might answer something else.
Redirects are not followed at all, for that reason.

By ssh the server's key is known before anything is said: pinned in known hosts, or named by its fingerprint.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from coscribe.core.errors import Code, CoscribeError

MAX_URL = 2_000

RESOLVE_SECONDS = 10.0
"""How long a look-up is waited for; also how long a server has to say its keys."""

_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:/\s][^\s]*)")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+")
_PATH = re.compile(r"/+[A-Za-z0-9._~%+@-][A-Za-z0-9._~/%+@-]*")
_USER = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_KEY_TYPE = re.compile(r"[a-z0-9@.-]{3,64}")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_NAT64 = int(IPv6Address("64:ff9b::")) >> 32

MAX_KEYS = 16
"""Of a server that says its keys."""

IP = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


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


class Secret(NamedTuple):
    """With what somebody is let in. ``user``: the name of https; ``token``: its password; ``key``: a private key of
    ssh, with ``known_hosts``, the lines that say which key the server has."""

    user: str = ""
    token: str = ""
    key: str = ""
    known_hosts: str = ""

    def __repr__(self) -> str:
        return "Secret(...)"


class Policy(Protocol):
    """Which addresses may be talked to. Errors: ``remote_refused``."""

    def check(self, url: str) -> Remote:
        """What can be seen without asking anybody."""
        ...

    def __call__(self, url: str) -> Remote:
        """Looks the name up, and judges what it stands for. It waits for others."""
        ...


def look_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a host. OSError: there is none."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: IP | str) -> bool:
    """Whether it is a machine on the internet: also not one that is hidden in an address of another sort."""
    if isinstance(address, str):
        try:
            return is_public(ip_address(address))
        except ValueError:
            return False
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
    """``protocols`` that may be spoken; ``allows``: whom; ``resolve`` as `look_up`."""

    def __init__(
        self,
        protocols: frozenset[str] = frozenset(("https", "ssh")),
        allows: Callable[[IP], bool] = is_public,
        resolve: Resolve = look_up,
    ) -> None:
        self._protocols = protocols
        self._allows = allows
        self._resolve = resolve

    def check(self, url: str) -> Remote:
        return parsed(url, self._protocols)

    def __call__(self, url: str) -> Remote:
        remote = self.check(url)
        try:
            found = [ip_address(each) for each in dict.fromkeys(self._resolve(remote.host, remote.port))]
        except (OSError, ValueError):
            found = []
        if not found:
            raise _refused(f"no machine is called {remote.host!r}: check the address")
        if not all(map(self._allows, found)):
            raise _refused(f"{remote.host!r} is not on the public internet, and is not spoken to")
        pinned = {}
        if remote.protocol != "ssh":
            all_of_it = ",".join(f"[{each}]" if each.version == 6 else str(each) for each in found)
            pinned = {"http.curloptResolve": f"{remote.host}:{remote.port}:{all_of_it}"}
        return remote._replace(settings=pinned, address=str(found[0]))


public = AddressPolicy()
"""The policy of a server: https and ssh, to public addresses."""


def parsed(url: str, protocols: frozenset[str] = frozenset(("https", "ssh"))) -> Remote:
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
        raise _refused("that is no address: write https://host/path") from None
    if parts.scheme not in protocols:
        raise _refused(f"the address begins with {' or '.join(f'{each}://' for each in sorted(protocols))}")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise _refused("no name and no password in the address: give credentials")
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(parts.path) or parts.query or parts.fragment:
        raise _refused("the address is a host and a path, without ? and #: write https://host/path")
    user = parts.username or "git"
    if not _USER.fullmatch(user):
        raise _refused("the name in the address has other characters than letters and digits")
    return Remote(url, parts.scheme, host, user=user, port=port or _PORTS[parts.scheme])


# ---- ssh


def ssh_command(remote: Remote, key: Path, known_hosts: Path) -> str:
    """How ssh is started: with our files alone, to the address that was judged, and never asking anybody."""
    settings = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        f"HostKeyAlias={remote.host}",
        f"HostName={remote.address}",
        "IdentitiesOnly=yes",
        f"IdentityFile={key}",
        "IdentityAgent=none",
        "ForwardAgent=no",
        "PermitLocalCommand=no",
        "ProxyCommand=none",
        "ConnectTimeout=30",
    ]
    return " ".join(["ssh", "-F", os.devnull, *(f"-o '{each}'" for each in settings)])


def write_secret(path: Path, content: str) -> Path:
    """A file that nobody else can read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content if content.endswith("\n") else f"{content}\n")
    return path


def host_keys(remote: Remote) -> dict[str, str]:
    """The keys that a server says it has, as lines of known hosts by fingerprint. It waits for the server. Nothing is
    known by that of who it is. Errors: ``remote_refused``."""
    arguments = ["ssh-keyscan", "-T", f"{RESOLVE_SECONDS:g}", "-p", str(remote.port), "--", remote.address]
    try:
        done = subprocess.run(
            arguments, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=3 * RESOLVE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        raise _refused(f"{remote.host} does not say which keys it has") from None
    found: dict[str, str] = {}
    for line in done.stdout.decode(errors="replace").splitlines()[: 4 * MAX_KEYS]:
        _, _, said = line.partition(" ")
        kind, _, raw = said.partition(" ")
        try:
            key = base64.b64decode(raw, validate=True)
        except binascii.Error:
            continue
        if _KEY_TYPE.fullmatch(kind) and len(found) < MAX_KEYS:
            found[fingerprint(key)] = f"{remote.host} {kind} {raw}"
    if not found:
        raise _refused(f"{remote.host} does not say which keys it has")
    return found


def fingerprint(key: bytes) -> str:
    """As ssh shows it."""
    return f"SHA256:{base64.b64encode(sha256(key).digest()).decode().rstrip('=')}"


def pinned_by(remote: Remote, wanted: str) -> str:
    """Known hosts of a server by the fingerprint that somebody has said. Errors: ``remote_refused``: it has another
    one, or (where none was said) those that it has."""
    found = host_keys(remote)
    if wanted not in found:
        said = ", ".join(f"{mark} ({line.split()[1]})" for mark, line in sorted(found.items()))
        why = "has another key than that" if wanted else "is not known yet"
        raise _refused(f"{remote.host} {why}: it says {said}. Compare, and give the right fingerprint")
    return found[wanted]


def _refused(detail: str) -> CoscribeError:
    return CoscribeError(Code.REMOTE_REFUSED, detail)
