"""A cluster on this machine: PostgreSQL, NATS, cores and gateways, each a process, each to be troubled on its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import psutil
import psycopg

from coscribe.bench.machine import cpu_seconds
from coscribe.cluster.ports import SHARDS
from coscribe.gateway.auth import make_token
from coscribe.protocol.messages import WEBSOCKET_PATH
from coscribe.protocol.messages import Role as Right
from tests.cluster.network import PORT, Far, Network, Place, unavailable
from tests.e2e.server_process import free_port
from tests.servers import NatsServer, PostgresServer, ends_with_us, has_ended

if TYPE_CHECKING:
    from typing import Self

Role = Literal["core", "gateway", "all"]

SECRET = "not a secret at all, only a test's"
STARTS_WITHIN = 120.0
STOPS_WITHIN = 60.0
"""Seconds. Limits against hanging for ever, no claims."""

SOURCE = Path(__file__).parents[2] / "src"


class Node:
    """An instance: one name and one address, over as many processes as it takes.

    ``source``: the folder that has the package which it runs. ``printed``: all that it has said.
    """

    def __init__(
        self, name: str, role: Role, place: Place, port: int, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.role = role
        self.place = place
        self.port = port
        self.source = SOURCE
        self.printed = folder / f"{name}.log"
        self.starts = 0
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://{self.place.address}:{self.port}{WEBSOCKET_PATH}"

    @property
    def http(self) -> str:
        return f"http://{self.place.address}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when it serves."""
        self.launch()
        self.serves()

    def launch(self) -> None:
        """Starts a process and does not wait for it."""
        assert self._process is None, f"{self.name} runs already"
        command = [*self.place.prefix, sys.executable, "-m", "coscribe", "serve", "--quiet"]
        command += ["--host", self.place.address, "--port", str(self.port)]
        before = {"PYTHONPATH": str(self.source), "COSCRIBE_ROLE": self.role, "COSCRIBE_INSTANCE": self.name}
        self.starts += 1
        with self.printed.open("ab") as printed:
            printed.write(f"---- start {self.starts} of {self.name}\n".encode())
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={**os.environ, **before, **self._environment},
                start_new_session=True,
            )
        ends_with_us(self._process.pid)

    def serves(self) -> None:
        """Returns when it says that it does. Raises RuntimeError with what it said instead."""
        until = time.monotonic() + STARTS_WITHIN
        while True:
            said = self._said()
            if any(line.startswith("http") for line in said):
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                words = "\n".join(said[-15:])
                raise RuntimeError(f"{self.name} does not serve:\n{words}")
            time.sleep(0.02)

    def _said(self) -> list[str]:
        """The lines since the last start."""
        said = self.printed.read_text(errors="replace")
        return said.rpartition(f"---- start {self.starts} of {self.name}\n")[2].splitlines()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no handing over, no goodbye."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid) or 0.0

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(timeout=STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{self.name} did not end within {STOPS_WITHIN:g} s of {how.name}") from None
        finally:
            has_ended(process.pid)


class Cluster:
    """``folder`` is shared by all instances. Use as a context manager: everything runs inside, and nothing after.

    ``whole``: instances that are gateways and cores at once. ``left_out``: what is not possible here, each with the
    reason. ``settings``: of all instances.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cores: int = 0,
        gateways: int = 0,
        whole: int = 0,
        network: bool = True,
        settings: Mapping[str, str] | None = None,
        source: Path = SOURCE,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.left_out: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.database_url = ""
        self._counts: Sequence[tuple[Role, int]] = (("core", cores), ("gateway", gateways), ("all", whole))
        self._wants_network = network
        self._settings = dict(settings or {})
        self._source = source
        self._network: Network | None = None
        self._stack = ExitStack()
        self.postgres: PostgresServer
        self.nats: NatsServer

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _build(self, stack: ExitStack) -> None:
        reason = unavailable() if self._wants_network else "not asked for"
        if reason is None:
            self._network = stack.enter_context(Network())
        else:
            self.left_out["partitions"] = reason
        host = self._network.address if self._network is not None else "127.0.0.1"
        self.postgres = stack.enter_context(PostgresServer(host=host))
        self.nats = stack.enter_context(NatsServer(host=host))
        self.database_url = self.postgres.empty()
        self.data.mkdir(exist_ok=True)
        environment = self._environment(host)
        for role, count in self._counts:
            for number in range(count):
                name = f"{role}-{number}"
                place = self._network.place(name) if self._network is not None else Place("127.0.0.1")
                port = PORT if self._network is not None else free_port()
                node = Node(name, role, place, port, self.folder, environment)
                node.source = self._source
                self.nodes.append(node)
        stack.callback(self._end)
        first, *others = self.nodes
        first.start()  # it makes the tables
        for node in others:
            node.launch()
        for node in others:
            node.serves()

    def _environment(self, host: str) -> dict[str, str]:
        environment = {
            "COSCRIBE_DATABASE_URL": self.database_url,
            "COSCRIBE_NATS": self.nats.url,
            "COSCRIBE_FOLDER": str(self.data),
            "COSCRIBE_TOKEN_SECRET": SECRET,
            # All clients have one address.
            "COSCRIBE_GATEWAY__CONNECTIONS_PER_ADDRESS": "100000",
            "COSCRIBE_GATEWAY__HTTP_CONNECTIONS_PER_ADDRESS": "100000",
            "COSCRIBE_SIGN_UP": "open",
            "COSCRIBE_OPEN_METRICS": "true",
        }
        if self._network is not None:
            environment |= {
                "COSCRIBE_TRUSTED_PROXIES": f'["{host}"]',
                "COSCRIBE_PUBLIC_URL": "https://cluster.example",
            }
        return environment | self._settings

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()

    # ---- who there is

    @property
    def cores(self) -> list[Node]:
        return [node for node in self.nodes if node.role != "gateway"]

    @property
    def gateways(self) -> list[Node]:
        return [node for node in self.nodes if node.role != "core"]

    @property
    def database(self) -> Far:
        return Far(self.postgres.host, self.postgres.port)

    @property
    def bus(self) -> Far:
        return Far(self.nats.host, self.nats.port)

    @property
    def has_networks(self) -> bool:
        return self._network is not None

    def owners(self) -> dict[int, str]:
        """By shard, the name of the instance that owns it and lives, as the database has it. Raises
        psycopg.OperationalError."""
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            rows = connection.execute(
                "SELECT shard, name FROM shard_leases JOIN instances ON owner = instance_id"
                " WHERE alive_until > extract(epoch FROM clock_timestamp()) * 1000000"
            )
            return {int(shard): str(name) for shard, name in rows.fetchall()}

    def is_balanced(self) -> bool:
        """Whether every shard is owned, and each core has its part of them; False where that cannot be asked."""
        try:
            counts = Counter(self.owners().values())
        except psycopg.OperationalError:
            return False
        share = SHARDS / len(self.cores)
        return counts.total() == SHARDS and all(0.8 * share < counts[node.name] < 1.2 * share for node in self.cores)

    def balance(self) -> None:
        """Returns when it is so."""
        until = time.monotonic() + STARTS_WITHIN
        while not self.is_balanced():
            if time.monotonic() > until:
                raise RuntimeError(f"the cores do not share: {Counter(self.owners().values())}")
            time.sleep(0.1)

    def token(self, user_id: str, right: Right = "editor") -> str:
        return make_token(SECRET.encode(), user_id, right, 86_400)

    def cpu_seconds(self) -> dict[str, float]:
        """Of the processes that run now, by what they are."""
        used: dict[str, float] = defaultdict(float)
        for node in self.nodes:
            used[node.role] += node.cpu_seconds()
        for name, server in (("database", self.postgres), ("bus", self.nats)):
            main = psutil.Process(server.pid)
            times = main.cpu_times()
            used[name] = times.user + times.system + times.children_user + times.children_system
            for child in main.children():
                with suppress(psutil.NoSuchProcess):
                    used[name] += sum(child.cpu_times()[:2])
        return dict(used)

    def stop(self) -> list[int]:
        """SIGTERM to all, gateways first; the exit codes."""
        return [node.stop() for node in [*self.gateways, *self.cores]]
