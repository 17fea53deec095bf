"""The text by HTTP: read, replace, operations. What a socket does at the same time is rebased, not lost."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.api.test_documents import invite
from tests.api.town import Person, Town


def plain(version: int | str, **more: str) -> dict[str, str]:
    tag = f'"v{version}"' if isinstance(version, int) else version
    return {"If-Match": tag, "Content-Type": "text/plain", **more}


async def put(person: Person, document: str, text: str, version: int, **more: str) -> Any:
    return await person.done(
        "PUT", f"/documents/{document}/content", 200, content=text.encode(), headers=plain(version, **more)
    )


def inserting(operation_id: str, position: int, text: str) -> dict[str, Any]:
    return {"operationId": operation_id, "operationType": "insert", "position": position, "payload": text}


async def text_of(person: Person, document: str, **query: int) -> str:
    return str((await person.get(f"/documents/{document}/content", params=query))["text"])


async def test_any_version_can_be_read(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    await put(ben, document, "one two", 1)
    await put(ben, document, "two", 2)
    assert [await text_of(ben, document, version=version) for version in range(4)] == ["", "one", "one two", "two"]
    await ben.refused("GET", f"/documents/{document}/content?version=4", "base_version_future")
    answer = await ben.ask("GET", f"/documents/{document}/content")
    assert (answer.headers["etag"], answer.json()["documentVersion"]) == ('"v3"', 3)


async def test_a_stale_text_is_rebased_and_drops_nothing(town: Town) -> None:
    """Two read version 1; each writes its own change. Both are there in the end."""
    ben = await town.person("ben")
    document = await ben.document("Plan", "first\nmiddle\nlast\n")
    await put(ben, document, "FIRST\nmiddle\nlast\n", 1)
    replaced = await put(ben, document, "first\nmiddle\nLAST 🙂\n", 1)
    assert replaced["documentVersion"] == 3
    assert await text_of(ben, document) == "FIRST\nmiddle\nLAST 🙂\n"


async def test_writing_what_is_there_already_is_no_operation(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one\n")
    assert await put(ben, document, "one\r\n", 1) == {"documentVersion": 1, "operation": None}


async def test_a_text_needs_the_version_it_was_read_at(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}/content"
    await ben.refused("PUT", path, "precondition_required", content="x", headers={"Content-Type": "text/plain"})
    await ben.refused("PUT", path, "precondition_failed", content="x", headers=plain('"banana"'))
    await ben.refused("PUT", path, "base_version_future", content="x", headers=plain(99))
    assert await text_of(ben, document) == "one"


async def test_a_text_sent_twice_is_written_once(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    send = [put(ben, document, "one two", 1, **{"Idempotency-Key": "k"}) for _ in range(5)]
    answers = await asyncio.gather(*send)
    assert all(answer == answers[0] for answer in answers)
    assert await text_of(ben, document) == "one two"


async def test_who_is_not_there_any_more_still_hears_of_a_text_that_was_written(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    await invite(ben, document, cleo, "editor")
    written = await put(cleo, document, "one two", 1, **{"Idempotency-Key": "k"})
    await ben.done("DELETE", f"/documents/{document}/members/{cleo.id}", 200)
    assert await put(cleo, document, "one two", 1, **{"Idempotency-Key": "k"}) == written
    path = f"/documents/{document}/content"
    await cleo.refused("PUT", path, "file_not_found", content="x", headers=plain(1, **{"Idempotency-Key": "other"}))
    stranger = await town.person("dora")
    await stranger.refused("PUT", path, "file_not_found", content="x", headers=plain(1, **{"Idempotency-Key": "k"}))


async def test_operations_have_their_places_and_keep_them(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}/operations"
    body = {"baseVersion": 1, "operations": [inserting("bot:1", 3, " two"), inserting("bot:2", 7, " three")]}
    first = await ben.post(path, body)
    assert [place["serverSequenceId"] for place in first["operations"]] == [2, 3]
    assert await ben.post(path, body) == first
    assert await text_of(ben, document) == "one two three"
    await ben.refused("POST", path, "chain_mismatch", json={**body, "baseVersion": 0})
    one = {"baseVersion": 1, "operations": [inserting("bot:1", 0, "!")]}
    await ben.refused("POST", path, "operation_id_reused", json=one)
    await ben.refused("POST", path, "position_out_of_range", json={**one, "operations": [inserting("bot:3", 99, "!")]})
    assert await text_of(ben, document) == "one two three"


async def test_who_lost_the_right_still_hears_what_was_committed(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    await invite(ben, document, cleo, "editor")
    path = f"/documents/{document}/operations"
    body = {"baseVersion": 1, "operations": [inserting("cleo:1", 3, "!")]}
    placed = await cleo.post(path, body)
    members = f"/documents/{document}/members/{cleo.id}"
    await ben.done("PUT", members, 200, json={"role": "viewer"})
    assert await cleo.post(path, body) == placed
    other = {"baseVersion": 1, "operations": [inserting("cleo:2", 3, "!")]}
    await cleo.refused("POST", path, "permission_denied", json=other)
    await ben.done("DELETE", members, 200)
    assert await cleo.post(path, body) == placed, "nor has it to be pasted again by who is not there any more"
    await cleo.refused("POST", path, "file_not_found", json=other)
    await cleo.refused("POST", path, "file_not_found", json={**body, "baseVersion": 0})
    stranger = await town.person("dora")
    await stranger.refused("POST", path, "file_not_found", json=body)
    assert await text_of(ben, document) == "one!"


async def test_edits_of_a_bot_are_signed_by_bot_and_owner(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    token = await ben.post("/account/tokens", {"name": "bot", "scope": "edit"}, 201)
    bot = town.with_token(token["secret"])
    await bot.post(f"/documents/{document}/operations", {"baseVersion": 1, "operations": [inserting("b:1", 0, "x")]})
    session = town.coscribe.collaboration.router.sessions[document]
    authors = [entry.author for entry in session.files[document].state.window.entries_after(0)]
    assert authors == [ben.id, f"{ben.id}+{token['tokenId']}"]
