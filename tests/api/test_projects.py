"""Projects by HTTP: made from nothing and from archives, whose they are, and what their workspaces make of that."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from coscribe.access import imports
from coscribe.app import Coscribe
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import FileSystem
from coscribe.git.remotes import AddressPolicy, fingerprint
from tests.api.sockets import Socket
from tests.api.test_workspaces import fs
from tests.api.town import CHEAP, KeepingMailer, Person, Town, open_town
from tests.documents.unpacking.made import Member, info, squeezed, tarred, zipped
from tests.git.git_server import git_server
from tests.git.ssh_server import LOOPBACK, make_repository, needs_sshd, ssh_server
from tests.git.test_cloning import LOCAL, git
from tests.migrated import dumped

FILES = {f"src/{number}.py": b"print(%d)\n" % number for number in range(30)}
NO_FILE = "faaaaaaaaaaaaaaaaaaaaaaaaa"
ARCHIVE = zipped(Member(b"run", b"#!/bin/sh\n", mode=0o100755), *(Member(k.encode(), v) for k, v in FILES.items()))


async def sent(who: Person, content: bytes, **more: Any) -> str:
    """The id of a project that is being imported."""
    made = await who.done("POST", "/projects/import", 201, params={"name": "Sent", **more}, content=content)
    return str(made["workspace"]["documentId"])


async def imported(who: Person, project_id: str) -> Any:
    """How an import has ended."""
    await who.town.coscribe.people.services.imports.finished(project_id)
    return (await who.get(f"/projects/{project_id}"))["imported"]


async def blank(who: Person, **texts: str) -> str:
    made = await who.post("/projects", {"name": "Blank"}, 201)
    for path, text in texts.items():
        await who.write(made["workspace"]["documentId"], path, text)
    return str(made["workspace"]["documentId"])


async def invite(owner: Person, project_id: str, guest: Person, role: str) -> None:
    await owner.post(f"/documents/{project_id}/invitations", {"who": guest.handle, "role": role}, 201)
    (one,) = (await guest.get("/invitations"))["items"]
    await guest.post(f"/invitations/{one['invitationId']}/accept")


async def reads(who: Person, project_id: str, path: str) -> bool:
    answer = await who.ask("GET", fs(project_id, "read"), params={"path": path})
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


async def writes(who: Person, project_id: str, path: str) -> bool:
    tag = (await who.ask("GET", fs(project_id, "read"), params={"path": path})).headers.get("ETag", f'"{NO_FILE}:1"')
    options: dict[str, Any] = {"params": {"path": path}, "content": b"new", "headers": {"If-Match": tag}}
    answer = await who.ask("PUT", fs(project_id, "write"), **options)
    assert answer.status_code in (200, 403, 404), answer.text
    return answer.status_code == 200


async def test_a_project_from_nothing(town: Town) -> None:
    ann = await town.person("ann")
    project_id = await blank(ann, plan="a plan")
    (one,) = (await ann.get("/projects"))["items"]
    assert one == await ann.get(f"/projects/{project_id}")
    assert (one["source"], one["workspace"]["role"], one["imported"]["state"]) == ("blank", "owner", "ready")
    assert [each["name"] for each in (await ann.get("/documents", params={"kind": "all"}))["items"]] == ["Blank"]
    one = f"/documents/{project_id}"
    tag = (await ann.ask("GET", one)).headers["ETag"]
    await ann.done("PATCH", one, 200, json={"name": "Other"}, headers={"If-Match": tag})
    await ann.post(f"{one}/archive")
    assert [each["workspace"]["name"] for each in (await ann.get("/projects?status=archived"))["items"]] == ["Other"]
    await ann.post(f"{one}/trash")
    await ann.done("DELETE", one, 204)
    await ann.refused("GET", f"/projects/{project_id}", "file_not_found")
    assert (await ann.get("/projects"))["items"] == []


async def test_projects_come_in_pages(town: Town) -> None:
    ann = await town.person("ann")
    made = [await blank(ann) for _ in range(5)]
    found: list[str] = []
    cursor = ""
    while len(found) < 5:
        page = await ann.get("/projects", params={"limit": 2, "cursor": cursor})
        found += [each["workspace"]["documentId"] for each in page["items"]]
        cursor = page["nextCursor"]
    assert (found, cursor) == (made[::-1], "")


@pytest.mark.parametrize("content", [ARCHIVE, squeezed(tarred(*((info(k), v) for k, v in FILES.items())))])
async def test_a_project_from_an_archive(town: Town, content: bytes) -> None:
    ann = await town.person("ann")
    project_id = await sent(ann, content)
    how = await imported(ann, project_id)
    assert (how["state"], how["done"]) == ("ready", how["total"])
    assert (await ann.get(f"/projects/{project_id}"))["source"] == "upload"
    for path, text in FILES.items():
        answer = await ann.get(fs(project_id, "read"), params={"path": path}, headers={"Accept": "text/plain"})
        assert answer == text.decode()
    assert list(town.coscribe.settings.imports.iterdir()) == []


async def test_what_is_refused_is_named_and_nothing_of_it_is_seen(town: Town) -> None:
    ann = await town.person("ann")
    project_id = await sent(ann, zipped(Member(b"a", b"x"), Member(b"../b", b"x")))
    how = await imported(ann, project_id)
    assert (how["state"], how["code"]) == ("failed", "import_refused")
    assert "'../b'" in how["detail"]
    await ann.refused("GET", fs(project_id, "list"), "file_not_found")
    await ann.post(f"/documents/{project_id}/trash")
    await ann.done("DELETE", f"/documents/{project_id}", 204)
    assert list(town.coscribe.settings.imports.iterdir()) == []


async def test_an_import_that_ends_halfway_looks_like_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the files are made, and there is no room for the others."""
    monkeypatch.setattr("coscribe.documents.file_system.MAX_UNIT", 5)
    whole = FileSystem._import_unit
    units = 0

    async def full(self: FileSystem, *arguments: Any) -> Any:
        nonlocal units
        units += 1
        if units > 2:
            raise CoscribeError(Code.QUOTA_EXCEEDED, "no room")
        return await whole(self, *arguments)

    monkeypatch.setattr(FileSystem, "_import_unit", full)
    ann = await town.person("ann")
    project_id = await sent(ann, ARCHIVE)
    how = await imported(ann, project_id)
    assert (how["state"], how["code"], how["detail"]) == ("failed", "quota_exceeded", "no room")
    await ann.refused("GET", fs(project_id, "list"), "file_not_found")
    await ann.refused("GET", fs(project_id, "read"), "file_not_found", params={"path": "run"})


