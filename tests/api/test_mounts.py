"""Workspaces as files on the server's disk, by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from coscribe.app import Coscribe
from tests.api.test_workspaces import fs
from tests.api.town import CHEAP, KeepingMailer, Person, Town, open_town

DEADLINE = 30.0


async def comes_true(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not is_so():  # noqa: ASYNC110  (the disk tells nobody)
            await asyncio.sleep(0.02)


async def text_of(who: Person, workspace_id: str, path: str) -> str:
    answer = await who.ask("GET", fs(workspace_id, "read"), params={"path": path})
    assert answer.status_code == 200, answer.text
    return answer.text


async def reads(who: Person, workspace_id: str, path: str, text: str) -> None:
    """Returns when a file has this text."""
    async with asyncio.timeout(DEADLINE):
        while await text_of(who, workspace_id, path) != text:  # noqa: ASYNC110  (likewise)
            await asyncio.sleep(0.05)


async def test_files_that_people_and_programs_share(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan\n")
    one = f"/workspace/{workspace_id}"
    stopped = await ann.get(one)
    assert (stopped["status"], stopped["serverSequenceId"], stopped["notTaken"]) == ("stopped", None, [])
    started = await ann.post(f"{one}/start")
    assert started["status"] == "active"
    folder = Path(started["mountPath"])
    saved = await ann.post(fs(workspace_id, "save"), {})
    assert (folder / "plan").read_text() == "a plan\n"
    assert (await ann.get(one))["serverSequenceId"] >= saved["serverSequenceId"]
    (folder / "src").mkdir()
    (folder / "src/main.py").write_text("print()\n")
    (folder / "plan").write_text("a better plan\n")
    await reads(ann, workspace_id, "plan", "a better plan\n")
    assert await text_of(ann, workspace_id, "src/main.py") == "print()\n"
    await ann.post(fs(workspace_id, "rename"), {"source": "src", "target": "lib"})
    await comes_true((folder / "lib/main.py").exists)
    assert not (folder / "src").exists()
    assert (await ann.post(f"{one}/stop"))["status"] == "stopped"


async def test_what_is_written_while_the_server_is_down(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        ann = await town.person("ann")
        workspace_id = await ann.workspace(plan="a plan\n")
        folder = Path((await ann.post(f"/workspace/{workspace_id}/start"))["mountPath"])
        await ann.post(fs(workspace_id, "save"), {})
        token = ann.client.headers["Authorization"]
    (folder / "plan").write_text("another plan\n")
    coscribe = Coscribe(town.coscribe.settings, hasher=CHEAP)
    async with coscribe.running():
        ann = Town(coscribe, KeepingMailer()).with_token(token.removeprefix("Bearer "))
        await reads(ann, workspace_id, "plan", "another plan\n")


async def test_who_may(town: Town) -> None:
    ann, vic = await town.person("ann"), await town.person("vic")
    workspace_id = await ann.workspace(plan="a plan\n")
    await ann.post(f"/documents/{workspace_id}/invitations", {"who": "vic", "role": "viewer"}, 201)
    await vic.refused("POST", f"/workspace/{workspace_id}/start", "file_not_found")
    document = await ann.document("Notes")
    await ann.refused("POST", f"/workspace/{document}/start", "file_not_found")
