"""What an instance does by itself, for what it owns: a real server, whose part of the workspaces is a test's say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import pytest
from sqlalchemy import delete

from coscribe.access.ids import MADE_OF_A_KEY, MAX_DRAWS, WorkspaceIds
from coscribe.access.keys import Keys
from coscribe.access.redactions import REDACT
from coscribe.cluster.errands import Errands
from coscribe.cluster.everywhere import PURGE, TEXT
from coscribe.cluster.part import LEADING, Part
from coscribe.cluster.shards import shard_of
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import FileSystem
from coscribe.documents.ports import StorageError
from coscribe.persistence.schema import idempotent_answers
from tests.api.test_projects import ARCHIVE, imported, sent
from tests.api.town import SECRET, Town, open_town


class Say:
    """Which workspaces are this instance's; ``asked``: what others were asked to do."""

    def __init__(self, town: Town) -> None:
        self.everything = True
        self.mine: set[str] = set()
        self.leads = False
        self.asked: list[tuple[str, str]] = []
        self.is_away = False
        self.people = people = town.coscribe.people
        part = Part(self.owns, self.owns, lambda: self.leads, cast("Errands", self))
        services = people.services
        people._part = services.documents._part = services.imports._part = part
        services.documents.ids = WorkspaceIds(self.owns, MADE_OF_A_KEY)
        services.everywhere._owns, services.everywhere._errands = part.owns, part.errands
        services.redactions._part = part
        services.mounts._owns = services.mounts._trees._is_mine = self.owns

    def owns(self, workspace_id: str) -> bool:
        return self.everything or workspace_id in self.mine

    async def run(self, file_id: str, what: str, asked: bytes) -> bytes:
        """As the owner would, which here is the same instance."""
        self.asked.append((file_id, what))
        if self.is_away:
            raise CoscribeError(Code.OWNER_UNAVAILABLE)
        before, self.everything = self.everything, True
        try:
            return await self.people.errands[what](asked)
        finally:
            self.everything = before

    async def lose(self, *but: str) -> None:
        """All but these are handed over."""
        self.everything, self.mine = False, set(but)
        await self.people.hand_over(self.owns)

    async def gain(self) -> None:
        self.everything = True
        await self.people.gained()


@pytest.fixture
async def say(tmp_path: Path) -> AsyncIterator[tuple[Town, Say]]:
    async with open_town(tmp_path) as town:
        yield town, Say(town)


# ---- ids


def test_a_new_id_is_ones_own() -> None:
    ids = WorkspaceIds(lambda workspace_id: shard_of(workspace_id) % 100 == 7)
    for _ in range(20):
        assert shard_of(ids.fresh("doc")) % 100 == 7
    nobody = WorkspaceIds(lambda _: False)
    with pytest.raises(CoscribeError) as refused:
        nobody.fresh("doc")
    assert refused.value.code is Code.OWNER_UNAVAILABLE
    assert MAX_DRAWS >= 20_000


def test_a_request_that_comes_again_has_the_same_ids_everywhere() -> None:
    here = WorkspaceIds(lambda workspace_id: shard_of(workspace_id) % 20 == 7, MADE_OF_A_KEY)
    ids = here.of_key("doc", "ann", "key")
    assert ids == WorkspaceIds(of_a_key=MADE_OF_A_KEY).of_key("doc", "ann", "key")
    assert len(set(ids)) == MADE_OF_A_KEY
    assert WorkspaceIds().of_key("doc", "ann", "key") == ids[:1], "alone there is only that one"
    assert not set(ids) & set(here.of_key("doc", "ann", "other"))
    assert shard_of(here.first_owned(ids)) % 20 == 7


async def test_what_a_request_has_made_is_found_by_another_instance(say: tuple[Town, Say]) -> None:
    town, instance = say
    ann = await town.person("ann")
    asked: dict[str, Any] = {"headers": {"Idempotency-Key": "k1"}, "json": {"name": "Notes", "text": "text"}}
    instance.everything = False
    first = WorkspaceIds(of_a_key=MADE_OF_A_KEY).of_key("doc", ann.id, "k1")
    await ann.refused("POST", "/documents", "owner_unavailable", **asked)
    instance.mine = {first[200]}
    made = await ann.done("POST", "/documents", 201, **asked)
    assert made["documentId"] == first[200]
    await town.coscribe.people.database.write(lambda connection: connection.execute(delete(idempotent_answers)))
    instance.mine |= {first[3]}
    again = await ann.done("POST", "/documents", 201, **asked)
    assert again["documentId"] == first[200]