async def test_an_import_goes_on_after_the_end_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coscribe.documents.file_system.MAX_UNIT", 5)
    whole = FileSystem._import_unit
    reached = asyncio.Event()
    units: list[str] = []

    async def stuck(self: FileSystem, identity: Any, workspace_id: str, unit: Any, series: str) -> Any:
        if len(units) == 3:
            reached.set()
            await asyncio.Event().wait()
        units.append(series)
        return await whole(self, identity, workspace_id, unit, series)

    async with open_town(tmp_path) as town:
        ann = await town.person("ann")
        with monkeypatch.context() as patch:
            patch.setattr(FileSystem, "_import_unit", stuck)
            project_id = await sent(ann, ARCHIVE)
            await reached.wait()
            how = (await ann.get(f"/projects/{project_id}"))["imported"]
            assert (how["state"], how["total"]) == ("running", 32)
            assert 0 < how["done"] < 32
            await ann.refused("GET", fs(project_id, "list"), "file_not_found")
            token = ann.access_token
            await town.coscribe.people.services.imports.stop()
    (tmp_path / "imports/left").write_bytes(b"of a project that was not made")
    coscribe = Coscribe(town.coscribe.settings, hasher=CHEAP)
    async with coscribe.running():
        ann = Town(coscribe, KeepingMailer()).with_token(token)
        assert (await imported(ann, project_id))["state"] == "ready"
        listed = await ann.get(fs(project_id, "list"), params={"path": "src"})
        assert sorted(each["path"] for each in listed["items"]) == sorted(FILES)
        assert list((tmp_path / "imports").iterdir()) == []
        saved = await ann.post(fs(project_id, "save"), {})
        assert saved["serverSequenceId"] == 7 + 31  # seven units and their texts, none of them twice


