from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coscribe.cluster import relay as relaying
from coscribe.cluster import requests
from coscribe.cluster.answering import Answering
from coscribe.cluster.dispatch import Dispatch
from coscribe.cluster.link import WINDOW, Channel, LinkLost
from coscribe.cluster.links import Links
from coscribe.cluster.memory_bus import MemoryNetwork
from coscribe.cluster.ports import Instance
from coscribe.cluster.relay import Elsewhere, Relay
from coscribe.core.errors import CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.metrics import metrics
from tests.cluster.asking import Asked, answer, read_all, scope_of


class Owning:
    """`Owners` of a test. ``then``: what each further look brings."""

    def __init__(self, **owners: str) -> None:
        self.owners = dict(owners)
        self.then: list[dict[str, str]] = []
        self.here = ""
        self.fails = False

    def owner_of(self, workspace_id: str) -> str | None:
        return self.owners.get(workspace_id)

    def owns(self, workspace_id: str) -> bool:
        return self.owners.get(workspace_id) == self.here

    def holds(self, workspace_id: str) -> bool:
        return self.owns(workspace_id)

    async def look_again(self) -> None:
        if self.fails:
            raise StorageError("the database is away")
        if self.then:
            self.owners = self.then.pop(0)


def about(method: str, path: str) -> str:
    """As in the API: /api/documents/ID/..."""
    parts = path.split("/")
    return parts[3] if len(parts) > 3 and parts[2] == "documents" else ""


def refuse(scope: Scope, error: CoscribeError) -> ASGIApp:
    return PlainTextResponse(error.code.value.code, 503, {"Retry-After": "1"})


async def local(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"here, by itself")


