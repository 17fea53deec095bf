"""How much an account and a document may keep: what is too much is refused for good, and nothing typed is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from coscribe.access import members
from coscribe.access import quotas as stored_quotas
from coscribe.app import Coscribe
from coscribe.client import Client
from coscribe.core.operation import Splice
from coscribe.documents.ports import SegmentSize
from coscribe.documents.quota import ROW_BYTES, Quotas, added_bytes, needed_bytes
from coscribe.gateway.socket import GatewayLimits
from tests.api.sockets import Socket
from tests.api.town import CHEAP, PASSWORD, KeepingMailer, Town, open_town
from tests.gateway.site import PATIENCE, metric, open_site

pytestmark = pytest.mark.both_databases

OVER = "coscribe_over_quota_total"


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was refused is looked at again without a pause."""
    monkeypatch.setattr(stored_quotas, "LOOK_AGAIN_SECONDS", 0.0)


def edit(number: int, *, delete: int = 0, insert: str = "", base: int) -> dict[str, Any]:
    payload = [[0, delete, insert]]
    operation = {"operationId": f"q:{number}", "operationType": "batch", "position": 0, "payload": payload}
    return {"baseVersion": base, "operations": [operation]}


async def test_documents_of_an_account(tmp_path: Path) -> None:
    async with open_town(tmp_path, quotas=Quotas(documents=2)) as town:
        ben = await town.person("ben")
        first = await ben.document("one")
        await ben.document("two")
        answer = await ben.refused("POST", "/documents", "quota_exceeded", json={"name": "three"})
        assert (answer.status_code, answer.json()["retry"]) == (403, "never")
        await town.ada.document("others have room of their own")
        await ben.post(f"/documents/{first}/trash")
        await ben.done("DELETE", f"/documents/{first}", 204)
        await ben.document("three")


async def test_members_of_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 2)
    async with open_town(tmp_path) as town:
        document = await town.ada.document()
        for handle in ("ben", "cat"):
            person = await town.person(handle)
            path, role = f"/documents/{document}/members/{person.id}", {"role": "editor"}
            if handle == "ben":
                await town.ada.done("PUT", path, 200, json=role)
            else:
                answer = await town.ada.refused("PUT", path, "quota_exceeded", json=role)
                assert answer.status_code == 403


async def test_texts_of_an_account_together(tmp_path: Path) -> None:
    """Over all documents it has made, in bytes, in memory or not; whoever writes in them."""
    before = metric(OVER, of="text")
    async with open_town(tmp_path, quotas=Quotas(text_bytes=1_000)) as town:
        ben = await town.person("ben")
        first = await ben.document("one", "x" * 600)
        answer = await ben.refused("POST", "/documents", "quota_exceeded", json={"name": "two", "text": "é" * 300})
        assert answer.status_code == 403
        assert "1000" in answer.json()["detail"]
        listed = await ben.get("/documents")
        assert [document["name"] for document in listed["items"]] == ["one"], "nothing half made is left"
        await town.ada.document("of somebody else", "x" * 900)

        second = await ben.document("two", "é" * 100)
        await ben.refused(
            "POST", f"/documents/{second}/operations", "quota_exceeded", json=edit(1, insert="x" * 500, base=1)
        )
        await ben.post(f"/documents/{second}/operations", edit(2, insert="x" * 150, base=1))
        assert (await ben.get(f"/documents/{second}/content"))["text"] == "x" * 150 + "é" * 100
        await ben.post(f"/documents/{first}/operations", edit(3, delete=500, base=1))
        await ben.post(f"/documents/{second}/operations", edit(4, insert="y" * 500, base=2))
    assert metric(OVER, of="text") == before + 2


async def test_what_was_written_before_a_restart_counts(tmp_path: Path) -> None:
    async with open_town(tmp_path, quotas=Quotas(text_bytes=1_000)) as town:
        first = await town.ada.document("one", "x" * 600)
        token = town.ada.access_token
    mailer = KeepingMailer()
    coscribe = Coscribe(town.coscribe.settings, mailer=mailer, hasher=CHEAP)
    async with coscribe.running():
        ada = Town(coscribe, mailer).with_token(token)
        await ada.refused("POST", "/documents", "quota_exceeded", json={"name": "two", "text": "y" * 500})
        await ada.document("two", "y" * 300)
        await ada.post(f"/documents/{first}/operations", edit(1, delete=100, base=1))
        await ada.client.aclose()


async def test_room_that_was_made_is_noticed(tmp_path: Path) -> None:
    """Of documents that are not in memory: after one more refusal."""
    async with open_town(tmp_path, quotas=Quotas(text_bytes=1_000)) as town:
        first = await town.ada.document("one", "x" * 900)
        second = await town.ada.document("two", "y")  # it is in memory, and with it what is known of the account
        await town.ada.post(f"/documents/{first}/trash")
        await town.ada.done("DELETE", f"/documents/{first}", 204)
        await town.ada.refused(
            "POST", f"/documents/{second}/operations", "quota_exceeded", json=edit(1, insert="y" * 500, base=1)
        )
        looking = town.coscribe.people.quotas._looking
        await asyncio.gather(*looking.values())
        await town.ada.post(f"/documents/{second}/operations", edit(2, insert="y" * 500, base=1))


