"""``coscribe redact``: a leaked secret is gone from all that is stored, and everything else is as it was."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from coscribe.app import lock_folder
from coscribe.cli import app
from coscribe.client import Client
from coscribe.config import Settings
from coscribe.documents.ports import SegmentSize
from coscribe.documents.redaction import FILLER
from coscribe.gateway.auth import make_token
from coscribe.persistence.segments import ZLIB, Packed, unpack
from tests.api.test_audits import keep
from tests.api.test_bundles import audit, bundle_of, open_town_again
from tests.api.test_content import put
from tests.api.test_retention import pruned
from tests.api.town import open_town
from tests.e2e.server_process import SECRET as TOKEN_SECRET
from tests.e2e.server_process import ServerProcess

pytestmark = pytest.mark.slow

SECRET = "AKIA-hunter2-\N{SNOWMAN}-x"
BLOCKS = FILLER * len(SECRET)


def run(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), input=input)


def redact(folder: Path, *arguments: object, code: int = 0) -> Any:
    given = ("--text", SECRET, "--reason", "it leaked", "--yes", "--data", folder, "--json")
    result = run("redact", *arguments, *given)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if not code else result.stderr


def execute(folder: Path, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(Settings(folder=folder).database)) as db, db:
        return db.execute(statement, arguments).fetchall()


def payloads(folder: Path) -> bytes:
    """Everything that is compressed in the database."""
    columns = "workspace_key, first_sequence, last_sequence, entries, chain_hash, format, checksum, content"
    found = execute(folder, f"SELECT {columns} FROM log_segments WHERE format = {ZLIB}")
    return b"".join(row.payload for fields in found for row in unpack(Packed(*fields)))


def is_anywhere(folder: Path, text: str) -> list[str]:
    """The files of a data folder that hold a text, free pages and write-ahead log too."""
    wanted = [text.encode(), json.dumps(text)[1:-1].encode()]
    found = [path.name for path in folder.iterdir() if any(each in path.read_bytes() for each in wanted)]
    return found + (["segments"] if any(each in payloads(folder) for each in wanted) else [])


class Leaked(NamedTuple):
    folder: Path
    document: str
    tree: str
    pruned: str
    untouched: str
    key: str
    kept: dict[str, Any]
    versions: list[str]


async def _leak(folder: Path) -> Leaked:
    """It is in a document, pasted and typed bit by bit, in its compressed past and in its present; in a tree, in texts
    and names, live and in the trash; in what a pruned log begins with; in a name."""
    async with open_town(folder) as town:
        ben = await town.person("ben")
        key = (await town.nobody().get("/audit/key"))["publicKey"]
        document = await ben.document(f"Plan {SECRET}", "A plan.\n")
        versions = ["", "A plan.\n", f"A plan.\n{SECRET} pasted", "A plan.\n"]
        for end in range(1, len(SECRET) + 1, 3):
            versions.append(f"A plan.\n{SECRET[:end]}")
        versions += [f"A plan.\n{SECRET}\nmore", "A plan.\nmore", f"A plan.\nmore\nagain {SECRET}!"]
        for version, text in enumerate(versions[2:], 1):
            await put(ben, document, text, version)
        collaboration, storage = town.coscribe.collaboration, town.coscribe.storage
        await collaboration.save(None, document)
        workspace = await storage.acquire(document)
        assert workspace is not None
        assert await storage.compact(workspace.key, 6, SegmentSize(100, 10**6, 1)) is not None
        collaboration.router.drop(collaboration.router.sessions[document])

        tree = await ben.workspace("Tree", readme="nothing", config=f"key = {SECRET}\n")
        fs = f"/workspace/{tree}/fs"
        await ben.write(tree, "config", "key = from elsewhere\n", 1)
        await ben.post(f"{fs}/mkdir", {"path": SECRET})
        await ben.write(tree, f"{SECRET}/{SECRET}.txt", f"{SECRET} {SECRET}")
        await ben.write(tree, "old", SECRET)
        await ben.post(f"{fs}/delete", {"path": "old"})
        await ben.post(f"{fs}/rename", {"source": "readme", "target": f"readme-{SECRET}"})
        await ben.post(f"{fs}/save", {})

        short = await ben.document("Short")
        for version in range(6):
            await put(ben, short, f"{version} {SECRET} {version}", version)
        await pruned(town, short)
        untouched = await ben.document("Other", "nothing to see")
        kept = await ben.post(f"/documents/{document}/checkpoints", status=201)
        return Leaked(folder, document, tree, short, untouched, key, kept, versions)


@pytest.fixture(scope="module")
def _leaked(tmp_path_factory: pytest.TempPathFactory) -> Leaked:
    return asyncio.run(_leak(tmp_path_factory.mktemp("leaked") / "data"))


@pytest.fixture
def leaked(_leaked: Leaked, tmp_path: Path) -> Leaked:
    """A data folder that somebody has leaked a secret into; a copy."""
    return _leaked._replace(folder=Path(shutil.copytree(_leaked.folder, tmp_path / "data")))


def test_a_dry_run_says_where_it_is_and_changes_nothing(leaked: Leaked) -> None:
    folder = leaked.folder
    before = Settings(folder=folder).database.read_bytes()
    result = run("redact", "--text", "-", "--dry-run", "--data", folder, "--json", input=f"{SECRET}\n")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    places = {(place["workspace"], place["kind"]) for place in found["places"]}
    assert {(leaked.document, "text"), (leaked.tree, "text"), (leaked.tree, "name")} <= places
    assert (leaked.pruned, "checkpoint") in places
    mine = [place["version"] for place in found["places"] if place["workspace"] == leaked.document]
    assert mine == [2, len(leaked.versions) - 4, len(leaked.versions) - 1]
    assert all(place["author"].startswith("usr_") for place in found["places"] if place["kind"] == "text")
    assert found["done"] is False
    assert Settings(folder=folder).database.read_bytes() == before
    shown = run("redact", leaked.document, "--text", SECRET, "--dry-run", "--data", folder)
    assert f"version {mine[0]}, sequence" in shown.stdout
    assert SECRET not in shown.stdout
    assert leaked.tree not in shown.stdout


def test_it_is_nowhere_any_more_and_all_else_is_as_it_was(leaked: Leaked) -> None:
    folder = leaked.folder
    assert "coscribe.db" in is_anywhere(folder, SECRET)
    assert "segments" in is_anywhere(folder, SECRET)
    chain = execute(folder, "SELECT sequence, digest FROM file_operation_log WHERE workspace_key = 1 ORDER BY sequence")
    done = redact(folder)
    assert (done["workspaces"], done["names"], done["events"]) == (3, 1, 0)
    assert is_anywhere(folder, SECRET) == []
    after = execute(folder, "SELECT sequence, digest FROM file_operation_log WHERE workspace_key = 1 ORDER BY sequence")
    assert after[: len(chain)] == chain  # every digest is what it was

    kept = keep(folder.parent, "kept", leaked.kept)
    result = run("verify", "--data", folder, "--key", leaked.key, "--checkpoint", kept)
    assert result.exit_code == 0, result.output
    assert "entries redacted" in result.stdout
    found = json.loads(run("verify", "--data", folder, "--json").stdout)["files"]
    verdicts = {verdict["workspace"]: verdict for verdict in found}
    assert {name: verdict["redacted"] > 0 for name, verdict in verdicts.items()} == {
        leaked.document: True,
        leaked.tree: True,
        leaked.pruned: True,
        leaked.untouched: False,
    }
    for version, text in enumerate(leaked.versions):
        shown = json.loads(run("cat", leaked.document, "--data", folder, "--version", version, "--json").stdout)["text"]
        assert len(shown) == len(text)
        if SECRET in text:
            assert shown == text.replace(SECRET, BLOCKS)
        assert shown.replace(FILLER, "") in text.replace(SECRET, "") or FILLER in shown
    last = len(leaked.versions)
    now = json.loads(run("cat", leaked.document, "--data", folder, "--version", last, "--json").stdout)["text"]
    assert now == leaked.versions[-1].replace(SECRET, BLOCKS)
    assert redact(folder)["entries"] == 0  # again there is nothing to do


async def test_a_server_goes_on_and_shows_what_is_left(leaked: Leaked) -> None:
    folder = leaked.folder
    await asyncio.to_thread(redact, folder)
    async with open_town_again(folder) as town:
        operator = town.of_folder()
        tree = await operator.get(f"/workspace/{leaked.tree}/fs/list")
        names = {item["name"] for item in tree["items"]}
        assert SECRET not in str(tree)
        assert "config" in names
        folder_name = next(item["path"] for item in tree["items"] if item["kind"] == "directory")
        (inside,) = (await operator.get(f"/workspace/{leaked.tree}/fs/list", params={"path": folder_name}))["items"]
        assert inside["name"].endswith(".txt")
        shown = await operator.get(f"/workspace/{leaked.tree}/fs/read", params={"path": inside["path"]})
        assert shown["text"] == f"{BLOCKS} {BLOCKS}"
        (old,) = (await operator.get(f"/workspace/{leaked.tree}/fs/trash"))["items"]
        await operator.post(f"/workspace/{leaked.tree}/fs/restore", {"fileId": old["fileId"]})
        assert (await operator.get(f"/workspace/{leaked.tree}/fs/read", params={"path": "old"}))["text"] == BLOCKS
        blame = await operator.get(f"/documents/{leaked.document}/history/blame")
        assert sum(run["length"] for run in blame["runs"]) == len(leaked.versions[-1])
        operations = await operator.get(f"/documents/{leaked.document}/history/operations?after=0")
        assert SECRET not in str(operations)
        assert SECRET not in str(await operator.get("/admin/documents"))
        begun = await operator.get(f"/documents/{leaked.pruned}/content?version=5")
        assert begun["text"] == f"4 {BLOCKS} 4"
        version = len(leaked.versions)
        place = await put(operator, leaked.document, "on and on", version)
        assert place is not None
        for which in (leaked.document, leaked.tree, leaked.pruned):
            bundle = await bundle_of(operator, which)
            assert SECRET.encode() not in bundle
            report = audit(bundle, leaked.key)
            assert report.findings == []
            assert report.redacted > 0
        events = (await operator.get(f"/documents/{leaked.document}/events"))["items"]
        (said,) = [event for event in events if event["action"] == "log.redacted"]
        assert (said["actor"], said["detail"]["reason"]) == ("operator", "it leaked")
    assert run("verify", "--data", folder).exit_code == 0


HARMS = [
    ("UPDATE redactions SET content = replace(content, 'it leaked', 'no reason')", "its signature does not fit"),
    ("DELETE FROM redactions", "its text was replaced, and no redaction says so"),
    (
        "UPDATE file_operation_log SET payload = CAST(replace(CAST(payload AS TEXT), '\u2588', 'x') AS BLOB)"
        " WHERE length(salt) = 48 AND instr(payload, x'e29688') > 0",
        "its text was replaced by another one than the redaction says",
    ),
    ("UPDATE file_operation_log SET salt = randomblob(48) WHERE length(salt) = 48", "its hash does not fit"),
    (
        "UPDATE file_operation_log SET salt = CAST(substr(salt, 1, 32) || '0123456789abcdef' AS BLOB)"
        " WHERE length(salt) = 48",
        "its text was replaced by another one than the redaction says",
    ),
    ("DELETE FROM access_events WHERE action = 'log.redacted'", "it is not among the access events"),
]


@pytest.fixture(scope="module")
def redacted(_leaked: Leaked, tmp_path_factory: pytest.TempPathFactory) -> Leaked:
    folder = Path(shutil.copytree(_leaked.folder, tmp_path_factory.mktemp("redacted") / "data"))
    redact(folder)
    return _leaked._replace(folder=folder)


@pytest.mark.parametrize(("harm", "words"), HARMS)
def test_nothing_else_can_be_put_in_its_place(redacted: Leaked, tmp_path: Path, harm: str, words: str) -> None:
    folder = Path(shutil.copytree(redacted.folder, tmp_path / "data"))
    with closing(sqlite3.connect(folder / "coscribe.db")) as db, db:
        db.execute("DROP TRIGGER access_events_no_delete")
        assert db.execute(harm).rowcount > 0
    result = run("verify", "--data", folder)
    assert result.exit_code == 1
    assert words in result.stdout


def test_again_with_something_else_in_the_same_entries(redacted: Leaked, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(redacted.folder, tmp_path / "data"))
    result = run("redact", "--pattern", "again", "--reason", "more", "--yes", "--data", folder)
    assert result.exit_code == 0, result.output
    result = run("verify", "--data", folder)
    assert result.exit_code == 0, result.output
    assert is_anywhere(folder, "again") == []


def test_a_backup_holds_it_still_and_can_be_redacted_itself(leaked: Leaked, tmp_path: Path) -> None:
    assert run("backup", "--data", leaked.folder, tmp_path / "backup").exit_code == 0
    redact(leaked.folder)
    assert "coscribe.db" in is_anywhere(tmp_path / "backup", SECRET)
    assert run("restore", tmp_path / "backup", "--data", tmp_path / "again").exit_code == 0
    redact(tmp_path / "again")
    assert is_anywhere(tmp_path / "again", SECRET) == []
    assert run("backup", "--data", tmp_path / "again", tmp_path / "backup2").exit_code == 0
    assert run("restore", tmp_path / "backup2", "--data", tmp_path / "third").exit_code == 0
    assert run("verify", "--data", tmp_path / "third").exit_code == 0


def test_a_damaged_log_is_evidence_and_stays(leaked: Leaked) -> None:
    execute(leaked.folder, "UPDATE file_operation_log SET time = time + 1 WHERE sequence = 8 AND workspace_key = 1")
    said = redact(leaked.folder, code=2)
    assert "the log does not fit at sequence 8" in said
    assert "coscribe.db" in is_anywhere(leaked.folder, SECRET)


def test_what_is_asked_for_wrongly_ends_with_advice(leaked: Leaked, tmp_path: Path) -> None:
    folder = leaked.folder
    for arguments, words in (
        (["--reason", "x", "--yes"], "give --text or --pattern"),
        (["--text", "a", "--pattern", "b", "--reason", "x", "--yes"], "give --text or --pattern"),
        (["--text", "a", "--yes"], "give --reason"),
        (["--text", "abc", "--reason", "it was abc", "--yes"], "the reason has it in it"),
        (["--pattern", "(", "--reason", "x", "--yes"], "invalid_request"),
        (["--pattern", "x*", "--reason", "x", "--yes"], "invalid_request"),
        (["--text", "abc", "--reason", "x"], "--yes"),
        (["nowhere", "--text", "abc", "--reason", "x", "--yes"], "there is no file 'nowhere'"),
    ):
        result = run("redact", *arguments, "--data", folder)
        assert result.exit_code == 2, result.output
        assert words in result.stderr
    with lock_folder(folder):
        assert "nobody answers" in redact(folder, code=2)  # a server runs, and --server names another place
    assert "there is no database" in redact(tmp_path / "nowhere", code=2)


async def test_access_events_stay_as_they_are_and_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_town(folder) as town:
        ben = await town.person("ben")
        document = await ben.document("Plan", "a plan")
        await ben.post(f"/documents/{document}/history/names", {"version": 1, "name": f"with {SECRET}"}, 201)
    done = await asyncio.to_thread(redact, folder)
    assert (done["names"], done["events"]) == (1, 1)
    assert run("verify", "--data", folder).exit_code == 0
    shown = await asyncio.to_thread(run, "redact", "--text", SECRET, "--dry-run", "--data", folder)
    assert "1 access events have it" in shown.stdout


async def test_clients_that_come_back_have_the_same_text(tmp_path: Path) -> None:
    """Who has typed meanwhile has lost nothing; who was away has the redaction as an operation like any other."""
    server = ServerProcess(tmp_path / "data")
    await asyncio.to_thread(server.start)
    secret = TOKEN_SECRET.encode()
    tokens = [make_token(secret, name, "editor", 3_600) for name in ("ann", "bob")]
    async with Client(server.url, tokens[0]) as one, Client(server.url, tokens[1]) as other:
        ann, bob = await one.open("shared"), await other.open("shared")
        for letter in f"begin {SECRET} end":
            ann.insert(len(ann.text), letter)
        await ann.synced()
        await bob._until(lambda: bob.text == ann.text)
        await asyncio.to_thread(server.stop)
        bob.insert(0, "typed meanwhile: ")
        await asyncio.to_thread(redact, tmp_path / "data")
        await asyncio.to_thread(server.start)
        for document in (ann, bob):
            await document.live()
            await document.synced()
        wanted = f"typed meanwhile: begin {BLOCKS} end"
        await ann._until(lambda: ann.text == wanted)
        await bob._until(lambda: bob.text == wanted)
    await asyncio.to_thread(server.stop)
    assert is_anywhere(tmp_path / "data", SECRET) == []
    assert run("verify", "--data", tmp_path / "data").exit_code == 0
