"""Sockets at gateways whose files are at cores: what happens when owners change, links are lost, rights go."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from coscribe.cluster.front import OWNER_SECONDS
from coscribe.documents.ports import AccessChange
from coscribe.gateway.socket import GatewayLimits
from tests.cluster.site import Client, Cluster, Run, in_memory, over_nats


@pytest.fixture(params=["memory", "nats"])
def on_either(request: pytest.FixtureRequest) -> Run:
    """Runs a conversation over a bus in memory, on virtual time, or over a real one."""
    if request.param == "memory":
        return in_memory
    return partial(over_nats, request.getfixturevalue("nats"))


def edits(client: Client) -> list[tuple[str, str]]:
    """File and id of all operations that a client was sent."""
    return [
        (message["fileId"], operation["operationId"])
        for message in client.passed_over("committed")
        for operation in message["operations"]
    ]


def test_one_socket_has_files_at_several_cores(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann, bob = await cluster.client("ann"), await cluster.client("bob", "edge-2")
        for client in (ann, bob):
            await client.joins("apples")
            await client.joins("birds")
        ann.types("apples", "ann:1", "x", 0)
        bob.types("birds", "bob:1", "y", 0)
        for client in (ann, bob):
            await client.hears("committed")
            await client.hears("committed")
            assert sorted(edits(client)) == [("apples", "ann:1"), ("birds", "bob:1")]
        ann.say(type="save")
        assert (await ann.hears("error"))["code"] == "invalid_message"
        ann.say(type="save", fileId="birds")
        assert (await ann.hears("saved"))["fileId"] == "birds"
        ann.say(type="leave", fileId="birds")
        ann.say(type="save")
        assert (await ann.hears("saved"))["fileId"] is None
        ann.say(type="ping", nonce=7)
        assert (await ann.hears("pong"))["nonce"] == 7
        assert cluster.cores["core-a"].links.peers == ["edge-1", "edge-2"]
        ann.hang_up()
        await bob.hears("left")
        await bob.hears("left")

    on_either(main)


def test_a_lost_link_asks_to_join_again_and_an_edit_on_its_way_is_there_once() -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        await ann.joins("birds")
        cut = cluster.network
        ann.types("apples", "ann:1", "x", 0)
        await asyncio.sleep(0.003)  # it has arrived, and its answer has not
        cut.reachable = lambda sender, receiver: {sender, receiver} != {"core-a", "edge-1"}
        rejoin = await ann.hears("rejoin")
        assert (rejoin["fileId"], rejoin["reason"]) == ("apples", "owner_unavailable")
        assert rejoin["retryAfter"] >= 200
        assert edits(ann) == []
        ann.types("birds", "ann:2", "y", 0)
        await ann.hears("committed")
        cut.heal()
        await asyncio.sleep(0.2)
        ann.say(type="join", fileId="apples", inFlight=["ann:1"])
        snapshot = await ann.hears("snapshot")
        assert snapshot["content"] == "x"
        assert [fate["fate"] for fate in snapshot["fates"]] == ["committed"]
        ann.say(type="snapshotApplied", fileId="apples", snapshotSequenceId=1)
        await ann.hears("live")
        ann.types("apples", "ann:1", "x", 0)
        assert (await ann.hears("ack"))["operations"][0]["serverSequenceId"] == 1
        assert ann.closed is None
        assert (
            cluster.cores["core-a"].gateway._introduced.keys() == {*cluster.cores["core-a"].gateway._introduced}
            and len(cluster.cores["core-a"].gateway._introduced) == 1
        )

    in_memory(main)


def test_what_is_handed_over_is_joined_again_at_its_new_owner(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        await ann.joins("birds")
        cluster.moved["apples"] = "core-b"
        await cluster.cores["core-a"].collaboration.hand_over(lambda workspace_id: workspace_id != "apples")
        rejoin = await ann.hears("rejoin")
        assert (rejoin["fileId"], rejoin["reason"]) == ("apples", "moved")
        await ann.joins("apples")
        ann.types("apples", "ann:1", "x", 0)
        await ann.hears("committed")
        assert cluster.cores["core-b"].collaboration.router.sessions.keys() == {"apples", "birds"}
        assert ann.closed is None and len(ann.passed_over("rejoin")) == 1

    on_either(main)


def test_a_join_that_comes_to_the_wrong_core_finds_the_right_one(on_either: Run) -> None:
    """The gateway's table is old; the client is told nothing of that."""

    async def main(cluster: Cluster) -> None:
        cluster.moved["apples"] = "core-b"
        owners = cluster.edges["edge-1"].owners
        owners.owner = lambda _: "core-a"
        ann = await cluster.client("ann")
        ann.say(type="join", fileId="apples")
        await asyncio.sleep(0.1)
        assert owners.looks > 1
        owners.owner = cluster.owner_of
        await ann.hears("snapshot")
        assert ann.passed_over("error") == ann.passed_over("rejoin") == []
        assert cluster.cores["core-a"].collaboration.router.sessions == {}

    on_either(main)


