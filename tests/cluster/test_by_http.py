"""Conversations by HTTP with two instances on one PostgreSQL and one NATS: whichever is asked, and whoever owns it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import httpx
import pytest
from sqlalchemy import func, select

from coscribe.cluster import keeper, leases, ownership, relay
from coscribe.cluster.link import LinkLimits
from coscribe.clustered import Clustered
from coscribe.config import Settings
from coscribe.persistence.schema import heads
from tests.api.test_mounts import comes_true, reads
from tests.api.test_projects import ARCHIVE
from tests.api.test_workspaces import fs
from tests.api.town import BASE, CHEAP, PASSWORD, SECRET, KeepingMailer, Person, Town
from tests.cluster.asking import Asked, scope_of

LIMIT = 60.0
"""Seconds, against hanging for ever."""


class Instance:
    """One of them, and its own life."""

    def __init__(self, name: str, folder: Path, url: str, nats: str, role: str = "all") -> None:
        settings: dict[str, Any] = {
            "token_secret": SECRET,
            "public_url": BASE,
            "rate_factor": 100.0,
            "database_url": url,
            "nats": nats,
            "instance": name,
            "role": role,
        }
        self.name = name
        self.clustered = Clustered(Settings(folder=folder, **settings), mailer=KeepingMailer(), hasher=CHEAP)
        self.clustered._links._limits = LinkLimits(silence=LIMIT)
        self._life = AsyncExitStack()

    async def start(self) -> None:
        await self._life.enter_async_context(self.clustered.running())

    async def stop(self) -> None:
        await self._life.aclose()

    def owns(self, workspace_id: str) -> bool:
        return self.clustered._keeper.owns(workspace_id)

    @property
    def shards(self) -> int:
        return len(self.clustered._keeper._ownership.held)


class Pair:
    """Two instances; people come to either."""

    def __init__(self, one: Instance, other: Instance, gateway: Callable[[Path], Instance]) -> None:
        self.gateway = gateway
        self.one = one
        self.other = other
        self.clients: list[httpx.AsyncClient] = []

    def at(self, instance: Instance, who: Person | None = None) -> Person:
        """Somebody, with the credentials of ``who``, who comes to this instance."""
        transport = httpx.ASGITransport(instance.clustered.asgi, client=("127.0.0.1", 40_000))
        client = httpx.AsyncClient(transport=transport, base_url=BASE, timeout=LIMIT)
        self.clients.append(client)
        person = Person(cast("Town", self), client)
        if who is not None:
            person.id = who.id
            client.headers["Authorization"] = who.client.headers["Authorization"]
        return person

    async def person(self, instance: Instance, handle: str, path: str = "/accounts", **more: Any) -> Person:
        person = self.at(instance)
        account = {"handle": handle, "displayName": handle.title(), "password": PASSWORD, **more}
        person.use(await person.post(path, account, 201))
        return person


@asynccontextmanager
async def pair_of(folder: Path, url: str, nats: str) -> AsyncIterator[Pair]:
    one, other = (Instance(name, folder, url, nats) for name in ("one", "other"))
    pair = Pair(one, other, lambda own: Instance("gateway", own, url, nats, "gateway"))
    try:
        await one.start()
        await other.start()
        await comes_true(lambda: one.shards + other.shards == 1_024 and min(one.shards, other.shards) > 400)
        yield pair
    finally:
        for client in pair.clients:
            await client.aclose()
        await asyncio.gather(one.stop(), other.stop())


@pytest.fixture
async def pair(
    postgres: Callable[[], str], nats: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    """On a machine that may be busy: nobody is taken for dead because of that."""
    for module, name in (
        (keeper, "LEASE_SECONDS"),
        (ownership, "FENCE_SECONDS"),
        (keeper, "CALL_SECONDS"),
        (leases, "CALL_SECONDS"),
        (keeper, "HAND_OVER_SECONDS"),
        (relay, "WAIT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) * 10)
    async with pair_of(tmp_path, postgres(), nats) as pair:
        yield pair


async def ada_of(pair: Pair) -> Person:
    link = await pair.one.clustered.setup_link()
    assert link is not None
    return await pair.person(pair.one, "ada", "/setup", secret=link.partition("#setup=")[2])


async def test_it_makes_no_difference_who_is_asked(pair: Pair) -> None:
    ada = await ada_of(pair)
    people = [await pair.person(instance, f"p{number}") for number, instance in enumerate([pair.one, pair.other] * 4)]
    makers: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for number, person in enumerate(people):
        elsewhere = pair.at(pair.other if number % 2 == 0 else pair.one, person)
        text = f"text {number}\n" * 10_000
        document_id = await person.document(f"Notes {number}", text)
        texts[document_id] = text
        makers[next(each.name for each in (pair.one, pair.other) if each.owns(document_id))] += 1
        for asked in (person, elsewhere):
            assert (await asked.get(f"/documents/{document_id}/content"))["text"] == text
        edit = {"baseVersion": 1, "operations": [{"operationType": "insert", "position": 0, "payload": "new "}]}
        edit["operations"][0]["operationId"] = f"{person.handle}:1"  # type: ignore[index]  # a list of dictionaries
        placed = await elsewhere.post(f"/documents/{document_id}/operations", edit)
        assert placed == await person.post(f"/documents/{document_id}/operations", edit), "exactly once"
        tag = (await elsewhere.ask("GET", f"/documents/{document_id}")).headers["ETag"]
        await elsewhere.done("PATCH", f"/documents/{document_id}", 200, json={"name": "R"}, headers={"If-Match": tag})
        await person.post(f"/documents/{document_id}/invitations", {"who": "ada", "role": "editor"}, 201)
        (one,) = (await ada.get("/invitations"))["items"]
        await ada.post(f"/invitations/{one['invitationId']}/accept")
    assert len(makers) == 2, "each instance makes documents of its own"
    for instance in (pair.one, pair.other):
        asked = pair.at(instance, ada)
        archive = ZipFile(BytesIO((await asked.ask("GET", "/documents/export")).content))
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted(
            f"new {text}".encode() for text in texts.values()
        )
        loaded = instance.clustered._engine.collaboration.router.sessions  # type: ignore[union-attr]  # it is a core
        assert all(map(instance.owns, loaded)), "nothing of another's is in memory"
    done = await pair.at(pair.other, ada).post("/admin/redactions", {"text": "text 3", "reason": "a test"})
    assert (done["workspaces"], done["present"]) == (1, 10_000)
    assert "text 3" not in (await ada.get(f"/documents/{[*texts][3]}/content"))["text"]
    for person in people:
        await person.done("DELETE", f"/documents/{[*texts][people.index(person)]}/members/{ada.id}", 200)
        await person.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    rows = select(func.count()).select_from(heads)
    database = pair.one.clustered._engine.people.database  # type: ignore[union-attr]  # likewise
    assert await database.read(lambda connection: connection.execute(rows).scalar()) == 0, "all of it was purged"


async def test_trees_and_streams_through_a_gateway(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Which has nothing of its own, not even the folder."""
    ada = await ada_of(pair)
    workspace_id = await ada.workspace(plan="a plan\n")
    gateway = pair.gateway(tmp_path_factory.mktemp("gateway"))
    await gateway.start()
    far = pair.at(gateway, ada)
    headers = [(b"authorization", far.client.headers["Authorization"].encode()), (b"host", b"127.0.0.1:8777")]
    watch = Asked(gateway.clustered.asgi, scope_of("GET", f"/api{fs(workspace_id, 'watch')}", headers=headers))
    await asyncio.wait_for(watch.until(1), LIMIT)
    await far.write(workspace_id, "notes", "notes\n")
    async with asyncio.timeout(LIMIT):
        while b"notes" not in watch.body:
            await watch.until(len(watch.body) + 1)
    watch.leave()
    await watch.done()
    sent = await far.done("POST", "/projects/import", 201, params={"name": "Sent"}, content=ARCHIVE)
    project_id = sent["workspace"]["documentId"]
    async with asyncio.timeout(LIMIT):
        while (await far.get(f"/projects/{project_id}"))["imported"]["state"] != "ready":  # noqa: ASYNC110  (polled)
            await asyncio.sleep(0.05)
    await gateway.stop()