# ---- what goes with the workspaces


async def test_files_go_with_their_workspace(say: tuple[Town, Say]) -> None:
    town, instance = say
    ann = await town.person("ann")
    one, other = await ann.workspace(plan="one\n"), await ann.workspace(plan="two\n")
    for workspace_id in (one, other):
        await ann.post(f"/workspace/{workspace_id}/start")
    await instance.lose(one)
    assert [(await ann.get(f"/workspace/{each}"))["status"] for each in (one, other)] == ["active", "stopped"]
    await instance.gain()
    assert (await ann.get(f"/workspace/{other}"))["status"] == "active"
    instance.everything, instance.mine = False, set()
    instance.people.drop()
    await asyncio.wait(instance.people._letting_go)
    assert (await ann.get(f"/workspace/{one}"))["status"] == "stopped"
    instance.everything = True
    await ann.post(f"/workspace/{other}/stop")
    await instance.gain()
    assert [(await ann.get(f"/workspace/{each}"))["status"] for each in (one, other)] == ["active", "stopped"]


async def test_a_folder_that_is_not_free_yet_is_tried_again(
    say: tuple[Town, Say], monkeypatch: pytest.MonkeyPatch
) -> None:
    town, instance = say
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="one\n")
    await ann.post(f"/workspace/{workspace_id}/start")
    await instance.lose()
    mounts = town.coscribe.people.services.mounts

    def taken(*_: object, **__: object) -> None:
        raise OSError("somebody has it")

    with monkeypatch.context() as patched:
        patched.setattr("coscribe.working_tree.trees.WorkingTree", taken)
        await instance.gain()
        await mounts.try_again()
    assert (await ann.get(f"/workspace/{workspace_id}"))["status"] == "stopped"
    await mounts.try_again()
    assert (await ann.get(f"/workspace/{workspace_id}"))["status"] == "active"


async def test_git_at_work_holds_no_handover_up(say: tuple[Town, Say], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coscribe.people.LETTING_GO_SECONDS", 0.05)
    town, instance = say
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="one\n")
    await ann.post(f"/workspace/{workspace_id}/start")
    mounts = town.coscribe.people.services.mounts

    async def work() -> None:
        async with mounts._trees.at_rest(workspace_id, 0):
            await instance.lose()
            assert instance.people._letting_go, "it is not closed yet"

    with pytest.raises(CoscribeError) as refused:
        await work()
    assert refused.value.code is Code.MOVED
    await instance.gain()
    assert (await ann.get(f"/workspace/{workspace_id}"))["status"] == "active"


async def test_what_could_not_be_taken_on_is_taken_on_later(
    say: tuple[Town, Say], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coscribe.people.OTHERS_SECONDS", 0)
    town, instance = say
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="one\n")
    await ann.post(f"/workspace/{workspace_id}/start")
    await instance.lose()
    services = instance.people.services

    async def away() -> None:
        raise StorageError("away")

    with monkeypatch.context() as patched:
        patched.setattr(services.documents, "purge_own", away)
        with pytest.raises(StorageError):
            await instance.gain()
    looking = asyncio.ensure_future(instance.people._look_at_others())
    async with asyncio.timeout(60):
        while not services.mounts._trees.is_open(workspace_id):  # noqa: ASYNC110  (a chore tells nobody)
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_an_import_goes_on_where_its_project_goes(say: tuple[Town, Say], monkeypatch: pytest.MonkeyPatch) -> None:
    town, instance = say
    ann = await town.person("ann")
    reached, held = asyncio.Event(), [True]
    import_files = FileSystem.import_files

    async def slow(*args: Any, **more: Any) -> None:
        if held[0]:
            reached.set()
            await asyncio.Event().wait()
        await import_files(*args, **more)

    monkeypatch.setattr(FileSystem, "import_files", slow)
    project_id = await sent(ann, ARCHIVE)
    await asyncio.wait_for(reached.wait(), 60)
    await instance.lose()
    assert town.coscribe.people.services.imports.progress(project_id) is None
    await town.coscribe.people.services.imports.start()
    assert (await imported(ann, project_id))["state"] == "running", "it is another's now"
    held[0] = False
    await instance.gain()
    assert (await imported(ann, project_id))["state"] == "ready"