class ToldLinks(Links):
    """Links that remember what was asked of them."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        super().__init__(network.bus(name), name)
        self.asked: list[str] = []
        self.opened: list[Channel] = []
        self.away: set[str] = set()

    def open(self, peer: str, kind: str, head: bytes, window: int = WINDOW) -> Channel:
        self.asked.append(peer)
        if peer in self.away:
            raise LinkLost(peer)
        self.opened.append(super().open(peer, kind, head, window))
        return self.opened[-1]


class Fleet:
    """A front, and cores that each have an application of their own."""

    def __init__(self, owning: Owning, here: str = "front", app: ASGIApp | None = None) -> None:
        self.network = MemoryNetwork()
        self.links = ToldLinks(self.network, here)
        self.here = here
        self.owning = owning
        self.owning.here = here
        self.cores: dict[str, Answering] = {}
        self.served: list[Channel] = []
        self.far: dict[str, Links] = {}
        self.time = 0.0
        self.homes: dict[str, str] = {}
        self.elsewhere = Elsewhere(
            here,
            "http",
            app,
            owning,
            self.workspace_of,
            lambda: [Instance(each, each.upper(), True) for each in (*self.cores, *([here] if app else []))],
            self.links,
            self.now,
        )
        self.relay = Relay(self.elsewhere, local, Dispatch(about, "cookie"), refuse)

    async def workspace_of(self, file_id: str) -> str:
        if file_id == "unknown":
            raise StorageError("away")
        return self.homes.get(file_id, file_id)

    def now(self) -> float:
        """Every question takes half a second, so that nobody has to wait."""
        self.time += 0.5
        return self.time

    async def start(self) -> None:
        await self.links.start()

    def stop(self) -> None:
        for links in (self.links, *self.far.values()):
            links.stop()

    async def core(self, instance_id: str, app: ASGIApp, owns: Callable[[str], bool] = lambda _: True) -> Answering:
        """Another one of the same id takes its place."""
        core = self.cores[instance_id] = Answering("http", app, owns)
        if instance_id not in self.far:
            links = self.far[instance_id] = Links(self.network.bus(instance_id), instance_id)
            links.serve("http", lambda channel: self._serve(instance_id, channel))
            await links.start()
        return core

    def _serve(self, instance_id: str, channel: Channel) -> None:
        self.served.append(channel)
        self.cores[instance_id].serve(channel)

    def cut(self) -> None:
        """All links are lost, and are not there any more."""
        self.links.away.update(self.far)
        for instance_id in self.far:
            self.links.lose(instance_id, "test")

    def ask(self, method: str = "GET", path: str = "/api/documents/notes", **more: Any) -> Asked:
        scope = scope_of(method, path, **{name: more.pop(name) for name in ("client", "headers") if name in more})
        return Asked(self.relay, scope, **more)


@pytest.fixture
async def fleet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(relaying, "AGAIN_SECONDS", 0)
    fleet = Fleet(Owning(notes="a"))
    await fleet.start()
    yield fleet
    fleet.stop()


def says(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, f"{name}: ".encode() + await read_all(receive))

    return app


# ---- what goes over


async def test_a_request_comes_as_it_was_and_its_answer_too(fleet: Fleet) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        body = await read_all(receive)
        await answer(send, b"got " + body, 201, [(b"ETag", b'"r1"'), (b"Connection", b"close"), (b"x", b"1")])

    await fleet.core("a", app)
    headers = [
        (b"host", b"example.org"),
        (b"Authorization", b"Bearer t"),
        (b"connection", b"keep-alive, X-Private"),
        (b"x-private", b"of this connection"),
        (b"keep-alive", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"203.0.113.9"),
    ]
    asked = await fleet.ask("POST", headers=headers, body=[b"some", b"thing"], client="203.0.113.9").done()
    assert (asked.status, asked.body, asked.is_whole) == (201, b"got something", True)
    assert asked.headers == {"etag": '"r1"', "x": "1"}
    (scope,) = seen
    assert scope["headers"] == [
        (b"host", b"example.org"),
        (b"authorization", b"Bearer t"),
        (b"x-forwarded-for", b"203.0.113.9"),
    ]
    there = {name: scope[name] for name in ("method", "scheme", "path", "raw_path", "query_string", "server")}
    assert there == {name: scope_of("POST", "/api/documents/notes")[name] for name in there}
    assert scope["client"] == ("203.0.113.9", 4_321)


@pytest.mark.parametrize("seed", range(5))
async def test_bodies_of_any_length_in_any_pieces_arrive_whole(fleet: Fleet, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    sizes = [0, 1, requests.PIECE_BYTES, requests.PIECE_BYTES + 1, 3 * WINDOW]
    body = [chance.randbytes(chance.choice(sizes)) for _ in range(chance.randrange(6))]
    back = [chance.randbytes(chance.choice(sizes)) for _ in range(chance.randrange(6))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_all(receive) == b"".join(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in back:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    await fleet.core("a", app)
    asked = await fleet.ask("PUT", body=body).done()
    assert asked.status == 200
    assert asked.is_whole
    assert asked.body == b"".join(back)


async def test_nobody_sends_more_than_the_other_end_takes(fleet: Fleet) -> None:
    """Neither a body that nobody reads, nor an answer."""
    may_read, has_read = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_read.wait()
        body = await read_all(receive)
        has_read.set()
        await answer(send, body)

    await fleet.core("a", app)
    large = bytes(20 * WINDOW)
    asked = fleet.ask("PUT", body=[large])
    asked.may_go_on.clear()
    for _ in range(1_000):
        await asyncio.sleep(0)
    (here,), (there,) = fleet.links.opened, fleet.served
    assert here.unread < WINDOW + 2 * requests.PIECE_BYTES
    may_read.set()
    await has_read.wait()
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert there.unread < WINDOW + 2 * requests.PIECE_BYTES
    asked.may_go_on.set()
    await asked.done()
    assert asked.body == large


# ---- ends


async def test_the_link_is_lost_before_an_answer(fleet: Fleet) -> None:
    under_way, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        under_way.set()
        assert (await receive())["type"] == "http.disconnect"
        await answer(send, b"nobody reads this")
        ended.set()

    await fleet.core("a", app)
    asked = fleet.ask()
    await under_way.wait()
    fleet.cut()
    await asked.done()
    assert (asked.status, asked.body, asked.headers["retry-after"]) == (503, b"owner_unavailable", "1")
    await asyncio.wait_for(ended.wait(), 60)
    assert fleet.links.asked == ["a"], "it may have been done, so it is not asked again"


async def test_the_link_is_lost_in_the_middle_of_an_answer(fleet: Fleet) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.Event().wait()

    core = await fleet.core("a", app)
    asked = fleet.ask()
    await asked.until(4)
    fleet.cut()
    await asked.done()
    assert (asked.status, asked.body) == (200, b"half")
    assert not asked.is_whole, "never a silently short body"
    await core.leave(0)


async def test_an_application_that_fails(fleet: Fleet) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("planted")

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("planted")

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    await fleet.core("a", early)
    assert (await fleet.ask().done()).status == 500
    await fleet.core("a", silent)
    assert (await fleet.ask().done()).status == 500
    await fleet.core("a", late)
    asked = await fleet.ask().done()
    assert (asked.status, asked.body, asked.is_whole) == (200, b"half", False)


async def test_a_client_that_leaves(fleet: Fleet) -> None:
    """The application hears of it, in a body as in an answer without end."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await read_all(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
        try:
            await read_all(receive)
        except ConnectionError:
            heard.put_nowait(scope["method"])

    await fleet.core("a", app)
    for method, ends in (("GET", True), ("PUT", False)):
        asked = fleet.ask(method, body=[b"a"], ends=ends)
        if ends:
            await asked.until(1)
        asked.leave()
        await asked.done()
        assert await asyncio.wait_for(heard.get(), 60) == method


