"""What a replay needs of its clients: to send a part of what waits, to hold back what comes, not to run ahead."""

from __future__ import annotations

import pytest

from coscribe.cli.common import websocket_url
from coscribe.cli.player import Player, PlayError
from coscribe.client.replica import Batching, Replica
from coscribe.protocol import codec, messages
from tests.cli.conftest import Server


def test_a_replica_sends_as_much_as_it_is_told_to() -> None:
    replica = Replica("file", "series", batching=Batching.CHAIN, chain=3)
    replica.adopt(messages.Snapshot("file", 0, 0, "i", "", "editor", [], False, ""))
    for position in range(5):
        replica.edit([(position, 0, "x")])
    sent = replica.outgoing(2)
    assert sent is not None
    chain = codec.decode_client(sent)
    assert isinstance(chain, messages.Chain)
    assert [element.operation_id for element in chain.operations] == ["series:1", "series:2"]
    assert [pending.operation_id for pending in replica.queue] == ["series:3", "series:4", "series:5"]
    assert replica.outgoing(2) is None, "one message is in flight"


async def test_a_document_says_when_there_is_room(server: Server) -> None:
    async with server.client("ann") as client:
        document = await client.open("room")
        for position in range(1_000):
            await document.room(3)
            assert document.pending < 3
            document.insert(position, "x")
        await document.synced()
        assert document.text == "x" * 1_000


async def test_a_player_holds_back_what_comes(server: Server) -> None:
    author, reader = Player("held", 64), Player("held", 64)
    try:
        await author.join(websocket_url(server.url), server.token("ann"))
        await reader.join(websocket_url(server.url), server.token("bob"))
        for position, char in enumerate("abc"):
            author.make((position, 0, char))
        assert await author.send(2) == {1: 1, 2: 2}
        await author.see(2)
        assert await author.send(3) == {3: 3}
        assert (reader.text, reader.sequence) == ("", 0)
        await reader.see(1)
        assert (reader.text, reader.sequence) == ("a", 1)
        reader.make((0, 0, "x"))
        await reader.see(3)
        assert (reader.text, reader.sequence) == ("xabc", 3)
        assert await author.send(3) == {}, "there is nothing more"
    finally:
        author.close()
        reader.close()


async def test_a_player_gives_up_when_it_is_refused(server: Server) -> None:
    player = Player("missing", 64)
    with pytest.raises(PlayError, match="file_not_found"):
        await player.join(websocket_url(server.url), server.token("ann", "viewer"))
    player.close()


async def test_a_player_gives_up_when_its_connection_is_lost(server: Server) -> None:
    player = Player("lost", 64)
    await player.join(websocket_url(server.url), server.token("ann"))
    player.close()
    with pytest.raises(PlayError, match="closed the connection"):
        await player.see(1)
