"""What the way from a gateway to a core costs: `python -m tests.cluster.hop`.

So many people type in one document, once in a server as it is, and once at a gateway with the file at a core and NATS
between them. Times are of their own acknowledgements; processor times of all processes on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
import uvloop

from coscribe.app import Coscribe, tune_interpreter
from coscribe.bench.machine import cpu_seconds
from coscribe.bench.many import SteadyTypist
from coscribe.bench.measure import Tally, percentile
from coscribe.bench.member import drain
from coscribe.bench.peer import Room
from coscribe.cluster.desk import Desk
from coscribe.cluster.front import FrontContext, FrontGateway
from coscribe.cluster.homes import Homes
from coscribe.cluster.links import Links
from coscribe.cluster.nats_bus import NatsBus
from coscribe.config import Settings
from coscribe.core.document_state import Limits
from coscribe.documents.ports import Home
from coscribe.gateway.auth import RoleOfToken, SignedTokens, make_token
from coscribe.gateway.fast import websocket_switch
from coscribe.gateway.pace import Pace
from coscribe.gateway.socket import GatewayLimits
from coscribe.protocol.messages import WEBSOCKET_PATH
from coscribe.server import bind
from tests.cluster.world import SomeOwners
from tests.servers import NatsServer

SECRET = "not a secret at all, only a test's"
WARM_UP = 2.0
MEMORY = Path("/dev/shm")
MANY = 20_000


class Cost(NamedTuple):
    """Milliseconds; microseconds of processor time for each operation; of the bus alone."""

    operations: int
    p50: float
    p99: float
    cpu: float
    bus_cpu: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=50)
    arguments.add_argument("--rate", type=float, default=4.0, help="keystrokes per second and person")
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--documents", type=int, default=1)
    arguments.add_argument("--serve", nargs="*", help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.serve:
        what, folder, *rest = asked.serve
        uvloop.run(serve(what, Path(folder), *rest))
        return
    uvloop.run(bus_alone())
    for hop in (False, True):
        cost = asyncio.run(measure(asked, hop=hop))
        name = "gateway, NATS, core" if hop else "one server"
        print(
            f"{name:20} {cost.operations} operations, acknowledged in {cost.p50:.2f} ms p50, {cost.p99:.2f} ms p99; "
            f"{cost.cpu:.0f} us of processor time each, and {cost.bus_cpu:.0f} us of the bus"
        )


async def bus_alone() -> None:
    """Round trips one after the other, and as many messages of the size of a batch as go through."""
    with NatsServer() as nats:
        one, two = await NatsBus.connect(nats.url), await NatsBus.connect(nats.url)
        back, came = asyncio.Event(), count(1)
        everything = asyncio.Event()
        await two.subscribe("there", lambda message: two.send("back", message))
        await one.subscribe("back", lambda _: back.set())
        await two.subscribe("many", lambda _: everything.set() if next(came) == MANY else None)
        times = []
        for _ in range(2_000):
            began = time.perf_counter()
            one.send("there", b"x" * 300)
            await back.wait()
            back.clear()
            times.append(time.perf_counter() - began)
        times.sort()
        began = time.perf_counter()
        for number in range(MANY):
            one.send("many", b"x" * 1_000)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await everything.wait()
        rate = MANY / (time.perf_counter() - began)
        print(
            f"{'the bus alone':20} there and back in {percentile(times, 0.5) * 1e6:.0f} us p50, "
            f"{percentile(times, 0.99) * 1e6:.0f} us p99; {rate:,.0f} messages of 1 KB a second between two"
        )
        await one.close()
        await two.close()


async def measure(asked: argparse.Namespace, *, hop: bool) -> Cost:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None))
        if hop:
            nats = stack.enter_context(NatsServer())
            core = _started(stack, "core", folder, nats.url)
            _said(core)
            front = _started(stack, "gateway", folder, nats.url)
            pids, bus = [core.pid, front.pid], [nats.pid]
        else:
            front = _started(stack, "direct", folder)
            pids, bus = [front.pid], []
        url = f"ws://127.0.0.1:{_said(front)}{WEBSOCKET_PATH}"
        return await _typed(asked, url, pids, bus)


async def _typed(asked: argparse.Namespace, url: str, pids: list[int], bus: list[int]) -> Cost:
    tally = Tally()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    rooms = [Room(f"hop-{number}") for number in range(asked.documents)]
    typists = [
        SteadyTypist(failed, rooms[number % len(rooms)], f"user-{number}", tally) for number in range(asked.people)
    ]
    for typist in typists:
        await typist.enter(url, make_token(SECRET.encode(), typist.series, "editor", 3_600))
    began = time.perf_counter()
    start: tuple[int, float, float] | None = None
    pause = 1 / (asked.rate * len(typists))
    for number in count():
        now = time.perf_counter()
        if start is None and now - began > WARM_UP:
            start = len(tally.acks), _cpu(pids), _cpu(bus)
        if now - began > WARM_UP + asked.seconds:
            break
        due = began + number * pause
        if due > now:
            await asyncio.sleep(due - now)
        typists[number % len(typists)].due(max(due, now))
    await drain(typists)
    assert start is not None
    acks = sorted(tally.acks[start[0] :])
    cpu, bus_cpu = _cpu(pids) - start[1], _cpu(bus) - start[2]
    for typist in typists:
        typist.close()
    return Cost(
        len(acks),
        percentile(acks, 0.5) * 1_000,
        percentile(acks, 0.99) * 1_000,
        cpu / len(acks) * 1_000_000,
        bus_cpu / len(acks) * 1_000_000,
    )


def _cpu(pids: list[int]) -> float:
    return sum(cpu_seconds(pid) or 0.0 for pid in pids)


def _started(stack: ExitStack, *what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cluster.hop", "--serve", *what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# ---- the processes on the way


async def serve(what: str, folder: Path, nats: str = "") -> None:
    tune_interpreter()
    if what == "gateway":
        await _gateway(nats)
        return
    tokens = SignedTokens(SECRET.encode())
    coscribe = Coscribe(Settings(folder=folder), authenticator=tokens, access=RoleOfToken())
    async with coscribe.running():
        if what == "direct":
            await _listen(coscribe.gateway)
        else:
            links = Links(await NatsBus.connect(nats), "core")
            Desk(coscribe.gateway, links)
            await links.start()
            print("ready", flush=True)
            await asyncio.Event().wait()


async def _gateway(nats: str) -> None:
    async def nowhere(_: str) -> Home | None:
        return None

    bus = await NatsBus.connect(nats)
    links = Links(bus, "gateway")
    await links.start()
    numbers = count(1)
    context = FrontContext(
        SignedTokens(SECRET.encode()),
        GatewayLimits(),
        Limits(),
        time.monotonic,
        time.time,
        lambda: f"c{next(numbers)}",
        "coscribe/hop",
        Pace(time.monotonic),
        owners=SomeOwners(lambda _: "core"),
        links=links,
        homes=Homes(nowhere),
    )
    gateway = FrontGateway(context, frozenset())
    gateway.start()
    try:
        await _listen(gateway)
    finally:
        links.stop()
        await bus.close()


async def _listen(door: Any) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        """Only sockets are served."""

    listener = bind("127.0.0.1", 0)
    ws: Any = websocket_switch(door, WEBSOCKET_PATH)
    server = uvicorn.Server(uvicorn.Config(nothing, ws=ws, log_level="error", lifespan="off"))
    print(listener.getsockname()[1], flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    main()