async def test_an_archive_that_is_too_long_is_not_kept(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await town.person("ann")
    service = town.coscribe.people.services.imports
    service.bounds = service.bounds._replace(packed_bytes=1_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(500)

    await ann.refused("POST", "/projects/import", "import_refused", params={"name": "Long"}, content=pieces())
    assert list(town.coscribe.settings.imports.iterdir()) == []
    assert (await ann.get("/projects"))["items"] == []


async def test_trouble_of_the_server_is_tried_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0)
    whole = FileSystem._import_unit
    failures = iter([True, True, False])

    async def shaky(self: FileSystem, *arguments: Any) -> Any:
        if next(failures):
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, "the disk")
        return await whole(self, *arguments)

    monkeypatch.setattr(FileSystem, "_import_unit", shaky)
    ann = await town.person("ann")
    assert (await imported(ann, await sent(ann, ARCHIVE)))["state"] == "ready"


async def test_a_project_from_a_repository(town: Town, tmp_path: Path) -> None:
    ann = await town.person("ann")
    work = tmp_path / "served" / "one"
    work.mkdir(parents=True)
    (work / "plan").write_text("a plan\n")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    service = town.coscribe.people.services.imports
    with git_server(tmp_path / "served") as server:
        server.authorization = f"Basic {b64encode(b'coscribe:hunter2hunter2').decode()}"
        wanted = {"name": "One", "address": server.url("one/.git")}
        await ann.refused("POST", "/projects", "remote_refused", json=wanted)  # it is no https
        service.judge = town.coscribe.people.services.git._judge = LOCAL
        for token, state in (("hunter2hunter2", "ready"), ("wrong", "failed"), ("", "failed")):
            made = await ann.post("/projects", {**wanted, "token": token}, 201)
            assert (made["source"], made["address"]) == ("repository", wanted["address"])
            project_id = made["workspace"]["documentId"]
            assert (await imported(ann, project_id))["state"] == state
            assert await reads(ann, project_id, "plan") == (state == "ready")
    assert list(town.coscribe.settings.imports.iterdir()) == []
    assert b"hunter2hunter2" not in await asyncio.to_thread(dumped, town.coscribe.settings.where)


async def test_an_address_inside_is_not_spoken_to(town: Town) -> None:
    ann = await town.person("ann")
    made = await ann.post("/projects", {"name": "One", "address": "https://127.0.0.1:1/x"}, 201)
    how = await imported(ann, made["workspace"]["documentId"])
    assert (how["state"], how["code"]) == ("failed", "remote_refused")
    assert "not on the public internet" in how["detail"]


# ---- whose it is


async def listed_role(who: Person, project_id: str) -> str:
    """In the list of workspaces, as it is by itself and in that of projects."""
    (one,) = (await who.get("/documents", params={"kind": "workspace"}))["items"]
    assert one == (await who.get(f"/projects/{project_id}"))["workspace"]
    assert one == (await who.get("/projects"))["items"][0]["workspace"]
    return str(one["role"])


