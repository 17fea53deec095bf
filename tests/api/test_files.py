"""The bytes of files by HTTP, paths that must lead nowhere, and the stream of what changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from coscribe.api import files as api
from coscribe.documents.ports import BlobDraft
from coscribe.gateway.patience import patient_http
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.schema import stored_blobs
from coscribe.persistence.stored import reading
from tests.api.test_workspaces import JSON, fs, paths
from tests.api.town import Person, Town, open_town
from tests.gateway.site import serving

PICTURE = b"\x89PNG\r\n\0" + bytes(range(256))
NEW = {"If-None-Match": "*"}


def contents_kept(town: Town) -> list[str]:
    """The hashes of contents that are whole, wherever they are; what is being written has a draft's name."""
    settings = town.coscribe.settings
    if not settings.database_url:
        return [path.name for path in settings.blobs.rglob("*") if path.is_file()]
    with reading(settings.where) as log:
        found = log.connection.execute(select(stored_blobs.c.hash)).scalars()
        return [digest or "draft" for digest in found]


async def put(who: Person, workspace_id: str, path: str, content: Any, tag: str = "", **params: str) -> httpx.Response:
    return await who.ask(
        "PUT",
        fs(workspace_id, "write"),
        params={"path": path, **params},
        content=content,
        headers={"If-Match": tag} if tag else NEW,
    )


async def read(who: Person, workspace_id: str, path: str, **params: str) -> httpx.Response:
    answer = await who.ask("GET", fs(workspace_id, "read"), params={"path": path, **params})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    ("content", "kind", "media_type"),
    [
        (b"one\r\ntwo\r\n", "text", "text/plain; charset=utf-8"),
        ("naïve\n".encode("latin-1"), "text", "text/plain; charset=iso-8859-1"),
        ("\ufeffa\n".encode("utf-16-le"), "text", "text/plain; charset=utf-16le"),
        (b"<script>alert(1)</script>\n", "text", "text/plain; charset=utf-8"),
        (b"\0<script>alert(1)</script>\n", "binary", "application/octet-stream"),
        (PICTURE, "binary", "application/octet-stream"),
        (b"", "text", "text/plain; charset=utf-8"),
    ],
)
async def test_what_is_written_is_read_and_no_browser_runs_it(
    town: Town, content: bytes, kind: str, media_type: str
) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    written = await put(ann, workspace_id, 'a "b";.html', content, mode="755")
    assert written.status_code == 200, written.text
    answer = await read(ann, workspace_id, 'a "b";.html')
    headers = answer.headers
    assert (answer.content, headers["content-type"]) == (content, media_type)
    assert headers["etag"] == written.headers["etag"] == f'"{written.json()["fileId"]}:{written.json()["version"]}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22b%22%3B.html"
    assert "sandbox" in headers["content-security-policy"]
    assert int(headers["content-length"]) == len(content)
    said = await ann.ask("GET", fs(workspace_id, "read"), params={"path": 'a "b";.html'}, headers=JSON)
    assert said.headers["etag"] == headers["etag"]
    assert (said.json()["entry"]["kind"], said.json()["entry"]["properties"]["mode"]) == (kind, "755")


