"""A network of its own for each instance, so that what goes between two of them can be cut.

    this machine ---- bridge ---- (veth) namespace of core-0
                          |------ (veth) namespace of gateway-0 ...

The bridge has an address, at which servers of this machine are reached. What is *cut* is dropped in the namespace
without a word, as by a broken cable: nobody is told, and connections hang.

Everything is named with the id of this process. A shell waits for our end and removes it, also where we are killed;
what is left all the same is removed by whoever comes next.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Self

PORT = 8_777
"""Where an instance listens in a namespace of its own."""

_REMOVE = """
for name in $(ip netns list | cut -d' ' -f1 | grep '^coscribe-{pid}-'); do ip netns del $name; done
for link in $(ip -o link show | cut -d: -f2 | cut -d@ -f1 | grep -E '^ ?csv{pid}[.]'); do
  ip link del $link 2>/dev/null
done
ip link del csb{pid} 2>/dev/null
"""


class Far(NamedTuple):
    """A server that an instance talks to."""

    host: str
    port: int


class Place:
    """Where one instance runs. ``prefix`` begins its command."""

    def __init__(self, address: str, prefix: tuple[str, ...] = ()) -> None:
        self.address = address
        self.prefix = prefix

    def cut(self, servers: Iterable[Far], *, to: bool = True, back: bool = True) -> None:
        """From now on nothing gets ``to`` these servers, or ``back`` from them, or neither, until `heal`."""
        assert self.prefix, "there is no network to be cut"
        there = "".join(f" ip daddr {far.host} tcp dport {far.port} drop;" for far in servers if to)
        here = "".join(f" ip saddr {far.host} tcp sport {far.port} drop;" for far in servers if back)
        chain = "type filter hook {} priority 0;"
        rules = (
            f"table inet cut {{\nchain out {{ {chain.format('output')}{there} }}\n"
            f"chain in {{ {chain.format('input')}{here} }}\n}}\n"
        )
        _run([*self.prefix, "nft", "-f", "-"], rules)

    def heal(self) -> None:
        _run([*self.prefix, "nft", "flush", "ruleset"])


class Network:
    """Use as a context manager; as root only, see `unavailable`. ``address``: this machine's."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._pid = pid
        self._prefix = f"10.{64 + pid // 256 % 128}.{pid % 256}"
        self._places = 0
        self._remover: subprocess.Popen[bytes] | None = None
        self.address = f"{self._prefix}.1"

    def __enter__(self) -> Self:
        sweep()
        script = "read line\n" + _REMOVE.format(pid=self._pid)
        self._remover = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
        bridge = f"csb{self._pid}"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        remover, self._remover = self._remover, None
        if remover is not None:
            remover.communicate()

    def place(self, name: str) -> Place:
        """A namespace, connected with the bridge."""
        self._places += 1
        namespace, near = f"coscribe-{self._pid}-{name}", f"csv{self._pid}.{self._places}"
        address = f"{self._prefix}.{self._places + 1}"
        _ip("netns", "add", namespace)
        _ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", near, "master", f"csb{self._pid}", "up")
        inside = ("ip", "netns", "exec", namespace)
        for command in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "addr", "add", f"{address}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
        ):
            _run([*inside, *command])
        return Place(address, inside)


def unavailable() -> str | None:
    """Why there can be no networks here; None: there can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    missing = [command for command in ("ip", "nft") if shutil.which(command) is None]
    if missing:
        return f"not found: {', '.join(missing)} (python tools/system_packages.py installs what is missing)"
    probe = f"coscribe-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return None


def sweep() -> None:
    """Removes what processes have left that are gone."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "-o", "link", "show"], capture_output=True, text=True, check=True).stdout
    for pid in {*re.findall(r"^coscribe-(\d+)-", listed, re.MULTILINE), *re.findall(r": cs[bv](\d+)[.:@]", links)}:
        if not os.path.exists(f"/proc/{pid}"):
            subprocess.run(["sh", "-c", _REMOVE.format(pid=pid)], check=False)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: Sequence[str], given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
