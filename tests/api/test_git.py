"""Git in a workspace, by HTTP: real repositories, a bare one on this disk as the other server."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from coscribe.client import Client
from coscribe.git.remotes import Remote
from tests.api.test_mounts import reads, text_of
from tests.api.test_workspaces import fs
from tests.api.town import Person, Town, open_town
from tests.gateway.site import serving

pytestmark = pytest.mark.slow  # several processes a request

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Shell" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "shell@example.org" for who in ("AUTHOR", "COMMITTER")},
}


class Local:
    """A policy that lets everything be reached that is on this disk."""

    def check(self, url: str) -> Remote:
        return Remote(url, "file", "local")

    __call__ = check


local = Local()


def shell(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, check=True, text=True
    ).stdout


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(tmp_path / "data", remotes=local) as town:
        yield town


async def version_of(who: Person, workspace_id: str, path: str) -> int:
    answer = await who.ask("GET", fs(workspace_id, "read"), params={"path": path})
    return int(answer.headers["ETag"].strip('"').rpartition(":")[2])


class Work:
    """A workspace with a repository, and who owns it."""

    def __init__(self, owner: Person, workspace_id: str, folder: Path) -> None:
        self.owner = owner
        self.id = workspace_id
        self.folder = folder

    async def get(self, what: str, **params: Any) -> Any:
        return await self.owner.get(f"/workspace/{self.id}/git/{what}", params=params)

    async def do(self, what: str, **body: Any) -> Any:
        return await self.owner.post(f"/workspace/{self.id}/git/{what}", body)

    async def refused(self, what: str, code: str, **body: Any) -> str:
        answer = await self.owner.refused("POST", f"/workspace/{self.id}/git/{what}", code, json=body)
        return str(answer.json()["detail"])

    async def type(self, who: Person, path: str, text: str) -> None:
        """Replaces a text, based on what it is."""
        await who.write(self.id, path, text, await version_of(who, self.id, path))

    async def becomes(self, path: str, text: str) -> None:
        assert await text_of(self.owner, self.id, path) == text

    async def invite(self, who: Person, role: str = "editor") -> None:
        await self.owner.post(f"/documents/{self.id}/invitations", {"who": who.handle, "role": role}, 201)
        (invitation,) = (await who.get("/invitations"))["items"]
        await who.post(f"/invitations/{invitation['invitationId']}/accept", {}, 200)


async def begun(owner: Person, **texts: str) -> Work:
    workspace_id = await owner.workspace(**texts)
    folder = Path((await owner.post(f"/workspace/{workspace_id}/start"))["mountPath"])
    work = Work(owner, workspace_id, folder)
    await work.do("init")
    return work


def elsewhere(tmp_path: Path, work: Work) -> tuple[Path, Path]:
    """A bare repository, and a clone of it of somebody else's, once it was pushed."""
    bare, clone = tmp_path / "bare.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], env=ENVIRONMENT, check=True)
    return bare, clone


async def test_a_commit_names_who_has_written_it(town: Town) -> None:
    ann, ben, eve = await town.person("ann"), await town.person("ben"), await town.person("eve")
    work = await begun(ann, plan="a plan\n", other="else\n")
    for who in (ben, eve):
        await work.invite(who)
    await work.do("commit", message="Begin")
    await work.type(ben, "plan", "a better plan\n")
    await work.type(eve, "other", "else, then\n")
    (work.folder / "made").write_text("by a program\n")
    made = await work.do("commit", message="A plan\n\nWith a body", paths=["plan"])
    assert [each["name"] for each in made["coAuthors"]] == ["Ben"]
    assert made["paths"] == ["plan"]
    said = shell(work.folder, "log", "-1", "--format=%an%n%B")
    assert said.startswith("Ann\nA plan\n\nWith a body\n")
    assert f"Coscribe-Sequence: {work.id} {made['serverSequenceId']}" in said
    assert "Co-authored-by: Ben <ben@users.noreply.127.0.0.1>" in said
    changes = {each["path"]: each["change"] for each in (await work.get("status"))["changes"]}
    assert changes == {"other": "changed", "made": "untracked"}
    await work.owner.post(fs(work.id, "save"), {})
    async with asyncio.timeout(30):
        while (await ann.ask("GET", fs(work.id, "stat"), params={"path": "made"})).status_code != 200:  # noqa: ASYNC110  (the disk tells nobody)
            await asyncio.sleep(0.05)
    rest = await work.do("commit", message="The rest")
    assert [each["name"] for each in rest["coAuthors"]] == ["Eve", "disk"]
    await work.refused("commit", "conflict", message="Nothing")
    first, second = (await work.get("log", limit=2))["items"]
    assert (first["subject"], second["subject"]) == ("The rest", "A plan")
    assert first["serverSequenceId"] == rest["serverSequenceId"] >= made["serverSequenceId"]
    (found,) = (await work.get("log", sequence=made["serverSequenceId"]))["items"]
    assert found["commitId"] == made["commitId"]