async def test_a_picture_is_written_over_what_was_read_and_old_ones_stay(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    first = (await put(ann, workspace_id, "p", PICTURE)).headers["etag"]
    second = (await put(ann, workspace_id, "p", PICTURE + b"2", first)).headers["etag"]
    late = await put(ann, workspace_id, "p", PICTURE + b"3", first)
    assert late.json()["code"] == "precondition_failed"
    again = await put(ann, workspace_id, "p", PICTURE + b"2", second)
    assert (again.json()["operation"], again.headers["etag"]) == (None, second)
    text = (await put(ann, workspace_id, "p", b"a text\n", second)).headers["etag"]
    assert (await read(ann, workspace_id, "p")).headers["etag"] == text
    for old in (PICTURE, PICTURE + b"2"):
        assert (await read(ann, workspace_id, "p", past=sha256(old).hexdigest())).content == old
    other = {"params": {"path": "p", "past": sha256(PICTURE + b"3").hexdigest()}}
    await ann.refused("GET", fs(workspace_id, "read"), "file_not_found", **other)


async def test_links_and_pictures_are_copied(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    await ann.post(fs(workspace_id, "mkdir"), {"path": "src"})
    await put(ann, workspace_id, "src/p", PICTURE)
    made = await ann.post(fs(workspace_id, "link"), {"path": "src/link", "target": "../../etc/passwd"})
    await ann.post(fs(workspace_id, "copy"), {"source": "src", "target": "copy"})
    assert (await read(ann, workspace_id, "copy/p")).content == PICTURE
    link = await read(ann, workspace_id, "copy/link")
    assert (link.content, made["version"]) == (b"../../etc/passwd", sha256(b"../../etc/passwd").hexdigest())


async def test_a_large_file_goes_through_the_disk(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "AT_HAND", 1_000)
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    piece = PICTURE * 100

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield piece

    assert (await put(ann, workspace_id, "large", body())).status_code == 200
    assert (await read(ann, workspace_id, "large")).content == piece * 100

    async def lines() -> AsyncIterator[bytes]:
        for number in range(2_000):
            yield b"line %d\n" % number

    assert (await put(ann, workspace_id, "text", lines())).json()["version"] == "1"
    stat = await ann.get(fs(workspace_id, "stat"), params={"path": "text"})
    assert stat["kind"] == "text"
    assert contents_kept(town) == [sha256(piece * 100).hexdigest()]


async def test_nobody_fills_the_disk_for_a_workspace_that_they_do_not_see(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "AT_HAND", 1_000)
    ann, vic = await town.person("ann"), await town.person("vic")
    workspace_id = await ann.workspace()
    blobs = town.coscribe.people.services.files.blobs
    draft, drafts = blobs.draft, list[int]()

    def counted() -> AbstractAsyncContextManager[BlobDraft]:
        drafts.append(1)
        return draft()

    monkeypatch.setattr(blobs, "draft", counted)
    content = b"\0" * 10_000
    assert (await put(vic, workspace_id, "a", content)).json()["code"] == "file_not_found"
    assert drafts == []
    key = {**NEW, "Idempotency-Key": "a-1"}
    await ann.post(f"/documents/{workspace_id}/invitations", {"who": "vic", "role": "editor"}, 201)
    (invitation,) = (await vic.get("/invitations"))["items"]
    await vic.post(f"/invitations/{invitation['invitationId']}/accept")
    write = {"params": {"path": "a"}, "content": content, "headers": key}
    first = await vic.done("PUT", fs(workspace_id, "write"), 200, **write)
    await ann.done("DELETE", f"/documents/{workspace_id}/members/{vic.id}", 200)
    again = await vic.done("PUT", fs(workspace_id, "write"), 200, **write)
    assert again["operation"] == first["operation"]
    assert (await put(vic, workspace_id, "b", content)).json()["code"] == "file_not_found"
    assert len(drafts) == 2


async def test_there_is_a_bound(tmp_path: Path) -> None:
    async with open_town(tmp_path, quotas=(10_000, 4_000_000_000, 2_000_000_000, 20_000_000_000, 5_000)) as town:
        ann = await town.person("ann")
        workspace_id = await ann.workspace()
        assert (await put(ann, workspace_id, "p", b"\0" * 5_000)).status_code == 200
        assert (await put(ann, workspace_id, "q", b"\0" * 5_001)).json()["code"] == "request_too_large"

        async def body() -> AsyncIterator[bytes]:
            for _ in range(60):
                yield b"\0" * 100

        assert (await put(ann, workspace_id, "q", body())).json()["code"] == "request_too_large"
        assert await paths(ann, workspace_id) == ["p"]
        assert len(contents_kept(town)) == 1


# ---- paths

LONG = "x" * 256
ATTACKS = {
    "..": "../plan",
    ".. inside": "a/../../plan",
    "absolute": "/etc/passwd",
    "NUL": "plan\0.txt",
    "//": "a//plan",
    "slash at the end": "a/",
    ".": "./plan",
    ".git": ".git",
    ".GIT below": "a/.GIT/hooks/post-checkout",
    "name of 256 bytes": LONG,
    "name of 256 bytes, 128 signs": "é" * 128,
    "path of 4,097 bytes": "a/" * 2_048 + "b",
    "path of 4,099 bytes, 2,733 signs": "é/" * 1_366 + "b",
    "lone surrogate": "\ud800",
}
"""Paths that lead nowhere, wherever they are given."""

NAMES = {"backslashes": "..\\..\\plan", "tilde": "~root", "percent": "%2e%2e%2fplan", "device": "CON"}
"""What is nothing but a name here."""


def requests(path: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every route that takes a path, with one in each place where it does."""
    query, body = {"params": {"path": path}}, {"json": {"path": path}}
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "stat": ("GET", query),
        "list": ("GET", query),
        "read": ("GET", query),
        "write": ("PUT", {**query, "content": PICTURE, "headers": NEW}),
        "mkdir": ("POST", body),
        "delete": ("POST", body),
        "save": ("POST", body),
        "link": ("POST", {"json": {"path": path, "target": "plan"}}),
        "restore": ("POST", {"json": {"fileId": "TRASHED", "target": path}}),
    }
    for verb in ("rename", "copy"):
        found[f"{verb} from"] = ("POST", {"json": {"source": path, "target": "new"}})
        found[f"{verb} to"] = ("POST", {"json": {"source": "plan", "target": path}})
    return found


async def test_paths_lead_nowhere_else(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan", trashed="gone")
    await ann.post(fs(workspace_id, "mkdir"), {"path": "a"})
    await ann.post(fs(workspace_id, "delete"), {"path": "trashed"})
    (trashed,) = (await ann.get(fs(workspace_id, "trash")))["items"]
    table: list[str] = []
    for attack, path in ATTACKS.items():
        said: dict[str, list[str]] = {}
        for where, (method, options) in requests(path).items():
            if attack == "lone surrogate" and "params" in options:
                continue  # no address can have one
            verb = where.partition(" ")[0]
            if "json" in options:
                text = json.dumps(options["json"]).replace("TRASHED", trashed["fileId"])
                options = {"content": text.encode(), "headers": {"Content-Type": "application/json"}}
            answer = await ann.ask(method, fs(workspace_id, verb), **options)
            assert 400 <= answer.status_code < 500, f"{attack} in {where}: {answer.status_code} {answer.text[:200]}"
            said.setdefault(f"{answer.status_code} {answer.json()['code']}", []).append(where)
        table += [f"{attack:<34} {code:<24} {', '.join(wheres)}" for code, wheres in sorted(said.items())]
    with capsys.disabled():
        print("\n" + "\n".join(table))
    assert await paths(ann, workspace_id) == ["a", "plan"]
    assert await paths(ann, workspace_id, "a") == []
    assert not contents_kept(town), "what was refused has left a content"


async def test_what_looks_like_a_path_and_is_a_name(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    for name in NAMES.values():
        assert (await put(ann, workspace_id, name, PICTURE)).status_code == 200
        assert (await read(ann, workspace_id, name)).content == PICTURE
    assert await paths(ann, workspace_id) == sorted([*NAMES.values(), "plan"])


@pytest.mark.parametrize("query", ["path=%ff", "path=plan%c3", "path=%ed%a0%80"])
async def test_an_address_that_is_no_utf_8_is_refused(town: Town, query: str) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    for method, verb in (("GET", "stat"), ("GET", "read"), ("PUT", "write")):
        await ann.refused(method, f"{fs(workspace_id, verb)}?{query}", "invalid_request", headers=NEW)
    assert await paths(ann, workspace_id) == ["plan"]


async def test_forms_of_one_sign_are_one_name_where_case_is_folded(town: Town) -> None:
    ann = await town.person("ann")
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    plain = await ann.workspace()
    folding = (await ann.post("/workspaces", {"name": "F", "foldsCase": True}, 201))["documentId"]
    for workspace_id, code in ((plain, ""), (folding, "conflict")):
        await put(ann, workspace_id, composed, PICTURE)
        assert (await put(ann, workspace_id, decomposed, PICTURE)).json().get("code", "") == code
    assert len(await paths(ann, plain)) == 2
    assert (await read(ann, folding, "CAFE\u0301")).content == PICTURE


async def test_a_rule_for_one_path_is_none_for_those_that_begin_like_it(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    workspace_id = await ann.workspace()
    for folder in ("test", "testtest", "te"):
        await ann.post(fs(workspace_id, "mkdir"), {"path": folder})
        await put(ann, workspace_id, f"{folder}/p", PICTURE)
    await town.ada.done("PUT", f"/documents/{workspace_id}/members/{bob.id}", 200, json={"role": "editor"})
    etag = (await ann.ask("GET", f"/documents/{workspace_id}")).headers["ETag"]
    rule = {"memberKind": "everyone", "memberId": "", "pattern": "test/**", "access": "none"}
    options: dict[str, Any] = {"json": {"rules": [rule]}, "headers": {"If-Match": etag}}
    await ann.done("PUT", f"/documents/{workspace_id}/rules", 200, **options)
    assert (await read(bob, workspace_id, "testtest/p")).content == PICTURE
    assert (await read(bob, workspace_id, "te/p")).content == PICTURE
    for path in ("test/p", "test//p", "testtest/../test/p", "./test/p"):
        answer = await bob.ask("GET", fs(workspace_id, "read"), params={"path": path})
        assert answer.status_code in (400, 404, 422), path
    assert (await put(bob, workspace_id, "test/new", PICTURE)).json()["code"] == "file_not_found"
    move = {"source": "testtest/p", "target": "test/q"}
    await bob.refused("POST", fs(workspace_id, "rename"), "file_not_found", json=move)
    await ann.post(fs(workspace_id, "rename"), {"source": "test", "target": "testtest/test"})  # it is not inside itself


# ---- watching


class Stream:
    """Server-sent events as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.headers = answer.headers
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next event; comments are passed over."""
        event: dict[str, Any] = {}
        async for line in self._lines:
            if not line and event:
                return {**event, "data": json.loads(event["data"])}
            name, _, value = line.partition(": ")
            if name and value:
                event[name] = value
        return {"event": "closed"}

    async def changes(self) -> list[tuple[str, str]]:
        event = await self.next()
        assert event["event"] == "changes", event
        assert int(event["id"]) == event["data"]["serverSequenceId"]
        return [(change["what"], change["path"]) for change in event["data"]["changes"]]


@asynccontextmanager
async def on_a_port(town: Town) -> AsyncIterator[str]:
    http = patient_http(GatewayLimits(), town.coscribe.gateway.end_watches)
    async with serving(town.coscribe.asgi, http=http, lifespan="off") as address:
        yield f"http://{address}/api"


@asynccontextmanager
async def watching(url: str, who: Person, workspace_id: str, **options: Any) -> AsyncIterator[Stream]:
    headers = {**who.client.headers, **options.pop("headers", {})}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=20) as client,
        client.stream("GET", f"{url}{fs(workspace_id, 'watch')}", headers=headers, **options) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer)


async def test_changes_come_as_events_and_go_on_behind_the_last_one(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    async with on_a_port(town) as url:
        async with watching(url, ann, workspace_id) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert await stream.changes() == []
            await put(ann, workspace_id, "p", PICTURE)
            assert await stream.changes() == [("made", "p")]
            await ann.post(fs(workspace_id, "rename"), {"source": "p", "target": "q"})
            event = await stream.next()
            (change,) = event["data"]["changes"]
            assert (change["what"], change["oldPath"], change["path"], change["kind"]) == ("moved", "p", "q", "binary")
        await ann.write(workspace_id, "plan", "another plan", 1)
        await ann.post(fs(workspace_id, "delete"), {"path": "q"})
        for options in ({"headers": {"Last-Event-ID": event["id"]}}, {"params": {"after": event["id"]}}):
            async with watching(url, ann, workspace_id, **options) as stream:
                assert await stream.changes() == [("edited", "plan"), ("gone", "q")]
        async with watching(url, ann, workspace_id, params={"after": 10**9}) as stream:
            assert (await stream.next())["data"]["resync"]
    assert not list(town.coscribe.collaboration.watches)


async def test_a_stream_ends_within_a_second_when_the_right_does(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    workspace_id = await ann.workspace(plan="a plan")
    member = f"/documents/{workspace_id}/members/{bob.id}"
    await town.ada.done("PUT", member, 200, json={"role": "viewer"})
    loop = asyncio.get_running_loop()
    async with on_a_port(town) as url:
        for code in ("access_removed", "session_ended"):
            async with watching(url, bob, workspace_id) as stream:
                assert await stream.changes() == []
                if code == "access_removed":
                    await town.ada.done("DELETE", member, 200)
                else:
                    await bob.done("DELETE", "/session", 204)
                began = loop.time()
                assert (await stream.next())["data"]["code"] == code
                assert loop.time() - began < 10  # ten times what is claimed
                assert await stream.next() == {"event": "closed"}
            if code == "access_removed":
                await bob.refused("GET", fs(workspace_id, "watch"), "file_not_found")
                await town.ada.done("PUT", member, 200, json={"role": "viewer"})


async def test_a_server_that_ends_says_so_and_does_not_wait_for_streams(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    async with on_a_port(town) as url:
        stack = watching(url, ann, workspace_id)
        stream = await stack.__aenter__()
        assert await stream.changes() == []
    assert (await stream.next())["data"]["code"] == "shutting_down"
    await stack.__aexit__(None, None, None)
    assert not list(town.coscribe.collaboration.watches)


async def test_a_quiet_stream_says_that_it_is_alive(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.01)
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    answer = await ann.ask("GET", fs(workspace_id, "watch"), params={"seconds": 1})
    assert answer.text.count(":\n\n") >= 2
    assert answer.text.startswith("event: changes\nid: ")
    assert not list(town.coscribe.collaboration.watches)