async def test_nobody_waits_for_machines_that_do_not_answer(tmp_path: Path) -> None:
    """Whoever names their addresses waits; all else that is done in threads goes on."""
    answers = Event()

    def slow(_host: str, _port: int) -> list[str]:
        answers.wait(60)
        return []

    async with open_town(tmp_path / "data", remotes=AddressPolicy(resolve=slow)) as town:
        ben = await town.person("ben")
        body = {"name": "One", "address": "git@git.example.org:one", "key": "a key", "hostFingerprint": "SHA256:x"}
        asked = [asyncio.create_task(ben.ask("POST", "/projects", json=body)) for _ in range(40)]
        try:
            await asyncio.sleep(0)
            for _ in range(5):
                await ben.get("/account")
            async with asyncio.timeout(30):
                await asyncio.gather(*(asyncio.to_thread(int) for _ in range(40)))
        finally:
            answers.set()
        assert {answer.json()["code"] for answer in await asyncio.gather(*asked)} == {"remote_refused"}


async def test_a_workspace_narrows_and_never_widens(town: Town) -> None:
    ann, eve, vic = [await town.person(name) for name in ("ann", "eve", "vic")]
    project_id = await blank(ann, plan="a plan", other="x")
    for person, role in ((eve, "editor"), (vic, "viewer")):
        await invite(ann, project_id, person, role)
    members = (await ann.get(f"/projects/{project_id}/members"))["items"]
    assert [(each["memberId"], each["role"]) for each in members] == [
        (ann.id, "owner"),
        (eve.id, "editor"),
        (vic.id, "viewer"),
    ]
    assert await writes(eve, project_id, "plan")
    assert not await writes(vic, project_id, "plan")
    own = f"/documents/{project_id}/members"
    await ann.done("PUT", f"{own}/{vic.id}", 200, json={"role": "owner"})
    assert not await writes(vic, project_id, "plan")
    assert await listed_role(vic, project_id) == "viewer"
    await ann.done("PUT", f"{own}/{eve.id}", 200, json={"role": "viewer"})
    assert not await writes(eve, project_id, "other")
    assert await reads(eve, project_id, "other")
    assert await listed_role(eve, project_id) == "viewer"
    await ann.done("PUT", f"{own}/{ann.id}", 200, json={"role": "viewer"})
    assert await writes(ann, project_id, "other")
    assert await listed_role(ann, project_id) == "owner"
    zoe = await town.person("zoe")
    await town.ada.done("PUT", f"{own}/{zoe.id}", 200, json={"role": "editor"})
    assert not await reads(zoe, project_id, "plan")
    assert (await zoe.get("/documents", params={"kind": "all"}))["items"] == []
    await ann.refused("POST", f"/documents/{project_id}/links", "conflict", json={"role": "viewer"})


@pytest.mark.parametrize("role", ["editor", "viewer"])
async def test_the_access_of_a_path_is_the_lower_of_both(town: Town, role: str) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    project_id = await blank(ann, plan="a plan")
    await invite(ann, project_id, eve, role)
    rank = ["none", "read", "write"]
    for of_project, own in product(["", *rank], repeat=2):
        for place, access in ((f"/projects/{project_id}", of_project), (f"/documents/{project_id}", own)):
            tag = (await ann.ask("GET", f"/documents/{project_id}")).headers["ETag"]
            rules = [{"memberKind": "user", "memberId": eve.id, "pattern": "plan", "access": access}] if access else []
            await ann.done("PUT", f"{place}/rules", 200, json={"rules": rules}, headers={"If-Match": tag})
        expected = rank.index(of_project) if of_project else {"editor": 2, "viewer": 1}[role]
        expected = min(expected, rank.index(own) if own else 2)
        assert await reads(eve, project_id, "plan") == (expected >= 1), (of_project, own)
        assert await writes(eve, project_id, "plan") == (expected == 2), (of_project, own)


