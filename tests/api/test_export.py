"""Many documents as one archive."""

from __future__ import annotations

import io
from typing import Any
from zipfile import ZipFile

import pytest

from coscribe.access import documents as documents_module
from coscribe.core.errors import Code, CoscribeError
from tests.api.test_content import put
from tests.api.test_documents import invite
from tests.api.town import Person, Town

pytestmark = pytest.mark.slow


async def archive(person: Person, *document_ids: str) -> dict[str, str]:
    """Names and texts of an export."""
    answer = await person.ask("GET", "/documents/export", params={"documentId": list(document_ids)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="documents.zip"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    with ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        return {name: found.read(name).decode() for name in found.namelist()}


async def test_all_that_one_may_read_is_in_it(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    assert await archive(ben) == {}
    mine, shared = await ben.document("Mine", "my text 🙂\n"), await cleo.document("Hers", "her text")
    await cleo.document("Secret", "not for ben")
    archived, trashed = await ben.document("Archived", "kept"), await ben.document("Trashed", "gone")
    await invite(cleo, shared, ben, "viewer")
    await ben.post(f"/documents/{archived}/archive")
    await ben.post(f"/documents/{trashed}/trash")
    assert await archive(ben) == {"Mine.txt": "my text 🙂\n", "Hers.txt": "her text", "Archived.txt": "kept"}
    assert await archive(ben, mine, shared, mine) == {"Mine.txt": "my text 🙂\n", "Hers.txt": "her text"}
    for other in (trashed, "doc_none"):
        await ben.refused("GET", "/documents/export", "file_not_found", params={"documentId": [mine, other]})


async def test_names_are_safe_and_no_two_are_the_same(town: Town) -> None:
    ben = await town.person("ben")
    names = ["Plan", "plan", "../../etc/passwd", "CON", "a.md", "A.md", "é" * 250, "é" * 251, "NOT EXPORTED", "..."]
    for number, name in enumerate(names):
        await ben.document(name, str(number))
    found = await archive(ben)
    assert sorted(found.values(), key=int) == [str(number) for number in range(len(names))]
    assert {"Plan.txt", "plan (2).txt", "_CON.txt", "a.md", "A (2).md", "NOT EXPORTED (2).txt", "document.txt"} <= set(
        found
    )
    assert not any("/" in name or "\\" in name or len(name.encode()) > 255 for name in found)
    assert len({name.casefold() for name in found}) == len(names)


async def test_too_much_is_refused_before_it_begins(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ben = await town.person("ben")
    first, second = await ben.document("One", "x" * 600), await ben.document("Two", "y" * 600)
    monkeypatch.setattr(documents_module, "MAX_EXPORTED_BYTES", 1_000)
    assert (await ben.refused("GET", "/documents/export", "export_too_large")).status_code == 413
    assert set(await archive(ben, first)) == {"One.txt"}
    await put(ben, first, "x" * 1_200, 1)
    await ben.refused("GET", "/documents/export", "export_too_large", params={"documentId": first})
    monkeypatch.setattr(documents_module, "MAX_EXPORTED_BYTES", 10_000)
    monkeypatch.setattr(documents_module, "MAX_EXPORTED", 1)
    await ben.refused("GET", "/documents/export", "export_too_large")
    assert set(await archive(ben, second)) == {"Two.txt"}


async def test_what_cannot_be_read_is_named(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ben = await town.person("ben")
    good, bad = await ben.document("Good", "fine"), await ben.document("Bad", "lost")
    text = town.coscribe.collaboration.text

    async def failing(identity: Any, file_id: str, version: int | None = None) -> Any:
        if file_id == bad:
            raise CoscribeError(Code.FILE_DAMAGED)
        return await text(identity, file_id, version)

    monkeypatch.setattr(town.coscribe.collaboration, "text", failing)
    assert await archive(ben) == {"Good.txt": "fine", "NOT EXPORTED.txt": f"Bad ({bad}): file_damaged\n"}
    assert good


async def test_who_has_no_account_exports_nothing(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "x")
    await town.nobody().refused("GET", "/documents/export", "sign_in_required")
    token = await ben.post("/account/tokens", {"name": "bot", "scope": "read", "documentId": document}, 201)
    await town.with_token(token["secret"]).refused("GET", "/documents/export", "permission_denied")
    token = await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    assert await archive(town.with_token(token["secret"])) == {"Plan.txt": "x"}