async def test_what_another_instance_receives_is_left_alone(say: tuple[Town, Say]) -> None:
    town, _ = say
    folder = town.coscribe.settings.imports
    folder.mkdir(exist_ok=True)
    for name in ("wsp_new", "wsp_old"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / "wsp_old", (1, 1))
    await town.coscribe.people.services.imports.start()
    assert [path.name for path in folder.iterdir()] == ["wsp_new"]


async def test_what_was_deleted_is_purged_by_whoever_owns_it(say: tuple[Town, Say]) -> None:
    town, instance = say
    ann = await town.person("ann")
    mine, others = await ann.document(), await ann.document()
    await instance.lose(mine)
    for document_id in (mine, others):
        await ann.post(f"/documents/{document_id}/trash")
    await ann.done("DELETE", f"/documents/{mine}", 204)
    assert instance.asked == []
    instance.is_away = True
    await ann.done("DELETE", f"/documents/{others}", 204)
    assert instance.asked == [(others, PURGE)]
    services = town.coscribe.people.services
    assert await services.documents.purge() == 1, "it is still there"
    await services.documents.purge_one(mine)
    await instance.gain()
    assert await services.documents.purge() == 0


async def test_everybodys_documents_are_exported_and_redacted_by_their_owners(say: tuple[Town, Say]) -> None:
    town, instance = say
    ann = await town.person("ann")
    mine, others = await ann.document("Mine", "a secret\n"), await ann.document("Others", "another secret\n")
    clean = await ann.document("Clean", "nothing\n")
    tree = await ann.workspace(plan="one more secret\n")
    await ann.post(f"/workspace/{tree}/start")
    await instance.lose(mine)
    archive = ZipFile(BytesIO((await ann.ask("GET", "/documents/export")).content))
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "Mine.txt": b"a secret\n",
        "Others.txt": b"another secret\n",
        "Clean.txt": b"nothing\n",
    }
    assert sorted(instance.asked) == sorted([(others, TEXT), (clean, TEXT)])
    instance.asked.clear()
    order = {"text": "secret", "reason": "a test"}
    instance.is_away = True
    await town.ada.refused("POST", "/admin/redactions", "owner_unavailable", json=order)
    instance.is_away = False
    instance.asked.clear()
    done = await town.ada.post("/admin/redactions", order)
    assert sorted(instance.asked) == sorted([(others, REDACT), (tree, REDACT)])
    assert (done["done"], done["workspaces"], done["present"]) == (True, 2, 2), "its own was done at the first attempt"
    for document_id in (mine, others):
        assert "secret" not in (await ann.ask("GET", f"/documents/{document_id}/content")).text
    answer = await ann.ask("GET", f"/workspace/{tree}/fs/read", params={"path": "plan"})
    assert "secret" not in answer.text


async def test_leading_is_to_own_the_first_shard() -> None:
    assert shard_of(LEADING) == 0
    assert Part().leads()


async def test_a_key_of_another_instance_is_found(say: tuple[Town, Say]) -> None:
    town, _ = say
    clock = iter(range(10**6, 10**9, 600_000))
    people = town.coscribe.people
    other = Keys(SECRET.encode(), people.database, lambda: next(clock))
    await other.load()
    reads = 0
    load = other.load

    async def counted() -> None:
        nonlocal reads
        reads += 1
        await load()

    other.load = counted  # type: ignore[method-assign]  # to count
    key_id = await people.keys.rotate()
    await other.look_for(key_id)
    await other.look_for(key_id)
    assert reads == 1
    token, _ = people.keys.sign("session", "usr_1", "ses_1")
    assert people.keys.verify(token).credential_id == "ses_1"
    for _ in range(5):
        await other.look_for("made up")
    assert reads <= 4, "no flood of questions"