async def test_one_commits_by_the_name_one_has_said(town: Town) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    work = await begun(ann, plan="a plan\n")
    await work.invite(ben)
    path = f"/workspace/{work.id}/git/identity"
    assert (await ben.get(path))["email"] == "ben@users.noreply.127.0.0.1"
    await ben.done("PUT", path, 200, json={"name": "Ben <B>", "email": "ben@example.org"})
    assert await ben.get(path) == {"name": "Ben B", "email": "ben@example.org"}
    await work.type(ben, "plan", "ben's\n")
    assert (await work.do("commit", message="x"))["coAuthors"] == [{"name": "Ben B", "email": "ben@example.org"}]


async def test_rules_about_paths_hold_for_commits(town: Town) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    work = await begun(ann, plan="a plan\n", secret="hidden\n", fixed="read only\n")
    await work.invite(ben)
    named = {"memberKind": "user", "memberId": ben.id}
    rules = [{**named, "pattern": path, "access": access} for path, access in (("secret", "none"), ("fixed", "read"))]
    etag = (await ann.ask("GET", f"/documents/{work.id}")).headers["ETag"]
    await ann.done("PUT", f"/documents/{work.id}/rules", 200, json={"rules": rules}, headers={"If-Match": etag})
    theirs = Work(ben, work.id, work.folder)
    assert {each["path"] for each in (await theirs.get("status"))["changes"]} == {"plan", "fixed"}
    await theirs.refused("commit", "not_found", message="x", paths=["secret"])
    await theirs.refused("commit", "permission_denied", message="x", paths=["fixed"])
    shell(work.folder, "add", "secret")
    done = await theirs.do("commit", message="Mine")
    assert (done["paths"], done["left"]) == (["plan"], ["fixed"])
    assert shell(work.folder, "ls-tree", "--name-only", "HEAD").split() == ["plan"]
    for what, body in (("switch", {"branch": "x"}), ("push", {}), ("pull", {}), ("fetch", {})):
        assert "ask an owner" in await theirs.refused(what, "permission_denied", **body)
    await ben.refused("GET", f"/workspace/{work.id}/git/log", "permission_denied")


@pytest.mark.parametrize(
    ("verb", "body"),
    [("commit", {"message": "Late"}), ("switch", {"branch": "main"}), ("push", {}), ("merge/abort", {})],
)
async def test_what_may_be_done_when_it_is_their_turn(town: Town, verb: str, body: dict[str, str]) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    work = await begun(ann, plan="a plan\n")
    await work.invite(ben)
    git, turn = town.coscribe.people.services.git, asyncio.Lock()
    git._turns[work.id] = turn
    await turn.acquire()
    asked = asyncio.create_task(ben.ask("POST", f"/workspace/{work.id}/git/{verb}", json=body))
    async with asyncio.timeout(30):
        while not git._waiting.get(work.id):  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.01)
    await ann.done("PUT", f"/documents/{work.id}/members/{ben.id}", 200, json={"role": "viewer"})
    turn.release()
    assert (await asked).json()["code"] == "permission_denied"


async def test_switching_while_somebody_types(town: Town) -> None:
    ann = await town.person("ann")
    work = await begun(ann, plan="one\ntwo\nthree\n", typed="", same="same\n")
    await work.do("commit", message="Begin")
    await work.do("branches", name="two")
    await work.do("switch", branch="two")
    await work.type(ann, "plan", "one\nzwei\nthree\n")
    await work.do("commit", message="In German")
    ids = {path: (await ann.get(fs(work.id, "stat"), params={"path": path}))["fileId"] for path in ("plan", "typed")}
    stop = asyncio.Event()
    tokens: list[str] = []

    async def type_on() -> None:
        """Operations by their place in a text that only this client changes, and above what branches differ in."""
        version = await version_of(ann, work.id, "typed")
        while not stop.is_set():
            token = f"<{len(tokens)}>"
            edit = {"operationId": f"k:{len(tokens)}", "operationType": "insert", "position": 0, "payload": token}
            edits = {"baseVersion": version, "operations": [edit]}
            answer = await ann.ask("POST", f"/documents/{ids['typed']}/operations", json=edits)
            assert answer.status_code == 200, answer.text
            tokens.append(token)

    typing = asyncio.create_task(type_on())
    try:
        for branch, text in (("main", "two"), ("two", "zwei"), ("main", "two")):
            await work.do("switch", branch=branch, uncommitted="commit", message="Typed")
            await work.becomes("plan", f"one\n{text}\nthree\n")
    finally:
        stop.set()
        await typing
    assert len(tokens) > 3
    now = {path: (await ann.get(fs(work.id, "stat"), params={"path": path}))["fileId"] for path in ("plan", "typed")}
    assert now == ids
    typed = await text_of(ann, work.id, "typed")
    lost = [token for token in tokens if token not in typed]
    log = await ann.ask("GET", f"/workspace/{work.id}/history/timeline")
    assert log.status_code == 200
    shown = shell(work.folder, "log", "--all", "-p", "--", "typed")
    assert [token for token in lost if token not in shown] == []


