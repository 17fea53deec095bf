"""A cluster of one version becomes one of the next, instance by instance, while people type.

    python -m tests.cluster.upgrade --old COMMIT --sockets 200 --seed 1
    python -m tests.cluster.upgrade --old COMMIT --old-speaks 1     of the old version only protocol 1

Half of the people have clients that speak protocol 1 only, half those of today; servers of both versions serve both.
For each document that somebody has open the time is taken in which it was not live. In the end all that was typed is
there, once, and everybody has it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import uvloop

from coscribe.client.opened import State
from coscribe.protocol import codec, messages
from tests.chaos.people import Book
from tests.chaos.run import errors_noted
from tests.cluster.machine import SOURCE, Cluster, Node
from tests.cluster.outcome import quantiles
from tests.cluster.people import Doors, Member, Visitor, comes_true
from tests.cluster.reckoning import Told, reckon, verified
from tests.cluster.run import read_all
from tests.data import unpack
from tests.simulation.oracle import require

ROOT = Path(__file__).parents[2]
LIMIT = 2.0
"""Seconds that nobody is to be cut off for longer."""

LOOKS = 0.005
"""Seconds between two looks at who is cut off."""

REST = 120.0


class Wanted(NamedTuple):
    """``old``: a commit, or "" for what is here. ``old_speaks``: protocol versions of the old version; (): its own.
    ``pause``: seconds between two instances."""

    old: str = ""
    old_speaks: tuple[int, ...] = (1,)
    sockets: int = 200
    documents: int = 100
    cores: int = 2
    gateways: int = 2
    rate: float = 100.0
    pause: float = 3.0
    seed: int = 1


class Outcome(NamedTuple):
    """``cut_off``: seconds, of each time that somebody was. ``spoken``: how many connections began with which protocol
    version, by version of the server. ``upgrades``: seconds that each instance took from its end to its service."""

    wanted: Wanted
    cut_off: list[float]
    typed: int
    acknowledged: int
    handed_back: int
    spoken: Counter[tuple[str, int]]
    upgrades: list[float]
    violations: list[str]

    def __str__(self) -> str:
        cut_off = sorted(self.cut_off)
        spoken = ", ".join(f"{count} with {which} by protocol {n}" for (which, n), count in sorted(self.spoken.items()))
        lines = [
            f"upgrade: {self.wanted.cores} cores, {self.wanted.gateways} gateways, {self.wanted.sockets} sockets,"
            f" {self.wanted.documents} documents, {len(self.upgrades)} instances replaced one by one",
            f"connections begun: {spoken}",
            f"cut off {len(cut_off)} times: {quantiles(cut_off) if cut_off else 'never'} (limit: {LIMIT:g} s)",
            f"{self.typed} keystrokes, {self.acknowledged} operations acknowledged, {self.handed_back} handed back",
            f"{len(self.violations)} violations, seed {self.wanted.seed}",
            *(f"  {violation}" for violation in self.violations[:20]),
        ]
        return "\n".join(lines)


class _Speaker(Visitor):
    """``speaks``: the protocol versions that the client offers; (): all that it knows."""

    speaks: tuple[int, ...] = ()
    protocol = 0
    server = ""

    def listen(self, spoken: Counter[tuple[str, int]], version: Callable[[str], str]) -> None:
        """Counts each welcome; says hello in its own versions."""
        client = self.client
        received, send = client.received, client.send

        def hears(link: object, raw: bytes) -> None:
            message = codec.decode_server(raw)
            if isinstance(message, messages.Welcome):
                self.protocol = message.protocol
                spoken[version(message.server), message.protocol] += 1
            received(link, raw)  # type: ignore[arg-type]  # it is the link that came

        def says(frame: bytes) -> None:
            if self.speaks and frame.startswith(b'{"type":"hello"'):
                offered = str(list(self.speaks)).encode()
                frame = re.sub(rb'"protocol":\[[\d,]*\]', b'"protocol":' + offered, frame, count=1)
            send(frame)

        client.received, client.send = hears, says  # type: ignore[method-assign]  # what a client of then would do


def source_of(commit: str, folder: Path, speaks: tuple[int, ...] = ()) -> Path:
    """The package as of a commit, in a folder of its own; "" is what is here. ``speaks``: protocol versions, if not
    its own."""
    if commit:
        archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            unpack(packed, folder)
    else:
        shutil.copytree(SOURCE, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    if speaks:
        path = folder / "src/coscribe/protocol/messages.py"
        text, count = re.subn(
            r"^PROTOCOL_VERSIONS = .*$",
            f"PROTOCOL_VERSIONS = {speaks!r}",
            path.read_text(),
            flags=re.MULTILINE,
        )
        require(count == 1, "no protocol versions to be found in the old version")
        path.write_text(text)
    return folder / "src"


def upgrade(wanted: Wanted, log: Callable[[str], object]) -> Outcome:
    """``log`` is told of each instance."""
    with tempfile.TemporaryDirectory(prefix="coscribe-upgrade-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        old = source_of(wanted.old, folder / "old", wanted.old_speaks)
        (folder / "run").mkdir()
        with Cluster(
            folder / "run", cores=wanted.cores, gateways=wanted.gateways, network=False, source=old
        ) as cluster:
            return uvloop.run(_Upgrade(wanted, cluster, log).live())


class _Upgrade:
    def __init__(self, wanted: Wanted, cluster: Cluster, log: Callable[[str], object]) -> None:
        self._wanted = wanted
        self._cluster = cluster
        self._log = log
        self._book = Book()
        self._rng = random.Random(wanted.seed)
        self._people: list[_Speaker] = []
        self._spoken: Counter[tuple[str, int]] = Counter()
        self._cut_off: list[float] = []
        self._upgrades: list[float] = []

    async def live(self) -> Outcome:
        violations: list[str] = []
        with errors_noted(violations):
            finals = await self._lived()
        for node, code in zip(
            [*self._cluster.gateways, *self._cluster.cores], await asyncio.to_thread(self._cluster.stop), strict=True
        ):
            if code not in (0, -signal.SIGTERM):
                violations.append(f"{node.name}, told to stop, ends with {code}")
        sights = [sight for member in self._people for sight in member.sights]
        told = Told(self._book, sights, finals, frozenset())
        violations += (await asyncio.to_thread(reckon, self._cluster.database_url, told)).violations
        violations += verified(self._cluster.database_url, str(self._cluster.data))
        book = self._book
        return Outcome(
            self._wanted,
            self._cut_off,
            len(book.typed),
            len(book.acknowledged),
            len(book.handed_back),
            self._spoken,
            self._upgrades,
            violations + book.contradictions,
        )

    async def _lived(self) -> dict[str, str]:
        doors = Doors([node.url for node in self._cluster.gateways])
        try:
            for number in range(self._wanted.sockets):
                await self._let_in(number, doors)
            for member in self._people:
                await member.open[0].live()
            doing = [asyncio.create_task(self._type()), asyncio.create_task(self._watch())]
            try:
                for node in [*self._cluster.cores, *self._cluster.gateways]:
                    await asyncio.sleep(self._wanted.pause)
                    await self._replace(node)
                await asyncio.sleep(self._wanted.pause)
            finally:
                for task in doing:
                    task.cancel()
                ended = await asyncio.gather(*doing, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error
            async with asyncio.timeout(REST):
                for member in self._people:
                    await member.open[0].synced()
            finals = await read_all(self._cluster, self._book, {each.open[0].file_id for each in self._people})
            for member in self._people:
                document = member.open[0]
                await comes_true(
                    lambda document=document: document.text == finals[document.file_id],  # type: ignore[misc]  # of this round
                    f"{member.name} has the text of {document.file_id}",
                )
            return finals
        finally:
            for member in self._people:
                await member.close()

    async def _let_in(self, number: int, doors: Doors) -> None:
        name = f"p{number}"
        person = _Speaker(name, self._cluster.token(name), doors, self._book, self._wanted.seed)
        person.speaks = (1,) if number % 2 else ()
        person.listen(self._spoken, lambda _: self._version())
        person.begin([], 1, [f"document-{number % self._wanted.documents}"])
        self._people.append(person)
        if number % 20 == 19:
            await asyncio.sleep(0.05)

    def _version(self) -> str:
        """Of the cluster, for the count: of which gateways there are some."""
        sources = {node.source for node in self._cluster.gateways}
        return "both" if len(sources) > 1 else "the new version" if sources == {SOURCE} else "the old version"

    async def _type(self) -> None:
        due = time.monotonic()
        while True:
            while due <= time.monotonic():
                due += self._rng.expovariate(self._wanted.rate)
                person = self._rng.choice(self._people)
                person.edit(person.open[0])
            await asyncio.sleep(0.002)

    async def _watch(self) -> None:
        """Notes who is cut off, and for how long."""
        since: dict[Member, float] = {}
        while True:
            now = time.monotonic()
            for member in self._people:
                if member.open[0].state is State.LIVE:
                    began = since.pop(member, None)
                    if began is not None:
                        self._cut_off.append(now - began)
                else:
                    since.setdefault(member, now)
            await asyncio.sleep(LOOKS)

    async def _replace(self, node: Node) -> None:
        ended = time.monotonic()
        before = len(self._cut_off)
        code = await asyncio.to_thread(node.stop)
        require(code in (0, -signal.SIGTERM), f"{node.name}, told to stop, ends with {code}")
        node.source = SOURCE
        await asyncio.to_thread(node.start)
        self._upgrades.append(time.monotonic() - ended)
        await comes_true(
            lambda: all(member.open[0].state is State.LIVE for member in self._people), "everybody is back"
        )
        longest = max(self._cut_off[before:], default=0.0)
        self._log(
            f"  {node.name} is of the new version after {self._upgrades[-1]:.1f} s; longest cut off {longest:.2f} s"
        )


def main() -> int:
    usual = Wanted()
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.upgrade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--old", default=usual.old, metavar="COMMIT", help="the old version (what is here)")
    parser.add_argument(
        "--old-speaks", type=int, nargs="*", default=usual.old_speaks, help="protocol versions of the old one (1)"
    )
    for name in ("sockets", "documents", "cores", "gateways", "rate", "pause", "seed"):
        value = getattr(usual, name)
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"({value:g})")
    chosen = vars(parser.parse_args())
    outcome = upgrade(Wanted(**chosen)._replace(old_speaks=tuple(chosen["old_speaks"])), print)
    print(outcome)
    return 1 if outcome.violations or max(outcome.cut_off, default=0.0) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