async def test_what_an_instance_leaves_the_other_goes_on_with(pair: Pair) -> None:
    ada = await ada_of(pair)
    far = pair.at(pair.other, ada)
    asked: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}, "json": {"name": "Once", "text": "once\n"}}
    once = await ada.done("POST", "/documents", 201, **asked)
    trees = [await ada.workspace(plan=f"plan {number}\n") for number in range(3)]
    folders = [Path((await far.post(f"/workspace/{each}/start"))["mountPath"]) for each in trees]
    for each in trees:
        await far.post(fs(each, "save"), {})
    answers, stopped = Counter[str](), asyncio.Event()

    async def ask_on() -> None:
        while not stopped.is_set():
            answers[(await far.ask("GET", f"/documents/{once['documentId']}/content")).text[:200]] += 1

    going_on = asyncio.ensure_future(ask_on())
    await pair.one.stop()
    stopped.set()
    await going_on
    assert len(answers) == 1, f"who asks during a handover waits a little: {answers}"
    await comes_true(lambda: pair.other.shards == 1_024)
    for number, (each, folder) in enumerate(zip(trees, folders, strict=True)):
        assert (folder / "plan").read_text() == f"plan {number}\n"
        await comes_true_there(far, each)
        (folder / "plan").write_text("another\n")
        await reads(far, each, "plan", "another\n")
    assert (await far.done("POST", "/documents", 201, **asked))["documentId"] == once["documentId"]


async def comes_true_there(who: Person, workspace_id: str) -> None:
    """Once it is kept as files again."""
    async with asyncio.timeout(LIMIT):
        while (await who.get(f"/workspace/{workspace_id}"))["status"] != "active":  # noqa: ASYNC110  (polled)
            await asyncio.sleep(0.05)
