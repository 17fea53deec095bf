"""People who type at two gateways while the bus loses, delays and cuts, and while owners change: all come to the same
text, and each of their edits is in it once."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from coscribe.client.client import Client, ClientSettings, Surroundings
from coscribe.client.document import Document
from coscribe.client.link import Received
from coscribe.gateway.auth import make_token
from tests.cluster.site import Cluster, in_virtual_time
from tests.contracts.conversations import SECRET

SEED = int(os.environ.get("COSCRIBE_SEED", "0"))
WORLDS = 12
FILES = ("apples", "birds")
FIRST_MARK = 0x4E00
"""Each edit is one character that no other is."""


class Line:
    """What a client holds of a connection."""

    def __init__(self, cluster: Cluster, edge: str, received: Received) -> None:
        self._gateway = cluster.edges[edge].gateway
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.end = End(self, received)
        self.socket = self._gateway.open(self.end)

    def send(self, frame: bytes) -> None:
        if not self._gone.is_set():
            self._loop.call_soon(self.socket.receive, frame)

    def abort(self) -> None:
        if not self._gone.is_set():
            self._gone.set()
            self._gateway.lost(self.socket)

    def close(self) -> None:
        self.abort()

    async def closed(self) -> None:
        await self._gone.wait()


class End:
    """What the gateway holds of it."""

    def __init__(self, line: Line, received: Received) -> None:
        self._line = line
        self._received = received
        self._loop = asyncio.get_running_loop()

    def send(self, frame: bytes) -> None:
        self._loop.call_soon(self._received, self._line, frame)

    def ping(self) -> None:
        self._loop.call_soon(self._line.socket.heard)

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self._loop.call_soon(self._line.abort)


def client_of(cluster: Cluster, name: str, random: Random) -> Client:
    async def dial(received: Received) -> Line:
        await asyncio.sleep(0.01)
        return Line(cluster, random.choice(list(cluster.edges)), received)

    surroundings = Surroundings(
        dial, random.random, lambda: f"{name}-{cluster.number()}", lambda user_id, file_id: None
    )
    token = make_token(SECRET, name, "owner", 3_600)
    return Client("", token, ClientSettings(backoff=0.1, max_backoff=1.0), surroundings)


async def trouble(cluster: Cluster, random: Random) -> None:
    """One fault after the other, some of them at once."""
    network, names = cluster.network, list(cluster.alive)
    for _ in range(15):
        what = random.choice(("loss", "cut", "heal", "heal", "move", "move", "link"))
        if what == "loss":
            network.loss = random.choice((0.0, 0.02, 0.2))
        elif what == "cut":
            network.partition(*random.sample(names, random.choice((1, 2))))
        elif what == "heal":
            network.heal()
            network.loss = 0.0
        elif what == "link":
            random.choice(list(cluster.edges.values())).links.lose(random.choice(list(cluster.cores)), "trouble")
        else:
            file_id, to = random.choice(FILES), random.choice(list(cluster.cores))
            before = cluster.owner_of(file_id)
            cluster.moved[file_id] = to
            if before is not None and before != to:
                core = cluster.cores[before]
                if random.random() < 0.5:
                    await core.collaboration.hand_over(core.owning.owns)
                else:
                    core.collaboration.drop_unowned()
        await asyncio.sleep(random.choice((0.05, 0.5, 1.0, 3.0)))
    network.heal()
    network.loss = 0.0


@pytest.mark.parametrize("seed", range(SEED, SEED + WORLDS))
def test_all_come_to_the_same_text_with_each_edit_in_it_once(seed: int) -> None:
    print(f"COSCRIBE_SEED={seed}")

    async def main() -> None:
        random = Random(seed)
        cluster = Cluster(delay=random.choice((0.0, 0.002, 0.05)))
        await cluster.start()
        people = [client_of(cluster, name, random) for name in ("ann", "bob", "cat", "dan")]
        for person in people:
            person.start()
        documents = [[person.open_offline(file_id) for person in people] for file_id in FILES]
        for document in (*documents[0], *documents[1]):
            await document.live()
        marks: list[list[str]] = [[] for _ in FILES]
        troubling = asyncio.get_running_loop().create_task(trouble(cluster, random))
        while not troubling.done():
            which = random.randrange(len(FILES))
            document = random.choice(documents[which])
            mark = chr(FIRST_MARK + len(marks[0]) + len(marks[1]))
            marks[which].append(mark)
            document.insert(random.randint(0, len(document.text)), mark)
            await asyncio.sleep(random.choice((0.0, 0.01, 0.1, 0.4)))
        await troubling
        async with asyncio.timeout(60):
            while not settled(documents):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.1)
        for which, open_ones in enumerate(documents):
            (text,) = {document.text for document in open_ones}
            assert sorted(text) == sorted("".join(marks[which])), "something was lost, or is there twice"
        for person in people:
            await person.close()
        await cluster.stop()

    in_virtual_time(main)


def settled(documents: list[list[Document]]) -> bool:
    return all(
        document.pending == 0 and document.text == open_ones[0].text
        for open_ones in documents
        for document in open_ones
    )