def test_a_join_waits_a_moment_for_an_owner(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        cluster.moved["apples"] = None
        ann = await cluster.client("ann")
        began = asyncio.get_running_loop().time()
        ann.say(type="join", fileId="apples")
        error = await ann.hears("error")
        waited = asyncio.get_running_loop().time() - began
        assert (error["code"], error["retry"], error["fileId"]) == ("owner_unavailable", "rejoin", "apples")
        assert OWNER_SECONDS <= waited < OWNER_SECONDS + 0.5
        ann.say(type="join", fileId="apples")
        ann.say(type="leave", fileId="apples")
        ann.say(type="join", fileId="apples", lastCursor=True)
        await asyncio.sleep(1)
        del cluster.moved["apples"]
        await ann.hears("snapshot")
        ann.say(type="snapshotApplied", fileId="apples", snapshotSequenceId=0)
        await ann.hears("live")
        assert ann.closed is None and len(ann.passed_over("error")) == 1

    on_either(main)


def test_a_core_that_does_not_answer_is_an_owner_that_is_not_there() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.network.partition("core-a")
        ann = await cluster.client("ann")
        ann.say(type="join", fileId="apples")
        rejoin = await ann.hears("rejoin")
        assert rejoin["reason"] == "owner_unavailable"
        ann.say(type="join", fileId="apples")
        assert (await ann.hears("error" if ann.passed_over("error") else "rejoin"))["fileId"] == "apples"
        cluster.network.heal()
        await asyncio.sleep(3)
        await ann.joins("apples")

    in_memory(main)


def test_more_than_may_wait_for_an_owner_closes(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        cluster.moved["apples"] = None
        ann = await cluster.client("ann")
        ann.say(type="join", fileId="apples")
        for number in range(11):
            ann.types("apples", f"ann:{number}", "x", 0)
        assert ann.closed == (1008, "inbox_full")

    on_either(main, GatewayLimits(inbox_messages=10))


def test_what_is_not_open_is_not_joined_and_wrong_messages_are_told_apart(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        ann.types("apples", "ann:1", "x", 0)
        error = await ann.hears("error")
        assert (error["code"], error["fileId"], error["operationId"]) == ("not_joined", "apples", "ann:1")
        for raw, code in (
            (b"{", "malformed_json"),
            (b'{"type":"nonsense","fileId":"apples"}', "unknown_type"),
            (b'{"type":"leave","fileId":7}', "invalid_message"),
            (b'{"type":"hello","protocol":[1],"token":""}', "hello_repeated"),
            (b'{"type":"leave","fileId":"a\\ud800"}', "invalid_text"),
        ):
            ann.socket.receive(raw)
            assert (await ann.hears("error"))["code"] == code
        await ann.joins("apples")
        ann.say(type="join", fileId="birds")
        assert (await ann.hears("error"))["code"] == "too_many_files"
        ann.say(type="join", fileId="apples")
        assert (await ann.hears("error"))["code"] == "already_joined"
        ann.types("apples", "ann:1", "x", 0)
        await ann.hears("committed")

    on_either(main, GatewayLimits(files_per_connection=1))


def test_access_that_is_taken_closes_the_file_and_the_last_one_the_socket(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        await ann.joins("birds")
        for file_id in ("apples", "birds"):
            assert ann.closed is None
            cluster.rights.roles["ann", file_id] = None
            await cluster.edges["edge-2"].revocations.changed(AccessChange(file_id, "ann"))
            error = await ann.hears("error")
            assert (error["code"], error["fileId"]) == ("access_removed", file_id)
        assert ann.closed == (1008, "access_removed")

    on_either(main)


def test_a_session_that_ends_closes_the_socket_wherever_it_is(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann, idle = await cluster.client("ann"), await cluster.client("ann", "edge-2")
        await ann.joins("apples")
        cluster.rights.ended.add("ann")
        await cluster.cores["core-b"].revocations.changed(AccessChange(credential="session:ann"))
        await asyncio.sleep(0.01)
        assert ann.closed == idle.closed == (1008, "session_ended")
        assert not cluster.cores["core-a"].gateway._introduced

    on_either(main)


def test_a_core_asks_for_a_credential_itself(on_either: Run) -> None:
    """The gateway has not heard that it has ended."""

    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        cluster.rights.ended.add("ann")
        ann.say(type="join", fileId="apples")
        assert (await ann.hears("error"))["code"] == "session_ended"
        assert ann.closed == (1008, "session_ended") and ann.passed_over("snapshot") == []

    on_either(main)


def test_one_that_reads_nothing_holds_up_nobody_and_catches_up(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann, slow = await cluster.client("ann"), await cluster.client("slow")
        await ann.joins("apples")
        await slow.joins("apples")
        slow.socket.pause()
        await asyncio.sleep(0.1)
        before = len(slow.heard)
        for number in range(20):
            ann.types("apples", f"ann:{number}", "x" * 10_000, number)
            await ann.hears("committed")
        await asyncio.sleep(0.1)
        assert len(slow.heard) == before
        slow.socket.resume()
        await slow.hears("committed")
        await asyncio.sleep(0.1)
        assert edits(slow) == edits(ann)

    on_either(main)


def test_one_that_never_reads_is_closed(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        core = cluster.cores["core-a"]
        ann, slow = await cluster.client("ann"), await cluster.client("slow")
        await ann.joins("apples")
        await slow.joins("apples")
        slow.socket.pause()
        await asyncio.sleep(0.1)
        ann.types("apples", "ann:1", "x", 0)
        await ann.hears("committed")
        core.server.time += 10
        for connection in core.gateway._all():
            connection.check(core.server.time)
        await asyncio.sleep(0.1)
        assert slow.closed == (1008, "slow_consumer") and slow.passed_over("error")[-1]["code"] == "slow_consumer"
        assert ann.closed is None

    on_either(main, GatewayLimits(lag_seconds=5))


def test_a_core_that_stops_sends_its_files_elsewhere_and_closes_no_socket(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        cluster.moved["apples"] = "core-b"
        await cluster.cores["core-a"].gateway.stop(100)
        rejoin = await ann.hears("rejoin")
        assert rejoin["reason"] == "moved"
        await ann.joins("apples")
        assert ann.closed is None and len(ann.passed_over("rejoin")) == 1 and ann.passed_over("goodbye") == []

    on_either(main)


def test_a_core_whose_time_is_up_lets_nobody_wait_for_it(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        core = cluster.cores["core-a"]
        core.serves = False
        core.desk.turn_away()
        rejoin = await ann.hears("rejoin")
        assert (rejoin["reason"], rejoin["fileId"]) == ("owner_unavailable", "apples")
        ann.say(type="join", fileId="apples")  # the gateway has not heard that there is another owner
        rejoin = await ann.hears("rejoin")
        assert (rejoin["reason"], rejoin["fileId"]) == ("owner_unavailable", "apples")
        cluster.moved["apples"] = "core-b"
        await ann.joins("apples")
        assert ann.closed is None

    on_either(main)


def test_a_gateway_that_stops_says_goodbye(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        await cluster.edges["edge-1"].gateway.stop(100)
        assert (await ann.hears("goodbye"))["retryAfter"] == 100
        assert ann.closed == (1012, "shutting_down")
        await asyncio.sleep(0.1)
        assert not cluster.cores["core-a"].gateway._introduced

    on_either(main)


def test_a_gateway_that_nobody_reaches_sends_everybody_to_another_door(on_either: Run) -> None:
    async def main(cluster: Cluster) -> None:
        ann = await cluster.client("ann")
        await ann.joins("apples")
        gateway = cluster.edges["edge-1"].gateway
        gateway.set_apart(True)
        assert (await ann.hears("goodbye"))["retryAfter"] == 0
        assert ann.closed == (1012, "shutting_down")
        refusal = gateway.refusal("192.0.2.1")
        assert refusal is not None and refusal.status == 503
        gateway.set_apart(False)
        assert gateway.refusal("192.0.2.1") is None
        await (await cluster.client("ann")).joins("apples")

    on_either(main)


@pytest.mark.parametrize("readers", [1, 50])
def test_a_frame_for_many_sockets_of_a_gateway_goes_over_the_link_once(readers: int) -> None:
    async def main(cluster: Cluster) -> None:
        sizes: list[int] = []
        clients = [await cluster.client(f"reader{number}") for number in range(readers)]
        for client in clients:
            await client.joins("apples")
        await asyncio.sleep(0.1)
        await cluster.network.bus("ear").subscribe("coscribe.link.edge-1", lambda message: sizes.append(len(message)))
        clients[0].types("apples", "reader0:1", "x" * 5_000, 0)
        for client in clients:
            await client.hears("committed")
        assert sum(sizes) < 5_000 + 3_000

    in_memory(main)
