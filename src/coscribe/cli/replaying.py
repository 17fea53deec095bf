"""A trace from its beginning to the verdict: played through a server, compared, killed, compared again, verified."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coscribe.cli import playing
from coscribe.cli.common import err, token_for
from coscribe.cli.embedded import EmbeddedError, EmbeddedServer
from coscribe.cli.player import PlayError
from coscribe.cli.playing import Played, Stage
from coscribe.cli.schedule import Step, rebased
from coscribe.cli.store import Store
from coscribe.cli.traces import Trace
from coscribe.cli.verifying import verify_store
from coscribe.core.errors import CoscribeError

DURABILITY = "sqlite WAL synchronous=FULL"

MAX_DIFFERENCES = 20
"""Places at which the text of a concurrent history may differ from the recorded one, if it is made of the same
characters: a tie of two inserts can be broken either way. They are all shown."""

CONTEXT = 10
"""Code points shown on either side of a difference."""

_T = TypeVar("_T")


class Options(NamedTuple):
    """What the command line says. ``server`` empty: one of our own."""

    file_id: str
    server: str
    token: str
    data: Path
    clients: int
    chain: int
    composition: bool
    verify: bool


class Difference(msgspec.Struct):
    """A place where the text is not the recorded one, with what is around it."""

    position: int
    found: str
    recorded: str


class Outcome(msgspec.Struct, rename="camel"):
    """The one object of --json.

    ``equal``: all replicas are equal, and are the recorded text (for a concurrent history at most `MAX_DIFFERENCES`
    places of it differ). ``rebased_by_server``: edits that were sent behind others that their authors did not know; of
    a sequential history there are none. None: not looked at, since the server is not ours to kill.
    """

    trace: str
    kind: str
    file: str
    edits: int
    operations: int
    clients: int
    chain: int
    composition: bool
    durability: str | None
    seconds: float
    operations_per_second: float
    equal: bool
    replicas_equal: bool
    differences: list[Difference]
    different_places: int
    characters: int
    heals: int
    rebased_by_server: int
    server_sequence: int
    equal_after_kill: bool | None = None
    verified: bool | None = None

    @property
    def good(self) -> bool:
        return self.equal and self.equal_after_kill is not False and self.verified is not False


class ReplayError(Exception):
    """The history could not be played to its end. The text is for people."""


def run(trace: Trace, steps: Sequence[Step], options: Options) -> Outcome:
    """Plays a trace; ``steps`` are those of a concurrent one. Raises ReplayError."""
    try:
        return asyncio.run(_replay(trace, steps, options))
    except (PlayError, EmbeddedError, CoscribeError) as error:
        raise ReplayError(str(error)) from error


async def _replay(trace: Trace, steps: Sequence[Step], options: Options) -> Outcome:
    if options.server:
        token = token_for(options.data, options.token, "editor")
        stage = Stage(options.server, options.file_id, lambda _: token)
        return _judge(trace, steps, options, await _play(trace, steps, stage, options), None)
    with tempfile.TemporaryDirectory(prefix="coscribe-replay-") as folder:
        own = EmbeddedServer(Path(folder))
        try:
            await own.start()
            stage = Stage(own.url, options.file_id, own.token)
            played = await _while_it_runs(own, _play(trace, steps, stage, options))
            outcome = _judge(trace, steps, options, played, DURABILITY)
            if options.verify:
                await own.kill()
                await own.start()
                text = await _while_it_runs(own, playing.fresh_text(stage._replace(server=own.url)))
                outcome.equal_after_kill = all(text == other for other in played.texts.values())
                await own.stop()
                outcome.verified = all(verdict.clean for verdict in verify_store(Store(own.folder)))
            return outcome
        finally:
            await own.kill()


async def _play(trace: Trace, steps: Sequence[Step], stage: Stage, options: Options) -> Played:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(trace.name, total=trace.edits)

        def tick(done: int) -> None:
            progress.advance(task, done)

        if trace.concurrent:
            return await playing.play_concurrent(trace, steps, stage, chain=options.chain, tick=tick)
        return await playing.play_sequential(
            trace,
            stage,
            clients=options.clients,
            chain=options.chain,
            composition=options.composition,
            tick=tick,
        )


async def _while_it_runs(server: EmbeddedServer, work: Awaitable[_T]) -> _T:
    """Does the work; a server that ends meanwhile ends it. Raises EmbeddedError."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(server.ended())
    try:
        done, _ = await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
        return await (working if working in done else ending)
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


def _judge(trace: Trace, steps: Sequence[Step], options: Options, played: Played, durability: str | None) -> Outcome:
    texts = list(played.texts.values())
    text = texts[0]
    places = _different_places(text, trace.end)
    replicas_equal = all(other == text for other in texts)
    tolerated = MAX_DIFFERENCES if trace.concurrent and Counter(text) == Counter(trace.end) else 0
    return Outcome(
        trace=trace.name,
        kind="concurrent" if trace.concurrent else "sequential",
        file=options.file_id,
        edits=trace.edits,
        operations=played.operations,
        clients=options.clients,
        chain=options.chain,
        composition=options.composition,
        durability=durability,
        seconds=round(played.seconds, 3),
        operations_per_second=round(played.operations / played.seconds, 1),
        equal=replicas_equal and len(places) <= tolerated,
        replicas_equal=replicas_equal,
        differences=[_difference(text, trace.end, place) for place in places[:MAX_DIFFERENCES]],
        different_places=len(places),
        characters=len(text),
        heals=played.heals,
        rebased_by_server=rebased(steps, trace.agents),
        server_sequence=played.sequence,
    )


def _different_places(text: str, recorded: str) -> list[int]:
    both = min(len(text), len(recorded))
    places = [place for place in range(both) if text[place] != recorded[place]] if text != recorded else []
    return places + list(range(both, max(len(text), len(recorded))))


def _difference(text: str, recorded: str, place: int) -> Difference:
    start, end = max(0, place - CONTEXT), place + CONTEXT
    return Difference(place, text[start:end], recorded[start:end])