async def test_an_answer_before_the_body_was_read(fleet: Fleet) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 401)

    await fleet.core("a", app)
    asked = await fleet.ask("PUT", body=[bytes(10 * WINDOW)]).done()
    assert (asked.status, asked.body, asked.is_whole) == (401, b"no", True)


async def test_nothing_is_taken_for_too_long(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STALL_SECONDS", 0.05)
    before = metrics.relay_stalled._value.get()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    core = await fleet.core("a", app)
    asked = await fleet.ask("PUT", body=[bytes(10 * WINDOW)]).done()
    assert (asked.status, asked.body) == (503, b"owner_unavailable")
    assert metrics.relay_stalled._value.get() == before + 1
    await core.leave(0)


async def test_an_answer_that_nobody_takes(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STALL_SECONDS", 0.05)
    sent = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, bytes(10 * WINDOW))
        sent.set()

    await fleet.core("a", app)
    asked = fleet.ask()
    await asked.until(0)
    asked.may_go_on.clear()
    await asyncio.wait_for(sent.wait(), 60)
    asked.may_go_on.set()
    await asked.done()
    assert not asked.is_whole


async def test_streams_end_when_the_instance_does(fleet: Fleet) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kind = b"text/event-stream; charset=utf-8" if scope["path"].endswith("watch") else b"text/plain"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await read_all(receive)
        with pytest.raises(ConnectionError):
            await read_all(receive)

    await fleet.core("a", app)
    watch, download = fleet.ask(path="/api/documents/notes/watch"), fleet.ask()
    await watch.until(1)
    await download.until(1)
    fleet.elsewhere.end_streams()
    await watch.done()
    assert not watch.is_whole
    assert not download.task.done()
    download.leave()
    await download.done()


# ---- bounds


async def test_so_many_are_relayed_and_no_more(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "MAX_REQUESTS", 2)
    may_end = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_end.wait()
        await answer(send)

    await fleet.core("a", app)
    under_way = [fleet.ask(), fleet.ask()]
    for _ in range(10):
        await asyncio.sleep(0)
    assert metrics.relay_asking.labels("http")._value.get() == 2
    refused = await fleet.ask().done()
    assert (refused.status, refused.body) == (503, b"overloaded")
    may_end.set()
    for asked in under_way:
        assert (await asked.done()).status == 200
    assert metrics.relay_asking.labels("http")._value.get() == 0
    assert (await fleet.ask().done()).status == 200


async def test_a_core_answers_so_many_and_no_more(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coscribe.cluster.answering.MAX_REQUESTS", 0)
    await fleet.core("a", says("a"))
    refused = await fleet.ask().done()
    assert (refused.status, refused.body) == (503, b"overloaded")


# ---- to whom


async def test_what_is_no_part_of_the_api_is_answered_here(fleet: Fleet) -> None:
    for path in ("/", "/d/notes", "/healthz", "/assets/a.js"):
        assert (await fleet.ask(path=path).done()).body == b"here, by itself"


async def test_the_owner_itself_takes_no_link() -> None:
    fleet = Fleet(Owning(notes="b"), "b", says("b"))
    asked = await fleet.ask(body=[b"x"]).done()
    assert asked.body == b"b: x"
    assert fleet.links.asked == []


async def test_a_file_in_a_tree_is_at_the_owner_of_the_tree(fleet: Fleet) -> None:
    fleet.owning.owners["tree"] = "b"
    fleet.homes["file"] = "tree"
    await fleet.core("a", says("a"))
    await fleet.core("b", says("b"), lambda workspace_id: workspace_id == "tree")
    assert (await fleet.ask(path="/api/documents/file").done()).body == b"b: "


async def test_a_core_that_does_not_own_it_any_more_says_so(fleet: Fleet) -> None:
    """Nothing was done, so it is asked elsewhere, with its body."""
    await fleet.core("a", says("a"), lambda _: False)
    await fleet.core("b", says("b"))
    fleet.owning.then = [{"notes": "a"}, {"notes": "b"}]
    asked = await fleet.ask("PUT", body=[b"some", b"thing"]).done()
    assert (asked.status, asked.body) == (200, b"b: something")
    assert fleet.links.asked == ["a", "a", "b"]


async def test_what_only_reads_goes_on_where_the_workspace_goes(fleet: Fleet) -> None:
    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"moved", 503, [(requests.MOVED, b"1")])

    await fleet.core("a", moved)
    await fleet.core("b", says("b"))
    for method, told in (("GET", (200, b"b: ")), ("PUT", (503, b"moved"))):
        fleet.owning.owners = {"notes": "a"}
        fleet.owning.then = [{"notes": "b"}]
        asked = await fleet.ask(method).done()
        assert (asked.status, asked.body) == told
    here = Fleet(Owning(notes="b"), "b", moved)
    await here.start()
    await here.core("a", says("a"))
    here.owning.then = [{"notes": "b"}, {"notes": "a"}]
    assert (await here.ask().done()).body == b"a: "
    here.stop()


async def test_a_large_body_is_not_kept_for_that(fleet: Fleet) -> None:
    await fleet.core("a", says("a"), lambda _: False)
    await fleet.core("b", says("b"))
    fleet.owning.then = [{"notes": "b"}]
    asked = await fleet.ask("PUT", body=[bytes(relaying.KEPT_BYTES + 1)]).done()
    assert (asked.status, asked.body) == (503, b"owner_unavailable")


async def test_there_is_no_owner_just_now(fleet: Fleet) -> None:
    await fleet.core("b", says("b"))
    fleet.owning.owners = {}
    fleet.owning.then = [{}, {"notes": "b"}]
    assert (await fleet.ask(body=[b"x"]).done()).body == b"b: x"
    fleet.owning.owners = {}
    for fails in (False, True):
        fleet.owning.fails = fails
        asked = await fleet.ask().done()
        assert (asked.status, asked.body) == (503, b"owner_unavailable")


async def test_an_owner_that_fences_itself_answers_nothing() -> None:
    fleet = Fleet(Owning(notes="b"), "b", says("b"))
    fleet.owning.here = "somebody else"
    asked = await fleet.ask().done()
    assert (asked.status, asked.body) == (503, b"owner_unavailable")


async def test_storage_that_is_away(fleet: Fleet) -> None:
    assert (await fleet.ask(path="/api/documents/unknown").done()).body == b"storage_unavailable"


async def test_who_asks_finds_the_same_core_again_and_another_when_it_is_not_there(fleet: Fleet) -> None:
    for name in "abc":
        await fleet.core(name, says(name))
    asked = {}
    for number in range(30):
        headers = [(b"authorization", b"Bearer %d" % number)]
        first = (await fleet.ask(path="/api/groups", headers=headers).done()).body
        assert (await fleet.ask("POST", "/api/groups", headers=headers, client="192.0.2.8").done()).body == first
        asked[number] = first
    assert len(set(asked.values())) == 3
    fleet.links.away = {"b"}
    for number, first in asked.items():
        headers = [(b"authorization", b"Bearer %d" % number)]
        now = (await fleet.ask(path="/api/groups", headers=headers).done()).body
        assert now == first or first == b"b: "
        assert now != b"b: "
    fleet.links.away = {*"abc"}
    refused = await fleet.ask(path="/api/groups").done()
    assert (refused.status, refused.body) == (503, b"owner_unavailable")


async def test_a_core_that_never_answers_was_never_asked(fleet: Fleet) -> None:
    """It has died, and nobody has noticed yet: nothing was done there, so the next one is asked."""
    for name in "ab":
        await fleet.core(name, says(name))
    asked = (await fleet.ask(path="/api/groups").done()).body.decode()
    fleet.cut()
    fleet.links.away.clear()
    fleet.far[asked[0]].stop()
    assert (await fleet.ask("POST", "/api/groups", body=[b"x"]).done()).body == {"a": b"b: x", "b": b"a: x"}[asked[0]]


async def test_a_core_that_leaves_lets_nothing_more_in(fleet: Fleet) -> None:
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun.set()
        await may_end.wait()
        await answer(send, b"at last")

    core = await fleet.core("a", app)
    await fleet.core("b", says("b"))
    asked = fleet.ask()
    await has_begun.wait()
    leaving = asyncio.get_running_loop().create_task(core.leave(60))
    await asyncio.sleep(0)
    fleet.owning.then = [{"notes": "b"}]
    assert (await fleet.ask().done()).body == b"b: "
    may_end.set()
    await leaving
    assert (await asked.done()).body == b"at last"
