"""Documents by HTTP: make, find, rename, duplicate, archive, trash, delete; the same request twice."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select

from coscribe.access import documents
from coscribe.documents.ports import SegmentSize
from coscribe.persistence.database import Job
from coscribe.persistence.schema import (
    file_operation_log,
    idempotent_answers,
    log_segments,
    operation_runs,
    workspaces,
)
from tests.api.town import Person, Town

LOG = (file_operation_log, operation_runs, log_segments)


async def written(person: Person, count: int) -> str:
    """A document with so many operations, one after the other, behind its first."""
    document = await person.document("Long", "x")
    for number in range(count):
        operation = {"operationId": f"w:{number}", "operationType": "insert", "position": 0, "payload": "y"}
        await person.post(f"/documents/{document}/operations", {"baseVersion": number + 1, "operations": [operation]})
    return document


async def names(person: Person, **query: str) -> list[str]:
    return [item["name"] for item in (await person.get("/documents", params=query))["items"]]


async def test_a_new_document_is_its_makers(town: Town) -> None:
    ben = await town.person("ben")
    answer = await ben.ask("POST", "/documents", json={"name": " Notes ", "text": "a\r\nb"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["role"], made["status"]) == ("Notes", "owner", "active")
    assert answer.headers["location"] == f"/api/documents/{made['documentId']}"
    assert (await ben.get(f"/documents/{made['documentId']}/content"))["text"] == "a\nb"


async def test_lists_say_whose_it_is_and_page_without_gaps(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    mine = [await ben.document(f"mine {number}") for number in range(5)]
    shared = await cleo.document("hers")
    await invite(cleo, shared, ben, "viewer")
    assert await names(ben, which="mine") == [f"mine {number}" for number in reversed(range(5))]
    assert await names(ben, which="shared") == ["hers"]
    assert len(await names(ben)) == 6
    assert await names(ben, query="MINE 3") == ["mine 3"]
    assert await names(ben, which="recent") == []
    await ben.get(f"/documents/{mine[2]}/content")
    await ben.get(f"/documents/{shared}/content")
    await town.coscribe.people.notes.flush()
    assert await names(ben, which="recent") == ["hers", "mine 2"]

    seen: list[str] = []
    cursor = ""
    while True:
        page = await ben.get("/documents", params={"limit": 2, "cursor": cursor})
        seen += [item["documentId"] for item in page["items"]]
        cursor = page["nextCursor"]
        if len(seen) == 2:
            await ben.document("one more, meanwhile")
        if not cursor:
            break
    assert seen == [shared, *reversed(mine)]
    await ben.refused("GET", "/documents?cursor=nonsense", "invalid_request")


async def invite(owner: Person, document_id: str, guest: Person, role: str) -> None:
    """Invites somebody, who accepts."""
    await owner.post(f"/documents/{document_id}/invitations", {"who": guest.handle, "role": role}, 201)
    inbox = (await guest.get("/invitations"))["items"]
    invitation = next(item for item in inbox if item["documentId"] == document_id)
    await guest.done("POST", f"/invitations/{invitation['invitationId']}/accept", 200)


async def test_renaming_asks_for_the_state_that_was_read(town: Town) -> None:
    ben = await town.person("ben")
    path = f"/documents/{await ben.document('old')}"
    await ben.refused("PATCH", path, "precondition_required", json={"name": "new"})
    await ben.refused("PATCH", path, "precondition_failed", json={"name": "new"}, headers={"If-Match": '"r9"'})
    tag = (await ben.ask("GET", path)).headers["etag"]
    renamed = await ben.ask("PATCH", path, json={"name": "new"}, headers={"If-Match": tag})
    assert (renamed.json()["name"], renamed.headers["etag"]) == ("new", '"r2"')
    await ben.refused("PATCH", path, "precondition_failed", json={"name": "newer"}, headers={"If-Match": tag})


async def test_a_duplicate_has_the_text_and_nobody_else(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    original = await ben.document("Plan", "one\ntwo\n")
    await invite(ben, original, cleo, "viewer")
    copy = await cleo.post(f"/documents/{original}/duplicate", None, 201)
    assert (copy["name"], copy["role"]) == ("Copy of Plan", "owner")
    assert (await cleo.get(f"/documents/{copy['documentId']}/content"))["text"] == "one\ntwo\n"
    await ben.refused("GET", f"/documents/{copy['documentId']}", "file_not_found")


async def test_the_archive_is_for_reading(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    assert (await ben.post(f"/documents/{document}/archive"))["status"] == "archived"
    assert (await ben.get(f"/documents/{document}/content"))["text"] == "one"
    headers = {"If-Match": '"v1"', "Content-Type": "text/plain"}
    await ben.refused("PUT", f"/documents/{document}/content", "permission_denied", content="two", headers=headers)
    assert await names(ben) == []
    assert await names(ben, status="archived") == ["Plan"]
    await ben.post(f"/documents/{document}/restore")
    await ben.done("PUT", f"/documents/{document}/content", 200, content="two", headers=headers)


async def test_the_trash_is_its_owners_and_deleting_is_for_good(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    await invite(ben, document, cleo, "editor")
    await ben.refused("DELETE", f"/documents/{document}", "conflict")
    await cleo.refused("POST", f"/documents/{document}/trash", "permission_denied")
    await ben.post(f"/documents/{document}/trash")
    await cleo.refused("GET", f"/documents/{document}", "file_not_found")
    await ben.refused("GET", f"/documents/{document}/content", "file_not_found")
    assert await names(ben, status="trashed") == ["Plan"]
    await ben.post(f"/documents/{document}/restore")
    assert (await cleo.get(f"/documents/{document}/content"))["text"] == "one"

    await ben.post(f"/documents/{document}/trash")
    await ben.done("DELETE", f"/documents/{document}", 204)
    await ben.refused("GET", f"/documents/{document}", "file_not_found")
    await town.of_folder().refused("GET", f"/documents/{document}/content", "file_not_found")
    database = town.coscribe.people.database
    assert await database.read(lambda db: db.execute(select(file_operation_log)).all()) == []
    left = await database.read(lambda db: db.execute(select(workspaces.c.status, workspaces.c.name)).all())
    assert [tuple(row) for row in left] == [("deleted", "")], "the id stays taken"


async def test_a_deletion_that_was_cut_off_is_finished_at_the_next_start(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    await ben.post(f"/documents/{document}/trash")
    documents = town.coscribe.people.services.documents
    caller = await town.coscribe.people.authentication.caller(ben.access_token)
    await documents.delete(caller, document)
    assert await documents.purge() == 1
    assert await documents.purge() == 0


async def test_a_long_log_is_deleted_in_pieces(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, runs of ids and segments: a few in each transaction, none left for the head to take with it."""
    monkeypatch.setattr(documents, "PURGE_ROWS", 4)
    monkeypatch.setattr(documents, "PURGE_SEGMENTS", 2)
    ben = await town.person("ben")
    document = await written(ben, 40)
    storage, database = town.coscribe.storage, town.coscribe.people.database
    workspace = await storage.acquire(document)
    assert workspace is not None
    while await storage.compact(workspace.key, 30, SegmentSize(5, 10**6, 5)) is not None:
        pass

    def left(db: Connection) -> list[int]:
        counts = [
            select(func.count()).select_from(table).where(table.c.workspace_key == workspace.key) for table in LOG
        ]
        return [db.execute(count).scalar_one() for count in counts]

    seen = [await database.read(left)]
    write = database.write

    async def watched(job: Job[Any]) -> Any:
        done = await write(job)
        seen.append(await database.read(left))
        return done

    await ben.post(f"/documents/{document}/trash")
    monkeypatch.setattr(database, "write", watched)
    await ben.done("DELETE", f"/documents/{document}", 204)
    assert [each > most for each, most in zip(seen[0], (4, 4, 2), strict=True)] == [True] * 3
    assert seen[-1] == seen[-2] == [0, 0, 0], "the head is the last thing to go"
    for before, after in pairwise(seen):
        gone = [each - rest for each, rest in zip(before, after, strict=True)]
        assert gone[0] <= 4 and gone[1] <= 4 and gone[2] <= 2 and sum(map(bool, gone)) <= 1


