"""A legal hold beats everything that would delete something: a table of what is tried, refused and recorded. And what
erasing an account does to trees and bundles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner, Result

from coscribe.cli import app
from coscribe.config import Settings
from coscribe.persistence.schema import access_events
from coscribe.persistence.stored import engine_for, reading
from tests.api.test_bundles import audit, bundle_of
from tests.api.test_content import put
from tests.api.test_documents import invite
from tests.api.test_retention import hold
from tests.api.town import PASSWORD, Person, Town, open_town

pytestmark = pytest.mark.slow

SECRET = "hunter2"

Try = Callable[[Person, Person, str], Awaitable[Any]]


async def delete(ben: Person, _: Person, document: str) -> None:
    await ben.post(f"/documents/{document}/trash")
    await ben.refused("DELETE", f"/documents/{document}", "legal_hold")


async def shorten(ben: Person, _: Person, document: str) -> None:
    await ben.refused("PUT", f"/documents/{document}/retention", "legal_hold", json={"days": 1})


async def erase_the_owner(ben: Person, _: Person, document: str) -> None:
    await ben.refused("POST", "/account/delete", "legal_hold", json={"currentPassword": PASSWORD})


async def erase_an_editor(_: Person, cleo: Person, document: str) -> None:
    await cleo.refused("POST", "/account/delete", "legal_hold", json={"currentPassword": PASSWORD})


async def erase_who_has_left(ben: Person, cleo: Person, document: str) -> None:
    await ben.done("DELETE", f"/documents/{document}/members/{cleo.id}", 200)
    await erase_an_editor(ben, cleo, document)


ONLINE: list[Try] = [delete, shorten, erase_the_owner, erase_an_editor, erase_who_has_left]


async def held(town: Town, kind: str) -> tuple[Person, Person, str]:
    """Owner, an editor who has written, and a document or workspace under legal hold with a secret in it."""
    ben, cleo = await town.person("ben"), await town.person("cleo")
    if kind == "document":
        which = await ben.document("Plan", f"one {SECRET}")
        await invite(ben, which, cleo, "editor")
        await put(cleo, which, f"two {SECRET}", 1)
    else:
        which = await ben.workspace("Plan", plan=f"one {SECRET}")
        await invite(ben, which, cleo, "editor")
        await cleo.write(which, "more", f"two {SECRET}")
    await hold(town, which)
    return ben, cleo, which


def log_of(where: Path | str, which: str) -> list[tuple[int, str, bytes]]:
    with reading(where) as log:
        (found,) = [workspace for workspace in log.workspaces() if workspace.workspace_id == which]
        return [(entry.sequence, entry.author, entry.payload) for entry in log.entries(found.key)]


def refusals(where: Path | str) -> int:
    held = select(func.count()).where(access_events.c.outcome == "legal_hold")
    with engine_for(where, read_only=True).connect() as connection:
        return connection.scalar(held) or 0


@pytest.mark.parametrize("kind", ["document", "workspace"])
@pytest.mark.parametrize("attempt", ONLINE, ids=lambda attempt: attempt.__name__)
async def test_what_is_tried_on_a_server_is_refused_and_recorded(town: Town, attempt: Try, kind: str) -> None:
    ben, cleo, which = await held(town, kind)
    where = town.coscribe.settings.where
    before = log_of(where, which)
    await attempt(ben, cleo, which)
    await town.coscribe.people.notes.flush()
    assert refusals(where) == 1
    await town.coscribe.people.services.documents.purge()
    assert log_of(where, which) == before
    assert {author for _, author, _ in before} == {ben.id, cleo.id}


def run(folder: Path, *arguments: object, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, [*map(str, arguments), "--data", str(folder)])


def redact(folder: Path, which: str) -> Result:
    return run(folder, "redact", which, "--text", SECRET, "--reason", "it leaked", "--yes")


def redact_everywhere(folder: Path, _: str) -> Result:
    return run(folder, "redact", "--pattern", "hunter[0-9]", "--reason", "it leaked", "--yes")


def prune(folder: Path, _: str) -> Result:
    return run(folder, "prune", "--ids", COSCRIBE_RETENTION_DAYS="1")


OFFLINE = [
    ("document", redact),
    ("workspace", redact),
    ("document", redact_everywhere),
    ("workspace", redact_everywhere),
    ("document", prune),
]


@pytest.mark.of_a_file
@pytest.mark.parametrize(("kind", "attempt"), OFFLINE, ids=lambda each: getattr(each, "__name__", each))
async def test_what_is_tried_on_the_folder_is_refused_and_recorded(
    tmp_path: Path, kind: str, attempt: Callable[[Path, str], Result]
) -> None:
    folder = tmp_path / "data"
    async with open_town(folder) as town:
        _, _, which = await held(town, kind)
    before = log_of(Settings(folder=folder).database, which)
    result = await asyncio.to_thread(attempt, folder, which)
    assert result.exit_code == 1, result.output
    assert "legal_hold" in result.stderr
    assert which in result.stderr
    assert refusals(Settings(folder=folder).database) == 1
    assert log_of(Settings(folder=folder).database, which) == before
    assert run(folder, "verify").exit_code == 0


@pytest.mark.of_a_file
async def test_released_it_can_all_be_done(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_town(folder) as town:
        _, cleo, which = await held(town, "document")
        await town.ada.done("DELETE", f"/admin/documents/{which}/hold", 200)
        await cleo.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    assert (await asyncio.to_thread(redact, folder, which)).exit_code == 0
    assert SECRET.encode() not in Settings(folder=folder).database.read_bytes()


async def test_who_is_erased_is_nobody_in_the_log_of_a_tree_and_in_its_bundle(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    tree = await ben.workspace("Tree", one="1")
    await invite(ben, tree, cleo, "editor")
    await cleo.write(tree, "two", "2")
    await cleo.post(f"/workspace/{tree}/fs/rename", {"source": "one", "target": "uno"})
    key = (await town.nobody().get("/audit/key"))["publicKey"]

    def authors(bundle: bytes) -> set[str]:
        lines = [json.loads(line) for line in bundle.splitlines()]
        return {line["author"] for line in lines if line["type"] == "entry"}

    before = await bundle_of(ben, tree)
    assert authors(before) == {ben.id, cleo.id}
    await cleo.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    after = await bundle_of(ben, tree)
    assert ben.id in authors(after)
    assert [author for author in authors(after) if author.startswith("erased-")] != []
    assert cleo.id not in authors(after)
    for bundle in (before, after):
        assert b"Cleo" not in bundle
        assert audit(bundle, key).findings == []