async def test_open_sockets_feel_what_changes_in_the_project(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    project_id = await blank(ann, plan="a plan")
    await invite(ann, project_id, eve, "editor")
    socket = Socket(town)
    await socket.hello(eve.access_token)
    plan = (await ann.get(fs(project_id, "stat"), params={"path": "plan"}))["fileId"]
    await socket.join(plan)
    await ann.done("PUT", f"/projects/{project_id}/members/{eve.id}", 200, json={"role": "viewer"})
    assert (await socket.hear("roleChanged"))["role"] == "viewer"
    await ann.done("DELETE", f"/projects/{project_id}/members/{eve.id}", 204)
    assert (await socket.hear("error"))["code"] == "access_removed"


async def test_the_last_owner_stays_and_who_leaves_is_out(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    project_id = await blank(ann, plan="a plan")
    await invite(ann, project_id, eve, "editor")
    one = f"/projects/{project_id}/members/{ann.id}"
    await ann.refused("DELETE", one, "last_owner")
    await ann.refused("PUT", one, "last_owner", json={"role": "editor"})
    await ann.refused("POST", f"/documents/{project_id}/leave", "last_owner")
    await eve.refused("PUT", f"/projects/{project_id}/members/{eve.id}", "permission_denied", json={"role": "owner"})
    await eve.post(f"/documents/{project_id}/leave")
    assert not await reads(eve, project_id, "plan")
    await ann.done("PUT", f"/documents/{project_id}/bans/{eve.id}", 200)
    await ann.refused("POST", f"/documents/{project_id}/invitations", "banned", json={"who": "eve", "role": "editor"})


async def test_a_group_in_a_project_until_it_ends(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    project_id = await blank(ann, plan="a plan")
    group_id = (await ann.post("/groups", {"name": "Choir"}, 201))["groupId"]
    await ann.post(f"/groups/{group_id}/members", {"who": "eve"}, 201)
    await ann.done("PUT", f"/projects/{project_id}/members/{group_id}", 200, json={"role": "editor"})
    assert await writes(eve, project_id, "plan")
    assert [each["workspace"]["documentId"] for each in (await eve.get("/projects"))["items"]] == [project_id]
    tag = (await ann.ask("GET", f"/groups/{group_id}")).headers["ETag"]
    await ann.done("DELETE", f"/groups/{group_id}", 204, headers={"If-Match": tag})
    assert not await reads(eve, project_id, "plan")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0.01)


@needs_sshd
@pytest.mark.slow
async def test_a_project_from_a_repository_by_ssh(tmp_path: Path) -> None:
    """The first time the server's fingerprint is asked for; the key is stored, for later ones and after a restart."""
    work = tmp_path / "one"
    make_repository(work)
    async with open_town(tmp_path / "data", remotes=LOOPBACK) as town:
        ann, bob = await town.person("ann"), await town.person("bob")
        with ssh_server(tmp_path / "ssh") as server:
            wanted = {"name": "One", "address": server.url(work / ".git")}
            answer = await ann.refused("POST", "/projects", "remote_refused", json=wanted)
            assert "needs a key" in answer.json()["detail"]
            wanted["key"] = server.key
            answer = await ann.refused("POST", "/projects", "remote_refused", json=wanted)
            mark = fingerprint(b64decode(server.public.split()[1]))
            assert mark in answer.json()["detail"]
            wanted["hostFingerprint"] = mark
            for body in (wanted, {"name": "Two", "address": wanted["address"]}):
                made = await ann.post("/projects", body, 201)
                project_id = made["workspace"]["documentId"]
                assert (await imported(ann, project_id))["state"] == "ready"
                assert await reads(ann, project_id, "plan")
            stored = await ann.get(f"/workspace/{project_id}/git/credentials")
            assert [(each["host"], each["kind"]) for each in stored["items"]] == [("git.example", "ssh")]
            await bob.refused("POST", "/projects", "remote_refused", json={"name": "Two", "address": wanted["address"]})
            port = server.port
        with ssh_server(tmp_path / "another", port=port):  # in its place, with a key of its own
            made = await ann.post("/projects", {"name": "Three", "address": wanted["address"]}, 201)
            how = await imported(ann, made["workspace"]["documentId"])
            assert how["state"] == "failed"
            assert "another key than the one that is known" in how["detail"]
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not any(server.key.splitlines()[1].encode() in path.read_bytes() for path in kept)
