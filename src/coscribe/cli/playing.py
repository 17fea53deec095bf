"""Plays a trace through a server: its authors are clients, one more client only watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from coscribe.cli.common import websocket_url
from coscribe.cli.live import connected, open_live
from coscribe.cli.player import Player, PlayError
from coscribe.cli.schedule import Make, Send, Step
from coscribe.cli.traces import Patch, Trace
from coscribe.client import ClientSettings, Document
from coscribe.client.replica import Batching

QUEUED_CHAINS = 4
"""Chains of edits that wait in a writer's queue before it types on."""

TICK = 64
"""Edits between two reports of progress."""


class Stage(NamedTuple):
    """Where a trace is played: the server, the file in it, and a token for each name."""

    server: str
    file_id: str
    token: Callable[[str], str]


class Played(NamedTuple):
    """How it went: every replica's text by the client's name; the operations that were committed; seconds for all to
    be durable and with everybody; ``heals``: how often a client had to start from the server's text again."""

    texts: dict[str, str]
    sequence: int
    operations: int
    seconds: float
    heals: int


Tick = Callable[[int], None]


async def play_sequential(
    trace: Trace, stage: Stage, *, clients: int, chain: int, composition: bool, tick: Tick
) -> Played:
    """Types the trace, the edits dealt to the clients in runs of ``chain``. Raises PlayError."""
    batching = Batching.COMPOSE if composition else Batching.CHAIN
    settings = ClientSettings(batching=batching, chain=chain, undo_depth=0)
    async with AsyncExitStack() as stack:
        watcher = await _prepare(stack, trace, stage)
        writers = {
            f"writer {number}": await _open(stack, stage, f"writer-{number}", settings)
            for number in range(1, clients + 1)
        }
        typists = list(writers.values())
        edits = [patch for txn in trace.txns for patch in txn.patches]
        start, began = watcher.sequence, time.perf_counter()
        last = typists[0]
        for number, first in enumerate(range(0, len(edits), chain)):
            writer = typists[number % clients]
            if writer is not last:
                await last.synced()
                await writer.reached(last.sequence)
            last = writer
            run = edits[first : first + chain]
            await _type(writer, run, 0 if composition else QUEUED_CHAINS * chain)
            _check_refusals([writer])
            tick(len(run))
        await last.synced()
        documents = {**writers, "watcher": watcher}
        for document in documents.values():
            await document.reached(last.sequence)
        seconds = time.perf_counter() - began
        _check_refusals(typists)
        texts = {name: document.text for name, document in documents.items()}
        heals = sum(document.heals for document in documents.values())
        return Played(texts, last.sequence, last.sequence - start, seconds, heals)


async def play_concurrent(trace: Trace, steps: Sequence[Step], stage: Stage, *, chain: int, tick: Tick) -> Played:
    """Follows the steps of `schedule`. Raises PlayError."""
    async with AsyncExitStack() as stack:
        watcher = await _prepare(stack, trace, stage)
        players: list[Player] = []
        for number in range(trace.agents):
            player = Player(stage.file_id, chain)
            stack.callback(player.close)
            await player.join(websocket_url(stage.server), stage.token(f"agent-{number}"))
            players.append(player)
        start, began = watcher.sequence, time.perf_counter()
        sequences = [start]  # by place in the server's order: the sequence that includes it
        sent = [0] * trace.agents
        made = 0
        for step in steps:
            player = players[step.author]
            if isinstance(step, Make):
                player.make(step.patch)
                made += 1
                if not made % TICK:
                    tick(TICK)
            elif isinstance(step, Send):
                committed = await player.send(step.through)
                for edit in range(sent[step.author] + 1, step.through + 1):
                    sequences.append(committed.get(edit, sequences[-1]))
                sent[step.author] = step.through
            else:
                await player.see(sequences[step.through])
        await watcher.reached(sequences[-1])
        seconds = time.perf_counter() - began
        texts = {f"agent {number}": player.text for number, player in enumerate(players)}
        return Played(texts | {"watcher": watcher.text}, sequences[-1], sequences[-1] - start, seconds, watcher.heals)


async def fresh_text(stage: Stage) -> str:
    """What somebody sees who opens the file now."""
    async with connected(stage.server, stage.token("reader")) as client:
        return (await open_live(client, stage.file_id, stage.server)).text


async def _prepare(stack: AsyncExitStack, trace: Trace, stage: Stage) -> Document:
    """Makes the file, with the text that the trace begins with; the client that did it goes on as the watcher."""
    watcher = await _open(stack, stage, "watcher", ClientSettings(undo_depth=0))
    if watcher.text:
        raise PlayError(f"the file {stage.file_id!r} is not empty: give --file with the name of a new one")
    if trace.start:
        watcher.insert(0, trace.start)
        await watcher.synced()
        _check_refusals([watcher])
    return watcher


async def _open(stack: AsyncExitStack, stage: Stage, name: str, settings: ClientSettings) -> Document:
    client = await stack.enter_async_context(connected(stage.server, stage.token(name), settings))
    return await open_live(client, stage.file_id, stage.server)


async def _type(writer: Document, run: Sequence[Patch], room: int) -> None:
    """Types without getting more than ``room`` edits ahead of the server; 0: each when the network had its turn."""
    for patch in run:
        await (writer.room(room) if room else asyncio.sleep(0))
        try:
            writer.edit([patch])
        except ValueError as error:
            raise PlayError(f"the edit {patch} does not fit the text: {error}") from None


def _check_refusals(documents: Iterable[Document]) -> None:
    """Edits that the server refused are handed back as patches."""
    for document in documents:
        for patch in document.patches:
            raise PlayError(f"the server refused an edit: {patch.code}: {patch.detail}")
