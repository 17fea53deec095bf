"""The past by HTTP: who may read it, what it looks like, names, and the way back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from coscribe.model import decode_payload
from coscribe.persistence.schema import access_requests, named_versions
from tests.api.sockets import Socket
from tests.api.test_content import put, text_of
from tests.api.test_documents import invite
from tests.api.town import PASSWORD, Person, Town


async def written_by_two(town: Town) -> tuple[Person, Person, str]:
    """``ben`` begins with "one", ``cleo``, an editor, makes "one two" of it, ``ben`` deletes "one "."""
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    await invite(ben, document, cleo, "editor")
    await put(cleo, document, "one two", 1)
    await put(ben, document, "two", 2)
    return ben, cleo, document


async def test_sessions_name_who_edited_and_what_is_named(town: Town) -> None:
    ben, cleo, document = await written_by_two(town)
    path = f"/documents/{document}/history"
    named = await cleo.post(f"{path}/names", {"version": 2, "name": " Both "}, 201)
    assert (named["version"], named["name"], named["namedBy"]) == (2, "Both", cleo.id)
    page = await ben.get(f"{path}/sessions")
    shown = [
        (one["author"]["displayName"], one["fromVersion"], one["toVersion"], one["inserted"], one["deleted"])
        for one in page["items"]
    ]
    assert shown == [("Ben", 2, 3, 0, 4), ("Cleo", 1, 2, 4, 0), ("Ben", 0, 1, 3, 0)]
    assert [[name["name"] for name in one["names"]] for one in page["items"]] == [[], ["Both"], []]
    assert page["nextBefore"] is None
    first = await ben.get(f"{path}/sessions", params={"limit": 1})
    rest = await ben.get(f"{path}/sessions", params={"before": first["nextBefore"]})
    assert first["items"] + rest["items"] == page["items"]
    await ben.refused("GET", f"{path}/sessions?before=9", "base_version_future")


async def test_operations_and_blame_name_their_authors_once(town: Town) -> None:
    ben, cleo, document = await written_by_two(town)
    path = f"/documents/{document}/history"
    played = await cleo.get(f"{path}/operations")
    assert [operation["edits"] for operation in played["operations"]] == [
        [[0, "", "one"]],
        [[3, "", " two"]],
        [[0, "one ", ""]],
    ]
    assert [operation["author"] for operation in played["operations"]] == [ben.id, cleo.id, ben.id]
    color = (await cleo.get("/account"))["color"]
    assert {"userId": cleo.id, "displayName": "Cleo", "color": color} in played["authors"]
    assert len(played["authors"]) == 2
    assert played["version"] == 3
    found = await ben.get(f"{path}/blame", params={"version": 2})
    assert [(run["length"], run["authorId"], run["version"]) for run in found["runs"]] == [
        (3, ben.id, 1),
        (4, cleo.id, 2),
    ]
    present = await ben.get(f"{path}/blame")
    assert [(run["length"], run["authorId"]) for run in present["runs"]] == [(3, cleo.id)]
    assert [author["displayName"] for author in present["authors"]] == ["Cleo"]


async def test_blame_tells_pasting_from_typing_and_bots_from_people(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "typed.")
    path = f"/documents/{document}"
    bot = town.with_token((await ben.post("/account/tokens", {"name": "bot", "scope": "edit"}, 201))["secret"])

    async def insert(who: Person, position: int, text: str, **more: str) -> None:
        version = (await ben.get(f"{path}/content"))["documentVersion"]
        edit = {"operationId": f"{text[0]}:1", "operationType": "insert", "position": position, "payload": text, **more}
        await who.post(f"{path}/operations", {"baseVersion": version, "operations": [edit]})

    await insert(ben, 3, "pasted", origin="paste")
    await insert(ben, 0, "also typed ")
    await insert(bot, 0, "by a bot ", origin="paste")
    found = await ben.get(f"{path}/history/blame")
    text = (await ben.get(f"{path}/content"))["text"]
    assert text == "by a bot also typed typpasteded."
    pieces, here = [], 0
    for run in found["runs"]:
        pieces.append((text[here : here + run["length"]], run["kind"]))
        here += run["length"]
    assert pieces == [("by a bot ", "agent"), ("also typed typ", "human"), ("pasted", "paste"), ("ed.", "human")]
    wrong = {"operationId": "w:1", "operationType": "insert", "position": 0, "payload": "x", "origin": "a dream"}
    body = {"baseVersion": 1, "operations": [wrong]}
    await ben.refused("POST", f"{path}/operations", "invalid_request", json=body)


async def test_the_past_is_for_editors(town: Town) -> None:
    """What was deleted is in there: a viewer sees the present text, whatever version that is, and no other."""
    ben, _, document = await written_by_two(town)
    viewer = await town.person("vic")
    await invite(ben, document, viewer, "viewer")
    link = (await ben.post(f"/documents/{document}/links", {"role": "viewer"}, 201))["url"].partition("#link=")[2]
    guest = town.with_token((await town.nobody().post("/links/open", {"secret": link}))["accessToken"])
    for reader in (viewer, guest):
        assert await text_of(reader, document, version=3) == "two"
        for version in (0, 2, 4):
            await reader.refused(
                "GET",
                f"/documents/{document}/content?version={version}",
                "permission_denied" if reader is viewer else "sign_in_required",
            )
    for what in ("sessions", "operations", "blame", "log", "names"):
        await viewer.refused("GET", f"/documents/{document}/history/{what}", "permission_denied")
    await viewer.refused("POST", f"/documents/{document}/history/restore", "permission_denied", json={"version": 1})
    made = await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    bot = town.with_token(made["secret"])
    assert await text_of(bot, document, version=2) == "one two"
    assert len((await bot.get(f"/documents/{document}/history/sessions"))["items"]) == 3
    await bot.refused("POST", f"/documents/{document}/history/restore", "permission_denied", json={"version": 1})
    made = await viewer.post("/account/tokens", {"name": "bot", "scope": "manage"}, 201)
    await town.with_token(made["secret"]).refused("GET", f"/documents/{document}/history/blame", "permission_denied")


async def test_no_socket_tells_a_viewer_the_past(town: Town) -> None:
    """Whoever was there at some point is told what came since; the point before everything is known to everybody."""
    ben, cleo, document = await written_by_two(town)
    viewer = await town.person("vic")
    await invite(ben, document, viewer, "viewer")
    incarnation = town.coscribe.collaboration.router.sessions[document].workspace.incarnation
    beginning = {"incarnation": incarnation, "serverSequenceId": 0, "documentVersion": 0, "chainHash": "0" * 64}

    def is_told(socket: Socket) -> bool:
        return any(message["type"] in ("committed", "resent") for message in socket.heard)

    for person, told in ((cleo, True), (viewer, False)):
        socket = Socket(town)
        await socket.hello(person.access_token)
        socket.say(type="join", fileId=document, have=beginning)
        if told:
            await socket.hear("live")
        else:
            snapshot = await socket.hear("snapshot")
            assert (snapshot["content"], snapshot["lineageLost"]) == ("two", True)
            await socket.adopt(document, snapshot)
        assert is_told(socket) is told
        socket.heard.clear()
        socket.say(type="resend", fileId=document, have=beginning, throughSequenceId=3)
        if told:
            await socket.hear("resent")
        else:
            assert (await socket.hear("error"))["code"] == "history_unavailable"
            assert not is_told(socket)


async def test_names_can_be_changed_and_taken_away(town: Town) -> None:
    ben, _, document = await written_by_two(town)
    names = f"/documents/{document}/history/names"
    await ben.post(names, {"version": 2, "name": "Draft"}, 201)
    await ben.refused("POST", names, "conflict", json={"version": 2, "name": "Again"})
    await ben.refused("POST", names, "base_version_future", json={"version": 4, "name": "Never"})
    await ben.refused("POST", names, "invalid_request", json={"version": 1, "name": "  "})
    await ben.post(names, {"version": 0, "name": "Nothing"}, 201)
    await ben.done("PATCH", f"{names}/2", 200, json={"name": "Second draft"})
    await ben.refused("PATCH", f"{names}/1", "not_found", json={"name": "x"})
    assert [(one["version"], one["name"]) for one in (await ben.get(names))["items"]] == [
        (0, "Nothing"),
        (2, "Second draft"),
    ]
    await ben.done("DELETE", f"{names}/2", 204)
    await ben.refused("DELETE", f"{names}/2", "not_found")
    events = (await ben.get(f"/documents/{document}/events"))["items"]
    done = [(event["action"], event["subject"], event["detail"]) for event in events if event["outcome"] == "done"]
    assert [one for one in done if one[0].startswith("version.")] == [
        ("version.unnamed", "2", {"before": "Second draft"}),
        ("version.renamed", "2", {"before": "Draft", "name": "Second draft"}),
        ("version.named", "0", {"name": "Nothing"}),
        ("version.named", "2", {"name": "Draft"}),
    ]


async def test_a_version_is_restored_as_a_new_operation(town: Town) -> None:
    ben, cleo, document = await written_by_two(town)
    path = f"/documents/{document}/history/restore"
    answer = await cleo.ask("POST", path, json={"version": 1}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"v4"')
    assert await text_of(ben, document) == "one"
    again = await cleo.ask("POST", path, json={"version": 1}, headers={"Idempotency-Key": "k"})
    assert again.json() == answer.json()
    assert await cleo.post(path, {"version": 1}) == {"documentVersion": 4, "operation": None}
    assert await text_of(ben, document, version=3) == "two"
    await cleo.refused("POST", path, "base_version_future", json={"version": 9})
    await ben.post(f"/documents/{document}/archive")
    await cleo.refused("POST", path, "permission_denied", json={"version": 3})


async def test_the_log_is_a_file_to_keep(town: Town) -> None:
    ben, cleo, document = await written_by_two(town)
    answer = await cleo.ask("GET", f"/documents/{document}/history/log")
    assert answer.headers["content-disposition"] == f'attachment; filename="{document}.log.ndjson"'
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head, *entries = map(json.loads, answer.text.splitlines())
    assert (head["documentId"], head["version"], len(entries)) == (document, 3, head["sequence"])
    assert [entry["author"] for entry in entries] == [ben.id, cleo.id, ben.id]
    assert entries[-1]["digest"] == head["chainHash"]
    text = ""
    for entry in entries:
        parts = decode_payload(entry["payload"].encode()).components
        text = "".join(_applied(text, parts))
    assert text == "two"


async def test_who_is_gone_is_nobody_in_the_past(town: Town) -> None:
    """The names of somebody who was erased are gone; what they wrote, and that it was one person, stays."""
    ben, cleo, document = await written_by_two(town)
    token = await cleo.post("/account/tokens", {"name": "bot", "scope": "edit"}, 201)
    await put(town.with_token(token["secret"]), document, "two!", 3)
    await cleo.post(f"/documents/{document}/history/names", {"version": 2, "name": "Both"}, 201)
    played = await ben.get(f"/documents/{document}/history/operations")
    assert "bot (Cleo)" in [author["displayName"] for author in played["authors"]]
    await cleo.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    sessions = (await ben.get(f"/documents/{document}/history/sessions"))["items"]
    assert [one["author"]["displayName"] for one in sessions] == ["Deleted account", "Ben", "Deleted account", "Ben"]
    assert all(one["author"]["userId"].startswith("erased-") for one in sessions[::2])
    assert [one["namedBy"] for one in (await ben.get(f"/documents/{document}/history/names"))["items"]] == [None]
    found = await ben.get(f"/documents/{document}/history/blame")
    assert cleo.id not in json.dumps(found)


async def test_a_document_that_is_gone_takes_its_names_along(town: Town) -> None:
    ben, cleo, document = await written_by_two(town)
    await ben.post(f"/documents/{document}/history/names", {"version": 2, "name": "Both"}, 201)
    await (await town.person("dora")).post(f"/documents/{document}/access-requests", {}, 202)
    await ben.post(f"/documents/{document}/trash")
    await ben.refused("GET", f"/documents/{document}/history/sessions", "file_not_found")
    await ben.done("DELETE", f"/documents/{document}", 204)
    await cleo.refused("GET", f"/documents/{document}/history/names", "file_not_found")
    for table in (named_versions, access_requests):
        assert await town.coscribe.people.database.read(lambda c, table=table: c.execute(select(table)).all()) == []  # type: ignore[misc]  # the default binds the loop's value


def _applied(text: str, parts: Any) -> list[str]:
    out, position = [], 0
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, int):
            out.append(text[position : position + part])
            position += part
        else:
            assert text[position : position + part.size] == part.text
            position += part.size
    return [*out, text[position:]]
