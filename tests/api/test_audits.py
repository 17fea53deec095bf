"""Signed checkpoints by HTTP, and what `coscribe verify` makes of those that were kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner, Result

from coscribe.access import auditing
from coscribe.access.auditing import Audits
from coscribe.cli import app
from coscribe.documents.proofs import read_checkpoint
from coscribe.persistence.schema import audit_checkpoints
from coscribe.persistence.signing import FILE, new_key, public_key, replace_key, signing_key
from tests.api.test_content import put
from tests.api.test_documents import invite
from tests.api.town import Person, Town, open_town
from tests.forging import rewrite

pytestmark = pytest.mark.slow


def verify(folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", "--data", str(folder), *map(str, arguments)])


async def typed(person: Person, document: str, begin: int, end: int) -> None:
    for version in range(begin, end):
        await put(person, document, "".join(f"line {number}\n" for number in range(version + 1)), version)


async def written(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """A document with 120 entries, and the checkpoints that were taken at 90, 110 and 120."""
    async with open_town(folder) as town:
        ben = await town.person("ben")
        document, taken, version = await ben.document("Plan"), [], 0
        for end in (90, 110, 120):
            await typed(ben, document, version, end)
            version = end
            taken.append(await ben.post(f"/documents/{document}/checkpoints", status=201))
    return document, taken


def keep(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


async def test_checkpoints_are_taken_shown_and_chained(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}/checkpoints"
    assert (await ben.get(path))["items"] == []
    first = await ben.post(path, status=201)
    assert await ben.post(path, status=201) == first
    assert (first["number"], first["sequence"], first["previous"]) == (1, 1, "0" * 64)
    await put(ben, document, "two", 1)
    second = await ben.post(path, status=201)
    made = read_checkpoint(json.dumps(first))
    assert (second["number"], second["sequence"], second["previous"]) == (2, 2, made.digest)
    await invite(ben, document, cleo, "viewer")
    assert (await ben.post(path, status=201))["number"] == 3
    assert (await cleo.get(path))["items"][0]["number"] == 3
    page = await cleo.get(f"{path}?limit=2")
    assert [item["number"] for item in page["items"]] == [3, 2]
    assert (await cleo.get(f"{path}?cursor={page['nextCursor']}"))["items"] == [first]
    await cleo.refused("POST", path, "permission_denied")


@pytest.mark.of_a_file
async def test_the_key_changes_and_whoever_kept_the_old_one_can_follow(town: Town) -> None:
    ben, folder = await town.person("ben"), town.coscribe.settings.folder
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}/checkpoints"
    first = await ben.post(path, status=201)
    before = await town.nobody().get("/audit/key")
    await ben.refused("POST", "/admin/audit-keys", "permission_denied")
    after = await town.ada.post("/admin/audit-keys", status=201)
    assert after["publicKey"] != before["publicKey"]
    assert [change["before"] for change in after["changes"]] == [before["publicKey"]]
    key = public_key(folder)
    assert key is not None
    assert key.hex == after["publicKey"]
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    await put(ben, document, "two", 1)
    second = await ben.post(path, status=201)
    assert (first["keyId"], second["keyId"]) == (before["keyId"], after["keyId"])
    for public in (before["publicKey"], after["publicKey"]):
        result = verify(folder, "--key", public)
        assert result.exit_code == 0, result.output
        assert "2 audit checkpoints" in result.stdout
    assert verify(folder, "--key", new_key().public.hex).exit_code == 1


async def test_they_are_taken_by_themselves_when_they_are_due(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "DUE_PAGE", 2)
    ben, folder = await town.person("ben"), town.coscribe.settings.folder
    for number in range(5):
        await ben.document(f"Plan {number}", "one")
    await ben.document("Empty")
    clock = [0]
    audits = Audits(
        town.coscribe.people.database,
        lambda: signing_key(folder),
        new_key,
        lambda key: replace_key(folder, key),
        lambda: clock[0],
        1_000,
    )
    assert await audits.take_due() == 0
    clock[0] = 2**60
    assert await audits.take_due() == 5
    assert await audits.take_due() == 0
    documents = (await ben.get("/documents"))["items"]
    document = next(row["documentId"] for row in documents if row["name"] == "Plan 3")
    await put(ben, document, "two", 1)
    assert await audits.take_due() == 0
    clock[0] += 1_000
    assert await audits.take_due() == 1


@pytest.fixture(scope="module")
def _written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[dict[str, Any]]]:
    import asyncio

    folder = tmp_path_factory.mktemp("kept") / "data"
    return folder, *asyncio.run(written(folder))


@pytest.fixture
def kept(
    _written: tuple[Path, str, list[dict[str, Any]]], tmp_path: Path
) -> tuple[Path, str, list[dict[str, Any]], Path]:
    """A data folder, to do anything with, and what somebody has kept: document, checkpoints, and a folder for them."""
    import shutil

    folder, document, taken = _written
    return Path(shutil.copytree(folder, tmp_path / "data")), document, taken, tmp_path


Kept = tuple[Path, str, list[dict[str, Any]], Path]


def test_a_kept_checkpoint_fits(kept: Kept) -> None:
    folder, document, taken, elsewhere = kept
    files = [keep(elsewhere, f"{number}.json", found) for number, found in enumerate(taken)]
    result = verify(folder, *(part for path in files for part in ("--checkpoint", path)), "--json")
    assert result.exit_code == 0, result.output
    (verdict,) = json.loads(result.stdout)["files"]
    assert (verdict["file"], verdict["checkpoints"]) == (document, 6)


def test_who_rewrites_an_entry_and_signs_everything_again_is_found_by_a_kept_checkpoint(kept: Kept) -> None:
    folder, document, taken, elsewhere = kept
    rewrite(folder, document, 100, "LINE 99\n")
    result = verify(folder)
    assert result.exit_code == 0, result.output  # inside, everything fits
    assert "3 audit checkpoints" in result.stdout
    for found in taken[1:]:
        path = keep(elsewhere, "old", found)
        result = verify(folder, "--checkpoint", path)
        assert result.exit_code == 1
        place = f"sequence {found['sequence']}: the log is another one than the checkpoint {found['number']} in {path}"
        assert place in result.stdout
        assert f"it forks at an entry from 1 to {found['sequence']}" in result.stdout
        assert "the database has another one of that number: its past was changed" in result.stdout
    first = keep(elsewhere, "first", taken[0])
    assert verify(folder, "--checkpoint", first).exit_code == 0
    # Two of them show that all up to 90 is as it was.
    result = verify(folder, "--checkpoint", keep(elsewhere, "old", taken[1]), "--checkpoint", first)
    assert "it forks at an entry from 91 to 110" in result.stdout


def test_an_end_that_was_cut_off_is_found_by_a_kept_checkpoint(kept: Kept) -> None:
    folder, _, taken, elsewhere = kept
    with closing(sqlite3.connect(folder / "coscribe.db")) as db, db:
        (digest,) = db.execute("SELECT digest FROM file_operation_log WHERE sequence = 110").fetchone()
        db.execute("DELETE FROM file_operation_log WHERE sequence > 110")
        db.execute("DELETE FROM file_snapshots WHERE sequence > 110")
        db.execute("UPDATE heads SET last_sequence = 110, chain_hash = ?", (digest,))
        db.execute("DELETE FROM audit_checkpoints WHERE sequence > 110")
    assert verify(folder).exit_code == 0
    result = verify(folder, "--checkpoint", keep(elsewhere, "old", taken[2]))
    assert result.exit_code == 1
    assert "the log ends at sequence 110, the checkpoint 3" in result.stdout


HARMS = [
    ("DELETE FROM audit_checkpoints WHERE number = 1", "audit checkpoint 2: the ones before it are missing"),
    ("DELETE FROM audit_checkpoints WHERE number = 2", "audit checkpoint 3: it comes behind number 1"),
    ("UPDATE audit_checkpoints SET content = replace(content, '\"sequence\":90', '\"sequence\":91')", "its signature"),
    ("UPDATE audit_checkpoints SET content = 'x'", "a stored audit checkpoint cannot be read"),
    ("DELETE FROM access_events WHERE event_id = (SELECT max(event_id) FROM access_events)", "their end was cut off"),
    (
        "UPDATE access_events SET workspace_id = 'other' WHERE action = 'document.made'",
        "the access events about the workspace are others than it says",
    ),
]


@pytest.mark.parametrize(("harm", "words"), HARMS)
def test_whatever_is_changed_is_found(kept: Kept, harm: str, words: str) -> None:
    folder, *_ = kept
    with closing(sqlite3.connect(folder / "coscribe.db")) as db, db:
        for change in ("update", "delete"):
            db.execute(f"DROP TRIGGER access_events_no_{change}")
        db.execute(harm)
    result = verify(folder)
    assert result.exit_code == 1
    assert words in result.stdout


def test_what_is_no_checkpoint_ends_with_advice(kept: Kept) -> None:
    folder, _, taken, elsewhere = kept
    contents: list[object] = ["x", {"items": []}, {**taken[0], "more": 1}]
    for content in contents:
        result = verify(folder, "--checkpoint", keep(elsewhere, "old", content))
        assert result.exit_code == 2
        assert "coscribe audit checkpoint" in result.stderr
    assert verify(folder, "--checkpoint", elsewhere / "nothing").exit_code == 2
    assert verify(folder, "--key", "nonsense").exit_code == 2
    other = keep(elsewhere, "old", {**taken[0], "workspaceId": "doc_other"})
    assert "there is no file 'doc_other'" in verify(folder, "--checkpoint", other).stderr


async def test_a_deleted_document_takes_its_checkpoints_along(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    await ben.post(f"/documents/{document}/checkpoints", status=201)
    await ben.post(f"/documents/{document}/trash")
    await ben.done("DELETE", f"/documents/{document}", 204)
    await town.coscribe.people.services.documents.purge()
    left = select(func.count()).select_from(audit_checkpoints)
    assert await town.coscribe.people.database.read(lambda connection: connection.scalar(left)) == 0