async def test_a_switch_leaves_everybody_connected(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two have files open over sockets and one types; the texts follow each switch, and what is typed is there."""
    ann, ben = await town.person("ann"), await town.person("ben")
    work = await begun(ann, plan="one\ntwo\nthree\n", notes="")
    await work.invite(ben)
    await work.do("commit", message="Begin")
    await work.do("branches", name="two")
    await work.do("switch", branch="two")
    await work.type(ann, "plan", "one\nzwei\nthree\n")
    await work.do("commit", message="In German")
    opened: list[object] = []
    gateway = town.coscribe.gateway
    opens = gateway.open

    def counted(*arguments: Any, **more: Any) -> Any:
        opened.append(arguments)
        return opens(*arguments, **more)

    monkeypatch.setattr(gateway, "open", counted)
    ids = {path: (await ann.get(fs(work.id, "stat"), params={"path": path}))["fileId"] for path in ("plan", "notes")}
    async with serving(town.coscribe.asgi, lifespan="off") as address, asyncio.timeout(120):
        url = f"ws://{address}/ws"
        async with Client(url, ann.access_token) as one, Client(url, ben.access_token) as other:
            plan, notes, theirs = (
                await one.open(ids["plan"]),
                await other.open(ids["notes"]),
                await other.open(ids["plan"]),
            )
            for number, (branch, text) in enumerate((("main", "two"), ("two", "zwei"), ("main", "two"))):
                notes.insert(len(notes.text), f"<{number}>")
                await notes.synced()
                await work.do("switch", branch=branch, uncommitted="carry")
                for each in (plan, theirs):
                    await each._until(lambda each=each, text=text: each.text == f"one\n{text}\nthree\n")  # type: ignore[misc]  # the defaults bind the loop's values
            assert notes.text == await text_of(ann, work.id, "notes") == "<0><1><2>"
            assert [each.patches for each in (plan, notes, theirs)] == [[], [], []]
    assert len(opened) == 2


async def test_what_git_brought_was_written_by_those_whom_git_names(town: Town, tmp_path: Path) -> None:
    ann = await town.person("ann")
    work = await begun(ann, plan="one\ntwo\nthree\n")
    bare, clone = elsewhere(tmp_path, work)
    await work.do("commit", message="Begin")
    await work.do("init", url=str(bare))
    await work.do("push")
    shell(tmp_path, "clone", "-q", str(bare), str(clone))
    (clone / "plan").write_text("one\nTWO\nthree\n")
    (clone / "new").write_text("theirs\n")
    shell(clone, "add", ".")
    shell(clone, "commit", "-qam", "Theirs")
    shell(clone, "push", "-q")
    assert (await work.do("pull"))["conflicts"] == []
    await work.becomes("plan", "one\nTWO\nthree\n")
    await work.type(ann, "plan", "one\nTWO\nthree\nfour\n")
    await work.type(ann, "new", "theirs\nmine\n")
    assert (await work.do("commit", message="Mine"))["coAuthors"] == []
    await work.do("branches", name="old", start="HEAD~2")
    await work.do("switch", branch="old")
    await work.do("switch", branch="main")
    await work.type(ann, "plan", "five\n")
    assert (await work.do("commit", message="Five"))["coAuthors"] == []
    (work.folder / "plan").write_text("five\nsix\n")
    await reads(ann, work.id, "plan", "five\nsix\n")
    assert [each["name"] for each in (await work.do("commit", message="Six"))["coAuthors"]] == ["disk"]


async def test_uncommitted_work_is_no_price_of_a_switch(town: Town) -> None:
    ann = await town.person("ann")
    work = await begun(ann, plan="a\n", other="b\n")
    await work.do("commit", message="Begin")
    await work.do("branches", name="two")
    await work.do("switch", branch="two")
    await work.type(ann, "plan", "another\n")
    await work.do("commit", message="Two")
    await work.type(ann, "other", "typed\n")
    assert "other" in await work.refused("switch", "uncommitted_changes", branch="main")
    await work.becomes("other", "typed\n")
    assert (await work.do("switch", branch="main", uncommitted="carry"))["branch"] == "main"
    await work.becomes("other", "typed\n")
    await work.becomes("plan", "a\n")
    await work.type(ann, "plan", "mine\n")
    assert "plan" in await work.refused("switch", "uncommitted_changes", branch="two", uncommitted="carry")
    await work.becomes("plan", "mine\n")
    await work.refused("switch", "not_found", branch="three", uncommitted="commit")
    for name in ("-f", "a..b", "@{-1}"):
        await work.refused("switch", "invalid_request", branch=name)
    await work.refused("branches", "conflict", name="two")


async def test_with_another_server(town: Town, tmp_path: Path) -> None:
    ann = await town.person("ann")
    work = await begun(ann, plan="one\ntwo\nthree\n")
    bare, clone = elsewhere(tmp_path, work)
    await work.do("commit", message="Begin")
    await work.refused("push", "not_found")
    await work.do("init", url=str(bare))
    status = await work.do("push")
    assert (status["upstream"], status["ahead"], status["behind"]) == ("origin/main", 0, 0)
    shell(tmp_path, "clone", "-q", str(bare), str(clone))
    (clone / "plan").write_text("one\nTWO\nthree\n")
    shell(clone, "commit", "-qam", "Theirs")
    shell(clone, "push", "-q")
    await work.type(ann, "plan", "one\nzwei\nthree\n")
    await work.do("commit", message="Ours")
    assert "main of origin" in await work.refused("push", "push_rejected")
    fetched = await work.do("fetch")
    assert (fetched["ahead"], fetched["behind"]) == (1, 1)
    assert "pull with a merge" in await work.refused("pull", "conflict", fastForwardOnly=True)
    pulled = await work.do("pull")
    assert pulled["conflicts"] == [{"path": "plan", "change": "conflicted", "conflict": "changed by both"}]
    marked = await text_of(ann, work.id, "plan")
    assert "<<<<<<<" in marked
    assert "zwei" in marked
    assert "TWO" in marked
    sides = await work.get("conflict", path="plan")
    assert [sides[side].split()[1] for side in ("base", "ours", "theirs")] == ["two", "zwei", "TWO"]
    assert "plan" in await work.refused("commit", "merge_unfinished", message="Merge")
    await work.refused("switch", "merge_unfinished", branch="main", uncommitted="carry")
    assert (await work.do("merge/abort"))["isMerging"] is False
    await work.becomes("plan", "one\nzwei\nthree\n")
    await work.refused("merge/abort", "conflict")
    await work.do("pull")
    await work.type(ann, "plan", "one\nZWEI\nthree\n")
    await work.do("commit", message="Both")
    (both,) = (await work.get("log", limit=1))["items"]
    assert len(both["parents"]) == 2
    assert (await work.do("push"))["ahead"] == 0
    assert shell(bare, "show", "main:plan") == "one\nZWEI\nthree\n"
    (clone / "new").write_text("n\n")
    shell(clone, "pull", "-q", "--ff-only")
    shell(clone, "add", "new")
    shell(clone, "commit", "-qm", "New")
    shell(clone, "push", "-q")
    assert (await work.do("pull", fastForwardOnly=True))["conflicts"] == []
    await work.becomes("new", "n\n")


async def test_what_is_no_repository(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan\n")
    path = f"/workspace/{workspace_id}/git/status"
    await ann.refused("GET", path, "not_a_repository")
    await ann.post(f"/workspace/{workspace_id}/start")
    await ann.refused("GET", path, "not_a_repository")
    document = await ann.document()
    await ann.refused("GET", f"/workspace/{document}/git/status", "file_not_found")


async def test_credentials_are_kept_and_never_shown(town: Town, tmp_path: Path) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    work = await begun(ann, plan="a plan\n")
    path = f"/workspace/{work.id}/git/credentials"
    await ann.done("PUT", path, 200, json={"host": "git.example.org", "user": "ann", "token": "hush-hush-token"})
    listed = await ann.ask("GET", path)
    assert [each["host"] for each in listed.json()["items"]] == ["git.example.org"]
    assert "hush" not in listed.text
    everything = b"".join(each.read_bytes() for each in (tmp_path / "data").rglob("*") if each.is_file())
    assert b"hush-hush-token" not in everything
    await work.invite(ben)
    assert (await ben.get(path))["items"] == []
    await ben.refused("DELETE", path, "not_found", params={"host": "git.example.org"})
    await ann.done("DELETE", path, 204, params={"host": "git.example.org"})
    assert (await ann.get(path))["items"] == []
