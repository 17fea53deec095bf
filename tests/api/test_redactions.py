"""Redaction while the server runs: a secret is gone from every byte that is stored, nobody brings it back, and whoever
has it open goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from coscribe.cli import app
from coscribe.client import Client
from coscribe.config import Settings
from coscribe.documents.ports import SegmentSize
from coscribe.documents.redaction import FILLER
from coscribe.gateway.auth import make_token
from coscribe.persistence.schema import metadata
from coscribe.persistence.segments import unpack
from coscribe.persistence.stored import engine_for, reading
from tests.api.test_audits import keep
from tests.api.test_content import plain, put, text_of
from tests.api.test_documents import invite
from tests.api.test_mounts import comes_true, reads
from tests.api.test_retention import hold, pruned
from tests.api.town import Person, Town, open_town
from tests.e2e.server_process import SECRET as TOKEN_SECRET
from tests.e2e.server_process import ServerProcess
from tests.servers import PostgresServer

pytestmark = pytest.mark.slow

SECRET = "AKIA-hunter2-\N{SNOWMAN}-x"
BLOCKS = FILLER * len(SECRET)
ORDER = {"text": SECRET, "reason": "it leaked"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


WANTED = [SECRET.encode(), SECRET.encode("utf-16-le"), json.dumps(SECRET)[1:-1].encode()]


def has_it(settings: Settings) -> list[str]:
    """The files below a folder that have the secret in any of their bytes, free pages and write-ahead logs too; tables
    that have it in a row; and what is compressed in the database."""
    found = files_with_it(settings.folder)
    with reading(settings.where) as log:
        for table in metadata.sorted_tables:
            rows = log.connection.execute(select(table)).all()
            values = b"".join(value for row in rows for value in map(_bytes, row))
            if any(each in values for each in WANTED):
                found.append(f"table {table.name}")
        packed = [each for one in log.workspaces() for _, each in log.segments(one.key)]
    payloads = b"".join(row.payload for each in packed for row in unpack(each))
    return found + (["segments"] if any(each in payloads for each in WANTED) else [])


def files_with_it(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(each in path.read_bytes() for each in WANTED) or SECRET in path.name]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


async def write_bytes(who: Person, workspace: str, path: str, content: bytes) -> None:
    options: dict[str, Any] = {"params": {"path": path}, "content": content, "headers": {"If-None-Match": "*"}}
    await who.done("PUT", f"/workspace/{workspace}/fs/write", 200, **options)


async def read_bytes(who: Person, workspace: str, path: str) -> bytes:
    answer = await who.ask("GET", f"/workspace/{workspace}/fs/read", params={"path": path})
    assert answer.status_code == 200, answer.text
    return answer.content


BINARY = b"\0\xff head " + SECRET.encode() + b" tail \xfe" + SECRET.encode()
WIDE = b"\xff\xfe\0" + f"a {SECRET} b".encode("utf-16-le")


async def leak(town: Town, ben: Person) -> tuple[str, str, Path]:
    """It is in a document, pasted and typed, in its compressed past and its present; in a workspace, in texts, names,
    contents that are no text, live, in the trash and gone; and in the files on the disk, and beside them."""
    document = await ben.document(f"Plan {SECRET}", "A plan.\n")
    versions = [f"A plan.\n{SECRET} pasted", "A plan.\n", *(f"A plan.\n{SECRET[:end]}" for end in range(1, 17, 3))]
    versions += [f"A plan.\n{SECRET}\nmore", "A plan.\nmore", f"A plan.\nmore\nagain {SECRET}!"]
    for version, text in enumerate(versions, 1):
        await put(ben, document, text, version)
    collaboration, storage = town.coscribe.collaboration, town.coscribe.storage
    await collaboration.save(None, document)
    workspace = await storage.acquire(document)
    assert workspace is not None
    assert await storage.compact(workspace.key, 6, SegmentSize(100, 10**6, 1)) is not None
    collaboration.router.drop(collaboration.router.sessions[document])

    tree = await ben.workspace("Tree", readme="nothing", config=f"key = {SECRET}\n")
    fs = f"/workspace/{tree}/fs"
    folder = Path((await ben.post(f"/workspace/{tree}/start"))["mountPath"])
    await ben.post(f"{fs}/mkdir", {"path": SECRET})
    await ben.write(tree, f"{SECRET}/{SECRET}.txt", f"{SECRET} {SECRET}")
    await write_bytes(ben, tree, "picture", BINARY)
    await write_bytes(ben, tree, "wide", WIDE)
    await write_bytes(ben, tree, "gone", BINARY + b"!")
    await ben.post(f"{fs}/delete", {"path": "gone"})
    await ben.write(tree, "old", SECRET)
    await ben.post(f"{fs}/delete", {"path": "old"})
    await ben.post(f"{fs}/save", {})
    (folder / "config").write_text(f"key = {SECRET}\nby = {SECRET}\n")
    await reads(ben, tree, "config", f"key = {SECRET}\nby = {SECRET}\n")
    await ben.write(tree, "config", "key = from elsewhere\n", 2)
    await ben.write(tree, "config", f"key = {SECRET}\n", 3)
    await ben.post(f"{fs}/rename", {"source": "readme", "target": f"readme-{SECRET}"})
    await ben.post(f"{fs}/save", {})
    return document, tree, folder


@pytest.mark.both_databases
async def test_it_is_in_no_byte_any_more_and_the_server_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_town(folder) as town:
        ben, cleo = await town.person("ben"), await town.person("cleo")
        key = (await town.nobody().get("/audit/key"))["publicKey"]
        document, tree, files = await leak(town, ben)
        short = await ben.document("Short")
        for version in range(6):
            await put(ben, short, f"{version} {SECRET} {version}", version)
        await pruned(town, short)
        other = await ben.document("Other", "nothing to see")
        kept = await ben.post(f"/documents/{document}/checkpoints", status=201)
        await invite(ben, tree, cleo, "editor")
        rule = {"memberKind": "user", "memberId": cleo.id, "pattern": f"{SECRET}/**", "access": "none"}
        etag = (await ben.ask("GET", f"/documents/{tree}/rules")).headers["ETag"]
        await ben.done("PUT", f"/documents/{tree}/rules", 200, json={"rules": [rule]}, headers={"If-Match": etag})
        before_it, settings = has_it(town.coscribe.settings), town.coscribe.settings
        in_place = (
            ("table file_operation_log", "table blob_pieces") if settings.database_url else ("coscribe.db", "blobs")
        )
        for part in (*in_place, f"workspaces/{tree}", ".coscribe", "segments"):
            assert any(part in path for path in before_it), part

        before = await town.ada.post("/admin/redactions", {**ORDER, "dryRun": True})
        assert before["done"] is False
        assert {place["kind"] for place in before["places"]} == {"text", "name", "content", "checkpoint"}
        assert await text_of(ben, document) == f"A plan.\nmore\nagain {SECRET}!"
        done = await town.ada.post("/admin/redactions", ORDER)
        assert (done["done"], done["workspaces"], done["names"], done["contents"]) == (True, 3, 1, 3)
        assert (done["files"], done["emptied"]) == ([], not settings.database_url)
        assert has_it(settings) == []

        assert await text_of(ben, document) == f"A plan.\nmore\nagain {BLOCKS}!"
        assert await text_of(ben, other) == "nothing to see"
        assert await read_bytes(ben, tree, "picture") == BINARY.replace(SECRET.encode(), b"#" * len(SECRET.encode()))
        wide = SECRET.encode("utf-16-le")
        assert await read_bytes(ben, tree, "wide") == WIDE.replace(wide, b"#" * len(wide))
        (hidden,) = [
            item["path"]
            for item in (await ben.get(f"/workspace/{tree}/fs/list"))["items"]
            if item["kind"] == "directory"
        ]
        await cleo.refused("GET", f"/workspace/{tree}/fs/list", "file_not_found", params={"path": hidden})
        assert (files / "config").read_text() == f"key = {BLOCKS}\n"
        await ben.write(tree, "config", "on and on\n", 5)
        await ben.post(f"/workspace/{tree}/fs/save", {})
        assert (files / "config").read_text() == "on and on\n"
        (files / "more").write_text("by a program\n")
        await ben.post(f"/workspace/{tree}/fs/save", {})
        events = (await ben.get(f"/documents/{document}/events"))["items"]
        (said,) = [event for event in events if event["action"] == "log.redacted"]
        assert (said["actor"], said["detail"]["reason"]) == (town.ada.id, "it leaked")
    path = keep(tmp_path, "kept", kept)
    where = ("--data", folder, "--database", settings.database_url)
    result = await asyncio.to_thread(run, "verify", *where, "--key", key, "--checkpoint", path)
    assert result.exit_code == 0, result.output
    assert "entries redacted" in result.stdout


async def test_what_an_operator_does_takes_it_out_of_the_files_of_a_postgres(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """As docs/operations.md says; the write-ahead log is another matter."""
    url = postgres_server.fresh()
    async with open_town(tmp_path / "data", database_url=url) as town:
        ben = await town.person("ben")
        document = await ben.document("Plan", "one")
        for version in range(1, 9):
            await put(ben, document, f"{version} {SECRET}" if version % 2 else "nothing", version)
        await ben.post(f"/documents/{document}/redactions", ORDER)
        assert has_it(town.coscribe.settings) == []
        postgres_server.run("CHECKPOINT")
        assert files_with_it(postgres_server.folder / "data" / "base")
        with engine_for(town.coscribe.settings.where).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM FULL")
        postgres_server.run("CHECKPOINT")
        assert files_with_it(postgres_server.folder / "data" / "base") == []
    postgres_server.drop(url)


@pytest.mark.both_databases
async def test_nobody_brings_it_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_town(folder) as town:
        ben = await town.person("ben")
        document, tree, files = await leak(town, ben)
        await ben.post(f"/documents/{document}/redactions", ORDER)
        await ben.post(f"/documents/{tree}/redactions", ORDER)
        version = int((await ben.get(f"/documents/{document}/content"))["documentVersion"])
        content, back = f"/documents/{document}/content", f"A plan.\nmore\nagain {SECRET}!".encode()
        await ben.refused("PUT", content, "text_redacted", content=back, headers=plain(version))
        fs = f"/workspace/{tree}/fs"
        await ben.refused("POST", f"{fs}/mkdir", "text_redacted", json={"path": f"a {SECRET}"})
        new: dict[str, Any] = {"params": {"path": "new"}, "headers": {"If-None-Match": "*"}}
        await ben.refused("PUT", f"{fs}/write", "text_redacted", content=f"a {SECRET}".encode(), **new)
        await ben.refused("PUT", f"{fs}/write", "text_redacted", content=BINARY, **new)
        (files / "config").write_text(f"key = {SECRET}\nand more\n")
        await comes_true(lambda: (files / "config").read_text() == f"key = {BLOCKS}\n")
        (notice,) = (await ben.get(f"/workspace/{tree}"))["notTaken"]
        assert notice["code"] == "text_redacted"
        assert Path(notice["kept"]).read_text().endswith("and more\n")
        assert SECRET not in Path(notice["kept"]).read_text()
        typed = await put(ben, document, f"A plan.\nmore\nagain {SECRET[:5]}!", version)
        assert typed is not None  # a part of it is no secret
        await ben.refused("PUT", content, "text_redacted", content=back, headers=plain(version + 1))


@pytest.mark.both_databases
async def test_a_legal_hold_beats_it(tmp_path: Path) -> None:
    async with open_town(tmp_path / "data") as town:
        ben = await town.person("ben")
        document = await ben.document("Plan", f"one {SECRET}")
        await hold(town, document)
        await ben.refused("POST", f"/documents/{document}/redactions", "legal_hold", json=ORDER)
        await town.ada.refused("POST", "/admin/redactions", "legal_hold", json=ORDER)
        assert await text_of(ben, document) == f"one {SECRET}"
        events = (await ben.get(f"/documents/{document}/events"))["items"]
        assert [event["outcome"] for event in events if event["action"] == "log.redacted"] == ["legal_hold"] * 2


async def test_who_may_and_what_is_asked_for_wrongly(tmp_path: Path) -> None:
    async with open_town(tmp_path / "data") as town:
        ben, cleo = await town.person("ben"), await town.person("cleo")
        document = await ben.document("Plan", f"one {SECRET}")
        await invite(ben, document, cleo, "editor")
        path = f"/documents/{document}/redactions"
        await cleo.refused("POST", path, "permission_denied", json=ORDER)
        await ben.refused("POST", "/admin/redactions", "permission_denied", json=ORDER)
        for wrong in ({"text": SECRET}, {"reason": "x"}, {"text": "abc", "reason": "it was abc"}):
            await ben.refused("POST", path, "invalid_request", json=wrong)
        slow = {"pattern": "(a|aa)+$", "reason": "x"}
        await ben.refused("POST", path, "invalid_request", json=slow)
        await put(ben, document, "a" * 200 + "!", 1)
        await town.ada.refused("POST", "/admin/redactions", "invalid_request", json=slow)
        await town.ada.refused("POST", "/admin/redactions", "file_not_found", json={**ORDER, "documentIds": ["nix"]})
        assert (await ben.post(path, ORDER))["workspaces"] == 1


async def test_those_who_have_it_open_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is typed meanwhile is lost, an undo and what was typed offline bring nothing back, and the command
    asks the server that runs."""
    server = ServerProcess(tmp_path / "data")
    await asyncio.to_thread(server.start)
    tokens = [make_token(TOKEN_SECRET.encode(), name, "editor", 3_600) for name in ("ann", "bob")]
    async with Client(server.url, tokens[0]) as one, Client(server.url, tokens[1]) as other:
        ann, bob = await one.open("shared"), await other.open("shared")
        for letter in f"begin {SECRET} end":
            ann.insert(len(ann.text), letter)
        await ann.synced()
        await bob._until(lambda: bob.text == ann.text)
        bob.delete(6, len(SECRET))
        await bob.synced()
        bob.undo()
        await bob.synced()

        async def type_on() -> None:
            for number in range(60):
                ann.insert(0, f"<{number}>")
                await asyncio.sleep(0.02)

        typing = asyncio.create_task(type_on())
        monkeypatch.setenv("COSCRIBE_TOKEN_SECRET", TOKEN_SECRET)
        order = ("--text", SECRET, "--reason", "it leaked", "--yes", "--json", "--server", server.http)
        done = await asyncio.to_thread(run, "redact", *order, "--data", server.folder)
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["workspaces"] == 1
        await typing
        for document in (ann, bob):
            await document.live()
            await document.synced()
        await bob._until(lambda: bob.text == ann.text)
        assert SECRET not in ann.text
        assert all(f"<{number}>" in ann.text for number in range(60))
        assert f"begin {BLOCKS} end" in ann.text
        text = ann.text
        bob.insert(len(bob.text), f" {SECRET}")  # from a clipboard, or from a memory
        await bob._until(lambda: bool(bob.patches))
        assert SECRET in str(bob.patches)
        await bob._until(lambda: bob.text == text)
        assert ann.text == text
    await asyncio.to_thread(server.stop)
    assert has_it(Settings(folder=server.folder)) == []
    assert (await asyncio.to_thread(run, "verify", "--data", server.folder)).exit_code == 0