@pytest.mark.both_databases
async def test_the_same_request_again_makes_one_document(town: Town) -> None:
    ben = await town.person("ben")
    key = {"Idempotency-Key": "a-key"}
    body = {"name": "Plan", "text": "one"}
    answers = await asyncio.gather(*(ben.ask("POST", "/documents", json=body, headers=key) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["documentId"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 9
    assert await names(ben) == ["Plan"]
    await ben.refused("POST", "/documents", "idempotency_key_reused", json={"name": "Other"}, headers=key)
    cleo = await town.person("cleo")
    await cleo.done("POST", "/documents", 201, json={"name": "Other"}, headers=key)


@pytest.mark.both_databases
async def test_a_request_that_was_cut_off_before_its_answer_makes_no_second_document(town: Town) -> None:
    """The answer was not kept, as if the server had died; the document and a part of its text are there."""
    ben = await town.person("ben")
    key = {"Idempotency-Key": "a-key"}
    body = {"name": "Plan", "text": "one"}
    first = await ben.done("POST", "/documents", 201, json=body, headers=key)
    await town.coscribe.people.database.write(lambda db: db.execute(delete(idempotent_answers)))
    again = await ben.done("POST", "/documents", 201, json=body, headers=key)
    assert again["documentId"] == first["documentId"]
    assert (await ben.get(f"/documents/{first['documentId']}/content"))["text"] == "one"
    assert await names(ben) == ["Plan"]


async def test_a_refused_request_may_come_again_under_its_key(town: Town) -> None:
    ben = await town.person("ben")
    key = {"Idempotency-Key": "a-key"}
    await ben.refused("POST", "/documents", "invalid_request", json={"name": ""}, headers=key)
    await ben.done("POST", "/documents", 201, json={"name": "Plan"}, headers=key)


async def test_a_text_that_cannot_be_taken_leaves_no_document(town: Town) -> None:
    ben = await town.person("ben")
    answer = await ben.ask(
        "POST", "/documents/import?name=Plan", content=b"a\0b", headers={"Content-Type": "text/plain"}
    )
    assert answer.json()["code"] == "invalid_text"
    assert await names(ben) == []


async def test_importing_and_taking_along(town: Town) -> None:
    ben = await town.person("ben")
    text = "Größe 🙂\n" * 200_000
    made = await ben.done(
        "POST", "/documents/import?name=Big", 201, content=text.encode(), headers={"Content-Type": "text/plain"}
    )
    answer = await ben.ask("GET", f"/documents/{made['documentId']}/content", headers={"Accept": "text/plain"})
    assert answer.text == text
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Big.txt"
    assert answer.headers["x-content-type-options"] == "nosniff"
    await ben.refused(
        "POST", "/documents/import?name=x", "invalid_text", content=b"\xff", headers={"Content-Type": "text/plain"}
    )
    await ben.refused("POST", "/documents/import?name=x", "unsupported_media_type", json={})


async def test_an_administrator_sees_names_but_no_text(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Diary", "secret")
    everything = await town.ada.get("/admin/documents")
    assert [(item["name"], item["role"]) for item in everything["items"]] == [("Diary", None)]
    assert (await town.ada.get(f"/documents/{document}"))["role"] is None
    await town.ada.refused("GET", f"/documents/{document}/content", "file_not_found")
    await ben.refused("GET", "/admin/documents", "permission_denied")