async def test_an_edit_over_a_socket_is_refused_and_the_file_stays_open(tmp_path: Path) -> None:
    async with open_town(tmp_path, quotas=Quotas(text_bytes=100)) as town:
        document = await town.ada.document("one", "x" * 90)
        socket = Socket(town)
        await socket.hello(town.ada.access_token)
        await socket.join(document)
        operation = {"type": "operation", "fileId": document, "userId": town.ada.id, "baseVersion": 1, "position": 0}
        socket.say(**operation, operationId="s:1", operationType="insert", payload="y" * 20)
        error = await socket.hear("error")
        assert (error["code"], error["retry"], error["operationId"]) == ("quota_exceeded", "never", "s:1")
        socket.say(**operation, operationId="s:2", operationType="delete", payload=50)
        assert (await socket.hear("committed"))["operations"][0]["operationId"] == "s:2"
        assert socket.closed is None


@pytest.mark.slow
async def test_a_client_gets_it_back_as_a_patch(tmp_path: Path) -> None:
    async with open_site(tmp_path, GatewayLimits(), quotas=Quotas(text_bytes=1_000)) as site:
        link = await site.coscribe.setup_link()
        assert link is not None
        async with httpx.AsyncClient(base_url=f"http://{site.address}/api") as http:
            account = {"handle": "ada", "displayName": "Ada", "password": PASSWORD}
            secret = link.partition("#setup=")[2]
            begun = (await http.post("/setup", json={**account, "secret": secret})).json()
            http.headers["Authorization"] = f"Bearer {begun['accessToken']}"
            made = (await http.post("/documents", json={"name": "one", "text": "x" * 900})).json()
        async with Client(f"ws://{site.address}/ws", begun["accessToken"]) as ada:
            notes = await ada.open(made["documentId"])
            notes.insert(0, "much too long " * 50)
            async with asyncio.timeout(PATIENCE):
                while not notes.patches:  # noqa: ASYNC110  # what comes back is announced to nobody
                    await asyncio.sleep(0.01)
            (patch,) = notes.patches
            assert patch.code == "quota_exceeded"
            assert "much too long" in str(patch.edits)
            await notes.live()
            assert notes.text == "x" * 900
            notes.insert(0, "short")
            await notes.synced()
            assert notes.text == "short" + "x" * 900


async def test_the_log_of_a_document_is_bounded(tmp_path: Path) -> None:
    """It warns first; beyond the bound nothing is written, what was committed is acknowledged, and it can be read."""
    quotas = Quotas(log_warning_bytes=3_000, log_bytes=6_000)
    warned, refused = metric("coscribe_long_logs_total"), metric(OVER, of="log")
    async with open_town(tmp_path, quotas=quotas) as town:
        document = await town.ada.document()
        await town.ada.post(f"/documents/{document}/operations", edit(1, insert="x" * 2_000, base=0))
        assert metric("coscribe_long_logs_total") == warned
        await town.ada.post(f"/documents/{document}/operations", edit(2, insert="x" * 2_000, base=1))
        assert metric("coscribe_long_logs_total") == warned + 1
        await town.ada.post(f"/documents/{document}/operations", edit(3, delete=4_000, base=2))
        await town.ada.refused(
            "POST", f"/documents/{document}/operations", "quota_exceeded", json=edit(4, insert="y", base=3)
        )
        again = await town.ada.post(f"/documents/{document}/operations", edit(2, insert="x" * 2_000, base=1))
        assert again["operations"][0]["documentVersion"] == 2
        assert (await town.ada.get(f"/documents/{document}/content"))["text"] == ""

        session = town.coscribe.collaboration.router.sessions[document]
        held = session.log_bytes
        await town.coscribe.collaboration.snapshots.unload(session)  # and loaded again, it is as long
        assert document not in town.coscribe.collaboration.router.sessions
        await town.ada.get(f"/documents/{document}/content")
        await town.coscribe.collaboration.router.settle()
        assert town.coscribe.collaboration.router.sessions[document].log_bytes == held
        await town.ada.refused(
            "POST", f"/documents/{document}/operations", "quota_exceeded", json=edit(5, insert="y", base=3)
        )
    assert metric(OVER, of="log") == refused + 2


async def test_what_is_packed_counts_as_it_is(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        document = await town.ada.document()
        for number in range(20):
            await town.ada.post(
                f"/documents/{document}/operations", edit(number, insert=f"{number:03} " * 100, base=number)
            )
        storage, source = town.coscribe.storage, town.coscribe.people.quotas
        workspace = await storage.acquire(document)
        assert workspace is not None
        key = workspace.key
        rows = [len(row.payload) + ROW_BYTES for row in await storage.read(key, 0, through=99, limit=99)]
        assert await source.log_bytes(key, 20) == sum(rows)
        assert await source.log_bytes(key, 7) == sum(rows[:7])
        segment = await storage.compact(key, 10, SegmentSize(10, 10**6, 10))
        assert segment is not None and 0 < segment.bytes_after < sum(rows[:10])
        assert await source.log_bytes(key, 20) == segment.bytes_after + sum(rows[10:])


def test_what_an_edit_needs_and_adds() -> None:
    assert needed_bytes([Splice(0, 0, "é🙂")]) == 6
    assert needed_bytes([Splice(0, 5, "abc")]) == 0, "shorter"
    assert needed_bytes([Splice(0, 3, ""), Splice(0, 0, "abc")]) == 0, "together no longer"
    assert needed_bytes([Splice(0, 1, "abc")]) == 2
    assert added_bytes(Splice(0, 2, "ab"), "é🙂") == -4
    assert added_bytes(("a", 3, "é"), "") == 3