@pytest.mark.both_databases
async def test_what_others_have_is_not_touched_nor_told_of(tmp_path: Path) -> None:
    """Whoever owns a document takes something out of that, and out of nothing else."""
    async with open_town(tmp_path / "data") as town:
        ben, cleo = await town.person("ben"), await town.person("cleo")
        mine = await ben.document("Plan of mine", "one")
        await ben.post(f"/documents/{mine}/history/names", {"version": 1, "name": "the Plan"}, 201)
        made = {"json": {"name": "Plan of hers"}, "headers": {"Idempotency-Key": "plan-1"}}
        hers = (await cleo.done("POST", "/workspaces", 201, **made))["documentId"]
        await cleo.write(hers, "Plan", "two")
        rule = {"memberKind": "everyone", "memberId": "", "pattern": "Plan", "access": "none"}
        for path in (f"/documents/{hers}/rules", f"/projects/{hers}/rules"):
            etag = (await cleo.ask("GET", path)).headers["ETag"]
            await cleo.done("PUT", path, 200, json={"rules": [rule]}, headers={"If-Match": etag})
        hers_too = await cleo.document("A Plan", "three")
        await cleo.post(f"/documents/{hers_too}/history/names", {"version": 1, "name": "her Plan"}, 201)

        shown = await ben.post(f"/documents/{mine}/redactions", {"text": "Plan", "dryRun": True})
        done = await ben.post(f"/documents/{mine}/redactions", {"text": "Plan", "reason": "it leaked"})
        assert (done["names"], shown["events"], done["events"]) == (2, 1, 1)
        assert (await ben.get(f"/documents/{mine}"))["name"] == f"{FILLER * 4} of mine"
        assert [(await cleo.get(f"/documents/{each}"))["name"] for each in (hers, hers_too)] == [
            "Plan of hers",
            "A Plan",
        ]
        for path in (f"/documents/{hers}/rules", f"/projects/{hers}/rules"):
            assert [each["pattern"] for each in (await cleo.get(path))["rules"]] == ["Plan"]
        names = (await cleo.get(f"/documents/{hers_too}/history/names"))["items"]
        assert [each["name"] for each in names] == ["her Plan"]
        assert (await cleo.done("POST", "/workspaces", 201, **made))["documentId"] == hers
        await town.ada.post("/admin/redactions", {"text": "Plan", "reason": "it leaked"})
        assert (await cleo.get(f"/documents/{hers_too}"))["name"] == f"A {FILLER * 4}"
        await cleo.refused("POST", "/workspaces", "conflict", **made)  # done it is, not a second time


async def test_an_owner_has_so_many_in_a_while(tmp_path: Path) -> None:
    """Each goes through a whole log and writes the database anew, for which everybody waits."""
    async with open_town(tmp_path / "data", rate_factor=0.1) as town:
        ben = await town.person("ben")
        path = f"/documents/{await ben.document('Plan')}/redactions"
        for _ in range(2):
            await ben.post(path, {**ORDER, "dryRun": True})
        await ben.refused("POST", path, "too_many_requests", json=ORDER)
