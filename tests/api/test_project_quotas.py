"""How much a project may have: files and bytes, whichever way they come in; its workspace narrows that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from coscribe.access import quotas as stored_quotas
from coscribe.documents.quota import Quotas
from tests.api.test_documents import invite
from tests.api.test_mounts import comes_true
from tests.api.town import Person, Town, open_town
from tests.documents.unpacking.made import squeezed, tar_of


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_quotas, "LOOK_AGAIN_SECONDS", 0.0)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(tmp_path / "data") as town:
        yield town


async def project(who: Person, **texts: str) -> str:
    made = await who.post("/projects", {"name": "Thesis"}, 201)
    project_id = str(made["workspace"]["documentId"])
    for path, text in texts.items():
        await who.write(project_id, path, text)
    return project_id


async def grant(town: Town, project_id: str, **bounds: int | None) -> Any:
    return await town.ada.done("PATCH", f"/projects/{project_id}/quota", 200, json=bounds)


async def narrow(who: Person, project_id: str, **bounds: int | None) -> Any:
    return await who.done("PATCH", f"/workspace/{project_id}/quota", 200, json=bounds)


def new(path: str) -> dict[str, Any]:
    return {"params": {"path": path}, "headers": {"If-None-Match": "*"}}


async def test_files_are_counted_and_the_trash_is_not(town: Town) -> None:
    ben = await town.person("ben")
    one = await project(ben, a="a", b="b")
    fs = f"/workspace/{one}/fs"
    granted = await grant(town, one, files=3)
    assert (granted["bytes"], granted["files"], granted["usedFiles"]) == (None, 3, 2)
    await ben.post(f"{fs}/mkdir", {"path": "folder"})
    answer = await ben.refused("PUT", f"{fs}/write", "quota_exceeded", content=b"c", **new("c"))
    assert "3 files and folders of 3" in answer.json()["detail"]
    await ben.refused("POST", f"{fs}/copy", "quota_exceeded", json={"source": "a", "target": "folder/a"})
    await ben.write(one, "a", "a longer text", 1)  # what is there goes on
    await ben.post(f"{fs}/rename", {"source": "b", "target": "folder/b"})
    await ben.post(f"{fs}/delete", {"path": "folder"})
    await ben.write(one, "c", "c")
    await ben.write(one, "d", "d")
    (folder,) = (await ben.get(f"{fs}/trash"))["items"]
    await ben.refused("POST", f"{fs}/restore", "quota_exceeded", json={"fileId": folder["fileId"]})
    await grant(town, one, files=None)
    await ben.post(f"{fs}/restore", {"fileId": folder["fileId"]})
    assert (await ben.get(f"/projects/{one}/quota"))["usedFiles"] == 5


async def test_what_is_written_to_one_file_counts_once(town: Town) -> None:
    """Also of a workspace that has no snapshots yet."""
    ben = await town.person("ben")
    one = await project(ben, **{f"file-{number}": "a" * 100 for number in range(20)})
    assert 2_000 <= (await ben.get(f"/projects/{one}/quota"))["usedBytes"] <= 2_600


async def test_bytes_of_texts_and_of_what_is_none(town: Town) -> None:
    ben = await town.person("ben")
    one = await project(ben, a="a" * 500)
    fs = f"/workspace/{one}/fs"
    await grant(town, one, bytes=1_000)
    await ben.refused("PUT", f"{fs}/write", "quota_exceeded", content=b"\0" * 600, **new("binary"))
    await ben.refused("PUT", f"{fs}/write", "quota_exceeded", content=b"b" * 600, **new("text"))
    await ben.done("PUT", f"{fs}/write", 200, content=b"\0" * 400, **new("binary"))
    answer = await ben.refused("PUT", f"{fs}/write", "quota_exceeded", content=b"b" * 200, **new("text"))
    assert "of 1000" in answer.json()["detail"]
    await ben.write(one, "a", "a" * 100, 1)
    await ben.write(one, "text", "b" * 200)
    await ben.post(f"{fs}/save", {})
    assert (await ben.get(f"/projects/{one}/quota"))["usedBytes"] == 700


async def test_a_workspace_narrows_and_never_widens(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    one = await project(ben, a="a")
    path = f"/projects/{one}/quota"
    await ben.refused("PATCH", path, "permission_denied", json={"files": 9})
    await cleo.refused("PATCH", f"/workspace/{one}/quota", "file_not_found", json={"files": 9})
    await grant(town, one, files=5, bytes=1_000)
    assert (await narrow(ben, one, files=2))["files"] == 2
    await ben.write(one, "b", "b")
    await ben.refused("PUT", f"/workspace/{one}/fs/write", "quota_exceeded", content=b"c", **new("c"))
    wide = await narrow(ben, one, files=90_000, bytes=10**12)
    assert (wide["files"], wide["bytes"]) == (5, 1_000)
    assert (await narrow(ben, one, files=None, bytes=10))["bytes"] == 10
    events = (await ben.get(f"/documents/{one}/events"))["items"]
    said = [event["detail"] for event in events if event["action"] == "quota.set"]
    assert said[-1] == {"of": "project", "bounds": {"files": 5, "bytes": 1_000}}
    assert await narrow(ben, one) == await ben.get(path)  # nothing changes
    alone = await ben.workspace("Alone")
    await town.ada.refused("PATCH", f"/projects/{alone}/quota", "conflict", json={"files": 9})
    assert (await narrow(ben, alone, files=1))["files"] == 1


async def test_what_programs_write_is_left_where_it_is(town: Town) -> None:
    ben = await town.person("ben")
    one = await project(ben, a="a\n", b="b\n")
    folder = Path((await ben.post(f"/workspace/{one}/start"))["mountPath"])
    await ben.post(f"/workspace/{one}/fs/save", {})
    await grant(town, one, files=3, bytes=1_000)
    (folder / "c").write_text("c\n")
    async with asyncio.timeout(30):
        while (await ben.get(f"/projects/{one}/quota"))["usedFiles"] < 3:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.05)
    (folder / "d").write_text("d\n")

    async def told() -> list[Any]:
        return list((await ben.get(f"/workspace/{one}"))["notTaken"])

    async with asyncio.timeout(30):
        while not (notices := await told()):  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.05)
    assert (notices[0]["path"], notices[0]["code"]) == ("d", "quota_exceeded")
    assert (folder / "d").read_text() == "d\n"
    (folder / "a").write_text("a" * 2_000)
    await comes_true(lambda: (folder / "a").read_text() == "a\n")
    notice = (await told())[-1]
    assert Path(notice["kept"]).read_text() == "a" * 2_000
    rule = {"memberKind": "user", "memberId": "", "pattern": "d", "access": "none"}
    cleo, path = await town.person("cleo"), f"/documents/{one}/rules"
    await invite(ben, one, cleo, "viewer")
    etag = (await ben.ask("GET", path)).headers["ETag"]
    rules = {"rules": [{**rule, "memberId": cleo.id}]}
    await ben.done("PUT", path, 200, json=rules, headers={"If-Match": etag})
    assert [each["path"] for each in (await cleo.get(f"/workspace/{one}"))["notTaken"]] == ["a"]
    assert [each["path"] for each in await told()] == ["d", "a"]


async def test_an_import_has_the_bounds_of_all(tmp_path: Path) -> None:
    quotas = Quotas(project_files=20, project_bytes=5_000)
    async with open_town(tmp_path / "data", quotas=quotas) as town:
        ben = await town.person("ben")

        async def imported(names: list[str]) -> Any:
            content = squeezed(tar_of(names))
            headers = {"Content-Type": "application/octet-stream"}
            params = {"name": "Thesis"}
            made = await ben.done("POST", "/projects/import", 201, params=params, content=content, headers=headers)
            project_id = made["workspace"]["documentId"]
            path, over = f"/projects/{project_id}", ("ready", "failed")
            async with asyncio.timeout(30):
                while (await ben.get(path))["imported"]["state"] not in over:  # noqa: ASYNC110  (likewise)
                    await asyncio.sleep(0.02)
            return (await ben.get(path))["imported"]

        assert (await imported([f"{number}" for number in range(20)]))["state"] == "ready"
        failed = await imported([f"{number}" for number in range(21)])
        assert (failed["state"], failed["code"]) == ("failed", "quota_exceeded")
        assert "of 20" in failed["detail"]


@pytest.mark.parametrize("first", ["delete", "rename"])
async def test_where_there_is_too_much_already_files_can_be_moved_and_deleted(town: Town, first: str) -> None:
    """Also where nobody has counted them yet."""
    ben = await town.person("ben")
    one = await project(ben, a="a", b="b", c="c")
    fs = f"/workspace/{one}/fs"
    await ben.post(f"{fs}/mkdir", {"path": "folder"})
    await grant(town, one, files=2)
    body = {"path": "a"} if first == "delete" else {"source": "a", "target": "folder/a"}
    await ben.post(f"{fs}/{first}", body)
    await ben.post(f"{fs}/delete", {"path": "b"})
    await ben.refused("PUT", f"{fs}/write", "quota_exceeded", content=b"e", **new("e"))
